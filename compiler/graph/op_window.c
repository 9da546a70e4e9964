/* Pools: windows over the axes after batch and channels. Sum pool and its transpose are
 * each other's gradients, and so are max_pool_scatter and max_pool_gather, which follow
 * the first maximum of each window. */
#include "graph/ops.h"
#include <stdlib.h>
#include <assert.h>
#include <math.h>

#define MAX_AXES 3

#define BEGINS_AS_POOLING(op)                                                               \
    static_assert(offsetof(op##_attributes, kernel) == offsetof(Pooling, kernel) &&         \
                      offsetof(op##_attributes, stride) == offsetof(Pooling, stride) &&     \
                      offsetof(op##_attributes, dilation) == offsetof(Pooling, dilation) && \
                      offsetof(op##_attributes, before) == offsetof(Pooling, before),       \
                  "the attributes of all pools begin alike");
BEGINS_AS_POOLING(pool_sum)
BEGINS_AS_POOLING(pool_sum_input)
BEGINS_AS_POOLING(pool_max)
BEGINS_AS_POOLING(max_pool_gather)

static bool is_pool(Op op) {
    return op == OP_pool_sum || op == OP_pool_sum_input || op == OP_pool_max || op == OP_max_pool_scatter ||
           op == OP_max_pool_gather;
}

const Pooling *pooling_of(const Node *node) {
    CHECK(is_pool(node->op));
    return node->attributes;
}

/* ---- shapes ---- */

static bool check_window(Graph *g, Op op, Shape x, const Pooling *pool, ShapeError *error) {
    int axes = x.rank - 2;
    const char *name = op_info[op].name;
    if (x.type == DTYPE_BOOL) return shape_error(g, error, 0, -1, "%s takes numbers, not bool", name);
    if (axes < 1 || axes > MAX_AXES)
        return shape_error(g, error, 0, -1, "%s takes batch, channels and 1 to %d spatial axes, not %s", name,
                           MAX_AXES, shape_string(g->arena, x));
    if (pool->kernel.count != axes || pool->stride.count != axes || pool->dilation.count != axes ||
        pool->before.count != axes)
        return shape_error(
            g, error, -1, -1,
            "%s over %d spatial axes needs as many kernel sizes, strides, dilations and paddings", name,
            axes);
    for (int i = 0; i < axes; i++)
        if (pool->kernel.items[i] < 1 || pool->stride.items[i] < 1 || pool->dilation.items[i] < 1)
            return shape_error(g, error, -1, -1, "kernel, stride and dilation of a pool must be at least 1");
    return true;
}

static bool window_result(Graph *g, Op op, Shape x, DimList size, Shape *shape, ShapeError *error) {
    if (size.count != x.rank - 2)
        return shape_error(g, error, -1, -1, "%s needs a size for each spatial axis", op_info[op].name);
    Dim *dims = copy_dims(g, x);
    for (int i = 0; i < size.count; i++) dims[2 + i] = size.items[i];
    *shape = (Shape){x.type, x.rank, dims};
    return true;
}

bool shape_pool(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                ShapeError *error) {
    (void)count;
    Shape x = inputs[0]->shape;
    const DimList *size = attributes_first(op, attributes, ATTR_DIMS);
    return check_window(g, op, x, attributes, error) && window_result(g, op, x, *size, shape, error);
}

bool shape_max_pool_scatter(Graph *g, Op op, Node *const *inputs, int count, const void *attributes,
                            Shape *shape, ShapeError *error) {
    (void)count;
    Shape x = inputs[0]->shape, dy = inputs[1]->shape;
    if (dy.rank != x.rank || dy.type != x.type)
        return shape_error(g, error, 1, -1, "max_pool_scatter takes two tensors of one type and rank");
    *shape = x;
    return check_window(g, op, x, attributes, error);
}

bool shape_max_pool_gather(Graph *g, Op op, Node *const *inputs, int count, const void *attributes,
                           Shape *shape, ShapeError *error) {
    if (!shape_equal(inputs[0]->shape, inputs[1]->shape))
        return shape_error(g, error, 1, -1, "max_pool_gather takes two tensors of one shape");
    return shape_pool(g, op, inputs, count, attributes, shape, error);
}

/* ---- gradients ---- */

static DimList spatial_sizes(const Node *node) {
    return (DimList){node->shape.rank - 2, node->shape.dims + 2};
}

Node *grad_pool_sum(Graph *g, Node *node, int input, Node *dy) {
    const Pooling *pool = pooling_of(node);
    pool_sum_input_attributes attributes = {pool->kernel, pool->stride, pool->dilation, pool->before,
                                            spatial_sizes(node->inputs[input])};
    return graph_make(g, OP_pool_sum_input, &dy, 1, &attributes);
}

Node *grad_pool_sum_input(Graph *g, Node *node, int input, Node *d) {
    const Pooling *pool = pooling_of(node);
    pool_sum_attributes attributes = {pool->kernel, pool->stride, pool->dilation, pool->before,
                                      spatial_sizes(node->inputs[input])};
    return graph_make(g, OP_pool_sum, &d, 1, &attributes);
}

Node *grad_pool_max(Graph *g, Node *node, int input, Node *dy) {
    return graph_make(g, OP_max_pool_scatter, (Node *[]){node->inputs[input], dy}, 2, pooling_of(node));
}

/* By x there is none: except for ties, a small change of x does not move the maximum. */
Node *grad_max_pool_scatter(Graph *g, Node *node, int input, Node *d) {
    if (input == 0) return NULL;
    const Pooling *pool = pooling_of(node);
    max_pool_gather_attributes attributes = {pool->kernel, pool->stride, pool->dilation, pool->before,
                                             spatial_sizes(node->inputs[1])};
    return graph_make(g, OP_max_pool_gather, (Node *[]){node->inputs[0], d}, 2, &attributes);
}

Node *grad_max_pool_gather(Graph *g, Node *node, int input, Node *d) {
    if (input == 0) return NULL;
    return graph_make(g, OP_max_pool_scatter, (Node *[]){node->inputs[0], d}, 2, pooling_of(node));
}

/* ---- reference ---- */

typedef struct RefWindows {
    int64_t kernel[MAX_AXES], stride[MAX_AXES], dilation[MAX_AXES], before[MAX_AXES];
    int64_t x[MAX_AXES], y[MAX_AXES], planes, x_plane, y_plane;
} RefWindows;

static RefWindows windows_of_call(const RefCall *call, const RefShape *x, const RefShape *y) {
    const Pooling *pool = pooling_of(call->node);
    RefWindows w = {.planes = x->dims[0] * x->dims[1], .x_plane = 1, .y_plane = 1};
    int missing = MAX_AXES - pool->kernel.count;
    for (int i = 0; i < MAX_AXES; i++) {
        int at = i - missing;
        w.kernel[i] = at < 0 ? 1 : pool->kernel.items[at];
        w.stride[i] = at < 0 ? 1 : pool->stride.items[at];
        w.dilation[i] = at < 0 ? 1 : pool->dilation.items[at];
        w.before[i] = at < 0 ? 0 : pool->before.items[at];
        w.x[i] = at < 0 ? 1 : x->dims[2 + at];
        w.y[i] = at < 0 ? 1 : y->dims[2 + at];
        w.x_plane *= w.x[i];
        w.y_plane *= w.y[i];
    }
    return w;
}

/* The *count places in x that the window at (d, h, v) covers, in order. */
static void window_places(const RefWindows *w, const int64_t *at, int64_t *places, int64_t *count) {
    *count = 0;
    int64_t first[MAX_AXES];
    for (int i = 0; i < MAX_AXES; i++) first[i] = at[i] * w->stride[i] - w->before[i];
    for (int64_t a = 0; a < w->kernel[0]; a++) {
        int64_t d = first[0] + a * w->dilation[0];
        if (d < 0 || d >= w->x[0]) continue;
        for (int64_t b = 0; b < w->kernel[1]; b++) {
            int64_t h = first[1] + b * w->dilation[1];
            if (h < 0 || h >= w->x[1]) continue;
            for (int64_t c = 0; c < w->kernel[2]; c++) {
                int64_t v = first[2] + c * w->dilation[2];
                if (v >= 0 && v < w->x[2]) places[(*count)++] = (d * w->x[1] + h) * w->x[2] + v;
            }
        }
    }
}

/* The places of a window in its plane of x, and its own place in the plane of y or out;
 * `real` tells how elements are held. */
typedef struct Window {
    const int64_t *places;
    int64_t count, output;
    bool real;
    Number least; /* of the type: the maximum of padding alone */
} Window;
typedef void (*WindowVisit)(const Number *x, const Number *y, Number *out, const Window *window);

/* Two operands or one (NULL), and the distance between the planes of each, in
 * elements. */
typedef struct Operands {
    const Number *x, *y;
    Number *out;
    int64_t y_plane, out_plane;
    DType type;
} Operands;

typedef struct Planes {
    const RefWindows *windows;
    Operands operands;
    WindowVisit visit;
} Planes;

static int64_t taps_of_windows(const RefWindows *w) { return w->kernel[0] * w->kernel[1] * w->kernel[2]; }

/* A visit gets the operands at the beginning of the plane. */
static void visit_planes(void *context, int64_t begin, int64_t end) {
    const Planes *planes = context;
    const RefWindows *w = planes->windows;
    const Operands *o = &planes->operands;
    int64_t *places = checked_realloc(NULL, sizeof *places * (size_t)taps_of_windows(w)), at[MAX_AXES];
    Window window = {.places = places, .real = dtype_is_float(o->type), .least = number_least(o->type)};
    for (at[0] = 0; at[0] < w->y[0]; at[0]++)
        for (at[1] = 0; at[1] < w->y[1]; at[1]++)
            for (at[2] = 0; at[2] < w->y[2]; at[2]++) {
                window_places(w, at, places, &window.count);
                window.output = (at[0] * w->y[1] + at[1]) * w->y[2] + at[2];
                for (int64_t p = begin; p < end; p++)
                    planes->visit(o->x ? o->x + p * w->x_plane : NULL, o->y ? o->y + p * o->y_plane : NULL,
                                  o->out + p * o->out_plane, &window);
            }
    free(places);
}

/* Visits every window of every plane. */
static void each_window(const RefWindows *w, Operands o, WindowVisit visit) {
    parallel_for(w->planes, w->y_plane * taps_of_windows(w), visit_planes, &(Planes){w, o, visit});
}

static void visit_sum(const Number *x, const Number *y, Number *out, const Window *w) {
    (void)y;
    Number sum = {0};
    for (int64_t i = 0; i < w->count; i++) sum = number_sum(sum, x[w->places[i]], w->real);
    out[w->output] = sum;
}

static void visit_spread(const Number *x, const Number *y, Number *out, const Window *w) {
    (void)x;
    for (int64_t i = 0; i < w->count; i++)
        out[w->places[i]] = number_sum(out[w->places[i]], y[w->output], w->real);
}

/* The place of the first maximum, or -1 where the whole window is padding. */
static int64_t first_maximum(const Number *x, const Window *w) {
    int64_t best = w->count ? w->places[0] : -1;
    for (int64_t i = 1; i < w->count; i++)
        if (ref_above(x[w->places[i]], x[best], w->real)) best = w->places[i];
    return best;
}

static void visit_max(const Number *x, const Number *y, Number *out, const Window *w) {
    (void)y;
    int64_t best = first_maximum(x, w);
    out[w->output] = best < 0 ? w->least : x[best];
}

static void visit_scatter(const Number *x, const Number *y, Number *out, const Window *w) {
    int64_t best = first_maximum(x, w);
    if (best >= 0) out[best] = number_sum(out[best], y[w->output], w->real);
}

static void visit_gather(const Number *x, const Number *values, Number *out, const Window *w) {
    int64_t best = first_maximum(x, w);
    out[w->output] = best < 0 ? (Number){0} : values[best];
}

void ref_pool_sum(const RefCall *call) {
    RefWindows w = windows_of_call(call, &call->input_shapes[0], &call->shape);
    each_window(&w, (Operands){call->inputs[0], NULL, call->out, 0, w.y_plane, call->shape.type}, visit_sum);
}

void ref_pool_sum_input(const RefCall *call) {
    RefWindows w = windows_of_call(call, &call->shape, &call->input_shapes[0]);
    ref_clear(call);
    each_window(&w, (Operands){NULL, call->inputs[0], call->out, w.y_plane, w.x_plane, call->shape.type},
                visit_spread);
}

void ref_pool_max(const RefCall *call) {
    RefWindows w = windows_of_call(call, &call->input_shapes[0], &call->shape);
    each_window(&w, (Operands){call->inputs[0], NULL, call->out, 0, w.y_plane, call->shape.type}, visit_max);
}

void ref_max_pool_scatter(const RefCall *call) {
    RefWindows w = windows_of_call(call, &call->input_shapes[0], &call->input_shapes[1]);
    ref_clear(call);
    each_window(
        &w, (Operands){call->inputs[0], call->inputs[1], call->out, w.y_plane, w.x_plane, call->shape.type},
        visit_scatter);
}

void ref_max_pool_gather(const RefCall *call) {
    RefWindows w = windows_of_call(call, &call->input_shapes[0], &call->shape);
    each_window(
        &w, (Operands){call->inputs[0], call->inputs[1], call->out, w.x_plane, w.y_plane, call->shape.type},
        visit_gather);
}
