/* The arithmetic of elementwise operators on registers.
 *
 * Floats: a product that is used only in a sum may become one multiply-add, which rounds
 * once where the text rounds twice. That omits a rounding error of half a unit of the
 * product, so a * b - c * d may differ by as much from the text. Nothing is reassociated.
 * min and max give NaN where an operand is. Integers wrap; their division rounds down,
 * and by zero gives 0; casts are those of docs/language.md, as graph/number.c computes
 * them. No operand makes a program trap. */
#include "codegen/elementwise.h"
#include <math.h>

LLVMTypeRef get_register_type(Module *m, DType type, int lanes) {
    if (type == DTYPE_BOOL) return get_vector(m, m->i1, lanes);
    return get_vector(m, dtype_is_float(type) ? m->f32 : get_type(m, type), lanes);
}

LLVMValueRef get_exact(Module *m, DType type, Number value, int lanes) {
    LLVMTypeRef element = get_register_type(m, type, 1);
    bool real = dtype_is_float(type);
    return get_splat(m,
                     real ? LLVMConstReal(element, value.real)
                          : LLVMConstInt(element, (unsigned long long)value.whole, 1),
                     lanes);
}

LLVMValueRef get_number(Module *m, DType type, double value, int lanes) {
    return get_exact(m, type, number_cast((Number){.real = value}, DTYPE_F32, type), lanes);
}

/* ---- casts ---- */

static LLVMValueRef emit_float_to_int(Module *m, LLVMValueRef value, DType to) {
    LLVMTypeRef type = get_register_type(m, to, value_lanes(value));
    const char *name = "llvm.fptosi.sat";
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef overloads[] = {type, LLVMTypeOf(value)};
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(m->module, id, overloads, COUNT_OF(overloads));
    return LLVMBuildCall2(m->builder, LLVMGlobalGetValueType(function), function, &value, 1, "");
}

LLVMValueRef emit_cast(Module *m, LLVMValueRef value, DType from, DType to) {
    LLVMTypeRef type = get_register_type(m, to, value_lanes(value));
    if (from == to || type == LLVMTypeOf(value)) return emit_rounded(m, value, to);
    if (to == DTYPE_BOOL) {
        LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(value));
        if (dtype_is_float(from)) return LLVMBuildFCmp(m->builder, LLVMRealUNE, value, zero, "");
        return LLVMBuildICmp(m->builder, LLVMIntNE, value, zero, "");
    }
    LLVMValueRef one = get_number(m, to, 1, value_lanes(value));
    if (from == DTYPE_BOOL) return LLVMBuildSelect(m->builder, value, one, LLVMConstNull(type), "");
    if (dtype_is_float(from)) return emit_float_to_int(m, value, to);
    if (dtype_is_float(to)) return emit_rounded(m, LLVMBuildSIToFP(m->builder, value, type, ""), to);
    return LLVMBuildIntCast2(m->builder, value, type, 1, "");
}

/* ---- comparison ---- */

static LLVMValueRef emit_compare(Module *m, DType type, LLVMRealPredicate real, LLVMIntPredicate integer,
                                 LLVMValueRef a, LLVMValueRef b) {
    if (dtype_is_float(type)) return LLVMBuildFCmp(m->builder, real, a, b, "");
    if (type == DTYPE_BOOL && integer == LLVMIntSLT) integer = LLVMIntULT; /* true is 1, not -1 */
    return LLVMBuildICmp(m->builder, integer, a, b, "");
}

BOTH(eq, emit_compare(m, type, LLVMRealOEQ, LLVMIntEQ, x, y))
BOTH(lt, emit_compare(m, type, LLVMRealOLT, LLVMIntSLT, x, y))

LLVMValueRef emit_above(Module *m, DType type, LLVMValueRef a, LLVMValueRef b) {
    if (!dtype_is_float(type)) return emit_compare(m, type, LLVMRealOLT, LLVMIntSLT, b, a);
    LLVMValueRef larger = LLVMBuildFCmp(m->builder, LLVMRealOGT, a, b, ""),
                 nan = LLVMBuildFCmp(m->builder, LLVMRealUNO, a, a, "");
    LLVMValueRef only_nan =
        LLVMBuildAnd(m->builder, nan, LLVMBuildFCmp(m->builder, LLVMRealORD, b, b, ""), "");
    /* one comparison less is possible, but makes LLVM spill in max unpooling */
    return LLVMBuildOr(m->builder, larger, only_nan, "");
}

/* ---- minimum and maximum ---- */

static bool is_constant_number(LLVMValueRef value) { /* a constant that is not NaN */
    if (!LLVMIsConstant(value)) return false;
    LLVMValueRef first = value_lanes(value) > 1 ? LLVMGetAggregateElement(value, 0) : value;
    LLVMBool loses;
    double number = first && LLVMIsAConstantFP(first) ? LLVMConstRealGetDouble(first, &loses) : NAN;
    return number == number;
}

/* x86 has "a > b ? a : b", which gives b where either is NaN: one instruction where a is
 * a number, three otherwise. */
static LLVMValueRef emit_extreme(Module *m, DType type, LLVMRealPredicate real, LLVMIntPredicate integer,
                                 LLVMValueRef a, LLVMValueRef b) {
    if (type == DTYPE_BOOL)
        return integer == LLVMIntSGT ? LLVMBuildOr(m->builder, a, b, "") : LLVMBuildAnd(m->builder, a, b, "");
    if (!dtype_is_float(type))
        return LLVMBuildSelect(m->builder, LLVMBuildICmp(m->builder, integer, a, b, ""), a, b, "");
    if (is_constant_number(b)) {
        LLVMValueRef other = a;
        a = b;
        b = other;
    }
    LLVMValueRef value = LLVMBuildSelect(m->builder, LLVMBuildFCmp(m->builder, real, a, b, ""), a, b, "");
    if (is_constant_number(a)) return value;
    return LLVMBuildSelect(m->builder, LLVMBuildFCmp(m->builder, LLVMRealUNO, a, a, ""), a, value, "");
}

LLVMValueRef emit_larger(Module *m, DType type, LLVMValueRef a, LLVMValueRef b) {
    return emit_extreme(m, type, LLVMRealOGT, LLVMIntSGT, a, b);
}

BOTH(max, emit_larger(m, type, x, y))
BOTH(min, emit_extreme(m, type, LLVMRealOLT, LLVMIntSLT, x, y))

/* ---- one operand ---- */

static LLVMValueRef emit_unary(Module *m, const char *name, LLVMValueRef x) {
    return emit_intrinsic(m, name, LLVMTypeOf(x), &x, 1);
}

REAL(neg, LLVMBuildFNeg(m->builder, x, ""))
REAL(abs, emit_unary(m, "llvm.fabs", x))
REAL(floor, emit_unary(m, "llvm.floor", x))
REAL(ceil, emit_unary(m, "llvm.ceil", x))
REAL(round, emit_unary(m, "llvm.roundeven", x))
REAL(sqrt, emit_unary(m, "llvm.sqrt", x))

WHOLE(neg, LLVMBuildNeg(m->builder, x, ""))
WHOLE(abs, emit_max(m, x, LLVMBuildNeg(m->builder, x, "")))
WHOLE(floor, x)
WHOLE(ceil, x)
WHOLE(round, x)
WHOLE(not, LLVMBuildNot(m->builder, x, ""))

/* ---- two operands ---- */

/* The quotient, rounded down, or the remainder; by 0 both are 0. Operands that would
 * trap, a divisor of 0 and the smallest number by -1, use a divisor of 1 instead. */
static LLVMValueRef emit_int_div(Module *m, Op op, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef zero = LLVMConstNull(type), ones = LLVMConstAllOnes(type), one = LLVMConstNeg(ones);
    LLVMValueRef by_zero = LLVMBuildICmp(m->builder, LLVMIntEQ, b, zero, "");
    LLVMValueRef by_minus = LLVMBuildICmp(m->builder, LLVMIntEQ, b, ones, "");
    LLVMValueRef divisor =
        LLVMBuildSelect(m->builder, LLVMBuildOr(m->builder, by_zero, by_minus, ""), one, b, "");
    LLVMValueRef quotient = LLVMBuildSDiv(m->builder, a, divisor, "");
    LLVMValueRef rest = LLVMBuildSub(m->builder, a, LLVMBuildMul(m->builder, quotient, divisor, ""), "");
    LLVMValueRef inexact = LLVMBuildICmp(m->builder, LLVMIntNE, rest, zero, "");
    LLVMValueRef unlike =
        LLVMBuildICmp(m->builder, LLVMIntSLT, LLVMBuildXor(m->builder, rest, divisor, ""), zero, "");
    LLVMValueRef below = LLVMBuildAnd(m->builder, inexact, unlike, "");
    if (op == OP_mod)
        return LLVMBuildAdd(m->builder, rest, LLVMBuildSelect(m->builder, below, divisor, zero, ""), "");
    LLVMValueRef value = LLVMBuildAdd(m->builder, quotient, LLVMBuildSExt(m->builder, below, type, ""), "");
    value = LLVMBuildSelect(m->builder, by_minus, LLVMBuildNeg(m->builder, a, ""), value, "");
    return LLVMBuildSelect(m->builder, by_zero, zero, value, "");
}

BOTH(add, emit_sum(m, x, y))
REAL(sub, emit_float(m, LLVMFSub, x, y))
REAL(mul, emit_float(m, LLVMFMul, x, y))
REAL(div, emit_float(m, LLVMFDiv, x, y))

WHOLE(sub, LLVMBuildSub(m->builder, x, y, ""))
WHOLE(mul, LLVMBuildMul(m->builder, x, y, ""))
WHOLE(div, emit_int_div(m, OP_div, x, y))
WHOLE(floor_div, emit_int_div(m, OP_floor_div, x, y))
WHOLE(mod, emit_int_div(m, OP_mod, x, y))
WHOLE(and, LLVMBuildAnd(m->builder, x, y, ""))
WHOLE(or, LLVMBuildOr(m->builder, x, y, ""))

/* ---- three ---- */

VERB_FORM(emit_any_select) {
    (void)type;
    return LLVMBuildSelect(m->builder, operands[0], operands[1], operands[2], "");
}

/* ---- the table ---- */

#define FORMS_float(verb) {emit_real_##verb, NULL}
#define FORMS_logic(verb) {NULL, emit_whole_##verb}
#define FORMS_same(verb) {emit_real_##verb, emit_whole_##verb}
#define FORMS_compare(verb) FORMS_same(verb)
#define FORMS_select(verb) {emit_any_##verb, emit_any_##verb}

static const struct {
    VERB_FORM((*real));
    VERB_FORM((*whole));
} forms[OP_COUNT] = {
#define OP(...)
#define COMPOSED(...)
#define VERB(verb, inputs, cost, shape_rule, ...) [OP_##verb] = FORMS_##shape_rule(verb),
#include "graph/ops.def"
#undef OP
};

/* The cast, which has a type besides its operand, is the only other operator of the
 * class. */
#define OP(name, inputs, attributes, class, ...) \
    _Static_assert((class) != CLASS_ELEMENTWISE || OP_##name == OP_cast, #name " is a row VERB or COMPOSED");
#define COMPOSED(...)
#define VERB(...)
#include "graph/ops.def"
#undef OP

static LLVMValueRef emit_verb(Module *m, Op verb, DType type, const LLVMValueRef *operands) {
    return (dtype_is_float(type) ? forms[verb].real : forms[verb].whole)(m, type, operands);
}

/* A term of an operator whose operands are of `type`. */
static LLVMValueRef emit_verb_term(Module *m, const Term *term, DType type, const LLVMValueRef *operands) {
    if (term->kind == TERM_OPERAND) return operands[term->operand];
    if (term->kind == TERM_NUMBER) return get_number(m, type, term->number, value_lanes(operands[0]));
    LLVMValueRef values[3] = {NULL};
    for (int i = 0; i < op_info[term->verb].max_inputs; i++)
        values[i] = emit_verb_term(m, term->operands[i], type, operands);
    return emit_verb(m, term->verb, term_type(term->operands[0], type), values);
}

LLVMValueRef emit_elementwise(Module *m, const Node *node, const LLVMValueRef *operands) {
    DType type = node->inputs[0]->shape.type;
    const Term *expression = op_expression(node->op);
    if (node->op == OP_cast) return emit_cast(m, operands[0], type, node->shape.type);
    return expression ? emit_verb_term(m, expression, type, operands)
                      : emit_verb(m, node->op, type, operands);
}
