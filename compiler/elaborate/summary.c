/* Figures for LayerInfo: which runs of layers are listed, their weights and multiply-adds. */
#include "elaborate/evaluator.h"

int entry_begin(Evaluator *ev, Layer *layer, Span span) {
    Entry entry = {.parent = ev->entry, .shown = span.source && !span.source->library};
    Dim zero = dim_const(ev->dims, 0);
    entry.info = (LayerInfo){.path = layer->path, .callee = layer_callee(layer), .parameters = zero, .macs = zero, .span = user_span(ev, span)};
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
    ev->entry = e->parent;
}

/* Multiply-adds, counted on outputs: every output takes one product for each weight that reaches it. */
static Dim node_macs(Evaluator *ev, const Node *node) {
    const Node *x = node->inputs[0], *w = node->inputs[1];
    Dim each = dim_const(ev->dims, 1);
    int64_t groups = node->op == OP_convolution_input ? ATTRIBUTES(node, convolution_input)->groups : 1;
    if (node->op == OP_matmul) each = x->shape.dims[x->shape.rank - 1];
    else if (node->op == OP_convolution || node->op == OP_convolution_input) {
        for (int i = 2; i < w->shape.rank; i++) each = dim_mul(ev->dims, each, w->shape.dims[i]);
        /* w is [O, I/groups, ...]: a convolution adds over I/groups, its transpose over O/groups */
        Dim added = w->shape.dims[node->op == OP_convolution];
        each = dim_mul(ev->dims, each, groups > 1 ? dim_floor_div(ev->dims, added, groups) : added);
    } else
        return NULL;
    return dim_mul(ev->dims, each, shape_elements(ev->dims, node->shape));
}

void count_node(Evaluator *ev, Node *node, int nodes_before) {
    if (node->id < nodes_before || node->input_count != 2) return;
    Dim macs = node_macs(ev, node);
    if (!macs) return;
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

/* What the library does inside is listed only where it has weights of its own; the rest counts for the layer around it. */
static int shown_parent(const Evaluator *ev, int entry) {
    while (entry >= 0 && !ev->entries.items[entry].shown) entry = ev->entries.items[entry].parent;
    return entry;
}

void summarize(Evaluator *ev) {
    int64_t *fields = receptive_fields(ev);
    for (int i = ev->entries.count - 1; i >= 0; i--) {
        Entry *entry = &ev->entries.items[i];
        int parent = entry->shown ? -1 : shown_parent(ev, entry->parent);
        if (parent < 0) continue;
        LayerInfo *info = &ev->entries.items[parent].info;
        info->macs = dim_add(ev->dims, info->macs, entry->info.macs);
    }
    for (int i = 0; i < ev->entries.count; i++) {
        Entry *entry = &ev->entries.items[i];
        if (!entry->shown || !entry->info.result) continue;
        for (int up = shown_parent(ev, entry->parent); up >= 0; up = shown_parent(ev, ev->entries.items[up].parent)) entry->info.depth++;
        entry->info.receptive_field = fields[entry->info.result->id];
        vec_push(ev->arena, &ev->model->layers, entry->info);
    }
    ev->model->receptive_field = 0;
    for (int i = 0; i < ev->graph->nodes.count; i++) ev->model->receptive_field = max_i64(ev->model->receptive_field, fields[i]);
}
