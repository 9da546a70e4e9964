/* How near each kernel comes to the machine's peak, on one thread:
 *
 *   kernel_bench [TARGET [WORD]]                          the timed lines of shapes.txt (with WORD in
 *                                                         them); those with computed=1 beside the
 *                                                         same with constant weights
 *   kernel_bench TARGET FILE.cai [MODEL] [NAME=VALUE...]  every distinct kernel of a model at
 *                                                         these sizes
 *   kernel_bench TARGET turns LINE                        a shape's operator, in turn with another
 *                                                         program: for each line of standard input
 *                                                         with a number of seconds it runs for so
 *                                                         long, and answers with the least time and
 *                                                         the machine's peak, in s and FLOP/s
 *
 * A kernel is timed alone, many times over, and the median is printed. `warm`: as the run
 * before left the caches. `cold`: its weights are flushed from all caches before each
 * run, as they are within a network whose weights exceed the caches. Shares are of the
 * multiply-add peak, and of the bandwidth of the innermost cache that holds what the
 * kernel reads and writes; both peaks are measured in the same process just before each
 * kernel, since the clock changes. A kernel that is bound by neither shows neither near
 * 100. */
#include "backend_support.h"
#include "network_support.h"
#include "files/files.h"
#include "shape.h"
#include <immintrin.h>
#include <sys/mman.h>
#include <time.h>

enum { RUNS = 21, MAX_DEFINES = 16 };

static const char *target_name = "native", *wanted_word = "";
static cai_pool *pool;

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

/* ---- a program in this process ---- */

typedef struct Run {
    const cai_program *program;
    void *arguments[16];
    int64_t symbols[4], *sizes;
    unsigned char *arena, *scratch, *ports[16];
    int64_t packed_bytes; /* that packing a weight reads and writes */
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
            for (int i = 0; i < part->argument_count; i++)
                run->arguments[i] = locate(run, &part->arguments[i]);
            part->kernel(run->arguments, run->symbols, round * tasks, (round + 1) * tasks, run->scratch);
        }
    }
}

/* In large pages, as runtime/core/run.c has them: small ones fall on the sets of L2 by
 * chance. */
static unsigned char *allocate_pages(int64_t bytes) {
    const int64_t page = INT64_C(1) << 21;
    unsigned char *pages = aligned_alloc((size_t)page, (size_t)round_up(bytes, page));
    madvise(pages, (size_t)round_up(bytes, page), MADV_HUGEPAGE);
    return pages;
}

static Run open_run(Compiled *compiled) {
    TestGraph *t = compiled->test;
    Run run = {.program = compiled->program, .symbols = {t->symbols[0], t->symbols[1], 42}};
    run.sizes = NEW_ARRAY(t->arena, int64_t, run.program->size_count + 1);
    CU_ASSERT_FATAL(run.program->prepare(run.symbols, run.sizes) == CAI_PREPARED);
    run.arena = allocate_pages(run.sizes[run.program->arena] + CAI_READ_SLACK);
    memset(run.arena, 0, (size_t)run.sizes[run.program->arena]);
    run.scratch = allocate_pages(run.sizes[run.program->scratch] + CAI_READ_SLACK);
    for (int i = 0; i < 16; i++) run.ports[i] = allocate_pages(64 << 20);
    for (int i = 0; i < run.program->launch_count; i += 1 + run.program->launches[i].more)
        call(&run, &run.program->launches[i]);
    return run;
}

static void close_run(Run *run) {
    for (int i = 0; i < 16; i++) free(run->ports[i]);
    free(run->arena);
    free(run->scratch);
}

/* ---- times ---- */

/* Up to where the next launch's weights begin. */
static void flush_weights(const Run *run, const cai_argument *argument) {
    const cai_program *program = run->program;
    int64_t end = (int64_t)program->weights_bytes;
    for (int i = 0; i < program->launch_count; i++)
        for (int k = 0; k < program->launches[i].argument_count; k++) {
            const cai_argument *other = &program->launches[i].arguments[k];
            if (other->space == CAI_ARG_WEIGHTS && other->index > argument->index && other->index < end)
                end = other->index;
        }
    for (int64_t at = argument->index; at < end; at += 64) _mm_clflush(program->weights + at);
}

static double time_launch(Run *run, const cai_launch *launch, bool cold) {
    double times[RUNS];
    for (int i = 0; i < RUNS; i++) {
        for (int k = 0; k < launch->argument_count && cold; k++)
            if (launch->arguments[k].space == CAI_ARG_WEIGHTS) flush_weights(run, &launch->arguments[k]);
        _mm_mfence();
        double begin = seconds();
        call(run, launch);
        times[i] = seconds() - begin;
    }
    return median(times, RUNS);
}

typedef struct Times { double warm, cold, flops, bytes; cai_peaks peaks; } Times;

static Times measure(Run *run, const cai_launch *launch, double flops) {
    Times t = {.flops = flops, .bytes = launch->bytes < 0 ? 0 : (double)run->sizes[launch->bytes]};
    cai_error error;
    CU_ASSERT_FATAL(cai_measure_peaks(pool, run->program->cpu, &t.peaks, &error));
    t.warm = time_launch(run, launch, false);
    t.cold = time_launch(run, launch, true);
    return t;
}

static void print_times(const Times *t, const char *name) {
    static const char *const levels[] = {"L1", "L2", "L3", "memory"};
    int level = cai_peaks_level(&t->peaks, t->bytes);
    printf("%9.1f us %7.1f GFLOP/s %5.1f %% %7.1f GB/s %5.1f %% of %-6s cold %9.1f us %5.1f %%  %s\n",
           t->warm * 1e6, t->flops / t->warm / 1e9, 100 * t->flops / t->warm / t->peaks.flops,
           t->bytes / t->warm / 1e9, 100 * t->bytes / t->warm / t->peaks.read[level], levels[level],
           t->cold * 1e6, 100 * t->flops / t->cold / t->peaks.flops, name);
}

/* ---- the shapes ---- */

static bool is_operator(const char *kind) {
    return strncmp(kind, "conv", 4) == 0 || strncmp(kind, "mat", 3) == 0 || strcmp(kind, "window") == 0;
}

static void bench_compiled(Compiled *compiled, const ShapeLine *shape) {
    Run run = open_run(compiled);
    const cai_launch *timed = run.program->launches;
    for (int i = 0; i < run.program->launch_count; i += 1 + run.program->launches[i].more)
        if (is_operator(run.program->launches[i].kind)) timed = &run.program->launches[i];
    Times times = measure(&run, timed, shape_flops(shape));
    print_times(&times, timed->name);
    close_run(&run);
}

/* ---- weights that the run computes, beside constant ones ---- */

static bool reads_weight(const cai_launch *launch) {
    return is_operator(launch->kind) || strcmp(launch->kind, "reorder") == 0;
}

/* All that becomes of the weight: its packing, whose share is added to *packing, and the
 * operator. */
static double time_with_weight(Run *run, double *packing) {
    double begin = seconds();
    for (int i = 0; i < run->program->launch_count; i += 1 + run->program->launches[i].more) {
        const cai_launch *launch = &run->program->launches[i];
        double before = seconds();
        if (reads_weight(launch)) call(run, launch);
        if (strcmp(launch->kind, "reorder") == 0)
            *packing = seconds() - before, run->packed_bytes = run->sizes[launch->bytes];
    }
    return seconds() - begin;
}

typedef struct Contender { /* a way to compute the shape */
    TestGraph t;
    Compiled compiled;
    Run run;
    double times[RUNS], packing[RUNS], median;
} Contender;

static bool open_contender(Contender *c, const ShapeLine *shape, bool computed, const char *force,
                           int winograd) {
    ShapeLine line = *shape;
    line.computed = computed;
    c->t = shape_graph(&line, 1);
    LowerOptions options = {.target = target_find(target_name),
                            .table = &kernel_table,
                            .force = force,
                            .winograd = winograd,
                            .own_slots = true};
    if (!compile_and_load(&c->t, &options, &c->compiled)) return false;
    c->run = open_run(&c->compiled);
    return true;
}

static void close_contender(Contender *c) {
    close_run(&c->run);
    unload(&c->compiled);
    arena_free(c->t.arena);
}

static const char *operator_name(const Contender *c) {
    const cai_program *program = c->run.program;
    for (int i = 0; i < program->launch_count; i++)
        if (is_operator(program->launches[i].kind)) return program->launches[i].name;
    return "";
}

/* A computed weight against the faster of what a constant one has: chosen, or direct. All
 * are timed in turn. */
static void bench_computed(const ShapeLine *shape, const char *text) {
    enum { COMPUTED, CHOSEN, DIRECT, WAYS };
    Contender *c = calloc(WAYS, sizeof *c);
    const char *force = *shape->by ? shape->by : NULL,
               *direct = strncmp(shape->op, "conv", 4) == 0 ? "conv_direct" : NULL;
    bool good = open_contender(&c[COMPUTED], shape, true, force, 0) &&
                open_contender(&c[CHOSEN], shape, false, force, 0) &&
                open_contender(&c[DIRECT], shape, false, direct, WINOGRAD_NEVER);
    CU_ASSERT_FATAL(good);
    for (int i = 0; i < RUNS; i++)
        for (int k = 0; k < WAYS; k++) c[k].times[i] = time_with_weight(&c[k].run, &c[k].packing[i]);
    for (int k = 0; k < WAYS; k++) c[k].median = median(c[k].times, RUNS);
    double constant = c[CHOSEN].median < c[DIRECT].median ? c[CHOSEN].median : c[DIRECT].median;
    double packing = median(c[COMPUTED].packing, RUNS);
    printf("%9.1f us constant %9.1f us computed, %6.3f of it; packing %8.1f us, %5.1f GB/s  %s: %s\n",
           constant * 1e6, c[COMPUTED].median * 1e6, c[COMPUTED].median / constant, packing * 1e6,
           packing > 0 ? (double)c[COMPUTED].run.packed_bytes / packing / 1e9 : 0.0, text,
           operator_name(&c[COMPUTED]));
    for (int k = 0; k < WAYS; k++) close_contender(&c[k]);
    free(c);
}

static void bench_shape(const ShapeLine *shape, const char *text, void *context) {
    (void)context;
    if (!shape->timed || !strstr(text, wanted_word)) return;
    if (shape->computed) {
        bench_computed(shape, text);
        return;
    }
    TestGraph t = shape_graph(shape, 1);
    LowerOptions options = WITH_TABLE(.target = target_find(target_name),
                                      .force = *shape->by ? shape->by : NULL, .own_slots = true);
    options.winograd = shape->tile ? (int)shape->tile : WINOGRAD_NEVER;
    options.winograd = (int)shape->tile;
    Compiled compiled;
    if (compile_and_load(&t, &options, &compiled)) bench_compiled(&compiled, shape);
    unload(&compiled);
    arena_free(t.arena);
}

static void bench_line(const char *line, void *context) { each_shape(line, bench_shape, context); }
static void bench_shapes(void) { each_line("tests/kernels/shapes.txt", bench_line, NULL); }

/* ---- in turn with another program ---- */

static double time_operator(Run *run) {
    double sum = 0;
    for (int i = 0; i < run->program->launch_count; i += 1 + run->program->launches[i].more) {
        if (!reads_weight(&run->program->launches[i])) continue;
        double begin = seconds();
        call(run, &run->program->launches[i]);
        sum += seconds() - begin;
    }
    return sum;
}

static void take_turn(Run *run, double length) {
    double least = 1e9, begin = seconds();
    cai_peaks peaks;
    cai_error error;
    CU_ASSERT_FATAL(cai_measure_peaks(pool, run->program->cpu, &peaks, &error));
    do least = fmin(least, time_operator(run));
    while (seconds() - begin < length);
    printf("%g %g\n", least, peaks.flops);
}

static void take_turns(const ShapeLine *shape, const char *text, void *context) {
    (void)text;
    (void)context;
    Contender c;
    char line[64];
    CU_ASSERT_FATAL(
        open_contender(&c, shape, shape->computed, *shape->by ? shape->by : NULL, (int)shape->tile));
    printf("%s %g\n", operator_name(&c), shape_flops(shape));
    while (fgets(line, sizeof line, stdin)) take_turn(&c.run, atof(line));
    close_contender(&c);
}

static void bench_turns(void) { each_shape(wanted_word, take_turns, NULL); }

/* ---- a network ---- */

static const char *network_path, *network_model, *define_names[MAX_DEFINES], *define_values[MAX_DEFINES];
static int define_count;

static bool is_first_of_its_name(const cai_program *program, const cai_launch *launch) {
    for (const cai_launch *l = program->launches; l < launch; l++)
        if (strcmp(l->name, launch->name) == 0) return false;
    return true;
}

static int count_of_name(const cai_program *program, const char *name) {
    int count = 0;
    for (int i = 0; i < program->launch_count; i++) count += strcmp(program->launches[i].name, name) == 0;
    return count;
}

static void bench_launches(Run *run) {
    const cai_program *program = run->program;
    double warm = 0, cold = 0, flops = 0, at_peak = 0;
    for (int i = 0; i < program->launch_count; i += 1 + program->launches[i].more) {
        const cai_launch *launch = &program->launches[i];
        if (!is_first_of_its_name(program, launch)) continue;
        Times t = measure(run, launch, launch->flops < 0 ? 0 : (double)run->sizes[launch->flops]);
        int count = count_of_name(program, launch->name);
        printf("%2d x %-28s ", count, launch->path);
        print_times(&t, launch->name);
        warm += count * t.warm, cold += count * t.cold, flops += count * t.flops,
            at_peak += count * t.flops / t.peaks.flops;
    }
    printf("all: warm %.3f ms, %.1f %% of peak; cold %.3f ms, %.1f %%; %.3f GFLOP\n", warm * 1e3,
           100 * at_peak / warm, cold * 1e3, 100 * at_peak / cold, flops / 1e9);
}

static void bench_network(void) {
    TestGraph t = network_graph(network_path, network_model, define_names, define_values, define_count);
    LowerOptions options = WITH_TABLE(.target = target_find(target_name));
    Compiled compiled;
    if (compile_and_load(&t, &options, &compiled)) {
        Run run = open_run(&compiled);
        bench_launches(&run);
        close_run(&run);
    }
    unload(&compiled);
    arena_free(t.arena);
}

static void read_network(int count, char **words) {
    network_path = words[0];
    for (int i = 1; i < count && define_count < MAX_DEFINES; i++) {
        char *equals = strchr(words[i], '=');
        if (equals) {
            *equals = 0;
            define_names[define_count] = words[i];
            define_values[define_count++] = equals + 1;
        } else {
            network_model = words[i];
        }
    }
}

/* As a CUnit test, since the helpers assert. */
int main(int argc, char **argv) {
    bool network = argc > 2 && cai_has_extension(argv[2], ".cai"),
         turns = argc > 3 && strcmp(argv[2], "turns") == 0;
    if (argc > 1) target_name = argv[1];
    if (network) read_network(argc - 2, argv + 2);
    else if (argc > 2) wanted_word = argv[turns ? 3 : 2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    cai_flush_denormals();
    pool = cai_pool_new(1);
    if (!pool || CU_initialize_registry() != CUE_SUCCESS) return 70;
    CU_add_test(CU_add_suite("bench", NULL, NULL), "bench",
                network ? bench_network
                : turns ? bench_turns
                        : bench_shapes);
    CU_basic_set_mode(CU_BRM_SILENT);
    CU_basic_run_tests();
    return CU_get_number_of_tests_failed() != 0;
}
