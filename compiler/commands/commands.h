/* The command line: one file a command, the options that they share, and the pipeline that they drive (../build.c). */
#ifndef CAI_COMMANDS_H
#define CAI_COMMANDS_H

#include "elaborate/elaborate.h"

#define CAI_VERSION "0.1"

/* What a command ends with. */
enum { EXIT_GOOD = 0, EXIT_DIAGNOSED = 1, EXIT_USAGE = 2, EXIT_BUG = 70 };

/* ---- options.c ---- */

typedef struct WeightFile { /* --weights [PATH=]FILE */
    const char *prefix, *file;
} WeightFile;

typedef struct Options {
    const char *command;
    const char *file;          /* FILE; of `cai new`: NAME */
    Vec(const char *) rest;    /* what stands after FILE and is not ours: a model's name, inputs, the program's options */
    const char *output, *init, *rename, *target, *emit, *after, *format, *message_format;
    Vec(WeightFile) weights;
    Vec(Define) defines;
    bool explain, time_passes, blas, no_blas, reference, compare, help;
} Options;

/* Reads the arguments after the command's name. False where they are wrong, which has then been said. */
bool options_read(Options *options, Arena *arena, Names *names, int count, char **arguments);
void options_help(FILE *out, const char *command); /* the options that a command takes, a line each */

/* ---- session.c: what every command needs ---- */

typedef struct Session {
    Arena *arena;
    Names *names;
    Diagnostics diag;
    const Options *options;
    const char *stdlib_dir, *runtime_dir;
} Session;

/* Where the library and the runtime lie is found from the executable's own place, or $CAI_HOME. */
void session_begin(Session *session, const Options *options, Arena *arena, Names *names);
/* Prints the diagnostics to stderr and gives the exit code. */
int session_end(Session *session);
/* The text of a file, ending in 0; NULL and a diagnostic where it cannot be read. */
const char *session_read_file(Session *session, const char *path, size_t *length);

/* ---- a file each ---- */
int command_check(Session *session);

#endif
