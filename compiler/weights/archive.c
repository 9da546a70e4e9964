/* Zip files, by libzip: what torch.save and numpy.savez write. */
#include "weights/table.h"
#include <zip.h>

struct Archive {
    Arena *arena;
    const char *path;
    zip_t *zip;
    Vec(zip_stat_t) members;
    Names *names;
    Map *by_name; /* to the member's place, plus 1 */
};

static bool archive_fail(const char *path, const char *what, const char *why, cai_error *error) {
    return cai_fail(error, CAI_BAD_INPUT, "%s: %s: %s", path, what, why);
}

/* No method of compression that zip files use makes more than 1,032 bytes of one. */
static bool sizes_are_possible(const zip_stat_t *member) {
    return member->size / 1032 <= member->comp_size && member->size <= (zip_uint64_t)INT64_MAX;
}

static bool list_members(Archive *a, cai_error *error) {
    const zip_uint64_t wanted = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE;
    zip_int64_t count = zip_get_num_entries(a->zip, 0);
    if (count > INT32_MAX) return archive_fail(a->path, "broken zip file", "it has too many members", error);
    for (zip_int64_t i = 0; i < count; i++) {
        zip_stat_t member;
        if (zip_stat_index(a->zip, (zip_uint64_t)i, 0, &member) != 0 || (member.valid & wanted) != wanted)
            return archive_fail(a->path, "broken zip file", zip_strerror(a->zip), error);
        if (!sizes_are_possible(&member))
            return archive_fail(a->path, "broken zip file", "it says more than it can hold", error);
        vec_push(a->arena, &a->members, member);
        map_set(a->by_name, intern(a->names, member.name), (void *)(intptr_t)(i + 1));
    }
    return true;
}

Archive *archive_open(Arena *arena, const char *path, const cai_file *file, cai_error *error) {
    zip_error_t why;
    zip_error_init(&why);
    Archive *a = NEW(arena, Archive);
    *a = (Archive){.arena = arena, .path = path, .names = names_new(arena), .by_name = map_new(arena)};
    zip_source_t *source = zip_source_buffer_create(file->data, file->count, 0, &why);
    a->zip = source ? zip_open_from_source(source, ZIP_RDONLY, &why) : NULL;
    if (!a->zip) {
        archive_fail(path, "broken zip file", zip_error_strerror(&why), error);
        zip_source_free(source);
    }
    zip_error_fini(&why);
    if (!a->zip) return NULL;
    if (list_members(a, error)) return a;
    archive_close(a);
    return NULL;
}

void archive_close(Archive *a) {
    if (a) zip_discard(a->zip);
}

int64_t archive_count(const Archive *a) { return a->members.count; }
const char *archive_name(const Archive *a, int64_t member) { return a->members.items[member].name; }
int64_t archive_bytes(const Archive *a, int64_t member) { return (int64_t)a->members.items[member].size; }

int64_t archive_find(const Archive *a, const char *name) {
    return (intptr_t)map_get(a->by_name, intern(a->names, name)) - 1;
}

const unsigned char *archive_read(Archive *a, int64_t member, WeightTable *table, cai_error *error) {
    const uint64_t bytes = a->members.items[member].size;
    const char *name = archive_name(a, member);
    unsigned char *data = weight_table_block(table, bytes, error);
    zip_file_t *file = data ? zip_fopen_index(a->zip, (zip_uint64_t)member, 0) : NULL;
    if (!data) return NULL;
    uint64_t have = 0;
    for (zip_int64_t count = file != NULL; count > 0 && have < bytes; have += (uint64_t)count) {
        count = zip_fread(file, data + have, bytes - have);
        if (count <= 0) break;
    }
    /* The end is read, too: that is where libzip compares checksums. */
    char beyond;
    bool whole = file && have == bytes && zip_fread(file, &beyond, 1) == 0;
    if (!whole) {
        const char *why = file ? zip_file_strerror(file) : zip_strerror(a->zip);
        cai_fail(error, CAI_BAD_INPUT, "%s: its member %.200s cannot be read: %s", a->path, name, why);
    }
    if (file) zip_fclose(file);
    return whole ? data : NULL;
}
