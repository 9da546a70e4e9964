/* Where in a checkpoint the weights of a model are: below `state_dict`, `params_ema` or
 * `module`. */
#ifndef CAI_WEIGHT_FIT_H
#define CAI_WEIGHT_FIT_H

#include "weights/table.h"

typedef struct WeightFit {
    const char *below; /* the name that theirs begin with: "" or "state_dict"; never NULL */
    const char *also;  /* another one below which as many fit, or NULL */
    int64_t fitting;   /* how many of the model's weights are there, by name and shape */
} WeightFit;

/* Of all names below which tensors are, the one with the most wanted tensors; of several,
 * one that says `ema` (the averaged weights, which are meant for use), then the
 * shortest. */
WeightFit weights_fit(Arena *arena, const WeightTable *table,
                      bool (*wanted)(void *context, const char *name, const cai_tensor *tensor),
                      void *context);
/* The rest of a name below `below`; NULL where it is not below. */
const char *name_below(const char *name, const char *below);

#endif
