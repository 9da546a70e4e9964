/* Convolutions, matrix products and pools. ONNX wants the padding after the input; the
 * graph has the size of the result instead. padding_behind computes the one from the
 * other. */
#include "export/export.h"
#include <math.h>

enum { MAX_SPATIAL = 3 };

typedef struct Windows { /* for each spatial axis */
    int count;
    int64_t kernel[MAX_SPATIAL], stride[MAX_SPATIAL], dilation[MAX_SPATIAL], before[MAX_SPATIAL];
    Dim in[MAX_SPATIAL], out[MAX_SPATIAL];
    int64_t pads[2 * MAX_SPATIAL]; /* first all before, then all after */
} Windows;

static int64_t reach_of_window(const Windows *w, int axis) {
    return (w->kernel[axis] - 1) * w->dilation[axis] + 1;
}

/* The least padding with which the result gets its size for all values of free sizes; -1
 * if there is none. */
static int64_t padding_behind(Export *e, const Windows *w, int axis) {
    Dims *dims = e->graph->dims;
    for (int64_t pad = 0; pad < reach_of_window(w, axis) + w->stride[axis]; pad++) {
        const Dim room = dim_offset(dims, w->in[axis], w->before[axis] + pad - reach_of_window(w, axis));
        if (dim_offset(dims, dim_floor_div(dims, room, w->stride[axis]), 1) == w->out[axis]) return pad;
    }
    return -1;
}

/* pool: the padding must be less than the kernel */
static bool windows_fit(Export *e, Windows *w, bool pool) {
    for (int i = 0; i < w->count; i++) {
        w->pads[i] = w->before[i], w->pads[w->count + i] = padding_behind(e, w, i);
        const int64_t most = pool ? w->kernel[i] - 1 : INT64_MAX;
        if (w->pads[i] < 0 || w->pads[w->count + i] < 0 || w->pads[i] > most || w->pads[w->count + i] > most)
            return false;
    }
    return true;
}

/* Pads the input up to the end of the last window, so that the windows need no padding.
 * For a maximum the padding is -infinity. */
static const char *padded_input(Export *e, Windows *w, const char *x, const Node *node) {
    Dims *dims = e->graph->dims;
    const int rank = node->shape.rank;
    const bool largest = node->op == OP_pool_max;
    Dim pads[2 * REF_MAX_RANK];
    for (int i = 0; i < 2 * rank; i++) pads[i] = dim_const(dims, 0);
    for (int i = 0; i < w->count; i++) {
        const Dim last = dim_scale(dims, dim_offset(dims, w->out[i], -1), w->stride[i]);
        pads[2 + i] = dim_const(dims, w->before[i]);
        pads[rank + 2 + i] =
            dim_sub(dims, dim_offset(dims, last, reach_of_window(w, i) - w->before[i]), w->in[i]);
        w->pads[i] = w->pads[w->count + i] = 0;
    }
    const char *sizes = value_of_sizes(e, pads, 2 * rank);
    const char *fill = largest ? value_of_number(e, -INFINITY, node->shape.type) : NULL;
    return sizes ? call_3(e, "Pad", x, sizes, fill) : NULL;
}

static void call_windows(OnnxCall *call, const Windows *w) {
    call_ints(call, "kernel_shape", w->kernel, w->count);
    call_ints(call, "strides", w->stride, w->count);
    call_ints(call, "pads", w->pads, 2 * w->count);
}

static void call_dilations(OnnxCall *call, const Windows *w) {
    bool any = false;
    for (int i = 0; i < w->count; i++) any = any || w->dilation[i] != 1;
    if (any) call_ints(call, "dilations", w->dilation, w->count);
}

/* ---- convolutions ---- */

bool has_bias_of_channels(Export *e, const Chosen *chosen) {
    (void)e;
    return binding_is_along(bound(chosen, "b"), 1);
}

static bool find_kernel(const Node *weight, Windows *w) {
    for (int i = 0; i < w->count; i++)
        if (!dim_is_const(weight->shape.dims[2 + i], &w->kernel[i])) return false;
    return true;
}

/* The node with that name in the pattern; if there is none, the matched node itself. */
static const Node *bound_or_root(const Chosen *chosen, const char *name) {
    const Binding *binding = bound(chosen, name);
    return binding ? binding->node : chosen->node;
}

static const Geometry *geometry_of_chosen(const Chosen *chosen, Windows *w) {
    const Geometry *a = geometry_of(bound_or_root(chosen, "c"));
    const Node *x = bound(chosen, "x")->node;
    w->count = a->stride.count;
    for (int i = 0; i < w->count; i++) {
        w->stride[i] = a->stride.items[i], w->dilation[i] = a->dilation.items[i];
        w->before[i] = a->before.items[i];
        w->in[i] = x->shape.dims[2 + i], w->out[i] = a->size.items[i];
    }
    return a;
}

static const char *write_conv_call(Export *e, const char *op, const Chosen *chosen, const char *x,
                                   const Windows *w, int64_t groups, const int64_t *more, bool bias) {
    OnnxCall *call = call_begin(e, op);
    call_input(call, x);
    call_input(call, value_of(e, bound(chosen, "w")->node));
    if (bias) call_input(call, value_along(e, bound(chosen, "b"), 1));
    call_windows(call, w);
    call_dilations(call, w);
    if (groups != 1) call_int(call, "group", groups);
    if (more) call_ints(call, "output_padding", more, w->count);
    return call_end(call);
}

const char *write_convolution(Export *e, const Chosen *chosen) {
    Windows w;
    const Geometry *a = geometry_of_chosen(chosen, &w);
    const char *value = value_of(e, bound(chosen, "x")->node);
    if (!find_kernel(bound(chosen, "w")->node, &w))
        return export_refuse(e, chosen->node, "the size of a convolution's kernel is free");
    if (!windows_fit(e, &w, false)) value = padded_input(e, &w, value, chosen->node);
    return value ? write_conv_call(e, "Conv", chosen, value, &w, a->groups, NULL, bound(chosen, "b")) : NULL;
}

/* Finds how much of a transposed convolution's result is cut off at the end (pads) or
 * missing there (`more`, output_padding). False if that depends on free sizes. */
static bool find_cut_behind(Export *e, Windows *w, int64_t *more) {
    Dims *dims = e->graph->dims;
    for (int i = 0; i < w->count; i++) {
        const Dim last = dim_scale(dims, dim_offset(dims, w->in[i], -1), w->stride[i]);
        int64_t cut;
        if (!dim_is_const(
                dim_sub(dims, dim_offset(dims, last, reach_of_window(w, i) - w->before[i]), w->out[i]), &cut))
            return false;
        w->pads[i] = w->before[i], w->pads[w->count + i] = max_i64(cut, 0), more[i] = max_i64(-cut, 0);
        if (w->pads[i] < 0 || more[i] >= max_i64(w->stride[i], w->dilation[i])) return false;
    }
    return true;
}

static bool is_any_above_0(const int64_t *numbers, int count) {
    for (int i = 0; i < count; i++)
        if (numbers[i] > 0) return true;
    return false;
}

/* Computes the complete transposed convolution, appends one stride of zeros, and slices
 * out the part that the graph wants. */
static const char *write_cut_transposed(Export *e, const Chosen *chosen, Windows *w, int64_t groups) {
    const int rank = chosen->node->shape.rank;
    int64_t pads[2 * REF_MAX_RANK] = {0};
    Dim begins[MAX_SPATIAL], ends[MAX_SPATIAL];
    int64_t axes[MAX_SPATIAL];
    for (int i = 0; i < w->count; i++) {
        w->pads[i] = w->pads[w->count + i] = 0;
        pads[rank + 2 + i] = w->stride[i];
        begins[i] = dim_const(e->graph->dims, w->before[i]);
        ends[i] = dim_offset(e->graph->dims, w->out[i], w->before[i]), axes[i] = 2 + i;
    }
    const char *whole = write_conv_call(e, "ConvTranspose", chosen, value_of(e, bound(chosen, "x")->node), w,
                                        groups, NULL, false);
    const char *last = value_of_sizes(e, ends, w->count);
    if (!last) return NULL;
    OnnxCall *cut = call_begin(e, "Slice");
    call_input(cut, call_2(e, "Pad", whole, value_of_ints(e, pads, 2 * rank)));
    call_input(cut, value_of_sizes(e, begins, w->count));
    call_input(cut, last);
    call_input(cut, value_of_ints(e, axes, w->count));
    return call_end(cut);
}

static const char *add_bias(Export *e, const Chosen *chosen, const char *value) {
    if (!value || !bound(chosen, "b")) return value;
    const Shape y = chosen->node->shape;
    Dim dims[REF_MAX_RANK];
    for (int i = 0; i < y.rank; i++) dims[i] = i == 1 ? y.dims[1] : dim_const(e->graph->dims, 1);
    const Shape flat = {y.type, 1, &y.dims[1]}, wide = {y.type, y.rank, dims};
    return call_2(e, "Add", value, value_reshaped(e, value_along(e, bound(chosen, "b"), 1), flat, wide));
}

const char *write_transposed(Export *e, const Chosen *chosen) {
    Windows w;
    int64_t more[MAX_SPATIAL];
    const Geometry *a = geometry_of_chosen(chosen, &w);
    if (!find_kernel(bound(chosen, "w")->node, &w))
        return export_refuse(e, chosen->node, "the size of a convolution's kernel is free");
    if (!find_cut_behind(e, &w, more))
        return add_bias(e, chosen, write_cut_transposed(e, chosen, &w, a->groups));
    return write_conv_call(e, "ConvTranspose", chosen, value_of(e, bound(chosen, "x")->node), &w, a->groups,
                           is_any_above_0(more, w.count) ? more : NULL, bound(chosen, "b"));
}

/* ---- matrix products ---- */

bool is_gemm(Export *e, const Chosen *chosen) {
    (void)e;
    const Binding *b = bound(chosen, "b"), *w = bound(chosen, "w");
    return chosen->node->shape.rank == 2 && w->root->shape.rank == 2 && w->node == w->root &&
           (!b || binding_is_along(b, 1));
}

const char *write_gemm(Export *e, const Chosen *chosen) {
    OnnxCall *call = call_begin(e, "Gemm");
    call_input(call, value_of(e, bound(chosen, "x")->node));
    call_input(call, value_of(e, bound(chosen, "w")->root));
    if (bound(chosen, "b")) call_input(call, value_along(e, bound(chosen, "b"), 1));
    call_int(call, "transB", 1);
    return call_end(call);
}

/* The operand before its broadcast, if MatMul broadcasts its leading axes by itself. */
static Node *matrix_operand(Node *node, const Node *other) {
    Node *short_form = without_broadcast(node);
    const int rank = node->shape.rank, missing = rank - short_form->shape.rank;
    if (short_form->shape.rank < 2) return node;
    for (int i = 0; i < rank; i++) {
        const bool same = i >= missing && short_form->shape.dims[i - missing] == node->shape.dims[i];
        if (!same && (i >= rank - 2 || other->shape.dims[i] != node->shape.dims[i])) return node;
    }
    return short_form;
}

static void find_matrices(const Chosen *chosen, Node **a, Node **b) {
    Node *x = bound(chosen, "x")->node, *y = bound(chosen, "y")->node;
    *b = matrix_operand(y, x);
    *a = *b == y ? matrix_operand(x, y) : x;
}

void matmul_needs(Export *e, const Chosen *chosen) {
    Node *a, *b;
    find_matrices(chosen, &a, &b);
    export_need(e, a), export_need(e, b);
}

const char *write_matmul(Export *e, const Chosen *chosen) {
    Node *a, *b;
    find_matrices(chosen, &a, &b);
    return call_2(e, "MatMul", value_of(e, a), value_of(e, b));
}

/* ---- pools ---- */

/* in, out: shapes before and after pooling */
static void windows_between(const Node *pool, Shape in, Shape out, Windows *w) {
    const Pooling *p = pooling_of(pool);
    w->count = p->kernel.count;
    for (int i = 0; i < w->count; i++) {
        w->kernel[i] = p->kernel.items[i], w->stride[i] = p->stride.items[i];
        w->dilation[i] = p->dilation.items[i], w->before[i] = p->before.items[i];
        w->in[i] = in.dims[in.rank - w->count + i], w->out[i] = out.dims[in.rank - w->count + i];
    }
}

static void windows_of_pool(const Node *pool, Windows *w) {
    windows_between(pool, pool->inputs[0]->shape, pool->shape, w);
}

static double places_of_window(const Windows *w) {
    double places = 1;
    for (int i = 0; i < w->count; i++) places *= (double)w->kernel[i];
    return places;
}

bool is_mean_of_window(Export *e, const Chosen *chosen) {
    (void)e;
    Windows w;
    windows_of_pool(bound(chosen, "p")->node, &w);
    return bound(chosen, "n")->number == places_of_window(&w);
}

/* Whether the sum and the count of elements use the same windows, with padding that ONNX
 * allows: it then leaves the padding out of the mean. */
bool is_mean_within(Export *e, const Chosen *chosen) {
    const Node *p = bound(chosen, "p")->node, *q = bound(chosen, "q")->node;
    Windows w, v;
    windows_of_pool(p, &w), windows_of_pool(q, &v);
    for (int i = 0; i < w.count; i++)
        if (w.kernel[i] != v.kernel[i] || w.stride[i] != v.stride[i] || w.dilation[i] != v.dilation[i] ||
            w.before[i] != v.before[i] || w.in[i] != v.in[i] || w.out[i] != v.out[i])
            return false;
    return windows_fit(e, &w, true);
}

static const char *write_pool(Export *e, const Chosen *chosen, const Node *pool, bool within) {
    Windows w;
    windows_of_pool(pool, &w);
    const bool largest = pool->op == OP_pool_max;
    const char *x = value_of(e, bound(chosen, "x")->node);
    if (!windows_fit(e, &w, true)) x = padded_input(e, &w, x, pool);
    if (!x) return NULL;
    OnnxCall *call = call_begin(e, largest ? "MaxPool" : "AveragePool");
    call_input(call, x);
    call_windows(call, &w);
    for (int i = 0; i < w.count && !largest; i++)
        if (w.dilation[i] != 1 && e->options->opset < 19)
            return export_refuse(e, pool, "dilated average pools need opset 19");
    call_dilations(call, &w);
    if (!largest && !within) call_int(call, "count_include_pad", 1);
    return call_end(call);
}

const char *write_average_pool(Export *e, const Chosen *chosen) {
    return write_pool(e, chosen, bound(chosen, "p")->node, bound(chosen, "q"));
}

const char *write_pool_sum(Export *e, const Chosen *chosen) {
    Windows w;
    windows_of_pool(chosen->node, &w);
    const char *mean = write_pool(e, chosen, chosen->node, false);
    return mean ? call_2(e, "Mul", mean, value_of_number(e, places_of_window(&w), chosen->node->shape.type))
                : NULL;
}

const char *write_max_pool(Export *e, const Chosen *chosen) {
    return write_pool(e, chosen, chosen->node, false);
}

/* Adds each element of y at the index of the maximum of its window of x. */
const char *write_unpool(Export *e, const Chosen *chosen) {
    Windows w;
    Node *x = bound(chosen, "x")->node, *y = bound(chosen, "y")->node;
    windows_between(chosen->node, x->shape, y->shape, &w);
    if (!windows_fit(e, &w, true)) return export_refuse(e, chosen->node, "its padding depends on free sizes");
    const int64_t flat = -1;
    const char *one = value_of_ints(e, &flat, 1), *found[2];
    OnnxCall *pool = call_begin(e, "MaxPool");
    call_input(pool, value_of(e, x));
    call_windows(pool, &w);
    call_dilations(pool, &w);
    call_end_all(pool, 2, found);
    const char *nothing =
        call_2(e, "Mul", call_2(e, "Reshape", value_of(e, x), one), value_of_number(e, 0, x->shape.type));
    OnnxCall *scatter = call_begin(e, "ScatterElements");
    call_input(scatter, nothing);
    call_input(scatter, call_2(e, "Reshape", found[1], one));
    call_input(scatter, call_2(e, "Reshape", value_of(e, y), one));
    call_text(scatter, "reduction", "add");
    return call_2(e, "Reshape", call_end(scatter), call_1(e, "Shape", value_of(e, x)));
}
