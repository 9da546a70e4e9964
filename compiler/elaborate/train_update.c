/* The statements update, once and every: changes of states other than by minimize. */
#include "elaborate/train.h"

/* ---- update of one place ---- */

/* The new value of a place; a number is spread over its shape. NULL after an error. */
static Node *updated_value(Evaluator *ev, const Weight *place, Value v, const Expr *expr) {
    if (v.kind == VALUE_INT || v.kind == VALUE_REAL || v.kind == VALUE_BOOL) {
        graph_at(ev->graph, origin_new(ev->graph, expr->span, ev->frame->origin));
        Number number = value_number(v, place->shape.type);
        return build_constant(ev->graph, &number, 1, place->shape);
    }
    Node *node = as_node(ev, v, place->shape.type, expr->span);
    if (!node || shape_equal(node->shape, place->shape)) return node;
    const char *name = strncmp(place->path, "train.", 6) ? place->path : place->path + 6;
    Diagnostic *d = report(ev, DIAG_update, expr->span, "`%s` is %s, and cannot become %s", name,
                           shape_string(ev->arena, place->shape), shape_string(ev->arena, node->shape));
    report_help(ev, d, "an update keeps shape and type");
    return NULL;
}

static bool is_in_measure(const Evaluator *ev) { return ev->train->measuring && train_is_body(ev); }

/* In a `measure`, a state of the block may be updated from totals, as for schedules that
 * wait for a plateau, but not from samples. */
static bool follows_from_totals(Evaluator *ev, const Node *value, Span span) {
    if (!is_in_measure(ev) || !(train_sources(ev, value) & (OF_SAMPLES | OF_DRAWS))) return true;
    Diagnostic *d = report(ev, DIAG_measure, span, "this is computed from one batch, not from the whole set");
    report_help(ev, d, "in `measure`, compute the state from `total(x)` or `collect(x)`");
    return false;
}

static bool acts_here(const Evaluator *ev) {
    return train_acts(ev) || (ev->train->goal == GOAL_MEASURE && is_in_measure(ev));
}

static void update_place(Evaluator *ev, Weight *place, const Stmt *stmt) {
    Node *value = updated_value(ev, place, evaluate(ev, stmt->value), stmt->value);
    if (value && follows_from_totals(ev, value, stmt->value->span) && acts_here(ev))
        train_assign(ev, place, value);
}

/* ---- update of a layer: the line runs once for each of its weights ---- */

static Node *run_line(Evaluator *ev, const Stmt *stmt, const Target *target, Weight *place) {
    TrainPass *pass = ev->train;
    Layer *weight = layer_new(ev, LAYER_ROOT, stmt->span);
    const Frame *around = ev->frame;
    weight->path = weight->identity = place->path; /* so that random streams are named after it */
    Frame *frame = frame_push(ev, around->unit, weight, stmt->span);
    bindings_add(ev, &frame->names, &around->names);
    pass->below = train_below(target, place->path);
    pass->below_frame = frame;
    pass->below_path = target->model ? "" : target->path;
    pass->below_name = stmt->target->kind == EXPR_NAME ? stmt->target->name : NULL;
    Node *value = updated_value(ev, place, evaluate(ev, stmt->value), stmt->value);
    pass->below = NULL;
    frame_pop(ev);
    return value;
}

static bool update_kind(Evaluator *ev, const Stmt *stmt, const Target *target, int kind) {
    const TrainPlan *plan = ev->train->plan;
    bool any = false;
    for (int i = 0; i < plan->facts.count && !ev->stopped; i++) {
        if (plan->training->states.items[i].kind != kind || !train_matches(plan, target, i)) continue;
        Weight *place = train_place(ev, i);
        Node *value = run_line(ev, stmt, target, place);
        any = true;
        if (!value) break;
        if (train_acts(ev)) train_assign(ev, place, value);
    }
    return any;
}

/* States of the layer are updated only if the line reads another layer: an average of G
 * also averages G's running means; noise on G's weights leaves them alone. */
static void update_layer(Evaluator *ev, const Stmt *stmt, const Target *target) {
    if (ev->train->goal == GOAL_FIND) return; /* its weights are not all known yet */
    ev->train->met_other = false;
    if (!update_kind(ev, stmt, target, CAI_STATE_PARAMETER)) {
        Diagnostic *d = report(ev, DIAG_update, stmt->target->span,
                               "`%s` has no weights that could be updated", target->text);
        report_help(ev, d, "is it run anywhere in this block?");
    }
    if (ev->train->met_other) update_kind(ev, stmt, target, CAI_STATE_LAYER);
}

static Weight *place_of(Evaluator *ev, const Target *target) {
    return target->path && *target->path ? map_get(ev->weights, intern(ev->names, target->path)) : NULL;
}

/* In a measure, only states of the block can change, not weights or states of layers. */
static bool is_own_in_measure(Evaluator *ev, const Weight *place, const Target *target, const Stmt *stmt) {
    const TrainingState *states = ev->train->plan->training->states.items;
    if (!is_in_measure(ev) || (place && states[place->index].kind == CAI_STATE_TRAINING)) return true;
    Diagnostic *d =
        report(ev, DIAG_measure, stmt->target->span, "`%s` cannot be changed in `measure`", target->text);
    report_help(ev, d, "in `measure` only a `state` of this block can be updated");
    return false;
}

void execute_update(Evaluator *ev, const Stmt *stmt) {
    Targets targets = {0};
    if (!ev->train) {
        Diagnostic *d = report(ev, DIAG_train_place, stmt->span,
                               "`update` changes a state in training, but this is a model");
        report_help(ev, d, "put it under `if training`, as the library's `batchnorm` does");
        return;
    }
    if (!train_is_timed(ev, stmt, "update") || !train_targets(ev, stmt->target, "update", &targets)) return;
    for (int i = 0; i < targets.count; i++) {
        Weight *place = place_of(ev, &targets.items[i]);
        if (!is_own_in_measure(ev, place, &targets.items[i], stmt)) return;
        if (place) update_place(ev, place, stmt);
        else update_layer(ev, stmt, &targets.items[i]);
    }
}

/* ---- once: names that it binds are kept as states ---- */

static Name state_path(Evaluator *ev, const char *name) {
    const TrainPass *pass = ev->train;
    const char *phase = pass->in_phase ? arena_printf(ev->arena, "%s.", train_phase(ev)->name) : "";
    return intern(ev->names, arena_printf(ev->arena, "train.%s%s", phase, name));
}

static bool is_known_shape(Evaluator *ev, const char *name, Shape shape, Span span) {
    if (shape_element_count(shape, &(int64_t){0})) return true;
    Diagnostic *d =
        report(ev, DIAG_train_once, span, "`%s` is saved, and its shape %s is not known at compile time",
               name, shape_string(ev->arena, shape));
    report_help(ev, d, "fix the size with -D, or in the block's signature");
    return false;
}

static Value kept_list(Evaluator *ev, const char *name, Value v, Span span);

static Value kept_value(Evaluator *ev, const char *name, Value v, Span span) {
    if (value_is_sequence(v)) return kept_list(ev, name, v, span);
    if (v.kind != VALUE_TENSOR || !is_known_shape(ev, name, v.node->shape, span)) return v;
    Weight *place = train_place(ev, train_own_state(ev, state_path(ev, name), v.node->shape, span));
    if (ev->train->once) train_assign(ev, place, v.node);
    return value_node(place->value);
}

static Value kept_list(Evaluator *ev, const char *name, Value v, Span span) {
    Value *items = NEW_ARRAY(ev->arena, Value, v.list->count);
    for (int i = 0; i < v.list->count; i++)
        items[i] = kept_value(ev, arena_printf(ev->arena, "%s.%d", name, i), v.list->items[i], span);
    return value_list(ev->arena, v.kind, items, v.list->names, v.list->count);
}

static void keep_target(Evaluator *ev, const Expr *target) {
    const Value *bound = frame_place(ev, target);
    if (bound)
        frame_bind(ev, ev->frame, target->name, kept_value(ev, target->name, *bound, target->span),
                   target->span);
    for (int i = 0; i < target->arguments.count; i++) keep_target(ev, target->arguments.items[i].value);
}

static void keep_bound(Evaluator *ev, const StmtList *body) {
    for (int i = 0; i < body->count; i++) {
        const Stmt *stmt = body->items[i];
        if (stmt->kind == STMT_ASSIGN) keep_target(ev, stmt->target);
        keep_bound(ev, &stmt->body);
        keep_bound(ev, &stmt->else_body);
    }
}

void execute_once(Evaluator *ev, const Stmt *stmt) {
    TrainPass *pass = ev->train;
    if (!train_allows(ev, stmt, "once")) return;
    bool acts = train_once_acts(ev), now = acts && pass->goal == GOAL_ONCE;
    if (acts) train_add_phase(ev, &pass->plan->once, pass->phase);
    int *depth = now ? &pass->once : &pass->other_once;
    ++*depth;
    execute_all(ev, &stmt->body);
    keep_bound(ev, &stmt->body);
    --*depth;
}

/* ---- every: lines that run in some steps only ---- */

static Node *active_node(Evaluator *ev, int guard, Span span) {
    Name name = intern(ev->names, arena_printf(ev->arena, "active.%d", guard));
    return train_input(ev, name, (Shape){DTYPE_BOOL, 0, NULL}, FORM_TENSOR, FIT_EXACT,
                       (cai_binding){.kind = CAI_BIND_ACTIVE, .index = guard, .guard = -1}, span);
}

/* Later lines of the step read the new value in steps of the guard, else the old one. */
static void choose_where_active(Evaluator *ev, Weight *place, Node *before, int guard, Span span) {
    Node *changed = place->value, *active = active_node(ev, guard, span);
    active = build_broadcast(ev->graph, active, place->shape.rank, place->shape.dims);
    train_assign(ev, place, build_select(ev->graph, active, changed, before));
    vec_push(ev->arena, &ev->train->chosen, ((Chosen){place, place->value, before, changed, guard}));
}

static Node *value_before(Node *const *before, int count, int i, const Weight *place) {
    return i < count ? before[i] : place->node;
}

void execute_every(Evaluator *ev, const Stmt *stmt) {
    TrainPass *pass = ev->train;
    cai_interval interval;
    if (!train_allows(ev, stmt, "every") || !train_is_timed(ev, stmt, "every") ||
        !train_interval(ev, &stmt->interval, &interval))
        return;
    if (interval.unit == CAI_UNIT_MINUTES) {
        Diagnostic *d =
            report(ev, DIAG_train_length, stmt->interval.unit_span,
                   "what a run learns must not depend on a clock: `every` takes steps, epochs or images");
        report_help(ev, d, "`show`, `measure` and the length of a phase may be given in minutes");
        return;
    }
    if (pass->guard >= 0 || pass->measuring) {
        report(ev, DIAG_train_place, stmt->span, "`every` cannot be inside another `every`, or in `measure`");
        return;
    }
    int count = pass->weights.count, guard = train_guard(ev, &interval);
    Node **before = NEW_ARRAY(ev->arena, Node *, count);
    for (int i = 0; i < count; i++) before[i] = pass->weights.items[i]->value;
    pass->guard = guard;
    execute_all(ev, &stmt->body);
    pass->guard = -1;
    for (int i = 0; i < pass->weights.count; i++) {
        Weight *place = pass->weights.items[i];
        Node *old = value_before(before, count, i, place);
        if (place->value != old) choose_where_active(ev, place, old, guard, stmt->span);
    }
}
