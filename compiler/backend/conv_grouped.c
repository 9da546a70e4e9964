/* Convolution in groups of few channels, as many out as in: depthwise, and the four to a group of ResNeXt. Lanes are output
 * channels, so a block of them needs the block of inputs that stands at the same place, permuted so that every lane meets
 * the channel of its group:
 *
 *     sums[P] = 0
 *     for each kernel row that lies inside
 *       for each kernel column, for each channel c of a group         unrolled
 *         w = weights                                                 one register
 *         for each pixel: sums[pixel] += permute(input block, c) * w  depthwise: the multiply-add reads the input itself
 *     tail, stores
 *
 * Weights are packed as PACK_CONV, order CONV_ORDER_BLOCKED, of one group with as many inputs as one of ours has. Depthwise
 * is bound by L2 (or by what is beyond it): 60 to 77 % of peak at 28x28x128. Grouped is bound by the permutes, one to a
 * multiply-add and on one of the two ports that multiply: 48 % where 50 is possible (71 % with AVX2, which has another port
 * for them). */
#include "backend/conv.h"

enum { MOST_COLUMN_TAPS = 16 };

static bool grouped_shape(const Kernel *kernel, ConvShape *s) {
    if (!conv_shape(kernel, s) || s->transposed || s->groups == 1) return false;
    return s->inputs == s->outputs;
}

bool conv_grouped_fits(const Kernel *kernel, const Target *target) {
    ConvShape s;
    if (!grouped_shape(kernel, &s) || kernel->inputs[1]->space != SPACE_WEIGHTS) return false;
    return s.inputs < target->lanes && target->lanes % s.inputs == 0 && s.kernel[1] <= MOST_COLUMN_TAPS;
}

void conv_grouped_layouts(const Kernel *kernel, const Target *target, LayoutKind *output, LayoutKind *inputs) {
    (void)target;
    *output = inputs[0] = LAYOUT_BLOCKED;
    conv_tail_layouts(kernel, inputs);
}

/* Seen by the walk as one group whose every block has its own inputs. */
static ConvShape walked_shape(const Kernel *kernel) {
    ConvShape s;
    CHECK(grouped_shape(kernel, &s));
    s.outputs *= s.groups;
    s.groups = 1;
    return s;
}

/* Beside the sums: a group's weights, and a few inputs that LLVM loads ahead. */
static int pixels_of(const ConvShape *s, const Target *target) {
    if (target->registers > 16) return 14;
    return s->inputs == 1 ? 6 : 3;
}

double conv_grouped_cost(const Kernel *kernel, const Target *target) {
    ConvShape s = walked_shape(kernel);
    const Dims *dims = kernel->program->graph->dims;
    double blocks = (double)((s.outputs + target->lanes - 1) / target->lanes * s.inputs * s.kernel[0] * s.kernel[1]);
    for (int i = 0; i < 2; i++) blocks *= (double)dim_typical(dims, s.out_size[i]);
    return 1.5 * blocks * (double)dim_typical(dims, s.images) / target->loads_per_cycle;
}

void conv_grouped_choose(Program *program, Kernel *kernel) {
    Dims *dims = program->graph->dims;
    const Target *target = program->target;
    ConvShape s = walked_shape(kernel);
    ConvTile *tile = NEW(program->arena, ConvTile);
    int64_t tiles, longer;
    *tile = (ConvTile){.pixels = pixels_of(&s, target), .rows = 1, .blocks = 1, .unroll = 1};
    tile->pixels = (int)split_evenly(max_i64(1, dim_typical(dims, s.out_size[1])), tile->pixels, &tiles, &longer);
    tile->task_rows = (int)max_i64(1, min_i64(512 / (tiles * tile->pixels * s.inputs), dim_typical(dims, s.out_size[0])));
    kernel->tile = tile;
    kernel->tasks = conv_tasks(dims, &s, tile, target->lanes);
    program_pack(program, kernel, 1, PACK_CONV, (int64_t[6]){target->lanes, 1, CONV_ORDER_BLOCKED, 1, 0});
    kernel_set_name(kernel, "conv_grouped_%s", conv_describe(program->arena, &s, tile));
}

/* ---- emission ---- */

/* Lane l gets channel `channel` of its group. */
static LLVMValueRef emit_permuted(const Conv *c, LLVMValueRef block, int64_t channel) {
    Module *m = c->m;
    LLVMValueRef order[64];
    if (c->shape.inputs == 1) return block;
    for (int l = 0; l < c->lanes; l++) order[l] = get_i32(m, (int32_t)(l / c->shape.inputs * c->shape.inputs + channel));
    return LLVMBuildShuffleVector(m->builder, block, block, LLVMConstVector(order, (unsigned)c->lanes), "");
}

static void add_tap(Conv *c, const ConvSite *site, int64_t row, LLVMValueRef ky, LLVMValueRef input, int64_t tap, Carried *sums) {
    Module *m = c->m;
    LLVMTypeRef vector = get_vector(m, m->f32, c->lanes);
    int64_t kx = c->columns.kernel_first + c->columns.kernel_step * tap;
    LLVMValueRef place = emit_add(m, emit_mul(m, ky, get_i64(m, c->shape.kernel[1])), get_i64(m, kx));
    LLVMValueRef first = emit_add(m, c->tile_weights, emit_mul(m, place, get_i64(m, c->shape.inputs * c->lanes)));
    LLVMValueRef w[64];
    for (int64_t i = 0; i < c->shape.inputs; i++)
        w[i] = emit_load(m, vector, get_element(m, m->f32, c->weights, emit_add(m, first, get_i64(m, i * c->lanes))), c->lanes * 4);
    for (int p = 0; p < site->rows * site->columns; p++) {
        if (!conv_reads(c, site, row, tap, p)) continue;
        LLVMValueRef x = emit_load(m, vector, conv_pixel(c, site, input, tap, p), c->lanes * 4);
        for (int64_t i = 0; i < c->shape.inputs; i++) sums->at[p] = emit_muladd(m, emit_permuted(c, x, i), w[i], sums->at[p]);
    }
    emit_barrier(m);
}

static void add_row(Conv *c, const ConvSite *site, int64_t row, LLVMValueRef y_tap, void *context, Carried *sums) {
    Module *m = c->m;
    LLVMValueRef *input = context;
    LLVMValueRef at = emit_add(m, *input, emit_mul(m, y_tap, emit_mul(m, get_i64(m, c->rows.step), c->row_stride)));
    LLVMValueRef ky = emit_add(m, emit_mul(m, y_tap, get_i64(m, c->rows.kernel_step)), get_i64(m, c->rows.kernel_first));
    for (int64_t t = 0; t < c->columns.taps; t++) add_tap(c, site, row, ky, at, t, sums);
}

static void emit_grouped_tile(Conv *c, const ConvSite *site) {
    Module *m = c->m;
    Carried sums;
    conv_start_sums(c, site, &sums);
    LLVMValueRef block = emit_div(m, c->first_channel, get_i64(m, c->lanes));
    LLVMValueRef input = emit_add(m, conv_site_input(c, site), emit_mul(m, block, c->block_stride));
    conv_emit_rows(c, site, add_row, &input, &sums);
    conv_store_sums(c, site, &sums);
}

LLVMValueRef conv_grouped_emit(Module *m, const Kernel *kernel) {
    Conv c = conv_begin(m, kernel);
    c.shape = walked_shape(kernel);
    c.emit_tile = emit_grouped_tile;
    return conv_emit_map(&c);
}
