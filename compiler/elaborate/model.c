/* One model, from its declaration to its graph. */
#include "elaborate/evaluator.h"

void evaluator_begin(Evaluator *ev, Library *library, Definition *definition) {
    Arena *arena = library->arena;
    char here;
    *ev = (Evaluator){.library = library, .arena = arena, .names = library->names, .diag = library->diag};
    ev->entry = -1;
    ev->stack = &here;
    ev->dims = dims_new(arena);
    ev->graph = graph_new(arena, library->names, ev->dims);
    ev->graph->model = definition->decl->name;
    ev->graph->comment = definition->decl->comment;
    ev->weights = map_new(arena);
    ev->constants = map_new(arena);
    ev->made = map_new(arena);
    ev->model = NEW(arena, Model);
    ev->model->decl = definition->decl;
    ev->model->parameters = ev->model->macs = dim_const(ev->dims, 0);
    ev->root = layer_new(ev, LAYER_ROOT, definition->decl->name_span);
    ev->root->path = ev->root->identity = "";
    frame_push(ev, definition->unit, ev->root, (Span){0});
}

Model *elaborate_model(Library *library, int index) {
    Definition *definition = library->models.items[index];
    const Decl *decl = definition->decl;
    Evaluator ev;
    evaluator_begin(&ev, library, definition);
    if (library->broken) return ev.model;
    bind_settings(&ev, decl);
    bind_inputs(&ev, decl);
    execute_all(&ev, &decl->body);
    bind_outputs(&ev, decl, ev.frame->result);
    if (ev.errors || ev.stopped) return ev.model;
    summarize(&ev);
    ev.model->graph = ev.graph;
    check_expectations(&ev); /* a network that misses its figures can still be inspected */
    return ev.model;
}

/* ---- the variants for which a model states figures ---- */

void library_check_variants(Library *library, Model *const *models, int count) {
    const ElaborateOptions options = library->options;
    for (int m = 0; m < count; m++) {
        for (int i = 0; i < models[m]->variants.count; i++) {
            const Variant *variant = &models[m]->variants.items[i];
            library->options.defines = variant->defines;
            library->options.define_count = variant->count;
            elaborate_model(library, m);
        }
    }
    library->options = options;
}

/* ---- weights of all models ---- */

static bool same_shape(const WeightInfo *a, const WeightInfo *b) {
    bool same = a->shape.type == b->shape.type && a->shape.rank == b->shape.rank && a->state == b->state;
    for (int i = 0; same && i < a->shape.rank; i++)
        same = dim_const_value(a->shape.dims[i]) == dim_const_value(b->shape.dims[i]);
    return same;
}

/* A mistake in a layer is reported once, for all its weights and all models that run
 * it. */
static bool is_reported(const Span *reported, int count, Span span) {
    for (int i = 0; i < count; i++)
        if (reported[i].source == span.source && reported[i].begin == span.begin) return true;
    return false;
}

bool library_check_weights(Library *library, Model *const *models, int count) {
    Map *known = map_new(library->arena);
    Vec(Span) reported = {0};
    bool agree = true;
    for (int m = 0; m < count; m++)
        for (int i = 0; i < models[m]->weights.count; i++) {
            WeightInfo *info = &models[m]->weights.items[i], *first = map_get(known, info->path);
            if (!first) map_set(known, info->path, info);
            if (!first || same_shape(first, info)) continue;
            agree = false;
            if (is_reported(reported.items, reported.count, info->span)) continue;
            vec_push(library->arena, &reported, info->span);
            Diagnostic *d = diag_error(library->diag, DIAG_weight_shape, info->span,
                                       "`%s` is %s in the model `%s`, but %s in another of this file",
                                       info->path, shape_string(library->arena, info->shape),
                                       models[m]->decl->name, shape_string(library->arena, first->shape));
            diag_note(library->diag, d, first->span, "the other one is here");
            diag_help(library->diag, d,
                      "models of one file share their weights by path: rename one of the layers");
        }
    return agree;
}
