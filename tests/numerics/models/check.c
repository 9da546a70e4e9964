/* The two ends of a numerics case (make.py says what a case is):
 *
 *   check input CASE FILE.npy     writes the case's input
 *   check output CASE FILE.npy    says how far our output is from the case's samples, and fails where that is over twice PyTorch's own error
 *   check winograd CASE FILE.npy  the same of a program that convolves by Winograd, with four times the error
 */
#include "runtime.h"
#include "support/support.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 7

typedef struct Case {
    int rank;
    int64_t dims[8], count, elements;
    double rms;
    FILE *samples; /* stands at the first of them */
} Case;

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

static Case case_open(const char *path) {
    Case c = {.count = 1, .samples = fopen(path, "r")};
    if (!c.samples) fail(path, "cannot be opened");
    char line[512];
    while (c.rms == 0 && fgets(line, sizeof line, c.samples)) {
        sscanf(line, "elements %" SCNd64, &c.elements);
        sscanf(line, "rms %lf", &c.rms);
        if (strncmp(line, "input ", 6) != 0) continue;
        for (char *word = strtok(line + 6, " \n"); word && c.rank < 8; word = strtok(NULL, " \n"))
            c.count *= c.dims[c.rank++] = strtoll(word, NULL, 10);
    }
    if (c.rms == 0) fail(path, "has no samples");
    return c;
}

static int write_input(const Case *c, const char *path) {
    uint64_t stream = random_stream(SEED, "input");
    float *values = malloc(sizeof *values * (size_t)c->count);
    if (!values) fail(path, "no memory");
    for (int64_t i = 0; i < c->count; i++) values[i] = random_unit(stream, i);
    cai_tensor tensor = {.name = "input", .type = CAI_F32, .rank = c->rank, .data = (const unsigned char *)values};
    memcpy(tensor.dims, c->dims, sizeof *c->dims * (size_t)c->rank);
    uint64_t bytes;
    cai_error error;
    if (!cai_tensor_count(&tensor, &bytes) || !cai_tensors_write(path, &tensor, 1, &error)) fail(path, "cannot be written");
    free(values);
    return 0;
}

static int check_output(const Case *c, const char *path, double times) {
    cai_tensor_file file;
    cai_error error;
    if (!cai_tensors_open(path, &file, &error)) fail(path, error.message);
    if (file.tensors[0].count != c->elements) fail(path, "has another number of elements");
    double squares = 0, expected, got;
    int64_t samples = 0, index;
    while (fscanf(c->samples, "%" SCNd64 " %lf", &index, &expected) == 2) {
        cai_tensor_to_f64(&file.tensors[0], index, 1, &got);
        squares += (got - expected) * (got - expected);
        samples++;
    }
    double rms = sqrt(squares / (double)samples);
    printf("%" PRId64 " samples, error %.2e, PyTorch's %.2e: %.2f times\n", samples, rms, c->rms, rms / c->rms);
    cai_tensors_close(&file);
    return samples > 0 && rms <= times * c->rms ? 0 : 1;
}

int main(int count, char **words) {
    if (count != 4) fail("usage", "check input|output|winograd CASE FILE.npy");
    Case c = case_open(words[2]);
    bool input = strcmp(words[1], "input") == 0, winograd = strcmp(words[1], "winograd") == 0;
    int code = input ? write_input(&c, words[3]) : check_output(&c, words[3], winograd ? 4 : 2);
    fclose(c.samples);
    return code;
}
