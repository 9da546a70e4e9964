/* Finds the known name that a misspelt name was meant to be. */
#include "base/base.h"
#include "core/core.h"

#include <ctype.h>
#include <strings.h>

/* The next letter of a name for the comparison of spellings: in lower case, skipping `_`;
 * 0 at the end, or before a final `2d`. */
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
        int distance =
            same_spelling(wrong, candidates[i]) ? 0 : cai_edit_distance(wrong, candidates[i], limit);
        if (distance < nearest && distance < length) nearest = distance, found = candidates[i];
    }
    return found;
}
