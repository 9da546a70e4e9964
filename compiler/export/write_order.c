/* Reductions, and operators that depend on the order of elements. */
#include "export/export.h"

static const char *ordered_value(Export *e, const Chosen *chosen) {
    return value_of(e, bound(chosen, "x")->node);
}

const char *write_sum(Export *e, const Chosen *chosen) {
    const DType from = bound(chosen, "x")->node->shape.type, to = chosen->node->shape.type;
    const char *x = ordered_value(e, chosen);
    if (from != to) x = call_cast(e, x, to);
    return call_reduce(e, "ReduceSum", 13, x, ATTRIBUTES(chosen->node, sum)->axes, true);
}

const char *write_reduce_max(Export *e, const Chosen *chosen) {
    return call_reduce(e, "ReduceMax", 18, ordered_value(e, chosen),
                       ATTRIBUTES(chosen->node, reduce_max)->axes, true);
}

const char *write_argmax(Export *e, const Chosen *chosen) {
    OnnxCall *call = call_begin(e, "ArgMax");
    call_input(call, ordered_value(e, chosen));
    call_int(call, "axis", ATTRIBUTES(chosen->node, argmax)->axis);
    return call_cast(e, call_end(call), DTYPE_I32);
}

const char *write_cumsum(Export *e, const Chosen *chosen) {
    const double axis = (double)ATTRIBUTES(chosen->node, cumsum)->axis;
    return call_2(e, "CumSum", ordered_value(e, chosen), value_of_number(e, axis, DTYPE_I64));
}

const char *write_top_k(Export *e, const Chosen *chosen) {
    const top_k_attributes *a = ATTRIBUTES(chosen->node, top_k);
    const char *x = ordered_value(e, chosen), *count = value_of_size(e, a->k.items[0]), *results[2];
    if (!count) return NULL;
    OnnxCall *call = call_begin(e, "TopK");
    call_input(call, x), call_input(call, count);
    call_int(call, "axis", a->axis);
    call_int(call, "largest", a->largest);
    call_end_all(call, 2, results);
    return call_cast(e, results[1], DTYPE_I32);
}

/* ---- non-maximum suppression ---- */

/* A column of what NonMaxSuppression found, as [found, 1]: 0 is the picture, 2 the
 * box. */
static const char *found_column(Export *e, const char *found, int64_t column) {
    const int64_t ends = column + 1, axis = 1;
    OnnxCall *call = call_begin(e, "Slice");
    call_input(call, found);
    call_input(call, value_of_ints(e, &column, 1));
    call_input(call, value_of_ints(e, &ends, 1));
    call_input(call, value_of_ints(e, &axis, 1));
    return call_end(call);
}

/* How many rows of the same picture come before, [found, 1]. CumSum counts the rows of
 * each picture. */
static const char *place_in_picture(Export *e, const char *picture, const char *pictures) {
    const int64_t one = 1;
    const char *zero = value_of_number(e, 0, DTYPE_I64), *step = value_of_number(e, 1, DTYPE_I64);
    const char *scalar = call_2(e, "Reshape", pictures, value_of_ints(e, NULL, 0));
    const char *is_of = call_2(e, "Equal", picture, call_3(e, "Range", zero, scalar, step));
    const char *counted = call_cast(e, is_of, DTYPE_I32);
    const char *before = call_2(e, "Sub", call_2(e, "CumSum", counted, zero), counted);
    const int64_t axes[] = {1};
    const char *place =
        call_reduce(e, "ReduceSum", 13, call_2(e, "Mul", before, counted), (IntList){(int)one, axes}, true);
    return call_cast(e, place, DTYPE_I64);
}

/* ONNX lists the boxes that it keeps as rows of (picture, class, box). The graph wants a
 * row for each picture, filled up with -1. */
const char *write_nms(Export *e, const Chosen *chosen) {
    const nms_attributes *a = ATTRIBUTES(chosen->node, nms);
    Node *boxes = bound(chosen, "x")->node, *scores = bound(chosen, "y")->node;
    const Shape s = scores->shape;
    const Dim with_class[] = {s.dims[0], dim_const(e->graph->dims, 1), s.dims[1]};
    const char *values[] = {value_of(e, boxes),
                            value_reshaped(e, value_of(e, scores), s, (Shape){s.type, 3, with_class})};
    const char *sizes = value_of_sizes(e, chosen->node->shape.dims, 2),
               *pictures = value_of_size(e, s.dims[0]);
    if (!values[1] || !sizes || !pictures) return NULL;
    const int64_t most = a->most;
    OnnxCall *call = call_begin(e, "NonMaxSuppression");
    call_input(call, values[0]), call_input(call, values[1]);
    call_input(call, value_of_ints(e, &most, 1));
    call_input(call, value_of_number(e, a->iou, DTYPE_F32));
    call_input(call, value_of_number(e, a->score, DTYPE_F32));
    const char *found = call_end(call), *picture = found_column(e, found, 0);
    const char *place = place_in_picture(e, picture, pictures);
    OnnxCall *join = call_begin(e, "Concat");
    call_input(join, picture), call_input(join, place);
    call_int(join, "axis", 1);
    const char *where = call_end(join), *none = call_2(e, "Expand", value_of_number(e, -1, DTYPE_I64), sizes);
    const int64_t flat = -1;
    const char *box = call_2(e, "Reshape", found_column(e, found, 2), value_of_ints(e, &flat, 1));
    return call_cast(e, call_3(e, "ScatterND", none, where, box), DTYPE_I32);
}
