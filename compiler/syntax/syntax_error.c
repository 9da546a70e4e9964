/* Messages for what the grammar did not expect: first the mistakes that people are known
 * to make, each with its cure, then "expected this, found that". */
#include "syntax/parse.h"
#include "cai.tab.h"
#include <ctype.h>

static bool expects_token(const SyntaxError *e, const char *token) {
    for (int i = 0; i < e->count; i++)
        if (strcmp(e->expected[i], token) == 0) return true;
    return false;
}

static bool found_token(const SyntaxError *e, const char *token) { return strcmp(e->found, token) == 0; }
static bool expects_value(const SyntaxError *e) { return expects_token(e, "a whole number"); }

static const char *text_of_span(Parser *p, Span span) {
    int length = (int)(span.end - span.begin);
    return arena_printf(p->arena, length > 40 ? "%.*s..." : "%.*s", length > 40 ? 37 : length,
                        p->source->text + span.begin);
}

static const char *line_begin_of(const Parser *p, uint32_t offset) {
    const char *text = p->source->text;
    while (offset > 0 && text[offset - 1] != '\n') offset--;
    while (text[offset] == ' ' || text[offset] == '\t') offset++;
    return text + offset;
}

static const char *first_word(Parser *p, uint32_t offset) {
    const char *begin = line_begin_of(p, offset), *end = begin;
    while (isalnum((unsigned char)*end) || *end == '_') end++;
    return arena_strndup(p->arena, begin, (size_t)(end - begin));
}

/* "a, b or c": what would be allowed there, without the operators, which could always
 * follow. */
static const char *expected_words(Parser *p, const SyntaxError *e) {
    static const char *const worth[] = {"`,`",     "`)`",    "`]`",      "`}`",    "`{`",
                                        "`(`",     "`[`",    "`:`",      "`=`",    "`->`",
                                        "`in`",    "`else`", "`from`",   "`over`", "`with`",
                                        "`every`", "`for`",  "a string", "a name", "the hole's `}`",
                                        "`..`"};
    if (expects_token(e, "`return`")) return "a statement";
    if (expects_token(e, "`model`"))
        return "a declaration: `use`, `model`, `block`, `train`, `optimizer` or `NAME = value`";
    if (expects_value(e))
        return expects_token(e, "`repeat`")                         ? "a layer"
               : expects_token(e, "`)`") || expects_token(e, "`]`") ? "a value or the closing bracket"
                                                                    : "a value";
    if (expects_token(e, "the end of the line")) return "the end of the line";
    bool after_value = expects_token(e, "`+`") || expects_token(e, "`.`");
    Text words = {.arena = p->arena};
    const char *listed[COUNT_OF(worth)];
    int count = 0;
    bool has_length = !strcmp(first_word(p, e->span.begin), "train");
    for (int i = 0; i < COUNT_OF(worth); i++) {
        if (!strcmp(worth[i], "`for`") && expects_token(e, "`{`") && !has_length) continue;
        bool goes_on = after_value &&
                       (!strcmp(worth[i], "`->`") || !strcmp(worth[i], "`(`") || !strcmp(worth[i], "`[`") ||
                        (!strcmp(worth[i], "`for`") && expects_token(e, "`]`")));
        if (expects_token(e, worth[i]) && !goes_on) listed[count++] = worth[i];
    }
    for (int i = 0; i < count; i++)
        text_add(&words, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", listed[i]);
    return count ? text_string(&words) : "something else";
}

static const char *found_words(Parser *p, const SyntaxError *e) {
    bool named = found_token(e, "the end of the line") || found_token(e, "the end of the file");
    if (named) return e->span.begin >= p->source->length ? "the end of the file" : e->found;
    if (found_token(e, "a string")) return "a string";
    return arena_printf(p->arena, "`%s`", text_of_span(p, e->span));
}

/* Whether an open ( or [ is closed later. If not, and the line below begins something
 * new, it stays open. */
static bool closed_later(const Parser *p) {
    int depth = 0;
    for (const char *at = p->source->text + p->last_span.begin; *at; at++) {
        if (*at == '#') at += strcspn(at, "\n") - 1;
        else if (*at == '"') {
            at += 1 + strcspn(at + 1, "\"\n");
            if (!*at) return false;
        } else if (strchr("([{", *at)) depth++;
        else if (strchr(")]}", *at) && depth-- == 0) return *at != '}';
    }
    return false;
}

static bool report_left_open(Parser *p, const SyntaxError *e) {
    Span open = p->left_open;
    char innermost = parser_innermost(p);
    if (!found_token(e, "`}`") || !open.source) {
        bool word = found_token(e, "a name") || isalpha((unsigned char)p->source->text[e->span.begin]);
        if (!word || !p->last_begins_line || (innermost != '(' && innermost != '[') || closed_later(p))
            return false;
        open = vec_last(&p->brackets).span;
        p->unclosed = true;
    }
    parser_error(p, DIAG_unclosed, open, "this `%s` is never closed", text_of_span(p, open));
    return true;
}

typedef struct ForeignWord { /* a word of another language */
    const char *word, *help;
} ForeignWord;

static const ForeignWord foreign_words[] = {
    {"elif", "write `else if`"},
    {"elseif", "write `else if`"},
    {"while", "loops are `for i in 0 .. n { ... }` and `repeat n { ... }`: the compiler unrolls them"},
    {"def", "a block is declared as `block name(parameters)(x) { ... }`"},
    {"fn", "a block is declared as `block name(parameters)(x) { ... }`"},
    {"func", "a block is declared as `block name(parameters)(x) { ... }`"},
    {"function", "a block is declared as `block name(parameters)(x) { ... }`"},
    {"class", "a layer is declared as `block name(parameters)(x) { ... }`"},
    {"let", "a name is bound by `name = value`"},
    {"var", "a name is bound by `name = value`"},
    {"const", "a name is bound by `name = value`"},
    {"import", "another file is used by `use name`"},
    {"include", "another file is used by `use name`"},
    {"from", "another file is used by `use name`"},
    {"switch", "write `if a == b { ... } else if ...`"},
    {"match", "write `if a == b { ... } else if ...`"},
    {"freeze", "what no `minimize` names is frozen: leave it out of `over`"},
};

/* A line that begins with such a word. */
static bool report_foreign_word(Parser *p, const SyntaxError *e) {
    const char *line = line_begin_of(p, e->span.begin), *word = first_word(p, e->span.begin);
    for (int i = 0; i < COUNT_OF(foreign_words); i++) {
        if (strcmp(word, foreign_words[i].word) != 0) continue;
        uint32_t begin = (uint32_t)(line - p->source->text);
        Span span = {p->source, begin, begin + (uint32_t)strlen(word)};
        diag_help(p->diag, parser_error(p, DIAG_foreign_word, span, "there is no `%s` in cai", word), "%s",
                  foreign_words[i].help);
        return true;
    }
    return false;
}

static const char *help_on_comments(Parser *p, const SyntaxError *e) {
    const char *line = line_begin_of(p, e->span.begin);
    if (strncmp(line, "//", 2) == 0 || strncmp(line, "/*", 2) == 0) return "a comment begins with `#`";
    for (const char *at = line; at + 1 < p->source->text + e->span.begin; at++)
        if (strncmp(at, "// ", 3) == 0) return "`//` divides; a comment begins with `#`";
    return NULL;
}

static bool is_word_span(Parser *p, Span span) { return isalpha((unsigned char)p->source->text[span.begin]); }
static bool is_comparison_error(const SyntaxError *e) {
    return found_token(e, "`==`") || found_token(e, "`!=`") || found_token(e, "`<`") ||
           found_token(e, "`>`") || found_token(e, "`<=`") || found_token(e, "`>=`");
}

/* Tables of known mistakes: what was found, where, and the help for it. NULL where
 * nothing special is known. */
static const char *help_on_equals(Parser *p, const SyntaxError *e) {
    if (p->source->text[e->span.end] == '>') return "the arrow is written `->`";
    char before = p->before_last_span.end == e->span.begin && e->span.begin > 0
                      ? p->source->text[e->span.begin - 1]
                      : ' ';
    if (before && strchr("+-*/%@", before))
        return arena_printf(p->arena, "write it out: `x = x %c y`", before);
    if (expects_token(e, "`{`") || expects_token(e, "`,`") || expects_token(e, "`)`") ||
        expects_token(e, "`else`"))
        return "`=` binds a name; equality is `==`";
    return "a statement binds one name or one tuple of names";
}

static bool is_operator(int token) {
    return (token > 0 && token < 128 && strchr("+-*/%@<>", token)) || token == TOKEN_ARROW ||
           token == TOKEN_POW || token == TOKEN_FLOORDIV || (token >= TOKEN_EQ && token <= TOKEN_GE) ||
           token == TOKEN_AND || token == TOKEN_OR;
}

static const char *help_on_line_end(Parser *p, const SyntaxError *e) {
    if (expects_token(e, "`{`") && !expects_value(e)) return "the `{` must be on this line";
    if (!is_operator(p->before_last)) return NULL;
    return arena_printf(
        p->arena, "a line that continues a statement begins with the operator: move `%s` to the next line",
        text_of_span(p, p->before_last_span));
}

static const char *help_in_signature(Parser *p, const SyntaxError *e) {
    if (found_token(e, "`{`") && expects_token(e, "`(`") && p->before_last == TOKEN_NAME)
        return "the last list names what is run through it: `block f(x) { ... }`";
    if (found_token(e, "`(`") && expects_token(e, "`{`"))
        return "there are at most two lists: what it is made with, and what is run through it";
    if (found_token(e, "`,`") && expects_token(e, "`as`"))
        return "several results are written in parentheses: `-> (a: f32[N], b: f32[N])`";
    if (found_token(e, "`[`") && expects_token(e, "`:`") && (e->count == 1 || expects_token(e, "`=`")))
        return "a type follows a name: `y: f32[N, C]`";
    if (found_token(e, "`{`") && expects_token(e, "`:`") && e->count == 1)
        return "a result has a type: `-> y: f32[N, C]`";
    if (p->before_last == TOKEN_USE)
        return "write `use unet`: the file's name without quotes and without .cai";
    if (expects_token(e, "`[`") && e->count == 1)
        return "a type lists its sizes: `f32[N, C]`; one number is `f32[]`";
    return NULL;
}

/* `-> a.b: conv(8, 3)`: where the label of several parts before the `:` begins. */
static uint32_t label_begin(const Parser *p) {
    const char *text = p->source->text;
    uint32_t begin = p->before_last_span.begin;
    while (begin > 0 && (isalnum((unsigned char)text[begin - 1]) || strchr("_.", text[begin - 1]))) begin--;
    return begin;
}

/* Whether it is the label of a stage: an arrow or the brace of a layer precedes it. */
static bool is_dotted_label(const Parser *p) {
    const char *text = p->source->text;
    uint32_t at = label_begin(p);
    if (at == p->before_last_span.begin) return false;
    while (at > 0 && isspace((unsigned char)text[at - 1])) at--;
    return at > 1 && (text[at - 1] == '{' || (text[at - 1] == '>' && text[at - 2] == '-'));
}

static const char *help_dotted_label(Parser *p) {
    Span label = {p->source, label_begin(p), p->before_last_span.end};
    return arena_printf(p->arena, "a label of several parts is written in quotes: `\"%s\": ...`",
                        text_of_span(p, label));
}

static bool is_one_of(const char *word, const char *const *words, int count) {
    for (int i = 0; i < count; i++)
        if (!strcmp(word, words[i])) return true;
    return false;
}

/* Statements of train blocks, by the word that their line begins with. */
static const char *help_in_training(Parser *p, const SyntaxError *e) {
    static const char *const timed[] = {"measure", "every", "show", "phase"};
    const char *word = first_word(p, e->span.begin);
    if (!strcmp(word, "minimize") && (expects_token(e, "`over`") || expects_token(e, "`with`")))
        return "what is trained, and how, follows the loss: `minimize loss over net with adam(lr = 1e-3)`";
    if (found_token(e, "`{`") && expects_token(e, "a name") && is_one_of(word, timed, COUNT_OF(timed)))
        return "how often or how long is a number and a unit: `every 1 epochs`, `for 300 steps`";
    return NULL;
}

static const char *help_by_place(Parser *p, const SyntaxError *e) {
    bool body_wanted = expects_token(e, "`{`") && !expects_value(e),
         in_stages = parser_innermost(p) == '{' && !vec_last(&p->brackets).body;
    if (expects_token(e, "`in`")) return "write `for i in 0 .. n { ... }`, or `for x in list { ... }`";
    if (expects_token(e, "`model`") || (expects_token(e, "`=`") && e->count == 1))
        return "layers are run within a `block` or a `model`";
    if (found_token(e, "`=`")) return help_on_equals(p, e);
    if (found_token(e, "the end of the line")) return help_on_line_end(p, e);
    if (found_token(e, "`if`") && expects_value(e)) return "a choice is written `a if condition else b`";
    if (found_token(e, "`+`") && p->before_last == '+') return "write it out: `i = i + 1`";
    if (found_token(e, "`...`")) return "a range is written `0 .. n`, and leaves out n";
    if (found_token(e, "`>`") && p->before_last == '>') return "the arrow is written `->`";
    if (found_token(e, "`,`") && in_stages) return "layers in braces are joined by arrows: `{ a -> b }`";
    if (found_token(e, "`,`") && expects_token(e, "the end of the line"))
        return "several values are written in parentheses: `(a, b)`";
    if (found_token(e, "`:`") && p->before_last == TOKEN_NAME && is_dotted_label(p))
        return help_dotted_label(p);
    if (found_token(e, "`:`") && body_wanted) return "a body is written in braces: `{ ... }`";
    if (found_token(e, "`->`") && (body_wanted || expects_token(e, "`]`") || expects_token(e, "`:`")))
        return "put the run in parentheses: `(x -> f)`";
    if (is_word_span(p, e->span) && body_wanted && expects_token(e, "`+`"))
        return "what is done is written in braces: `{ ... }`";
    if (in_stages && expects_token(e, "`->`") && is_word_span(p, e->span))
        return "layers in braces are joined by arrows: `{ a -> b }`";
    if (found_token(e, "a string") && p->before_last == TOKEN_NAME &&
        p->before_last_span.end == e->span.begin)
        return "strings have no prefix: braces in them always enclose an expression";
    if (found_token(e, "a name") && !strcmp(text_of_span(p, p->before_last_span), "lambda"))
        return "a function is a block: `block f(x) { return 2 * x }`";
    if (found_token(e, "a name") && expects_token(e, "`->`") && expects_token(e, "the end of the line"))
        return arena_printf(p->arena, "if it is a stage, an arrow goes before it: `-> %s`",
                            text_of_span(p, e->span));
    if (found_token(e, "`for`") && parser_innermost(p) == '(')
        return "a list of the results of all rounds is written in brackets: `[2 * i for i in 0 .. n]`";
    if (found_token(e, "`for`") && parser_innermost(p) == '[')
        return "write one value before `for`, the result of each round: `[2 * i for i in 0 .. n]`";
    if (found_token(e, "`else`")) return "`else` must follow the `}` of an `if`";
    return help_in_signature(p, e);
}

/* `show = x`, or `block repeat(x)`. */
static bool report_reserved(Parser *p, const SyntaxError *e) {
    /* `y = if c { a } else { b }`, `[for x in xs]` */
    bool choice = (found_token(e, "`if`") || found_token(e, "`for`")) && expects_value(e);
    bool here = !choice && is_word_span(p, e->span) && !found_token(e, "a name") &&
                expects_token(e, "a name") && !expects_token(e, "`model`") && !expects_token(e, "`return`");
    bool before = found_token(e, "`=`") && p->before_last >= TOKEN_USE && p->before_last <= TOKEN_SHOW &&
                  expects_value(e);
    if (!here && !before) return false;
    Span span = before ? p->before_last_span : e->span;
    Diagnostic *d = parser_error(p, DIAG_reserved_word, span, "`%s` is a reserved word and cannot be a name",
                                 text_of_span(p, span));
    if (p->source->text[span.end] == ':')
        diag_help(p->diag, d, "as a label it is written in quotes: `\"%s\": ...`", text_of_span(p, span));
    return true;
}

/* A declaration in place of a statement. */
static bool report_nested(Parser *p, const SyntaxError *e) {
    bool declares = found_token(e, "`block`") || found_token(e, "`model`") || found_token(e, "`use`") ||
                    found_token(e, "`train`") || found_token(e, "`optimizer`");
    if (!declares || !expects_token(e, "`return`")) return false;
    const char *word = text_of_span(p, e->span);
    Diagnostic *d = parser_error(p, DIAG_declaration_place, e->span,
                                 "a `%s` must be at the top level of a file, not in a body", word);
    if (found_token(e, "`block`"))
        diag_help(
            p->diag, d,
            "move it out of this body; what is needed only here may be a layer in braces, `f = { conv(8, 3) -> relu }`");
    else diag_help(p->diag, d, "move it out of this body, to the top level of the file");
    return true;
}

/* A statement's header without a `{` on its line. */
static bool body_missing(Parser *p, const SyntaxError *e) {
    const char *word = first_word(p, e->span.begin), *rest = p->source->text + e->span.begin;
    bool header = *line_begin_of(p, e->span.begin) == '}' || !strcmp(word, "for") || !strcmp(word, "if") ||
                  !strcmp(word, "repeat");
    return header && expects_token(e, "`{`") && !expects_value(e) && rest[strcspn(rest, "{#\n")] != '{';
}

void parser_syntax_error(Parser *p, const SyntaxError *e) {
    if (p->stopped || p->silent || (p->at_end && p->errors > 0 && e->span.begin >= p->source->length)) return;
    if (report_left_open(p, e)) return;
    if (is_comparison_error(e) && expects_token(e, "`+`") && !expects_token(e, "`==`")) {
        Diagnostic *d = parser_error(p, DIAG_chained_comparison, e->span, "comparisons cannot be chained");
        diag_help(p->diag, d, "write `a < b and b < c`");
        return;
    }
    const char *help = help_on_comments(p, e);
    if (!help && (report_nested(p, e) || report_foreign_word(p, e) || report_reserved(p, e))) return;
    if (!help) help = help_in_training(p, e);
    if (!help) help = help_by_place(p, e);
    p->body_missing = body_missing(p, e);
    Diagnostic *d = parser_error(p, DIAG_syntax, e->span, "expected %s, found %s", expected_words(p, e),
                                 found_words(p, e));
    if (help) diag_help(p->diag, d, "%s", help);
}

void parser_too_deep(Parser *p, Span span) {
    parser_error(p, DIAG_too_deep, span,
                 "this is nested too deeply to be read: %d symbols are waiting for their ends",
                 NESTED_SYMBOLS_MAX);
    p->stopped = true;
}
