/* Names of layers and weights. A layer gets its path once, where it is first bound or
 * run: a label; else the name it is bound to, or the parameter that takes it; else, in
 * braces, its position; else its callee's name, then `_2`, `_3`. With the label `_` it
 * has no name of its own. */
#include "elaborate/train.h"

const char *path_join(Arena *arena, const char *path, const char *name) {
    return *path ? arena_printf(arena, "%s.%s", path, name) : arena_strndup(arena, name, strlen(name));
}

bool path_is_within(const char *path, const char *layer) {
    size_t length = strlen(layer);
    return !strncmp(path, layer, length) && (path[length] == '.' || !path[length]);
}

void claim_new(Evaluator *ev, Frame *frame, Name name, Span span) {
    NameClaim *claim = NEW(ev->arena, NameClaim);
    *claim = (NameClaim){span, 2};
    if (!frame->body->claims) frame->body->claims = map_new(ev->arena);
    map_set(frame->body->claims, name, claim);
}

static NameClaim *claim_of(const Evaluator *ev, Name name) {
    const Map *claims = ev->frame->body->claims;
    return claims ? map_get(claims, name) : NULL;
}

/* NULL where the name was free in this run of the body, and is now taken; else its
 * owner. */
static const NameClaim *take_path_name(Evaluator *ev, Name name, Span span) {
    const NameClaim *before = claim_of(ev, name);
    if (!before) claim_new(ev, ev->frame, name, span);
    return before;
}

static Layer *find_part(const Layer *layer, const char *path) {
    return layer->parts ? map_get(layer->parts, path) : NULL; /* paths are interned */
}

enum { MAX_SUGGESTED = 100 };

static void add_part(Evaluator *ev, Layer *parent, Layer *part, Name name) {
    if (!parent->parts) parent->parts = map_new(ev->arena);
    if (map_get(parent->parts, part->path)) return;
    map_set(parent->parts, part->path, part);
    if (parent->part_names.count < MAX_SUGGESTED) vec_push(ev->arena, &parent->part_names, name);
}

Value layer_part(Evaluator *ev, const Layer *layer, const char *name, Span span) {
    Name path = layer->path ? intern(ev->names, path_join(ev->arena, layer->path, name)) : NULL;
    Value early = path && !find_part(layer, path) && !map_get(ev->weights, path)
                      ? train_part(ev, (Layer *)layer, path)
                      : value_none;
    if (early.kind != VALUE_NONE) return early;
    if (!layer->path || (!layer->parts && !layer->has_run)) {
        if (report_unrun(ev, layer_value((Layer *)layer))) return value_error;
        Diagnostic *d =
            report(ev, DIAG_no_such_part, span, "the parts of this layer are not known before it has run");
        report_help(ev, d, "run the layer first: `x -> %s`", layer->path ? layer->path : layer_callee(layer));
        return value_error;
    }
    Layer *part = find_part(layer, path);
    if (part) return layer_value(part);
    const Weight *weight = map_get(ev->weights, path);
    if (weight) return value_node(weight_value(ev, weight));
    Diagnostic *d = report(ev, DIAG_no_such_part, span, "`%s` has no part `%s`", layer->path, name);
    report_suggestion(ev, d, name, layer->part_names.items, layer->part_names.count);
    return value_error;
}

static void set_path(Evaluator *ev, Layer *layer, Layer *parent, Name name) {
    layer->parent = parent;
    layer->path = intern(ev->names, path_join(ev->arena, parent->path, name));
    layer->identity = intern(ev->names, arena_printf(ev->arena, "%s/%s", parent->identity, name));
    add_part(ev, parent, layer, name);
    train_remember_layer(ev, layer);
    if (layer->kind == LAYER_BRACES) return;
    for (int i = 0; i < layer->bound.count; i++) {
        Binding *b = &layer->bound.items[i];
        if (b->name) b->value = name_argument(ev, layer, b->value, b->name, b->span);
    }
}

void name_layer(Evaluator *ev, Layer *layer, Name name, Span span) {
    if (layer->path) return;
    const NameClaim *before = take_path_name(ev, name, span);
    if (before) {
        layer->twice = true;
        layer->first = before->span;
        layer->made = span;
    }
    set_path(ev, layer, ev->frame->layer, name);
}

void name_layer_bare(Evaluator *ev, Layer *layer, Span span) {
    if (layer->path) {
        report(ev, DIAG_named_layer, span, "`_:` is for a new layer, and this one has the name `%s`",
               layer->path);
        return;
    }
    layer->bare = true;
    layer->parent = ev->frame->layer;
    layer->path = layer->parent->path;
    layer->identity = layer->parent->identity;
    if (layer->kind == LAYER_BRACES) return;
    for (int i = 0; i < layer->bound.count; i++) {
        Binding *b = &layer->bound.items[i];
        if (b->name) b->value = name_value(ev, b->value, b->name, b->span);
    }
}

void name_layer_by_position(Evaluator *ev, Layer *layer, int position, Span span) {
    name_layer(ev, layer, intern(ev->names, arena_printf(ev->arena, "%d", position)), span);
}

Name free_name(Evaluator *ev, const char *base, Span span) {
    Name name = intern(ev->names, base);
    NameClaim *first = claim_of(ev, name);
    while (first && claim_of(ev, name))
        name = intern(ev->names, arena_printf(ev->arena, "%s_%lld", base, (long long)first->next++));
    claim_new(ev, ev->frame, name, span);
    return name;
}

void name_layer_by_default(Evaluator *ev, Layer *layer) {
    const char *base = layer->kind == LAYER_BRACES ? "braces" : layer_callee(layer);
    set_path(ev, layer, ev->frame->layer, free_name(ev, base, layer->made));
}

static Name item_name(Evaluator *ev, const List *list, Name name, int index) {
    if (list->names && list->names[index])
        return intern(ev->names, arena_printf(ev->arena, "%s.%s", name, list->names[index]));
    return intern(ev->names, arena_printf(ev->arena, "%s.%d", name, index));
}

static bool holds_unnamed(const List *list) {
    for (int i = 0; i < list->count; i++) {
        Value v = list->items[i];
        if ((v.kind == VALUE_LAYER && !v.layer->path) || (v.kind == VALUE_WEIGHT && !v.weight->node))
            return true;
        if (value_is_sequence(v) && holds_unnamed(v.list)) return true;
    }
    return false;
}

Value name_value(Evaluator *ev, Value value, Name name, Span span) {
    if (value.kind == VALUE_LAYER) name_layer(ev, value.layer, name, span);
    if (value.kind == VALUE_WEIGHT) {
        if (!value.weight->node) {
            const NameClaim *before = take_path_name(ev, name, span);
            if (before) {
                Diagnostic *d = report(ev, DIAG_path_twice, span, "two weights have the path `%s`",
                                       path_join(ev->arena, ev->frame->layer->path, name));
                report_note(ev, d, before->span, "the first one is here");
                return value_error;
            }
            weight_place(ev, value.weight, ev->frame->layer, name, span);
        }
        return value.weight->node ? value : value_error;
    }
    if (value_is_sequence(value) && holds_unnamed(value.list))
        for (int i = 0; i < value.list->count; i++)
            name_value(ev, value.list->items[i], item_name(ev, value.list, name, i), span);
    return value;
}

Value name_argument(Evaluator *ev, Layer *taker, Value value, Name parameter, Span span) {
    if (value.kind == VALUE_LAYER && !value.layer->path) set_path(ev, value.layer, taker, parameter);
    if (value.kind == VALUE_WEIGHT) {
        if (!value.weight->node) weight_place(ev, value.weight, taker, parameter, span);
        return value.weight->node ? value : value_error;
    }
    if (value_is_sequence(value) && holds_unnamed(value.list))
        for (int i = 0; i < value.list->count; i++)
            name_argument(ev, taker, value.list->items[i], item_name(ev, value.list, parameter, i), span);
    return value;
}
