/* Loops that carry many values at once: a register tile's sums, the state of a window. */
#include "backend/backend.h"

Loop begin_carrying(Module *m, Carried *values, LLVMValueRef from, LLVMValueRef to, int64_t step) {
    Loop loop = begin_loop(m, from, to, step);
    for (int i = 0; i < values->count; i++) values->at[i] = add_carried(m, &loop, values->at[i]);
    return loop;
}

void end_carrying(Module *m, Loop *loop, Carried *values) {
    for (int i = 0; i < values->count; i++) set_carried(loop, i, values->at[i]);
    end_loop(m, loop);
    for (int i = 0; i < values->count; i++) values->at[i] = carried_result(loop, i);
}

Loop begin_carrying_if(Module *m, Carried *values, LLVMValueRef condition) {
    return begin_carrying(m, values, get_i64(m, 0), LLVMBuildZExt(m->builder, condition, m->i64, ""), 1);
}
