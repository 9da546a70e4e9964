/* --rename FILE: lines `THEIRS -> OURS [transpose]`; the arrow and the brackets are
 * optional. A * in THEIRS matches any text, and the n-th * in OURS is replaced by what
 * the n-th * in THEIRS matched. If OURS is `-`, the name is dropped. The first line that
 * matches is used; blank lines and lines that begin with # are ignored.
 *
 * A line with a fold has several names on one side, `*.weight_g *.weight_v -> *.weight
 * [weight_norm]`, in which the n-th stars of all names match the same text. */
#include "weights/weights.h"

#define STARS_MAX 8
static const char blanks[] = " \t\r";

typedef struct Rename {
    const char *theirs[RENAME_MAX], *ours[RENAME_MAX];
    int their_count, our_count;
    const Transform *transform; /* or NULL */
} Rename;

struct Renames {
    Vec(Rename) list;
};

typedef struct Star { /* the text that a * matched */
    const char *begin;
    size_t length;
} Star;

/* Each * takes the shortest text possible, and more only if the rest of the pattern does
 * not match. Only the last * is extended, so that the time stays bounded. */
static bool match_pattern(const char *pattern, const char *text, Star *stars, int *count) {
    const char *retry_pattern = NULL, *retry_text = NULL;
    int retry_star = 0;
    *count = 0;
    for (;;) {
        if (*pattern == '*' && *count < STARS_MAX) {
            stars[*count] = (Star){text, 0};
            retry_star = (*count)++;
            retry_pattern = ++pattern;
            retry_text = text;
        } else if (*pattern == *text && *text) {
            pattern++, text++;
        } else if (*pattern == *text) {
            return true;
        } else {
            if (!retry_pattern || !*retry_text) return false;
            stars[retry_star].length = (size_t)(++retry_text - stars[retry_star].begin);
            pattern = retry_pattern;
            text = retry_text;
            *count = retry_star + 1;
        }
    }
}

bool pattern_matches(const char *pattern, const char *text) {
    Star stars[STARS_MAX];
    int count;
    return match_pattern(pattern, text, stars, &count);
}

static int count_stars(const char *text) {
    int count = 0;
    for (; *text; text++) count += *text == '*';
    return count;
}

/* Reads the brackets at the end of a line, and moves *end before them. False if their
 * contents are unknown. */
static bool read_transform(Arena *arena, const char *begin, const char **end, const Transform **transform) {
    while (*end > begin && strchr(blanks, (*end)[-1])) --*end;
    const char *open = *end > begin && (*end)[-1] == ']' ? memrchr(begin, '[', (size_t)(*end - begin)) : NULL;
    *transform = NULL;
    if (!open) return true;
    Transform read;
    if (!transform_parse(open + 1, (size_t)(*end - open - 2), &read)) return false;
    *transform = arena_copy(arena, &read, sizeof read);
    *end = open;
    return true;
}

static bool is_arrow(const char *word, size_t length) { return length == 2 && memcmp(word, "->", 2) == 0; }

/* Splits a line into its names: theirs, then ours after the arrow; without an arrow there
 * must be two names. */
static bool read_names(Arena *arena, const char *at, const char *end, Rename *rename) {
    bool behind = false;
    for (;;) {
        size_t length = 0;
        while (at < end && strchr(blanks, *at)) at++;
        while (at + length < end && !strchr(blanks, at[length])) length++;
        if (!length) break;
        int *count = behind ? &rename->our_count : &rename->their_count;
        if (is_arrow(at, length) && !behind) behind = true;
        else if (*count == RENAME_MAX) return false;
        else (behind ? rename->ours : rename->theirs)[(*count)++] = arena_strndup(arena, at, length);
        at += length;
    }
    if (!behind && rename->their_count == 2)
        rename->ours[0] = rename->theirs[1], rename->their_count = rename->our_count = 1;
    return rename->their_count > 0 && rename->our_count > 0;
}

/* Whether all of theirs have equally many stars, and none of ours has more. */
static bool stars_agree(const Rename *rename) {
    const int stars = count_stars(rename->theirs[0]);
    for (int i = 1; i < rename->their_count; i++)
        if (count_stars(rename->theirs[i]) != stars) return false;
    for (int i = 0; i < rename->our_count; i++)
        if (count_stars(rename->ours[i]) > stars) return false;
    return stars <= STARS_MAX;
}

/* Adds a line to the renames. Returns what is wrong with the line, or NULL. */
static const char *read_rename(Arena *arena, Renames *renames, const char *begin, const char *end) {
    Rename rename = {0};
    while (begin < end && strchr(blanks, *begin)) begin++;
    if (begin == end || *begin == '#') return NULL;
    if (!read_transform(arena, begin, &end, &rename.transform)) return "the transform in brackets is unknown";
    if (!read_names(arena, begin, end, &rename) || !stars_agree(&rename) ||
        (!rename.transform && rename.their_count + rename.our_count > 2))
        return "a line must have two names, theirs and ours, with no more *s in ours than in theirs";
    if (rename.transform && !transform_takes(rename.transform, rename.their_count, rename.our_count))
        return arena_printf(arena, "[%s] must come after names of the form %s",
                            transform_word(rename.transform), transform_names(rename.transform));
    vec_push(arena, &renames->list, rename);
    return NULL;
}

Renames *renames_read(Arena *arena, Diagnostics *diag, const char *path) {
    cai_file file;
    cai_error error;
    if (!cai_file_read(path, &file, &error)) {
        diag_error(diag, DIAG_file, (Span){0}, "%s", error.message);
        return NULL;
    }
    Renames *renames = NEW(arena, Renames);
    const char *at = (const char *)file.data, *end = at + file.count;
    const char *wrong = NULL;
    for (int line = 1; at < end && !wrong; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        wrong = memchr(at, 0, (size_t)(stop - at)) ? "a line must not have a zero byte"
                                                   : read_rename(arena, renames, at, stop);
        if (wrong) {
            Diagnostic *d = diag_error(diag, DIAG_rename, (Span){0}, "%s:%d: %s", path, line, wrong);
            diag_help(
                diag, d,
                "for example `module.* -> *`, `head.fc.* -> -` to drop names, `*.kernel -> *.weight [transpose]`, "
                "[permute 3 2 0 1] or [reshape 64 -1 1 1] to transform a tensor, `*.weight_g *.weight_v -> *.weight [weight_norm]` to fold several");
        }
        at = stop + 1;
    }
    cai_file_close(&file);
    return wrong ? NULL : renames;
}

static const char *fill_stars(Arena *arena, const char *ours, const Star *stars) {
    Text text = {.arena = arena};
    int star = 0;
    for (; *ours; ours++) {
        if (*ours == '*') text_add_bytes(&text, stars[star].begin, stars[star].length), star++;
        else text_add_bytes(&text, ours, 1);
    }
    return text_string(&text);
}

/* The index of the name of theirs that matches, with the texts of its stars; -1: none. */
static int match_theirs(const Rename *rename, const char *name, Star *stars) {
    int count;
    for (int i = 0; i < rename->their_count; i++)
        if (match_pattern(rename->theirs[i], name, stars, &count)) return i;
    return -1;
}

static bool fill_theirs(const Rename *rename, Arena *arena, const Star *stars,
                        bool (*has)(void *context, const char *name), void *context, Renamed *out) {
    for (int i = 0; i < rename->their_count; i++) {
        out->theirs[i] = fill_stars(arena, rename->theirs[i], stars);
        if (rename->their_count > 1 && !has(context, out->theirs[i])) return false;
    }
    out->count = rename->their_count;
    return true;
}

void renames_apply(const Renames *renames, Arena *arena, const char *name,
                   bool (*has)(void *context, const char *name), void *context, RenamedList *out) {
    Star stars[STARS_MAX];
    for (int i = 0; renames && i < renames->list.count; i++) {
        const Rename *rename = &renames->list.items[i];
        const int which = match_theirs(rename, name, stars);
        Renamed made = {.transform = rename->transform, .parts = rename->our_count};
        if (which < 0 || !fill_theirs(rename, arena, stars, has, context, &made)) continue;
        if (which > 0 || strcmp(rename->ours[0], "-") == 0) return;
        for (; made.part < made.parts; made.part++) {
            made.ours = fill_stars(arena, rename->ours[made.part], stars);
            vec_push(arena, out, made);
        }
        return;
    }
    vec_push(arena, out, (Renamed){.ours = name, .theirs = {name}, .count = 1, .parts = 1});
}
