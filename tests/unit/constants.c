/* What depends on constants alone, and is too large to be folded: computed while
 * building, or left to the program, right either way. */
#include "backend_support.h"
#include "graph/ops.h"

static void check(TestGraph *t, const char *what) {
    for (int i = 0; i < target_count(); i++)
        if (can_run(target_at(i)->name))
            compare_with_reference(t, target_at(i)->name, 1e-4,
                                   arena_printf(t->arena, "%s, %s", what, target_at(i)->name));
}

/* A constant of 73,728 elements or more, no two neighbours alike: [1, 8, height, 96]. */
static Node *field(TestGraph *t, Dim height) {
    Node *sum = NULL;
    for (int axis = 1; axis < 4; axis++) {
        Node *places =
            MAKE(t, iota, NULL, 0, DTYPE_F32, {SIZES(size(t, 1), size(t, 8), height, size(t, 96))}, axis);
        Node *scaled = binary(t, OP_mul, places, splat(t, 0.375 + axis)); /* exact in f32 */
        sum = sum ? binary(t, OP_add, sum, scaled) : scaled;
    }
    return unary(t, OP_sin, sum);
}

static Node *convolved(TestGraph *t, Node *x, int64_t outputs) {
    Node *operands[] = {
        x, new_parameter(t, -0.3, 0.3, SIZES(size(t, outputs), x->shape.dims[1], size(t, 3), size(t, 3)))};
    return MAKE(t, convolution, operands, 2, INTS(1, 1), INTS(1, 1), INTS(1, 1),
                DIMS(x->shape.dims[2], x->shape.dims[3]), 1);
}

/* ---- every operator that is more than elementwise ---- */

static Node *in_f32(TestGraph *t, Node *x) { return build_cast(t->graph, x, DTYPE_F32); }
static Node *make_convolution(TestGraph *t, Node *x) { return convolved(t, x, 24); }
static Node *make_transposed(TestGraph *t, Node *x) {
    Node *operands[] = {x,
                        new_parameter(t, -0.3, 0.3, SIZES(size(t, 8), size(t, 4), size(t, 2), size(t, 2)))};
    Dims *dims = t->graph->dims;
    return MAKE(t, convolution_backward_data, operands, 2, INTS(2, 2), INTS(1, 1), INTS(0, 0),
                DIMS(dim_scale(dims, x->shape.dims[2], 2), dim_scale(dims, x->shape.dims[3], 2)), 1);
}
static Node *make_product(TestGraph *t, Node *x) {
    int64_t swap[] = {0, 1, 3, 2};
    Node *operands[] = {x, build_transpose(t->graph, x, swap)};
    return graph_make(t->graph, OP_matmul, operands, 2, NULL);
}
static Node *make_pool_max(TestGraph *t, Node *x) {
    return MAKE(t, pool_max, &x, 1, INTS(3, 3), INTS(1, 1), INTS(1, 1), INTS(1, 1),
                DIMS(x->shape.dims[2], x->shape.dims[3]));
}
static Node *make_pool_sum(TestGraph *t, Node *x) {
    return MAKE(t, pool_sum, &x, 1, INTS(3, 3), INTS(1, 1), INTS(1, 1), INTS(1, 1),
                DIMS(x->shape.dims[2], x->shape.dims[3]));
}
static Node *make_resample(TestGraph *t, Node *x) {
    Names *names = t->graph->names;
    Dims *dims = t->graph->dims;
    return MAKE(t, resample, &x, 1,
                DIMS(dim_scale(dims, x->shape.dims[2], 2), dim_scale(dims, x->shape.dims[3], 2)),
                intern(names, "bilinear"), intern(names, "half_pixel"), false, -0.75);
}
static Node *make_sum(TestGraph *t, Node *x) { return build_sum(t->graph, x, (int64_t[]){1}, 1); }
static Node *make_largest(TestGraph *t, Node *x) { return MAKE(t, reduce_max, &x, 1, INTS(1)); }
static Node *make_place(TestGraph *t, Node *x) { return in_f32(t, MAKE(t, argmax, &x, 1, 3)); }
static Node *make_top(TestGraph *t, Node *x) {
    return in_f32(t, MAKE(t, top_k, &x, 1, DIMS(size(t, 5)), 3, true));
}
static Node *make_cumsum(TestGraph *t, Node *x) { return MAKE(t, cumsum, &x, 1, 3); }
static Node *make_flip(TestGraph *t, Node *x) { return MAKE(t, flip, &x, 1, INTS(2, 3)); }
static Node *make_pad(TestGraph *t, Node *x) {
    Dim sides[] = {size(t, 0), size(t, 0), size(t, 2), size(t, 3)};
    return build_pad(t->graph, x, sides, sides, intern(t->graph->names, "reflect"), 0);
}
static Node *make_concat(TestGraph *t, Node *x) {
    return build_concat(t->graph, (Node *[]){x, unary(t, OP_neg, x)}, 2, 1);
}
static Node *make_reshape(TestGraph *t, Node *x) {
    Dim area = dim_mul(t->graph->dims, x->shape.dims[2], x->shape.dims[3]);
    return build_reshape(t->graph, x, SIZES(size(t, 2), size(t, 4), area));
}
static Node *make_gather(TestGraph *t, Node *x) {
    Node *index = MAKE(t, iota, NULL, 0, DTYPE_I32, {SIZES(size(t, 6))}, 0), *operands[] = {x, index};
    return MAKE(t, gather, operands, 2, 1);
}
static Node *make_scatter(TestGraph *t, Node *x) {
    Node *index = MAKE(t, iota, NULL, 0, DTYPE_I32, {SIZES(size(t, 8))}, 0), *operands[] = {x, index};
    return MAKE(t, scatter_add, operands, 2, 1, DIMS(size(t, 9)));
}

typedef struct Case { const char *name; Node *(*make)(TestGraph *t, Node *x); } Case;
static const Case cases[] = {
    {"convolution", make_convolution},
    {"convolution_backward_data", make_transposed},
    {"matmul", make_product},
    {"pool_max", make_pool_max},
    {"pool_sum", make_pool_sum},
    {"resample", make_resample},
    {"sum", make_sum},
    {"reduce_max", make_largest},
    {"argmax", make_place},
    {"top_k", make_top},
    {"cumsum", make_cumsum},
    {"flip", make_flip},
    {"pad", make_pad},
    {"concat", make_concat},
    {"reshape", make_reshape},
    {"gather", make_gather},
    {"scatter_add", make_scatter},
};

/* The mean of all elements: small, whatever it is made of. */
static Node *mean(TestGraph *t, Node *x) {
    int64_t all[REF_MAX_RANK], elements = count_of(t, x->shape);
    for (int i = 0; i < x->shape.rank; i++) all[i] = i;
    return binary(t, OP_mul, build_sum(t->graph, x, all, x->shape.rank), splat(t, 1.0 / (double)elements));
}

static Node *flat_input(TestGraph *t, int rank) {
    Dim ones[REF_MAX_RANK];
    for (int i = 0; i < rank; i++) ones[i] = size(t, 1);
    return new_input(t, -1, 1, rank, ones);
}

/* Read by constants alone, then once by what is no constant. */
TEST(large_ones_read_by_constants) {
    for (int i = 0; i < COUNT_OF(cases); i++) {
        TestGraph t = test_graph((uint64_t)i);
        Node *made = cases[i].make(&t, field(&t, size(&t, 96))), *small = mean(&t, made);
        new_output(&t, binary(&t, OP_add, small, flat_input(&t, small->shape.rank)));
        check(&t, cases[i].name);
        arena_free(t.arena);
    }
}

/* Outputs of the model, of fixed and of free sizes, and read by others at once. */
TEST(large_ones_as_outputs) {
    for (int i = 0; i < 2 * COUNT_OF(cases); i++) {
        TestGraph t = test_graph((uint64_t)i);
        bool fixed = i % 2 == 0;
        t.symbols[1] = 97;
        Node *made = cases[i / 2].make(&t, field(&t, fixed ? size(&t, 96) : t.H));
        new_output(&t, made);
        if (fixed) new_output(&t, mean(&t, made));
        new_output(&t, binary(&t, OP_mul, made, flat_input(&t, made->shape.rank)));
        check(&t, arena_printf(t.arena, "%s, %s", cases[i / 2].name, fixed ? "fixed" : "free"));
        arena_free(t.arena);
    }
}

/* The flow of RAFT begins at zeros, and goes through convolutions with more channels than
 * blocks of them hold. */
TEST(a_splat_through_convolutions) {
    for (int free = 0; free < 2; free++)
        for (int64_t channels = 64; channels <= 66; channels++) {
            TestGraph t = test_graph((uint64_t)channels);
            t.symbols[1] = 32;
            Dim height = free ? t.H : size(&t, 32),
                sizes[] = {size(&t, 1), size(&t, 2), height, size(&t, 33)};
            Node *flow = build_splat(t.graph, 0.25, (Shape){DTYPE_F32, 4, sizes});
            Node *features = convolved(&t, convolved(&t, flow, channels), 8);
            new_output(&t,
                       binary(&t, OP_add, features,
                              new_input(&t, -1, 1, SIZES(size(&t, 1), size(&t, 8), height, size(&t, 33)))));
            check(&t, arena_printf(t.arena, "%d channels, %s", (int)channels, free ? "free" : "fixed"));
            arena_free(t.arena);
        }
}

/* A weight in another shape that is an output, as anchors are: it was read from where
 * nothing was packed. */
TEST(reshaped_outputs) {
    TestGraph t = test_graph(1);
    Node *places = MAKE(&t, iota, NULL, 0, DTYPE_F32, {SIZES(size(&t, 16))}, 0);
    Node *anchors =
        build_reshape(t.graph, places, SIZES(size(&t, 1), size(&t, 16), size(&t, 1), size(&t, 1)));
    Node *weight = new_parameter(&t, -1, 1, SIZES(size(&t, 4), size(&t, 6)));
    Node *turned = build_reshape(t.graph, weight, SIZES(size(&t, 6), size(&t, 4)));
    Node *grid = build_broadcast(t.graph, build_reshape(t.graph, places, SIZES(size(&t, 1), size(&t, 16))),
                                 SIZES(size(&t, 3), size(&t, 16)));
    Node *x = new_input(&t, -1, 1, SIZES(size(&t, 1), size(&t, 16), size(&t, 4), size(&t, 4)));
    new_output(&t, binary(&t, OP_mul, convolved(&t, x, 16), anchors));
    new_output(&t, anchors);
    new_output(&t, turned);
    new_output(&t, build_reshape(t.graph, grid, SIZES(size(&t, 48))));
    check(&t, "reshaped");
    arena_free(t.arena);
}

static Program *lowered(TestGraph *t) {
    LowerOptions options = WITH_TABLE(.target = target_at(0));
    return lower(t->graph, &options, t->arena);
}

static const char *explained(TestGraph *t, const Program *program) {
    char *text;
    size_t length;
    FILE *print = open_memstream(&text, &length);
    program_explain(program, print);
    fclose(print);
    const char *copy = arena_strndup(t->arena, text, length);
    free(text);
    return copy;
}

/* What takes more than 2 GB or 20 s stays in the program, and is told; what several ways
 * lead to is counted once. */
TEST(limits) {
    for (int many = 0; many < 2; many++) {
        TestGraph t = test_graph(1);
        Dim sizes[] = {size(&t, 1), size(&t, 2), size(&t, 400), size(&t, 400)};
        Node *flow = build_splat(t.graph, 0.25, (Shape){DTYPE_F32, 4, sizes});
        Node *features = convolved(&t, convolved(&t, flow, many ? 2000 : 20), 1);
        Node *small = mean(&t, features);
        new_output(&t, small);
        Program *program = lowered(&t);
        CU_ASSERT_EQUAL(node_is_weight(program, small), !many);
        CU_ASSERT_EQUAL(program->launches.count > 1, many);
        bool told = false;
        for (int i = 0; i < program->left.count; i++)
            told |= program->left.items[i].node == features->inputs[0] && program->left.items[i].bytes > 2e9;
        CU_ASSERT_EQUAL(told, many);
        CU_ASSERT_EQUAL(
            strstr(explained(&t, program), "is computed at each run: building would take") != NULL, many);
        arena_free(t.arena);
    }
    TestGraph t = test_graph(2);
    Node *doubled = new_parameter(&t, -1, 1, SIZES(size(&t, 100), size(&t, 1000)));
    for (int i = 0; i < 60; i++) doubled = binary(&t, OP_add, doubled, unary(&t, OP_sin, doubled));
    new_output(&t, doubled);
    CU_ASSERT_TRUE(node_is_weight(lowered(&t), doubled));
    arena_free(t.arena);
}
