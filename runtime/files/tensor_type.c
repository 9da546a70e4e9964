/* Conversions between types of elements. Elements in files need not be aligned: every
 * access copies. */
#include "files/files.h"
#include <math.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "files of tensors are little endian, and so is every target of cai"
#endif

/* ---- sixteen bits ---- */

float cai_bf16_to_f32(uint16_t value) {
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

uint16_t cai_f32_to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) return (uint16_t)(bits >> 16 | 0x40); /* rounding could carry a NaN into infinity */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float cai_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ff,
             bits;
    float result;
    if (exponent == 0) { /* zero or a denormal: mantissa * 2^-24 */
        result = ldexpf((float)mantissa, -24);
        return sign ? -result : result;
    }
    bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
    memcpy(&result, &bits, sizeof result);
    return result;
}

uint16_t cai_f32_to_f16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7e00;
    if (bits >= 0x477ff000) return sign | 0x7c00; /* 65520 and more rounds to infinity */
    if (bits < 0x38800000)                        /* below 2^-14: a denormal, in units of 2^-24 */
        return sign | (uint16_t)lrintf(ldexpf(fabsf(value), 24));
    return sign | (uint16_t)((bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13);
}

/* ---- reading elements ---- */

/* One loop for each type: `expression` is the result for element `e`, of C type
 * `Type`. */
#define EACH(Type, expression)                             \
    for (int64_t i = 0; i < count; i++) {                  \
        Type e;                                            \
        memcpy(&e, from + (size_t)i * sizeof e, sizeof e); \
        out[i] = expression;                               \
    }                                                      \
    break

/* `of_float`: what makes a Result of a float or double. */
#define EACH_TYPE(Result, of_float)                              \
    switch (tensor->type) {                                      \
    case CAI_F32: EACH(float, of_float(e));                      \
    case CAI_F64: EACH(double, of_float(e));                     \
    case CAI_F16: EACH(uint16_t, of_float(cai_f16_to_f32(e)));   \
    case CAI_BF16: EACH(uint16_t, of_float(cai_bf16_to_f32(e))); \
    case CAI_I8: EACH(int8_t, (Result)e);                        \
    case CAI_I16: EACH(int16_t, (Result)e);                      \
    case CAI_I32: EACH(int32_t, (Result)e);                      \
    case CAI_I64: EACH(int64_t, (Result)e);                      \
    case CAI_BOOL: EACH(uint8_t, (Result)(e != 0));              \
    case CAI_U8: EACH(uint8_t, (Result)e);                       \
    case CAI_U16: EACH(uint16_t, (Result)e);                     \
    case CAI_U32: EACH(uint32_t, (Result)e);                     \
    case CAI_U64: EACH(uint64_t, (Result)e);                     \
    }

static const unsigned char *element_of_tensor(const cai_tensor *tensor, int64_t index) {
    return tensor->data + (size_t)index * (size_t)cai_type_bytes(tensor->type);
}

void cai_tensor_to_f64(const cai_tensor *tensor, int64_t first, int64_t count, double *out) {
    const unsigned char *from = element_of_tensor(tensor, first);
    EACH_TYPE(double, (double))
}

void cai_tensor_to_f32(const cai_tensor *tensor, int64_t first, int64_t count, float *out) {
    const unsigned char *from = element_of_tensor(tensor, first);
    EACH_TYPE(float, (float))
}

static int64_t whole_of_real(double value) {
    if (!(value >= -9223372036854775808.0)) return INT64_MIN; /* NaN too */
    return value < 9223372036854775808.0 ? (int64_t)value : INT64_MAX;
}

void cai_tensor_to_i64(const cai_tensor *tensor, int64_t first, int64_t count, int64_t *out) {
    const unsigned char *from = element_of_tensor(tensor, first);
    EACH_TYPE(int64_t, whole_of_real)
}

/* ---- conversion ---- */

static bool integer_element(const cai_tensor *tensor, int64_t index, int64_t *value) {
    if (!cai_type_is_float(tensor->type)) {
        cai_tensor_to_i64(tensor, index, 1, value);
        return tensor->type != CAI_U64 || *value >= 0;
    }
    double number;
    cai_tensor_to_f64(tensor, index, 1, &number);
    *value = whole_of_real(number);
    return (double)*value == number && number < 9223372036854775808.0;
}

static bool store_integer(int64_t value, int type, unsigned char *out) {
    static const struct {
        int64_t low, high;
    } range[] = {[CAI_I8] = {INT8_MIN, INT8_MAX},
                 [CAI_I32] = {INT32_MIN, INT32_MAX},
                 [CAI_I64] = {INT64_MIN, INT64_MAX},
                 [CAI_BOOL] = {0, 1}};
    if (value < range[type].low || value > range[type].high) return false;
    memcpy(out, &value, (size_t)cai_type_bytes(type)); /* little endian: the low bytes come first */
    return true;
}

static bool convert_to_integers(const cai_tensor *tensor, int type, unsigned char *out, cai_error *error) {
    for (int64_t i = 0; i < tensor->count; i++) {
        int64_t value = 0;
        if (integer_element(tensor, i, &value) && store_integer(value, type, out + i * cai_type_bytes(type)))
            continue;
        double number;
        cai_tensor_to_f64(tensor, i, 1, &number);
        return cai_fail(error, CAI_BAD_INPUT, "element %lld is %.17g, which %s cannot hold", (long long)i,
                        number, cai_type_name(type));
    }
    return true;
}

/* f16 and bf16, through f32. */
static void convert_to_half(const cai_tensor *tensor, int type, unsigned char *out) {
    for (int64_t i = 0; i < tensor->count; i++) {
        float value;
        cai_tensor_to_f32(tensor, i, 1, &value);
        uint16_t half = type == CAI_F16 ? cai_f32_to_f16(value) : cai_f32_to_bf16(value);
        memcpy(out + 2 * i, &half, sizeof half);
    }
}

bool cai_tensor_convert(const cai_tensor *tensor, int type, void *out, cai_error *error) {
    if (tensor->type == type && type != CAI_BOOL)
        memcpy(out, tensor->data, (size_t)tensor->count * (size_t)cai_type_bytes(type));
    else if (type == CAI_F32) cai_tensor_to_f32(tensor, 0, tensor->count, out);
    else if (type == CAI_F16 || type == CAI_BF16) convert_to_half(tensor, type, out);
    else return convert_to_integers(tensor, type, out, error);
    return true;
}
