/* Pools, a row of outputs at a time.
 *
 * pool_max, pool_sum, max_pool_gather: each output visits the taps of its window. Where
 * the windows are inside the map along the row, four outputs (vectors of outputs, if
 * PLAIN) are computed at once, with the taps of the last axis unrolled; at the edges, one
 * at a time:
 *
 *     for each tap of the outer axes that lies inside       loops of computed range
 *       for each tap of the last axis                       unrolled up to 8
 *         state[4] = visit(state[4], x[tap])
 *
 * pool_sum_input, max_pool_scatter: each place of the map visits the windows that cover
 * it, so that every result is written once, after its epilogue. A place gets a window's
 * dy if it is the first maximum of the window: it is above all elements before it, and
 * none after it is above it. (window_scatter.c has max_pool_scatter if lanes are
 * channels.)
 *
 * The forward operators are bound by memory; if lanes are channels, they prefetch the
 * rows below. The transposed ones are correct and vectorised, but not tuned. */
#include "kernels/window/window.h"

enum { TILE = 4, MAX_UNROLLED = 8 };

typedef struct Pool {
    WindowRows *rows;
    Module *m;
    Op op;
    int axes;
    int64_t kernel[MAX_AXES], stride[MAX_AXES], dilation[MAX_AXES], before[MAX_AXES];
    LLVMValueRef map[MAX_AXES], windows[MAX_AXES]; /* sizes of the map, and numbers of windows */
    LLVMValueRef width;                            /* outputs in the row */
} Pool;

static void read_pool_attributes(Pool *p, const Node *node) {
    const Pooling *a = pooling_of(node);
    for (int i = 0; i < p->axes; i++) {
        p->kernel[i] = a->kernel.items[i];
        p->stride[i] = a->stride.items[i];
        p->dilation[i] = a->dilation.items[i];
        p->before[i] = a->before.items[i];
    }
}

static Pool pool_of_rows(WindowRows *rows) {
    const Node *node = rows->kernel->anchor;
    bool transposed = node->op == OP_pool_sum_input || node->op == OP_max_pool_scatter;
    const Node *map = transposed ? node : node->inputs[0];
    const Node *windows = !transposed ? node : node->inputs[node->input_count - 1];
    Pool p = {.rows = rows, .m = rows->m, .op = node->op, .axes = rows->rank - 2, .width = rows->width};
    read_pool_attributes(&p, node);
    for (int i = 0; i < p.axes; i++) {
        p.map[i] = get_dim(rows->m, map->shape.dims[2 + i]);
        p.windows[i] = get_dim(rows->m, windows->shape.dims[2 + i]);
    }
    return p;
}

/* The taps of an axis that are inside the map, for window number `at`. */
static void find_taps(const Pool *p, int axis, LLVMValueRef at, LLVMValueRef *from, LLVMValueRef *to) {
    Module *m = p->m;
    LLVMValueRef first = emit_affine(m, at, p->stride[axis], -p->before[axis]), zero = get_i64(m, 0);
    LLVMValueRef round = get_i64(m, p->dilation[axis] - 1), dilation = get_i64(m, p->dilation[axis]);
    LLVMValueRef above = emit_max(m, emit_sub(m, zero, first), zero),
                 below = emit_max(m, emit_sub(m, p->map[axis], first), zero);
    *from = emit_div(m, emit_add(m, above, round), dilation);
    *to = emit_min(m, emit_div(m, emit_add(m, below, round), dilation), get_i64(m, p->kernel[axis]));
}

/* A coordinate of the map that tap `tap` of window `at` reads: at * stride - before + tap
 * * dilation. */
static Coord tap_coord(const Pool *p, int axis, const Coord *at, LLVMValueRef tap) {
    Module *m = p->m;
    LLVMValueRef offset = emit_affine(m, tap, p->dilation[axis], -p->before[axis]),
                 stride = get_i64(m, p->stride[axis]);
    if (at->vector) {
        int lanes = p->rows->lanes;
        LLVMValueRef scaled_at = emit_mul(m, at->vector, get_splat(m, stride, lanes));
        return (Coord){.vector = LLVMBuildAdd(m->builder, scaled_at, get_splat(m, offset, lanes), "")};
    }
    return coord_lanes(emit_add(m, emit_mul(m, at->base, stride), offset), at->lane_step * p->stride[axis]);
}

static LLVMValueRef emit_choice(const Pool *p, LLVMValueRef mask, LLVMValueRef yes, LLVMValueRef no) {
    return mask ? LLVMBuildSelect(p->m->builder, mask, yes, no, "") : yes;
}

/* ---- forward: one visit ---- */

static LLVMValueRef emit_lowest(const Pool *p) {
    DType type = operand_type(p->rows, 0);
    return get_exact(p->m, type, number_least(type), p->rows->lanes);
}

static LLVMValueRef emit_is_above(const Pool *p, LLVMValueRef a, LLVMValueRef b) {
    return emit_above(p->m, operand_type(p->rows, 0), a, b);
}

/* The state of a window: its sum or maximum; for max_pool_gather, the value at the
 * maximum, the maximum, and whether there is one yet. */
static int state_size(const Pool *p) { return p->op == OP_max_pool_gather ? 3 : 1; }

static void start_state(const Pool *p, LLVMValueRef *state) {
    int lanes = p->rows->lanes;
    state[0] = p->op == OP_pool_max ? emit_lowest(p) : get_number(p->m, operand_type(p->rows, 0), 0, lanes);
    if (p->op != OP_max_pool_gather) return;
    state[1] = emit_lowest(p);
    state[2] = LLVMConstNull(get_vector(p->m, p->m->i1, lanes));
}

static void emit_gather_visit(const Pool *p, LLVMValueRef *state, const Point *at, LLVMValueRef x) {
    LLVMBuilderRef b = p->m->builder;
    LLVMValueRef value = load_operand(p->rows, 1, at);
    LLVMValueRef better = LLVMBuildOr(b, emit_is_above(p, x, state[1]), LLVMBuildNot(b, state[2], ""), "");
    better = emit_and(p->m, better, at->mask);
    state[0] = emit_choice(p, better, value, state[0]);
    state[1] = emit_choice(p, better, x, state[1]);
    state[2] = LLVMBuildOr(b, state[2], better, "");
}

static LLVMValueRef emit_pool_sum(const Pool *p, LLVMValueRef a, LLVMValueRef b) {
    return emit_sum(p->m, a, b);
}

static void emit_visit(const Pool *p, LLVMValueRef *state, const Point *at) {
    LLVMValueRef x = load_operand(p->rows, 0, at);
    if (p->op == OP_max_pool_gather) emit_gather_visit(p, state, at, x);
    else if (p->op == OP_pool_max)
        state[0] =
            emit_choice(p, at->mask, emit_larger(p->m, operand_type(p->rows, 0), state[0], x), state[0]);
    else state[0] = emit_choice(p, at->mask, emit_pool_sum(p, state[0], x), state[0]);
}

/* ---- forward: the walk ---- */

/* Outputs computed at once: `count` of them (or vectors of them) from `x` on. */
typedef struct Outputs {
    LLVMValueRef x;
    int count;
    bool inside; /* no tap of the last axis is clipped, and all lanes exist */
} Outputs;

static LLVMValueRef output_x(const Pool *p, const Outputs *o, int i) {
    return emit_add(p->m, o->x, get_i64(p->m, i * (p->rows->blocked ? 1 : p->rows->lanes)));
}

static void visit_tap(const Pool *p, const Outputs *o, Point at, LLVMValueRef tap, LoopCarried *state) {
    int last = p->axes - 1;
    for (int i = 0; i < o->count; i++) {
        Coord window = row_coord(p->rows, output_x(p, o, i));
        Point point = at;
        point.at[2 + last] = tap_coord(p, last, &window, tap);
        point.mask = NULL;
        if (!o->inside && !p->rows->blocked) {
            LLVMValueRef exists = get_inside(p->m, &window, p->rows->lanes, p->width);
            point.mask =
                emit_and(p->m, exists, get_inside(p->m, &point.at[2 + last], p->rows->lanes, p->map[last]));
        }
        emit_visit(p, &state->at[i * state_size(p)], &point);
    }
}

static void visit_last_axis(const Pool *p, const Outputs *o, const Point *at, LoopCarried *state) {
    Module *m = p->m;
    int last = p->axes - 1;
    LLVMValueRef from = get_i64(m, 0), to = get_i64(m, p->kernel[last]);
    if (o->inside && p->kernel[last] <= MAX_UNROLLED) {
        for (int64_t tap = 0; tap < p->kernel[last]; tap++) visit_tap(p, o, *at, get_i64(m, tap), state);
        return;
    }
    if (!o->inside && p->rows->blocked) find_taps(p, last, o->x, &from, &to);
    Loop loop = begin_loop_carried(m, state, from, to, 1);
    visit_tap(p, o, *at, loop.index, state);
    end_loop_carried(m, &loop, state);
}

static void visit_axis(const Pool *p, const Outputs *o, int axis, Point at, LoopCarried *state) {
    if (axis == p->axes - 1) {
        visit_last_axis(p, o, &at, state);
        return;
    }
    Module *m = p->m;
    LLVMValueRef from, to;
    Coord window = p->rows->point.at[2 + axis];
    find_taps(p, axis, window.base, &from, &to);
    Loop loop = begin_loop_carried(m, state, from, to, 1);
    at.at[2 + axis] = tap_coord(p, axis, &window, loop.index);
    visit_axis(p, o, axis + 1, at, state);
    end_loop_carried(m, &loop, state);
}

/* Where L3 does not hold the maps: asks L2 for what the windows below will be the first
 * to read. Each row of windows reads several rows of the map at once, which hardware
 * follows too late. */
static void prefetch_below(const Pool *p, const Outputs *o) {
    WindowRows *rows = p->rows;
    Module *m = p->m;
    const Program *program = rows->kernel->program;
    const Value *map = rows->kernel->inputs[0];
    double bytes = node_typical_bytes(program, map->node) + node_typical_bytes(program, rows->kernel->anchor);
    if (!rows->blocked || p->axes != 2 || bytes <= (double)m->target->l3_bytes) return;
    LLVMValueRef at[] = {rows->point.at[0].base, emit_div(m, rows->point.at[1].base, get_i64(m, rows->lanes)),
                         emit_affine(m, rows->point.at[2].base, p->stride[0],
                                     (p->kernel[0] - 1) * p->dilation[0] + 1 - p->before[0]),
                         emit_affine(m, o->x, p->stride[1], -p->before[1])};
    LLVMTypeRef element = get_memory_type(m, map->node->shape.type);
    LLVMValueRef first = get_i64(m, 0), row = get_dim(m, map->strides[2]);
    for (int i = 0; i < 4; i++) first = emit_add(m, first, emit_mul(m, at[i], get_dim(m, map->strides[i])));
    int64_t pixel = dim_const_value(map->strides[3]),
            line = max_i64(pixel, LINE_BYTES / dtype_bytes(map->node->shape.type));
    for (int64_t y = 0; y < p->stride[0]; y++, first = emit_add(m, first, row))
        for (int64_t x = 0; x < o->count * p->stride[1] * pixel; x += line)
            emit_prefetch(
                m, get_element_anywhere(m, element, get_argument(m, 1), emit_affine(m, first, 1, x)), 2);
}

static void emit_outputs(const Pool *p, LLVMValueRef x, int count, bool inside) {
    WindowRows *rows = p->rows;
    Outputs o = {.x = x, .count = count, .inside = inside};
    if (inside && p->op != OP_max_pool_gather) prefetch_below(p, &o);
    LoopCarried state = {.count = count * state_size(p)};
    for (int i = 0; i < count; i++) start_state(p, &state.at[i * state_size(p)]);
    visit_axis(p, &o, 0, rows->point, &state);
    for (int i = 0; i < count; i++) {
        Point point = rows->point;
        point.at[rows->rank - 1] = row_coord(rows, output_x(p, &o, i));
        if (!inside && !rows->blocked)
            point.mask = get_inside(p->m, &point.at[rows->rank - 1], p->rows->lanes, p->width);
        emit_epilogue_store(&rows->epilogue, &point, state.at[i * state_size(p)]);
    }
}

/* Outputs `from` up to `to`, `count` at a time; returns the first output that is left. */
static LLVMValueRef emit_range(const Pool *p, LLVMValueRef from, LLVMValueRef to, int count, bool inside) {
    Module *m = p->m;
    int64_t step = count * (p->rows->blocked ? 1 : p->rows->lanes);
    LLVMValueRef room = emit_max(m, emit_sub(m, to, from), get_i64(m, 0)), each = get_i64(m, step);
    LLVMValueRef end = inside ? emit_add(m, from, emit_mul(m, emit_div(m, room, each), each)) : to;
    Loop loop = begin_loop(m, from, end, step);
    emit_outputs(p, loop.index, count, inside);
    end_loop(m, &loop);
    return inside ? end : emit_max(m, from, to);
}

/* A row: its left edge, its interior, its right edge. */
void emit_pool_row(WindowRows *rows) {
    Pool p = pool_of_rows(rows);
    Module *m = rows->m;
    int last = p.axes - 1;
    int64_t unit = rows->blocked ? 1 : rows->lanes,
            reach = (p.kernel[last] - 1) * p.dilation[last] - p.before[last];
    int64_t begin = round_up(ceil_div(p.before[last], p.stride[last]), unit);
    LLVMValueRef room = emit_max(m, emit_sub(m, p.map[last], get_i64(m, reach)), get_i64(m, 0));
    LLVMValueRef end =
        emit_div(m, emit_add(m, room, get_i64(m, p.stride[last] - 1)), get_i64(m, p.stride[last]));
    LLVMValueRef x = emit_range(&p, get_i64(m, 0), emit_min(m, get_i64(m, begin), p.width), 1, false);
    x = emit_max(m, x, get_i64(m, begin)); /* past the last vector of the edge */
    end = emit_min(m, end, p.width);
    if (p.op != OP_max_pool_gather) x = emit_range(&p, x, end, TILE, true);
    x = emit_range(&p, x, end, 1, true);
    emit_range(&p, x, p.width, 1, false);
}

/* ---- transposed ---- */

/* Clears `first` where an element of the window at `window` is preferred to `own`, which
 * is its tap `own_tap`. */
static void compare_axis(const Pool *p, int axis, Point at, const Point *window, LLVMValueRef own,
                         const LLVMValueRef *own_tap, LLVMValueRef earlier, LLVMValueRef same,
                         LoopCarried *first) {
    Module *m = p->m;
    LLVMBuilderRef b = m->builder;
    if (axis == p->axes) {
        LLVMValueRef x = load_operand(p->rows, 0, &at);
        LLVMValueRef before = emit_is_above(p, own, x), after = LLVMBuildNot(b, emit_is_above(p, x, own), "");
        LLVMValueRef holds = LLVMBuildSelect(b, get_splat(m, earlier, p->rows->lanes), before, after, "");
        if (at.mask) holds = LLVMBuildOr(b, holds, LLVMBuildNot(b, at.mask, ""), "");
        first->at[0] = LLVMBuildAnd(b, first->at[0], holds, "");
        return;
    }
    LLVMValueRef from = get_i64(m, 0), to = get_i64(m, p->kernel[axis]);
    bool vector = window->at[2 + axis].vector;
    if (!vector) find_taps(p, axis, window->at[2 + axis].base, &from, &to);
    Loop loop = begin_loop_carried(m, first, from, to, 1);
    at.at[2 + axis] = tap_coord(p, axis, &window->at[2 + axis], loop.index);
    if (vector)
        at.mask = emit_and(m, window->mask, get_inside(p->m, &at.at[2 + axis], p->rows->lanes, p->map[axis]));
    LLVMValueRef lower = LLVMBuildICmp(b, LLVMIntSLT, loop.index, own_tap[axis], "");
    LLVMValueRef equal = LLVMBuildICmp(b, LLVMIntEQ, loop.index, own_tap[axis], "");
    LLVMValueRef now_earlier = LLVMBuildOr(b, earlier, LLVMBuildAnd(b, same, lower, ""), "");
    compare_axis(p, axis + 1, at, window, own, own_tap, now_earlier, LLVMBuildAnd(b, same, equal, ""), first);
    end_loop_carried(m, &loop, first);
}

static LLVMValueRef is_first_maximum(const Pool *p, const Point *window, LLVMValueRef own,
                                     const LLVMValueRef *own_tap) {
    Module *m = p->m;
    LoopCarried first = {.count = 1};
    first.at[0] = get_splat(m, LLVMConstAllOnes(m->i1), p->rows->lanes);
    compare_axis(p, 0, *window, window, own, own_tap, LLVMConstNull(m->i1), LLVMConstAllOnes(m->i1), &first);
    return first.at[0];
}

static void add_window(const Pool *p, const Point *window, LLVMValueRef own, const LLVMValueRef *tap,
                       LoopCarried *sum) {
    LLVMValueRef counts = window->mask;
    if (p->op == OP_max_pool_scatter) counts = emit_and(p->m, counts, is_first_maximum(p, window, own, tap));
    LLVMValueRef dy = load_operand(p->rows, p->op == OP_max_pool_scatter ? 1 : 0, window);
    sum->at[0] = emit_choice(p, counts, emit_pool_sum(p, sum->at[0], dy), sum->at[0]);
}

/* The window whose tap `tap` is the place `at`: (at + before - tap * dilation) / stride,
 * in the lanes where that is one. */
static LLVMValueRef find_window(const Pool *p, int axis, const Coord *at, LLVMValueRef tap, Coord *window) {
    Module *m = p->m;
    LLVMBuilderRef b = m->builder;
    int lanes = coord_varies(at) ? p->rows->lanes : 1;
    LLVMValueRef offset = emit_affine(m, tap, -p->dilation[axis], p->before[axis]);
    LLVMValueRef stride = get_splat(m, get_i64(m, p->stride[axis]), lanes);
    LLVMValueRef place = LLVMBuildAdd(b, get_coord_vector(m, at, lanes), get_splat(m, offset, lanes), "");
    LLVMValueRef number = LLVMBuildSDiv(b, place, stride, "");
    LLVMValueRef rest = LLVMBuildSub(b, place, LLVMBuildMul(b, number, stride, ""), "");
    LLVMValueRef whole = LLVMBuildICmp(b, LLVMIntEQ, rest, LLVMConstNull(LLVMTypeOf(rest)), "");
    LLVMValueRef there = LLVMBuildICmp(b, LLVMIntULT, number, get_splat(m, p->windows[axis], lanes), "");
    *window = lanes > 1 ? (Coord){.vector = number} : coord_fixed(number);
    return LLVMBuildAnd(b, whole, there, "");
}

static void visit_windows(const Pool *p, int axis, const Point *at, Point window, LLVMValueRef own,
                          LLVMValueRef *tap, LoopCarried *sum) {
    Module *m = p->m;
    if (axis == p->axes) {
        add_window(p, &window, own, tap, sum);
        return;
    }
    Loop loop = begin_loop_carried(m, sum, get_i64(m, 0), get_i64(m, p->kernel[axis]), 1);
    tap[axis] = loop.index;
    LLVMValueRef valid = find_window(p, axis, &at->at[2 + axis], loop.index, &window.at[2 + axis]);
    if (window.at[2 + axis].vector) {
        window.mask = emit_and(m, at->mask, valid);
        visit_windows(p, axis + 1, at, window, own, tap, sum);
    } else {
        Loop where = begin_loop_carried_if(m, sum, valid);
        visit_windows(p, axis + 1, at, window, own, tap, sum);
        end_loop_carried(m, &where, sum);
    }
    end_loop_carried(m, &loop, sum);
}

void emit_pool_transposed_row(WindowRows *rows) {
    Pool p = pool_of_rows(rows);
    Module *m = rows->m;
    LLVMValueRef tap[MAX_AXES];
    Loop loop = begin_loop(m, get_i64(m, 0), p.width, rows->blocked ? 1 : rows->lanes);
    Point at = rows->point;
    at.at[rows->rank - 1] = row_coord(rows, loop.index);
    if (!rows->blocked) at.mask = get_inside(m, &at.at[rows->rank - 1], rows->lanes, p.width);
    Point window = at;
    window.mask = rows->blocked ? NULL : at.mask;
    LoopCarried sum = {.count = 1};
    sum.at[0] = get_number(m, operand_type(rows, 0), 0, rows->lanes);
    LLVMValueRef own = p.op == OP_max_pool_scatter ? load_operand(rows, 0, &at) : NULL;
    visit_windows(&p, 0, &at, window, own, tap, &sum);
    emit_epilogue_store(&rows->epilogue, &at, sum.at[0]);
    end_loop(m, &loop);
}
