/* Reads one sample into rows of buffers: decodes and crops its pictures, crops masks and
 * boxes like the leading picture, converts numbers. */
#include "data/sources.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Sample {
    const cai_dataset *dataset;
    const cai_portion *portion;
    const cai_sample *at;
    int64_t index;       /* in the portion */
    int lead;            /* the field whose window the others follow; -1: all are taken as a whole */
    cai_view *views;     /* by field: the window of a picture */
    int64_t (*sizes)[2]; /* by field: height and width of the result */
    cai_error *error;
} Sample;

static const cai_field *sample_field(const Sample *s, int field) { return &s->dataset->set->fields[field]; }
static const cai_column *sample_column(const Sample *s, int field) { return &s->portion->columns[field]; }

static int64_t sample_entry(const Sample *s, int field) {
    const int64_t *entries = s->portion->entries[field];
    return entries ? entries[s->index] : s->index;
}

/* Puts before the message of a failure that has none what it is of: a file, or a sample
 * of an array. */
static bool within_entry(const Sample *s, int field, bool good) {
    char number[24];
    const cai_column *column = sample_column(s, field);
    if (good) return true;
    if (column->kind != CAI_COLUMN_ROWS)
        return cai_fail_within(s->error, "%s", cai_column_name(column, sample_entry(s, field), number));
    return cai_fail_within(s->error, "%s: sample %s of %lld", column->path,
                           cai_portion_name(s->portion, s->index, number), (long long)s->portion->count);
}

/* Converts a value to the field's element type, in its row of the buffer. */
static bool store_value(Sample *s, int field, const cai_tensor *value) {
    const cai_field *to = sample_field(s, field);
    unsigned char *buffer = s->at->buffers[field];
    if (s->at->dims && s->at->dims[field])
        memcpy(s->at->dims[field], value->dims, (size_t)value->rank * sizeof(int64_t));
    if (!buffer) return true;
    buffer += s->at->row * value->count * cai_type_bytes(to->type);
    return within_entry(s, field, cai_tensor_convert(value, to->type, buffer, s->error));
}

/* Where only sizes are asked for, numbers do not matter. */
static bool has_known_numbers(const Sample *s, int field, const cai_tensor *numbers) {
    return !s->at->buffers[field] ||
           within_entry(s, field, cai_numbers_are_known(s->dataset, field, numbers, s->error));
}

/* ---- pictures ---- */

typedef struct Held { /* a picture that the data set keeps, or one to be freed (`own`) */
    const cai_picture *picture;
    cai_picture row, *own;
} Held;

static bool hold_file(const Sample *s, int field, bool mask, Held *held) {
    const cai_column *column = sample_column(s, field);
    int64_t entry = sample_entry(s, field);
    held->picture = atomic_load(&column->decoded[entry]);
    if (held->picture) return true;
    cai_picture *decoded = cai_picture_decode(&column->files[entry], mask, s->error);
    if (!decoded) return false;
    if (mask && !within_entry(s, field, cai_mask_is_known(s->dataset, field, decoded, s->error))) {
        free(decoded);
        return false;
    }
    held->picture = decoded;
    held->own = cai_dataset_keep(s->dataset, &column->decoded[entry], decoded) ? NULL : decoded;
    return true;
}

static bool hold_picture(const Sample *s, int field, bool mask, Held *held) {
    const cai_column *column = sample_column(s, field);
    *held = (Held){.picture = &held->row};
    if (column->kind == CAI_COLUMN_FILES) return hold_file(s, field, mask, held);
    cai_tensor row = cai_column_row(column, sample_entry(s, field));
    if (!mask) return cai_picture_of_row(&row, &held->row);
    return cai_mask_of_row(&row, &held->row) && has_known_numbers(s, field, &row);
}

static bool is_whole_number(double x) { return x == floor(x); }

/* Whether the window consists of whole pixels and has the size of the result, so that no
 * filter is needed. */
static bool is_plain_crop(const cai_window *w, int64_t height, int64_t width) {
    return is_whole_number(w->left) && is_whole_number(w->top) && w->width == (double)width &&
           w->height == (double)height;
}

/* The pixels of one side that a window needs, including those that the filter reaches. */
static void window_reach(double begin, double size, int64_t count, int64_t from, int64_t *first,
                         int64_t *end) {
    double support = fmax(size / (double)count, 1) + 1;
    *first = (int64_t)fmax(floor(begin - support), 0);
    *end = (int64_t)fmin(ceil(begin + size + support), (double)from);
}

typedef bool Take(const cai_picture *picture, cai_window w, int64_t channels, int64_t height, int64_t width,
                  cai_image *image, cai_error *error);

static bool take_window(const cai_picture *picture, cai_window w, int64_t channels, int64_t height,
                        int64_t width, cai_image *image, cai_error *error) {
    if (is_plain_crop(&w, height, width))
        return cai_picture_part(picture, (int64_t)w.top, (int64_t)w.left, height, width, channels, image,
                                error);
    int64_t left, right, top, bottom;
    window_reach(w.left, w.width, width, picture->width, &left, &right);
    window_reach(w.top, w.height, height, picture->height, &top, &bottom);
    if (!cai_picture_part(picture, top, left, bottom - top, right - left, channels, image, error))
        return false;
    w.left -= (double)left;
    w.top -= (double)top;
    if (cai_image_take(image, w, height, width, error)) return true;
    cai_image_free(image);
    return false;
}

/* For windows that extend beyond the picture, as fit = "pad" makes them. */
static bool take_padded(const cai_picture *picture, cai_window w, int64_t channels, int64_t height,
                        int64_t width, cai_image *image, cai_error *error) {
    int64_t down = (int64_t)ceil(w.top + w.height), across = (int64_t)ceil(w.left + w.width);
    if (!cai_picture_part(picture, 0, 0, picture->height, picture->width, channels, image, error))
        return false;
    if (cai_image_pad(image, down, across, error) && cai_image_take(image, w, height, width, error))
        return true;
    cai_image_free(image);
    return false;
}

/* A window with bars on both sides, which begins before the picture: that lies in the
 * middle, on gray. */
static bool take_boxed(const cai_picture *picture, cai_window w, int64_t channels, int64_t height,
                       int64_t width, cai_image *image, cai_error *error) {
    int64_t down = llround((double)picture->height * (double)height / w.height),
            across = llround((double)picture->width * (double)width / w.width);
    if (!cai_picture_part(picture, 0, 0, picture->height, picture->width, channels, image, error))
        return false;
    if (cai_image_resize(image, down > 0 ? down : 1, across > 0 ? across : 1, error) &&
        cai_image_box(image, height, width, error))
        return true;
    cai_image_free(image);
    return false;
}

static bool goes_beyond(const cai_picture *picture, const cai_window *w) {
    return w->left + w->width > (double)picture->width + 0.5 ||
           w->top + w->height > (double)picture->height + 0.5;
}

static bool is_random(const cai_field *field) { return field->fit >= CAI_TAKE_RANDOM_CROP; }

/* How the window of a field was taken: as it says itself, or the one that leads. */
static int fit_of_window(const Sample *s, int field) {
    int fit = sample_field(s, field)->fit;
    return fit == CAI_TAKE_EXACT && s->lead >= 0 ? sample_field(s, s->lead)->fit : fit;
}

/* A fit without random numbers, to the bit as built programs do it. */
static bool fit_fixed(Sample *s, int field, const cai_picture *picture, cai_image *image) {
    const cai_field *to = sample_field(s, field);
    cai_extent height = {.fixed = to->dims[1] > 0 ? to->dims[1] : 0, .multiple = 1};
    cai_extent width = {.fixed = to->dims[2] > 0 ? to->dims[2] : 0, .multiple = 1};
    if (!cai_picture_part(picture, 0, 0, picture->height, picture->width, to->dims[0], image, s->error))
        return false;
    if (!cai_image_fit(image, to->fit, height, width, s->error)) {
        cai_image_free(image);
        return false;
    }
    const cai_placement *place = &image->place;
    s->views[field] = (cai_view){
        {place->left, place->top, place->across * (double)image->width, place->down * (double)image->height},
        (double)picture->height,
        (double)picture->width};
    return true;
}

static int64_t fixed_or(int64_t size, double otherwise) {
    int64_t whole = (int64_t)llround(otherwise);
    return size > 0 ? size : whole > 0 ? whole : 1;
}

/* Crops the picture to the view of its field, which must be known. */
static bool cut_picture(Sample *s, int field, const cai_picture *picture, cai_image *image) {
    const cai_field *to = sample_field(s, field);
    cai_window w = cai_view_on(&s->views[field], picture->height, picture->width);
    int64_t height = fixed_or(to->dims[1], w.height), width = fixed_or(to->dims[2], w.width);
    Take *take = goes_beyond(picture, &w) ? take_padded : take_window;
    if (fit_of_window(s, field) == CAI_TAKE_LETTERBOX) take = take_boxed;
    return take(picture, w, to->dims[0], height, width, image, s->error);
}

static bool boxes_on(Sample *s, int field, cai_boxes *boxes, void **memory);

static bool draw_view(Sample *s, int field, const cai_picture *picture) {
    const cai_field *to = sample_field(s, field);
    int64_t height = fixed_or(to->dims[1], (double)picture->height),
            width = fixed_or(to->dims[2], (double)picture->width);
    if (s->at->middle) {
        s->views[field] = cai_view_middle(to, picture, height, width);
        return true;
    }
    cai_boxes boxes = {0};
    void *memory = NULL;
    if (to->fit == CAI_TAKE_RANDOM_BOX_CROP && !boxes_on(s, field, &boxes, &memory)) return false;
    uint64_t key = field == s->lead ? s->at->key : cai_data_mix(s->at->key, (uint64_t)field);
    s->views[field] = cai_view_drawn(to, picture, height, width, &boxes, key);
    free(memory);
    return true;
}

static bool fit_picture(Sample *s, int field, const cai_picture *picture, cai_image *image) {
    const cai_field *to = sample_field(s, field);
    bool follows = to->fit == CAI_TAKE_EXACT && s->lead >= 0;
    if (!follows && !is_random(to)) return fit_fixed(s, field, picture, image);
    if (follows) s->views[field] = s->views[s->lead];
    else if (!draw_view(s, field, picture)) return false;
    return cut_picture(s, field, picture, image);
}

static bool read_picture(Sample *s, int field) {
    Held held;
    cai_image image;
    bool read = hold_picture(s, field, false, &held) &&
                within_entry(s, field, fit_picture(s, field, held.picture, &image));
    free(held.own);
    if (!read) return false;
    cai_tensor value = {.type = CAI_F32,
                        .rank = 3,
                        .dims = {image.channels, image.height, image.width},
                        .count = image.channels * image.height * image.width,
                        .data = (unsigned char *)image.pixels};
    s->sizes[field][0] = image.height;
    s->sizes[field][1] = image.width;
    bool stored = store_value(s, field, &value);
    cai_image_free(&image);
    return stored;
}

/* ---- masks ---- */

/* The index that index i means if a row continues as in a mirror, as padding of pictures
 * does. */
static int64_t mirrored_place(int64_t i, int64_t size) {
    if (size == 1) return 0;
    i %= 2 * (size - 1);
    return i < size ? i : 2 * (size - 1) - i;
}

/* What a pixel of a mask is. `bars`: what lies beside the mask is that number; NULL: it
 * is mirrored. */
static int64_t mask_number_at(const cai_picture *picture, int64_t row, int64_t column, const int64_t *bars) {
    bool outside = row < 0 || column < 0 || row >= picture->height || column >= picture->width;
    if (outside && bars) return *bars;
    return cai_picture_number(picture, mirrored_place(row, picture->height),
                              mirrored_place(column, picture->width));
}

/* Takes for each pixel of the result the one that is nearest to its middle. */
static void take_nearest(const cai_picture *picture, cai_window w, int64_t height, int64_t width,
                         const int64_t *bars, int64_t *out) {
    for (int64_t y = 0; y < height; y++) {
        int64_t row = (int64_t)floor(w.top + ((double)y + 0.5) * w.height / (double)height);
        for (int64_t x = 0; x < width; x++) {
            int64_t column = (int64_t)floor(w.left + ((double)x + 0.5) * w.width / (double)width);
            *out++ = mask_number_at(picture, row, column, bars);
        }
    }
}

/* In a letterbox's bars a mask is what the text ignores, if it does, and else 0. */
static int64_t number_of_bars(const cai_field *field) { return field->ignored_count ? field->ignored[0] : 0; }

static bool cut_mask(Sample *s, int field, const cai_picture *picture) {
    const cai_field *to = sample_field(s, field);
    cai_view all = {{0, 0, (double)picture->width, (double)picture->height},
                    (double)picture->height,
                    (double)picture->width};
    cai_window w = cai_view_on(s->lead >= 0 ? &s->views[s->lead] : &all, picture->height, picture->width);
    int64_t height = fixed_or(to->dims[0], w.height), width = fixed_or(to->dims[1], w.width);
    if (s->lead < 0 && (height != picture->height || width != picture->width))
        return within_entry(
            s, field,
            cai_fail(s->error, CAI_BAD_INPUT, "is %lld wide and %lld high, which does not match `%s: %s`",
                     (long long)picture->width, (long long)picture->height, to->name, to->text));
    int64_t *numbers = cai_allocate((uint64_t)(height * width) * sizeof *numbers, "a mask", s->error);
    if (!numbers) return false;
    const int64_t bars = number_of_bars(to);
    take_nearest(picture, w, height, width, fit_of_window(s, field) == CAI_TAKE_LETTERBOX ? &bars : NULL,
                 numbers);
    cai_tensor value = {.type = CAI_I64,
                        .rank = 2,
                        .dims = {height, width},
                        .count = height * width,
                        .data = (unsigned char *)numbers};
    bool stored = store_value(s, field, &value);
    free(numbers);
    return stored;
}

static bool read_mask(Sample *s, int field) {
    Held held;
    bool read = hold_picture(s, field, true, &held) && cut_mask(s, field, held.picture);
    free(held.own);
    return read;
}

/* ---- boxes ---- */

/* The boxes of a row of an array, which end at the first with a class below 0. */
static bool boxes_of_row(const Sample *s, int field, cai_boxes *boxes, void **memory) {
    cai_tensor row = cai_column_row(sample_column(s, field), sample_entry(s, field));
    cai_box *items = *memory = cai_allocate((uint64_t)row.count * sizeof(float), "boxes", s->error);
    if (!items) return false;
    cai_tensor_to_f32(&row, 0, row.count, (float *)items);
    *boxes = (cai_boxes){.items = items};
    while (boxes->count < row.dims[0] && items[boxes->count].class >= 0) boxes->count++;
    return true;
}

static bool boxes_of(const Sample *s, int field, cai_boxes *boxes, void **memory) {
    const cai_column *column = sample_column(s, field);
    if (column->kind == CAI_COLUMN_ROWS) return boxes_of_row(s, field, boxes, memory);
    *boxes = column->boxes[sample_entry(s, field)];
    return true;
}

/* The boxes of the first field of boxes on this picture; none if there is no such
 * field. */
static bool boxes_on(Sample *s, int picture, cai_boxes *boxes, void **memory) {
    for (int i = 0; i < s->dataset->set->field_count; i++)
        if (sample_field(s, i)->on == picture) return boxes_of(s, i, boxes, memory);
    return true;
}

/* Moves a side of a box from a window to the pixels of the result. */
static float moved_side(double side, double begin, double size, int64_t count) {
    double at = (side - begin) * (double)count / size;
    return (float)fmin(fmax(at, 0), (double)count);
}

/* False if the middle of the box is outside the window, or nothing of it is left. */
static bool move_box(const cai_boxes *boxes, int64_t i, const cai_view *view, const int64_t *size,
                     float *out) {
    const cai_box *box = &boxes->items[i];
    const cai_window *w = &view->window;
    double across = boxes->shares ? view->width : 1, down = boxes->shares ? view->height : 1;
    double left = box->sides[0] * across, top = box->sides[1] * down, right = box->sides[2] * across,
           bottom = box->sides[3] * down;
    double x = (left + right) / 2 - w->left, y = (top + bottom) / 2 - w->top;
    if (x < 0 || x >= w->width || y < 0 || y >= w->height) return false;
    out[0] = moved_side(left, w->left, w->width, size[1]);
    out[1] = moved_side(top, w->top, w->height, size[0]);
    out[2] = moved_side(right, w->left, w->width, size[1]);
    out[3] = moved_side(bottom, w->top, w->height, size[0]);
    out[4] = box->class;
    return out[2] > out[0] && out[3] > out[1];
}

static bool store_box_rows(Sample *s, int field, const cai_boxes *boxes) {
    const cai_field *to = sample_field(s, field);
    int64_t max = to->dims[0] > 0 ? to->dims[0] : boxes->count, used = 0;
    float(*rows)[5] = cai_allocate((uint64_t)max * sizeof *rows, "boxes", s->error);
    if (!rows) return false;
    for (int64_t i = 0; i < boxes->count && used < max; i++)
        used += move_box(boxes, i, &s->views[to->on], s->sizes[to->on], rows[used]);
    for (int64_t i = used; i < max; i++) memcpy(rows[i], (float[5]){0, 0, 0, 0, -1}, sizeof rows[i]);
    cai_tensor value = {
        .type = CAI_F32, .rank = 2, .dims = {max, 5}, .count = max * 5, .data = (unsigned char *)rows};
    bool stored = store_value(s, field, &value);
    free(rows);
    return stored;
}

static bool read_box_field(Sample *s, int field) {
    cai_boxes boxes = {0};
    void *memory = NULL;
    bool read = boxes_of(s, field, &boxes, &memory) && store_box_rows(s, field, &boxes);
    free(memory);
    return read;
}

/* ---- numbers ---- */

static bool store_numbers(Sample *s, int field, const cai_tensor *value) {
    return has_known_numbers(s, field, value) && store_value(s, field, value);
}

/* Stores the tensor of a file that has one, or the tensor with the field's name. */
static bool store_tensor_of(Sample *s, int field, const char *path, const cai_tensor_file *tensors) {
    const cai_field *to = sample_field(s, field);
    const cai_tensor *value = tensors->count == 1 ? tensors->tensors : cai_tensors_find(tensors, to->name);
    if (!value) return cai_fail(s->error, CAI_BAD_INPUT, "%s: has no tensor `%s`", path, to->name);
    return cai_value_fits(to, value, path, s->error) && store_numbers(s, field, value);
}

static bool read_tensor_file(Sample *s, int field) {
    const cai_blob *blob = &sample_column(s, field)->files[sample_entry(s, field)];
    cai_file file;
    cai_tensor_file tensors;
    if (!cai_blob_open(blob, &file, s->error)) return false;
    bool read = cai_tensors_parse(blob->path, file.data, file.count, &tensors, s->error);
    if (read) {
        read = store_tensor_of(s, field, blob->path, &tensors);
        cai_tensors_close(&tensors);
    }
    cai_blob_close(blob, &file);
    return read;
}

static bool read_numbers(Sample *s, int field) {
    if (sample_column(s, field)->kind == CAI_COLUMN_FILES) return read_tensor_file(s, field);
    cai_tensor row = cai_column_row(sample_column(s, field), sample_entry(s, field));
    return store_numbers(s, field, &row);
}

static bool read_index(Sample *s, int field) {
    int64_t number = s->portion->first + s->index;
    return store_value(s, field,
                       &(cai_tensor){.type = CAI_I64, .count = 1, .data = (unsigned char *)&number});
}

/* ---- all fields ---- */

static bool (*const readers[])(Sample *s, int field) = {
    [CAI_VALUE_PICTURE] = read_picture, [CAI_VALUE_MASK] = read_mask,   [CAI_VALUE_BOXES] = read_box_field,
    [CAI_VALUE_CLASS] = read_numbers,   [CAI_VALUE_INDEX] = read_index, [CAI_VALUE_NUMBERS] = read_numbers};

static int leading_field(const cai_set *set) {
    for (int i = 0; i < set->field_count; i++)
        if (cai_value_of(&set->fields[i]) == CAI_VALUE_PICTURE && set->fields[i].fit != CAI_TAKE_EXACT)
            return i;
    return -1;
}

/* Whether the field must be read. A picture is needed, too, for boxes on it and for
 * fields that follow its window. */
static bool is_field_wanted(const Sample *s, int field) {
    bool asked = s->at->buffers[field] || (s->at->dims && s->at->dims[field]);
    if (asked || cai_value_of(sample_field(s, field)) != CAI_VALUE_PICTURE) return asked;
    for (int i = 0; i < s->dataset->set->field_count; i++) {
        bool leans = sample_field(s, i)->on == field ||
                     (field == s->lead && i != field && cai_value_of(sample_field(s, i)) <= CAI_VALUE_BOXES);
        if (leans && (s->at->buffers[i] || (s->at->dims && s->at->dims[i]))) return true;
    }
    return false;
}

static bool read_field(Sample *s, int field) {
    return !is_field_wanted(s, field) || readers[cai_value_of(sample_field(s, field))](s, field);
}

static bool read_fields(Sample *s) {
    if (s->lead >= 0 && !read_field(s, s->lead)) return false;
    for (int pass = 0; pass < 2; pass++) /* boxes come second, since they need the views of their pictures */
        for (int i = 0; i < s->dataset->set->field_count; i++) {
            bool last = cai_value_of(sample_field(s, i)) == CAI_VALUE_BOXES;
            if (i != s->lead && last == (pass == 1) && !read_field(s, i)) return false;
        }
    return true;
}

bool cai_sample_read(const cai_dataset *dataset, const cai_portion *portion, int64_t index,
                     const cai_sample *at, cai_error *error) {
    uint64_t fields = (uint64_t)dataset->set->field_count;
    Sample s = {.dataset = dataset, .portion = portion, .index = index, .at = at, .error = error};
    s.lead = leading_field(dataset->set);
    s.views = cai_allocate(fields * sizeof *s.views, "a sample", error);
    s.sizes = cai_allocate(fields * sizeof *s.sizes, "a sample", error);
    bool read = s.views && s.sizes && read_fields(&s);
    free(s.views);
    free(s.sizes);
    return read;
}
