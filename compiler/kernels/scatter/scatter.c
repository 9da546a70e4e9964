/* The kind of kernel of operators that add up at computed places, whose operands and
 * results lie PLAIN in memory; each has an emitter of its own. */
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
