/* Whole programs of random graphs, every kind of kernel among them, against the
 * reference. CAI_SEEDS=from,to in the environment chooses the graphs. */
#include "backend_support.h"
#include "random_graph_support.h"

/* Errors grow along a chain of random operators, and what is wrong is wrong by more than
 * this. */
#define TOLERANCE 1e-2

static void seeds(int64_t *from, int64_t *to) {
    const char *wanted = getenv("CAI_SEEDS");
    if (wanted) sscanf(wanted, "%ld,%ld", from, to);
}

static const Target *target_of(int64_t seed) { return target_at((int)(seed % target_count())); }

static void compare(int64_t from, int64_t to, int gradients) {
    seeds(&from, &to);
    for (int64_t seed = from; seed < to; seed++) {
        TestGraph t = test_graph((uint64_t)seed);
        t.symbols[1] = 4 + seed % 15;
        random_graph(&t, gradients, true);
        LowerOptions options = WITH_TABLE(.target = target_of(seed), .own_slots = seed % 3 == 0);
        const char *what = arena_printf(t.arena, "seed %ld", (long)seed);
        if (can_run(options.target->name)) compare_with_options(&t, &options, TOLERANCE, what);
        arena_free(t.arena);
    }
}

TEST(forward) { compare(1, 60, 0); }
TEST(gradients) { compare(100, 130, 1); }

/* With comparisons and the like there is no tolerance that would mean anything; but
 * everything compiles, runs, and gives the same bits however many threads there are. */
TEST(every_operator) {
    int64_t from = 200, to = 230;
    seeds(&from, &to);
    for (int64_t seed = from; seed < to; seed++) {
        TestGraph t = test_graph((uint64_t)seed);
        random_graph(&t, (int)(seed % 3), false);
        LowerOptions options = WITH_TABLE(.target = target_of(seed));
        const char *what = arena_printf(t.arena, "seed %ld", (long)seed);
        if (can_run(options.target->name)) compare_with_options(&t, &options, INFINITY, what);
        arena_free(t.arena);
    }
}
