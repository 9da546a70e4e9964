/* What the commands drive: the options that they share, the session, and the pipeline
 * from a file to what is built (build.c). */
#ifndef CAI_DRIVER_H
#define CAI_DRIVER_H

#include "elaborate/training.h"
#include "plan/plan.h"
#include "weights/weights.h"

/* The exit codes of commands. */
enum { EXIT_GOOD = 0, EXIT_DIAGNOSED = 1, EXIT_USAGE = 2, EXIT_BUG = 70 };

/* ---- options.c ---- */

typedef struct Options {
    const char *command;
    /* FILE; of `cai new`: NAME; of `cai doc` the first WHAT, NULL where there is none */
    const char *file;
    /* the arguments after FILE that are not options of cai: a model's name, inputs, the
     * program's options */
    Vec(const char *) rest;
    const char *output, *kind, *name, *package_version, *init, *rename, *target, *emit, *after, *format,
        *message_format, *depth, *layer, *model, *seed, *held_out, *fold, *opset, *images, *outputs;
    Vec(WeightFile) weights;
    Vec(Define) defines;
    int parts; /* 0: not given */
    bool measure, explain, time_passes, blas, no_winograd, no_cache, reference, compare, names, train, check,
        gradient, partial, strict, external_data, find_rate, help;
} Options;

/* Reads the arguments after the command's name. False where they are wrong, which it has
 * reported. */
bool options_read(Options *options, Arena *arena, Names *names, int count, char **arguments);
void options_help(FILE *out, const char *command); /* the options that a command takes, a line each */
/* Calls back for each option, in the order of the table; value NULL: it takes none. */
typedef void OptionVisit(const char *name, const char *value, const char *help, void *context);
void options_each(const char *command, OptionVisit *visit, void *context);

/* ---- session.c: what every command needs ---- */

typedef struct Session {
    Arena *arena;
    Names *names;
    Diagnostics diag;
    const Options *options;
    const char *stdlib_dir, *runtime_dir;
} Session;

/* The places of the library and the runtime are found from that of the executable, or
 * $CAI_HOME. */
void session_begin(Session *session, const Options *options, Arena *arena, Names *names);
/* The folder of the runtime that programs for the target are linked with. */
const char *session_runtime(const Session *session, const Target *target);
/* Reads a file, - for standard input; NULL where it cannot be read, which it has
 * reported. */
Source *session_source(Session *session, const char *path);
/* Prints the diagnostics to stderr and returns the exit code. */
int session_end(Session *session);
/* Reports a mistake in the command line, and returns EXIT_USAGE. */
int session_usage(const Session *session, const char *format, ...) PRINTF_LIKE(2, 3);

/* Long work shows its progress on a terminal, and is silent in a pipe. */
void progress_kernels(int done, int all);
void progress_weights(uint64_t done, uint64_t all);
void progress_end(void);

/* --time-passes: a line for each stage, in ms. */
typedef struct Stopwatch {
    double begin;
} Stopwatch;
Stopwatch stopwatch_start(void);
void stopwatch_lap(const Session *session, Stopwatch *watch, const char *stage);
void stopwatch_lap_with(const Session *session, Stopwatch *watch, const char *stage, const char *note);

/* ---- cache.c ---- */

/* the folder of built programs; NULL where it cannot be made, which it has reported */
const char *program_cache(Session *session);
const struct KernelCache *kernel_cache(Session *session); /* NULL where there is none, or none is wanted */
uint64_t hash_text(const char *text, uint64_t hash);      /* NULL will do */
uint64_t file_identity(const char *path, uint64_t hash);  /* changes when the file does */
uint64_t compiler_identity(void);

/* A file beside `output` that is removed by scratch_remove, or by a signal that ends
 * cai. */
const char *scratch_file(Session *session, const char *output, const char *ending);
void scratch_remove(void);

/* ---- program_cache.c: programs that were built before ---- */

/* All that a program depends on is kept with it, and compared. */
/* but weights */
Text program_key(Session *session, const Library *library, const Target *target, const char *name);
void key_add_words(Text *key, const char *const *words, int count);
typedef bool ProgramBuild(void *context, const char *path); /* false has said why */
/* The path of the program that was built for this key, now or before; NULL where it can't
 * be built. */
const char *program_of_cache(Session *session, const char *name, const Text *key, ProgramBuild *build,
                             void *context);

/* ---- build.c: the pipeline and its stages. Failures are reported in session->diag ---- */

typedef Vec(Model *) ModelList;

bool build(Session *session, const char *model, const char *output); /* output NULL: the model's name */
/* NULL only where the file cannot be read: after other errors models may be elaborated to
 * find more errors. */
Library *build_open(Session *session);
bool build_has_model(const Library *library, const char *name);
/* -1 where it is not clear; model NULL: the only one */
int build_pick(Session *session, Library *library, const char *model);
bool build_elaborate_all(Session *session, Library *library, ModelList *models);
/* true also where the only errors are `expect`s that do not hold */
bool build_can_be_shown(const Session *session, const ModelList *models);
Weights *build_weights(Session *session, const ModelList *models, int built);
const Target *build_target(Session *session);
Graph *build_passes(Session *session, Graph *graph, const char *after);
/* NULL: after the model */
bool build_program(Session *session, Graph *graph, Weights *weights, const char *path);
/* NULL: after the model */
bool build_onnx(Session *session, const Graph *graph, Weights *weights, const char *path);
LowerOptions build_lowering(const Session *session, const Target *target);

/* ---- trainer.c: the same of a train block ---- */

int trainer_find(const Library *library, const char *name); /* -1: there is none of that name */
/* -1 where it is not clear; name NULL: the only one */
int trainer_pick(Session *session, const Library *library, const char *name);
/* NULL: after the block */
bool build_trainer(Session *session, const Library *library, const Training *training, const char *path);
/* --emit and --after */
bool print_trainer(Session *session, const Library *library, const Training *training);

/* ---- output.c: what is built ---- */

typedef enum OutputKind {
    OUTPUT_PROGRAM,
    OUTPUT_SHARED,
    OUTPUT_STATIC,
    OUTPUT_OBJECT,
    OUTPUT_WHEEL,
    OUTPUT_ONNX
} OutputKind;

typedef struct Output {
    OutputKind kind;
    /* of a wheel without what it is for, until it is made: what it is linked with decides
     * that */
    const char *path;
    /* of a library: the prefix of its functions, and the path of their header; of a wheel
     * the package */
    const char *prefix, *header;
} Output;

/* word NULL: a program. False where there is no such kind */
bool output_kind(const char *word, OutputKind *kind);
bool is_c_name(const char *text);
bool is_package_version(const char *text); /* 1.0, 2.1rc1 */
/* path NULL: named after the model */
Output output_plan(Session *session, const char *model, const char *path);
/* whether it can be written; reports where not */
bool output_check(Session *session, const Output *output);
bool output_make_trainer(Session *session, const Target *target, const char *code, const Output *output);
bool output_make(Session *session, const Program *program, Weights *weights, const char *code,
                 Output *output);

#endif
