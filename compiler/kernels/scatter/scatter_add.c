/* scatter_add, the transpose of gather. A task owns a column of the result (one
 * coordinate on every axis but the indexed one, or a vector of them on the innermost
 * axis), clears it, and adds the terms in the order of the indices: no two tasks write to
 * one element, and the order of sums is fixed.
 *
 *     for task: for p in axis: y[.., p, ..] = 0
 *               for j in indices: y[.., clamp(index[j]), ..] += dy[.., j, ..] */
#include "kernels/scatter/scatter.h"

typedef struct Scatter {
    Module *m;
    const Kernel *kernel;
    int axis, wide; /* the indexed axis; how many axes the index has */
    int lane_axis;  /* of the result; -1: scalars */
    Point to, from; /* in the result and in dy: the task's coordinates, and those of the loops */
    Point index;
} Scatter;

static int lane_axis_of(const Node *node) {
    int axis = (int)ATTRIBUTES(node, scatter_add)->axis;
    return axis == node->shape.rank - 1 ? -1 : node->shape.rank - 1;
}

void scatter_add_settle(Program *program, Kernel *kernel) {
    const Node *node = kernel->anchor;
    Dims *dims = program->graph->dims;
    Dim tasks = dim_const(dims, 1);
    for (int i = 0; i < node->shape.rank; i++) {
        if (i == ATTRIBUTES(node, scatter_add)->axis) continue;
        int64_t step = i == lane_axis_of(node) ? program->target->lanes : 1;
        tasks = dim_mul(dims, tasks, dim_ceil_div(dims, node->shape.dims[i], step));
    }
    kernel->tasks = tasks;
    kernel_set_name(kernel, "scatter_add");
}

/* ---- the task's coordinates ---- */

static void set_coord(Scatter *s, int axis, Coord coord) {
    s->to.at[axis] = coord;
    s->from.at[axis < s->axis ? axis : axis + s->wide - 1] = coord;
}

static void set_task(Scatter *s, LLVMValueRef task) {
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

/* ---- the two loops ---- */

static void emit_clear(Scatter *s) {
    Module *m = s->m;
    Loop loop = begin_loop(m, get_i64(m, 0), get_dim(m, s->kernel->anchor->shape.dims[s->axis]), 1);
    s->to.at[s->axis] = coord_fixed(loop.index);
    LLVMValueRef zero = get_number(m, s->kernel->anchor->shape.type, 0, s->to.lanes);
    emit_value_store(m, s->kernel->output, get_argument(m, 0), &s->to, zero);
    end_loop(m, &loop);
}

static void emit_add_one(Scatter *s) {
    Module *m = s->m;
    const Kernel *kernel = s->kernel;
    LLVMValueRef size = get_dim(m, kernel->anchor->shape.dims[s->axis]);
    LLVMValueRef place = emit_value_load(m, kernel->inputs[1], get_argument(m, 2), &s->index);
    place = LLVMBuildSExt(m->builder, place, m->i64, "");
    s->to.at[s->axis] =
        coord_fixed(emit_max(m, emit_min(m, place, emit_sub(m, size, get_i64(m, 1))), get_i64(m, 0)));
    LLVMValueRef term = emit_value_load(m, kernel->inputs[0], get_argument(m, 1), &s->from);
    LLVMValueRef old = emit_value_load(m, kernel->output, get_argument(m, 0), &s->to);
    emit_value_store(m, kernel->output, get_argument(m, 0), &s->to, emit_sum(m, old, term));
}

static void emit_indices(Scatter *s, int axis) {
    if (axis == s->wide) {
        emit_add_one(s);
        return;
    }
    Loop loop =
        begin_loop(s->m, get_i64(s->m, 0), get_dim(s->m, s->kernel->anchor->inputs[1]->shape.dims[axis]), 1);
    s->index.at[axis] = s->from.at[s->axis + axis] = coord_fixed(loop.index);
    emit_indices(s, axis + 1);
    end_loop(s->m, &loop);
}

void scatter_add_emit(Module *m, const Kernel *kernel) {
    const Node *node = kernel->anchor;
    Scatter s = {.m = m,
                 .kernel = kernel,
                 .axis = (int)ATTRIBUTES(node, scatter_add)->axis,
                 .wide = node->inputs[1]->shape.rank,
                 .lane_axis = lane_axis_of(node),
                 .index = {.rank = node->inputs[1]->shape.rank, .lanes = 1}};
    int lanes = s.lane_axis < 0 ? 1 : m->target->lanes;
    s.to = (Point){.rank = node->shape.rank, .lanes = lanes};
    s.from = (Point){.rank = node->inputs[0]->shape.rank, .lanes = lanes};
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    set_task(&s, tasks.index);
    emit_clear(&s);
    emit_indices(&s, 0);
    end_loop(m, &tasks);
}
