/* The lowest wing of the runtime: it runs the tables of a model, in a program or in a
 * library. It knows no files and no command line. Above it are files/ (files.h: tensors
 * and pictures in files), data/ (data.h: data sets), program/ (main.h: built programs)
 * and train/ (train.h: trainers), and beside these library/ (the functions of cai.h) and
 * python/. A wing uses only the wings below it, and none knows the compiler, which links
 * files/ and, for `cai data`, `cai compare` and `cai run --reference`, the wings above
 * it.
 *
 * Conventions of all wings. No function but main() leaves the program or writes to a
 * terminal. A function that can fail returns false (or NULL), fills *error, and leaves
 * nothing behind: no memory, no open file, no half-written file; its results are then
 * undefined and need no cleaning up. Errors name the file, what was found, what was
 * expected, and how to fix it. Memory that a function returns is freed by the function
 * named beside it. Sizes of memory are bytes, times are milliseconds, shapes are row
 * major, unless a comment says otherwise. */
#ifndef CAI_CORE_H
#define CAI_CORE_H

#include "core/program.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CAI_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define CAI_VERSION "0.1"

/* ---- error.c ---- */

typedef struct cai_error {
    int status;         /* cai_status */
    char message[1000]; /* one or more lines, without a newline at the end */
} cai_error;

/* Fills *error (cut to fit) and returns false. */
bool cai_fail(cai_error *error, int status, const char *format, ...) CAI_PRINTF(3, 4);
bool cai_fail_memory(cai_error *error, uint64_t bytes, const char *what);
/* Puts "PREFIX: " before the message. Returns false. */
bool cai_fail_within(cai_error *error, const char *format, ...) CAI_PRINTF(2, 3);
/* What a user may want to know of a file: "gray, widened to 3 channels". */
typedef void cai_notice(const char *path, const char *text);
/* malloc and realloc with an error; zero bytes is fine. NULL on failure; `old` is then
 * still valid. */
void *cai_allocate(uint64_t bytes, const char *what, cai_error *error);
void *cai_reallocate(void *old, uint64_t bytes, const char *what, cai_error *error);

/* ---- text.c ---- */

/* The number of edits (insert, delete, replace, swap two neighbours) from one word to
 * another; more than `limit` count as limit + 1, and so do words beyond 63 letters. */
int cai_edit_distance(const char *a, const char *b, int limit);
/* The number of the first line in which two texts differ, from 1, to whose beginning both
 * are moved; 0 where they are the same. */
int cai_first_difference(const char **a, const char **b);
/* One byte of a text within a JSON string: itself, or an escape. Returns the length. */
#define CAI_JSON_CHARACTER 8
int cai_json_character(char c, char out[CAI_JSON_CHARACTER]);
void cai_print_json_string(const char *text, FILE *out); /* quotes and all */

/* ---- random.c ---- */

uint64_t cai_mix(uint64_t x);               /* splitmix64 */
float cai_unit(uint64_t stream, int64_t i); /* element i of a stream of numbers in [0, 1) */

/* ---- machine.c: the properties and limits of this machine ---- */

bool cai_cpu_runs(uint32_t level); /* CAI_CPU_*: whether this CPU and system have the features of the level */
int cai_cores(void);               /* in the affinity mask */
/* the limit of the control groups, in cores; -1 where there is none */
double cai_cpu_quota(void);
/* Bytes of memory and swap, or the control groups' limit where that is less. */
uint64_t cai_memory_limit(void);
double cai_milliseconds(void); /* since some time in the past; monotonic */

/* ---- thread.c: the pool ---- */

typedef struct cai_pool cai_pool;
/* Runs tasks begin <= t < end on thread number `worker`, 0 for the caller; no two calls
 * of a number run at once. */
typedef void (*cai_task)(void *context, int64_t begin, int64_t end, int worker);

/* A pool of `threads` threads, the caller's being one of them; 0: cai_default_threads().
 * Where the system gives fewer threads the pool is smaller. NULL when out of memory. A
 * pool serves one caller at a time. */
cai_pool *cai_pool_new(int threads);
void cai_pool_free(cai_pool *pool);
/* A pool that uses the caller's own threads: up to `threads` of them at once, through
 * `run`. */
cai_pool *cai_pool_lent(int threads, cai_parallel_for run, void *user);
/* Where several pools run at once, no thread spins if they have more threads than there
 * are cores; nor do the threads of a pool whose run is over, where they would take a core
 * from another pool. cai_context_run calls these. */
void cai_pool_enter(cai_pool *pool);
void cai_pool_leave(cai_pool *pool);
int cai_pool_threads(const cai_pool *pool);
/* Runs tasks 0 .. tasks, a contiguous share for each thread, and returns when all are
 * done. With one task or one thread it is a plain call. */
void cai_pool_run(cai_pool *pool, cai_task task, void *context, int64_t tasks);
/* What a worker does while no region has work for it: a piece of some milliseconds at
 * most, since a region that begins meanwhile does not wait for it; false where there is
 * none. For the rest of the pool's life, which `context` outlives. */
typedef bool cai_work_beside(void *context);
void cai_pool_work_beside(cai_pool *pool, cai_work_beside *work, void *context);
/* CAI_NUM_THREADS, else OMP_NUM_THREADS, else the smaller of the affinity mask and the
 * cgroup's quota (rounded up); at least 1. */
int cai_default_threads(void);
#define CAI_MAX_THREADS 1024

/* Arithmetic on denormals costs a hundred cycles and gains nothing in a network: while
 * kernels run, all threads that run them treat denormals as zero, operands and results.
 * Returns the mode of the calling thread to restore: all of it, flags included. A context
 * sets and restores the mode of its caller; the threads of a pool keep theirs. */
uint64_t cai_flush_denormals(void);
void cai_restore_denormals(uint64_t mode);

/* ---- peak.c: the peak performance of this machine ---- */

enum { CAI_LEVEL_1, CAI_LEVEL_2, CAI_LEVEL_3, CAI_LEVEL_MEMORY, CAI_LEVEL_COUNT };

typedef struct cai_peaks {
    int threads;                         /* all rates are for so many together */
    double flops;                        /* a second, a multiply-add counting as two; 0: unknown CPU */
    double read[CAI_LEVEL_COUNT];        /* bytes a second */
    int64_t caches[CAI_LEVEL_COUNT - 1]; /* their sizes; the first two are per core */
} cai_peaks;

/* Measures, on the pool's threads and with the vectors of `cpu` (CAI_CPU_*), for some
 * twenty milliseconds. */
bool cai_measure_peaks(cai_pool *pool, uint32_t cpu, cai_peaks *peaks, cai_error *error);
/* CAI_LEVEL_*: the innermost level whose caches, those of all threads together, hold so
 * many bytes. */
int cai_peaks_level(const cai_peaks *peaks, double bytes);

/* ---- type_name.c: types of elements, and tensors in memory ---- */

/* Types that only files have, after those of cai_type. */
enum { CAI_F64 = CAI_BOOL + 1, CAI_U8, CAI_I16, CAI_U16, CAI_U32, CAI_U64, CAI_TYPE_COUNT };

typedef struct cai_tensor {
    const char *name;   /* "" where the format has none */
    int32_t type, rank; /* CAI_F32 ... */
    int64_t dims[CAI_MAX_RANK];
    int64_t count;             /* of elements */
    const unsigned char *data; /* row major, little endian, perhaps not aligned */
} cai_tensor;

int cai_type_bytes(int type);
const char *cai_type_name(int type); /* "f32" */
bool cai_type_is_float(int type);
/* "f32[1, 3, 224, 224]"; returns out. */
const char *cai_tensor_shape_text(const cai_tensor *tensor, char *out, size_t size);

/* ---- run.c: a program, its sizes, its runs ---- */

typedef struct cai_context cai_context;

/* A context belongs to one thread at a time; the program and its weights are shared. The
 * pool stays the caller's. */
cai_context *cai_context_new(const cai_program *program, cai_pool *pool, cai_error *error);
/* Runs on another pool from now on; sizes must be prepared anew. */
void cai_context_set_pool(cai_context *context, cai_pool *pool);
void cai_context_free(cai_context *context);
/* Takes memory for intermediate results from the caller, or from the system again (NULL,
 * NULL); sizes must be prepared anew. */
void cai_context_set_memory(cai_context *context, cai_reserve reserve, cai_release release, void *user);
/* Sets the sizes from the shapes of the inputs (shapes[i] has inputs[i].rank sizes),
 * checks them, and reserves memory. Earlier sizes stay valid until a call succeeds. */
bool cai_context_prepare(cai_context *context, const int64_t *const *shapes, cai_error *error);
/* The same from values of the symbols in the user's units (N, H, W), for models whose
 * inputs do not give them all. */
bool cai_context_prepare_symbols(cai_context *context, const int64_t *symbols, cai_error *error);
/* Sizes once prepared. */
int64_t cai_context_dim(const cai_context *context, const cai_port *port, int axis);
/* sizes[index] of program.h; 0 where index is -1 */
int64_t cai_context_size(const cai_context *context, int32_t index);
int64_t cai_context_elements(const cai_context *context, const cai_port *port);

/* Bytes that a run needs, beside 2 MB for the program itself. */
typedef struct cai_memory {
    uint64_t weights;
    uint64_t intermediate; /* working memory of all threads too */
    uint64_t ports;
} cai_memory;
cai_memory cai_context_memory(const cai_context *context);

/* Runs all launches. inputs and outputs are dense, in the order of the ports, aligned to
 * their element; an output that shares an input's memory (cai_port.shares) must be given
 * that. */
bool cai_context_run(cai_context *context, const void *const *inputs, void *const *outputs, int64_t seed,
                     cai_error *error);
/* Calls `watch` (NULL: nothing) in each run before every kernel, with the number of its
 * first launch, and after the last kernel with the number of launches: for --time and
 * --profile. */
void cai_context_watch(cai_context *context, void (*watch)(void *data, int launch), void *data);

/* Where the result of a launch of the last run lies, its first argument, and how many
 * bytes from there on are its own, or at least its buffer's. */
const void *cai_context_result(const cai_context *context, int launch, const void *const *inputs,
                               void *const *outputs, uint64_t *bytes);

/* The guards (cai_launch.guards) that hold in runs from now on; all hold in a new
 * context. */
void cai_context_set_guards(cai_context *context, uint32_t guards);

typedef struct cai_run { /* what a run needs besides the program */
    cai_pool *pool;
    const int64_t *symbols, *sizes;
    const void *const *inputs;
    void *const *outputs;
    void **arguments;                      /* room for the arguments of any launch */
    void (*watch)(void *data, int launch); /* as in cai_context_watch, or NULL */
    void *watch_data;
    uint32_t guards;
} cai_run;
bool cai_launch_runs(const cai_launch *launch, uint32_t guards); /* where these guards hold */
typedef bool (*cai_runner)(const cai_program *program, const cai_run *run, cai_error *error);
/* Runs by another function from now on, or by the default (NULL). By pointer, so that
 * libraries do not contain guarded runs. */
void cai_context_run_by(cai_context *context, cai_runner runner);

/* ---- ctc.c: scores of characters, place by place, as text ---- */

typedef struct cai_ctc {
    const float *scores;
    int64_t places, classes; /* places that are left */
    int64_t last;            /* the class of the place before, or -1 */
} cai_ctc;
cai_ctc cai_ctc_begin(const float *scores, int64_t places, int64_t classes);
/* The class of the next place where another one is best than at the place before; -1:
 * there is none. */
int64_t cai_ctc_next(cai_ctc *ctc);

/* ---- guard.c ---- */

/* A guarded run: slow, and an access outside a buffer is an error that names the kernel,
 * or ends the program with such a message. */
bool cai_run_guarded(const cai_program *program, const cai_run *run, cai_error *error);

#endif
