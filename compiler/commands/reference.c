/* A graph as a program of the runtime's, computed by the reference evaluator in double precision: the command line, the readers and the
 * writers are those of built programs, and only the one kernel is ours. */
#include "commands/commands.h"
#include "runtime.h"

/* One program runs at a time, and a kernel has no context of its own. */
typedef struct Reference {
    const Graph *graph;
    RefSource source;
    Vec(Dim) sizes;       /* sizes[0] is the arena's bytes, none; sizes[1] the number of tasks, one */
    void *const *inputs;  /* of the run */
    char error[sizeof((cai_error *)0)->message];
} Reference;
static Reference the_reference;

/* ---- tables, as codegen/program_image.c makes them ---- */

static int32_t size_index(Arena *arena, Dim dim) {
    vec_push(arena, &the_reference.sizes, dim);
    return the_reference.sizes.count - 1;
}

static cai_dim port_dim(Arena *arena, Dim dim) {
    cai_dim made = {.symbol = -2, .size = size_index(arena, dim)};
    if (dim_is_const(dim, &made.multiple)) {
        made.symbol = -1;
    } else if (dim->term_count == 1 && dim->terms[0].factor_count == 1 && dim->terms[0].factors[0].symbol) {
        made.multiple = dim->terms[0].coefficient;
        made.symbol = dim->terms[0].factors[0].symbol->index;
    }
    return made;
}

static cai_port make_port(Arena *arena, const Port *port) {
    Shape shape = port->node->shape;
    const char *text = shape_string(arena, shape), *sizes = strchr(text, '[');
    cai_dim *dims = NEW_ARRAY(arena, cai_dim, shape.rank);
    for (int i = 0; i < shape.rank; i++) dims[i] = port_dim(arena, shape.dims[i]);
    return (cai_port){.name = port->name,
                      .type_text = port->form == FORM_IMAGE ? arena_printf(arena, "image%s", sizes ? sizes : "") : text,
                      .dims = dims,
                      .labels = port->labels,
                      .type = (int32_t)shape.type,
                      .rank = shape.rank,
                      .form = (int32_t)port->form,
                      .fit = (int32_t)port->fit,
                      .top = port->top,
                      .label_count = port->labels ? port->label_count : 0,
                      .of = port->of,
                      .score = port->score};
}

static const cai_port *make_ports(Arena *arena, const Port *ports, int count) {
    cai_port *made = NEW_ARRAY(arena, cai_port, count);
    for (int i = 0; i < count; i++) made[i] = make_port(arena, &ports[i]);
    return made;
}

static const cai_symbol *make_symbols(Arena *arena, const Dims *dims) {
    cai_symbol *symbols = NEW_ARRAY(arena, cai_symbol, dims_symbol_count(dims));
    for (int i = 0; i < dims_symbol_count(dims); i++)
        symbols[i] = (cai_symbol){dims_symbol(dims, i)->name, dims_symbol(dims, i)->multiple};
    return symbols;
}

/* Inputs first, then outputs, as arguments of the only launch. */
static const cai_argument *make_arguments(Arena *arena, int inputs, int outputs) {
    cai_argument *arguments = NEW_ARRAY(arena, cai_argument, inputs + outputs);
    for (int i = 0; i < inputs + outputs; i++)
        arguments[i] = (cai_argument){
            .space = i < inputs ? CAI_ARG_INPUT : CAI_ARG_OUTPUT, .offset = -1, .index = i < inputs ? i : i - inputs};
    return arguments;
}

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

static int64_t prepare(const int64_t *symbols, int64_t *sizes) {
    const Reference *r = &the_reference;
    for (int i = 0; i < r->graph->checks.count; i++) {
        bool fits;
        if (!check_holds(&r->graph->checks.items[i], symbols, &fits)) return fits ? i : CAI_OVERFLOW;
    }
    sizes[0] = 0;
    sizes[1] = 1;
    for (int i = 2; i < r->sizes.count; i++)
        if (!dim_evaluate(r->sizes.items[i], symbols, &sizes[i])) return CAI_OVERFLOW;
    return CAI_PREPARED;
}

/* ---- the kernel ---- */

static bool read_input(void *context, const Node *node, RefTensor *out) {
    (void)context;
    const Graph *graph = the_reference.graph;
    for (int i = 0; i < graph->inputs.count; i++) {
        if (graph->inputs.items[i].node != node) continue;
        cai_tensor tensor = {.type = (int32_t)out->shape.type, .count = out->shape.count, .data = the_reference.inputs[i]};
        numbers_read(&tensor, out->values);
        return true;
    }
    return false;
}

static void write_output(const RefTensor *result, void *out) {
    cai_error error;
    int type = dtype_is_float(result->shape.type) ? CAI_F64 : CAI_I64;
    cai_tensor tensor = {.type = type, .count = result->shape.count, .data = (const unsigned char *)result->values};
    if (!cai_tensor_convert(&tensor, (int)result->shape.type, out, &error))
        snprintf(the_reference.error, sizeof the_reference.error, "%s", error.message);
}

static void kernel(void *const *args, const int64_t *symbols, int64_t begin, int64_t end, void *scratch) {
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

int reference_main(Session *s, const Graph *graph, Weights *weights, int argc, char **argv) {
    the_reference = (Reference){.graph = graph, .source = weights_source(weights)};
    the_reference.source.input = read_input;
    the_reference.source.product = product_openblas;
    Arena *arena = s->arena;
    size_index(arena, NULL);
    size_index(arena, NULL);
    int inputs = graph->inputs.count, outputs = graph->outputs.count;
    cai_check *checks = NEW_ARRAY(arena, cai_check, graph->checks.count);
    for (int i = 0; i < graph->checks.count; i++) checks[i].message = graph->checks.items[i].message;
    cai_launch launch = {.kernel = kernel,
                         .name = "reference",
                         .kind = "reference",
                         .path = "",
                         .source = "",
                         .arguments = make_arguments(arena, inputs, outputs),
                         .argument_count = inputs + outputs,
                         .tasks = 1,
                         .flops = -1,
                         .bytes = -1,
                         .rounds = -1};
    cai_program program = {.abi = CAI_PROGRAM_ABI,
                           .cpu = CAI_CPU_X86_64_V2,
                           .name = graph->model,
                           .comment = graph->comment,
                           .target = "reference",
                           .inputs = make_ports(arena, graph->inputs.items, inputs),
                           .outputs = make_ports(arena, graph->outputs.items, outputs),
                           .symbols = make_symbols(arena, graph->dims),
                           .launches = &launch,
                           .checks = checks,
                           .prepare = prepare,
                           .input_count = inputs,
                           .output_count = outputs,
                           .symbol_count = dims_symbol_count(graph->dims),
                           .launch_count = 1,
                           .check_count = graph->checks.count,
                           .arena = 0,
                           .scratch = 0};
    program.size_count = the_reference.sizes.count;
    int code = cai_main(&program, argc, argv);
    if (the_reference.error[0]) fprintf(stderr, "cai run: a result does not fit its type: %s\n", the_reference.error);
    return code ? code : the_reference.error[0] ? EXIT_DIAGNOSED : EXIT_GOOD;
}
