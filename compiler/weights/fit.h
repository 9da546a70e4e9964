/* Where in a checkpoint the weights of a model are: below `state_dict`, `params_ema` or
 * `module`. */
#ifndef CAI_WEIGHT_FIT_H
#define CAI_WEIGHT_FIT_H

#include "weights/table.h"

typedef struct WeightFit {
    const char *below; /* the name with which their names begin: "" or "state_dict"; never NULL */
    const char *also;  /* another name below which as many match, or NULL */
    int64_t fitting;   /* how many of the model's weights are there, by name and shape */
} WeightFit;

/* Of all names below which there are tensors, finds the one with the most wanted tensors;
 * of several, one that contains `ema` (averaged weights, which are meant for use), then
 * the shortest. */
WeightFit weights_fit(Arena *arena, const WeightTable *table,
                      bool (*wanted)(void *context, const char *name, const cai_tensor *tensor),
                      void *context);
/* The rest of a name after `below`; NULL if the name is not below it. */
const char *name_below(const char *name, const char *below);

#endif
