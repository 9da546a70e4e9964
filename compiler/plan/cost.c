/* The cost model: FLOPs and bytes of a kernel, and cycles by a roofline of the target. Kinds that know their own bounds better (tiles of
 * a convolution) refine this in their `cost`. */
#include "plan/stages.h"

int64_t typical(const Kernel *kernel, Dim dim) {
    return max_i64(1, dim_typical(kernel->program->graph->dims, dim));
}

static Dims *dims_of(const Kernel *kernel) {
    return kernel->program->graph->dims;
}

/* Spatial axes of a window or kernel, multiplied. */
static Dim product_from(Dims *dims, Shape shape, int first) {
    Dim product = dim_const(dims, 1);
    for (int i = first; i < shape.rank; i++) product = dim_mul(dims, product, shape.dims[i]);
    return product;
}

static int64_t ints_product(IntList list) {
    int64_t product = 1;
    for (int i = 0; i < list.count; i++) product *= list.items[i];
    return product;
}

/* Operations per element of the result, or of `*over` where that is another tensor. A multiply-add counts two. */
static Dim operations(Dims *dims, const Node *node, Shape *over) {
    Dim two = dim_const(dims, 2), one = dim_const(dims, 1);
    switch (node->op) {
    case OP_convolution: return dim_mul(dims, two, product_from(dims, node->inputs[1]->shape, 1));
    case OP_convolution_input: /* every element of dy meets [I/g, kh, kw] weights */
        *over = node->inputs[0]->shape;
        return dim_mul(dims, two, product_from(dims, node->inputs[1]->shape, 1));
    case OP_convolution_weight: /* every element of w meets all images and positions of dy */
        return dim_mul(dims, two, dim_mul(dims, node->inputs[1]->shape.dims[0], product_from(dims, node->inputs[1]->shape, 2)));
    case OP_matmul: return dim_mul(dims, two, node->inputs[0]->shape.dims[node->inputs[0]->shape.rank - 1]);
    case OP_pool_sum: case OP_pool_max: case OP_max_pool_gather: return dim_const(dims, ints_product(pooling_of(node)->kernel));
    case OP_max_pool_scatter: case OP_pool_sum_input:
        *over = node->inputs[node->input_count - 1]->shape;
        return dim_const(dims, ints_product(pooling_of(node)->kernel));
    case OP_resample: case OP_resample_input: return dim_const(dims, 8);
    case OP_sum: case OP_reduce_max: case OP_argmax: case OP_scatter_add: *over = node->inputs[0]->shape; return one;
    case OP_cumsum: return one;
    case OP_nms: *over = node->inputs[1]->shape; return dim_const(dims, 16);
    case OP_top_k: *over = node->inputs[0]->shape; return dim_const(dims, 8);
    default: return op_info[node->op].class == CLASS_ELEMENTWISE ? one : dim_const(dims, 0);
    }
}

Dim node_flops(Dims *dims, const Node *node) {
    Shape over = node->shape;
    Dim each = operations(dims, node, &over);
    return dim_mul(dims, each, shape_elements(dims, over));
}

static Dim kernel_flops(const Kernel *kernel) {
    Dim sum = dim_const(dims_of(kernel), 0);
    for (int i = 0; i < kernel->member_count; i++)
        sum = dim_add(dims_of(kernel), sum, node_flops(dims_of(kernel), kernel->members[i]));
    return sum;
}

static Dim node_bytes(Dims *dims, const Node *node) {
    return dim_scale(dims, shape_elements(dims, node->shape), dtype_bytes(node->shape.type));
}

static Dim kernel_bytes(const Kernel *kernel) {
    Dims *dims = dims_of(kernel);
    Dim sum = node_bytes(dims, kernel->output->node);
    for (int i = 0; i < kernel->input_count; i++) sum = dim_add(dims, sum, node_bytes(dims, kernel->inputs[i]->node));
    return sum;
}

void estimate(Kernel *kernel) {
    kernel->flops = kernel_flops(kernel);
    kernel->bytes = kernel_bytes(kernel);
}

double kernel_typical_flops(const Kernel *kernel) {
    return (double)dim_typical(dims_of(kernel), kernel_flops(kernel));
}

double kernel_typical_bytes(const Kernel *kernel) {
    return (double)dim_typical(dims_of(kernel), kernel_bytes(kernel));
}

double cost_cycles(const Target *target, double flops, double efficiency, double bytes) {
    double compute = flops / (2.0 * target->lanes * target->fmas_per_cycle * efficiency);
    double rate = bytes <= (double)target->l1_bytes ? target->loads_per_cycle * target->lanes * 4
                : bytes <= (double)target->l2_bytes ? target->l2_bytes_per_cycle
                : bytes <= (double)target->l3_bytes ? target->l3_bytes_per_cycle : target->memory_bytes_per_cycle;
    double memory = bytes / rate;
    return compute > memory ? compute : memory;
}
