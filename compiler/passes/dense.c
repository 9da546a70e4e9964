/* Turns convolutions that see a single place into matrix products: those whose kernel
 * covers the whole map, and transposed ones of a map of one pixel (the first layer of
 * many generators). A product reads its weights once, in order; a convolution would have
 * a single pixel.
 *
 * Needs nothing. Makes reshape, matmul, reshape; only the product takes time, and it adds
 * up the same terms. Runs after batchnorm, which handles convolutions better. A kernel
 * with a single tap is left alone: it is as fast as a convolution, which adds the bias in
 * registers. */
#include "graph/ops.h"
#include "passes/passes.h"

/* The number of taps where all sizes of the kernel are known and equal the map's; else
 * 0. */
static int64_t whole_map_taps(const Node *w, const Dim *map) {
    int64_t taps = 1, size;
    for (int i = 2; i < w->shape.rank; i++) {
        if (w->shape.dims[i] != map[i - 2] || !dim_is_const(map[i - 2], &size)) return 0;
        taps *= size;
    }
    return taps;
}

static bool is_plain(IntList dilation, IntList before, int64_t groups) {
    for (int i = 0; i < before.count; i++)
        if (before.items[i] != 0 || dilation.items[i] != 1) return false;
    return groups == 1;
}

static bool is_one_pixel_shape(Graph *g, Shape shape) {
    for (int i = 2; i < shape.rank; i++)
        if (shape.dims[i] != dim_const(g->dims, 1)) return false;
    return true;
}

static Node *reshape_to_matrix(Graph *g, Node *x, Dim rows, Dim columns) {
    return build_reshape(g, x, 2, (Dim[]){rows, columns});
}

/* [O, ...] as [depth, O], which needs no transpose for one output. */
static Node *transposed_kernel(Graph *g, Node *w, Dim depth) {
    if (w->shape.dims[0] == dim_const(g->dims, 1)) return reshape_to_matrix(g, w, depth, w->shape.dims[0]);
    return build_transpose(g, reshape_to_matrix(g, w, w->shape.dims[0], depth), (int64_t[]){1, 0});
}

/* [N, I, kh, kw] with [O, I, kh, kw]: [N, I * kh * kw] @ [O, I * kh * kw] transposed. */
static Node *dense_of_convolution(Graph *g, const Node *old, Node *x, Node *w) {
    const convolution_attributes *c = ATTRIBUTES(old, convolution);
    int64_t taps = whole_map_taps(w, x->shape.dims + 2);
    if (taps <= 1 || !is_one_pixel_shape(g, old->shape) || !is_plain(c->dilation, c->before, c->groups))
        return NULL;
    Dim depth = dim_scale(g->dims, x->shape.dims[1], taps);
    Node *product = graph_make(
        g, OP_matmul,
        (Node *[]){reshape_to_matrix(g, x, x->shape.dims[0], depth), transposed_kernel(g, w, depth)}, 2,
        NULL);
    return build_reshape(g, product, old->shape.rank, old->shape.dims);
}

/* [N, I, 1, 1] with [I, O, kh, kw]: [N, I] @ [I, O * kh * kw]. */
static Node *dense_of_transposed(Graph *g, const Node *old, Node *x, Node *w) {
    const convolution_backward_data_attributes *c = ATTRIBUTES(old, convolution_backward_data);
    int64_t taps = whole_map_taps(w, old->shape.dims + 2);
    if (taps <= 1 || !is_one_pixel_shape(g, x->shape) || !is_plain(c->dilation, c->before, c->groups))
        return NULL;
    Node *weights = reshape_to_matrix(g, w, w->shape.dims[0], dim_scale(g->dims, w->shape.dims[1], taps));
    Node *product =
        graph_make(g, OP_matmul,
                   (Node *[]){reshape_to_matrix(g, x, x->shape.dims[0], x->shape.dims[1]), weights}, 2, NULL);
    return build_reshape(g, product, old->shape.rank, old->shape.dims);
}

static Node *make_dense(Graph *g, const Node *old, Node *const *in, void *context) {
    (void)context;
    if (old->op == OP_convolution) return dense_of_convolution(g, old, in[0], in[1]);
    if (old->op == OP_convolution_backward_data) return dense_of_transposed(g, old, in[0], in[1]);
    return NULL;
}

Graph *pass_dense(Graph *graph) { return graph_rewrite(graph, make_dense, NULL); }
