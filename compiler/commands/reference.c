/* A graph as a program of the runtime, computed by the reference evaluator in double
 * precision: the command line, the readers and the writers are those of built programs;
 * only its single kernel is defined here. */
#include "commands/commands.h"
#include "plan/tables.h"
#include "program/main.h"
#include <assert.h>
#include <malloc.h>

/* A command returns the exit code of the program that it runs. */
static_assert((int)EXIT_DIAGNOSED == CAI_BAD_INPUT && (int)EXIT_USAGE == CAI_BAD_USAGE &&
                  (int)EXIT_BUG == CAI_INTERNAL,
              "the exit codes of cai are those of programs");

/* One program runs at a time, and a kernel has no context of its own. */
typedef struct Reference {
    const Graph *graph;
    RefSource source;
    const Tables *tables;
    void *const *inputs; /* of the run */
    char error[sizeof((cai_error *)0)->message];
} Reference;
static Reference the_reference;

/* ---- prepare ---- */

static bool check_holds(const Check *check, const int64_t *symbols, bool *fits) {
    int64_t left, right;
    *fits = dim_evaluate(check->left, symbols, &left) && dim_evaluate(check->right, symbols, &right);
    if (!*fits) return false;
    switch (check->kind) {
    case CHECK_EQUAL: return left == right;
    case CHECK_AT_LEAST: return left >= right;
    case CHECK_DIVISIBLE: return left % max_i64(right, 1) == 0;
    }
    return false;
}

static int64_t prepare_reference(const int64_t *symbols, int64_t *sizes) {
    const Reference *r = &the_reference;
    for (int i = 0; i < r->graph->checks.count; i++) {
        bool fits;
        if (!check_holds(&r->graph->checks.items[i], symbols, &fits)) return fits ? i : CAI_OVERFLOW;
    }
    for (int i = 0; i < r->tables->sizes.count; i++)
        if (!dim_evaluate(r->tables->sizes.items[i].dim, symbols, &sizes[i])) return CAI_OVERFLOW;
    return CAI_PREPARED;
}

/* ---- the kernel ---- */

static bool read_reference_input(void *context, const Node *node, RefTensor *out) {
    (void)context;
    const Graph *graph = the_reference.graph;
    for (int i = 0; i < graph->inputs.count; i++) {
        if (graph->inputs.items[i].node != node) continue;
        cai_tensor tensor = {
            .type = (int32_t)out->shape.type, .count = out->shape.count, .data = the_reference.inputs[i]};
        numbers_read(&tensor, out->values);
        return true;
    }
    return false;
}

static void write_output(const RefTensor *result, void *out) {
    cai_error error;
    int type = dtype_is_float(result->shape.type) ? CAI_F64 : CAI_I64;
    cai_tensor tensor = {
        .type = type, .count = result->shape.count, .data = (const unsigned char *)result->values};
    if (!cai_tensor_convert(&tensor, (int)result->shape.type, out, &error))
        snprintf(the_reference.error, sizeof the_reference.error, "%s", error.message);
}

static void reference_kernel(void *const *args, const int64_t *symbols, int64_t begin, int64_t end,
                             void *scratch) {
    (void)begin, (void)end, (void)scratch;
    Reference *r = &the_reference;
    int count = r->graph->outputs.count;
    Arena *arena = arena_new();
    Node **wanted = NEW_ARRAY(arena, Node *, count);
    RefTensor *results = NEW_ARRAY(arena, RefTensor, count);
    for (int i = 0; i < count; i++) wanted[i] = r->graph->outputs.items[i].node;
    r->inputs = args;
    uint64_t seed = (uint64_t)symbols[dims_symbol_count(r->graph->dims)];
    if (!reference_evaluate(r->graph, wanted, count, symbols, seed, &r->source, arena, results))
        INTERNAL_ERROR("the reference evaluator found no value");
    for (int i = 0; i < count; i++) write_output(&results[i], args[r->graph->inputs.count + i]);
    arena_free(arena);
}

/* Inputs first, then outputs, as arguments of the only launch. */
static const cai_argument *make_reference_arguments(Arena *arena, int inputs, int outputs) {
    cai_argument *arguments = NEW_ARRAY(arena, cai_argument, inputs + outputs);
    for (int i = 0; i < inputs + outputs; i++)
        arguments[i] = (cai_argument){.space = i < inputs ? CAI_ARG_INPUT : CAI_ARG_OUTPUT,
                                      .offset = -1,
                                      .index = i < inputs ? i : i - inputs};
    return arguments;
}

/* Keeps freed memory for the next value: the system would return it as pages to be zeroed
 * and faulted in. */
static void keep_memory(void) {
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1);
}

int reference_main(Session *s, const Graph *graph, Weights *weights, int argc, char **argv) {
    Tables *tables = tables_of_graph(graph, s->arena);
    the_reference = (Reference){.graph = graph, .source = weights_source(weights), .tables = tables};
    the_reference.source.input = read_reference_input;
    the_reference.source.product = product_openblas;
    keep_memory();
    cai_program *program = &tables->program;
    cai_launch launch = {.kernel = reference_kernel,
                         .name = "reference",
                         .kind = "reference",
                         .path = "",
                         .source = "",
                         .arguments =
                             make_reference_arguments(s->arena, program->input_count, program->output_count),
                         .argument_count = program->input_count + program->output_count,
                         .tasks = tables_size(tables, dim_const(graph->dims, 1)),
                         .flops = -1,
                         .bytes = -1,
                         .rounds = -1};
    program->cpu = CAI_CPU_ANY;
    program->target = "reference";
    program->launches = &launch;
    program->launch_count = 1;
    program->prepare = prepare_reference;
    program->arena = program->scratch = tables_size(tables, dim_const(graph->dims, 0));
    program->size_count = tables->sizes.count;
    int code = cai_main(program, argc, argv);
    if (the_reference.error[0])
        fprintf(stderr, "cai run: a result does not fit its type: %s\n", the_reference.error);
    return code ? code : the_reference.error[0] ? EXIT_DIAGNOSED : EXIT_GOOD;
}
