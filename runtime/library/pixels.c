/* Pictures of a library's caller: bytes with interleaved channels, to and from planes of
 * f32 between 0 and 1. */
#include "cai.h"

/* Checks that everything is given and `bytes` is the size of the planes. */
static cai_status check_pixels(const cai_pixels *p, const float *planes, size_t bytes) {
    if (!p || !p->data || !planes) return CAI_BAD_USAGE;
    if (p->channels < 1 || p->pixel_bytes < p->channels || p->height < 1 || p->width < 1)
        return CAI_BAD_USAGE;
    int64_t count = p->channels;
    if (__builtin_mul_overflow(count, p->height, &count) || __builtin_mul_overflow(count, p->width, &count))
        return CAI_BAD_INPUT;
    return bytes % sizeof *planes == 0 && bytes / sizeof *planes == (size_t)count ? CAI_OK : CAI_BAD_INPUT;
}

static unsigned char *row_of_pixels(const cai_pixels *p, int64_t y, int channel) {
    return p->data + y * p->row_bytes + channel;
}

cai_status cai_model_from_pixels(const cai_pixels *p, float *planes, size_t bytes) {
    cai_status status = check_pixels(p, planes, bytes);
    if (status) return status;
    for (int c = 0; c < p->channels; c++) {
        for (int64_t y = 0; y < p->height; y++) {
            const unsigned char *row = row_of_pixels(p, y, c);
            for (int64_t x = 0; x < p->width; x++) *planes++ = (float)row[x * p->pixel_bytes] / 255;
        }
    }
    return CAI_OK;
}

/* To the nearest level, ties to even; NaN is 0. Added to 1.5 * 2^23, a small number keeps
 * no fraction. */
static unsigned char to_level(float value) {
    const float whole = 12582912;
    float scaled = value > 0 ? value * 255 : 0;
    float rounded = (scaled < 255 ? scaled : 255) + whole;
    return (unsigned char)(rounded - whole);
}

cai_status cai_model_to_pixels(const float *planes, size_t bytes, const cai_pixels *p) {
    cai_status status = check_pixels(p, planes, bytes);
    if (status) return status;
    for (int c = 0; c < p->channels; c++) {
        for (int64_t y = 0; y < p->height; y++) {
            unsigned char *row = row_of_pixels(p, y, c);
            for (int64_t x = 0; x < p->width; x++) row[x * p->pixel_bytes] = to_level(*planes++);
        }
    }
    return CAI_OK;
}
