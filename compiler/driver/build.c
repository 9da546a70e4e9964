/* The pipeline: from a .cai file to a program or a library. build() has all stages in
 * order; docs/how-it-works.md explains them. */
#include "codegen/emit.h"
#include "driver/driver.h"
#include "export/export.h"
#include "kernels/kernels.h"
#include "passes/passes.h"
#include <stdlib.h>
#include <sys/stat.h>

/* ---- language to graph ---- */

Library *build_open(Session *s) {
    ElaborateOptions options = {.stdlib_dir = s->stdlib_dir,
                                .find_rate = s->options->find_rate,
                                .parts = s->options->parts,
                                .defines = s->options->defines.items,
                                .define_count = s->options->defines.count};
    Stopwatch watch = stopwatch_start();
    Library *library = library_open(s->arena, s->names, &s->diag, s->options->file, &options);
    stopwatch_lap(s, &watch, "parse");
    return library;
}

/* Of several models the one with the name of the file is meant: unet in unet.cai. */
static bool is_file_name(const char *model, const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t length = strlen(model);
    return strncmp(base, model, length) == 0 && strcmp(base + length, ".cai") == 0;
}

int build_pick(Session *s, Library *library, const char *name) {
    if (s->diag.errors) return 0; /* the model may be in a part that could not be parsed */
    int count = library_model_count(library);
    const char **names = NEW_ARRAY(s->arena, const char *, count);
    for (int i = 0; i < count; i++) {
        names[i] = library_model_name(library, i);
        if (name ? strcmp(names[i], name) == 0 : is_file_name(names[i], s->options->file)) return i;
    }
    if (!name && count == 1) return 0;
    const char *path = s->options->file;
    Diagnostic *d =
        count == 0 ? diag_error(&s->diag, DIAG_no_model, (Span){0}, "%s has no model to build", path)
        : name     ? diag_error(&s->diag, DIAG_no_model, (Span){0}, "%s has no model `%s`", path, name)
               : diag_error(&s->diag, DIAG_which_model, (Span){0}, "%s has %d models: say which one is meant",
                            path, count);
    Text all = {.arena = s->arena};
    for (int i = 0; i < count; i++) text_add(&all, "%s%s", i ? ", " : "", names[i]);
    const char *nearest = name ? nearest_name(name, names, count) : NULL;
    if (count) diag_note(&s->diag, d, (Span){0}, "its models: %s", text_string(&all));
    if (nearest) diag_help(&s->diag, d, "did you mean `%s`?", nearest);
    else if (count == 0)
        diag_help(&s->diag, d, "a model begins with `model name(x: image[N, 3, H, W]) -> y: ... {`");
    return -1;
}

bool build_elaborate_all(Session *s, Library *library, ModelList *models) {
    Stopwatch watch = stopwatch_start();
    for (int i = 0; i < library_model_count(library); i++)
        vec_push(s->arena, models, elaborate_model(library, i));
    if (s->diag.errors == 0) library_check_weights(library, models->items, models->count);
    stopwatch_lap(s, &watch, "elaborate");
    return s->diag.errors == 0;
}

bool build_can_be_shown(const Session *s, const ModelList *models) {
    for (int i = 0; i < s->diag.list.count; i++) {
        const Diagnostic *d = s->diag.list.items[i];
        if (d->severity == SEVERITY_ERROR && d->code != DIAG_expect) return false;
    }
    for (int i = 0; i < models->count; i++)
        if (!models->items[i]->graph) return false;
    return true;
}

Weights *build_weights(Session *s, const ModelList *models, int built) {
    WeightOptions options = {s->options->weights.items, s->options->weights.count, s->options->rename,
                             s->options->init};
    return weights_open(s->arena, s->names, &s->diag, models->items, models->count, built, &options);
}

/* ---- graph to program ---- */

Graph *build_passes(Session *s, Graph *graph, const char *after) {
    PassOptions options = {
        .after = after, .verify = getenv("CAI_VERIFY") != NULL, .time = s->options->time_passes};
#ifndef NDEBUG
    options.verify = true;
#endif
    return passes_run(graph, &options);
}

const Target *build_target(Session *s) {
    const char *name = s->options->target ? s->options->target : "native";
    const Target *target = target_find(name);
    if (!target) {
        Diagnostic *d = diag_error(&s->diag, DIAG_target, (Span){0}, "there is no target `%s`", name);
        diag_help(&s->diag, d, "the targets are %s", target_names(s->arena));
    }
    return target;
}

static bool build_failed(Session *s, DiagCode code, const char *error) {
    diag_error(&s->diag, code, (Span){0}, "%s", error);
    return false;
}

static bool make_model_code(Session *s, const Program *program, const char *path, CodeSize *size) {
    const char *error = "";
    Stopwatch watch = stopwatch_start();
    CacheHits hits = {0};
    EmitOptions options = {.verify = getenv("CAI_VERIFY") != NULL,
                           .progress = progress_kernels,
                           .size = size,
                           .cache = kernel_cache(s),
                           .hits = &hits};
    bool emitted = backend_object(program, &options, path, &error);
    progress_end();
    if (!emitted) return build_failed(s, DIAG_backend, error);
    stopwatch_lap_with(s, &watch, "code",
                       arena_printf(s->arena, "%d kernels, %d from the cache", hits.all, hits.found));
    return true;
}

static void explain_size(const Program *program, CodeSize size, const char *output) {
    struct stat status;
    if (stat(output, &status) != 0) return;
    int64_t runtime = (int64_t)status.st_size - (int64_t)(size.code + size.tables + program->weights_bytes);
    printf(
        "program     %10.3f MB: weights %.3f (before packing %.3f), code %.3f, tables %.3f, runtime %.3f\n",
        (double)status.st_size / 1e6, (double)program->weights_bytes / 1e6,
        (double)program->raw_weights_bytes / 1e6, (double)size.code / 1e6, (double)size.tables / 1e6,
        (double)runtime / 1e6);
}

LowerOptions build_lowering(const Session *s, const Target *target) {
    int winograd = s->options->no_winograd ? WINOGRAD_NEVER : 0;
    return (LowerOptions){.target = target,
                          .table = &kernel_table,
                          .blas = s->options->blas,
                          .winograd = winograd,
                          .parts = s->options->parts};
}

bool build_program(Session *s, Graph *graph, Weights *weights, const char *path) {
    const Target *target = build_target(s);
    Output output = output_plan(s, graph->model, path);
    if (!target || !output_check(s, &output)) return false;
    const RefSource values = weights_source(weights);
    graph->weights = arena_copy(s->arena, &values, sizeof values);
    /* rewrites: constants, cancelling operations, operations that fold into weights */
    graph = build_passes(s, graph, NULL);
    Stopwatch watch = stopwatch_start();
    LowerOptions options = build_lowering(s, target);
    Program *program = lower(graph, &options, s->arena); /* kernels, layouts, tiles, buffers */
    stopwatch_lap(s, &watch, "lower");
    if (s->options->explain) program_explain(program, stdout);
    const char *code = scratch_file(s, output.path, "code.o");
    CodeSize size = {0};
    bool good = make_model_code(s, program, code, &size) /* instructions and tables */
                /* with the runtime and packed weights, a static program, a library or a
                 * wheel */
                && output_make(s, program, weights, code, &output);
    scratch_remove();
    if (good && s->options->explain) explain_size(program, size, output.path);
    return good;
}

bool build_onnx(Session *s, const Graph *graph, Weights *weights, const char *path) {
    const Output output = output_plan(s, graph->model, path);
    const ExportOptions options = {.path = output.path,
                                   .opset = s->options->opset ? atoi(s->options->opset) : USUAL_OPSET,
                                   .external = s->options->external_data,
                                   .weights = weights_source(weights)};
    Stopwatch watch = stopwatch_start();
    bool good = output_check(s, &output) && export_onnx(&s->diag, graph, &options);
    stopwatch_lap(s, &watch, "onnx");
    return good;
}

/* ---- the pipeline with its exits: --emit and --after print the result of a stage, and stop there ---- */

static bool print_emitted_program(Session *s, Graph *graph, const char *emit) {
    const Target *target = build_target(s);
    if (!target) return false;
    LowerOptions lowering = build_lowering(s, target);
    Program *program = lower(build_passes(s, graph, NULL), &lowering, s->arena);
    if (strcmp(emit, "program") == 0) {
        program_print(program, stdout);
        return true;
    }
    const char *error = "";
    EmitOptions options = {.emit = emit, .print = stdout, .verify = getenv("CAI_VERIFY") != NULL};
    return backend_object(program, &options, NULL, &error) || build_failed(s, DIAG_backend, error);
}

bool build_print(Session *s, Graph *graph) {
    const char *emit = s->options->emit;
    if (s->options->after || strcmp(emit, "graph") == 0) {
        if (s->options->after) graph = build_passes(s, graph, s->options->after);
        graph_print(graph, stdout);
        return true;
    }
    return print_emitted_program(s, graph, emit);
}

/* ---- a file's train block ---- */

bool build_has_model(const Library *library, const char *name) {
    for (int i = 0; i < library_model_count(library); i++)
        if (strcmp(library_model_name(library, i), name) == 0) return true;
    return false;
}

/* Named, and no model; or not named, and the file has no model. */
static bool is_trainer(const Library *library, const char *name) {
    if (!name) return library_model_count(library) == 0 && library_train_count(library) > 0;
    return !build_has_model(library, name) && trainer_find(library, name) >= 0;
}

static bool is_kind(const Session *s, OutputKind wanted) {
    OutputKind kind;
    return output_kind(s->options->kind, &kind) && kind == wanted;
}

static bool build_block(Session *s, Library *library, const char *name, const char *output) {
    if (is_kind(s, OUTPUT_ONNX))
        return build_failed(s, DIAG_no_model, "a train block has no form in ONNX: name a model of the file");
    int index = trainer_pick(s, library, name);
    Training *training = index < 0 ? NULL : elaborate_training(library, index);
    if (!training) return false;
    return s->options->emit || s->options->after ? print_trainer(s, library, training)
                                                 : build_trainer(s, library, training, output);
}

bool build(Session *s, const char *model, const char *output) {
    Stopwatch whole = stopwatch_start();
    Library *library = build_open(s); /* text to syntax trees: the file, and what it uses */
    if (!library) return false;
    if (s->options->emit && strcmp(s->options->emit, "ast") == 0) {
        if (s->diag.errors == 0) ast_print(library_file(library), stdout);
        return s->diag.errors == 0;
    }
    if (is_trainer(library, model)) return build_block(s, library, model, output);
    int index = build_pick(s, library, model);
    ModelList models = {0};
    /* runs the language: graphs, shapes checked */
    if (index < 0 || !build_elaborate_all(s, library, &models)) return false;
    Graph *graph = models.items[index]->graph;
    if (s->options->emit || s->options->after) return build_print(s, graph);
    Weights *weights = build_weights(s, &models, index); /* every parameter's value, by name */
    if (!weights) return false;
    bool good = is_kind(s, OUTPUT_ONNX)
                    ? build_onnx(s, graph, weights, output)
                    : build_program(s, graph, weights, output); /* the rest of the pipeline */
    weights_close(weights);
    stopwatch_lap(s, &whole, "total");
    return good;
}
