/* Prints what this machine gives at best, by vectors and threads: the head of `make
 * bench`. */
#include "core/core.h"
#include <math.h>
#include <unistd.h>

enum { TIMES = 5 };

/* The best of several times, some way apart: somebody else may have been at work on one
 * of the cores. */
static bool measure(cai_pool *pool, uint32_t cpu, cai_peaks *best) {
    cai_error error;
    *best = (cai_peaks){0};
    for (int k = 0; k < TIMES; k++) {
        cai_peaks peaks;
        if (k > 0) usleep(50000);
        if (!cai_measure_peaks(pool, cpu, &peaks, &error)) return false;
        best->threads = peaks.threads;
        best->flops = fmax(best->flops, peaks.flops);
        for (int i = 0; i < CAI_LEVEL_COUNT; i++) best->read[i] = fmax(best->read[i], peaks.read[i]);
    }
    return true;
}

static void print(uint32_t cpu, const char *name, int threads) {
    cai_peaks peaks;
    cai_pool *pool = cai_pool_new(threads);
    if (pool && measure(pool, cpu, &peaks)) {
        printf("%-8s %7d %14.1f", name, peaks.threads, peaks.flops / 1e9);
        for (int i = 0; i < CAI_LEVEL_COUNT; i++) printf(" %9.1f", peaks.read[i] / 1e9);
        printf("\n");
    }
    cai_pool_free(pool);
}

int main(void) {
    printf("%-8s %7s %14s %9s %9s %9s %9s\n", "", "threads", "FMA, GFLOP/s", "L1, GB/s", "L2", "L3",
           "memory");
    for (int threads = 1; threads <= (cai_cores() > 1 ? 2 : 1); threads++) {
        if (cai_cpu_runs(CAI_CPU_X86_64_V3)) print(CAI_CPU_X86_64_V3, "AVX2", threads);
        if (cai_cpu_runs(CAI_CPU_X86_64_V4)) print(CAI_CPU_X86_64_V4, "AVX-512", threads);
    }
    return 0;
}
