/* The batched matrix product. */
#include "graph/ops.h"

bool shape_matmul(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                  ShapeError *error) {
    (void)op, (void)count, (void)attributes;
    Shape a = inputs[0]->shape, b = inputs[1]->shape;
    const char *left = shape_string(g->arena, a), *right = shape_string(g->arena, b);
    if (!dtype_is_float(a.type) || a.type != b.type)
        return shape_error(g, error, 1, -1, "a matrix product takes floats of one type, not %s and %s", left,
                           right);
    if (a.rank < 2 || b.rank < 2 || a.rank != b.rank)
        return shape_error(g, error, 1, -1,
                           "a matrix product takes two tensors of equal rank, 2 or more, not %s and %s", left,
                           right);
    for (int i = 0; i < a.rank - 2; i++)
        if (a.dims[i] != b.dims[i])
            return shape_error(g, error, 1, i, "a matrix product takes equal leading axes, not %s and %s",
                               left, right);
    if (a.dims[a.rank - 1] != b.dims[b.rank - 2])
        return shape_error(g, error, 1, b.rank - 2,
                           "matrix product of %s and %s: rows of %s meet columns of %s", left, right,
                           size_text(g, a.dims[a.rank - 1]), size_text(g, b.dims[b.rank - 2]));
    Dim *dims = copy_dims(g, a);
    dims[a.rank - 1] = b.dims[b.rank - 1];
    *shape = (Shape){a.type, a.rank, dims};
    return true;
}

static Node *transposed_matrix(Graph *g, Node *x) {
    int64_t order[REF_MAX_RANK];
    int rank = x->shape.rank;
    for (int i = 0; i < rank; i++) order[i] = i;
    order[rank - 1] = rank - 2;
    order[rank - 2] = rank - 1;
    return build_transpose(g, x, order);
}

Node *grad_matmul(Graph *g, Node *node, int input, Node *dy) {
    Node *operands[2] = {dy, transposed_matrix(g, node->inputs[1])};
    if (input == 1) operands[0] = transposed_matrix(g, node->inputs[0]), operands[1] = dy;
    return graph_make(g, OP_matmul, operands, 2, NULL);
}

/* By plain loops; the loop over the terms is outermost. */
static void product_plain(int64_t rows, int64_t columns, int64_t depth, RefMatrix a, RefMatrix b, double *c,
                          int64_t c_row) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < depth; k++) {
            double factor = a.at[i * a.row + k * a.column], *row = c + i * c_row;
            const double *right = b.at + k * b.row;
            for (int64_t j = 0; j < columns; j++) row[j] += factor * right[j * b.column];
        }
}

/* The strides of an operand's matrix, which may be transposed; an axis of size 1 gets the
 * stride that it would have. */
static RefMatrix matrix_of(const RefShape *shape, const RefLayout *layout) {
    int64_t rows = shape->dims[shape->rank - 2], columns = shape->dims[shape->rank - 1];
    RefMatrix matrix = {.row = layout->strides[shape->rank - 2], .column = layout->strides[shape->rank - 1]};
    if (columns == 1) matrix.column = 1;
    if (rows == 1) matrix.row = matrix.column == 1 ? columns : 1;
    return matrix;
}

bool ref_matrix_lies(const RefShape *shape, const RefLayout *layout) {
    RefMatrix m = matrix_of(shape, layout);
    int64_t rows = shape->dims[shape->rank - 2], columns = shape->dims[shape->rank - 1];
    return (m.column == 1 && m.row >= columns) || (m.row == 1 && m.column >= rows);
}

/* The axes that count the matrices. */
static RefShape leading_axes(const RefShape *shape) {
    RefShape batch = {.rank = shape->rank - 2, .count = 1};
    for (int i = 0; i < batch.rank; i++) batch.count *= batch.dims[i] = shape->dims[i];
    return batch;
}

/* One product for each index of the leading axes; an iteration is a piece of a
 * product. */
typedef struct Products {
    const RefCall *call;
    RefLayout layouts[2];
    RefWalk walk;
    Product first;
} Products;

static void run_products(void *context, int64_t begin, int64_t end) {
    const Products *p = context;
    const RefCall *call = p->call;
    int64_t pieces = product_pieces(&p->first);
    for (int64_t i = begin; i < end; i++) {
        Product product = p->first;
        RefWalk walk = p->walk;
        int64_t number = i / pieces, at = number % walk.inner;
        walk_seek(&walk, number / walk.inner);
        const Number *a = call->inputs[0] + walk.of[0].at + at * walk.of[0].step;
        const Number *b = call->inputs[1] + walk.of[1].at + at * walk.of[1].step;
        product.a = matrix_of(&call->input_shapes[0], &p->layouts[0]);
        product.b = matrix_of(&call->input_shapes[1], &p->layouts[1]);
        product.a.at = &a->real;
        product.b.at = &b->real;
        product.c += number * product.rows * product.columns;
        product_piece(product, i % pieces);
    }
}

void ref_matmul(const RefCall *call) {
    const RefShape *a = &call->input_shapes[0], *b = &call->input_shapes[1];
    RefShape batch = leading_axes(a);
    Products p = {.call = call, .layouts = {ref_layout(call, 0), ref_layout(call, 1)}};
    p.walk = walk_begin(&batch, p.layouts, 2);
    p.first = (Product){.by = call->product ? call->product : product_plain,
                        .rows = a->dims[a->rank - 2],
                        .columns = b->dims[b->rank - 1],
                        .depth = a->dims[a->rank - 1],
                        .c = &call->out->real,
                        .c_row = b->dims[b->rank - 1]};
    ref_clear(call);
    parallel_for(batch.count * product_pieces(&p.first), product_piece_work(&p.first), run_products, &p);
}
