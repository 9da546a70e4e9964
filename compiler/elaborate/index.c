/* x[...] of lists, strings' names, and tensors: whole axes, slices, single places, and tensors of places. */
#include "elaborate/evaluator.h"

static Value out_of_range(Evaluator *ev, Span span, int64_t index, int count) {
    Diagnostic *d = report(ev, DIAG_index_range, span, "index %lld of a list of %d", (long long)index, count);
    if (count) report_help(ev, d, "items count from 0: the last is %d", count - 1);
    return value_error;
}

static Value list_by_name(Evaluator *ev, const List *list, Name name, Span span) {
    Vec(const char *) names = {0};
    for (int i = 0; list->names && i < list->count; i++) {
        if (!list->names[i]) continue;
        if (!strcmp(list->names[i], name)) return list->items[i];
        vec_push(ev->arena, &names, list->names[i]);
    }
    Diagnostic *d = report(ev, DIAG_no_such_member, span, "there is no `%s` among these values", name);
    report_suggestion(ev, d, name, names.items, names.count);
    return value_error;
}

static bool slice_end(Evaluator *ev, const Expr *expr, int64_t count, int64_t missing, int64_t *out) {
    *out = missing;
    if (!expr) return true;
    if (!evaluate_int(ev, expr, "the end of a slice", out)) return false;
    if (*out < 0) *out += count;
    *out = max_i64(0, min_i64(*out, count));
    return true;
}

/* Every how many elements are taken. */
static bool slice_step(Evaluator *ev, const Expr *expr, int64_t *step) {
    *step = 1;
    if (!expr) return true;
    if (!evaluate_int(ev, expr, "the step of a slice", step)) return false;
    if (*step >= 1) return true;
    Diagnostic *d = report(ev, DIAG_index_range, expr->span, "the step of a slice must be at least 1; this is %lld", (long long)*step);
    report_help(ev, d, "backwards are `reversed(list)` and, of a tensor, `x -> flipped(axes)`");
    return false;
}

static Value list_slice(Evaluator *ev, const Index *index, Value list) {
    int64_t begin, end, step, count = list.list->count;
    if (!slice_end(ev, index->at, count, 0, &begin) || !slice_end(ev, index->end, count, count, &end) ||
        !slice_step(ev, index->step, &step))
        return value_error;
    int64_t length = end > begin ? (end - begin - 1) / step + 1 : 0;
    Value *items = NEW_ARRAY(ev->arena, Value, length);
    Name *names = list.list->names ? NEW_ARRAY(ev->arena, Name, length) : NULL;
    for (int64_t i = 0; i < length; i++) {
        items[i] = list.list->items[begin + i * step];
        if (names) names[i] = list.list->names[begin + i * step];
    }
    return value_list(ev->arena, list.kind, items, names, (int)length);
}

static Value index_list(Evaluator *ev, const Expr *expr, Value list) {
    if (expr->indices.count != 1) {
        report(ev, DIAG_index_range, expr->span, "a list has one index");
        return value_error;
    }
    const Index *index = &expr->indices.items[0];
    int count = list.list->count;
    if (index->slice) return list_slice(ev, index, list);
    Value at = evaluate(ev, index->at);
    if (at.kind == VALUE_STRING) return list_by_name(ev, list.list, at.string, index->span);
    if (at.kind == VALUE_ERROR) return at;
    if (at.kind != VALUE_INT) {
        report(ev, DIAG_not_an_int, index->span, "an index must be an int; this is %s", value_kind_name(at));
        return value_error;
    }
    int64_t place = at.integer < 0 ? at.integer + count : at.integer;
    return place >= 0 && place < count ? list.list->items[place] : out_of_range(ev, index->span, at.integer, count);
}

/* ---- tensors ---- */

/* An end of a slice as a size; a negative one counts from the end. */
static bool slice_place(Evaluator *ev, const Expr *expr, Dim size, Dim missing, Dim *out) {
    *out = missing;
    if (!expr) return true;
    Value v = evaluate(ev, expr);
    if (v.kind != VALUE_INT && v.kind != VALUE_DIM) {
        if (v.kind != VALUE_ERROR)
            report(ev, DIAG_not_an_int, expr->span, "the ends of a slice are ints or sizes; this is %s", value_kind_name(v));
        return false;
    }
    *out = v.kind == VALUE_INT && v.integer < 0 ? dim_offset(ev->dims, size, v.integer) : as_dim(ev, v);
    return true;
}

/* a <= b, now or checked at run time with that text. */
static bool require_at_most(Evaluator *ev, Dim a, Dim b, Span span, const char *text) {
    bool holds;
    if (!decide_order(ev, OPERATOR_LE, a, b, &holds)) {
        const char *message = arena_printf(ev->arena, "%s: %s", place_text(ev->arena, user_span(ev, span)), text);
        graph_check(ev->graph, CHECK_AT_LEAST, b, a, message);
        return true;
    }
    if (!holds) report(ev, DIAG_index_range, span, "%s", text);
    return holds;
}

static bool axis_slice(Evaluator *ev, const Index *index, Dim size, Dim *begin, Dim *length, int64_t *step) {
    Dim end, zero = dim_const(ev->dims, 0);
    if (!slice_place(ev, index->at, size, zero, begin) || !slice_place(ev, index->end, size, size, &end) ||
        !slice_step(ev, index->step, step))
        return false;
    *length = dim_ceil_div(ev->dims, dim_sub(ev->dims, end, *begin), *step);
    const char *from = dim_string(ev->arena, *begin), *to = dim_string(ev->arena, end), *all = dim_string(ev->arena, size);
    const char *outside = arena_printf(ev->arena, "the slice %s:%s goes beyond its axis of %s", from, to, all);
    bool fits = require_at_most(ev, end, size, index->span, outside);
    fits = fits && (*begin == zero || require_at_most(ev, zero, *begin, index->span, outside));
    return fits && require_at_most(ev, dim_const(ev->dims, 1), *length, index->span,
                                   arena_printf(ev->arena, "the slice %s:%s is empty", from, to));
}

static bool axis_place(Evaluator *ev, Value at, Dim size, Span span, Dim *begin) {
    *begin = at.kind == VALUE_INT && at.integer < 0 ? dim_offset(ev->dims, size, at.integer) : as_dim(ev, at);
    const char *outside = arena_printf(ev->arena, "index %s is outside of its axis of %s", value_describe(ev->arena, at),
                                       dim_string(ev->arena, size));
    return require_at_most(ev, dim_offset(ev->dims, *begin, 1), size, span, outside) &&
           require_at_most(ev, dim_const(ev->dims, 0), *begin, span, outside);
}

typedef struct Cut { /* what the indices make of a tensor's axes */
    Dim begin[HIGHEST_RANK], size[HIGHEST_RANK];
    int64_t step[HIGHEST_RANK];
    bool dropped[HIGHEST_RANK];
    Node *places[HIGHEST_RANK];
} Cut;

static bool cut_axis(Evaluator *ev, const Index *index, Dim size, int axis, Cut *cut) {
    if (index->slice) return axis_slice(ev, index, size, &cut->begin[axis], &cut->size[axis], &cut->step[axis]);
    Value at = settle(ev, evaluate(ev, index->at));
    if (at.kind == VALUE_TENSOR) {
        cut->places[axis] = at.node;
        return true;
    }
    if (at.kind != VALUE_INT && at.kind != VALUE_DIM) {
        if (at.kind != VALUE_ERROR)
            report(ev, DIAG_not_an_int, index->span, "an index is an int, a slice or an i32 tensor; this is %s",
                   value_kind_name(at));
        return false;
    }
    cut->size[axis] = dim_const(ev->dims, 1);
    cut->dropped[axis] = true;
    return axis_place(ev, at, size, index->span, &cut->begin[axis]);
}

static Node *slice_node(Evaluator *ev, Node *x, const Cut *cut, Span span) {
    int rank = x->shape.rank;
    if (!memcmp(cut->size, x->shape.dims, sizeof(Dim) * (size_t)rank)) return x;
    slice_attributes attributes = {.begin = {rank, cut->begin}, .size = {rank, cut->size}, .step = {rank, cut->step}};
    return make_node(ev, OP_slice, &x, 1, &attributes, span);
}

static Node *drop_axes(Evaluator *ev, Node *x, const Cut *cut, Span span) {
    Dim dims[HIGHEST_RANK];
    int rank = 0;
    for (int i = 0; i < x->shape.rank; i++)
        if (!cut->dropped[i]) dims[rank++] = x->shape.dims[i];
    if (rank == x->shape.rank) return x;
    return make_node(ev, OP_reshape, &x, 1, &(reshape_attributes){.dims = {rank, dims}}, span);
}

/* Tensors of places go last, from the right, so that the axes before them keep their numbers. */
static Node *gather_places(Evaluator *ev, Node *x, const Cut *cut, int rank, Span span) {
    for (int axis = rank - 1; axis >= 0 && x; axis--) {
        int now = axis;
        if (!cut->places[axis]) continue;
        for (int i = 0; i < axis; i++) now -= cut->dropped[i];
        x = make_node(ev, OP_gather, (Node *[]){x, cut->places[axis]}, 2, &(gather_attributes){.axis = now}, span);
    }
    return x;
}

static Value index_tensor(Evaluator *ev, const Expr *expr, Node *x) {
    int rank = x->shape.rank;
    if (expr->indices.count > rank || rank > HIGHEST_RANK) {
        report(ev, DIAG_index_range, expr->span, "%d indices for %s", expr->indices.count, shape_string(ev->arena, x->shape));
        return value_error;
    }
    Cut cut = {0};
    for (int axis = 0; axis < rank; axis++) {
        cut.begin[axis] = dim_const(ev->dims, 0);
        cut.size[axis] = x->shape.dims[axis];
        cut.step[axis] = 1;
        if (axis < expr->indices.count && !cut_axis(ev, &expr->indices.items[axis], x->shape.dims[axis], axis, &cut))
            return value_error;
    }
    Node *result = slice_node(ev, x, &cut, expr->span);
    if (result) result = drop_axes(ev, result, &cut, expr->span);
    return value_node(result ? gather_places(ev, result, &cut, rank, expr->span) : NULL);
}

/* E.layer1[0]: a part by its number or its name. */
static Value index_layer(Evaluator *ev, const Expr *expr, const Layer *layer) {
    const Index *index = &expr->indices.items[0];
    Value at = expr->indices.count == 1 && !index->slice ? evaluate(ev, index->at) : value_none;
    if (at.kind == VALUE_ERROR) return at;
    if (at.kind == VALUE_STRING) return layer_part(ev, layer, at.string, expr->span);
    if (at.kind == VALUE_INT)
        return layer_part(ev, layer, arena_printf(ev->arena, "%lld", (long long)at.integer), expr->span);
    if (report_unrun(ev, layer_value((Layer *)layer))) return value_error;
    report(ev, DIAG_not_an_int, expr->span, "a layer's part is chosen by a number or a name");
    return value_error;
}

Value evaluate_index(Evaluator *ev, const Expr *expr) {
    Value left = settle(ev, evaluate(ev, expr->left));
    if (left.kind == VALUE_TENSOR) return index_tensor(ev, expr, left.node);
    if (value_is_sequence(left)) return index_list(ev, expr, left);
    if (left.kind == VALUE_LAYER) return index_layer(ev, expr, left.layer);
    if (left.kind != VALUE_ERROR) report(ev, DIAG_no_index, expr->span, "%s has no `[...]`", value_kind_name(left));
    return value_error;
}
