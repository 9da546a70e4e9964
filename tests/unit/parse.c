/* The parser: what it makes of every construct is in tests/golden/syntax; here are the
 * texts that no person writes. */
#include "syntax/syntax.h"
#include "test.h"
#include <dirent.h>
#include <stdlib.h>

typedef struct Parsed {
    Arena *arena;
    Diagnostics diag;
    File *file;
} Parsed;

static Parsed parse(const char *text, size_t length) {
    Parsed p = {.arena = arena_new()};
    p.diag.arena = p.arena;
    char *copy = arena_strndup(p.arena, text, length);
    p.file = parse_file(p.arena, names_new(p.arena), &p.diag, source_new(p.arena, "test.cai", copy, length));
    return p;
}

static int errors_of(const char *text) {
    Parsed p = parse(text, strlen(text));
    int errors = p.diag.errors;
    arena_free(p.arena);
    return errors;
}

/* The code of the only error; "" where there is none, "several" where there are more. */
static void check_error(const char *text, size_t length, const char *code) {
    Parsed p = parse(text, length);
    const char *found = p.diag.errors == 0  ? ""
                        : p.diag.errors > 1 ? "several"
                                            : diag_code_text(p.arena, p.diag.list.items[0]->code);
    CU_ASSERT_STRING_EQUAL(found, code);
    arena_free(p.arena);
}

static char *repeated(const char *before, const char *unit, int count, const char *after) {
    size_t length = strlen(unit);
    char *text = malloc(strlen(before) + length * (size_t)count + strlen(after) + 1),
         *at = text + strlen(before);
    strcpy(text, before);
    for (int i = 0; i < count; i++, at += length) memcpy(at, unit, length);
    strcpy(at, after);
    return text;
}

static void check_repeated(const char *before, const char *unit, int count, const char *after,
                           const char *code) {
    char *text = repeated(before, unit, count, after);
    check_error(text, strlen(text), code);
    free(text);
}

TEST(bytes_that_are_not_text) {
    check_error("x = 1\n\0y = 2\n", 13, "not-text");
    check_error("x = \"\xff\"\n", 8, "not-text");
    check_error("# \xc3", 3, "not-text");           /* cut off */
    check_error("# \xed\xa0\x80\n", 6, "not-text"); /* a surrogate */
    check_error("# \xc0\x80\n", 5, "not-text");     /* overlong */
    check_error("\xef\xbb\xbfx = 1\n", 9, "");      /* a byte order mark */
    check_error("x = 1\r\ny = 2\r\n", 14, "");
    check_error("", 0, "");
    check_error("x = 1", 5, "");
}

TEST(nesting_is_bounded) {
    check_repeated("x = ", "(", 100000, "", "too-deep");
    check_repeated("x = ", "-", 100000, "1\n", "too-deep");
    check_repeated("x = 1", " + 1", 100000, "\n", "too-deep");
    check_repeated("x = a", "()", 100000, "\n", "too-deep");
    check_repeated("x = a", " -> f", 100000, "\n", "too-deep");
    check_repeated("x = ", "{ a -> ", 100000, "", "too-deep");
    check_repeated("block f(x) {\n", "if a {\n", 100000, "", "too-deep");
    check_repeated("block f(x) { if a { b } ", "else if a { b } ", 100000, "}\n", "too-deep");
    check_repeated("x = 1", " + 1", 900, "\n", "");
    check_repeated("x = ", "(", 150, "", "unclosed");
}

TEST(length_is_not) {
    check_repeated("x = [", "1, ", 200000, "]\n", "");
    check_repeated("", "x = 1\n", 100000, "", "");
    check_repeated("", "\n", 300000, "x = 1\n", "");
    check_repeated("", "# a comment\n", 100000, "x = 1\n", "");
    check_repeated("x = \"", "\\n{1}", 50000, "\"\n", "");
    check_repeated("", "a", 1000, " = 1\n", "");
    check_repeated("", "a", 1001, " = 1\n", "name-too-long");
}

/* Recovery once waited for the `}` of a body that the text, as it was understood, had
 * closed already. */
TEST(recovery_ends) {
    CU_ASSERT_EQUAL(errors_of("block m(e){\nif e{if y}"), 2);
    CU_ASSERT_EQUAL(errors_of("block m(e){\nif e{if y"), 1);
    CU_ASSERT_EQUAL(errors_of("block m(e) {\n  if e {\n   if y }\n  return e e\n}\n"), 2);
}

TEST(the_number_of_errors_is_bounded) {
    char *text = repeated("block f(x) {\n", "a = = 1\n", 10000, "}\n");
    CU_ASSERT_EQUAL(errors_of(text), 50);
    free(text);
}

TEST(the_comment_above_a_declaration) {
    const char *text =
        "# of the file\n\n# one\n#   two\nblock f(x) { return x }\n\nblock g(x) { return x }\n";
    Parsed p = parse(text, strlen(text));
    CU_ASSERT_EQUAL_FATAL(p.file->decls.count, 2);
    CU_ASSERT_STRING_EQUAL(p.file->decls.items[0]->comment, "one\n  two");
    CU_ASSERT_PTR_NULL(p.file->decls.items[1]->comment);
    arena_free(p.arena);
}

TEST(places_count_code_points) {
    const char *text = "a = \"\xc3\xa9\xe2\x82\xac\" + )\n";
    Parsed p = parse(text, strlen(text));
    CU_ASSERT_EQUAL_FATAL(p.diag.errors, 1);
    Place place = source_place(p.diag.list.items[0]->span.source, p.diag.list.items[0]->span.begin);
    CU_ASSERT_EQUAL(place.line, 1);
    CU_ASSERT_EQUAL(place.column, 12);
    arena_free(p.arena);
}

/* ---- damaged files: nothing crashes, and what is wrong is said ---- */

static uint64_t next_random(uint64_t *state) {
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void damage(char *text, size_t length, uint64_t *random) {
    static const char likely[] = "(){}[]\"\\\n,:=-><.#+* 0a\x80";
    int changes = 1 + (int)(next_random(random) % 4);
    for (int i = 0; i < changes; i++) {
        size_t at = next_random(random) % length;
        if (next_random(random) % 3 == 0) text[at] = text[next_random(random) % length];
        else text[at] = likely[next_random(random) % (sizeof likely - 1)];
    }
}

static void parse_and_print(const char *text, size_t length, FILE *sink) {
    Parsed p = parse(text, length);
    diag_print(&p.diag, sink, DIAG_TEXT, true);
    diag_print(&p.diag, sink, DIAG_JSON, false);
    ast_print(p.file, sink);
    for (int i = 0; i < p.diag.list.count; i++) {
        Span span = p.diag.list.items[i]->span;
        CU_ASSERT(span.begin <= span.end && span.end <= length);
    }
    arena_free(p.arena);
}

static void damage_file(const char *path, FILE *sink) {
    FILE *file = fopen(path, "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    static char whole[1 << 16], changed[1 << 16];
    size_t length = fread(whole, 1, sizeof whole, file);
    fclose(file);
    uint64_t random = length;
    for (int round = 0; round < 60; round++) {
        size_t cut = round % 5 == 0 ? next_random(&random) % length + 1 : length;
        memcpy(changed, whole, length);
        damage(changed, cut, &random);
        parse_and_print(changed, cut, sink);
    }
}

TEST(damaged_files) {
    static const char *const folders[] = {"stdlib", "tests/tiny", "tests/golden/syntax"};
    FILE *sink = fopen("/dev/null", "w");
    int files = 0;
    for (int i = 0; i < COUNT_OF(folders); i++) {
        DIR *folder = opendir(folders[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(folder);
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            char path[600];
            snprintf(path, sizeof path, "%s/%s", folders[i], entry->d_name);
            const char *dot = strrchr(path, '.');
            if (dot && strcmp(dot, ".cai") == 0) damage_file(path, sink), files++;
        }
        closedir(folder);
    }
    fclose(sink);
    CU_ASSERT(files > 50);
}
