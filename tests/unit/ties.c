/* plan/ties.c: which convolutions have places that are compared behind them, so that they
 * are computed directly. */
#include "backend_support.h"

/* A 3x3 convolution that keeps the size. */
static Node *convolved(TestGraph *t, Node *x, int channels) {
    IntList one = INTS(1, 1);
    Shape shape = x->shape;
    Node *w = new_parameter(t, -1, 1, SIZES(size(t, channels), shape.dims[1], size(t, 3), size(t, 3)));
    return MAKE(t, convolution, ((Node *[]){x, w}), 2, one, one, one, DIMS(shape.dims[2], shape.dims[3]), 1);
}

static Node *relu(TestGraph *t, Node *x) { return binary(t, OP_max, x, splat(t, 0)); }
static Node *pooled(TestGraph *t, Node *x) {
    IntList three = INTS(3, 3), one = INTS(1, 1);
    return MAKE(t, pool_max, &x, 1, three, one, one, one, DIMS(x->shape.dims[2], x->shape.dims[3]));
}

/* Places in a line: [N, C, H * W]. */
static Node *in_line(TestGraph *t, Node *x) {
    const Dim *dims = x->shape.dims;
    return build_reshape(t->graph, x, 3,
                         (Dim[]){dims[0], dims[1], dim_mul(t->graph->dims, dims[2], dims[3])});
}

static Node *largest(TestGraph *t, Node *x, int64_t axis) {
    Node *top = MAKE(t, reduce_max, &x, 1, {1, &axis});
    return build_broadcast(t->graph, top, x->shape.rank, x->shape.dims);
}

static Node *of_the_picture(TestGraph *t, Node *x) {
    Node *line = in_line(t, x);
    return binary(t, OP_eq, line, largest(t, line, 2));
}

/* Places and classes of [N, C, H, W] in one line, behind those of another map. */
static Node *scores(TestGraph *t, Node *x) {
    Node *turned = build_transpose(t->graph, x, (int64_t[]){0, 2, 3, 1}),
         *other = new_input(t, -1, 1, SIZES(x->shape.dims[0], size(t, 30)));
    Node *line = build_reshape(t->graph, turned, 2, (Dim[]){x->shape.dims[0], size(t, 12 * 13 * 8)}),
         *parts[] = {other, unary(t, OP_sigmoid, line)};
    return build_concat(t->graph, parts, 2, 1);
}

static Node *column_on(TestGraph *t, Node *x, int64_t by) {
    Dim zero = size(t, 0), begin[] = {zero, zero, zero, size(t, by)},
        sizes[] = {x->shape.dims[0], x->shape.dims[1], x->shape.dims[2], size(t, 12)};
    return build_slice(t->graph, x, begin, sizes, NULL);
}

static Node *scatter(TestGraph *t, Node *like, Node *x) {
    IntList two = INTS(2, 2), one = INTS(1, 1);
    return MAKE(t, max_pool_scatter, ((Node *[]){like, x}), 2, two, two, one, INTS(0, 0));
}

/* ---- the cases: x is behind two convolutions ---- */

static Node *hottest_class(TestGraph *t, Node *x) { return binary(t, OP_eq, x, largest(t, x, 1)); }
static Node *threshold(TestGraph *t, Node *x) { return binary(t, OP_lt, x, splat(t, 0.5)); }
static Node *same_place(TestGraph *t, Node *x) {
    return binary(t, OP_lt, relu(t, x), binary(t, OP_mul, x, x));
}
static Node *two_maps(TestGraph *t, Node *x) {
    Node *y = convolved(t, new_input(t, -1, 1, x->shape.rank, x->shape.dims), 8);
    return binary(t, OP_lt, column_on(t, x, 0), column_on(t, y, 1));
}
static Node *values_only(TestGraph *t, Node *x) { return pooled(t, x); }
static Node *gated(TestGraph *t, Node *x) { /* by what is the same at all places */
    Node *mean = build_sum(t->graph, x, (int64_t[]){2, 3}, 2);
    Node *plain = new_input(t, -1, 1, x->shape.rank, x->shape.dims);
    return of_the_picture(t, binary(t, OP_mul, plain, build_broadcast(t->graph, mean, 4, x->shape.dims)));
}
static Node *unpooled_values(TestGraph *t, Node *x) {
    Node *like = new_input(t, -1, 1, SIZES(x->shape.dims[0], x->shape.dims[1], size(t, 24), size(t, 26)));
    return scatter(t, like, x);
}

static Node *hottest_place(TestGraph *t, Node *x) {
    Node *line = in_line(t, relu(t, x));
    return MAKE(t, argmax, &line, 1, 2);
}
static Node *detections(TestGraph *t, Node *x) {
    Node *all = scores(t, x);
    return MAKE(t, top_k, &all, 1, DIMS(size(t, 5)), 1, true);
}
static Node *suppressed(TestGraph *t, Node *x) {
    Node *best = MAKE(t, reduce_max, (Node *[]){in_line(t, x)}, 1, INTS(1));
    Node *line = build_reshape(t->graph, best, 2, (Dim[]){x->shape.dims[0], size(t, 12 * 13)});
    Node *boxes = new_input(t, -1, 1, SIZES(x->shape.dims[0], size(t, 12 * 13), size(t, 4)));
    return MAKE(t, nms, ((Node *[]){boxes, line}), 2, 5, 0.5, 0);
}

static Node *unpooled(TestGraph *t, Node *x) {
    IntList two = INTS(2, 2), none = INTS(0, 0);
    Node *y = MAKE(t, pool_max, &x, 1, two, two, INTS(1, 1), none, DIMS(size(t, 6), size(t, 6)));
    return scatter(t, x, y);
}
static Node *peaks(TestGraph *t, Node *x) { return binary(t, OP_eq, x, pooled(t, x)); }
static Node *neighbours(TestGraph *t, Node *x) {
    return binary(t, OP_lt, column_on(t, relu(t, x), 0), column_on(t, relu(t, x), 1));
}
static Node *best_detection(TestGraph *t, Node *x) {
    Node *all = scores(t, x);
    return binary(t, OP_eq, all, largest(t, all, 1));
}
static Node *pool_gradient(TestGraph *t, Node *x) {
    return pooled(t, build_cast(t->graph, unpooled(t, x), DTYPE_F32));
}

static const struct Case {
    const char *name;
    Node *(*make)(TestGraph *t, Node *x);
    bool compares;
} cases[] = {{"the hottest class", hottest_class, false},
             {"a threshold", threshold, false},
             {"two expressions of one place", same_place, false},
             {"two maps", two_maps, false},
             {"a maximum pool", values_only, false},
             {"a gate for all places", gated, false},
             {"what is unpooled", unpooled_values, false},
             {"an order: argmax over places", hottest_place, false},
             {"an order: top_k over places and classes", detections, false},
             {"an order: nms", suppressed, false},
             {"maximum unpooling", unpooled, true},
             {"peaks", peaks, true},
             {"neighbours", neighbours, true},
             {"equal to the largest of the picture", of_the_picture, true},
             {"equal to the largest of places and classes", best_detection, true},
             {"a pool behind an unpooling", pool_gradient, true}};

TEST(cases) {
    LowerOptions options = WITH_TABLE(.target = target_at(0));
    for (int i = 0; i < COUNT_OF(cases); i++) {
        TestGraph t = test_graph(1);
        Node *first =
            convolved(&t, new_input(&t, -1, 1, SIZES(t.N, size(&t, 3), size(&t, 12), size(&t, 13))), 8);
        Node *second = convolved(&t, relu(&t, first), 8), *y = cases[i].make(&t, second);
        new_output(&t, y);
        const Program *program = lower(t.graph, &options, t.arena);
        for (int k = 0; k < 2; k++) {
            bool compared = program->ties[(k ? second : first)->id] != NULL;
            if (compared != cases[i].compares) fprintf(stderr, "\n%s: convolution %d\n", cases[i].name, k);
            CU_ASSERT(compared == cases[i].compares);
        }
        arena_free(t.arena);
    }
}

/* Behind an unpooling nothing is compared: there Winograd goes on. */
TEST(convolutions_behind_an_unpooling) {
    TestGraph t = test_graph(1);
    Node *encoder =
        convolved(&t, new_input(&t, -1, 1, SIZES(size(&t, 1), size(&t, 16), size(&t, 64), size(&t, 64))), 16);
    Node *y =
        convolved(&t,
                  scatter(&t, encoder,
                          new_input(&t, -1, 1, SIZES(size(&t, 1), size(&t, 16), size(&t, 32), size(&t, 32)))),
                  16);
    LowerOptions options = WITH_TABLE(.target = target_find("x86-64-v4"));
    new_output(&t, y);
    const Program *program = lower(t.graph, &options, t.arena);
    for (int i = 0; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        if (kernel->anchor == encoder) CU_ASSERT(kernel->kind == &kernel_table.kinds[KERNEL_conv_direct]);
        if (kernel->anchor == y) CU_ASSERT(kernel->kind == &kernel_table.kinds[KERNEL_conv_winograd]);
    }
    arena_free(t.arena);
}

/* A step of training: the gradient of a pool's maximum by the weight before it is seen
 * where it is an output, and not where it is a state's new value. */
TEST(gradients_that_only_states_see) {
    for (int shares = 0; shares < 2; shares++) {
        TestGraph t = test_graph(1);
        const PortPlan inputs[3] = {0}, outputs[2] = {{.shares = 0}, {.shares = shares ? 2 : 0}};
        Node *x = new_input(&t, -1, 1, SIZES(size(&t, 1), size(&t, 16), size(&t, 32), size(&t, 32)));
        Node *w = new_input(&t, -1, 1, SIZES(size(&t, 16), size(&t, 16), size(&t, 3), size(&t, 3)));
        IntList one = INTS(1, 1);
        Node *y =
            MAKE(&t, convolution, ((Node *[]){x, w}), 2, one, one, one, DIMS(size(&t, 32), size(&t, 32)), 1);
        Node *loss = build_sum(t.graph, binary(&t, OP_mul, pooled(&t, y), pooled(&t, y)),
                               (int64_t[]){0, 1, 2, 3}, 4),
             *gradient;
        loss = build_reshape(t.graph, loss, 0, NULL);
        graph_gradient(t.graph, loss, &w, 1, &gradient);
        new_output(&t, loss);
        new_output(&t, gradient);
        LowerOptions options = WITH_TABLE(.target = target_at(0), .inputs = inputs, .outputs = outputs);
        CU_ASSERT((lower(t.graph, &options, t.arena)->ties[y->id] == NULL) == (shares == 1));
        arena_free(t.arena);
    }
}
