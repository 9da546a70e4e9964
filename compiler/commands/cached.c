/* Programs that are built into the cache and run from there: what cai run and cai train have in common. */
#include "commands/commands.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHED_MAX 32 /* programs; the one that was not run for longest goes */

/* Everything that can change a program but weights: this compiler, the runtime, the sources, the options. */
uint64_t cached_identity(Session *s, const Library *library, const Target *target, const char *name) {
    const Options *o = s->options;
    uint64_t hash = compiler_identity();
    hash = file_identity(arena_printf(s->arena, "%s/libcai_runtime.a", session_runtime(s, target)), hash);
    for (int i = 0; library_source(library, i); i++) {
        hash = hash_text(library_source(library, i)->path, hash);
        hash = hash_bytes(library_source(library, i)->text, library_source(library, i)->length, hash);
    }
    for (int i = 0; i < o->defines.count; i++)
        hash = hash_text(o->defines.items[i].value, hash_text(o->defines.items[i].name, hash));
    uint64_t more[] = {o->blas, o->no_winograd};
    return hash_bytes(more, sizeof more, hash_text(target->llvm_features, hash_text(target->llvm_cpu, hash_text(name, hash))));
}

const char *cached_path(Session *s, const char *folder, const char *name, uint64_t hash) {
    return arena_printf(s->arena, "%s/%s-%016llx", folder, name, (unsigned long long)hash);
}

/* Forgets the oldest programs beyond CACHED_MAX. */
void cached_trim(Session *s, const char *folder) {
    for (;;) {
        DIR *open = opendir(folder);
        const char *oldest = NULL;
        time_t oldest_time = 0;
        int count = 0;
        for (struct dirent *entry; open && (entry = readdir(open)) != NULL;) {
            struct stat status;
            const char *path = arena_printf(s->arena, "%s/%s", folder, entry->d_name);
            if (entry->d_name[0] == '.' || stat(path, &status) != 0 || !S_ISREG(status.st_mode)) continue;
            if (!oldest || status.st_mtime < oldest_time) oldest = path, oldest_time = status.st_mtime;
            count++;
        }
        if (open) closedir(open);
        if (count <= CACHED_MAX || unlink(oldest) != 0) return;
    }
}

char **run_arguments(Session *s, const char *name, int first) {
    int count = s->options->rest.count - first;
    char **arguments = NEW_ARRAY(s->arena, char *, count + 2);
    arguments[0] = arena_printf(s->arena, "%s", name);
    for (int i = 0; i < count; i++) arguments[i + 1] = arena_printf(s->arena, "%s", s->options->rest.items[first + i]);
    return arguments;
}

int cached_run(Session *s, const char *program, const char *name, int first) {
    int code = session_end(s);
    if (code != EXIT_GOOD) return code;
    utimensat(AT_FDCWD, program, NULL, 0);
    char **arguments = run_arguments(s, name, first);
    fflush(stdout);
    execv(program, arguments);
    fprintf(stderr, "cai %s: %s cannot be run: %s\n", s->options->command, program, strerror(errno));
    return EXIT_DIAGNOSED;
}
