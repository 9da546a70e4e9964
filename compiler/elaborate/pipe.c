/* Arrows: the stages of a pipe, one after the other, and layers written in braces. */
#include "elaborate/train.h"

static Value run_stage(Evaluator *ev, const Stage *stage, Value value, const Expr *operand);

Value run_stages(Evaluator *ev, const StageList *stages, Value value, const Expr *operand) {
    for (int i = 0; i < stages->count && !ev->stopped; i++)
        value = run_stage(ev, stages->items[i], value, i == 0 ? operand : NULL);
    return value;
}

static Layer *braces_layer(Evaluator *ev, const Expr *braces, Span span) {
    Layer *layer = layer_new(ev, LAYER_BRACES, span);
    layer->braces = braces;
    layer->unit = ev->frame->unit;
    if (!spend(ev, span, ev->frame->names.count)) return layer;
    bindings_add(ev, &layer->bound, &ev->frame->names);
    return layer;
}

Value evaluate_braces(Evaluator *ev, const Expr *expr) {
    return layer_value(braces_layer(ev, expr, expr->span));
}

static bool is_bare(Name label) { return !strcmp(label, "_"); }

/* The layer of a stage gets its path from its label, else, in braces, from its position;
 * run_layer falls back to the name of the callee. */
static void name_stage(Evaluator *ev, Layer *layer, Name label, Span span) {
    int position = ev->frame->positional ? ev->frame->position++ : -1;
    if (layer->kind == LAYER_PRIMITIVE) return;
    if (label ? is_bare(label) : train_is_model(ev, layer)) name_layer_bare(ev, layer, span);
    else if (label) name_layer(ev, layer, label, span);
    else if (position >= 0) name_layer_by_position(ev, layer, position, span);
}

/* A call waits for the values that come by the arrow, which precede those in its
 * parentheses. A call in parentheses of its own is a value like any other. */
static Value evaluate_stage(Evaluator *ev, const Expr *stage) {
    if (stage->kind != EXPR_CALL || stage->parenthesised) return evaluate(ev, stage);
    Value callee = evaluate(ev, stage->left);
    Arguments arguments = evaluate_arguments(ev, &stage->arguments, false);
    if (callee.kind == VALUE_ERROR) return value_error;
    return call_behind_arrow(ev, callee, &arguments, stage->span, stage->left->span);
}

static const char *short_text(Evaluator *ev, const Expr *expr, const char *other) {
    return expr && expr->span.source && expr->span.end - expr->span.begin <= 24
               ? span_text(ev->arena, expr->span)
               : other;
}

/* Help for `x -> y` of two tensors. */
static void explain_tensor(Evaluator *ev, const Expr *stage, const Expr *operand, Diagnostic *d) {
    const char *x = short_text(ev, operand, "x"), *y = short_text(ev, stage, "y");
    if (stage->kind == EXPR_CALL)
        report_help(
            ev, d,
            "`%s` has run already, as a block with one list of parameters does as soon as they are all given",
            y);
    else
        report_help(
            ev, d,
            "`%s + %s` adds them, `(%s, %s) -> concat` joins them, and a layer that takes both runs as `(%s, %s) -> f`",
            x, y, x, y, x, y);
}

static Value run_simple(Evaluator *ev, const Stage *stage, Name label, Value value, const Expr *operand) {
    int reported = ev->diag->list.count;
    Value made = evaluate_stage(ev, stage->layer);
    Layer *layer = as_layer(ev, made, stage->layer->span);
    if (!layer) {
        if (ev->diag->list.count > reported && made.kind == VALUE_TENSOR)
            explain_tensor(ev, stage->layer, operand, ev->diag->list.items[reported]);
        ev->frame->position += ev->frame->positional;
        return value_error;
    }
    name_stage(ev, layer, label, stage->span);
    Arguments inputs = arguments_of(ev, value, operand);
    return run_layer(ev, layer, &inputs, operand, stage->layer->span);
}

static Value run_repeated(Evaluator *ev, const Stage *stage, Value value, const Expr *operand) {
    int64_t count;
    if (!evaluate_int(ev, stage->condition, "the number of rounds", &count)) return value_error;
    for (int64_t i = 0; i < count && spend(ev, stage->span, 1); i++) {
        value = run_stages(ev, &stage->then_body->stages, value, operand);
        operand = NULL;
    }
    return value;
}

static Value run_chosen(Evaluator *ev, const Stage *stage, Value value, const Expr *operand) {
    bool chosen;
    if (!evaluate_condition(ev, stage->condition, &chosen)) return value_error;
    const Expr *body = chosen ? stage->then_body : stage->else_body;
    return body ? run_stages(ev, &body->stages, value, operand) : value;
}

static Value run_piped_group(Evaluator *ev, const Stage *stage, Value value, const Expr *operand) {
    return stage->kind == STAGE_REPEAT ? run_repeated(ev, stage, value, operand)
                                       : run_chosen(ev, stage, value, operand);
}

/* A labelled `repeat` or `if` is a layer of its own, its stages numbered in it. */
static Value run_labelled_group(Evaluator *ev, const Stage *stage, Name label, Value value,
                                const Expr *operand) {
    Layer *layer = braces_layer(ev, stage->then_body, stage->span);
    name_stage(ev, layer, label, stage->span);
    Arguments inputs = arguments_of(ev, value, operand);
    Frame *frame = frame_push(ev, layer->unit, layer, stage->span);
    frame->positional = true;
    frame->names = layer->bound;
    frame->operand = operand;
    frame->inputs = &inputs.given;
    int entry = entry_begin(ev, layer, stage->span);
    Value result = run_piped_group(ev, stage, value, operand);
    entry_end(ev, entry, result);
    frame_pop(ev);
    return result;
}

static Value run_stage(Evaluator *ev, const Stage *stage, Value value, const Expr *operand) {
    Name label = stage->label ? evaluate_string(ev, stage->label) : NULL;
    if (stage->label && !label) return value_error;
    if (label && !*label) {
        report(ev, DIAG_empty_label, stage->label->span, "a label must not be empty");
        return value_error;
    }
    if (stage->kind == STAGE_SIMPLE) return run_simple(ev, stage, label, value, operand);
    return label && !is_bare(label) ? run_labelled_group(ev, stage, label, value, operand)
                                    : run_piped_group(ev, stage, value, operand);
}

/* Arrows chain to the left; a chain may be thousands of stages long, so it is walked
 * rather than recursed into. */
Value evaluate_pipe(Evaluator *ev, const Expr *expr) {
    Vec(const Expr *) chain = {0};
    for (; expr->kind == EXPR_PIPE; expr = expr->left) vec_push(ev->arena, &chain, expr);
    Value value = evaluate(ev, expr);
    if (value.kind == VALUE_NONE) {
        report(ev, DIAG_no_value, expr->span, "nothing comes out of this");
        value = value_error;
    }
    for (int i = chain.count - 1; i >= 0 && !ev->stopped; i--) {
        const Expr *operand = chain.items[i]->left;
        if (chain.items[i]->stage) value = run_stage(ev, chain.items[i]->stage, value, operand);
        else value = value_error;
    }
    return value;
}
