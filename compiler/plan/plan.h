/* From a graph to a program: which nodes are computed together (fusion.c), by which
 * kernel (select.c, cost.c), how each tensor lies in memory (layout.c), in which buffer
 * (memory.c), and what is packed into the file of weights (pack.c). */
#ifndef CAI_PLAN_H
#define CAI_PLAN_H

#include "plan/kernel.h"

enum { WINOGRAD_NEVER = -1 };

typedef struct LowerOptions {
    const Target *target;
    const KernelTable *table; /* the kinds there are to choose from */
    /* --blas: OpenBLAS wherever it can compute the product (it wins nowhere by what it
     * weighs: blas.c) */
    bool blas;
    /* 0: wherever it pays; WINOGRAD_NEVER: --no-winograd; 2, 4, for tests: F(2, 3) or
     * F(4, 3) only */
    int winograd;
    /* for tests: the kind to take wherever it fits; NULL: also looked up in the
     * environment as CAI_FORCE_KERNEL */
    const char *force;
    /* for tests: every value has a slot of its own, so that a write outside shows; also
     * CAI_OWN_SLOTS=1 */
    bool own_slots;
    bool weak_names;                  /* for tests: the hash in every kernel's name is 0 */
    const PortPlan *inputs, *outputs; /* one a port, of a trainer's entry (program.h); NULL: a model's */
    /* of kernels, shared by programs that will be one object (Program.names); NULL: its
     * own */
    Map *names;
} LowerOptions;

/* The stage: fuse, select, layout, settle, plan. The graph has been through the
 * passes. */
Program *lower(Graph *graph, const LowerOptions *options, Arena *arena);

#endif
