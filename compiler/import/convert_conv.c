/* Convolutions. */
#include "import/convert.h"

/* The current node's convolution, by a weight that the model computes. */
Wire *convolved(Import *im, Wire *x, Wire *weight) {
    Wire *both[] = {x, weight};
    OnnxWindows w;
    Dim sizes[3];
    int64_t kernel[3], groups = groups_of_node(im);
    if (!x || !weight || !kernel_of(im, weight, wire_rank(im, x) - 2, kernel) ||
        !windows_of_node(im, wire_rank(im, x) - 2, kernel, &w))
        return NULL;
    if (w.axes == 2)
        return call(im, "convolve", both, 2, "%s",
                    first_settings(window_settings(im, &w, LIKE_CONV, groups)));
    if (!resolve_pads(im, x, &w)) return NULL;
    for (int i = 0; i < w.axes; i++) sizes[i] = window_places_along(im, x, &w, i);
    return primitive_windows(im, "convolution", both, 2, &w, sizes, groups);
}

/* The matrix [out, C] of a dense layer of which a kernel of one place is made; or
 * NULL. */
static Wire *matrix_of_kernel(Import *im, Wire *kernel) {
    const Line *line = kernel->line;
    Wire *matrix = line && !strcmp(line->callee, "reshape") ? line->inputs.items[0].wire : NULL;
    const bool same = matrix && is_weight(im, matrix, 2) &&
                      wire_size(im, matrix, 0) == wire_size(im, kernel, 0) &&
                      wire_size(im, matrix, 1) == wire_size(im, kernel, 1);
    return same ? matrix : NULL;
}

/* The bias; NULL where there is none, or where the file computes zeros for it, as
 * PyTorch's exporter does. */
static Wire *bias_of(Import *im, Wire *const *inputs, int count) {
    Wire *bias = input_at(inputs, count, 2);
    return bias && !bias->data && is_filled_with(im, bias, 0) ? NULL : bias;
}

static Wire *pointwise_layer(Import *im, Wire *x, Wire *matrix, Wire *bias) {
    Line *line = layer_begin(im, x, "pointwise", "%s%s", dim_string(im->arena, wire_size(im, matrix, 0)),
                             bias ? "" : ", bias = false");
    layer_weight(im, line, "weight", matrix);
    if (bias) layer_weight(im, line, "bias", bias);
    return line_run(im, line, x->type);
}

void convert_conv(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *weight = input_at(inputs, count, 1),
         *bias = bias_of(im, inputs, count);
    OnnxWindows w;
    int64_t kernel[3], channels, groups = groups_of_node(im);
    if (!x || !weight) return;
    const int axes = wire_rank(im, x) - 2;
    if (axes < 1 || axes > 3) cannot(im, "a convolution over %d axes", axes);
    if (im->why || !kernel_of(im, weight, axes, kernel) || !windows_of_node(im, axes, kernel, &w)) return;
    const bool known_bias = axes == 2 && (!bias || is_weight(im, bias, 1));
    if (!known_bias || !is_weight(im, weight, 4)) {
        Wire *matrix = known_bias ? matrix_of_kernel(im, weight) : NULL;
        outputs[0] = matrix && !*window_settings(im, &w, LIKE_CONV, groups)
                         ? pointwise_layer(im, x, matrix, bias)
                         : with_bias(im, convolved(im, x, weight), bias);
        return;
    }
    const int64_t out = dim_const_value(wire_size(im, weight, 0));
    const bool depthwise = groups > 1 && wire_fixed(im, x, 1, &channels) && groups == channels;
    const char *settings = window_settings(im, &w, LIKE_CONV, depthwise ? 1 : groups),
               *size = ints_text(im->arena, kernel, 2);
    const char *multiplier = depthwise && out != channels
                                 ? arena_printf(im->arena, ", multiplier = %lld", (long long)(out / channels))
                                 : "";
    const char *no_bias = bias ? "" : ", bias = false";
    Line *line = depthwise
                     ? layer_begin(im, x, "depthwise", "%s%s%s%s", size, settings, multiplier, no_bias)
                     : layer_begin(im, x, "conv", "%lld, %s%s%s", (long long)out, size, settings, no_bias);
    layer_weight(im, line, "weight", weight);
    if (bias) layer_weight(im, line, "bias", bias);
    outputs[0] = line_run(im, line, x->type);
}

/* Derives the padding from `output_shape` or auto_pad. */
static bool transposed_pads(Import *im, Wire *x, OnnxWindows *w) {
    int64_t wanted[3], *output_padding = w->output_padding;
    const bool shaped = attribute_ints(im, "output_shape", w->axes, wanted), same = w->upper || w->lower;
    for (int i = 0; (shaped || same) && i < w->axes; i++) {
        int64_t size, total;
        if (shaped && !wire_fixed(im, x, 2 + i, &size))
            return cannot(im, "output_shape of a size that is free");
        if (shaped && (wanted[i] < 1 || wanted[i] > INT32_MAX))
            return cannot(im, "output_shape of %lld", (long long)wanted[i]);
        total = shaped ? w->stride[i] * (size - 1) + output_padding[i] + w->dilation[i] * (w->kernel[i] - 1) +
                             1 - wanted[i]
                       : output_padding[i] + w->dilation[i] * (w->kernel[i] - 1) + 1 - w->stride[i];
        if (total < 0) output_padding[i] -= total, total = 0;
        w->before[i] = w->upper ? total / 2 : total - total / 2;
        w->after[i] = total - w->before[i];
    }
    w->upper = w->lower = false;
    return true;
}

void convert_conv_transpose(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *weight = input_at(inputs, count, 1),
         *bias = bias_of(im, inputs, count), *both[] = {x, weight};
    OnnxWindows w;
    int64_t kernel[3], groups = groups_of_node(im), out;
    if (!x || !weight) return;
    const int axes = wire_rank(im, x) - 2;
    if (axes < 1 || axes > 3) cannot(im, "a convolution over %d axes", axes);
    if (im->why || !kernel_of(im, weight, axes, kernel) || !windows_of_node(im, axes, kernel, &w) ||
        !wire_fixed(im, weight, 1, &out))
        return;
    if (!transposed_pads(im, x, &w)) return;
    if (axes != 2) {
        Dim sizes[3];
        for (int i = 0; i < axes; i++)
            sizes[i] = dim_offset(
                im->dims, dim_scale(im->dims, dim_offset(im->dims, wire_size(im, x, 2 + i), -1), w.stride[i]),
                w.dilation[i] * (kernel[i] - 1) + w.output_padding[i] + 1 - w.before[i] - w.after[i]);
        outputs[0] = with_bias(
            im, primitive_windows(im, "convolution_backward_data", both, 2, &w, sizes, groups), bias);
        return;
    }
    const char *settings = window_settings(im, &w, LIKE_TRANSPOSED, groups);
    if (!is_weight(im, weight, 4) || !weight->data || (bias && !is_weight(im, bias, 1))) {
        outputs[0] =
            with_bias(im, call(im, "convolve_transposed", both, 2, "%s", first_settings(settings)), bias);
        return;
    }
    Line *line = layer_begin(im, x, "conv_transpose", "%lld, %s%s%s", (long long)(out * groups),
                             ints_text(im->arena, kernel, 2), settings, bias ? "" : ", bias = false");
    layer_weight(im, line, "weight", weight);
    if (bias) layer_weight(im, line, "bias", bias);
    outputs[0] = line_run(im, line, x->type);
}
