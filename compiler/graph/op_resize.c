/* Resampling of the last two axes, and its transpose. Along each axis, with i the place in the result, n places in and m out:
 *
 *   rule                 source coordinate s(i)
 *   half_pixel           (i + 1/2) * n/m - 1/2
 *   pytorch_half_pixel   the same, but 0 where m = 1
 *   align_corners        i * (n - 1)/(m - 1), 0 where m = 1
 *   asymmetric           i * n/m
 *
 *   nearest takes floor(s) for asymmetric (PyTorch's "nearest") and floor(s + 1/2) for the others (its "nearest-exact"), in whole
 *   numbers, so that no rounding decides; bilinear clamps s to [0, n - 1] and mixes floor(s) and the next. */
#include "graph/ops.h"
#include <math.h>

/* ---- shapes ---- */

static bool check_names(Graph *g, Name mode, Name rule, ShapeError *error) {
    if (!same_name(mode, "nearest") && !same_name(mode, "bilinear"))
        return shape_error(g, error, -1, -1, "no such way to resize as \"%s\": nearest or bilinear", mode);
    if (same_name(rule, "half_pixel") || same_name(rule, "pytorch_half_pixel") || same_name(rule, "align_corners") ||
        same_name(rule, "asymmetric"))
        return true;
    return shape_error(g, error, -1, -1,
                       "no such rule of resizing as \"%s\": half_pixel, align_corners, asymmetric or pytorch_half_pixel", rule);
}

bool shape_resample(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape, ShapeError *error) {
    (void)count;
    const resample_attributes *resample = attributes;
    Shape x = inputs[0]->shape;
    if (!check_names(g, resample->mode, resample->rule, error)) return false;
    if (!dtype_is_float(x.type) || x.rank < 2 || resample->size.count != 2)
        return shape_error(g, error, 0, -1, "%s takes floats with height and width, and two sizes, not %s", op_info[op].name,
                           shape_string(g->arena, x));
    Dim *dims = copy_dims(g, x);
    dims[x.rank - 2] = resample->size.items[0];
    dims[x.rank - 1] = resample->size.items[1];
    *shape = (Shape){x.type, x.rank, dims};
    return true;
}

bool shape_resample_input(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                          ShapeError *error) {
    return shape_resample(g, op, inputs, count, attributes, shape, error); /* the attributes are the same */
}

/* ---- gradients ---- */

static Node *transposed(Graph *g, Op op, Node *node, Node *d) {
    resample_attributes attributes = *(const resample_attributes *)node->attributes;
    Shape x = node->inputs[0]->shape;
    attributes.size = (DimList){2, x.dims + x.rank - 2};
    return graph_make(g, op, &d, 1, &attributes);
}

Node *grad_resample(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return transposed(g, OP_resample_input, node, dy);
}

Node *grad_resample_input(Graph *g, Node *node, int input, Node *d) {
    (void)input;
    return transposed(g, OP_resample, node, d);
}

/* ---- reference ---- */

/* What one place of the result reads along one axis: low with weight 1 - part, high with weight part. */
typedef struct Tap {
    int64_t low, high;
    double part;
} Tap;

static int64_t clamp(int64_t at, int64_t size) { return at < 0 ? 0 : at >= size ? size - 1 : at; }

/* s(i) = top / bottom, exactly. */
static void source_coordinate(Name rule, int64_t i, int64_t in, int64_t out, int64_t *top, int64_t *bottom) {
    *top = 0;
    *bottom = 1;
    if (same_name(rule, "asymmetric")) *top = i * in, *bottom = out;
    else if (same_name(rule, "align_corners")) {
        if (out > 1) *top = i * (in - 1), *bottom = out - 1;
    } else if (out > 1 || same_name(rule, "half_pixel")) *top = (2 * i + 1) * in - out, *bottom = 2 * out;
}

static Tap tap_at(const resample_attributes *resample, int64_t i, int64_t in, int64_t out) {
    int64_t top, bottom;
    source_coordinate(resample->rule, i, in, out, &top, &bottom);
    if (same_name(resample->mode, "nearest")) {
        bool down = same_name(resample->rule, "asymmetric");
        int64_t at = clamp(down ? top / bottom : (2 * top + bottom) / (2 * bottom), in);
        return (Tap){at, at, 0};
    }
    if (top <= 0) return (Tap){0, 0, 0};
    int64_t low = clamp(top / bottom, in), high = clamp(low + 1, in);
    return (Tap){low, high, high == low ? 0 : (double)(top - low * bottom) / (double)bottom};
}

static Tap *taps_of(const resample_attributes *resample, int64_t in, int64_t out, Arena *arena) {
    Tap *taps = NEW_ARRAY(arena, Tap, out);
    for (int64_t i = 0; i < out; i++) taps[i] = tap_at(resample, i, in, out);
    return taps;
}

static void plane_forward(const double *x, double *y, const Tap *rows, const Tap *columns, int64_t height, int64_t width,
                          int64_t in_width) {
    for (int64_t h = 0; h < height; h++) {
        const double *low = x + rows[h].low * in_width, *high = x + rows[h].high * in_width;
        double part = rows[h].part;
        for (int64_t v = 0; v < width; v++) {
            Tap c = columns[v];
            double above = low[c.low] * (1 - c.part) + low[c.high] * c.part,
                   below = high[c.low] * (1 - c.part) + high[c.high] * c.part;
            y[h * width + v] = above * (1 - part) + below * part;
        }
    }
}

static void plane_backward(double *x, const double *y, const Tap *rows, const Tap *columns, int64_t height, int64_t width,
                           int64_t in_width) {
    for (int64_t h = 0; h < height; h++) {
        double *low = x + rows[h].low * in_width, *high = x + rows[h].high * in_width;
        for (int64_t v = 0; v < width; v++) {
            Tap c = columns[v];
            double above = y[h * width + v] * (1 - rows[h].part), below = y[h * width + v] * rows[h].part;
            low[c.low] += above * (1 - c.part);
            low[c.high] += above * c.part;
            high[c.low] += below * (1 - c.part);
            high[c.high] += below * c.part;
        }
    }
}

/* `small` is what resample reads, `large` what it makes, whichever is the larger. */
static void resample(const RefCall *call, const RefShape *small, const RefShape *large, bool backward) {
    const resample_attributes *attributes = call->node->attributes;
    Arena *arena = arena_new();
    int64_t in_height = small->dims[small->rank - 2], in_width = small->dims[small->rank - 1];
    int64_t height = large->dims[large->rank - 2], width = large->dims[large->rank - 1];
    const Tap *rows = taps_of(attributes, in_height, height, arena), *columns = taps_of(attributes, in_width, width, arena);
    for (int64_t plane = 0; plane < large->count / (height * width); plane++) {
        int64_t in = plane * in_height * in_width, out = plane * height * width;
        if (backward) plane_backward(call->out + in, call->inputs[0] + out, rows, columns, height, width, in_width);
        else plane_forward(call->inputs[0] + in, call->out + out, rows, columns, height, width, in_width);
    }
    arena_free(arena);
}

void ref_resample(const RefCall *call) { resample(call, &call->input_shapes[0], &call->shape, false); }
void ref_resample_input(const RefCall *call) { resample(call, &call->shape, &call->input_shapes[0], true); }
