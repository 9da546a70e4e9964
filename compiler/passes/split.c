/* Splits a large reduction to few results in two: first over the inner axes, which leaves enough results for all threads to have
 * some, then over the outer ones. The order of the sum depends on typical sizes only, never on threads.
 *
 * Needs nothing; breaks nothing, except that simplify would put the two together again. A reduction over one long axis stays
 * whole: its size need not be divisible. */
#include "passes/passes.h"

#define LARGE 65536 /* elements that are worth a second step */
#define VERY_LARGE (1 << 20)

/* How many results give all threads something to do. Channels in blocks are reduced a block at a time, so of what is very large
 * it takes more. */
static double enough_results(double elements) { return elements < LARGE ? 1 : elements < VERY_LARGE ? 16 : 256; }

static IntList reduced_axes(const Node *node) {
    return node->op == OP_sum ? ATTRIBUTES(node, sum)->axes : ATTRIBUTES(node, reduce_max)->axes;
}

static double typical_elements(const Graph *graph, Shape shape) {
    double count = 1;
    for (int i = 0; i < shape.rank; i++) count *= (double)max_i64(1, dim_typical(graph->dims, shape.dims[i]));
    return count;
}

/* How many of the reduced axes are left for the second step: as many of the outer ones as make enough results. */
static int outer_axes(const Graph *graph, const Node *node, Shape from, IntList axes) {
    double results = typical_elements(graph, node->shape), elements = typical_elements(graph, from), inner = elements / results;
    if (results >= enough_results(elements)) return 0;
    for (int i = 0; i + 1 < axes.count; i++) {
        double size = (double)max_i64(1, dim_typical(graph->dims, from.dims[axes.items[i]]));
        results *= size;
        inner /= size;
        if (results >= enough_results(elements)) return inner >= 2 ? i + 1 : 0;
    }
    return 0;
}

static Node *reduce(Graph *to, Op op, Node *x, IntList axes) {
    sum_attributes attributes = {axes}; /* and reduce_max_attributes, which are the same */
    return graph_make(to, op, &x, 1, &attributes);
}

static Node *split(Graph *to, const Node *old, Node *const *inputs, void *context) {
    (void)context;
    if (old->op != OP_sum && old->op != OP_reduce_max) return NULL;
    IntList axes = reduced_axes(old);
    int outer = outer_axes(to, old, inputs[0]->shape, axes);
    if (outer == 0) return NULL;
    IntList first = {axes.count - outer, axes.items + outer}, second = {outer, axes.items};
    return reduce(to, old->op, reduce(to, old->op, inputs[0], first), second);
}

Graph *pass_split(Graph *graph) { return graph_rewrite(graph, split, NULL); }
