/* max_pool_scatter over two axes where lanes are channels, a row of the map at a time.
 * Windows overlap where the stride is below the kernel: then a row is covered by several
 * rows of windows, `lines`, and a place of it by several windows of each.
 *
 *     for each group g of `stride` columns, from the one at which window 0 begins on
 *       for each line: window g is searched: number of the tap with its first maximum, and its dy
 *       for each column of the group
 *         sum of the dy of those windows, g and before, whose maximum is here   store
 *
 * What was found of the windows before stays in registers. So a window is searched once
 * for each row of the map that it covers; memory is the bound where it is searched twice
 * (3x3, stride 2), the search where more often. Only the first and last groups ask which
 * of their taps and columns are on the map. */
#include "kernels/window/window.h"

enum { MAX_TAPS = 16, MAX_LINES = 4 };

typedef struct Line { /* a row of windows that may cover the row */
    LLVMValueRef exists, number;
    LLVMValueRef on_map[MAX_TAPS], at[MAX_TAPS]; /* of taps down: whether, and at which row if so */
    /* the first row on the map, and the number of its first tap */
    LLVMValueRef first, first_tap;
    LLVMValueRef before; /* taps in rows above this one, a vector */
} Line;

typedef struct Found {
    LLVMValueRef tap, dy;
} Found; /* vectors; tap counts from the row's first one */

typedef struct Scatter {
    WindowRows *rows;
    Module *m;
    int64_t kernel[2], stride[2], before[2];
    LLVMValueRef map[2], windows[2];
    Line lines[MAX_LINES];
    int high, wide;      /* windows that cover a place at most, down and across */
    LoopCarried earlier; /* of each line, of the windows 1, 2, .. before: tap and dy */
} Scatter;

bool scatters_by_lines(const Kernel *kernel) {
    const Node *node = kernel->anchor;
    if (node->op != OP_max_pool_scatter || !is_blocked(kernel->output) || node->shape.rank != 4) return false;
    const Pooling *a = pooling_of(node);
    for (int i = 0; i < 2; i++)
        if (a->dilation.items[i] != 1 || ceil_div(a->kernel.items[i], a->stride.items[i]) > MAX_LINES)
            return false;
    return a->kernel.items[0] * a->kernel.items[1] <= MAX_TAPS;
}

static Scatter scatter_of_rows(WindowRows *rows) {
    const Node *node = rows->kernel->anchor;
    const Pooling *a = pooling_of(node);
    Scatter s = {.rows = rows, .m = rows->m};
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = a->kernel.items[i];
        s.stride[i] = a->stride.items[i];
        s.before[i] = a->before.items[i];
        s.map[i] = get_dim(rows->m, node->shape.dims[2 + i]);
        s.windows[i] = get_dim(rows->m, node->inputs[1]->shape.dims[2 + i]);
    }
    s.high = (int)ceil_div(s.kernel[0], s.stride[0]);
    s.wide = (int)ceil_div(s.kernel[1], s.stride[1]);
    return s;
}

/* ---- lines ---- */

static LLVMValueRef is_index_below(Module *m, LLVMValueRef a, LLVMValueRef b) { /* and not negative */
    return LLVMBuildICmp(m->builder, LLVMIntULT, a, b, "");
}

static LLVMValueRef clamp_to_map(const Scatter *s, int axis, LLVMValueRef at) {
    LLVMValueRef last = emit_sub(s->m, s->map[axis], get_i64(s->m, 1));
    return emit_max(s->m, emit_min(s->m, at, last), get_i64(s->m, 0));
}

static LLVMValueRef splat_i32(const Scatter *s, LLVMValueRef value) {
    return get_splat(s->m, LLVMBuildTrunc(s->m->builder, value, s->m->i32, ""), s->rows->lanes);
}

/* Line `which` has tap (y + before) % stride + which * stride on this row. */
static void find_line(Scatter *s, int which) {
    Module *m = s->m;
    Line *line = &s->lines[which];
    LLVMValueRef place = emit_add(m, s->rows->point.at[2].base, get_i64(m, s->before[0])),
                 stride = get_i64(m, s->stride[0]);
    LLVMValueRef tap = emit_add(m, emit_rem(m, place, stride), get_i64(m, which * s->stride[0]));
    line->number = emit_sub(m, emit_div(m, place, stride), get_i64(m, which));
    line->exists = emit_and(m, is_index_below(m, line->number, s->windows[0]),
                            is_index_below(m, tap, get_i64(m, s->kernel[0])));
    LLVMValueRef top = emit_affine(m, line->number, s->stride[0], -s->before[0]);
    line->first = emit_max(m, top, get_i64(m, 0));
    line->first_tap = emit_mul(m, emit_sub(m, line->first, top), get_i64(m, s->kernel[1]));
    line->before = splat_i32(s, emit_mul(m, tap, get_i64(m, s->kernel[1])));
    for (int64_t i = 0; i < s->kernel[0]; i++) {
        LLVMValueRef at = emit_add(m, top, get_i64(m, i));
        line->on_map[i] = is_index_below(m, at, s->map[0]);
        line->at[i] = clamp_to_map(s, 0, at);
    }
}

/* ---- the search ---- */

static LLVMValueRef load_map_place(const Scatter *s, LLVMValueRef y, LLVMValueRef x) {
    Point at = s->rows->point;
    at.mask = NULL;
    at.at[2] = coord_fixed(y);
    at.at[3] = coord_fixed(x);
    return load_operand(s->rows, 0, &at);
}

/* The tap of the line's window that begins at column `left` where its maximum is. It
 * begins with the first tap that is on the map. */
static LLVMValueRef find_maximum(const Scatter *s, const Line *line, LLVMValueRef left, bool inside) {
    Module *m = s->m;
    LLVMBuilderRef b = m->builder;
    LLVMValueRef from = inside ? get_i64(m, 0) : emit_max(m, emit_sub(m, get_i64(m, 0), left), get_i64(m, 0));
    LLVMValueRef best = load_map_place(s, line->first, emit_add(m, left, from));
    LLVMValueRef place = splat_i32(s, emit_add(m, line->first_tap, from));
    for (int64_t i = 0; i < s->kernel[0] * s->kernel[1]; i++) {
        LLVMValueRef x = emit_add(m, left, get_i64(m, i % s->kernel[1])),
                     on_map = line->on_map[i / s->kernel[1]];
        if (!inside) on_map = emit_and(m, on_map, is_index_below(m, x, s->map[1]));
        LLVMValueRef value =
            load_map_place(s, line->at[i / s->kernel[1]], inside ? x : clamp_to_map(s, 1, x));
        LLVMValueRef larger = emit_and(m, emit_above(m, operand_type(s->rows, 0), value, best),
                                       get_splat(m, on_map, s->rows->lanes));
        best = LLVMBuildSelect(b, larger, value, best, "");
        place = LLVMBuildSelect(b, larger, get_splat(m, get_i32(m, (int32_t)i), s->rows->lanes), place, "");
    }
    return place;
}

/* What window `number` of the line gives, nothing where there is none. */
static Found find_window_of_line(const Scatter *s, const Line *line, LLVMValueRef number, LLVMValueRef left,
                                 bool inside) {
    Module *m = s->m;
    LLVMValueRef exists =
        inside ? line->exists : emit_and(m, line->exists, is_index_below(m, number, s->windows[1]));
    LoopCarried found = {.count = 2};
    found.at[0] = get_splat(m, get_i32(m, -1), s->rows->lanes);
    found.at[1] = get_number(m, operand_type(s->rows, 1), 0, s->rows->lanes);
    Loop where = begin_loop_carried_if(m, &found, exists);
    Point window = s->rows->point;
    window.mask = NULL;
    window.at[2] = coord_fixed(line->number);
    window.at[3] = coord_fixed(number);
    found.at[0] = LLVMBuildSub(m->builder, find_maximum(s, line, left, inside), line->before, "");
    found.at[1] = load_operand(s->rows, 1, &window);
    end_loop_carried(m, &where, &found);
    return (Found){found.at[0], found.at[1]};
}

/* ---- groups of columns ---- */

/* Of the window that begins `ago` groups before; 0 is `now`. */
static Found find_earlier(const Scatter *s, const Found *now, int line, int ago) {
    int at = 2 * (line * (s->wide - 1) + ago - 1);
    return ago == 0 ? now[line] : (Found){s->earlier.at[at], s->earlier.at[at + 1]};
}

/* Adds in the order of taps. */
static LLVMValueRef sum_of_column(const Scatter *s, const Found *now, int64_t column) {
    Module *m = s->m;
    LLVMBuilderRef b = m->builder;
    DType type = operand_type(s->rows, 1);
    LLVMValueRef sum = NULL, zero = get_number(m, type, 0, s->rows->lanes);
    for (int line = 0; line < s->high; line++) {
        for (int ago = 0; column + ago * s->stride[1] < s->kernel[1]; ago++) {
            Found found = find_earlier(s, now, line, ago);
            LLVMValueRef tap =
                get_splat(m, get_i32(m, (int32_t)(column + ago * s->stride[1])), s->rows->lanes);
            LLVMValueRef here = LLVMBuildICmp(b, LLVMIntEQ, found.tap, tap, "");
            LLVMValueRef with = sum ? emit_sum(m, sum, found.dy) : found.dy;
            sum = LLVMBuildSelect(b, here, with, sum ? sum : zero, "");
        }
    }
    return sum ? sum : zero; /* between windows */
}

static void keep_found(Scatter *s, const Found *now) {
    for (int line = 0; line < s->high; line++) {
        for (int ago = s->wide - 1; ago >= 1; ago--) {
            Found found = find_earlier(s, now, line, ago - 1);
            int at = 2 * (line * (s->wide - 1) + ago - 1);
            s->earlier.at[at] = found.tap;
            s->earlier.at[at + 1] = found.dy;
        }
    }
}

static void store_column(const Scatter *s, LLVMValueRef x, LLVMValueRef sum, bool inside) {
    Module *m = s->m;
    Branch exists = {0};
    if (!inside) exists = begin_if(m, is_index_below(m, x, s->map[1]));
    Point at = s->rows->point;
    at.at[3] = coord_fixed(x);
    emit_epilogue_store(&s->rows->epilogue, &at, sum);
    if (!inside) end_if(m, &exists);
}

static void emit_column_group(Scatter *s, LLVMValueRef number, bool inside) {
    Module *m = s->m;
    LLVMValueRef left = emit_affine(m, number, s->stride[1], -s->before[1]);
    Found now[MAX_LINES];
    for (int i = 0; i < s->high; i++) now[i] = find_window_of_line(s, &s->lines[i], number, left, inside);
    for (int64_t column = 0; column < s->stride[1]; column++)
        store_column(s, emit_add(m, left, get_i64(m, column)), sum_of_column(s, now, column), inside);
    keep_found(s, now);
}

static void emit_column_groups(Scatter *s, LLVMValueRef from, LLVMValueRef to, bool inside) {
    Loop loop = begin_loop_carried(s->m, &s->earlier, from, to, 1);
    emit_column_group(s, loop.index, inside);
    end_loop_carried(s->m, &loop, &s->earlier);
}

static void begin_earlier(Scatter *s) {
    s->earlier.count = 2 * s->high * (s->wide - 1);
    for (int i = 0; i < s->earlier.count; i += 2) {
        s->earlier.at[i] = get_splat(s->m, get_i32(s->m, -1), s->rows->lanes);
        s->earlier.at[i + 1] = get_number(s->m, operand_type(s->rows, 1), 0, s->rows->lanes);
    }
}

/* The left edge, the groups whose window and columns are on the map, the right edge. */
void emit_scatter_row(WindowRows *rows) {
    Module *m = rows->m;
    Scatter s = scatter_of_rows(rows);
    for (int i = 0; i < s.high; i++) find_line(&s, i);
    begin_earlier(&s);
    int64_t stride = s.stride[1], reach = s.kernel[1] > stride ? s.kernel[1] : stride;
    LLVMValueRef padded = emit_add(m, s.map[1], get_i64(m, s.before[1])), each = get_i64(m, stride);
    LLVMValueRef count = emit_div(m, emit_add(m, padded, get_i64(m, stride - 1)), each);
    LLVMValueRef begin = emit_min(m, get_i64(m, ceil_div(s.before[1], stride)), count);
    LLVMValueRef room = emit_max(m, emit_sub(m, padded, get_i64(m, reach - stride)), get_i64(m, 0));
    LLVMValueRef end = emit_max(m, emit_min(m, emit_div(m, room, each), s.windows[1]), begin);
    emit_column_groups(&s, get_i64(m, 0), begin, false);
    emit_column_groups(&s, begin, end, true);
    emit_column_groups(&s, end, count, false);
}
