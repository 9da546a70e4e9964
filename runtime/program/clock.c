/* --time: the time of a run, and of what precedes it. */
#include "program/main.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define SECONDS 2.0

double cai_used_milliseconds(void) { return (double)clock() * 1e3 / CLOCKS_PER_SEC; }

/* Between exec and main only this process works, so that time is the CPU time used so
 * far. */
void cai_clock_start(cai_clock *clock) {
    *clock = (cai_clock){.before_main = cai_used_milliseconds(), .main = cai_milliseconds()};
}
void cai_clock_begin(cai_clock *clock) { clock->begun = cai_milliseconds(); }
void cai_clock_loaded(cai_clock *clock) { clock->loaded = cai_milliseconds(); }
void cai_clock_ran(cai_clock *clock) { clock->ran = cai_milliseconds(); }

void cai_clock_started(void *data, int launch) {
    (void)launch;
    cai_clock *clock = data;
    if (clock->first_kernel == 0) clock->first_kernel = cai_milliseconds();
}

/* getrusage, the fallback, includes the memory of the shell before exec. */
double cai_peak_memory(void) {
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    double peak = (double)usage.ru_maxrss;
    FILE *file = fopen("/proc/self/status", "re");
    char line[200];
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "VmHWM:", 6) == 0) peak = strtod(line + 6, NULL);
    }
    if (file) fclose(file);
    return peak * 1024 / 1e6;
}

static int compare_times(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(const cai_clock *clock, const cai_rerun *rerun, const double *runs, int count) {
    int threads = cai_pool_threads(rerun->pool);
    fprintf(stderr, "run           %10.3f ms, median of %d (least %.3f, most %.3f) on %d thread%s\n",
            runs[count / 2], count, runs[0], runs[count - 1], threads, threads == 1 ? "" : "s");
    fprintf(stderr, "first run     %10.3f ms\n", clock->ran - clock->loaded);
    double load = clock->loaded - clock->begun,
           start = clock->before_main + clock->first_kernel - clock->main;
    fprintf(stderr, "load          %10.3f ms to read the input and prepare for its size\n", load);
    fprintf(stderr, "start         %10.3f ms from exec to the first kernel: %.3f without loading\n", start,
            start - load);
    cai_memory memory = cai_context_memory(rerun->context);
    fprintf(
        stderr,
        "memory        %10.1f MB at most; planned %.1f: %.1f weights, %.1f intermediate results, %.1f inputs and outputs\n",
        cai_peak_memory(), (double)(memory.weights + memory.intermediate + memory.ports) / 1e6,
        (double)memory.weights / 1e6, (double)memory.intermediate / 1e6, (double)memory.ports / 1e6);
}

static bool enough_runs(int count, int wanted, double end) {
    return count == CAI_MAX_RUNS ||
           (wanted ? count == wanted : count >= CAI_LEAST_RUNS && cai_milliseconds() >= end);
}

bool cai_clock_repeat(cai_clock *clock, const cai_rerun *rerun, cai_error *error) {
    double runs[CAI_MAX_RUNS], end = cai_milliseconds() + SECONDS * 1e3;
    int count = 0;
    while (!enough_runs(count, rerun->count, end)) {
        double begin = cai_milliseconds();
        if (!cai_context_run(rerun->context, rerun->inputs, rerun->outputs, rerun->seed, error)) return false;
        runs[count++] = cai_milliseconds() - begin;
    }
    qsort(runs, (size_t)count, sizeof *runs, compare_times);
    print_times(clock, rerun, runs, count);
    return true;
}
