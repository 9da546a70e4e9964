/* The loops of a convolution over its map, tile by tile. A task is some rows of one image
 * for one group of output blocks:
 *
 *     for each group of Q output blocks           outermost, so that its weights stay in the cache;
 *                                                 innermost of the tasks, so that rows of the input
 *                                                 stay, where those come from far away (`strips`)
 *       for each phase                            of a transposed convolution
 *         for each image
 *           for each pass                         over some of the input's channels; all passes but
 *                                                 the last keep their sums in the scratch
 *             for each row of tiles               a task is `task_rows` of them
 *               for each tile of the row
 *
 * A row of fixed size is cut evenly, and tiles whose taps are clipped differently have
 * their own code. A row of free size is
 *
 *     left edge | inside, P pixels each | the rest: 8 or 4 pixels wide, reading zeros beyond the edge
 *
 * A tile with several rows has its taps clipped beforehand in both directions; one with a
 * single row computes which kernel rows lie inside. No tile overlaps another, since the
 * epilogue may work in place. */
#include "kernels/conv/conv.h"

static Dims *dims_of_conv(const Conv *c) { return c->kernel->program->graph->dims; }

int64_t conv_input_blocks(const Conv *c) { return ceil_div(c->shape.inputs, c->lanes); }

static LLVMValueRef emit_index_compare(Conv *c, LLVMIntPredicate predicate, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(c->m->builder, predicate, a, b, "");
}

LLVMValueRef conv_zeros(Module *m, LLVMTypeRef element) {
    LLVMTypeRef type = LLVMArrayType2(element, (uint64_t)m->target->lanes);
    LLVMValueRef zeros = LLVMGetNamedGlobal(m->module, "cai_zeros");
    if (zeros) return zeros;
    zeros = LLVMAddGlobal(m->module, type, "cai_zeros");
    LLVMSetInitializer(zeros, LLVMConstNull(type));
    LLVMSetGlobalConstant(zeros, 1);
    LLVMSetLinkage(zeros, LLVMPrivateLinkage);
    LLVMSetAlignment(zeros, 64);
    return zeros;
}

/* ---- one row of tiles ---- */

static bool tile_inside(const ConvAxis *a, int64_t from, int64_t width) {
    int64_t limit, last = a->scale * (from + width - 1) + a->first + a->step * (a->taps - 1);
    return a->scale * from + a->first >= 0 && dim_is_const(a->input, &limit) && last < limit;
}

static void emit_at(Conv *c, ConvSite site, LLVMValueRef x, int64_t fixed_x, int64_t columns,
                    LLVMValueRef number) {
    site.x = x;
    site.fixed_x = fixed_x;
    site.columns = (int)columns;
    if (site.share) site.share = emit_add(c->m, site.share, number);
    c->emit_tile(c, &site);
}

static void emit_map_run(Conv *c, const ConvSite *site, int64_t from, int64_t width, int64_t tile,
                         int64_t count) {
    Module *m = c->m;
    Loop loop = begin_loop(m, get_i64(m, 0), get_i64(m, count), 1);
    LLVMValueRef x = emit_add(m, emit_mul(m, loop.index, get_i64(m, width)), get_i64(m, from));
    emit_at(c, *site, x, SITE_INSIDE, width, emit_add(m, loop.index, get_i64(m, tile)));
    end_loop(m, &loop);
}

static void emit_fixed_columns(Conv *c, const ConvSite *site, int64_t count) {
    Module *m = c->m;
    if (count == 0) return; /* a phase of a transposed convolution whose output is narrower than the stride */
    int64_t tiles, longer, widest = split_evenly(count, c->tile->pixels, &tiles, &longer);
    for (int64_t t = 0, x = 0; t < tiles;) {
        int64_t width = t < longer ? widest : widest - 1, end = t < longer ? longer : tiles, run = 0;
        while (t + run < end && tile_inside(&c->columns, x + run * width, width)) run++;
        if (run > 1) emit_map_run(c, site, x, width, t, run);
        else emit_at(c, *site, get_i64(m, x), x, width, get_i64(m, t));
        t += max_i64(run, 1);
        x += max_i64(run, 1) * width;
    }
}

/* Tiles that begin before the first interior column; they are clipped only on their
 * left. */
static LLVMValueRef emit_left_edge(Conv *c, const ConvSite *site, LLVMValueRef inside_end) {
    Module *m = c->m;
    int64_t width = c->tile->pixels, tiles = ceil_div(axis_interior_begin(&c->columns), width);
    LLVMValueRef begin = get_i64(m, tiles * width);
    if (tiles == 0) return begin;
    LLVMValueRef wide = emit_index_compare(c, LLVMIntSLE, begin, inside_end);
    Branch branch = begin_if(m, wide);
    for (int64_t t = 0; t < tiles; t++)
        emit_at(c, *site, get_i64(m, t * width), t * width, width, get_i64(m, t));
    end_if(m, &branch);
    return LLVMBuildSelect(m->builder, wide, begin, get_i64(m, 0), "begin");
}

static LLVMValueRef emit_inside_border(Conv *c, const ConvSite *site, LLVMValueRef begin,
                                       LLVMValueRef inside_end) {
    Module *m = c->m;
    LLVMValueRef width = get_i64(m, c->tile->pixels), zero = get_i64(m, 0);
    LLVMValueRef narrow =
        emit_index_compare(c, LLVMIntSLT, begin, get_i64(m, axis_interior_begin(&c->columns)));
    LLVMValueRef room = emit_max(m, emit_sub(m, inside_end, begin), zero);
    LLVMValueRef tiles = LLVMBuildSelect(m->builder, narrow, zero, emit_div(m, room, width), "tiles");
    Loop loop = begin_loop(m, zero, tiles, 1);
    LLVMValueRef x = emit_add(m, begin, emit_mul(m, loop.index, width));
    emit_at(c, *site, x, SITE_INSIDE, c->tile->pixels, emit_div(m, x, width));
    end_loop(m, &loop);
    return emit_add(m, begin, emit_mul(m, tiles, width));
}

/* The rest of a row, in tiles of the least of a few widths that holds it: at most 8,
 * since every pixel has an address of its own. Where the input is PLAIN every load
 * chooses between the map and zeros, and LLVM computes all addresses of a step before the
 * multiply-adds: so fewer pixels where registers do not hold 8 addresses beside as many
 * sums. */
static void emit_rest(Conv *c, ConvSite site, LLVMValueRef begin, LLVMValueRef count) {
    Module *m = c->m;
    int widths[] = {4, 8};
    bool tight = c->tile->plain && 2 * widths[1] >= m->target->registers;
    int widest = (int)min_i64(c->tile->pixels, widths[tight ? 0 : 1]);
    site.limit = count;
    Loop loop = begin_loop(m, begin, count, widest);
    LLVMValueRef left = emit_sub(m, count, loop.index),
                 number = emit_div(m, loop.index, get_i64(m, c->tile->pixels));
    for (int i = 0, narrower = 0; narrower < widest; i++) {
        int width = (int)min_i64(widths[i], widest);
        LLVMValueRef fits = width == widest ? LLVMConstInt(m->i1, 1, 0)
                                            : emit_index_compare(c, LLVMIntSLE, left, get_i64(m, width));
        LLVMValueRef needed = emit_index_compare(c, LLVMIntSGT, left, get_i64(m, narrower));
        Branch branch = begin_if(m, LLVMBuildAnd(m->builder, fits, needed, "width"));
        emit_at(c, site, loop.index, SITE_COMPUTED, width, number);
        end_if(m, &branch);
        narrower = width;
    }
    end_loop(m, &loop);
}

static void emit_free_columns(Conv *c, const ConvSite *site, LLVMValueRef count) {
    Module *m = c->m;
    LLVMValueRef inside_end = count;
    if (!c->flat_length)
        inside_end = emit_min(m, count, get_dim(m, axis_interior_end(dims_of_conv(c), &c->columns)));
    LLVMValueRef begin = emit_left_edge(c, site, inside_end);
    emit_rest(c, *site, emit_inside_border(c, site, begin, inside_end), count);
}

static void emit_columns(Conv *c, ConvSite site) {
    Module *m = c->m;
    int64_t fixed;
    bool known = dim_is_const(c->columns.count, &fixed) && dim_is_const(c->columns.input, NULL) &&
                 !c->tile->flat_pixels;
    LLVMValueRef count = get_dim(m, c->columns.count);
    if (c->tile->flat_pixels) {
        LLVMValueRef length = get_i64(m, c->flat_length);
        count = emit_min(m, length, emit_sub(m, count, emit_mul(m, site.y, length)));
    }
    c->column_input = c->flat_length ? count : get_dim(m, c->columns.input);
    if (site.share) {
        LLVMValueRef across =
            emit_div(m, emit_add(m, count, get_i64(m, c->tile->pixels - 1)), get_i64(m, c->tile->pixels));
        site.share = emit_mul(m, site.share, across);
    }
    if (known) emit_fixed_columns(c, &site, fixed);
    else emit_free_columns(c, &site, count);
}

/* ---- rows of tiles ---- */

static bool rows_always_inside(Conv *c) {
    int64_t beyond;
    Dim outside = dim_sub(dims_of_conv(c), c->rows.count, axis_interior_end(dims_of_conv(c), &c->rows));
    return c->flat_length ||
           (axis_interior_begin(&c->rows) == 0 && dim_is_const(outside, &beyond) && beyond <= 0);
}

static void emit_single_row(Conv *c, ConvSite site, LLVMValueRef row) {
    site.rows = 1;
    site.y = row;
    site.fixed_y = c->rows.taps == 1 && rows_always_inside(c) ? SITE_INSIDE : SITE_COMPUTED;
    emit_columns(c, site);
}

/* Rows of tiles from number `from` up to, not including, `to`: all interior ones, or one
 * that is not. */
static void emit_rows_between(Conv *c, ConvSite site, LLVMValueRef number, int64_t from, int64_t to,
                              int64_t height) {
    Module *m = c->m;
    LLVMValueRef after = emit_index_compare(c, LLVMIntSGE, number, get_i64(m, from)),
                 before = emit_index_compare(c, LLVMIntSLT, number, get_i64(m, to));
    Branch branch = begin_if(m, LLVMBuildAnd(m->builder, after, before, "rows"));
    site.rows = (int)min_i64(c->tile->rows, height - from * c->tile->rows);
    site.y = emit_mul(m, number, get_i64(m, c->tile->rows));
    site.fixed_y =
        tile_inside(&c->rows, from * c->tile->rows, site.rows) ? SITE_INSIDE : from * c->tile->rows;
    emit_columns(c, site);
    end_if(m, &branch);
}

static void emit_several_rows(Conv *c, ConvSite site, LLVMValueRef number) {
    int64_t height = dim_const_value(c->rows.count), rows = c->tile->rows, tiles = ceil_div(height, rows);
    for (int64_t t = 0; t < tiles;) {
        int64_t run = 0;
        while ((t + run + 1) * rows <= height && tile_inside(&c->rows, (t + run) * rows, rows)) run++;
        run = max_i64(run, 1);
        emit_rows_between(c, site, number, t, t + run, height);
        t += run;
    }
}

/* The number of rows of tiles of a phase. */
static Dim tile_rows(Dims *dims, const ConvShape *shape, const ConvTile *tile, int phase) {
    Dim rows = conv_axis(dims, shape, 0, phase).count, columns = conv_axis(dims, shape, 1, phase).count;
    if (tile->flat_rows) return dim_const(dims, dim_const_value(rows) / tile->flat_rows);
    if (tile->flat_pixels) return dim_ceil_div(dims, dim_mul(dims, rows, columns), tile->flat_pixels);
    return dim_ceil_div(dims, rows, tile->rows);
}

/* Columns of a row of sums kept from pass to pass, including those that only fill up a
 * tile. */
static Dim kept_columns(Dims *dims, const ConvShape *shape, const ConvTile *tile) {
    if (tile->flat_pixels) return dim_const(dims, tile->flat_pixels + tile->pixels);
    Dim columns = conv_axis(dims, shape, 1, 0).count;
    return dim_offset(dims, tile->flat_rows ? dim_scale(dims, columns, tile->flat_rows) : columns,
                      tile->pixels);
}

Dim conv_sums_bytes(Dims *dims, const ConvShape *shape, const ConvTile *tile, int lanes) {
    if (!tile->depth) return dim_const(dims, 0);
    int64_t vectors = (int64_t)tile->task_rows * tile->rows * tile->blocks;
    return dim_scale(dims, kept_columns(dims, shape, tile), vectors * lanes * dtype_bytes(shape->types.sum));
}

Dim conv_scratch(Dims *dims, const ConvShape *shape, const ConvTile *tile, int lanes) {
    if (!tile->depth && !conv_needs_strip(shape)) return NULL;
    Dim sums = conv_sums_bytes(dims, shape, tile, lanes);
    return dim_add(dims, sums, conv_strip_bytes(dims, shape, tile, lanes));
}

static void emit_pass(Conv *c, ConvSite site, LLVMValueRef from, LLVMValueRef to, LLVMValueRef rows) {
    Module *m = c->m;
    Loop loop = begin_loop(m, from, to, 1);
    if (c->tile->next_lines) site.share = emit_add(m, emit_mul(m, c->image, rows), loop.index);
    if (c->tile->depth) {
        c->kept_row = get_dim(m, kept_columns(dims_of_conv(c), &c->shape, c->tile));
        LLVMValueRef row =
            emit_mul(m, emit_sub(m, loop.index, from), get_i64(m, c->tile->rows * site.blocks * c->lanes));
        site.kept = emit_mul(m, row, c->kept_row);
    }
    if (c->tile->rows > 1) emit_several_rows(c, site, loop.index);
    else emit_single_row(c, site, loop.index);
    end_loop(m, &loop);
}

static void emit_task_rows(Conv *c, LLVMValueRef part, int blocks, int phase) {
    Module *m = c->m;
    ConvSite site = {.blocks = blocks};
    LLVMValueRef each = get_i64(m, c->tile->task_rows), from = emit_mul(m, part, each);
    LLVMValueRef rows = get_dim(m, tile_rows(dims_of_conv(c), &c->shape, c->tile, phase));
    LLVMValueRef to = emit_min(m, emit_add(m, from, each), rows);
    Conv strip = *c;
    if (conv_needs_strip(&c->shape)) {
        c = &strip;
        conv_read_strip(c, from, to);
    }
    if (!c->tile->depth) {
        emit_pass(c, site, from, to, rows);
        return;
    }
    LLVMValueRef inputs = get_i64(m, conv_input_blocks(c));
    Loop passes = begin_loop(m, get_i64(m, 0), inputs, c->tile->depth);
    site.from = passes.index;
    site.to = emit_min(m, emit_add(m, passes.index, get_i64(m, c->tile->depth)), inputs);
    emit_pass(c, site, from, to, rows);
    end_loop(m, &passes);
}

/* ---- tasks ---- */

static int64_t group_blocks(const Conv *c) { return ceil_div(c->shape.outputs, c->lanes); }

static int64_t tiles_of_group(const ConvShape *shape, const ConvTile *tile, int lanes) {
    int64_t blocks = ceil_div(shape->outputs, lanes);
    return ceil_div(blocks, tile->blocks);
}

/* A flat map has one axis, of which its rows are pieces. */
static void set_phase_axes(Conv *c, int phase) {
    Dims *dims = dims_of_conv(c);
    c->rows = conv_axis(dims, &c->shape, 0, phase);
    c->columns = conv_axis(dims, &c->shape, 1, phase);
    if (c->tile->flat_pixels) {
        c->flat_length = c->tile->flat_pixels;
        c->columns.count = c->columns.input = dim_mul(dims, c->rows.count, c->columns.count);
    } else if (c->tile->flat_rows) {
        c->flat_length = c->tile->flat_rows * dim_const_value(c->columns.count);
        c->columns.count = c->columns.input = dim_const(dims, c->flat_length);
        c->rows.count = c->rows.input = dim_const(dims, dim_const_value(c->rows.count) / c->tile->flat_rows);
    }
    if (c->flat_length) c->row_stride = get_i64(c->m, c->flat_length * c->pixel_stride);
}

static int phases_of_tasks(const ConvShape *shape, const ConvTile *tile) {
    return tile->all_phases ? 1 : conv_phases(shape);
}

static void emit_map_phases(Conv *c, LLVMValueRef phase, LLVMValueRef part, int blocks) {
    int phases = conv_phases(&c->shape);
    conv_start_parts(c, blocks);
    for (int i = 0; i < phases; i++) {
        set_phase_axes(c, i);
        if (phases_of_tasks(&c->shape, c->tile) == 1) {
            emit_task_rows(c, part, blocks, i);
            continue;
        }
        Branch branch = begin_if(c->m, emit_index_compare(c, LLVMIntEQ, phase, get_i64(c->m, i)));
        emit_task_rows(c, part, blocks, i);
        end_if(c->m, &branch);
    }
}

static Dim row_parts(Dims *dims, const ConvShape *shape, const ConvTile *tile) {
    /* phase 0 has the most rows */
    return dim_ceil_div(dims, tile_rows(dims, shape, tile, 0), tile->task_rows);
}

Dim conv_tasks(Dims *dims, const ConvShape *shape, const ConvTile *tile, int lanes) {
    Dim tasks = dim_mul(dims, row_parts(dims, shape, tile), shape->images);
    return dim_scale(dims, tasks,
                     shape->groups * tiles_of_group(shape, tile, lanes) * phases_of_tasks(shape, tile));
}

int64_t conv_map_parts(Dims *dims, const ConvShape *shape, const ConvTile *tile) {
    int64_t images;
    if (shape->groups > 1 || tile->flat_pixels || !dim_is_const(shape->images, &images)) return 0;
    for (int i = 0; i < 2; i++)
        if (!dim_is_const(shape->out_size[i], NULL)) return 0;
    return images * phases_of_tasks(shape, tile) * dim_const_value(row_parts(dims, shape, tile));
}

typedef struct TaskPlace { LLVMValueRef part, phase, tile, group; } TaskPlace;

/* Finds the rows, phase and output blocks of a task; sets c->image, too. */
static TaskPlace find_map_task(Conv *c, LLVMValueRef task, int64_t tiles) {
    Module *m = c->m;
    TaskPlace at;
    LLVMValueRef parts = get_dim(m, row_parts(dims_of_conv(c), &c->shape, c->tile)),
                 phases = get_i64(m, phases_of_tasks(&c->shape, c->tile));
    if (c->tile->strips) {
        at.tile = take_part(m, &task, get_i64(m, tiles));
        at.phase = take_part(m, &task, phases);
        at.part = take_part(m, &task, parts);
        c->image = take_part(m, &task, get_dim(m, c->shape.images));
    } else {
        at.part = take_part(m, &task, parts);
        c->image = take_part(m, &task, get_dim(m, c->shape.images));
        at.phase = take_part(m, &task, phases);
        at.tile = take_part(m, &task, get_i64(m, tiles));
    }
    at.group = task;
    return at;
}

/* By phase, image and piece of rows, for stored sums. */
static LLVMValueRef number_part(const Conv *c, const TaskPlace *at) {
    Module *m = c->m;
    LLVMValueRef parts = get_dim(m, row_parts(dims_of_conv(c), &c->shape, c->tile)),
                 images = get_dim(m, c->shape.images);
    return emit_add(m, emit_mul(m, emit_add(m, emit_mul(m, at->phase, images), c->image), parts), at->part);
}

/* Half a vector where the last block's channels fill no more, and a register of half the
 * size is one that some processors multiply in half the time: 256 of 512 bits. Behind two
 * whole blocks it spills, since LLVM holds both widths of what it broadcasts. */
static int lanes_of_rest(const Conv *c, int64_t blocks) {
    int64_t rest = c->shape.outputs % c->lanes;
    bool halves = rest > 0 && 2 * rest <= c->lanes && c->lanes >= 16 && blocks <= 2 && !c->own_blocks;
    return halves ? c->lanes / 2 : c->lanes;
}

static void emit_map_task(Conv *c, LLVMValueRef task) {
    Module *m = c->m;
    int64_t lanes = c->lanes, width = c->tile->blocks, blocks = group_blocks(c),
            tiles = tiles_of_group(&c->shape, c->tile, c->lanes);
    int64_t reduction = c->shape.inputs * c->shape.kernel[0] * c->shape.kernel[1];
    TaskPlace at = find_map_task(c, task, tiles);
    c->part = number_part(c, &at);
    LLVMValueRef part = at.part, phase = at.phase, tile = at.tile, group = at.group;
    LLVMValueRef channel = emit_mul(m, tile, get_i64(m, width * lanes));
    c->first_channel = emit_add(m, emit_mul(m, group, get_i64(m, c->shape.outputs)), channel);
    c->image_offset = emit_mul(m, c->image, c->image_stride);
    if (c->shape.groups > 1) {
        LLVMValueRef stride = emit_mul(m, get_i64(m, c->shape.inputs / lanes), c->block_stride);
        c->image_offset = emit_add(m, c->image_offset, emit_mul(m, group, stride));
    }
    c->tile_weights = emit_mul(m, emit_add(m, emit_mul(m, group, get_i64(m, blocks * lanes)), channel),
                               get_i64(m, reduction));
    c->last_lanes = tiles == 1 ? lanes_of_rest(c, blocks) : c->lanes;
    if (blocks % width == 0 || tiles == 1) {
        emit_map_phases(c, phase, part, (int)min_i64(width, blocks));
        return;
    }
    Branch branch = begin_if(m, emit_index_compare(c, LLVMIntSLT, tile, get_i64(m, tiles - 1)));
    emit_map_phases(c, phase, part, (int)width);
    begin_else(m, &branch);
    c->last_lanes = lanes_of_rest(c, blocks % width);
    emit_map_phases(c, phase, part, (int)(blocks % width));
    end_if(m, &branch);
}

static void read_map_input(Conv *c) {
    const Value *x = c->kernel->inputs[0];
    c->input = get_argument(c->m, 1);
    c->weights = get_argument(c->m, 2);
    c->image_stride = get_dim(c->m, x->strides[0]);
    c->block_stride = c->channel_stride = get_dim(c->m, x->strides[1]);
    c->row_stride = get_dim(c->m, x->strides[2]);
    c->pixel_stride = dim_const_value(x->strides[3]);
}

Conv conv_begin(Module *m, const Kernel *kernel) {
    begin_kernel(m, kernel->name);
    const ConvPlan *plan = kernel->proposal.tile;
    Conv c = {.m = m,
              .emit_tile = conv_emit_tile,
              .kernel = kernel,
              .tile = &plan->tile,
              .shape = plan->shape,
              .lanes = m->target->lanes};
    c.element = get_register_type(m, c.shape.types.sum, 1);
    c.vector = get_vector(m, c.element, c.lanes);
    c.epilogue = (Epilogue){.module = m, .kernel = kernel};
    read_map_input(&c);
    c.zeros = conv_zeros(m, c.element);
    return c;
}

LLVMValueRef conv_emit_map(Conv *c) {
    Module *m = c->m;
    LLVMValueRef function = m->function;
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    emit_map_task(c, tasks.index);
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}
