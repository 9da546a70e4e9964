/* Passes must not change what a graph computes: random graphs with every operator, and their gradients, evaluated before and after
 * each pass. Then what single passes are for. */
#include "elaborate/elaborate.h"
#include "graph_test.h"

/* ---- random graphs ---- */

typedef Vec(Node *) Pool; /* floats of rank 4: batch N, channels and width constant, height any */

/* Any node, often one of the last, so that chains come about. */
static Node *any(TestGraph *t, const Pool *pool) {
    int recent = pool->count < 3 ? pool->count : 3;
    return pool->items[random_below(t, 2) ? random_below(t, pool->count) : pool->count - 1 - random_below(t, recent)];
}

static Node *splat(TestGraph *t, double value) { return build_scalar(t->graph, value, DTYPE_F32); }
static Node *binary(TestGraph *t, Op op, Node *a, Node *b) { return build_binary(t->graph, op, a, b); }
static Node *unary(TestGraph *t, Op op, Node *x) { return build_unary(t->graph, op, x); }
static Node *positive(TestGraph *t, Node *x) { return binary(t, OP_add, unary(t, OP_abs, x), splat(t, 0.5)); }
static int64_t size_of(const Node *x, int axis) { return dim_const_value(x->shape.dims[axis]); }

/* An operand that fits x: a node of the same shape, a channel's or pixel's parameter, a constant. */
static Node *partner(TestGraph *t, const Pool *pool, const Node *x) {
    static const double constants[] = {0, 1, -1, 2, 0.5, -3.7};
    Node *other = any(t, pool);
    switch (random_below(t, 4)) {
    case 0: return splat(t, constants[random_below(t, COUNT_OF(constants))]);
    case 1: return new_parameter(t, 0.5, 1.5, SIZES(x->shape.dims[1], size(t, 1), size(t, 1)));
    case 2: return new_parameter(t, 0.5, 1.5, SIZES(size(t, 1), x->shape.dims[1], size(t, 1), x->shape.dims[3]));
    default: return shape_equal(other->shape, x->shape) ? other : new_parameter(t, -1, 1, SIZES(x->shape.dims[1], size(t, 1), size(t, 1)));
    }
}

static Node *condition(TestGraph *t, const Pool *pool, const Node *x) {
    Node *a = binary(t, OP_add, (Node *)x, partner(t, pool, x));
    return binary(t, OP_lt, a, splat(t, random_in(t, -1, 1)));
}

static Node *as_float(TestGraph *t, Node *x) { return build_cast(t->graph, x, DTYPE_F32); }

static Node *random_elementwise(TestGraph *t, Op op, const Pool *pool) {
    Node *x = any(t, pool), *y = partner(t, pool, x);
    switch (op) {
    case OP_exp: return unary(t, op, unary(t, OP_tanh, x));
    case OP_log: case OP_sqrt: return unary(t, op, positive(t, x));
    case OP_floor: case OP_ceil: case OP_round: return unary(t, op, binary(t, OP_add, x, splat(t, random_in(t, 0, 1))));
    case OP_cast: return as_float(t, build_cast(t->graph, binary(t, OP_add, x, splat(t, random_in(t, 0, 1))), DTYPE_I32));
    case OP_not: return as_float(t, unary(t, op, condition(t, pool, x)));
    case OP_and: case OP_or: return as_float(t, binary(t, op, condition(t, pool, x), condition(t, pool, x)));
    case OP_eq: case OP_ne: case OP_lt: case OP_le: return as_float(t, binary(t, op, x, y));
    case OP_pow: return binary(t, op, positive(t, x), splat(t, (double)random_below(t, 9) / 2 - 1));
    case OP_div: return random_below(t, 2) ? binary(t, op, x, positive(t, y)) : binary(t, op, x, new_parameter(t, 0.5, 1.5, SIZES(x->shape.dims[1], size(t, 1), size(t, 1))));
    case OP_select: return build_select(t->graph, condition(t, pool, x), x, build_broadcast(t->graph, y, 4, x->shape.dims));
    default: break;
    }
    if (op_info[op].max_inputs == 1) return unary(t, op, x);
    return random_below(t, 2) ? binary(t, op, x, y) : binary(t, op, y, x);
}

static Node *random_slice(TestGraph *t, Node *x) {
    int64_t width = size_of(x, 3), channels = size_of(x, 1), from = random_below(t, (int)channels), count = 1 + random_below(t, (int)(channels - from)), step = 1 + random_below(t, 2);
    int64_t left = random_below(t, (int)width);
    Dim begin[4] = {size(t, 0), size(t, from), size(t, 0), size(t, left)};
    Dim sizes[4] = {x->shape.dims[0], size(t, count), x->shape.dims[2], size(t, (width - left - 1) / step + 1)};
    return build_slice(t->graph, x, begin, sizes, (int64_t[]){1, 1, 1, step});
}

static Node *random_pad(TestGraph *t, Node *x) {
    static const char *const modes[] = {"constant", "constant", "reflect", "replicate"};
    int rows = dim_is_const(x->shape.dims[2], NULL) ? 1 : 2; /* reflect needs two rows */
    Dim zero = size(t, 0), before[4] = {zero, zero, size(t, random_below(t, rows)), size(t, 1)};
    Dim after[4] = {zero, zero, size(t, random_below(t, rows)), size(t, 1)};
    if (size_of(x, 3) < 2) return x;
    return build_pad(t->graph, x, before, after, modes[random_below(t, 4)], random_below(t, 2));
}

static Node *random_transpose(TestGraph *t, Node *x) { /* there, work, and back */
    Node *turned = build_transpose(t->graph, x, (int64_t[]){0, 3, 1, 2});
    return build_transpose(t->graph, unary(t, OP_tanh, turned), (int64_t[]){0, 2, 3, 1});
}

static Node *random_reshape(TestGraph *t, Node *x) {
    Dims *dims = t->graph->dims;
    Dim flat[3] = {x->shape.dims[0], x->shape.dims[1], dim_mul(dims, x->shape.dims[2], x->shape.dims[3])};
    Node *y = unary(t, OP_neg, build_reshape(t->graph, x, 3, flat));
    return build_reshape(t->graph, y, 4, x->shape.dims);
}

static Node *random_movement(TestGraph *t, Op op, const Pool *pool) {
    Node *x = any(t, pool), *parts[3] = {x, x, unary(t, OP_sin, x)};
    switch (op) {
    case OP_reshape: return random_reshape(t, x);
    case OP_transpose: return random_transpose(t, x);
    case OP_slice: return random_slice(t, x);
    case OP_pad: return random_pad(t, x);
    case OP_concat: return build_concat(t->graph, parts, 1 + random_below(t, 3), 1);
    case OP_flip: return MAKE(t, flip, &x, 1, INTS(1 + random_below(t, 3)));
    case OP_broadcast: {
        int64_t axis = 1 + random_below(t, 3);
        return build_broadcast(t->graph, build_sum(t->graph, x, &axis, 1), 4, x->shape.dims);
    }
    case OP_gather: {
        Node *index = MAKE(t, argmax, &x, 1, 1), *flat = build_slice(t->graph, index, (Dim[]){size(t, 0), size(t, 0), size(t, 0), size(t, 0)},
                                                                     (Dim[]){size(t, 1), size(t, 1), size(t, 1), size(t, 1)}, NULL);
        return MAKE(t, gather, ((Node *[]){x, build_reshape(t->graph, flat, SIZES(size(t, 1)))}), 2, 1);
    }
    default: return x;
    }
}

static Node *random_contraction(TestGraph *t, Op op, const Pool *pool) {
    Dims *dims = t->graph->dims;
    Node *x = any(t, pool);
    int64_t channels = size_of(x, 1), width = size_of(x, 3), stride = 1 + random_below(t, 2), groups = random_below(t, 3) ? 1 : channels;
    int64_t before = random_below(t, 2);
    if (op == OP_matmul) {
        Node *w = new_parameter(t, -1, 1, SIZES(size(t, width), size(t, 4)));
        Node *rows = build_reshape(t->graph, x, SIZES(dim_mul(dims, dim_mul(dims, x->shape.dims[0], x->shape.dims[1]), x->shape.dims[2]), x->shape.dims[3]));
        return build_reshape(t->graph, graph_make(t->graph, op, (Node *[]){rows, w}, 2, NULL), SIZES(x->shape.dims[0], x->shape.dims[1], x->shape.dims[2], size(t, 4)));
    }
    int64_t kernel = width + 2 * before >= 3 ? 3 : 1;
    Node *w = new_parameter(t, -0.5, 0.5, SIZES(size(t, channels == groups ? channels : 4), size(t, channels / groups), size(t, 1), size(t, kernel)));
    if (op == OP_convolution_input) {
        w = new_parameter(t, -0.5, 0.5, SIZES(size(t, channels), size(t, groups == 1 ? 3 : 1), size(t, 1), size(t, kernel)));
        DimList sizes = DIMS(x->shape.dims[2], size(t, (width - 1) * stride + kernel - 2 * before));
        if (dim_const_value(sizes.items[1]) < 1) return x;
        return MAKE(t, convolution_input, ((Node *[]){x, w}), 2, INTS(1, stride), INTS(1, 1), INTS(0, before), sizes, groups);
    }
    DimList sizes = DIMS(x->shape.dims[2], size(t, (width + 2 * before - kernel) / stride + 1));
    return MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(1, stride), INTS(1, 1), INTS(0, before), sizes, groups);
}

static Node *random_window(TestGraph *t, Op op, const Pool *pool) {
    Node *x = any(t, pool);
    int64_t width = size_of(x, 3);
    DimList sizes = DIMS(x->shape.dims[2], size(t, (width + 1) / 2));
    if (op == OP_pool_sum) return MAKE(t, pool_sum, &x, 1, INTS(1, 2), INTS(1, 2), INTS(0, width % 2), sizes);
    if (op == OP_pool_max) return MAKE(t, pool_max, &x, 1, INTS(1, 2), INTS(1, 2), INTS(1, 1), INTS(0, width % 2), sizes);
    if (op == OP_max_pool_gather)
        return MAKE(t, max_pool_gather, ((Node *[]){x, unary(t, OP_sin, x)}), 2, INTS(1, 2), INTS(1, 2), INTS(1, 1), INTS(0, width % 2), sizes);
    return MAKE(t, resample, &x, 1, sizes, intern(t->graph->names, random_below(t, 2) ? "nearest" : "bilinear"), intern(t->graph->names, "half_pixel"));
}

static Node *random_source(TestGraph *t, Op op, const Node *like) {
    if (op == OP_iota) return MAKE(t, iota, NULL, 0, DTYPE_F32, {4, like->shape.dims}, random_below(t, 4));
    if (op == OP_size) return binary(t, OP_add, (Node *)like, binary(t, OP_mul, splat(t, 0.01), MAKE(t, size, NULL, 0, DTYPE_F32, {1, &like->shape.dims[2]})));
    if (op == OP_uniform) return MAKE(t, uniform, NULL, 0, intern(t->graph->names, "noise"), DTYPE_F32, {4, like->shape.dims});
    return build_splat(t->graph, 0.5, like->shape);
}

/* A node made by `op`; the operators that gradients are made of come with gradients. */
static Node *random_node(TestGraph *t, Op op, const Pool *pool) {
    Node *x = any(t, pool);
    switch (op_info[op].class) {
    case CLASS_SOURCE: return random_source(t, op, x);
    case CLASS_ELEMENTWISE: return random_elementwise(t, op, pool);
    case CLASS_MOVEMENT: return random_movement(t, op, pool);
    case CLASS_CONTRACTION: return random_contraction(t, op == OP_convolution_weight ? OP_convolution : op, pool);
    case CLASS_WINDOW: return random_window(t, op, pool);
    default: break;
    }
    if (op == OP_sum) return build_sum(t->graph, x, random_below(t, 2) ? (int64_t[]){1, 3} : (int64_t[]){2, 3}, 1 + random_below(t, 2));
    if (op == OP_reduce_max) return MAKE(t, reduce_max, &x, 1, INTS(2, 3));
    if (op == OP_argmax) return as_float(t, MAKE(t, argmax, &x, 1, 1));
    return x;
}

/* Any operator, often one of the same class as the one before, so that rules of pairs are met. */
static Op random_op(TestGraph *t, Op last) {
    Op op = (Op)random_below(t, OP_COUNT);
    if (random_below(t, 2)) return op;
    while (op_info[op].class != op_info[last].class) op = (Op)random_below(t, OP_COUNT);
    return op;
}

/* Outputs for the gradients of y by up to six inputs and parameters; gives the first. */
static Node *add_gradients(TestGraph *t, Node *y) {
    Node *xs[6], *gradients[6];
    int count = t->inputs.count < 6 ? t->inputs.count : 6;
    for (int i = 0; i < count; i++) xs[i] = t->inputs.items[i].node;
    y = build_sum(t->graph, unary(t, OP_tanh, y), (int64_t[]){0, 1, 2, 3}, 4);
    graph_gradient(t->graph, build_reshape(t->graph, y, 0, NULL), xs, count, gradients);
    for (int i = 0; i < count; i++) new_output(t, gradients[i]);
    return gradients[0];
}

static void random_graph(TestGraph *t, int gradients) {
    Pool pool = {0};
    for (int i = 0; i < 2; i++) vec_push(t->arena, &pool, new_input(t, -1, 1, SIZES(t->N, size(t, 3), t->H, size(t, 6))));
    Op op = OP_add;
    for (int i = 0; i < 24; i++) {
        op = random_op(t, op);
        Node *node = random_node(t, op, &pool);
        int64_t count = count_of(t, node->shape);
        if (count <= 20000) vec_push(t->arena, &pool, random_below(t, 5) ? node : unary(t, OP_tanh, node));
    }
    for (int i = 0; i < 8; i++) new_output(t, any(t, &pool));
    new_output(t, vec_last(&pool));
    Node *y = vec_last(&pool);
    for (int order = 1; order <= gradients; order++) y = add_gradients(t, y);
}

static RefTensor *output_values(TestGraph *t, Graph *graph) {
    Node **nodes = NEW_ARRAY(t->arena, Node *, graph->outputs.count);
    RefTensor *results = NEW_ARRAY(t->arena, RefTensor, graph->outputs.count);
    for (int i = 0; i < graph->outputs.count; i++) nodes[i] = graph->outputs.items[i].node;
    evaluate(t, graph, nodes, graph->outputs.count, results);
    return results;
}

static bool equal_values(const RefTensor *a, const RefTensor *b) {
    double scale = 1;
    for (int64_t i = 0; i < a->shape.count; i++)
        if (isfinite(a->values[i])) scale = fmax(scale, fabs(a->values[i]));
    for (int64_t i = 0; i < a->shape.count; i++) {
        double x = a->values[i], y = b->values[i];
        if (!(x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= 1e-9 * scale)) return false;
    }
    return a->shape.count == b->shape.count;
}

static void check_passes(TestGraph *t, uint64_t seed) {
    RefTensor *before = output_values(t, t->graph);
    Graph *graph = t->graph;
    for (int p = 0; p < pass_count; p++) {
        graph = passes[p].run(graph);
        graph_verify(graph, passes[p].name);
        RefTensor *after = output_values(t, graph);
        for (int i = 0; i < graph->outputs.count; i++) {
            if (equal_values(&before[i], &after[i])) continue;
            printf("\n  seed %llu: output %d differs after %s\n", (unsigned long long)seed, i, passes[p].name);
            CU_FAIL("a pass changed a value");
            return;
        }
    }
    CU_ASSERT_EQUAL(pass_simplify(graph)->nodes.count, graph->nodes.count); /* nothing is left to do, and nothing goes back and forth */
}

static void test_random_graphs(void) {
    bool seen[OP_COUNT] = {false};
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        TestGraph t = test_graph(seed);
        random_graph(&t, (int)(seed % 3));
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

static int count_op(const Graph *graph, Op op) {
    int count = 0;
    for (int i = 0; i < graph->nodes.count; i++) count += graph->nodes.items[i]->op == op;
    return count;
}

static Graph *run_passes(TestGraph *t) {
    PassOptions options = {.verify = true};
    return passes_run(t->graph, &options);
}

/* (x - mean) / sqrt(var + eps) * weight + bias, as the library writes it. */
static Node *batchnorm(TestGraph *t, Node *x) {
    Dim one = size(t, 1), dims[4] = {one, x->shape.dims[1], one, one};
    Node *p[4];
    for (int i = 0; i < 4; i++) p[i] = build_reshape(t->graph, new_parameter(t, 0.5, 1.5, 1, &dims[1]), 4, dims);
    Node *deviation = unary(t, OP_sqrt, binary(t, OP_add, p[1], splat(t, 1e-5)));
    Node *y = binary(t, OP_div, binary(t, OP_sub, x, p[0]), deviation);
    return binary(t, OP_add, binary(t, OP_mul, y, p[2]), p[3]);
}

static Node *convolved(TestGraph *t, Op op, Node *x, int64_t before, int64_t groups) {
    Node *w = new_parameter(t, -0.5, 0.5, SIZES(size(t, 6), size(t, 6 / groups), size(t, 3), size(t, 3)));
    Dims *dims = t->graph->dims;
    int64_t change = op == OP_convolution ? 2 * before - 2 : 2 - 2 * before;
    DimList sizes = DIMS(dim_offset(dims, x->shape.dims[2], change), dim_offset(dims, x->shape.dims[3], change));
    convolution_attributes attributes = {INTS(1, 1), INTS(1, 1), INTS(before, before), sizes, groups};
    return graph_make(t->graph, op, (Node *[]){x, w}, 2, &attributes);
}

static Node *features(TestGraph *t) { return new_input(t, -1, 1, SIZES(t->N, size(t, 6), t->H, size(t, 6))); }

/* Nothing by channel is left after a contraction but the bias: one convolution, one addition of `size` elements at run time. */
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

static void test_batchnorm_after(void) {
    for (int64_t groups = 1; groups <= 3; groups++) {
        TestGraph t = test_graph(1);
        check_folded(&t, batchnorm(&t, convolved(&t, OP_convolution, features(&t), 1, groups)), 1);
        t = test_graph(2);
        check_folded(&t, batchnorm(&t, convolved(&t, OP_convolution_input, features(&t), 1, groups)), 1);
    }
    TestGraph t = test_graph(3);
    Node *x = new_input(&t, -1, 1, SIZES(t.N, size(&t, 5))), *w = new_parameter(&t, -1, 1, SIZES(size(&t, 7), size(&t, 5)));
    Node *y = graph_make(t.graph, OP_matmul, (Node *[]){x, build_transpose(t.graph, w, (int64_t[]){1, 0})}, 2, NULL);
    y = binary(&t, OP_mul, binary(&t, OP_add, y, new_parameter(&t, 0, 1, SIZES(size(&t, 7)))), new_parameter(&t, 1, 2, SIZES(size(&t, 7))));
    check_folded(&t, y, 1);
}

/* A convolution that reads no padding takes the shift, too; a padded one only a scale. */
static void test_batchnorm_before(void) {
    TestGraph t = test_graph(1);
    check_folded(&t, convolved(&t, OP_convolution, batchnorm(&t, features(&t)), 0, 2), 1);
    t = test_graph(2);
    check_folded(&t, convolved(&t, OP_convolution, binary(&t, OP_mul, features(&t), splat(&t, 1.0 / 255)), 1, 1), 0);
    t = test_graph(3);
    new_output(&t, convolved(&t, OP_convolution, batchnorm(&t, features(&t)), 1, 1));
    Graph *graph = run_passes(&t);
    CU_ASSERT_EQUAL(count_op(graph, OP_convolution), 1);
    int at_run_time = 0;
    for (int i = 0; i < graph->nodes.count; i++)
        at_run_time += op_info[graph->nodes.items[i]->op].class == CLASS_ELEMENTWISE && shape_dims_equal(graph->nodes.items[i]->shape, t.inputs.items[0].node->shape);
    CU_ASSERT_EQUAL(at_run_time, 2); /* x * scale + shift */
    arena_free(t.arena);
}

/* What somebody else uses, too, is not computed twice. */
static void test_batchnorm_shared(void) {
    TestGraph t = test_graph(1);
    Node *x = convolved(&t, OP_convolution, features(&t), 1, 1);
    new_output(&t, x);
    new_output(&t, batchnorm(&t, x));
    CU_ASSERT_EQUAL(count_op(run_passes(&t), OP_convolution), 1);
    arena_free(t.arena);
}

static void test_padding_is_absorbed(void) {
    TestGraph t = test_graph(1);
    Dim zero = size(&t, 0), one = size(&t, 1), around[4] = {zero, zero, one, one};
    Node *x = features(&t), *w = new_parameter(&t, -1, 1, SIZES(size(&t, 2), size(&t, 6), size(&t, 3), size(&t, 3)));
    Node *padded = build_pad(t.graph, x, around, around, "constant", 0), *mirrored = build_pad(t.graph, x, around, around, "reflect", 0);
    for (int i = 0; i < 2; i++) {
        Node *inputs[2] = {i ? mirrored : padded, w};
        new_output(&t, MAKE(&t, convolution, inputs, 2, INTS(1, 1), INTS(1, 1), INTS(0, 0), DIMS(t.H, size(&t, 6)), 1));
    }
    CU_ASSERT_EQUAL(count_op(run_passes(&t), OP_pad), 1);
    arena_free(t.arena);
}

static void test_folding_keeps_splats(void) {
    TestGraph t = test_graph(1);
    Dim huge[2] = {size(&t, 100000), dim_mul(t.graph->dims, t.N, t.H)};
    Node *a = build_splat(t.graph, 3, (Shape){DTYPE_F32, 2, huge}), *b = build_splat(t.graph, 4, (Shape){DTYPE_F32, 2, huge});
    new_output(&t, binary(&t, OP_mul, unary(&t, OP_sqrt, build_slice(t.graph, b, (Dim[]){size(&t, 1), size(&t, 0)}, (Dim[]){size(&t, 9), t.N}, NULL)),
                          build_slice(t.graph, a, (Dim[]){size(&t, 0), size(&t, 0)}, (Dim[]){size(&t, 9), t.N}, NULL)));
    Graph *graph = run_passes(&t);
    double value;
    CU_ASSERT_EQUAL(graph->nodes.count, 1);
    CU_ASSERT(node_is_splat(graph->outputs.items[0].node, &value));
    CU_ASSERT_EQUAL(value, 6);
    arena_free(t.arena);
}

/* A channel's numbers stay a channel's numbers: broadcasting them is no constant of a million elements. */
static void test_folding_keeps_small_constants_small(void) {
    TestGraph t = test_graph(1);
    Data data = {3, (double[]){1, 2, 3}};
    Node *mean = MAKE(&t, constant, NULL, 0, DTYPE_F32, DIMS(size(&t, 1), size(&t, 3), size(&t, 1), size(&t, 1)), &data);
    Node *wide = build_broadcast(t.graph, mean, SIZES(size(&t, 1), size(&t, 3), size(&t, 100), size(&t, 100)));
    new_output(&t, unary(&t, OP_exp, wide));
    Graph *graph = run_passes(&t);
    CU_ASSERT_EQUAL(graph->outputs.items[0].node->op, OP_broadcast);
    CU_ASSERT_EQUAL(graph->outputs.items[0].node->inputs[0]->op, OP_constant);
    arena_free(t.arena);
}

static void test_nan_is_not_hidden(void) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, NAN, NAN, 0, NULL);
    new_output(&t, binary(&t, OP_mul, x, splat(&t, 0)));
    new_output(&t, binary(&t, OP_sub, x, x));
    new_output(&t, binary(&t, OP_max, x, splat(&t, 0)));
    RefTensor *values = output_values(&t, run_passes(&t));
    for (int i = 0; i < 3; i++) CU_ASSERT(isnan(values[i].values[0]));
    arena_free(t.arena);
}

/* The library's text for ResNet-18: once its batch norms are folded, the only multiply by channel left is that of `normalize`, whose
 * shift the first convolution's padding keeps out of its weights. */
static void test_resnet18(void) {
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
    CU_ASSERT_EQUAL(multiplies, 2); /* normalize, and the mean before the classifier, unless that went into its weights */
    CU_ASSERT_EQUAL(additions, 1 + 20 + 8 + 1);
    CU_ASSERT_EQUAL(count_op(graph, OP_convolution), 20);
    arena_free(arena);
}

void suite_passes(void) {
    CU_pSuite suite = CU_add_suite("passes", NULL, NULL);
    CU_add_test(suite, "random graphs", test_random_graphs);
    CU_add_test(suite, "batch norm after contractions", test_batchnorm_after);
    CU_add_test(suite, "batch norm before contractions", test_batchnorm_before);
    CU_add_test(suite, "batch norm on what is shared", test_batchnorm_shared);
    CU_add_test(suite, "padding is absorbed", test_padding_is_absorbed);
    CU_add_test(suite, "splats stay splats", test_folding_keeps_splats);
    CU_add_test(suite, "small constants stay small", test_folding_keeps_small_constants_small);
    CU_add_test(suite, "a NaN is not hidden", test_nan_is_not_hidden);
    CU_add_test(suite, "ResNet-18 is left with its convolutions", test_resnet18);
}
