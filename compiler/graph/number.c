/* Elements of each type: what a cast makes of a number (by the table in
 * docs/language.md), and how the result of an operator is rounded to its type.
 *
 * Floats are held in double and ints in 64 bits, so that folding and the reference are
 * exact where a program is. f32 is not rounded, since the reference is what f32 is judged
 * by; f16 and bf16 are rounded after each operator, and ints wrap, as in a program. */
#include "graph/graph.h"
#include "files/files.h"
#include <math.h>

/* ---- floats ---- */

/* Rounds to a float of `bits` of precision whose least normal number is 2^low; from
 * `limit` on the result is infinite. Ties go to even. */
static double rounded_to_bits(double x, int bits, int low, double limit) {
    if (x == 0 || !isfinite(x)) return x;
    int exponent = ilogb(x) < low ? low : ilogb(x);
    double unit = ldexp(1, exponent - bits + 1), y = nearbyint(x / unit) * unit;
    return fabs(y) >= limit ? copysign(INFINITY, x) : y;
}

static double real_rounded(double x, DType type) {
    if (type == DTYPE_F16) return rounded_to_bits(x, 11, -14, 65536);
    return type == DTYPE_BF16 ? rounded_to_bits(x, 8, -126, 0x1p128) : x;
}

/* ---- ints ---- */

static int64_t wrapped_to_type(int64_t x, DType type) {
    if (type == DTYPE_BOOL) return x != 0;
    int spare = 64 - 8 * dtype_bytes(type);
    return (int64_t)((uint64_t)x << spare) >> spare;
}

static int64_t largest_of_type(DType type) {
    return type == DTYPE_BOOL ? 1 : INT64_MAX >> (64 - 8 * dtype_bytes(type));
}
static int64_t least_of_type(DType type) { return type == DTYPE_BOOL ? 0 : -largest_of_type(type) - 1; }

/* Truncates; a number beyond the type becomes the least or largest of the type, NaN
 * becomes 0. */
static int64_t saturated_to_type(double x, DType type) {
    double limit = ldexp(1, 8 * dtype_bytes(type) - 1);
    if (isnan(x)) return 0;
    return x >= limit ? largest_of_type(type) : x < -limit ? least_of_type(type) : (int64_t)x;
}

bool number_fits(int64_t value, DType type) { return wrapped_to_type(value, type) == value; }

/* ---- both ---- */

Number number_cast(Number value, DType from, DType to) {
    bool real = dtype_is_float(from);
    if (dtype_is_float(to))
        return (Number){.real = real_rounded(real ? value.real : (double)(float)value.whole, to)};
    if (!real) return (Number){.whole = wrapped_to_type(value.whole, to)};
    return (Number){.whole = to == DTYPE_BOOL ? value.real != 0 : saturated_to_type(value.real, to)};
}

Number number_rounded(Number value, DType type) {
    return dtype_is_float(type) ? (Number){.real = real_rounded(value.real, type)}
                                : (Number){.whole = wrapped_to_type(value.whole, type)};
}

Number number_least(DType type) {
    return dtype_is_float(type) ? (Number){.real = -INFINITY} : (Number){.whole = least_of_type(type)};
}

double number_value(Number value, DType type) {
    return dtype_is_float(type) ? value.real : (double)value.whole;
}

void number_print(Text *out, Number value, DType type) {
    if (dtype_is_float(type)) text_add_real(out, value.real);
    else text_add(out, "%lld", (long long)value.whole);
}

/* ---- as elements in memory ---- */

void numbers_store(DType type, const Number *from, int64_t step, int64_t count, void *to, int64_t stride) {
#define STORE(element, value)                 \
    for (int64_t i = 0; i < count; i++) {     \
        const Number number = from[i * step]; \
        ((element *)to)[i * stride] = value;  \
    }                                         \
    return
    switch (type) {
    case DTYPE_F32: STORE(float, (float)number.real);
    case DTYPE_F16: STORE(uint16_t, cai_f32_to_f16((float)number.real));
    case DTYPE_BF16: STORE(uint16_t, cai_f32_to_bf16((float)number.real));
    case DTYPE_I8: STORE(int8_t, (int8_t)number.whole);
    case DTYPE_I32: STORE(int32_t, (int32_t)number.whole);
    case DTYPE_I64: STORE(int64_t, number.whole);
    case DTYPE_BOOL: STORE(unsigned char, number.whole != 0);
    }
#undef STORE
}
