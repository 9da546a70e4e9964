/* The gradient by its weights of a convolution that Winograd takes: F(r x r, m x m) for
 * the r taps of a parity. Tiles of m x m of dy are what the kernel is in a convolution,
 * and the places of x that they meet give r x r outputs: dw = A^T (sum over map tiles of
 * (B^T x B) * (G dy G^T)) A. For 3x3 that is 36 products instead of 144. The points are
 * those of F(m, r), and so B is (plan/winograd.c). With stride 2 each parity of x gives
 * its quarter of the taps; they share G dy G^T.
 *
 * Three launches, in rounds of `together` map tiles, over a workspace:
 *
 *     tasks: block of channels of x, or of dy, a part of the map tiles     transform
 *     tasks: plane, a part of the groups of Q blocks of dy                 sums[plane] += products
 *     in the last round, tasks: group, block of x                          transform back, transpose,
 *                                                                          epilogue, store
 *
 * Or, where few map tiles meet many channels, so that the sums of all planes would be far
 * larger than what is transformed, two launches, and the sums stay in a task's scratch:
 *
 *     tasks: block of channels of x, or of dy, a part of the map tiles     transform
 *     tasks: group, some blocks of x                                       for each plane: sums = products;
 *                                                                          transform back ..
 *
 * The products of a plane are the gradient of a 1x1 convolution over one row, whose
 * pixels are map tiles: conv_gradient's register tile and strips. No weights are
 * transformed, so this pays for one image, too; what it costs is the sums of all planes,
 * which each round reads and writes.
 *
 * A sum is added up by one task in the order of rounds: the same bits on any number of
 * threads. Its chain of additions is as long as a strip, then as there are strips. */
#include "kernels/conv/conv_gradient.h"
#include "kernels/winograd/conv_winograd.h"
#include <math.h>

enum {
    SUM_BYTES = sizeof(float),
    FEW_TILES = 28,
    MANY_TILES = 64,
    PARTS = 4,
    GROUP_PARTS = 2,
    MAX_X_TOGETHER = 4,
    LAUNCH_CYCLES = 3000
};

static const double exposed = 0.35; /* of a stream beside multiply-adds */

typedef struct WinogradGradient { /* proposal.tile */
    ConvShape shape;
    Winograd w;       /* its outputs are the taps of a parity, its taps a tile of dy */
    int parities;     /* of x */
    int64_t tiles;    /* typically */
    int64_t together; /* map tiles that are transformed together */
    int64_t plane;    /* elements from one plane of a block of channels to the next */
    int64_t sums;     /* elements from the sums of one plane to those of the next */
    int group_parts;  /* into which a plane's groups are divided */
    /* 0, or all map tiles are transformed together, and a task has the sums of all planes
     * for so many blocks of x */
    int64_t x_together;
    GradientPlan products, results;
} WinogradGradient;

/* ---- the choice ---- */

/* The tile of dy for the taps of a parity. */
static Winograd choose_gradient_winograd(const ConvShape *s) {
    static const int tiles[] = {[2] = 4, [3] = 4, [4] = 3};
    int taps = (int)(s->kernel[0] / s->stride[0]);
    return winograd(taps, tiles[taps]);
}

static Dim gradient_tiles_along(Dims *dims, const WinogradGradient *w, int axis) {
    return dim_ceil_div(dims, w->shape.out_size[axis], w->w.taps);
}

static Dim count_gradient_tiles(Dims *dims, const WinogradGradient *w) {
    Dim of_image = dim_mul(dims, gradient_tiles_along(dims, w, 0), gradient_tiles_along(dims, w, 1));
    return dim_mul(dims, w->shape.images, of_image);
}

/* An odd number of lines, so that planes spread over all sets of L1. */
static int64_t spread_over_sets(int64_t elements) {
    int64_t line = LINE_BYTES / SUM_BYTES;
    return (ceil_div(elements, line) | 1) * line;
}

static int64_t blocks_of(int64_t channels, const Target *t) { return ceil_div(channels, t->lanes); }

/* Blocks of x, of all parities. */
static int64_t x_blocks_of(const WinogradGradient *w, const Target *t) {
    return w->parities * blocks_of(w->shape.inputs, t);
}

static int64_t blocks_of_both(const WinogradGradient *w, const Target *t) {
    return x_blocks_of(w, t) + blocks_of(w->shape.outputs, t);
}

/* Bytes of the sums of all planes, for so many blocks of x and of dy. */
static int64_t sums_bytes(const WinogradGradient *w, int64_t x_blocks, int64_t y_blocks, const Target *t) {
    return SUM_BYTES * winograd_planes(&w->w) * t->lanes * t->lanes * x_blocks * y_blocks;
}

static int64_t all_sums_bytes(const WinogradGradient *w, const Target *t) {
    return sums_bytes(w, x_blocks_of(w, t), blocks_of(w->shape.outputs, t), t);
}

/* Where L2 holds the sums of all planes, the transforms of a round take half of it. Else
 * each round reads and writes sums that come from afar, and has as many map tiles as half
 * of L2 holds of one plane, up to MANY_TILES. */
static int64_t choose_gradient_together(const WinogradGradient *w, const Target *t) {
    int64_t plane = SUM_BYTES * t->lanes * blocks_of_both(w, t), room = t->l2_bytes / 2;
    int64_t together = min_i64(max_i64(1, room / plane), MANY_TILES);
    if (all_sums_bytes(w, t) <= t->l2_bytes)
        together = max_i64(room / (plane * winograd_planes(&w->w)), FEW_TILES);
    return even_length(w->tiles, together);
}

static double transforms_of_tile(const WinogradGradient *w, const Target *t) {
    return (double)x_blocks_of(w, t) * winograd_inputs_cycles(&w->w, t) +
           (double)blocks_of(w->shape.outputs, t) * winograd_weights_cycles(&w->w, t);
}

static double back_cycles(const WinogradGradient *w, const Target *t) {
    double vectors = (double)(w->parities * w->shape.inputs * blocks_of(w->shape.outputs, t));
    return vectors * winograd_results_cycles(&w->w, t) + gradient_results_cycles(&w->results, t);
}

static double rate_of(double bytes, const Target *t) {
    return bytes <= 2 * (double)t->l3_bytes ? t->l3_bytes_per_cycle : t->memory_bytes_per_cycle;
}

/* What the sums cost that find no room in L2: each round goes through them, which its
 * products hide in part, and the last one reads them once more. */
static double far_sums_cycles(const WinogradGradient *w, double rounds, double products, const Target *t) {
    double bytes = (double)max_i64(0, all_sums_bytes(w, t) - t->l2_bytes / 2);
    double stream = 2 * bytes / rate_of(bytes, t);
    return rounds * fmax(exposed * stream, stream - products) + stream / 2;
}

static int64_t count_groups(const WinogradGradient *w, const Target *t) {
    return ceil_div(blocks_of(w->shape.outputs, t), w->products.tile.blocks);
}

/* What tasks read of all transformed maps: each group of dy all of x, and each
 * x_together blocks of x all of dy. */
static double far_maps_cycles(const WinogradGradient *w, double products, const Target *t) {
    double block = SUM_BYTES * (double)(winograd_planes(&w->w) * w->tiles * t->lanes);
    double x = block * (double)x_blocks_of(w, t), dy = block * (double)blocks_of(w->shape.outputs, t);
    double x_parts = (double)ceil_div(blocks_of(w->shape.inputs, t), w->x_together);
    double stream = (x * (double)count_groups(w, t) + dy * x_parts) / rate_of(x + dy, t);
    return fmax(exposed * stream, stream - products);
}

static double estimate_winograd_gradient(const Kernel *kernel, const WinogradGradient *w) {
    const Target *t = kernel->program->target;
    double rounds = (double)ceil_div(w->tiles, w->together);
    double products =
        winograd_planes(&w->w) * gradient_sums_cycles(&w->products, kernel->program->graph->dims, t);
    double far = w->x_together ? far_maps_cycles(w, products, t) : far_sums_cycles(w, rounds, products, t);
    return rounds * (products + LAUNCH_CYCLES) + (double)w->tiles * transforms_of_tile(w, t) +
           back_cycles(w, t) + far;
}

static void set_gradient_rows(const Kernel *kernel, WinogradGradient *w, int64_t together) {
    const Target *t = kernel->program->target;
    w->together = together;
    w->plane = spread_over_sets(together * t->lanes);
    w->products = gradient_row_plan(kernel->program->graph->dims, t, w->shape.types,
                                    x_blocks_of(w, t) * t->lanes, w->shape.outputs, together);
    w->results = (GradientPlan){
        .shape = w->shape, .width = 1, .tile = {.blocks = w->products.tile.blocks, .parts = 1}};
}

static WinogradGradient choose_rounds(const Kernel *kernel, WinogradGradient w) {
    const Target *t = kernel->program->target;
    set_gradient_rows(kernel, &w, choose_gradient_together(&w, t));
    int64_t groups = count_groups(&w, t);
    w.sums = spread_over_sets(groups * x_blocks_of(&w, t) * gradient_cell(&w.products, t->lanes));
    w.group_parts = (int)min_i64(groups, GROUP_PARTS);
    return w;
}

/* As many blocks of x as leave half of L2 for the maps. */
static WinogradGradient choose_at_once(const Kernel *kernel, WinogradGradient w) {
    const Target *t = kernel->program->target;
    set_gradient_rows(kernel, &w, w.tiles);
    int64_t blocks = blocks_of(w.shape.inputs, t),
            room = t->l2_bytes / 2 / sums_bytes(&w, w.parities, w.products.tile.blocks, t);
    w.x_together = even_length(blocks, max_i64(1, min_i64(room, MAX_X_TOGETHER)));
    w.sums = spread_over_sets(w.x_together * w.parities * gradient_cell(&w.products, t->lanes));
    return w;
}

static WinogradGradient choose_winograd_gradient(const Kernel *kernel, const ConvShape *s) {
    WinogradGradient w = {.shape = *s, .w = choose_gradient_winograd(s)};
    w.parities = (int)(s->stride[0] * s->stride[1]);
    Dim tiles = count_gradient_tiles(kernel->program->graph->dims, &w);
    w.tiles = max_i64(1, typical(kernel, tiles));
    WinogradGradient rounds = choose_rounds(kernel, w);
    if (!dim_is_const(tiles, NULL)) return rounds;
    WinogradGradient at_once = choose_at_once(kernel, w);
    return estimate_winograd_gradient(kernel, &at_once) < estimate_winograd_gradient(kernel, &rounds)
               ? at_once
               : rounds;
}

/* A thread's sums where it has all map tiles at once, and the taps of a cell; the
 * transformed maps of a round, and, of several rounds, the sums. */
static WorkingMemory winograd_gradient_memory(const WinogradGradient *w, Dims *dims, const Target *t) {
    int64_t planes = winograd_planes(&w->w), maps = blocks_of_both(w, t) * w->plane;
    int64_t thread = gradient_cell(&w->results, t->lanes) + (w->x_together ? planes * w->sums : 0);
    int64_t all = planes * (maps + (w->x_together ? 0 : w->sums));
    return (WorkingMemory){.scratch = dim_const(dims, SUM_BYTES * thread),
                           .workspace = dim_const(dims, SUM_BYTES * all)};
}

bool conv_winograd_gradient_propose(const Kernel *kernel, Proposal *proposal) {
    const Program *program = kernel->program;
    ConvShape s;
    if (program->winograd < 0 || !conv_gradient_shape(kernel, &s) || !winograd_takes(kernel->anchor))
        return false;
    if (s.types.left != DTYPE_F32 || s.types.right != DTYPE_F32) return false;
    WinogradGradient w = choose_winograd_gradient(kernel, &s);
    prefer_formats(kernel, proposal, &format_plain, kernel->input_count);
    for (int i = 0; i < 2; i++) proposal->inputs[i].format = program->blocked;
    proposal->tile = arena_copy(program->arena, &w, sizeof w);
    proposal->memory = winograd_gradient_memory(&w, program->graph->dims, program->target);
    proposal->cycles = estimate_winograd_gradient(kernel, &w);
    proposal->rounds_by_place = true;
    proposal->error = winograd_gradient_error(&w.w, w.tiles * w.w.taps * w.w.taps);
    return true;
}

/* The launches, and how many tasks of a round each has. */
static void set_gradient_phases(Program *program, Kernel *kernel, const WinogradGradient *w) {
    Dims *dims = program->graph->dims;
    const Target *t = program->target;
    int64_t groups = count_groups(w, t), blocks = blocks_of(w->shape.inputs, t);
    int64_t transforms = blocks_of_both(w, t) * PARTS,
            products = w->x_together ? groups * ceil_div(blocks, w->x_together)
                                     : winograd_planes(&w->w) * w->group_parts;
    Dim tasks[] = {dim_const(dims, transforms), dim_const(dims, products), dim_const(dims, groups * blocks)};
    kernel_set_phases(kernel, (const char *[]){"transforms", "products", "results"}, tasks,
                      w->x_together ? 2 : 3);
}

void conv_winograd_gradient_settle(Program *program, Kernel *kernel) {
    Dims *dims = program->graph->dims;
    const Target *t = program->target;
    const WinogradGradient *w = kernel->proposal.tile;
    ConvTile registers = {.pixels = gradient_entries_at_once(t, w->products.tile.blocks),
                          .rows = 1,
                          .blocks = w->products.tile.blocks};
    kernel_set_name(kernel, "conv_winograd_gradient_%s_%s%lld",
                    conv_describe(program->arena, &w->shape, &registers), w->x_together ? "a" : "b",
                    (long long)w->together);
    set_gradient_phases(program, kernel, w);
    kernel->rounds = dim_ceil_div(dims, count_gradient_tiles(dims, w), w->together);
}

/* ---- emission ---- */

/* A function of one of the phases. */
typedef struct Phased {
    Module *m;
    const WinogradGradient *w;
    Winograder c;
    WinogradMap dy;
    Gradient products, results; /* the sums of planes, and of taps */
    int64_t blocks;             /* of channels of x */
} Phased;

static WinogradMap gradient_map(const Phased *p, int input, int side, LLVMValueRef planes) {
    const ConvShape *s = &p->w->shape;
    WinogradMap map = {.address = get_argument(p->m, 1 + input),
                       .strides = p->c.kernel->inputs[input]->strides,
                       .type = DTYPE_F32,
                       .stride = input == 0 ? p->c.axes[0].stride : 1,
                       .side = side,
                       .planes = planes};
    map.step = p->c.w.taps * map.stride;
    for (int i = 0; i < 2; i++) {
        map.size[i] = input == 0 ? s->in_size[i] : s->out_size[i];
        if (input == 0) memcpy(map.first[i], p->c.axes[i].first, sizeof map.first[i]);
    }
    return map;
}

static Phased begin_gradient_phase(Module *m, const Kernel *kernel, const char *name) {
    Dims *dims = kernel->program->graph->dims;
    const WinogradGradient *w = kernel->proposal.tile;
    int planes = winograd_planes(&w->w);
    begin_kernel(m, name);
    Phased p = {.m = m, .w = w, .blocks = blocks_of(w->shape.inputs, m->target)};
    Winograder *c = &p.c;
    *c = (Winograder){.m = m,
                      .kernel = kernel,
                      .shape = w->shape,
                      .w = w->w,
                      .axes = {winograd_axis(&w->shape, 0), winograd_axis(&w->shape, 1)},
                      .lanes = m->target->lanes,
                      .plane = w->plane,
                      .block = planes * w->plane};
    c->rows = get_dim(m, gradient_tiles_along(dims, w, 0));
    c->columns = get_dim(m, gradient_tiles_along(dims, w, 1));
    c->count = get_dim(m, count_gradient_tiles(dims, w));
    c->between = emit_stack(m, get_vector(m, m->f32, c->lanes), planes);
    c->edge = emit_stack(m, get_vector(m, m->f32, c->lanes), planes + 1);
    LLVMValueRef x = get_argument(m, kernel->input_count + 1),
                 dy = get_element(m, m->f32, x, get_i64(m, x_blocks_of(w, m->target) * c->block));
    LLVMValueRef behind = get_element(m, m->f32, x, get_i64(m, blocks_of_both(w, m->target) * c->block));
    c->input = gradient_map(&p, 0, c->w.size, x);
    p.dy = gradient_map(&p, 1, c->w.taps, dy);
    p.products = gradient_of(m, kernel, &w->products);
    p.results = gradient_of(m, kernel, &w->results);
    p.results.memory = m->scratch;
    p.products.memory =
        w->x_together ? get_element(m, m->f32, m->scratch, get_i64(m, gradient_cell(&w->results, c->lanes)))
                      : behind;
    return p;
}

static MapTiles tiles_of_gradient_round(const Phased *p, LLVMValueRef round) {
    Module *m = p->m;
    LLVMValueRef together = get_i64(m, p->w->together), from = emit_mul(m, round, together);
    return (MapTiles){from, emit_min(m, together, emit_sub(m, p->c.count, from)), get_i64(m, 0)};
}

/* ---- transforms ---- */

/* The parities of a block of channels follow each other. */
static void emit_gradient_transforms(Module *m, const Kernel *kernel) {
    Phased p = begin_gradient_phase(m, kernel, kernel->phases[0].name);
    LLVMValueRef x_blocks = get_i64(m, x_blocks_of(p.w, m->target)),
                 blocks = get_i64(m, blocks_of_both(p.w, m->target)), zero = get_i64(m, 0);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, part = take_part(m, &task, get_i64(m, PARTS)),
                 number = take_part(m, &task, blocks);
    MapTiles tiles = winograd_part_of_tiles(&p.c, tiles_of_gradient_round(&p, task), part, PARTS);
    Branch of_x = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, number, x_blocks, ""));
    WinogradBlock block = {.number = number, .block = number};
    winograd_take_parity(m, &block.block, p.w->parities, block.parity);
    winograd_emit_inputs(&p.c, &p.c.input, &tiles, &block);
    begin_else(m, &of_x);
    block.number = block.block = emit_sub(m, number, x_blocks);
    block.parity[0] = block.parity[1] = zero;
    winograd_emit_inputs(&p.c, &p.dy, &tiles, &block);
    end_if(m, &of_x);
    end_loop(m, &tasks);
    finish_kernel(m);
}

/* ---- products ---- */

/* A plane of a transformed map, as one row. */
static GradientMap plane_of_map(const Phased *p, const WinogradMap *map, LLVMValueRef plane) {
    Module *m = p->m;
    LLVMValueRef zero = get_i64(m, 0);
    return (GradientMap){.address = get_element(m, m->f32, map->planes, emit_affine(m, plane, p->c.plane, 0)),
                         .image = zero,
                         .block = get_i64(m, p->c.block),
                         .row = zero,
                         .pixel = p->c.lanes};
}

/* Adds up the products of a plane for `sums`, whose `first` is that of plane 0. */
static void emit_plane_sums(const Phased *p, GradientSums sums, LLVMValueRef plane, LLVMValueRef count,
                            LLVMValueRef first) {
    Module *m = p->m;
    GradientMap x = plane_of_map(p, &p->c.input, plane), dy = plane_of_map(p, &p->dy, plane);
    sums.first = emit_add(m, sums.first, emit_affine(m, plane, p->w->sums, 0));
    gradient_emit_row_sums(&p->products, &sums, &x, &dy, count, first);
}

static void emit_gradient_products(Module *m, const Kernel *kernel) {
    Phased p = begin_gradient_phase(m, kernel, kernel->phases[1].name);
    int64_t x_blocks = p.blocks * p.w->parities;
    LLVMValueRef parts = get_i64(m, p.w->group_parts), groups = get_i64(m, p.products.group_count);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, part = take_part(m, &task, parts),
                 plane = take_part(m, &task, get_i64(m, winograd_planes(&p.c.w)));
    GradientSums sums = {.group = get_i64(m, 0), .x_from = get_i64(m, 0), .x_to = get_i64(m, x_blocks)};
    sums.from = emit_div(m, emit_mul(m, groups, part), parts);
    sums.to = emit_div(m, emit_mul(m, groups, emit_add(m, part, get_i64(m, 1))), parts);
    sums.group_stride = get_i64(m, x_blocks * p.products.cell);
    sums.first = emit_mul(m, sums.from, sums.group_stride);
    LLVMValueRef first = LLVMBuildICmp(m->builder, LLVMIntEQ, task, get_i64(m, 0), "first");
    emit_plane_sums(&p, sums, plane, tiles_of_gradient_round(&p, task).count, first);
    end_loop(m, &tasks);
    finish_kernel(m);
}

/* ---- results ---- */

/* The sums of a group and a block of x, all planes, to the taps in the scratch; `cell`:
 * the number of their first cell. */
static void emit_taps_of_cell(Phased *p, LLVMValueRef group, LLVMValueRef cell) {
    Module *m = p->m;
    const Gradient *g = &p->products;
    int64_t lanes = p->c.lanes, width = g->tile->blocks * lanes, tap = lanes * width;
    int64_t by = p->c.axes[0].stride, side = p->w->shape.kernel[1];
    LLVMValueRef blocks = emit_sub(m, gradient_first_block(g, emit_add(m, group, get_i64(m, 1))),
                                   gradient_first_block(g, group));
    Loop parities = begin_loop(m, get_i64(m, 0), get_i64(m, p->w->parities), 1);
    LLVMValueRef rest = parities.index, parity[2];
    winograd_take_parity(m, &rest, p->w->parities, parity);
    LLVMValueRef from = emit_affine(m, emit_add(m, cell, parities.index), tap, 0),
                 to = emit_affine(m, emit_add(m, emit_affine(m, parity[0], side, 0), parity[1]), tap, 0);
    Loop rows = begin_loop(m, get_i64(m, 0), get_i64(m, lanes), 1);
    Loop vectors = begin_loop(m, get_i64(m, 0), blocks, 1);
    LLVMValueRef at =
        emit_add(m, emit_affine(m, rows.index, width, 0), emit_affine(m, vectors.index, lanes, 0));
    winograd_emit_taps(&p->c, get_element(m, m->f32, g->memory, emit_add(m, from, at)), p->w->sums,
                       get_element(m, m->f32, p->results.memory, emit_add(m, to, at)), by * side * tap,
                       by * tap);
    end_loop(m, &vectors);
    end_loop(m, &rows);
    end_loop(m, &parities);
}

/* From the sums of a group and a block of x to the results. */
static void emit_results_of_cell(Phased *p, LLVMValueRef group, LLVMValueRef block, LLVMValueRef cell) {
    Module *m = p->m;
    LLVMValueRef one = get_i64(m, 1), zero = get_i64(m, 0);
    emit_taps_of_cell(p, group, cell);
    GradientSums sums = {.first = zero, .group_stride = zero, .group = zero, .from = group, .x_from = block};
    sums.to = emit_add(m, group, one);
    sums.x_to = emit_add(m, block, one);
    gradient_emit_results(&p->results, &sums, zero);
}

static void emit_gradient_results(Module *m, const Kernel *kernel) {
    Phased p = begin_gradient_phase(m, kernel, kernel->phases[2].name);
    LLVMValueRef last = emit_sub(m, get_dim(m, kernel->rounds), get_i64(m, 1)), blocks = get_i64(m, p.blocks);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, block = take_part(m, &task, blocks),
                 group = take_part(m, &task, get_i64(m, p.results.group_count));
    Branch is_last = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntEQ, task, last, ""));
    LLVMValueRef cell = emit_affine(m, emit_add(m, emit_mul(m, group, blocks), block), p.w->parities, 0);
    emit_results_of_cell(&p, group, block, cell);
    end_if(m, &is_last);
    end_loop(m, &tasks);
    finish_kernel(m);
}

/* ---- products and results at once ---- */

static void emit_gradient_at_once(Module *m, const Kernel *kernel) {
    Phased p = begin_gradient_phase(m, kernel, kernel->phases[1].name);
    int64_t parities = p.w->parities, together = p.w->x_together;
    LLVMValueRef zero = get_i64(m, 0), one = get_i64(m, 1), parts = get_i64(m, ceil_div(p.blocks, together));
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef group = tasks.index, from = emit_mul(m, take_part(m, &group, parts), get_i64(m, together)),
                 to = emit_min(m, emit_add(m, from, get_i64(m, together)), get_i64(m, p.blocks));
    GradientSums sums = {.first = zero, .group_stride = zero, .group = zero, .from = group};
    sums.to = emit_add(m, group, one);
    sums.x_from = emit_affine(m, from, parities, 0);
    sums.x_to = emit_affine(m, to, parities, 0);
    Loop planes = begin_loop(m, zero, get_i64(m, winograd_planes(&p.c.w)), 1);
    emit_plane_sums(&p, sums, planes.index, p.c.count, LLVMConstInt(m->i1, 1, false));
    end_loop(m, &planes);
    Loop blocks = begin_loop(m, from, to, 1);
    emit_results_of_cell(&p, group, blocks.index,
                         emit_affine(m, emit_sub(m, blocks.index, from), parities, 0));
    end_loop(m, &blocks);
    end_loop(m, &tasks);
    finish_kernel(m);
}

LLVMValueRef conv_winograd_gradient_emit(Module *m, const Kernel *kernel) {
    const WinogradGradient *w = kernel->proposal.tile;
    emit_gradient_transforms(m, kernel);
    LLVMValueRef function = m->function;
    if (w->x_together) {
        emit_gradient_at_once(m, kernel);
        return function;
    }
    emit_gradient_products(m, kernel);
    emit_gradient_results(m, kernel);
    return function;
}
