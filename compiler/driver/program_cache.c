/* Programs that `cai run` and `cai train` built before. An entry is a program, named
 * after its model and a hash of what it was made from, and behind the end of its ELF
 * file, where nothing is loaded from:
 *
 *     key | bytes of the key | magic
 *
 * The key is all that the program depends on, and is compared whole, so that no two
 * programs are ever taken for each other. An entry is made beside its name and renamed.
 * One that is run gets a new date; of more than there may be the oldest go. */
#include "driver/driver.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x316d617267727063) /* "cprgram1" */

enum { MAX_PROGRAMS = 32 };

typedef struct Tail {
    uint64_t key_bytes, magic;
} Tail;

/* ---- the key ---- */

static void key_add_figure(Text *key, uint64_t figure) {
    text_add_bytes(key, (const char *)&figure, sizeof figure);
}

static void key_add_bytes(Text *key, const char *bytes, size_t count) {
    key_add_figure(key, count);
    text_add_bytes(key, bytes, count);
}

void key_add_words(Text *key, const char *const *words, int count) {
    key_add_figure(key, (uint64_t)count);
    for (int i = 0; i < count; i++)
        key_add_bytes(key, words[i] ? words[i] : "", words[i] ? strlen(words[i]) : 0);
}

Text program_key(Session *s, const Library *library, const Target *target, const char *name) {
    const Options *o = s->options;
    Text key = {.arena = s->arena};
    key_add_figure(&key, compiler_identity());
    key_add_figure(
        &key, file_identity(arena_printf(s->arena, "%s/libcai_runtime.a", session_runtime(s, target)), 0));
    for (int i = 0; library_source(library, i); i++) {
        key_add_words(&key, &library_source(library, i)->path, 1);
        key_add_bytes(&key, library_source(library, i)->text, library_source(library, i)->length);
    }
    for (int i = 0; i < o->defines.count; i++)
        key_add_words(&key, (const char *[]){o->defines.items[i].name, o->defines.items[i].value}, 2);
    key_add_words(&key, (const char *[]){target->llvm_cpu, target->llvm_features, name}, 3);
    key_add_figure(&key, o->blas);
    key_add_figure(&key, o->no_winograd);
    key_add_figure(&key, o->find_rate);
    key_add_figure(&key, (uint64_t)o->parts);
    return key;
}

/* ---- entries ---- */

static const char *program_cached(Session *s, const char *folder, const char *model, const Text *key) {
    uint64_t hash = hash_bytes(key->bytes, key->length, 0);
    return arena_printf(s->arena, "%s/%s-%016llx", folder, model, (unsigned long long)hash);
}

static bool has_key(FILE *file, const Text *key) {
    Tail tail;
    char *found = malloc(key->length + 1);
    bool same = found && fseek(file, -(long)(sizeof tail + key->length), SEEK_END) == 0 &&
                fread(found, 1, key->length, file) == key->length &&
                fread(&tail, sizeof tail, 1, file) == 1 && tail.magic == MAGIC &&
                tail.key_bytes == key->length && memcmp(found, key->bytes, key->length) == 0;
    free(found);
    return same;
}

static bool program_find(const char *path, const Text *key) {
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
    bool written =
        fwrite(key->bytes, 1, key->length, file) == key->length && fwrite(&tail, sizeof tail, 1, file) == 1;
    return (fclose(file) == 0) & written;
}

static bool program_store(Session *s, ProgramBuild *build, void *context, const char *path, const Text *key) {
    const char *part = arena_printf(s->arena, "%s.%ld", path, (long)getpid()), *slash = strrchr(path, '/');
    if (!build(context, part)) return false;
    if (!add_key(part, key) || rename(part, path) != 0) {
        diag_error(&s->diag, DIAG_cache, (Span){0}, "%s cannot be written: %s", path, strerror(errno));
        unlink(part);
        return false;
    }
    trim_folder(arena_strndup(s->arena, path, (size_t)(slash - path)), MAX_PROGRAMS, INT64_MAX);
    return true;
}

const char *program_of_cache(Session *s, const char *name, const Text *key, ProgramBuild *build,
                             void *context) {
    const char *folder = program_cache(s), *program = folder ? program_cached(s, folder, name, key) : NULL;
    return program && (program_find(program, key) || program_store(s, build, context, program, key)) ? program
                                                                                                     : NULL;
}
