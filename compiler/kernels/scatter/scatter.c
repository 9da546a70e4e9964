/* The kind of kernel for operators that write at computed indices, with PLAIN operands
 * and results. Each operator has an emitter of its own. */
#include "kernels/scatter/scatter.h"

static const struct {
    void (*settle)(Program *program, Kernel *kernel);
    void (*emit)(Module *m, const Kernel *kernel);
} scatters[OP_COUNT] = {
#undef ROW_OF_CLASS_SCATTER
#define ROW_OF_CLASS_SCATTER(name) [OP_##name] = {name##_settle, name##_emit},
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP
};

bool scatter_propose(const Kernel *kernel, Proposal *proposal) {
    if (!takes_anchor(KERNEL_scatter, kernel)) return false;
    prefer_formats(kernel, proposal, &format_plain, kernel->input_count);
    proposal->cycles = cost_cycles(kernel->program->target, kernel_typical_flops(kernel), 0.25,
                                   kernel_typical_bytes(kernel));
    return true;
}

void scatter_settle(Program *program, Kernel *kernel) {
    scatters[kernel->anchor->op].settle(program, kernel);
}

LLVMValueRef scatter_emit(Module *m, const Kernel *kernel) {
    LLVMValueRef function = begin_kernel(m, kernel->name);
    scatters[kernel->anchor->op].emit(m, kernel);
    finish_kernel(m);
    return function;
}

/* ---- columns ---- */

static int lane_axis_of(Shape result, int axis) { return axis == result.rank - 1 ? -1 : result.rank - 1; }

Dim scatter_tasks(const Program *program, Shape result, int axis) {
    Dims *dims = program->graph->dims;
    Dim tasks = dim_const(dims, 1);
    for (int i = 0; i < result.rank; i++) {
        if (i == axis) continue;
        int64_t step = i == lane_axis_of(result, axis) ? program->target->lanes : 1;
        tasks = dim_mul(dims, tasks, dim_ceil_div(dims, result.dims[i], step));
    }
    return tasks;
}

static Scatter begin_columns(Module *m, const Kernel *kernel, int axis) {
    const Node *node = kernel->anchor;
    Scatter s = {.m = m,
                 .kernel = kernel,
                 .axis = axis,
                 .wide = node->inputs[1]->shape.rank,
                 .lane_axis = lane_axis_of(node->shape, axis),
                 .index = {.rank = node->inputs[1]->shape.rank, .lanes = 1}};
    int lanes = s.lane_axis < 0 ? 1 : m->target->lanes;
    s.to = (Point){.rank = node->shape.rank, .lanes = lanes};
    s.from = (Point){.rank = node->shape.rank - 1 + s.wide, .lanes = lanes};
    return s;
}

static void set_coord(Scatter *s, int axis, Coord coord) {
    s->to.at[axis] = coord;
    s->from.at[axis < s->axis ? axis : axis + s->wide - 1] = coord;
}

static void set_column_of_task(Scatter *s, LLVMValueRef task) {
    Module *m = s->m;
    const Node *node = s->kernel->anchor;
    s->to.mask = NULL;
    for (int i = node->shape.rank - 1; i >= 0; i--) {
        if (i == s->axis) continue;
        LLVMValueRef size = get_dim(m, node->shape.dims[i]),
                     step = get_i64(m, i == s->lane_axis ? m->target->lanes : 1);
        LLVMValueRef steps = emit_div(m, emit_add(m, size, emit_sub(m, step, get_i64(m, 1))), step);
        LLVMValueRef coord = emit_mul(m, emit_rem(m, task, steps), step);
        task = emit_div(m, task, steps);
        set_coord(s, i, i == s->lane_axis ? coord_lanes(coord, 1) : coord_fixed(coord));
        if (i == s->lane_axis) s->to.mask = emit_lane_mask(m, emit_sub(m, size, coord), m->target->lanes);
    }
    s->from.mask = s->to.mask;
}

static void emit_at_place(Scatter *s, void (*emit)(Scatter *s)) {
    Module *m = s->m;
    LLVMValueRef last = emit_sub(m, get_dim(m, s->kernel->anchor->shape.dims[s->axis]), get_i64(m, 1));
    LLVMValueRef place = emit_value_load(m, s->kernel->inputs[1], get_argument(m, 2), &s->index);
    place = LLVMBuildSExt(m->builder, place, m->i64, "");
    s->to.at[s->axis] = coord_fixed(emit_max(m, emit_min(m, place, last), get_i64(m, 0)));
    emit(s);
}

static void emit_indices(Scatter *s, int axis, void (*emit)(Scatter *s)) {
    if (axis == s->wide) {
        emit_at_place(s, emit);
        return;
    }
    Loop loop =
        begin_loop(s->m, get_i64(s->m, 0), get_dim(s->m, s->kernel->anchor->inputs[1]->shape.dims[axis]), 1);
    s->index.at[axis] = s->from.at[s->axis + axis] = coord_fixed(loop.index);
    emit_indices(s, axis + 1, emit);
    end_loop(s->m, &loop);
}

void scatter_columns(Module *m, const Kernel *kernel, int axis, void (*begin)(Scatter *s),
                     void (*one)(Scatter *s)) {
    Scatter s = begin_columns(m, kernel, axis);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    set_column_of_task(&s, tasks.index);
    begin(&s);
    emit_indices(&s, 0, one);
    end_loop(m, &tasks);
}
