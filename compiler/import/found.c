/* Rows that were found. NonMaxSuppression lists as many boxes as stay, and only a run
 * knows how many. The language's sizes are known before: onnx.nms_rows gives as many rows
 * as may be, those that are found first, and how many they are. Whatever is made of each
 * row by itself is right for those, and what the other rows hold does not matter. What is
 * made of several rows, or of their number, would be wrong, and is refused. Where rows
 * are results of the model, their number becomes one, too. */
#include "import/import.h"

enum { ACROSS = -1 }; /* in the place of an axis: several rows were read */

typedef struct FoundRows { /* of a node: along which axis its rows lie; count NULL where it has none */
    Wire *count;
    int axis;
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
    case OP_concat: return ATTRIBUTES(node, concat)->axis != axis ? axis : ACROSS;
    case OP_gather: return gathered_axis(node, input, axis);
    case OP_sum: return reduced_axis(ATTRIBUTES(node, sum)->axes, axis);
    case OP_reduce_max: return reduced_axis(ATTRIBUTES(node, reduce_max)->axes, axis);
    case OP_argmax: return ATTRIBUTES(node, argmax)->axis != axis ? axis : ACROSS;
    default: return op_info[node->op].class == CLASS_ELEMENTWISE ? axis : ACROSS;
    }
}

/* ---- nodes ---- */

static FoundRows rows_of_node(Import *im, const Node *node);

static FoundRows rows_of_inputs(Import *im, const Node *node) {
    FoundRows rows = {0};
    for (int i = 0; i < node->input_count; i++) {
        const FoundRows from = rows_of_node(im, node->inputs[i]);
        if (!from.count) continue;
        const int axis = from.axis == ACROSS ? ACROSS : axis_behind(im, node, i, from.axis);
        const bool alike = !rows.count || (rows.count == from.count && rows.axis == axis);
        rows = (FoundRows){from.count, alike ? axis : ACROSS};
    }
    return rows;
}

/* A node of before the first rows reads none of them. */
static FoundRows rows_of_node(Import *im, const Node *node) {
    if (!im->first_found || node->id < im->first_found->id) return (FoundRows){0};
    const FoundRows *known = map_get(im->found, node);
    if (known) return *known;
    const FoundRows rows = rows_of_inputs(im, node);
    map_set(im->found, node, arena_copy(im->arena, &rows, sizeof rows));
    return rows;
}

static FoundRows rows_of_wire(Import *im, const Wire *wire) {
    return wire->name ? rows_of_node(im, trial_node(im->trial, wire->name)) : (FoundRows){0};
}

void found_begin(Import *im, const Wire *rows, Wire *count) {
    const Node *node = trial_node(im->trial, rows->name);
    const FoundRows found = {count, 0};
    if (!im->found) im->found = map_new(im->arena), im->first_found = node;
    map_set(im->found, node, arena_copy(im->arena, &found, sizeof found));
}

int found_axis(Import *im, const Wire *wire) {
    const FoundRows rows = rows_of_wire(im, wire);
    return rows.count ? rows.axis : -1;
}

bool found_is_whole(Import *im, const Wire *wire) {
    const FoundRows rows = rows_of_wire(im, wire);
    return !rows.count || rows.axis != ACROSS ||
           cannot(im, "it reads several of the rows that NonMaxSuppression finds, and how many there are "
                      "only a run knows: `onnx.utils.extract_model` cuts the model off before them");
}

/* ---- how many there are ---- */

/* Only what gives rows another shape may read their number. */
bool found_are_not_counted(Import *im, Wire *const *inputs, int count, Wire *const *outputs) {
    for (int i = 0; i < count; i++) {
        const Known *known = known_of(im, inputs[i]);
        if (!known || !known->counts_found) continue;
        const char *op = im->node->op;
        const bool shapes = i == 1 && (!strcmp(op, "Reshape") || !strcmp(op, "Expand"));
        if (!shapes || !outputs[0] || found_axis(im, outputs[0]) < 0)
            return cannot(im, "it reads how many rows NonMaxSuppression finds, which only a run knows");
    }
    return true;
}

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
        if (im->outputs.items[i] == count) return im->output_ports.items[i].name;
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
        if (!rows.count) continue;
        const char *where = rows.axis ? arena_printf(im->arena, " along axis %d", rows.axis) : "";
        add_remark(im, "# Of `%s` the file gives the first `%s` rows%s, those that were found.\n",
                   name_of_result_port(im, i), name_of_count(im, rows.count), where);
    }
}
