/* The values of parameters and states: from trained files, matched strictly by name, or
 * from a seed. */
#ifndef CAI_WEIGHTS_H
#define CAI_WEIGHTS_H

#include "elaborate/elaborate.h"
#include "weights/transform.h"

/* ---- weights.c ---- */

/* --weights [PATH=]FILE[:BELOW]: the names in FILE are below PATH (NULL: not below any).
 * With BELOW, only tensors below it are read. */
typedef struct WeightFile {
    const char *prefix, *file;
} WeightFile;

/* The path in FILE or FILE:BELOW; *below is "" if there is none. */
const char *weights_path(Arena *arena, const char *file, const char **below);

typedef struct WeightOptions {
    const WeightFile *files;
    int file_count;
    const char *rename; /* --rename FILE, or NULL */
    const char *init;   /* --init SEED, or NULL. With a seed no file is read, not even those of `load`. */
} WeightOptions;

typedef struct Weights Weights;

/* Finds the values of all weights of models[built]. After mismatches, all of which are
 * reported at once, returns NULL. The models are those of one .cai file: every tensor of
 * a weight file must be read by one of them, with the right shape. */
Weights *weights_open(Arena *arena, Names *names, Diagnostics *diag, Model *const *models, int count,
                      int built, const WeightOptions *options);
/* its input() is NULL: it provides only parameters and states */
RefSource weights_source(Weights *weights);
/* Appends what the values depend on, for the cache of `cai run`: the files that are read,
 * including that of --rename (path, size and time of change), and the seed. */
void weights_identity(const Weights *weights, Text *key);
void weights_close(Weights *weights); /* NULL is allowed */
/* Converts the elements of a tensor of the runtime. */
void numbers_read(const cai_tensor *tensor, Number *out);
bool tensor_has_shape(const cai_tensor *tensor, Shape shape); /* the types may differ */

/* ---- init.c: random weights that other programs can compute, too; docs/weights.md
 * defines them ---- */

/* The bound of uniform weights whose dimensions after the first multiply to `fan_in`. */
float init_bound(int64_t fan_in);
/* The elements of the weight `path`: `shape` has its sizes and type; `init` is the
 * declared value. */
void init_fill(uint64_t seed, const char *path, const RefShape *shape, double init, bool state,
               Number *values);
bool init_seed(const char *text, uint64_t *seed); /* false if it is no number */

/* ---- rename.c: --rename FILE ---- */

typedef struct Renames Renames;
/* A weight of the model, and the tensors of the file that it is made of. */
typedef struct Renamed {
    const char *ours, *theirs[RENAME_MAX];
    int count;                  /* of theirs */
    int part, parts;            /* index of this weight among those that they make, and their number */
    const Transform *transform; /* NULL: theirs[0] is used as it is */
} Renamed;
typedef Vec(Renamed) RenamedList;

/* NULL with a diagnostic if the file is wrong. */
Renames *renames_read(Arena *arena, Diagnostics *diag, const char *path);
/* Finds the weights that are made of the tensor `name`, by the first line that matches. A
 * line of several names matches if `has` holds for all of them, and its first name yields
 * the weights. Yields nothing if a line drops the tensor, or uses it for another one's
 * weights; the tensor itself if no line matches. */
void renames_apply(const Renames *renames, Arena *arena, const char *name,
                   bool (*has)(void *context, const char *name), void *context, RenamedList *out);
/* Whether `text` matches `pattern`, in which * matches any text. */
bool pattern_matches(const char *pattern, const char *text);

#endif
