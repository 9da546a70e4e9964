/* The iterations of a `for`, as a statement or within a list: over a list, a tuple or a
 * range of ints. */
#include "elaborate/evaluator.h"

static bool rounds_of_items(Evaluator *ev, const Expr *target, const Expr *from, Rounds *out) {
    Value items = evaluate(ev, from);
    if (value_is_sequence(items)) {
        *out = (Rounds){.list = items.list, .to = items.list->count};
        return true;
    }
    if (items.kind == VALUE_ERROR) return false;
    Diagnostic *d =
        report(ev, DIAG_not_a_list, from->span, "`for` goes through a list, a tuple or a range; this is %s",
               value_kind_name(items));
    if (items.kind == VALUE_INT || items.kind == VALUE_DIM)
        report_help(ev, d, "`for %s in 0 .. %s`", span_text(ev->arena, target->span),
                    span_text(ev->arena, from->span));
    return false;
}

bool rounds_of(Evaluator *ev, const Expr *target, const Expr *from, const Expr *end, Rounds *out) {
    *out = (Rounds){0};
    if (!end) return rounds_of_items(ev, target, from, out);
    bool known = evaluate_int(ev, from, "the start of a range", &out->from);
    return evaluate_int(ev, end, "the end of a range", &out->to) && known;
}

Value round_value(const Rounds *rounds, int64_t i) {
    return rounds->list ? rounds->list->items[i] : value_int(i);
}

/* ---- [item for target in rounds if condition] ---- */

typedef struct Comprehension {
    const Expr *expr;
    Vec(Value) items;
    bool failed; /* after an error, reported here or before: no more iterations */
} Comprehension;

static void go_through(Evaluator *ev, Comprehension *c, int index);

static void go_through_rounds(Evaluator *ev, Comprehension *c, int index) {
    const Clause *clause = &c->expr->clauses.items[index];
    Rounds rounds;
    if (!rounds_of(ev, clause->target, clause->from, clause->end, &rounds)) {
        c->failed = true;
        return;
    }
    for (int64_t i = rounds.from; i < rounds.to && !c->failed && spend(ev, c->expr->span, 1); i++) {
        bind_target(ev, clause->target, round_value(&rounds, i));
        go_through(ev, c, index + 1);
    }
}

static void go_through(Evaluator *ev, Comprehension *c, int index) {
    if (index == c->expr->clauses.count) {
        Value item = evaluate(ev, c->expr->left);
        c->failed |= item.kind == VALUE_ERROR;
        vec_push(ev->arena, &c->items, item);
        return;
    }
    const Clause *clause = &c->expr->clauses.items[index];
    bool chosen;
    if (clause->target) go_through_rounds(ev, c, index);
    else if (!evaluate_condition(ev, clause->condition, &chosen)) c->failed = true;
    else if (chosen) go_through(ev, c, index + 1);
}

/* Names that its clauses bind are known only within it. */
Value evaluate_comprehension(Evaluator *ev, const Expr *expr) {
    Frame *frame = ev->frame;
    Bindings around = frame->names;
    Map *index = frame->index;
    int indexed = frame->indexed;
    if (!spend(ev, expr->span, around.count)) return value_error;
    frame->names = (Bindings){0};
    bindings_add(ev, &frame->names, &around);
    frame->index = NULL;
    frame->indexed = 0;
    Comprehension c = {.expr = expr};
    go_through(ev, &c, 0);
    frame->names = around;
    frame->index = index;
    frame->indexed = indexed;
    if (c.failed || !spend(ev, expr->span, c.items.count)) return value_error;
    return bounded_list(ev, value_list(ev->arena, VALUE_LIST, c.items.items, NULL, c.items.count),
                        expr->span);
}
