/* Mutations of source: a token is dropped, doubled, swapped with its neighbour or
 * replaced by another of its kind; a line is dropped, doubled, moved, or taken from
 * another file. Words and lines come from the library, the examples and the tests. */
#include "fuzz.h"
#include <glob.h>
#include <stdlib.h>

size_t LLVMFuzzerMutate(unsigned char *bytes, size_t count, size_t limit);

enum { MAX_TOKENS = 4000 };

typedef struct Piece { /* of a text */
    const char *at;
    size_t length;
} Piece;
typedef Vec(Piece) Pieces;
typedef enum TokenKind { TOKEN_KIND_WORD, TOKEN_KIND_NUMBER, TOKEN_KIND_SIGN, TOKEN_KIND_COUNT } TokenKind;

static Arena *arena;
static Pieces lines, tokens_of[TOKEN_KIND_COUNT];
static uint64_t state;

static int below(int limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return limit > 0 ? (int)((state >> 33) % (uint64_t)limit) : 0;
}

/* ---- tokens ---- */

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static TokenKind kind_of(char c) {
    return is_letter(c) ? TOKEN_KIND_WORD : is_digit(c) ? TOKEN_KIND_NUMBER : TOKEN_KIND_SIGN;
}

/* A word, a number, or a sign; spaces belong to none, a newline is one. */
static size_t token_length(const char *at, const char *end) {
    static const char *const signs[] = {"->", "...", "..", "**", "//", "==", "!=", "<=", ">="};
    const char *next = at + 1;
    if (is_letter(*at)) {
        while (next < end && (is_letter(*next) || is_digit(*next))) next++;
    } else if (is_digit(*at)) {
        while (next < end && (is_digit(*next) || (*next == '.' && next + 1 < end && is_digit(next[1]))))
            next++;
    } else {
        for (int i = 0; i < COUNT_OF(signs); i++) {
            size_t length = strlen(signs[i]);
            if (length <= (size_t)(end - at) && !memcmp(at, signs[i], length)) return length;
        }
    }
    return (size_t)(next - at);
}

static int split(const char *text, size_t length, Piece *pieces, int most) {
    const char *at = text, *end = text + length;
    int count = 0;
    while (at < end && count < most) {
        while (at < end && (*at == ' ' || *at == '\t' || *at == '\r')) at++;
        if (at == end) break;
        if (*at == '#') {
            while (at < end && *at != '\n') at++;
            continue;
        }
        pieces[count++] = (Piece){at, token_length(at, end)};
        at += pieces[count - 1].length;
    }
    return count;
}

/* ---- what is known ---- */

static void learn(const char *text, size_t length) {
    static Piece pieces[MAX_TOKENS];
    int count = split(text, length, pieces, MAX_TOKENS);
    for (int i = 0; i < count; i++) vec_push(arena, &tokens_of[kind_of(*pieces[i].at)], pieces[i]);
    for (const char *at = text, *end = text + length; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t width = (size_t)((newline ? newline : end) - at);
        if (width > 2 && *at != '#') vec_push(arena, &lines, (Piece){at, width});
        at += width + 1;
    }
}

static void learn_file(const char *path) {
    FILE *file = fopen(path, "rb");
    Text text = {.arena = arena};
    char part[4096];
    size_t count;
    while (file && (count = fread(part, 1, sizeof part, file)) > 0) text_add_bytes(&text, part, count);
    if (file) fclose(file);
    learn(text_string(&text), text.length);
}

void mutate_open(void) {
    static const char *const patterns[] = {"stdlib/*.cai", "examples/*.cai", "tests/tiny/*.cai",
                                           "tests/golden/*/*.cai", "tests/golden/models/*.cai"};
    static const char numbers[] =
        "0 1 2 3 5 7 8 15 16 17 31 32 33 64 65 255 1000 65536 65537 1000000 2147483647 2147483648 "
        "4294967296 4611686018427387904 9223372036854775807 0.5 1.5 0.1 1e300 1e-300 123456789012";
    arena = arena_new();
    for (int i = 0; i < COUNT_OF(patterns); i++) {
        glob_t files;
        if (glob(patterns[i], 0, NULL, &files) != 0) continue;
        for (size_t k = 0; k < files.gl_pathc; k++) learn_file(files.gl_pathv[k]);
        globfree(&files);
    }
    for (int i = 0; i < 100; i++) learn(numbers, sizeof numbers - 1);
}

/* ---- a text under mutation: text[0 .. length) of at most `limit` bytes ---- */

typedef struct Draft {
    char *text;
    size_t length, limit;
} Draft;

/* Replaces what is at [from, from + gone) by `with`, where there is room. */
static void splice(Draft *d, size_t from, size_t gone, const char *with, size_t length) {
    if (d->length - gone + length > d->limit) return;
    char *copy = malloc(length + 1); /* `with` may be part of the text */
    memcpy(copy, with, length);
    memmove(d->text + from + length, d->text + from + gone, d->length - from - gone);
    memcpy(d->text + from, copy, length);
    d->length += length - gone;
    free(copy);
}

static Piece known(TokenKind kind) { return tokens_of[kind].items[below(tokens_of[kind].count)]; }

/* Another of its kind: half the time of this text, where names mean something. */
static Piece another(const Piece *pieces, int count, Piece like) {
    TokenKind kind = kind_of(*like.at);
    for (int i = 0; i < 8 && below(2); i++) {
        Piece other = pieces[below(count)];
        if (kind_of(*other.at) == kind) return other;
    }
    return known(below(8) ? kind : (TokenKind)below(TOKEN_KIND_COUNT));
}

static void put_between(Draft *d, size_t at, Piece piece) {
    char spaced[300];
    if (piece.length > sizeof spaced - 2) return;
    int length = snprintf(spaced, sizeof spaced, " %.*s ", (int)piece.length, piece.at);
    splice(d, at, 0, spaced, (size_t)length);
}

static void swap_pieces(Draft *d, Piece a, Piece b) {
    Text both = {.arena = arena_new()};
    size_t from = (size_t)(a.at - d->text), end = (size_t)(b.at - d->text) + b.length;
    text_add_bytes(&both, b.at, b.length);
    text_add_bytes(&both, a.at + a.length, (size_t)(b.at - a.at) - a.length);
    text_add_bytes(&both, a.at, a.length);
    splice(d, from, end - from, both.bytes, both.length);
    arena_free(both.arena);
}

static void mutate_token(Draft *d) {
    static Piece pieces[MAX_TOKENS];
    int count = split(d->text, d->length, pieces, MAX_TOKENS);
    if (count == 0) return;
    int i = below(count), k = below(count);
    size_t at = (size_t)(pieces[i].at - d->text);
    switch (below(8)) {
    case 0: splice(d, at, pieces[i].length, "", 0); break;
    case 1: put_between(d, at, pieces[i]); break;
    case 2: put_between(d, at, pieces[k]); break;
    case 3: put_between(d, at, known((TokenKind)below(TOKEN_KIND_COUNT))); break;
    case 4:
        if (i < k) swap_pieces(d, pieces[i], pieces[k]);
        break;
    default: {
        Piece other = another(pieces, count, pieces[i]);
        splice(d, at, pieces[i].length, other.at, other.length);
    }
    }
}

/* The line around a random place, with its newline. */
static Piece any_line(const Draft *d) {
    size_t from = (size_t)below((int)d->length), end = from;
    while (from > 0 && d->text[from - 1] != '\n') from--;
    while (end < d->length && d->text[end] != '\n') end++;
    if (end < d->length) end++;
    return (Piece){d->text + from, end - from};
}

static void mutate_line(Draft *d) {
    Piece line = any_line(d), other = any_line(d);
    size_t at = (size_t)(line.at - d->text);
    switch (below(4)) {
    case 0: splice(d, at, line.length, "", 0); break;
    case 1: splice(d, at, 0, line.at, line.length); break;
    case 2: splice(d, at, 0, other.at, other.length); break;
    default: {
        Piece foreign = lines.items[below(lines.count)];
        splice(d, at, 0, "\n", 1);
        splice(d, at, 0, foreign.at, foreign.length);
    }
    }
}

size_t mutate_source(unsigned char *bytes, size_t count, size_t limit, unsigned seed) {
    Draft d = {(char *)bytes, count, limit};
    state = seed * 2654435761u + 88172645463325252u;
    for (int rounds = 1 + below(4); rounds > 0; rounds--) {
        if (d.length == 0) return LLVMFuzzerMutate(bytes, d.length, limit);
        if (below(4)) mutate_token(&d);
        else mutate_line(&d);
    }
    return d.length;
}
