/* The comments of a file, for `cai doc` and docs/stdlib.md: the comment above a
 * declaration is about that declaration; the first one, if a blank line follows it, about
 * the file. A comment is prose in paragraphs; lines that are indented stay as they are,
 * and so do items: lines that begin with `- ` or `|` and not within a paragraph. */
#include "syntax/parse.h"
#include <ctype.h>
#include <limits.h>

enum { SIGNATURE_WIDTH = 100 };

Doc *doc_read(Arena *arena, Names *names, Diagnostics *diag, Source *source) {
    TokenList tokens = {0};
    int errors = diag->errors;
    const File *file = parse_tokens(arena, names, diag, source, &tokens);
    if (diag->errors > errors) return NULL;
    Doc *doc = NEW(arena, Doc);
    *doc = (Doc){.source = source, .comment = file_comment(arena, source)};
    for (int i = 0; i < file->decls.count; i++) {
        const Decl *decl = file->decls.items[i];
        if (decl->kind == DECL_USE || is_internal(decl->name)) continue;
        vec_push(arena, &doc->entries,
                 (DocEntry){decl, format_signature(arena, &tokens, decl, SIGNATURE_WIDTH)});
    }
    return doc;
}

/* ---- the first sentence ---- */

static bool ends_with(const char *text, const char *end, const char *word) {
    size_t length = strlen(word);
    return (size_t)(end - text) >= length && memcmp(end - length, word, length) == 0;
}

/* A full stop before a blank and what may begin a sentence: "Hu et al. 2018" and "0 .. n"
 * do not end. */
static bool ends_sentence(const char *text, const char *at) {
    if (*at != '.' || ends_with(text, at, "et al") || ends_with(text, at, ".")) return false;
    const char *next = at + 1 + strspn(at + 1, " \n");
    return !*next || (next > at + 1 && !islower((unsigned char)*next) && !isdigit((unsigned char)*next));
}

const char *doc_sentence(Arena *arena, const char *comment) {
    Text sentence = {.arena = arena};
    for (const char *at = comment; at && *at; at++) {
        if (strncmp(at, "\n\n", 2) == 0) break;
        text_add(&sentence, "%c", *at == '\n' ? ' ' : *at);
        if (ends_sentence(comment, at)) break;
    }
    return text_string(&sentence);
}

/* ---- as text ---- */

/* in_paragraph: a line of prose precedes it. */
static bool stays_as_it_is(const char *line, bool in_paragraph) {
    return strchr(" \t\n", *line) || (!in_paragraph && (*line == '|' || strncmp(line, "- ", 2) == 0));
}

static int columns_between(const char *begin, const char *end) {
    int columns = 0;
    for (; begin < end; begin++) columns += (*begin & 0xC0) != 0x80;
    return columns;
}

/* Adds the words of one line after those of the lines above it, from column *at on. */
static void add_words(Text *out, const char *line, const char *end, int indent, int width, int *at) {
    while (line < end) {
        const char *word = line + strspn(line, " \t"), *stop = word + strcspn(word, " \t\n");
        int columns = columns_between(word, stop);
        if (columns == 0) return;
        bool begins = *at == 0 || *at + 1 + columns > width;
        if (begins) text_add(out, "%s%*s", *at ? "\n" : "", indent, "");
        else text_add(out, " ");
        text_add_bytes(out, word, (size_t)(stop - word));
        *at = (begins ? indent : *at + 1) + columns;
        line = stop;
    }
}

void doc_add_text(Text *out, const char *comment, int indent, int width) {
    int at = 0; /* the column reached in an open line; 0: none is open */
    for (const char *line = comment; *line;) {
        const char *end = line + strcspn(line, "\n");
        bool stays = stays_as_it_is(line, at > 0);
        if (stays && at) text_add(out, "\n"), at = 0;
        if (!stays) add_words(out, line, end, indent, width, &at);
        else text_add(out, "%*s%.*s\n", end > line ? indent : 0, "", (int)(end - line), line);
        line = *end ? end + 1 : end;
    }
    if (at) text_add(out, "\n");
}

/* ---- as Markdown ---- */

/* Whether a literal character would be read as markup: beside a blank it is not. */
static bool is_markup(const char *text, const char *at) {
    bool touched_before = at > text && !isspace((unsigned char)at[-1]),
         touched_behind = at[1] && !isspace((unsigned char)at[1]);
    switch (*at) {
    case '<': return touched_behind;
    case '*': return touched_before || touched_behind;
    case '_': return !(at > text && isalnum((unsigned char)at[-1]) && isalnum((unsigned char)at[1]));
    default: return false;
    }
}

/* A line: indented ones are code. */
static void add_markdown_line(Text *out, const char *line, const char *end, bool in_table) {
    bool code = false, indented = line < end && isspace((unsigned char)*line);
    if (indented) text_add(out, "    ");
    for (const char *at = line; at < end; at++) {
        if (*at == '`') code = !code;
        if ((in_table && *at == '|') || (!code && !indented && is_markup(line, at))) text_add(out, "\\");
        text_add(out, "%c", *at);
    }
}

/* A paragraph becomes one line, in which nothing begins a list. */
void doc_add_markdown(Text *out, const char *comment, bool in_table) {
    Text flowing = {.arena = out->arena};
    doc_add_text(&flowing, comment, 0, INT_MAX);
    for (const char *line = text_string(&flowing); *line;) {
        const char *end = line + strcspn(line, "\n");
        add_markdown_line(out, line, end, in_table);
        if (*end && end[1]) text_add(out, "\n");
        line = *end ? end + 1 : end;
    }
}
