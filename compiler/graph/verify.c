/* What must hold of every graph, checked after each pass in debug and test builds. */
#include "graph/ops.h"

static void check_node(const Graph *graph, const Node *node, int id, const char *stage) {
    const OpInfo *info = &op_info[node->op];
    if (node->id != id) INTERNAL_ERROR("after %s: node %d has id %d", stage, id, node->id);
    if (!node->origin) INTERNAL_ERROR("after %s: %%%d (%s) has no origin", stage, id, info->name);
    if (node->input_count < info->min_inputs ||
        (info->max_inputs >= 0 && node->input_count > info->max_inputs))
        INTERNAL_ERROR("after %s: %%%d (%s) has %d inputs", stage, id, info->name, node->input_count);
    for (int i = 0; i < node->input_count; i++) {
        const Node *input = node->inputs[i];
        if (input->id >= id || graph->nodes.items[input->id] != input)
            INTERNAL_ERROR("after %s: input %d of %%%d (%s) does not stand before it in its graph", stage, i,
                           id, info->name);
    }
}

/* Runs the shape rule again, which finds a node whose input was replaced without
 * graph_make. */
static void check_shape(const Graph *graph, const Node *node, const char *stage) {
    Graph scratch = {.arena = graph->arena, .names = graph->names, .dims = graph->dims, .here = node->origin};
    Shape shape;
    ShapeError error;
    if (!op_info[node->op].shape(&scratch, node->op, node->inputs, node->input_count, node->attributes,
                                 &shape, &error))
        INTERNAL_ERROR("after %s: %%%d (%s): %s", stage, node->id, op_info[node->op].name, error.text);
    if (!shape_equal(shape, node->shape))
        INTERNAL_ERROR("after %s: %%%d (%s) has the wrong shape", stage, node->id, op_info[node->op].name);
}

static void check_port(const Graph *graph, const Port *port, const char *stage) {
    if (!port->node || port->node->id >= graph->nodes.count ||
        graph->nodes.items[port->node->id] != port->node)
        INTERNAL_ERROR("after %s: the port %s is no node of the graph", stage, port->name);
}

void graph_verify(const Graph *graph, const char *stage) {
    for (int i = 0; i < graph->nodes.count; i++) {
        check_node(graph, graph->nodes.items[i], i, stage);
        check_shape(graph, graph->nodes.items[i], stage);
    }
    for (int i = 0; i < graph->inputs.count; i++) check_port(graph, &graph->inputs.items[i], stage);
    for (int i = 0; i < graph->outputs.count; i++) check_port(graph, &graph->outputs.items[i], stage);
}
