/* From a program to an object file. codegen.h declares what emits single kernels. */
#ifndef CAI_EMIT_H
#define CAI_EMIT_H

#include "elaborate/training.h"
#include "object/object.h"
#include "plan/plan.h"

/* bytes of the object: instructions, and constants */
typedef struct CodeSize { uint64_t code, tables; } CodeSize;

typedef struct EmitOptions {
    const char *emit; /* "llvm" or "asm": print instead of writing an object; NULL otherwise */
    FILE *print;
    bool verify;
    void (*progress)(int done, int all);
    CodeSize *size;           /* for --explain: filled where not NULL and an object is written */
    const KernelCache *cache; /* NULL: none */
    CacheHits *hits;          /* for --time-passes: filled where not NULL */
} EmitOptions;

/* Emits every distinct kernel and the tables, and writes an object file. False, with
 * *error (in program->arena), where LLVM or the file system refuses. */
bool backend_object(const Program *program, const EmitOptions *options, const char *path, const char **error);

/* ---- training_image.c: a trainer ---- */

typedef struct Trainer {
    const Training *training;
    /* of its entries; their graphs share names and sizes (LowerOptions.names) */
    Vec(const Program *) programs;
    Map *number_of;   /* const TrainingEntry * -> its place in `programs`, as index + 1 */
    const char *text; /* the .cai file */
    uint64_t identity;
} Trainer;

/* Adds the program of an entry, whose graph has been through the passes; entries without
 * a graph have none. The options are those of all entries, with names to share. */
void trainer_lower(Trainer *trainer, const TrainingEntry *entry, Graph *graph, const LowerOptions *options,
                   Arena *arena);
/* Calls back for each entry that has a graph. */
void trainer_each_entry(const Training *training, void (*visit)(void *context, const TrainingEntry *entry),
                        void *context);
/* As backend_object, of all entries, each kernel once. */
bool backend_trainer(const Trainer *trainer, const EmitOptions *options, const char *path,
                     const char **error);

#endif
