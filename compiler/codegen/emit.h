/* From a program to an object file. What emits single kernels stands in codegen.h. */
#ifndef CAI_EMIT_H
#define CAI_EMIT_H

#include "object/object.h"

typedef struct CodeSize { uint64_t code, tables; } CodeSize; /* bytes of the object: instructions, and constants */

typedef struct EmitOptions {
    const char *emit; /* "llvm" or "asm": print instead of writing an object; NULL otherwise */
    FILE *print;
    bool verify;
    void (*progress)(int done, int all);
    CodeSize *size;   /* for --explain: filled where not NULL and an object is written */
    const KernelCache *cache; /* NULL: none */
    CacheHits *hits;  /* for --time-passes: filled where not NULL */
} EmitOptions;

/* Emits every distinct kernel and the tables, and writes an object file. False, with *error (in program->arena), where LLVM or
 * the file system refuses. */
bool backend_object(const Program *program, const EmitOptions *options, const char *path, const char **error);

#endif
