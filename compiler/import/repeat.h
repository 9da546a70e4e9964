/* What the search for equal windows (repeat.c) and the blocks that replace them
 * (repeat_block.c) share. */
#ifndef CAI_IMPORT_REPEAT_H
#define CAI_IMPORT_REPEAT_H

#include "import/import.h"

enum { MAX_INPUTS = 6 };

typedef struct ArgumentSlot {
    const char *key, *text, *usual;
} ArgumentSlot; /* usual: the default, or NULL */
typedef Vec(ArgumentSlot) ArgumentSlots;

typedef struct RepeatedBody {
    Import *im;
    Line **lines;
    int count;
    Name *kinds;
    const char **scopes;
    double *units;  /* the amount of text of each line */
    Map *places;    /* of a wire: the line that makes it, plus 1 */
    Map *last_uses; /* of a wire: the last line that reads it, plus 1; count + 1 for outputs */
} RepeatedBody;

typedef struct Outside {
    int count;
    Wire *wires[MAX_INPUTS];
} Outside; /* wires from outside the window that it reads, by slot */

typedef struct RepeatChoice {
    int length, count;
    int begins[1024];
    double gain;
} RepeatChoice;

/* The arguments of a line that may differ between equal lines: literal operands, then
 * settings by position (of slices only numbers of channels), then settings with a key.
 * Library layers list all their settings, with defaults, in a fixed order. */
ArgumentSlots repeat_slots_of(Import *im, const Line *line);
void repeat_bound_slots(Import *im, const char *text, ArgumentSlots *slots); /* of the bounds of a slice */
/* The bounds of a slice, replaced by `bounds`, or each by "#" if `bounds` is NULL. */
const char *repeat_with_bounds(Import *im, const char *text, const char *const *bounds);

bool repeat_is_read_behind(const RepeatedBody *body, const Wire *wire, int end);
Outside repeat_inputs(const RepeatedBody *body, int begin, int length);

/* ---- repeat_sizes.c ---- */

typedef struct BlockSizes BlockSizes;
BlockSizes *block_sizes_new(const RepeatedBody *body, const RepeatChoice *choice);
/* A parameter of the block, which formulas may have, with its number in each run. */
void block_sizes_add_numbers(BlockSizes *sizes, const char *name, const int64_t *of_runs);
/* The list of sizes of a tensor within the block, one shape for each run, as formulas:
 * [N, C / 2, H, W]; NULL if there are none. */
const char *block_sizes_list(BlockSizes *sizes, const Shape *of_runs);
/* A number of channels as a formula of the channels of an input: 3 * C; or NULL. */
const char *block_sizes_channels(BlockSizes *sizes, const int64_t *of_runs);
/* The type of an input whose sizes a formula has: f32[N, C, H, W]; or NULL. */
const char *block_sizes_type(const BlockSizes *sizes, int input);

/* ---- repeat_block.c ---- */

/* Replaces the windows of the choice by runs of a new block. */
void replace_repeat(Import *im, const RepeatedBody *body, const RepeatChoice *choice);

#endif
