/* Lists of samples, .csv and .tsv. The first line names the columns; every other line is
 * a sample. A cell is the path of a file (relative to the list's folder), a class, by
 * name or number, or numbers with spaces between them. A column `part` (or `split`)
 * contains train, val or test. Cells may be quoted as in RFC 4180. */
#include "data/sources.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool cai_is_list_name(const char *path) {
    return cai_has_extension(path, ".csv") || cai_has_extension(path, ".tsv");
}

/* ---- cells ---- */

typedef struct List {
    cai_dataset *dataset;
    const char *path, *folder;
    char separator;
    const char **cells; /* row-major, `columns` in each row */
    int64_t rows, columns, room;
    cai_error *error;
} List;

/* Removes the quotes of a cell in place. Returns where the text continues, or NULL if the
 * cell has no end. */
static char *unquote_cell(char *at, char **cell) {
    char *out = at++;
    *cell = out;
    for (; *at; at++) {
        if (*at == '"' && at[1] != '"') return *out = 0, at + 1;
        at += *at == '"';
        *out++ = *at;
    }
    return NULL;
}

static bool add_cell(List *list, int64_t count, char *cell) {
    if (count == list->room) {
        int64_t room = list->room ? 2 * list->room : 1024;
        const char **larger =
            cai_reallocate(list->cells, (uint64_t)room * sizeof *larger, "a list", list->error);
        if (!larger) return false;
        list->cells = larger;
        list->room = room;
    }
    list->cells[count] = cell;
    return true;
}

static bool fail_line(const List *list, int64_t line, const char *what) {
    return cai_fail(list->error, CAI_BAD_INPUT, "%s:%lld: %s", list->path, (long long)line, what);
}

/* Reads one line of cells, and moves *at to the next line. */
static bool read_row(List *list, char **at, int64_t line, int64_t *count) {
    char *next = *at;
    for (bool more = true; more;) {
        const char *ends = list->separator == ',' ? ",\r\n" : "\t\r\n";
        char *cell = next, *end = *next == '"' ? unquote_cell(next, &cell) : next + strcspn(next, ends);
        if (!end) return fail_line(list, line, "a quoted cell has no closing quote");
        if (*end && *end != list->separator && *end != '\r' && *end != '\n')
            return fail_line(list, line, "text follows the closing quote of a cell");
        more = *end == list->separator;
        next = end + (*end == '\r' && end[1] == '\n') + (*end != 0);
        *end = 0;
        if (!add_cell(list, *count, cell)) return false;
        ++*count;
    }
    *at = next;
    return true;
}

static bool read_cells(List *list, char *text) {
    int64_t count = 0, line = 1;
    for (char *at = text; *at; line++) {
        if (*at == '\n' || *at == '\r') { /* an empty line */
            at++;
            continue;
        }
        int64_t before = count;
        if (!read_row(list, &at, line, &count)) return false;
        if (list->rows++ == 0) list->columns = count;
        if (count - before != list->columns)
            return fail_line(list, line, "the line has more or fewer cells than the first line");
    }
    return list->rows > 1 || cai_fail(list->error, CAI_BAD_INPUT,
                                      "%s: has no samples, only the line that names the columns", list->path);
}

static const char *list_cell(const List *list, int64_t row, int64_t column) {
    return list->cells[row * list->columns + column];
}

static int64_t column_named(const List *list, const char *name) {
    for (int64_t i = 0; i < list->columns; i++)
        if (strcmp(list_cell(list, 0, i), name) == 0) return i;
    return -1;
}

/* ---- parts ---- */

static int part_of_word(const char *word) {
    static const struct {
        const char *word;
        int part;
    } words[] = {{"train", CAI_PART_TRAINING},      {"training", CAI_PART_TRAINING},
                 {"val", CAI_PART_HELD_OUT},        {"valid", CAI_PART_HELD_OUT},
                 {"validation", CAI_PART_HELD_OUT}, {"test", CAI_PART_HELD_OUT}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(word, words[i].word) == 0) return words[i].part;
    return -1;
}

/* The lines of one part, which become a portion. */
typedef struct Lines {
    List *list;
    cai_portion *portion;
    int64_t *rows, count;
    const char **stems; /* numbers of lines as text, by which columns are paired */
} Lines;

static const char *cell_of(const Lines *lines, int64_t i, int64_t from) {
    return list_cell(lines->list, lines->rows[i], from);
}

static void *take_for_lines(const Lines *lines, uint64_t size) {
    return cai_arena_take(&lines->list->dataset->arena, (uint64_t)lines->count * size, lines->list->error);
}

/* ---- columns of files ---- */

/* The file that a cell names; without a path if it does not exist, which the user was
 * told. */
static bool blob_of(const Lines *lines, const char *name, cai_blob *file) {
    struct stat status;
    const char *folder = *name == '/' ? "" : lines->list->folder;
    file->path = cai_arena_path(&lines->list->dataset->arena, folder, name, lines->list->error);
    if (!file->path) return false;
    bool there = stat(file->path, &status) == 0, regular = there && S_ISREG(status.st_mode);
    if (regular) return file->count = (size_t)status.st_size, true;
    const char *path = file->path;
    file->path = NULL;
    return cai_dataset_leave_out(lines->list->dataset, 1, lines->list->error, path,
                                 there ? "is not a regular file" : "does not exist");
}

/* A column of files, without those that do not exist. */
static bool file_column(const Lines *lines, int64_t from, cai_column *column) {
    cai_blob *files = take_for_lines(lines, sizeof *files);
    const char **stems = files ? take_for_lines(lines, sizeof *stems) : NULL;
    int64_t kept = 0;
    if (!stems) return false;
    for (int64_t i = 0; i < lines->count; i++) {
        files[kept] = (cai_blob){0};
        if (!blob_of(lines, cell_of(lines, i, from), &files[kept])) return false;
        if (files[kept].path) stems[kept++] = lines->stems[i];
    }
    *column = (cai_column){
        .kind = CAI_COLUMN_FILES, .path = lines->list->path, .count = kept, .files = files, .stems = stems};
    return true;
}

/* ---- columns of classes ---- */

static bool is_class_number(const char *text) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return end != text && *end == 0 && value >= INT32_MIN && value <= INT32_MAX;
}

static bool is_numeric(const List *list, int64_t from) {
    for (int64_t i = 1; i < list->rows; i++)
        if (!is_class_number(list_cell(list, i, from))) return false;
    return true;
}

static int compare_words(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All words of the column, sorted, without repetitions. */
static bool find_words(const Lines *lines, int64_t from, cai_column *column) {
    const char **words = take_for_lines(lines, sizeof *words);
    int count = 0;
    if (!words) return false;
    for (int64_t i = 0; i < lines->count; i++) words[i] = cell_of(lines, i, from);
    qsort(words, (size_t)lines->count, sizeof *words, compare_words);
    for (int64_t i = 0; i < lines->count; i++)
        if (count == 0 || strcmp(words[count - 1], words[i]) != 0) words[count++] = words[i];
    column->classes = words;
    column->class_count = count;
    return true;
}

static int32_t class_of_word(const cai_column *column, const char *word) {
    if (!column->classes) return (int32_t)strtoll(word, NULL, 10);
    const char *const *found =
        bsearch(&word, column->classes, (size_t)column->class_count, sizeof *found, compare_words);
    return (int32_t)(found - column->classes);
}

/* Classes are numbers if all cells of the list are, else words. */
static bool class_column(const Lines *lines, int64_t from, cai_column *column) {
    int32_t *numbers = take_for_lines(lines, sizeof *numbers);
    if (!numbers) return false;
    cai_column_of_classes(column, lines->list->path, numbers, lines->count);
    if (!is_numeric(lines->list, from) && !find_words(lines, from, column)) return false;
    for (int64_t i = 0; i < lines->count; i++) numbers[i] = class_of_word(column, cell_of(lines, i, from));
    column->stems = lines->stems;
    return true;
}

/* ---- columns of numbers ---- */

static bool parse_numbers(const char *text, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) {
        char *end;
        out[i] = strtof(text, &end);
        if (end == text) return false;
        text = end + strspn(end, " ;,\t");
    }
    return *text == 0;
}

static bool number_column(const Lines *lines, const cai_field *field, int64_t from, cai_column *column) {
    cai_tensor rows = {.name = "", .type = CAI_F32, .rank = field->rank + 1, .dims = {lines->count}};
    uint64_t bytes;
    memcpy(rows.dims + 1, field->dims, (size_t)field->rank * sizeof *field->dims);
    if (!cai_tensor_count(&rows, &bytes) || rows.count < 0)
        return cai_fail(lines->list->error, CAI_BAD_INPUT,
                        "%s: `%s: %s` is too large for the cells of a list", lines->list->path, field->name,
                        field->text);
    int64_t each = rows.count / lines->count;
    float *numbers = take_for_lines(lines, (uint64_t)each * sizeof *numbers);
    for (int64_t i = 0; numbers && i < lines->count; i++) {
        const char *text = cell_of(lines, i, from);
        if (!parse_numbers(text, each, numbers + i * each))
            return cai_fail(lines->list->error, CAI_BAD_INPUT,
                            "%s: `%.50s` does not have the %lld number%s of `%s: %s`", lines->list->path,
                            text, (long long)each, each == 1 ? "" : "s", field->name, field->text);
    }
    rows.data = (unsigned char *)numbers;
    cai_column_of_rows(column, lines->list->path, &rows);
    column->stems = lines->stems;
    return numbers != NULL;
}

static bool open_column(const Lines *lines, int field, int64_t from) {
    const cai_field *to = &lines->list->dataset->set->fields[field];
    cai_column *column = &lines->portion->columns[field];
    int value = cai_value_of(to);
    bool in_files = value != CAI_VALUE_NUMBERS ||
                    cai_format_of_name(cell_of(lines, 0, from), CAI_HOLDS_NUMBERS) != CAI_NO_FORMAT;
    if (value == CAI_VALUE_CLASS) return class_column(lines, from, column);
    if (!in_files) return number_column(lines, to, from, column);
    return file_column(lines, from, column) &&
           cai_column_finish(lines->list->dataset, column, value, lines->list->error);
}

/* ---- portions ---- */

/* Samples are named by their first file, as in the list. Whether a sample is held out
 * depends on the hash of this name. */
static bool name_samples(const Lines *lines) {
    cai_portion *portion = lines->portion;
    const cai_set *set = lines->list->dataset->set;
    int field = 0;
    while (field < set->field_count && portion->columns[field].kind != CAI_COLUMN_FILES) field++;
    if (field == set->field_count) return true;
    int64_t from = column_named(lines->list, set->fields[field].name);
    const char **names = take_for_lines(lines, sizeof *names);
    for (int64_t i = 0; names && i < portion->count; i++)
        names[i] = list_cell(lines->list, strtoll(portion->names[i], NULL, 10), from);
    portion->names = names;
    return names != NULL;
}

static bool gather_lines(Lines *lines, int64_t column, int part) {
    List *list = lines->list;
    lines->rows =
        cai_arena_take(&list->dataset->arena, (uint64_t)list->rows * sizeof *lines->rows, list->error);
    if (!lines->rows) return false;
    for (int64_t i = 1; i < list->rows; i++)
        if (column < 0 || part_of_word(list_cell(list, i, column)) == part) lines->rows[lines->count++] = i;
    lines->stems = take_for_lines(lines, sizeof *lines->stems);
    for (int64_t i = 0; lines->stems && i < lines->count; i++) {
        char number[24];
        int length = snprintf(number, sizeof number, "%012lld", (long long)lines->rows[i]);
        lines->stems[i] = cai_arena_text(&list->dataset->arena, number, (size_t)length, list->error);
        if (!lines->stems[i]) return false;
    }
    return lines->stems != NULL;
}

static bool fail_column(const List *list, const cai_field *field) {
    char names[300] = "";
    for (int64_t i = 0; i < list->columns; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", list_cell(list, 0, i));
    }
    return cai_fail(list->error, CAI_BAD_INPUT,
                    "%s: its first line has no column for `%s: %s`: the columns are %s", list->path,
                    field->name, field->text, names);
}

static bool open_columns(const Lines *lines) {
    const cai_set *set = lines->list->dataset->set;
    for (int i = 0; i < set->field_count; i++) {
        int64_t from = column_named(lines->list, set->fields[i].name);
        if (from < 0 && set->fields[i].index) continue;
        if (from < 0) return fail_column(lines->list, &set->fields[i]);
        if (!open_column(lines, i, from)) return false;
    }
    return true;
}

static bool open_lines(List *list, int64_t column, int part) {
    Lines lines = {.list = list};
    if (!gather_lines(&lines, column, part)) return false;
    if (lines.count == 0) return true;
    lines.portion = cai_portion_new(list->dataset, list->path, part, list->error);
    if (!lines.portion || !open_columns(&lines)) return false;
    return cai_portion_pair(list->dataset, lines.portion, list->error) && name_samples(&lines);
}

static bool check_parts(const List *list, int64_t column) {
    for (int64_t i = 1; i < list->rows; i++)
        if (part_of_word(list_cell(list, i, column)) < 0)
            return cai_fail(list->error, CAI_BAD_INPUT,
                            "%s: `%.50s` is not a part of a data set: train, val or test", list->path,
                            list_cell(list, i, column));
    return true;
}

static bool open_list(List *list, char *text, int part) {
    if (!read_cells(list, text)) return false;
    int64_t column = column_named(list, "part");
    if (column < 0) column = column_named(list, "split");
    if (column < 0) return open_lines(list, column, part);
    return check_parts(list, column) && open_lines(list, column, CAI_PART_TRAINING) &&
           open_lines(list, column, CAI_PART_HELD_OUT);
}

bool cai_list_open(cai_dataset *dataset, const char *path, int part, cai_error *error) {
    cai_file file;
    if (!cai_file_read(path, &file, error)) return false;
    char *text = cai_arena_text(&dataset->arena, (const char *)file.data, file.count, error);
    cai_file_close(&file);
    const char *slash = strrchr(path, '/');
    List list = {.dataset = dataset,
                 .path = path,
                 .separator = cai_has_extension(path, ".tsv") ? '\t' : ',',
                 .error = error};
    list.folder = slash ? cai_arena_text(&dataset->arena, path, (size_t)(slash - path) + 1, error) : "";
    bool opened = text && list.folder && open_list(&list, text, part);
    free(list.cells);
    return opened;
}
