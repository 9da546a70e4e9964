/* Which part of a picture a sample gets. Windows are in pixels of the leading picture;
 * other pictures of the sample are cropped at the same place, in proportion to their
 * sizes. */
#include "data/sources.h"
#include <math.h>

/* ---- random_crop: a window with the size of the result, in the picture scaled by a
 * random factor ---- */

typedef struct Range {
    double low, high;
} Range;

static Range scale_range(const cai_field *field, double low, double high) {
    bool given = field->scale[1] > 0;
    return given ? (Range){field->scale[0], field->scale[1]} : (Range){low, high};
}

static double between_bounds(Range range, double u) { return range.low + (range.high - range.low) * u; }

/* Scales a picture that is smaller than the window until the window fits. */
static double scale_to_fit(const cai_picture *picture, int64_t height, int64_t width, double scale) {
    return fmax(scale,
                fmax((double)height / (double)picture->height, (double)width / (double)picture->width));
}

/* Where a window of `part` of `size` pixels begins: at a whole pixel of the scaled
 * picture. */
static double begin_of(double size, int64_t part, double scale, double u) {
    double places = floor(size * scale - (double)part + 1e-6);
    return fmin(floor(u * (places + 1)), places) / scale;
}

static cai_window crop_window(const cai_picture *picture, int64_t height, int64_t width, double scale,
                              double u, double v) {
    return (cai_window){.left = begin_of((double)picture->width, width, scale, u),
                        .top = begin_of((double)picture->height, height, scale, v),
                        .width = (double)width / scale,
                        .height = (double)height / scale};
}

static cai_window drawn_crop(const cai_field *field, const cai_picture *picture, int64_t height,
                             int64_t width, uint64_t key) {
    double scale = between_bounds(scale_range(field, 1, 1), cai_data_draw(key, 0));
    return crop_window(picture, height, width, scale_to_fit(picture, height, width, scale),
                       cai_data_draw(key, 1), cai_data_draw(key, 2));
}

/* ---- random_resized: a window with a random share of the area and a random shape
 * ---- */

static cai_window whole_picture(const cai_picture *picture) {
    return (cai_window){0, 0, (double)picture->width, (double)picture->height};
}

#define TRIES 10

/* Width over height, from 3/4 to 4/3: (7 + r) / (7 - r), r from -1 to 1. Its logarithm is
 * distributed almost evenly. exp is avoided since its last bits depend on the machine. */
static double shape_of(double u) {
    double r = 2 * u - 1;
    return (7 + r) / (7 - r);
}

/* The largest window in the middle with an allowed shape. */
static cai_window middle_of_shape(const cai_picture *picture) {
    double height = (double)picture->height, width = (double)picture->width;
    cai_window window = {0, 0, fmin(width, floor(height * 4 / 3 + 0.5)),
                         fmin(height, floor(width * 4 / 3 + 0.5))};
    window.left = floor((width - window.width) / 2);
    window.top = floor((height - window.height) / 2);
    return window;
}

static cai_window drawn_share(const cai_field *field, const cai_picture *picture, uint64_t key) {
    double height = (double)picture->height, width = (double)picture->width;
    Range range = scale_range(field, 0.08, 1);
    for (int i = 0; i < TRIES; i++) {
        double area = height * width * between_bounds(range, cai_data_draw(key, 4 * i));
        double shape = shape_of(cai_data_draw(key, 4 * i + 1));
        double w = floor(sqrt(area * shape) + 0.5), h = floor(sqrt(area / shape) + 0.5);
        if (w < 1 || h < 1 || w > width || h > height) continue;
        return (cai_window){floor(cai_data_draw(key, 4 * i + 2) * (width - w + 1)),
                            floor(cai_data_draw(key, 4 * i + 3) * (height - h + 1)), w, h};
    }
    return middle_of_shape(picture);
}

/* ---- random_box_crop, after Liu et al. 2016: the whole picture, or a window that
 * overlaps a box enough ---- */

static double overlap_of_box(const cai_box *box, const cai_window *window, double across, double down) {
    double left = box->sides[0] * across, top = box->sides[1] * down;
    double right = box->sides[2] * across, bottom = box->sides[3] * down;
    double w = fmin(right, window->left + window->width) - fmax(left, window->left);
    double h = fmin(bottom, window->top + window->height) - fmax(top, window->top);
    if (w <= 0 || h <= 0) return 0;
    return w * h / ((right - left) * (bottom - top) + window->width * window->height - w * h);
}

static bool holds_centre(const cai_box *box, const cai_window *window, double across, double down) {
    double x = ((double)box->sides[0] + box->sides[2]) / 2 * across - window->left;
    double y = ((double)box->sides[1] + box->sides[3]) / 2 * down - window->top;
    return x > 0 && x < window->width && y > 0 && y < window->height;
}

static bool is_good(const cai_boxes *boxes, const cai_window *window, double least, double across,
                    double down) {
    bool overlaps = false, holds = false;
    for (int64_t i = 0; i < boxes->count; i++) {
        overlaps |= overlap_of_box(&boxes->items[i], window, across, down) >= least;
        holds |= holds_centre(&boxes->items[i], window, across, down);
    }
    return overlaps && holds;
}

/* random numbers of a round: one for the least overlap, four for each try */
enum { ROUNDS = 20, ROUND = 4 * 51 };

/* Draws a window of 0.3 to 1 of each side; false if it is more than twice as long as
 * wide, or the other way round. */
static bool draw_box_window(const cai_picture *picture, uint64_t key, int draw, cai_window *window) {
    double height = (double)picture->height, width = (double)picture->width;
    double w = floor(between_bounds((Range){0.3, 1}, cai_data_draw(key, draw)) * width);
    double h = floor(between_bounds((Range){0.3, 1}, cai_data_draw(key, draw + 1)) * height);
    *window = (cai_window){floor(cai_data_draw(key, draw + 2) * (width - w + 1)),
                           floor(cai_data_draw(key, draw + 3) * (height - h + 1)), w, h};
    return w >= 1 && h >= 1 && w <= 2 * h && h <= 2 * w;
}

/* Each round draws a least overlap, then tries fifty windows. It ends with a good window,
 * or with the whole picture if the least overlap says so. */
static cai_window drawn_box_window(const cai_picture *picture, const cai_boxes *boxes, uint64_t key) {
    static const double least[] = {1, 0, 0.1, 0.3, 0.5, 0.7, 0.9};
    double across = boxes && boxes->shares ? (double)picture->width : 1;
    double down = boxes && boxes->shares ? (double)picture->height : 1;
    for (int round = 0; boxes && boxes->count && round < ROUNDS; round++) {
        double wanted = least[(int)(7 * cai_data_draw(key, round * ROUND))];
        cai_window window;
        if (wanted == 1) break;
        for (int draw = round * ROUND + 4; draw < (round + 1) * ROUND; draw += 4)
            if (draw_box_window(picture, key, draw, &window) && is_good(boxes, &window, wanted, across, down))
                return window;
    }
    return whole_picture(picture);
}

/* ---- all fits ---- */

static cai_view view_on(const cai_picture *picture, cai_window window) {
    return (cai_view){window, (double)picture->height, (double)picture->width};
}

cai_view cai_view_drawn(const cai_field *field, const cai_picture *picture, int64_t height, int64_t width,
                        const cai_boxes *boxes, uint64_t key) {
    if (field->fit == CAI_TAKE_RANDOM_CROP)
        return view_on(picture, drawn_crop(field, picture, height, width, key));
    if (field->fit == CAI_TAKE_RANDOM_RESIZED) return view_on(picture, drawn_share(field, picture, key));
    return view_on(picture, drawn_box_window(picture, boxes, key));
}

cai_view cai_view_middle(const cai_field *field, const cai_picture *picture, int64_t height, int64_t width) {
    if (field->fit != CAI_TAKE_RANDOM_CROP) return view_on(picture, whole_picture(picture));
    return view_on(picture,
                   crop_window(picture, height, width, scale_to_fit(picture, height, width, 1), 0.5, 0.5));
}

cai_window cai_view_on(const cai_view *view, int64_t height, int64_t width) {
    double across = (double)width / view->width, down = (double)height / view->height;
    return (cai_window){view->window.left * across, view->window.top * down, view->window.width * across,
                        view->window.height * down};
}
