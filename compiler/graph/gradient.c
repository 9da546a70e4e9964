/* Reverse accumulation: gradients are more nodes of the same graph, made by the
 * operators' own rules, so gradients of gradients and symbolic sizes need nothing
 * special. */
#include "graph/graph.h"

typedef struct Accumulation {
    Graph *graph;
    int count;      /* nodes up to y */
    bool *reaches;  /* by id: this node depends on an x */
    Node **adjoint; /* by id: d(y)/d(node) so far, or NULL for zero */
} Accumulation;

static void mark_reached(Accumulation *a, Node *const *xs, int count) {
    for (int i = 0; i < count; i++)
        if (xs[i]->id < a->count) a->reaches[xs[i]->id] = true;
    for (int id = 0; id < a->count; id++) {
        const Node *node = a->graph->nodes.items[id];
        for (int i = 0; i < node->input_count && op_is_differentiable(node->op); i++)
            if (a->reaches[node->inputs[i]->id]) a->reaches[id] = true;
    }
}

static void add_to(Accumulation *a, const Node *input, Node *part) {
    Node **adjoint = &a->adjoint[input->id];
    CHECK(shape_equal(part->shape, input->shape));
    *adjoint = *adjoint ? build_binary(a->graph, OP_add, *adjoint, part) : part;
}

/* Passes a node's adjoint on to those of its inputs that depend on an x. */
static void pass_on(Accumulation *a, Node *node) {
    graph_at(a->graph, node->origin);
    for (int i = 0; i < node->input_count; i++) {
        if (!a->reaches[node->inputs[i]->id]) continue;
        Node *part = op_info[node->op].gradient(a->graph, node, i, a->adjoint[node->id]);
        if (part) add_to(a, node->inputs[i], part);
    }
}

void graph_gradient_of(Graph *graph, Node *y, Node *const *xs, int count, Node **gradients) {
    CHECK(y->shape.rank == 0 && dtype_is_float(y->shape.type));
    const Origin *here = graph->here;
    Arena *scratch = arena_new();
    Accumulation a = {graph, y->id + 1, NEW_ARRAY(scratch, bool, y->id + 1),
                      NEW_ARRAY(scratch, Node *, y->id + 1)};
    mark_reached(&a, xs, count);
    a.adjoint[y->id] = build_scalar(graph, 1, y->shape.type);
    for (int id = y->id; id >= 0; id--)
        if (a.reaches[id] && a.adjoint[id]) pass_on(&a, graph->nodes.items[id]);
    graph_at(graph, here);
    for (int i = 0; i < count; i++) gradients[i] = xs[i]->id < a.count ? a.adjoint[xs[i]->id] : NULL;
    arena_free(scratch);
}

void graph_gradient(Graph *graph, Node *y, Node *const *xs, int count, Node **gradients) {
    graph_gradient_of(graph, y, xs, count, gradients);
    for (int i = 0; i < count; i++)
        if (!gradients[i]) gradients[i] = build_splat(graph, 0, xs[i]->shape);
}
