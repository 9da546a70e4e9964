/* Matrix products of two computed operands by OpenBLAS: a task is a call of cblas_sgemm
 * for some rows of one matrix.
 *
 * Its serial build is linked, so the pool stays the only one in the process. It is used
 * where --blas asks for it and the product has no epilogue; else matmul computes the
 * product. It is never chosen by itself: one sgemm adds 25 MB to a program, and measured
 * beside matmul (f32, one thread, AVX-512, 2026) it took 0.20 ms against 0.17 for 256
 * cubed, 1.47 against 1.21 for 197x768x768 and 0.26 against 0.21 for 64x4096x64: nowhere
 * is it the 10 % faster that would justify it. */
#include "kernels/matmul/matrix.h"

enum { TASK_ROWS = 256 };
enum { ROW_MAJOR = 101, AS_IT_LIES = 111, TRANSPOSED = 112 }; /* cblas.h */

static bool takes_blas(const Kernel *kernel, const MatrixShape *s) {
    bool computed = kernel->inputs[0]->space != SPACE_WEIGHTS && kernel->inputs[1]->space != SPACE_WEIGHTS;
    bool alone = !s->shared && kernel->output->node == kernel->anchor;
    return kernel->program->blas && s->types.left == DTYPE_F32 && alone && computed;
}

/* The cost is 0, since the user asked for it. sgemm takes matrices whose rows or columns
 * are contiguous. */
bool blas_propose(const Kernel *kernel, Proposal *proposal) {
    MatrixShape s;
    if (!matrix_shape(kernel, &s) || !takes_blas(kernel, &s)) return false;
    prefer_formats(kernel, proposal, &format_plain, kernel->input_count);
    for (int i = 0; i < kernel->input_count; i++) proposal->inputs[i].strides = STRIDES_OF_LINES;
    proposal->tile = arena_copy(kernel->program->arena, &s, sizeof s);
    proposal->calls_blas = true;
    return true;
}

void blas_settle(Program *program, Kernel *kernel) {
    const MatrixShape *s = kernel->proposal.tile;
    Dims *dims = program->graph->dims;
    kernel->tasks = dim_mul(dims, s->matrices, dim_ceil_div(dims, s->rows, TASK_ROWS));
    kernel_set_name(kernel, "blas_sgemm");
}

/* ---- emission ---- */

typedef struct BlasOperand {       /* an argument of cblas_sgemm */
    LLVMValueRef address, leading; /* leading dimension, i32 */
    int order;
} BlasOperand;

/* The leading dimension of lines of `size` elements, `stride` apart. An axis of size 1
 * may have any stride, and sgemm refuses a leading dimension less than a line. */
static LLVMValueRef get_leading(Module *m, Dim stride, Dim size) {
    return LLVMBuildTrunc(m->builder, emit_max(m, get_dim(m, stride), get_dim(m, size)), m->i32, "");
}

/* Matrix number `matrix` of the value in args[argument], beginning with row `row`. */
static BlasOperand get_operand(Module *m, const Value *value, int argument, LLVMValueRef matrix,
                               LLVMValueRef row) {
    int rank = value->node->shape.rank;
    bool rows_apart = dim_is_one(value->strides[rank - 1]);
    LLVMValueRef at = emit_mul(m, row, get_dim(m, value->strides[rank - 2])), rest = matrix;
    for (int i = rank - 3; i >= 0; i--) {
        LLVMValueRef size = get_dim(m, value->node->shape.dims[i]);
        at = emit_add(m, at, emit_mul(m, emit_rem(m, rest, size), get_dim(m, value->strides[i])));
        rest = emit_div(m, rest, size);
    }
    int line = rows_apart ? rank - 1 : rank - 2, apart = rows_apart ? rank - 2 : rank - 1;
    return (BlasOperand){get_element(m, m->f32, get_argument(m, argument), at),
                         get_leading(m, value->strides[apart], value->node->shape.dims[line]),
                         rows_apart ? AS_IT_LIES : TRANSPOSED};
}

static void emit_sgemm(Module *m, LLVMValueRef rows, LLVMValueRef columns, LLVMValueRef depth,
                       const BlasOperand *a, const BlasOperand *b, const BlasOperand *c) {
    LLVMTypeRef i32 = m->i32, f32 = m->f32, pointer = m->pointer;
    LLVMTypeRef types[] = {i32, i32, i32, i32, i32, i32, f32, pointer, i32, pointer, i32, f32, pointer, i32};
    LLVMTypeRef type = LLVMFunctionType(m->none, types, COUNT_OF(types), 0);
    LLVMValueRef function = LLVMGetNamedFunction(m->module, "cblas_sgemm");
    if (!function) function = LLVMAddFunction(m->module, "cblas_sgemm", type);
    LLVMValueRef arguments[] = {get_i32(m, ROW_MAJOR),
                                get_i32(m, a->order),
                                get_i32(m, b->order),
                                LLVMBuildTrunc(m->builder, rows, i32, ""),
                                LLVMBuildTrunc(m->builder, columns, i32, ""),
                                LLVMBuildTrunc(m->builder, depth, i32, ""),
                                get_f32(m, 1),
                                a->address,
                                a->leading,
                                b->address,
                                b->leading,
                                get_f32(m, 0),
                                c->address,
                                c->leading};
    LLVMBuildCall2(m->builder, type, function, arguments, COUNT_OF(arguments), "");
}

LLVMValueRef blas_emit(Module *m, const Kernel *kernel) {
    const MatrixShape *s = kernel->proposal.tile;
    LLVMValueRef function = begin_kernel(m, kernel->name), zero = get_i64(m, 0);
    LLVMValueRef rows = get_dim(m, s->rows),
                 parts = get_dim(m, dim_ceil_div(kernel->program->graph->dims, s->rows, TASK_ROWS));
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef matrix = emit_div(m, tasks.index, parts),
                 first = emit_mul(m, emit_rem(m, tasks.index, parts), get_i64(m, TASK_ROWS));
    LLVMValueRef count = emit_min(m, emit_sub(m, rows, first), get_i64(m, TASK_ROWS));
    BlasOperand a = get_operand(m, kernel->inputs[0], 1, matrix, first),
                b = get_operand(m, kernel->inputs[1], 2, matrix, zero);
    BlasOperand c = get_operand(m, kernel->output, 0, matrix, first);
    emit_sgemm(m, count, get_dim(m, s->columns), get_dim(m, s->depth), &a, &b, &c);
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}
