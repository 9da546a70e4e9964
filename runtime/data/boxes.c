/* Boxes on pictures, in common formats: XML files as in VOC (voc.c), text files as in
 * YOLO (yolo.c), each with the boxes of one picture, or a JSON file for all pictures as
 * in COCO (coco.c). All are parsed when the data set is opened, since the names of the
 * classes are known only then. */
#include "data/sources.h"
#include <stdlib.h>
#include <string.h>

/* ---- a growing list ---- */

bool cai_box_add(cai_box_list *list, const cai_box *box) {
    bool sane = box->sides[2] > box->sides[0] && box->sides[3] > box->sides[1]; /* false for NaN, too */
    if (!sane)
        return cai_fail(list->error, CAI_BAD_INPUT, "a box has no area, or a side that is not a number");
    if (list->count == list->room) {
        int64_t room = list->room ? 2 * list->room : 16;
        cai_box *larger = cai_reallocate(list->items, (uint64_t)room * sizeof *larger, "boxes", list->error);
        if (!larger) return false;
        list->items = larger;
        list->room = room;
    }
    list->items[list->count++] = *box;
    return true;
}

int cai_box_class(cai_box_list *list, const char *name) {
    cai_class_list *classes = list->classes;
    for (int i = 0; i < classes->count; i++)
        if (strcmp(classes->items[i], name) == 0) return i;
    if (classes->count == classes->room) {
        int room = classes->room ? 2 * classes->room : 32;
        const char **larger = cai_arena_take(list->arena, (uint64_t)room * sizeof *larger, list->error);
        if (!larger) return -1;
        if (classes->count) memcpy(larger, classes->items, (size_t)classes->count * sizeof *larger);
        classes->items = larger;
        classes->room = room;
    }
    const char *copy = cai_arena_text(list->arena, name, strlen(name), list->error);
    if (!copy) return -1;
    classes->items[classes->count] = copy;
    return classes->count++;
}

/* ---- files for single pictures ---- */

static bool parse_file(const cai_blob *blob, cai_box_parser *parse, cai_box_list *list) {
    cai_file file;
    if (!cai_blob_open(blob, &file, list->error)) return false;
    bool parsed = parse(list, (const char *)file.data, file.count);
    cai_blob_close(blob, &file);
    return parsed;
}

/* Errors of opening begin with the path, those of parsing do not. */
static const char *without_path(const char *message, const char *path) {
    size_t length = strlen(path);
    return !strncmp(message, path, length) && !strncmp(message + length, ": ", 2) ? message + length + 2
                                                                                  : message;
}

/* Parses the boxes of one picture; *boxes keeps NULL items if the file cannot be read. */
static bool read_one(cai_dataset *dataset, const cai_blob *blob, cai_box_parser *parse,
                     cai_class_list *classes, cai_boxes *boxes, cai_error *error) {
    cai_error wrong;
    cai_box_list list = {.arena = &dataset->arena, .classes = classes, .error = &wrong};
    if (!parse_file(blob, parse, &list)) {
        free(list.items);
        if (wrong.status == CAI_NO_MEMORY) return *error = wrong, false;
        return cai_dataset_leave_out(dataset, 1, error, blob->path, "%.600s",
                                     without_path(wrong.message, blob->path));
    }
    cai_box *items = cai_arena_take(&dataset->arena, (uint64_t)list.count * sizeof *items, error);
    if (items && list.count) memcpy(items, list.items, (size_t)list.count * sizeof *items);
    free(list.items);
    *boxes = (cai_boxes){items, list.count, list.shares};
    return items != NULL;
}

/* Turns a column of files into a column of boxes, without the files that cannot be
 * read. */
bool cai_boxes_of_files(cai_dataset *dataset, cai_column *column, cai_box_parser *parse, cai_error *error) {
    cai_boxes *boxes = cai_arena_take(&dataset->arena, (uint64_t)column->count * sizeof *boxes, error);
    const char **stems =
        boxes ? cai_arena_take(&dataset->arena, (uint64_t)column->count * sizeof *stems, error) : NULL;
    cai_class_list classes = {0};
    int64_t kept = 0;
    if (!stems) return false;
    for (int64_t i = 0; i < column->count; i++) {
        boxes[kept].items = NULL;
        if (!read_one(dataset, &column->files[i], parse, &classes, &boxes[kept], error)) return false;
        if (boxes[kept].items) stems[kept++] = column->stems[i];
    }
    *column = (cai_column){.kind = CAI_COLUMN_BOXES,
                           .path = column->path,
                           .count = kept,
                           .stems = stems,
                           .boxes = boxes,
                           .classes = classes.items,
                           .class_count = classes.count};
    return true;
}
