/* Finds out what a path is, and opens it. */
#include "data/sources.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- folders ---- */

static bool push_name(cai_arena *arena, cai_names *names, int64_t *room, const char *name, cai_error *error) {
    if (names->count == *room) {
        const char **larger =
            cai_arena_take(arena, (uint64_t)(*room = *room ? 2 * *room : 64) * sizeof *larger, error);
        if (!larger) return false;
        if (names->count) memcpy(larger, names->items, (size_t)names->count * sizeof *larger);
        names->items = larger;
    }
    const char *copy = cai_arena_text(arena, name, strlen(name), error);
    names->items[names->count] = copy;
    names->count += copy != NULL;
    return copy != NULL;
}

static int compare_entry_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool cai_folder_names(cai_arena *arena, const char *folder, cai_names *names, cai_error *error) {
    DIR *directory = opendir(folder);
    *names = (cai_names){0};
    if (!directory)
        return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be opened: %s", folder, strerror(errno));
    int64_t room = 0;
    bool good = true;
    for (struct dirent *entry; good && (entry = readdir(directory));)
        if (entry->d_name[0] != '.') good = push_name(arena, names, &room, entry->d_name, error);
    closedir(directory);
    if (names->count) qsort(names->items, (size_t)names->count, sizeof *names->items, compare_entry_names);
    return good;
}

bool cai_is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool cai_names_have(const cai_names *names, const char *name) {
    return bsearch(&name, names->items, (size_t)names->count, sizeof *names->items, compare_entry_names) !=
           NULL;
}

/* ---- inputs: a folder or a file for each field, with the field's name ---- */

/* The name in the folder that equals the field's, with any ending; NULL: there is
 * none. */
static const char *name_of_field(const cai_names *names, const char *field) {
    size_t length = strlen(field);
    for (int64_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        if (strncmp(name, field, length) == 0 && (name[length] == 0 || name[length] == '.')) return name;
    }
    return NULL;
}

static bool has_inputs(const cai_set *set, const cai_names *names) {
    for (int i = 0; i < set->field_count; i++)
        if (name_of_field(names, set->fields[i].name)) return true;
    return false;
}

/* Opens the fields that have no column yet and are in the folder. */
static bool open_inputs(cai_dataset *dataset, cai_portion *portion, const char *folder,
                        const cai_names *names, cai_error *error) {
    for (int i = 0; i < dataset->set->field_count; i++) {
        const char *name = name_of_field(names, dataset->set->fields[i].name);
        if (!name || portion->columns[i].kind != CAI_COLUMN_MISSING) continue;
        const char *path = cai_arena_path(&dataset->arena, folder, name, error);
        if (!path || !cai_column_open(dataset, portion, i, path, error)) return false;
    }
    return true;
}

static bool finish_portion(cai_dataset *dataset, cai_portion *portion, cai_error *error) {
    return cai_classes_of_folders(dataset, portion, error) && cai_portion_pair(dataset, portion, error);
}

static bool open_by_inputs(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                           cai_error *error) {
    cai_portion *portion = cai_portion_new(dataset, folder, part, error);
    return portion && open_inputs(dataset, portion, folder, names, error) &&
           finish_portion(dataset, portion, error);
}

bool cai_source_open_named(cai_dataset *dataset, const char *const *paths, const char *const *names,
                           int count, cai_error *error) {
    cai_portion *portion = cai_portion_new(dataset, paths[0], CAI_PART_BY_NAME, error);
    if (!portion) return false;
    for (int i = 0; i < count; i++) {
        int field = names[i] ? cai_field_named(dataset->set, names[i]) : -1;
        if (names[i] && field < 0)
            return cai_fail(error, CAI_BAD_USAGE, "the set of `%s` has no input `%s`", dataset->set->name,
                            names[i]);
        if (field >= 0 && !cai_column_open(dataset, portion, field, paths[i], error)) return false;
    }
    for (int i = 0; i < count; i++) {
        cai_names found;
        if (names[i]) continue;
        if (!cai_folder_names(&dataset->arena, paths[i], &found, error)) return false;
        if (!open_inputs(dataset, portion, paths[i], &found, error)) return false;
    }
    return finish_portion(dataset, portion, error);
}

/* ---- a set with one field in files, to which the folder belongs ---- */

static bool is_in_files(const cai_field *field) {
    int value = cai_value_of(field);
    return value != CAI_VALUE_CLASS && value != CAI_VALUE_INDEX;
}

/* The only field that is neither a class nor an index; -1 if there are none or
 * several. */
static int only_field_in_files(const cai_set *set) {
    int found = -1;
    for (int i = 0; i < set->field_count; i++) {
        if (!is_in_files(&set->fields[i])) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

static bool open_as(cai_dataset *dataset, const char *path, int field, int part, cai_error *error) {
    cai_portion *portion = cai_portion_new(dataset, path, part, error);
    return portion && cai_column_open(dataset, portion, field, path, error) &&
           finish_portion(dataset, portion, error);
}

/* ---- parts: train/, and val/ or test/ ---- */

static const char *held_out_folder(const cai_names *names) {
    static const char *const folders[] = {"val", "valid", "validation", "test"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (cai_names_have(names, folders[i])) return folders[i];
    return NULL;
}

static bool open_part(cai_dataset *dataset, const char *folder, const char *name, int part,
                      cai_error *error) {
    const char *path = cai_arena_path(&dataset->arena, folder, name, error);
    return path && cai_source_open(dataset, path, part, error);
}

static bool open_parts(cai_dataset *dataset, const char *folder, const char *held_out, cai_error *error) {
    return open_part(dataset, folder, "train", CAI_PART_TRAINING, error) &&
           open_part(dataset, folder, held_out, CAI_PART_HELD_OUT, error);
}

/* ---- recognising paths ---- */

/* The first of them, with commas between. */
static const char *first_names(const cai_names *names, char *out, size_t size) {
    int64_t shown = names->count < 4 ? names->count : 3;
    snprintf(out, size, "%s", names->count ? "" : "nothing");
    for (int64_t i = 0; i < shown; i++) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s", i ? ", " : "", names->items[i]);
    }
    size_t used = strlen(out);
    if (shown < names->count)
        snprintf(out + used, size - used, " and %lld more", (long long)(names->count - shown));
    return out;
}

static bool fail_unknown_folder(const cai_dataset *dataset, const char *folder, const cai_names *names,
                                cai_error *error) {
    const cai_field *fields = dataset->set->fields;
    char found[200];
    return cai_fail(error, CAI_BAD_INPUT,
                    "%s: has neither train/ and val/, nor files of a known data set, nor a file or folder "
                    "named `%s`, but %s\n"
                    "  help: name a folder or a file after each input, or give their paths: %s=PATH",
                    folder, fields[0].name, first_names(names, found, sizeof found), fields[0].name);
}

/* A picture, where a sample has more than that. */
static bool is_part_of_sample(const cai_set *set, const char *path) {
    for (int i = 0; i < set->field_count; i++)
        if (cai_is_sample_name(&set->fields[i], path)) return true;
    return false;
}

static bool fail_part_of_sample(const cai_dataset *dataset, const char *path, cai_error *error) {
    char inputs[200] = "";
    for (int i = 0; i < dataset->set->field_count; i++) {
        size_t used = strlen(inputs);
        snprintf(inputs + used, sizeof inputs - used, " %s=PATH", dataset->set->fields[i].name);
    }
    return cai_fail(
        error, CAI_BAD_INPUT,
        "%s: is the file of one input, and a sample has several\n  help: give the path of each:%s", path,
        inputs);
}

/* Formats that are recognised by the names in a folder. */
static const struct {
    bool (*is_in)(const cai_names *names);
    bool (*open)(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                 cai_error *error);
} known[] = {
    {cai_idx_is_in, cai_idx_open}, {cai_cifar_is_in, cai_cifar_open}, {cai_tar_is_in, cai_tars_open}};

static bool open_folder(cai_dataset *dataset, const char *folder, int part, cai_error *error) {
    cai_names names;
    if (!cai_folder_names(&dataset->arena, folder, &names, error)) return false;
    const char *held_out = cai_names_have(&names, "train") ? held_out_folder(&names) : NULL;
    int field = only_field_in_files(dataset->set);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].is_in(&names)) return known[i].open(dataset, folder, &names, part, error);
    if (held_out) return open_parts(dataset, folder, held_out, error);
    if (has_inputs(dataset->set, &names)) return open_by_inputs(dataset, folder, &names, part, error);
    return field >= 0 ? open_as(dataset, folder, field, part, error)
                      : fail_unknown_folder(dataset, folder, &names, error);
}

static bool open_one_file(cai_dataset *dataset, const char *path, int part, cai_error *error) {
    int field = only_field_in_files(dataset->set);
    if (cai_is_tar_name(path)) return cai_tar_open(dataset, path, part, error);
    if (cai_is_list_name(path)) return cai_list_open(dataset, path, part, error);
    if (field >= 0 && cai_is_sample_name(&dataset->set->fields[field], path))
        return open_as(dataset, path, field, part, error);
    if (is_part_of_sample(dataset->set, path)) return fail_part_of_sample(dataset, path, error);
    return cai_rows_open_all(dataset, path, part, error);
}

bool cai_source_open(cai_dataset *dataset, const char *path, int part, cai_error *error) {
    return (cai_is_folder(path) ? open_folder : open_one_file)(dataset, path, part, error);
}
