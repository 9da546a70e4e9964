/* .npz: a zip file of .npy files, as np.savez and np.savez_compressed write it. Its
 * directory stands at its end. A stored file is read where it lies in the mapped archive.
 * Of zip only that much is read: no encryption, no parts on several disks, and of its
 * methods stored and deflated. */
#include "data/sources.h"
#include <string.h>

typedef struct Zip {
    cai_dataset *dataset;
    const char *path;
    const unsigned char *bytes;
    size_t count;
    uint64_t unpacked; /* bytes so far */
    cai_error *error;
} Zip;

static bool fail_zip(const Zip *zip, const char *what) {
    return cai_fail(zip->error, CAI_BAD_INPUT, "%s: broken .npz: %s", zip->path, what);
}

/* A little endian number of `width` bytes. */
static uint64_t little_endian(const unsigned char *at, int width) {
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

/* ---- the directory ---- */

enum { END = 22, ENTRY = 46, LOCAL = 30 }; /* bytes of the fixed parts */

/* The record at the end, behind which a comment of 64 KB may stand. */
static const unsigned char *find_end(const Zip *zip) {
    size_t last = zip->count < END ? 0 : zip->count - END, tried = 0;
    for (const unsigned char *at = zip->bytes + last; zip->count >= END && tried <= 65535; at--, tried++) {
        if (memcmp(at, "PK\5\6", 4) == 0) return at;
        if (at == zip->bytes) break;
    }
    return NULL;
}

typedef struct Entry {
    const unsigned char *name;
    size_t name_length;
    uint64_t packed, size, local;
    unsigned method, flags;
} Entry;

/* Sizes beyond 32 bits stand in an extra field of kind 1, those that do not fit, in this
 * order. */
static void read_zip64(Entry *entry, const unsigned char *extra, size_t length) {
    uint64_t *const wide[] = {&entry->size, &entry->packed, &entry->local};
    for (size_t at = 0; at + 4 <= length; at += 4 + little_endian(extra + at + 2, 2)) {
        size_t next = at + 4, end = next + little_endian(extra + at + 2, 2);
        if (little_endian(extra + at, 2) != 1 || end > length) continue;
        for (int i = 0; i < 3; i++) {
            if (*wide[i] != UINT32_MAX || next + 8 > end) continue;
            *wide[i] = little_endian(extra + next, 8);
            next += 8;
        }
    }
}

/* Reads the entry at *at, and moves *at past it; false where it does not fit. */
static bool read_entry(const Zip *zip, size_t *at, Entry *entry) {
    const unsigned char *e = zip->bytes + *at;
    if (*at > zip->count || zip->count - *at < ENTRY || memcmp(e, "PK\1\2", 4) != 0) return false;
    size_t name = little_endian(e + 28, 2), extra = little_endian(e + 30, 2),
           length = ENTRY + name + extra + little_endian(e + 32, 2);
    if (length > zip->count - *at) return false;
    *entry = (Entry){.name = e + ENTRY,
                     .name_length = name,
                     .flags = (unsigned)little_endian(e + 8, 2),
                     .method = (unsigned)little_endian(e + 10, 2),
                     .packed = little_endian(e + 20, 4),
                     .size = little_endian(e + 24, 4),
                     .local = little_endian(e + 42, 4)};
    read_zip64(entry, e + ENTRY + name, extra);
    *at += length;
    return true;
}

/* ---- its files ---- */

/* Where the entry's bytes begin, behind a header of its own; NULL where they do not lie
 * in the file. */
static const unsigned char *data_of(const Zip *zip, const Entry *entry) {
    if (entry->local > zip->count || zip->count - entry->local < LOCAL) return NULL;
    const unsigned char *local = zip->bytes + entry->local;
    size_t skip = LOCAL + little_endian(local + 26, 2) + little_endian(local + 28, 2),
           left = zip->count - entry->local;
    bool lies = memcmp(local, "PK\3\4", 4) == 0 && skip <= left && entry->packed <= left - skip;
    return lies ? local + skip : NULL;
}

enum { STORED = 0, DEFLATED = 8 };

/* Entries may lie over each other: all together are no larger than the file could be
 * unpacked. */
static const unsigned char *inflate_entry(Zip *zip, const Entry *entry, const unsigned char *data) {
    zip->unpacked += entry->size;
    if (entry->size / 1032 > zip->count || zip->unpacked / 1032 > zip->count)
        return fail_zip(zip, "the files in it lie over each other"), NULL;
    return cai_inflate(&zip->dataset->arena, zip->path, CAI_DEFLATE, data, entry->packed, entry->size,
                       zip->error);
}

static const unsigned char *unpack_entry(Zip *zip, const Entry *entry) {
    const unsigned char *data = data_of(zip, entry);
    bool known = entry->method == STORED || entry->method == DEFLATED, encrypted = entry->flags & 1;
    if (!data) fail_zip(zip, "a file in it lies beyond its end");
    else if (!known || encrypted) fail_zip(zip, "it is packed in a way that np.savez does not use");
    else if (entry->method == STORED && entry->packed != entry->size)
        fail_zip(zip, "the size of a file in it is wrong");
    else if (entry->method == STORED) return data;
    else return inflate_entry(zip, entry, data);
    return NULL;
}

/* "name.npy" is the array `name`. */
static bool open_zip_entry(Zip *zip, const Entry *entry) {
    size_t length = entry->name_length;
    if (length < 5 || memcmp(entry->name + length - 4, ".npy", 4) != 0) return true;
    const char *name =
        cai_arena_text(&zip->dataset->arena, (const char *)entry->name, length - 4, zip->error);
    cai_tensor_file *file = name ? cai_opened_new(zip->dataset, zip->path, name, zip->error) : NULL;
    const unsigned char *bytes = file ? unpack_entry(zip, entry) : NULL;
    return bytes && cai_tensors_parse(zip->path, bytes, entry->size, file, zip->error);
}

bool cai_npz_open(cai_dataset *dataset, const char *path, const unsigned char *bytes, size_t count,
                  cai_error *error) {
    Zip zip = {.dataset = dataset, .path = path, .bytes = bytes, .count = count, .error = error};
    const unsigned char *end = find_end(&zip);
    if (!end) return fail_zip(&zip, "the file is cut off");
    size_t entries = little_endian(end + 10, 2), at = little_endian(end + 16, 4);
    for (size_t i = 0; i < entries; i++) {
        Entry entry;
        if (!read_entry(&zip, &at, &entry)) return fail_zip(&zip, "its directory is damaged");
        if (!open_zip_entry(&zip, &entry)) return false;
    }
    return true;
}
