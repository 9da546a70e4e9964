/* The walk that passes share: every live node once, inputs before users, through a memo
 * from old nodes to new. Hash-consing in the new graph merges nodes that have become
 * equal, so common subexpressions need no pass of their own. */
#include "passes/passes.h"

/* Marks outputs and what they depend on; inputs of the model stay, used or not, since
 * they are its signature. */
static bool *mark_live(const Graph *graph) {
    bool *live = NEW_ARRAY(graph->arena, bool, graph->nodes.count);
    for (int i = 0; i < graph->inputs.count; i++) live[graph->inputs.items[i].node->id] = true;
    for (int i = 0; i < graph->outputs.count; i++) live[graph->outputs.items[i].node->id] = true;
    for (int id = graph->nodes.count - 1; id >= 0; id--) {
        const Node *node = graph->nodes.items[id];
        for (int i = 0; i < node->input_count && live[id]; i++) live[node->inputs[i]->id] = true;
    }
    return live;
}

static int max_inputs(const Graph *graph) {
    int max = 0;
    for (int id = 0; id < graph->nodes.count; id++)
        if (graph->nodes.items[id]->input_count > max) max = graph->nodes.items[id]->input_count;
    return max;
}

Graph *graph_rewrite(Graph *from, RewriteVisit visit, void *context) {
    Graph *to = graph_like(from);
    const bool *live = mark_live(from);
    Node **memo = NEW_ARRAY(from->arena, Node *, from->nodes.count),
         **inputs = NEW_ARRAY(from->arena, Node *, max_inputs(from));
    for (int id = 0; id < from->nodes.count; id++) {
        const Node *node = from->nodes.items[id];
        if (!live[id]) continue;
        for (int i = 0; i < node->input_count; i++) inputs[i] = memo[node->inputs[i]->id];
        graph_at(to, node->origin);
        Node *made = visit ? visit(to, node, inputs, context) : NULL;
        memo[id] = made ? made : graph_copy(to, node, inputs);
        CHECK(shape_equal(memo[id]->shape, node->shape));
    }
    for (int i = 0; i < to->inputs.count; i++)
        to->inputs.items[i].node = memo[from->inputs.items[i].node->id];
    for (int i = 0; i < to->outputs.count; i++)
        to->outputs.items[i].node = memo[from->outputs.items[i].node->id];
    return to;
}

int *graph_uses(const Graph *graph) {
    int *uses = NEW_ARRAY(graph->arena, int, graph->nodes.count);
    const bool *live = mark_live(graph);
    for (int id = 0; id < graph->nodes.count; id++) {
        const Node *node = graph->nodes.items[id];
        for (int i = 0; i < node->input_count && live[id]; i++) uses[node->inputs[i]->id]++;
    }
    for (int i = 0; i < graph->outputs.count; i++) uses[graph->outputs.items[i].node->id]++;
    return uses;
}
