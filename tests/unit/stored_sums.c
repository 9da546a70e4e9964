/* Sums over the result of a convolution, or of the gradient of a maximum pool, that its
 * kernel does as it stores the result (plan/stored_sums.c, codegen/stored_parts.c). Of
 * whole numbers, so that all sums are exact, but those of Winograd. */
#include "backend_support.h"

typedef struct SummedConv {
    const char *what, *kind;
    bool transposed;
    int64_t images, inputs, outputs, groups, kernel, stride, side; /* side: of the result */
    int sums;                                                      /* that are stored */
    int tile; /* of Winograd: outputs along an axis; else 0 */
} SummedConv;

static Node *make_map(TestGraph *t, int64_t images, int64_t channels, int64_t side) {
    return new_input(t, -3, 3, SIZES(size(t, images), size(t, channels), size(t, side), size(t, side)));
}

/* Padding is such that the other side is side * stride, or side / stride. */
static Node *make_conv(TestGraph *t, const SummedConv *of) {
    int64_t before = (of->kernel - 1) / 2,
            from = of->transposed ? of->side / of->stride : of->side * of->stride;
    Node *operands[] = {make_map(t, of->images, of->inputs, from), NULL};
    int64_t first = of->transposed ? of->inputs : of->outputs,
            second = (of->transposed ? of->outputs : of->inputs) / of->groups;
    operands[1] =
        new_input(t, -2, 2, SIZES(size(t, first), size(t, second), size(t, of->kernel), size(t, of->kernel)));
    IntList strides = INTS(of->stride, of->stride), one = INTS(1, 1), edge = INTS(before, before);
    DimList sizes = DIMS(size(t, of->side), size(t, of->side));
    if (of->transposed)
        return MAKE(t, convolution_backward_data, operands, 2, strides, one, edge, sizes, of->groups);
    return MAKE(t, convolution, operands, 2, strides, one, edge, sizes, of->groups);
}

static Node *sum_to_channels(TestGraph *t, Node *map) {
    const int64_t axes[] = {0, 2, 3};
    return build_sum(t->graph, map, axes, 3);
}

static Node *by_channel(TestGraph *t, Node *map) {
    Node *numbers = new_input(t, -3, 3, SIZES(size(t, 1), map->shape.dims[1], size(t, 1), size(t, 1)));
    return build_broadcast(t->graph, numbers, 4, map->shape.dims);
}

/* A map that a convolution reads lies in blocks. What that makes of it is small, so that
 * a tolerance is one of the sums. */
static void read_map(TestGraph *t, Node *map) {
    Dim channels = map->shape.dims[1];
    Node *w = new_input(t, -2, 2, SIZES(channels, channels, size(t, 1), size(t, 1)));
    Node *read = MAKE(t, convolution, ((Node *[]){map, w}), 2, INTS(1, 1), INTS(1, 1), INTS(0, 0),
                      DIMS(map->shape.dims[2], map->shape.dims[3]), 1);
    new_output(t, binary(t, OP_mul, read, splat(t, 1.0 / 1024)));
}

/* What a batch norm asks for on the way back: of the map, which is behind a relu, and of
 * the map times another's distance from a number by channel. And a sum behind which
 * something stands. */
static void make_summed(TestGraph *t, const SummedConv *of) {
    SummedConv other = {.images = of->images,
                        .inputs = 16,
                        .outputs = of->outputs,
                        .groups = 1,
                        .kernel = 1,
                        .stride = 1,
                        .side = of->side};
    Node *x = binary(t, OP_max, make_conv(t, &other), splat(t, 0));
    Node *map = binary(t, OP_max, make_conv(t, of), splat(t, -40));
    new_output(t, sum_to_channels(t, map));
    new_output(t, sum_to_channels(t, binary(t, OP_mul, map, binary(t, OP_sub, x, by_channel(t, x)))));
    Node *sum = sum_to_channels(t, binary(t, OP_add, map, by_channel(t, map)));
    new_output(t, binary(t, OP_mul, sum, build_splat(t->graph, 0.5, sum->shape)));
    read_map(t, map);
    read_map(t, x);
}

static void round_to_whole(TestGraph *t) {
    for (int k = 0; k < t->inputs.count; k++)
        for (int64_t n = 0; n < t->inputs.items[k].count; n++)
            t->inputs.items[k].values[n].real = round(t->inputs.items[k].values[n].real);
}

/* The kernel of that kind with most stored sums. */
static const Kernel *find_summing(TestGraph *t, const LowerOptions *options, const char *kind) {
    const Program *program = lower(t->graph, options, t->arena);
    const Kernel *found = NULL;
    for (int i = 0; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        if (strcmp(kernel->kind->name, kind) == 0 && (!found || kernel->sum_count > found->sum_count))
            found = kernel;
    }
    CU_ASSERT_FATAL(found != NULL);
    return found;
}

static int count_stored(TestGraph *t, const LowerOptions *options, const char *kind) {
    return find_summing(t, options, kind)->sum_count;
}

static const SummedConv convs[] = {
    {"a first layer", "conv_direct", false, 2, 3, 32, 1, 3, 2, 20, 3, 0},
    {"1x1, joined rows", "conv_direct", false, 3, 16, 40, 1, 1, 1, 12, 3, 0},
    {"half a block", "conv_direct", false, 2, 24, 24, 1, 3, 1, 13, 3, 0},
    {"a small map", "conv_direct", false, 4, 32, 48, 1, 3, 1, 14, 3, 0},
    {"a large map, in strips", "conv_direct", false, 1, 32, 64, 1, 1, 1, 112, 3, 0},
    {"transposed", "conv_transposed", true, 2, 16, 24, 1, 4, 2, 22, 3, 0},
    {"transposed, where a phase has a row less", "conv_transposed", true, 2, 16, 24, 1, 4, 2, 21, 3, 0},
    {"depthwise", "conv_grouped", false, 2, 24, 24, 24, 3, 1, 15, 3, 0},
    {"depthwise, transposed", "conv_grouped", true, 2, 32, 32, 32, 3, 2, 28, 3, 0},
    {"groups of four", "conv_grouped", false, 2, 32, 32, 8, 3, 1, 14, 3, 0},
    {"a kind that stores none", "conv_any", false, 2, 16, 16, 1, 3, 1, 12, 0, 0},
    {"groups of blocks", "conv_direct", false, 2, 64, 64, 2, 3, 1, 12, 0, 0},
};

TEST(sums_of_what_convolutions_store) {
    for (int i = 0; i < target_count() * COUNT_OF(convs); i++) {
        const SummedConv *of = &convs[i % COUNT_OF(convs)];
        TestGraph t = test_graph((uint64_t)i);
        make_summed(&t, of);
        round_to_whole(&t);
        LowerOptions options =
            WITH_TABLE(.target = target_at(i / COUNT_OF(convs)), .force = of->kind, .own_slots = i % 2);
        compare_with_options(&t, &options, 0, of->what);
        CU_ASSERT_EQUAL(count_stored(&t, &options, of->kind), of->sums);
        arena_free(t.arena);
    }
}

/* ---- Winograd ---- */

static const SummedConv winograds[] = {
    {"F(4, 3)", "conv_winograd", false, 4, 16, 40, 1, 3, 1, 28, 3, 4},
    {"F(4, 3), small maps", "conv_winograd", false, 3, 40, 24, 1, 3, 1, 7, 3, 4},
    {"F(4, 3), groups, one not full", "conv_winograd", false, 16, 64, 40, 1, 3, 1, 7, 3, 4},
    {"F(4, 3), many weights", "conv_winograd", false, 3, 512, 32, 1, 3, 1, 28, 3, 4},
    {"F(4, 3), transposed", "conv_winograd", true, 4, 24, 32, 1, 3, 1, 26, 3, 4},
    {"F(2, 3)", "conv_winograd", false, 2, 16, 40, 1, 3, 1, 21, 3, 2},
    {"F(2, 3), transposed", "conv_winograd", true, 2, 24, 24, 1, 3, 1, 13, 3, 2},
    {"F(3, 4)", "conv_winograd", false, 2, 32, 24, 1, 4, 1, 13, 3, 3},
    {"F(4, 2), of stride 2", "conv_winograd", false, 3, 16, 40, 1, 4, 2, 15, 3, 4},
    {"F(4, 2), transposed", "conv_winograd", true, 3, 16, 40, 1, 4, 2, 30, 3, 4},
    {"F(4, 2), transposed, many tiles", "conv_winograd", true, 4, 16, 32, 1, 4, 2, 62, 3, 4},
};

/* Of the sums, which are of numbers of any sign; each place adds a hundredth. */
static double tolerance_of_winograd(const SummedConv *of) {
    return 1.5e-4 * (double)of->kernel * sqrt((double)of->inputs);
}

/* Tasks that do everything, and those of three and of four phases. */
TEST(sums_of_what_Winograd_stores) {
    bool seen[5] = {false}; /* by number of phases; 0: none */
    for (int i = 0; i < target_count() * COUNT_OF(winograds); i++) {
        const SummedConv *of = &winograds[i % COUNT_OF(winograds)];
        TestGraph t = test_graph((uint64_t)i);
        make_summed(&t, of);
        round_to_whole(&t);
        LowerOptions options = WITH_TABLE(.target = target_at(i / COUNT_OF(winograds)), .force = of->kind,
                                          .winograd = of->tile, .own_slots = i % 2);
        compare_with_options(&t, &options, tolerance_of_winograd(of), of->what);
        const Kernel *kernel = find_summing(&t, &options, of->kind);
        CU_ASSERT_EQUAL(kernel->sum_count, of->sums);
        seen[kernel->phase_count] = true;
        arena_free(t.arena);
    }
    CU_ASSERT(seen[0] && seen[3] && seen[4]);
}

/* ---- the gradient of a maximum pool ---- */

typedef struct SummedPool {
    const char *what;
    int64_t images, channels, kernel, stride, before, side;
} SummedPool;

static const SummedPool pools[] = {
    {"windows that overlap", 2, 32, 3, 2, 1, 33}, {"as deep as four", 2, 24, 4, 1, 2, 19},
    {"side by side", 3, 16, 2, 2, 0, 40},         {"apart", 2, 24, 2, 3, 1, 31},
    {"that hang over", 3, 16, 3, 2, 1, 16},
};

static Node *make_blocks(TestGraph *t, const SummedPool *of, int64_t side) {
    return make_conv(t, &(SummedConv){.images = of->images,
                                      .inputs = 16,
                                      .outputs = of->channels,
                                      .groups = 1,
                                      .kernel = 1,
                                      .stride = 1,
                                      .side = side});
}

/* Behind a relu, as in a ResNet: what it let through. */
static void make_summed_pool(TestGraph *t, const SummedPool *of) {
    int64_t windows = (of->side + 2 * of->before - of->kernel) / of->stride + 1;
    Node *raw = make_blocks(t, of, of->side), *x = binary(t, OP_max, raw, splat(t, 0)),
         *dy = make_blocks(t, of, windows);
    IntList kernel = INTS(of->kernel, of->kernel), stride = INTS(of->stride, of->stride),
            before = INTS(of->before, of->before);
    Node *dx = MAKE(t, max_pool_scatter, ((Node *[]){x, dy}), 2, kernel, stride, INTS(1, 1), before);
    Node *masked =
        build_select(t->graph, binary(t, OP_lt, splat(t, 0), x), dx, build_splat(t->graph, 0, dx->shape));
    new_output(t, sum_to_channels(t, masked));
    new_output(t, sum_to_channels(t, binary(t, OP_mul, masked, binary(t, OP_sub, raw, by_channel(t, raw)))));
    read_map(t, masked);
    read_map(t, raw);
}

TEST(sums_of_what_maximum_pools_hand_back) {
    for (int i = 0; i < target_count() * COUNT_OF(pools); i++) {
        const SummedPool *of = &pools[i % COUNT_OF(pools)];
        TestGraph t = test_graph((uint64_t)i);
        make_summed_pool(&t, of);
        round_to_whole(&t);
        LowerOptions options = WITH_TABLE(.target = target_at(i / COUNT_OF(pools)), .own_slots = i % 2);
        compare_with_options(&t, &options, 0, of->what);
        CU_ASSERT_EQUAL(count_stored(&t, &options, "window"), 2);
        arena_free(t.arena);
    }
}

/* ---- what stays a launch of its own ---- */

static Node *make_free(TestGraph *t) {
    Node *x = new_input(t, -3, 3, SIZES(t->N, size(t, 16), size(t, 12), size(t, 12))),
         *w = new_input(t, -2, 2, SIZES(size(t, 16), size(t, 16), size(t, 1), size(t, 1)));
    return MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(0, 0),
                DIMS(size(t, 12), size(t, 12)), 1);
}

static Node *make_fixed(TestGraph *t) {
    return make_conv(
        t, &(SummedConv){
               .images = 2, .inputs = 16, .outputs = 16, .groups = 1, .kernel = 3, .stride = 1, .side = 12});
}

static void sum_of_free_map(TestGraph *t) {
    Node *map = make_free(t);
    new_output(t, sum_to_channels(t, map));
    read_map(t, map);
}

static void sum_by_image(TestGraph *t) {
    Node *map = make_fixed(t);
    new_output(t, build_sum(t->graph, map, (int64_t[]){2, 3}, 2));
    read_map(t, map);
}

static void sum_of_two_places(TestGraph *t) {
    Node *map = make_fixed(t);
    Node *turned = build_transpose(t->graph, map, (int64_t[]){0, 1, 3, 2});
    new_output(t, sum_to_channels(t, binary(t, OP_mul, map, turned)));
    read_map(t, map);
}

TEST(sums_that_stay_launches) {
    void (*const make[])(TestGraph * t) = {sum_of_free_map, sum_by_image, sum_of_two_places};
    for (int i = 0; i < COUNT_OF(make); i++) {
        TestGraph t = test_graph((uint64_t)i);
        make[i](&t);
        round_to_whole(&t);
        LowerOptions options = WITH_TABLE(.target = target_at(0), .force = "conv_direct");
        compare_with_options(&t, &options, 0, "sums");
        CU_ASSERT_EQUAL(count_stored(&t, &options, "conv_direct"), 0);
        arena_free(t.arena);
    }
}

/* The second sum reads what is made of the first. */
TEST(sums_that_read_each_other) {
    for (int i = 0; i < target_count(); i++) {
        TestGraph t = test_graph(3);
        Node *map = make_fixed(&t), *sum = sum_to_channels(&t, map);
        new_output(&t, sum);
        new_output(&t, sum_to_channels(
                           &t, binary(&t, OP_mul, map, build_broadcast(t.graph, sum, 4, map->shape.dims))));
        read_map(&t, map);
        round_to_whole(&t);
        LowerOptions options = WITH_TABLE(.target = target_at(i), .force = "conv_direct");
        compare_with_options(&t, &options, 1e-6, "sums");
        CU_ASSERT_EQUAL(count_stored(&t, &options, "conv_direct"), 1);
        arena_free(t.arena);
    }
}

/* ---- sums of squares of differences ---- */

/* The squares of differences from `times` the mean, which comes of the same map, whose
 * mean is large beside its deviation. */
static void make_squares(TestGraph *t, const SummedConv *of, double times) {
    Node *map = make_conv(t, of);
    map = binary(t, OP_add, map, build_splat(t->graph, 5000, map->shape));
    double places = (double)(of->images * of->side * of->side);
    Node *sum = sum_to_channels(t, map);
    Node *about = binary(t, OP_mul, sum, build_splat(t->graph, times / places, sum->shape));
    Node *difference = binary(t, OP_sub, map, build_broadcast(t->graph, about, 4, map->shape.dims));
    Node *squares = sum_to_channels(t, binary(t, OP_mul, difference, difference));
    new_output(t, about);
    new_output(t, binary(t, OP_mul, squares, build_splat(t->graph, 1 / places, squares->shape)));
    read_map(t, map);
}

static void compare_squares(const SummedConv *of, int target, double tolerance) {
    static const double times[] = {1, 0.5};
    for (int i = 0; i < COUNT_OF(times); i++) {
        TestGraph t = test_graph((uint64_t)i);
        make_squares(&t, of, times[i]);
        round_to_whole(&t);
        LowerOptions options =
            WITH_TABLE(.target = target_at(target), .force = of->kind, .winograd = of->tile);
        compare_with_options(&t, &options, tolerance, of->what);
        CU_ASSERT_EQUAL(count_stored(&t, &options, of->kind), of->sums ? 2 : 0);
        arena_free(t.arena);
    }
}

/* The deviation is 5 to 60: the sum of x * x would lose all or most digits. */
TEST(variances_keep_their_digits) {
    for (int i = 0; i < target_count() * COUNT_OF(convs); i++)
        compare_squares(&convs[i % COUNT_OF(convs)], i / COUNT_OF(convs), 2e-5);
}

TEST(variances_of_Winograd_keep_their_digits) {
    for (int i = 0; i < target_count() * COUNT_OF(winograds); i++)
        compare_squares(&winograds[i % COUNT_OF(winograds)], i / COUNT_OF(winograds), 2e-4);
}
