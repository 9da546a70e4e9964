/* `minimize L over A with o1 over B with o2`: one backward pass, then the body of each
 * optimizer for each of its weights. */
#include "elaborate/train.h"

typedef struct Trainee { /* a weight that is trained */
    Weight *weight;
    const Trained *pair;
    Layer *optimizer;
    Node *gradient;
} Trainee;
typedef Vec(Trainee) Trainees;

/* ---- the loss ---- */

static Node *loss_of(Evaluator *ev, const Expr *expr) {
    Value v = settle(ev, evaluate(ev, expr));
    if (v.kind == VALUE_ERROR || report_unrun(ev, v)) return NULL;
    if (v.kind != VALUE_TENSOR) {
        report(ev, DIAG_minimize, expr->span,
               "a loss is a tensor f32[]; this is %s, which does not depend on any weight",
               value_kind_name(v));
        return NULL;
    }
    if (v.node->shape.rank == 0 && v.node->shape.type == DTYPE_F32) return v.node;
    Diagnostic *d = report(ev, DIAG_minimize, expr->span, "a loss is one number, f32[]; this is %s",
                           shape_string(ev->arena, v.node->shape));
    if (v.node->shape.type == DTYPE_F32) report_help(ev, d, "average it: `mean(...)`, or `sum(...)`");
    return NULL;
}

/* ---- optimizers ---- */

static Layer *optimizer_of(Evaluator *ev, const Expr *expr) {
    Value v = evaluate(ev, expr);
    Definition *block = v.kind == VALUE_BLOCK ? v.block : v.kind == VALUE_LAYER ? v.layer->block : NULL;
    if (block && block->decl->kind == DECL_OPTIMIZER) {
        Layer *layer = as_layer(ev, v, expr->span);
        if (layer && v.kind == VALUE_BLOCK) layer->made = expr->span;
        return layer;
    }
    if (v.kind == VALUE_ERROR) return NULL;
    Diagnostic *d =
        report(ev, DIAG_optimizer, expr->span, "`with` needs an optimizer; this is %s", value_kind_name(v));
    report_help(
        ev, d,
        "`with adam(lr = 1e-3)`; one of your own is declared as `optimizer name(lr)(w, g) { return w - lr * g }`");
    return NULL;
}

/* The path under which an optimizer keeps the states of a weight. It contains the phase
 * if the optimizer is made within one; a number is added if several places of the text
 * would have the same path. */
static Name optimizer_key(Evaluator *ev, const Trainee *t) {
    const TrainPass *pass = ev->train;
    const Layer *layer = t->optimizer;
    Name phase = layer->in_phase ? train_phase(ev)->name : "",
         own = layer->path ? layer->path : layer_callee(layer);
    for (int number = 1;; number++) {
        const char *suffix = number > 1 ? arena_printf(ev->arena, "_%d", number) : "";
        const char *key = arena_printf(ev->arena, "train%s%s.%s%s.%s", *phase ? "." : "", phase, own, suffix,
                                       t->weight->path);
        Name name = intern(ev->names, key);
        const char *here = layer->made.source->text + layer->made.begin,
                   *taken = map_get(pass->optimizers, name);
        if (!taken) map_set(pass->optimizers, name, (void *)here);
        if (!taken || taken == here) return name;
    }
}

static void refuse_result(Evaluator *ev, const Trainee *t, Value v) {
    Span span = t->pair->with->span;
    const char *name = layer_callee(t->optimizer);
    Diagnostic *d = report(
        ev, DIAG_optimizer, span, "the optimizer `%s` returns %s for the weight `%s`, which is %s", name,
        value_describe(ev->arena, v), t->weight->path, shape_string(ev->arena, t->weight->shape));
    report_note(ev, d, t->optimizer->block->decl->name_span, "the optimizer is declared here");
    report_help(ev, d, "an optimizer must return the new weight, of the same shape and type");
}

/* With --find-rate, multiplies the argument `lr` by a factor that the trainer
 * provides. */
static void scale_rate(Evaluator *ev, const Trainee *t, Layer *run) {
    Span span = t->pair->with->span;
    Binding *rate = NULL;
    run->bound = (Bindings){0};
    bindings_add(ev, &run->bound, &t->optimizer->bound);
    for (int i = 0; i < run->bound.count; i++)
        if (strcmp(run->bound.items[i].name, CAI_SHOWN_RATE) == 0) rate = &run->bound.items[i];
    Node *given = rate ? as_node(ev, rate->value, DTYPE_F32, span) : NULL;
    if (!rate)
        report(ev, DIAG_optimizer, span, "`--find-rate` scales the argument `lr`, which `%s` does not have",
               layer_callee(run));
    if (!given) return;
    cai_binding binding = {.kind = CAI_BIND_SCALE, .guard = -1};
    Node *factor = train_input(ev, intern(ev->names, "scale of lr"), (Shape){DTYPE_F32, 0, NULL}, FORM_TENSOR,
                               FIT_EXACT, binding, span);
    rate->value = value_node(build_binary(ev->graph, OP_mul, given, factor));
    ev->train->rate = rate->value.node;
}

static void run_optimizer(Evaluator *ev, const Trainee *t) {
    Layer *run = arena_copy(ev->arena, t->optimizer, sizeof *run);
    run->path = run->identity = optimizer_key(ev, t);
    run->kept = true;
    run->parts = NULL;
    run->has_run = false;
    if (ev->library->options.find_rate) scale_rate(ev, t, run);
    Arguments given = {0};
    Span span = t->pair->with->span;
    vec_push(ev->arena, &given.given,
             ((Binding){NULL, (Value){.kind = VALUE_WEIGHT, .weight = t->weight}, span}));
    vec_push(ev->arena, &given.given, ((Binding){NULL, value_node(t->gradient), span}));
    Value v = settle(ev, run_layer(ev, run, &given, NULL, span));
    if (v.kind == VALUE_ERROR) return;
    if (v.kind == VALUE_TENSOR && shape_equal(v.node->shape, t->weight->shape))
        train_assign(ev, t->weight, v.node);
    else refuse_result(ev, t, v);
}

/* ---- what is trained ---- */

/* The gradient of a weight: the sum over all values that the weight had when the loss
 * read it; NULL if the loss does not depend on it. */
static Node *gradient_by(Evaluator *ev, const Weight *weight, Node *const *gradients) {
    Node *sum = NULL;
    for (int i = 0; i < weight->read.count; i++)
        if (gradients[i]) sum = sum ? build_binary(ev->graph, OP_add, sum, gradients[i]) : gradients[i];
    return sum;
}

static void warn_of_change(Evaluator *ev, const Stmt *stmt, const Weight *weight, Node *const *gradients) {
    if (ev->train->guard >= 0 || gradients[weight->read.count - 1]) return;
    const char *text = arena_printf(
        ev->arena, "`%s` has changed since this loss was computed: the gradient is for its old value",
        weight->path);
    report_warning(ev, DIAG_minimize, stmt->value->span, text,
                   "compute the loss after the `minimize` or `update` that changes the weight");
}

static void find_gradients(Evaluator *ev, const Stmt *stmt, Node *loss, const Trainees *candidates,
                           Trainees *out) {
    Vec(Node *) leaves = {0};
    for (int i = 0; i < candidates->count; i++)
        for (int k = 0; k < candidates->items[i].weight->read.count; k++)
            vec_push(ev->arena, &leaves, candidates->items[i].weight->read.items[k]);
    Node **gradients = NEW_ARRAY(ev->arena, Node *, leaves.count + 1);
    graph_at(ev->graph, origin_new(ev->graph, stmt->span, ""));
    graph_gradient_of(ev->graph, loss, leaves.items, leaves.count, gradients);
    for (int i = 0, at = 0; i < candidates->count; at += candidates->items[i++].weight->read.count) {
        Trainee t = candidates->items[i];
        if (!(t.gradient = gradient_by(ev, t.weight, gradients + at))) continue;
        t.gradient = train_mean(ev, t.gradient);
        warn_of_change(ev, stmt, t.weight, gradients + at);
        vec_push(ev->arena, out, t);
    }
}

static void tell_unreached(Evaluator *ev, const Stmt *stmt, const Trained *pair, const Target *target) {
    Diagnostic *d = report(ev, DIAG_minimize, pair->over->span,
                           "the loss does not depend on any weight of `%s`", target->text);
    report_note(ev, d, stmt->value->span, "this is the loss");
    if (train_holds_weights(ev->train->plan, target))
        report_help(ev, d, "run the layer on the way to the loss, without `stop` on the way");
    else report_help(ev, d, "no weights of the layer are known yet: is it run before this line?");
}

static const Trainee *find_trainee(const Trainees *list, const Weight *weight) {
    for (int i = 0; i < list->count; i++)
        if (list->items[i].weight == weight) return &list->items[i];
    return NULL;
}

static void tell_in_two(Evaluator *ev, const Trained *pair, const Trainee *first) {
    Diagnostic *d = report(ev, DIAG_minimize, pair->over->span,
                           "`%s` is trained by two optimizers of this `minimize`", first->weight->path);
    report_note(ev, d, first->pair->over->span, "here, too");
    report_help(ev, d, "name each weight once; parts are reached by path, `over (E.layer3, E.layer4)`");
}

/* Adds all weights that an `over` names; which of them the loss depends on is not known
 * before the gradients. False after an error. */
static bool add_candidates(Evaluator *ev, const Trained *pair, Layer *optimizer, const Targets *targets,
                           Trainees *out) {
    const TrainPass *pass = ev->train;
    int before = out->count;
    for (int i = 0; i < pass->weights.count; i++) {
        Weight *weight = pass->weights.items[i];
        bool is_meant = false;
        for (int k = 0; k < targets->count && !weight->state; k++)
            is_meant |= train_matches(pass->plan, &targets->items[k], weight->index);
        if (!is_meant) continue;
        const Trainee *first = find_trainee(out, weight);
        if (first && first < out->items + before) {
            tell_in_two(ev, pair, first);
            return false;
        }
        vec_push(ev->arena, out, ((Trainee){weight, pair, optimizer, NULL}));
    }
    return true;
}

static bool target_is_reached(const Evaluator *ev, const Trainees *found, const Target *target) {
    for (int i = 0; i < found->count; i++)
        if (train_matches(ev->train->plan, target, found->items[i].weight->index)) return true;
    return false;
}

static void remember_trained(Evaluator *ev, const Trainees *found) {
    const TrainPass *pass = ev->train;
    for (int i = 0; i < found->count; i++)
        train_add_phase(ev, &pass->plan->facts.items[found->items[i].weight->index].trained, pass->phase);
}

static void train_all(Evaluator *ev, const Trainees *found) {
    Gradients gradients = {.count = found->count, .items = NEW_ARRAY(ev->arena, Node *, found->count)};
    for (int i = 0; i < found->count; i++) gradients.items[i] = found->items[i].gradient;
    ev->train->gradients = &gradients;
    for (int i = 0; i < found->count; i++) run_optimizer(ev, &found->items[i]);
    ev->train->gradients = NULL;
}

static const char *loss_name(const Stmt *stmt) {
    return stmt->value->kind == EXPR_NAME ? stmt->value->name : "loss";
}

static void keep_loss(Evaluator *ev, const Stmt *stmt, const Node *node, const Trainees *found) {
    TrainingLoss loss = {.name = loss_name(stmt),
                         .text = span_text(ev->arena, stmt->value->span),
                         .node = node,
                         .guard = ev->train->guard};
    for (int i = 0; i < stmt->pairs.count; i++) {
        const Trained *pair = &stmt->pairs.items[i];
        TrainingPair kept = {.over = span_text(ev->arena, pair->over->span)};
        for (int k = 0; k < found->count; k++) {
            if (found->items[k].pair != pair) continue;
            kept.optimizer = layer_callee(found->items[k].optimizer);
            vec_push(ev->arena, &kept.states, found->items[k].weight->index);
        }
        vec_push(ev->arena, &loss.pairs, kept);
    }
    vec_push(ev->arena, &ev->train->text.losses, loss);
}

static void show_curve(Evaluator *ev, const Stmt *stmt, Node *node, const char *name, bool is_loss) {
    int guard = ev->train->guard;
    int shown =
        train_shown(&train_phase(ev)->shown, ev, name, CAI_SHOW_CURVE, -1, guard, is_loss, stmt->value->span);
    train_output(ev, node, (cai_binding){.kind = CAI_BIND_SHOWN, .index = shown, .guard = guard}, name,
                 stmt->value->span);
}

static void show_loss(Evaluator *ev, const Stmt *stmt, Node *loss) {
    show_curve(ev, stmt, loss, loss_name(stmt), true);
    if (ev->train->rate) show_curve(ev, stmt, ev->train->rate, CAI_SHOWN_RATE, false);
}

typedef struct Wanted { const Trained *pair; Target target; } Wanted;
typedef Vec(Wanted) WantedList;

static bool read_pairs(Evaluator *ev, const Stmt *stmt, Trainees *candidates, WantedList *wanted) {
    bool good = true;
    for (int i = 0; i < stmt->pairs.count; i++) {
        Targets targets = {0};
        const Trained *pair = &stmt->pairs.items[i];
        Layer *optimizer = optimizer_of(ev, pair->with);
        good &= train_targets(ev, pair->over, "over", &targets) && optimizer &&
                add_candidates(ev, pair, optimizer, &targets, candidates);
        for (int k = 0; k < targets.count; k++)
            vec_push(ev->arena, wanted, ((Wanted){pair, targets.items[k]}));
    }
    return good;
}

void execute_minimize(Evaluator *ev, const Stmt *stmt) {
    Trainees candidates = {0}, found = {0};
    WantedList wanted = {0};
    if (!train_allows(ev, stmt, "minimize") || !train_is_timed(ev, stmt, "minimize")) return;
    if (ev->train->measuring || ev->train->once || ev->train->other_once) {
        Diagnostic *d = report(ev, DIAG_train_place, stmt->span, "`minimize` cannot be in `%s`",
                               ev->train->measuring ? "measure" : "once");
        report_help(ev, d, "move it among the lines of the step");
        return;
    }
    Node *loss = loss_of(ev, stmt->value);
    bool good = read_pairs(ev, stmt, &candidates, &wanted);
    if (!loss || !good || !train_acts(ev)) return;
    if (ev->library->options.find_rate && ev->train->minimize && ev->train->minimize != stmt) {
        Diagnostic *d = report(ev, DIAG_minimize, stmt->span,
                               "`--find-rate` needs a block with one `minimize`, and this is a second one");
        report_note(ev, d, ev->train->minimize->span, "the first is here");
        return;
    }
    ev->train->minimize = stmt;
    train_tell_mixing(ev, stmt, loss);
    find_gradients(ev, stmt, loss, &candidates, &found);
    for (int i = 0; i < wanted.count; i++)
        if (!target_is_reached(ev, &found, &wanted.items[i].target))
            tell_unreached(ev, stmt, wanted.items[i].pair, &wanted.items[i].target);
    if (!found.count) return;
    remember_trained(ev, &found);
    train_all(ev, &found);
    keep_loss(ev, stmt, loss, &found);
    show_loss(ev, stmt, loss);
}
