/* The ports of a pass's graph and the states to which they are bound; and entries, which
 * are cut out of that graph, since a pass elaborates more than one entry needs, such as
 * losses when it makes a measure. */
#include "elaborate/train.h"

Node *train_input(Evaluator *ev, Name name, Shape shape, PortForm form, Fit fit, cai_binding binding,
                  Span span) {
    input_attributes attributes = {.name = name, .type = shape.type, .dims = {shape.rank, shape.dims}};
    Node *node = make_node(ev, OP_input, NULL, 0, &attributes, span);
    TrainPass *pass = ev->train;
    if (!node || map_get(pass->of_input, node)) return node;
    Port port = {.name = name, .node = node, .form = form, .fit = fit, .span = span};
    vec_push(ev->arena, &ev->graph->inputs, port);
    vec_push(ev->arena, &pass->inputs, binding);
    map_set(pass->of_input, node, (void *)(intptr_t)pass->inputs.count);
    return node;
}

void train_output(Evaluator *ev, Node *node, cai_binding binding, const char *name, Span span) {
    while (node->op == OP_stop) node = node->inputs[0];
    PassOutput output = {node, binding, intern(ev->names, name), FORM_TENSOR, span};
    if (binding.kind == CAI_BIND_SHOWN && node->shape.rank == 4) output.form = FORM_IMAGE;
    vec_push(ev->arena, &ev->train->outputs, output);
}

/* ---- what a node depends on ---- */

static bool has_size_of_batch(const TrainPass *pass, const Node *node) {
    for (int symbol = pass->batch_sizes[0]; symbol < pass->batch_sizes[1]; symbol++)
        if (node_mentions(node, symbol)) return true;
    return false;
}

static unsigned source_bits(const TrainPass *pass, const Node *node) {
    unsigned outside = pass->measuring && node->id < pass->first_measured ? OF_OUTSIDE : 0,
             bits = has_size_of_batch(pass, node) ? OF_BATCH : 0;
    if (node->op == OP_uniform) return bits | OF_DRAWS | outside;
    intptr_t place = (intptr_t)map_get(pass->of_input, node);
    if (!place) return bits;
    const cai_binding *binding = &pass->inputs.items[place - 1];
    if (binding->kind == CAI_BIND_FIELD) {
        const TrainingSet *set = &pass->plan->training->sets.items[binding->index];
        if (!training_stays(set)) return bits | OF_SAMPLES | outside;
        return bits | (set->fields.items[0].each ? OF_ITEM : 0);
    }
    return bits | (binding->kind == CAI_BIND_TOTAL || binding->kind == CAI_BIND_COLLECTED ? OF_TOTALS : 0);
}

static Node *port_instead(const TrainPass *pass, int id) {
    return pass && id < pass->instead_count ? pass->instead[id] : NULL;
}

void train_mark(const Graph *graph, const Node *node, const TrainPass *pass, bool *needed) {
    needed[node->id] = true;
    for (int id = node->id; id >= 0; id--) {
        const Node *at = graph->nodes.items[id], *port = needed[id] ? port_instead(pass, id) : NULL;
        if (port) needed[port->id] = true;
        for (int i = 0; i < at->input_count && needed[id] && !port; i++) needed[at->inputs[i]->id] = true;
    }
}

unsigned train_sources(Evaluator *ev, const Node *node) {
    Arena *scratch = arena_new();
    bool *needed = NEW_ARRAY(scratch, bool, node->id + 1);
    train_mark(ev->graph, node, NULL, needed);
    unsigned bits = 0;
    for (int id = 0; id <= node->id; id++)
        if (needed[id]) bits |= source_bits(ev->train, ev->graph->nodes.items[id]);
    arena_free(scratch);
    return bits;
}

static bool has_weights_below(const Training *training, const char *path) {
    for (int i = 0; i < training->states.count; i++)
        if (path_is_within(training->states.items[i].path, path)) return true;
    return false;
}

/* The path of the outermost layer with weights in the name of a stream:
 * `net.noise.normal@1#0`. */
static const char *drawing_layer(Evaluator *ev, const char *stream) {
    for (const char *dot = strchr(stream, '.'); dot; dot = strchr(dot + 1, '.')) {
        const char *path = arena_strndup(ev->arena, stream, (size_t)(dot - stream));
        if (has_weights_below(ev->train->plan->training, path)) return path;
    }
    return NULL;
}

const char *train_drawing_layer(Evaluator *ev, const Node *node) {
    bool *needed = NEW_ARRAY(ev->arena, bool, node->id + 1);
    const char *layer = NULL;
    train_mark(ev->graph, node, NULL, needed);
    for (int id = 0; id <= node->id && !layer; id++) {
        const Node *at = ev->graph->nodes.items[id];
        if (needed[id] && at->op == OP_uniform) layer = drawing_layer(ev, ATTRIBUTES(at, uniform)->stream);
    }
    return layer;
}

/* ---- cutting ---- */

static void copy_ports(const Graph *from, Graph *to, const TrainPass *pass, const bool *needed, Node **memo) {
    for (int id = 0; id < pass->instead_count; id++) {
        if (!needed[id] || !pass->instead[id]) continue;
        const Node *port = from->nodes.items[pass->instead[id]->id];
        graph_at(to, port->origin);
        memo[id] = memo[port->id] = graph_copy(to, port, NULL);
    }
}

static void copy_needed(const Graph *from, Graph *to, const bool *needed, Node **memo) {
    for (int id = 0; id < from->nodes.count; id++) {
        const Node *node = from->nodes.items[id];
        if (!needed[id] || memo[id]) continue;
        Node **inputs = NEW_ARRAY(to->arena, Node *, node->input_count);
        for (int i = 0; i < node->input_count; i++) inputs[i] = memo[node->inputs[i]->id];
        graph_at(to, node->origin);
        memo[id] = graph_copy(to, node, inputs);
    }
}

/* A size that a node needs is read from an input. If the entry has no input with this
 * size, adds one. */
static void need_size(const Graph *graph, int symbol, bool *needed) {
    bool wanted = false, given = false;
    for (int id = 0; id < graph->nodes.count; id++) {
        const Node *node = graph->nodes.items[id];
        if (!needed[id] || !node_mentions(node, symbol)) continue;
        wanted = true;
        given |= node->op == OP_input;
    }
    for (int i = 0; i < graph->inputs.count && wanted && !given; i++) {
        const Node *input = graph->inputs.items[i].node;
        if (node_mentions(input, symbol)) needed[input->id] = given = true;
    }
}

static void add_inputs(const Graph *from, const TrainPass *pass, const bool *needed, Node *const *memo,
                       TrainingEntry *entry) {
    Graph *to = entry->graph;
    for (int i = 0; i < from->inputs.count; i++) {
        Port port = from->inputs.items[i];
        if (!needed[port.node->id]) continue;
        port.node = memo[port.node->id];
        vec_push(to->arena, &to->inputs, port);
        vec_push(to->arena, &entry->inputs, pass->inputs.items[i]);
    }
}

/* ---- conditions on sizes: an entry checks those whose sizes its inputs have ---- */

static bool inputs_mention(const Graph *graph, int symbol) {
    for (int i = 0; i < graph->inputs.count; i++)
        if (node_mentions(graph->inputs.items[i].node, symbol)) return true;
    return false;
}

static bool is_decided_by_inputs(const Graph *graph, const Check *check) {
    for (int symbol = 0; symbol < dims_symbol_count(graph->dims); symbol++) {
        bool mentioned = dim_mentions(check->left, symbol) || dim_mentions(check->right, symbol);
        if (mentioned && !inputs_mention(graph, symbol)) return false;
    }
    return true;
}

static void add_checks(const Graph *from, Graph *to) {
    for (int i = 0; i < from->checks.count; i++)
        if (is_decided_by_inputs(to, &from->checks.items[i]))
            vec_push(to->arena, &to->checks, from->checks.items[i]);
}

static void add_bound_output(TrainingEntry *entry, const PassOutput *output, Node *node) {
    Port port = {.name = output->name, .node = node, .form = output->form, .span = output->span};
    vec_push(entry->graph->arena, &entry->graph->outputs, port);
    vec_push(entry->graph->arena, &entry->outputs, output->binding);
}

TrainingEntry train_entry(Evaluator *ev, bool (*wanted)(const TrainPass *pass, const PassOutput *output)) {
    const TrainPass *pass = ev->train;
    TrainingEntry entry = {0};
    bool *needed = NEW_ARRAY(ev->arena, bool, ev->graph->nodes.count), any = false;
    for (int i = 0; i < pass->outputs.count; i++) {
        if (!wanted(pass, &pass->outputs.items[i])) continue;
        train_mark(ev->graph, pass->outputs.items[i].node, pass, needed);
        any = true;
    }
    if (!any) return entry;
    for (int symbol = 0; symbol < dims_symbol_count(ev->dims); symbol++) need_size(ev->graph, symbol, needed);
    entry.graph = graph_new(ev->arena, ev->names, ev->dims);
    entry.graph->model = ev->graph->model;
    entry.graph->comment = ev->graph->comment;
    Node **memo = NEW_ARRAY(ev->arena, Node *, ev->graph->nodes.count);
    copy_ports(ev->graph, entry.graph, pass, needed, memo);
    copy_needed(ev->graph, entry.graph, needed, memo);
    add_inputs(ev->graph, pass, needed, memo, &entry);
    add_checks(ev->graph, entry.graph);
    for (int i = 0; i < pass->means.count; i++)
        if (needed[pass->means.items[i]->id])
            vec_push(ev->arena, &entry.means, memo[pass->means.items[i]->id]);
    for (int i = 0; i < pass->outputs.count; i++)
        if (wanted(pass, &pass->outputs.items[i]))
            add_bound_output(&entry, &pass->outputs.items[i], memo[pass->outputs.items[i].node->id]);
    return entry;
}
