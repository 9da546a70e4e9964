/* Statements of a body. A body is one scope: an `if` or a `for` rebinds the names around
 * it. */
#include "elaborate/train.h"

static void execute_statement(Evaluator *ev, const Stmt *stmt);

void execute_all(Evaluator *ev, const StmtList *body) {
    for (int i = 0; i < body->count && !ev->frame->returned && !ev->stopped; i++) {
        execute_statement(ev, body->items[i]);
        if (body->items[i]->kind == STMT_RETURN && i + 1 < body->count)
            report_warning(ev, DIAG_unreached, body->items[i + 1]->span, "nothing below `return` runs",
                           "remove it, or return its result");
    }
}

/* ---- assignment ---- */

static void assign_targets(Evaluator *ev, const Expr *target, Value value) {
    bool fits = value_is_sequence(value) && value.list->count == target->arguments.count;
    if (!fits && value.kind != VALUE_ERROR) {
        if (value_is_sequence(value))
            report(ev, DIAG_unpack, target->span, "%d names for %d values", target->arguments.count,
                   value.list->count);
        else
            report(ev, DIAG_unpack, target->span, "%d names, but the value is %s", target->arguments.count,
                   value_kind_name(value));
    }
    for (int i = 0; i < target->arguments.count; i++)
        bind_target(ev, target->arguments.items[i].value, fits ? value.list->items[i] : value_error);
}

void bind_target(Evaluator *ev, const Expr *target, Value value) {
    switch (target->kind) {
    case EXPR_NAME:
        if (!strcmp(target->name, "_") || train_refuses_name(ev, target->name, target->span)) return;
        frame_bind(ev, ev->frame, target->name, name_value(ev, value, target->name, target->span),
                   target->span);
        return;
    case EXPR_TUPLE: case EXPR_LIST: assign_targets(ev, target, value); return;
    case EXPR_ERROR: return;
    default:
        report(ev, DIAG_bad_target, target->span, "only a name, or names in parentheses, can be left of `=`");
    }
}

/* ---- control ---- */

static void poison_body(Evaluator *ev, const StmtList *body);

static void poison_target(Evaluator *ev, const Expr *target) {
    if (target->kind == EXPR_NAME) frame_bind(ev, ev->frame, target->name, value_error, target->span);
    for (int i = 0; i < target->arguments.count; i++) poison_target(ev, target->arguments.items[i].value);
}

/* Poisons the names of a body that did not run a known number of times: what it binds or
 * returns is unknown, and must not lead to more errors. */
static void poison_body(Evaluator *ev, const StmtList *body) {
    for (int i = 0; i < body->count; i++) {
        const Stmt *stmt = body->items[i];
        if ((stmt->kind == STMT_ASSIGN || stmt->kind == STMT_FOR) && stmt->target)
            poison_target(ev, stmt->target);
        if (stmt->kind == STMT_RETURN) {
            ev->frame->returned = true;
            ev->frame->result = value_error;
        }
        poison_body(ev, &stmt->body);
        poison_body(ev, &stmt->else_body);
    }
}

static void execute_if(Evaluator *ev, const Stmt *stmt) {
    bool chosen;
    if (evaluate_condition(ev, stmt->condition, &chosen)) {
        execute_all(ev, chosen ? &stmt->body : &stmt->else_body);
        return;
    }
    poison_body(ev, &stmt->body);
    poison_body(ev, &stmt->else_body);
}

static void execute_rounds(Evaluator *ev, const Stmt *stmt, const Rounds *rounds) {
    for (int64_t i = rounds->from; i < rounds->to && !ev->frame->returned && spend(ev, stmt->span, 1); i++) {
        if (stmt->target) bind_target(ev, stmt->target, round_value(rounds, i));
        execute_all(ev, &stmt->body);
    }
}

static void execute_for(Evaluator *ev, const Stmt *stmt) {
    Rounds rounds;
    if (rounds_of(ev, stmt->target, stmt->value, stmt->end, &rounds)) execute_rounds(ev, stmt, &rounds);
    else poison_body(ev, &stmt->body);
}

static void execute_repeat(Evaluator *ev, const Stmt *stmt) {
    Rounds rounds = {0};
    if (!evaluate_int(ev, stmt->value, "the number of rounds", &rounds.to)) poison_body(ev, &stmt->body);
    else if (train_is_body(ev)) train_repeat(ev, stmt, rounds.to);
    else execute_rounds(ev, stmt, &rounds);
}

/* ---- what is said about the model ---- */

const char *layer_path(Evaluator *ev, const Expr *expr, const char *what) {
    if (expr->kind == EXPR_MEMBER) {
        const char *left = layer_path(ev, expr->left, what);
        return left ? path_join(ev->arena, left, expr->name) : NULL;
    }
    if (expr->kind == EXPR_INDEX && expr->indices.count == 1 && !expr->indices.items[0].slice &&
        !expr->indices.items[0].rest) {
        const char *left = layer_path(ev, expr->left, what);
        int64_t index;
        if (!left || !evaluate_int(ev, expr->indices.items[0].at, "the index", &index)) return NULL;
        return arena_printf(ev->arena, "%s.%lld", left, (long long)index);
    }
    Value v = evaluate(ev, expr);
    if (v.kind == VALUE_LAYER && v.layer->path) return v.layer->path;
    if (v.kind != VALUE_ERROR) {
        Diagnostic *d =
            report(ev, DIAG_not_a_layer, expr->span, "`%s` needs a layer that is bound to a name; this is %s",
                   what, value_kind_name(v));
        report_help(ev, d, "bind it first: `G = generator()`, then `%s G.encoder`", what);
    }
    return NULL;
}

static void execute_load(Evaluator *ev, const Stmt *stmt) {
    Value file = evaluate(ev, stmt->value);
    if (train_load_set(ev, stmt->target, file)) return;
    const char *prefix = train_path_below(ev, stmt->target);
    if (!prefix) prefix = layer_path(ev, stmt->target, "load");
    if (file.kind != VALUE_STRING && file.kind != VALUE_ERROR)
        report(ev, DIAG_not_a_string, stmt->value->span, "the file of `load` must be a string; this is %s",
               value_kind_name(file));
    if (prefix && file.kind == VALUE_STRING)
        vec_push(ev->arena, &ev->model->loads, (LoadInfo){prefix, file.string, stmt->span});
}

static void execute_unused(Evaluator *ev, const Stmt *stmt) {
    Value pattern = evaluate(ev, stmt->value);
    if (pattern.kind == VALUE_STRING) vec_push(ev->arena, &ev->model->unused, pattern.string);
    else if (pattern.kind != VALUE_ERROR)
        report(ev, DIAG_not_a_string, stmt->value->span,
               "`unused` needs a string such as \"AuxLogits.*\"; this is %s", value_kind_name(pattern));
}

static void execute_expect(Evaluator *ev, const Stmt *stmt) {
    bool in_model = ev->frame->layer == ev->root;
    /* as a stage of training: its figures are checked where it is a model */
    if (train_runs_model(ev)) return;
    if (in_model) vec_push(ev->arena, &ev->expectations, stmt);
    else report(ev, DIAG_expect_place, stmt->span, "`expect` must be in the body of a model, not of a block");
}

static void execute_assert(Evaluator *ev, const Stmt *stmt) {
    int errors = ev->errors;
    require_condition(ev, stmt->condition, stmt->message, DIAG_assert);
    if (ev->errors == errors || ev->frame->layer == ev->root) return;
    ev->frame->returned = true; /* the rest of a block relies on it */
    ev->frame->result = value_error;
}

static void execute_return(Evaluator *ev, const Stmt *stmt) {
    ev->frame->result = stmt->value ? settle(ev, evaluate(ev, stmt->value)) : value_none;
    ev->frame->returned = true;
    ev->frame->returned_at = stmt->value ? stmt->value->span : stmt->span;
}

static void execute_value(Evaluator *ev, const Stmt *stmt) {
    Value v = evaluate(ev, stmt->value);
    if (v.kind == VALUE_ERROR || v.kind == VALUE_NONE) return;
    report_warning(ev, DIAG_unused_value, stmt->span, "this value is not used",
                   "give it a name, or return it");
}

static void execute_statement(Evaluator *ev, const Stmt *stmt) {
    switch (stmt->kind) {
    case STMT_EXPR: execute_value(ev, stmt); break;
    case STMT_ASSIGN: bind_target(ev, stmt->target, evaluate(ev, stmt->value)); break;
    case STMT_RETURN: execute_return(ev, stmt); break;
    case STMT_IF: execute_if(ev, stmt); break;
    case STMT_FOR: execute_for(ev, stmt); break;
    case STMT_REPEAT: execute_repeat(ev, stmt); break;
    case STMT_ASSERT: execute_assert(ev, stmt); break;
    case STMT_EXPECT: execute_expect(ev, stmt); break;
    case STMT_LOAD: execute_load(ev, stmt); break;
    case STMT_UNUSED: execute_unused(ev, stmt); break;
    case STMT_UPDATE: execute_update(ev, stmt); break;
    case STMT_MINIMIZE: execute_minimize(ev, stmt); break;
    case STMT_PHASE: execute_phase(ev, stmt); break;
    case STMT_ONCE: execute_once(ev, stmt); break;
    case STMT_EVERY: execute_every(ev, stmt); break;
    case STMT_MEASURE: execute_measure(ev, stmt); break;
    case STMT_SHOW: execute_show(ev, stmt); break;
    case STMT_SAVE: execute_save(ev, stmt); break;
    case STMT_ERROR: poison_body(ev, &stmt->body); break;
    }
}
