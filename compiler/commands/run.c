/* cai run: builds a program into the cache, unless it is there already, and runs it. */
#include "commands/commands.h"
#include <stdlib.h>
#include <unistd.h>

static uint64_t hash_labels(const Graph *graph, uint64_t hash) {
    for (int i = 0; i < graph->outputs.count; i++)
        for (int k = 0; graph->outputs.items[i].labels && k < graph->outputs.items[i].label_count; k++)
            hash = hash_text(graph->outputs.items[i].labels[k], hash);
    return hash;
}

/* Everything that can change the program. */
static uint64_t content_hash(Session *s, const Library *library, const Graph *graph, const Weights *weights, const Target *target) {
    uint64_t own = weights_identity(weights);
    return hash_bytes(&own, sizeof own, hash_labels(graph, cached_identity(s, library, target, graph->model)));
}

static int run_built(Session *s, const Library *library, Graph *graph, Weights *weights, int first) {
    const Target *target = build_target(s);
    const char *folder = target ? program_cache(s) : NULL;
    if (!folder) return session_end(s);
    const char *program = cached_path(s, folder, graph->model, content_hash(s, library, graph, weights, target));
    if (access(program, X_OK) != 0 && build_program(s, graph, weights, program)) cached_trim(s, folder);
    return cached_run(s, program, graph->model, first);
}

int command_run(Session *session) {
    const Options *o = session->options;
    if (o->init && o->weights.count > 0) return session_usage(session, "--weights and --init exclude each other");
    if (o->reference && o->compare) return session_usage(session, "--compare runs the reference too: leave --reference out");
    Library *library = build_open(session);
    if (!library) return session_end(session);
    bool named = o->rest.count > 0 && build_has_model(library, o->rest.items[0]);
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
