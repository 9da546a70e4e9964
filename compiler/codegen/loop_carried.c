/* Loops with many loop-carried values (the sums of a register tile, the state of a
 * window), and what keeps these values in registers. */
#include "codegen/codegen.h"

Loop begin_loop_carried(Module *m, LoopCarried *values, LLVMValueRef from, LLVMValueRef to, int64_t step) {
    Loop loop = begin_loop(m, from, to, step);
    for (int i = 0; i < values->count; i++) values->at[i] = add_carried(m, &loop, values->at[i]);
    return loop;
}

void end_loop_carried(Module *m, Loop *loop, LoopCarried *values) {
    for (int i = 0; i < values->count; i++) set_carried(loop, i, values->at[i]);
    end_loop(m, loop);
    for (int i = 0; i < values->count; i++) values->at[i] = carried_result(loop, i);
}

Loop begin_loop_carried_if(Module *m, LoopCarried *values, LLVMValueRef condition) {
    return begin_loop_carried(m, values, get_i64(m, 0), LLVMBuildZExt(m->builder, condition, m->i64, ""), 1);
}

PartialSums begin_partial_sums(Module *m, LoopCarried *sums) {
    PartialSums partial_sums;
    LLVMTypeRef widest = LLVMTypeOf(sums->at[0]);
    LLVMValueRef space = emit_stack(m, widest, sums->count);
    for (int i = 0; i < sums->count; i++) {
        partial_sums.at[i] = get_element(m, widest, space, get_i64(m, i));
        emit_aligned_store(m, sums->at[i], partial_sums.at[i]);
        sums->at[i] = LLVMConstNull(LLVMTypeOf(sums->at[i]));
    }
    return partial_sums;
}

void emit_add_partial_sums(Module *m, const PartialSums *partial_sums, const LoopCarried *sums) {
    for (int i = 0; i < sums->count; i++) {
        LLVMValueRef before = emit_aligned_load(m, LLVMTypeOf(sums->at[i]), partial_sums->at[i]);
        emit_aligned_store(m, emit_sum(m, before, sums->at[i]), partial_sums->at[i]);
    }
}

void end_partial_sums(Module *m, const PartialSums *partial_sums, LoopCarried *sums) {
    for (int i = 0; i < sums->count; i++)
        sums->at[i] = emit_aligned_load(m, LLVMTypeOf(sums->at[i]), partial_sums->at[i]);
}

void emit_sum_in_parts(Module *m, LoopCarried *sums, LLVMValueRef count, int64_t part, SumPart emit_part,
                       void *context) {
    part = max_i64(part, 1);
    if (LLVMIsAConstantInt(count) && LLVMConstIntGetSExtValue(count) <= part) {
        emit_part(context, get_i64(m, 0), count, sums);
        return;
    }
    PartialSums partial_sums = begin_partial_sums(m, sums);
    Loop parts = begin_loop(m, get_i64(m, 0), count, part);
    emit_part(context, parts.index, emit_min(m, emit_add(m, parts.index, get_i64(m, part)), count), sums);
    emit_add_partial_sums(m, &partial_sums, sums);
    end_loop(m, &parts);
    end_partial_sums(m, &partial_sums, sums);
}

LLVMValueRef emit_lane_sum(Module *m, LLVMValueRef vector) {
    for (int half = get_lanes(LLVMTypeOf(vector)) / 2; half >= 1; half /= 2) {
        LLVMValueRef low[64], high[64];
        for (int i = 0; i < half; i++) low[i] = get_i32(m, i), high[i] = get_i32(m, half + i);
        LLVMValueRef a =
            LLVMBuildShuffleVector(m->builder, vector, vector, LLVMConstVector(low, (unsigned)half), "");
        LLVMValueRef b =
            LLVMBuildShuffleVector(m->builder, vector, vector, LLVMConstVector(high, (unsigned)half), "");
        vector = emit_sum(m, a, b);
    }
    return LLVMBuildExtractElement(m->builder, vector, get_i32(m, 0), "");
}

void emit_barrier(Module *m) {
    LLVMTypeRef type = LLVMFunctionType(m->none, NULL, 0, 0);
    static char nothing[] = "", constraints[] = "~{memory}";
    LLVMValueRef barrier = LLVMGetInlineAsm(type, nothing, 0, constraints, strlen(constraints), 1, 0,
                                            LLVMInlineAsmDialectATT, 0);
    LLVMBuildCall2(m->builder, type, barrier, NULL, 0, "");
}
