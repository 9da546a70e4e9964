/* The tables that runtime/core/program.h describes, as constants of the object:
 * cai_the_program, and prepare(), which computes all sizes of a run. A trainer's entry
 * has a name of its own, and its weights, which are constants alone, among its tables. */
#include "codegen/image.h"
#include "plan/tables.h"

enum { PAGE = 4096 };

/* prepare(), as it is being emitted. */
typedef struct Preparation {
    Module *m;
    const Program *program;
    const Tables *tables;
} Preparation;

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
static void emit_dims(const Preparation *e) {
    const Program *program = e->program;
    for (int i = 0; i < e->tables->sizes.count; i++)
        if (e->tables->sizes.items[i].dim) get_dim(e->m, e->tables->sizes.items[i].dim);
    for (int i = 0; i < program->slots.count; i++)
        for (int k = 0; k < program->slots.items[i].bytes.count; k++)
            get_dim(e->m, program->slots.items[i].bytes.items[k]);
    for (int i = 0; i < program->launches.count; i++) {
        Dim scratch = program->launches.items[i]->proposal.memory.scratch;
        if (scratch) get_dim(e->m, scratch);
    }
    for (int i = 0; i < program->graph->checks.count; i++) {
        get_dim(e->m, program->graph->checks.items[i].left);
        get_dim(e->m, program->graph->checks.items[i].right);
    }
}

/* A slot is as large as its largest tenant, and begins at a multiple of the alignment.
 * Gives each slot's beginning; the arena's size stands behind the last. */
static LLVMValueRef *emit_slots(const Preparation *e) {
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

static LLVMValueRef emit_scratch(const Preparation *e) {
    LLVMValueRef max = get_i64(e->m, 0);
    for (int i = 0; i < e->program->launches.count; i++) {
        Dim scratch = e->program->launches.items[i]->proposal.memory.scratch;
        if (scratch) max = emit_max(e->m, max, get_dim(e->m, scratch));
    }
    return max;
}

static LLVMValueRef emit_size(const Preparation *e, const Size *size, LLVMValueRef *slots) {
    switch (size->kind) {
    case SIZE_DIM: return get_dim(e->m, size->dim);
    case SIZE_SLOT: return emit_checked_add(e->m, slots[size->slot], get_dim(e->m, size->dim));
    case SIZE_ARENA: return slots[e->program->slots.count];
    case SIZE_SCRATCH: return emit_scratch(e);
    }
    INTERNAL_ERROR("no such size");
}

static LLVMValueRef emit_prepare(const Preparation *e) {
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

static void emit_tables(Module *m, const Program *planned, const char *name, LLVMValueRef weights) {
    const Tables *tables = tables_of_program(planned, m->arena);
    const cai_program *p = &tables->program;
    Image image = image_begin(m);
    for (int i = 0; i < p->launch_count; i++)
        image_link(&image, &p->launches[i].kernel, get_kernel(m, p->launches[i].name));
    image_link(&image, &p->prepare, emit_prepare(&(Preparation){m, planned, tables}));
    if (weights) image_link(&image, &p->weights, weights);
    image_export(&image, &struct_cai_program, p, name);
}

void emit_program_image(Module *m, const Program *planned) {
    LLVMTypeRef bytes = LLVMArrayType2(m->i8, 0);
    emit_tables(m, planned, "cai_the_program",
                planned->weights_bytes > 0 ? LLVMAddGlobal(m->module, bytes, "cai_the_weights") : NULL);
}

/* ---- a trainer's entry ---- */

static bool add_bytes(void *context, const void *bytes, size_t count) {
    text_add_bytes(context, bytes, count);
    return true;
}

/* NULL where there are none. */
static LLVMValueRef make_weights(Module *m, const Program *planned) {
    Text bytes = {.arena = m->arena};
    if (!program_write_weights(planned, &(RefSource){0}, add_bytes, &bytes, NULL))
        INTERNAL_ERROR("an entry of a trainer has parameters");
    if (!bytes.length) return NULL;
    LLVMValueRef made =
        image_place(m, "weights", LLVMConstStringInContext2(m->context, bytes.bytes, bytes.length, 1));
    LLVMSetAlignment(made, PAGE);
    return made;
}

void emit_entry_image(Module *m, const Program *planned, const char *name) {
    emit_tables(m, planned, name, make_weights(m, planned));
}
