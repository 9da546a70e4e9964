/* What a line of --rename can do to the elements of tensors: `[transpose]`, `[concat]`,
 * `[weight_norm]`. */
#ifndef CAI_WEIGHT_TRANSFORM_H
#define CAI_WEIGHT_TRANSFORM_H

#include "weights/table.h"

enum { RENAME_MAX = 8 }; /* names on one side of a line */

typedef struct Transform {
    int kind;         /* index of a row in transform.c */
    int number_count; /* numbers after the word: axes or sizes, one of which may be -1 */
    int64_t numbers[CAI_MAX_RANK];
    double epsilon; /* for kinds that divide by a variance */
} Transform;

/* Tensors of the file, and which tensor of the model is made of them. */
typedef struct TransformPlace {
    const cai_tensor *theirs[RENAME_MAX];
    int count;
    int part, parts; /* index of this tensor among those that are made, and their number */
} TransformPlace;

/* Parses "transpose", "permute 3 2 0 1", "concat 1"; false if the text is not known. */
bool transform_parse(const char *text, size_t length, Transform *transform);
/* Whether it makes `ours` tensors of `theirs`. */
bool transform_takes(const Transform *transform, int theirs, int ours);
const char *transform_word(const Transform *transform);
const char *transform_names(const Transform *transform); /* "G V -> WEIGHT" */
/* Type and sizes of the result; false if the given tensors do not have the axes or the
 * elements for it. */
bool transform_sizes(const Transform *transform, const TransformPlace *at, cai_tensor *to);
/* Writes the elements of the result, to->count of to->type, into `out`. */
void transform_elements(const Transform *transform, const TransformPlace *at, const cai_tensor *to,
                        unsigned char *out);
/* Computes the sizes of the transposed tensor. */
bool transpose_fits(const cai_tensor *tensor, cai_tensor *turned);

/* ---- fold.c: kinds that make one tensor of several, or several of one ---- */

typedef bool FoldSizes(const Transform *t, const TransformPlace *at, cai_tensor *to);
typedef void FoldElements(const Transform *t, const TransformPlace *at, const cai_tensor *to,
                          unsigned char *out);
FoldSizes fold_concat_sizes, fold_split_sizes, fold_same_sizes, fold_weight_norm_sizes,
    fold_spectral_norm_sizes, fold_batchnorm_sizes;
FoldElements fold_concat, fold_split, fold_sum, fold_weight_norm, fold_spectral_norm, fold_batchnorm;

#endif
