/* Finds what is the same in each step of a phase, or of an item: nodes that depend only
 * on `once` and `each` inputs and on weights that the phase does not train, such as the
 * features of a style picture. These nodes are computed once, before the first step, and
 * kept as states. Nodes that are cheap to compute (elementwise, movement) or whose shape
 * is not known are not kept. */
#include "elaborate/train.h"

typedef struct Still {
    Evaluator *ev;
    const Graph *graph;
    bool *needed;    /* by node: an output of the step depends on it */
    bool *still;     /* by node: it is the same in each step */
    bool *given;     /* by node: it depends on an input, not on numbers alone */
    bool *laborious; /* by node: a convolution, a reduction or the like is on the way to it */
    PassOutputs outputs;
} Still;

static bool is_written_in_step(const TrainPass *pass, int state) {
    for (int i = 0; i < pass->outputs.count; i++)
        if (pass->outputs.items[i].binding.kind == CAI_BIND_STATE &&
            pass->outputs.items[i].binding.index == state)
            return true;
    return false;
}

/* States of the training's own are excluded: a measure may write them between steps. */
static bool is_still_input(const TrainPass *pass, const Node *node) {
    intptr_t place = (intptr_t)map_get(pass->of_input, node);
    if (!place) return false;
    const cai_binding *binding = &pass->inputs.items[place - 1];
    const Training *training = pass->plan->training;
    if (binding->kind == CAI_BIND_FIELD) return training_stays(&training->sets.items[binding->index]);
    return binding->kind == CAI_BIND_STATE && !train_is_own(&training->states.items[binding->index]) &&
           !is_written_in_step(pass, binding->index);
}

static bool takes_work(Op op) {
    OpClass class = op_info[op].class;
    return class != CLASS_SOURCE && class != CLASS_ELEMENTWISE && class != CLASS_MOVEMENT;
}

static void find_still(Still *s) {
    for (int id = 0; id < s->graph->nodes.count; id++) {
        const Node *node = s->graph->nodes.items[id];
        s->still[id] = node->op != OP_uniform && (node->op != OP_input || is_still_input(s->ev->train, node));
        s->given[id] = node->op == OP_input;
        for (int i = 0; i < node->input_count; i++) {
            s->still[id] &= s->still[node->inputs[i]->id];
            s->given[id] |= s->given[node->inputs[i]->id];
            s->laborious[id] |= s->laborious[node->inputs[i]->id];
        }
        s->laborious[id] |= s->given[id] && takes_work(node->op);
    }
}

/* ---- what is kept ---- */

static void keep_node(Still *s, Node *node) {
    TrainPass *pass = s->ev->train;
    const char *phase = train_phase(s->ev)->name, *dot = *phase ? "." : "";
    const char *path = arena_printf(s->ev->arena, "train.%s%sonce#%d", phase, dot, s->outputs.count);
    int row = train_own_state(s->ev, intern(s->ev->names, path), node->shape, node->origin->span);
    cai_binding binding = {.kind = CAI_BIND_STATE, .index = row, .guard = -1};
    vec_push(s->ev->arena, &s->outputs,
             ((PassOutput){node, binding, intern(s->ev->names, path), FORM_TENSOR, node->origin->span}));
    pass->instead[node->id] = train_state_port(s->ev, row, node->origin->span);
}

/* Keeps a node that is the same in each step and is read by one that is not. Broadcasts
 * and reshapes of it are cheap, and are computed in the step. */
static void keep_used(Still *s, Node *node) {
    while (node->op == OP_broadcast || node->op == OP_reshape || node->op == OP_stop) node = node->inputs[0];
    if (!s->still[node->id] || !s->laborious[node->id] || s->ev->train->instead[node->id]) return;
    if (node_sizes_are_known(node)) {
        keep_node(s, node);
        return;
    }
    for (int i = 0; i < node->input_count; i++) keep_used(s, node->inputs[i]);
}

static bool is_kept_output(const TrainPass *pass, const PassOutput *output) {
    (void)pass, (void)output;
    return true;
}

TrainingEntry train_cut_still(Evaluator *ev) {
    TrainPass *pass = ev->train;
    int count = ev->graph->nodes.count;
    Still s = {.ev = ev,
               .graph = ev->graph,
               .needed = NEW_ARRAY(ev->arena, bool, count),
               .still = NEW_ARRAY(ev->arena, bool, count),
               .given = NEW_ARRAY(ev->arena, bool, count),
               .laborious = NEW_ARRAY(ev->arena, bool, count)};
    pass->instead = NEW_ARRAY(ev->arena, Node *, count);
    find_still(&s);
    for (int i = 0; i < pass->outputs.count; i++)
        train_mark(ev->graph, pass->outputs.items[i].node, NULL, s.needed);
    for (int id = 0; id < count; id++)
        for (int i = 0; s.needed[id] && !s.still[id] && i < ev->graph->nodes.items[id]->input_count; i++)
            keep_used(&s, ev->graph->nodes.items[id]->inputs[i]);
    for (int i = 0; i < pass->outputs.count; i++) keep_used(&s, pass->outputs.items[i].node);
    PassOutputs outputs = pass->outputs;
    pass->instead_count = 0;
    pass->outputs = s.outputs;
    TrainingEntry entry = train_entry(ev, is_kept_output);
    pass->outputs = outputs;
    pass->instead_count = count;
    return entry;
}
