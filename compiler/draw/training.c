/* Draws a train block as a graph for Graphviz. A phase contains its inputs, its players
 * (layers with weights, one box each however often they run, and single weights), the
 * blocks that run between them, and its losses. Tensors are arrows labelled with their
 * sizes, dotted where no gradient passes. A loss points, in its own colour, at what it
 * trains. Arithmetic between boxes is not drawn; arrows pass through it. */
#include "draw/draw.h"

enum { LONGEST_TEXT = 44, MOST_BLOCKS = 16 };

typedef enum PartKind { PART_INPUT, PART_NOISE, PART_PLAYER, PART_STATE, PART_BLOCK, PART_LOSS } PartKind;

typedef struct Part {
    PartKind kind;
    const char *name, *what;
    const char *when;   /* of a loss that only some steps have; else NULL */
    const Node *node;   /* of an input */
    int64_t parameters; /* of a player: its number of elements */
    bool trained;
} Part;

typedef struct Flow { int from, to; const Node *node; bool stopped; } Flow;

typedef struct Picture {
    Arena *arena;
    const Training *training;
    const TrainingPhase *phase;
    const TrainingText *text;
    int number; /* of the phase */
    Vec(Part) parts;
    Vec(Flow) flows;
    bool *flowing; /* by node: it depends on samples, random numbers or states */
    bool *needed;  /* by node: a loss depends on it, and it is flowing */
    int *owner;    /* by node: the part that made it; -1: arithmetic between parts */
    int *place;    /* by node: the state that has it as a value, plus 1 */
    int *holder;   /* by state: the part that contains it; -1: none */
    int *met;      /* by node: the latest search that visited it */
    int search;
} Picture;

static int add_training_box(Picture *p, Part part) {
    vec_push(p->arena, &p->parts, part);
    return p->parts.count - 1;
}

/* ---- what the losses depend on ---- */

/* Marks what is drawn. Constants are not: equal ones are a single node, which would
 * connect unrelated blocks. Nor are counters. */
static void find_flowing(Picture *p) {
    const Graph *graph = p->text->graph;
    for (int i = 0; i < graph->inputs.count; i++)
        p->flowing[graph->inputs.items[i].node->id] = p->text->bindings[i].kind == CAI_BIND_FIELD;
    for (int id = 0; id < graph->nodes.count; id++) {
        const Node *node = graph->nodes.items[id];
        p->flowing[id] |= node->op == OP_uniform || p->place[id];
        for (int i = 0; i < node->input_count; i++) p->flowing[id] |= p->flowing[node->inputs[i]->id];
    }
}

/* Searches backwards end at values of states, since the work of optimizers is not
 * drawn. */
static void mark_needed(Picture *p, const Node *node) {
    p->needed[node->id] = true;
    for (int id = node->id; id >= 0; id--) {
        const Node *at = p->text->graph->nodes.items[id];
        for (int i = 0; i < at->input_count && p->needed[id] && !p->place[id]; i++)
            p->needed[at->inputs[i]->id] |= p->flowing[at->inputs[i]->id];
    }
}

/* ---- boxes ---- */

static int find_player(const Picture *p, const char *path) {
    for (int i = 0; i < p->parts.count; i++)
        if (p->parts.items[i].kind == PART_PLAYER && !strcmp(p->parts.items[i].name, path)) return i;
    return -1;
}

static bool makes_needed(const Picture *p, const TrainingRun *run) {
    for (int id = run->first; id < run->end; id++)
        if (p->needed[id] && p->owner[id] < 0) return true;
    return false;
}

static void place_run(Picture *p, const TrainingRun *run) {
    if (!makes_needed(p, run)) return;
    int part = run->path ? find_player(p, run->path) : -1;
    if (part < 0)
        part = add_training_box(p, (Part){.kind = run->path ? PART_PLAYER : PART_BLOCK,
                                          .name = run->path ? run->path : run->callee,
                                          .what = *run->callee == '{' ? "" : run->callee});
    for (int id = run->first; id < run->end; id++)
        if (p->needed[id] && p->owner[id] < 0 && !p->place[id]) p->owner[id] = part;
}

/* Too many blocks would hide the players, so then none is drawn. */
static void place_runs(Picture *p) {
    int blocks = 0;
    for (int i = 0; i < p->text->runs.count; i++)
        blocks += !p->text->runs.items[i].path && makes_needed(p, &p->text->runs.items[i]);
    for (int i = 0; i < p->text->runs.count; i++)
        if (p->text->runs.items[i].path || blocks <= MOST_BLOCKS) place_run(p, &p->text->runs.items[i]);
}

static int find_field_part(Picture *p, const Node *node, const cai_binding *binding) {
    const TrainingField *field = &p->training->sets.items[binding->index].fields.items[binding->field];
    for (int i = 0; i < p->parts.count; i++)
        if (p->parts.items[i].kind == PART_INPUT && !strcmp(p->parts.items[i].name, field->name)) return i;
    const char *what = field->once ? "once" : field->each ? "each" : "";
    return add_training_box(p, (Part){.kind = PART_INPUT, .name = field->name, .what = what, .node = node});
}

static void place_inputs(Picture *p) {
    const Graph *graph = p->text->graph;
    for (int i = 0; i < graph->inputs.count; i++) {
        const Node *node = graph->inputs.items[i].node;
        if (p->needed[node->id] && p->text->bindings[i].kind == CAI_BIND_FIELD)
            p->owner[node->id] = find_field_part(p, node, &p->text->bindings[i]);
    }
    for (int id = 0; id < graph->nodes.count; id++)
        if (p->needed[id] && p->owner[id] < 0 && graph->nodes.items[id]->op == OP_uniform)
            p->owner[id] = add_training_box(
                p, (Part){.kind = PART_NOISE, .name = "uniform", .what = "", .node = graph->nodes.items[id]});
}

/* ---- states: those of players are within their boxes ---- */

static void find_holders(Picture *p) {
    const Graph *graph = p->text->graph;
    for (int id = 0; id < graph->nodes.count; id++) {
        int owner = p->owner[id];
        if (owner < 0 || p->parts.items[owner].kind != PART_PLAYER) continue;
        for (int i = 0; i < graph->nodes.items[id]->input_count; i++) {
            int state = p->place[graph->nodes.items[id]->inputs[i]->id] - 1;
            if (state >= 0 && p->holder[state] < 0) p->holder[state] = owner;
        }
    }
}

static int64_t count_numbers(const TrainingState *state) {
    int64_t count = 1;
    for (int i = 0; i < state->shape.rank; i++) count *= dim_const_value(state->shape.dims[i]);
    return count;
}

static void place_states(Picture *p) {
    for (int i = 0; i < p->text->places.count; i++) {
        const TrainingPlace *place = &p->text->places.items[i];
        const TrainingState *state = &p->training->states.items[place->state];
        if (!p->needed[place->value->id] || p->holder[place->state] >= 0) continue;
        bool own = strncmp(state->path, "train.", 6) == 0;
        p->holder[place->state] = add_training_box(p, (Part){.kind = PART_STATE,
                                                             .name = own ? state->path + 6 : state->path,
                                                             .what = "",
                                                             .node = place->value});
    }
    for (int i = 0; i < p->text->places.count; i++)
        p->owner[p->text->places.items[i].value->id] = p->holder[p->text->places.items[i].state];
    for (int i = 0; i < p->training->states.count; i++)
        if (p->holder[i] >= 0 && p->training->states.items[i].kind == CAI_STATE_PARAMETER)
            p->parts.items[p->holder[i]].parameters += count_numbers(&p->training->states.items[i]);
}

/* ---- arrows ---- */

/* Adds one arrow between two boxes; it is dotted if all ways between them stop
 * gradients. */
static void add_flow(Picture *p, int from, int to, const Node *node, bool stopped) {
    if (from == to) return;
    for (int i = 0; i < p->flows.count; i++) {
        Flow *known = &p->flows.items[i];
        if (known->from != from || known->to != to) continue;
        known->stopped &= stopped;
        return;
    }
    vec_push(p->arena, &p->flows, ((Flow){from, to, node, stopped}));
}

/* Visits a node at most twice: on ways that stop gradients, and on ways that do not. */
static void flow_from(Picture *p, const Node *node, int to, bool stopped) {
    int owner = p->owner[node->id];
    if (owner >= 0) {
        add_flow(p, owner, to, node, stopped);
        return;
    }
    if (p->met[node->id] == 2 * p->search + stopped || p->met[node->id] == 2 * p->search) return;
    p->met[node->id] = 2 * p->search + stopped;
    for (int i = 0; i < node->input_count; i++)
        flow_from(p, node->inputs[i], to, stopped || node->op == OP_stop);
}

static void add_flows(Picture *p) {
    const Graph *graph = p->text->graph;
    for (int id = 0; id < graph->nodes.count; id++) {
        const Node *node = graph->nodes.items[id];
        if (p->owner[id] < 0 || p->place[id] || !p->needed[id]) continue;
        for (int i = 0; i < node->input_count; i++) {
            p->search++;
            flow_from(p, node->inputs[i], p->owner[id], node->op == OP_stop);
        }
    }
}

static const char *const units[] = {"steps", "epochs", "images", "minutes"};

static const char *guard_text(const Picture *p, const TrainingLoss *loss) {
    if (loss->guard < 0) return NULL;
    const cai_interval *interval = &p->phase->guards.items[loss->guard];
    return arena_printf(p->arena, "every %g %s", interval->count, units[interval->unit]);
}

static void add_loss_parts(Picture *p) {
    for (int i = 0; i < p->text->losses.count; i++) {
        const TrainingLoss *loss = &p->text->losses.items[i];
        bool told =
            strcmp(loss->name, loss->text) && strlen(loss->text) <= LONGEST_TEXT && !strchr(loss->text, '\n');
        int part = add_training_box(p, (Part){.kind = PART_LOSS,
                                              .name = loss->name,
                                              .what = told ? loss->text : "",
                                              .when = guard_text(p, loss)});
        p->search++;
        flow_from(p, loss->node, part, false);
        for (int k = 0; k < loss->pairs.count; k++)
            for (int s = 0; s < loss->pairs.items[k].states.count; s++) {
                int holder = p->holder[loss->pairs.items[k].states.items[s]];
                if (holder >= 0) p->parts.items[holder].trained = true;
            }
    }
}

/* ---- the text ---- */

static const char *const loss_colours[] = {"#b03a2e", "#2471a3", "#1e8449", "#9a7d0a", "#6c3483", "#616a6b"};

static const char *loss_colour(int loss) { return loss_colours[loss % COUNT_OF(loss_colours)]; }

static const char *part_style(const Part *part, const char *colour) {
    switch (part->kind) {
    case PART_INPUT: return "shape=box, style=filled, fillcolor=\"#ffffff\"";
    case PART_NOISE: return "shape=oval, fillcolor=\"#ffffff\", style=\"filled,dashed\"";
    case PART_BLOCK: return "shape=box, fillcolor=\"#fdf0c8\"";
    case PART_LOSS: return colour;
    default:
        return part->trained ? "shape=box, fillcolor=\"#d8ead0\", penwidth=1.6"
                             : "shape=box, fillcolor=\"#eeeeee\"";
    }
}

static void add_further_line(Text *out, const char *text) {
    if (!*text) return;
    text_add(out, "<br/>");
    dot_text(out, text);
}

static void add_training_part(Text *out, const Picture *p, int index, int loss) {
    const Part *part = &p->parts.items[index];
    const char *colour =
        part->kind == PART_LOSS
            ? arena_printf(p->arena,
                           "shape=house, fillcolor=\"#ffffff\", color=\"%s\", fontcolor=\"%s\", penwidth=1.6",
                           loss_colour(loss), loss_colour(loss))
            : "";
    text_add(out, "  p%dn%d [%s, label=<", p->number, index, part_style(part, colour));
    dot_bold(out, part->name);
    if (strcmp(part->what, part->name) != 0) add_further_line(out, part->what);
    if (part->when) add_further_line(out, part->when);
    if (part->node) {
        text_add(out, "<br/><font color=\"#666666\">");
        dot_shape(out, p->arena, part->node->shape);
        text_add(out, "</font>");
    }
    if (part->kind == PART_PLAYER) {
        text_add(out, "<br/><font color=\"#666666\">");
        dot_count(out, part->parameters);
        text_add(out, part->trained ? "</font>" : ", frozen</font>");
    }
    text_add(out, ">];\n");
}

static void add_training_flow(Text *out, const Picture *p, const Flow *flow) {
    const PartKind from = p->parts.items[flow->from].kind;
    text_add(out, "  p%dn%d -> p%dn%d [", p->number, flow->from, p->number, flow->to);
    if (flow->stopped) text_add(out, "style=dotted, ");
    text_add(out, "fontsize=9, fontcolor=\"#666666\", label=<");
    /* boxes of inputs and states already contain their sizes */
    if (from == PART_PLAYER || from == PART_BLOCK) dot_shape(out, p->arena, flow->node->shape);
    text_add(out, " >];\n");
}

static int count_held(const Picture *p, int part) {
    int count = 0;
    for (int i = 0; i < p->training->states.count; i++)
        count += p->holder[i] == part && p->training->states.items[i].kind == CAI_STATE_PARAMETER;
    return count;
}

static int count_reached(const Picture *p, const TrainingPair *pair, int part) {
    int count = 0;
    for (int i = 0; i < pair->states.count; i++) count += p->holder[pair->states.items[i]] == part;
    return count;
}

/* Labels the arrow "adam", or "adam: 2 of 10 weights" if the gradient reaches only
 * some. */
static void add_training_reach(Text *out, const Picture *p, const TrainingPair *pair, int loss, int from) {
    for (int part = 0; part < p->parts.count; part++) {
        int reached = count_reached(p, pair, part), held = count_held(p, part);
        if (!reached) continue;
        text_add(out,
                 "  p%dn%d -> p%dn%d [style=dashed, constraint=false, color=\"%s\", fontcolor=\"%s\", "
                 "fontsize=9, label=<",
                 p->number, from, p->number, part, loss_colour(loss), loss_colour(loss));
        dot_text(out, pair->optimizer);
        if (reached < held) text_add(out, ": %d of %d weights", reached, held);
        text_add(out, " >];\n");
    }
}

static void add_training_phase(Text *out, Picture *p) {
    int loss = 0;
    text_add(out, "  subgraph cluster_p%d { style=\"rounded,bold\"; color=\"#555555\"; fontsize=13; label=<",
             p->number);
    dot_bold(out, p->training->name);
    if (*p->phase->name) text_add(out, ", ");
    dot_text(out, p->phase->name);
    text_add(out, ": %.10g %s>;\n", p->phase->length.count, units[p->phase->length.unit]);
    for (int i = 0; i < p->parts.count; i++) {
        add_training_part(out, p, i, loss);
        loss += p->parts.items[i].kind == PART_LOSS;
    }
    text_add(out, "  }\n");
    for (int i = 0; i < p->flows.count; i++) add_training_flow(out, p, &p->flows.items[i]);
    for (int i = 0; i < p->text->losses.count; i++) {
        const TrainingLoss *one = &p->text->losses.items[i];
        int from = p->parts.count - p->text->losses.count + i;
        for (int k = 0; k < one->pairs.count; k++) add_training_reach(out, p, &one->pairs.items[k], i, from);
    }
}

static void draw_phase(Text *out, Arena *arena, const Training *training, int number) {
    const TrainingPhase *phase = &training->phases.items[number];
    int nodes = phase->text.graph->nodes.count, states = training->states.count;
    Picture p = {.arena = arena,
                 .training = training,
                 .phase = phase,
                 .text = &phase->text,
                 .number = number,
                 .flowing = NEW_ARRAY(arena, bool, nodes),
                 .needed = NEW_ARRAY(arena, bool, nodes),
                 .owner = NEW_ARRAY(arena, int, nodes),
                 .place = NEW_ARRAY(arena, int, nodes),
                 .holder = NEW_ARRAY(arena, int, states + 1),
                 .met = NEW_ARRAY(arena, int, nodes)};
    for (int i = 0; i < nodes; i++) p.owner[i] = -1;
    for (int i = 0; i < states; i++) p.holder[i] = -1;
    for (int i = 0; i < phase->text.places.count; i++)
        p.place[phase->text.places.items[i].value->id] = phase->text.places.items[i].state + 1;
    find_flowing(&p);
    for (int i = 0; i < phase->text.losses.count; i++) mark_needed(&p, phase->text.losses.items[i].node);
    place_runs(&p);
    place_inputs(&p);
    find_holders(&p);
    place_states(&p);
    add_flows(&p);
    add_loss_parts(&p);
    add_training_phase(out, &p);
}

const char *draw_training(Arena *arena, const Training *training) {
    Text out = {.arena = arena};
    dot_begin(&out, 0.3);
    for (int i = 0; i < training->phases.count; i++) draw_phase(&out, arena, training, i);
    text_add(&out, "}\n");
    return text_string(&out);
}
