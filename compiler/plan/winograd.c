/* The three matrices of Winograd's minimal filtering F(m, r) by Toom and Cook: a
 * polynomial product evaluated at m + r - 2 points and infinity. A tile's outputs are A^T
 * ((G w G^T) * (B^T d B)) A. The gradient of a convolution by its 3x3 weights is F(3, 4):
 * a tile of 4x4 of dy are the taps, which give 3x3 outputs of 6x6 inputs.
 *
 * For six inputs the points are 0, +-sqrt(1/2) and +-sqrt(2), whose powers are nearest to
 * 1: they have half the error of the usual 0, +-1, +-2, and take no more operations.
 * Points other than 0 come in opposite pairs, which share the even and the odd part of a
 * sum. */
#include "plan/winograd.h"
#include <math.h>

static bool are_all_one(IntList numbers) {
    for (int i = 0; i < numbers.count; i++)
        if (numbers.items[i] != 1) return false;
    return true;
}

/* What a transpose's padding takes away from its result, zeros round its input would have
 * to. */
static bool takes_away_more(IntList before) {
    for (int i = 0; i < before.count; i++)
        if (before.items[i] > 2) return true;
    return false;
}

static bool takes_kernel(const Node *w, IntList stride, IntList dilation, int64_t groups) {
    int64_t kernel;
    for (int i = 0; i < 2; i++)
        if (!dim_is_const(w->shape.dims[2 + i], &kernel) || kernel != 3) return false;
    return groups == 1 && are_all_one(stride) && are_all_one(dilation);
}

bool winograd_takes(const Node *node) {
    if (node->shape.rank != 4) return false;
    if (node->op == OP_convolution) {
        const convolution_attributes *c = ATTRIBUTES(node, convolution);
        return takes_kernel(node->inputs[1], c->stride, c->dilation, c->groups);
    }
    if (node->op == OP_convolution_backward_weights) {
        const convolution_backward_weights_attributes *c = ATTRIBUTES(node, convolution_backward_weights);
        return takes_kernel(node, c->stride, c->dilation, c->groups);
    }
    if (node->op != OP_convolution_backward_data) return false;
    const convolution_backward_data_attributes *c = ATTRIBUTES(node, convolution_backward_data);
    return takes_kernel(node->inputs[1], c->stride, c->dilation, c->groups) && !takes_away_more(c->before);
}

static void set_points(Winograd *w) {
    double far = w->size == 6 ? sqrt(0.5) : 1;
    for (int i = 1; i < w->size - 1; i++) w->points[i] = (i % 2 ? 1 : -1) * (i < 3 ? far : 1 / far);
}

/* The coefficients of the product of (x - p) over all points but number `without`. */
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
    multiply_out(&w, -1, w.inputs[last]); /* infinity: the highest coefficients */
    w.weights[last][taps - 1] = w.results[outputs - 1][last] = 1;
    return w;
}

/* Measured on uniform random numbers (tests/unit/kernels.c compares): the error grows a
 * little slower than the square root of the number of terms, until sums are added up in
 * parts (emit_sum_in_parts). */
double winograd_error(int outputs, int64_t inputs) {
    double terms = (double)min_i64(inputs, 256);
    return (outputs == 4 ? 5.3e-7 : 1.6e-7) * real_pow(terms / 16, 0.4);
}

/* Sums are added up strip by strip (kernels/winograd/winograd_gradient.c), so that the
 * error grows slowly. */
double winograd_gradient_error(int64_t places) { return 4.5e-7 * real_pow((double)places / 144, 0.16); }
