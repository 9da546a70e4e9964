/* What every command needs: memory, diagnostics, and where the library and the runtime lie. */
#include "commands/commands.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *own_folder(Arena *arena) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0) return ".";
    path[length] = 0;
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    return arena_strndup(arena, path, strlen(path));
}

static bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* build/cai stands beside build/runtime and one folder below stdlib/; PREFIX/bin/cai finds both in PREFIX/lib/cai. */
static void find_home(Session *session) {
    const char *home = getenv("CAI_HOME"), *own = own_folder(session->arena);
    if (home && *home) {
        session->stdlib_dir = arena_printf(session->arena, "%s/stdlib", home);
        session->runtime_dir = arena_printf(session->arena, "%s/runtime", home);
        return;
    }
    session->stdlib_dir = arena_printf(session->arena, "%s/../stdlib", own);
    session->runtime_dir = arena_printf(session->arena, "%s/runtime", own);
    if (is_folder(session->stdlib_dir)) return;
    session->stdlib_dir = arena_printf(session->arena, "%s/../lib/cai/stdlib", own);
    session->runtime_dir = arena_printf(session->arena, "%s/../lib/cai/runtime", own);
}

void session_begin(Session *session, const Options *options, Arena *arena, Names *names) {
    *session = (Session){.arena = arena, .names = names, .options = options, .diag = {.arena = arena}};
    find_home(session);
}

int session_end(Session *session) {
    const char *format = session->options->message_format, *no_color = getenv("NO_COLOR");
    bool color = isatty(STDERR_FILENO) && !(no_color && *no_color);
    diag_print(&session->diag, stderr, format && strcmp(format, "json") == 0 ? DIAG_JSON : DIAG_TEXT, color);
    return session->diag.errors ? EXIT_DIAGNOSED : EXIT_GOOD;
}

const char *session_read_file(Session *session, const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    Text text = {.arena = session->arena};
    char bytes[65536];
    size_t got = 0;
    errno = 0;
    while (file && (got = fread(bytes, 1, sizeof bytes, file)) > 0 && text.length <= SOURCE_BYTES_MAX) text_add_bytes(&text, bytes, got);
    bool failed = !file || ferror(file);
    if (failed) diag_error(&session->diag, "file", (Span){0}, "%s cannot be read: %s", path, strerror(errno));
    if (file) fclose(file);
    *length = text.length;
    return failed ? NULL : text_string(&text);
}
