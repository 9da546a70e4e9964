/* put: replaces elements of a tensor at computed indices. A task owns a column of the
 * result (one coordinate on every axis but the indexed one, or a vector of them on the
 * innermost axis), and writes the new elements in the order of the indices, so that of
 * equal indices the last one counts. If the result overwrites the tensor in place, as
 * with a pool of pictures whose old value has no other reader, the other elements are not
 * copied.
 *
 *     for task: unless y is x: for p in axis: y[.., p, ..] = x[.., p, ..]
 *               for j in indices: y[.., clamp(index[j]), ..] = v[.., j, ..] */
#include "kernels/scatter/scatter.h"

void put_settle(Program *program, Kernel *kernel) {
    kernel->tasks = scatter_tasks(program, kernel->anchor->shape, (int)ATTRIBUTES(kernel->anchor, put)->axis);
    kernel_set_name(kernel, "put");
}

static void emit_copy_column(Scatter *s) {
    Module *m = s->m;
    LLVMValueRef moved = LLVMBuildICmp(m->builder, LLVMIntNE, get_argument(m, 0), get_argument(m, 1), "");
    Branch branch = begin_if(m, moved);
    Loop loop = begin_loop(m, get_i64(m, 0), get_dim(m, s->kernel->anchor->shape.dims[s->axis]), 1);
    s->to.at[s->axis] = coord_fixed(loop.index);
    LLVMValueRef old = emit_value_load(m, s->kernel->inputs[0], get_argument(m, 1), &s->to);
    emit_value_store(m, s->kernel->output, get_argument(m, 0), &s->to, old);
    end_loop(m, &loop);
    end_if(m, &branch);
}

static void emit_put_one(Scatter *s) {
    LLVMValueRef value = emit_value_load(s->m, s->kernel->inputs[2], get_argument(s->m, 3), &s->from);
    emit_value_store(s->m, s->kernel->output, get_argument(s->m, 0), &s->to, value);
}

void put_emit(Module *m, const Kernel *kernel) {
    scatter_columns(m, kernel, (int)ATTRIBUTES(kernel->anchor, put)->axis, emit_copy_column, emit_put_one);
}
