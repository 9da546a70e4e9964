/* States of a training: rows of Training.states, found by path, and their places in a
 * pass. A place begins the step as a port, and takes new values in the order of the text.
 * Each of these values is a leaf for gradients, so that no gradient passes through an
 * optimizer's step. */
#include "elaborate/train.h"

bool train_has_phase(const Phases *phases, int phase) {
    for (int i = 0; i < phases->count; i++)
        if (phases->items[i] == phase) return true;
    return false;
}

void train_add_phase(Evaluator *ev, Phases *phases, int phase) {
    if (!train_has_phase(phases, phase)) vec_push(ev->arena, phases, phase);
}

/* ---- where in the text the running code is ---- */

bool train_in_phase(const Evaluator *ev) { return ev->train && ev->train->in_phase; }
bool train_is_body(const Evaluator *ev) {
    return ev->train && ev->frame->layer == ev->root && !(ev->frame->running && ev->frame->running->bare);
}

bool train_runs_model(const Evaluator *ev) {
    const Layer *layer = ev->frame->running;
    return ev->train && layer && layer->kind == LAYER_BLOCK && layer->block->decl->kind == DECL_MODEL;
}

const char *train_path_below(Evaluator *ev, const Expr *expr) {
    if (!ev->train) return NULL;
    if (expr->kind == EXPR_NAME) {
        Found found = library_find(ev->frame->unit, expr->name);
        return frame_find(ev, ev->frame, expr->name) || found.definition ? NULL : expr->name;
    }
    const char *left = expr->kind == EXPR_MEMBER ? train_path_below(ev, expr->left) : NULL;
    return left ? path_join(ev->arena, left, expr->name) : NULL;
}

bool train_is_training(const Evaluator *ev) { return ev->train && !ev->train->quiet && !ev->frame->frozen; }

bool train_acts(const Evaluator *ev) {
    const TrainPass *pass = ev->train;
    if (pass->quiet) return false;
    if (pass->goal == GOAL_ONCE) return pass->once > 0;
    return pass->goal != GOAL_MEASURE && !pass->once && !pass->other_once;
}

TrainingPhase *train_phase(const Evaluator *ev) {
    return &ev->train->plan->training->phases.items[ev->train->phase];
}

bool train_allows(Evaluator *ev, const Stmt *stmt, const char *word) {
    if (train_is_body(ev)) return true;
    Span span = stmt->span;
    Diagnostic *d = report(ev, DIAG_train_place, span, "`%s` must be in the body of a `train` block", word);
    if (ev->train)
        report_help(ev, d, "return from this block what `%s` needs, and write it where the block is run",
                    word);
    else
        report_help(
            ev, d,
            "a model only computes: a block of its own trains it, `train name(N = 64)(x: ...) for 10 epochs { ... }`");
    return false;
}

bool train_is_timed(Evaluator *ev, const Stmt *stmt, const char *word) {
    const TrainPass *pass = ev->train;
    if (!pass->plan->has_phases || pass->in_phase || pass->once || pass->other_once || !train_is_body(ev))
        return true;
    Diagnostic *d = report(ev, DIAG_train_phase, stmt->span, "`%s` is outside the phases", word);
    report_help(ev, d, "move it into the phases that need it, or into `once`");
    return false;
}

bool train_once_acts(const Evaluator *ev) {
    const TrainPass *pass = ev->train;
    return pass->in_phase || !pass->plan->has_phases || pass->phase == 0;
}

/* ---- frozen layers ---- */

bool train_is_model(const Evaluator *ev, const Layer *layer) {
    return ev->train && layer->kind == LAYER_BLOCK && !layer->path && layer->block->decl->kind == DECL_MODEL;
}

/* Whether the layer has weights, none of which a minimize of this phase trains. */
bool train_is_frozen(Evaluator *ev, const Layer *layer) {
    const TrainPass *pass = ev->train;
    if (!pass || pass->goal == GOAL_FIND || layer->kind == LAYER_PRIMITIVE ||
        (layer->bare && layer->kind != LAYER_BLOCK))
        return false;
    Target target = layer->bare ? (Target){.model = layer->block} : (Target){.path = layer->path};
    bool has = false;
    for (int i = 0; i < pass->plan->facts.count; i++) {
        const StateFacts *facts = &pass->plan->facts.items[i];
        if (pass->plan->training->states.items[i].kind != CAI_STATE_PARAMETER ||
            !train_has_phase(&facts->seen, pass->phase))
            continue;
        if (!train_matches(pass->plan, &target, i)) continue;
        if (train_has_phase(&facts->trained, pass->phase)) return false;
        has = true;
    }
    return has;
}

bool train_is_stage(const Evaluator *ev, const Layer *layer) {
    return ev->train && layer->bare && layer->kind == LAYER_BLOCK && layer->block->decl->kind == DECL_MODEL;
}

int train_round(Evaluator *ev, const Layer *layer) {
    const void *key = train_is_stage(ev, layer) ? (const void *)layer->block : layer->path;
    if (!ev->train || !key || (layer->bare && key == layer->path)) return 0;
    intptr_t before = (intptr_t)map_get(ev->train->rounds, key);
    map_set(ev->train->rounds, key, (void *)(before + 1));
    return (int)before;
}

/* A layer's k-th run within a step has random streams of its own. A model as a stage has
 * no path, so its name identifies it. */
const char *train_round_text(const Evaluator *ev) {
    const Frame *frame = ev->frame->body;
    if (!ev->train) return "";
    const char *model =
        frame->running && train_is_stage(ev, frame->running) ? frame->running->block->decl->name : "";
    return frame->round ? arena_printf(ev->arena, "%s@%d", model, frame->round) : model;
}

/* ---- reading names ---- */

/* While a layer's `update` runs, the name of a layer means its weight with the path for
 * which the line runs. */
static bool weight_of_layer(Evaluator *ev, Value v, Weight **out) {
    const TrainPass *pass = ev->train;
    bool model = v.kind == VALUE_BLOCK && v.block->decl->kind == DECL_MODEL;
    if (!pass->below || ev->frame != pass->below_frame || (!model && v.kind != VALUE_LAYER)) return false;
    const char *layer = model ? "" : v.layer->path,
               *path = layer ? path_join(ev->arena, layer, pass->below) : NULL;
    intptr_t place = path ? (intptr_t)map_get(pass->plan->index, intern(ev->names, path)) : 0;
    if (!place) return false;
    *out = train_place(ev, (int)place - 1);
    ev->train->met_other |= strcmp(layer, pass->below_path) != 0;
    return true;
}

/* `smooth = net` makes no second layer, so updating `smooth` by `net` is a mistake. */
static void warn_of_other_name(Evaluator *ev, Name name, Value v, Span span) {
    const TrainPass *pass = ev->train;
    bool same = v.kind == VALUE_LAYER && v.layer->path && !strcmp(v.layer->path, pass->below_path);
    if (!same || !pass->below_name || name == pass->below_name || pass->goal != GOAL_STEP) return;
    const char *help =
        arena_printf(ev->arena, "`%s = copy(%s)` has weights of its own", pass->below_name, name);
    report_warning(
        ev, DIAG_update, span,
        arena_printf(ev->arena, "`%s` and `%s` are two names of one layer", pass->below_name, name), help);
}

/* A value that depends on samples and was computed before a `repeat` is the same in all
 * rounds. */
static void warn_of_first_batch(Evaluator *ev, Name name, Value v, Span span) {
    const TrainPass *pass = ev->train;
    bool early = v.kind == VALUE_TENSOR && v.node->id < pass->first_repeated && train_is_body(ev);
    if (!early || map_get(pass->of_input, v.node) || !(train_sources(ev, v.node) & OF_SAMPLES)) return;
    const char *text = arena_printf(
        ev->arena, "`%s` was computed before the loop: in each round it is that of the step's first batch",
        name);
    report_warning(ev, DIAG_train_field, span, text,
                   "if each round is to see a batch of its own, compute it within `repeat`, from the inputs");
}

Value train_read(Evaluator *ev, Name name, Value v, Span span) {
    const TrainPass *pass = ev->train;
    Weight *weight;
    if (!pass) return v;
    if (weight_of_layer(ev, v, &weight)) {
        warn_of_other_name(ev, name, v, span);
        return value_node(weight->value);
    }
    if (pass->first_repeated && pass->goal == GOAL_FIND) warn_of_first_batch(ev, name, v, span);
    bool early =
        pass->measuring && v.kind == VALUE_TENSOR && v.node->id < pass->first_measured && train_is_body(ev);
    if (!early || !(train_sources(ev, v.node) & OF_OUTSIDE)) return v;
    Diagnostic *d = report(
        ev, DIAG_measure, span,
        "`%s` is computed from the step's samples: in `measure` the inputs are the held-out samples", name);
    report_help(ev, d, "compute it again here, from the inputs");
    return value_error;
}

static Node *counter_node(Evaluator *ev, int which, Name name, Span span) {
    cai_binding binding = {.kind = CAI_BIND_STEP + which, .guard = -1};
    return train_input(ev, name, (Shape){DTYPE_F32, 0, NULL}, FORM_TENSOR, FIT_EXACT, binding, span);
}

static Node *sum_of_squares(Evaluator *ev, Node *g) {
    int64_t axes[REF_MAX_RANK];
    for (int i = 0; i < g->shape.rank; i++) axes[i] = i;
    return build_reshape(
        ev->graph, build_sum(ev->graph, build_binary(ev->graph, OP_mul, g, g), axes, g->shape.rank), 0, NULL);
}

static Value gradient_norm(Evaluator *ev, Span span) {
    Gradients *gradients = ev->train->gradients;
    if (gradients->norm) return value_node(gradients->norm);
    graph_at(ev->graph, origin_new(ev->graph, user_span(ev, span), ""));
    Node *sum = sum_of_squares(ev, gradients->items[0]);
    for (int i = 1; i < gradients->count; i++)
        sum = build_binary(ev->graph, OP_add, sum, sum_of_squares(ev, gradients->items[i]));
    return value_node(gradients->norm = build_unary(ev->graph, OP_sqrt, sum));
}

bool train_refuses_name(Evaluator *ev, Name name, Span span) {
    static const char *const counters[] = {"step", "epoch", "progress"};
    for (int i = 0; train_is_body(ev) && i < COUNT_OF(counters); i++) {
        if (strcmp(counters[i], name)) continue;
        report(ev, DIAG_reserved_word, span,
               "`%s` is a counter of training, and nothing else can have this name here", name);
        return true;
    }
    return false;
}

Value train_moment(Evaluator *ev, int which, Name name, Span span) {
    bool norm = which == 3;
    if (ev->train && !norm) return value_node(counter_node(ev, which, name, span));
    if (ev->train && ev->train->gradients) return gradient_norm(ev, span);
    Diagnostic *d = report(ev, DIAG_train_place, span, "`%s` has a value only in training", name);
    if (norm)
        report_help(ev, d,
                    "the body of an `optimizer` may read it: the norm of all gradients of its `minimize`");
    else report_help(ev, d, "a `train` block, its optimizers and what they run may read it");
    return value_error;
}

/* ---- rows ---- */

static Shape shape_in(Arena *arena, Dims *dims, Shape shape) {
    Dim *sizes = NEW_ARRAY(arena, Dim, shape.rank);
    for (int i = 0; i < shape.rank; i++) sizes[i] = dim_const(dims, dim_const_value(shape.dims[i]));
    return (Shape){shape.type, shape.rank, sizes};
}

static int add_row(Evaluator *ev, Name path, const char *identity, Shape shape, int kind, double init,
                   Span span) {
    TrainPlan *plan = ev->train->plan;
    intptr_t known = (intptr_t)map_get(plan->index, path);
    if (known) return (int)known - 1;
    TrainingState state = {.path = path,
                           .shape = shape_in(ev->arena, plan->dims, shape),
                           .kind = kind,
                           .start = CAI_START_VALUE,
                           .span = span};
    int index = plan->training->states.count;
    vec_push(ev->arena, &plan->training->states, state);
    vec_push(ev->arena, &plan->facts, (StateFacts){.identity = identity, .init = init, .like = index});
    map_set(plan->index, path, (void *)(intptr_t)(index + 1));
    return index;
}

Node *train_state_port(Evaluator *ev, int index, Span span) {
    const TrainingState *row = &ev->train->plan->training->states.items[index];
    Shape shape = shape_in(ev->arena, ev->dims, row->shape);
    return train_input(ev, row->path, shape, FORM_TENSOR, FIT_EXACT,
                       (cai_binding){.kind = CAI_BIND_STATE, .index = index, .guard = -1}, span);
}

Node *train_state(Evaluator *ev, const Weight *weight, int kind) {
    int index = add_row(ev, weight->path, weight->identity, weight->shape, kind, weight->init, weight->span);
    StateFacts *facts = &ev->train->plan->facts.items[index];
    facts->given |= weight->given != NULL;
    facts->within = weight->within;
    return train_state_port(ev, index, weight->span);
}

bool train_is_own(const TrainingState *state) {
    return state->kind == CAI_STATE_TRAINING || state->kind == CAI_STATE_OPTIMIZER;
}

Node *train_first(Evaluator *ev, const Weight *place, Node *value) {
    if (!train_has_each(ev->train->plan)) return value;
    Node *first = train_input(ev, intern(ev->names, "first item"), (Shape){DTYPE_BOOL, 0, NULL}, FORM_TENSOR,
                              FIT_EXACT, (cai_binding){.kind = CAI_BIND_FIRST, .guard = -1}, place->span);
    first = build_broadcast(ev->graph, first, place->shape.rank, place->shape.dims);
    return build_select(ev->graph, first, value, place->node);
}

static Node *stopped_leaf(Evaluator *ev, Node *value) { return build_unary(ev->graph, OP_stop, value); }

static void note_mean(Evaluator *ev, Node *stopped) {
    if (ev->library->options.parts > 1) vec_push(ev->arena, &ev->train->means, stopped);
}

Node *train_mean(Evaluator *ev, Node *value) {
    if (ev->library->options.parts < 2) return value;
    Node *mean = stopped_leaf(ev, value);
    note_mean(ev, mean);
    return mean;
}

/* A weight that starts as a tensor is written before the first step of the first phase
 * that has it, unless it is loaded from a file or an earlier line assigned it. */
static void write_given(Evaluator *ev, Weight *place) {
    TrainPass *pass = ev->train;
    const StateFacts *facts = &pass->plan->facts.items[place->index];
    if (!place->given || facts->seen.items[0] != pass->phase || place->value != place->node) return;
    train_add_phase(ev, &pass->plan->once, pass->phase);
    if (pass->goal != GOAL_ONCE || train_file_of(pass->plan, place->path)) return;
    train_assign(ev, place, train_first(ev, place, place->given));
    place->start = place->value;
}

static void begin_place(Evaluator *ev, Weight *place) {
    TrainPass *pass = ev->train;
    place->index = (int)(intptr_t)map_get(pass->plan->index, place->path) - 1;
    train_add_phase(ev, &pass->plan->facts.items[place->index].seen, pass->phase);
    vec_push(ev->arena, &pass->weights, place);
    vec_push(ev->arena, &place->read, place->node);
    place->start = place->node;
    write_given(ev, place);
}

void train_begin_given(Evaluator *ev, Weight *place, Node *given) {
    if (!given || place->given) return;
    place->given = given;
    ev->train->plan->facts.items[place->index].given = true;
    write_given(ev, place);
}

static void join_model(Evaluator *ev, StateFacts *facts, Definition *model) {
    for (int i = 0; i < facts->models.count; i++)
        if (facts->models.items[i] == model) return;
    vec_push(ev->arena, &facts->models, model);
}

void train_meet(Evaluator *ev, Weight *place) {
    if (!ev->train || !place->node) return;
    if (!place->read.count) begin_place(ev, place);
    StateFacts *facts = &ev->train->plan->facts.items[place->index];
    for (const Frame *frame = ev->frame; frame; frame = frame->caller) {
        if (frame->running && train_is_stage(ev, frame->running))
            join_model(ev, facts, frame->running->block);
    }
}

Weight *train_place(Evaluator *ev, int index) {
    const TrainingState *row = &ev->train->plan->training->states.items[index];
    Weight *place = map_get(ev->weights, row->path);
    if (place) return place;
    place = NEW(ev->arena, Weight);
    const char *identity = ev->train->plan->facts.items[index].identity;
    *place = (Weight){.path = row->path,
                      .identity = identity,
                      .state = row->kind != CAI_STATE_PARAMETER,
                      .span = row->span,
                      .place = place};
    place->node = place->value = train_state_port(ev, index, row->span);
    place->shape = place->node->shape;
    map_set(ev->weights, row->path, place);
    train_meet(ev, place);
    return place;
}

void train_assign(Evaluator *ev, Weight *place, Node *value) {
    graph_at(ev->graph, value->origin);
    place->value = stopped_leaf(ev, value);
    if (!place->state) note_mean(ev, place->value);
    vec_push(ev->arena, &place->read, place->value);
}

int train_own_state(Evaluator *ev, Name path, Shape shape, Span span) {
    return add_row(ev, path, path, shape, CAI_STATE_TRAINING, 0, span);
}

Value train_given(Evaluator *ev, Node *start, Span span) {
    if (!ev->train) {
        Diagnostic *d =
            report(ev, DIAG_train_place, span, "a weight starts as a tensor only in a `train` block");
        report_help(ev, d, "in a model weights come from a file, or start as a number");
        return value_error;
    }
    Value weight = weight_new(ev, false, start->shape, NAN, 0, span);
    if (weight.kind == VALUE_WEIGHT) weight.weight->given = start;
    return weight;
}

Value train_made(Evaluator *ev, Value layer, Shape shape, Span span) {
    graph_at(ev->graph, origin_new(ev->graph, user_span(ev, span), ev->frame->origin));
    Arguments zeros = {0};
    Value zero = value_node(build_splat(ev->graph, 0, shape));
    vec_push(ev->arena, &zeros.given, ((Binding){NULL, zero, span}));
    Value start = settle(ev, run_layer(ev, as_layer(ev, layer, span), &zeros, NULL, span));
    if (start.kind == VALUE_ERROR) return start;
    if (start.kind != VALUE_TENSOR || !shape_equal(start.node->shape, shape)) {
        report(ev, DIAG_weight_shape, span, "the state is %s, but its `init` is %s",
               shape_string(ev->arena, shape), value_describe(ev->arena, start));
        return value_error;
    }
    Value weight = weight_new(ev, true, shape, 0, 0, span);
    if (weight.kind == VALUE_WEIGHT) weight.weight->given = start.node;
    return weight;
}

/* ---- layers by path ---- */

bool train_matches(const TrainPlan *plan, const Target *target, int state) {
    const StateFacts *facts = &plan->facts.items[state];
    for (int i = 0; target->model && i < facts->models.count; i++)
        if (facts->models.items[i] == target->model) return true;
    if (target->model) return false;
    return path_is_within(plan->training->states.items[state].path, target->path);
}

bool train_holds_weights(const TrainPlan *plan, const Target *target) {
    for (int i = 0; i < plan->facts.count; i++)
        if (plan->training->states.items[i].kind == CAI_STATE_PARAMETER && train_matches(plan, target, i))
            return true;
    return false;
}

const char *train_below(const Target *target, const char *path) {
    return target->model || !*target->path ? path : path + strlen(target->path) + 1;
}

static bool add_value(Evaluator *ev, Value v, const Expr *expr, const char *what, Targets *out) {
    const char *text = span_text(ev->arena, expr->span);
    bool good = true;
    if (v.kind == VALUE_BLOCK && v.block->decl->kind == DECL_MODEL)
        vec_push(ev->arena, out, ((Target){.model = v.block, .text = text}));
    else if (v.kind == VALUE_LAYER && v.layer->bare)
        vec_push(ev->arena, out, ((Target){.model = v.layer->block, .text = text}));
    else if (v.kind == VALUE_LAYER && v.layer->path)
        vec_push(ev->arena, out, ((Target){.path = v.layer->path, .text = text}));
    else if (v.kind == VALUE_WEIGHT && v.weight->path)
        vec_push(ev->arena, out, ((Target){.path = v.weight->path, .text = text}));
    else if (value_is_sequence(v) && v.list->count)
        for (int i = 0; i < v.list->count; i++) good &= add_value(ev, v.list->items[i], expr, what, out);
    else {
        good = false;
        if (v.kind == VALUE_ERROR) return false;
        Diagnostic *d =
            report(ev, DIAG_train_target, expr->span,
                   "`%s` needs a layer or a weight that has a name; this is %s", what, value_kind_name(v));
        if (v.kind == VALUE_TENSOR)
            report_help(ev, d, "a tensor is a value: only what `param` or `state` makes can change");
        else if (v.kind == VALUE_BLOCK)
            report_help(ev, d,
                        "each use of a block is another layer: bind one, `net = %s(..)`, run `x -> net`, and "
                        "name it here",
                        v.block->decl->name);
        else report_help(ev, d, "bind it first, `G = generator()`, and name it here");
    }
    return good;
}

bool train_targets(Evaluator *ev, const Expr *expr, const char *what, Targets *out) {
    const Value *place = frame_place(ev, expr);
    if (place) return add_value(ev, *place, expr, what, out);
    bool good = true;
    if (expr->kind == EXPR_TUPLE || expr->kind == EXPR_LIST) {
        for (int i = 0; i < expr->arguments.count; i++)
            good &= train_targets(ev, expr->arguments.items[i].value, what, out);
        return good;
    }
    if (expr->kind != EXPR_MEMBER && expr->kind != EXPR_INDEX)
        return add_value(ev, evaluate(ev, expr), expr, what, out);
    const char *path = layer_path(ev, expr, what);
    if (path)
        vec_push(ev->arena, out,
                 ((Target){.path = intern(ev->names, path), .text = span_text(ev->arena, expr->span)}));
    return path != NULL;
}

/* ---- stop(E) ---- */

bool train_stops(const Evaluator *ev, const Builtin *builtin, const Arguments *arguments) {
    if (!ev->train || builtin->op != OP_stop || arguments->given.count != 1) return false;
    Value v = arguments->given.items[0].value;
    return v.kind == VALUE_LAYER || (v.kind == VALUE_BLOCK && v.block->decl->kind == DECL_MODEL);
}

/* The same layer, sharing its parts. */
Value train_stopped(Evaluator *ev, const Arguments *arguments, Span span) {
    Layer *layer = as_layer(ev, arguments->given.items[0].value, span);
    if (!layer->parts) layer->parts = map_new(ev->arena);
    Layer *stopped = arena_copy(ev->arena, layer, sizeof *layer);
    stopped->stopped = true;
    return layer_value(stopped);
}

/* ---- copies ---- */

static Value copy_value(Evaluator *ev, Value v);

static Layer *copy_layer(Evaluator *ev, const Layer *original) {
    Layer *layer = layer_new(ev, original->kind, original->made);
    layer->block = original->block;
    layer->builtin = original->builtin;
    layer->braces = original->braces;
    layer->unit = original->unit;
    layer->given = original->given;
    bindings_add(ev, &layer->bound, &original->bound);
    for (int i = 0; i < layer->bound.count && layer->kind == LAYER_BLOCK; i++)
        layer->bound.items[i].value = copy_value(ev, layer->bound.items[i].value);
    return layer;
}

/* Arguments that are layers or weights are copied, too. */
static Value copy_value(Evaluator *ev, Value v) {
    if (v.kind == VALUE_LAYER) return layer_value(copy_layer(ev, v.layer));
    if (v.kind != VALUE_WEIGHT) return v;
    const Weight *w = v.weight;
    return weight_new(ev, w->state, w->shape, w->init, w->within, w->span);
}

/* A copy takes the values that its original has at this point of the text. At the very
 * beginning of the run it starts like its original; otherwise its values are written
 * before the first step. */
static void remember_values(Evaluator *ev, CopyOf *copy) {
    TrainPass *pass = ev->train;
    if (!train_once_acts(ev)) return;
    if (pass->phase > 0) train_add_phase(ev, &pass->plan->once, pass->phase);
    if (pass->goal != GOAL_ONCE) return;
    Target target = {.path = copy->layer->path, .model = copy->model};
    copy->count = pass->plan->facts.count;
    copy->values = NEW_ARRAY(ev->arena, Node *, copy->count);
    for (int i = 0; i < copy->count; i++)
        if (train_matches(pass->plan, &target, i)) copy->values[i] = train_place(ev, i)->value;
}

/* ---- parts that are named before their whole has run ---- */

void train_remember_layer(Evaluator *ev, Layer *layer) {
    if (!ev->train || ev->train->goal != GOAL_FIND || map_get(ev->train->plan->layers, layer->path)) return;
    map_set(ev->train->plan->layers, layer->path, layer);
}

static bool is_of_pass(Value v) { /* it belongs to the graph of one pass */
    if (v.kind == VALUE_TENSOR || v.kind == VALUE_WEIGHT) return true;
    for (int i = 0; value_is_sequence(v) && i < v.list->count; i++)
        if (is_of_pass(v.list->items[i])) return true;
    return false;
}

/* Drops arguments that are tensors of an earlier pass. A part that reads them can run
 * only within its whole. */
static void leave_tensors(Layer *layer) {
    int kept = 0;
    for (int i = 0; i < layer->bound.count; i++)
        if (!is_of_pass(layer->bound.items[i].value)) layer->bound.items[kept++] = layer->bound.items[i];
    layer->bound.count = kept;
}

Value train_part(Evaluator *ev, Layer *whole, Name path) {
    if (!ev->train) return value_none;
    TrainPlan *plan = ev->train->plan;
    const Layer *known = map_get(plan->layers, path);
    if (!known) {
        plan->unresolved |= plan->searching;
        return plan->searching ? value_error : value_none;
    }
    Layer *part = copy_layer(ev, known);
    leave_tensors(part);
    part->path = known->path;
    part->identity = known->identity;
    part->parent = whole;
    for (int i = 0; i < part->bound.count && part->kind == LAYER_BLOCK; i++) {
        Binding *b = &part->bound.items[i];
        if (b->name) b->value = name_argument(ev, part, b->value, b->name, b->span);
    }
    if (!whole->parts) whole->parts = map_new(ev->arena);
    map_set(whole->parts, path, part);
    return layer_value(part);
}

Value train_copy(Evaluator *ev, const Arguments *arguments, Span span) {
    Value v = arguments->given.items[0].value;
    if (!ev->train) {
        Diagnostic *d = report(ev, DIAG_train_place, span, "`copy` must be in a `train` block");
        report_help(ev, d, "in a model, a second call makes a second layer");
        return value_error;
    }
    bool model = v.kind == VALUE_BLOCK && v.block->decl->kind == DECL_MODEL;
    const Layer *original = model ? as_layer(ev, v, span) : v.kind == VALUE_LAYER ? v.layer : NULL;
    if (!original || (!model && !original->path)) {
        if (v.kind != VALUE_ERROR) {
            Diagnostic *d = report(ev, DIAG_train_target, span,
                                   "`copy` takes a layer that has a name; this is %s", value_kind_name(v));
            report_help(ev, d, "`G = generator()`, then `smooth = copy(G)`");
        }
        return value_error;
    }
    CopyOf copy = {.copy = copy_layer(ev, original), .model = model ? v.block : NULL, .layer = original};
    remember_values(ev, &copy);
    vec_push(ev->arena, &ev->train->copies, copy);
    return layer_value(copy.copy);
}
