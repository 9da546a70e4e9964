/* How many rows were found, which only a run knows. While importing, their number is a
 * size like others: Shape gives a symbol of its own for it, and arithmetic makes formulas
 * of that. Where such a formula is the shape of rows, as many as may be stand for it;
 * where it is read as a number, it is computed of the count that the model has. */
#include "import/import.h"

const FoundCount *found_count(Import *im, Wire *count, Dim most) {
    const Node *node = trial_node(im->trial, count->name);
    for (int i = 0; i < im->counts.count; i++)
        if (im->counts.items[i]->node == node && im->counts.items[i]->most == most)
            return im->counts.items[i];
    const char *name = arena_printf(im->arena, "found%d", im->counts.count + 1);
    FoundCount *made = NEW(im->arena, FoundCount);
    made->count = count, made->node = node, made->most = most;
    made->symbol = dims_symbol_count(im->dims);
    /* a symbol is at least 1, and a count may be 0 */
    made->number = dim_offset(im->dims, dim_symbol(im->dims, intern(im->names, name), 1), -1);
    vec_push(im->arena, &im->counts, made);
    return made;
}

/* ---- bounds ---- */

static Dim most_of_node(Import *im, const Node *node);

static Dim least_of_sizes(Dim a, Dim b) {
    int64_t x, y;
    if (!a || !b) return a ? a : b;
    return dim_is_const(a, &x) && dim_is_const(b, &y) && y < x ? b : a;
}

static Dim least_of_parts(Import *im, const Node *node) {
    Dim least = NULL;
    if (node->op != OP_concat) return most_of_node(im, node);
    for (int i = 0; i < node->input_count; i++)
        least = least_of_sizes(least, most_of_node(im, node->inputs[i]));
    return least;
}

/* x of -1 - x, whose order is the reverse; else NULL. */
static const Node *inside_turned(const Node *node) {
    double value;
    return node->op == OP_sub && node_is_splat(node->inputs[0], &value) && value == -1 ? node->inputs[1]
                                                                                       : NULL;
}

/* x of -1 - max(-1 - x), the library's reduce_min; else NULL. */
static const Node *inside_reduce_min(const Node *node) {
    const Node *max = inside_turned(node);
    return max && max->op == OP_reduce_max ? inside_turned(max->inputs[0]) : NULL;
}

static Dim most_of_node(Import *im, const Node *node) {
    double value;
    for (int i = 0; i < im->counts.count; i++)
        if (im->counts.items[i]->node == node) return im->counts.items[i]->most;
    if (node_is_splat(node, &value)) return dim_const(im->dims, (int64_t)value);
    if (inside_reduce_min(node)) return least_of_parts(im, inside_reduce_min(node));
    switch (node->op) {
    case OP_cast:
    case OP_reshape:
    case OP_broadcast: return most_of_node(im, node->inputs[0]);
    case OP_min: return least_of_sizes(most_of_node(im, node->inputs[0]), most_of_node(im, node->inputs[1]));
    default: return NULL;
    }
}

Dim found_most(Import *im, const Wire *count) { return most_of_node(im, trial_node(im->trial, count->name)); }

/* ---- sizes ---- */

static const FoundCount *count_in_size(const Import *im, Dim size) {
    for (int i = 0; i < im->counts.count; i++)
        if (dim_mentions(size, im->counts.items[i]->symbol)) return im->counts.items[i];
    return NULL;
}

Wire *found_counted(const Import *im, Dim size) {
    const FoundCount *of = count_in_size(im, size);
    return of && of->number == size ? of->count : NULL;
}

bool found_is_count(const Import *im, Dim size) { return count_in_size(im, size) != NULL; }

static bool is_counted(const Import *im, const Known *k) {
    for (int64_t i = 0; k && k->sizes && i < k->count; i++)
        if (count_in_size(im, k->sizes[i])) return true;
    return false;
}

static Wire *with_elements_of(Import *im, const Known *k) {
    Wire *wire = wire_known(im, k->type, k->rank, k->dims);
    wire->known->reals = NULL, wire->known->sizes = NEW_ARRAY(im->arena, Dim, k->count);
    return wire;
}

/* ---- as a shape ---- */

Dim found_at_most(Import *im, Dim size) {
    for (int i = 0; i < im->counts.count; i++)
        size = dim_substitute(im->dims, size, im->counts.items[i]->symbol,
                              dim_offset(im->dims, im->counts.items[i]->most, 1));
    return size;
}

static Wire *known_at_most(Import *im, const Known *k) {
    Wire *wire = with_elements_of(im, k);
    for (int64_t i = 0; i < k->count; i++) wire->known->sizes[i] = found_at_most(im, k->sizes[i]);
    return wire;
}

/* ---- as a number ---- */

static Wire *size_as_value(Import *im, Dim size) {
    const FoundCount *of = count_in_size(im, size);
    const int64_t none = 1;
    if (!of) {
        Wire *wire = wire_known(im, ONNX_INT64, 0, &none);
        wire->known->sizes[0] = size;
        return wire;
    }
    Dim rest = dim_substitute(im->dims, size, of->symbol, dim_const(im->dims, 1)),
        times = dim_sub(im->dims, dim_substitute(im->dims, size, of->symbol, dim_const(im->dims, 2)), rest);
    if (count_in_size(im, times) || dim_add(im->dims, dim_mul(im->dims, times, of->number), rest) != size)
        return cannot(im, "it reads how many rows were found, but not as a sum of such numbers");
    Wire *value = infix_size(im, "*", cast_to(im, of->count, ONNX_INT64), times);
    return dim_is_zero(rest) ? value : infix(im, "+", value, size_as_value(im, rest));
}

static Wire *known_as_value(Import *im, const Known *k) {
    Wire *parts[MAX_WRITTEN];
    Dim dims[16];
    if (k->count > MAX_WRITTEN) return cannot(im, "more than %d sizes of what was found", MAX_WRITTEN);
    for (int64_t i = 0; i < k->count; i++) parts[i] = size_as_value(im, k->sizes[i]);
    for (int i = 0; i < k->rank; i++) dims[i] = dim_const(im->dims, k->dims[i]);
    Wire *all = k->count == 1 ? parts[0] : stage_of(im, parts, (int)k->count, "stack", "axis = 0");
    return all ? cast_to(im, reshaped(im, all, dims, k->rank), k->type) : NULL;
}

Wire *found_value(Import *im, Wire *wire) {
    const Known *k = known_of(im, wire);
    return is_counted(im, k) ? known_as_value(im, k) : wire;
}

/* Whether input `i` of an operator is the shape of its result. */
static bool is_shape_input(const char *op, int i) {
    return !strcmp(op, "ConstantOfShape") || (i == 1 && !strcmp(op, "Expand"));
}

/* Whether the converter of an operator reads sizes that are counts itself. */
static bool reads_counts(const char *op, int i) {
    const bool second = !strcmp(op, "Pad") || !strcmp(op, "Reshape") || !strcmp(op, "Range");
    return (i == 1 && second) || (i == 2 && !strcmp(op, "Slice"));
}

bool found_sizes(Import *im, Wire **inputs, int count, const Known **shape) {
    *shape = NULL;
    for (int i = 0; i < count; i++) {
        const Known *k = known_of(im, inputs[i]);
        if (!is_counted(im, k) || reads_counts(im->node->op, i)) continue;
        if (is_shape_input(im->node->op, i)) *shape = k;
        inputs[i] = *shape == k ? known_at_most(im, k) : known_as_value(im, k);
    }
    return !im->why;
}

Wire *found_in_shape(Import *im, Wire *x, const Known *shape) {
    const int before = wire_rank(im, x) - (int)shape->count;
    const FoundCount *of = NULL;
    int place = 0, counted = 0;
    for (int i = 0; i < shape->count; i++) {
        if (!found_is_count(im, shape->sizes[i])) continue;
        place = i, counted++;
        of = count_in_size(im, shape->sizes[i]);
    }
    const int axis = before + place;
    const bool alone =
        counted == 1 && shape->sizes[place] == of->number && wire_size(im, x, axis) == of->most;
    if (alone && found_axis(im, x) == axis) return x;
    if (alone && found_axis(im, x) < 0) return found_first(im, x, axis, of->count);
    return cannot(im, "its shape is how many rows were found, which only a run knows");
}
