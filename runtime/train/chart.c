/* Draws curves as SVG: panels, two in a row, with curves over steps. The bytes are a
 * function of the numbers alone. */
#include "train/train.h"
#include <math.h>
#include <string.h>

enum { MOST_POINTS = 2000 }; /* of a curve */
enum { ACROSS = 2, WIDTH = 480, HEIGHT = 280, LEFT = 62, RIGHT = 14, TOP = 34, BOTTOM = 30 };

static const char *const colours[] = {"#2563b0", "#d9730d", "#2e8b57", "#b03060", "#6a4fb3", "#7a6a00"};
enum { COLOURS = sizeof colours / sizeof *colours };

/* ---- scales ---- */

typedef struct Scale {
    double low, high; /* logarithms if the scale is logarithmic */
    bool logarithmic;
} Scale;

static double on_scale(const Scale *scale, double value) {
    double at = scale->logarithmic ? log10(value) : value;
    return (at - scale->low) / (scale->high - scale->low);
}

static void widen_scale(Scale *scale, double value) {
    if (!isfinite(value)) return;
    scale->low = fmin(scale->low, value);
    scale->high = fmax(scale->high, value);
}

static Scale scale_of_panel(const cai_panel *panel, int coordinate) {
    Scale scale = {INFINITY, -INFINITY, false};
    for (int i = 0; i < panel->count; i++)
        for (int64_t k = 0; k < panel->lines[i].count; k++)
            widen_scale(&scale, panel->lines[i].points[2 * k + coordinate]);
    if (scale.low > scale.high) return (Scale){0, 1, false};
    return scale;
}

/* Leaves some room above and below. Values over several orders of magnitude get a
 * logarithmic scale. */
static void finish_scale(Scale *scale) {
    scale->logarithmic = scale->low > 0 && scale->high / scale->low > 50;
    if (scale->logarithmic) *scale = (Scale){log10(scale->low), log10(scale->high), true};
    double room = 0.04 * (scale->high - scale->low);
    if (room <= 0) room = scale->low ? 0.1 * fabs(scale->low) : 0.5;
    scale->low -= room;
    scale->high += room;
}

/* The distance of marks: 1, 2 or 5 times a power of ten, so that a scale has about
 * five. */
static double step_of_scale(const Scale *scale) {
    double rough = (scale->high - scale->low) / 5, power = pow(10, floor(log10(rough))), part = rough / power;
    return power * (part > 5 ? 10 : part > 2 ? 5 : part > 1 ? 2 : 1);
}

/* ---- a panel ---- */

static double panel_x(double left, const Scale *x, double value) {
    return left + LEFT + on_scale(x, value) * (WIDTH - LEFT - RIGHT);
}

static double panel_y(double top, const Scale *y, double value) {
    return top + HEIGHT - BOTTOM - on_scale(y, value) * (HEIGHT - TOP - BOTTOM);
}

void cai_print_xml(const char *text, FILE *out) {
    for (; *text; text++) switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc(*text, out);
        }
}

static void print_y_mark(FILE *out, double left, double at, double value) {
    fprintf(out, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", left + LEFT, at, left + WIDTH - RIGHT);
    fprintf(out, "<text class=\"y\" x=\"%.1f\" y=\"%.1f\">%.6g</text>\n", left + LEFT - 6, at + 4, value);
}

static void print_y_axis(FILE *out, double left, double top, const Scale *y) {
    double each = y->logarithmic ? fmax(1, step_of_scale(y)) : step_of_scale(y);
    int marks = 0;
    for (double at = ceil(y->low / each); at * each <= y->high && marks < 20; at++, marks++) {
        double value = y->logarithmic ? pow(10, at * each) : at * each;
        print_y_mark(out, left, panel_y(top, y, value), value);
    }
    if (marks) return;
    double value = y->logarithmic ? pow(10, (y->low + y->high) / 2) : (y->low + y->high) / 2;
    print_y_mark(out, left, panel_y(top, y, value), value);
}

static void print_x_axis(FILE *out, double left, double top, const Scale *x) {
    double each = fmax(x->logarithmic ? 1e-9 : 1, step_of_scale(x));
    for (double at = ceil(x->low / each); at * each <= x->high; at++) {
        double value = x->logarithmic ? pow(10, at * each) : at * each;
        fprintf(out, "<text class=\"x\" x=\"%.1f\" y=\"%.1f\">%.6g</text>\n", panel_x(left, x, value),
                top + HEIGHT - 10, value);
    }
}

/* The mean of `count` points; not finite if one of them is not. */
static void mean_of_points(const double *points, int64_t count, double mean[2]) {
    mean[0] = mean[1] = 0;
    for (int64_t i = 0; i < count; i++) {
        mean[0] += points[2 * i] / (double)count;
        mean[1] += points[2 * i + 1] / (double)count;
    }
}

/* A value that is not finite leaves a gap. A single point is a dot. A line of more than
 * MOST_POINTS points is drawn as means of equally many. */
static void print_curve(FILE *out, double left, double top, const Scale *x, const Scale *y,
                        const cai_line *line, const char *colour) {
    const int64_t each = 1 + (line->count - 1) / MOST_POINTS;
    bool on = false;
    fprintf(out, "<path class=\"curve\" stroke=\"%s\" d=\"", colour);
    for (int64_t i = 0; i < line->count; i += each) {
        double point[2];
        mean_of_points(&line->points[2 * i], each < line->count - i ? each : line->count - i, point);
        bool drawn = isfinite(point[1]);
        if (drawn) {
            double across = panel_x(left, x, point[0]), down = panel_y(top, y, point[1]);
            fprintf(out, "%c%.1f %.1f%s", on ? 'L' : 'M', across, down, on ? "" : "h.1");
        }
        on = drawn;
    }
    fputs("\"/>\n", out);
}

static void print_legend(FILE *out, double left, double top, const cai_panel *panel) {
    fprintf(out, "<text class=\"title\" x=\"%.1f\" y=\"%.1f\">", left + LEFT, top + 20);
    cai_print_xml(panel->title, out);
    for (int i = 0; i < panel->count; i++) {
        if (!*panel->lines[i].label) continue;
        fprintf(out, " <tspan fill=\"%s\">", colours[i % COLOURS]);
        cai_print_xml(panel->lines[i].label, out);
        fputs("</tspan>", out);
    }
    fputs("</text>\n", out);
}

static void print_panel(FILE *out, double left, double top, const cai_panel *panel) {
    Scale x = scale_of_panel(panel, 0), y = scale_of_panel(panel, 1);
    finish_scale(&y);
    if (panel->logarithmic) x = (Scale){log10(x.low), log10(x.high), true};
    if (x.low == x.high) x.low -= 0.5, x.high += 0.5;
    print_legend(out, left, top, panel);
    print_y_axis(out, left, top, &y);
    print_x_axis(out, left, top, &x);
    for (int i = 0; i < panel->count; i++)
        print_curve(out, left, top, &x, &y, &panel->lines[i], colours[i % COLOURS]);
}

void cai_chart_print(const cai_panel *panels, int count, FILE *out) {
    int across = count < ACROSS ? count : ACROSS, rows = (count + ACROSS - 1) / ACROSS;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n",
            across * WIDTH, rows * HEIGHT, across * WIDTH, rows * HEIGHT);
    fputs("<style>text{font:12px sans-serif;fill:#555}.title{font-weight:bold;fill:#222}.y{text-anchor:end}"
          ".x{text-anchor:middle}.grid{stroke:#ddd}.curve{fill:none;stroke-width:1.5;stroke-linecap:round}"
          "</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
          out);
    for (int i = 0; i < count; i++)
        print_panel(out, i % ACROSS * WIDTH, (double)(i / ACROSS * HEIGHT), &panels[i]);
    fputs("</svg>\n", out);
}
