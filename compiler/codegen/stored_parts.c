/* Parts of stored sums, which a kernel adds up as it stores a map (plan/stored_sums.c).
 * They lie in memory, and so in L1 while their task runs: in registers all the time they
 * would take those of the loops between. What comes together, such as the pixels of a
 * tile, is added up before it meets the part. */
#include "codegen/codegen.h"
#include "plan/loop_nest.h"

static LLVMTypeRef type_of_parts(Module *m) { return get_vector(m, m->f32, m->target->lanes); }

static int vectors_of_part(const StoredSum *sum) { return sum->about ? SPREAD_VECTORS : 1; }

/* ---- in memory ---- */

static LLVMValueRef address_of_part(Module *m, const Kernel *kernel, int sum, const PartPlace *at) {
    const StoredSum *stored = &kernel->sums[sum];
    int first = 1 + kernel->input_count + (kernel->workspace != NULL);
    LLVMValueRef number = emit_add(m, emit_affine(m, at->block, stored->block_parts, 0), at->number);
    return get_element(m, type_of_parts(m), get_argument(m, first + sum),
                       emit_affine(m, number, vectors_of_part(stored), 0));
}

typedef void (*PartVisit)(Module *m, LLVMValueRef address, LLVMValueRef *vector);

static void visit_parts(Module *m, const Kernel *kernel, const PartPlace *at, LoopCarried *parts,
                        PartVisit visit) {
    parts->count = 0;
    for (int i = 0; i < kernel->sum_count; i++) {
        LLVMValueRef part = address_of_part(m, kernel, i, at);
        for (int k = 0; k < vectors_of_part(&kernel->sums[i]); k++)
            visit(m, get_element(m, type_of_parts(m), part, get_i64(m, k)), &parts->at[parts->count++]);
    }
}

static void clear_vector_of_part(Module *m, LLVMValueRef address, LLVMValueRef *vector) {
    *vector = LLVMConstNull(type_of_parts(m));
    emit_aligned_store(m, *vector, address);
}

static void load_vector_of_part(Module *m, LLVMValueRef address, LLVMValueRef *vector) {
    *vector = emit_aligned_load(m, type_of_parts(m), address);
}

static void store_vector_of_part(Module *m, LLVMValueRef address, LLVMValueRef *vector) {
    emit_aligned_store(m, *vector, address);
}

void emit_start_parts(Module *m, const Kernel *kernel, const PartPlace *at) {
    LoopCarried parts;
    visit_parts(m, kernel, at, &parts, clear_vector_of_part);
}

void emit_load_parts(Module *m, const Kernel *kernel, const PartPlace *at, LoopCarried *parts) {
    visit_parts(m, kernel, at, parts, load_vector_of_part);
}

void emit_store_parts(Module *m, const Kernel *kernel, const PartPlace *at, LoopCarried *parts) {
    visit_parts(m, kernel, at, parts, store_vector_of_part);
}

/* ---- in registers ---- */

static void add_to_stored_sum(Module *m, LLVMValueRef *part, const LLVMValueRef *terms, int count) {
    LLVMValueRef sum = terms[0];
    for (int p = 1; p < count; p++) sum = emit_sum(m, sum, terms[p]);
    *part = emit_sum(m, *part, sum);
}

/* The part's first term is its center: differences from it are small numbers, where a sum
 * of the terms would round by the size of their mean. */
static void add_to_stored_spread(Module *m, LLVMValueRef *part, const LLVMValueRef *terms, int count) {
    LLVMValueRef zero = LLVMConstNull(type_of_parts(m)), sum = zero, squares = zero;
    LLVMValueRef begins = LLVMBuildFCmp(m->builder, LLVMRealOEQ, part[SPREAD_PLACES], zero, "");
    part[SPREAD_CENTER] = LLVMBuildSelect(m->builder, begins, terms[0], part[SPREAD_CENTER], "");
    for (int p = 0; p < count; p++) {
        LLVMValueRef difference = emit_float(m, LLVMFSub, terms[p], part[SPREAD_CENTER]);
        sum = emit_sum(m, sum, difference);
        squares = emit_muladd(m, difference, difference, squares);
    }
    part[SPREAD_SUM] = emit_sum(m, part[SPREAD_SUM], sum);
    part[SPREAD_SQUARES] = emit_sum(m, part[SPREAD_SQUARES], squares);
    part[SPREAD_PLACES] = emit_sum(m, part[SPREAD_PLACES], get_splat(m, get_f32(m, count), m->target->lanes));
}

void emit_add_to_parts(Module *m, const Kernel *kernel, LoopCarried *parts, const StoredTerms *terms) {
    LLVMValueRef *part = parts->at;
    for (int i = 0; i < kernel->sum_count; i++) {
        const StoredSum *sum = &kernel->sums[i];
        (sum->about ? add_to_stored_spread : add_to_stored_sum)(m, part, terms->at[i], terms->count);
        part += vectors_of_part(sum);
    }
}

void emit_add_terms(Module *m, const Kernel *kernel, const PartPlace *at, const StoredTerms *terms) {
    LoopCarried parts;
    emit_load_parts(m, kernel, at, &parts);
    emit_add_to_parts(m, kernel, &parts, terms);
    emit_store_parts(m, kernel, at, &parts);
}

void emit_epilogue_store_next(Epilogue *epilogue, const Point *point, LLVMValueRef elements,
                              StoredTerms *terms) {
    LLVMValueRef of_point[MAX_STORED_SUMS];
    emit_epilogue_store_terms(epilogue, point, elements, of_point);
    for (int i = 0; i < epilogue->kernel->sum_count; i++) terms->at[i][terms->count] = of_point[i];
    terms->count++;
}
