/* What every stage of the compiler uses: arenas, growable arrays, text, interned names,
 * maps.
 *
 * Memory has two lifetimes, a compilation and a pass; each is an Arena, and nothing is
 * freed one by one. No caller handles running out of memory: arena_alloc reports it and
 * exits (see out_of_memory). */
#ifndef CAI_BASE_H
#define CAI_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define NORETURN __attribute__((noreturn))

static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
/* b is above 0, a not below */
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t n, int64_t unit) { return ceil_div(n, unit) * unit; }

/* ---- fatal.c: ends that are nobody's diagnostics ---- */

/* A bug of cai: prints where, asks for a report, exits with 70. A user's mistake must
 * never reach this. */
NORETURN void internal_error(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);
#define INTERNAL_ERROR(...) internal_error(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition) ((condition) ? (void)0 : INTERNAL_ERROR("%s does not hold", #condition))
NORETURN void out_of_memory(size_t bytes);      /* bytes is 0 where their number is not known */
void *checked_realloc(void *old, size_t bytes); /* old may be NULL; never gives NULL */

/* ---- arena.c ---- */

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena);                 /* NULL is fine */
void *arena_alloc(Arena *arena, size_t bytes); /* zeroed, 16-byte aligned, never NULL; 0 bytes is fine */
void *arena_copy(Arena *arena, const void *bytes, size_t count);
char *arena_strndup(Arena *arena, const char *text, size_t length);
char *arena_printf(Arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(Arena *arena, const char *format, va_list arguments);

#define NEW(arena, Type) ((Type *)arena_alloc((arena), sizeof(Type)))
#define NEW_ARRAY(arena, Type, count) ((Type *)arena_alloc((arena), sizeof(Type) * (size_t)(count)))

/* ---- growable arrays: `Vec(Node *) nodes = {0}; vec_push(arena, &nodes, n); nodes.items[i]` ---- */

#define Vec(Type) struct { Type *items; int count, capacity; }
#define vec_push(arena, vec, ...)                                                                            \
    (vec_reserve((arena), (void **)&(vec)->items, &(vec)->capacity, (vec)->count + 1, sizeof *(vec)->items), \
     (vec)->items[(vec)->count] = (__VA_ARGS__), (vec)->count++)
#define vec_last(vec) ((vec)->items[(vec)->count - 1])
void vec_reserve(Arena *arena, void **items, int *capacity, int needed, size_t item_size);

/* ---- divide.c: division that rounds down ---- */

/* The floor of the exact quotient; a / b where b is 0, NaN where only a is infinite. */
double floor_divide(double a, double b);
double floor_modulo(double a, double b); /* with the sign of b; NaN where a is infinite or b is 0 */

/* ---- loops over elements ---- */

/* Marks a function to be compiled once for each width of vectors; a call runs the version
 * for this processor. All versions give the same bits, since the compiler fuses nothing
 * (-ffp-contract=off). Not with clang, which the sanitizers use: their instrumentation of
 * the choice would run before they are initialised. */
#if defined __x86_64__ && !defined __clang__
#define FOR_EACH_PROCESSOR __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define FOR_EACH_PROCESSOR
#endif

/* ---- real.c: functions of reals, the same bits on every machine ---- */

double real_exp(double x);
double real_exp2(double x);
double real_expm1(double x);
double real_log(double x);
double real_log1p(double x);
double real_pow(double a, double b); /* with C's special cases */
double real_sin(double x);
double real_cos(double x);
double real_tanh(double x);
double real_sigmoid(double x);
double real_silu(double x); /* -0 at minus infinity */
double real_erf(double x);
double real_erfc(double x);
double real_gelu(double x);
double real_gelu_slope(double x);

/* The same of `count` numbers, many times as fast; y is no part of x. */
void reals_exp(const double *x, double *y, int64_t count);
void reals_exp2(const double *x, double *y, int64_t count);
void reals_expm1(const double *x, double *y, int64_t count);
void reals_tanh(const double *x, double *y, int64_t count);
void reals_sigmoid(const double *x, double *y, int64_t count);
void reals_silu(const double *x, double *y, int64_t count);
void reals_erf(const double *x, double *y, int64_t count);
void reals_gelu(const double *x, double *y, int64_t count);
void reals_gelu_slope(const double *x, double *y, int64_t count);

/* ---- text.c: a string being written ---- */

typedef struct Text {
    Arena *arena;
    char *bytes; /* always ends in 0 once something was added; text_string never gives NULL */
    size_t length, capacity;
} Text;

void text_add(Text *text, const char *format, ...) PRINTF_LIKE(2, 3);
void text_add_bytes(Text *text, const char *bytes, size_t count);
void text_add_real(Text *text, double value); /* in nine digits at most */
const char *text_string(Text *text);

/* ---- pattern.c: what patterns of operators are written in ---- */

const char *pattern_word(const char *at); /* behind blanks */
size_t pattern_word_length(const char *at);
const char *pattern_behind(const char *at); /* the operand that begins there */

/* ---- intern.c: equal strings are equal pointers ---- */

typedef const char *Name;

typedef struct Names Names;
Names *names_new(Arena *arena);
Name intern(Names *names, const char *text);
Name intern_range(Names *names, const char *text, size_t length);

/* ---- map.c: hash maps from pointers (interned names, nodes) and from 64-bit keys ---- */

typedef struct Map Map;
Map *map_new(Arena *arena);
void *map_get(const Map *map, const void *key); /* NULL where there is none */
void map_set(Map *map, const void *key, void *value);
int map_count(const Map *map);

uint64_t hash_bytes(const void *bytes, size_t count, uint64_t seed);

/* ---- random.c ---- */

uint64_t fnv1a64(const char *text);
uint64_t random_stream(uint64_t seed, const char *name);
float random_unit(uint64_t stream, int64_t i);                  /* element i of the stream, in [0, 1) */
void random_units(uint64_t stream, int64_t count, double *out); /* its first elements */

/* ---- parallel.c ---- */

/* Runs the iterations begin <= i < end of a loop. */
typedef void ParallelBody(void *context, int64_t begin, int64_t end);
/* Runs the iterations 0 .. count-1, each once, in parts that are spread over all cores.
 * Iterations are independent: the result of one depends neither on another nor on where a
 * part begins. `work` is the cost of an iteration, in units of about a nanosecond. */
void parallel_for(int64_t count, int64_t work, ParallelBody *body, void *context);
/* For tests: the number of threads, 0 for as many as there are cores; and the least work
 * of a part, 0 for the default, which is what makes a thread worth starting. */
void parallel_limits(int threads, int64_t work);

/* ---- suggest.c ---- */

/* The name among `candidates` that a person most likely meant by `wrong`, or NULL where
 * none is close. */
const char *nearest_name(const char *wrong, const char *const *candidates, int count);

/* ---- trim_folder.c ---- */

/* Removes the files that were not used for longest, until at most so many, and so many
 * bytes, are left. A file is used when it gets a new date. One with a dot in its name is
 * still being written, and goes after an hour. */
void trim_folder(const char *path, int64_t max_files, int64_t max_bytes);

/* ---- sha256.c ---- */

enum { SHA256_BYTES = 32 };
void sha256(const void *bytes, size_t count, unsigned char digest[SHA256_BYTES]);

/* ---- process.c ---- */

/* PROCESS_MISSING: none of the programs is on the PATH; PROCESS_FAILED: it could not be
 * run; PROCESS_SIGNALED: a signal ended it. */
enum { PROCESS_MISSING = -1, PROCESS_FAILED = -2, PROCESS_SIGNALED = -3 };

typedef struct Process {
    int status; /* its exit code, or one of the above */
    /* the beginning of its output, where that was caught; or why it could not be run; or
     * which signal ended it */
    const char *said;
} Process;

/* Runs the first of `programs` that is on the PATH, waits for it, and catches its output
 * and its errors. arguments[0] becomes its name; a NULL ends the arguments. */
Process process_run(Arena *arena, const char *const *programs, int count, const char **arguments);
/* Runs a program, given by its path, that shares our output; arguments[0] becomes its
 * name. */
Process process_run_openly(Arena *arena, const char *program, char *const *arguments);
/* Waits for a child that fork made. */
Process process_wait(Arena *arena, pid_t child);

#endif
