/* Which sample of a set is at a position, and its random numbers: pure functions, which
 * need no record of what was read before.
 *
 *     mix(key, i)  = splitmix64(splitmix64(key) + i)      (core/random.c)
 *     key of a set = mix(seed, set)
 *     key of p     = mix(key, p)
 *     draw k at p  = (mix(key of p, k) >> 11) * 2^-53
 *
 * Each epoch e = p / count is a permutation of its own, with the key mix(mix(key, ORDER),
 * e): a Feistel network of eight rounds over as many bits as the largest index has,
 * applied again until the result is an index (Black and Rogaway 2002, "Ciphers with
 * arbitrary finite domains"). An odd number of bits is split unevenly; the halves swap
 * places in each round. */
#include "data/sources.h"

uint64_t cai_data_mix(uint64_t key, uint64_t i) { return cai_mix(cai_mix(key) + i); }

static double unit_of_bits(uint64_t bits) { return (double)(bits >> 11) * 0x1p-53; }

double cai_data_draw(uint64_t key, int which) { return unit_of_bits(cai_data_mix(key, (uint64_t)which)); }

/* ---- permutations ---- */

#define ROUNDS 8 /* an even number, so that the halves end in their places */

static uint64_t low_bits(uint64_t x, int count) { return x & ((UINT64_C(1) << count) - 1); }

/* A permutation of all numbers of left + right bits. */
static uint64_t feistel_network(uint64_t key, int left, int right, uint64_t x) {
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t kept = low_bits(x, right),
                 changed = x >> right ^ low_bits(cai_data_mix(key + (uint64_t)round, kept), left);
        x = kept << left | changed;
        int width = left;
        left = right;
        right = width;
    }
    return x;
}

int64_t cai_permuted(uint64_t key, int64_t count, int64_t i) {
    if (count < 2) return 0;
    int bits = 64 - __builtin_clzll((uint64_t)count - 1);
    uint64_t x = (uint64_t)i;
    do x = feistel_network(key, bits - bits / 2, bits / 2, x);
    while (x >= (uint64_t)count);
    return (int64_t)x;
}

/* ---- orders ---- */

enum { ORDER = 1 << 20, CLASSES, MEMBERS }; /* purposes of keys; random numbers of samples use 0, 1, .. */

static uint64_t key_of(const cai_order *order, uint64_t purpose, int64_t round) {
    return cai_data_mix(cai_data_mix(order->key, purpose), (uint64_t)round);
}

static int64_t groups_of_class(const cai_order *order, int64_t class) {
    return order->group[class + 1] - order->group[class];
}

/* Sample j of a group of a class; `group` counts through all rounds of the class. Each
 * round is a permutation of its own. Samples that fill no group are left out of the
 * round; in a class that is smaller than a group some samples occur twice. */
static int64_t member_of_class(const cai_order *order, int64_t class, int64_t group, int64_t j) {
    int64_t first = order->first[class], count = order->first[class + 1] - first,
            groups = groups_of_class(order, class);
    uint64_t key = cai_data_mix(key_of(order, MEMBERS, group / groups), (uint64_t) class);
    int64_t at = group % groups * order->together + j;
    return order->members[first + cai_permuted(key, count, at % count)];
}

static int64_t class_of_group(const cai_order *order, int64_t group) {
    int64_t low = 0, high = order->classes - 1;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (order->group[middle] <= group) low = middle;
        else high = middle - 1;
    }
    return low;
}

/* Position j of group g in a balanced order: each class occurs once a round, and each
 * round has its own order of classes. */
static int64_t balanced_at(const cai_order *order, int64_t g, int64_t j) {
    int64_t round = g / order->classes;
    int64_t class = cai_permuted(key_of(order, CLASSES, round), order->classes, g % order->classes);
    return member_of_class(order, class, round, j);
}

/* Position j of group g in other orders: each group of each class occurs once an
 * epoch. */
static int64_t grouped_at(const cai_order *order, int64_t g, int64_t j) {
    int64_t groups = order->group[order->classes], epoch = g / groups;
    int64_t group = cai_permuted(key_of(order, ORDER, epoch), groups, g % groups);
    int64_t class = class_of_group(order, group);
    return member_of_class(order, class, epoch * groups_of_class(order, class) + group - order->group[class],
                           j);
}

int64_t cai_order_at(const cai_order *order, int64_t position) {
    int64_t g = position / order->together, j = position % order->together;
    if (order->balanced) return balanced_at(order, g, j);
    if (order->classes) return grouped_at(order, g, j);
    return cai_permuted(key_of(order, ORDER, position / order->count), order->count, position % order->count);
}

/* ---- the split by names ---- */

/* FNV-1a alone mixes only its low bits well. */
static uint64_t hash_of_name(const char *name) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001B3u;
    return cai_mix(hash);
}

bool cai_name_within(const char *name, double from, double to) {
    double u = unit_of_bits(hash_of_name(name));
    return u >= from && u < to;
}
