/* From a graph to a program: which nodes are computed together (fuse.c), how each tensor lies in memory (layout.c), by which kernel
 * (select.c, cost.c, kernels.def), in which buffer (plan.c), and what is packed into the file of weights (pack.c). */
#ifndef CAI_LOWER_H
#define CAI_LOWER_H

#include "graph/graph.h"

/* ---- target.c: the machine that code is made for ---- */

typedef struct Target {
    const char *name;                    /* "x86-64-v3", "x86-64-v4", "native" resolved to one of them with the machine's own figures */
    const char *llvm_cpu, *llvm_features, *llvm_triple;
    int lanes;                           /* f32 in a vector: 16, 8 or 4; also the channel block of LAYOUT_BLOCKED */
    int registers;                       /* vector registers */
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

/* ---- values: a tensor in a buffer ---- */

typedef enum LayoutKind {
    LAYOUT_ANY,    /* only as a wish: the kernel takes it as it comes */
    LAYOUT_PLAIN,  /* row major over the node's axes */
    LAYOUT_BLOCKED /* rank 4, [N, C, H, W] as [N, ceil(C/lanes), H, W, lanes]; spare lanes hold zero, and every store keeps that */
} LayoutKind;

typedef enum Space { SPACE_SLOT, SPACE_WEIGHTS, SPACE_INPUT, SPACE_OUTPUT } Space;

/* Strides are in elements. BLOCKED: strides[1] is from one block of channels to the next, lanes are adjacent. A value that is a part
 * of a concatenation lies inside its parent's buffer: strides are the parent's, offset says where it begins. */
typedef struct Value {
    Node *node;
    LayoutKind layout;
    Space space;
    const Dim *strides;      /* node->shape.rank of them */
    Dim offset;              /* in elements from the beginning of its buffer; usually zero */
    struct Value *parent;    /* the concatenation it lies in, or NULL */
    int slot;                /* SPACE_SLOT, after plan; else the port or the pack job */
    Dim bytes;               /* of its own buffer (parent == NULL) */
    int first, last;         /* launches that write it first and read it last, after plan */
    int id;
} Value;

/* ---- kernels: what one launch computes ---- */

typedef struct KernelKind KernelKind;
typedef struct Program Program;

/* A kernel computes `output` from `inputs`: it evaluates output->node down through member nodes to the inputs. `anchor` is the member
 * that decides the algorithm (a contraction, reduction or window), or NULL where all members are elementwise or movement.
 * Everything between anchor and output is the tail: elementwise, computed on the anchor's result in registers.
 * Inputs may be in any layout that the kind accepts; a constant of one splatted value, iota and size are members, never inputs.
 * Arguments of the generated function: args[0] is the output, args[1..] the inputs in order. */
typedef struct Kernel {
    const KernelKind *kind;
    Node *anchor;
    Value *output;
    Value **inputs;
    int input_count;
    const char *name;        /* descriptor; kernels of equal name are one function */
    Dim tasks;
    void *tile;              /* the kind's own choice of tiles, made by its `choose`, read by its emitter */
    Dim flops, bytes;        /* estimates for --explain and --profile */
} Kernel;

/* The value of `node` among the kernel's inputs, or NULL where the kernel computes it itself. */
Value *kernel_input(const Kernel *kernel, const Node *node, int *argument);

/* ---- packing: what is computed from parameters alone, while building ---- */

typedef enum PackKind {
    PACK_PLAIN,   /* row major, as the node is */
    PACK_BLOCKED, /* LAYOUT_BLOCKED */
    PACK_VECTOR,  /* rank-1-like [C] (any rank with one axis that is not 1), padded with zeros to whole vectors */
    PACK_CONV,    /* [O, I/g, kh, kw] for conv_direct: see kernel conv_direct's head comment; tile_q blocks of `lanes` outputs together */
    PACK_MATRIX   /* [M, K] or [K, N] for matvec and matmul: see there */
} PackKind;

typedef struct PackJob {
    Node *node;      /* depends on parameters and constants only */
    PackKind kind;
    int64_t arguments[6]; /* the kind's: documented where the kernel that reads it is */
    uint64_t offset, bytes; /* in the blob; offsets are multiples of 64 and follow execution order */
} PackJob;

/* ---- the program ---- */

typedef struct Launch {
    Kernel *kernel;
    Dim tasks;
} Launch;

typedef struct Slot {
    Vec(Dim) bytes; /* of its tenants: the slot is as large as the largest at run time */
} Slot;

struct Program {
    Arena *arena;
    Graph *graph;
    const Target *target;
    Vec(Value *) values;
    Vec(Kernel *) launches; /* in order of execution */
    Vec(PackJob) packs;
    Vec(Slot) slots;
    uint64_t weights_bytes, raw_weights_bytes;
};

typedef struct LowerOptions {
    const Target *target;
    int blas;            /* --blas: 1 always, -1 never, 0 where it wins */
    bool explain;
} LowerOptions;

/* The stage: fuse, layout, select, pack, plan. */
Program *lower(Graph *graph, const LowerOptions *options, Arena *arena);
void program_print(const Program *program, FILE *out);   /* --emit=program */
void program_explain(const Program *program, FILE *out); /* --explain: kernels, tiles, estimates, memory */

/* ---- kernels.def: the kinds of kernel, a row each: KERNEL(name, "one line") ----
 *
 * backend/NAME.c (or a family's file) holds the functions of kind NAME: NAME_fits, NAME_layouts, NAME_choose, NAME_cost, NAME_emit.
 * Order of use: fuse.c forms kernels; select.c asks every kind that fits for its cost and takes the cheapest; layout.c asks the kind
 * which layouts it wants and puts in reorders; then choose fixes packing, tiles, tasks and name; plan.c assigns slots; backend/ emits. */

struct Module;
struct LLVMOpaqueValue;

struct KernelKind {
    const char *name, *what;
    /* Whether this kind can compute the kernel: looks at anchor, members, shapes, target; Values are not there yet. */
    bool (*fits)(const Kernel *kernel, const Target *target);
    /* The layouts wanted for output and inputs; LAYOUT_ANY where all will do. Parameters are not asked about: choose packs them. */
    void (*layouts)(const Kernel *kernel, const Target *target, LayoutKind *output, LayoutKind *inputs);
    /* Values, layouts and strides are known: packs weights (program_pack), fills tile, tasks, name, flops, bytes. */
    void (*choose)(Program *program, Kernel *kernel);
    /* Estimated cycles on one core at typical sizes. */
    double (*cost)(const Kernel *kernel, const Target *target);
    /* The LLVM function of type cai_kernel (runtime/program.h), named kernel->name. */
    struct LLVMOpaqueValue *(*emit)(struct Module *module, const Kernel *kernel);
};

typedef enum KernelId {
#define KERNEL(name, what) KERNEL_##name,
#include "lower/kernels.def"
#undef KERNEL
    KERNEL_COUNT
} KernelId;
extern const KernelKind kernel_kinds[KERNEL_COUNT];

/* Replaces the kernel's input `index` (which depends on parameters alone) by its packed form; equal requests share one job. */
Value *program_pack(Program *program, Kernel *kernel, int index, PackKind kind, const int64_t arguments[6]);

/* Whether a node depends on parameters, states and constants only (so that it is packed while building, never a kernel's work). */
bool node_is_weight(const Program *program, const Node *node);

/* ---- pack.c ---- */

/* Where weights come from: the value of each parameter and state as doubles (see graph.h). */
/* Evaluates every pack job's node and writes the blob, in order, through `write`; shows progress through `progress` if not NULL. */
bool program_write_weights(const Program *program, const RefSource *weights, bool (*write)(void *context, const void *bytes, size_t count),
                           void *context, void (*progress)(uint64_t done, uint64_t all));

#endif
