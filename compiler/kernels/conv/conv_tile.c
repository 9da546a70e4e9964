/* The register tile of direct convolution: P pixels by Q blocks of output channels, all
 * sums in registers over the whole reduction.
 *
 *     sums[P][Q] = 0                                            P * Q registers
 *     for each block of input channels of the pass              one, where the input is PLAIN
 *       for each kernel row that lies inside the map
 *         for each kernel column                                unrolled, without pixels whose tap
 *                                                               is padding; many columns that
 *                                                               clip no pixel are a loop
 *           for each channel of the block                       rolled
 *             w[Q] = weights, in the order they lie             Q registers
 *             for each pixel: b = broadcast input               1 register; for Q = 1 the
 *                                                               multiply-add reads memory itself
 *               for each q: sums[pixel][q] += b * w[q]
 *     epilogue(sums), stores; between passes, to the scratch and back
 *
 * The bound is the multiply-adds, P * Q of them to P + Q loads. conv_direct.c has the
 * measured shares of the peak. Tried, and slower: unrolling the channel loop on 32
 * registers (spills from 16 on), and all seven columns of a first layer in one block
 * (half the speed, by spills). So the loop over channels stays innermost even where it
 * runs three times. */
#include "kernels/conv/conv.h"

enum { MAX_UNROLLED_TAPS = 8 };

static int64_t line_elements(const Conv *c) { return LINE_BYTES / dtype_bytes(c->shape.types.sum); }

/* ---- which pixels a tap reaches, and where ---- */

static bool is_tap_inside(const ConvAxis *a, int64_t fixed, int64_t along, int64_t tap) {
    if (fixed < 0 || tap < 0) return true;
    int64_t limit, at = a->scale * (fixed + along) + a->first + a->step * tap;
    return at >= 0 && (!dim_is_const(a->input, &limit) || at < limit);
}

bool conv_reads(const Conv *c, const ConvSite *site, int64_t row_tap, int64_t column_tap, int pixel) {
    int row = pixel / site->columns, column = pixel % site->columns;
    return is_tap_inside(&c->rows, site->fixed_y, row, row_tap) &&
           is_tap_inside(&c->columns, site->fixed_x, column, column_tap);
}

static bool reads_any(const Conv *c, const ConvSite *site, int64_t row_tap, int64_t column_tap) {
    for (int p = 0; p < site->rows * site->columns; p++)
        if (conv_reads(c, site, row_tap, column_tap, p)) return true;
    return false;
}

LLVMValueRef conv_site_input(const Conv *c, const ConvSite *site) {
    Module *m = c->m;
    LLVMValueRef y = emit_affine(m, site->y, c->rows.scale, c->rows.first);
    LLVMValueRef x = emit_affine(m, site->x, c->columns.scale, c->columns.first);
    LLVMValueRef at = emit_add(m, emit_mul(m, y, c->row_stride), emit_mul(m, x, get_i64(m, c->pixel_stride)));
    return emit_add(m, c->image_offset, at);
}

/* The address of a pixel's first channel, and whether it is inside the map; NULL where
 * that is known while compiling. */
typedef struct Pixel {
    LLVMValueRef address, valid;
} Pixel;

static LLVMValueRef or_zeros(const Conv *c, const Pixel *pixel, LLVMValueRef address) {
    return pixel->valid ? LLVMBuildSelect(c->m->builder, pixel->valid, address, c->zeros, "pixel") : address;
}

static Pixel find_pixel(const Conv *c, const ConvSite *site, LLVMValueRef input, int64_t column_tap, int p) {
    Module *m = c->m;
    const ConvAxis *x = &c->columns;
    int row = p / site->columns, column = p % site->columns;
    LLVMValueRef tapped = emit_add(m, input, get_i64(m, column_tap * x->step * c->pixel_stride));
    LLVMValueRef first = get_element(m, c->element, c->input, tapped);
    LLVMValueRef offset = emit_mul(m, get_i64(m, row * c->rows.scale), c->row_stride);
    offset = emit_add(m, offset, get_i64(m, column * x->scale * c->pixel_stride));
    Pixel pixel = {.address = get_element(m, c->element, first, offset)};
    if (site->fixed_x != SITE_COMPUTED) return pixel;
    LLVMValueRef at = emit_affine(m, site->x, x->scale, column * x->scale + x->first + x->step * column_tap);
    pixel.valid = LLVMBuildICmp(m->builder, LLVMIntULT, at, c->column_input, "inside");
    return pixel;
}

LLVMValueRef conv_pixel(const Conv *c, const ConvSite *site, LLVMValueRef input, int64_t column_tap, int p) {
    Pixel pixel = find_pixel(c, site, input, column_tap, p);
    return or_zeros(c, &pixel, pixel.address);
}

/* ---- one tap of one block of input channels ---- */

typedef struct Tap {
    const ConvSite *site;
    int64_t row, column; /* of the axes' taps; row SITE_COMPUTED: all rows of the tile are inside */
    bool first;          /* of the row: it may prefetch for the next tile */
    /* element that the first pixel reads for the first channel with the row's first
     * tap */
    LLVMValueRef input;
    LLVMValueRef weights; /* element of its weights */
    LLVMValueRef visit;   /* number of the tap in the tile's reduction, for prefetching */
} Tap;

/* The zeros are a full block of channels; if the input is PLAIN, each channel is replaced
 * by zeros separately. */
static void find_pixels(const Conv *c, const Tap *tap, Pixel *pixels) {
    for (int p = 0; p < tap->site->rows * tap->site->columns; p++) {
        pixels[p] = find_pixel(c, tap->site, tap->input, tap->column, p);
        if (!c->tile->plain) pixels[p] = (Pixel){.address = or_zeros(c, &pixels[p], pixels[p].address)};
    }
}

static LLVMTypeRef sum_type(const Conv *c, const ConvSite *site, int q) {
    return q == site->blocks - 1 ? get_vector(c->m, c->element, c->last_lanes) : c->vector;
}

/* The multiply-adds of one channel of one tap. `channel`: the offset from each pixel's
 * address, in elements. */
static void multiply_tap(const Conv *c, const Tap *tap, const Pixel *pixels, LLVMValueRef channel,
                         LLVMValueRef weights, LoopCarried *sums) {
    Module *m = c->m;
    int blocks = tap->site->blocks;
    LLVMValueRef w[8];
    for (int q = 0; q < blocks; q++) {
        LLVMValueRef at = emit_add(m, weights, get_i64(m, q * c->lanes));
        w[q] = emit_aligned_load(m, sum_type(c, tap->site, q), get_element(m, c->element, c->weights, at));
    }
    for (int p = 0; p < tap->site->rows * tap->site->columns; p++) {
        if (!conv_reads(c, tap->site, tap->row, tap->column, p)) continue;
        LLVMValueRef address =
            or_zeros(c, &pixels[p], get_element(m, c->element, pixels[p].address, channel));
        LLVMValueRef x = emit_load(m, c->element, address);
        for (int q = 0; q < blocks; q++) {
            LLVMValueRef spread = get_splat(m, x, get_lanes(LLVMTypeOf(w[q])));
            sums->at[p * blocks + q] = emit_muladd(m, spread, w[q], sums->at[p * blocks + q]);
        }
    }
}

static void prefetch_lines(const Conv *c, LLVMValueRef base, LLVMValueRef first, int64_t lines,
                           int locality) {
    for (int64_t i = 0; i < lines; i++) {
        LLVMValueRef at = emit_add(c->m, first, get_i64(c->m, i * line_elements(c)));
        emit_prefetch(c->m, get_element(c->m, c->element, base, at), locality);
    }
}

/* Prefetches what the next tile reads with this kernel row of this block of channels. */
static void prefetch_input(const Conv *c, const Tap *tap) {
    int64_t width = tap->site->columns * c->columns.scale * c->pixel_stride;
    for (int row = 0; row < tap->site->rows; row++) {
        LLVMValueRef at =
            emit_add(c->m, tap->input, emit_mul(c->m, get_i64(c->m, row * c->rows.scale), c->row_stride));
        prefetch_lines(c, c->input, emit_add(c->m, at, get_i64(c->m, width)),
                       ceil_div(width, line_elements(c)), 3);
    }
}

static int64_t reduction_length(const Conv *c) {
    return c->shape.inputs * c->shape.kernel[0] * c->shape.kernel[1];
}

/* The tile's share of the next group's weights, to prefetch into L2: `next_lines` for
 * each tap, in the channel loop where there are many. */
static LLVMValueRef next_weights(const Conv *c, const Tap *tap) {
    Module *m = c->m;
    int64_t lanes = c->lanes, visits = conv_input_blocks(c) * c->shape.kernel[0] * c->shape.kernel[1];
    LLVMValueRef visit = emit_add(m, emit_mul(m, tap->site->share, get_i64(m, visits)), tap->visit);
    LLVMValueRef line = emit_affine(m, visit, c->tile->next_lines * line_elements(c),
                                    reduction_length(c) * tap->site->blocks * lanes);
    return emit_add(m, c->tile_weights, line);
}

/* Registers: the sums, of which a clipped tap changes only some, the weights of two
 * channels, and the broadcast input. */
static bool has_room_for_next_weights(const Conv *c, const ConvSite *site) {
    int sums = site->rows * site->columns * site->blocks;
    return sums + 2 * site->blocks + 1 <= c->m->target->registers;
}

static void reduce_channels(const Conv *c, const Tap *tap, LLVMValueRef channels, LoopCarried *sums) {
    Module *m = c->m;
    Pixel pixels[MAX_CARRIED];
    int unroll = c->tile->unroll, width = tap->site->blocks * c->lanes;
    int next = tap->site->share ? c->tile->next_lines : 0, next_each = next / c->lanes;
    LLVMValueRef ahead = next ? next_weights(c, tap) : NULL;
    if (next && !next_each) prefetch_lines(c, c->weights, ahead, next, 2);
    if (!reads_any(c, tap->site, tap->row, tap->column)) return;
    find_pixels(c, tap, pixels);
    if (c->tile->prefetch_next && tap->first) prefetch_input(c, tap);
    Loop loop = begin_loop_carried(m, sums, get_i64(m, 0), channels, unroll);
    for (int u = 0; u < unroll; u++) {
        /* LLVM would load the next channel's weights early, and spill a sum for them. */
        if (u > 0 && !has_room_for_next_weights(c, tap->site)) emit_barrier(m);
        LLVMValueRef channel = emit_add(m, loop.index, get_i64(m, u));
        LLVMValueRef plane = c->tile->plain ? emit_mul(m, channel, c->channel_stride) : channel;
        LLVMValueRef weights = emit_add(m, tap->weights, emit_affine(m, loop.index, width, u * width));
        multiply_tap(c, tap, pixels, plane, weights, sums);
        int64_t near = ceil_div(width, line_elements(c));
        if (c->tile->near_lines)
            prefetch_lines(c, c->weights,
                           emit_add(m, weights, get_i64(m, c->tile->near_lines * line_elements(c))), near, 3);
        if (next_each)
            prefetch_lines(c, c->weights,
                           emit_add(m, ahead, emit_affine(m, channel, next_each * line_elements(c), 0)),
                           next_each, 2);
    }
    end_loop_carried(m, &loop, sums);
}

/* ---- the reduction ---- */

typedef struct TileReduction {
    Conv *conv;
    const ConvSite *site;
} TileReduction;

/* of input channels: its number, and the element that the tile's first pixel reads
 * there */
typedef struct Block {
    LLVMValueRef number, input;
} Block;

/* Taps of a row, as long as code for each of them would be too much, that clip no
 * pixel. */
static bool loops_over_taps(const Conv *c, const ConvSite *site) {
    return c->columns.taps > MAX_UNROLLED_TAPS && site->fixed_x == SITE_INSIDE;
}

/* of one block of input channels; ky: the kernel's row, input: what the tile's first
 * pixel reads with its first tap */
typedef struct KernelRow {
    const Block *block;
    LLVMValueRef ky, input, channels;
} KernelRow;

/* The tap `number` of a row. What it reads is clipped as by the tap of `tap`. */
static void reduce_tap(Conv *c, const KernelRow *row, Tap tap, LLVMValueRef number, LoopCarried *sums) {
    Module *m = c->m;
    const ConvAxis *x = &c->columns;
    int64_t taps = c->shape.kernel[0] * c->shape.kernel[1];
    LLVMValueRef place = emit_add(m, emit_affine(m, row->ky, c->shape.kernel[1], x->kernel_first),
                                  emit_affine(m, number, x->kernel_step, 0));
    LLVMValueRef before = emit_add(m, emit_affine(m, row->block->number, c->lanes * taps, 0),
                                   emit_mul(m, place, row->channels));
    tap.weights = emit_add(m, c->tile_weights, emit_affine(m, before, tap.site->blocks * c->lanes, 0));
    tap.visit = emit_add(m, emit_affine(m, row->block->number, taps, 0), place);
    reduce_channels(c, &tap, row->channels, sums);
}

/* A block of input channels over one kernel row: the columns' taps. */
static void reduce_row(Conv *c, const ConvSite *site, int64_t row, LLVMValueRef y_tap, void *context,
                       LoopCarried *sums) {
    Module *m = c->m;
    const Block *block = context;
    const ConvAxis *x = &c->columns;
    LLVMValueRef lanes = get_i64(m, c->lanes);
    LLVMValueRef left = emit_sub(m, get_i64(m, c->shape.inputs), emit_mul(m, block->number, lanes));
    KernelRow r = {.block = block,
                   .channels = c->shape.inputs % c->lanes == 0 ? lanes : emit_min(m, left, lanes)};
    r.ky = emit_affine(m, y_tap, c->rows.kernel_step, c->rows.kernel_first);
    r.input =
        emit_add(m, block->input, emit_mul(m, y_tap, emit_mul(m, get_i64(m, c->rows.step), c->row_stride)));
    if (!loops_over_taps(c, site)) {
        for (int64_t t = 0; t < x->taps; t++)
            reduce_tap(c, &r, (Tap){site, row, t, .first = t == 0, .input = r.input}, get_i64(m, t), sums);
        return;
    }
    Loop loop = begin_loop_carried(m, sums, get_i64(m, 0), get_i64(m, x->taps), 1);
    LLVMValueRef input = emit_add(m, r.input, emit_affine(m, loop.index, x->step * c->pixel_stride, 0));
    reduce_tap(c, &r, (Tap){site, row, .input = input}, loop.index, sums);
    end_loop_carried(m, &loop, sums);
}

/* The taps of the row axis that are inside the map at `y`: the first, and one past the
 * last. */
static void find_row_taps(const Conv *c, LLVMValueRef y, LLVMValueRef *from, LLVMValueRef *to) {
    Module *m = c->m;
    const ConvAxis *a = &c->rows;
    LLVMValueRef zero = get_i64(m, 0), top = emit_affine(m, y, a->scale, a->first),
                 step = get_i64(m, a->step);
    LLVMValueRef above = emit_max(m, emit_sub(m, zero, top), zero);
    LLVMValueRef below = emit_max(m, emit_sub(m, get_dim(m, a->input), top), zero);
    *from = emit_div(m, emit_add(m, above, get_i64(m, a->step - 1)), step);
    *to = emit_min(m, emit_div(m, emit_add(m, below, get_i64(m, a->step - 1)), step), get_i64(m, a->taps));
}

void conv_emit_rows(Conv *c, const ConvSite *site, ConvRow emit_row, void *context, LoopCarried *sums) {
    Module *m = c->m;
    if (site->fixed_y != SITE_COMPUTED) {
        for (int64_t t = 0; t < c->rows.taps; t++) emit_row(c, site, t, get_i64(m, t), context, sums);
        return;
    }
    LLVMValueRef from, to;
    find_row_taps(c, site->y, &from, &to);
    Loop loop = begin_loop_carried(m, sums, from, to, 1);
    emit_row(c, site, SITE_COMPUTED, loop.index, context, sums);
    end_loop_carried(m, &loop, sums);
}

static void reduce_channel_blocks(void *context, LLVMValueRef from, LLVMValueRef to, LoopCarried *sums) {
    const TileReduction *r = context;
    Module *m = r->conv->m;
    LLVMValueRef input = conv_site_input(r->conv, r->site);
    Loop loop = begin_loop_carried(m, sums, from, to, 1);
    Block block = {.number = loop.index,
                   .input = emit_add(m, input, emit_mul(m, loop.index, r->conv->block_stride))};
    /* a single block's rows follow each other, which hardware sees */
    if (conv_input_blocks(r->conv) > 1) conv_prefetch_rows_below(r->conv, r->site, block.input);
    conv_emit_rows(r->conv, r->site, reduce_row, &block, sums);
    end_loop_carried(m, &loop, sums);
}

/* A block's sum, `part` kernel rows in a chain. */
static void reduce_rows_in_parts(Conv *c, const ConvSite *site, Block *block, int64_t part,
                                 const PartialSums *partial_sums) {
    Module *m = c->m;
    LoopCarried sums;
    if (site->fixed_y != SITE_COMPUTED) {
        for (int64_t t = 0; t < c->rows.taps; t++) {
            if (t % part == 0) conv_start_sums(c, site, &sums);
            reduce_row(c, site, t, get_i64(m, t), block, &sums);
            if (t % part == part - 1 || t == c->rows.taps - 1) emit_add_partial_sums(m, partial_sums, &sums);
        }
        return;
    }
    LLVMValueRef from, to;
    find_row_taps(c, site->y, &from, &to);
    Loop parts = begin_loop(m, from, to, part);
    conv_start_sums(c, site, &sums);
    Loop loop = begin_loop_carried(m, &sums, parts.index,
                                   emit_min(m, emit_add(m, parts.index, get_i64(m, part)), to), 1);
    reduce_row(c, site, SITE_COMPUTED, loop.index, block, &sums);
    end_loop_carried(m, &loop, &sums);
    emit_add_partial_sums(m, partial_sums, &sums);
    end_loop(m, &parts);
}

/* Large kernels: the terms of a single block are too many for one chain. */
static void reduce_large(Conv *c, const ConvSite *site, int64_t blocks, int64_t row_terms,
                         LoopCarried *sums) {
    Module *m = c->m;
    PartialSums partial_sums = begin_partial_sums(m, sums);
    LLVMValueRef input = conv_site_input(c, site);
    Loop loop = begin_loop(m, get_i64(m, 0), get_i64(m, blocks), 1);
    Block block = {.number = loop.index,
                   .input = emit_add(m, input, emit_mul(m, loop.index, c->block_stride))};
    reduce_rows_in_parts(c, site, &block, max_i64(1, MAX_TERMS / row_terms), &partial_sums);
    end_loop(m, &loop);
    end_partial_sums(m, &partial_sums, sums);
}

static void reduce_tile(Conv *c, const ConvSite *site, LoopCarried *sums) {
    TileReduction reduction = {.conv = c, .site = site};
    int64_t blocks = conv_input_blocks(c);
    int64_t row_terms = min_i64(c->shape.inputs, c->lanes) * c->columns.taps,
            block_terms = row_terms * c->rows.taps;
    /* a pass is short enough */
    if (site->from) reduce_channel_blocks(&reduction, site->from, site->to, sums);
    else if (block_terms > MAX_TERMS && c->rows.taps > 1) reduce_large(c, site, blocks, row_terms, sums);
    else
        emit_sum_in_parts(c->m, sums, get_i64(c->m, blocks), MAX_TERMS / block_terms, reduce_channel_blocks,
                          &reduction);
}

/* ---- what happens to the sums ---- */

Point conv_point(const Conv *c, const ConvSite *site, int pixel, int q) {
    Module *m = c->m;
    int row = pixel / site->columns, column = pixel % site->columns;
    LLVMValueRef y = emit_add(m, site->y, get_i64(m, row)), x = emit_add(m, site->x, get_i64(m, column));
    LLVMValueRef channel = emit_add(m, c->first_channel, get_i64(m, q * c->lanes));
    Point point = {.rank = 4, .lanes = c->lanes};
    point.at[0] = coord_fixed(c->image);
    point.at[1] = coord_lanes(channel, 1);
    point.at[1].aligned = true;
    point.at[2] = coord_fixed(emit_affine(m, y, c->rows.out_step, c->rows.out_first));
    point.at[3] = coord_fixed(emit_affine(m, x, c->columns.out_step, c->columns.out_first));
    if (c->flat_length) {
        /* The axis of the lanes must be one along which a value varies: not one of
         * literal size 1. */
        int walked = dim_is_one(c->kernel->anchor->shape.dims[3]) ? 2 : 3;
        point.at[2] = point.at[3] = coord_fixed(get_i64(m, 0));
        point.at[walked] = coord_fixed(emit_add(m, emit_mul(m, y, get_i64(m, c->flat_length)), x));
    }
    if (c->shape.outputs % c->lanes != 0)
        point.mask =
            emit_lane_mask(m, emit_sub(m, get_i64(m, c->shape.outputs * c->shape.groups), channel), c->lanes);
    return point;
}

/* A sum of the last block may have fewer lanes than a vector: the others are stored as
 * padding. */
static LLVMValueRef widen_sum(const Conv *c, LLVMValueRef sum) {
    int lanes = get_lanes(LLVMTypeOf(sum));
    LLVMValueRef order[64];
    if (lanes == c->lanes) return sum;
    for (int i = 0; i < c->lanes; i++) order[i] = get_i32(c->m, i < lanes ? i : lanes);
    return LLVMBuildShuffleVector(c->m->builder, sum, LLVMConstNull(LLVMTypeOf(sum)),
                                  LLVMConstVector(order, (unsigned)c->lanes), "");
}

static void store_tile_pixel(Conv *c, const ConvSite *site, int pixel, int q, LLVMValueRef sum) {
    Point point = conv_point(c, site, pixel, q);
    emit_epilogue_store(&c->epilogue, &point, widen_sum(c, sum));
}

/* Stores a block of channels, and adds it to the stored sums. */
static void store_block(Conv *c, const ConvSite *site, int q, const LoopCarried *sums) {
    StoredTerms terms = {.count = 0};
    for (int p = 0; p < site->rows * site->columns; p++) {
        Point point = conv_point(c, site, p, q);
        emit_epilogue_store_next(&c->epilogue, &point, widen_sum(c, sums->at[p * site->blocks + q]), &terms);
    }
    conv_add_to_parts(c, q, &terms);
}

static void store_tile_sums(Conv *c, const ConvSite *site, const LoopCarried *sums) {
    for (int q = 0; q < site->blocks; q++) store_block(c, site, q, sums);
}

/* Columns from the limit on only fill up the tile, and are not stored. */
static void store_limited(Conv *c, const ConvSite *site, const LoopCarried *sums) {
    Module *m = c->m;
    for (int p = 0; p < site->columns; p++) {
        LLVMValueRef x = emit_add(m, site->x, get_i64(m, p));
        Branch branch = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, x, site->limit, "exists"));
        for (int q = 0; q < site->blocks; q++)
            store_tile_pixel(c, site, p, q, sums->at[p * site->blocks + q]);
        end_if(m, &branch);
    }
}

void conv_store_sums(Conv *c, const ConvSite *site, const LoopCarried *sums) {
    if (site->fixed_x == SITE_COMPUTED) store_limited(c, site, sums);
    else store_tile_sums(c, site, sums);
}

void conv_start_sums(const Conv *c, const ConvSite *site, LoopCarried *sums) {
    sums->count = site->rows * site->columns * site->blocks;
    CHECK(sums->count <= MAX_CARRIED);
    for (int i = 0; i < sums->count; i++) sums->at[i] = LLVMConstNull(sum_type(c, site, i % site->blocks));
}

static LLVMValueRef kept_tile_sum(const Conv *c, const ConvSite *site, int i) {
    Module *m = c->m;
    int pixel = i / site->blocks, width = site->blocks * c->lanes;
    LLVMValueRef at = emit_add(
        m, site->kept,
        emit_affine(m, site->x, width, (pixel % site->columns) * width + i % site->blocks * c->lanes));
    if (pixel >= site->columns)
        at = emit_add(m, at, emit_mul(m, c->kept_row, get_i64(m, pixel / site->columns * width)));
    return get_element(m, c->element, m->scratch, at);
}

/* Ends a pass: adds the sums of the passes before, and keeps the sums for the next pass
 * or stores them through the epilogue. */
static void finish_pass(Conv *c, const ConvSite *site, LoopCarried *sums) {
    Module *m = c->m;
    LLVMValueRef blocks = get_i64(m, conv_input_blocks(c));
    Loop again = begin_loop_carried_if(
        m, sums, LLVMBuildICmp(m->builder, LLVMIntSGT, site->from, get_i64(m, 0), "again"));
    for (int i = 0; i < sums->count; i++)
        sums->at[i] = emit_sum(m, emit_aligned_load(m, LLVMTypeOf(sums->at[i]), kept_tile_sum(c, site, i)),
                               sums->at[i]);
    end_loop_carried(m, &again, sums);
    Branch last = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntEQ, site->to, blocks, "last"));
    conv_store_sums(c, site, sums);
    begin_else(m, &last);
    for (int i = 0; i < sums->count; i++) emit_aligned_store(m, sums->at[i], kept_tile_sum(c, site, i));
    end_if(m, &last);
}

void conv_emit_tile(Conv *c, const ConvSite *site) {
    LoopCarried sums;
    conv_start_sums(c, site, &sums);
    /* results of a phase lie apart */
    if (c->columns.out_step > 1) conv_prefetch_results_below(c, site);
    else if (c->kernel->sum_count) conv_prefetch_maps_below(c, site);
    if (c->rows.taps > 0 && c->columns.taps > 0) reduce_tile(c, site, &sums);
    if (site->from) finish_pass(c, site, &sums);
    else conv_store_sums(c, site, &sums);
}
