/* The kernels of operators of order against the reference: whole numbers, on every
 * target, on one thread and on three. */
#include "backend_support.h"

static void compare_on_targets(void (*make)(TestGraph *t), double tolerance, const char *what) {
    for (int i = 0; i < target_count(); i++) {
        if (!can_run(target_at(i)->name)) continue;
        TestGraph t = test_graph(3);
        t.symbols[1] = 45;
        make(&t);
        for (int k = 0; k < t.inputs.count; k++)
            for (int64_t at = 0; at < t.inputs.items[k].count; at++)
                t.inputs.items[k].values[at].real = round(t.inputs.items[k].values[at].real);
        compare_with_reference(&t, target_at(i)->name, tolerance, what);
        arena_free(t.arena);
    }
}

/* Few places and many, along the last axis and another, of sizes that are known and not;
 * whole numbers have equals among them. */
static void make_top_k(TestGraph *t) {
    Node *x = new_input(t, -9, 9, SIZES(t->N, size(t, 70), t->H)),
         *whole = build_cast(t->graph, x, DTYPE_I32);
    Node *half = build_cast(t->graph, x, DTYPE_F16),
         *mapped = new_input(t, -3, 3, SIZES(t->N, size(t, 35), t->H, size(t, 5)));
    Node *mixed = build_unary(t->graph, OP_tanh, mapped);
    new_output(t, MAKE(t, top_k, &x, 1, DIMS(size(t, 3)), 1, true));
    new_output(t, MAKE(t, top_k, &x, 1, DIMS(size(t, 70)), 1, false));
    new_output(t, MAKE(t, top_k, &x, 1, DIMS(t->H), 2, true));
    new_output(t, MAKE(t, top_k, &whole, 1, DIMS(size(t, 40)), 1, true));
    new_output(t, MAKE(t, top_k, &half, 1, DIMS(size(t, 2)), 2, false));
    new_output(t, build_cast(t->graph, MAKE(t, top_k, &mixed, 1, DIMS(size(t, 5)), 3, true), DTYPE_F32));
}

/* Along the last axis, whose lines are added up within vectors, and along others. */
static void make_cumsum(TestGraph *t) {
    Node *x = new_input(t, -9, 9, SIZES(t->N, size(t, 7), t->H)), *whole = build_cast(t->graph, x, DTYPE_I32);
    Node *half = build_cast(t->graph, x, DTYPE_F16),
         *map = new_input(t, -9, 9, SIZES(t->N, size(t, 20), size(t, 3), size(t, 5)));
    for (int axis = 0; axis < 3; axis++) new_output(t, MAKE(t, cumsum, &x, 1, axis));
    new_output(t, MAKE(t, cumsum, &whole, 1, 2));
    new_output(t, MAKE(t, cumsum, &whole, 1, 1));
    new_output(t, MAKE(t, cumsum, &half, 1, 2));
    map = build_binary(t->graph, OP_max, map, build_scalar(t->graph, 0, DTYPE_F32));
    new_output(t, build_unary(t->graph, OP_neg, MAKE(t, cumsum, &map, 1, 1)));
    new_output(t, MAKE(t, cumsum, &map, 1, 3));
}

/* Boxes of whole numbers, many of one score, more than are kept and fewer, on maps whose
 * number of boxes is known and not. */
static void make_nms(TestGraph *t) {
    const double iou[] = {0.4, 0, 0.6}, least[] = {-20, 0, 5};
    const int64_t most[] = {40, 3, 17}, boxes[] = {200, 0, 33};
    for (int i = 0; i < COUNT_OF(most); i++) {
        Dim count = boxes[i] ? size(t, boxes[i]) : t->H;
        Node *corner = new_input(t, -30, 30, SIZES(t->N, count, size(t, 2))),
             *reach = new_input(t, 0, 25, SIZES(t->N, count, size(t, 2)));
        Node *ends[2] = {corner, build_binary(t->graph, OP_add, corner, reach)};
        Node *inputs[2] = {build_concat(t->graph, ends, 2, 2), new_input(t, -9, 9, SIZES(t->N, count))};
        new_output(t, MAKE(t, nms, inputs, 2, most[i], iou[i], least[i]));
    }
}

/* ---- NaN, infinities and zeros ----
 *
 * All that puts elements in order, of lines and maps in every layout, has one order: a
 * NaN is above all numbers, of equals (NaNs, both zeros) the first is the largest.
 * tests/numerics/ops/order.txt has what numpy and PyTorch say. */

/* Whole numbers of [-9, 9), some of them -0, as they are but for those at the ends. */
static Node *with_extremes(TestGraph *t, Node *x) {
    const double values[] = {NAN, INFINITY, -INFINITY, -INFINITY}, codes[] = {8, 7, -8, -9};
    Node *y = x;
    for (int i = 0; i < COUNT_OF(codes); i++)
        y = build_select(t->graph, binary(t, OP_eq, x, splat(t, codes[i])),
                         build_splat(t->graph, values[i], x->shape), y);
    return y;
}

/* Numbers that say which, since comparisons let anything pass where an infinity is
 * right. */
static void extremes_output(TestGraph *t, Node *y) {
    Node *inside = binary(t, OP_max, binary(t, OP_min, y, splat(t, 50)), splat(t, -50));
    new_output(t,
               build_select(t->graph, binary(t, OP_ne, y, y), build_splat(t->graph, 100, y->shape), inside));
}

static void order_along(TestGraph *t, Node *x, int64_t axis) {
    int64_t axes[] = {axis};
    Dim count = x->shape.dims[axis], few = size(t, 3);
    new_output(t, MAKE(t, argmax, &x, 1, axis));
    extremes_output(t, MAKE(t, reduce_max, &x, 1, {1, axes}));
    for (int largest = 0; largest < 2; largest++) {
        new_output(t, MAKE(t, top_k, &x, 1, {1, &few}, axis, largest));
        new_output(t, MAKE(t, top_k, &x, 1, {1, &count}, axis, largest));
    }
}

static void make_extreme_lines(TestGraph *t) {
    Node *x = with_extremes(t, new_input(t, -9, 9, SIZES(t->N, size(t, 70), t->H))),
         *half = build_cast(t->graph, x, DTYPE_F16);
    Node *y = with_extremes(t, new_input(t, -9, 9, SIZES(t->N, size(t, 70), t->H)));
    Node *one = with_extremes(t, new_input(t, -9, 9, SIZES(size(t, 20000))));
    for (int axis = 1; axis < 3; axis++) {
        order_along(t, x, axis);
        new_output(t, MAKE(t, argmax, &half, 1, axis));
    }
    order_along(t, one, 0);
    extremes_output(t, binary(t, OP_max, x, y));
    extremes_output(t, binary(t, OP_min, x, y));
    extremes_output(t, binary(t, OP_max, x, splat(t, 0)));
    const Op comparisons[] = {OP_eq, OP_ne, OP_lt, OP_le};
    for (int i = 0; i < COUNT_OF(comparisons); i++) new_output(t, binary(t, comparisons[i], x, y));
}

/* Windows side by side, and such that overlap and hang over. */
static void pools_of(TestGraph *t, Node *x, int channels, Dim height) {
    Node *values = new_input(t, -9, 9, SIZES(t->N, size(t, channels), height, size(t, 21)));
    const IntList kernels[] = {INTS(2, 2), INTS(3, 3)}, strides[] = {INTS(2, 2), INTS(2, 1)},
                  before[] = {INTS(0, 0), INTS(1, 1)}, one = INTS(1, 1);
    for (int i = 0; i < COUNT_OF(kernels); i++) {
        Dim down = dim_floor_div(t->graph->dims, height, 2), across = size(t, i ? 21 : 10);
        Node *y = MAKE(t, pool_max, &x, 1, kernels[i], strides[i], one, before[i], DIMS(down, across));
        Node *dy = build_slice(t->graph, values, (Dim[]){size(t, 0), size(t, 0), size(t, 0), size(t, 0)},
                               y->shape.dims, NULL);
        extremes_output(t, y);
        new_output(t, MAKE(t, max_pool_gather, ((Node *[]){x, values}), 2, kernels[i], strides[i], one,
                           before[i], DIMS(down, across)));
        new_output(t,
                   MAKE(t, max_pool_scatter, ((Node *[]){x, dy}), 2, kernels[i], strides[i], one, before[i]));
    }
}

/* Behind a convolution, in whose kernels extremes are put in: blocks of channels, one not
 * whole, and planes; of a free size too. */
static void make_extreme_maps(TestGraph *t) {
    const int channels[] = {19, 32, 2};
    for (int i = 0; i < COUNT_OF(channels); i++) {
        Dim count = size(t, channels[i]), one = size(t, 1), height = i == 1 ? t->H : size(t, 22);
        Node *x = new_input(t, -5, 5, SIZES(t->N, count, height, size(t, 21))),
             *w = new_parameter(t, -1, 1, SIZES(count, count, one, one));
        Node *y = MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(0, 0),
                       DIMS(height, size(t, 21)), 1);
        y = with_extremes(t, y);
        for (int axis = 1; axis < (channels[i] > 2 ? 4 : 1); axis++) order_along(t, y, axis);
        pools_of(t, y, channels[i], height);
    }
}

/* A score of NaN is none, since it is not above the threshold; an infinite one is the
 * best. A box with a NaN overlaps none. */
static void make_extreme_boxes(TestGraph *t) {
    Node *corner = new_input(t, -30, 30, SIZES(t->N, t->H, size(t, 2))),
         *reach = new_input(t, 0, 25, SIZES(t->N, t->H, size(t, 2)));
    Node *hole = build_select(t->graph, binary(t, OP_eq, corner, splat(t, 12)),
                              build_splat(t->graph, NAN, corner->shape), corner);
    Node *ends[2] = {hole, binary(t, OP_add, corner, reach)};
    Node *inputs[2] = {build_concat(t->graph, ends, 2, 2),
                       with_extremes(t, new_input(t, -9, 9, SIZES(t->N, t->H)))};
    new_output(t, MAKE(t, nms, inputs, 2, 40, 0.4, -5));
}

TEST(NaN_infinities_and_zeros) {
    compare_on_targets(make_extreme_lines, 0, "extremes of lines");
    compare_on_targets(make_extreme_maps, 0, "extremes of maps");
    compare_on_targets(make_extreme_boxes, 0, "extremes of scores");
}

TEST(nms) { compare_on_targets(make_nms, 0, "nms"); }
TEST(cumsum) { compare_on_targets(make_cumsum, 0, "cumsum"); }
TEST(top_k) { compare_on_targets(make_top_k, 0, "top_k"); }
