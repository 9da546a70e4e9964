/* Folds constants by the operators' reference functions: ints and bools as a program
 * computes them, floats in double. A chain of f32 constants stays in double and is
 * rounded once, when its result is written into the program, as weights are.
 *
 * Needs nothing. Makes constants of at most MAX_ELEMENTS elements. A constant with a
 * single value stays one number, whatever its shape, so that elementwise work on such
 * constants can be folded for symbolic sizes, too. A broadcast of several numbers is not
 * folded, since this would only make a larger constant. iota of several places and free
 * sizes are not folded, since kernels compute them faster than they would load them. */
#include "graph/ops.h"
#include "passes/passes.h"

#define MAX_ELEMENTS 65536

static Node *make_constant(Graph *to, const Number *values, int64_t count, Shape shape) {
    bool same = true;
    for (int64_t i = 1; i < count && same; i++) same = memcmp(&values[i], &values[0], sizeof *values) == 0;
    return build_constant(to, values, same ? 1 : count, shape);
}

/* Elementwise work on splats: computes one element for all. */
static Node *fold_elementwise_splats(Graph *to, const Node *old, Node *const *inputs) {
    RefShape shapes[3] = {0};
    const Number *values[3];
    for (int i = 0; i < old->input_count; i++) {
        shapes[i] = (RefShape){.type = inputs[i]->shape.type, .count = 1};
        values[i] = ATTRIBUTES(inputs[i], constant)->data->values;
    }
    Number out = {0};
    RefTensor result = {{.type = old->shape.type, .count = 1}, &out};
    op_info[old->op].reference(&(RefCall){old, NULL, values, shapes, &out, result.shape, 0, NULL, NULL});
    reference_round(&result);
    return build_constant(to, &out, 1, old->shape);
}

/* Moving the elements of a splat gives a splat, except for a padding of another value. */
static Node *fold_moved_splat(Graph *to, const Node *old, Node *const *inputs) {
    const Number *value = ATTRIBUTES(inputs[0], constant)->data->values;
    bool same = old->op != OP_pad_input;
    for (int i = 1; i < old->input_count && old->op == OP_concat; i++)
        same = same && memcmp(value, ATTRIBUTES(inputs[i], constant)->data->values, sizeof *value) == 0;
    if (old->op == OP_pad && same_name(ATTRIBUTES(old, pad)->mode, "constant"))
        same = memcmp(value, &ATTRIBUTES(old, pad)->value, sizeof *value) == 0;
    return same ? build_constant(to, value, 1, old->shape) : NULL;
}

/* The elements of the constant, expanded where it is a splat. */
static bool constant_elements(const Node *node, Arena *arena, const Number **values, RefShape *shape) {
    const Data *data = ATTRIBUTES(node, constant)->data;
    int64_t count;
    if (!shape_element_count(node->shape, &count) || count > MAX_ELEMENTS) return false;
    *shape = (RefShape){.type = node->shape.type, .rank = node->shape.rank, .count = count};
    for (int i = 0; i < shape->rank; i++) shape->dims[i] = dim_const_value(node->shape.dims[i]);
    Number *spread = NEW_ARRAY(arena, Number, count);
    for (int64_t i = 0; i < count; i++) spread[i] = data->values[data->count == 1 ? 0 : i];
    *values = spread;
    return true;
}

static Node *fold_elements(Graph *to, const Node *old, Node *const *inputs, Arena *arena) {
    if (!node_sizes_are_known(old) || node_element_count(old) > MAX_ELEMENTS) return NULL;
    int64_t count = node_element_count(old);
    const Number **values = NEW_ARRAY(arena, const Number *, old->input_count);
    RefShape *shapes = NEW_ARRAY(arena, RefShape, old->input_count);
    for (int i = 0; i < old->input_count; i++)
        if (!constant_elements(inputs[i], arena, &values[i], &shapes[i])) return NULL;
    RefTensor result = {{.type = old->shape.type, .rank = old->shape.rank, .count = count},
                        NEW_ARRAY(arena, Number, count)};
    for (int i = 0; i < old->shape.rank; i++) result.shape.dims[i] = dim_const_value(old->shape.dims[i]);
    op_info[old->op].reference(
        &(RefCall){old, NULL, values, shapes, result.values, result.shape, 0, product_blocked, NULL});
    reference_round(&result);
    return make_constant(to, result.values, count, old->shape);
}

static Node *fold_size_node(Graph *to, const Node *old) {
    int64_t value;
    if (!dim_is_const(ATTRIBUTES(old, size)->value.items[0], &value)) return NULL;
    Number size = number_cast((Number){.whole = value}, DTYPE_I64, old->shape.type);
    return build_constant(to, &size, 1, old->shape);
}

/* A single place is number 0. */
static Node *fold_iota(Graph *to, const Node *old) {
    const Dim size = old->shape.dims[ATTRIBUTES(old, iota)->axis];
    return dim_is_one(size) ? build_splat(to, 0, old->shape) : NULL;
}

Node *fold_visit(Graph *to, const Node *old, Node *const *inputs, void *context) {
    (void)context;
    if (old->op == OP_iota) return fold_iota(to, old);
    if (old->op == OP_size) return fold_size_node(to, old);
    if (old->input_count == 0) return NULL;
    bool splats = true;
    double value;
    for (int i = 0; i < old->input_count; i++) {
        if (inputs[i]->op != OP_constant) return NULL;
        splats = splats && node_is_splat(inputs[i], &value);
    }
    if (op_info[old->op].class == CLASS_ELEMENTWISE && splats)
        return fold_elementwise_splats(to, old, inputs);
    if (op_info[old->op].class == CLASS_MOVEMENT && splats && old->op != OP_gather) {
        Node *moved = fold_moved_splat(to, old, inputs);
        if (moved) return moved;
    }
    if (old->op == OP_broadcast) return NULL;
    Arena *arena = arena_new();
    Node *folded = fold_elements(to, old, inputs, arena);
    arena_free(arena);
    return folded;
}

Graph *pass_fold(Graph *graph) { return graph_rewrite(graph, fold_visit, NULL); }
