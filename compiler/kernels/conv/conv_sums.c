/* Stored sums of a convolution's result: each task adds up a part for each of its blocks
 * of channels (plan/stored_sums.c). A tile adds up its pixels in registers, and adds that
 * to the part, which lies in memory, and so in L1 while the task runs: it would cost
 * registers in the loops of the tile. */
#include "kernels/conv/conv.h"

static int64_t parts_of_block(const Conv *c) {
    MapTasks tasks;
    CHECK(conv_map_tasks(c->kernel->program->graph->dims, &c->shape, c->tile, &tasks));
    return tasks.images * tasks.phases * tasks.pieces;
}

static int vectors_of_part(const Conv *c, int sum) { return c->kernel->sums[sum].about ? SPREAD_VECTORS : 1; }

static LLVMValueRef part_of_block(const Conv *c, int sum, int q) {
    Module *m = c->m;
    LLVMValueRef block = emit_affine(m, emit_div(m, c->first_channel, get_i64(m, c->lanes)), 1, q),
                 parts = get_argument(m, 1 + c->kernel->input_count + sum);
    LLVMValueRef number = emit_add(m, emit_mul(m, block, get_i64(m, parts_of_block(c))), c->part);
    return get_element(m, c->vector, parts, emit_mul(m, number, get_i64(m, vectors_of_part(c, sum))));
}

static LLVMValueRef vector_of_part(const Conv *c, LLVMValueRef part, int i) {
    return get_element(c->m, c->vector, part, get_i64(c->m, i));
}

void conv_start_parts(const Conv *c, int blocks) {
    for (int i = 0; i < c->kernel->sum_count; i++)
        for (int q = 0; q < blocks; q++)
            for (int k = 0; k < vectors_of_part(c, i); k++)
                emit_aligned_store(c->m, LLVMConstNull(c->vector),
                                   vector_of_part(c, part_of_block(c, i, q), k));
}

static LLVMValueRef add_up(const Conv *c, const LLVMValueRef *terms, int count) {
    LLVMValueRef sum = terms[0];
    for (int p = 1; p < count; p++) sum = emit_sum(c->m, sum, terms[p]);
    return sum;
}

static void add_to_stored_sum(const Conv *c, LLVMValueRef part, const LLVMValueRef *terms, int count) {
    LLVMValueRef before = emit_aligned_load(c->m, c->vector, part);
    emit_aligned_store(c->m, emit_sum(c->m, before, add_up(c, terms, count)), part);
}

/* The part's first term is its center: differences from it are small numbers, where a sum
 * of the terms would round by the size of their mean. */
static void add_to_stored_spread(const Conv *c, LLVMValueRef part, const LLVMValueRef *terms, int count) {
    Module *m = c->m;
    LLVMValueRef at[SPREAD_VECTORS], now[SPREAD_VECTORS], zero = LLVMConstNull(c->vector);
    for (int i = 0; i < SPREAD_VECTORS; i++) {
        at[i] = vector_of_part(c, part, i);
        now[i] = emit_aligned_load(m, c->vector, at[i]);
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
    now[SPREAD_PLACES] = emit_sum(m, now[SPREAD_PLACES], get_splat(m, get_f32(m, count), c->lanes));
    for (int i = 0; i < SPREAD_VECTORS; i++) emit_aligned_store(m, now[i], at[i]);
}

void conv_add_to_part(const Conv *c, int sum, int q, const LLVMValueRef *terms, int count) {
    LLVMValueRef part = part_of_block(c, sum, q);
    (c->kernel->sums[sum].about ? add_to_stored_spread : add_to_stored_sum)(c, part, terms, count);
}
