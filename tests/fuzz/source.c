/* Any bytes as source: parsed, printed, and complained of in both forms. Every error has words and a place. */
#include "fuzz.h"
#include "syntax/syntax.h"

void fuzz_source(const unsigned char *bytes, size_t count) {
    Arena *arena = arena_new();
    Diagnostics diag = {.arena = arena};
    const char *text = arena_strndup(arena, (const char *)bytes, count);
    Source *source = source_new(arena, "fuzz.cai", text, count);
    File *file = parse_file(arena, names_new(arena), &diag, source);
    DEMAND(file != NULL);
    if (diag.errors == 0) ast_print(file, fuzz_nowhere());
    for (int i = 0; i < diag.list.count; i++) {
        const Diagnostic *d = diag.list.items[i];
        DEMAND(*d->text && d->span.source == source && d->span.begin <= d->span.end && d->span.begin <= count);
    }
    diag_print(&diag, fuzz_nowhere(), DIAG_TEXT, true);
    diag_print(&diag, fuzz_nowhere(), DIAG_JSON, false);
    arena_free(arena);
}
