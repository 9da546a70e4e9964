/* A kind of kernel, as planning sees it: what it proposes for a kernel, what it makes of
 * that once layouts are granted, and its code.
 *
 * Order of use: fusion.c forms kernels; select.c asks every kind for its proposal and takes
 * the cheapest; layout.c grants layouts and strides, and puts in copies; fuse_rows.c groups
 * loop nests; then settle fixes packing, tasks and name; memory.c assigns slots; in the end
 * codegen/emit.c asks for the code. Planning gets the table of kinds from above
 * (LowerOptions.table) and knows no kind by name. */
#ifndef CAI_PLAN_KERNEL_H
#define CAI_PLAN_KERNEL_H

#include "plan/program.h"

struct Module; /* codegen/codegen.h */
struct LLVMOpaqueValue;

struct KernelKind {
    const char *name, *what;
    /* False where this kind cannot compute the kernel; else fills the proposal, in which
     * `inputs` has room and nothing is wished yet. Looks at anchor, members, inputs[i]->node
     * and ->space, shapes, target; layouts and strides are not there yet. Weights among the
     * inputs are those in SPACE_WEIGHTS. */
    bool (*propose)(const Kernel *kernel, Proposal *proposal);
    /* Layouts and strides are as proposed: packs weights (program_pack), sets tasks, phases,
     * working memory and name by the proposal's tile. */
    void (*settle)(Program *program, Kernel *kernel);
    /* The LLVM function of type cai_kernel (runtime/core/program.h), named kernel->name. */
    struct LLVMOpaqueValue *(*emit)(struct Module *module, const Kernel *kernel);
};

struct KernelTable {
    const KernelKind *kinds;
    int count;
    const KernelKind *reorders; /* the kind that packs weights which the run computes */
    const KernelKind *copies; /* the kind that moves elements, whatever their layouts: of copies between layouts, and of views */
};

enum { MAX_INTERLEAVED = 8 }; /* vectors that code interleaves at most (codegen/shuffle.c) */

/* Replaces the kernel's input `index` by its packed form, which is made while building where it is in SPACE_WEIGHTS, and else by a
 * launch of the table's kind `reorders` before the first kernel that wants it; equal requests share one. Weights that settle
 * leaves alone are packed in the layout that they have. */
Value *program_pack(Program *program, Kernel *kernel, int index, const PackFormat *format);

/* Whether a node depends on parameters, states and constants only (so that it is packed while building, never a kernel's work). */
bool node_is_weight(const Program *program, const Node *node);

/* ---- cost.c: estimates ---- */

int64_t typical(const Kernel *kernel, Dim dim);              /* at the symbols' typical sizes, at least 1 */
double kernel_typical_flops(const Kernel *kernel);           /* a multiply-add counts two */
double kernel_typical_bytes(const Kernel *kernel);           /* output and inputs, each once */
/* Cycles: the larger of `flops` at `efficiency` of the vector units' peak, and `bytes` from the cache that `bytes` fit. */
double cost_cycles(const Target *target, double flops, double efficiency, double bytes);
double reorder_cycles(const Target *target, const Node *node, const PackFormat *format); /* of packing the node */
/* The same of the kernel's right operand where the run has to pack it for this kernel, else 0: Proposal.packing. */
double packing_cycles(const Kernel *kernel, const PackFormat *format);

/* ---- for those who propose ---- */

/* The same layout for the output and all inputs, or the first `count` of them. */
void prefer_layouts(const Kernel *kernel, Proposal *proposal, LayoutKind layout, int count);

#endif
