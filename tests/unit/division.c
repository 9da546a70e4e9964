/* `/`, `//` and `%` against numpy's float32, bit by bit, whoever makes the divisor: a
 * tensor, a row or a column that is repeated, a constant, or both operands constants,
 * which are folded. tests/numerics/division/make.py says how the pairs are chosen. */
#include "backend_support.h"
#include "files/files.h"

enum { MAX_PAIRS = 1 << 13, RESULTS = 3 };

static const Op ops[RESULTS] = {OP_div, OP_floor_div, OP_mod};

typedef struct Pairs { /* of `edges` numbers with each other, x by x, then others */
    int edges, count;
    float x[MAX_PAIRS], y[MAX_PAIRS], results[RESULTS][MAX_PAIRS];
} Pairs;

static const cai_tensor *column(const cai_tensor_file *file, const char *name) {
    const cai_tensor *found = cai_tensors_find(file, name);
    CU_ASSERT_FATAL(found && found->type == CAI_F32 && found->count <= MAX_PAIRS);
    return found;
}

static int read_column(const cai_tensor_file *file, const char *name, float *values) {
    const cai_tensor *read = column(file, name);
    cai_tensor_to_f32(read, 0, read->count, values);
    return (int)read->count;
}

static const Pairs *read_pairs(void) {
    static Pairs pairs;
    cai_tensor_file file;
    cai_error error;
    if (pairs.count) return &pairs;
    CU_ASSERT_FATAL(cai_tensors_open("tests/numerics/division/division.safetensors", &file, &error));
    pairs.edges = (int)column(&file, "edges")->count;
    pairs.count = read_column(&file, "x", pairs.x);
    CU_ASSERT_EQUAL_FATAL(read_column(&file, "y", pairs.y), pairs.count);
    for (int op = 0; op < RESULTS; op++)
        CU_ASSERT_EQUAL_FATAL(read_column(&file, op_info[ops[op]].name, pairs.results[op]), pairs.count);
    cai_tensors_close(&file);
    return &pairs;
}

static float edge(const Pairs *p, int i) { return p->y[i]; }

/* Denormal results are zero. */
static bool is_right(const Pairs *p, int op, int pair, float got) {
    float wanted = p->results[op][pair];
    if (isnan(wanted)) return isnan(got);
    if (fabsf(wanted) < 0x1p-126f) wanted = copysignf(0, wanted);
    if (fabsf(got) < 0x1p-126f) got = copysignf(0, got);
    return memcmp(&got, &wanted, sizeof got) == 0;
}

/* got[i] is of pair first + i * step. */
static void check(const Pairs *p, const char *what, int op, int first, int step, int count,
                  const Number *got) {
    int wrong = 0;
    for (int i = 0; i < count; i++) {
        int pair = first + i * step;
        if (is_right(p, op, pair, (float)got[i].real)) continue;
        if (wrong++ < 5)
            fprintf(stderr, "\n%s, %s of %a and %a: %a, not %a", what, op_info[ops[op]].name, p->x[pair],
                    p->y[pair], got[i].real, p->results[op][pair]);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static Node *input_of(TestGraph *t, const float *values, int step, int rank, const Dim *dims) {
    Node *node = new_input(t, 0, 1, rank, dims);
    TestInput *input = &t->inputs.items[t->inputs.count - 1];
    for (int64_t i = 0; i < input->count; i++) input->values[i].real = values[i * step];
    return node;
}

static void run(TestGraph *t, const char *target, Number **outputs) {
    PassOptions passes = {.verify = true};
    t->graph = passes_run(t->graph, &passes);
    Compiled compiled;
    CU_ASSERT_FATAL(compile_and_load(t, &WITH_TABLE(.target = target_find(target)), &compiled) &&
                    run_compiled(&compiled, 1, outputs));
    unload(&compiled);
}

static void check_tensors(const Pairs *p, const char *target) {
    TestGraph t = test_graph(1);
    Number *outputs[RESULTS];
    RefTensor reference[RESULTS];
    Node *results[RESULTS];
    t.symbols[1] = p->count;
    Node *x = input_of(&t, p->x, 1, SIZES(t.H)), *y = input_of(&t, p->y, 1, SIZES(t.H));
    for (int op = 0; op < RESULTS; op++) new_output(&t, results[op] = binary(&t, ops[op], x, y));
    evaluate(&t, t.graph, results, RESULTS, reference);
    run(&t, target, outputs);
    for (int op = 0; op < RESULTS; op++) {
        check(p, target, op, 0, 1, p->count, outputs[op]);
        check(p, "reference", op, 0, 1, p->count, reference[op].values);
    }
    arena_free(t.arena);
}

/* All pairs of edges as a square [x, y], by a row of divisors, and its transpose by a
 * column. */
static void check_repeated(const Pairs *p, const char *target) {
    TestGraph t = test_graph(1);
    int n = p->edges;
    Dim side = size(&t, n), one = size(&t, 1);
    Node *x = input_of(&t, p->x, 1, SIZES(side, side)), *row = input_of(&t, p->y, 1, SIZES(one, side));
    Node *turned = build_transpose(t.graph, x, (int64_t[]){1, 0}),
         *column = input_of(&t, p->y, 1, SIZES(side, one));
    Number *outputs[2 * RESULTS];
    for (int op = 0; op < RESULTS; op++) new_output(&t, binary(&t, ops[op], x, row));
    for (int op = 0; op < RESULTS; op++) new_output(&t, binary(&t, ops[op], turned, column));
    run(&t, target, outputs);
    for (int op = 0; op < RESULTS; op++) {
        check(p, "by a row", op, 0, 1, n * n, outputs[op]);
        for (int y = 0; y < n; y++) check(p, "by a column", op, y, n, n, outputs[RESULTS + op] + y * n);
    }
    arena_free(t.arena);
}

/* All edges by each of them as a constant. */
static void check_constants(const Pairs *p, const char *target) {
    TestGraph t = test_graph(1);
    Number **outputs = NEW_ARRAY(t.arena, Number *, p->edges * RESULTS);
    Node *x = input_of(&t, p->x, p->edges, SIZES(size(&t, p->edges)));
    for (int y = 0; y < p->edges; y++)
        for (int op = 0; op < RESULTS; op++) new_output(&t, binary(&t, ops[op], x, splat(&t, edge(p, y))));
    run(&t, target, outputs);
    for (int y = 0; y < p->edges; y++)
        for (int op = 0; op < RESULTS; op++)
            check(p, "by a constant", op, y, p->edges, p->edges, outputs[y * RESULTS + op]);
    arena_free(t.arena);
}

static void check_all(const char *target) {
    const Pairs *p = read_pairs();
    if (!can_run(target)) return;
    check_tensors(p, target);
    check_repeated(p, target);
    check_constants(p, target);
}

TEST_IN_PARTS(kernels, 2) { /* a target each */
    for (int i = part; i < target_count(); i += parts) check_all(target_at(i)->name);
}

static Node *constant_of(TestGraph *t, const float *values, int count) {
    Number *numbers = NEW_ARRAY(t->arena, Number, count);
    Dim dims[] = {size(t, count)};
    for (int i = 0; i < count; i++) numbers[i].real = values[i];
    return build_constant(t->graph, numbers, count, (Shape){DTYPE_F32, 1, dims});
}

TEST(folding) {
    const Pairs *p = read_pairs();
    TestGraph t = test_graph(1);
    Node *x = constant_of(&t, p->x, p->count), *y = constant_of(&t, p->y, p->count);
    for (int op = 0; op < RESULTS; op++) new_output(&t, binary(&t, ops[op], x, y));
    PassOptions passes = {.verify = true};
    Graph *graph = passes_run(t.graph, &passes);
    for (int op = 0; op < RESULTS; op++) {
        const Node *node = graph->outputs.items[op].node;
        CU_ASSERT_EQUAL_FATAL(node->op, OP_constant);
        check(p, "folded", op, 0, 1, p->count, ATTRIBUTES(node, constant)->data->values);
    }
    arena_free(t.arena);
}
