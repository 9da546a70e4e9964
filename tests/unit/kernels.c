/* The kernels against the reference, on the shapes of tests/kernels/shapes.txt: whole
 * numbers, so that every sum is exact, for every target, on one thread and on three. A
 * line that stands for more than MAX_SHAPES is tested on so many, spread over all; with
 * CAI_SWEEP in the environment on all. */
#include "backend_support.h"
#include "plan/winograd.h"
#include "../kernels/shape.h"

enum { MAX_SHAPES = 32 };

static const char shapes_path[] = "tests/kernels/shapes.txt";

/* ---- results ---- */

/* The lines of shapes.txt that a test has: those of its operators, every so many-th. */
typedef struct Choice {
    const char *operators;
    int part, parts, lines;
} Choice;

/* All fixed shapes of a line are one program for each target; each free one is its own,
 * for one target in turn. */
typedef struct Line {
    bool computed;    /* weights that the run packs */
    int all, seen;    /* shapes */
    TestGraph *fixed; /* one for each target */
    ShapeLine last;
    int fixed_count, free_count;
} Line;

/* Convolutions of real networks would take the reference minutes: they are compared with
 * conv_any, and that with the reference on small ones. */
static bool is_large(const ShapeLine *shape) { return strstr(shape->op, "conv") && shape_flops(shape) > 5e6; }

static LowerOptions shape_options(const ShapeLine *shape, const char *target) {
    int winograd = shape->tile ? (int)shape->tile : WINOGRAD_NEVER;
    return WITH_TABLE(.target = target_find(target), .force = *shape->by ? shape->by : NULL,
                      .winograd = winograd);
}

static double terms_of_convolution(const ShapeLine *shape) {
    if (strcmp(shape->op, "convw") == 0) return (double)(shape->n * shape->h * shape->w);
    return (double)(shape->kh * shape->kw * shape->ic);
}

static void compare(TestGraph *t, const ShapeLine *shape, const char *target, const char *text) {
    LowerOptions options = shape_options(shape, target),
                 any = WITH_TABLE(.target = target_at(0), .force = "conv_any", .own_slots = true);
    double tolerance = strcmp(shape->mode, "nearest") && strstr(shape->op, "resample") ? 1e-5 : 0;
    /* Winograd: 1e-5 of the outputs' root mean square */
    if (shape->tile) tolerance = 2.5e-5 * sqrt(terms_of_convolution(shape));
    /* what is nearly the same may round to the other neighbour */
    if (tolerance > 0 && shape->type != DTYPE_F32) tolerance += 1.0 / 128;
    options.own_slots = true;
    if (!can_run(target)) return;
    if (is_large(shape))
        compare_with_other(t, &options, &any, tolerance, arena_printf(t->arena, "%s (%s)", text, target));
    else compare_with_options(t, &options, tolerance, arena_printf(t->arena, "%s (%s)", text, target));
}

/* Multiples of the golden ratio, modulo 1, lie evenly however many are taken; in a list
 * of all combinations so does each value of each key. */
static bool is_in_sample(int number, int all) {
    double turns = number * 0.61803398874989485;
    return all <= MAX_SHAPES || getenv("CAI_SWEEP") || turns - floor(turns) < (double)MAX_SHAPES / all;
}

static void collect(const ShapeLine *shape, const char *text, void *context) {
    Line *line = context;
    ShapeLine *last = &line->last;
    if (!is_in_sample(line->seen++, line->all)) return;
    *last = *shape;
    last->computed = line->computed;
    if (shape->free) {
        TestGraph t = shape_graph(last, 1);
        compare(&t, last, target_at(line->free_count++ % target_count())->name, text);
        arena_free(t.arena);
        return;
    }
    for (int i = 0; i < target_count(); i++) add_shape(&line->fixed[i], last);
    line->fixed_count++;
}

static bool is_chosen(Choice *choice, const char *line) {
    char op[34] = " ";
    if (sscanf(line, "%31s", op + 1) != 1 || !strstr(choice->operators, strcat(op, " "))) return false;
    return choice->lines++ % choice->parts == choice->part;
}

static void ignore_shape(const ShapeLine *shape, const char *text, void *context) {
    (void)shape, (void)text, (void)context;
}

static void check_as(const char *text, bool computed) {
    Line line = {.computed = computed, .all = each_shape(text, ignore_shape, NULL)};
    line.fixed = calloc((size_t)target_count(), sizeof *line.fixed);
    for (int i = 0; i < target_count(); i++) line.fixed[i] = test_graph(2);
    each_shape(text, collect, &line);
    for (int i = 0; i < target_count(); i++) {
        if (line.fixed_count) compare(&line.fixed[i], &line.last, target_at(i)->name, text);
        arena_free(line.fixed[i].arena);
    }
    free(line.fixed);
}

static bool has_weight(const char *text) {
    static const char *const operators[] = {"conv ", "tconv ", "dense "};
    for (int i = 0; i < COUNT_OF(operators); i++)
        if (strncmp(text, operators[i], strlen(operators[i])) == 0) return true;
    return false;
}

/* With weights that are packed while building, and with such as the run packs; those of
 * real networks, which take long, one way only. */
static void check_line(const char *text, void *context) {
    if (!is_chosen(context, text)) return;
    bool timed = strstr(text, " timed=1"), computed = strstr(text, " computed=1");
    if (!computed) check_as(text, false);
    if (computed || (has_weight(text) && !timed)) check_as(text, true);
}

static void check_operators(const char *operators, int part, int parts) {
    Choice choice = {operators, part, parts, 0};
    each_line(shapes_path, check_line, &choice);
    CU_ASSERT(choice.lines > part);
}

TEST_IN_PARTS(convolutions, 24) { check_operators(" conv tconv convw ", part, parts); }
TEST_IN_PARTS(pools_and_resampling, 24) {
    check_operators(
        " pool_max pool_sum pool_sum_input max_pool_scatter max_pool_gather resample resample_input ", part,
        parts);
}
TEST_IN_PARTS(matrix_products, 8) { check_operators(" matmul dense ", part, parts); }

/* ---- what --explain promises of Winograd's accuracy ---- */

/* Root mean square of the error over that of the output y, on random numbers. */
static double relative_error(TestGraph *t, Node *y, const LowerOptions *options) {
    Compiled compiled;
    RefTensor wanted;
    Number *got;
    double error = 0, all = 0;
    round_inputs(t);
    evaluate(t, t->graph, &y, 1, &wanted);
    if (compile_and_load(t, options, &compiled) && run_compiled(&compiled, 1, &got))
        for (int64_t i = 0; i < wanted.shape.count; i++) {
            error += (got[i].real - wanted.values[i].real) * (got[i].real - wanted.values[i].real);
            all += wanted.values[i].real * wanted.values[i].real;
        }
    unload(&compiled);
    arena_free(t->arena);
    return sqrt(error / all);
}

/* Kernels by which Winograd convolves, and F(m, r) of convolutions and of gradients. */
typedef struct WinogradKernel {
    int64_t kernel, stride;
    int outputs, gradient_tile;
} WinogradKernel;

static const WinogradKernel winograd_kernels[] = {{3, 1, 2, 4}, {3, 1, 4, 4}, {4, 1, 3, 3}, {4, 2, 4, 4}};

static int taps_of(const WinogradKernel *k) { return (int)(k->kernel / k->stride); }

/* Of a convolution, from inputs to 12x12. */
static double measured_error(const WinogradKernel *k, int64_t inputs, bool computed, const char *target) {
    TestGraph t = test_graph(5);
    Dim twelve = size(&t, 12), channels = size(&t, inputs), taps = size(&t, k->kernel),
        side = size(&t, 11 * k->stride + k->kernel - 2);
    Node *x = new_input(&t, -1, 1, SIZES(size(&t, 1), channels, side, side));
    Dim kernel[] = {size(&t, 16), channels, taps, taps};
    Node *w = computed ? new_input(&t, -1, 1, 4, kernel) : new_parameter(&t, -1, 1, 4, kernel);
    Node *y = MAKE(&t, convolution, ((Node *[]){x, w}), 2, INTS(k->stride, k->stride), INTS(1, 1), INTS(1, 1),
                   DIMS(twelve, twelve), 1);
    new_output(&t, y);
    LowerOptions options =
        WITH_TABLE(.target = target_find(target), .winograd = k->outputs, .force = "conv_winograd");
    return relative_error(&t, y, &options);
}

TEST(errors_of_winograd) {
    const int64_t inputs[] = {16, 64, 256, 512};
    for (int i = 0; i < COUNT_OF(inputs) * COUNT_OF(winograd_kernels); i++) {
        const WinogradKernel *k = &winograd_kernels[i / COUNT_OF(inputs)];
        Winograd w = winograd(k->outputs, taps_of(k));
        int64_t channels = inputs[i % COUNT_OF(inputs)], terms = channels * k->stride * k->stride;
        const char *target = target_at(i % target_count())->name;
        for (int computed = 0; computed < 2 && can_run(target); computed++) {
            double error = measured_error(k, channels, computed, target),
                   ratio = error / winograd_error(&w, terms);
            CU_ASSERT(ratio > 0.7 && ratio < 1.4);
            CU_ASSERT(error < 1e-5);
        }
    }
}

/* The same of a gradient by weights, from dy of that many images and that side. */
static double measured_gradient_error(const WinogradKernel *k, int64_t images, int64_t side,
                                      const char *target) {
    TestGraph t = test_graph(5);
    Dim n = size(&t, images), channels = size(&t, 16), taps = size(&t, k->kernel), sides = size(&t, side),
        before = size(&t, (side - 1) * k->stride + k->kernel - 2);
    Node *x = new_input(&t, -1, 1, SIZES(n, channels, before, before)),
         *dy = new_input(&t, -1, 1, SIZES(n, channels, sides, sides));
    Node *dw = MAKE(&t, convolution_backward_weights, ((Node *[]){x, dy}), 2, INTS(k->stride, k->stride),
                    INTS(1, 1), INTS(1, 1), DIMS(taps, taps), 1);
    LowerOptions options = WITH_TABLE(.target = target_find(target), .force = "conv_winograd_gradient");
    new_output(&t, dw);
    return relative_error(&t, dw, &options);
}

TEST(errors_of_winograd_gradients) {
    const int64_t maps[][2] = {{1, 12}, {8, 7}, {4, 28}, {1, 128}};
    for (int i = 0; i < COUNT_OF(maps) * (COUNT_OF(winograd_kernels) - 1); i++) {
        const WinogradKernel *k = &winograd_kernels[1 + i / COUNT_OF(maps)];
        const int64_t *map = maps[i % COUNT_OF(maps)];
        const char *target = target_at(i % target_count())->name;
        Winograd w = winograd(taps_of(k), k->gradient_tile);
        if (!can_run(target)) continue;
        double error = measured_gradient_error(k, map[0], map[1], target);
        int64_t places = round_up(map[1], w.taps);
        double ratio = error / winograd_gradient_error(&w, map[0] * places * places);
        CU_ASSERT(ratio > 0.6 && ratio < 1.6);
        CU_ASSERT(error < 1e-5);
    }
}

/* ---- what shapes.txt cannot say: numbers of axes, types, unequal sides, a constant map ---- */

typedef struct ConstantMap {
    const char *kind;
    int64_t inputs, outputs, groups;
} ConstantMap;

static Node *make_constant_map(TestGraph *t, const ConstantMap *of) {
    IntList one = INTS(1, 1);
    Dim nine = size(t, 9), three = size(t, 3), channels = size(t, of->inputs);
    bool transposed = strcmp(of->kind, "conv_transposed") == 0;
    Dim outputs = size(t, of->outputs), inputs = size(t, of->inputs / of->groups);
    Node *x = new_parameter(t, -1, 1, SIZES(size(t, 1), channels, nine, nine));
    Node *w = new_input(t, -1, 1,
                        SIZES(transposed ? inputs : outputs, transposed ? outputs : inputs, three, three));
    Node *operands[] = {x, w};
    if (transposed)
        return MAKE(t, convolution_backward_data, operands, 2, one, one, one, DIMS(nine, nine), of->groups);
    return MAKE(t, convolution, operands, 2, one, one, one, DIMS(nine, nine), of->groups);
}

/* A constant map comes in the layout that its kernel wants, too. */
TEST(constant_maps) {
    static const ConstantMap cases[] = {{"conv_direct", 20, 24, 1},     {"conv_winograd", 20, 24, 1},
                                        {"conv_transposed", 20, 24, 1}, {"conv_few", 20, 3, 1},
                                        {"conv_grouped", 20, 20, 20},   {"conv_any", 20, 24, 1}};
    for (int i = 0; i < COUNT_OF(cases) * target_count(); i++) {
        const ConstantMap *of = &cases[i / target_count()];
        const char *target = target_at(i % target_count())->name;
        TestGraph t = test_graph((uint64_t)i);
        new_output(&t, make_constant_map(&t, of));
        LowerOptions options = WITH_TABLE(.target = target_find(target), .force = of->kind);
        const char *text = arena_printf(t.arena, "%s of a constant (%s)", of->kind, target);
        if (can_run(target)) compare_with_options(&t, &options, 1e-4, text);
        arena_free(t.arena);
    }
}

static void round_inputs_to_whole(TestGraph *t) {
    for (int i = 0; i < t->inputs.count; i++)
        for (int64_t k = 0; k < t->inputs.items[i].count; k++)
            t->inputs.items[i].values[k].real = round(t->inputs.items[i].values[k].real);
}

static void compare_on_targets(void (*make)(TestGraph *t), const char *what) {
    for (int i = 0; i < target_count(); i++) {
        TestGraph t = test_graph(3);
        make(&t);
        round_inputs_to_whole(&t);
        compare_with_reference(&t, target_at(i)->name, 0, what);
        arena_free(t.arena);
    }
}

static void make_one_axis(TestGraph *t) {
    Node *x = new_input(t, -3, 3, SIZES(size(t, 2), size(t, 6), size(t, 37)));
    Node *w = new_parameter(t, -2, 2, SIZES(size(t, 4), size(t, 3), size(t, 5)));
    Node *y = MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(2), INTS(1), INTS(2), DIMS(size(t, 19)), 2);
    new_output(t, y);
    new_output(t, MAKE(t, convolution_backward_data, ((Node *[]){y, w}), 2, INTS(2), INTS(1), INTS(2),
                       DIMS(size(t, 37)), 2));
    new_output(t, MAKE(t, convolution_backward_weights, ((Node *[]){x, y}), 2, INTS(2), INTS(1), INTS(2),
                       DIMS(size(t, 5)), 2));
    new_output(t, MAKE(t, pool_max, &x, 1, INTS(3), INTS(2), INTS(1), INTS(1), DIMS(size(t, 19))));
}

static void make_three_axes(TestGraph *t) {
    Dim five = size(t, 5);
    Node *x = new_input(t, -3, 3, SIZES(size(t, 1), size(t, 3), five, size(t, 4), size(t, 18)));
    Node *w = new_parameter(t, -2, 2, SIZES(size(t, 2), size(t, 3), size(t, 3), size(t, 2), size(t, 3)));
    IntList one = INTS(1, 1, 1), two = INTS(2, 1, 2), before = INTS(1, 0, 1);
    Node *y = MAKE(t, convolution, ((Node *[]){x, w}), 2, two, one, before,
                   DIMS(size(t, 3), size(t, 3), size(t, 9)), 1);
    new_output(t, y);
    new_output(t, MAKE(t, convolution_backward_data, ((Node *[]){y, w}), 2, two, one, before,
                       DIMS(five, size(t, 4), size(t, 18)), 1));
    new_output(t, MAKE(t, convolution_backward_weights, ((Node *[]){x, y}), 2, two, one, before,
                       DIMS(size(t, 3), size(t, 2), size(t, 3)), 1));
    Node *pooled =
        MAKE(t, pool_max, &x, 1, INTS(3, 2, 3), two, one, before, DIMS(size(t, 3), size(t, 3), size(t, 9)));
    new_output(t, pooled);
    new_output(t, MAKE(t, max_pool_scatter, ((Node *[]){x, pooled}), 2, INTS(3, 2, 3), two, one, before));
}

/* Whole numbers of few bits are exact in f16 and bf16, too. */
static void make_types(TestGraph *t) {
    static const DType types[] = {DTYPE_F16, DTYPE_BF16};
    Node *x = new_input(t, -3, 3, SIZES(size(t, 1), size(t, 2), size(t, 9), size(t, 18)));
    Node *w = new_input(t, -2, 2, SIZES(size(t, 3), size(t, 2), size(t, 3), size(t, 3)));
    Node *a = new_input(t, -3, 3, SIZES(size(t, 7), size(t, 9))),
         *b = new_input(t, -2, 2, SIZES(size(t, 9), size(t, 20)));
    IntList one = INTS(1, 1);
    for (int i = 0; i < COUNT_OF(types); i++) {
        Node *operands[2] = {build_cast(t->graph, x, types[i]), build_cast(t->graph, w, types[i])};
        new_output(t, MAKE(t, convolution, operands, 2, one, one, one, DIMS(size(t, 9), size(t, 18)), 1));
        Node *factors[2] = {build_cast(t->graph, a, types[i]), build_cast(t->graph, b, types[i])};
        new_output(t, graph_make(t->graph, OP_matmul, factors, 2, NULL));
        new_output(t, MAKE(t, pool_max, operands, 1, INTS(2, 2), INTS(2, 2), one, INTS(0, 0),
                           DIMS(size(t, 4), size(t, 9))));
    }
    Node *whole = build_cast(t->graph, x, DTYPE_I32);
    new_output(t, MAKE(t, pool_max, &whole, 1, INTS(3, 3), one, one, one, DIMS(size(t, 9), size(t, 18))));
    new_output(t, MAKE(t, pool_sum, &whole, 1, INTS(3, 3), one, one, one, DIMS(size(t, 9), size(t, 18))));
}

/* Sums that are exact in f32 but not in f16 or bf16, and so is what is added to them:
 * fused or not, each operator rounds for itself. */
static void make_rounding(TestGraph *t) {
    static const DType types[] = {DTYPE_F16, DTYPE_BF16};
    Dim one = size(t, 1), channels = size(t, 16), side = size(t, 9);
    Dim three = size(t, 3);
    Node *x = new_input(t, -50, 50, SIZES(one, channels, side, side));
    Node *w = new_parameter(t, -20, 20, SIZES(channels, channels, three, three));
    Node *b = new_input(t, -9999, 9999, SIZES(one, channels, one, one));
    Node *r = new_input(t, -9999, 9999, SIZES(one, channels, side, side));
    for (int i = 0; i < COUNT_OF(types); i++) {
        Graph *g = t->graph;
        Node *operands[2] = {build_cast(g, x, types[i]), build_cast(g, w, types[i])};
        IntList ones = INTS(1, 1);
        Node *sum = MAKE(t, convolution, operands, 2, ones, ones, ones, DIMS(side, side), 1);
        Node *biased = build_binary(g, OP_add, sum, build_cast(g, b, types[i]));
        Node *residual = build_cast(g, r, types[i]), *rest = build_binary(g, OP_sub, biased, residual);
        new_output(t, build_binary(g, OP_max, rest, build_splat(g, 0, rest->shape)));
        new_output(t, build_binary(g, OP_sub, build_binary(g, OP_mul, residual, operands[0]), residual));
    }
}

/* Constant maps lie in blocks of their type: read by elementwise work, and by weights of
 * the run. */
static void make_constant_maps(TestGraph *t) {
    static const DType types[] = {DTYPE_F16, DTYPE_BF16};
    Dim one = size(t, 1), channels = size(t, 24), side = size(t, 9), three = size(t, 3);
    Node *x = new_input(t, -3, 3, SIZES(one, channels, side, side));
    Node *map = new_parameter(t, -3, 3, SIZES(one, channels, side, side));
    Node *w = new_input(t, -2, 2, SIZES(channels, channels, three, three));
    IntList ones = INTS(1, 1);
    for (int i = 0; i < COUNT_OF(types); i++) {
        Node *typed = build_cast(t->graph, x, types[i]), *weights = build_cast(t->graph, w, types[i]);
        Node *constant = build_cast(t->graph, map, types[i]), *by_run[2] = {constant, weights};
        Node *of_run[2] = {typed, weights};
        new_output(t, MAKE(t, convolution, by_run, 2, ones, ones, ones, DIMS(side, side), 1));
        Node *sum = MAKE(t, convolution, of_run, 2, ones, ones, ones, DIMS(side, side), 1);
        new_output(t, build_binary(t->graph, OP_add, sum, constant));
    }
}

/* Strides and paddings that differ between the axes, and more or less padding behind than
 * before. */
static void make_uneven(TestGraph *t) {
    Dims *dims = t->graph->dims;
    Node *x = new_input(t, -3, 3, SIZES(t->N, size(t, 18), t->H, dim_offset(dims, t->H, 9)));
    Node *w = new_parameter(t, -2, 2, SIZES(size(t, 17), size(t, 18), size(t, 2), size(t, 5))),
         *operands[2] = {x, w};
    DimList same = DIMS(dim_floor_div(dims, dim_offset(dims, t->H, 1), 2), dim_offset(dims, t->H, 9));
    Node *y = MAKE(t, convolution, operands, 2, INTS(2, 1), INTS(1, 1), INTS(0, 1), same, 1);
    new_output(t, y);
    Node *v = new_parameter(t, -2, 2, SIZES(size(t, 17), size(t, 20), size(t, 3), size(t, 2))),
         *back[2] = {y, v};
    DimList larger = DIMS(dim_offset(dims, y->shape.dims[2], 1), dim_scale(dims, y->shape.dims[3], 3));
    new_output(t, MAKE(t, convolution_backward_data, back, 2, INTS(1, 3), INTS(1, 1), INTS(2, 0), larger, 1));
}

/* Weights that lie in memory in other ways than they are read: transposed, so that
 * inputs, outputs or neither are adjacent, and cut out of larger ones. */
static Node *turned_weight(TestGraph *t, const int64_t *to) {
    const int64_t sizes[] = {33, 18, 3, 3};
    Dim dims[4];
    for (int i = 0; i < 4; i++) dims[to[i]] = size(t, sizes[i]);
    return build_transpose(t->graph, new_input(t, -2, 2, 4, dims), to);
}

static Node *cut_weight(TestGraph *t, int64_t step) {
    Dim zero = size(t, 0), one = size(t, 1);
    Node *all = new_input(t, -2, 2, SIZES(size(t, 33), size(t, 18 * step), size(t, 4), size(t, 5)));
    Dim begin[] = {zero, zero, one, one}, sizes[] = {size(t, 33), size(t, 18), size(t, 3), size(t, 3)};
    return build_slice(t->graph, all, begin, sizes, (int64_t[]){1, step, 1, 1});
}

static void convolve_by(TestGraph *t, Node *x, Node *w) {
    DimList same = DIMS(x->shape.dims[2], x->shape.dims[3]);
    new_output(t, MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(1, 1), same, 1));
    Node *few[] = {x, build_slice(t->graph, w, (Dim[]){size(t, 0), size(t, 0), size(t, 0), size(t, 0)},
                                  (Dim[]){size(t, 3), size(t, 18), size(t, 3), size(t, 3)}, NULL)};
    new_output(t, MAKE(t, convolution, few, 2, INTS(1, 1), INTS(1, 1), INTS(1, 1), same, 1));
}

static void make_views(TestGraph *t) {
    static const int64_t orders[][4] = {{1, 0, 2, 3}, {2, 3, 0, 1}, {3, 2, 1, 0}, {3, 1, 0, 2}};
    Node *x = new_input(t, -3, 3, SIZES(size(t, 1), size(t, 18), size(t, 9), size(t, 12)));
    for (int i = 0; i < COUNT_OF(orders); i++) convolve_by(t, x, turned_weight(t, orders[i]));
    for (int64_t step = 1; step <= 2; step++) convolve_by(t, x, cut_weight(t, step));
}

static void compare_views(int winograd, const char *force, double tolerance) {
    for (int i = 0; i < target_count(); i++) {
        TestGraph t = test_graph(4);
        make_views(&t);
        round_inputs_to_whole(&t);
        LowerOptions options =
            WITH_TABLE(.target = target_at(i), .winograd = winograd, .force = force, .own_slots = true);
        compare_with_options(&t, &options, tolerance, "views as weights");
        arena_free(t.arena);
    }
}

TEST(views_as_weights) {
    compare_views(WINOGRAD_NEVER, NULL, 0);
    compare_views(4, "conv_winograd", 2.5e-5 * sqrt(9.0 * 18));
}

TEST(one_axis) { compare_on_targets(make_one_axis, "one axis"); }
TEST(three_axes) { compare_on_targets(make_three_axes, "three axes"); }
TEST(constant_maps_of_types) { compare_on_targets(make_constant_maps, "constant maps"); }
TEST(rounding) { compare_on_targets(make_rounding, "rounding"); }
TEST(types) { compare_on_targets(make_types, "types"); }
TEST(uneven_strides_and_paddings) { compare_on_targets(make_uneven, "uneven"); }
