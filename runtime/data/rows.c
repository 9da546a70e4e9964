/* Arrays whose first axis counts samples: .npy, .safetensors and IDX. */
#include "data/sources.h"
#include <string.h>

/* Opens a file of tensors that stays open with the data set. */
static const cai_tensor_file *open_tensors(cai_dataset *dataset, const char *path, cai_error *error) {
    int count = dataset->opened_count;
    cai_tensor_file **list = cai_store_take(&dataset->store, (uint64_t)(count + 1) * sizeof *list, error);
    cai_tensor_file *file = list ? cai_store_take(&dataset->store, sizeof *file, error) : NULL;
    if (!file || !cai_tensors_open(path, file, error)) return NULL;
    if (count) memcpy(list, dataset->opened, (uint64_t)count * sizeof *list);
    list[count] = file;
    dataset->opened = list;
    dataset->opened_count++;
    return file;
}

static bool open_tensor(cai_dataset *dataset, cai_column *column, const cai_field *field, const char *path, cai_error *error) {
    const cai_tensor_file *file = open_tensors(dataset, path, error);
    if (!file) return false;
    const cai_tensor *tensor = file->count == 1 ? file->tensors : cai_tensors_find(file, field->name);
    if (!tensor) return cai_fail(error, CAI_BAD_INPUT, "%s: has no tensor `%s`", path, field->name);
    cai_column_of_rows(column, path, tensor);
    return true;
}

bool cai_rows_open(cai_dataset *dataset, cai_column *column, const cai_field *field, const char *path, cai_error *error) {
    if (strstr(path, "idx")) return cai_idx_read(dataset, path, column, error);
    return open_tensor(dataset, column, field, path, error);
}
