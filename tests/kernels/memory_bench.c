/* How near what is bound by memory comes to the machine's bandwidth: `build/memory_bench
 * [WORD]`, WORD selects lines of memory.txt.
 *
 * Each line is a model of memory.cai at some sizes, once fixed and once free. Its
 * launches, but for convolutions and products, are run one after the other, on one thread
 * and on two. Beside them runs what bounds them: plain vector loops that read as many
 * bytes from the same places and write as many to them. `stream` is that of all launches,
 * one by one; `once` reads what comes into the whole chain and writes what leaves it, as
 * if it were one kernel. Medians, both taking turns. */
#include "backend_support.h"
#include "elaborate/elaborate.h"
#include "core/core.h"

enum { MAX_LAUNCHES = 16, MAX_RUNS = 201 };

static const char *wanted_word = "";

static double seconds(void) { return 1e-3 * cai_milliseconds(); }

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- the case ---- */

typedef struct Touch { unsigned char *at; int64_t bytes; bool writes; } Touch;

typedef struct Step { /* one kernel: a launch, and `more` behind it */
    const cai_launch *launch;
    const Kernel *kernel;
    void *arguments[16];
    Touch touches[16];
    int touch_count;
} Step;

typedef struct Bench {
    TestGraph *test;
    const cai_program *program;
    cai_pool *pool;
    int64_t symbols[4], *sizes;
    unsigned char *arena, *scratch, *ports[16];
    Step steps[MAX_LAUNCHES];
    int step_count;
    Touch once[2 * MAX_LAUNCHES];
    int once_count;
} Bench;

static void *locate(Bench *b, const cai_argument *argument) {
    if (argument->space == CAI_ARG_SLOT) return b->arena + b->sizes[argument->index];
    if (argument->space == CAI_ARG_WEIGHTS) return (void *)(b->program->weights + argument->index);
    unsigned char *port = b->ports[(argument->space == CAI_ARG_OUTPUT ? 8 : 0) + argument->index];
    return argument->offset >= 0 ? port + b->sizes[argument->offset] : port;
}

static int64_t bytes_of_value(Bench *b, const Value *value) {
    return count_of(b->test, value->node->shape) * dtype_bytes(value->node->shape.type);
}

static bool is_timed(const Kernel *kernel) {
    return strncmp(kernel->kind->name, "conv", 4) != 0 && strncmp(kernel->kind->name, "mat", 3) != 0;
}

static void add_step(Bench *b, const cai_launch *launch, const Kernel *kernel) {
    Step *step = &b->steps[b->step_count++];
    *step = (Step){.launch = launch, .kernel = kernel};
    for (int i = 0; i < launch->argument_count; i++) step->arguments[i] = locate(b, &launch->arguments[i]);
    for (int i = 0; i <= kernel->input_count; i++) {
        const Value *value = i ? kernel->inputs[i - 1] : kernel->output;
        step->touches[step->touch_count++] = (Touch){step->arguments[i], bytes_of_value(b, value), i == 0};
    }
}

/* What enters and leaves the timed launches as a whole. */
static void find_once(Bench *b) {
    for (int i = 0; i < b->step_count; i++) {
        const Kernel *kernel = b->steps[i].kernel;
        bool leaves = true;
        for (int k = 0; k < b->step_count; k++)
            for (int j = 0; j < b->steps[k].kernel->input_count; j++)
                leaves = leaves && b->steps[k].kernel->inputs[j] != kernel->output;
        if (leaves) b->once[b->once_count++] = b->steps[i].touches[0];
        for (int j = 0; j < kernel->input_count; j++) {
            bool enters = true;
            for (int k = 0; k < i; k++) enters = enters && b->steps[k].kernel->output != kernel->inputs[j];
            for (int k = 0; k < b->once_count; k++)
                enters = enters && b->once[k].at != b->steps[i].touches[j + 1].at;
            if (enters) b->once[b->once_count++] = b->steps[i].touches[j + 1];
        }
    }
}

/* ---- the bound ---- */

enum { PIECE = 1 << 14 };

typedef struct Stream { const Touch *touches; int count; int64_t pieces; } Stream;

typedef uint32_t Line __attribute__((vector_size(64), aligned(4), may_alias)); /* a register, or two */

static inline __attribute__((always_inline)) void read_part(const unsigned char *at, int64_t bytes,
                                                            Line *sum) {
    const Line *lines = (const Line *)at;
    for (int64_t i = 0; i + 4 <= bytes / 64; i += 4)
        *sum ^= (lines[i] ^ lines[i + 1]) ^ (lines[i + 2] ^ lines[i + 3]);
}

static inline __attribute__((always_inline)) void write_part(unsigned char *at, int64_t bytes, Line value) {
    Line *lines = (Line *)at;
    for (int64_t i = 0; i + 4 <= bytes / 64; i += 4)
        for (int k = 0; k < 4; k++) lines[i + k] = value;
}

/* Every tensor in as many pieces, piece by piece: reads, then writes. */
__attribute__((target_clones("avx512f", "avx2", "default"))) static void stream_pieces(void *context,
                                                                                       int64_t begin,
                                                                                       int64_t end,
                                                                                       int worker) {
    (void)worker;
    const Stream *s = context;
    const Line mantissa = (Line){0} + 0x007fffff, one = (Line){0} + 0x3f800000;
    Line sum = one;
    for (int64_t piece = begin; piece < end; piece++) {
        for (int i = 0; i < s->count; i++) {
            const Touch *t = &s->touches[i];
            int64_t from = t->bytes * piece / s->pieces & -64, to = t->bytes * (piece + 1) / s->pieces & -64;
            if (!t->writes) read_part(t->at + from, to - from, &sum);
        }
        sum = (sum & mantissa) | one; /* ordinary numbers */
        for (int i = 0; i < s->count; i++) {
            const Touch *t = &s->touches[i];
            int64_t from = t->bytes * piece / s->pieces & -64, to = t->bytes * (piece + 1) / s->pieces & -64;
            if (t->writes) write_part(t->at + from, to - from, sum);
        }
    }
}

static void run_stream(Bench *b, const Touch *touches, int count) {
    int64_t most = 0;
    for (int i = 0; i < count; i++)
        if (touches[i].bytes > most) most = touches[i].bytes;
    Stream s = {touches, count, (most + PIECE - 1) / PIECE};
    cai_pool_run(b->pool, stream_pieces, &s, s.pieces);
}

/* ---- times ---- */

typedef struct Call {
    const Step *step;
    const cai_launch *launch;
    const int64_t *symbols;
    unsigned char *scratch;
    int64_t scratch_each;
} Call;

static void call_kernel(void *context, int64_t begin, int64_t end, int worker) {
    const Call *call = context;
    call->launch->kernel((void *const *)call->step->arguments, call->symbols, begin, end,
                         call->scratch + worker * call->scratch_each);
}

/* Task by task: launches that run along with each other. */
static void call_along(void *context, int64_t begin, int64_t end, int worker) {
    const Call *calls = context;
    for (int64_t task = begin; task < end; task++)
        for (int k = 0; calls[k].launch; k++) call_kernel((void *)&calls[k], task, task + 1, worker);
}

enum { KERNELS, STREAM, ONCE };

/* Runs the launches of one step, or those that run along with it; gives the number of
 * steps. */
static int run_step(Bench *b, int at) {
    int along = b->steps[at].launch->fused ? b->steps[at].launch->more : 0;
    Call calls[CAI_MAX_FUSED + 1] = {{0}};
    for (int i = 0; i <= along; i++) {
        const Step *step = &b->steps[at + i];
        calls[i] =
            (Call){step, step->launch, b->symbols, b->scratch, round_up(b->sizes[b->program->scratch], 64)};
    }
    int64_t tasks = b->sizes[calls[0].launch->tasks];
    if (along) cai_pool_run(b->pool, call_along, calls, tasks);
    for (int k = 0; k <= b->steps[at].launch->more && !along; k++) {
        calls[0].launch = b->steps[at].launch + k;
        cai_pool_run(b->pool, call_kernel, calls, b->sizes[calls[0].launch->tasks]);
    }
    return 1 + along;
}

static void run_way(Bench *b, int way) {
    if (way == ONCE) run_stream(b, b->once, b->once_count);
    for (int i = 0; i < b->step_count && way == STREAM; i++)
        run_stream(b, b->steps[i].touches, b->steps[i].touch_count);
    for (int i = 0; i < b->step_count && way == KERNELS;) i += run_step(b, i);
}

/* Each way is run once untimed before its timed run, so that caches hold what the way
 * itself left there. */
static void time_ways(Bench *b, double median[3]) {
    static double times[3][MAX_RUNS];
    double end = seconds() + 0.06;
    int runs = 0;
    while (runs < MAX_RUNS && (runs < 5 || seconds() < end)) {
        for (int way = 0; way < 3; way++) {
            run_way(b, way);
            double begin = seconds();
            run_way(b, way);
            times[way][runs] = seconds() - begin;
        }
        runs++;
    }
    for (int way = 0; way < 3; way++) {
        qsort(times[way], (size_t)runs, sizeof *times[way], compare_doubles);
        median[way] = times[way][runs / 2];
    }
}

static int64_t bytes_of_touches(const Touch *touches, int count) {
    int64_t sum = 0;
    for (int i = 0; i < count; i++) sum += touches[i].bytes;
    return sum;
}

static void print_case(Bench *b, const char *what, const double one[3], const double two[3]) {
    int64_t moved = 0, once = bytes_of_touches(b->once, b->once_count);
    for (int i = 0; i < b->step_count; i++)
        moved += bytes_of_touches(b->steps[i].touches, b->steps[i].touch_count);
    printf(
        "%-32s %2d %8.3f MB %8.3f once  %9.1f us %6.1f GB/s  stream %4.0f %%  once %4.0f %%   2 threads %9.1f us %4.0f %% %4.0f %%\n",
        what, b->step_count, (double)moved / 1e6, (double)once / 1e6, one[KERNELS] * 1e6,
        (double)moved / one[KERNELS] / 1e9, 100 * one[STREAM] / one[KERNELS], 100 * one[ONCE] / one[KERNELS],
        two[KERNELS] * 1e6, 100 * two[STREAM] / two[KERNELS], 100 * two[ONCE] / two[KERNELS]);
}

/* ---- compiling ---- */

static void bench_compiled(Compiled *compiled, const char *what, float scale) {
    TestGraph *t = compiled->test;
    Bench b = {.test = t, .program = compiled->program, .symbols = {t->symbols[0], 42, 42}};
    b.sizes = NEW_ARRAY(t->arena, int64_t, b.program->size_count + 1);
    CU_ASSERT_FATAL(b.program->prepare(b.symbols, b.sizes) == CAI_PREPARED);
    b.arena = aligned_alloc(4096, (size_t)round_up(b.sizes[b.program->arena] + CAI_READ_SLACK + 1, 4096));
    b.scratch = aligned_alloc(4096, (size_t)round_up(2 * b.sizes[b.program->scratch] + 128, 4096));
    for (int64_t i = 0; i < b.sizes[b.program->arena] / 4; i++)
        ((float *)(void *)b.arena)[i] = (float)(i % 17) / 17 * scale;
    for (int i = 0; i < t->graph->inputs.count + t->graph->outputs.count; i++) {
        bool input = i < t->graph->inputs.count;
        const Port *port =
            input ? &t->graph->inputs.items[i] : &t->graph->outputs.items[i - t->graph->inputs.count];
        int64_t count = count_of(t, port->node->shape);
        float *data = aligned_alloc(4096, (size_t)round_up(count * 4 + 64, 4096));
        for (int64_t k = 0; k < count; k++) data[k] = (float)(k % 19) / 19 * scale;
        b.ports[input ? i : 8 + i - t->graph->inputs.count] = (unsigned char *)data;
    }
    const cai_launch *launch = b.program->launches;
    for (int i = 0; i < compiled->lowered->launches.count && b.step_count < MAX_LAUNCHES;
         i++, launch += 1 + (launch->fused ? 0 : launch->more))
        if (is_timed(compiled->lowered->launches.items[i]))
            add_step(&b, launch, compiled->lowered->launches.items[i]);
    find_once(&b);
    double medians[2][3];
    for (int threads = 1; threads <= 2; threads++) {
        b.pool = cai_pool_new(threads);
        time_ways(&b, medians[threads - 1]);
        cai_pool_free(b.pool);
    }
    print_case(&b, what, medians[0], medians[1]);
    for (int i = 0; i < 16; i++) free(b.ports[i]);
    free(b.scratch);
    free(b.arena);
}

static TestGraph elaborate_case(const char *name, const char *size, bool free_sizes) {
    TestGraph t = {.arena = arena_new(), .symbols = {atoi(size), 1}, .random = 88172645463325252u};
    Names *names = names_new(t.arena);
    Diagnostics diag = {.arena = t.arena};
    Define define = {intern(names, "S"), size};
    ElaborateOptions options = {.stdlib_dir = "stdlib", .defines = &define, .define_count = !free_sizes};
    Library *library = library_open(t.arena, names, &diag, "tests/kernels/memory.cai", &options);
    for (int i = 0; library && i < library_model_count(library); i++)
        if (strcmp(library_model_name(library, i), name) == 0) t.graph = elaborate_model(library, i)->graph;
    if (!t.graph) {
        diag_print(&diag, stderr, DIAG_TEXT, false);
        fprintf(stderr, "no case %s %s\n", name, size);
        exit(2);
    }
    t.graph = passes_run(t.graph, &(PassOptions){.verify = false});
    for (int i = 0; i < t.graph->nodes.count; i++) {
        Node *node = t.graph->nodes.items[i];
        if (node->op == OP_parameter || node->op == OP_state) add_values(&t, node, -0.5, 0.5);
    }
    return t;
}

static void bench_case(const char *name, const char *size, bool free_sizes, bool tiny) {
    TestGraph t = elaborate_case(name, size, free_sizes);
    LowerOptions options = WITH_TABLE(.target = target_find("native"));
    Compiled compiled;
    if (compile_and_load(&t, &options, &compiled))
        bench_compiled(
            &compiled,
            arena_printf(t.arena, "%s %s%s%s", name, size, free_sizes ? " free" : "", tiny ? " tiny" : ""),
            tiny ? 1e-39f : 1);
    unload(&compiled);
    arena_free(t.arena);
}

static void bench(void) {
    FILE *file = fopen("tests/kernels/memory.txt", "r");
    char line[500];
    while (file && fgets(line, sizeof line, file)) {
        if (line[0] == '#' || !strstr(line, wanted_word)) continue;
        char *rest, *name = strtok_r(line, " \n", &rest);
        bool tiny = false;
        for (char *size; name && (size = strtok_r(NULL, " \n", &rest));) {
            tiny = tiny || strcmp(size, "tiny") == 0;
            for (int free_sizes = 0; free_sizes < 2 && strcmp(size, "tiny") != 0; free_sizes++)
                bench_case(name, size, free_sizes, tiny);
        }
    }
    if (file) fclose(file);
}

/* As a CUnit test, since the helpers assert. */
int main(int argc, char **argv) {
    if (argc > 1) wanted_word = argv[1];
    cai_flush_denormals();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (CU_initialize_registry() != CUE_SUCCESS) return 70;
    CU_add_test(CU_add_suite("bench", NULL, NULL), "bench", bench);
    CU_basic_set_mode(CU_BRM_SILENT);
    CU_basic_run_tests();
    return CU_get_number_of_tests_failed() != 0;
}
