/* The cost model: FLOPs and bytes of a kernel, and cycles by a roofline of the target.
 * Kinds that know better bounds (tiles of a convolution) refine the estimate in their
 * proposals. */
#include "plan/stages.h"

int64_t typical(const Kernel *kernel, Dim dim) {
    return max_i64(1, dim_typical(kernel->program->graph->dims, dim));
}

int64_t node_typical_bytes(const Program *program, const Node *node) {
    int64_t bytes = dtype_bytes(node->shape.type);
    for (int i = 0; i < node->shape.rank; i++)
        bytes *= max_i64(1, dim_typical(program->graph->dims, node->shape.dims[i]));
    return bytes;
}

static Dims *dims_of_kernel(const Kernel *kernel) { return kernel->program->graph->dims; }

static Dim stored_sum_flops(Dims *dims, const StoredSum *stored) {
    Dim sum = node_flops(dims, stored->anchor);
    for (int i = 0; i < stored->member_count; i++)
        sum = dim_add(dims, sum, node_flops(dims, stored->members[i]));
    return sum;
}

static Dim kernel_flops(const Kernel *kernel) {
    Dim sum = dim_const(dims_of_kernel(kernel), 0);
    for (int i = 0; i < kernel->member_count; i++)
        if (!kernel->gathers || kernel->members[i] != kernel->anchor)
            sum =
                dim_add(dims_of_kernel(kernel), sum, node_flops(dims_of_kernel(kernel), kernel->members[i]));
    for (int i = 0; i < kernel->sum_count; i++)
        sum =
            dim_add(dims_of_kernel(kernel), sum, stored_sum_flops(dims_of_kernel(kernel), &kernel->sums[i]));
    return sum;
}

static Dim node_bytes(Dims *dims, const Node *node) {
    return dim_scale(dims, shape_elements(dims, node->shape), dtype_bytes(node->shape.type));
}

static Dim kernel_bytes(const Kernel *kernel) {
    Dims *dims = dims_of_kernel(kernel);
    const Value *output = kernel->output;
    Dim sum = is_packed(output) ? output->bytes : node_bytes(dims, output->node);
    for (int i = 0; i < kernel->input_count; i++)
        sum = dim_add(dims, sum, node_bytes(dims, kernel->inputs[i]->node));
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
    double rate = bytes <= (double)target->l1_bytes   ? target->loads_per_cycle * target->vector_bytes
                  : bytes <= (double)target->l2_bytes ? target->l2_bytes_per_cycle
                  : bytes <= (double)target->l3_bytes ? target->l3_bytes_per_cycle
                                                      : target->memory_bytes_per_cycle;
    double memory = bytes / rate;
    return compute > memory ? compute : memory;
}

/* With the zeros that fill up blocks, at typical sizes. */
static double typical_bytes(const Program *program, const Node *node, const Format *format) {
    double bytes = dtype_bytes(format_type(format, node));
    if (!format_is_strided(format)) return (double)format_bytes(format, node);
    for (int i = 0; i < node->shape.rank; i++) {
        int64_t size = max_i64(1, dim_typical(program->graph->dims, node->shape.dims[i]));
        bytes *= (double)round_up(size, format_block(format, i));
    }
    return bytes;
}

/* Read once and written once, between kernels that have had the caches. */
double reorder_cycles(const Program *program, const Node *node, const Format *from, const Format *to) {
    double bytes = typical_bytes(program, node, from) + typical_bytes(program, node, to);
    return bytes / program->target->memory_bytes_per_cycle;
}

double packing_cycles(const Kernel *kernel, int input, const Format *format) {
    const Value *weight = kernel->inputs[input];
    return weight->space == SPACE_WEIGHTS
               ? 0
               : reorder_cycles(kernel->program, weight->node, &format_plain, format);
}

void prefer_formats(const Kernel *kernel, Proposal *proposal, const Format *format, int count) {
    proposal->output = format;
    for (int i = 0; i < kernel->input_count && i < count; i++) proposal->inputs[i].format = format;
}

void prefer_packed(const Kernel *kernel, Proposal *proposal, int input, const Format *format) {
    const Format *kept = arena_copy(kernel->program->arena, format, sizeof *format);
    proposal->inputs[input] = (OperandPreference){kept, STRIDES_ANY};
}
