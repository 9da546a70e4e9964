/* Ints and bools are exact, and casts are the table of docs/language.md: the same numbers
 * from the reference (which reference.c compares with numpy and PyTorch), from folding,
 * from all passes, and from kernels, of inputs and of constants. */
#include "backend_support.h"

/* Ends and ties of every type. */
static const int64_t wholes[] = {0,
                                 1,
                                 -1,
                                 2,
                                 3,
                                 -7,
                                 127,
                                 128,
                                 -128,
                                 -129,
                                 255,
                                 256,
                                 2049,
                                 2051,
                                 65504,
                                 65519,
                                 65520,
                                 16777217,
                                 16777219,
                                 (1 << 25) + (1 << 17) + 1,
                                 INT32_MAX,
                                 INT64_C(1) << 31,
                                 INT32_MIN,
                                 (int64_t)INT32_MIN - 1,
                                 (INT64_C(1) << 32) + 1,
                                 (INT64_C(1) << 53) + 1,
                                 (INT64_C(1) << 60) + (INT64_C(1) << 36) + 1,
                                 -(INT64_C(1) << 60) - (INT64_C(1) << 36) - 1,
                                 INT64_MAX,
                                 INT64_MIN};
static const double reals[] = {0,
                               0.5,
                               -0.5,
                               1,
                               -1,
                               2.5,
                               -2.7,
                               126.9,
                               127.5,
                               128,
                               -128.9,
                               -129,
                               255,
                               300.3,
                               2047.5,
                               2049,
                               65504,
                               65519,
                               65520,
                               1e5,
                               1.00390625,
                               1.01171875,
                               2147483520,
                               0x1p31,
                               -0x1p31,
                               -2147483904.0,
                               3e9,
                               -3e9,
                               9223371487098961920.0,
                               0x1p63,
                               -0x1p63,
                               1e20,
                               -1e20,
                               INFINITY,
                               -INFINITY,
                               NAN};
static const DType all_types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8,
                                  DTYPE_I32, DTYPE_I64, DTYPE_BOOL};
static const DType whole_types[] = {DTYPE_I8, DTYPE_I32, DTYPE_I64, DTYPE_BOOL};

static Number edge(DType type, int at) {
    if (dtype_is_float(type))
        return number_cast((Number){.real = (float)reals[at % COUNT_OF(reals)]}, DTYPE_F32, type);
    return number_cast((Number){.whole = wholes[at % COUNT_OF(wholes)]}, DTYPE_I64, type);
}

/* A tensor of given numbers: an input of the model, or a constant. */
static Node *given(TestGraph *t, const Number *values, int64_t count, Shape shape, bool constant) {
    if (constant) return build_constant(t->graph, values, count, shape);
    Name name = intern(t->graph->names, arena_printf(t->arena, "x%d", t->inputs.count));
    Node *node = MAKE(t, input, NULL, 0, name, shape.type, {shape.rank, shape.dims});
    vec_push(t->arena, &t->graph->inputs, ((Port){.name = name, .node = node}));
    vec_push(t->arena, &t->inputs,
             ((TestInput){node, arena_copy(t->arena, values, sizeof *values * (size_t)count), count}));
    return node;
}

static bool same_number(Number a, Number b, DType type) {
    return dtype_is_float(type) ? a.real == b.real || (isnan(a.real) && isnan(b.real)) : a.whole == b.whole;
}

/* Fails where outputs of two graphs differ. */
static void check_same(const Graph *graph, const RefTensor *a, const RefTensor *b, const char *what) {
    for (int i = 0; i < graph->outputs.count; i++)
        for (int64_t k = 0; k < a[i].shape.count; k++) {
            if (same_number(a[i].values[k], b[i].values[k], a[i].shape.type)) continue;
            fprintf(stderr, "\n%s: output %d, element %lld\n", what, i, (long long)k);
            CU_FAIL("other numbers");
            break;
        }
}

/* ---- casts ---- */

/* From each type to each. */
static void add_casts(TestGraph *t, bool constant) {
    for (int from = 0; from < COUNT_OF(all_types); from++) {
        DType type = all_types[from];
        int count = dtype_is_float(type) ? COUNT_OF(reals) : COUNT_OF(wholes);
        Number *values = NEW_ARRAY(t->arena, Number, count);
        for (int i = 0; i < count; i++) values[i] = edge(type, i);
        Node *x = given(t, values, count, (Shape){type, 1, (Dim[]){size(t, count)}}, constant);
        for (int to = 0; to < COUNT_OF(all_types); to++)
            new_output(t, build_cast(t->graph, x, all_types[to]));
    }
}

TEST(casts_from_each_type_to_each) {
    TestGraph inputs = test_graph(1), constants = test_graph(1);
    add_casts(&inputs, false);
    add_casts(&constants, true);
    RefTensor *expected = output_values(&inputs, inputs.graph);
    Graph *folded = pass_fold(constants.graph);
    for (int i = 0; i < folded->outputs.count; i++)
        CU_ASSERT_EQUAL(folded->outputs.items[i].node->op, OP_constant);
    check_same(folded, output_values(&constants, folded), expected, "folded casts");
    for (int i = 0; i < target_count(); i++) {
        compare_with_reference(&inputs, target_at(i)->name, 0, "casts");
        compare_with_reference(&constants, target_at(i)->name, 0, "casts of constants");
    }
    arena_free(inputs.arena);
    arena_free(constants.arena);
}

/* ---- what a double cannot ---- */

static Node *full(TestGraph *t, DType type, int64_t value, bool constant) {
    Number numbers[] = {{.whole = value}, {.whole = value}};
    return given(t, numbers, 2, (Shape){type, 1, (Dim[]){size(t, 2)}}, constant);
}

TEST(what_a_double_cannot_hold) {
    const int64_t expected[] = {1,         INT64_C(9007199254740993), INT64_C(17179869187), INT32_MAX,
                                INT64_MIN, INT64_C(9007199254740993)};
    for (int constant = 0; constant < 2; constant++) {
        TestGraph t = test_graph(1);
        Node *most = full(&t, DTYPE_I32, INT32_MAX, constant),
             *least = full(&t, DTYPE_I64, INT64_MIN, constant);
        Node *big = full(&t, DTYPE_I64, INT64_C(9007199254740993), constant);
        Number real[] = {{.real = 3e9}, {.real = 3e9}};
        new_output(&t, binary(&t, OP_mul, most, most));
        new_output(&t, MAKE(&t, flip, &big, 1, INTS(0)));
        new_output(&t, binary(&t, OP_mul, full(&t, DTYPE_I64, INT64_C(4294967297), constant),
                              full(&t, DTYPE_I64, INT64_C(4294967299), constant)));
        new_output(&t, build_cast(t.graph,
                                  given(&t, real, 2, (Shape){DTYPE_F32, 1, (Dim[]){size(&t, 2)}}, constant),
                                  DTYPE_I32));
        new_output(&t, binary(&t, OP_div, least, full(&t, DTYPE_I64, -1, constant)));
        new_output(&t, binary(&t, OP_add, big, build_splat(t.graph, 0, big->shape)));
        const RefTensor *found = output_values(&t, t.graph),
                        *passed = output_values(&t, passes_run(t.graph, &(PassOptions){.verify = true}));
        for (int i = 0; i < COUNT_OF(expected); i++) {
            CU_ASSERT_EQUAL(found[i].values[0].whole, expected[i]);
            CU_ASSERT_EQUAL(passed[i].values[1].whole, expected[i]);
        }
        for (int i = 0; i < target_count(); i++)
            compare_with_reference(&t, target_at(i)->name, 0, "beyond double");
        arena_free(t.arena);
    }
}

/* ---- windows, borders and scatters ---- */

static Node *edges_of(TestGraph *t, DType type, int rank, const Dim *dims) {
    Shape shape = {type, rank, dims};
    int64_t count = count_of(t, shape);
    Number *values = NEW_ARRAY(t->arena, Number, count);
    for (int64_t i = 0; i < count; i++) values[i] = edge(type, random_below(t, 100));
    return given(t, values, count, shape, false);
}

static void add_windows(TestGraph *t, DType type) {
    Dim one = size(t, 1), two = size(t, 2), zero = size(t, 0), wide = size(t, 38), half = size(t, 19);
    Node *x = edges_of(t, type, SIZES(one, two, size(t, 4), wide)),
         *dy = edges_of(t, type, SIZES(one, two, two, half)), *both[] = {x, dy};
    IntList by = INTS(2, 2), ones = INTS(1, 1), zeros = INTS(0, 0);
    DimList small = DIMS(two, half), large = DIMS(size(t, 4), wide);
    new_output(t, MAKE(t, pool_sum, &x, 1, by, by, ones, zeros, small));
    new_output(t, MAKE(t, pool_max, &x, 1, by, by, ones, ones, small));
    new_output(t, MAKE(t, pool_sum_input, &dy, 1, by, by, ones, zeros, large));
    new_output(t, MAKE(t, max_pool_scatter, both, 2, by, by, ones, zeros));
    new_output(t, MAKE(t, max_pool_gather, ((Node *[]){x, x}), 2, by, by, ones, zeros, small));
    static const char *const modes[] = {"constant", "reflect", "replicate"};
    for (int i = 0; i < COUNT_OF(modes); i++)
        new_output(t, MAKE(t, pad_input, &x, 1, DIMS(zero, zero, one, two), DIMS(one, two, two, size(t, 33)),
                           intern(t->graph->names, modes[i])));
    Node *at = edges_of(t, DTYPE_I64, SIZES(size(t, 4))),
         *rows = build_reshape(t->graph, x, SIZES(size(t, 8), wide)), *row[] = {rows, at};
    Node *picked = MAKE(t, gather, row, 2, 0), *added[] = {picked, at};
    new_output(t, picked);
    new_output(t, MAKE(t, scatter_add, added, 2, 0, DIMS(size(t, 5))));
    new_output(t, build_concat(t->graph, (Node *[]){rows, picked}, 2, 0));
}

TEST(windows_borders_and_scatters) {
    for (int type = 0; type < 3; type++)
        for (int i = 0; i < target_count(); i++) {
            TestGraph t = test_graph(1);
            add_windows(&t, whole_types[type]);
            compare_with_reference(&t, target_at(i)->name, 0, dtype_name(whole_types[type]));
            arena_free(t.arena);
        }
}

/* ---- random expressions ---- */

typedef struct Pool { Vec(Node *) of[DTYPE_BOOL + 1]; } Pool;

static Node *any(TestGraph *t, const Pool *pool, DType type) {
    return pool->of[type].items[random_below(t, pool->of[type].count)];
}

static Node *one_of(TestGraph *t, const Op *ops, int count, Node *a, Node *b) {
    Op op = ops[random_below(t, count)];
    return b ? build_binary(t->graph, op, a, b) : build_unary(t->graph, op, a);
}

/* Elements that are moved; a border holds a number of the type. */
static Node *moved(TestGraph *t, Node *x, int way) {
    Dim zero = size(t, 0), one = size(t, 1), *dims = NEW_ARRAY(t->arena, Dim, 2);
    memcpy(dims, x->shape.dims, 2 * sizeof *dims);
    if (way == 0) return MAKE(t, flip, &x, 1, INTS(1));
    pad_attributes pad = {DIMS(zero, one), DIMS(zero, zero), intern(t->graph->names, "constant"),
                          edge(x->shape.type, random_below(t, 100))};
    Node *wide = graph_make(t->graph, OP_pad, &x, 1, &pad);
    return build_slice(t->graph, wide, (Dim[]){zero, zero}, dims, NULL);
}

/* What a row or column comes to, for each of its elements. */
static Node *reduced(TestGraph *t, Node *x, int way) {
    Node *y = way == 0   ? MAKE(t, sum, &x, 1, INTS(1))
              : way == 1 ? MAKE(t, reduce_max, &x, 1, INTS(0))
                         : MAKE(t, argmax, &x, 1, 1);
    return build_broadcast(t->graph, y, x->shape.rank, x->shape.dims);
}

static Node *random_node(TestGraph *t, const Pool *pool) {
    static const Op numbers[] = {OP_add, OP_sub, OP_mul, OP_div, OP_floor_div, OP_mod, OP_min, OP_max},
                    tests[] = {OP_eq, OP_ne, OP_lt, OP_le}, bools[] = {OP_and, OP_or},
                    ones[] = {OP_neg, OP_abs, OP_sign, OP_floor};
    DType type = whole_types[random_below(t, COUNT_OF(whole_types) - 1)];
    Node *a = any(t, pool, type), *b = any(t, pool, type), *yes = any(t, pool, DTYPE_BOOL);
    switch (random_below(t, 10)) {
    case 0: return one_of(t, ones, COUNT_OF(ones), a, NULL);
    case 1: return one_of(t, tests, COUNT_OF(tests), a, b);
    case 2:
        return random_below(t, 2) ? build_unary(t->graph, OP_not, yes)
                                  : one_of(t, bools, COUNT_OF(bools), yes, any(t, pool, DTYPE_BOOL));
    case 3: return build_select(t->graph, yes, a, b);
    case 4:
        return build_cast(t->graph, random_below(t, 3) ? a : yes,
                          whole_types[random_below(t, COUNT_OF(whole_types))]);
    case 5: return MAKE(t, cumsum, &a, 1, random_below(t, 2));
    case 6: return moved(t, a, random_below(t, 2));
    case 7: return reduced(t, a, random_below(t, 3));
    default: return one_of(t, numbers, COUNT_OF(numbers), a, b);
    }
}

/* Choices depend on the seed alone: the same expressions of inputs and of constants. Of
 * each type one number stands all over. */
static void random_expressions(TestGraph *t, bool constant) {
    Pool pool = {0};
    for (int i = 0; i < COUNT_OF(whole_types); i++) {
        Shape shape = {whole_types[i], 2, (Dim[]){size(t, 3), size(t, 19)}};
        Number values[3 * 19], splat = edge(shape.type, random_below(t, 100));
        for (int k = 0; k < 2; k++) {
            for (int at = 0; at < COUNT_OF(values); at++) values[at] = edge(shape.type, random_below(t, 100));
            vec_push(t->arena, &pool.of[shape.type], given(t, values, COUNT_OF(values), shape, constant));
        }
        vec_push(t->arena, &pool.of[shape.type], build_constant(t->graph, &splat, 1, shape));
    }
    for (int i = 0; i < 24; i++) {
        Node *node = random_node(t, &pool);
        vec_push(t->arena, &pool.of[node->shape.type], node);
    }
    for (int i = 0; i < COUNT_OF(whole_types); i++)
        for (int k = 3; k < pool.of[whole_types[i]].count; k++)
            new_output(t, pool.of[whole_types[i]].items[k]);
}

static void check_expressions(uint64_t seed) {
    TestGraph inputs = test_graph(seed), constants = test_graph(seed);
    random_expressions(&inputs, false);
    random_expressions(&constants, true);
    const char *what = arena_printf(inputs.arena, "seed %llu", (unsigned long long)seed);
    RefTensor *expected = output_values(&inputs, inputs.graph);
    check_same(inputs.graph, output_values(&inputs, passes_run(inputs.graph, &(PassOptions){.verify = true})),
               expected, what);
    check_same(inputs.graph,
               output_values(&constants, passes_run(constants.graph, &(PassOptions){.verify = true})),
               expected, what);
    if (seed <= 6)
        for (int i = 0; i < target_count(); i++) {
            compare_with_reference(&inputs, target_at(i)->name, 0, what);
            compare_with_reference(&constants, target_at(i)->name, 0, what);
        }
    arena_free(inputs.arena);
    arena_free(constants.arena);
}

TEST(random_expressions) {
    for (uint64_t seed = 1; seed <= 500; seed++) check_expressions(seed);
}
