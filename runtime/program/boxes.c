/* Results `as boxes`: rows of (left, top, right, bottom, score, class) as boxes on the
 * user's picture, as a table, and as JSON. */
#include "program/main.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const cai_boxes cai_the_boxes = {cai_boxes_find, cai_boxes_free, cai_boxes_print, cai_boxes_write,
                                 cai_boxes_draw};

/* ---- finding ---- */

static double within_picture(double value, int64_t max) { return fmin(fmax(value, 0), (double)max); }

static bool make_box(const cai_port *port, const float *row, cai_placement place, int64_t height,
                     int64_t width, cai_box *box) {
    for (int i = 0; i < 6; i++) {
        if (isnan(row[i])) return false;
    }
    if (!(row[4] > 0) || row[4] < port->score || fabsf(row[5]) > 1e9f) return false;
    *box = (cai_box){.left = within_picture(place.left + place.across * row[0], width),
                     .top = within_picture(place.top + place.down * row[1], height),
                     .right = within_picture(place.left + place.across * row[2], width),
                     .bottom = within_picture(place.top + place.down * row[3], height),
                     .score = row[4],
                     .class = llroundf(row[5])};
    return box->left < box->right && box->top < box->bottom;
}

/* The better first; of equal ones the earlier, which is first in memory. */
static int compare_scores(const void *a, const void *b) {
    const cai_box *p = *(const cai_box *const *)a, *q = *(const cai_box *const *)b;
    if (p->score != q->score) return p->score > q->score ? -1 : 1;
    return (p > q) - (p < q);
}

static bool sort_found(cai_found *found, cai_error *error) {
    cai_box *sorted = cai_allocate((uint64_t)found->count * sizeof *sorted, "the boxes", error);
    const cai_box **order =
        sorted ? cai_allocate((uint64_t)found->count * sizeof *order, "the boxes", error) : NULL;
    if (!order) {
        free(sorted);
        return false;
    }
    for (int64_t i = 0; i < found->count; i++) order[i] = &found->boxes[i];
    qsort(order, (size_t)found->count, sizeof *order, compare_scores);
    for (int64_t i = 0; i < found->count; i++) sorted[i] = *order[i];
    free(order);
    free(found->boxes);
    found->boxes = sorted;
    return true;
}

bool cai_boxes_find(const cai_port *port, const float *rows, int64_t count, cai_placement place,
                    int64_t height, int64_t width, cai_found *found, cai_error *error) {
    *found = (cai_found){.height = height, .width = width};
    found->boxes = cai_allocate((uint64_t)count * sizeof *found->boxes, "the boxes", error);
    if (!found->boxes) return false;
    for (int64_t i = 0; i < count; i++) {
        found->count += make_box(port, rows + 6 * i, place, height, width, &found->boxes[found->count]);
    }
    if (sort_found(found, error)) return true;
    cai_boxes_free(found);
    return false;
}

void cai_boxes_free(cai_found *found) {
    free(found->boxes);
    *found = (cai_found){0};
}

/* ---- as text ---- */

void cai_boxes_print(const cai_port *port, const cai_found *found, FILE *out) {
    char label[32];
    if (found->count == 0) fprintf(out, "no boxes\n");
    else fprintf(out, " score     left      top    right   bottom  label\n");
    for (int64_t i = 0; i < found->count; i++) {
        const cai_box *box = &found->boxes[i];
        fprintf(out, "%6.3f %8.1f %8.1f %8.1f %8.1f  %s\n", box->score, box->left, box->top, box->right,
                box->bottom, cai_class_label(port, box->class, label, sizeof label));
    }
}

/* ---- as JSON ---- */

static void write_box(const cai_port *port, const cai_box *box, FILE *out) {
    char label[32];
    fprintf(out, "    {\"label\": ");
    cai_print_json_string(cai_class_label(port, box->class, label, sizeof label), out);
    fprintf(out, ", \"class\": %lld, \"score\": %.6g, \"box\": [%.2f, %.2f, %.2f, %.2f]}",
            (long long)box->class, box->score, box->left, box->top, box->right, box->bottom);
}

static void write_json(const cai_port *port, const cai_found *found, const char *const *names, int64_t count,
                       FILE *out) {
    fprintf(out, "[");
    for (int64_t i = 0; i < count; i++) {
        fprintf(out, "%s\n  {\"picture\": ", i ? "," : "");
        cai_print_json_string(names[i], out);
        fprintf(out, ", \"width\": %lld, \"height\": %lld, \"boxes\": [", (long long)found[i].width,
                (long long)found[i].height);
        for (int64_t k = 0; k < found[i].count; k++) {
            fprintf(out, "%s\n", k ? "," : "");
            write_box(port, &found[i].boxes[k], out);
        }
        fprintf(out, "%s]}", found[i].count ? "\n  " : "");
    }
    fprintf(out, "\n]\n");
}

bool cai_boxes_write(const char *path, const cai_port *port, const cai_found *found, const char *const *names,
                     int64_t count, cai_error *error) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return cai_fail_memory(error, 0, "the boxes as text");
    write_json(port, found, names, count, out);
    bool whole = !ferror(out);
    whole &= fclose(out) == 0;
    bool written =
        whole ? cai_file_write(path, text, size, error) : cai_fail_memory(error, size, "the boxes as text");
    free(text);
    return written;
}

/* ---- drawing ---- */

typedef struct Colour { float channels[3]; } Colour;

/* Hues a golden ratio apart, so that neighbouring classes differ. */
static Colour colour_of(int64_t class) {
    double turns = 0.08 + 0.6180339887 * (double)class, hue = 6 * (turns - floor(turns));
    const float up = (float)(hue - floor(hue)), down = 1 - up;
    const Colour colours[] = {{{1, up, 0}},   {{down, 1, 0}}, {{0, 1, up}},
                              {{0, down, 1}}, {{up, 0, 1}},   {{1, 0, down}}};
    return colours[(int)hue % 6];
}

static bool is_light(Colour c) {
    return 0.299f * c.channels[0] + 0.587f * c.channels[1] + 0.114f * c.channels[2] > 0.5f;
}

static int64_t larger_i64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller_i64(int64_t a, int64_t b) { return a < b ? a : b; }

/* Columns left <= x < right of rows top <= y < bottom, clipped to the picture. */
static void fill_rectangle(cai_image *image, int64_t left, int64_t top, int64_t right, int64_t bottom,
                           Colour colour) {
    for (int64_t c = 0; c < 3; c++) {
        for (int64_t y = larger_i64(top, 0); y < smaller_i64(bottom, image->height); y++) {
            float *row = image->pixels + (c * image->height + y) * image->width;
            for (int64_t x = larger_i64(left, 0); x < smaller_i64(right, image->width); x++)
                row[x] = colour.channels[c];
        }
    }
}

static void draw_box_frame(cai_image *image, const cai_box *box, int64_t thick, Colour colour) {
    int64_t left = (int64_t)box->left, top = (int64_t)box->top, right = (int64_t)ceil(box->right),
            bottom = (int64_t)ceil(box->bottom);
    fill_rectangle(image, left, top, right, smaller_i64(top + thick, bottom), colour);
    fill_rectangle(image, left, larger_i64(bottom - thick, top), right, bottom, colour);
    fill_rectangle(image, left, top, smaller_i64(left + thick, right), bottom, colour);
    fill_rectangle(image, larger_i64(right - thick, left), top, right, bottom, colour);
}

static void draw_text(cai_image *image, int64_t left, int64_t top, int64_t dot, const char *text,
                      Colour colour) {
    int64_t width = cai_text_width(text);
    for (int64_t y = 0; y < CAI_LETTER_HEIGHT; y++) {
        for (int64_t x = 0; x < width; x++) {
            if (cai_text_dot(text, x, y))
                fill_rectangle(image, left + x * dot, top + y * dot, left + (x + 1) * dot,
                               top + (y + 1) * dot, colour);
        }
    }
}

/* On a background of the class's colour, above the box or, where that is outside the
 * picture, inside it. */
static void draw_label(cai_image *image, const cai_port *port, const cai_box *box, int64_t dot,
                       Colour colour) {
    char name[32], text[200];
    snprintf(text, sizeof text, "%.180s %.2f", cai_class_label(port, box->class, name, sizeof name),
             box->score);
    int64_t width = (cai_text_width(text) + 2) * dot, height = (CAI_LETTER_HEIGHT + 2) * dot;
    int64_t left = larger_i64(smaller_i64((int64_t)box->left, image->width - width), 0);
    int64_t top = (int64_t)box->top >= height ? (int64_t)box->top - height : (int64_t)box->top;
    fill_rectangle(image, left, top, left + width, top + height, colour);
    Colour black = {{0, 0, 0}}, white = {{1, 1, 1}};
    draw_text(image, left + dot, top + dot, dot, text, is_light(colour) ? black : white);
}

bool cai_boxes_draw(cai_image *image, const cai_port *port, const cai_found *found, cai_error *error) {
    if (!cai_image_set_channels(image, 3, error)) return false;
    int64_t side = smaller_i64(image->height, image->width), thick = larger_i64(side / 150, 1),
            dot = larger_i64((side + 200) / 260, 1);
    for (int64_t i = found->count; i-- > 0;)
        draw_box_frame(image, &found->boxes[i], thick, colour_of(found->boxes[i].class));
    for (int64_t i = found->count; i-- > 0;)
        draw_label(image, port, &found->boxes[i], dot, colour_of(found->boxes[i].class));
    return true;
}
