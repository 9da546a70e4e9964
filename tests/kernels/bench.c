/* How near each kernel comes to the machine's peak: `build/kernel_bench [TARGET] [WORD]`, WORD selects timed lines of shapes.txt.
 *
 * Times are of the launch that computes the operator (not of copies between layouts), the median over many runs, in this
 * thread's own processor time. Peak is measured in the same process just before each shape, as the clock changes. `cold` is
 * with the weights flushed from all caches before each run, as they are within a network. Pools and resampling tell the
 * bytes they read and write. */
#include "backend_support.h"
#include "shape.h"
#include <immintrin.h>
#include <time.h>

enum { RUNS = 21 };

static const char *target_name = "native", *wanted_word = "";

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *times, int count) {
    qsort(times, (size_t)count, sizeof *times, compare_doubles);
    return times[count / 2];
}

/* ---- peak ---- */

#define CHAINS 24
#define PEAK_LOOP(target_features, Vector, set1, fmadd)                                \
    __attribute__((target(target_features), optimize("O3"))) static double run_chains(long rounds) { \
        Vector a[CHAINS], b = set1(1.0000001f), c = set1(1e-9f);                          \
        for (int i = 0; i < CHAINS; i++) a[i] = set1(1e-3f * (float)i);                   \
        double begin = seconds();                                                         \
        for (long k = 0; k < rounds; k++) {                                               \
            _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; i++) a[i] = fmadd(a[i], b, c); \
        }                                                                                 \
        double end = seconds();                                                           \
        volatile float sink = 0;                                                          \
        for (int i = 0; i < CHAINS; i++) sink += ((float *)&a[i])[0];                     \
        return end - begin;                                                               \
    }
PEAK_LOOP("avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps)

static double peak_flops(int lanes) {
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        double t = run_chains(100000);
        if (t < best) best = t;
    }
    return 100000.0 * CHAINS * 2 * lanes / best;
}

/* ---- one shape ---- */

typedef struct Run {
    const cai_program *program;
    const cai_launch *launch;
    void *arguments[16];
    int64_t symbols[4], *sizes;
    unsigned char *arena, *scratch, *ports[16];
} Run;

static void *locate(Run *run, const cai_argument *argument) {
    switch (argument->space) {
    case CAI_ARG_SLOT: return run->arena + run->sizes[argument->index];
    case CAI_ARG_WEIGHTS: return (void *)(run->program->weights + argument->index);
    default: break;
    }
    unsigned char *port = run->ports[(argument->space == CAI_ARG_OUTPUT ? 8 : 0) + argument->index];
    return argument->offset >= 0 ? port + run->sizes[argument->offset] : port;
}

static void call(Run *run, const cai_launch *launch) {
    int64_t rounds = launch->rounds < 0 ? 1 : run->sizes[launch->rounds];
    for (int64_t round = 0; round < rounds; round++) {
        for (const cai_launch *part = launch; part <= launch + launch->more; part++) {
            int64_t tasks = run->sizes[part->tasks];
            for (int i = 0; i < part->argument_count; i++) run->arguments[i] = locate(run, &part->arguments[i]);
            part->kernel(run->arguments, run->symbols, round * tasks, (round + 1) * tasks, run->scratch);
        }
    }
}

static double time_launch(Run *run, bool cold) {
    double times[RUNS];
    for (int i = 0; i < RUNS; i++) {
        if (cold)
            for (uint64_t at = 0; at < run->program->weights_bytes; at += 64) _mm_clflush(run->program->weights + at);
        _mm_mfence();
        double begin = seconds();
        call(run, run->launch);
        times[i] = seconds() - begin;
    }
    return median(times, RUNS);
}

static bool is_operator(const char *name) {
    static const char *const parts[] = {"conv_", "mat", "pool", "resample"};
    for (int i = 0; i < COUNT_OF(parts); i++)
        if (strncmp(name, "map_", 4) != 0 && strstr(name, parts[i])) return true;
    return false;
}

static void print_line(const Run *run, double flops, double peak, double warm, double cold) {
    printf("%-62.62s %9.1f us ", run->launch->name, warm * 1e6);
    if (flops == 0) printf("%6.1f GB/s\n", (double)run->sizes[run->launch->bytes] / warm / 1e9);
    else printf("%6.1f GFLOP/s %5.1f %%   cold %9.1f us %5.1f %%\n", flops / warm / 1e9, 100 * flops / warm / peak, cold * 1e6,
                100 * flops / cold / peak);
}

static void bench_compiled(Compiled *compiled, double flops) {
    TestGraph *t = compiled->test;
    Run run = {.program = compiled->program, .symbols = {t->symbols[0], t->symbols[1], 42}};
    run.sizes = NEW_ARRAY(t->arena, int64_t, run.program->size_count + 1);
    CU_ASSERT_FATAL(run.program->prepare(run.symbols, run.sizes) == CAI_PREPARED);
    run.arena = aligned_alloc(4096, (size_t)round_up(run.sizes[run.program->arena] + CAI_READ_SLACK, 4096));
    memset(run.arena, 0, (size_t)run.sizes[run.program->arena]);
    run.scratch = aligned_alloc(4096, (size_t)round_up(run.sizes[run.program->scratch] + CAI_READ_SLACK, 4096));
    for (int i = 0; i < 16; i++) run.ports[i] = calloc(1, 64 << 20);
    for (int i = 0; i < run.program->launch_count; i += 1 + run.program->launches[i].more) {
        const cai_launch *launch = &run.program->launches[i];
        call(&run, launch);
        if (!run.launch || is_operator(launch->name)) run.launch = launch;
    }
    double peak = peak_flops(target_find(target_name)->lanes), warm = time_launch(&run, false), cold = time_launch(&run, true);
    print_line(&run, flops, peak, warm, cold);
    for (int i = 0; i < 16; i++) free(run.ports[i]);
    free(run.arena);
    free(run.scratch);
}

static void bench_shape(const ShapeLine *shape, const char *text, void *context) {
    (void)context;
    if (!shape->timed || !strstr(text, wanted_word)) return;
    TestGraph t = shape_graph(shape, 1);
    LowerOptions options = {.target = target_find(target_name), .force = *shape->by ? shape->by : NULL, .own_slots = true};
    Compiled compiled;
    if (compile_and_load(&t, &options, &compiled)) bench_compiled(&compiled, shape_flops(shape));
    unload(&compiled);
    arena_free(t.arena);
}

static void bench_line(const char *line, void *context) { each_shape(line, bench_shape, context); }
static void bench(void) { each_line("tests/kernels/shapes.txt", bench_line, NULL); }

/* As a CUnit test, since the helpers assert. */
int main(int argc, char **argv) {
    if (argc > 1) target_name = argv[1];
    if (argc > 2) wanted_word = argv[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (CU_initialize_registry() != CUE_SUCCESS) return 70;
    CU_add_test(CU_add_suite("bench", NULL, NULL), "bench", bench);
    CU_basic_set_mode(CU_BRM_SILENT);
    CU_basic_run_tests();
    return CU_get_number_of_tests_failed() != 0;
}
