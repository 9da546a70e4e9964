/* Einsum: sums of products, in which letters name the axes.
 *
 * Each term becomes a tensor with all axes of the equation, in one order and with size 1
 * where the term lacks an axis. Their product is summed over the axes that the result
 * lacks. The axes that an ellipsis stands for have numbers as letters, counted from the
 * last. */
#include "import/convert.h"
#include <ctype.h>

enum { MOST_TERMS = 4, MOST_LETTERS = 16 };

typedef struct Letters {
    int count;
    char of[MOST_LETTERS];
} Letters;

static int place_of_letter(const Letters *letters, char letter) {
    for (int i = 0; i < letters->count; i++)
        if (letters->of[i] == letter) return i;
    return -1;
}

static bool add_letter(Letters *letters, char letter) {
    if (letters->count == MOST_LETTERS) return false;
    letters->of[letters->count++] = letter;
    return true;
}

/* Of a term up to its end: the number of its letters, and whether it has an ellipsis. */
static int count_letters(const char *at, bool *ellipsis) {
    int count = 0;
    *ellipsis = false;
    for (; *at && *at != ',' && *at != '-'; at++) {
        count += isalpha((unsigned char)*at) != 0;
        *ellipsis = *ellipsis || *at == '.';
    }
    return count;
}

/* Reads a term. Its ellipsis is for as many axes as `rank` has more than the term has
 * letters. */
static bool read_letters(const char **at, int rank, Letters *out) {
    bool ellipsis;
    int more = rank - count_letters(*at, &ellipsis);
    out->count = 0;
    if (more < 0 || (more > 0 && !ellipsis)) return false;
    for (; **at && **at != ',' && **at != '-'; (*at)++) {
        if (**at == ' ') continue;
        if (isalpha((unsigned char)**at)) {
            if (!add_letter(out, **at)) return false;
            continue;
        }
        if (strncmp(*at, "...", 3) || !ellipsis) return false;
        for (*at += 2, ellipsis = false; more > 0; more--)
            if (!add_letter(out, (char)more)) return false;
    }
    return true;
}

/* Two axes of x that have one letter become their diagonal, the last axis. */
static Wire *diagonal_of_letter(Import *im, Wire *x, Letters *own, int first, int second) {
    int order[16], count = 0;
    const char letter = own->of[first];
    Letters left = {0};
    Dim dims[16];
    int64_t size;
    if (!wire_fixed(im, x, first, &size) || wire_size(im, x, first) != wire_size(im, x, second))
        return cannot(im, "a diagonal of sizes that are free or differ");
    for (int i = 0; i < own->count; i++)
        if (i != first && i != second)
            dims[count] = wire_size(im, x, i), order[count++] = i, add_letter(&left, own->of[i]);
    dims[count] = dim_const(im->dims, size * size), order[count] = first, order[count + 1] = second;
    add_letter(&left, letter);
    *own = left;
    return indexed(im, reshaped(im, permuted(im, x, order), dims, count + 1), "%s::%lld",
                   count ? "..., " : "", (long long)size + 1);
}

static Wire *without_repeated_letters(Import *im, Wire *x, Letters *own) {
    for (int i = 0; i < own->count && x; i++)
        for (int k = i + 1; k < own->count; k++)
            if (own->of[i] == own->of[k]) {
                x = diagonal_of_letter(im, x, own, i, k);
                i = -1;
                break;
            }
    return x;
}

/* Permutes a tensor to the axis order of `all`; axes that it lacks get size 1. */
static Wire *aligned_to_letters(Import *im, Wire *x, const Letters *own, const Letters *all) {
    int order[16], count = 0;
    Dim dims[16];
    for (int i = 0; i < all->count; i++)
        if (place_of_letter(own, all->of[i]) >= 0) order[count++] = place_of_letter(own, all->of[i]);
    for (int i = 0; i < all->count; i++) {
        const int place = place_of_letter(own, all->of[i]);
        dims[i] = place >= 0 ? wire_size(im, x, place) : dim_const(im->dims, 1);
    }
    return reshaped(im, permuted(im, x, order), dims, all->count);
}

typedef struct Equation {
    int terms, ellipsis; /* ellipsis: the most axes that one stands for */
    Letters own[MOST_TERMS], out;
} Equation;

/* Without an arrow, the result has the axes of the ellipsis, and then those whose letters
 * occur once, in alphabetical order. */
static bool implied_result(Equation *e) {
    int seen[128] = {0};
    for (int i = 0; i < e->terms; i++)
        for (int k = 0; k < e->own[i].count; k++) seen[(unsigned char)e->own[i].of[k]]++;
    for (int more = e->ellipsis; more > 0; more--)
        if (!add_letter(&e->out, (char)more)) return false;
    for (int letter = 'A'; letter < 128; letter++)
        if (seen[letter] == 1 && !add_letter(&e->out, (char)letter)) return false;
    return true;
}

/* Whether each letter of the result occurs there once, and also in a term. */
static bool result_is_sound(const Equation *e) {
    for (int i = 0; i < e->out.count; i++) {
        bool found = false;
        for (int k = 0; k < e->terms; k++) found = found || place_of_letter(&e->own[k], e->out.of[i]) >= 0;
        if (!found || place_of_letter(&e->out, e->out.of[i]) != i) return false;
    }
    return true;
}

static bool read_equation(Import *im, Wire *const *inputs, int count, Equation *e) {
    const char *at = attribute_string(im, "equation", "");
    bool ellipsis;
    *e = (Equation){0};
    if (count < 1 || count > MOST_TERMS) return false;
    for (; e->terms < count; e->terms++) {
        const int rank = inputs[e->terms] ? wire_rank(im, inputs[e->terms]) : -1;
        if (e->terms > 0 && *at++ != ',') return false;
        const int more = rank - count_letters(at, &ellipsis);
        if (!read_letters(&at, rank, &e->own[e->terms])) return false;
        e->ellipsis = ellipsis && more > e->ellipsis ? more : e->ellipsis;
    }
    if (!*at) return implied_result(e);
    if (at[0] != '-' || at[1] != '>') return false;
    at += 2;
    const int letters = count_letters(at, &ellipsis);
    return read_letters(&at, letters + (ellipsis ? e->ellipsis : 0), &e->out) && !*at && result_is_sound(e);
}

void convert_einsum(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Equation e;
    if (!read_equation(im, inputs, count, &e)) {
        cannot(im, "the equation \"%s\"", attribute_string(im, "equation", ""));
        return;
    }
    Wire *terms[MOST_TERMS], *product = NULL;
    Letters all = e.out;
    for (int i = 0; i < e.terms; i++) {
        if (!(terms[i] = without_repeated_letters(im, inputs[i], &e.own[i]))) return;
        for (int k = 0; k < e.own[i].count; k++)
            if (place_of_letter(&all, e.own[i].of[k]) < 0 && !add_letter(&all, e.own[i].of[k])) {
                cannot(im, "an equation of more than %d letters", MOST_LETTERS);
                return;
            }
    }
    for (int i = 0; i < e.terms; i++) {
        Wire *x = aligned_to_letters(im, terms[i], &e.own[i], &all);
        product = product ? infix(im, "*", product, x) : x;
    }
    int64_t gone[MOST_LETTERS];
    for (int i = e.out.count; i < all.count; i++) gone[i - e.out.count] = i;
    outputs[0] = all.count > e.out.count ? stage(im, product, "reduce_sum", "axes = %s",
                                                 tuple_text(im->arena, gone, all.count - e.out.count))
                                         : product;
}
