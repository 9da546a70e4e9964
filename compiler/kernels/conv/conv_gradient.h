/* What the files of conv_gradient share: its tile (conv_gradient.c chooses it), the sums
 * (conv_gradient_sums.c) and their way to the result (conv_gradient_store.c). Winograd's
 * gradient has the same tile for its products, and the same way to the result. */
#ifndef CAI_CONV_GRADIENT_H
#define CAI_CONV_GRADIENT_H

#include "kernels/conv/conv.h"

/* A turn is what has one range of rows: a register tile adds up some entries of it, times
 * Q blocks of output channels. */
typedef enum GradientForm {
    GRADIENT_BLOCKS, /* x BLOCKED: a turn is a tap, its entries are the channels of a block */
    /* x PLAIN, of few channels: a turn is a kernel row, its entries are channels and taps
     * of the row */
    GRADIENT_PLAIN,
    /* groups of few channels, lanes on all of them: its entries are taps of the row and
     * channels of a group */
    GRADIENT_GROUPS
} GradientForm;

typedef struct GradientTile {
    GradientForm form;
    int blocks;                    /* Q */
    int groups, x_blocks;          /* of a task: groups of Q blocks, and blocks of x */
    int parts;                     /* into which the images and rows are cut, each with sums of its own */
    int64_t images, rows, columns; /* of dy in a strip, which L1 holds with what it reads of x */
    int64_t far_rows, far_columns; /* of a strip of strips: L2 holds that for all of a task's blocks */
    bool flat;                     /* rows and columns are walked as one row */
} GradientTile;

typedef struct GradientPlan { /* proposal.tile */
    ConvShape shape;          /* of GRADIENT_GROUPS: with one group of all channels */
    /* channels of a group that share a lane's sums: 1, or of GRADIENT_GROUPS its
     * channels */
    int64_t width;
    /* x and dy have changed places, in the shape too: lanes are input channels */
    bool swapped;
    GradientTile tile;
    GradientTile flat; /* for where rows lie side by side; blocks is 0 where they never do */
    WorkingMemory flat_memory;
} GradientPlan;

int64_t gradient_turns(const GradientPlan *plan);              /* of a block of x */
int64_t gradient_entries(const GradientPlan *plan, int lanes); /* of a turn */
/* How many entries a register tile of `blocks` blocks has at most. */
int gradient_entries_at_once(const Target *target, int blocks);
int64_t gradient_x_blocks(const GradientPlan *plan, int lanes);
int64_t gradient_last_entries(const GradientPlan *plan, int lanes); /* of a turn of the last block of x */
int64_t gradient_y_blocks(const GradientPlan *plan, int lanes);
/* Elements of the sums of one block of x and one group of blocks of dy: [turn][entry][Q *
 * lanes]. */
int64_t gradient_cell(const GradientPlan *plan, int lanes);

/* The gradient of a 1x1 convolution over one row of `length` places. */
GradientPlan gradient_row_plan(Dims *dims, const Target *target, Contraction types, int64_t inputs,
                               int64_t outputs, int64_t length);
/* Of adding up all sums, and of the way of each to the result. */
double gradient_sums_cycles(const GradientPlan *plan, const Dims *dims, const Target *target);
double gradient_results_cycles(const GradientPlan *plan, const Target *target);

/* ---- emission ---- */

typedef struct Gradient {
    Module *m;
    const Kernel *kernel;
    const GradientPlan *plan;
    const ConvShape *shape;
    const GradientTile *tile;
    int lanes;
    LLVMTypeRef element, vector; /* as they are multiplied and added up: of shape.types.sum */
    /* of a group of channels; the first `longer` groups of blocks have Q */
    int64_t y_blocks, x_blocks, group_count, longer;
    int64_t entries, last_entries, cell;
    LLVMValueRef units;  /* strips of strips in all */
    LLVMValueRef parts;  /* those that have a unit */
    LLVMValueRef memory; /* of the sums: the scratch or the workspace */
} Gradient;

/* A map, and elements from one to the next; of PLAIN, `block` from channel to channel. */
typedef struct GradientMap {
    LLVMValueRef address, image, block, row;
    int64_t pixel;
} GradientMap;

/* The sums of a task, or, of a result, of all its parts. */
typedef struct GradientSums {
    LLVMValueRef first;        /* element of Gradient.memory */
    LLVMValueRef group_stride; /* from one group of blocks to the next */
    LLVMValueRef group;        /* of channels */
    LLVMValueRef from, to;     /* groups of blocks */
    LLVMValueRef x_from, x_to; /* blocks of x */
} GradientSums;

/* Of the function that is being emitted; `memory` is not set, and there is one part. */
Gradient gradient_of(Module *m, const Kernel *kernel, const GradientPlan *plan);
/* Of a group of blocks, counted from the first of its group of channels. */
LLVMValueRef gradient_first_block(const Gradient *g, LLVMValueRef group);
/* Adds up units `from` to `to`, at least one. */
void gradient_emit_sums(const Gradient *g, const GradientSums *sums, LLVMValueRef from, LLVMValueRef to);
/* Of a gradient_row_plan, `count` places of its row. `first`, i1: what the sums were
 * before does not count. */
void gradient_emit_row_sums(const Gradient *g, const GradientSums *sums, const GradientMap *x,
                            const GradientMap *dy, LLVMValueRef count, LLVMValueRef first);
/* Adds up the parts, `part_stride` elements from one to the next, and hands on the
 * results. */
void gradient_emit_results(Gradient *g, const GradientSums *sums, LLVMValueRef part_stride);

#endif
