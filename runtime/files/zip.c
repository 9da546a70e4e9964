/* Zip files, as torch.save, numpy.savez and everybody else write them. The directory
 * stands at the end of the file. Of zip so much is read: members that are stored or
 * deflated, in one file, of any size; encrypted ones are refused when they are asked
 * for. */
#include "files/files.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct ZipReader {
    const unsigned char *bytes;
    size_t count;
    cai_zip *zip;
    char *name; /* where the next one goes */
    cai_error *error;
} ZipReader;

static bool fail_zip(const ZipReader *reader, const char *what) {
    return cai_fail(reader->error, CAI_BAD_INPUT, "%s: broken zip file: %s", reader->zip->path, what);
}

/* ---- where the directory is ---- */

enum { END = 22, END64 = 56, LOCATOR = 20, ENTRY = 46, LOCAL = 30 }; /* bytes of the fixed parts */

typedef struct Directory { uint64_t at, count; } Directory;

/* The record at the end, behind which a comment of 64 KB may stand. */
static const unsigned char *find_end(const ZipReader *reader) {
    size_t last = reader->count < END ? 0 : reader->count - END, tried = 0;
    const unsigned char *at = reader->bytes + last;
    for (; reader->count >= END && tried <= 65535; at--, tried++) {
        if (memcmp(at, "PK\5\6", 4) == 0) return at;
        if (at == reader->bytes) break;
    }
    return NULL;
}

/* Beyond 65,534 members or 4 GB a larger record says where the directory is, and a
 * locator before the end where that record is. */
static bool find_wide_end(const ZipReader *reader, const unsigned char *end, Directory *directory) {
    const unsigned char *locator = end - LOCATOR;
    if (end - reader->bytes < LOCATOR || memcmp(locator, "PK\6\7", 4) != 0) return false;
    uint64_t at = cai_little_endian(locator + 8, 8);
    if (reader->count < END64 || at > reader->count - END64) return false;
    const unsigned char *wide = reader->bytes + at;
    *directory = (Directory){.at = cai_little_endian(wide + 48, 8), .count = cai_little_endian(wide + 32, 8)};
    return memcmp(wide, "PK\6\6", 4) == 0;
}

static bool find_directory(const ZipReader *reader, Directory *directory) {
    const unsigned char *end = find_end(reader);
    if (!end) return fail_zip(reader, "the file is cut off");
    *directory = (Directory){.at = cai_little_endian(end + 16, 4), .count = cai_little_endian(end + 10, 2)};
    bool wide = directory->at == UINT32_MAX || directory->count == UINT16_MAX;
    if (wide && !find_wide_end(reader, end, directory)) return fail_zip(reader, "its end is damaged");
    bool fits = directory->at <= reader->count && directory->count <= (reader->count - directory->at) / ENTRY;
    return fits || fail_zip(reader, "its directory is damaged");
}

/* ---- its entries ---- */

typedef struct Entry {
    const unsigned char *name;
    size_t name_length;
    uint64_t local; /* where the member's own header is */
    cai_zip_member member;
} Entry;

/* Sizes beyond 32 bits stand in an extra field of kind 1, those that do not fit, in this
 * order. */
static void read_zip64(Entry *entry, const unsigned char *extra, size_t length) {
    uint64_t *const wide[] = {&entry->member.bytes, &entry->member.packed, &entry->local};
    for (size_t at = 0; at + 4 <= length; at += 4 + cai_little_endian(extra + at + 2, 2)) {
        size_t next = at + 4, end = next + cai_little_endian(extra + at + 2, 2);
        if (cai_little_endian(extra + at, 2) != 1 || end > length) continue;
        for (int i = 0; i < 3; i++) {
            if (*wide[i] != UINT32_MAX || next + 8 > end) continue;
            *wide[i] = cai_little_endian(extra + next, 8);
            next += 8;
        }
    }
}

/* Reads the entry at *at, and moves *at past it; false where it does not fit. */
static bool read_entry(const ZipReader *reader, uint64_t *at, Entry *entry) {
    if (*at > reader->count || reader->count - *at < ENTRY) return false;
    const unsigned char *e = reader->bytes + *at;
    size_t name = cai_little_endian(e + 28, 2), extra = cai_little_endian(e + 30, 2),
           length = ENTRY + name + extra + cai_little_endian(e + 32, 2);
    if (memcmp(e, "PK\1\2", 4) != 0 || length > reader->count - *at) return false;
    *entry = (Entry){.name = e + ENTRY, .name_length = name, .local = cai_little_endian(e + 42, 4)};
    entry->member = (cai_zip_member){.flags = (uint16_t)cai_little_endian(e + 8, 2),
                                     .method = (uint16_t)cai_little_endian(e + 10, 2),
                                     .checksum = (uint32_t)cai_little_endian(e + 16, 4),
                                     .packed = cai_little_endian(e + 20, 4),
                                     .bytes = cai_little_endian(e + 24, 4)};
    read_zip64(entry, e + ENTRY + name, extra);
    *at += length;
    return true;
}

/* Where the member's bytes begin, behind a header of its own; NULL where they do not lie
 * in the file. */
static const unsigned char *data_of(const ZipReader *reader, const Entry *entry) {
    if (entry->local > reader->count || reader->count - entry->local < LOCAL) return NULL;
    const unsigned char *local = reader->bytes + entry->local;
    size_t skip = LOCAL + cai_little_endian(local + 26, 2) + cai_little_endian(local + 28, 2),
           left = reader->count - entry->local;
    bool lies = memcmp(local, "PK\3\4", 4) == 0 && skip <= left && entry->member.packed <= left - skip;
    return lies ? local + skip : NULL;
}

enum { STORED = 0, DEFLATED = 8 };

static bool add_zip_member(ZipReader *reader, Entry *entry) {
    cai_zip_member *member = &entry->member;
    member->data = data_of(reader, entry);
    if (!member->data) return fail_zip(reader, "a member lies beyond its end");
    if (member->method == STORED ? member->packed != member->bytes
                                 : !cai_inflates_to(member->packed, member->bytes))
        return fail_zip(reader, "the size of a member is wrong");
    member->name = memcpy(reader->name, entry->name, entry->name_length);
    reader->name += entry->name_length;
    *reader->name++ = 0;
    reader->zip->members[reader->zip->count++] = *member;
    return true;
}

/* Entries may name the same bytes. */
static bool lie_beside_each_other(const ZipReader *reader) {
    uint64_t bytes = 0;
    for (int64_t i = 0; i < reader->zip->count; i++) {
        bytes += reader->zip->members[i].bytes;
        if (!cai_inflates_to(reader->count, bytes)) return false;
    }
    return true;
}

static bool read_zip_members(ZipReader *reader, Directory directory) {
    for (uint64_t i = 0; i < directory.count; i++) {
        Entry entry;
        if (!read_entry(reader, &directory.at, &entry)) return fail_zip(reader, "its directory is damaged");
        if (!add_zip_member(reader, &entry)) return false;
    }
    return lie_beside_each_other(reader) || fail_zip(reader, "its members overlap");
}

bool cai_zip_open(const char *path, const unsigned char *bytes, size_t count, cai_zip *zip,
                  cai_error *error) {
    *zip = (cai_zip){.path = path};
    ZipReader reader = {.bytes = bytes, .count = count, .zip = zip, .error = error};
    Directory directory;
    if (!find_directory(&reader, &directory)) return false;
    zip->members = cai_allocate(directory.count * sizeof *zip->members, path, error);
    /* an entry is longer than its name and a zero */
    zip->names = zip->members ? cai_allocate(count - directory.at, path, error) : NULL;
    reader.name = zip->names;
    if (zip->names && read_zip_members(&reader, directory)) return true;
    cai_zip_close(zip);
    return false;
}

void cai_zip_close(cai_zip *zip) {
    free(zip->members);
    free(zip->names);
    *zip = (cai_zip){0};
}

/* ---- members ---- */

static bool fail_member(const cai_zip *zip, const cai_zip_member *member, const char *what,
                        cai_error *error) {
    return cai_fail(error, CAI_BAD_INPUT, "%s: its member %.200s %s", zip->path, member->name, what);
}

static bool is_unpackable(const cai_zip *zip, const cai_zip_member *member, cai_error *error) {
    if (member->flags & 1) return fail_member(zip, member, "is encrypted", error);
    return member->method == STORED || member->method == DEFLATED ||
           fail_member(zip, member, "is packed in another way than by deflate", error);
}

const unsigned char *cai_zip_stored(const cai_zip_member *member) {
    return member->method == STORED && !(member->flags & 1) ? member->data : NULL;
}

static bool has_checksum(const cai_zip *zip, const cai_zip_member *member, const unsigned char *bytes,
                         cai_error *error) {
    return crc32_z(0, bytes, (size_t)member->bytes) == member->checksum ||
           fail_member(zip, member, "is damaged: its checksum is another", error);
}

bool cai_zip_is_sound(const cai_zip *zip, const cai_zip_member *member, cai_error *error) {
    return has_checksum(zip, member, member->data, error);
}

bool cai_zip_unpack(const cai_zip *zip, const cai_zip_member *member, unsigned char *out, cai_error *error) {
    char where[600];
    snprintf(where, sizeof where, "%.300s: its member %.200s", zip->path, member->name);
    if (!is_unpackable(zip, member, error)) return false;
    if (member->method == STORED) memcpy(out, member->data, (size_t)member->bytes);
    else if (!cai_inflate(where, CAI_DEFLATE, member->data, (size_t)member->packed, out, member->bytes,
                          error))
        return false;
    return has_checksum(zip, member, out, error);
}
