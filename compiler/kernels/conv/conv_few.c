/* Convolution and transposed convolution to few output channels, as at the end of a
 * network that makes pictures. Lanes are input channels, and the lanes of each sum are
 * added up at the end:
 *
 *     sums[P][O] = 0                                            P * O registers
 *     for each block of input channels, for each kernel row that lies inside
 *       for each kernel column                                  unrolled
 *         w[O] = weights                                        O registers
 *         for each pixel: x = input block; for each o: sums[pixel][o] += x * w[o]
 *     for each o: a vector of P results, by a tree of shuffles and additions; epilogue, store
 *
 * The output is PLAIN, the weights are packed by conv_few_format. conv_direct would leave
 * all lanes but O idle. Share of peak at 256x256x64, 3x3: 39 % with one output (bound by
 * loads, one for each multiply-add), 66 % with three; conv_direct 9 %. A barrier after
 * each tap keeps LLVM from loading pixels that several taps share only once, which causes
 * spills. */
#include "kernels/conv/conv.h"

enum { MAX_COLUMN_TAPS = 16, MAX_OUTPUTS = 6, MAX_REGISTERS = 20, STRIP_ROWS = 8 };

static bool takes_few(const ConvShape *s, int lanes) {
    bool dense = s->groups == 1 && s->inputs >= lanes / 2 && conv_phases(s) <= 16;
    return dense && s->outputs <= MAX_OUTPUTS && s->kernel[1] <= MAX_COLUMN_TAPS * s->stride[1];
}

/* A power of two, as the tree of additions and the store need it, and well below the
 * number of registers: with 24 sums and 32 registers LLVM spills between the loops. */
static int pixels_for_few(const Target *target, int64_t outputs) {
    int pixels = target->lanes;
    int64_t max = min_i64(MAX_REGISTERS, target->registers - 1);
    while (pixels > 1 && pixels * outputs + outputs + 1 > max) pixels /= 2;
    return pixels;
}

static double conv_few_cycles(const ConvShape *s, const Dims *dims, const Target *target) {
    double pixels = (double)dim_typical(dims, s->images), blocks = (double)ceil_div(s->inputs, target->lanes);
    for (int i = 0; i < 2; i++)
        pixels *= (double)dim_typical(dims, s->transposed ? s->in_size[i] : s->out_size[i]);
    double loads = 1 + (double)s->outputs / pixels_for_few(target, s->outputs), products = (double)s->outputs;
    double tap = loads / target->loads_per_cycle, multiply = products / target->fmas_per_cycle;
    double adding = 3.0 * (double)(s->outputs * conv_phases(s));
    return pixels *
           ((double)(s->kernel[0] * s->kernel[1]) * blocks * 1.2 * (tap > multiply ? tap : multiply) +
            adding);
}

bool conv_few_propose(const Kernel *kernel, Proposal *proposal) {
    const Target *target = kernel->program->target;
    ConvShape s;
    if (!conv_shape(kernel, &s) || !takes_few(&s, target->lanes)) return false;
    prefer_formats(kernel, proposal, &format_plain, kernel->input_count);
    proposal->inputs[0].format = kernel->program->blocked;
    ConvTile tile = {.pixels = pixels_for_few(target, s.outputs), .rows = 1, .blocks = 1, .unroll = 1};
    tile.task_rows = conv_needs_strip(&s) ? STRIP_ROWS : 1;
    conv_new_plan(kernel, &s, &tile, proposal);
    Format format = conv_few_format(&s, target->lanes);
    prefer_packed(kernel, proposal, 1, &format);
    proposal->cycles = conv_few_cycles(&s, kernel->program->graph->dims, target);
    return true;
}

void conv_few_settle(Program *program, Kernel *kernel) { conv_settle(program, kernel); }

/* ---- emission ---- */

typedef struct Block {
    LLVMValueRef number, input;
} Block;

static void add_few_tap(Conv *c, const ConvSite *site, int64_t row, LLVMValueRef place, LLVMValueRef input,
                        int64_t tap, LoopCarried *sums) {
    Module *m = c->m;
    int64_t outputs = c->shape.outputs;
    LLVMValueRef w[MAX_OUTPUTS], first = emit_mul(m, place, get_i64(m, outputs * c->lanes));
    for (int64_t o = 0; o < outputs; o++)
        w[o] = emit_aligned_load(
            m, c->vector,
            get_element(m, c->element, c->weights, emit_add(m, first, get_i64(m, o * c->lanes))));
    for (int p = 0; p < site->columns; p++) {
        if (!conv_reads(c, site, row, tap, p)) continue;
        LLVMValueRef x = emit_aligned_load(m, c->vector, conv_pixel(c, site, input, tap, p));
        for (int64_t o = 0; o < outputs; o++)
            sums->at[p * outputs + o] = emit_muladd(m, x, w[o], sums->at[p * outputs + o]);
    }
    emit_barrier(m);
}

static void add_few_row(Conv *c, const ConvSite *site, int64_t row, LLVMValueRef y_tap, void *context,
                        LoopCarried *sums) {
    Module *m = c->m;
    const Block *block = context;
    int64_t kh = c->shape.kernel[0], kw = c->shape.kernel[1];
    LLVMValueRef at =
        emit_add(m, block->input, emit_mul(m, y_tap, emit_mul(m, get_i64(m, c->rows.step), c->row_stride)));
    LLVMValueRef ky =
        emit_add(m, emit_mul(m, y_tap, get_i64(m, c->rows.kernel_step)), get_i64(m, c->rows.kernel_first));
    LLVMValueRef first =
        emit_mul(m, emit_add(m, emit_mul(m, block->number, get_i64(m, kh)), ky), get_i64(m, kw));
    for (int64_t t = 0; t < c->columns.taps; t++) {
        LLVMValueRef place =
            emit_add(m, first, get_i64(m, c->columns.kernel_first + c->columns.kernel_step * t));
        add_few_tap(c, site, row, place, at, t, sums);
    }
}

/* Lanes 2i (odd: 2i + 1) of the concatenation of two vectors. */
static LLVMValueRef emit_every_other(Module *m, LLVMValueRef a, LLVMValueRef b, int lanes, int odd) {
    LLVMValueRef order[64];
    for (int i = 0; i < lanes; i++) order[i] = get_i32(m, 2 * i + odd);
    return LLVMBuildShuffleVector(m->builder, a, b, LLVMConstVector(order, (unsigned)lanes), "");
}

/* A vector of `count` (a power of two, at most `lanes`) sums, each over all lanes of one
 * of the vectors. */
static LLVMValueRef emit_sums(Module *m, LLVMValueRef *vectors, int count, int lanes) {
    LLVMValueRef all[64];
    if (count == 1) return emit_lane_sum(m, vectors[0]);
    memcpy(all, vectors, sizeof *all * (size_t)count);
    for (int left = count; left > 1; left /= 2)
        for (int i = 0; i < left / 2; i++) {
            LLVMValueRef a = all[2 * i], b = all[2 * i + 1];
            all[i] = emit_sum(m, emit_every_other(m, a, b, lanes, 0), emit_every_other(m, a, b, lanes, 1));
        }
    for (int each = lanes / count; each > 1; each /= 2) { /* adjacent parts of each sum */
        int width = count * each / 2;
        LLVMValueRef even = emit_every_other(m, all[0], all[0], width, 0),
                     odd = emit_every_other(m, all[0], all[0], width, 1);
        all[0] = emit_sum(m, even, odd);
    }
    return all[0];
}

static int power_of_two(int least) {
    int power = 1;
    while (power < least) power *= 2;
    return power;
}

static void store_few_output(Conv *c, const ConvSite *site, int64_t output, const LoopCarried *sums) {
    Module *m = c->m;
    int count = power_of_two(site->columns);
    LLVMValueRef vectors[64];
    for (int p = 0; p < count; p++)
        vectors[p] = p < site->columns ? sums->at[p * c->shape.outputs + output] : LLVMConstNull(c->vector);
    LLVMValueRef result = emit_sums(m, vectors, count, c->lanes);
    Point point = conv_point(c, site, 0, 0);
    point.lanes = count;
    point.at[1] = coord_fixed(get_i64(m, output));
    point.at[3].lane_step = c->columns.out_step;
    point.mask = NULL;
    LLVMValueRef limit =
        site->fixed_x == SITE_COMPUTED ? emit_sub(m, site->limit, site->x) : get_i64(m, site->columns);
    if (site->fixed_x == SITE_COMPUTED || count != site->columns)
        point.mask = count > 1 ? emit_lane_mask(m, limit, count) : NULL;
    emit_epilogue_store(&c->epilogue, &point, result);
}

static void emit_few_tile(Conv *c, const ConvSite *site) {
    Module *m = c->m;
    LoopCarried sums = {.count = (int)(site->columns * c->shape.outputs)};
    for (int i = 0; i < sums.count; i++) sums.at[i] = LLVMConstNull(c->vector);
    int64_t blocks = conv_input_blocks(c);
    if (c->rows.taps > 0 && c->columns.taps > 0) {
        LLVMValueRef input = conv_site_input(c, site);
        Loop loop = begin_loop_carried(m, &sums, get_i64(m, 0), get_i64(m, blocks), 1);
        Block block = {.number = loop.index,
                       .input = emit_add(m, input, emit_mul(m, loop.index, c->block_stride))};
        conv_emit_rows(c, site, add_few_row, &block, &sums);
        end_loop_carried(m, &loop, &sums);
    }
    for (int64_t o = 0; o < c->shape.outputs; o++) store_few_output(c, site, o, &sums);
}

LLVMValueRef conv_few_emit(Module *m, const Kernel *kernel) {
    Conv c = conv_begin(m, kernel);
    c.emit_tile = emit_few_tile;
    return conv_emit_map(&c);
}
