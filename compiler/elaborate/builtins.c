/* The functions and constants that every file knows: compile-time work, and functions
 * that make tensors without operands. The operators of ops.def are functions too, under
 * their own names; `primitive.NAME` reaches one that the library hides. */
#include "elaborate/train.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static Value positional_argument(const Arguments *arguments, int index) {
    for (int i = 0; i < arguments->given.count; i++)
        if (!arguments->given.items[i].name && index-- == 0) return arguments->given.items[i].value;
    return value_none;
}

static int positional_count(const Arguments *arguments) {
    int count = 0;
    for (int i = 0; i < arguments->given.count; i++) count += !arguments->given.items[i].name;
    return count;
}

static const Binding *keyword_argument(const Arguments *arguments, const char *name) {
    for (int i = 0; i < arguments->given.count; i++)
        if (arguments->given.items[i].name && !strcmp(arguments->given.items[i].name, name))
            return &arguments->given.items[i];
    return NULL;
}

static Value refuse_argument(Evaluator *ev, Span span, const char *function, const char *wanted, Value v) {
    if (v.kind != VALUE_ERROR)
        report(ev, DIAG_argument_kind, span, "`%s` takes %s; this is %s", function, wanted,
               value_kind_name(v));
    return value_error;
}

/* ---- lists ---- */

static Value run_len(Evaluator *ev, const Arguments *arguments, Span span) {
    Value v = positional_argument(arguments, 0);
    if (value_is_sequence(v)) return value_int(v.list->count);
    if (v.kind == VALUE_STRING) return value_int((int64_t)strlen(v.string));
    return refuse_argument(ev, span, "len", "a list, a tuple or a string", v);
}

static Value run_range(Evaluator *ev, const Arguments *arguments, Span span) {
    int64_t ends[3] = {0, 0, 1}, count = 0;
    int given = positional_count(arguments);
    for (int i = 0; i < given; i++) {
        Value v = positional_argument(arguments, i);
        if (v.kind != VALUE_INT) return refuse_argument(ev, span, "range", "ints", v);
        ends[given == 1 ? 1 : i] = v.integer;
    }
    int64_t from = ends[0], to = ends[1], step = ends[2];
    bool huge = from < -(INT64_C(1) << 40) || to > INT64_C(1) << 40 || from > INT64_C(1) << 40 ||
                to < -(INT64_C(1) << 40);
    if (step == 0 || step > INT32_MAX || step < -INT32_MAX || huge) {
        report(ev, DIAG_argument_kind, span,
               step ? "the ends of this range are too large" : "the step of a range must not be 0");
        return value_error;
    }
    if (step > 0 ? to > from : to < from)
        count = step > 0 ? ceil_div(to - from, step) : (from - to - step - 1) / -step;
    if (count > INT32_MAX || !spend(ev, span, count)) return value_error;
    Value *items = NEW_ARRAY(ev->arena, Value, count);
    for (int64_t i = 0; i < count; i++) items[i] = value_int(from + i * step);
    return value_list(ev->arena, VALUE_LIST, items, NULL, (int)count);
}

/* Tuples of the items at equal places of the lists, up to the shortest. */
static Value run_zip(Evaluator *ev, const Arguments *arguments, Span span) {
    int width = positional_count(arguments), count = INT32_MAX;
    for (int i = 0; i < width; i++) {
        Value v = positional_argument(arguments, i);
        if (!value_is_sequence(v)) return refuse_argument(ev, span, "zip", "lists", v);
        count = v.list->count < count ? v.list->count : count;
    }
    if (!spend(ev, span, (int64_t)count * (width + 1))) return value_error;
    Value *rows = NEW_ARRAY(ev->arena, Value, count), *row = NEW_ARRAY(ev->arena, Value, width);
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < width; k++) row[k] = positional_argument(arguments, k).list->items[i];
        rows[i] = value_list(ev->arena, VALUE_TUPLE, row, NULL, width);
    }
    return bounded_list(ev, value_list(ev->arena, VALUE_LIST, rows, NULL, count), span);
}

static Value run_enumerate(Evaluator *ev, const Arguments *arguments, Span span) {
    Value v = positional_argument(arguments, 0);
    if (!value_is_sequence(v)) return refuse_argument(ev, span, "enumerate", "a list", v);
    if (!spend(ev, span, (int64_t)v.list->count * 3)) return value_error;
    Value *rows = NEW_ARRAY(ev->arena, Value, v.list->count);
    for (int i = 0; i < v.list->count; i++)
        rows[i] = value_list(ev->arena, VALUE_TUPLE, (Value[]){value_int(i), v.list->items[i]}, NULL, 2);
    return bounded_list(ev, value_list(ev->arena, VALUE_LIST, rows, NULL, v.list->count), span);
}

static Value run_reversed(Evaluator *ev, const Arguments *arguments, Span span) {
    Value v = positional_argument(arguments, 0);
    if (!value_is_sequence(v)) return refuse_argument(ev, span, "reversed", "a list", v);
    if (!spend(ev, span, v.list->count)) return value_error;
    Value *items = NEW_ARRAY(ev->arena, Value, v.list->count);
    for (int i = 0; i < v.list->count; i++) items[i] = v.list->items[v.list->count - 1 - i];
    return value_list(ev->arena, v.kind, items, NULL, v.list->count);
}

/* ---- conversions ---- */

static Value integer_of_real(Evaluator *ev, double real, Span span) {
    if (fabs(real) < 0x1p63) return value_int((int64_t)real);
    report(ev, DIAG_int_overflow, span,
           isfinite(real) ? "%s does not fit into an int of 64 bits" : "%s is no whole number",
           value_describe(ev->arena, value_real(real)));
    return value_error;
}

static Value parsed_int(Evaluator *ev, const char *text, Span span) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (!*text || *end)
        report(ev, DIAG_argument_kind, span, "`int` takes a number, or a string of digits; this is \"%s\"",
               text);
    else if (errno == ERANGE)
        report(ev, DIAG_int_overflow, span, "%s does not fit into an int of 64 bits", text);
    else return value_int(number);
    return value_error;
}

static Value run_int(Evaluator *ev, const Arguments *arguments, Span span) {
    Value v = positional_argument(arguments, 0);
    if (v.kind == VALUE_INT || v.kind == VALUE_DIM) return v;
    if (v.kind == VALUE_BOOL) return value_int(v.truth);
    if (v.kind == VALUE_REAL) return integer_of_real(ev, v.real, span);
    return v.kind == VALUE_STRING ? parsed_int(ev, v.string, span)
                                  : refuse_argument(ev, span, "int", "a number", v);
}

static Value run_float(Evaluator *ev, const Arguments *arguments, Span span) {
    Value v = positional_argument(arguments, 0);
    if (v.kind == VALUE_INT) return value_real((double)v.integer);
    if (v.kind == VALUE_BOOL) return value_real(v.truth);
    if (v.kind == VALUE_DIM) return value_node(as_node(ev, v, DTYPE_F32, span));
    return v.kind == VALUE_REAL ? v : refuse_argument(ev, span, "float", "a number", v);
}

static Value run_str(Evaluator *ev, const Arguments *arguments, Span span) {
    Text text = {.arena = ev->arena};
    (void)span;
    value_print(&text, positional_argument(arguments, 0));
    return value_string(intern(ev->names, text_string(&text)));
}

/* The kind of a setting's value, for library blocks that take several kinds. */
static Value run_kind_builtin(Evaluator *ev, const Arguments *arguments, Span span) {
    const char *name = value_kind_name(positional_argument(arguments, 0)), *space = strchr(name, ' ');
    (void)span;
    return value_string(intern(ev->names, space ? space + 1 : name));
}

/* ---- tensors out of nothing ---- */

static bool dtype_argument(Evaluator *ev, const Arguments *arguments, DType fallback, DType *out) {
    const Binding *given = keyword_argument(arguments, "dtype");
    *out = fallback;
    if (!given) return true;
    if (given->value.kind == VALUE_STRING && dtype_from_name(given->value.string, out)) return true;
    report(ev, DIAG_unknown_type, given->span,
           "`dtype` is one of f32, f16, bf16, i8, i32, i64, bool, as a string");
    return false;
}

/* A list of sizes, or the sizes themselves. */
static bool shape_argument(Evaluator *ev, Value v, DType type, Span span, const char *function, Shape *out) {
    int count = value_is_sequence(v) ? v.list->count : 1;
    Dim *dims = NEW_ARRAY(ev->arena, Dim, count);
    if (count > 16) {
        report(ev, DIAG_argument_kind, span, "tensors have at most 16 axes");
        return false;
    }
    for (int i = 0; i < count; i++) {
        Value item = value_is_sequence(v) ? v.list->items[i] : v;
        if (item.kind == VALUE_TENSOR || item.kind == VALUE_WEIGHT) {
            report(ev, DIAG_tensor_at_compile_time, span,
                   "a tensor cannot decide a shape: shapes are known before the program runs");
            return false;
        }
        if (item.kind != VALUE_INT && item.kind != VALUE_DIM) {
            refuse_argument(ev, span, function, "a list of sizes", item);
            return false;
        }
        if (item.kind == VALUE_INT && (item.integer < 1 || item.integer > INT64_C(1) << 40)) {
            report(ev, DIAG_weight_size, span, "a size must be at least 1 and at most 2 ** 40; this is %lld",
                   (long long)item.integer);
            return false;
        }
        dims[i] = as_dim(ev, item);
    }
    *out = (Shape){type, count, dims};
    return true;
}

static Value filled_tensor(Evaluator *ev, const Arguments *arguments, Value value, const char *name,
                           Span span) {
    DType type;
    Shape shape;
    if (!dtype_argument(ev, arguments, DTYPE_F32, &type)) return value_error;
    if (!shape_argument(ev, positional_argument(arguments, 0), type, span, name, &shape)) return value_error;
    Number number = value_number(value, type);
    constant_attributes attributes = {
        .type = type, .dims = {shape.rank, shape.dims}, .data = &(Data){1, &number}};
    return value_node(make_node(ev, OP_constant, NULL, 0, &attributes, span));
}

static Value run_zeros(Evaluator *ev, const Arguments *arguments, Span span) {
    return filled_tensor(ev, arguments, value_int(0), "zeros", span);
}
static Value run_ones(Evaluator *ev, const Arguments *arguments, Span span) {
    return filled_tensor(ev, arguments, value_int(1), "ones", span);
}

static Value run_full(Evaluator *ev, const Arguments *arguments, Span span) {
    Value v = positional_argument(arguments, 1);
    if (!value_is_number(v)) return refuse_argument(ev, span, "full", "a shape and a number", v);
    return filled_tensor(ev, arguments, v, "full", span);
}

static Value run_tensor(Evaluator *ev, const Arguments *arguments, Span span) {
    DType type;
    Value v = positional_argument(arguments, 0);
    if (!dtype_argument(ev, arguments, DTYPE_F32, &type)) return value_error;
    if (v.kind == VALUE_DIM) return value_node(as_node(ev, v, type, span));
    return value_node(v.kind == VALUE_TENSOR ? v.node : tensor_from_values(ev, v, type, span));
}

/* 0, 1, 2, ... along an axis of that size. */
static Value run_arange(Evaluator *ev, const Arguments *arguments, Span span) {
    DType type;
    Shape shape;
    if (!dtype_argument(ev, arguments, DTYPE_I32, &type)) return value_error;
    if (!shape_argument(ev, positional_argument(arguments, 0), type, span, "arange", &shape))
        return value_error;
    iota_attributes attributes = {.type = type, .dims = {shape.rank, shape.dims}, .axis = shape.rank - 1};
    return value_node(make_node(ev, OP_iota, NULL, 0, &attributes, span));
}

/* A random stream is named by the layer and its ordinal in the layer's body. */
static Value run_uniform(Evaluator *ev, const Arguments *arguments, Span span) {
    Vec(Value) sizes = {0};
    Shape shape;
    for (int i = 0; i < positional_count(arguments); i++)
        vec_push(ev->arena, &sizes, positional_argument(arguments, i));
    Value v =
        sizes.count == 1 ? sizes.items[0] : value_list(ev->arena, VALUE_LIST, sizes.items, NULL, sizes.count);
    if (!shape_argument(ev, v, DTYPE_F32, span, "uniform", &shape)) return value_error;
    Name stream = intern(ev->names, arena_printf(ev->arena, "%s%s#%d", ev->frame->layer->path,
                                                 train_round_text(ev), ev->frame->body->ordinal++));
    uniform_attributes attributes = {.stream = stream, .type = DTYPE_F32, .dims = {shape.rank, shape.dims}};
    return value_node(make_node(ev, OP_uniform, NULL, 0, &attributes, span));
}

/* ---- weights ---- */

/* within = 0.1: drawn at random, within that of 0. 0 where nothing says so. */
static bool read_within(Evaluator *ev, const Arguments *arguments, Span span, double *out) {
    const Binding *given = keyword_argument(arguments, "within");
    *out = 0;
    if (!given) return true;
    *out = given->value.kind == VALUE_INT ? (double)given->value.integer : given->value.real;
    if (value_is_number(given->value) && *out > 0 && isfinite(*out)) return true;
    refuse_argument(ev, span, "param", "a number above 0 as within", given->value);
    return false;
}

/* param(shape, ..), or param("name", shape, ..) where the name is not an identifier. */
static Value new_weight(Evaluator *ev, const Arguments *arguments, const char *function, Span span) {
    const bool state = !strcmp(function, "state");
    DType type;
    Shape shape;
    const Name name = weight_name(builtin_find(function), &arguments->given);
    const int named = name != NULL;
    /* a parameter without `init` is drawn at random, scaled by its shape */
    double init = state ? 0 : NAN, within;
    const Binding *given = keyword_argument(arguments, "init");
    Value first = given ? given->value : positional_argument(arguments, named + 1),
          sizes = positional_argument(arguments, named);
    if (first.kind == VALUE_TENSOR && !state) return train_given(ev, first.node, span);
    const bool made = state && (first.kind == VALUE_LAYER || first.kind == VALUE_BLOCK);
    if (sizes.kind == VALUE_NONE) {
        report(ev, DIAG_missing_argument, span, "`%s` needs a shape: `%s([64])`", function, function);
        return value_error;
    }
    if (value_is_number(first)) init = first.kind == VALUE_INT ? (double)first.integer : first.real;
    else if (!state && first.kind == VALUE_STRING && !strcmp(first.string, "normal")) init = INIT_NORMAL;
    else if (first.kind != VALUE_NONE && !made)
        return refuse_argument(ev, span, function,
                               state ? "a number or a layer as init" : "a number or \"normal\" as init",
                               first);
    if (value_is_number(first) && !(fabs(init) <= 0x1p53 || (first.kind == VALUE_REAL && isfinite(init)))) {
        Diagnostic *d = report(ev, DIAG_argument_kind, span, "a weight cannot start as %s",
                               value_describe(ev->arena, first));
        report_help(ev, d, "a finite float can, and an int of at most 2 ** 53");
        return value_error;
    }
    if (!dtype_argument(ev, arguments, DTYPE_F32, &type)) return value_error;
    if (!shape_argument(ev, sizes, type, span, function, &shape)) return value_error;
    if (!read_within(ev, arguments, span, &within)) return value_error;
    const Value weight = made && ev->train ? train_made(ev, first, shape, span)
                                           : weight_new(ev, state, shape, init, within, span);
    return named ? name_value(ev, weight, name, span) : weight;
}

static Value run_param(Evaluator *ev, const Arguments *arguments, Span span) {
    return new_weight(ev, arguments, "param", span);
}
static Value run_state(Evaluator *ev, const Arguments *arguments, Span span) {
    return new_weight(ev, arguments, "state", span);
}

/* ---- gradients ---- */

static Value run_grad(Evaluator *ev, const Arguments *arguments, Span span) {
    Value y = settle(ev, positional_argument(arguments, 0)),
          x = settle(ev, positional_argument(arguments, 1));
    if (y.kind != VALUE_TENSOR || y.node->shape.rank != 0 || y.node->shape.type != DTYPE_F32) {
        if (y.kind == VALUE_TENSOR) {
            Diagnostic *d = report(ev, DIAG_grad, span, "`grad(y, x)` needs a y of type f32[]; this is %s",
                                   shape_string(ev->arena, y.node->shape));
            report_help(ev, d, "sum it first: `grad(sum(y), x)`");
            return value_error;
        }
        return refuse_argument(ev, span, "grad", "a tensor f32[] and the tensors to differentiate by", y);
    }
    bool many = value_is_sequence(x);
    int count = many ? x.list->count : 1;
    Node **xs = NEW_ARRAY(ev->arena, Node *, count), **gradients = NEW_ARRAY(ev->arena, Node *, count);
    Value *values = NEW_ARRAY(ev->arena, Value, count);
    for (int i = 0; i < count; i++) {
        Value item = many ? settle(ev, x.list->items[i]) : x;
        if (item.kind != VALUE_TENSOR)
            return refuse_argument(ev, span, "grad", "a tensor f32[] and the tensors to differentiate by",
                                   item);
        xs[i] = item.node;
    }
    graph_at(ev->graph, origin_new(ev->graph, user_span(ev, span), ev->frame->origin));
    graph_gradient(ev->graph, y.node, xs, count, gradients);
    for (int i = 0; i < count; i++) values[i] = value_node(gradients[i]);
    return many ? value_list(ev->arena, x.kind, values, x.list->names, count) : values[0];
}

/* ---- the table ---- */

static const Builtin functions[] = {
    {"len", run_len, -1, 1, 1, ""},
    {"range", run_range, -1, 1, 3, ""},
    {"zip", run_zip, -1, 1, 16, ""},
    {"enumerate", run_enumerate, -1, 1, 1, ""},
    {"reversed", run_reversed, -1, 1, 1, ""},
    {"int", run_int, -1, 1, 1, ""},
    {"float", run_float, -1, 1, 1, ""},
    {"str", run_str, -1, 1, 1, ""},
    {"kind", run_kind_builtin, -1, 1, 1, ""},
    {"tensor", run_tensor, -1, 1, 1, "dtype"},
    {"zeros", run_zeros, -1, 1, 1, "dtype"},
    {"ones", run_ones, -1, 1, 1, "dtype"},
    {"full", run_full, -1, 2, 2, "dtype"},
    {"arange", run_arange, -1, 1, 1, "dtype"},
    {"uniform", run_uniform, -1, 0, 16, ""},
    {"param", run_param, -1, 0, 2, "init dtype within"},
    {"state", run_state, -1, 0, 2, "init dtype"},
    {"grad", run_grad, -1, 2, 2, ""},
    {"copy", train_copy, -1, 1, 1, ""},
    {"total", train_total, -1, 1, 1, ""},
    {"collect", train_collect, -1, 1, 1, ""},
};

static const Builtin primitives[] = {
#define OP(name, ...) {#name, NULL, OP_##name, 0, 0, ""},
#include "graph/ops.def"
#undef OP
};

/* The constants, and what a train block reads of the moment. */
static const char *const constants[] = {"training", "none", "pi", "inf"};
static const char *const moments[] = {"step", "epoch", "progress", "gradient_norm"};

const Builtin *primitive_find(Name name) {
    for (int i = 0; i < COUNT_OF(primitives); i++)
        if (!strcmp(primitives[i].name, name) && op_info[i].class != CLASS_SOURCE) return &primitives[i];
    return NULL;
}

const Builtin *builtin_find(Name name) {
    for (int i = 0; i < COUNT_OF(functions); i++)
        if (!strcmp(functions[i].name, name)) return &functions[i];
    return primitive_find(name);
}

Name weight_name(const Builtin *builtin, const Bindings *given) {
    const bool makes_weight = builtin->run == run_param || builtin->run == run_state;
    const Binding *first = makes_weight && given->count ? &given->items[0] : NULL;
    return first && !first->name && first->value.kind == VALUE_STRING && *first->value.string
               ? first->value.string
               : NULL;
}

bool builtin_constant(Evaluator *ev, Name name, Span span, Value *out) {
    const Value values[] = {value_bool(train_is_training(ev)), value_none, value_real(3.14159265358979323846),
                            value_real(INFINITY)};
    for (int i = 0; i < COUNT_OF(constants); i++)
        if (!strcmp(constants[i], name)) {
            *out = values[i];
            return true;
        }
    for (int i = 0; i < COUNT_OF(moments); i++)
        if (!strcmp(moments[i], name)) {
            *out = train_moment(ev, i, name, span);
            return true;
        }
    return false;
}

static bool name_is_among(const char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

bool builtin_knows(Name name) {
    return builtin_find(name) || name_is_among(constants, COUNT_OF(constants), name) ||
           name_is_among(moments, COUNT_OF(moments), name);
}

void builtin_names(Arena *arena, NameList *names) {
    for (int i = 0; i < COUNT_OF(functions); i++) vec_push(arena, names, functions[i].name);
    for (int i = 0; i < COUNT_OF(constants); i++) vec_push(arena, names, constants[i]);
    vec_push(arena, names, "true");
    vec_push(arena, names, "false");
    for (int i = 0; i < COUNT_OF(primitives); i++)
        if (primitive_find(primitives[i].name)) vec_push(arena, names, primitives[i].name);
}
