/* The tables that runtime/program.h describes, as constants of the object: cai_the_program, and prepare(), which computes all
 * sizes of a run.
 *
 * sizes[] holds, in this order as they are asked for: dimensions (tasks, shapes, estimates), where slots begin in the arena,
 * where views begin in slots and ports, and the bytes of arena and scratch. An equal request is the same entry. */
#include "codegen/codegen.h"
#include "program.h"

typedef enum SizeKind {
    SIZE_DIM,   /* dim */
    SIZE_SLOT,  /* dim bytes past the beginning of `slot` */
    SIZE_ARENA, /* bytes of all slots */
    SIZE_SCRATCH /* the most that a kernel wants for each thread */
} SizeKind;

typedef struct Size {
    SizeKind kind;
    Dim dim;
    int slot;
} Size;

typedef struct Entry {
    Module *m;
    const Program *program;
    Dims *dims;
    Vec(Size) sizes;
    int *buffers; /* by the id of a value that has a buffer in a slot: its place in the table of buffers */
} Entry;

static int request(Entry *e, SizeKind kind, Dim dim, int slot) {
    for (int i = 0; i < e->sizes.count; i++) {
        const Size *size = &e->sizes.items[i];
        if (size->kind == kind && size->dim == dim && size->slot == slot) return i;
    }
    vec_push(e->m->arena, &e->sizes, (Size){kind, dim, slot});
    return e->sizes.count - 1;
}

static int request_dim(Entry *e, Dim dim) { return dim ? request(e, SIZE_DIM, dim, 0) : -1; }

/* ---- constants ---- */

static LLVMValueRef make_struct(Module *m, LLVMValueRef *fields, int count, size_t c_bytes) {
    LLVMValueRef value = LLVMConstStructInContext(m->context, fields, (unsigned)count, 0);
    LLVMTargetDataRef layout = LLVMGetModuleDataLayout(m->module);
    CHECK(LLVMABISizeOfType(layout, LLVMTypeOf(value)) == c_bytes); /* runtime/program.h's struct and ours are the same */
    return value;
}

static LLVMValueRef add_constant(Module *m, const char *name, LLVMValueRef value) {
    LLVMValueRef global = LLVMAddGlobal(m->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    return global;
}

static LLVMValueRef get_null(Module *m) { return LLVMConstNull(m->pointer); }

static LLVMValueRef make_text(Module *m, const char *text) {
    if (!text) return get_null(m);
    return add_constant(m, "text", LLVMConstStringInContext(m->context, text, (unsigned)strlen(text), 0));
}

/* A constant array, or NULL where it is empty. */
static LLVMValueRef make_array(Module *m, const char *name, LLVMValueRef *items, int count) {
    if (!count) return get_null(m);
    return add_constant(m, name, LLVMConstArray2(LLVMTypeOf(items[0]), items, (uint64_t)count));
}

/* ---- ports ---- */

/* multiple * symbol where the dimension is that, a constant, or a form that only prepare() can evaluate. */
static LLVMValueRef make_dim(Entry *e, Dim dim) {
    Module *m = e->m;
    int64_t multiple = 0;
    int32_t symbol = -2;
    if (dim_is_const(dim, &multiple)) {
        symbol = -1;
    } else if (dim->term_count == 1 && dim->terms[0].factor_count == 1 && dim->terms[0].factors[0].symbol) {
        multiple = dim->terms[0].coefficient;
        symbol = dim->terms[0].factors[0].symbol->index;
    }
    LLVMValueRef fields[] = {get_i64(m, multiple), get_i32(m, symbol), get_i32(m, request_dim(e, dim))};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_dim));
}

static LLVMValueRef make_labels(Module *m, const Port *port) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, port->label_count);
    for (int i = 0; i < port->label_count; i++) items[i] = make_text(m, port->labels[i]);
    return make_array(m, "labels", items, port->labels ? port->label_count : 0);
}

static LLVMValueRef make_port(Entry *e, const Port *port) {
    Module *m = e->m;
    Shape shape = port->node->shape;
    LLVMValueRef *dims = NEW_ARRAY(m->arena, LLVMValueRef, shape.rank);
    for (int i = 0; i < shape.rank; i++) dims[i] = make_dim(e, shape.dims[i]);
    LLVMValueRef fields[] = {
        make_text(m, port->name), make_text(m, port_type_text(m->arena, port)), make_array(m, "dims", dims, shape.rank), make_labels(m, port),
        get_i32(m, (int)shape.type), get_i32(m, shape.rank), get_i32(m, (int)port->form), get_i32(m, (int)port->fit),
        get_i32(m, port->top), get_i32(m, port->labels ? port->label_count : 0), get_i32(m, port->of), get_f32(m, port->score)};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_port));
}

static LLVMValueRef make_ports(Entry *e, const char *name, const Port *ports, int count) {
    LLVMValueRef *items = NEW_ARRAY(e->m->arena, LLVMValueRef, count);
    for (int i = 0; i < count; i++) items[i] = make_port(e, &ports[i]);
    return make_array(e->m, name, items, count);
}

static LLVMValueRef make_symbols(Entry *e) {
    Module *m = e->m;
    int count = dims_symbol_count(e->dims);
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, count);
    for (int i = 0; i < count; i++) {
        const Symbol *symbol = dims_symbol(e->dims, i);
        LLVMValueRef fields[] = {make_text(m, symbol->name), get_i64(m, symbol->multiple)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_symbol));
    }
    return make_array(m, "symbols", items, count);
}

/* ---- buffers in slots ---- */

static const Value *root_of(const Value *value) {
    while (value->parent || value->over) value = value->parent ? value->parent : value->over;
    return value;
}

static Dim bytes_before(Entry *e, const Value *value) {
    return dim_scale(e->dims, value->offset ? value->offset : dim_const(e->dims, 0), dtype_bytes(value->node->shape.type));
}

static int phase_count(const Kernel *kernel) { return kernel->phases ? kernel->phase_count : 1; }

/* For each kernel the number of launches before its first, and behind them the number of all. */
static int *count_launches(const Entry *e) {
    int count = e->program->launches.count, *before = NEW_ARRAY(e->m->arena, int, count + 1);
    for (int i = 0; i < count; i++) before[i + 1] = before[i] + phase_count(e->program->launches.items[i]);
    return before;
}

static LLVMValueRef make_buffer(Entry *e, const Value *value, int first, int last) {
    Module *m = e->m;
    int begin = request(e, SIZE_SLOT, bytes_before(e, value), value->slot);
    LLVMValueRef fields[] = {get_i32(m, begin), get_i32(m, request_dim(e, value->bytes)), get_i32(m, first), get_i32(m, last)};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_buffer));
}

static LLVMValueRef make_buffers(Entry *e, int *count) {
    const Program *program = e->program;
    int values = program->values.count, *last = NEW_ARRAY(e->m->arena, int, values), *before = count_launches(e);
    LLVMValueRef *items = NEW_ARRAY(e->m->arena, LLVMValueRef, values);
    e->buffers = NEW_ARRAY(e->m->arena, int, values);
    *count = 0;
    for (int i = 0; i < values; i++) {
        const Value *value = program->values.items[i], *root = root_of(value);
        if (last[root->id] < value->last) last[root->id] = value->last;
    }
    for (int i = 0; i < values; i++) {
        const Value *value = program->values.items[i];
        if (value->space != SPACE_SLOT || root_of(value) != value || value->first < 0) continue;
        e->buffers[i] = *count;
        items[(*count)++] = make_buffer(e, value, before[value->first], before[last[i] + 1] - 1);
    }
    return make_array(e->m, "buffers", items, *count);
}

/* ---- launches ---- */

static LLVMValueRef make_argument(Entry *e, const Value *value) {
    Module *m = e->m;
    const Value *root = root_of(value);
    Dim offset = bytes_before(e, value);
    int32_t space = CAI_ARG_SLOT, begins = -1;
    int64_t index = 0;
    switch (root->space) {
    case SPACE_SLOT:
        index = request(e, SIZE_SLOT, offset, root->slot);
        begins = e->buffers[root->id];
        break;
    case SPACE_WEIGHTS:
        CHECK(value->slot >= 0); /* packed for this value, even where it is another weight in another shape */
        space = CAI_ARG_WEIGHTS;
        index = (int64_t)e->program->packs.items[value->slot].offset + dim_const_value(offset);
        break;
    case SPACE_INPUT: case SPACE_OUTPUT:
        space = root->space == SPACE_INPUT ? CAI_ARG_INPUT : CAI_ARG_OUTPUT;
        index = root->slot;
        begins = offset->term_count ? request_dim(e, offset) : -1;
        break;
    }
    LLVMValueRef fields[] = {get_i32(m, space), get_i32(m, begins), get_i64(m, index)};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_argument));
}

typedef struct Whole { Dim flops, bytes; int64_t more; bool along; } Whole; /* of launches that belong together */
typedef struct Texts { LLVMValueRef path, source, arguments; int argument_count; } Texts; /* what a kernel's launches share */

static Texts make_texts(Entry *e, const Kernel *kernel) {
    Module *m = e->m;
    const Origin *origin = (kernel->anchor ? kernel->anchor : kernel->output->node)->origin;
    int count = 0;
    LLVMValueRef *arguments = NEW_ARRAY(m->arena, LLVMValueRef, kernel->input_count + 2);
    arguments[count++] = make_argument(e, kernel->output);
    for (int i = 0; i < kernel->input_count; i++) arguments[count++] = make_argument(e, kernel->inputs[i]);
    if (kernel->workspace) arguments[count++] = make_argument(e, kernel->workspace);
    return (Texts){make_text(m, origin->path), make_text(m, span_place(m->arena, origin->span)),
                   make_array(m, "arguments", arguments, count), count};
}

/* Operations and bytes are told with the first launch of several; `more` are to come. */
static LLVMValueRef make_launch(Entry *e, const Kernel *kernel, const Texts *texts, const Phase *phase, Whole whole, int more) {
    Module *m = e->m;
    LLVMValueRef function = get_kernel(m, phase->name);
    bool first = more == whole.more;
    LLVMValueRef fields[] = {
        function, make_text(m, phase->name), make_text(m, kernel->kind->name), texts->path, texts->source, texts->arguments,
        get_i32(m, texts->argument_count), get_i32(m, request_dim(e, phase->tasks)), get_i32(m, first ? request_dim(e, whole.flops) : -1),
        get_i32(m, first ? request_dim(e, whole.bytes) : -1), get_i32(m, first ? request_dim(e, kernel->rounds) : -1),
        get_i32(m, first ? more : 0), get_i32(m, first && whole.along)};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_launch));
}

/* Launches that belong together: phases of a kernel, or kernels that run along with each other. */
static Whole whole_of(Entry *e, int launch) {
    const Kernel *kernel = e->program->launches.items[launch];
    Whole whole = {.flops = kernel->flops, .bytes = kernel->bytes, .more = max_i64(kernel->phase_count, 1) - 1};
    if (kernel->along == 0) return whole;
    whole = (Whole){dim_const(e->dims, 0), dim_const(e->dims, 0), kernel->along, true};
    for (int i = launch; i <= launch + kernel->along; i++) {
        whole.flops = dim_add(e->dims, whole.flops, e->program->launches.items[i]->flops);
        whole.bytes = dim_add(e->dims, whole.bytes, e->program->launches.items[i]->bytes);
    }
    return whole;
}

static LLVMValueRef make_launches(Entry *e, int *count) {
    Vec(LLVMValueRef) items = {0};
    Whole whole = {0};
    for (int i = 0; i < e->program->launches.count; i++) {
        const Kernel *kernel = e->program->launches.items[i];
        bool goes_on = i > 0 && e->program->launches.items[i - 1]->along > 0;
        if (!goes_on) whole = whole_of(e, i);
        Phase only = {kernel->name, kernel->tasks};
        const Phase *phases = kernel->phases ? kernel->phases : &only;
        int phases_in_all = phase_count(kernel);
        Texts texts = make_texts(e, kernel);
        for (int k = 0; k < phases_in_all; k++) {
            int more = whole.along ? kernel->along : phases_in_all - 1 - k;
            vec_push(e->m->arena, &items, make_launch(e, kernel, &texts, &phases[k], whole, more));
        }
    }
    *count = items.count;
    return make_array(e->m, "launches", items.items, items.count);
}

static LLVMValueRef make_checks(Entry *e) {
    const Graph *graph = e->program->graph;
    LLVMValueRef *items = NEW_ARRAY(e->m->arena, LLVMValueRef, graph->checks.count);
    for (int i = 0; i < graph->checks.count; i++) {
        LLVMValueRef fields[] = {make_text(e->m, graph->checks.items[i].message)};
        items[i] = make_struct(e->m, fields, COUNT_OF(fields), sizeof(cai_check));
    }
    return make_array(e->m, "checks", items, graph->checks.count);
}

/* ---- prepare ---- */

static LLVMValueRef emit_check(Module *m, const Check *check) {
    LLVMValueRef left = get_dim(m, check->left), right = get_dim(m, check->right);
    switch (check->kind) {
    case CHECK_EQUAL: return LLVMBuildICmp(m->builder, LLVMIntEQ, left, right, "");
    case CHECK_AT_LEAST: return LLVMBuildICmp(m->builder, LLVMIntSGE, left, right, "");
    case CHECK_DIVISIBLE: break;
    }
    LLVMValueRef rest = LLVMBuildSRem(m->builder, left, emit_max(m, right, get_i64(m, 1)), "");
    return LLVMBuildICmp(m->builder, LLVMIntEQ, rest, get_i64(m, 0), "");
}

static void return_unless(Module *m, LLVMValueRef condition, int64_t result) {
    LLVMBasicBlockRef stop = LLVMAppendBasicBlockInContext(m->context, m->function, "stop");
    LLVMBasicBlockRef on = LLVMAppendBasicBlockInContext(m->context, m->function, "on");
    LLVMBuildCondBr(m->builder, condition, on, stop);
    LLVMPositionBuilderAtEnd(m->builder, stop);
    LLVMBuildRet(m->builder, get_i64(m, result));
    LLVMPositionBuilderAtEnd(m->builder, on);
}

/* Asks for every size that follows once: get_dim places it at the entry, where overflow is noted before the body goes on with it. */
static void emit_dims(Entry *e) {
    const Program *program = e->program;
    for (int i = 0; i < e->sizes.count; i++)
        if (e->sizes.items[i].dim) get_dim(e->m, e->sizes.items[i].dim);
    for (int i = 0; i < program->slots.count; i++)
        for (int k = 0; k < program->slots.items[i].bytes.count; k++) get_dim(e->m, program->slots.items[i].bytes.items[k]);
    for (int i = 0; i < program->launches.count; i++)
        if (program->launches.items[i]->scratch) get_dim(e->m, program->launches.items[i]->scratch);
    for (int i = 0; i < program->graph->checks.count; i++) {
        get_dim(e->m, program->graph->checks.items[i].left);
        get_dim(e->m, program->graph->checks.items[i].right);
    }
}

/* A slot is as large as its largest tenant, and begins at a multiple of the alignment. Gives each slot's beginning; the arena's
 * size stands behind the last. */
static LLVMValueRef *emit_slots(Entry *e) {
    Module *m = e->m;
    LLVMValueRef *begins = NEW_ARRAY(m->arena, LLVMValueRef, e->program->slots.count + 1);
    begins[0] = get_i64(m, 0);
    for (int i = 0; i < e->program->slots.count; i++) {
        const Slot *slot = &e->program->slots.items[i];
        LLVMValueRef bytes = get_i64(m, 0);
        for (int k = 0; k < slot->bytes.count; k++) bytes = emit_max(m, bytes, get_dim(m, slot->bytes.items[k]));
        LLVMValueRef end = emit_checked_add(m, emit_checked_add(m, begins[i], bytes), get_i64(m, CAI_ALIGNMENT - 1));
        begins[i + 1] = LLVMBuildAnd(m->builder, end, get_i64(m, -CAI_ALIGNMENT), "");
    }
    return begins;
}

static LLVMValueRef emit_scratch(Entry *e) {
    LLVMValueRef most = get_i64(e->m, 0);
    for (int i = 0; i < e->program->launches.count; i++) {
        Dim scratch = e->program->launches.items[i]->scratch;
        if (scratch) most = emit_max(e->m, most, get_dim(e->m, scratch));
    }
    return most;
}

static LLVMValueRef emit_size(Entry *e, const Size *size, LLVMValueRef *slots) {
    switch (size->kind) {
    case SIZE_DIM: return get_dim(e->m, size->dim);
    case SIZE_SLOT: return emit_checked_add(e->m, slots[size->slot], get_dim(e->m, size->dim));
    case SIZE_ARENA: return slots[e->program->slots.count];
    case SIZE_SCRATCH: return emit_scratch(e);
    }
    INTERNAL_ERROR("no such size");
}

static LLVMValueRef emit_prepare(Entry *e) {
    Module *m = e->m;
    const Graph *graph = e->program->graph;
    LLVMTypeRef parameters[] = {m->pointer, m->pointer};
    LLVMValueRef function = get_function(m, "cai_prepare", LLVMFunctionType(m->i64, parameters, COUNT_OF(parameters), 0));
    LLVMSetLinkage(function, LLVMPrivateLinkage);
    compile_fast(m, function); /* thousands of symbols or sizes are one basic block */
    m->symbols = LLVMGetParam(function, 0);
    begin_body(m, function);
    m->overflow = LLVMConstNull(m->i1);
    emit_dims(e);
    LLVMValueRef *slots = emit_slots(e), *values = NEW_ARRAY(m->arena, LLVMValueRef, e->sizes.count);
    LLVMValueRef *checks = NEW_ARRAY(m->arena, LLVMValueRef, graph->checks.count);
    for (int i = 0; i < e->sizes.count; i++) values[i] = emit_size(e, &e->sizes.items[i], slots);
    for (int i = 0; i < graph->checks.count; i++) checks[i] = emit_check(m, &graph->checks.items[i]);
    return_unless(m, LLVMBuildNot(m->builder, m->overflow, ""), CAI_OVERFLOW);
    for (int i = 0; i < graph->checks.count; i++) return_unless(m, checks[i], i);
    for (int i = 0; i < e->sizes.count; i++)
        emit_store(m, values[i], get_element(m, m->i64, LLVMGetParam(function, 1), get_i64(m, i)), 8);
    LLVMBuildRet(m->builder, get_i64(m, CAI_PREPARED));
    return function;
}

/* ---- the program ---- */

static int cpu_of(const Target *target) {
    if (strncmp(target->llvm_triple, "aarch64", 7) == 0) return CAI_CPU_AARCH64;
    return target->lanes == 16 ? CAI_CPU_X86_64_V4 : target->lanes == 8 ? CAI_CPU_X86_64_V3 : CAI_CPU_X86_64_V2;
}

static LLVMValueRef get_weights(Entry *e) {
    if (!e->program->weights_bytes) return get_null(e->m);
    return LLVMAddGlobal(e->m->module, LLVMArrayType2(e->m->i8, 0), "cai_the_weights");
}

void emit_entry(Module *m, const Program *program) {
    const Graph *graph = program->graph;
    Entry entry = {.m = m, .program = program, .dims = graph->dims}, *e = &entry;
    LLVMValueRef inputs = make_ports(e, "inputs", graph->inputs.items, graph->inputs.count);
    LLVMValueRef outputs = make_ports(e, "outputs", graph->outputs.items, graph->outputs.count);
    int launch_count, buffer_count, arena, scratch;
    LLVMValueRef buffers = make_buffers(e, &buffer_count), launches = make_launches(e, &launch_count);
    arena = request(e, SIZE_ARENA, NULL, 0);
    scratch = request(e, SIZE_SCRATCH, NULL, 0);
    LLVMValueRef prepare = emit_prepare(e);
    LLVMValueRef fields[] = {
        get_i32(m, CAI_PROGRAM_ABI), get_i32(m, cpu_of(program->target)), make_text(m, graph->model),
            make_text(m, graph->comment),
        make_text(m, program->target->name), inputs, outputs, make_symbols(e), launches, buffers, make_checks(e), prepare, get_weights(e),
        get_i64(m, (int64_t)program->weights_bytes), get_i32(m, graph->inputs.count), get_i32(m, graph->outputs.count),
        get_i32(m, dims_symbol_count(graph->dims)), get_i32(m, launch_count), get_i32(m, buffer_count),
        get_i32(m, graph->checks.count), get_i32(m, e->sizes.count), get_i32(m, arena), get_i32(m, scratch)};
    LLVMValueRef value = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_program));
    LLVMValueRef global = add_constant(m, "cai_the_program", value);
    LLVMSetLinkage(global, LLVMExternalLinkage);
    LLVMSetUnnamedAddress(global, LLVMNoUnnamedAddr);
}
