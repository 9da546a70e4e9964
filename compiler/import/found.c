/* Rows that were found. NonMaxSuppression lists as many boxes as stay, NonZero as many
 * places as are not zero, and only a run knows how many. The language's sizes are known
 * before: there are as many rows as may be, those that are found first, and how many they
 * are (count.c). Whatever is made of each row by itself is right for those, and what the
 * other rows hold does not matter. Where an operator can be told which rows are there, as
 * a maximum can, it is. What else is made of several rows would be wrong, and is refused.
 * Where rows are results of the model, their number becomes one, too. */
#include "import/import.h"

enum {
    ACROSS = -1,     /* in the place of an axis: several rows were read */
    MOST_ASKED = 100 /* nodes, whether they give places */
};

typedef struct FoundRows { /* of a node: along which axis its rows lie; `of` NULL where it has none */
    const FoundCount *of;
    int axis;
    bool are_new; /* it found them, and was not made of others */
} FoundRows;

/* ---- what an operator makes of the axis ---- */

static int place_in_list(IntList list, int64_t value) {
    for (int i = 0; i < list.count; i++)
        if (list.items[i] == value) return i;
    return -1;
}

static int reshaped_axis(Import *im, Shape from, Shape to, int axis) {
    Dim before = dim_const(im->dims, 1), product = before;
    for (int i = 0; i < axis; i++) before = dim_mul(im->dims, before, from.dims[i]);
    for (int i = 0; i < to.rank; i++) {
        if (product == before && to.dims[i] == from.dims[axis]) return i;
        product = dim_mul(im->dims, product, to.dims[i]);
    }
    return ACROSS;
}

static int gathered_axis(const Node *node, int input, int axis) {
    const int along = (int)ATTRIBUTES(node, gather)->axis;
    if (input == 1) return along + axis;
    return axis < along ? axis : axis > along ? axis - 1 + node->inputs[1]->shape.rank : ACROSS;
}

static int reduced_axis(IntList axes, int axis) { return place_in_list(axes, axis) < 0 ? axis : ACROSS; }

static bool pads_neither_end(const pad_attributes *pad, int axis) {
    return dim_is_zero(pad->before.items[axis]) && dim_is_zero(pad->after.items[axis]);
}

static bool slice_begins_at_first(const slice_attributes *slice, int axis) {
    return dim_is_zero(slice->begin.items[axis]) && slice->step.items[axis] == 1;
}

/* Along which axis of the result the rows lie that lay along `axis` of an input. */
static int axis_behind(Import *im, const Node *node, int input, int axis) {
    const Shape from = node->inputs[input]->shape, to = node->shape;
    switch (node->op) {
    case OP_reshape: return reshaped_axis(im, from, to, axis);
    case OP_transpose: return place_in_list(ATTRIBUTES(node, transpose)->permutation, axis);
    case OP_broadcast: return from.dims[axis] == to.dims[axis] ? axis : ACROSS;
    case OP_slice: return slice_begins_at_first(ATTRIBUTES(node, slice), axis) ? axis : ACROSS;
    case OP_pad: return pads_neither_end(ATTRIBUTES(node, pad), axis) ? axis : ACROSS;
    case OP_concat: return ATTRIBUTES(node, concat)->axis != axis ? axis : ACROSS;
    case OP_gather: return gathered_axis(node, input, axis);
    case OP_sum: return reduced_axis(ATTRIBUTES(node, sum)->axes, axis);
    case OP_reduce_max: return reduced_axis(ATTRIBUTES(node, reduce_max)->axes, axis);
    case OP_argmax: return ATTRIBUTES(node, argmax)->axis != axis ? axis : ACROSS;
    case OP_matmul: return axis != from.rank - (input == 0 ? 1 : 2) ? axis : ACROSS;
    case OP_convolution:
    case OP_convolution_backward_data: return input == 0 && axis == 0 ? 0 : ACROSS;
    default: break;
    }
    const OpClass class = op_info[node->op].class;
    return class == CLASS_ELEMENTWISE || (class == CLASS_WINDOW && axis == 0) ? axis : ACROSS;
}

/* ---- nodes ---- */

static FoundRows rows_of_node(Import *im, const Node *node);

static bool are_not_negative(const Node *constant) {
    const Data *data = ATTRIBUTES(constant, constant)->data;
    for (int64_t i = 0; i < data->count; i++)
        if (number_value(data->values[i], constant->shape.type) < 0) return false;
    return true;
}

/* left: so many nodes are still asked. */
static bool are_places_within(Import *im, const Node *node, int *left) {
    if (--*left < 0) return false;
    if (node->op == OP_constant) return are_not_negative(node);
    if (rows_of_node(im, node).are_new || node->op == OP_top_k || node->op == OP_iota) return true;
    const bool moves = node->op == OP_reshape || node->op == OP_transpose || node->op == OP_slice ||
                       node->op == OP_cast || node->op == OP_broadcast || node->op == OP_gather;
    const bool combines = node->op == OP_add || node->op == OP_mul || node->op == OP_select;
    if (combines)
        return are_places_within(im, node->inputs[node->op == OP_select ? 2 : 0], left) &&
               are_places_within(im, node->inputs[1], left);
    return moves && are_places_within(im, node->inputs[0], left);
}

/* Whether ints are places that were found, moved, or on several axes together: none of
 * them counts from an end. */
static bool are_places_found(Import *im, const Node *node) {
    int left = MOST_ASKED;
    return are_places_within(im, node, &left);
}

/* Rows that are taken by the places of others are as many as those. */
static bool takes_rows(Import *im, const Node *node, int input, int axis) {
    return node->op == OP_gather && input == 0 && axis == ATTRIBUTES(node, gather)->axis &&
           node->inputs[1]->op != OP_constant && are_places_found(im, node->inputs[1]);
}

static FoundRows rows_of_inputs(Import *im, const Node *node) {
    FoundRows rows = {0};
    for (int i = 0; i < node->input_count; i++) {
        const FoundRows from = rows_of_node(im, node->inputs[i]);
        if (!from.of || takes_rows(im, node, i, from.axis)) continue;
        const int axis = from.axis == ACROSS ? ACROSS : axis_behind(im, node, i, from.axis);
        const bool alike = !rows.of || (rows.of == from.of && rows.axis == axis);
        rows = (FoundRows){from.of, alike ? axis : ACROSS, false};
    }
    return rows;
}

static void remember_rows(Import *im, Map *where, const Node *node, FoundRows rows) {
    map_set(where, node, arena_copy(im->arena, &rows, sizeof rows));
}

/* Says what rows a node has, whatever it is made of. What was made of it is asked
 * again. */
static void set_rows(Import *im, const Node *node, FoundRows rows) {
    if (!im->found) im->found = map_new(im->arena);
    if (!im->first_found || node->id < im->first_found->id) im->first_found = node;
    remember_rows(im, im->found, node, rows);
    im->found_behind = map_new(im->arena);
}

/* A node of before the first rows reads none of them. */
static FoundRows rows_of_node(Import *im, const Node *node) {
    if (!im->first_found || node->id < im->first_found->id) return (FoundRows){0};
    const FoundRows *known = map_get(im->found, node);
    if (!known) known = map_get(im->found_behind, node);
    if (known) return *known;
    const FoundRows rows = rows_of_inputs(im, node);
    remember_rows(im, im->found_behind, node, rows);
    return rows;
}

static FoundRows rows_of_wire(Import *im, const Wire *wire) {
    return wire->name ? rows_of_node(im, trial_node(im->trial, wire->name)) : (FoundRows){0};
}

void found_begin(Import *im, Wire *rows, int axis, Wire *count) {
    const FoundCount *of = found_count(im, count, wire_size(im, rows, axis));
    set_rows(im, trial_node(im->trial, rows->name), (FoundRows){of, axis, true});
}

void found_beside(Import *im, const Wire *wire, const Wire *places) {
    FoundRows rows = rows_of_wire(im, places);
    rows.are_new = false;
    set_rows(im, trial_node(im->trial, wire->name), rows);
}

int found_axis(Import *im, const Wire *wire) {
    const FoundRows rows = rows_of_wire(im, wire);
    return rows.of ? rows.axis : -1;
}

Dim found_size(Import *im, Wire *wire, int axis) {
    const FoundRows rows = rows_of_wire(im, wire);
    return rows.of && rows.axis == axis ? rows.of->number : wire_size(im, wire, axis);
}

bool found_are_places(Import *im, const Wire *wire) {
    return wire->name && are_places_found(im, trial_node(im->trial, wire->name));
}

bool found_is_whole(Import *im, const Wire *wire) {
    const FoundRows rows = rows_of_wire(im, wire);
    return !rows.of || rows.axis != ACROSS ||
           cannot(
               im,
               "it reads several of the rows that NonMaxSuppression or NonZero finds, and how many there are "
               "only a run knows: `--outputs` ends the model before them");
}

bool found_are_all(Import *im, Wire *wire) {
    const FoundRows rows = rows_of_wire(im, wire);
    return !rows.of || wire_size(im, wire, rows.axis) == rows.of->most ||
           cannot(im, "it reads some of the rows that were found by their place, and only a run knows which "
                      "are there");
}

/* ---- operators that are told which rows are there ---- */

/* [size, 1, 1]: which of the places along an axis are below `count`. */
static Wire *places_below(Import *im, Dim size, int rank, Wire *count) {
    Dim dims[16] = {size};
    for (int i = 1; i < rank; i++) dims[i] = dim_const(im->dims, 1);
    Wire *place = typed(call(im, "arange", NULL, 0, "%s", dim_string(im->arena, size)), ONNX_INT32);
    return typed(infix(im, "<", reshaped(im, place, dims, rank), count), ONNX_BOOL);
}

/* x with a number in place of what is not among the first `count`; `rows`: what rows that
 * has. */
static Wire *filled_behind(Import *im, Wire *x, int axis, Wire *count, const char *number, FoundRows rows) {
    Wire *within = places_below(im, wire_size(im, x, axis), wire_rank(im, x) - axis, count);
    Wire *filled = call(im, "select", (Wire *[]){within, x}, 2, "%s", number);
    if (filled) set_rows(im, trial_node(im->trial, filled->name), rows);
    return typed(filled, x->type);
}

Wire *found_filled(Import *im, Wire *x, const char *number) {
    const FoundRows rows = x ? rows_of_wire(im, x) : (FoundRows){0};
    if (!rows.of || im->why) return x;
    return filled_behind(im, x, rows.axis, rows.of->count, number, (FoundRows){0});
}

Wire *found_first(Import *im, Wire *x, int axis, Wire *count) {
    if (!count) return NULL;
    const char *number =
        x->type == ONNX_BOOL ? "false" : number_text(im->arena, 0, onnx_type_is_float(x->type));
    const FoundRows rows = {found_count(im, count, wire_size(im, x, axis)), axis, found_are_places(im, x)};
    return filled_behind(im, x, axis, count, number, rows);
}

Wire *found_multiplied(Import *im, Wire *x, const Dim *dims, int rank, int axis, Dim times) {
    const FoundCount *of = rows_of_wire(im, x).of;
    Wire *y = reshaped(im, found_filled(im, x, x->type == ONNX_BOOL ? "false" : "0"), dims, rank),
         *count = infix_size(im, "*", of->count, times);
    if (!y || !count) return NULL;
    set_rows(im, trial_node(im->trial, y->name),
             (FoundRows){found_count(im, count, dims[axis]), axis, false});
    return y;
}

Wire *found_where(Import *im, Wire *condition, Wire *x) {
    const FoundRows rows = rows_of_wire(im, x);
    return found_first(im, x, rows.axis, call(im, "select", (Wire *[]){condition, rows.of->count}, 2, "0"));
}

Wire *found_flags(Import *im, Wire *x, int axis) {
    const FoundRows rows = rows_of_wire(im, x);
    Dim size = wire_size(im, x, axis);
    if (rows.of) return places_below(im, size, 1, rows.of->count);
    return typed(call(im, "full", NULL, 0, "[%s], 1, dtype = \"bool\"", dim_string(im->arena, size)),
                 ONNX_BOOL);
}

/* The first of the rows are as many as were found, but not more than they are. */
void found_cut(Import *im, Wire *wire) {
    const FoundRows rows = wire ? rows_of_wire(im, wire) : (FoundRows){0};
    if (!rows.of || wire_size(im, wire, rows.axis) == rows.of->most) return;
    Dim most = wire_size(im, wire, rows.axis);
    Wire *count = call(im, "min", &rows.of->count, 1, "%s", dim_string(im->arena, most));
    if (count)
        set_rows(im, trial_node(im->trial, wire->name),
                 (FoundRows){found_count(im, count, most), rows.axis, false});
}

/* ---- results ---- */

static const char *name_of_result_port(Import *im, int i) {
    return identifier(im, im->output_ports.items[i].name, "y");
}

static bool is_port_name(Import *im, const char *name) {
    for (int i = 0; i < im->inputs.count; i++)
        if (!strcmp(im->inputs.items[i]->name, name)) return true;
    for (int i = 0; i < im->output_ports.count; i++)
        if (!strcmp(name_of_result_port(im, i), name)) return true;
    return false;
}

/* The result that says how many rows there are, which is added where there is none. */
static const char *name_of_count(Import *im, Wire *count) {
    for (int i = 0; i < im->outputs.count; i++)
        if (im->outputs.items[i]->name == count->name) return im->output_ports.items[i].name;
    const char *name = "found";
    for (int i = 2; is_port_name(im, name); i++) name = arena_printf(im->arena, "found_%d", i);
    vec_push(im->arena, &im->outputs, count);
    vec_push(im->arena, &im->output_ports, (OnnxPort){.name = intern(im->names, name)});
    return name;
}

void add_found_outputs(Import *im) {
    const int count = im->outputs.count;
    for (int i = 0; i < count; i++) {
        const Wire *wire = im->outputs.items[i];
        const FoundRows rows = rows_of_wire(im, wire);
        if (!rows.of) continue;
        const char *where = rows.axis ? arena_printf(im->arena, " along axis %d", rows.axis) : "";
        add_remark(im, "# Of `%s` the file gives the first `%s` rows%s, those that were found.\n",
                   name_of_result_port(im, i), name_of_count(im, rows.of->count), where);
    }
}
