/* A layer that runs several times, with the same weights, is bound to a name before its
 * first run: all runs are stages of that name. */
#include "import/import.h"

static bool is_same_weight(const LineWeight *a, const LineWeight *b) {
    const size_t sizes = sizeof *a->from * (size_t)a->from_rank, order = sizeof *a->order * (size_t)a->rank;
    const bool stored =
        a->tensor && b->tensor ? a->tensor->data == b->tensor->data : a->known && a->known == b->known;
    return stored && !strcmp(a->name, b->name) && a->rank == b->rank && a->from_rank == b->from_rank &&
           !memcmp(a->from, b->from, sizes) && !memcmp(a->order, b->order, order);
}

static bool is_same_text(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

static bool is_same_layer(const Line *a, const Line *b) {
    if (strcmp(a->callee, b->callee) || a->weights.count != b->weights.count ||
        a->settings.count != b->settings.count)
        return false;
    for (int i = 0; i < a->settings.count; i++) {
        const Setting *s = &a->settings.items[i], *t = &b->settings.items[i];
        if (!is_same_text(s->key, t->key) || strcmp(s->text, t->text)) return false;
    }
    for (int i = 0; i < a->weights.count; i++)
        if (!is_same_weight(&a->weights.items[i], &b->weights.items[i])) return false;
    return true;
}

/* The statement that binds the layer of a line. */
static Line *bound_layer(Import *im, const Line *run) {
    Line *line = NEW(im->arena, Line);
    Wire *wire = NEW(im->arena, Wire);
    *line = (Line){.style = STYLE_CALL, .callee = run->callee, .node = run->node, .hint = run->hint};
    *wire = (Wire){.type = run->results.items[0]->type, .line = line};
    line->settings = run->settings, line->weights = run->weights;
    vec_push(im->arena, &line->results, wire);
    return line;
}

static void run_layer(Line *run, const Line *bound) {
    run->layer = bound->results.items[0];
    run->settings.count = run->weights.count = 0;
}

static const void *stored_of(const Line *line) {
    const LineWeight *first = line->weights.items;
    return first->tensor ? (const void *)first->tensor->data : (const void *)first->known;
}

void bind_shared_layers(Import *im) {
    Map *firsts = map_new(im->arena), *bound = map_new(im->arena);
    LineList lines = {0};
    for (int i = 0; i < im->lines.count; i++) {
        Line *line = im->lines.items[i];
        if (line->style != STYLE_STAGE || !line->weights.count) continue;
        Line *first = map_get(firsts, stored_of(line)), *layer = first ? map_get(bound, first) : NULL;
        if (!first) map_set(firsts, stored_of(line), line);
        if (!first || !is_same_layer(layer ? layer : first, line)) continue;
        if (!layer) {
            layer = bound_layer(im, first);
            map_set(bound, first, layer);
            run_layer(first, layer);
        }
        run_layer(line, layer);
    }
    for (int i = 0; i < im->lines.count; i++) {
        Line *layer = map_get(bound, im->lines.items[i]);
        if (layer) vec_push(im->arena, &lines, layer);
        vec_push(im->arena, &lines, im->lines.items[i]);
    }
    im->lines = lines;
}
