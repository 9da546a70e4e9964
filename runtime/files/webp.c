/* WebP through libwebp. Written without loss, so that it holds what a PNG would. */
#include "files/files.h"
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/encode.h>

/* ---- reading ---- */

static bool fail_webp(const char *path, const char *what, cai_error *error) {
    return cai_fail(error, CAI_BAD_INPUT, "%s: broken WebP: %s", path, what);
}

/* A chunk is a name, a length, and data of an even number of bytes. */
static void read_webp_orientation(const unsigned char *bytes, size_t count, int *orientation) {
    for (size_t at = 12; at + 8 <= count;) {
        size_t length = cai_little_endian(bytes + at + 4, 4), left = count - at - 8;
        if (length > left) return;
        if (memcmp(bytes + at, "EXIF", 4) == 0) cai_read_exif(bytes + at + 8, length, orientation);
        at += 8 + length + (length & 1);
    }
}

static bool store_pixels(const char *path, const unsigned char *pixels, int64_t height, int64_t width,
                         cai_image *image, cai_error *error) {
    int64_t plane = height * width;
    if (!cai_image_new(path, 3, height, width, image, error)) return false;
    for (int64_t c = 0; c < image->channels; c++)
        for (int64_t i = 0; i < plane; i++) image->pixels[c * plane + i] = (float)pixels[3 * i + c] / 255.0f;
    return true;
}

bool cai_webp_decode(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                     int *orientation, cai_error *error) {
    WebPBitstreamFeatures features;
    if (cai_little_endian(bytes + 4, 4) > count - 8) return fail_webp(path, "the file is cut off", error);
    if (WebPGetFeatures(bytes, count, &features) != VP8_STATUS_OK)
        return fail_webp(path, "its header is damaged", error);
    if (features.has_animation)
        return cai_fail(error, CAI_BAD_INPUT, "%s: is an animation, and a picture is expected", path);
    if (features.width > CAI_MAX_PIXELS / features.height) /* which says that it is too large */
        return cai_image_new(path, 3, features.height, features.width, image, error);
    int width, height;
    unsigned char *pixels = WebPDecodeRGB(bytes, count, &width, &height);
    if (!pixels) return fail_webp(path, "its data is damaged", error);
    bool stored = store_pixels(path, pixels, height, width, image, error);
    WebPFree(pixels);
    if (stored) read_webp_orientation(bytes, count, orientation);
    return stored;
}

/* ---- writing ---- */

static int write_webp_bytes(const uint8_t *bytes, size_t count, const WebPPicture *picture) {
    return cai_sink_write(picture->custom_ptr, bytes, count);
}

/* Gray is coloured as its three channels are. */
static bool import_pixels(WebPPicture *picture, const unsigned char *pixels, int channels) {
    if (channels == 3) return WebPPictureImportRGB(picture, pixels, picture->width * 3);
    if (!WebPPictureAlloc(picture)) return false;
    for (int y = 0; y < picture->height; y++)
        for (int x = 0; x < picture->width; x++)
            picture->argb[y * picture->argb_stride + x] = 0xff000000u | *pixels++ * 0x010101u;
    return true;
}

static bool encode_webp(WebPPicture *picture, const unsigned char *pixels, int channels) {
    WebPConfig config;
    /* level 2 of 9: within some per cent of the smallest, at many times the speed */
    return WebPConfigInit(&config) && WebPConfigLosslessPreset(&config, 2) &&
           import_pixels(picture, pixels, channels) && WebPEncode(&config, picture);
}

bool cai_webp_write(cai_output *output, const unsigned char *pixels, int channels, int64_t height,
                    int64_t width, cai_error *error) {
    cai_sink sink = {.output = output, .error = error};
    WebPPicture picture;
    bool fits = height <= WEBP_MAX_DIMENSION && width <= WEBP_MAX_DIMENSION, written = false;
    if (fits && WebPPictureInit(&picture)) {
        picture.use_argb = 1;
        picture.height = (int)height;
        picture.width = (int)width;
        picture.writer = write_webp_bytes;
        picture.custom_ptr = &sink;
        written = encode_webp(&picture, pixels, channels);
        WebPPictureFree(&picture);
    }
    if (written || sink.failed) return written;
    cai_output_discard(output);
    return fits ? cai_fail_memory(error, (uint64_t)(height * width) * 16, "a WebP")
                : cai_fail(error, CAI_BAD_INPUT,
                           "WebP has %d pixels a side at most, and this picture is %lld x %lld",
                           WEBP_MAX_DIMENSION, (long long)width, (long long)height);
}
