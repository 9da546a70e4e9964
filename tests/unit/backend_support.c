/* See backend_support.h. */
#include "backend_support.h"
#include "codegen/codegen.h"
#include "driver/driver.h"
#include "files/files.h"
#include "object/object.h"
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool can_run(const char *target) { return cai_cpu_runs(target_find(target)->cpu); }

static bool complain(const char *stage, const char *error) {
    fprintf(stderr, "\n%s: %s\n", stage, error);
    CU_FAIL("compilation");
    return false;
}

/* ---- compiling ---- */

/* Many tests have kernels in common: what one has compiled is there for all others of
 * this run, and for later ones of the same unit_tests. */
static const KernelCache *common_kernels(void) {
    static KernelCache cache;
    static char folder[4096];
    if (cache.folder) return &cache;
    const char *build = getenv("BUILD");
    snprintf(folder, sizeof folder, "%s/tests/kernel_cache", build ? build : "build");
    mkdir(folder, 0777);
    cache = (KernelCache){.folder = folder, .compiler = compiler_identity(), .max_bytes = INT64_MAX};
    trim_folder(folder, INT64_MAX, INT64_C(256) << 20);
    return &cache;
}

bool compile_and_load(TestGraph *t, const LowerOptions *options, Compiled *compiled) {
    static int number; /* dlopen knows libraries by name */
    const char *error = "",
               *folder = arena_printf(t->arena, "/tmp/cai_test_%ld_%d", (long)getpid(), number++);
    const char *code = arena_printf(t->arena, "%s.o", folder),
               *place = arena_printf(t->arena, "%s.place.o", folder);
    const char *weights = arena_printf(t->arena, "%s.weights.o", folder);
    const char *library = arena_printf(t->arena, "%s.so", folder);
    RefSource source = {.context = t, .parameter = give_value, .input = give_value};
    EmitOptions emit = {.verify = true, .cache = common_kernels()};
    *compiled = (Compiled){.test = t, .guards = UINT32_MAX, .lowered = lower(t->graph, options, t->arena)};
    if (!backend_object(compiled->lowered, &emit, code, &error)) return complain("code", error);
    PackedWeights packed = {compiled->lowered, &source, NULL};
    if (!weights_stub_write(compiled->lowered, place, &error)) return complain("weights stub", error);
    if (weights_embed(&packed, place, weights, &error) != EMBED_DONE) return complain("weights", error);
    const char *command =
        arena_printf(t->arena, "ld -shared -z noexecstack -o %s %s %s", library, code, weights);
    if (system(command)) return complain("ld", command);
    compiled->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!compiled->library) return complain("dlopen", dlerror());
    compiled->program = dlsym(compiled->library, "cai_the_program");
    unlink(code);
    unlink(place);
    unlink(weights);
    unlink(library);
    return true;
}

void unload(Compiled *compiled) {
    if (compiled->library) dlclose(compiled->library);
    compiled->library = NULL;
}

const char *print_compiled(TestGraph *t, const LowerOptions *options, const char *form) {
    char *text;
    size_t length;
    const char *error = "";
    FILE *print = open_memstream(&text, &length);
    EmitOptions emit = {.emit = form, .print = print, .verify = true};
    if (!backend_object(lower(t->graph, options, t->arena), &emit, NULL, &error)) complain("code", error);
    fclose(print);
    const char *copy = arena_strndup(t->arena, text, length);
    free(text);
    return copy;
}

/* ---- running ---- */

/* Memory that ends where a page begins that nobody may touch: what a kernel reads or
 * writes beyond an input or output shows. */
static void *fenced(int64_t bytes) {
    int64_t page = sysconf(_SC_PAGESIZE), whole = round_up(bytes, page);
    char *memory =
        mmap(NULL, (size_t)(whole + page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(memory != MAP_FAILED && mprotect(memory + whole, (size_t)page, PROT_NONE) == 0);
    return memory + whole - bytes;
}

static void unfence(const void *start, int64_t bytes) {
    int64_t page = sysconf(_SC_PAGESIZE), whole = round_up(bytes, page);
    munmap((char *)(uintptr_t)start + bytes - whole, (size_t)(whole + page));
}

static int64_t bytes_of(TestGraph *t, const Port *port) {
    return count_of(t, port->node->shape) * dtype_bytes(port->node->shape.type);
}

/* Elements of any type to and from numbers. */
static void *to_elements(const Number *values, int64_t count, DType type) {
    unsigned char *bytes = fenced(count * dtype_bytes(type));
    cai_tensor tensor = {.name = "",
                         .type = dtype_is_float(type) ? CAI_F64 : CAI_I64,
                         .rank = 1,
                         .dims = {count},
                         .count = count,
                         .data = (const unsigned char *)values};
    cai_error error;
    if (!cai_tensor_convert(&tensor, (int)type, bytes, &error)) complain("input", error.message);
    return bytes;
}

static Number *from_elements(TestGraph *t, const void *bytes, int64_t count, DType type) {
    Number *values = NEW_ARRAY(t->arena, Number, count);
    cai_tensor tensor = {
        .name = "", .type = (int)type, .rank = 1, .dims = {count}, .count = count, .data = bytes};
    numbers_read(&tensor, values);
    return values;
}

static const void *input_elements(TestGraph *t, const Port *port) {
    RefTensor tensor = {.shape = {.type = port->node->shape.type, .count = count_of(t, port->node->shape)}};
    tensor.values = NEW_ARRAY(t->arena, Number, tensor.shape.count);
    CU_ASSERT_FATAL(give_value(t, port->node, &tensor));
    return to_elements(tensor.values, tensor.shape.count, tensor.shape.type);
}

bool run_compiled(Compiled *compiled, int threads, Number **outputs) {
    TestGraph *t = compiled->test;
    Graph *graph = t->graph;
    cai_error error;
    const void **in = NEW_ARRAY(t->arena, const void *, graph->inputs.count);
    void **out = NEW_ARRAY(t->arena, void *, graph->outputs.count);
    for (int i = 0; i < graph->inputs.count; i++) in[i] = input_elements(t, &graph->inputs.items[i]);
    for (int i = 0; i < graph->outputs.count; i++) {
        int shares = compiled->program->outputs[i].shares;
        out[i] = shares ? (void *)in[shares - 1] : fenced(bytes_of(t, &graph->outputs.items[i]));
    }
    cai_pool *pool = cai_pool_new(threads);
    cai_context *context = cai_context_new(compiled->program, pool, &error);
    if (context) cai_context_run_by(context, threads == 1 ? cai_run_guarded : NULL);
    if (context) cai_context_set_guards(context, compiled->guards);
    bool done = context && cai_context_prepare_symbols(context, t->symbols, &error) &&
                cai_context_run(context, in, out, 42, &error);
    if (!done) complain("run", error.message);
    for (int i = 0; done && i < graph->outputs.count; i++) {
        Shape shape = graph->outputs.items[i].node->shape;
        outputs[i] = from_elements(t, out[i], count_of(t, shape), shape.type);
    }
    for (int i = 0; i < graph->inputs.count; i++) unfence(in[i], bytes_of(t, &graph->inputs.items[i]));
    for (int i = 0; i < graph->outputs.count; i++)
        if (!compiled->program->outputs[i].shares) unfence(out[i], bytes_of(t, &graph->outputs.items[i]));
    if (context) cai_context_free(context);
    cai_pool_free(pool);
    return done;
}

/* ---- comparing ---- */

double ulp_at(double value) {
    int exponent;
    if (value == 0 || !isfinite(value)) return 0x1p-149;
    frexp(value, &exponent);
    return ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

/* What the compiled program gets is f32; the reference is to get the same. */
void round_inputs(TestGraph *t) {
    for (int i = 0; i < t->inputs.count; i++) {
        Number *values = t->inputs.items[i].values;
        bool real = dtype_is_float(t->inputs.items[i].node->shape.type);
        for (int64_t k = 0; real && k < t->inputs.items[i].count; k++) values[k].real = (float)values[k].real;
    }
}

/* What overflows f32 has no right value; with an infinite tolerance anything will do. */
static bool near(double a, double b, double tolerance) {
    if (isinf(tolerance)) return true;
    if (isnan(b)) return isnan(a);
    return a == b || fabs(b) > 1e30 || fabs(a - b) <= tolerance * (1 + fabs(b));
}

/* With a tolerance of 0 ints are the same, those that no double holds too. */
static bool same_output(TestGraph *t, const Number *got, const Number *wanted, Shape shape, double tolerance,
                        const char *what) {
    int64_t wrong = 0, first = -1, count = count_of(t, shape);
    bool real = dtype_is_float(shape.type);
    for (int64_t i = 0; i < count; i++) {
        double x = number_value(got[i], shape.type), y = number_value(wanted[i], shape.type);
        if (near(x, y, tolerance) && (real || tolerance > 0 || got[i].whole == wanted[i].whole)) continue;
        if (!wrong++) first = i;
    }
    if (wrong) {
        Text text = {.arena = t->arena};
        number_print(&text, got[first], shape.type);
        text_add(&text, " instead of ");
        number_print(&text, wanted[first], shape.type);
        fprintf(stderr, "\n%s: %ld of %ld elements are wrong, first [%ld] = %s\n", what, (long)wrong,
                (long)count, (long)first, text_string(&text));
    }
    CU_ASSERT(wrong == 0);
    return wrong == 0;
}

static void report(Compiled *compiled) {
    graph_print(compiled->test->graph, stderr);
    program_print(compiled->lowered, stderr);
}

void compare_with_options(TestGraph *t, const LowerOptions *options, double tolerance, const char *what) {
    int count = t->graph->outputs.count;
    Compiled compiled;
    RefTensor *wanted = NEW_ARRAY(t->arena, RefTensor, count);
    Node **nodes = NEW_ARRAY(t->arena, Node *, count);
    Number **one = NEW_ARRAY(t->arena, Number *, count), **three = NEW_ARRAY(t->arena, Number *, count);
    round_inputs(t);
    for (int i = 0; i < count; i++) nodes[i] = t->graph->outputs.items[i].node;
    evaluate(t, t->graph, nodes, count, wanted);
    bool right = true;
    if (compile_and_load(t, options, &compiled) && run_compiled(&compiled, 1, one) &&
        run_compiled(&compiled, 3, three)) {
        for (int i = 0; i < count; i++) {
            right = same_output(t, one[i], wanted[i].values, nodes[i]->shape, tolerance, what) && right;
            bool equal = memcmp(one[i], three[i], sizeof(Number) * (size_t)wanted[i].shape.count) == 0;
            if (!equal) fprintf(stderr, "\n%s: other bits on three threads\n", what);
            CU_ASSERT(equal);
        }
        if (!right) report(&compiled);
    }
    unload(&compiled);
}

static bool same_bits(TestGraph *t, Number *const *a, Number *const *b, const char *what) {
    bool same = true;
    for (int i = 0; i < t->graph->outputs.count; i++)
        same = memcmp(a[i], b[i],
                      sizeof(Number) * (size_t)count_of(t, t->graph->outputs.items[i].node->shape)) == 0 &&
               same;
    if (!same) fprintf(stderr, "\n%s\n", what);
    CU_ASSERT(same);
    return same;
}

void compare_with_other(TestGraph *t, const LowerOptions *options, const LowerOptions *other,
                        double tolerance, const char *what) {
    int count = t->graph->outputs.count;
    Compiled compiled = {0}, compiled_other = {0};
    Number **one = NEW_ARRAY(t->arena, Number *, count), **three = NEW_ARRAY(t->arena, Number *, count),
           **wanted = NEW_ARRAY(t->arena, Number *, count);
    round_inputs(t);
    if (compile_and_load(t, options, &compiled) && compile_and_load(t, other, &compiled_other) &&
        run_compiled(&compiled_other, 1, wanted) && run_compiled(&compiled, 1, one) &&
        run_compiled(&compiled, 3, three)) {
        bool right = true;
        for (int i = 0; i < count; i++)
            right =
                same_output(t, one[i], wanted[i], t->graph->outputs.items[i].node->shape, tolerance, what) &&
                right;
        if (!(same_bits(t, one, three, arena_printf(t->arena, "%s: other bits on three threads", what)) &&
              right))
            report(&compiled);
    }
    unload(&compiled);
    unload(&compiled_other);
}

void compare_with_reference(TestGraph *t, const char *target, double tolerance, const char *what) {
    if (!can_run(target)) return;
    LowerOptions options = WITH_TABLE(.target = target_find(target));
    compare_with_options(t, &options, tolerance, arena_printf(t->arena, "%s (%s)", what, target));
}
