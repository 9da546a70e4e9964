/* Operators that are a formula, as the row in operators.def writes it: `x / (abs(x) + 1)`, `select(x >
 * $alpha:1.0, x, 0)`.
 *
 *   logic   = compare { (and | or) compare }
 *   compare = sum [ (< | <= | > | >= | == | !=) sum ]
 *   sum     = product { (+ | -) product }
 *   product = power { (* | / | // | %) power }
 *   power   = [ - | not ] atom [ ** power ]
 *   atom    = number | input | $attribute:default | name ( logic { , logic } ) | ( logic )
 *
 * Inputs are x, y and z. Each step is a statement of the model; what numbers alone make is computed here. */
#include "import/import.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

typedef struct Part {
    Wire *wire;
    double number;
} Part; /* wire NULL: a number */

typedef struct Formula {
    Import *im;
    const char *at;
    Wire *const *inputs;
    int count;
} Formula;

static Part logic(Formula *f);

static bool takes(Formula *f, const char *word) {
    while (*f->at == ' ') f->at++;
    const size_t length = strlen(word);
    if (strncmp(f->at, word, length) ||
        (isalpha((unsigned char)*word) && (isalnum((unsigned char)f->at[length]) || f->at[length] == '(')))
        return false;
    f->at += length;
    return true;
}

static double combined(const char *op, double a, double b) {
    switch (op[0]) {
    case '+': return a + b;
    case '-': return a - b;
    case '/': return a / b;
    default: return op[1] == '*' ? real_pow(a, b) : a * b;
    }
}

static Part combine(Formula *f, const char *op, Part a, Part b, bool truth) {
    if (f->im->why) return (Part){0};
    if (!a.wire && !b.wire) return (Part){NULL, combined(op, a.number, b.number)};
    Wire *made = a.wire && b.wire ? infix(f->im, op, a.wire, b.wire)
                 : a.wire         ? infix_number(f->im, op, a.wire, b.number)
                                  : number_infix(f->im, a.number, op, b.wire);
    return (Part){truth ? typed(made, ONNX_BOOL) : made, 0};
}

static Part of_attribute(Formula *f) {
    char name[32];
    int length = 0;
    while ((isalnum((unsigned char)*f->at) || *f->at == '_') && length < 31) name[length++] = *f->at++;
    name[length] = 0;
    char *end;
    double fallback = strtod(f->at + 1, &end); /* behind the colon */
    f->at = end;
    return (Part){NULL, attribute_real(f->im, name, fallback)};
}

static Part of_call(Formula *f, const char *name, size_t length) {
    Import *im = f->im;
    Wire *wires[4];
    Text settings = {.arena = im->arena};
    int count = 0;
    do {
        Part term = logic(f);
        if (im->why || count == 4) return (Part){0};
        if (term.wire) wires[count++] = term.wire;
        else
            text_add(&settings, "%s%s", settings.length ? ", " : "",
                     number_text(im->arena, term.number,
                                 count == 0 || onnx_type_is_float(wires[count - 1]->type)));
    } while (takes(f, ","));
    takes(f, ")");
    name = arena_strndup(im->arena, name, length);
    const bool alone = count == 1 && !settings.length;
    return (Part){alone ? stage(im, wires[0], name, "%s", "")
                        : call(im, name, wires, count, "%s", text_string(&settings)),
                  0};
}

static Part of_input(Formula *f, int place) {
    if (place < f->count && f->inputs[place]) return (Part){f->inputs[place], 0};
    cannot(f->im, "an input that is left out");
    return (Part){0};
}

static Part atom(Formula *f) {
    if (takes(f, "(")) {
        Part inner = logic(f);
        takes(f, ")");
        return inner;
    }
    if (takes(f, "$")) return of_attribute(f);
    const char *begin = f->at;
    if (isdigit((unsigned char)*begin)) {
        char *end;
        double number = strtod(begin, &end);
        f->at = end;
        return (Part){NULL, number};
    }
    while (isalnum((unsigned char)*f->at) || *f->at == '_') f->at++;
    const size_t length = (size_t)(f->at - begin);
    if (takes(f, "(")) return of_call(f, begin, length);
    return of_input(f, *begin - 'x');
}

static Part power(Formula *f) {
    if (takes(f, "not")) return (Part){prefix(f->im, "not ", power(f).wire), 0};
    if (takes(f, "-")) {
        Part term = power(f);
        return term.wire ? (Part){prefix(f->im, "-", term.wire), 0} : (Part){NULL, -term.number};
    }
    Part base = atom(f);
    return takes(f, "**") ? combine(f, "**", base, power(f), false) : base;
}

static Part chain(Formula *f, Part (*part)(Formula *), const char *const *ops, int count, bool truth) {
    Part left = part(f);
    for (int i = 0; i < count;) {
        if (!takes(f, ops[i])) i++;
        else left = combine(f, ops[i], left, part(f), truth), i = 0;
    }
    return left;
}

static Part product(Formula *f) {
    static const char *const ops[] = {"//", "*", "/", "%"};
    return chain(f, power, ops, COUNT_OF(ops), false);
}
static Part sum(Formula *f) {
    static const char *const ops[] = {"+", "-"};
    return chain(f, product, ops, COUNT_OF(ops), false);
}
static Part compare(Formula *f) {
    static const char *const ops[] = {"<=", ">=", "==", "!=", "<", ">"};
    return chain(f, sum, ops, COUNT_OF(ops), true);
}
static Part logic(Formula *f) {
    static const char *const ops[] = {"and", "or"};
    return chain(f, compare, ops, COUNT_OF(ops), true);
}

Wire *formula(Import *im, const char *text, Wire *const *inputs, int count) {
    Formula f = {im, text, inputs, count};
    return logic(&f).wire;
}
