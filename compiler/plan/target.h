/* The instruction sets for which code is generated (target.c). */
#ifndef CAI_TARGET_H
#define CAI_TARGET_H

#include "base/base.h"

/* An instruction set, and the properties of a core that has it. Code asks for the
 * property that it needs, never for a machine that has it. */
typedef struct Target {
    /* "x86-64-v3"; "native" is resolved to one, with the machine's own figures */
    const char *name;
    const char *llvm_cpu, *llvm_features, *llvm_triple;
    /* vectors */
    int vector_bytes;
    int lanes;     /* f32 in a vector; also the channel block of Program.blocked */
    int registers; /* vector registers */
    /* instructions; without masks or gathers LLVM makes loads and stores of single
     * lanes */
    /* loads and stores of the lanes in a mask, of 4 bytes each or more */
    bool masks;
    bool gathers;       /* loads of lanes from any addresses */
    bool lane_multiply; /* multiply-adds by one lane of a vector register */
    bool permutes;      /* permutes the lanes of a vector of f32 by a vector of indices */
    bool scalef;        /* x * 2^n in one instruction, for whole vectors of f32 */
    /* programs */
    uint32_t cpu;         /* CAI_CPU_*: what a program requires of the CPU when it starts */
    const char *runtime;  /* folder of the runtime and its link list, within the runtime's */
    uint16_t elf_machine; /* EM_* */
    /* ELF's section for gigabytes of constants, and its flags beside SHF_ALLOC */
    const char *weights_section;
    uint64_t weights_flags;
    /* a core */
    double fmas_per_cycle;  /* vector FMAs */
    double loads_per_cycle; /* vector loads */
    int64_t l1_bytes, l2_bytes, l3_bytes;
    double gigahertz; /* for estimates in ms only */
    double l2_bytes_per_cycle, l3_bytes_per_cycle, memory_bytes_per_cycle;
} Target;

int target_count(void);
const Target *target_at(int index); /* in order of capability, the least first */
/* NULL where there is no such target. "native" is the most capable that this machine
 * runs. */
const Target *target_find(const char *name);
const char *target_names(Arena *arena); /* "native, x86-64-v3, x86-64-v4" */
/* "256-bit vectors, 16 registers, masks, gathers" */
void target_describe(const Target *target, Text *out);
void targets_print(FILE *file); /* `cai --targets`: one line each */

#endif
