/* The two ends of a numerics case, CASE.txt and CASE.safetensors (cases.py says what they
 * hold):
 *
 *   check inputs CASE FOLDER         writes the case's inputs, FOLDER/NAME.npy each
 *   check outputs CASE FOLDER TIMES  says how far our outputs, FOLDER/NAME.npy each, are from
 *                                    the case's samples, and fails where that is over TIMES
 *                                    PyTorch's own error */
#include "files/files.h"
#include "base/base.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SEED 7
#define LONGEST 512

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

/* ---- inputs: `input NAME TYPE LOW HIGH SIZE...` ----
 *
 * Elements from LOW to HIGH; integers below HIGH where TYPE is i32. */

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
    if (sscanf(line, "input %63s %7s %lf %lf%n", name, type, &low, &high, &used) != 4)
        fail(line, "is no input");
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
    if (!cai_tensor_count(&tensor, &bytes) || !cai_tensors_write(path, &tensor, 1, &error))
        fail(path, "cannot be written");
    free(values);
}

/* ---- outputs: `output NAME ELEMENTS RMS`, and in CASE.safetensors its samples ---- */

typedef struct Output {
    char name[64];
    int64_t elements;
    double rms;
} Output;

/* Opens PATH, which must hold what `numbers CRC` of the case says. */
static cai_tensor_file open_samples(const char *path, const char *line) {
    cai_tensor_file file;
    cai_error error;
    unsigned wanted;
    if (sscanf(line, "numbers %x", &wanted) != 1) fail(line, "is no checksum");
    if (!cai_tensors_open(path, &file, &error)) fail("the samples cannot be read", error.message);
    if (crc32(0, file.file.data, (uInt)file.file.count) != wanted)
        fail(path, "holds other numbers than the case was made with");
    return file;
}

/* Sample i of `count` stands at this element: they are spread evenly from the first to
 * the last. */
static int64_t sample_place(int64_t i, int64_t count, int64_t elements) {
    return count < 2 ? 0 : llrint((double)i * ((double)(elements - 1) / (double)(count - 1)));
}

/* The root of the mean square of the error of ours over the samples. */
static double output_error(const Output *o, const cai_tensor *samples, const cai_tensor *ours) {
    double squares = 0;
    for (int64_t i = 0; i < samples->count; i++) {
        double expected, got;
        cai_tensor_to_f64(samples, i, 1, &expected);
        cai_tensor_to_f64(ours, sample_place(i, samples->count, o->elements), 1, &got);
        squares += (got - expected) * (got - expected);
    }
    return sqrt(squares / (double)samples->count);
}

/* Whether it is near enough. Where PyTorch makes no error (whole numbers), none may be
 * made. */
static bool check_output(const char *line, const cai_tensor_file *file, const char *folder, double times) {
    Output o;
    char path[LONGEST];
    cai_error error;
    cai_tensor_file ours;
    if (sscanf(line, "output %63s %" SCNd64 " %lf", o.name, &o.elements, &o.rms) != 3)
        fail(line, "is no output");
    const cai_tensor *samples = cai_tensors_find(file, o.name);
    if (!samples || samples->count < 1 || samples->count > o.elements)
        fail(o.name, "has no samples, or more than elements");
    snprintf(path, sizeof path, "%s/%s.npy", folder, o.name);
    if (!cai_tensors_open(path, &ours, &error)) fail(path, error.message);
    if (ours.tensors[0].count != o.elements) fail(path, "has another number of elements");
    const double rms = output_error(&o, samples, &ours.tensors[0]);
    printf("%s: %" PRId64 " samples, error %.2e, PyTorch's %.2e: %.2f times\n", o.name, samples->count, rms,
           o.rms, o.rms > 0 ? rms / o.rms : rms);
    cai_tensors_close(&ours);
    return rms <= fmax(times * o.rms, 1e-11); /* where PyTorch's is none: what twelve digits leave out */
}

/* The checksum's line stands before the outputs'. */
static int check_outputs(FILE *lines, const char *path, const char *folder, double times) {
    char line[LONGEST];
    cai_tensor_file file = {0};
    int64_t outputs = 0;
    bool good = true;
    while (fgets(line, sizeof line, lines)) {
        if (strncmp(line, "numbers ", 8) == 0) file = open_samples(path, line);
        if (strncmp(line, "output ", 7) != 0) continue;
        good = check_output(line, &file, folder, times) && good;
        outputs++;
    }
    if (outputs == 0 || outputs != file.count) fail(path, "has not one tensor for each output of the case");
    cai_tensors_close(&file);
    return good ? 0 : 1;
}

static int write_inputs(FILE *lines, const char *folder) {
    char line[LONGEST];
    while (fgets(line, sizeof line, lines))
        if (strncmp(line, "input ", 6) == 0) write_input(line, folder);
    return 0;
}

int main(int count, char **words) {
    const bool inputs = count == 4 && strcmp(words[1], "inputs") == 0,
               outputs = count == 5 && strcmp(words[1], "outputs") == 0;
    if (!inputs && !outputs) fail("usage", "check inputs CASE FOLDER, or check outputs CASE FOLDER TIMES");
    char text[LONGEST], numbers[LONGEST];
    snprintf(text, sizeof text, "%s.txt", words[2]);
    snprintf(numbers, sizeof numbers, "%s.safetensors", words[2]);
    FILE *lines = fopen(text, "r");
    if (!lines) fail(text, "cannot be opened");
    const int code =
        inputs ? write_inputs(lines, words[3]) : check_outputs(lines, numbers, words[3], atof(words[4]));
    fclose(lines);
    return code;
}
