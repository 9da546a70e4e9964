/* --rename FILE: lines `THEIRS -> OURS [transpose]`; the arrow, and what is in brackets, may
 * be left out. A * in THEIRS stands for any text, and each * in OURS for what the * of
 * the same number in THEIRS matched. OURS may be `-`: the name is dropped. The first line
 * that matches counts; blank lines and lines that begin with # say nothing. */
#include "weights/weights.h"
#include "files/files.h"

#define STARS_MAX 8
static const char blanks[] = " \t\r";

typedef struct Rename {
    const char *theirs, *ours;
    const Transform *transform; /* or NULL */
} Rename;

struct Renames {
    Vec(Rename) list;
};

typedef struct Star { /* what a * stood for */
    const char *begin;
    size_t length;
} Star;

/* Takes the shortest text for each * and takes more where the rest does not fit: linear
 * but for the last *. */
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

/* What stands in brackets at the line's end, which is then before them; false where it is
 * nothing known. */
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

/* One line; false where it is no rename. */
static bool read_rename(Arena *arena, Renames *renames, const char *begin, const char *end) {
    const char *words[3];
    size_t lengths[3];
    int count = 0;
    Rename rename;
    while (begin < end && strchr(blanks, *begin)) begin++;
    if (begin == end || *begin == '#') return true;
    if (!read_transform(arena, begin, &end, &rename.transform)) return false;
    for (const char *at = begin; at < end && count < 3;) {
        while (at < end && strchr(blanks, *at)) at++;
        words[count] = at;
        while (at < end && !strchr(blanks, *at)) at++;
        lengths[count] = (size_t)(at - words[count]);
        bool arrow = count == 1 && lengths[count] == 2 && memcmp(words[count], "->", 2) == 0;
        if (lengths[count] > 0 && !arrow) count++;
    }
    if (count != 2) return false;
    rename.theirs = arena_strndup(arena, words[0], lengths[0]),
    rename.ours = arena_strndup(arena, words[1], lengths[1]);
    if (count_stars(rename.theirs) > STARS_MAX || count_stars(rename.ours) > count_stars(rename.theirs))
        return false;
    vec_push(arena, &renames->list, rename);
    return true;
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
    bool good = true;
    for (int line = 1; at < end && good; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        good = !memchr(at, 0, (size_t)(stop - at)) && read_rename(arena, renames, at, stop);
        if (!good) {
            Diagnostic *d = diag_error(
                diag, DIAG_rename, (Span){0},
                "%s:%d: a line has two names, theirs and ours, with no more *s in ours", path, line);
            diag_help(
                diag, d,
                "for example `module.* -> *`, `head.fc.* -> -` to drop names, `*.kernel -> *.weight [transpose]`, "
                "[permute 3 2 0 1] or [reshape 64 -1 1 1] to turn what is named");
        }
        at = stop + 1;
    }
    cai_file_close(&file);
    return good ? renames : NULL;
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

const char *renames_apply(const Renames *renames, Arena *arena, const char *name,
                          const Transform **transform) {
    *transform = NULL;
    Star stars[STARS_MAX];
    int count;
    for (int i = 0; renames && i < renames->list.count; i++) {
        const Rename *rename = &renames->list.items[i];
        if (!match_pattern(rename->theirs, name, stars, &count)) continue;
        *transform = rename->transform;
        return strcmp(rename->ours, "-") == 0 ? NULL : fill_stars(arena, rename->ours, stars);
    }
    return name;
}
