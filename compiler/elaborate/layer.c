/* Layers: a call makes one, an arrow runs it. */
#include "elaborate/train.h"

enum { DEEPEST_CALL = 1000 };

Layer *layer_new(Evaluator *ev, LayerKind kind, Span span) {
    Layer *layer = NEW(ev->arena, Layer);
    layer->kind = kind;
    layer->made = span;
    return layer;
}

Value layer_value(Layer *layer) { return layer ? (Value){.kind = VALUE_LAYER, .layer = layer} : value_error; }

const char *layer_callee(const Layer *layer) {
    switch (layer->kind) {
    case LAYER_BLOCK: return layer->block->decl->name;
    case LAYER_PRIMITIVE: return layer->builtin->name;
    case LAYER_BRACES: return "{...}";
    case LAYER_ROOT: return "";
    }
    return "";
}

static bool is_function(const Definition *block) { return block->decl->lists.count < 2; }

/* ---- frames ---- */

Frame *frame_push(Evaluator *ev, const Unit *unit, Layer *layer, Span call) {
    Frame *frame = NEW(ev->arena, Frame);
    bool helper = ev->frame && call.source && call.source->library && layer->kind == LAYER_BLOCK &&
                  is_function(layer->block);
    const char *origin = helper ? ev->frame->origin : layer->path;
    *frame = (Frame){.caller = ev->frame,
                     .unit = unit,
                     .layer = layer,
                     .call = call,
                     .origin = origin,
                     .result = value_none};
    if (ev->frame) frame->frozen = ev->frame->frozen, frame->stopped = ev->frame->stopped;
    frame->body = frame;
    ev->frame = frame;
    ev->depth++;
    return frame;
}

void frame_pop(Evaluator *ev) {
    ev->frame = ev->frame->caller;
    ev->depth--;
}

/* ---- making ---- */

static Value make_layer(Evaluator *ev, Definition *block, const Arguments *arguments, Span span) {
    Layer *layer = layer_new(ev, LAYER_BLOCK, span);
    layer->block = block;
    layer->given = arena_copy(ev->arena, &arguments->given, sizeof arguments->given);
    layer->in_phase = train_in_phase(ev);
    if (arguments->failed) return value_error;
    if (is_function(block)) { /* some of its arguments; the others come by arrow, before positional ones */
        bindings_add(ev, &layer->bound, &arguments->given);
        return layer_value(layer);
    }
    Frame *caller = ev->frame, *frame = frame_push(ev, block->unit, caller->layer, span);
    frame->body = caller->body;
    bool bound = bind_parameters(ev, frame, block, 0, arguments, span);
    layer->bound = frame->names;
    frame_pop(ev);
    return bound ? layer_value(layer) : value_error;
}

static Value partial_primitive(Evaluator *ev, const Builtin *builtin, const Arguments *arguments, Span span) {
    if (!primitive_knows_names(ev, builtin, arguments)) return value_error;
    Layer *layer = layer_new(ev, LAYER_PRIMITIVE, span);
    layer->builtin = builtin;
    bindings_add(ev, &layer->bound, &arguments->given);
    return arguments->failed ? value_error : layer_value(layer);
}

Layer *as_layer(Evaluator *ev, Value v, Span span) {
    Value made = v;
    if (v.kind == VALUE_BLOCK) made = make_layer(ev, v.block, &(Arguments){0}, span);
    if (v.kind == VALUE_PRIMITIVE) made = partial_primitive(ev, v.builtin, &(Arguments){0}, span);
    if (made.kind == VALUE_LAYER) return made.layer;
    if (made.kind == VALUE_ERROR) return NULL;
    Diagnostic *d =
        report(ev, DIAG_not_a_layer, span, "a layer must follow an arrow; this is %s", value_kind_name(v));
    if (v.kind == VALUE_INT || v.kind == VALUE_REAL)
        report_help(ev, d, "a block with one list of parameters runs as soon as they are all given");
    bool layers = v.kind == VALUE_LIST && v.list->count &&
                  (v.list->items[0].kind == VALUE_LAYER || v.list->items[0].kind == VALUE_BLOCK);
    if (layers)
        report_help(
            ev, d,
            "those of a list run in a loop, `for f in layers { x = x -> f }`; in braces they are one layer, `{ a -> b }`");
    else if (value_is_sequence(v)) report_help(ev, d, "several are run one by one: `(x -> a, x -> b)`");
    return NULL;
}

/* ---- running ---- */

/* A tuple's names bind parameters only where all of them are parameters; else they are
 * only names. */
static Arguments fit_names(Evaluator *ev, const Definition *block, const Arguments *inputs) {
    Arguments fitted = {.failed = inputs->failed};
    const ParameterList *parameters = &block->decl->lists.items[block->decl->lists.count - 1];
    bool all = true;
    bindings_add(ev, &fitted.given, &inputs->given);
    for (int i = 0; inputs->by_arrow && i < inputs->given.count; i++) {
        bool found = false;
        for (int k = 0; k < parameters->count; k++)
            found |= parameters->items[k].name == inputs->given.items[i].name;
        all &= found;
    }
    for (int i = 0; !all && i < fitted.given.count; i++) fitted.given.items[i].name = NULL;
    return fitted;
}

/* Names a layer among the inputs like an argument. */
static void name_inputs(Evaluator *ev, Frame *frame) {
    for (int i = 0; i < frame->names.count; i++) {
        Binding *b = &frame->names.items[i];
        if (b->value.kind == VALUE_LAYER || value_is_sequence(b->value))
            name_argument(ev, frame->layer, b->value, b->name, b->span);
    }
}

/* Reserves the names of parameters that hold layers under this layer. */
static void claim_arguments(Evaluator *ev, Frame *frame) {
    for (int i = 0; i < frame->names.count; i++) {
        const Binding *b = &frame->names.items[i];
        bool owned = b->value.kind == VALUE_LAYER && b->value.layer->parent == frame->layer;
        if (owned) claim_new(ev, frame, b->name, b->span);
    }
}

static bool check_types(Evaluator *ev, const Definition *block) {
    bool fits = true;
    for (int list = 0; list < block->decl->lists.count; list++) {
        const ParameterList *parameters = &block->decl->lists.items[list];
        for (int i = 0; i < parameters->count; i++) {
            const Parameter *parameter = &parameters->items[i];
            if (!parameter->type) continue;
            Value *v = frame_find(ev, ev->frame, parameter->name);
            fits &= check_type(ev, parameter->type, parameter->name, *v, ev->frame->call);
        }
    }
    return fits;
}

static Value run_block(Evaluator *ev, Layer *layer, const Arguments *inputs, Span span) {
    Definition *block = layer->block;
    Frame *frame = ev->frame;
    Arguments all = fit_names(ev, block, inputs);
    bindings_add(ev, is_function(block) ? &all.given : &frame->names, &layer->bound);
    if (is_function(block)) all.behind = layer->bound.count;
    if (!bind_parameters(ev, frame, block, block->decl->lists.count - 1, &all, span) ||
        !check_types(ev, block))
        return value_error;
    name_inputs(ev, frame);
    if (!layer->bare) claim_arguments(ev, frame);
    for (int i = 0; i < block->decl->where.count; i++)
        require_condition(ev, block->decl->where.items[i], NULL, DIAG_where);
    execute_all(ev, &block->decl->body);
    if (!frame->returned && !ev->stopped) {
        Diagnostic *d = report(ev, DIAG_no_return, span, "`%s` ends without `return`", block->decl->name);
        report_note(ev, d, block->decl->name_span, "it is declared here");
        return value_error;
    }
    return ev->stopped ? value_error : frame->result;
}

static Value run_braces(Evaluator *ev, Layer *layer, const Arguments *inputs) {
    Frame *frame = ev->frame;
    frame->positional = true;
    bindings_add(ev, &frame->names, &layer->bound);
    Vec(Value) items = {0};
    for (int i = 0; i < inputs->given.count; i++) vec_push(ev->arena, &items, inputs->given.items[i].value);
    Value value = items.count == 1 ? items.items[0]
                                   : value_list(ev->arena, VALUE_TUPLE, items.items, NULL, items.count);
    return run_stages(ev, &layer->braces->stages, value, NULL);
}

static Value run_primitive(Evaluator *ev, Layer *layer, const Arguments *inputs, Span span) {
    Arguments all = {.failed = inputs->failed};
    bindings_add(ev, &all.given, &inputs->given);
    for (int i = 0; i < all.given.count; i++) all.given.items[i].name = NULL;
    bindings_add(ev, &all.given, &layer->bound);
    return primitive_run(ev, layer->builtin, &all, span);
}

static Value run_layer_kind(Evaluator *ev, Layer *layer, const Arguments *inputs, Span span) {
    switch (layer->kind) {
    case LAYER_BLOCK: return run_block(ev, layer, inputs, span);
    case LAYER_BRACES: return run_braces(ev, layer, inputs);
    case LAYER_PRIMITIVE: return run_primitive(ev, layer, inputs, span);
    case LAYER_ROOT: break;
    }
    return value_error;
}

/* The file whose names the body of the layer sees. */
static const Unit *layer_unit(const Evaluator *ev, const Layer *layer) {
    if (layer->kind == LAYER_BLOCK) return layer->block->unit;
    return layer->kind == LAYER_BRACES ? layer->unit : ev->frame->unit;
}

Value run_layer(Evaluator *ev, Layer *layer, const Arguments *inputs, const Expr *operand, Span span) {
    ev->rounds += 3; /* a call costs more than an iteration of a loop */
    if (inputs->failed || !spend(ev, span, 0)) return value_error;
    if (ev->depth >= DEEPEST_CALL)
        return stop_evaluation(
            ev, DIAG_too_deep, span,
            "`%s` is called %d calls deep, which is the limit: does a block call itself without end?",
            layer_callee(layer), ev->depth);
    if (layer->kind != LAYER_PRIMITIVE && !layer->path) name_layer_by_default(ev, layer);
    bool own = layer->kind != LAYER_PRIMITIVE && !layer->bare;
    Frame *caller = ev->frame,
          *frame = frame_push(ev, layer_unit(ev, layer), own ? layer : caller->layer, span);
    if (!own && !train_is_stage(ev, layer)) frame->body = caller->body;
    frame->operand = operand;
    frame->inputs = &inputs->given;
    frame->running = layer;
    frame->round = train_round(ev, layer);
    frame->frozen = frame->frozen || train_is_frozen(ev, layer);
    frame->stopped = frame->stopped || layer->stopped;
    int entry = own ? entry_begin(ev, layer, span) : -1;
    RunMark mark = train_run_begin(ev, layer);
    layer->has_run = true;
    Value result = run_layer_kind(ev, layer, inputs, span);
    train_run_end(ev, layer, mark);
    if (own) entry_end(ev, entry, result);
    frame_pop(ev);
    provenance_remember(ev, result, span, &inputs->given);
    return result;
}

static Value run_given(Evaluator *ev, Layer *layer, const Arguments *arguments, Span span) {
    for (int i = 0; i < arguments->given.count; i++)
        arguments->given.items[i].value = settle(ev, arguments->given.items[i].value);
    return run_layer(ev, layer, arguments, NULL, span);
}

static Value run_block_function(Evaluator *ev, Definition *block, const Arguments *arguments, Span span) {
    Layer *layer = layer_new(ev, LAYER_BLOCK, span);
    layer->block = block;
    return run_given(ev, layer, arguments, span);
}

static Value call_primitive(Evaluator *ev, const Builtin *builtin, const Arguments *arguments, Span span) {
    if (train_stops(ev, builtin, arguments)) return train_stopped(ev, arguments, span);
    if (!primitive_is_complete(builtin, arguments)) return partial_primitive(ev, builtin, arguments, span);
    Value result = primitive_run(ev, builtin, arguments, span);
    provenance_remember(ev, result, span, &arguments->given);
    return result;
}

/* `softmax(x, axis = 1)` is `x -> softmax(axis = 1)`, for blocks without weights:
 * weight.c reports those with weights. */
static Value call_block(Evaluator *ev, Definition *block, const Arguments *arguments, Span span) {
    Arguments through, settings;
    if (is_function(block))
        return lacks_required(block, arguments) ? make_layer(ev, block, arguments, span)
                                                : run_block_function(ev, block, arguments, span);
    bool runs = split_run(ev, block, arguments, &through, &settings);
    Value made = make_layer(ev, block, runs ? &settings : arguments, span);
    if (!runs || made.kind != VALUE_LAYER) return made;
    made.layer->given = arena_copy(ev->arena, &arguments->given, sizeof arguments->given);
    made.layer->called = true;
    return run_given(ev, made.layer, &through, span);
}

Value call_value(Evaluator *ev, Value callee, const Arguments *arguments, Span span, Span callee_span) {
    switch (callee.kind) {
    case VALUE_BLOCK: return call_block(ev, callee.block, arguments, span);
    case VALUE_LAYER: return run_given(ev, callee.layer, arguments, span);
    case VALUE_PRIMITIVE: return call_primitive(ev, callee.builtin, arguments, span);
    case VALUE_ERROR: return value_error;
    default: break;
    }
    Diagnostic *d =
        report(ev, DIAG_not_callable, callee_span, "%s cannot be called", value_kind_name(callee));
    if (callee.kind == VALUE_MODULE)
        report_help(ev, d, "name a block of that file: `%s.name(...)`", callee.module->name);
    return value_error;
}

Value call_behind_arrow(Evaluator *ev, Value callee, const Arguments *arguments, Span span,
                        Span callee_span) {
    if (callee.kind == VALUE_BLOCK) return make_layer(ev, callee.block, arguments, span);
    if (callee.kind == VALUE_PRIMITIVE && train_stops(ev, callee.builtin, arguments))
        return train_stopped(ev, arguments, span);
    if (callee.kind == VALUE_PRIMITIVE) return partial_primitive(ev, callee.builtin, arguments, span);
    return call_value(ev, callee, arguments, span, callee_span);
}
