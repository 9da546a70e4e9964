/* The machine that code is made for (target.c). */
#ifndef CAI_TARGET_H
#define CAI_TARGET_H

#include "base/base.h"

typedef struct Target {
    const char *name;                    /* "x86-64-v3", "x86-64-v4", "aarch64"; "native" is resolved to one, with the machine's own figures */
    const char *llvm_cpu, *llvm_features, *llvm_triple;
    int lanes;                           /* f32 in a vector: 16, 8 or 4; also the channel block of LAYOUT_BLOCKED */
    int registers;                       /* vector registers */
    int vector_bits;                     /* value of the function attribute "prefer-vector-width"; min-legal-vector-width stays away */
    bool fma;
    double fmas_per_cycle;               /* vector FMAs */
    double loads_per_cycle;              /* vector loads */
    int64_t l1_bytes, l2_bytes, l3_bytes;/* a core's */
    double gigahertz;                    /* for estimates in ms only */
    double l2_bytes_per_cycle, l3_bytes_per_cycle, memory_bytes_per_cycle;
} Target;

/* NULL where there is no such target. "native" looks at this machine. */
const Target *target_find(const char *name);
const char *target_names(void); /* "native, x86-64-v3, x86-64-v4" */

#endif
