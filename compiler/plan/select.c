/* Which kind of kernel computes what fusion.c put together: of all kinds that can, the one of the lowest estimated cost,
 * the copies counted that its wishes for layouts would cost. Kernels are taken in order, so that it is known in which layout those
 * before would like to leave their results. */
#include "plan/stages.h"

#include <stdlib.h>

typedef struct Select {
    Lowering *low;
    const Target *target;
    const char *force;
    LayoutKind *left; /* by value id: the layout in which a value will probably lie; LAYOUT_ANY stands for PLAIN */
} Select;

static LayoutKind *wishes(const Select *s, const Kernel *kernel, const KernelKind *kind, LayoutKind *output) {
    LayoutKind *inputs = NEW_ARRAY(s->low->scratch, LayoutKind, kernel->input_count + 1);
    *output = LAYOUT_ANY;
    kind->layouts(kernel, s->target, output, inputs);
    return inputs;
}

/* Cycles of copying a value from one layout to another: read once, written once, one of the two with its spare lanes. */
static double copy_cost(const Select *s, const Node *node) {
    int64_t channels, lanes = s->target->lanes;
    double bytes = (double)node_typical_bytes(s->low->program, node), spare = 1;
    if (dim_is_const(node->shape.dims[1], &channels) && channels > 0) spare = (double)round_up(channels, lanes) / (double)channels;
    return bytes * (1 + spare) / s->target->memory_bytes_per_cycle;
}

static double copies_cost(const Select *s, const Kernel *kernel, const KernelKind *kind) {
    LayoutKind output, *inputs = wishes(s, kernel, kind, &output);
    double cost = 0;
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *input = kernel->inputs[i];
        if (input->space == SPACE_WEIGHTS || input->node->shape.rank != 4 || inputs[i] == LAYOUT_ANY) continue;
        if ((inputs[i] == LAYOUT_BLOCKED) != (s->left[input->id] == LAYOUT_BLOCKED)) cost += copy_cost(s, input->node);
    }
    if (output == LAYOUT_BLOCKED && s->low->is_output[kernel->output->node->id]) cost += copy_cost(s, kernel->output->node);
    return cost;
}

static const KernelKind *cheapest(const Select *s, const Kernel *kernel) {
    const KernelKind *best = NULL;
    double best_cost = 0;
    const KernelTable *table = s->low->program->table;
    for (int i = 0; i < table->count; i++) {
        const KernelKind *kind = &table->kinds[i];
        if (!kind->fits(kernel, s->target)) continue;
        if (s->force && strcmp(s->force, kind->name) == 0) return kind;
        double cost = kind->cost(kernel, s->target) + copies_cost(s, kernel, kind);
        if (best && cost >= best_cost) continue;
        best = kind;
        best_cost = cost;
    }
    if (!best) INTERNAL_ERROR("no kernel computes %s", op_info[kernel->output->node->op].name);
    return best;
}

/* Elementwise work leaves its result as it finds its operand; reshapes need it PLAIN. */
static void note_layout(Select *s, const Kernel *kernel) {
    LayoutKind output = LAYOUT_ANY;
    if (!kernel_is_concat(kernel)) (void)wishes(s, kernel, kernel->kind, &output);
    bool reshaped = kernel->member_count == 1 && kernel->members[0]->op == OP_reshape;
    for (int i = 0; output == LAYOUT_ANY && !reshaped && i < kernel->input_count; i++)
        if (kernel->inputs[i]->node->shape.rank == 4) output = s->left[kernel->inputs[i]->id];
    s->left[kernel->output->id] = output;
}

void select_kinds(Lowering *low) {
    Select s = {.low = low, .target = low->program->target, .force = low->options->force};
    if (!s.force) s.force = getenv("CAI_FORCE_KERNEL");
    s.left = NEW_ARRAY(low->scratch, LayoutKind, low->program->values.count);
    for (int i = 0; i < low->kernels.count; i++) {
        Kernel *kernel = low->kernels.items[i];
        if (kernel_is_view(kernel)) kernel->kind = low->program->table->copies;
        else if (!kernel_is_concat(kernel)) kernel->kind = cheapest(&s, kernel);
        note_layout(&s, kernel);
    }
}
