/* The values of one field, from a folder of files or from a file that has them all. */
#include "data/sources.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- lists of files ---- */

char *cai_stem_of(cai_arena *arena, const char *name, cai_error *error) {
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash + 1 : name, '.');
    return cai_arena_text(arena, name, dot && dot > name ? (size_t)(dot - name) : strlen(name), error);
}

bool cai_files_add(cai_files *files, const char *stem, const cai_blob *blob, cai_error *error) {
    if (files->count == files->room) {
        int64_t room = files->room ? 2 * files->room : 256;
        cai_named_blob *larger =
            cai_reallocate(files->items, (uint64_t)room * sizeof *larger, "a list of files", error);
        if (!larger) return false;
        files->items = larger;
        files->room = room;
    }
    files->items[files->count++] = (cai_named_blob){stem, *blob};
    return true;
}

static int compare_found(const void *a, const void *b) {
    int order = strcmp(((const cai_named_blob *)a)->stem, ((const cai_named_blob *)b)->stem);
    return order ? order
                 : strcmp(((const cai_named_blob *)a)->blob.path, ((const cai_named_blob *)b)->blob.path);
}

/* If names differ only in their endings, keeps the first file. */
static void drop_doubles(const cai_dataset *dataset, cai_files *files) {
    int64_t kept = 0;
    for (int64_t i = 0; i < files->count; i++) {
        const cai_named_blob *file = &files->items[i], *last = kept ? &files->items[kept - 1] : NULL;
        bool again = last && strcmp(last->stem, file->stem) == 0;
        if (again) cai_dataset_tell(dataset, file->blob.path, "left out: there is also %s", last->blob.path);
        else files->items[kept++] = *file;
    }
    files->count = kept;
}

bool cai_files_column(cai_dataset *dataset, cai_files *files, const char *path, cai_column *column,
                      cai_error *error) {
    qsort(files->items, (size_t)files->count, sizeof *files->items, compare_found);
    drop_doubles(dataset, files);
    uint64_t count = (uint64_t)files->count;
    const char **stems = cai_arena_take(&dataset->arena, count * sizeof *stems, error);
    cai_blob *blobs = stems ? cai_arena_take(&dataset->arena, count * sizeof *blobs, error) : NULL;
    if (!blobs) return false;
    for (uint64_t i = 0; i < count; i++) {
        stems[i] = files->items[i].stem;
        blobs[i] = files->items[i].blob;
    }
    *column = (cai_column){
        .kind = CAI_COLUMN_FILES, .path = path, .count = files->count, .stems = stems, .files = blobs};
    return true;
}

/* ---- files in a folder and the folders in it ---- */

typedef struct Search {
    cai_arena *arena;
    bool (*is_wanted)(const char *name);
    cai_files files;
    int64_t others;
    cai_error *error;
} Search;

#define DEEPEST 8 /* levels of folders; ends a cycle of symbolic links */

static bool search_folder(Search *search, const char *folder, const char *below, int depth);

static bool search_entry(Search *search, const char *folder, const char *below, const char *name, int depth) {
    struct stat status;
    const char *path = cai_arena_path(search->arena, folder, name, search->error);
    const char *inner = path ? cai_arena_path(search->arena, below, name, search->error) : NULL;
    if (!inner) return false;
    if (stat(path, &status) != 0) return true; /* a broken symbolic link */
    if (S_ISDIR(status.st_mode)) return depth == DEEPEST || search_folder(search, path, inner, depth + 1);
    bool wanted = search->is_wanted(name) && S_ISREG(status.st_mode);
    search->others += !wanted;
    if (!wanted) return true;
    const char *stem = cai_stem_of(search->arena, inner, search->error);
    cai_blob blob = {.path = path, .count = (size_t)status.st_size};
    return stem && cai_files_add(&search->files, stem, &blob, search->error);
}

static bool search_folder(Search *search, const char *folder, const char *below, int depth) {
    cai_names names;
    if (!cai_folder_names(search->arena, folder, &names, search->error)) return false;
    for (int64_t i = 0; i < names.count; i++)
        if (!search_entry(search, folder, below, names.items[i], depth)) return false;
    return true;
}

static bool is_picture_name(const char *name) {
    return cai_format_of_name(name, CAI_HOLDS_PICTURE) != CAI_NO_FORMAT;
}
static bool is_mask_name(const char *name) {
    return cai_format_of_name(name, CAI_HOLDS_PICTURE) == CAI_FORMAT_png;
}
static bool is_numbers_name(const char *name) {
    return cai_format_of_name(name, CAI_HOLDS_NUMBERS) != CAI_NO_FORMAT;
}

static bool open_files(cai_dataset *dataset, cai_column *column, const char *folder,
                       bool (*is_wanted)(const char *), const char *endings, cai_error *error) {
    Search search = {.arena = &dataset->arena, .is_wanted = is_wanted, .error = error};
    bool good = search_folder(&search, folder, "", 0);
    if (good && search.files.count == 0)
        good = cai_fail(error, CAI_BAD_INPUT, "%s: the folder has no %s", folder, endings);
    good = good && cai_files_column(dataset, &search.files, folder, column, error);
    free(search.files.items);
    if (good && search.others)
        cai_dataset_tell(dataset, folder, "%lld files are left out: they are not %s",
                         (long long)search.others, endings);
    return good;
}

/* Gives false. */
static bool add_help(cai_error *error, const char *text) {
    size_t used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, "\n  help: %s", text);
    return false;
}

/* ---- by the kind of the field ---- */

static bool is_xml_name(const char *name) { return cai_has_extension(name, ".xml"); }
static bool is_text_name(const char *name) { return cai_has_extension(name, ".txt"); }

/* Whether the boxes in a folder are VOC's; else they are YOLO's. */
static bool has_xml(cai_arena *arena, const char *folder, cai_error *error) {
    cai_names names;
    if (!cai_folder_names(arena, folder, &names, error)) return false;
    for (int64_t i = 0; i < names.count; i++)
        if (is_xml_name(names.items[i])) return true;
    return false;
}

static bool open_boxes(cai_dataset *dataset, cai_column *column, const char *folder, cai_error *error) {
    bool voc = has_xml(&dataset->arena, folder, error);
    return open_files(dataset, column, folder, voc ? is_xml_name : is_text_name,
                      voc ? ".xml" : ".xml or .txt", error);
}

static bool open_coco(cai_dataset *dataset, cai_column *column, const char *path, cai_error *error) {
    cai_file file;
    if (!cai_file_read(path, &file, error)) return false;
    bool read = cai_coco_parse(dataset, column, path, file.data, file.count, error);
    cai_file_close(&file);
    return read;
}

bool cai_column_finish(cai_dataset *dataset, cai_column *column, int value, cai_error *error) {
    if (value == CAI_VALUE_BOXES) {
        bool voc = column->count && is_xml_name(column->files[0].path);
        return cai_boxes_of_files(dataset, column, voc ? cai_voc_parse : cai_yolo_parse, error);
    }
    if (value != CAI_VALUE_PICTURE && value != CAI_VALUE_MASK) return true;
    column->decoded =
        cai_arena_take(&dataset->arena, (uint64_t)column->count * sizeof *column->decoded, error);
    return column->decoded != NULL;
}

static bool has_rows_of_boxes(const cai_field *field) {
    return cai_type_is_float(field->type) && field->rank == 2 && field->dims[1] == 5;
}

static bool open_files_of(cai_dataset *dataset, cai_column *column, const cai_field *field, const char *path,
                          cai_error *error) {
    switch (cai_value_of(field)) {
    case CAI_VALUE_PICTURE:
        return open_files(dataset, column, path, is_picture_name, cai_format_endings(CAI_HOLDS_PICTURE).text,
                          error);
    case CAI_VALUE_MASK:
        return open_files(dataset, column, path, is_mask_name, ".png", error) ||
               add_help(error, "masks are PNG files, with a palette or gray: JPEG changes their numbers");
    case CAI_VALUE_BOXES: return open_boxes(dataset, column, path, error);
    default:
        return open_files(dataset, column, path, is_numbers_name, cai_format_endings(CAI_HOLDS_NUMBERS).text,
                          error) ||
               (has_rows_of_boxes(field) &&
                add_help(error, "boxes name the picture that they lie on: f32[N, M, 5, on = photo]"));
    }
}

/* ---- one file ---- */

static bool is_boxes_name(const char *name) { return is_xml_name(name) || is_text_name(name); }

bool cai_is_sample_name(const cai_field *field, const char *path) {
    switch (cai_value_of(field)) {
    case CAI_VALUE_PICTURE: return is_picture_name(path);
    case CAI_VALUE_MASK: return is_mask_name(path);
    case CAI_VALUE_BOXES: return is_boxes_name(path);
    default: return false;
    }
}

static bool open_sample(cai_dataset *dataset, cai_column *column, int value, const char *path,
                        cai_error *error) {
    struct stat status;
    const char *slash = strrchr(path, '/');
    if (stat(path, &status) != 0)
        return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode)) return cai_fail(error, CAI_BAD_INPUT, "%s: is no regular file", path);
    const char *stem = cai_stem_of(&dataset->arena, slash ? slash + 1 : path, error);
    cai_files files = {0};
    cai_blob blob = {.path = path, .count = (size_t)status.st_size};
    bool opened = stem && cai_files_add(&files, stem, &blob, error) &&
                  cai_files_column(dataset, &files, path, column, error) &&
                  cai_column_finish(dataset, column, value, error);
    free(files.items);
    column->alone = true;
    return opened;
}

bool cai_column_open(cai_dataset *dataset, cai_portion *portion, int at, const char *path, cai_error *error) {
    const cai_field *field = &dataset->set->fields[at];
    cai_column *column = &portion->columns[at];
    column->path = path;
    int value = cai_value_of(field);
    if (cai_is_folder(path))
        return open_files_of(dataset, column, field, path, error) &&
               cai_column_finish(dataset, column, value, error);
    if (cai_is_sample_name(field, path)) return open_sample(dataset, column, value, path, error);
    bool coco = value == CAI_VALUE_BOXES && cai_has_extension(path, ".json");
    return coco ? open_coco(dataset, column, path, error)
                : cai_rows_open(dataset, column, field, path, error);
}

/* ---- folders that are classes ---- */

static const cai_column *column_in_folders(const cai_dataset *dataset, const cai_portion *portion) {
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_column *column = &portion->columns[i];
        if (column->kind != CAI_COLUMN_FILES || column->count == 0) continue;
        if (strchr(column->stems[0], '/')) return column;
    }
    return NULL;
}

/* The first folder of a stem is the class. Stems are sorted, so those of a class are
 * consecutive. */
static bool fill_classes(cai_dataset *dataset, const cai_column *files, cai_column *column,
                         cai_error *error) {
    const char **names = cai_arena_take(&dataset->arena, (uint64_t)files->count * sizeof *names, error);
    int32_t *numbers =
        names ? cai_arena_take(&dataset->arena, (uint64_t)files->count * sizeof *numbers, error) : NULL;
    if (!numbers) return false;
    int count = 0;
    for (int64_t i = 0; i < files->count; i++) {
        size_t length = strcspn(files->stems[i], "/");
        bool another = count == 0 || strlen(names[count - 1]) != length ||
                       strncmp(files->stems[i], names[count - 1], length) != 0;
        if (!files->stems[i][length])
            return cai_fail(error, CAI_BAD_INPUT,
                            "%s: is not in the folder of a class, as other files are: move it into one",
                            files->files[i].path);
        if (another && !(names[count++] = cai_arena_text(&dataset->arena, files->stems[i], length, error)))
            return false;
        numbers[i] = count - 1;
    }
    cai_column_of_classes(column, files->path, numbers, files->count);
    column->stems = files->stems;
    column->classes = names;
    column->class_count = count;
    return true;
}

bool cai_classes_of_folders(cai_dataset *dataset, cai_portion *portion, cai_error *error) {
    int at = cai_field_of(dataset->set, CAI_VALUE_CLASS);
    if (at < 0 || portion->columns[at].kind != CAI_COLUMN_MISSING) return true;
    const cai_column *files = column_in_folders(dataset, portion);
    return !files || fill_classes(dataset, files, &portion->columns[at], error);
}
