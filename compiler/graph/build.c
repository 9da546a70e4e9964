/* Constructors of nodes, for gradients and passes. What they build is known to be valid,
 * so a shape error is a bug of cai. */
#include "graph/ops.h"

Node *build_constant(Graph *g, const Number *values, int64_t count, Shape shape) {
    Data data = {count, values};
    constant_attributes attributes = {shape.type, {shape.rank, shape.dims}, &data};
    return graph_make(g, OP_constant, NULL, 0, &attributes);
}

static Number number_of_type(double value, DType type) {
    return number_cast((Number){.real = value}, DTYPE_F32, type);
}

Node *build_splat(Graph *g, double value, Shape shape) {
    Number number = number_of_type(value, shape.type);
    return build_constant(g, &number, 1, shape);
}

Node *build_scalar(Graph *g, double value, DType type) {
    return build_splat(g, value, (Shape){type, 0, NULL});
}

Node *build_unary(Graph *g, Op op, Node *x) { return graph_make(g, op, &x, 1, NULL); }

/* The sizes of a and b broadcast together by PyTorch's rule: aligned at the right, a
 * literal 1 stretches. */
static int common_dims(Graph *g, Shape a, Shape b, Dim *dims) {
    int rank = a.rank > b.rank ? a.rank : b.rank;
    Dim one = dim_const(g->dims, 1);
    for (int i = 0; i < rank; i++) {
        Dim left = i < rank - a.rank ? one : a.dims[i - (rank - a.rank)],
            right = i < rank - b.rank ? one : b.dims[i - (rank - b.rank)];
        dims[i] = left == one ? right : left;
    }
    return rank;
}

Node *build_binary(Graph *g, Op op, Node *a, Node *b) {
    Dim dims[REF_MAX_RANK];
    int rank = common_dims(g, a->shape, b->shape, dims);
    Node *inputs[2] = {build_broadcast(g, a, rank, dims), build_broadcast(g, b, rank, dims)};
    return graph_make(g, op, inputs, 2, NULL);
}

Node *build_select(Graph *g, Node *condition, Node *a, Node *b) {
    return graph_make(g, OP_select, (Node *[]){condition, a, b}, 3, NULL);
}

Node *build_broadcast(Graph *g, Node *x, int rank, const Dim *dims) {
    Shape wanted = {x->shape.type, rank, dims};
    if (shape_equal(x->shape, wanted)) return x;
    int missing = rank - x->shape.rank;
    CHECK(missing >= 0 && rank <= REF_MAX_RANK);
    Dim filled[REF_MAX_RANK];
    for (int i = 0; i < rank; i++)
        filled[i] = i < missing ? dim_const(g->dims, 1) : x->shape.dims[i - missing];
    x = build_reshape(g, x, rank, filled);
    if (shape_equal(x->shape, wanted)) return x;
    broadcast_attributes attributes = {{rank, dims}};
    return graph_make(g, OP_broadcast, &x, 1, &attributes);
}

Node *build_reshape(Graph *g, Node *x, int rank, const Dim *dims) {
    if (shape_equal(x->shape, (Shape){x->shape.type, rank, dims})) return x;
    reshape_attributes attributes = {{rank, dims}};
    return graph_make(g, OP_reshape, &x, 1, &attributes);
}

Node *build_transpose(Graph *g, Node *x, const int64_t *permutation) {
    transpose_attributes attributes = {{x->shape.rank, permutation}};
    return graph_make(g, OP_transpose, &x, 1, &attributes);
}

Node *build_slice(Graph *g, Node *x, const Dim *begin, const Dim *size, const int64_t *step) {
    int rank = x->shape.rank;
    int64_t ones[REF_MAX_RANK];
    for (int i = 0; i < rank; i++) ones[i] = 1;
    slice_attributes attributes = {{rank, begin}, {rank, size}, {rank, step ? step : ones}};
    return shape_dims_equal(x->shape, (Shape){x->shape.type, rank, size})
               ? x
               : graph_make(g, OP_slice, &x, 1, &attributes);
}

Node *build_pad(Graph *g, Node *x, const Dim *before, const Dim *after, const char *mode, double value) {
    int rank = x->shape.rank;
    bool none = true;
    for (int i = 0; i < rank; i++) none = none && before[i]->term_count == 0 && after[i]->term_count == 0;
    pad_attributes attributes = {
        {rank, before}, {rank, after}, intern(g->names, mode), number_of_type(value, x->shape.type)};
    return none ? x : graph_make(g, OP_pad, &x, 1, &attributes);
}

Node *build_concat(Graph *g, Node *const *parts, int count, int axis) {
    concat_attributes attributes = {axis};
    return count == 1 ? parts[0] : graph_make(g, OP_concat, parts, count, &attributes);
}

Node *build_sum(Graph *g, Node *x, const int64_t *axes, int axis_count) {
    sum_attributes attributes = {{axis_count, axes}};
    return axis_count == 0 ? x : graph_make(g, OP_sum, &x, 1, &attributes);
}

Node *build_sum_to(Graph *g, Node *x, Shape shape) {
    int missing = x->shape.rank - shape.rank, count = 0;
    int64_t axes[REF_MAX_RANK];
    CHECK(missing >= 0);
    for (int i = 0; i < x->shape.rank; i++)
        if (i < missing || x->shape.dims[i] != shape.dims[i - missing]) axes[count++] = i;
    return build_reshape(g, build_sum(g, x, axes, count), shape.rank, shape.dims);
}

Node *build_cast(Graph *g, Node *x, DType type) {
    cast_attributes attributes = {type};
    return x->shape.type == type ? x : graph_make(g, OP_cast, &x, 1, &attributes);
}
