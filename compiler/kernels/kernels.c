/* The table of kernels, a row of kernels.def each. */
#include "kernels/kernels.h"

static const KernelKind kinds[KERNEL_COUNT] = {
#define KERNEL(name, what) {#name, what, name##_propose, name##_settle, name##_emit},
#include "kernels/kernels.def"
#undef KERNEL
};

const KernelTable kernel_table = {kinds, KERNEL_COUNT};

const KernelKind *kernel_kind(KernelId id) { return &kinds[id]; }
