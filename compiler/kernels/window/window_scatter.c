/* max_pool_scatter over two axes where lanes are channels, `stride` rows of the map at a
 * time, from the row at which window 0 begins on. Windows overlap where the stride is
 * below the kernel: then these rows are covered by several rows of windows, `lines`, and
 * a place by several windows of each.
 *
 *     task: GROUPS groups of rows, one below the other
 *       for each group g of `stride` columns, from the one at which window 0 begins on
 *         window g of the lowest line is searched: number of the tap with its first maximum, and its dy
 *         of the lines above, what the group above found; of the task's first group, searched too
 *         for each row and column of the group
 *           sum of the dy of those windows, g and before, whose maximum is here   store
 *
 * What was found of the windows before stays in registers, and that of the lines is kept
 * in scratch for the group below. Only groups at the edges of the map ask which of their
 * taps and places are on it. */
#include "kernels/window/window.h"

enum { MAX_TAPS = 16, MAX_LINES = 4, GROUPS = 8 };

typedef struct Line { /* a row of windows that may cover the rows */
    LLVMValueRef exists, number;
    LLVMValueRef on_map[MAX_TAPS], at[MAX_TAPS]; /* of taps down: whether, and at which row if so */
    /* the first row on the map, and the number of its first tap */
    LLVMValueRef first, first_tap;
    LLVMValueRef whole; /* it exists, and all of its rows are on the map */
} Line;

typedef struct Found {
    LLVMValueRef tap, dy; /* vectors */
} Found;

typedef struct Scatter {
    WindowRows *rows;
    Module *m;
    int64_t kernel[2], stride[2], before[2];
    LLVMValueRef map[2], windows[2];
    LLVMValueRef group; /* of rows, of the map */
    LLVMValueRef first; /* whether it is the first of the task */
    LLVMValueRef top;   /* the first row of the group, perhaps negative */
    Line lines[MAX_LINES];
    int high, wide;      /* windows that cover a place at most, down and across */
    LoopCarried earlier; /* of each line, of the windows 1, 2, .. before: tap and dy */
    PartPlace part;      /* of stored sums */
} Scatter;

static bool has_lines(const Node *node) {
    if (node->op != OP_max_pool_scatter || node->shape.rank != 4) return false;
    const Pooling *a = pooling_of(node);
    for (int i = 0; i < 2; i++)
        if (a->dilation.items[i] != 1 || ceil_div(a->kernel.items[i], a->stride.items[i]) > MAX_LINES)
            return false;
    return a->kernel.items[0] * a->kernel.items[1] <= MAX_TAPS;
}

bool scatters_by_lines(const Kernel *kernel) {
    return has_lines(kernel->anchor) && is_blocked(kernel->output);
}

/* Of rows or columns. */
static Dim scatter_groups_along(const Kernel *kernel, int axis) {
    const Pooling *a = pooling_of(kernel->anchor);
    Dims *dims = kernel->program->graph->dims;
    Dim places = dim_offset(dims, kernel->anchor->shape.dims[2 + axis], a->before.items[axis]);
    return dim_ceil_div(dims, places, a->stride.items[axis]);
}

Dim count_scatter_tasks(const Kernel *kernel) {
    return dim_ceil_div(kernel->program->graph->dims, scatter_groups_along(kernel, 0), GROUPS);
}

int64_t scatter_parts(const Kernel *kernel) {
    int64_t images, tasks;
    bool known = dim_is_const(kernel->anchor->shape.dims[0], &images) &&
                 dim_is_const(count_scatter_tasks(kernel), &tasks);
    return known ? images * tasks : 0;
}

/* Of each line but the lowest, and each group of columns: tap and dy. */
WorkingMemory scatter_memory(const Kernel *kernel, bool blocked) {
    if (!blocked || !has_lines(kernel->anchor)) return (WorkingMemory){0};
    const Pooling *a = pooling_of(kernel->anchor);
    int64_t kept = ceil_div(a->kernel.items[0], a->stride.items[0]) - 1,
            vectors = 2 * kept * kernel->program->target->lanes;
    if (kept == 0) return (WorkingMemory){0};
    return (WorkingMemory){.scratch = dim_scale(kernel->program->graph->dims, scatter_groups_along(kernel, 1),
                                                vectors * dtype_bytes(DTYPE_F32))};
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

/* Line `which` has tap row + which * stride on a row of the group. */
static void find_line(Scatter *s, int which) {
    Module *m = s->m;
    Line *line = &s->lines[which];
    line->number = emit_sub(m, s->group, get_i64(m, which));
    line->exists = line->whole = is_index_below(m, line->number, s->windows[0]);
    LLVMValueRef top = emit_affine(m, line->number, s->stride[0], -s->before[0]);
    line->first = emit_max(m, top, get_i64(m, 0));
    line->first_tap = emit_mul(m, emit_sub(m, line->first, top), get_i64(m, s->kernel[1]));
    for (int64_t i = 0; i < s->kernel[0]; i++) {
        LLVMValueRef at = emit_add(m, top, get_i64(m, i));
        line->on_map[i] = is_index_below(m, at, s->map[0]);
        line->at[i] = clamp_to_map(s, 0, at);
        line->whole = emit_and(m, line->whole, line->on_map[i]);
    }
}

/* Whether all lines are whole, and all rows of the group on the map. */
static LLVMValueRef is_inside_rows(const Scatter *s) {
    Module *m = s->m;
    LLVMValueRef inside = is_index_below(m, s->top, s->map[0]);
    LLVMValueRef last = emit_add(m, s->top, get_i64(m, s->stride[0] - 1));
    inside = emit_and(m, inside, is_index_below(m, last, s->map[0]));
    for (int i = 0; i < s->high; i++) inside = emit_and(m, inside, s->lines[i].whole);
    return inside;
}

/* ---- the search ---- */

static LLVMValueRef load_map_place(const Scatter *s, LLVMValueRef y, LLVMValueRef x) {
    Point at = s->rows->point;
    at.mask = NULL;
    at.at[2] = coord_fixed(y);
    at.at[3] = coord_fixed(x);
    return load_operand(s->rows, 0, &at);
}

/* Whether `value` is above `best`: as emit_above, by one comparison less. */
static LLVMValueRef is_above_best(const Scatter *s, LLVMValueRef value, LLVMValueRef best) {
    LLVMBuilderRef b = s->m->builder;
    LLVMValueRef not_below = LLVMBuildFCmp(b, LLVMRealUGT, value, best, "");
    return LLVMBuildAnd(b, not_below, LLVMBuildFCmp(b, LLVMRealORD, best, best, ""), "");
}

typedef struct Maximum { LLVMValueRef value, tap; } Maximum;

static void compare_tap(const Scatter *s, Maximum *best, LLVMValueRef value, int64_t tap,
                        LLVMValueRef on_map) {
    Module *m = s->m;
    LLVMValueRef larger = is_above_best(s, value, best->value);
    if (on_map) larger = emit_and(m, larger, get_splat(m, on_map, s->rows->lanes));
    best->value = LLVMBuildSelect(m->builder, larger, value, best->value, "");
    best->tap = LLVMBuildSelect(m->builder, larger, get_splat(m, get_i32(m, (int32_t)tap), s->rows->lanes),
                                best->tap, "");
}

/* The tap of the line's window that begins at column `left` where its maximum is. It
 * begins with the first tap that is on the map. */
static LLVMValueRef find_maximum_at_edge(const Scatter *s, const Line *line, LLVMValueRef left) {
    Module *m = s->m;
    LLVMValueRef from = emit_max(m, emit_sub(m, get_i64(m, 0), left), get_i64(m, 0));
    Maximum best = {load_map_place(s, line->first, emit_add(m, left, from)),
                    splat_i32(s, emit_add(m, line->first_tap, from))};
    for (int64_t i = 0; i < s->kernel[0] * s->kernel[1]; i++) {
        int64_t row = i / s->kernel[1], column = i % s->kernel[1];
        LLVMValueRef x = emit_add(m, left, get_i64(m, column));
        LLVMValueRef on_map = emit_and(m, line->on_map[row], is_index_below(m, x, s->map[1]));
        compare_tap(s, &best, load_map_place(s, line->at[row], clamp_to_map(s, 1, x)), i, on_map);
    }
    return best.tap;
}

static LLVMValueRef find_maximum_inside(const Scatter *s, const Line *line, LLVMValueRef left) {
    Module *m = s->m;
    Maximum best = {load_map_place(s, line->at[0], left), get_splat(m, get_i32(m, 0), s->rows->lanes)};
    for (int64_t i = 1; i < s->kernel[0] * s->kernel[1]; i++) {
        LLVMValueRef x = emit_add(m, left, get_i64(m, i % s->kernel[1]));
        compare_tap(s, &best, load_map_place(s, line->at[i / s->kernel[1]], x), i, NULL);
    }
    return best.tap;
}

static LLVMValueRef load_window_gradient(const Scatter *s, const Line *line, LLVMValueRef number) {
    Point window = s->rows->point;
    window.mask = NULL;
    window.at[2] = coord_fixed(line->number);
    window.at[3] = coord_fixed(number);
    return load_operand(s->rows, 1, &window);
}

static Found nothing_found(const Scatter *s) {
    Module *m = s->m;
    return (Found){get_splat(m, get_i32(m, -1), s->rows->lanes),
                   get_number(m, operand_type(s->rows, 1), 0, s->rows->lanes)};
}

/* In scratch: window `number` of a line, as number `line` of those of the next group. */
static LLVMValueRef kept_place(const Scatter *s, int line, LLVMValueRef number, bool dy) {
    Module *m = s->m;
    int64_t lines = s->high - 1;
    LLVMValueRef vector = emit_affine(m, number, 2 * lines, 2 * (line - 1) + dy);
    return get_element(m, get_vector(m, m->f32, s->rows->lanes), m->scratch, vector);
}

static void keep_line(const Scatter *s, int line, LLVMValueRef number, Found found) {
    emit_aligned_store(s->m, found.tap, kept_place(s, line, number, false));
    emit_aligned_store(s->m, found.dy, kept_place(s, line, number, true));
}

static Found load_kept_line(const Scatter *s, int line, LLVMValueRef number) {
    Module *m = s->m;
    Found nothing = nothing_found(s);
    return (Found){emit_aligned_load(m, LLVMTypeOf(nothing.tap), kept_place(s, line, number, false)),
                   emit_aligned_load(m, LLVMTypeOf(nothing.dy), kept_place(s, line, number, true))};
}

/* What window `number` of the line gives, nothing where there is none. The search is a
 * loop of its own, so that it has all registers. */
static Found find_window_of_line(const Scatter *s, int which, LLVMValueRef number, LLVMValueRef left,
                                 bool inside) {
    Module *m = s->m;
    const Line *line = &s->lines[which];
    LLVMValueRef exists =
        inside ? line->exists : emit_and(m, line->exists, is_index_below(m, number, s->windows[1]));
    Found before = which > 0 ? load_kept_line(s, which, number) : nothing_found(s);
    LoopCarried found = {.at = {before.tap, before.dy}, .count = 2};
    if (which > 0) exists = emit_and(m, exists, s->first);
    Loop where = begin_loop_carried_if(m, &found, exists);
    found.at[0] = inside ? find_maximum_inside(s, line, left) : find_maximum_at_edge(s, line, left);
    found.at[1] = load_window_gradient(s, line, number);
    end_loop_carried(m, &where, &found);
    return (Found){found.at[0], found.at[1]};
}

/* ---- groups of columns ---- */

/* Of the window that begins `ago` groups before; 0 is `now`. */
static Found find_earlier(const Scatter *s, const Found *now, int line, int ago) {
    int at = 2 * (line * (s->wide - 1) + ago - 1);
    return ago == 0 ? now[line] : (Found){s->earlier.at[at], s->earlier.at[at + 1]};
}

/* At a row and column of the group. Adds in the order of taps. */
static LLVMValueRef sum_of_place(const Scatter *s, const Found *now, int64_t row, int64_t column) {
    Module *m = s->m;
    LLVMBuilderRef b = m->builder;
    LLVMValueRef sum = NULL, zero = get_number(m, operand_type(s->rows, 1), 0, s->rows->lanes);
    for (int line = 0; row + line * s->stride[0] < s->kernel[0]; line++) {
        for (int ago = 0; column + ago * s->stride[1] < s->kernel[1]; ago++) {
            Found found = find_earlier(s, now, line, ago);
            int64_t tap = (row + line * s->stride[0]) * s->kernel[1] + column + ago * s->stride[1];
            LLVMValueRef here = LLVMBuildICmp(b, LLVMIntEQ, found.tap,
                                              get_splat(m, get_i32(m, (int32_t)tap), s->rows->lanes), "");
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

static void store_place(const Scatter *s, LLVMValueRef y, LLVMValueRef x, LLVMValueRef sum,
                        StoredTerms *terms) {
    Point at = s->rows->point;
    at.at[2] = coord_fixed(y);
    at.at[3] = coord_fixed(x);
    emit_epilogue_store_next(&s->rows->epilogue, &at, sum, terms);
}

static void store_place_on_map(const Scatter *s, LLVMValueRef y, LLVMValueRef x, LLVMValueRef sum) {
    Module *m = s->m;
    StoredTerms terms = {.count = 0};
    LLVMValueRef on_map = emit_and(m, is_index_below(m, y, s->map[0]), is_index_below(m, x, s->map[1]));
    Branch exists = begin_if(m, on_map);
    store_place(s, y, x, sum, &terms);
    emit_add_terms(m, s->rows->kernel, &s->part, &terms);
    end_if(m, &exists);
}

static void store_group(const Scatter *s, const Found *now, LLVMValueRef left, bool inside) {
    Module *m = s->m;
    StoredTerms terms = {.count = 0};
    for (int64_t row = 0; row < s->stride[0]; row++) {
        for (int64_t column = 0; column < s->stride[1]; column++) {
            LLVMValueRef y = emit_add(m, s->top, get_i64(m, row)), x = emit_add(m, left, get_i64(m, column)),
                         sum = sum_of_place(s, now, row, column);
            if (inside) store_place(s, y, x, sum, &terms);
            else store_place_on_map(s, y, x, sum);
        }
    }
    if (inside) emit_add_terms(m, s->rows->kernel, &s->part, &terms);
}

static void emit_column_group(Scatter *s, LLVMValueRef number, bool inside) {
    Module *m = s->m;
    LLVMValueRef left = emit_affine(m, number, s->stride[1], -s->before[1]);
    Found now[MAX_LINES];
    for (int i = 0; i < s->high; i++) now[i] = find_window_of_line(s, i, number, left, inside);
    for (int i = 1; i < s->high; i++) keep_line(s, i, number, now[i - 1]);
    store_group(s, now, left, inside);
    keep_found(s, now);
}

static void emit_column_groups(Scatter *s, LLVMValueRef from, LLVMValueRef to, bool inside) {
    Loop loop = begin_loop_carried(s->m, &s->earlier, from, to, 1);
    emit_column_group(s, loop.index, inside);
    end_loop_carried(s->m, &loop, &s->earlier);
}

static void begin_earlier(Scatter *s) {
    Found nothing = nothing_found(s);
    s->earlier.count = 2 * s->high * (s->wide - 1);
    for (int i = 0; i < s->earlier.count; i += 2) {
        s->earlier.at[i] = nothing.tap;
        s->earlier.at[i + 1] = nothing.dy;
    }
}

/* The left edge, the groups whose windows and places are on the map, the right edge. */
static void emit_row_group(Scatter *s) {
    Module *m = s->m;
    s->top = emit_affine(m, s->group, s->stride[0], -s->before[0]);
    for (int i = 0; i < s->high; i++) find_line(s, i);
    begin_earlier(s);
    int64_t stride = s->stride[1], reach = s->kernel[1] > stride ? s->kernel[1] : stride;
    LLVMValueRef padded = emit_add(m, s->map[1], get_i64(m, s->before[1])), each = get_i64(m, stride);
    LLVMValueRef count = get_dim(m, scatter_groups_along(s->rows->kernel, 1));
    LLVMValueRef begin = emit_min(m, get_i64(m, ceil_div(s->before[1], stride)), count);
    LLVMValueRef room = emit_max(m, emit_sub(m, padded, get_i64(m, reach - stride)), get_i64(m, 0));
    LLVMValueRef end = emit_max(m, emit_min(m, emit_div(m, room, each), s->windows[1]), begin);
    end = LLVMBuildSelect(m->builder, is_inside_rows(s), end, begin, "");
    emit_column_groups(s, get_i64(m, 0), begin, false);
    emit_column_groups(s, begin, end, true);
    emit_column_groups(s, end, count, false);
}

/* Lines that there are not yet have found nothing. */
static void clear_kept_lines(const Scatter *s) {
    Loop columns =
        begin_loop(s->m, get_i64(s->m, 0), get_dim(s->m, scatter_groups_along(s->rows->kernel, 1)), 1);
    for (int i = 1; i < s->high; i++) keep_line(s, i, columns.index, nothing_found(s));
    end_loop(s->m, &columns);
}

void emit_scatter_row(WindowRows *rows) {
    Module *m = rows->m;
    const Kernel *kernel = rows->kernel;
    Scatter s = scatter_of_rows(rows);
    LLVMValueRef task = rows->point.at[2].base, tasks = get_dim(m, count_scatter_tasks(kernel));
    s.part.block = emit_div(m, rows->point.at[1].base, get_i64(m, rows->lanes));
    s.part.number = emit_add(m, emit_mul(m, rows->point.at[0].base, tasks), task);
    emit_start_parts(m, kernel, &s.part);
    clear_kept_lines(&s);
    LLVMValueRef from = emit_affine(m, task, GROUPS, 0), to = emit_affine(m, task, GROUPS, GROUPS);
    Loop groups = begin_loop(m, from, emit_min(m, to, get_dim(m, scatter_groups_along(kernel, 0))), 1);
    s.group = groups.index;
    s.first = LLVMBuildICmp(m->builder, LLVMIntEQ, s.group, from, "");
    emit_row_group(&s);
    end_loop(m, &groups);
}
