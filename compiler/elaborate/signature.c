/* The signature of a model: its settings (defaults or -D), the symbols of its types, the
 * conditions of `where`, its inputs and outputs. */
#include "elaborate/evaluator.h"

static const Define *find_define(const Library *library, Name name) {
    for (int i = 0; i < library->options.define_count; i++)
        if (library->options.defines[i].name == name) return &library->options.defines[i];
    return NULL;
}

/* ---- settings ---- */

/* A word, or words.with.dots as in file names. */
static bool is_word_expr(const Expr *expr) {
    while (expr->kind == EXPR_MEMBER) expr = expr->left;
    return expr->kind == EXPR_NAME;
}

/* The text as an expression of the language (3, 1e-5, true, [1, 2], "a b"); a word, or
 * anything that is not an expression, is a string. */
static Value parse_define(Evaluator *ev, const char *text) {
    Diagnostics quiet = {.arena = ev->arena};
    const char *line = arena_printf(ev->arena, "value = %s\n", text);
    const File *file =
        parse_file(ev->arena, ev->names, &quiet, source_new(ev->arena, "-D", line, strlen(line)));
    const Expr *expr = !quiet.errors && file->decls.count == 1 ? file->decls.items[0]->value : NULL;
    if (!expr || is_word_expr(expr)) return value_string(intern(ev->names, text));
    return evaluate(ev, expr);
}

/* A number, bool or list must have the kind of the default; an int may stand for a float.
 * A setting whose default is of any other kind takes anything. */
static bool goes_for(Value v, Value fallback) {
    switch (fallback.kind) {
    case VALUE_INT: return v.kind == VALUE_INT;
    case VALUE_REAL: return v.kind == VALUE_INT || v.kind == VALUE_REAL;
    case VALUE_BOOL: return v.kind == VALUE_BOOL;
    case VALUE_LIST: case VALUE_TUPLE: return value_is_sequence(v);
    default: return true;
    }
}

/* What -D gives for a setting. */
static Value defined_value(Evaluator *ev, const Parameter *parameter, const Define *define, Value fallback) {
    Value v = parse_define(ev, define->value);
    if (v.kind == VALUE_ERROR || goes_for(v, fallback)) return v;
    Diagnostic *d =
        report(ev, DIAG_bad_define, parameter->span, "-D %s=%s: `%s` is %s, and this is %s", parameter->name,
               define->value, parameter->name, value_kind_name(fallback), value_kind_name(v));
    if (value_is_sequence(fallback))
        report_help(ev, d, "a list is written in brackets: `-D %s=[1,2]`", parameter->name);
    return value_error;
}

void bind_settings(Evaluator *ev, const Decl *decl) {
    if (decl->lists.count < 2) return;
    const ParameterList *settings = &decl->lists.items[0];
    for (int i = 0; i < settings->count; i++) {
        const Parameter *parameter = &settings->items[i];
        const Define *define = find_define(ev->library, parameter->name);
        Value fallback = parameter->fallback ? evaluate(ev, parameter->fallback) : value_error;
        Value v = define ? defined_value(ev, parameter, define, fallback) : fallback;
        vec_push(ev->arena, &ev->settings, (Setting){parameter->name, v, fallback});
        if (!define && !parameter->fallback) {
            Diagnostic *d =
                report(ev, DIAG_missing_argument, parameter->span, "the %s's setting `%s` has no value",
                       ev->train ? "block" : "model", parameter->name);
            report_help(ev, d, "give it a default, or set it with -D %s=...", parameter->name);
        }
        frame_bind(ev, ev->frame, parameter->name, name_value(ev, v, parameter->name, parameter->span),
                   parameter->span);
    }
}

/* ---- symbols ---- */

typedef struct WantedName { /* the conditions of `where` and -D on a symbol */
    int64_t multiple, fixed;
} WantedName;

enum { MAX_MULTIPLE = 1 << 20 };

static int64_t common_multiple(int64_t a, int64_t b) {
    int64_t x = a, y = b, result;
    while (y) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return __builtin_mul_overflow(a / x, b, &result) || result > MAX_MULTIPLE ? 0 : result;
}

static void read_constraint(Evaluator *ev, const Expr *expr, Name symbol, WantedName *wanted) {
    if (expr->kind == EXPR_BINARY && expr->op == OPERATOR_AND) {
        read_constraint(ev, expr->left, symbol, wanted);
        read_constraint(ev, expr->right, symbol, wanted);
    }
    if (expr->kind != EXPR_BINARY || expr->op != OPERATOR_EQ || expr->right->kind != EXPR_INT) return;
    const Expr *left = expr->left;
    if (left->kind == EXPR_NAME && left->name == symbol && expr->right->integer > 0)
        wanted->fixed = expr->right->integer;
    bool rest = left->kind == EXPR_BINARY && left->op == OPERATOR_MOD && expr->right->integer == 0;
    int64_t divisor;
    if (!rest || left->left->kind != EXPR_NAME || left->left->name != symbol) return;
    if (!evaluate_int(ev, left->right, "the divisor", &divisor)) return;
    int64_t multiple = divisor > 0 ? common_multiple(wanted->multiple, divisor) : 0;
    if (multiple) wanted->multiple = multiple;
    else if (divisor < 1)
        report(ev, DIAG_where, left->right->span, "%s cannot be a multiple of %lld", symbol,
               (long long)divisor);
    else
        report(ev, DIAG_where, left->right->span,
               "what %s is to be a multiple of comes to more than %d, the most that cai takes", symbol,
               MAX_MULTIPLE);
}

static void read_define(Evaluator *ev, Name symbol, Span span, WantedName *wanted) {
    const Define *define = find_define(ev->library, symbol);
    if (!define) return;
    Value v = parse_define(ev, define->value);
    if (v.kind == VALUE_INT && v.integer > 0 && v.integer < INT64_C(1) << 31) wanted->fixed = v.integer;
    else
        report(ev, DIAG_bad_define, span, "-D %s=%s: a size must be a whole number of at least 1", symbol,
               define->value);
}

static bool is_symbol_expr(Evaluator *ev, const Expr *expr) {
    if (expr->kind != EXPR_NAME || frame_find(ev, ev->frame, expr->name)) return false;
    Found found = library_find(ev->frame->unit, expr->name);
    return !(found.definition && found.definition->decl->kind == DECL_CONSTANT);
}

static WantedName wanted_by_where(Evaluator *ev, const Decl *decl, Name symbol) {
    WantedName wanted = {.multiple = 1};
    for (int i = 0; i < decl->where.count; i++) read_constraint(ev, decl->where.items[i], symbol, &wanted);
    return wanted;
}

int64_t symbol_multiple(Evaluator *ev, const Decl *decl, Name symbol) {
    return wanted_by_where(ev, decl, symbol).multiple;
}

static void bind_symbol(Evaluator *ev, const Decl *decl, const Expr *expr, bool batch) {
    WantedName wanted = wanted_by_where(ev, decl, expr->name);
    read_define(ev, expr->name, expr->span, &wanted);
    Dim dim;
    if (wanted.fixed) dim = dim_const(ev->dims, wanted.fixed);
    else {
        dim = dim_symbol(ev->dims, expr->name, wanted.multiple);
        if (batch) dims_symbol(ev->dims, dims_symbol_count(ev->dims) - 1)->typical = 1;
    }
    frame_bind(ev, ev->frame, expr->name, value_dim(dim), expr->span);
}

/* Every plain name in the types of inputs is bound first, so that a size such as 2 * H
 * may come before H. */
void bind_symbols(Evaluator *ev, const Decl *decl, const ParameterList *inputs) {
    for (int i = 0; i < inputs->count; i++) {
        const TypeExpr *type = inputs->items[i].type;
        for (int k = 0, axis = 0; type && k < type->arguments.count; k++) {
            const Argument *argument = &type->arguments.items[k];
            if (argument->name) continue;
            if (is_symbol_expr(ev, argument->value)) bind_symbol(ev, decl, argument->value, axis == 0);
            axis++;
        }
    }
}

/* ---- inputs ---- */

static bool input_size(Evaluator *ev, const Expr *expr, Dim *out) {
    Value v = evaluate(ev, expr);
    if (v.kind == VALUE_ERROR) return false;
    int64_t low = 1, high = 1;
    if (v.kind == VALUE_INT || v.kind == VALUE_DIM) {
        *out = as_dim(ev, v);
        dim_bounds(*out, &low, &high);
        bool huge = v.kind == VALUE_INT && v.integer >= INT64_C(1) << 31;
        if (low >= 1 && !huge) return true;
    }
    report(ev, DIAG_not_a_size, expr->span, "a size must be an int from 1 to 2 ** 31 - 1; this is %s",
           value_describe(ev->arena, v));
    return false;
}

static bool elements_fit(Shape shape) {
    int64_t elements = 1, size;
    for (int i = 0; i < shape.rank; i++)
        if (dim_is_const(shape.dims[i], &size) &&
            (__builtin_mul_overflow(elements, size, &elements) || elements > INT64_C(1) << 40))
            return false;
    return true;
}

bool check_picture(Evaluator *ev, const TypeExpr *type, Fit fit, Shape shape) {
    int64_t channels;
    if (shape.rank != 4) {
        Diagnostic *d = report(ev, DIAG_bad_image, type->span, "an image has four axes, not %d", shape.rank);
        report_help(ev, d, "image[N, 3, H, W]: pictures, channels, height, width");
        return false;
    }
    if (!dim_is_const(shape.dims[1], &channels) || (channels != 1 && channels != 3)) {
        Diagnostic *d = report(ev, DIAG_bad_image, type->span, "an image has 1 or 3 channels, not %s",
                               dim_string(ev->arena, shape.dims[1]));
        report_help(
            ev, d,
            "`f32[N, %s, H, W]` is a tensor of any number of channels; an image is read from the file of a picture, gray or coloured",
            dim_string(ev->arena, shape.dims[1]));
        return false;
    }
    bool fixed = dim_is_const(shape.dims[2], NULL) && dim_is_const(shape.dims[3], NULL);
    if (fixed || (fit != FIT_CROP && fit != FIT_STRETCH)) return true;
    report(ev, DIAG_bad_image, type->span, "fit = \"%s\" needs a fixed height and width",
           fit == FIT_CROP ? "crop" : "stretch");
    return false;
}

bool input_sizes(Evaluator *ev, const TypeExpr *type, DType element, Shape *shape) {
    Vec(Dim) dims = {0};
    bool known = true;
    for (int i = 0; i < type->arguments.count; i++) {
        Dim dim;
        if (type->arguments.items[i].name) continue;
        if (input_size(ev, type->arguments.items[i].value, &dim)) vec_push(ev->arena, &dims, dim);
        else known = false;
    }
    *shape = (Shape){element, dims.count, dims.items};
    if (known && dims.count > 16)
        known = false, report(ev, DIAG_bad_type, type->span, "tensors have at most 16 axes");
    if (known && !elements_fit(*shape))
        known = false, report(ev, DIAG_too_large, type->span, "this input has more than 2 ** 40 elements");
    return known;
}

static bool input_shape(Evaluator *ev, const TypeExpr *type, TypeInfo *info, Shape *shape) {
    return type_info(ev, type, info) && input_sizes(ev, type, info->type, shape) &&
           (!info->image || check_picture(ev, type, info->fit, *shape));
}

static void add_model_input(Evaluator *ev, const Parameter *parameter) {
    TypeInfo info;
    Shape shape;
    Value value = value_error;
    if (!parameter->type) {
        Diagnostic *d = report(ev, DIAG_missing_type, parameter->span, "the model's input `%s` needs a type",
                               parameter->name);
        if (parameter->fallback)
            report_help(ev, d, "settings of the model go in a list before its inputs: `model %s(%s)(...)`",
                        ev->model->decl->name, span_text(ev->arena, parameter->span));
        else
            report_help(ev, d, "`%s: image[N, 3, H, W]` or `%s: f32[N, 10]`", parameter->name,
                        parameter->name);
    } else if (parameter->once || parameter->each)
        report(ev, DIAG_train_place, parameter->span,
               "`once` and `each` say when samples of training move on, and this is a model");
    else if (input_shape(ev, parameter->type, &info, &shape)) {
        input_attributes attributes = {
            .name = parameter->name, .type = shape.type, .dims = {shape.rank, shape.dims}};
        Node *node = make_node(ev, OP_input, NULL, 0, &attributes, parameter->span);
        Port port = {.name = parameter->name,
                     .node = node,
                     .form = info.image ? FORM_IMAGE : FORM_TENSOR,
                     .fit = info.fit,
                     .span = parameter->span};
        if (node) vec_push(ev->graph->arena, &ev->graph->inputs, port);
        value = value_node(node);
    }
    frame_bind(ev, ev->frame, parameter->name, value, parameter->span);
}

void bind_inputs(Evaluator *ev, const Decl *decl) {
    const ParameterList *inputs = &decl->lists.items[decl->lists.count - 1];
    bind_symbols(ev, decl, inputs);
    for (int i = 0; i < inputs->count; i++) add_model_input(ev, &inputs->items[i]);
    for (int i = 0; i < decl->where.count; i++) require_condition(ev, decl->where.items[i], NULL, DIAG_where);
}

/* ---- outputs ---- */

static void add_output(Evaluator *ev, const Result *result, Value value) {
    TypeInfo info;
    if (value.kind == VALUE_ERROR ||
        !check_type(ev, result->type, result->name, value, ev->frame->returned_at) ||
        !type_info(ev, result->type, &info))
        return;
    Port port = {
        .name = result->name, .node = as_node(ev, value, info.type, result->span), .span = result->span};
    if (info.image) {
        port.form = FORM_IMAGE;
        port.fit = info.fit;
        if (!check_picture(ev, result->type, FIT_EXACT, port.node->shape)) return;
    }
    if (result->form && !read_form(ev, result, &port)) return;
    vec_push(ev->graph->arena, &ev->graph->outputs, port);
}

static bool names_match(const List *list, const Decl *decl) {
    for (int i = 0; i < decl->results.count; i++) {
        bool found = false;
        for (int k = 0; list->names && k < list->count; k++)
            found |= list->names[k] == decl->results.items[i].name;
        if (!found) return false;
    }
    return true;
}

/* The names of a returned tuple must all be outputs; the first that is not is
 * reported. */
static bool check_result_names(Evaluator *ev, const List *list, const Decl *decl) {
    const char **outputs = NEW_ARRAY(ev->arena, const char *, decl->results.count);
    for (int i = 0; i < decl->results.count; i++) outputs[i] = decl->results.items[i].name;
    for (int k = 0; list->names && k < list->count; k++) {
        bool found = !list->names[k];
        for (int i = 0; i < decl->results.count; i++) found |= list->names[k] == outputs[i];
        if (found) continue;
        Diagnostic *d = report(ev, DIAG_outputs, ev->frame->returned_at, "`%s` has no output `%s`",
                               decl->name, list->names[k]);
        report_suggestion(ev, d, list->names[k], outputs, decl->results.count);
        return false;
    }
    return true;
}

static Value result_by_name(const List *list, Name name) {
    for (int i = 0; i < list->count; i++)
        if (list->names[i] == name) return list->items[i];
    return value_error;
}

static void add_declared_output(Evaluator *ev, const Decl *decl, Value value) {
    if (decl->results.count == 1 && !value_is_sequence(value)) {
        add_output(ev, &decl->results.items[0], value);
        return;
    }
    if (!value_is_sequence(value) || value.list->count != decl->results.count) {
        int count = value_is_sequence(value) ? value.list->count : 1;
        Diagnostic *d =
            report(ev, DIAG_outputs, ev->frame->returned_at, "`%s` declares %d %s, but returns %d %s",
                   decl->name, decl->results.count, decl->results.count == 1 ? "output" : "outputs", count,
                   count == 1 ? "value" : "values");
        report_help(ev, d, "return them in order, `return (a, b)`, or by name, `return (%s = ...)`",
                    decl->results.items[0].name);
        return;
    }
    if (!check_result_names(ev, value.list, decl)) return;
    bool by_name = names_match(value.list, decl);
    const Result *results = decl->results.items;
    for (int i = 0; i < decl->results.count; i++)
        add_output(ev, &results[i],
                   by_name ? result_by_name(value.list, results[i].name) : value.list->items[i]);
}

static void add_undeclared(Evaluator *ev, const Decl *decl, Value value, const char *name) {
    if (value_is_sequence(value)) {
        for (int i = 0; i < value.list->count; i++) {
            Name given = value.list->names ? value.list->names[i] : NULL;
            add_undeclared(ev, decl, value.list->items[i],
                           given ? given : arena_printf(ev->arena, "%s_%d", name, i + 1));
        }
        return;
    }
    if (value.kind == VALUE_ERROR) return;
    if (value.kind != VALUE_TENSOR) {
        if (!report_unrun(ev, value))
            report(ev, DIAG_outputs, ev->frame->returned_at, "`%s` returns %s; a model returns tensors",
                   decl->name, value_kind_name(value));
        return;
    }
    Port port = {.name = intern(ev->names, name), .node = value.node, .span = decl->name_span};
    vec_push(ev->graph->arena, &ev->graph->outputs, port);
}

void bind_outputs(Evaluator *ev, const Decl *decl, Value value) {
    value = settle(ev, value);
    if (value.kind == VALUE_ERROR || ev->stopped) return;
    if (!ev->frame->returned) {
        Diagnostic *d =
            report(ev, DIAG_no_return, decl->name_span, "the model `%s` ends without `return`", decl->name);
        report_help(ev, d, "`return` the tensors that the program is to output");
    } else if (decl->results.count) add_declared_output(ev, decl, value);
    else add_undeclared(ev, decl, value, "output");
}

/* ---- -D that nobody wants ---- */

static bool is_constant_name(const Library *library, Name name) {
    Found found = library_find(library->main, name);
    return found.definition && found.definition->decl->kind == DECL_CONSTANT;
}

static void add_wanted_names(Library *library, const Decl *decl, Map *wanted, const char ***names,
                             int *count) {
    Vec(const char *) all = {.items = *names, .count = *count, .capacity = *count};
    for (int list = 0; list < decl->lists.count; list++)
        for (int i = 0; i < decl->lists.items[list].count; i++) {
            const Parameter *parameter = &decl->lists.items[list].items[i];
            bool setting = list == 0 && decl->lists.count >= 2;
            if (setting)
                vec_push(library->arena, &all, parameter->name),
                    map_set(wanted, parameter->name, (void *)parameter);
            for (int k = 0; !setting && parameter->type && k < parameter->type->arguments.count; k++) {
                const Argument *argument = &parameter->type->arguments.items[k];
                if (argument->name || argument->value->kind != EXPR_NAME ||
                    is_constant_name(library, argument->value->name))
                    continue;
                vec_push(library->arena, &all, argument->value->name);
                map_set(wanted, argument->value->name, (void *)argument);
            }
        }
    *names = all.items;
    *count = all.count;
}

void check_defines(Library *library) {
    Map *wanted = map_new(library->arena);
    const char **names = NULL;
    int count = 0;
    for (int i = 0; i < library->models.count; i++)
        add_wanted_names(library, library->models.items[i]->decl, wanted, &names, &count);
    for (int i = 0; i < library->trains.count; i++)
        add_wanted_names(library, library->trains.items[i]->decl, wanted, &names, &count);
    for (int i = 0; i < library->options.define_count; i++) {
        Name name = library->options.defines[i].name;
        if (map_get(wanted, name)) continue;
        Diagnostic *d = diag_error(library->diag, DIAG_unknown_define, (Span){0},
                                   "-D %s: no model%s here has a setting or a size of that name", name,
                                   library->trains.count ? " or train block" : "");
        const char *near = nearest_name(name, names, count);
        if (is_constant_name(library, name))
            diag_help(
                library->diag, d,
                "`%s` is a constant of the file: to set it, make it a model's, `model name(%s = ...)(...)`",
                name, name);
        else if (near) diag_help(library->diag, d, "did you mean `%s`?", near);
    }
}
