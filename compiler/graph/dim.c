/* Sizes as polynomials over symbols and floor divisions, in one canonical form, interned.
 *
 * Invariants, which every function here keeps and relies on:
 * - Factors within a term are sorted; terms are sorted by degree (high first), then by
 *   factors, so that the constant is last: a monomial order, which exact division needs.
 *   No two terms have equal factors, no coefficient is 0.
 * - In floor(p / d): d > 1, every coefficient of p lies in 1 .. d-1, p has a symbol, the
 *   coefficients of its non-constant terms and d have no common divisor, and no term of p
 *   is a floor division alone with coefficient 1. Hence p >= 0, and so are all floor
 *   divisions and all products of factors: bounds rely on that.
 * - Coefficients that overflow 63 bits saturate at +-INT64_MAX; graph_try refuses shapes
 *   long before that. */
#include "graph/graph.h"
#include <stdlib.h>

/* A polynomial under construction: short ones take no memory from the arena. Passed by
 * address only. */
typedef struct Terms {
    DimTerm *items;
    int count, capacity;
    DimTerm few[6];
} Terms;

typedef struct DimEntry {
    struct DimNode node; /* first: a Dim is a pointer to its entry */
    Dims *dims;
    uint64_t hash;
    int64_t low; /* see lowest_value; valid once low_known */
    bool low_known;
} DimEntry;

struct Dims {
    Arena *arena;
    Vec(Symbol *) symbols;
    Vec(Dim) atoms;   /* each symbol as a size */
    DimEntry **table; /* open addressing, a power of two */
    int capacity, count;
};

static const DimEntry *entry_of(Dim a) { return (const DimEntry *)a; }
static Dims *dims_of_dim(Dim a) { return entry_of(a)->dims; }

/* ---- numbers ---- */

static int64_t saturated_add(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (a > 0 ? INT64_MAX : -INT64_MAX) : sum;
}

static int64_t saturated_mul(int64_t a, int64_t b) {
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? ((a > 0) == (b > 0) ? INT64_MAX : -INT64_MAX) : product;
}

static int64_t floor_quotient_i64(int64_t a, int64_t divisor) { return a / divisor - (a % divisor < 0); }
static int64_t floor_remainder(int64_t a, int64_t divisor) {
    return a % divisor + (a % divisor < 0 ? divisor : 0);
}

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

/* ---- the canonical form ---- */

static int compare_factors(const DimFactor *a, const DimFactor *b) {
    if (a->symbol && b->symbol)
        return (a->symbol->index > b->symbol->index) - (a->symbol->index < b->symbol->index);
    if (a->symbol || b->symbol) return a->symbol ? -1 : 1;
    if (a->dividend != b->dividend) return a->dividend->id < b->dividend->id ? -1 : 1;
    return (a->divisor > b->divisor) - (a->divisor < b->divisor);
}

static int compare_terms(const void *left, const void *right) {
    const DimTerm *a = left, *b = right;
    if (a->factor_count != b->factor_count) return a->factor_count > b->factor_count ? -1 : 1;
    for (int i = 0; i < a->factor_count; i++) {
        int order = compare_factors(&a->factors[i], &b->factors[i]);
        if (order) return order;
    }
    return 0;
}

static uint64_t hash_terms(const DimTerm *terms, int count) {
    uint64_t hash = (uint64_t)count;
    for (int t = 0; t < count; t++) {
        hash = hash_bytes(&terms[t].coefficient, sizeof terms[t].coefficient, hash);
        for (int f = 0; f < terms[t].factor_count; f++) {
            const DimFactor *factor = &terms[t].factors[f];
            int64_t key[3] = {factor->symbol ? factor->symbol->index : -1,
                              factor->symbol ? 0 : factor->dividend->id, factor->divisor};
            hash = hash_bytes(key, sizeof key, hash);
        }
    }
    return hash;
}

static bool same_terms(const DimTerm *a, const DimTerm *b, int count) {
    for (int t = 0; t < count; t++)
        if (a[t].coefficient != b[t].coefficient || compare_terms(&a[t], &b[t]) != 0) return false;
    return true;
}

static DimEntry **find_dim(DimEntry **table, int capacity, uint64_t hash, const DimTerm *terms, int count) {
    for (uint64_t at = hash;; at++) {
        DimEntry **slot = &table[at & (uint64_t)(capacity - 1)];
        if (!*slot) return slot;
        if ((*slot)->hash == hash && (*slot)->node.term_count == count &&
            same_terms((*slot)->node.terms, terms, count))
            return slot;
    }
}

static void grow_dims(Dims *dims) {
    int capacity = dims->capacity * 2;
    DimEntry **table = NEW_ARRAY(dims->arena, DimEntry *, capacity);
    for (int i = 0; i < dims->capacity; i++) {
        DimEntry *old = dims->table[i];
        if (old) *find_dim(table, capacity, old->hash, old->node.terms, old->node.term_count) = old;
    }
    dims->table = table;
    dims->capacity = capacity;
}

static void push_term(Dims *dims, Terms *terms, DimTerm term) {
    if (!terms->items) terms->items = terms->few, terms->capacity = COUNT_OF(terms->few);
    vec_push(dims->arena, terms, term);
}

/* Sorts, merges and interns; `terms` is used up. */
static Dim intern_dim(Dims *dims, Terms *terms) {
    if (terms->count > 1) qsort(terms->items, (size_t)terms->count, sizeof *terms->items, compare_terms);
    int kept = 0;
    for (int t = 0; t < terms->count; t++) {
        if (kept > 0 && compare_terms(&terms->items[kept - 1], &terms->items[t]) == 0)
            terms->items[kept - 1].coefficient =
                saturated_add(terms->items[kept - 1].coefficient, terms->items[t].coefficient);
        else terms->items[kept++] = terms->items[t];
        if (terms->items[kept - 1].coefficient == 0) kept--;
    }
    uint64_t hash = hash_terms(terms->items, kept);
    if (dims->count * 2 >= dims->capacity) grow_dims(dims);
    DimEntry **slot = find_dim(dims->table, dims->capacity, hash, terms->items, kept);
    if (!*slot) {
        DimEntry *entry = NEW(dims->arena, DimEntry);
        *entry =
            (DimEntry){.node = {kept, arena_copy(dims->arena, terms->items, sizeof(DimTerm) * (size_t)kept),
                                dims->count++},
                       .dims = dims,
                       .hash = hash};
        *slot = entry;
    }
    return &(*slot)->node;
}

static Dim make_atom(Dims *dims, DimFactor factor) {
    Terms terms = {0};
    const DimFactor *copy = arena_copy(dims->arena, &factor, sizeof factor);
    push_term(dims, &terms, (DimTerm){1, 1, copy});
    return intern_dim(dims, &terms);
}

static void add_scaled(Dims *dims, Terms *terms, Dim a, int64_t factor) {
    for (int t = 0; t < a->term_count; t++) {
        DimTerm term = a->terms[t];
        term.coefficient = saturated_mul(term.coefficient, factor);
        push_term(dims, terms, term);
    }
}

static DimTerm multiply_terms(Dims *dims, const DimTerm *a, const DimTerm *b) {
    int count = a->factor_count + b->factor_count;
    int64_t coefficient = saturated_mul(a->coefficient, b->coefficient);
    if (a->factor_count == 0 || b->factor_count == 0)
        return (DimTerm){coefficient, count, a->factor_count ? a->factors : b->factors};
    DimFactor *factors = NEW_ARRAY(dims->arena, DimFactor, count);
    for (int i = 0, j = 0; i + j < count;) {
        bool first = j == b->factor_count ||
                     (i < a->factor_count && compare_factors(&a->factors[i], &b->factors[j]) <= 0);
        factors[i + j] = first ? a->factors[i] : b->factors[j];
        if (first) i++;
        else j++;
    }
    return (DimTerm){coefficient, count, factors};
}

/* ---- making sizes ---- */

Dims *dims_new(Arena *arena) {
    Dims *dims = NEW(arena, Dims);
    *dims = (Dims){.arena = arena, .table = NEW_ARRAY(arena, DimEntry *, 256), .capacity = 256};
    return dims;
}

int dims_symbol_count(const Dims *dims) { return dims->symbols.count; }
Symbol *dims_symbol(const Dims *dims, int index) { return dims->symbols.items[index]; }

Dim dim_symbol(Dims *dims, Name name, int64_t multiple) {
    CHECK(multiple > 0);
    Symbol *symbol = NEW(dims->arena, Symbol);
    *symbol = (Symbol){name, multiple, dims->symbols.count, max_i64(1, 256 / multiple)};
    vec_push(dims->arena, &dims->symbols, symbol);
    Dim atom = make_atom(dims, (DimFactor){.symbol = symbol});
    vec_push(dims->arena, &dims->atoms, atom);
    return dim_scale(dims, atom, multiple);
}

Dim dim_const(Dims *dims, int64_t value) {
    Terms terms = {0};
    push_term(dims, &terms, (DimTerm){value, 0, NULL});
    return intern_dim(dims, &terms);
}

static Dim combine_dims(Dims *dims, Dim a, Dim b, int64_t factor) {
    Terms terms = {0};
    add_scaled(dims, &terms, a, 1);
    add_scaled(dims, &terms, b, factor);
    return intern_dim(dims, &terms);
}

Dim dim_add(Dims *dims, Dim a, Dim b) { return combine_dims(dims, a, b, 1); }
Dim dim_sub(Dims *dims, Dim a, Dim b) { return combine_dims(dims, a, b, -1); }
Dim dim_offset(Dims *dims, Dim a, int64_t addend) {
    return addend ? dim_add(dims, a, dim_const(dims, addend)) : a;
}

Dim dim_mul(Dims *dims, Dim a, Dim b) {
    Terms terms = {0};
    for (int i = 0; i < a->term_count; i++)
        for (int j = 0; j < b->term_count; j++)
            push_term(dims, &terms, multiply_terms(dims, &a->terms[i], &b->terms[j]));
    return intern_dim(dims, &terms);
}

Dim dim_scale(Dims *dims, Dim a, int64_t factor) {
    Terms terms = {0};
    add_scaled(dims, &terms, a, factor);
    return intern_dim(dims, &terms);
}

/* ---- division ---- */

/* A term of p that is a floor division alone with coefficient 1, or -1. */
static int lone_floor(Dim p) {
    for (int t = 0; t < p->term_count; t++)
        if (p->terms[t].coefficient == 1 && p->terms[t].factor_count == 1 && !p->terms[t].factors[0].symbol)
            return t;
    return -1;
}

/* floor(p / d) as an atom; every coefficient of p lies in 1 .. d-1. */
static Dim floor_atom(Dims *dims, Dim p, int64_t divisor) {
    int64_t common = divisor;
    for (int t = 0; t < p->term_count; t++)
        if (p->terms[t].factor_count) common = common_divisor(common, p->terms[t].coefficient);
    if (common == divisor) return dim_const(dims, 0); /* only a constant below d remains */
    if (common > 1) { /* floor((g*q + r) / (g*d)) = floor((q + floor(r/g)) / d) */
        Terms terms = {0};
        for (int t = 0; t < p->term_count; t++)
            push_term(
                dims, &terms,
                (DimTerm){p->terms[t].coefficient / common, p->terms[t].factor_count, p->terms[t].factors});
        return dim_floor_div(dims, intern_dim(dims, &terms), divisor / common);
    }
    int inner = lone_floor(p);
    int64_t bound;
    if (inner >= 0 && !__builtin_mul_overflow(p->terms[inner].factors[0].divisor, divisor, &bound)) {
        /* floor((floor(a/b) + q) / d) = floor((a + b*q) / (b*d)) for whole q */
        DimFactor factor = p->terms[inner].factors[0];
        Dim rest = dim_sub(dims, p, make_atom(dims, factor));
        return dim_floor_div(dims, combine_dims(dims, factor.dividend, rest, factor.divisor), bound);
    }
    return make_atom(dims, (DimFactor){.dividend = p, .divisor = divisor});
}

Dim dim_floor_div(Dims *dims, Dim a, int64_t divisor) {
    CHECK(divisor > 0);
    if (divisor == 1) return a;
    Terms whole = {0}, rest = {0};
    for (int t = 0; t < a->term_count; t++) {
        DimTerm high = a->terms[t], low = a->terms[t];
        high.coefficient = floor_quotient_i64(high.coefficient, divisor);
        low.coefficient = floor_remainder(low.coefficient, divisor);
        push_term(dims, &whole, high);
        push_term(dims, &rest, low);
    }
    return dim_add(dims, intern_dim(dims, &whole), floor_atom(dims, intern_dim(dims, &rest), divisor));
}

Dim dim_ceil_div(Dims *dims, Dim a, int64_t divisor) {
    return dim_floor_div(dims, dim_offset(dims, a, divisor - 1), divisor);
}

/* a / b of two terms; false where it is no term with a whole coefficient. */
static bool divide_term(Dims *dims, const DimTerm *a, const DimTerm *b, DimTerm *quotient) {
    if (a->coefficient % b->coefficient || a->factor_count < b->factor_count) return false;
    DimFactor *factors = NEW_ARRAY(dims->arena, DimFactor, a->factor_count);
    int count = 0, used = 0;
    for (int i = 0; i < a->factor_count; i++) {
        if (used < b->factor_count && compare_factors(&a->factors[i], &b->factors[used]) == 0) used++;
        else factors[count++] = a->factors[i];
    }
    *quotient = (DimTerm){a->coefficient / b->coefficient, count, factors};
    return used == b->factor_count;
}

Dim dim_div_exact(Dims *dims, Dim a, Dim b) {
    if (b->term_count == 0) return NULL;
    Terms quotient = {0};
    while (a->term_count) { /* the leading term shrinks in the monomial order, so this ends */
        DimTerm term;
        if (!divide_term(dims, &a->terms[0], &b->terms[0], &term)) return NULL;
        Terms single = {0};
        push_term(dims, &single, term);
        push_term(dims, &quotient, term);
        a = dim_sub(dims, a, dim_mul(dims, intern_dim(dims, &single), b));
    }
    return intern_dim(dims, &quotient);
}

/* ---- asking ---- */

bool dim_is_const(Dim a, int64_t *value) {
    if (a->term_count > 1 || (a->term_count == 1 && a->terms[0].factor_count)) return false;
    if (value) *value = a->term_count ? a->terms[0].coefficient : 0;
    return true;
}

bool dim_is_zero(Dim a) { return a->term_count == 0; }

bool dim_is_one(Dim a) {
    int64_t one;
    return dim_is_const(a, &one) && one == 1;
}

int64_t dim_const_value(Dim a) {
    int64_t value = 0;
    CHECK(dim_is_const(a, &value));
    return value;
}

/* A lower bound of a, term by term: each is a coefficient times something that is at
 * least 0. */
static int64_t low_by_terms(Dim a) {
    int64_t low = 0;
    for (int t = 0; t < a->term_count; t++) {
        const DimTerm *term = &a->terms[t];
        if (term->coefficient < 0 && term->factor_count) return INT64_MIN;
        int64_t product = term->coefficient;
        for (int f = 0; f < term->factor_count; f++) {
            const DimFactor *factor = &term->factors[f];
            product = saturated_mul(
                product,
                factor->symbol ? 1 : floor_quotient_i64(low_by_terms(factor->dividend), factor->divisor));
        }
        low = saturated_add(low, product);
    }
    return low;
}

/* Replaces one floor division of a by a linear form, so that the sum gets no larger; the
 * result is `*scale` times a lower bound. */
static Dim relax_floor(Dims *dims, Dim a, int term, int factor, int64_t *scale) {
    const DimTerm *old = &a->terms[term];
    DimFactor atom = old->factors[factor];
    DimFactor *others = NEW_ARRAY(dims->arena, DimFactor, old->factor_count);
    for (int f = 0, at = 0; f < old->factor_count; f++)
        if (f != factor) others[at++] = old->factors[f];
    Terms rest = {0}, outer = {0};
    for (int t = 0; t < a->term_count; t++)
        if (t != term) push_term(dims, &rest, a->terms[t]);
    push_term(dims, &outer, (DimTerm){old->coefficient, old->factor_count - 1, others});
    Dim inside = old->coefficient > 0 ? dim_offset(dims, atom.dividend, 1 - atom.divisor) : atom.dividend;
    *scale = saturated_mul(*scale, atom.divisor);
    return dim_add(dims, dim_scale(dims, intern_dim(dims, &rest), atom.divisor),
                   dim_mul(dims, intern_dim(dims, &outer), inside));
}

static bool find_floor(Dim a, int *term, int *factor) {
    for (*term = 0; *term < a->term_count; ++*term)
        for (*factor = 0; *factor < a->terms[*term].factor_count; ++*factor)
            if (!a->terms[*term].factors[*factor].symbol) return true;
    return false;
}

/* The first symbol of a whose index comes after that of `last`, or NULL. a has no floor
 * divisions. */
static const Symbol *next_symbol(Dim a, const Symbol *last) {
    const Symbol *next = NULL;
    for (int t = 0; t < a->term_count; t++)
        for (int f = 0; f < a->terms[t].factor_count; f++) {
            const Symbol *symbol = a->terms[t].factors[f].symbol;
            if ((!last || symbol->index > last->index) && (!next || symbol->index < next->index))
                next = symbol;
        }
    return next;
}

/* A lower bound of a, with floor divisions relaxed to rationals and every symbol h
 * written as 1 + h', h' >= 0. It proves H*W - H >= 0 and H - H//2 >= 1, which term by
 * term cannot be seen. */
static int64_t low_by_shifting(Dim a) {
    Dims *dims = dims_of_dim(a);
    int64_t scale = 1, low = 0;
    int term, factor;
    for (int rounds = 0; find_floor(a, &term, &factor); rounds++) {
        if (rounds == 12 || scale > INT64_MAX / 65536) return INT64_MIN;
        a = relax_floor(dims, a, term, factor, &scale);
    }
    for (const Symbol *symbol = NULL; (symbol = next_symbol(a, symbol)) != NULL;)
        a = dim_substitute(dims, a, symbol->index, dim_offset(dims, dims->atoms.items[symbol->index], 1));
    for (int t = 0; t < a->term_count; t++) {
        if (a->terms[t].factor_count == 0) low = a->terms[t].coefficient;
        else if (a->terms[t].coefficient < 0) return INT64_MIN;
    }
    return -floor_quotient_i64(-low, scale);
}

/* Cached, since the bounds of every size of every node are needed. */
static int64_t lowest_value(Dim a) {
    DimEntry *entry = (DimEntry *)a;
    if (!entry->low_known) {
        entry->low = max_i64(low_by_terms(a), low_by_shifting(a));
        entry->low_known = true;
    }
    return entry->low;
}

bool dim_bounds(Dim a, int64_t *low, int64_t *high) {
    int64_t value;
    if (dim_is_const(a, &value)) {
        *low = *high = value;
        return true;
    }
    *low = lowest_value(a);
    int64_t negated = lowest_value(dim_scale(dims_of_dim(a), a, -1));
    *high = negated == INT64_MIN ? INT64_MAX : -negated;
    return *low != INT64_MIN || *high != INT64_MAX;
}

/* Whether a is a short sum with floor divisions, but none within others: bounds of more
 * take long, and rarely meet. */
static bool has_simple_floors(Dim a) {
    enum { SHORT = 4 };
    int inner_term, inner_factor, floors = 0;
    if (a->term_count > SHORT) return false;
    for (int t = 0; t < a->term_count; t++)
        for (int f = 0; f < a->terms[t].factor_count; f++) {
            const DimFactor *factor = &a->terms[t].factors[f];
            if (factor->symbol) continue;
            if (factor->dividend->term_count > SHORT ||
                find_floor(factor->dividend, &inner_term, &inner_factor))
                return false;
            floors++;
        }
    return floors > 0;
}

bool dim_is_fixed(Dim a, int64_t *value) {
    int64_t high;
    if (dim_is_const(a, value)) return true;
    return has_simple_floors(a) && dim_bounds(a, value, &high) && *value == high;
}

static bool evaluate_factor(const DimFactor *factor, const int64_t *symbols, int64_t *value) {
    if (factor->symbol) {
        *value = symbols ? symbols[factor->symbol->index] : factor->symbol->typical;
        return true;
    }
    if (!dim_evaluate(factor->dividend, symbols, value)) return false;
    *value = floor_quotient_i64(*value, factor->divisor);
    return true;
}

bool dim_evaluate(Dim a, const int64_t *symbols, int64_t *value) {
    *value = 0;
    for (int t = 0; t < a->term_count; t++) {
        int64_t product = a->terms[t].coefficient, factor;
        for (int f = 0; f < a->terms[t].factor_count; f++)
            if (!evaluate_factor(&a->terms[t].factors[f], symbols, &factor) ||
                __builtin_mul_overflow(product, factor, &product))
                return false;
        if (__builtin_add_overflow(*value, product, value)) return false;
    }
    return true;
}

int64_t dim_typical(const Dims *dims, Dim a) {
    (void)dims;
    int64_t value;
    return dim_evaluate(a, NULL, &value) ? value : INT64_MAX;
}

Dim dim_substitute(Dims *dims, Dim a, int symbol, Dim by) {
    Dim sum = dim_const(dims, 0);
    for (int t = 0; t < a->term_count; t++) {
        Dim product = dim_const(dims, a->terms[t].coefficient);
        for (int f = 0; f < a->terms[t].factor_count; f++) {
            DimFactor factor = a->terms[t].factors[f];
            Dim value =
                !factor.symbol
                    ? dim_floor_div(dims, dim_substitute(dims, factor.dividend, symbol, by), factor.divisor)
                : factor.symbol->index == symbol ? by
                                                 : dims->atoms.items[factor.symbol->index];
            product = dim_mul(dims, product, value);
        }
        sum = dim_add(dims, sum, product);
    }
    return sum;
}

bool dim_mentions(Dim a, int symbol) {
    for (int t = 0; t < a->term_count; t++)
        for (int f = 0; f < a->terms[t].factor_count; f++) {
            const DimFactor *factor = &a->terms[t].factors[f];
            if (factor->symbol ? factor->symbol->index == symbol : dim_mentions(factor->dividend, symbol))
                return true;
        }
    return false;
}

/* ---- printing, in the user's words: a symbol with multiple 16 is written H/16 ---- */

static void print_factor(Text *out, const DimFactor *factor, bool alone) {
    if (factor->symbol) {
        text_add(out, "%s", factor->symbol->name);
        return;
    }
    Dim inside = factor->dividend;
    bool plain = inside->term_count == 1 && inside->terms[0].factor_count == 1 &&
                 inside->terms[0].coefficient == 1 && inside->terms[0].factors[0].symbol &&
                 inside->terms[0].factors[0].symbol->multiple == 1;
    if (!alone) text_add(out, "(");
    if (!plain) text_add(out, "(");
    dim_print(out, inside);
    text_add(out, "%s//%lld%s", plain ? "" : ")", (long long)factor->divisor, alone ? "" : ")");
}

static void print_term(Text *out, const DimTerm *term, bool first) {
    int64_t above = term->coefficient < 0 ? -term->coefficient : term->coefficient, below = 1;
    for (int f = 0; f < term->factor_count; f++)
        if (term->factors[f].symbol) below = saturated_mul(below, term->factors[f].symbol->multiple);
    int64_t common = common_divisor(above, below);
    above /= common;
    below /= common;
    if (term->coefficient < 0) text_add(out, "-");
    else if (!first) text_add(out, "+");
    if (above != 1 || term->factor_count == 0)
        text_add(out, "%lld%s", (long long)above, term->factor_count ? "*" : "");
    bool alone = above == 1 && below == 1 && term->factor_count == 1;
    for (int f = 0; f < term->factor_count; f++) {
        if (f) text_add(out, "*");
        print_factor(out, &term->factors[f], alone);
    }
    if (below != 1) text_add(out, "/%lld", (long long)below);
}

void dim_print(Text *out, Dim a) {
    if (a->term_count == 0) text_add(out, "0");
    bool first = true;
    for (int negative = 0; negative < 2; negative++) /* H-W, not -W+H */
        for (int t = 0; t < a->term_count; t++)
            if ((a->terms[t].coefficient < 0) == (negative == 1)) {
                print_term(out, &a->terms[t], first);
                first = false;
            }
}

const char *dim_string(Arena *arena, Dim a) {
    Text text = {.arena = arena};
    dim_print(&text, a);
    return text_string(&text);
}
