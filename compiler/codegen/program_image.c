/* The tables that runtime/core/program.h describes, as constants of the object:
 * cai_the_program, and prepare(), which computes all sizes of a run. A trainer's entry
 * has a name of its own, and its weights, which are constants alone, among its tables. */
#include "codegen/image.h"
#include "plan/tables.h"

enum { PAGE = 4096 };

typedef struct Image {
    Module *m;
    const Program *program;
    const Tables *tables;
} Image;

/* ---- constants ---- */

LLVMValueRef make_struct(Module *m, LLVMValueRef *fields, int count, size_t c_bytes) {
    LLVMValueRef value = LLVMConstStructInContext(m->context, fields, (unsigned)count, 0);
    LLVMTargetDataRef layout = LLVMGetModuleDataLayout(m->module);
    /* runtime/core/program.h's struct and ours are the same */
    CHECK(LLVMABISizeOfType(layout, LLVMTypeOf(value)) == c_bytes);
    return value;
}

LLVMValueRef add_constant(Module *m, const char *name, LLVMValueRef value) {
    LLVMValueRef global = LLVMAddGlobal(m->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    return global;
}

LLVMValueRef get_null(Module *m) { return LLVMConstNull(m->pointer); }

LLVMValueRef make_text(Module *m, const char *text) {
    if (!text) return get_null(m);
    return add_constant(m, "text", LLVMConstStringInContext(m->context, text, (unsigned)strlen(text), 0));
}

LLVMValueRef make_array(Module *m, const char *name, LLVMValueRef *items, int count) {
    if (!count) return get_null(m);
    return add_constant(m, name, LLVMConstArray2(LLVMTypeOf(items[0]), items, (uint64_t)count));
}

/* ---- the structs of runtime/program.h, one each ---- */

static LLVMValueRef make_dims(Module *m, const cai_port *port) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, port->rank);
    for (int i = 0; i < port->rank; i++) {
        const cai_dim *dim = &port->dims[i];
        LLVMValueRef fields[] = {get_i64(m, dim->multiple), get_i32(m, dim->symbol), get_i32(m, dim->size)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_dim));
    }
    return make_array(m, "dims", items, port->rank);
}

static LLVMValueRef make_labels(Module *m, const cai_port *port) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, port->label_count);
    for (int i = 0; i < port->label_count; i++) items[i] = make_text(m, port->labels[i]);
    return make_array(m, "labels", items, port->label_count);
}

static LLVMValueRef image_of_ports(Module *m, const char *name, const cai_port *ports, int count) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, count);
    for (int i = 0; i < count; i++) {
        const cai_port *port = &ports[i];
        LLVMValueRef text = make_text(m, port->name), type = make_text(m, port->type_text),
                     dims = make_dims(m, port);
        LLVMValueRef fields[] = {text,
                                 type,
                                 dims,
                                 make_labels(m, port),
                                 get_i32(m, port->type),
                                 get_i32(m, port->rank),
                                 get_i32(m, port->form),
                                 get_i32(m, port->fit),
                                 get_i32(m, port->top),
                                 get_i32(m, port->label_count),
                                 get_i32(m, port->of),
                                 get_f32(m, port->score),
                                 get_i32(m, port->shares)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_port));
    }
    return make_array(m, name, items, count);
}

static LLVMValueRef image_of_symbols(Module *m, const cai_program *program) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, program->symbol_count);
    for (int i = 0; i < program->symbol_count; i++) {
        LLVMValueRef fields[] = {make_text(m, program->symbols[i].name),
                                 get_i64(m, program->symbols[i].multiple)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_symbol));
    }
    return make_array(m, "symbols", items, program->symbol_count);
}

static LLVMValueRef image_of_buffers(Module *m, const cai_program *program) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, program->buffer_count);
    for (int i = 0; i < program->buffer_count; i++) {
        const cai_buffer *buffer = &program->buffers[i];
        LLVMValueRef fields[] = {get_i32(m, buffer->begin), get_i32(m, buffer->bytes),
                                 get_i32(m, buffer->first), get_i32(m, buffer->last)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_buffer));
    }
    return make_array(m, "buffers", items, program->buffer_count);
}

static LLVMValueRef image_of_arguments(Module *m, const cai_launch *launch) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, launch->argument_count);
    for (int i = 0; i < launch->argument_count; i++) {
        const cai_argument *argument = &launch->arguments[i];
        LLVMValueRef fields[] = {get_i32(m, argument->space), get_i32(m, argument->offset),
                                 get_i64(m, argument->index)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_argument));
    }
    return make_array(m, "arguments", items, launch->argument_count);
}

/* what the launches of one kernel share */
typedef struct Texts { LLVMValueRef path, source, arguments; } Texts;

static Texts make_texts(Module *m, const cai_launch *launch) {
    LLVMValueRef path = make_text(m, launch->path), source = make_text(m, launch->source);
    return (Texts){path, source, image_of_arguments(m, launch)};
}

static LLVMValueRef image_of_launch(Module *m, const cai_launch *launch, const Texts *texts) {
    LLVMValueRef kernel = get_kernel(m, launch->name), name = make_text(m, launch->name);
    LLVMValueRef fields[] = {kernel,
                             name,
                             make_text(m, launch->kind),
                             texts->path,
                             texts->source,
                             texts->arguments,
                             get_i32(m, launch->argument_count),
                             get_i32(m, launch->tasks),
                             get_i32(m, launch->flops),
                             get_i32(m, launch->bytes),
                             get_i32(m, launch->rounds),
                             get_i32(m, launch->more),
                             get_i32(m, launch->fused),
                             get_i32(m, (int32_t)launch->guards)};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_launch));
}

static LLVMValueRef image_of_launches(Module *m, const cai_program *program) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, program->launch_count);
    Texts texts = {0};
    for (int i = 0; i < program->launch_count; i++) {
        const cai_launch *launch = &program->launches[i];
        if (i == 0 || launch->arguments != launch[-1].arguments) texts = make_texts(m, launch);
        items[i] = image_of_launch(m, launch, &texts);
    }
    return make_array(m, "launches", items, program->launch_count);
}

static LLVMValueRef image_of_checks(Module *m, const cai_program *program) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, program->check_count);
    for (int i = 0; i < program->check_count; i++) {
        LLVMValueRef fields[] = {make_text(m, program->checks[i].message)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_check));
    }
    return make_array(m, "checks", items, program->check_count);
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

/* Asks for every size that follows once: get_dim places it at the entry, where overflow
 * is noted before the body goes on with it. */
static void emit_dims(const Image *e) {
    const Program *program = e->program;
    for (int i = 0; i < e->tables->sizes.count; i++)
        if (e->tables->sizes.items[i].dim) get_dim(e->m, e->tables->sizes.items[i].dim);
    for (int i = 0; i < program->slots.count; i++)
        for (int k = 0; k < program->slots.items[i].bytes.count; k++)
            get_dim(e->m, program->slots.items[i].bytes.items[k]);
    for (int i = 0; i < program->launches.count; i++)
        if (program->launches.items[i]->scratch) get_dim(e->m, program->launches.items[i]->scratch);
    for (int i = 0; i < program->graph->checks.count; i++) {
        get_dim(e->m, program->graph->checks.items[i].left);
        get_dim(e->m, program->graph->checks.items[i].right);
    }
}

/* A slot is as large as its largest tenant, and begins at a multiple of the alignment.
 * Gives each slot's beginning; the arena's size stands behind the last. */
static LLVMValueRef *emit_slots(const Image *e) {
    Module *m = e->m;
    LLVMValueRef *begins = NEW_ARRAY(m->arena, LLVMValueRef, e->program->slots.count + 1);
    begins[0] = get_i64(m, 0);
    for (int i = 0; i < e->program->slots.count; i++) {
        const Slot *slot = &e->program->slots.items[i];
        LLVMValueRef bytes = get_i64(m, 0);
        for (int k = 0; k < slot->bytes.count; k++)
            bytes = emit_max(m, bytes, get_dim(m, slot->bytes.items[k]));
        LLVMValueRef end =
            emit_checked_add(m, emit_checked_add(m, begins[i], bytes), get_i64(m, CAI_ALIGNMENT - 1));
        begins[i + 1] = LLVMBuildAnd(m->builder, end, get_i64(m, -CAI_ALIGNMENT), "");
    }
    return begins;
}

static LLVMValueRef emit_scratch(const Image *e) {
    LLVMValueRef max = get_i64(e->m, 0);
    for (int i = 0; i < e->program->launches.count; i++) {
        Dim scratch = e->program->launches.items[i]->scratch;
        if (scratch) max = emit_max(e->m, max, get_dim(e->m, scratch));
    }
    return max;
}

static LLVMValueRef emit_size(const Image *e, const Size *size, LLVMValueRef *slots) {
    switch (size->kind) {
    case SIZE_DIM: return get_dim(e->m, size->dim);
    case SIZE_SLOT: return emit_checked_add(e->m, slots[size->slot], get_dim(e->m, size->dim));
    case SIZE_ARENA: return slots[e->program->slots.count];
    case SIZE_SCRATCH: return emit_scratch(e);
    }
    INTERNAL_ERROR("no such size");
}

static LLVMValueRef emit_prepare(const Image *e) {
    Module *m = e->m;
    const Graph *graph = e->program->graph;
    LLVMTypeRef parameters[] = {m->pointer, m->pointer};
    LLVMValueRef function =
        get_function(m, "cai_prepare", LLVMFunctionType(m->i64, parameters, COUNT_OF(parameters), 0));
    LLVMSetLinkage(function, LLVMPrivateLinkage);
    compile_fast(m, function); /* thousands of symbols or sizes are one basic block */
    m->symbols = LLVMGetParam(function, 0);
    begin_body(m, function);
    m->overflow = LLVMConstNull(m->i1);
    emit_dims(e);
    LLVMValueRef *slots = emit_slots(e), *values = NEW_ARRAY(m->arena, LLVMValueRef, e->tables->sizes.count);
    LLVMValueRef *checks = NEW_ARRAY(m->arena, LLVMValueRef, graph->checks.count);
    for (int i = 0; i < e->tables->sizes.count; i++)
        values[i] = emit_size(e, &e->tables->sizes.items[i], slots);
    for (int i = 0; i < graph->checks.count; i++) checks[i] = emit_check(m, &graph->checks.items[i]);
    return_unless(m, LLVMBuildNot(m->builder, m->overflow, ""), CAI_OVERFLOW);
    for (int i = 0; i < graph->checks.count; i++) return_unless(m, checks[i], i);
    for (int i = 0; i < e->tables->sizes.count; i++)
        emit_store(m, values[i], get_element(m, m->i64, LLVMGetParam(function, 1), get_i64(m, i)));
    LLVMBuildRet(m->builder, get_i64(m, CAI_PREPARED));
    return function;
}

/* ---- the program ---- */

void export_constant(LLVMValueRef constant, const char *name) {
    LLVMSetValueName2(constant, name, strlen(name));
    LLVMSetLinkage(constant, LLVMExternalLinkage);
    LLVMSetUnnamedAddress(constant, LLVMNoUnnamedAddr);
}

static void emit_tables(Module *m, const Program *planned, const char *name, LLVMValueRef weights) {
    const Tables *tables = tables_of_program(planned, m->arena);
    const cai_program *p = &tables->program;
    LLVMValueRef inputs = image_of_ports(m, "inputs", p->inputs, p->input_count),
                 outputs = image_of_ports(m, "outputs", p->outputs, p->output_count);
    LLVMValueRef buffers = image_of_buffers(m, p), launches = image_of_launches(m, p);
    LLVMValueRef prepare = emit_prepare(&(Image){m, planned, tables});
    LLVMValueRef fields[] = {get_i32(m, (int32_t)p->abi),
                             get_i32(m, (int32_t)p->cpu),
                             make_text(m, p->name),
                             make_text(m, p->comment),
                             make_text(m, p->target),
                             inputs,
                             outputs,
                             image_of_symbols(m, p),
                             launches,
                             buffers,
                             image_of_checks(m, p),
                             prepare,
                             weights,
                             get_i64(m, (int64_t)p->weights_bytes),
                             get_i32(m, p->input_count),
                             get_i32(m, p->output_count),
                             get_i32(m, p->symbol_count),
                             get_i32(m, p->launch_count),
                             get_i32(m, p->buffer_count),
                             get_i32(m, p->check_count),
                             get_i32(m, p->size_count),
                             get_i32(m, p->arena),
                             get_i32(m, p->scratch)};
    export_constant(add_constant(m, name, make_struct(m, fields, COUNT_OF(fields), sizeof(cai_program))),
                    name);
}

void emit_program_image(Module *m, const Program *planned) {
    bool has_weights = planned->weights_bytes > 0;
    emit_tables(m, planned, "cai_the_program",
                has_weights ? LLVMAddGlobal(m->module, LLVMArrayType2(m->i8, 0), "cai_the_weights")
                            : get_null(m));
}

/* ---- a trainer's entry ---- */

static bool add_bytes(void *context, const void *bytes, size_t count) {
    text_add_bytes(context, bytes, count);
    return true;
}

static LLVMValueRef make_weights(Module *m, const Program *planned) {
    Text bytes = {.arena = m->arena};
    if (!program_write_weights(planned, &(RefSource){0}, add_bytes, &bytes, NULL))
        INTERNAL_ERROR("an entry of a trainer has parameters");
    if (!bytes.length) return get_null(m);
    LLVMValueRef made =
        add_constant(m, "weights", LLVMConstStringInContext2(m->context, bytes.bytes, bytes.length, 1));
    LLVMSetAlignment(made, PAGE);
    return made;
}

void emit_entry_image(Module *m, const Program *planned, const char *name) {
    emit_tables(m, planned, name, make_weights(m, planned));
}
