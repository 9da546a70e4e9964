/* cai fmt: brings .cai files to their canonical form. */
#include "commands/commands.h"
#include "files/files.h"

/* Formats a file, or with --check reports that it would change; true where there was no
 * error and, with --check, nothing would change. */
static bool format_file(Session *s, const char *path) {
    int errors = s->diag.errors;
    Source *source = session_source(s, path);
    const char *formatted = source ? format_source(s->arena, s->names, &s->diag, source) : NULL;
    if (!formatted || s->diag.errors > errors) return false;
    size_t length = strlen(formatted);
    const bool standard = strcmp(path, "-") == 0,
               same = length == source->length && memcmp(formatted, source->text, length) == 0;
    if (s->options->check) {
        if (!same) printf("%s is not in canonical form: cai fmt %s\n", path, path);
        return same;
    }
    cai_error error;
    if ((same && !standard) || cai_file_write(path, formatted, strlen(formatted), &error)) return true;
    diag_error(&s->diag, DIAG_file, (Span){0}, "%s", error.message);
    return false;
}

int command_fmt(Session *session) {
    bool good = format_file(session, session->options->file);
    for (int i = 0; i < session->options->rest.count; i++)
        good = format_file(session, session->options->rest.items[i]) && good;
    int code = session_end(session);
    return code == EXIT_GOOD && !good ? EXIT_DIAGNOSED : code;
}
