/* The pipeline of a train block: lowers its entries to programs, and links these into one
 * trainer. */
#include "codegen/emit.h"
#include "driver/driver.h"
#include "kernels/kernels.h"
#include "passes/passes.h"
#include <stdlib.h>

/* ---- the block to build ---- */

int trainer_find(const Library *library, const char *name) {
    for (int i = 0; i < library_train_count(library); i++)
        if (strcmp(library_train_name(library, i), name) == 0) return i;
    return -1;
}

int trainer_pick(Session *s, const Library *library, const char *name) {
    int count = library_train_count(library), found = name         ? trainer_find(library, name)
                                                      : count == 1 ? 0
                                                                   : -1;
    if (s->diag.errors || found >= 0) return s->diag.errors ? -1 : found;
    const char *path = s->options->file;
    Text all = {.arena = s->arena};
    for (int i = 0; i < count; i++) text_add(&all, "%s%s", i ? ", " : "", library_train_name(library, i));
    if (count == 0) {
        Diagnostic *d = diag_error(&s->diag, DIAG_no_trainer, (Span){0}, "%s has no train block", path);
        diag_help(
            &s->diag, d,
            "one begins with `train name(N = 64)(x: image[N, 3, H, W], label: i32[N]) for 10 epochs {`");
        return -1;
    }
    Diagnostic *d =
        name ? diag_error(&s->diag, DIAG_no_trainer, (Span){0}, "%s has no train block `%s`", path, name)
             : diag_error(&s->diag, DIAG_which_trainer, (Span){0},
                          "%s has %d train blocks: say which one is meant", path, count);
    diag_note(&s->diag, d, (Span){0}, "its train blocks: %s", text_string(&all));
    return -1;
}

/* ---- the identity of a run ---- */

/* A hash of cai's version, the block's name, its settings, and the texts that were read
 * for it, wherever they are. */
static uint64_t identity_of(const Library *library, const Training *training) {
    uint64_t hash = hash_text(CAI_VERSION, hash_text(training->settings, hash_text(training->name, 0)));
    for (int i = 0; library_source(library, i); i++)
        hash = hash_bytes(library_source(library, i)->text, library_source(library, i)->length, hash);
    return hash;
}

/* ---- entries to programs ---- */

typedef struct Lowering {
    Session *session;
    Trainer *trainer;
    LowerOptions options;
} Lowering;

static void lower_entry(void *context, const TrainingEntry *entry) {
    Lowering *l = context;
    trainer_lower(l->trainer, entry, build_passes(l->session, entry->graph, NULL), &l->options,
                  l->session->arena);
}

static bool needs_more_guards(Session *s, const Training *training) {
    for (int i = 0; i < training->phases.count; i++) {
        if (training->phases.items[i].guards.count <= MAX_GUARDS) continue;
        diag_error(&s->diag, DIAG_backend, training->decl->name_span,
                   "a phase has %d different intervals of `every`, and %d are the most",
                   training->phases.items[i].guards.count, MAX_GUARDS);
        return true;
    }
    return false;
}

static Trainer *make_trainer(Session *s, const Library *library, const Training *training) {
    const Target *target = build_target(s);
    if (!target || needs_more_guards(s, training)) return NULL;
    Trainer *trainer = NEW(s->arena, Trainer);
    const Source *source = library_file(library)->source;
    *trainer = (Trainer){.training = training,
                         .text = arena_strndup(s->arena, source->text, source->length),
                         .identity = identity_of(library, training)};
    Lowering l = {s, trainer, build_lowering(s, target)};
    l.options.names = map_new(s->arena);
    Stopwatch watch = stopwatch_start();
    trainer_each_entry(training, lower_entry, &l);
    stopwatch_lap(s, &watch, "lower");
    return trainer;
}

/* ---- the pipeline ---- */

static bool emit_trainer(Session *s, const Trainer *trainer, EmitOptions options, const char *path) {
    const char *error = "";
    Stopwatch watch = stopwatch_start();
    CacheHits hits = {0};
    options.verify = getenv("CAI_VERIFY") != NULL;
    options.hits = &hits;
    bool emitted = backend_trainer(trainer, &options, path, &error);
    progress_end();
    stopwatch_lap_with(s, &watch, "code",
                       arena_printf(s->arena, "%d kernels, %d from the cache", hits.all, hits.found));
    if (!emitted) diag_error(&s->diag, DIAG_backend, (Span){0}, "%s", error);
    return emitted;
}

static void explain_trainer(const Trainer *trainer) {
    for (int i = 0; i < trainer->programs.count; i++) {
        printf("%s%s\n", i ? "\n" : "", trainer->programs.items[i]->graph->model);
        program_explain(trainer->programs.items[i], stdout);
    }
}

bool build_trainer(Session *s, const Library *library, const Training *training, const char *path) {
    const Output output = output_plan(s, training->name, path);
    if (output.kind != OUTPUT_PROGRAM) {
        diag_error(&s->diag, DIAG_output, training->decl->name_span,
                   "a train block becomes a program, and --kind is `%s`", s->options->kind);
        return false;
    }
    if (!output_check(s, &output)) return false;
    Trainer *trainer = make_trainer(s, library, training);
    if (!trainer) return false;
    if (s->options->explain) explain_trainer(trainer);
    const char *code = scratch_file(s, output.path, "code.o");
    bool good = emit_trainer(s, trainer,
                             (EmitOptions){.progress = progress_kernels, .cache = kernel_cache(s)}, code) &&
                output_make_trainer(s, trainer->programs.items[0]->target, code, &output);
    scratch_remove();
    return good;
}

static void print_graph(void *context, const TrainingEntry *entry) {
    Session *s = context;
    graph_print(s->options->after ? build_passes(s, entry->graph, s->options->after) : entry->graph, stdout);
}

bool print_trainer(Session *s, const Library *library, const Training *training) {
    const char *stage = s->options->emit;
    if (s->options->after || strcmp(stage, "graph") == 0) {
        trainer_each_entry(training, print_graph, s);
        return true;
    }
    Trainer *trainer = make_trainer(s, library, training);
    if (!trainer) return false;
    if (strcmp(stage, "program") != 0)
        return emit_trainer(s, trainer, (EmitOptions){.emit = stage, .print = stdout}, NULL);
    for (int i = 0; i < trainer->programs.count; i++) program_print(trainer->programs.items[i], stdout);
    return true;
}
