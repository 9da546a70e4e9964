/* Zip files of weights, as written by torch.save and numpy.savez. */
#include "weights/table.h"

struct Archive {
    cai_zip zip;
    Names *names;
    Map *by_name; /* name -> index of the member, plus 1 */
};

Archive *archive_open(Arena *arena, const char *path, const cai_file *file, cai_error *error) {
    Archive *a = NEW(arena, Archive);
    *a = (Archive){.names = names_new(arena), .by_name = map_new(arena)};
    if (!cai_zip_open(path, file->data, file->count, &a->zip, error)) return NULL;
    for (int64_t i = 0; i < a->zip.count; i++)
        map_set(a->by_name, intern(a->names, a->zip.members[i].name), (void *)(intptr_t)(i + 1));
    return a;
}

void archive_close(Archive *a) {
    if (a) cai_zip_close(&a->zip);
}

int64_t archive_count(const Archive *a) { return a->zip.count; }
const char *archive_name(const Archive *a, int64_t member) { return a->zip.members[member].name; }
int64_t archive_bytes(const Archive *a, int64_t member) { return (int64_t)a->zip.members[member].bytes; }

int64_t archive_find(const Archive *a, const char *name) {
    return (intptr_t)map_get(a->by_name, intern(a->names, name)) - 1;
}

const unsigned char *archive_read(Archive *a, int64_t index, WeightTable *table, cai_error *error) {
    const cai_zip_member *member = &a->zip.members[index];
    const unsigned char *stored = cai_zip_stored(member);
    if (stored) return cai_zip_is_sound(&a->zip, member, error) ? stored : NULL;
    unsigned char *unpacked = weight_table_block(table, member->bytes, error);
    return unpacked && cai_zip_unpack(&a->zip, member, unpacked, error) ? unpacked : NULL;
}
