/* Parameters and state: a path, a shape, one place for all who name the same path. */
#include "elaborate/train.h"

static bool shape_is_known(Evaluator *ev, Shape shape, Span span) {
    for (int i = 0; i < shape.rank; i++) {
        int64_t size;
        if (!dim_is_const(shape.dims[i], &size)) {
            Diagnostic *d = report(ev, DIAG_weight_size, span,
                                   "a weight's shape must be known at compile time; here axis %d is %s", i,
                                   dim_string(ev->arena, shape.dims[i]));
            report_operands(ev, d);
            report_help(ev, d, "fix the size with -D, or in the model's signature");
            return false;
        }
        if (size > 0) continue;
        report(ev, DIAG_weight_size, span, "a weight's sizes must be at least 1; here axis %d is %lld", i,
               (long long)size);
        return false;
    }
    return true;
}

Value weight_new(Evaluator *ev, bool state, Shape shape, double init, double within, Span span) {
    if (!shape_is_known(ev, shape, span)) return value_error;
    Weight *weight = NEW(ev->arena, Weight);
    *weight = (Weight){.shape = shape, .init = init, .within = within, .state = state, .span = span};
    return (Value){.kind = VALUE_WEIGHT, .weight = weight};
}

/* A layer above that has the same path as another of its run. */
static const Layer *twice_above(const Layer *layer) {
    for (; layer; layer = layer->parent)
        if (layer->twice) return layer;
    return NULL;
}

static void report_twice(Evaluator *ev, const Layer *layer) {
    Diagnostic *d =
        report(ev, DIAG_path_twice, layer->made, "two layers with weights have the path `%s`", layer->path);
    report_note(ev, d, layer->first, "the first one is here");
    report_help(
        ev, d,
        "give each its own label, such as `\"name{i}\": ...` in a loop; or bind one layer to a name and run "
        "it twice");
}

/* A layer above that was called with tensors, which only layers without weights may
 * be. */
static const Layer *called_above(const Layer *layer) {
    while (layer && !layer->called) layer = layer->parent;
    return layer;
}

static void report_called(Evaluator *ev, const Layer *layer, const Weight *weight, Name name) {
    Diagnostic *d = report_tensor_argument(ev, layer_callee(layer), layer->given, layer->made);
    if (weight->span.source && !weight->span.source->library)
        report_note(ev, d, weight->span, "its weight `%s` is made here", name);
}

static bool weights_agree(Evaluator *ev, const Weight *known, const Weight *weight) {
    Diagnostic *d;
    if (strcmp(known->identity, weight->identity) || known->state != weight->state)
        d = report(ev, DIAG_path_twice, weight->span, "two weights have the path `%s`", weight->path);
    else if (!shape_equal(known->shape, weight->shape)) {
        d = report(ev, DIAG_weight_shape, weight->span, "`%s` is %s here, but %s where it was made first",
                   weight->path, shape_string(ev->arena, weight->shape),
                   shape_string(ev->arena, known->shape));
        report_help(ev, d, "a layer that is run with different sizes must label what has weights");
    } else return true;
    report_note(ev, d, user_span(ev, known->span), "the first one is here");
    return false;
}

static Node *source_node(Evaluator *ev, const Weight *weight, Span span) {
    DimList dims = {weight->shape.rank, weight->shape.dims};
    if (weight->state) {
        state_attributes attributes = {.path = weight->path,
                                       .version = 0,
                                       .type = weight->shape.type,
                                       .dims = dims,
                                       .init = weight->init};
        return make_node(ev, OP_state, NULL, 0, &attributes, span);
    }
    parameter_attributes attributes = {
        .path = weight->path, .type = weight->shape.type, .dims = dims, .init = weight->init};
    return make_node(ev, OP_parameter, NULL, 0, &attributes, span);
}

Node *weight_value(Evaluator *ev, const Weight *weight) {
    Node *value = weight->node ? weight->place->value : NULL;
    return value && ev->frame->stopped ? make_node(ev, OP_stop, &value, 1, NULL, value->origin->span) : value;
}

Node *weight_place(Evaluator *ev, Weight *weight, Layer *owner, Name name, Span span) {
    const Layer *twice = twice_above(owner), *called = called_above(owner);
    if (called) {
        report_called(ev, called, weight, name);
        return NULL;
    }
    if (twice) {
        report_twice(ev, twice);
        return NULL;
    }
    if (!name) name = free_name(ev, weight->state ? "state" : "param", weight->span);
    /* a train block's own: of no model */
    const char *below = ev->train && weight->state && owner == ev->root ? "train" : owner->path;
    weight->path = intern(ev->names, path_join(ev->arena, below, name));
    weight->identity = intern(ev->names, arena_printf(ev->arena, "%s/%s", owner->identity, name));
    weight->span = user_span(ev, span);
    Weight *known = map_get(ev->weights, weight->path);
    weight->place = known ? known : weight;
    if (known) {
        train_meet(ev, known);
        if (ev->train) train_begin_given(ev, known, weight->given);
        return weight->node = weights_agree(ev, known, weight) ? known->node : NULL;
    }
    int kind = !weight->state         ? CAI_STATE_PARAMETER
               : owner->kept          ? CAI_STATE_OPTIMIZER
               : below != owner->path ? CAI_STATE_TRAINING
                                      : CAI_STATE_LAYER;
    weight->node = weight->value = ev->train ? train_state(ev, weight, kind) : source_node(ev, weight, span);
    if (!weight->node) return NULL;
    map_set(ev->weights, weight->path, weight);
    WeightInfo info = {.path = weight->path,
                       .shape = weight->shape,
                       .init = weight->init,
                       .state = weight->state,
                       .span = weight->span};
    vec_push(ev->arena, &ev->model->weights, info);
    count_weight(ev, weight);
    train_meet(ev, weight);
    return weight->node;
}
