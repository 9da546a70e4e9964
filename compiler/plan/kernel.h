/* A kind of kernel, as planning sees it: whether it can compute a kernel, at what cost, and what it wants.
 *
 * Order of use: fusion.c forms kernels; select.c asks every kind that fits for its cost and takes the cheapest; layout.c asks the
 * kind which layouts it wants and puts in copies; then choose fixes packing, tiles, tasks and name; memory.c assigns slots; in the
 * end codegen/emit.c asks for the code. Planning gets the table of kinds from above (LowerOptions.table) and knows no kind by name. */
#ifndef CAI_PLAN_KERNEL_H
#define CAI_PLAN_KERNEL_H

#include "plan/program.h"

struct Module; /* codegen/codegen.h */
struct LLVMOpaqueValue;

/* What planning may do with launches of a kind, or has to do for them. */
typedef enum KernelTrait {
    TRAIT_ANY_NEST = 1,      /* the loops of loop_nest.c: launches may run row by row with others (fuse_rows.c) */
    TRAIT_REPACKS_RIGHT = 2, /* its right operand may have any strides: where it is no constant the run packs it */
    TRAIT_CALLS_BLAS = 4     /* the program has to be linked with OpenBLAS */
} KernelTrait;

struct KernelKind {
    const char *name, *what;
    unsigned traits; /* of KernelTrait */
    /* Whether this kind can compute the kernel: looks at anchor, members, inputs[i]->node and ->space, shapes, target; layouts and
     * strides are not there yet. Weights among the inputs are those in SPACE_WEIGHTS. */
    bool (*fits)(const Kernel *kernel, const Target *target);
    /* The layouts wanted for output and inputs (input_count of them, in order), which the kernel will then have: LAYOUT_ANY where all
     * will do. All are LAYOUT_ANY before. Wishes about weights are ignored (choose packs them), as is BLOCKED for a value that
     * is not f32 of rank 4 with constant C. */
    void (*layouts)(const Kernel *kernel, const Target *target, LayoutKind *output, LayoutKind *inputs);
    /* Layouts and strides are known: packs weights (program_pack), fills tile, tasks, name. */
    void (*choose)(Program *program, Kernel *kernel);
    /* Estimated cycles on one core at typical sizes; layouts and strides are not there yet. */
    double (*cost)(const Kernel *kernel, const Target *target);
    /* The LLVM function of type cai_kernel (runtime/core/program.h), named kernel->name. */
    struct LLVMOpaqueValue *(*emit)(struct Module *module, const Kernel *kernel);
};

struct KernelTable {
    const KernelKind *kinds;
    int count;
    const KernelKind *reorders; /* the kind that packs weights which the run computes */
    const KernelKind *copies; /* the kind that moves elements, whatever their layouts: of copies between layouts, and of views */
};

enum { MOST_INTERLEAVED = 8 }; /* vectors that code interleaves at most (codegen/shuffle.c) */

/* Replaces the kernel's input `index` by its packed form, which is made while building where it is in SPACE_WEIGHTS, and else by a
 * launch of the table's kind `reorders` before the first kernel that wants it; equal requests share one. Weights that choose
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
/* The same of the kernel's weight where the run has to pack it for this kernel, else 0. Part of the kernel's cost. */
double packing_cycles(const Kernel *kernel, const PackFormat *format);

#endif
