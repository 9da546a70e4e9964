/* A kind of kernel, as planning sees it: its proposal for a kernel, what it settles once
 * layouts are granted, and its code.
 *
 * Order of use: fusion.c forms kernels; select.c asks every kind for its proposal and
 * takes the cheapest; layout.c grants layouts, strides and packed operands, and puts in
 * what copies and packs; fuse_rows.c groups loop nests; then settle fixes tasks and name
 * (of loop nests last, since other kinds may take sums over: stored_sums.c);
 * memory.c assigns slots; in the end codegen/emit.c asks for the code. Planning gets the
 * table of kinds from above (LowerOptions.table) and knows no kind by name. */
#ifndef CAI_PLAN_KERNEL_H
#define CAI_PLAN_KERNEL_H

#include "plan/program.h"

struct Module; /* codegen/codegen.h */
struct LLVMOpaqueValue;

struct KernelKind {
    const char *name, *what;
    /* False where this kind cannot compute the kernel. Else fills the proposal, whose
     * `inputs` is allocated and has no preferences yet. May read anchor, members,
     * inputs[i]->node and ->space, shapes and target; layouts and strides are not known
     * yet. Weights among the inputs are those in SPACE_WEIGHTS. */
    bool (*propose)(const Kernel *kernel, Proposal *proposal);
    /* Layouts, strides and packed operands are as proposed: sets tasks, phases and name
     * by the proposal's tile. Where the kind proposed two tiles, one of them for maps
     * whose rows lie side by side, it takes one here, with its working memory. */
    void (*settle)(Program *program, Kernel *kernel);
    /* The LLVM function of type cai_kernel (runtime/core/program.h), named
     * kernel->name. */
    struct LLVMOpaqueValue *(*emit)(struct Module *module, const Kernel *kernel);
};

struct KernelTable {
    const KernelKind *kinds;
    int count;
};

enum {
    MAX_INTERLEAVED = 8, /* the most vectors that code interleaves (codegen/shuffle.c) */
    LINE_BYTES = 64      /* of a cache, on every target */
};

/* Whether a node depends on parameters, states and constants only, so that it is computed
 * while building and never by a kernel. */
bool node_is_weight(const Program *program, const Node *node);

/* ---- cost.c: estimates ---- */

int64_t typical(const Kernel *kernel, Dim dim);    /* at the symbols' typical sizes, at least 1 */
double kernel_typical_flops(const Kernel *kernel); /* a multiply-add counts as two */
int64_t node_typical_bytes(const Program *program, const Node *node);
double kernel_typical_bytes(const Kernel *kernel); /* output and inputs, each once */
/* Cycles: the larger of `flops` at `efficiency` of the vector units' peak, and `bytes`
 * from the cache that they fit in. */
double cost_cycles(const Target *target, double flops, double efficiency, double bytes);
double reorder_cycles(const Program *program, const Node *node, const Format *from, const Format *to);
/* The same of packing the kernel's input where the run has to do it, else 0. */
double packing_cycles(const Kernel *kernel, int input, const Format *format);

/* ---- for those who propose ---- */

/* The types of a convolution, its transpose, its gradients, or a matrix product. */
typedef struct Contraction {
    DType left, right; /* of the operands, as they lie in memory */
    DType sum;         /* to which they are converted, and in which their products are added up */
    DType result;      /* to which the sum is rounded */
} Contraction;

Contraction contraction_types(const Node *anchor);

/* Of a kind whose emitter adds up stored sums: moves reductions of the output from later
 * launches to the kernel, whose tasks divide the places of each block of channels into so
 * many parts; 0: no number that is known. Before the kernel gets its name. */
void store_sums(Program *program, Kernel *kernel, int64_t parts);

/* The same format for the output and all inputs, or the first `count` of them. */
void prefer_formats(const Kernel *kernel, Proposal *proposal, const Format *format, int count);
/* The input packed so: while building where it is in SPACE_WEIGHTS, else by a launch
 * before the first kernel that wants it. */
void prefer_packed(const Kernel *kernel, Proposal *proposal, int input, const Format *format);

#endif
