/* What stdlib/activation.cai promises in its comments: the error of every activation,
 * built for every target, over all f32, tails included, against the exact value in long
 * double. By default a sample of all f32; with CAI_SWEEP=n in the environment every n-th,
 * so 1 is all there are, and the figures are printed. Derivatives and losses are held to
 * the same. */
#include "backend_support.h"
#include "library_support.h"
#include "passes/passes.h"
#include "core/core.h"
#include <math.h>

enum { BATCH = 1 << 14 };

typedef long double Real;

typedef struct Case {
    const char *text; /* of x, f32[N] */
    Real (*exact)(Real);
    double bound;        /* in ULP of the exact value, or in units of 2^-24 |scale(x)| */
    Real (*scale)(Real); /* or NULL */
    int batch;           /* numbers a run: 1 where they are not independent of each other */
} Case;

/* ---- exact values ---- */

static Real relu(Real x) { return x > 0 || isnan(x) ? x : 0; }
static Real relu6(Real x) { return x > 6 ? 6 : relu(x); }
static Real leaky(Real x) { return x > 0 ? x : 0.2f * x; }
static Real elu(Real x) { return x > 0 ? x : expm1l(x); }
static Real elu_2(Real x) { return x > 0 ? x : 2 * expm1l(x); }
static Real selu(Real x) { return 1.0507009873554804934L * (x > 0 ? x : 1.6732632423543772848L * expm1l(x)); }
static Real sigmoid(Real x) { return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x)); }
static Real gelu(Real x) { return x == -INFINITY ? 0 : x * erfcl(-x / sqrtl(2)) / 2; }
static Real silu(Real x) { return x == -INFINITY ? 0 : x * sigmoid(x); }
static Real hardsigmoid(Real x) { return relu6(x + 3) / 6; }
static Real hardsigmoid_onnx(Real x) { return isnan(x) ? x : fminl(fmaxl(0.2L * x + 0.5L, 0), 1); }
static Real hardswish(Real x) { return x * hardsigmoid(x); }
static Real softplus(Real x) { return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x)); }
static Real minus_softplus(Real x) { return -softplus(-x); } /* the logarithm of x's share beside a 0 */
static Real mish(Real x) { return x * tanhl(softplus(x)); }
static Real log_two_shares(Real x) { return -softplus(-x) - logl(2); } /* beside itself and two zeros */
static Real half(Real x) { return isfinite(x) ? 0.5L : NAN; }
static Real bce_of_one(Real x) { return softplus(-x); }

static Real elu_slope(Real x) { return x > 0 ? 1 : expl(x); }
static Real silu_slope(Real x) { return sigmoid(x) * (1 + x * sigmoid(-x)); }
static Real mish_slope(Real x) {
    Real t = tanhl(softplus(x));
    return t + x * sigmoid(x) / (coshl(softplus(x)) * coshl(softplus(x)));
}
static Real gelu_slope(Real x) {
    return erfcl(-x / sqrtl(2)) / 2 + x * expl(-x * x / 2) / sqrtl(8 * atanl(1));
}
static Real bce_slope(Real x) { return -sigmoid(-x); }

static Real one(Real x) { return x == x; }
static Real magnitude(Real x) { return x; }
static Real softmax_error(Real x) { return sigmoid(x) * (4 + (x < 0 ? -x : 0)); }
/* Of slopes that pass through 0, and are 0 where e^x is a denormal. */
static Real tail(Real x) { return sigmoid(x) * (1 + fabsl(x)) + 0x1p-96L; }

static const Case cases[] = {
    {"relu(x)", relu, 0, NULL, BATCH},
    {"relu6(x)", relu6, 0, NULL, BATCH},
    {"x -> leaky_relu(slope = 0.2)", leaky, 1, NULL, BATCH},
    {"x -> elu", elu, 2, NULL, BATCH},
    {"x -> elu(alpha = 2)", elu_2, 2, NULL, BATCH},
    {"selu(x)", selu, 3, NULL, BATCH},
    {"gelu(x)", gelu, 1, magnitude, BATCH},
    {"sigmoid(x)", sigmoid, 2.5, NULL, BATCH},
    {"tanh(x)", tanhl, 1.5, NULL, BATCH},
    {"silu(x)", silu, 4, NULL, BATCH},
    {"x -> hardsigmoid", hardsigmoid, 2, NULL, BATCH},
    {"x -> hardsigmoid(slope = 0.2)", hardsigmoid_onnx, 2, NULL, BATCH},
    {"hardswish(x)", hardswish, 3, NULL, BATCH},
    {"softplus(x)", softplus, 3, NULL, BATCH},
    {"mish(x)", mish, 6, NULL, BATCH},
    {"((x, zeros([x.batch])) -> stack(axis = 1) -> log_softmax)[:, 0]", minus_softplus, 4, NULL, BATCH},
    {"((x, x, zeros([x.batch]), zeros([x.batch])) -> stack(axis = 1) -> log_softmax)[:, 1]", log_two_shares,
     4, NULL, BATCH},
    {"((x, zeros([x.batch])) -> stack(axis = 1) -> softmax)[:, 0]", sigmoid, 2, softmax_error, BATCH},
    {"((x, x) -> stack(axis = 1) -> softmax)[:, 0]", half, 0, NULL, BATCH},
    {"x -> bce_logits(target = 1)", bce_of_one, 4, NULL, 1},
    {"x -> bce_logits(target = 0)", softplus, 4, NULL, 1},
    {"grad(sum(x -> elu), x)", elu_slope, 2, NULL, BATCH},
    {"grad(sum(softplus(x)), x)", sigmoid, 4, NULL, BATCH},
    {"grad(sum(silu(x)), x)", silu_slope, 8, tail, BATCH},
    {"grad(sum(gelu(x)), x)", gelu_slope, 2, one, BATCH},
    {"grad(sum(mish(x)), x)", mish_slope, 8, tail, BATCH},
    {"grad(x -> bce_logits(target = 1), x)", bce_slope, 4, NULL, 1},
};

/* ---- running ---- */

static Graph *elaborated(Arena *arena, const char *expression) {
    Diagnostics diag = {.arena = arena};
    const char *text = arena_printf(
        arena, "model m(x: f32[N]) -> y: f32[N] { return (%s) + zeros([x.batch]) }\n", expression);
    Model *model = model_of_text(names_new(arena), &diag, text);
    Graph *graph = model ? model->graph : NULL;
    CU_ASSERT_FATAL(graph != NULL);
    return passes_run(graph, &(PassOptions){.verify = true});
}

/* A built program at any number of numbers; denormals are zero in it, as in every run. */
typedef struct Runner {
    TestGraph t;
    Compiled compiled;
    cai_pool *pool;
    cai_context *context;
    int prepared; /* for how many numbers */
} Runner;

static void run(Runner *r, const float *x, float *y, int count) {
    cai_error error;
    int64_t symbols[1] = {count};
    if (r->prepared != count) CU_ASSERT_FATAL(cai_context_prepare_symbols(r->context, symbols, &error));
    r->prepared = count;
    CU_ASSERT_FATAL(cai_context_run(r->context, (const void *[]){x}, (void *[]){y}, 0, &error));
}

static Runner runner_of(const char *expression, const char *target) {
    Runner r = {.t = test_graph(1)};
    cai_error error;
    r.t.graph = elaborated(r.t.arena, expression);
    LowerOptions options = WITH_TABLE(.target = target_find(target));
    CU_ASSERT_FATAL(compile_and_load(&r.t, &options, &r.compiled));
    r.pool = cai_pool_new(1);
    r.context = cai_context_new(r.compiled.program, r.pool, &error);
    CU_ASSERT_FATAL(r.context != NULL);
    return r;
}

static void runner_end(Runner *r) {
    cai_context_free(r->context);
    cai_pool_free(r->pool);
    unload(&r->compiled);
    arena_free(r->t.arena);
}

/* ---- comparing ---- */

static double error_of(const Case *c, float argument, float got) {
    Real x = fabsf(argument) < 0x1p-126f ? 0 : argument, exact = c->exact(x);
    if (isnan(exact)) return isnan(got) ? 0 : INFINITY;
    if (isinf(got)) return exact * got > 0x1.ffffffp127L ? 0 : INFINITY;
    if (got == exact || (fabsl(exact) < 0x1p-126L && got == 0)) return 0;
    return (double)(fabsl(got - exact) / (c->scale ? 0x1p-24L * fabsl(c->scale(x)) : ulp_at((double)exact)));
}

/* Every `stride`th f32. */
static double worst_of(Runner *r, const Case *c, uint64_t stride, float *where) {
    static float x[BATCH], y[BATCH];
    double worst = 0;
    for (uint64_t bits = 0; bits < (uint64_t)1 << 32;) {
        int count = 0;
        for (; count < c->batch && bits < (uint64_t)1 << 32; bits += stride)
            x[count++] = from_bits((uint32_t)bits);
        run(r, x, y, count);
        for (int i = 0; i < count; i++) {
            double error = error_of(c, x[i], y[i]);
            if (error > worst) worst = error, *where = x[i];
        }
    }
    return worst;
}

static void check(const char *target) {
    if (!can_run(target)) return;
    const char *sweep = getenv("CAI_SWEEP");
    uint64_t stride = sweep && atoi(sweep) > 0 ? (uint64_t)atoi(sweep) : 8191;
    for (int i = 0; i < COUNT_OF(cases); i++) {
        Runner r = runner_of(cases[i].text, target);
        float where = 0;
        double worst = worst_of(&r, &cases[i], cases[i].batch == 1 ? stride * 8 : stride, &where);
        bool good = worst <= cases[i].bound;
        if (sweep || !good)
            fprintf(stderr, "\n%s on %s: %.3f ULP at %a", cases[i].text, target, worst, where);
        CU_ASSERT(good);
        runner_end(&r);
    }
}

TEST_IN_PARTS(errors, 2) { /* a target each */
    for (int i = part; i < target_count(); i += parts) check(target_at(i)->name);
}
