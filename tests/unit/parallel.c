/* Loops by all cores: every round once, whatever the numbers of rounds and threads,
 * within another loop too. */
#include "base/base.h"
#include "test.h"
#include <stdatomic.h>

enum { MAX_ROUNDS = 1000 };

typedef struct Count {
    unsigned char ran[MAX_ROUNDS]; /* each by one thread: the thread sanitizer would find others */
    atomic_int parts;
} Count;

static void count_rounds(void *context, int64_t begin, int64_t end) {
    Count *count = context;
    for (int64_t i = begin; i < end; i++) count->ran[i]++;
    atomic_fetch_add(&count->parts, 1);
}

static bool all_ran_once(const Count *count, int64_t rounds) {
    for (int64_t i = 0; i < MAX_ROUNDS; i++)
        if (count->ran[i] != (i < rounds)) return false;
    return true;
}

TEST(every_round_runs_once) {
    const int threads[] = {0, 1, 2, 3, 16, 1000};
    const int64_t rounds[] = {0, 1, 2, 3, 7, 16, 17, 1000};
    for (int i = 0; i < COUNT_OF(threads); i++)
        for (int k = 0; k < COUNT_OF(rounds); k++) {
            Count count = {0};
            parallel_limits(threads[i], 7);
            parallel_for(rounds[k], 2, count_rounds, &count);
            CU_ASSERT(all_ran_once(&count, rounds[k]));
            CU_ASSERT_EQUAL(count.parts, (rounds[k] + 2) / 3); /* of three rounds, 2 of work each */
        }
}

/* What is worth no other thread is one part. */
TEST(little_work) {
    Count count = {0};
    parallel_for(MAX_ROUNDS, 1, count_rounds, &count);
    CU_ASSERT(all_ran_once(&count, MAX_ROUNDS));
    CU_ASSERT_EQUAL(count.parts, 1);
}

enum { OUTER = 20, INNER = 50 };

static void count_within(void *context, int64_t begin, int64_t end) {
    Count *counts = context;
    for (int64_t i = begin; i < end; i++) parallel_for(INNER, 1, count_rounds, &counts[i]);
}

/* A loop within a part is done by the part's own thread, as one part; the next loop
 * outside is done by all again. */
TEST(loops_within_loops) {
    static Count counts[OUTER];
    parallel_limits(4, 1);
    parallel_for(OUTER, 1, count_within, counts);
    for (int i = 0; i < OUTER; i++) {
        CU_ASSERT(all_ran_once(&counts[i], INNER));
        CU_ASSERT_EQUAL(counts[i].parts, 1);
    }
    Count after = {0};
    parallel_for(INNER, 1, count_rounds, &after);
    CU_ASSERT_EQUAL(after.parts, INNER);
}
