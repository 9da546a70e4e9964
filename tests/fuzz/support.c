/* See fuzz.h. */
#include "fuzz.h"
#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void fuzz_broken(const char *file, int line, const char *condition) {
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition);
    abort();
}

/* The helpers of tests/unit assert by CUnit's macros; here a failure is a finding. */
CU_BOOL CU_assertImplementation(CU_BOOL value, unsigned line, const char *condition, const char *file,
                                const char *function, CU_BOOL fatal) {
    (void)function, (void)fatal;
    if (!value) fuzz_broken(file, (int)line, condition);
    return CU_TRUE;
}

static char folder[] = "/tmp/cai-fuzz-XXXXXX";

static void remove_folder(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command)) return;
}

static void make_folder(void) {
    static bool made;
    if (made) return;
    made = true;
    if (!mkdtemp(folder)) abort();
    atexit(remove_folder);
}

const char *fuzz_file(const char *ending, const unsigned char *bytes, size_t count) {
    static char path[64];
    make_folder();
    snprintf(path, sizeof path, "%s/x%s", folder, ending);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, count, file) != count || fclose(file) != 0) abort();
    return path;
}

FILE *fuzz_nowhere(void) {
    static FILE *nowhere;
    if (!nowhere) nowhere = fopen("/dev/null", "w");
    if (!nowhere) abort();
    return nowhere;
}
