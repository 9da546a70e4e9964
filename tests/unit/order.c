/* The kernels of operators of order against the reference: whole numbers, on both targets, on one thread and on three. */
#include "backend_support.h"

static const char *const targets[] = {"x86-64-v3", "x86-64-v4"};

static void compare_on_targets(void (*make)(TestGraph *t), double tolerance, const char *what) {
    for (int i = 0; i < COUNT_OF(targets); i++) {
        if (!can_run(targets[i])) continue;
        TestGraph t = test_graph(3);
        t.symbols[1] = 45;
        make(&t);
        for (int k = 0; k < t.inputs.count; k++)
            for (int64_t at = 0; at < t.inputs.items[k].count; at++) t.inputs.items[k].values[at].real = round(t.inputs.items[k].values[at].real);
        compare_with_reference(&t, targets[i], tolerance, what);
        arena_free(t.arena);
    }
}

/* Few places and many, along the last axis and another, of sizes that are known and not; whole numbers have equals among them. */
static void make_top_k(TestGraph *t) {
    Node *x = new_input(t, -9, 9, SIZES(t->N, size(t, 70), t->H)), *whole = build_cast(t->graph, x, DTYPE_I32);
    Node *half = build_cast(t->graph, x, DTYPE_F16), *mapped = new_input(t, -3, 3, SIZES(t->N, size(t, 35), t->H, size(t, 5)));
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
    Node *half = build_cast(t->graph, x, DTYPE_F16), *map = new_input(t, -9, 9, SIZES(t->N, size(t, 20), size(t, 3), size(t, 5)));
    for (int axis = 0; axis < 3; axis++) new_output(t, MAKE(t, cumsum, &x, 1, axis));
    new_output(t, MAKE(t, cumsum, &whole, 1, 2));
    new_output(t, MAKE(t, cumsum, &whole, 1, 1));
    new_output(t, MAKE(t, cumsum, &half, 1, 2));
    map = build_binary(t->graph, OP_max, map, build_scalar(t->graph, 0, DTYPE_F32));
    new_output(t, build_unary(t->graph, OP_neg, MAKE(t, cumsum, &map, 1, 1)));
    new_output(t, MAKE(t, cumsum, &map, 1, 3));
}

/* Boxes of whole numbers, many of one score, more than are kept and fewer, on maps whose number of boxes is known and not. */
static void make_nms(TestGraph *t) {
    const double iou[] = {0.4, 0, 0.6}, least[] = {-20, 0, 5};
    const int64_t most[] = {40, 3, 17}, boxes[] = {200, 0, 33};
    for (int i = 0; i < COUNT_OF(most); i++) {
        Dim count = boxes[i] ? size(t, boxes[i]) : t->H;
        Node *corner = new_input(t, -30, 30, SIZES(t->N, count, size(t, 2))), *reach = new_input(t, 0, 25, SIZES(t->N, count, size(t, 2)));
        Node *ends[2] = {corner, build_binary(t->graph, OP_add, corner, reach)};
        Node *inputs[2] = {build_concat(t->graph, ends, 2, 2), new_input(t, -9, 9, SIZES(t->N, count))};
        new_output(t, MAKE(t, nms, inputs, 2, most[i], iou[i], least[i]));
    }
}

static void test_nms(void) { compare_on_targets(make_nms, 0, "nms"); }
static void test_cumsum(void) { compare_on_targets(make_cumsum, 0, "cumsum"); }
static void test_top_k(void) { compare_on_targets(make_top_k, 0, "top_k"); }

void suite_order(void) {
    CU_pSuite suite = CU_add_suite("order", NULL, NULL);
    CU_add_test(suite, "top_k", test_top_k);
    CU_add_test(suite, "cumsum", test_cumsum);
    CU_add_test(suite, "nms", test_nms);
}
