/* Convolutions, products with weights, and pools. */
#include "import/convert.h"

typedef struct OnnxWindows { /* windows of convolutions and pools, of one to three axes */
    int axes;
    int64_t kernel[3], stride[3], dilation[3], before[3], after[3];
    bool upper, lower; /* auto_pad */
} OnnxWindows;

static bool windows_of_node(Import *im, Wire *x, const int64_t *kernel, OnnxWindows *out) {
    *out = (OnnxWindows){.axes = wire_rank(im, x) - 2};
    int64_t pads[6];
    if (out->axes < 1 || out->axes > 3) return cannot(im, "windows over %d axes", out->axes);
    if (kernel) memcpy(out->kernel, kernel, sizeof *kernel * (size_t)out->axes);
    else if (!attribute_ints(im, "kernel_shape", out->axes, out->kernel))
        return cannot(im, "kernel_shape is left out");
    if (!attribute_ints(im, "strides", out->axes, out->stride))
        for (int i = 0; i < 3; i++) out->stride[i] = 1;
    if (!attribute_ints(im, "dilations", out->axes, out->dilation))
        for (int i = 0; i < 3; i++) out->dilation[i] = 1;
    const char *way = attribute_string(im, "auto_pad", "NOTSET");
    out->upper = !strcmp(way, "SAME_UPPER"), out->lower = !strcmp(way, "SAME_LOWER");
    if (strcmp(way, "NOTSET") || !attribute_ints(im, "pads", 2 * out->axes, pads)) return true;
    for (int i = 0; i < out->axes; i++) out->before[i] = pads[i], out->after[i] = pads[i + out->axes];
    return true;
}

/* Replaces SAME_UPPER and SAME_LOWER by numbers of padding. */
static bool resolve_pads(Import *im, Wire *x, OnnxWindows *w) {
    for (int i = 0; (w->upper || w->lower) && i < w->axes; i++) {
        int64_t size;
        if (!wire_fixed(im, x, 2 + i, &size)) return cannot(im, "padding by auto_pad of a size that is free");
        int64_t total = max_i64(0, (ceil_div(size, w->stride[i]) - 1) * w->stride[i] +
                                       w->dilation[i] * (w->kernel[i] - 1) + 1 - size);
        w->before[i] = w->upper ? total / 2 : total - total / 2;
        w->after[i] = total - w->before[i];
    }
    return !im->why;
}

static const char *pad_text(Import *im, const OnnxWindows *w) {
    if (w->upper || w->lower) return w->upper ? "\"same_upper\"" : "\"same_lower\"";
    if (w->before[0] == w->after[0] && w->before[1] == w->after[1]) return ints_text(im->arena, w->before, 2);
    return tuple_text(im->arena, (int64_t[]){w->before[0], w->after[0], w->before[1], w->after[1]}, 4);
}

/* Whether the padding is what the library's convolutions use by default. */
static bool is_middle(const OnnxWindows *w) {
    bool middle = !w->upper && !w->lower;
    for (int i = 0; i < w->axes; i++)
        middle = middle && w->kernel[i] % 2 == 1 && w->before[i] == w->after[i] &&
                 w->before[i] == w->dilation[i] * (w->kernel[i] - 1) / 2;
    return middle;
}

static bool all_are(const int64_t *values, int count, int64_t value) {
    for (int i = 0; i < count; i++)
        if (values[i] != value) return false;
    return true;
}

/* The settings that differ from the defaults as text: ", stride = 2, pad = 1". */
static const char *window_settings(Import *im, const OnnxWindows *w, int64_t groups) {
    Text text = {.arena = im->arena};
    if (!all_are(w->stride, 2, 1)) text_add(&text, ", stride = %s", ints_text(im->arena, w->stride, 2));
    if (!is_middle(w)) text_add(&text, ", pad = %s", pad_text(im, w));
    if (!all_are(w->dilation, 2, 1)) text_add(&text, ", dilation = %s", ints_text(im->arena, w->dilation, 2));
    if (groups != 1) text_add(&text, ", groups = %lld", (long long)groups);
    return text_string(&text);
}

/* Adds one number for each channel. */
static Wire *with_bias(Import *im, Wire *y, Wire *bias) {
    if (!y || !bias) return y;
    const int rank = wire_rank(im, y);
    Wire *shaped = rank == 4 ? stage(im, bias, "per_channel", "%s", "")
                             : stage(im, bias, "per_channel", "rank = %d", rank);
    return infix(im, "+", y, shaped);
}

static Dim window_places_along(Import *im, Wire *x, const OnnxWindows *w, int axis) {
    Dim padded = dim_offset(im->dims, wire_size(im, x, 2 + axis),
                            w->before[axis] + w->after[axis] - w->dilation[axis] * (w->kernel[axis] - 1) - 1);
    return dim_offset(im->dims, dim_floor_div(im->dims, padded, w->stride[axis]), 1);
}

/* Calls a primitive operator of the graph: for windows of one or three axes, and wherever
 * the library has no layer. */
static Wire *primitive_windows(Import *im, const char *callee, Wire *const *xs, int count,
                               const OnnxWindows *w, const Dim *sizes, int64_t groups) {
    const bool pools = strstr(callee, "pool") != NULL;
    const char *kernel =
        pools ? arena_printf(im->arena, "kernel = %s, ", tuple_text(im->arena, w->kernel, w->axes)) : "";
    const char *last = pools ? "" : arena_printf(im->arena, ", groups = %lld", (long long)groups);
    return call(im, arena_printf(im->arena, "primitive.%s", callee), xs, count,
                "%sstride = %s, dilation = %s, before = %s, size = %s%s", kernel,
                tuple_text(im->arena, w->stride, w->axes), tuple_text(im->arena, w->dilation, w->axes),
                tuple_text(im->arena, w->before, w->axes), dims_text(im->arena, sizes, w->axes), last);
}

static bool kernel_of(Import *im, Wire *weight, int axes, int64_t *kernel) {
    if (wire_rank(im, weight) != axes + 2) return cannot(im, "a weight of %d axes", wire_rank(im, weight));
    for (int i = 0; i < axes; i++)
        if (!wire_fixed(im, weight, 2 + i, &kernel[i])) return cannot(im, "a kernel whose size is free");
    return true;
}

/* The current node's convolution, by a weight that the model computes. */
Wire *convolved(Import *im, Wire *x, Wire *weight) {
    Wire *both[] = {x, weight};
    OnnxWindows w;
    Dim sizes[3];
    int64_t kernel[3], groups = attribute_int(im, "group", 1);
    if (!x || !weight || !kernel_of(im, weight, wire_rank(im, x) - 2, kernel) ||
        !windows_of_node(im, x, kernel, &w))
        return NULL;
    if (w.axes == 2) {
        const char *settings = window_settings(im, &w, groups);
        return call(im, "convolve", both, 2, "%s", *settings ? settings + 2 : "");
    }
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

static Wire *pointwise_layer(Import *im, Wire *x, Wire *matrix, Wire *bias) {
    Line *line = layer_begin(im, x, "pointwise", "%s%s", dim_string(im->arena, wire_size(im, matrix, 0)),
                             bias ? "" : ", bias = false");
    layer_weight(im, line, "weight", matrix);
    if (bias) layer_weight(im, line, "bias", bias);
    return line_run(im, line, x->type);
}

void convert_conv(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *weight = input_at(inputs, count, 1),
         *bias = input_at(inputs, count, 2);
    OnnxWindows w;
    int64_t kernel[3], channels, groups = attribute_int(im, "group", 1);
    if (!x || !weight) return;
    const int axes = wire_rank(im, x) - 2;
    if (axes < 1 || axes > 3) cannot(im, "a convolution over %d axes", axes);
    if (im->why || !kernel_of(im, weight, axes, kernel) || !windows_of_node(im, x, kernel, &w)) return;
    const bool known_bias = axes == 2 && (!bias || is_weight(im, bias, 1));
    if (!known_bias || !is_weight(im, weight, 4)) {
        Wire *matrix = known_bias ? matrix_of_kernel(im, weight) : NULL;
        outputs[0] = matrix && !*window_settings(im, &w, groups)
                         ? pointwise_layer(im, x, matrix, bias)
                         : with_bias(im, convolved(im, x, weight), bias);
        return;
    }
    const int64_t out = dim_const_value(wire_size(im, weight, 0));
    const bool depthwise = groups > 1 && wire_fixed(im, x, 1, &channels) && groups == channels;
    const char *settings = window_settings(im, &w, depthwise ? 1 : groups),
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
static bool transposed_pads(Import *im, Wire *x, OnnxWindows *w, int64_t *output_padding) {
    int64_t wanted[3];
    const bool shaped = attribute_ints(im, "output_shape", w->axes, wanted), same = w->upper || w->lower;
    for (int i = 0; (shaped || same) && i < w->axes; i++) {
        int64_t size, total;
        if (shaped && !wire_fixed(im, x, 2 + i, &size))
            return cannot(im, "output_shape of a size that is free");
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
         *bias = input_at(inputs, count, 2), *both[] = {x, weight};
    OnnxWindows w;
    int64_t kernel[3], output_padding[3] = {0}, groups = attribute_int(im, "group", 1), out;
    if (!x || !weight) return;
    const int axes = wire_rank(im, x) - 2;
    if (axes < 1 || axes > 3) cannot(im, "a convolution over %d axes", axes);
    if (im->why || !kernel_of(im, weight, axes, kernel) || !windows_of_node(im, x, kernel, &w) ||
        !wire_fixed(im, weight, 1, &out))
        return;
    attribute_ints(im, "output_padding", axes, output_padding);
    if (!transposed_pads(im, x, &w, output_padding)) return;
    if (axes != 2) {
        Dim sizes[3];
        for (int i = 0; i < axes; i++)
            sizes[i] = dim_offset(
                im->dims, dim_scale(im->dims, dim_offset(im->dims, wire_size(im, x, 2 + i), -1), w.stride[i]),
                w.dilation[i] * (kernel[i] - 1) + output_padding[i] + 1 - w.before[i] - w.after[i]);
        outputs[0] = with_bias(
            im, primitive_windows(im, "convolution_backward_data", both, 2, &w, sizes, groups), bias);
        return;
    }
    Text text = {.arena = im->arena};
    if (!all_are(w.stride, 2, 1)) text_add(&text, ", stride = %s", ints_text(im->arena, w.stride, 2));
    if (!all_are(w.before, 2, 0) || !all_are(w.after, 2, 0)) text_add(&text, ", pad = %s", pad_text(im, &w));
    if (!all_are(output_padding, 2, 0))
        text_add(&text, ", output_padding = %s", ints_text(im->arena, output_padding, 2));
    if (!all_are(w.dilation, 2, 1)) text_add(&text, ", dilation = %s", ints_text(im->arena, w.dilation, 2));
    if (groups != 1) text_add(&text, ", groups = %lld", (long long)groups);
    const char *settings = text_string(&text);
    if (!is_weight(im, weight, 4) || !weight->data || (bias && !is_weight(im, bias, 1))) {
        outputs[0] = with_bias(
            im, call(im, "convolve_transposed", both, 2, "%s", *settings ? settings + 2 : ""), bias);
        return;
    }
    Line *line = layer_begin(im, x, "conv_transpose", "%lld, %s%s%s", (long long)(out * groups),
                             ints_text(im->arena, kernel, 2), settings, bias ? "" : ", bias = false");
    layer_weight(im, line, "weight", weight);
    if (bias) layer_weight(im, line, "bias", bias);
    outputs[0] = line_run(im, line, x->type);
}

/* ---- pools ---- */

static Dim pool_size(Import *im, Wire *x, const OnnxWindows *w, int axis, bool ceil_mode) {
    Dim padded = dim_offset(im->dims, wire_size(im, x, 2 + axis),
                            w->before[axis] + w->after[axis] - w->dilation[axis] * (w->kernel[axis] - 1) - 1);
    Dim size = dim_offset(im->dims,
                          (ceil_mode ? dim_ceil_div : dim_floor_div)(im->dims, padded, w->stride[axis]), 1);
    int64_t count, in;
    if (ceil_mode && dim_is_const(size, &count) && wire_fixed(im, x, 2 + axis, &in) &&
        (count - 1) * w->stride[axis] >= in + w->before[axis])
        size = dim_offset(im->dims, size, -1);
    return size;
}

static Wire *pool_three(Import *im, Wire *x, OnnxWindows *w, bool is_max, bool ceil_mode, bool with_pad) {
    Dim sizes[3];
    int64_t all = 1;
    if (!resolve_pads(im, x, w)) return NULL;
    for (int i = 0; i < w->axes; i++) sizes[i] = pool_size(im, x, w, i, ceil_mode), all *= w->kernel[i];
    if (is_max) return primitive_windows(im, "pool_max", &x, 1, w, sizes, 1);
    Wire *total = primitive_windows(im, "pool_sum", &x, 1, w, sizes, 1);
    const bool padded = !all_are(w->before, w->axes, 0) || !all_are(w->after, w->axes, 0);
    if (!ceil_mode && (with_pad || !padded)) return infix_number(im, "/", total, (double)all);
    if (with_pad && padded)
        return cannot(im, "an average over three axes with ceil_mode and count_include_pad");
    Dim dims[5] = {dim_const(im->dims, 1), dim_const(im->dims, 1)};
    for (int i = 0; i < w->axes; i++) dims[2 + i] = wire_size(im, x, 2 + i);
    Wire *ones = call(im, "ones", NULL, 0, "%s", dims_text(im->arena, dims, 2 + w->axes));
    return infix(im, "/", total, primitive_windows(im, "pool_sum", &ones, 1, w, sizes, 1));
}

/* Turns windows of one axis into windows of two axes, the first of which has size 1. */
static void lift_windows(OnnxWindows *w) {
    int64_t *lists[] = {w->kernel, w->stride, w->dilation, w->before, w->after};
    for (int i = 0; i < COUNT_OF(lists); i++) lists[i][1] = lists[i][0], lists[i][0] = i < 3;
    w->axes = 2;
}

static Wire *pool_two(Import *im, Wire *x, const OnnxWindows *w, bool is_max, bool ceil_mode, bool with_pad) {
    Text text = {.arena = im->arena};
    const bool padded = w->upper || w->lower || !all_are(w->before, 2, 0) || !all_are(w->after, 2, 0);
    text_add(&text, "%s", ints_text(im->arena, w->kernel, 2));
    if (w->stride[0] != w->kernel[0] || w->stride[1] != w->kernel[1])
        text_add(&text, ", stride = %s", ints_text(im->arena, w->stride, 2));
    if (padded) text_add(&text, ", pad = %s", pad_text(im, w));
    if (!all_are(w->dilation, 2, 1)) text_add(&text, ", dilation = %s", ints_text(im->arena, w->dilation, 2));
    if (ceil_mode) text_add(&text, ", ceil_mode = true");
    if (!is_max && !with_pad && padded) text_add(&text, ", count_include_pad = false");
    return stage(im, x, is_max ? "maxpool" : "avgpool", "%s", text_string(&text));
}

/* The index of each maximum in x as a flat tensor. max_pool_gather picks it from f32
 * indices within a plane, in which f32 is exact; the elements of the planes before are
 * added as i64. */
static Wire *pool_places(Import *im, Wire *x, OnnxWindows *w, bool ceil_mode) {
    Dim sizes[3], dims[4], plane = size_product(im, x, 2, 4), planes = size_product(im, x, 0, 2);
    const bool by_columns = attribute_int(im, "storage_order", 0);
    if (w->axes != 2) return cannot(im, "the indices of a maximum pool over %d axes", w->axes);
    if (!resolve_pads(im, x, w)) return NULL;
    for (int i = 0; i < 4; i++) dims[i] = wire_size(im, x, i);
    for (int i = 0; i < 2; i++) sizes[i] = pool_size(im, x, w, i, ceil_mode);
    const Dim one = dim_const(im->dims, 1);
    Wire *counted = call(im, "arange", NULL, 0, "%s, dtype = \"f32\"", dim_string(im->arena, plane));
    counted = reshaped(im, counted, (Dim[]){one, one, dims[by_columns ? 3 : 2], dims[by_columns ? 2 : 3]}, 4);
    if (by_columns) counted = permuted(im, counted, (int[]){0, 1, 3, 2});
    Wire *both[] = {x, broadcasted(im, counted, dims, 4)};
    Wire *places = cast_to(im, primitive_windows(im, "max_pool_gather", both, 2, w, sizes, 1), ONNX_INT64);
    Wire *before = call(im, "arange", NULL, 0, "%s, dtype = \"i64\"", dim_string(im->arena, planes));
    before = infix_size(im, "*", typed(before, ONNX_INT64), plane);
    return infix(im, "+", places, reshaped(im, before, (Dim[]){dims[0], dims[1], one, one}, 4));
}

void convert_pool(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    OnnxWindows w;
    const bool is_max = !strcmp(current_row(im)->name, "MaxPool"),
               ceil_mode = attribute_int(im, "ceil_mode", 0),
               with_pad = attribute_int(im, "count_include_pad", 0);
    if (!x || !windows_of_node(im, x, NULL, &w)) return;
    if (im->node->output_count > 1 && *im->node->outputs[1]) outputs[1] = pool_places(im, x, &w, ceil_mode);
    if (w.axes == 2) outputs[0] = pool_two(im, x, &w, is_max, ceil_mode, with_pad);
    else if (w.axes == 3) outputs[0] = pool_three(im, x, &w, is_max, ceil_mode, with_pad);
    else {
        Dim flat[4] = {wire_size(im, x, 0), wire_size(im, x, 1), dim_const(im->dims, 1), wire_size(im, x, 2)};
        if (!resolve_pads(im, x, &w)) return;
        w.upper = w.lower = false;
        lift_windows(&w);
        Wire *y = pool_two(im, reshaped(im, x, flat, 4), &w, is_max, ceil_mode, with_pad);
        if (y) outputs[0] = reshaped(im, y, (Dim[]){flat[0], flat[1], y->shape.dims[3]}, 3);
    }
}

/* Appends zeros to y along each axis until it has the sizes `wanted`. */
static Wire *padded_to(Import *im, Wire *y, const Dim *wanted, const Dim *own, int rank) {
    Dim after[16], none[16];
    bool same = true;
    for (int i = 0; i < rank; i++) {
        none[i] = dim_const(im->dims, 0), after[i] = dim_sub(im->dims, wanted[i], own[i]);
        same = same && wanted[i] == own[i];
    }
    if (same || !y) return y;
    return call(im, "primitive.pad", &y, 1, "before = %s, after = %s, mode = \"constant\", value = 0.0",
                dims_text(im->arena, none, rank), dims_text(im->arena, after, rank));
}

/* Max unpooling. The second input holds the index of each element in the flat result. */
void convert_max_unpool(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *places = input_at(inputs, count, 1),
         *shape = input_at(inputs, count, 2);
    Dim own[16], wanted[16];
    OnnxWindows w;
    int rank = 0;
    if (!x || !places || !windows_of_node(im, x, NULL, &w)) return;
    for (int i = 0; i < w.axes + 2; i++) own[i] = wire_size(im, x, i);
    for (int i = 0; i < w.axes; i++)
        own[2 + i] =
            dim_offset(im->dims, dim_scale(im->dims, dim_offset(im->dims, own[2 + i], -1), w.stride[i]),
                       w.kernel[i] - w.before[i] - w.after[i]);
    if (shape && (!sizes_of(im, shape, "the shape", wanted, &rank) || rank != w.axes + 2)) return;
    Dim total = dim_const(im->dims, 1), elements = size_product(im, x, 0, wire_rank(im, x));
    for (int i = 0; i < w.axes + 2; i++) total = dim_mul(im->dims, total, own[i]);
    Wire *flat[] = {reshaped(im, x, &elements, 1), places_of(im, reshaped(im, places, &elements, 1), total)};
    Wire *y = reshaped(
        im,
        call(im, "primitive.scatter_add", flat, 2, "axis = 0, size = %s", dims_text(im->arena, &total, 1)),
        own, w.axes + 2);
    outputs[0] = shape ? padded_to(im, y, wanted, own, w.axes + 2) : y;
}

static const char *all_places(Import *im, Wire *x) {
    int64_t axes[16];
    const int rank = x ? wire_rank(im, x) : 0;
    for (int i = 2; i < rank; i++) axes[i - 2] = i;
    return tuple_text(im->arena, axes, rank > 2 ? rank - 2 : 0);
}

void convert_global_average_pool(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = stage(im, input_at(inputs, count, 0), "reduce_mean", "axes = %s, keep = true",
                       all_places(im, input_at(inputs, count, 0)));
}
void convert_global_max_pool(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = stage(im, input_at(inputs, count, 0), "reduce_max", "axes = %s, keep = true",
                       all_places(im, input_at(inputs, count, 0)));
}

/* ---- products ---- */

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

/* The weight [out, in] that is turned to [in, out] before a product; or NULL. */
static Wire *turned_weight(Import *im, Wire *wire) {
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
