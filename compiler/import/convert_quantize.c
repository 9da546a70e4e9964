/* Quantized operators. Their 8-bit integer arithmetic is done in f32, which represents
 * integers below 2^24 exactly. Where a sum may exceed that, one operand is split into a
 * multiple of 16 and a remainder, and the two sums are combined as integers. */
#include "import/convert.h"
#include <math.h>

enum { EXACT = 1 << 24, LARGEST_PRODUCT = 255 * 255, LARGEST_SPLIT_PRODUCT = 16 * 255 };

/* One element for so many along an axis of x: as often. */
static Wire *for_each_of_block(Import *im, Wire *v, Wire *x, int axis, int64_t block) {
    Dim dims[17], size = wire_size(im, x, axis);
    const int rank = wire_rank(im, x);
    for (int i = 0; i <= rank; i++)
        dims[i] = i == axis + 1 ? dim_const(im->dims, 1) : wire_size(im, v, i <= axis ? i : i - 1);
    Wire *apart = reshaped(im, v, dims, rank + 1);
    dims[axis + 1] = dim_const(im->dims, block);
    Wire *many = broadcasted(im, apart, dims, rank + 1);
    dims[axis] = dim_scale(im->dims, dims[axis], block);
    for (int i = axis + 1; i < rank; i++) dims[i] = dims[i + 1];
    Wire *y = reshaped(im, many, dims, rank);
    if (!y || dims[axis] == size) return y;
    Text text = {.arena = im->arena};
    for (int i = 0; i < axis; i++) text_add(&text, ":, ");
    return indexed(im, y, "%s:%s", text_string(&text), dim_string(im->arena, size));
}

/* A scale or a zero point with one element for each index along an axis, or for each
 * block of these, shaped to broadcast to x. */
static Wire *along_axis(Import *im, Wire *v, Wire *x, int axis) {
    const int64_t block = attribute_int(im, "block_size", 0);
    if (v && block) {
        if (block > 0 && wire_rank(im, v) == wire_rank(im, x))
            return for_each_of_block(im, v, x, axis, block);
        return cannot(im, "blocks of %lld, with a scale of %d axes", (long long)block, wire_rank(im, v));
    }
    if (!v || wire_rank(im, v) != 1 || wire_size(im, v, 0) == dim_const(im->dims, 1)) return v;
    return on_axis(im, v, wire_rank(im, x), axis);
}

static bool quantized_axis(Import *im, Wire *x, int *axis) {
    const int rank = wire_rank(im, x);
    int64_t given = attribute_int(im, "axis", 1);
    *axis = rank < 2 && !attribute(im, "axis") ? 0 : rank == 0 ? 0 : axis_of(im, given, rank);
    return *axis >= 0;
}

static bool range_of_type(int type, double *low, double *high) {
    static const struct {
        int type;
        double low, high;
    } ranges[] = {
        {ONNX_UINT8, 0, 255}, {ONNX_INT8, -128, 127}, {ONNX_UINT16, 0, 65535}, {ONNX_INT16, -32768, 32767}};
    for (int i = 0; i < COUNT_OF(ranges); i++)
        if (ranges[i].type == type) return *low = ranges[i].low, *high = ranges[i].high, true;
    return false;
}

/* Rounds to nearest, ties to even, adds `zero` and clamps to the type. */
static Wire *quantized_wire(Import *im, Wire *x, Wire *zero, int type) {
    double low, high;
    if (!range_of_type(type, &low, &high)) return cannot(im, "quantizing to %s", onnx_type_name(type));
    Wire *y = stage(im, x, "round", "%s", "");
    const Known *k = known_of(im, zero);
    const bool none = !zero || (k && k->count == 1 && k->sizes[0] == dim_const(im->dims, 0));
    if (!none) y = infix(im, "+", y, cast_to(im, zero, ONNX_FLOAT));
    return cast_to(im,
                   stage(im, y, "clamp", "%s, %s", number_text(im->arena, low, true),
                         number_text(im->arena, high, true)),
                   type);
}

void convert_quantize(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *scale = input_at(inputs, count, 1),
         *zero = input_at(inputs, count, 2);
    int axis;
    if (!x || !scale || !quantized_axis(im, x, &axis)) return;
    const int type = zero ? zero->type : (int)attribute_int(im, "output_dtype", ONNX_UINT8);
    if (!onnx_type_is_float(x->type)) x = cast_to(im, x, ONNX_FLOAT);
    outputs[0] = quantized_wire(im, infix(im, "/", x, along_axis(im, scale, x, axis)),
                                along_axis(im, zero, x, axis), type);
}

/* x - zero point, as f32. */
static Wire *centred_wire(Import *im, Wire *x, Wire *zero) {
    if (x && onnx_type_bytes(x->type) == 0)
        return cannot(im, "quantized numbers of %s", onnx_type_name(x->type));
    const Known *k = known_of(im, zero);
    const bool none = !zero || (k && k->count == 1 && k->sizes && k->sizes[0] == dim_const(im->dims, 0));
    Wire *y = cast_to(im, x, ONNX_FLOAT);
    return none ? y : infix(im, "-", y, cast_to(im, zero, ONNX_FLOAT));
}

void convert_dequantize(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *scale = input_at(inputs, count, 1),
         *zero = input_at(inputs, count, 2);
    int axis;
    if (!x || !scale || !quantized_axis(im, x, &axis)) return;
    outputs[0] = cast_to(
        im,
        infix(im, "*", centred_wire(im, x, along_axis(im, zero, x, axis)), along_axis(im, scale, x, axis)),
        scale->type);
}

void convert_dynamic_quantize(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    if (!x) return;
    Wire *low = formula(im, "min(reduce_min(x), 0)", &x, 1),
         *high = formula(im, "max(reduce_max(x), 0)", &x, 1);
    Wire *scale = formula(im, "(y - x) / 255", (Wire *[]){low, high}, 2);
    Wire *zero = formula(im, "round(min(max(0 - x / y, 0), 255))", (Wire *[]){low, scale}, 2);
    outputs[1] = scale;
    outputs[2] = cast_to(im, zero, ONNX_UINT8);
    outputs[0] = quantized_wire(im, infix(im, "/", x, scale), outputs[2], ONNX_UINT8);
}

/* ---- exact sums ---- */

typedef Wire *QuantizedProduct(Import *im, Wire *a, Wire *b);

static Wire *matrix_product(Import *im, Wire *a, Wire *b) { return infix(im, "@", a, b); }

/* A product of signed 9-bit integers; `terms` of them are added up for each result. */
static Wire *exact_product(Import *im, QuantizedProduct *product, Wire *a, Wire *b, Dim terms) {
    int64_t count;
    if (!a || !b) return NULL;
    if (!dim_is_const(terms, &count) || count > EXACT / LARGEST_SPLIT_PRODUCT)
        return cannot(im, "a sum of %s products of ints, which is not exact in f32",
                      dim_string(im->arena, terms));
    if (count <= EXACT / LARGEST_PRODUCT) return cast_to(im, product(im, a, b), ONNX_INT32);
    Wire *high = formula(im, "floor(x / 16)", &a, 1),
         *low = formula(im, "x - 16 * y", (Wire *[]){a, high}, 2);
    Wire *upper = cast_to(im, product(im, high, b), ONNX_INT32),
         *lower = cast_to(im, product(im, low, b), ONNX_INT32);
    return formula(im, "16 * x + y", (Wire *[]){upper, lower}, 2);
}

static Wire *exact_matmul(Import *im, Wire *a, Wire *a_zero, Wire *b, Wire *b_zero) {
    if (!a || !b) return NULL;
    if (a_zero && wire_rank(im, a_zero) == 1 && wire_rank(im, a) > 1)
        a_zero = along_axis(im, a_zero, a, wire_rank(im, a) - 2);
    return exact_product(im, matrix_product, centred_wire(im, a, a_zero), centred_wire(im, b, b_zero),
                         wire_size(im, a, wire_rank(im, a) - 1));
}

static Wire *exact_conv(Import *im, Wire *x, Wire *x_zero, Wire *w, Wire *w_zero) {
    if (!x || !w) return NULL;
    return exact_product(im, convolved, centred_wire(im, x, x_zero),
                         centred_wire(im, w, along_axis(im, w_zero, w, 0)),
                         size_product(im, w, 1, wire_rank(im, w)));
}

void convert_matmul_integer(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = exact_matmul(im, input_at(inputs, count, 0), input_at(inputs, count, 2),
                              input_at(inputs, count, 1), input_at(inputs, count, 3));
}
void convert_conv_integer(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = exact_conv(im, input_at(inputs, count, 0), input_at(inputs, count, 2),
                            input_at(inputs, count, 1), input_at(inputs, count, 3));
}

/* The sum times a_scale * b_scale / y_scale, quantized. */
static Wire *requantized_sum(Import *im, Wire *sum, Wire *a_scale, Wire *b_scale, Wire *y_scale, Wire *zero) {
    if (!zero) return NULL;
    Wire *scale =
        infix(im, "/", infix(im, "*", cast_to(im, a_scale, ONNX_FLOAT), cast_to(im, b_scale, ONNX_FLOAT)),
              cast_to(im, y_scale, ONNX_FLOAT));
    return quantized_wire(im, infix(im, "*", cast_to(im, sum, ONNX_FLOAT), scale), zero, zero->type);
}

void convert_quantized_matmul(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    if (count < 8) return;
    Wire *a_scale = inputs[1];
    if (a_scale && inputs[0] && wire_rank(im, a_scale) == 1 && wire_rank(im, inputs[0]) > 1)
        a_scale = along_axis(im, a_scale, inputs[0], wire_rank(im, inputs[0]) - 2);
    outputs[0] = requantized_sum(im, exact_matmul(im, inputs[0], inputs[2], inputs[3], inputs[5]), a_scale,
                                 inputs[4], inputs[6], inputs[7]);
}

void convert_quantized_conv(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *bias = input_at(inputs, count, 8);
    if (count < 8) return;
    Wire *sum = exact_conv(im, inputs[0], inputs[2], inputs[3], inputs[5]);
    if (bias && sum) sum = infix(im, "+", sum, along_axis(im, bias, sum, 1));
    outputs[0] =
        sum ? requantized_sum(im, sum, inputs[1], along_axis(im, inputs[4], sum, 1), inputs[6], inputs[7])
            : NULL;
}
