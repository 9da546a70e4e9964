/* Operators over whole axes, and constants. */
#include "import/convert.h"
#include <stdlib.h>

int axes_given(Import *im, Wire *const *inputs, int count, int place, int64_t *axes);

enum { MOST_FACTORS = 64 }; /* of products, which are unrolled */

/* ---- constants ---- */

void convert_constant(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    (void)inputs, (void)count;
    const OnnxAttribute *value = attribute(im, "value");
    if (!value || !value->tensor) {
        cannot(im, "a constant of strings, or a sparse one");
        return;
    }
    outputs[0] = NEW(im->arena, Wire);
    *outputs[0] = (Wire){.type = value->tensor->type,
                         .data = value->tensor,
                         .stated = true,
                         .hint = im->node->output_count ? im->node->outputs[0] : ""};
}

void convert_constant_of_shape(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const OnnxAttribute *value = attribute(im, "value");
    Wire from = {.data = value ? value->tensor : NULL};
    const Known *one = known_of(im, &from);
    Dim dims[16];
    int rank;
    if ((value && (!one || one->count != 1)) ||
        !sizes_of(im, input_at(inputs, count, 0), "the shape", dims, &rank))
        return;
    const int type = one ? one->type : ONNX_FLOAT;
    const char *number = one && one->sizes ? type == ONNX_BOOL ? dim_const_value(one->sizes[0]) ? "1" : "0"
                                                               : dim_string(im->arena, one->sizes[0])
                                           : number_text(im->arena, one ? one->reals[0] : 0, true);
    outputs[0] = typed(call(im, "full", NULL, 0, "%s, %s, dtype = \"%s\"", dims_text(im->arena, dims, rank),
                            number, dtype_name(dtype_of(type))),
                       type);
}

void convert_shape(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    (void)inputs, (void)count, (void)outputs;
    cannot(im, "the shape of a missing input");
}

/* Range in steps of 1: an arange of the model's sizes, plus its begin if that is not 0.
 * Ranges whose elements are all known are folded (fold.c) and do not come here. */
void convert_range(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const Known *begin = known_sizes(im, input_at(inputs, count, 0)),
                *end = known_sizes(im, input_at(inputs, count, 1)),
                *step = known_sizes(im, input_at(inputs, count, 2));
    int64_t by, from;
    if (!begin || !end || !step || !dim_is_const(step->sizes[0], &by) ||
        !dim_is_const(begin->sizes[0], &from) || by != 1) {
        cannot(im, "a range whose bounds are computed");
        return;
    }
    Wire *rows = found_counted(im, end->sizes[0]);
    if (found_is_count(im, end->sizes[0]) && (!rows || from)) {
        cannot(im, "a range to what is made of how many rows were found");
        return;
    }
    Dim size = dim_sub(im->dims, found_at_most(im, end->sizes[0]), begin->sizes[0]);
    Wire *all = call(im, "arange", NULL, 0, "%s, dtype = \"%s\"", dim_string(im->arena, size),
                     dtype_name(dtype_of(begin->type)));
    if (rows && all) found_begin(im, all, 0, rows);
    outputs[0] =
        from ? infix_number(im, "+", typed(all, begin->type), (double)from) : typed(all, begin->type);
}

/* ---- reductions ---- */

static int by_number(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

typedef struct ReducedAxes {
    int count;
    int64_t axes[16];
    bool none;
    const char *settings;
} ReducedAxes; /* none: nothing is reduced */

static bool reduced_axes(Import *im, Wire *const *inputs, int count, Wire *x, ReducedAxes *out) {
    out->count = axes_given(im, inputs, count, 1, out->axes);
    if (im->why) return false;
    const bool keep = attribute_int(im, "keepdims", 1);
    out->none = out->count <= 0 && attribute_int(im, "noop_with_empty_axes", 0);
    if (out->count <= 0)
        for (out->count = 0; out->count < wire_rank(im, x); out->count++) out->axes[out->count] = out->count;
    else
        for (int i = 0; i < out->count; i++)
            if ((out->axes[i] = axis_of(im, out->axes[i], wire_rank(im, x))) < 0) return false;
    if (out->count > 0) qsort(out->axes, (size_t)out->count, sizeof *out->axes, by_number);
    const bool all = out->count == wire_rank(im, x);
    const char *axes = out->count == 1 ? arena_printf(im->arena, "%lld", (long long)out->axes[0])
                                       : tuple_text(im->arena, out->axes, out->count);
    out->settings =
        all && !keep ? "" : arena_printf(im->arena, "%saxes = %s%s", "", axes, keep ? ", keep = true" : "");
    return true;
}

/* What each reduction does to the elements before it, the reduction itself, and what it
 * does to the result. */
static const struct {
    const char *op, *before, *callee, *after;
} reductions[] = {
    {"ReduceL1", "abs(x)", "reduce_sum", NULL},     {"ReduceL2", "x * x", "reduce_sum", "sqrt(x)"},
    {"ReduceLogSum", NULL, "reduce_sum", "log(x)"}, {"ReduceMax", NULL, "reduce_max", NULL},
    {"ReduceMean", NULL, "reduce_mean", NULL},      {"ReduceMin", NULL, "reduce_min", NULL},
    {"ReduceSum", NULL, "reduce_sum", NULL},        {"ReduceSumSquare", "x * x", "reduce_sum", NULL},
    {"ReduceLogSumExp", NULL, NULL, NULL},
};

static Wire *log_sum_exp(Import *im, Wire *x, const ReducedAxes *axes) {
    Wire *max =
        stage(im, x, "reduce_max", "axes = %s, keep = true", tuple_text(im->arena, axes->axes, axes->count));
    Wire *sum =
        stage(im, formula(im, "exp(x - y)", (Wire *[]){x, max}, 2), "reduce_sum", "%s", axes->settings);
    Wire *flat = stage(im, x, "reduce_max", "%s", axes->settings);
    return infix(im, "+", stage(im, sum, "log", "%s", ""), flat);
}

static bool is_reduced_axis(const ReducedAxes *axes, int axis) {
    for (int i = 0; i < axes->count && !axes->none; i++)
        if (axes->axes[i] == axis) return true;
    return false;
}

/* Rows that are not there change neither a sum nor a maximum. */
static Wire *filled_to_be_reduced(Import *im, Wire *x, const ReducedAxes *axes) {
    const char *op = im->node->op, *number = !strcmp(op, "ReduceMax")   ? "-inf"
                                             : !strcmp(op, "ReduceMin") ? "inf"
                                                                        : "0";
    const bool keeps = strcmp(op, "ReduceMean") && (onnx_type_is_float(x->type) || *number == '0');
    return keeps && is_reduced_axis(axes, found_axis(im, x)) ? found_filled(im, x, number) : x;
}

void convert_reduce(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    ReducedAxes axes;
    if (!x || !reduced_axes(im, inputs, count, x, &axes)) return;
    int row = 0;
    while (strcmp(reductions[row].op, im->node->op)) row++;
    if (wire_rank(im, x) == 0) axes.none = true;
    const bool is_bool = x->type == ONNX_BOOL;
    const int type = x->type;
    if (is_bool) x = cast_to(im, x, ONNX_INT32);
    if (!reductions[row].callee && !axes.none) {
        outputs[0] = log_sum_exp(im, x, &axes);
        return;
    }
    x = filled_to_be_reduced(im, x, &axes);
    if (reductions[row].before) x = formula(im, reductions[row].before, &x, 1);
    if (!axes.none) x = stage(im, x, reductions[row].callee, "%s", axes.settings);
    if (reductions[row].after) x = formula(im, reductions[row].after, &x, 1);
    outputs[0] = is_bool ? cast_to(im, x, type) : x;
}

/* ReduceProd, unrolled: multiplies the elements one by one, so only few of them are
 * allowed. */
void convert_reduce_prod(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    ReducedAxes axes;
    int64_t size;
    if (!x || !reduced_axes(im, inputs, count, x, &axes)) return;
    const int rank = wire_rank(im, x);
    for (int a = 0; a < axes.count && !axes.none && x; a++) {
        if (!wire_fixed(im, x, (int)axes.axes[a], &size) || size > MOST_FACTORS) {
            cannot(im, "a product over %s elements",
                   dim_string(im->arena, wire_size(im, x, (int)axes.axes[a])));
            return;
        }
        Wire *product = NULL;
        for (int64_t i = 0; i < size; i++) {
            Text text = {.arena = im->arena};
            for (int64_t k = 0; k < axes.axes[a]; k++) text_add(&text, ":, ");
            Wire *part = indexed(im, x, "%s%lld:%lld", text_string(&text), (long long)i, (long long)i + 1);
            product = product ? infix(im, "*", product, part) : part;
        }
        x = product;
    }
    Dim dims[16];
    int left = 0;
    for (int i = 0; x && i < rank && !attribute_int(im, "keepdims", 1); i++) {
        bool gone = false;
        for (int a = 0; a < axes.count; a++) gone = gone || axes.axes[a] == i;
        if (!gone) dims[left++] = wire_size(im, x, i);
    }
    outputs[0] = x && !attribute_int(im, "keepdims", 1) ? reshaped(im, x, dims, left) : x;
}

/* ---- order ---- */

static const char *flipped_axis(int axis) {
    static const char *const texts[] = {"axes = 0", "axes = 1", "axes = 2", "axes = 3",
                                        "axes = 4", "axes = 5", "axes = 6", "axes = 7"};
    return texts[axis & 7];
}

void convert_arg_max(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    if (!x) return;
    const int axis = axis_of(im, attribute_int(im, "axis", 0), wire_rank(im, x));
    const bool last = attribute_int(im, "select_last_index", 0);
    if (axis < 0) return;
    Wire *seen = last ? stage(im, x, "flipped", "%s", flipped_axis(axis)) : x;
    Wire *place = stage(im, seen, current_row(im)->as, "axis = %d%s", axis,
                        attribute_int(im, "keepdims", 1) ? ", keep = true" : "");
    place = cast_to(im, typed(place, ONNX_INT32), ONNX_INT64);
    Dim end = dim_offset(im->dims, wire_size(im, x, axis), -1);
    if (last && place) place = infix_size(im, "+", prefix(im, "-", place), end);
    outputs[0] = place;
}

/* How many elements are taken, NULL after a refusal; `count`: a tensor, where only a run
 * knows, and else NULL. */
static Dim number_taken(Import *im, Wire *given, Wire *x, int axis, Wire **count) {
    Dim k[16] = {dim_const(im->dims, attribute_int(im, "k", 0))}, most = wire_size(im, x, axis);
    int64_t least, all;
    int one;
    *count = NULL;
    if (!given || known_of(im, given)) return !given || sizes_of(im, given, "k", k, &one) ? k[0] : NULL;
    *count = reshaped(im, cast_to(im, given, ONNX_INT32), NULL, 0);
    Dim bound = *count ? found_most(im, *count) : NULL;
    return bound && dim_is_const(bound, &least) && dim_is_const(most, &all) && least < all ? bound : most;
}

/* Rows that are not there come last. */
static Wire *filled_to_be_last(Import *im, Wire *x, int axis, bool largest) {
    return found_axis(im, x) == axis && onnx_type_is_float(x->type)
               ? found_filled(im, x, largest ? "-inf" : "inf")
               : x;
}

void convert_top_k(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *many;
    if (!x) return;
    const int axis = axis_of(im, attribute_int(im, "axis", -1), wire_rank(im, x));
    const bool largest = attribute_int(im, "largest", 1);
    Dim k = axis < 0 ? NULL : number_taken(im, input_at(inputs, count, 1), x, axis, &many);
    if (!k) return;
    x = filled_to_be_last(im, x, axis, largest);
    const char *settings = arena_printf(im->arena, "k = %s, axis = %d, largest = %s",
                                        dim_string(im->arena, k), axis, largest ? "true" : "false");
    Wire *best[2] = {0};
    if (x && dtype_of(x->type) == DTYPE_I64) calls(im, "top_k", &x, 1, best, 2, settings);
    else best[1] = call(im, "primitive.top_k", &x, 1, "%s", settings);
    Wire *places = typed(best[1], ONNX_INT32);
    outputs[0] = best[0] ? best[0] : call(im, "take_along", (Wire *[]){x, places}, 2, "axis = %d", axis);
    if (im->why) return;
    if (many) found_begin(im, places, axis, many), found_beside(im, outputs[0], places);
    if (im->node->output_count > 1) outputs[1] = cast_to(im, places, ONNX_INT64);
}

void convert_cumsum(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *own;
    int64_t place;
    if (!x || !int_of(im, input_at(inputs, count, 1), "the axis", &place)) return;
    const int axis = axis_of(im, place, wire_rank(im, x));
    const bool back = attribute_int(im, "reverse", 0);
    if (axis < 0) return;
    own = back ? stage(im, x, "flipped", "%s", flipped_axis(axis)) : x;
    Wire *sum = call(im, "cumsum", &own, 1, "axis = %d", axis);
    if (attribute_int(im, "exclusive", 0)) sum = infix(im, "-", sum, own);
    outputs[0] = back ? stage(im, sum, "flipped", "%s", flipped_axis(axis)) : sum;
}

/* The product up to each element, whose steps are unrolled. */
void convert_cumprod(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    int64_t place, size;
    if (!x || !int_of(im, input_at(inputs, count, 1), "the axis", &place)) return;
    const int axis = axis_of(im, place, wire_rank(im, x));
    const bool back = attribute_int(im, "reverse", 0);
    if (axis < 0) return;
    if (!wire_fixed(im, x, axis, &size) || size > MOST_FACTORS) {
        cannot(im, "a product over %s elements", dim_string(im->arena, wire_size(im, x, axis)));
        return;
    }
    if (back) x = stage(im, x, "flipped", "%s", flipped_axis(axis));
    Wire *y = call(im, "onnx.cumprod", &x, 1, "axis = %d%s", axis,
                   attribute_int(im, "exclusive", 0) ? ", exclusive = true" : "");
    outputs[0] = back ? stage(im, y, "flipped", "%s", flipped_axis(axis)) : y;
}
