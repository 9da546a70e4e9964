/* Reductions over axes; the axes stay, with size 1. */
#include "graph/ops.h"

static bool check_axes(Graph *g, Op op, Shape x, IntList axes, ShapeError *error) {
    for (int i = 0; i < axes.count; i++) {
        if (axes.items[i] < 0 || axes.items[i] >= x.rank)
            return shape_error(g, error, 0, -1, "%s over axis %lld of %s, which has axes 0 to %d", op_info[op].name,
                               (long long)axes.items[i], shape_string(g->arena, x), x.rank - 1);
        if (i > 0 && axes.items[i] <= axes.items[i - 1])
            return shape_error(g, error, 0, -1, "%s takes each axis once, in rising order", op_info[op].name);
    }
    return true;
}

bool shape_reduce(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape, ShapeError *error) {
    (void)count;
    IntList axes = *(const IntList *)attributes_first(op, attributes, ATTR_INTS);
    Shape x = inputs[0]->shape;
    if (x.type == DTYPE_BOOL) return shape_error(g, error, 0, -1, "%s takes numbers, not bool", op_info[op].name);
    if (!check_axes(g, op, x, axes, error)) return false;
    Dim *dims = copy_dims(g, x);
    for (int i = 0; i < axes.count; i++) dims[axes.items[i]] = dim_const(g->dims, 1);
    *shape = (Shape){x.type, x.rank, dims};
    return true;
}

bool shape_argmax(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape, ShapeError *error) {
    (void)count;
    int64_t axis = ((const argmax_attributes *)attributes)->axis;
    Shape x = inputs[0]->shape;
    if (!check_axes(g, op, x, (IntList){1, &axis}, error)) return false;
    Dim *dims = copy_dims(g, x);
    dims[axis] = dim_const(g->dims, 1);
    *shape = (Shape){DTYPE_I32, x.rank, dims};
    return true;
}

Node *grad_sum(Graph *g, Node *node, int input, Node *dy) {
    Shape x = node->inputs[input]->shape;
    return build_broadcast(g, dy, x.rank, x.dims);
}

/* Equal parts to all places that hold the largest, as PyTorch's amax. */
Node *grad_reduce_max(Graph *g, Node *node, int input, Node *dy) {
    Node *x = node->inputs[input];
    IntList axes = ATTRIBUTES(node, reduce_max)->axes;
    Node *top = build_broadcast(g, node, x->shape.rank, x->shape.dims);
    Node *is_top = build_cast(g, build_binary(g, OP_eq, x, top), x->shape.type);
    Node *share = build_binary(g, OP_div, dy, build_sum(g, is_top, axes.items, axes.count));
    return build_binary(g, OP_mul, is_top, build_broadcast(g, share, x->shape.rank, x->shape.dims));
}

/* ---- reference ----
 *
 * Walks the input in memory order; where an output element lies follows from strides that are 0 on reduced axes. */

void ref_sum(const RefCall *call) {
    int64_t strides[REF_MAX_RANK];
    const RefShape *x = &call->input_shapes[0];
    ref_strides(&call->shape, strides);
    for (int i = 0; i < x->rank; i++)
        if (has_axis(ATTRIBUTES(call->node, sum)->axes, i)) strides[i] = 0;
    ref_strided_add(call->out, call->inputs[0], x, strides, 0);
}

void ref_reduce_max(const RefCall *call) {
    int64_t strides[REF_MAX_RANK], index[REF_MAX_RANK] = {0}, at = 0;
    const RefShape *x = &call->input_shapes[0];
    bool real = dtype_is_float(x->type);
    Number least = number_least(x->type);
    ref_strides(&call->shape, strides);
    for (int i = 0; i < x->rank; i++)
        if (has_axis(ATTRIBUTES(call->node, reduce_max)->axes, i)) strides[i] = 0;
    for (int64_t i = 0; i < call->shape.count; i++) call->out[i] = least;
    for (int64_t i = 0; i < x->count; i++) {
        if (ref_above(call->inputs[0][i], call->out[at], real)) call->out[at] = call->inputs[0][i];
        for (int axis = x->rank - 1; axis >= 0; axis--) {
            at += strides[axis];
            if (++index[axis] < x->dims[axis]) break;
            at -= strides[axis] * x->dims[axis];
            index[axis] = 0;
        }
    }
}

void ref_argmax(const RefCall *call) {
    const RefShape *x = &call->input_shapes[0];
    int64_t axis = ATTRIBUTES(call->node, argmax)->axis, size = x->dims[axis], inner = 1;
    bool real = dtype_is_float(x->type);
    for (int i = (int)axis + 1; i < x->rank; i++) inner *= x->dims[i];
    for (int64_t i = 0; i < call->shape.count; i++) {
        const Number *column = call->inputs[0] + i / inner * size * inner + i % inner;
        int64_t best = 0;
        for (int64_t j = 1; j < size; j++)
            if (ref_above(column[j * inner], column[best * inner], real)) best = j;
        call->out[i].whole = best;
    }
}
