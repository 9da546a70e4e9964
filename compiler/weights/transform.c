/* What a line of --rename can do to tensors, one row of `kinds` each. It can rearrange
 * one tensor: Keras has another order of axes for kernels, and some frameworks store a
 * dense layer as a 1x1 convolution. Or it can fold several (fold.c). */
#include "weights/transform.h"
#include <errno.h>
#include <stdlib.h>

/* ---- rearranging one tensor ---- */

/* The axis of their tensor that becomes axis `i` of ours. */
static int source_axis(const Transform *t, int rank, int i) {
    return t->number_count ? (int)t->numbers[i] : rank - 1 - i;
}

static bool permuted_sizes(const Transform *t, const TransformPlace *at, cai_tensor *to) {
    const cai_tensor *from = at->theirs[0];
    *to = *from;
    if (t->number_count && t->number_count != from->rank) return false;
    for (int i = 0; i < to->rank; i++) to->dims[i] = from->dims[source_axis(t, from->rank, i)];
    return true;
}

static void permute_elements(const Transform *t, const TransformPlace *at, const cai_tensor *to,
                             unsigned char *out) {
    const cai_tensor *from = at->theirs[0];
    int64_t stride = 1, theirs[CAI_MAX_RANK], ours[CAI_MAX_RANK];
    for (int i = from->rank - 1; i >= 0; stride *= from->dims[i--]) theirs[i] = stride;
    for (int i = 0; i < to->rank; i++) ours[i] = theirs[source_axis(t, from->rank, i)];
    gather_elements(to, ours, from->data, out);
}

static bool reshaped_sizes(const Transform *t, const TransformPlace *at, cai_tensor *to) {
    const cai_tensor *from = at->theirs[0];
    int64_t known = 1;
    int free = -1;
    *to = *from;
    to->rank = t->number_count;
    for (int i = 0; i < to->rank; i++) {
        to->dims[i] = t->numbers[i];
        if (t->numbers[i] < 0) free = i;
        else if (__builtin_mul_overflow(known, t->numbers[i], &known)) return false;
    }
    if (free >= 0) to->dims[free] = from->count / known;
    return free >= 0 ? from->count % known == 0 : from->count == known;
}

static void copy_elements(const Transform *t, const TransformPlace *at, const cai_tensor *to,
                          unsigned char *out) {
    (void)t;
    memcpy(out, at->theirs[0]->data, (size_t)(to->count * cai_type_bytes(to->type)));
}

/* ---- numbers after the word ---- */

static bool is_permutation(const Transform *t) {
    unsigned seen = 0;
    for (int i = 0; i < t->number_count; i++) {
        if (t->numbers[i] < 0 || t->numbers[i] >= t->number_count) return false;
        seen |= 1u << t->numbers[i];
    }
    return t->number_count && seen == (1u << t->number_count) - 1;
}

static bool are_sizes(const Transform *t) {
    int free = 0;
    for (int i = 0; i < t->number_count; i++) {
        if (t->numbers[i] < -1 || t->numbers[i] == 0) return false;
        free += t->numbers[i] == -1;
    }
    return t->number_count && free <= 1;
}

static bool has_no_number(const Transform *t) { return t->number_count == 0; }

static bool is_axis(const Transform *t) {
    return t->number_count == 0 ||
           (t->number_count == 1 && t->numbers[0] >= 0 && t->numbers[0] < CAI_MAX_RANK);
}

/* ---- the table ---- */

enum { MANY = RENAME_MAX };

static const struct TransformKind {
    const char *word;
    int least_theirs, most_theirs, most_ours; /* how many names a line with it has */
    /* checks its numbers; NULL: the number is an epsilon, or left out */
    bool (*are_numbers)(const Transform *t);
    bool (*sizes)(const Transform *t, const TransformPlace *at, cai_tensor *to);
    void (*elements)(const Transform *t, const TransformPlace *at, const cai_tensor *to, unsigned char *out);
    const char *names; /* names of theirs and ours, for messages */
} kinds[] = {
    {"transpose", 1, 1, 1, has_no_number, permuted_sizes, permute_elements, "X -> Y"},
    {"permute", 1, 1, 1, is_permutation, permuted_sizes, permute_elements, "X -> Y"},
    {"reshape", 1, 1, 1, are_sizes, reshaped_sizes, copy_elements, "X -> Y"},
    {"concat", 2, MANY, 1, is_axis, fold_concat_sizes, fold_concat, "A B .. -> Y"},
    {"split", 1, 1, MANY, is_axis, fold_split_sizes, fold_split, "X -> A B .."},
    {"sum", 2, MANY, 1, has_no_number, fold_same_sizes, fold_sum, "A B .. -> Y"},
    {"weight_norm", 2, 2, 1, has_no_number, fold_weight_norm_sizes, fold_weight_norm, "G V -> WEIGHT"},
    {"spectral_norm", 3, 3, 1, is_axis, fold_spectral_norm_sizes, fold_spectral_norm,
     "ORIGINAL U V -> WEIGHT"},
    {"batchnorm", 5, 6, 2, NULL, fold_batchnorm_sizes, fold_batchnorm,
     "WEIGHT [BIAS] SCALE SHIFT MEAN VARIANCE -> WEIGHT BIAS"},
};

static const struct TransformKind *kind_of(const Transform *t) { return &kinds[t->kind]; }

static bool read_transform_numbers(const char *at, const char *end, Transform *t) {
    while (at < end) {
        char *behind;
        errno = 0;
        long long number = strtoll(at, &behind, 10);
        if (behind == at || behind > end || errno || t->number_count == CAI_MAX_RANK) return false;
        t->numbers[t->number_count++] = number;
        for (at = behind; at < end && (*at == ' ' || *at == ','); at++) {}
    }
    return true;
}

/* The epsilon that is added to a variance; by default 1e-5. */
static bool read_epsilon(const char *at, const char *end, Transform *t) {
    char *behind = (char *)end;
    t->epsilon = at < end ? strtod(at, &behind) : 1e-5;
    return behind == end && t->epsilon > 0 && t->epsilon < 1;
}

bool transform_parse(const char *text, size_t length, Transform *t) {
    size_t word = 0;
    while (word < length && text[word] != ' ') word++;
    const char *end = text + length, *at = text + word;
    while (at < end && *at == ' ') at++;
    for (int i = 0; i < COUNT_OF(kinds); i++) {
        if (strlen(kinds[i].word) != word || memcmp(kinds[i].word, text, word) != 0) continue;
        *t = (Transform){.kind = i};
        return kinds[i].are_numbers ? read_transform_numbers(at, end, t) && kinds[i].are_numbers(t)
                                    : read_epsilon(at, end, t);
    }
    return false;
}

bool transform_takes(const Transform *t, int theirs, int ours) {
    const struct TransformKind *kind = kind_of(t);
    const bool several = kind->most_ours > 1;
    return theirs >= kind->least_theirs && theirs <= kind->most_theirs && ours <= kind->most_ours &&
           ours >= (several ? 2 : 1);
}

const char *transform_word(const Transform *t) { return kind_of(t)->word; }
const char *transform_names(const Transform *t) { return kind_of(t)->names; }

bool transform_sizes(const Transform *t, const TransformPlace *at, cai_tensor *to) {
    if (!kind_of(t)->sizes(t, at, to)) return false;
    to->data = NULL;
    to->name = at->theirs[0]->name;
    uint64_t bytes;
    return cai_tensor_count(to, &bytes);
}

void transform_elements(const Transform *t, const TransformPlace *at, const cai_tensor *to,
                        unsigned char *out) {
    kind_of(t)->elements(t, at, to, out);
}

bool transpose_fits(const cai_tensor *tensor, cai_tensor *turned) {
    static const Transform transpose = {.kind = 0}; /* its row in `kinds` */
    return transform_sizes(&transpose, &(TransformPlace){.theirs = {tensor}, .count = 1}, turned);
}
