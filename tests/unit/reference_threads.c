/* The reference evaluator by several threads: the same bits whatever their number, and
 * wherever its loops are cut. */
#include "random_graph_support.h"

static RefTensor *values_by(TestGraph *t, RefProduct product) {
    int count = t->graph->outputs.count;
    Node **wanted = NEW_ARRAY(t->arena, Node *, count);
    RefTensor *results = NEW_ARRAY(t->arena, RefTensor, count);
    for (int i = 0; i < count; i++) wanted[i] = t->graph->outputs.items[i].node;
    RefSource source = {.context = t, .parameter = give_value, .input = give_value, .product = product};
    CU_ASSERT_FATAL(reference_evaluate(t->graph, wanted, count, t->symbols, 42, &source, t->arena, results));
    return results;
}

static bool same_bits(const RefTensor *a, const RefTensor *b) {
    size_t bytes = sizeof *a->values * (size_t)a->shape.count;
    return a->shape.count == b->shape.count && memcmp(a->values, b->values, bytes) == 0;
}

/* By one thread, in as few parts as may be, against several and parts of a round or a
 * few. */
static void check_threads(TestGraph *t, RefProduct product, uint64_t seed) {
    const int threads[] = {1, 2, 3, 16};
    parallel_limits(1, INT64_MAX);
    RefTensor *wanted = values_by(t, product);
    for (int i = 0; i < COUNT_OF(threads); i++) {
        parallel_limits(threads[i], 1 + (int64_t)(seed % 3) * 40);
        RefTensor *results = values_by(t, product);
        for (int k = 0; k < t->graph->outputs.count; k++)
            if (!same_bits(&wanted[k], &results[k])) {
                printf("\n  seed %d: output %d differs by %d threads\n", (int)seed, k, threads[i]);
                CU_FAIL("other bits");
            }
    }
    parallel_limits(0, 0);
}

TEST(random_graphs) {
    for (uint64_t seed = 1; seed <= 200; seed++) {
        TestGraph t = test_graph(seed);
        random_graph(&t, (int)(seed % 3), false);
        check_threads(&t, seed % 2 ? product_blocked : NULL, seed);
        arena_free(t.arena);
    }
}

/* As large as to be cut by themselves: a convolution of several groups and images,
 * products of several pieces, sums along each axis. */
TEST(large_tensors) {
    TestGraph t = test_graph(7);
    Dim x_sizes[] = {size(&t, 2), size(&t, 24), size(&t, 40), size(&t, 41)};
    Dim w_sizes[] = {size(&t, 32), size(&t, 6), size(&t, 3), size(&t, 3)};
    Node *x = new_input(&t, -1, 1, 4, x_sizes), *w = new_parameter(&t, -1, 1, 4, w_sizes);
    Node *y =
        MAKE(&t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(1, 1), {2, x_sizes + 2}, 4);
    Node *rows = build_reshape(t.graph, y, 3, (Dim[]){size(&t, 2), size(&t, 32), size(&t, 1640)});
    Node *turned = build_transpose(t.graph, rows, (int64_t[]){0, 2, 1});
    Node *left = graph_make(t.graph, OP_matmul, (Node *[]){rows, turned}, 2, NULL);
    Node *right = graph_make(t.graph, OP_matmul, (Node *[]){turned, left}, 2, NULL);
    new_output(&t, unary(&t, OP_tanh, right));
    Node *curved = unary(&t, OP_gelu, y);
    for (int64_t axis = 0; axis < 4; axis++) new_output(&t, build_sum(t.graph, curved, &axis, 1));
    check_threads(&t, product_blocked, 7);
    arena_free(t.arena);
}
