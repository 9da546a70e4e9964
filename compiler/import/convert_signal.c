/* Signals: windows, filters of frequencies, Fourier transforms. */
#include "import/convert.h"
#include <math.h>

/* ---- constants ---- */

enum { LONGEST_WINDOW = 1 << 16, MOST_WEIGHTS = 1 << 20 };

/* A window of signal processing: sums of cosines of whole turns over its length. */
static const struct {
    const char *op;
    double parts[3];
} signal_windows[] = {{"HannWindow", {0.5, -0.5}},
                      {"HammingWindow", {25.0 / 46, -21.0 / 46}},
                      {"BlackmanWindow", {0.42, -0.5, 0.08}}};

void convert_signal_window(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    int64_t size;
    int row = 0;
    if (!int_of(im, input_at(inputs, count, 0), "the size", &size)) return;
    if (size < 1 || size > LONGEST_WINDOW) cannot(im, "a window of %lld elements", (long long)size);
    if (im->why) return;
    while (strcmp(signal_windows[row].op, im->node->op)) row++;
    const double length = (double)(attribute_int(im, "periodic", 1) || size == 1 ? size : size - 1);
    double *values = NEW_ARRAY(im->arena, double, size);
    for (int64_t i = 0; i < size; i++)
        for (int k = 0; k < 3; k++)
            values[i] +=
                signal_windows[row].parts[k] * real_cos(2 * 3.14159265358979323846 * k * (double)i / length);
    outputs[0] = cast_to(im, wire_of_reals(im, 1, &size, values),
                         (int)attribute_int(im, "output_datatype", ONNX_FLOAT));
}

/* Numbers of mel, the scale of heard pitches. */
static double mel_of_hertz(double hertz) { return 2595 * real_log(1 + hertz / 700) / real_log(10); }
static double hertz_of_mel(double mel) { return 700 * (real_pow(10, mel / 2595) - 1); }

/* A triangle for each filter, from the middle of the one before it to that of the one
 * behind it; rows are frequencies. */
static void fill_triangle(double *values, int64_t filters, int64_t filter, const int64_t *middle) {
    const int64_t low = middle[filter], top = middle[filter + 1], high = middle[filter + 2];
    if (low == top) values[top * filters + filter] = 1;
    for (int64_t i = low; i <= top && low < top; i++)
        values[i * filters + filter] = (double)(i - low) / (double)(top - low);
    for (int64_t i = top; i < high; i++)
        values[i * filters + filter] = (double)(high - i) / (double)(high - top);
}

void convert_mel_weights(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    double given[5];
    static const char *const names[] = {"the number of filters", "the length of the transform",
                                        "the sample rate", "the lowest frequency", "the highest frequency"};
    for (int i = 0; i < COUNT_OF(given); i++)
        if (!number_of(im, input_at(inputs, count, i), names[i], &given[i])) return;
    const bool sizes = given[0] >= 1 && given[0] <= MOST_WEIGHTS && given[1] >= 0 && given[1] <= MOST_WEIGHTS,
               range = given[3] >= 0 && given[3] <= given[4] && 2 * given[4] <= given[2] && given[2] > 0;
    const int64_t filters = sizes ? (int64_t)given[0] : 0, rows = sizes ? (int64_t)given[1] / 2 + 1 : 0,
                  dims[] = {rows, filters};
    if (!sizes || !range || filters > MOST_WEIGHTS / rows || !isfinite(given[2])) {
        cannot(im, "%g filters from %g to %g Hz of %g samples a second", given[0], given[3], given[4],
               given[2]);
        return;
    }
    int64_t *middle = NEW_ARRAY(im->arena, int64_t, filters + 2);
    double *values = NEW_ARRAY(im->arena, double, rows *filters);
    const double low = mel_of_hertz(given[3]), step = (mel_of_hertz(given[4]) - low) / (double)(filters + 2);
    for (int64_t i = 0; i < filters + 2; i++)
        middle[i] = (int64_t)floor((given[1] + 1) * hertz_of_mel(low + (double)i * step) / given[2]);
    for (int64_t i = 0; i < filters; i++) fill_triangle(values, filters, i, middle);
    outputs[0] = cast_to(im, wire_of_reals(im, 2, dims, values),
                         (int)attribute_int(im, "output_datatype", ONNX_FLOAT));
}

/* ---- transforms ---- */

/* The axis is an input since opset 20, and then not the first. */
static bool transformed_axis(Import *im, Wire *x, Wire *given, int *axis) {
    int64_t place = im->opset < 20 ? attribute_int(im, "axis", 1) : -2;
    if (given && !int_of(im, given, "the axis", &place)) return false;
    const int rank = wire_rank(im, x);
    *axis = axis_of(im, place, rank);
    if (*axis >= 0 && *axis == rank - 1) return cannot(im, "its axis has real and imaginary parts");
    return *axis >= 0;
}

void convert_dft(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *length = input_at(inputs, count, 1);
    Dim size[16];
    int axis, one;
    if (!x || !transformed_axis(im, x, input_at(inputs, count, 2), &axis) ||
        (length && !sizes_of(im, length, "the length", size, &one)))
        return;
    if (length && one != 1) cannot(im, "the length: %d numbers, where one is needed", one);
    if (im->why) return;
    outputs[0] = stage(im, x, "onnx.dft", "%d%s%s%s", axis,
                       length ? arena_printf(im->arena, ", size = %s", dim_string(im->arena, size[0])) : "",
                       attribute_int(im, "inverse", 0) ? ", inverse = true" : "",
                       attribute_int(im, "onesided", 0) ? ", onesided = true" : "");
}

/* The signal as [N, L, 1]: that axis may be left out. */
static Wire *real_signal(Import *im, Wire *x) {
    Dim one = dim_const(im->dims, 1);
    const int rank = wire_rank(im, x);
    if (rank == 2) return reshaped(im, x, (Dim[]){wire_size(im, x, 0), wire_size(im, x, 1), one}, 3);
    return rank == 3 && wire_size(im, x, 2) == one ? x : cannot(im, "a signal of complex numbers");
}

void convert_stft(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *window = input_at(inputs, count, 2),
         *length = input_at(inputs, count, 3);
    int64_t step, size;
    if (!x || !(x = real_signal(im, x)) || !int_of(im, input_at(inputs, count, 1), "the step", &step) ||
        (length && !int_of(im, length, "the length", &size)))
        return;
    if (!window && !length) cannot(im, "neither a window nor its length");
    else if (!window) window = typed(call(im, "ones", NULL, 0, "[%lld]", (long long)size), ONNX_FLOAT);
    else if (length && wire_size(im, window, 0) != dim_const(im->dims, size))
        cannot(im, "a window of another length than it is for");
    outputs[0] = call(im, "onnx.stft", (Wire *[]){x, window}, 2, "%lld%s", (long long)step,
                      attribute_int(im, "onesided", 1) ? "" : ", onesided = false");
}
