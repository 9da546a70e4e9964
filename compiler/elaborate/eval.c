/* Expressions: one function for each kind, and the meaning of names. */
#include "elaborate/train.h"

/* ---- names ---- */

enum { FEW_NAMES = 24 }; /* are searched one by one */

static Binding *find_indexed(Evaluator *ev, Frame *frame, Name name) {
    if (!frame->index) frame->index = map_new(ev->arena);
    for (; frame->indexed < frame->names.count; frame->indexed++) {
        Name known = frame->names.items[frame->indexed].name;
        if (known) map_set(frame->index, known, (void *)(intptr_t)(frame->indexed + 1));
    }
    intptr_t place = (intptr_t)map_get(frame->index, name);
    return place ? &frame->names.items[place - 1] : NULL;
}

static Binding *find_binding(Evaluator *ev, Frame *frame, Name name) {
    if (frame->names.count > FEW_NAMES) return find_indexed(ev, frame, name);
    for (int i = frame->names.count - 1; i >= 0; i--)
        if (frame->names.items[i].name == name) return &frame->names.items[i];
    return NULL;
}

Value *frame_find(Evaluator *ev, Frame *frame, Name name) {
    Binding *found = find_binding(ev, frame, name);
    return found ? &found->value : NULL;
}

Value *frame_place(Evaluator *ev, const Expr *name) {
    return name->kind == EXPR_NAME ? frame_find(ev, ev->frame, name->name) : NULL;
}

/* The name of a weight is a place, whose value depends on the position in the text. */
static Value read_place(Evaluator *ev, Value v) {
    return v.kind == VALUE_WEIGHT && v.weight->node ? value_node(weight_value(ev, v.weight)) : v;
}

void frame_bind(Evaluator *ev, Frame *frame, Name name, Value value, Span span) {
    Binding *found = find_binding(ev, frame, name);
    if (found) *found = (Binding){name, value, span};
    else vec_push(ev->arena, &frame->names, (Binding){name, value, span});
}

static Value constant_in_itself(Evaluator *ev, const Decl *decl) {
    report(ev, DIAG_needs_itself, decl->name_span, "`%s` needs itself", decl->name);
    return value_error;
}

/* Constants have the model's namespace of weights: a layer bound at file level is one
 * layer in all models. */
static Value evaluate_constant(Evaluator *ev, Definition *definition) {
    Value *known = map_get(ev->constants, definition);
    const Decl *decl = definition->decl;
    if (known) return *known;
    if (definition->evaluating) return constant_in_itself(ev, decl);
    if (!spend(ev, decl->span, 1)) return value_error;
    Frame *model = ev->frame;
    while (model->caller) model = model->caller;
    frame_push(ev, definition->unit, ev->root, (Span){0})->body = model;
    definition->evaluating = true;
    known = NEW(ev->arena, Value);
    *known = name_value(ev, evaluate(ev, decl->value), decl->name, decl->name_span);
    definition->evaluating = false;
    frame_pop(ev);
    map_set(ev->constants, definition, known);
    return *known;
}

static Value definition_value(Evaluator *ev, Definition *definition, Span span) {
    const Decl *decl = definition->decl;
    if (decl->kind == DECL_CONSTANT) return read_place(ev, evaluate_constant(ev, definition));
    if (decl->kind != DECL_TRAIN) return (Value){.kind = VALUE_BLOCK, .block = definition};
    report(ev, DIAG_train_place, span, "`%s` is a train block: `cai train` runs it, and no other text",
           decl->name);
    return value_error;
}

/* names.c has reported every name that nothing binds; any other was bound in a part that
 * did not run. */
static Value unknown_name(Evaluator *ev, Name name, Span span) {
    frame_bind(ev, ev->frame, name, value_error, span); /* reported once for each body */
    ev->errors++;
    if (map_get(ev->library->unknown, name)) return value_error;
    Diagnostic *d = report(ev, DIAG_unbound_name, span, "`%s` has no value here", name);
    report_help(ev, d, "it is bound only further down, or in an `if` or a loop that does not run here");
    return value_error;
}

static Value ambiguous_name(Evaluator *ev, Name name, Found found, Span span) {
    Diagnostic *d =
        report(ev, DIAG_ambiguous_name, span, "`%s` is defined in two of the files used here", name);
    report_help(ev, d, "say which: `%s.%s` or `%s.%s`", found.definition->unit->name, name, found.also->name,
                name);
    return value_error;
}

static Value look_up(Evaluator *ev, Name name, Span span) {
    Value *local = frame_find(ev, ev->frame, name), constant;
    if (local) return train_read(ev, name, read_place(ev, *local), span);
    Found found = library_find(ev->frame->unit, name);
    if (found.also) return ambiguous_name(ev, name, found, span);
    if (found.definition) return train_read(ev, name, definition_value(ev, found.definition, span), span);
    if (found.module) return (Value){.kind = VALUE_MODULE, .module = found.module};
    if (builtin_constant(ev, name, span, &constant)) return constant;
    const Builtin *builtin = builtin_find(name);
    if (builtin) return (Value){.kind = VALUE_PRIMITIVE, .builtin = builtin};
    return unknown_name(ev, name, span);
}

/* ---- strings, lists, tuples ---- */

enum { LONGEST_STRING = 65536, BYTES_OF_A_CELL = 16 };

Name evaluate_string(Evaluator *ev, const Expr *expr) {
    Text text = {.arena = ev->arena};
    bool failed = false;
    for (int i = 0; i < expr->parts.count; i++) {
        const StringPart *part = &expr->parts.items[i];
        if (part->text) text_add(&text, "%s", part->text);
        if (!part->value) continue;
        Value v = evaluate(ev, part->value);
        failed |= v.kind == VALUE_ERROR;
        if (v.kind == VALUE_TENSOR || v.kind == VALUE_WEIGHT) {
            report(
                ev, DIAG_tensor_at_compile_time, part->value->span,
                "the value of a tensor cannot be part of a string: it is known only when the program runs");
            failed = true;
        }
        value_print(&text, v);
    }
    if (text.length > LONGEST_STRING) {
        report(ev, DIAG_too_large, expr->span, "this string has more than %d bytes", LONGEST_STRING);
        failed = true;
    }
    if (!spend(ev, expr->span, (int64_t)text.length / BYTES_OF_A_CELL)) failed = true;
    return failed ? NULL : intern(ev->names, text_string(&text));
}

static Value evaluate_items(Evaluator *ev, const Expr *expr, ValueKind kind) {
    Arguments items = evaluate_arguments(ev, &expr->arguments, true);
    int count = items.given.count;
    Value few_values[8], *values = count <= 8 ? few_values : NEW_ARRAY(ev->arena, Value, count);
    Name few_names[8], *names = count <= 8 ? few_names : NEW_ARRAY(ev->arena, Name, count);
    for (int i = 0; i < count; i++) {
        values[i] = items.given.items[i].value;
        names[i] = items.given.items[i].name;
    }
    if (!spend(ev, expr->span, count)) return value_error;
    return bounded_list(ev, value_list(ev->arena, kind, values, names, count), expr->span);
}

/* ---- conditions ---- */

static void explain_tensor_condition(Evaluator *ev, Span span) {
    Diagnostic *d = report(ev, DIAG_tensor_condition, span,
                           "a condition must be known at compile time; this is a tensor");
    report_help(ev, d, "to choose element by element, use `select(condition, a, b)`");
}

static bool truth_of(Evaluator *ev, Value v, Span span, bool *out) {
    if (v.kind == VALUE_BOOL) {
        *out = v.truth;
        return true;
    }
    if (v.kind == VALUE_TENSOR || v.kind == VALUE_WEIGHT) explain_tensor_condition(ev, span);
    else if (v.kind != VALUE_ERROR) {
        Diagnostic *d = report(ev, DIAG_not_a_bool, span, "a condition must be true or false; this is %s",
                               value_kind_name(v));
        if (v.kind == VALUE_INT || v.kind == VALUE_DIM) report_help(ev, d, "compare it: `... != 0`");
    }
    return false;
}

bool evaluate_condition(Evaluator *ev, const Expr *expr, bool *out) {
    return truth_of(ev, evaluate(ev, expr), expr->span, out);
}

/* `and` and `or` evaluate the right side only where the left does not decide; on tensors
 * they are elementwise. */
static Value evaluate_logic(Evaluator *ev, const Expr *expr) {
    Value left = settle(ev, evaluate(ev, expr->left));
    if (left.kind == VALUE_TENSOR) return apply_binary(ev, expr->op, left, evaluate(ev, expr->right), expr);
    bool a, b;
    if (!truth_of(ev, left, expr->left->span, &a)) return value_error;
    if (a == (expr->op == OPERATOR_OR)) return value_bool(a);
    Value right = evaluate(ev, expr->right);
    return truth_of(ev, right, expr->right->span, &b) ? value_bool(b) : value_error;
}

static Value evaluate_if(Evaluator *ev, const Expr *expr) {
    bool chosen;
    if (!evaluate_condition(ev, expr->condition, &chosen)) return value_error;
    return evaluate(ev, chosen ? expr->left : expr->right);
}

bool evaluate_int(Evaluator *ev, const Expr *expr, const char *what, int64_t *out) {
    Value v = evaluate(ev, expr);
    if (v.kind == VALUE_REAL && v.real > -9e15 && v.real < 9e15 && v.real == (double)(int64_t)v.real)
        v = value_int((int64_t)v.real);
    if (v.kind == VALUE_INT) {
        *out = v.integer;
        return true;
    }
    if (v.kind == VALUE_DIM) {
        Diagnostic *d =
            report(ev, DIAG_size_not_known, expr->span, "%s must be known at compile time; this is %s", what,
                   value_describe(ev->arena, v));
        report_help(ev, d, "fix the size with -D, or in the model's signature");
    } else if (v.kind != VALUE_ERROR)
        report(ev, DIAG_not_an_int, expr->span, "%s must be an int; this is %s", what, value_kind_name(v));
    return false;
}

/* ---- calls and members ---- */

static Value evaluate_member(Evaluator *ev, const Expr *expr, const Expr *call);

static Value evaluate_call(Evaluator *ev, const Expr *expr) {
    Value callee =
        expr->left->kind == EXPR_MEMBER ? evaluate_member(ev, expr->left, expr) : evaluate(ev, expr->left);
    Arguments arguments = evaluate_arguments(ev, &expr->arguments, false);
    if (callee.kind == VALUE_ERROR) return value_error;
    return call_value(ev, callee, &arguments, expr->span, expr->left->span);
}

static const char *arguments_text(Evaluator *ev, const ArgumentList *arguments) {
    Text text = {.arena = ev->arena};
    for (int i = 0; i < arguments->count; i++)
        text_add(&text, "%s%s", i ? ", " : "", span_text(ev->arena, arguments->items[i].span));
    return text_string(&text);
}

/* How `x.conv(8, 3)` and `x.sum(1)` are written in cai: `x -> conv(8, 3)`, `sum(x, 1)`.
 * Without a call: the function. */
static const char *not_a_method(Evaluator *ev, const Expr *member, const Expr *call) {
    Found found = library_find(ev->frame->unit, member->name);
    bool block = found.definition && found.definition->decl->kind == DECL_BLOCK,
         layer = block && found.definition->decl->lists.count == 2;
    if (!block && !builtin_knows(member->name)) return NULL;
    const char *x = member->left->span.end - member->left->span.begin <= 24
                        ? span_text(ev->arena, member->left->span)
                        : "x";
    const char *given = call ? arguments_text(ev, &call->arguments) : "",
               *settings = *given ? arena_printf(ev->arena, "(%s)", given) : "";
    if (layer)
        return arena_printf(ev->arena, "layers follow an arrow: `%s -> %s%s`", x, member->name, settings);
    return arena_printf(ev->arena, "functions come before their arguments: `%s(%s%s%s)`", member->name, x,
                        *given ? ", " : "", given);
}

static Value tensor_member(Evaluator *ev, const Expr *expr, const Expr *call, Node *node) {
    static const struct {
        const char *name;
        int axis;
    } axes[] = {{"batch", 0}, {"channels", 1}, {"height", 2}, {"width", 3}};
    static const char *const members[] = {"shape", "batch", "channels", "height", "width", "rank", "type"};
    Shape shape = node->shape;
    if (!strcmp(expr->name, "shape")) {
        Value sizes[64];
        for (int i = 0; i < shape.rank && i < 64; i++) sizes[i] = value_dim(shape.dims[i]);
        return value_list(ev->arena, VALUE_LIST, sizes, NULL, shape.rank < 64 ? shape.rank : 64);
    }
    if (!strcmp(expr->name, "rank")) return value_int(shape.rank);
    if (!strcmp(expr->name, "type")) return value_string(intern(ev->names, dtype_name(shape.type)));
    for (int i = 0; i < COUNT_OF(axes); i++) {
        if (strcmp(expr->name, axes[i].name)) continue;
        if (axes[i].axis < shape.rank) return value_dim(shape.dims[axes[i].axis]);
        report(ev, DIAG_no_such_axis, expr->span, "%s has no %s", shape_string(ev->arena, shape), expr->name);
        return value_error;
    }
    Diagnostic *d = report(ev, DIAG_no_such_member, expr->span, "a tensor has no `%s`", expr->name);
    const char *alias = alias_help(expr->name), *written = alias ? alias : not_a_method(ev, expr, call);
    if (written) report_help(ev, d, "%s", written);
    else report_suggestion(ev, d, expr->name, members, COUNT_OF(members));
    return value_error;
}

/* The new value of the list is unknown, and must not lead to more errors. */
static void explain_list_method(Evaluator *ev, Diagnostic *d, const Expr *member, const Expr *call) {
    const char *alias = alias_of_lists(member->name);
    bool grows = alias && call && call->arguments.count == 1 && !strcmp(member->name, "append");
    const char *list = span_text(ev->arena, member->left->span);
    if (grows)
        report_help(ev, d, "lists don't change: `%s = %s + [%s]`", list, list,
                    arguments_text(ev, &call->arguments));
    else if (alias) report_help(ev, d, "%s", alias);
    if (alias && call && member->left->kind == EXPR_NAME)
        frame_bind(ev, ev->frame, member->left->name, value_error, member->span);
}

static Value list_member(Evaluator *ev, const Expr *expr, const Expr *call, const List *list) {
    Vec(const char *) names = {0};
    for (int i = 0; list->names && i < list->count; i++) {
        if (list->names[i] == expr->name) return list->items[i];
        if (list->names[i]) vec_push(ev->arena, &names, list->names[i]);
    }
    Diagnostic *d =
        report(ev, DIAG_no_such_member, expr->span, "there is no `%s` among these values", expr->name);
    report_suggestion(ev, d, expr->name, names.items, names.count);
    if (d && !d->help) explain_list_method(ev, d, expr, call);
    return value_error;
}

static Value module_member(Evaluator *ev, const Expr *expr, const Unit *module) {
    Definition *found = map_get(module->definitions, expr->name);
    if (found) return definition_value(ev, found, expr->span);
    Diagnostic *d =
        report(ev, DIAG_unknown_name, expr->span, "%s has no `%s`", module->file->source->path, expr->name);
    const NameList names = library_members(module, ev->arena);
    report_suggestion(ev, d, expr->name, names.items, names.count);
    return value_error;
}

/* call: the one whose callee it is, or NULL. */
static Value evaluate_member(Evaluator *ev, const Expr *expr, const Expr *call) {
    if (expr->left->kind == EXPR_NAME && !strcmp(expr->left->name, "primitive") &&
        !frame_find(ev, ev->frame, expr->left->name)) {
        const Builtin *primitive = primitive_find(expr->name);
        if (primitive) return (Value){.kind = VALUE_PRIMITIVE, .builtin = primitive};
        report(ev, DIAG_unknown_name, expr->span, "there is no primitive operator `%s`", expr->name);
        return value_error;
    }
    const Value *place = frame_place(ev, expr->left);
    if (place && place->kind == VALUE_WEIGHT && place->weight->path && !strcmp(expr->name, "path"))
        return value_string(place->weight->place->path);
    Value left = settle(ev, evaluate(ev, expr->left));
    switch (left.kind) {
    case VALUE_ERROR: return value_error;
    case VALUE_TENSOR: return tensor_member(ev, expr, call, left.node);
    case VALUE_LIST: case VALUE_TUPLE: return list_member(ev, expr, call, left.list);
    case VALUE_MODULE: return module_member(ev, expr, left.module);
    case VALUE_LAYER: return layer_part(ev, left.layer, expr->name, expr->span);
    default:
        report(ev, DIAG_no_such_member, expr->span, "%s has no `%s`", value_kind_name(left), expr->name);
        return value_error;
    }
}

/* ---- the switch ---- */

/* A deeper tree would overflow the machine's stack: thousands of nested parentheses, or
 * runaway recursion. */
enum { STACK_BYTES = 5 << 20 };

static bool stack_is_left(Evaluator *ev, Span span) {
    char here;
    ptrdiff_t used = ev->stack - &here;
    if ((used < 0 ? -used : used) < STACK_BYTES) return true;
    stop_evaluation(ev, DIAG_too_deep, span,
                    "this is nested too deeply: evaluating it takes more than %d MB of stack",
                    STACK_BYTES >> 20);
    return false;
}

static Value evaluate_kind(Evaluator *ev, const Expr *expr) {
    Name string;
    switch (expr->kind) {
    case EXPR_NAME: return look_up(ev, expr->name, expr->span);
    case EXPR_INT: return value_int(expr->integer);
    case EXPR_FLOAT: return value_real(expr->real);
    case EXPR_BOOL: return value_bool(expr->integer != 0);
    case EXPR_STRING: return (string = evaluate_string(ev, expr)) ? value_string(string) : value_error;
    case EXPR_LIST: return evaluate_items(ev, expr, VALUE_LIST);
    case EXPR_COMPREHENSION: return evaluate_comprehension(ev, expr);
    case EXPR_TUPLE: return evaluate_items(ev, expr, VALUE_TUPLE);
    case EXPR_UNARY: return apply_unary(ev, expr->op, evaluate(ev, expr->left), expr->span);
    case EXPR_BINARY:
        if (expr->op == OPERATOR_AND || expr->op == OPERATOR_OR) return evaluate_logic(ev, expr);
        Value left = evaluate(ev, expr->left), right = evaluate(ev, expr->right);
        return apply_binary(ev, expr->op, left, right, expr);
    case EXPR_IF: return evaluate_if(ev, expr);
    case EXPR_CALL: return evaluate_call(ev, expr);
    case EXPR_INDEX: return evaluate_index(ev, expr);
    case EXPR_MEMBER: return evaluate_member(ev, expr, NULL);
    case EXPR_PIPE: return evaluate_pipe(ev, expr);
    case EXPR_BRACES: return evaluate_braces(ev, expr);
    case EXPR_ERROR: return value_error;
    }
    return value_error;
}

Value evaluate(Evaluator *ev, const Expr *expr) {
    if (!expr || ev->stopped || !stack_is_left(ev, expr->span)) return value_error;
    return evaluate_kind(ev, expr);
}
