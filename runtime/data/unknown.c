/* Classes that the text does not have. It tells how many it has (cai_field.classes), or
 * names them in a file; a sample of another class would teach what it does not show, and
 * is left out, as one that is broken. Labels and boxes are known when the set is opened,
 * and all of them are told together; the numbers of masks and of other tensors are seen
 * when a sample is read. A number below 0 is no class, and what the text ignores is none
 * of its own. */
#include "data/sources.h"

/* What the classes of a field are counted by, and how many they are; 0: any number is
 * one. */
typedef struct Known {
    const cai_field *field;
    const char *names; /* a file; NULL: the text */
    int64_t count;
} Known;

static Known known_classes(const cai_dataset *dataset, int at) {
    const cai_field *field = &dataset->set->fields[at];
    Known known = {.field = field, .count = field->classes};
    int64_t named = field->names ? dataset->class_counts[at] : 0;
    if (named > 0 && (known.count == 0 || named < known.count)) {
        known.names = field->names;
        known.count = named;
    }
    return known;
}

static bool has_class(const Known *known, int64_t class) {
    bool ignored = false;
    for (int i = 0; i < known->field->ignored_count; i++) ignored |= known->field->ignored[i] == class;
    return known->count == 0 || class < known->count || ignored;
}

/* "the text has 21 classes, 0 to 20, and 255 for none" */
static const char *known_text(const Known *known, char *out, size_t size) {
    const cai_field *field = known->field;
    int used = snprintf(out, size, "%s has %lld class%s, 0 to %lld", known->names ? known->names : "the text",
                        (long long)known->count, known->count == 1 ? "" : "es", (long long)known->count - 1);
    for (int i = 0; i < field->ignored_count && used < (int)size; i++)
        used +=
            snprintf(out + used, size - (size_t)used, ", and %lld for none", (long long)field->ignored[i]);
    return out;
}

#define HELP "\n  help: number classes from 0, give the text more of them, or write a number below 0 for none"

/* A NaN is no class; beyond all ints lies none. */
static int64_t class_of_number(double number) {
    if (!(number >= 0)) return -1;
    return number < 0x1p62 ? (int64_t)number : INT64_MAX;
}

/* ---- numbers that are read with a sample ---- */

static bool fail_class(const Known *known, int64_t class, cai_error *error) {
    char text[300];
    return cai_fail(error, CAI_BAD_INPUT, "`%s` has class %lld, and %s" HELP, known->field->name,
                    (long long)class, known_text(known, text, sizeof text));
}

bool cai_numbers_are_known(const cai_dataset *dataset, int field, const cai_tensor *numbers,
                           cai_error *error) {
    const Known known = known_classes(dataset, field);
    for (int64_t i = 0; known.count && i < numbers->count; i++) {
        double number;
        cai_tensor_to_f64(numbers, i, 1, &number);
        int64_t class = class_of_number(number);
        if (!has_class(&known, class)) return fail_class(&known, class, error);
    }
    return true;
}

/* Numbers below 256, as nearly all are, are looked at once. */
bool cai_mask_is_known(const cai_dataset *dataset, int field, const cai_picture *mask, cai_error *error) {
    const Known known = known_classes(dataset, field);
    bool seen[256] = {false};
    for (int64_t y = 0; known.count && y < mask->height; y++)
        for (int64_t x = 0; x < mask->width; x++) {
            int64_t class = cai_picture_number(mask, y, x);
            bool *once = class >= 0 && class < 256 ? &seen[class] : NULL;
            if (once && *once) continue;
            if (!has_class(&known, class)) return fail_class(&known, class, error);
            if (once) *once = true;
        }
    return true;
}

/* ---- labels and boxes, before the first sample is read ---- */

static int64_t unknown_box_of_row(const Known *known, const cai_tensor *row) {
    int64_t class = 0;
    for (int64_t k = 0; 5 * k < row->count && class >= 0; k++) {
        double number;
        cai_tensor_to_f64(row, 5 * k + 4, 1, &number);
        class = class_of_number(number);
        if (!has_class(known, class)) return class;
    }
    return -1;
}

static int64_t unknown_box(const Known *known, const cai_column *column, int64_t entry) {
    if (column->kind == CAI_COLUMN_ROWS) {
        cai_tensor row = cai_column_row(column, entry);
        return unknown_box_of_row(known, &row);
    }
    const cai_boxes *boxes = &column->boxes[entry];
    for (int64_t k = 0; k < boxes->count; k++)
        if (!has_class(known, (int64_t)boxes->items[k].class)) return (int64_t)boxes->items[k].class;
    return -1;
}

/* The class of a sample that the text does not have; -1: it has all. */
static int64_t unknown_class(const cai_dataset *dataset, const cai_portion *portion, int at, int64_t index) {
    const Known known = known_classes(dataset, at);
    int value = cai_value_of(known.field);
    if (known.count == 0 || (value != CAI_VALUE_CLASS && value != CAI_VALUE_BOXES)) return -1;
    if (value == CAI_VALUE_BOXES)
        return unknown_box(&known, &portion->columns[at],
                           portion->entries[at] ? portion->entries[at][index] : index);
    int64_t class = cai_dataset_class(dataset, at, portion->first + index);
    return has_class(&known, class) ? -1 : class;
}

bool cai_sample_is_known(const cai_dataset *dataset, const cai_portion *portion, int64_t index) {
    for (int i = 0; i < dataset->set->field_count; i++)
        if (unknown_class(dataset, portion, i, index) >= 0) return false;
    return true;
}

/* " (`cat`)", where it has a name. */
static const char *class_in_brackets(const cai_dataset *dataset, int field, int64_t class, char *out,
                                     size_t size) {
    *out = 0;
    if (dataset->classes[field] && class < dataset->class_counts[field])
        snprintf(out, size, " (`%.80s`)", dataset->classes[field][class]);
    return out;
}

static bool tell_unknown_of(cai_dataset *dataset, const cai_portion *portion, int field, cai_error *error) {
    char name[100], number[24], text[300];
    const Known known = known_classes(dataset, field);
    int64_t count = 0, first = 0, class = -1;
    for (int64_t i = portion->count - 1; i >= 0; i--) {
        int64_t unknown = unknown_class(dataset, portion, field, i);
        if (unknown < 0) continue;
        first = i;
        class = unknown;
        count++;
    }
    return count == 0 ||
           cai_dataset_leave_out(dataset, count, error, portion->columns[field].path,
                                 "%lld of %lld left out: `%s` of %s has class %lld%s, and %s" HELP,
                                 (long long)count, (long long)portion->count, known.field->name,
                                 cai_portion_name(portion, first, number), (long long)class,
                                 class_in_brackets(dataset, field, class, name, sizeof name),
                                 known_text(&known, text, sizeof text));
}

bool cai_unknown_classes_tell(cai_dataset *dataset, cai_error *error) {
    for (int i = 0; i < dataset->portion_count; i++)
        for (int k = 0; k < dataset->set->field_count; k++)
            if (!tell_unknown_of(dataset, dataset->portions[i], k, error)) return false;
    return true;
}
