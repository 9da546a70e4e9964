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
    Wire *y = call(im, product ? "onnx.put_product" : "onnx.put_extreme",
                   (Wire *[]){flat_wire(im, x), each_element(im, x, places), flat_wire(im, updates)}, 3, "%s",
                   strcmp(how, "min") ? "" : "largest = false");
    return y ? reshaped(im, y, dims, wire_rank(im, x)) : NULL;
}

static Wire *added_up(Import *im, Wire *updates, Wire *places, Dim size) {
    return call(im, "primitive.scatter_add", (Wire *[]){updates, places}, 2, "axis = 0, size = %s",
                dims_text(im->arena, &size, 1));
}

/* The rows of x, into which updates are written or added, as the attribute `reduction`
 * says. */
static Wire *scattered_wire(Import *im, Wire *x, Wire *places, Wire *updates) {
    const char *how = attribute_string(im, "reduction", "none");
    if (!x || !places || !updates) return NULL;
    if (!strcmp(how, "none")) return call(im, "put", (Wire *[]){x, places, updates}, 3, "%s", "");
    const bool known =
        !strcmp(how, "add") || !strcmp(how, "mul") || !strcmp(how, "max") || !strcmp(how, "min");
    if (!known || x->type == ONNX_BOOL)
        return cannot(im, "scattering elements of %s with the reduction %s", onnx_type_name(x->type), how);
    if (strcmp(how, "add")) return combined_wire(im, how, x, places, updates);
    return infix(im, "+", x, added_up(im, updates, places, wire_size(im, x, 0)));
}

static bool scatter_inputs(Wire *const *inputs, int count, Wire **out) {
    for (int i = 0; i < 3; i++) {
        out[i] = input_at(inputs, count, i);
        if (!out[i]) return false;
    }
    return true;
}

void convert_scatter_nd(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *in[3];
    Dim dims[16], rows[16];
    int deep;
    if (!scatter_inputs(inputs, count, in)) return;
    Wire *places = flat_wire(im, rows_at(im, in[0], in[1], &deep));
    const int rank = wire_rank(im, in[0]);
    if (!places) return;
    dims_of(im, in[0], dims);
    rows[0] = size_product(im, in[0], 0, deep);
    for (int i = deep; i < rank; i++) rows[i - deep + 1] = dims[i];
    Wire *x = reshaped(im, in[0], rows, rank - deep + 1);
    rows[0] = wire_size(im, places, 0);
    Wire *y = scattered_wire(im, x, places, reshaped(im, in[2], rows, rank - deep + 1));
    outputs[0] = y ? reshaped(im, y, dims, rank) : NULL;
}

/* What the index along `axis` contributes to an index of the flat tensor: 0, 4, 8, .. */
static Wire *places_along_axis(Import *im, Wire *index, int axis, Dim stride) {
    Dim dims[16];
    for (int i = 0; i < wire_rank(im, index); i++)
        dims[i] = i == axis ? wire_size(im, index, i) : dim_const(im->dims, 1);
    Wire *steps = typed(call(im, "arange", NULL, 0, "%s", dim_string(im->arena, dims[axis])), ONNX_INT32);
    steps = reshaped(im, steps, dims, wire_rank(im, index));
    return infix_size(im, "*", steps, stride);
}

void convert_scatter_elements(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *in[3];
    Dim dims[16];
    if (!scatter_inputs(inputs, count, in)) return;
    const int rank = wire_rank(im, in[0]), axis = axis_of(im, attribute_int(im, "axis", 0), rank);
    if (axis < 0 || wire_rank(im, in[1]) != rank) return;
    dims_of(im, in[0], dims);
    Wire *place =
        infix_size(im, "*", places_of(im, in[1], dims[axis]), size_product(im, in[0], axis + 1, rank));
    for (int i = 0; i < rank && place; i++)
        if (i != axis)
            place =
                infix(im, "+", place, places_along_axis(im, in[1], i, size_product(im, in[0], i + 1, rank)));
    Wire *y = scattered_wire(im, flat_wire(im, in[0]), flat_wire(im, place), flat_wire(im, in[2]));
    outputs[0] = y ? reshaped(im, y, dims, rank) : NULL;
}
