/* The products of Winograd convolution: for each plane a matrix product, [map tiles,
 * input channels] by [input channels, output channels], by the register tile of direct
 * convolution without its taps.
 *
 *     for each P map tiles of those transformed together
 *       sums[P][Q] = 0                                             P * Q registers
 *       for each block of input channels
 *         prefetch a share of the weights of the next product, and inputs two blocks on
 *         for each channel of the block                            rolled
 *           w[Q] = weights, in the order they lie                  Q registers
 *           for each map tile: b = broadcast of a transformed input    1 register
 *             for each q: sums[tile][q] += b * w[q]
 *       store sums
 *
 * The bound is the multiply-adds. Map tiles that do not exist are computed from arbitrary
 * memory, and never read. */
#include "kernels/winograd/conv_winograd.h"

enum { LINE_FLOATS = 16, AHEAD = 1, BLOCKS_AHEAD = 2 };

typedef struct PlaneProduct {
    Winograder *c;
    LLVMValueRef inputs;  /* address of the first map tile's first channel */
    LLVMValueRef weights; /* address of the panel */
    LLVMValueRef ahead;   /* address of the first line to prefetch, or NULL */
    int64_t ahead_lines;  /* for each block of input channels */
    int tiles, blocks;
} PlaneProduct;

static LLVMValueRef element_of_plane(Module *m, LLVMValueRef base, LLVMValueRef index) {
    return get_element(m, m->f32, base, index);
}

static void prefetch_ahead(Winograder *c, LLVMValueRef first, int64_t lines) {
    for (int64_t i = 0; i < lines; i++)
        emit_prefetch(c->m, element_of_plane(c->m, first, get_i64(c->m, i * LINE_FLOATS)), 3);
}

/* In phases the planes are in L3. Each block of channels is elsewhere, and the
 * multiply-adds of one take longer than the processor looks ahead. */
static void prefetch_inputs(const PlaneProduct *p, LLVMValueRef inputs) {
    Winograder *c = p->c;
    Module *m = c->m;
    LLVMValueRef later = get_element_anywhere(m, m->f32, inputs, get_i64(m, BLOCKS_AHEAD * c->block));
    prefetch_ahead(c, later, ceil_div(p->tiles * c->lanes, LINE_FLOATS));
}

static void multiply_products(const PlaneProduct *p, LLVMValueRef inputs, LLVMValueRef weights,
                              LoopCarried *sums) {
    Winograder *c = p->c;
    Module *m = c->m;
    LLVMValueRef w[8];
    for (int q = 0; q < p->blocks; q++)
        w[q] = emit_aligned_load(m, get_vector(m, m->f32, c->lanes),
                                 element_of_plane(m, weights, get_i64(m, q * c->lanes)));
    for (int t = 0; t < p->tiles; t++) {
        LLVMValueRef x = emit_load(m, m->f32, element_of_plane(m, inputs, get_i64(m, t * c->lanes))),
                     spread = get_splat(m, x, c->lanes);
        for (int q = 0; q < p->blocks; q++)
            sums->at[t * p->blocks + q] = emit_muladd(m, spread, w[q], sums->at[t * p->blocks + q]);
    }
}

static void reduce_block(const PlaneProduct *p, LLVMValueRef block, LoopCarried *sums) {
    Winograder *c = p->c;
    Module *m = c->m;
    int64_t width = p->blocks * c->lanes, each = p->ahead_lines / c->lanes;
    LLVMValueRef channels = get_i64(m, c->lanes), first = emit_affine(m, block, c->lanes, 0), ahead = NULL;
    if (c->shape.inputs % c->lanes)
        channels = emit_min(m, channels, emit_sub(m, get_i64(m, c->shape.inputs), first));
    if (p->ahead)
        ahead = element_of_plane(m, p->ahead, emit_affine(m, block, p->ahead_lines * LINE_FLOATS, 0));
    if (ahead && !each) prefetch_ahead(c, ahead, p->ahead_lines);
    LLVMValueRef inputs = element_of_plane(m, p->inputs, emit_affine(m, block, c->block, 0));
    if (c->tile->phases) prefetch_inputs(p, inputs);
    LLVMValueRef weights = element_of_plane(m, p->weights, emit_affine(m, first, width, 0));
    Loop loop = begin_loop_carried(m, sums, get_i64(m, 0), channels, c->tile->unroll);
    for (int u = 0; u < c->tile->unroll; u++) {
        LLVMValueRef channel = emit_add(m, loop.index, get_i64(m, u));
        multiply_products(p, element_of_plane(m, inputs, channel),
                          element_of_plane(m, weights, emit_affine(m, loop.index, width, u * width)), sums);
        if (ahead && each)
            prefetch_ahead(c, element_of_plane(m, ahead, emit_affine(m, channel, each * LINE_FLOATS, 0)),
                           each);
    }
    end_loop_carried(m, &loop, sums);
}

static void reduce_product_blocks(void *context, LLVMValueRef from, LLVMValueRef to, LoopCarried *sums) {
    const PlaneProduct *p = context;
    Loop loop = begin_loop_carried(p->c->m, sums, from, to, 1);
    reduce_block(p, loop.index, sums);
    end_loop_carried(p->c->m, &loop, sums);
}

static void emit_register_tile(PlaneProduct *p, LLVMValueRef to) {
    Winograder *c = p->c;
    Module *m = c->m;
    LoopCarried sums = {.count = p->tiles * p->blocks};
    for (int i = 0; i < sums.count; i++) sums.at[i] = LLVMConstNull(get_vector(m, m->f32, c->lanes));
    emit_sum_in_parts(m, &sums, get_i64(m, c->sum_blocks), MAX_TERMS / c->lanes, reduce_product_blocks, p);
    for (int i = 0; i < sums.count; i++) {
        int64_t place = i % p->blocks * c->block + i / p->blocks * c->lanes;
        emit_aligned_store(m, sums.at[i], element_of_plane(m, to, get_i64(m, place)));
    }
}

/* The element at which the weights of a plane and group begin. */
static LLVMValueRef find_plane_panel(Winograder *c, LLVMValueRef plane, LLVMValueRef group, int blocks) {
    Module *m = c->m;
    int64_t vector = c->axes[0].in_parities * c->shape.inputs * c->lanes,
            cell = winograd_planes(&c->w) * c->tile->blocks * vector;
    return emit_add(m, emit_affine(m, group, cell, 0), emit_affine(m, plane, blocks * vector, 0));
}

/* The weights of the next product: a task goes through the planes of a group, or, in
 * phases, through the groups of a plane. */
static LLVMValueRef find_next_panel(Winograder *c, LLVMValueRef plane, LLVMValueRef group, int blocks) {
    Module *m = c->m;
    LLVMValueRef planes = get_i64(m, winograd_planes(&c->w)), groups = get_i64(m, c->tile->groups),
                 ahead = get_i64(m, AHEAD);
    LLVMValueRef number = c->tile->phases ? emit_add(m, emit_mul(m, plane, groups), group)
                                          : emit_add(m, emit_mul(m, group, planes), plane);
    number = emit_add(m, number, ahead);
    LLVMValueRef inner = take_part(m, &number, c->tile->phases ? groups : planes);
    return c->tile->phases ? find_plane_panel(c, number, inner, blocks)
                           : find_plane_panel(c, inner, number, blocks);
}

/* Each register tile prefetches its share of them. */
static void set_ahead(PlaneProduct *p, LLVMValueRef first, LLVMValueRef next) {
    Winograder *c = p->c;
    Module *m = c->m;
    int64_t tiles = max_i64(1, c->tile->together / c->tile->pixels);
    int64_t lines = ceil_div(c->lanes * p->blocks * c->lanes, LINE_FLOATS);
    p->ahead_lines = ceil_div(lines, tiles);
    if (p->ahead_lines > c->lanes) p->ahead_lines = round_up(p->ahead_lines, c->lanes);
    LLVMValueRef number = emit_div(m, first, get_i64(m, c->tile->pixels));
    p->ahead = get_element_anywhere(m, m->f32, next,
                                    emit_affine(m, number, p->ahead_lines * c->sum_blocks * LINE_FLOATS, 0));
}

void winograd_emit_products(Winograder *c, LLVMValueRef weights, LLVMValueRef plane, LLVMValueRef group,
                            int blocks, const TileRange *tiles, LLVMValueRef product) {
    Module *m = c->m;
    const WinogradTile *tile = c->tile;
    LLVMValueRef next = get_element_anywhere(m, m->f32, weights, find_next_panel(c, plane, group, blocks));
    LLVMValueRef at = emit_affine(m, plane, tile->plane, 0);
    LLVMValueRef inputs = element_of_plane(m, c->input.planes, at);
    LLVMValueRef to = element_of_plane(m, c->products, emit_add(m, at, emit_affine(m, product, c->block, 0)));
    PlaneProduct p = {.c = c,
                      .weights = element_of_plane(m, weights, find_plane_panel(c, plane, group, blocks)),
                      .blocks = blocks};
    Loop loop = begin_loop(m, tiles->begin, tiles->end, tile->pixels);
    LLVMValueRef first = emit_affine(m, loop.index, c->lanes, 0);
    p.inputs = element_of_plane(m, inputs, first);
    set_ahead(&p, loop.index, next);
    LLVMValueRef left = emit_sub(m, tiles->end, loop.index);
    Branch wide = {0};
    if (tile->rest) {
        wide = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLE, left, get_i64(m, tile->rest), ""));
        p.tiles = tile->rest;
        emit_register_tile(&p, element_of_plane(m, to, first));
        begin_else(m, &wide);
    }
    p.tiles = tile->pixels;
    emit_register_tile(&p, element_of_plane(m, to, first));
    if (tile->rest) end_if(m, &wide);
    end_loop(m, &loop);
}
