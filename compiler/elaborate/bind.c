/* Arguments to parameters: positions, keywords, spreads, `*rest`, defaults. */
#include "elaborate/evaluator.h"

Bindings bindings_with_room(Arena *arena, int count) {
    return (Bindings){.items = NEW_ARRAY(arena, Binding, count), .capacity = count};
}

void bindings_add(Evaluator *ev, Bindings *to, const Bindings *from) {
    if (to->capacity == 0) *to = bindings_with_room(ev->arena, from->count);
    for (int i = 0; i < from->count; i++) vec_push(ev->arena, to, from->items[i]);
}

static void spread_value(Evaluator *ev, Arguments *out, Value v, bool names, Span span) {
    if (v.kind == VALUE_ERROR) {
        out->failed = true;
        return;
    }
    if (!value_is_sequence(v)) {
        report(ev, DIAG_not_a_list, span, "`*` spreads a list or a tuple; this is %s", value_kind_name(v));
        out->failed = true;
        return;
    }
    names = names && v.list->names;
    for (int i = 0; i < v.list->count; i++)
        vec_push(ev->arena, &out->given, (Binding){names ? v.list->names[i] : NULL, v.list->items[i], span});
}

Arguments evaluate_arguments(Evaluator *ev, const ArgumentList *list, bool spread_names) {
    Arguments out = {.given = bindings_with_room(ev->arena, list->count)};
    for (int i = 0; i < list->count; i++) {
        const Argument *argument = &list->items[i];
        Value v = evaluate(ev, argument->value);
        if (argument->spread) {
            spread_value(ev, &out, v, spread_names, argument->span);
            continue;
        }
        Name name = argument->computed ? evaluate_string(ev, argument->computed) : argument->name;
        out.failed |= v.kind == VALUE_ERROR || (argument->computed && !name);
        vec_push(ev->arena, &out.given, (Binding){name, v, argument->span});
    }
    return out;
}

static Span item_span(const Expr *operand, int index, int count) {
    if (!operand) return (Span){0};
    bool items =
        (operand->kind == EXPR_TUPLE || operand->kind == EXPR_LIST) && operand->arguments.count == count;
    return items ? operand->arguments.items[index].value->span : operand->span;
}

Arguments arguments_of(Evaluator *ev, Value value, const Expr *operand) {
    Arguments out = {.by_arrow = true,
                     .given =
                         bindings_with_room(ev->arena, value_is_sequence(value) ? value.list->count : 1)};
    if (!value_is_sequence(value)) {
        out.failed = value.kind == VALUE_ERROR;
        vec_push(ev->arena, &out.given, (Binding){NULL, settle(ev, value), item_span(operand, 0, -1)});
        return out;
    }
    const List *list = value.list;
    bool named = list->names != NULL;
    for (int i = 0; named && i < list->count; i++) named = list->names[i] != NULL;
    for (int i = 0; i < list->count; i++) {
        Value item = settle(ev, list->items[i]);
        out.failed |= item.kind == VALUE_ERROR;
        vec_push(ev->arena, &out.given,
                 (Binding){named ? list->names[i] : NULL, item, item_span(operand, i, list->count)});
    }
    return out;
}

/* ---- one list of parameters ---- */

typedef struct ParameterSlots { /* the argument given for each parameter */
    const Decl *decl;
    const ParameterList *parameters;
    const Binding **given;
    Vec(Value) rest;
    bool travels; /* the list takes the tensors that are run through the block */
} ParameterSlots;

static bool has_rest(const ParameterList *parameters) {
    return parameters->count && parameters->items[parameters->count - 1].rest;
}

static int parameter_index(const ParameterList *parameters, Name name) {
    for (int i = 0; i < parameters->count; i++)
        if (parameters->items[i].name == name && !parameters->items[i].rest) return i;
    return -1;
}

/* The head of the declaration as in the source, for help. */
static const char *signature_text(Evaluator *ev, const Decl *decl) {
    const char *text = decl->source->text + decl->span.begin,
               *brace = memchr(text, '{', decl->span.end - decl->span.begin);
    Span head = decl->span;
    if (brace) head.end = (uint32_t)(brace - decl->source->text);
    Text out = {.arena = ev->arena};
    for (uint32_t i = head.begin; i < head.end && out.length < 200; i++) {
        char c = head.source->text[i];
        bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
        if (!space) text_add_bytes(&out, &c, 1);
        else if (out.length && out.bytes[out.length - 1] != ' ') text_add(&out, " ");
    }
    while (out.length && out.bytes[out.length - 1] == ' ') out.bytes[--out.length] = 0;
    return text_string(&out);
}

static bool unknown_parameter(Evaluator *ev, const ParameterSlots *slots, const Binding *g) {
    Diagnostic *d =
        report(ev, DIAG_unknown_argument, g->span, "`%s` has no parameter `%s`", slots->decl->name, g->name);
    Vec(const char *) names = {0};
    for (int i = 0; i < slots->parameters->count; i++)
        vec_push(ev->arena, &names, slots->parameters->items[i].name);
    const char *near = alias_parameter(g->name, names.items, names.count);
    if (!near) near = nearest_name(g->name, names.items, names.count);
    const char *alias = near ? NULL : alias_help(g->name);
    if (near) report_help(ev, d, "did you mean `%s`?", near);
    else if (alias) report_help(ev, d, "%s", alias);
    else report_help(ev, d, "it is declared as `%s`", signature_text(ev, slots->decl));
    return false;
}

static bool is_tensor(Value v) { return v.kind == VALUE_TENSOR || v.kind == VALUE_WEIGHT; }
static bool holds_tensor(Value v) {
    return is_tensor(v) || (value_is_sequence(v) && v.list->count && is_tensor(v.list->items[0]));
}

/* How a call with tensors in its parentheses is written with an arrow: the tensors before
 * it, the rest as settings. NULL where there are no tensors. */
static const char *as_run(Evaluator *ev, const char *callee, const Bindings *given) {
    Text tensors = {.arena = ev->arena}, settings = {.arena = ev->arena};
    int count = 0;
    for (int i = 0; i < given->count; i++) {
        const Binding *g = &given->items[i];
        bool travels = !g->name && holds_tensor(g->value);
        Text *text = travels ? &tensors : &settings;
        count += travels;
        text_add(text, "%s%s", text->length ? ", " : "", span_text(ev->arena, g->span));
    }
    if (!count) return NULL;
    const char *run =
        arena_printf(ev->arena, count == 1 ? "%s -> %s" : "(%s) -> %s", text_string(&tensors), callee);
    return settings.length ? arena_printf(ev->arena, "%s(%s)", run, text_string(&settings)) : run;
}

/* How to write a call whose last parameter was given number by number, `permute(x, 0, 2,
 * 1)`. NULL where that is not the mistake. */
static const char *as_one_value(Evaluator *ev, const ParameterSlots *slots, const Arguments *arguments) {
    int last = slots->parameters->count - 1, count = arguments->given.count,
        start = arguments->behind ? count - arguments->behind : 0;
    if (slots->parameters->items[last].fallback || start > last) return NULL;
    Text text = {.arena = ev->arena};
    for (int i = start; i < count; i++) {
        const Binding *g = &arguments->given.items[i];
        bool number = !g->name && (g->value.kind == VALUE_INT || g->value.kind == VALUE_DIM);
        if (i >= last && !number) return NULL;
        text_add(&text, "%s%s%s", i > start ? ", " : "", i == last ? "(" : "", span_text(ev->arena, g->span));
    }
    return arena_printf(ev->arena, "%s(%s))", slots->decl->name, text_string(&text));
}

static bool too_many_arguments(Evaluator *ev, const ParameterSlots *slots, const Arguments *arguments,
                               const Binding *g, Span span) {
    int max = slots->parameters->count, given = arguments->given.count;
    const char *name = slots->decl->name;
    if (slots->travels) {
        Diagnostic *d = report(ev, DIAG_arity, span, "`%s` takes %d %s, not %d", name, max,
                               max == 1 ? "value" : "values", given);
        report_operands(ev, d);
        const char *one = as_one_value(ev, slots, arguments),
                   *alias = slots->decl->source->library ? alias_help(name) : NULL;
        /* it means something else there */
        bool elsewhere = alias && arguments->behind && !strstr(alias, arena_printf(ev->arena, "%s(", name));
        if (elsewhere) report_help(ev, d, "%s", alias);
        else if (one)
            report_help(ev, d, "several numbers for `%s` are one value, in parentheses of their own: `%s`",
                        slots->parameters->items[max - 1].name, one);
        else if (arguments->behind)
            report_help(
                ev, d,
                "%d by arrow and %d in the parentheses; if it returns a layer, put its call in parentheses: `x -> (%s(..))`",
                given - arguments->behind, arguments->behind, name);
        else if (max == 1)
            report_help(ev, d, "a tuple counts as several values; `concat` makes one tensor of them");
        return false;
    }
    if (report_unrun(ev, arguments->given.items[0].value)) return false;
    Diagnostic *d = report(ev, DIAG_too_many_arguments, g->span, "`%s` takes at most %d %s", name, max,
                           max == 1 ? "argument" : "arguments");
    report_help(ev, d, "it is declared as `%s`", signature_text(ev, slots->decl));
    return false;
}

Diagnostic *report_tensor_argument(Evaluator *ev, const char *callee, const Bindings *given, Span span) {
    Diagnostic *d = report(ev, DIAG_tensor_argument, span,
                           "`%s` makes a layer; a tensor is run through it by an arrow", callee);
    const char *run = as_run(ev, callee, given);
    if (run) report_help(ev, d, "`%s`", run);
    return d;
}

/* `concat(xs)` with an empty xs, whose value alone does not show a list of tensors. */
static bool report_empty_run(Evaluator *ev, const Decl *decl, const Bindings *given, Span span) {
    if (!given->count || given->items[0].name || decl->lists.count < 2 || !has_rest(&decl->lists.items[1]))
        return false;
    Value first = given->items[0].value;
    if (!value_is_sequence(first) || first.list->count) return false;
    report(ev, DIAG_arity, span, "the list is empty: nothing runs through `%s`", decl->name);
    return true;
}

static bool begins_with_tensor(const Arguments *arguments) {
    return arguments->given.count && !arguments->given.items[0].name &&
           holds_tensor(arguments->given.items[0].value);
}

bool report_unrun(Evaluator *ev, Value v) {
    if (v.kind != VALUE_LAYER || !v.layer->given || !v.layer->given->count) return false;
    const Binding *first = &v.layer->given->items[0];
    if (first->name) return false;
    if (report_unrun(ev, first->value)) return true; /* the first of several, `relu6(conv(x, 8))` */
    if (v.layer->block && report_empty_run(ev, v.layer->block->decl, v.layer->given, v.layer->made))
        return true;
    if (!holds_tensor(first->value)) return false;
    report_tensor_argument(ev, layer_callee(v.layer), v.layer->given, v.layer->made);
    return true;
}

static bool fill_slots(Evaluator *ev, ParameterSlots *slots, const Arguments *arguments, Span span) {
    const ParameterList *parameters = slots->parameters;
    int position = 0;
    bool rest = has_rest(parameters);
    int fixed = parameters->count - rest;
    for (int i = 0; i < arguments->given.count; i++) {
        const Binding *g = &arguments->given.items[i];
        int index = g->name ? parameter_index(parameters, g->name) : position++;
        if (index < 0) return unknown_parameter(ev, slots, g);
        if (index >= fixed && !g->name) {
            if (!rest) return too_many_arguments(ev, slots, arguments, g, span);
            vec_push(ev->arena, &slots->rest, g->value);
            continue;
        }
        if (slots->given[index]) {
            if (!slots->travels && begins_with_tensor(arguments))
                report_tensor_argument(ev, slots->decl->name, &arguments->given, span);
            else if (slots->travels || !report_empty_run(ev, slots->decl, &arguments->given, span))
                report(ev, DIAG_argument_twice, g->span, "`%s` is given twice",
                       parameters->items[index].name);
            return false;
        }
        slots->given[index] = g;
    }
    return true;
}

static int fewest_arguments(const ParameterList *parameters) {
    int count = 0;
    for (int i = 0; i < parameters->count; i++)
        count += !parameters->items[i].fallback && !parameters->items[i].rest;
    return count;
}

static bool missing_argument(Evaluator *ev, const ParameterSlots *slots, const Parameter *parameter,
                             const Arguments *arguments, Span span) {
    const char *name = slots->decl->name;
    if (slots->travels) {
        const int fewest = fewest_arguments(slots->parameters);
        Diagnostic *d = report(ev, DIAG_arity, span, "`%s` takes %s%d %s, not %d", name,
                               fewest < slots->parameters->count ? "at least " : "", fewest,
                               fewest == 1 ? "value" : "values", arguments->given.count);
        report_operands(ev, d);
        report_help(ev, d, "it is declared as `%s`", signature_text(ev, slots->decl));
        return false;
    }
    Diagnostic *d =
        report(ev, DIAG_missing_argument, span, "`%s` needs the argument `%s`", name, parameter->name);
    report_help(ev, d, "it is declared as `%s`", signature_text(ev, slots->decl));
    return false;
}

/* A tensor as a setting is nearly always a call that should have been an arrow. */
static bool refuse_run_arguments(Evaluator *ev, const ParameterSlots *slots, const Arguments *arguments,
                                 Span span) {
    if (slots->travels || slots->decl->lists.count < 2 || slots->parameters->count ||
        !begins_with_tensor(arguments))
        return false;
    report_tensor_argument(ev, slots->decl->name, &arguments->given, span);
    return true;
}

static bool bind_one(Evaluator *ev, Frame *frame, const ParameterSlots *slots, int index,
                     const Arguments *arguments, Span span) {
    const Parameter *parameter = &slots->parameters->items[index];
    const Binding *given = slots->given[index];
    if (parameter->rest) {
        Value rest = value_list(ev->arena, VALUE_LIST, slots->rest.items, NULL, slots->rest.count);
        frame_bind(ev, frame, parameter->name, rest, span);
        return true;
    }
    if (!given && !parameter->fallback) return missing_argument(ev, slots, parameter, arguments, span);
    Value v = given ? given->value : evaluate(ev, parameter->fallback);
    frame_bind(ev, frame, parameter->name, v, given ? given->span : parameter->span);
    return v.kind != VALUE_ERROR;
}

bool bind_parameters(Evaluator *ev, Frame *frame, const Definition *block, int list,
                     const Arguments *arguments, Span span) {
    Decl *decl = block->decl;
    ParameterSlots slots = {
        .decl = decl, .parameters = &decl->lists.items[list], .travels = list == decl->lists.count - 1};
    slots.given = NEW_ARRAY(ev->arena, const Binding *, slots.parameters->count);
    if (arguments->failed || refuse_run_arguments(ev, &slots, arguments, span) ||
        !fill_slots(ev, &slots, arguments, span))
        return false;
    for (int pass = 0; pass < 2; pass++) /* given arguments first, so that defaults may refer to them */
        for (int i = 0; i < slots.parameters->count; i++) {
            bool now = (slots.given[i] || slots.parameters->items[i].rest) == (pass == 0);
            if (now && !bind_one(ev, frame, &slots, i, arguments, span)) return false;
        }
    return true;
}

static bool is_given(const Arguments *arguments, Name name) {
    for (int i = 0; i < arguments->given.count; i++)
        if (arguments->given.items[i].name == name) return true;
    return false;
}

static int count_positional(const Arguments *arguments) {
    int count = 0;
    for (int i = 0; i < arguments->given.count; i++) count += !arguments->given.items[i].name;
    return count;
}

/* Counts parameters without a default and without an argument of their name. */
static int count_required(const ParameterList *parameters, const Arguments *arguments) {
    int count = 0;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = &parameters->items[i];
        count += !parameter->rest && !parameter->fallback && !is_given(arguments, parameter->name);
    }
    return count;
}

bool lacks_required(const Definition *block, const Arguments *arguments) {
    return !count_positional(arguments) && count_required(&block->decl->lists.items[0], arguments) > 0;
}

/* ---- f(x, ..) of a block with two lists ---- */

/* How many positional arguments are run through the block: the tensors at the beginning,
 * and as many as its last list requires. */
static int count_through(const ParameterList *runs, const Arguments *arguments) {
    int tensors = 0, required = count_required(runs, arguments);
    for (int i = 0; i < arguments->given.count &&
                    (arguments->given.items[i].name || is_tensor(arguments->given.items[i].value));
         i++)
        tensors += !arguments->given.items[i].name;
    if (!has_rest(runs) && tensors > runs->count) tensors = runs->count;
    return tensors > required ? tensors : required;
}

static bool arguments_fit(const ParameterList *parameters, const Arguments *arguments) {
    int positional = count_positional(arguments);
    return positional >= count_required(parameters, arguments) &&
           (has_rest(parameters) || arguments->given.count <= parameters->count);
}

static const Binding *first_positional(const Arguments *arguments) {
    for (int i = 0; i < arguments->given.count; i++)
        if (!arguments->given.items[i].name) return &arguments->given.items[i];
    return NULL;
}

bool split_run(Evaluator *ev, const Definition *block, const Arguments *arguments, Arguments *through,
               Arguments *settings) {
    const Binding *first = first_positional(arguments);
    if (arguments->failed || !first || !holds_tensor(first->value)) return false;
    const ParameterList *makes = &block->decl->lists.items[0], *runs = &block->decl->lists.items[1];
    bool list = value_is_sequence(first->value); /* as after an arrow: its items are the values */
    int travelling = list ? 0 : count_through(runs, arguments), position = 0;
    *through = list ? arguments_of(ev, first->value, NULL) : (Arguments){0};
    *settings = (Arguments){0};
    for (int i = 0; i < arguments->given.count; i++) {
        const Binding *g = &arguments->given.items[i];
        bool runs_through = g->name
                                ? parameter_index(makes, g->name) < 0 && parameter_index(runs, g->name) >= 0
                                : position < travelling;
        position += !g->name;
        if (!list || g != first) vec_push(ev->arena, runs_through ? &through->given : &settings->given, *g);
    }
    bool runnable =
        list ? has_rest(runs) || through->given.count <= runs->count : arguments_fit(runs, through);
    return runnable && arguments_fit(makes, settings);
}
