/* Convolution and transposed convolution in groups of few channels, with as many outputs
 * as inputs: depthwise, and groups of four as in ResNeXt. Lanes are channels, and a block
 * of outputs needs the block of inputs at the same place. There are two loop nests:
 *
 *   depthwise                                                     P * R sums
 *     for each input row that the tile's R rows of outputs read   unrolled; of free size, and of long
 *                                                                 kernels, R is 1 and kernel rows are
 *                                                                 a loop
 *       w = weights of the kernel rows that meet it               one register each, as far as there are
 *                                                                 registers
 *       for each column: x = input block, loaded once             1 register
 *         for each output that it belongs to: sum += x * w
 *
 *   G channels a group                                            P * G sums
 *     for each kernel row that lies inside
 *       for each kernel column: w[G] = weights                    unrolled; G registers
 *         for each pixel: x = input block; for each k: sums[pixel][k] += x * w[k]
 *     sum[pixel] = the sums of sums[pixel][k] rotated by k
 *
 * On maps larger than L3, each tile prefetches what the one below it reads and writes
 * (conv_ahead.c).
 *
 * Lane l of sums[..][k] gathers what channel l contributes to the output k places further
 * in its group. So the sums are permuted, once, and no input is (conv_grouped_format).
 *
 * Bounds, on a core with two 512-bit multiply-adds: the multiply-adds; or L2, with a line
 * in and one out (and one fetched to be overwritten) for nine of them at stride 1, four
 * lines in at stride 2; 30 GB/s if a map is in L3. Share of peak, warm:
 *
 *     depthwise 3x3   28x28x192  80     stride 2, from 28  50: L2         5x5  28x28x240   99
 *                     14x14x576  82               from 14  49                  14x14x240  115
 *                      7x7x960   79     112x112, 56x56     L3: 27 to 33 GB/s of what it moves
 *     4 to a group    28x28x128  88     8 to a group, 28x28x256  75 (7 rotations and additions
 *                                       to 72 multiply-adds)
 *     AVX2            3x3 96 to 98, 5x5 98 to 107
 *     Zen 4, 56x56x64   5x5 104, 9x9 108, 13x13 107, 17x17 108, 31x31 131; AVX2 87, 89, 89, 102, 116
 *
 * Tried, and slower: permuting the input for every tap (48 % of peak with 4 to a group:
 * one permute for each multiply-add, on one of its two ports); loading the input again
 * for every tap (57 to 65 % at 28x28 and 14x14); one row of 14 pixels instead of two of 7
 * (78), three of 7 (79). */
#include "kernels/conv/conv.h"

enum { MAX_COLUMN_TAPS = 64, MAX_PHASES = 16, MAX_GROUP = 8, ROWS = 2, ROW_PIXELS = 8, TASK_VECTORS = 512 };

/* The shape for conv_map.c: one group, each block of which has its own inputs. */
static bool walked_shape(const Kernel *kernel, int lanes, ConvShape *s) {
    if (!conv_shape(kernel, s) || s->groups == 1 || s->inputs != s->outputs) return false;
    if (s->inputs >= lanes || lanes % s->inputs != 0 || s->kernel[1] > MAX_COLUMN_TAPS ||
        conv_phases(s) > MAX_PHASES)
        return false;
    s->outputs *= s->groups;
    s->groups = 1;
    return true;
}

/* Whether a row of taps is so long that registers do not hold its weights. */
static bool has_long_rows(const ConvShape *s, const Target *target) {
    return 4 * max_i64(s->kernel[0], s->kernel[1]) >= target->registers;
}

/* Two rows where their sums leave registers for the weights and the clipping of taps is
 * known while compiling: that saves a third of the loads, and the loop over kernel
 * rows. */
static int rows_of(const ConvShape *s, const Target *target) {
    bool fixed = !has_long_rows(s, target);
    for (int i = 0; i < 2; i++)
        fixed = fixed && dim_is_const(s->in_size[i], NULL) && dim_is_const(s->out_size[i], NULL);
    return fixed && s->inputs == 1 && ROWS * ROW_PIXELS < target->registers ? ROWS : 1;
}

/* Beside the sums, registers hold the weights of a kernel row (of a tap, where groups
 * have several channels) and what LLVM loads ahead. Of a long row some are in memory. */
static int pixels_for_grouped(const ConvShape *s, const Target *target, int rows) {
    int64_t group = s->inputs, left = target->registers - 2;
    if (rows > 1 || (group == 1 && has_long_rows(s, target))) return ROW_PIXELS;
    if (group == 1) return (int)min_i64(14, max_i64(6, left + 2 - 2 * s->kernel[1]));
    return (int)max_i64(1, min_i64(14, (left - group) / group));
}

/* Of the outputs along an axis; of a transposed one, those of a phase. */
static int64_t outputs_along(const ConvShape *s, const Dims *dims, int axis) {
    int64_t step = s->transposed ? s->stride[axis] : 1;
    return max_i64(1, ceil_div(dim_typical(dims, s->out_size[axis]), step));
}

static ConvTile choose_grouped_tile(const ConvShape *s, const Dims *dims, const Target *target) {
    int64_t tiles, longer;
    ConvTile tile = {.rows = rows_of(s, target), .blocks = 1, .unroll = 1, .all_phases = true};
    tile.pixels = (int)split_evenly(outputs_along(s, dims, 1), pixels_for_grouped(s, target, tile.rows),
                                    &tiles, &longer);
    int64_t height = ceil_div(outputs_along(s, dims, 0), tile.rows);
    int64_t vectors = tiles * tile.pixels * tile.rows * s->inputs * conv_phases(s);
    tile.task_rows = (int)max_i64(1, min_i64(TASK_VECTORS / vectors, height));
    return tile;
}

static double conv_grouped_cycles(const ConvShape *s, const Dims *dims, const Target *target) {
    double blocks = (double)(ceil_div(s->outputs, target->lanes) * s->inputs * s->kernel[0] * s->kernel[1]);
    for (int i = 0; i < 2; i++) blocks *= (double)outputs_along(s, dims, i);
    return 1.5 * blocks * (double)dim_typical(dims, s->images) / target->loads_per_cycle;
}

bool conv_grouped_propose(const Kernel *kernel, Proposal *proposal) {
    const Target *target = kernel->program->target;
    const Dims *dims = kernel->program->graph->dims;
    ConvShape s;
    if (!walked_shape(kernel, target->lanes, &s)) return false;
    ConvTile tile = choose_grouped_tile(&s, dims, target);
    conv_new_plan(kernel, &s, &tile, proposal);
    Format format = conv_grouped_format(&s, target->lanes);
    conv_prefer_blocks(kernel, proposal, &format);
    proposal->cycles = conv_grouped_cycles(&s, dims, target);
    return true;
}

void conv_grouped_settle(Program *program, Kernel *kernel) { conv_settle(program, kernel); }

/* ---- emission ---- */

static LLVMValueRef load_vector(Conv *c, LLVMValueRef address) {
    return emit_aligned_load(c->m, c->vector, address);
}

/* Vector `k` of the weights of kernel row ky and a tap of the columns. */
static LLVMValueRef load_weight(Conv *c, LLVMValueRef ky, int64_t tap, int64_t k) {
    Module *m = c->m;
    LLVMValueRef place =
        emit_affine(m, ky, c->shape.kernel[1], c->columns.kernel_first + c->columns.kernel_step * tap);
    LLVMValueRef at =
        emit_add(m, c->tile_weights, emit_affine(m, place, c->shape.inputs * c->lanes, k * c->lanes));
    return load_vector(c, get_element(m, c->element, c->weights, at));
}

/* The element that the tile's first pixel reads with tap y_tap of the rows. */
static LLVMValueRef row_input(Conv *c, LLVMValueRef input, LLVMValueRef y_tap) {
    return emit_add(c->m, input,
                    emit_mul(c->m, y_tap, emit_mul(c->m, get_i64(c->m, c->rows.step), c->row_stride)));
}

/* ---- depthwise ---- */

/* A row of the tile's outputs, and the tap (a number, or SITE_COMPUTED) by which it reads
 * the current input row. */
typedef struct InputReader {
    int row;
    int64_t tap;
    LLVMValueRef y_tap;
} InputReader;

static LLVMValueRef row_of_kernel(Conv *c, const InputReader *reader) {
    return emit_affine(c->m, reader->y_tap, c->rows.kernel_step, c->rows.kernel_first);
}

/* The pixel of a row of the tile that reads column `column` of the input with a tap, or
 * -1. */
static int pixel_at(const Conv *c, const ConvSite *site, int64_t column, int64_t tap) {
    int64_t ahead = column - tap * c->columns.step;
    if (ahead < 0 || ahead % c->columns.scale != 0 || ahead / c->columns.scale >= site->columns) return -1;
    return (int)(ahead / c->columns.scale);
}

/* One column of an input row, loaded at the first output that needs it. Weights behind
 * the first `kept` of a row are read where they are multiplied. */
static void add_column(Conv *c, const ConvSite *site, LLVMValueRef input, int64_t column,
                       const InputReader *readers, int count, LLVMValueRef w[][MAX_COLUMN_TAPS], int64_t kept,
                       LoopCarried *sums) {
    LLVMValueRef x = NULL, at = row_input(c, input, readers[0].y_tap);
    for (int r = 0; r < count; r++)
        for (int64_t tap = 0; tap < c->columns.taps; tap++) {
            int pixel = pixel_at(c, site, column, tap), place = readers[r].row * site->columns + pixel;
            if (pixel < 0 || !conv_reads(c, site, readers[r].tap, tap, place)) continue;
            if (!x) x = load_vector(c, conv_pixel(c, site, at, tap, readers[0].row * site->columns + pixel));
            LLVMValueRef own = tap < kept ? w[r][tap] : load_weight(c, row_of_kernel(c, &readers[r]), tap, 0);
            sums->at[place] = emit_muladd(c->m, x, own, sums->at[place]);
        }
    /* LLVM would keep the others, too, or load the next column early, and spill */
    if (has_long_rows(&c->shape, c->m->target)) emit_barrier(c->m);
}

/* Of a row of weights, as many as registers hold beside the sums of a long kernel. */
static int64_t kept_weights(const Conv *c, const ConvSite *site) {
    const Target *target = c->m->target;
    const int64_t left = max_i64(0, target->registers - 3 - site->rows * site->columns);
    return has_long_rows(&c->shape, target) ? min_i64(c->columns.taps, left) : c->columns.taps;
}

static void add_input_row(Conv *c, const ConvSite *site, LLVMValueRef input, const InputReader *readers,
                          int count, LoopCarried *sums) {
    LLVMValueRef w[ROWS][MAX_COLUMN_TAPS];
    const int64_t kept = kept_weights(c, site);
    for (int r = 0; r < count; r++) {
        LLVMValueRef ky = row_of_kernel(c, &readers[r]);
        for (int64_t tap = 0; tap < kept; tap++) w[r][tap] = load_weight(c, ky, tap, 0);
    }
    int64_t reach = (site->columns - 1) * c->columns.scale + (c->columns.taps - 1) * c->columns.step;
    for (int64_t column = 0; column <= reach; column++)
        add_column(c, site, input, column, readers, count, w, kept, sums);
    emit_barrier(c->m);
}

static void add_kernel_row(Conv *c, const ConvSite *site, int64_t row, LLVMValueRef y_tap, void *context,
                           LoopCarried *sums) {
    InputReader reader = {0, row, y_tap};
    add_input_row(c, site, *(LLVMValueRef *)context, &reader, 1, sums);
}

/* All input rows of a tile whose clipping is known while compiling. */
static void add_input_rows(Conv *c, const ConvSite *site, LLVMValueRef input, LoopCarried *sums) {
    const ConvAxis *y = &c->rows;
    int64_t reach = (site->rows - 1) * y->scale + (y->taps - 1) * y->step;
    for (int64_t at = 0; at <= reach; at++) {
        InputReader readers[ROWS];
        int count = 0;
        for (int row = 0; row < site->rows; row++) {
            int64_t before = at - row * y->scale, tap = before / y->step;
            if (before < 0 || before % y->step != 0 || tap >= y->taps) continue;
            readers[count++] = (InputReader){row, tap, get_i64(c->m, tap)};
        }
        if (count) add_input_row(c, site, input, readers, count, sums);
    }
}

static void emit_depthwise_tile(Conv *c, const ConvSite *site) {
    LoopCarried sums;
    conv_start_sums(c, site, &sums);
    LLVMValueRef block = emit_div(c->m, c->first_channel, get_i64(c->m, c->lanes));
    LLVMValueRef input = emit_add(c->m, conv_site_input(c, site), emit_mul(c->m, block, c->block_stride));
    conv_prefetch_rows_below(c, site, input);
    conv_prefetch_results_below(c, site);
    if (site->fixed_y == SITE_COMPUTED) conv_emit_rows(c, site, add_kernel_row, &input, &sums);
    else add_input_rows(c, site, input, &sums);
    conv_store_sums(c, site, &sums);
}

/* ---- groups ---- */

static void add_grouped_tap(Conv *c, const ConvSite *site, int64_t row, LLVMValueRef ky, LLVMValueRef input,
                            int64_t tap, LoopCarried *sums) {
    int group = (int)c->shape.inputs;
    LLVMValueRef w[MAX_GROUP];
    for (int k = 0; k < group; k++) w[k] = load_weight(c, ky, tap, k);
    for (int p = 0; p < site->rows * site->columns; p++) {
        if (!conv_reads(c, site, row, tap, p)) continue;
        LLVMValueRef x = load_vector(c, conv_pixel(c, site, input, tap, p));
        for (int k = 0; k < group; k++)
            sums->at[p * group + k] = emit_muladd(c->m, x, w[k], sums->at[p * group + k]);
    }
    emit_barrier(c->m);
}

static void add_grouped_row(Conv *c, const ConvSite *site, int64_t row, LLVMValueRef y_tap, void *context,
                            LoopCarried *sums) {
    LLVMValueRef input = row_input(c, *(LLVMValueRef *)context, y_tap);
    LLVMValueRef ky = emit_affine(c->m, y_tap, c->rows.kernel_step, c->rows.kernel_first);
    for (int64_t t = 0; t < c->columns.taps; t++) add_grouped_tap(c, site, row, ky, input, t, sums);
}

/* Moves each lane `by` places on within its group, cyclically. */
static LLVMValueRef emit_rotated(const Conv *c, LLVMValueRef vector, int64_t by) {
    LLVMValueRef order[64];
    int64_t group = c->shape.inputs;
    if (by == 0) return vector;
    for (int64_t l = 0; l < c->lanes; l++)
        order[l] = get_i32(c->m, (int32_t)(l - l % group + (l % group - by + group) % group));
    return LLVMBuildShuffleVector(c->m->builder, vector, vector, LLVMConstVector(order, (unsigned)c->lanes),
                                  "");
}

static void emit_grouped_tile(Conv *c, const ConvSite *site) {
    Module *m = c->m;
    LoopCarried sums, results;
    int64_t group = c->shape.inputs;
    conv_start_sums(c, site, &results);
    sums.count = results.count * (int)group;
    CHECK(sums.count <= MAX_CARRIED);
    for (int i = 0; i < sums.count; i++) sums.at[i] = results.at[0];
    LLVMValueRef block = emit_div(m, c->first_channel, get_i64(m, c->lanes));
    LLVMValueRef input = emit_add(m, conv_site_input(c, site), emit_mul(m, block, c->block_stride));
    conv_emit_rows(c, site, add_grouped_row, &input, &sums);
    for (int p = 0; p < results.count; p++) {
        results.at[p] = sums.at[p * group];
        for (int64_t k = 1; k < group; k++)
            results.at[p] = emit_sum(m, results.at[p], emit_rotated(c, sums.at[p * group + k], k));
    }
    conv_store_sums(c, site, &results);
}

LLVMValueRef conv_grouped_emit(Module *m, const Kernel *kernel) {
    Conv c = conv_begin(m, kernel);
    c.own_blocks = true;
    c.emit_tile = c.shape.inputs == 1 ? emit_depthwise_tile : emit_grouped_tile;
    return conv_emit_map(&c);
}
