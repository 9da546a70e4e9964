/* First and second derivatives of every differentiable operator against central
 * differences through the reference evaluator, away from kinks. Elementwise operators
 * come from the table; any other without a case here fails. */
#include "graph_test.h"

typedef Node *(*Build)(TestGraph *t);

#define X(t, low, high) new_input((t), (low), (high), SIZES(size((t), 3), (t)->H))

static Node *case_mod(TestGraph *t) { /* the divisor goes twice into all of them */
    Node *a = X(t, 2.3, 2.7);
    return build_binary(t->graph, OP_mod, a, X(t, 0.95, 1.05));
}

static Node *case_abs_negative(TestGraph *t) { return build_unary(t->graph, OP_abs, X(t, -1, -0.1)); }

static Node *case_pow_constant(TestGraph *t) {
    Node *x = X(t, 0.5, 2);
    return build_binary(t->graph, OP_pow, x, build_scalar(t->graph, 2.5, DTYPE_F32));
}

static Node *case_relu(TestGraph *t) {
    Node *x = X(t, -1, 1);
    return build_binary(t->graph, OP_max, x, build_scalar(t->graph, 0, DTYPE_F32));
}

/* through f16 values would be rounded, so the difference quotient sees only a cast to
 * itself */
static Node *case_cast(TestGraph *t) {
    Node *x = X(t, -1, 1);
    return graph_make(t->graph, OP_cast, &x, 1, &(cast_attributes){DTYPE_F32});
}

static Node *case_select(TestGraph *t) {
    Node *a = X(t, -1, 1), *b = X(t, -1, 1), *other = new_parameter(t, -1, 1, 2, a->shape.dims);
    return build_select(t->graph, build_binary(t->graph, OP_lt, other, build_splat(t->graph, 0, a->shape)), a,
                        b);
}

static Node *case_reshape(TestGraph *t) {
    return build_reshape(t->graph, X(t, -1, 1), SIZES(t->H, size(t, 3)));
}

static Node *case_transpose(TestGraph *t) {
    Node *x = new_input(t, -1, 1, SIZES(size(t, 2), size(t, 3), t->H));
    return build_transpose(t->graph, x, (int64_t[]){1, 2, 0});
}

static Node *case_broadcast(TestGraph *t) {
    Node *x = new_input(t, -1, 1, SIZES(size(t, 1), size(t, 3), size(t, 1)));
    return build_broadcast(t->graph, x, SIZES(t->N, size(t, 3), t->H));
}

static Node *case_slice(TestGraph *t) {
    Node *x = new_input(t, -1, 1, SIZES(size(t, 4), dim_scale(t->graph->dims, t->H, 2)));
    return build_slice(t->graph, x, (Dim[]){size(t, 1), size(t, 0)},
                       (Dim[]){size(t, 2), dim_offset(t->graph->dims, t->H, -1)}, (int64_t[]){1, 2});
}

static Node *padded(TestGraph *t, const char *mode) {
    Node *x = X(t, -1, 1);
    return build_pad(t->graph, x, (Dim[]){size(t, 0), size(t, 2)}, (Dim[]){size(t, 1), size(t, 3)}, mode,
                     0.25);
}
static Node *case_pad(TestGraph *t) { return padded(t, "constant"); }
static Node *case_pad_reflect(TestGraph *t) { return padded(t, "reflect"); }
static Node *case_pad_replicate(TestGraph *t) { return padded(t, "replicate"); }

static Node *case_pad_input(TestGraph *t) {
    Node *dy = new_input(t, -1, 1, SIZES(size(t, 3), dim_offset(t->graph->dims, t->H, 3)));
    return MAKE(t, pad_input, &dy, 1, DIMS(size(t, 0), size(t, 1)), DIMS(size(t, 3), t->H),
                intern(t->graph->names, "reflect"));
}

static Node *case_concat(TestGraph *t) {
    Node *parts[3] = {X(t, -1, 1), X(t, -1, 1), new_input(t, -1, 1, SIZES(size(t, 3), size(t, 2)))};
    return build_concat(t->graph, parts, 3, 1);
}

static Node *case_flip(TestGraph *t) {
    Node *x = X(t, -1, 1);
    return MAKE(t, flip, &x, 1, INTS(0, 1));
}

static Node *indices(TestGraph *t) {
    Data data = {3, (Number[]){{.whole = 2}, {.whole = 0}, {.whole = 2}}};
    return MAKE(t, constant, NULL, 0, DTYPE_I32, DIMS(size(t, 3)), &data);
}

static Node *case_gather(TestGraph *t) {
    Node *inputs[2] = {X(t, -1, 1), indices(t)};
    return MAKE(t, gather, inputs, 2, 0);
}

static Node *case_scatter_add(TestGraph *t) {
    Node *inputs[2] = {X(t, -1, 1), indices(t)};
    return MAKE(t, scatter_add, inputs, 2, 0, DIMS(size(t, 4)));
}

static Node *case_put(TestGraph *t) {
    Node *inputs[3] = {X(t, -1, 1), indices(t), NULL};
    Dim rows[] = {size(t, 3), inputs[0]->shape.dims[1]};
    inputs[2] = new_input(t, -1, 1, 2, rows);
    return MAKE(t, put, inputs, 3, 0);
}

static Node *case_sum(TestGraph *t) { return build_sum(t->graph, X(t, -1, 1), (int64_t[]){1}, 1); }

static Node *case_reduce_max(TestGraph *t) {
    Node *x = X(t, -1, 1);
    return MAKE(t, reduce_max, &x, 1, INTS(1));
}

static Node *case_cumsum(TestGraph *t) {
    Node *x = X(t, -1, 1);
    return MAKE(t, cumsum, &x, 1, 1);
}

static Node *case_matmul(TestGraph *t) {
    Node *a = new_input(t, -1, 1, SIZES(t->N, size(t, 3), t->H));
    return graph_make(t->graph, OP_matmul, (Node *[]){a, new_input(t, -1, 1, SIZES(t->N, t->H, size(t, 2)))},
                      2, NULL);
}

/* x [2, 4, 6, H + 2], y [2, 6, 3, H], w [6, 2, 3, 2] with stride 2, 1, dilation 1, 2,
 * before 1, 0, 2 groups. */
static Node *case_convolution(TestGraph *t) {
    Node *x = new_input(t, -1, 1, SIZES(t->N, size(t, 4), size(t, 6), dim_offset(t->graph->dims, t->H, 2)));
    Node *inputs[2] = {x, new_input(t, -1, 1, SIZES(size(t, 6), size(t, 2), size(t, 3), size(t, 2)))};
    return MAKE(t, convolution, inputs, 2, INTS(2, 1), INTS(1, 2), INTS(1, 0), DIMS(size(t, 3), t->H), 2);
}

static Node *case_convolution_backward_data(TestGraph *t) {
    Node *y = new_input(t, -1, 1, SIZES(t->N, size(t, 6), size(t, 3), t->H));
    Node *inputs[2] = {y, new_input(t, -1, 1, SIZES(size(t, 6), size(t, 2), size(t, 3), size(t, 2)))};
    return MAKE(t, convolution_backward_data, inputs, 2, INTS(2, 1), INTS(1, 2), INTS(1, 0),
                DIMS(size(t, 6), dim_offset(t->graph->dims, t->H, 2)), 2);
}

static Node *case_convolution_backward_weights(TestGraph *t) {
    Node *x = new_input(t, -1, 1, SIZES(t->N, size(t, 4), size(t, 6), dim_offset(t->graph->dims, t->H, 2)));
    Node *inputs[2] = {x, new_input(t, -1, 1, SIZES(t->N, size(t, 6), size(t, 3), t->H))};
    return MAKE(t, convolution_backward_weights, inputs, 2, INTS(2, 1), INTS(1, 2), INTS(1, 0),
                DIMS(size(t, 3), size(t, 2)), 2);
}

/* Windows of 3 by 2, stride 2 by 1, before 1 by 0, over [2, 3, 6, H + 1] to [2, 3, 3,
 * H]. */
static Node *pool_input(TestGraph *t) {
    return new_input(t, -1, 1, SIZES(t->N, size(t, 3), size(t, 6), dim_offset(t->graph->dims, t->H, 1)));
}
static Node *pool_output(TestGraph *t) {
    return new_input(t, -1, 1, SIZES(t->N, size(t, 3), size(t, 3), t->H));
}

static Node *case_pool_sum(TestGraph *t) {
    Node *x = pool_input(t);
    return MAKE(t, pool_sum, &x, 1, INTS(3, 2), INTS(2, 1), INTS(1, 2), INTS(1, 0), DIMS(size(t, 3), t->H));
}

static Node *case_pool_sum_input(TestGraph *t) {
    Node *y = pool_output(t);
    return MAKE(t, pool_sum_input, &y, 1, INTS(3, 2), INTS(2, 1), INTS(1, 2), INTS(1, 0),
                DIMS(size(t, 6), dim_offset(t->graph->dims, t->H, 1)));
}

static Node *case_pool_max(TestGraph *t) {
    Node *x = pool_input(t);
    return MAKE(t, pool_max, &x, 1, INTS(3, 2), INTS(2, 1), INTS(1, 1), INTS(1, 0), DIMS(size(t, 3), t->H));
}

static Node *case_max_pool_scatter(TestGraph *t) {
    Node *x = pool_input(t), *inputs[2] = {x, pool_output(t)};
    return MAKE(t, max_pool_scatter, inputs, 2, INTS(3, 2), INTS(2, 1), INTS(1, 1), INTS(1, 0));
}

static Node *case_max_pool_gather(TestGraph *t) {
    Node *x = pool_input(t), *inputs[2] = {x, pool_input(t)};
    return MAKE(t, max_pool_gather, inputs, 2, INTS(3, 2), INTS(2, 1), INTS(1, 1), INTS(1, 0),
                DIMS(size(t, 3), t->H));
}

static Node *resampled(TestGraph *t, Op op, const char *mode, const char *rule, bool antialias) {
    Node *x = new_input(t, -1, 1, SIZES(size(t, 2), size(t, 3), t->H));
    Name by = intern(t->graph->names, mode), where = intern(t->graph->names, rule);
    resample_attributes attributes = {DIMS(size(t, 5), dim_scale(t->graph->dims, t->H, 2)), by, where,
                                      antialias, -0.75};
    if (op == OP_resample) return graph_make(t->graph, op, &x, 1, &attributes);
    Node *y = new_input(t, -1, 1, SIZES(size(t, 2), size(t, 5), dim_scale(t->graph->dims, t->H, 2)));
    attributes.size = (DimList){2, x->shape.dims + 1};
    return graph_make(t->graph, op, &y, 1, &attributes);
}
static Node *case_resample(TestGraph *t) {
    return resampled(t, OP_resample, "bilinear", "half_pixel", false);
}
static Node *case_resample_nearest(TestGraph *t) {
    return resampled(t, OP_resample, "nearest", "asymmetric", false);
}
static Node *case_resample_corners(TestGraph *t) {
    return resampled(t, OP_resample, "bilinear", "align_corners", false);
}
static Node *case_resample_input(TestGraph *t) {
    return resampled(t, OP_resample_input, "bilinear", "pytorch_half_pixel", false);
}
static Node *case_resample_cubic(TestGraph *t) {
    return resampled(t, OP_resample, "cubic", "half_pixel", false);
}
static Node *case_resample_area(TestGraph *t) {
    return resampled(t, OP_resample, "area", "half_pixel", false);
}
static Node *case_resample_antialias(TestGraph *t) {
    return resampled(t, OP_resample, "cubic", "half_pixel", true);
}
static Node *case_resample_input_cubic(TestGraph *t) {
    return resampled(t, OP_resample_input, "cubic", "align_corners", false);
}

#define CASE(op) {OP_##op, #op, case_##op}
static const struct {
    Op op;
    const char *name;
    Build build;
} cases[] = {
    CASE(cast),
    CASE(mod),
    CASE(select),
    CASE(reshape),
    CASE(transpose),
    CASE(broadcast),
    CASE(slice),
    CASE(pad),
    CASE(pad_input),
    CASE(concat),
    CASE(flip),
    CASE(gather),
    CASE(scatter_add),
    CASE(put),
    CASE(sum),
    CASE(reduce_max),
    CASE(cumsum),
    CASE(convolution),
    CASE(convolution_backward_data),
    CASE(convolution_backward_weights),
    CASE(matmul),
    CASE(pool_sum),
    CASE(pool_sum_input),
    CASE(pool_max),
    CASE(max_pool_scatter),
    CASE(max_pool_gather),
    CASE(resample),
    CASE(resample_input),
    {OP_abs, "abs of negatives", case_abs_negative},
    {OP_pow, "pow with constant exponent", case_pow_constant},
    {OP_max, "relu", case_relu},
    {OP_pad, "pad reflect", case_pad_reflect},
    {OP_pad, "pad replicate", case_pad_replicate},
    {OP_resample, "resample nearest", case_resample_nearest},
    {OP_resample, "resample align_corners", case_resample_corners},
    {OP_resample, "resample cubic", case_resample_cubic},
    {OP_resample, "resample area", case_resample_area},
    {OP_resample, "resample antialias", case_resample_antialias},
    {OP_resample_input, "resample_input cubic", case_resample_input_cubic},
};

/* sum(y * r) for fixed numbers r that no derivative is blind to. */
static Node *weighed(TestGraph *t, Node *y) {
    Node *r = new_parameter(t, 0.5, 1.5, y->shape.rank, y->shape.dims);
    int64_t axes[8];
    for (int i = 0; i < y->shape.rank; i++) axes[i] = i;
    Node *sum = build_sum(t->graph, build_binary(t->graph, OP_mul, y, r), axes, y->shape.rank);
    return build_reshape(t->graph, sum, 0, NULL);
}

static double value_of(TestGraph *t, Node *y) {
    RefTensor result;
    evaluate(t, t->graph, &y, 1, &result);
    return result.values[0].real;
}

/* d(y)/d(inputs) by the rules against (y(x + e) - y(x - e)) / 2e, at up to 12 elements of
 * each of the first `count` inputs. */
static void compare(TestGraph *t, Node *y, int count, Node **gradients, const char *name, const char *order) {
    Node *xs[4] = {NULL};
    RefTensor results[4];
    for (int i = 0; i < count; i++) xs[i] = t->inputs.items[i].node;
    graph_gradient(t->graph, y, xs, count, gradients);
    evaluate(t, t->graph, gradients, count, results);
    for (int i = 0; i < count; i++) {
        TestInput *input = &t->inputs.items[i];
        int64_t step = input->count / 12 + 1;
        for (int64_t at = 0; at < input->count; at += step) {
            double old = input->values[at].real, e = 1e-5;
            input->values[at].real = old + e;
            double above = value_of(t, y);
            input->values[at].real = old - e;
            double slope = (above - value_of(t, y)) / (2 * e), found = results[i].values[at].real;
            input->values[at].real = old;
            if (fabs(slope - found) <= 1e-6 * (1 + fabs(slope))) continue;
            printf("\n  %s, %s derivative by input %d at %lld: rule %.9g, difference %.9g\n", name, order, i,
                   (long long)at, found, slope);
            CU_FAIL("derivative");
            return;
        }
    }
}

/* Of the node that was made last, by all inputs; parameters are not differentiated by. */
static void check_derivatives(TestGraph *t, Node *y, const char *name) {
    Node *first[4], *second[4];
    int count = 0;
    while (count < t->inputs.count && t->inputs.items[count].node->op == OP_input) count++;
    compare(t, weighed(t, y), count, first, name, "first");
    Node *sum = build_scalar(t->graph, 0, DTYPE_F32);
    for (int i = 0; i < count; i++) sum = build_binary(t->graph, OP_add, sum, weighed(t, first[i]));
    compare(t, sum, count, second, name, "second");
    graph_verify(t->graph, "gradient");
}

static bool has_case(Op op) {
    for (int i = 0; i < COUNT_OF(cases); i++)
        if (cases[i].op == op) return true;
    return false;
}

/* An elementwise operator without a case of its own, of numbers that are positive where
 * it asks for that, or has a pole or a kink at 0. */
static void check_elementwise(Op op) {
    TestGraph t = test_graph((uint64_t)op + 1);
    bool positive = takes_positive(op) || op == OP_div || op == OP_abs;
    Node *inputs[2];
    for (int i = 0; i < op_info[op].max_inputs; i++) inputs[i] = X(&t, positive ? 0.5 : -1, positive ? 2 : 1);
    check_derivatives(&t, graph_make(t.graph, op, inputs, op_info[op].max_inputs, NULL), op_info[op].name);
    arena_free(t.arena);
}

TEST(every_operator) {
    for (Op op = 0; op < OP_COUNT; op++) {
        bool elementwise = makes_floats(op, 1) || makes_floats(op, 2);
        if (!op_is_differentiable(op) || has_case(op)) continue;
        if (!elementwise) printf("\n  no case for %s\n", op_info[op].name);
        CU_ASSERT(elementwise);
        if (elementwise) check_elementwise(op);
    }
    for (int i = 0; i < COUNT_OF(cases); i++) {
        TestGraph t = test_graph((uint64_t)i + 1);
        Node *y = cases[i].build(&t);
        CU_ASSERT_EQUAL(y->op, cases[i].op);
        check_derivatives(&t, y, cases[i].name);
        arena_free(t.arena);
    }
}

/* The derivative of op(x, ...) at one point, for kinks. */
static double slope_at(Op op, double x, double other, bool other_is_constant) {
    TestGraph t = test_graph(1);
    Node *a = new_input(&t, x, x, 0, NULL), *b = other_is_constant ? build_scalar(t.graph, other, DTYPE_F32)
                                                                   : new_input(&t, other, other, 0, NULL);
    Node *gradient;
    Node *y = op_info[op].max_inputs == 1 ? build_unary(t.graph, op, a) : build_binary(t.graph, op, a, b);
    graph_gradient(t.graph, y, &a, 1, &gradient);
    double slope = value_of(&t, gradient);
    arena_free(t.arena);
    return slope;
}

/* What PyTorch gives at these points. */
TEST(kinks_are_PyTorchs) {
    CU_ASSERT_EQUAL(slope_at(OP_abs, 0, 0, true), 0);
    CU_ASSERT_EQUAL(slope_at(OP_max, 0, 0, true), 0); /* relu */
    CU_ASSERT_EQUAL(slope_at(OP_min, 6, 6, true), 0); /* relu6 */
    CU_ASSERT_EQUAL(slope_at(OP_max, 1, 1, false), 0.5);
    CU_ASSERT_EQUAL(slope_at(OP_min, 1, 1, false), 0.5);
    CU_ASSERT_EQUAL(slope_at(OP_pow, 0, 0, false), 0);
    CU_ASSERT_EQUAL(slope_at(OP_pow, 0, 2, false), 0);
}

TEST(equal_maxima_share) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 1, 1, SIZES(size(&t, 4))), *gradient;
    t.inputs.items[0].values[2].real = 0;
    Node *top = build_reshape(t.graph, MAKE(&t, reduce_max, &x, 1, INTS(0)), 0, NULL);
    graph_gradient(t.graph, top, &x, 1, &gradient);
    RefTensor result;
    evaluate(&t, t.graph, &gradient, 1, &result);
    CU_ASSERT_DOUBLE_EQUAL(result.values[0].real, 1.0 / 3, 1e-12);
    CU_ASSERT_EQUAL(result.values[2].real, 0);
    arena_free(t.arena);
}

/* relu6: behind its derivative stands its result alone, and max(x, 0) is not kept. */
TEST(clamps_are_known_by_their_result) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, -9, 9, SIZES(size(&t, 64))), *gradient;
    Dim dims[] = {size(&t, 64)};
    Node *above = binary(&t, OP_max, x, build_splat(t.graph, 0, (Shape){DTYPE_F32, 1, dims}));
    Node *clamped = binary(&t, OP_min, above, build_splat(t.graph, 6, (Shape){DTYPE_F32, 1, dims}));
    Node *sum = build_reshape(t.graph, build_sum(t.graph, clamped, (int64_t[]){0}, 1), 0, NULL);
    graph_gradient(t.graph, sum, &x, 1, &gradient);
    new_output(&t, gradient);
    RefTensor *slopes = output_values(&t, t.graph);
    for (int i = 0; i < 64; i++) {
        double at = t.inputs.items[0].values[i].real;
        CU_ASSERT_EQUAL(element(&slopes[0], i), at > 0 && at < 6);
    }
    CU_ASSERT_EQUAL(graph_uses(t.graph)[above->id], 1);
    arena_free(t.arena);
}

TEST(what_does_not_depend_has_gradient_0) {
    TestGraph t = test_graph(1);
    Node *xs[3] = {new_input(&t, 1, 2, 0, NULL), new_input(&t, 1, 2, 0, NULL), NULL}, *gradients[3];
    Node *y = build_binary(t.graph, OP_mul, xs[0], build_unary(t.graph, OP_stop, xs[0]));
    xs[2] = build_unary(t.graph, OP_exp, y); /* made after y */
    graph_gradient(t.graph, y, xs, 3, gradients);
    CU_ASSERT_EQUAL(value_of(&t, gradients[0]), t.inputs.items[0].values[0].real); /* stop passes nothing */
    CU_ASSERT_EQUAL(value_of(&t, gradients[1]), 0);
    CU_ASSERT_EQUAL(value_of(&t, gradients[2]), 0);
    arena_free(t.arena);
}

/* A chain of 20,000 nodes: nothing recurses. */
TEST(deep_graphs) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 0.1, 0.2, 0, NULL), *y = x, *gradient;
    for (int i = 0; i < 20000; i++) y = build_unary(t.graph, OP_sin, y);
    graph_gradient(t.graph, y, &x, 1, &gradient);
    CU_ASSERT(value_of(&t, gradient) > 0);
    new_output(&t, gradient);
    PassOptions options = {.verify = true};
    CU_ASSERT(passes_run(t.graph, &options)->nodes.count > 40000);
    arena_free(t.arena);
}
