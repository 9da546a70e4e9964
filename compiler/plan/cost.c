/* The cost model: FLOPs and bytes of a kernel, and cycles by a roofline of the target. Kinds that know their own bounds better (tiles of
 * a convolution) refine this in what they propose. */
#include "plan/stages.h"

int64_t typical(const Kernel *kernel, Dim dim) {
    return max_i64(1, dim_typical(kernel->program->graph->dims, dim));
}

static Dims *dims_of_kernel(const Kernel *kernel) {
    return kernel->program->graph->dims;
}

static Dim kernel_flops(const Kernel *kernel) {
    Dim sum = dim_const(dims_of_kernel(kernel), 0);
    for (int i = 0; i < kernel->member_count; i++)
        sum = dim_add(dims_of_kernel(kernel), sum, node_flops(dims_of_kernel(kernel), kernel->members[i]));
    return sum;
}

static Dim node_bytes(Dims *dims, const Node *node) {
    return dim_scale(dims, shape_elements(dims, node->shape), dtype_bytes(node->shape.type));
}

static Dim kernel_bytes(const Kernel *kernel) {
    Dims *dims = dims_of_kernel(kernel);
    const Value *output = kernel->output;
    Dim sum = output->format ? output->bytes : node_bytes(dims, output->node);
    for (int i = 0; i < kernel->input_count; i++) sum = dim_add(dims, sum, node_bytes(dims, kernel->inputs[i]->node));
    return sum;
}

void estimate(Kernel *kernel) {
    kernel->flops = kernel_flops(kernel);
    kernel->bytes = kernel_bytes(kernel);
}

double kernel_typical_flops(const Kernel *kernel) {
    return (double)dim_typical(dims_of_kernel(kernel), kernel_flops(kernel));
}

double kernel_typical_bytes(const Kernel *kernel) {
    return (double)dim_typical(dims_of_kernel(kernel), kernel_bytes(kernel));
}

double cost_cycles(const Target *target, double flops, double efficiency, double bytes) {
    double compute = flops / (2.0 * target->lanes * target->fmas_per_cycle * efficiency);
    double rate = bytes <= (double)target->l1_bytes ? target->loads_per_cycle * target->lanes * 4
                : bytes <= (double)target->l2_bytes ? target->l2_bytes_per_cycle
                : bytes <= (double)target->l3_bytes ? target->l3_bytes_per_cycle : target->memory_bytes_per_cycle;
    double memory = bytes / rate;
    return compute > memory ? compute : memory;
}

double reorder_cycles(const Target *target, const Node *node, const PackFormat *format) {
    return cost_cycles(target, 0, 1, (double)(node_element_count(node) * dtype_bytes(node->shape.type) + format_bytes(format)));
}

double packing_cycles(const Kernel *kernel, const PackFormat *format) {
    const Value *weight = kernel->inputs[1];
    return weight->space == SPACE_WEIGHTS ? 0 : reorder_cycles(kernel->program->target, weight->node, format);
}

void prefer_layouts(const Kernel *kernel, Proposal *proposal, LayoutKind layout, int count) {
    proposal->output = layout;
    for (int i = 0; i < kernel->input_count && i < count; i++) proposal->inputs[i].layout = layout;
}
