/* The batched matrix product. */
#include "graph/ops.h"

bool shape_matmul(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape, ShapeError *error) {
    (void)op, (void)count, (void)attributes;
    Shape a = inputs[0]->shape, b = inputs[1]->shape;
    const char *left = shape_string(g->arena, a), *right = shape_string(g->arena, b);
    if (!dtype_is_float(a.type) || a.type != b.type)
        return shape_error(g, error, 1, -1, "a matrix product takes floats of one type, not %s and %s", left, right);
    if (a.rank < 2 || b.rank < 2 || a.rank != b.rank)
        return shape_error(g, error, 1, -1, "a matrix product takes two tensors of equal rank, 2 or more, not %s and %s", left,
                           right);
    for (int i = 0; i < a.rank - 2; i++)
        if (a.dims[i] != b.dims[i])
            return shape_error(g, error, 1, i, "a matrix product takes equal leading axes, not %s and %s", left, right);
    if (a.dims[a.rank - 1] != b.dims[b.rank - 2])
        return shape_error(g, error, 1, b.rank - 2, "matrix product of %s and %s: rows of %s meet columns of %s", left, right,
                           size_text(g, a.dims[a.rank - 1]), size_text(g, b.dims[b.rank - 2]));
    Dim *dims = copy_dims(g, a);
    dims[a.rank - 1] = b.dims[b.rank - 1];
    *shape = (Shape){a.type, a.rank, dims};
    return true;
}

static Node *transposed(Graph *g, Node *x) {
    int64_t order[REF_MAX_RANK];
    int rank = x->shape.rank;
    for (int i = 0; i < rank; i++) order[i] = i;
    order[rank - 1] = rank - 2;
    order[rank - 2] = rank - 1;
    return build_transpose(g, x, order);
}

Node *grad_matmul(Graph *g, Node *node, int input, Node *dy) {
    Node *operands[2] = {dy, transposed(g, node->inputs[1])};
    if (input == 1) operands[0] = transposed(g, node->inputs[0]), operands[1] = dy;
    return graph_make(g, OP_matmul, operands, 2, NULL);
}

/* By plain loops, a term of all sums after the other. */
static void product_plain(int64_t rows, int64_t columns, int64_t depth, RefMatrix a, RefMatrix b, double *c, int64_t c_row) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < depth; k++) {
            double factor = a.at[i * a.row + k * a.column], *row = c + i * c_row;
            const double *right = b.at + k * b.row;
            for (int64_t j = 0; j < columns; j++) row[j] += factor * right[j * b.column];
        }
}

void ref_matmul(const RefCall *call) {
    const RefShape *a = &call->input_shapes[0], *b = &call->input_shapes[1];
    int64_t rows = a->dims[a->rank - 2], depth = a->dims[a->rank - 1], columns = b->dims[b->rank - 1];
    RefProduct product = call->product ? call->product : product_plain;
    for (int64_t left = 0, right = 0, out = 0; out < call->shape.count; left += rows * depth, right += depth * columns, out += rows * columns)
        product(rows, columns, depth, (RefMatrix){&call->inputs[0]->real + left, depth, 1}, (RefMatrix){&call->inputs[1]->real + right, columns, 1},
                &call->out->real + out, columns);
}
