/* .npz: a zip file of .npy files, as written by numpy.savez and savez_compressed. The
 * names of the files are the names of the arrays. */
#include "weights/table.h"

static bool is_array(const char *name, size_t *stem) {
    size_t length = strlen(name);
    *stem = length - 4;
    return length > 4 && strcmp(name + length - 4, ".npy") == 0;
}

static bool take_member(WeightTable *table, int64_t member, cai_error *error) {
    size_t stem;
    const char *name = archive_name(table->archive, member);
    if (!is_array(name, &stem))
        return cai_fail(
            error, CAI_BAD_INPUT,
            "%s: its member %.200s is not an array: cai reads two kinds of zip files, .npz and those of torch.save",
            table->path, name);
    const unsigned char *data = archive_read(table->archive, member, table, error);
    const char *within = arena_printf(table->arena, "%s: %.200s", table->path, name);
    cai_tensor_file file;
    if (!data ||
        !cai_tensors_parse(within, data, (size_t)archive_bytes(table->archive, member), &file, error))
        return false;
    vec_push(table->arena, &table->files, file);
    if (file.format != CAI_FORMAT_npy) return cai_fail(error, CAI_BAD_INPUT, "%s is not an array", within);
    cai_tensor tensor = file.tensors[0];
    tensor.name = arena_strndup(table->arena, name, stem);
    vec_push(table->arena, &table->tensors, tensor);
    return true;
}

bool npz_open(WeightTable *table, cai_error *error) {
    table->what = "a .npz";
    for (int64_t i = 0; i < archive_count(table->archive); i++)
        if (!take_member(table, i, error)) return false;
    return true;
}
