/* Transposed convolution (convolution_input with weights that are parameters): stride x stride phases, each a direct
 * convolution of stride 1 over a part of the taps (conv_shape.c has the arithmetic), by the tiles of conv_tile.c. No output
 * is written twice and no zero multiplied.
 *
 * Share of peak on a core with two 512-bit FMAs: 2x2 stride 2, 128 to 64 at 64x64: 92 % (tiles of 6x4; 14x2 75 %, reading
 * the input twice as often); 4x4 stride 2, 512 to 256 at 16x16: 83 %. */
#include "kernels/conv/conv.h"

enum { MOST_COLUMN_TAPS = 16, MOST_PHASES = 16 };

bool conv_transposed_fits(const Kernel *kernel, const Target *target) {
    ConvShape s;
    if (!conv_shape(kernel, &s) || !s.transposed) return false;
    bool whole = s.groups == 1 || (s.inputs % target->lanes == 0 && s.outputs % target->lanes == 0);
    return whole && s.kernel[1] <= MOST_COLUMN_TAPS * s.stride[1] && conv_phases(&s) <= MOST_PHASES;
}

void conv_transposed_layouts(const Kernel *kernel, const Target *target, LayoutKind *output, LayoutKind *inputs) {
    (void)target;
    *output = LAYOUT_BLOCKED;
    inputs[0] = LAYOUT_BLOCKED;
    inputs[1] = LAYOUT_PLAIN;
    conv_tail_layouts(kernel, inputs);
}

void conv_transposed_choose(Program *program, Kernel *kernel) {
    Dims *dims = program->graph->dims;
    int lanes = program->target->lanes;
    ConvShape s;
    CHECK(conv_shape(kernel, &s));
    double cycles;
    ConvTile *tile = NEW(program->arena, ConvTile);
    bool plain = kernel->inputs[0]->layout == LAYOUT_PLAIN;
    *tile = conv_choose_tile(&s, dims, program->target, plain, false, &cycles);
    kernel->tile = tile;
    kernel->tasks = conv_tasks(dims, &s, tile, lanes);
    kernel->scratch = conv_scratch(dims, &s, tile, lanes);
    PackFormat format = conv_format(&s, lanes, tile->blocks);
    program_pack(program, kernel, 1, &format);
    kernel_set_name(kernel, "conv_transposed_%s", conv_describe(program->arena, &s, tile));
}

double conv_transposed_cost(const Kernel *kernel, const Target *target) {
    ConvShape s;
    double cycles;
    CHECK(conv_shape(kernel, &s));
    conv_choose_tile(&s, kernel->program->graph->dims, target, false, false, &cycles);
    PackFormat format = conv_format(&s, target->lanes, 1);
    return cycles * (double)(s.groups * conv_phases(&s)) + packing_cycles(kernel, &format);
}

LLVMValueRef conv_transposed_emit(Module *m, const Kernel *kernel) {
    Conv c = conv_begin(m, kernel);
    return conv_emit_map(&c);
}
