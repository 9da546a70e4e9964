/* cai import: writes a model of another format as a .cai file and a file of weights. */
#include "commands/commands.h"
#include "import/import.h"

static const char *path_without_ending(Arena *arena, const char *path, const char *ending) {
    const size_t length = strlen(path), cut = strlen(ending);
    return length > cut && !strcmp(path + length - cut, ending) ? arena_strndup(arena, path, length - cut)
                                                                : path;
}

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Checks that the written text has no errors or warnings; otherwise the importer has a
 * bug. */
static void check_written(Session *s, const char *text) {
    Diagnostics diag = {.arena = s->arena};
    const ElaborateOptions options = {.stdlib_dir = s->stdlib_dir};
    Library *library = library_of_text(s->arena, s->names, &diag, text, &options);
    if (!diag.errors) elaborate_model(library, 0);
    if (!diag.errors) return;
    fputs(text, stderr);
    diag_print(&diag, stderr, DIAG_TEXT, false);
    INTERNAL_ERROR("the imported text has errors");
}

static bool write_files(Session *s, Import *im, const Written *written, const char *path) {
    cai_error error;
    if (!strcmp(path, "-")) {
        fputs(written->text, stdout);
        return true;
    }
    const char *weights =
        arena_printf(s->arena, "%s.safetensors", path_without_ending(s->arena, path, ".cai"));
    if (written->weights.count && !import_write_weights(im, written, weights)) return false;
    if (!cai_file_write(path, written->text, strlen(written->text), &error)) {
        diag_error(&s->diag, DIAG_file, (Span){0}, "%s", error.message);
        return false;
    }
    if (!written->weights.count) printf("%s is written: it has no weights\n", path);
    else
        printf("%s is written, and its weights, %s:\n  cai build %s --weights %s\n", path, weights, path,
               weights);
    return true;
}

int command_import(Session *session) {
    const char *file = session->options->file, *output = session->options->output;
    const char *name = path_without_ending(session->arena, file, ".onnx");
    if (session->options->rest.count)
        return session_usage(session, "only one FILE is read, and `%s` is a second one",
                             session->options->rest.items[0]);
    if (!output) output = arena_printf(session->arena, "%s.cai", name);
    cai_file bytes;
    cai_error error;
    if (!cai_file_map(file, &bytes, &error)) {
        diag_error(&session->diag, DIAG_no_such_file, (Span){0}, "%s", error.message);
        return session_end(session);
    }
    Import im;
    Written written = {0};
    const char *named = strcmp(output, "-") ? path_without_ending(session->arena, output, ".cai") : name;
    const ImportOptions options = {
        base_of(named),
        session->options->partial,
        {session->stdlib_dir, session->options->defines.items, session->options->defines.count, 0, false, 0},
        session->options->images,
        session->options->outputs};
    if (import_onnx(session->arena, session->names, &session->diag, file, bytes.data, bytes.count, &options,
                    &im, &written)) {
        check_written(session, written.text);
        write_files(session, &im, &written, output);
    }
    cai_file_close(&bytes);
    return session_end(session);
}
