/* Nodes: equal ones are one, origins add up, shape rules speak plainly, conditions that
 * only a run can decide become checks. */
#include "graph_test.h"

TEST(equal_nodes_are_one) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 0, 1, SIZES(size(&t, 2), t.H));
    CU_ASSERT_PTR_EQUAL(build_unary(t.graph, OP_exp, x), build_unary(t.graph, OP_exp, x));
    CU_ASSERT_PTR_EQUAL(build_sum(t.graph, x, (int64_t[]){0, 1}, 2),
                        build_sum(t.graph, x, (int64_t[]){0, 1}, 2));
    CU_ASSERT_PTR_NOT_EQUAL(build_sum(t.graph, x, (int64_t[]){0}, 1),
                            build_sum(t.graph, x, (int64_t[]){1}, 1));
    CU_ASSERT_PTR_EQUAL(build_scalar(t.graph, 0.1, DTYPE_F32), build_scalar(t.graph, 0.1, DTYPE_F32));
    CU_ASSERT_PTR_NOT_EQUAL(build_scalar(t.graph, 0.1, DTYPE_F32), build_scalar(t.graph, 0.1, DTYPE_F16));
    CU_ASSERT_PTR_NOT_EQUAL(build_scalar(t.graph, 0.0, DTYPE_F32), build_scalar(t.graph, -0.0, DTYPE_F32));
    arena_free(t.arena);
}

/* Attributes belong to the graph once the node is made. */
TEST(attributes_are_copied) {
    TestGraph t = test_graph(1);
    int64_t axes[1] = {0};
    Node *x = new_input(&t, 0, 1, SIZES(size(&t, 2), t.H)), *sum = build_sum(t.graph, x, axes, 1);
    axes[0] = 1;
    CU_ASSERT_EQUAL(ATTRIBUTES(sum, sum)->axes.items[0], 0);
    Number values[2] = {{1}, {2}};
    Data data = {2, values};
    Node *constant = MAKE(&t, constant, NULL, 0, DTYPE_F32, DIMS(size(&t, 2)), &data);
    values[0].real = 7;
    CU_ASSERT_EQUAL(ATTRIBUTES(constant, constant)->data->values[0].real, 1);
    arena_free(t.arena);
}

TEST(origins_add_up) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 0, 1, 0, NULL);
    for (int i = 0; i < 40; i++) {
        graph_at(t.graph, origin_new(t.graph, (Span){NULL, 1, 2}, arena_printf(t.arena, "layer%d", i)));
        build_unary(t.graph, OP_exp, x);
        build_unary(t.graph, OP_exp, x);
    }
    const Origin *origin = build_unary(t.graph, OP_exp, x)->origin;
    CU_ASSERT_STRING_EQUAL(origin->path, "layer0");
    CU_ASSERT_STRING_EQUAL(origin->next->path, "layer1");
    int count = 0;
    for (; origin; origin = origin->next) count++;
    CU_ASSERT(count >= 4 && count <= 16); /* a scalar made everywhere does not list everywhere */
    arena_free(t.arena);
}

/* ---- refusals ---- */

static const char *refusal(TestGraph *t, Op op, Node *a, Node *b, const void *attributes) {
    ShapeError error;
    Node *node = graph_try(t->graph, op, (Node *[]){a, b}, b ? 2 : 1, attributes, &error);
    CU_ASSERT_PTR_NULL(node);
    return node ? "" : error.text;
}

TEST(refusals) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 0, 1, SIZES(t.N, size(&t, 48), t.H, t.H)),
         *y = new_input(&t, 0, 1, SIZES(t.N, size(&t, 64), t.H, t.H));
    Node *w = new_input(&t, 0, 1, SIZES(size(&t, 8), size(&t, 64), size(&t, 3), size(&t, 3)));
    convolution_attributes c = {INTS(1, 1), INTS(1, 1), INTS(1, 1), DIMS(t.H, t.H), 1};
    CU_ASSERT_STRING_EQUAL(
        refusal(&t, OP_convolution, x, w, &c),
        "convolution needs an input of 64 channels, not 48: its weight is f32[8, 64, 3, 3]");
    c.groups = 5;
    CU_ASSERT_STRING_EQUAL(refusal(&t, OP_convolution, x, w, &c),
                           "the input's channels, 48, are not a multiple of the 5 groups");
    CU_ASSERT_STRING_EQUAL(
        refusal(&t, OP_add, x, y, NULL),
        "add takes tensors of equal sizes, not f32[N, 48, H, H] and f32[N, 64, H, H]: axis 1 is 48 in one and 64 in the other");
    CU_ASSERT_STRING_EQUAL(
        refusal(&t, OP_concat, x, y, &(concat_attributes){3}),
        "concat along axis 3 takes equal sizes in the other axes, not f32[N, 48, H, H] and f32[N, 64, H, H]: axis 1 is 48 in one "
        "and 64 in the other");
    CU_ASSERT_STRING_EQUAL(
        refusal(&t, OP_reshape, x, NULL, &(reshape_attributes){DIMS(t.N, size(&t, 48))}),
        "reshape of f32[N, 48, H, H], which has 48*N*H*H elements, to f32[N, 48], which has 48*N");
    CU_ASSERT_STRING_EQUAL(refusal(&t, OP_exp, build_cast(t.graph, x, DTYPE_I32), NULL, NULL),
                           "exp takes floats, not i32");
    resample_attributes resample = {DIMS(t.H, t.H), intern(t.graph->names, "quintic"),
                                    intern(t.graph->names, "half_pixel"), false, 0};
    CU_ASSERT_STRING_EQUAL(refusal(&t, OP_resample, x, NULL, &resample),
                           "no such way to resize as \"quintic\": nearest, bilinear, cubic or area");
    arena_free(t.arena);
}

TEST(sizes_below_one) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 0, 1, SIZES(size(&t, 1), size(&t, 1), size(&t, 2), size(&t, 2)));
    pool_max_attributes pool = {INTS(3, 3), INTS(1, 1), INTS(1, 1), INTS(0, 0),
                                DIMS(size(&t, 0), size(&t, 0))};
    CU_ASSERT_STRING_EQUAL(refusal(&t, OP_pool_max, x, NULL, &pool),
                           "axis 2 of the result of pool_max would have size 0");
    Dim huge[2] = {size(&t, (int64_t)1 << 40), size(&t, (int64_t)1 << 40)};
    broadcast_attributes wide = {{2, huge}};
    Node *one = build_reshape(t.graph, x, SIZES(size(&t, 2), size(&t, 2)));
    CU_ASSERT_PTR_NOT_NULL(strstr(
        refusal(&t, OP_broadcast, build_sum(t.graph, one, (int64_t[]){0, 1}, 2), NULL, &wide), "elements"));
    arena_free(t.arena);
}

/* ---- checks ---- */

static Node *tried_slice(TestGraph *t, Node *x, Dim begin, Dim length) {
    ShapeError error;
    slice_attributes attributes = {DIMS(begin), DIMS(length), INTS(1)};
    return graph_try(t->graph, OP_slice, &x, 1, &attributes, &error);
}

TEST(checks) {
    TestGraph t = test_graph(1);
    Dims *dims = t.graph->dims;
    Node *x = new_input(&t, 0, 1, SIZES(t.H));
    CU_ASSERT_PTR_NOT_NULL(tried_slice(&t, x, size(&t, 0), size(&t, 1))); /* proved: H is at least 1 */
    CU_ASSERT_EQUAL(t.graph->checks.count, 0);
    CU_ASSERT_PTR_NULL(tried_slice(&t, x, size(&t, 0), dim_offset(dims, t.H, 1))); /* refuted */
    CU_ASSERT_EQUAL(t.graph->checks.count, 0);
    CU_ASSERT_PTR_NOT_NULL(tried_slice(&t, x, size(&t, 2), size(&t, 3))); /* for some H */
    CU_ASSERT_PTR_NOT_NULL(tried_slice(&t, x, size(&t, 2), size(&t, 3)));
    CU_ASSERT_EQUAL_FATAL(t.graph->checks.count, 1);
    CU_ASSERT_STRING_EQUAL(t.graph->checks.items[0].message,
                           "the slice reaches element 4 of axis 0, which has size H; H must be at least 5");
    /* a pass adds none */
    Node *built = build_slice(t.graph, x, (Dim[]){size(&t, 0)}, (Dim[]){size(&t, 9)}, NULL);
    CU_ASSERT_EQUAL(t.graph->checks.count, 1);
    CU_ASSERT_PTR_NOT_NULL(built);
    CU_ASSERT_PTR_EQUAL(graph_like(t.graph)->checks.items[0].left, t.graph->checks.items[0].left);
    arena_free(t.arena);
}

/* ---- text ---- */

TEST(printing) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 0, 1, SIZES(t.N, dim_floor_div(t.graph->dims, t.H, 2)));
    graph_at(t.graph, origin_new(t.graph, (Span){0}, "layer1.0"));
    Text text = {.arena = t.arena};
    node_print(&text, build_sum(t.graph, x, (int64_t[]){0, 1}, 2));
    CU_ASSERT_STRING_EQUAL(text_string(&text), "%1 = sum %0 axes=[0, 1] : f32[1, 1]  # layer1.0");
    arena_free(t.arena);
}
