/* The kinds of kernel: each has a row in kernels.def, and the folder of its family holds
 * the functions NAME_propose, NAME_settle and NAME_emit. plan/kernel.h says what they
 * promise, and in which order planning calls them. */
#ifndef CAI_KERNELS_H
#define CAI_KERNELS_H

#include "plan/kernel.h"

typedef enum KernelId {
#define KERNEL(name, ...) KERNEL_##name,
#include "kernels/kernels.def"
    KERNEL_COUNT
} KernelId;

/* Planning is given this table (LowerOptions.table). */
extern const KernelTable kernel_table;

/* Whether the kernel has an anchor, and this kind is the one that takes every case of
 * it. */
bool takes_anchor(KernelId kind, const Kernel *kernel);

/* The functions of every row, so that a missing one is a link error. */
#define KERNEL(name, ...)                                          \
    bool name##_propose(const Kernel *kernel, Proposal *proposal); \
    void name##_settle(Program *program, Kernel *kernel);          \
    struct LLVMOpaqueValue *name##_emit(struct Module *module, const Kernel *kernel);
#include "kernels/kernels.def"

#endif
