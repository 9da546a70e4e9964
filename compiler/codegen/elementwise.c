/* The arithmetic of elementwise operators on registers.
 *
 * Floats: a multiply that feeds an add, and nothing else, may become one multiply-add, which rounds once where the text rounds twice:
 * an error of half a unit of the product less, and so a * b - c * d is as far from the text as that. Nothing is reassociated. min
 * and max give NaN where an operand is. Integers wrap; their division rounds down, and by zero gives 0; casts are those of
 * docs/language.md, as graph/number.c computes them. No operand makes a program trap. */
#include "codegen/codegen.h"
#include <math.h>

LLVMTypeRef get_register_type(Module *m, DType type, int lanes) {
    if (type == DTYPE_BOOL) return get_vector(m, m->i1, lanes);
    return get_vector(m, dtype_is_float(type) ? m->f32 : get_type(m, type), lanes);
}

LLVMValueRef get_exact(Module *m, DType type, Number value, int lanes) {
    LLVMTypeRef element = get_register_type(m, type, 1);
    bool real = dtype_is_float(type);
    return get_splat(m, real ? LLVMConstReal(element, value.real) : LLVMConstInt(element, (unsigned long long)value.whole, 1), lanes);
}

LLVMValueRef get_number(Module *m, DType type, double value, int lanes) {
    return get_exact(m, type, number_cast((Number){.real = value}, DTYPE_F32, type), lanes);
}

static int lanes_of(LLVMValueRef value) { return get_lanes(LLVMTypeOf(value)); }

/* ---- casts ---- */

static LLVMValueRef emit_float_to_int(Module *m, LLVMValueRef value, DType to) {
    LLVMTypeRef type = get_register_type(m, to, lanes_of(value));
    const char *name = "llvm.fptosi.sat";
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef overloads[] = {type, LLVMTypeOf(value)};
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(m->module, id, overloads, COUNT_OF(overloads));
    return LLVMBuildCall2(m->builder, LLVMGlobalGetValueType(function), function, &value, 1, "");
}

LLVMValueRef emit_cast(Module *m, LLVMValueRef value, DType from, DType to) {
    LLVMTypeRef type = get_register_type(m, to, lanes_of(value));
    if (from == to || type == LLVMTypeOf(value)) return emit_rounded(m, value, to);
    if (to == DTYPE_BOOL) {
        LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(value));
        if (dtype_is_float(from)) return LLVMBuildFCmp(m->builder, LLVMRealUNE, value, zero, "");
        return LLVMBuildICmp(m->builder, LLVMIntNE, value, zero, "");
    }
    LLVMValueRef one = get_number(m, to, 1, lanes_of(value));
    if (from == DTYPE_BOOL) return LLVMBuildSelect(m->builder, value, one, LLVMConstNull(type), "");
    if (dtype_is_float(from)) return emit_float_to_int(m, value, to);
    if (dtype_is_float(to)) return emit_rounded(m, LLVMBuildSIToFP(m->builder, value, type, ""), to);
    return LLVMBuildIntCast2(m->builder, value, type, 1, "");
}

/* ---- comparison ---- */

/* OP_eq, OP_ne, OP_lt, OP_le */
static LLVMValueRef emit_compare(Module *m, Op op, DType type, LLVMValueRef a, LLVMValueRef b) {
    static const struct { Op op; LLVMRealPredicate real; LLVMIntPredicate integer; } rows[] = {
        {OP_eq, LLVMRealOEQ, LLVMIntEQ},
        {OP_ne, LLVMRealUNE, LLVMIntNE},
        {OP_lt, LLVMRealOLT, LLVMIntSLT},
        {OP_le, LLVMRealOLE, LLVMIntSLE}};
    for (int i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].op != op) continue;
        if (dtype_is_float(type)) return LLVMBuildFCmp(m->builder, rows[i].real, a, b, "");
        LLVMIntPredicate integer = rows[i].integer;
        if (type == DTYPE_BOOL && integer == LLVMIntSLT) integer = LLVMIntULT; /* true is 1, not -1 */
        if (type == DTYPE_BOOL && integer == LLVMIntSLE) integer = LLVMIntULE;
        return LLVMBuildICmp(m->builder, integer, a, b, "");
    }
    INTERNAL_ERROR("%s is no comparison", op_info[op].name);
}

LLVMValueRef emit_above(Module *m, DType type, LLVMValueRef a, LLVMValueRef b) {
    if (!dtype_is_float(type)) return emit_compare(m, OP_lt, type, b, a);
    LLVMValueRef larger = LLVMBuildFCmp(m->builder, LLVMRealOGT, a, b, ""), nan = LLVMBuildFCmp(m->builder, LLVMRealUNO, a, a, "");
    LLVMValueRef only_nan = LLVMBuildAnd(m->builder, nan, LLVMBuildFCmp(m->builder, LLVMRealORD, b, b, ""), "");
    return LLVMBuildOr(m->builder, larger, only_nan, ""); /* one comparison less is possible, and has LLVM spill in max unpooling */
}

/* ---- minimum and maximum ---- */

static bool is_number(LLVMValueRef value) { /* a constant that is no NaN */
    if (!LLVMIsConstant(value)) return false;
    LLVMValueRef first = lanes_of(value) > 1 ? LLVMGetAggregateElement(value, 0) : value;
    LLVMBool loses;
    double number = first && LLVMIsAConstantFP(first) ? LLVMConstRealGetDouble(first, &loses) : NAN;
    return number == number;
}

/* x86 has "a > b ? a : b", which gives b where either is NaN: one instruction where a is a number, three otherwise. */
static LLVMValueRef emit_extreme(Module *m, DType type, LLVMRealPredicate real, LLVMIntPredicate integer, LLVMValueRef a,
                                 LLVMValueRef b) {
    if (type == DTYPE_BOOL) return integer == LLVMIntSGT ? LLVMBuildOr(m->builder, a, b, "") : LLVMBuildAnd(m->builder, a, b, "");
    if (!dtype_is_float(type)) return LLVMBuildSelect(m->builder, LLVMBuildICmp(m->builder, integer, a, b, ""), a, b, "");
    if (is_number(b)) {
        LLVMValueRef other = a;
        a = b;
        b = other;
    }
    LLVMValueRef value = LLVMBuildSelect(m->builder, LLVMBuildFCmp(m->builder, real, a, b, ""), a, b, "");
    if (is_number(a)) return value;
    return LLVMBuildSelect(m->builder, LLVMBuildFCmp(m->builder, LLVMRealUNO, a, a, ""), a, value, "");
}

LLVMValueRef emit_larger(Module *m, DType type, LLVMValueRef a, LLVMValueRef b) {
    return emit_extreme(m, type, LLVMRealOGT, LLVMIntSGT, a, b);
}

static LLVMValueRef emit_smaller(Module *m, DType type, LLVMValueRef a, LLVMValueRef b) {
    return emit_extreme(m, type, LLVMRealOLT, LLVMIntSLT, a, b);
}

/* ---- one operand ---- */

static LLVMValueRef emit_sign(Module *m, DType type, LLVMValueRef x) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(x));
    LLVMValueRef one = get_number(m, type, 1, lanes_of(x)), minus = get_number(m, type, -1, lanes_of(x));
    bool real = dtype_is_float(type);
    LLVMValueRef above = emit_compare(m, OP_lt, type, zero, x), below = emit_compare(m, OP_lt, type, x, zero);
    LLVMValueRef rest = real ? x : zero; /* zero, or NaN */
    return LLVMBuildSelect(m->builder, above, one, LLVMBuildSelect(m->builder, below, minus, rest, ""), "");
}

static LLVMValueRef emit_float_unary(Module *m, Op op, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    switch (op) {
    case OP_neg: return LLVMBuildFNeg(m->builder, x, "");
    case OP_abs: return emit_intrinsic(m, "llvm.fabs", type, &x, 1);
    case OP_floor: return emit_intrinsic(m, "llvm.floor", type, &x, 1);
    case OP_ceil: return emit_intrinsic(m, "llvm.ceil", type, &x, 1);
    case OP_round: return emit_intrinsic(m, "llvm.roundeven", type, &x, 1);
    case OP_sqrt: return emit_intrinsic(m, "llvm.sqrt", type, &x, 1);
    default: return emit_math(m, op, x, NULL);
    }
}

static LLVMValueRef emit_int_unary(Module *m, Op op, LLVMValueRef x) {
    switch (op) {
    case OP_neg: return LLVMBuildNeg(m->builder, x, "");
    case OP_abs: return emit_max(m, x, LLVMBuildNeg(m->builder, x, ""));
    case OP_floor: case OP_ceil: case OP_round: return x;
    default: INTERNAL_ERROR("%s has no form for integers", op_info[op].name);
    }
}

/* ---- two operands ---- */

/* The quotient, rounded down, or what it leaves; by 0 either is 0. The operands that would trap, a divisor of 0 and the smallest number by
 * -1, are divided by 1 instead. */
static LLVMValueRef emit_int_div(Module *m, Op op, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef zero = LLVMConstNull(type), ones = LLVMConstAllOnes(type), one = LLVMConstNeg(ones);
    LLVMValueRef by_zero = LLVMBuildICmp(m->builder, LLVMIntEQ, b, zero, "");
    LLVMValueRef by_minus = LLVMBuildICmp(m->builder, LLVMIntEQ, b, ones, "");
    LLVMValueRef divisor = LLVMBuildSelect(m->builder, LLVMBuildOr(m->builder, by_zero, by_minus, ""), one, b, "");
    LLVMValueRef quotient = LLVMBuildSDiv(m->builder, a, divisor, "");
    LLVMValueRef rest = LLVMBuildSub(m->builder, a, LLVMBuildMul(m->builder, quotient, divisor, ""), "");
    LLVMValueRef inexact = LLVMBuildICmp(m->builder, LLVMIntNE, rest, zero, "");
    LLVMValueRef unlike = LLVMBuildICmp(m->builder, LLVMIntSLT, LLVMBuildXor(m->builder, rest, divisor, ""), zero, "");
    LLVMValueRef below = LLVMBuildAnd(m->builder, inexact, unlike, "");
    if (op == OP_mod) return LLVMBuildAdd(m->builder, rest, LLVMBuildSelect(m->builder, below, divisor, zero, ""), "");
    LLVMValueRef value = LLVMBuildAdd(m->builder, quotient, LLVMBuildSExt(m->builder, below, type, ""), "");
    value = LLVMBuildSelect(m->builder, by_minus, LLVMBuildNeg(m->builder, a, ""), value, "");
    return LLVMBuildSelect(m->builder, by_zero, zero, value, "");
}

LLVMValueRef emit_sum(Module *m, DType type, LLVMValueRef a, LLVMValueRef b) {
    return dtype_is_float(type) ? emit_float(m, LLVMFAdd, a, b) : LLVMBuildAdd(m->builder, a, b, "");
}

static LLVMValueRef emit_arithmetic(Module *m, Op op, DType type, LLVMValueRef a, LLVMValueRef b) {
    bool real = dtype_is_float(type);
    switch (op) {
    case OP_add: return emit_sum(m, type, a, b);
    case OP_sub: return real ? emit_float(m, LLVMFSub, a, b) : LLVMBuildSub(m->builder, a, b, "");
    case OP_mul: return real ? emit_float(m, LLVMFMul, a, b) : LLVMBuildMul(m->builder, a, b, "");
    case OP_div: return real ? emit_float(m, LLVMFDiv, a, b) : emit_int_div(m, op, a, b);
    case OP_floor_div: case OP_mod: return real ? emit_math(m, op, a, b) : emit_int_div(m, op, a, b);
    case OP_min: return emit_smaller(m, type, a, b);
    case OP_max: return emit_larger(m, type, a, b);
    case OP_pow: return emit_math(m, op, a, b);
    case OP_and: return LLVMBuildAnd(m->builder, a, b, "");
    case OP_or: return LLVMBuildOr(m->builder, a, b, "");
    default: return emit_compare(m, op, type, a, b);
    }
}

LLVMValueRef emit_elementwise(Module *m, const Node *node, LLVMValueRef *operands) {
    DType type = node->inputs[0]->shape.type;
    LLVMValueRef a = operands[0];
    switch (node->op) {
    case OP_stop: return a;
    case OP_cast: return emit_cast(m, a, type, node->shape.type);
    case OP_not: return LLVMBuildNot(m->builder, a, "");
    case OP_sign: return emit_sign(m, type, a);
    case OP_select: return LLVMBuildSelect(m->builder, a, operands[1], operands[2], "");
    default: break;
    }
    if (node->input_count == 2) return emit_arithmetic(m, node->op, type, a, operands[1]);
    return dtype_is_float(type) ? emit_float_unary(m, node->op, a) : emit_int_unary(m, node->op, a);
}
