/* Arrows: the stages of a pipe, one after the other, and layers written in braces. */
#include "elaborate/evaluator.h"

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

Value evaluate_braces(Evaluator *ev, const Expr *expr) { return layer_value(braces_layer(ev, expr, expr->span)); }

static bool is_bare(Name label) { return !strcmp(label, "_"); }

/* The stage's layer gets its path by its label, else, in braces, by its position; run_layer falls back to the callee's name. */
static void name_stage(Evaluator *ev, Layer *layer, Name label, Span span) {
    int position = ev->frame->positional ? ev->frame->position++ : -1;
    if (layer->kind == LAYER_PRIMITIVE) return;
    if (label && is_bare(label)) name_layer_bare(ev, layer, span);
    else if (label) name_layer(ev, layer, label, span);
    else if (position >= 0) name_layer_by_position(ev, layer, position, span);
}

static void explain_primitive(Evaluator *ev, const Builtin *builtin, const char *x, Diagnostic *d) {
    const AttrInfo *row = builtin->op >= 0 ? op_info[builtin->op].attributes() : NULL;
    if (row && row->name)
        report_help(ev, d, "what comes by arrow is its first value, the others are named: `%s -> %s(%s = ...)`", x, builtin->name, row->name);
    else if (builtin->op >= 0 && op_info[builtin->op].max_inputs == 1)
        report_help(ev, d, "it takes nothing but what comes by arrow: `%s -> %s`", x, builtin->name);
}

/* `flatten(2)` behind an arrow, as one would write it in PyTorch: the block's only list begins with what is run through, which 2 has become. */
static void explain_block(Evaluator *ev, const Expr *call, const ParameterList *parameters, const char *x, Diagnostic *d) {
    Text plain = {.arena = ev->arena}, named = {.arena = ev->arena};
    int given = call->arguments.count;
    if (given >= parameters->count || parameters->items[parameters->count - 1].rest) return;
    for (int i = given + 1; i < parameters->count; i++)
        if (!parameters->items[i].fallback) return;
    for (int i = 0; i < given; i++) {
        const char *text = span_text(ev->arena, call->arguments.items[i].span);
        text_add(&plain, ", %s", text);
        text_add(&named, "%s%s = %s", i ? ", " : "", parameters->items[i + 1].name, text);
    }
    report_help(ev, d, "what comes by arrow is its first value, the others are named: `%s -> %s(%s)`, or `%s(%s%s)`", x, call->left->name,
                text_string(&named), call->left->name, x, text_string(&plain));
}

/* What would mend a call behind an arrow that led to the error d, where that was to take x first. */
static void explain_call(Evaluator *ev, const Expr *call, const Expr *operand, Diagnostic *d) {
    bool here = d->span.source == call->span.source && d->span.begin == call->span.begin;
    if (!here || call->kind != EXPR_CALL || call->left->kind != EXPR_NAME || !call->arguments.count) return;
    for (int i = 0; i < call->arguments.count; i++)
        if (call->arguments.items[i].name || call->arguments.items[i].computed || call->arguments.items[i].spread) return;
    Value callee = evaluate(ev, call->left);
    const char *x = operand && operand->kind == EXPR_NAME ? operand->name : "x";
    if (callee.kind == VALUE_PRIMITIVE) explain_primitive(ev, callee.builtin, x, d);
    if (callee.kind == VALUE_BLOCK && callee.block->decl->lists.count == 1)
        explain_block(ev, call, &callee.block->decl->lists.items[0], x, d);
}

static const char *short_text(Evaluator *ev, const Expr *expr, const char *other) {
    return expr && expr->span.source && expr->span.end - expr->span.begin <= 24 ? span_text(ev->arena, expr->span) : other;
}

/* `x -> y` of two tensors: what may have been meant. Of a call, explain_call says more. */
static void explain_tensor(Evaluator *ev, const Expr *stage, const Expr *operand, Diagnostic *d) {
    const char *x = short_text(ev, operand, "x"), *y = short_text(ev, stage, "y");
    if (stage->kind == EXPR_CALL) report_help(ev, d, "`%s` has run already, as a block with one list of parameters does as soon as they are all given", y);
    else report_help(ev, d, "`%s + %s` adds them, `(%s, %s) -> concat` joins them, and a layer that takes both runs as `(%s, %s) -> f`", x, y, x, y, x, y);
}

static Value run_simple(Evaluator *ev, const Stage *stage, Name label, Value value, const Expr *operand) {
    int told = ev->diag->list.count;
    Value made = evaluate(ev, stage->layer);
    Layer *layer = as_layer(ev, made, stage->layer->span);
    if (!layer) {
        Diagnostic *d = ev->diag->list.count > told ? ev->diag->list.items[told] : NULL;
        if (d && made.kind == VALUE_TENSOR) explain_tensor(ev, stage->layer, operand, d);
        if (d) explain_call(ev, stage->layer, operand, d);
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

static Value run_group(Evaluator *ev, const Stage *stage, Value value, const Expr *operand) {
    return stage->kind == STAGE_REPEAT ? run_repeated(ev, stage, value, operand) : run_chosen(ev, stage, value, operand);
}

/* A labelled `repeat` or `if` is a layer of its own, its stages numbered in it. */
static Value run_labelled_group(Evaluator *ev, const Stage *stage, Name label, Value value, const Expr *operand) {
    Layer *layer = braces_layer(ev, stage->then_body, stage->span);
    name_stage(ev, layer, label, stage->span);
    Arguments inputs = arguments_of(ev, value, operand);
    Frame *frame = frame_push(ev, layer->unit, layer, stage->span);
    frame->positional = true;
    frame->names = layer->bound;
    frame->operand = operand;
    frame->inputs = &inputs.given;
    int entry = entry_begin(ev, layer, stage->span);
    Value result = run_group(ev, stage, value, operand);
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
    return label && !is_bare(label) ? run_labelled_group(ev, stage, label, value, operand) : run_group(ev, stage, value, operand);
}

/* Arrows chain to the left; a chain may be thousands of stages long, so it is walked rather than recursed into. */
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
