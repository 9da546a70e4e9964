/* The strip: the rows that a task reads of an f16 or bf16 input, converted to the type of
 * the sums.
 *
 * Tiles load single elements, each once for every tap and group of outputs. So a task
 * converts its rows of the input once, beforehand, into the thread's scratch, after the
 * sums that are kept between passes:
 *
 *     for each block of input channels           one channel, where the input is PLAIN
 *       for each row that the task reads
 *         for each pixel: load, convert, store   a vector of pixels, where it is PLAIN
 *
 * A vector costs one to two cycles here. A tile of Q blocks of outputs spends 9 * 16 * Q
 * multiply-adds on it in a 3x3 convolution with AVX-512, and 16 * Q in a 1x1. */
#include "kernels/conv/conv.h"

bool conv_needs_strip(const ConvShape *shape) { return shape->types.left != shape->types.sum; }

/* ---- its size ---- */

static int64_t outer_count(const ConvShape *s, const ConvTile *tile, int lanes) {
    return tile->plain ? s->inputs : ceil_div(s->inputs, lanes);
}

/* Elements of a row, rounded up to full vectors. */
static Dim row_elements(Dims *dims, const ConvShape *s, const ConvTile *tile, int lanes) {
    Dim pixels = s->in_size[1];
    if (tile->flat_rows) pixels = dim_scale(dims, pixels, tile->flat_rows);
    if (tile->flat_pixels) pixels = dim_const(dims, tile->flat_pixels);
    if (tile->plain) pixels = dim_ceil_div(dims, pixels, lanes);
    return dim_scale(dims, pixels, lanes);
}

/* Rows of the input that `count` rows of a phase read. */
static int64_t rows_read(const ConvAxis *axis, int64_t count) {
    return axis->taps ? (count - 1) * axis->scale + (axis->taps - 1) * axis->step + 1 : 0;
}

static int64_t row_count(Dims *dims, const ConvShape *s, const ConvTile *tile) {
    int64_t max = 0, height;
    if (tile->flat_rows || tile->flat_pixels) return tile->task_rows;
    for (int phase = 0; phase < conv_phases(s); phase++) {
        ConvAxis axis = conv_axis(dims, s, 0, phase);
        max = max_i64(max, rows_read(&axis, (int64_t)tile->task_rows * tile->rows));
    }
    return dim_is_const(s->in_size[0], &height) ? min_i64(max, height) : max;
}

static Dim plane_elements(Dims *dims, const ConvShape *s, const ConvTile *tile, int lanes) {
    return dim_scale(dims, row_elements(dims, s, tile, lanes), row_count(dims, s, tile));
}

Dim conv_strip_bytes(Dims *dims, const ConvShape *s, const ConvTile *tile, int lanes) {
    if (!conv_needs_strip(s)) return dim_const(dims, 0);
    return dim_scale(dims, plane_elements(dims, s, tile, lanes),
                     outer_count(s, tile, lanes) * dtype_bytes(s->types.sum));
}

/* ---- a row ---- */

static void convert_lanes(const Conv *c, LLVMValueRef from, LLVMValueRef to, int lanes) {
    LLVMValueRef elements =
        emit_load_as(c->m, c->shape.types.left, c->shape.types.sum, from, lanes, !c->tile->plain, NULL);
    emit_aligned_store(c->m, elements, to);
}

static LLVMValueRef raw_element(const Conv *c, LLVMValueRef base, LLVMValueRef index) {
    return get_element(c->m, get_memory_type(c->m, c->shape.types.left), base, index);
}

/* The distance from one row or pixel that the task reads to the next: those that a stride
 * skips are not converted. */
static int64_t step_of_axis(const ConvAxis *axis) {
    return axis->taps == 1 && axis->first == 0 ? axis->scale : 1;
}

static void convert_blocks(const Conv *c, LLVMValueRef from, LLVMValueRef to, LLVMValueRef pixels) {
    Module *m = c->m;
    Loop loop = begin_loop(m, get_i64(m, 0), pixels, step_of_axis(&c->columns));
    LLVMValueRef raw = raw_element(c, from, emit_mul(m, loop.index, get_i64(m, c->pixel_stride)));
    convert_lanes(c, raw, get_element(m, c->element, to, emit_affine(m, loop.index, c->lanes, 0)), c->lanes);
    end_loop(m, &loop);
}

/* Converts the pixels of a plane from `begin` on, `lanes` at a time; returns the first
 * pixel that is left. */
static LLVMValueRef convert_plane(const Conv *c, LLVMValueRef from, LLVMValueRef to, LLVMValueRef begin,
                                  LLVMValueRef pixels, int lanes) {
    Module *m = c->m;
    LLVMValueRef end = emit_mul(m, emit_div(m, pixels, get_i64(m, lanes)), get_i64(m, lanes));
    Loop loop = begin_loop(m, begin, end, lanes);
    convert_lanes(c, raw_element(c, from, loop.index), get_element(m, c->element, to, loop.index), lanes);
    end_loop(m, &loop);
    return end;
}

static void convert_strip_row(const Conv *c, LLVMValueRef from, LLVMValueRef to, LLVMValueRef pixels) {
    if (!c->tile->plain) {
        convert_blocks(c, from, to, pixels);
        return;
    }
    LLVMValueRef end = convert_plane(c, from, to, get_i64(c->m, 0), pixels, c->lanes);
    convert_plane(c, from, to, end, pixels, 1);
}

/* ---- all of it ---- */

typedef struct Strip {
    LLVMValueRef address, row, plane; /* elements from one row to the next, and one plane or block */
    LLVMValueRef from, to;            /* rows of the input */
    LLVMValueRef block;               /* the first that the task reads, from c->image_offset on */
} Strip;

/* The rows of the input that rows of tiles `from` to `to` read. */
static void find_strip_rows(const Conv *c, Strip *strip, LLVMValueRef from, LLVMValueRef to) {
    Module *m = c->m;
    const ConvAxis *a = &c->rows;
    strip->from = from;
    strip->to = to;
    if (c->flat_length) return;
    LLVMValueRef height = get_i64(m, c->tile->rows),
                 end = emit_min(m, emit_mul(m, to, height), get_dim(m, a->count));
    LLVMValueRef first = emit_affine(m, emit_mul(m, from, height), a->scale, a->first);
    LLVMValueRef last = emit_affine(m, end, a->scale, a->first - a->scale + a->step * (a->taps - 1));
    strip->from = emit_max(m, first, get_i64(m, 0));
    strip->to = emit_min(m, emit_add(m, last, get_i64(m, 1)), get_dim(m, a->input));
}

static Strip find_strip(const Conv *c, LLVMValueRef from, LLVMValueRef to) {
    Module *m = c->m;
    Dims *dims = c->kernel->program->graph->dims;
    LLVMValueRef behind = get_dim(m, conv_sums_bytes(dims, &c->shape, c->tile, c->lanes));
    Strip strip = {.address = get_element(m, m->i8, m->scratch, behind)};
    strip.row = get_dim(m, row_elements(dims, &c->shape, c->tile, c->lanes));
    strip.plane = get_dim(m, plane_elements(dims, &c->shape, c->tile, c->lanes));
    strip.block = c->own_blocks ? emit_div(m, c->first_channel, get_i64(m, c->lanes)) : get_i64(m, 0);
    find_strip_rows(c, &strip, from, to);
    return strip;
}

static LLVMValueRef pixels_of_row(const Conv *c, LLVMValueRef row) {
    Module *m = c->m;
    LLVMValueRef pixels = get_dim(m, c->columns.input), length = get_i64(m, c->flat_length);
    if (!c->tile->flat_pixels) return pixels;
    return emit_min(m, length, emit_sub(m, pixels, emit_mul(m, row, length)));
}

static void fill_strip(const Conv *c, const Strip *strip) {
    Module *m = c->m;
    LLVMValueRef input = emit_add(m, c->image_offset, emit_mul(m, strip->block, c->block_stride));
    Loop outer = begin_loop(m, get_i64(m, 0), get_i64(m, outer_count(&c->shape, c->tile, c->lanes)), 1);
    LLVMValueRef from = emit_add(m, input, emit_mul(m, outer.index, c->block_stride));
    LLVMValueRef to = emit_mul(m, outer.index, strip->plane);
    Loop rows = begin_loop(m, strip->from, strip->to, step_of_axis(&c->rows));
    from = raw_element(c, c->input, emit_add(m, from, emit_mul(m, rows.index, c->row_stride)));
    to = emit_add(m, to, emit_mul(m, emit_sub(m, rows.index, strip->from), strip->row));
    convert_strip_row(c, from, get_element(m, c->element, strip->address, to), pixels_of_row(c, rows.index));
    end_loop(m, &rows);
    end_loop(m, &outer);
}

void conv_read_strip(Conv *c, LLVMValueRef from, LLVMValueRef to) {
    Module *m = c->m;
    if (c->rows.taps == 0 || c->columns.taps == 0) return;
    Strip strip = find_strip(c, from, to);
    fill_strip(c, &strip);
    c->input = strip.address;
    c->row_stride = strip.row;
    c->block_stride = c->channel_stride = strip.plane;
    c->pixel_stride = c->tile->plain ? 1 : c->lanes;
    LLVMValueRef before =
        emit_add(m, emit_mul(m, strip.from, strip.row), emit_mul(m, strip.block, strip.plane));
    c->image_offset = emit_sub(m, get_i64(m, 0), before);
}
