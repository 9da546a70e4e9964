/* The gradient of a convolution by its weights: dw[o, c, k] = the sum over images and
 * places p of x[n, c, stride * p + dilation * k - before] * dy[n, o, p].
 *
 *     task: some groups of Q blocks of output channels, some blocks of x, a part of the
 *           strips of strips
 *       for each strip of strips of the part               L2 holds it for all blocks of the task
 *         for each group of blocks, each strip             L1 holds its dy
 *           for each block of x                            sums: [turn][entry][Q * lanes],
 *                                                          in the scratch
 *             for each turn, for each R of its entries     a turn has one range of rows that lies on the map
 *               sums[R][Q] = 0                             R * Q registers
 *               for each image, row, column of the strip
 *                 dy[Q] = load                             Q registers
 *                 for each entry: b = broadcast x; for each q: sums[entry][q] += b * dy[q]
 *               add them to the task's
 *       result: the task's sums, transposed in registers, through the epilogue; or, where there
 *       are several parts, a second launch that adds up those first
 *
 * At each place the code prefetches into L2 what the next block of x and the next strip
 * of dy have there. If both maps have the same size, x and dy may change places
 * (swap_if_cheaper).
 *
 * There are three forms of turns:
 * - x in blocks: a turn is a tap, and its entries are the channels of a block. Stride,
 *   dilation and padding become a range of rows and columns, so that nothing is padded,
 *   and edges need no code of their own.
 * - x PLAIN, with few channels: a turn is a kernel row, and its entries are the channels
 *   and the taps of the row. Columns at the edge, where some taps are outside, read
 *   zeros.
 * - groups of few channels: lanes are channels, and x is a vector, of which each lane
 *   takes a channel of its group; each block has its own x. Edges as for PLAIN.
 *
 * Which task adds up what, and in which order, depends on the shape alone, so that
 * results are the same bits on any number of threads. A chain of additions is as long as
 * a strip, and then as long as there are strips in a part.
 *
 * The bound is the multiply-adds. With 32 registers there are 8x2 or 8x3 of them in a
 * step, for 10 or 11 loads; with 16 registers 4x3 or 4x2, for 7 or 6. docs/kernels.md has
 * the measured shares of the peak.
 *
 * Tried, and not faster: all taps of a depthwise kernel in one turn, with each column of
 * x loaded once. Alone the kernel takes half to three quarters of the time, but a step of
 * MobileNet-v2 as long as before: maps of 14x14 gain a quarter, and those of 56x56 that
 * come from memory lose a third, with and without prefetches. */
#include "kernels/conv/conv_gradient.h"

enum {
    CHAIN_LATENCY = 4,
    MAX_BLOCKS = 4,
    MAX_ENTRIES = 64,
    FEW_CHANNELS = 4,
    LEAST_TASKS = 32,
    LEAST_COLUMNS = 8
};

static const double step_overhead = 0.5, tile_overhead = 30;

/* ---- the shape ---- */

static bool has_few_channels(const ConvShape *s, int lanes) {
    return s->groups == 1 && (s->inputs <= FEW_CHANNELS || !channels_fill_blocks(s->inputs, lanes));
}

static bool has_small_groups(const ConvShape *s, int lanes) {
    return s->groups > 1 && s->inputs == s->outputs && s->inputs < lanes && lanes % s->inputs == 0;
}

static bool find_form(GradientPlan *plan, GradientTile *tile, int lanes) {
    ConvShape *s = &plan->shape;
    plan->width = 1;
    if (has_small_groups(s, lanes)) {
        tile->form = GRADIENT_GROUPS;
        plan->width = s->inputs;
        s->outputs *= s->groups;
        s->groups = 1;
    } else if (has_few_channels(s, lanes)) {
        tile->form = GRADIENT_PLAIN;
    } else {
        tile->form = GRADIENT_BLOCKS;
        return conv_has_whole_blocks(s, lanes);
    }
    return s->inputs * s->kernel[1] <= MAX_ENTRIES;
}

int64_t gradient_turns(const GradientPlan *plan) {
    return plan->shape.kernel[0] * (plan->tile.form == GRADIENT_BLOCKS ? plan->shape.kernel[1] : 1);
}

int64_t gradient_entries(const GradientPlan *plan, int lanes) {
    return plan->tile.form == GRADIENT_BLOCKS ? lanes : plan->shape.inputs * plan->shape.kernel[1];
}

int64_t gradient_x_blocks(const GradientPlan *plan, int lanes) {
    return plan->tile.form == GRADIENT_BLOCKS ? ceil_div(plan->shape.inputs, lanes) : 1;
}

int64_t gradient_last_entries(const GradientPlan *plan, int lanes) {
    if (plan->tile.form != GRADIENT_BLOCKS) return gradient_entries(plan, lanes);
    return plan->shape.inputs - (gradient_x_blocks(plan, lanes) - 1) * lanes;
}

int64_t gradient_y_blocks(const GradientPlan *plan, int lanes) {
    return ceil_div(plan->shape.outputs, lanes);
}

int64_t gradient_cell(const GradientPlan *plan, int lanes) {
    return gradient_turns(plan) * gradient_entries(plan, lanes) * plan->tile.blocks * lanes;
}

static int64_t sum_bytes(const GradientPlan *plan) { return dtype_bytes(plan->shape.types.sum); }

static int64_t cell_bytes(const GradientPlan *plan, int lanes) {
    return sum_bytes(plan) * gradient_cell(plan, lanes);
}

int gradient_entries_at_once(const Target *target, int blocks) {
    return (target->registers - 1 - blocks) / blocks;
}

/* ---- the register tile ---- */

static double step_cycles(const Target *t, int64_t entries, int64_t blocks) {
    double multiplies = (double)(entries * blocks) / t->fmas_per_cycle,
           loads = (double)(entries + blocks) / t->loads_per_cycle;
    double bound = multiplies > loads ? multiplies : loads;
    return (bound > CHAIN_LATENCY ? bound : CHAIN_LATENCY) + step_overhead;
}

/* Of all entries of a turn at one place of dy. */
static double turn_cycles(const Target *t, int64_t entries, int blocks) {
    int64_t tiles, longer, max = split_evenly(entries, gradient_entries_at_once(t, blocks), &tiles, &longer);
    double cycles = (double)longer * step_cycles(t, max, blocks);
    return longer < tiles ? cycles + (double)(tiles - longer) * step_cycles(t, max - 1, blocks) : cycles;
}

/* Of all groups of blocks. */
static double place_cycles(const Target *t, int64_t entries, int64_t y_blocks, int max_blocks) {
    int64_t groups, longer, max = split_evenly(y_blocks, max_blocks, &groups, &longer);
    double cycles = (double)longer * turn_cycles(t, entries, (int)max);
    return longer < groups ? cycles + (double)(groups - longer) * turn_cycles(t, entries, (int)max - 1)
                           : cycles;
}

/* In groups, blocks share no x: takes as many as hide the latency of their sums. */
static int choose_blocks_of_groups(int64_t y_blocks, int64_t entries, const Target *t) {
    int blocks = 1;
    double loads = (double)(entries + 1) / t->loads_per_cycle;
    while (blocks < y_blocks && blocks < MAX_BLOCKS && loads * blocks < CHAIN_LATENCY) blocks++;
    return blocks;
}

static int choose_gradient_blocks(const GradientPlan *plan, const Target *t) {
    int64_t y_blocks = gradient_y_blocks(plan, t->lanes), entries = gradient_entries(plan, t->lanes);
    int best = 1;
    if (plan->tile.form == GRADIENT_GROUPS) return choose_blocks_of_groups(y_blocks, entries, t);
    for (int blocks = 2; blocks <= MAX_BLOCKS && blocks <= y_blocks; blocks++)
        if (place_cycles(t, entries, y_blocks, blocks) < place_cycles(t, entries, y_blocks, best))
            best = blocks;
    return best;
}

/* ---- strips ---- */

typedef struct Map { int64_t images, height, width; } Map; /* of dy, as it is walked, at typical sizes */

static Map walked_map(const GradientPlan *plan, const Dims *dims, bool flat) {
    const ConvShape *s = &plan->shape;
    Map map = {dim_typical(dims, s->images), max_i64(1, dim_typical(dims, s->out_size[0])),
               max_i64(1, dim_typical(dims, s->out_size[1]))};
    if (flat) map.width *= map.height, map.height = 1;
    return map;
}

/* Places of x that `count` places of dy read along an axis. */
static int64_t reach_of(const ConvShape *s, int axis, int64_t count) {
    return (count - 1) * s->stride[axis] + (s->kernel[axis] - 1) * s->dilation[axis] + 1;
}

/* `places` of x of each block, and what of dy meets them. */
static int64_t bytes_of_places(const GradientPlan *plan, int lanes, int64_t places, int64_t rows,
                               int64_t columns, int64_t x_blocks, int64_t groups) {
    int64_t x = places * x_blocks;
    x *= plan->tile.form == GRADIENT_PLAIN ? plan->shape.inputs : lanes;
    if (plan->tile.form == GRADIENT_GROUPS) x *= groups * plan->tile.blocks;
    return sum_bytes(plan) * (x + rows * columns * groups * plan->tile.blocks * lanes);
}

static int64_t strip_bytes(const GradientPlan *plan, int lanes, int64_t rows, int64_t columns,
                           int64_t x_blocks, int64_t groups) {
    int64_t places = reach_of(&plan->shape, 0, rows) * reach_of(&plan->shape, 1, columns);
    return bytes_of_places(plan, lanes, places, rows, columns, x_blocks, groups);
}

/* What L1 holds of a strip while turns follow each other. Where a step is as long as the
 * kernel, as of patches, each turn has rows of x of its own; blocks of x leave half of
 * the cache's sets empty then, so they count whole. */
static int64_t turn_bytes(const GradientPlan *plan, int lanes, int64_t rows, int64_t columns) {
    const ConvShape *s = &plan->shape;
    bool own_rows = plan->tile.form == GRADIENT_PLAIN && s->stride[0] >= reach_of(s, 0, 1);
    int64_t places = (own_rows ? rows : reach_of(s, 0, rows)) * reach_of(s, 1, columns);
    return bytes_of_places(plan, lanes, places, rows, columns, 1, 1);
}

/* Whole rows if one fits L1, then several, then images. */
static void choose_strip(const GradientPlan *plan, GradientTile *tile, const Map *map, const Target *t) {
    int64_t room = t->l1_bytes * 5 / 6, rows = 1, columns = map->width, images = 1;
    while (turn_bytes(plan, t->lanes, 1, columns) > room && columns > LEAST_COLUMNS)
        columns = (columns + 1) / 2;
    while (columns == map->width && rows < map->height &&
           turn_bytes(plan, t->lanes, rows + 1, columns) <= room)
        rows++;
    int64_t bytes = turn_bytes(plan, t->lanes, rows, columns);
    if (columns == map->width && rows == map->height) images = max_i64(1, min_i64(map->images, room / bytes));
    tile->columns = columns;
    tile->rows = even_length(map->height, rows);
    tile->images = even_length(max_i64(1, map->images), images);
}

static void choose_far_strip(const GradientPlan *plan, GradientTile *tile, const Map *map, const Target *t) {
    int64_t room = t->l2_bytes / 2 / tile->images, columns = tile->columns, rows = tile->rows;
    bool alone = tile->groups * tile->x_blocks == 1;
    while (!alone && columns < map->width &&
           strip_bytes(plan, t->lanes, rows, columns + tile->columns, tile->x_blocks, tile->groups) <= room)
        columns += tile->columns;
    while (!alone && columns >= map->width && rows < map->height &&
           strip_bytes(plan, t->lanes, rows + tile->rows, columns, tile->x_blocks, tile->groups) <= room)
        rows += tile->rows;
    tile->far_columns = min_i64(columns, map->width);
    tile->far_rows = min_i64(rows, map->height);
}

/* ---- tasks ---- */

/* Bytes from L3 in a cycle, if L2 holds what the blocks of a task share. */
static double bytes_per_cycle(const GradientPlan *plan, const Target *t, int64_t groups, int64_t x_blocks) {
    const ConvShape *s = &plan->shape;
    int64_t x = plan->tile.form == GRADIENT_PLAIN ? s->inputs : t->lanes;
    int64_t elements = x_blocks * x * s->stride[0] * s->stride[1] + groups * plan->tile.blocks * t->lanes;
    double bytes = (double)(sum_bytes(plan) * elements);
    double cycles =
        turn_cycles(t, gradient_entries(plan, t->lanes), plan->tile.blocks) * (double)gradient_turns(plan);
    return bytes / (cycles * (double)(groups * x_blocks));
}

/* As many blocks as keep L3 from being the bound, while their sums leave L2 room. Blocks
 * of x take turns at dy in L1: they cost nothing. Groups read x again from L2. */
static void choose_task(const GradientPlan *plan, GradientTile *tile, int64_t all_groups, int64_t all_blocks,
                        const Target *t) {
    int64_t groups = 1, blocks = 1, max = max_i64(1, t->l2_bytes / 4 / cell_bytes(plan, t->lanes));
    double rate = t->l3_bytes_per_cycle;
    while (blocks < all_blocks && blocks < max && bytes_per_cycle(plan, t, groups, blocks) > rate / 8)
        blocks++;
    while (groups < all_groups && (groups + 1) * blocks <= max &&
           bytes_per_cycle(plan, t, groups, blocks) > rate / 2)
        groups++;
    tile->groups = (int)even_length(all_groups, groups);
    tile->x_blocks = (int)even_length(all_blocks, blocks);
}

/* Groups of Q blocks of output channels, of a group of channels. */
static int64_t gradient_groups(const GradientPlan *plan, const GradientTile *tile, int lanes) {
    return ceil_div(gradient_y_blocks(plan, lanes), tile->blocks);
}

static int64_t count_tasks(const GradientPlan *plan, const GradientTile *tile, int lanes) {
    return plan->shape.groups * ceil_div(gradient_groups(plan, tile, lanes), tile->groups) *
           ceil_div(gradient_x_blocks(plan, lanes), tile->x_blocks);
}

static Dim far_strips(Dims *dims, const ConvShape *s, const GradientTile *tile) {
    Dim height = s->out_size[0], width = s->out_size[1];
    if (tile->flat) width = dim_mul(dims, height, width), height = dim_const(dims, 1);
    Dim rows = dim_ceil_div(dims, height, tile->far_rows),
        columns = dim_ceil_div(dims, width, tile->far_columns);
    return dim_mul(dims, dim_ceil_div(dims, s->images, tile->images), dim_mul(dims, rows, columns));
}

static GradientTile choose_tile(const GradientPlan *plan, Dims *dims, const Target *t, bool flat) {
    GradientTile tile = plan->tile;
    Map map = walked_map(plan, dims, flat);
    tile.flat = flat;
    choose_task(plan, &tile, gradient_groups(plan, &tile, t->lanes), gradient_x_blocks(plan, t->lanes), t);
    choose_strip(plan, &tile, &map, t);
    choose_far_strip(plan, &tile, &map, t);
    int64_t tasks = count_tasks(plan, &tile, t->lanes),
            units = dim_typical(dims, far_strips(dims, &plan->shape, &tile));
    tile.parts = (int)max_i64(1, min_i64(units, ceil_div(LEAST_TASKS, tasks)));
    return tile;
}

GradientPlan gradient_row_plan(Dims *dims, const Target *target, Contraction types, int64_t inputs,
                               int64_t outputs, int64_t length) {
    Dim one = dim_const(dims, 1), row = dim_const(dims, length);
    GradientPlan plan = {.shape = {.types = types,
                                   .stride = {1, 1},
                                   .dilation = {1, 1},
                                   .kernel = {1, 1},
                                   .groups = 1,
                                   .inputs = inputs,
                                   .outputs = outputs,
                                   .images = one,
                                   .in_size = {one, row},
                                   .out_size = {one, row}},
                         .width = 1,
                         .tile = {.form = GRADIENT_BLOCKS}};
    plan.tile.blocks = choose_gradient_blocks(&plan, target);
    plan.tile = choose_tile(&plan, dims, target, true);
    return plan;
}

/* ---- the proposal ---- */

/* Which part of all taps at all places of dy lies on the map along an axis. */
static double inside_share(const GradientPlan *plan, const Dims *dims, int axis) {
    const ConvShape *s = &plan->shape;
    int64_t count = max_i64(1, dim_typical(dims, s->out_size[axis])),
            size = dim_typical(dims, s->in_size[axis]), inside = 0;
    for (int64_t tap = 0; tap < s->kernel[axis]; tap++) {
        int64_t first = tap * s->dilation[axis] - s->before[axis], stride = s->stride[axis];
        int64_t from = first < 0 ? ceil_div(-first, stride) : 0;
        int64_t to = size > first ? min_i64(count, ceil_div(size - first, stride)) : 0;
        inside += max_i64(0, to - from);
    }
    return (double)inside / (double)(count * s->kernel[axis]);
}

double gradient_results_cycles(const GradientPlan *plan, const Target *t) {
    double entries = (double)(gradient_turns(plan) * gradient_x_blocks(plan, t->lanes) *
                              gradient_entries(plan, t->lanes) * plan->shape.groups);
    return entries * (double)gradient_y_blocks(plan, t->lanes) * (4 + 2 * (double)plan->tile.parts);
}

double gradient_sums_cycles(const GradientPlan *plan, const Dims *dims, const Target *t) {
    const GradientTile *tile = &plan->tile;
    Map map = walked_map(plan, dims, false);
    double places = (double)(map.images * map.height * map.width),
           strip = (double)(tile->images * tile->rows * tile->columns);
    int64_t x_blocks = gradient_x_blocks(plan, t->lanes);
    double turns = (double)(gradient_turns(plan) * plan->shape.groups);
    double inside =
        inside_share(plan, dims, 0) * (tile->form == GRADIENT_BLOCKS ? inside_share(plan, dims, 1) : 1);
    int64_t y_blocks = gradient_y_blocks(plan, t->lanes), entries = gradient_entries(plan, t->lanes);
    double sums = turns * (double)(x_blocks * entries * y_blocks);
    double tiles = sums / (double)(tile->blocks * gradient_entries_at_once(t, tile->blocks));
    double place = (double)(x_blocks - 1) * place_cycles(t, entries, y_blocks, tile->blocks) +
                   place_cycles(t, gradient_last_entries(plan, t->lanes), y_blocks, tile->blocks);
    return places * inside * turns * place + places / strip * (tiles * tile_overhead + 2 * sums);
}

static bool gradient_may_be_flat(const GradientPlan *plan) {
    const ConvShape *s = &plan->shape;
    bool flat = plan->tile.form == GRADIENT_BLOCKS;
    for (int i = 0; i < 2; i++)
        flat = flat && s->kernel[i] == 1 && s->stride[i] == 1 && s->before[i] == 0 &&
               s->in_size[i] == s->out_size[i];
    return flat;
}

static int64_t count_cells(const GradientPlan *plan, const GradientTile *tile, int lanes) {
    return plan->shape.groups * gradient_groups(plan, tile, lanes) * gradient_x_blocks(plan, lanes);
}

/* The sums of a task; or, of several parts, those of all tasks, which a second phase adds
 * up. */
static WorkingMemory gradient_memory(const GradientPlan *plan, const GradientTile *tile, Dims *dims,
                                     int lanes) {
    int64_t cell = cell_bytes(plan, lanes);
    if (tile->parts > 1)
        return (WorkingMemory){.workspace =
                                   dim_const(dims, tile->parts * count_cells(plan, tile, lanes) * cell)};
    return (WorkingMemory){.scratch = dim_const(dims, tile->groups * tile->x_blocks * cell)};
}

/* Operands are read as they lie. */
static bool reads_sums_type(const ConvShape *s) {
    return s->types.left == s->types.sum && s->types.right == s->types.sum;
}

static void choose_gradient_tiles(GradientPlan *plan, Dims *dims, const Target *t) {
    plan->tile.blocks = choose_gradient_blocks(plan, t);
    if (gradient_may_be_flat(plan)) {
        plan->flat = choose_tile(plan, dims, t, true);
        plan->flat_memory = gradient_memory(plan, &plan->flat, dims, t->lanes);
    }
    plan->tile = choose_tile(plan, dims, t, false);
}

static double gradient_cycles(const GradientPlan *plan, const Dims *dims, const Target *t) {
    return gradient_sums_cycles(plan, dims, t) + gradient_results_cycles(plan, t);
}

static void swap_channels(ConvShape *s) {
    int64_t inputs = s->inputs;
    s->inputs = s->outputs;
    s->outputs = inputs;
}

/* Where x and dy are maps alike, that one has the lanes whose channels fill blocks
 * better. */
static void swap_if_cheaper(GradientPlan *plan, Dims *dims, const Target *t) {
    GradientPlan swapped = *plan;
    if (!gradient_may_be_flat(plan) || plan->shape.groups > 1) return;
    swapped.swapped = true;
    swap_channels(&swapped.shape);
    choose_gradient_tiles(&swapped, dims, t);
    if (gradient_cycles(&swapped, dims, t) < gradient_cycles(plan, dims, t)) *plan = swapped;
}

bool conv_gradient_propose(const Kernel *kernel, Proposal *proposal) {
    const Target *target = kernel->program->target;
    Dims *dims = kernel->program->graph->dims;
    GradientPlan plan = {0};
    if (!conv_gradient_shape(kernel, &plan.shape) || !reads_sums_type(&plan.shape)) return false;
    if (!find_form(&plan, &plan.tile, target->lanes)) return false;
    choose_gradient_tiles(&plan, dims, target);
    swap_if_cheaper(&plan, dims, target);
    proposal->memory = gradient_memory(&plan, &plan.tile, dims, target->lanes);
    prefer_formats(kernel, proposal, &format_plain, kernel->input_count);
    if (plan.tile.form != GRADIENT_PLAIN) proposal->inputs[0].format = kernel->program->blocked;
    proposal->inputs[1].format = kernel->program->blocked;
    proposal->tile = arena_copy(kernel->program->arena, &plan, sizeof plan);
    proposal->cycles = gradient_cycles(&plan, dims, target);
    return true;
}

static bool lies_row_by_row(Dims *dims, const Value *value) {
    return value->strides[2] == dim_mul(dims, value->node->shape.dims[3], value->strides[3]);
}

void conv_gradient_settle(Program *program, Kernel *kernel) {
    GradientPlan *plan = kernel->proposal.tile;
    Dims *dims = program->graph->dims;
    int lanes = program->target->lanes;
    if (plan->flat.blocks && lies_row_by_row(dims, kernel->inputs[0]) &&
        lies_row_by_row(dims, kernel->inputs[1])) {
        plan->tile = plan->flat;
        kernel->proposal.memory = plan->flat_memory;
    }
    const GradientTile *tile = &plan->tile;
    ConvTile registers = {.pixels = (int)even_length(gradient_entries(plan, lanes),
                                                     gradient_entries_at_once(program->target, tile->blocks)),
                          .rows = 1,
                          .blocks = tile->blocks,
                          .flat_rows = tile->flat};
    ConvShape shape = plan->shape;
    if (plan->swapped) swap_channels(&shape);
    kernel_set_name(kernel, "conv_gradient_%s%s_%lldx%lldx%lld_%lldx%lld_g%dx%dp%d",
                    conv_describe(program->arena, &shape, &registers), plan->swapped ? "_swapped" : "",
                    (long long)tile->images, (long long)tile->rows, (long long)tile->columns,
                    (long long)tile->far_rows, (long long)tile->far_columns, tile->groups, tile->x_blocks,
                    tile->parts);
    kernel->tasks = dim_const(dims, count_tasks(plan, tile, lanes) * tile->parts);
    Dim cells = dim_const(dims, count_cells(plan, tile, lanes));
    if (tile->parts > 1)
        kernel_set_phases(kernel, (const char *[]){"parts", NULL}, (Dim[]){kernel->tasks, cells}, 2);
}

/* ---- emission ---- */

Gradient gradient_of(Module *m, const Kernel *kernel, const GradientPlan *plan) {
    Gradient g = {.m = m,
                  .kernel = kernel,
                  .plan = plan,
                  .shape = &plan->shape,
                  .tile = &plan->tile,
                  .lanes = m->target->lanes,
                  .element = get_register_type(m, plan->shape.types.sum, 1),
                  .parts = get_i64(m, 1)};
    g.vector = get_vector(m, g.element, g.lanes);
    g.y_blocks = gradient_y_blocks(plan, g.lanes);
    g.x_blocks = gradient_x_blocks(plan, g.lanes);
    split_evenly(g.y_blocks, plan->tile.blocks, &g.group_count, &g.longer);
    g.entries = gradient_entries(plan, g.lanes);
    g.last_entries = gradient_last_entries(plan, g.lanes);
    g.cell = gradient_cell(plan, g.lanes);
    return g;
}

static Gradient begin_gradient(Module *m, const Kernel *kernel, const char *name) {
    Dims *dims = kernel->program->graph->dims;
    const GradientPlan *plan = kernel->proposal.tile;
    begin_kernel(m, name);
    Gradient g = gradient_of(m, kernel, plan);
    g.units = get_dim(m, far_strips(dims, g.shape, g.tile));
    g.parts = emit_min(m, g.units, get_i64(m, plan->tile.parts));
    g.memory = plan->tile.parts > 1 ? get_argument(m, 1 + kernel->input_count) : m->scratch;
    return g;
}

LLVMValueRef gradient_first_block(const Gradient *g, LLVMValueRef group) {
    Module *m = g->m;
    return emit_add(m, emit_mul(m, group, get_i64(m, g->tile->blocks - 1)),
                    emit_min(m, group, get_i64(m, g->longer)));
}

/* Takes a task apart but for its part; its sums follow those of the tasks before it. */
static GradientSums find_sums(const Gradient *g, LLVMValueRef *task, int64_t groups, int64_t x_blocks) {
    Module *m = g->m;
    int64_t group_tasks = ceil_div(g->group_count, groups), x_tasks = ceil_div(g->x_blocks, x_blocks);
    GradientSums sums = {.first = get_i64(m, 0)};
    sums.x_from = emit_mul(m, take_part(m, task, get_i64(m, x_tasks)), get_i64(m, x_blocks));
    sums.x_to = emit_min(m, emit_add(m, sums.x_from, get_i64(m, x_blocks)), get_i64(m, g->x_blocks));
    sums.from = emit_mul(m, take_part(m, task, get_i64(m, group_tasks)), get_i64(m, groups));
    sums.to = emit_min(m, emit_add(m, sums.from, get_i64(m, groups)), get_i64(m, g->group_count));
    sums.group = take_part(m, task, get_i64(m, g->shape->groups));
    return sums;
}

/* Where the sums lie in the workspace: [part][group of channels][group of blocks][block
 * of x]. */
static void place_in_workspace(const Gradient *g, GradientSums *sums, LLVMValueRef part) {
    Module *m = g->m;
    LLVMValueRef at = emit_add(m, emit_mul(m, part, get_i64(m, g->shape->groups)), sums->group);
    at = emit_add(m, emit_mul(m, at, get_i64(m, g->group_count)), sums->from);
    at = emit_add(m, emit_mul(m, at, get_i64(m, g->x_blocks)), sums->x_from);
    sums->first = emit_mul(m, at, get_i64(m, g->cell));
    sums->group_stride = get_i64(m, g->x_blocks * g->cell);
}

static void emit_part(const Gradient *g, const GradientSums *sums, LLVMValueRef part) {
    Module *m = g->m;
    Branch exists = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, part, g->parts, ""));
    LLVMValueRef from = emit_div(m, emit_mul(m, part, g->units), g->parts);
    gradient_emit_sums(g, sums, from,
                       emit_div(m, emit_mul(m, emit_add(m, part, get_i64(m, 1)), g->units), g->parts));
    end_if(m, &exists);
}

static void emit_gradient_parts(Module *m, const Kernel *kernel, const char *name) {
    Gradient g = begin_gradient(m, kernel, name);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index;
    GradientSums sums = find_sums(&g, &task, g.tile->groups, g.tile->x_blocks);
    place_in_workspace(&g, &sums, task);
    emit_part(&g, &sums, task);
    end_loop(m, &tasks);
    finish_kernel(m);
}

static LLVMValueRef emit_totals(Module *m, const Kernel *kernel) {
    Gradient g = begin_gradient(m, kernel, kernel->name);
    LLVMValueRef function = m->function;
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index;
    GradientSums sums = find_sums(&g, &task, 1, 1);
    place_in_workspace(&g, &sums, get_i64(m, 0));
    gradient_emit_results(&g, &sums, get_i64(m, g.shape->groups * g.group_count * g.x_blocks * g.cell));
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}

static LLVMValueRef emit_whole_gradient(Module *m, const Kernel *kernel) {
    Gradient g = begin_gradient(m, kernel, kernel->name);
    LLVMValueRef function = m->function;
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef task = tasks.index;
    GradientSums sums = find_sums(&g, &task, g.tile->groups, g.tile->x_blocks);
    sums.group_stride = get_i64(m, g.tile->x_blocks * g.cell);
    emit_part(&g, &sums, get_i64(m, 0));
    gradient_emit_results(&g, &sums, get_i64(m, 0));
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}

LLVMValueRef conv_gradient_emit(Module *m, const Kernel *kernel) {
    const GradientPlan *plan = kernel->proposal.tile;
    if (plan->tile.parts == 1) return emit_whole_gradient(m, kernel);
    emit_gradient_parts(m, kernel, kernel->phases[0].name);
    return emit_totals(m, kernel);
}
