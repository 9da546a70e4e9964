/* The cache of compiled kernels. An entry is a file named after a hash of its key:
 *
 *     magic | checksum of all that follows | bytes of the key | bytes of the object | key | object
 *
 * The key is everything that the object depends on: this compiler's identity, and the
 * kernel as LLVM bitcode, which names the target and its features. The whole key is
 * compared, so no kernel is ever taken for another. Entries are written to a temporary
 * file and renamed; an entry that cannot be read, or is damaged, counts as missing, and
 * is written anew. Nothing about the cache is ever an error: without it, a kernel is
 * compiled. Using an entry updates its date; the oldest entries are removed when all
 * together are too large. */
#include "object/object.h"
#include "files/files.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x316c656e72656b63) /* "ckernel1" */
#define MAX_BYTES (INT64_C(256) << 20)

typedef struct Head { uint64_t magic, checksum, key_bytes, object_bytes; } Head;

static uint64_t checksum_of(const Head *head, const void *key, const void *object) {
    uint64_t sizes = hash_bytes(&head->key_bytes, 2 * sizeof(uint64_t), 0);
    return hash_bytes(object, head->object_bytes, hash_bytes(key, head->key_bytes, sizes));
}

static void entry_path(const KernelCache *cache, Object key, char *path, size_t size) {
    uint64_t first = hash_bytes(key.bytes, key.count, 1), second = hash_bytes(key.bytes, key.count, 2);
    snprintf(path, size, "%s/%016llx%016llx", cache->folder, (unsigned long long)first,
             (unsigned long long)second);
}

/* ---- reading ---- */

static bool is_entry(const cai_file *file, Object key) {
    Head head;
    if (file->count < sizeof head) return false;
    memcpy(&head, file->data, sizeof head);
    uint64_t rest = file->count - sizeof head;
    if (head.magic != MAGIC || head.key_bytes != key.count || head.key_bytes > rest ||
        head.object_bytes != rest - head.key_bytes)
        return false;
    const unsigned char *at = file->data + sizeof head;
    return memcmp(at, key.bytes, key.count) == 0 && head.checksum == checksum_of(&head, at, at + key.count);
}

bool cache_find(const KernelCache *cache, Object key, Object *object) {
    char path[4200];
    cai_file file;
    cai_error error;
    entry_path(cache, key, path, sizeof path);
    if (!cai_file_read(path, &file, &error)) return false;
    bool found = is_entry(&file, key);
    if (found) {
        object->count = file.count - sizeof(Head) - key.count;
        unsigned char *bytes = malloc(object->count + 1);
        found = bytes != NULL;
        if (found) memcpy(bytes, file.data + sizeof(Head) + key.count, object->count);
        object->bytes = bytes;
        utimensat(AT_FDCWD, path, NULL, 0);
    }
    cai_file_close(&file);
    return found;
}

/* ---- writing ---- */

static bool write_cache_bytes(int descriptor, const void *bytes, size_t count) {
    for (const char *next = bytes; count > 0;) {
        ssize_t wrote = write(descriptor, next, count);
        if (wrote <= 0) return false;
        next += wrote;
        count -= (size_t)wrote;
    }
    return true;
}

void cache_store(const KernelCache *cache, Object key, Object object) {
    char path[4200], part[4300];
    entry_path(cache, key, path, sizeof path);
    snprintf(part, sizeof part, "%s.%ld", path, (long)getpid());
    int descriptor = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0) return;
    Head head = {MAGIC, 0, key.count, object.count};
    head.checksum = checksum_of(&head, key.bytes, object.bytes);
    bool written = write_cache_bytes(descriptor, &head, sizeof head) &&
                   write_cache_bytes(descriptor, key.bytes, key.count) &&
                   write_cache_bytes(descriptor, object.bytes, object.count);
    if (close(descriptor) != 0 || !written || rename(part, path) != 0) unlink(part);
}

void cache_trim(const KernelCache *cache) {
    trim_folder(cache->folder, INT64_MAX, cache->max_bytes ? cache->max_bytes : MAX_BYTES);
}
