/* Pictures as f32 planes: their formats, orientation, channels, and the conversion back
 * to 8 bits. */
#include "files/files.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const cai_pictures cai_the_pictures = {cai_image_decode, cai_image_set_channels, cai_image_fit,
                                       cai_image_write};

/* The codecs of formats that hold pictures. */
static const struct PictureCodec {
    cai_picture_decoder *decode;
    cai_picture_writer *write;
} codecs[CAI_FORMAT_COUNT] = {
#define PICTURE(name, ...) [CAI_FORMAT_##name] = {cai_##name##_decode, cai_##name##_write},
#include "files/formats.def"
};

bool cai_image_new(const char *path, int64_t channels, int64_t height, int64_t width, cai_image *image,
                   cai_error *error) {
    if (height < 1 || width < 1 || width > CAI_MAX_PIXELS / height) {
        return cai_fail(error, CAI_BAD_INPUT, "%s: is %lld x %lld: pictures may have %lld pixels at most",
                        path, (long long)width, (long long)height, (long long)CAI_MAX_PIXELS);
    }
    float *pixels = cai_allocate((uint64_t)(channels * height * width) * sizeof *pixels, path, error);
    *image = (cai_image){
        .channels = channels, .height = height, .width = width, .pixels = pixels, .place = {0, 0, 1, 1}};
    return pixels != NULL;
}

void cai_image_free(cai_image *image) {
    free(image->pixels);
    *image = (cai_image){0};
}

/* ---- orientation ---- */

/* EXIF is a TIFF: byte order, 42, the offset of a directory; a directory is a count and
 * entries of twelve bytes. */
void cai_read_exif(const unsigned char *tiff, size_t count, int *orientation) {
    if (count < 14 || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0)) return;
    uint64_t (*number)(const unsigned char *at, int width) =
        tiff[0] == 'M' ? cai_big_endian : cai_little_endian;
    size_t directory = number(tiff + 4, 4);
    if (directory > count - 2) return;
    uint64_t entries = number(tiff + directory, 2);
    for (size_t at = directory + 2; entries > 0 && at + 12 <= count; at += 12, entries--) {
        if (number(tiff + at, 2) != 0x112) continue;
        uint64_t found = number(tiff + at + 8, 2);
        if (found >= 1 && found <= 8) *orientation = (int)found;
        return;
    }
}

/* Orientations 5 to 8 exchange rows and columns of the result; then 3, 4, 6, 7 reverse
 * the rows of the source, and 2, 3, 7, 8 its columns. */
static bool orient_image(const char *path, cai_image *image, int orientation, cai_error *error) {
    if (orientation <= 1) return true;
    bool transpose = orientation >= 5,
         up = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    bool leftward = orientation == 2 || orientation == 3 || orientation >= 7;
    int64_t h = image->height, w = image->width;
    cai_image turned;
    if (!cai_image_new(path, image->channels, transpose ? w : h, transpose ? h : w, &turned, error))
        return false;
    for (int64_t c = 0; c < image->channels; c++) {
        for (int64_t y = 0; y < turned.height; y++) {
            float *to = turned.pixels + (c * turned.height + y) * turned.width;
            for (int64_t x = 0; x < turned.width; x++) {
                int64_t row = transpose ? x : y, column = transpose ? y : x;
                to[x] = image->pixels[(c * h + (up ? h - 1 - row : row)) * w +
                                      (leftward ? w - 1 - column : column)];
            }
        }
    }
    cai_image_free(image);
    *image = turned;
    return true;
}

/* ---- reading ---- */

bool cai_image_decode(const char *path, const void *bytes, size_t count, cai_image *image, cai_error *error) {
    int orientation = 1, format = cai_format_of_bytes(bytes, count, CAI_HOLDS_PICTURE);
    *image = (cai_image){0};
    if (count == 0) return cai_fail(error, CAI_BAD_INPUT, "%s: is empty", path);
    if (format == CAI_NO_FORMAT)
        return cai_fail(error, CAI_BAD_INPUT,
                        "%s: is not a %s (for other pictures: `convert %s picture.png`)", path,
                        cai_picture_formats().text, path);
    if (codecs[format].decode(path, bytes, count, image, &orientation, error) &&
        orient_image(path, image, orientation, error))
        return true;
    cai_image_free(image);
    return false;
}

bool cai_image_read(const char *path, cai_image *image, cai_error *error) {
    cai_file file;
    if (!cai_file_read(path, &file, error)) return false;
    bool decoded = cai_image_decode(strcmp(path, "-") == 0 ? "standard input" : path, file.data, file.count,
                                    image, error);
    cai_file_close(&file);
    return decoded;
}

bool cai_image_set_channels(cai_image *image, int64_t channels, cai_error *error) {
    if (channels == image->channels) return true;
    int64_t plane = image->height * image->width;
    if (channels == 1) {
        float *r = image->pixels, *g = r + plane, *b = g + plane;
        for (int64_t i = 0; i < plane; i++) r[i] = 0.299f * r[i] + 0.587f * g[i] + 0.114f * b[i];
        image->channels = 1;
        return true;
    }
    if (channels != 3 || image->channels != 1) {
        return cai_fail(error, CAI_BAD_INPUT, "a picture has 1 or 3 channels, and %lld are wanted",
                        (long long)channels);
    }
    float *pixels = cai_reallocate(image->pixels, (uint64_t)(3 * plane) * sizeof *pixels, "a picture", error);
    if (!pixels) return false;
    for (int64_t c = 1; c < 3; c++) memcpy(pixels + c * plane, pixels, (size_t)plane * sizeof *pixels);
    image->pixels = pixels;
    image->channels = 3;
    return true;
}

/* ---- writing ---- */

static unsigned char to_byte(float value) {
    if (!(value > 0)) return 0; /* NaN too */
    return value < 1 ? (unsigned char)lrintf(value * 255) : 255;
}

static unsigned char *to_bytes(const float *pixels, int64_t channels, int64_t plane, cai_error *error) {
    unsigned char *bytes = cai_allocate((uint64_t)(channels * plane), "a picture", error);
    if (!bytes) return NULL;
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t i = 0; i < plane; i++) bytes[i * channels + c] = to_byte(pixels[c * plane + i]);
    }
    return bytes;
}

bool cai_image_write(const char *path, const float *pixels, int64_t channels, int64_t height, int64_t width,
                     cai_error *error) {
    int format = cai_format_of_name(path, CAI_HOLDS_PICTURE);
    if (format == CAI_NO_FORMAT && cai_is_stream(path)) format = cai_format_first(CAI_HOLDS_PICTURE);
    if (format == CAI_NO_FORMAT) {
        return cai_fail(error, CAI_BAD_USAGE, "%s: pictures are written as %s: the name must end so", path,
                        cai_format_endings(CAI_HOLDS_PICTURE).text);
    }
    if (channels != 1 && channels != 3) {
        return cai_fail(error, CAI_BAD_INPUT,
                        "%s: a picture has 1 or 3 channels, and this has %lld: name a %s", path,
                        (long long)channels, cai_format_endings(CAI_HOLDS_NUMBERS).text);
    }
    unsigned char *bytes = to_bytes(pixels, channels, height * width, error);
    if (!bytes) return false;
    cai_output output;
    bool written = cai_output_open(path, &output, error) &&
                   codecs[format].write(&output, bytes, (int)channels, height, width, error) &&
                   cai_output_finish(&output, error);
    free(bytes);
    return written;
}
