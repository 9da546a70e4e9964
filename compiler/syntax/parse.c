/* What stands between the scanner and the grammar: brackets, the rule by which a newline
 * ends a statement, lexical errors, and recovery. After an error the rest of the
 * statement (or declaration) is skipped, whatever brackets it opens, so that one mistake
 * is reported once. */
#include "syntax/parse.h"
#include "cai.tab.h"
#include <errno.h>
#include <stdlib.h>

#define NESTING_MAX 200
#define ERRORS_MAX 50
#define NAME_BYTES_MAX 1000

Diagnostic *parser_error(Parser *p, DiagCode code, Span span, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(p->arena, format, arguments);
    va_end(arguments);
    Diagnostic *d = diag_error(p->diag, code, span, "%s", text);
    if (++p->errors == ERRORS_MAX) {
        diag_note(p->diag, d, (Span){0}, "after %d errors the rest of the file was not read", ERRORS_MAX);
        p->stopped = true;
    }
    return d;
}

/* ---- brackets ---- */

char parser_innermost(const Parser *p) { return p->brackets.count ? vec_last(&p->brackets).open : 0; }

bool parser_in_string(const Parser *p) {
    for (int i = 0; i < p->brackets.count; i++)
        if (p->brackets.items[i].open == '"') return true;
    return false;
}

bool parser_open(Parser *p, char open, Span span) {
    if (p->brackets.count == NESTING_MAX) {
        parser_error(p, DIAG_too_deep, span, "brackets are nested more than %d deep", NESTING_MAX);
        p->stopped = true;
        return false;
    }
    vec_push(p->arena, &p->brackets, (Bracket){.open = open, .span = span});
    return true;
}

static char opening_of(char close) {
    return close == ')' ? '(' : close == ']' ? '[' : close == '}' ? '{' : close;
}

static bool is_open(const Parser *p, char open) {
    for (int i = 0; i < p->brackets.count; i++)
        if (p->brackets.items[i].open == open) return true;
    return false;
}

bool parser_close(Parser *p, char close) {
    Span here = {p->source, p->offset - 1, p->offset};
    p->last_closes_body = false;
    p->left_open = (Span){0};
    char innermost = parser_innermost(p);
    bool possible = close == '}'   ? is_open(p, '{')
                    : close == '"' ? innermost == '"'
                                   : innermost == '(' || innermost == '[';
    if (!possible) {
        if (!p->skipping) parser_error(p, DIAG_unopened, here, "this `%c` closes nothing", close);
        return false;
    }
    if (close != '}' && innermost != opening_of(close)) {
        Bracket wrong = p->brackets.items[--p->brackets.count];
        if (p->skipping) return false;
        Diagnostic *d =
            parser_error(p, DIAG_wrong_bracket, here, "`%c` cannot close `%c`", close, wrong.open);
        diag_note(p->diag, d, wrong.span, "`%c` was opened here", wrong.open);
        return false;
    }
    while (parser_innermost(p) != opening_of(close))
        p->left_open = p->brackets.items[--p->brackets.count].span; /* before a `}` only */
    p->last_closes_body = p->brackets.items[--p->brackets.count].body;
    return true;
}

void parser_mark_body(Parser *p, Span brace) {
    for (int i = p->brackets.count - 1; i >= 0; i--) {
        if (p->brackets.items[i].span.begin != brace.begin) continue;
        p->brackets.items[i].body = true;
        return;
    }
}

/* ---- newlines ---- */

static bool begins_with_word(const char *text, const char *word) {
    size_t length = strlen(word);
    char after = text[strncmp(text, word, length) == 0 ? length : 0];
    bool letter = (after >= 'a' && after <= 'z') || (after >= 'A' && after <= 'Z') ||
                  (after >= '0' && after <= '9') || after == '_';
    return strncmp(text, word, length) == 0 && !letter;
}

/* Whether the line at `text` continues the statement of the line before. `for` does so
 * in a header at the top of the file, where no loop stands: it gives the length of a
 * train block. */
static bool text_continues(const char *text, bool at_top) {
    static const char *const words[] = {"and", "or", "else", "over", "with", "where"};
    while (*text == ' ' || *text == '\t' || *text == '\r') text++;
    if (*text && strchr("+-*/%@<>", *text)) return true;
    if ((text[0] == '!' || text[0] == '=') && text[1] == '=') return true;
    for (int i = 0; i < COUNT_OF(words); i++)
        if (begins_with_word(text, words[i])) return true;
    return at_top && begins_with_word(text, "for");
}

bool parser_newline_counts(const Parser *p) {
    char innermost = parser_innermost(p);
    return innermost != '(' && innermost != '[' &&
           !text_continues(p->source->text + p->offset, innermost == 0);
}

/* ---- what the scanner cannot read ---- */

int parser_unterminated_string(Parser *p, Span span) {
    while (parser_in_string(p)) p->brackets.count--;
    p->lost_brackets = true;
    if (!p->skipping) {
        Diagnostic *d = parser_error(p, DIAG_unterminated_string, p->string, "this string has no end");
        diag_help(
            p->diag, d,
            "a string ends with `\"` on its own line; a `{` in it begins an expression, and `\\{` is a plain brace");
    }
    (void)span;
    return TOKEN_CAI_error;
}

/* A quote within a string's hole begins a string where one more quote follows on the
 * line; else the hole was not closed, and the outer string ends here. */
int parser_nested_string(Parser *p, Span span) {
    const char *rest = p->source->text + span.end;
    bool nested = memchr(rest, '"', strcspn(rest, "\n")) != NULL;
    Bracket hole = {0};
    for (int i = 0; i < p->brackets.count; i++)
        if (p->brackets.items[i].open == '"') hole = p->brackets.items[i];
    while (!nested && parser_in_string(p)) p->brackets.count--;
    if (p->skipping) return TOKEN_CAI_error;
    if (!nested) {
        diag_help(p->diag, parser_error(p, DIAG_unclosed, hole.span, "this `{` is never closed"),
                  "a plain brace in a string is `\\{`");
        return TOKEN_CAI_error;
    }
    Diagnostic *d =
        parser_error(p, DIAG_nested_string, span, "a string cannot be within the braces of another");
    diag_label(p->diag, d, p->string, "the string begins here");
    diag_label(p->diag, d, span, "and one more begins here");
    diag_help(p->diag, d, "give the inner value a name first; a plain brace in a string is `\\{`");
    return TOKEN_CAI_error;
}

int parser_bad_number(Parser *p, Span span) {
    if (p->skipping) return TOKEN_CAI_error;
    const char *text = p->source->text + span.begin;
    int length = (int)(span.end - span.begin);
    Diagnostic *d =
        parser_error(p, DIAG_bad_number, span, "`%.*s` is not a number", length < 60 ? length : 60, text);
    if (*text == '.')
        diag_help(p->diag, d, "write a digit before the point: `0%.*s`", length < 60 ? length : 60, text);
    else if (text[length - 1] == '.')
        diag_help(p->diag, d, "write a digit after the point: `%.*s0`", length < 60 ? length : 60, text);
    else diag_help(p->diag, d, "names begin with a letter; numbers are written `12`, `0.5` or `1e-5`");
    return TOKEN_CAI_error;
}

int parser_name(Parser *p, const char *text, Span span, Name *name) {
    size_t length = span.end - span.begin;
    *name = intern_range(p->names, text, length < NAME_BYTES_MAX ? length : NAME_BYTES_MAX);
    if (length <= NAME_BYTES_MAX) return TOKEN_NAME;
    if (!p->skipping)
        parser_error(p, DIAG_name_too_long, span, "this name has %zu letters: at most %d", length,
                     NAME_BYTES_MAX);
    return TOKEN_CAI_error;
}

int parser_integer(Parser *p, const char *text, Span span, int64_t *value) {
    errno = 0;
    *value = strtoll(text, NULL, 10);
    if (errno != ERANGE) return TOKEN_INT;
    if (!p->skipping)
        parser_error(p, DIAG_number_range, span, "this whole number is too large: at most %lld",
                     (long long)INT64_MAX);
    return TOKEN_CAI_error;
}

int parser_float(Parser *p, const char *text, Span span, double *value) {
    *value = strtod(text, NULL);
    if (*value <= 1.7976931348623157e308) return TOKEN_FLOAT;
    if (!p->skipping) parser_error(p, DIAG_number_range, span, "this number is too large: at most 1.8e308");
    return TOKEN_CAI_error;
}

const char *parser_escape(Parser *p, char letter, Span span) {
    switch (letter) {
    case 'n': return "\n";
    case 't': return "\t";
    case '"': return "\"";
    case '\\': return "\\";
    case '{': return "{";
    case '}': return "}";
    }
    if (p->skipping) return "";
    Diagnostic *d = parser_error(p, DIAG_bad_escape, span, "a string knows no `\\%c`",
                                 letter >= ' ' && letter < 127 ? letter : '?');
    diag_help(p->diag, d, "there are `\\n`, `\\t`, `\\\"`, `\\\\`, `\\{` and `\\}`");
    return "";
}

typedef struct Foreign {
    const char *text, *help;
} Foreign;

static const Foreign foreign[] = {
    {";", "there are no semicolons: a statement ends with its line"},
    {"'", "strings are written in double quotes: \"...\""},
    {"&&", "write `and`"},
    {"||", "write `or`"},
    {"!", "write `not`"},
    {"&", "write `and`"},
    {"|", "write `or`; the arrow is `->`"},
    {"|>", "the arrow is written `->`"},
    {"^", "a power is written `**`"},
    {"?", "write `a if condition else b`"},
    {"\\", "a line that continues a statement begins with the operator or the arrow"},
    {"\xe2\x80\x9c", "use the plain quote `\"`"},
    {"\xe2\x80\x9d", "use the plain quote `\"`"},
    {"\xe2\x80\x98", "use the plain quote `\"`"},
    {"\xe2\x80\x99", "use the plain quote `\"`"},
    {"\xe2\x86\x92", "the arrow is written `->`"},
    {"\xe2\x88\x92", "use the plain `-`"},
    {"\xe2\x80\x93", "use the plain `-`"},
    {"\xc3\x97", "use `*`"},
    {"\xc2\xa0", "this is a no-break space: use a plain one"},
};

/* The longest foreign token at `text`, or NULL. */
static const Foreign *foreign_at(const char *text) {
    const Foreign *found = NULL;
    for (int i = 0; i < COUNT_OF(foreign); i++) {
        size_t length = strlen(foreign[i].text);
        if (!strncmp(text, foreign[i].text, length) && (!found || length > strlen(found->text)))
            found = &foreign[i];
    }
    return found;
}

int parser_bad_character(Parser *p, const char *text, Span span) {
    if (p->skipping) return TOKEN_CAI_error;
    const Foreign *known = foreign_at(p->source->text + span.begin);
    int length = known ? (int)strlen(known->text) : 1;
    while (!known && ((unsigned char)text[0] & 0xC0) == 0xC0 && ((unsigned char)text[length] & 0xC0) == 0x80)
        length++;
    if (known) text = known->text;
    span.end = span.begin + (uint32_t)length;
    bool printable = (unsigned char)text[0] >= ' ' && text[0] != 127;
    Diagnostic *d = printable
                        ? parser_error(p, DIAG_bad_character, span, "`%.*s` means nothing here", length, text)
                        : parser_error(p, DIAG_bad_character, span, "the byte 0x%02x means nothing here",
                                       (unsigned char)text[0]);
    if (known) diag_help(p->diag, d, "%s", known->help);
    return TOKEN_CAI_error;
}

/* ---- the token stream ---- */

static bool is_declaration_word(int token) {
    return token == TOKEN_USE || token == TOKEN_MODEL || token == TOKEN_BLOCK || token == TOKEN_TRAIN ||
           token == TOKEN_OPTIMIZER;
}

/* `state` and the like may name a part: x.state */
static bool is_reserved_token(int token) { return token >= TOKEN_USE && token <= TOKEN_FALSE; }

/* A declaration begins at the left edge, or the file ends, while brackets are open:
 * reports which one is never closed. */
static void report_unclosed(Parser *p) {
    const Bracket *open = &vec_last(&p->brackets);
    for (int i = p->brackets.count - 1; i >= 0 && open->body; i--) open = &p->brackets.items[i];
    if (open->body) open = &p->brackets.items[0];
    parser_error(p, DIAG_unclosed, open->span, "this `%c` is never closed", open->open);
}

static void hold_token(Parser *p, int token, Span span, bool begins_line, const void *value) {
    CHECK(!p->holds);
    p->holds = true;
    p->held.token = token;
    p->held.span = span;
    p->held.begins_line = begins_line;
    p->held.value = value ? arena_copy(p->arena, value, sizeof(CAI_STYPE)) : NULL;
}

static int scan_next_token(Parser *p, CAI_STYPE *value, Span *span) {
    int token = p->stopped || p->at_end ? TOKEN_END : scan_token(value, span, p->scanner);
    if (token == TOKEN_END) {
        uint32_t end = (uint32_t)p->source->length;
        *span = (Span){p->source, end, end};
    }
    return token;
}

/* The next token to insert: a bracket that closes an open one, or a newline. False where
 * the next token comes from the scanner. */
static bool put_in(Parser *p, int *token, Span *span) {
    *span = (Span){p->held.span.source, p->held.span.begin, p->held.span.begin};
    while (p->closing && p->brackets.count > 0) {
        Bracket open = p->brackets.items[--p->brackets.count];
        if (open.open != '{') continue;
        p->last_closes_body = open.body;
        *token = '}';
        return true;
    }
    p->closing = false;
    *token = TOKEN_NEWLINE;
    bool newline = p->newline_first;
    p->newline_first = false;
    return newline;
}

static int indent_at(const Parser *p, uint32_t offset) {
    const char *text = p->source->text, *line = text + offset;
    while (line > text && line[-1] != '\n') line--;
    return (int)strspn(line, " \t");
}

static int next_token(Parser *p, CAI_STYPE *value, Span *span, bool *begins_line) {
    int token;
    *begins_line = false;
    if (put_in(p, &token, span)) return token;
    if (p->holds) {
        p->holds = p->silent = false;
        if (p->held.value) memcpy(value, p->held.value, sizeof *value);
        *span = p->held.span;
        *begins_line = p->held.begins_line;
        return p->held.token;
    }
    token = scan_next_token(p, value, span);
    *begins_line = p->line_begins;
    if (token != TOKEN_NEWLINE) p->line_begins = false;
    bool end = token == TOKEN_END && !p->at_end, open = p->brackets.count > 0;
    bool declares = *begins_line && is_declaration_word(token) && indent_at(p, span->begin) == 0;
    if (!end && !(open && declares)) return token;
    if (token == TOKEN_END) p->at_end = true;
    if (open && !p->skipping && !p->stopped && !p->lost_brackets) report_unclosed(p);
    p->lost_brackets = false;
    p->silent = open;
    p->closing = p->newline_first = true;
    hold_token(p, token, *span, *begins_line, NULL);
    return next_token(p, value, span, begins_line);
}

int cai_lex(CAI_STYPE *value, Span *span, Parser *p) {
    bool begins_line;
    int token = next_token(p, value, span, &begins_line);
    if (p->last == '.' && is_reserved_token(token)) {
        value->name = intern_range(p->names, p->source->text + span->begin, span->end - span->begin);
        token = TOKEN_NAME;
    }
    p->before_last = p->last;
    p->before_last_span = p->last_span;
    p->last = token;
    p->last_span = *span;
    p->last_begins_line = begins_line;
    if (p->tokens) vec_push(p->arena, p->tokens, (Token){token, *span});
    return token;
}

/* ---- recovery ---- */

static bool ends_statement(const Parser *p, int token) {
    if (token == TOKEN_NEWLINE) return p->brackets.count == 0 || vec_last(&p->brackets).body;
    return token == TOKEN_END || (token == '}' && p->last_closes_body);
}

/* Whether the next line is indented, or begins with a brace: then it belongs to the
 * declaration that had the error. */
static bool goes_on_below(const Parser *p) {
    char next = p->source->text[p->offset];
    return next == ' ' || next == '\t' || next == '{' || next == '}';
}

static bool ends_declaration(const Parser *p, int token) {
    if (token == TOKEN_END) return true;
    if (p->brackets.count > 0) return false;
    return token == TOKEN_NEWLINE ? !goes_on_below(p) : is_declaration_word(token) && p->last_begins_line;
}

static void skip_tokens(Parser *p, int *lookahead, Span *span, bool (*ends)(const Parser *, int)) {
    CAI_STYPE ignored;
    p->skipping = true;
    while (*lookahead == TOKEN_CAI_EMPTY || *lookahead == TOKEN_CAI_UNDEF || !ends(p, *lookahead))
        *lookahead = cai_lex(&ignored, span, p);
    p->skipping = false;
}

static bool brace_below(const Parser *p) {
    const char *rest = p->source->text + p->offset;
    return rest[strspn(rest, " \t\r\n")] == '{';
}

/* Skips a body without its `{`: more deeply indented lines belong to the statement, and
 * so does a `}` that closes them. */
static void skip_missing_body(Parser *p, int *lookahead, Span *span) {
    int indent = indent_at(p, span->begin > 0 && *lookahead == TOKEN_NEWLINE ? span->begin - 1 : span->begin);
    while (p->brackets.count > 0 && parser_innermost(p) != '{') p->brackets.count--;
    int around = p->brackets.count;
    if (!brace_below(p))
        vec_push(p->arena, &p->brackets, (Bracket){.open = '{', .body = true, .span = *span});
    CAI_STYPE value;
    p->skipping = true;
    bool ended = false;
    while (!ended && *lookahead != TOKEN_END && !(*lookahead == '}' && p->brackets.count <= around)) {
        *lookahead = cai_lex(&value, span, p);
        bool begins =
            p->last_begins_line && *lookahead != TOKEN_NEWLINE && *lookahead != '}' && *lookahead != '{';
        ended = begins && indent_at(p, span->begin) <= indent;
    }
    if (ended) {
        p->brackets.count = around;
        hold_token(p, *lookahead, *span, true, &value);
        *lookahead = TOKEN_NEWLINE;
    } else if (*lookahead == '}' && p->last_begins_line && indent_at(p, span->begin) < indent) {
        p->last_closes_body = p->brackets.items[--p->brackets.count].body;
    } else if (*lookahead == '}') {
        *lookahead = TOKEN_CAI_EMPTY;
        skip_tokens(p, lookahead, span, ends_statement);
    }
    p->skipping = false;
}

/* Ends the line before the lookahead. */
static void end_line(Parser *p, int *lookahead, const void *value, Span *span) {
    while (p->brackets.count > 0 && parser_innermost(p) != '{') p->brackets.count--;
    hold_token(p, *lookahead, *span, true, value);
    *lookahead = TOKEN_NEWLINE;
}

void parser_skip_statement(Parser *p, int *lookahead, const void *value, Span *span) {
    bool body_missing = p->body_missing && p->brackets.count > 0 && *lookahead != '}', unclosed = p->unclosed;
    p->body_missing = p->unclosed = false;
    if (body_missing) skip_missing_body(p, lookahead, span);
    else if (unclosed) end_line(p, lookahead, value, span);
    else skip_tokens(p, lookahead, span, ends_statement);
    /* whatever the grammar took the tokens for, a body has an end */
    if (*lookahead == TOKEN_END) *lookahead = '}';
}

void parser_skip_declaration(Parser *p, int *lookahead, Span *span) {
    p->unclosed = p->body_missing = false;
    skip_tokens(p, lookahead, span, ends_declaration);
}

/* ---- a file ---- */

static void run_parser(Parser *p) { cai_parse(p); }

/* The offset of the first byte that is not UTF-8 text, or the length. */
static size_t find_not_text(const char *text, size_t length) {
    const unsigned char *at = (const unsigned char *)text, *end = at + length;
    while (at < end) {
        int more = *at < 0x80                   ? 0
                   : *at >= 0xC2 && *at <= 0xDF ? 1
                   : (*at & 0xF0) == 0xE0       ? 2
                   : *at >= 0xF0 && *at <= 0xF4 ? 3
                                                : -1;
        if (more < 0 || *at == 0 || end - at <= more) break;
        unsigned second = more ? at[1] : 0x80;
        if ((*at == 0xE0 && second < 0xA0) || (*at == 0xED && second > 0x9F) ||
            (*at == 0xF0 && second < 0x90) || (*at == 0xF4 && second > 0x8F))
            break;
        int i = 1;
        while (i <= more && (at[i] & 0xC0) == 0x80) i++;
        if (i <= more) break;
        at += more + 1;
    }
    return (size_t)(at - (const unsigned char *)text);
}

static bool is_text(Diagnostics *diag, Source *source) {
    if (source->length > SOURCE_BYTES_MAX) {
        diag_error(diag, DIAG_file_too_large, (Span){source, 0, 0},
                   "this file has %zu bytes: a source file has at most %u", source->length, SOURCE_BYTES_MAX);
        return false;
    }
    size_t bad = find_not_text(source->text, source->length);
    if (bad == source->length) return true;
    Span span = {source, (uint32_t)bad, (uint32_t)bad + 1};
    Diagnostic *d = diag_error(diag, DIAG_not_text, span, "the byte 0x%02x is not UTF-8 text",
                               (unsigned char)source->text[bad]);
    diag_help(diag, d, "a .cai file is text in UTF-8");
    return false;
}

File *parse_tokens(Arena *arena, Names *names, Diagnostics *diag, Source *source, TokenList *tokens) {
    File *file = NEW(arena, File);
    file->source = source;
    if (!is_text(diag, source)) return file;
    Parser parser = {.arena = arena,
                     .names = names,
                     .diag = diag,
                     .source = source,
                     .file = file,
                     .line_begins = true,
                     .tokens = tokens};
    if (strncmp(source->text, "\xef\xbb\xbf", 3) == 0) parser.offset = 3; /* a byte order mark */
    scan_text(&parser, run_parser);
    return file;
}

File *parse_file(Arena *arena, Names *names, Diagnostics *diag, Source *source) {
    return parse_tokens(arena, names, diag, source, NULL);
}
