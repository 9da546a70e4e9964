/* ScatterND and ScatterElements, and the index arithmetic for the indices of max
 * pools. */
#include "import/convert.h"

static Wire *flat_wire(Import *im, Wire *x) {
    return x ? reshaped(im, x, (Dim[]){size_product(im, x, 0, wire_rank(im, x))}, 1) : NULL;
}

static void dims_of(Import *im, Wire *x, Dim *dims) {
    for (int i = 0; i < wire_rank(im, x); i++) dims[i] = wire_size(im, x, i);
}

/* One element for each place, in the first axis of x, of rows. */
static Wire *each_element(Import *im, Wire *x, Wire *places) {
    Dim row = size_product(im, x, 1, wire_rank(im, x));
    if (dim_is_one(row)) return places;
    Wire *within = typed(call(im, "arange", NULL, 0, "%s", dim_string(im->arena, row)), ONNX_INT32);
    Wire *first = reshaped(im, infix_size(im, "*", places, row),
                           (Dim[]){wire_size(im, places, 0), dim_const(im->dims, 1)}, 2);
    return flat_wire(im, infix(im, "+", first, within));
}

/* The largest, smallest or the product of what is there and of updates, element by
 * element. */
static Wire *combined_wire(Import *im, const char *how, Wire *x, Wire *places, Wire *updates) {
    Dim dims[16];
    const bool product = !strcmp(how, "mul");
    dims_of(im, x, dims);
    Wire *y =
        call(im, product ? "onnx.put_product" : "onnx.put_extreme",
             (Wire *[]){flat_wire(im, x), each_element(im, x, flat_wire(im, places)), flat_wire(im, updates)},
             3, "%s", strcmp(how, "min") ? "" : "largest = false");
    return y ? reshaped(im, y, dims, wire_rank(im, x)) : NULL;
}

static Wire *added_up(Import *im, Wire *updates, Wire *places, Dim size) {
    return call(im, "primitive.scatter_add", (Wire *[]){updates, places}, 2, "axis = 0, size = %s",
                dims_text(im->arena, &size, 1));
}

static const char *reduction_of(Import *im) { return attribute_string(im, "reduction", "none"); }

/* Whether the operators of cai do it as they are: those take the nearest place for one
 * outside. */
static bool is_put_or_added(const char *how) { return !strcmp(how, "none") || !strcmp(how, "add"); }

static bool is_zero(Import *im, Wire *x) {
    while (x->line && !wire_is_constant(x) &&
           (!strcmp(x->line->callee, "primitive.broadcast") || !strcmp(x->line->callee, "reshape")))
        x = x->line->inputs.items[0].wire;
    return is_filled_with(im, x, 0);
}

static Wire *changed_rows(Import *im, Wire *x, Wire *places, Wire *updates) {
    const char *how = reduction_of(im);
    if (!x || !places || !updates) return NULL;
    if (!strcmp(how, "none")) return call(im, "put", (Wire *[]){x, places, updates}, 3, "%s", "");
    const bool known =
        !strcmp(how, "add") || !strcmp(how, "mul") || !strcmp(how, "max") || !strcmp(how, "min");
    if (!known || x->type == ONNX_BOOL)
        return cannot(im, "scattering elements of %s with the reduction %s", onnx_type_name(x->type), how);
    if (strcmp(how, "add")) return combined_wire(im, how, x, places, updates);
    Wire *sum = added_up(im, updates, places, wire_size(im, x, 0));
    return is_zero(im, x) ? sum : infix(im, "+", x, sum);
}

/* The rows of x, into which updates are written or combined, as the attribute `reduction`
 * says. some: the places are of rows that were found; those of others are behind x. */
static Wire *scattered_wire(Import *im, Wire *x, Wire *places, Wire *updates, bool some) {
    if (!some || !x) return changed_rows(im, x, places, updates);
    Wire *longer = stage_of(im, (Wire *[]){x, indexed(im, x, ":1")}, 2, "concat", "axis = 0");
    Wire *y = changed_rows(im, longer, places, updates);
    return y ? indexed(im, y, ":%s", dim_string(im->arena, wire_size(im, x, 0))) : NULL;
}

/* Without the rows that were not found: of x and updates it does not matter what they
 * have. */
static bool scatter_inputs(Import *im, Wire *const *inputs, int count, Wire **out) {
    for (int i = 0; i < 3; i++) {
        out[i] = input_at(inputs, count, i);
        if (!out[i]) return false;
        if (i != 1) out[i] = found_filled(im, out[i], out[i]->type == ONNX_BOOL ? "false" : "0");
    }
    return !im->why;
}

/* The result has the rows of x that were found. */
static Wire *scattered_result(Import *im, Wire *y, Wire *x, const Dim *dims) {
    y = y ? reshaped(im, y, dims, wire_rank(im, x)) : NULL;
    if (y && found_axis(im, x) >= 0) found_beside(im, y, x);
    return y;
}

void convert_scatter_nd(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *in[3];
    Dim dims[16], rows[16];
    int deep;
    if (!scatter_inputs(im, inputs, count, in)) return;
    const bool some = found_axis(im, in[1]) >= 0;
    Wire *places = rows_at(im, in[0], in[1],
                           some || !is_put_or_added(reduction_of(im)) ? places_of : nearest_places, &deep);
    const int rank = wire_rank(im, in[0]);
    if (!places) return;
    dims_of(im, in[0], dims);
    rows[0] = size_product(im, in[0], 0, deep);
    if (some) places = found_filled(im, places, dim_string(im->arena, rows[0]));
    for (int i = deep; i < rank; i++) rows[i - deep + 1] = dims[i];
    Wire *x = reshaped(im, in[0], rows, rank - deep + 1);
    Wire *y = scattered_wire(im, x, places, in[2], some);
    outputs[0] = scattered_result(im, y, inputs[0], dims);
}

/* What the index along `axis` contributes to an index of the flat tensor: 0, 4, 8, .. */
static Wire *places_along_axis(Import *im, Wire *index, int axis, Dim stride) {
    const char *size = dim_string(im->arena, wire_size(im, index, axis));
    Wire *steps = typed(call(im, "arange", NULL, 0, "%s", size), ONNX_INT32);
    return infix_size(im, "*", on_axis(im, steps, wire_rank(im, index), axis), stride);
}

void convert_scatter_elements(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *in[3];
    Dim dims[16];
    if (!scatter_inputs(im, inputs, count, in)) return;
    const int rank = wire_rank(im, in[0]), axis = axis_of(im, attribute_int(im, "axis", 0), rank);
    if (axis < 0 || wire_rank(im, in[1]) != rank) return;
    dims_of(im, in[0], dims);
    Wire *place =
        infix_size(im, "*", places_of(im, in[1], dims[axis]), size_product(im, in[0], axis + 1, rank));
    for (int i = 0; i < rank && place; i++)
        if (i != axis)
            place =
                infix(im, "+", place, places_along_axis(im, in[1], i, size_product(im, in[0], i + 1, rank)));
    if (!place) return;
    const bool some = found_axis(im, place) >= 0;
    place = found_filled(im, place, dim_string(im->arena, size_product(im, in[0], 0, rank)));
    Wire *y = scattered_wire(im, flat_wire(im, in[0]), flat_wire(im, place), flat_wire(im, in[2]), some);
    outputs[0] = scattered_result(im, y, inputs[0], dims);
}
