/* Resize and Upsample, in all their modes. The library's resize is used where it computes
 * the same; everything else must have fixed sizes, and becomes a product with a matrix of
 * weights for each axis or, for nearest, a gather.
 *
 * Along one axis, as in ONNX's reference: index i of the result maps to coordinate x;
 * base is the last integer below x, and ratio = x - base is in (0, 1]. The taps are at
 * base + first, base + first + 1, .., weighted by coefficients of the ratio. A tap
 * outside the axis counts as the nearest element inside or, with exclude_outside, not at
 * all. */
#include "import/convert.h"
#include <math.h>

enum { LARGEST_MATRIX = 1 << 22, LARGEST_SIZE = 1 << 16 };

typedef struct Sampling { /* of one axis */
    int64_t in, out;
    double scale, start, end; /* start, end: of tf_crop_and_resize */
} Sampling;

typedef struct Resize {
    const char *mode, *coordinates, *nearest;
    bool exclude, antialias;
    double a, beyond; /* beyond: the value outside the picture for tf_crop_and_resize */
} Resize;

/* The coordinate in x of index i of the result; NAN outside the picture, where the value
 * is `beyond`. */
static double resize_coordinate(const Resize *resize, const Sampling *s, int64_t i) {
    const double width = s->scale * (double)s->in, at = (double)i;
    if (!strcmp(resize->coordinates, "align_corners"))
        return width == 1 ? 0 : at * (double)(s->in - 1) / (width - 1);
    if (!strcmp(resize->coordinates, "asymmetric")) return at / s->scale;
    if (!strcmp(resize->coordinates, "tf_half_pixel_for_nn")) return (at + 0.5) / s->scale;
    if (!strcmp(resize->coordinates, "pytorch_half_pixel"))
        return width == 1 ? -0.5 : (at + 0.5) / s->scale - 0.5;
    if (!strcmp(resize->coordinates, "half_pixel_symmetric"))
        return (double)s->in / 2 * (1 - (double)s->out / width) + (at + 0.5) / s->scale - 0.5;
    if (!strcmp(resize->coordinates, "tf_crop_and_resize")) {
        const double last = (double)(s->in - 1);
        double x = s->out == 1 ? (s->end - s->start) * last / 2
                               : at * (s->end - s->start) * last / (double)(s->out - 1);
        x += s->start * last;
        return x < 0 || x > last ? NAN : x;
    }
    return (at + 0.5) / s->scale - 0.5;
}

static void split_coordinate(double x, double *base, double *ratio) {
    *base = x == floor(x) ? x - 1 : floor(x);
    *ratio = x - *base;
}

static int64_t nearest_place(const Resize *resize, const Sampling *s, int64_t i) {
    double base, ratio;
    split_coordinate(resize_coordinate(resize, s, i), &base, &ratio);
    bool up = ratio == 1;
    if (!strcmp(resize->nearest, "ceil")) up = true;
    if (!strcmp(resize->nearest, "round_prefer_floor")) up = ratio > 0.5;
    if (!strcmp(resize->nearest, "round_prefer_ceil")) up = ratio >= 0.5;
    return max_i64(0, min_i64((int64_t)base + up, s->in - 1));
}

static double resize_filter(const Resize *resize, double t) {
    t = fabs(t);
    return !strcmp(resize->mode, "cubic") ? resample_cubic(t, resize->a) : t < 1 ? 1 - t : 0;
}

/* Computes the weight of each element of x for index i of the result; false where the
 * value is `beyond`. */
static bool weigh_samples(const Resize *resize, const Sampling *s, int64_t i, double *row) {
    const double x = resize_coordinate(resize, s, i), reach = !strcmp(resize->mode, "cubic") ? 2 : 1,
                 shrink = resize->antialias ? fmin(s->scale, 1) : 1;
    double base, ratio, sum = 0, all = 0;
    if (isnan(x)) return false;
    split_coordinate(x, &base, &ratio);
    const int64_t first = (int64_t)floor(-reach / shrink) + 1, last = 1 - first;
    for (int64_t k = first; k <= last; k++) all += resize_filter(resize, ((double)k - ratio) * shrink);
    for (int64_t k = first; k <= last; k++) {
        const int64_t place = (int64_t)base + k;
        const bool outside = place < 0 || place >= s->in;
        if (outside && resize->exclude) continue;
        const double own = resize_filter(resize, ((double)k - ratio) * shrink),
                     weight = resize->antialias ? own / all : own;
        row[max_i64(0, min_i64(place, s->in - 1))] += weight, sum += weight;
    }
    for (int64_t k = 0; resize->exclude && k < s->in; k++) row[k] /= sum;
    return true;
}

/* ---- one axis at a time ---- */

/* x where `inside` is true, along an axis, and a number elsewhere. */
static Wire *with_border(Import *im, Wire *x, int axis, Wire *inside, double number) {
    Wire *xs[] = {on_axis(im, inside, wire_rank(im, x), axis), x};
    return typed(call(im, "select", xs, 2, "%s", number_text(im->arena, number, onnx_type_is_float(x->type))),
                 x->type);
}

static Wire *at_places(Import *im, Wire *x, int axis, const Resize *resize, const Sampling *s) {
    bool all = true;
    if (s->out > LARGEST_SIZE) return cannot(im, "resizing to a size of %lld", (long long)s->out);
    Wire *index = wire_known(im, ONNX_INT32, 1, &s->out), *inside = wire_known(im, ONNX_BOOL, 1, &s->out);
    for (int64_t i = 0; i < s->out; i++) {
        const bool is_inside = !isnan(resize_coordinate(resize, s, i));
        index->known->sizes[i] = dim_const(im->dims, is_inside ? nearest_place(resize, s, i) : 0);
        inside->known->sizes[i] = dim_const(im->dims, is_inside);
        all = all && is_inside;
    }
    Wire *y = call(im, "primitive.gather", (Wire *[]){x, index}, 2, "axis = %d", axis);
    return all || !y ? y : with_border(im, y, axis, inside, resize->beyond);
}

/* Moves an axis of x to the end, multiplies by the matrix, and moves it back. Weights of
 * an element outside the picture are 0, and its value is added; along other axes they add
 * up to 1, which leaves that value as it is. */
static Wire *by_matrix(Import *im, Wire *x, int axis, const Resize *resize, const Sampling *s) {
    const int rank = wire_rank(im, x);
    int order[16];
    bool beyond = false;
    if (s->in > LARGEST_SIZE || s->out > LARGEST_SIZE || s->in * s->out > LARGEST_MATRIX)
        return cannot(im, "resizing a size of %lld to %lld in this mode", (long long)s->in,
                      (long long)s->out);
    double *matrix = NEW_ARRAY(im->arena, double, s->in * s->out),
           *turned = NEW_ARRAY(im->arena, double, s->in * s->out),
           *outside = NEW_ARRAY(im->arena, double, s->out);
    for (int64_t i = 0; i < s->out; i++) {
        if (weigh_samples(resize, s, i, matrix + i * s->in)) continue;
        outside[i] = resize->beyond;
        beyond = true;
    }
    for (int64_t i = 0; i < s->out; i++)
        for (int64_t k = 0; k < s->in; k++) turned[k * s->out + i] = matrix[i * s->in + k];
    for (int i = 0; i < rank; i++) order[i] = i;
    order[axis] = rank - 1, order[rank - 1] = axis;
    Wire *weights = wire_of_reals(im, 2, (int64_t[]){s->in, s->out}, turned);
    Wire *y = infix(im, "@", permuted(im, x, order), weights);
    if (beyond && resize->beyond != 0) y = infix(im, "+", y, wire_of_reals(im, 1, &s->out, outside));
    return permuted(im, y, order);
}

/* ---- by the library ---- */

static const char *library_rule(const Resize *resize) {
    static const char *const rules[] = {"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"};
    for (int i = 0; i < COUNT_OF(rules); i++)
        if (!strcmp(rules[i], resize->coordinates)) return rules[i];
    return NULL;
}

/* Whether the library has it. With antialias, elements outside the picture count nothing
 * there. */
static bool is_of_library(const Resize *resize) {
    return library_rule(resize) && resize->antialias == resize->exclude;
}

/* The nearest_mode by which the library rounds: floor(s) for asymmetric, floor(s + 1/2)
 * for the others. */
static const char *library_nearest(const Resize *resize) {
    return !strcmp(resize->coordinates, "asymmetric") ? "floor" : "round_prefer_ceil";
}

/* Whether nearest_mode picks the elements that the library picks. */
static bool same_nearest(const Resize *resize, const Sampling *s) {
    const bool plain = !strcmp(resize->coordinates, "asymmetric"),
               corners = !strcmp(resize->coordinates, "align_corners");
    for (int64_t i = 0; i < s->out; i++) {
        int64_t top = plain ? i * s->in : corners ? 2 * i * (s->in - 1) + s->out - 1 : (2 * i + 1) * s->in;
        int64_t bottom = plain ? s->out : corners ? 2 * (s->out - 1) : 2 * s->out;
        if (bottom == 0 ? nearest_place(resize, s, i) != 0
                        : nearest_place(resize, s, i) != max_i64(0, min_i64(top / bottom, s->in - 1)))
            return false;
    }
    return true;
}

/* Whether the result along this axis depends on the sizes alone, as it does in the
 * library. */
static bool fits_library(const Resize *resize, const Sampling *s) {
    const bool exact =
        s->scale * (double)s->in == (double)s->out || s->scale == (double)s->out / (double)s->in;
    if (!exact) return false;
    return strcmp(resize->mode, "nearest")
               ? true
               : s->out <= LARGEST_SIZE && s->in <= LARGEST_SIZE && same_nearest(resize, s);
}

static Wire *by_library(Import *im, Wire *x, const Resize *resize, const Dim *sizes, int64_t factor) {
    const char *rule = library_rule(resize),
               *mode = !strcmp(resize->mode, "linear") ? "bilinear" : resize->mode;
    const bool nearest = !strcmp(mode, "nearest"),
               usual = !strcmp(rule, nearest ? "asymmetric" : "half_pixel");
    Text text = {.arena = im->arena};
    if (factor) text_add(&text, "scale = %lld", (long long)factor);
    else text_add(&text, "(%s, %s)", dim_string(im->arena, sizes[0]), dim_string(im->arena, sizes[1]));
    if (factor && nearest && usual)
        return stage(im, x, "upsample", "%s",
                     factor == 2 ? "" : arena_printf(im->arena, "%lld", (long long)factor));
    if (strcmp(mode, "bilinear")) text_add(&text, ", mode = \"%s\"", mode);
    if (!usual) text_add(&text, ", rule = \"%s\"", rule);
    if (resize->antialias) text_add(&text, ", antialias = true");
    if (!strcmp(mode, "cubic") && resize->a != (resize->antialias ? -0.5 : -0.75))
        text_add(&text, ", a = %s", number_text(im->arena, resize->a, true));
    return stage(im, x, "resize", "%s", text_string(&text));
}

/* ---- what the node asks for ---- */

typedef struct WantedSize { /* of one axis */
    Dim size[16];
    double scale[16], start[16], end[16];
} WantedSize;

static bool scales_of(Import *im, Wire *wire, double *out, int *count) {
    const Known *k = known_of(im, wire);
    if (!k || !k->reals || k->count > 16) return cannot(im, "its scales are computed while the model runs");
    for (*count = 0; *count < k->count; ++*count) out[*count] = k->reals[*count];
    return true;
}

static bool size_of_real(Import *im, double size, Dim *out) {
    if (!(fabs(size) < 0x1p53)) return cannot(im, "a size of %g", size);
    return *out = dim_const(im->dims, (int64_t)floor(size)), true;
}

static bool scaled_size(Import *im, Wire *x, int axis, double scale, Dim *out) {
    int64_t size;
    Dim in = wire_size(im, x, axis);
    if (!(scale >= 0x1p-31 && scale <= 0x1p31)) return cannot(im, "a scale of %g", scale);
    if (dim_is_const(in, &size)) return size_of_real(im, (double)size * scale + 1e-9, out);
    if (scale == floor(scale)) return *out = dim_scale(im->dims, in, (int64_t)scale), true;
    if (1 / scale == floor(1 / scale)) return *out = dim_floor_div(im->dims, in, (int64_t)(1 / scale)), true;
    return cannot(im, "a free size times %g", scale);
}

/* Sizes for keep_aspect_ratio_policy: all axes take the same scale, the least or the
 * largest of their own. */
static bool keep_ratio(Import *im, Wire *x, const char *policy, const int *axes, int count, Dim *sizes) {
    double chosen = 0;
    for (int i = 0; i < count; i++) {
        int64_t in, out;
        if (!wire_fixed(im, x, axes[i], &in) || !dim_is_const(sizes[i], &out))
            return cannot(im, "%s of sizes that are free", policy);
        const double scale = (double)out / (double)in;
        chosen = i == 0 || (scale < chosen) == !strcmp(policy, "not_larger") ? scale : chosen;
    }
    for (int i = 0; i < count; i++) {
        int64_t in = dim_const_value(wire_size(im, x, axes[i]));
        if (!size_of_real(im, chosen * (double)in + 0.5, &sizes[i])) return false;
    }
    return true;
}

static bool wanted_of(Import *im, Wire *const *inputs, int count, Wire *x, WantedSize *out) {
    const bool upsample = !strcmp(im->node->op, "Upsample"), early = upsample || im->opset < 11;
    const int rank = wire_rank(im, x);
    const OnnxAttribute *given = attribute(im, "scales"), *along = attribute(im, "axes");
    Wire *scales = input_at(inputs, count, early ? 1 : 2), *sizes = early ? NULL : input_at(inputs, count, 3),
         *roi = early ? NULL : input_at(inputs, count, 1);
    double factors[16], corners[32];
    Dim asked[16];
    int axes[16], many = along && along->count <= 16 ? along->count : rank, reported = 0, many_corners = 0;
    for (int i = 0; i < many; i++)
        if ((axes[i] = along ? axis_of(im, along->integers[i], rank) : i) < 0) return false;
    for (int i = 0; i < rank; i++)
        out->size[i] = wire_size(im, x, i), out->scale[i] = 1, out->start[i] = 0, out->end[i] = 1;
    const bool by_scale =
        given || (scales && !(wire_is_constant(scales) &&
                              (scales->data ? scales->data->count == 0 : scales->known->count == 0)));
    if (given && given->kind == ATTRIBUTE_REALS && given->count <= 16)
        for (reported = 0; reported < given->count; reported++)
            factors[reported] = (double)given->reals[reported];
    else if (by_scale ? !scales_of(im, scales, factors, &reported)
                      : !sizes_of(im, sizes, "the new size", asked, &reported))
        return false;
    if (reported != many) return cannot(im, "%d factors for %d axes", reported, many);
    const char *policy = attribute_string(im, "keep_aspect_ratio_policy", "stretch");
    if (!by_scale && strcmp(policy, "stretch") && !keep_ratio(im, x, policy, axes, many, asked)) return false;
    const bool crops =
        !strcmp(attribute_string(im, "coordinate_transformation_mode", ""), "tf_crop_and_resize");
    if (crops && (!roi || !scales_of(im, roi, corners, &many_corners) || many_corners != 2 * many))
        return cannot(im, "a region that is not known");
    for (int i = 0; i < many; i++) {
        int64_t in = 0, size = 0;
        if (by_scale && !scaled_size(im, x, axes[i], factors[i], &out->size[axes[i]])) return false;
        if (!by_scale) out->size[axes[i]] = asked[i];
        const bool fixed = wire_fixed(im, x, axes[i], &in) && dim_is_const(out->size[axes[i]], &size);
        out->scale[axes[i]] = by_scale ? factors[i] : fixed ? (double)size / (double)in : 0;
        if (crops) out->start[axes[i]] = corners[i], out->end[axes[i]] = corners[many + i];
    }
    return true;
}

static Resize resize_way(Import *im) {
    const bool early = !strcmp(im->node->op, "Upsample") || im->opset < 11;
    Resize resize = {.mode = attribute_string(im, "mode", "nearest"),
                     .coordinates = attribute_string(im, "coordinate_transformation_mode",
                                                     early ? "asymmetric" : "half_pixel"),
                     .nearest = attribute_string(im, "nearest_mode", early ? "floor" : "round_prefer_floor"),
                     .exclude = attribute_int(im, "exclude_outside", 0),
                     .antialias = attribute_int(im, "antialias", 0),
                     .a = attribute_real(im, "cubic_coeff_a", -0.75),
                     .beyond = attribute_real(im, "extrapolation_value", 0)};
    if (!strcmp(resize.mode, "bilinear")) resize.mode = "linear";
    if (!strcmp(resize.mode, "nearest")) resize.antialias = resize.exclude = false;
    if (fabs(resize.a + 0.75) < 1e-7) resize.a = -0.75;
    return resize;
}

/* The integer factor by which both axes, whose sizes are free, grow; 0 if there is
 * none. */
static int64_t whole_factor(const WantedSize *wanted) {
    const double scale = wanted->scale[2];
    return scale == wanted->scale[3] && scale == floor(scale) && scale >= 1 ? (int64_t)scale : 0;
}

void convert_resize(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    WantedSize wanted;
    if (!x || !wanted_of(im, inputs, count, x, &wanted)) return;
    const Resize resize = resize_way(im);
    const int rank = wire_rank(im, x);
    Sampling s[16];
    bool fixed = true, library = rank == 4 && onnx_type_is_float(x->type) && is_of_library(&resize);
    for (int i = 0; i < rank; i++) {
        s[i] = (Sampling){.scale = wanted.scale[i], .start = wanted.start[i], .end = wanted.end[i]};
        const bool known = wire_fixed(im, x, i, &s[i].in) && dim_is_const(wanted.size[i], &s[i].out);
        const bool same =
            wanted.size[i] == wire_size(im, x, i) && strcmp(resize.coordinates, "tf_crop_and_resize");
        fixed = fixed && (known || same);
        library = library && (i >= 2 ? !known || fits_library(&resize, &s[i]) : same);
        if (known && s[i].out < 1) cannot(im, "a size of %lld", (long long)s[i].out);
    }
    if (!fixed && !strcmp(resize.mode, "nearest") && strcmp(resize.nearest, library_nearest(&resize)) &&
        !whole_factor(&wanted))
        library = false;
    if (im->why) return;
    if (library) outputs[0] = by_library(im, x, &resize, wanted.size + 2, whole_factor(&wanted));
    else if (!fixed)
        cannot(im, "resizing a free size in this mode (%s, %s)", resize.mode, resize.coordinates);
    else {
        for (int i = 0; i < rank && x; i++) {
            if (wanted.size[i] == wire_size(im, x, i) && strcmp(resize.coordinates, "tf_crop_and_resize"))
                continue;
            x = strcmp(resize.mode, "nearest") ? by_matrix(im, x, i, &resize, &s[i])
                                               : at_places(im, x, i, &resize, &s[i]);
        }
        outputs[0] = x;
    }
}

/* The mean over areas: x, and the height and width of the result. */
void convert_own_area(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Dim size[2];
    for (int i = 0; i < 2; i++) {
        const Known *k = known_sizes(im, input_at(inputs, count, 1 + i));
        if (!k || k->count != 1) {
            cannot(im, "a size that only a run knows");
            return;
        }
        size[i] = k->sizes[0];
    }
    outputs[0] = stage(im, input_at(inputs, count, 0), "resize", "(%s, %s), mode = \"area\"",
                       dim_string(im->arena, size[0]), dim_string(im->arena, size[1]));
}
