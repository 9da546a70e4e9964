/* What the tests of the library form share: checks that count, an input of the model mix,
 * a hash of its results. */
#ifndef CHECK_H
#define CHECK_H

#include "mix.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_count, check_failures;

static void check_that(int good, const char *what, int line) {
    check_count++;
    if (!good) printf("line %d: %s\n", line, what);
    check_failures += !good;
}
#define CHECK(condition) check_that((condition) != 0, #condition, __LINE__)

typedef struct Case { /* a run of mix: its buffers, with what a library takes of them */
    int64_t photo_shape[4], which_shape[1];
    float *photo, *clean, *half, *scores;
    int32_t which[2];
    cai_in in[2];
    cai_out out[3];
} Case;

static float *floats(int64_t count) { return (float *)calloc((size_t)count, sizeof(float)); }

static void case_init(Case *c, int64_t n, int64_t h, int64_t w, unsigned seed) {
    const int64_t plane = h * w;
    size_t bytes = sizeof(float) * (size_t)(n * plane);
    int64_t i;
    c->photo_shape[0] = n, c->photo_shape[1] = 3, c->photo_shape[2] = h, c->photo_shape[3] = w;
    c->which_shape[0] = 2, c->which[0] = 1, c->which[1] = 7;
    c->photo = floats(3 * n * plane), c->clean = floats(3 * n * plane), c->half = floats(2 * n * plane),
    c->scores = floats(4 * n);
    for (i = 0; i < 3 * n * plane; i++) {
        seed = seed * 1664525u + 1013904223u;
        c->photo[i] = (float)(seed >> 16) / 65536;
    }
    c->in[0].data = c->photo, c->in[0].bytes = 3 * bytes, c->in[0].shape = c->photo_shape, c->in[0].rank = 4;
    c->in[1].data = c->which, c->in[1].bytes = sizeof c->which, c->in[1].shape = c->which_shape,
    c->in[1].rank = 1;
    c->out[0].data = c->clean, c->out[0].bytes = 3 * bytes;
    c->out[1].data = c->half, c->out[1].bytes = 2 * bytes;
    c->out[2].data = c->scores, c->out[2].bytes = sizeof(float) * 4 * (size_t)n;
}

static void case_free(Case *c) { free(c->photo), free(c->clean), free(c->half), free(c->scores); }

/* FNV-1a over all results, which are cleared: equal bits give equal numbers. */
static uint64_t case_hash(Case *c) {
    uint64_t hash = 14695981039346656037u;
    size_t i;
    int k;
    for (k = 0; k < 3; k++) {
        unsigned char *bytes = (unsigned char *)c->out[k].data;
        for (i = 0; i < c->out[k].bytes; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
        memset(bytes, 0, c->out[k].bytes);
    }
    return hash;
}

static uint64_t case_run(mix_context *context, Case *c) {
    cai_status status = mix_run(context, c->in, 2, c->out, 3);
    if (status != CAI_OK) printf("%s\n", mix_message(context));
    CHECK(status == CAI_OK);
    return case_hash(c);
}

static int check_end(const char *name) {
    printf("%s: %d checks, %d failed\n", name, check_count, check_failures);
    return check_failures != 0;
}

#endif
