/* Folds multiplies and adds by channel into weights: what batch norm became, whoever wrote it.
 *
 * Needs chains of add, sub, mul, div and neg in which one operand of each depends on weights alone (parameters, states, constants), as
 * simplify leaves them; gives
 *
 *     x * scale + shift                  for any such chain on x, its weights' part computed while building,
 *     convolution(x, w * scale) + shift  where x is a convolution, transposed convolution or matrix product by a weight,
 *     convolution(x, w * scale)          where the convolution's input is x * scale: the same for matrix products.
 *
 * So (x - mean) * (1 / sqrt(var + eps)) * weight + bias is two operations, and after a convolution it is the bias. Results differ by
 * rounding only, as the order of operations does. A division by weights goes into a contraction as a multiplication by their reciprocal;
 * a chain with a division that no contraction takes stays as it is written, so that every quotient is rounded once.
 *
 * A shift before a convolution is folded only where no tap reads the padding: the padding is zero, and shifted it would not be. So
 * (photo - mean) / std before a padded first convolution keeps its subtraction; fusion computes it as the pixels are read.
 *
 * A chain is followed through nodes that nobody else uses, so nothing is computed twice. */
#include "graph/ops.h"
#include "passes/passes.h"

typedef struct Affine { /* node = base * scale + shift; NULL for 1 and 0 */
    Node *base, *scale, *shift;
    bool owned;   /* nobody else uses base: its weights may be scaled */
    bool divided; /* scale holds a reciprocal: it may go into weights, and is no way to compute the node itself */
} Affine;

typedef struct Folding {
    const int *uses;     /* of the old graph's nodes, by id */
    Map *affines;        /* from new nodes to Affine */
    Vec(bool) is_weight; /* by id of the new graph's nodes */
} Folding;

/* ---- what depends on weights alone ---- */

static bool compute_is_weight(const Folding *f, const Node *node) {
    int64_t count;
    if (!shape_element_count(node->shape, &count)) return false; /* not computed while building: its size is not known */
    if (node->input_count == 0) return node->op == OP_parameter || node->op == OP_state || node->op == OP_constant;
    for (int i = 0; i < node->input_count; i++)
        if (!f->is_weight.items[node->inputs[i]->id]) return false;
    return true;
}

static bool is_weight(Folding *f, Graph *g, const Node *node) {
    for (int id = f->is_weight.count; id <= node->id; id++) {
        bool found = compute_is_weight(f, g->nodes.items[id]);
        vec_push(g->arena, &f->is_weight, found);
    }
    return f->is_weight.items[node->id];
}

/* The small tensor that a weight was broadcast from: per channel, [1, C, 1, 1]. A splat constant is a scalar. NULL: no weight. */
static Node *weight_behind(Folding *f, Graph *g, Node *node) {
    double value;
    if (node_is_splat(node, &value)) return splat_in_shape(g, node, 0, NULL);
    if (node->op == OP_broadcast) node = node->inputs[0];
    return is_weight(f, g, node) ? node : NULL;
}

/* ---- arithmetic on weights, where NULL is the neutral element ---- */

static Node *add_weights(Graph *g, Node *a, Node *b) { return !a ? b : !b ? a : build_binary(g, OP_add, a, b); }
static Node *multiply_weights(Graph *g, Node *a, Node *b) { return !a ? b : !b ? a : build_binary(g, OP_mul, a, b); }
static Node *negated(Graph *g, Node *a) { return a ? build_unary(g, OP_neg, a) : NULL; }
static Node *inverted(Graph *g, Node *a) { return build_binary(g, OP_div, build_scalar(g, 1, a->shape.type), a); }

static Affine scaled(Graph *g, Affine a, Node *by) {
    a.scale = multiply_weights(g, a.scale, by);
    if (a.shift) a.shift = multiply_weights(g, a.shift, by);
    return a;
}

/* ---- chains ---- */

/* What is known of an operand: a chain that only this node continues, or the operand itself. */
static Affine operand_chain(const Folding *f, const Node *old, Node *const *inputs, int input) {
    const Affine *known = map_get(f->affines, inputs[input]);
    return known && f->uses[old->inputs[input]->id] == 1 ? *known : (Affine){.base = inputs[input]};
}

/* Whether a (small) weight varies along one axis of a tensor of that rank alone: where it does, [.., C, ..]. */
static bool varies_along(Graph *g, const Node *weight, int rank, int axis) {
    for (int i = 0; i < weight->shape.rank; i++)
        if (i + rank - weight->shape.rank != axis && weight->shape.dims[i] != dim_const(g->dims, 1)) return false;
    return true;
}

/* A weight that varies along one axis as a vector [size]. */
static Node *as_vector(Graph *g, Node *weight, Dim size) {
    Node *vector = build_reshape(g, weight, 1, (Dim[]){shape_elements(g->dims, weight->shape)});
    return build_broadcast(g, vector, 1, &size);
}

/* The chain that `old` continues, with its step added; false where it is no step of one. */
static bool continue_chain(Folding *f, Graph *g, const Node *old, Node *const *in, Affine *result) {
    if (!dtype_is_float(old->shape.type)) return false;
    if (old->op == OP_neg) {
        *result = scaled(g, operand_chain(f, old, in, 0), build_scalar(g, -1, old->shape.type));
        return true;
    }
    if (old->op != OP_add && old->op != OP_sub && old->op != OP_mul && old->op != OP_div) return false;
    Node *left = weight_behind(f, g, in[0]), *right = weight_behind(f, g, in[1]), *weight = right ? right : left;
    if ((left != NULL) == (right != NULL) || (left && old->op == OP_div)) return false;
    Affine chain = operand_chain(f, old, in, right ? 0 : 1);
    if (old->op == OP_mul) chain = scaled(g, chain, weight);
    if (old->op == OP_div) {
        chain = scaled(g, chain, inverted(g, weight));
        chain.divided = true;
    }
    if (old->op == OP_add) chain.shift = add_weights(g, chain.shift, weight);
    if (old->op == OP_sub && right) chain.shift = add_weights(g, chain.shift, negated(g, weight));
    if (old->op == OP_sub && left) {
        chain = scaled(g, chain, build_scalar(g, -1, old->shape.type));
        chain.shift = add_weights(g, chain.shift, weight);
    }
    *result = chain;
    return true;
}

/* ---- into the weights of a contraction ---- */

/* w * scale along `axis` of w, whose size that is. */
static Node *scale_axis(Graph *g, Node *w, Node *scale, int axis, Dim size) {
    Dim dims[REF_MAX_RANK];
    for (int i = 0; i < w->shape.rank; i++) dims[i] = i == axis ? size : dim_const(g->dims, 1);
    return build_binary(g, OP_mul, w, build_reshape(g, as_vector(g, scale, size), w->shape.rank, dims));
}

/* w [O, I/groups, ...] times a scale over the I channels: each group of outputs sees its own part of them. */
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

/* The contraction keeps its own origin: it is still that layer. */
static Node *with_inputs(Graph *g, const Node *node, Node *a, Node *b) {
    const Origin *here = graph_at(g, node->origin);
    Node *copy = graph_copy(g, node, (Node *[]){a, b});
    graph_at(g, here);
    return copy;
}

/* node * scale as the same contraction with scaled weights, or NULL. */
static Node *scale_result(Folding *f, Graph *g, const Node *node, Node *scale) {
    int rank = node->shape.rank;
    if (node->op == OP_matmul && is_weight(f, g, node->inputs[1]) && varies_along(g, scale, rank, rank - 1))
        return with_inputs(g, node, node->inputs[0], scale_axis(g, node->inputs[1], scale, rank - 1, node->shape.dims[rank - 1]));
    if (node->op == OP_matmul && is_weight(f, g, node->inputs[0]) && varies_along(g, scale, rank, rank - 2))
        return with_inputs(g, node, scale_axis(g, node->inputs[0], scale, rank - 2, node->shape.dims[rank - 2]), node->inputs[1]);
    if (node->op != OP_convolution && node->op != OP_convolution_input) return NULL;
    Node *w = node->inputs[1];
    if (!is_weight(f, g, w) || !varies_along(g, scale, rank, 1)) return NULL;
    if (node->op == OP_convolution) return with_inputs(g, node, node->inputs[0], scale_axis(g, w, scale, 0, w->shape.dims[0]));
    return with_inputs(g, node, node->inputs[0], scale_inputs(g, w, scale, ATTRIBUTES(node, convolution_input)->groups));
}

/* The chain with its scale moved into the weights of its base where that can be done. A chain is remembered without this, so that a
 * later step's scale joins the vector and not the weights once more. */
static Affine settled(Folding *f, Graph *g, Affine chain) {
    Node *folded = chain.scale && chain.owned ? scale_result(f, g, chain.base, chain.scale) : NULL;
    return folded ? (Affine){.base = folded, .shift = chain.shift, .owned = true} : chain;
}

/* A chain whose weights vary along the last axis goes on through a reshape that keeps it: the rows of a batch as rows of one matrix. */
static bool continue_through_reshape(Folding *f, Graph *g, const Node *old, Node *const *in, Affine *result) {
    Affine chain = settled(f, g, operand_chain(f, old, in, 0));
    Shape from = old->inputs[0]->shape, to = old->shape;
    if ((!chain.scale && !chain.shift) || !from.rank || !to.rank || from.dims[from.rank - 1] != to.dims[to.rank - 1]) return false;
    Dim size = to.dims[to.rank - 1];
    if (chain.scale && !varies_along(g, chain.scale, from.rank, from.rank - 1)) return false;
    if (chain.shift && !varies_along(g, chain.shift, from.rank, from.rank - 1)) return false;
    *result = (Affine){.base = graph_copy(g, old, &chain.base),
                       .scale = chain.scale ? as_vector(g, chain.scale, size) : NULL,
                       .shift = chain.shift ? as_vector(g, chain.shift, size) : NULL,
                       .divided = chain.divided};
    return true;
}

/* `old` as its chain has it, or as it is written where that would divide by multiplying. */
static Node *materialize(Folding *f, Graph *g, Affine chain, const Node *old, Node *const *in) {
    Shape shape = old->shape;
    chain = settled(f, g, chain);
    if (chain.divided) return graph_copy(g, old, in);
    Node *node = chain.base;
    if (chain.scale) node = build_binary(g, OP_mul, node, build_broadcast(g, chain.scale, shape.rank, shape.dims));
    if (chain.shift) node = build_binary(g, OP_add, node, build_broadcast(g, chain.shift, shape.rank, shape.dims));
    return node;
}

/* ---- before a contraction ---- */

/* Whether every tap of every output reads a real pixel. */
static bool reads_no_padding(Graph *g, const Node *convolution) {
    const convolution_attributes *c = ATTRIBUTES(convolution, convolution);
    Shape x = convolution->inputs[0]->shape, w = convolution->inputs[1]->shape;
    for (int i = 0; i < c->stride.count; i++) {
        Dim last = dim_scale(g->dims, dim_offset(g->dims, c->size.items[i], -1), c->stride.items[i]);
        Dim reach = dim_add(g->dims, last, dim_scale(g->dims, dim_offset(g->dims, w.dims[2 + i], -1), c->dilation.items[i]));
        int64_t low, high;
        dim_bounds(dim_sub(g->dims, dim_offset(g->dims, x.dims[2 + i], -1), reach), &low, &high);
        if (c->before.items[i] != 0 || low < 0) return false;
    }
    return true;
}

/* The sum over w's inputs and taps of w * shift: what a shift of the input adds to each output, [1, O, 1, ...]. */
static Node *shift_through(Graph *g, Node *w, Node *shift, int64_t groups) {
    int64_t axes[REF_MAX_RANK];
    Dim dims[REF_MAX_RANK];
    for (int i = 0; i < w->shape.rank; i++) axes[i] = i + 1, dims[i] = dim_const(g->dims, 1);
    Node *sums = build_sum(g, scale_inputs(g, w, shift, groups), axes, w->shape.rank - 1);
    dims[1] = w->shape.dims[0];
    return build_reshape(g, sums, w->shape.rank, dims);
}

/* convolution(x * scale + shift, w) by weights for x. */
static bool fold_before_convolution(Folding *f, Graph *g, const Node *old, Node *const *in, Affine chain, Affine *result) {
    int64_t groups = ATTRIBUTES(old, convolution)->groups;
    int rank = old->shape.rank;
    if (!is_weight(f, g, in[1]) || (chain.scale && !varies_along(g, chain.scale, rank, 1))) return false;
    if (chain.shift && (!varies_along(g, chain.shift, rank, 1) || !reads_no_padding(g, old))) return false;
    Node *w = chain.scale ? scale_inputs(g, in[1], chain.scale, groups) : in[1];
    Node *shift = chain.shift ? shift_through(g, in[1], chain.shift, groups) : NULL;
    *result = (Affine){.base = with_inputs(g, old, chain.base, w), .shift = shift, .owned = true};
    return true;
}

/* (x * scale + shift) @ w for rows x: scale goes to the rows of w, the shift is a row more of it. */
static bool fold_before_matmul(Folding *f, Graph *g, const Node *old, Node *const *in, Affine chain, Affine *result) {
    int rank = old->shape.rank;
    if (!is_weight(f, g, in[1]) || (chain.scale && !varies_along(g, chain.scale, rank, rank - 1))) return false;
    if (chain.shift && !varies_along(g, chain.shift, rank, rank - 1)) return false;
    Dim depth = in[0]->shape.dims[rank - 1];
    Node *w = chain.scale ? scale_axis(g, in[1], chain.scale, rank - 2, depth) : in[1];
    Node *shift = chain.shift ? build_sum(g, scale_axis(g, in[1], chain.shift, rank - 2, depth), (int64_t[]){rank - 2}, 1) : NULL;
    *result = (Affine){.base = with_inputs(g, old, chain.base, w), .shift = shift, .owned = true};
    return true;
}

/* A transposed convolution takes a scale alone: how many taps meet in a pixel, and so what a shift adds, differs from pixel to pixel. */
static bool fold_before_transposed(Folding *f, Graph *g, const Node *old, Node *const *in, Affine chain, Affine *result) {
    if (!is_weight(f, g, in[1]) || chain.shift || !varies_along(g, chain.scale, old->shape.rank, 1)) return false;
    Node *w = scale_axis(g, in[1], chain.scale, 0, in[1]->shape.dims[0]);
    *result = (Affine){.base = with_inputs(g, old, chain.base, w), .owned = true};
    return true;
}

static bool fold_before(Folding *f, Graph *g, const Node *old, Node *const *in, Affine *result) {
    Affine chain = settled(f, g, operand_chain(f, old, in, 0));
    if (!chain.scale && !chain.shift) return false;
    if (old->op == OP_convolution) return fold_before_convolution(f, g, old, in, chain, result);
    if (old->op == OP_matmul) return fold_before_matmul(f, g, old, in, chain, result);
    return fold_before_transposed(f, g, old, in, chain, result);
}

/* ---- the pass ---- */

static Node *visit(Graph *to, const Node *old, Node *const *inputs, void *context) {
    Folding *f = context;
    Affine chain;
    if (old->op == OP_convolution || old->op == OP_convolution_input || old->op == OP_matmul) {
        if (!fold_before(f, to, old, inputs, &chain)) chain = (Affine){.base = graph_copy(to, old, inputs), .owned = true};
    } else if (old->op == OP_reshape ? !continue_through_reshape(f, to, old, inputs, &chain)
                                     : !continue_chain(f, to, old, inputs, &chain)) {
        return NULL;
    }
    Node *node = materialize(f, to, chain, old, inputs);
    if (!is_weight(f, to, node)) map_set(f->affines, node, arena_copy(to->arena, &chain, sizeof chain));
    return node;
}

Graph *pass_batchnorm(Graph *graph) {
    Folding folding = {.uses = graph_uses(graph), .affines = map_new(graph->arena)};
    return pass_simplify(graph_rewrite(graph, visit, &folding));
}
