/* Scores of letters as text: equal letters in turn are one unless a blank stands between
 * them; room, and every error. */
#include "read.h"
#include <stdio.h>
#include <string.h>

static int failed;
#define CHECK(condition)                                                           \
    do {                                                                           \
        if (!(condition)) printf("line %d: %s\n", __LINE__, #condition), failed++; \
    } while (0)

/* the best classes are c c blank c, and é é space é */
static const float scores[2][4][4] = {{{0, 1, 0, 0}, {0, 2, 1, 0}, {3, 1, 0, 0}, {0, 1, 0, 0}},
                                      {{0, 0, 4, 0}, {0, 0, 4, 0}, {0, 0, 0, 4}, {0, 0, 5, 0}}};
static float said[2][4][4];

static int says(read_context *context, int row, size_t room, const char *wanted, size_t whole) {
    char text[16];
    size_t length = 99;
    memset(text, '?', sizeof text);
    return read_text(context, 0, said[0][0], row, text, room, &length) == CAI_OK && length == whole &&
           memcmp(text, wanted, strlen(wanted) + 1) == 0;
}

static int fails(read_context *context, cai_status status, const char *words) {
    return status == CAI_BAD_USAGE && strcmp(read_message(context), words) == 0;
}

int main(void) {
    read_context *context;
    char text[16];
    const int64_t shape[] = {2, 4, 4};
    const cai_in in = {scores, sizeof scores, shape, 3};
    const cai_out out = {said, sizeof said};
    cai_info info;
    if (read_create(&context) != CAI_OK) return 1;
    CHECK(read_output_info(0, &info) == CAI_OK && info.form == CAI_FORM_TEXT && info.label_count == 4);
    CHECK(strcmp(info.labels[0], "") == 0 && strcmp(info.labels[2], "\xc3\xa9") == 0);
    CHECK(fails(context, read_text(context, 0, said[0][0], 0, text, sizeof text, NULL),
                "sizes are known only after prepare or run"));
    CHECK(read_run(context, &in, 1, &out, 1) == CAI_OK);
    CHECK(says(context, 0, sizeof text, "cc", 2));
    CHECK(says(context, 1, sizeof text, "\xc3\xa9 \xc3\xa9", 5));
    CHECK(says(context, 1, 6, "\xc3\xa9 \xc3\xa9", 5));
    CHECK(says(context, 1, 5, "\xc3\xa9 ", 5)); /* no half letter */
    CHECK(says(context, 1, 2, "", 5) && says(context, 0, 1, "", 2));
    size_t length = 0;
    CHECK(read_text(context, 0, said[0][0], 1, NULL, 0, &length) == CAI_OK && length == 5);
    CHECK(fails(context, read_text(context, 1, said[0][0], 0, text, sizeof text, NULL),
                "output 1 is none that is read as text"));
    CHECK(fails(context, read_text(context, 0, said[0][0], 2, text, sizeof text, NULL),
                "output `said` has 2 rows, from 0 on: there is no row 2"));
    CHECK(fails(context, read_text(context, 0, said[0][0], -1, text, sizeof text, NULL),
                "output `said` has 2 rows, from 0 on: there is no row -1"));
    CHECK(fails(context, read_text(context, 0, NULL, 0, text, sizeof text, NULL),
                "output `said`: scores is NULL"));
    CHECK(fails(context, read_text(context, 0, said[0][0], 0, NULL, 5, NULL),
                "output `said`: the text is NULL"));
    CHECK(read_text(NULL, 0, said[0][0], 0, text, sizeof text, NULL) == CAI_BAD_USAGE);
    read_destroy(context);
    return failed != 0;
}
