/* The cache of compiled kernels: what was stored is found, what is damaged is not, two
 * may write at once, and it stays within its size. */
#include "object/object.h"
#include "test.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/cai_cache_XXXXXX";
static KernelCache cache;

static int make_folder(void) {
    cache = (KernelCache){.folder = mkdtemp(folder)};
    return cache.folder ? 0 : 1;
}

/* Calls `visit` for each file there, and gives their number. */
static int each_file(void (*visit)(const char *path)) {
    DIR *open = opendir(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(open)) != NULL;) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.') continue;
        if (visit) visit(path);
        count++;
    }
    closedir(open);
    return count;
}

static void remove_file(const char *path) { unlink(path); }

static int remove_folder(void) {
    each_file(remove_file);
    return rmdir(folder);
}
FIXTURE(make_folder, remove_folder)

static Object object_of(const char *text) { return (Object){(const unsigned char *)text, strlen(text)}; }

static bool finds(const char *key, const char *text) {
    Object found;
    if (!cache_find(&cache, object_of(key), &found)) return false;
    bool equal = found.count == strlen(text) && memcmp(found.bytes, text, found.count) == 0;
    free((void *)found.bytes);
    return equal;
}

static void store(const char *key, const char *text) { cache_store(&cache, object_of(key), object_of(text)); }

TEST(finds_what_was_stored) {
    CU_ASSERT(!finds("a key", "code"));
    store("a key", "code");
    store("other key", "other code");
    CU_ASSERT(finds("a key", "code") && finds("other key", "other code") && !finds("third key", "code"));
    store("a key", "new code");
    CU_ASSERT(finds("a key", "new code"));
    CU_ASSERT(each_file(NULL) == 2);
    each_file(remove_file);
}

/* One byte after the other is changed, then the file cut short by ever more. */
static void damage(const char *path) {
    FILE *file = fopen(path, "r+b");
    CU_ASSERT_FATAL(file != NULL);
    int bytes = 0;
    while (fgetc(file) != EOF) bytes++;
    for (int at = 0; at < bytes; at++) {
        fseek(file, at, SEEK_SET);
        int byte = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(byte ^ 16, file);
        fflush(file);
        CU_ASSERT(!finds("a key", "code") && !finds("a key", "code "));
        fseek(file, at, SEEK_SET);
        fputc(byte, file);
        fflush(file);
        CU_ASSERT(finds("a key", "code"));
    }
    for (int left = bytes - 1; left >= 0; left--) {
        CU_ASSERT(ftruncate(fileno(file), left) == 0);
        CU_ASSERT(!finds("a key", "code"));
    }
    fclose(file);
}

TEST(damaged_entries) {
    store("a key", "code");
    each_file(damage);
    store("a key", "code");
    CU_ASSERT(finds("a key", "code"));
    each_file(remove_file);
}

TEST(a_full_disk_no_folder) {
    struct rlimit old, small = {20, RLIM_INFINITY};
    CU_ASSERT(getrlimit(RLIMIT_FSIZE, &old) == 0);
    small.rlim_max = old.rlim_max;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT(setrlimit(RLIMIT_FSIZE, &small) == 0);
    store("a key", "code");
    CU_ASSERT(setrlimit(RLIMIT_FSIZE, &old) == 0);
    signal(SIGXFSZ, before);
    CU_ASSERT(each_file(NULL) == 0);
    CU_ASSERT(!finds("a key", "code"));
    KernelCache nowhere = {.folder = "/nonexistent/cai"};
    cache_store(&nowhere, object_of("a key"), object_of("code"));
    cache_trim(&nowhere);
}

/* Whoever reads while others write finds the whole entry or none. */
TEST(two_at_once) {
    static char text[1 << 16];
    memset(text, 'x', sizeof text - 1);
    pid_t writers[2];
    for (int i = 0; i < 2; i++) {
        writers[i] = fork();
        if (writers[i]) continue;
        for (int k = 0; k < 300; k++) store("a key", text);
        _exit(0);
    }
    int found = 0, status, wrong = 0;
    for (int k = 0; k < 3000 && found < 300; k++) {
        Object object;
        if (!cache_find(&cache, object_of("a key"), &object)) continue;
        wrong += object.count != sizeof text - 1 || memcmp(object.bytes, text, object.count) != 0;
        free((void *)object.bytes);
        found++;
    }
    for (int i = 0; i < 2; i++) CU_ASSERT(waitpid(writers[i], &status, 0) == writers[i] && status == 0);
    CU_ASSERT(wrong == 0);
    CU_ASSERT(finds("a key", text));
    CU_ASSERT(each_file(NULL) == 1);
    each_file(remove_file);
}

static void age(const char *path) {
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    utimensat(AT_FDCWD, path, old, 0);
}

/* What was used last stays; an unfinished file of long ago goes, a new one does not. */
TEST(stays_within_its_size) {
    char old_part[200], new_part[200];
    snprintf(old_part, sizeof old_part, "%s/abc.123", folder);
    snprintf(new_part, sizeof new_part, "%s/abc.124", folder);
    fclose(fopen(old_part, "w"));
    for (int i = 0; i < 10; i++) store((char[]){(char)('a' + i), 0}, "some code");
    each_file(age);
    fclose(fopen(new_part, "w"));
    CU_ASSERT(finds("c", "some code") && finds("h", "some code"));
    cache_trim(&cache);
    CU_ASSERT(each_file(NULL) == 11);
    CU_ASSERT(access(old_part, F_OK) != 0 && access(new_part, F_OK) == 0);
    cache.max_bytes = 2 * (32 + 1 + 9) + 10;
    cache_trim(&cache);
    CU_ASSERT(each_file(NULL) == 3);
    CU_ASSERT(finds("c", "some code") && finds("h", "some code") && !finds("a", "some code"));
    cache.max_bytes = 0;
    each_file(remove_file);
}
