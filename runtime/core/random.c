/* Counter-based random numbers, as docs/weights.md defines them: element i of a stream is
 * a function of the stream and i alone.
 *
 *     u = (mix(stream + i) >> 40) * 2^-24   in [0, 1), exact in f32
 *
 * mix is splitmix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
 * generators". */
#include "core/core.h"

uint64_t cai_mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

float cai_unit(uint64_t stream, int64_t i) { return (float)(cai_mix(stream + (uint64_t)i) >> 40) * 0x1p-24f; }
