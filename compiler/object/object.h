/* Object files: merged, cached, linked into programs and libraries, their symbols
 * renamed, the weights embedded. Knows ELF, not LLVM. */
#ifndef CAI_OBJECT_H
#define CAI_OBJECT_H

#include "plan/program.h"

/* ---- link_objects.c ---- */

typedef struct Object { const unsigned char *bytes; uint64_t count; } Object; /* a file in memory */
/* Links ELF objects into one, in `arena`; only the symbols that the last one defines
 * remain global. */
Object link_relocatable(Arena *arena, const Object *objects, int count);

/* ---- object_cache.c: kernels that were compiled before ---- */

typedef struct KernelCache {
    const char *folder; /* is there */
    uint64_t compiler;  /* changes with the compiler */
    int64_t max_bytes;  /* the most that all entries may take together; 0: 256 MB */
} KernelCache;
typedef struct CacheHits { int found, all; } CacheHits;

/* Several threads may call these, and several builds may share the folder. */
bool cache_find(const KernelCache *cache, Object key, Object *object); /* object->bytes is malloc'd */
void cache_store(const KernelCache *cache, Object key, Object object);
/* removes the least recently used entries, until the rest is small enough */
void cache_trim(const KernelCache *cache);

/* ---- weights_stub.c: what the linker gets instead of the weights ----
 *
 * The symbol cai_the_weights, on a page of its own. */

enum { WEIGHTS_STUB_BYTES = 4096 };

void weights_stub_fill(char page[WEIGHTS_STUB_BYTES]);
bool weights_stub_write(const Program *program, const char *path, const char **error);

/* ---- embed_weights.c: the weights in place of that page ---- */

typedef struct PackedWeights { /* the weights of a program, packed as they are written */
    const Program *program;
    const RefSource *source; /* has them all */
    void (*progress)(uint64_t done, uint64_t all);
} PackedWeights;

typedef enum EmbedResult {
    EMBED_DONE,
    EMBED_FAILED, /* with *error */
    /* the linker put something after the page; nothing was written. Never for a
     * relocatable object */
    EMBED_REFUSED
} EmbedResult;

/* Writes `linked`, which has the page, with the weights as `output`. */
EmbedResult weights_embed(const PackedWeights *weights, const char *linked, const char *output,
                          const char **error);
/* The same without weights: copies the file. */
bool linked_copy(const char *linked, const char *output, Arena *arena, const char **error);

/* ---- link.c ---- */
typedef enum LinkForm {
    LINK_PROGRAM, /* static, with the runtime's main */
    /* one relocatable object, with the part of the runtime that the library form needs,
     * and names from symbols.c */
    LINK_OBJECT,
    LINK_SHARED /* a shared library of such an object */
} LinkForm;

typedef Vec(const char *) ExportedNames;

typedef struct LinkOptions {
    /* of the target: has libcai_runtime.a and link.txt, the start files and libraries
     * found at install time */
    const char *runtime_dir;
    LinkForm form;
    bool images; /* the signature has pictures: the formats of formats.def are linked */
    bool boxes;  /* ... and boxes, which are drawn on them */
    bool blas;
    bool trains;             /* it is a trainer */
    bool python;             /* LINK_OBJECT, LINK_SHARED: an extension module of Python */
    const char *prefix;      /* of a library's names */
    const char *soname;      /* the name by which programs load a shared library, or NULL */
    ExportedNames *exported; /* what LINK_OBJECT gives them, or NULL */
} LinkOptions;
/* Links objects into the file `linked`, a temporary from which the output is made
 * (embed_weights.c). */
bool link_objects(const char *const *objects, int count, const char *linked, const LinkOptions *options,
                  Arena *arena, const char **error);

/* ---- symbols.c, archive.c, header.c: libraries ---- */
/* Of the symbols that the object defines those that begin with `from` remain global, and
 * get `prefix` in its place. */
bool export_symbols(const char *path, const char *from, const char *prefix, ExportedNames *exported,
                    Arena *arena, const char **error);
/* Writes a static library of one object. */
bool archive_write(const char *object, const ExportedNames *names, const char *output, Arena *arena,
                   const char **error);
/* Writes the C header of a model: runtime/cai.h in the model's name. */
bool header_write(const Program *program, const char *prefix, const char *runtime_dir, const char *path,
                  const char **error);
/* A line a symbol: which sizes it may have. */
void text_add_sizes(Text *text, const char *margin, const Dims *dims);
bool header_is_ours(const char *path); /* whether header_write wrote the file, or there is none */

/* ---- glibc.c, python_text.c, wheel.c: Python packages ---- */

/* y where a shared library needs the C library 2.y; -1: it cannot be read. */
int least_glibc(const char *path, Arena *arena, const char **error);
/* A name of the model's as Python can have it. */
const char *python_name(Arena *arena, const char *name);
/* __init__.py of the model's package. */
const char *python_text(const Program *program, const char *version);

typedef struct WheelOptions {
    const char *package, *version;
    const char *folder; /* with a / at its end, or "" */
} WheelOptions;
/* Writes a wheel with the extension module to the file `scratch`. Returns the path that
 * it is to have, in the folder; NULL after a failure. */
const char *wheel_write(const Program *program, const char *extension, const WheelOptions *options,
                        const char *scratch, const char **error);

#endif
