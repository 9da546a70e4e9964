/* Direct convolution over blocks of channels: conv_map.c walks, conv_tile.c computes a tile, conv_cost.c chooses it.
 *
 * Input BLOCKED, or PLAIN where it has few channels (the first layer); output BLOCKED. A tile's weights lie in the order in
 * which it reads them (conv_format.c), and groups of output channels follow each other, as do layers, so that prefetching "the
 * next group's" is right at the end of a layer too.
 * Groups are possible where their channels are whole blocks.
 *
 * Share of peak (nominal FLOPs; padded taps are skipped) on a core with two 512-bit FMAs at 249 GFLOP/s, warm / weights
 * flushed from all caches, by tests/kernels/bench.c:
 *
 *     first layer, 7x7 stride 2         96 / 95      1x1   64 to 256 at 56x56      92 / 89     AVX2 on the same core, warm:
 *     3x3  56x56x64                     97 / 96           256 to  64 at 56x56      94 / 93      3x3            92 to 93
 *          28x28x128                   102 / 100          128 to 512 at 28x28      96 / 93      1x1            83 to 91
 *          14x14x256                   106 / 102          512 to 128 at 28x28      89 / 87      first layer    85
 *           7x7x512                    109 / 77           256 to 1024 at 14x14     95 / 93
 *     3x3 stride 2, 56 to 28, to 7      95 / 94, 101 / 76  512 to 2048 at 7x7      89 / 71
 *     3x3 of free size, 100x100x64      86                1x1 stride 2             75 to 94
 *
 * What a layer of small maps loses cold is the way of its weights from memory, 12 to 17 GB/s; within ResNet-18 the layer
 * before prefetches some of them, and 7x7x512 reaches 94 to 101. */
#include "kernels/conv/conv.h"

enum { MOST_COLUMN_TAPS = 16, FEW_CHANNELS = 4 };

static bool whole_blocks(const ConvShape *s, int lanes) {
    return s->groups == 1 || (s->inputs % lanes == 0 && s->outputs % lanes == 0);
}

static bool wants_plain(const ConvShape *s) {
    return s->groups == 1 && s->inputs <= FEW_CHANNELS;
}

bool conv_direct_fits(const Kernel *kernel, const Target *target) {
    ConvShape s;
    if (!conv_shape(kernel, &s) || s.transposed || !whole_blocks(&s, target->lanes)) return false;
    return s.kernel[1] <= MOST_COLUMN_TAPS;
}

void conv_tail_layouts(const Kernel *kernel, LayoutKind *inputs) {
    for (int i = 2; i < kernel->input_count; i++) {
        Shape shape = kernel->inputs[i]->node->shape;
        Shape map = kernel->anchor->shape;
        bool like = shape.rank == 4 && shape.dims[1] == map.dims[1] && shape.dims[3] == map.dims[3];
        inputs[i] = like ? LAYOUT_BLOCKED : LAYOUT_ANY;
    }
}

void conv_direct_layouts(const Kernel *kernel, const Target *target, LayoutKind *output, LayoutKind *inputs) {
    (void)target;
    ConvShape s;
    CHECK(conv_shape(kernel, &s));
    *output = LAYOUT_BLOCKED;
    inputs[0] = wants_plain(&s) ? LAYOUT_PLAIN : LAYOUT_BLOCKED;
    inputs[1] = LAYOUT_PLAIN;
    conv_tail_layouts(kernel, inputs);
}

/* ---- whether rows may be joined ---- */

static bool same_or_single(Shape shape, Shape map) {
    int64_t h, w;
    if (shape.rank != 4) return true;
    if (shape.dims[2] == map.dims[2] && shape.dims[3] == map.dims[3]) return true;
    return dim_is_const(shape.dims[2], &h) && dim_is_const(shape.dims[3], &w) && h == 1 && w == 1;
}

static bool dense_rows(Dims *dims, const Value *value) {
    Shape shape = value->node->shape;
    return shape.rank != 4 || !value->strides || value->strides[2] == dim_mul(dims, shape.dims[3], value->strides[3]);
}

bool conv_flat(const Kernel *kernel, const ConvShape *s) {
    Dims *dims = kernel->program->graph->dims;
    Shape map = kernel->anchor->shape;
    for (int i = 0; i < 2; i++)
        if (s->kernel[i] != 1 || s->stride[i] != 1 || s->before[i] != 0 || s->in_size[i] != s->out_size[i]) return false;
    if (!dense_rows(dims, kernel->output)) return false;
    for (int i = 0; i < kernel->input_count; i++)
        if (i != 1 && (!dense_rows(dims, kernel->inputs[i]) || !same_or_single(kernel->inputs[i]->node->shape, map))) return false;
    for (int i = 0; i < kernel->member_count; i++)
        if (kernel->members[i]->op == OP_iota || !same_or_single(kernel->members[i]->shape, map)) return false;
    return true;
}

/* ---- choice ---- */

void conv_direct_choose(Program *program, Kernel *kernel) {
    Dims *dims = program->graph->dims;
    const Target *target = program->target;
    ConvShape s;
    CHECK(conv_shape(kernel, &s));
    bool plain = kernel->inputs[0]->layout == LAYOUT_PLAIN;
    double cycles;
    ConvTile *tile = NEW(program->arena, ConvTile);
    *tile = conv_choose_tile(&s, dims, target, plain, conv_flat(kernel, &s), &cycles);
    kernel->tile = tile;
    kernel->tasks = conv_tasks(dims, &s, tile, target->lanes);
    kernel->scratch = conv_scratch(dims, &s, tile, target->lanes);
    PackFormat format = conv_format(&s, target->lanes, tile->blocks);
    program_pack(program, kernel, 1, &format);
    kernel_set_name(kernel, "conv_direct_%s", conv_describe(program->arena, &s, tile));
}

double conv_direct_cost(const Kernel *kernel, const Target *target) {
    ConvShape s;
    double cycles;
    CHECK(conv_shape(kernel, &s));
    conv_choose_tile(&s, kernel->program->graph->dims, target, wants_plain(&s), false, &cycles);
    PackFormat format = conv_format(&s, target->lanes, 1);
    return cycles * (double)s.groups + packing_cycles(kernel, &format);
}

LLVMValueRef conv_direct_emit(Module *m, const Kernel *kernel) {
    Conv c = conv_begin(m, kernel);
    return conv_emit_map(&c);
}
