/* Passes must not change what a graph computes: random graphs with every operator, and
 * their gradients, evaluated before and after each pass. Then what single passes are
 * for. */
#include "elaborate/elaborate.h"
#include "random_graph_support.h"
#include <glob.h>

/* ---- random graphs ---- */

static bool equal_values(const RefTensor *a, const RefTensor *b) {
    double scale = 1;
    for (int64_t i = 0; i < a->shape.count; i++)
        if (isfinite(element(a, i))) scale = fmax(scale, fabs(element(a, i)));
    for (int64_t i = 0; i < a->shape.count; i++) {
        double x = element(a, i), y = element(b, i);
        if (!(x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= 1e-9 * scale)) return false;
    }
    return a->shape.count == b->shape.count;
}

static int count_op(const Graph *graph, Op op) {
    int count = 0;
    for (int i = 0; i < graph->nodes.count; i++) count += graph->nodes.items[i]->op == op;
    return count;
}

static void check_passes(TestGraph *t, uint64_t seed) {
    RefTensor *before = output_values(t, t->graph);
    Graph *graph = t->graph;
    for (int p = 0; p < pass_count; p++) {
        graph = passes[p].run(graph);
        graph_verify(graph, passes[p].name);
        /* at most the reshapes that dense made can still move; nothing goes back and
         * forth */
        if (strcmp(passes[p].name, "dead") == 0) {
            Graph *once = pass_dead(pass_simplify(graph));
            CU_ASSERT_EQUAL(pass_dead(pass_simplify(once))->nodes.count, once->nodes.count);
            CU_ASSERT(once->nodes.count == graph->nodes.count || count_op(graph, OP_matmul) > 0);
        }
        RefTensor *after = output_values(t, graph);
        for (int i = 0; i < graph->outputs.count; i++) {
            if (equal_values(&before[i], &after[i])) continue;
            printf("\n  seed %llu: output %d differs after %s\n", (unsigned long long)seed, i,
                   passes[p].name);
            CU_FAIL("a pass changed a value");
            return;
        }
    }
}

TEST(random_graphs) {
    bool seen[OP_COUNT] = {false};
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        TestGraph t = test_graph(seed);
        random_graph(&t, (int)(seed % 3), false);
        for (int i = 0; i < t.graph->nodes.count; i++) seen[t.graph->nodes.items[i]->op] = true;
        check_passes(&t, seed);
        arena_free(t.arena);
    }
    seen[OP_state] = true; /* reads as a parameter does */
    for (int op = 0; op < OP_COUNT; op++) {
        if (!seen[op]) printf("\n  no random graph has a %s\n", op_info[op].name);
        CU_ASSERT(seen[op]);
    }
}

/* ---- single passes ---- */

static Graph *run_passes(TestGraph *t) {
    PassOptions options = {.verify = true};
    return passes_run(t->graph, &options);
}

/* (x - mean) * (1 / sqrt(var + eps)) * weight + bias, as the library writes it. */
static Node *batchnorm(TestGraph *t, Node *x) {
    Dim one = size(t, 1), dims[4] = {one, x->shape.dims[1], one, one};
    Node *p[4];
    for (int i = 0; i < 4; i++)
        p[i] = build_reshape(t->graph, new_parameter(t, 0.5, 1.5, 1, &dims[1]), 4, dims);
    Node *deviation = unary(t, OP_sqrt, binary(t, OP_add, p[1], splat(t, 1e-5)));
    Node *y = binary(t, OP_mul, binary(t, OP_sub, x, p[0]), binary(t, OP_div, splat(t, 1), deviation));
    return binary(t, OP_add, binary(t, OP_mul, y, p[2]), p[3]);
}

static Node *convolved(TestGraph *t, Op op, Node *x, int64_t before, int64_t groups) {
    Node *w = new_parameter(t, -0.5, 0.5, SIZES(size(t, 6), size(t, 6 / groups), size(t, 3), size(t, 3)));
    Dims *dims = t->graph->dims;
    int64_t change = op == OP_convolution ? 2 * before - 2 : 2 - 2 * before;
    DimList sizes =
        DIMS(dim_offset(dims, x->shape.dims[2], change), dim_offset(dims, x->shape.dims[3], change));
    convolution_attributes attributes = {INTS(1, 1), INTS(1, 1), INTS(before, before), sizes, groups};
    return graph_make(t->graph, op, (Node *[]){x, w}, 2, &attributes);
}

static Node *features(TestGraph *t) { return new_input(t, -1, 1, SIZES(t->N, size(t, 6), t->H, size(t, 6))); }

/* Nothing by channel is left after a contraction but the bias: one convolution, one
 * addition of `size` elements at run time. */
static void check_folded(TestGraph *t, Node *y, int additions) {
    new_output(t, y);
    RefTensor before = output_values(t, t->graph)[0];
    Graph *graph = run_passes(t);
    CU_ASSERT(equal_values(&before, &output_values(t, graph)[0]));
    int work = 0, sums = 0;
    for (int i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.items[i];
        if (op_info[node->op].class != CLASS_ELEMENTWISE || !shape_equal(node->shape, y->shape)) continue;
        if (node->op == OP_add) sums++;
        else work++;
    }
    CU_ASSERT_EQUAL(work, 0);
    CU_ASSERT_EQUAL(sums, additions);
    arena_free(t->arena);
}

TEST(batch_norm_after_contractions) {
    for (int64_t groups = 1; groups <= 3; groups++) {
        TestGraph t = test_graph(1);
        check_folded(&t, batchnorm(&t, convolved(&t, OP_convolution, features(&t), 1, groups)), 1);
        t = test_graph(2);
        check_folded(&t, batchnorm(&t, convolved(&t, OP_convolution_backward_data, features(&t), 1, groups)),
                     1);
    }
    TestGraph t = test_graph(3);
    Node *x = new_input(&t, -1, 1, SIZES(t.N, size(&t, 5))),
         *w = new_parameter(&t, -1, 1, SIZES(size(&t, 7), size(&t, 5)));
    Node *y = graph_make(t.graph, OP_matmul, (Node *[]){x, build_transpose(t.graph, w, (int64_t[]){1, 0})}, 2,
                         NULL);
    y = binary(&t, OP_mul, binary(&t, OP_add, y, new_parameter(&t, 0, 1, SIZES(size(&t, 7)))),
               new_parameter(&t, 1, 2, SIZES(size(&t, 7))));
    check_folded(&t, y, 1);
}

/* A convolution that reads no padding takes the shift, too; a padded one only a scale. */
TEST(batch_norm_before_contractions) {
    TestGraph t = test_graph(1);
    check_folded(&t, convolved(&t, OP_convolution, batchnorm(&t, features(&t)), 0, 2), 1);
    t = test_graph(2);
    check_folded(
        &t, convolved(&t, OP_convolution, binary(&t, OP_mul, features(&t), splat(&t, 1.0 / 255)), 1, 1), 0);
    t = test_graph(4);
    Node *x = features(&t),
         *scale = new_parameter(&t, 0.5, 1.5, SIZES(size(&t, 6), size(&t, 1), size(&t, 1)));
    check_folded(&t, convolved(&t, OP_convolution_backward_data, binary(&t, OP_mul, x, scale), 1, 2), 0);
    t = test_graph(3);
    new_output(&t, convolved(&t, OP_convolution, batchnorm(&t, features(&t)), 1, 1));
    Graph *graph = run_passes(&t);
    CU_ASSERT_EQUAL(count_op(graph, OP_convolution), 1);
    int at_run_time = 0;
    for (int i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.items[i];
        at_run_time += op_info[node->op].class == CLASS_ELEMENTWISE &&
                       shape_dims_equal(node->shape, t.inputs.items[0].node->shape);
    }
    CU_ASSERT_EQUAL(at_run_time, 3); /* (x - mean) * scale + bias */
    arena_free(t.arena);
}

static Node *divided(TestGraph *t, Node *x) {
    return binary(t, OP_div, x, new_parameter(t, 0.5, 1.5, SIZES(x->shape.dims[1], size(t, 1), size(t, 1))));
}

/* By channels, into the weights of a contraction before it or behind; elsewhere a
 * division stays one, with what is done to its quotient. */
TEST(division_by_weights) {
    TestGraph t = test_graph(1);
    check_folded(
        &t, binary(&t, OP_div, divided(&t, convolved(&t, OP_convolution, features(&t), 1, 1)), splat(&t, 3)),
        0);
    t = test_graph(2);
    check_folded(&t, convolved(&t, OP_convolution, divided(&t, features(&t)), 1, 1), 0);
    t = test_graph(3);
    Node *x = features(&t);
    new_output(&t, binary(&t, OP_mul, divided(&t, binary(&t, OP_sub, x, splat(&t, 0.3))), splat(&t, 5)));
    new_output(&t, binary(&t, OP_div, x, splat(&t, 41)));
    new_output(&t, binary(&t, OP_div, x, splat(&t, 0.25)));
    Graph *graph = run_passes(&t);
    CU_ASSERT_EQUAL(count_op(graph, OP_div), 2);
    CU_ASSERT_EQUAL(count_op(graph, OP_mul), 2); /* by 5, and by 4 */
    arena_free(t.arena);
}

/* Layer norm's weights before a dense layer of a sequence, [N, L, C]: rows of the batch
 * are rows of one product, whose matrix takes them. */
TEST(a_dense_layer_of_a_sequence) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, -1, 1, SIZES(t.N, t.H, size(&t, 6))),
         *w = new_parameter(&t, -1, 1, SIZES(size(&t, 1), size(&t, 6), size(&t, 4)));
    Node *y = binary(&t, OP_add, binary(&t, OP_mul, x, new_parameter(&t, 0, 1, SIZES(size(&t, 6)))),
                     new_parameter(&t, 0, 1, SIZES(size(&t, 6))));
    y = graph_make(t.graph, OP_matmul,
                   (Node *[]){y, build_broadcast(t.graph, w, SIZES(t.N, size(&t, 6), size(&t, 4)))}, 2, NULL);
    y = binary(&t, OP_add, y, new_parameter(&t, 0, 1, SIZES(size(&t, 4))));
    new_output(&t, y);
    RefTensor before = output_values(&t, t.graph)[0];
    Graph *graph = run_passes(&t);
    CU_ASSERT(equal_values(&before, &output_values(&t, graph)[0]));
    int at_run_time = 0;
    for (int i = 0; i < graph->nodes.count; i++)
        at_run_time += op_info[graph->nodes.items[i]->op].class == CLASS_ELEMENTWISE &&
                       !shape_element_count(graph->nodes.items[i]->shape, &(int64_t){0});
    CU_ASSERT_EQUAL(at_run_time, 1); /* the bias */
    /* behind the bias, which is the product's tail */
    CU_ASSERT_EQUAL(graph->outputs.items[0].node->op, OP_reshape);
    arena_free(t.arena);
}

/* What somebody else uses, too, is not computed twice. */
TEST(batch_norm_on_what_is_shared) {
    TestGraph t = test_graph(1);
    Node *x = convolved(&t, OP_convolution, features(&t), 1, 1);
    new_output(&t, x);
    new_output(&t, batchnorm(&t, x));
    CU_ASSERT_EQUAL(count_op(run_passes(&t), OP_convolution), 1);
    arena_free(t.arena);
}

static Node *mean_by_channel(TestGraph *t, Node *x) {
    const int64_t axes[] = {0, 2, 3};
    Node *sum = build_sum(t->graph, x, axes, COUNT_OF(axes));
    double count = (double)(dim_const_value(x->shape.dims[0]) * dim_const_value(x->shape.dims[2]) *
                            dim_const_value(x->shape.dims[3]));
    return binary(t, OP_div, sum, splat(t, count));
}

/* Batch norm as it is trained, and a relu: of all sums over the map those for mean and
 * variance are left, and two of the gradient. */
static void check_trained_norm(int64_t images, int64_t side) {
    TestGraph t = test_graph(1);
    Dim one = size(&t, 1), channels = size(&t, 3), by_channel[4] = {one, channels, one, one};
    Node *x = new_input(&t, 2, 3, SIZES(size(&t, images), channels, size(&t, side), size(&t, side)));
    Node *weight = new_input(&t, 1, 2, 4, by_channel), *bias = new_input(&t, -1, 1, 4, by_channel),
         *gradients[3];
    Node *seen = new_input(&t, -1, 1, 4, x->shape.dims), *d = binary(&t, OP_sub, x, mean_by_channel(&t, x));
    Node *variance = mean_by_channel(&t, binary(&t, OP_mul, d, d));
    Node *deviation = unary(&t, OP_sqrt, binary(&t, OP_add, variance, splat(&t, 1e-5)));
    Node *y = binary(&t, OP_mul, d, binary(&t, OP_div, splat(&t, 1), deviation));
    y = binary(&t, OP_max, binary(&t, OP_add, binary(&t, OP_mul, y, weight), bias), splat(&t, 0));
    Node *loss = build_sum_to(t.graph, binary(&t, OP_mul, y, seen), (Shape){DTYPE_F32, 0, NULL});
    graph_gradient(t.graph, loss, (Node *[]){x, weight, bias}, 3, gradients);
    for (int i = 0; i < 3; i++) new_output(&t, gradients[i]);
    RefTensor *before = output_values(&t, t.graph);
    Graph *graph = run_passes(&t);
    for (int i = 0; i < 3; i++) CU_ASSERT(equal_values(&before[i], &output_values(&t, graph)[i]));
    CU_ASSERT_EQUAL(count_op(graph, OP_sum), 4);
    arena_free(t.arena);
}

TEST(gradients_of_a_batch_norm_share_their_sums) {
    check_trained_norm(3, 5);
    check_trained_norm(2, 4); /* a mean of 32: times a power of two */
}

TEST(padding_is_absorbed) {
    TestGraph t = test_graph(1);
    Dim zero = size(&t, 0), one = size(&t, 1), around[4] = {zero, zero, one, one};
    Node *x = features(&t),
         *w = new_parameter(&t, -1, 1, SIZES(size(&t, 2), size(&t, 6), size(&t, 3), size(&t, 3)));
    Node *padded = build_pad(t.graph, x, around, around, "constant", 0),
         *mirrored = build_pad(t.graph, x, around, around, "reflect", 0);
    for (int i = 0; i < 2; i++) {
        Node *inputs[2] = {i ? mirrored : padded, w};
        new_output(&t, MAKE(&t, convolution, inputs, 2, INTS(1, 1), INTS(1, 1), INTS(0, 0),
                            DIMS(t.H, size(&t, 6)), 1));
    }
    CU_ASSERT_EQUAL(count_op(run_passes(&t), OP_pad), 1);
    arena_free(t.arena);
}

TEST(splats_stay_splats) {
    TestGraph t = test_graph(1);
    Dim huge[2] = {size(&t, 100000), dim_mul(t.graph->dims, t.N, t.H)};
    Node *a = build_splat(t.graph, 3, (Shape){DTYPE_F32, 2, huge}),
         *b = build_splat(t.graph, 4, (Shape){DTYPE_F32, 2, huge});
    new_output(&t, binary(&t, OP_mul,
                          unary(&t, OP_sqrt,
                                build_slice(t.graph, b, (Dim[]){size(&t, 1), size(&t, 0)},
                                            (Dim[]){size(&t, 9), t.N}, NULL)),
                          build_slice(t.graph, a, (Dim[]){size(&t, 0), size(&t, 0)},
                                      (Dim[]){size(&t, 9), t.N}, NULL)));
    Graph *graph = run_passes(&t);
    double value;
    CU_ASSERT_EQUAL(graph->nodes.count, 1);
    CU_ASSERT(node_is_splat(graph->outputs.items[0].node, &value));
    CU_ASSERT_EQUAL(value, 6);
    arena_free(t.arena);
}

/* A channel's numbers stay a channel's numbers: broadcasting them is no constant of a
 * million elements. */
TEST(small_constants_stay_small) {
    TestGraph t = test_graph(1);
    Data data = {3, (Number[]){{1}, {2}, {3}}};
    Node *mean = MAKE(&t, constant, NULL, 0, DTYPE_F32,
                      DIMS(size(&t, 1), size(&t, 3), size(&t, 1), size(&t, 1)), &data);
    Node *wide =
        build_broadcast(t.graph, mean, SIZES(size(&t, 1), size(&t, 3), size(&t, 100), size(&t, 100)));
    new_output(&t, unary(&t, OP_exp, wide));
    Graph *graph = run_passes(&t);
    CU_ASSERT_EQUAL(graph->outputs.items[0].node->op, OP_broadcast);
    CU_ASSERT_EQUAL(graph->outputs.items[0].node->inputs[0]->op, OP_constant);
    arena_free(t.arena);
}

TEST(a_NaN_is_not_hidden) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, NAN, NAN, 0, NULL);
    new_output(&t, binary(&t, OP_mul, x, splat(&t, 0)));
    new_output(&t, binary(&t, OP_sub, x, x));
    new_output(&t, binary(&t, OP_max, x, splat(&t, 0)));
    Node *many = new_input(&t, NAN, NAN, SIZES(size(&t, 3)));
    const int64_t axis = 0;
    new_output(&t, build_sum(t.graph, binary(&t, OP_mul, many, splat(&t, 0)), &axis, 1));
    Node *mean = binary(&t, OP_div, build_sum(t.graph, many, &axis, 1), splat(&t, 3));
    new_output(&t, build_sum(t.graph, binary(&t, OP_sub, many, mean), &axis, 1));
    RefTensor *values = output_values(&t, run_passes(&t));
    for (int i = 0; i < 5; i++) CU_ASSERT(isnan(values[i].values[0].real));
    arena_free(t.arena);
}

/* The library's text for ResNet-18: once its batch norms are folded, no multiply by
 * channel is left. The first convolution's weights take the scale of `normalize`, whose
 * shift its padding keeps out. */
TEST(ResNet_18_is_left_with_its_convolutions) {
    Arena *arena = arena_new();
    Names *names = names_new(arena);
    Diagnostics diagnostics = {.arena = arena};
    ElaborateOptions options = {.stdlib_dir = "stdlib"};
    Library *library = library_open(arena, names, &diagnostics, "examples/resnet18.cai", &options);
    CU_ASSERT_PTR_NOT_NULL_FATAL(library);
    Graph *graph = elaborate_model(library, 0)->graph;
    CU_ASSERT_PTR_NOT_NULL_FATAL(graph);
    PassOptions passes = {.verify = true};
    graph = passes_run(graph, &passes);
    int multiplies = 0, additions = 0;
    for (int i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.items[i];
        if (shape_element_count(node->shape, &(int64_t){0})) continue; /* not of the batch: weights */
        multiplies += node->op == OP_mul || node->op == OP_div || node->op == OP_sub || node->op == OP_sqrt;
        additions += node->op == OP_add;
    }
    CU_ASSERT_EQUAL(multiplies, 1); /* of the mean before the classifier */
    CU_ASSERT_EQUAL(additions, 1 + 20 + 8 + 1);
    CU_ASSERT_EQUAL(count_op(graph, OP_convolution), 20);
    arena_free(arena);
}

/* ---- the library's text ---- */

static bool checks_hold(const Graph *graph, const int64_t *symbols) {
    for (int i = 0; i < graph->checks.count; i++) {
        const Check *check = &graph->checks.items[i];
        int64_t left, right;
        if (!dim_evaluate(check->left, symbols, &left) || !dim_evaluate(check->right, symbols, &right))
            return false;
        if (check->kind == CHECK_EQUAL      ? left != right
            : check->kind == CHECK_AT_LEAST ? left < right
                                            : left % right != 0)
            return false;
    }
    return true;
}

static bool any_value(void *context, const Node *node, RefTensor *out) {
    uint64_t *random = context,
             hash = hash_bytes(*(Name *)node->attributes, strlen(*(Name *)node->attributes), *random);
    for (int64_t i = 0; i < out->shape.count; i++) {
        hash = hash * 6364136223846793005u + 1442695040888963407u;
        /* deviations and the like are positive */
        Number value = {.real = 0.25 + (double)(hash >> 33) * 0x1p-31};
        out->values[i] = number_cast(value, DTYPE_F32, out->shape.type);
    }
    return true;
}

static RefTensor *model_values(Graph *graph, const int64_t *symbols) {
    uint64_t seed = 5;
    RefSource source = {.context = &seed, .parameter = any_value, .input = any_value};
    Node **nodes = NEW_ARRAY(graph->arena, Node *, graph->outputs.count);
    RefTensor *results = NEW_ARRAY(graph->arena, RefTensor, graph->outputs.count);
    for (int i = 0; i < graph->outputs.count; i++) nodes[i] = graph->outputs.items[i].node;
    CU_ASSERT_FATAL(
        reference_evaluate(graph, nodes, graph->outputs.count, symbols, 1, &source, graph->arena, results));
    return results;
}

static void check_model(Graph *graph, const char *path) {
    int count = dims_symbol_count(graph->dims);
    int64_t *symbols = NEW_ARRAY(graph->arena, int64_t, count + 1);
    for (int64_t value = 2; value < 40; value++) {
        for (int i = 0; i < count; i++) symbols[i] = value + i;
        if (checks_hold(graph, symbols)) break;
    }
    if (!checks_hold(graph, symbols)) return; /* sizes that hang together in ways not searched here */
    RefTensor *before = model_values(graph, symbols);
    PassOptions options = {.verify = true};
    RefTensor *after = model_values(passes_run(graph, &options), symbols);
    for (int i = 0; i < graph->outputs.count; i++) {
        if (equal_values(&before[i], &after[i])) continue;
        printf("\n  %s: output %s differs after the passes\n", path, graph->outputs.items[i].name);
        CU_FAIL("a pass changed a value");
    }
}

TEST(tiny_models) {
    glob_t files;
    CU_ASSERT_EQUAL_FATAL(glob("tests/tiny/*.cai", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        Arena *arena = arena_new();
        Diagnostics diagnostics = {.arena = arena};
        ElaborateOptions options = {.stdlib_dir = "stdlib"};
        Library *library = library_open(arena, names_new(arena), &diagnostics, files.gl_pathv[i], &options);
        for (int m = 0; library && m < library_model_count(library); m++) {
            const Model *model = elaborate_model(library, m);
            if (model->graph) check_model(model->graph, files.gl_pathv[i]);
        }
        arena_free(arena);
    }
    globfree(&files);
}
