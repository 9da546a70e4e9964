/* Finds where a program compares places of one map with each other, so that its result
 * depends on whether they are equal. There, places with equal windows must give equal
 * bits. Such comparisons are max_pool_scatter and _gather, and comparisons of a map with
 * itself at other places. Operators that only order places (argmax, top_k, nms) are not;
 * docs/kernels.md says why.
 *
 * The places of a flat area are equal. A convolution by Winograd rounds by the place in
 * its tile, so that equal places differ; and a difference after one layer stays after the
 * next. So the analysis goes from the comparison back to the inputs, through all layers,
 * and every convolution that it meets is computed directly.
 *
 * There are two walks over the graph. The forward walk finds for each value its `map`,
 * the node from whose places it is computed (the last contraction, or sum of several
 * maps), and in `moved` the axes along which it was moved since. So a comparison knows
 * whether its operands are one map at different places. The backward walk finds in `by`
 * what compares a node's places, axis by axis. A comparison of classes is along the axis
 * of channels, along which no convolution has places, and so restricts nothing.
 *
 * A comparison counts only if its result is visible. In a step of training, new values of
 * states are not visible: which of several equal places takes the gradient of a maximum
 * pool is a free choice, and rounding may make it. */
#include "plan/stages.h"

typedef uint32_t AxisSet; /* a bit an axis */

typedef struct TieMark {
    const Node *map; /* NULL: of no map, or no floats */
    AxisSet moved;
    const Node **by; /* by axis: NULL where nothing compares places along it */
    bool seen;       /* an output follows from it that is no state's new value */
} TieMark;

typedef struct Search {
    const Graph *graph;
    Arena *scratch;
    TieMark *marks; /* by node id */
} Search;

static AxisSet all_from(int first, int rank) { return ((AxisSet)1 << rank) - ((AxisSet)1 << first); }
static AxisSet axis_bit(int64_t axis) { return (AxisSet)1 << axis; }

/* ---- axes of operands ---- */

/* dims[0] * .. * dims[i - 1] for i = 0 .. rank. */
static Dim *products_before(const Search *s, Shape shape) {
    Dim *all = NEW_ARRAY(s->scratch, Dim, shape.rank + 1);
    all[0] = dim_const(s->graph->dims, 1);
    for (int i = 0; i < shape.rank; i++) all[i + 1] = dim_mul(s->graph->dims, all[i], shape.dims[i]);
    return all;
}

static int find_product(const Dim *all, int rank, Dim product) {
    for (int i = 0; i <= rank; i++)
        if (all[i] == product) return i;
    return -1;
}

/* The axes of a reshape's operand that make up one of its axes: those between the nearest
 * places where both shapes have equal numbers of elements before them. */
static AxisSet reshaped_from(const Search *s, const Node *node, int axis) {
    Shape x = node->inputs[0]->shape, y = node->shape;
    const Dim *of_x = products_before(s, x), *of_y = products_before(s, y);
    int low = axis, high = axis + 1;
    while (find_product(of_x, x.rank, of_y[low]) < 0) low--;
    while (high < y.rank && find_product(of_x, x.rank, of_y[high]) < 0) high++;
    return all_from(find_product(of_x, x.rank, of_y[low]),
                    high < y.rank ? find_product(of_x, x.rank, of_y[high]) : x.rank);
}

/* Of gather: y[a.., j.., b..] = x[a.., index[j..], b..]. */
static AxisSet gathered_from(const Node *node, int input, int axis) {
    int at = (int)ATTRIBUTES(node, gather)->axis, places = node->inputs[1]->shape.rank;
    bool inside = axis >= at && axis < at + places;
    if (input == 1) return inside ? axis_bit(axis - at) : 0;
    return axis_bit(inside ? at : axis < at ? axis : axis - places + 1);
}

/* Of [.., M, K] @ [.., K, N]: rows are those of the left, columns of the right. */
static AxisSet multiplied_from(const Node *node, int input, int axis) {
    int others = node->shape.rank - (input == 0 ? 1 : 2);
    return axis == others ? 0 : axis_bit(axis);
}

/* The axes of an operand along which its places are compared where places of the node are
 * compared along `axis`. */
static AxisSet axes_of_input(const Search *s, const Node *node, int input, int axis) {
    const Node *x = node->inputs[input];
    switch (node->op) {
    case OP_reshape: return reshaped_from(s, node, axis);
    case OP_transpose: return axis_bit(ATTRIBUTES(node, transpose)->permutation.items[axis]);
    case OP_gather: return gathered_from(node, input, axis);
    case OP_matmul: return multiplied_from(node, input, axis);
    /* each channel depends on all of them */
    case OP_convolution:
    case OP_convolution_backward_data: return input == 0 && axis != 1 ? axis_bit(axis) : 0;
    case OP_scatter_add: case OP_put: return all_from(0, x->shape.rank);
    /* sums over places, and integers */
    case OP_convolution_backward_weights: case OP_argmax: case OP_top_k: case OP_nms: return 0;
    default: return x->shape.rank == node->shape.rank ? axis_bit(axis) : 0;
    }
}

/* ---- forward: which values are one map, perhaps at other places ---- */

/* The axes along which the operator itself moves elements. */
static AxisSet moves_along(const Node *node) {
    AxisSet axes = 0;
    switch (node->op) {
    case OP_gather: return all_from(0, node->shape.rank);
    case OP_slice: case OP_pad: case OP_pad_input:
        for (int i = 0; i < node->shape.rank; i++)
            if (node->shape.dims[i] != node->inputs[0]->shape.dims[i]) axes |= axis_bit(i);
        return axes;
    default:
        if (op_info[node->op].class == CLASS_WINDOW) return all_from(2, node->shape.rank);
        for (int i = 0; i < node->shape.rank; i++)
            if (node_names_axis(node, i)) axes |= axis_bit(i);
        return axes;
    }
}

static AxisSet moved_axes(const Search *s, const Node *node) {
    AxisSet moved = moves_along(node);
    for (int i = 0; i < node->input_count; i++)
        for (int axis = 0; axis < node->shape.rank; axis++)
            if (axes_of_input(s, node, i, axis) & s->marks[node->inputs[i]->id].moved)
                moved |= axis_bit(axis);
    return moved;
}

/* A node has the map of its operands where they share one; else it is a map of its
 * own. */
static void find_map(Search *s, const Node *node) {
    TieMark *mark = &s->marks[node->id];
    bool begins = op_info[node->op].class == CLASS_CONTRACTION;
    if (!dtype_is_float(node->shape.type)) return;
    for (int i = 0; i < node->input_count && !begins; i++) {
        const Node *map = s->marks[node->inputs[i]->id].map;
        begins = map && mark->map && map != mark->map;
        if (map) mark->map = map;
    }
    if (begins) mark->map = node;
    else if (mark->map) mark->moved = moved_axes(s, node);
}

/* ---- backward: whose places are compared ---- */

static void compare_shapes(Search *s, const Node *node, AxisSet axes, const Node *by) {
    TieMark *mark = &s->marks[node->id];
    for (int axis = 0; axis < node->shape.rank; axis++) {
        /* a single place has no other to be compared with */
        bool several = node->shape.dims[axis] != dim_const(s->graph->dims, 1);
        if (several && axes & axis_bit(axis) && !mark->by[axis]) mark->by[axis] = by;
    }
}

static void compare_maps(Search *s, const Node *node) {
    const TieMark *a = &s->marks[node->inputs[0]->id], *b = &s->marks[node->inputs[1]->id];
    if (!a->map || a->map != b->map) return;
    for (int i = 0; i < 2; i++) compare_shapes(s, node->inputs[i], a->moved | b->moved, node);
}

/* What the node itself compares. */
static void find_comparison(Search *s, const Node *node) {
    if (!s->marks[node->id].seen) return;
    switch (node->op) {
    case OP_max_pool_scatter:
    case OP_max_pool_gather:
        compare_shapes(s, node->inputs[0], all_from(2, node->inputs[0]->shape.rank), node);
        return;
    case OP_eq: case OP_ne: case OP_lt: case OP_le: compare_maps(s, node); return;
    default: return;
    }
}

static void see_outputs(Search *s, const Program *program) {
    for (int i = 0; i < s->graph->outputs.count; i++)
        if (program_shared_input(program, i) < 0) s->marks[s->graph->outputs.items[i].node->id].seen = true;
}

static void hand_on(Search *s, const Node *node) {
    const TieMark *mark = &s->marks[node->id];
    for (int i = 0; i < node->input_count; i++) s->marks[node->inputs[i]->id].seen |= mark->seen;
    for (int axis = 0; axis < node->shape.rank; axis++) {
        if (!mark->by[axis]) continue;
        for (int i = 0; i < node->input_count; i++)
            compare_shapes(s, node->inputs[i], axes_of_input(s, node, i, axis), mark->by[axis]);
    }
}

static const Node *compares_places_of(const Search *s, const Node *node) {
    const TieMark *mark = &s->marks[node->id];
    for (int axis = 2; axis < node->shape.rank; axis++)
        if (mark->by[axis]) return mark->by[axis];
    return NULL;
}

void find_ties(Program *program, Arena *scratch) {
    const Graph *graph = program->graph;
    int count = graph->nodes.count;
    Search s = {graph, scratch, NEW_ARRAY(scratch, TieMark, count)};
    const Node **ties = NEW_ARRAY(program->arena, const Node *, count);
    for (int i = 0; i < count; i++) {
        s.marks[i].by = NEW_ARRAY(scratch, const Node *, graph->nodes.items[i]->shape.rank);
        find_map(&s, graph->nodes.items[i]);
    }
    see_outputs(&s, program);
    for (int i = count - 1; i >= 0; i--) {
        const Node *node = graph->nodes.items[i];
        find_comparison(&s, node);
        hand_on(&s, node);
        if (node->op == OP_convolution || node->op == OP_convolution_backward_data)
            ties[i] = compares_places_of(&s, node);
    }
    program->ties = ties;
}
