/* Winograd convolution: 3x3 kernels of stride 1 by F(2x2, 3x3) and F(4x4, 3x3), with 2.25
 * and 4 times fewer multiply-adds, 4x4 kernels by F(3x3, 4x4), 4 times, and 4x4 kernels
 * of stride 2 by F(4x4, 2x2), 2.56 times. A tile of (m + r - 1)^2 inputs is transformed,
 * multiplied place by place ("plane") with transformed weights and summed over input
 * channels, and transformed back to m^2 outputs (plan/winograd.c has the matrices). Input
 * and output BLOCKED, weights by winograd_format.
 *
 * With stride 2 the parities of the input are transformed like so many more channels, and
 * those of a transpose's output are computed like so many more groups of output channels,
 * each from tiles of its own: what a parity reads begins a place later than another.
 *
 * Where the weights of all planes stay in the cache, a task does everything for some map
 * tiles, in its own scratch:
 *
 *     task: `together` map tiles of all images
 *       for each block of input channels, of each parity: transform the map tiles  winograd_transform.c
 *       for each group of Q blocks of output channels
 *         for each plane: products, P map tiles at a time                          winograd_product.c
 *         for each block of the group: transform back, epilogue, store
 *
 * Where there are many weights, or few map tiles, every task would stream the weights, or
 * threads would have no task. Then there are three launches, in rounds of `together` map
 * tiles, of a parity of the output, over a workspace, and weights are read once a round:
 *
 *     tasks: block of input channels, a part of the map tiles      transform
 *     tasks: plane, a part of the groups                           products
 *     tasks: block of output channels, a part of the map tiles     transform back, epilogue, store
 *
 * Packing weights that the run computes would write four to six times as many bytes to
 * memory as it reads, and the products read them again. Where few map tiles meet many
 * output channels, a round has all map tiles and some groups of output channels instead
 * of all, and a launch before these, whose tasks transform some inputs of the weights of
 * a group (kernels/reorder), which L3 holds. The products of a round read all transformed
 * inputs from L3: its groups are as many as give each input enough work.
 *
 * Effective share of peak (FLOPs of direct convolution) on a core with two 512-bit FMAs
 * at 249 GFLOP/s, warm / weights flushed from all caches, by build/kernel_bench; direct
 * convolution has 92 to 107:
 *
 *     F(4, 3)  56x56x64     287 / 258        128x128x128  293 / 291        F(2, 3)  14x14x256   170 / 146
 *              28x28x128    273 / 240        64x64x256    285 / 284                  7x7x512    110 /  53
 *              384x384x64   255 / 252        64x64x512    303 / 292        F(4, 3)  14x14x256   185 /  92
 *
 * The products reach 99 % of peak where they read from L2, and 80 to 85 % in phases,
 * whose planes are in L3; the transforms take 30 % of the time of 64 channels. Tried, and
 * not faster: planes outermost in memory, with the blocks of channels inside (10 %
 * slower: 36 pages a map tile); prefetching all transformed inputs of the next plane, the
 * lines of products before they are stored, or maps a tile ahead (no gain in programs,
 * whose memory is in huge pages); prefetching weights two and three panels ahead instead
 * of one (3 to 5 % slower); storing results past the caches even where the next layer
 * would find them in L3. */
#include "kernels/winograd/conv_winograd.h"

#include "kernels/reorder/reorder.h"
#include <math.h>

enum {
    MAX_TOGETHER = 144,
    PARTS = 4,
    LEAST_TASKS = 8,
    MANY_TASKS = 16,
    PRODUCT_TASKS = 72,
    WEIGHT_CHANNELS = 16 /* inputs whose weights a task transforms */,
    ROUND_OUTPUTS = 64 /* of a round that transforms weights: for each input that it reads from L3 */,
    LAUNCH_CYCLES = 3000,
    LEAST_PLACES = 4000
};

/* ---- the shape ---- */

/* With K taps, and p places before it, tap k of a transpose gives output i of what it
 * reads at (i + p - k) / stride. By the number q = K - 1 - k, output stride * i + e reads
 * i + first + t, with the taps q = stride * t + parity, where e + p + parity - (K - 1) =
 * stride * first. */
static void set_transposed_axis(WinogradAxis *a, const ConvShape *s, int axis) {
    for (int parity = 0; parity < 2; parity++) {
        int64_t before = s->kernel[axis] - 1 - s->before[axis] - parity, stride = s->stride[axis];
        a->out_first[parity] = (before % stride + stride) % stride;
        a->first[parity] = (a->out_first[parity] - before) / stride;
    }
}

WinogradAxis winograd_axis(const ConvShape *s, int axis) {
    int64_t stride = s->stride[axis], before = s->before[axis];
    WinogradAxis a = {.taps = (int)(s->kernel[axis] / stride), .stride = stride, .out_step = 1};
    a.in_parities = a.out_parities = 1;
    a.first[0] = -before;
    a.first[1] = 1 - before;
    *(s->transposed ? &a.out_parities : &a.in_parities) = (int)(s->stride[0] * s->stride[1]);
    if (!s->transposed) return a;
    a.out_step = stride;
    a.stride = 1;
    set_transposed_axis(&a, s, axis);
    return a;
}

int64_t winograd_block(const WinogradTile *tile) { return winograd_planes(&tile->w) * tile->plane; }

/* ---- the choice ---- */

Format winograd_format(int lanes, const WinogradTile *tile) {
    const bool transposed = tile->shape.transposed;
    Format format = {
        .name = "winograd", .converts = true, .type = tile->shape.types.sum, .winograd = tile->w.outputs};
    format.stride = tile->shape.stride[0];
    format.transposed = transposed;
    format_add_axis(&format, format_axis(transposed ? 1 : 0));
    format_add_axis(&format, format_axis(transposed ? 0 : 1));
    format_add_axis(&format, format_axes(2, 3));
    format.axes[WINOGRAD_OUTPUTS].multiple = lanes;
    if (transposed) format_add_level(&format, WINOGRAD_TAPS, winograd_planes(&tile->w));
    format_add_level(&format, WINOGRAD_OUTPUTS, (int64_t)tile->blocks * lanes);
    format_add_level(&format, WINOGRAD_TAPS, 1);
    format_add_level(&format, WINOGRAD_INPUTS, 1);
    format_add_level(&format, WINOGRAD_OUTPUTS, 1);
    return format;
}

typedef struct WinogradLayer { /* the inputs of the model, at typical sizes */
    const Target *target;
    Winograd w;
    int64_t bytes;                 /* of an element, transformed */
    int64_t tiles, inputs;         /* of a parity of the output, of all parities of the input */
    int64_t in_blocks, out_blocks; /* of channels, likewise */
    int64_t in_parities, out_parities;
    bool fixed_map, fixed_count; /* height and width; the number of map tiles */
    bool constant;               /* the weights */
    double map_bytes[2];         /* of the input and the output */
    /* bytes of transformed weights: of this layer, and of the network, if all its layers
     * were transformed like this one */
    double weights, network;
    double growth; /* how many times as many numbers the taps become */
} WinogradLayer;

/* How many times as many numbers the taps become. */
static double winograd_growth(const ConvShape *s, const Winograd *w) {
    double parities = (double)(s->stride[0] * s->stride[1]);
    return parities * winograd_planes(w) / (double)(s->kernel[0] * s->kernel[1]);
}

static Dim tiles_along(Dims *dims, const ConvShape *s, int axis, int outputs) {
    return dim_ceil_div(dims, s->out_size[axis], outputs * winograd_axis(s, axis).out_step);
}

static Dim count_tiles(Dims *dims, const ConvShape *s, int outputs) {
    return dim_mul(dims, s->images,
                   dim_mul(dims, tiles_along(dims, s, 0, outputs), tiles_along(dims, s, 1, outputs)));
}

static double bytes_of_map(const Kernel *kernel, int64_t channels, const Dim size[2], Dim images, int lanes) {
    int64_t places = typical(kernel, images) * typical(kernel, size[0]) * typical(kernel, size[1]);
    return (double)(places * round_up(channels, lanes));
}

static WinogradLayer read_winograd_layer(const Kernel *kernel, const ConvShape *s, const Winograd *w) {
    const Program *program = kernel->program;
    const Target *target = program->target;
    Dims *dims = program->graph->dims;
    Dim tiles = count_tiles(dims, s, w->outputs);
    WinogradAxis axis = winograd_axis(s, 0);
    WinogradLayer l = {.target = target, .w = *w, .bytes = dtype_bytes(s->types.sum)};
    l.in_parities = axis.in_parities;
    l.out_parities = axis.out_parities;
    l.inputs = s->inputs * l.in_parities;
    l.fixed_count = dim_is_const(tiles, NULL);
    l.fixed_map = dim_is_const(s->out_size[0], NULL) && dim_is_const(s->out_size[1], NULL);
    l.tiles = typical(kernel, tiles);
    l.in_blocks = ceil_div(s->inputs, target->lanes) * l.in_parities;
    l.out_blocks = ceil_div(s->outputs, target->lanes);
    double bytes = (double)l.bytes;
    l.growth = winograd_growth(s, w);
    l.map_bytes[0] = bytes * bytes_of_map(kernel, s->inputs, s->in_size, s->images, target->lanes);
    l.map_bytes[1] = bytes * bytes_of_map(kernel, s->outputs, s->out_size, s->images, target->lanes);
    l.weights = l.growth * (double)(s->kernel[0] * s->kernel[1] * s->inputs * l.out_blocks * target->lanes);
    l.weights *= bytes;
    l.constant = kernel->inputs[1]->space == SPACE_WEIGHTS;
    l.network = l.constant ? l.growth * (double)program->raw_weights_bytes : l.weights;
    return l;
}

static bool is_deep(const WinogradLayer *l) {
    return 2 * l->inputs * l->target->lanes * l->bytes > l->target->l1_bytes;
}

/* Cycles of all products by tiles of `pixels` by `blocks`. Where the weights of two
 * blocks fill L1, so that transformed inputs come from L2, two blocks cost a little more
 * than four, which read the inputs half as often (measured on 512 channels: 5 %). */
static double product_cycles(const WinogradLayer *l, int pixels, int blocks) {
    const Target *t = l->target;
    double vectors = (double)(pixels * blocks), loads = 1.2 * (double)(pixels + blocks) / t->loads_per_cycle;
    /* 4: the latency of an addition in the chain */
    double step = fmax(fmax(vectors / t->fmas_per_cycle, loads), 4) + 0.5;
    if (is_deep(l) && blocks <= 2) step *= 1.05;
    double tiles = ceil((double)l->tiles / (double)pixels),
           groups = ceil((double)l->out_blocks / (double)blocks);
    return winograd_planes(&l->w) * (double)l->out_parities * groups * tiles *
           (step * (double)l->inputs + 1.5 * vectors + 24);
}

static void choose_register_tile(const WinogradLayer *l, WinogradTile *tile) {
    double best = 0;
    for (int blocks = (int)min_i64(2, l->out_blocks);
         blocks <= min_i64(4, l->out_blocks) && blocks * 8 <= l->target->registers; blocks += 2) {
        int max = (l->target->registers - 2 - blocks) / blocks;
        for (int pixels = max; pixels >= (max + 1) / 2; pixels--) {
            double cycles = product_cycles(l, pixels, blocks);
            if (best > 0 && cycles >= 0.995 * best) continue;
            best = cycles;
            tile->pixels = pixels;
            tile->blocks = blocks;
        }
    }
}

/* A map beyond L2 costs half as much again (measured: 1.3 to 1.7 times). */
static double transforms_cycles(const WinogradLayer *l) {
    const Target *t = l->target;
    double in = winograd_inputs_cycles(&l->w, t), out = winograd_results_cycles(&l->w, t);
    for (int i = 0; i < 2; i++)
        if (l->map_bytes[i] > (double)t->l2_bytes) *(i ? &out : &in) *= 1.5;
    return (double)(l->tiles * l->out_parities) * ((double)l->in_blocks * in + (double)l->out_blocks * out);
}

/* The rate, in bytes a cycle, of reading weights that were last used in the run before:
 * the cache that still holds them depends on the weights of all layers. */
static double cold_rate(const WinogradLayer *l, const WinogradTile *tile) {
    const Target *t = l->target;
    if (tile->transforms_weights) return t->l3_bytes_per_cycle;
    if (l->network <= (double)t->l2_bytes / 2) return t->l2_bytes_per_cycle;
    return l->network <= 8 * (double)t->l3_bytes ? t->l3_bytes_per_cycle : t->memory_bytes_per_cycle;
}

/* The cycles of reading weights that the work does not hide (measured: a third, and all
 * where reading takes as long as the work), less those of direct convolution, whose cost
 * leaves them out. */
static double winograd_stream_cycles(const WinogradLayer *l, const WinogradTile *tile, double warm) {
    double cycles = l->weights / cold_rate(l, tile), exposed = fmin(1, fmax(0.35, cycles / warm));
    return cycles * (exposed - 0.35 / l->growth);
}

/* An odd number of lines, so that the planes of a map tile spread over all sets of L1. */
static int64_t plane_of(const WinogradLayer *l, int64_t together) {
    int64_t line = LINE_BYTES / l->bytes, lines = ceil_div(together * l->target->lanes, line);
    return (lines | 1) * line;
}

/* Chooses how many map tiles are transformed together: the transformed inputs (in phases,
 * one plane of them) take an eighth of L2, and the map of one image is divided evenly. */
static void choose_together(const WinogradLayer *l, WinogradTile *tile) {
    int64_t each = l->in_blocks * l->target->lanes * l->bytes, planes = winograd_planes(&l->w),
            all = round_up(l->tiles, tile->pixels);
    tile->together = max_i64(2, l->target->l2_bytes / 8 / (each * planes) / tile->pixels) * tile->pixels;
    if (l->tiles < MANY_TASKS * tile->together) tile->together = tile->pixels;
    tile->phases = l->weights > 2 * (double)l->target->l2_bytes || l->tiles < LEAST_TASKS * tile->together;
    int64_t plane = min_i64(l->target->l2_bytes / 8 / each, MAX_TOGETHER);
    if (tile->phases) tile->together = max_i64(2, plane / tile->pixels) * tile->pixels;
    int64_t times = max_i64(1, (all + tile->together / 2) / tile->together);
    if (tile->phases ? l->fixed_map : l->fixed_count)
        tile->together = round_up(ceil_div(all, times), tile->pixels);
}

/* A round transforms weights where they are many for so few map tiles: it has all of
 * these, since rounds of others would transform the weights again, and transformed inputs
 * then are at most half as many numbers as all transformed weights. */
static void choose_own_weights(const WinogradLayer *l, WinogradTile *tile) {
    int64_t outputs = l->out_blocks * l->target->lanes, group = (int64_t)tile->blocks * l->target->lanes;
    tile->groups = ceil_div(outputs, group);
    tile->transforms_weights = tile->phases && !l->constant && l->fixed_count && 2 * l->tiles <= outputs;
    if (!tile->transforms_weights) return;
    tile->groups = min_i64(tile->groups, max_i64(1, ROUND_OUTPUTS / group));
    tile->together = round_up(l->tiles, tile->pixels);
}

/* Into how many tasks the products of a plane are divided: of all groups, or, where there
 * are few groups in a round, of the map tiles, whose inputs leave room for the weights
 * in L2. */
static int choose_product_parts(const WinogradLayer *l, const WinogradTile *tile) {
    int64_t shared = tile->transforms_weights ? tile->together / tile->pixels : tile->groups;
    int64_t parts = ceil_div(PRODUCT_TASKS, winograd_planes(&l->w));
    int64_t plane = tile->together * l->in_blocks * l->target->lanes * l->bytes;
    if (tile->transforms_weights) parts = max_i64(parts, ceil_div(plane, l->target->l2_bytes / 4));
    return (int)min_i64(shared, parts);
}

static double transforming_cycles(const WinogradLayer *l) {
    double vectors = (double)(l->in_blocks * l->target->lanes * l->out_blocks * l->out_parities);
    return vectors * winograd_weights_cycles(&l->w, l->target) +
           l->weights / l->growth / l->target->memory_bytes_per_cycle;
}

static WinogradTile choose_winograd_tile(const ConvShape *s, const WinogradLayer *l, double *cycles) {
    WinogradTile tile = {.shape = *s, .w = l->w, .unroll = 1};
    choose_register_tile(l, &tile);
    choose_together(l, &tile);
    choose_own_weights(l, &tile);
    if (!l->fixed_count) tile.rest = tile.pixels / 2;
    if (!conv_has_long_steps(l->target) && l->inputs % 2 == 0) tile.unroll = 2;
    tile.plane = plane_of(l, tile.together);
    tile.parts = PARTS;
    tile.product_parts = choose_product_parts(l, &tile);
    double warm = product_cycles(l, tile.pixels, tile.blocks) + transforms_cycles(l);
    if (tile.phases) warm += LAUNCH_CYCLES;
    *cycles = warm + winograd_stream_cycles(l, &tile, warm);
    if (tile.transforms_weights) *cycles += transforming_cycles(l);
    return tile;
}

/* The cheaper of all F(m, r) for the r taps of a parity. */
static void choose_winograd(const Kernel *kernel, const ConvShape *s, WinogradTile *best,
                            Proposal *proposal) {
    static const struct { int outputs, taps; } choices[] = {{4, 2}, {2, 3}, {4, 3}, {3, 4}};
    const Target *target = kernel->program->target;
    int wanted = kernel->program->winograd;
    double best_all = 0;
    for (int i = 0; i < COUNT_OF(choices); i++) {
        double cycles;
        if (choices[i].taps != winograd_axis(s, 0).taps) continue;
        if (wanted && choices[i].outputs != wanted) continue;
        Winograd w = winograd(choices[i].outputs, choices[i].taps);
        WinogradLayer l = read_winograd_layer(kernel, s, &w);
        WinogradTile tile = choose_winograd_tile(s, &l, &cycles);
        Format format = winograd_format(target->lanes, &tile);
        double all = cycles + (tile.transforms_weights ? 0 : packing_cycles(kernel, 1, &format));
        if (best->pixels && all >= best_all) continue;
        *best = tile;
        best_all = all;
        proposal->cycles = cycles;
        conv_prefer_blocks(kernel, proposal, &format);
        if (tile.transforms_weights) proposal->inputs[1] = (OperandPreference){&format_plain, STRIDES_ANY};
    }
}

/* Floats of the weights of a group, transformed. */
static int64_t weights_of_group(const WinogradTile *tile, int lanes) {
    int64_t inputs = tile->shape.inputs * winograd_axis(&tile->shape, 0).in_parities;
    return winograd_planes(&tile->w) * tile->blocks * lanes * inputs;
}

static int64_t blocks_of_round(const WinogradTile *tile, int lanes) {
    return min_i64(tile->groups * tile->blocks, ceil_div(tile->shape.outputs, lanes));
}

/* Transformed inputs, products and weights. */
static WorkingMemory winograd_memory(Dims *dims, const WinogradTile *tile, int lanes) {
    const ConvShape *s = &tile->shape;
    int64_t in_blocks = ceil_div(s->inputs, lanes) * winograd_axis(s, 0).in_parities;
    int64_t blocks = in_blocks + (tile->phases ? blocks_of_round(tile, lanes) : tile->blocks);
    int64_t floats = blocks * winograd_block(tile);
    if (tile->transforms_weights) floats += tile->groups * weights_of_group(tile, lanes);
    Dim bytes = dim_const(dims, floats * dtype_bytes(s->types.sum));
    return tile->phases ? (WorkingMemory){.workspace = bytes} : (WorkingMemory){.scratch = bytes};
}

/* Parities follow each other in a sum: their channels must be whole blocks. */
static bool takes_parities(const ConvShape *s, int lanes) {
    return winograd_axis(s, 0).in_parities == 1 || s->inputs % lanes == 0;
}

/* Transformed weights of stride 2 are 6.25 times as large. As constants they make a
 * program larger, and its first run slower, by about what maps of fewer places save:
 * pix2pix at 256 had 173 MB more, and took as long. */
static bool is_worth_its_weights(const Kernel *kernel, const ConvShape *s) {
    const Dim *smaller = s->transposed ? s->in_size : s->out_size;
    int64_t places = typical(kernel, s->images) * typical(kernel, smaller[0]) * typical(kernel, smaller[1]);
    bool constant = kernel->inputs[1]->space == SPACE_WEIGHTS;
    return kernel->program->winograd || s->stride[0] == 1 || !constant || places >= LEAST_PLACES;
}

bool conv_winograd_propose(const Kernel *kernel, Proposal *proposal) {
    const Program *program = kernel->program;
    int64_t lanes = program->target->lanes;
    ConvShape s;
    if (program->winograd < 0 || !conv_shape(kernel, &s) || !winograd_takes(kernel->anchor)) return false;
    if (s.types.sum != DTYPE_F32 || !takes_parities(&s, (int)lanes)) return false;
    if (!is_worth_its_weights(kernel, &s)) return false;
    WinogradTile *tile = NEW(program->arena, WinogradTile);
    choose_winograd(kernel, &s, tile, proposal);
    if (!tile->pixels) return false;
    proposal->tile = tile;
    proposal->memory = winograd_memory(program->graph->dims, tile, (int)lanes);
    int64_t numbers = s.stride[0] * s.stride[1] * winograd_planes(&tile->w) - s.kernel[0] * s.kernel[1];
    if (!tile->transforms_weights)
        proposal->more_weights = numbers * round_up(s.outputs, lanes) * s.inputs * dtype_bytes(s.types.sum);
    proposal->rounds_by_place = true;
    proposal->error = winograd_error(&tile->w, s.inputs * winograd_axis(&s, 0).in_parities);
    return true;
}

/* Of a parity of the output. */
static Dim rounds_of_tiles(Dims *dims, const WinogradTile *tile) {
    return dim_ceil_div(dims, count_tiles(dims, &tile->shape, tile->w.outputs), tile->together);
}

static int64_t rounds_of_groups(const WinogradTile *tile, int lanes) {
    int64_t groups = ceil_div(ceil_div(tile->shape.outputs, lanes), tile->blocks);
    return ceil_div(groups, tile->groups);
}

static Dim rounds_of_all(Dims *dims, const WinogradTile *tile, int lanes) {
    int64_t parities = winograd_axis(&tile->shape, 0).out_parities;
    return dim_scale(dims, rounds_of_tiles(dims, tile), parities * rounds_of_groups(tile, lanes));
}

/* Of a group. */
static int64_t weight_parts(const WinogradTile *tile) {
    return ceil_div(tile->shape.inputs, WEIGHT_CHANNELS);
}

static void set_winograd_phases(Program *program, Kernel *kernel, const ConvShape *s,
                                const WinogradTile *tile) {
    Dims *dims = program->graph->dims;
    int64_t lanes = program->target->lanes, planes = winograd_planes(&tile->w);
    int64_t inputs = ceil_div(s->inputs, lanes) * winograd_axis(s, 0).in_parities * tile->parts,
            products = planes * tile->product_parts,
            results = blocks_of_round(tile, (int)lanes) * tile->parts;
    const char *names[] = {"weights", "inputs", "products", "results"};
    Dim tasks[] = {dim_const(dims, weight_parts(tile) * tile->groups), dim_const(dims, inputs),
                   dim_const(dims, products), dim_const(dims, results)};
    int first = !tile->transforms_weights;
    kernel_set_phases(kernel, names + first, tasks + first, COUNT_OF(names) - first);
    kernel->rounds = rounds_of_all(dims, tile, (int)lanes);
}

/* Into how many the tasks divide the places of a block of the result; 0 where that is not
 * known. */
static int64_t parts_of_block(Dims *dims, const WinogradTile *tile) {
    int64_t rounds, parities = winograd_axis(&tile->shape, 0).out_parities;
    if (!dim_is_const(rounds_of_tiles(dims, tile), &rounds)) return 0;
    return rounds * parities * (tile->phases ? tile->parts : 1);
}

void conv_winograd_settle(Program *program, Kernel *kernel) {
    Dims *dims = program->graph->dims;
    const WinogradTile *tile = kernel->proposal.tile;
    const ConvShape *s = &tile->shape;
    store_sums(program, kernel, parts_of_block(dims, tile));
    ConvTile registers = {.pixels = tile->pixels, .rows = 1, .blocks = tile->blocks};
    kernel_set_name(kernel, "conv_winograd_f%d_%s%s%lld", tile->w.outputs,
                    conv_describe(program->arena, s, &registers), tile->phases ? "p" : "b",
                    (long long)tile->together);
    kernel->tasks = rounds_of_all(dims, tile, program->target->lanes);
    if (tile->phases) set_winograd_phases(program, kernel, s, tile);
}

/* ---- emission ---- */

static WinogradMap map_of_inputs(const Winograder *c) {
    const ConvShape *s = &c->shape;
    WinogradMap map = {.address = get_argument(c->m, 1),
                       .strides = c->kernel->inputs[0]->strides,
                       .type = s->types.left,
                       .stride = c->axes[0].stride,
                       .step = c->w.outputs * c->axes[0].stride,
                       .side = c->w.size};
    for (int i = 0; i < 2; i++) {
        map.size[i] = s->in_size[i];
        memcpy(map.first[i], c->axes[i].first, sizeof map.first[i]);
    }
    return map;
}

static Winograder begin_function(Module *m, const Kernel *kernel, const char *name) {
    Dims *dims = kernel->program->graph->dims;
    begin_kernel(m, name);
    Winograder c = {.m = m, .kernel = kernel, .tile = kernel->proposal.tile, .lanes = m->target->lanes};
    c.shape = c.tile->shape;
    c.w = c.tile->w;
    for (int i = 0; i < 2; i++) c.axes[i] = winograd_axis(&c.shape, i);
    c.plane = c.tile->plane;
    c.block = winograd_block(c.tile);
    c.epilogue = (Epilogue){.module = m, .kernel = kernel};
    c.in_blocks = ceil_div(c.shape.inputs, c.lanes);
    c.out_blocks = ceil_div(c.shape.outputs, c.lanes);
    c.sum_blocks = c.in_blocks * c.axes[0].in_parities;
    c.groups = ceil_div(c.out_blocks, c.tile->blocks);
    c.input = map_of_inputs(&c);
    c.weights = get_argument(m, 2);
    c.input.planes = c.tile->phases ? get_argument(m, kernel->input_count + 1) : m->scratch;
    c.products = get_element(m, m->f32, c.input.planes, get_i64(m, c.sum_blocks * c.block));
    if (c.tile->transforms_weights)
        c.transformed =
            get_element(m, m->f32, c.products, get_i64(m, blocks_of_round(c.tile, c.lanes) * c.block));
    c.rows = get_dim(m, tiles_along(dims, &c.shape, 0, c.w.outputs));
    c.columns = get_dim(m, tiles_along(dims, &c.shape, 1, c.w.outputs));
    c.count = get_dim(m, count_tiles(dims, &c.shape, c.w.outputs));
    c.between = emit_stack(m, get_vector(m, m->f32, c.lanes), winograd_planes(&c.w));
    c.edge = emit_stack(m, get_vector(m, m->f32, c.lanes), winograd_planes(&c.w) + 1);
    return c;
}

/* A group of output blocks, of a parity of the output, whose last may have fewer blocks
 * than the others. */
typedef void (*GroupEmitter)(Winograder *c, LLVMValueRef group, int blocks, void *context);

static void emit_group(Winograder *c, LLVMValueRef group, GroupEmitter emit, void *context) {
    Module *m = c->m;
    int blocks = c->tile->blocks, rest = (int)(c->out_blocks % blocks);
    if (!rest || c->groups == 1) {
        emit(c, group, rest ? rest : blocks, context);
        return;
    }
    Branch whole = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, group, get_i64(m, c->groups - 1), ""));
    emit(c, group, blocks, context);
    begin_else(m, &whole);
    emit(c, group, rest, context);
    end_if(m, &whole);
}

/* Packed weights of a parity of the output. */
static LLVMValueRef weights_of_parity(Winograder *c, LLVMValueRef parity) {
    int64_t all =
        winograd_planes(&c->w) * c->out_blocks * c->axes[0].in_parities * c->shape.inputs * c->lanes;
    return get_element(c->m, c->m->f32, c->weights, emit_affine(c->m, parity, all, 0));
}

static LLVMValueRef planes_of(Winograder *c) { return get_i64(c->m, winograd_planes(&c->w)); }

/* Block `number` of all parities, of which each has so many. */
static WinogradBlock take_block(Winograder *c, LLVMValueRef number, int64_t blocks, int parities) {
    Module *m = c->m;
    WinogradBlock block = {.number = number};
    block.block = parities > 1 ? take_part(m, &number, get_i64(m, blocks)) : number;
    winograd_take_parity(m, &number, parities, block.parity);
    return block;
}

typedef struct ParityTiles { /* the map tiles of a task or round, of a parity of the output */
    MapTiles tiles;
    LLVMValueRef parity;
} ParityTiles;

/* ---- a task for all ---- */

static void emit_whole_group(Winograder *c, LLVMValueRef group, int blocks, void *context) {
    Module *m = c->m;
    const ParityTiles *task = context;
    LLVMValueRef zero = get_i64(m, 0), parity = task->parity, weights = weights_of_parity(c, parity);
    TileRange tiles = {zero, task->tiles.count};
    Loop planes = begin_loop(m, zero, planes_of(c), 1);
    winograd_emit_products(c, weights, planes.index, group, blocks, &tiles, zero);
    end_loop(m, &planes);
    Loop each = begin_loop(m, zero, get_i64(m, blocks), 1);
    WinogradBlock block = {.number = each.index};
    block.block = emit_add(m, emit_affine(m, group, c->tile->blocks, 0), each.index);
    winograd_take_parity(m, &parity, c->axes[0].out_parities, block.parity);
    winograd_emit_results(c, &task->tiles, &block);
    end_loop(m, &each);
}

/* A transposed convolution's task is of one parity of its output, and reads the whole
 * input. */
static void emit_whole_inputs(Winograder *c, const ParityTiles *task) {
    Module *m = c->m;
    LLVMValueRef parity = task->parity;
    Loop blocks = begin_loop(m, get_i64(m, 0), get_i64(m, c->sum_blocks), 1);
    WinogradBlock block = take_block(c, blocks.index, c->in_blocks, c->axes[0].in_parities);
    if (c->axes[0].out_parities > 1) winograd_take_parity(m, &parity, c->axes[0].out_parities, block.parity);
    winograd_emit_inputs(c, &c->input, &task->tiles, &block);
    end_loop(m, &blocks);
}

static LLVMValueRef emit_whole(Module *m, const Kernel *kernel) {
    Winograder c = begin_function(m, kernel, kernel->name);
    LLVMValueRef function = m->function, together = get_i64(m, c.tile->together),
                 groups = get_i64(m, c.groups);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef number = c.part = tasks.index;
    ParityTiles task = {.tiles = {.at = get_i64(m, 0)}};
    task.parity = take_part(m, &number, get_i64(m, c.axes[0].out_parities));
    task.tiles.from = emit_mul(m, number, together);
    task.tiles.count = emit_min(m, together, emit_sub(m, c.count, task.tiles.from));
    emit_whole_inputs(&c, &task);
    Loop loop = begin_loop(m, get_i64(m, 0), groups, 1);
    emit_group(&c, loop.index, emit_whole_group, &task);
    end_loop(m, &loop);
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}

/* ---- phases ---- */

typedef struct Round {
    ParityTiles of;
    LLVMValueRef group;    /* the first */
    LLVMValueRef of_block; /* its number among those with results for a block */
} Round;

/* Tiles of the round, of so many, divided as evenly as full register tiles allow. */
static MapTiles tiles_of_round(Winograder *c, LLVMValueRef number, LLVMValueRef rounds) {
    Module *m = c->m;
    int64_t pixels = c->tile->pixels;
    LLVMValueRef max = emit_div(m, emit_add(m, c->count, emit_affine(m, rounds, pixels, -1)),
                                emit_affine(m, rounds, pixels, 0));
    max = emit_affine(m, max, pixels, 0);
    MapTiles tiles = {.from = emit_mul(m, number, max), .at = get_i64(m, 0)};
    tiles.count = emit_max(m, emit_min(m, max, emit_sub(m, c->count, tiles.from)), get_i64(m, 0));
    return tiles;
}

/* The parities follow each other, since each has weights of its own, and within one the
 * groups, where a round has one of them. */
static Round find_round(Winograder *c, LLVMValueRef number) {
    Module *m = c->m;
    LLVMValueRef rounds = get_dim(m, rounds_of_tiles(c->kernel->program->graph->dims, c->tile)),
                 tiles = take_part(m, &number, rounds);
    LLVMValueRef groups = take_part(m, &number, get_i64(m, rounds_of_groups(c->tile, c->lanes)));
    Round round = {.group = emit_affine(m, groups, c->tile->groups, 0)};
    round.of_block = emit_add(m, emit_mul(m, number, rounds), tiles);
    round.of = (ParityTiles){tiles_of_round(c, tiles, rounds), number};
    return round;
}

/* Some inputs of the weights of a group of the round, which the last round may not
 * have. */
static void emit_weights(Module *m, const Kernel *kernel, const char *name) {
    Winograder c = begin_function(m, kernel, name);
    Format format = winograd_format(c.lanes, c.tile);
    WinogradCell cell = {.format = &format, .weight = c.weights};
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, part = take_part(m, &task, get_i64(m, weight_parts(c.tile))),
                 number = take_part(m, &task, get_i64(m, c.tile->groups));
    Round round = find_round(&c, task);
    LLVMValueRef group = emit_add(m, round.group, number), groups = get_i64(m, c.groups);
    Branch exists = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, group, groups, ""));
    cell.number = emit_add(m, emit_mul(m, round.of.parity, groups), group);
    cell.to =
        get_element(m, m->f32, c.transformed, emit_affine(m, number, weights_of_group(c.tile, c.lanes), 0));
    cell.begin = emit_affine(m, part, WEIGHT_CHANNELS, 0);
    cell.end =
        emit_min(m, emit_affine(m, part, WEIGHT_CHANNELS, WEIGHT_CHANNELS), get_i64(m, c.shape.inputs));
    emit_winograd_cell(m, kernel, &cell);
    end_if(m, &exists);
    end_loop(m, &tasks);
    finish_kernel(m);
}

/* The first of the rounds that have the same map tiles transforms them. */
static void emit_inputs(Module *m, const Kernel *kernel, const char *name) {
    Winograder c = begin_function(m, kernel, name);
    int parities = c.axes[0].in_parities, out_parities = c.axes[0].out_parities;
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, part = take_part(m, &task, get_i64(m, c.tile->parts));
    LLVMValueRef number = take_part(m, &task, get_i64(m, c.in_blocks * parities));
    WinogradBlock block = take_block(&c, number, c.in_blocks, parities);
    Round round = find_round(&c, task);
    LLVMValueRef first = LLVMBuildICmp(m->builder, LLVMIntEQ, round.group, get_i64(m, 0), "");
    if (out_parities > 1) winograd_take_parity(m, &round.of.parity, out_parities, block.parity);
    MapTiles tiles = round.of.tiles;
    tiles.count = LLVMBuildSelect(m->builder, first, tiles.count, get_i64(m, 0), "");
    tiles = winograd_part_of_tiles(&c, tiles, part, c.tile->parts);
    winograd_emit_inputs(&c, &c.input, &tiles, &block);
    end_loop(m, &tasks);
    finish_kernel(m);
}

/* The last round, and its last group, may have fewer blocks than the others. */
static void emit_results(Module *m, const Kernel *kernel, const char *name) {
    Winograder c = begin_function(m, kernel, name);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, part = take_part(m, &task, get_i64(m, c.tile->parts));
    LLVMValueRef number = take_part(m, &task, get_i64(m, blocks_of_round(c.tile, c.lanes)));
    Round round = find_round(&c, task);
    WinogradBlock block = {.number = number};
    block.block = emit_add(m, emit_affine(m, round.group, c.tile->blocks, 0), number);
    c.part = emit_add(m, emit_affine(m, round.of_block, c.tile->parts, 0), part);
    Branch exists =
        begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, block.block, get_i64(m, c.out_blocks), ""));
    winograd_take_parity(m, &round.of.parity, c.axes[0].out_parities, block.parity);
    MapTiles tiles = winograd_part_of_tiles(&c, round.of.tiles, part, c.tile->parts);
    winograd_emit_results(&c, &tiles, &block);
    end_if(m, &exists);
    end_loop(m, &tasks);
    finish_kernel(m);
}

typedef struct Plane {
    LLVMValueRef number, weights;
    LLVMValueRef group; /* the first of the round */
    TileRange tiles;
} Plane;

static void emit_group_of_plane(Winograder *c, LLVMValueRef group, int blocks, void *context) {
    const Plane *plane = context;
    LLVMValueRef number = emit_sub(c->m, group, plane->group);
    winograd_emit_products(c, plane->weights, plane->number, number, blocks, &plane->tiles,
                           emit_affine(c->m, number, c->tile->blocks, 0));
}

/* Part `part` of so many of `count` things. */
static TileRange emit_share(Module *m, LLVMValueRef count, LLVMValueRef part, int64_t of) {
    LLVMValueRef parts = get_i64(m, of), next = emit_add(m, part, get_i64(m, 1));
    return (TileRange){emit_div(m, emit_mul(m, count, part), parts),
                       emit_div(m, emit_mul(m, count, next), parts)};
}

/* The groups of a part of the products: some of the round's groups with all map tiles;
 * or, where the round transforms weights, all of them with some map tiles, which `plane`
 * gets. */
static TileRange groups_of_part(Winograder *c, Plane *plane, LLVMValueRef part) {
    Module *m = c->m;
    int64_t pixels = c->tile->pixels, parts = c->tile->product_parts;
    if (!c->transformed) return emit_share(m, get_i64(m, c->groups), part, parts);
    TileRange share = emit_share(m, get_i64(m, c->tile->together / pixels), part, parts);
    plane->tiles.begin = emit_affine(m, share.begin, pixels, 0);
    plane->tiles.end = emit_min(m, emit_affine(m, share.end, pixels, 0), plane->tiles.end);
    LLVMValueRef end = emit_affine(m, plane->group, 1, c->tile->groups);
    return (TileRange){plane->group, emit_min(m, end, get_i64(m, c->groups))};
}

static void emit_products(Module *m, const Kernel *kernel, const char *name) {
    Winograder c = begin_function(m, kernel, name);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, part = take_part(m, &task, get_i64(m, c.tile->product_parts));
    Plane plane = {.number = take_part(m, &task, planes_of(&c))};
    Round round = find_round(&c, task);
    plane.group = round.group;
    plane.tiles = (TileRange){get_i64(m, 0), round.of.tiles.count};
    plane.weights = c.transformed ? c.transformed : weights_of_parity(&c, round.of.parity);
    TileRange groups = groups_of_part(&c, &plane, part);
    Loop loop = begin_loop(m, groups.begin, groups.end, 1);
    emit_group(&c, loop.index, emit_group_of_plane, &plane);
    end_loop(m, &loop);
    end_loop(m, &tasks);
    finish_kernel(m);
}

LLVMValueRef conv_winograd_emit(Module *m, const Kernel *kernel) {
    const WinogradTile *tile = kernel->proposal.tile;
    const Phase *phases = kernel->phases;
    if (!tile->phases) return emit_whole(m, kernel);
    if (tile->transforms_weights) emit_weights(m, kernel, phases++->name);
    emit_inputs(m, kernel, phases++->name);
    LLVMValueRef function = m->function;
    emit_products(m, kernel, phases++->name);
    emit_results(m, kernel, phases->name);
    return function;
}
