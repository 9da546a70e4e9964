/* Scores of characters as text, by greedy decoding of CTC (Graves et al. 2006): at each
 * place the best class, of equal ones in turn the first. One class is the blank, which
 * stands between places and between equal characters; its label is empty. */
#include "core/core.h"
#include <math.h>

cai_ctc cai_ctc_begin(const float *scores, int64_t places, int64_t classes) {
    return (cai_ctc){scores, places, classes, -1};
}

/* By the order of argmax: the first of equals, and a NaN is above all numbers. */
static int64_t best_class(const float *scores, int64_t classes) {
    int64_t best = 0;
    for (int64_t i = 1; i < classes; i++)
        if (scores[i] > scores[best] || (isnan(scores[i]) && !isnan(scores[best]))) best = i;
    return best;
}

int64_t cai_ctc_next(cai_ctc *c) {
    while (c->places > 0) {
        int64_t class = best_class(c->scores, c->classes), last = c->last;
        c->places--;
        c->scores += c->classes;
        c->last = class;
        if (class != last) return class;
    }
    return -1;
}
