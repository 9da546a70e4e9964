/* Where the values of parameters and states come from: trained files, matched strictly by
 * name, or a seed. */
#ifndef CAI_WEIGHTS_H
#define CAI_WEIGHTS_H

#include "elaborate/elaborate.h"
#include "weights/transform.h"

/* ---- weights.c ---- */

/* --weights [PATH=]FILE[:BELOW]: the names in FILE are below PATH; prefix NULL for all.
 * Of FILE those below BELOW */
typedef struct WeightFile {
    const char *prefix, *file;
} WeightFile;

/* The path of FILE or FILE:BELOW; *below is "" where there is none. */
const char *weights_path(Arena *arena, const char *file, const char **below);

typedef struct WeightOptions {
    const WeightFile *files;
    int file_count;
    const char *rename; /* --rename FILE, or NULL */
    const char *init;   /* --init SEED: then no file is read, not those of `load` either; or NULL */
} WeightOptions;

typedef struct Weights Weights;

/* Finds the values of all weights of models[built]. Reports all mismatches at once, and
 * returns NULL then. The models are those of one .cai file: one of them must read each
 * value of a weight file, and weights of the other models must have their shapes, too. */
Weights *weights_open(Arena *arena, Names *names, Diagnostics *diag, Model *const *models, int count,
                      int built, const WeightOptions *options);
/* its input() is NULL: it gives only parameters and states */
RefSource weights_source(Weights *weights);
/* What the values follow from, for the cache of `cai run`: the files that are read, that
 * of --rename too (path, size and time of change), and the seed. */
void weights_identity(const Weights *weights, Text *key);
void weights_close(Weights *weights); /* NULL is fine */
/* The elements of a tensor of the runtime's. */
void numbers_read(const cai_tensor *tensor, Number *out);
bool tensor_has_shape(const cai_tensor *tensor, Shape shape); /* its type apart */

/* ---- init.c: random weights that anyone can compute again; docs/weights.md defines them ---- */

/* The bound of uniform weights whose dimensions after the first multiply to `fan_in`. */
float init_bound(int64_t fan_in);
/* Elements of the weight `path`: `shape` has its sizes and type; `init` is what was
 * declared. */
void init_fill(uint64_t seed, const char *path, const RefShape *shape, double init, bool state,
               Number *values);
bool init_seed(const char *text, uint64_t *seed); /* false where it is no number */

/* ---- rename.c: --rename FILE ---- */

typedef struct Renames Renames;
/* One of our weights, and the tensors of theirs that it is made of. */
typedef struct Renamed {
    const char *ours, *theirs[RENAME_MAX];
    int count;                  /* of theirs */
    int part, parts;            /* it is this one of those that they make */
    const Transform *transform; /* NULL: it is theirs[0] as it is */
} Renamed;
typedef Vec(Renamed) RenamedList;

/* NULL with a diagnostic where the file is wrong. */
Renames *renames_read(Arena *arena, Diagnostics *diag, const char *path);
/* What a tensor is made to, beginning with it, by the first line that fits: a line of
 * several names fits where `has` says that all of them are there, and makes its weights
 * of the first. Nothing where a line drops the tensor, or uses it up; the tensor itself
 * where no line fits. */
void renames_apply(const Renames *renames, Arena *arena, const char *name,
                   bool (*has)(void *context, const char *name), void *context, RenamedList *out);
/* Whether `text` has the form of `pattern`, in which * stands for any text. */
bool pattern_matches(const char *pattern, const char *text);

#endif
