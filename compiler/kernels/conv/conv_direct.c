/* Direct convolution over blocks of channels: conv_map.c loops over the map, conv_tile.c
 * computes a tile, conv_cost.c chooses the tile.
 *
 * The input is BLOCKED, or PLAIN where it has few channels (the first layer); the output
 * is BLOCKED. The weights of a tile lie in the order in which the tile reads them
 * (conv_format.c). Groups of output channels follow each other in memory, and so do
 * layers: prefetching the weights of the next group is right at the end of a layer, too.
 * Grouped convolutions are possible where the channels of a group are whole blocks.
 *
 * Share of peak (nominal FLOPs; padded taps are skipped) on a core with two 512-bit FMAs
 * at 249 GFLOP/s, warm / weights flushed from all caches, by tests/kernels/bench.c:
 *
 *     first layer, 7x7 stride 2         96 / 95      1x1   64 to 256 at 56x56      92 / 89
 *     3x3  56x56x64                     97 / 96           256 to  64 at 56x56      94 / 93
 *          28x28x128                   102 / 100          128 to 512 at 28x28      96 / 93
 *          14x14x256                   106 / 102          512 to 128 at 28x28      89 / 87
 *           7x7x512                    109 / 77           256 to 1024 at 14x14     95 / 93
 *     3x3 stride 2, 56 to 28, to 7      95 / 94, 101 / 76  512 to 2048 at 7x7      89 / 71
 *     3x3 of free size, 100x100x64      86                1x1 stride 2             75 to 94
 *
 * AVX2 on the same core, warm: 3x3 92 to 93, 1x1 83 to 91, the first layer 85.
 *
 * What a layer of small maps loses cold is the time to bring its weights from memory, at
 * 12 to 17 GB/s; within ResNet-18 the layer before prefetches some of them, and 7x7x512
 * reaches 94 to 101. */
#include "kernels/conv/conv.h"

/* of a row; where tiles are clipped, each has code for its taps */
enum { MAX_COLUMN_TAPS = 96, MAX_CLIPPED_TAPS = 32, FEW_CHANNELS = 4 };

static bool wants_plain(const ConvShape *s) { return s->groups == 1 && s->inputs <= FEW_CHANNELS; }

/* ---- whether rows may be joined ---- */

static bool same_or_single(Shape shape, Shape map) {
    if (shape.rank != 4) return true;
    if (shape.dims[2] == map.dims[2] && shape.dims[3] == map.dims[3]) return true;
    return dim_is_one(shape.dims[2]) && dim_is_one(shape.dims[3]);
}

/* Whether height and width may become one axis where all maps are dense: every value that
 * the kernel reads is the same at all pixels, or has the pixels of the result. */
static bool may_be_flat(const Kernel *kernel, const ConvShape *s) {
    Shape map = kernel->anchor->shape;
    for (int i = 0; i < 2; i++)
        if (s->kernel[i] != 1 || s->stride[i] != 1 || s->before[i] != 0 || s->in_size[i] != s->out_size[i])
            return false;
    for (int i = 0; i < kernel->input_count; i++)
        if (i != 1 && !same_or_single(kernel->inputs[i]->node->shape, map)) return false;
    for (int i = 0; i < kernel->member_count; i++)
        if (kernel->members[i]->op == OP_iota || !same_or_single(kernel->members[i]->shape, map))
            return false;
    return true;
}

static bool has_dense_rows(Dims *dims, const Value *value) {
    Shape shape = value->node->shape;
    return shape.rank != 4 || !value->strides ||
           value->strides[2] == dim_mul(dims, shape.dims[3], value->strides[3]);
}

static bool lies_flat(const Kernel *kernel) {
    Dims *dims = kernel->program->graph->dims;
    bool dense = has_dense_rows(dims, kernel->output);
    for (int i = 0; i < kernel->input_count; i++)
        dense = dense && (i == 1 || has_dense_rows(dims, kernel->inputs[i]));
    return dense;
}

/* ---- the proposal ---- */

static bool has_too_many_taps(const ConvShape *s) {
    return s->kernel[1] > (s->before[1] ? MAX_CLIPPED_TAPS : MAX_COLUMN_TAPS);
}

bool conv_direct_propose(const Kernel *kernel, Proposal *proposal) {
    const Target *target = kernel->program->target;
    Dims *dims = kernel->program->graph->dims;
    ConvShape s;
    double cycles, other;
    if (!conv_shape(kernel, &s) || !conv_turn(&s) || has_too_many_taps(&s)) return false;
    if (!conv_has_whole_blocks(&s, target->lanes)) return false;
    TileLimits limits = {.plain = wants_plain(&s), .flat = may_be_flat(kernel, &s)};
    ConvTile tile = conv_choose_tile(&s, dims, target, limits, &cycles), flat = tile;
    if (limits.flat) tile = conv_choose_tile(&s, dims, target, (TileLimits){.blocks = flat.blocks}, &other);
    ConvPlan *plan = conv_new_plan(kernel, &s, &tile, proposal);
    if (limits.flat) {
        plan->flat = flat;
        plan->flat_scratch = conv_scratch(dims, &s, &flat, target->lanes);
    }
    Format format = conv_format(&s, target->lanes, plan->tile.blocks);
    conv_prefer_blocks(kernel, proposal, &format);
    if (limits.plain) proposal->inputs[0].format = &format_plain;
    proposal->cycles = cycles * (double)s.groups;
    return true;
}

void conv_direct_settle(Program *program, Kernel *kernel) {
    ConvPlan *plan = kernel->proposal.tile;
    if (plan->flat.pixels && lies_flat(kernel)) {
        plan->tile = plan->flat;
        kernel->proposal.memory.scratch = plan->flat_scratch;
    }
    conv_settle(program, kernel);
}

LLVMValueRef conv_direct_emit(Module *m, const Kernel *kernel) {
    Conv c = conv_begin(m, kernel);
    return conv_emit_map(&c);
}
