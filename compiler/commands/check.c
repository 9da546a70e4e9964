/* cai check: reads a file and says what is wrong with it. */
#include "commands/commands.h"

int command_check(Session *session) {
    const char *emit = session->options->emit;
    if (session->options->rest.count > 0) return session_usage(session, "one FILE is checked, and `%s` is one more", session->options->rest.items[0]);
    if (emit && strcmp(emit, "ast") != 0 && strcmp(emit, "graph") != 0) return session_usage(session, "--emit is `ast` or `graph` here, not `%s`", emit);
    Library *library = build_open(session);
    ModelList models = {0};
    if (library && emit && strcmp(emit, "ast") == 0) ast_print(library_file(library), stdout);
    else if (library && build_elaborate_all(session, library, &models) && emit)
        for (int i = 0; i < models.count; i++) graph_print(models.items[i]->graph, stdout);
    return session_end(session);
}
