/* Folders of files that may go at any time, kept within bounds. */
#include "base/base.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PART_SECONDS = 3600 }; /* a file that is still unfinished after so long has no writer any more */

typedef struct Entry { const char *name; int64_t bytes, used; } Entry;
typedef Vec(Entry) Entries;

static int compare_entries(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    return (x->used > y->used) - (x->used < y->used);
}

/* All files, but unfinished ones, of which old ones are removed. */
static Entries list_entries(Arena *arena, DIR *folder) {
    Entries entries = {0};
    for (struct dirent *found; (found = readdir(folder)) != NULL;) {
        struct stat status;
        if (found->d_name[0] == '.' || fstatat(dirfd(folder), found->d_name, &status, 0) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        if (strchr(found->d_name, '.')) {
            if (status.st_mtime + PART_SECONDS < time(NULL)) unlinkat(dirfd(folder), found->d_name, 0);
            continue;
        }
        int64_t used = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
        vec_push(arena, &entries,
                 (Entry){arena_printf(arena, "%s", found->d_name), (int64_t)status.st_size, used});
    }
    return entries;
}

void trim_folder(const char *path, int64_t max_files, int64_t max_bytes) {
    bool bounded = max_files < INT64_MAX || max_bytes < INT64_MAX;
    DIR *folder = bounded ? opendir(path) : NULL;
    if (!folder) return;
    Arena *arena = arena_new();
    Entries entries = list_entries(arena, folder);
    int64_t bytes = 0, files = entries.count;
    for (int i = 0; i < entries.count; i++) bytes += entries.items[i].bytes;
    if (entries.count) qsort(entries.items, (size_t)entries.count, sizeof(Entry), compare_entries);
    for (int i = 0; i < entries.count && (files > max_files || bytes > max_bytes); i++) {
        if (unlinkat(dirfd(folder), entries.items[i].name, 0) != 0) continue;
        files--;
        bytes -= entries.items[i].bytes;
    }
    arena_free(arena);
    closedir(folder);
}
