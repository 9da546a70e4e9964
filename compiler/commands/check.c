/* cai check: reads a file and reports its mistakes. */
#include "commands/commands.h"
#include "elaborate/training.h"

static void show_entry(const char *what, const TrainingEntry *entry) {
    if (!entry->graph) return;
    printf("# %s\n", what);
    graph_print(entry->graph, stdout);
}

static void show_training(const Training *training, const char *emit) {
    if (!training || !emit) return;
    for (int i = 0; i < training->phases.count; i++) {
        const TrainingPhase *phase = &training->phases.items[i];
        show_entry("once", &phase->once);
        show_entry("once for all steps", &phase->kept);
        show_entry("step", &phase->step);
        for (int k = 0; k < phase->measures.count; k++) {
            show_entry("measure: a batch", &phase->measures.items[k].batch);
            show_entry("measure: the whole", &phase->measures.items[k].last);
        }
    }
}

int command_check(Session *session) {
    const char *emit = session->options->emit;
    if (session->options->rest.count > 0)
        return session_usage(session, "one FILE is checked, and `%s` is one more",
                             session->options->rest.items[0]);
    if (emit && strcmp(emit, "ast") != 0 && strcmp(emit, "graph") != 0)
        return session_usage(session, "--emit is `ast` or `graph` here, not `%s`", emit);
    Library *library = build_open(session);
    ModelList models = {0};
    bool tree = emit && strcmp(emit, "ast") == 0,
         good =
             library && (tree ? session->diag.errors == 0 : build_elaborate_all(session, library, &models));
    if (good && !emit) library_check_variants(library, models.items, models.count);
    for (int i = 0; library && !tree && i < library_train_count(library); i++) {
        const Training *training = elaborate_training(library, i);
        if (training && good) library_check_trained(library, training, models.items, models.count);
        show_training(training, emit);
    }
    if (good && tree) ast_print(library_file(library), stdout);
    for (int i = 0; good && emit && i < models.count; i++) graph_print(models.items[i]->graph, stdout);
    return session_end(session);
}
