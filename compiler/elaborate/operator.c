/* Operators on compile-time values: numbers, sizes, strings, lists. Tensors go to
 * tensor.c. */
#include "elaborate/evaluator.h"

#include <math.h>

const char *operator_text(Operator op) {
    static const char *const texts[] = {
        [OPERATOR_ADD] = "+",       [OPERATOR_SUB] = "-", [OPERATOR_MUL] = "*",    [OPERATOR_DIV] = "/",
        [OPERATOR_FLOORDIV] = "//", [OPERATOR_MOD] = "%", [OPERATOR_MATMUL] = "@", [OPERATOR_POW] = "**",
        [OPERATOR_EQ] = "==",       [OPERATOR_NE] = "!=", [OPERATOR_LT] = "<",     [OPERATOR_LE] = "<=",
        [OPERATOR_GT] = ">",        [OPERATOR_GE] = ">=", [OPERATOR_AND] = "and",  [OPERATOR_OR] = "or",
        [OPERATOR_NOT] = "not",     [OPERATOR_NEG] = "-"};
    return texts[op];
}

static bool is_comparison_operator(Operator op) { return op >= OPERATOR_EQ && op <= OPERATOR_GE; }

static bool order_holds(Operator op, int order) {
    switch (op) {
    case OPERATOR_EQ: return order == 0;
    case OPERATOR_NE: return order != 0;
    case OPERATOR_LT: return order < 0;
    case OPERATOR_LE: return order <= 0;
    case OPERATOR_GT: return order > 0;
    default: return order >= 0;
    }
}

static Value report_overflow(Evaluator *ev, Span span) {
    report(ev, DIAG_int_overflow, span, "this int does not fit into 64 bits");
    return value_error;
}

/* ---- ints ---- */

static Value int_power(Evaluator *ev, int64_t base, int64_t exponent, Span span) {
    if (exponent < 0) return value_real(real_pow((double)base, (double)exponent));
    int64_t result = 1;
    while (exponent > 0) {
        if (exponent % 2 && __builtin_mul_overflow(result, base, &result)) return report_overflow(ev, span);
        exponent /= 2;
        if (exponent && __builtin_mul_overflow(base, base, &base)) return report_overflow(ev, span);
    }
    return value_int(result);
}

static Value int_divide(Evaluator *ev, Operator op, int64_t a, int64_t b, Span span) {
    if (b == 0) {
        report(ev, DIAG_divide_by_zero, span, "division by zero");
        return value_error;
    }
    if (b == -1) return a == INT64_MIN ? report_overflow(ev, span) : value_int(op == OPERATOR_MOD ? 0 : -a);
    int64_t quotient = a / b, rest = a % b;
    if (op == OPERATOR_DIV && rest != 0) {
        Diagnostic *d = report(ev, DIAG_inexact_division, span, "%lld / %lld is not a whole number",
                               (long long)a, (long long)b);
        report_help(ev, d, "`//` rounds down; `%lld.0 / %lld` is a float", (long long)a, (long long)b);
        return value_error;
    }
    bool below = rest != 0 && (rest < 0) != (b < 0);
    if (op == OPERATOR_MOD) return value_int(below ? rest + b : rest);
    return value_int(below ? quotient - 1 : quotient);
}

static Value int_binary(Evaluator *ev, Operator op, int64_t a, int64_t b, Span span) {
    int64_t result;
    if (is_comparison_operator(op)) return value_bool(order_holds(op, (a > b) - (a < b)));
    switch (op) {
    case OPERATOR_ADD:
        return __builtin_add_overflow(a, b, &result) ? report_overflow(ev, span) : value_int(result);
    case OPERATOR_SUB:
        return __builtin_sub_overflow(a, b, &result) ? report_overflow(ev, span) : value_int(result);
    case OPERATOR_MUL:
        return __builtin_mul_overflow(a, b, &result) ? report_overflow(ev, span) : value_int(result);
    case OPERATOR_POW: return int_power(ev, a, b, span);
    default: return int_divide(ev, op, a, b, span);
    }
}

static Value real_binary(Evaluator *ev, Operator op, double a, double b, Span span) {
    if (is_comparison_operator(op)) return value_bool(order_holds(op, a == b ? 0 : a < b ? -1 : 1));
    if (b == 0 && (op == OPERATOR_DIV || op == OPERATOR_FLOORDIV || op == OPERATOR_MOD)) {
        report(ev, DIAG_divide_by_zero, span, "division by zero");
        return value_error;
    }
    switch (op) {
    case OPERATOR_ADD: return value_real(a + b);
    case OPERATOR_SUB: return value_real(a - b);
    case OPERATOR_MUL: return value_real(a * b);
    case OPERATOR_DIV: return value_real(a / b);
    case OPERATOR_FLOORDIV: return value_real(floor_divide(a, b));
    case OPERATOR_MOD: return value_real(floor_modulo(a, b));
    default: return value_real(real_pow(a, b));
    }
}

/* ---- sizes ---- */

Dim as_dim(Evaluator *ev, Value v) { return v.kind == VALUE_INT ? dim_const(ev->dims, v.integer) : v.dim; }

/* Whether `a op b` is the same for all sizes; then *out is what it is. */
bool decide_order(Evaluator *ev, Operator op, Dim a, Dim b, bool *out) {
    int64_t low, high;
    dim_bounds(dim_sub(ev->dims, a, b), &low, &high);
    if (low > 0 || high < 0 || a == b) *out = order_holds(op, a == b ? 0 : low > 0 ? 1 : -1);
    else if ((op == OPERATOR_GE || op == OPERATOR_LT) && low >= 0) *out = op == OPERATOR_GE;
    else if ((op == OPERATOR_LE || op == OPERATOR_GT) && high <= 0) *out = op == OPERATOR_LE;
    else return false;
    return true;
}

static Value dim_compare(Evaluator *ev, Operator op, Dim a, Dim b, Span span) {
    bool holds;
    if (decide_order(ev, op, a, b, &holds)) return value_bool(holds);
    Diagnostic *d = report(ev, DIAG_size_not_known, span, "`%s %s %s` holds for some sizes only",
                           dim_string(ev->arena, a), operator_text(op), dim_string(ev->arena, b));
    report_help(ev, d, "fix the size (-D, or in the signature), or require it with `assert` or `where`");
    return value_error;
}

/* The quotient rounds down, and the program checks that the division is exact. */
static Value dim_divide_checked(Evaluator *ev, Dim a, int64_t b, Span span) {
    const char *message =
        arena_printf(ev->arena, "%s: %s must be a multiple of %lld",
                     place_text(ev->arena, user_span(ev, span)), dim_string(ev->arena, a), (long long)b);
    graph_check(ev->graph, CHECK_DIVISIBLE, a, dim_const(ev->dims, b), message);
    return value_dim(dim_floor_div(ev->dims, a, b));
}

static Value dim_divide(Evaluator *ev, Operator op, Dim a, Dim b, Span span) {
    int64_t divisor;
    Dim exact = dim_is_const(b, &divisor) && divisor == 0 ? NULL : dim_div_exact(ev->dims, a, b);
    if (exact) return op == OPERATOR_MOD ? value_int(0) : value_dim(exact);
    if (!dim_is_const(b, &divisor)) {
        report(ev, DIAG_size_division, span,
               "`%s %s %s`: sizes divide only where the quotient is exact, or by a constant",
               dim_string(ev->arena, a), operator_text(op), dim_string(ev->arena, b));
        return value_error;
    }
    if (divisor <= 0) {
        report(ev, divisor ? DIAG_size_division : DIAG_divide_by_zero, span,
               divisor ? "a size is divided by a negative number" : "division by zero");
        return value_error;
    }
    if (op == OPERATOR_DIV) return dim_divide_checked(ev, a, divisor, span);
    Dim quotient = dim_floor_div(ev->dims, a, divisor);
    return value_dim(op == OPERATOR_MOD ? dim_sub(ev->dims, a, dim_scale(ev->dims, quotient, divisor))
                                        : quotient);
}

enum { MAX_TERMS = 64 };

static Value too_complex(Evaluator *ev, Span span) {
    report(ev, DIAG_size_too_complex, span, "this size has too many terms");
    return value_error;
}

static Value dim_power(Evaluator *ev, Dim a, Dim b, Span span) {
    int64_t exponent;
    if (!dim_is_const(b, &exponent) || exponent < 0 || exponent > 8) {
        report(ev, DIAG_size_power, span, "a size can be raised to 0 .. 8 only");
        return value_error;
    }
    Dim result = dim_const(ev->dims, 1);
    for (int64_t i = 0; i < exponent; i++) {
        if (result->term_count * a->term_count > MAX_TERMS) return too_complex(ev, span);
        result = dim_mul(ev->dims, result, a);
    }
    return value_dim(result);
}

static Value value_of_size(Evaluator *ev, Dim dim, Span span) {
    for (int i = 0; i < dim->term_count; i++)
        if (dim->terms[i].coefficient > INT64_MAX / 4 || dim->terms[i].coefficient < -(INT64_MAX / 4))
            return report_overflow(ev, span);
    return value_dim(dim);
}

static Value dim_binary(Evaluator *ev, Operator op, Dim a, Dim b, Span span) {
    if (is_comparison_operator(op)) return dim_compare(ev, op, a, b, span);
    if (a->term_count + b->term_count > MAX_TERMS ||
        (op == OPERATOR_MUL && a->term_count * b->term_count > MAX_TERMS))
        return too_complex(ev, span);
    switch (op) {
    case OPERATOR_ADD: return value_of_size(ev, dim_add(ev->dims, a, b), span);
    case OPERATOR_SUB: return value_of_size(ev, dim_sub(ev->dims, a, b), span);
    case OPERATOR_MUL: return value_of_size(ev, dim_mul(ev->dims, a, b), span);
    case OPERATOR_POW: return dim_power(ev, a, b, span);
    default: return dim_divide(ev, op, a, b, span);
    }
}

/* ---- strings and lists ---- */

static Value join_lists(Evaluator *ev, const List *a, const List *b, ValueKind kind, Span span) {
    int count = a->count + b->count;
    if (!spend(ev, span, count)) return value_error;
    Value *items = NEW_ARRAY(ev->arena, Value, count);
    Name *names = NEW_ARRAY(ev->arena, Name, count);
    for (int i = 0; i < count; i++) {
        const List *from = i < a->count ? a : b;
        int at = i < a->count ? i : i - a->count;
        items[i] = from->items[at];
        names[i] = from->names ? from->names[at] : NULL;
    }
    return bounded_list(ev, value_list(ev->arena, kind, items, names, count), span);
}

static Value replicate_list(Evaluator *ev, const List *list, int64_t times, ValueKind kind, Span span) {
    int64_t count = 0;
    if (times < 0 || __builtin_mul_overflow(times, list->count, &count) || count > INT32_MAX ||
        !spend(ev, span, count)) {
        if (!ev->stopped)
            report(ev, DIAG_too_large, span, "a list cannot be repeated %lld times", (long long)times);
        return value_error;
    }
    Value *items = NEW_ARRAY(ev->arena, Value, count);
    for (int64_t i = 0; i < count; i++) items[i] = list->items[i % list->count];
    return bounded_list(ev, value_list(ev->arena, kind, items, NULL, (int)count), span);
}

static Value report_operand_mismatch(Evaluator *ev, Operator op, Value a, Value b, Span span) {
    if (report_unrun(ev, a) || report_unrun(ev, b)) return value_error;
    Diagnostic *d = report(ev, DIAG_operand_kinds, span, "`%s` does not take %s and %s", operator_text(op),
                           value_kind_name(a), value_kind_name(b));
    bool runs = (a.kind == VALUE_TENSOR && (b.kind == VALUE_LAYER || b.kind == VALUE_BLOCK)) ||
                (b.kind == VALUE_TENSOR && (a.kind == VALUE_LAYER || a.kind == VALUE_BLOCK));
    bool list =
        (a.kind == VALUE_TENSOR && value_is_sequence(b)) || (b.kind == VALUE_TENSOR && value_is_sequence(a));
    if (runs) report_help(ev, d, "an arrow runs a layer: `x -> layer`");
    if (list) report_help(ev, d, "`tensor(...)` makes a tensor of a list");
    return value_error;
}

static Value other_binary(Evaluator *ev, Operator op, Value a, Value b, Span span) {
    if (op == OPERATOR_EQ || op == OPERATOR_NE) return value_bool(value_equal(a, b) == (op == OPERATOR_EQ));
    if (a.kind == VALUE_STRING && b.kind == VALUE_STRING) {
        if (op == OPERATOR_ADD && spend(ev, span, (int64_t)(strlen(a.string) + strlen(b.string)) / 8))
            return value_string(intern(ev->names, arena_printf(ev->arena, "%s%s", a.string, b.string)));
        if (is_comparison_operator(op)) return value_bool(order_holds(op, strcmp(a.string, b.string)));
    }
    if (op == OPERATOR_ADD && value_is_sequence(a) && a.kind == b.kind)
        return join_lists(ev, a.list, b.list, a.kind, span);
    if (op == OPERATOR_MUL && value_is_sequence(a) && b.kind == VALUE_INT)
        return replicate_list(ev, a.list, b.integer, a.kind, span);
    if (op == OPERATOR_MUL && value_is_sequence(b) && a.kind == VALUE_INT)
        return replicate_list(ev, b.list, a.integer, b.kind, span);
    if (ev->stopped) return value_error;
    return report_operand_mismatch(ev, op, a, b, span);
}

/* ---- dispatch ---- */

static bool is_size(Value v) { return v.kind == VALUE_INT || v.kind == VALUE_DIM; }

static Value apply_operator(Evaluator *ev, Operator op, Value a, Value b, Span span, const Expr *expr) {
    a = settle(ev, a);
    b = settle(ev, b);
    if (a.kind == VALUE_ERROR || b.kind == VALUE_ERROR) return value_error;
    bool a_scalar = value_is_number(a) || a.kind == VALUE_DIM,
         b_scalar = value_is_number(b) || b.kind == VALUE_DIM;
    bool a_tensor = a.kind == VALUE_TENSOR, b_tensor = b.kind == VALUE_TENSOR;
    bool joins =
        (a_tensor || a_scalar || a.kind == VALUE_BOOL) && (b_tensor || b_scalar || b.kind == VALUE_BOOL);
    if ((a_tensor || b_tensor) && joins) return tensor_binary(ev, op, a, b, span, expr);
    if (a.kind == VALUE_INT && b.kind == VALUE_INT && op != OPERATOR_MATMUL)
        return int_binary(ev, op, a.integer, b.integer, span);
    if (is_size(a) && is_size(b) && op != OPERATOR_MATMUL)
        return dim_binary(ev, op, as_dim(ev, a), as_dim(ev, b), span);
    if (value_is_number(a) && value_is_number(b) && op != OPERATOR_MATMUL)
        return real_binary(ev, op, value_as_real(a), value_as_real(b), span);
    /* a size and a float */
    if (a_scalar && b_scalar && op != OPERATOR_MATMUL) return tensor_binary(ev, op, a, b, span, expr);
    return other_binary(ev, op, a, b, span);
}

Value apply_binary(Evaluator *ev, Operator op, Value a, Value b, const Expr *expr) {
    return apply_operator(ev, op, a, b, expr->span, expr);
}
Value apply_at(Evaluator *ev, Operator op, Value a, Value b, Span span) {
    return apply_operator(ev, op, a, b, span, NULL);
}

Value apply_unary(Evaluator *ev, Operator op, Value a, Span span) {
    a = settle(ev, a);
    if (a.kind == VALUE_ERROR) return value_error;
    if (op == OPERATOR_NOT) {
        if (a.kind == VALUE_BOOL) return value_bool(!a.truth);
        if (a.kind == VALUE_TENSOR) return tensor_unary(ev, OP_not, a, span);
    } else {
        if (a.kind == VALUE_INT)
            return a.integer == INT64_MIN ? report_overflow(ev, span) : value_int(-a.integer);
        if (a.kind == VALUE_REAL) return value_real(-a.real);
        if (a.kind == VALUE_DIM) return value_dim(dim_scale(ev->dims, a.dim, -1));
        if (a.kind == VALUE_TENSOR) return tensor_unary(ev, OP_neg, a, span);
    }
    if (op == OPERATOR_NOT)
        report(ev, DIAG_not_a_bool, span, "a condition must be true or false; this is %s",
               value_kind_name(a));
    else report(ev, DIAG_operand_kinds, span, "`%s` does not take %s", operator_text(op), value_kind_name(a));
    return value_error;
}
