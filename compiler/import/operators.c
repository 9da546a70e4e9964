/* The table of operators, and helpers that their converters share. */
#include "import/convert.h"

static const OperatorRow rows[] = {
#define OPERATOR(name, since, convert, as) {"", #name, since, convert, as},
#define PREVIEW(name, convert, as) {"ai.onnx.preview", #name, 0, convert, as},
#define GROUP(name, convert, as) {"cai", #name, 0, convert, as},
#define UNREAD(name, why) {"", #name, 0, NULL, why},
#include "import/operators.def"
#undef OPERATOR
#undef PREVIEW
#undef GROUP
#undef UNREAD
};

const OperatorRow *operator_find(const OnnxNode *node) {
    for (int i = 0; i < COUNT_OF(rows); i++)
        if (!strcmp(rows[i].name, node->op) && !strcmp(rows[i].domain, node->domain)) return &rows[i];
    return NULL;
}

const OperatorRow *current_row(const Import *im) { return operator_find(im->node); }

void operators_document(FILE *out) {
    fputs("| operator | since opset | written as |\n|-|-|-|\n", out);
    for (int i = 0; i < COUNT_OF(rows); i++) {
        if (!strcmp(rows[i].domain, "cai")) continue; /* it stands in no file */
        if (!rows[i].convert) fprintf(out, "| %s | | not read: %s |\n", rows[i].name, rows[i].as);
        else if (rows[i].since) fprintf(out, "| %s | %d | `%s` |\n", rows[i].name, rows[i].since, rows[i].as);
        else fprintf(out, "| %s | %s | `%s` |\n", rows[i].name, rows[i].domain, rows[i].as);
    }
}

/* ---- what converters share ---- */

Wire *input_at(Wire *const *inputs, int count, int place) { return place < count ? inputs[place] : NULL; }

int axis_of(Import *im, int64_t axis, int rank) {
    if (axis >= -rank && axis < rank) return (int)(axis < 0 ? axis + rank : axis);
    cannot(im, "there is no axis %lld in a tensor of %d axes", (long long)axis, rank);
    return -1;
}

bool sizes_of(Import *im, Wire *wire, const char *what, Dim *out, int *count) {
    const Known *k = known_of(im, wire);
    if (!k || !k->sizes || k->count > 16)
        return cannot(
            im, k && k->sizes ? "%s: more than 16 numbers" : "%s depends on values that only a run knows",
            what);
    for (*count = 0; *count < k->count; ++*count) out[*count] = k->sizes[*count];
    return true;
}

bool ints_of(Import *im, Wire *wire, const char *what, int64_t *out, int *count) {
    Dim sizes[16];
    if (!sizes_of(im, wire, what, sizes, count)) return false;
    for (int i = 0; i < *count; i++)
        if (!dim_is_const(sizes[i], &out[i])) return cannot(im, "%s depends on sizes that are free", what);
    return true;
}

bool int_of(Import *im, Wire *wire, const char *what, int64_t *out) {
    int64_t all[16];
    int count;
    if (!ints_of(im, wire, what, all, &count)) return false;
    if (count != 1) return cannot(im, "%s: %d numbers, where one is needed", what, count);
    *out = all[0];
    return true;
}

bool number_of(Import *im, Wire *wire, const char *what, double *out) {
    const Known *k = known_of(im, wire);
    int64_t whole;
    if (!k || k->count != 1) return cannot(im, "%s depends on values that only a run knows", what);
    if (k->reals) *out = k->reals[0];
    else if (dim_is_const(k->sizes[0], &whole)) *out = (double)whole;
    else return cannot(im, "%s depends on sizes that are free", what);
    return true;
}

Dim size_product(Import *im, Wire *x, int from, int to) {
    Dim product = dim_const(im->dims, 1);
    for (int i = from; i < to; i++) product = dim_mul(im->dims, product, wire_size(im, x, i));
    return product;
}

Wire *on_axis(Import *im, Wire *v, int rank, int axis) {
    Dim dims[16];
    if (!v) return NULL;
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? wire_size(im, v, 0) : dim_const(im->dims, 1);
    return reshaped(im, v, dims, rank);
}

Wire *wire_of_reals(Import *im, int rank, const int64_t *dims, const double *values) {
    Wire *wire = wire_known(im, ONNX_FLOAT, rank, dims);
    memcpy(wire->known->reals, values, sizeof *values * (size_t)wire->known->count);
    return wire;
}
