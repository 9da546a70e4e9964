/* Kinds of fields, which follow from their types, and whether arrays fit them. */
#include "data/sources.h"
#include <string.h>

int cai_value_of(const cai_field *field) {
    bool whole = !cai_type_is_float(field->type);
    if (field->index) return CAI_VALUE_INDEX;
    if (field->form == CAI_FORM_IMAGE) return CAI_VALUE_PICTURE;
    if (field->on >= 0) return CAI_VALUE_BOXES;
    if (field->rank == 0 && whole) return CAI_VALUE_CLASS;
    return field->rank == 2 && whole ? CAI_VALUE_MASK : CAI_VALUE_NUMBERS;
}

int cai_field_of(const cai_set *set, int value) {
    for (int i = 0; i < set->field_count; i++)
        if (cai_value_of(&set->fields[i]) == value) return i;
    return -1;
}

int cai_field_named(const cai_set *set, const char *name) {
    for (int i = 0; i < set->field_count; i++)
        if (strcmp(set->fields[i].name, name) == 0) return i;
    return -1;
}

/* ---- arrays ---- */

static bool has_sizes(const cai_field *field, const int64_t *dims, int rank) {
    if (rank != field->rank) return false;
    for (int i = 0; i < rank; i++)
        if (field->dims[i] >= 0 && field->dims[i] != dims[i]) return false;
    return true;
}

static bool is_channels(int64_t size) { return size == 1 || size == 3; }

/* Pictures are [N, H, W], [N, C, H, W] or [N, H, W, C], of levels: u8, u16, or floats
 * from 0 to 1. `row` has no N. */
bool cai_picture_of_row(const cai_tensor *row, cai_picture *picture) {
    const int64_t *d = row->dims;
    bool levels = cai_type_is_float(row->type) || row->type == CAI_U8 || row->type == CAI_U16;
    *picture = (cai_picture){.channels = 1, .type = row->type, .data = row->data, .column = 1};
    if (!levels || (row->rank != 2 && row->rank != 3)) return false;
    int high = row->rank == 3 && is_channels(d[0]); /* the axis of the height */
    bool last = row->rank == 3 && !high;            /* the channels are the last axis */
    if (row->rank == 3) picture->channels = last ? d[2] : d[0];
    picture->height = d[high];
    picture->width = d[high + 1];
    if (last) picture->column = picture->channels;
    picture->row = picture->width * picture->column;
    picture->channel = last ? 1 : picture->height * picture->width;
    return is_channels(picture->channels) && picture->height > 0 && picture->width > 0;
}

bool cai_mask_of_row(const cai_tensor *row, cai_picture *picture) {
    *picture = (cai_picture){.channels = 1, .type = row->type, .data = row->data, .column = 1};
    if (row->rank != 2 || cai_type_is_float(row->type) || row->count == 0) return false;
    picture->height = row->dims[0];
    picture->row = picture->width = row->dims[1];
    return true;
}

/* A row of boxes: any number of (left, top, right, bottom, class). */
static bool is_boxes(const cai_tensor *row) { return row->rank == 2 && row->dims[1] == 5; }

static bool is_row_of(const cai_field *field, const cai_tensor *row) {
    cai_picture picture;
    switch (cai_value_of(field)) {
    case CAI_VALUE_PICTURE: return cai_picture_of_row(row, &picture);
    case CAI_VALUE_MASK: return cai_mask_of_row(row, &picture);
    case CAI_VALUE_BOXES: return is_boxes(row);
    default: return has_sizes(field, row->dims, row->rank);
    }
}

bool cai_value_fits(const cai_field *field, const cai_tensor *row, const char *path, cai_error *error) {
    char text[200];
    if (is_row_of(field, row)) return true;
    return cai_fail(error, CAI_BAD_INPUT, "%s: each sample is %s, which does not match `%s: %s`", path,
                    cai_tensor_shape_text(row, text, sizeof text), field->name, field->text);
}
