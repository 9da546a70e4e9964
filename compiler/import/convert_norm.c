/* Normalizations, and softmax. */
#include "import/convert.h"
#include <math.h>

static const char *eps_setting(Import *im, double eps, double usual) {
    return fabs(eps - usual) < 1e-4 * usual
               ? ""
               : arena_printf(im->arena, "eps = %s", number_text(im->arena, eps, true));
}

static Wire *by_channel(Import *im, Wire *v, int rank) {
    return rank == 4 ? stage(im, v, "per_channel", "%s", "") : stage(im, v, "per_channel", "rank = %d", rank);
}

/* y * weight + bias, with one number for each channel. */
static Wire *affine_of_wires(Import *im, Wire *y, Wire *weight, Wire *bias) {
    if (!y) return NULL;
    const int rank = wire_rank(im, y);
    return infix(im, "+", infix(im, "*", y, by_channel(im, weight, rank)), by_channel(im, bias, rank));
}

/* Whether they are what exporters write of a norm that learns nothing: ones and zeros,
 * which have no names of weights. */
static bool learns_nothing(Import *im, Wire *weight, Wire *bias) {
    return is_filled_with(im, weight, 1) && is_filled_with(im, bias, 0) &&
           !without_kind(im->arena, weight->hint) && !without_kind(im->arena, bias->hint);
}

/* By the mean and variance of the batch, which also move the running ones on: weights
 * that are standardized are computed so. */
static void normalize_batch(Import *im, Wire *x, Wire *const *inputs, double eps, Wire **outputs) {
    const int rank = wire_rank(im, x);
    const double momentum = attribute_real(im, "momentum", 0.9);
    int64_t axes[16];
    for (int i = 0; i < rank - 1; i++) axes[i] = i ? i + 1 : 0;
    const char *settings =
        arena_printf(im->arena, "axes = %s, keep = true", tuple_text(im->arena, axes, rank - 1));
    Wire *mean = stage(im, x, "reduce_mean", "%s", settings), *d = infix(im, "-", x, mean),
         *variance = stage(im, infix(im, "*", d, d), "reduce_mean", "%s", settings);
    Wire *deviation = stage(im, infix_number(im, "+", variance, eps), "sqrt", "%s", "");
    outputs[0] = affine_of_wires(im, infix(im, "/", d, deviation), inputs[1], inputs[2]);
    Wire *const fresh[] = {mean, variance};
    for (int i = 1; i < im->node->output_count && i < 3 && !im->why; i++) {
        Wire *own = reshaped(im, fresh[i - 1], (Dim[]){wire_size(im, x, 1)}, 1);
        outputs[i] = infix(im, "+", infix_number(im, "*", inputs[2 + i], momentum),
                           infix_number(im, "*", own, 1 - momentum));
    }
}

void convert_batchnorm(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    if (count < 5 || !x) {
        cannot(im, "BatchNormalization has five inputs");
        return;
    }
    if (im->opset < 9 && !attribute_int(im, "spatial", 1))
        cannot(im, "statistics for each position (spatial = 0)");
    bool layer = true;
    for (int i = 1; i < 5; i++) layer = layer && is_weight(im, inputs[i], 1) && inputs[i]->data;
    const double eps = attribute_real(im, "epsilon", 1e-5);
    if (attribute_int(im, "training_mode", 0)) {
        if (wire_rank(im, x) < 2) cannot(im, "a tensor without channels");
        else normalize_batch(im, x, inputs, eps, outputs);
        return;
    }
    if (layer) {
        static const char *const names[] = {"", "weight", "bias", "running_mean", "running_var"};
        const char *settings = eps_setting(im, eps, 1e-5);
        const bool plain = learns_nothing(im, inputs[1], inputs[2]);
        Line *line = layer_begin(im, x, "batchnorm", "%s%s%s", settings, plain && *settings ? ", " : "",
                                 plain ? "affine = false" : "");
        for (int i = plain ? 3 : 1; i < 5; i++) layer_weight(im, line, names[i], inputs[i]);
        outputs[0] = line_run(im, line, x->type);
        return;
    }
    const int rank = wire_rank(im, x);
    Wire *deviation =
        stage(im, infix_number(im, "+", by_channel(im, inputs[4], rank), eps), "sqrt", "%s", "");
    outputs[0] =
        affine_of_wires(im, infix(im, "/", infix(im, "-", x, by_channel(im, inputs[3], rank)), deviation),
                        inputs[1], inputs[2]);
}

/* A norm that learns a weight and a bias for each channel: a layer where they are
 * weights, else written out. `learning` is the setting that it needs to learn, "" where
 * it does without. */
static Wire *learned_norm(Import *im, Wire *x, Wire *weight, Wire *bias, const char *callee,
                          const char *settings, const char *learning) {
    const char *comma = *settings && *learning ? ", " : "";
    if (!is_weight(im, weight, 1) || !is_weight(im, bias, 1) || !weight->data || !bias->data) return NULL;
    if (learns_nothing(im, weight, bias))
        return *learning ? stage(im, x, callee, "%s", settings)
                         : stage(im, x, callee, "%s%saffine = false", settings, *settings ? ", " : "");
    Line *line = layer_begin(im, x, callee, "%s%s%s", settings, comma, learning);
    layer_weight(im, line, "weight", weight);
    layer_weight(im, line, "bias", bias);
    return line_run(im, line, x->type);
}

void convert_instancenorm(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *weight = input_at(inputs, count, 1),
         *bias = input_at(inputs, count, 2);
    const char *settings = eps_setting(im, attribute_real(im, "epsilon", 1e-5), 1e-5);
    outputs[0] = learned_norm(im, x, weight, bias, "instancenorm", settings, "affine = true");
    if (!outputs[0])
        outputs[0] = affine_of_wires(im, stage(im, x, "instancenorm", "%s", settings), weight, bias);
}

/* Up to opset 20, weight and bias have one number for each group; since opset 21, one for
 * each channel. */
void convert_groupnorm(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *weight = input_at(inputs, count, 1),
         *bias = input_at(inputs, count, 2);
    const int64_t groups = attribute_int(im, "num_groups", 1);
    int64_t channels, own;
    if (!x || !weight || !bias) return;
    const char *eps = eps_setting(im, attribute_real(im, "epsilon", 1e-5), 1e-5);
    const char *settings = arena_printf(im->arena, "%lld%s%s", (long long)groups, *eps ? ", " : "", eps);
    if (!wire_fixed(im, x, 1, &channels) || !wire_fixed(im, weight, 0, &own)) {
        cannot(im, "a number of channels that is free");
        return;
    }
    if (own == channels) outputs[0] = learned_norm(im, x, weight, bias, "groupnorm", settings, "");
    if (outputs[0] || im->why) return;
    Wire *pair[] = {weight, bias};
    for (int i = 0; i < 2 && own != channels; i++) {
        pair[i] = reshaped(im, pair[i], (Dim[]){dim_const(im->dims, groups), dim_const(im->dims, 1)}, 2);
        pair[i] = infix(
            im, "*", pair[i],
            call(im, "ones", NULL, 0, "[%lld, %lld]", (long long)groups, (long long)(channels / groups)));
        pair[i] = reshaped(im, pair[i], (Dim[]){dim_const(im->dims, channels)}, 1);
    }
    outputs[0] = affine_of_wires(im, stage(im, x, "groupnorm", "%s%saffine = false", settings, ", "), pair[0],
                                 pair[1]);
}

static const char *axes_from(Import *im, int axis, int rank) {
    int64_t axes[16];
    for (int i = axis; i < rank; i++) axes[i - axis] = i;
    return rank - axis == 1 ? arena_printf(im->arena, "%d", axis) : tuple_text(im->arena, axes, rank - axis);
}

void convert_layernorm(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *weight = input_at(inputs, count, 1),
         *bias = input_at(inputs, count, 2);
    if (!x || !weight) return;
    const int rank = wire_rank(im, x), axis = axis_of(im, attribute_int(im, "axis", -1), rank);
    const double eps = attribute_real(im, "epsilon", 1e-5);
    const bool alone = im->node->output_count == 1;
    if (axis < 0) return;
    if (axis == rank - 1 && alone && bias &&
        (outputs[0] = learned_norm(im, x, weight, bias, "layernorm", eps_setting(im, eps, 1e-5), "")))
        return;
    const char *axes = axes_from(im, axis, rank);
    Wire *mean = stage(im, x, "reduce_mean", "axes = %s, keep = true", axes), *d = infix(im, "-", x, mean);
    Wire *var = stage(im, infix(im, "*", d, d), "reduce_mean", "axes = %s, keep = true", axes);
    Wire *inverse = number_infix(im, 1, "/", stage(im, infix_number(im, "+", var, eps), "sqrt", "%s", ""));
    Wire *y = infix(im, "*", infix(im, "*", d, inverse), weight);
    outputs[0] = bias ? infix(im, "+", y, bias) : y;
    if (im->node->output_count > 1) outputs[1] = mean;
    if (im->node->output_count > 2) outputs[2] = inverse;
}

void convert_rms_norm(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *weight = input_at(inputs, count, 1);
    if (!x || !weight) return;
    const int rank = wire_rank(im, x), axis = axis_of(im, attribute_int(im, "axis", -1), rank);
    if (axis < 0) return;
    Wire *mean =
        stage(im, infix(im, "*", x, x), "reduce_mean", "axes = %s, keep = true", axes_from(im, axis, rank));
    Wire *inverse = number_infix(
        im, 1, "/",
        stage(im, infix_number(im, "+", mean, attribute_real(im, "epsilon", 1e-5)), "sqrt", "%s", ""));
    outputs[0] = infix(im, "*", infix(im, "*", x, inverse), weight);
}

void convert_lrn(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const long long size = attribute_int(im, "size", 1);
    if (size % 2 == 0) cannot(im, "LRN over an even number of channels");
    outputs[0] =
        stage(im, input_at(inputs, count, 0), "local_response_norm", "%lld, alpha = %s, beta = %s, k = %s",
              size, number_text(im->arena, attribute_real(im, "alpha", 1e-4), true),
              number_text(im->arena, attribute_real(im, "beta", 0.75), true),
              number_text(im->arena, attribute_real(im, "bias", 1), true));
}

void convert_mean_variance(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const OnnxAttribute *a = attribute(im, "axes");
    const char *axes = a && a->count <= 16 ? tuple_text(im->arena, a->integers, a->count) : "(0, 2, 3)";
    Wire *x = input_at(inputs, count, 0),
         *d = infix(im, "-", x, stage(im, x, "reduce_mean", "axes = %s, keep = true", axes));
    Wire *var = stage(im, infix(im, "*", d, d), "reduce_mean", "axes = %s, keep = true", axes);
    outputs[0] = infix(im, "/", d, infix_number(im, "+", stage(im, var, "sqrt", "%s", ""), 1e-9));
}

void convert_lp_normalization(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    if (!x) return;
    const int axis = axis_of(im, attribute_int(im, "axis", -1), wire_rank(im, x));
    Wire *norm = attribute_int(im, "p", 2) == 2
                     ? call(im, "norm", &x, 1, "axes = %d, keep = true", axis)
                     : stage(im, stage(im, x, "abs", "%s", ""), "reduce_sum", "axes = %d, keep = true", axis);
    outputs[0] = formula(im, "select(y == 0, x * 0, x / y)", (Wire *[]){x, norm}, 2);
}

/* Up to opset 12, softmax runs over all axes from `axis` on, taken as one. */
void convert_softmax(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    if (!x) return;
    const int rank = wire_rank(im, x);
    if (im->opset >= 13) {
        const int axis = axis_of(im, attribute_int(im, "axis", -1), rank);
        outputs[0] = axis == rank - 1 ? stage(im, x, current_row(im)->as, "%s", "")
                                      : stage(im, x, current_row(im)->as, "axis = %d", axis);
        return;
    }
    const int axis = axis_of(im, attribute_int(im, "axis", 1), rank);
    if (axis < 0) return;
    Dim dims[16];
    for (int i = 0; i < rank; i++) dims[i] = wire_size(im, x, i);
    Dim flat[] = {size_product(im, x, 0, axis), size_product(im, x, axis, rank)};
    const bool last = axis == rank - 1;
    outputs[0] = reshaped(im, stage(im, last ? x : reshaped(im, x, flat, 2), current_row(im)->as, "%s", ""),
                          dims, rank);
}

void convert_hardmax(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    if (!x) return;
    const int rank = wire_rank(im, x),
              axis = axis_of(im, attribute_int(im, "axis", im->opset < 13 ? 1 : -1), rank);
    if (axis < 0) return;
    if (im->opset < 13 && axis != rank - 1) cannot(im, "Hardmax over several axes");
    Dim dims[16], one = dim_const(im->dims, 1);
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? wire_size(im, x, i) : one;
    Wire *places =
        typed(call(im, "arange", NULL, 0, "%s", dim_string(im->arena, wire_size(im, x, axis))), ONNX_INT32);
    Wire *best = typed(stage(im, x, "argmax", "axis = %d, keep = true", axis), ONNX_INT32);
    outputs[0] =
        cast_to(im, typed(infix(im, "==", best, reshaped(im, places, dims, rank)), ONNX_BOOL), x->type);
}
