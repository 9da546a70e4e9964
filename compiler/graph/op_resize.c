/* Resampling of the last two axes, and its transpose. Along each axis, with i the place
 * in the result, n places in and m out:
 *
 *   rule                 source coordinate s(i)
 *   half_pixel           (i + 1/2) * n/m - 1/2
 *   pytorch_half_pixel   the same, but 0 where m = 1
 *   align_corners        i * (n - 1)/(m - 1), 0 where m = 1
 *   asymmetric           i * n/m
 *
 *   nearest    floor(s) for asymmetric (PyTorch's "nearest"), floor(s + 1/2) for the others
 *              (its "nearest-exact"), in integers, so that no rounding decides
 *   bilinear   s clamped to [0, n - 1], a mix of floor(s) and the next
 *   cubic      of floor(s) - 1 and the next three, each clamped to the picture, by the
 *              convolution with parameter a of Keys 1981
 *   area       the mean of floor(i n/m) up to ceil((i + 1) n/m), whatever the rule: PyTorch's
 *              adaptive average
 *   antialias  bilinear and cubic by half_pixel: all places p within the filter's reach,
 *              which grows with n/m where the picture shrinks, weighted by
 *              filter(((p + 1/2) m - (i + 1/2) n) / max(n, m)), the weights divided by
 *              their sum */
#include "graph/ops.h"
#include <math.h>

/* ---- shapes ---- */

static bool name_is_one_of(Name name, const char *const *names) {
    while (*names && !same_name(name, *names)) names++;
    return *names;
}

static bool check_way(Graph *g, const resample_attributes *attributes, ShapeError *error) {
    static const char *const modes[] = {"nearest", "bilinear", "cubic", "area", NULL};
    static const char *const rules[] = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
                                        NULL};
    if (!name_is_one_of(attributes->mode, modes))
        return shape_error(g, error, -1, -1,
                           "no such way to resize as \"%s\": nearest, bilinear, cubic or area",
                           attributes->mode);
    if (!name_is_one_of(attributes->rule, rules))
        return shape_error(
            g, error, -1, -1,
            "no such rule of resizing as \"%s\": half_pixel, align_corners, asymmetric or pytorch_half_pixel",
            attributes->rule);
    if (!attributes->antialias) return true;
    if (!same_name(attributes->mode, "bilinear") && !same_name(attributes->mode, "cubic"))
        return shape_error(g, error, -1, -1, "antialias is for bilinear and cubic resizing, not for %s",
                           attributes->mode);
    if (!same_name(attributes->rule, "half_pixel"))
        return shape_error(g, error, -1, -1, "antialias goes with the rule half_pixel, not %s",
                           attributes->rule);
    return true;
}

bool shape_resample(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                    ShapeError *error) {
    (void)count;
    const resample_attributes *resample = attributes;
    Shape x = inputs[0]->shape;
    if (!check_way(g, resample, error)) return false;
    if (!dtype_is_float(x.type) || x.rank < 2 || resample->size.count != 2)
        return shape_error(g, error, 0, -1, "%s takes floats with height and width, and two sizes, not %s",
                           op_info[op].name, shape_string(g->arena, x));
    Dim *dims = copy_dims(g, x);
    dims[x.rank - 2] = resample->size.items[0];
    dims[x.rank - 1] = resample->size.items[1];
    *shape = (Shape){x.type, x.rank, dims};
    return true;
}

bool shape_resample_input(Graph *g, Op op, Node *const *inputs, int count, const void *attributes,
                          Shape *shape, ShapeError *error) {
    return shape_resample(g, op, inputs, count, attributes, shape, error); /* the attributes are the same */
}

/* ---- gradients ---- */

static Node *transposed_resample(Graph *g, Op op, Node *node, Node *d) {
    resample_attributes attributes = *(const resample_attributes *)node->attributes;
    Shape x = node->inputs[0]->shape;
    attributes.size = (DimList){2, x.dims + x.rank - 2};
    return graph_make(g, op, &d, 1, &attributes);
}

Node *grad_resample(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return transposed_resample(g, OP_resample_input, node, dy);
}

Node *grad_resample_input(Graph *g, Node *node, int input, Node *d) {
    (void)input;
    return transposed_resample(g, OP_resample, node, d);
}

/* ---- reference ---- */

/* What one place of the result reads along one axis: `count` places, beginning with
 * `first`. */
typedef struct ResampleTaps {
    int64_t first, count;
    double *weights;
    /* the sum is divided by it, so that a mean is one quotient and not a sum of rounded
     * shares */
    double over;
} ResampleTaps;

static int64_t clamp_place(int64_t at, int64_t size) { return at < 0 ? 0 : at >= size ? size - 1 : at; }

static int64_t floor_div(int64_t top, int64_t bottom) { return top / bottom - (top % bottom < 0); }

/* s(i) = top / bottom, exactly. */
static void resample_coordinate(Name rule, int64_t i, int64_t in, int64_t out, int64_t *top,
                                int64_t *bottom) {
    *top = 0;
    *bottom = 1;
    if (same_name(rule, "asymmetric")) *top = i * in, *bottom = out;
    else if (same_name(rule, "align_corners")) {
        if (out > 1) *top = i * (in - 1), *bottom = out - 1;
    } else if (out > 1 || same_name(rule, "half_pixel")) *top = (2 * i + 1) * in - out, *bottom = 2 * out;
}

double resample_cubic(double t, double a) {
    t = fabs(t);
    if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

static ResampleTaps taps_new(int64_t first, int64_t end, Arena *arena) {
    return (ResampleTaps){first, end - first, NEW_ARRAY(arena, double, end - first), 1};
}

/* `reach` places before s and after it, weighted by filter(place - s); places beyond the
 * picture count as its ends. */
static ResampleTaps taps_around(const resample_attributes *attributes, int64_t i, int64_t in, int64_t out,
                                Arena *arena) {
    int64_t top, bottom, reach = same_name(attributes->mode, "cubic") ? 2 : 1;
    resample_coordinate(attributes->rule, i, in, out, &top, &bottom);
    if (reach == 1) { /* bilinear */
        top = top < 0 ? 0 : top;
        if (top > (in - 1) * bottom) top = in - 1, bottom = 1;
    }
    int64_t base = floor_div(top, bottom);
    double part = (double)(top - base * bottom) / (double)bottom;
    ResampleTaps taps = taps_new(clamp_place(base + 1 - reach, in), clamp_place(base + reach, in) + 1, arena);
    for (int64_t p = base + 1 - reach; p <= base + reach; p++) {
        double t = (double)(p - base) - part;
        taps.weights[clamp_place(p, in) - taps.first] +=
            reach == 2 ? resample_cubic(t, attributes->a) : 1 - fabs(t);
    }
    return taps;
}

static ResampleTaps taps_without_alias(const resample_attributes *attributes, int64_t i, int64_t in,
                                       int64_t out, Arena *arena) {
    bool is_cubic = same_name(attributes->mode, "cubic");
    int64_t wide = in > out ? in : out, reach = (is_cubic ? 4 : 2) * wide, middle = (2 * i + 1) * in;
    int64_t first = floor_div(middle - reach + out, 2 * out), end = floor_div(middle + reach + out, 2 * out);
    ResampleTaps taps = taps_new(first < 0 ? 0 : first, end > in ? in : end, arena);
    double total = 0;
    for (int64_t k = 0; k < taps.count; k++) {
        double t = (double)((2 * (taps.first + k) + 1) * out - middle) / (double)(2 * wide);
        total += taps.weights[k] = is_cubic ? resample_cubic(t, attributes->a) : fmax(1 - fabs(t), 0);
    }
    for (int64_t k = 0; k < taps.count; k++) taps.weights[k] /= total;
    return taps;
}

static ResampleTaps taps_at(const resample_attributes *attributes, int64_t i, int64_t in, int64_t out,
                            Arena *arena) {
    if (attributes->antialias) return taps_without_alias(attributes, i, in, out, arena);
    if (same_name(attributes->mode, "area")) {
        ResampleTaps taps = taps_new(i * in / out, ceil_div((i + 1) * in, out), arena);
        for (int64_t k = 0; k < taps.count; k++) taps.weights[k] = 1;
        taps.over = (double)taps.count;
        return taps;
    }
    if (!same_name(attributes->mode, "nearest")) return taps_around(attributes, i, in, out, arena);
    int64_t top, bottom;
    resample_coordinate(attributes->rule, i, in, out, &top, &bottom);
    bool down = same_name(attributes->rule, "asymmetric");
    int64_t at = clamp_place(floor_div(down ? top : 2 * top + bottom, down ? bottom : 2 * bottom), in);
    ResampleTaps taps = taps_new(at, at + 1, arena);
    taps.weights[0] = 1;
    return taps;
}

static ResampleTaps *taps_of_resample(const resample_attributes *attributes, int64_t in, int64_t out,
                                      Arena *arena) {
    ResampleTaps *taps = NEW_ARRAY(arena, ResampleTaps, out);
    for (int64_t i = 0; i < out; i++) taps[i] = taps_at(attributes, i, in, out, arena);
    return taps;
}

/* One element of the result: read from x, or added to it. */
static double read_element(const double *x, ResampleTaps rows, ResampleTaps columns, int64_t in_width) {
    double sum = 0;
    for (int64_t r = 0; r < rows.count; r++) {
        const double *row = x + (rows.first + r) * in_width + columns.first;
        double across = 0;
        for (int64_t c = 0; c < columns.count; c++) across += columns.weights[c] * row[c];
        sum += rows.weights[r] * across;
    }
    return sum / (rows.over * columns.over);
}

static void add_element(double *x, double y, ResampleTaps rows, ResampleTaps columns, int64_t in_width) {
    y /= rows.over * columns.over;
    for (int64_t r = 0; r < rows.count; r++) {
        double *row = x + (rows.first + r) * in_width + columns.first;
        for (int64_t c = 0; c < columns.count; c++) row[c] += y * rows.weights[r] * columns.weights[c];
    }
}

/* resample reads `from` and makes `to`; backward goes from `to` to `from`. */
static void resample_maps(const RefCall *call, const RefShape *from, const RefShape *to, bool backward) {
    const resample_attributes *attributes = call->node->attributes; /* resample_input's are the same */
    Arena *arena = arena_new();
    int64_t in_height = from->dims[from->rank - 2], in_width = from->dims[from->rank - 1];
    int64_t height = to->dims[to->rank - 2], width = to->dims[to->rank - 1];
    if (backward) ref_clear(call);
    const ResampleTaps *rows = taps_of_resample(attributes, in_height, height, arena),
                       *columns = taps_of_resample(attributes, in_width, width, arena);
    for (int64_t at = 0; at < to->count; at++) {
        int64_t plane = at / (height * width) * in_height * in_width;
        ResampleTaps row = rows[at / width % height], column = columns[at % width];
        if (backward) add_element(&call->out[plane].real, call->inputs[0][at].real, row, column, in_width);
        else call->out[at].real = read_element(&call->inputs[0][plane].real, row, column, in_width);
    }
    arena_free(arena);
}

void ref_resample(const RefCall *call) { resample_maps(call, &call->input_shapes[0], &call->shape, false); }
void ref_resample_input(const RefCall *call) {
    resample_maps(call, &call->shape, &call->input_shapes[0], true);
}
