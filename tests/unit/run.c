/* A context: sizes from shapes, checks, memory that grows and shrinks, the same bits for
 * any number of threads. The program is written by hand: x: f32[N, 2, H, W] with H a
 * multiple of 4, y: f32[H + 1], out: f32[N, 2, H, W] = 3 * x + seed through a slot, in
 * two rounds of two launches, and through the working memory of the thread. */
#include "core/core.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

enum { N, TWO, H, W, H_PLUS_1, HALF, SLOT, ARENA, SCRATCH, SIZE_COUNT };

static void triple(void *const *args, const int64_t *symbols, int64_t begin, int64_t end, void *scratch) {
    volatile float *product = scratch;
    (void)symbols;
    CU_ASSERT((uintptr_t)scratch % CAI_ALIGNMENT == 0);
    for (int64_t i = begin; i < end; i++) {
        product[24] = ((const float *)args[1])[i] * ((const float *)args[2])[1];
        ((float *)args[0])[i] = product[24];
    }
}

static void add_seed(void *const *args, const int64_t *symbols, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    for (int64_t i = begin; i < end; i++)
        ((float *)args[0])[i] = ((const float *)args[1])[i] + (float)symbols[3];
}

static int64_t prepare(const int64_t *symbols, int64_t *sizes) {
    int64_t elements;
    sizes[N] = symbols[0], sizes[TWO] = 2, sizes[W] = symbols[2], sizes[SLOT] = 64, sizes[SCRATCH] = 100;
    if (__builtin_mul_overflow(symbols[1], 4, &sizes[H]) ||
        __builtin_mul_overflow(sizes[H], sizes[W], &elements))
        return CAI_OVERFLOW;
    if (__builtin_mul_overflow(elements, 2 * symbols[0], &elements)) return CAI_OVERFLOW;
    if (__builtin_mul_overflow(elements, 4, &sizes[ARENA])) return CAI_OVERFLOW;
    sizes[HALF] = elements / 2;
    sizes[H_PLUS_1] = sizes[H] + 1;
    sizes[ARENA] += 64;
    return symbols[2] % 2 ? 0 : CAI_PREPARED;
}

static const cai_dim x_dims[] = {{1, 0, N}, {2, -1, TWO}, {4, 1, H}, {1, 2, W}},
                     y_dims[] = {{0, -2, H_PLUS_1}};
static const cai_port inputs[] = {{.name = "x", .type_text = "f32[N, 2, H, W]", .dims = x_dims, .rank = 4},
                                  {.name = "y", .type_text = "f32[H + 1]", .dims = y_dims, .rank = 1}};
static const cai_port outputs[] = {
    {.name = "out", .type_text = "f32[N, 2, H, W]", .dims = x_dims, .rank = 4}};
static const cai_symbol symbols[] = {{"N", 1}, {"H", 4}, {"W", 1}};
static const cai_argument arguments[] = {{CAI_ARG_SLOT, -1, SLOT},
                                         {CAI_ARG_INPUT, -1, 0},
                                         {CAI_ARG_WEIGHTS, -1, 64},
                                         {CAI_ARG_OUTPUT, -1, 0},
                                         {CAI_ARG_SLOT, -1, SLOT}};
static const cai_launch launches[] = {
    {.kernel = triple, .arguments = arguments, .argument_count = 3, .tasks = HALF, .rounds = TWO, .more = 1},
    {.kernel = add_seed, .arguments = arguments + 3, .argument_count = 2, .tasks = HALF, .rounds = -1}};
static const cai_check checks[] = {{"W must be even"}};
static const _Alignas(64) float weights[32] = {[17] = 3};
static const cai_program program = {.abi = CAI_PROGRAM_ABI,
                                    .name = "triple",
                                    .inputs = inputs,
                                    .outputs = outputs,
                                    .symbols = symbols,
                                    .launches = launches,
                                    .checks = checks,
                                    .prepare = prepare,
                                    .weights = (const unsigned char *)weights,
                                    .input_count = 2,
                                    .output_count = 1,
                                    .symbol_count = 3,
                                    .launch_count = 2,
                                    .check_count = 1,
                                    .size_count = SIZE_COUNT,
                                    .arena = ARENA,
                                    .scratch = SCRATCH};

static cai_pool *pool;
static cai_context *context;

static int open_context(void) {
    cai_error error;
    pool = cai_pool_new(2);
    context = pool ? cai_context_new(&program, pool, &error) : NULL;
    return context ? 0 : 1;
}

static int close_context(void) {
    cai_context_free(context);
    cai_pool_free(pool);
    return 0;
}
FIXTURE(open_context, close_context)

/* The message of preparing x[n, c, h, w] and y[k]; "" where it is accepted. */
static const char *prepared(int64_t n, int64_t c, int64_t h, int64_t w, int64_t k) {
    static cai_error error;
    const int64_t x[] = {n, c, h, w}, y[] = {k}, *const shapes[] = {x, y};
    error.message[0] = 0;
    cai_context_prepare(context, shapes, &error);
    return error.message;
}

TEST(sizes_are_bound_and_checked) {
    CU_ASSERT_STRING_EQUAL(prepared(1, 2, 8, 6, 9), "");
    CU_ASSERT_EQUAL(cai_context_elements(context, &outputs[0]), 96);
    CU_ASSERT_STRING_EQUAL(prepared(1, 3, 8, 6, 9),
                           "input `x` is f32[N, 2, H, W]: its axis 1 must be 2, and is 3");
    CU_ASSERT_STRING_EQUAL(prepared(1, 2, 9, 6, 9),
                           "input `x` is f32[N, 2, H, W]: its axis 2 must be a multiple of 4, and is 9");
    CU_ASSERT_STRING_EQUAL(prepared(0, 2, 8, 6, 9),
                           "input `x` is f32[N, 2, H, W]: its axis 0 is 0, and must be at least 1");
    CU_ASSERT_STRING_EQUAL(prepared(1, 2, 8, -6, 9),
                           "input `x` is f32[N, 2, H, W]: its axis 3 is -6, and must be at least 1");
    CU_ASSERT_STRING_EQUAL(prepared(1, 2, 8, 6, 8),
                           "input `y` is f32[H + 1]: its axis 0 must be 9, and is 8");
    CU_ASSERT_STRING_EQUAL(prepared(1, 2, 8, 5, 9), "W must be even (N = 1, H = 8, W = 5)");
    CU_ASSERT_PTR_NOT_NULL(strstr(prepared(1, 2, (int64_t)1 << 62, 8, 9), "too large to compute with"));
    CU_ASSERT_PTR_NOT_NULL(strstr(prepared(1, 2, (int64_t)1 << 50, 8, 9), "not enough memory"));
    CU_ASSERT_EQUAL(cai_context_elements(context, &outputs[0]), 96); /* what was prepared stays */
}

TEST(sizes_by_symbols) {
    cai_error error;
    CU_ASSERT(cai_context_prepare_symbols(context, (int64_t[]){2, 8, 4}, &error));
    CU_ASSERT_EQUAL(cai_context_dim(context, &inputs[0], 2), 8);
    CU_ASSERT_FALSE(cai_context_prepare_symbols(context, (int64_t[]){2, 9, 4}, &error));
    CU_ASSERT_STRING_EQUAL(error.message, "H is 9, and must be a multiple of 4");
}

/* Runs with n pictures and compares with what the model says. */
static void check_run(int64_t n, int64_t h, int64_t w, int64_t seed) {
    cai_error error;
    int64_t count = n * 2 * h * w;
    float *x = malloc((size_t)count * sizeof *x), *out = malloc((size_t)count * sizeof *out), y = 0;
    for (int64_t i = 0; i < count; i++) x[i] = (float)(i % 1000);
    CU_ASSERT_STRING_EQUAL_FATAL(prepared(n, 2, h, w, h + 1), "");
    CU_ASSERT(cai_context_run(context, (const void *const[]){x, &y}, (void *const[]){out}, seed, &error));
    int64_t wrong = 0;
    for (int64_t i = 0; i < count; i++) wrong += out[i] != 3 * x[i] + (float)seed;
    CU_ASSERT_EQUAL(wrong, 0);
    free(x);
    free(out);
}

TEST(runs_of_changing_sizes) {
    check_run(1, 4, 2, 0);
    check_run(3, 400, 300, 5);
    check_run(1, 8, 2, -7);
    check_run(2, 800, 600, 1);
}

TEST(what_was_not_prepared_does_not_run) {
    cai_error error;
    cai_context *fresh = cai_context_new(&program, pool, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fresh);
    CU_ASSERT_FALSE(cai_context_run(fresh, NULL, NULL, 0, &error));
    cai_context_free(fresh);
    cai_program other = program;
    other.abi = CAI_PROGRAM_ABI + 1;
    CU_ASSERT_PTR_NULL(cai_context_new(&other, pool, &error));
    CU_ASSERT_EQUAL(error.status, CAI_INTERNAL);
}
