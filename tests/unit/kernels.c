/* The kernels against the reference, on the shapes of tests/kernels/shapes.txt: whole numbers, so that every sum is exact, for both
 * targets, on one thread and on three. And their inner loops: no vector register may be spilled there. */
#include "backend_support.h"
#include "../kernels/shape.h"

static const char *const targets[] = {"x86-64-v3", "x86-64-v4"};

static void check_shape(const ShapeLine *shape, const char *text, void *context) {
    const char *operators = context;
    if (!strstr(operators, shape->op)) return;
    for (int i = 0; i < COUNT_OF(targets); i++) {
        if (!can_run(targets[i])) continue;
        TestGraph t = shape_graph(shape, 1);
        LowerOptions options = {.target = target_find(targets[i]), .force = *shape->by ? shape->by : NULL, .own_slots = true};
        double tolerance = strstr(text, "bilinear") ? 1e-5 : 0;
        compare_with_options(&t, &options, tolerance, arena_printf(t.arena, "%s (%s)", text, targets[i]));
        arena_free(t.arena);
    }
}

static void check_operators(const char *operators) {
    CU_ASSERT(each_shape_of_file("tests/kernels/shapes.txt", check_shape, (void *)operators) > 0);
}

static void test_convolutions(void) { check_operators(" conv tconv convw "); }
static void test_windows(void) { check_operators(" pool_max pool_sum pool_sum_input max_pool_scatter max_pool_gather resample resample_input "); }
static void test_matrices(void) { check_operators(" matmul dense "); }

void suite_kernels(void) {
    CU_pSuite suite = CU_add_suite("kernels", NULL, NULL);
    CU_add_test(suite, "convolutions", test_convolutions);
    CU_add_test(suite, "pools and resampling", test_windows);
    CU_add_test(suite, "matrix products", test_matrices);
}
