/* Which known name a misspelt one was meant to be. */
#include "base/base.h"

#include <ctype.h>
#include <strings.h>

#define LONGEST 64

/* Edits (insert, delete, replace, swap two neighbours) from one word to another; more than `limit` is reported as limit + 1. */
static int edit_distance(const char *a, const char *b, int limit) {
    int n = (int)strlen(a), m = (int)strlen(b);
    if (n >= LONGEST || m >= LONGEST || n - m > limit || m - n > limit) return limit + 1;
    int rows[3][LONGEST + 1];
    for (int j = 0; j <= m; j++) rows[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *row = rows[i % 3], *above = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[n % 3][m] > limit ? limit + 1 : rows[n % 3][m];
}

/* The next letter of a name as spellings are compared: small, and no `_`; 0 at the end, or before a `2d` there. */
static int next_letter(const char **at) {
    while (**at == '_') ++*at;
    return !**at || !strcasecmp(*at, "2d") ? 0 : tolower((unsigned char)*(*at)++);
}

/* `LeakyReLU` and `leaky_relu`, `MaxPool2d` and `maxpool`. */
static bool same_spelling(const char *a, const char *b) {
    int x, y;
    do x = next_letter(&a), y = next_letter(&b);
    while (x && x == y);
    return x == y;
}

const char *nearest_name(const char *wrong, const char *const *candidates, int count) {
    int length = (int)strlen(wrong), limit = length <= 4 ? 1 : length <= 6 ? 2 : 3, nearest = limit + 1;
    const char *found = NULL;
    for (int i = 0; i < count; i++) {
        int distance = same_spelling(wrong, candidates[i]) ? 0 : edit_distance(wrong, candidates[i], limit);
        if (distance < nearest && distance < length) nearest = distance, found = candidates[i];
    }
    return found;
}
