/* The functions of base/real.c: their errors, which its head comment states, against long
 * double; C's special cases; and their bits, which are the same wherever this runs. */
#include "base/base.h"

#include "test.h"
#include <math.h>
#include <string.h>

enum { SAMPLES = 20000 };

typedef long double Exact;

static Exact sigmoid(Exact x) { return 1 / (1 + expl(-x)); }
static Exact silu(Exact x) { return x / (1 + expl(-x)); }
static Exact gelu(Exact x) { return x * erfcl(-x / sqrtl(2)) / 2; }
static Exact gelu_slope(Exact x) {
    return erfcl(-x / sqrtl(2)) / 2 + x * expl(-x * x / 2) / sqrtl(8 * atanl(1));
}
static Exact to_17_tenths(Exact x) { return powl(x, 1.7); }
static Exact to_minus_15(Exact x) { return powl(x, -15); }
static double real_to_17_tenths(double x) { return real_pow(x, 1.7); }
static double real_to_minus_15(double x) { return real_pow(x, -15); }

typedef struct Function {
    const char *name;
    double (*function)(double);
    Exact (*exact)(Exact);
    double low, high;
    double bound;  /* in ULP */
    uint64_t bits; /* a hash of all results */
} Function;

static const Function functions[] = {
    {"exp", real_exp, expl, -700, 700, 0.65, 0x6b41201f7af4c937},
    {"exp2", real_exp2, exp2l, -1000, 1000, 0.65, 0xa6b8e66418157f70},
    {"expm1", real_expm1, expm1l, -40, 40, 1.1, 0x392c053556ba14d2},
    {"expm1 near 0", real_expm1, expm1l, -1e-3, 1e-3, 0.65, 0x3d79b1dbc0799bc1},
    {"log", real_log, logl, 0, 1e6, 0.51, 0x617fe91a1e957793},
    {"log near 1", real_log, logl, 0.999, 1.001, 0.51, 0xc2c605380c4097e0},
    {"log1p", real_log1p, log1pl, -1, 10, 0.51, 0x71ad7b7925673281},
    {"log1p near 0", real_log1p, log1pl, -1e-3, 1e-3, 0.51, 0x5d528193ec4c7278},
    {"sin", real_sin, sinl, -10, 10, 0.8, 0x4b2d3434f9dcff71},
    {"sin of large", real_sin, sinl, 1e15, 9e18, 0.8, 0xfcbe8b6bc9722dbe},
    {"cos", real_cos, cosl, -10, 10, 0.8, 0xbe4fa6c18f07e02e},
    {"cos of large", real_cos, cosl, 1e15, 9e18, 0.8, 0x9aecf28ef4b71da5},
    {"tanh", real_tanh, tanhl, -25, 25, 3, 0x53de050d296b1f52},
    {"tanh near 0", real_tanh, tanhl, -0.1, 0.1, 3, 0x903c7701085d7eba},
    {"sigmoid", real_sigmoid, sigmoid, -700, 40, 2, 0xc7be6735931dccd9},
    {"silu", real_silu, silu, -700, 40, 2, 0x33e799a52a9f3244},
    {"gelu", real_gelu, gelu, -9, 9, 100, 0x1de943746e800d47},
    {"gelu_slope", real_gelu_slope, gelu_slope, 0, 9, 3, 0xad5dd0b3af3ca647},
    {"gelu_slope below 0", real_gelu_slope, gelu_slope, -9, -1, 100, 0x9439f4f7afc53cef},
    {"erf", real_erf, erfl, -7, 7, 3, 0x27bbf457017fa4e},
    {"erfc", real_erfc, erfcl, -7, 26, 4, 0xfa16fb248557847c},
    {"x ** 1.7", real_to_17_tenths, to_17_tenths, 0, 100, 0.7, 0xab188415e4ee5b23},
    {"x ** -15", real_to_minus_15, to_minus_15, 0, 1e20, 0.7, 0x143ee867757e845d},
};

static double sample(const Function *f, int i) { return f->low + (f->high - f->low) * (i + 0.5) / SAMPLES; }

static double error_of(const Function *f, double x) {
    Exact exact = f->exact(x);
    double unit = fabs(nextafter((double)exact, INFINITY) - (double)exact);
    return (double)(fabsl(f->function(x) - exact) / unit);
}

TEST(errors) {
    for (int k = 0; k < COUNT_OF(functions); k++) {
        const Function *f = &functions[k];
        double worst = 0;
        for (int i = 0; i < SAMPLES; i++) {
            double error = error_of(f, sample(f, i));
            if (!(error <= worst)) worst = error;
        }
        if (!(worst <= f->bound)) fprintf(stderr, "\n%s: %.3f ULP", f->name, worst);
        CU_ASSERT(worst <= f->bound);
    }
}

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* glibc's own functions fail here wherever it chooses by the processor: exp, log, sin,
 * cos, tanh, pow. */
TEST(bits) {
    for (int k = 0; k < COUNT_OF(functions); k++) {
        const Function *f = &functions[k];
        uint64_t hash = 0;
        for (int i = 0; i < SAMPLES; i++) hash = (hash ^ bits_of(f->function(sample(f, i)))) * 0x100000001B3u;
        if (hash != f->bits) fprintf(stderr, "\n%s: bits 0x%llx", f->name, (unsigned long long)hash);
        CU_ASSERT_EQUAL(hash, f->bits);
    }
}

static const double unusual[] = {0,       -0.0,  1,       -1,    -2,       1e-20,     -1e-20, 1e-310,
                                 -1e-310, 1e22,  3e38,    1e308, -1e308,   709.7,     709.8,  -708,
                                 -745.2,  -1022, -1075.1, 1024,  INFINITY, -INFINITY, NAN};

typedef struct Forms {
    const char *name;
    double (*of_one)(double);
    void (*of_array)(const double *, double *, int64_t);
} Forms;

/* What lies behind the results stays. */
static bool agree(const Forms *f, const double *x, int count) {
    static double y[SAMPLES + 1];
    y[count] = 7;
    f->of_array(x, y, count);
    for (int i = 0; i < count; i++)
        if (isnan(y[i]) ? !isnan(f->of_one(x[i])) : bits_of(y[i]) != bits_of(f->of_one(x[i]))) return false;
    return y[count] == 7;
}

/* The forms for arrays are made of vectors where the processor has them. */
TEST(arrays) {
    static const Forms forms[] = {{"exp", real_exp, reals_exp},
                                  {"exp2", real_exp2, reals_exp2},
                                  {"expm1", real_expm1, reals_expm1},
                                  {"tanh", real_tanh, reals_tanh},
                                  {"sigmoid", real_sigmoid, reals_sigmoid},
                                  {"silu", real_silu, reals_silu},
                                  {"erf", real_erf, reals_erf},
                                  {"gelu", real_gelu, reals_gelu},
                                  {"gelu_slope", real_gelu_slope, reals_gelu_slope}};
    static double x[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) x[i] = ldexp(i % 401 - 200, i / 401 - 40);
    memcpy(x, unusual, sizeof unusual);
    for (int k = 0; k < COUNT_OF(forms); k++) {
        bool good = agree(&forms[k], x, SAMPLES);
        for (int count = 0; count < 9; count++) good = good && agree(&forms[k], x + 100, count);
        if (!good) fprintf(stderr, "\n%s of an array", forms[k].name);
        CU_ASSERT(good);
    }
}

/* ---- special cases ---- */

static bool same(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return !signbit(a) == !signbit(b) && (a == b || fabs(a - b) <= 1e-15 * fabs(b));
}

TEST(specials) {
    static const struct {
        const char *name;
        double (*function)(double), (*standard)(double);
    } pairs[] = {{"exp", real_exp, exp},   {"exp2", real_exp2, exp2},    {"expm1", real_expm1, expm1},
                 {"log", real_log, log},   {"log1p", real_log1p, log1p}, {"sin", real_sin, sin},
                 {"cos", real_cos, cos},   {"tanh", real_tanh, tanh},    {"erf", real_erf, erf},
                 {"erfc", real_erfc, erfc}};
    for (int k = 0; k < COUNT_OF(pairs); k++)
        for (int i = 0; i < COUNT_OF(unusual); i++) {
            double x = unusual[i], got = pairs[k].function(x), wanted = pairs[k].standard(x);
            if (!same(got, wanted))
                fprintf(stderr, "\n%s(%g) is %.17g, not %.17g", pairs[k].name, x, got, wanted);
            CU_ASSERT(same(got, wanted));
        }
    CU_ASSERT(real_silu(-INFINITY) == 0 && signbit(real_silu(-INFINITY)) && real_gelu(-INFINITY) == 0);
    CU_ASSERT(real_gelu_slope(-INFINITY) == 0 && real_gelu_slope(INFINITY) == 1 &&
              isnan(real_gelu_slope(NAN)));
    CU_ASSERT(isinf(real_silu(INFINITY)) && isinf(real_gelu(INFINITY)) && isnan(real_gelu(NAN)));
}

TEST(powers) {
    static const double some[] = {0,       -0.0,       1,      -1,       2,         -2,     3,     -3,
                                  0.5,     -0.5,       1.5,    1e300,    -1e300,    1e-300, 1e308, 0x1p53,
                                  -0x1p53, 0x1p53 + 2, 4e-320, INFINITY, -INFINITY, NAN};
    for (int i = 0; i < COUNT_OF(some); i++)
        for (int j = 0; j < COUNT_OF(some); j++)
            CU_ASSERT(same(real_pow(some[i], some[j]), pow(some[i], some[j])));
    for (int base = 2; base < 100; base++) {
        double product = 1;
        for (int power = 1; product < 0x1p53 / base; power++) {
            product *= base;
            CU_ASSERT_EQUAL(real_pow(base, power), product);
        }
    }
}

/* Numbers go through f32 and back, which GCC 12 leaves out of two adjacent ones: the
 * Makefile has it make no vectors of them. */
static void round_pair(double *restrict out, const double *restrict in) {
    out[0] = (double)(float)in[0];
    out[1] = (double)(float)in[1];
}

TEST(adjacent_numbers_are_rounded) {
    void (*volatile round)(double *restrict, const double *restrict) = round_pair; /* not inlined */
    double out[2];
    round(out, (const double[]){0.1, 0.2});
    CU_ASSERT(out[0] == (double)0.1f && out[1] == (double)0.2f);
}
