/* Reductions over axes, which stay with size 1. */
#include "graph/ops.h"

static bool check_axes(Graph *g, Op op, Shape x, IntList axes, ShapeError *error) {
    for (int i = 0; i < axes.count; i++) {
        if (axes.items[i] < 0 || axes.items[i] >= x.rank)
            return shape_error(g, error, 0, -1, "%s over axis %lld of %s, which has axes 0 to %d",
                               op_info[op].name, (long long)axes.items[i], shape_string(g->arena, x),
                               x.rank - 1);
        if (i > 0 && axes.items[i] <= axes.items[i - 1])
            return shape_error(g, error, 0, -1, "%s takes each axis once, in rising order", op_info[op].name);
    }
    return true;
}

bool shape_reduce(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                  ShapeError *error) {
    (void)count;
    IntList axes = *(const IntList *)attributes_first(op, attributes, ATTR_INTS);
    Shape x = inputs[0]->shape;
    if (x.type == DTYPE_BOOL)
        return shape_error(g, error, 0, -1, "%s takes numbers, not bool", op_info[op].name);
    if (!check_axes(g, op, x, axes, error)) return false;
    Dim *dims = copy_dims(g, x);
    for (int i = 0; i < axes.count; i++) dims[axes.items[i]] = dim_const(g->dims, 1);
    *shape = (Shape){x.type, x.rank, dims};
    return true;
}

bool shape_argmax(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                  ShapeError *error) {
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

/* Equal parts for all places that hold the maximum, as in PyTorch's amax. */
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
 * Walks the input by rows, and the output by strides that are 0 on reduced axes. An
 * iteration is a place on an axis that is kept. The terms of an element of the result
 * come in the same order for every layout, however the loop is cut into parts. */

typedef void Reduce(Number *to, int64_t to_step, const Number *x, int64_t step, int64_t count, bool real);

typedef struct Reduction {
    const RefCall *call;
    Reduce *row;
    RefLayout in, out;
    int axis; /* the axis of the iterations, or -1 */
} Reduction;

static int longest_axis(const RefShape *shape) {
    int longest = -1;
    for (int i = 0; i < shape->rank; i++)
        if (shape->dims[i] > (longest < 0 ? 1 : shape->dims[longest])) longest = i;
    return longest;
}

static void reduce_part(void *context, int64_t begin, int64_t end) {
    const Reduction *r = context;
    RefShape shape = r->call->input_shapes[0];
    const Number *x = r->call->inputs[0];
    Number *out = r->call->out;
    if (r->axis >= 0) {
        shape.count = shape.count / shape.dims[r->axis] * (end - begin);
        shape.dims[r->axis] = end - begin;
        x += begin * r->in.strides[r->axis];
        out += begin * r->out.strides[r->axis];
    }
    RefWalk walk = walk_begin(&shape, (RefLayout[]){r->in, r->out}, 2);
    int64_t step = walk.of[0].step, out_step = walk.of[1].step;
    bool real = dtype_is_float(shape.type);
    for (int64_t row = 0; row < walk.rows; row++, walk_next(&walk))
        r->row(out + walk.of[1].at, out_step, x + walk.of[0].at, step, walk.inner, real);
}

static void reduce_axes(const RefCall *call, IntList axes, Number first, Reduce *row) {
    Reduction r = {call, row, ref_layout(call, 0), layout_plain(&call->shape), longest_axis(&call->shape)};
    int64_t rounds = r.axis < 0 ? 1 : call->shape.dims[r.axis];
    for (int i = 0; i < axes.count; i++) r.out.strides[axes.items[i]] = 0;
    for (int64_t i = 0; i < call->shape.count; i++) call->out[i] = first;
    if (call->shape.count) parallel_for(rounds, call->input_shapes[0].count / rounds, reduce_part, &r);
}

FOR_EACH_PROCESSOR static void add_reals(Number *to, const Number *x, int64_t count) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) to[i].real += x[i].real;
}

static void add_number_row(Number *to, int64_t to_step, const Number *x, int64_t step, int64_t count,
                           bool real) {
    if (real && to_step == 1 && step == 1) add_reals(to, x, count);
    else
        for (int64_t i = 0; i < count; i++) to[i * to_step] = number_sum(to[i * to_step], x[i * step], real);
}

void ref_sum(const RefCall *call) {
    reduce_axes(call, ATTRIBUTES(call->node, sum)->axes, (Number){0}, add_number_row);
}

static void keep_above(Number *to, int64_t to_step, const Number *x, int64_t step, int64_t count, bool real) {
    for (int64_t i = 0; i < count; i++)
        if (ref_above(x[i * step], to[i * to_step], real)) to[i * to_step] = x[i * step];
}

void ref_reduce_max(const RefCall *call) {
    reduce_axes(call, ATTRIBUTES(call->node, reduce_max)->axes, number_least(call->shape.type), keep_above);
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
