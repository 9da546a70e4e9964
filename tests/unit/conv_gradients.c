/* The gradient of a convolution by its weights (kernels/conv/conv_gradient.c, and
 * kernels/winograd/winograd_gradient.c) beyond what shapes.txt says: what stands behind
 * it, operands and results that are parts of others, and the same bits on any number of
 * threads. */
#include "backend_support.h"
#include "../kernels/shape.h"

static Node *gradient(TestGraph *t, Node *x, Node *dy, int64_t kernel, int64_t before) {
    DimList sizes = DIMS(size(t, kernel), size(t, kernel));
    return MAKE(t, convolution_backward_weights, ((Node *[]){x, dy}), 2, INTS(1, 1), INTS(1, 1),
                INTS(before, before), sizes, 1);
}

static Node *map_of(TestGraph *t, int64_t channels) {
    return new_input(t, -3, 3, SIZES(size(t, 2), size(t, channels), size(t, 9), size(t, 12)));
}

/* Of whole numbers, so that all sums are exact, but for Winograd's: sums of 216 products
 * of whole numbers up to 3 have a root mean square of 60. */
static void compare_gradients(void (*make)(TestGraph *t), const char *what) {
    static const struct {
        const char *kind;
        double tolerance;
    } ways[] = {{"conv_gradient", 0}, {"conv_winograd_gradient", 2e-3}};
    for (int i = 0; i < target_count() * COUNT_OF(ways); i++) {
        TestGraph t = test_graph(7);
        make(&t);
        for (int k = 0; k < t.inputs.count; k++)
            for (int64_t n = 0; n < t.inputs.items[k].count; n++)
                t.inputs.items[k].values[n].real = round(t.inputs.items[k].values[n].real);
        LowerOptions options = WITH_TABLE(.target = target_at(i / COUNT_OF(ways)),
                                          .force = ways[i % COUNT_OF(ways)].kind, .own_slots = true);
        compare_with_options(&t, &options, ways[i % COUNT_OF(ways)].tolerance, what);
        arena_free(t.arena);
    }
}

/* Steps of an optimizer: weights less a part of the gradient, scaled as a whole, by rows,
 * by columns, and by taps. */
static void make_steps(TestGraph *t) {
    const int64_t scales[][4] = {{1, 1, 1, 1}, {40, 1, 1, 1}, {1, 24, 1, 1}, {1, 1, 3, 3}, {40, 24, 3, 3}};
    Node *step = gradient(t, map_of(t, 24), map_of(t, 40), 3, 1);
    for (int i = 0; i < COUNT_OF(scales); i++) {
        Dim dims[4];
        for (int k = 0; k < 4; k++) dims[k] = size(t, scales[i][k]);
        Node *scaled =
            binary(t, OP_mul, gradient(t, map_of(t, 24), map_of(t, 40), 3, 1), new_input(t, -2, 2, 4, dims));
        new_output(t, binary(t, OP_sub, new_input(t, -9, 9, 4, step->shape.dims), scaled));
    }
    new_output(t, binary(t, OP_mul, gradient(t, map_of(t, 24), map_of(t, 40), 1, 0),
                         new_input(t, -2, 2, SIZES(size(t, 24), size(t, 1), size(t, 1)))));
    Node *swapped = gradient(t, map_of(t, 40), map_of(t, 24), 1, 0);
    new_output(t, binary(t, OP_sub, new_input(t, -9, 9, 4, swapped->shape.dims), swapped));
    new_output(t,
               binary(t, OP_mul, swapped, new_input(t, -2, 2, SIZES(size(t, 40), size(t, 1), size(t, 1)))));
}

TEST(steps_behind_gradients) { compare_gradients(make_steps, "steps"); }

/* Results that lie in a concatenation: beside each other in rows, and tap by tap, where
 * no row is in one piece. */
static void make_concatenated(TestGraph *t) {
    for (int axis = 0; axis < 4; axis++) {
        Node *parts[2] = {gradient(t, map_of(t, 24), map_of(t, 40), 3, 1),
                          gradient(t, map_of(t, 24), map_of(t, 40), 3, 1)};
        new_output(t, build_concat(t->graph, parts, 2, axis));
    }
}

TEST(gradients_in_a_concatenation) { compare_gradients(make_concatenated, "concatenated"); }

static Node *cut(TestGraph *t, Node *map, int axis, int64_t from, int64_t count) {
    Dim begin[4], sizes[4];
    for (int i = 0; i < 4; i++)
        begin[i] = size(t, i == axis ? from : 0), sizes[i] = i == axis ? size(t, count) : map->shape.dims[i];
    return build_slice(t->graph, map, begin, sizes, NULL);
}

/* Maps that are cut out of others: by channels, images, rows and columns, of which the
 * last two are no flat maps any more. */
static void make_cut(TestGraph *t) {
    const struct { int axis; int64_t from, count; } cuts[] = {{0, 1, 1}, {1, 16, 16}, {2, 1, 7}, {3, 2, 9}};
    for (int i = 0; i < COUNT_OF(cuts); i++) {
        Node *x =
            cut(t, binary(t, OP_max, map_of(t, 48), splat(t, 0)), cuts[i].axis, cuts[i].from, cuts[i].count);
        Node *dy =
            cut(t, binary(t, OP_max, map_of(t, 48), splat(t, 0)), cuts[i].axis, cuts[i].from, cuts[i].count);
        new_output(t, gradient(t, x, dy, 1, 0));
        new_output(t, gradient(t, x, dy, 3, 1));
    }
}

TEST(gradients_of_cut_maps) { compare_gradients(make_cut, "cut maps"); }

/* ---- threads ---- */

static void compare_threads(const ShapeLine *shape, const char *text, void *context) {
    TestGraph t = shape_graph(shape, 3);
    LowerOptions options = WITH_TABLE(.target = context, .force = shape->by);
    Compiled compiled;
    Number *first, *next;
    int64_t count = 0, differ = 0;
    for (int i = 0; i < t.inputs.count; i++)
        for (int64_t k = 0; k < t.inputs.items[i].count; k++)
            t.inputs.items[i].values[k].real += (double)(k % 97) / 101;
    round_inputs(&t);
    CU_ASSERT_FATAL(compile_and_load(&t, &options, &compiled) && run_compiled(&compiled, 1, &first));
    count = count_of(&t, t.graph->outputs.items[0].node->shape);
    for (int threads = 2; threads <= 4; threads++) {
        CU_ASSERT_FATAL(run_compiled(&compiled, threads, &next));
        for (int64_t i = 0; i < count; i++) differ += first[i].real != next[i].real;
    }
    if (differ)
        printf("\n  %s (%s): %lld differ\n", text, ((const Target *)context)->name, (long long)differ);
    CU_ASSERT_EQUAL(differ, 0);
    unload(&compiled);
    arena_free(t.arena);
}

/* Parts of images and of rows, all three forms, sizes that are free, rounds of map tiles,
 * and of groups whose weights they transform. */
TEST(bits_do_not_depend_on_threads) {
    static const char *const lines[] = {
        "convw by=conv_gradient n=5 ic=32 oc=64 k=3 p=1 square=28 free=0,1",
        "convw by=conv_gradient n=1 ic=24 oc=40 k=3 p=1 h=60 w=90",
        "convw by=conv_gradient n=6 ic=64 oc=80 k=1 square=14",
        "convw by=conv_gradient n=6 ic=144 oc=24 k=1 square=14",
        "convw by=conv_gradient n=3 ic=3 oc=32 k=7 s=2 p=3 square=60",
        "convw by=conv_gradient n=4 ic=48 oc=48 k=3 p=1 g=48 square=30",
        "convw by=conv_winograd_gradient n=5 ic=32 oc=64 k=3 p=1 square=28 free=0,1",
        "convw by=conv_winograd_gradient n=1 ic=24 oc=136 k=3 p=1 h=60 w=90",
        "convw by=conv_winograd_gradient n=5 ic=32 oc=64 k=4 s=1,2 p=1 square=28 free=0,1",
        "convw by=conv_winograd_gradient n=2 ic=200 oc=264 k=4 s=1,2 p=1 square=8",
        "conv by=conv_winograd n=2 ic=192 oc=264 k=4 s=1,2 p=1 square=8 computed=1",
        "tconv by=conv_winograd n=2 ic=200 oc=264 k=4 s=1,2 p=1 square=8 computed=1"};
    for (int i = 0; i < COUNT_OF(lines) * target_count(); i++) {
        const Target *target = target_at(i % target_count());
        if (can_run(target->name)) each_shape(lines[i / target_count()], compare_threads, (void *)target);
    }
}
