/* Operators that put elements in an order. */
#include "graph/ops.h"
#include <math.h>
#include <stdlib.h>

/* ---- shapes ---- */

static bool check_axis(Graph *g, Op op, Shape x, int64_t axis, ShapeError *error) {
    if (axis >= 0 && axis < x.rank) return true;
    return shape_error(g, error, 0, -1, "%s along axis %lld of a tensor of %d axes, %s", op_info[op].name, (long long)axis, x.rank,
                       shape_string(g->arena, x));
}

bool shape_top_k(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape, ShapeError *error) {
    (void)count;
    const top_k_attributes *top = attributes;
    Shape x = inputs[0]->shape;
    if (x.type == DTYPE_BOOL || x.type == DTYPE_I64)
        return shape_error(g, error, 0, -1, "top_k takes floats, i8 or i32, not %s", shape_string(g->arena, x));
    if (!check_axis(g, op, x, top->axis, error)) return false;
    if (top->k.count != 1) return shape_error(g, error, -1, -1, "top_k needs one number of places, not %d", top->k.count);
    Dim k = top->k.items[0], size = x.dims[top->axis];
    if (!graph_require(g, CHECK_AT_LEAST, k, dim_const(g->dims, 1), error, "top_k of %s places", size_text(g, k))) return false;
    if (!graph_require(g, CHECK_AT_LEAST, size, k, error, "top_k of %s places along axis %lld, which has size %s", size_text(g, k),
                       (long long)top->axis, size_text(g, size))) {
        error->input = 0;
        error->axis = (int)top->axis;
        return false;
    }
    Dim *dims = copy_dims(g, x);
    dims[top->axis] = k;
    *shape = (Shape){DTYPE_I32, x.rank, dims};
    return true;
}

bool shape_cumsum(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape, ShapeError *error) {
    (void)count;
    *shape = inputs[0]->shape;
    if (shape->type == DTYPE_BOOL) return shape_error(g, error, 0, -1, "cumsum takes numbers, not bool");
    return check_axis(g, op, *shape, ((const cumsum_attributes *)attributes)->axis, error);
}

/* ---- gradients ---- */

/* What comes behind an element has it in its sum: the sums from the end. */
Node *grad_cumsum(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    int64_t axis = ATTRIBUTES(node, cumsum)->axis;
    flip_attributes flip = {{1, &axis}};
    Node *back = graph_make(g, OP_flip, &dy, 1, &flip), *sums = graph_make(g, OP_cumsum, &back, 1, node->attributes);
    return graph_make(g, OP_flip, &sums, 1, &flip);
}

/* ---- reference ---- */

/* A line of a tensor: all along one axis, at one place on each other. */
typedef struct Line {
    int64_t size, inner; /* elements, and how far apart they lie */
} Line;

static Line line_along(const RefShape *shape, int64_t axis) {
    Line line = {shape->dims[axis], 1};
    for (int i = (int)axis + 1; i < shape->rank; i++) line.inner *= shape->dims[i];
    return line;
}

static int64_t line_begin(Line line, int64_t number) { return number / line.inner * line.size * line.inner + number % line.inner; }

typedef struct Candidate {
    double value; /* turned so that the smallest comes first */
    int64_t place;
} Candidate;

static int by_value_and_place(const void *left, const void *right) {
    const Candidate *a = left, *b = right;
    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    return a->place < b->place ? -1 : 1;
}

/* NaN as a number that is larger than infinity: the others move down a little, which changes no order. */
static double rank_of(double value, bool largest) {
    double rank = isnan(value) ? INFINITY : isinf(value) && value > 0 ? 1.7e308 : value;
    return largest ? -rank : rank;
}

void ref_top_k(const RefCall *call) {
    const top_k_attributes *top = ATTRIBUTES(call->node, top_k);
    Line from = line_along(&call->input_shapes[0], top->axis), to = line_along(&call->shape, top->axis);
    Arena *arena = arena_new();
    Candidate *line = NEW_ARRAY(arena, Candidate, from.size);
    for (int64_t number = 0; number < call->input_shapes[0].count / from.size; number++) {
        const double *x = call->inputs[0] + line_begin(from, number);
        double *y = call->out + line_begin(to, number);
        for (int64_t i = 0; i < from.size; i++) line[i] = (Candidate){rank_of(x[i * from.inner], top->largest), i};
        qsort(line, (size_t)from.size, sizeof *line, by_value_and_place);
        for (int64_t i = 0; i < to.size; i++) y[i * to.inner] = (double)line[i].place;
    }
    arena_free(arena);
}

void ref_cumsum(const RefCall *call) {
    Line line = line_along(&call->shape, ATTRIBUTES(call->node, cumsum)->axis);
    for (int64_t number = 0; number < call->shape.count / line.size; number++) {
        int64_t begin = line_begin(line, number);
        double sum = 0;
        for (int64_t i = 0; i < line.size; i++) call->out[begin + i * line.inner] = sum += call->inputs[0][begin + i * line.inner];
    }
}
