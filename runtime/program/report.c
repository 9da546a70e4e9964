/* Results as text: the best labels of a classifier, names of files, what was read,
 * abridged tensors. */
#include "program/main.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static cai_tensor as_tensor(const cai_context *context, const cai_port *port, const void *data) {
    cai_tensor tensor = {
        .name = port->name, .type = port->type, .rank = port->rank, .count = 1, .data = data};
    for (int axis = 0; axis < port->rank; axis++)
        tensor.count *= tensor.dims[axis] = cai_context_dim(context, port, axis);
    return tensor;
}

/* printf would show the sign of a NaN, which is meaningless. */
static double without_nan_sign(double value) { return isnan(value) ? (double)NAN : value; }

static double printed_element(const cai_tensor *tensor, int64_t index) {
    double value;
    cai_tensor_to_f64(tensor, index, 1, &value);
    return without_nan_sign(value);
}

/* ---- labels ---- */

/* By the order of argmax and top_k: a NaN is above all numbers. */
static bool is_above_or_nan(double a, double b) { return a > b || (isnan(a) && !isnan(b)); }

/* The largest element of the row that comes after (value, index) in the order of size, or
 * -1. The first of equals wins. */
static int64_t next_best(const cai_tensor *tensor, int64_t row, int64_t classes, double value,
                         int64_t index) {
    int64_t best = -1;
    for (int64_t i = 0; i < classes; i++) {
        double e = printed_element(tensor, row * classes + i);
        bool after = is_above_or_nan(value, e) || (!is_above_or_nan(e, value) && i > index);
        if (after && (best < 0 || is_above_or_nan(e, printed_element(tensor, row * classes + best))))
            best = i;
    }
    return best;
}

const char *cai_class_label(const cai_port *port, int64_t class, char *out, size_t size) {
    if (class >= 0 && class < port->label_count) return port->labels[class];
    snprintf(out, size, "class %lld", (long long)class);
    return out;
}

/* Numbers that add up to one are shown as per cent. */
static bool are_probabilities(const cai_tensor *tensor, int64_t row, int64_t classes) {
    double sum = 0;
    for (int64_t i = 0; i < classes; i++) {
        double e = printed_element(tensor, row * classes + i);
        if (!(e >= 0)) return false;
        sum += e;
    }
    return fabs(sum - 1) < 1e-3;
}

static void print_ranked_row(const cai_tensor *tensor, const cai_port *port, int64_t row, int64_t classes,
                             FILE *out) {
    bool probabilities = are_probabilities(tensor, row, classes);
    double value = NAN;
    int64_t index = -1;
    char number[32];
    for (int rank = 1; rank <= port->top; rank++) {
        index = next_best(tensor, row, classes, value, index);
        if (index < 0) return;
        value = printed_element(tensor, row * classes + index);
        const char *label = cai_class_label(port, index, number, sizeof number);
        if (probabilities) fprintf(out, "%4d  %6.2f %%  %s\n", rank, 100 * value, label);
        else fprintf(out, "%4d  %10.4f  %s\n", rank, value, label);
    }
}

void cai_print_labels(const cai_context *context, const cai_port *port, const void *data,
                      const char *const *titles, int title_count, FILE *out) {
    cai_tensor tensor = as_tensor(context, port, data);
    int64_t classes = tensor.rank ? tensor.dims[tensor.rank - 1] : 1,
            rows = classes ? tensor.count / classes : 0;
    for (int64_t row = 0; row < rows; row++) {
        if (row < title_count) fprintf(out, "%s\n", titles[row]);
        print_ranked_row(&tensor, port, row, classes, out);
    }
}

/* ---- names ---- */

static void print_stem(const char *path, FILE *out) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    fprintf(out, "%.*s", dot && dot != name ? (int)(dot - name) : (int)strlen(name), name);
}

/* A tensor in place of files has no names: its pictures are printed by number. */
void cai_print_names(const cai_context *context, const cai_port *port, int64_t choices, const void *data,
                     const cai_feed *files, const cai_feed *titles, FILE *out) {
    cai_tensor tensor = as_tensor(context, port, data);
    int64_t each = tensor.rank == 2 ? tensor.dims[1] : 1;
    for (int64_t i = 0; i < tensor.count; i++) {
        double place = printed_element(&tensor, i);
        if (i % each == 0 && titles && i / each < titles->count)
            fprintf(out, "%s: ", titles->paths[i / each]);
        if (!(place >= 0 && place < (double)choices)) fprintf(out, "none");
        else if (files->count == choices) print_stem(files->paths[(int64_t)place], out);
        else fprintf(out, "%lld", (long long)place);
        fputs(i % each == each - 1 ? "\n" : ", ", out);
    }
}

/* ---- text ---- */

void cai_print_text(const cai_context *context, const cai_port *port, const void *data,
                    const cai_feed *titles, FILE *out) {
    int64_t places = cai_context_dim(context, port, 1), classes = cai_context_dim(context, port, 2);
    for (int64_t row = 0; row < cai_context_dim(context, port, 0); row++) {
        cai_ctc ctc = cai_ctc_begin((const float *)data + row * places * classes, places, classes);
        if (titles && row < titles->count) fprintf(out, "%s: ", titles->paths[row]);
        for (int64_t class; (class = cai_ctc_next(&ctc)) >= 0;) fputs(port->labels[class], out);
        fputc('\n', out);
    }
}

/* ---- any tensor ---- */

#define SHOWN 16

static void print_summary(const cai_tensor *tensor, FILE *out) {
    double least = INFINITY, max = -INFINITY, sum = 0;
    int64_t nans = 0;
    for (int64_t i = 0; i < tensor->count; i++) {
        double e = printed_element(tensor, i);
        nans += isnan(e);
        least = fmin(least, e);
        max = fmax(max, e);
        sum += e;
    }
    fprintf(out, "  least %.6g, most %.6g, mean %.6g", least, max,
            without_nan_sign(sum / (double)tensor->count));
    if (nans) fprintf(out, ", %lld NaN", (long long)nans);
    fprintf(out, "  (-o FILE.npy writes it)\n");
}

static void print_element(const cai_tensor *tensor, int64_t index, FILE *out) {
    int64_t whole;
    if (cai_type_is_float(tensor->type)) {
        fprintf(out, " %.6g", printed_element(tensor, index));
        return;
    }
    cai_tensor_to_i64(tensor, index, 1, &whole);
    fprintf(out, " %lld", (long long)whole);
}

void cai_print_tensor(const cai_context *context, const cai_port *port, const void *data, FILE *out) {
    cai_tensor tensor = as_tensor(context, port, data);
    char shape[400];
    fprintf(out, "%s: %s", port->name, cai_tensor_shape_text(&tensor, shape, sizeof shape));
    for (int64_t i = 0; i < tensor.count && i < SHOWN; i++) print_element(&tensor, i, out);
    fprintf(out, tensor.count > SHOWN ? " ...\n" : "\n");
    if (tensor.count > SHOWN) print_summary(&tensor, out);
}
