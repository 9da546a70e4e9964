/* The canonical form of a text for `cai fmt`, and of a signature for `cai doc`. Lines and
 * words are the author's; the spaces between them are ours.
 *
 * - Whether a space stands between two tokens depends on the two alone (space_between).
 * - A line is indented by two from the statement or the bracket that it belongs to, and a
 *   continuation line by two more.
 * - What the author aligned stays aligned: lines within ( and [ with the word after the
 *   bracket; and words of neighbouring lines that are the same at the same column, where
 *   one of them has more spaces before it than it needs. All words that are tied like
 *   this move to the column of the one that needs the most room, so a formatted text is
 *   left unchanged.
 * - Several blank lines become one, and none is left at the edges of braces or of the
 *   file. Comments stay before or after the same words. */
#include "syntax/parse.h"
#include "cai.tab.h"

enum { INDENT = 2, COMMENT_GAP = 2 };

typedef struct Word { /* a token, a whole string, or a comment */
    int token;        /* 0 for a comment */
    Span span;
    int line, column; /* its place in the text, from 0 */
    int width;        /* as printed */
    int before;       /* spaces that it needs before it */
    int above;        /* the word that it is aligned with; or -1 */
    int at;           /* the column it gets */
} Word;

typedef Vec(Word) WordList;

typedef struct FormatLine { int first, count, indent; bool blank_above; } FormatLine;

typedef struct Format {
    Arena *arena;
    const Source *source;
    WordList words;
    Vec(FormatLine) lines;
    uint32_t counted; /* up to here the columns of the last word's line are counted, */
    int column;       /* which has this many columns */
} Format;

/* ---- words ---- */

static int width_of_source(const Source *source, uint32_t begin, uint32_t end) {
    int width = 0;
    for (uint32_t i = begin; i < end; i++) width += (source->text[i] & 0xC0) != 0x80;
    return width;
}

static void add_token_word(Format *f, int token, uint32_t begin, uint32_t end) {
    int line = source_place(f->source, begin).line - 1;
    if (f->words.count == 0 || vec_last(&f->words).line != line) {
        f->counted = f->source->line_starts.items[line];
        f->column = 0;
    }
    f->column += width_of_source(f->source, f->counted, begin);
    f->counted = begin;
    Word word = {.token = token,
                 .span = {f->source, begin, end},
                 .line = line,
                 .column = f->column,
                 .width = width_of_source(f->source, begin, end),
                 .above = -1};
    vec_push(f->arena, &f->words, word);
}

/* The comments between two tokens, without the blanks at their ends. */
static void add_comments(Format *f, uint32_t begin, uint32_t end) {
    const char *text = f->source->text;
    for (uint32_t at = begin; at < end; at++) {
        if (text[at] != '#') continue;
        uint32_t stop = at;
        while (stop < end && text[stop] != '\n') stop++;
        uint32_t last = stop;
        while (last > at && strchr(" \t\r", text[last - 1])) last--;
        add_token_word(f, 0, at, last);
        at = stop;
    }
}

/* Adds the word that begins at token i, and returns the last of its tokens: a string is
 * one word, with the contents of its holes. */
static int add_token(Format *f, const TokenList *tokens, int i) {
    const Token *token = &tokens->items[i];
    if (token->kind == TOKEN_STRING_BEGIN)
        while (tokens->items[i].kind != TOKEN_STRING_END) i++;
    add_token_word(f, token->kind, token->span.begin, tokens->items[i].span.end);
    return i;
}

static void read_words(Format *f, const TokenList *tokens) {
    uint32_t end = strncmp(f->source->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (int i = 0; i < tokens->count; i++) {
        const Token *token = &tokens->items[i];
        if (token->kind == TOKEN_NEWLINE) continue;
        add_comments(f, end, token->span.begin);
        if (token->kind == TOKEN_END) break;
        i = add_token(f, tokens, i);
        end = tokens->items[i].span.end;
    }
}

/* ---- between two words ---- */

static bool token_is_among(int token, const int *tokens, int count) {
    for (int i = 0; i < count; i++)
        if (tokens[i] == token) return true;
    return false;
}
#define IS_AMONG(token, ...) \
    token_is_among(token, (const int[]){__VA_ARGS__}, COUNT_OF(((const int[]){__VA_ARGS__})))

/* Whether the token ends a value, so that an infix operator, an index or a call
 * follows. */
static bool ends_value(int token) {
    return IS_AMONG(token, TOKEN_NAME, TOKEN_INT, TOKEN_FLOAT, TOKEN_STRING_BEGIN, TOKEN_PARAM, TOKEN_STATE,
                    TOKEN_TRUE, TOKEN_FALSE, ')', ']', '}');
}

/* `-x`, `*xs`: no value ends before it. */
static bool is_prefix(const Word *word, int before) {
    return (word->token == '-' || word->token == '*') && !ends_value(before);
}

/* `3 epochs`: a value and a word in one line are a length. */
static bool is_unit(const Word *word, int before) {
    return word->token == TOKEN_NAME && ends_value(before) && word[-1].line == word->line;
}

/* in_index: within the brackets of an index, where a colon belongs to a slice; elsewhere
 * to a label or a type. */
static bool space_between(const Word *left, int before_left, const Word *right, bool in_index) {
    if (IS_AMONG(left->token, '(', '[', '.') || IS_AMONG(right->token, ')', ']', ',', '.')) return false;
    if (right->token == ':') return left->token == ',';
    if (left->token == ':') return !in_index;
    if (is_prefix(left, before_left)) return false;
    if (right->token == '(')
        return (!ends_value(left->token) && left->token != TOKEN_EXPECT) || is_unit(left, before_left);
    if (right->token == '[') return !ends_value(left->token);
    if (left->token == '{' && right->token == '}') return false;
    return true;
}

/* ---- lines ---- */

typedef struct Open { /* a bracket that is open */
    char bracket;
    bool index;        /* of x[...], not a list's */
    bool body;         /* a brace whose lines are statements */
    int inside;        /* the column of the lines within */
    int hang;          /* the word after it on its line, with which lines may be aligned; -1: none */
    int closing;       /* the column of a line that begins with the bracket that closes it */
    int first, indent; /* of the statement that it is part of, which continues after it closes */
} Open;

typedef struct ColumnLayout {
    Format *f;
    Vec(Open) open;
    int previous, before_previous; /* the last tokens; 0 at the beginning */
    int first, indent;             /* of the statement: its first token, 0 where none has begun; its column */
} ColumnLayout;

static char innermost_of(const ColumnLayout *l) { return l->open.count ? vec_last(&l->open).bracket : 0; }

static bool is_closing(int token) { return IS_AMONG(token, ')', ']', '}'); }

/* Whether a line that begins with the token continues the statement above, by the rule of
 * parse.c. */
static bool token_goes_on(int token) {
    return IS_AMONG(token, '+', '-', '*', '/', '%', '@', '<', '>', TOKEN_ARROW, TOKEN_POW, TOKEN_FLOORDIV,
                    TOKEN_EQ, TOKEN_NE, TOKEN_LE, TOKEN_GE, TOKEN_AND, TOKEN_OR, TOKEN_ELSE, TOKEN_OVER,
                    TOKEN_WITH, TOKEN_WHERE);
}

/* The length of a train block may stand in a line of its own. */
static bool goes_on_at_top(int token) { return token == TOKEN_FOR || token_goes_on(token); }

/* Braces of these statements hold statements; all others hold stages. */
static bool has_body(int first) {
    return IS_AMONG(first, TOKEN_MODEL, TOKEN_BLOCK, TOKEN_TRAIN, TOKEN_OPTIMIZER, TOKEN_IF, TOKEN_FOR,
                    TOKEN_REPEAT, TOKEN_PHASE, TOKEN_ONCE, TOKEN_EVERY, TOKEN_MEASURE);
}

static void begin_statement(ColumnLayout *l, int first) {
    l->first = first;
    l->indent = l->open.count ? vec_last(&l->open).inside : 0;
}

/* The column of a line that begins with `token`. For a comment, the token below it closes
 * no bracket. */
static int column_of_token(const ColumnLayout *l, int token, bool comment) {
    const Open *in = l->open.count ? &vec_last(&l->open) : NULL;
    if (in && is_closing(token)) return comment ? in->inside : in->closing;
    if (token == TOKEN_ELSE && l->previous == '}') return l->indent;
    if (in ? in->body && token_goes_on(token) : goes_on_at_top(token)) return l->indent + INDENT;
    return in ? in->inside : 0;
}

/* Stages within braces are laid out like statements, including their arrows. */
static bool begins_statement(const ColumnLayout *l, int token) {
    if (is_closing(token)) return false;
    if (l->open.count == 0) return !goes_on_at_top(token);
    const Open *in = &vec_last(&l->open);
    return in->bracket == '{' && (!in->body || !token_goes_on(token));
}

static void open_bracket(ColumnLayout *l, int index, int line_indent, bool last_in_line) {
    int token = l->f->words.items[index].token;
    bool body = token == '{' && has_body(l->first) && innermost_of(l) != '(' && innermost_of(l) != '[';
    int column = body ? l->indent : line_indent;
    Open open = {.bracket = (char)token,
                 .index = token == '[' && ends_value(l->previous),
                 .body = body,
                 .closing = column,
                 .inside = column + INDENT,
                 .first = l->first,
                 .indent = l->indent};
    open.hang = token == '{' || last_in_line ? -1 : index + 1;
    vec_push(l->f->arena, &l->open, open);
    if (body) l->first = 0;
}

static void close_bracket(ColumnLayout *l) {
    if (l->open.count == 0) return;
    Open closed = l->open.items[--l->open.count];
    l->first = closed.first;
    l->indent = closed.indent;
}

static void pass_token(ColumnLayout *l, int index, int line_indent, bool last_in_line) {
    int token = l->f->words.items[index].token;
    if (is_closing(token)) close_bracket(l);
    else if (l->first == 0) begin_statement(l, token);
    if (IS_AMONG(token, '(', '[', '{')) open_bracket(l, index, line_indent, last_in_line);
    l->before_previous = l->previous;
    l->previous = token;
}

/* The first token at or below a line: a comment on a line of its own is indented like
 * what it is above. */
static int token_from(const Format *f, int line) {
    for (int i = line; i < f->lines.count; i++)
        if (f->words.items[f->lines.items[i].first].token)
            return f->words.items[f->lines.items[i].first].token;
    return 0;
}

static int spaces_before(const ColumnLayout *l, int index) {
    const Word *word = &l->f->words.items[index];
    bool in_index = l->open.count && vec_last(&l->open).index;
    return word->token == 0 ? COMMENT_GAP : space_between(word - 1, l->before_previous, word, in_index);
}

/* Gives the words of a line the spaces that they need, and the columns that they have if
 * nothing is tied. */
static void lay_out(ColumnLayout *l, int number) {
    Format *f = l->f;
    FormatLine *line = &f->lines.items[number];
    Word *words = f->words.items;
    int at = line->indent = column_of_token(l, token_from(f, number), words[line->first].token == 0),
        end = line->first + line->count;
    const Open *in = l->open.count ? &vec_last(&l->open) : NULL;
    if (in && in->hang >= 0 && words[in->hang].column == words[line->first].column)
        words[line->first].above = in->hang;
    if (words[line->first].token && begins_statement(l, words[line->first].token)) l->first = 0;
    for (int i = line->first; i < end; i++) {
        words[i].before = i == line->first ? 0 : spaces_before(l, i);
        words[i].at = at + words[i].before;
        at = words[i].at + words[i].width;
        if (words[i].token) pass_token(l, i, line->indent, i + 1 == end || words[i + 1].token == 0);
    }
}

static void read_lines(Format *f) {
    for (int i = 0; i < f->words.count; i++) {
        const Word *word = &f->words.items[i];
        if (i && word->line == word[-1].line) {
            vec_last(&f->lines).count++;
            continue;
        }
        bool edge = i == 0 || word[-1].token == '{' || word->token == '}';
        vec_push(
            f->arena, &f->lines,
            (FormatLine){.first = i, .count = 1, .blank_above = !edge && word->line > word[-1].line + 1});
    }
}

/* ---- what stands under each other ---- */

static bool same_text(const Word *a, const Word *b) {
    if (a->token == 0 || b->token == 0) return a->token == b->token;
    size_t length = a->span.end - a->span.begin;
    return a->token == b->token && length == b->span.end - b->span.begin &&
           memcmp(a->span.source->text + a->span.begin, b->span.source->text + b->span.begin, length) == 0;
}

/* The spaces that the author put before a word beyond those it needs; for the first word
 * of a line, beyond the indentation. */
static int spare_of(const Format *f, int index, const FormatLine *line) {
    const Word *word = &f->words.items[index];
    if (index == line->first) return word->column - line->indent;
    return word->column - (word[-1].column + word[-1].width) - word->before;
}

static void tie_lines(Format *f, const FormatLine *upper, const FormatLine *line) {
    Word *words = f->words.items;
    if (words[line->first].line != words[upper->first].line + 1) return;
    int above = upper->first;
    for (int i = line->first; i < line->first + line->count; i++) {
        if (i == line->first && words[i].token == 0) continue;
        while (above < upper->first + upper->count && words[above].column < words[i].column) above++;
        if (above == upper->first + upper->count) return;
        if (words[above].column != words[i].column || !same_text(&words[above], &words[i])) continue;
        /* indentation is all that they share */
        if (above == upper->first && (i != line->first || words[above].above < 0)) continue;
        if (spare_of(f, i, line) > 0 || (above != upper->first && spare_of(f, above, upper) > 0))
            words[i].above = above;
    }
}

/* Moves a word to the right as far as the word before it and the one that it is tied to
 * demand; moves the latter, too. */
static bool settle_word(Word *words, int index, bool begins) {
    Word *word = &words[index], *above = word->above >= 0 ? &words[word->above] : word;
    int least = word->at > above->at ? word->at : above->at,
        room = begins ? 0 : word[-1].at + word[-1].width + word->before;
    if (room > least) least = room;
    bool moved = least > word->at || least > above->at;
    if (moved) word->at = above->at = least;
    return moved;
}

static bool settle_line(Format *f, const FormatLine *line) {
    bool moved = false;
    for (int i = line->first; i < line->first + line->count; i++)
        moved = settle_word(f->words.items, i, i == line->first) || moved;
    return moved;
}

/* Passes downwards and upwards until all tied words are aligned. Columns only grow, and
 * no further than all words in one row would reach. */
static void settle_columns(Format *f) {
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < f->lines.count; i++) moved = settle_line(f, &f->lines.items[i]) || moved;
        for (int i = f->lines.count - 1; i >= 0; i--) moved = settle_line(f, &f->lines.items[i]) || moved;
    }
}

/* ---- writing ---- */

static const char *write_lines(Format *f) {
    Text text = {.arena = f->arena};
    for (int l = 0; l < f->lines.count; l++) {
        const FormatLine *line = &f->lines.items[l];
        int at = 0;
        if (line->blank_above) text_add_bytes(&text, "\n", 1);
        for (int i = line->first; i < line->first + line->count; i++) {
            const Word *word = &f->words.items[i];
            text_add(&text, "%*s", word->at - at, "");
            text_add_bytes(&text, f->source->text + word->span.begin, word->span.end - word->span.begin);
            at = word->at + word->width;
        }
        text_add_bytes(&text, "\n", 1);
    }
    return text_string(&text);
}

const char *format_source(Arena *arena, Names *names, Diagnostics *diag, Source *source) {
    TokenList tokens = {0};
    parse_tokens(arena, names, diag, source, &tokens);
    if (diag->errors) return NULL;
    Format f = {.arena = arena, .source = source};
    ColumnLayout layout = {.f = &f};
    read_words(&f, &tokens);
    read_lines(&f);
    for (int i = 0; i < f.lines.count; i++) {
        lay_out(&layout, i);
        if (i) tie_lines(&f, &f.lines.items[i - 1], &f.lines.items[i]);
    }
    settle_columns(&f);
    return write_lines(&f);
}

/* ---- a signature by itself ---- */

/* The words of a declaration up to its body, all in one line, without comments. */
static void read_signature_tokens(Format *f, const TokenList *tokens, const Decl *decl) {
    int depth = 0;
    for (int i = 0; i < tokens->count; i++) {
        const Token *token = &tokens->items[i];
        if (token->span.begin < decl->span.begin || token->kind == TOKEN_NEWLINE) continue;
        if (token->span.begin >= decl->span.end ||
            (token->kind == '{' && depth == 0 && decl->kind != DECL_CONSTANT))
            break;
        depth += IS_AMONG(token->kind, '(', '[', '{') - is_closing(token->kind);
        i = add_token(f, tokens, i);
        vec_last(&f->words).line = 0;
    }
}

/* Whether a signature may continue in a new line: after a comma of its outermost
 * brackets, before the results and before `where`. */
static bool may_break(const Word *word, int depth) {
    return depth == 1 ? word[-1].token == ',' : depth == 0 && IS_AMONG(word->token, TOKEN_ARROW, TOKEN_WHERE);
}

static int depth_behind(const Word *word, int depth) {
    return depth + IS_AMONG(word->token, '(', '[', '{') - is_closing(word->token);
}

/* The column at which the unbreakable piece that begins with word i ends. */
static int end_of_piece(const WordList *words, int i, int depth) {
    const Word *word = &words->items[i], *end = words->items + words->count;
    do depth = depth_behind(word++, depth);
    while (word < end && !may_break(word, depth));
    return word[-1].at + word[-1].width;
}

static const char *write_signature(const Format *f, int width) {
    Text text = {.arena = f->arena};
    /* open brackets, the column after the outermost, how far this line is moved */
    int depth = 0, inside = 0, shift = 0;
    for (int i = 0; i < f->words.count; i++) {
        const Word *word = &f->words.items[i];
        int gap = i ? word->at - word[-1].at - word[-1].width : 0;
        if (i && may_break(word, depth) && end_of_piece(&f->words, i, depth) + shift > width) {
            gap = depth ? inside : INDENT;
            shift = gap - word->at;
            text_add_bytes(&text, "\n", 1);
        }
        text_add(&text, "%*s", gap, "");
        text_add_bytes(&text, f->source->text + word->span.begin, word->span.end - word->span.begin);
        if (depth == 0) inside = word->at + word->width + shift;
        depth = depth_behind(word, depth);
    }
    return text_string(&text);
}

const char *format_signature(Arena *arena, const TokenList *tokens, const Decl *decl, int width) {
    Format f = {.arena = arena, .source = decl->source};
    ColumnLayout layout = {.f = &f};
    read_signature_tokens(&f, tokens, decl);
    read_lines(&f);
    lay_out(&layout, 0);
    return write_signature(&f, width);
}
