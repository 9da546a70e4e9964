/* The chart of Canziani et al. 2016 ("An Analysis of Deep Neural Network Models for
 * Practical Applications", figure 2): accuracy over operations, a network a circle whose
 * area is its number of parameters. The axis of operations is logarithmic, since today's
 * networks differ by two powers of ten. Drawn by cairo, on white, so that it reads the
 * same on paper and on a dark screen. */
#include "draw/draw.h"
#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <math.h>

enum {
    WIDTH = 900,
    HEIGHT = 620,
    LEFT = 76,
    RIGHT = 24,
    TOP = 24,
    BOTTOM = 64,
    PLACES = 48,
    LABEL_PAD = 3,
    ROUNDS = 4
};

typedef struct Rect { double x, y, width, height; } Rect;

typedef struct Chart {
    cairo_t *cairo;
    const ChartPoint *points;
    int count;
    double x_low, x_high, y_low, y_high; /* of the axes: log10 of operations, and the accuracy */
    Vec(Rect) taken;                     /* by labels and circles */
    Arena *arena;
} Chart;

/* ---- from figures to places ---- */

static double x_of(const Chart *c, double operations) {
    return LEFT + (log10(operations) - c->x_low) / (c->x_high - c->x_low) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const Chart *c, double value) {
    return HEIGHT - BOTTOM - (value - c->y_low) / (c->y_high - c->y_low) * (HEIGHT - TOP - BOTTOM);
}

/* 100 M parameters have a radius of 30. */
static double radius_of(double parameters) { return fmax(2.5, 30 * sqrt(parameters / 100e6)); }

static void fit_axes(Chart *c) {
    c->x_low = c->y_low = INFINITY;
    c->x_high = c->y_high = -INFINITY;
    for (int i = 0; i < c->count; i++) {
        c->x_low = fmin(c->x_low, log10(c->points[i].operations));
        c->x_high = fmax(c->x_high, log10(c->points[i].operations));
        c->y_low = fmin(c->y_low, c->points[i].value);
        c->y_high = fmax(c->y_high, c->points[i].value);
    }
    double room = fmax(0.12 * (c->y_high - c->y_low), 1e-3 * fmax(1, fabs(c->y_high)));
    c->x_low -= 0.2, c->x_high += 0.25;
    c->y_low -= room, c->y_high += room;
}

/* ---- axes ---- */

static void set_grey(const Chart *c, double level) { cairo_set_source_rgb(c->cairo, level, level, level); }

static double text_width(const Chart *c, const char *text) {
    cairo_text_extents_t extents;
    cairo_text_extents(c->cairo, text, &extents);
    return extents.x_advance;
}

static void write_text(const Chart *c, double x, double y, const char *text) {
    cairo_move_to(c->cairo, x, y);
    cairo_show_text(c->cairo, text);
    cairo_new_path(c->cairo); /* the end of the text is a point of the next path else */
}

static void draw_line(const Chart *c, double x0, double y0, double x1, double y1) {
    cairo_move_to(c->cairo, x0, y0);
    cairo_line_to(c->cairo, x1, y1);
    cairo_stroke(c->cairo);
}

/* 1, 2 and 5 times each power of ten. */
static void draw_operations_axis(const Chart *c, const char *title) {
    static const int steps[] = {1, 2, 5};
    for (int power = (int)floor(c->x_low); power <= c->x_high; power++) {
        for (int i = 0; i < COUNT_OF(steps); i++) {
            double operations = steps[i] * pow(10, power);
            if (log10(operations) < c->x_low || log10(operations) > c->x_high) continue;
            char text[32];
            snprintf(text, sizeof text, operations >= 1e9 ? "%.4g G" : "%.4g M",
                     operations / (operations >= 1e9 ? 1e9 : 1e6));
            set_grey(c, 0.9);
            draw_line(c, x_of(c, operations), TOP, x_of(c, operations), HEIGHT - BOTTOM);
            set_grey(c, 0.25);
            write_text(c, x_of(c, operations) - text_width(c, text) / 2, HEIGHT - BOTTOM + 18, text);
        }
    }
    write_text(c, LEFT + (WIDTH - LEFT - RIGHT - text_width(c, title)) / 2, HEIGHT - 16, title);
}

static double round_step(double least) {
    double power = pow(10, floor(log10(least)));
    return least / power <= 1   ? power
           : least / power <= 2 ? 2 * power
           : least / power <= 5 ? 5 * power
                                : 10 * power;
}

static void draw_value_axis(const Chart *c, const char *title) {
    double step = round_step((c->y_high - c->y_low) / 8);
    for (double value = ceil(c->y_low / step) * step; value <= c->y_high; value += step) {
        char text[32];
        snprintf(text, sizeof text, "%.4g", fabs(value) < step / 2 ? 0 : value);
        set_grey(c, 0.9);
        draw_line(c, LEFT, y_of(c, value), WIDTH - RIGHT, y_of(c, value));
        set_grey(c, 0.25);
        write_text(c, LEFT - 8 - text_width(c, text), y_of(c, value) + 4, text);
    }
    cairo_save(c->cairo);
    cairo_translate(c->cairo, 20, TOP + (HEIGHT - TOP - BOTTOM + text_width(c, title)) / 2);
    cairo_rotate(c->cairo, -acos(-1) / 2);
    write_text(c, 0, 0, title);
    cairo_restore(c->cairo);
}

/* ---- circles ---- */

/* Hues a golden ratio apart, so that neighbours in the list differ however many there
 * are; every other one is darker. */
static void set_colour(const Chart *c, int group, double alpha) {
    double turns = 0.58 + 0.6180339887 * group, hue = 6 * (turns - floor(turns)),
           strong = group % 2 ? 0.6 : 0.8;
    double rgb[3];
    for (int i = 0; i < 3; i++) { /* each channel is full for a third of the circle around its own hue */
        double away = fabs(fmod(hue + 6 - 2 * i, 6));
        away = fmin(away, 6 - away);
        rgb[i] = strong * (0.1 + 0.9 * fmin(fmax(2 - away, 0), 1));
    }
    cairo_set_source_rgba(c->cairo, rgb[0], rgb[1], rgb[2], alpha);
}

static void draw_circle(Chart *c, double x, double y, double radius, int group) {
    cairo_arc(c->cairo, x, y, radius, 0, 2 * acos(-1));
    set_colour(c, group, 0.35);
    cairo_fill_preserve(c->cairo);
    set_colour(c, group, 1);
    cairo_stroke(c->cairo);
    cairo_arc(c->cairo, x, y, 1.5, 0, 2 * acos(-1));
    cairo_fill(c->cairo);
}

/* Lower right, where a cheap and accurate network would not be. */
static void draw_legend(Chart *c) {
    static const double sizes[] = {5e6, 25e6, 125e6};
    double x = WIDTH - RIGHT - 200, y = HEIGHT - BOTTOM - 62;
    set_grey(c, 0.25);
    write_text(c, x, y - 40, "parameters");
    for (int i = 0; i < COUNT_OF(sizes); i++) {
        char text[16];
        snprintf(text, sizeof text, "%.0f M", sizes[i] / 1e6);
        cairo_arc(c->cairo, x + 24 + 64 * i, y, radius_of(sizes[i]), 0, 2 * acos(-1));
        set_grey(c, 0.45);
        cairo_stroke(c->cairo);
        write_text(c, x + 24 + 64 * i - text_width(c, text) / 2, HEIGHT - BOTTOM - 10, text);
    }
    vec_push(c->arena, &c->taken, (Rect){x - 8, y - 54, 208, 116});
}

/* ---- labels: the nearest free place around the circle ---- */

static double overlap_of_rects(Rect a, Rect b) {
    double width = fmin(a.x + a.width, b.x + b.width) - fmax(a.x, b.x),
           height = fmin(a.y + a.height, b.y + b.height) - fmax(a.y, b.y);
    return width > 0 && height > 0 ? width * height : 0;
}

typedef struct ChartLine { double x0, y0, x1, y1; } ChartLine;

/* The line from the edge of the circle to the label. */
static ChartLine leader_line(const Chart *c, const ChartPoint *point, Rect place) {
    double x = x_of(c, point->operations), y = y_of(c, point->value), radius = radius_of(point->parameters);
    double to_x = fmin(fmax(x, place.x), place.x + place.width),
           to_y = fmin(fmax(y, place.y), place.y + place.height);
    double part = fmin(1, radius / fmax(hypot(to_x - x, to_y - y), 1e-9));
    return (ChartLine){x + (to_x - x) * part, y + (to_y - y) * part, to_x, to_y};
}

/* At how many of a few points the line crosses something. */
static int count_crossings(const Chart *c, ChartLine line, int own_circle) {
    int count = 0;
    for (int step = 1; step < 8; step++) {
        Rect spot = {line.x0 + (line.x1 - line.x0) * step / 8, line.y0 + (line.y1 - line.y0) * step / 8, 1,
                     1};
        for (int i = 0; i < c->taken.count; i++)
            count += i != own_circle && overlap_of_rects(spot, c->taken.items[i]) > 0;
    }
    return count;
}

/* How bad a place is: how much it covers, how much of it is outside the chart, and how
 * far away it is. */
static double badness_of_place(const Chart *c, Rect place, double distance) {
    double sum = distance;
    for (int i = 0; i < c->taken.count; i++) sum += 10 * overlap_of_rects(place, c->taken.items[i]);
    Rect inside = {LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM};
    return sum + 100 * (place.width * place.height - overlap_of_rects(place, inside));
}

static Rect find_label_place(const Chart *c, int index) {
    const ChartPoint *point = &c->points[index];
    const double width = text_width(c, point->name) + 2 * LABEL_PAD, height = 13;
    double x = x_of(c, point->operations), y = y_of(c, point->value), radius = radius_of(point->parameters);
    Rect best = {0};
    double least = INFINITY;
    for (int ring = 0; ring < 12; ring++) {
        for (int i = 0; i < PLACES; i++) {
            double angle = 2 * acos(-1) * i / PLACES, reach = radius + 3 + 9 * ring;
            double middle_x = x + cos(angle) * (reach + width / 2),
                   middle_y = y + sin(angle) * (reach + height / 2);
            Rect place = {middle_x - width / 2, middle_y - height / 2, width, height};
            double bad = badness_of_place(c, place, 6 * ring + (fabs(cos(angle)) > 0.95 ? 0 : 1));
            /* the legend stands first */
            if (bad < least) bad += 4 * count_crossings(c, leader_line(c, point, place), 1 + index);
            if (bad < least) least = bad, best = place;
        }
    }
    return best;
}

/* Places the labels one after the other, then each once more, given the places of the
 * others. */
static void place_labels(Chart *c, int labels) {
    for (int i = 0; i < c->count; i++) vec_push(c->arena, &c->taken, (Rect){0});
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < c->count; i++) {
            c->taken.items[labels + i] = (Rect){0};
            c->taken.items[labels + i] = find_label_place(c, i);
        }
    }
}

static void draw_leader(Chart *c, const ChartPoint *point, Rect place) {
    ChartLine line = leader_line(c, point, place);
    set_colour(c, point->group, 0.8);
    if (hypot(line.x1 - line.x0, line.y1 - line.y0) > 8) draw_line(c, line.x0, line.y0, line.x1, line.y1);
}

static void draw_labels(Chart *c) {
    int labels = c->taken.count;
    place_labels(c, labels);
    for (int i = 0; i < c->count; i++) draw_leader(c, &c->points[i], c->taken.items[labels + i]);
    set_grey(c, 0.1);
    for (int i = 0; i < c->count; i++) {
        Rect place = c->taken.items[labels + i];
        write_text(c, place.x + LABEL_PAD, place.y + place.height - 3, c->points[i].name);
    }
}

static void draw_whole_chart(Chart *c, const ChartAxes *axes) {
    cairo_select_font_face(c->cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c->cairo, 12);
    cairo_set_line_width(c->cairo, 1);
    set_grey(c, 1);
    cairo_paint(c->cairo);
    fit_axes(c);
    draw_operations_axis(c, axes->across);
    draw_value_axis(c, axes->up);
    draw_legend(c);
    for (int i = 0; i < c->count; i++) {
        double x = x_of(c, c->points[i].operations), y = y_of(c, c->points[i].value),
               radius = radius_of(c->points[i].parameters);
        draw_circle(c, x, y, radius, c->points[i].group);
        vec_push(c->arena, &c->taken, (Rect){x - 0.8 * radius, y - 0.8 * radius, 1.6 * radius, 1.6 * radius});
    }
    draw_labels(c);
}

bool draw_chart(Arena *arena, const ChartPoint *points, int count, const ChartAxes *axes, const char *format,
                const char *path, const char **error) {
    cairo_surface_t *surface = strcmp(format, "svg") == 0 ? cairo_svg_surface_create(path, WIDTH, HEIGHT)
                               : strcmp(format, "pdf") == 0
                                   ? cairo_pdf_surface_create(path, WIDTH, HEIGHT)
                                   : cairo_image_surface_create(CAIRO_FORMAT_RGB24, 2 * WIDTH, 2 * HEIGHT);
    Chart chart = {.cairo = cairo_create(surface), .points = points, .count = count, .arena = arena};
    if (strcmp(format, "png") == 0) cairo_scale(chart.cairo, 2, 2);
    draw_whole_chart(&chart, axes);
    cairo_destroy(chart.cairo);
    cairo_status_t status =
        strcmp(format, "png") == 0 ? cairo_surface_write_to_png(surface, path) : CAIRO_STATUS_SUCCESS;
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    *error = arena_printf(arena, "%s", cairo_status_to_string(status));
    return status == CAIRO_STATUS_SUCCESS;
}
