/* Converts operators whose row in operators.def is a formula: `x / (abs(x) + 1)`,
 * `select(x > $alpha:1.0, x, 0)`.
 *
 * logic = compare { (and | or) compare }
 *   compare = sum [ (< | <= | > | >= | == | !=) sum ]
 *   sum     = product { (+ | -) product }
 *   product = power { (* | / | // | %) power }
 *   power   = [ - | not ] atom [ ** power ]
 *   atom    = number | input | $attribute:default | name ( logic { , logic } ) | ( logic )
 *
 * x, y and z are the node's inputs. Each operation becomes a statement of the model, but
 * those on numbers alone are computed here. */
#include "import/import.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

typedef struct FormulaPart {
    Wire *wire;
    double number;
} FormulaPart; /* wire NULL: a number */

typedef struct Formula {
    Import *im;
    const char *at;
    Wire *const *inputs;
    int count;
} Formula;

static FormulaPart parse_logic(Formula *f);

static bool takes_text(Formula *f, const char *word) {
    while (*f->at == ' ') f->at++;
    const size_t length = strlen(word);
    if (strncmp(f->at, word, length) ||
        (isalpha((unsigned char)*word) && (isalnum((unsigned char)f->at[length]) || f->at[length] == '(')))
        return false;
    f->at += length;
    return true;
}

static double combined_numbers(const char *op, double a, double b) {
    switch (op[0]) {
    case '+': return a + b;
    case '-': return a - b;
    case '/': return a / b;
    default: return op[1] == '*' ? real_pow(a, b) : a * b;
    }
}

static FormulaPart combine_parts(Formula *f, const char *op, FormulaPart a, FormulaPart b, bool truth) {
    if (f->im->why) return (FormulaPart){0};
    if (!a.wire && !b.wire) return (FormulaPart){NULL, combined_numbers(op, a.number, b.number)};
    Wire *made = a.wire && b.wire ? infix(f->im, op, a.wire, b.wire)
                 : a.wire         ? infix_number(f->im, op, a.wire, b.number)
                                  : number_infix(f->im, a.number, op, b.wire);
    return (FormulaPart){truth ? typed(made, ONNX_BOOL) : made, 0};
}

static FormulaPart of_attribute(Formula *f) {
    char name[32];
    int length = 0;
    while ((isalnum((unsigned char)*f->at) || *f->at == '_') && length < 31) name[length++] = *f->at++;
    name[length] = 0;
    char *end;
    double fallback = strtod(f->at + 1, &end); /* after the colon */
    f->at = end;
    return (FormulaPart){NULL, attribute_real(f->im, name, fallback)};
}

static FormulaPart of_call(Formula *f, const char *name, size_t length) {
    Import *im = f->im;
    Wire *wires[4];
    Text settings = {.arena = im->arena};
    int count = 0;
    do {
        FormulaPart term = parse_logic(f);
        if (im->why || count == 4) return (FormulaPart){0};
        if (term.wire) wires[count++] = term.wire;
        else
            text_add(&settings, "%s%s", settings.length ? ", " : "",
                     number_text(im->arena, term.number,
                                 count == 0 || onnx_type_is_float(wires[count - 1]->type)));
    } while (takes_text(f, ","));
    takes_text(f, ")");
    name = arena_strndup(im->arena, name, length);
    const bool alone = count == 1 && !settings.length;
    Wire *made = alone ? stage(im, wires[0], name, "%s", "")
                       : call(im, name, wires, count, "%s", text_string(&settings));
    if (!strcmp(name, "select")) typed(made, wires[1]->type); /* and not that of its condition */
    return (FormulaPart){made, 0};
}

static FormulaPart of_input(Formula *f, int place) {
    if (place < f->count && f->inputs[place]) return (FormulaPart){f->inputs[place], 0};
    cannot(f->im, "an input that is left out");
    return (FormulaPart){0};
}

static FormulaPart parse_atom(Formula *f) {
    if (takes_text(f, "(")) {
        FormulaPart inner = parse_logic(f);
        takes_text(f, ")");
        return inner;
    }
    if (takes_text(f, "$")) return of_attribute(f);
    const char *begin = f->at;
    if (isdigit((unsigned char)*begin)) {
        char *end;
        double number = strtod(begin, &end);
        f->at = end;
        return (FormulaPart){NULL, number};
    }
    while (isalnum((unsigned char)*f->at) || *f->at == '_') f->at++;
    const size_t length = (size_t)(f->at - begin);
    if (takes_text(f, "(")) return of_call(f, begin, length);
    return of_input(f, *begin - 'x');
}

static FormulaPart parse_power(Formula *f) {
    if (takes_text(f, "not")) return (FormulaPart){prefix(f->im, "not ", parse_power(f).wire), 0};
    if (takes_text(f, "-")) {
        FormulaPart term = parse_power(f);
        return term.wire ? (FormulaPart){prefix(f->im, "-", term.wire), 0}
                         : (FormulaPart){NULL, -term.number};
    }
    FormulaPart base = parse_atom(f);
    return takes_text(f, "**") ? combine_parts(f, "**", base, parse_power(f), false) : base;
}

static FormulaPart parse_chain(Formula *f, FormulaPart (*part)(Formula *), const char *const *ops, int count,
                               bool truth) {
    FormulaPart left = part(f);
    for (int i = 0; i < count;) {
        if (!takes_text(f, ops[i])) i++;
        else left = combine_parts(f, ops[i], left, part(f), truth), i = 0;
    }
    return left;
}

static FormulaPart parse_product(Formula *f) {
    static const char *const ops[] = {"//", "*", "/", "%"};
    return parse_chain(f, parse_power, ops, COUNT_OF(ops), false);
}
static FormulaPart parse_sum(Formula *f) {
    static const char *const ops[] = {"+", "-"};
    return parse_chain(f, parse_product, ops, COUNT_OF(ops), false);
}
static FormulaPart parse_comparison(Formula *f) {
    static const char *const ops[] = {"<=", ">=", "==", "!=", "<", ">"};
    return parse_chain(f, parse_sum, ops, COUNT_OF(ops), true);
}
static FormulaPart parse_logic(Formula *f) {
    static const char *const ops[] = {"and", "or"};
    return parse_chain(f, parse_comparison, ops, COUNT_OF(ops), true);
}

Wire *formula(Import *im, const char *text, Wire *const *inputs, int count) {
    Formula f = {im, text, inputs, count};
    return parse_logic(&f).wire;
}
