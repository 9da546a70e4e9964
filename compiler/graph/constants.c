/* What the compiler knows of a node's value: what it is computed from, and whether it is
 * a constant of one value. */
#include "graph/graph.h"

bool node_is_splat(const Node *node, double *value) {
    if (node->op != OP_constant || ATTRIBUTES(node, constant)->data->count != 1) return false;
    *value = number_value(ATTRIBUTES(node, constant)->data->values[0], node->shape.type);
    return true;
}

Node *splat_in_shape(Graph *g, const Node *splat, int rank, const Dim *dims) {
    return build_constant(g, ATTRIBUTES(splat, constant)->data->values, 1,
                          (Shape){splat->shape.type, rank, dims});
}

bool reshape_is_trivial(const Node *node) {
    if (node->op != OP_reshape) return false;
    Shape from = node->inputs[0]->shape, to = node->shape;
    for (int i = 0, j = 0;;) {
        while (i < from.rank && dim_is_one(from.dims[i])) i++;
        while (j < to.rank && dim_is_one(to.dims[j])) j++;
        if (i == from.rank || j == to.rank) return i == from.rank && j == to.rank;
        if (from.dims[i++] != to.dims[j++]) return false;
    }
}

/* ---- what a node is made of ---- */

static unsigned own_sources(const Node *node) {
    unsigned shape = node_sizes_are_known(node) ? 0 : MADE_IN_FREE_SIZES;
    switch (node->op) {
    case OP_input: return shape | MADE_OF_INPUTS;
    case OP_parameter: case OP_state: return shape | MADE_OF_WEIGHTS;
    case OP_uniform: return shape | MADE_OF_RANDOM;
    case OP_size: return shape | MADE_OF_SIZES;
    case OP_iota: return shape | MADE_OF_PLACES;
    default: return shape;
    }
}

unsigned node_sources(NodeSources *sources, const Graph *graph, const Node *node) {
    for (int id = sources->of.count; id <= node->id; id++) {
        const Node *next = graph->nodes.items[id];
        unsigned found = own_sources(next);
        for (int i = 0; i < next->input_count; i++) found |= sources->of.items[next->inputs[i]->id];
        vec_push(graph->arena, &sources->of, (unsigned char)found);
    }
    return sources->of.items[node->id];
}
