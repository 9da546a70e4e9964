/* The order of samples: permutations, groups of a class, the split by names. The fixed
 * values are what any platform must give. */
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
        for (int64_t i = 0; i < n; i++) /* five deviations */
            for (int64_t k = 0; k < n; k++) CU_ASSERT(abs(times[i][k] - (int)(KEYS / n)) < 5 * 100);
    }
}

TEST(a_sample_twice_apart) {
    /* Neighbours of one epoch are no neighbours in the next. */
    int together = 0;
    for (int64_t i = 0; i + 1 < 1000; i++)
        together += llabs(cai_permuted(9, 1000, i) - cai_permuted(9, 1000, i + 1)) == 1;
    CU_ASSERT(together < 15);
}

/* Written down from forty lines of Python after the text of order.c. */
TEST(fixed_values) {
    cai_order order = {.key = cai_data_mix(7, 2), .count = 60000, .together = 1};
    const int64_t positions[] = {0, 1, 2, 59999, 60000, 123456789},
                  samples[] = {38338, 13939, 52916, 57837, 2130, 56065};
    for (int i = 0; i < 6; i++) CU_ASSERT_EQUAL(cai_order_at(&order, positions[i]), samples[i]);
    const int ten[] = {9, 6, 4, 2, 8, 5, 0, 7, 3, 1, 8, 4, 3, 5, 6, 9, 2, 1, 0, 7};
    order.count = 10;
    for (int i = 0; i < 20; i++) CU_ASSERT_EQUAL(cai_order_at(&order, i), ten[i]);
    CU_ASSERT_EQUAL(cai_data_draw(cai_data_mix(order.key, 123), 5), 0.8756110158598263);
}

TEST(names_that_are_held_out) {
    const int held_out[] = {4, 10, 19, 20, 21, 52, 63, 68};
    int found = 0;
    for (int i = 0; i < 100; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        if (!cai_name_within(name, 0, 0.1)) continue;
        CU_ASSERT_FATAL(found < 8 && held_out[found] == i);
        found++;
    }
    CU_ASSERT_EQUAL(found, 8);
    int folds[5] = {0};
    for (int i = 0; i < 10000; i++) {
        char name[24];
        snprintf(name, sizeof name, "folder/picture %d", i);
        for (int k = 0; k < 5; k++) folds[k] += cai_name_within(name, k / 5.0, (k + 1) / 5.0);
    }
    for (int k = 0; k < 5; k++) CU_ASSERT(abs(folds[k] - 2000) < 200);
    CU_ASSERT_EQUAL(folds[0] + folds[1] + folds[2] + folds[3] + folds[4], 10000);
}

/* ---- by classes: 5 of class 0, 2 of class 1, 9 of class 2 ---- */

static int64_t members[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, first[] = {0, 5, 7, 16};
static int class_of_three(int64_t sample) { return sample < 5 ? 0 : sample < 7 ? 1 : 2; }

TEST(balanced_classes_are_drawn_equally_often) {
    cai_order order = {.key = 3,
                       .count = 16,
                       .together = 1,
                       .balanced = true,
                       .classes = 3,
                       .first = first,
                       .group = first,
                       .members = members};
    int classes[3] = {0}, samples[16] = {0};
    for (int64_t p = 0; p < 270; p++) {
        int64_t at = cai_order_at(&order, p);
        classes[class_of_three(at)]++;
        samples[at]++;
        if (p % 3 == 2) CU_ASSERT(classes[0] == classes[1] && classes[1] == classes[2]);
    }
    for (int i = 0; i < 5; i++) CU_ASSERT_EQUAL(samples[i], 18);
    for (int i = 5; i < 7; i++) CU_ASSERT_EQUAL(samples[i], 45);
    for (int i = 7; i < 16; i++) CU_ASSERT_EQUAL(samples[i], 10);
}

TEST(together_are_so_many_of_a_class) {
    int64_t group[] = {0, 2, 3, 7};
    cai_order order = {.key = 4,
                       .count = 16,
                       .together = 2,
                       .classes = 3,
                       .first = first,
                       .group = group,
                       .members = members};
    int classes[3] = {0}, samples[16] = {0};
    for (int64_t p = 0; p < 14 * 45; p += 2) { /* an epoch has seven groups */
        int64_t a = cai_order_at(&order, p), b = cai_order_at(&order, p + 1);
        CU_ASSERT(class_of_three(a) == class_of_three(b) && a != b);
        classes[class_of_three(a)]++;
        samples[a]++, samples[b]++;
    }
    CU_ASSERT(classes[0] == 2 * 45 && classes[1] == 45 && classes[2] == 4 * 45);
    /* one of five stays out, each epoch another */
    for (int i = 0; i < 5; i++) CU_ASSERT(abs(samples[i] - 36) < 12);
    for (int i = 5; i < 7; i++) CU_ASSERT_EQUAL(samples[i], 45);
    for (int i = 7; i < 16; i++) CU_ASSERT(abs(samples[i] - 40) < 12);
}
