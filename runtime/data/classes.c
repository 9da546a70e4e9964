/* Class names. Folders, lists and boxes have class names, and each portion numbers them
 * in its own way. Here all portions get the same numbers: the line in the file that the
 * field names, else the index in the sorted list of all names. */
#include "data/sources.h"
#include <stdlib.h>
#include <string.h>

typedef struct Classes {
    const char **items;
    int count;
} Classes;

/* ---- lists of names ---- */

static int compare_class_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int place_of_class(const Classes *classes, const char *name) {
    for (int i = 0; i < classes->count; i++)
        if (strcmp(classes->items[i], name) == 0) return i;
    return -1;
}

bool cai_class_names_read(cai_arena *arena, const char *path, const char ***names, int *count,
                          cai_error *error) {
    cai_file file;
    if (!cai_file_read(path, &file, error)) return false;
    char *text = cai_arena_text(arena, (const char *)file.data, file.count, error), *rest;
    *names = text ? cai_arena_take(arena, (file.count + 1) * sizeof **names, error) : NULL;
    cai_file_close(&file);
    if (!*names) return false;
    *count = 0;
    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest))
        (*names)[(*count)++] = line;
    return *count > 0 ||
           cai_fail(error, CAI_BAD_INPUT, "%s: has no class names; it must have one a line", path);
}

/* All names that the portions have for a field, sorted, without repetitions. */
static bool find_names(cai_dataset *dataset, int field, Classes *classes, cai_error *error) {
    int max = 0, count = 0;
    for (int i = 0; i < dataset->portion_count; i++) max += dataset->portions[i]->columns[field].class_count;
    classes->items = cai_arena_take(&dataset->arena, (uint64_t)max * sizeof *classes->items, error);
    if (!classes->items) return false;
    for (int i = 0; i < dataset->portion_count; i++) {
        const cai_column *column = &dataset->portions[i]->columns[field];
        for (int k = 0; k < column->class_count; k++) classes->items[count++] = column->classes[k];
    }
    qsort(classes->items, (size_t)count, sizeof *classes->items, compare_class_names);
    for (int i = 0; i < count; i++)
        if (i == 0 || strcmp(classes->items[i], classes->items[i - 1]) != 0)
            classes->items[classes->count++] = classes->items[i];
    return true;
}

/* ---- numbers ---- */

static bool fail_unknown_class(const cai_field *field, const cai_column *column, int found,
                               const Classes *classes, cai_error *error) {
    return cai_fail(error, CAI_BAD_INPUT,
                    "%s: class `%s` is not in %s, which has %d names, the first `%s`\n"
                    "  help: the names there must be those of the data, one a line",
                    column->path, column->classes[found], field->names, classes->count, classes->items[0]);
}

static int32_t renumbered_class(int64_t class, const int *places) { return class < 0 ? -1 : places[class]; }

/* Only columns made by this wing have names, so their i32 rows or boxes may be
 * written. */
static void renumber_column(cai_column *column, const int *places) {
    int32_t *numbers = (int32_t *)column->rows.data;
    for (int64_t i = 0; column->kind == CAI_COLUMN_ROWS && i < column->count; i++)
        numbers[i] = renumbered_class(numbers[i], places);
    for (int64_t i = 0; column->kind == CAI_COLUMN_BOXES && i < column->count; i++)
        for (int64_t k = 0; k < column->boxes[i].count; k++) {
            float *class = &column->boxes[i].items[k].class;
            *class = (float)renumbered_class((int64_t) * class, places);
        }
}

static bool join_column(const cai_field *field, cai_column *column, const Classes *classes,
                        cai_error *error) {
    int *places = cai_allocate((uint64_t)column->class_count * sizeof *places, "classes", error);
    if (!places) return false;
    bool known = true;
    for (int i = 0; known && i < column->class_count; i++) {
        places[i] = place_of_class(classes, column->classes[i]);
        known = places[i] >= 0 || fail_unknown_class(field, column, i, classes, error);
    }
    if (known) renumber_column(column, places);
    free(places);
    return known;
}

/* The largest number of a class, for data whose classes are numbers. */
static int64_t largest_class(const cai_dataset *dataset, int field) {
    int64_t largest = -1;
    for (int64_t i = 0; i < dataset->count; i++) {
        int64_t class = cai_dataset_class(dataset, field, i);
        if (class > largest) largest = class;
    }
    return largest;
}

static bool count_classes(const cai_dataset *dataset, int field, Classes *classes, cai_error *error) {
    int64_t largest = largest_class(dataset, field);
    if (largest >= 1 << 30)
        return cai_fail(error, CAI_BAD_INPUT, "`%s`: %lld is not a class number",
                        dataset->set->fields[field].name, (long long)largest);
    if (!classes->items) classes->count = (int)largest + 1;
    return true;
}

static bool join_field(cai_dataset *dataset, int at, cai_error *error) {
    const cai_field *field = &dataset->set->fields[at];
    int value = cai_value_of(field);
    Classes classes = {0};
    if (value != CAI_VALUE_CLASS && value != CAI_VALUE_BOXES) return true;
    if (field->names &&
        !cai_class_names_read(&dataset->arena, field->names, &classes.items, &classes.count, error))
        return cai_fail_within(error, "the names of `%s`", field->name);
    bool named = false;
    for (int i = 0; i < dataset->portion_count; i++)
        named |= dataset->portions[i]->columns[at].classes != NULL;
    if (named && !field->names && !find_names(dataset, at, &classes, error)) return false;
    for (int i = 0; i < dataset->portion_count; i++) {
        cai_column *column = &dataset->portions[i]->columns[at];
        if (column->classes && !join_column(field, column, &classes, error)) return false;
    }
    if (value == CAI_VALUE_CLASS && !count_classes(dataset, at, &classes, error)) return false;
    dataset->classes[at] = classes.items;
    dataset->class_counts[at] = classes.count;
    return true;
}

bool cai_classes_join(cai_dataset *dataset, cai_error *error) {
    uint64_t fields = (uint64_t)dataset->set->field_count;
    dataset->classes = cai_arena_take(&dataset->arena, fields * sizeof *dataset->classes, error);
    dataset->class_counts =
        dataset->classes ? cai_arena_take(&dataset->arena, fields * sizeof(int), error) : NULL;
    if (!dataset->class_counts) return false;
    for (int i = 0; i < dataset->set->field_count; i++)
        if (!join_field(dataset, i, error)) return false;
    return true;
}
