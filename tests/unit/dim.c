/* Sizes: the canonical form, bounds, exact division, and how they are printed. */
#include "graph/graph.h"
#include "test.h"
#include <stdlib.h>

static Arena *arena;
static Dims *dims;
static Dim H, W, H16; /* H and W as the user's symbols; H16 is declared a multiple of 16 */

static int setup(void) {
    arena = arena_new();
    dims = dims_new(arena);
    Names *names = names_new(arena);
    H = dim_symbol(dims, intern(names, "H"), 1);
    W = dim_symbol(dims, intern(names, "W"), 1);
    H16 = dim_symbol(dims, intern(names, "K"), 16);
    return 0;
}

static int teardown(void) {
    arena_free(arena);
    return 0;
}
FIXTURE(setup, teardown)

static void prints(Dim a, const char *wanted) { CU_ASSERT_STRING_EQUAL(dim_string(arena, a), wanted); }

TEST(equal_sizes_are_one_pointer) {
    CU_ASSERT_PTR_EQUAL(dim_add(dims, H, W), dim_add(dims, W, H));
    CU_ASSERT_PTR_EQUAL(dim_mul(dims, dim_add(dims, H, W), dim_sub(dims, H, W)),
                        dim_sub(dims, dim_mul(dims, H, H), dim_mul(dims, W, W)));
    CU_ASSERT_PTR_EQUAL(dim_sub(dims, H, H), dim_const(dims, 0));
    CU_ASSERT_PTR_NOT_EQUAL(H, W);
}

TEST(floor_divisions_nest_and_split) {
    Dim half = dim_floor_div(dims, H, 2);
    CU_ASSERT_PTR_EQUAL(dim_floor_div(dims, half, 3), dim_floor_div(dims, H, 6));
    CU_ASSERT_PTR_EQUAL(dim_floor_div(dims, dim_offset(dims, dim_scale(dims, H, 2), 1), 2), H);
    CU_ASSERT_PTR_EQUAL(dim_floor_div(dims, dim_offset(dims, dim_scale(dims, H, 2), -1), 2),
                        dim_offset(dims, H, -1));
    CU_ASSERT_PTR_EQUAL(dim_floor_div(dims, dim_scale(dims, H, 2), 4), half);
    CU_ASSERT_PTR_EQUAL(dim_ceil_div(dims, dim_ceil_div(dims, H, 2), 2), dim_ceil_div(dims, H, 4));
    CU_ASSERT_PTR_EQUAL(dim_floor_div(dims, H16, 16), dim_div_exact(dims, H16, dim_const(dims, 16)));
    CU_ASSERT_PTR_EQUAL(dim_floor_div(dims, dim_offset(dims, half, 1), 2),
                        dim_floor_div(dims, dim_offset(dims, H, 2), 4));
}

TEST(exact_division) {
    Dim sum = dim_offset(dims, H, 3);
    CU_ASSERT_PTR_EQUAL(dim_div_exact(dims, dim_mul(dims, dim_mul(dims, H, sum), W), dim_mul(dims, W, sum)),
                        H);
    CU_ASSERT_PTR_NULL(dim_div_exact(dims, H, dim_const(dims, 2)));
    CU_ASSERT_PTR_NULL(dim_div_exact(dims, sum, H));
    CU_ASSERT_PTR_NULL(dim_div_exact(dims, H, dim_const(dims, 0)));
    CU_ASSERT_PTR_EQUAL(dim_div_exact(dims, dim_const(dims, 0), H), dim_const(dims, 0));
}

static void bounded(Dim a, int64_t low, int64_t high) {
    int64_t least, most;
    dim_bounds(a, &least, &most);
    CU_ASSERT_EQUAL(least, low);
    CU_ASSERT_EQUAL(most, high);
}

TEST(bounds) {
    bounded(dim_const(dims, 5), 5, 5);
    bounded(dim_offset(dims, H, 2), 3, INT64_MAX);
    bounded(dim_sub(dims, dim_const(dims, 4), H), INT64_MIN, 3);
    bounded(dim_sub(dims, dim_mul(dims, H, W), H), 0, INT64_MAX);
    bounded(dim_sub(dims, H, dim_floor_div(dims, H, 2)), 1, INT64_MAX);
    bounded(dim_sub(dims, H, W), INT64_MIN, INT64_MAX);
    bounded(H16, 16, INT64_MAX);
}

TEST(printing) {
    prints(H16, "K");
    prints(dim_floor_div(dims, H16, 2), "K/2");
    prints(dim_offset(dims, H16, 1), "K+1");
    prints(dim_scale(dims, dim_floor_div(dims, H16, 2), 3), "3*K/2");
    prints(dim_floor_div(dims, dim_offset(dims, H, 1), 2), "(H+1)//2");
    prints(dim_floor_div(dims, H, 2), "H//2");
    prints(dim_mul(dims, W, dim_floor_div(dims, H, 2)), "W*(H//2)");
    prints(dim_sub(dims, W, H), "W-H");
    prints(dim_sub(dims, dim_const(dims, 0), H), "-H");
    prints(dim_const(dims, 0), "0");
    prints(dim_const(dims, -3), "-3");
    prints(dim_mul(dims, H16, W), "W*K");
}

static Dim random_dim(int depth) {
    if (depth == 0)
        return rand() % 3 == 0 ? dim_const(dims, rand() % 9 - 4) : rand() % 2 ? H : rand() % 2 ? W : H16;
    Dim a = random_dim(depth - 1), b = random_dim(depth - 1);
    switch (rand() % 5) {
    case 0: return dim_add(dims, a, b);
    case 1: return dim_sub(dims, a, b);
    case 2: return dim_mul(dims, a, b);
    case 3: return dim_floor_div(dims, a, 1 + rand() % 7);
    default: return dim_ceil_div(dims, a, 1 + rand() % 7);
    }
}

static int64_t value(Dim a, const int64_t *symbols) {
    int64_t result = 0;
    CU_ASSERT(dim_evaluate(a, symbols, &result));
    return result;
}

static int64_t quotient(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* Values of what the constructors give, against arithmetic on values, and against the
 * bounds. */
TEST(random_polynomials_against_their_values) {
    srand(7);
    for (int round = 0; round < 3000; round++) {
        Dim a = random_dim(2), b = random_dim(2);
        int64_t symbols[3] = {1 + rand() % 50, 1 + rand() % 50, 1 + rand() % 5}, divisor = 1 + rand() % 9,
                low, high;
        int64_t x = value(a, symbols), y = value(b, symbols);
        CU_ASSERT_EQUAL(value(dim_add(dims, a, b), symbols), x + y);
        CU_ASSERT_EQUAL(value(dim_mul(dims, a, b), symbols), x * y);
        CU_ASSERT_EQUAL(value(dim_floor_div(dims, a, divisor), symbols), quotient(x, divisor));
        CU_ASSERT_EQUAL(value(dim_ceil_div(dims, a, divisor), symbols), -quotient(-x, divisor));
        CU_ASSERT_PTR_EQUAL(dim_sub(dims, dim_add(dims, a, b), b), a);
        CU_ASSERT_EQUAL(value(dim_substitute(dims, a, 0, b), symbols),
                        value(a, (int64_t[]){y, symbols[1], symbols[2]}));
        dim_bounds(a, &low, &high);
        CU_ASSERT(low <= x && x <= high);
        if (b->term_count) CU_ASSERT_PTR_EQUAL(dim_div_exact(dims, dim_mul(dims, a, b), b), a);
    }
}

TEST(overflow) {
    Dim huge = dim_const(dims, INT64_MAX / 2);
    int64_t result, symbols[3] = {8, 8, 8};
    CU_ASSERT_EQUAL(dim_const_value(dim_mul(dims, huge, huge)), INT64_MAX);
    CU_ASSERT_FALSE(dim_evaluate(dim_mul(dims, huge, H), symbols, &result));
}
