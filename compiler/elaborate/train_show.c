/* show, measure and save: values to show, and computations over the held-out samples. */
#include "elaborate/train.h"

int train_guard(Evaluator *ev, const cai_interval *interval) {
    TrainingPhase *phase = train_phase(ev);
    for (int i = 0; i < phase->guards.count; i++) {
        const cai_interval *known = &phase->guards.items[i];
        if (known->count == interval->count && known->unit == interval->unit && known->last == interval->last)
            return i;
    }
    vec_push(ev->arena, &phase->guards, *interval);
    return phase->guards.count - 1;
}

/* Whether the name is taken, by another value or by a key that each line of log.jsonl
 * has. */
static bool is_shown_as(const ShownList *list, const char *name) {
    static const char *const keys[] = {"phase", "step", "epoch", "best"};
    for (int i = 0; i < COUNT_OF(keys); i++)
        if (!strcmp(keys[i], name)) return true;
    for (int i = 0; i < list->count; i++)
        if (!strcmp(list->items[i].name, name)) return true;
    return false;
}

int train_shown(ShownList *list, Evaluator *ev, const char *name, int form, int row, int guard, bool is_loss,
                Span span) {
    const char *unlike = name;
    if (ev->train->shown_again) return ev->train->shown_again++ - 1;
    for (int i = 2; is_shown_as(list, unlike); i++) unlike = arena_printf(ev->arena, "%s_%d", name, i);
    TrainingShown shown = {
        .name = unlike, .form = form, .row = row, .guard = guard, .is_loss = is_loss, .span = span};
    vec_push(ev->arena, list, shown);
    return list->count - 1;
}

/* ---- show ---- */

static bool is_picture(const Node *node) {
    int64_t channels = 0;
    return node->shape.rank == 4 && node->shape.type == DTYPE_F32 &&
           dim_is_const(node->shape.dims[1], &channels) && (channels == 1 || channels == 3);
}

/* Returns CAI_SHOW_*; -1 after an error. */
static int form_of(Evaluator *ev, Value v, Span span) {
    if (v.kind == VALUE_TENSOR && is_picture(v.node)) return CAI_SHOW_PICTURE;
    if (v.kind == VALUE_TENSOR && v.node->shape.rank == 0 && v.node->shape.type == DTYPE_F32)
        return CAI_SHOW_CURVE;
    if (v.kind == VALUE_ERROR || report_unrun(ev, v)) return -1;
    Diagnostic *d = report(ev, DIAG_show, span,
                           "what is shown is a number f32[], or pictures f32[N, 3, H, W]; this is %s",
                           value_describe(ev->arena, v));
    if (v.kind == VALUE_TENSOR && v.node->shape.type == DTYPE_F32)
        report_help(ev, d, "show the mean of many numbers: `mean(...)`");
    return -1;
}

/* Numbers of a measure are computed once, from totals; its pictures are those of the
 * first batch. */
static bool fits_measure(Evaluator *ev, const Node *node, int form, Span span) {
    unsigned made_of = train_sources(ev, node);
    Diagnostic *d = NULL;
    if (made_of & OF_OUTSIDE)
        d = report(
            ev, DIAG_measure, span,
            "this is computed from the step's samples: in `measure` the inputs are the held-out samples");
    else if (form == CAI_SHOW_PICTURE && !(made_of & OF_TOTALS)) return true;
    else if (form == CAI_SHOW_CURVE && !(made_of & (OF_SAMPLES | OF_DRAWS | OF_BATCH))) return true;
    else if (form == CAI_SHOW_PICTURE)
        d = report(ev, DIAG_measure, span,
                   "pictures in `measure` are of one batch: they cannot be computed from totals");
    else {
        d = report(ev, DIAG_measure, span, "this number is computed from one batch, not from the whole set");
        report_help(
            ev, d,
            made_of & OF_TOTALS
                ? "the size of the last batch may differ, too: `total(x.batch)` counts all samples"
                : "`total(x)` adds over all batches, `collect(x)` joins them; the library's `average(x)` is the mean over samples of x: f32[N]");
    }
    return false;
}

static int show_one(Evaluator *ev, Value v, const char *name, int row, int guard, Span span) {
    TrainPass *pass = ev->train;
    v = settle(ev, v);
    int form = form_of(ev, v, span);
    if (form < 0 || (pass->measuring && !fits_measure(ev, v.node, form, span))) return -1;
    if (!pass->measuring && pass->goal != GOAL_FIND && pass->goal != GOAL_STEP) return -1;
    ShownList *list = pass->measuring ? &pass->measured->shown : &train_phase(ev)->shown;
    int index = train_shown(list, ev, name, form, row, pass->measuring ? -1 : guard, false, span);
    train_output(ev, v.node,
                 (cai_binding){.kind = CAI_BIND_SHOWN, .index = index, .guard = pass->measuring ? -1 : guard},
                 name, span);
    return index;
}

static const char *shown_name(Evaluator *ev, const Expr *expr) { return span_text(ev->arena, expr->span); }

/* The pictures of a tuple are shown side by side: its items share a row. */
static void show_value(Evaluator *ev, const Expr *expr, Value v, int guard) {
    if (!value_is_sequence(v)) {
        show_one(ev, v, shown_name(ev, expr), -1, guard, expr->span);
        return;
    }
    bool written =
        (expr->kind == EXPR_TUPLE || expr->kind == EXPR_LIST) && expr->arguments.count == v.list->count;
    int row = (int)expr->span.begin;
    for (int i = 0; i < v.list->count; i++) {
        const Expr *item = written ? expr->arguments.items[i].value : expr;
        const char *name = v.list->names && v.list->names[i] ? v.list->names[i] : shown_name(ev, item);
        show_one(ev, v.list->items[i], name, row, guard, item->span);
    }
}

void execute_show(Evaluator *ev, const Stmt *stmt) {
    if (!train_allows(ev, stmt, "show")) return;
    TrainPass *pass = ev->train;
    int guard = pass->guard;
    cai_interval interval;
    if (stmt->interval.count) {
        if (!train_interval(ev, &stmt->interval, &interval)) return;
        if (guard >= 0 || pass->measuring) {
            report(ev, DIAG_show, stmt->span,
                   "this `show` is inside `every` or `measure`, which already say when it runs");
            return;
        }
        interval.last = 1;
        guard = train_guard(ev, &interval);
    }
    pass->quiet++;
    Value v = evaluate(ev, stmt->value);
    pass->quiet--;
    show_value(ev, stmt->value, v, guard);
}

/* ---- measure ---- */

/* A measure runs between steps, so its states have the values with which the step began.
 * Sets these, and returns the values in the step, followed by NULL. A GOAL_MEASURE pass
 * has not changed any state, and keeps what the measure makes of them. */
static Node **states_as_saved(Evaluator *ev) {
    TrainPass *pass = ev->train;
    Node **values = NEW_ARRAY(ev->arena, Node *, pass->weights.count + 1);
    for (int i = 0; i < pass->weights.count; i++) {
        values[i] = pass->weights.items[i]->value;
        pass->weights.items[i]->value = pass->weights.items[i]->node;
    }
    return values;
}

static void run_measure(Evaluator *ev, const Stmt *stmt) {
    TrainPass *pass = ev->train;
    const Frame *around = ev->frame;
    const int again = pass->shown_again;
    /* names that the body binds are its own */
    Frame *frame = frame_push(ev, around->unit, ev->root, stmt->span);
    bindings_add(ev, &frame->names, &around->names);
    pass->measuring = true;
    pass->shown_again = 0;
    pass->quiet++;
    pass->first_measured = ev->graph->nodes.count;
    pass->sizes_of_all = map_new(ev->arena);
    const FieldPlace *places =
        arena_copy(ev->arena, pass->fields.items, sizeof *places * (size_t)pass->fields.count);
    pass->batch_sizes[0] = dims_symbol_count(ev->dims);
    train_declare_anew(ev, &stmt->inputs, true);
    train_bind_measured(ev, stmt->inputs.count > 0);
    pass->batch_sizes[1] = dims_symbol_count(ev->dims);
    Node **values = states_as_saved(ev);
    execute_all(ev, &stmt->body);
    for (int i = 0; pass->goal != GOAL_MEASURE && values[i]; i++) pass->weights.items[i]->value = values[i];
    pass->quiet--;
    pass->shown_again = again;
    pass->measuring = false;
    pass->batch_sizes[0] = pass->batch_sizes[1] = 0;
    for (int i = 0; i < pass->fields.count; i++) pass->fields.items[i] = places[i];
    frame_pop(ev);
}

void execute_measure(Evaluator *ev, const Stmt *stmt) {
    TrainPass *pass = ev->train;
    cai_interval when = {.last = 1};
    if (!train_allows(ev, stmt, "measure")) return;
    if (stmt->interval.count && !train_interval(ev, &stmt->interval, &when)) return;
    if (pass->measuring || pass->guard >= 0) {
        report(ev, DIAG_train_place, stmt->span, "`measure` cannot be inside `every` or another `measure`");
        return;
    }
    when.last = 1;
    int index = pass->measures++;
    /* a GOAL_ONCE pass runs it too, for the first values of places that only measures
     * meet */
    if (pass->goal == GOAL_STEP || (pass->goal == GOAL_MEASURE && pass->measure != index)) return;
    TrainingMeasure *measured = NEW(ev->arena, TrainingMeasure);
    *measured = (TrainingMeasure){.when = when, .save_by = -1};
    pass->measured = measured;
    run_measure(ev, stmt);
    if (pass->goal == GOAL_FIND && !measured->shown.count && !ev->errors && !pass->plan->unresolved)
        report_warning(ev, DIAG_measure, stmt->span, "this `measure` shows nothing",
                       "`show accuracy` shows a number");
}

static bool in_measure(Evaluator *ev, const char *word, Span span) {
    if (ev->train && ev->train->measuring) return true;
    Diagnostic *d =
        report(ev, DIAG_measure, span, "`%s` must be in `measure`, which reads all samples of a set", word);
    if (ev->train)
        report_help(ev, d, "`measure every 1 epochs { ... }`; for one batch use `sum(x)` or `mean(x)`");
    else report_help(ev, d, "a model sees one batch: use `sum(x)` or `mean(x)`");
    return false;
}

/* `total` and `collect` take values of a batch, not totals or values of the step. */
static bool shows_batch(Evaluator *ev, const Node *node, const char *word, Span span) {
    unsigned made_of = train_sources(ev, node);
    if (made_of & OF_TOTALS)
        report(ev, DIAG_measure, span,
               "`%s` needs values of a batch; this is computed from totals, once for all batches", word);
    else if (made_of & OF_OUTSIDE)
        report(
            ev, DIAG_measure, span,
            "this `%s` is computed from the step's samples: in `measure` the inputs are the held-out samples",
            word);
    return !(made_of & (OF_TOTALS | OF_OUTSIDE));
}

/* Random numbers make each measurement differ. Layers should draw only where `training`
 * holds. */
static void warn_of_draws(Evaluator *ev, const Node *node, Span span) {
    const char *layer = ev->train->goal == GOAL_FIND ? train_drawing_layer(ev, node) : NULL;
    if (!layer) return;
    report_warning(ev, DIAG_measure, user_span(ev, span),
                   arena_printf(ev->arena, "`%s` draws random numbers for what is measured", layer),
                   "let it draw them in training only, as `dropout` does: `if training { ... }`");
}

/* Recognises mean(x) by its division, where x has the size of the batch. */
static void warn_of_means(Evaluator *ev, const Node *node, Span span) {
    bool mean = node->op == OP_div && node->inputs[1]->op == OP_size;
    if (!mean || ev->train->goal != GOAL_FIND) return;
    report_warning(ev, DIAG_measure, user_span(ev, span),
                   "`total` adds up means of batches, and the last batch is smaller",
                   "the library's `average(x)` is the mean over all samples of x: f32[N]: "
                   "`average(mean(x, axes = (1, 2, 3)))`");
}

static Value joined(Evaluator *ev, Node *node, int kind, int *count, const char *word, Shape shape,
                    Span span) {
    cai_binding binding = {.kind = kind, .index = (*count)++, .guard = -1};
    warn_of_draws(ev, node, span);
    const char *name = arena_printf(ev->arena, "%s.%d.%d", word, ev->train->measures, binding.index);
    train_output(ev, node, binding, name, span);
    return value_node(train_input(ev, intern(ev->names, name), shape, FORM_TENSOR, FIT_EXACT, binding, span));
}

Value train_total(Evaluator *ev, const Arguments *arguments, Span span) {
    if (!in_measure(ev, "total", span)) return value_error;
    Node *node = as_node(ev, arguments->given.items[0].value, DTYPE_F32, span);
    if (!node || !shows_batch(ev, node, "total", span)) return value_error;
    if (node->shape.type != DTYPE_F32 || !shape_element_count(node->shape, &(int64_t){0})) {
        Diagnostic *d = report(ev, DIAG_measure, span,
                               "`total` adds f32 tensors of the same shape in all batches; this is %s",
                               shape_string(ev->arena, node->shape));
        report_help(
            ev, d,
            "the last batch is smaller: sum over it first, `total(sum(x))`; `collect` joins batches of any size");
        return value_error;
    }
    warn_of_means(ev, node, span);
    return joined(ev, node, CAI_BIND_TOTAL, &ev->train->measured->totals, "total", node->shape, span);
}

/* `collect` joins equal sizes of a batch to equal sizes, so that joined tensors can be
 * combined. */
static Dim size_of_all(Evaluator *ev, Dim of_batch) {
    Map *sizes = ev->train->sizes_of_all;
    Dim all = map_get(sizes, of_batch);
    if (!all) map_set(sizes, of_batch, (void *)(all = dim_symbol(ev->dims, intern(ev->names, "all"), 1)));
    return all;
}

Value train_collect(Evaluator *ev, const Arguments *arguments, Span span) {
    if (!in_measure(ev, "collect", span)) return value_error;
    Node *node = as_node(ev, arguments->given.items[0].value, DTYPE_F32, span);
    if (!node || !shows_batch(ev, node, "collect", span)) return value_error;
    if (node->shape.rank == 0) {
        report(ev, DIAG_measure, span, "`collect` joins along the first axis, and a single number has none");
        return value_error;
    }
    Dim *dims = arena_copy(ev->arena, node->shape.dims, sizeof *dims * (size_t)node->shape.rank);
    dims[0] = size_of_all(ev, dims[0]);
    Shape all = {node->shape.type, node->shape.rank, dims};
    return joined(ev, node, CAI_BIND_COLLECTED, &ev->train->measured->collected, "collect", all, span);
}

/* ---- save ---- */

static int shown_place(const Evaluator *ev, const Node *node) {
    const PassOutputs *outputs = &ev->train->outputs;
    for (int i = 0; i < outputs->count; i++)
        if (outputs->items[i].node == node && outputs->items[i].binding.kind == CAI_BIND_SHOWN)
            return outputs->items[i].binding.index;
    return -1;
}

void execute_save(Evaluator *ev, const Stmt *stmt) {
    if (!train_allows(ev, stmt, "save")) return;
    int save = !strcmp(stmt->name, "largest")    ? CAI_SAVE_LARGEST
               : !strcmp(stmt->name, "smallest") ? CAI_SAVE_SMALLEST
                                                 : CAI_SAVE_NEVER;
    if (save == CAI_SAVE_NEVER) {
        Diagnostic *d =
            report(ev, DIAG_save, stmt->span, "`save` takes `largest` or `smallest`, not `%s`", stmt->name);
        report_help(ev, d, "`save largest accuracy`, `save smallest error`");
        return;
    }
    if (!in_measure(ev, "save", stmt->span)) return;
    TrainingMeasure *measured = ev->train->measured;
    if (measured->save != CAI_SAVE_NEVER) {
        report(ev, DIAG_save, stmt->span, "a `measure` can have one `save`, and this is a second one");
        return;
    }
    Value v = settle(ev, evaluate(ev, stmt->value));
    if (v.kind != VALUE_TENSOR || v.node->shape.rank != 0) {
        if (v.kind != VALUE_ERROR)
            report(ev, DIAG_save, stmt->value->span, "`save` needs a number f32[]; this is %s",
                   value_describe(ev->arena, v));
        return;
    }
    int shown = shown_place(ev, v.node);
    if (shown < 0) shown = show_one(ev, v, shown_name(ev, stmt->value), -1, -1, stmt->value->span);
    measured->save = save;
    measured->save_by = shown;
}
