/* Chooses the kind of each kernel that fusion.c made: the proposal with the lowest
 * estimated cost, including that of the copies that its layouts require. Kernels are
 * taken in order, so that value->format is the format in which the proposals chosen
 * before would leave their results; NULL, if they have no preference, means PLAIN.
 * layout.c then grants layouts by these preferences. */
#include "plan/stages.h"

#include <stdlib.h>

/* The cost of bringing an input into the format that the kernel prefers; packing reads it
 * PLAIN. */
static double granting_cost(const Program *program, const Kernel *kernel, int input,
                            const Format *preference) {
    const Value *value = kernel->inputs[input];
    const Format *from = value->format ? value->format : &format_plain,
                 *to = format_is_strided(preference) ? preference : &format_plain;
    double packing = to == preference ? 0 : packing_cycles(kernel, input, preference);
    return from == to ? packing : packing + reorder_cycles(program, value->node, from, to);
}

/* The cost of copies and packing before the kernel, and of copies after it. */
static double copies_cost(const Lowering *low, const Kernel *kernel, const Proposal *proposal) {
    const Program *program = low->program;
    const Node *output = kernel->output->node;
    double cost = 0;
    for (int i = 0; i < kernel->input_count; i++) {
        const Format *preference = proposal->inputs[i].format;
        if (preference && kernel->inputs[i]->space != SPACE_WEIGHTS)
            cost += granting_cost(program, kernel, i, preference);
    }
    bool copied_out = proposal->output == program->blocked && low->is_output[output->id];
    return copied_out ? cost + reorder_cycles(program, output, program->blocked, &format_plain) : cost;
}

/* Takes back preferences that cannot be granted, BLOCKED for what cannot be, and those of
 * weights that an epilogue reads, which schedule.c lays out as the epilogue walks. */
static void limit_preferences(const Kernel *kernel, Proposal *proposal) {
    const Format *blocked = kernel->program->blocked;
    if (proposal->output == blocked && !can_be_blocked(kernel->output->node->shape)) proposal->output = NULL;
    for (int i = 0; i < kernel->input_count; i++) {
        const Format **preference = &proposal->inputs[i].format;
        bool possible = *preference != blocked || can_be_blocked(kernel->inputs[i]->node->shape);
        bool of_epilogue = kernel->inputs[i]->space == SPACE_WEIGHTS && i >= kernel_operand_count(kernel);
        if (!possible || of_epilogue) *preference = NULL;
    }
}

static bool propose_kind(Kernel *kernel, const KernelKind *kind, Proposal *proposal) {
    const Program *program = kernel->program;
    *proposal = (Proposal){.inputs = NEW_ARRAY(program->arena, OperandPreference, kernel->input_count + 1)};
    if (!kind->propose(kernel, proposal)) return false;
    if (proposal->rounds_by_place && program->ties[kernel->anchor->id]) {
        kernel->held_back = kind;
        return false;
    }
    limit_preferences(kernel, proposal);
    return true;
}

void select_kind(const Lowering *low, Kernel *kernel) {
    const KernelTable *table = low->program->table;
    const char *force = low->options->force ? low->options->force : getenv("CAI_FORCE_KERNEL");
    double best_cost = 0;
    for (int i = 0; i < table->count; i++) {
        const KernelKind *kind = &table->kinds[i];
        Proposal proposal;
        if (!propose_kind(kernel, kind, &proposal)) continue;
        bool forced = force && strcmp(force, kind->name) == 0;
        double cost = proposal.cycles + copies_cost(low, kernel, &proposal);
        if (kernel->kind && cost >= best_cost && !forced) continue;
        kernel->kind = kind;
        kernel->proposal = proposal;
        best_cost = cost;
        if (forced) return;
    }
    if (!kernel->kind) INTERNAL_ERROR("no kernel computes %s", op_info[kernel->output->node->op].name);
}

/* Elementwise work leaves its result in the format of its operand; reshapes need
 * PLAIN. */
static const Format *left_format(const Kernel *kernel) {
    const Format *left = kernel->proposal.output;
    bool reshaped = kernel->member_count == 1 && kernel->members[0]->op == OP_reshape;
    for (int i = 0; !left && !reshaped && i < kernel->input_count; i++)
        if (kernel->inputs[i]->node->shape.rank == 4) left = kernel->inputs[i]->format;
    return left;
}

void select_kinds(Lowering *low) {
    for (int i = 0; i < low->program->values.count; i++) low->program->values.items[i]->format = NULL;
    for (int i = 0; i < low->kernels.count; i++) {
        Kernel *kernel = low->kernels.items[i];
        if (!kernel_is_concat(kernel)) select_kind(low, kernel);
        kernel->output->format = left_format(kernel);
    }
}
