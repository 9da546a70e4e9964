/* Decoded pictures in a data set, with 8 bits a level if the file has no more. A picture
 * that was kept reads exactly like one that is decoded again. */
#include "data/sources.h"
#include <stdlib.h>
#include <string.h>

bool cai_blob_open(const cai_blob *blob, cai_file *file, cai_error *error) {
    *file = (cai_file){.data = blob->bytes, .count = blob->count};
    return blob->bytes || cai_file_read(blob->path, file, error);
}

void cai_blob_close(const cai_blob *blob, cai_file *file) {
    if (!blob->bytes) cai_file_close(file);
}

static cai_picture *new_picture(int64_t channels, int64_t height, int64_t width, int type, cai_error *error) {
    uint64_t bytes = (uint64_t)(channels * height * width * cai_type_bytes(type));
    cai_picture *picture = cai_allocate(sizeof *picture + bytes, "a picture", error);
    if (!picture) return NULL;
    *picture = (cai_picture){.channels = channels,
                             .height = height,
                             .width = width,
                             .type = type,
                             .column = 1,
                             .row = width,
                             .channel = height * width,
                             .data = (unsigned char *)(picture + 1)};
    return picture;
}

uint64_t cai_picture_bytes(const cai_picture *picture) {
    int64_t count = picture->channels * picture->height * picture->width;
    return sizeof *picture + (uint64_t)(count * cai_type_bytes(picture->type));
}

/* The 256 levels that decoders return for bytes. */
#define LEVEL(n) ((n) / 255.0f)
#define FOUR(n) LEVEL(n), LEVEL((n) + 1), LEVEL((n) + 2), LEVEL((n) + 3)
#define SIXTEEN(n) FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
#define SIXTY_FOUR(n) SIXTEEN(n), SIXTEEN((n) + 16), SIXTEEN((n) + 32), SIXTEEN((n) + 48)
static const float levels[256] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

/* Converts levels to bytes; false if one of them is none of the 256 levels. */
static bool pack_levels(const float *pixels, int64_t count, unsigned char *out) {
    for (int64_t i = 0; i < count; i++) {
        out[i] = (unsigned char)(pixels[i] * 255 + 0.5f);
        if (levels[out[i]] != pixels[i]) return false;
    }
    return true;
}

static bool pack_numbers(const float *pixels, int64_t count, unsigned char *out) {
    for (int64_t i = 0; i < count; i++) {
        if (pixels[i] > 255) return false;
        out[i] = (unsigned char)pixels[i];
    }
    return true;
}

static cai_picture *pack_picture(const cai_image *image, bool mask, cai_error *error) {
    int64_t count = image->channels * image->height * image->width;
    cai_picture *picture = new_picture(image->channels, image->height, image->width, CAI_U8, error);
    if (!picture || (mask ? pack_numbers : pack_levels)(image->pixels, count, (unsigned char *)picture->data))
        return picture;
    free(picture);
    picture = new_picture(image->channels, image->height, image->width, CAI_F32, error);
    if (picture) memcpy((unsigned char *)picture->data, image->pixels, (size_t)count * sizeof(float));
    return picture;
}

static bool decode_either(const char *path, const cai_file *file, bool mask, cai_image *image,
                          cai_error *error) {
    if (mask) return cai_png_decode_numbers(path, file->data, file->count, image, error);
    return cai_image_decode(path, file->data, file->count, image, error);
}

cai_picture *cai_picture_decode(const cai_blob *blob, bool mask, cai_error *error) {
    cai_file file;
    cai_image image;
    cai_picture *picture = NULL;
    if (!cai_blob_open(blob, &file, error)) return NULL;
    if (decode_either(blob->path, &file, mask, &image, error)) {
        picture = pack_picture(&image, mask, error);
        cai_image_free(&image);
    }
    cai_blob_close(blob, &file);
    return picture;
}

/* ---- parts ---- */

static const unsigned char *picture_element(const cai_picture *picture, int64_t c, int64_t y, int64_t x) {
    int64_t at = c * picture->channel + y * picture->row + x * picture->column;
    return picture->data + at * cai_type_bytes(picture->type);
}

/* Reads `count` levels of a channel's row: all at once where they lie together. */
static void read_levels(const cai_picture *picture, int64_t c, int64_t y, int64_t x, int64_t count,
                        float *out) {
    const unsigned char *from = picture_element(picture, c, y, x);
    const int64_t step = picture->column;
    if (picture->type == CAI_U8) {
        for (int64_t i = 0; i < count; i++) out[i] = levels[from[i * step]];
        return;
    }
    const cai_tensor row = {.type = picture->type, .count = count * step, .data = from};
    if (step == 1) cai_tensor_to_f32(&row, 0, count, out);
    else
        for (int64_t i = 0; i < count; i++) cai_tensor_to_f32(&row, i * step, 1, &out[i]);
    if (picture->type == CAI_U16)
        for (int64_t i = 0; i < count; i++) out[i] /= 65535.0f;
}

bool cai_picture_part(const cai_picture *picture, int64_t top, int64_t left, int64_t height, int64_t width,
                      int64_t channels, cai_image *image, cai_error *error) {
    if (!cai_image_new("a picture", picture->channels, height, width, image, error)) return false;
    for (int64_t c = 0; c < picture->channels; c++)
        for (int64_t y = 0; y < height; y++)
            read_levels(picture, c, top + y, left, width, image->pixels + (c * height + y) * width);
    if (cai_image_set_channels(image, channels, error)) return true;
    cai_image_free(image);
    return false;
}

int64_t cai_picture_number(const cai_picture *picture, int64_t y, int64_t x) {
    cai_tensor one = {.type = picture->type, .count = 1, .data = picture_element(picture, 0, y, x)};
    int64_t number;
    cai_tensor_to_i64(&one, 0, 1, &number);
    return number;
}
