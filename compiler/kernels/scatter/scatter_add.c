/* scatter_add, the transpose of gather. A task clears its column of the result, and adds
 * the terms in the order of the indices: the order of sums is fixed.
 *
 *     for task: for p in axis: y[.., p, ..] = 0
 *               for j in indices: y[.., clamp(index[j]), ..] += dy[.., j, ..] */
#include "kernels/scatter/scatter.h"

void scatter_add_settle(Program *program, Kernel *kernel) {
    const Node *node = kernel->anchor;
    kernel->tasks = scatter_tasks(program, node->shape, (int)ATTRIBUTES(node, scatter_add)->axis);
    kernel_set_name(kernel, "scatter_add");
}

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
    LLVMValueRef term = emit_value_load(m, kernel->inputs[0], get_argument(m, 1), &s->from);
    LLVMValueRef old = emit_value_load(m, kernel->output, get_argument(m, 0), &s->to);
    emit_value_store(m, kernel->output, get_argument(m, 0), &s->to, emit_sum(m, old, term));
}

void scatter_add_emit(Module *m, const Kernel *kernel) {
    scatter_columns(m, kernel, (int)ATTRIBUTES(kernel->anchor, scatter_add)->axis, emit_clear, emit_add_one);
}
