/* Texts: misspelt words, JSON strings, and where two differ. */
#include "core/core.h"
#include <string.h>

#define LONGEST 64

int cai_edit_distance(const char *a, const char *b, int limit) {
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
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[n % 3][m] > limit ? limit + 1 : rows[n % 3][m];
}

/* The compiler quotes by json-c. Here that would add 4 KB to every program, since all
 * have --profile=json, for what these lines do; and a program streams its JSON and reads
 * none. */
int cai_json_character(char c, char out[CAI_JSON_CHARACTER]) {
    if (c == '"' || c == '\\') return snprintf(out, CAI_JSON_CHARACTER, "\\%c", c);
    if ((unsigned char)c < 0x20) return snprintf(out, CAI_JSON_CHARACTER, "\\u%04x", (unsigned)c);
    out[0] = c;
    return 1;
}

void cai_print_json_string(const char *text, FILE *out) {
    char character[CAI_JSON_CHARACTER];
    fputc('"', out);
    for (; *text; text++) fwrite(character, 1, (size_t)cai_json_character(*text, character), out);
    fputc('"', out);
}

int cai_first_difference(const char **a, const char **b) {
    for (int line = 1;; line++) {
        size_t length = strcspn(*a, "\n");
        if (length != strcspn(*b, "\n") || memcmp(*a, *b, length) != 0) return line;
        if (!(*a)[length] && !(*b)[length]) return 0;
        *a += length + ((*a)[length] == '\n');
        *b += length + ((*b)[length] == '\n');
    }
}
