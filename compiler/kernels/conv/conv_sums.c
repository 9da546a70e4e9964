/* Stored sums of a convolution's result: each task adds up a part for each of its blocks
 * of channels (codegen/stored_parts.c). */
#include "kernels/conv/conv.h"

static PartPlace part_of_block(const Conv *c, int q) {
    LLVMValueRef first = emit_div(c->m, c->first_channel, get_i64(c->m, c->lanes));
    return (PartPlace){emit_affine(c->m, first, 1, q), c->part};
}

void conv_start_parts(const Conv *c, int blocks) {
    for (int q = 0; q < blocks; q++) {
        PartPlace at = part_of_block(c, q);
        emit_start_parts(c->m, c->kernel, &at);
    }
}

void conv_add_to_parts(const Conv *c, int q, const StoredTerms *terms) {
    PartPlace at = part_of_block(c, q);
    emit_add_terms(c->m, c->kernel, &at, terms);
}
