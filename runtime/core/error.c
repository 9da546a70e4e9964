/* Errors are values: a status, which is also the exit code of a program that ends on it,
 * and a text for the user. */
#include "core/core.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool cai_fail(cai_error *error, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    error->status = status;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}

bool cai_fail_within(cai_error *error, const char *format, ...) {
    char inner[sizeof error->message];
    memcpy(inner, error->message, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    strncat(error->message, ": ", sizeof error->message - 1 - strlen(error->message));
    strncat(error->message, inner, sizeof error->message - 1 - strlen(error->message));
    return false;
}

bool cai_fail_memory(cai_error *error, uint64_t bytes, const char *what) {
    return cai_fail(error, CAI_NO_MEMORY, "not enough memory: %s would take %.1f MB", what,
                    (double)bytes / 1e6);
}

void *cai_allocate(uint64_t bytes, const char *what, cai_error *error) {
    return cai_reallocate(NULL, bytes, what, error);
}

/* The system grants more memory than it has, and kills the program when that is used, so
 * large requests are compared with the memory that exists. */
static bool is_granted(uint64_t bytes) { return bytes <= (UINT64_C(1) << 28) || bytes <= cai_memory_limit(); }

void *cai_reallocate(void *old, uint64_t bytes, const char *what, cai_error *error) {
    void *memory = is_granted(bytes) ? realloc(old, bytes ? bytes : 1) : NULL;
    if (!memory) cai_fail_memory(error, bytes, what);
    return memory;
}
