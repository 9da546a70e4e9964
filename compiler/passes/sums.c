/* Moves factors that are the same along a sum from before the sum to after it, so that
 * several sums that gradients need become one.
 *
 *     sum(x * c)             to sum(x) * c     c is repeated along all axes of the sum by a broadcast
 *     sum(x - mean(x))       to sum(x) - n * mean(x), both of which exist already
 *     sum(x * c - y * d)     to sum(x) * c - sum(y) * d, if all but one of these are such
 *                            sums of differences
 *
 * The gradient of a batch norm has five sums over its map, of which two are left: of dy,
 * and of dy * (x - mean).
 *
 * Needs the result of simplify: broadcasts are after elementwise work wherever possible.
 * All sums are of f32.
 *
 * Rounding, where u is half a unit in the last place: one u of the sum of magnitudes for
 * each factor and term; for differences from a mean, which add up to 0, two u of the sum
 * of |x|, as the mean itself has. Range: if x * c overflows and the sum of x does not,
 * the text gives an infinity or NaN, and this pass a number or the infinity of the
 * product; if the sum of x overflows, it is the reverse. A NaN or an infinity of x or c
 * stays one. */
#include "passes/passes.h"

enum { MAX_FACTORS = 8, MAX_PARTS = 8 };

typedef struct Product { /* the operand of the sum, or a term of it */
    Node *same[MAX_FACTORS], *varying[MAX_FACTORS];
    int same_count, varying_count;
    double scale;
    bool negative;
} Product;

static bool is_same_along(const Node *node, IntList axes) {
    if (node->op != OP_broadcast) return false;
    for (int i = 0; i < axes.count; i++)
        if (!dim_is_one(node->inputs[0]->shape.dims[axes.items[i]])) return false;
    return true;
}

/* ---- differences from a mean ---- */

static bool count_terms(const Node *x, IntList axes, double *count) {
    *count = 1;
    for (int i = 0; i < axes.count; i++) {
        int64_t size;
        if (!dim_is_const(x->shape.dims[axes.items[i]], &size)) return false;
        *count *= (double)size;
    }
    return true;
}

/* The sum that `mean` is of `count` terms, where it is one: sum / count, or by a power of
 * two sum * (1 / count). */
static Node *sum_of_mean(const Node *mean, double count) {
    double value;
    if ((mean->op != OP_div && mean->op != OP_mul) || !node_is_splat(mean->inputs[1], &value)) return NULL;
    return value == (mean->op == OP_div ? count : 1 / count) ? mean->inputs[0] : NULL;
}

/* The sum of all x where `node` is x - mean(x), else NULL. */
static Node *sum_before_mean(const Node *node, IntList axes) {
    double count;
    if (node->op != OP_sub || !is_same_along(node->inputs[1], axes) || !count_terms(node, axes, &count))
        return NULL;
    Node *sum = sum_of_mean(node->inputs[1]->inputs[0], count);
    if (!sum || sum->op != OP_sum || sum->inputs[0] != node->inputs[0]) return NULL;
    IntList summed = ATTRIBUTES(sum, sum)->axes;
    bool same = summed.count == axes.count &&
                memcmp(summed.items, axes.items, sizeof *axes.items * (size_t)axes.count) == 0;
    return same ? sum : NULL;
}

static Node *sum_differences(Graph *g, const Node *node, IntList axes) {
    double count;
    Node *sum = sum_before_mean(node, axes);
    if (!sum || !count_terms(node, axes, &count)) return NULL;
    Node *mean = node->inputs[1]->inputs[0];
    return build_binary(g, OP_sub, sum, build_binary(g, OP_mul, mean, build_splat(g, count, mean->shape)));
}

/* ---- terms and their factors ---- */

/* False where there are too many. */
static bool collect_factors(Product *p, Node *node, IntList axes) {
    double value;
    if (node_is_splat(node, &value)) {
        p->scale *= value;
        return true;
    }
    if (node->op == OP_mul)
        return collect_factors(p, node->inputs[0], axes) && collect_factors(p, node->inputs[1], axes);
    bool same = is_same_along(node, axes);
    int *count = same ? &p->same_count : &p->varying_count;
    if (*count == MAX_FACTORS) return false;
    (same ? p->same : p->varying)[(*count)++] = node;
    return true;
}

typedef struct Terms {
    IntList axes; /* of the sum */
    Product of[MAX_PARTS];
    int count;
} Terms;

/* False where there are too many, or one of numbers alone. */
static bool collect_terms(Terms *terms, Node *node, bool negative) {
    if (node->op == OP_neg) return collect_terms(terms, node->inputs[0], !negative);
    if (node->op == OP_add || (node->op == OP_sub && !sum_before_mean(node, terms->axes)))
        return collect_terms(terms, node->inputs[0], negative) &&
               collect_terms(terms, node->inputs[1], negative != (node->op == OP_sub));
    if (terms->count == MAX_PARTS) return false;
    Product *p = &terms->of[terms->count++];
    *p = (Product){.scale = 1, .negative = negative};
    return collect_factors(p, node, terms->axes) && p->varying_count > 0;
}

/* Equal products are then equal nodes. */
static Node *multiply_varying(Graph *g, Product *p) {
    for (int i = 1; i < p->varying_count; i++)
        for (int k = i; k > 0 && p->varying[k - 1]->id > p->varying[k]->id; k--) {
            Node *later = p->varying[k - 1];
            p->varying[k - 1] = p->varying[k];
            p->varying[k] = later;
        }
    Node *product = p->varying[0];
    for (int i = 1; i < p->varying_count; i++) product = build_binary(g, OP_mul, product, p->varying[i]);
    return product;
}

/* ---- the pass ---- */

/* The sum of a term, of whose varying factors `sum` is. */
static Node *multiply_same(Graph *g, const Product *p, Node *sum) {
    for (int i = 0; i < p->same_count; i++)
        sum = build_binary(g, OP_mul, sum,
                           build_broadcast(g, p->same[i]->inputs[0], sum->shape.rank, sum->shape.dims));
    return p->scale == 1 ? sum : build_binary(g, OP_mul, sum, build_splat(g, p->scale, sum->shape));
}

static Node *rewrite_sum(Graph *g, const Node *old, Node *const *in) {
    Terms terms = {.axes = ATTRIBUTES(old, sum)->axes};
    Node *total = NULL;
    int others = 0, pulled = 0;
    if (!collect_terms(&terms, in[0], false)) return NULL;
    for (int i = 0; i < terms.count; i++) {
        Product *p = &terms.of[i];
        Node *product = multiply_varying(g, p), *sum = sum_differences(g, product, terms.axes);
        if (!sum) others++;
        if (sum || p->same_count > 0) pulled++;
        if (!sum) sum = build_sum(g, product, terms.axes.items, terms.axes.count);
        sum = multiply_same(g, p, sum);
        if (total) total = build_binary(g, p->negative ? OP_sub : OP_add, total, sum);
        else total = p->negative ? build_unary(g, OP_neg, sum) : sum;
    }
    return others > 1 || pulled == 0 ? NULL : total;
}

/* What others read, too, is computed anyway, and the sum with it. */
static Node *merge_equal_sums(Graph *to, const Node *old, Node *const *inputs, void *uses) {
    bool alone =
        old->op == OP_sum && old->shape.type == DTYPE_F32 && ((const int *)uses)[old->inputs[0]->id] == 1;
    return alone ? rewrite_sum(to, old, inputs) : NULL;
}

Graph *pass_sums(Graph *graph) { return graph_rewrite(graph, merge_equal_sums, graph_uses(graph)); }
