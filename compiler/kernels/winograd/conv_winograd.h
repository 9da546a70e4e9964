/* What the files of this folder share: the choice of conv_winograd (conv_winograd.c), its
 * transforms (winograd_transform.c) and products (winograd_product.c), and the gradient
 * by weights (winograd_gradient.c), which has the same transforms. */
#ifndef CAI_CONV_WINOGRAD_H
#define CAI_CONV_WINOGRAD_H

#include "kernels/conv/conv.h"
#include "plan/winograd.h"

/* With stride 2 a convolution is the sum of four of stride 1, by a quarter of the kernel
 * each, of every second row and column of its input; and the transpose of one is four of
 * stride 1, which give every second row and column of its output. They are numbered by
 * the parity of the kernel's rows and columns, which for a transpose count from the last
 * to the first. An axis of all of them: */
typedef struct WinogradAxis {
    int taps;                 /* of a parity */
    int64_t stride, out_step; /* places of the input, and of the output, from one to the next */
    /* by parity: the place that the first tap of output 0 reads; output 0 */
    int64_t first[2], out_first[2];
    int in_parities, out_parities; /* of both axes together: 1 or 4 */
} WinogradAxis;

WinogradAxis winograd_axis(const ConvShape *shape, int axis);

/* proposal.tile. A "map tile" is outputs x outputs pixels of the result, of a parity of
 * it; a plane is one of the size x size places of a transformed tile. */
typedef struct WinogradTile {
    ConvShape shape;
    Winograd w;
    int pixels, blocks; /* register tile of the products: P map tiles by Q blocks of output channels */
    /* map tiles of a narrower register tile for the rest, or 0 where there is none */
    int rest;
    int unroll; /* of the loop over input channels */
    /* map tiles that are transformed together: room for so many, a multiple of
     * `pixels` */
    int64_t together;
    /* elements from one plane of transformed inputs, or products, to the next; the planes
     * of a block of channels are contiguous */
    int64_t plane;
    /* three launches over a workspace; else a task does everything for `together` map
     * tiles, of a parity of the output, in its scratch */
    bool phases;
    /* phases: a round has all map tiles, and transforms the weights of its groups, which
     * lie PLAIN; else they are packed, and a round has all groups */
    bool transforms_weights;
    int64_t groups; /* of a round */
    /* phases: into how many tasks the transforms divide the map tiles, and the products
     * of a plane divide the groups, or, where the round transforms weights, the map
     * tiles */
    int parts, product_parts;
} WinogradTile;

/* Weights as [tile][plane][parity][input][blocks * lanes outputs], where the last tile is
 * as narrow as its blocks are few; of a transposed convolution as [parity][tile][plane]..
 */
Format winograd_format(int lanes, const WinogradTile *tile);

/* A map that is transformed, tile by tile. */
typedef struct WinogradMap {
    LLVMValueRef address;
    const Dim *strides; /* of images, blocks, rows, pixels */
    DType type;
    Dim size[2];
    int64_t first[2][2]; /* of rows and columns, by parity: the first place of the first tile */
    int64_t stride;      /* from one place of a tile to the next */
    int64_t step;        /* from one tile to the next */
    int side;            /* places that a tile reads along an axis: Winograd.size, or of dy its taps */
    LLVMValueRef planes; /* where they go: a block is Winograder.block elements */
} WinogradMap;

/* A block of channels, of a parity of its map. */
typedef struct WinogradBlock {
    LLVMValueRef parity[2];
    LLVMValueRef block;
    LLVMValueRef number; /* among all blocks of the planes */
} WinogradBlock;

int64_t winograd_block(const WinogradTile *tile); /* elements from one block of channels to the next */

typedef struct Winograder {
    Module *m;
    const Kernel *kernel;
    const WinogradTile *tile;
    ConvShape shape;
    Winograd w;
    Epilogue epilogue;
    int lanes;
    WinogradAxis axes[2];
    int64_t in_blocks, out_blocks; /* blocks of channels */
    int64_t sum_blocks;            /* of all parities of the input, which a sum has */
    int64_t groups;                /* of Q blocks, of a parity of the output */
    int64_t plane, block;          /* elements from one plane, and from one block of channels, to the next */
    WinogradMap input;
    LLVMValueRef weights;              /* base address of the operand */
    LLVMValueRef products;             /* in scratch or workspace */
    LLVMValueRef transformed;          /* in the workspace: weights of a round; NULL: they are packed */
    LLVMValueRef rows, columns, count; /* map tiles: down, across, in all images */
    LLVMValueRef part;                 /* of stored sums: the task's among those of a block */
    /* on the stack: a tile between the passes of a transform; an input tile with
     * padding, and a vector of zeros behind it */
    LLVMValueRef between, edge;
} Winograder;

/* Consecutive map tiles: numbers from .. from + count of all, the first of which is
 * number `at` of those transformed together. */
typedef struct MapTiles { LLVMValueRef from, count, at; } MapTiles;

/* Cycles of a vector of channels in both passes of a transform: of inputs, of what
 * Winograd.taps counts, back. */
double winograd_inputs_cycles(const Winograd *w, const Target *target);
double winograd_weights_cycles(const Winograd *w, const Target *target);
double winograd_results_cycles(const Winograd *w, const Target *target);

/* ---- winograd_transform.c ---- */
/* Part number `part` of so many of the map tiles. */
MapTiles winograd_part_of_tiles(Winograder *c, MapTiles tiles, LLVMValueRef part, int64_t of);
/* Takes the parity of rows and columns out of a number, where there are several. */
void winograd_take_parity(Module *m, LLVMValueRef *number, int parities, LLVMValueRef parity[2]);
/* A block of the map's channels, to all planes. */
void winograd_emit_inputs(Winograder *c, const WinogradMap *map, const MapTiles *tiles,
                          const WinogradBlock *block);
/* Reads all planes of the block in c->products; epilogue and stores for that block of
 * output channels. */
void winograd_emit_results(Winograder *c, const MapTiles *tiles, const WinogradBlock *block);

/* A^T m A of a vector: from all planes, `plane` elements from one to the next, to
 * outputs x outputs vectors, so many elements from one row and column to the next. */
void winograd_emit_taps(Winograder *c, LLVMValueRef from, int64_t plane, LLVMValueRef to, int64_t row,
                        int64_t column);

typedef void (*PlaneStore)(Module *m, LLVMValueRef value, LLVMValueRef address);
/* A row of G w G^T, of the taps w, vectors at `taps`, so many elements from one row and
 * column to the next: `store` puts number i of all i * plane elements after `to`. */
void winograd_emit_weights(Module *m, const Winograd *w, int row, LLVMValueRef taps, int64_t tap_row,
                           int64_t tap_column, LLVMValueRef to, LLVMValueRef plane, PlaneStore store);

/* ---- winograd_product.c ---- */
/* Some of the map tiles transformed together; begins at a multiple of `pixels`. */
typedef struct TileRange { LLVMValueRef begin, end; } TileRange;

/* The products of one plane for group `group` of `blocks` output blocks, where the first
 * group's weights are at `weights`; block 0 of the group becomes block `product` of
 * c->products. */
void winograd_emit_products(Winograder *c, LLVMValueRef weights, LLVMValueRef plane, LLVMValueRef group,
                            int blocks, const TileRange *tiles, LLVMValueRef product);

#endif
