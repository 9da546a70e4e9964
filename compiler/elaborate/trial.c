/* A model that grows statement by statement: for code that writes text of the language
 * and asks for the result of each step. */
#include "elaborate/evaluator.h"

struct Trial {
    Evaluator ev;
    Diagnostics diag; /* of the current step */
    Library *library;
};

static File *parse_text(Trial *trial, const char *text) {
    return parse_file(trial->ev.arena, trial->ev.names, &trial->diag,
                      source_new(trial->ev.arena, "", text, strlen(text)));
}

/* The first error of the step, or NULL; forgets all errors of the step. */
static const char *first_error(Trial *trial) {
    Diagnostics diag = trial->diag;
    trial->diag = (Diagnostics){.arena = diag.arena};
    trial->library->reported = map_new(diag.arena);
    trial->ev.stopped = false;
    for (int i = 0; i < diag.list.count; i++)
        if (diag.list.items[i]->severity == SEVERITY_ERROR) return diag.list.items[i]->text;
    return NULL;
}

Trial *trial_begin(Arena *arena, Names *names, const ElaborateOptions *options, const char *signature,
                   const char **why) {
    Trial *trial = NEW(arena, Trial);
    trial->diag.arena = arena;
    const char *text = arena_printf(arena, "%s {\n}\n", signature);
    trial->library = library_of_text(arena, names, &trial->diag, text, options);
    if (trial->library->broken || trial->library->models.count != 1) {
        *why = first_error(trial);
        return NULL;
    }
    Definition *model = trial->library->models.items[0];
    evaluator_begin(&trial->ev, trial->library, model);
    bind_inputs(&trial->ev, model->decl);
    *why = first_error(trial);
    return *why ? NULL : trial;
}

Dims *trial_dims(const Trial *trial) { return trial->ev.dims; }

const char *trial_run(Trial *trial, const char *statement) {
    const File *file = parse_text(trial, arena_printf(trial->ev.arena, "block step() {\n%s\n}\n", statement));
    const char *why = first_error(trial);
    if (why) return why;
    trial->ev.rounds = trial->ev.cells = 0;
    execute_all(&trial->ev, &file->decls.items[0]->body);
    return first_error(trial);
}

const Node *trial_node(Trial *trial, Name name) {
    const Value *bound = frame_find(&trial->ev, trial->ev.frame, name);
    const Value value = bound ? settle(&trial->ev, *bound) : value_none; /* of a weight its value */
    return value.kind == VALUE_TENSOR ? value.node : NULL;
}

bool trial_shape(Trial *trial, Name name, Shape *out) {
    const Node *node = trial_node(trial, name);
    if (node) *out = node->shape;
    return node != NULL;
}
