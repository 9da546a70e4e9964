/* What can be told of a node by itself, while building. */
#include "graph/graph.h"

bool node_is_splat(const Node *node, double *value) {
    if (node->op != OP_constant || ATTRIBUTES(node, constant)->data->count != 1) return false;
    *value = number_value(ATTRIBUTES(node, constant)->data->values[0], node->shape.type);
    return true;
}

Node *splat_in_shape(Graph *g, const Node *splat, int rank, const Dim *dims) {
    return build_constant(g, ATTRIBUTES(splat, constant)->data->values, 1, (Shape){splat->shape.type, rank, dims});
}

bool reshape_is_trivial(const Node *node) {
    if (node->op != OP_reshape) return false;
    Shape from = node->inputs[0]->shape, to = node->shape;
    for (int i = 0, j = 0;;) {
        int64_t one;
        while (i < from.rank && dim_is_const(from.dims[i], &one) && one == 1) i++;
        while (j < to.rank && dim_is_const(to.dims[j], &one) && one == 1) j++;
        if (i == from.rank || j == to.rank) return i == from.rank && j == to.rank;
        if (from.dims[i++] != to.dims[j++]) return false;
    }
}
