/* From a graph to a program: planning decides which nodes are computed together
 * (fusion.c), by which kernel (select.c, cost.c), the layout of each tensor (layout.c),
 * its buffer (memory.c), and what is packed into the blob of weights (pack.c). */
#ifndef CAI_PLAN_H
#define CAI_PLAN_H

#include "plan/kernel.h"

enum { WINOGRAD_NEVER = -1 };

typedef struct LowerOptions {
    const Target *target;
    const KernelTable *table; /* the kinds of kernels to choose from */
    /* --blas: OpenBLAS wherever it can compute the product (no product is worth its size: blas.c) */
    bool blas;
    /* 0: wherever it pays; WINOGRAD_NEVER: --no-winograd; m, for tests: F(m, r)
     * only */
    int winograd;
    /* for tests: the kind to take wherever it fits; where NULL, CAI_FORCE_KERNEL in the
     * environment names it */
    const char *force;
    /* for tests: every value has a slot of its own, so that a write out of bounds shows;
     * also CAI_OWN_SLOTS=1 */
    bool own_slots;
    /* for tests: the share of the program's time that values may take that are made again
     * (recompute.c); 0: as a rule */
    double again;
    int parts;                        /* in which a step computes one after the other; 0 is 1 */
    bool weak_names;                  /* for tests: the hash in every kernel's name is 0 */
    const PortPlan *inputs, *outputs; /* one a port, of a trainer's entry (program.h); NULL: a model's */
    /* of kernels, shared by programs that will be one object (Program.names); NULL: its
     * own */
    Map *names;
} LowerOptions;

/* The whole stage; plan.c has its steps. The graph is the result of the passes. */
Program *lower(Graph *graph, const LowerOptions *options, Arena *arena);

#endif
