/* Convolutions and matrix products of the reference, by products of matrices: ours, and
 * OpenBLAS's, against plain loops. And products by OpenBLAS in programs. */
#include "backend_support.h"
#include "commands/commands.h"
#include <dlfcn.h>

static RefTensor evaluate_by(TestGraph *t, Node *node, RefProduct product) {
    RefSource source = {.context = t, .parameter = give_value, .input = give_value, .product = product};
    RefTensor result;
    CU_ASSERT_FATAL(reference_evaluate(t->graph, &node, 1, t->symbols, 42, &source, t->arena, &result));
    return result;
}

/* Values lie in [-1, 1), so a sum of `terms` is off by no more than their number in units
 * of the last place. */
static void check(TestGraph *t, Node *node, int64_t terms) {
    RefProduct products[] = {product_blocked, product_openblas};
    RefTensor plain = evaluate_by(t, node, NULL);
    for (int i = 0; i < COUNT_OF(products); i++) {
        RefTensor other = evaluate_by(t, node, products[i]);
        double largest = 0;
        for (int64_t k = 0; k < plain.shape.count; k++)
            largest = fmax(largest, fabs(plain.values[k].real - other.values[k].real));
        if (!(largest <= 1e-15 * (double)terms)) {
            graph_print(t->graph, stderr);
            fprintf(stderr, "product %d is %g off\n", i, largest);
            CU_FAIL("products");
        }
    }
}

/* ---- matrix products ---- */

static void check_product(int64_t batch, int64_t rows, int64_t depth, int64_t columns) {
    TestGraph t = test_graph((uint64_t)(rows * 31 + depth * 7 + columns));
    Node *operands[] = {new_input(&t, -1, 1, SIZES(size(&t, batch), size(&t, rows), size(&t, depth))),
                        new_input(&t, -1, 1, SIZES(size(&t, batch), size(&t, depth), size(&t, columns)))};
    check(&t, graph_make(t.graph, OP_matmul, operands, 2, NULL), depth);
    arena_free(t.arena);
}

TEST(small_products) {
    for (int64_t rows = 1; rows <= 5; rows++)
        for (int64_t depth = 1; depth <= 5; depth++)
            for (int64_t columns = 1; columns <= 5; columns++)
                check_product(1 + (rows + depth + columns) % 3, rows, depth, columns);
}

TEST(products_around_blocks) {
    const int64_t rows[] = {63, 64, 65}, others[] = {255, 256, 257};
    for (int i = 0; i < 27; i++) check_product(1, rows[i % 3], others[i / 3 % 3], others[i / 9]);
    check_product(2, 130, 515, 300);
}

/* ---- convolutions ---- */

typedef struct ConvSizes { int64_t stride[3], dilation[3], before[3]; } ConvSizes;

static IntList some(const int64_t *items, int count) { return (IntList){count, items}; }

/* x [N, groups * I, s..], w [groups * O, I, k..] and y [N, groups * O, p..], with p
 * chosen freely: windows may lie beyond any border. */
static void check_convolutions(TestGraph *t, int axes, const int64_t *x, const int64_t *k, const int64_t *y,
                               int64_t batch, int64_t groups, int64_t inputs, int64_t outputs,
                               const ConvSizes *g) {
    Dim xs[5] = {size(t, batch), size(t, groups * inputs)},
        ws[5] = {size(t, groups * outputs), size(t, inputs)};
    Dim ys[5] = {size(t, batch), size(t, groups * outputs)};
    int64_t taps = 1, places = 1;
    for (int i = 0; i < axes; i++) {
        xs[2 + i] = size(t, x[i]), ws[2 + i] = size(t, k[i]), ys[2 + i] = size(t, y[i]);
        taps *= k[i], places *= y[i];
    }
    Node *in_x = new_input(t, -1, 1, axes + 2, xs), *in_w = new_input(t, -1, 1, axes + 2, ws),
         *in_y = new_input(t, -1, 1, axes + 2, ys);
#define CONVOLUTION(op, a, b, sizes)                                                   \
    MAKE(t, op, ((Node *[]){a, b}), 2, some(g->stride, axes), some(g->dilation, axes), \
         some(g->before, axes), {axes, (sizes) + 2}, groups)
    check(t, CONVOLUTION(convolution, in_x, in_w, ys), inputs * taps);
    check(t, CONVOLUTION(convolution_backward_data, in_y, in_w, xs), outputs * taps);
    check(t, CONVOLUTION(convolution_backward_weights, in_x, in_y, ws), batch * places);
#undef CONVOLUTION
}

TEST(convolutions) {
    for (uint64_t seed = 0; seed < 400; seed++) {
        TestGraph t = test_graph(seed);
        int axes = 1 + random_below(&t, 3);
        int64_t x[3], k[3], y[3];
        ConvSizes g;
        for (int i = 0; i < axes; i++) {
            x[i] = 1 + random_below(&t, 7), k[i] = 1 + random_below(&t, 4), y[i] = 1 + random_below(&t, 7);
            g.stride[i] = 1 + random_below(&t, 3), g.dilation[i] = 1 + random_below(&t, 3),
            g.before[i] = random_below(&t, 4);
        }
        bool pointwise = seed % 8 == 0;
        for (int i = 0; pointwise && i < axes; i++) k[i] = g.stride[i] = 1, g.before[i] = 0, y[i] = x[i];
        check_convolutions(&t, axes, x, k, y, 1 + random_below(&t, 2), 1 + random_below(&t, 3),
                           1 + random_below(&t, 4), 1 + random_below(&t, 4), &g);
        arena_free(t.arena);
    }
}

/* More than is unfolded at once: many rows of it, many columns, and both. */
TEST(convolutions_in_parts) {
    const ConvSizes g = {{1, 1}, {1, 1}, {1, 2}};
    const int64_t cases[][3] = {{700, 2, 70}, {2, 900, 1400}, {350, 80, 90}}; /* inputs, height, width */
    for (int i = 0; i < COUNT_OF(cases); i++) {
        TestGraph t = test_graph((uint64_t)i);
        const int64_t size[] = {cases[i][1], cases[i][2]}, k[] = {i == 0 ? 7 : 3, i == 0 ? 9 : 3};
        check_convolutions(&t, 2, size, k, size, 1, 1, cases[i][0], 2, &g);
        arena_free(t.arena);
    }
}

/* Loops leave out what lies beyond the border, where a product has zeros that an infinite
 * weight makes NaN of. */
TEST(infinite_weights) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 1, 2, SIZES(size(&t, 1), size(&t, 2), size(&t, 3), size(&t, 3)));
    Node *w = new_input(&t, 1, 2, SIZES(size(&t, 2), size(&t, 2), size(&t, 3), size(&t, 3)));
    t.inputs.items[1].values[0].real = INFINITY;
    Node *y = MAKE(&t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(1, 1),
                   DIMS(size(&t, 3), size(&t, 3)), 1);
    RefTensor plain = evaluate_by(&t, y, NULL), blocked = evaluate_by(&t, y, product_blocked);
    CU_ASSERT(isfinite(plain.values[0].real) && isinf(plain.values[4].real));
    CU_ASSERT(memcmp(plain.values, blocked.values, sizeof *plain.values * (size_t)plain.shape.count) == 0);
    arena_free(t.arena);
}

/* The same bits on every machine: no fused multiply-adds, no other order of sums. Sums
 * are one after the other within 256 terms. */
TEST(bits) {
    enum { ROWS = 5, DEPTH = 300, COLUMNS = 6 };
    double a[ROWS * DEPTH], b[DEPTH * COLUMNS], c[ROWS * COLUMNS] = {0}, wanted[ROWS * COLUMNS] = {0};
    for (int i = 0; i < ROWS * DEPTH; i++) a[i] = 1.0 / (i + 3);
    for (int i = 0; i < DEPTH * COLUMNS; i++) b[i] = 1.0 / (i + 7);
    product_blocked(ROWS, COLUMNS, DEPTH, (RefMatrix){a, DEPTH, 1}, (RefMatrix){b, COLUMNS, 1}, c, COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        for (int first = 0; first < DEPTH; first += 256) {
            volatile double sum = 0; /* rounded after every operation */
            for (int k = first; k < first + 256 && k < DEPTH; k++) {
                volatile double product = a[i / COLUMNS * DEPTH + k] * b[k * COLUMNS + i % COLUMNS];
                sum += product;
            }
            wanted[i] += sum;
        }
    CU_ASSERT(memcmp(c, wanted, sizeof c) == 0);
}

/* ---- by several threads ---- */

/* Products of the same operands, the one of `rows` by some threads. */
static void check_threads(RefProduct by, int64_t rows, int64_t columns, int64_t depth) {
    const int threads[] = {2, 3, 16};
    TestGraph t = test_graph((uint64_t)rows);
    double *a = NEW_ARRAY(t.arena, double, rows *depth), *b = NEW_ARRAY(t.arena, double, depth *columns);
    double *wanted = NEW_ARRAY(t.arena, double, rows *columns);
    for (int64_t i = 0; i < rows * depth; i++) a[i] = random_in(&t, -1, 1);
    for (int64_t i = 0; i < depth * columns; i++) b[i] = random_in(&t, -1, 1);
    Product p = {by, rows, columns, depth, {a, depth, 1}, {b, columns, 1}, wanted, columns};
    parallel_limits(1, 1);
    product_run(p);
    for (int i = 0; i < COUNT_OF(threads); i++) {
        p.c = NEW_ARRAY(t.arena, double, rows *columns);
        parallel_limits(threads[i], 1);
        product_run(p);
        CU_ASSERT(memcmp(p.c, wanted, sizeof *wanted * (size_t)(rows * columns)) == 0);
    }
    arena_free(t.arena);
}

/* The serial OpenBLAS locks what its calls have in common. */
TEST(threads) {
    RefProduct products[] = {product_blocked, product_openblas};
    for (int i = 0; i < COUNT_OF(products); i++) {
        check_threads(products[i], 4200, 40, 70);
        check_threads(products[i], 40, 4200, 70);
        check_threads(products[i], 300, 1, 3);
        check_threads(products[i], 0, 300, 3);
    }
}

/* ---- --blas ---- */

static Node *turned(TestGraph *t, Node *x) {
    return build_transpose(t->graph, x, x->shape.rank == 2 ? (int64_t[]){1, 0} : (int64_t[]){0, 2, 1});
}

/* Operands as they lie and transposed, of one matrix and of several; and one of a
 * slice. */
static void add_products(TestGraph *t, Dim rows, Dim depth, Dim columns) {
    for (int i = 0; i < 8; i++) {
        Dim lead[] = {size(t, 2)}, a_sizes[] = {lead[0], rows, depth}, b_sizes[] = {lead[0], depth, columns};
        bool many = i & 4, a_turned = i & 1, b_turned = i & 2;
        Dim a_lies[] = {lead[0], depth, rows}, b_lies[] = {lead[0], columns, depth};
        Node *a = new_input(t, -1, 1, 2 + many, (a_turned ? a_lies : a_sizes) + !many);
        Node *b = new_input(t, -1, 1, 2 + many, (b_turned ? b_lies : b_sizes) + !many);
        Node *operands[] = {a_turned ? turned(t, a) : a, b_turned ? turned(t, b) : b};
        new_output(t, graph_make(t->graph, OP_matmul, operands, 2, NULL));
    }
    Dim zero[] = {size(t, 1), size(t, 2)},
        wide[] = {dim_offset(t->graph->dims, rows, 1), dim_offset(t->graph->dims, depth, 3)};
    Node *part = build_slice(t->graph, new_input(t, -1, 1, 2, wide), zero, (Dim[]){rows, depth}, NULL);
    new_output(t, graph_make(t->graph, OP_matmul,
                             (Node *[]){part, new_input(t, -1, 1, SIZES(depth, columns))}, 2, NULL));
}

static int count_calls(const Program *program) {
    int calls = 0;
    for (int i = 0; i < program->launches.count; i++)
        calls += program->launches.items[i]->kind == &kernel_table.kinds[KERNEL_blas];
    return calls;
}

/* A leading dimension of an axis of size 1 is no stride. Operands are read as they lie,
 * transposed ones too: products are all that is launched. */
TEST(programs) {
    const int64_t sizes[] = {1, 2, 5};
    const LowerOptions options = WITH_TABLE(.target = target_at(0), .blas = true);
    /* programs have cblas_sgemm from there */
    if (!can_run(target_at(0)->name) || !dlopen("libopenblas.so.0", RTLD_NOW | RTLD_GLOBAL)) return;
    for (int i = 0; i < 54; i++) {
        TestGraph t = test_graph((uint64_t)i);
        int64_t rows = sizes[i % 3], depth = sizes[i / 3 % 3], columns = sizes[i / 9 % 3];
        bool free = i >= 27;
        t.symbols[0] = rows, t.symbols[1] = depth;
        add_products(&t, free ? t.N : size(&t, rows), free ? t.H : size(&t, depth), size(&t, columns));
        const Program *program = lower(t.graph, &options, t.arena);
        CU_ASSERT(count_calls(program) >= 8 && program->launches.count == 9);
        compare_with_options(
            &t, &options, 1e-6,
            arena_printf(t.arena, "%d %d %d%s", (int)rows, (int)depth, (int)columns, free ? " free" : ""));
        arena_free(t.arena);
    }
}
