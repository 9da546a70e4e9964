/* cai run: builds a program into the cache, unless it is there already, and runs it. */
#include "object/object.h"
#include "commands/commands.h"
#include <dirent.h>
#include <fcntl.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what the program is made from ---- */

static void add_key_figure(Text *key, uint64_t figure) { text_add_bytes(key, (const char *)&figure, sizeof figure); }

static void add_key_bytes(Text *key, const char *bytes, size_t count) {
    add_key_figure(key, count);
    text_add_bytes(key, bytes, count);
}

static void add_key_words(Text *key, const char *const *words, int count) {
    add_key_figure(key, (uint64_t)count);
    for (int i = 0; i < count; i++) add_key_bytes(key, words[i] ? words[i] : "", words[i] ? strlen(words[i]) : 0);
}

static void add_key_labels(Text *key, const Graph *graph) {
    for (int i = 0; i < graph->outputs.count; i++) {
        const Port *output = &graph->outputs.items[i];
        add_key_words(key, output->labels, output->labels ? output->label_count : 0);
    }
}

/* Everything that can change the program: this compiler, the sources, the options, the weights. */
static Text content_key(Session *s, const Library *library, const Graph *graph, const Weights *weights, const Target *target) {
    const Options *o = s->options;
    Text key = {.arena = s->arena};
    add_key_figure(&key, compiler_identity());
    add_key_figure(&key, file_identity(arena_printf(s->arena, "%s/libcai_runtime.a", session_runtime(s, target)), 0));
    for (int i = 0; library_source(library, i); i++) {
        add_key_words(&key, &library_source(library, i)->path, 1);
        add_key_bytes(&key, library_source(library, i)->text, library_source(library, i)->length);
    }
    for (int i = 0; i < o->defines.count; i++)
        add_key_words(&key, (const char *[]){o->defines.items[i].name, o->defines.items[i].value}, 2);
    add_key_words(&key, (const char *[]){target->llvm_cpu, target->llvm_features, graph->model}, 3);
    add_key_figure(&key, o->blas);
    add_key_figure(&key, o->no_winograd);
    add_key_labels(&key, graph);
    weights_identity(weights, &key);
    return key;
}

/* ---- running ---- */

char **run_arguments(Session *s, const char *name, int first) {
    int count = s->options->rest.count - first;
    char **arguments = NEW_ARRAY(s->arena, char *, count + 2);
    arguments[0] = arena_printf(s->arena, "%s", name);
    for (int i = 0; i < count; i++) arguments[i + 1] = arena_printf(s->arena, "%s", s->options->rest.items[first + i]);
    return arguments;
}

static int run_built(Session *s, const Library *library, Graph *graph, Weights *weights, int first) {
    const Target *target = build_target(s);
    const char *folder = target ? program_cache(s) : NULL;
    if (!folder) return session_end(s);
    Text key = content_key(s, library, graph, weights, target);
    const char *program = program_cached(s, folder, graph->model, &key);
    if (!program_find(program, &key)) program_store(s, graph, weights, program, &key);
    int code = session_end(s);
    if (code != EXIT_GOOD) return code;
    char **arguments = run_arguments(s, graph->model, first);
    fflush(stdout);
    execv(program, arguments);
    fprintf(stderr, "cai run: %s cannot be run: %s\n", program, strerror(errno));
    return EXIT_DIAGNOSED;
}

static bool is_model(const Library *library, const char *name) {
    for (int i = 0; i < library_model_count(library); i++)
        if (strcmp(library_model_name(library, i), name) == 0) return true;
    return false;
}

int command_run(Session *session) {
    const Options *o = session->options;
    if (o->init && o->weights.count > 0) return session_usage(session, "--weights and --init exclude each other");
    if (o->reference && o->compare) return session_usage(session, "--compare runs the reference too: leave --reference out");
    Library *library = build_open(session);
    if (!library) return session_end(session);
    bool named = o->rest.count > 0 && is_model(library, o->rest.items[0]);
    int index = build_pick(session, library, named ? o->rest.items[0] : NULL);
    ModelList models = {0};
    if (index < 0 || !build_elaborate_all(session, library, &models)) return session_end(session);
    Weights *weights = build_weights(session, &models, index);
    if (!weights) return session_end(session);
    Model *model = models.items[index];
    int code;
    if (o->compare) {
        code = run_compare(session, model, weights, named);
    } else if (o->reference) {
        char **arguments = run_arguments(session, model->graph->model, named);
        code = reference_main(session, model->graph, weights, o->rest.count - named + 1, arguments);
        int reported = session_end(session); /* behind the results: some of it is known only when weights are read */
        if (code == EXIT_GOOD) code = reported;
    } else {
        code = run_built(session, library, model->graph, weights, named);
    }
    weights_close(weights);
    return code;
}
