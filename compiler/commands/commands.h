/* The command line: one file for each command, the options that they share, and the
 * pipeline that they drive (driver/build.c). */
#ifndef CAI_COMMANDS_H
#define CAI_COMMANDS_H

#include "driver/driver.h"
#include "core/core.h" /* CAI_VERSION */

/* ---- picture.c: files of pictures ---- */

/* svg, png or pdf, or `also`, by the name's ending; NULL after an error. */
const char *picture_format(Session *session, const char *path, const char *also);

/* ---- manual.c: the commands and options for man and for shells ---- */

typedef struct Command {                 /* a row of main.c */
    const char *name, *arguments, *what; /* arguments in brackets may all be missing */
    int (*run)(Session *session);
    const char *more; /* printed by `cai NAME --help` below the usage line */
} Command;

void manual_print(FILE *out, const Command *commands, int count);
/* false where the shell is not known */
bool completion_print(FILE *out, const char *shell, const Command *commands, int count);

/* ---- summary.c, summary_train.c ---- */
const char *text_thousands(Arena *arena, int64_t number); /* 1814073344 as 1,814,073,344 */
/* of the train block `name`; NULL: the only one */
void summary_of_training(Session *session, Library *library, const char *name);

/* ---- compare_runs.c: what `cai compare` does with folders ---- */
bool is_run_folder(const char *path);
int compare_runs(Session *session);

/* ---- a file each ---- */
int command_check(Session *session);
int command_build(Session *session);
int command_run(Session *session);
int command_train(Session *session);
int command_data(Session *session);
int command_summary(Session *session);
int command_fmt(Session *session);
int command_graph(Session *session);
int command_compare(Session *session);
int command_new(Session *session);
int command_doc(Session *session);
int command_import(Session *session);
int command_weights(Session *session);

/* ---- run_cached.c: programs that are built into the cache ---- */

/* Builds the program, unless the cache has it, ends the session, and runs the program in
 * this one's place where all is well. Else gives the exit code. */
int run_cached(Session *session, const char *name, const Text *key, ProgramBuild *build, void *context,
               int first);
/* The program's argv: `name`, and the user's arguments from rest[first] on. */
char **run_arguments(Session *session, const char *name, int first);

/* ---- reference.c, run_compare.c ---- */

/* Runs a graph's command line by the reference evaluator. */
int reference_main(Session *session, const Graph *graph, Weights *weights, int argc, char **argv);
/* openblas.c: for results that do not go into a program. */
void product_openblas(int64_t rows, int64_t columns, int64_t depth, RefMatrix a, RefMatrix b, double *c,
                      int64_t c_row);
int run_compare(Session *session, const Model *model, Weights *weights, int first);

#endif
