/* Prints a program as text, for people and for golden tests (--emit=program), and what
 * planning decided and why (--explain). */
#include "plan/stages.h"

static const char *layout_name(const Value *value) {
    return is_packed(value) ? "packed" : value->format->name;
}

/* What a kernel that only moves elements does. */
static const char *movement_name(const Kernel *kernel) {
    return is_packed(kernel->output) ? kernel->kind->name : "copy";
}

/* ---- --emit=program: a line for each launch, view and concatenation ----
 *
 * The line of a view comes before that of the launch that reads it first. */

typedef struct ProgramPrinter {
    const Program *program;
    Text out;
    bool *introduced; /* by value id */
} ProgramPrinter;

static void print_value_place(Text *out, const Program *program, const Value *value) {
    if (value->space == SPACE_SLOT) text_add(out, "slot %d", value->slot);
    else if (value->space == SPACE_INPUT)
        text_add(out, "input %s", program->graph->inputs.items[value->slot].name);
    else if (value->space == SPACE_OUTPUT)
        text_add(out, "output %s", program->graph->outputs.items[value->slot].name);
    int64_t offset;
    if (!dim_is_const(value->offset, &offset) || offset != 0) {
        text_add(out, " + ");
        dim_print(out, value->offset);
    }
    if (value->parent) text_add(out, " in %%%d", value->parent->id);
}

static void print_value(ProgramPrinter *p, const Value *value) {
    text_add(&p->out, ": ");
    shape_print(&p->out, value->node->shape);
    text_add(&p->out, " %s, ", layout_name(value));
    print_value_place(&p->out, p->program, value);
}

/* Prints values that no launch makes: inputs, views, concatenations. Parents come
 * first. */
static void introduce_value(ProgramPrinter *p, const Value *value) {
    const char *what = value->node->op == OP_concat ? "concat" : value->parent ? "view" : "input";
    if (value->space == SPACE_WEIGHTS || p->introduced[value->id]) return;
    for (const Value *parent = value->parent; parent; parent = parent->parent) {
        if (p->introduced[parent->id]) continue;
        introduce_value(p, parent);
        break;
    }
    p->introduced[value->id] = true;
    text_add(&p->out, "  %%%d = %s ", value->id, what);
    print_value(p, value);
    text_add(&p->out, "\n");
}

/* The operators a kernel computes, anchor first. */
static void print_members(Text *out, const Kernel *kernel) {
    if (kernel->anchor) text_add(out, "%s", op_info[kernel->anchor->op].name);
    int others = 0;
    for (int i = 0; i < kernel->member_count; i++) {
        const Node *node = kernel->members[i];
        if (node == kernel->anchor || is_everywhere_source(node) || node->op == OP_broadcast ||
            reshape_is_trivial(node))
            continue;
        if (++others > 8) continue;
        text_add(out, "%s%s", kernel->anchor || others > 1 ? "+" : "", op_info[node->op].name);
    }
    if (others > 8) text_add(out, "+%d more", others - 8);
    for (int i = 0; i < kernel->sum_count; i++)
        text_add(out, "+stored %s", op_info[kernel->sums[i].anchor->op].name);
    if (!kernel->anchor && others == 0 && kernel->member_count) text_add(out, "fill");
}

static const char *kernel_path(const Kernel *kernel) {
    return (kernel->anchor ? kernel->anchor : kernel->output->node)->origin->path;
}

void kernel_print_work(Text *out, const Kernel *kernel) {
    if (kernel->member_count) print_members(out, kernel);
    else text_add(out, "%s", movement_name(kernel));
    if (*kernel_path(kernel)) text_add(out, "  %s", kernel_path(kernel));
}

static void print_launch(ProgramPrinter *p, const Kernel *kernel) {
    for (int i = 0; i < kernel->input_count; i++) introduce_value(p, kernel->inputs[i]);
    p->introduced[kernel->output->id] = true;
    for (int i = 0; i < kernel->sum_count; i++) p->introduced[kernel->sums[i].parts->id] = true;
    text_add(&p->out, "  %%%d = %s ", kernel->output->id,
             kernel->member_count ? kernel->kind->name : movement_name(kernel));
    print_members(&p->out, kernel);
    text_add(&p->out, kernel->member_count ? " (" : "(");
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *value = kernel->inputs[i];
        if (i) text_add(&p->out, ", ");
        if (value->space == SPACE_WEIGHTS) shape_print(&p->out, value->node->shape);
        else text_add(&p->out, "%%%d", value->id);
    }
    text_add(&p->out, ") ");
    print_value(p, kernel->output);
    if (*kernel_path(kernel)) text_add(&p->out, "  # %s", kernel_path(kernel));
    text_add(&p->out, "\n");
}

void program_print(const Program *program, FILE *file) {
    Arena *arena = arena_new();
    ProgramPrinter p = {.program = program,
                        .out = {.arena = arena},
                        .introduced = NEW_ARRAY(arena, bool, program->values.count)};
    const char *model = program->graph->model ? program->graph->model : "";
    text_add(&p.out, "program %s for %s: %d launches, %d slots\n", model, program->target->name,
             program->launches.count, program->slots.count);
    for (int i = 0; i < program->launches.count; i++) print_launch(&p, program->launches.items[i]);
    fputs(text_string(&p.out), file);
    arena_free(arena);
}

/* ---- --explain ---- */

typedef struct Totals {
    double flops, bytes, milliseconds;
    int kernels, winograd;
    double more_weights, error; /* of kernels that round more than their operator: the sum, and the largest */
} Totals;

/* Estimated time of one launch on one core. */
static double kernel_milliseconds(const Kernel *kernel) {
    return kernel->proposal.cycles / (kernel->program->target->gigahertz * 1e6);
}

/* The kind that ties hold back, and what compares places. */
static void explain_tie(const Kernel *kernel, Text *out) {
    const Program *program = kernel->program;
    if (!kernel->held_back) return;
    const Node *by = program->ties[kernel->anchor->id];
    text_add(out, "  (no %s: %s at %s compares its places)", kernel->held_back->name, op_info[by->op].name,
             span_place(program->arena, by->origin->span));
}

static void explain_working_memory(const Kernel *kernel, Text *out) {
    WorkingMemory memory = kernel->proposal.memory;
    if (memory.scratch)
        text_add(out, "  (scratch %.1f KB a thread)", (double)typical(kernel, memory.scratch) / 1e3);
    if (memory.workspace)
        text_add(out, "  (workspace %.1f KB)", (double)typical(kernel, memory.workspace) / 1e3);
}

static void explain_kernel(const Kernel *kernel, Totals *totals, Text *out) {
    const Proposal *proposal = &kernel->proposal;
    double flops = kernel_typical_flops(kernel), bytes = kernel_typical_bytes(kernel),
           milliseconds = kernel_milliseconds(kernel);
    totals->flops += flops;
    totals->bytes += bytes;
    totals->milliseconds += milliseconds;
    totals->kernels++;
    totals->winograd += proposal->error > 0;
    totals->more_weights += (double)proposal->more_weights;
    if (proposal->error > totals->error) totals->error = proposal->error;
    long long tasks = typical(kernel, kernel->tasks);
    text_add(out, "%-54s %8lld %9.1f %9.1f %8.3f  ", kernel->name, tasks, flops / 1e6, bytes / 1e3,
             milliseconds);
    kernel_print_work(out, kernel);
    text_add(out, "%s", kernel->fused ? ", along with the next" : "");
    if (proposal->error > 0)
        text_add(out, "  (weights +%.3f MB, error %.1e)", (double)proposal->more_weights / 1e6,
                 proposal->error);
    explain_working_memory(kernel, out);
    explain_tie(kernel, out);
    text_add(out, "\n");
}

static void explain_winograd(const Totals *totals, Text *out) {
    if (!totals->winograd) return;
    text_add(
        out,
        "\nwinograd    %10.3f MB more weights, in %d convolutions; rounding errors of %.1e of a result's root mean square at most,\n"
        "                       where direct ones have some 3e-07; --no-winograd does without\n",
        totals->more_weights / 1e6, totals->winograd, totals->error);
}

/* Whether the node is the anchor of a kernel in the program. */
static bool is_anchor_of_launch(const Program *program, const Node *node) {
    for (int i = 0; i < program->launches.count; i++)
        if (program->launches.items[i]->anchor == node) return true;
    return false;
}

/* Constants that are computed at each run, and why. */
static void explain_left(const Program *program, Text *out) {
    for (int i = 0; i < program->left.count; i++) {
        const LeftConstant *left = &program->left.items[i];
        if (!is_anchor_of_launch(program, left->node)) continue;
        text_add(out, "\nconstant    %s ", op_info[left->node->op].name);
        shape_print(out, left->node->shape);
        text_add(out, "%s%s\n            is computed at each run: ", *left->node->origin->path ? " of " : "",
                 left->node->origin->path);
        if (left->growth > 0)
            text_add(out, "as a weight it would be %.0f times what it is made of\n", left->growth);
        else
            text_add(out, "building would take %.1f GB and %.0f s for it\n", left->bytes / 1e9,
                     left->seconds);
    }
}

/* What a run reads and writes, at typical sizes. */
static int64_t bytes_of_ports(const Program *program) {
    Dims *dims = program->graph->dims;
    int64_t sum = 0;
    for (int i = 0; i < program->graph->inputs.count + program->graph->outputs.count; i++) {
        bool input = i < program->graph->inputs.count;
        const Port *port = input ? &program->graph->inputs.items[i]
                                 : &program->graph->outputs.items[i - program->graph->inputs.count];
        if (port->node)
            sum += dim_typical(dims, shape_elements(dims, port->node->shape)) *
                   dtype_bytes(port->node->shape.type);
    }
    return sum;
}

static void explain_memory(const Program *program, Text *out) {
    double activations = (double)dim_const_value(program_arena_bytes(program)),
           ports = (double)bytes_of_ports(program);
    double scratch = (double)program_scratch_bytes(program), weights = (double)program->weights_bytes;
    text_add(out, "\nweights     %10.3f MB in the file of weights, %.3f MB as parameters\n", weights / 1e6,
             (double)program->raw_weights_bytes / 1e6);
    text_add(out, "activations %10.3f MB at the sizes above, in %d buffers; %d copies\n", activations / 1e6,
             program->slots.count, program->copies);
    if (scratch > 0) text_add(out, "scratch     %10.3f MB for each thread\n", scratch / 1e6);
    text_add(out, "in and out  %10.3f MB for inputs and outputs\n", ports / 1e6);
    text_add(out, "memory      %10.3f MB in all on one thread, beside some 2 MB for the program itself\n",
             (weights + activations + scratch + ports) / 1e6);
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
    text_add(&out, "target %s: ", target->name);
    target_describe(target, &out);
    text_add(&out, "; %.3g multiply-adds a cycle, caches %lld / %lld / %lld KB, %.2f GHz\n",
             target->fmas_per_cycle, (long long)target->l1_bytes >> 10, (long long)target->l2_bytes >> 10,
             (long long)target->l3_bytes >> 10, target->gigahertz);
    text_add(&out, "estimates are for one core");
    for (int i = 0; i < dims_symbol_count(program->graph->dims); i++) {
        const Symbol *symbol = dims_symbol(program->graph->dims, i);
        text_add(&out, "%s %s = %lld", i ? "," : ", at", symbol->name,
                 (long long)(symbol->multiple * symbol->typical));
    }
    text_add(&out, "\n\n%-54s %8s %9s %9s %8s\n", "kernel", "tasks", "MFLOP", "KB", "ms");
    for (int i = 0; i < program->launches.count; i++)
        explain_kernel(program->launches.items[i], &totals, &out);
    text_add(&out, "%-54d %8s %9.1f %9.1f %8.3f\n", totals.kernels, "", totals.flops / 1e6,
             totals.bytes / 1e3, totals.milliseconds);
    explain_winograd(&totals, &out);
    explain_left(program, &out);
    explain_memory(program, &out);
    explain_peak(program, &out);
    fputs(text_string(&out), file);
    arena_free(out.arena);
}
