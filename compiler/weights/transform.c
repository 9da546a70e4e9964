/* What a line of --rename may do to a tensor: Keras orders the axes of kernels
 * differently, and some frameworks store a dense layer as a 1x1 convolution. */
#include "weights/table.h"
#include "weights/weights.h"
#include <errno.h>
#include <stdlib.h>

/* ---- reading ---- */

static bool read_transform_numbers(const char *at, const char *end, Transform *t) {
    while (at < end) {
        char *behind;
        errno = 0;
        long long number = strtoll(at, &behind, 10);
        if (behind == at || behind > end || errno || t->rank == CAI_MAX_RANK) return false;
        t->numbers[t->rank++] = number;
        for (at = behind; at < end && (*at == ' ' || *at == ','); at++) {}
    }
    return t->rank > 0;
}

static bool is_permutation(const Transform *t) {
    unsigned seen = 0;
    for (int i = 0; i < t->rank; i++) {
        if (t->numbers[i] < 0 || t->numbers[i] >= t->rank) return false;
        seen |= 1u << t->numbers[i];
    }
    return seen == (1u << t->rank) - 1;
}

static bool are_sizes(const Transform *t) {
    int free = 0;
    for (int i = 0; i < t->rank; i++) {
        if (t->numbers[i] < -1 || t->numbers[i] == 0) return false;
        free += t->numbers[i] == -1;
    }
    return free <= 1;
}

static bool phrase_begins(const char *text, size_t length, const char *word) {
    return length >= strlen(word) && memcmp(text, word, strlen(word)) == 0;
}

bool transform_parse(const char *text, size_t length, Transform *t) {
    static const char permute[] = "permute ", reshape[] = "reshape ", transpose[] = "transpose";
    const char *end = text + length;
    if (phrase_begins(text, length, permute)) {
        *t = (Transform){.kind = TRANSFORM_PERMUTE};
        return read_transform_numbers(text + strlen(permute), end, t) && is_permutation(t);
    }
    if (phrase_begins(text, length, reshape)) {
        *t = (Transform){.kind = TRANSFORM_RESHAPE};
        return read_transform_numbers(text + strlen(reshape), end, t) && are_sizes(t);
    }
    *t = (Transform){.kind = TRANSFORM_TRANSPOSE};
    return length == strlen(transpose) && phrase_begins(text, length, transpose);
}

/* ---- sizes ---- */

/* The axis of theirs that becomes axis `i` of ours. */
static int source_axis(const Transform *t, int rank, int i) {
    return t->kind == TRANSFORM_TRANSPOSE ? rank - 1 - i : (int)t->numbers[i];
}

static bool reshaped_sizes(const Transform *t, const cai_tensor *from, cai_tensor *to) {
    int64_t known = 1;
    int free = -1;
    for (int i = 0; i < t->rank; i++) {
        to->dims[i] = t->numbers[i];
        if (t->numbers[i] < 0) free = i;
        else if (__builtin_mul_overflow(known, t->numbers[i], &known)) return false;
    }
    if (free >= 0) to->dims[free] = from->count / known;
    return free >= 0 ? from->count % known == 0 : from->count == known;
}

bool transform_sizes(const Transform *t, const cai_tensor *from, cai_tensor *to) {
    *to = *from;
    to->data = NULL;
    to->rank = t->kind == TRANSFORM_TRANSPOSE ? from->rank : t->rank;
    if (t->kind == TRANSFORM_RESHAPE) return reshaped_sizes(t, from, to);
    if (to->rank != from->rank) return false;
    for (int i = 0; i < to->rank; i++) to->dims[i] = from->dims[source_axis(t, from->rank, i)];
    return true;
}

/* ---- elements ---- */

void transform_elements(const Transform *t, const cai_tensor *from, const cai_tensor *to,
                        unsigned char *out) {
    int64_t stride = 1, theirs[CAI_MAX_RANK], ours[CAI_MAX_RANK];
    if (t->kind == TRANSFORM_RESHAPE) {
        memcpy(out, from->data, (size_t)(from->count * cai_type_bytes(from->type)));
        return;
    }
    for (int i = from->rank - 1; i >= 0; stride *= from->dims[i--]) theirs[i] = stride;
    for (int i = 0; i < to->rank; i++) ours[i] = theirs[source_axis(t, from->rank, i)];
    gather_elements(to, ours, from->data, out);
}
