/* Applies rules of algebra and of movement until none matches.
 *
 * Needs nothing. What the rules may change:
 * - They may lose the sign of a zero (x + 0 is x), but never hide a NaN or an infinity: 0
 *   * x and x - x stay.
 * - A division becomes a multiplication only if the divisor is a power of two, whose
 *   reciprocal is exact: every quotient is rounded once.
 * - All rules are exact and keep the range, except these for floats, where u is half a
 *   unit in the last place:
 *
 *     (x * a) * b       to x * (a * b): 3 u of the result. Only if neither constant makes x
 *                       larger, or neither smaller, and their product is a normal f32: then
 *                       both forms overflow, and underflow, for the same x.
 *                       (x + a) + b stays, since its rounding may be intended:
 *                       x + 12582912 - 12582912.
 *     pow(x, 2), (x, 3) to x * x, x * (x * x): 2 u of the result; pow itself is within 2 u.
 *     pow(x, 0.5)       to sqrt(x), correctly rounded: NaN for minus infinity, as in PyTorch
 *                       and numpy for x ** 0.5.
 *     sum(sum(x))       to one sum: a multiple of the sum of |x| that the number of terms
 *                       bounds, as in the text. The kernel chooses the order of a sum, and so
 *                       where a partial sum overflows.
 *     sum of repeats    to a multiple: 2 u of the result; the text rounds once a term.
 *     sum of products   over a batch, sum(x^T y), to one product of all rows: as of sum(sum(x)).
 *     pad by zeros      to padding of the convolution or pool: exact, except that a weight of
 *                       NaN or infinity meets no padding.
 *
 * A constant becomes the right operand of a commutative operator, where later stages
 * expect it: max(x, 0) is a relu. Elementwise work moves before the movement of its
 * operands, so that it follows the contraction with which it can be fused, and before a
 * broadcast, where there is less of it. `stop` nodes are removed: they only matter while
 * gradients are built. */
#include "graph/ops.h"
#include "passes/passes.h"
#include <float.h>
#include <math.h>

#define MAX_ROUNDS 16

typedef Node *(*Rule)(Graph *g, const Node *old, Node *const *in);

static bool is_value(const Node *node, double wanted) {
    double value;
    return node_is_splat(node, &value) && value == wanted;
}

/* ---- arithmetic ---- */

/* Whether x * (a * b) has the same range as x * a * b: a and b both grow or both shrink
 * x, and their product is normal. */
static bool product_is_safe(const Node *a, const Node *b) {
    double x, y;
    if (!node_is_splat(a, &x) || !node_is_splat(b, &y)) return false;
    x = fabs(x), y = fabs(y);
    return ((x >= 1 && y >= 1) || (x <= 1 && y <= 1)) && x * y >= FLT_MIN && x * y <= FLT_MAX;
}

/* Whether (x op a) op b, in ints or floats, is x op (a op b) within the promises
 * above. */
static bool is_associative(Op op, DType type, const Node *a, const Node *b) {
    if (!dtype_is_float(type) || op == OP_min || op == OP_max) return true;
    return op == OP_mul && type == DTYPE_F32 && product_is_safe(a, b);
}

/* op(constant, x) to op(x, constant); (x op a) op b to x op (a op b) for constants a,
 * b. */
static Node *gather_constants(Graph *g, const Node *old, Node *const *in) {
    Op op = old->op;
    if (in[0]->op == OP_constant && in[1]->op != OP_constant) return build_binary(g, op, in[1], in[0]);
    if (op == OP_eq || op == OP_ne || in[0]->op != op || in[1]->op != OP_constant ||
        in[0]->inputs[1]->op != OP_constant)
        return NULL;
    if (!is_associative(op, old->shape.type, in[0]->inputs[1], in[1])) return NULL;
    return build_binary(g, op, in[0]->inputs[0], build_binary(g, op, in[0]->inputs[1], in[1]));
}

static Node *simplify_add(Graph *g, const Node *old, Node *const *in) {
    if (is_value(in[1], 0)) return in[0];
    if (in[1]->op == OP_neg) return build_binary(g, OP_sub, in[0], in[1]->inputs[0]);
    if (in[0]->op == OP_neg) return build_binary(g, OP_sub, in[1], in[0]->inputs[0]);
    return gather_constants(g, old, in);
}

static Node *simplify_sub(Graph *g, const Node *old, Node *const *in) {
    (void)old;
    double value;
    if (is_value(in[1], 0)) return in[0];
    if (is_value(in[0], 0)) return build_unary(g, OP_neg, in[1]);
    if (in[1]->op == OP_neg) return build_binary(g, OP_add, in[0], in[1]->inputs[0]);
    if (node_is_splat(in[1], &value)) return build_binary(g, OP_add, in[0], build_unary(g, OP_neg, in[1]));
    return NULL;
}

static Node *simplify_mul(Graph *g, const Node *old, Node *const *in) {
    if (is_value(in[1], 1)) return in[0];
    if (is_value(in[1], -1)) return build_unary(g, OP_neg, in[0]);
    if (is_value(in[1], 0) && !dtype_is_float(old->shape.type)) return in[1];
    if (in[0]->op == OP_neg && in[1]->op == OP_neg)
        return build_binary(g, OP_mul, in[0]->inputs[0], in[1]->inputs[0]);
    double value;
    if (in[0]->op == OP_neg && node_is_splat(in[1], &value))
        return build_binary(g, OP_mul, in[0]->inputs[0], build_unary(g, OP_neg, in[1]));
    return gather_constants(g, old, in);
}

/* A power of two whose reciprocal is a normal f32. */
static bool inverts_exactly(double value) {
    int exponent;
    return fabs(frexp(value, &exponent)) == 0.5 && exponent - 1 >= -126 && exponent - 1 <= 126;
}

static Node *simplify_div(Graph *g, const Node *old, Node *const *in) {
    double value;
    if (is_value(in[1], 1)) return in[0];
    if (old->shape.type != DTYPE_F32 || !node_is_splat(in[1], &value) || !inverts_exactly(value)) return NULL;
    return build_binary(g, OP_mul, in[0], build_splat(g, 1 / value, in[1]->shape));
}

/* Whole numbers have no fraction. */
static Node *simplify_rounding(Graph *g, const Node *old, Node *const *in) {
    (void)g;
    return dtype_is_float(old->shape.type) ? NULL : in[0];
}

static Node *simplify_pow(Graph *g, const Node *old, Node *const *in) {
    (void)old;
    double exponent;
    if (!node_is_splat(in[1], &exponent)) return NULL;
    if (exponent == 1) return in[0];
    if (exponent == 2) return build_binary(g, OP_mul, in[0], in[0]);
    if (exponent == 3) return build_binary(g, OP_mul, in[0], build_binary(g, OP_mul, in[0], in[0]));
    if (exponent == -1) return build_binary(g, OP_div, build_splat(g, 1, in[0]->shape), in[0]);
    if (exponent == 0.5) return build_unary(g, OP_sqrt, in[0]);
    return NULL;
}

static Node *simplify_extreme(Graph *g, const Node *old, Node *const *in) {
    return in[0] == in[1] ? in[0] : gather_constants(g, old, in);
}

static Node *simplify_neg(Graph *g, const Node *old, Node *const *in) {
    (void)old;
    if (in[0]->op == OP_neg) return in[0]->inputs[0];
    if (in[0]->op == OP_sub) return build_binary(g, OP_sub, in[0]->inputs[1], in[0]->inputs[0]);
    return NULL;
}

static Node *simplify_abs(Graph *g, const Node *old, Node *const *in) {
    (void)old;
    if (in[0]->op == OP_abs) return in[0];
    return in[0]->op == OP_neg ? build_unary(g, OP_abs, in[0]->inputs[0]) : NULL;
}

static Node *simplify_not(Graph *g, const Node *old, Node *const *in) {
    (void)old;
    if (in[0]->op == OP_eq) return build_binary(g, OP_ne, in[0]->inputs[0], in[0]->inputs[1]);
    return in[0]->op == OP_not ? in[0]->inputs[0] : NULL;
}

static Node *simplify_logic(Graph *g, const Node *old, Node *const *in) {
    bool stays = old->op == OP_and; /* `and` with true and `or` with false are the other operand */
    if (in[0] == in[1]) return in[0];
    if (is_value(in[1], stays)) return in[0];
    if (is_value(in[1], !stays)) return in[1];
    return gather_constants(g, old, in);
}

static Node *simplify_select(Graph *g, const Node *old, Node *const *in) {
    (void)old;
    double condition;
    if (in[1] == in[2]) return in[1];
    if (node_is_splat(in[0], &condition)) return condition != 0 ? in[1] : in[2];
    return in[0]->op == OP_not ? build_select(g, in[0]->inputs[0], in[2], in[1]) : NULL;
}

/* Whether every value of type `from` is one of type `to`. */
static bool widens_type(DType from, DType to) {
    if (from == to || from == DTYPE_BOOL) return true;
    if (from == DTYPE_I8) return to == DTYPE_I32 || to == DTYPE_I64 || to == DTYPE_F32;
    if (from == DTYPE_I32) return to == DTYPE_I64;
    return (from == DTYPE_F16 || from == DTYPE_BF16) && to == DTYPE_F32;
}

static Node *simplify_cast(Graph *g, const Node *old, Node *const *in) {
    if (in[0]->shape.type == old->shape.type) return in[0];
    if (in[0]->op == OP_cast && widens_type(in[0]->inputs[0]->shape.type, in[0]->shape.type))
        return build_cast(g, in[0]->inputs[0], old->shape.type);
    return NULL;
}

static Node *simplify_stop(Graph *g, const Node *old, Node *const *in) {
    (void)g, (void)old;
    return in[0];
}

/* ---- elementwise work before movement ---- */

static bool same_movement(const Node *a, const Node *b) {
    return a->op == b->op && shape_dims_equal(a->inputs[0]->shape, b->inputs[0]->shape) &&
           attributes_equal(a->op, a->attributes, b->attributes);
}

static bool is_hoisted_over(const Node *node) {
    return node->op == OP_broadcast || node->op == OP_reshape || node->op == OP_transpose ||
           node->op == OP_flip;
}

/* The operand of a broadcast over all axes but the last: a bias of rows, [1, .., C]. */
static Node *row_behind(Graph *g, const Node *node) {
    if (node->op != OP_broadcast) return NULL;
    Node *source = node->inputs[0];
    for (int i = 0; i < source->shape.rank - 1; i++)
        if (source->shape.dims[i] != dim_const(g->dims, 1)) return NULL;
    return source;
}

/* An operand as it was before the movement, or NULL. */
static Node *before_movement(Graph *g, const Node *movement, Node *operand) {
    Shape shape = movement->inputs[0]->shape;
    shape.type = operand->shape.type;
    double value;
    if (node_is_splat(operand, &value)) return splat_in_shape(g, operand, shape.rank, shape.dims);
    if (same_movement(movement, operand)) return operand->inputs[0];
    int rank = shape.rank, last = movement->shape.rank - 1;
    Node *row =
        movement->op == OP_reshape && rank && last >= 0 && shape.dims[rank - 1] == movement->shape.dims[last]
            ? row_behind(g, operand)
            : NULL;
    return row ? build_broadcast(g, build_reshape(g, row, 1, &row->shape.dims[last]), rank, shape.dims)
               : NULL;
}

/* f(m(a), m(b), c) to m(f(a, b, c)) for one movement m, where c fits any shape: a splat
 * or, for reshapes that keep the last axis, a row. */
static Node *hoist_over_movement(Graph *g, const Node *old, Node *const *in) {
    const Node *movement = NULL;
    for (int i = 0; i < old->input_count; i++)
        if (is_hoisted_over(in[i]) && (!movement || movement->op == OP_broadcast)) movement = in[i];
    if (!movement) return NULL;
    Node *inner[3];
    for (int i = 0; i < old->input_count; i++) {
        inner[i] = before_movement(g, movement, in[i]);
        if (!inner[i]) return NULL;
    }
    Node *work = graph_copy(g, old, inner);
    return graph_make(g, movement->op, &work, 1, movement->attributes);
}

/* ---- movement ---- */

static Node *simplify_reshape(Graph *g, const Node *old, Node *const *in) {
    if (shape_equal(in[0]->shape, old->shape)) return in[0];
    return in[0]->op == OP_reshape ? build_reshape(g, in[0]->inputs[0], old->shape.rank, old->shape.dims)
                                   : NULL;
}

/* Where the operand has axes of size 1 in front that its reshape put there, and they stay
 * there, the others are turned before: so turns there and back meet. */
static Node *transpose_below_ones(Graph *g, const Node *old, const Node *reshape) {
    Node *x = reshape->inputs[0];
    IntList order = ATTRIBUTES(old, transpose)->permutation;
    int64_t inner[REF_MAX_RANK];
    int ones = order.count - x->shape.rank;
    for (int i = 0; i < ones; i++)
        if (order.items[i] != i || reshape->shape.dims[i] != dim_const(g->dims, 1)) return NULL;
    for (int i = 0; i < x->shape.rank && ones > 0; i++) {
        if (reshape->shape.dims[ones + i] != x->shape.dims[i]) return NULL;
        inner[i] = order.items[ones + i] - ones;
    }
    return ones > 0 ? build_reshape(g, build_transpose(g, x, inner), old->shape.rank, old->shape.dims) : NULL;
}

static Node *simplify_transpose(Graph *g, const Node *old, Node *const *in) {
    IntList order = ATTRIBUTES(old, transpose)->permutation;
    int64_t composed[REF_MAX_RANK], last = -1;
    bool in_order = true; /* except for axes of size 1: then no element moves */
    for (int i = 0; i < order.count; i++) {
        if (in[0]->shape.dims[order.items[i]] == dim_const(g->dims, 1)) continue;
        in_order = in_order && order.items[i] > last;
        last = order.items[i];
    }
    if (in_order) return build_reshape(g, in[0], old->shape.rank, old->shape.dims);
    if (in[0]->op == OP_broadcast)
        return build_broadcast(g, build_transpose(g, in[0]->inputs[0], order.items), old->shape.rank,
                               old->shape.dims);
    if (in[0]->op == OP_reshape) return transpose_below_ones(g, old, in[0]);
    if (in[0]->op != OP_transpose) return NULL;
    for (int i = 0; i < order.count; i++)
        composed[i] = ATTRIBUTES(in[0], transpose)->permutation.items[order.items[i]];
    return build_transpose(g, in[0]->inputs[0], composed);
}

static Node *simplify_broadcast(Graph *g, const Node *old, Node *const *in) {
    if (shape_equal(in[0]->shape, old->shape)) return in[0];
    return in[0]->op == OP_broadcast ? build_broadcast(g, in[0]->inputs[0], old->shape.rank, old->shape.dims)
                                     : NULL;
}

/* A slice within one part of a concatenation. */
static Node *slice_of_concat(Graph *g, const slice_attributes *slice, const Node *concat) {
    int64_t axis = ATTRIBUTES(concat, concat)->axis, low, high;
    int rank = concat->shape.rank;
    Dim begin[REF_MAX_RANK], offset = dim_const(g->dims, 0);
    for (int i = 0; i < rank; i++) begin[i] = slice->begin.items[i];
    Dim length = dim_offset(
        g->dims,
        dim_scale(g->dims, dim_offset(g->dims, slice->size.items[axis], -1), slice->step.items[axis]), 1);
    for (int part = 0; part < concat->input_count; part++) {
        Dim size = concat->inputs[part]->shape.dims[axis],
            first = dim_sub(g->dims, slice->begin.items[axis], offset);
        dim_bounds(first, &low, &high);
        if (high < 0) return NULL;
        int64_t room, max;
        dim_bounds(dim_sub(g->dims, size, dim_add(g->dims, first, length)), &room, &max);
        begin[axis] = first;
        if (low >= 0 && room >= 0)
            return build_slice(g, concat->inputs[part], begin, slice->size.items, slice->step.items);
        offset = dim_add(g->dims, offset, size);
    }
    return NULL;
}

static Node *slice_of_slice(Graph *g, const slice_attributes *outer, const Node *inner_node) {
    const slice_attributes *inner = ATTRIBUTES(inner_node, slice);
    Dim begin[REF_MAX_RANK];
    int64_t step[REF_MAX_RANK];
    for (int i = 0; i < outer->begin.count; i++) {
        begin[i] = dim_add(g->dims, inner->begin.items[i],
                           dim_scale(g->dims, outer->begin.items[i], inner->step.items[i]));
        step[i] = outer->step.items[i] * inner->step.items[i];
    }
    return build_slice(g, inner_node->inputs[0], begin, outer->size.items, step);
}

/* Whether a slice removes a padding. */
static bool undoes_padding(const slice_attributes *slice, const Node *pad) {
    Shape x = pad->inputs[0]->shape;
    for (int i = 0; i < x.rank; i++)
        if (slice->begin.items[i] != ATTRIBUTES(pad, pad)->before.items[i] ||
            slice->size.items[i] != x.dims[i] || slice->step.items[i] != 1)
            return false;
    return true;
}

static Node *simplify_slice(Graph *g, const Node *old, Node *const *in) {
    const slice_attributes *slice = ATTRIBUTES(old, slice);
    if (shape_equal(in[0]->shape, old->shape)) return in[0];
    if (in[0]->op == OP_slice) return slice_of_slice(g, slice, in[0]);
    if (in[0]->op == OP_pad && undoes_padding(slice, in[0])) return in[0]->inputs[0];
    return in[0]->op == OP_concat ? slice_of_concat(g, slice, in[0]) : NULL;
}

static Node *simplify_pad(Graph *g, const Node *old, Node *const *in) {
    const pad_attributes *pad = ATTRIBUTES(old, pad);
    if (shape_equal(in[0]->shape, old->shape)) return in[0];
    if (in[0]->op != OP_pad || !same_name(pad->mode, "constant")) return NULL;
    const pad_attributes *inner = ATTRIBUTES(in[0], pad);
    if (!same_name(inner->mode, "constant") || memcmp(&inner->value, &pad->value, sizeof pad->value) != 0)
        return NULL;
    Dim before[REF_MAX_RANK], after[REF_MAX_RANK];
    for (int i = 0; i < old->shape.rank; i++) {
        before[i] = dim_add(g->dims, pad->before.items[i], inner->before.items[i]);
        after[i] = dim_add(g->dims, pad->after.items[i], inner->after.items[i]);
    }
    pad_attributes both = {{old->shape.rank, before}, {old->shape.rank, after}, pad->mode, pad->value};
    return graph_make(g, OP_pad, in[0]->inputs, 1, &both);
}

static Node *simplify_concat(Graph *g, const Node *old, Node *const *in) {
    (void)g;
    return old->input_count == 1 ? in[0] : NULL;
}

static Node *simplify_flip(Graph *g, const Node *old, Node *const *in) {
    IntList axes = ATTRIBUTES(old, flip)->axes;
    bool moves = false;
    for (int i = 0; i < axes.count; i++)
        moves = moves || in[0]->shape.dims[axes.items[i]] != dim_const(g->dims, 1);
    if (!moves) return in[0];
    return in[0]->op == OP_flip && attributes_equal(OP_flip, in[0]->attributes, old->attributes)
               ? in[0]->inputs[0]
               : NULL;
}

/* ---- reductions ---- */

/* Axes of size 1 need no work; sums of sums (maxima of maxima) are one. */
static Node *simplify_reduction(Graph *g, const Node *old, Node *const *in) {
    IntList axes = *(const IntList *)old->attributes; /* sum's and reduce_max's only attribute */
    bool nested = in[0]->op == old->op;
    int64_t merged[REF_MAX_RANK];
    int count = 0;
    for (int i = 0; i < in[0]->shape.rank; i++) {
        bool mine = has_axis(axes, i) && in[0]->shape.dims[i] != dim_const(g->dims, 1);
        if (mine || (nested && has_axis(*(const IntList *)in[0]->attributes, i))) merged[count++] = i;
    }
    if (count == axes.count && !nested) return NULL;
    Node *x = nested ? in[0]->inputs[0] : in[0];
    IntList list = {count, merged};
    return count == 0 ? x : graph_make(g, old->op, &x, 1, &list);
}

/* The sum of a broadcast is a multiple of its operand. */
static Node *sum_of_broadcast(Graph *g, const Node *old, Node *const *in) {
    IntList axes = ATTRIBUTES(old, sum)->axes;
    const Node *x = in[0]->inputs[0];
    int64_t repeats = 1, size;
    for (int i = 0; i < axes.count; i++) {
        if (x->shape.dims[axes.items[i]] != dim_const(g->dims, 1) ||
            !dim_is_const(in[0]->shape.dims[axes.items[i]], &size))
            return NULL;
        repeats *= size;
    }
    Node *scaled = build_binary(g, OP_mul, in[0]->inputs[0], build_splat(g, (double)repeats, x->shape));
    return build_broadcast(g, scaled, old->shape.rank, old->shape.dims);
}

/* Whether it turns matrices, and nothing else. */
static bool turns_matrices(const Node *node) {
    if (node->op != OP_transpose) return false;
    IntList order = ATTRIBUTES(node, transpose)->permutation;
    for (int i = 0; i < order.count - 2; i++)
        if (order.items[i] != i) return false;
    return order.items[order.count - 2] == order.count - 1;
}

static bool is_sum_over_batch(const Node *sum) {
    IntList axes = ATTRIBUTES(sum, sum)->axes;
    bool all = axes.count == sum->shape.rank - 2;
    for (int i = 0; i < axes.count; i++) all = all && axes.items[i] == i;
    return all;
}

/* All matrices of a batch below each other. */
static Node *stack_matrices(Graph *g, Node *x) {
    int rank = x->shape.rank;
    Dim rows = x->shape.dims[rank - 2];
    for (int i = 0; i < rank - 2; i++) rows = dim_mul(g->dims, rows, x->shape.dims[i]);
    return build_reshape(g, x, 2, (Dim[]){rows, x->shape.dims[rank - 1]});
}

/* The sum of x^T y over a batch, a dense layer's gradient, is one product of all rows. */
static Node *sum_of_products(Graph *g, const Node *old, Node *const *in) {
    if (old->shape.rank == 2 || !is_sum_over_batch(old) || !turns_matrices(in[0]->inputs[0])) return NULL;
    Node *x = stack_matrices(g, in[0]->inputs[0]->inputs[0]), *y = stack_matrices(g, in[0]->inputs[1]);
    Node *operands[2] = {build_transpose(g, x, (int64_t[]){1, 0}), y};
    return build_reshape(g, graph_make(g, OP_matmul, operands, 2, NULL), old->shape.rank, old->shape.dims);
}

static Node *simplify_sum(Graph *g, const Node *old, Node *const *in) {
    Node *plain = simplify_reduction(g, old, in);
    if (plain || old->shape.type != DTYPE_F32) return plain; /* f16 has other sums, and less room for them */
    if (in[0]->op == OP_broadcast) return sum_of_broadcast(g, old, in);
    return in[0]->op == OP_matmul ? sum_of_products(g, old, in) : NULL;
}

/* ---- matrix products ---- */

/* One matrix repeated for the whole batch: all rows of the batch become rows of a single
 * product. */
static Node *simplify_matmul(Graph *g, const Node *old, Node *const *in) {
    Node *w = in[1]->op == OP_broadcast ? in[1]->inputs[0] : in[1];
    int rank = old->shape.rank;
    if (rank == 2 || w->shape.dims[rank - 1] != in[1]->shape.dims[rank - 1] ||
        w->shape.dims[rank - 2] != in[1]->shape.dims[rank - 2])
        return NULL;
    for (int i = 0; i < rank - 2; i++)
        if (w->shape.dims[i] != dim_const(g->dims, 1)) return NULL;
    Node *operands[2] = {stack_matrices(g, in[0]), build_reshape(g, w, 2, w->shape.dims + rank - 2)};
    Node *product = graph_make(g, OP_matmul, operands, 2, NULL);
    return build_reshape(g, product, rank, old->shape.dims);
}

/* ---- padding by zeros before a convolution or a sum pool becomes the window's own ---- */

/* Adds the paddings of a `pad` node to the window's own, where it pads the spatial axes
 * only, with `value`, by known sizes. */
static bool pad_absorbs(const Node *pad, IntList before, double value, int64_t *sums) {
    if (pad->op != OP_pad || !same_name(ATTRIBUTES(pad, pad)->mode, "constant") ||
        number_value(ATTRIBUTES(pad, pad)->value, pad->shape.type) != value)
        return false;
    const pad_attributes *attributes = ATTRIBUTES(pad, pad);
    for (int i = 0; i < 2; i++)
        if (!dim_is_zero(attributes->before.items[i]) || !dim_is_zero(attributes->after.items[i]))
            return false;
    for (int i = 0; i < before.count; i++) {
        int64_t more;
        if (!dim_is_const(attributes->before.items[2 + i], &more)) return false;
        sums[i] = before.items[i] + more;
    }
    return true;
}

/* Of convolution(x, w) and convolution_backward_weights(x, dy). */
static Node *simplify_convolution(Graph *g, const Node *old, Node *const *in) {
    convolution_attributes attributes = *(const convolution_attributes *)old->attributes;
    int64_t before[REF_MAX_RANK];
    if (!pad_absorbs(in[0], attributes.before, 0, before)) return NULL;
    attributes.before.items = before;
    return graph_make(g, old->op, (Node *[]){in[0]->inputs[0], in[1]}, 2, &attributes);
}

static Node *simplify_pool_sum(Graph *g, const Node *old, Node *const *in) {
    pool_sum_attributes attributes = *ATTRIBUTES(old, pool_sum);
    int64_t before[REF_MAX_RANK];
    if (!pad_absorbs(in[0], attributes.before, 0, before)) return NULL;
    attributes.before.items = before;
    return graph_make(g, OP_pool_sum, in[0]->inputs, 1, &attributes);
}

static Node *simplify_pool_max(Graph *g, const Node *old, Node *const *in) {
    pool_max_attributes attributes = *ATTRIBUTES(old, pool_max);
    int64_t before[REF_MAX_RANK];
    if (!pad_absorbs(in[0], attributes.before, -INFINITY, before)) return NULL;
    attributes.before.items = before;
    return graph_make(g, OP_pool_max, in[0]->inputs, 1, &attributes);
}

/* ---- the pass ---- */

static const Rule rules[OP_COUNT] = {
    [OP_add] = simplify_add,
    [OP_sub] = simplify_sub,
    [OP_mul] = simplify_mul,
    [OP_div] = simplify_div,
    [OP_pow] = simplify_pow,
    [OP_floor] = simplify_rounding,
    [OP_ceil] = simplify_rounding,
    [OP_round] = simplify_rounding,
    [OP_min] = simplify_extreme,
    [OP_max] = simplify_extreme,
    [OP_neg] = simplify_neg,
    [OP_abs] = simplify_abs,
    [OP_not] = simplify_not,
    [OP_and] = simplify_logic,
    [OP_or] = simplify_logic,
    [OP_eq] = gather_constants,
    [OP_ne] = gather_constants,
    [OP_select] = simplify_select,
    [OP_cast] = simplify_cast,
    [OP_stop] = simplify_stop,
    [OP_reshape] = simplify_reshape,
    [OP_transpose] = simplify_transpose,
    [OP_broadcast] = simplify_broadcast,
    [OP_slice] = simplify_slice,
    [OP_pad] = simplify_pad,
    [OP_concat] = simplify_concat,
    [OP_flip] = simplify_flip,
    [OP_matmul] = simplify_matmul,
    [OP_sum] = simplify_sum,
    [OP_reduce_max] = simplify_reduction,
    [OP_convolution] = simplify_convolution,
    [OP_convolution_backward_weights] = simplify_convolution,
    [OP_pool_sum] = simplify_pool_sum,
    [OP_pool_max] = simplify_pool_max,
};

static Node *visit_simplify(Graph *to, const Node *old, Node *const *inputs, void *changed) {
    Node *made = fold_visit(to, old, inputs, NULL);
    if (!made && rules[old->op]) made = rules[old->op](to, old, inputs);
    if (!made && op_info[old->op].class == CLASS_ELEMENTWISE) made = hoist_over_movement(to, old, inputs);
    if (made) *(bool *)changed = true;
    return made;
}

Graph *pass_simplify(Graph *graph) {
    bool changed = true;
    for (int round = 0; changed && round < MAX_ROUNDS; round++) {
        changed = false;
        graph = graph_rewrite(graph, visit_simplify, &changed);
    }
    return graph;
}
