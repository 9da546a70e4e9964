/* Windows of convolutions and pools: from the attributes of a node to the settings of a
 * statement. */
#include "import/convert.h"

enum { MOST_PLACES = 1 << 20 }; /* of a kernel, stride, dilation or padding: no sum of them overflows */

/* `what` are numbers of places that a window can have. */
static bool are_places(Import *im, const char *what, const int64_t *numbers, int count, int64_t least) {
    for (int i = 0; i < count; i++)
        if (numbers[i] < least || numbers[i] > MOST_PLACES)
            return cannot(im, "%s of %lld", what, (long long)numbers[i]);
    return true;
}

bool windows_of_node(Import *im, int axes, const int64_t *kernel, OnnxWindows *out) {
    *out = (OnnxWindows){.axes = axes};
    int64_t pads[6];
    if (out->axes < 1 || out->axes > 3) return cannot(im, "windows over %d axes", out->axes);
    if (kernel) memcpy(out->kernel, kernel, sizeof *kernel * (size_t)out->axes);
    else if (!attribute_ints(im, "kernel_shape", out->axes, out->kernel))
        return cannot(im, "kernel_shape is left out");
    if (!attribute_ints(im, "strides", out->axes, out->stride))
        for (int i = 0; i < 3; i++) out->stride[i] = 1;
    if (!attribute_ints(im, "dilations", out->axes, out->dilation))
        for (int i = 0; i < 3; i++) out->dilation[i] = 1;
    attribute_ints(im, "output_padding", axes, out->output_padding);
    if (!are_places(im, "a kernel", out->kernel, axes, 1) ||
        !are_places(im, "a stride", out->stride, axes, 1) ||
        !are_places(im, "a dilation", out->dilation, axes, 1) ||
        !are_places(im, "output_padding", out->output_padding, axes, 0))
        return false;
    const char *way = attribute_string(im, "auto_pad", "NOTSET");
    out->upper = !strcmp(way, "SAME_UPPER"), out->lower = !strcmp(way, "SAME_LOWER");
    if (strcmp(way, "NOTSET") || !attribute_ints(im, "pads", 2 * out->axes, pads)) return true;
    for (int i = 0; i < out->axes; i++) out->before[i] = pads[i], out->after[i] = pads[i + out->axes];
    return are_places(im, "a padding", pads, 2 * out->axes, -MOST_PLACES);
}

int64_t groups_of_node(Import *im) {
    const int64_t groups = attribute_int(im, "group", 1);
    return are_places(im, "a number of groups", &groups, 1, 1) ? groups : 1;
}

bool resolve_pads(Import *im, Wire *x, OnnxWindows *w) {
    for (int i = 0; (w->upper || w->lower) && i < w->axes; i++) {
        int64_t size;
        if (!wire_fixed(im, x, 2 + i, &size)) return cannot(im, "padding by auto_pad of a size that is free");
        int64_t total = max_i64(0, (ceil_div(size, w->stride[i]) - 1) * w->stride[i] +
                                       w->dilation[i] * (w->kernel[i] - 1) + 1 - size);
        w->before[i] = w->upper ? total / 2 : total - total / 2;
        w->after[i] = total - w->before[i];
    }
    w->upper = w->lower = false;
    return !im->why;
}

static const char *pad_text(Import *im, const OnnxWindows *w) {
    if (w->upper || w->lower) return w->upper ? "\"same_upper\"" : "\"same_lower\"";
    if (w->before[0] == w->after[0] && w->before[1] == w->after[1]) return ints_text(im->arena, w->before, 2);
    return tuple_text(im->arena, (int64_t[]){w->before[0], w->after[0], w->before[1], w->after[1]}, 4);
}

/* Whether the padding is what LIKE_CONV means. */
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

bool is_padded(const OnnxWindows *w) {
    return w->upper || w->lower || !all_are(w->before, w->axes, 0) || !all_are(w->after, w->axes, 0);
}

static void add_setting(Import *im, Text *text, const char *name, const int64_t *values,
                        const int64_t *unless) {
    if (values[0] != unless[0] || values[1] != unless[1])
        text_add(text, ", %s = %s", name, ints_text(im->arena, values, 2));
}

const char *window_settings(Import *im, const OnnxWindows *w, WindowDefaults defaults, int64_t groups) {
    static const int64_t ones[2] = {1, 1}, zeros[2] = {0, 0};
    Text text = {.arena = im->arena};
    add_setting(im, &text, "stride", w->stride, defaults == LIKE_POOL ? w->kernel : ones);
    if (defaults == LIKE_CONV ? !is_middle(w) : is_padded(w)) text_add(&text, ", pad = %s", pad_text(im, w));
    add_setting(im, &text, "output_padding", w->output_padding, zeros);
    add_setting(im, &text, "dilation", w->dilation, ones);
    if (groups != 1) text_add(&text, ", groups = %lld", (long long)groups);
    return text_string(&text);
}

const char *first_settings(const char *settings) { return *settings ? settings + 2 : ""; }

Wire *with_bias(Import *im, Wire *y, Wire *bias) {
    if (!y || !bias) return y;
    const int rank = wire_rank(im, y);
    Wire *shaped = rank == 4 ? stage(im, bias, "per_channel", "%s", "")
                             : stage(im, bias, "per_channel", "rank = %d", rank);
    return infix(im, "+", y, shaped);
}

Dim window_places_along(Import *im, Wire *x, const OnnxWindows *w, int axis) {
    Dim padded = dim_offset(im->dims, wire_size(im, x, 2 + axis),
                            w->before[axis] + w->after[axis] - w->dilation[axis] * (w->kernel[axis] - 1) - 1);
    return dim_offset(im->dims, dim_floor_div(im->dims, padded, w->stride[axis]), 1);
}

Wire *primitive_windows(Import *im, const char *callee, Wire *const *xs, int count, const OnnxWindows *w,
                        const Dim *sizes, int64_t groups) {
    const bool pools = strstr(callee, "pool") != NULL;
    const char *kernel =
        pools ? arena_printf(im->arena, "kernel = %s, ", tuple_text(im->arena, w->kernel, w->axes)) : "";
    const char *last = pools ? "" : arena_printf(im->arena, ", groups = %lld", (long long)groups);
    return call(im, arena_printf(im->arena, "primitive.%s", callee), xs, count,
                "%sstride = %s, dilation = %s, before = %s, size = %s%s", kernel,
                tuple_text(im->arena, w->stride, w->axes), tuple_text(im->arena, w->dilation, w->axes),
                tuple_text(im->arena, w->before, w->axes), dims_text(im->arena, sizes, w->axes), last);
}

bool kernel_of(Import *im, Wire *weight, int axes, int64_t *kernel) {
    if (wire_rank(im, weight) != axes + 2) return cannot(im, "a weight of %d axes", wire_rank(im, weight));
    for (int i = 0; i < axes; i++)
        if (!wire_fixed(im, weight, 2 + i, &kernel[i])) return cannot(im, "a kernel whose size is free");
    return true;
}
