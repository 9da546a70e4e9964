/* Which kind of kernel computes what fuse.c put together: of all rows of kernels.def that can, the one of the lowest estimated cost. */
#include "lower/stages.h"

#include <stdlib.h>

const KernelKind kernel_kinds[KERNEL_COUNT] = {
#define KERNEL(name, what) {#name, what, name##_fits, name##_layouts, name##_choose, name##_cost, name##_emit},
#include "lower/kernels.def"
#undef KERNEL
};

static const KernelKind *cheapest(const Kernel *kernel, const Target *target, const char *force) {
    const KernelKind *best = NULL;
    double best_cost = 0;
    for (int i = 0; i < KERNEL_COUNT; i++) {
        const KernelKind *kind = &kernel_kinds[i];
        if (!kind->fits(kernel, target)) continue;
        if (force && strcmp(force, kind->name) == 0) return kind;
        double cost = kind->cost(kernel, target);
        if (best && cost >= best_cost) continue;
        best = kind;
        best_cost = cost;
    }
    return best;
}

void select_kinds(Lowering *low) {
    const char *force = low->options->force ? low->options->force : getenv("CAI_FORCE_KERNEL");
    for (int i = 0; i < low->kernels.count; i++) {
        Kernel *kernel = low->kernels.items[i];
        if (kernel_is_concat(kernel)) continue;
        kernel->kind = kernel_is_view(kernel) ? &kernel_kinds[KERNEL_loops] : cheapest(kernel, low->program->target, force);
        if (!kernel->kind) INTERNAL_ERROR("no kernel computes %s", op_info[kernel->output->node->op].name);
    }
}
