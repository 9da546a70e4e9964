/* What the files of this folder share: the choice of conv_winograd (conv_winograd.c), its
 * transforms (winograd_transform.c) and products (winograd_product.c), and the gradient
 * by weights (winograd_gradient.c), which has the same transforms. */
#ifndef CAI_CONV_WINOGRAD_H
#define CAI_CONV_WINOGRAD_H

#include "kernels/conv/conv.h"
#include "plan/winograd.h"

/* proposal.tile. A "map tile" is outputs x outputs pixels of the result; a plane is one
 * of the size x size places of a transformed tile. */
typedef struct WinogradTile {
    ConvShape shape;
    int outputs;        /* m of F(m x m, 3 x 3): 2 or 4 */
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
     * tiles in its scratch */
    bool phases;
    /* phases: into how many tasks the transforms divide the map tiles, and the products
     * divide the groups */
    int parts, group_parts;
} WinogradTile;

/* Weights as [tile][plane][input][blocks * lanes outputs], where the last tile is as
 * narrow as its blocks are few. */
Format winograd_format(int lanes, const WinogradTile *tile);

/* A map that is transformed, tile by tile. */
typedef struct WinogradMap {
    LLVMValueRef address;
    const Dim *strides; /* of images, blocks, rows, pixels */
    DType type;
    Dim size[2];
    int64_t before[2];
    int side;            /* places that a tile reads along an axis: Winograd.size, or of dy its taps */
    LLVMValueRef planes; /* where they go: a block is winograd_block elements */
} WinogradMap;

typedef struct Winograder {
    Module *m;
    const Kernel *kernel;
    const WinogradTile *tile;
    ConvShape shape;
    Winograd w;
    Epilogue epilogue;
    int lanes;
    int64_t in_blocks, out_blocks, groups; /* blocks of channels; groups of Q blocks */
    int step;                              /* from a map tile to the next */
    int64_t plane, block; /* elements from one plane, and from one block of channels, to the next */
    WinogradMap input;
    LLVMValueRef weights, products;    /* base addresses; the second in scratch or workspace */
    LLVMValueRef rows, columns, count; /* map tiles: down, across, in all images */
    /* on the stack: a tile between the passes of a transform; an input tile with
     * padding */
    LLVMValueRef between, edge;
} Winograder;

/* Consecutive map tiles: numbers from .. from + count of all, the first of which is
 * number `at` of those transformed together. */
typedef struct MapTiles { LLVMValueRef from, count, at; } MapTiles;

/* Cycles of one vector of channels in both passes of a transform: operations, loads,
 * stores, and the overhead of the loops. */
double winograd_transform_cycles(const Target *target, double operations, double loads, double stores);

/* ---- winograd_transform.c ---- */
/* Part number `part` of so many of the map tiles. */
MapTiles winograd_part_of_tiles(Winograder *c, MapTiles tiles, LLVMValueRef part, int64_t of);
int64_t winograd_block(const WinogradTile *tile); /* elements from one block of channels to the next */
/* Block `block` of the map's channels, to all planes. */
void winograd_emit_inputs(Winograder *c, const WinogradMap *map, const MapTiles *tiles, LLVMValueRef block);
/* Reads all planes of block `product` of c->products; epilogue and stores for block
 * `block` of output channels. */
void winograd_emit_results(Winograder *c, const MapTiles *tiles, LLVMValueRef product, LLVMValueRef block);

/* A^T m A of a vector: from all planes, `plane` elements from one to the next, to
 * outputs x outputs vectors. */
void winograd_emit_taps(Winograder *c, LLVMValueRef from, int64_t plane, LLVMValueRef to, int64_t tap_stride);

/* A row of G w G^T, of the nine taps w, vectors at `taps`: number i of all is stored i *
 * plane elements after `to`. */
void winograd_emit_weights(Module *m, int outputs, int row, LLVMValueRef taps, LLVMValueRef to,
                           LLVMValueRef plane);

/* ---- winograd_product.c ---- */
/* The products of one plane for group `group` of `blocks` output blocks, over `count` map
 * tiles from the first on; block 0 of the group becomes block `product` of
 * c->products. */
void winograd_emit_products(Winograder *c, LLVMValueRef plane, LLVMValueRef group, int blocks,
                            LLVMValueRef count, LLVMValueRef product);

#endif
