/* The order of samples: permutations, groups of a class, the split by names. The fixed values are
 * what any platform must give. */
#include "data/sources.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

static bool is_permutation(uint64_t key, int64_t count) {
    unsigned char *seen = calloc((size_t)count, 1);
    bool good = true;
    for (int64_t i = 0; good && i < count; i++) {
        int64_t at = cai_permuted(key, count, i);
        good = at >= 0 && at < count && !seen[at];
        if (good) seen[at] = 1;
    }
    free(seen);
    return good;
}

TEST(permutations_of_every_size) {
    for (int64_t count = 1; count < 700; count++) CU_ASSERT(is_permutation((uint64_t)count * 77, count));
    const int64_t sizes[] = {1023, 1024, 1025, 4095, 4096, 4097, 60000, 65535, 65536, 65537, 999983};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint64_t key = 0; key < 3; key++) CU_ASSERT(is_permutation(key, sizes[i]));
}

/* Each sample stands at each place about equally often. */
TEST(permutations_are_even) {
    const int64_t sizes[] = {2, 3, 5, 8, 13};
    enum { KEYS = 20000 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = sizes[s];
        int times[13][13] = {0};
        for (uint64_t key = 0; key < KEYS; key++)
            for (int64_t i = 0; i < n; i++) times[i][cai_permuted(cai_data_mix(5, key), n, i)]++;
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < n; k++) CU_ASSERT(abs(times[i][k] - (int)(KEYS / n)) < 5 * 100); /* five deviations */
    }
}

TEST(a_sample_twice_apart) {
    /* Neighbours of one epoch are no neighbours in the next. */
    int together = 0;
    for (int64_t i = 0; i + 1 < 1000; i++) together += llabs(cai_permuted(9, 1000, i) - cai_permuted(9, 1000, i + 1)) == 1;
    CU_ASSERT(together < 15);
}
