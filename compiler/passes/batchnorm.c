/* Folds multiplications and additions by channel into weights: the operations of a batch
 * norm, or of any text that computes the same.
 *
 * Needs chains of add, sub, mul, div and neg in f32, as simplify leaves them, in which
 * one operand of each operation depends on weights alone (parameters, states, constants).
 * Makes
 *
 *     (x + before) * scale + after       for such a chain on any x, the part that depends on
 *                                        weights computed while building,
 *     convolution(x, w * scale) + after  if x is a convolution, transposed convolution or
 *                                        matrix product by a weight,
 *     convolution(x, w * scale) + sum    if the input of the convolution (or matrix product)
 *                                        is x * scale + shift.
 *
 * So (x - mean) / sqrt(var + eps) * weight + bias is three operations, and after a
 * convolution it is the bias.
 *
 * What the pass may change. It keeps the order of the text except in these cases, where u
 * is 2^-24, half a unit in the last place:
 *
 *     x * a * b, x * a / b    as x * (a * b), x * (a / b): 3 u of the result. Not of two
 *                             constants, which are simplify's business.
 *     x + a + b               as x + (a + b): 2 u (|x| + |a| + |b|). Not if one is a constant:
 *                             in x + b + 12582912 - 12582912 the rounding is intended.
 *     (y + a) * b             as y * b + a * b if y is a product, b goes into its weights, and
 *                             a is not a constant: an error that is the same multiple of
 *                             (sum of |w| |x| + |a|) |b| as in the text. The same for / b.
 *     (x * scale + shift) @ w as x @ (w * scale) + shift @ w: the same multiple of the sum of
 *                             |w| (|x * scale| + |shift|). Only where |shift / scale| and
 *                             |shift| are at most MAX_SHIFT, in units of x and of what w
 *                             reads; otherwise the terms would lose what the shift cancels.
 *                             (x - 30000) / 7 subtracts first, and leaves the 1/7 to the
 *                             weights; so does (x - 50) / 0.001.
 *
 * Range: a folded weight, and the terms that it is made of, are finite and far from the
 * end of the range (in_range); elements of it below 2^-126 are 0, as denormals are. What
 * overflows between two steps of the text need not overflow here; what does not overflow
 * in the text does not overflow here. NaN and infinities of x stay NaN and infinite, or
 * become NaN by a weight that has become 0.
 *
 * The pass asks for the values of weights (graph->weights). If they are not known
 * (--after), it assumes that they are within all these limits.
 *
 * A shift before a convolution is folded only if no tap reads the padding, which is zero
 * and would not be zero after the shift. So (photo - mean) / std before a padded first
 * convolution keeps its subtraction; fusion computes it as the pixels are read.
 *
 * A chain is followed through nodes that have no other user, so nothing is computed
 * twice. */
#include "graph/ops.h"
#include "passes/passes.h"
#include <math.h>

#define MAX_SHIFT 64         /* of |shift / scale| and |shift| before a product */
#define MAX_WEIGHT 0x1p64    /* of weights that are made here: sums of many of them stay far from 2^128 */
#define LEAST_WEIGHT 0x1p-64 /* of the largest among them, unless all are 0 */

typedef struct Shift {
    Node *by;       /* NULL for 0 */
    bool is_number; /* of the source: it stays where it is written */
} Shift;

/* node = (base + before) * scale / divisor + after; NULL for 1. */
typedef struct Affine {
    Node *base, *scale, *divisor;
    Shift before, after;
    /* base is a contraction without other users whose weights can take the scale;
     * `before` is then NULL */
    bool owned;
} Affine;

typedef struct Folding {
    const int *uses;     /* of the old graph's nodes, by id */
    Map *affines;        /* from new nodes to Affine */
    Map *largest;        /* from weights to the largest magnitude in them, a double */
    NodeSources sources; /* of the new graph's nodes */
} Folding;

/* ---- what depends on weights alone ---- */

static bool is_folded_weight(Folding *f, Graph *g, const Node *node) {
    return !(node_sources(&f->sources, g, node) & ~(unsigned)MADE_OF_WEIGHTS);
}
static bool is_known_number(Folding *f, Graph *g, const Node *node) {
    return !node_sources(&f->sources, g, node);
}

/* The small tensor that a weight was broadcast from: per channel, [1, C, 1, 1]; for a
 * splat constant, a scalar. NULL: not a weight. */
static Node *weight_behind(Folding *f, Graph *g, Node *node) {
    double value;
    if (node_is_splat(node, &value)) return splat_in_shape(g, node, 0, NULL);
    if (node->op == OP_broadcast) node = node->inputs[0];
    return is_folded_weight(f, g, node) ? node : NULL;
}

/* ---- arithmetic on weights, where NULL is the neutral element ---- */

static Node *sum_of_weights(Graph *g, Node *a, Node *b) {
    return !a ? b : !b ? a : build_binary(g, OP_add, a, b);
}
static Node *multiply_weights(Graph *g, Node *a, Node *b) {
    return !a ? b : !b ? a : build_binary(g, OP_mul, a, b);
}
static Node *negated_node(Graph *g, Node *a) { return a ? build_unary(g, OP_neg, a) : NULL; }

static Node *divide_weights(Graph *g, Node *a, Node *b) {
    if (!b) return a;
    return build_binary(g, OP_div, a ? a : build_scalar(g, 1, b->shape.type), b);
}

/* ---- what weights amount to ---- */

/* The values of a weight, in `scratch`; false where they are not known yet. */
static bool values_of(Graph *g, Node *weight, Arena *scratch, RefTensor *values) {
    return reference_evaluate(g, &weight, 1, NULL, 0, g->weights, scratch, values);
}

static double largest_value(Graph *g, Node *weight) {
    Arena *scratch = arena_new();
    RefTensor tensor;
    double max = 1;
    if (values_of(g, weight, scratch, &tensor)) {
        max = 0;
        for (int64_t i = 0; i < tensor.shape.count; i++) {
            double size = fabs(number_value(tensor.values[i], tensor.shape.type));
            max = size <= max ? max : isnan(size) ? INFINITY : size;
        }
    }
    arena_free(scratch);
    return max;
}

static double largest_of_weight(Folding *f, Graph *g, Node *weight);

static double find_largest(Folding *f, Graph *g, Node *weight) {
    Node *const *in = weight->inputs;
    switch (weight->op) {
    case OP_parameter:
    case OP_state:
        return g->weights && g->weights->largest ? g->weights->largest(g->weights->context, weight)
                                                 : largest_value(g, weight);
    case OP_reshape: case OP_transpose: case OP_broadcast: case OP_neg: return largest_of_weight(f, g, in[0]);
    case OP_add: case OP_sub: return largest_of_weight(f, g, in[0]) + largest_of_weight(f, g, in[1]);
    case OP_mul: return largest_of_weight(f, g, in[0]) * largest_of_weight(f, g, in[1]);
    case OP_sum:
        return largest_of_weight(f, g, in[0]) * (double)node_element_count(in[0]) /
               fmax((double)node_element_count(weight), 1);
    default: return largest_value(g, weight);
    }
}

/* A bound of the magnitudes in a weight, infinite where one is NaN; 1 for NULL, and where
 * values are not known yet. Large weights are not computed for it: the weights of
 * contractions are most of a network. */
static double largest_of_weight(Folding *f, Graph *g, Node *weight) {
    if (!weight) return 1;
    const double *known = map_get(f->largest, weight);
    if (known) return *known;
    double max = find_largest(f, g, weight);
    if (isnan(max)) max = INFINITY; /* 0 times an overflow */
    map_set(f->largest, weight, arena_copy(g->arena, &max, sizeof max));
    return max;
}

/* Whether `scale`, and w * scale for a w of at most `max`, stay far from the limits of
 * f32. */
static bool in_range(Folding *f, Graph *g, Node *scale, double max) {
    double size = largest_of_weight(f, g, scale), product = size * max;
    return size == 0 || (size <= MAX_WEIGHT && product <= MAX_WEIGHT && size >= LEAST_WEIGHT &&
                         (max == 0 || product >= LEAST_WEIGHT));
}

/* Whether |shift| and |shift * scale| are at most MAX_SHIFT everywhere; NULL is 1. */
static bool is_small_shift(Graph *g, Node *shift, Node *scale) {
    Arena *scratch = arena_new();
    RefTensor excess;
    Node *one = build_scalar(g, 1, DTYPE_F32),
         *unit = scale ? build_binary(g, OP_min, build_unary(g, OP_abs, scale), one) : one;
    Node *max = build_binary(g, OP_mul, unit, build_scalar(g, MAX_SHIFT, DTYPE_F32));
    bool small = true;
    if (values_of(g, build_binary(g, OP_sub, build_unary(g, OP_abs, shift), max), scratch, &excess))
        for (int64_t i = 0; i < excess.shape.count; i++) small = small && excess.values[i].real <= 0;
    arena_free(scratch);
    return small;
}

/* Whether a weight of a tensor of that rank varies along this axis only: [.., C, ..]. */
static bool varies_along(Graph *g, const Node *weight, int rank, int axis) {
    for (int i = 0; i < weight->shape.rank; i++)
        if (i + rank - weight->shape.rank != axis && weight->shape.dims[i] != dim_const(g->dims, 1))
            return false;
    return true;
}

/* A weight that varies along one axis as a vector [size]. */
static Node *as_vector(Graph *g, Node *weight, Dim size) {
    Node *vector = build_reshape(g, weight, 1, (Dim[]){shape_elements(g->dims, weight->shape)});
    return build_broadcast(g, vector, 1, &size);
}

/* ---- into the weights of a contraction ---- */

/* w * scale along `axis` of w, which has the given size. */
static Node *scale_axis(Graph *g, Node *w, Node *scale, int axis, Dim size) {
    Dim dims[REF_MAX_RANK];
    for (int i = 0; i < w->shape.rank; i++) dims[i] = i == axis ? size : dim_const(g->dims, 1);
    return build_binary(g, OP_mul, w, build_reshape(g, as_vector(g, scale, size), w->shape.rank, dims));
}

/* w [O, I/groups, ...] times a scale over the I channels: each group of outputs sees its
 * own part of them. */
static Node *scale_inputs(Graph *g, Node *w, Node *scale, int64_t groups) {
    Dim inputs = w->shape.dims[1], all = dim_scale(g->dims, inputs, groups), outputs = w->shape.dims[0];
    if (groups == 1) return scale_axis(g, w, scale, 1, inputs);
    Dim dims[REF_MAX_RANK];
    for (int i = 2; i < w->shape.rank; i++) dims[i] = dim_const(g->dims, 1);
    Dim split[3] = {dim_const(g->dims, groups), dim_const(g->dims, 1), inputs},
        wide[3] = {split[0], dim_floor_div(g->dims, outputs, groups), inputs};
    Node *parts = build_broadcast(g, build_reshape(g, as_vector(g, scale, all), 3, split), 3, wide);
    dims[0] = outputs;
    dims[1] = inputs;
    return build_binary(g, OP_mul, w, build_reshape(g, parts, w->shape.rank, dims));
}

/* The contraction with other operands; it keeps its origin, since it is still that
 * layer. */
static Node *with_inputs(Graph *g, const Node *node, Node *a, Node *b) {
    const Origin *here = graph_at(g, node->origin);
    Node *copy = graph_copy(g, node, (Node *[]){a, b});
    graph_at(g, here);
    return copy;
}

/* The axis of a contraction's result whose scale can go into the weights, and which
 * operand these are; -1: none. */
static int scaled_axis(Folding *f, Graph *g, const Node *node, int *operand) {
    *operand = 1;
    if (node->op == OP_convolution || node->op == OP_convolution_backward_data)
        return is_folded_weight(f, g, node->inputs[1]) ? 1 : -1;
    if (node->op != OP_matmul) return -1;
    if (is_folded_weight(f, g, node->inputs[1])) return node->shape.rank - 1;
    *operand = 0;
    return is_folded_weight(f, g, node->inputs[0]) ? node->shape.rank - 2 : -1;
}

/* Whether the weights of a contraction can take a scale of its result. */
static bool takes_scale(Folding *f, Graph *g, const Node *node, Node *scale) {
    int operand, axis = scaled_axis(f, g, node, &operand);
    return axis >= 0 && varies_along(g, scale, node->shape.rank, axis) &&
           in_range(f, g, scale, largest_of_weight(f, g, node->inputs[operand]));
}

/* node * scale as the same contraction with scaled weights. */
static Node *scale_result(Folding *f, Graph *g, const Node *node, Node *scale) {
    int operand, axis = scaled_axis(f, g, node, &operand);
    Node *w = node->inputs[operand];
    if (node->op == OP_convolution_backward_data)
        w = scale_inputs(g, w, scale, ATTRIBUTES(node, convolution_backward_data)->groups);
    else w = scale_axis(g, w, scale, node->op == OP_convolution ? 0 : axis, node->shape.dims[axis]);
    return with_inputs(g, node, operand == 0 ? w : node->inputs[0], operand == 0 ? node->inputs[1] : w);
}

/* ---- chains ---- */

static Node *whole_scale(Graph *g, const Affine *a) { return divide_weights(g, a->scale, a->divisor); }

/* All that the chain adds, after its scale. */
static Shift whole_shift(Graph *g, const Affine *a) {
    Node *before = a->before.by ? multiply_weights(g, a->before.by, whole_scale(g, a)) : NULL;
    return (Shift){sum_of_weights(g, before, a->after.by), a->before.is_number || a->after.is_number};
}

/* An operand as a chain that only this node continues, or as itself. */
static Affine operand_chain(const Folding *f, const Node *old, Node *const *inputs, int input) {
    const Affine *known = map_get(f->affines, inputs[input]);
    return known && f->uses[old->inputs[input]->id] == 1 ? *known : (Affine){.base = inputs[input]};
}

static bool add_shift(Folding *f, Graph *g, Affine *a, Node *by) {
    bool first = !a->owned && !a->scale && !a->divisor && !a->after.by;
    Shift *shift = first ? &a->before : &a->after;
    Shift next = {sum_of_weights(g, shift->by, by), is_known_number(f, g, by)};
    if (shift->by && (shift->is_number || next.is_number || largest_of_weight(f, g, next.by) > MAX_WEIGHT))
        return false;
    *shift = next;
    return true;
}

/* Multiplies the chain by scale / divisor, one of which is NULL: into the weights of its
 * base, and its shift too, if these can take it. */
static bool scale_owned(Folding *f, Graph *g, Affine *a, Node *scale, Node *divisor) {
    Affine next = *a;
    if (a->after.is_number) return false;
    next.scale = multiply_weights(g, a->scale, divide_weights(g, scale, divisor));
    if (a->after.by) next.after.by = multiply_weights(g, a->after.by, divide_weights(g, scale, divisor));
    if (!takes_scale(f, g, a->base, next.scale) || largest_of_weight(f, g, next.after.by) > MAX_WEIGHT)
        return false;
    *a = next;
    return true;
}

/* The same for a chain on any base: scales are collected as long as nothing is added
 * between them. */
static bool scale_plain(Folding *f, Graph *g, Affine *a, Node *scale, Node *divisor) {
    bool numbers =
        (!a->scale || is_known_number(f, g, a->scale)) && (!a->divisor || is_known_number(f, g, a->divisor));
    if (a->after.by || (divisor && a->divisor)) return false;
    bool first = !a->scale && !a->divisor;
    if (!first && numbers && is_known_number(f, g, scale ? scale : divisor)) return false;
    a->scale = multiply_weights(g, a->scale, scale);
    a->divisor = multiply_weights(g, a->divisor, divisor);
    return first || in_range(f, g, whole_scale(g, a), 1);
}

static bool add_scale(Folding *f, Graph *g, Affine *a, Node *scale, Node *divisor) {
    return a->owned ? scale_owned(f, g, a, scale, divisor) : scale_plain(f, g, a, scale, divisor);
}

/* Negates the chain, which is exact. */
static bool negate_affine(Folding *f, Graph *g, Affine *a) {
    if (a->owned) return scale_owned(f, g, a, build_scalar(g, -1, DTYPE_F32), NULL);
    if (a->divisor && !a->scale) a->divisor = negated_node(g, a->divisor);
    else a->scale = a->scale ? negated_node(g, a->scale) : build_scalar(g, -1, DTYPE_F32);
    a->after.by = negated_node(g, a->after.by);
    return true;
}

/* A step of a chain: `op` with a weight (none for neg) on its left or right, and the
 * chain as its other input. */
typedef struct AffineStep {
    Op op;
    Node *weight;
    bool on_right;
    int chain;
} AffineStep;

static bool find_step(Folding *f, Graph *g, const Node *old, Node *const *in, AffineStep *step) {
    *step = (AffineStep){.op = old->op};
    if (old->shape.type != DTYPE_F32) return false;
    if (old->op == OP_neg) return true;
    if (old->op != OP_add && old->op != OP_sub && old->op != OP_mul && old->op != OP_div) return false;
    Node *left = weight_behind(f, g, in[0]), *right = weight_behind(f, g, in[1]);
    step->weight = right ? right : left;
    step->on_right = right;
    step->chain = right ? 0 : 1;
    return (left != NULL) != (right != NULL) && (right || old->op != OP_div);
}

/* Adds a step to a chain; false where it must remain a step of its own after the
 * chain. */
static bool add_step(Folding *f, Graph *g, Affine *chain, const AffineStep *step) {
    switch (step->op) {
    case OP_neg: return negate_affine(f, g, chain);
    case OP_mul: return add_scale(f, g, chain, step->weight, NULL);
    case OP_div: return add_scale(f, g, chain, NULL, step->weight);
    case OP_add: return add_shift(f, g, chain, step->weight);
    default: break;
    }
    if (step->on_right) return add_shift(f, g, chain, negated_node(g, step->weight));
    return negate_affine(f, g, chain) && add_shift(f, g, chain, step->weight);
}

/* The chain that `old` continues or begins; false where it is not a step of a chain. */
static bool continue_chain(Folding *f, Graph *g, const Node *old, Node *const *in, Affine *result) {
    AffineStep step;
    if (!find_step(f, g, old, in, &step)) return false;
    *result = operand_chain(f, old, in, step.chain);
    if (add_step(f, g, result, &step)) return true;
    *result = (Affine){.base = in[step.chain]};
    return add_step(f, g, result, &step);
}

/* The chain with its scale moved into the weights of its base where possible. Chains are
 * stored without this, so that the scale of a later step is multiplied into the vector
 * and not into the weights once more. */
static Affine settled_affine(Folding *f, Graph *g, Affine chain) {
    if (!chain.owned || !chain.scale) return chain;
    return (Affine){.base = scale_result(f, g, chain.base, chain.scale), .after = chain.after, .owned = true};
}

/* A chain whose weights vary along the last axis continues through a reshape that keeps
 * this axis: the rows of a batch as rows of one matrix. */
static bool continue_through_reshape(Folding *f, Graph *g, const Node *old, Node *const *in, Affine *result) {
    Affine chain = settled_affine(f, g, operand_chain(f, old, in, 0));
    Shape from = old->inputs[0]->shape, to = old->shape;
    Node **parts[] = {&chain.before.by, &chain.scale, &chain.divisor, &chain.after.by};
    bool empty = true;
    if (!from.rank || !to.rank || from.dims[from.rank - 1] != to.dims[to.rank - 1]) return false;
    for (int i = 0; i < COUNT_OF(parts); i++) {
        if (!*parts[i]) continue;
        if (!varies_along(g, *parts[i], from.rank, from.rank - 1)) return false;
        *parts[i] = as_vector(g, *parts[i], to.dims[to.rank - 1]);
        empty = false;
    }
    if (chain.owned) chain.before = chain.after, chain.after = (Shift){0}; /* there is no scale between */
    chain.owned = false;
    chain.base = graph_copy(g, old, &chain.base);
    *result = chain;
    return !empty;
}

static Node *materialize_affine(Folding *f, Graph *g, Affine chain, Shape shape) {
    chain = settled_affine(f, g, chain);
    bool both = chain.scale && chain.divisor;
    struct {
        Op op;
        Node *by;
    } steps[] = {{OP_add, chain.before.by},
                 {OP_mul, both ? whole_scale(g, &chain) : chain.scale},
                 {OP_div, both ? NULL : chain.divisor},
                 {OP_add, chain.after.by}};
    Node *node = chain.base;
    for (int i = 0; i < COUNT_OF(steps); i++)
        if (steps[i].by)
            node =
                build_binary(g, steps[i].op, node, build_broadcast(g, steps[i].by, shape.rank, shape.dims));
    return node;
}

/* ---- before a contraction ---- */

/* Whether every tap of every output reads a real pixel. */
static bool reads_no_padding(Graph *g, const Node *convolution) {
    const convolution_attributes *c = ATTRIBUTES(convolution, convolution);
    Shape x = convolution->inputs[0]->shape, w = convolution->inputs[1]->shape;
    for (int i = 0; i < c->stride.count; i++) {
        Dim last = dim_scale(g->dims, dim_offset(g->dims, c->size.items[i], -1), c->stride.items[i]);
        Dim reach = dim_add(g->dims, last,
                            dim_scale(g->dims, dim_offset(g->dims, w.dims[2 + i], -1), c->dilation.items[i]));
        int64_t low, high;
        dim_bounds(dim_sub(g->dims, dim_offset(g->dims, x.dims[2 + i], -1), reach), &low, &high);
        if (c->before.items[i] != 0 || low < 0) return false;
    }
    return true;
}

/* The sum over the inputs and taps of w * shift: what a shift of the input adds to each
 * output, [1, O, 1, ...]. */
static Node *shift_through(Graph *g, Node *w, Node *shift, int64_t groups) {
    int64_t axes[REF_MAX_RANK];
    Dim dims[REF_MAX_RANK];
    for (int i = 0; i < w->shape.rank; i++) axes[i] = i + 1, dims[i] = dim_const(g->dims, 1);
    Node *sums = build_sum(g, scale_inputs(g, w, shift, groups), axes, w->shape.rank - 1);
    dims[1] = w->shape.dims[0];
    return build_reshape(g, sums, w->shape.rank, dims);
}

/* The axis of a contraction's first operand along which its weights vary, or -1 where the
 * weights are not known. */
static int read_channel_axis(Folding *f, Graph *g, const Node *contraction, Node *const *in) {
    if (!is_folded_weight(f, g, in[1])) return -1;
    return contraction->op == OP_matmul ? in[0]->shape.rank - 1 : 1;
}

/* The contraction with a scale of its first operand in its weights. */
static Node *scale_operand(Graph *g, const Node *contraction, Node *const *in, Node *scale) {
    int rank = in[1]->shape.rank;
    if (contraction->op == OP_convolution)
        return scale_inputs(g, in[1], scale, ATTRIBUTES(contraction, convolution)->groups);
    if (contraction->op == OP_matmul)
        return scale_axis(g, in[1], scale, rank - 2, in[1]->shape.dims[rank - 2]);
    return scale_axis(g, in[1], scale, 0, in[1]->shape.dims[0]);
}

/* Whether a shift of the operand adds the same to the contraction everywhere. In a
 * transposed convolution it does not: the number of taps that meet in a pixel varies. */
static bool takes_shift(Graph *g, const Node *contraction) {
    return contraction->op == OP_matmul ||
           (contraction->op == OP_convolution && reads_no_padding(g, contraction));
}

/* What a shift of the operand adds to the contraction: for a matrix product, a row of
 * shift @ w. */
static Node *shift_result(Graph *g, const Node *contraction, Node *const *in, Node *shift) {
    int rank = in[1]->shape.rank;
    if (contraction->op == OP_convolution)
        return shift_through(g, in[1], shift, ATTRIBUTES(contraction, convolution)->groups);
    return build_sum(g, scale_operand(g, contraction, in, shift), (int64_t[]){rank - 2}, 1);
}

/* contraction(x * scale + shift, w): folds both into w where possible, or the scale alone
 * where the shift comes before it. */
static bool fold_before(Folding *f, Graph *g, const Node *old, Node *const *in, Affine *result) {
    Affine chain = settled_affine(f, g, operand_chain(f, old, in, 0));
    Node *scale = whole_scale(g, &chain), *base = chain.base;
    Shift shift = whole_shift(g, &chain);
    int axis = read_channel_axis(f, g, old, in), rank = in[0]->shape.rank;
    if (axis < 0 || (!scale && !shift.by) || !in_range(f, g, scale, largest_of_weight(f, g, in[1])))
        return false;
    if (scale && !varies_along(g, scale, rank, axis)) return false;
    if (shift.by && !(takes_shift(g, old) && varies_along(g, shift.by, rank, axis) &&
                      is_small_shift(g, shift.by, scale))) {
        if (!scale || chain.after.by) return false;
        base = materialize_affine(f, g, (Affine){.base = base, .before = chain.before}, in[0]->shape);
        shift = (Shift){0};
    }
    Node *w = scale ? scale_operand(g, old, in, scale) : in[1];
    if (shift.by) shift.by = shift_result(g, old, in, shift.by);
    *result = (Affine){.base = with_inputs(g, old, base, w), .after = shift, .owned = true};
    return true;
}

/* ---- the pass ---- */

static bool is_contraction(const Node *node) {
    return node->op == OP_convolution || node->op == OP_convolution_backward_data || node->op == OP_matmul;
}

/* A contraction, after the rest of its operand's chain. */
static Affine contracted_affine(Folding *f, Graph *g, const Node *old, Node *const *in) {
    Affine chain;
    int operand;
    if (fold_before(f, g, old, in, &chain)) return chain;
    chain = (Affine){.base = graph_copy(g, old, in)};
    chain.owned = scaled_axis(f, g, chain.base, &operand) >= 0;
    return chain;
}

static Node *visit_batchnorm(Graph *to, const Node *old, Node *const *inputs, void *context) {
    Folding *f = context;
    Affine chain;
    if (is_contraction(old)) chain = contracted_affine(f, to, old, inputs);
    else if (old->op == OP_reshape ? !continue_through_reshape(f, to, old, inputs, &chain)
                                   : !continue_chain(f, to, old, inputs, &chain))
        return NULL;
    Node *node = materialize_affine(f, to, chain, old->shape);
    if (!is_folded_weight(f, to, node))
        map_set(f->affines, node, arena_copy(to->arena, &chain, sizeof chain));
    return node;
}

Graph *pass_batchnorm(Graph *graph) {
    Folding folding = {
        .uses = graph_uses(graph), .affines = map_new(graph->arena), .largest = map_new(graph->arena)};
    return pass_simplify(graph_rewrite(graph, visit_batchnorm, &folding));
}
