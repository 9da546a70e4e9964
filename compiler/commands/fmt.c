/* cai fmt: brings .cai files to their canonical form. */
#include "commands/commands.h"
#include "runtime.h"

static const char *read_source(Session *s, const char *path, size_t *length) {
    cai_file file;
    cai_error error;
    if (!cai_file_read(path, &file, &error)) {
        diag_error(&s->diag, DIAG_no_such_file, (Span){0}, "%s", error.message);
        return NULL;
    }
    const char *text = arena_strndup(s->arena, (const char *)file.data, file.count);
    *length = file.count;
    cai_file_close(&file);
    return text;
}

/* Writes it, or with --check says that it would; true where nothing went wrong and, with --check, nothing would change. */
static bool format_file(Session *s, const char *path) {
    size_t length = 0;
    int errors = s->diag.errors;
    const char *text = read_source(s, path, &length);
    const char *formatted = text ? format_source(s->arena, s->names, &s->diag, source_new(s->arena, path, text, length)) : NULL;
    if (!formatted || s->diag.errors > errors) return false;
    const bool standard = strcmp(path, "-") == 0, same = strlen(formatted) == length && memcmp(formatted, text, length) == 0;
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
    for (int i = 0; i < session->options->rest.count; i++) good = format_file(session, session->options->rest.items[i]) && good;
    int code = session_end(session);
    return code == EXIT_GOOD && !good ? EXIT_DIAGNOSED : code;
}
