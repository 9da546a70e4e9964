/* The text of patterns: `(operator operand ..)`, where an operand is a word, a pattern,
 * or `word:(pattern)`. import/patterns.def and export/operators.def are written in it. */
#include "base/base.h"

const char *pattern_word(const char *at) {
    while (*at == ' ') at++;
    return at;
}

size_t pattern_word_length(const char *at) { return strcspn(at, " ():"); }

const char *pattern_behind(const char *at) {
    at = pattern_word(at);
    if (*at != '(') at += pattern_word_length(at);
    if (*at == ':') at++;
    if (*at != '(') return at;
    int depth = 0;
    do depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
    while (at++, depth);
    return at;
}
