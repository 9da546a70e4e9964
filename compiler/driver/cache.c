/* The place of caches: $CAI_CACHE, else $XDG_CACHE_HOME/cai, else ~/.cache/cai. Programs
 * of cai run are files there; kernels/ has compiled kernels (object/object_cache.c).
 * Everything in it may be removed at any time. */
#include "object/object.h"
#include "driver/driver.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static bool is_off(void) {
    const char *cache = getenv("CAI_CACHE");
    return cache && strcmp(cache, "off") == 0;
}

static const char *cache_path(Arena *arena) {
    const char *cache = getenv("CAI_CACHE"), *system = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache && !is_off()) return cache;
    if (system && *system) return arena_printf(arena, "%s/cai", system);
    return arena_printf(arena, "%s/.cache/cai", home ? home : "/tmp");
}

static bool make_cache_folder(Arena *arena, const char *path) {
    char *copy = arena_printf(arena, "%s", path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(copy, 0777);
        *slash = '/';
    }
    return mkdir(copy, 0777) == 0 || errno == EEXIST;
}

const char *program_cache(Session *s) {
    const char *path = cache_path(s->arena);
    if (make_cache_folder(s->arena, path)) return path;
    Diagnostic *d =
        diag_error(&s->diag, DIAG_cache, (Span){0}, "the cache %s cannot be made: %s", path, strerror(errno));
    diag_help(&s->diag, d, "CAI_CACHE or XDG_CACHE_HOME say where caches are; `cai build` needs none");
    return NULL;
}

const KernelCache *kernel_cache(Session *s) {
    if (s->options->no_cache || is_off()) return NULL;
    KernelCache *cache = NEW(s->arena, KernelCache);
    *cache = (KernelCache){.folder = arena_printf(s->arena, "%s/kernels", cache_path(s->arena)),
                           .compiler = compiler_identity()};
    return make_cache_folder(s->arena, cache->folder) ? cache : NULL;
}

uint64_t hash_text(const char *text, uint64_t hash) {
    return text ? hash_bytes(text, strlen(text) + 1, hash) : hash * 31;
}

uint64_t file_identity(const char *path, uint64_t hash) {
    struct stat status = {0};
    if (stat(path, &status) != 0) return hash;
    int64_t figures[] = {status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
    return hash_bytes(figures, sizeof figures, hash);
}

uint64_t compiler_identity(void) {
    return file_identity("/proc/self/exe", hash_bytes(CAI_VERSION, sizeof CAI_VERSION, 0));
}
