/* One LLVM module, and the basic verbs of emitters. Every function has an entry block
 * that computes once what the body needs (sizes, argument pointers) and ends in a branch
 * to the body. get_dim and get_argument place their instructions there at their first
 * use, so an emitter asks for a size wherever it needs it and pays for it once. Code is
 * position independent: programs link it statically, tests and libraries as shared
 * objects. */
#include "codegen/codegen.h"
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>

/* ---- the module ---- */

/* Handlers for running out of memory within LLVM, which would abort. They have no names
 * in C: llvm::install_bad_alloc_error_handler, std::set_new_handler. */
void on_bad_alloc(void (*handler)(void *data, const char *reason, bool report),
                  void *data) __asm__("_ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_");
void (*on_bad_new(void (*handler)(void)))(void) __asm__("_ZSt15set_new_handlerPFvvE");

static void end_without_memory(void) { out_of_memory(0); }

static void end_bad_alloc(void *data, const char *reason, bool report) {
    (void)data, (void)reason, (void)report;
    out_of_memory(0);
}

static void initialize_llvm(void) {
    static bool done;
    if (done) return;
    on_bad_new(end_without_memory);
    on_bad_alloc(end_bad_alloc, NULL);
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    /* Loop strength reduction takes half of the compile time and gains nothing on loops
     * whose addresses we compute ourselves. */
    const char *options[] = {"cai", "-disable-lsr"};
    LLVMParseCommandLineOptions(COUNT_OF(options), options, NULL);
    done = true;
}

static LLVMTargetMachineRef machine_new(Arena *arena, const Target *target, const char **error) {
    LLVMTargetRef found;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(target->llvm_triple, &found, &message)) {
        *error = arena_printf(arena, "%s", message);
        LLVMDisposeMessage(message);
        return NULL;
    }
    LLVMTargetMachineRef machine =
        LLVMCreateTargetMachine(found, target->llvm_triple, target->llvm_cpu, target->llvm_features,
                                LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelSmall);
    /* --emit=asm marks loops and spills */
    LLVMSetTargetMachineAsmVerbosity(machine, 1);
    return machine;
}

static void set_types(Module *m) {
    m->i1 = LLVMInt1TypeInContext(m->context);
    m->i8 = LLVMInt8TypeInContext(m->context);
    m->i16 = LLVMInt16TypeInContext(m->context);
    m->i32 = LLVMInt32TypeInContext(m->context);
    m->i64 = LLVMInt64TypeInContext(m->context);
    m->f16 = LLVMHalfTypeInContext(m->context);
    m->bf16 = LLVMBFloatTypeInContext(m->context);
    m->f32 = LLVMFloatTypeInContext(m->context);
    m->f64 = LLVMDoubleTypeInContext(m->context);
    m->pointer = LLVMPointerTypeInContext(m->context, 0);
    m->none = LLVMVoidTypeInContext(m->context);
}

Module *module_new(Arena *arena, const Target *target, const Dims *dims, const char *name,
                   const char **error) {
    initialize_llvm();
    LLVMTargetMachineRef machine = machine_new(arena, target, error);
    if (!machine) return NULL;
    Module *m = NEW(arena, Module);
    *m = (Module){.arena = arena, .target = target, .dims = dims, .machine = machine};
    m->context = LLVMContextCreate();
    m->module = LLVMModuleCreateWithNameInContext(name, m->context);
    m->builder = LLVMCreateBuilderInContext(m->context);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(m->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(m->module, target->llvm_triple);
    set_types(m);
    return m;
}

void module_free(Module *m) {
    LLVMDisposeBuilder(m->builder);
    LLVMDisposeModule(m->module);
    LLVMContextDispose(m->context);
    LLVMDisposeTargetMachine(m->machine);
}

/* ---- functions ---- */

static void add_text_attribute(Module *m, LLVMValueRef function, const char *key, const char *value) {
    LLVMAttributeRef attribute =
        LLVMCreateStringAttribute(m->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}

static void add_attribute(Module *m, LLVMValueRef function, LLVMAttributeIndex at, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(function, at, LLVMCreateEnumAttribute(m->context, kind, 0));
}

LLVMValueRef get_function(Module *m, const char *name, LLVMTypeRef type) {
    LLVMValueRef function = LLVMAddFunction(m->module, name, type);
    add_text_attribute(m, function, "target-cpu", m->target->llvm_cpu);
    add_text_attribute(m, function, "target-features", m->target->llvm_features);
    /* Without min-legal-vector-width, which would let LLVM split 512-bit vectors (a third
     * of the speed). */
    add_text_attribute(m, function, "prefer-vector-width",
                       arena_printf(m->arena, "%d", 8 * m->target->vector_bytes));
    add_attribute(m, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "nounwind");
    return function;
}

void compile_fast(Module *m, LLVMValueRef function) {
    add_attribute(m, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "noinline");
    add_attribute(m, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "optnone");
}

void begin_body(Module *m, LLVMValueRef function) {
    m->function = function;
    m->dim_values = map_new(m->arena);
    m->arguments = map_new(m->arena);
    m->overflow = NULL;
    m->hoist = NULL;
    m->entry = LLVMAppendBasicBlockInContext(m->context, function, "entry");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(m->context, function, "body");
    LLVMPositionBuilderAtEnd(m->builder, m->entry);
    LLVMBuildBr(m->builder, body);
    LLVMPositionBuilderAtEnd(m->builder, body);
}

static LLVMTypeRef get_kernel_type(Module *m) {
    LLVMTypeRef parameters[] = {m->pointer, m->pointer, m->i64, m->i64, m->pointer};
    return LLVMFunctionType(m->none, parameters, COUNT_OF(parameters), 0);
}

LLVMValueRef get_kernel(Module *m, const char *name) {
    LLVMValueRef function = LLVMGetNamedFunction(m->module, name);
    if (function) return function;
    function = LLVMAddFunction(m->module, name, get_kernel_type(m));
    LLVMSetVisibility(function, LLVMHiddenVisibility);
    return function;
}

LLVMValueRef begin_kernel(Module *m, const char *name) {
    LLVMValueRef function = get_function(m, name, get_kernel_type(m));
    LLVMSetLinkage(function, LLVMInternalLinkage);
    add_attribute(m, function, 1, "noalias");
    add_attribute(m, function, 2, "noalias");
    add_attribute(m, function, 5, "noalias");
    m->args = LLVMGetParam(function, 0);
    m->symbols = LLVMGetParam(function, 1);
    m->begin = LLVMGetParam(function, 2);
    m->end = LLVMGetParam(function, 3);
    m->scratch = LLVMGetParam(function, 4);
    m->streams = false;
    begin_body(m, function);
    return function;
}

void finish_kernel(Module *m) {
    if (m->streams) LLVMBuildFence(m->builder, LLVMAtomicOrderingSequentiallyConsistent, 0, "");
    LLVMBuildRetVoid(m->builder);
}

/* ---- types and constants ---- */

LLVMTypeRef get_type(Module *m, DType type) {
    switch (type) {
    case DTYPE_F32: return m->f32;
    case DTYPE_F16: return m->f16;
    case DTYPE_BF16: return m->bf16;
    case DTYPE_I32: return m->i32;
    case DTYPE_I64: return m->i64;
    case DTYPE_I8: case DTYPE_BOOL: return m->i8;
    }
    INTERNAL_ERROR("no such type: %d", (int)type);
}

LLVMTypeRef get_vector(Module *m, LLVMTypeRef element, int lanes) {
    (void)m;
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

int get_lanes(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(type) : 1;
}

LLVMTypeRef get_element_type(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

LLVMValueRef get_i64(Module *m, int64_t value) { return LLVMConstInt(m->i64, (unsigned long long)value, 1); }
LLVMValueRef get_i32(Module *m, int32_t value) { return LLVMConstInt(m->i32, (unsigned long long)value, 1); }
LLVMValueRef get_f32(Module *m, double value) { return LLVMConstReal(m->f32, value); }

bool get_constant(LLVMValueRef value, int64_t *constant) {
    if (!LLVMIsAConstantInt(value)) return false;
    if (constant) *constant = LLVMConstIntGetSExtValue(value);
    return true;
}

static bool is_integer_constant(LLVMValueRef value, int64_t wanted) {
    int64_t constant;
    return get_constant(value, &constant) && constant == wanted;
}

LLVMValueRef get_lane_numbers(Module *m, LLVMTypeRef element, int lanes) {
    (void)m;
    if (lanes == 1) return LLVMConstNull(element);
    LLVMValueRef numbers[64];
    CHECK(lanes <= COUNT_OF(numbers));
    for (int i = 0; i < lanes; i++) numbers[i] = LLVMConstInt(element, (unsigned long long)i, 0);
    return LLVMConstVector(numbers, (unsigned)lanes);
}

LLVMValueRef get_splat(Module *m, LLVMValueRef scalar, int lanes) {
    if (lanes == 1) return scalar;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef copies[64];
        CHECK(lanes <= COUNT_OF(copies));
        for (int i = 0; i < lanes; i++) copies[i] = scalar;
        return LLVMConstVector(copies, (unsigned)lanes);
    }
    LLVMValueRef first = LLVMBuildInsertElement(m->builder, LLVMGetPoison(type), scalar, get_i32(m, 0), "");
    return LLVMBuildShuffleVector(m->builder, first, LLVMGetPoison(type),
                                  LLVMConstNull(LLVMVectorType(m->i32, (unsigned)lanes)), "");
}

/* ---- sizes and arguments, at the entry ---- */

static LLVMBasicBlockRef go_to_entry(Module *m) {
    LLVMBasicBlockRef from = LLVMGetInsertBlock(m->builder);
    return_to_block(m, m->entry);
    return from;
}

/* Moves the builder to the end of a block, or before the branch that already ends it. */
void return_to_block(Module *m, LLVMBasicBlockRef block) {
    LLVMValueRef last = LLVMGetBasicBlockTerminator(block);
    if (last) LLVMPositionBuilderBefore(m->builder, last);
    else LLVMPositionBuilderAtEnd(m->builder, block);
}

LLVMBasicBlockRef step_out(Module *m, bool inner) {
    LLVMBasicBlockRef from = LLVMGetInsertBlock(m->builder);
    if (m->hoist && !inner) return_to_block(m, m->hoist);
    return from;
}

void step_back(Module *m, LLVMBasicBlockRef from) { return_to_block(m, from); }

/* a OP b, setting m->overflow where it does not fit; `checked` is the intrinsic that
 * detects it. */
static LLVMValueRef emit_checked(Module *m, const char *checked, LLVMOpcode op, LLVMValueRef a,
                                 LLVMValueRef b) {
    if (!m->overflow || (LLVMIsConstant(a) && LLVMIsConstant(b)))
        return LLVMBuildBinOp(m->builder, op, a, b, "");
    LLVMValueRef pair = emit_intrinsic(m, checked, m->i64, (LLVMValueRef[]){a, b}, 2);
    LLVMValueRef bit = LLVMBuildExtractValue(m->builder, pair, 1, "");
    m->overflow = LLVMBuildOr(m->builder, m->overflow, bit, "");
    return LLVMBuildExtractValue(m->builder, pair, 0, "");
}

LLVMValueRef emit_checked_add(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return emit_checked(m, "llvm.sadd.with.overflow", LLVMAdd, a, b);
}

/* Division that rounds down, also below zero, where LLVM's rounds towards zero. */
static LLVMValueRef emit_factor_floor_div(Module *m, const DimFactor *factor) {
    LLVMValueRef dividend = get_dim(m, factor->dividend), divisor = get_i64(m, factor->divisor);
    int64_t low, high;
    if (dim_bounds(factor->dividend, &low, &high) && low >= 0)
        return LLVMBuildUDiv(m->builder, dividend, divisor, "");
    LLVMValueRef quotient = LLVMBuildSDiv(m->builder, dividend, divisor, "");
    LLVMValueRef rest = LLVMBuildSRem(m->builder, dividend, divisor, "");
    LLVMValueRef below = LLVMBuildICmp(m->builder, LLVMIntSLT, rest, get_i64(m, 0), "");
    return LLVMBuildAdd(m->builder, quotient, LLVMBuildSExt(m->builder, below, m->i64, ""), "");
}

static LLVMValueRef emit_factor(Module *m, const DimFactor *factor) {
    if (!factor->symbol) return emit_factor_floor_div(m, factor);
    LLVMValueRef value = map_get(m->dim_values, factor->symbol);
    if (value) return value;
    value = emit_load(m, m->i64, get_element(m, m->i64, m->symbols, get_i64(m, factor->symbol->index)));
    map_set(m->dim_values, factor->symbol, value);
    return value;
}

static LLVMValueRef emit_dim(Module *m, Dim dim) {
    LLVMValueRef sum = get_i64(m, 0);
    for (int t = 0; t < dim->term_count; t++) {
        const DimTerm *term = &dim->terms[t];
        LLVMValueRef product = get_i64(m, term->coefficient);
        for (int f = 0; f < term->factor_count; f++) {
            LLVMValueRef factor = emit_factor(m, &term->factors[f]);
            product = is_integer_constant(product, 1)
                          ? factor
                          : emit_checked(m, "llvm.smul.with.overflow", LLVMMul, product, factor);
        }
        sum = is_integer_constant(sum, 0) ? product
                                          : emit_checked(m, "llvm.sadd.with.overflow", LLVMAdd, sum, product);
    }
    return sum;
}

LLVMValueRef get_dim(Module *m, Dim dim) {
    int64_t constant;
    if (dim_is_const(dim, &constant)) return get_i64(m, constant);
    LLVMValueRef value = map_get(m->dim_values, dim);
    if (value) return value;
    LLVMBasicBlockRef from = go_to_entry(m);
    value = emit_dim(m, dim);
    return_to_block(m, from);
    map_set(m->dim_values, dim, value);
    return value;
}

LLVMValueRef get_argument(Module *m, int index) {
    const void *key = (const void *)(intptr_t)(index + 1);
    LLVMValueRef value = map_get(m->arguments, key);
    if (value) return value;
    LLVMBasicBlockRef from = go_to_entry(m);
    value = emit_load(m, m->pointer, get_element(m, m->pointer, m->args, get_i64(m, index)));
    return_to_block(m, from);
    map_set(m->arguments, key, value);
    return value;
}

/* ---- memory ---- */

LLVMValueRef get_element(Module *m, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index) {
    if (is_integer_constant(index, 0)) return base;
    return LLVMBuildInBoundsGEP2(m->builder, type, base, &index, 1, "");
}

LLVMValueRef get_element_anywhere(Module *m, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index) {
    return is_integer_constant(index, 0) ? base : LLVMBuildGEP2(m->builder, type, base, &index, 1, "");
}

int get_bytes(Module *m, LLVMTypeRef type) {
    return (int)LLVMABISizeOfType(LLVMGetModuleDataLayout(m->module), type);
}

static LLVMValueRef load_aligned_to(Module *m, LLVMTypeRef type, LLVMValueRef address, int align) {
    LLVMValueRef load = LLVMBuildLoad2(m->builder, type, address, "");
    LLVMSetAlignment(load, (unsigned)align);
    return load;
}

static void store_aligned_to(Module *m, LLVMValueRef value, LLVMValueRef address, int align) {
    LLVMSetAlignment(LLVMBuildStore(m->builder, value, address), (unsigned)align);
}

LLVMValueRef emit_load(Module *m, LLVMTypeRef type, LLVMValueRef address) {
    return load_aligned_to(m, type, address, get_bytes(m, get_element_type(type)));
}

LLVMValueRef emit_aligned_load(Module *m, LLVMTypeRef type, LLVMValueRef address) {
    return load_aligned_to(m, type, address, get_bytes(m, type));
}

void emit_store(Module *m, LLVMValueRef value, LLVMValueRef address) {
    store_aligned_to(m, value, address, get_bytes(m, get_element_type(LLVMTypeOf(value))));
}

void emit_aligned_store(Module *m, LLVMValueRef value, LLVMValueRef address) {
    store_aligned_to(m, value, address, get_bytes(m, LLVMTypeOf(value)));
}

void emit_streamed_store(Module *m, LLVMValueRef value, LLVMValueRef address) {
    LLVMMetadataRef one = LLVMValueAsMetadata(get_i32(m, 1));
    m->streams = true;
    emit_aligned_store(m, value, address);
    LLVMSetMetadata(LLVMGetLastInstruction(LLVMGetInsertBlock(m->builder)),
                    LLVMGetMDKindIDInContext(m->context, "nontemporal", 11),
                    LLVMMetadataAsValue(m->context, LLVMMDNodeInContext2(m->context, &one, 1)));
}

static LLVMValueRef call_intrinsic(Module *m, const char *name, LLVMTypeRef *overloads, int overload_count,
                                   LLVMValueRef *args, int count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id) INTERNAL_ERROR("LLVM has no %s", name);
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(m->module, id, overloads, (size_t)overload_count);
    return LLVMBuildCall2(m->builder, LLVMGlobalGetValueType(function), function, args, (unsigned)count, "");
}

LLVMValueRef emit_intrinsic(Module *m, const char *name, LLVMTypeRef overload, LLVMValueRef *args,
                            int count) {
    return call_intrinsic(m, name, &overload, overload ? 1 : 0, args, count);
}

LLVMValueRef emit_masked_load(Module *m, LLVMTypeRef type, LLVMValueRef address, int align,
                              LLVMValueRef mask) {
    if (!mask) return load_aligned_to(m, type, address, align);
    LLVMValueRef args[] = {address, get_i32(m, align), mask, LLVMConstNull(type)};
    return call_intrinsic(m, "llvm.masked.load", (LLVMTypeRef[]){type, m->pointer}, 2, args, COUNT_OF(args));
}

void emit_masked_store(Module *m, LLVMValueRef value, LLVMValueRef address, int align, LLVMValueRef mask) {
    if (!mask) {
        store_aligned_to(m, value, address, align);
        return;
    }
    LLVMValueRef args[] = {value, address, get_i32(m, align), mask};
    call_intrinsic(m, "llvm.masked.store", (LLVMTypeRef[]){LLVMTypeOf(value), m->pointer}, 2, args,
                   COUNT_OF(args));
}

static LLVMValueRef get_full_mask(Module *m, int lanes) {
    return get_splat(m, LLVMConstAllOnes(m->i1), lanes);
}

static LLVMValueRef emit_addresses(Module *m, LLVMTypeRef vector, LLVMValueRef base, LLVMValueRef indices) {
    /* lanes outside the mask may have any address */
    return LLVMBuildGEP2(m->builder, LLVMGetElementType(vector), base, &indices, 1, "");
}

LLVMValueRef emit_gather(Module *m, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef indices,
                         LLVMValueRef mask) {
    LLVMTypeRef element = LLVMGetElementType(type), pointers = get_vector(m, m->pointer, get_lanes(type));
    int align = (int)(LLVMGetTypeKind(element) == LLVMIntegerTypeKind ? LLVMGetIntTypeWidth(element) / 8
                      : element == m->f32                             ? 4
                                                                      : 2);
    LLVMValueRef args[] = {emit_addresses(m, type, base, indices), get_i32(m, align),
                           mask ? mask : get_full_mask(m, get_lanes(type)), LLVMConstNull(type)};
    return call_intrinsic(m, "llvm.masked.gather", (LLVMTypeRef[]){type, pointers}, 2, args, COUNT_OF(args));
}

void emit_scatter(Module *m, LLVMValueRef value, LLVMValueRef base, LLVMValueRef indices, LLVMValueRef mask) {
    LLVMTypeRef type = LLVMTypeOf(value), pointers = get_vector(m, m->pointer, get_lanes(type));
    LLVMValueRef args[] = {value, emit_addresses(m, type, base, indices), get_i32(m, 1),
                           mask ? mask : get_full_mask(m, get_lanes(type))};
    call_intrinsic(m, "llvm.masked.scatter", (LLVMTypeRef[]){type, pointers}, 2, args, COUNT_OF(args));
}

LLVMValueRef emit_lane_mask(Module *m, LLVMValueRef count, int lanes) {
    LLVMValueRef narrow = emit_max(m, emit_min(m, count, get_i64(m, lanes)), get_i64(m, 0));
    LLVMValueRef bound = get_splat(m, LLVMBuildTrunc(m->builder, narrow, m->i32, ""), lanes);
    return LLVMBuildICmp(m->builder, LLVMIntSLT, get_lane_numbers(m, m->i32, lanes), bound, "");
}

LLVMValueRef emit_stack(Module *m, LLVMTypeRef element, int64_t count) {
    LLVMBasicBlockRef from = LLVMGetInsertBlock(m->builder);
    LLVMPositionBuilderBefore(m->builder, LLVMGetBasicBlockTerminator(m->entry));
    LLVMValueRef space = LLVMBuildAlloca(m->builder, LLVMArrayType2(element, (uint64_t)count), "");
    LLVMSetAlignment(space, 64);
    LLVMPositionBuilderAtEnd(m->builder, from);
    return space;
}

void emit_prefetch(Module *m, LLVMValueRef address, int locality) {
    LLVMValueRef args[] = {address, get_i32(m, 0), get_i32(m, locality), get_i32(m, 1)};
    emit_intrinsic(m, "llvm.prefetch", m->pointer, args, COUNT_OF(args));
}

/* ---- arithmetic ---- */

LLVMValueRef emit_add(Module *m, LLVMValueRef a, LLVMValueRef b) {
    if (is_integer_constant(a, 0)) return b;
    if (is_integer_constant(b, 0)) return a;
    return LLVMBuildNSWAdd(m->builder, a, b, "");
}

LLVMValueRef emit_sub(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return is_integer_constant(b, 0) ? a : LLVMBuildNSWSub(m->builder, a, b, "");
}

LLVMValueRef emit_mul(Module *m, LLVMValueRef a, LLVMValueRef b) {
    if (is_integer_constant(a, 0) || is_integer_constant(b, 1)) return a;
    if (is_integer_constant(b, 0) || is_integer_constant(a, 1)) return b;
    return LLVMBuildNSWMul(m->builder, a, b, "");
}

LLVMValueRef emit_div(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return is_integer_constant(b, 1) ? a : LLVMBuildUDiv(m->builder, a, b, "");
}

LLVMValueRef emit_rem(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return is_integer_constant(b, 1) ? LLVMConstNull(LLVMTypeOf(a)) : LLVMBuildURem(m->builder, a, b, "");
}

LLVMValueRef emit_min(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(m->builder, LLVMBuildICmp(m->builder, LLVMIntSLT, a, b, ""), a, b, "");
}

LLVMValueRef emit_max(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(m->builder, LLVMBuildICmp(m->builder, LLVMIntSGT, a, b, ""), a, b, "");
}

LLVMValueRef emit_affine(Module *m, LLVMValueRef a, int64_t factor, int64_t addend) {
    return emit_add(m, emit_mul(m, a, get_i64(m, factor)), get_i64(m, addend));
}

LLVMValueRef take_part(Module *m, LLVMValueRef *number, LLVMValueRef count) {
    LLVMValueRef part = emit_rem(m, *number, count);
    *number = emit_div(m, *number, count);
    return part;
}

LLVMValueRef emit_float(Module *m, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef value = LLVMBuildBinOp(m->builder, op, a, b, "");
    if (LLVMIsAInstruction(value)) LLVMSetFastMathFlags(value, LLVMFastMathAllowContract);
    return value;
}

static bool holds_ints(LLVMValueRef value) {
    return LLVMGetTypeKind(get_element_type(LLVMTypeOf(value))) == LLVMIntegerTypeKind;
}

LLVMValueRef emit_sum(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return holds_ints(a) ? LLVMBuildAdd(m->builder, a, b, "") : emit_float(m, LLVMFAdd, a, b);
}

LLVMValueRef emit_muladd(Module *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    if (holds_ints(a)) return emit_sum(m, LLVMBuildMul(m->builder, a, b, ""), c);
    return emit_intrinsic(m, "llvm.fma", LLVMTypeOf(a), (LLVMValueRef[]){a, b, c}, 3);
}
