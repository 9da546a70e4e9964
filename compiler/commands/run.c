/* cai run: builds a program into the cache, unless it is there already, and runs it. */
#include "commands/commands.h"

static void add_labels(Text *key, const Graph *graph) {
    for (int i = 0; i < graph->outputs.count; i++) {
        const Port *output = &graph->outputs.items[i];
        key_add_words(key, output->labels, output->labels ? output->label_count : 0);
    }
}

typedef struct Network {
    Session *session;
    Graph *graph;
    Weights *weights;
} Network;

static bool build_network(void *context, const char *path) {
    const Network *network = context;
    return build_program(network->session, network->graph, network->weights, path);
}

static int run_built(Session *s, const Library *library, Graph *graph, Weights *weights, int first) {
    const Target *target = build_target(s);
    if (!target) return session_end(s);
    Text key = program_key(s, library, target, graph->model);
    add_labels(&key, graph);
    weights_identity(weights, &key);
    Network network = {s, graph, weights};
    return run_cached(s, graph->model, &key, build_network, &network, first);
}

int command_run(Session *session) {
    const Options *o = session->options;
    if (o->init && o->weights.count > 0)
        return session_usage(session, "--weights and --init exclude each other");
    if (o->reference && o->compare)
        return session_usage(session, "--compare runs the reference too: leave --reference out");
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
        /* after the results: some errors are known only when weights are read */
        int reported = session_end(session);
        if (code == EXIT_GOOD) code = reported;
    } else {
        code = run_built(session, library, model->graph, weights, named);
    }
    weights_close(weights);
    return code;
}
