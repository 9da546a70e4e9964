/* --init SEED: random weights. Element i of a weight is a function of (seed, path, i) alone, so that a few lines of any language give
 * the same ones (docs/weights.md). All arithmetic is exact in f32 or rounds to f32 once.
 *
 *   z = splitmix64(splitmix64(seed ^ fnv1a64(path)) + i)        u = (z >> 40) / 2^24, in [0, 1)
 *   declared 1 (scales, variances)          0.5 + u
 *   declared 0, or nothing: a parameter of two and more axes
 *                                           (2 u - 1) * sqrt(5 / fan_in), fan_in the product of the axes after the first
 *                           else (biases, means)
 *                                           (2 u - 1) * 0.1
 *   declared anything else                  what was declared
 *
 * sqrt(5 / fan_in) is a little less than what keeps the variance through ReLU (6), for batch norm with these scales and variances brings it
 * up by 1.19 a layer. */
#include "weights/weights.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>

static uint64_t splitmix64(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static uint64_t fnv1a64(const char *text) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    return hash;
}

float init_bound(int64_t fan_in) { return (float)sqrt(5.0 / (double)fan_in); }

static int64_t fan_in_of(const RefShape *shape) {
    int64_t product = 1;
    for (int i = 1; i < shape->rank; i++) product *= shape->dims[i];
    return max_i64(product, 1);
}

void init_fill(uint64_t seed, const char *path, const RefShape *shape, double init, bool state, double *values) {
    uint64_t stream = splitmix64(seed ^ fnv1a64(path));
    float bound = shape->rank >= 2 && !state ? init_bound(fan_in_of(shape)) : 0.1f;
    for (int64_t i = 0; i < shape->count; i++) {
        float u = (float)(splitmix64(stream + (uint64_t)i) >> 40) * 0x1p-24f;
        float centered = (2 * u - 1) * bound, scale = 0.5f + u;
        values[i] = init == 1 ? scale : init == 0 || isnan(init) ? centered : (float)init;
    }
}

bool init_seed(const char *text, uint64_t *seed) {
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0;
}
