/* Figures for LayerInfo: which runs of layers are listed, their weights and
 * multiply-adds. */
#include "elaborate/evaluator.h"

int entry_begin(Evaluator *ev, Layer *layer, Span span) {
    Entry entry = {.parent = ev->entry, .shown = span.source && !span.source->library};
    Dim zero = dim_const(ev->dims, 0);
    entry.info = (LayerInfo){.path = layer->path,
                             .callee = layer_callee(layer),
                             .parameters = zero,
                             .macs = zero,
                             .span = user_span(ev, span),
                             .first_node = ev->graph->nodes.count};
    vec_push(ev->arena, &ev->entries, entry);
    return ev->entry = ev->entries.count - 1;
}

static Node *first_tensor(Value v) {
    if (v.kind == VALUE_TENSOR) return v.node;
    for (int i = 0; value_is_sequence(v) && i < v.list->count; i++) {
        Node *node = first_tensor(v.list->items[i]);
        if (node) return node;
    }
    return NULL;
}

void entry_end(Evaluator *ev, int entry, Value result) {
    Entry *e = &ev->entries.items[entry];
    e->info.result = first_tensor(result);
    e->info.end_node = ev->graph->nodes.count;
    ev->entry = e->parent;
}

static Dim kernel_elements(Evaluator *ev, const Node *w) {
    Dim count = dim_const(ev->dims, 1);
    for (int i = 1; i < w->shape.rank; i++) count = dim_mul(ev->dims, count, w->shape.dims[i]);
    return count;
}

/* Multiply-adds: of a convolution, each output takes as many as its kernel holds, [I /
 * groups, kh, kw]; in a transposed one each input does, since the kernel spreads it; in a
 * matrix product each output takes the inner size. NULL: not counted. */
static Dim node_macs(Evaluator *ev, const Node *node) {
    const Node *x = node->inputs[0], *w = node->inputs[1];
    switch (node->op) {
    case OP_matmul:
        return dim_mul(ev->dims, x->shape.dims[x->shape.rank - 1], shape_elements(ev->dims, node->shape));
    case OP_convolution:
        return dim_mul(ev->dims, kernel_elements(ev, w), shape_elements(ev->dims, node->shape));
    case OP_convolution_backward_data:
        return dim_mul(ev->dims, kernel_elements(ev, w), shape_elements(ev->dims, x->shape));
    default: return NULL;
    }
}

/* Products of weights alone, such as those of spectral norm, are computed once, while
 * building. */
void count_node(Evaluator *ev, Node *node, int nodes_before) {
    if (node->id < nodes_before || node->input_count != 2) return;
    Dim macs = node_macs(ev, node);
    unsigned run = MADE_OF_INPUTS | MADE_OF_RANDOM | MADE_OF_SIZES;
    if (!macs || !(node_sources(&ev->sources, ev->graph, node) & run)) return;
    ev->model->macs = dim_add(ev->dims, ev->model->macs, macs);
    if (ev->entry < 0) return;
    LayerInfo *info = &ev->entries.items[ev->entry].info;
    info->macs = dim_add(ev->dims, info->macs, macs);
}

void count_weight(Evaluator *ev, const Weight *weight) {
    if (weight->state) return;
    Dim elements = shape_elements(ev->dims, weight->shape);
    ev->model->parameters = dim_add(ev->dims, ev->model->parameters, elements);
    if (ev->entry < 0) return;
    Entry *entry = &ev->entries.items[ev->entry];
    entry->info.parameters = dim_add(ev->dims, entry->info.parameters, elements);
    entry->shown = true;
}

/* Layers inside library blocks are listed only where they have weights of their own;
 * others count for the layer around them. */
static int shown_parent(const Evaluator *ev, int entry) {
    while (entry >= 0 && !ev->entries.items[entry].shown) entry = ev->entries.items[entry].parent;
    return entry;
}

/* The same, and also all stages of layers that contain listed ones: a dense layer of the
 * library, and the softmax of its attention. Together these made every node of such a
 * layer. Parents come before their parts. */
static void find_drawn(Evaluator *ev) {
    int count = ev->entries.count;
    bool *holds = NEW_ARRAY(ev->arena, bool, count + 1);
    for (int i = count - 1; i >= 0; i--) {
        const Entry *entry = &ev->entries.items[i];
        if (entry->parent >= 0 && (entry->shown || holds[i])) holds[entry->parent] = true;
    }
    for (int i = 0; i < count; i++) {
        Entry *entry = &ev->entries.items[i];
        int up = entry->parent;
        entry->drawn = entry->shown || up < 0 || (ev->entries.items[up].drawn && holds[up]);
    }
}

static void count_for_shown(Evaluator *ev) {
    for (int i = ev->entries.count - 1; i >= 0; i--) {
        Entry *entry = &ev->entries.items[i];
        int parent = entry->shown ? -1 : shown_parent(ev, entry->parent);
        if (parent < 0) continue;
        LayerInfo *info = &ev->entries.items[parent].info;
        info->macs = dim_add(ev->dims, info->macs, entry->info.macs);
    }
}

static bool is_listed_entry(const Entry *entry, bool drawn) {
    return (drawn ? entry->drawn : entry->shown) && entry->info.result;
}

static void list_layers(Evaluator *ev, LayerList *list, bool drawn, const int64_t *fields) {
    int *places = NEW_ARRAY(ev->arena, int, ev->entries.count + 1); /* in the list */
    for (int i = 0; i < ev->entries.count; i++) {
        Entry *entry = &ev->entries.items[i];
        if (!is_listed_entry(entry, drawn)) continue;
        int up = entry->parent;
        while (up >= 0 && !is_listed_entry(&ev->entries.items[up], drawn)) up = ev->entries.items[up].parent;
        LayerInfo info = entry->info;
        info.parent = up < 0 ? -1 : places[up];
        info.depth = up < 0 ? 0 : list->items[places[up]].depth + 1;
        info.receptive_field = fields[info.result->id];
        places[i] = list->count;
        vec_push(ev->arena, list, info);
    }
}

/* The largest field; none where the network saw only single pixels, and then
 * everything. */
static int64_t largest_field(const Graph *graph, const int64_t *fields) {
    int64_t largest = 0;
    bool narrow = false; /* an output sees less than everything */
    for (int i = 0; i < graph->nodes.count; i++) largest = max_i64(largest, fields[i]);
    for (int i = 0; i < graph->outputs.count; i++) narrow |= fields[graph->outputs.items[i].node->id] > 0;
    return largest > 1 || narrow ? largest : 0;
}

void summarize(Evaluator *ev) {
    bool unbounded;
    int64_t *fields = receptive_fields(ev, &unbounded);
    count_for_shown(ev);
    find_drawn(ev);
    list_layers(ev, &ev->model->layers, false, fields);
    list_layers(ev, &ev->model->runs, true, fields);
    ev->model->receptive_field = unbounded ? 0 : largest_field(ev->graph, fields);
}
