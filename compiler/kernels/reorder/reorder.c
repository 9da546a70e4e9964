/* The kind `reorder`: packs a weight that the run computes into its format, which
 * plan/format.h describes, before the first kernel that reads it (plan/schedule.c).
 *
 *     task: a cell of the format
 *       for each of its other axes                         rolled
 *         for each block of lanes                          rolled: what lies side by side is written together
 *           for each `lanes` places of the line            rolled
 *             rows[lanes] = load                           a lane's places of the line, side by side
 *             transpose in registers
 *             store each vector                            one place of the line, all lanes
 *
 * The line is the axis along which the elements of the weight are contiguous: inputs, or
 * taps. If the lanes themselves are contiguous, vectors are copied; if neither is, rows
 * are gathered one by one. For Winograd, a line consists of all taps:
 *
 *     task: a cell, all inputs of a tile
 *       for each run of inputs
 *         for each input, each block of lanes: the taps, transposed, to the stack
 *         for each parity, each row of its planes            rows unrolled
 *           for each input and block of lanes                rolled
 *             G down: a number for each column of taps; G across, store each to its plane
 *
 * Planes are far apart, usually by a power of two, so that their lines fall into few sets
 * of L1. So one row of planes is written at a time, for a run of inputs. (With AVX2,
 * whose blocks are half lines, writing all 36 planes for one input and block after the
 * other reached 12 GB/s.) Taps are far apart, too, and are prefetched a run ahead.
 *
 * Lanes without an element read another element, and are stored as zeros. Bound: memory;
 * below 16 taps, one shuffle for each element. */
#include "kernels/reorder/reorder.h"

#include "kernels/winograd/conv_winograd.h"

/* Inputs that Winograd transforms together; and so many places ahead rows are asked
 * for. */
enum { RUN = 8 };

typedef struct Reorder {
    Module *m;
    const Kernel *kernel;
    const Format *format;
    const Value *from;
    DType type; /* of the output */
    int lanes, lane_axis, line_axis;
    LLVMValueRef input, output;
    /* of the cell, by axis */
    LLVMValueRef first[MAX_FORMAT_AXES], extent[MAX_FORMAT_AXES], stride[MAX_FORMAT_AXES];
    LLVMValueRef at[MAX_FORMAT_AXES]; /* the place */
    LLVMValueRef to;     /* element of the output at that place, of the first of the line and the lanes */
    LLVMValueRef base;   /* address of the weight there, at the beginning of the line's axis */
    LLVMValueRef exists; /* lanes that have an element; NULL: all */
    LLVMValueRef taps;   /* of Winograd, on the stack: vectors for each input of a run and block */
    int64_t tap_count;
    bool streamed; /* of Winograd: stores past the caches */
} Reorder;

/* ---- choice ---- */

bool reorder_propose(const Kernel *kernel, Proposal *proposal) {
    const Format *format = kernel->output->format;
    if (!is_packed(kernel->output)) return false;
    proposal->inputs[0] = (OperandPreference){&format_plain, STRIDES_ANY};
    proposal->cycles = reorder_cycles(kernel->program, kernel->output->node, &format_plain, format);
    return true;
}

void reorder_settle(Program *program, Kernel *kernel) {
    const Format *format = kernel->output->format;
    kernel->tasks = dim_const(program->graph->dims, format_cells(format, kernel->output->node));
    kernel_set_name(kernel, "reorder_%s", format->name);
}

/* ---- where elements lie in the weight ---- */

static int64_t reorder_size(const Reorder *r, int axis) {
    return format_size(r->format, r->from->node, axis);
}

static int64_t padded_size(const Reorder *r, int axis) {
    return format_padded(r->format, r->from->node, axis);
}

static LLVMValueRef node_stride(const Reorder *r, int axis) { return get_dim(r->m, r->from->strides[axis]); }

/* Whether the axis' places are as far apart at the end of each axis of the node as
 * elsewhere. */
static bool is_even(const Reorder *r, const FormatAxis *axis) {
    Dims *dims = r->kernel->program->graph->dims;
    const Value *from = r->from;
    for (int i = axis->first; i < axis->last; i++)
        if (from->strides[i] != dim_mul(dims, from->node->shape.dims[i + 1], from->strides[i + 1]))
            return false;
    return true;
}

static bool is_adjacent(const Reorder *r, int axis) {
    const FormatAxis *a = &r->format->axes[axis];
    int64_t stride;
    bool rotated = r->format->rotation && axis <= 1;
    return !rotated && is_even(r, a) && dim_is_const(r->from->strides[a->last], &stride) &&
           stride * a->step == 1;
}

/* The distance from the first place of an axis to place `at`, in elements. */
static LLVMValueRef emit_way(const Reorder *r, int axis, LLVMValueRef at) {
    Module *m = r->m;
    const FormatAxis *a = &r->format->axes[axis];
    if (is_even(r, a)) return emit_mul(m, at, emit_mul(m, get_i64(m, a->step), node_stride(r, a->last)));
    LLVMValueRef way = get_i64(m, 0);
    for (int i = a->last; i >= a->first; i--)
        way = emit_add(
            m, way,
            emit_mul(m, take_part(m, &at, get_dim(m, r->from->node->shape.dims[i])), node_stride(r, i)));
    return way;
}

/* The distance from the first lane to another, in elements; for a lane without an
 * element, to a lane of the first's group that has one. */
static LLVMValueRef emit_lane_way(const Reorder *r, int lane) {
    Module *m = r->m;
    int64_t rotation = r->format->rotation, place = rotation ? lane % rotation : 0;
    LLVMValueRef number = get_i64(m, lane);
    if (r->exists) {
        LLVMValueRef at = emit_add(m, r->at[r->lane_axis], number);
        LLVMValueRef inside =
            LLVMBuildICmp(m->builder, LLVMIntSLT, at, get_i64(m, reorder_size(r, r->lane_axis)), "");
        number = LLVMBuildSelect(m->builder, inside, number, get_i64(m, place), "");
    }
    if (!rotation) return emit_way(r, r->lane_axis, number);
    LLVMValueRef turned = emit_add(m, r->at[1], get_i64(m, place)),
                 back = emit_sub(m, turned, get_i64(m, rotation));
    LLVMValueRef over = LLVMBuildICmp(m->builder, LLVMIntSGE, back, get_i64(m, 0), "");
    turned = LLVMBuildSelect(m->builder, over, back, turned, "");
    if (r->format->transposed)
        return emit_add(m, emit_mul(m, number, node_stride(r, 0)), emit_mul(m, turned, node_stride(r, 1)));
    LLVMValueRef output = emit_add(m, emit_sub(m, number, get_i64(m, place)), turned);
    return emit_add(m, emit_mul(m, output, node_stride(r, 0)),
                    emit_mul(m, get_i64(m, place), node_stride(r, 1)));
}

static LLVMValueRef element_at(const Reorder *r, LLVMValueRef base, LLVMValueRef index) {
    return get_element(r->m, get_memory_type(r->m, r->type), base, index);
}

/* An element of the weight, which has the type of its node. */
static LLVMValueRef weight_element(const Reorder *r, LLVMValueRef base, LLVMValueRef index) {
    return get_element(r->m, get_memory_type(r->m, r->from->node->shape.type), base, index);
}

static LLVMValueRef load_weights(const Reorder *r, LLVMValueRef address, int lanes, LLVMValueRef mask) {
    return emit_load_as(r->m, r->from->node->shape.type, r->type, address, lanes, false, mask);
}

static LLVMTypeRef reorder_vector(const Reorder *r) { return get_register_type(r->m, r->type, r->lanes); }

/* ---- `count` places of the line, from `place` on, as vectors of lanes ---- */

static void load_adjacent_lanes(const Reorder *r, LLVMValueRef place, int count, LLVMValueRef *vectors) {
    for (int k = 0; k < count; k++) {
        LLVMValueRef way = emit_way(r, r->line_axis, emit_add(r->m, place, get_i64(r->m, k)));
        vectors[k] = load_weights(r, weight_element(r, r->base, way), r->lanes, r->exists);
    }
}

static void load_adjacent_line(const Reorder *r, LLVMValueRef place, int count, LLVMValueRef *vectors) {
    Module *m = r->m;
    LLVMValueRef rows[64], mask = count < r->lanes ? emit_lane_mask(m, get_i64(m, count), r->lanes) : NULL;
    LLVMValueRef line = weight_element(r, r->base, place);
    for (int l = 0; l < r->lanes; l++)
        rows[l] = load_weights(r, weight_element(r, line, emit_lane_way(r, l)), r->lanes, mask);
    emit_transpose(m, rows, r->lanes);
    memcpy(vectors, rows, sizeof *rows * (size_t)count);
}

static void load_one_by_one(const Reorder *r, LLVMValueRef place, int count, LLVMValueRef *vectors) {
    Module *m = r->m;
    for (int k = 0; k < count; k++) {
        LLVMValueRef at = emit_add(m, place, get_i64(m, k));
        LLVMValueRef line = weight_element(r, r->base, emit_way(r, r->line_axis, at));
        vectors[k] = LLVMGetPoison(reorder_vector(r));
        for (int l = 0; l < r->lanes; l++) {
            LLVMValueRef x = load_weights(r, weight_element(r, line, emit_lane_way(r, l)), 1, NULL);
            vectors[k] = LLVMBuildInsertElement(m->builder, vectors[k], x, get_i32(m, l), "");
        }
    }
}

/* At most as many as there are lanes. */
static void load_vectors(const Reorder *r, LLVMValueRef place, int count, LLVMValueRef *vectors) {
    if (is_adjacent(r, r->lane_axis)) load_adjacent_lanes(r, place, count, vectors);
    else if (is_adjacent(r, r->line_axis)) load_adjacent_line(r, place, count, vectors);
    else load_one_by_one(r, place, count, vectors);
    for (int k = 0; k < count && r->exists; k++)
        vectors[k] =
            LLVMBuildSelect(r->m->builder, r->exists, vectors[k], LLVMConstNull(reorder_vector(r)), "");
}

/* ---- the line ---- */

static LLVMValueRef output_at(const Reorder *r, LLVMValueRef place) {
    return element_at(r, r->output, emit_add(r->m, r->to, emit_mul(r->m, place, r->stride[r->line_axis])));
}

static void copy_places(const Reorder *r, LLVMValueRef from, int count) {
    LLVMValueRef vectors[64];
    load_vectors(r, emit_add(r->m, r->first[r->line_axis], from), count, vectors);
    for (int k = 0; k < count; k++)
        emit_aligned_store(r->m, vectors[k], output_at(r, emit_add(r->m, from, get_i64(r->m, k))));
}

static void copy_reordered_line(const Reorder *r, int64_t length) {
    Module *m = r->m;
    int64_t whole = length / r->lanes * r->lanes;
    if (whole) {
        Loop loop = begin_loop(m, get_i64(m, 0), get_i64(m, whole), r->lanes);
        copy_places(r, loop.index, r->lanes);
        end_loop(m, &loop);
    }
    if (length > whole) copy_places(r, get_i64(m, whole), (int)(length - whole));
}

/* The length of the line is different only in the last block of cells. */
static void emit_line(const Reorder *r) {
    Module *m = r->m;
    int64_t size = reorder_size(r, r->line_axis), whole = size, rest = 0;
    for (int i = 0; i < format_outer_levels(r->format); i++)
        if (r->format->levels[i].axis == r->line_axis) whole = min_i64(r->format->levels[i].block, size);
    rest = whole ? size % whole : 0;
    if (!rest) {
        copy_reordered_line(r, whole);
    } else {
        Branch last =
            begin_if(m, LLVMBuildICmp(m->builder, LLVMIntEQ, r->extent[r->line_axis], get_i64(m, rest), ""));
        copy_reordered_line(r, rest);
        begin_else(m, &last);
        copy_reordered_line(r, whole);
        end_if(m, &last);
    }
}

/* ---- the walk ---- */

/* The address of the weight at the current place of all axes but the line's and the
 * lanes'. */
static LLVMValueRef emit_base(const Reorder *r) {
    LLVMValueRef at = get_i64(r->m, 0);
    for (int a = r->format->rotation ? 2 : 0; a < r->format->axis_count; a++)
        if (a != r->line_axis && a != r->lane_axis) at = emit_add(r->m, at, emit_way(r, a, r->at[a]));
    return weight_element(r, r->input, at);
}

/* Sets the place of the cell's lanes from `lane` on, where `base` and `to` give the place
 * on all other axes. */
static void set_block(Reorder *r, LLVMValueRef base, LLVMValueRef to, LLVMValueRef lane) {
    Module *m = r->m;
    int64_t size = reorder_size(r, r->lane_axis);
    LLVMValueRef at = r->at[r->lane_axis] = emit_add(m, r->first[r->lane_axis], lane);
    r->to = emit_add(m, to, lane);
    r->base = weight_element(r, base, emit_way(r, r->lane_axis, at));
    if (padded_size(r, r->lane_axis) > size)
        r->exists = emit_lane_mask(m, emit_sub(m, get_i64(m, size), at), r->lanes);
}

/* Asks for the rows of all lanes that are read RUN places of the axis later, which no
 * hardware follows. */
static void prefetch_rows_ahead(Reorder *r, int axis) {
    Module *m = r->m;
    LLVMValueRef here = r->at[axis];
    r->at[axis] = emit_affine(m, here, 1, RUN);
    LLVMValueRef base = weight_element(r, emit_base(r), emit_way(r, r->lane_axis, r->at[r->lane_axis]));
    for (int l = 0; l < r->lanes; l++) emit_prefetch(m, weight_element(r, base, emit_lane_way(r, l)), 2);
    r->at[axis] = here;
}

/* The axis of the innermost loop around lines, or -1. */
static int find_inner_axis(const Reorder *r) {
    for (int i = r->format->level_count - 1; i >= format_outer_levels(r->format); i--) {
        int axis = r->format->levels[i].axis;
        if (axis != r->line_axis && axis != r->lane_axis) return axis;
    }
    return -1;
}

static void emit_lane_blocks(Reorder *r, LLVMValueRef to) {
    bool in_rows = is_adjacent(r, r->line_axis) && !is_adjacent(r, r->lane_axis);
    int inner = in_rows ? find_inner_axis(r) : -1;
    LLVMValueRef base = emit_base(r);
    Loop loop = begin_loop(r->m, get_i64(r->m, 0), r->extent[r->lane_axis], r->lanes);
    set_block(r, base, to, loop.index);
    if (inner >= 0) prefetch_rows_ahead(r, inner);
    emit_line(r);
    end_loop(r->m, &loop);
}

/* ---- Winograd ---- */

static void keep_taps(const Reorder *r, LLVMValueRef taps) {
    Module *m = r->m;
    LLVMValueRef vectors[64];
    for (int at = 0; at < r->tap_count; at += r->lanes) {
        int count = (int)min_i64(r->lanes, r->tap_count - at);
        load_vectors(r, get_i64(m, at), count, vectors);
        for (int k = 0; k < count; k++) {
            int64_t tap = r->format->transposed ? r->tap_count - 1 - at - k : at + k;
            emit_aligned_store(m, vectors[k], element_at(r, taps, get_i64(m, tap * r->lanes)));
        }
    }
}

/* Keeps the taps of `count` inputs from `input` on, on the stack. */
static void keep_inputs(Reorder *r, LLVMValueRef input, LLVMValueRef count) {
    Module *m = r->m;
    LLVMValueRef width = r->extent[WINOGRAD_OUTPUTS];
    Loop inputs = begin_loop(m, get_i64(m, 0), count, 1);
    r->at[WINOGRAD_INPUTS] = emit_add(m, emit_add(m, r->first[WINOGRAD_INPUTS], input), inputs.index);
    LLVMValueRef base = emit_base(r), number = emit_mul(m, inputs.index, width);
    Loop blocks = begin_loop(m, get_i64(m, 0), width, r->lanes);
    set_block(r, base, get_i64(m, 0), blocks.index);
    prefetch_rows_ahead(r, WINOGRAD_INPUTS);
    keep_taps(r, element_at(r, r->taps, emit_affine(m, emit_add(m, number, blocks.index), r->tap_count, 0)));
    end_loop(m, &blocks);
    end_loop(m, &inputs);
}

/* What L3 would not hold passes by the caches, where a vector is a line. */
static bool is_streamed(const Reorder *r) {
    const Target *t = r->m->target;
    if (!r->format->winograd) return false;
    return t->vector_bytes == LINE_BYTES && format_bytes(r->format, r->from->node) > t->l3_bytes;
}

/* A parity of a run of `count` inputs: `taps` and `to` are the first's. */
static void emit_parity(Reorder *r, LLVMValueRef parity, LLVMValueRef count, LLVMValueRef to,
                        LLVMValueRef plane) {
    Module *m = r->m;
    Winograd w = format_winograd(r->format, r->from->node);
    int64_t by = r->format->stride, side = dim_const_value(r->from->node->shape.dims[3]), lanes = r->lanes;
    LLVMValueRef row = parity, column = by > 1 ? take_part(m, &row, get_i64(m, by)) : get_i64(m, 0);
    LLVMValueRef first = emit_affine(m, emit_add(m, emit_mul(m, row, get_i64(m, side)), column), lanes, 0);
    LLVMValueRef width = r->extent[WINOGRAD_OUTPUTS];
    for (int y = 0; y < w.size; y++) {
        Loop loop = begin_loop(m, get_i64(m, 0), emit_mul(m, count, width), lanes);
        LLVMValueRef taps =
            element_at(r, r->taps, emit_add(m, first, emit_affine(m, loop.index, r->tap_count, 0)));
        winograd_emit_weights(m, &w, y, taps, by * side * lanes, by * lanes, element_at(r, to, loop.index),
                              plane, r->streamed ? emit_streamed_store : emit_aligned_store);
        end_loop(m, &loop);
    }
}

/* A transposed convolution has a cell for each parity. */
static void emit_parities(Reorder *r, LLVMValueRef count, LLVMValueRef to) {
    Module *m = r->m;
    Winograd w = format_winograd(r->format, r->from->node);
    int parities = format_parities(r->format);
    LLVMValueRef place = r->stride[WINOGRAD_TAPS];
    if (r->format->transposed) {
        LLVMValueRef planes = get_i64(m, winograd_planes(&w));
        emit_parity(r, emit_div(m, r->first[WINOGRAD_TAPS], planes), count, to, place);
        return;
    }
    LLVMValueRef plane = emit_mul(m, place, get_i64(m, parities));
    Loop loop = begin_loop(m, get_i64(m, 0), get_i64(m, parities), 1);
    emit_parity(r, loop.index, count, element_at(r, to, emit_mul(m, loop.index, place)), plane);
    end_loop(m, &loop);
}

/* Inputs `begin` .. `end` of the cell. */
static void emit_transformed(Reorder *r, LLVMValueRef to, LLVMValueRef begin, LLVMValueRef end) {
    Module *m = r->m;
    Loop runs = begin_loop(m, begin, end, RUN);
    LLVMValueRef count = emit_min(m, get_i64(m, RUN), emit_sub(m, end, runs.index));
    keep_inputs(r, runs.index, count);
    LLVMValueRef first = emit_add(m, to, emit_mul(m, runs.index, r->stride[WINOGRAD_INPUTS]));
    emit_parities(r, count, element_at(r, r->output, first));
    end_loop(m, &runs);
}

/* The loops over the cell's other axes, from level `level` on. */
static void emit_level_places(Reorder *r, int level, LLVMValueRef to) {
    Module *m = r->m;
    if (level == r->format->level_count) {
        emit_lane_blocks(r, to);
        return;
    }
    int axis = r->format->levels[level].axis;
    if (axis == r->line_axis || axis == r->lane_axis) {
        emit_level_places(r, level + 1, to);
        return;
    }
    Loop loop = begin_loop(m, get_i64(m, 0), r->extent[axis], 1);
    r->at[axis] = emit_add(m, r->first[axis], loop.index);
    emit_level_places(r, level + 1, emit_add(m, to, emit_mul(m, loop.index, r->stride[axis])));
    end_loop(m, &loop);
}

/* Elements of a cell, or of a block of an outer level, for one place of `axis`. */
static LLVMValueRef emit_others(const Reorder *r, int axis) {
    LLVMValueRef product = get_i64(r->m, 1);
    for (int a = 0; a < r->format->axis_count; a++)
        if (a != axis) product = emit_mul(r->m, product, r->extent[a]);
    return product;
}

/* Finds the places of each axis in the cell, and its first element of the output. */
static LLVMValueRef find_reordered_cell(Reorder *r, LLVMValueRef cell) {
    Module *m = r->m;
    const Format *format = r->format;
    int outer = format_outer_levels(format);
    LLVMValueRef block[MAX_FORMAT_LEVELS], to = get_i64(m, 0), stride = get_i64(m, 1);
    for (int a = 0; a < format->axis_count; a++) {
        r->first[a] = get_i64(m, 0);
        r->extent[a] = get_i64(m, padded_size(r, a));
    }
    for (int i = outer - 1; i >= 0; i--)
        block[i] = take_part(m, &cell, get_i64(m, format_blocks(format, r->from->node, i)));
    for (int i = 0; i < outer; i++) {
        int axis = format->levels[i].axis;
        int64_t each = format->levels[i].block, padded = padded_size(r, axis);
        r->first[axis] = r->at[axis] = emit_affine(m, block[i], each, 0);
        to = emit_add(m, to, emit_mul(m, r->first[axis], emit_others(r, axis)));
        r->extent[axis] = get_i64(m, min_i64(each, padded));
        if (padded > each && padded % each)
            r->extent[axis] = emit_min(m, r->extent[axis], emit_sub(m, get_i64(m, padded), r->first[axis]));
    }
    for (int i = format->level_count - 1; i >= outer; i--) {
        int axis = format->levels[i].axis;
        r->stride[axis] = stride;
        stride = emit_mul(m, stride, r->extent[axis]);
    }
    return to;
}

/* The axis other than the lanes' along which the elements of the weight are contiguous,
 * the longest of several; or any axis. */
static int find_reordered_line(const Reorder *r) {
    const Format *format = r->format;
    int outer = format_outer_levels(format), line = format->levels[outer].axis;
    if (format->winograd) return WINOGRAD_TAPS;
    for (int i = outer; i < format->level_count; i++) {
        int axis = format->levels[i].axis;
        bool longer = !is_adjacent(r, line) || reorder_size(r, axis) > reorder_size(r, line);
        if (axis != r->lane_axis && is_adjacent(r, axis) && longer) line = axis;
    }
    return line;
}

/* Lanes of a tile of outputs, by the outermost of their levels. */
static int64_t width_of_tile(const Format *format) {
    int level = 0;
    while (format->levels[level].axis != WINOGRAD_OUTPUTS) level++;
    return format->levels[level].block;
}

static Reorder begin_reorder(Module *m, const Kernel *kernel, const Value *from, const Format *format) {
    Reorder r = {.m = m, .kernel = kernel, .format = format, .from = from, .lanes = m->target->lanes};
    r.lane_axis = format->levels[format->level_count - 1].axis;
    r.line_axis = find_reordered_line(&r);
    r.type = format_type(format, from->node);
    if (!format->winograd) return r;
    r.tap_count = format_size(format, from->node, WINOGRAD_TAPS);
    r.taps = emit_stack(m, get_register_type(m, r.type, 1), r.tap_count * RUN * width_of_tile(format));
    return r;
}

LLVMValueRef reorder_emit(Module *m, const Kernel *kernel) {
    LLVMValueRef function = begin_kernel(m, kernel->name);
    const Format *format = kernel->output->format;
    Reorder r = begin_reorder(m, kernel, kernel->inputs[0], format);
    r.output = get_argument(m, 0);
    r.input = get_argument(m, 1);
    r.streamed = is_streamed(&r);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef to = find_reordered_cell(&r, tasks.index);
    if (format->winograd) emit_transformed(&r, to, get_i64(m, 0), r.extent[WINOGRAD_INPUTS]);
    else emit_level_places(&r, format_outer_levels(format), to);
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}

void emit_winograd_cell(Module *m, const Kernel *kernel, const WinogradCell *cell) {
    Reorder r = begin_reorder(m, kernel, kernel->inputs[1], cell->format);
    r.input = cell->weight;
    r.output = cell->to;
    find_reordered_cell(&r, cell->number);
    emit_transformed(&r, get_i64(m, 0), cell->begin, cell->end);
}
