/* libFuzzer's side: FUZZ_TARGET in the environment says which target gets the bytes, so
 * that one binary is linked for all. */
#include "fuzz.h"
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t count);
size_t LLVMFuzzerCustomMutator(unsigned char *bytes, size_t count, size_t limit, unsigned seed);
size_t LLVMFuzzerMutate(unsigned char *bytes, size_t count, size_t limit);

typedef struct FuzzTarget {
    const char *name;
    void (*run)(const unsigned char *bytes, size_t count);
    int tokens_in_16; /* how many of 16 mutations are of tokens and lines; the others are of bytes */
} FuzzTarget;

static const FuzzTarget targets[] = {
    {"source", fuzz_source, 4},     {"language", fuzz_language, 15}, {"files", fuzz_files, 0},
    {"data", fuzz_data, 0},         {"weights", fuzz_weights, 0},    {"onnx", fuzz_onnx, 0},
    {"rewrites", fuzz_rewrites, 0}, {"programs", fuzz_programs, 0},
};
static const FuzzTarget *target;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *name = getenv("FUZZ_TARGET");
    for (int i = 0; i < COUNT_OF(targets); i++)
        if (name && strcmp(targets[i].name, name) == 0) target = &targets[i];
    if (!target) {
        fputs("FUZZ_TARGET is to be source, language, files, data, weights, onnx, rewrites or programs\n",
              stderr);
        exit(2);
    }
    if (target->tokens_in_16) mutate_open();
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t count) {
    target->run(bytes, count);
    return 0;
}

size_t LLVMFuzzerCustomMutator(unsigned char *bytes, size_t count, size_t limit, unsigned seed) {
    if ((int)(seed >> 8 & 15) < target->tokens_in_16) return mutate_source(bytes, count, limit, seed);
    return LLVMFuzzerMutate(bytes, count, limit);
}
