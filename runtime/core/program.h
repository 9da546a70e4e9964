/* The interface between compiled models and the runtime. The compiler
 * (codegen/program_image.c) writes one constant cai_program, and everything that it
 * points to, into every object; the runtime runs it. Nothing else connects the two.
 *
 * A run has `symbols`: the values of the model's symbolic sizes, in the order of
 * cai_program.symbols, then one more, the seed of its random numbers. prepare() computes
 * `sizes` from them: all values that depend on symbols (offsets of slots, numbers of
 * tasks, shapes of results). A launch runs its kernel over tasks 0 .. sizes[tasks]; each
 * task may run on any thread, in any order, and results do not depend on how tasks are
 * split. Launches run one after the other.
 *
 * A kernel may be several launches in turn, over the same arguments: `more` of them
 * follow the first. Together they run in rounds, sizes[rounds] of them; round r of a
 * launch runs tasks r * sizes[tasks] .. (r + 1) * sizes[tasks]. */
#ifndef CAI_PROGRAM_H
#define CAI_PROGRAM_H

#include "cai.h" /* cai_type */

#define CAI_PROGRAM_ABI 6
/* The alignment of weights, of the arena of slots, and of every slot; inputs and outputs
 * need only that of their elements. */
#define CAI_ALIGNMENT 64
#define CAI_READ_SLACK 64 /* bytes after the arena that a kernel may read (never write) */

enum { CAI_FIT_EXACT, CAI_FIT_CROP, CAI_FIT_STRETCH, CAI_FIT_PAD, CAI_FIT_LETTERBOX }; /* Fit */

/* of an input: symbol < 0: `multiple`; else multiple * symbols[symbol]; symbol -2: any
 * size that the sizes[] agree with */
typedef struct cai_dim {
    int64_t multiple;
    int32_t symbol;
    int32_t size; /* sizes[size] is the dimension once prepare() has run */
} cai_dim;

typedef struct cai_port { /* an input or output: dense, row major, in the model's own axis order */
    const char *name;
    const char *type_text; /* "image[N, 3, H, W]", for --help and messages */
    const cai_dim *dims;
    const char *const *labels;
    int32_t type, rank, form, fit, top, label_count; /* type: cai_type, in the order of graph.h's DType */
    int32_t of;                                      /* boxes, names: the input that the results are about */
    float score;                                     /* boxes: rows with a lower score, or 0, are not boxes */
    /* of an output: the input in whose memory it is to lie, as its index + 1; 0: in
     * memory of its own */
    int32_t shares;
} cai_port;

typedef struct cai_symbol {
    const char *name;
    int64_t multiple; /* the size that the user sees is multiple * the symbol */
} cai_symbol;

enum { CAI_ARG_SLOT, CAI_ARG_WEIGHTS, CAI_ARG_INPUT, CAI_ARG_OUTPUT };
typedef struct cai_argument {
    int32_t space;
    /* INPUT, OUTPUT: the argument begins sizes[offset] bytes after the port's buffer; -1:
     * at its beginning. SLOT: the cai_buffer that contains it */
    int32_t offset;
    /* SLOT: arena + sizes[index]; WEIGHTS: weights + index; INPUT, OUTPUT: that port's
     * buffer */
    int64_t index;
} cai_argument;

/* Runs tasks begin <= t < end. args: the launch's arguments as pointers. symbols: as
 * above. scratch: working memory of the thread that runs them, sizes[cai_program.scratch]
 * bytes at a multiple of CAI_ALIGNMENT, with undefined contents before and after. */
typedef void (*cai_kernel)(void *const *args, const int64_t *symbols, int64_t begin, int64_t end,
                           void *scratch);

/* A planned buffer, for guard.c: while launches `first` to `last` run, no other buffer
 * uses its memory. The kernel of launch `first` is the first to write it. */
typedef struct cai_buffer {
    int32_t begin, bytes; /* indices into sizes */
    int32_t first, last;  /* the first and the last launch of a kernel */
} cai_buffer;

#define CAI_MAX_FUSED 6

typedef struct cai_launch {
    cai_kernel kernel;
    const char *name;   /* the kernel's descriptor, e.g. conv_direct_ic64oc64k3_t14x2 */
    const char *kind;   /* of kernel: conv_direct */
    const char *path;   /* the layer it computes: layer1.0.conv1 */
    const char *source; /* resnet18.cai:4:7 */
    const cai_argument *arguments;
    int32_t argument_count;
    int32_t tasks;        /* index into sizes */
    int32_t flops, bytes; /* indices into sizes, for --profile; -1 where unknown */
    int32_t rounds;       /* index into sizes, in the first launch of a kernel; -1: one round */
    /* how many later launches belong to the same kernel and run in the same rounds */
    int32_t more;
    /* where it is not 0: this launch and the `more` after it are taken so many at a time,
     * at most CAI_MAX_FUSED. They have equal numbers of tasks, and a thread runs task t
     * of each in turn */
    int32_t fused;
    /* bits: it runs only where the run has one of them (cai_context_set_guards); 0:
     * always. The same in all that belong together */
    uint32_t guards;
} cai_launch;

typedef struct cai_check { /* a condition that prepare() checks */
    const char *message;
} cai_check;

/* Fills sizes[]. Returns CAI_PREPARED, CAI_OVERFLOW where a size does not fit 63 bits, or
 * the index of the check that failed. */
#define CAI_PREPARED (-1)
#define CAI_OVERFLOW (-2)
typedef int64_t (*cai_prepare)(const int64_t *symbols, int64_t *sizes);

typedef struct cai_program {
    uint32_t abi;
    uint32_t cpu;        /* CAI_CPU_*: what the code needs */
    const char *name;    /* the model */
    const char *comment; /* the comment above it, or NULL */
    const char *target;  /* "x86-64-v4" */
    const cai_port *inputs, *outputs;
    const cai_symbol *symbols;
    const cai_launch *launches;
    const cai_buffer *buffers;
    const cai_check *checks;
    cai_prepare prepare;
    const unsigned char *weights; /* weights_bytes, aligned to a page */
    uint64_t weights_bytes;
    int32_t input_count, output_count, symbol_count, launch_count, buffer_count, check_count;
    int32_t size_count;
    int32_t arena; /* sizes[arena]: bytes of all slots together */
    /* sizes[scratch]: bytes of working memory that each thread is given; 0 where no
     * kernel wants any */
    int32_t scratch;
} cai_program;

enum { CAI_CPU_ANY /* that runs the runtime */, CAI_CPU_X86_64_V3, CAI_CPU_X86_64_V4, CAI_CPU_AARCH64 };

/* The one symbol that a program's object exports to the runtime's main. */
extern const cai_program cai_the_program;

#endif
