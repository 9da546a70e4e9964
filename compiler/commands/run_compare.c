/* cai run --compare: the built program against the reference evaluator, layer by layer.
 * The program is built with every layer's result as an additional output, both are run on
 * the same inputs, and their outputs are compared. Then the program as usually built is
 * compared, too, since keeping every layer's result prevents fusion. */
#include "commands/commands.h"
#include "files/files.h"
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOLERANCE 1e-4 /* the ratio of the root mean square of the error to that of the values */

/* ---- the graph with more outputs ---- */

static bool has_output(const Graph *graph, const Node *node) {
    for (int i = 0; i < graph->outputs.count; i++)
        if (graph->outputs.items[i].node == node) return true;
    return false;
}

/* A layer that is run twice has two results: the second is called layer_2. */
static Name free_result_name(const Graph *graph, Arena *arena, const char *path) {
    const char *name = path;
    for (int number = 2;; number++) {
        bool taken = false;
        for (int i = 0; i < graph->outputs.count; i++)
            taken |= strcmp(graph->outputs.items[i].name, name) == 0;
        if (!taken) return intern(graph->names, name);
        name = arena_printf(arena, "%s_%d", path, number);
    }
}

/* In order of computation: a layer of layers comes after its parts. */
static int by_completion(const void *left, const void *right) {
    const LayerInfo *a = left, *b = right;
    int first = a->result ? a->result->id : -1, second = b->result ? b->result->id : -1;
    return first != second ? (first < second ? -1 : 1) : (a->depth < b->depth) - (a->depth > b->depth);
}

/* A copy of the graph whose outputs are tensors; where `layers`, the results of layers
 * come before the model's own. */
static Graph *with_outputs(Session *s, const Model *model, bool layers) {
    Graph *graph = NEW(s->arena, Graph);
    *graph = *model->graph;
    memset(&graph->outputs, 0, sizeof graph->outputs);
    LayerInfo *ordered =
        arena_copy(s->arena, model->layers.items, sizeof *ordered * (size_t)model->layers.count);
    qsort(ordered, (size_t)model->layers.count, sizeof *ordered, by_completion);
    for (int i = 0; layers && i < model->layers.count; i++) {
        const LayerInfo *layer = &ordered[i];
        if (!layer->result || !*layer->path || !dtype_is_float(layer->result->shape.type) ||
            has_output(graph, layer->result))
            continue;
        if (has_output(model->graph, layer->result)) continue;
        Port port = {.name = free_result_name(graph, s->arena, layer->path),
                     .node = layer->result,
                     .span = layer->span};
        vec_push(s->arena, &graph->outputs, port);
    }
    for (int i = 0; i < model->graph->outputs.count; i++) {
        Port port = model->graph->outputs.items[i];
        port.form = FORM_TENSOR;
        port.name = free_result_name(graph, s->arena, port.name);
        vec_push(s->arena, &graph->outputs, port);
    }
    return graph;
}

/* ---- running both ---- */

/* A program that exits with a code has reported why itself. */
static bool went_well(Session *s, const char *what, Process process) {
    if (process.status < 0)
        diag_error(&s->diag, DIAG_compare, (Span){0}, "%s was not run to its end: %s", what, process.said);
    return process.status == 0;
}

/* The user's arguments followed by `-o FILE`. */
static char **with_output(Session *s, const char *name, int first, const char *file) {
    char **given = run_arguments(s, name, first);
    int count = 0;
    while (given[count]) count++;
    char **arguments = NEW_ARRAY(s->arena, char *, count + 3);
    memcpy(arguments, given, sizeof *given * (size_t)count);
    arguments[count] = arena_printf(s->arena, "-o");
    arguments[count + 1] = arena_printf(s->arena, "%s", file);
    return arguments;
}

static bool run_reference(Session *s, const Graph *graph, Weights *weights, char **arguments) {
    int count = 0;
    while (arguments[count]) count++;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int code = reference_main(s, graph, weights, count, arguments);
        fflush(stdout);
        _exit(code);
    }
    return went_well(s, "the reference", process_wait(s->arena, child));
}

/* Builds and runs one variant; its outputs are in `file`. */
static bool run_variant(Session *s, Graph *graph, Weights *weights, int first, const char *folder,
                        const char *file) {
    const char *program = arena_printf(s->arena, "%s/program", folder);
    char **arguments = with_output(s, graph->model, first, file);
    bool good = build_program(s, graph, weights, program) &&
                went_well(s, "the built program", process_run_openly(s->arena, program, arguments));
    unlink(program);
    return good;
}

/* ---- the figures ---- */

typedef struct Error {
    double rms, largest, values; /* rms: of the values themselves */
} Error;

/* Programs count denormals as zero, the reference does not. */
static double flushed_denormal(double value) { return fabs(value) < FLT_MIN ? 0 : value; }

/* The difference of two elements; of ints exactly, even where a double does not hold
 * them. */
static double difference_at(const cai_tensor *built, const cai_tensor *reference, int64_t i, double a,
                            double b) {
    if (cai_type_is_float(built->type)) return isnan(a) && isnan(b) ? 0 : a == b ? 0 : fabs(a - b);
    int64_t x, y;
    cai_tensor_to_i64(built, i, 1, &x);
    cai_tensor_to_i64(reference, i, 1, &y);
    return x > y ? (double)((uint64_t)x - (uint64_t)y) : (double)((uint64_t)y - (uint64_t)x);
}

static Error error_of(const cai_tensor *built, const cai_tensor *reference) {
    Error error = {0};
    for (int64_t i = 0; i < built->count; i++) {
        double a, b;
        cai_tensor_to_f64(built, i, 1, &a);
        cai_tensor_to_f64(reference, i, 1, &b);
        if (built->type == CAI_F32) b = flushed_denormal(b);
        double difference = difference_at(built, reference, i, a, b);
        error.rms += difference * difference;
        error.values += isfinite(b) ? b * b : 0;
        if (!(difference <= error.largest)) error.largest = difference;
    }
    double count = built->count ? (double)built->count : 1;
    error.rms = sqrt(error.rms / count);
    error.values = sqrt(error.values / count);
    return error;
}

/* Values below the least normal number are not errors: a sum of flushed values may be
 * normal in the reference. */
static bool is_good(Error error) {
    return error.rms <= fmax(FLT_MIN, TOLERANCE * (error.values > 0 ? error.values : 1));
}

typedef struct ComparedTable {
    const char *first_bad;
    int bad;
} ComparedTable;

/* None of the figures is negative; fabs takes the sign off a NaN. */
static void print_compared_row(const char *name, const char *kind, const cai_tensor *built,
                               const cai_tensor *reference, ComparedTable *table) {
    char shape[200];
    if (!built || !reference || built->count != reference->count) {
        printf("%-40s is not in both results\n", name);
        return;
    }
    Error error = error_of(built, reference);
    bool good = is_good(error);
    printf("%-40s %-24s %10.3g %10.3g %10.3g%s%s\n", name, cai_tensor_shape_text(built, shape, sizeof shape),
           fabs(error.values), fabs(error.values > 0 ? error.rms / error.values : error.rms),
           fabs(error.largest), kind, good ? "" : "  <-- past tolerance");
    if (good) return;
    if (!table->first_bad) table->first_bad = name;
    table->bad++;
}

static bool open_results(Session *s, const char *path, cai_tensor_file *file) {
    cai_error error;
    if (cai_tensors_open(path, file, &error)) return true;
    diag_error(&s->diag, DIAG_compare, (Span){0}, "%s", error.message);
    return false;
}

static bool print_compared_table(Session *s, const Graph *graph, const Model *model,
                                 const char *const files[3]) {
    cai_tensor_file layers, whole, reference;
    if (!open_results(s, files[0], &layers)) return false;
    if (!open_results(s, files[1], &whole)) return cai_tensors_close(&layers), false;
    if (!open_results(s, files[2], &reference))
        return cai_tensors_close(&layers), cai_tensors_close(&whole), false;
    ComparedTable table = {0};
    printf("%-40s %-24s %10s %10s %10s\n", "layer", "shape", "values", "error", "largest");
    for (int i = 0; i < graph->outputs.count; i++) {
        const char *name = graph->outputs.items[i].name;
        print_compared_row(name, "", cai_tensors_find(&layers, name), cai_tensors_find(&reference, name),
                           &table);
    }
    for (int i = 0; i < model->graph->outputs.count; i++) {
        const char *name = graph->outputs.items[graph->outputs.count - model->graph->outputs.count + i].name;
        const char *own = model->graph->outputs.items[i].name;
        print_compared_row(own, "  as built", cai_tensors_find(&whole, own),
                           cai_tensors_find(&reference, name), &table);
    }
    printf(
        "values: their root mean square; error: its root mean square as a part of that; largest: the largest difference\n");
    if (table.bad) printf("the first layer past the tolerance of %g is %s\n", TOLERANCE, table.first_bad);
    else printf("all within the tolerance of %g\n", TOLERANCE);
    cai_tensors_close(&layers);
    cai_tensors_close(&whole);
    cai_tensors_close(&reference);
    return table.bad == 0;
}

int run_compare(Session *s, const Model *model, Weights *weights, int first) {
    const char *temporary = getenv("TMPDIR");
    char *folder =
        arena_printf(s->arena, "%s/cai-compare-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) {
        diag_error(&s->diag, DIAG_compare, (Span){0}, "%s cannot be made: %s", folder, strerror(errno));
        return session_end(s);
    }
    const char *files[] = {arena_printf(s->arena, "%s/layers.safetensors", folder),
                           arena_printf(s->arena, "%s/whole.safetensors", folder),
                           arena_printf(s->arena, "%s/reference.safetensors", folder)};
    Graph *layers = with_outputs(s, model, true), *whole = with_outputs(s, model, false);
    bool good = run_variant(s, layers, weights, first, folder, files[0]) &&
                run_variant(s, whole, weights, first, folder, files[1]) &&
                run_reference(s, layers, weights, with_output(s, layers->model, first, files[2])) &&
                print_compared_table(s, layers, model, files);
    for (int i = 0; i < COUNT_OF(files); i++) unlink(files[i]);
    rmdir(folder);
    int code = session_end(s);
    return code == EXIT_GOOD && !good ? EXIT_DIAGNOSED : code;
}
