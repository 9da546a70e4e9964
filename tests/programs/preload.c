/* For LD_PRELOAD, about what seldom goes wrong with a command:
 *
 *   FAIL_AT=N    the N-th request for memory after main began fails (0 is the first); the file
 *                FAILED is made when it does
 *   WATCH_SYNC=1 a file that is renamed before it was synced to the disk is told on standard
 *                error */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

/* ---- memory ---- */

static atomic_long until_failure = -1; /* -1: none fails */

static int fails(void) {
    if (atomic_load(&until_failure) < 0 || atomic_fetch_sub(&until_failure, 1) != 0) return 0;
    close(open(getenv("FAILED"), O_WRONLY | O_CREAT, 0666));
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }

static int (*real_main)(int count, char **arguments, char **environment);

static int main_from_here(int count, char **arguments, char **environment) {
    const char *at = getenv("FAIL_AT");
    unsetenv("LD_PRELOAD"); /* the linker is not meant */
    if (at) atomic_store(&until_failure, atol(at));
    return real_main(count, arguments, environment);
}

typedef int (*start_main)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
                          void (*)(void), void *);

int __libc_start_main(int (*given)(int, char **, char **), int count, char **arguments, void (*init)(void),
                      void (*end)(void), void (*loader)(void), void *stack);
int __libc_start_main(int (*given)(int, char **, char **), int count, char **arguments, void (*init)(void),
                      void (*end)(void), void (*loader)(void), void *stack) {
    real_main = given;
    return ((start_main)dlsym(RTLD_NEXT, "__libc_start_main"))(main_from_here, count, arguments, init, end,
                                                               loader, stack);
}

/* ---- the disk ---- */

static ino_t synced[16];
static int synced_count;

int fsync(int descriptor) {
    struct stat status;
    if (fstat(descriptor, &status) == 0) synced[synced_count++ % 16] = status.st_ino;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
}

int rename(const char *from, const char *to) {
    struct stat status;
    int found = !getenv("WATCH_SYNC") || stat(from, &status) < 0;
    for (int i = 0; i < 16 && !found; i++) found = synced[i] == status.st_ino;
    if (!found) fprintf(stderr, "%s is renamed before it has reached the disk\n", to);
    return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from, to);
}
