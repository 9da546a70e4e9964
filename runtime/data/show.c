/* Shows a data set to people: a table of its counts, sizes and classes, and a sheet of
 * its first samples after cropping. */
#include "data/sources.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers as text ---- */

typedef struct Text {
    char text[32];
} Text;

/* E.g. 60,000. */
static Text grouped_digits(int64_t number) {
    Text plain, result = {""};
    int length = snprintf(plain.text, 21, "%lld", (long long)number), used = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0 && plain.text[i - 1] != '-') result.text[used++] = ',';
        result.text[used++] = plain.text[i];
    }
    return result;
}

static int width_of_names(const cai_set *set) {
    int width = 8;
    for (int i = 0; i < set->field_count; i++) {
        int length = (int)strlen(set->fields[i].name);
        if (length > width) width = length;
    }
    return width;
}

/* ---- sizes of pictures, and the numbers of masks ---- */

enum { LOOKED_AT = 64 /* files that are decoded */, NUMBERS = 256 };

typedef struct Sizes {
    int64_t least[2], max[2], known;
    int64_t pixels, of_number[NUMBERS]; /* of masks */
} Sizes;

static void widen_sizes(Sizes *sizes, int64_t height, int64_t width) {
    const int64_t sides[] = {height, width};
    for (int i = 0; i < 2; i++) {
        if (sizes->known == 0 || sides[i] < sizes->least[i]) sizes->least[i] = sides[i];
        if (sizes->known == 0 || sides[i] > sizes->max[i]) sizes->max[i] = sides[i];
    }
    sizes->known++;
}

static void count_mask_numbers(Sizes *sizes, const cai_picture *mask) {
    for (int64_t y = 0; y < mask->height; y++)
        for (int64_t x = 0; x < mask->width; x++) {
            int64_t number = cai_picture_number(mask, y, x);
            sizes->pixels++;
            if (number >= 0 && number < NUMBERS) sizes->of_number[number]++;
        }
}

/* A file that cannot be read is skipped here; the user is told when it is read as a
 * sample. */
static void add_file_size(Sizes *sizes, const cai_blob *blob, bool mask) {
    cai_error error;
    cai_picture *picture = cai_picture_decode(blob, mask, &error);
    if (picture) widen_sizes(sizes, picture->height, picture->width);
    if (picture && mask) count_mask_numbers(sizes, picture);
    free(picture);
}

static void add_column_sizes(Sizes *sizes, const cai_column *column, bool mask) {
    cai_picture picture;
    cai_tensor row =
        column->kind == CAI_COLUMN_ROWS && column->count ? cai_column_row(column, 0) : (cai_tensor){0};
    if (row.rank && (mask ? cai_mask_of_row : cai_picture_of_row)(&row, &picture))
        widen_sizes(sizes, picture.height, picture.width);
    for (int64_t i = 0; column->kind == CAI_COLUMN_FILES && i < column->count && sizes->known < LOOKED_AT;
         i++)
        add_file_size(sizes, &column->files[i], mask);
}

/* A line each: number, share of the pixels, and what the text makes of it. */
static void print_numbers(const cai_field *field, const Sizes *sizes, FILE *out) {
    for (int i = 0; i < NUMBERS; i++) {
        bool above = field->classes > 0 && i >= field->classes, ignored = false;
        for (int k = 0; k < field->ignored_count; k++) ignored |= field->ignored[k] == i;
        if (sizes->of_number[i])
            fprintf(out, "\n    %4d  %.1f %%%s", i,
                    100.0 * (double)sizes->of_number[i] / (double)sizes->pixels,
                    ignored ? ", which the text ignores"
                    : above ? ", which the text does not have"
                            : "");
    }
}

static void print_sizes(const cai_dataset *dataset, int field, FILE *out) {
    Sizes sizes = {0};
    bool mask = cai_value_of(&dataset->set->fields[field]) == CAI_VALUE_MASK;
    for (int i = 0; i < dataset->portion_count; i++)
        add_column_sizes(&sizes, &dataset->portions[i]->columns[field], mask);
    bool equal = sizes.least[0] == sizes.max[0] && sizes.least[1] == sizes.max[1];
    if (sizes.known == 0) return;
    fprintf(out, "%lld x %lld", (long long)sizes.least[1], (long long)sizes.least[0]);
    if (!equal) fprintf(out, " to %lld x %lld", (long long)sizes.max[1], (long long)sizes.max[0]);
    if (sizes.known == LOOKED_AT) fprintf(out, " in the first %d", LOOKED_AT);
    print_numbers(&dataset->set->fields[field], &sizes, out);
}

/* ---- classes ---- */

enum { LISTED = 40 };

static int64_t *count_by_class(const cai_dataset *dataset, int field, int classes) {
    int64_t *counts = calloc((size_t)classes + 1, sizeof *counts);
    for (int64_t i = 0; counts && i < dataset->count; i++) {
        int64_t class = cai_dataset_class(dataset, field, i);
        counts[class >= 0 && class < classes ? class : classes]++;
    }
    return counts;
}

/* One line for each class: number, name, samples. */
static void print_class_list(const char *const *names, int classes, const int64_t *counts, FILE *out) {
    for (int i = 0; i < classes && i < LISTED; i++)
        fprintf(out, "\n    %4d  %s%s%s", i, names ? names[i] : "", names ? ": " : "",
                grouped_digits(counts[i]).text);
    if (classes > LISTED) fprintf(out, "\n          and %d more", classes - LISTED);
    if (counts[classes])
        fprintf(out, "\n          without a class: %s", grouped_digits(counts[classes]).text);
}

static void print_classes(const cai_dataset *dataset, int field, FILE *out) {
    int classes;
    const char *const *names = cai_dataset_classes(dataset, field, &classes);
    int64_t *counts = count_by_class(dataset, field, classes);
    int64_t known = dataset->set->fields[field].classes;
    fprintf(out, "%d classes", classes);
    if (known && known < classes) fprintf(out, ", of which the text has %lld", (long long)known);
    if (counts) print_class_list(names, classes, counts, out);
    free(counts);
}

/* ---- boxes ---- */

static void print_boxes(const cai_dataset *dataset, int field, FILE *out) {
    int64_t boxes = 0;
    int classes;
    const char *const *names = cai_dataset_classes(dataset, field, &classes);
    for (int i = 0; i < dataset->portion_count; i++) {
        const cai_column *column = &dataset->portions[i]->columns[field];
        for (int64_t k = 0; column->kind == CAI_COLUMN_BOXES && k < column->count; k++)
            boxes += column->boxes[k].count;
    }
    if (boxes) fprintf(out, "%s boxes", grouped_digits(boxes).text);
    for (int i = 0; names && i < classes && i < LISTED; i++) fprintf(out, "\n    %4d  %s", i, names[i]);
}

/* ---- the table ---- */

static void print_field(const cai_dataset *dataset, int at, int width, FILE *out) {
    const cai_field *field = &dataset->set->fields[at];
    fprintf(out, "  %-*s  %-28s  ", width, field->name, field->text);
    switch (cai_value_of(field)) {
    case CAI_VALUE_PICTURE:
    case CAI_VALUE_MASK: print_sizes(dataset, at, out); break;
    case CAI_VALUE_CLASS: print_classes(dataset, at, out); break;
    case CAI_VALUE_BOXES: print_boxes(dataset, at, out); break;
    }
    fputc('\n', out);
}

void cai_dataset_print(const cai_dataset *dataset, FILE *out) {
    const cai_set *set = dataset->set;
    int width = width_of_names(set);
    int64_t trained = dataset->counts[CAI_PART_TRAINING];
    for (int i = 0; i < dataset->portion_count; i++)
        fprintf(out, "%s: %s samples\n", dataset->portions[i]->path,
                grouped_digits(dataset->portions[i]->count).text);
    fprintf(out, "  %-*s  %s samples, %s batches of %lld an epoch\n", width, "training",
            grouped_digits(trained).text, grouped_digits(trained / (set->batch > 0 ? set->batch : 1)).text,
            (long long)set->batch);
    fprintf(out, "  %-*s  %s samples\n", width, "held out",
            grouped_digits(dataset->counts[CAI_PART_HELD_OUT]).text);
    int64_t skipped = cai_dataset_skipped(dataset);
    if (skipped) fprintf(out, "  %-*s  %s samples\n", width, "left out", grouped_digits(skipped).text);
    for (int i = 0; i < set->field_count; i++) print_field(dataset, i, width, out);
}

/* ---- the sheet: sixteen samples, four in a row, each with its pictures and masks side
 * by side ---- */

/* LEAST: small pictures are magnified to about this height */
enum { ACROSS = 4, SAMPLES = 16, GAP = 4, LEAST = 96 };

typedef struct Sheet {
    const cai_dataset *dataset;
    void **buffers; /* by field, for one sample */
    float *pixels;  /* three planes */
    int64_t height, width;
    int64_t tile_height, tile_width, magnified;
    cai_error *error;
} Sheet;

static bool is_field_drawn(const cai_field *field) {
    int value = cai_value_of(field);
    int axes = value == CAI_VALUE_PICTURE ? 1 : 0;
    bool drawn = value == CAI_VALUE_PICTURE || value == CAI_VALUE_MASK;
    return drawn && field->dims[axes] > 0 && field->dims[axes + 1] > 0;
}

static int64_t field_height(const cai_field *field) { return field->dims[field->rank - 2]; }
static int64_t field_width(const cai_field *field) { return field->dims[field->rank - 1]; }

static void measure_sheet(Sheet *sheet) {
    const cai_set *set = sheet->dataset->set;
    for (int i = 0; i < set->field_count; i++) {
        if (!is_field_drawn(&set->fields[i])) continue;
        int64_t height = field_height(&set->fields[i]);
        if (height > sheet->tile_height) sheet->tile_height = height;
        sheet->tile_width += field_width(&set->fields[i]);
    }
    if (sheet->tile_height == 0) return;
    sheet->magnified = LEAST / sheet->tile_height > 1 ? LEAST / sheet->tile_height : 1;
    int64_t count = sheet->dataset->counts[CAI_PART_TRAINING];
    int64_t rows = ((count < SAMPLES ? count : SAMPLES) + ACROSS - 1) / ACROSS;
    sheet->height = rows * (sheet->tile_height * sheet->magnified + GAP) + GAP;
    sheet->width = ACROSS * (sheet->tile_width * sheet->magnified + GAP) + GAP;
}

/* ---- colours ---- */

/* A colour for a number. Nearby numbers get distant places on a circle of colours. */
static void colour_of_number(int64_t number, float out[3]) {
    for (int c = 0; c < 3; c++) {
        double turn = fmod((double)number * 0.381966 + c / 3.0, 1.0);
        out[c] = number == 0 ? 0 : (float)(0.25 + 0.75 * fabs(2 * turn - 1));
    }
}

static void set_pixel(Sheet *sheet, int64_t y, int64_t x, const float colour[3]) {
    if (y < 0 || x < 0 || y >= sheet->height || x >= sheet->width) return;
    for (int64_t c = 0; c < 3; c++) sheet->pixels[(c * sheet->height + y) * sheet->width + x] = colour[c];
}

/* The colour of a pixel of a field. */
static void field_colour(const cai_field *field, const void *buffer, int64_t y, int64_t x, float out[3]) {
    int64_t height = field_height(field), width = field_width(field), at = y * width + x;
    cai_tensor values = {.type = field->type, .data = buffer};
    if (cai_value_of(field) == CAI_VALUE_MASK) {
        int64_t number;
        cai_tensor_to_i64(&values, at, 1, &number);
        colour_of_number(number, out);
        return;
    }
    for (int c = 0; c < 3; c++)
        cai_tensor_to_f32(&values, (field->dims[0] == 3 ? c * height * width : 0) + at, 1, &out[c]);
}

/* ---- a sample ---- */

static void draw_field(Sheet *sheet, int at, int64_t top, int64_t left) {
    const cai_field *field = &sheet->dataset->set->fields[at];
    int64_t m = sheet->magnified, height = field_height(field) * m, width = field_width(field) * m;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            float colour[3];
            field_colour(field, sheet->buffers[at], y / m, x / m, colour);
            set_pixel(sheet, top + y, left + x, colour);
        }
}

static void draw_box(Sheet *sheet, const float *box, int64_t top, int64_t left) {
    double m = (double)sheet->magnified;
    int64_t x0 = left + llround(box[0] * m), y0 = top + llround(box[1] * m);
    int64_t x1 = left + llround(box[2] * m) - 1, y1 = top + llround(box[3] * m) - 1;
    float colour[3];
    colour_of_number((int64_t)box[4] + 1, colour);
    for (int64_t x = x0; x <= x1; x++) set_pixel(sheet, y0, x, colour), set_pixel(sheet, y1, x, colour);
    for (int64_t y = y0; y <= y1; y++) set_pixel(sheet, y, x0, colour), set_pixel(sheet, y, x1, colour);
}

static void draw_boxes_on(Sheet *sheet, int picture, int64_t top, int64_t left) {
    const cai_set *set = sheet->dataset->set;
    for (int i = 0; i < set->field_count; i++) {
        const float *rows = sheet->buffers[i];
        if (set->fields[i].on != picture || set->fields[i].type != CAI_F32) continue;
        for (int64_t k = 0; k < set->fields[i].dims[0] && rows[5 * k + 4] >= 0; k++)
            draw_box(sheet, rows + 5 * k, top, left);
    }
}

static bool draw_sample(Sheet *sheet, int64_t position) {
    const cai_set *set = sheet->dataset->set;
    int64_t top = GAP + position / ACROSS * (sheet->tile_height * sheet->magnified + GAP);
    int64_t left = GAP + position % ACROSS * (sheet->tile_width * sheet->magnified + GAP);
    if (!cai_dataset_read(sheet->dataset, CAI_PART_TRAINING, position, 0, sheet->buffers, sheet->error))
        return false;
    for (int i = 0; i < set->field_count; i++) {
        if (!is_field_drawn(&set->fields[i])) continue;
        draw_field(sheet, i, top, left);
        draw_boxes_on(sheet, i, top, left);
        left += field_width(&set->fields[i]) * sheet->magnified;
    }
    return true;
}

/* ---- all of it ---- */

/* Fields with free sizes get no buffer, and so are not read. */
static bool make_sheet_buffers(Sheet *sheet) {
    const cai_set *set = sheet->dataset->set;
    sheet->buffers = calloc((size_t)set->field_count, sizeof *sheet->buffers);
    if (!sheet->buffers) return cai_fail_memory(sheet->error, 64, "a sheet");
    for (int i = 0; i < set->field_count; i++) {
        const cai_field *field = &set->fields[i];
        int64_t bytes = cai_type_bytes(field->type);
        for (int k = 0; k < field->rank; k++) bytes *= field->dims[k] < 0 ? 0 : field->dims[k];
        if (bytes && !(sheet->buffers[i] = cai_allocate((uint64_t)bytes, "a sample", sheet->error)))
            return false;
    }
    return true;
}

static bool draw_all(Sheet *sheet) {
    int64_t values = 3 * sheet->height * sheet->width, count = sheet->dataset->counts[CAI_PART_TRAINING];
    if (values > CAI_MAX_PIXELS)
        return cai_fail(sheet->error, CAI_BAD_INPUT, "the samples are too large for a sheet");
    sheet->pixels = cai_allocate((uint64_t)values * sizeof *sheet->pixels, "a sheet", sheet->error);
    for (int64_t i = 0; sheet->pixels && i < values; i++) sheet->pixels[i] = 1;
    bool good = sheet->pixels && make_sheet_buffers(sheet);
    for (int64_t i = 0; good && i < SAMPLES && i < count; i++) good = draw_sample(sheet, i);
    return good;
}

bool cai_dataset_has_pictures(const cai_dataset *dataset) {
    Sheet sheet = {.dataset = dataset};
    measure_sheet(&sheet);
    return sheet.tile_height > 0;
}

bool cai_dataset_draw(const cai_dataset *dataset, const char *path, cai_error *error) {
    Sheet sheet = {.dataset = dataset, .error = error};
    measure_sheet(&sheet);
    bool good = draw_all(&sheet) && cai_image_write(path, sheet.pixels, 3, sheet.height, sheet.width, error);
    for (int i = 0; sheet.buffers && i < dataset->set->field_count; i++) free(sheet.buffers[i]);
    free(sheet.buffers);
    free(sheet.pixels);
    return good;
}
