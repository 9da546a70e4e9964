/* How diagnostics look. */
#include "syntax/syntax.h"
#include "test.h"
#include <stdlib.h>

typedef struct Fixture {
    Arena *arena;
    Diagnostics diag;
    Source *source;
} Fixture;

static Fixture begin(const char *text) {
    Fixture f = {.arena = arena_new()};
    f.diag.arena = f.arena;
    f.source = source_new(f.arena, "unet.cai", text, strlen(text));
    return f;
}

/* The place of `word` in the source; `skip` earlier ones are passed over. */
static Span find(const Fixture *f, const char *word, int skip) {
    const char *at = strstr(f->source->text, word);
    for (int i = 0; i < skip; i++) at = strstr(at + 1, word);
    uint32_t place = (uint32_t)(at - f->source->text);
    return (Span){f->source, place, place + (uint32_t)strlen(word)};
}

static void end(Fixture *f, DiagFormat format, bool color, const char *expected) {
    char *printed = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&printed, &length);
    diag_print(&f->diag, out, format, color);
    fclose(out);
    CU_ASSERT_STRING_EQUAL(printed, expected);
    if (strcmp(printed, expected) != 0) printf("\nprinted:\n%s\nexpected:\n%s\n", printed, expected);
    free(printed);
    arena_free(f->arena);
}

/* docs/language.md shows this one. */
TEST(labels_note_and_help) {
    Fixture f = begin("\n\n\n\n\n\n  return (e, d) -> concat -> double_conv(c)\n");
    Diagnostic *d =
        diag_error(&f.diag, DIAG_shape, find(&f, "(e, d)", 0), "concat needs equal height and width");
    diag_label(&f.diag, d, find(&f, "d)", 0), "d: f32[N, 64, 54, 54]");
    d->labels.items[0].span.end--;
    diag_label(&f.diag, d, find(&f, "e,", 0), "e: f32[N, 64, 55, 55]");
    d->labels.items[1].span.end--;
    diag_note(&f.diag, d, find(&f, "concat", 0), "d lost one row and one column");
    diag_help(&f.diag, d, "crop with `crop_like(e)`");
    end(&f, DIAG_TEXT, false,
        "unet.cai:7:10: error[shape]: concat needs equal height and width\n"
        "   7 |   return (e, d) -> concat -> double_conv(c)\n"
        "     |           ^  ^ d: f32[N, 64, 54, 54]\n"
        "     |           e: f32[N, 64, 55, 55]\n"
        "  note: d lost one row and one column (unet.cai:7:20)\n"
        "  help: crop with `crop_like(e)`\n");
}

TEST(three_labels_and_another_line) {
    Fixture f = begin("a = bb + ccc\nz = 1\n");
    Diagnostic *d = diag_error(&f.diag, DIAG_shape, find(&f, "bb", 0), "three");
    diag_label(&f.diag, d, find(&f, "a", 0), "first");
    diag_label(&f.diag, d, find(&f, "bb", 0), "second");
    diag_label(&f.diag, d, find(&f, "ccc", 0), "third");
    diag_label(&f.diag, d, find(&f, "z", 0), "below");
    end(&f, DIAG_TEXT, false,
        "unet.cai:1:5: error[shape]: three\n"
        "   1 | a = bb + ccc\n"
        "     | ^   ^^   ^^^ third\n"
        "     | |   second\n"
        "     | first\n"
        "   2 | z = 1\n"
        "     | ^ below\n");
}

TEST(tabs_and_code_points) {
    Fixture f = begin("\tx = \"\xc3\xa9\" + bad\n");
    diag_error(&f.diag, DIAG_shape, find(&f, "bad", 0), "no");
    end(&f, DIAG_TEXT, false,
        "unet.cai:1:12: error[shape]: no\n"
        "   1 |     x = \"\xc3\xa9\" + bad\n"
        "     |               ^^^\n");
}

TEST(spans_over_lines) {
    Fixture f = begin("x = f(1,\n      2)\n");
    diag_error(&f.diag, DIAG_shape, find(&f, "f(1,\n      2)", 0), "no");
    end(&f, DIAG_TEXT, false,
        "unet.cai:1:5: error[shape]: no\n"
        "   1 | x = f(1,\n"
        "     |     ^^^^\n");
}

TEST(order_and_repetition) {
    Fixture f = begin("a\nb\n");
    diag_error(&f.diag, DIAG_shape, find(&f, "b", 0), "second");
    diag_warning(&f.diag, DIAG_shape, find(&f, "a", 0), "first");
    diag_error(&f.diag, DIAG_shape, find(&f, "b", 0), "second");
    diag_error(&f.diag, DIAG_shape, (Span){0}, "nowhere");
    end(&f, DIAG_TEXT, false,
        "cai: error[shape]: nowhere\n"
        "unet.cai:1:1: warning[shape]: first\n"
        "   1 | a\n"
        "     | ^\n"
        "unet.cai:2:1: error[shape]: second\n"
        "   2 | b\n"
        "     | ^\n");
}

TEST(long_lines_are_cut) {
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = 0;
    memcpy(text + 500, "bad", 3);
    Fixture f = begin(text);
    diag_error(&f.diag, DIAG_shape, find(&f, "bad", 0), "no");
    char expected[600], shown[161];
    memset(shown, 'x', 160);
    shown[160] = 0;
    memcpy(shown + 40, "bad", 3);
    snprintf(expected, sizeof expected, "unet.cai:1:501: error[shape]: no\n   1 | ...%s...\n     | %43s^^^\n",
             shown, "");
    end(&f, DIAG_TEXT, false, expected);
}

/* What a file holds reaches the terminal as text only. */
TEST(control_characters) {
    Fixture f = begin("a \033[31m b\n");
    diag_error(&f.diag, DIAG_shape, find(&f, "b", 0), "\033[31m");
    end(&f, DIAG_TEXT, false,
        "unet.cai:1:9: error[shape]: ?[31m\n"
        "   1 | a ?[31m b\n"
        "     |         ^\n");
}

TEST(color) {
    Fixture f = begin("a\n");
    diag_error(&f.diag, DIAG_shape, find(&f, "a", 0), "no");
    end(&f, DIAG_TEXT, true,
        "\033[1munet.cai:1:1: \033[1;31merror[shape]:\033[0m\033[1m no\033[0m\n"
        "\033[1;34m   1 |\033[0m a\n"
        "\033[1;34m     |\033[0m \033[1;31m^\033[0m\n");
}

TEST(json) {
    Fixture f = begin("a = \"b\"\n");
    Diagnostic *d = diag_error(&f.diag, DIAG_not_text, find(&f, "\"b\"", 0), "not \"b\"\n");
    diag_label(&f.diag, d, find(&f, "a", 0), "here");
    diag_note(&f.diag, d, (Span){0}, "note");
    end(&f, DIAG_JSON, false,
        "{\"severity\": \"error\", \"code\": \"not-text\", \"file\": \"unet.cai\", \"line\": 1, \"column\": 5, \"end_line\": 1, \"end_column\": 8, "
        "\"text\": \"not \\\"b\\\"\\n\", \"labels\": [{\"file\": \"unet.cai\", \"line\": 1, \"column\": 1, \"end_line\": 1, \"end_column\": 2, "
        "\"text\": \"here\"}], \"notes\": [{\"file\": null, \"text\": \"note\"}], \"help\": null}\n");
}

/* A hundred are shown, and how many there are more. */
TEST(very_many) {
    Fixture f = begin("x\n");
    for (int i = 0; i < 1000; i++) diag_error(&f.diag, DIAG_shape, (Span){0}, "%d", i);
    CU_ASSERT_EQUAL(f.diag.errors, 1000);
    Text expected = {.arena = f.arena};
    for (int i = 0; i < DIAG_KEPT_MAX; i++) text_add(&expected, "cai: error[shape]: %d\n", i);
    text_add(&expected, "cai: error[more]: %d more errors are not shown\n", 1000 - DIAG_KEPT_MAX);
    end(&f, DIAG_TEXT, false, text_string(&expected));
}
