/* Which kind of kernel computes what fusion.c put together: of all proposals, the one of the
 * lowest estimated cost, the copies counted that the layouts it wants would cost. Kernels
 * are taken in order, so that value->layout says in which layout the proposals taken before
 * would leave their results; where nobody minds it is LAYOUT_ANY, which stands for PLAIN.
 * layout.c then grants layouts by what is wanted here. */
#include "plan/stages.h"

#include <stdlib.h>

/* Cycles of copying a value from one layout to another: read once, written once, one of the two with its spare lanes. */
static double copy_cost(const Program *program, const Node *node) {
    int64_t channels, lanes = program->target->lanes;
    double bytes = (double)node_typical_bytes(program, node), spare = 1;
    if (dim_is_const(node->shape.dims[1], &channels) && channels > 0) spare = (double)round_up(channels, lanes) / (double)channels;
    return bytes * (1 + spare) / program->target->memory_bytes_per_cycle;
}

static double copies_cost(const Lowering *low, const Kernel *kernel, const Proposal *proposal) {
    double cost = 0;
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *input = kernel->inputs[i];
        LayoutKind preference = proposal->inputs[i].layout;
        if (preference == LAYOUT_ANY || input->space == SPACE_WEIGHTS || input->node->shape.rank != 4) continue;
        bool differs = (preference == LAYOUT_BLOCKED) != (input->layout == LAYOUT_BLOCKED);
        if (differs) cost += copy_cost(low->program, input->node);
    }
    bool copied_out = proposal->output == LAYOUT_BLOCKED && low->is_output[kernel->output->node->id];
    return copied_out ? cost + copy_cost(low->program, kernel->output->node) : cost;
}

/* Takes back wishes that cannot be granted, BLOCKED for what cannot be, and those about
 * weights that an epilogue reads, which schedule.c lays out as the epilogue walks. */
static void limit_preferences(const Kernel *kernel, Proposal *proposal) {
    bool possible_output = can_be_blocked(kernel->output->node->shape);
    if (proposal->output == LAYOUT_BLOCKED && !possible_output) proposal->output = LAYOUT_ANY;
    for (int i = 0; i < kernel->input_count; i++) {
        LayoutKind *preference = &proposal->inputs[i].layout;
        bool possible = *preference != LAYOUT_BLOCKED || can_be_blocked(kernel->inputs[i]->node->shape);
        bool of_epilogue = kernel->inputs[i]->space == SPACE_WEIGHTS && i >= kernel_operand_count(kernel);
        if (!possible || of_epilogue) *preference = LAYOUT_ANY;
    }
}

static bool propose_kind(const Kernel *kernel, const KernelKind *kind, Proposal *proposal) {
    *proposal = (Proposal){.inputs = NEW_ARRAY(kernel->program->arena, OperandPreference, kernel->input_count + 1)};
    if (!kind->propose(kernel, proposal)) return false;
    limit_preferences(kernel, proposal);
    return true;
}

void kernel_set_kind(Kernel *kernel, const KernelKind *kind) {
    CHECK(propose_kind(kernel, kind, &kernel->proposal));
    kernel->kind = kind;
}

static void take_cheapest(const Lowering *low, Kernel *kernel, const char *force) {
    const KernelTable *table = low->program->table;
    double best_cost = 0;
    for (int i = 0; i < table->count; i++) {
        const KernelKind *kind = &table->kinds[i];
        Proposal proposal;
        if (!propose_kind(kernel, kind, &proposal)) continue;
        bool forced = force && strcmp(force, kind->name) == 0;
        double cost = proposal.cycles + proposal.packing + copies_cost(low, kernel, &proposal);
        if (kernel->kind && cost >= best_cost && !forced) continue;
        kernel->kind = kind;
        kernel->proposal = proposal;
        best_cost = cost;
        if (forced) return;
    }
    if (!kernel->kind) INTERNAL_ERROR("no kernel computes %s", op_info[kernel->output->node->op].name);
}

/* Elementwise work leaves its result as it finds its operand; reshapes need it PLAIN. */
static LayoutKind left_layout(const Kernel *kernel) {
    LayoutKind left = kernel->proposal.output;
    bool reshaped = kernel->member_count == 1 && kernel->members[0]->op == OP_reshape;
    for (int i = 0; left == LAYOUT_ANY && !reshaped && i < kernel->input_count; i++)
        if (kernel->inputs[i]->node->shape.rank == 4) left = kernel->inputs[i]->layout;
    return left;
}

void select_kinds(Lowering *low) {
    const char *force = low->options->force ? low->options->force : getenv("CAI_FORCE_KERNEL");
    for (int i = 0; i < low->program->values.count; i++) low->program->values.items[i]->layout = LAYOUT_ANY;
    for (int i = 0; i < low->kernels.count; i++) {
        Kernel *kernel = low->kernels.items[i];
        if (kernel_is_view(kernel)) kernel_set_kind(kernel, low->program->table->copies);
        else if (!kernel_is_concat(kernel)) take_cheapest(low, kernel, force);
        kernel->output->layout = left_layout(kernel);
    }
}
