/* Boxes in the format of COCO, one JSON file for all pictures. Parsed by json-c:
 *
 *     {"images": [{"id": 1, "file_name": "a.jpg"}, ...],
 *      "categories": [{"id": 3, "name": "car"}, ...],
 *      "annotations": [{"image_id": 1, "category_id": 3, "iscrowd": 0,
 *                       "bbox": [left, top, width, height]}, ...]}
 *
 * Boxes of crowds are skipped. */
#include "data/sources.h"
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

typedef struct Picture { /* an element of "images"; sorted by id */
    int64_t id;
    const char *stem;
    cai_boxes boxes;
} Picture;

typedef struct Category {
    int64_t id;
    const char *name;
} Category;

typedef struct Coco {
    cai_dataset *dataset;
    const char *path;
    json_object *root;
    Picture *pictures;
    Category *categories;
    int64_t picture_count, category_count;
    cai_error *error;
} Coco;

static bool fail_coco(const Coco *coco, const char *what) {
    return cai_fail(coco->error, CAI_BAD_INPUT, "%s: broken COCO file: %s", coco->path, what);
}

static json_object *json_member(json_object *object, const char *key) {
    json_object *value = NULL;
    return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, key, &value)
               ? value
               : NULL;
}

/* The array with that key, and its length. */
static json_object *coco_list(const Coco *coco, const char *key, int64_t *count) {
    json_object *list = json_member(coco->root, key);
    if (!json_object_is_type(list, json_type_array)) return fail_coco(coco, key), NULL;
    *count = (int64_t)json_object_array_length(list);
    return list;
}

static bool is_json_number(json_object *value) {
    return json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
}

/* ---- pictures and categories ---- */

/* Compares pictures or categories, both of which begin with an id. */
static int compare_ids(const void *a, const void *b) {
    int64_t m = *(const int64_t *)a, n = *(const int64_t *)b;
    return m < n ? -1 : m > n;
}

static bool read_pictures(Coco *coco) {
    json_object *list = coco_list(coco, "images", &coco->picture_count);
    cai_arena *arena = &coco->dataset->arena;
    coco->pictures =
        list ? cai_arena_take(arena, (uint64_t)coco->picture_count * sizeof *coco->pictures, coco->error)
             : NULL;
    if (!coco->pictures) return false;
    for (int64_t i = 0; i < coco->picture_count; i++) {
        json_object *one = json_object_array_get_idx(list, (size_t)i), *name = json_member(one, "file_name");
        if (!json_object_is_type(name, json_type_string))
            return fail_coco(coco, "a picture has no file_name");
        coco->pictures[i].id = json_object_get_int64(json_member(one, "id"));
        coco->pictures[i].stem = cai_stem_of(arena, json_object_get_string(name), coco->error);
        if (!coco->pictures[i].stem) return false;
    }
    qsort(coco->pictures, (size_t)coco->picture_count, sizeof *coco->pictures, compare_ids);
    return true;
}

static bool read_categories(Coco *coco) {
    json_object *list = coco_list(coco, "categories", &coco->category_count);
    cai_arena *arena = &coco->dataset->arena;
    coco->categories =
        list ? cai_arena_take(arena, (uint64_t)coco->category_count * sizeof *coco->categories, coco->error)
             : NULL;
    if (!coco->categories) return false;
    for (int64_t i = 0; i < coco->category_count; i++) {
        json_object *one = json_object_array_get_idx(list, (size_t)i), *name = json_member(one, "name");
        if (!json_object_is_type(name, json_type_string)) return fail_coco(coco, "a category has no name");
        coco->categories[i].id = json_object_get_int64(json_member(one, "id"));
        const char *text = json_object_get_string(name);
        coco->categories[i].name = cai_arena_text(arena, text, strlen(text), coco->error);
        if (!coco->categories[i].name) return false;
    }
    qsort(coco->categories, (size_t)coco->category_count, sizeof *coco->categories, compare_ids);
    return true;
}

/* ---- annotations ---- */

static Picture *picture_of(const Coco *coco, json_object *annotation) {
    Picture key = {.id = json_object_get_int64(json_member(annotation, "image_id"))};
    return bsearch(&key, coco->pictures, (size_t)coco->picture_count, sizeof key, compare_ids);
}

static int64_t category_of(const Coco *coco, json_object *annotation) {
    Category key = {.id = json_object_get_int64(json_member(annotation, "category_id"))};
    const Category *found =
        bsearch(&key, coco->categories, (size_t)coco->category_count, sizeof key, compare_ids);
    return found ? found - coco->categories : -1;
}

static bool box_of(const Coco *coco, json_object *annotation, cai_box *box) {
    json_object *sides = json_member(annotation, "bbox");
    double v[4];
    if (!json_object_is_type(sides, json_type_array) || json_object_array_length(sides) != 4) return false;
    for (size_t i = 0; i < 4; i++) {
        json_object *side = json_object_array_get_idx(sides, i);
        if (!is_json_number(side)) return false;
        v[i] = json_object_get_double(side);
    }
    *box = (cai_box){{(float)v[0], (float)v[1], (float)(v[0] + v[2]), (float)(v[1] + v[3])},
                     (float)category_of(coco, annotation)};
    return box->class >= 0 && box->sides[2] > box->sides[0] && box->sides[3] > box->sides[1];
}

/* Called twice: first counts the boxes of each picture, then with `fill` stores them. */
static void sort_annotations(Coco *coco, json_object *list, int64_t count, bool fill, int64_t *bad) {
    for (int64_t i = 0; i < count; i++) {
        json_object *one = json_object_array_get_idx(list, (size_t)i);
        Picture *picture = picture_of(coco, one);
        cai_box box;
        if (json_object_get_int64(json_member(one, "iscrowd"))) continue;
        if (!picture || !box_of(coco, one, &box)) {
            ++*bad;
            continue;
        }
        if (fill) picture->boxes.items[picture->boxes.count] = box;
        picture->boxes.count++;
    }
}

static bool read_annotations(Coco *coco) {
    int64_t count, bad = 0, again = 0;
    json_object *list = coco_list(coco, "annotations", &count);
    if (!list) return false;
    sort_annotations(coco, list, count, false, &bad);
    for (int64_t i = 0; i < coco->picture_count; i++) {
        cai_boxes *boxes = &coco->pictures[i].boxes;
        boxes->items =
            cai_arena_take(&coco->dataset->arena, (uint64_t)boxes->count * sizeof *boxes->items, coco->error);
        if (!boxes->items) return false;
        boxes->count = 0;
    }
    sort_annotations(coco, list, count, true, &again);
    return bad == 0 || cai_dataset_leave_out(
                           coco->dataset, 0, coco->error, coco->path,
                           "%lld of %lld boxes are left out: they have no picture, no category or no area",
                           (long long)bad, (long long)count);
}

/* ---- the column ---- */

static int compare_picture_stems(const void *a, const void *b) {
    return strcmp(((const Picture *)a)->stem, ((const Picture *)b)->stem);
}

static bool fill_column(Coco *coco, cai_column *column) {
    cai_arena *arena = &coco->dataset->arena;
    int64_t count = coco->picture_count;
    cai_boxes *boxes = cai_arena_take(arena, (uint64_t)count * sizeof *boxes, coco->error);
    const char **stems = boxes ? cai_arena_take(arena, (uint64_t)count * sizeof *stems, coco->error) : NULL;
    const char **classes =
        stems ? cai_arena_take(arena, (uint64_t)coco->category_count * sizeof *classes, coco->error) : NULL;
    if (!classes) return false;
    qsort(coco->pictures, (size_t)count, sizeof *coco->pictures, compare_picture_stems);
    for (int64_t i = 0; i < count; i++) {
        boxes[i] = coco->pictures[i].boxes;
        stems[i] = coco->pictures[i].stem;
    }
    for (int64_t i = 0; i < coco->category_count; i++) classes[i] = coco->categories[i].name;
    *column = (cai_column){.kind = CAI_COLUMN_BOXES,
                           .path = coco->path,
                           .count = count,
                           .stems = stems,
                           .boxes = boxes,
                           .classes = classes,
                           .class_count = (int)coco->category_count};
    return true;
}

static json_object *parse_json(const Coco *coco, const unsigned char *bytes, size_t count) {
    if (count > INT32_MAX) return fail_coco(coco, "it is larger than 2 GB"), NULL;
    json_tokener *tokener = json_tokener_new();
    if (!tokener) return cai_fail_memory(coco->error, count, coco->path), NULL;
    json_object *root = json_tokener_parse_ex(tokener, (const char *)bytes, (int)count);
    if (!root) fail_coco(coco, json_tokener_error_desc(json_tokener_get_error(tokener)));
    json_tokener_free(tokener);
    return root;
}

bool cai_coco_parse(cai_dataset *dataset, cai_column *column, const char *path, const unsigned char *bytes,
                    size_t count, cai_error *error) {
    Coco coco = {.dataset = dataset, .path = path, .error = error};
    coco.root = parse_json(&coco, bytes, count);
    if (!coco.root) return false;
    bool read = read_pictures(&coco) && read_categories(&coco) && read_annotations(&coco) &&
                fill_column(&coco, column);
    json_object_put(coco.root);
    return read;
}
