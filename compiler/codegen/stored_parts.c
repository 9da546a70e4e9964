/* Parts of stored sums, which a kernel adds up as it stores a map (plan/stored_sums.c).
 * A part lies in memory, and so in L1 while its task runs: in registers it would take
 * those of the loops between. What comes together, such as the pixels of a tile, is added
 * up before it meets the part. */
#include "codegen/codegen.h"
#include "plan/loop_nest.h"

static LLVMTypeRef type_of_parts(Module *m) { return get_vector(m, m->f32, m->target->lanes); }

static int vectors_of_part(const StoredSum *sum) { return sum->about ? SPREAD_VECTORS : 1; }

static LLVMValueRef vector_of_part(Module *m, LLVMValueRef part, int i) {
    return get_element(m, type_of_parts(m), part, get_i64(m, i));
}

static LLVMValueRef find_part(Module *m, const Kernel *kernel, int sum, const PartPlace *at) {
    const StoredSum *stored = &kernel->sums[sum];
    int first = 1 + kernel->input_count + (kernel->workspace != NULL);
    LLVMValueRef number = emit_add(m, emit_affine(m, at->block, stored->block_parts, 0), at->number);
    return get_element(m, type_of_parts(m), get_argument(m, first + sum),
                       emit_affine(m, number, vectors_of_part(stored), 0));
}

void emit_start_parts(Module *m, const Kernel *kernel, const PartPlace *at) {
    for (int i = 0; i < kernel->sum_count; i++) {
        LLVMValueRef part = find_part(m, kernel, i, at);
        for (int k = 0; k < vectors_of_part(&kernel->sums[i]); k++)
            emit_aligned_store(m, LLVMConstNull(type_of_parts(m)), vector_of_part(m, part, k));
    }
}

static void add_to_stored_sum(Module *m, LLVMValueRef part, const LLVMValueRef *terms, int count) {
    LLVMValueRef sum = terms[0];
    for (int p = 1; p < count; p++) sum = emit_sum(m, sum, terms[p]);
    LLVMValueRef before = emit_aligned_load(m, type_of_parts(m), part);
    emit_aligned_store(m, emit_sum(m, before, sum), part);
}

/* The part's first term is its center: differences from it are small numbers, where a sum
 * of the terms would round by the size of their mean. */
static void add_to_stored_spread(Module *m, LLVMValueRef part, const LLVMValueRef *terms, int count) {
    LLVMValueRef at[SPREAD_VECTORS], now[SPREAD_VECTORS], zero = LLVMConstNull(type_of_parts(m));
    for (int i = 0; i < SPREAD_VECTORS; i++) {
        at[i] = vector_of_part(m, part, i);
        now[i] = emit_aligned_load(m, type_of_parts(m), at[i]);
    }
    LLVMValueRef begins = LLVMBuildFCmp(m->builder, LLVMRealOEQ, now[SPREAD_PLACES], zero, "");
    now[SPREAD_CENTER] = LLVMBuildSelect(m->builder, begins, terms[0], now[SPREAD_CENTER], "");
    LLVMValueRef sum = zero, squares = zero;
    for (int p = 0; p < count; p++) {
        LLVMValueRef difference = emit_float(m, LLVMFSub, terms[p], now[SPREAD_CENTER]);
        sum = emit_sum(m, sum, difference);
        squares = emit_muladd(m, difference, difference, squares);
    }
    now[SPREAD_SUM] = emit_sum(m, now[SPREAD_SUM], sum);
    now[SPREAD_SQUARES] = emit_sum(m, now[SPREAD_SQUARES], squares);
    now[SPREAD_PLACES] = emit_sum(m, now[SPREAD_PLACES], get_splat(m, get_f32(m, count), m->target->lanes));
    for (int i = 0; i < SPREAD_VECTORS; i++) emit_aligned_store(m, now[i], at[i]);
}

void emit_add_to_part(Module *m, const Kernel *kernel, int sum, const PartPlace *at,
                      const LLVMValueRef *terms, int count) {
    LLVMValueRef part = find_part(m, kernel, sum, at);
    (kernel->sums[sum].about ? add_to_stored_spread : add_to_stored_sum)(m, part, terms, count);
}
