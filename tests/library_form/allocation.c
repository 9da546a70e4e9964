/* The n-th request for memory or a thread fails, for every n: a status says so, and the
 * same context then runs as ever. Linked with
 * --wrap for each function below. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>
#include <errno.h>

static long until_failure = -1; /* -1: none */

static int fails(void) { return until_failure >= 0 && until_failure-- == 0; }

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
                          void *argument);
void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    if (!fails()) return __real_mmap(at, size, protection, flags, file, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
                          void *argument) {
    return fails() ? EAGAIN : __real_pthread_create(thread, attributes, work, argument);
}

int main(void) {
    Case run;
    uint64_t always = 0, hash;
    long n, failures = 0;
    int reached = 0;
    case_init(&run, 1, 32, 24, 5);
    for (n = 0; n < 1000 && !reached; n++) {
        mix_context *context = NULL;
        cai_status status;
        until_failure = n;
        status = mix_create(&context);
        CHECK((status == CAI_OK) == (context != NULL));
        if (context) {
            CHECK(mix_set_threads(context, 3) == CAI_OK);
            status = mix_run(context, run.in, 2, run.out, 3);
            if (status != CAI_OK) CHECK(mix_message(context)[0] != 0);
        }
        reached = until_failure >= 0;
        until_failure = -1;
        CHECK(status == CAI_OK || status == CAI_NO_MEMORY);
        failures += status != CAI_OK;
        if (context) {
            hash = case_run(context, &run);
            if (!always) always = hash;
            CHECK(hash == always);
        }
        mix_destroy(context);
    }
    CHECK(reached && failures >= 10 && n > failures); /* the threads may be fewer */
    case_free(&run);
    return check_end("allocation");
}
