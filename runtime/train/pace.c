/* How many steps a phase takes, in which steps an interval holds, and the seed of a step.
 * Step s, counted from 0, takes samples s * b .. (s + 1) * b of the set that counts the
 * phase's epochs: batches continue across the ends of epochs. */
#include "train/train.h"
#include <math.h>

/* The samples in one unit of an interval. */
static double samples_of_unit(cai_pace pace, int unit) {
    switch (unit) {
    case CAI_UNIT_STEPS: return (double)pace.samples;
    case CAI_UNIT_EPOCHS: return (double)pace.count;
    default: return 1;
    }
}

int64_t cai_pace_steps(cai_pace pace, cai_interval length) {
    if (length.unit == CAI_UNIT_MINUTES) return -1;
    return (int64_t)ceil(length.count * samples_of_unit(pace, length.unit) / (double)pace.samples);
}

/* Whether there is a multiple of `each` in (before, after]. */
static bool passes_multiple(double before, double after, double each) {
    return floor(after / each) > floor(before / each);
}

bool cai_pace_holds(cai_pace pace, cai_interval interval, int64_t step, int64_t steps) {
    if (interval.last && step == steps - 1) return true;
    if (interval.count <= 0) return false;
    if (interval.unit == CAI_UNIT_MINUTES)
        return passes_multiple(pace.minutes[1], pace.minutes[0], interval.count);
    double each = interval.count * samples_of_unit(pace, interval.unit),
           before = (double)step * (double)pace.samples;
    return passes_multiple(before, before + (double)pace.samples, each);
}

int64_t cai_pace_epoch(cai_pace pace, int64_t step) { return step * pace.samples / pace.count; }

int64_t cai_step_seed(uint64_t seed, int32_t phase, int64_t step) {
    return (int64_t)cai_mix(cai_mix(cai_mix(seed) + (uint64_t)phase) + (uint64_t)step);
}
