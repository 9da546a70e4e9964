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

static LLVMValueRef part_of_block(const Conv *c, int sum, int q) {
    Module *m = c->m;
    LLVMValueRef block = emit_affine(m, emit_div(m, c->first_channel, get_i64(m, c->lanes)), 1, q),
                 parts = get_argument(m, 1 + c->kernel->input_count + sum);
    LLVMValueRef number = emit_add(m, emit_mul(m, block, get_i64(m, parts_of_block(c))), c->part);
    return get_element(m, c->vector, parts, number);
}

void conv_start_parts(const Conv *c, int blocks) {
    for (int i = 0; i < c->kernel->sum_count; i++)
        for (int q = 0; q < blocks; q++)
            emit_aligned_store(c->m, LLVMConstNull(c->vector), part_of_block(c, i, q));
}

void conv_add_to_part(const Conv *c, int sum, int q, LLVMValueRef terms) {
    LLVMValueRef at = part_of_block(c, sum, q);
    emit_aligned_store(c->m, emit_sum(c->m, emit_aligned_load(c->m, c->vector, at), terms), at);
}
