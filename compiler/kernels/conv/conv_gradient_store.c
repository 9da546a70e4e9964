/* Stores the sums of conv_gradient as its result, [O, C, kh, kw]. The sums are rows of
 * (c, kh, kw), each a vector over output channels; they are transposed in registers to
 * vectors along the result's rows. If x and dy have changed places, the sums have that
 * order already. */
#include "kernels/conv/conv_gradient.h"

/* ---- where a row of sums lies ---- */

/* Element `at` of [C, kh, kw], counted from the task's first block of x. */
static LLVMValueRef find_sums_row(const Gradient *g, LLVMValueRef at) {
    Module *m = g->m;
    int64_t lanes = g->lanes, width = g->tile->blocks * lanes, columns = g->shape->kernel[1];
    LLVMValueRef tap = at, channel, row, column;
    LLVMValueRef taps = get_i64(m, g->shape->kernel[0] * columns);
    LLVMValueRef number = take_part(m, &tap, taps);
    channel = tap;
    if (g->tile->form == GRADIENT_BLOCKS) {
        LLVMValueRef block = channel, within = take_part(m, &block, get_i64(m, lanes));
        LLVMValueRef place = emit_affine(m, emit_add(m, emit_affine(m, number, lanes, 0), within), width, 0);
        return emit_add(m, emit_mul(m, block, get_i64(m, g->cell)), place);
    }
    row = number;
    column = take_part(m, &row, get_i64(m, columns));
    LLVMValueRef entry = g->tile->form == GRADIENT_PLAIN
                             ? emit_add(m, emit_affine(m, channel, columns, 0), column)
                             : emit_add(m, emit_affine(m, column, g->plan->width, 0), channel);
    return emit_affine(m, emit_add(m, emit_affine(m, row, g->entries, 0), entry), width, 0);
}

/* The parts' sums added up, part by part. */
static void load_rows(const Gradient *g, LLVMValueRef *places, LLVMValueRef part_stride, LoopCarried *rows) {
    Module *m = g->m;
    rows->count = g->lanes;
    for (int r = 0; r < g->lanes; r++) rows->at[r] = LLVMConstNull(g->vector);
    Loop parts = begin_loop_carried(m, rows, get_i64(m, 0), g->parts, 1);
    LLVMValueRef part = emit_mul(m, parts.index, part_stride);
    for (int r = 0; r < g->lanes; r++) {
        LLVMValueRef address = get_element(m, g->element, g->memory, emit_add(m, places[r], part));
        rows->at[r] = emit_sum(m, rows->at[r], emit_aligned_load(m, g->vector, address));
    }
    end_loop_carried(m, &parts, rows);
}

/* ---- where a vector of the result lies ---- */

static bool is_row_of_one(Shape shape) {
    bool one = true;
    for (int i = 1; i < shape.rank; i++) one = one && dim_is_one(shape.dims[i]);
    return one;
}

static bool lies_dense(Dims *dims, const Value *value) {
    const Dim *strides = value->strides, *sizes = value->node->shape.dims;
    if (is_blocked(value) || !dim_is_one(strides[3])) return false;
    return strides[2] == dim_mul(dims, sizes[3], strides[3]) &&
           strides[1] == dim_mul(dims, sizes[2], strides[2]);
}

/* Whether all that the epilogue touches has, in a row of the result, one element or the
 * same ones side by side. */
static bool has_even_rows(const Gradient *g) {
    const Kernel *kernel = g->kernel;
    Dims *dims = kernel->program->graph->dims;
    Shape result = kernel->anchor->shape;
    bool even = lies_dense(dims, kernel->output);
    for (int i = 2; i < kernel->input_count; i++) {
        const Value *value = kernel->inputs[i];
        if (value->node->shape.rank != 4 || is_row_of_one(value->node->shape)) continue;
        even = even && shape_dims_equal(value->node->shape, result) && lies_dense(dims, value);
    }
    for (int i = 0; i < kernel->member_count; i++) {
        const Node *member = kernel->members[i];
        bool alike = member->shape.rank != 4 || is_row_of_one(member->shape) ||
                     shape_dims_equal(member->shape, result);
        even = even && alike && member->op != OP_iota && member->op != OP_uniform;
    }
    return even;
}

/* `lanes` elements from `at` on of the row of an output channel. Where rows are even, as
 * if one axis had all of them: the innermost that is longer than one, since along others
 * a single value is broadcast. */
static Point find_point(const Gradient *g, LLVMValueRef output, LLVMValueRef at) {
    Module *m = g->m;
    Point point = {.rank = 4, .lanes = g->lanes};
    const int64_t *kernel = g->shape->kernel;
    point.at[0] = coord_fixed(output);
    if (has_even_rows(g)) {
        for (int i = 1; i < 4; i++) point.at[i] = coord_fixed(get_i64(m, 0));
        point.at[kernel[1] > 1 ? 3 : kernel[0] > 1 ? 2 : 1] = coord_lanes(at, 1);
        return point;
    }
    Coord all = coord_lanes(at, 1);
    LLVMValueRef rest = get_coord_vector(m, &all, g->lanes);
    for (int i = 3; i > 1; i--) {
        LLVMValueRef size = get_splat(m, get_i64(m, kernel[i - 2]), g->lanes);
        point.at[i].vector = LLVMBuildURem(m->builder, rest, size, "");
        rest = LLVMBuildUDiv(m->builder, rest, size, "");
    }
    point.at[1].vector = rest;
    return point;
}

/* ---- results ---- */

/* Columns of the square: vectors along the rows of `lanes` output channels. */
static void store_square(Gradient *g, const GradientSums *sums, LLVMValueRef block, LLVMValueRef at,
                         const LoopCarried *rows) {
    Module *m = g->m;
    int64_t length = g->shape->inputs * g->shape->kernel[0] * g->shape->kernel[1];
    LLVMValueRef mask =
        length % g->lanes ? emit_lane_mask(m, emit_sub(m, get_i64(m, length), at), g->lanes) : NULL;
    LLVMValueRef outputs = get_i64(m, g->shape->outputs);
    for (int l = 0; l < g->lanes; l++) {
        LLVMValueRef output = emit_affine(m, block, g->lanes, l);
        Branch exists = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, output, outputs, ""));
        Point point = find_point(g, emit_add(m, emit_mul(m, sums->group, outputs), output), at);
        point.mask = mask;
        emit_epilogue_store(&(Epilogue){.module = m, .kernel = g->kernel}, &point, rows->at[l]);
        end_if(m, &exists);
    }
}

/* Vectors of one output channel each, along a block of input channels. */
static void store_swapped(Gradient *g, LLVMValueRef block, LLVMValueRef at, const LoopCarried *rows) {
    Module *m = g->m;
    LLVMValueRef first = emit_affine(m, block, g->lanes, 0), inputs = get_i64(m, g->shape->outputs),
                 outputs = get_i64(m, g->shape->inputs);
    for (int l = 0; l < g->lanes; l++) {
        LLVMValueRef output = emit_add(m, at, get_i64(m, l)), zero = get_i64(m, 0);
        Branch exists = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, output, outputs, ""));
        Point point = {.rank = 4, .lanes = g->lanes, .at = {coord_fixed(output), coord_lanes(first, 1)}};
        point.at[2] = point.at[3] = coord_fixed(zero);
        if (g->shape->outputs % g->lanes)
            point.mask = emit_lane_mask(m, emit_sub(m, inputs, first), g->lanes);
        emit_epilogue_store(&(Epilogue){.module = m, .kernel = g->kernel}, &point, rows->at[l]);
        end_if(m, &exists);
    }
}

/* A block of output channels: all of its rows that the sums have. */
static void emit_output_block(Gradient *g, const GradientSums *sums, LLVMValueRef memory, LLVMValueRef block,
                              LLVMValueRef part_stride) {
    Module *m = g->m;
    int64_t lanes = g->lanes, taps = g->shape->kernel[0] * g->shape->kernel[1],
            length = g->shape->inputs * taps;
    /* of a block of x; the last may have fewer */
    int64_t each = g->tile->form == GRADIENT_BLOCKS ? lanes * taps : length;
    LLVMValueRef first = emit_affine(m, sums->x_from, each, 0),
                 end = emit_min(m, emit_affine(m, sums->x_to, each, 0), get_i64(m, length));
    LLVMValueRef count = emit_sub(m, end, first), places[64];
    Loop loop = begin_loop(m, get_i64(m, 0), count, lanes);
    for (int r = 0; r < lanes; r++) {
        LLVMValueRef at = emit_add(m, loop.index, get_i64(m, r));
        if (length % lanes) at = emit_min(m, at, emit_sub(m, count, get_i64(m, 1)));
        places[r] = emit_add(m, memory, find_sums_row(g, at));
    }
    LoopCarried rows;
    load_rows(g, places, part_stride, &rows);
    if (g->plan->swapped) {
        store_swapped(g, block, emit_add(m, first, loop.index), &rows);
    } else {
        emit_transpose(m, rows.at, (int)lanes);
        store_square(g, sums, block, emit_add(m, first, loop.index), &rows);
    }
    end_loop(m, &loop);
}

void gradient_emit_results(Gradient *g, const GradientSums *sums, LLVMValueRef part_stride) {
    Module *m = g->m;
    Loop groups = begin_loop(m, sums->from, sums->to, 1);
    LLVMValueRef first = gradient_first_block(g, groups.index),
                 next = gradient_first_block(g, emit_add(m, groups.index, get_i64(m, 1)));
    LLVMValueRef memory =
        emit_add(m, sums->first, emit_mul(m, emit_sub(m, groups.index, sums->from), sums->group_stride));
    Loop blocks = begin_loop(m, first, next, 1);
    LLVMValueRef within = emit_mul(m, emit_sub(m, blocks.index, first), get_i64(m, g->lanes));
    emit_output_block(g, sums, emit_add(m, memory, within), blocks.index, part_stride);
    end_loop(m, &blocks);
    end_loop(m, &groups);
}
