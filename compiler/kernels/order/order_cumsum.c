/* Prefix sums along an axis. Floats are added up in double precision, so that errors do
 * not grow along the line. Along the last axis, a task is a line: the prefix sums of a
 * vector take log2(lanes) steps, which add the lanes 1, 2, 4, .. places before, and the
 * sum of all vectors before is carried along. Along another axis, a task is a vector of
 * lines. */
#include "kernels/order/order.h"

typedef struct Cumsum {
    Module *m;
    const Kernel *kernel;
    DType type;
    LLVMTypeRef sums; /* the type of a vector of sums */
    Point at;
    int axis, last;
} Cumsum;

Dim cumsum_scratch(const Kernel *kernel) {
    (void)kernel;
    return NULL;
}

void cumsum_settle(Program *program, Kernel *kernel) {
    Shape shape = kernel->anchor->shape;
    int axis = (int)ATTRIBUTES(kernel->anchor, cumsum)->axis;
    bool along = axis == shape.rank - 1;
    Dims *dims = program->graph->dims;
    Dim tasks = dim_const(dims, 1);
    for (int i = 0; i < shape.rank; i++)
        if (i != axis)
            tasks = dim_mul(dims, tasks,
                            i == shape.rank - 1 ? dim_ceil_div(dims, shape.dims[i], program->target->lanes)
                                                : shape.dims[i]);
    kernel->tasks = tasks;
    kernel_set_name(kernel, along ? "cumsum_along" : "cumsum_across");
}

static LLVMValueRef load_terms(Cumsum *c) {
    LLVMValueRef terms = emit_value_load(c->m, c->kernel->inputs[0], get_argument(c->m, 1), &c->at);
    return dtype_is_float(c->type) ? LLVMBuildFPExt(c->m->builder, terms, c->sums, "") : terms;
}

static void store_running_sums(Cumsum *c, LLVMValueRef sums) {
    if (dtype_is_float(c->type))
        sums = LLVMBuildFPTrunc(c->m->builder, sums, get_register_type(c->m, c->type, c->at.lanes), "");
    emit_value_store(c->m, c->kernel->output, get_argument(c->m, 0), &c->at, sums);
}

static LLVMValueRef emit_cumsum_sum(Cumsum *c, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildBinOp(c->m->builder, dtype_is_float(c->type) ? LLVMFAdd : LLVMAdd, a, b, "");
}

/* ---- along lanes ---- */

/* The vector shifted up by so many lanes, with zeros below. */
static LLVMValueRef emit_moved_up(Cumsum *c, LLVMValueRef vector, int by) {
    LLVMValueRef order[64];
    int lanes = c->at.lanes;
    for (int i = 0; i < lanes; i++) order[i] = get_i32(c->m, i < by ? i : lanes + i - by);
    return LLVMBuildShuffleVector(c->m->builder, LLVMConstNull(c->sums), vector,
                                  LLVMConstVector(order, (unsigned)lanes), "");
}

static void emit_along(Cumsum *c) {
    Module *m = c->m;
    int lanes = c->at.lanes;
    LLVMValueRef size = get_dim(m, c->kernel->anchor->shape.dims[c->axis]);
    LoopCarried before = {.at = {LLVMConstNull(get_element_type(c->sums))}, .count = 1};
    Loop loop = begin_loop_carried(m, &before, get_i64(m, 0), size, lanes);
    c->at.at[c->axis] = coord_lanes(loop.index, 1);
    c->at.mask = emit_lane_mask(m, emit_sub(m, size, loop.index), lanes);
    LLVMValueRef sums = load_terms(c);
    for (int by = 1; by < lanes; by *= 2) sums = emit_cumsum_sum(c, sums, emit_moved_up(c, sums, by));
    sums = emit_cumsum_sum(c, sums, get_splat(m, before.at[0], lanes));
    store_running_sums(c, sums);
    before.at[0] = LLVMBuildExtractElement(m->builder, sums, get_i32(m, lanes - 1), "");
    end_loop_carried(m, &loop, &before);
}

/* ---- across lanes ---- */

static void find_lines(Cumsum *c, LLVMValueRef number) {
    Module *m = c->m;
    Shape shape = c->kernel->anchor->shape;
    int lanes = c->at.lanes;
    LLVMValueRef width = get_dim(m, shape.dims[c->last]), whole = get_i64(m, lanes);
    LLVMValueRef vectors = emit_div(m, emit_add(m, width, get_i64(m, lanes - 1)), whole);
    LLVMValueRef from = emit_mul(m, take_part(m, &number, vectors), whole);
    c->at.at[c->last] = coord_lanes(from, 1);
    c->at.mask = emit_lane_mask(m, emit_sub(m, width, from), lanes);
    for (int i = c->last - 1; i >= 0; i--)
        if (i != c->axis) c->at.at[i] = coord_fixed(take_part(m, &number, get_dim(m, shape.dims[i])));
}

static void emit_across(Cumsum *c) {
    Module *m = c->m;
    LoopCarried sums = {.at = {LLVMConstNull(c->sums)}, .count = 1};
    Loop loop =
        begin_loop_carried(m, &sums, get_i64(m, 0), get_dim(m, c->kernel->anchor->shape.dims[c->axis]), 1);
    c->at.at[c->axis] = coord_fixed(loop.index);
    sums.at[0] = emit_cumsum_sum(c, sums.at[0], load_terms(c));
    store_running_sums(c, sums.at[0]);
    end_loop_carried(m, &loop, &sums);
}

void cumsum_emit(Module *m, const Kernel *kernel) {
    Shape shape = kernel->anchor->shape;
    Cumsum c = {.m = m,
                .kernel = kernel,
                .type = shape.type,
                .axis = (int)ATTRIBUTES(kernel->anchor, cumsum)->axis,
                .last = shape.rank - 1};
    c.at = (Point){.rank = shape.rank, .lanes = m->target->lanes};
    c.sums = dtype_is_float(shape.type) ? get_vector(m, m->f64, c.at.lanes)
                                        : get_register_type(m, shape.type, c.at.lanes);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    if (c.axis == c.last) {
        find_line(m, shape, c.axis, tasks.index, &c.at);
        emit_along(&c);
    } else {
        find_lines(&c, tasks.index);
        emit_across(&c);
    }
    end_loop(m, &tasks);
}
