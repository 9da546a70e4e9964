/* The two ends of a numerics case (cases.py says what a case is):
 *
 *   check inputs CASE FOLDER         writes the case's inputs, FOLDER/NAME.npy each
 *   check outputs CASE FOLDER TIMES  says how far our outputs, FOLDER/NAME.npy each, are from the case's samples, and fails where that is over
 *                                    TIMES PyTorch's own error
 */
#include "files/files.h"
#include "base/base.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 7
#define LONGEST 512

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

/* ---- inputs: `input NAME TYPE LOW HIGH SIZE...`, element i from LOW to HIGH; whole numbers below HIGH, where TYPE is i32 ---- */

static void fill(const char *name, double low, double high, bool whole, int64_t count, void *values) {
    uint64_t stream = random_stream(SEED, name);
    for (int64_t i = 0; i < count; i++) {
        const float unit = random_unit(stream, i);
        if (whole) ((int32_t *)values)[i] = (int32_t)floor(low + (high - low) * unit);
        else ((float *)values)[i] = (float)low + (float)(high - low) * unit;
    }
}

static void write_input(const char *line, const char *folder) {
    char name[64], type[8], path[LONGEST];
    double low, high;
    int used = 0;
    if (sscanf(line, "input %63s %7s %lf %lf%n", name, type, &low, &high, &used) != 4) fail(line, "is no input");
    const bool whole = strcmp(type, "i32") == 0;
    cai_tensor tensor = {.name = name, .type = whole ? CAI_I32 : CAI_F32};
    int64_t count = 1, size;
    for (int more; tensor.rank < 8 && sscanf(line + used, "%" SCNd64 "%n", &size, &more) == 1; used += more)
        count *= tensor.dims[tensor.rank++] = size;
    void *values = malloc(4 * (size_t)count);
    if (!values) fail(name, "no memory");
    fill(name, low, high, whole, count, values);
    tensor.data = values;
    uint64_t bytes;
    cai_error error;
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    if (!cai_tensor_count(&tensor, &bytes) || !cai_tensors_write(path, &tensor, 1, &error)) fail(path, "cannot be written");
    free(values);
}

/* ---- outputs: `output NAME ELEMENTS RMS`, and below it its samples, `INDEX VALUE` each ---- */

typedef struct Output {
    char name[64];
    int64_t elements, samples;
    double rms, squares;
    cai_tensor_file file;
} Output;

static Output output_open(const char *line, const char *folder) {
    Output o = {0};
    char path[LONGEST];
    cai_error error;
    if (sscanf(line, "output %63s %" SCNd64 " %lf", o.name, &o.elements, &o.rms) != 3) fail(line, "is no output");
    snprintf(path, sizeof path, "%s/%s.npy", folder, o.name);
    if (!cai_tensors_open(path, &o.file, &error)) fail(path, error.message);
    if (o.file.tensors[0].count != o.elements) fail(path, "has another number of elements");
    return o;
}

static void add_sample(Output *o, const char *line) {
    int64_t index;
    double expected, got;
    if (sscanf(line, "%" SCNd64 " %lf", &index, &expected) != 2 || index < 0 || index >= o->elements) fail(line, "is no sample");
    cai_tensor_to_f64(&o->file.tensors[0], index, 1, &got);
    o->squares += (got - expected) * (got - expected);
    o->samples++;
}

/* Whether it is near enough. Where PyTorch makes no error (whole numbers), none may be made. */
static bool output_close(Output *o, double times) {
    const double rms = sqrt(o->squares / (double)o->samples);
    printf("%s: %" PRId64 " samples, error %.2e, PyTorch's %.2e: %.2f times\n", o->name, o->samples, rms, o->rms, o->rms > 0 ? rms / o->rms : rms);
    cai_tensors_close(&o->file);
    return o->samples > 0 && rms <= fmax(times * o->rms, 1e-11); /* where PyTorch's is none: what twelve digits leave out */
}

static int check_outputs(FILE *lines, const char *folder, double times) {
    char line[LONGEST];
    Output output = {0};
    bool good = true, open = false;
    while (fgets(line, sizeof line, lines)) {
        const bool begins = strncmp(line, "output ", 7) == 0;
        if (begins && open) good = output_close(&output, times) && good;
        if (begins) output = output_open(line, folder);
        else if (open) add_sample(&output, line);
        open = open || begins;
    }
    return open && output_close(&output, times) && good ? 0 : 1;
}

static int write_inputs(FILE *lines, const char *folder) {
    char line[LONGEST];
    while (fgets(line, sizeof line, lines) && strncmp(line, "output ", 7) != 0)
        if (strncmp(line, "input ", 6) == 0) write_input(line, folder);
    return 0;
}

int main(int count, char **words) {
    const bool inputs = count == 4 && strcmp(words[1], "inputs") == 0, outputs = count == 5 && strcmp(words[1], "outputs") == 0;
    if (!inputs && !outputs) fail("usage", "check inputs CASE FOLDER, or check outputs CASE FOLDER TIMES");
    FILE *lines = fopen(words[2], "r");
    if (!lines) fail(words[2], "cannot be opened");
    const int code = inputs ? write_inputs(lines, words[3]) : check_outputs(lines, words[3], atof(words[4]));
    fclose(lines);
    return code;
}
