/* Arrays whose first axis counts samples: .npy, .npz, .safetensors and IDX. */
#include "data/sources.h"
#include <string.h>

/* ---- open files ---- */

typedef struct cai_opened {
    struct cai_opened *next;
    const char *path, *name; /* name: of the array, if the file has several */
    cai_tensor_file file;
} Opened;

cai_tensor_file *cai_opened_new(cai_dataset *dataset, const char *path, const char *name, cai_error *error) {
    Opened *opened = cai_arena_take(&dataset->arena, sizeof *opened, error);
    if (!opened) return NULL;
    *opened = (Opened){.next = dataset->opened, .path = path, .name = name};
    dataset->opened = opened;
    return &opened->file;
}

void cai_opened_close(cai_dataset *dataset) {
    for (Opened *opened = dataset->opened; opened; opened = opened->next) cai_tensors_close(&opened->file);
}

static bool is_opened(const cai_dataset *dataset, const char *path) {
    const Opened *opened = dataset->opened;
    while (opened && strcmp(opened->path, path) != 0) opened = opened->next;
    return opened != NULL;
}

static bool is_zip(const cai_file *file) { return file->count > 4 && memcmp(file->data, "PK\3\4", 4) == 0; }

/* Opens the tensors of a file once, since each field asks for them. */
static bool open_tensors(cai_dataset *dataset, const char *path, cai_error *error) {
    if (is_opened(dataset, path)) return true;
    cai_tensor_file *file = cai_opened_new(dataset, path, "", error);
    cai_file whole;
    if (!file || !cai_file_map(path, &whole, error)) return false;
    if (!is_zip(&whole) && !cai_tensors_parse(path, whole.data, whole.count, file, error)) {
        cai_file_close(&whole);
        return false;
    }
    file->file = whole;
    return !is_zip(&whole) || cai_npz_open(dataset, path, whole.data, whole.count, error);
}

/* ---- the tensor of a field ---- */

typedef struct Choice { /* a choice among the tensors of a file */
    const cai_tensor *named, *any;
    int64_t count;
    char names[200];
} Choice;

static void consider_tensor(Choice *choice, const char *wanted, const char *name, const cai_tensor *tensor) {
    size_t used = strlen(choice->names);
    snprintf(choice->names + used, sizeof choice->names - used, "%s%s", used ? ", " : "", name);
    choice->count++;
    choice->any = tensor;
    if (strcmp(name, wanted) == 0) choice->named = tensor;
}

static Choice tensors_of(const cai_dataset *dataset, const char *path, const char *wanted) {
    Choice choice = {0};
    for (const Opened *opened = dataset->opened; opened; opened = opened->next) {
        if (strcmp(opened->path, path) != 0) continue;
        for (int64_t i = 0; i < opened->file.count; i++) {
            const cai_tensor *tensor = &opened->file.tensors[i];
            consider_tensor(&choice, wanted, *opened->name ? opened->name : tensor->name, tensor);
        }
    }
    return choice;
}

bool cai_rows_open(cai_dataset *dataset, cai_column *column, const cai_field *field, const char *path,
                   cai_error *error) {
    if (cai_is_idx_name(path)) return cai_idx_read(dataset, path, column, error);
    if (!open_tensors(dataset, path, error)) return false;
    Choice choice = tensors_of(dataset, path, field->name);
    const cai_tensor *tensor = choice.count == 1 ? choice.any : choice.named;
    if (!tensor)
        return cai_fail(error, CAI_BAD_INPUT, "%s: has no tensor `%s`: its tensors are %s", path, field->name,
                        choice.count ? choice.names : "none");
    if (tensor->rank == 0)
        return cai_fail(error, CAI_BAD_INPUT, "%s: `%s` is a single number, not a list of samples", path,
                        field->name);
    return cai_column_of_stored(column, path, tensor, error);
}

/* Opens all fields from one file with several tensors. */
bool cai_rows_open_all(cai_dataset *dataset, const char *path, int part, cai_error *error) {
    cai_portion *portion = cai_portion_new(dataset, path, part, error);
    if (!portion) return false;
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_field *field = &dataset->set->fields[i];
        if (!field->index && !cai_rows_open(dataset, &portion->columns[i], field, path, error)) return false;
    }
    return cai_portion_pair(dataset, portion, error);
}
