/* Errors of the operators of one float in ULP, against the C library in double precision.
 * By default a sample of all f32; with CAI_SWEEP=n in the environment every n-th, so 1 is
 * all there are, and the figures are printed. */
#include "backend_support.h"

#include <float.h>

enum { BATCH = 1 << 16 };

/* What the head comment of math.c promises, in ULP: rounded to hundredths there. */
typedef struct Promise {
    Op op;
    double bound;
    float largest; /* |x| up to which the bound holds */
} Promise;

/* gelu and its slope promise none in ULP in their tails: activations.c holds them to
 * 2^-24 |x| and 2^-23. */
static const Promise promises[] = {{OP_exp, 1.02, INFINITY},      {OP_log, 1.56, INFINITY},
                                   {OP_tanh, 1.35, INFINITY},     {OP_exp2, 0.97, INFINITY},
                                   {OP_log1p, 1.91, INFINITY},    {OP_expm1, 1.61, INFINITY},
                                   {OP_sigmoid, 2.42, INFINITY},  {OP_silu, 3.11, INFINITY},
                                   {OP_erf, 1.22, INFINITY},      {OP_sin, 0.51, 0x1p30f},
                                   {OP_cos, 0.51, 0x1p30f},       {OP_sqrt, 0.51, INFINITY},
                                   {OP_gelu, INFINITY, INFINITY}, {OP_gelu_slope, INFINITY, INFINITY}};

/* Every operator of one float is held to its promise, or to 4 ULP. */
static Promise promise_of(Op op) {
    for (int i = 0; i < COUNT_OF(promises); i++)
        if (promises[i].op == op) return promises[i];
    return (Promise){op, 4, INFINITY};
}

static bool is_function(Op op) { return op_info[op].shape == shape_float && op_info[op].max_inputs == 1; }

/* What the operator's reference function makes of numbers: the C library's, in double
 * precision. */
static void find_exact(Op op, const float *x, Number *exact, int64_t count) {
    static Number values[BATCH];
    for (int64_t i = 0; i < count; i++) values[i].real = x[i];
    const Number *inputs[] = {values};
    RefShape shape = {.type = DTYPE_F32, .rank = 1, .dims = {count}, .count = count};
    Node node = {.op = op, .input_count = 1};
    RefCall call = {.node = &node, .inputs = inputs, .input_shapes = &shape, .out = exact, .shape = shape};
    op_info[op].reference(&call);
}

static double error_of(float got, double exact) {
    if (isnan(exact)) return isnan(got) ? 0 : INFINITY;
    double limit = 0x1.ffffffp127; /* what rounds to infinity */
    if (isinf(exact) || fabs(exact) >= limit) return isinf(got) && (got > 0) == (exact > 0) ? 0 : INFINITY;
    if (got == 0 && exact == 0) return !signbit(got) == !signbit(exact) ? 0 : INFINITY;
    if (isinf(got)) return fabs(exact) > 0x1.fffffcp127 ? 0.5 : INFINITY;
    return fabs(got - exact) / ulp_at(exact);
}

/* The kernel is called directly: the runtime would flush denormals. */
static void call(const Compiled *compiled, int launch, void *out, const void *a, const void *b,
                 int64_t count) {
    const cai_launch *l = &compiled->program->launches[launch];
    int64_t symbols[3] = {1, count, 0};
    void *const args[] = {out, (void *)(uintptr_t)a, (void *)(uintptr_t)b};
    l->kernel(args, symbols, 0, (count + 4095) / 4096, NULL);
}

static bool compile_functions(TestGraph *t, const char *target, Compiled *compiled) {
    Node *x = new_input(t, -1, 1, SIZES(t->H));
    for (Op op = 0; op < OP_COUNT; op++)
        if (is_function(op)) new_output(t, build_unary(t->graph, op, x));
    new_output(t, build_binary(t->graph, OP_pow, x, new_input(t, -1, 1, SIZES(t->H))));
    LowerOptions options = WITH_TABLE(.target = target_find(target));
    return compile_and_load(t, &options, compiled);
}

/* All functions for a target, and the worst that was found of the present one. */
typedef struct Candidate {
    const char *target;
    TestGraph graph;
    Compiled compiled;
    double worst;
    float where;
} Candidate;

static void judge(Candidate *c, Promise promise, const float *x, const float *y, const Number *exact,
                  int count) {
    for (int i = 0; i < count; i++) {
        double error = fabsf(x[i]) > promise.largest && isfinite(x[i]) ? (fabsf(y[i]) <= 1 ? 0 : INFINITY)
                                                                       : error_of(y[i], exact[i].real);
        if (error > c->worst) c->worst = error, c->where = x[i];
    }
}

/* The exact values cost most, so all targets share them. */
static void judge_all(Candidate *candidates, int n, Promise promise, int launch, const float *x, int count) {
    static float y[BATCH];
    static Number exact[BATCH];
    find_exact(promise.op, x, exact, count);
    for (int i = 0; i < n; i++) {
        call(&candidates[i].compiled, launch, y, x, NULL, count);
        judge(&candidates[i], promise, x, y, exact, count);
    }
}

/* Where a sample would seldom look: both zeros, the ends of the range, and beyond. */
static const float edges[] = {0,       -0.0f,    0x1p-149f, -0x1p-149f, 0x1p-126f, -0x1p-126f,
                              FLT_MAX, -FLT_MAX, INFINITY,  -INFINITY,  NAN};

/* At the edges and at every `stride`th f32. */
static void find_worst(Candidate *candidates, int n, Promise promise, int launch, uint64_t stride) {
    static float x[BATCH];
    for (int i = 0; i < n; i++) candidates[i].worst = 0;
    judge_all(candidates, n, promise, launch, edges, COUNT_OF(edges));
    for (uint64_t bits = 0; bits < (uint64_t)1 << 32;) {
        int count = 0;
        for (; count < BATCH && bits < (uint64_t)1 << 32; bits += stride)
            x[count++] = from_bits((uint32_t)bits);
        judge_all(candidates, n, promise, launch, x, count);
    }
}

static void check_function(Candidate *candidates, int n, Promise promise, int launch) {
    const char *sweep = getenv("CAI_SWEEP");
    find_worst(candidates, n, promise, launch, sweep && atoi(sweep) > 0 ? (uint64_t)atoi(sweep) : 2039);
    for (Candidate *c = candidates; c < candidates + n; c++) {
        bool good = c->worst <= promise.bound;
        if (sweep || !good)
            fprintf(stderr, "\n%s on %s: %.3f ULP at %a", op_info[promise.op].name, c->target, c->worst,
                    c->where);
        CU_ASSERT(good);
    }
}

TEST_IN_PARTS(errors, 4) { /* so that the sweep keeps all cores busy */
    enum { MAX_TARGETS = 8 };
    static Candidate candidates[MAX_TARGETS];
    int n = 0, launch = 0;
    for (int i = 0; i < target_count() && n < MAX_TARGETS; i++) {
        Candidate *c = &candidates[n];
        if (!can_run(target_at(i)->name)) continue;
        *c = (Candidate){.target = target_at(i)->name, .graph = test_graph(1)};
        if (compile_functions(&c->graph, c->target, &c->compiled)) n++;
    }
    for (Op op = 0; op < OP_COUNT; op++)
        if (is_function(op) && launch++ % parts == part)
            check_function(candidates, n, promise_of(op), launch - 1);
    for (int i = 0; i < n; i++) {
        unload(&candidates[i].compiled);
        arena_free(candidates[i].graph.arena);
    }
}

/* pow at all pairs of interesting operands, and at random ones. */
static void check_pow(const char *target) {
    static const float some[] = {0,        -0.0f,     1,           -1,       2,         -2,    3,
                                 -3,       0.5f,      -0.5f,       1.5f,     1e-40f,    1e30f, -1e30f,
                                 16777215, -16777216, 0.99999994f, INFINITY, -INFINITY, NAN};
    enum { SOME = COUNT_OF(some), RANDOM = 60000 };
    static float a[SOME * SOME + RANDOM], b[SOME * SOME + RANDOM], y[SOME * SOME + RANDOM];
    if (!can_run(target)) return;
    TestGraph t = test_graph(2);
    Compiled compiled;
    for (int i = 0; i < SOME * SOME; i++) a[i] = some[i / SOME], b[i] = some[i % SOME];
    for (int i = SOME * SOME; i < COUNT_OF(a); i++) {
        a[i] = (float)exp2(random_in(&t, -20, 20));
        b[i] = (float)random_in(&t, -8, 8);
    }
    if (compile_functions(&t, target, &compiled)) {
        call(&compiled, compiled.program->launch_count - 1, y, a, b, COUNT_OF(a));
        for (int i = 0; i < COUNT_OF(a); i++) {
            double error = error_of(y[i], pow(a[i], b[i]));
            if (error > 1) fprintf(stderr, "\npow(%a, %a) = %a on %s", a[i], b[i], y[i], target);
            CU_ASSERT(error <= 1);
        }
    }
    unload(&compiled);
    arena_free(t.arena);
}

TEST(pow) {
    for (int i = 0; i < target_count(); i++) check_pow(target_at(i)->name);
}
