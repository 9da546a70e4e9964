/* exp, exp2, expm1, log, log1p, tanh, sigmoid, silu, gelu, erf, sin, cos, pow, floor_div
 * and mod on registers: scalars or vectors of f32, without branches.
 *
 * Largest error in ULP over all f32 against the exact value, as measured by
 * CAI_SWEEP=1 build/unit_tests math:
 *
 *     exp      1.01      log      1.55      tanh     1.34      sigmoid  2.41      erf      1.21
 *     exp2     0.96      log1p    1.90      silu     3.10
 *     expm1    1.60
 *     gelu     within 2^-24 |x|, which is no bound in ULP in the tail below 0
 *     gelu_slope  within 2 * 2^-24
 *     sin, cos 0.50 for |x| < 2^30; beyond, the argument is reduced less well, and results
 *              stay within -1 .. 1
 *     pow      1, over the operands of the tests
 *     floor_div, mod  0.5: exact, and rounded once
 *
 * Denormal arguments and results, infinities and NaN are as IEEE 754 has them. (Programs
 * run with denormals flushed to zero: see cai_flush_denormals.) Polynomials are minimax
 * in relative error. sin, cos, pow, floor_div and mod compute in f64: they are rare, so
 * the simplest way to be accurate is good enough. */
#include "codegen/elementwise.h"

/* ---- words to write formulas with ---- */

/* A constant of the same type as `like`, a float of any width. */
static LLVMValueRef number_like(LLVMValueRef like, double value, Module *m) {
    return get_splat(m, LLVMConstReal(get_element_type(LLVMTypeOf(like)), value), value_lanes(like));
}

static LLVMValueRef bits_like(Module *m, LLVMValueRef like, int64_t value) {
    return get_splat(m, LLVMConstInt(get_element_type(LLVMTypeOf(like)), (unsigned long long)value, 1),
                     value_lanes(like));
}

static LLVMValueRef fadd(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFAdd(m->builder, a, b, "");
}
static LLVMValueRef fsub(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFSub(m->builder, a, b, "");
}
static LLVMValueRef fmul(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFMul(m->builder, a, b, "");
}
static LLVMValueRef fdiv(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFDiv(m->builder, a, b, "");
}
static LLVMValueRef fpick(Module *m, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(m->builder, c, a, b, "");
}

static LLVMValueRef fneg(Module *m, LLVMValueRef a) { return LLVMBuildFNeg(m->builder, a, ""); }
static LLVMValueRef unary_intrinsic(Module *m, const char *name, LLVMValueRef a) {
    return emit_intrinsic(m, name, LLVMTypeOf(a), &a, 1);
}

static LLVMValueRef is_nan(Module *m, LLVMValueRef a) {
    return LLVMBuildFCmp(m->builder, LLVMRealUNO, a, a, "");
}
static LLVMValueRef mask_and(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildAnd(m->builder, a, b, "");
}
static LLVMValueRef mask_or(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildOr(m->builder, a, b, "");
}
static LLVMValueRef mask_not(Module *m, LLVMValueRef a) { return LLVMBuildNot(m->builder, a, ""); }

/* max(x, low); NaN stays, since a comparison with it is false. */
static LLVMValueRef at_least(Module *m, LLVMValueRef x, double low) {
    LLVMValueRef least = number_like(x, low, m);
    return fpick(m, LLVMBuildFCmp(m->builder, LLVMRealOGT, least, x, ""), least, x);
}

static LLVMValueRef at_most(Module *m, LLVMValueRef x, double high) {
    LLVMValueRef max = number_like(x, high, m);
    return fpick(m, LLVMBuildFCmp(m->builder, LLVMRealOLT, max, x, ""), max, x);
}

static LLVMValueRef fclamp(Module *m, LLVMValueRef x, double low, double high) {
    return at_most(m, at_least(m, x, low), high);
}

static LLVMValueRef fcompare(Module *m, LLVMRealPredicate predicate, LLVMValueRef a, double b) {
    return LLVMBuildFCmp(m->builder, predicate, a, number_like(a, b, m), "");
}

static LLVMValueRef with_sign_of(Module *m, LLVMValueRef magnitude, LLVMValueRef sign) {
    return emit_intrinsic(m, "llvm.copysign", LLVMTypeOf(magnitude), (LLVMValueRef[]){magnitude, sign}, 2);
}

/* c[0] + x c[1] + x^2 c[2] + .. by Horner's rule. */
static LLVMValueRef emit_horner(Module *m, LLVMValueRef x, const double *c, int count) {
    LLVMValueRef sum = number_like(x, c[count - 1], m);
    for (int i = count - 2; i >= 0; i--) sum = emit_muladd(m, sum, x, number_like(x, c[i], m));
    return sum;
}
#define POLYNOMIAL(m, x, ...) \
    emit_horner(m, x, (const double[]){__VA_ARGS__}, COUNT_OF(((double[]){__VA_ARGS__})))

/* ---- exp ---- */

static bool has_scalef(Module *m, LLVMValueRef value) {
    return m->target->scalef && value_lanes(value) == m->target->lanes;
}

static LLVMValueRef emit_scalef(Module *m, LLVMValueRef value, LLVMValueRef n) {
    LLVMValueRef all = LLVMConstAllOnes(m->i16), as_is = get_i32(m, 4); /* no mask, the current rounding */
    LLVMValueRef args[] = {value, n, LLVMConstNull(LLVMTypeOf(value)), all, as_is};
    return emit_intrinsic(m, "llvm.x86.avx512.mask.scalef.ps.512", NULL, args, COUNT_OF(args));
}

/* An integral float as an integer; any integer for NaN, for which the conversion is
 * undefined. */
static LLVMValueRef as_integer(Module *m, LLVMValueRef n) {
    LLVMTypeRef ints = get_vector(m, m->i32, value_lanes(n));
    return LLVMBuildFreeze(m->builder, LLVMBuildFPToSI(m->builder, n, ints, ""), "");
}

/* p 2^n for an integral n of either sign up to 254, in two steps so that results may be
 * denormal. Where n is NaN, so is p, and p stays. */
static LLVMValueRef scaled_by_exponent(Module *m, LLVMValueRef p, LLVMValueRef n) {
    if (has_scalef(m, p)) return emit_scalef(m, p, n);
    LLVMValueRef integer = as_integer(m, n),
                 half = LLVMBuildAShr(m->builder, integer, bits_like(m, integer, 1), "");
    LLVMValueRef parts[] = {half, LLVMBuildSub(m->builder, integer, half, "")};
    for (int i = 0; i < 2; i++) {
        LLVMValueRef exponent =
            LLVMBuildShl(m->builder, LLVMBuildAdd(m->builder, parts[i], bits_like(m, integer, 127), ""),
                         bits_like(m, integer, 23), "");
        p = fmul(m, p, LLVMBuildBitCast(m->builder, exponent, LLVMTypeOf(p), ""));
    }
    return p;
}

/* The r within half of ln 2 for which x = n ln 2 + r. */
static LLVMValueRef reduce_by_ln2(Module *m, LLVMValueRef x, LLVMValueRef *n) {
    *n = unary_intrinsic(m, "llvm.roundeven", fmul(m, x, number_like(x, 1.44269504088896341, m)));
    LLVMValueRef r = emit_muladd(m, *n, number_like(x, -0x1.62e400p-1, m), x);
    return emit_muladd(m, *n, number_like(x, -0x1.7f7d1cp-20, m), r);
}

/* The e^r of e^x = 2^n e^r. */
static LLVMValueRef exp_parts(Module *m, LLVMValueRef x, LLVMValueRef *n) {
    LLVMValueRef r = reduce_by_ln2(m, x, n);
    LLVMValueRef q = POLYNOMIAL(m, r, 0.49999993051696506, 0.16666514794463329, 0.041668456405742573,
                                0.0083694186438869469, 0.0013813169749625339);
    return fadd(m, emit_muladd(m, fmul(m, r, r), q, r), number_like(x, 1, m));
}

static LLVMValueRef emit_exp(Module *m, LLVMValueRef x) {
    LLVMValueRef n, p = exp_parts(m, fclamp(m, x, -104, 89), &n);
    return scaled_by_exponent(m, p, n);
}

REAL(exp, emit_exp(m, x))

/* 2^x = 2^n 2^r, n = round(x). e^(a - b) takes thirteen instructions as 2^((a - b) log2
 * e), and sixteen by exp. */
static LLVMValueRef emit_exp2(Module *m, LLVMValueRef x) {
    x = fclamp(m, x, -151, 129);
    LLVMValueRef n = unary_intrinsic(m, "llvm.roundeven", x);
    LLVMValueRef p =
        POLYNOMIAL(m, fsub(m, x, n), 1.0, 0.693147202855046, 0.24022647913631978, 0.055503324711584284,
                   0.009618437357455333, 0.0013398874403834221, 0.0001535336194253556);
    return scaled_by_exponent(m, p, n);
}

REAL(exp2, emit_exp2(m, x))

/* 1 / 2^n for integral n from -126 to 128; 0 or nearly 0 above 126. For NaN, any
 * number. */
static LLVMValueRef inverse_power(Module *m, LLVMValueRef n) {
    if (has_scalef(m, n)) return emit_scalef(m, number_like(n, 1, m), fneg(m, n));
    LLVMValueRef integer = as_integer(m, n),
                 exponent = LLVMBuildSub(m->builder, bits_like(m, integer, 127), integer, "");
    exponent = emit_intrinsic(m, "llvm.smax", LLVMTypeOf(exponent),
                              (LLVMValueRef[]){exponent, bits_like(m, integer, 0)}, 2);
    return LLVMBuildBitCast(m->builder, LLVMBuildShl(m->builder, exponent, bits_like(m, integer, 23), ""),
                            LLVMTypeOf(n), "");
}

/* e^x - 1 = 2^n (e^r - 1 + (1 - 2^-n)), where the second difference is exact as far as it
 * matters, and 0 for x near 0. */
static LLVMValueRef emit_expm1(Module *m, LLVMValueRef x) {
    x = fclamp(m, x, -18, 89);
    LLVMValueRef n, r = reduce_by_ln2(m, x, &n);
    LLVMValueRef q = POLYNOMIAL(m, r, 0.4999999813292884, 0.1666654268429627, 0.04166720391870717,
                                0.008366646821177368, 0.0013882497556057323);
    LLVMValueRef p = emit_muladd(m, fmul(m, r, r), q, r);
    LLVMValueRef value =
        scaled_by_exponent(m, fadd(m, p, fsub(m, number_like(x, 1, m), inverse_power(m, n))), n);
    return with_sign_of(m, value, x); /* -0 stays -0 */
}

REAL(expm1, emit_expm1(m, x))

/* ---- log ---- */

/* x = 2^e (1 + f), 1 + f between sqrt(1/2) and sqrt(2), for positive x that is not
 * denormal. */
static LLVMValueRef split_normal(Module *m, LLVMValueRef x, LLVMValueRef *e) {
    LLVMValueRef word = LLVMBuildBitCast(m->builder, x, get_vector(m, m->i32, value_lanes(x)), "");
    LLVMValueRef above = LLVMBuildSub(m->builder, word, bits_like(m, word, 0x3f3504f3), "");
    LLVMValueRef exponent = LLVMBuildAShr(m->builder, above, bits_like(m, word, 23), "");
    LLVMValueRef mantissa =
        LLVMBuildSub(m->builder, word, LLVMBuildShl(m->builder, exponent, bits_like(m, word, 23), ""), "");
    *e = LLVMBuildSIToFP(m->builder, exponent, LLVMTypeOf(x), "");
    return fsub(m, LLVMBuildBitCast(m->builder, mantissa, LLVMTypeOf(x), ""), number_like(x, 1, m));
}

/* The same for any positive x: denormals are scaled up first. */
static LLVMValueRef split_exponent(Module *m, LLVMValueRef x, LLVMValueRef *e) {
    LLVMValueRef tiny = fcompare(m, LLVMRealOLT, x, 0x1p-126);
    LLVMValueRef f = split_normal(m, fpick(m, tiny, fmul(m, x, number_like(x, 0x1p23, m)), x), e);
    *e = fadd(m, *e, fpick(m, tiny, number_like(x, -23, m), number_like(x, 0, m)));
    return f;
}

/* The logarithm at 0, below 0, at infinity and NaN, for which `value` is meaningless. */
static LLVMValueRef log_at_ends(Module *m, LLVMValueRef x, LLVMValueRef value) {
    value = fpick(m, fcompare(m, LLVMRealOEQ, x, __builtin_inf()), x, value);
    value = fpick(m, fcompare(m, LLVMRealOEQ, x, 0), number_like(x, -__builtin_inf(), m), value);
    value = fpick(m, is_nan(m, x), x, value);
    return fpick(m, fcompare(m, LLVMRealOLT, x, 0), number_like(x, __builtin_nan(""), m), value);
}

/* log(2^e (1 + f)) */
static LLVMValueRef log_of_parts(Module *m, LLVMValueRef e, LLVMValueRef f) {
    LLVMValueRef q = POLYNOMIAL(m, f, 0.33333312606991774, -0.25000009543737653, 0.20002118370787067,
                                -0.16667998919686371, 0.14219561438722345, -0.12405538368376073,
                                0.11888040027266606, -0.11675913060537103, 0.067472422384361465);
    LLVMValueRef square = fmul(m, f, f);
    LLVMValueRef small = emit_muladd(m, fmul(m, square, f), q, fmul(m, e, number_like(e, -2.12194440e-4, m)));
    small = emit_muladd(m, square, number_like(f, -0.5, m), small);
    return fadd(m, emit_muladd(m, e, number_like(e, 0.693359375, m), small), f);
}

static LLVMValueRef emit_log(Module *m, LLVMValueRef x) {
    LLVMValueRef e, f = split_exponent(m, x, &e);
    return log_at_ends(m, x, log_of_parts(m, e, f));
}

REAL(log, emit_log(m, x))

/* The logarithm of the rounded 1 + x; what was rounded off is added to f. For x near 0
 * that makes f equal to x. */
static LLVMValueRef emit_log1p(Module *m, LLVMValueRef x) {
    LLVMValueRef one = number_like(x, 1, m), sum = fadd(m, x, one);
    LLVMValueRef e, f = split_normal(m, sum, &e);
    LLVMValueRef rounded_off = fsub(m, x, fsub(m, sum, one));
    LLVMValueRef value = log_of_parts(m, e, emit_muladd(m, rounded_off, inverse_power(m, e), f));
    return with_sign_of(m, log_at_ends(m, sum, value), x); /* -0 stays -0 */
}

REAL(log1p, emit_log1p(m, x))

/* ---- tanh, sigmoid, silu, erf ---- */

/* Near 0 an odd polynomial; else 1 - 2 / (e^2|x| + 1). */
static LLVMValueRef emit_tanh(Module *m, LLVMValueRef x) {
    LLVMValueRef magnitude = unary_intrinsic(m, "llvm.fabs", x), one = number_like(x, 1, m);
    LLVMValueRef e = emit_exp(m, fadd(m, magnitude, magnitude));
    LLVMValueRef large = fsub(m, one, fdiv(m, number_like(x, 2, m), fadd(m, e, one)));
    LLVMValueRef z = fmul(m, x, x);
    LLVMValueRef q = POLYNOMIAL(m, z, -0.33333262880727868, 0.13330899734399926, -0.053692966473716246,
                                0.020483312184103712, -0.0055286301083347164);
    LLVMValueRef small = emit_muladd(m, fmul(m, z, magnitude), q, magnitude);
    return with_sign_of(m, fpick(m, fcompare(m, LLVMRealOLT, magnitude, 0.625), small, large), x);
}

REAL(tanh, emit_tanh(m, x))

/* -|x|, or -110, of which e is 0 as well. */
static LLVMValueRef below_zero(Module *m, LLVMValueRef x) {
    return at_least(m, fneg(m, unary_intrinsic(m, "llvm.fabs", x)), -110);
}

/* By e = exp(-|x|), which neither overflows nor loses precision in the tail below 0. */
static LLVMValueRef emit_sigmoid(Module *m, LLVMValueRef x) {
    LLVMValueRef n, p = exp_parts(m, below_zero(m, x), &n), e = scaled_by_exponent(m, p, n),
                    one = number_like(x, 1, m);
    return fdiv(m, fpick(m, fcompare(m, LLVMRealOLT, x, 0), e, one), fadd(m, e, one));
}

REAL(sigmoid, emit_sigmoid(m, x))

/* x times the sigmoid, except that below 0 the power of 2 is multiplied last: where e is
 * denormal, the product is not yet. */
static LLVMValueRef emit_silu(Module *m, LLVMValueRef x) {
    LLVMValueRef n, p = exp_parts(m, below_zero(m, x), &n), e = scaled_by_exponent(m, p, n);
    LLVMValueRef quotient = fdiv(m, at_least(m, x, -110), fadd(m, e, number_like(x, 1, m)));
    return fpick(m, fcompare(m, LLVMRealOLT, x, 0), scaled_by_exponent(m, fmul(m, quotient, p), n), quotient);
}

REAL(silu, emit_silu(m, x))

/* Near 0 an odd polynomial; else 1 - exp(-t q(t)), t = |x| up to 4, beyond which the
 * result is 1. */
static LLVMValueRef emit_erf(Module *m, LLVMValueRef x) {
    LLVMValueRef magnitude = unary_intrinsic(m, "llvm.fabs", x), t = at_most(m, magnitude, 4);
    LLVMValueRef q =
        POLYNOMIAL(m, t, 1.1286521858337115, 0.63513581465803588, 0.10626331169022301, -0.023785493093459989,
                   0.0036538344240051679, -0.00032567027746190307, 1.1524068327790381e-5);
    LLVMValueRef large = fsub(m, number_like(x, 1, m), emit_exp(m, fneg(m, fmul(m, t, q))));
    LLVMValueRef z = fmul(m, x, x);
    LLVMValueRef p = POLYNOMIAL(m, z, 0.12837915003854727, -0.37612494314125876, 0.11281802742437294,
                                -0.026765566107373242, 0.0049909791919759321, -0.0005976889327853439);
    LLVMValueRef small = emit_muladd(m, magnitude, p, magnitude);
    return with_sign_of(m, fpick(m, fcompare(m, LLVMRealOLT, magnitude, 0.92), small, large), x);
}

REAL(erf, emit_erf(m, x))

/* ---- gelu and its slope: a polynomial for each of eight segments ---- */

/* gelu(x) = max(x, 0) - r(t), where r(t) = t Phi(-t), t = |x| up to 5.5, and r(5.5) is
 * taken to be 0. On each of eight segments 0.75 wide r is c + d p(d), d = t - its centre.
 *
 * Where the result is just above a power of 2, its own rounding may be all of 2^-24 |x|.
 * So nothing else is rounded but p, which counts little: the centres, near the multiples
 * of 0.75, are numbers where r is nearly an integer multiple of the last place of the
 * segment's x, so that max(x, 0) - c is exact. The ends of the range are their own
 * centres, with c = 0: there the error is relative to r. Polynomials are minimax relative
 * to r.
 *
 * A permutation picks the coefficients of a segment. All takes 22 instructions, a third
 * of those of gelu by erf. */
enum { SEGMENTS = 8, GELU_TERMS = 7, SLOPE_TERMS = 8 };

static const double gelu_centres[SEGMENTS] = {
    0, 0.771573663, 1.50034523, 2.25148654, 3.00253606, 3.75090647, 4.50752592, 5.5,
};
static const double gelu_at_centres[SEGMENTS] = {
    0, 0.169887781, 0.100166798, 0.0274171829, 0.00401949883, 0.000330448151, 1.47819519e-05, 0,
};
static const double gelu_polynomials[GELU_TERMS][SEGMENTS] = {
    {0.5, -0.00838381052, -0.127457991, -0.0590453446, -0.0118671823, -0.00122996501, -6.63667233e-05,
     -9.07603351e-07},
    {-0.398942322, -0.208057255, 0.0162482094, 0.0485449918, 0.0154273147, 0.00212055934, 0.000141515673,
     1.25172187e-06},
    {1.92352559e-06, 0.129700229, 0.05661406, -0.0126910442, -0.0110385828, -0.00221209717, -0.000189398881,
     -2.62805543e-06},
    {0.066459991, 0.00232218881, -0.0360783152, -0.0076353387, 0.00406326819, 0.00151537824, 0.000176716014,
     2.89045784e-06},
    {0.000223188559, -0.0224976726, 0.00273994426, 0.00715023, -8.77720686e-06, -0.000670670241,
     -0.000120552249, -4.08673304e-06},
    {-0.0108114956, 0.00268410286, 0.00479888311, -0.0016857821, -0.000780375209, 0.000147273138,
     6.10504649e-05, -1.42227819e-07},
    {0.00157122221, 0.00270027551, -0.00144858495, -0.000359599682, 0.000346258865, 1.4991555e-05,
     -1.99433343e-05, -3.54514509e-06},
};

/* The instruction that permutes the eight or sixteen lanes of a vector, or NULL. */
static const char *permutation_of(const Module *m, int lanes) {
    if (!m->target->permutes || lanes > m->target->lanes) return NULL;
    return lanes == 8 ? "llvm.x86.avx2.permps" : lanes == 16 ? "llvm.x86.avx512.permvar.sf.512" : NULL;
}

/* The coefficient for each lane's segment, by the low three bits of `index`; other bits
 * may be set too. */
static LLVMValueRef pick_number(Module *m, const double *table, LLVMValueRef index) {
    int lanes = value_lanes(index);
    const char *permutation = permutation_of(m, lanes);
    LLVMValueRef numbers[2 * SEGMENTS];
    for (int i = 0; i < COUNT_OF(numbers); i++) numbers[i] = LLVMConstReal(m->f32, table[i % SEGMENTS]);
    LLVMValueRef all = LLVMConstVector(numbers, lanes == 16 ? 16 : SEGMENTS);
    if (permutation) return emit_intrinsic(m, permutation, NULL, (LLVMValueRef[]){all, index}, 2);
    index = LLVMBuildAnd(m->builder, index, bits_like(m, index, SEGMENTS - 1), "");
    if (lanes == 1) return LLVMBuildExtractElement(m->builder, all, index, "");
    LLVMValueRef picked = LLVMGetPoison(get_vector(m, m->f32, lanes));
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef at = get_i32(m, i), one = LLVMBuildExtractElement(m->builder, index, at, "");
        one = LLVMBuildExtractElement(m->builder, all, one, "");
        picked = LLVMBuildInsertElement(m->builder, picked, one, at, "");
    }
    return picked;
}

/* The segment of t. A float near 1.5 * 2^23 has no bits for fractions: its low bits are
 * the rounded quotient. */
static LLVMValueRef find_segment(Module *m, LLVMValueRef t, double width) {
    LLVMValueRef sum = emit_muladd(m, t, number_like(t, 1 / width, m), number_like(t, 0x1.8p23, m));
    return LLVMBuildBitCast(m->builder, sum, get_vector(m, m->i32, value_lanes(t)), "");
}

static LLVMValueRef emit_polynomial_of_segment(Module *m, LLVMValueRef d, LLVMValueRef segment,
                                               const double (*numbers)[SEGMENTS], int terms) {
    LLVMValueRef p = pick_number(m, numbers[terms - 1], segment);
    for (int i = terms - 2; i >= 0; i--) p = emit_muladd(m, p, d, pick_number(m, numbers[i], segment));
    return p;
}

static LLVMValueRef emit_gelu(Module *m, LLVMValueRef x) {
    LLVMValueRef t = at_most(m, unary_intrinsic(m, "llvm.fabs", x), 5.5), segment = find_segment(m, t, 0.75);
    LLVMValueRef d = fsub(m, t, pick_number(m, gelu_centres, segment));
    LLVMValueRef p = emit_polynomial_of_segment(m, d, segment, gelu_polynomials, GELU_TERMS);
    LLVMValueRef above = fsub(m, at_least(m, x, 0), pick_number(m, gelu_at_centres, segment));
    return emit_muladd(m, fneg(m, d), p, above);
}

REAL(gelu, emit_gelu(m, x))

/* The slope at -t, t = |x| up to 5.99: Phi(-t) - t phi(t); at t it is 1 less that. The
 * last segment's centre is its end, where the slope, -3.6e-8, is taken to be 0. */
static const double slope_centres[SEGMENTS] = {
    0, 0.800000012, 1.60000002, 2.4000001, 3.20000005, 4, 4.80000019, 5.98999977,
};
static const double slope_polynomials[SLOPE_TERMS][SEGMENTS] = {
    {0.5, -0.0198978391, -0.122674055, -0.0455493256, -0.00694194343, -0.000503649702, -1.82209005e-05, 0},
    {-0.797884583, -0.393980533, 0.0621156543, 0.0842034668, 0.0196448844, 0.00187361753, 8.33462036e-05,
     4.8619363e-06},
    {6.10253437e-07, 0.38934356, 0.127782658, -0.0472977608, -0.0238027722, -0.00321189291, -0.000181015974,
     9.33339252e-05},
    {0.265949726, -0.00339684007, -0.136180386, -0.0117308823, 0.0147724962, 0.00330145285, 0.00024659693,
     0.000714338734},
    {0.000111044894, -0.109729923, 0.0266109854, 0.027299149, -0.00324674463, -0.00218734355, -0.000233959378,
     0.00257738074},
    {-0.060396295, 0.0201111771, 0.0226218943, -0.0119111212, -0.00198377483, 0.000886186725, 0.000162067197,
     0.0047887899},
    {0.00146053359, 0.0171542093, -0.0110159963, -0.00045078664, 0.00184781395, -0.000119242453,
     -8.25873358e-05, 0.00440646941},
    {0.00780344661, -0.00501862681, -0.000892911339, 0.00194607698, -0.000538997352, -6.83159888e-05,
     2.60941524e-05, 0.00159576104},
};

static LLVMValueRef emit_gelu_slope(Module *m, LLVMValueRef x) {
    LLVMValueRef t = at_most(m, unary_intrinsic(m, "llvm.fabs", x), 5.99), segment = find_segment(m, t, 0.8);
    LLVMValueRef d = fsub(m, t, pick_number(m, slope_centres, segment));
    LLVMValueRef below = emit_polynomial_of_segment(m, d, segment, slope_polynomials, SLOPE_TERMS);
    return fpick(m, fcompare(m, LLVMRealOLT, x, 0), below, fsub(m, number_like(x, 1, m), below));
}

REAL(gelu_slope, emit_gelu_slope(m, x))

/* ---- in f64: sin, cos, pow, floor_div, mod ---- */

static LLVMValueRef widen_to_f64(Module *m, LLVMValueRef x) {
    return LLVMBuildFPExt(m->builder, x, get_vector(m, m->f64, value_lanes(x)), "");
}

static LLVMValueRef narrow_to_f32(Module *m, LLVMValueRef x) {
    return LLVMBuildFPTrunc(m->builder, x, get_vector(m, m->f32, value_lanes(x)), "");
}

/* With n quarter turns and the rest r within half a quarter turn, sin(x + turns * pi/2)
 * is +- sin r or +- cos r by n mod 4. */
static LLVMValueRef emit_sine(Module *m, LLVMValueRef argument, int turns) {
    LLVMValueRef x = widen_to_f64(m, argument);
    LLVMValueRef n = unary_intrinsic(m, "llvm.roundeven", fmul(m, x, number_like(x, 0.63661977236758134, m)));
    LLVMValueRef r = emit_muladd(m, n, number_like(x, -0x1.921fb54442d18p0, m), x);
    r = emit_muladd(m, n, number_like(x, -0x1.1a62633145c07p-54, m), r);
    LLVMValueRef z = fmul(m, r, r);
    LLVMValueRef s = POLYNOMIAL(m, z, -0.16666666666631271, 0.0083333333252124486, -0.00019841263789699944,
                                2.7555350521078891e-6, -2.4761117113649135e-8);
    LLVMValueRef c = POLYNOMIAL(m, z, 0.041666666666601612, -0.0013888888878189444, 2.4801580933760129e-5,
                                -2.7555560147999271e-7, 2.064728272272466e-9);
    s = emit_muladd(m, fmul(m, z, r), s, r);
    c = emit_muladd(m, fmul(m, z, z), c, emit_muladd(m, z, number_like(x, -0.5, m), number_like(x, 1, m)));
    /* n mod 4 without an integer that could overflow: n - 4 floor(n / 4). */
    n = fadd(m, n, number_like(x, turns, m));
    LLVMValueRef quarter = emit_muladd(
        m, unary_intrinsic(m, "llvm.floor", fmul(m, n, number_like(x, 0.25, m))), number_like(x, -4, m), n);
    LLVMValueRef odd = mask_or(m, fcompare(m, LLVMRealOEQ, quarter, 1), fcompare(m, LLVMRealOEQ, quarter, 3));
    LLVMValueRef value = fpick(m, odd, c, s);
    value = fpick(m, fcompare(m, LLVMRealOGE, quarter, 2), fneg(m, value), value);
    value = narrow_to_f32(m, fclamp(m, value, -1, 1));
    return turns ? value : fpick(m, fcompare(m, LLVMRealOEQ, argument, 0), argument, value); /* -0 stays -0 */
}

REAL(sin, emit_sine(m, x, 0))
REAL(cos, emit_sine(m, x, 1))

/* log2 of a positive f32, in f64: with s = f / (2 + f), log(1 + f) = 2 (s + s^3/3 + s^5/5
 * + ..). */
static LLVMValueRef emit_log2_wide(Module *m, LLVMValueRef x) {
    LLVMValueRef e, f = widen_to_f64(m, split_exponent(m, x, &e));
    LLVMValueRef s = fdiv(m, f, fadd(m, f, number_like(f, 2, m))), z = fmul(m, s, s);
    LLVMValueRef q = POLYNOMIAL(m, z, 1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13);
    return emit_muladd(m, fmul(m, s, q), number_like(f, 2 * 1.44269504088896341, m), widen_to_f64(m, e));
}

static LLVMValueRef emit_exp2_wide(Module *m, LLVMValueRef x) {
    x = fclamp(m, x, -160, 140);
    LLVMValueRef n = unary_intrinsic(m, "llvm.roundeven", x), r = fsub(m, x, n);
    LLVMValueRef p = POLYNOMIAL(m, r, 0.99999999999971068, 0.6931471805442342, 0.24022650699387828,
                                0.055504109484576431, 0.009618128471974751, 0.0013333444373543813,
                                0.00015403878045484632, 1.531202995679951e-5, 1.3174290739242017e-6);
    LLVMValueRef integer = as_integer(m, n);
    LLVMValueRef wide =
        LLVMBuildSExt(m->builder, LLVMBuildAdd(m->builder, integer, bits_like(m, integer, 1023), ""),
                      get_vector(m, m->i64, value_lanes(x)), "");
    return fmul(m, p,
                LLVMBuildBitCast(m->builder, LLVMBuildShl(m->builder, wide, bits_like(m, wide, 52), ""),
                                 LLVMTypeOf(x), ""));
}

static LLVMValueRef is_integral(Module *m, LLVMValueRef a) {
    return LLVMBuildFCmp(m->builder, LLVMRealOEQ, unary_intrinsic(m, "llvm.floor", a), a, "");
}

/* a^b with the special cases of C's pow. For |a| = 0, infinity or NaN the logarithm gives
 * what the product with b needs; the rest is the sign, and the two cases that are 1
 * whatever the other operand. */
static LLVMValueRef emit_pow(Module *m, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef magnitude = unary_intrinsic(m, "llvm.fabs", a);
    LLVMValueRef log = emit_log2_wide(m, magnitude);
    log = fpick(m, fcompare(m, LLVMRealOEQ, magnitude, 0), number_like(log, -__builtin_inf(), m), log);
    log = fpick(m, fcompare(m, LLVMRealUEQ, magnitude, __builtin_inf()), widen_to_f64(m, magnitude), log);
    LLVMValueRef value = narrow_to_f32(m, emit_exp2_wide(m, fmul(m, log, widen_to_f64(m, b))));
    LLVMValueRef integral = is_integral(m, b),
                 odd = mask_and(m, integral, mask_not(m, is_integral(m, fmul(m, b, number_like(b, 0.5, m)))));
    value = fpick(m, odd, with_sign_of(m, value, a), value);
    LLVMValueRef negative_number =
        mask_and(m, fcompare(m, LLVMRealOLT, a, 0), fcompare(m, LLVMRealOGT, a, -__builtin_inf()));
    value = fpick(m, mask_and(m, negative_number, mask_not(m, integral)),
                  number_like(a, __builtin_nan(""), m), value);
    LLVMValueRef minus_one =
        mask_and(m, fcompare(m, LLVMRealOEQ, a, -1),
                 fcompare(m, LLVMRealOEQ, unary_intrinsic(m, "llvm.fabs", b), __builtin_inf()));
    LLVMValueRef is_one = mask_or(m, fcompare(m, LLVMRealOEQ, a, 1), fcompare(m, LLVMRealOEQ, b, 0));
    return fpick(m, mask_or(m, is_one, minus_one), number_like(a, 1, m), value);
}

REAL(pow, emit_pow(m, x, y))

/* A divisor in f64. An infinite one becomes finite but remains beyond every f32: the
 * floor of the quotient is 0 or -1. */
static LLVMValueRef widen_divisor(Module *m, LLVMValueRef b) {
    return fclamp(m, widen_to_f64(m, b), -0x1p200, 0x1p200);
}

/* Whether a is infinite and b is not 0, for which numpy gives NaN. */
static LLVMValueRef has_no_floor(Module *m, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef infinite = fcompare(m, LLVMRealOEQ, unary_intrinsic(m, "llvm.fabs", a), __builtin_inf());
    return mask_and(m, infinite, fcompare(m, LLVMRealUNE, b, 0));
}

/* Below 2^28 no quotient of two f32 is so close to an integer that f64 rounds it to that
 * integer. */
static LLVMValueRef emit_float_floor_div(Module *m, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef quotient =
        unary_intrinsic(m, "llvm.floor", fdiv(m, widen_to_f64(m, a), widen_divisor(m, b)));
    return fpick(m, has_no_floor(m, a, b), number_like(a, __builtin_nan(""), m), narrow_to_f32(m, quotient));
}

REAL(floor_div, emit_float_floor_div(m, x, y))

enum { MOD_STEPS = 6 }; /* quotients of f32 end below 2^277, and each step takes 51 bits off */

/* The remainder of a, exactly: each step subtracts an integer multiple of b, in the end
 * the nearest one, which leaves at most b/2 of either sign. Where the sign is not that of
 * b, b is added. */
static LLVMValueRef emit_mod(Module *m, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef rest = widen_to_f64(m, a), divisor = widen_divisor(m, b),
                 inverse = fdiv(m, number_like(rest, 1, m), divisor);
    for (int i = 0; i < MOD_STEPS; i++) {
        LLVMValueRef multiple = unary_intrinsic(m, "llvm.roundeven", fmul(m, rest, inverse));
        rest = emit_muladd(m, fneg(m, multiple), divisor, rest);
    }
    LLVMValueRef zero = fcompare(m, LLVMRealOEQ, rest, 0);
    LLVMValueRef unlike =
        LLVMBuildXor(m->builder, fcompare(m, LLVMRealOLT, rest, 0), fcompare(m, LLVMRealOLT, b, 0), "");
    LLVMValueRef value = narrow_to_f32(m, rest);
    value = fpick(m, unlike, fadd(m, value, b), value);
    return fpick(m, zero, with_sign_of(m, number_like(b, 0, m), b), value);
}

REAL(mod, emit_mod(m, x, y))
