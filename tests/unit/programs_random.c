/* Whole programs of random graphs, every kind of kernel among them, against the reference. CAI_SEEDS=from,to in the environment
 * chooses the graphs. */
#include "backend_support.h"
#include "random_graph_support.h"

/* Errors grow along a chain of random operators, and what is wrong is wrong by more than this. */
#define TOLERANCE 1e-2

static void seeds(int64_t *from, int64_t *to) {
    const char *wanted = getenv("CAI_SEEDS");
    if (wanted) sscanf(wanted, "%ld,%ld", from, to);
}

static const char *const targets[] = {"x86-64-v3", "x86-64-v4"};

static void compare(int64_t from, int64_t to, int gradients) {
    seeds(&from, &to);
    for (int64_t seed = from; seed < to; seed++) {
        TestGraph t = test_graph((uint64_t)seed);
        t.symbols[1] = 4 + seed % 15;
        random_graph(&t, gradients, true);
        LowerOptions options = WITH_TABLE(.target = target_find(targets[seed % 2]), .own_slots = seed % 3 == 0);
        if (can_run(targets[seed % 2])) compare_with_options(&t, &options, TOLERANCE,
                                                             arena_printf(t.arena, "seed %ld", (long)seed));
        arena_free(t.arena);
    }
}

static void test_forward(void) { compare(1, 60, 0); }
static void test_gradients(void) { compare(100, 130, 1); }

/* With comparisons and the like there is no tolerance that would mean anything; but everything compiles, runs, and gives the same
 * bits however many threads there are. */
static void test_every_operator(void) {
    int64_t from = 200, to = 230;
    seeds(&from, &to);
    for (int64_t seed = from; seed < to; seed++) {
        TestGraph t = test_graph((uint64_t)seed);
        random_graph(&t, (int)(seed % 3), false);
        LowerOptions options = WITH_TABLE(.target = target_find(targets[seed % 2]));
        if (can_run(targets[seed % 2])) compare_with_options(&t, &options, INFINITY,
                                                             arena_printf(t.arena, "seed %ld", (long)seed));
        arena_free(t.arena);
    }
}

void suite_programs_random(void) {
    CU_pSuite suite = CU_add_suite("random programs", NULL, NULL);
    CU_add_test(suite, "forward", test_forward);
    CU_add_test(suite, "gradients", test_gradients);
    CU_add_test(suite, "every operator", test_every_operator);
}
