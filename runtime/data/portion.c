/* Portions: samples of one origin, which are made of the entries of columns. */
#include "data/sources.h"
#include <stdlib.h>
#include <string.h>

cai_portion *cai_portion_new(cai_dataset *dataset, const char *path, int part, cai_error *error) {
    cai_arena *arena = &dataset->arena;
    uint64_t fields = (uint64_t)dataset->set->field_count, count = (uint64_t)dataset->portion_count;
    cai_portion **list = cai_arena_take(arena, (count + 1) * sizeof *list, error);
    cai_portion *portion = list ? cai_arena_take(arena, sizeof *portion, error) : NULL;
    cai_column *columns = portion ? cai_arena_take(arena, fields * sizeof *columns, error) : NULL;
    int64_t **entries = columns ? cai_arena_take(arena, fields * sizeof *entries, error) : NULL;
    if (!entries) return NULL;
    *portion = (cai_portion){.part = part, .path = path, .columns = columns, .entries = entries};
    if (count) memcpy(list, dataset->portions, count * sizeof *list);
    list[count] = portion;
    dataset->portions = list;
    dataset->portion_count++;
    return portion;
}

void cai_column_of_rows(cai_column *column, const char *path, const cai_tensor *tensor) {
    int64_t rows = tensor->rank ? tensor->dims[0] : 0;
    *column = (cai_column){.kind = CAI_COLUMN_ROWS, .path = path, .count = rows, .rows = *tensor};
    column->stride = rows ? tensor->count / rows * cai_type_bytes(tensor->type) : 0;
}

bool cai_column_of_stored(cai_column *column, const char *path, const cai_tensor *tensor, cai_error *error) {
    char shape[400];
    if (tensor->count == 0 && tensor->dims[0] > 0)
        return cai_fail(error, CAI_BAD_INPUT, "%s: its %lld samples have no elements: it is %s", path,
                        (long long)tensor->dims[0], cai_tensor_shape_text(tensor, shape, sizeof shape));
    cai_column_of_rows(column, path, tensor);
    return true;
}

const char *cai_portion_name(const cai_portion *portion, int64_t sample, char out[24]) {
    if (portion->names) return portion->names[sample];
    snprintf(out, 24, "%lld", (long long)sample);
    return out;
}

void cai_column_of_classes(cai_column *column, const char *path, const int32_t *numbers, int64_t count) {
    cai_tensor rows = {.name = "", .type = CAI_I32, .rank = 1, .dims = {count}, .count = count};
    rows.data = (const unsigned char *)numbers;
    cai_column_of_rows(column, path, &rows);
}

cai_tensor cai_column_row(const cai_column *column, int64_t entry) {
    cai_tensor row = column->rows;
    row.rank--;
    memmove(row.dims, row.dims + 1, (size_t)row.rank * sizeof *row.dims);
    row.count = column->count ? column->rows.count / column->count : 0;
    row.data += entry * column->stride;
    return row;
}

const char *cai_column_name(const cai_column *column, int64_t entry, char out[24]) {
    if (column->kind == CAI_COLUMN_FILES) return column->files[entry].path;
    if (column->stems) return column->stems[entry];
    snprintf(out, 24, "%lld", (long long)entry);
    return out;
}

/* ---- pairing ---- */

static bool fail_without_column(const cai_portion *portion, const cai_field *field, cai_error *error) {
    bool class = cai_value_of(field) == CAI_VALUE_CLASS;
    return cai_fail(error, CAI_BAD_INPUT,
                    "%s: has no data for `%s: %s`\n"
                    "  help: %s: %s=PATH",
                    portion->path, field->name, field->text,
                    class ? "make a folder for each class, with its pictures, or name a file of numbers"
                          : "name its files or folder",
                    field->name);
}

static bool has_all(const cai_dataset *dataset, const cai_portion *portion, cai_error *error) {
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_field *field = &dataset->set->fields[i];
        bool missing = portion->columns[i].kind == CAI_COLUMN_MISSING && !field->index;
        if (missing) return fail_without_column(portion, field, error);
    }
    return true;
}

/* The first column that is paired by stems, or by number; NULL: there is none. */
static const cai_column *first_column(const cai_dataset *dataset, const cai_portion *portion, bool by_stem) {
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_column *column = &portion->columns[i];
        bool has_stems = column->stems != NULL && !column->alone;
        if (column->kind != CAI_COLUMN_MISSING && has_stems == by_stem) return column;
    }
    return NULL;
}

/* Sample k consists of entry k of each column. */
static bool pair_by_number(const cai_dataset *dataset, cai_portion *portion, const cai_column *first,
                           cai_error *error) {
    portion->count = first->count;
    portion->names = first->stems;
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_column *column = &portion->columns[i];
        if (column->kind == CAI_COLUMN_MISSING || column->count == first->count) continue;
        return cai_fail(error, CAI_BAD_INPUT,
                        "%s has %lld samples and %s has %lld: they are paired in order, one to one",
                        first->path, (long long)first->count, column->path, (long long)column->count);
    }
    return true;
}

static int compare_portion_stems(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The entry with that stem, or -1. Stems are sorted. */
static int64_t find_stem(const cai_column *column, const char *stem) {
    const char *const *found =
        bsearch(&stem, column->stems, (size_t)column->count, sizeof *column->stems, compare_portion_stems);
    return found ? found - column->stems : -1;
}

/* The first column that lacks the stem; -1 if all have it. */
static int lacks_stem(const cai_dataset *dataset, const cai_portion *portion, const char *stem) {
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_column *column = &portion->columns[i];
        if (column->kind != CAI_COLUMN_MISSING && find_stem(column, stem) < 0) return i;
    }
    return -1;
}

/* Tells the user how many entries of a column have no partner in another, with one
 * example. */
static bool leave_out_alone(cai_dataset *dataset, const cai_portion *portion, const cai_column *column,
                            cai_error *error) {
    int64_t count = 0;
    const char *example = NULL, *lacking = NULL;
    for (int64_t k = 0; k < column->count; k++) {
        int field = lacks_stem(dataset, portion, column->stems[k]);
        if (field < 0 || count++) continue;
        example = column->stems[k];
        lacking = dataset->set->fields[field].name;
    }
    return count == 0 ||
           cai_dataset_leave_out(dataset, count, error, column->path,
                                 "%lld of %lld entries have no partner: there is no `%s` for %s%s",
                                 (long long)count, (long long)column->count, lacking, example,
                                 count > 1 ? ", ..." : "");
}

static bool pair_by_stem(cai_dataset *dataset, cai_portion *portion, const cai_column *first,
                         cai_error *error) {
    int fields = dataset->set->field_count;
    const char **names = cai_arena_take(&dataset->arena, (uint64_t)first->count * sizeof *names, error);
    if (!names) return false;
    for (int i = 0; i < fields; i++) {
        portion->entries[i] =
            cai_arena_take(&dataset->arena, (uint64_t)first->count * sizeof(int64_t), error);
        if (!portion->entries[i]) return false;
    }
    for (int64_t k = 0; k < first->count; k++) {
        const char *stem = first->stems[k];
        if (lacks_stem(dataset, portion, stem) >= 0) continue;
        for (int i = 0; i < fields; i++)
            if (portion->columns[i].kind != CAI_COLUMN_MISSING)
                portion->entries[i][portion->count] = find_stem(&portion->columns[i], stem);
        names[portion->count++] = stem;
    }
    portion->names = names;
    return true;
}

/* The column of classes that were made from folders shares its stems with the files
 * there. */
static bool has_stems_of_another(const cai_portion *portion, int field) {
    for (int i = 0; i < field; i++)
        if (portion->columns[i].stems == portion->columns[field].stems) return true;
    return false;
}

static bool leave_out_all_alone(cai_dataset *dataset, const cai_portion *portion, cai_error *error) {
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_column *column = &portion->columns[i];
        if (column->kind == CAI_COLUMN_MISSING || has_stems_of_another(portion, i)) continue;
        if (!leave_out_alone(dataset, portion, column, error)) return false;
    }
    return true;
}

bool cai_portion_pair(cai_dataset *dataset, cai_portion *portion, cai_error *error) {
    if (!has_all(dataset, portion, error)) return false;
    const cai_column *named = first_column(dataset, portion, true),
                     *counted = first_column(dataset, portion, false);
    if (counted) return pair_by_number(dataset, portion, named ? named : counted, error);
    if (!named) return cai_fail(error, CAI_BAD_INPUT, "%s: no input is read from it", portion->path);
    return pair_by_stem(dataset, portion, named, error) && leave_out_all_alone(dataset, portion, error);
}
