/* Products of matrices, and dense layers. */
#include "import/convert.h"

static Wire *dense_of_wires(Import *im, Wire *x, Wire *weight, bool transposed, Wire *bias) {
    const int64_t out = dim_const_value(wire_size(im, weight, transposed ? 1 : 0));
    Line *line = layer_begin(im, x, "dense", "%lld%s", (long long)out, bias ? "" : ", bias = false");
    LineWeight *made = layer_weight(im, line, "weight", weight);
    if (transposed) weight_transposed(made);
    if (bias) {
        made = layer_weight(im, line, "bias", bias);
        made->rank = made->from_rank = 1, made->dims[0] = made->from[0] = out;
    }
    return line_run(im, line, x->type);
}

static Wire *swapped_axes(Import *im, Wire *x) { return permuted(im, x, (int[]){1, 0}); }

void convert_gemm(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *a = input_at(inputs, count, 0), *b = input_at(inputs, count, 1), *c = input_at(inputs, count, 2);
    const double alpha = attribute_real(im, "alpha", 1), beta = attribute_real(im, "beta", 1);
    const bool turn_a = attribute_int(im, "transA", 0), turn_b = attribute_int(im, "transB", 0);
    if (!a || !b) return;
    if (!onnx_type_is_float(a->type)) cannot(im, "a product of %s", onnx_type_name(a->type));
    const bool layer =
        !turn_a && alpha == 1 && beta == 1 && !wire_is_constant(a) && is_weight(im, b, 2) && b->data;
    const bool biased = layer && c && is_weight(im, c, -1) && c->data &&
                        c->data->count == b->data->dims[turn_b ? 0 : 1] && wire_rank(im, c) >= 1 &&
                        c->data->dims[c->data->rank - 1] == c->data->count;
    if (layer && (!c || biased)) {
        outputs[0] = dense_of_wires(im, a, b, !turn_b, c);
        return;
    }
    Wire *y = infix(im, "@", turn_a ? swapped_axes(im, a) : a, turn_b ? swapped_axes(im, b) : b);
    if (alpha != 1) y = number_infix(im, alpha, "*", y);
    if (c) y = infix(im, "+", y, beta != 1 ? number_infix(im, beta, "*", c) : c);
    outputs[0] = y;
}

Wire *turned_weight(Import *im, Wire *wire) {
    const Line *line = wire->line;
    Wire *weight = line && !strcmp(line->callee, "permute") ? line->inputs.items[0].wire : NULL;
    return weight && is_weight(im, weight, 2) && wire_size(im, weight, 0) == wire_size(im, wire, 1) ? weight
                                                                                                    : NULL;
}

void convert_matmul(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *a = input_at(inputs, count, 0), *b = input_at(inputs, count, 1);
    if (!a || !b) return;
    if (!onnx_type_is_float(a->type)) cannot(im, "a product of %s", onnx_type_name(a->type));
    const bool layer = !wire_is_constant(a) && wire_rank(im, a) != 4;
    Wire *turned = turned_weight(im, b);
    if (layer && is_weight(im, b, 2)) outputs[0] = dense_of_wires(im, a, b, true, NULL);
    else if (layer && turned) outputs[0] = dense_of_wires(im, a, turned, false, NULL);
    else outputs[0] = infix(im, "@", a, b);
}
