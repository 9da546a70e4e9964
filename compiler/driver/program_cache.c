/* Programs that `cai run` built before. An entry is a program, named after its model and a hash of
 * what it was made from, and behind the end of its ELF file, where nothing is loaded from:
 *
 *     key | bytes of the key | magic
 *
 * The key is all that the program depends on, and is compared whole, so that no two programs are ever
 * taken for each other. An entry is made beside its name and renamed. One that is run gets a new date;
 * of more than there may be the oldest go. */
#include "driver/driver.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x316d617267727063) /* "cprgram1" */

enum { MAX_PROGRAMS = 32 };

typedef struct Tail { uint64_t key_bytes, magic; } Tail;

const char *program_cached(Session *s, const char *folder, const char *model, const Text *key) {
    uint64_t hash = hash_bytes(key->bytes, key->length, 0);
    return arena_printf(s->arena, "%s/%s-%016llx", folder, model, (unsigned long long)hash);
}

static bool has_key(FILE *file, const Text *key) {
    Tail tail;
    char *found = malloc(key->length + 1);
    bool same = found && fseek(file, -(long)(sizeof tail + key->length), SEEK_END) == 0 &&
                fread(found, 1, key->length, file) == key->length && fread(&tail, sizeof tail, 1, file) == 1 &&
                tail.magic == MAGIC && tail.key_bytes == key->length && memcmp(found, key->bytes, key->length) == 0;
    free(found);
    return same;
}

bool program_find(const char *path, const Text *key) {
    FILE *file = access(path, X_OK) == 0 ? fopen(path, "rbe") : NULL;
    bool found = file && has_key(file, key);
    if (file) fclose(file);
    if (found) utimensat(AT_FDCWD, path, NULL, 0);
    return found;
}

static bool add_key(const char *path, const Text *key) {
    FILE *file = fopen(path, "abe");
    if (!file) return false;
    Tail tail = {key->length, MAGIC};
    bool written = fwrite(key->bytes, 1, key->length, file) == key->length && fwrite(&tail, sizeof tail, 1, file) == 1;
    return (fclose(file) == 0) & written;
}

bool program_store(Session *s, Graph *graph, Weights *weights, const char *path, const Text *key) {
    const char *part = arena_printf(s->arena, "%s.%ld", path, (long)getpid()), *slash = strrchr(path, '/');
    if (!build_program(s, graph, weights, part)) return false;
    if (!add_key(part, key) || rename(part, path) != 0) {
        diag_error(&s->diag, DIAG_cache, (Span){0}, "%s cannot be written: %s", path, strerror(errno));
        unlink(part);
        return false;
    }
    trim_folder(arena_strndup(s->arena, path, (size_t)(slash - path)), MAX_PROGRAMS, INT64_MAX);
    return true;
}
