/* The kind `loops` against the reference: every elementwise, movement, reduction and
 * scatter operator at sizes around the vector, for every target, in both layouts, with
 * fixed and free sizes. */
#include "backend_support.h"

typedef void (*Make)(TestGraph *t, Dim size);

/* Builds the graph anew at each size around each target's vector, fixed and free. */
static void at_sizes(const char *what, Make make, double tolerance) {
    static const int64_t sizes[] = {1, 7, 8, 9, 15, 16, 17, 37, 131, 2};
    for (int i = 0; i < COUNT_OF(sizes); i++) {
        for (int target = 0; target < target_count(); target++) {
            bool free_size = (i + target) % 2;
            TestGraph t = test_graph((uint64_t)(i * 2 + target));
            t.symbols[1] = sizes[i];
            make(&t, free_size ? t.H : size(&t, sizes[i]));
            const char *name =
                arena_printf(t.arena, "%s %s%ld", what, free_size ? "free " : "", (long)sizes[i]);
            compare_with_reference(&t, target_at(target)->name, tolerance, name);
            arena_free(t.arena);
        }
    }
}

/* ---- elementwise ---- */

static void make_unary(TestGraph *t, Dim n) {
    Node *x = new_input(t, -4, 4, SIZES(n)), *positive = new_input(t, 0.01, 9, SIZES(n));
    for (Op op = 0; op < OP_COUNT; op++)
        if (makes_floats(op, 1)) new_output(t, unary(t, op, takes_positive(op) ? positive : x));
}

static void make_binary(TestGraph *t, Dim n) {
    static const Op comparisons[] = {OP_eq, OP_ne, OP_lt, OP_le};
    Node *x = new_input(t, -4, 4, SIZES(n)), *y = unary(t, OP_round, new_input(t, -4, 4, SIZES(n))),
         *rounded = unary(t, OP_round, x);
    for (Op op = 0; op < OP_COUNT; op++)
        if (makes_floats(op, 2))
            new_output(t, binary(t, op, takes_positive(op) ? unary(t, OP_abs, x) : x, y));
    Node *truths[COUNT_OF(comparisons)];
    for (int i = 0; i < COUNT_OF(comparisons); i++) {
        truths[i] = binary(t, comparisons[i], rounded, y);
        new_output(t, truths[i]);
        new_output(t, build_select(t->graph, truths[i], x, y));
    }
    new_output(t, binary(t, OP_and, truths[0], truths[3]));
    new_output(t, binary(t, OP_or, truths[0], truths[2]));
    new_output(t, unary(t, OP_not, truths[1]));
    new_output(t, binary(t, OP_pow, x, build_splat(t->graph, 3, x->shape)));
}

static void make_types(TestGraph *t, Dim n) {
    static const DType types[] = {DTYPE_F16, DTYPE_BF16, DTYPE_I8, DTYPE_I32, DTYPE_I64, DTYPE_BOOL};
    Node *x = new_input(t, -40, 40, SIZES(n)), *y = new_input(t, -5, 5, SIZES(n));
    for (int i = 0; i < COUNT_OF(types); i++) {
        Node *a = build_cast(t->graph, x, types[i]), *b = build_cast(t->graph, y, types[i]);
        new_output(t, a);
        if (types[i] == DTYPE_BOOL) continue;
        new_output(t, binary(t, OP_add, a, b));
        new_output(t, binary(t, OP_max, a, b));
        if (!dtype_is_float(types[i])) new_output(t, binary(t, OP_div, a, b));
        new_output(t, binary(t, OP_floor_div, a, b));
        new_output(t, binary(t, OP_mod, a, b));
        new_output(t, build_cast(t->graph, binary(t, OP_lt, a, b), types[i]));
    }
}

TEST(one_operand) { at_sizes("unary", make_unary, 1e-6); }
TEST(two_operands) { at_sizes("binary", make_binary, 1e-6); }
TEST(types) { at_sizes("types", make_types, 1.0 / 128); }

/* ---- movement ---- */

static void make_movement(TestGraph *t, Dim n) {
    Graph *g = t->graph;
    Dim two = size(t, 2), three = size(t, 3), one = size(t, 1), zero = size(t, 0);
    Node *x = new_input(t, -1, 1, SIZES(two, three, n)), *row = new_input(t, -1, 1, SIZES(one, one, n)),
         *column = new_input(t, -1, 1, SIZES(two, three, one));
    new_output(t, binary(t, OP_mul, x, row));
    new_output(t, binary(t, OP_add, x, column));
    new_output(t, build_transpose(g, x, (int64_t[]){2, 0, 1}));
    new_output(t, build_transpose(g, unary(t, OP_neg, x), (int64_t[]){1, 0, 2}));
    new_output(t, MAKE(t, flip, &x, 1, INTS(2)));
    new_output(t, MAKE(t, flip, &x, 1, INTS(0, 1)));
    new_output(t, build_slice(g, x, (Dim[]){one, zero, zero}, (Dim[]){one, two, n}, (int64_t[]){1, 2, 1}));
    new_output(t, build_slice(g, unary(t, OP_abs, x), (Dim[]){zero, one, zero},
                              (Dim[]){two, two, dim_ceil_div(g->dims, n, 2)}, (int64_t[]){1, 1, 2}));
    new_output(t, build_pad(g, x, (Dim[]){zero, one, two}, (Dim[]){one, zero, three}, "constant", 0.5));
    new_output(t, build_pad(g, unary(t, OP_exp, x), (Dim[]){zero, one, three}, (Dim[]){one, zero, one},
                            "replicate", 0));
    new_output(t, build_reshape(g, unary(t, OP_neg, x), SIZES(three, two, n)));
    new_output(
        t, build_reshape(g, build_transpose(g, x, (int64_t[]){1, 2, 0}), SIZES(dim_scale(g->dims, n, 6))));
}

/* Operands that lie across the lanes, read as squares; the last one at two points, which
 * must not be taken for each other. */
static void make_turned(TestGraph *t, Dim n) {
    Graph *g = t->graph;
    Node *x = new_input(t, -1, 1, SIZES(size(t, 2), size(t, 19), n)),
         *y = new_input(t, -1, 1, SIZES(size(t, 2), n, size(t, 19)));
    Node *turned = build_transpose(g, x, (int64_t[]){0, 2, 1}), *square = new_input(t, -1, 1, SIZES(n, n)),
         *power = binary(t, OP_mul, square, square);
    new_output(t, turned);
    new_output(t, binary(t, OP_sub, unary(t, OP_neg, turned), y));
    new_output(t, binary(t, OP_mul, build_transpose(g, y, (int64_t[]){2, 0, 1}),
                         build_transpose(g, x, (int64_t[]){1, 0, 2})));
    new_output(t, binary(t, OP_sub, power, build_transpose(g, power, (int64_t[]){1, 0})));
}

/* Narrow innermost axes, interleaved from vectors along the axis before. */
static void make_zipped(TestGraph *t, Dim n) {
    for (int64_t narrow = 2; narrow <= 9; narrow++) {
        Node *x = new_input(t, -1, 1, SIZES(size(t, 3), size(t, narrow), n)),
             *y = new_input(t, -1, 1, SIZES(size(t, 3), size(t, narrow), n));
        new_output(t, build_transpose(t->graph, x, (int64_t[]){0, 2, 1}));
        new_output(t, binary(t, OP_sub, build_transpose(t->graph, unary(t, OP_neg, x), (int64_t[]){0, 2, 1}),
                             build_transpose(t->graph, y, (int64_t[]){0, 2, 1})));
    }
}

/* Blocks of channels, as a convolution makes them, become planes; the last block is not
 * whole. */
static void make_planes(TestGraph *t, Dim n) {
    Dim three = size(t, 3), channels = size(t, 44), one = size(t, 1);
    Node *x = new_input(t, -1, 1, SIZES(one, three, n, n)),
         *w = new_parameter(t, -1, 1, SIZES(channels, three, one, one));
    new_output(
        t, MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(0, 0), DIMS(n, n), 1));
}

static void make_reflection(TestGraph *t, Dim n) {
    Graph *g = t->graph;
    Dim two = size(t, 2), three = size(t, 3), one = size(t, 1), zero = size(t, 0),
        wide = dim_offset(g->dims, n, 3);
    Node *x = new_input(t, -1, 1, SIZES(two, three, wide));
    new_output(t, build_pad(g, x, (Dim[]){zero, one, two}, (Dim[]){one, two, three}, "reflect", 0));
    new_output(t, build_pad(g, unary(t, OP_neg, x), (Dim[]){zero, zero, two}, (Dim[]){zero, zero, three},
                            "reflect", 0));
}

/* Transposes of padding: what lies in the border goes back. */
static void make_pad_input(TestGraph *t, Dim n) {
    static const char *const modes[] = {"constant", "reflect", "replicate"};
    Graph *g = t->graph;
    Dim two = size(t, 2), four = size(t, 4), zero = size(t, 0), wide = dim_offset(g->dims, n, 3);
    Node *x = new_input(t, -1, 1, SIZES(two, size(t, 7), dim_offset(g->dims, wide, 3)));
    for (int i = 0; i < COUNT_OF(modes); i++)
        new_output(t, MAKE(t, pad_input, &x, 1, DIMS(zero, two, size(t, 1)), DIMS(two, four, wide),
                           intern(g->names, modes[i])));
}

static Node *indices(TestGraph *t, double low, double high, int rank, const Dim *dims) {
    return build_cast(t->graph, new_input(t, low, high, rank, dims), DTYPE_I32);
}

static void make_gather(TestGraph *t, Dim n) {
    Dim three = size(t, 3), five = size(t, 5), two = size(t, 2);
    Node *x = new_input(t, -1, 1, SIZES(three, five, n)), *some = indices(t, -1, 6, SIZES(two)),
         *many = indices(t, -2, 140, SIZES(n)), *square = indices(t, 0, 5, SIZES(two, n));
    new_output(t, MAKE(t, gather, ((Node *[]){x, some}), 2, 1));
    new_output(t, MAKE(t, gather, ((Node *[]){x, many}), 2, 2));
    new_output(t, MAKE(t, gather, ((Node *[]){x, square}), 2, 1));
    new_output(t, MAKE(t, gather, ((Node *[]){x, some}), 2, 0));
    Node *y = new_input(t, -1, 1, SIZES(three, two, n)), *z = new_input(t, -1, 1, SIZES(three, five, n)),
         *w = new_input(t, -1, 1, SIZES(three, two, n, five));
    new_output(t, MAKE(t, scatter_add, ((Node *[]){y, some}), 2, 1, DIMS(five)));
    new_output(t, MAKE(t, scatter_add, ((Node *[]){z, many}), 2, 2, DIMS(n)));
    new_output(t, MAKE(t, scatter_add, ((Node *[]){w, square}), 2, 1, DIMS(five)));
    new_output(t, MAKE(t, put, ((Node *[]){x, some, y}), 3, 1));
    new_output(t, MAKE(t, put, ((Node *[]){x, many, z}), 3, 2));
}

static void make_sources(TestGraph *t, Dim n) {
    Name stream = intern(t->graph->names, "noise/0");
    new_output(t, MAKE(t, iota, NULL, 0, DTYPE_F32, DIMS(size(t, 2), n), 1));
    new_output(t, MAKE(t, iota, NULL, 0, DTYPE_I64, DIMS(n, size(t, 2)), 0));
    new_output(t, MAKE(t, uniform, NULL, 0, stream, DTYPE_F32, DIMS(size(t, 3), n)));
    Node *x = new_input(t, -1, 1, SIZES(n));
    new_output(t, binary(t, OP_mul, x, MAKE(t, size, NULL, 0, DTYPE_F32, DIMS(n))));
}

TEST(movement) { at_sizes("movement", make_movement, 1e-6); }
TEST(across_the_lanes) { at_sizes("turned", make_turned, 1e-6); }
TEST(narrow_axes) { at_sizes("zipped", make_zipped, 1e-6); }
TEST(blocks_to_planes) { at_sizes("planes", make_planes, 1e-6); }
TEST(reflection) { at_sizes("reflection", make_reflection, 0); }
TEST(paddings_transpose) { at_sizes("pad_input", make_pad_input, 1e-6); }
TEST(gather_and_scatter) { at_sizes("gather", make_gather, 1e-5); }
TEST(sources) { at_sizes("sources", make_sources, 1e-7); }

/* ---- reductions ---- */

static void reduce_all(TestGraph *t, Node *x, int axis_count, const int64_t *axes) {
    IntList list = {axis_count, axes};
    new_output(t, build_sum(t->graph, x, axes, axis_count));
    Node *largest = MAKE(t, reduce_max, &x, 1, list);
    new_output(t, unary(t, OP_neg, largest));
    Node *below = binary(t, OP_sub, x, build_broadcast(t->graph, largest, x->shape.rank, x->shape.dims));
    new_output(t, build_sum(t->graph, unary(t, OP_exp, below), axes, axis_count));
}

static void make_reductions(TestGraph *t, Dim n) {
    Node *x = new_input(t, -1, 1, SIZES(size(t, 3), n, size(t, 5))),
         *y = new_input(t, -1, 1, SIZES(size(t, 2), size(t, 3), n));
    reduce_all(t, x, 1, (int64_t[]){1});
    reduce_all(t, x, 2, (int64_t[]){0, 2});
    reduce_all(t, y, 1, (int64_t[]){2});
    reduce_all(t, y, 2, (int64_t[]){1, 2});
    reduce_all(t, y, 3, (int64_t[]){0, 1, 2});
    reduce_all(t, y, 1, (int64_t[]){0});
}

static void make_argmax(TestGraph *t, Dim n) {
    /* with ties: the first wins */
    Node *x = unary(t, OP_round, new_input(t, -9, 9, SIZES(size(t, 3), n, size(t, 5))));
    for (int axis = 0; axis < 3; axis++) new_output(t, MAKE(t, argmax, &x, 1, axis));
    Node *whole = build_cast(t->graph, x, DTYPE_I32);
    new_output(t, MAKE(t, argmax, &whole, 1, 1));
    new_output(t, build_sum(t->graph, whole, (int64_t[]){1, 2}, 2));
    new_output(t, MAKE(t, reduce_max, &whole, 1, INTS(1)));
}

TEST(reductions) { at_sizes("reductions", make_reductions, 1e-5); }
TEST(argmax) { at_sizes("argmax", make_argmax, 0); }

/* Long enough for blocks within a sum, and precise: one running f32 sum would lose four
 * digits here. */
TEST(long_sums) {
    for (int target = 0; target < target_count(); target++) {
        TestGraph t = test_graph(7);
        t.symbols[1] = 300007;
        Node *x = new_input(&t, 0, 1, SIZES(t.H)), *y = new_input(&t, 0, 1, SIZES(t.H, size(&t, 3)));
        new_output(&t, build_sum(t.graph, x, (int64_t[]){0}, 1));
        new_output(&t, build_sum(t.graph, binary(&t, OP_mul, y, y), (int64_t[]){0}, 1));
        compare_with_reference(&t, target_at(target)->name, 1e-6, "long sums");
        arena_free(t.arena);
    }
}

/* Many tasks, and tasks that end within a row. */
TEST(large) {
    for (int target = 0; target < target_count(); target++) {
        TestGraph t = test_graph(8);
        t.symbols[0] = 3, t.symbols[1] = 131;
        Node *x = new_input(&t, -1, 1, SIZES(t.N, size(&t, 5), t.H, size(&t, 67))),
             *scale = new_parameter(&t, 1, 2, SIZES(size(&t, 1), size(&t, 5), size(&t, 1), size(&t, 1)));
        new_output(&t, binary(&t, OP_max, binary(&t, OP_mul, x, scale), build_scalar(t.graph, 0, DTYPE_F32)));
        new_output(&t, build_transpose(t.graph, x, (int64_t[]){0, 2, 3, 1}));
        new_output(&t, build_sum(t.graph, x, (int64_t[]){2, 3}, 2));
        new_output(&t, build_sum(t.graph, x, (int64_t[]){0, 1, 2}, 3));
        compare_with_reference(&t, target_at(target)->name, 1e-5, "large");
        arena_free(t.arena);
    }
}

/* ---- blocked tensors: what stands between convolutions ---- */

static Node *conv(TestGraph *t, Node *x, int64_t outputs) {
    Node *w = new_parameter(t, -0.5, 0.5, SIZES(size(t, outputs), x->shape.dims[1], size(t, 1), size(t, 1)));
    return MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(0, 0),
                DIMS(x->shape.dims[2], x->shape.dims[3]), 1);
}

static Node *per_plane(TestGraph *t, Node *x, Op op) {
    Node *y =
        op == OP_sum ? build_sum(t->graph, x, (int64_t[]){2, 3}, 2) : MAKE(t, reduce_max, &x, 1, INTS(2, 3));
    return build_broadcast(t->graph, y, 4, x->shape.dims);
}

static void make_blocked(TestGraph *t, int64_t channels, int which) {
    Graph *g = t->graph;
    Dim zero = size(t, 0), one = size(t, 1), two = size(t, 2);
    Node *x = conv(t, new_input(t, -1, 1, SIZES(t->N, size(t, 19), t->H, size(t, 9))), channels), *y = x;
    switch (which) {
    case 0: y = binary(t, OP_sub, x, per_plane(t, x, OP_sum)); break;
    case 1: y = binary(t, OP_mul, unary(t, OP_sigmoid, per_plane(t, x, OP_reduce_max)), x); break;
    case 2:
        y = binary(t, OP_sub, x, build_broadcast(g, build_sum(g, x, (int64_t[]){1}, 1), 4, x->shape.dims));
        break;
    case 3:
        y = build_pad(g, x, (Dim[]){zero, zero, one, two}, (Dim[]){zero, zero, two, one}, "reflect", 0);
        break;
    case 4:
        y = build_pad(g, x, (Dim[]){zero, one, one, zero}, (Dim[]){zero, two, zero, one}, "constant", 1);
        break;
    case 5:
        y = build_slice(g, x, (Dim[]){zero, one, zero, one},
                        (Dim[]){t->N, size(t, channels - 1), t->H, size(t, 4)}, (int64_t[]){1, 1, 1, 2});
        break;
    case 6: y = MAKE(t, flip, &x, 1, INTS(1, 3)); break;
    case 7: y = build_transpose(g, x, (int64_t[]){0, 1, 3, 2}); break;
    case 8:
        y = binary(t, OP_add, x,
                   build_broadcast(g, build_cast(g, MAKE(t, argmax, &x, 1, 1), DTYPE_F32), 4, x->shape.dims));
        break;
    default: y = build_sum(g, x, (int64_t[]){1, 2, 3}, 3); y = binary(t, OP_mul, x, y);
    }
    new_output(t, y);
    new_output(t, conv(t, y, 21));
}

TEST(blocked) {
    static const int64_t channels[] = {5, 16, 24, 33};
    for (int i = 0; i < COUNT_OF(channels); i++) {
        for (int which = 0; which < 10; which++) {
            TestGraph t = test_graph((uint64_t)(i * 10 + which));
            t.symbols[1] = 3 + which;
            make_blocked(&t, channels[i], which);
            const char *name = arena_printf(t.arena, "blocked %d, %ld channels", which, (long)channels[i]);
            compare_with_reference(&t, target_at((i + which) % target_count())->name, 2e-5, name);
            arena_free(t.arena);
        }
    }
}

/* A map in blocks whose kernel, unlike that of a convolution, does not add it up. */
static Node *pooled(TestGraph *t, Node *map) {
    return MAKE(t, pool_max, &map, 1, INTS(2, 2), INTS(1, 1), INTS(1, 1), INTS(1, 1),
                DIMS(map->shape.dims[2], map->shape.dims[3]));
}

/* Reductions to few results are done in parts, along the lanes and across them, of whole
 * vectors and not. */
static void make_parts(TestGraph *t) {
    Graph *g = t->graph;
    Node *long_axis = new_input(t, -1, 1, SIZES(size(t, 200003))),
         *rows = new_input(t, 0, 1, SIZES(size(t, 3), size(t, 70001))),
         *columns = new_input(t, 0, 1, SIZES(size(t, 30011), size(t, 21)));
    new_output(t, build_sum(g, long_axis, (int64_t[]){0}, 1));
    new_output(t, MAKE(t, reduce_max, &long_axis, 1, INTS(0)));
    new_output(t, MAKE(t, argmax, &long_axis, 1, 0));
    new_output(t, binary(t, OP_mul, build_sum(g, rows, (int64_t[]){1}, 1), build_scalar(g, 2, DTYPE_F32)));
    new_output(t, build_sum(g, columns, (int64_t[]){0}, 1));
    new_output(t, MAKE(t, argmax, &columns, 1, 0));
    /* of free size: perhaps long */
    new_output(t, build_sum(g, new_input(t, 0, 1, SIZES(t->H)), (int64_t[]){0}, 1));
    Node *map = conv(t, new_input(t, -1, 1, SIZES(size(t, 1), size(t, 3), size(t, 101), size(t, 127))), 24);
    Node *mean = binary(t, OP_mul, build_sum(g, map, (int64_t[]){2, 3}, 2), splat(t, 1.0 / (101 * 127)));
    new_output(t, conv(t, binary(t, OP_sub, map, build_broadcast(g, mean, 4, map->shape.dims)), 17));
    /* along several axes: pieces of each image, several images, pieces of each row */
    Node *large = conv(t, new_input(t, -1, 1, SIZES(size(t, 3), size(t, 3), size(t, 59), size(t, 61))), 24),
         *small = conv(t, new_input(t, -1, 1, SIZES(size(t, 53), size(t, 3), size(t, 13), size(t, 13))), 24),
         *planes = new_input(t, 0, 1, SIZES(size(t, 3), size(t, 2), size(t, 40009)));
    large = pooled(t, large);
    small = pooled(t, small);
    new_output(t, build_sum(g, binary(t, OP_mul, large, large), (int64_t[]){0, 2, 3}, 3));
    new_output(t, build_sum(g, binary(t, OP_mul, small, small), (int64_t[]){0, 2, 3}, 3));
    new_output(t, build_sum(g, planes, (int64_t[]){0, 2}, 2));
}

TEST(parts) {
    for (int target = 0; target < target_count(); target++) {
        TestGraph t = test_graph(9);
        t.symbols[1] = 300007;
        make_parts(&t);
        Program *program = lower(t.graph, &WITH_TABLE(.target = target_at(target)), t.arena);
        int parted = 0;
        for (int i = 0; i < program->launches.count; i++)
            parted += program->launches.items[i]->phase_count == 2;
        CU_ASSERT_EQUAL(parted, 11);
        compare_with_reference(&t, target_at(target)->name, 2e-6, "parts");
        arena_free(t.arena);
    }
}
