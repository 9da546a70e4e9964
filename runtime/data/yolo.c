/* Boxes in the format of YOLO: each line has a class number, then the middle, width and
 * height, relative to the picture's sides. */
#include "data/sources.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST 1.01 /* share: what a tool rounded up, but no pixels */

static bool is_blank(const char *line) { return line[strspn(line, " \t\r")] == 0; }

/* strtod reads a decimal point, since programs set no locale. */
static bool parse_line(cai_box_list *list, const char *line) {
    double values[5];
    char *end;
    for (int i = 0; i < 5; i++) {
        values[i] = strtod(line, &end);
        if (end == line) return false;
        line = end;
    }
    double class = values[0], x = values[1], y = values[2], w = values[3], h = values[4];
    bool shares = x >= 0 && y >= 0 && fmax(fmax(x, y), fmax(w, h)) <= LARGEST;
    if (!is_blank(line) || !(class >= 0 && class < 1 << 24) || class != (int)class || !shares) return false;
    cai_box box = {{(float)(x - w / 2), (float)(y - h / 2), (float)(x + w / 2), (float)(y + h / 2)},
                   (float)class};
    return cai_box_add(list, &box);
}

bool cai_yolo_parse(cai_box_list *list, const char *text, size_t count) {
    list->shares = true;
    for (int number = 1; count > 0; number++) {
        char line[200];
        const char *newline = memchr(text, '\n', count);
        size_t length = newline ? (size_t)(newline - text) : count, skip = length + (newline != NULL);
        if (length >= sizeof line) return cai_fail(list->error, CAI_BAD_INPUT, "line %d is too long", number);
        memcpy(line, text, length);
        line[length] = 0;
        if (!is_blank(line) && !parse_line(list, line))
            return cai_fail(
                list->error, CAI_BAD_INPUT,
                "line %d is not a box: CLASS X Y WIDTH HEIGHT, as fractions of the picture, 0 to 1", number);
        text += skip;
        count -= skip;
    }
    return true;
}
