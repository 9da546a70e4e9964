/* A shared library is opened, used and closed again and again: memory and threads stay
 * what they were. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "double.h"

static long resident_kb(void) {
    char line[200];
    long kb = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0) kb = strtol(line + 6, NULL, 10);
    if (file) fclose(file);
    return kb;
}

static int once(const char *path) {
    float x[20] = {1}, y[8];
    cai_in in = {x, sizeof x, NULL, 0};
    cai_out out = {y, sizeof y};
    double_context *context = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    cai_status (*create)(double_context **),
        (*run)(double_context *, const cai_in *, int, const cai_out *, int);
    cai_status (*set_threads)(double_context *, int);
    void (*destroy)(double_context *);
    int bad;
    if (!library) return printf("%s\n", dlerror());
    *(void **)&create = dlsym(library, "double_create");
    *(void **)&run = dlsym(library, "double_run");
    *(void **)&set_threads = dlsym(library, "double_set_threads");
    *(void **)&destroy = dlsym(library, "double_destroy");
    bad = create(&context) != CAI_OK || set_threads(context, 3) != CAI_OK ||
          run(context, &in, 1, &out, 1) != CAI_OK;
    destroy(context);
    return bad | dlclose(library) | (dlopen(path, RTLD_NOW | RTLD_NOLOAD) != NULL);
}

int main(int argc, char **argv) {
    int i, bad = argc != 2;
    long before = 0, after;
    for (i = 0; i < 1000 && !bad; i++) {
        bad = once(argv[1]);
        if (i == 99) before = resident_kb();
    }
    after = resident_kb();
    if (after > before + 300)
        bad = printf("%ld kB resident after 100 times, %ld after 1000\n", before, after);
    printf("reload: 1 checks, %d failed\n", bad != 0);
    return bad != 0;
}
