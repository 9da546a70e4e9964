/* The table of diagnostics, from diagnostics.def, and the text of docs/errors.md, from
 * the table. */
#include "base/diag.h"
#include <assert.h>

#define GROUP(title, text)
#define DIAGNOSTIC(name, cause, cure) \
    static_assert(sizeof(cause) > 1 && sizeof(cure) > 1, #name " needs a cause and a cure");
#include "base/diagnostics.def"
#undef DIAGNOSTIC

#define DIAGNOSTIC(name, cause, cure) [DIAG_##name] = {#name, cause, cure},
const DiagInfo diag_info[DIAG_COUNT] = {
#include "base/diagnostics.def"
};
#undef DIAGNOSTIC
#undef GROUP

const char *diag_code_text(Arena *arena, DiagCode code) {
    char *text = arena_strndup(arena, diag_info[code].name, strlen(diag_info[code].name));
    for (char *at = text; *at; at++)
        if (*at == '_') *at = '-';
    return text;
}

const DiagInfo *diag_find(Arena *arena, const char *code) {
    for (int i = 0; i < DIAG_COUNT; i++)
        if (strcmp(diag_code_text(arena, (DiagCode)i), code) == 0) return &diag_info[i];
    return NULL;
}

/* ---- docs/errors.md ---- */

static const char introduction[] =
    "# Errors\n"
    "\n"
    "Made from `compiler/base/diagnostics.def` by `make docs`; edit that.\n"
    "\n"
    "`cai` prints what is wrong as\n"
    "\n"
    "```\n"
    "unet.cai:7:10: error[shape]: concat needs equal height and width\n"
    "   7 |   return (e, d) -> concat -> double_conv(c)\n"
    "     |           ^  ^ d: f32[N, 64, 54, 54]\n"
    "     |           e: f32[N, 64, 55, 55]\n"
    "  note: d lost one row and one column at `maxpool(2)`, which took 55 to 27 (unet.cai:6:12)\n"
    "  note: in `level`, which runs here (unet.cai:6:28)\n"
    "  help: choose an input size that divides evenly all the way down, or crop the larger: `e -> crop_like(d)`\n"
    "```\n"
    "\n"
    "In brackets stands the code: `cai doc shape` prints its row of the tables below. The place is file, line and column (code points, from 1).\n"
    "Several errors come in one run, none of them the consequence of another; a file with errors of syntax is not looked at further.\n"
    "With `--message-format=json` each is an object a line: `severity`, `code`, `file`, `line`,\n"
    "`column`, `end_line`, `end_column`, `text`, `labels`, `notes`, `help`. `NO_COLOR` turns colour off. Exit codes: 0 good, 1 errors in what was given,\n"
    "2 wrong usage, 70 a bug in cai.\n"
    "\n"
    "The codes, by what they are about:\n";

static void print_cell(FILE *out, const char *text) {
    for (; *text; text++) fprintf(out, *text == '|' ? "\\|" : "%c", *text);
    fputs(" |", out);
}

static void print_group(FILE *out, const char *title, const char *text) {
    fprintf(out, "\n## %s\n\n%s\n\n| code | cause | cure |\n|-|-|-|\n", title, text);
}

static void print_diagnostic_row(FILE *out, const char *code, const char *cause, const char *cure) {
    fprintf(out, "| %s | ", code);
    print_cell(out, cause);
    putc(' ', out);
    print_cell(out, cure);
    putc('\n', out);
}

void diag_document(FILE *out) {
    Arena *arena = arena_new();
    fputs(introduction, out);
#define GROUP(title, text) print_group(out, title, text);
#define DIAGNOSTIC(name, cause, cure) \
    print_diagnostic_row(out, diag_code_text(arena, DIAG_##name), cause, cure);
#include "base/diagnostics.def"
    arena_free(arena);
}
