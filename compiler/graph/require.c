/* Conditions on sizes: proved, refuted, or left to a check of the built program. */
#include "graph/ops.h"

typedef enum Verdict { PROVED, REFUTED, OPEN } Verdict;

static Verdict judge_check(Dims *dims, CheckKind kind, Dim left, Dim right) {
    int64_t low, high, divisor, rest;
    if (kind == CHECK_DIVISIBLE) {
        if (dim_div_exact(dims, left, right)) return PROVED;
        if (!dim_is_const(right, &divisor) || divisor <= 0) return OPEN;
        Dim remainder = dim_sub(dims, left, dim_scale(dims, dim_floor_div(dims, left, divisor), divisor));
        return !dim_is_const(remainder, &rest) ? OPEN : rest == 0 ? PROVED : REFUTED;
    }
    dim_bounds(dim_sub(dims, left, right), &low, &high);
    if (kind == CHECK_EQUAL) return left == right ? PROVED : low > 0 || high < 0 ? REFUTED : OPEN;
    return low >= 0 ? PROVED : high < 0 ? REFUTED : OPEN;
}

static void add_symbols(Dim a, bool *used) {
    for (int t = 0; t < a->term_count; t++)
        for (int f = 0; f < a->terms[t].factor_count; f++) {
            const DimFactor *factor = &a->terms[t].factors[f];
            if (factor->symbol) used[factor->symbol->index] = true;
            else add_symbols(factor->dividend, used);
        }
}

/* Where left - right depends on one symbol: the smallest value from which on it is >= 0.
 * Else, or where the difference falls as the symbol grows, 0. */
static int64_t smallest_difference(Graph *graph, Dim difference, const Symbol **symbol) {
    int count = dims_symbol_count(graph->dims), only = -1;
    bool *used = NEW_ARRAY(graph->arena, bool, count);
    int64_t *values = NEW_ARRAY(graph->arena, int64_t, count), value, low = 0, high = 1 << 20;
    add_symbols(difference, used);
    for (int i = 0; i < count; i++) {
        if (used[i] && only >= 0) return 0;
        if (used[i]) only = i;
    }
    if (only < 0) return 0;
    *symbol = dims_symbol(graph->dims, only);
    values[only] = high;
    if (!dim_evaluate(difference, values, &value) || value < 0) return 0;
    while (high - low > 1) {
        values[only] = (low + high) / 2;
        if (dim_evaluate(difference, values, &value) && value >= 0) high = values[only];
        else low = values[only];
    }
    return high;
}

/* H >= 8 and H - 8 >= 0 are one condition: equal conditions have equal names. */
static Name name_of_check(Graph *graph, CheckKind kind, Dim left, Dim right) {
    bool divisible = kind == CHECK_DIVISIBLE;
    uintptr_t parts[] = {kind, (uintptr_t)(divisible ? left : dim_sub(graph->dims, left, right)),
                         divisible ? (uintptr_t)right : 0};
    return intern_range(graph->names, (const char *)parts, sizeof parts);
}

void graph_check(Graph *graph, CheckKind kind, Dim left, Dim right, const char *message) {
    if (!graph->check_index) graph->check_index = map_new(graph->arena);
    for (; graph->indexed_checks < graph->checks.count; graph->indexed_checks++) {
        const Check *check = &graph->checks.items[graph->indexed_checks];
        map_set(graph->check_index, name_of_check(graph, check->kind, check->left, check->right),
                (void *)check);
    }
    if (!map_get(graph->check_index, name_of_check(graph, kind, left, right)))
        vec_push(graph->arena, &graph->checks, (Check){kind, left, right, message});
}

/* The message: the place, the reason, then the size that would do. */
static const char *requirement_message(Graph *graph, CheckKind kind, Dim left, Dim right,
                                       const char *reason) {
    Text text = {.arena = graph->arena};
    const Span span = graph->here->span;
    if (span.source) {
        Place place = source_place(span.source, span.begin);
        text_add(&text, "%s:%d:%d: ", span.source->path, place.line, place.column);
    }
    text_add(&text, "%s", reason);
    const Symbol *symbol;
    int64_t least =
        kind == CHECK_AT_LEAST ? smallest_difference(graph, dim_sub(graph->dims, left, right), &symbol) : 0;
    if (least)
        text_add(&text, "; %s must be at least %lld", symbol->name, (long long)(least * symbol->multiple));
    return text_string(&text);
}

bool graph_require(Graph *graph, CheckKind kind, Dim left, Dim right, ShapeError *error, const char *format,
                   ...) {
    Verdict verdict = judge_check(graph->dims, kind, left, right);
    if (verdict == PROVED || (verdict == OPEN && !graph->adding_checks)) return true;
    va_list arguments;
    va_start(arguments, format);
    char *text = arena_vprintf(graph->arena, format, arguments);
    va_end(arguments);
    if (verdict == OPEN)
        graph_check(graph, kind, left, right, requirement_message(graph, kind, left, right, text));
    else *error = (ShapeError){text, -1, -1};
    return verdict == OPEN;
}
