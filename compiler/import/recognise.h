/* What a row of patterns.def has matched, and the statement that replaces it. */
#ifndef CAI_IMPORT_RECOGNISE_H
#define CAI_IMPORT_RECOGNISE_H

#include "import/import.h"

enum { MAX_BOUND = 32, MAX_LINES = 32 };

typedef struct Match {
    Import *im;
    Line *root;
    int name_count, number_count, line_count;
    struct {
        const char *name;
        size_t length;
        Wire *wire;
    } names[MAX_BOUND];
    struct {
        const char *name;
        size_t length;
        double value;
    } numbers[MAX_BOUND];
    Line *lines[MAX_LINES];
} Match;

/* Writes the statement in place of what was matched; NULL where that is something
 * else. */
typedef Line *Finish(const Match *m, const char *callee);
#define PATTERN(pattern, finish, callee) Finish finish;
#include "import/patterns.def"
#undef PATTERN

Wire *matched_wire(const Match *m, const char *name); /* NULL where the pattern has no such name */
/* Whether it is that number, as closely as the type of the match has it in the file. */
bool is_number(const Match *m, double value, double wanted);
double matched_number(const Match *m, const char *name, double otherwise);

/* The text of a setting, of the first by position where key is NULL; "" where there is
 * none. */
const char *setting_of_line(const Line *line, const char *key);
bool has_setting(const Line *line, const char *key, const char *text);
bool read_order(const Line *permute, int rank, int *order);

Line *line_in_place(const Match *m, Style style, const char *callee);
void add_matched_input(const Match *m, Line *line, Wire *wire);
void add_matched_setting(const Match *m, Line *line, const char *key, const char *text);
void copy_weights(const Match *m, Line *line, const Line *from, const char *prefix);

#endif
