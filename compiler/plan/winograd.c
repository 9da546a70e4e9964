/* The three matrices of Winograd's minimal filtering F(m, r), derived by the method of
 * Toom and Cook: a polynomial product, evaluated at m + r - 2 points and at infinity. A
 * tile's outputs are A^T ((G w G^T) * (B^T d B)) A. The gradient of a convolution by its
 * r x r weights is F(r, m): an m x m tile of dy takes the place of the weights, and
 * yields r x r outputs from the same inputs.
 *
 * Points other than 0 form opposite pairs, which share the even and the odd part of a
 * sum; if the size is even, 0 is a point, too. For six inputs the pairs are +-sqrt(1/2)
 * and +-sqrt(2), whose powers are nearest to 1: they have half the error of the usual 0,
 * +-1, +-2, and take no more operations. For five they are +-1/2 and +-5/4, with half the
 * error of 0, +-1, 2. */
#include "plan/winograd.h"
#include <math.h>

static bool are_all_one(IntList numbers) {
    for (int i = 0; i < numbers.count; i++)
        if (numbers.items[i] != 1) return false;
    return true;
}

/* A kernel of stride 2 is split into four kernels of half its side, one for each parity
 * of rows and columns. */
static bool takes_kernel(const Node *w, const Geometry *a) {
    int64_t kernel[2], by = a->stride.items[0];
    for (int i = 0; i < 2; i++)
        if (!dim_is_const(w->shape.dims[2 + i], &kernel[i])) return false;
    if (kernel[0] != kernel[1] || by != a->stride.items[1] || by > 2 || kernel[0] % by) return false;
    return a->groups == 1 && are_all_one(a->dilation) && kernel[0] / by >= 2 && kernel[0] / by <= 4;
}

bool winograd_takes(const Node *node) {
    if (node->shape.rank != 4) return false;
    switch (node->op) {
    case OP_convolution:
    case OP_convolution_backward_data: return takes_kernel(node->inputs[1], geometry_of(node));
    case OP_convolution_backward_weights: return takes_kernel(node, geometry_of(node));
    default: return false;
    }
}

static void set_points(Winograd *w) {
    const double pairs[][2] = {[3] = {1}, [4] = {1}, [5] = {0.5, 1.25}, [6] = {sqrt(0.5), sqrt(2)}};
    CHECK(w->size >= 3 && w->size <= MAX_WINOGRAD);
    w->first_pair = w->size % 2 == 0;
    for (int i = w->first_pair; i < w->size - 1; i++) {
        int place = i - w->first_pair;
        w->points[i] = pairs[w->size][place / 2] * (place % 2 ? -1 : 1);
    }
}

/* The coefficients of the product of (x - p) over all points p except number
 * `without`. */
static void multiply_out(const Winograd *w, int without, double *coefficients) {
    int degree = 0;
    for (int k = 0; k < w->size; k++) coefficients[k] = k == 0;
    for (int i = 0; i < w->size - 1; i++) {
        if (i == without) continue;
        for (int k = ++degree; k >= 0; k--)
            coefficients[k] = (k ? coefficients[k - 1] : 0) - w->points[i] * coefficients[k];
    }
}

static double scale_of(const Winograd *w, int point) {
    double product = 1;
    for (int i = 0; i < w->size - 1; i++)
        if (i != point) product *= w->points[point] - w->points[i];
    return product;
}

Winograd winograd(int outputs, int taps) {
    Winograd w = {.outputs = outputs, .taps = taps, .size = outputs + taps - 1};
    int last = w.size - 1;
    set_points(&w);
    for (int i = 0; i < last; i++) {
        multiply_out(&w, i, w.inputs[i]);
        for (int k = 0; k < taps; k++) w.weights[i][k] = real_pow(w.points[i], k) / scale_of(&w, i);
        for (int k = 0; k < outputs; k++) w.results[k][i] = real_pow(w.points[i], k);
    }
    multiply_out(&w, -1, w.inputs[last]); /* the point at infinity has the highest coefficients */
    w.weights[last][taps - 1] = w.results[outputs - 1][last] = 1;
    return w;
}

int winograd_planes(const Winograd *w) { return w->size * w->size; }

/* Root mean square errors, measured on uniform random numbers and checked by
 * tests/unit/kernels.c. The error grows a little slower than the square root of the
 * number of terms, up to the length from which sums are added in parts
 * (emit_sum_in_parts). */
static const double errors[] = {[3] = 1.5e-7, [4] = 1.6e-7, [5] = 3.4e-7, [6] = 5.3e-7};

double winograd_error(const Winograd *w, int64_t terms) {
    return errors[w->size] * real_pow((double)min_i64(terms, 256) / 16, 0.4);
}

/* The sums are added strip by strip (kernels/winograd/winograd_gradient.c), so that the
 * error grows slowly. */
double winograd_gradient_error(const Winograd *w, int64_t places) {
    return (w->size == 6 ? 4.5e-7 : 3.4e-7) * real_pow((double)places / 144, 0.16);
}
