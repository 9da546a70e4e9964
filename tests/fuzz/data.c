/* Any bytes as a file of a data set, of the form that the first byte names: what is
 * accepted must be readable to its last sample. */
#include "data/sources.h"
#include "fuzz.h"
#include <stdlib.h>

static const int64_t picture_dims[] = {3, 4, 4}, mask_dims[] = {4, 4}, box_dims[] = {3, 5}, code_dims[] = {2},
                     ignored[] = {255};
static const cai_field fields[] = {
    {.name = "picture",
     .text = "image[N, 3, 4, 4]",
     .dims = picture_dims,
     .rank = 3,
     .form = CAI_FORM_IMAGE,
     .fit = CAI_TAKE_RANDOM_RESIZED,
     .on = -1},
    {.name = "label", .text = "i32[N]", .type = CAI_I32, .on = -1, .classes = 3},
    {.name = "mask",
     .text = "i32[N, 4, 4]",
     .dims = mask_dims,
     .type = CAI_I32,
     .rank = 2,
     .on = -1,
     .classes = 3,
     .ignored = ignored,
     .ignored_count = 1},
    {.name = "boxes", .text = "f32[N, 3, 5]", .dims = box_dims, .rank = 2, .on = 0, .classes = 3},
    {.name = "code", .text = "f32[N, 2]", .dims = code_dims, .rank = 1, .on = -1},
};
enum { PICTURE, LABEL, MASK, BOXES, CODE, ALL };

/* ---- readers of one file ---- */

static void try_mask(const unsigned char *bytes, size_t count) {
    cai_error error;
    cai_blob blob = {.path = "f", .bytes = bytes, .count = count};
    cai_picture *picture = cai_picture_decode(&blob, true, &error);
    for (int64_t y = 0; picture && y < picture->height; y++) {
        int64_t number = cai_picture_number(picture, y, picture->width - 1);
        DEMAND(number >= 0 && number < 65536);
    }
    free(picture);
}

static void try_boxes(cai_box_parser *parse, const unsigned char *bytes, size_t count) {
    cai_error error;
    cai_arena arena = {0};
    cai_class_list classes = {0};
    cai_box_list list = {.arena = &arena, .classes = &classes, .error = &error};
    if (parse(&list, (const char *)bytes, count))
        for (int64_t i = 0; i < list.count; i++)
            DEMAND(list.items[i].sides[2] > list.items[i].sides[0] && list.items[i].class >= 0);
    free(list.items);
    cai_arena_free(&arena);
}

/* ---- whole sets: opened, and read through ---- */

static void read_all(const cai_set *set, cai_dataset *data) {
    float rows[ALL][64];
    void *buffers[ALL];
    cai_error error;
    for (int i = 0; i < set->field_count; i++) buffers[i] = rows[i];
    int64_t count = cai_dataset_count(data, CAI_PART_TRAINING);
    for (int64_t p = 0; p < count && p < 100; p++)
        cai_dataset_read(data, CAI_PART_TRAINING, p, 0, buffers, &error);
}

static void try_set(int first, int count, const char *ending, const unsigned char *bytes, size_t size) {
    cai_set set = {.name = "set", .fields = fields + first, .field_count = count};
    cai_data_options options = {.seed = 1};
    cai_error error;
    const char *path = fuzz_file(ending, bytes, size);
    cai_dataset *data = cai_dataset_open(&set, &path, NULL, 1, &options, &error);
    if (data) read_all(&set, data);
    cai_dataset_free(data);
}

/* The boxes of a JSON file, on the pictures of a folder of the tests. */
static void try_coco(const unsigned char *bytes, size_t size) {
    cai_field two[] = {fields[PICTURE], fields[BOXES]};
    cai_set set = {.name = "set", .fields = two, .field_count = 2};
    cai_data_options options = {.seed = 1};
    cai_error error;
    const char *paths[] = {"tests/data/inputs/photo", fuzz_file(".json", bytes, size)},
               *names[] = {"picture", "boxes"};
    cai_dataset *data = cai_dataset_open(&set, paths, names, 2, &options, &error);
    if (data) read_all(&set, data);
    cai_dataset_free(data);
}

void fuzz_data(const unsigned char *bytes, size_t count) {
    if (count == 0) return;
    int form = *bytes++;
    count--;
    switch (form) {
    case 'i': try_set(PICTURE, 1, "-idx3-", bytes, count); break;
    case 'l': try_set(LABEL, 1, "-idx1-", bytes, count); break;
    case 'n': try_set(PICTURE, 2, ".npz", bytes, count); break;
    case 'm': try_mask(bytes, count); break;
    case 'v': try_boxes(cai_voc_parse, bytes, count); break;
    case 'y': try_boxes(cai_yolo_parse, bytes, count); break;
    case 'j': try_coco(bytes, count); break;
    case 'w': try_set(PICTURE, 2, ".tar", bytes, count); break;
    case 'c': try_set(CODE, 1, ".csv", bytes, count); break;
    case 't': try_set(LABEL, 1, ".tsv", bytes, count); break;
    }
}
