/* Loops that carry many values at once (a register tile's sums, the state of a window), and what keeps those values in
 * registers. */
#include "codegen/codegen.h"

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

Totals begin_totals(Module *m, Carried *sums) {
    Totals totals = {.vector = LLVMTypeOf(sums->at[0])};
    LLVMValueRef space = emit_stack(m, totals.vector, sums->count);
    for (int i = 0; i < sums->count; i++) {
        totals.at[i] = get_element(m, totals.vector, space, get_i64(m, i));
        emit_store(m, sums->at[i], totals.at[i], get_lanes(totals.vector) * 4);
        sums->at[i] = LLVMConstNull(totals.vector);
    }
    return totals;
}

void emit_put_by(Module *m, const Totals *totals, const Carried *sums) {
    int align = get_lanes(totals->vector) * 4;
    for (int i = 0; i < sums->count; i++) {
        LLVMValueRef before = emit_load(m, totals->vector, totals->at[i], align);
        emit_store(m, emit_float(m, LLVMFAdd, before, sums->at[i]), totals->at[i], align);
    }
}

void end_totals(Module *m, const Totals *totals, Carried *sums) {
    for (int i = 0; i < sums->count; i++) sums->at[i] = emit_load(m, totals->vector, totals->at[i], get_lanes(totals->vector) * 4);
}

void emit_sum_in_parts(Module *m, Carried *sums, LLVMValueRef count, int64_t part, SumPart emit_part, void *context) {
    part = max_i64(part, 1);
    if (LLVMIsAConstantInt(count) && LLVMConstIntGetSExtValue(count) <= part) {
        emit_part(context, get_i64(m, 0), count, sums);
        return;
    }
    Totals totals = begin_totals(m, sums);
    Loop parts = begin_loop(m, get_i64(m, 0), count, part);
    emit_part(context, parts.index, emit_min(m, emit_add(m, parts.index, get_i64(m, part)), count), sums);
    emit_put_by(m, &totals, sums);
    end_loop(m, &parts);
    end_totals(m, &totals, sums);
}

LLVMValueRef emit_lane_sum(Module *m, LLVMValueRef vector) {
    for (int half = get_lanes(LLVMTypeOf(vector)) / 2; half >= 1; half /= 2) {
        LLVMValueRef low[64], high[64];
        for (int i = 0; i < half; i++) low[i] = get_i32(m, i), high[i] = get_i32(m, half + i);
        LLVMValueRef a = LLVMBuildShuffleVector(m->builder, vector, vector, LLVMConstVector(low, (unsigned)half), "");
        LLVMValueRef b = LLVMBuildShuffleVector(m->builder, vector, vector, LLVMConstVector(high, (unsigned)half), "");
        vector = emit_float(m, LLVMFAdd, a, b);
    }
    return LLVMBuildExtractElement(m->builder, vector, get_i32(m, 0), "");
}

void emit_barrier(Module *m) {
    LLVMTypeRef type = LLVMFunctionType(m->none, NULL, 0, 0);
    static char nothing[] = "", constraints[] = "~{memory}";
    LLVMValueRef barrier = LLVMGetInlineAsm(type, nothing, 0, constraints, strlen(constraints), 1, 0, LLVMInlineAsmDialectATT, 0);
    LLVMBuildCall2(m->builder, type, barrier, NULL, 0, "");
}
