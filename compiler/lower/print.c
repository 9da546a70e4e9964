/* A program as text, for people and for golden tests (--emit=program), and what was decided and why (--explain). */
#include "lower/stages.h"

static const char *layout_name(LayoutKind layout) {
    return layout == LAYOUT_BLOCKED ? "blocked" : "plain";
}

/* ---- one line a launch ---- */

static void print_place(Text *out, const Program *program, const Value *value) {
    switch (value->space) {
    case SPACE_SLOT: text_add(out, "slot %d", value->slot); break;
    case SPACE_WEIGHTS: text_add(out, "weights+%llu", (unsigned long long)program->packs.items[value->slot].offset); break;
    case SPACE_INPUT: text_add(out, "%s", program->graph->inputs.items[value->slot].name); break;
    case SPACE_OUTPUT: text_add(out, "%s", program->graph->outputs.items[value->slot].name); break;
    }
    int64_t offset;
    if (dim_is_const(value->offset, &offset) && offset == 0) return;
    text_add(out, "[");
    dim_print(out, value->offset);
    text_add(out, "]");
}

static void print_value(Text *out, const Program *program, const Value *value) {
    if (value->space != SPACE_WEIGHTS) text_add(out, "%%%d ", value->id);
    shape_print(out, value->node->shape);
    if (value->space != SPACE_WEIGHTS) text_add(out, " %s", layout_name(value->layout));
    text_add(out, " ");
    print_place(out, program, value);
    if (value->parent) text_add(out, " in %%%d", value->parent->id);
}

/* The operators a kernel computes, anchor first. */
static void print_members(Text *out, const Kernel *kernel) {
    if (kernel->anchor) text_add(out, "%s", op_info[kernel->anchor->op].name);
    int others = 0;
    for (int i = 0; i < kernel->member_count; i++) {
        const Node *node = kernel->members[i];
        if (node == kernel->anchor || is_everywhere_source(node) || node->op == OP_broadcast || reshape_is_trivial(node)) continue;
        if (++others > 8) continue;
        text_add(out, "%s%s", kernel->anchor || others > 1 ? "+" : "", op_info[node->op].name);
    }
    if (others > 8) text_add(out, "+%d more", others - 8);
    if (!kernel->anchor && others == 0) text_add(out, kernel->member_count ? "fill" : "copy");
}

static const char *kernel_path(const Kernel *kernel) {
    return (kernel->anchor ? kernel->anchor : kernel->output->node)->origin->path;
}

void program_print(const Program *program, FILE *file) {
    Text out = {.arena = arena_new()};
    for (int i = 0; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        text_add(&out, "%d %s: ", i, kernel->kind->name);
        print_members(&out, kernel);
        text_add(&out, " %s\n    -> ", kernel_path(kernel));
        print_value(&out, program, kernel->output);
        for (int k = 0; k < kernel->input_count; k++) {
            text_add(&out, "\n    <- ");
            print_value(&out, program, kernel->inputs[k]);
        }
        text_add(&out, "\n    %s\n", kernel->name);
    }
    text_add(&out, "%d launches, %d copies, %d slots, %llu bytes of weights\n", program->launches.count, program->copies, program->slots.count,
             (unsigned long long)program->weights_bytes);
    fputs(text_string(&out), file);
    arena_free(out.arena);
}

/* ---- --explain ---- */

typedef struct Totals { double flops, bytes, milliseconds; int kernels; } Totals;

/* Estimated time of one launch on one core. */
static double kernel_milliseconds(const Kernel *kernel) {
    const Target *target = kernel->program->target;
    return kernel->kind->cost(kernel, target) / (target->gigahertz * 1e6);
}

static void explain_kernel(const Kernel *kernel, Totals *totals, Text *out) {
    double flops = kernel_typical_flops(kernel), bytes = kernel_typical_bytes(kernel), milliseconds = kernel_milliseconds(kernel);
    *totals = (Totals){totals->flops + flops, totals->bytes + bytes, totals->milliseconds + milliseconds, totals->kernels + 1};
    text_add(out, "%-46s %8lld %9.1f %9.1f %8.3f  ", kernel->name, (long long)typical(kernel, kernel->tasks), flops / 1e6, bytes / 1e3, milliseconds);
    print_members(out, kernel);
    text_add(out, "  %s\n", kernel_path(kernel));
}

static void explain_memory(const Program *program, Text *out) {
    text_add(out, "\nweights     %10.3f MB in the file of weights, %.3f MB as parameters\n", (double)program->weights_bytes / 1e6,
             (double)program->raw_weights_bytes / 1e6);
    text_add(out, "activations %10.3f MB at the sizes below, in %d buffers; %d copies\n",
             (double)dim_const_value(program_arena_bytes(program)) / 1e6, program->slots.count, program->copies);
    for (int i = 0; i < program->slots.count; i++) {
        const Slot *slot = &program->slots.items[i];
        text_add(out, "  buffer %d: ", i);
        for (int k = 0; k < slot->bytes.count; k++) {
            text_add(out, k ? " or " : "");
            dim_print(out, slot->bytes.items[k]);
        }
        text_add(out, " bytes\n");
    }
}

void program_explain(const Program *program, FILE *file) {
    Text out = {.arena = arena_new()};
    const Target *target = program->target;
    Totals totals = {0};
    text_add(&out, "target %s: %d lanes, %d registers, %.3g multiply-adds a cycle, caches %lld / %lld / %lld KB, %.2f GHz\n", target->name,
             target->lanes, target->registers, target->fmas_per_cycle, (long long)target->l1_bytes >> 10, (long long)target->l2_bytes >> 10,
             (long long)target->l3_bytes >> 10, target->gigahertz);
    text_add(&out, "estimates are for one core");
    for (int i = 0; i < dims_symbol_count(program->graph->dims); i++) {
        const Symbol *symbol = dims_symbol(program->graph->dims, i);
        text_add(&out, "%s %s = %lld", i ? "," : ", at", symbol->name, (long long)(symbol->multiple * symbol->typical));
    }
    text_add(&out, "\n\n%-46s %8s %9s %9s %8s\n", "kernel", "tasks", "MFLOP", "KB", "ms");
    for (int i = 0; i < program->launches.count; i++) explain_kernel(program->launches.items[i], &totals, &out);
    text_add(&out, "%-46d %8s %9.1f %9.1f %8.3f\n", totals.kernels, "", totals.flops / 1e6, totals.bytes / 1e3, totals.milliseconds);
    explain_memory(program, &out);
    fputs(text_string(&out), file);
    arena_free(out.arena);
}
