/* Operators that put elements in an order. */
#include "graph/ops.h"
#include <math.h>
#include <stdlib.h>

/* ---- shapes ---- */

bool shape_top_k(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                 ShapeError *error) {
    (void)count;
    const top_k_attributes *top = attributes;
    Shape x = inputs[0]->shape;
    if (x.type == DTYPE_BOOL || x.type == DTYPE_I64)
        return shape_error(g, error, 0, -1, "top_k takes floats and ints of up to 32 bits, not %s",
                           shape_string(g->arena, x));
    if (!check_axis(g, op, x, top->axis, error)) return false;
    if (top->k.count != 1)
        return shape_error(g, error, -1, -1, "top_k needs one number of places, not %d", top->k.count);
    Dim k = top->k.items[0], size = x.dims[top->axis];
    if (!graph_require(g, CHECK_AT_LEAST, k, dim_const(g->dims, 1), error, "top_k of %s places",
                       size_text(g, k)))
        return false;
    if (!graph_require(g, CHECK_AT_LEAST, size, k, error,
                       "top_k of %s places along axis %lld, which has size %s", size_text(g, k),
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

bool shape_cumsum(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                  ShapeError *error) {
    (void)count;
    *shape = inputs[0]->shape;
    if (shape->type == DTYPE_BOOL) return shape_error(g, error, 0, -1, "cumsum takes numbers, not bool");
    return check_axis(g, op, *shape, ((const cumsum_attributes *)attributes)->axis, error);
}

bool shape_nms(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
               ShapeError *error) {
    (void)op, (void)count;
    const nms_attributes *nms = attributes;
    Shape boxes = inputs[0]->shape, scores = inputs[1]->shape;
    if (!dtype_is_float(boxes.type) || boxes.rank != 3 || boxes.dims[2] != dim_const(g->dims, 4))
        return shape_error(g, error, 0, -1,
                           "nms takes boxes f32[N, M, 4] as left, top, right, bottom, not %s",
                           shape_string(g->arena, boxes));
    if (!dtype_is_float(scores.type) || scores.rank != 2 || scores.dims[0] != boxes.dims[0] ||
        scores.dims[1] != boxes.dims[1])
        return shape_error(g, error, 1, -1, "nms takes a score for each box, f32[%s, %s], not %s",
                           size_text(g, boxes.dims[0]), size_text(g, boxes.dims[1]),
                           shape_string(g->arena, scores));
    if (nms->most < 1 || nms->most > 1 << 20)
        return shape_error(g, error, -1, -1, "nms keeps 1 to %d boxes, not %lld", 1 << 20,
                           (long long)nms->most);
    if (!(nms->iou >= 0 && nms->iou <= 1))
        return shape_error(g, error, -1, -1, "boxes overlap by 0 to 1; nms with iou = %g", nms->iou);
    Dim *dims = copy_dims(g, scores);
    dims[1] = dim_const(g->dims, nms->most);
    *shape = (Shape){DTYPE_I32, 2, dims};
    return true;
}

/* ---- gradients ---- */

/* All later sums contain an element, so its gradient is the sum from the end. */
Node *grad_cumsum(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    int64_t axis = ATTRIBUTES(node, cumsum)->axis;
    flip_attributes flip = {{1, &axis}};
    Node *back = graph_make(g, OP_flip, &dy, 1, &flip),
         *sums = graph_make(g, OP_cumsum, &back, 1, node->attributes);
    return graph_make(g, OP_flip, &sums, 1, &flip);
}

/* ---- reference ---- */

bool ref_above(Number a, Number b, bool real) {
    return real ? a.real > b.real || (isnan(a.real) && !isnan(b.real)) : a.whole > b.whole;
}

RefLine ref_line_along(const RefShape *shape, int64_t axis) {
    RefLine line = {shape->dims[axis], 1};
    for (int i = (int)axis + 1; i < shape->rank; i++) line.inner *= shape->dims[i];
    return line;
}

int64_t ref_line_begin(RefLine line, int64_t number) {
    return number / line.inner * line.size * line.inner + number % line.inner;
}

typedef struct Candidate {
    Number value; /* a real number, whatever the type */
    int64_t place;
} Candidate;

/* Equal elements keep their order, in ascending and in descending sorts. */
static int candidates_in_order(const Candidate *a, const Candidate *b, bool a_first, bool b_first) {
    if (a_first != b_first) return a_first ? -1 : 1;
    return a->place < b->place ? -1 : 1;
}

static int compare_rising(const void *left, const void *right) {
    const Candidate *a = left, *b = right;
    return candidates_in_order(a, b, ref_above(b->value, a->value, true),
                               ref_above(a->value, b->value, true));
}

static int compare_falling(const void *left, const void *right) {
    const Candidate *a = left, *b = right;
    return candidates_in_order(a, b, ref_above(a->value, b->value, true),
                               ref_above(b->value, a->value, true));
}

void ref_top_k(const RefCall *call) {
    const top_k_attributes *top = ATTRIBUTES(call->node, top_k);
    RefLine from = ref_line_along(&call->input_shapes[0], top->axis),
            to = ref_line_along(&call->shape, top->axis);
    DType type = call->input_shapes[0].type; /* no i64: each is a double */
    Arena *arena = arena_new();
    Candidate *line = NEW_ARRAY(arena, Candidate, from.size);
    for (int64_t number = 0; number < call->input_shapes[0].count / from.size; number++) {
        const Number *x = call->inputs[0] + ref_line_begin(from, number);
        Number *y = call->out + ref_line_begin(to, number);
        for (int64_t i = 0; i < from.size; i++)
            line[i] = (Candidate){{.real = number_value(x[i * from.inner], type)}, i};
        qsort(line, (size_t)from.size, sizeof *line, top->largest ? compare_falling : compare_rising);
        for (int64_t i = 0; i < to.size; i++) y[i * to.inner].whole = line[i].place;
    }
    arena_free(arena);
}

void ref_cumsum(const RefCall *call) {
    RefLine line = ref_line_along(&call->shape, ATTRIBUTES(call->node, cumsum)->axis);
    bool real = dtype_is_float(call->shape.type);
    for (int64_t number = 0; number < call->shape.count / line.size; number++) {
        const Number *x = call->inputs[0] + ref_line_begin(line, number);
        Number *y = call->out + ref_line_begin(line, number), sum = {0};
        for (int64_t i = 0; i < line.size; i++)
            y[i * line.inner] = sum = number_sum(sum, x[i * line.inner], real);
    }
}

static double overlap_of_boxes(const double *a, const double *b) {
    double width = fmax(fmin(a[2], b[2]) - fmax(a[0], b[0]), 0),
           height = fmax(fmin(a[3], b[3]) - fmax(a[1], b[1]), 0);
    double both = width * height, area_a = (a[2] - a[0]) * (a[3] - a[1]),
           area_b = (b[2] - b[0]) * (b[3] - b[1]);
    return both / (area_a + area_b - both);
}

/* One picture: keeps boxes from the candidates, which are in order of their scores. */
static void keep_boxes(const nms_attributes *nms, const double *boxes, const Candidate *candidates,
                       int64_t count, Number *kept) {
    int64_t kept_count = 0;
    for (int64_t i = 0; i < count && kept_count < nms->most; i++) {
        bool alone = true;
        for (int64_t k = 0; k < kept_count && alone; k++)
            alone =
                !(overlap_of_boxes(boxes + 4 * candidates[i].place, boxes + 4 * kept[k].whole) > nms->iou);
        if (alone) kept[kept_count++].whole = candidates[i].place;
    }
    for (int64_t k = kept_count; k < nms->most; k++) kept[k].whole = -1;
}

void ref_nms(const RefCall *call) {
    const nms_attributes *nms = ATTRIBUTES(call->node, nms);
    int64_t pictures = call->input_shapes[1].dims[0], boxes = call->input_shapes[1].dims[1];
    Arena *arena = arena_new();
    Candidate *candidates = NEW_ARRAY(arena, Candidate, boxes);
    for (int64_t n = 0; n < pictures; n++) {
        const double *scores = &call->inputs[1]->real + n * boxes;
        int64_t count = 0;
        for (int64_t i = 0; i < boxes; i++)
            if (scores[i] > nms->score) candidates[count++] = (Candidate){{.real = scores[i]}, i};
        qsort(candidates, (size_t)count, sizeof *candidates, compare_falling);
        keep_boxes(nms, &call->inputs[0]->real + n * boxes * 4, candidates, count, call->out + n * nms->most);
    }
    arena_free(arena);
}
