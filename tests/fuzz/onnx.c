/* Any bytes as an ONNX file: it is refused with words, or the text that is written of it
 * is read again without a word. */
#include "fuzz.h"
#include "import/import.h"

enum { PATIENCE = 200 };

static void read_again(Arena *arena, Names *names, const char *text, const ElaborateOptions *options) {
    Diagnostics diag = {.arena = arena};
    Library *library = library_of_text(arena, names, &diag, text, options);
    if (!diag.errors) elaborate_model(library, 0);
    diag_print(&diag, diag.errors ? stderr : fuzz_nowhere(), DIAG_TEXT, false);
    DEMAND(diag.errors == 0);
}

void fuzz_onnx(const unsigned char *bytes, size_t count) {
    Arena *arena = arena_new();
    Names *names = names_new(arena);
    Diagnostics diag = {.arena = arena};
    const ImportOptions options = {
        .model = "m", .partial = count % 2, .elaborate = {.stdlib_dir = "stdlib", .patience = PATIENCE}};
    Import im;
    Written written = {0};
    if (import_onnx(arena, names, &diag, "/nowhere/x.onnx", bytes, count, &options, &im, &written)) {
        const ElaborateOptions again = {.stdlib_dir = "stdlib"};
        read_again(arena, names, written.text, &again);
    } else DEMAND(diag.errors > 0);
    diag_print(&diag, fuzz_nowhere(), DIAG_TEXT, false);
    arena_free(arena);
}
