/* Moves averages before 1x1 convolutions instead of after them: both are sums, so they
 * can change places, and the convolution has less to do (a quarter in the transitions of
 * a DenseNet).
 *
 * Needs pools as the library writes them, as sums with a division after them. Applies
 * only if nothing else reads the convolution, and the pool has a stride of more than one
 * pixel. Runs before batchnorm, which then folds the division into the convolution.
 *
 * The terms are the same, w * x over channels and window, but added up in another order:
 * the error is the same multiple of the sum of |w| |x| as in the text. Range: if the sum
 * of a window of x overflows, beyond 2^128 / taps, the result is infinite or NaN,
 * whatever w is. */
#include "graph/ops.h"
#include "passes/passes.h"

static bool is_pointwise_convolution(Graph *g, const Node *convolution) {
    const convolution_attributes *c = ATTRIBUTES(convolution, convolution);
    Shape w = convolution->inputs[1]->shape;
    for (int i = 0; i < c->stride.count; i++)
        if (w.dims[2 + i] != dim_const(g->dims, 1) || c->stride.items[i] != 1 || c->before.items[i] != 0)
            return false;
    return shape_dims_equal((Shape){.rank = c->size.count, .dims = c->size.items},
                            (Shape){.rank = c->size.count, .dims = convolution->inputs[0]->shape.dims + 2});
}

static Node *exchange_pool(Graph *g, const Node *old, Node *const *in, void *context) {
    const int *uses = context;
    const Node *convolution = old->op == OP_pool_sum ? in[0] : NULL;
    if (!convolution || convolution->op != OP_convolution || uses[old->inputs[0]->id] != 1 ||
        !is_pointwise_convolution(g, convolution))
        return NULL;
    pool_sum_attributes pool = *ATTRIBUTES(old, pool_sum);
    for (int i = 0; i < pool.stride.count; i++)
        if (pool.stride.items[i] < 2) return NULL;
    convolution_attributes attributes = *ATTRIBUTES(convolution, convolution);
    attributes.size = pool.size;
    Node *pooled = graph_make(g, OP_pool_sum, convolution->inputs, 1, &pool);
    const Origin *here = graph_at(g, convolution->origin);
    Node *result = graph_make(g, OP_convolution, (Node *[]){pooled, convolution->inputs[1]}, 2, &attributes);
    graph_at(g, here);
    return result;
}

Graph *pass_pools(Graph *graph) { return graph_rewrite(graph, exchange_pool, (void *)graph_uses(graph)); }
