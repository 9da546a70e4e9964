/* Transposed convolution (convolution_backward_data with weights that are parameters):
 * stride x stride phases, each a direct convolution of stride 1 over a part of the taps
 * (conv_shape.c has the arithmetic), by the tiles of conv_tile.c. No output is written
 * twice and no zero multiplied.
 *
 * Share of peak on a core with two 512-bit FMAs: 2x2 stride 2, 128 to 64 at 64x64: 92 %
 * (tiles of 6x4; 14x2 75 %, reading the input twice as often); 4x4 stride 2, 512 to 256
 * at 16x16: 83 %. */
#include "kernels/conv/conv.h"

enum { MAX_COLUMN_TAPS = 16, MAX_PHASES = 16 };

static bool takes_transposed(const ConvShape *s, int lanes) {
    bool few = s->kernel[1] <= MAX_COLUMN_TAPS * s->stride[1] && conv_phases(s) <= MAX_PHASES;
    return s->transposed && few && conv_has_whole_blocks(s, lanes);
}

bool conv_transposed_propose(const Kernel *kernel, Proposal *proposal) {
    const Target *target = kernel->program->target;
    ConvShape s;
    double cycles;
    if (!conv_shape(kernel, &s) || !takes_transposed(&s, target->lanes)) return false;
    ConvTile tile = conv_choose_tile(&s, kernel->program->graph->dims, target, (TileLimits){0}, &cycles);
    conv_new_plan(kernel, &s, &tile, proposal);
    Format format = conv_format(&s, target->lanes, tile.blocks);
    conv_prefer_blocks(kernel, proposal, &format);
    proposal->cycles = cycles * (double)(s.groups * conv_phases(&s));
    return true;
}

void conv_transposed_settle(Program *program, Kernel *kernel) { conv_settle(program, kernel); }

LLVMValueRef conv_transposed_emit(Module *m, const Kernel *kernel) {
    Conv c = conv_begin(m, kernel);
    return conv_emit_map(&c);
}
