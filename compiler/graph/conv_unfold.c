/* A convolution as products of matrices. A group's channels and the kernel's taps are the
 * rows of a matrix u, the places of y its columns:
 *
 *     u[c, k; p] = x[c, stride*p + dilation*k - before], 0 where there is no such place
 *     convolution                    y = w u
 *     convolution_backward_data      u = w^T y, whose elements are added to x
 *     convolution_backward_weights   w = y u^T
 *
 * At most MAX_UNFOLDED elements of u are in memory at a time: some of its rows and
 * columns. Where the kernel is a single tap that moves nothing, u is x itself. */
#include "graph/conv_nest.h"
#include <stdlib.h>

enum { MAX_UNFOLDED = 1 << 21, LEAST_COLUMNS = 64 };

static int64_t volume_of(const int64_t sizes[MAX_AXES]) { return sizes[0] * sizes[1] * sizes[2]; }

static bool is_pointwise_nest(const ConvNest *nest) {
    bool same = volume_of(nest->k) == 1;
    for (int i = 0; i < MAX_AXES; i++)
        same = same && nest->stride[i] == 1 && nest->before[i] == 0 && nest->x[i] == nest->y[i];
    return same;
}

typedef struct UnfoldedPart { /* of u */
    const ConvNest *nest;
    int64_t first_row, rows, first_column, columns;
    double *u; /* [rows, columns] */
} UnfoldedPart;

/* Moves elements between x, in steps of `stride`, and consecutive elements of u. */
typedef void Move(double *x, int64_t stride, double *u, int64_t count);

static void fill_unfolded(double *x, int64_t stride, double *u, int64_t count) {
    if (stride == 1) memcpy(u, x, sizeof *u * (size_t)count);
    else
        for (int64_t i = 0; i < count; i++) u[i] = x[i * stride];
}

static void add_back(double *x, int64_t stride, double *u, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i * stride] += u[i];
}

/* One row of u: a tap over the plane x. Moves the elements that are inside x, by rows of
 * y; the rest of u stays unchanged. */
static void walk_row(const UnfoldedPart *part, int64_t tap, double *x, double *u, Move *move) {
    const ConvNest *nest = part->nest;
    const int64_t *k = nest->k, taps[MAX_AXES] = {tap / (k[1] * k[2]), tap / k[2] % k[1], tap % k[2]};
    int64_t begin[MAX_AXES], end[MAX_AXES], offset[MAX_AXES];
    for (int i = 0; i < MAX_AXES; i++) {
        offset[i] = taps[i] * nest->dilation[i] - nest->before[i];
        conv_valid_range(nest->stride[i], offset[i], nest->x[i], nest->y[i], &begin[i], &end[i]);
    }
    int64_t last = part->first_column + part->columns, width = nest->y[2];
    for (int64_t line = part->first_column / width; line * width < last; line++) {
        int64_t d = line / nest->y[1], h = line % nest->y[1];
        if (d < begin[0] || d >= end[0] || h < begin[1] || h >= end[1]) continue;
        int64_t from = max_i64(begin[2], part->first_column - line * width),
                to = min_i64(end[2], last - line * width);
        if (from >= to) continue;
        int64_t at =
            ((d * nest->stride[0] + offset[0]) * nest->x[1] + h * nest->stride[1] + offset[1]) * nest->x[2];
        move(x + at + from * nest->stride[2] + offset[2], nest->stride[2],
             u + line * width + from - part->first_column, to - from);
    }
}

/* The loop over a part; an iteration is a plane of x, which no other iteration
 * touches. */
typedef struct UnfoldWalk {
    const UnfoldedPart *part;
    double *x;   /* the group's planes */
    bool clears; /* u before */
    Move *move;  /* or NULL */
} UnfoldWalk;

static void walk_planes(void *context, int64_t begin, int64_t end) {
    const UnfoldWalk *walk = context;
    const UnfoldedPart *part = walk->part;
    int64_t taps = volume_of(part->nest->k), plane = volume_of(part->nest->x), first = part->first_row / taps;
    int64_t from = max_i64(part->first_row, (first + begin) * taps);
    int64_t to = min_i64(part->first_row + part->rows, (first + end) * taps);
    for (int64_t row = from; row < to; row++) {
        double *u = part->u + (row - part->first_row) * part->columns;
        if (walk->clears) memset(u, 0, sizeof *u * (size_t)part->columns);
        if (walk->move) walk_row(part, row % taps, walk->x + row / taps * plane, u, walk->move);
    }
}

static void run_walk(UnfoldWalk walk) {
    int64_t taps = volume_of(walk.part->nest->k), first = walk.part->first_row;
    int64_t planes = (first + walk.part->rows - 1) / taps - first / taps + 1;
    parallel_for(planes, taps * walk.part->columns, walk_planes, &walk);
}

typedef struct UnfoldedGroup { /* of one image: the beginnings of its matrices */
    double *x, *y, *w;
} UnfoldedGroup;

/* The product with a part of u, whose rows are `stride` apart. */
static void multiply_unfolded(const UnfoldedPart *part, const UnfoldedGroup *g, double *u, int64_t stride,
                              RefProduct by) {
    const ConvNest *nest = part->nest;
    int64_t places = volume_of(nest->y), all_rows = nest->inputs * volume_of(nest->k),
            outputs = nest->outputs;
    double *w = g->w + part->first_row, *y = g->y + part->first_column;
    int64_t rows = part->rows, columns = part->columns;
    if (nest->op == OP_convolution)
        product_run((Product){by, outputs, columns, rows, {w, all_rows, 1}, {u, stride, 1}, y, places});
    else if (nest->op == OP_convolution_backward_data)
        product_run((Product){by, rows, columns, outputs, {w, 1, all_rows}, {y, places, 1}, u, stride});
    else product_run((Product){by, outputs, rows, columns, {y, places, 1}, {u, 1, stride}, w, all_rows});
}

static void run_part(const UnfoldedPart *part, const UnfoldedGroup *g, RefProduct product) {
    bool adds_back = part->nest->op == OP_convolution_backward_data;
    run_walk((UnfoldWalk){part, g->x, true, adds_back ? NULL : fill_unfolded});
    multiply_unfolded(part, g, part->u, part->columns, product);
    if (adds_back) run_walk((UnfoldWalk){part, g->x, false, add_back});
}

static void run_unfolded_group(const ConvNest *nest, const UnfoldedGroup *g, double *u, RefProduct product) {
    int64_t rows = nest->inputs * volume_of(nest->k), places = volume_of(nest->y);
    if (!u) {
        multiply_unfolded(&(UnfoldedPart){nest, 0, rows, 0, places, NULL}, g, g->x, places, product);
        return;
    }
    int64_t columns = min_i64(places, max_i64(LEAST_COLUMNS, MAX_UNFOLDED / max_i64(rows, 1))),
            some = MAX_UNFOLDED / max_i64(columns, 1);
    for (int64_t p = 0; p < places; p += columns)
        for (int64_t r = 0; r < rows; r += some) {
            UnfoldedPart part = {nest, r, min_i64(some, rows - r), p, min_i64(columns, places - p), u};
            run_part(&part, g, product);
        }
}

typedef struct Groups {
    const ConvNest *nest;
    RefProduct product;
} Groups;

/* An iteration is a group, of all images. */
static void run_unfolded_groups(void *context, int64_t begin, int64_t end) {
    const Groups *groups = context;
    const ConvNest *nest = groups->nest;
    int64_t x_group = nest->inputs * volume_of(nest->x), y_group = nest->outputs * volume_of(nest->y);
    int64_t rows = nest->inputs * volume_of(nest->k), w_group = nest->outputs * rows;
    size_t max = (size_t)min_i64(MAX_UNFOLDED, rows * volume_of(nest->y));
    double *u = is_pointwise_nest(nest) ? NULL : checked_realloc(NULL, sizeof *u * max);
    /* only one of the three is written: `to` */
    double *x = nest->op == OP_convolution_backward_data ? nest->to : (double *)nest->from_x;
    double *y = nest->op == OP_convolution ? nest->to : (double *)nest->from_y;
    double *w = nest->op == OP_convolution_backward_weights ? nest->to : (double *)nest->from_w;
    for (int64_t n = 0; n < nest->batch; n++)
        for (int64_t i = begin; i < end; i++) {
            int64_t group = n * nest->groups + i;
            UnfoldedGroup g = {x + group * x_group, y + group * y_group, w + i * w_group};
            run_unfolded_group(nest, &g, u, groups->product);
        }
    free(u);
}

void conv_by_products(const ConvNest *nest, RefProduct product) {
    parallel_for(nest->groups, conv_group_terms(nest), run_unfolded_groups, &(Groups){nest, product});
}
