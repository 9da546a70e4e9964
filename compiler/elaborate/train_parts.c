/* --parts P: divides a step into P parts, each with a batch of its own, for batches that
 * do not fit into memory.
 *
 * Nodes that depend on samples, or on random numbers of the step, are made once for each
 * part. All others are made once for all parts; so are the new weights and moments. Means
 * lead from the former to the latter: the gradients for optimizers, values that a weight
 * takes otherwise, and shown numbers are means over the parts. Their sums form one binary
 * tree over the parts. Nodes are made in the order in which they shall run: everything of
 * the first part up to the first mean, then of the next part, so that a part's memory is
 * free when the next part begins; then everything that depends on the means, up to the
 * next means, and so on.
 *
 * Each part keeps its own value of a state that depends on samples, in a row of its own.
 * The row with the state's path, which files and measures read, has the mean over the
 * parts if it is a float state of a layer, else the value of the first part. */
#include "elaborate/train.h"

enum { TREE = 32 }; /* there are fewer than 2^TREE parts */

typedef struct PartsTree { /* a mean: sums of 1, 2, 4, .. parts, which wait for another sum of equally many */
    Node *sums[TREE];
    int count;
    Node *mean; /* once all parts are added */
} PartsTree;

typedef struct Division {
    TrainPlan *plan;
    int parts;
    const TrainingEntry *from;
    bool *is_mean;  /* by node: it is the mean of its operand over the parts */
    bool *of_parts; /* by node: it is computed for each part */
    int *stage;     /* by node: how many means there are on the way to it */
    int stages;
    Graph *to;
    Node **once, **own; /* by node: its copy; the one for part p is own[p * nodes + id] */
    Vec(PartsTree) trees;
    int *tree; /* by node: if its mean is needed, the index in `trees`, plus 1 */
} Division;

static int node_count(const Division *d) { return d->from->graph->nodes.count; }
static const Node *node_at(const Division *d, int id) { return d->from->graph->nodes.items[id]; }

/* ---- which nodes each part computes ---- */

static const TrainingState *state_of(const TrainPlan *plan, int index) {
    return &plan->training->states.items[index];
}

/* A field whose samples change from step to step, or a state that parts keep. */
static bool is_own_input(const TrainPlan *plan, const cai_binding *binding) {
    if (binding->kind == CAI_BIND_STATE) return plan->facts.items[binding->index].rows > 0;
    return binding->kind == CAI_BIND_FIELD && !training_stays(&plan->training->sets.items[binding->index]);
}

static void mark_inputs(Division *d) {
    const TrainingEntry *from = d->from;
    for (int i = 0; i < from->inputs.count; i++)
        d->of_parts[from->graph->inputs.items[i].node->id] = is_own_input(d->plan, &from->inputs.items[i]);
}

/* Random numbers that gradients or shown values depend on differ from part to part. Those
 * that only an optimizer or an update of weights reads are the same for all parts. */
static void mark_draws(Division *d) {
    const TrainingEntry *from = d->from;
    bool *needed = NEW_ARRAY(d->plan->library->arena, bool, node_count(d));
    for (int i = 0; i < from->means.count; i++) needed[from->means.items[i]->inputs[0]->id] = true;
    for (int i = 0; i < from->outputs.count; i++)
        if (from->outputs.items[i].kind == CAI_BIND_SHOWN)
            needed[from->graph->outputs.items[i].node->id] = true;
    for (int id = node_count(d) - 1; id >= 0; id--) {
        const Node *node = node_at(d, id);
        if (!needed[id] || d->is_mean[id]) continue;
        if (node->op == OP_uniform) d->of_parts[id] = true;
        for (int i = 0; i < node->input_count; i++) needed[node->inputs[i]->id] = true;
    }
}

static bool reads_own(const Division *d, const Node *node) {
    bool own = false;
    for (int i = 0; i < node->input_count; i++) own |= d->of_parts[node->inputs[i]->id];
    return own;
}

static void raise_to(int *number, int least) {
    if (*number < least) *number = least;
}

/* A mean belongs to the stage after that of its operand. */
static void spread_parts(Division *d) {
    for (int id = 0; id < node_count(d); id++) {
        const Node *node = node_at(d, id);
        bool own = reads_own(d, node);
        for (int i = 0; i < node->input_count; i++) raise_to(&d->stage[id], d->stage[node->inputs[i]->id]);
        d->is_mean[id] &= own;
        if (d->is_mean[id]) d->stage[id]++;
        else d->of_parts[id] |= own;
        raise_to(&d->stages, d->stage[id] + 1);
    }
}

static Division divide_begin(TrainPlan *plan, const TrainingEntry *from) {
    Arena *arena = plan->library->arena;
    Division d = {.plan = plan, .parts = plan->library->options.parts, .from = from};
    d.is_mean = NEW_ARRAY(arena, bool, node_count(&d));
    d.of_parts = NEW_ARRAY(arena, bool, node_count(&d));
    d.stage = NEW_ARRAY(arena, int, node_count(&d));
    for (int i = 0; i < from->means.count; i++) d.is_mean[from->means.items[i]->id] = true;
    mark_inputs(&d);
    mark_draws(&d);
    spread_parts(&d);
    return d;
}

/* ---- states that parts keep ---- */

static void add_rows_of_parts(TrainPlan *plan, int index) {
    Arena *arena = plan->library->arena;
    plan->facts.items[index].rows = plan->training->states.count;
    for (int part = 0; part < plan->library->options.parts; part++) {
        TrainingState row = plan->training->states.items[index];
        StateFacts facts = {.like = plan->facts.items[index].like, .rows = 0};
        row.path = intern(plan->library->names, arena_printf(arena, "train.part%d.%s", part, row.path));
        row.kind = CAI_STATE_TRAINING;
        vec_push(arena, &plan->training->states, row);
        vec_push(arena, &plan->facts, facts);
    }
}

/* Whether there are states, not found before, of which each part must keep its own
 * value. */
static bool find_states_of_parts(TrainPlan *plan, const TrainingEntry *step) {
    Division d = divide_begin(plan, step);
    bool found = false;
    for (int i = 0; i < step->outputs.count; i++) {
        const cai_binding *binding = &step->outputs.items[i];
        if (binding->kind != CAI_BIND_STATE || !d.of_parts[step->graph->outputs.items[i].node->id]) continue;
        if (state_of(plan, binding->index)->kind == CAI_STATE_PARAMETER ||
            plan->facts.items[binding->index].rows)
            continue;
        add_rows_of_parts(plan, binding->index);
        found = true;
    }
    return found;
}

/* ---- means ---- */

static void plan_mean(Division *d, const Node *of) {
    if (d->tree[of->id]) return;
    vec_push(d->to->arena, &d->trees, (PartsTree){.count = 0});
    d->tree[of->id] = d->trees.count;
}

static Node *mean_over_parts(const Division *d, const Node *of) {
    return d->trees.items[d->tree[of->id] - 1].mean;
}

static void join_last(Division *d, PartsTree *tree) {
    Node **two = &tree->sums[--tree->count - 1];
    two[0] = build_binary(d->to, OP_add, two[0], two[1]);
}

/* Adds a part's value, and joins sums of equally many parts. */
static void add_to_tree(Division *d, PartsTree *tree, Node *node, int part) {
    tree->sums[tree->count++] = node;
    for (int full = part + 1; full % 2 == 0; full /= 2) join_last(d, tree);
}

static Node *mean_of_tree(Division *d, PartsTree *tree) {
    while (tree->count > 1) join_last(d, tree);
    Node *sum = tree->sums[0];
    return build_binary(d->to, OP_mul, sum, build_splat(d->to, 1.0 / d->parts, sum->shape));
}

/* ---- nodes ---- */

static Node **own_node(const Division *d, int part, const Node *node) {
    return &d->own[(int64_t)part * node_count(d) + node->id];
}

static Name name_in_part(const Division *d, Name name, int part) {
    return part ? intern(d->to->names, arena_printf(d->to->arena, "%s part %d", name, part)) : name;
}

/* In later parts, inputs and random streams need other names. */
static Node *copy_source(Division *d, const Node *node, int part) {
    if (node->op == OP_input) {
        input_attributes attributes = *ATTRIBUTES(node, input);
        attributes.name = name_in_part(d, attributes.name, part);
        return graph_make(d->to, OP_input, NULL, 0, &attributes);
    }
    if (node->op == OP_uniform) {
        uniform_attributes attributes = *ATTRIBUTES(node, uniform);
        attributes.stream = name_in_part(d, attributes.stream, part);
        return graph_make(d->to, OP_uniform, NULL, 0, &attributes);
    }
    return graph_copy(d->to, node, NULL);
}

/* The copy of a node for a part, or, with part 0, the only copy of a node whose operands
 * all parts share. */
static Node *copy_of_part(Division *d, const Node *node, int part) {
    Node **inputs = NEW_ARRAY(d->to->arena, Node *, node->input_count);
    graph_at(d->to, node->origin);
    if (!node->input_count) return copy_source(d, node, part);
    for (int i = 0; i < node->input_count; i++) {
        const Node *input = node->inputs[i];
        inputs[i] = d->of_parts[input->id] ? *own_node(d, part, input) : d->once[input->id];
    }
    return graph_copy(d->to, node, inputs);
}

static void compute_once(Division *d, int stage) {
    for (int id = 0; id < node_count(d); id++)
        if (d->stage[id] == stage && !d->of_parts[id] && !d->is_mean[id])
            d->once[id] = copy_of_part(d, node_at(d, id), 0);
}

/* Values are added to their sum as soon as they are made, so that they need not be kept
 * until the end of the part. */
static void compute_part(Division *d, int stage, int part) {
    for (int id = 0; id < node_count(d); id++) {
        const Node *node = node_at(d, id);
        if (d->stage[id] != stage || !d->of_parts[id]) continue;
        *own_node(d, part, node) = copy_of_part(d, node, part);
        if (!d->tree[id]) continue;
        PartsTree *tree = &d->trees.items[d->tree[id] - 1];
        add_to_tree(d, tree, *own_node(d, part, node), part);
        if (part + 1 == d->parts) tree->mean = mean_of_tree(d, tree);
    }
}

static void take_means(Division *d, int stage) {
    for (int id = 0; id < node_count(d); id++) {
        if (!d->is_mean[id] || d->stage[id] != stage + 1) continue;
        graph_at(d->to, node_at(d, id)->origin);
        d->once[id] = build_unary(d->to, OP_stop, mean_over_parts(d, node_at(d, id)->inputs[0]));
    }
}

/* ---- ports ---- */

static void add_divided_port(TrainingEntry *entry, bool output, Port port, Node *node, cai_binding binding) {
    Arena *arena = entry->graph->arena;
    port.node = node;
    if (output) {
        vec_push(arena, &entry->graph->outputs, port);
        vec_push(arena, &entry->outputs, binding);
    } else {
        vec_push(arena, &entry->graph->inputs, port);
        vec_push(arena, &entry->inputs, binding);
    }
}

/* The binding of a port in one part. Its samples are those that the part would have in
 * one large batch. */
static cai_binding binding_of_part(const Division *d, cai_binding binding, int part) {
    if (binding.kind == CAI_BIND_FIELD) binding.round = binding.round * d->parts + part;
    if (binding.kind == CAI_BIND_STATE) binding.index = d->plan->facts.items[binding.index].rows + part;
    return binding;
}

static void add_inputs_of_parts(Division *d, TrainingEntry *to) {
    for (int i = 0; i < d->from->inputs.count; i++) {
        Port port = d->from->graph->inputs.items[i];
        const Node *node = port.node;
        const Name name = port.name;
        if (!d->of_parts[node->id])
            add_divided_port(to, false, port, d->once[node->id], d->from->inputs.items[i]);
        for (int part = 0; part < d->parts && d->of_parts[node->id]; part++) {
            port.name = name_in_part(d, name, part);
            add_divided_port(to, false, port, *own_node(d, part, node),
                             binding_of_part(d, d->from->inputs.items[i], part));
        }
    }
}

/* Outputs with one number for all parts, the mean. */
static bool is_averaged(const Division *d, int output) {
    const cai_binding *binding = &d->from->outputs.items[output];
    const Node *node = d->from->graph->outputs.items[output].node;
    if (!d->of_parts[node->id] || node->shape.type != DTYPE_F32) return false;
    if (binding->kind == CAI_BIND_STATE) return state_of(d->plan, binding->index)->kind != CAI_STATE_TRAINING;
    return binding->kind == CAI_BIND_SHOWN && node->shape.rank == 0;
}

static void add_rows_of_output(TrainingEntry *entry, Port port, const TrainPlan *plan, cai_binding binding,
                               Node *const *values) {
    int rows = plan->facts.items[binding.index].rows;
    for (int part = 0; rows && part < plan->library->options.parts; part++) {
        binding.index = rows + part;
        port.name = state_of(plan, binding.index)->path;
        add_divided_port(entry, true, port, values[part], binding);
    }
}

static void add_outputs_of_parts(Division *d, TrainingEntry *to) {
    Node **values = NEW_ARRAY(to->graph->arena, Node *, d->parts);
    for (int i = 0; i < d->from->outputs.count; i++) {
        const Port port = d->from->graph->outputs.items[i];
        const cai_binding binding = d->from->outputs.items[i];
        bool own = d->of_parts[port.node->id];
        for (int part = 0; part < d->parts; part++)
            values[part] = own ? *own_node(d, part, port.node) : d->once[port.node->id];
        add_divided_port(to, true, port, is_averaged(d, i) ? mean_over_parts(d, port.node) : values[0],
                         binding);
        if (binding.kind == CAI_BIND_STATE) add_rows_of_output(to, port, d->plan, binding, values);
    }
}

/* ---- entries ---- */

static void plan_means(Division *d) {
    for (int id = 0; id < node_count(d); id++)
        if (d->is_mean[id]) plan_mean(d, node_at(d, id)->inputs[0]);
    for (int i = 0; i < d->from->outputs.count; i++)
        if (is_averaged(d, i)) plan_mean(d, d->from->graph->outputs.items[i].node);
}

static TrainingEntry divide_step(TrainPlan *plan, const TrainingEntry *from) {
    Arena *arena = plan->library->arena;
    Division d = divide_begin(plan, from);
    TrainingEntry to = {.graph = graph_new(arena, from->graph->names, from->graph->dims)};
    to.graph->model = from->graph->model;
    to.graph->comment = from->graph->comment;
    to.graph->checks = from->graph->checks;
    d.to = to.graph;
    d.tree = NEW_ARRAY(arena, int, node_count(&d));
    d.once = NEW_ARRAY(arena, Node *, node_count(&d));
    d.own = NEW_ARRAY(arena, Node *, (int64_t)d.parts * node_count(&d));
    plan_means(&d);
    for (int stage = 0; stage < d.stages; stage++) {
        compute_once(&d, stage);
        for (int part = 0; part < d.parts; part++) compute_part(&d, stage, part);
        take_means(&d, stage);
    }
    add_inputs_of_parts(&d, &to);
    add_outputs_of_parts(&d, &to);
    return to;
}

/* Entries other than steps (`once` and measures) write a state for all parts. */
static void write_rows_of_parts(const TrainPlan *plan, TrainingEntry *entry) {
    Arena *arena = plan->library->arena;
    Node **values = NEW_ARRAY(arena, Node *, plan->library->options.parts);
    for (int i = 0, count = entry->outputs.count; i < count; i++) {
        const Port port = entry->graph->outputs.items[i];
        if (entry->outputs.items[i].kind != CAI_BIND_STATE) continue;
        for (int part = 0; part < plan->library->options.parts; part++) values[part] = port.node;
        add_rows_of_output(entry, port, plan, entry->outputs.items[i], values);
    }
}

void train_divide(TrainPlan *plan) {
    Training *training = plan->training;
    training->parts = plan->library->options.parts > 1 ? plan->library->options.parts : 1;
    if (training->parts == 1) return;
    for (bool found = true; found;) {
        found = false;
        for (int i = 0; i < training->phases.count; i++)
            if (training->phases.items[i].step.graph)
                found |= find_states_of_parts(plan, &training->phases.items[i].step);
    }
    for (int i = 0; i < training->phases.count; i++) {
        TrainingPhase *phase = &training->phases.items[i];
        if (phase->step.graph) phase->step = divide_step(plan, &phase->step);
        for (int set = 0; set < training->sets.count; set++)
            if (!training_stays(&training->sets.items[set])) phase->rounds[set] *= training->parts;
        write_rows_of_parts(plan, &phase->once);
        for (int k = 0; k < phase->measures.count; k++) {
            write_rows_of_parts(plan, &phase->measures.items[k].batch);
            write_rows_of_parts(plan, &phase->measures.items[k].last);
        }
    }
}
