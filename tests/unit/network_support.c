/* See network_support.h. */
#include "network_support.h"

static Graph *elaborate(Library *library, const char *model) {
    for (int i = 0; library && i < library_model_count(library); i++)
        if (!model || strcmp(library_model_name(library, i), model) == 0)
            return elaborate_model(library, i)->graph;
    return NULL;
}

/* Between one half and one, so that variances have roots. */
static void add_weights(TestGraph *t) {
    for (int i = 0; i < t->graph->nodes.count; i++) {
        Node *node = t->graph->nodes.items[i];
        if (node->op == OP_parameter || node->op == OP_state) add_values(t, node, 0.5, 1);
    }
}

TestGraph network_graph(const char *path, const char *model, const char *const *names,
                        const char *const *values, int define_count) {
    TestGraph t = {.arena = arena_new(), .symbols = {1, 1}, .random = 88172645463325252u};
    Names *interned = names_new(t.arena);
    Diagnostics diag = {.arena = t.arena};
    Define *defines = NEW_ARRAY(t.arena, Define, define_count);
    for (int i = 0; i < define_count; i++) defines[i] = (Define){intern(interned, names[i]), values[i]};
    ElaborateOptions options = {.stdlib_dir = "stdlib", .defines = defines, .define_count = define_count};
    t.graph = elaborate(library_open(t.arena, interned, &diag, path, &options), model);
    if (!t.graph || diag.errors) {
        diag_print(&diag, stderr, DIAG_TEXT, false);
        fprintf(stderr, "%s has no model %s\n", path, model ? model : "");
        exit(2);
    }
    t.graph = passes_run(t.graph, &(PassOptions){.verify = false});
    add_weights(&t);
    return t;
}
