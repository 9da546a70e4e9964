/* Pools. */
#include "import/convert.h"

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

static bool pool_sizes(Import *im, Wire *x, OnnxWindows *w, bool ceil_mode, Dim *sizes) {
    if (!resolve_pads(im, x, w)) return false;
    for (int i = 0; i < w->axes; i++) sizes[i] = pool_size(im, x, w, i, ceil_mode);
    return true;
}

static Wire *pool_three(Import *im, Wire *x, OnnxWindows *w, bool is_max, bool ceil_mode, bool with_pad) {
    Dim sizes[3];
    int64_t all = 1;
    if (!pool_sizes(im, x, w, ceil_mode, sizes)) return NULL;
    for (int i = 0; i < w->axes; i++) all *= w->kernel[i];
    if (is_max) return primitive_windows(im, "pool_max", &x, 1, w, sizes, 1);
    Wire *total = primitive_windows(im, "pool_sum", &x, 1, w, sizes, 1);
    const bool padded = is_padded(w);
    if (!ceil_mode && (with_pad || !padded)) return infix_number(im, "/", total, (double)all);
    if (with_pad && padded)
        return cannot(im, "an average over three axes with ceil_mode and count_include_pad");
    Dim dims[5] = {dim_const(im->dims, 1), dim_const(im->dims, 1)};
    for (int i = 0; i < w->axes; i++) dims[2 + i] = wire_size(im, x, 2 + i);
    Wire *ones = call(im, "ones", NULL, 0, "%s", dims_text(im->arena, dims, 2 + w->axes));
    return infix(im, "/", total, primitive_windows(im, "pool_sum", &ones, 1, w, sizes, 1));
}

/* Turns windows of one axis into windows of two axes, the first of which has size 1;
 * returns x with that axis. */
static Wire *lift_windows(Import *im, Wire *x, OnnxWindows *w) {
    int64_t *lists[] = {w->kernel, w->stride, w->dilation, w->before, w->after};
    if (!resolve_pads(im, x, w)) return NULL;
    for (int i = 0; i < COUNT_OF(lists); i++) lists[i][1] = lists[i][0], lists[i][0] = i < 3;
    w->axes = 2;
    return reshaped(
        im, x, (Dim[]){wire_size(im, x, 0), wire_size(im, x, 1), dim_const(im->dims, 1), wire_size(im, x, 2)},
        4);
}

static Wire *without_lifted_axis(Import *im, Wire *y) {
    return y ? reshaped(im, y, (Dim[]){wire_size(im, y, 0), wire_size(im, y, 1), wire_size(im, y, 3)}, 3)
             : NULL;
}

static Wire *pool_two(Import *im, Wire *x, const OnnxWindows *w, bool is_max, bool ceil_mode, bool with_pad) {
    return stage(im, x, is_max ? "maxpool" : "avgpool", "%s%s%s%s", ints_text(im->arena, w->kernel, 2),
                 window_settings(im, w, LIKE_POOL, 1), ceil_mode ? ", ceil_mode = true" : "",
                 !is_max && !with_pad && is_padded(w) ? ", count_include_pad = false" : "");
}

/* The index of each maximum in x as a flat tensor. max_pool_gather picks it from f32
 * indices within a plane, in which f32 is exact; the elements of the planes before are
 * added as i64. */
static Wire *pool_places(Import *im, Wire *x, OnnxWindows w, bool ceil_mode) {
    Dim sizes[3], dims[4], plane = size_product(im, x, 2, 4), planes = size_product(im, x, 0, 2);
    const bool by_columns = attribute_int(im, "storage_order", 0);
    if (w.axes != 2) return cannot(im, "the indices of a maximum pool over %d axes", w.axes);
    if (!pool_sizes(im, x, &w, ceil_mode, sizes)) return NULL;
    for (int i = 0; i < 4; i++) dims[i] = wire_size(im, x, i);
    const Dim one = dim_const(im->dims, 1);
    Wire *counted = call(im, "arange", NULL, 0, "%s, dtype = \"f32\"", dim_string(im->arena, plane));
    counted = reshaped(im, counted, (Dim[]){one, one, dims[by_columns ? 3 : 2], dims[by_columns ? 2 : 3]}, 4);
    if (by_columns) counted = permuted(im, counted, (int[]){0, 1, 3, 2});
    Wire *both[] = {x, broadcasted(im, counted, dims, 4)};
    Wire *places = cast_to(im, primitive_windows(im, "max_pool_gather", both, 2, &w, sizes, 1), ONNX_INT64);
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
    if (!x || !windows_of_node(im, wire_rank(im, x) - 2, NULL, &w)) return;
    if (im->node->output_count > 1 && *im->node->outputs[1]) outputs[1] = pool_places(im, x, w, ceil_mode);
    if (w.axes == 2) outputs[0] = pool_two(im, x, &w, is_max, ceil_mode, with_pad);
    else if (w.axes == 3) outputs[0] = pool_three(im, x, &w, is_max, ceil_mode, with_pad);
    else if ((x = lift_windows(im, x, &w)))
        outputs[0] = without_lifted_axis(im, pool_two(im, x, &w, is_max, ceil_mode, with_pad));
}

/* The elements to the power whose sums a norm of degree `p` is the root of. */
static Wire *powers_of_norm(Import *im, Wire *x, int64_t p) {
    if (p == 1) return formula(im, "abs(x)", &x, 1);
    return p == 2 ? formula(im, "x * x", &x, 1)
                  : infix_number(im, "**", stage(im, x, "abs", "%s", ""), (double)p);
}

static Wire *root_of_norm(Import *im, Wire *total, int64_t p) {
    if (p == 1) return total;
    return p == 2 ? stage(im, total, "sqrt", "%s", "") : infix_number(im, "**", total, 1 / (double)p);
}

/* The norm of each window. */
void convert_lp_pool(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    const int64_t p = attribute_int(im, "p", 2);
    OnnxWindows w;
    Dim sizes[3];
    if (!x || !windows_of_node(im, wire_rank(im, x) - 2, NULL, &w)) return;
    const bool lifted = w.axes == 1;
    if (lifted) x = lift_windows(im, x, &w);
    if (!x || !pool_sizes(im, x, &w, attribute_int(im, "ceil_mode", 0), sizes)) return;
    x = powers_of_norm(im, x, p);
    Wire *y = root_of_norm(im, primitive_windows(im, "pool_sum", &x, 1, &w, sizes, 1), p);
    outputs[0] = lifted ? without_lifted_axis(im, y) : y;
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
    if (!x || !places || !windows_of_node(im, wire_rank(im, x) - 2, NULL, &w)) return;
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
void convert_global_lp_pool(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    const int64_t p = attribute_int(im, "p", 2);
    if (!x) return;
    const char *all = all_places(im, x);
    outputs[0] =
        root_of_norm(im, stage(im, powers_of_norm(im, x, p), "reduce_sum", "axes = %s, keep = true", all), p);
}

/* The library's maxunpool: what was pooled, and the numbers that go back to its
 * places. */
void convert_own_unpool(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *like = input_at(inputs, count, 0);
    OnnxWindows w;
    if (!like || !windows_of_node(im, wire_rank(im, like) - 2, NULL, &w)) return;
    outputs[0] = call(im, "primitive.max_pool_scatter", inputs, count,
                      "kernel = %s, stride = %s, dilation = %s, before = %s",
                      tuple_text(im->arena, w.kernel, w.axes), tuple_text(im->arena, w.stride, w.axes),
                      tuple_text(im->arena, w.dilation, w.axes), tuple_text(im->arena, w.before, w.axes));
}
