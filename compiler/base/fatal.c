/* Exits that no diagnostic reports: bugs of cai itself, and running out of memory. */
#include "base/base.h"
#include <stdlib.h>

void internal_error(const char *file, int line, const char *format, ...) {
    fflush(stdout);
    fprintf(stderr, "cai: internal error at %s:%d: ", file, line);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\nThis is a bug in cai, not in your file. Please report it with the file that shows it.\n",
          stderr);
    exit(70);
}

void out_of_memory(size_t bytes) {
    fflush(stdout);
    if (bytes) fprintf(stderr, "cai: error: out of memory: %zu bytes more were not to be had\n", bytes);
    else fputs("cai: error: out of memory\n", stderr);
    quick_exit(1); /* other threads may be running, so LLVM's destructors must not */
}

void *checked_realloc(void *old, size_t bytes) {
    void *memory = realloc(old, bytes ? bytes : 1);
    if (!memory) out_of_memory(bytes);
    return memory;
}
