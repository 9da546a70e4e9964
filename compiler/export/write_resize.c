/* Resizing. Each mode of the graph is a set of attributes of ONNX's Resize, except the
 * mean over areas: that becomes a matrix product for each axis. */
#include "export/export.h"

/* ---- the mean over areas ---- */

static const char *range_of(Export *e, const char *count, bool column) {
    const int64_t shape[] = {-1, 1};
    const char *scalar = call_2(e, "Reshape", count, value_of_ints(e, NULL, 0));
    const char *range =
        call_3(e, "Range", value_of_number(e, 0, DTYPE_I64), scalar, value_of_number(e, 1, DTYPE_I64));
    return column ? call_2(e, "Reshape", range, value_of_ints(e, shape, 2)) : range;
}

/* [out, in]: row i averages the elements from floor(i * in / out) to ceil((i + 1) * in /
 * out). */
static const char *matrix_of_areas(Export *e, Dim from, Dim to) {
    const char *in = value_of_size(e, from), *out = value_of_size(e, to);
    if (!in || !out) return NULL;
    const char *one = value_of_number(e, 1, DTYPE_I64), *i = range_of(e, out, true),
               *p = range_of(e, in, false);
    const char *begin = call_2(e, "Div", call_2(e, "Mul", i, in), out);
    const char *last = call_2(e, "Sub", call_2(e, "Mul", call_2(e, "Add", i, one), in), one);
    const char *end = call_2(e, "Add", call_2(e, "Div", last, out), one);
    const char *within = call_2(e, "And", call_2(e, "GreaterOrEqual", p, begin), call_2(e, "Less", p, end));
    const char *count = call_cast(e, call_2(e, "Sub", end, begin), DTYPE_F32);
    return call_2(e, "Div", call_cast(e, within, DTYPE_F32), count);
}

static const char *write_areas(Export *e, const Chosen *chosen) {
    const Shape x = bound(chosen, "x")->node->shape, y = chosen->node->shape;
    const char *rows = matrix_of_areas(e, x.dims[x.rank - 2], y.dims[y.rank - 2]);
    const char *columns = matrix_of_areas(e, x.dims[x.rank - 1], y.dims[y.rank - 1]);
    const int64_t turned[] = {1, 0};
    if (!rows || !columns) return NULL;
    columns = call_transpose(e, columns, (IntList){2, turned});
    if (x.type != DTYPE_F32) rows = call_cast(e, rows, x.type), columns = call_cast(e, columns, x.type);
    const char *high = call_2(e, "MatMul", rows, value_of(e, bound(chosen, "x")->node));
    return call_2(e, "MatMul", high, columns);
}

/* ---- other modes ---- */

const char *write_resize(Export *e, const Chosen *chosen) {
    const resample_attributes *a = ATTRIBUTES(chosen->node, resample);
    const bool nearest = !strcmp(a->mode, "nearest"), cubic = !strcmp(a->mode, "cubic");
    if (!strcmp(a->mode, "area")) return write_areas(e, chosen);
    if (a->antialias && e->options->opset < 18)
        return export_refuse(e, chosen->node, "resizing with antialias needs opset 18");
    const char *x = value_of(e, bound(chosen, "x")->node);
    const char *sizes = value_of_sizes(e, chosen->node->shape.dims, chosen->node->shape.rank);
    if (!sizes) return NULL;
    OnnxCall *call = call_begin(e, "Resize");
    call_input(call, x), call_input(call, NULL), call_input(call, NULL), call_input(call, sizes);
    call_text(call, "mode", nearest || cubic ? a->mode : "linear");
    call_text(call, "coordinate_transformation_mode", a->rule);
    if (nearest)
        call_text(call, "nearest_mode", strcmp(a->rule, "asymmetric") ? "round_prefer_ceil" : "floor");
    if (cubic) call_real(call, "cubic_coeff_a", a->a);
    if (a->antialias) call_int(call, "antialias", 1), call_int(call, "exclude_outside", 1);
    return call_end(call);
}
