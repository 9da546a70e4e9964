/* Puts the lines in order: each follows the lines whose results it reads as closely as
 * possible, so that a branch stays together even if the exporter interleaved branches. */
#include "import/import.h"

typedef struct LineVisit {
    Line *line;
    int input;
} LineVisit; /* input: the next one to visit */

static bool is_source_line(const Line *line) { return line->inputs.count == 0; }

/* Places the line, preceded by the weights and constants that no earlier line has
 * read. */
static void place_line(Import *im, Line *line, Map *seen, LineList *out) {
    for (int i = 0; i < line->inputs.count; i++) {
        const Wire *wire = line->inputs.items[i].wire;
        if (!wire || !wire->line || !is_source_line(wire->line) || map_get(seen, wire->line)) continue;
        map_set(seen, wire->line, wire->line);
        vec_push(im->arena, out, wire->line);
    }
    vec_push(im->arena, out, line);
}

/* Visits everything that the line reads, then the line. An explicit stack replaces
 * recursion, since models are deep. */
static void visit_line(Import *im, Line *root, Map *seen, LineList *out) {
    Vec(LineVisit) stack = {0};
    if (!root || map_get(seen, root)) return;
    map_set(seen, root, root);
    vec_push(im->arena, &stack, (LineVisit){root, 0});
    while (stack.count) {
        LineVisit *top = &vec_last(&stack);
        if (top->input == top->line->inputs.count) {
            place_line(im, top->line, seen, out);
            stack.count--;
            continue;
        }
        const Wire *wire = top->line->inputs.items[top->input++].wire;
        if (!wire || !wire->line || is_source_line(wire->line) || map_get(seen, wire->line)) continue;
        map_set(seen, wire->line, wire->line);
        vec_push(im->arena, &stack, (LineVisit){wire->line, 0});
    }
}

void order_lines(Import *im) {
    LineList lines = {0};
    Map *seen = map_new(im->arena);
    for (int i = 0; i < im->outputs.count; i++) visit_line(im, im->outputs.items[i]->line, seen, &lines);
    im->lines = lines;
}
