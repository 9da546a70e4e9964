/* Launches that run along with each other: softmax, norms, over rows in every position;
 * and what looks alike but reads other rows. */
#include "backend_support.h"

static Node *repeated(TestGraph *t, Node *x, Node *like) {
    return build_broadcast(t->graph, x, like->shape.rank, like->shape.dims);
}

static Node *softmax(TestGraph *t, Node *x, int64_t axis) {
    Node *largest = MAKE(t, reduce_max, &x, 1, INTS(axis));
    Node *e = unary(t, OP_exp, binary(t, OP_sub, x, repeated(t, largest, x)));
    return binary(t, OP_div, e, repeated(t, build_sum(t->graph, e, &axis, 1), x));
}

static Node *normalized(TestGraph *t, Node *x, const int64_t *axes, int count, double elements) {
    Node *share = splat(t, 1 / elements),
         *mean = binary(t, OP_mul, build_sum(t->graph, x, axes, count), share);
    Node *d = binary(t, OP_sub, x, repeated(t, mean, x));
    Node *variance = binary(t, OP_mul, build_sum(t->graph, binary(t, OP_mul, d, d), axes, count), share);
    return binary(t, OP_div, d,
                  repeated(t, unary(t, OP_sqrt, binary(t, OP_add, variance, splat(t, 1e-5))), x));
}

static Node *conv(TestGraph *t, Node *x, int64_t outputs) {
    Node *w = new_parameter(t, -0.5, 0.5, SIZES(size(t, outputs), x->shape.dims[1], size(t, 1), size(t, 1)));
    return MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(0, 0),
                DIMS(x->shape.dims[2], x->shape.dims[3]), 1);
}

/* How many launches run along with one before them, after the passes. */
static void check(TestGraph *t, int wanted, const char *what) {
    TestGraph passed = *t;
    passed.graph = passes_run(t->graph, &(PassOptions){.verify = true});
    for (int target = 0; target < target_count(); target++) {
        Program *program = lower(passed.graph, &WITH_TABLE(.target = target_at(target)), t->arena);
        int along = 0;
        for (int i = 0; i < program->launches.count; i++) along += program->launches.items[i]->fused > 0;
        if (along != wanted) fprintf(stderr, "\n%s: %d instead of %d\n", what, along, wanted);
        CU_ASSERT_EQUAL(along, wanted);
        compare_with_reference(&passed, target_at(target)->name, 1e-5, what);
    }
    arena_free(t->arena);
}

TEST(softmax) {
    static const int64_t columns[] = {1, 5, 16, 37, 64, 300};
    for (int i = 1; i < COUNT_OF(columns); i++) {
        TestGraph t = test_graph((uint64_t)i);
        Node *x = new_input(&t, -3, 3, SIZES(size(&t, 300), size(&t, columns[i])));
        new_output(&t, unary(&t, OP_neg, softmax(&t, unary(&t, OP_abs, x), 1)));
        check(&t, 3, "softmax of rows");
    }
    TestGraph t = test_graph(1);
    t.symbols[0] = 3, t.symbols[1] = 41;
    new_output(&t, softmax(&t, new_input(&t, -3, 3, SIZES(t.N, size(&t, 8), t.H, t.H)), 3));
    check(&t, 3, "softmax of free rows");
}

/* Columns outermost, rows through the lanes. */
TEST(softmax_of_columns) {
    TestGraph t = test_graph(2);
    new_output(&t, softmax(&t, new_input(&t, -3, 3, SIZES(size(&t, 9), size(&t, 33), size(&t, 170))), 1));
    check(&t, 3, "softmax of columns");
}

TEST(layer_norm) {
    TestGraph t = test_graph(3);
    Node *x = new_input(&t, -3, 3, SIZES(t.N, size(&t, 64), size(&t, 100)));
    Node *w = new_parameter(&t, 1, 2, SIZES(size(&t, 1), size(&t, 1), size(&t, 100)));
    new_output(&t, binary(&t, OP_add, x,
                          binary(&t, OP_mul, normalized(&t, x, (int64_t[]){2}, 1, 100), repeated(&t, w, x))));
    check(&t, 2, "layer norm");
}

TEST(instance_norm) {
    TestGraph t = test_graph(4);
    Node *x = conv(&t, new_input(&t, -1, 1, SIZES(size(&t, 1), size(&t, 7), t.H, size(&t, 9))), 150);
    new_output(&t, conv(&t, normalized(&t, x, (int64_t[]){2, 3}, 2, 45), 20));
    check(&t, 2, "instance norm in blocks");
    t = test_graph(5);
    new_output(&t, normalized(&t, new_input(&t, -1, 1, SIZES(size(&t, 1), size(&t, 20), size(&t, 9), t.H)),
                              (int64_t[]){2, 3}, 2, 45));
    check(&t, 2, "instance norm of planes");
}

/* The sums of other rows are needed: all of them must be there first. */
TEST(other_rows) {
    TestGraph t = test_graph(6);
    Node *x = new_input(&t, -1, 1, SIZES(size(&t, 64), size(&t, 40))),
         *sum = build_sum(t.graph, x, (int64_t[]){1}, 1);
    new_output(&t, binary(&t, OP_mul, x, repeated(&t, MAKE(&t, flip, &sum, 1, INTS(0)), x)));
    check(&t, 0, "sums from below");
    t = test_graph(7);
    x = unary(&t, OP_exp, new_input(&t, -1, 1, SIZES(size(&t, 64), size(&t, 64))));
    new_output(&t, x);
    sum = build_sum(t.graph, x, (int64_t[]){1}, 1);
    Node *turned = build_transpose(t.graph, sum, (int64_t[]){1, 0});
    new_output(&t, binary(&t, OP_mul, x, repeated(&t, turned, x)));
    check(&t, 0, "sums across");
    t = test_graph(8);
    x = unary(&t, OP_exp, new_input(&t, -1, 1, SIZES(size(&t, 64), size(&t, 40))));
    Node *lower = build_slice(t.graph, x, (Dim[]){size(&t, 1), size(&t, 0)},
                              (Dim[]){size(&t, 63), size(&t, 40)}, (int64_t[]){1, 1});
    Node *upper = build_slice(t.graph, x, (Dim[]){size(&t, 0), size(&t, 0)},
                              (Dim[]){size(&t, 63), size(&t, 40)}, (int64_t[]){1, 1});
    sum = build_sum(t.graph, lower, (int64_t[]){1}, 1);
    new_output(&t, binary(&t, OP_mul, upper, repeated(&t, sum, upper)));
    check(&t, 0, "a slice of the rows below");
}
