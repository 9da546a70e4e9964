/* Builds the tables that describe a model to the runtime.
 *
 * sizes[] holds, in the order in which they are requested: dimensions (tasks, shapes,
 * estimates), where slots begin in the arena, where views begin in slots and ports, and
 * the bytes of arena and scratch. Equal requests share an entry. */
#include "plan/tables.h"
#include "plan/kernel.h"

#include <assert.h>

/* The tables hold these enums as numbers, and the runtime reads them as its own enums. */
#define SAME(ours, theirs) static_assert((int)ours == (int)theirs, #ours " is " #theirs)
SAME(DTYPE_F32, CAI_F32);
SAME(DTYPE_F16, CAI_F16);
SAME(DTYPE_BF16, CAI_BF16);
SAME(DTYPE_I8, CAI_I8);
SAME(DTYPE_I32, CAI_I32);
SAME(DTYPE_I64, CAI_I64);
SAME(DTYPE_BOOL, CAI_BOOL);
SAME(FORM_TENSOR, CAI_FORM_TENSOR);
SAME(FORM_IMAGE, CAI_FORM_IMAGE);
SAME(FORM_LABELS, CAI_FORM_LABELS);
SAME(FORM_BOXES, CAI_FORM_BOXES);
SAME(FORM_NAMES, CAI_FORM_NAMES);
SAME(FORM_TEXT, CAI_FORM_TEXT);
SAME(FIT_EXACT, CAI_FIT_EXACT);
SAME(FIT_CROP, CAI_FIT_CROP);
SAME(FIT_STRETCH, CAI_FIT_STRETCH);
SAME(FIT_PAD, CAI_FIT_PAD);
SAME(FIT_LETTERBOX, CAI_FIT_LETTERBOX);
#undef SAME

static int request_size(Tables *t, SizeKind kind, Dim dim, int slot) {
    for (int i = 0; i < t->sizes.count; i++) {
        const Size *size = &t->sizes.items[i];
        if (size->kind == kind && size->dim == dim && size->slot == slot) return i;
    }
    vec_push(t->arena, &t->sizes, (Size){kind, dim, slot});
    return t->sizes.count - 1;
}

int tables_size(Tables *t, Dim dim) { return dim ? request_size(t, SIZE_DIM, dim, 0) : -1; }

/* ---- what a graph decides ---- */

/* The dimension as multiple * symbol, as a constant, or as an index into what prepare()
 * evaluates. */
static cai_dim make_dim(Tables *t, Dim dim) {
    cai_dim made = {.symbol = -2, .size = tables_size(t, dim)};
    if (dim_is_const(dim, &made.multiple)) {
        made.symbol = -1;
    } else if (dim->term_count == 1 && dim->terms[0].factor_count == 1 && dim->terms[0].factors[0].symbol) {
        made.multiple = dim->terms[0].coefficient;
        made.symbol = dim->terms[0].factors[0].symbol->index;
    }
    return made;
}

static cai_port make_port(Tables *t, const Port *port) {
    Shape shape = port->node->shape;
    cai_dim *dims = NEW_ARRAY(t->arena, cai_dim, shape.rank);
    for (int i = 0; i < shape.rank; i++) dims[i] = make_dim(t, shape.dims[i]);
    return (cai_port){.name = port->name,
                      .type_text = port_type_text(t->arena, port),
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

static cai_port *make_ports(Tables *t, const Port *ports, int count) {
    cai_port *made = NEW_ARRAY(t->arena, cai_port, count);
    for (int i = 0; i < count; i++) made[i] = make_port(t, &ports[i]);
    return made;
}

static const cai_symbol *make_symbols(Tables *t, int count) {
    cai_symbol *symbols = NEW_ARRAY(t->arena, cai_symbol, count);
    for (int i = 0; i < count; i++) {
        const Symbol *symbol = dims_symbol(t->dims, i);
        symbols[i] = (cai_symbol){symbol->name, symbol->multiple};
    }
    return symbols;
}

static const cai_check *make_checks(Tables *t, const Graph *graph) {
    cai_check *checks = NEW_ARRAY(t->arena, cai_check, graph->checks.count);
    for (int i = 0; i < graph->checks.count; i++) checks[i].message = graph->checks.items[i].message;
    return checks;
}

static Tables *begin_tables(const Graph *graph, const Program *planned, Arena *arena) {
    Tables *t = NEW(arena, Tables);
    *t = (Tables){.arena = arena, .planned = planned, .dims = graph->dims};
    int symbols = dims_symbol_count(graph->dims);
    const cai_port *inputs = make_ports(t, graph->inputs.items, graph->inputs.count);
    cai_port *outputs = make_ports(t, graph->outputs.items, graph->outputs.count);
    for (int i = 0; planned && i < graph->outputs.count; i++)
        outputs[i].shares = program_shared_input(planned, i) + 1;
    t->program = (cai_program){.abi = CAI_PROGRAM_ABI,
                               .name = graph->model,
                               .comment = graph->comment,
                               .inputs = inputs,
                               .outputs = outputs,
                               .symbols = make_symbols(t, symbols),
                               .checks = make_checks(t, graph),
                               .input_count = graph->inputs.count,
                               .output_count = graph->outputs.count,
                               .symbol_count = symbols,
                               .check_count = graph->checks.count};
    return t;
}

Tables *tables_of_graph(const Graph *graph, Arena *arena) { return begin_tables(graph, NULL, arena); }

/* ---- buffers in slots ---- */

static const Value *root_of(const Value *value) {
    while (value->parent || value->over) value = value->parent ? value->parent : value->over;
    return value;
}

static Dim bytes_before(Tables *t, const Value *value) {
    return dim_scale(t->dims, value->offset ? value->offset : dim_const(t->dims, 0),
                     dtype_bytes(value->node->shape.type));
}

static int phase_count(const Kernel *kernel) { return kernel->phases ? kernel->phase_count : 1; }

/* For each kernel the number of launches before its first; at the end the number of all
 * launches. */
static int *count_launches(const Tables *t) {
    int count = t->planned->launches.count, *before = NEW_ARRAY(t->arena, int, count + 1);
    for (int i = 0; i < count; i++) before[i + 1] = before[i] + phase_count(t->planned->launches.items[i]);
    return before;
}

static cai_buffer make_buffer(Tables *t, const Value *value, int first, int last) {
    int begin = request_size(t, SIZE_SLOT, bytes_before(t, value), value->slot);
    return (cai_buffer){begin, tables_size(t, value->bytes), first, last};
}

/* A buffer lives as long as the last of the values that are written in it. */
static void make_buffers(Tables *t) {
    const Program *program = t->planned;
    int values = program->values.count, count = 0;
    int *before = count_launches(t), *last = NEW_ARRAY(t->arena, int, values);
    cai_buffer *buffers = NEW_ARRAY(t->arena, cai_buffer, values);
    t->buffers = NEW_ARRAY(t->arena, int, values);
    for (int i = 0; i < values; i++) {
        const Value *value = program->values.items[i], *root = root_of(value);
        if (last[root->id] < value->last) last[root->id] = value->last;
    }
    for (int i = 0; i < values; i++) {
        const Value *value = program->values.items[i];
        if (value->space != SPACE_SLOT || root_of(value) != value || value->first < 0) continue;
        t->buffers[i] = count;
        buffers[count++] = make_buffer(t, value, before[value->first], before[last[i] + 1] - 1);
    }
    t->program.buffers = buffers;
    t->program.buffer_count = count;
}

/* ---- launches ---- */

static cai_argument make_argument(Tables *t, const Value *value) {
    const Value *root = root_of(value);
    Dim offset = bytes_before(t, value);
    switch (root->space) {
    case SPACE_SLOT:
        return (cai_argument){CAI_ARG_SLOT, t->buffers[root->id],
                              request_size(t, SIZE_SLOT, offset, root->slot)};
    case SPACE_WEIGHTS:
        CHECK(value->slot >= 0); /* packed for this value, even where its node is a view of another weight */
        return (cai_argument){CAI_ARG_WEIGHTS, -1,
                              (int64_t)t->planned->packs.items[value->slot].offset + dim_const_value(offset)};
    case SPACE_INPUT: case SPACE_OUTPUT: break;
    }
    int32_t begins = offset->term_count ? tables_size(t, offset) : -1;
    return (cai_argument){root->space == SPACE_INPUT ? CAI_ARG_INPUT : CAI_ARG_OUTPUT, begins, root->slot};
}

typedef Vec(cai_launch) Launches;

/* What all launches of a kernel share. */
static cai_launch make_common(Tables *t, const Kernel *kernel) {
    const Origin *origin = (kernel->anchor ? kernel->anchor : kernel->output->node)->origin;
    cai_argument *arguments = NEW_ARRAY(t->arena, cai_argument, kernel->input_count + 2 + kernel->sum_count);
    int count = 0;
    arguments[count++] = make_argument(t, kernel->output);
    for (int i = 0; i < kernel->input_count; i++) arguments[count++] = make_argument(t, kernel->inputs[i]);
    if (kernel->workspace) arguments[count++] = make_argument(t, kernel->workspace);
    for (int i = 0; i < kernel->sum_count; i++) arguments[count++] = make_argument(t, kernel->sums[i].parts);
    return (cai_launch){.kind = kernel->kind->name,
                        .path = origin->path,
                        .source = span_place(t->arena, origin->span),
                        .arguments = arguments,
                        .argument_count = count,
                        .flops = -1,
                        .bytes = -1,
                        .rounds = -1,
                        .guards = kernel->guards};
}

/* Launches that belong together: phases of a kernel, or of kernels that are fused. */
typedef struct Whole { Dim flops, bytes; int more, fused; } Whole;

static Whole whole_of_fused(Tables *t, Kernel *const *kernels, int count) {
    Whole whole = {.more = count * phase_count(kernels[0]) - 1, .fused = count};
    whole.flops = whole.bytes = dim_const(t->dims, 0);
    for (int i = 0; i < count; i++) {
        whole.flops = dim_add(t->dims, whole.flops, kernels[i]->flops);
        whole.bytes = dim_add(t->dims, whole.bytes, kernels[i]->bytes);
    }
    return whole;
}

/* The first of several holds the estimates of all, and how many follow. */
static void add_launch(Tables *t, Launches *made, const Kernel *kernel, int phase, const Whole *first) {
    const Phase only = {kernel->name, kernel->tasks}, *phases = kernel->phases ? kernel->phases : &only;
    cai_launch launch = make_common(t, kernel);
    launch.name = phases[phase].name;
    launch.tasks = tables_size(t, phases[phase].tasks);
    if (first) {
        launch.flops = tables_size(t, first->flops);
        launch.bytes = tables_size(t, first->bytes);
        launch.rounds = tables_size(t, kernel->rounds);
        launch.more = first->more;
        launch.fused = first->fused;
    }
    vec_push(t->arena, made, launch);
}

/* Kernels of several phases are fused phase by phase. */
static void add_launches(Tables *t, Launches *made, Kernel *const *kernels, int count) {
    Whole whole = {kernels[0]->flops, kernels[0]->bytes, phase_count(kernels[0]) - 1, 0};
    if (count > 1) whole = whole_of_fused(t, kernels, count);
    for (int phase = 0; phase < phase_count(kernels[0]); phase++)
        for (int i = 0; i < count; i++)
            add_launch(t, made, kernels[i], phase, phase == 0 && i == 0 ? &whole : NULL);
}

static void make_launches(Tables *t) {
    Launches made = {0};
    Kernel *const *launches = t->planned->launches.items;
    for (int i = 0, count; i < t->planned->launches.count; i += count) {
        count = 1 + launches[i]->fused;
        add_launches(t, &made, launches + i, count);
    }
    t->program.launches = made.items;
    t->program.launch_count = made.count;
}

Tables *tables_of_program(const Program *program, Arena *arena) {
    Tables *t = begin_tables(program->graph, program, arena);
    t->program.cpu = program->target->cpu;
    t->program.target = program->target->name;
    t->program.weights_bytes = program->weights_bytes;
    make_buffers(t);
    make_launches(t);
    t->program.arena = request_size(t, SIZE_ARENA, NULL, 0);
    t->program.scratch = request_size(t, SIZE_SCRATCH, NULL, 0);
    t->program.size_count = t->sizes.count;
    return t;
}
