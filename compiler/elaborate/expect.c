/* `expect(params = 11689512, macs = 1814e6, at = (depth = 18))`: a model states its
 * figures. A figure written as a float stands for all numbers that round to its digits:
 * 1814e6 is any count from 1813.5e6 to 1814.5e6. It is for the settings that `at` gives,
 * and the defaults of the others: where these are not the model's, it is not checked
 * here, but `cai check` elaborates the model once more with them. Where -D fixes a size,
 * nothing is checked. */
#include "elaborate/evaluator.h"

#include <math.h>

/* Half a unit of the last digit written; 0 for an int. */
static double stated_tolerance(const Expr *expr) {
    if (expr->kind != EXPR_FLOAT || !expr->span.source) return 0;
    const char *text = expr->span.source->text;
    int exponent = 0, decimals = 0, sign = 1;
    bool point = false;
    uint32_t i = expr->span.begin;
    for (; i < expr->span.end && text[i] != 'e' && text[i] != 'E'; i++) {
        if (text[i] == '.') point = true;
        else if (text[i] != '_') decimals += point;
    }
    for (i++; i < expr->span.end && exponent < 400; i++) {
        if (text[i] == '-') sign = -1;
        else if (text[i] >= '0' && text[i] <= '9') exponent = exponent * 10 + text[i] - '0';
    }
    return 0.5 * real_pow(10, sign * exponent - decimals);
}

/* The values of the symbols: those of `at`, and 1 for a batch that it omits. NULL after
 * an error. */
static int64_t *sizes_at(Evaluator *ev, const Expr *at) {
    int count = dims_symbol_count(ev->dims);
    int64_t *sizes = NEW_ARRAY(ev->arena, int64_t, count + 1);
    Value given = at ? evaluate(ev, at) : value_none;
    if (given.kind == VALUE_ERROR) return NULL;
    for (int i = 0; i < count; i++) {
        const Symbol *symbol = dims_symbol(ev->dims, i);
        sizes[i] = symbol->typical == 1 ? 1 : 0;
        for (int k = 0; value_is_sequence(given) && given.list->names && k < given.list->count; k++) {
            Value v = given.list->items[k];
            if (given.list->names[k] != symbol->name || v.kind != VALUE_INT) continue;
            if (v.integer <= 0 || v.integer % symbol->multiple != 0) {
                report(ev, DIAG_expect, at->span, "%s must be a multiple of %lld", symbol->name,
                       (long long)symbol->multiple);
                return NULL;
            }
            sizes[i] = v.integer / symbol->multiple;
        }
    }
    return sizes;
}

static bool has_all_sizes(Evaluator *ev, const int64_t *sizes, Dim macs, const Argument *argument) {
    if (dim_is_const(macs, NULL)) return true;
    for (int i = 0; i < dims_symbol_count(ev->dims); i++) {
        if (sizes[i] > 0) continue;
        Diagnostic *d = report(ev, DIAG_expect, argument->span, "the multiply-adds depend on %s",
                               dims_symbol(ev->dims, i)->name);
        report_help(ev, d, "say for which size: `at = (%s = 224, ...)`", dims_symbol(ev->dims, i)->name);
        return false;
    }
    return true;
}

/* The error where the count is different, with the difference; NULL where it matches. */
static Diagnostic *compare_figure(Evaluator *ev, const Argument *argument, const char *what, int64_t actual,
                                  int64_t *more) {
    Value v = evaluate(ev, argument->value);
    *more = 0;
    if (v.kind == VALUE_ERROR) return NULL;
    if (!value_is_number(v))
        return report(ev, DIAG_expect, argument->span, "`%s` must be a number; this is %s", argument->name,
                      value_kind_name(v));
    double expected = v.kind == VALUE_INT ? (double)v.integer : v.real;
    if (fabs(expected - (double)actual) <= stated_tolerance(argument->value)) return NULL;
    if (fabs(expected) < 0x1p62) *more = actual - (v.kind == VALUE_INT ? v.integer : (int64_t)v.real);
    return report(ev, DIAG_expect, argument->span, "this model has %lld %s, and %s are expected",
                  (long long)actual, what, span_text(ev->arena, argument->value->span));
}

static void compare_size(Evaluator *ev, const Argument *argument, const char *what, bool macs,
                         const int64_t *sizes) {
    Dim actual = macs ? ev->model->macs : ev->model->parameters;
    int64_t value, more;
    if (!has_all_sizes(ev, sizes, actual, argument)) return;
    if (!dim_evaluate(actual, sizes, &value)) {
        report(ev, DIAG_expect, argument->span, "the number of %s does not fit into 64 bits", what);
        return;
    }
    Diagnostic *d = compare_figure(ev, argument, what, value, &more);
    explain_difference(ev, d, more, stated_tolerance(argument->value), macs, sizes);
}

static void compare_field(Evaluator *ev, const Argument *argument) {
    int64_t more;
    if (ev->model->receptive_field)
        compare_figure(ev, argument, "pixels of receptive field", ev->model->receptive_field, &more);
    else
        report(ev, DIAG_expect, argument->span,
               "this model has no receptive field: it takes no picture, or each result depends on all of it");
}

/* An accuracy is not checked: `cai compare` shows it. */
static void read_accuracy(Evaluator *ev, const Argument *argument) {
    Value v = evaluate(ev, argument->value);
    double share = v.kind == VALUE_INT ? (double)v.integer : v.kind == VALUE_REAL ? v.real : 0;
    if (v.kind == VALUE_ERROR) return;
    if (share > 0 && share <= 100) ev->model->top1 = share;
    else
        report(ev, DIAG_expect, argument->span, "`top1` is an accuracy in per cent, above 0 and at most 100");
}

static void read_name(Evaluator *ev, const Argument *argument) {
    Value v = evaluate(ev, argument->value);
    if (v.kind == VALUE_STRING) ev->model->called = v.string;
    else if (v.kind != VALUE_ERROR)
        report(ev, DIAG_not_a_string, argument->span, "`name` must be a string; this is %s",
               value_kind_name(v));
}

static const Expr *find_at(const Stmt *expect) {
    for (int i = 0; i < expect->arguments.count; i++)
        if (expect->arguments.items[i].name && !strcmp(expect->arguments.items[i].name, "at"))
            return expect->arguments.items[i].value;
    return NULL;
}

static void check_expectation(Evaluator *ev, const Stmt *expect) {
    static const char *const names[] = {"params", "macs", "receptive_field", "top1", "name", "at"};
    const int64_t *sizes = sizes_at(ev, find_at(expect));
    for (int i = 0; sizes && i < expect->arguments.count; i++) {
        const Argument *argument = &expect->arguments.items[i];
        const char *name = argument->name ? argument->name : "";
        if (!strcmp(name, "params")) compare_size(ev, argument, "params", false, sizes);
        else if (!strcmp(name, "macs")) compare_size(ev, argument, "macs", true, sizes);
        else if (!strcmp(name, "receptive_field")) compare_field(ev, argument);
        else if (!strcmp(name, "top1")) read_accuracy(ev, argument);
        else if (!strcmp(name, "name")) read_name(ev, argument);
        else if (strcmp(name, "at")) {
            Diagnostic *d = report(ev, DIAG_unknown_argument, argument->span,
                                   "`expect` knows params, macs, receptive_field, top1, name and at");
            report_suggestion(ev, d, name, names, COUNT_OF(names));
        }
    }
}

/* ---- which settings it speaks of ---- */

static const Argument *argument_of(const Expr *at, Name name) {
    for (int i = 0; at && i < at->arguments.count; i++)
        if (at->arguments.items[i].name == name) return &at->arguments.items[i];
    return NULL;
}

static bool is_setting(const Evaluator *ev, Name name) {
    for (int i = 0; i < ev->settings.count; i++)
        if (ev->settings.items[i].name == name) return true;
    return false;
}

static bool is_symbol_name(const Evaluator *ev, Name name) {
    for (int i = 0; i < dims_symbol_count(ev->dims); i++)
        if (dims_symbol(ev->dims, i)->name == name) return true;
    return false;
}

static bool fixes_size(const Evaluator *ev) {
    for (int i = 0; i < ev->library->options.define_count; i++)
        if (!is_setting(ev, ev->library->options.defines[i].name)) return true;
    return false;
}

static bool check_at(Evaluator *ev, const Expr *at) {
    for (int i = 0; at && i < at->arguments.count; i++) {
        const Argument *argument = &at->arguments.items[i];
        if (argument->name && (is_setting(ev, argument->name) || is_symbol_name(ev, argument->name)))
            continue;
        Diagnostic *d =
            report(ev, DIAG_unknown_argument, argument->span, "`at` names sizes and settings of this model");
        report_help(ev, d, "at = (H = 224, W = 224, depth = 50)");
        return false;
    }
    return true;
}

/* Whether the model has the settings of an `expect`. */
static bool is_meant(Evaluator *ev, const Expr *at) {
    for (int i = 0; i < ev->settings.count; i++) {
        const Setting *setting = &ev->settings.items[i];
        const Argument *given = argument_of(at, setting->name);
        if (!value_equal(setting->value, given ? evaluate(ev, given->value) : setting->fallback))
            return false;
    }
    return true;
}

static void state_sizes(Evaluator *ev, const Expr *at) {
    for (int i = 0; at && i < at->arguments.count; i++) {
        const Argument *argument = &at->arguments.items[i];
        if (is_symbol_name(ev, argument->name))
            vec_push(ev->arena, &ev->model->stated_sizes,
                     (Define){argument->name, span_text(ev->arena, argument->value->span)});
    }
}

static void add_variant(Evaluator *ev, const Expr *at) {
    Vec(Define) defines = {0};
    for (int i = 0; i < at->arguments.count; i++) {
        const Argument *argument = &at->arguments.items[i];
        if (is_setting(ev, argument->name))
            vec_push(ev->arena, &defines,
                     (Define){argument->name, span_text(ev->arena, argument->value->span)});
    }
    if (defines.count) vec_push(ev->arena, &ev->model->variants, (Variant){defines.items, defines.count});
}

void check_expectations(Evaluator *ev) {
    if (fixes_size(ev)) return;
    for (int i = 0; i < ev->expectations.count; i++) {
        const Expr *at = find_at(ev->expectations.items[i]);
        if (!check_at(ev, at)) continue;
        if (is_meant(ev, at)) {
            check_expectation(ev, ev->expectations.items[i]);
            state_sizes(ev, at);
        } else if (at) add_variant(ev, at);
    }
}
