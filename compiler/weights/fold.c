/* Folds: several tensors of a checkpoint that are one tensor in a model, or the other way
 * round. Training keeps things apart that a program needs only together: the length and
 * the direction of a weight, a convolution and the batch norm after it, the queries, keys
 * and values of attention.
 *
 * Folds that compute use f64; folds that only move elements keep the type. */
#include "weights/transform.h"
#include <math.h>

static double element_of(const cai_tensor *tensor, int64_t index) {
    double value;
    cai_tensor_to_f64(tensor, index, 1, &value);
    return value;
}

static void put_element(unsigned char *out, int64_t index, double value) {
    memcpy(out + (size_t)index * sizeof value, &value, sizeof value);
}

static bool have_same_sizes(const cai_tensor *a, const cai_tensor *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, sizeof *a->dims * (size_t)a->rank) == 0;
}

static bool all_are_floats(const TransformPlace *at) {
    for (int i = 0; i < at->count; i++)
        if (!cai_type_is_float(at->theirs[i]->type)) return false;
    return true;
}

/* The slices of a tensor along an axis: there are `count`, each in `before` runs of
 * `behind` elements. */
typedef struct Slices {
    int64_t before, count, behind;
} Slices;

/* axis -1: one slice, the complete tensor. */
static Slices slices_along(const cai_tensor *tensor, int axis) {
    Slices s = {1, 1, 1};
    for (int i = 0; i < tensor->rank; i++)
        *(i < axis ? &s.before : i == axis ? &s.count : &s.behind) *= tensor->dims[i];
    return s;
}

/* The slice of element `index`, and the index of element k of a slice. */
static int64_t slice_of(const Slices *s, int64_t index) { return index / s->behind % s->count; }
static int64_t place_in_slice(const Slices *s, int64_t slice, int64_t k) {
    return (k / s->behind * s->count + slice) * s->behind + k % s->behind;
}

static int axis_of(const Transform *t) { return t->number_count ? (int)t->numbers[0] : 0; }

/* ---- concat and split ---- */

bool fold_concat_sizes(const Transform *t, const TransformPlace *at, cai_tensor *to) {
    const int axis = axis_of(t);
    *to = *at->theirs[0];
    if (axis >= to->rank) return false;
    for (int i = 1; i < at->count; i++) {
        cai_tensor other = *at->theirs[i];
        if (other.rank != to->rank || other.type != to->type ||
            __builtin_add_overflow(to->dims[axis], other.dims[axis], &to->dims[axis]))
            return false;
        other.dims[axis] = to->dims[axis];
        if (!have_same_sizes(&other, to)) return false;
    }
    return true;
}

/* Copies between a tensor and a part of it that begins at slice `first`. */
static void copy_part(const cai_tensor *whole, unsigned char *of_whole, const cai_tensor *part,
                      unsigned char *of_part, int axis, int64_t first, bool into_part) {
    const Slices slices = slices_along(part, axis);
    const int64_t slice = slices.behind * cai_type_bytes(part->type), run = slices.count * slice,
                  stride = whole->dims[axis] * slice;
    for (int64_t i = 0; i < slices.before; i++) {
        unsigned char *a = of_whole + i * stride + first * slice, *b = of_part + i * run;
        memcpy(into_part ? b : a, into_part ? a : b, (size_t)run);
    }
}

void fold_concat(const Transform *t, const TransformPlace *at, const cai_tensor *to, unsigned char *out) {
    int64_t place = 0;
    for (int i = 0; i < at->count; i++) {
        const cai_tensor *part = at->theirs[i];
        copy_part(to, out, part, (unsigned char *)part->data, axis_of(t), place, false);
        place += part->dims[axis_of(t)];
    }
}

bool fold_split_sizes(const Transform *t, const TransformPlace *at, cai_tensor *to) {
    const int axis = axis_of(t);
    *to = *at->theirs[0];
    if (axis >= to->rank || to->dims[axis] % at->parts) return false;
    to->dims[axis] /= at->parts;
    return true;
}

void fold_split(const Transform *t, const TransformPlace *at, const cai_tensor *to, unsigned char *out) {
    copy_part(at->theirs[0], (unsigned char *)at->theirs[0]->data, to, out, axis_of(t),
              at->part * to->dims[axis_of(t)], true);
}

/* ---- sum ---- */

bool fold_same_sizes(const Transform *t, const TransformPlace *at, cai_tensor *to) {
    (void)t;
    *to = *at->theirs[0];
    to->type = CAI_F64;
    for (int i = 1; i < at->count; i++)
        if (!have_same_sizes(at->theirs[i], to)) return false;
    return all_are_floats(at);
}

void fold_sum(const Transform *t, const TransformPlace *at, const cai_tensor *to, unsigned char *out) {
    (void)t;
    for (int64_t i = 0; i < to->count; i++) {
        double total = 0;
        for (int k = 0; k < at->count; k++) total += element_of(at->theirs[k], i);
        put_element(out, i, total);
    }
}

/* ---- weight norm: g v / |v| ---- */

/* The axis of v along which g has a number for each slice; -1: g has one number for all
 * of v; -2: neither. */
static int axis_of_lengths(const cai_tensor *g, const cai_tensor *v) {
    int axis = -1;
    if (g->count == 1) return -1;
    if (g->rank == 1) return v->rank > 0 && g->dims[0] == v->dims[0] ? 0 : -2;
    if (g->rank != v->rank) return -2;
    for (int i = 0; i < g->rank; i++) {
        if (g->dims[i] == 1) continue;
        if (axis >= 0 || g->dims[i] != v->dims[i]) return -2;
        axis = i;
    }
    return axis;
}

bool fold_weight_norm_sizes(const Transform *t, const TransformPlace *at, cai_tensor *to) {
    (void)t;
    *to = *at->theirs[1];
    to->type = CAI_F64;
    return all_are_floats(at) && axis_of_lengths(at->theirs[0], at->theirs[1]) != -2;
}

void fold_weight_norm(const Transform *t, const TransformPlace *at, const cai_tensor *to,
                      unsigned char *out) {
    (void)t;
    const cai_tensor *g = at->theirs[0], *v = at->theirs[1];
    const Slices slices = slices_along(v, axis_of_lengths(g, v));
    for (int64_t slice = 0; to->count > 0 && slice < slices.count; slice++) {
        double squares = 0;
        for (int64_t k = 0; k < slices.before * slices.behind; k++) {
            const double value = element_of(v, place_in_slice(&slices, slice, k));
            squares += value * value;
        }
        for (int64_t k = 0; k < slices.before * slices.behind; k++) {
            const int64_t place = place_in_slice(&slices, slice, k);
            put_element(out, place, element_of(v, place) * (element_of(g, slice) / sqrt(squares)));
        }
    }
}

/* ---- spectral norm: W / (u' W v), where W is a matrix of one axis by all others ---- */

bool fold_spectral_norm_sizes(const Transform *t, const TransformPlace *at, cai_tensor *to) {
    const cai_tensor *u = at->theirs[1], *v = at->theirs[2];
    const int axis = axis_of(t);
    *to = *at->theirs[0];
    to->type = CAI_F64;
    return all_are_floats(at) && axis < to->rank && to->count > 0 && u->count == to->dims[axis] &&
           v->count == to->count / to->dims[axis];
}

void fold_spectral_norm(const Transform *t, const TransformPlace *at, const cai_tensor *to,
                        unsigned char *out) {
    const cai_tensor *w = at->theirs[0], *u = at->theirs[1], *v = at->theirs[2];
    const Slices slices = slices_along(w, axis_of(t));
    double sigma = 0;
    for (int64_t row = 0; row < slices.count; row++)
        for (int64_t k = 0; k < v->count; k++)
            sigma += element_of(u, row) * element_of(w, place_in_slice(&slices, row, k)) * element_of(v, k);
    for (int64_t i = 0; i < to->count; i++) put_element(out, i, element_of(w, i) / sigma);
}

/* ---- a batch norm after a convolution or a dense layer ---- */

typedef struct BatchNorm {
    const cai_tensor *weight, *bias; /* bias: may be NULL */
    const cai_tensor *scale, *shift, *mean, *variance;
} BatchNorm;

static BatchNorm batchnorm_of(const TransformPlace *at) {
    const int k = at->count - 5;
    return (BatchNorm){at->theirs[0],     k ? at->theirs[1] : NULL, at->theirs[k + 1],
                       at->theirs[k + 2], at->theirs[k + 3],        at->theirs[k + 4]};
}

bool fold_batchnorm_sizes(const Transform *t, const TransformPlace *at, cai_tensor *to) {
    (void)t;
    const cai_tensor *weight = at->theirs[0];
    if (weight->rank < 1 || !all_are_floats(at)) return false;
    for (int i = 1; i < at->count; i++)
        if (at->theirs[i]->rank != 1 || at->theirs[i]->dims[0] != weight->dims[0]) return false;
    *to = at->part == 0 ? *weight : *at->theirs[1];
    to->type = CAI_F64;
    return true;
}

void fold_batchnorm(const Transform *t, const TransformPlace *at, const cai_tensor *to, unsigned char *out) {
    const BatchNorm b = batchnorm_of(at);
    const Slices slices = slices_along(b.weight, 0);
    for (int64_t i = 0; i < to->count; i++) {
        const int64_t c = at->part == 0 ? slice_of(&slices, i) : i;
        const double factor = element_of(b.scale, c) / sqrt(element_of(b.variance, c) + t->epsilon),
                     bias = b.bias ? element_of(b.bias, c) : 0;
        put_element(out, i,
                    at->part == 0 ? element_of(b.weight, i) * factor
                                  : (bias - element_of(b.mean, c)) * factor + element_of(b.shift, c));
    }
}
