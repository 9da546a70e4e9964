/* CIFAR in its binary form: records of one or two label bytes and the three planes of a
 * picture of 32x32. CIFAR-10 has data_batch_1.bin to data_batch_5.bin and test_batch.bin;
 * CIFAR-100 has train.bin and test.bin, whose second label is the finer one. */
#include "data/sources.h"

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE };

typedef struct Part {
    const char *name;
    int part;
} Part;

static const struct Form {
    const char *first; /* a file by which the form is recognised */
    const char *names; /* a file of class names, one a line */
    int labels;
    Part files[7];
} forms[] = {
    {.first = "data_batch_1.bin",
     .names = "batches.meta.txt",
     .labels = 1,
     .files = {{"data_batch_1.bin", CAI_PART_TRAINING},
               {"data_batch_2.bin", CAI_PART_TRAINING},
               {"data_batch_3.bin", CAI_PART_TRAINING},
               {"data_batch_4.bin", CAI_PART_TRAINING},
               {"data_batch_5.bin", CAI_PART_TRAINING},
               {"test_batch.bin", CAI_PART_HELD_OUT}}},
    {.first = "train.bin",
     .names = "fine_label_names.txt",
     .labels = 2,
     .files = {{"train.bin", CAI_PART_TRAINING}, {"test.bin", CAI_PART_HELD_OUT}}},
};

static const struct Form *cifar_form_of(const cai_names *names) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (cai_names_have(names, forms[i].first)) return &forms[i];
    return NULL;
}

bool cai_cifar_is_in(const cai_names *names) { return cifar_form_of(names) != NULL; }

/* ---- a file ---- */

static void picture_rows(cai_column *column, const char *path, const unsigned char *bytes, int64_t count,
                         int labels) {
    cai_tensor rows = {.name = "",
                       .type = CAI_U8,
                       .rank = 4,
                       .dims = {count, 3, SIDE, SIDE},
                       .count = count * PIXELS,
                       .data = bytes + labels};
    cai_column_of_rows(column, path, &rows);
    column->stride = labels + PIXELS;
}

static bool class_rows(cai_dataset *dataset, cai_column *column, const char *path, const unsigned char *bytes,
                       int64_t count, int labels, cai_error *error) {
    int32_t *numbers = cai_arena_take(&dataset->arena, (uint64_t)count * sizeof *numbers, error);
    if (!numbers) return false;
    for (int64_t i = 0; i < count; i++) numbers[i] = bytes[i * (labels + PIXELS) + labels - 1];
    cai_column_of_classes(column, path, numbers, count);
    return true;
}

static bool open_cifar_file(cai_dataset *dataset, const char *path, int labels, int part, cai_error *error) {
    cai_portion *portion = cai_portion_new(dataset, path, part, error);
    cai_tensor_file *opened = portion ? cai_opened_new(dataset, path, "", error) : NULL;
    if (!opened || !cai_file_map(path, &opened->file, error)) return false;
    int64_t count = (int64_t)opened->file.count / (labels + PIXELS);
    if (count == 0 || opened->file.count % (size_t)(labels + PIXELS))
        return cai_fail(error, CAI_BAD_INPUT,
                        "%s: is not a CIFAR file: its %zu bytes are not a multiple of %d", path,
                        opened->file.count, labels + PIXELS);
    int picture = cai_field_of(dataset->set, CAI_VALUE_PICTURE),
        label = cai_field_of(dataset->set, CAI_VALUE_CLASS);
    if (picture >= 0) picture_rows(&portion->columns[picture], path, opened->file.data, count, labels);
    if (label >= 0 &&
        !class_rows(dataset, &portion->columns[label], path, opened->file.data, count, labels, error))
        return false;
    return cai_portion_pair(dataset, portion, error);
}

/* ---- the folder ---- */

/* Sets the class names of all portions of this folder. */
static bool name_classes(cai_dataset *dataset, int first_portion, const char *path, cai_error *error) {
    int label = cai_field_of(dataset->set, CAI_VALUE_CLASS), count;
    const char **names;
    if (label < 0) return true;
    if (!cai_class_names_read(&dataset->arena, path, &names, &count, error)) return false;
    for (int i = first_portion; i < dataset->portion_count; i++) {
        cai_column *column = &dataset->portions[i]->columns[label];
        for (int64_t k = 0; k < column->count; k++)
            if (((const int32_t *)column->rows.data)[k] >= count)
                return cai_fail(error, CAI_BAD_INPUT, "%s: has a label beyond the %d classes of %s",
                                column->path, count, path);
        column->classes = names;
        column->class_count = count;
    }
    return true;
}

bool cai_cifar_open(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                    cai_error *error) {
    const struct Form *form = cifar_form_of(names);
    int first_portion = dataset->portion_count;
    (void)part; /* the names of the files tell the part */
    for (const Part *file = form->files; file->name; file++) {
        if (!cai_names_have(names, file->name)) continue;
        const char *path = cai_arena_path(&dataset->arena, folder, file->name, error);
        if (!path || !open_cifar_file(dataset, path, form->labels, file->part, error)) return false;
    }
    if (!cai_names_have(names, form->names)) return true;
    const char *path = cai_arena_path(&dataset->arena, folder, form->names, error);
    return path && name_classes(dataset, first_portion, path, error);
}
