/* The number of operations that a node takes: the rules named in ops.def. A multiply-add
 * counts as two. */
#include "graph/ops.h"

Dim node_flops(Dims *dims, const Node *node) { return op_info[node->op].flops(dims, node); }

static Dim for_elements(Dims *dims, const Node *node, int64_t each) {
    return dim_scale(dims, shape_elements(dims, node->shape), each);
}

/* The axes of a shape from `first` on, multiplied. */
static Dim product_from(Dims *dims, Shape shape, int first) {
    Dim product = dim_const(dims, 1);
    for (int i = first; i < shape.rank; i++) product = dim_mul(dims, product, shape.dims[i]);
    return product;
}

Dim flops_none(Dims *dims, const Node *node) {
    (void)node;
    return dim_const(dims, 0);
}

/* One operation for each element of the result, or of the first operand. */
Dim flops_each(Dims *dims, const Node *node) { return for_elements(dims, node, 1); }
Dim flops_each_of_first(Dims *dims, const Node *node) { return for_elements(dims, node->inputs[0], 1); }

/* ---- contractions: each element of one tensor meets so many others ---- */

Dim flops_convolution(Dims *dims, const Node *node) {
    return dim_mul(dims, for_elements(dims, node, 2), product_from(dims, node->inputs[1]->shape, 1));
}

/* Every element of dy meets [I/g, kh, kw] weights. */
Dim flops_convolution_backward_data(Dims *dims, const Node *node) {
    return dim_mul(dims, for_elements(dims, node->inputs[0], 2),
                   product_from(dims, node->inputs[1]->shape, 1));
}

/* Every element of w meets all images and positions of dy. */
Dim flops_convolution_backward_weights(Dims *dims, const Node *node) {
    Shape dy = node->inputs[1]->shape;
    return dim_mul(dims, for_elements(dims, node, 2), dim_mul(dims, dy.dims[0], product_from(dims, dy, 2)));
}

Dim flops_matmul(Dims *dims, const Node *node) {
    Shape a = node->inputs[0]->shape;
    return dim_mul(dims, for_elements(dims, node, 2), a.dims[a.rank - 1]);
}

/* ---- windows ---- */

static int64_t window_elements(const Node *node) {
    IntList kernel = pooling_of(node)->kernel;
    int64_t product = 1;
    for (int i = 0; i < kernel.count; i++) product *= kernel.items[i];
    return product;
}

/* The windows are those of the result, or of the last operand. */
Dim flops_window(Dims *dims, const Node *node) { return for_elements(dims, node, window_elements(node)); }
Dim flops_window_back(Dims *dims, const Node *node) {
    return for_elements(dims, node->inputs[node->input_count - 1], window_elements(node));
}

Dim flops_resample(Dims *dims, const Node *node) { return for_elements(dims, node, 8); }

/* ---- order ---- */

Dim flops_top_k(Dims *dims, const Node *node) { return for_elements(dims, node->inputs[0], 8); }
Dim flops_nms(Dims *dims, const Node *node) { return for_elements(dims, node->inputs[1], 16); }
