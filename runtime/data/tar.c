/* Tar archives in the form of WebDataset: a member's name up to its first dot is the
 * sample, and the rest says which input it is: `0001.jpg` and `0001.cls`, or
 * `0001.photo.png` for an input `photo`. Members are read directly in the mapped archive,
 * in any order, which libraries that read an archive from its beginning do not offer. The
 * reader knows ustar, with long names in the forms of pax and GNU. */
#include "data/sources.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, NAME = 100, SIZE = 124, TYPE = 156, MAGIC = 257, PREFIX = 345, MAX_NAME = 4096 };

typedef struct Tar {
    cai_dataset *dataset;
    const char *path;
    const unsigned char *bytes;
    size_t count, at;
    char name[MAX_NAME]; /* of the member or, if `is_told`, of the next one */
    bool is_told, is_broken;
    cai_error *error;
} Tar;

static bool fail_tar(const Tar *tar, const char *what) {
    return cai_fail(tar->error, CAI_BAD_INPUT, "%s: broken tar archive: %s", tar->path, what);
}

/* ---- headers ---- */

/* Octal digits; or, if the first bit is set, a big-endian number. */
static uint64_t size_of_member(const unsigned char *field) {
    uint64_t size = 0;
    for (int i = 0; i < 12; i++) {
        if (field[0] & 0x80) size = size << 8 | (i ? field[i] : field[i] & 0x7f);
        else if (field[i] >= '0' && field[i] <= '7') size = size << 3 | (uint64_t)(field[i] - '0');
    }
    return size;
}

/* A prefix has up to 155 bytes and a name up to 100; neither needs a final zero. */
static void read_member_name(Tar *tar, const unsigned char *header) {
    bool prefixed = memcmp(header + MAGIC, "ustar\0", 6) == 0 && header[PREFIX];
    if (tar->is_told) return;
    snprintf(tar->name, sizeof tar->name, "%.*s%s%.*s", prefixed ? 155 : 0, (const char *)header + PREFIX,
             prefixed ? "/" : "", NAME, (const char *)header);
}

static void keep_name(Tar *tar, const unsigned char *name, size_t length) {
    size_t kept = length < sizeof tar->name - 1 ? length : sizeof tar->name - 1;
    memcpy(tar->name, name, kept);
    tar->name[kept] = 0;
    tar->is_told = true;
}

/* Reads the path from records of the form "LENGTH key=value\n". */
static void read_pax(Tar *tar, const unsigned char *data, size_t size) {
    while (size > 0) {
        size_t length = 0, digits = 0;
        for (; digits < size && digits < 9 && data[digits] >= '0' && data[digits] <= '9'; digits++)
            length = length * 10 + (size_t)(data[digits] - '0');
        if (length > size || length <= digits + 1) return;
        const unsigned char *key = data + digits + 1;
        size_t rest = length - digits - 1;
        if (rest > 6 && memcmp(key, "path=", 5) == 0) keep_name(tar, key + 5, rest - 6);
        data += length;
        size -= length;
    }
}

static bool is_empty(const unsigned char *header) {
    for (int i = 0; i < BLOCK; i++)
        if (header[i]) return false;
    return true;
}

typedef struct Block { /* a header, and the data after it */
    const unsigned char *header, *data;
    size_t size;
} Block;

/* False at the end of the archive, and after an error (is_broken). */
static bool next_block(Tar *tar, Block *block) {
    *block = (Block){.header = tar->bytes + tar->at};
    if (tar->count - tar->at < BLOCK || is_empty(block->header)) return false;
    uint64_t size = size_of_member(block->header + SIZE), left = tar->count - tar->at - BLOCK;
    tar->is_broken = memcmp(block->header + MAGIC, "ustar", 5) != 0 || size > left;
    if (tar->is_broken) return fail_tar(tar, size > left ? "the file is cut off" : "a header is missing");
    uint64_t whole = (size + BLOCK - 1) / BLOCK * BLOCK;
    tar->at += BLOCK + (size_t)(whole < left ? whole : left);
    block->data = block->header + BLOCK;
    block->size = (size_t)size;
    return true;
}

/* Moves to the next regular file. False at the end of the archive, and after an error. */
static bool next_member(Tar *tar, cai_blob *member) {
    Block block;
    while (next_block(tar, &block)) {
        switch (block.header[TYPE]) {
        case 'L': keep_name(tar, block.data, strnlen((const char *)block.data, block.size)); break;
        case 'x': read_pax(tar, block.data, block.size); break;
        case '0':
        case 0:
            read_member_name(tar, block.header);
            tar->is_told = false;
            *member = (cai_blob){.path = tar->name, .bytes = block.data, .count = block.size};
            return true;
        default: tar->is_told = false; /* a folder or a link */
        }
    }
    return false;
}

/* ---- which input a member is ---- */

static bool is_ending_of(int value, const char *ending) {
    char name[64];
    snprintf(name, sizeof name, "x.%.60s", ending);
    switch (value) {
    case CAI_VALUE_PICTURE: return cai_format_of_name(name, CAI_HOLDS_PICTURE) != CAI_NO_FORMAT;
    case CAI_VALUE_CLASS: return strcmp(ending, "cls") == 0;
    case CAI_VALUE_MASK: return strcmp(ending, "seg.png") == 0 || strcmp(ending, "mask.png") == 0;
    case CAI_VALUE_BOXES: return strcmp(ending, "xml") == 0 || strcmp(ending, "txt") == 0;
    case CAI_VALUE_NUMBERS: return cai_format_of_name(name, CAI_HOLDS_NUMBERS) != CAI_NO_FORMAT;
    default: return false;
    }
}

/* The field whose name comes first in the ending, else a field for which such files are;
 * -1: none. */
static int field_of_ending(const cai_set *set, const char *ending) {
    for (int i = 0; i < set->field_count; i++) {
        size_t length = strlen(set->fields[i].name);
        if (strncmp(ending, set->fields[i].name, length) == 0 && (ending[length] == '.' || !ending[length]))
            return i;
    }
    for (int i = 0; i < set->field_count; i++)
        if (is_ending_of(cai_value_of(&set->fields[i]), ending)) return i;
    return -1;
}

/* ---- an archive ---- */

static bool add_member(Tar *tar, cai_files *files, const cai_blob *member) {
    cai_arena *arena = &tar->dataset->arena;
    const char *slash = strrchr(member->path, '/'), *dot = strchr(slash ? slash : member->path, '.');
    int field = dot ? field_of_ending(tar->dataset->set, dot + 1) : -1;
    if (field < 0) return true;
    const char *stem = cai_arena_text(arena, member->path, (size_t)(dot - member->path), tar->error);
    const char *path = stem ? cai_arena_path(arena, tar->path, member->path, tar->error) : NULL;
    cai_blob blob = {.path = path, .bytes = member->bytes, .count = member->count};
    return path && cai_files_add(&files[field], stem, &blob, tar->error);
}

static bool read_members(Tar *tar, cai_files *files) {
    cai_blob member = {0};
    while (next_member(tar, &member))
        if (!add_member(tar, files, &member)) return false;
    return !tar->is_broken;
}

/* A class is a number as text. */
static bool make_classes(Tar *tar, cai_column *column) {
    int32_t *numbers =
        cai_arena_take(&tar->dataset->arena, (uint64_t)column->count * sizeof *numbers, tar->error);
    if (!numbers) return false;
    for (int64_t i = 0; i < column->count; i++) {
        const cai_blob *file = &column->files[i];
        char text[16], *end;
        snprintf(text, sizeof text, "%.*s", (int)(file->count < 15 ? file->count : 15),
                 (const char *)file->bytes);
        numbers[i] = (int32_t)strtol(text, &end, 10);
        if (end == text || end[strspn(end, " \r\n")])
            return cai_fail(tar->error, CAI_BAD_INPUT, "%s: does not hold a class number", file->path);
    }
    const char *const *stems = column->stems;
    cai_column_of_classes(column, tar->path, numbers, column->count);
    column->stems = stems;
    return true;
}

static bool make_columns(Tar *tar, cai_files *files, cai_portion *portion) {
    for (int i = 0; i < tar->dataset->set->field_count; i++) {
        cai_column *column = &portion->columns[i];
        int value = cai_value_of(&tar->dataset->set->fields[i]);
        if (files[i].count == 0) continue;
        if (!cai_files_column(tar->dataset, &files[i], tar->path, column, tar->error)) return false;
        bool made = value == CAI_VALUE_CLASS ? make_classes(tar, column)
                                             : cai_column_finish(tar->dataset, column, value, tar->error);
        if (!made) return false;
    }
    return true;
}

bool cai_tar_open(cai_dataset *dataset, const char *path, int part, cai_error *error) {
    int fields = dataset->set->field_count;
    cai_portion *portion = cai_portion_new(dataset, path, part, error);
    cai_tensor_file *opened = portion ? cai_opened_new(dataset, path, "", error) : NULL;
    if (!opened || !cai_file_map(path, &opened->file, error)) return false;
    Tar tar = {.dataset = dataset,
               .path = path,
               .bytes = opened->file.data,
               .count = opened->file.count,
               .error = error};
    cai_files *files = calloc((size_t)fields, sizeof *files);
    if (!files) return cai_fail_memory(error, (uint64_t)fields * sizeof *files, path);
    bool good = read_members(&tar, files) && make_columns(&tar, files, portion);
    for (int i = 0; i < fields; i++) free(files[i].items);
    free(files);
    return good && cai_portion_pair(dataset, portion, error);
}

/* ---- a folder of them ---- */

bool cai_is_tar_name(const char *path) { return cai_has_extension(path, ".tar"); }

bool cai_tar_is_in(const cai_names *names) {
    for (int64_t i = 0; i < names->count; i++)
        if (cai_is_tar_name(names->items[i])) return true;
    return false;
}

bool cai_tars_open(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                   cai_error *error) {
    for (int64_t i = 0; i < names->count; i++) {
        if (!cai_is_tar_name(names->items[i])) continue;
        const char *path = cai_arena_path(&dataset->arena, folder, names->items[i], error);
        if (!path || !cai_tar_open(dataset, path, part, error)) return false;
    }
    return true;
}
