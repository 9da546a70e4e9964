/* x[...] of a tensor: slices both ways, new axes, single places, and lists and tensors of
 * places, as in numpy. First the indices are read into a Cut, axis by axis; then nodes
 * are made from it: a slice, a flip, a reshape that drops and adds axes, and a gather. */
#include "elaborate/evaluator.h"

/* An end of a slice as a size; a negative one counts from the end. */
static bool slice_place(Evaluator *ev, const Expr *expr, Dim size, Dim missing, Dim *out) {
    *out = missing;
    if (!expr) return true;
    Value v = evaluate(ev, expr);
    if (v.kind != VALUE_INT && v.kind != VALUE_DIM) {
        if (v.kind != VALUE_ERROR)
            report(ev, DIAG_not_an_int, expr->span, "the ends of a slice are ints or sizes; this is %s",
                   value_kind_name(v));
        return false;
    }
    *out = v.kind == VALUE_INT && v.integer < 0 ? dim_offset(ev->dims, size, v.integer) : as_dim(ev, v);
    return true;
}

/* a <= b, now or checked at run time with that text. */
static bool require_at_most(Evaluator *ev, Dim a, Dim b, Span span, const char *text) {
    bool holds;
    if (!decide_order(ev, OPERATOR_LE, a, b, &holds)) {
        const char *message =
            arena_printf(ev->arena, "%s: %s", place_text(ev->arena, user_span(ev, span)), text);
        graph_check(ev->graph, CHECK_AT_LEAST, b, a, message);
        return true;
    }
    if (!holds) report(ev, DIAG_index_range, span, "%s", text);
    return holds;
}

typedef struct Cut { /* the effect of the indices on a tensor's axes */
    Dim begin[HIGHEST_RANK], size[HIGHEST_RANK];
    int64_t step[HIGHEST_RANK]; /* of elements in memory order: at least 1 */
    bool backwards[HIGHEST_RANK], dropped[HIGHEST_RANK];
    Node *places[HIGHEST_RANK];  /* computed ones, i32 */
    int fresh[HIGHEST_RANK + 1]; /* new axes of size 1 before each axis, and after the last */
    Span span;
} Cut;

static bool forward_slice(Evaluator *ev, const Index *index, Dim size, int axis, Cut *cut) {
    Dim begin, end, zero = dim_const(ev->dims, 0);
    if (!slice_place(ev, index->at, size, zero, &begin) || !slice_place(ev, index->end, size, size, &end))
        return false;
    cut->begin[axis] = begin;
    cut->size[axis] = dim_ceil_div(ev->dims, dim_sub(ev->dims, end, begin), cut->step[axis]);
    const char *from = dim_string(ev->arena, begin), *to = dim_string(ev->arena, end),
               *all = dim_string(ev->arena, size);
    const char *outside =
        arena_printf(ev->arena, "the slice %s:%s goes beyond its axis of %s", from, to, all);
    bool fits = require_at_most(ev, end, size, index->span, outside);
    fits = fits && (begin == zero || require_at_most(ev, zero, begin, index->span, outside));
    return fits && require_at_most(ev, dim_const(ev->dims, 1), cut->size[axis], index->span,
                                   arena_printf(ev->arena, "the slice %s:%s is empty", from, to));
}

/* From `begin` down to, not including, `end`, or down to the first: sliced in ascending
 * order, then flipped. */
static bool backward_slice(Evaluator *ev, const Index *index, Dim size, int axis, Cut *cut) {
    Dim begin, end, zero = dim_const(ev->dims, 0), last = dim_offset(ev->dims, size, -1);
    if (!slice_place(ev, index->at, size, last, &begin) ||
        !slice_place(ev, index->end, size, dim_const(ev->dims, -1), &end))
        return false;
    Dim length = dim_ceil_div(ev->dims, dim_sub(ev->dims, begin, end), cut->step[axis]);
    cut->size[axis] = length;
    cut->begin[axis] =
        dim_sub(ev->dims, begin, dim_scale(ev->dims, dim_offset(ev->dims, length, -1), cut->step[axis]));
    cut->backwards[axis] = true;
    const char *text = span_text(ev->arena, index->span), *all = dim_string(ev->arena, size);
    const char *outside = arena_printf(ev->arena, "the slice %s goes beyond its axis of %s", text, all);
    bool fits = begin == last || require_at_most(ev, begin, last, index->span, outside);
    fits = fits && (!index->end || require_at_most(ev, zero, end, index->span, outside));
    return fits &&
           require_at_most(ev, dim_const(ev->dims, 1), length, index->span,
                           arena_printf(ev->arena, "the slice %s of an axis of %s is empty", text, all));
}

static bool axis_slice(Evaluator *ev, const Index *index, Dim size, int axis, Cut *cut) {
    int64_t step;
    if (!slice_step(ev, index->step, &step)) return false;
    cut->step[axis] = step < 0 ? -step : step;
    return step < 0 ? backward_slice(ev, index, size, axis, cut) : forward_slice(ev, index, size, axis, cut);
}

/* ---- single places and lists of them ---- */

static bool place_fits(Evaluator *ev, Value at, Dim place, Dim size, Span span) {
    const char *outside = arena_printf(ev->arena, "index %s is outside of its axis of %s",
                                       value_describe(ev->arena, at), dim_string(ev->arena, size));
    return require_at_most(ev, dim_offset(ev->dims, place, 1), size, span, outside) &&
           require_at_most(ev, dim_const(ev->dims, 0), place, span, outside);
}

static Dim place_of_index(Evaluator *ev, Value at, Dim size) {
    return at.kind == VALUE_INT && at.integer < 0 ? dim_offset(ev->dims, size, at.integer) : as_dim(ev, at);
}

static bool axis_place(Evaluator *ev, Value at, Dim size, Span span, int axis, Cut *cut) {
    cut->begin[axis] = place_of_index(ev, at, size);
    cut->size[axis] = dim_const(ev->dims, 1);
    cut->dropped[axis] = true;
    return place_fits(ev, at, cut->begin[axis], size, span);
}

/* The ints of a list of places; negative ones are counted from the front. For an axis of
 * free size they stay negative: *from_end. */
static bool places_from_front(Evaluator *ev, Value list, Dim size, Span span, Value *out, bool *from_end) {
    if (!list.list->count) {
        report(ev, DIAG_index_range, span, "a list of places must not be empty");
        return false;
    }
    Value *items = NEW_ARRAY(ev->arena, Value, list.list->count);
    for (int i = 0; i < list.list->count; i++) {
        Value item = list.list->items[i];
        if (item.kind == VALUE_LIST) {
            if (!places_from_front(ev, item, size, span, &items[i], from_end)) return false;
            continue;
        }
        if (item.kind != VALUE_INT) {
            if (item.kind != VALUE_ERROR)
                report(ev, DIAG_not_an_int, span, "a list of places consists of ints; this is %s",
                       value_kind_name(item));
            return false;
        }
        if (!place_fits(ev, item, place_of_index(ev, item, size), size, span)) return false;
        items[i] = value_dim(place_of_index(ev, item, size));
        if (items[i].kind == VALUE_INT) continue;
        items[i] = item;
        *from_end = true;
    }
    *out = value_list(ev->arena, VALUE_LIST, items, NULL, list.list->count);
    return true;
}

/* An operator on two tensors, or on a tensor and a number or size. */
static Node *join_nodes(Evaluator *ev, Op op, Node *a, Value b, Span span) {
    Node *pair[] = {a, a ? operand_node(ev, b, value_node(a), span) : NULL};
    if (!pair[1] || !broadcast_nodes(ev, pair, 2, span, NULL)) return NULL;
    return make_node(ev, op, pair, 2, NULL, span);
}

static Node *list_places(Evaluator *ev, Value list, Dim size, Span span) {
    Value ints;
    bool from_end = false;
    if (!places_from_front(ev, list, size, span, &ints, &from_end)) return NULL;
    Node *places = tensor_from_values(ev, ints, DTYPE_I32, span);
    if (!places || !from_end) return places;
    Node *front = join_nodes(ev, OP_add, places, value_dim(size), span),
         *negative = join_nodes(ev, OP_lt, places, value_int(0), span);
    return front && negative ? make_node(ev, OP_select, (Node *[]){negative, front, places}, 3, NULL, span)
                             : NULL;
}

static bool cut_axis(Evaluator *ev, const Index *index, Value at, Dim size, int axis, Cut *cut) {
    if (index->slice) return axis_slice(ev, index, size, axis, cut);
    if (at.kind == VALUE_INT || at.kind == VALUE_DIM) return axis_place(ev, at, size, index->span, axis, cut);
    if (at.kind == VALUE_TENSOR || at.kind == VALUE_LIST) {
        cut->places[axis] = at.kind == VALUE_TENSOR ? at.node : list_places(ev, at, size, index->span);
        return cut->places[axis] != NULL;
    }
    if (at.kind == VALUE_ERROR) return false;
    Diagnostic *d =
        report(ev, DIAG_not_an_int, index->span,
               "an index is an int, a slice, `...`, `none`, a list of ints or an i32 tensor; this is %s",
               value_kind_name(at));
    if (at.kind == VALUE_TUPLE) report_help(ev, d, "a list of places is written in brackets: `x[[2, 1, 0]]`");
    return false;
}

/* ---- all indices ---- */

static Value too_many_indices(Evaluator *ev, const Expr *expr, const Node *x, int taking) {
    report(ev, DIAG_index_range, expr->span, "%d indices for %s", taking, shape_string(ev->arena, x->shape));
    return value_error;
}

/* How many axes the indices take: all but `...` and `none`, which adds one. -1 after an
 * error. */
static int count_taking(Evaluator *ev, const Expr *expr, const Value *at) {
    int taking = 0, rests = 0;
    for (int i = 0; i < expr->indices.count; i++) {
        const Index *index = &expr->indices.items[i];
        rests += index->rest;
        taking += !index->rest && (index->slice || at[i].kind != VALUE_NONE);
        if (rests < 2) continue;
        report(ev, DIAG_index_range, index->span,
               "`...` is for all axes that have no other index, and can occur once");
        return -1;
    }
    return taking;
}

static bool read_indices(Evaluator *ev, const Expr *expr, const Value *at, const Node *x, int taking,
                         Cut *cut) {
    int rank = x->shape.rank, axis = 0;
    for (int i = 0; i < rank; i++) {
        cut->begin[i] = dim_const(ev->dims, 0);
        cut->size[i] = x->shape.dims[i];
        cut->step[i] = 1;
    }
    for (int i = 0; i < expr->indices.count; i++) {
        const Index *index = &expr->indices.items[i];
        if (index->rest) axis += rank - taking;
        else if (!index->slice && at[i].kind == VALUE_NONE) cut->fresh[axis]++;
        else if (!cut_axis(ev, index, at[i], x->shape.dims[axis], axis, cut)) return false;
        else axis++;
    }
    return true;
}

/* ---- nodes ---- */

static Node *slice_node(Evaluator *ev, Node *x, const Cut *cut) {
    int rank = x->shape.rank;
    if (!memcmp(cut->size, x->shape.dims, sizeof(Dim) * (size_t)rank)) return x;
    slice_attributes attributes = {
        .begin = {rank, cut->begin}, .size = {rank, cut->size}, .step = {rank, cut->step}};
    return make_node(ev, OP_slice, &x, 1, &attributes, cut->span);
}

static Node *turn_round(Evaluator *ev, Node *x, const Cut *cut) {
    int64_t axes[HIGHEST_RANK];
    int count = 0;
    for (int i = 0; x && i < x->shape.rank; i++)
        if (cut->backwards[i]) axes[count++] = i;
    return count ? make_node(ev, OP_flip, &x, 1, &(flip_attributes){.axes = {count, axes}}, cut->span) : x;
}

/* The axis of the result that axis i of the operand becomes, before places are
 * gathered. */
static int place_of_axis(const Cut *cut, int axis) {
    int place = cut->fresh[0];
    for (int i = 0; i < axis; i++) place += !cut->dropped[i] + cut->fresh[i + 1];
    return place;
}

static Node *drop_and_add_axes(Evaluator *ev, Node *x, const Cut *cut) {
    int rank = x->shape.rank, count = place_of_axis(cut, rank), at = 0;
    if (count > HIGHEST_RANK) {
        report(ev, DIAG_index_range, cut->span, "tensors have at most %d axes", HIGHEST_RANK);
        return NULL;
    }
    Dim dims[HIGHEST_RANK];
    bool same = true;
    for (int i = 0; i <= rank; i++) {
        for (int k = 0; k < cut->fresh[i]; k++) dims[at++] = dim_const(ev->dims, 1);
        if (i < rank && !cut->dropped[i]) dims[at++] = x->shape.dims[i];
        same &= !cut->fresh[i] && (i == rank || !cut->dropped[i]);
    }
    return same ? x : make_node(ev, OP_reshape, &x, 1, &(reshape_attributes){.dims = {at, dims}}, cut->span);
}

/* ---- computed places ---- */

typedef struct Gathered { /* the axes with computed places, in order, and the places */
    int count, axes[HIGHEST_RANK];
    Node *places[HIGHEST_RANK];
} Gathered;

/* Merges several axes into one, and their places into one place: x[i, j] takes the
 * elements (i[k], j[k]), as in numpy. */
static Node *common_place(Evaluator *ev, const Node *x, const Gathered *g, Span span) {
    Node *places[HIGHEST_RANK], *place = NULL;
    Dim all = dim_const(ev->dims, 1);
    memcpy(places, g->places, sizeof places);
    if (!broadcast_nodes(ev, places, g->count, span, NULL)) return NULL;
    for (int i = 0; i < g->count; i++) {
        Dim size = x->shape.dims[g->axes[i]];
        Node *inside = join_nodes(ev, OP_max, places[i], value_int(0), span);
        inside = join_nodes(ev, OP_min, inside, value_dim(dim_offset(ev->dims, size, -1)), span);
        all = dim_mul(ev->dims, all, size);
        if (i) place = join_nodes(ev, OP_mul, place, value_dim(size), span);
        place = i && inside ? join_nodes(ev, OP_add, place, value_node(inside), span) : inside;
        if (!place) return NULL;
    }
    const char *text = "places are counted in 32 bits, and these axes have more";
    return require_at_most(ev, all, dim_const(ev->dims, INT32_MAX), span, text) ? place : NULL;
}

/* Merges the axes into one: in place where they are adjacent, else before all others. */
static Node *merge_axes(Evaluator *ev, Node *x, const Gathered *g, int *axis, Span span) {
    bool adjacent = g->axes[g->count - 1] - g->axes[0] == g->count - 1;
    int rank = x->shape.rank, at = 0;
    *axis = adjacent ? g->axes[0] : 0;
    if (!adjacent) {
        int64_t order[HIGHEST_RANK];
        for (int i = 0; i < g->count; i++) order[at++] = g->axes[i];
        for (int i = 0, k = 0; i < rank; i++) {
            if (k < g->count && g->axes[k] == i) k++;
            else order[at++] = i;
        }
        x = make_node(ev, OP_transpose, &x, 1, &(transpose_attributes){.permutation = {rank, order}}, span);
        if (!x) return NULL;
    }
    Dim dims[HIGHEST_RANK];
    int count = 0;
    for (int i = 0; i < rank; i++) {
        bool further = i > *axis && i < *axis + g->count;
        if (further) dims[count - 1] = dim_mul(ev->dims, dims[count - 1], x->shape.dims[i]);
        else dims[count++] = x->shape.dims[i];
    }
    return make_node(ev, OP_reshape, &x, 1, &(reshape_attributes){.dims = {count, dims}}, span);
}

static Node *gather_places(Evaluator *ev, Node *x, const Cut *cut, int rank) {
    Gathered g = {0};
    for (int i = 0; i < rank; i++) {
        if (!cut->places[i]) continue;
        g.axes[g.count] = place_of_axis(cut, i);
        g.places[g.count++] = cut->places[i];
    }
    if (!g.count || !x) return x;
    int axis = g.axes[0];
    Node *place = g.places[0];
    if (g.count > 1) {
        place = common_place(ev, x, &g, cut->span);
        x = place ? merge_axes(ev, x, &g, &axis, cut->span) : NULL;
    }
    return x ? make_node(ev, OP_gather, (Node *[]){x, place}, 2, &(gather_attributes){.axis = axis},
                         cut->span)
             : NULL;
}

Value index_tensor(Evaluator *ev, const Expr *expr, Node *x) {
    int rank = x->shape.rank;
    Value *at = NEW_ARRAY(ev->arena, Value, expr->indices.count);
    for (int i = 0; i < expr->indices.count; i++) {
        const Index *index = &expr->indices.items[i];
        if (!index->slice && !index->rest) at[i] = settle(ev, evaluate(ev, index->at));
    }
    int taking = count_taking(ev, expr, at);
    if (taking < 0) return value_error;
    if (taking > rank || rank > HIGHEST_RANK) return too_many_indices(ev, expr, x, taking);
    Cut cut = {.span = expr->span};
    if (!read_indices(ev, expr, at, x, taking, &cut)) return value_error;
    Node *result = turn_round(ev, slice_node(ev, x, &cut), &cut);
    if (result) result = drop_and_add_axes(ev, result, &cut);
    return value_node(gather_places(ev, result, &cut, rank));
}
