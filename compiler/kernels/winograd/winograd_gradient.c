/* The gradient of a 3x3 convolution of stride 1 by its weights, by Winograd: F(3x3, 4x4).
 * Tiles of 4x4 of dy are what the kernel is in a convolution, and the 6x6 of x that they
 * meet give 3x3 outputs, in 36 products instead of 144: dw = A^T (sum over map tiles of
 * (B^T x B) * (G dy G^T)) A. The points are those of F(4, 3), and so B is
 * (plan/winograd.c).
 *
 * Three launches, in rounds of `together` map tiles, over a workspace:
 *
 *     tasks: block of channels of x, or of dy, a part of the map tiles     transform
 *     tasks: plane, a part of the groups of Q blocks of dy                 sums[plane] += products
 *     in the last round, tasks: group, block of x                          transform back, transpose,
 *                                                                          epilogue, store
 *
 * The products of a plane are the gradient of a 1x1 convolution over one row, whose
 * pixels are map tiles: conv_gradient's register tile and strips. No weights are
 * transformed, so this pays for one image, too; what it costs is the sums of 36 planes,
 * four times the result, which each round reads and writes.
 *
 * A sum is added up by one task in the order of rounds: the same bits on any number of
 * threads. Its chain of additions is as long as a strip, then as there are strips. */
#include "kernels/conv/conv_gradient.h"
#include "kernels/winograd/conv_winograd.h"
#include <math.h>

enum {
    OUTPUTS = 3,
    TAPS = 4,
    PLANES = 36,
    SUM_BYTES = sizeof(float),
    FEW_TILES = 28,
    MANY_TILES = 64,
    PARTS = 4,
    GROUP_PARTS = 2,
    LAUNCH_CYCLES = 3000
};

static const double exposed = 0.35; /* of a stream beside multiply-adds */

typedef struct WinogradGradient { /* proposal.tile */
    ConvShape shape;
    int64_t together; /* map tiles that are transformed together */
    int64_t plane;    /* elements from one plane of a block of channels to the next */
    int64_t sums;     /* elements from the sums of one plane to those of the next */
    int group_parts;  /* into which a plane's groups are divided */
    GradientPlan products, results;
} WinogradGradient;

/* ---- the choice ---- */

static Dim gradient_tiles_along(Dims *dims, const ConvShape *s, int axis) {
    return dim_ceil_div(dims, s->out_size[axis], TAPS);
}

static Dim count_gradient_tiles(Dims *dims, const ConvShape *s) {
    Dim of_image = dim_mul(dims, gradient_tiles_along(dims, s, 0), gradient_tiles_along(dims, s, 1));
    return dim_mul(dims, s->images, of_image);
}

/* An odd number of lines, so that planes spread over all sets of L1. */
static int64_t spread_over_sets(int64_t elements) {
    int64_t line = LINE_BYTES / SUM_BYTES;
    return (ceil_div(elements, line) | 1) * line;
}

static int64_t blocks_of(int64_t channels, const Target *t) { return ceil_div(channels, t->lanes); }

static int64_t blocks_of_both(const ConvShape *s, const Target *t) {
    return blocks_of(s->inputs, t) + blocks_of(s->outputs, t);
}

static int64_t sums_bytes(const ConvShape *s, const Target *t) {
    return SUM_BYTES * PLANES * t->lanes * t->lanes * blocks_of(s->inputs, t) * blocks_of(s->outputs, t);
}

/* Where L2 holds the sums of all planes, the transforms of a round take half of it. Else
 * each round reads and writes sums that come from afar, and has as many map tiles as half
 * of L2 holds of one plane, up to MANY_TILES. */
static int64_t choose_gradient_together(const ConvShape *s, int64_t tiles, const Target *t) {
    int64_t plane = SUM_BYTES * t->lanes * blocks_of_both(s, t), room = t->l2_bytes / 2;
    int64_t together = min_i64(max_i64(1, room / plane), MANY_TILES);
    if (sums_bytes(s, t) <= t->l2_bytes) together = max_i64(room / (plane * PLANES), FEW_TILES);
    return ceil_div(tiles, ceil_div(tiles, together));
}

static double transforms_of_tile(const ConvShape *s, const Target *t) {
    return (double)blocks_of(s->inputs, t) * winograd_transform_cycles(t, 144, 72, 72) +
           (double)blocks_of(s->outputs, t) * winograd_transform_cycles(t, 100, 40, 60);
}

static double back_cycles(const WinogradGradient *w, const Target *t) {
    double vectors = (double)(w->shape.inputs * blocks_of(w->shape.outputs, t));
    return vectors * winograd_transform_cycles(t, 60, 54, 27) + gradient_results_cycles(&w->results, t);
}

/* What the sums cost that find no room in L2: each round goes through them, which its
 * products hide in part, and the last one reads them once more. */
static double far_sums_cycles(const ConvShape *s, double rounds, double products, const Target *t) {
    double bytes = (double)max_i64(0, sums_bytes(s, t) - t->l2_bytes / 2);
    double rate = bytes <= 2 * (double)t->l3_bytes ? t->l3_bytes_per_cycle : t->memory_bytes_per_cycle;
    double stream = 2 * bytes / rate;
    return rounds * fmax(exposed * stream, stream - products) + stream / 2;
}

static double estimate_winograd_gradient(const Kernel *kernel, const WinogradGradient *w, int64_t tiles) {
    const Target *t = kernel->program->target;
    const ConvShape *s = &w->shape;
    double rounds = (double)ceil_div(tiles, w->together);
    double products = PLANES * gradient_sums_cycles(&w->products, kernel->program->graph->dims, t);
    return rounds * (products + LAUNCH_CYCLES) + (double)tiles * transforms_of_tile(s, t) +
           back_cycles(w, t) + far_sums_cycles(s, rounds, products, t);
}

static int64_t count_groups(const WinogradGradient *w, const Target *t) {
    return ceil_div(blocks_of(w->shape.outputs, t), w->products.tile.blocks);
}

static WinogradGradient choose_winograd_gradient(const Kernel *kernel, const ConvShape *s, int64_t tiles) {
    const Target *t = kernel->program->target;
    Dims *dims = kernel->program->graph->dims;
    WinogradGradient w = {.shape = *s};
    w.together = choose_gradient_together(s, tiles, t);
    w.plane = spread_over_sets(w.together * t->lanes);
    w.products = gradient_row_plan(dims, t, s->types, s->inputs, s->outputs, w.together);
    w.results =
        (GradientPlan){.shape = *s, .width = 1, .tile = {.blocks = w.products.tile.blocks, .parts = 1}};
    int64_t groups = count_groups(&w, t);
    w.sums = spread_over_sets(groups * blocks_of(s->inputs, t) * gradient_cell(&w.products, t->lanes));
    w.group_parts = (int)min_i64(groups, GROUP_PARTS);
    return w;
}

/* The taps of a cell; and all planes of both maps of a round, and of the sums. */
static WorkingMemory winograd_gradient_memory(const WinogradGradient *w, Dims *dims, const Target *t) {
    int64_t both = blocks_of_both(&w->shape, t);
    return (WorkingMemory){.scratch = dim_const(dims, SUM_BYTES * gradient_cell(&w->results, t->lanes)),
                           .workspace = dim_const(dims, SUM_BYTES * PLANES * (both * w->plane + w->sums))};
}

bool conv_winograd_gradient_propose(const Kernel *kernel, Proposal *proposal) {
    const Program *program = kernel->program;
    ConvShape s;
    if (program->winograd < 0 || !conv_gradient_shape(kernel, &s) || !winograd_takes(kernel->anchor))
        return false;
    if (s.types.left != DTYPE_F32 || s.types.right != DTYPE_F32) return false;
    int64_t tiles = max_i64(1, typical(kernel, count_gradient_tiles(program->graph->dims, &s)));
    WinogradGradient w = choose_winograd_gradient(kernel, &s, tiles);
    prefer_formats(kernel, proposal, &format_plain, kernel->input_count);
    for (int i = 0; i < 2; i++) proposal->inputs[i].format = program->blocked;
    proposal->tile = arena_copy(program->arena, &w, sizeof w);
    proposal->memory = winograd_gradient_memory(&w, program->graph->dims, program->target);
    proposal->cycles = estimate_winograd_gradient(kernel, &w, tiles);
    proposal->rounds_by_place = true;
    proposal->error = winograd_gradient_error(tiles * TAPS * TAPS);
    return true;
}

void conv_winograd_gradient_settle(Program *program, Kernel *kernel) {
    Dims *dims = program->graph->dims;
    const Target *t = program->target;
    const WinogradGradient *w = kernel->proposal.tile;
    ConvTile registers = {.pixels = gradient_entries_at_once(t, w->products.tile.blocks),
                          .rows = 1,
                          .blocks = w->products.tile.blocks};
    kernel_set_name(kernel, "conv_winograd_gradient_%s_b%lld",
                    conv_describe(program->arena, &w->shape, &registers), (long long)w->together);
    int64_t transforms = blocks_of_both(&w->shape, t) * PARTS, products = PLANES * w->group_parts,
            results = count_groups(w, t) * blocks_of(w->shape.inputs, t);
    kernel_set_phases(
        kernel, (const char *[]){"transforms", "products", "results"},
        (Dim[]){dim_const(dims, transforms), dim_const(dims, products), dim_const(dims, results)}, 3);
    kernel->rounds = dim_ceil_div(dims, count_gradient_tiles(dims, &w->shape), w->together);
}

/* ---- emission ---- */

/* A function of one of the phases. */
typedef struct Phased {
    Module *m;
    const WinogradGradient *w;
    Winograder c;
    WinogradMap dy;
    Gradient g;
    int64_t x_blocks;
    LLVMValueRef sums;
} Phased;

static WinogradMap gradient_map(const Phased *p, int input, int side, LLVMValueRef planes) {
    const ConvShape *s = &p->w->shape;
    const Value *value = p->c.kernel->inputs[input];
    WinogradMap map = {.address = get_argument(p->m, 1 + input),
                       .strides = value->strides,
                       .type = DTYPE_F32,
                       .side = side,
                       .planes = planes};
    for (int i = 0; i < 2; i++) {
        map.size[i] = input == 0 ? s->in_size[i] : s->out_size[i];
        map.before[i] = input == 0 ? s->before[i] : 0;
    }
    return map;
}

static Phased begin_gradient_phase(Module *m, const Kernel *kernel, int phase) {
    Dims *dims = kernel->program->graph->dims;
    const WinogradGradient *w = kernel->proposal.tile;
    begin_kernel(m, kernel->phases[phase].name);
    Phased p = {.m = m, .w = w, .x_blocks = blocks_of(w->shape.inputs, m->target)};
    Winograder *c = &p.c;
    *c = (Winograder){.m = m,
                      .kernel = kernel,
                      .shape = w->shape,
                      .w = winograd(OUTPUTS, TAPS),
                      .lanes = m->target->lanes,
                      .step = TAPS,
                      .plane = w->plane,
                      .block = PLANES * w->plane};
    c->rows = get_dim(m, gradient_tiles_along(dims, &w->shape, 0));
    c->columns = get_dim(m, gradient_tiles_along(dims, &w->shape, 1));
    c->count = get_dim(m, count_gradient_tiles(dims, &w->shape));
    c->between = emit_stack(m, get_vector(m, m->f32, c->lanes), PLANES);
    c->edge = emit_stack(m, get_vector(m, m->f32, c->lanes), PLANES);
    LLVMValueRef x = get_argument(m, kernel->input_count + 1),
                 dy = get_element(m, m->f32, x, get_i64(m, p.x_blocks * c->block));
    int64_t both = blocks_of_both(&w->shape, m->target);
    c->input = gradient_map(&p, 0, c->w.size, x);
    p.dy = gradient_map(&p, 1, TAPS, dy);
    p.sums = get_element(m, m->f32, x, get_i64(m, both * c->block));
    p.g = gradient_of(m, kernel, phase == 1 ? &w->products : &w->results);
    p.g.memory = phase == 1 ? p.sums : m->scratch;
    return p;
}

static MapTiles tiles_of_gradient_round(const Phased *p, LLVMValueRef round) {
    Module *m = p->m;
    LLVMValueRef together = get_i64(m, p->w->together), from = emit_mul(m, round, together);
    return (MapTiles){from, emit_min(m, together, emit_sub(m, p->c.count, from)), get_i64(m, 0)};
}

static void emit_gradient_transforms(Module *m, const Kernel *kernel) {
    Phased p = begin_gradient_phase(m, kernel, 0);
    LLVMValueRef x_blocks = get_i64(m, p.x_blocks),
                 blocks = get_i64(m, blocks_of_both(&p.w->shape, m->target));
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, part = take_part(m, &task, get_i64(m, PARTS)),
                 block = take_part(m, &task, blocks);
    MapTiles tiles = winograd_part_of_tiles(&p.c, tiles_of_gradient_round(&p, task), part, PARTS);
    Branch of_x = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, block, x_blocks, ""));
    winograd_emit_inputs(&p.c, &p.c.input, &tiles, block);
    begin_else(m, &of_x);
    winograd_emit_inputs(&p.c, &p.dy, &tiles, emit_sub(m, block, x_blocks));
    end_if(m, &of_x);
    end_loop(m, &tasks);
    finish_kernel(m);
}

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

static void emit_gradient_products(Module *m, const Kernel *kernel) {
    Phased p = begin_gradient_phase(m, kernel, 1);
    LLVMValueRef parts = get_i64(m, p.w->group_parts), groups = get_i64(m, p.g.group_count);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, part = take_part(m, &task, parts),
                 plane = take_part(m, &task, get_i64(m, PLANES));
    GradientSums sums = {.group = get_i64(m, 0), .x_from = get_i64(m, 0), .x_to = get_i64(m, p.x_blocks)};
    sums.from = emit_div(m, emit_mul(m, groups, part), parts);
    sums.to = emit_div(m, emit_mul(m, groups, emit_add(m, part, get_i64(m, 1))), parts);
    sums.group_stride = get_i64(m, p.x_blocks * p.g.cell);
    sums.first = emit_add(m, emit_affine(m, plane, p.w->sums, 0), emit_mul(m, sums.from, sums.group_stride));
    GradientMap x = plane_of_map(&p, &p.c.input, plane), dy = plane_of_map(&p, &p.dy, plane);
    LLVMValueRef first = LLVMBuildICmp(m->builder, LLVMIntEQ, task, get_i64(m, 0), "first");
    gradient_emit_row_sums(&p.g, &sums, &x, &dy, tiles_of_gradient_round(&p, task).count, first);
    end_loop(m, &tasks);
    finish_kernel(m);
}

/* The sums of a group and a block of x, all planes, to the taps in the scratch. */
static void emit_taps_of_cell(Phased *p, LLVMValueRef group, LLVMValueRef x_block) {
    Module *m = p->m;
    int64_t lanes = p->c.lanes, width = p->g.tile->blocks * lanes;
    LLVMValueRef cell = emit_add(m, emit_affine(m, group, p->x_blocks, 0), x_block);
    LLVMValueRef from = get_element(m, m->f32, p->sums, emit_affine(m, cell, lanes * width, 0));
    LLVMValueRef blocks = emit_sub(m, gradient_first_block(&p->g, emit_add(m, group, get_i64(m, 1))),
                                   gradient_first_block(&p->g, group));
    Loop rows = begin_loop(m, get_i64(m, 0), get_i64(m, lanes), 1);
    Loop vectors = begin_loop(m, get_i64(m, 0), blocks, 1);
    LLVMValueRef at =
        emit_add(m, emit_affine(m, rows.index, width, 0), emit_affine(m, vectors.index, lanes, 0));
    winograd_emit_taps(&p->c, get_element(m, m->f32, from, at), p->w->sums,
                       get_element(m, m->f32, p->g.memory, at), lanes * width);
    end_loop(m, &vectors);
    end_loop(m, &rows);
}

static void emit_gradient_results(Module *m, const Kernel *kernel) {
    Phased p = begin_gradient_phase(m, kernel, 2);
    LLVMValueRef one = get_i64(m, 1), zero = get_i64(m, 0);
    LLVMValueRef last = emit_sub(m, get_dim(m, kernel->rounds), one);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index, block = take_part(m, &task, get_i64(m, p.x_blocks)),
                 group = take_part(m, &task, get_i64(m, p.g.group_count));
    Branch is_last = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntEQ, task, last, ""));
    emit_taps_of_cell(&p, group, block);
    GradientSums sums = {.first = zero, .group_stride = zero, .group = zero, .from = group, .x_from = block};
    sums.to = emit_add(m, group, one);
    sums.x_to = emit_add(m, block, one);
    gradient_emit_results(&p.g, &sums, zero);
    end_if(m, &is_last);
    end_loop(m, &tasks);
    finish_kernel(m);
}

LLVMValueRef conv_winograd_gradient_emit(Module *m, const Kernel *kernel) {
    emit_gradient_transforms(m, kernel);
    LLVMValueRef function = m->function;
    emit_gradient_products(m, kernel);
    emit_gradient_results(m, kernel);
    return function;
}
