/* Chooses the register tile of a convolution, P pixels by Q blocks of output channels, by
 * a model of the cost of one step of the reduction (one input channel of one tap). The
 * model takes the largest of four bounds: multiply-adds issued, loads (a broadcast for
 * each pixel, a vector for each block), the latency of a chain of additions, and reading
 * the weights from L2. It adds the stores of each tile and, where the input does not fit
 * L2, reading it again for every group of output channels.
 *
 * Measured on a core with two 512-bit FMAs: 14x2 by default; 6x4 where the input streams
 * (1x1 256 to 64 at 56x56: 97 % of peak, 14x2 92 %, 28x1 72 %); P x 1 is at the limit of
 * the load ports (90 %); two rows of 7 on 7x7 maps. Nothing spills with P * Q + Q + 1
 * close to the number of registers; 7x4 and 4x8 spill, and fall to a third. Passes and
 * strips were measured on Zen 3, whose L2 of 512 KB holds few layers: passes of half of
 * L1 and strips of a sixth or an eighth of L2 were 2 % slower. */
#include "kernels/conv/conv.h"

enum {
    CHAIN_LATENCY = 4,
    MAX_BLOCKS = 4,
    LONG_STEP = 20,
    TASK_CYCLES = 6000,
    LEAST_TASKS = 64,
    MAX_STRIP_ROWS = 4,
    PASS_TILES = 16
};

int64_t even_length(int64_t count, int64_t max) { return ceil_div(count, ceil_div(count, max)); }

int64_t split_evenly(int64_t count, int64_t max, int64_t *tiles, int64_t *longer) {
    *tiles = ceil_div(count, max);
    int64_t width = even_length(count, max);
    *longer = count - (width - 1) * *tiles;
    return width;
}

static double largest_of_four(double a, double b, double c, double d) {
    double ab = a > b ? a : b, cd = c > d ? c : d;
    return ab > cd ? ab : cd;
}

static const double step_overhead = 0.5;

typedef struct ConvLayer { /* the inputs of the model, at typical sizes */
    const Target *target;
    int64_t bytes; /* of an element as tiles read it */
    int64_t images, height, width, blocks, reduction, taps;
    int64_t input_bytes, weight_bytes;
    /* rows of the input that a strip and the next one both read, in rows of the output */
    int64_t overlap;
    bool plain;
    /* scattered: the weights of a tile are not contiguous */
    bool fixed_height, fixed_width, scattered;
} ConvLayer;

static ConvLayer read_conv_layer(const ConvShape *s, const Dims *dims, const Target *target, bool plain) {
    ConvLayer l = {.target = target, .plain = plain};
    l.bytes = dtype_bytes(s->types.sum);
    l.images = dim_typical(dims, s->images);
    l.height = dim_typical(dims, s->out_size[0]);
    l.width = dim_typical(dims, s->out_size[1]);
    l.fixed_height = dim_is_const(s->out_size[0], NULL) && dim_is_const(s->in_size[0], NULL);
    l.fixed_width = dim_is_const(s->out_size[1], NULL) && dim_is_const(s->in_size[1], NULL);
    l.taps = s->kernel[0] * s->kernel[1];
    l.scattered = (s->transposed || s->turned) && l.taps > 1;
    if (s->transposed) {
        l.height = ceil_div(l.height, s->stride[0]);
        l.width = ceil_div(l.width, s->stride[1]);
        l.taps = max_i64(1, l.taps / (s->stride[0] * s->stride[1]));
    }
    l.blocks = ceil_div(s->outputs, target->lanes);
    l.reduction = s->inputs * l.taps;
    l.weight_bytes = l.bytes * l.reduction * l.blocks * target->lanes;
    l.overlap = s->transposed ? 1 : s->dilation[0] * (s->kernel[0] - 1) / s->stride[0];
    l.input_bytes = l.bytes * s->inputs * dim_typical(dims, s->in_size[0]) * dim_typical(dims, s->in_size[1]);
    return l;
}

static int max_pixels(const Target *t, int blocks) { return (t->registers - 2 - blocks) / blocks; }

/* Measured: 12 multiply-adds are too few (16 registers), 28 are enough (32). */
bool conv_has_long_steps(const Target *target) { return 2 * max_pixels(target, 2) >= LONG_STEP; }

/* Blocks of input channels in a pass, so that its weights take a quarter of L1, or an
 * eighth where only every stride-th tap is read and few cache sets hold them; 0 for all
 * blocks at once. In long steps weights are prefetched instead (choose_prefetch). */
static int pass_depth(const ConvLayer *l, int64_t blocks) {
    const Target *t = l->target;
    int64_t terms = t->lanes * l->taps, bytes = t->l1_bytes / (l->scattered ? 8 : 4);
    int64_t max = min_i64(MAX_TERMS, bytes / (blocks * t->lanes * l->bytes));
    if (conv_has_long_steps(t) || l->plain || terms > MAX_TERMS) return 0;
    int64_t all = ceil_div(l->reduction / l->taps, t->lanes);
    int64_t depth = max_i64(1, min_i64((max + terms / 2) / terms, MAX_TERMS / terms));
    return all <= depth ? 0 : (int)depth;
}

/* Cycles of one tile of `pixels` by `blocks`. The larger of two tiles wins by the
 * constant cost of every step. */
static double tile_cycles(const ConvLayer *l, int64_t pixels, int64_t blocks) {
    const Target *t = l->target;
    double vectors = (double)(pixels * blocks);
    int64_t weight_bytes = l->reduction * blocks * t->lanes * l->bytes, depth = pass_depth(l, blocks);
    double passes = 1;
    if (depth) {
        passes = (double)l->reduction / (double)(depth * t->lanes * l->taps);
        weight_bytes = 0;
    }
    double rate = 4 * weight_bytes > 3 * t->l2_bytes ? t->l3_bytes_per_cycle : t->l2_bytes_per_cycle;
    double stream = weight_bytes > t->l1_bytes / 2 ? (double)(blocks * t->lanes * l->bytes) / rate : 0;
    double loads = 1.2 * (double)(pixels + blocks) / t->loads_per_cycle;
    double step = largest_of_four(vectors / t->fmas_per_cycle, loads, CHAIN_LATENCY, stream) + stream / 8 +
                  step_overhead;
    return step * (double)l->reduction + (2 * passes - 0.5) * vectors + 24 * passes;
}

/* Cycles of reading `bytes` from beyond L2. From memory they cost more than their time
 * alone, as results go there too; from L3 three tenths are hidden (measured on 3x3 with
 * 64 channels at 256x256, where 6x4 reaches 94 % of peak and 14x2 89 %, and with 128 at
 * 128x128, 93 and 91 %). */
static double far_cycles(const ConvLayer *l, double bytes, int64_t whole) {
    return whole < l->target->l3_bytes ? 0.7 * bytes / l->target->l3_bytes_per_cycle
                                       : 1.3 * bytes / l->target->memory_bytes_per_cycle;
}

/* Rows of the output whose input takes a third of L2, which leaves room for weights and
 * results. */
static int64_t strip_rows(const ConvLayer *l) {
    int64_t row_bytes = max_i64(1, l->input_bytes / l->height);
    return max_i64(1, min_i64(l->target->l2_bytes / 3 / row_bytes - l->overlap, l->height));
}

/* What does not stay in L2 is read repeatedly: the input for each group of blocks or,
 * where all groups pass over a strip of rows, the weights for each strip. */
static double weight_stream_cycles(const ConvLayer *l, int64_t groups, bool strips) {
    const Target *t = l->target;
    double images = (double)l->images;
    if (!strips)
        return l->input_bytes < t->l2_bytes
                   ? 0
                   : far_cycles(l, images * (double)(groups * l->input_bytes), l->input_bytes);
    int64_t rows = strip_rows(l), times = ceil_div(l->height, rows);
    double input = (double)l->input_bytes * (double)(rows + l->overlap) / (double)rows;
    double weights = l->weight_bytes < t->l2_bytes / 2
                         ? 0
                         : far_cycles(l, images * (double)(times * l->weight_bytes), l->weight_bytes);
    return far_cycles(l, images * input, l->input_bytes) + weights;
}

/* A row of tiles, `rows` high, over `length` pixels. */
static double row_cycles(const ConvLayer *l, int64_t length, int64_t rows, const ConvTile *tile,
                         int64_t blocks, int64_t *tiles) {
    int64_t longer, width = split_evenly(length, tile->pixels, tiles, &longer);
    double wide = tile_cycles(l, width * rows, blocks);
    if (!l->fixed_width) { /* full tiles, and one of the least width that holds the rest */
        int64_t whole = length / tile->pixels, rest = length % tile->pixels;
        double each = tile_cycles(l, min_i64(rest > 4 ? 8 : 4, tile->pixels) * rows, blocks);
        return (double)whole * tile_cycles(l, tile->pixels * rows, blocks) +
               1.3 * each * (double)((rest + 7) / 8);
    }
    if (longer == *tiles) return (double)*tiles * wide;
    return (double)longer * wide + (double)(*tiles - longer) * tile_cycles(l, (width - 1) * rows, blocks);
}

/* All tiles over one image: `count` rows of `length` pixels. */
static double map_cycles(const ConvLayer *l, int64_t length, int64_t count, const ConvTile *tile,
                         int64_t blocks, int64_t *tiles) {
    int64_t across, whole = count / tile->rows, rest = count % tile->rows;
    double cycles = (double)whole * row_cycles(l, length, tile->rows, tile, blocks, &across);
    if (rest) cycles += row_cycles(l, length, rest, tile, blocks, &across);
    *tiles = across * (whole + (rest > 0));
    return cycles;
}

/* All cycles except for reading from beyond L2; *tiles: of a group of output blocks. */
static double layer_cycles(const ConvLayer *l, const ConvTile *tile, int64_t *tiles) {
    int64_t length = l->width, count = l->height;
    if (tile->flat_rows) length *= tile->flat_rows, count /= tile->flat_rows;
    if (tile->flat_pixels) length *= count, count = 1;
    int64_t whole = l->blocks / tile->blocks, rest = l->blocks % tile->blocks;
    double cycles = (double)whole * map_cycles(l, length, count, tile, tile->blocks, tiles);
    if (rest) cycles += map_cycles(l, length, count, tile, rest, tiles);
    return cycles * (double)l->images;
}

static int64_t group_count(const ConvLayer *l, const ConvTile *tile) {
    return ceil_div(l->blocks, tile->blocks);
}

static void consider_tile(const ConvLayer *l, ConvTile tile, ConvTile *best, double *best_cycles) {
    int64_t tiles;
    double near = layer_cycles(l, &tile, &tiles);
    for (int strips = 0; strips <= (l->input_bytes >= l->target->l2_bytes); strips++) {
        tile.strips = strips;
        double cycles = near + weight_stream_cycles(l, group_count(l, &tile), strips);
        if (best->pixels && cycles >= *best_cycles * 0.995) continue;
        *best = tile;
        *best_cycles = cycles;
    }
}

/* Flat maps: rows joined where sizes are fixed, pieces of sixteen tiles where they are
 * free. */
static void consider_flat(const ConvLayer *l, ConvTile tile, ConvTile *best, double *cycles) {
    if (!l->fixed_width || !l->fixed_height) {
        tile.flat_pixels = 16 * tile.pixels;
        consider_tile(l, tile, best, cycles);
        return;
    }
    for (int64_t join = 2; join <= l->height && join * l->width <= 16 * tile.pixels; join++) {
        if (l->height % join != 0) continue;
        tile.flat_rows = join;
        consider_tile(l, tile, best, cycles);
    }
}

static void consider_rows(const ConvLayer *l, ConvTile tile, ConvTile *best, double *cycles) {
    if (!l->fixed_width || !l->fixed_height) return;
    for (tile.rows = 2; tile.rows <= MAX_STRIP_ROWS && tile.rows * l->width <= tile.pixels; tile.rows++) {
        ConvTile rows = tile;
        rows.pixels = (int)l->width;
        if (rows.rows <= l->height) consider_tile(l, rows, best, cycles);
    }
}

/* As many rows a task as outweigh its overhead, but enough tasks for many cores. */
static int choose_task_rows(const ConvLayer *l, const ConvTile *tile, double cycles) {
    int64_t rows = tile->flat_rows ? l->height / tile->flat_rows : ceil_div(l->height, tile->rows);
    if (tile->flat_pixels) return 1;
    int64_t all = max_i64(1, l->images * rows * group_count(l, tile));
    int64_t wanted = (int64_t)(TASK_CYCLES * (double)all / (cycles + 1)) + 1;
    if (tile->strips) wanted = max_i64(1, strip_rows(l) * rows / l->height);
    if (tile->depth) { /* each task reads its weights from beyond L1 once */
        int64_t across = max_i64(1, l->width * max_i64(1, tile->flat_rows) / tile->pixels);
        wanted = max_i64(wanted, PASS_TILES / across + 1);
    }
    return (int)max_i64(1, min_i64(min_i64(wanted, rows), all / LEAST_TASKS));
}

/* Weights of a group that do not stay in L1 are prefetched: 97 to 100 % of peak at
 * 56x56x64, and 45 to 86 % where weights and input together do not fit L2 (1024 channels
 * at 16x16). A tile of one block has no load port to spare for prefetches, nor have short
 * steps (1x1 with AVX2: 86 instead of 91 %): these have passes, and prefetch the input of
 * the next tile once a block. A phase of a transposed convolution reads only every
 * stride-th tap, so that the next cache lines are not what it reads next. Weights of the
 * next group are prefetched into L2 on small maps, where they are used faster than the
 * core fetches them; but not on the smallest maps, where prefetching costs more than it
 * gains. */
static void choose_prefetch(const ConvLayer *l, ConvTile *tile, int64_t tiles) {
    int64_t all = tiles * l->images,
            lines = l->target->lanes * tile->blocks * l->target->lanes * l->bytes / LINE_BYTES;
    tile->prefetch_next = !conv_has_long_steps(l->target) && !l->plain;
    if (tile->depth || l->reduction * tile->blocks * l->target->lanes * l->bytes <= l->target->l1_bytes / 2)
        return;
    if (tile->blocks >= 2 && conv_has_long_steps(l->target) && !l->scattered) tile->near_lines = 32;
    if (all > 2 && all <= 64 && !l->scattered && !tile->strips) tile->next_lines = (int)ceil_div(lines, all);
}

ConvTile conv_choose_tile(const ConvShape *s, const Dims *dims, const Target *target, TileLimits limits,
                          double *cycles) {
    ConvLayer l = read_conv_layer(s, dims, target, limits.plain);
    ConvTile best = {0};
    for (int blocks = 2; blocks <= MAX_BLOCKS + 1; blocks++) {
        ConvTile tile = {
            .blocks = blocks > MAX_BLOCKS ? 1 : blocks, .rows = 1, .plain = limits.plain, .unroll = 1};
        if (tile.blocks > l.blocks || (limits.blocks && tile.blocks != limits.blocks)) continue;
        int max = max_pixels(target, tile.blocks);
        for (tile.pixels = max; tile.pixels >= 1 && tile.pixels >= max / 3; tile.pixels--) {
            consider_tile(&l, tile, &best, cycles);
            if (limits.flat && !limits.plain) consider_flat(&l, tile, &best, cycles);
            if (tile.pixels == max && !limits.plain) consider_rows(&l, tile, &best, cycles);
        }
    }
    int64_t tiles;
    layer_cycles(&l, &best, &tiles);
    best.depth = pass_depth(&l, best.blocks);
    best.task_rows = choose_task_rows(&l, &best, *cycles);
    choose_prefetch(&l, &best, tiles);
    if (s->inputs % 4 == 0)
        best.unroll = conv_has_long_steps(target) ? (best.blocks > 2 ? 2 : 1) : l.taps == 1 ? 4 : 2;
    return best;
}
