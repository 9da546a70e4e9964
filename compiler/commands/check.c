/* cai check: reads a file and says what is wrong with it. */
#include "commands/commands.h"

int command_check(Session *session) {
    size_t length;
    const char *text = session_read_file(session, session->options->file, &length);
    if (!text) return session_end(session);
    Source *source = source_new(session->arena, session->options->file, text, length);
    File *file = parse_file(session->arena, session->names, &session->diag, source);
    if (session->options->emit && session->diag.errors == 0) ast_print(file, stdout);
    return session_end(session);
}
