/* Any bytes as source: parsed, printed, and complained of in both forms. Every error has
 * words and a place. What has none is formatted, which leaves the tree as it is, and
 * formatted again, which changes nothing; its comments are told as text and as
 * Markdown. */
#include "fuzz.h"
#include "syntax/syntax.h"
#include <stdlib.h>

typedef struct Printed { char *text; size_t length; } Printed;

static Printed print_tree(const File *file) {
    Printed printed = {0};
    FILE *out = open_memstream(&printed.text, &printed.length);
    DEMAND(out);
    ast_print(file, out);
    fclose(out);
    return printed;
}

static void check_format(Arena *arena, Source *source, const File *file) {
    Diagnostics diag = {.arena = arena};
    const char *once = format_source(arena, names_new(arena), &diag, source);
    DEMAND(once && diag.errors == 0);
    Source *formatted = source_new(arena, "fuzz.cai", once, strlen(once));
    const char *twice = format_source(arena, names_new(arena), &diag, formatted);
    DEMAND(twice && strcmp(once, twice) == 0);
    Printed before = print_tree(file),
            after = print_tree(parse_file(arena, names_new(arena), &diag, formatted));
    DEMAND(before.length == after.length && memcmp(before.text, after.text, before.length) == 0);
    free(before.text);
    free(after.text);
}

static void check_comment(Arena *arena, const char *comment) {
    Text text = {.arena = arena};
    doc_add_text(&text, comment, 4, 100);
    doc_add_markdown(&text, comment, false);
    doc_add_markdown(&text, doc_sentence(arena, comment), true);
    DEMAND(text_string(&text));
}

static void check_doc(Arena *arena, Source *source) {
    Diagnostics diag = {.arena = arena};
    const Doc *doc = doc_read(arena, names_new(arena), &diag, source);
    DEMAND(doc && diag.errors == 0);
    if (doc->comment) check_comment(arena, doc->comment);
    for (int i = 0; i < doc->entries.count; i++) {
        DEMAND(*doc->entries.items[i].signature);
        if (doc->entries.items[i].decl->comment) check_comment(arena, doc->entries.items[i].decl->comment);
    }
}

void fuzz_source(const unsigned char *bytes, size_t count) {
    Arena *arena = arena_new();
    Diagnostics diag = {.arena = arena};
    const char *text = arena_strndup(arena, (const char *)bytes, count);
    Source *source = source_new(arena, "fuzz.cai", text, count);
    File *file = parse_file(arena, names_new(arena), &diag, source);
    DEMAND(file != NULL);
    if (diag.errors == 0) {
        check_format(arena, source, file);
        check_doc(arena, source);
    }
    for (int i = 0; i < diag.list.count; i++) {
        const Diagnostic *d = diag.list.items[i];
        DEMAND(*d->text && d->span.source == source && d->span.begin <= d->span.end &&
               d->span.begin <= count);
    }
    diag_print(&diag, fuzz_nowhere(), DIAG_TEXT, true);
    diag_print(&diag, fuzz_nowhere(), DIAG_JSON, false);
    arena_free(arena);
}
