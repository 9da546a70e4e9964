/* The elements of a node at a point: elementwise operators become arithmetic
 * (elementwise.c), movement operators maps of coordinates (movement.c), and inputs of the
 * kernel are loaded (access.c).
 *
 * Two things keep the code small and fast. A value with the same coordinates in all lanes
 * is computed once, as a scalar, and splatted. And a value that is invariant in the
 * innermost loop is computed before it (m->hoist): LLVM cannot do that for us, since it
 * does not know that stores do not alias our inputs. A memo keeps values that several
 * operators share from being computed again. */
#include "codegen/codegen.h"
#include "graph/class_rows.h"

/* ---- sources ---- */

/* Of those that lie in memory, and are an input of every kernel that reads them. */
static LLVMValueRef stored_source_at(Epilogue *epilogue, const Node *node, const Point *point) {
    (void)epilogue, (void)point;
    INTERNAL_ERROR("%s must be an input of the kernel", op_info[node->op].name);
}
#define input_at stored_source_at
#define parameter_at stored_source_at
#define state_at stored_source_at

static LLVMValueRef constant_at(Epilogue *epilogue, const Node *node, const Point *point) {
    const Data *data = ATTRIBUTES(node, constant)->data;
    if (data->count != 1) INTERNAL_ERROR("a constant of many values must be an input of the kernel");
    return get_exact(epilogue->module, node->shape.type, data->values[0], point->lanes);
}

static LLVMValueRef iota_at(Epilogue *epilogue, const Node *node, const Point *point) {
    const Coord *coord = &point->at[ATTRIBUTES(node, iota)->axis];
    return emit_cast(epilogue->module, get_coord_vector(epilogue->module, coord, point->lanes), DTYPE_I64,
                     node->shape.type);
}

static LLVMValueRef size_at(Epilogue *epilogue, const Node *node, const Point *point) {
    Module *m = epilogue->module;
    LLVMValueRef value =
        emit_cast(m, get_dim(m, ATTRIBUTES(node, size)->value.items[0]), DTYPE_I64, node->shape.type);
    return get_splat(m, value, point->lanes);
}

/* Random numbers as op_source.c defines them: splitmix64(splitmix64(seed ^
 * fnv1a64(stream)) + i) >> 40, times 2^-24. */

static LLVMValueRef emit_hash_mix(Module *m, LLVMValueRef x, int shift, uint64_t factor) {
    int lanes = get_lanes(LLVMTypeOf(x));
    LLVMValueRef mixed = LLVMBuildXor(
        m->builder, x, LLVMBuildLShr(m->builder, x, get_splat(m, get_i64(m, shift), lanes), ""), "");
    return factor == 1
               ? mixed
               : LLVMBuildMul(m->builder, mixed, get_splat(m, get_i64(m, (int64_t)factor), lanes), "");
}

static LLVMValueRef emit_splitmix64(Module *m, LLVMValueRef x) {
    x = LLVMBuildAdd(m->builder, x,
                     get_splat(m, get_i64(m, (int64_t)0x9E3779B97F4A7C15u), get_lanes(LLVMTypeOf(x))), "");
    x = emit_hash_mix(m, x, 30, 0xBF58476D1CE4E5B9u);
    x = emit_hash_mix(m, x, 27, 0x94D049BB133111EBu);
    return emit_hash_mix(m, x, 31, 1);
}

static LLVMValueRef uniform_at(Epilogue *epilogue, const Node *node, const Point *point) {
    Module *m = epilogue->module;
    LLVMValueRef seed =
        emit_load(m, m->i64, get_element(m, m->i64, m->symbols, get_i64(m, dims_symbol_count(m->dims))));
    seed =
        LLVMBuildXor(m->builder, seed, get_i64(m, (int64_t)fnv1a64(ATTRIBUTES(node, uniform)->stream)), "");
    LLVMValueRef number = LLVMBuildAdd(m->builder, emit_element_number(m, node, point),
                                       get_splat(m, emit_splitmix64(m, seed), point->lanes), "");
    LLVMValueRef bits =
        LLVMBuildLShr(m->builder, emit_splitmix64(m, number), get_splat(m, get_i64(m, 40), point->lanes), "");
    /* 24 bits are exact as a float */
    bits = LLVMBuildTrunc(m->builder, bits, get_vector(m, m->i32, point->lanes), "");
    LLVMValueRef value = LLVMBuildSIToFP(m->builder, bits, get_vector(m, m->f32, point->lanes), "");
    value = LLVMBuildFMul(m->builder, value, get_splat(m, get_f32(m, 0x1p-24), point->lanes), "");
    return emit_rounded(m, value, node->shape.type);
}

static LLVMValueRef (*const sources[OP_COUNT])(Epilogue *, const Node *, const Point *) = {
#undef ROW_OF_CLASS_SOURCE
#define ROW_OF_CLASS_SOURCE(name) [OP_##name] = name##_at,
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP
};

/* ---- the walk ---- */

/* A product that several nodes read must be the same number for all of them, so it never
 * becomes part of a multiply-add. So y - max(y) is 0 where y is largest, whatever y is,
 * and whichever kernels compute it. */
/* Whether the result is one of the operands or its negative, and needs no rounding. A
 * cast has rounded already. */
static bool is_exact(Op op) {
    switch (op) {
    case OP_cast:
    case OP_max:
    case OP_min:
    case OP_neg:
    case OP_abs:
    case OP_select:
    case OP_stop: return true;
    default: return false;
    }
}

static LLVMValueRef arithmetic_at(Epilogue *epilogue, const Node *node, const Point *point) {
    LLVMValueRef operands[3] = {NULL};
    for (int i = 0; i < node->input_count; i++) operands[i] = emit_member(epilogue, node->inputs[i], point);
    bool product = node->op == OP_mul && dtype_is_float(node->shape.type);
    if (product && epilogue->kernel->program->shared[node->id])
        return LLVMBuildFMul(epilogue->module->builder, operands[0], operands[1], "");
    return emit_elementwise(epilogue->module, node, operands);
}

/* Every operator of f16 and bf16 rounds its result, as in the reference. */
static LLVMValueRef elementwise_at(Epilogue *epilogue, const Node *node, const Point *point) {
    LLVMValueRef value = arithmetic_at(epilogue, node, point);
    return is_exact(node->op) ? value : emit_rounded(epilogue->module, value, node->shape.type);
}

static LLVMValueRef member_at(Epilogue *epilogue, const Node *node, const Point *point) {
    if (op_info[node->op].class == CLASS_ELEMENTWISE) return elementwise_at(epilogue, node, point);
    if (op_info[node->op].class == CLASS_MOVEMENT) return emit_movement(epilogue, node, point);
    if (op_info[node->op].class == CLASS_SOURCE) return sources[node->op](epilogue, node, point);
    INTERNAL_ERROR("%s cannot stand within a kernel's expression", op_info[node->op].name);
}

static LLVMValueRef computed_at(Epilogue *epilogue, const Node *node, const Point *point) {
    int argument;
    const Value *input = kernel_input(epilogue->kernel, node, &argument);
    if (input)
        return emit_value_load(epilogue->module, input, get_argument(epilogue->module, argument), point);
    return member_at(epilogue, node, point);
}

static bool changes_inside(const Point *point) {
    if (point->mask && point->mask_inner) return true;
    for (int i = 0; i < point->rank; i++)
        if (point->at[i].inner) return true;
    return false;
}

static bool same_point(const Point *a, const Point *b) {
    if (a->rank != b->rank || a->lanes != b->lanes || a->mask != b->mask) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->at[i].base != b->at[i].base || a->at[i].lane_step != b->at[i].lane_step ||
            a->at[i].vector != b->at[i].vector)
            return false;
    return true;
}

static LLVMValueRef remembered_value(const Epilogue *epilogue, const Node *node, const Point *point) {
    for (int i = 0; i < epilogue->memo.count; i++)
        if (epilogue->memo.items[i].node == node && same_point(&epilogue->memo.items[i].point, point))
            return epilogue->memo.items[i].value;
    return NULL;
}

/* Computes the value before the innermost loop. */
static LLVMValueRef hoisted_at(Epilogue *epilogue, const Node *node, const Point *point) {
    Module *m = epilogue->module;
    LLVMBasicBlockRef hoist = m->hoist, from = step_out(m, false);
    m->hoist = NULL;
    LLVMValueRef value = computed_at(epilogue, node, point);
    m->hoist = hoist;
    step_back(m, from);
    return value;
}

LLVMValueRef emit_member(Epilogue *epilogue, const Node *node, const Point *point) {
    for (int i = 0; i < epilogue->known_count; i++)
        if (epilogue->known[i].node == node) return epilogue->known[i].value;
    if (point->lanes > 1 && !point_varies(point)) {
        Point single = *point;
        single.lanes = 1;
        single.mask = NULL;
        LLVMValueRef value = emit_member(epilogue, node, &single);
        LLVMBasicBlockRef from = step_out(epilogue->module, changes_inside(&single));
        value = get_splat(epilogue->module, value, point->lanes);
        step_back(epilogue->module, from);
        return value;
    }
    LLVMValueRef value = remembered_value(epilogue, node, point);
    if (value) return value;
    bool hoisted = epilogue->module->hoist && !changes_inside(point);
    value = hoisted ? hoisted_at(epilogue, node, point) : computed_at(epilogue, node, point);
    vec_push(epilogue->module->arena, &epilogue->memo,
             (Memo){.node = node, .point = *point, .value = value, .hoisted = hoisted});
    return value;
}

/* Forgets all values but those hoisted before the loop, which stay valid as long as the
 * emitter of the loop keeps the hoist point: the code of the others may not dominate the
 * next use. */
static void forget_memo(Epilogue *epilogue) {
    int kept = 0;
    for (int i = 0; i < epilogue->memo.count; i++)
        if (epilogue->memo.items[i].hoisted && epilogue->module->hoist)
            epilogue->memo.items[kept++] = epilogue->memo.items[i];
    epilogue->memo.count = kept;
}

LLVMValueRef emit_expr(Epilogue *epilogue, const Node *node, const Point *point) {
    forget_memo(epilogue);
    return emit_member(epilogue, node, point);
}

/* Before the output is stored, since it may lie where an operand of theirs does. */
static void emit_terms(Epilogue *epilogue, const Point *point, LLVMValueRef value, LLVMValueRef *terms) {
    const Kernel *kernel = epilogue->kernel;
    epilogue->known[epilogue->known_count++] = (KnownNode){kernel->output->node, value};
    for (int i = 0; i < kernel->sum_count; i++) terms[i] = emit_member(epilogue, kernel->sums[i].term, point);
    epilogue->known_count--;
}

void emit_epilogue_store_terms(Epilogue *epilogue, const Point *point, LLVMValueRef elements,
                               LLVMValueRef *terms) {
    const Node *anchor = epilogue->kernel->anchor;
    bool rounded = anchor != epilogue->kernel->output->node; /* emit_expr rounds already */
    if (anchor && rounded) elements = emit_rounded(epilogue->module, elements, anchor->shape.type);
    if (anchor) epilogue->known[epilogue->known_count++] = (KnownNode){anchor, elements};
    LLVMValueRef value = emit_expr(epilogue, epilogue->kernel->output->node, point);
    emit_terms(epilogue, point, value, terms);
    if (anchor) epilogue->known_count--;
    LLVMValueRef base = get_argument(epilogue->module, 0);
    if (rounded) emit_rounded_store(epilogue->module, epilogue->kernel->output, base, point, value);
    else emit_value_store(epilogue->module, epilogue->kernel->output, base, point, value);
}

void emit_epilogue_store(Epilogue *epilogue, const Point *point, LLVMValueRef elements) {
    emit_epilogue_store_terms(epilogue, point, elements, NULL);
}
