/* The data of a program: tensors in buffers, kernels that are launched on them, packed
 * weights. plan.h declares who makes it; the folders above read it. */
#ifndef CAI_PLAN_PROGRAM_H
#define CAI_PLAN_PROGRAM_H

#include "graph/graph.h"
#include "plan/format.h"
#include "plan/target.h"

typedef struct KernelKind KernelKind;
typedef struct KernelTable KernelTable;
typedef struct Kernel Kernel;
typedef struct Program Program;

/* ---- values: a tensor in a buffer ---- */

/* else BLOCKED would be mostly spare lanes (layout.c) */
bool channels_fill_blocks(int64_t channels, int lanes);

typedef enum Space { SPACE_SLOT, SPACE_WEIGHTS, SPACE_INPUT, SPACE_OUTPUT } Space;

/* A value is PLAIN (format_plain), BLOCKED (Program.blocked) or packed. Element [i0, i1,
 * ..] of a PLAIN value is at offset + i0 * strides[0] + i1 * strides[1] + ..; of a
 * BLOCKED one at offset + n * strides[0] + (c / lanes) * strides[1] + h * strides[2] + w
 * * strides[3] + c % lanes. The last axis of a PLAIN value has stride 1, except where the
 * proposals of all its readers take other strides (StridePreference). BLOCKED are floats
 * of rank 4 with constant C; spare lanes hold zero, and every store keeps that.
 *
 * A value with a parent is a view inside the parent's buffer: a part of a concatenation,
 * a slice, a reshape, a transpose. Its strides are then the parent's in some order, and
 * offset says where it begins: use strides, and never assume that a value is dense.
 *
 * Kernels never see `offset`: args[i] points at the value's first element
 * (program_image.c puts offset * element bytes into the tables). Alignment of args[i]:
 * the bytes of a block where it is BLOCKED, 64 bytes where it is a packed weight, else
 * that of the element type. */
typedef struct Value {
    Node *node;
    const Format *format; /* NULL until layout.c decides */
    Space space;
    const Dim *strides;   /* node->shape.rank of them, in elements; NULL where it is packed */
    Dim offset;           /* in elements from the beginning of its buffer; usually zero */
    struct Value *parent; /* the value whose buffer it is a view of, or NULL where the buffer is its own */
    /* SPACE_SLOT: the slot, after plan; SPACE_INPUT, SPACE_OUTPUT: the port;
     * SPACE_WEIGHTS: the pack job */
    int slot;
    Dim bytes; /* of its own buffer (parent == NULL) */
    /* launches that write it first (-1: before the run) and read it last, views included;
     * after plan */
    int first, last;
    /* the value whose buffer it overwrites in place, and which ends there, or NULL; after
     * plan */
    struct Value *over;
    bool streamed; /* stored past the caches (streams.c) */
    int id;
} Value;

bool is_blocked(const Value *value);
bool is_packed(const Value *value);

/* ---- proposals: what a kind of kernel wants ---- */

/* The strides that a kernel takes of a PLAIN operand, the strictest first. */
typedef enum StridePreference {
    STRIDES_OF_ROWS,  /* the last axis has stride 1 */
    STRIDES_OF_LINES, /* the last axis or the one before it has stride 1: a matrix, or its transpose */
    STRIDES_ANY
} StridePreference;

typedef struct OperandPreference {
    const Format *format; /* NULL where all strided ones will do */
    StridePreference strides;
} OperandPreference;

/* Bytes of memory beside operands and result; NULL: none. The scratch belongs to a thread
 * while it runs tasks. The workspace belongs to the kernel, and carries results from one
 * phase to the next. */
typedef struct WorkingMemory {
    Dim scratch, workspace;
} WorkingMemory;

/* What a kind of kernel wants for a kernel, and what it would cost; made once, before
 * layouts and strides are known. select.c takes the cheapest, layout.c grants what it
 * wants, memory.c plans the working memory, and the kind's settle and emitter read its
 * tile. */
typedef struct Proposal {
    double cycles; /* estimated, on one core at typical sizes */
    /* the format wanted, which the kernel will then have; NULL where all strided ones
     * will do */
    const Format *output;
    /* one for each input of the kernel; weights that the epilogue reads may have any
     * layout */
    OperandPreference *inputs;
    void *tile;           /* private to the kind: the shape that it computes, and the tile that it chose */
    WorkingMemory memory; /* of that tile */
    /* the loops of loop_nest.c, which makes tile and memory once strides are granted; it
     * may run row by row with its neighbours (fuse_rows.c) */
    bool is_nest;
    bool calls_blas;      /* the program has to be linked with OpenBLAS */
    bool rounds_by_place; /* equal windows may give different bits, which ties rule out (ties.c) */
    int64_t more_weights; /* bytes of weights beyond those of the operator, for --explain */
    double error;         /* the relative error to expect, where it is more than the operator's own; else 0 */
} Proposal;

/* ---- kernels: what one launch computes ---- */

/* A kernel computes `output` from `inputs`: it evaluates output->node down through member
 * nodes to the inputs. `anchor` is the member that decides the algorithm (a contraction,
 * reduction, window, order or scatter), or NULL where all members are elementwise or
 * movement.
 *
 * Everything between anchor and output is the epilogue: elementwise, of the anchor's
 * sizes, computed on the anchor's result in registers; its side operands are inputs and
 * elementwise work on them, broadcasts and reshapes that only add or drop axes of size 1;
 * beside a reduction or with no anchor they may hold any movement. The operands of
 * contractions, windows and scatters are always inputs; the operand of a reduction is any
 * expression.
 * A kernel with no members (output->node is also its only input's node) is a copy between
 * layouts or into a part of a concatenation.
 *
 * inputs[0 .. anchor->input_count) of a contraction, window, order or scatter are its
 * operands in order; the inputs of the epilogue come after them, and again where one is
 * an operand too (a residual conv(x) + x has inputs x, w, x). The right operand of a
 * matmul may have all leading axes of size 1 where the anchor's are longer: it is one
 * matrix for all. Inputs may be in any layout that the kind accepts.
 * Constants of one splatted value, iota and size are members, not inputs (unless they are
 * an operand of a contraction, window, order or scatter); other constants and what is
 * computed from parameters are inputs in SPACE_WEIGHTS.
 * Concatenations are never members; a reshape is one only where it adds or drops axes of
 * size 1.
 * Arguments of the generated function: args[0] is the output, args[1..] the inputs in
 * order, then the workspace if there is one, then the parts of stored sums. The output
 * may share its buffer with an input that the epilogue reads (or, with no anchor, any
 * elementwise input): element i is loaded before element i is stored, never after.
 *
 * A kernel of several phases is as many functions and launches over the same arguments,
 * one after the other, and all of them `rounds` times (see runtime/core/program.h: the
 * tasks of later rounds have higher numbers). */
typedef struct Phase {
    const char *name; /* of the function */
    Dim tasks;        /* of a round */
} Phase;

/* A sum over a map, of each of its channels, that the kernel which makes the map does in
 * parts, as it stores the map (stored_sums.c). A later launch, which gathers, adds up the
 * parts.
 *
 * The sum of squares of differences from a number by channel, such as the mean, may have
 * parts before that number is known: spreads, of differences from a term of the part. */
typedef struct StoredSum {
    Node *anchor;
    Node *term; /* what is added up; of spreads, what they are of. Computed from the output and inputs */
    const Node *about; /* of spreads: the number by channel, an input of the launch that gathers; else NULL */
    Node **members;    /* what computes the term, operands before users */
    int member_count;
    Value *parts;        /* by block of channels */
    int64_t block_parts; /* of a block: into how many the kernel's tasks divide the map */
} StoredSum;

/* The vectors of a part: the sum; of a spread a term, the differences of all from it,
 * added up and as squares, and the number of places. */
enum { SPREAD_CENTER, SPREAD_SUM, SPREAD_SQUARES, SPREAD_PLACES, SPREAD_VECTORS };

enum { MAX_STORED_SUMS = 4 };

struct Kernel {
    Program *program;
    const KernelKind *kind;
    Proposal proposal;           /* of the kind */
    const KernelKind *held_back; /* a kind that would compute it, if there were no ties; or NULL */
    Node *anchor;
    Value *output;
    Value **inputs;
    int input_count;
    Node **members; /* the nodes computed here, operands before users; the last is output->node */
    int member_count;
    /* descriptor; kernels of equal name are one function. Made by kernel_set_name in
     * `settle` */
    const char *name;
    Dim tasks;           /* of a round, all phases together */
    const Phase *phases; /* NULL: one, of the kernel's name and tasks */
    int phase_count;
    Dim rounds;                      /* NULL: one */
    Value *workspace;                /* planned like any other buffer; NULL: the proposal wants none */
    StoredSum sums[MAX_STORED_SUMS]; /* reductions of the output that it does as well, in parts */
    int sum_count;
    const StoredSum *gathers; /* whose parts it adds up, which are its first input; else NULL */
    Dim flops, bytes;         /* for --explain and --profile; filled by lower() (cost.c) */
    /* of launches that are fused by rows: which rows are a task's (fuse_rows.c); else
     * NULL */
    const char *rows;
    int fused;       /* the number of later launches that are fused with this one, task by task */
    uint32_t guards; /* it runs where one of them holds; 0: always (states.c) */
    int id;          /* its place in program->launches */
};

/* For expr.c: the input that holds `node`, as epilogue or prologue read it, or NULL where
 * the kernel computes the node. *argument (may be NULL): its index in args[]. The
 * operands of a strict anchor are not searched: they are inputs[0], inputs[1], ..,
 * args[1], args[2], .. */
Value *kernel_input(const Kernel *kernel, const Node *node, int *argument);

/* The name is the descriptor, then "_" and sixteen hex digits: a hash of all that
 * generated code may depend on and the descriptor does not say, which is members,
 * attributes, shapes, layouts and strides of all values. The hashed bytes are kept and
 * compared, so that a kernel whose hash collides with another's gets a name of its own,
 * with "_2" at its end. */
void kernel_set_name(Kernel *kernel, const char *format, ...) PRINTF_LIKE(2, 3);

/* Gives a kernel that has its name phases with as many tasks: functions of its name, with
 * an ending; of the last, which may be NULL, without. Its tasks are those of all. */
void kernel_set_phases(Kernel *kernel, const char *const *endings, const Dim *tasks, int count);

/* ---- packing: weights that are computed while building ---- */

/* Each packed weight begins at a multiple of 64 bytes, and zeros fill the gap to the next
 * one. */
typedef struct PackJob {
    Node *node; /* depends on parameters and constants only */
    const Format *format;
    uint64_t offset, bytes; /* in the blob; offsets are multiples of 64 and follow execution order */
    int previous;           /* the job before this one for the same node, as its index + 1; 0: none */
} PackJob;

/* ---- ports of a trainer's entries ---- */

/* A guard is a bit: something that holds in some runs, which the caller says (`every 16
 * steps`). */
enum { MAX_GUARDS = 31 };
typedef struct PortPlan {
    /* of an output: the input in whose memory it lies, as its index + 1; 0: it has its
     * own */
    int shares;
    /* of an output: it is written in runs in which one of them holds; 0: in all. Of an
     * input, a bool: whether they do */
    uint32_t guards;
} PortPlan;

/* ---- the program ---- */

typedef struct Slot {
    Vec(Dim) bytes; /* of its tenants: the slot is as large as the largest at run time, rounded up to 64 */
} Slot;

typedef struct LeftConstant { /* a constant that is not computed while building */
    Node *node;
    /* how many times larger it is than what it is made of; 0: computing it takes too
     * much */
    double growth;
    double bytes, seconds; /* what it would take */
} LeftConstant;

struct Program {
    Arena *arena;
    Graph *graph;
    const Target *target;
    const KernelTable *table; /* LowerOptions.table */
    const Format *blocked;    /* of maps, in blocks of as many channels as a vector has lanes */
    Vec(Value *) values;
    Vec(Kernel *) launches; /* in order of execution */
    Vec(PackJob) packs;
    Vec(Slot) slots;
    uint64_t weights_bytes, raw_weights_bytes; /* as packed; as the parameters are */
    int copies;    /* between layouts or into a concatenation, that layout.c had to insert */
    bool *weights; /* by node id: node_is_weight */
    /* by node id: several nodes read it, or it is an output, too, and all must see the
     * same value */
    bool *shared;
    /* by node id: the node that compares places of a convolution, which rules out kinds
     * that round by place, or NULL (ties.c) */
    const Node **ties;
    Vec(LeftConstant) left;           /* computed at each run instead, for --explain */
    Map *packed;                      /* Node -> its latest pack job, as index + 1 */
    bool own_slots;                   /* LowerOptions.own_slots */
    Map *names;                       /* of kernels: Name -> the bytes that are hashed, see kernel_set_name */
    bool weak_names;                  /* LowerOptions.weak_names */
    int parts;                        /* LowerOptions.parts */
    bool blas;                        /* LowerOptions.blas */
    int winograd;                     /* LowerOptions.winograd */
    const PortPlan *inputs, *outputs; /* LowerOptions.inputs, .outputs: by port, or NULL */
};

void program_print(const Program *program, FILE *out);   /* --emit=program */
void program_explain(const Program *program, FILE *out); /* --explain: kernels, tiles, estimates, memory */
/* stops with an internal error where a launch would read a value that is not in memory */
void program_verify(const Program *program);
Dim program_arena_bytes(const Program *program);       /* of all slots at typical sizes, as a constant */
int64_t program_scratch_bytes(const Program *program); /* of one thread, at typical sizes */
int program_shared_input(const Program *program, int output); /* in whose memory it lies; -1: in its own */

/* ---- pack.c ---- */

/* Evaluates every pack job's node and writes the blob, in order, through `write`; shows
 * progress through `progress` if not NULL. `weights` is where parameters and states come
 * from (graph.h). False where `write` or `weights` refuses. */
bool program_write_weights(const Program *program, const RefSource *weights,
                           bool (*write)(void *context, const void *bytes, size_t count), void *context,
                           void (*progress)(uint64_t done, uint64_t all));

#endif
