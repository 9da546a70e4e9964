/* x[...] of lists and tuples, by place, slice or name, and of layers; of tensors it is
 * index_tensor.c. */
#include "elaborate/evaluator.h"

static Value out_of_range(Evaluator *ev, Span span, int64_t index, int count) {
    Diagnostic *d = report(ev, DIAG_index_range, span, "index %lld of a list of %d", (long long)index, count);
    if (count) report_help(ev, d, "items are counted from 0: the last is %d", count - 1);
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

/* An end of a list's slice, clamped to [lowest, highest] as in Python. */
static bool slice_end(Evaluator *ev, const Expr *expr, int64_t count, int64_t missing, int64_t lowest,
                      int64_t highest, int64_t *out) {
    *out = missing;
    if (!expr) return true;
    if (!evaluate_int(ev, expr, "the end of a slice", out)) return false;
    if (*out < 0) *out += count;
    *out = max_i64(lowest, min_i64(*out, highest));
    return true;
}

bool slice_step(Evaluator *ev, const Expr *expr, int64_t *step) {
    *step = 1;
    if (!expr) return true;
    if (!evaluate_int(ev, expr, "the step of a slice", step)) return false;
    if (*step != 0 && *step >= -INT32_MAX && *step <= INT32_MAX) return true;
    report(ev, DIAG_index_range, expr->span,
           *step ? "the step of this slice is too large" : "the step of a slice must not be 0");
    return false;
}

static Value list_slice(Evaluator *ev, const Index *index, Value list) {
    int64_t begin, end, step, count = list.list->count;
    if (!slice_step(ev, index->step, &step)) return value_error;
    bool back = step < 0;
    int64_t lowest = back ? -1 : 0, highest = back ? count - 1 : count;
    if (!slice_end(ev, index->at, count, back ? highest : lowest, lowest, highest, &begin) ||
        !slice_end(ev, index->end, count, back ? lowest : highest, lowest, highest, &end))
        return value_error;
    int64_t distance = back ? begin - end : end - begin,
            length = distance > 0 ? (distance - 1) / (back ? -step : step) + 1 : 0;
    Value *items = NEW_ARRAY(ev->arena, Value, length);
    Name *names = list.list->names ? NEW_ARRAY(ev->arena, Name, length) : NULL;
    for (int64_t i = 0; i < length; i++) {
        items[i] = list.list->items[begin + i * step];
        if (names) names[i] = list.list->names[begin + i * step];
    }
    return value_list(ev->arena, list.kind, items, names, (int)length);
}

static Value index_list(Evaluator *ev, const Expr *expr, Value list) {
    const Index *index = &expr->indices.items[0];
    if (expr->indices.count != 1 || index->rest) {
        report(ev, DIAG_index_range, expr->span, "a list has one index");
        return value_error;
    }
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
    return place >= 0 && place < count ? list.list->items[place]
                                       : out_of_range(ev, index->span, at.integer, count);
}

/* E.layer1[0]: a part by its number or its name. */
static Value index_layer(Evaluator *ev, const Expr *expr, const Layer *layer) {
    const Index *index = &expr->indices.items[0];
    Value at =
        expr->indices.count == 1 && !index->slice && !index->rest ? evaluate(ev, index->at) : value_none;
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
    if (left.kind != VALUE_ERROR)
        report(ev, DIAG_no_index, expr->span, "%s has no `[...]`", value_kind_name(left));
    return value_error;
}
