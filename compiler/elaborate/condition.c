/* Conditions that must hold (`assert`, `where`): decided at compile time where they can
 * be, else checked at run time. */
#include "elaborate/evaluator.h"

static const char *condition_message(Evaluator *ev, Span span, const Expr *message) {
    const char *text = message ? evaluate_string(ev, message) : NULL;
    if (!text) text = arena_printf(ev->arena, "%s must hold", span_text(ev->arena, span));
    return arena_printf(ev->arena, "%s: %s", place_text(ev->arena, user_span(ev, span)), text);
}

static void fail_operands(Evaluator *ev, Diagnostic *d, DiagCode code) {
    if (ev->frame->layer != ev->root && code == DIAG_assert) report_operands(ev, d);
}

/* `conv(x, 8, 3) -> batchnorm`: the mistake is what goes into the block that asserts. */
static bool runs_unrun(Evaluator *ev) {
    const Frame *frame = ev->frame;
    for (int i = 0; frame->inputs && i < frame->inputs->count; i++)
        if (report_unrun(ev, frame->inputs->items[i].value)) return true;
    return false;
}

static void fail_condition(Evaluator *ev, const Expr *expr, const Expr *message, DiagCode code) {
    Diagnostic *d = NULL;
    if (code == DIAG_assert && runs_unrun(ev)) return;
    const char *text = message ? evaluate_string(ev, message) : NULL;
    if (text) d = report(ev, code, expr->span, "%s", text);
    else if (!message)
        d = report(ev, code, expr->span, "`%s` does not hold", span_text(ev->arena, expr->span));
    fail_operands(ev, d, code);
}

static void fail_with_sizes(Evaluator *ev, const Expr *expr, Dim left, Dim right, const Expr *message,
                            DiagCode code) {
    if (message) {
        fail_condition(ev, expr, message, code);
        return;
    }
    Diagnostic *d =
        report(ev, code, expr->span, "`%s` does not hold here (%s %s %s)", span_text(ev->arena, expr->span),
               dim_string(ev->arena, left), operator_text(expr->op), dim_string(ev->arena, right));
    fail_operands(ev, d, code);
}

static void add_check(Evaluator *ev, CheckKind kind, Dim left, Dim right, const char *message) {
    graph_check(ev->graph, kind, left, right, message);
}

static void leave_to_run(Evaluator *ev, const Expr *expr, Dim left, Dim right, const Expr *message) {
    const char *text = condition_message(ev, expr->span, message);
    switch (expr->op) {
    case OPERATOR_EQ: add_check(ev, CHECK_EQUAL, left, right, text); break;
    case OPERATOR_GE: add_check(ev, CHECK_AT_LEAST, left, right, text); break;
    case OPERATOR_GT: add_check(ev, CHECK_AT_LEAST, left, dim_offset(ev->dims, right, 1), text); break;
    case OPERATOR_LE: add_check(ev, CHECK_AT_LEAST, right, left, text); break;
    case OPERATOR_LT: add_check(ev, CHECK_AT_LEAST, right, dim_offset(ev->dims, left, 1), text); break;
    default:
        report(ev, DIAG_size_not_known, expr->span, "`%s` depends on sizes that only a run knows",
               span_text(ev->arena, expr->span));
    }
}

static void require_comparison(Evaluator *ev, const Expr *expr, const Expr *message, DiagCode code) {
    Value left = evaluate(ev, expr->left), right = evaluate(ev, expr->right);
    bool sizes = (left.kind == VALUE_DIM && (right.kind == VALUE_DIM || right.kind == VALUE_INT)) ||
                 (right.kind == VALUE_DIM && left.kind == VALUE_INT);
    if (sizes) {
        Dim a = as_dim(ev, left), b = as_dim(ev, right);
        bool holds;
        if (!decide_order(ev, expr->op, a, b, &holds)) leave_to_run(ev, expr, a, b, message);
        else if (!holds) fail_with_sizes(ev, expr, a, b, message, code);
        return;
    }
    Value v = apply_binary(ev, expr->op, left, right, expr);
    if (v.kind == VALUE_TENSOR)
        report(ev, DIAG_tensor_condition, expr->span,
               "a condition must be known at compile time; this is a tensor");
    else if (v.kind == VALUE_BOOL && !v.truth) {
        if (left.kind == VALUE_INT && right.kind == VALUE_INT)
            fail_with_sizes(ev, expr, as_dim(ev, left), as_dim(ev, right), message, code);
        else fail_condition(ev, expr, message, code);
    }
}

void require_condition(Evaluator *ev, const Expr *expr, const Expr *message, DiagCode code) {
    bool holds;
    if (expr->kind == EXPR_TUPLE && expr->arguments.count == 1 && !expr->arguments.items[0].name &&
        !expr->arguments.items[0].computed)
        expr = expr->arguments.items[0].value;
    if (expr->kind == EXPR_BINARY && expr->op == OPERATOR_AND) {
        require_condition(ev, expr->left, message, code);
        require_condition(ev, expr->right, message, code);
    } else if (expr->kind == EXPR_BINARY && expr->op >= OPERATOR_EQ && expr->op <= OPERATOR_GE)
        require_comparison(ev, expr, message, code);
    else if (evaluate_condition(ev, expr, &holds) && !holds) fail_condition(ev, expr, message, code);
}
