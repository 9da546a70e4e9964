/* Counter-based random numbers: element i of a stream is a function of the seed, the
 * stream's name and i alone, so that results depend on neither order nor threads, and a
 * few lines of any language compute the same numbers (docs/weights.md).
 *
 *     z = splitmix64(splitmix64(seed ^ fnv1a64(name)) + i),  u = (z >> 40) * 2^-24   in [0, 1), exact in f32
 *
 * splitmix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
 * generators". */
#include "base/base.h"

uint64_t fnv1a64(const char *text) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    return hash;
}

static uint64_t splitmix64(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

uint64_t random_stream(uint64_t seed, const char *name) { return splitmix64(seed ^ fnv1a64(name)); }

float random_unit(uint64_t stream, int64_t i) {
    return (float)(splitmix64(stream + (uint64_t)i) >> 40) * 0x1p-24f;
}

FOR_EACH_PROCESSOR void random_units(uint64_t stream, int64_t count, double *out) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) out[i] = (double)random_unit(stream, i);
}
