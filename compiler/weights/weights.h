/* Where the values of parameters and states come from: trained files, matched strictly by
 * name, or a seed. */
#ifndef CAI_WEIGHTS_H
#define CAI_WEIGHTS_H

#include "elaborate/elaborate.h"
#include "files/files.h"

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
/* A hash of the files (path, size and time of change) and the seed, for the cache of `cai
 * run`. */
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

/* ---- transform.c: what --rename does to elements ---- */

typedef enum TransformKind { TRANSFORM_PERMUTE, TRANSFORM_TRANSPOSE, TRANSFORM_RESHAPE } TransformKind;
typedef struct Transform {
    TransformKind kind;
    int rank; /* PERMUTE, RESHAPE */
    /* PERMUTE: the axis of theirs that becomes each of ours; RESHAPE: sizes, one may be
     * -1 */
    int64_t numbers[CAI_MAX_RANK];
} Transform;

/* "transpose", "permute 3 2 0 1" or "reshape 64 3 -1"; false where it is none of
 * these. */
bool transform_parse(const char *text, size_t length, Transform *transform);
/* The sizes that a tensor then has; false where it has not the axes, or the elements, for
 * it. */
bool transform_sizes(const Transform *transform, const cai_tensor *from, cai_tensor *to);
/* The elements, into to->data's place: as many bytes as they are in `from`. */
void transform_elements(const Transform *transform, const cai_tensor *from, const cai_tensor *to,
                        unsigned char *out);

/* ---- rename.c: --rename FILE ---- */

typedef struct Renames Renames;
/* NULL with a diagnostic where the file is wrong. */
Renames *renames_read(Arena *arena, Diagnostics *diag, const char *path);
/* Our name for theirs: itself where no line matches, NULL where a line drops it.
 * *transform is what the line says of the elements, NULL for nothing. */
const char *renames_apply(const Renames *renames, Arena *arena, const char *name,
                          const Transform **transform);
/* Whether `text` has the form of `pattern`, in which * stands for any text. */
bool pattern_matches(const char *pattern, const char *text);

#endif
