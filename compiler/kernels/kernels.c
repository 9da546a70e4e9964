/* The table of kernels, a row of kernels.def each. */
#include "graph/class_rows.h"
#include "kernels/kernels.h"

static const KernelKind kinds[KERNEL_COUNT] = {
#define KERNEL(name, what) {#name, what, name##_propose, name##_settle, name##_emit},
#include "kernels/kernels.def"
};

const KernelTable kernel_table = {kinds, KERNEL_COUNT};

enum { /* a contraction without a row has none */
#define CONTRACTION(op, kind) KERNEL_OF_##op = KERNEL_##kind,
#include "kernels/kernels.def"
};

/* Of every operator that anchors a kernel, the kind that takes all its cases. */
static const struct {
    bool anchors;
    int kind;
} general[OP_COUNT] = {
#undef ROW_OF_CLASS_CONTRACTION
#undef ROW_OF_CLASS_REDUCTION
#undef ROW_OF_CLASS_WINDOW
#undef ROW_OF_CLASS_SCATTER
#undef ROW_OF_CLASS_ORDER
#define ROW_OF_CLASS_CONTRACTION(name) [OP_##name] = {true, KERNEL_OF_##name},
#define ROW_OF_CLASS_REDUCTION(name) [OP_##name] = {true, KERNEL_loops},
#define ROW_OF_CLASS_WINDOW(name) [OP_##name] = {true, KERNEL_window},
#define ROW_OF_CLASS_SCATTER(name) [OP_##name] = {true, KERNEL_scatter},
#define ROW_OF_CLASS_ORDER(name) [OP_##name] = {true, KERNEL_order},
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP
};

bool takes_anchor(KernelId kind, const Kernel *kernel) {
    const Node *anchor = kernel->anchor;
    return anchor && general[anchor->op].anchors && general[anchor->op].kind == (int)kind;
}
