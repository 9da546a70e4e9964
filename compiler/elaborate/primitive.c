/* Operators of the graph called by name: tensors by position, then the attributes of
 * their row in ops.def, by position or keyword. Given only numbers, the elementwise
 * functions return numbers. */
#include "elaborate/evaluator.h"
#include "graph/ops.h"

#include <math.h>

/* ---- functions of numbers ---- */

/* Computes by the operator's reference function, on floats or on ints. */
static Number number_by_reference(int op, DType type, Number x, Number y) {
    Number out;
    const Number *inputs[2] = {&x, &y};
    RefShape shapes[2] = {{.type = type, .count = 1}, {.type = type, .count = 1}};
    Node node = {.op = (Op)op, .input_count = op_info[op].max_inputs};
    RefCall call = {.node = &node, .inputs = inputs, .input_shapes = shapes, .out = &out, .shape = shapes[0]};
    op_info[op].reference(&call);
    return out;
}

static Value real_by_reference(int op, Value x, Value y) {
    return value_real(number_by_reference(op, DTYPE_F32, (Number){.real = value_as_real(x)},
                                          (Number){.real = value_as_real(y)})
                          .real);
}

static bool takes_floats(int op, int count) {
    return op_info[op].shape == shape_float && op_info[op].max_inputs == count;
}

static Value unary_number(Evaluator *ev, int op, Value v, Span span) {
    bool rounds = op == OP_floor || op == OP_ceil || op == OP_round || op == OP_sign;
    if (!rounds && op != OP_abs && !takes_floats(op, 1)) return value_none;
    if (v.kind == VALUE_INT && op == OP_abs)
        return v.integer < 0 ? apply_unary(ev, OPERATOR_NEG, v, span) : v;
    if (v.kind == VALUE_INT && rounds) {
        Number whole = {.whole = v.integer};
        return value_int(number_by_reference(op, DTYPE_I64, whole, whole).whole);
    }
    Value result = real_by_reference(op, v, v);
    return rounds && fabs(result.real) < 9e15 ? value_int((int64_t)result.real) : result;
}

/* Whether a size is, for all values, at least the other: both may be equal for some. */
static bool is_never_smaller(Evaluator *ev, Value a, Value b) {
    bool holds, size = a.kind == VALUE_DIM || b.kind == VALUE_DIM;
    return size && decide_order(ev, OPERATOR_GE, as_dim(ev, a), as_dim(ev, b), &holds) && holds;
}

/* min, max, pow, and functions of floats; min and max of sizes, too, where their order is
 * the same for all values. */
static Value binary_number(Evaluator *ev, int op, Value a, Value b, Span span) {
    if (op == OP_pow) return apply_at(ev, OPERATOR_POW, a, b, span);
    if (takes_floats(op, 2)) return real_by_reference(op, a, b);
    if (op != OP_min && op != OP_max) return value_none;
    if (is_never_smaller(ev, a, b)) return op == OP_min ? b : a;
    Value less = apply_at(ev, OPERATOR_LE, a, b, span);
    if (less.kind != VALUE_BOOL) return value_error;
    return less.truth == (op == OP_min) ? a : b;
}

/* The number that `select` gives, where that is known. */
static Value select_number(const Bindings *given) {
    if (given->count != 3 || given->items[0].value.kind != VALUE_BOOL) return value_none;
    Value a = given->items[1].value, b = given->items[2].value, chosen = given->items[0].value.truth ? a : b;
    if (!value_is_number(a) || !value_is_number(b)) return value_none;
    return a.kind == b.kind ? chosen : value_real(value_as_real(chosen));
}

/* VALUE_NONE where the operator must make a node. */
static Value number_call(Evaluator *ev, int op, const Bindings *given, Span span) {
    bool real = false, size = false;
    if (op == OP_select) return select_number(given);
    for (int i = 0; i < given->count; i++) {
        Value v = given->items[i].value;
        if (!value_is_number(v) && v.kind != VALUE_DIM) return value_none;
        real |= v.kind == VALUE_REAL;
        size |= v.kind == VALUE_DIM;
    }
    if (size && (real || (op != OP_min && op != OP_max))) return value_none;
    if (given->count == 1) return unary_number(ev, op, given->items[0].value, span);
    Value result = given->count >= 2 ? given->items[0].value : value_none;
    for (int i = 1; i < given->count && result.kind != VALUE_ERROR && result.kind != VALUE_NONE; i++)
        result = binary_number(ev, op, result, given->items[i].value, span);
    return result;
}

/* ---- attributes ---- */

static bool wrong_attribute(Evaluator *ev, const AttrInfo *info, Value v, Span span, const char *wanted) {
    if (v.kind != VALUE_ERROR)
        report(ev, DIAG_attribute, span, "`%s` must be %s; this is %s", info->name, wanted,
               value_describe(ev->arena, v));
    return false;
}

static int64_t from_end(const AttrInfo *info, int64_t axis, int rank) {
    bool is_axis =
        !strcmp(info->name, "axis") || !strcmp(info->name, "axes") || !strcmp(info->name, "permutation");
    return is_axis && axis < 0 ? axis + rank : axis;
}

static bool set_ints(Evaluator *ev, const AttrInfo *info, Value v, int rank, Span span, IntList *out) {
    int count = value_is_sequence(v) ? v.list->count : 1;
    int64_t *items = NEW_ARRAY(ev->arena, int64_t, count);
    for (int i = 0; i < count; i++) {
        Value item = value_is_sequence(v) ? v.list->items[i] : v;
        if (item.kind != VALUE_INT)
            return wrong_attribute(ev, info, item.kind == VALUE_ERROR ? item : v, span, "a tuple of ints");
        items[i] = from_end(info, item.integer, rank);
    }
    *out = (IntList){count, items};
    return true;
}

static bool set_dims(Evaluator *ev, const AttrInfo *info, Value v, Span span, DimList *out) {
    int count = value_is_sequence(v) ? v.list->count : 1;
    Dim *items = NEW_ARRAY(ev->arena, Dim, count);
    for (int i = 0; i < count; i++) {
        Value item = value_is_sequence(v) ? v.list->items[i] : v;
        if (item.kind != VALUE_INT && item.kind != VALUE_DIM)
            return wrong_attribute(ev, info, item.kind == VALUE_ERROR ? item : v, span, "a tuple of sizes");
        items[i] = as_dim(ev, item);
    }
    *out = (DimList){count, items};
    return true;
}

static bool set_type(Evaluator *ev, const AttrInfo *info, Value v, Span span, DType *out) {
    if (v.kind != VALUE_STRING)
        return wrong_attribute(ev, info, v, span, "the name of a type, such as \"f32\"");
    if (dtype_from_name(v.string, out)) return true;
    report(ev, DIAG_unknown_type, span, "there is no type `%s`: f32, f16, bf16, i8, i32, i64, bool",
           v.string);
    return false;
}

static bool set_attribute(Evaluator *ev, const AttrInfo *info, Value v, Shape first, Span span,
                          void *attributes) {
    void *at = (char *)attributes + info->offset;
    int rank = first.rank;
    switch (info->kind) {
    case ATTR_INT:
        if (v.kind != VALUE_INT) return wrong_attribute(ev, info, v, span, "an int");
        return *(int64_t *)at = from_end(info, v.integer, rank), true;
    case ATTR_REAL:
        if (!value_is_number(v)) return wrong_attribute(ev, info, v, span, "a number");
        return *(double *)at = value_as_real(v), true;
    case ATTR_BOOL:
        if (v.kind != VALUE_BOOL) return wrong_attribute(ev, info, v, span, "true or false");
        return *(bool *)at = v.truth, true;
    case ATTR_NAME:
        if (v.kind != VALUE_STRING) return wrong_attribute(ev, info, v, span, "a string");
        return *(Name *)at = v.string, true;
    case ATTR_TYPE: return set_type(ev, info, v, span, at);
    case ATTR_INTS: return set_ints(ev, info, v, rank, span, at);
    case ATTR_DIMS: return set_dims(ev, info, v, span, at);
    case ATTR_NUMBER:
        if (!value_is_number(v) && v.kind != VALUE_BOOL)
            return wrong_attribute(ev, info, v, span, "a number");
        return *(Number *)at = value_number(v, first.type), true;
    case ATTR_DATA: break;
    }
    return wrong_attribute(ev, info, v, span, "left out");
}

static int attribute_count(const AttrInfo *row) {
    int count = 0;
    while (row[count].name) count++;
    return count;
}

static int attribute_index(const AttrInfo *row, Name name) {
    for (int i = 0; row[i].name; i++)
        if (!strcmp(row[i].name, name)) return i;
    return -1;
}

static bool unknown_attribute(Evaluator *ev, const OpInfo *info, const Binding *given) {
    Diagnostic *d =
        report(ev, DIAG_unknown_argument, given->span, "`%s` has no attribute `%s`", info->name, given->name);
    Vec(const char *) names = {0};
    for (const AttrInfo *row = info->attributes(); row->name; row++) vec_push(ev->arena, &names, row->name);
    /* max(x, axis = 1) */
    Name over_axes = intern(ev->names, arena_printf(ev->arena, "reduce_%s", info->name));
    if (library_find(ev->frame->unit, over_axes).definition)
        report_help(ev, d, "over axes it is `%s(x, axes = ..)`", over_axes);
    else report_suggestion(ev, d, given->name, names.items, names.count);
    return false;
}

bool primitive_knows_names(Evaluator *ev, const Builtin *builtin, const Arguments *arguments) {
    for (int i = 0; builtin->op >= 0 && i < arguments->given.count; i++) {
        const Binding *g = &arguments->given.items[i];
        if (g->name && attribute_index(op_info[builtin->op].attributes(), g->name) < 0)
            return unknown_attribute(ev, &op_info[builtin->op], g);
    }
    return true;
}

static bool too_many_inputs(Evaluator *ev, const OpInfo *info, Span span) {
    static const char *const tensors[] = {"", "x", "a, b", "a, b, c"};
    const AttrInfo *row = info->attributes();
    int max = info->max_inputs + attribute_count(row);
    Text call = {.arena = ev->arena};
    text_add(&call, "%s(%s", info->name,
             info->max_inputs < COUNT_OF(tensors) ? tensors[info->max_inputs] : "..");
    for (int i = 0; row[i].name; i++) text_add(&call, ", %s", row[i].name);
    Diagnostic *d = report(ev, DIAG_too_many_arguments, span, "`%s` takes at most %d argument%s", info->name,
                           max, max == 1 ? "" : "s");
    report_help(ev, d, "it is called as `%s)`; what comes by the arrow is the first argument",
                text_string(&call));
    return false;
}

static bool set_attributes(Evaluator *ev, const OpInfo *info, const Bindings *given, int from, Shape first,
                           void *attributes, Span span) {
    const AttrInfo *row = info->attributes();
    int count = attribute_count(row);
    uint64_t set = 0;
    for (int i = from; i < given->count; i++) {
        const Binding *g = &given->items[i];
        int index = g->name ? attribute_index(row, g->name) : i - from;
        if (index < 0) return unknown_attribute(ev, info, g);
        if (index >= count) return too_many_inputs(ev, info, g->span);
        if (!set_attribute(ev, &row[index], g->value, first, g->span, attributes)) return false;
        set |= (uint64_t)1 << index;
    }
    for (int i = 0; i < count; i++)
        if (!(set >> i & 1)) {
            report(ev, DIAG_missing_argument, span, "`%s` needs the attribute `%s`", info->name, row[i].name);
            return false;
        }
    return true;
}

/* ---- calls ---- */

static int tensor_count(const OpInfo *info, const Bindings *given) {
    int positional = 0;
    while (positional < given->count && !given->items[positional].name) positional++;
    return info->max_inputs < 0 || positional < info->max_inputs ? positional : info->max_inputs;
}

bool primitive_is_complete(const Builtin *builtin, const Arguments *arguments) {
    int positional = 0;
    for (int i = 0; i < arguments->given.count; i++) positional += !arguments->given.items[i].name;
    if (builtin->op < 0) return positional >= builtin->at_least;
    const OpInfo *info = &op_info[builtin->op];
    return positional >= (info->min_inputs > 0 ? info->min_inputs : info->max_inputs < 0);
}

/* The operand from which numbers take their type and shape: the first tensor, but not the
 * condition of `select`. */
static Value model_operand(const Bindings *given, int from, int count) {
    for (int i = from; i < count; i++)
        if (given->items[i].value.kind == VALUE_TENSOR) return given->items[i].value;
    return value_none;
}

static bool elementwise_inputs(Evaluator *ev, const OpInfo *info, const Bindings *given, int count,
                               Node **inputs, Span span) {
    int from = info == &op_info[OP_select];
    Value other = model_operand(given, from, count);
    for (int i = 0; i < count; i++) {
        const Binding *g = &given->items[i];
        inputs[i] = i < from ? as_node(ev, g->value, DTYPE_BOOL, g->span)
                             : operand_node(ev, g->value, other, g->span);
        if (!inputs[i]) return false;
    }
    return count < 2 || broadcast_nodes(ev, inputs, count, span, NULL);
}

static bool tensor_inputs(Evaluator *ev, const OpInfo *info, const Bindings *given, int count, Node **inputs,
                          Span span) {
    if (info->class == CLASS_ELEMENTWISE) return elementwise_inputs(ev, info, given, count, inputs, span);
    for (int i = 0; i < count; i++)
        if (!(inputs[i] = as_node(ev, given->items[i].value, DTYPE_F32, given->items[i].span))) return false;
    return true;
}

/* Checks the arguments of a function of builtins.c: how many by position, which by
 * keyword; the name of a weight comes first. */
static bool fits_function(Evaluator *ev, const Builtin *builtin, const Bindings *given, Span span) {
    int count = weight_name(builtin, given) ? -1 : 0;
    for (int i = 0; i < given->count; i++) {
        const Binding *g = &given->items[i];
        const char *found = g->name ? strstr(builtin->keywords, g->name) : NULL;
        if (!g->name) count++;
        else if (!found || (found != builtin->keywords && found[-1] != ' ') ||
                 (found[strlen(g->name)] && found[strlen(g->name)] != ' ')) {
            Diagnostic *d = report(ev, DIAG_unknown_argument, g->span, "`%s` has no argument `%s`",
                                   builtin->name, g->name);
            if (*builtin->keywords) report_help(ev, d, "what it takes by name is %s", builtin->keywords);
            return false;
        }
    }
    if (count >= builtin->at_least && count <= builtin->at_most) return true;
    bool missing = count < builtin->at_least, exact = builtin->at_least == builtin->at_most;
    int wanted = missing ? builtin->at_least : builtin->at_most;
    Diagnostic *d = report(ev, missing ? DIAG_missing_argument : DIAG_too_many_arguments, span,
                           "`%s` takes %s%d argument%s, not %d", builtin->name,
                           exact     ? ""
                           : missing ? "at least "
                                     : "at most ",
                           wanted, wanted == 1 ? "" : "s", count);
    if (missing) return false;
    if (!strcmp(builtin->name, "arange")) report_help(ev, d, "it counts from 0: `arange(n) + first`");
    else if (strstr(builtin->keywords, "dtype"))
        report_help(ev, d, "the sizes of a shape are written as a list: `[2, 3]`");
    return false;
}

Value primitive_run(Evaluator *ev, const Builtin *builtin, const Arguments *arguments, Span span) {
    if (arguments->failed) return value_error;
    if (builtin->run)
        return fits_function(ev, builtin, &arguments->given, span) ? builtin->run(ev, arguments, span)
                                                                   : value_error;
    const OpInfo *info = &op_info[builtin->op];
    Bindings given = arguments->given;
    for (int i = 0; i < given.count; i++) given.items[i].value = settle(ev, given.items[i].value);
    if (info->class == CLASS_ELEMENTWISE) {
        Value number = number_call(ev, builtin->op, &given, span);
        if (number.kind != VALUE_NONE) return number;
    }
    int count = tensor_count(info, &given);
    if (count < info->min_inputs) {
        report(ev, DIAG_missing_argument, span, "`%s` takes %d tensors, not %d", info->name, info->min_inputs,
               count);
        return value_error;
    }
    Node **inputs = NEW_ARRAY(ev->arena, Node *, count);
    if (!tensor_inputs(ev, info, &given, count, inputs, span)) return value_error;
    void *attributes = arena_alloc(ev->arena, info->attribute_bytes + 1);
    Shape first = count ? inputs[0]->shape : (Shape){0};
    if (!set_attributes(ev, info, &given, count, first, attributes, span)) return value_error;
    return value_node(make_node(ev, (Op)builtin->op, inputs, count, attributes, span));
}
