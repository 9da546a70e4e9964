/* Explains by what a count may differ from an `expect`: the biases of all convolutions,
 * the affine part of all norms, a layer, other outputs of the last layer. A network
 * written from a paper usually differs from it by one of these. */
#include "elaborate/evaluator.h"

#include <math.h>
#include <stdlib.h>

typedef struct Own { /* the weights of a layer, without those of layers in it */
    Name path;
    /* elements: of weights of two or more axes; of a bias beside them; of a layer that
     * has only vectors */
    int64_t kernel, bias, affine;
    int64_t outputs;  /* of a kernel */
    int rank;         /* of the kernel; 0: none */
    bool before_norm; /* the next layer with weights is a norm */
} Own;
typedef Vec(Own) OwnList;

static const char *last_part_of_path(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static bool is_bias(const char *path) {
    size_t length = strlen(path);
    return length >= 4 && !strcmp(path + length - 4, "bias");
}

/* The entry of the layer, appended where it is not the last. */
static Own *own_of(Evaluator *ev, OwnList *list, Map *places, const char *weight) {
    const char *name = last_part_of_path(weight);
    Name path = intern_range(ev->names, weight, name > weight ? (size_t)(name - weight - 1) : 0);
    intptr_t place = (intptr_t)map_get(places, path);
    if (!place) {
        vec_push(ev->arena, list, (Own){.path = path});
        map_set(places, path, (void *)(place = list->count));
    }
    return &list->items[place - 1];
}

/* The outputs of a layer: channels of maps, the last axis of anything else. */
static int64_t outputs_of_layer(const Model *model, Name path, int rank) {
    for (int i = 0; i < model->layers.count; i++) {
        const LayerInfo *layer = &model->layers.items[i];
        int64_t size;
        if (strcmp(layer->path, path) || layer->result->shape.rank < 2) continue;
        const Shape shape = layer->result->shape;
        return dim_is_const(shape.dims[rank == 4 ? 1 : shape.rank - 1], &size) ? size : 0;
    }
    return 0;
}

static OwnList collect_own(Evaluator *ev) {
    const Model *model = ev->model;
    OwnList list = {0};
    Map *places = map_new(ev->arena);
    for (int i = 0; i < model->weights.count; i++) {
        const WeightInfo *weight = &model->weights.items[i];
        int64_t count;
        if (weight->state || !shape_element_count(weight->shape, &count)) continue;
        Own *own = own_of(ev, &list, places, weight->path);
        if (weight->shape.rank >= 2) own->kernel += count, own->rank = weight->shape.rank;
        else if (is_bias(weight->path)) own->bias += count;
        else own->affine += count;
    }
    for (int i = 0; i < list.count; i++) {
        Own *own = &list.items[i];
        if (!own->rank) own->affine += own->bias, own->bias = 0;
        else own->outputs = outputs_of_layer(model, own->path, own->rank);
        if (i > 0 && !own->rank && own->affine) list.items[i - 1].before_norm = list.items[i - 1].rank > 0;
    }
    return list;
}

/* ---- the candidates ---- */

typedef struct Difference {
    Evaluator *ev;
    Diagnostic *diag;
    int64_t more;     /* than expected; below 0: fewer */
    double tolerance; /* of the expected count */
    int reported;
} Difference;

enum { MAX_TOLD = 3 };

/* Whether `count` is the difference, to the stated precision. Where that is rough, only a
 * count much larger than the tolerance is evidence. */
static bool is_it(const Difference *of, int64_t count) {
    return count > 0 && fabs((double)(llabs(of->more) - count)) <= of->tolerance &&
           (double)count >= 20 * of->tolerance;
}

static void note_difference(Difference *of, Span span, const char *format, ...) PRINTF_LIKE(3, 4);

static void note_difference(Difference *of, Span span, const char *format, ...) {
    if (of->reported++ >= MAX_TOLD) return;
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(of->ev->arena, format, arguments);
    va_end(arguments);
    if (of->reported > 1) report_note(of->ev, of->diag, span, "or %s", text);
    else
        report_note(of->ev, of->diag, span, "%lld %s: %s", (long long)llabs(of->more),
                    of->more > 0 ? "too many" : "are missing", text);
}

typedef struct ElementSum {
    int64_t elements;
    int layers;
    const char *first;
} ElementSum;

static void add_to_sum(ElementSum *sum, const Own *own, int64_t elements) {
    if (elements <= 0) return;
    if (!sum->layers++) sum->first = own->path;
    sum->elements += elements;
}

/* The layers with kernels that a sum covers. */
typedef enum Which { CONVOLUTIONS, BEFORE_NORMS, DENSE, ALL, WHICH_COUNT } Which;

static bool is_among_own(const Own *own, Which which) {
    return which == ALL || (which == BEFORE_NORMS ? own->before_norm
                            : which == DENSE      ? own->rank == 2
                                                  : own->rank == 4);
}

static void try_biases(Difference *of, const OwnList *list) {
    static const char *const whose[] = {"convolutions", "layers before norms", "dense layers", "layers"};
    bool reported = false;
    for (Which which = 0; which < WHICH_COUNT && !reported; which++) {
        ElementSum sum = {0};
        for (int i = 0; i < list->count; i++) {
            const Own *own = &list->items[i];
            if (own->rank && is_among_own(own, which))
                add_to_sum(&sum, own, of->more > 0 ? own->bias : own->bias ? 0 : own->outputs);
        }
        reported = is_it(of, sum.elements);
        if (!reported) continue;
        const char *all = sum.layers == 1 ? arena_printf(of->ev->arena, "the bias of `%s`", sum.first)
                                          : arena_printf(of->ev->arena, "the biases of the %d %s", sum.layers,
                                                         whose[which]);
        if (of->more > 0)
            note_difference(of, (Span){0}, "as many as %s, which `bias = false` leaves out", all);
        else note_difference(of, (Span){0}, "as many as %s would be, which `bias = false` leaves out", all);
    }
}

/* Norms without an affine part have no weights, and are recognised by name. */
static int64_t affine_missing(const LayerInfo *layer) {
    static const struct {
        const char *callee;
        int axis;
    } norms[] = {{"batchnorm", 1}, {"instancenorm", 1}, {"groupnorm", 1}, {"layernorm", -1}};
    const Shape shape = layer->result->shape;
    int64_t channels;
    for (int i = 0; i < COUNT_OF(norms); i++) {
        if (strcmp(layer->callee, norms[i].callee) || shape.rank < 2 ||
            !dim_is_const(layer->parameters, &channels) || channels)
            continue;
        return dim_is_const(shape.dims[norms[i].axis < 0 ? shape.rank - 1 : norms[i].axis], &channels)
                   ? 2 * channels
                   : 0;
    }
    return 0;
}

static void try_norms(Difference *of, const OwnList *list) {
    const Model *model = of->ev->model;
    ElementSum sum = {0};
    for (int i = 0; of->more > 0 && i < list->count; i++)
        if (!list->items[i].rank) add_to_sum(&sum, &list->items[i], list->items[i].affine);
    for (int i = 0; of->more < 0 && i < model->layers.count; i++) {
        const LayerInfo *layer = &model->layers.items[i];
        add_to_sum(&sum, &(Own){.path = layer->path}, affine_missing(layer));
    }
    if (sum.layers < 2 || !is_it(of, sum.elements)) return;
    if (of->more > 0)
        note_difference(
            of, (Span){0},
            "as many as the weights and biases of the %d norms, which `affine = false` leaves out",
            sum.layers);
    else
        note_difference(of, (Span){0},
                        "as many as the weights and biases of the %d norms, which `affine = true` gives",
                        sum.layers);
}

/* Keras counts running statistics too. */
static void try_states(Difference *of) {
    const Model *model = of->ev->model;
    int64_t sum = 0, count;
    for (int i = 0; i < model->weights.count; i++)
        if (model->weights.items[i].state && shape_element_count(model->weights.items[i].shape, &count))
            sum += count;
    if (of->more < 0 && is_it(of, sum))
        note_difference(of, (Span){0}, "as many as the running means and variances, which are not counted");
}

/* Tries other outputs of the last layer with a kernel. */
static void try_outputs(Difference *of, const OwnList *list) {
    int last = list->count - 1;
    while (last >= 0 && !list->items[last].rank) last--;
    const Own *own = last >= 0 ? &list->items[last] : NULL;
    if (!own || own->outputs < 1 || own->kernel % own->outputs) return;
    int64_t each = own->kernel / own->outputs + (own->bias > 0), changed = own->outputs - of->more / each;
    if (of->tolerance > 0 || each < 16 || of->more % each || changed < 1) return;
    note_difference(of, (Span){0}, "`%s` would have %lld outputs, and has %lld", own->path,
                    (long long)changed, (long long)own->outputs);
}

/* ---- layers, with what is in them ---- */

/* The count of each layer with those of the layers in it; after the last layer, that of
 * the whole model. */
static int64_t *layer_totals(Difference *of, bool macs, const int64_t *sizes) {
    const LayerList *layers = &of->ev->model->layers;
    int64_t *totals = NEW_ARRAY(of->ev->arena, int64_t, layers->count + 1), own;
    for (int i = layers->count - 1; i >= 0; i--) { /* layers within a layer come after it */
        const LayerInfo *layer = &layers->items[i];
        if (!dim_evaluate(macs ? layer->macs : layer->parameters, sizes, &own)) own = 0;
        totals[i] += own;
        totals[layer->parent >= 0 ? layer->parent : layers->count] += totals[i];
    }
    return totals;
}

/* Whether a layer holds one with the same count, which says more. */
static bool holds_like(const LayerList *layers, const int64_t *totals, int index) {
    for (int i = index + 1; i < layers->count; i++)
        if (layers->items[i].parent == index && totals[i] == totals[index]) return true;
    return false;
}

static void try_layers(Difference *of, bool macs, const int64_t *sizes) {
    const LayerList *layers = &of->ev->model->layers;
    const int64_t *totals = layer_totals(of, macs, sizes);
    if (macs && of->more < 0 && is_it(of, totals[layers->count]))
        note_difference(of, (Span){0}, "twice as many are FLOPs, of which a multiply-add is two");
    Text names = {.arena = of->ev->arena};
    int found = 0, last = 0;
    for (int i = 0; i < layers->count; i++) {
        if (!is_it(of, totals[i]) || holds_like(layers, totals, i)) continue;
        if (found++ < MAX_TOLD) text_add(&names, "%s`%s`", found > 1 ? ", " : "", layers->items[i].path);
        last = i;
    }
    if (found > MAX_TOLD) text_add(&names, " and %d more", found - MAX_TOLD);
    const char *question = of->more > 0 ? "is it one too many?" : "is one like it left out?";
    if (found == 1)
        note_difference(of, layers->items[last].span, "as many as %s has; %s", text_string(&names), question);
    else if (found)
        note_difference(of, (Span){0}, "as many as each of these has, %s; %s", text_string(&names), question);
}

void explain_difference(Evaluator *ev, Diagnostic *d, int64_t more, double tolerance, bool macs,
                        const int64_t *sizes) {
    Difference of = {.ev = ev, .diag = d, .more = more, .tolerance = tolerance};
    if (!d || !more) return;
    const OwnList list = macs ? (OwnList){0} : collect_own(ev);
    if (!macs) {
        try_biases(&of, &list);
        try_norms(&of, &list);
        try_states(&of);
    }
    try_layers(&of, macs, sizes);
    if (!macs && !of.reported) try_outputs(&of, &list);
}
