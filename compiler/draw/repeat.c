/* Equal layers in sequence, such as the encoder layers of a transformer, are drawn once.
 * Two neighbours are equal where the nodes that depend on inputs correspond one by one:
 * operators, attributes and shapes, and weights by their shapes. The second layer must
 * read only one result of the first, and nothing else may read the first. */
#include "draw/draw.h"
#include "graph/ops.h"

typedef struct RepeatPair {
    const Graph *graph;
    const bool *data, *weighed; /* by node: depends on an input, on a weight */
    int *twin;                  /* by node: its counterpart in the layer before, -1: none */
    const LayerInfo *before, *after;
    const Node *taken[2]; /* the input of each of the two */
} RepeatPair;

static bool is_in(const LayerInfo *layer, const Node *node) {
    return node->id >= layer->first_node && node->id < layer->end_node;
}

/* a is an input in the first layer, b in the second. */
static bool inputs_match(RepeatPair *p, const Node *a, const Node *b) {
    if (p->data[a->id] != p->data[b->id]) return false;
    if (!p->data[a->id])
        return a == b || (p->weighed[a->id] && p->weighed[b->id] && shape_equal(a->shape, b->shape));
    if (is_in(p->after, b)) return p->twin[b->id] == a->id;
    if (is_in(p->before, a) || !is_in(p->before, b) || !shape_equal(a->shape, b->shape)) return false;
    if (!p->taken[0]) p->taken[0] = a, p->taken[1] = b;
    return p->taken[0] == a && p->taken[1] == b;
}

static bool nodes_match(RepeatPair *p, const Node *a, const Node *b) {
    if (a->op != b->op || a->input_count != b->input_count || !shape_equal(a->shape, b->shape)) return false;
    if (!attributes_equal(a->op, a->attributes, b->attributes)) return false;
    for (int i = 0; i < a->input_count; i++)
        if (!inputs_match(p, a->inputs[i], b->inputs[i])) return false;
    return true;
}

static int next_data(const RepeatPair *p, int id, int end) {
    while (id < end && !p->data[id]) id++;
    return id;
}

static bool layers_match(RepeatPair *p) {
    int a = next_data(p, p->before->first_node, p->before->end_node),
        b = next_data(p, p->after->first_node, p->after->end_node);
    while (a < p->before->end_node && b < p->after->end_node) {
        p->twin[b] = a;
        if (!nodes_match(p, p->graph->nodes.items[a], p->graph->nodes.items[b])) return false;
        a = next_data(p, a + 1, p->before->end_node), b = next_data(p, b + 1, p->after->end_node);
    }
    return a == p->before->end_node && b == p->after->end_node && p->taken[0];
}

/* Whether the result of the first layer is read outside the second. */
static bool is_seen_elsewhere(const RepeatPair *p) {
    for (int i = 0; i < p->graph->outputs.count; i++)
        if (is_in(p->before, p->graph->outputs.items[i].node)) return true;
    for (int id = p->before->end_node; id < p->graph->nodes.count; id++) {
        const Node *node = p->graph->nodes.items[id];
        for (int i = 0; i < node->input_count && !is_in(p->after, node); i++)
            if (p->data[node->inputs[i]->id] && is_in(p->before, node->inputs[i])) return true;
    }
    return false;
}

static bool is_repeated(RepeatPair *p) {
    p->taken[0] = p->taken[1] = NULL;
    if (strcmp(draw_callee(p->before), draw_callee(p->after)) == 0 && layers_match(p) &&
        !is_seen_elsewhere(p))
        return true;
    for (int id = p->after->first_node; id < p->after->end_node; id++) p->twin[id] = -1;
    return false;
}

static int next_sibling(const LayerList *layers, int layer) {
    for (int l = layer + 1; l < layers->count; l++)
        if (layers->items[l].parent == layers->items[layer].parent) return l;
    return layers->count;
}

Repeats draw_repeats(Arena *arena, const Model *model, const bool *has_layers, const bool *data,
                     const bool *weighed) {
    const LayerList *layers = &model->runs;
    int node_count = model->graph->nodes.count;
    Repeats repeats = {.times = NEW_ARRAY(arena, int, layers->count + 1),
                       .last = NEW_ARRAY(arena, int, layers->count + 1),
                       .twin = NEW_ARRAY(arena, int, node_count + 1)};
    RepeatPair pair = {.graph = model->graph, .data = data, .weighed = weighed, .twin = repeats.twin};
    for (int id = 0; id < node_count; id++) repeats.twin[id] = -1;
    for (int l = 0; l < layers->count; l++) {
        bool follows = repeats.times[l] < 0;
        if (follows) continue;
        repeats.times[l] = 1, repeats.last[l] = l;
        for (int next = next_sibling(layers, l); has_layers[l] && next < layers->count;
             next = next_sibling(layers, next)) {
            pair.before = &layers->items[repeats.last[l]], pair.after = &layers->items[next];
            if (!has_layers[next] || !is_repeated(&pair)) break;
            repeats.times[l]++, repeats.times[next] = -1, repeats.last[l] = next;
        }
    }
    return repeats;
}
