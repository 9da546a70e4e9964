/* .npz: a zip file of .npy files, as written by np.savez and np.savez_compressed. The
 * samples of an uncompressed array are read directly in the mapped archive. */
#include "data/sources.h"
#include <string.h>

static const unsigned char *bytes_of(cai_dataset *dataset, const cai_zip *zip, const cai_zip_member *member,
                                     cai_error *error) {
    const unsigned char *stored = cai_zip_stored(member);
    unsigned char *unpacked = stored ? NULL : cai_arena_take(&dataset->arena, member->bytes, error);
    return unpacked && cai_zip_unpack(zip, member, unpacked, error) ? unpacked : stored;
}

/* "name.npy" contains the array `name`. */
static bool open_array(cai_dataset *dataset, const cai_zip *zip, const cai_zip_member *member,
                       cai_error *error) {
    size_t length = strlen(member->name);
    if (length < 5 || strcmp(member->name + length - 4, ".npy") != 0) return true;
    const char *name = cai_arena_text(&dataset->arena, member->name, length - 4, error);
    cai_tensor_file *file = name ? cai_opened_new(dataset, zip->path, name, error) : NULL;
    const unsigned char *bytes = file ? bytes_of(dataset, zip, member, error) : NULL;
    return bytes && cai_tensors_parse(zip->path, bytes, (size_t)member->bytes, file, error);
}

bool cai_npz_open(cai_dataset *dataset, const char *path, const unsigned char *bytes, size_t count,
                  cai_error *error) {
    cai_zip zip;
    if (!cai_zip_open(path, bytes, count, &zip, error)) return false;
    bool good = true;
    for (int64_t i = 0; i < zip.count && good; i++) good = open_array(dataset, &zip, &zip.members[i], error);
    cai_zip_close(&zip);
    return good;
}
