/* Matrix products by PyTorch's rule: a vector is a matrix of one row or column, leading
 * axes broadcast. */
#include "elaborate/evaluator.h"

/* The size of axis i of `rank`, aligned at the right; NULL where the node has no such
 * axis. */
static Dim leading_size(const Node *node, int rank, int i) {
    int axis = i - (rank - node->shape.rank);
    return axis < 0 ? NULL : node->shape.dims[axis];
}

static Node *with_leading(Evaluator *ev, Node *x, int rank, const Dim *leading, Span span) {
    Dim dims[HIGHEST_RANK];
    memcpy(dims, leading, sizeof *dims * (size_t)(rank - 2));
    dims[rank - 2] = x->shape.dims[x->shape.rank - 2];
    dims[rank - 1] = x->shape.dims[x->shape.rank - 1];
    return stretch_node(ev, x, rank, dims, span);
}

static Node *as_matrix(Evaluator *ev, Node *x, bool row, Span span) {
    if (x->shape.rank != 1) return x;
    Dim one = dim_const(ev->dims, 1), size = x->shape.dims[0], dims[2] = {row ? one : size, row ? size : one};
    return make_node(ev, OP_reshape, &x, 1, &(reshape_attributes){.dims = {2, dims}}, span);
}

static bool match_leading(Evaluator *ev, Node *a, Node *b, int rank, Dim *leading, Span span) {
    for (int i = 0; i < rank - 2; i++) {
        Dim da = leading_size(a, rank, i), db = leading_size(b, rank, i);
        leading[i] = counts_as_one(da) ? (db ? db : dim_const(ev->dims, 1)) : da;
        if (counts_as_one(da) || counts_as_one(db) || da == db) continue;
        report(ev, DIAG_shape, span, "a matrix product of %s and %s: the leading sizes %s and %s do not fit",
               shape_string(ev->arena, a->shape), shape_string(ev->arena, b->shape),
               dim_string(ev->arena, da), dim_string(ev->arena, db));
        return false;
    }
    return true;
}

static Value drop_vector_axes(Evaluator *ev, Node *product, bool drop_row, bool drop_column, Span span) {
    if (!product || (!drop_row && !drop_column)) return value_node(product);
    Dim dims[HIGHEST_RANK];
    int rank = 0;
    for (int i = 0; i < product->shape.rank; i++) {
        bool drop =
            (drop_row && i == product->shape.rank - 2) || (drop_column && i == product->shape.rank - 1);
        if (!drop) dims[rank++] = product->shape.dims[i];
    }
    return value_node(
        make_node(ev, OP_reshape, &product, 1, &(reshape_attributes){.dims = {rank, dims}}, span));
}

static bool swapped_fits(Dim size, const Node *other, int axis_from_right) {
    return other->shape.rank >= 2 && other->shape.dims[other->shape.rank - axis_from_right] == size;
}

/* q @ k of [.., L, d] and [.., M, d]: one of them must be transposed. */
static void help_swap(Evaluator *ev, Diagnostic *d, const Node *a, const Node *b, const Expr *expr) {
    const char *left = span_text(ev->arena, expr->left->span),
               *right = span_text(ev->arena, expr->right->span);
    Dim inner = a->shape.dims[a->shape.rank - 1], outer = b->shape.dims[max_i64(b->shape.rank - 2, 0)];
    if (swapped_fits(inner, b, 1))
        report_help(ev, d, "swap the last two axes of one: `%s @ swap_last(%s)`", left, right);
    else if (swapped_fits(outer, a, 2))
        report_help(ev, d, "swap the last two axes of one: `swap_last(%s) @ %s`", left, right);
}

Value tensor_matmul(Evaluator *ev, Node *a, Node *b, Span span, const Expr *expr) {
    if (a->shape.rank == 0 || b->shape.rank == 0 || a->shape.rank > HIGHEST_RANK ||
        b->shape.rank > HIGHEST_RANK) {
        report(ev, DIAG_shape, span, "`@` multiplies matrices; one of these is %s",
               shape_string(ev->arena, (a->shape.rank ? b : a)->shape));
        return value_error;
    }
    bool row = a->shape.rank == 1, column = b->shape.rank == 1;
    Node *left = as_matrix(ev, a, true, span), *right = as_matrix(ev, b, false, span);
    if (!left || !right) return value_error;
    Dim inner = left->shape.dims[left->shape.rank - 1], outer = right->shape.dims[right->shape.rank - 2],
        leading[HIGHEST_RANK];
    if (inner != outer) {
        Diagnostic *d =
            report(ev, DIAG_shape, span, "a matrix product needs equal inner sizes, not %s and %s",
                   dim_string(ev->arena, inner), dim_string(ev->arena, outer));
        if (expr && expr->left)
            report_label(ev, d, expr->left->span, "%s", shape_string(ev->arena, a->shape));
        if (expr && expr->right)
            report_label(ev, d, expr->right->span, "%s", shape_string(ev->arena, b->shape));
        if (!expr || expr->span.source->library) report_operands(ev, d);
        else help_swap(ev, d, a, b, expr);
        return value_error;
    }
    int rank = left->shape.rank > right->shape.rank ? left->shape.rank : right->shape.rank;
    if (!match_leading(ev, left, right, rank, leading, span)) return value_error;
    left = with_leading(ev, left, rank, leading, span);
    right = with_leading(ev, right, rank, leading, span);
    if (!left || !right) return value_error;
    return drop_vector_axes(ev, make_node(ev, OP_matmul, (Node *[]){left, right}, 2, NULL, span), row, column,
                            span);
}
