/* Resampling of the last two axes. Source coordinates follow the rules of op_resize.c
 * exactly: they are fractions of integers, divided in double precision and corrected by
 * the remainder, so that no rounding moves a pixel.
 *
 * A task is a row of the result, of all channels where they are in blocks:
 *
 *     the row's two source rows and their mix
 *     for each vector of columns
 *       their source columns and mixes                  computed once, as vectors, for all channels
 *       for each block of channels                      (plain: one gather for each corner instead)
 *         for each column: mix four corners, epilogue, store
 *
 * Memory is the bound. The transpose adds up, for each place of the source, the results
 * that read it; it tests all results that may do so. */
#include "kernels/window/window.h"

typedef struct Axis { /* coordinate of result i: (i * factor + addend) / bottom, as doubles */
    LLVMValueRef in, out;
    LLVMValueRef factor, addend, bottom, inverse;
} Axis;

/* what some places of the result read: low with weight 1 - part, high with weight part */
typedef struct AxisTaps {
    LLVMValueRef low, high, part;
} AxisTaps;

typedef struct Resample {
    Module *m;
    WindowRows *rows;
    bool nearest, down; /* nearest: takes floor(s), not floor(s + 1/2) */
    Axis axes[2];
} Resample;

static bool name_is(Name a, const char *b) { return strcmp(a, b) == 0; }

static Axis read_resample_axis(Module *m, Name rule, LLVMValueRef in, LLVMValueRef out) {
    Axis axis = {.in = in, .out = out};
    LLVMValueRef one = get_i64(m, 1), zero = get_i64(m, 0), factor = in, addend = zero, bottom = out;
    LLVMValueRef many = LLVMBuildICmp(m->builder, LLVMIntSGT, out, one, "");
    bool half = name_is(rule, "half_pixel"), pytorch = name_is(rule, "pytorch_half_pixel"),
         corners = name_is(rule, "align_corners");
    if (half || pytorch) {
        factor = emit_mul(m, in, get_i64(m, 2));
        addend = LLVMBuildSub(m->builder, in, out, "");
        bottom = emit_mul(m, out, get_i64(m, 2));
    } else if (corners) {
        factor = emit_sub(m, in, one);
        bottom = emit_max(m, emit_sub(m, out, one), one);
    }
    if (pytorch || corners) {
        factor = LLVMBuildSelect(m->builder, many, factor, zero, "");
        addend = LLVMBuildSelect(m->builder, many, addend, zero, "");
    }
    axis.factor = emit_f64(m, factor);
    axis.addend = emit_f64(m, addend);
    axis.bottom = emit_f64(m, bottom);
    axis.inverse = LLVMBuildFDiv(m->builder, LLVMConstReal(m->f64, 1), axis.bottom, "");
    return axis;
}

static Resample resample_of(WindowRows *rows) {
    const Node *node = rows->kernel->anchor;
    const resample_attributes *a = node->attributes; /* resample_input has the same */
    Shape in = node->op == OP_resample ? node->inputs[0]->shape : node->shape;
    Shape out = node->op == OP_resample ? node->shape : node->inputs[0]->shape;
    Resample r = {.m = rows->m,
                  .rows = rows,
                  .nearest = name_is(a->mode, "nearest"),
                  .down = name_is(a->rule, "asymmetric")};
    for (int i = 0; i < 2; i++) {
        int axis = rows->rank - 2 + i;
        r.axes[i] = read_resample_axis(rows->m, a->rule, get_dim(rows->m, in.dims[axis]),
                                       get_dim(rows->m, out.dims[axis]));
    }
    return r;
}

/* ---- where results read ---- */

/* floor(top / bottom) of integers held in doubles. The product with the inverse is off by
 * one at most. */
static LLVMValueRef whole_quotient(Module *m, LLVMValueRef top, LLVMValueRef bottom, LLVMValueRef inverse,
                                   LLVMValueRef *rest) {
    LLVMTypeRef type = LLVMTypeOf(top);
    LLVMValueRef one = get_splat(m, LLVMConstReal(m->f64, 1), get_lanes(type)), zero = LLVMConstNull(type);
    LLVMValueRef q =
        emit_intrinsic(m, "llvm.floor", type, (LLVMValueRef[]){emit_real_op(m, LLVMFMul, top, inverse)}, 1);
    LLVMValueRef left = emit_real_op(m, LLVMFSub, top, emit_real_op(m, LLVMFMul, q, bottom));
    LLVMValueRef above = LLVMBuildFCmp(m->builder, LLVMRealOLT, left, zero, "");
    LLVMValueRef below = LLVMBuildFCmp(m->builder, LLVMRealOGE, left, bottom, "");
    LLVMValueRef lower = emit_real_op(m, LLVMFSub, q, one), higher = emit_real_op(m, LLVMFAdd, q, one);
    q = LLVMBuildSelect(m->builder, above, lower, LLVMBuildSelect(m->builder, below, higher, q, ""), "");
    *rest = emit_real_op(m, LLVMFSub, top, emit_real_op(m, LLVMFMul, q, bottom));
    return q;
}

/* Through 32 bits, for which every target has an instruction; no axis is longer. */
static LLVMValueRef to_place(Module *m, LLVMValueRef real) {
    int lanes = get_lanes(LLVMTypeOf(real));
    LLVMValueRef narrow = LLVMBuildFPToSI(m->builder, real, get_vector(m, m->i32, lanes), "");
    return LLVMBuildSExt(m->builder, narrow, get_vector(m, m->i64, lanes), "");
}

static LLVMValueRef clamped_corner(Module *m, LLVMValueRef at, LLVMValueRef size) {
    int lanes = get_lanes(LLVMTypeOf(at));
    LLVMValueRef last = get_splat(m, emit_sub(m, size, get_i64(m, 1)), lanes);
    return emit_max(m, emit_min(m, at, last), LLVMConstNull(LLVMTypeOf(at)));
}

/* Of results `at`, doubles. */
static AxisTaps emit_taps(const Resample *r, const Axis *axis, LLVMValueRef at) {
    Module *m = r->m;
    int lanes = get_lanes(LLVMTypeOf(at));
    LLVMTypeRef single = get_vector(m, m->f32, lanes);
    LLVMValueRef rest, two = get_splat(m, LLVMConstReal(m->f64, 2), lanes),
                       zero = LLVMConstNull(LLVMTypeOf(at));
    LLVMValueRef bottom = get_splat(m, axis->bottom, lanes), inverse = get_splat(m, axis->inverse, lanes);
    LLVMValueRef top = emit_real_op(m, LLVMFMul, at, get_splat(m, axis->factor, lanes));
    top = emit_real_op(m, LLVMFAdd, top, get_splat(m, axis->addend, lanes));
    if (r->nearest && !r->down) { /* floor(s + 1/2) */
        top = emit_real_op(m, LLVMFAdd, emit_real_op(m, LLVMFMul, top, two), bottom);
        bottom = emit_real_op(m, LLVMFMul, bottom, two);
        inverse = emit_real_op(m, LLVMFDiv, inverse, two);
    }
    LLVMValueRef low =
        clamped_corner(m, to_place(m, whole_quotient(m, top, bottom, inverse, &rest)), axis->in);
    if (r->nearest) return (AxisTaps){low, low, LLVMConstNull(single)};
    LLVMValueRef before = LLVMBuildFCmp(m->builder, LLVMRealOLE, top, zero, "");
    LLVMValueRef next =
        clamped_corner(m, LLVMBuildAdd(m->builder, low, get_splat(m, get_i64(m, 1), lanes), ""), axis->in);
    LLVMValueRef high = LLVMBuildSelect(m->builder, before, low, next, "");
    LLVMValueRef part = LLVMBuildFPTrunc(m->builder, emit_real_op(m, LLVMFDiv, rest, bottom), single, "");
    LLVMValueRef equal = LLVMBuildICmp(m->builder, LLVMIntEQ, low, high, "");
    return (AxisTaps){low, high, LLVMBuildSelect(m->builder, equal, LLVMConstNull(single), part, "")};
}

/* a * (1 - part) + b * part */
static LLVMValueRef emit_corner_mix(Module *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef part) {
    LLVMValueRef one = get_splat(m, get_f32(m, 1), get_lanes(LLVMTypeOf(a)));
    return emit_muladd(m, b, part, emit_real_op(m, LLVMFMul, a, emit_real_op(m, LLVMFSub, one, part)));
}

/* ---- forward ---- */

static LLVMValueRef load_corner(const Resample *r, Point point, LLVMValueRef y, Coord x) {
    point.at[point.rank - 2] = coord_fixed(y);
    point.at[point.rank - 1] = x;
    return load_operand(r->rows, 0, &point);
}

/* The result at a point whose rows and columns read `y` and `x`. */
static LLVMValueRef emit_corners(const Resample *r, const Point *point, const AxisTaps *y, Coord low,
                                 Coord high, LLVMValueRef part) {
    Module *m = r->m;
    LLVMValueRef corner = load_corner(r, *point, y->low, low);
    if (r->nearest) return corner;
    LLVMValueRef above = emit_corner_mix(m, corner, load_corner(r, *point, y->low, high), part);
    LLVMValueRef below =
        emit_corner_mix(m, load_corner(r, *point, y->high, low), load_corner(r, *point, y->high, high), part);
    return emit_corner_mix(m, above, below, get_splat(m, y->part, point->lanes));
}

/* Column j of the vector of columns at `x`, for each block of channels. */
static void emit_blocked_columns(Resample *r, const AxisTaps *y, LLVMValueRef x,
                                 const LLVMValueRef stack[3]) {
    Module *m = r->m;
    WindowRows *rows = r->rows;
    int lanes = rows->lanes;
    int64_t blocks = ceil_div(dim_const_value(rows->kernel->anchor->shape.dims[1]), lanes);
    Loop block = begin_loop(m, get_i64(m, 0), get_i64(m, blocks), 1);
    Point point = rows->point;
    rows->point.mask = NULL;
    point.at[1] = coord_block(rows, block.index);
    LLVMValueRef count = emit_min(m, get_i64(m, lanes), emit_sub(m, rows->width, x));
    Loop column = begin_loop(m, get_i64(m, 0), count, 1);
    LLVMValueRef low = emit_load(m, m->i64, get_element(m, m->i64, stack[0], column.index));
    LLVMValueRef high = emit_load(m, m->i64, get_element(m, m->i64, stack[1], column.index));
    LLVMValueRef part =
        get_splat(m, emit_load(m, m->f32, get_element(m, m->f32, stack[2], column.index)), lanes);
    LLVMValueRef value = emit_corners(r, &point, y, coord_fixed(low), coord_fixed(high), part);
    point.mask = rows->point.mask;
    point.at[point.rank - 1] = coord_fixed(emit_add(m, x, column.index));
    emit_epilogue_store(&rows->epilogue, &point, value);
    end_loop(m, &column);
    end_loop(m, &block);
}

static LLVMValueRef real_places(Module *m, LLVMValueRef x, int lanes) {
    LLVMValueRef lane[64];
    for (int i = 0; i < lanes; i++) lane[i] = LLVMConstReal(m->f64, i);
    LLVMValueRef steps = lanes == 1 ? lane[0] : LLVMConstVector(lane, (unsigned)lanes);
    return emit_real_op(m, LLVMFAdd, get_splat(m, emit_f64(m, x), lanes), steps);
}

static void emit_resampled_columns(Resample *r, const AxisTaps *y, const AxisTaps *x, LLVMValueRef at) {
    Module *m = r->m;
    WindowRows *rows = r->rows;
    Point point = rows->point;
    point.mask = emit_lane_mask(m, emit_sub(m, rows->width, at), rows->lanes);
    LLVMValueRef value =
        emit_corners(r, &point, y, (Coord){.vector = x->low}, (Coord){.vector = x->high}, x->part);
    point.at[point.rank - 1] = coord_lanes(at, 1);
    emit_epilogue_store(&rows->epilogue, &point, value);
}

static void emit_resample_row(Resample *r, const LLVMValueRef stack[3]) {
    Module *m = r->m;
    WindowRows *rows = r->rows;
    int lanes = rows->lanes;
    AxisTaps y = emit_taps(r, &r->axes[0], emit_f64(m, rows->point.at[rows->rank - 2].base));
    Loop loop = begin_loop(m, get_i64(m, 0), rows->width, lanes);
    AxisTaps x = emit_taps(r, &r->axes[1], real_places(m, loop.index, lanes));
    if (rows->blocked) {
        emit_store(m, x.low, stack[0]);
        emit_store(m, x.high, stack[1]);
        emit_aligned_store(m, x.part, stack[2]);
        emit_blocked_columns(r, &y, loop.index, stack);
    } else {
        emit_resampled_columns(r, &y, &x, loop.index);
    }
    end_loop(m, &loop);
}

Dim count_resample_rows(const Kernel *kernel) {
    Dims *dims = kernel->program->graph->dims;
    Shape shape = kernel->anchor->shape;
    if (!is_blocked(kernel->output)) return count_rows(kernel, 1);
    return dim_mul(dims, shape.dims[0], shape.dims[2]);
}

static void find_blocked_row(WindowRows *rows, LLVMValueRef number) {
    LLVMValueRef height = get_dim(rows->m, rows->kernel->anchor->shape.dims[2]);
    rows->point.at[0] = coord_fixed(emit_div(rows->m, number, height));
    rows->point.at[2] = coord_fixed(emit_rem(rows->m, number, height));
}

static void emit_plain_row(WindowRows *rows) {
    Resample r = resample_of(rows);
    emit_resample_row(&r, NULL);
}

LLVMValueRef emit_resample(Module *m, const Kernel *kernel) {
    if (!is_blocked(kernel->output)) return emit_rows(m, kernel, emit_plain_row);
    LLVMValueRef function = begin_kernel(m, kernel->name);
    int lanes = m->target->lanes;
    WindowRows rows = {.m = m,
                       .kernel = kernel,
                       .epilogue = {.module = m, .kernel = kernel},
                       .rank = 4,
                       .lanes = lanes,
                       .blocked = true};
    rows.point = (Point){.rank = 4, .lanes = lanes};
    rows.width = get_dim(m, kernel->anchor->shape.dims[3]);
    Resample r = resample_of(&rows);
    LLVMValueRef stack[3] = {emit_stack(m, m->i64, lanes), emit_stack(m, m->i64, lanes),
                             emit_stack(m, m->f32, lanes)};
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    find_blocked_row(&rows, tasks.index);
    emit_resample_row(&r, stack);
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}

/* ---- transposed ---- */

/* The results that may read place `at` (a double): the first, and at most how many to
 * try. Their s(i) is within 1 of it. */
static LLVMValueRef first_reader(const Resample *r, const Axis *axis, LLVMValueRef at) {
    Module *m = r->m;
    int lanes = get_lanes(LLVMTypeOf(at));
    LLVMTypeRef type = LLVMTypeOf(at);
    LLVMValueRef one = get_splat(m, LLVMConstReal(m->f64, 1), lanes), zero = LLVMConstNull(type);
    LLVMValueRef bottom = get_splat(m, axis->bottom, lanes), addend = get_splat(m, axis->addend, lanes);
    LLVMValueRef least = emit_real_op(
        m, LLVMFSub, emit_real_op(m, LLVMFMul, emit_real_op(m, LLVMFSub, at, one), bottom), addend);
    LLVMValueRef quotient = emit_real_op(m, LLVMFDiv, least, get_splat(m, axis->factor, lanes));
    LLVMValueRef from = emit_real_op(m, LLVMFSub, emit_intrinsic(m, "llvm.floor", type, &quotient, 1), one);
    LLVMValueRef none = LLVMBuildFCmp(m->builder, LLVMRealOLE, get_splat(m, axis->factor, lanes), zero, "");
    LLVMValueRef negative = LLVMBuildFCmp(m->builder, LLVMRealOGT, from, zero, "");
    return LLVMBuildSelect(m->builder, none, zero, LLVMBuildSelect(m->builder, negative, from, zero, ""), "");
}

static LLVMValueRef reader_count(const Resample *r, const Axis *axis) {
    Module *m = r->m;
    LLVMValueRef span = emit_real_op(
        m, LLVMFDiv, emit_real_op(m, LLVMFMul, LLVMConstReal(m->f64, 2), axis->bottom), axis->factor);
    LLVMValueRef all = emit_f64(m, axis->out),
                 some = emit_real_op(m, LLVMFAdd, span, LLVMConstReal(m->f64, 4));
    LLVMValueRef fewer = LLVMBuildFCmp(m->builder, LLVMRealOLT, some, all, ""); /* false where factor is 0 */
    return to_place(m, LLVMBuildSelect(m->builder, fewer, some, all, ""));
}

/* The weight with which result `at` reads `place`, 0 where there is no such result. */
static LLVMValueRef reader_weight(const Resample *r, const Axis *axis, LLVMValueRef at, LLVMValueRef place) {
    Module *m = r->m;
    LLVMBuilderRef b = m->builder;
    int lanes = get_lanes(LLVMTypeOf(at));
    LLVMTypeRef single = get_vector(m, m->f32, lanes);
    AxisTaps taps = emit_taps(r, axis, at);
    LLVMValueRef zero = LLVMConstNull(single), one = get_splat(m, get_f32(m, 1), lanes);
    LLVMValueRef is_low = LLVMBuildICmp(b, LLVMIntEQ, taps.low, place, "");
    LLVMValueRef low = LLVMBuildSelect(b, is_low, emit_real_op(m, LLVMFSub, one, taps.part), zero, "");
    LLVMValueRef high =
        LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntEQ, taps.high, place, ""), taps.part, zero, "");
    LLVMValueRef there = LLVMBuildFCmp(b, LLVMRealOLT, at, get_splat(m, emit_f64(m, axis->out), lanes), "");
    return LLVMBuildSelect(b, there, emit_real_op(m, LLVMFAdd, low, high), zero, "");
}

static LLVMValueRef to_real_vector(Module *m, LLVMValueRef places) {
    return LLVMBuildSIToFP(m->builder, places, get_vector(m, m->f64, get_lanes(LLVMTypeOf(places))), "");
}

static void add_readers(Resample *r, const Point *at, LLVMValueRef y, LLVMValueRef y_weight,
                        LLVMValueRef place, LoopCarried *sum) {
    Module *m = r->m;
    WindowRows *rows = r->rows;
    int lanes = rows->lanes, across = get_lanes(LLVMTypeOf(place));
    const Axis *axis = &r->axes[1];
    LLVMValueRef from = first_reader(r, axis, to_real_vector(m, place));
    Loop loop = begin_loop_carried(m, sum, get_i64(m, 0), reader_count(r, axis), 1);
    LLVMValueRef x = emit_real_op(m, LLVMFAdd, from, get_splat(m, emit_f64(m, loop.index), across));
    LLVMValueRef weight =
        emit_real_op(m, LLVMFMul, reader_weight(r, axis, x, place), get_splat(m, y_weight, across));
    Point point = *at;
    LLVMValueRef column = clamped_corner(m, to_place(m, x), axis->out);
    point.at[rows->rank - 2] = coord_fixed(y);
    point.at[rows->rank - 1] = across > 1 ? (Coord){.vector = column} : coord_fixed(column);
    point.mask = NULL;
    LLVMValueRef dy = load_operand(rows, 0, &point);
    sum->at[0] = emit_muladd(m, across > 1 ? weight : get_splat(m, weight, lanes), dy, sum->at[0]);
    end_loop_carried(m, &loop, sum);
}

static void add_reading_rows(Resample *r, const Point *at, LLVMValueRef place, LoopCarried *sum) {
    Module *m = r->m;
    const Axis *axis = &r->axes[0];
    LLVMValueRef row = at->at[r->rows->rank - 2].base, from = first_reader(r, axis, emit_f64(m, row));
    Loop loop = begin_loop_carried(m, sum, get_i64(m, 0), reader_count(r, axis), 1);
    LLVMValueRef y = emit_real_op(m, LLVMFAdd, from, emit_f64(m, loop.index)),
                 weight = reader_weight(r, axis, y, row);
    Loop reads =
        begin_loop_carried_if(m, sum, LLVMBuildFCmp(m->builder, LLVMRealUNE, weight, get_f32(m, 0), ""));
    add_readers(r, at, to_place(m, y), weight, place, sum);
    end_loop_carried(m, &reads, sum);
    end_loop_carried(m, &loop, sum);
}

void emit_resample_transposed_row(WindowRows *rows) {
    Module *m = rows->m;
    Resample r = resample_of(rows);
    Loop loop = begin_loop(m, get_i64(m, 0), rows->width, rows->blocked ? 1 : rows->lanes);
    Point at = rows->point;
    at.at[rows->rank - 1] = row_coord(rows, loop.index);
    if (!rows->blocked) at.mask = emit_lane_mask(m, emit_sub(m, rows->width, loop.index), rows->lanes);
    LoopCarried sum = {.count = 1};
    sum.at[0] = LLVMConstNull(get_vector(m, m->f32, rows->lanes));
    LLVMValueRef place = get_coord_vector(m, &at.at[rows->rank - 1], rows->blocked ? 1 : rows->lanes);
    add_reading_rows(&r, &at, place, &sum);
    emit_epilogue_store(&rows->epilogue, &at, sum.at[0]);
    end_loop(m, &loop);
}
