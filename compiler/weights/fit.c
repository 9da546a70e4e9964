/* Authors nest the dictionaries of checkpoints as they like, so the weights are assumed
 * to be where most of them match. */
#include "weights/fit.h"

typedef struct Place {
    Name below;
    int64_t fitting;
} Place;

typedef struct Fitting {
    Arena *arena;
    Names *names;
    Map *by_name; /* name -> index, plus 1 */
    Vec(Place) places;
} Fitting;

static Place *find_place(Fitting *f, Name below) {
    int known = (int)(intptr_t)map_get(f->by_name, below);
    if (known) return &f->places.items[known - 1];
    vec_push(f->arena, &f->places, (Place){.below = below});
    map_set(f->by_name, below, (void *)(intptr_t)f->places.count);
    return &vec_last(&f->places);
}

static bool is_better(const Place *a, const Place *b) {
    if (a->fitting != b->fitting) return a->fitting > b->fitting;
    bool averaged = strstr(a->below, "ema"), other = strstr(b->below, "ema");
    return averaged != other ? averaged : strlen(a->below) < strlen(b->below);
}

WeightFit weights_fit(Arena *arena, const WeightTable *table,
                      bool (*wanted)(void *context, const char *name, const cai_tensor *tensor),
                      void *context) {
    Fitting f = {.arena = arena, .names = names_new(arena), .by_name = map_new(arena)};
    find_place(&f, intern(f.names, ""));
    for (int i = 0; i < table->tensors.count; i++) {
        const cai_tensor *tensor = &table->tensors.items[i];
        if (wanted(context, tensor->name, tensor)) find_place(&f, intern(f.names, ""))->fitting++;
        for (const char *dot = strchr(tensor->name, '.'); dot; dot = strchr(dot + 1, '.'))
            if (wanted(context, dot + 1, tensor))
                find_place(&f, intern_range(f.names, tensor->name, (size_t)(dot - tensor->name)))->fitting++;
    }
    const Place *best = &f.places.items[0];
    for (int i = 1; i < f.places.count; i++)
        if (is_better(&f.places.items[i], best)) best = &f.places.items[i];
    WeightFit fit = {.below = best->below, .fitting = best->fitting};
    for (int i = 0; i < f.places.count && best->fitting > 0; i++)
        if (&f.places.items[i] != best && f.places.items[i].fitting == best->fitting)
            fit.also = f.places.items[i].below;
    return fit;
}

const char *name_below(const char *name, const char *below) {
    size_t length = strlen(below);
    if (length == 0) return name;
    return strncmp(name, below, length) == 0 && name[length] == '.' ? name + length + 1 : NULL;
}
