/* Reads each file, or data set (data:PATH), with the first allocation failing, then the
 * second, and so on until it succeeds: every failure is an error with a message, and
 * nothing stays allocated. Linked with
 * --wrap for malloc, calloc and realloc, so that libpng and libjpeg are under test as well. */
#include "data/data.h"
#include "program/main.h"
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void __wrap_free(void *memory);

#ifndef __has_feature
#define __has_feature(name) 0
#endif
/* Sanitized programs are linked dynamically, and what the C library allocates for us
 * there (strdup) is not counted here; LeakSanitizer counts it. */
static const bool counts = !__has_feature(address_sanitizer);

static int until_failure = -1, held; /* -1: none fails */

static bool fails(void) { return until_failure >= 0 && until_failure-- == 0; }

static void *count(void *memory) {
    held += memory != NULL;
    return memory;
}

void *__wrap_malloc(size_t bytes) { return fails() ? NULL : count(__real_malloc(bytes)); }
void *__wrap_calloc(size_t n, size_t bytes) { return fails() ? NULL : count(__real_calloc(n, bytes)); }

void *__wrap_realloc(void *old, size_t bytes) {
    if (fails()) return NULL;
    return old ? __real_realloc(old, bytes) : count(__real_realloc(old, bytes));
}

void __wrap_free(void *memory) {
    held -= memory != NULL;
    __real_free(memory);
}

static bool find_boxes(cai_image *image, cai_error *error) {
    const cai_port port = {.name = "found"};
    const float rows[2][6] = {{1, 1, 5, 5, 0.5f, 0}, {2, 2, 8, 8, 1, 1}};
    const char *name = "f";
    cai_found found;
    if (!cai_boxes_find(&port, rows[0], 2, image->place, 99, 99, &found, error)) return false;
    bool good = cai_boxes_draw(image, &port, &found, error) &&
                cai_boxes_write("/dev/null", &port, &found, &name, 1, error);
    cai_boxes_free(&found);
    return good;
}

static bool read_picture(const cai_file *file, cai_error *error) {
    cai_image image;
    if (!cai_image_decode("f", file->data, file->count, &image, error)) return false;
    bool fitted =
        cai_image_set_channels(&image, 3, error) &&
        cai_image_fit(&image, CAI_FIT_CROP, (cai_extent){.fixed = 8}, (cai_extent){.fixed = 8}, error) &&
        cai_image_pad(&image, 9, 9, error) && find_boxes(&image, error);
    cai_image_free(&image);
    return fitted;
}

static bool read_tensors(const cai_file *file, cai_error *error) {
    cai_tensor_file tensors;
    if (!cai_tensors_parse("f", file->data, file->count, &tensors, error)) return false;
    cai_tensors_close(&tensors);
    return true;
}

/* Pictures of a folder with the boxes of another place, or whatever has pictures and
 * classes. */
static bool read_data(const char *path, cai_error *error) {
    const int64_t picture[] = {3, 4, 4}, boxes[] = {2, 5};
    const cai_field fields[] = {{.name = "photo",
                                 .text = "image",
                                 .dims = picture,
                                 .rank = 3,
                                 .form = CAI_FORM_IMAGE,
                                 .fit = CAI_TAKE_RANDOM_RESIZED,
                                 .on = -1},
                                {.name = "class", .text = "i32", .type = CAI_I32, .on = -1, .balanced = 1},
                                {.name = "boxes", .text = "f32", .dims = boxes, .rank = 2, .on = 0}};
    const cai_field boxed[] = {fields[0], fields[2]};
    const char *photos = strchr(path, '+');
    const char *paths[] = {path, photos ? photos + 1 : NULL}, *names[] = {"boxes", "photo"};
    char first[200];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(path, "+"), path);
    paths[0] = first;
    cai_set set = {.name = "photo", .fields = photos ? boxed : fields, .field_count = 2, .batch = 1};
    cai_data_options options = {.held_out = 0.1};
    cai_dataset *data = cai_dataset_open(&set, paths, photos ? names : NULL, photos ? 2 : 1, &options, error);
    if (!data) return false;
    float photo[3 * 4 * 4], other[10];
    void *buffers[] = {photo, other};
    bool good = true;
    for (int64_t p = 0; good && p < 3; p++)
        good = cai_dataset_read(data, CAI_PART_TRAINING, p, 0, buffers, error);
    cai_dataset_free(data);
    return good;
}

static bool read_file(const cai_file *file, cai_error *error) {
    bool picture = cai_format_of_bytes(file->data, file->count, CAI_HOLDS_PICTURE) != CAI_NO_FORMAT;
    return picture ? read_picture(file, error) : read_tensors(file, error);
}

/* `file` is NULL where the path is that of a data set. */
static bool try_file(const char *path, const cai_file *file) {
    for (int n = 0; n < 100000; n++) {
        cai_error error = {0};
        int before = held;
        until_failure = n;
        bool good = file ? read_file(file, &error) : read_data(path, &error);
        bool failed = until_failure < 0;
        until_failure = -1;
        if (counts && held != before)
            return printf("%s: allocation %d fails, and %d stay\n", path, n, held - before) < 0;
        if (!good && !*error.message)
            return printf("%s: allocation %d fails without a message\n", path, n) < 0;
        if (good && !failed) return n > 0;
    }
    return false;
}

int main(int count, char **paths) {
    for (int i = 1; i < count; i++) {
        cai_error error;
        cai_file file;
        if (strncmp(paths[i], "data:", 5) == 0) {
            if (!try_file(paths[i] + 5, NULL)) return 1;
            continue;
        }
        if (!cai_file_read(paths[i], &file, &error)) {
            puts(error.message);
            return 1;
        }
        if (!try_file(paths[i], &file)) return 1;
        cai_file_close(&file);
    }
    return 0;
}
