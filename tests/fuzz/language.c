/* Source that mostly parses (mutate.c sees to that), through the elaborator, its summary,
 * the passes, lowering, and now and then the generation of code. `-D NAME=VALUE` in a
 * first line `# cai ...` is obeyed, so that golden files are seeds with their options. A
 * model without a graph has an error with words and a place. */
#include "codegen/emit.h"
#include "kernels/kernels.h"
#include "elaborate/elaborate.h"
#include "elaborate/training.h"
#include "fuzz.h"
#include "passes/passes.h"
#include "plan/plan.h"

enum { MAX_DEFINES = 8, PATIENCE = 200, MAX_LOWERED = 1500, MAX_COMPILED = 40, COMPILED_ONE_IN = 8 };

typedef struct Case {
    Arena *arena;
    Names *names;
    Diagnostics diag;
    Define defines[MAX_DEFINES];
    int define_count;
    uint64_t hash; /* of the text: chooses what is done with it */
} Case;

/* ---- options in the first line ---- */

static void add_define(Case *c, const char *word, size_t length) {
    const char *equals = memchr(word, '=', length);
    if (!equals || equals == word || c->define_count == MAX_DEFINES) return;
    Name name = intern_range(c->names, word, (size_t)(equals - word));
    const char *value = arena_strndup(c->arena, equals + 1, length - (size_t)(equals + 1 - word));
    c->defines[c->define_count++] = (Define){name, value};
}

static void read_defines(Case *c, const char *text) {
    if (strncmp(text, "# cai ", 6) != 0) return;
    const char *end = text + strcspn(text, "\n");
    for (const char *at = strstr(text, "-D"); at && at < end; at = strstr(at, "-D")) {
        at += 2;
        at += strspn(at, " ");
        size_t length = strcspn(at, " \n");
        add_define(c, at, length);
    }
}

/* ---- what is done with a graph ---- */

static void generate(Case *c, const Program *program) {
    EmitOptions options = {.emit = "llvm", .print = fuzz_nowhere(), .verify = true};
    const char *error = "";
    (void)c;
    DEMAND(backend_object(program, &options, NULL, &error));
}

static void compile(Case *c, const Model *model) {
    PassOptions passes = {.verify = true};
    graph_verify(model->graph, "elaborate");
    graph_print(model->graph, fuzz_nowhere());
    if (model->graph->nodes.count > MAX_LOWERED) return;
    Graph *graph = passes_run(model->graph, &passes);
    LowerOptions options = {.table = &kernel_table,
                            .target = target_at((int)(c->hash % (uint64_t)target_count())),
                            .own_slots = c->hash >> 1 & 1};
    Program *program = lower(graph, &options, c->arena);
    program_print(program, fuzz_nowhere());
    program_explain(program, fuzz_nowhere());
    if (graph->nodes.count <= MAX_COMPILED && (c->hash >> 2) % COMPILED_ONE_IN == 0) generate(c, program);
}

static void print_figures(Case *c, const Model *model) {
    for (int i = 0; i < model->layers.count; i++) {
        const LayerInfo *layer = &model->layers.items[i];
        fprintf(fuzz_nowhere(), "%s %s %s %ld\n", layer->path, dim_string(c->arena, layer->parameters),
                dim_string(c->arena, layer->macs), (long)layer->receptive_field);
    }
}

static void check_diagnostics(const Case *c) {
    for (int i = 0; i < c->diag.list.count; i++) {
        const Diagnostic *d = c->diag.list.items[i];
        bool placeless =
            d->code == DIAG_no_such_file || d->code == DIAG_bad_define || d->code == DIAG_unknown_define;
        DEMAND(*d->text && (d->span.source || placeless));
    }
}

static void elaborate_all(Case *c, Library *library) {
    int count = library_model_count(library);
    Model **models = NEW_ARRAY(c->arena, Model *, count);
    for (int i = 0; i < count; i++) {
        models[i] = elaborate_model(library, i);
        DEMAND(models[i]->graph || c->diag.errors);
        if (models[i]->graph) print_figures(c, models[i]);
    }
    for (int i = 0; i < library_train_count(library); i++)
        DEMAND(elaborate_training(library, i) || c->diag.errors);
    if (c->diag.errors || !library_check_weights(library, models, count)) return;
    for (int i = 0; i < count; i++) compile(c, models[i]);
}

void fuzz_language(const unsigned char *bytes, size_t count) {
    Case c = {.arena = arena_new(), .hash = hash_bytes(bytes, count, 1)};
    c.names = names_new(c.arena);
    c.diag.arena = c.arena;
    read_defines(&c, arena_strndup(c.arena, (const char *)bytes, count));
    ElaborateOptions options = {
        .stdlib_dir = "stdlib", .defines = c.defines, .define_count = c.define_count, .patience = PATIENCE};
    const char *path = arena_printf(c.arena, "%s", fuzz_file(".cai", bytes, count));
    Library *library = library_open(c.arena, c.names, &c.diag, path, &options);
    if (library) elaborate_all(&c, library);
    check_diagnostics(&c);
    diag_print(&c.diag, fuzz_nowhere(), DIAG_TEXT, false);
    diag_print(&c.diag, fuzz_nowhere(), DIAG_JSON, false);
    arena_free(c.arena);
}
