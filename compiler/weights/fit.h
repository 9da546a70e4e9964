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

/* Of all names that tensors lie below, the one below which most are wanted; of several
 * the one that says `ema`, which is what people train to use, then the shortest. */
WeightFit weights_fit(Arena *arena, const WeightTable *table,
                      bool (*wanted)(void *context, const char *name, const cai_tensor *tensor),
                      void *context);
/* The rest of a name below `below`; NULL where it lies elsewhere. */
const char *name_below(const char *name, const char *below);

#endif
