/* Draws curves as text: a grid of letters with numbers at its edges. */
#include "draw/draw.h"
#include <math.h>
#include <string.h>

enum { PLOT_WIDTH = 72, PLOT_HEIGHT = 12, LABEL = 10 };

typedef struct PlotScale {
    double low, high; /* logarithms if the scale is logarithmic */
    bool logarithmic;
} PlotScale;

typedef struct Plot {
    PlotScale x, y;
    char grid[PLOT_HEIGHT][PLOT_WIDTH + 1];
} Plot;

/* ---- scales ---- */

static PlotScale scale_of_curves(const PlotCurve *curves, int count, int coordinate) {
    PlotScale scale = {INFINITY, -INFINITY, false};
    for (int i = 0; i < count; i++)
        for (int64_t k = 0; k < curves[i].count; k++) {
            double value = curves[i].points[2 * k + coordinate];
            if (!isfinite(value)) continue;
            scale.low = fmin(scale.low, value);
            scale.high = fmax(scale.high, value);
        }
    return scale;
}

/* Values over several orders of magnitude get a logarithmic scale. */
static PlotScale scale_of_values(const PlotCurve *curves, int count) {
    PlotScale scale = scale_of_curves(curves, count, 1);
    if (scale.low > 0 && scale.high / scale.low > 50)
        scale = (PlotScale){log10(scale.low), log10(scale.high), true};
    return scale;
}

static double value_of_place(const PlotScale *scale, double place) {
    double value = scale->low + place * (scale->high - scale->low);
    return scale->logarithmic ? pow(10, value) : value;
}

/* 0 .. places - 1 */
static int place_on_scale(const PlotScale *scale, double value, int places) {
    double at = scale->logarithmic ? log10(value) : value, size = scale->high - scale->low;
    return size > 0 ? (int)lround((at - scale->low) / size * (places - 1)) : places / 2;
}

/* ---- the grid ---- */

/* A column shows the mean of the curve's points in it. */
static void draw_plot_curve(Plot *plot, const PlotCurve *curve) {
    double sum[PLOT_WIDTH] = {0};
    int count[PLOT_WIDTH] = {0};
    for (int64_t k = 0; k < curve->count; k++) {
        const double *point = &curve->points[2 * k];
        if (!isfinite(point[1])) continue;
        int column = place_on_scale(&plot->x, point[0], PLOT_WIDTH);
        sum[column] += point[1];
        count[column]++;
    }
    for (int column = 0; column < PLOT_WIDTH; column++) {
        if (!count[column]) continue;
        int up = place_on_scale(&plot->y, sum[column] / count[column], PLOT_HEIGHT);
        plot->grid[PLOT_HEIGHT - 1 - up][column] = curve->mark;
    }
}

static void print_plot_row(const Plot *plot, int row, FILE *out) {
    char label[32] = "";
    bool labelled = row == 0 || row == PLOT_HEIGHT - 1 || row == PLOT_HEIGHT / 2;
    double place = 1 - (double)row / (PLOT_HEIGHT - 1);
    if (labelled) snprintf(label, sizeof label, "%.4g", value_of_place(&plot->y, place));
    int length = PLOT_WIDTH;
    while (length > 0 && plot->grid[row][length - 1] == ' ') length--;
    fprintf(out, "%*s |%.*s\n", LABEL, label, length, plot->grid[row]);
}

static void print_plot_steps(const Plot *plot, FILE *out) {
    char first[32], last[32];
    snprintf(first, sizeof first, "%.6g", plot->x.low);
    snprintf(last, sizeof last, "%.6g", plot->x.high);
    fprintf(out, "%*s  %s%*s\n", LABEL, "step", first, PLOT_WIDTH - (int)strlen(first), last);
}

void plot_print(const PlotCurve *curves, int count, FILE *out) {
    Plot plot = {scale_of_curves(curves, count, 0), scale_of_values(curves, count), {""}};
    if (!isfinite(plot.x.low) || !isfinite(plot.y.low)) return;
    for (int row = 0; row < PLOT_HEIGHT; row++) memset(plot.grid[row], ' ', PLOT_WIDTH);
    for (int i = 0; i < count; i++) draw_plot_curve(&plot, &curves[i]);
    for (int row = 0; row < PLOT_HEIGHT; row++) print_plot_row(&plot, row, out);
    print_plot_steps(&plot, out);
}
