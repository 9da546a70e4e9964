/* The convolution and its two transposes, by input and by weight: their gradients are
 * each other.
 *
 * All three relate x [N, I, s..], w [O, I/groups, k..] and y [N, O, p..] by y[n, o, p] +=
 * x[n, c, stride*p + dilation*k - before] * w[o, c, k] over all c of o's group and all k
 * for which the place in x exists; each computes one of the three from the other two. */
#include "graph/conv_nest.h"
#include <assert.h>
#include <math.h>

static_assert(sizeof(Geometry) == sizeof(convolution_backward_data_attributes) &&
                  sizeof(Geometry) == sizeof(convolution_backward_weights_attributes),
              "the three convolutions have the same attributes");

const Geometry *geometry_of(const Node *node) {
    CHECK(node->op == OP_convolution || node->op == OP_convolution_backward_data ||
          node->op == OP_convolution_backward_weights);
    return node->attributes;
}

/* ---- shapes ---- */

static bool check_geometry(Graph *g, Op op, Node *const *inputs, const Geometry *geometry,
                           ShapeError *error) {
    Shape a = inputs[0]->shape, b = inputs[1]->shape;
    const char *name = op_info[op].name;
    if (!dtype_is_float(a.type) || a.type != b.type)
        return shape_error(g, error, 1, -1, "%s takes floats of one type, not %s and %s", name,
                           dtype_name(a.type), dtype_name(b.type));
    int axes = a.rank - 2;
    if (axes < 1 || axes > MAX_AXES)
        return shape_error(g, error, 0, -1, "%s takes batch, channels and 1 to %d spatial axes, not %s", name,
                           MAX_AXES, shape_string(g->arena, a));
    if (b.rank != a.rank)
        return shape_error(g, error, 1, -1, "%s of %s needs a second operand of as many axes, not %s", name,
                           shape_string(g->arena, a), shape_string(g->arena, b));
    if (geometry->stride.count != axes || geometry->dilation.count != axes ||
        geometry->before.count != axes || geometry->size.count != axes)
        return shape_error(g, error, -1, -1,
                           "%s over %d spatial axes needs as many strides, dilations, paddings and sizes",
                           name, axes);
    for (int i = 0; i < axes; i++)
        if (geometry->stride.items[i] < 1 || geometry->dilation.items[i] < 1)
            return shape_error(g, error, -1, -1, "stride and dilation of a convolution must be at least 1");
    return geometry->groups >= 1 || shape_error(g, error, -1, -1, "a convolution has at least 1 group");
}

/* Channels that the groups must divide. */
static bool check_groups(Graph *g, Dim channels, int64_t groups, int input, const char *what,
                         ShapeError *error) {
    if (graph_require(g, CHECK_DIVISIBLE, channels, dim_const(g->dims, groups), error,
                      "%s channels, %s, are not a multiple of the %lld groups", what, size_text(g, channels),
                      (long long)groups))
        return true;
    error->input = input;
    error->axis = 1;
    return false;
}

/* The loops over a kernel are code. */
static bool check_kernel(Graph *g, Shape w, ShapeError *error) {
    for (int i = 2; i < w.rank; i++)
        if (!dim_is_const(w.dims[i], NULL))
            return shape_error(g, error, 1, i,
                               "a convolution's kernel has a fixed size, which the weight %s has not",
                               shape_string(g->arena, w));
    return true;
}

static bool conv_result(Graph *g, Dim outer, Dim channels, const Geometry *geometry, DType type,
                        Shape *shape) {
    Dim *dims = NEW_ARRAY(g->arena, Dim, 2 + geometry->size.count);
    dims[0] = outer;
    dims[1] = channels;
    for (int i = 0; i < geometry->size.count; i++) dims[2 + i] = geometry->size.items[i];
    *shape = (Shape){type, 2 + geometry->size.count, dims};
    return true;
}

bool shape_convolution(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                       ShapeError *error) {
    (void)count;
    const Geometry *geometry = attributes;
    Shape x = inputs[0]->shape, w = inputs[1]->shape;
    if (!check_geometry(g, op, inputs, geometry, error) || !check_kernel(g, w, error)) return false;
    if (!check_groups(g, x.dims[1], geometry->groups, 0, "the input's", error)) return false;
    if (!check_groups(g, w.dims[0], geometry->groups, 1, "the output's", error)) return false;
    Dim wanted = dim_scale(g->dims, w.dims[1], geometry->groups);
    if (wanted != x.dims[1])
        return shape_error(g, error, 0, 1,
                           "convolution needs an input of %s channels, not %s: its weight is %s%s",
                           size_text(g, wanted), size_text(g, x.dims[1]), shape_string(g->arena, w),
                           geometry->groups == 1 ? "" : " a group");
    return conv_result(g, x.dims[0], w.dims[0], geometry, x.type, shape);
}

bool shape_convolution_backward_data(Graph *g, Op op, Node *const *inputs, int count, const void *attributes,
                                     Shape *shape, ShapeError *error) {
    (void)count;
    const Geometry *geometry = attributes;
    Shape dy = inputs[0]->shape, w = inputs[1]->shape;
    if (!check_geometry(g, op, inputs, geometry, error) || !check_kernel(g, w, error)) return false;
    if (!check_groups(g, dy.dims[1], geometry->groups, 0, "the input's", error)) return false;
    if (w.dims[0] != dy.dims[1])
        return shape_error(g, error, 0, 1,
                           "a transposed convolution needs an input of %s channels, not %s: its weight is %s",
                           size_text(g, w.dims[0]), size_text(g, dy.dims[1]), shape_string(g->arena, w));
    return conv_result(g, dy.dims[0], dim_scale(g->dims, w.dims[1], geometry->groups), geometry, dy.type,
                       shape);
}

bool shape_convolution_backward_weights(Graph *g, Op op, Node *const *inputs, int count,
                                        const void *attributes, Shape *shape, ShapeError *error) {
    (void)count;
    const Geometry *geometry = attributes;
    Shape x = inputs[0]->shape, dy = inputs[1]->shape;
    if (!check_geometry(g, op, inputs, geometry, error)) return false;
    if (!check_groups(g, x.dims[1], geometry->groups, 0, "the input's", error)) return false;
    if (x.dims[0] != dy.dims[0])
        return shape_error(g, error, 1, 0, "the gradient by weight takes two tensors of one batch size");
    return conv_result(g, dy.dims[1], dim_floor_div(g->dims, x.dims[1], geometry->groups), geometry, x.type,
                       shape) &&
           check_kernel(g, *shape, error);
}

/* ---- gradients ---- */

static Node *with_size(Graph *g, Op op, Node *a, Node *b, const Geometry *like, const Node *sized) {
    Geometry geometry = *like;
    geometry.size = (DimList){sized->shape.rank - 2, sized->shape.dims + 2};
    return graph_make(g, op, (Node *[]){a, b}, 2, &geometry);
}

Node *grad_convolution(Graph *g, Node *node, int input, Node *dy) {
    Node *x = node->inputs[0], *w = node->inputs[1];
    if (input == 0) return with_size(g, OP_convolution_backward_data, dy, w, node->attributes, x);
    return with_size(g, OP_convolution_backward_weights, x, dy, node->attributes, w);
}

/* d is the gradient by x; y plays the first operand. */
Node *grad_convolution_backward_data(Graph *g, Node *node, int input, Node *d) {
    Node *y = node->inputs[0], *w = node->inputs[1];
    if (input == 0) return with_size(g, OP_convolution, d, w, node->attributes, y);
    return with_size(g, OP_convolution_backward_weights, d, y, node->attributes, w);
}

Node *grad_convolution_backward_weights(Graph *g, Node *node, int input, Node *d) {
    Node *x = node->inputs[0], *y = node->inputs[1];
    if (input == 0) return with_size(g, OP_convolution_backward_data, y, d, node->attributes, x);
    return with_size(g, OP_convolution, x, d, node->attributes, y);
}

/* ---- reference: one nest for the three ---- */

static void conv_spatial_sizes(int64_t *sizes, const RefShape *shape) {
    int axes = shape->rank - 2;
    for (int i = 0; i < MAX_AXES; i++)
        sizes[i] = i < MAX_AXES - axes ? 1 : shape->dims[2 + i - (MAX_AXES - axes)];
}

static ConvNest nest_of(const RefCall *call) {
    const Geometry *geometry = geometry_of(call->node);
    ConvNest nest = {.op = call->node->op, .groups = geometry->groups, .to = &call->out->real};
    const RefShape *x, *w, *y;
    if (nest.op == OP_convolution) {
        x = &call->input_shapes[0], w = &call->input_shapes[1], y = &call->shape;
        nest.from_x = &call->inputs[0]->real, nest.from_w = &call->inputs[1]->real;
    } else if (nest.op == OP_convolution_backward_data) {
        y = &call->input_shapes[0], w = &call->input_shapes[1], x = &call->shape;
        nest.from_y = &call->inputs[0]->real, nest.from_w = &call->inputs[1]->real;
    } else {
        x = &call->input_shapes[0], y = &call->input_shapes[1], w = &call->shape;
        nest.from_x = &call->inputs[0]->real, nest.from_y = &call->inputs[1]->real;
    }
    conv_spatial_sizes(nest.x, x);
    conv_spatial_sizes(nest.y, y);
    conv_spatial_sizes(nest.k, w);
    int missing = MAX_AXES - geometry->stride.count;
    for (int i = 0; i < MAX_AXES; i++) {
        nest.stride[i] = i < missing ? 1 : geometry->stride.items[i - missing];
        nest.dilation[i] = i < missing ? 1 : geometry->dilation.items[i - missing];
        nest.before[i] = i < missing ? 0 : geometry->before.items[i - missing];
    }
    nest.batch = x->dims[0];
    nest.inputs = x->dims[1] / nest.groups;
    nest.outputs = y->dims[1] / nest.groups;
    return nest;
}

void conv_valid_range(int64_t stride, int64_t offset, int64_t x, int64_t y, int64_t *begin, int64_t *end) {
    *begin = offset >= 0 ? 0 : ceil_div(-offset, stride);
    *end = max_i64(*begin, x - offset <= 0 ? 0 : min_i64(y, ceil_div(x - offset, stride)));
}

FOR_EACH_PROCESSOR static void add_scaled(const double *from, double factor, double *to, int64_t count) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) to[i] += from[i] * factor;
}

/* One row of pixels under one tap. */
static void multiply_row(const ConvNest *nest, int64_t x, int64_t y, int64_t w, int64_t count) {
    int64_t stride = nest->stride[2];
    if (nest->op == OP_convolution) {
        const double *from = nest->from_x + x, factor = nest->from_w[w];
        double *to = nest->to + y;
        if (stride == 1) add_scaled(from, factor, to, count);
        else
            for (int64_t i = 0; i < count; i++) to[i] += from[i * stride] * factor;
    } else if (nest->op == OP_convolution_backward_data) {
        const double *from = nest->from_y + y, factor = nest->from_w[w];
        double *to = nest->to + x;
        for (int64_t i = 0; i < count; i++) to[i * stride] += from[i] * factor;
    } else {
        const double *from_x = nest->from_x + x, *from_y = nest->from_y + y;
        double sum = 0;
        for (int64_t i = 0; i < count; i++) sum += from_x[i * stride] * from_y[i];
        nest->to[w] += sum;
    }
}

/* All pixels under one tap: x, y and w are the beginnings of the channels' planes and of
 * the tap. */
static void multiply_plane(const ConvNest *nest, const int64_t *tap, int64_t x, int64_t y, int64_t w) {
    int64_t begin[MAX_AXES], end[MAX_AXES], offset[MAX_AXES];
    for (int i = 0; i < MAX_AXES; i++) {
        offset[i] = tap[i] * nest->dilation[i] - nest->before[i];
        conv_valid_range(nest->stride[i], offset[i], nest->x[i], nest->y[i], &begin[i], &end[i]);
    }
    if (begin[2] >= end[2]) return;
    int64_t column = begin[2] * nest->stride[2] + offset[2];
    for (int64_t d = begin[0]; d < end[0]; d++)
        for (int64_t h = begin[1]; h < end[1]; h++) {
            int64_t from =
                ((d * nest->stride[0] + offset[0]) * nest->x[1] + h * nest->stride[1] + offset[1]) *
                    nest->x[2] +
                column;
            multiply_row(nest, x + from, y + (d * nest->y[1] + h) * nest->y[2] + begin[2], w,
                         end[2] - begin[2]);
        }
}

/* An iteration is a group, which shares x, w and y with no other. */
static void run_conv_groups(void *context, int64_t begin, int64_t end) {
    const ConvNest *nest = context;
    int64_t x_plane = nest->x[0] * nest->x[1] * nest->x[2], y_plane = nest->y[0] * nest->y[1] * nest->y[2];
    int64_t taps = nest->k[0] * nest->k[1] * nest->k[2], all_outputs = nest->groups * nest->outputs;
    for (int64_t n = 0; n < nest->batch; n++)
        for (int64_t o = begin * nest->outputs; o < end * nest->outputs; o++)
            for (int64_t c = 0; c < nest->inputs; c++) {
                int64_t channel = o / nest->outputs * nest->inputs + c;
                int64_t x = (n * nest->groups * nest->inputs + channel) * x_plane,
                        y = (n * all_outputs + o) * y_plane;
                int64_t w = (o * nest->inputs + c) * taps;
                for (int64_t t = 0; t < taps; t++) {
                    int64_t tap[MAX_AXES] = {t / (nest->k[1] * nest->k[2]), t / nest->k[2] % nest->k[1],
                                             t % nest->k[2]};
                    multiply_plane(nest, tap, x, y, w + t);
                }
            }
}

int64_t conv_group_terms(const ConvNest *nest) {
    int64_t places = nest->y[0] * nest->y[1] * nest->y[2], taps = nest->k[0] * nest->k[1] * nest->k[2];
    return nest->batch * nest->outputs * nest->inputs * taps * places;
}

/* Products multiply the zeros beyond the border, which loops leave out: with an infinite
 * factor that gives NaN. And a group of one output would be unfolded for a single use. */
static bool suits_products(const RefCall *call, const ConvNest *nest) {
    bool padded = nest->op != OP_convolution_backward_data;
    for (int64_t i = 0; padded && i < call->input_shapes[1].count; i++)
        if (!isfinite(call->inputs[1][i].real)) return false;
    return nest->outputs > 1;
}

void ref_convolution(const RefCall *call) {
    ConvNest nest = nest_of(call);
    ref_clear(call);
    if (call->product && suits_products(call, &nest)) conv_by_products(&nest, call->product);
    else parallel_for(nest.groups, conv_group_terms(&nest), run_conv_groups, &nest);
}

void ref_convolution_backward_data(const RefCall *call) { ref_convolution(call); }
void ref_convolution_backward_weights(const RefCall *call) { ref_convolution(call); }
