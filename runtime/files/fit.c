/* Fits a picture to the sizes that a model takes: exact, crop, stretch, pad,
 * letterbox. */
#include "files/files.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- resizing: a separable triangle filter, as antialiased bilinear is in PIL and in PyTorch ---- */

/* of one output row or column: inputs first .. first + count, weights that add up to 1 */
typedef struct FilterTaps {
    int64_t first, count;
    float *weights;
} FilterTaps;

typedef struct Filter {
    FilterTaps *taps;
    float *weights;
} Filter;

static void filter_free(Filter *filter) {
    free(filter->taps);
    free(filter->weights);
}

/* Where the outputs lie along one side: `count` of them over `size` inputs from `begin`,
 * of which there are `from` in all. */
typedef struct Span {
    double begin, size;
    int64_t count, from;
} Span;

static void set_taps(FilterTaps *taps, const Span *span, int64_t index, double scale, double support) {
    double centre = span->begin + ((double)index + 0.5) * scale, sum = 0;
    int64_t first = (int64_t)fmax(centre - support + 0.5, 0),
            end = (int64_t)fmin(centre + support + 0.5, (double)span->from);
    taps->first = first;
    taps->count = end - first;
    for (int64_t i = first; i < end; i++) {
        double distance = fabs((double)i - centre + 0.5) / support;
        double weight = distance < 1 ? 1 - distance : 0;
        taps->weights[i - first] = (float)weight;
        sum += weight;
    }
    for (int64_t i = 0; i < taps->count; i++) taps->weights[i] = (float)(taps->weights[i] / sum);
}

static bool filter_new(Filter *filter, Span span, cai_error *error) {
    /* in input samples, either side */
    double scale = span.size / (double)span.count, support = scale > 1 ? scale : 1;
    int64_t to = span.count, max = (int64_t)ceil(support) * 2 + 1;
    filter->taps = cai_allocate((uint64_t)to * sizeof *filter->taps, "resizing a picture", error);
    filter->weights =
        filter->taps ? cai_allocate((uint64_t)to * (uint64_t)max * sizeof(float), "resizing a picture", error)
                     : NULL;
    if (!filter->weights) {
        free(filter->taps);
        return false;
    }
    for (int64_t i = 0; i < to; i++) {
        filter->taps[i].weights = filter->weights + i * max;
        set_taps(&filter->taps[i], &span, i, scale, support);
    }
    return true;
}

static void resize_row(const Filter *filter, const float *in, float *out, int64_t width) {
    for (int64_t x = 0; x < width; x++) {
        const FilterTaps *taps = &filter->taps[x];
        float sum = 0;
        for (int64_t i = 0; i < taps->count; i++) sum += taps->weights[i] * in[taps->first + i];
        out[x] = sum;
    }
}

static void mix_rows(const FilterTaps *taps, const float *in, float *out, int64_t width) {
    memset(out, 0, (size_t)width * sizeof *out);
    for (int64_t i = 0; i < taps->count; i++) {
        const float *row = in + (taps->first + i) * width;
        for (int64_t x = 0; x < width; x++) out[x] += taps->weights[i] * row[x];
    }
}

/* Rows first, then columns. */
static bool resize_by_filters(const cai_image *image, const Filter *across, const Filter *down,
                              cai_image *out, cai_error *error) {
    float *narrow =
        cai_allocate((uint64_t)(image->height * out->width) * sizeof *narrow, "resizing a picture", error);
    if (!narrow) return false;
    for (int64_t c = 0; c < image->channels; c++) {
        for (int64_t y = 0; y < image->height; y++) {
            resize_row(across, image->pixels + (c * image->height + y) * image->width,
                       narrow + y * out->width, out->width);
        }
        for (int64_t y = 0; y < out->height; y++) {
            mix_rows(&down->taps[y], narrow, out->pixels + (c * out->height + y) * out->width, out->width);
        }
    }
    free(narrow);
    return true;
}

/* A picture of other sizes with room for its pixels; no path, since messages of this file
 * get their prefix from the caller. */
static bool new_like(const cai_image *image, int64_t height, int64_t width, cai_image *out,
                     cai_error *error) {
    if (height > CAI_MAX_PIXELS / width) {
        return cai_fail(error, CAI_BAD_INPUT,
                        "would become %lld x %lld: pictures may have %lld pixels at most", (long long)width,
                        (long long)height, (long long)CAI_MAX_PIXELS);
    }
    *out = (cai_image){.channels = image->channels, .height = height, .width = width, .place = image->place};
    out->pixels =
        cai_allocate((uint64_t)(image->channels * height * width) * sizeof(float), "a picture", error);
    return out->pixels != NULL;
}

static void replace_image(cai_image *image, cai_image by) {
    free(image->pixels);
    *image = by;
}

static bool resize_by_spans(cai_image *image, Span across, Span down, cai_error *error) {
    cai_image out;
    Filter columns, rows;
    if (!new_like(image, down.count, across.count, &out, error)) return false;
    bool done = false;
    if (filter_new(&columns, across, error)) {
        if (filter_new(&rows, down, error)) {
            done = resize_by_filters(image, &columns, &rows, &out, error);
            filter_free(&rows);
        }
        filter_free(&columns);
    }
    out.place.left += image->place.across * across.begin;
    out.place.top += image->place.down * down.begin;
    out.place.across *= across.size / (double)across.count;
    out.place.down *= down.size / (double)down.count;
    if (done) replace_image(image, out);
    else free(out.pixels);
    return done;
}

bool cai_image_resize(cai_image *image, int64_t height, int64_t width, cai_error *error) {
    if (height == image->height && width == image->width) return true;
    return resize_by_spans(image, (Span){0, (double)image->width, width, image->width},
                           (Span){0, (double)image->height, height, image->height}, error);
}

bool cai_image_take(cai_image *image, cai_window window, int64_t height, int64_t width, cai_error *error) {
    return resize_by_spans(image, (Span){window.left, window.width, width, image->width},
                           (Span){window.top, window.height, height, image->height}, error);
}

/* ---- cropping and padding ---- */

bool cai_image_crop(cai_image *image, int64_t top, int64_t left, int64_t height, int64_t width,
                    cai_error *error) {
    cai_image out;
    if (height == image->height && width == image->width) return true;
    if (!new_like(image, height, width, &out, error)) return false;
    for (int64_t c = 0; c < image->channels; c++) {
        for (int64_t y = 0; y < height; y++) {
            const float *from = image->pixels + (c * image->height + top + y) * image->width + left;
            memcpy(out.pixels + (c * height + y) * width, from, (size_t)width * sizeof *from);
        }
    }
    out.place.left += image->place.across * (double)left;
    out.place.top += image->place.down * (double)top;
    replace_image(image, out);
    return true;
}

/* Index i of a row of `size` that continues to the right as in a mirror: 0 1 2 3 2 1 0 1
 * 2 ... */
static int64_t mirrored_index(int64_t i, int64_t size) {
    if (size == 1) return 0;
    i %= 2 * (size - 1);
    return i < size ? i : 2 * (size - 1) - i;
}

bool cai_image_pad(cai_image *image, int64_t height, int64_t width, cai_error *error) {
    cai_image out;
    if (height == image->height && width == image->width) return true;
    if (!new_like(image, height, width, &out, error)) return false;
    for (int64_t c = 0; c < image->channels; c++) {
        for (int64_t y = 0; y < height; y++) {
            const float *from =
                image->pixels + (c * image->height + mirrored_index(y, image->height)) * image->width;
            float *to = out.pixels + (c * height + y) * width;
            memcpy(to, from, (size_t)image->width * sizeof *from);
            for (int64_t x = image->width; x < width; x++) to[x] = from[mirrored_index(x, image->width)];
        }
    }
    replace_image(image, out);
    return true;
}

/* ---- fitting ---- */

static bool fits_extent(int64_t size, cai_extent extent) {
    return extent.fixed > 0 ? size == extent.fixed : size % extent.multiple == 0;
}
static int64_t rounded_up_extent(int64_t size, cai_extent e) {
    return e.fixed > 0 ? e.fixed : (size + e.multiple - 1) / e.multiple * e.multiple;
}
static int64_t rounded_down_extent(int64_t size, cai_extent e) {
    return e.fixed > 0 ? e.fixed : size / e.multiple * e.multiple;
}

static int64_t nearest_extent(int64_t size, cai_extent e) {
    int64_t below = rounded_down_extent(size, e), above = rounded_up_extent(size, e);
    return e.fixed == 0 && (below == 0 || above - size < size - below) ? above : below;
}

static void describe_side(const char *side, int64_t size, cai_extent extent, char *out, size_t room) {
    size_t used = strlen(out);
    if (fits_extent(size, extent)) return;
    snprintf(out + used, room - used, "%s its %s must be %s%lld%s", used ? "," : ":", side,
             extent.fixed > 0 ? "" : "a multiple of ",
             (long long)(extent.fixed > 0 ? extent.fixed : extent.multiple),
             extent.by_others ? " as that of the first picture" : "");
}

static bool fail_exact(const cai_image *image, cai_extent height, cai_extent width, cai_error *error) {
    char wanted[200] = "";
    describe_side("width", image->width, width, wanted, sizeof wanted);
    describe_side("height", image->height, height, wanted, sizeof wanted);
    const char *modes =
        height.fixed > 0 && width.fixed > 0 ? "\"crop\", \"stretch\", \"letterbox\" or \"pad\"" : "\"pad\"";
    bool by_others = height.by_others || width.by_others;
    return cai_fail(error, CAI_BAD_INPUT,
                    "the picture is %lld wide and %lld high%s\n"
                    "  help: bring it to size before (`convert in.png -resize %lldx%lld! out.png`)%s%s%s",
                    (long long)image->width, (long long)image->height, wanted,
                    (long long)nearest_extent(image->width, width),
                    (long long)nearest_extent(image->height, height),
                    by_others ? "" : ", or have the model do it: fit = ", by_others ? "" : modes,
                    by_others ? "" : " in its image[...]");
}

/* Half the difference, rounded to nearest, ties to even, as by Python's round() in
 * torchvision's CenterCrop. */
static int64_t centre_offset(int64_t size, int64_t part) {
    int64_t twice = size - part;
    return twice / 2 + (twice % 2 && twice / 2 % 2);
}

/* Where sizes are fixed: so that the shorter side (in proportion) is size * 256/224.
 * Where they are free: in the picture's scale. */
static bool crop_to_extents(cai_image *image, cai_extent height, cai_extent width, cai_error *error) {
    double by_height = (double)height.fixed / (double)image->height,
           by_width = (double)width.fixed / (double)image->width;
    int64_t new_height = image->height, new_width = image->width;
    if (by_height > 0 && by_height >= by_width) {
        new_height = llround((double)height.fixed * 256 / 224);
        new_width = image->width * new_height / image->height;
    } else if (by_width > 0) {
        new_width = llround((double)width.fixed * 256 / 224);
        new_height = image->height * new_width / image->width;
    }
    int64_t h = rounded_down_extent(new_height, height), w = rounded_down_extent(new_width, width);
    if (h == 0 || w == 0) {
        return cai_fail(
            error, CAI_BAD_INPUT,
            "the picture is %lld wide and %lld high: too small to crop to a multiple of %lld by %lld",
            (long long)image->width, (long long)image->height, (long long)width.multiple,
            (long long)height.multiple);
    }
    return cai_image_resize(image, new_height, new_width, error) &&
           cai_image_crop(image, centre_offset(new_height, h), centre_offset(new_width, w), h, w, error);
}

static bool pad_to_extents(cai_image *image, cai_extent height, cai_extent width, cai_error *error) {
    int64_t h = rounded_up_extent(image->height, height), w = rounded_up_extent(image->width, width);
    if (h < image->height || w < image->width) {
        return cai_fail(
            error, CAI_BAD_INPUT,
            "the picture is %lld wide and %lld high: larger than the %lld by %lld that padding could bring it to",
            (long long)image->width, (long long)image->height, (long long)w, (long long)h);
    }
    return cai_image_pad(image, h, w, error);
}

/* ---- letterboxes ---- */

bool cai_image_box(cai_image *image, int64_t height, int64_t width, cai_error *error) {
    const float gray = 114.0f / 255; /* as detectors are trained with */
    cai_image out;
    if (height == image->height && width == image->width) return true;
    if (!new_like(image, height, width, &out, error)) return false;
    const int64_t top = (height - image->height) / 2, left = (width - image->width) / 2;
    for (int64_t i = 0; i < image->channels * height * width; i++) out.pixels[i] = gray;
    for (int64_t c = 0; c < image->channels; c++)
        for (int64_t y = 0; y < image->height; y++)
            memcpy(out.pixels + (c * height + top + y) * width + left,
                   image->pixels + (c * image->height + y) * image->width,
                   (size_t)image->width * sizeof *out.pixels);
    out.place.left -= image->place.across * (double)left;
    out.place.top -= image->place.down * (double)top;
    replace_image(image, out);
    return true;
}

/* Ties go to even, as by Python's round() in Ultralytics' LetterBox. */
static int64_t scaled_side(int64_t size, double scale, cai_extent extent) {
    int64_t scaled = llrint((double)size * scale);
    if (extent.fixed > 0 && scaled > extent.fixed) scaled = extent.fixed;
    return scaled > 0 ? scaled : 1;
}

/* As large as it fits into the sides that are fixed; where none is, as it is. */
static bool letterbox_to_extents(cai_image *image, cai_extent height, cai_extent width, cai_error *error) {
    double by_height = (double)height.fixed / (double)image->height,
           by_width = (double)width.fixed / (double)image->width;
    double scale =
        height.fixed > 0 && width.fixed > 0 ? fmin(by_height, by_width) : fmax(by_height, by_width);
    if (scale <= 0) scale = 1;
    int64_t h = scaled_side(image->height, scale, height), w = scaled_side(image->width, scale, width);
    return cai_image_resize(image, h, w, error) &&
           cai_image_box(image, rounded_up_extent(h, height), rounded_up_extent(w, width), error);
}

bool cai_image_fit(cai_image *image, int fit, cai_extent height, cai_extent width, cai_error *error) {
    switch (fit) {
    case CAI_FIT_CROP: return crop_to_extents(image, height, width, error);
    case CAI_FIT_STRETCH:
        return cai_image_resize(image, nearest_extent(image->height, height),
                                nearest_extent(image->width, width), error);
    case CAI_FIT_PAD: return pad_to_extents(image, height, width, error);
    case CAI_FIT_LETTERBOX: return letterbox_to_extents(image, height, width, error);
    default:
        return (fits_extent(image->height, height) && fits_extent(image->width, width)) ||
               fail_exact(image, height, width, error);
    }
}
