/* --init SEED: random weights. Element i of a weight is a function of (seed, path, i) alone,
 * so that a few lines of any language give the same weights (docs/weights.md). All
 * arithmetic is exact in f32 or rounds to f32 once.
 *
 *   u in [0, 1)                        element i of the stream named by the weight's path
 *                                      (base/random.c)
 *   declared 1 (scales, variances)     0.5 + u
 *   declared 0, or nothing: a parameter of two or more axes
 *                                      (2 u - 1) * sqrt(5 / fan_in), fan_in being the product
 *                                      of the axes after the first
 *                           else (biases, means)
 *                                      (2 u - 1) * 0.1
 *   declared "normal"                  (2 u - 1) * sqrt(3), of variance 1
 *   declared anything else             what was declared
 *
 * sqrt(5 / fan_in) is a little less than what keeps the variance through ReLU (6), since
 * batch norm with these scales and variances raises it by a factor of 1.19 a layer. */
#include "weights/weights.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>

float init_bound(int64_t fan_in) { return (float)sqrt(5.0 / (double)fan_in); }

static int64_t fan_in_of(const RefShape *shape) {
    int64_t product = 1;
    for (int i = 1; i < shape->rank; i++) product *= shape->dims[i];
    return max_i64(product, 1);
}

enum { PART = 512 /* numbers, which stay in the nearest cache */ };

typedef struct Line { /* (times u + plus) over */
    float times, plus, over;
} Line;

FOR_EACH_PROCESSOR static void along_line(Line line, int64_t count, double *u) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) u[i] = (double)((line.times * (float)u[i] + line.plus) * line.over);
}

typedef struct WeightDraw {
    uint64_t stream;
    Line line;
    DType type;
    Number *values;
} WeightDraw;

static void draw_elements(void *context, int64_t begin, int64_t end) {
    const WeightDraw *d = context;
    for (int64_t first = begin; first < end; first += PART) {
        const int64_t count = min_i64(PART, end - first);
        Number *values = d->values + first;
        random_units(d->stream + (uint64_t)first, count, &values->real);
        along_line(d->line, count, &values->real);
        for (int64_t i = 0; i < count && d->type != DTYPE_F32; i++)
            values[i] = number_cast(values[i], DTYPE_F32, d->type);
    }
}

void init_fill(uint64_t seed, const char *path, const RefShape *shape, double init, bool state,
               Number *values) {
    const bool centered = init == 0 || isnan(init) || init == INIT_NORMAL, scale = init == 1;
    const float bound = init == INIT_NORMAL          ? sqrtf(3)
                        : shape->rank >= 2 && !state ? init_bound(fan_in_of(shape))
                                                     : 0.1f;
    if (centered || scale) {
        WeightDraw d = {.stream = random_stream(seed, path), .type = shape->type, .values = values};
        d.line = centered ? (Line){2, -1, bound} : (Line){1, 0.5f, 1};
        parallel_for(shape->count, 3, draw_elements, &d);
        return;
    }
    Number declared = {.real = dtype_is_float(shape->type) ? (float)init : init};
    if (shape->type != DTYPE_F32) declared = number_cast(declared, DTYPE_F32, shape->type);
    for (int64_t i = 0; i < shape->count; i++) values[i] = declared;
}

bool init_seed(const char *text, uint64_t *seed) {
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0;
}
