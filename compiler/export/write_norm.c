/* Normalizations and softmax: composed of several operators in the library, but one
 * operator in ONNX. */
#include "export/export.h"

static IntList axes_of_sum(const Chosen *chosen, const char *name) {
    return ATTRIBUTES(bound(chosen, name)->node, sum)->axes;
}

static bool same_axes(IntList a, IntList b) {
    return a.count == b.count && !memcmp(a.items, b.items, sizeof *a.items * (size_t)a.count);
}

/* Whether the number is the product of the sizes along `axes`, by which a mean
 * divides. */
static bool is_size_along(Export *e, const Binding *number, Shape shape, IntList axes) {
    Dim product = dim_const(e->graph->dims, 1);
    int64_t known;
    for (int i = 0; i < axes.count; i++)
        product = dim_mul(e->graph->dims, product, shape.dims[axes.items[i]]);
    return number->size ? number->size == product
                        : dim_is_const(product, &known) && (double)known == number->number;
}

/* Whether `m` and `v` are means over the same axes. */
static bool is_normalized(Export *e, const Chosen *chosen, Shape x) {
    const IntList axes = axes_of_sum(chosen, "ms");
    return same_axes(axes, axes_of_sum(chosen, "vs")) && is_size_along(e, bound(chosen, "mn"), x, axes) &&
           is_size_along(e, bound(chosen, "vn"), x, axes);
}

static bool is_from_axis(IntList axes, int from, int rank) {
    for (int i = 0; i < axes.count; i++)
        if (axes.items[i] != from + i) return false;
    return axes.count == rank - from;
}

static bool affine_is_along(const Chosen *chosen, int axis) {
    const Binding *w = bound(chosen, "w"), *b = bound(chosen, "b");
    return !w || (binding_is_along(w, axis) && binding_is_along(b, axis));
}

/* Scale and bias; if the pattern has none, ones and zeros. */
static void call_affine(Export *e, OnnxCall *call, const Chosen *chosen, int axis) {
    const Binding *w = bound(chosen, "w");
    const Shape y = chosen->node->shape;
    call_input(call, w ? value_along(e, w, axis) : value_filled(e, 1, y.type, y.dims[axis]));
    call_input(call, w ? value_along(e, bound(chosen, "b"), axis) : value_filled(e, 0, y.type, y.dims[axis]));
}

static OnnxCall *begin_norm(Export *e, const char *op, const Chosen *chosen) {
    OnnxCall *call = call_begin(e, op);
    call_input(call, value_of(e, bound(chosen, "x")->node));
    call_real(call, "epsilon", bound(chosen, "eps")->number);
    return call;
}

/* ---- batch norm ---- */

bool is_batchnorm(Export *e, const Chosen *chosen) {
    (void)e;
    return chosen->node->shape.rank >= 2 && binding_is_along(bound(chosen, "m"), 1) &&
           affine_is_along(chosen, 1) &&
           shape_dims_equal(bound(chosen, "x")->node->shape, chosen->node->shape) &&
           dim_is_const(chosen->node->shape.dims[1], NULL) && bound(chosen, "v")->root->shape.rank == 1 &&
           bound(chosen, "v")->root->shape.dims[0] == chosen->node->shape.dims[1];
}

const char *write_batchnorm(Export *e, const Chosen *chosen) {
    OnnxCall *call = begin_norm(e, "BatchNormalization", chosen);
    call_affine(e, call, chosen, 1);
    call_input(call, value_along(e, bound(chosen, "m"), 1));
    call_input(call, value_of(e, bound(chosen, "v")->root));
    return call_end(call);
}

/* ---- layer, instance and group norm ---- */

bool is_layernorm(Export *e, const Chosen *chosen) {
    const Shape x = bound(chosen, "x")->node->shape;
    return is_normalized(e, chosen, x) && is_from_axis(axes_of_sum(chosen, "ms"), x.rank - 1, x.rank) &&
           affine_is_along(chosen, x.rank - 1) && dim_is_const(x.dims[x.rank - 1], NULL);
}

const char *write_layernorm(Export *e, const Chosen *chosen) {
    OnnxCall *call = begin_norm(e, "LayerNormalization", chosen);
    call_affine(e, call, chosen, chosen->node->shape.rank - 1);
    return call_end(call);
}

bool is_instancenorm(Export *e, const Chosen *chosen) {
    const Shape x = bound(chosen, "x")->node->shape;
    return x.rank >= 3 && is_normalized(e, chosen, x) && is_from_axis(axes_of_sum(chosen, "ms"), 2, x.rank) &&
           affine_is_along(chosen, 1) && dim_is_const(x.dims[1], NULL);
}

const char *write_instancenorm(Export *e, const Chosen *chosen) {
    OnnxCall *call = begin_norm(e, "InstanceNormalization", chosen);
    call_affine(e, call, chosen, 1);
    return call_end(call);
}

bool is_groupnorm(Export *e, const Chosen *chosen) {
    const Shape x = bound(chosen, "x")->node->shape, g = bound(chosen, "g")->node->shape;
    return x.rank >= 2 && g.rank == x.rank + 1 && g.dims[0] == x.dims[0] && dim_is_const(g.dims[1], NULL) &&
           dim_is_const(x.dims[1], NULL) && shape_dims_equal(x, bound(chosen, "r")->node->shape) &&
           is_normalized(e, chosen, g) && is_from_axis(axes_of_sum(chosen, "ms"), 2, g.rank) &&
           affine_is_along(chosen, 1);
}

const char *write_groupnorm(Export *e, const Chosen *chosen) {
    OnnxCall *call = begin_norm(e, "GroupNormalization", chosen);
    call_affine(e, call, chosen, 1);
    call_int(call, "num_groups", dim_const_value(bound(chosen, "g")->node->shape.dims[1]));
    return call_end(call);
}

/* ---- means ---- */

bool is_mean(Export *e, const Chosen *chosen) {
    return is_size_along(e, bound(chosen, "n"), bound(chosen, "x")->node->shape, axes_of_sum(chosen, "s"));
}

/* Whether the reshape only drops the axes of the sum. */
bool is_squeezed_mean(Export *e, const Chosen *chosen) {
    const Shape x = bound(chosen, "x")->node->shape, r = bound(chosen, "r")->node->shape;
    const IntList axes = axes_of_sum(chosen, "s");
    if (r.rank != x.rank - axes.count || !is_mean(e, chosen)) return false;
    for (int i = 0, k = 0, a = 0; i < x.rank; i++)
        if (a < axes.count && axes.items[a] == i) a++;
        else if (r.dims[k++] != x.dims[i]) return false;
    return true;
}

const char *write_mean(Export *e, const Chosen *chosen) {
    const Shape x = bound(chosen, "x")->node->shape;
    const IntList axes = axes_of_sum(chosen, "s");
    const char *value = value_of(e, bound(chosen, "x")->node);
    const bool keep = !bound(chosen, "r");
    if (keep && x.rank >= 3 && is_from_axis(axes, 2, x.rank)) return call_1(e, "GlobalAveragePool", value);
    return call_reduce(e, "ReduceMean", 18, value, axes, keep);
}

/* ---- softmax ---- */

bool is_softmax(Export *e, const Chosen *chosen) {
    (void)e;
    const IntList axes = axes_of_sum(chosen, "s");
    return axes.count == 1 && same_axes(axes, ATTRIBUTES(bound(chosen, "m")->node, reduce_max)->axes);
}

static const char *write_softmax_of(Export *e, const Chosen *chosen, const char *op) {
    OnnxCall *call = call_begin(e, op);
    call_input(call, value_of(e, bound(chosen, "x")->node));
    call_int(call, "axis", axes_of_sum(chosen, "s").items[0]);
    return call_end(call);
}

const char *write_softmax(Export *e, const Chosen *chosen) { return write_softmax_of(e, chosen, "Softmax"); }
const char *write_log_softmax(Export *e, const Chosen *chosen) {
    return write_softmax_of(e, chosen, "LogSoftmax");
}
