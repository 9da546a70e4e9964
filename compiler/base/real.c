/* exp, log, sin and their like in double, the same bits on every machine. The C library
 * has several versions of them (with and without fused multiply-adds) and chooses by the
 * processor; their last bits differ, and results of the compiler go into programs: folded
 * constants, packed weights, numbers of the source.
 *
 * Everything is made of additions, multiplications, divisions, fma, rounding to integers
 * and scaling by powers of 2, which IEEE 754 defines to the last bit; the compiler fuses
 * nothing (-ffp-contract=off). Largest error in ULP, which tests/unit/reals.c enforces on
 * results that are not denormal:
 *
 *     log, log1p   0.51      sin, cos   0.8      sigmoid, silu   2      erf    3
 *     exp, exp2    0.65      expm1      1.1      tanh            3      erfc   4
 *     pow          0.7
 *     gelu         100, which is 2^-46; gelu_slope as well below -1, and 3 from 0 on
 *
 * Some have a form for arrays, which gives the same bits.
 *
 * A DoubleDouble is the unevaluated sum of a number and of what was rounded off it: some
 * 104 bits. */
#include "base/base.h"

#include <math.h>

/* A function that has a form for arrays has no branches and calls nothing, so that the
 * compiler vectorises the loop over it. */
#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE double of_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE double choice(bool first, double a, double b) {
    uint64_t mask = -(uint64_t)first;
    return of_bits((bits_of(a) & mask) | (bits_of(b) & ~mask));
}

INLINE double limited(double x, double low, double high) {
    return choice(x < low, low, choice(x > high, high, x));
}

typedef struct DoubleDouble { double head, tail; } DoubleDouble;

static const DoubleDouble ln2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
static const DoubleDouble two_thirds = {0x1.5555555555555p-1, 0x1.5555555555555p-55};
static const DoubleDouble quarter_turn = {0x1.921fb54442d18p0, 0x1.1a62633145c07p-54};

INLINE DoubleDouble pair_of_sum(double a, double b) {
    double sum = a + b, part = sum - a;
    return (DoubleDouble){sum, (a - (sum - part)) + (b - part)};
}

INLINE DoubleDouble pair_sum(DoubleDouble a, DoubleDouble b) {
    DoubleDouble sum = pair_of_sum(a.head, b.head);
    return pair_of_sum(sum.head, sum.tail + (a.tail + b.tail));
}

INLINE DoubleDouble pair_product(DoubleDouble a, DoubleDouble b) {
    double product = a.head * b.head, rounded_off = fma(a.head, b.head, -product);
    return pair_of_sum(product, rounded_off + (a.head * b.tail + a.tail * b.head));
}

INLINE DoubleDouble pair_scaled(DoubleDouble a, double factor) {
    return pair_product(a, (DoubleDouble){factor, 0});
}

/* Every second of c[0] .. c[last], times powers of x. */
INLINE double every_second(double x, const double *c, int last) {
    double sum = c[last];
#pragma GCC unroll 16
    for (int i = last - 2; i >= 0; i -= 2) sum = sum * x + c[i];
    return sum;
}

/* c[0] + x c[1] + x^2 c[2] + ..: even and odd powers are summed apart, so that the two
 * chains run in parallel. */
INLINE double real_polynomial(double x, const double *c, int count) {
    int even = (count - 1) & ~1, odd = (count & ~1) - 1;
    return every_second(x * x, c, even) + x * every_second(x * x, c, odd);
}
#define POLYNOMIAL(x, ...) \
    real_polynomial(x, (const double[]){__VA_ARGS__}, COUNT_OF(((double[]){__VA_ARGS__})))

/* ---- powers ---- */

/* e^r - 1 for r within half of ln 2. */
INLINE DoubleDouble power_less_one(DoubleDouble r) {
    double q = POLYNOMIAL(r.head, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
                          1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800);
    return pair_of_sum(r.head, r.tail + r.head * r.tail + r.head * r.head * q);
}

/* Adding it rounds a number below 2^51 to an integer. */
static const double whole = 0x1.8p52;

INLINE double to_whole(double x) { return x + whole - whole; }

/* 2^n of an integer n from -1022 to 1023: its low bits are shifted to where the exponent
 * is. */
INLINE double power_of_2(double n) { return of_bits(bits_of(n + (whole + 1023)) << 52); }

/* 2^n x, of an x within 2^-100 and 2^100: in two steps, since 2^n may lie beyond the
 * range where 2^n x does not. The first step is exact. */
INLINE double scaled_by_power(double x, double n) {
    double half = to_whole(n / 2);
    return x * power_of_2(half) * power_of_2(n - half);
}

/* 2^n (added + e^r - 1) */
INLINE double scaled_power(DoubleDouble r, double added, double n) {
    DoubleDouble sum = pair_sum((DoubleDouble){added, 0}, power_less_one(r));
    return scaled_by_power(sum.head, n);
}

/* The r of x = n ln 2 + r; x is within some thousands. */
INLINE DoubleDouble reduced_by_ln2(DoubleDouble x, double *n) {
    *n = to_whole(x.head * 0x1.71547652b82fep0);
    return pair_sum(x, pair_scaled(ln2, -*n));
}

INLINE double exp_of_pair(DoubleDouble x) {
    double n;
    x = (DoubleDouble){limited(x.head, -1000, 1000), choice(fabs(x.head) < 1000, x.tail, 0)};
    DoubleDouble r = reduced_by_ln2(x, &n);
    return scaled_power(r, 1, n);
}

INLINE double exp_of(double x) { return exp_of_pair((DoubleDouble){x, 0}); }

INLINE double exp2_of(double x) {
    double within = limited(x, -1200, 1200), n = to_whole(within);
    return scaled_power(pair_scaled(ln2, within - n), 1, n);
}

/* 2^n (e^r - 1 + (1 - 2^-n)): near 0 n is 0. */
INLINE double expm1_of(double x) {
    double n;
    DoubleDouble r = reduced_by_ln2((DoubleDouble){limited(x, -50, 1000), 0}, &n);
    double rise = scaled_power(r, 1 - scaled_by_power(1, -n), n);
    return choice(x == 0, x, rise);
}

/* ---- logarithms ---- */

/* log(x) of a positive finite x = 2^e (1 + f), 1 + f between sqrt(1/2) and sqrt(2): with
 * s = f / (2 + f), log(1 + f) = 2 (s + s^3 / 3 + s^5 / 5 + ..). */
static DoubleDouble log_as_pair(double x) {
    int e;
    double m = frexp(x, &e);
    if (m < 0x1.6a09e667f3bcdp-1) m *= 2, e--;
    DoubleDouble divisor = pair_of_sum(m, 1);
    double f = m - 1, quotient = f / divisor.head;
    double rest = fma(-quotient, divisor.head, f) - quotient * divisor.tail;
    DoubleDouble s = pair_of_sum(quotient, rest / divisor.head), z = pair_product(s, s),
                 cube = pair_product(s, z);
    double q = POLYNOMIAL(z.head, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19,
                          2.0 / 21, 2.0 / 23, 2.0 / 25);
    DoubleDouble rise = pair_sum(pair_product(cube, two_thirds), (DoubleDouble){cube.head * z.head * q, 0});
    return pair_sum(pair_scaled(ln2, e), pair_sum(pair_scaled(s, 2), rise));
}

double real_log(double x) {
    if (isnan(x) || x == INFINITY) return x;
    if (x == 0) return -INFINITY;
    return x < 0 ? NAN : log_as_pair(x).head;
}

/* The logarithm of the rounded 1 + x, and what was rounded off. */
double real_log1p(double x) {
    DoubleDouble sum = pair_of_sum(x, 1);
    if (!(x > -1) || x == INFINITY) return real_log(sum.head);
    if (x == 0) return x;
    return pair_sum(log_as_pair(sum.head), (DoubleDouble){sum.tail / sum.head, 0}).head;
}

/* a^b of a positive finite a and a finite b. Beyond the limit of b, a power of any a but
 * 1 is 0 or infinite. */
static double power_of(double a, double b) {
    return exp_of_pair(pair_scaled(log_as_pair(a), limited(b, -1e300, 1e300)));
}

static double power_of_magnitude(double a, double b) {
    bool rises = b > 0, large = a > 1;
    if (a != 0 && isfinite(a) && isfinite(b)) return power_of(a, b);
    if (isinf(b) && a == 1) return 1;
    return rises == large ? INFINITY : 0;
}

double real_pow(double a, double b) {
    if (b == 0 || a == 1) return 1;
    if (isnan(a) || isnan(b)) return NAN;
    bool whole = floor(b) == b, odd = whole && floor(b / 2) != b / 2;
    if (a < 0 && isfinite(a) && !whole) return NAN;
    double magnitude = power_of_magnitude(fabs(a), b);
    return odd ? copysign(magnitude, a) : magnitude;
}

/* ---- sine and cosine ---- */

/* The binary digits of 2 / pi after the point. */
static const uint64_t digits[] = {
    0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561, 0xb7246e3a424dd2e0,
    0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484, 0xe99c7026b45f7e41, 0x3991d639835339f4,
    0x9c845f8bbdf9283b, 0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab,
};

static uint64_t word_of_digits(int i) { return i < 0 || i >= COUNT_OF(digits) ? 0 : digits[i]; }

/* 64 digits from number `first` on, which are 0 before the point. */
static uint64_t digits_from(int first) {
    int word = first >> 6, bit = first & 63;
    uint64_t high = word_of_digits(word) << bit;
    return bit ? high | word_of_digits(word + 1) >> (64 - bit) : high;
}

/* The r within pi/4, and n mod 4, of |x| = n pi/2 + r, by Payne and Hanek: |x| is an
 * integer times a power of 2, and is multiplied only by those digits of 2 / pi that
 * contribute to n mod 4 or to the 190 digits after the point. */
static DoubleDouble quarter_turns(double x, int *n) {
    __extension__ typedef unsigned __int128 Wide;
    int e;
    uint64_t m = (uint64_t)ldexp(frexp(fabs(x), &e), 53), product[3], carry = 0;
    for (int i = 2; i >= 0; i--) {
        Wide wide = (Wide)m * digits_from(e - 53 - 2 + 64 * i) + carry;
        product[i] = (uint64_t)wide, carry = (uint64_t)(wide >> 64);
    }
    int64_t fraction = (int64_t)(product[0] << 2 | product[1] >> 62), low = fraction & 0x7FF;
    uint64_t rest = product[1] << 2 | product[2] >> 62;
    *n = (int)(product[0] >> 62) + (fraction < 0);
    DoubleDouble turns = pair_of_sum(ldexp((double)(fraction - low), -64), ldexp((double)low, -64));
    turns = pair_sum(turns, (DoubleDouble){ldexp((double)rest, -128), 0});
    return pair_product(turns, quarter_turn);
}

static double sine_of_pair(DoubleDouble r) {
    double z = r.head * r.head;
    double q = POLYNOMIAL(z, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
                          1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000);
    return r.head + (r.head * z * q + r.tail * (1 - z / 2));
}

static double cosine_of_pair(DoubleDouble r) {
    DoubleDouble z = pair_product(r, r), max = pair_of_sum(1, -z.head / 2);
    double q = POLYNOMIAL(z.head, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600,
                          -1.0 / 87178291200, 1.0 / 20922789888000);
    return max.head + (max.tail + (z.head * z.head * q - z.tail / 2));
}

/* sin(|x| + turns pi/2) */
static double sine_of_turns(double x, int turns) {
    int n;
    DoubleDouble r = quarter_turns(x, &n);
    double value = (n + turns) & 1 ? cosine_of_pair(r) : sine_of_pair(r);
    return (n + turns) & 2 ? -value : value;
}

double real_sin(double x) {
    if (!isfinite(x)) return NAN;
    if (fabs(x) < 0x1p-27) return x;
    return x < 0 ? -sine_of_turns(x, 0) : sine_of_turns(x, 0);
}

double real_cos(double x) { return !isfinite(x) ? NAN : fabs(x) < 0x1p-27 ? 1 : sine_of_turns(x, 1); }

/* ---- tanh, sigmoid, erf ---- */

INLINE double tanh_of(double x) {
    double grown = expm1_of(2 * limited(fabs(x), 0, 30));
    return copysign(grown / (grown + 2), x);
}

INLINE double sigmoid_of(double x) { return 1 / (1 + exp_of(-x)); }

INLINE double silu_of(double x) {
    double value = x / (1 + exp_of(-x));
    return choice(x == -INFINITY, -0.0, value);
}

/* e^(-x^2) / sqrt(pi) */
INLINE double gaussian_bell(double x) {
    DoubleDouble square = pair_product((DoubleDouble){x, 0}, (DoubleDouble){-x, 0});
    return exp_of_pair(square) * 0x1.20dd750429b6dp-1;
}

/* 2 x e^(-x^2) / sqrt(pi) (1 + 2x^2/3 (1 + 2x^2/5 (1 + ..))), for x up to 0.5. */
INLINE double erf_by_series(double x) {
    double z = 2 * x * x;
    double sum =
        POLYNOMIAL(z, 1.0, 1.0 / 3, 1.0 / 15, 1.0 / 105, 1.0 / 945, 1.0 / 10395, 1.0 / 135135, 1.0 / 2027025,
                   1.0 / 34459425, 1.0 / 654729075, 1.0 / 13749310575, 1.0 / 316234143225);
    return 2 * x * gaussian_bell(x) * sum;
}

/* sqrt(pi) x e^(x^2) erfc(x), which is 0.55 at 0.5 and 1 at infinity, by powers of 7 /
 * (x + 3) - 1: the first terms of its Chebyshev series, written out. The next is below
 * 1e-18. */
static const double tail[] = {
    0x1.f14e58d3247a3p-1,   -0x1.7b644d0bd4858p-4, -0x1.02d99f849b56ap-3, -0x1.adb067f1eff1ep-4,
    -0x1.04b5287a15bb4p-4,  -0x1.d4f57f7001a3cp-6, -0x1.2007be736ec72p-7, -0x1.3d2b1f22a350dp-10,
    0x1.69f2e8b0866fcp-12,  0x1.a68b0272cda83p-13, 0x1.26ec8a99d21f1p-17, -0x1.54a317e69ab30p-16,
    -0x1.f61534a89b0d1p-19, 0x1.1e588c8a08a99p-19, 0x1.4f7f854045d77p-21, -0x1.21fefbd110d85p-22,
    -0x1.84e2c2204202bp-24, 0x1.6719f40dd5992p-25, 0x1.9b77e4fed1d47p-27, -0x1.e7521d01b83edp-28,
    -0x1.6735c2b3f33fap-30, 0x1.234e21b8399acp-30, 0x1.79c5af602414bp-34, -0x1.9c4e495d6d7cbp-34,
};

/* For x from 0.5 on. */
INLINE double erfc_of_tail(double x) {
    return gaussian_bell(x) / x * real_polynomial(7 / (x + 3) - 1, tail, COUNT_OF(tail));
}

INLINE double erf_of(double x) {
    double magnitude = limited(fabs(x), 0, 30);
    double small = erf_by_series(magnitude), large = 1 - erfc_of_tail(magnitude);
    return copysign(choice(magnitude < 0.5, small, large), x);
}

INLINE double erfc_of(double x) {
    double small = erfc_of_tail(limited(fabs(x), 0, 30)), large = 1 - erf_of(x);
    return choice(x >= 0.5, small, large);
}

INLINE double gelu_of(double x) {
    double value = x * erfc_of(-x * 0x1.6a09e667f3bcdp-1) / 2;
    return choice(x == -INFINITY, 0, value);
}

/* The bell of x / sqrt(2) is that of the normal distribution times sqrt(2). */
INLINE double gelu_slope_of(double x) {
    double share = erfc_of(-x * 0x1.6a09e667f3bcdp-1) / 2;
    double value =
        share + x * gaussian_bell(limited(x, -40, 40) * 0x1.6a09e667f3bcdp-1) * 0x1.6a09e667f3bcdp-1;
    return choice(x == -INFINITY, 0, choice(x == INFINITY, 1, value));
}

/* ---- of a number, and of an array ---- */

/* Vectors give the same bits: an fma rounds once, whether an instruction or the C
 * library computes it. */
#define FUNCTION(name)                                                                  \
    double real_##name(double x) { return name##_of(x); }                               \
    FOR_EACH_PROCESSOR void reals_##name(const double *x, double *y, int64_t count) {   \
        _Pragma("omp simd") for (int64_t i = 0; i < count; i++) y[i] = name##_of(x[i]); \
    }

FUNCTION(exp)
FUNCTION(exp2)
FUNCTION(expm1)
FUNCTION(tanh)
FUNCTION(sigmoid)
FUNCTION(silu)
FUNCTION(erf)
FUNCTION(gelu)
FUNCTION(gelu_slope)

double real_erfc(double x) { return erfc_of(x); }
