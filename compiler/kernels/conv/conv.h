/* What the emitters of convolutions share: the shape of one (conv_shape.c), the choice of
 * tiles (conv_cost.c), the loops over a map (conv_map.c) and the register tile
 * (conv_tile.c). conv_direct.c and conv_transposed.c are kinds of kernel made of them. */
#ifndef CAI_CONV_H
#define CAI_CONV_H

#include "codegen/codegen.h"
#include "kernels/kernels.h"

/* ---- conv_shape.c ---- */

/* One spatial axis of a convolution, or of one phase of a transposed one: output out_step
 * * i + out_first, for 0 <= i < count, is the sum over taps t of input scale * i + first
 * + step * t times kernel place kernel_first + kernel_step * t. step > 0. Inputs outside
 * 0 .. input are padding, zero. */
typedef struct ConvAxis {
    int64_t taps, scale, first, step;
    int64_t kernel_first, kernel_step;
    int64_t out_step, out_first;
    Dim count, input;
} ConvAxis;

typedef struct ConvShape {
    const Node *anchor, *x, *w;
    Contraction types;
    /* convolution_backward_data: x is its dy, and the first two axes of w swap roles */
    bool transposed;
    /* by conv_turn: w is read as a transposed one's is, and its taps from the last to the
     * first */
    bool turned;
    int64_t stride[2], dilation[2], before[2], kernel[2];
    int64_t groups, inputs, outputs; /* channels: of a group */
    Dim images, in_size[2], out_size[2];
} ConvShape;

/* False unless the anchor is a convolution or transposed convolution over two axes, with
 * constant channels and kernel. */
bool conv_shape(const Kernel *kernel, ConvShape *shape);
/* The same of a gradient by weights: its x, and sizes of its dy as those of the
 * result. */
bool conv_gradient_shape(const Kernel *kernel, ConvShape *shape);
bool conv_has_whole_blocks(const ConvShape *shape, int lanes); /* no block has channels of two groups */
/* Makes a convolution of a transposed one of stride 1. False where it stays
 * transposed. */
bool conv_turn(ConvShape *shape);
/* stride x stride of a transposed convolution, else 1 */
int conv_phases(const ConvShape *shape);
ConvAxis conv_axis(Dims *dims, const ConvShape *shape, int axis, int phase); /* axis 0: rows, 1: columns */
/* The first position at which no tap reads before the map, and one past the last at which
 * no tap reads beyond it (which may be less than the first, or more than count). */
int64_t axis_interior_begin(const ConvAxis *axis);
Dim axis_interior_end(Dims *dims, const ConvAxis *axis);

/* ---- conv_format.c: how weights are packed, for vectors of `lanes` ---- */

/* of conv_direct and conv_transposed: `blocks` to a tile */
Format conv_format(const ConvShape *shape, int lanes, int blocks);
Format conv_few_format(const ConvShape *shape, int lanes);
Format conv_grouped_format(const ConvShape *shape, int lanes);

/* ---- conv_cost.c ---- */

/* How the loops over a map are cut into tiles, passes and tasks. */
typedef struct ConvTile {
    int pixels; /* of a row of the map in one tile: P */
    /* of the map in one tile; more than one only on maps of fixed size, with clipping
     * known beforehand */
    int rows;
    int blocks; /* of `lanes` output channels: Q */
    int unroll; /* of the loop over input channels */
    /* blocks of input channels in one pass over a task's rows, whose weights stay in L1;
     * 0: all of them */
    int depth;
    /* 0, or how many rows of the map are treated as one long row (1x1, stride 1, no
     * padding) */
    int64_t flat_rows;
    int64_t flat_pixels; /* 0, or the length of the pieces of a flat map of free size */
    bool plain;          /* the input is PLAIN */
    /* all groups of output blocks pass over a task's rows, which stay in L2; else all
     * rows pass under a group's weights */
    bool strips;
    int task_rows; /* tiles' rows in one task */
    /* a task has its rows of all phases: what lies between them comes through the caches
     * once, and weights are few */
    bool all_phases;
    /* cache lines of the next group's weights that a tile prefetches into L2 for each tap
     * of a block; 0: none */
    int next_lines;
    bool prefetch_next; /* a tile prefetches the input of the next one */
    int near_lines;     /* how many cache lines ahead weights are prefetched into L1; 0: no prefetch */
} ConvTile;

/* proposal.tile of all kinds of this folder but conv_any. */
typedef struct ConvPlan {
    ConvShape shape;
    ConvTile tile;
    /* conv_direct: for where rows lie side by side, to walk as one, of as many blocks;
     * pixels is 0 where they never do */
    ConvTile flat;
    Dim flat_scratch;
} ConvPlan;

/* For the kernel's name: ic64ih56iw56oc64k3x3p1_t14x2, followed by s for strips, d16 for
 * passes of 16 blocks (conv_shape.c). */
const char *conv_describe(Arena *arena, const ConvShape *shape, const ConvTile *tile);
typedef struct TileLimits {
    bool plain; /* the input is PLAIN */
    bool flat;  /* height and width may be walked as one */
    int blocks; /* of the tile; 0: any number */
} TileLimits;

/* The cheapest tile, and its cycles on one core. */
ConvTile conv_choose_tile(const ConvShape *shape, const Dims *dims, const Target *target, TileLimits limits,
                          double *cycles);
/* Whether a step of a tile has so many multiply-adds that prefetches and the loop's own
 * instructions fit beside them. */
bool conv_has_long_steps(const Target *target);
/* The longest of the fewest pieces, of at most `max`, into which `count` is cut
 * evenly. */
int64_t even_length(int64_t count, int64_t max);
/* Widths into which a fixed row of `count` is cut: `longer` tiles of the returned width,
 * then tiles one narrower; *tiles in all. */
int64_t split_evenly(int64_t count, int64_t max, int64_t *tiles, int64_t *longer);

/* ---- conv_plan.c ---- */

/* Begins a proposal, with a plan for that shape and tile. */
ConvPlan *conv_new_plan(const Kernel *kernel, const ConvShape *shape, const ConvTile *tile,
                        Proposal *proposal);
/* BLOCKED for input, output, and the maps that an epilogue reads beside the result,
 * anything for what else it reads; weights in that format. */
void conv_prefer_blocks(const Kernel *kernel, Proposal *proposal, const Format *format);
/* By the proposal's plan. */
void conv_settle(Program *program, Kernel *kernel);

/* ---- conv_map.c, conv_strip.c, conv_tile.c, conv_ahead.c: emission ---- */

/* The number of tasks. */
Dim conv_tasks(Dims *dims, const ConvShape *shape, const ConvTile *tile, int lanes);
/* Into how many parts they divide the places of a block of the result; 0 where sizes are
 * free, or channels are in groups. */
int64_t conv_map_parts(Dims *dims, const ConvShape *shape, const ConvTile *tile);
/* Bytes of scratch: the sums between passes, then the task's rows of the input in the
 * type of the sums; NULL for none. */
Dim conv_scratch(Dims *dims, const ConvShape *shape, const ConvTile *tile, int lanes);

enum { SITE_INSIDE = -1, SITE_COMPUTED = -2 };

/* The site of a tile. Its first row and column are `y`, `x` as positions of the axes.
 * `fixed_*` is the same number where it is known while compiling; SITE_INSIDE: no tap is
 * clipped there; SITE_COMPUTED: clipping is computed at run time, as a range of taps for
 * `y` (of a tile of one row) and by reading zeros for `x`. */
typedef struct ConvSite {
    int rows, columns, blocks;
    int64_t fixed_y, fixed_x;
    LLVMValueRef y, x;
    LLVMValueRef limit;    /* SITE_COMPUTED x: columns at or after this one are not stored */
    LLVMValueRef share;    /* number of the tile in its group, for prefetching; NULL without */
    LLVMValueRef from, to; /* blocks of input channels in this pass; NULL: all */
    /* element of the scratch that keeps the sums of the row's first column from pass to
     * pass */
    LLVMValueRef kept;
} ConvSite;

typedef struct Conv Conv;
struct Conv {
    Module *m;
    void (*emit_tile)(Conv *conv, const ConvSite *site);
    const Kernel *kernel;
    const ConvTile *tile;
    ConvShape shape;
    ConvAxis rows, columns; /* of the phase being emitted */
    Epilogue epilogue;
    int lanes, last_lanes;       /* of vectors; of those that the last block of a tile needs */
    LLVMTypeRef element, vector; /* as they are multiplied and added up: of shape.types.sum */
    int64_t pixel_stride;
    int64_t flat_length; /* of the long rows of a flat map, or 0 */
    LLVMValueRef input, weights, zeros;
    LLVMValueRef image_stride, block_stride, row_stride, channel_stride; /* those of the layout */
    LLVMValueRef column_input;         /* columns of the input, of this row if the map is flat */
    LLVMValueRef image, first_channel; /* of the task: image number, first output channel */
    LLVMValueRef image_offset;         /* of the task's first input channel, in elements */
    bool own_blocks;                   /* block b of the outputs reads only block b of the inputs */
    LLVMValueRef kept_row;             /* columns of a row of sums kept from pass to pass */
    LLVMValueRef tile_weights;         /* the first element of the task's weights */
    LLVMValueRef part; /* of stored sums: the number of the task's part among those of a block of channels */
};

int64_t conv_input_blocks(const Conv *c); /* of the channels of a group */
/* Bytes of the sums that a task keeps between passes. */
Dim conv_sums_bytes(Dims *dims, const ConvShape *shape, const ConvTile *tile, int lanes);

/* Whether tasks convert what they read of the input, to the type of the sums. */
bool conv_needs_strip(const ConvShape *shape);
Dim conv_strip_bytes(Dims *dims, const ConvShape *shape, const ConvTile *tile, int lanes);
/* Fills the strip for rows of tiles `from` to `to`, and makes c read it instead of the
 * input. */
void conv_read_strip(Conv *c, LLVMValueRef from, LLVMValueRef to);
LLVMValueRef conv_zeros(Module *m, LLVMTypeRef element); /* address of a vector of zeros */
/* Begins the kernel's function and fills all that does not depend on the task; emit_tile
 * is conv_emit_tile. */
Conv conv_begin(Module *m, const Kernel *kernel);
/* Emits the loop over tasks and everything in it; ends the function. */
LLVMValueRef conv_emit_map(Conv *c);
/* One tile: reduction in registers, epilogue, stores. */
void conv_emit_tile(Conv *c, const ConvSite *site);

/* For other emitters of tiles: a loop over the kernel rows that are inside the map for
 * the tile's row (unrolled where they are known). `emit_row` gets the number of the row's
 * tap, as a value and as a constant or SITE_COMPUTED. */
typedef void (*ConvRow)(Conv *c, const ConvSite *site, int64_t row, LLVMValueRef y_tap, void *context,
                        LoopCarried *sums);
void conv_emit_rows(Conv *c, const ConvSite *site, ConvRow emit_row, void *context, LoopCarried *sums);
/* Whether pixel `pixel` of the tile may read the map with these taps, as far as is known
 * while compiling. */
bool conv_reads(const Conv *c, const ConvSite *site, int64_t row_tap, int64_t column_tap, int pixel);
/* The address that the pixel reads with a column tap: of zeros where that is outside the
 * map. `input` is the element that the tile's first pixel reads with the first tap. */
LLVMValueRef conv_pixel(const Conv *c, const ConvSite *site, LLVMValueRef input, int64_t column_tap,
                        int pixel);
/* Ask L2, where maps are beyond L3, for what the tile below reads of a block of channels
 * and this one does not, and for where it stores. `input`: the element
 * that the first pixel reads with the first taps. */
void conv_prefetch_rows_below(const Conv *c, const ConvSite *site, LLVMValueRef input);
void conv_prefetch_maps_below(const Conv *c, const ConvSite *site); /* that stand behind the sums */
void conv_prefetch_results_below(const Conv *c, const ConvSite *site);
/* The element that the tile's first pixel reads with the first taps, in the task's first
 * block of channels. */
LLVMValueRef conv_site_input(const Conv *c, const ConvSite *site);
/* Zeros for each pixel and block; and the store of the sums through the epilogue into the
 * output. */
void conv_start_sums(const Conv *c, const ConvSite *site, LoopCarried *sums);
void conv_store_sums(Conv *c, const ConvSite *site, const LoopCarried *sums);

/* The point of a pixel's outputs: image, first channel of block q, row, column. */
Point conv_point(const Conv *c, const ConvSite *site, int pixel, int q);

/* ---- conv_sums.c: stored sums (plan/program.h) ---- */

/* The task's parts begin as zero. */
void conv_start_parts(const Conv *c, int blocks);
/* Adds the terms of a tile's pixels to the part of block q. */
void conv_add_to_parts(const Conv *c, int q, const StoredTerms *terms);

#endif
