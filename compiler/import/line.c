/* Statements of the model that is being written. Each statement is elaborated in the
 * trial as soon as it is made. So the shapes of its results are those that the language
 * infers, and an error of the language is reported with the node that caused it. */
#include "import/import.h"
#include <ctype.h>
#include <stdlib.h>

/* ---- numbers and lists as text ---- */

/* Beside ints, too, a number that no int has is written as a real one, which the language
 * refuses there. */
const char *number_text(Arena *arena, double value, bool real) {
    if (!real && fabs(value) < 0x1p63) return arena_printf(arena, "%lld", (long long)value);
    if (isnan(value)) return "(inf - inf)";
    if (isinf(value)) return value > 0 ? "inf" : "-inf";
    char digits[40];
    const bool single = (double)(float)value == value; /* if so, print only as many digits as an f32 needs */
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        const double back = strtod(digits, NULL);
        if (back == value || (single && (float)back == (float)value)) break;
    }
    bool whole = !strpbrk(digits, ".e");
    char *e = strchr(digits, 'e');
    if (e && e[1] == '+') memmove(e + 1, e + 2, strlen(e + 1));
    return arena_printf(arena, "%s%s", digits, whole ? ".0" : "");
}

const char *tuple_text(Arena *arena, const int64_t *values, int count) {
    Text text = {.arena = arena};
    text_add(&text, "(");
    for (int i = 0; i < count; i++) text_add(&text, "%s%lld", i ? ", " : "", (long long)values[i]);
    text_add(&text, count == 1 ? ",)" : ")");
    return text_string(&text);
}

const char *ints_text(Arena *arena, const int64_t *values, int count) {
    bool equal = true;
    for (int i = 1; i < count; i++) equal = equal && values[i] == values[0];
    return equal && count > 0 ? arena_printf(arena, "%lld", (long long)values[0])
                              : tuple_text(arena, values, count);
}

const char *dims_text(Arena *arena, const Dim *dims, int count) {
    Text text = {.arena = arena};
    text_add(&text, "[");
    for (int i = 0; i < count; i++) text_add(&text, "%s%s", i ? ", " : "", dim_string(arena, dims[i]));
    text_add(&text, "]");
    return text_string(&text);
}

/* ---- types ---- */

DType dtype_of(int type) {
    switch (type) {
    case ONNX_INT8: return DTYPE_I8;
    case ONNX_UINT8:
    case ONNX_INT16:
    case ONNX_UINT16:
    case ONNX_INT32: return DTYPE_I32;
    case ONNX_INT64:
    case ONNX_UINT32:
    case ONNX_UINT64: return DTYPE_I64;
    case ONNX_BOOL: return DTYPE_BOOL;
    default: return DTYPE_F32;
    }
}

DType stored_dtype(int type) {
    return type == ONNX_FLOAT16 ? DTYPE_F16 : type == ONNX_BFLOAT16 ? DTYPE_BF16 : dtype_of(type);
}

Wire *typed(Wire *wire, int type) {
    if (wire) wire->type = type;
    return wire;
}

/* ---- refusals ---- */

Wire *cannot(Import *im, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (!im->why) im->why = arena_vprintf(im->arena, format, arguments);
    va_end(arguments);
    return NULL;
}

/* ---- constants as operands ---- */

static void add_elements(Import *im, Text *text, const Known *k, int axis, int64_t first, int64_t count) {
    if (axis == k->rank) {
        if (k->reals) text_add(text, "%s", number_text(im->arena, k->reals[first], true));
        else if (k->type == ONNX_BOOL) text_add(text, dim_const_value(k->sizes[first]) ? "true" : "false");
        else dim_print(text, k->sizes[first]);
        return;
    }
    text_add(text, "[");
    const int64_t part = count / k->dims[axis];
    for (int64_t i = 0; i < k->dims[axis]; i++) {
        if (i) text_add(text, ", ");
        add_elements(im, text, k, axis + 1, first + i * part, part);
    }
    text_add(text, "]");
}

static const char *dtype_setting(Import *im, int type, DType usual) {
    DType dtype = dtype_of(type);
    return dtype == usual ? "" : arena_printf(im->arena, ", dtype = \"%s\"", dtype_name(dtype));
}

static Line *line_new(Import *im, Style style, const char *callee) {
    Line *line = NEW(im->arena, Line);
    *line = (Line){.style = style, .callee = callee, .node = im->node};
    return line;
}

static void add_line_setting(Import *im, Line *line, const char *text, size_t length);
static void add_line_settings(Import *im, Line *line, const char *text);

static Wire *constant_line(Import *im, int type, const char *callee, const char *settings) {
    Line *line = line_new(im, STYLE_CALL, callee);
    add_line_settings(im, line, settings);
    return line_run(im, line, type);
}

/* Sizes of the run: each is a tensor. */
static Wire *stacked_sizes(Import *im, const Known *k) {
    Wire *parts[MAX_WRITTEN];
    Dim dims[16];
    if (k->count > MAX_WRITTEN)
        return cannot(im, "a constant of more than %d sizes that are free", MAX_WRITTEN);
    for (int64_t i = 0; i < k->count; i++)
        parts[i] = constant_line(im, k->type, "tensor",
                                 arena_printf(im->arena, "%s%s", dim_string(im->arena, k->sizes[i]),
                                              dtype_setting(im, k->type, DTYPE_F32)));
    for (int i = 0; i < k->rank; i++) dims[i] = dim_const(im->dims, k->dims[i]);
    Wire *all = k->count == 1 ? parts[0] : stage_of(im, parts, (int)k->count, "stack", "axis = 0");
    return reshaped(im, all, dims, k->rank);
}

/* A constant of a few numbers, written in the text. */
static Wire *written_constant(Import *im, const Known *k) {
    Text text = {.arena = im->arena};
    if (k->rank > 0 && known_is_symbolic(k)) return stacked_sizes(im, k);
    if (k->count > 1 && known_is_filled(k)) {
        Known one = *k;
        one.rank = 0, one.type = k->type == ONNX_BOOL ? ONNX_INT32 : k->type; /* `full` takes one number */
        text_add(&text, "%s, ", tuple_text(im->arena, k->dims, k->rank));
        text.bytes[0] = '[';
        for (size_t i = 0; i < text.length; i++)
            if (text.bytes[i] == ')') text.bytes[i] = ']';
        add_elements(im, &text, &one, 0, 0, 1);
        text_add(&text, "%s", dtype_setting(im, k->type, DTYPE_F32));
        return constant_line(im, k->type, "full", text_string(&text));
    }
    add_elements(im, &text, k, 0, 0, k->count);
    text_add(&text, "%s", dtype_setting(im, k->type, DTYPE_F32));
    return constant_line(im, k->type, "tensor", text_string(&text));
}

/* A weight of the model by itself; ints are never trained. */
static Wire *weight_constant(Import *im, Wire *wire) {
    Line *line = line_new(im, STYLE_CALL, onnx_type_is_float(wire->type) ? "param" : "state");
    LineWeight *weight = layer_weight(im, line, "", wire);
    Dim dims[16];
    for (int i = 0; i < weight->rank; i++) dims[i] = dim_const(im->dims, weight->dims[i]);
    add_line_settings(im, line,
                      arena_printf(im->arena, "%s%s", dims_text(im->arena, dims, weight->rank),
                                   dtype_setting(im, wire->type, DTYPE_F32)));
    line->hint = wire->hint;
    return line_run(im, line, wire->type);
}

/* Of the initializers of a file that cai wrote all are weights, of other files those
 * whose names say so. */
static bool is_named_weight(Import *im, const Wire *wire) {
    const bool named =
        !strcmp(im->model->producer, "cai") || (wire->hint && without_kind(im->arena, wire->hint));
    return wire->data && !wire->stated && onnx_type_is_float(wire->type) && named;
}

/* Whether the text has one number for it. Many equal numbers of an initializer are
 * weights before training. */
static bool is_number(Import *im, const Wire *wire, const Known *k) {
    return known_is_filled(k) && (k->count <= MAX_WRITTEN || !wire->data || wire->stated) &&
           !is_named_weight(im, wire);
}

static bool is_folded_list(const Wire *wire) {
    return wire->folded && !wire->name && !wire->same && wire->known->count > 1;
}

/* The statements that compute a folded constant; NULL where it can't be read. */
static Wire *computed_anew(Import *im, const Folded *folded) {
    const OnnxNode *node = im->node;
    const int opset = im->opset;
    Wire *made = NULL;
    if (im->why) return NULL;
    for (int i = 0; i < folded->node->input_count; i++)
        if (folded->inputs[i] && is_folded_list(folded->inputs[i])) materialize(im, folded->inputs[i]);
    im->node = folded->node, im->opset = folded->opset;
    operator_find(folded->node)->convert(im, folded->inputs, folded->node->input_count, &made);
    im->node = node, im->opset = opset;
    if (!im->why) return made;
    im->why = NULL;
    return NULL;
}

bool materialize(Import *im, Wire *wire) {
    if (wire->name) return true;
    if (is_folded_list(wire)) wire->same = computed_anew(im, wire->folded);
    if (wire->same) return materialize(im, wire_itself(wire));
    const Known *k = known_of(im, wire);
    Wire *made = NULL;
    int64_t count = k ? k->count : wire->data ? wire->data->count : 0;
    if (count == 0) cannot(im, "a tensor without elements");
    else if (wire->data && !onnx_type_bytes(wire->data->type))
        cannot(im, "a constant of %s", onnx_type_name(wire->data->type));
    else
        made = k && (known_is_symbolic(k) || is_number(im, wire, k) ||
                     (count <= MAX_WRITTEN && !is_named_weight(im, wire)))
                   ? written_constant(im, k)
                   : weight_constant(im, wire);
    if (!made) return false;
    wire->name = made->name, wire->line = made->line, wire->shape = made->shape;
    made->line->results.items[0] = wire;
    return true;
}

/* Beside a tensor of at least its rank, a constant of one element becomes a number in the
 * text. */
Operand operand_beside(Import *im, Wire *wire, Wire *other) {
    const Known *k = wire_is_constant(wire) ? known_of(im, wire) : NULL;
    const bool one = k && is_number(im, wire, k) && !known_is_symbolic(k) && k->type != ONNX_BOOL;
    bool within = one && other && !wire_is_constant(other) && wire_rank(im, other) >= k->rank;
    for (int i = 0; within && i < k->rank; i++) {
        int64_t size;
        within = k->dims[i] == 1 ||
                 (wire_fixed(im, other, wire_rank(im, other) - k->rank + i, &size) && size == k->dims[i]);
    }
    if (!within) return (Operand){wire, NULL};
    return (Operand){NULL, k->reals ? number_text(im->arena, k->reals[0], true)
                                    : dim_string(im->arena, k->sizes[0])};
}

Wire *wire_itself(Wire *wire) {
    while (wire && wire->same) wire = wire->same;
    return wire;
}

/* ---- statements ---- */

static void add_line_setting(Import *im, Line *line, const char *text, size_t length) {
    while (length && *text == ' ') text++, length--;
    if (!length) return;
    size_t word = 0;
    while (word < length && (isalnum((unsigned char)text[word]) || text[word] == '_')) word++;
    Setting setting = {NULL, arena_strndup(im->arena, text, length)};
    if (word && length > word + 3 && !strncmp(text + word, " = ", 3))
        setting = (Setting){arena_strndup(im->arena, text, word),
                            arena_strndup(im->arena, text + word + 3, length - word - 3)};
    vec_push(im->arena, &line->settings, setting);
}

/* Splits settings at the commas outside brackets and quotes. */
static void add_line_settings(Import *im, Line *line, const char *text) {
    int depth = 0;
    bool quoted = false;
    const char *begin = text;
    for (const char *at = text;; at++) {
        if (*at == '"') quoted = !quoted;
        if (!quoted && *at && strchr("([{", *at)) depth++;
        if (!quoted && *at && strchr(")]}", *at)) depth--;
        if (*at && (*at != ',' || depth || quoted)) continue;
        add_line_setting(im, line, begin, (size_t)(at - begin));
        if (!*at) return;
        begin = at + 1;
    }
}

static void add_operand(Import *im, Line *line, Operand operand) {
    operand.wire = wire_itself(operand.wire);
    if (operand.wire && !materialize(im, operand.wire)) cannot(im, "an input that is missing");
    operand.wire = wire_itself(operand.wire); /* a folded constant may be computed anew */
    vec_push(im->arena, &line->inputs, operand);
}

static const char *operand_name(const Operand *operand) {
    return operand->wire ? operand->wire->name : operand->text;
}

static void add_line_arguments(Text *text, const Line *line, bool with_inputs) {
    int count = 0;
    for (int i = 0; with_inputs && i < line->inputs.count; i++)
        text_add(text, "%s%s", count++ ? ", " : "", operand_name(&line->inputs.items[i]));
    for (int i = 0; i < line->settings.count; i++) {
        const Setting *setting = &line->settings.items[i];
        text_add(text, "%s%s%s%s", count++ ? ", " : "", setting->key ? setting->key : "",
                 setting->key ? " = " : "", setting->text);
    }
}

/* The text of the statement with the trial's names, to be elaborated there. */
static const char *trial_text(Import *im, const Line *line) {
    Text text = {.arena = im->arena};
    text_add(&text, line->results.count > 1 ? "(" : "");
    for (int i = 0; i < line->results.count; i++)
        text_add(&text, "%s%s", i ? ", " : "", line->results.items[i]->name);
    text_add(&text, line->results.count > 1 ? ") = " : " = ");
    const Operand *inputs = line->inputs.items;
    switch (line->style) {
    case STYLE_INFIX:
        text_add(&text, "%s %s %s", operand_name(&inputs[0]), line->callee, operand_name(&inputs[1]));
        break;
    case STYLE_PREFIX: text_add(&text, "%s%s", line->callee, operand_name(&inputs[0])); break;
    case STYLE_INDEX:
        text_add(&text, "%s[", operand_name(&inputs[0]));
        for (int i = 0; i < line->settings.count; i++)
            text_add(&text, "%s%s", i ? ", " : "", line->settings.items[i].text);
        for (int i = 1; i < line->inputs.count; i++)
            text_add(&text, "%s%s", line->settings.count || i > 1 ? ", " : "", operand_name(&inputs[i]));
        text_add(&text, "]");
        break;
    case STYLE_CALL:
        text_add(&text, "%s(", line->callee);
        add_line_arguments(&text, line, true);
        text_add(&text, ")");
        break;
    case STYLE_STAGE:
        text_add(&text, line->inputs.count == 1 ? "" : "(");
        for (int i = 0; i < line->inputs.count; i++)
            text_add(&text, "%s%s", i ? ", " : "", operand_name(&inputs[i]));
        text_add(&text, line->inputs.count == 1 ? " -> " : ") -> ");
        if (line->weights.count) text_add(&text, "%s: ", line->label);
        text_add(&text, "%s(", line->callee);
        add_line_arguments(&text, line, false);
        text_add(&text, ")");
    }
    return text_string(&text);
}

void lines_run(Import *im, Line *line, const int *types, int count, Wire **out) {
    memset(out, 0, sizeof *out * (size_t)count);
    if (im->why) return;
    line->label = arena_printf(im->arena, "L%d", ++im->count);
    for (int i = 0; i < count; i++) {
        Wire *wire = NEW(im->arena, Wire);
        *wire = (Wire){.type = types[i],
                       .line = line,
                       .name = intern(im->names, arena_printf(im->arena, "v%d", ++im->count))};
        vec_push(im->arena, &line->results, wire);
    }
    const char *why = trial_run(im->trial, trial_text(im, line));
    if (why) {
        cannot(im, "%s", why);
        return;
    }
    for (int i = 0; i < count; i++) {
        if (!trial_shape(im->trial, line->results.items[i]->name, &line->results.items[i]->shape))
            INTERNAL_ERROR("no tensor: %s", trial_text(im, line));
        if (!found_is_whole(im, line->results.items[i])) return;
        out[i] = line->results.items[i];
    }
    vec_push(im->arena, &im->lines, line);
}

Wire *line_run(Import *im, Line *line, int type) {
    Wire *out;
    lines_run(im, line, &type, 1, &out);
    return out;
}

static bool are_here(Import *im, Wire *const *xs, int count) {
    for (int i = 0; i < count; i++)
        if (!xs[i]) cannot(im, "an input that is left out");
    return !im->why;
}

static Wire *styled_wire(Import *im, Style style, const char *callee, Wire *const *xs, int count,
                         const char *settings, va_list arguments) {
    const char *text = arena_vprintf(im->arena, settings, arguments);
    if (!are_here(im, xs, count)) return NULL;
    Line *line = line_new(im, style, callee);
    for (int i = 0; i < count; i++) add_operand(im, line, (Operand){xs[i], NULL});
    add_line_settings(im, line, text);
    return line_run(im, line, count ? xs[0]->type : ONNX_FLOAT);
}

#define STYLED(style, xs, count)                                                 \
    va_list arguments;                                                           \
    va_start(arguments, settings);                                               \
    Wire *made = styled_wire(im, style, callee, xs, count, settings, arguments); \
    va_end(arguments);                                                           \
    return made

Wire *stage(Import *im, Wire *x, const char *callee, const char *settings, ...) {
    STYLED(STYLE_STAGE, &x, 1);
}
Wire *stage_of(Import *im, Wire *const *xs, int count, const char *callee, const char *settings, ...) {
    STYLED(STYLE_STAGE, xs, count);
}
Wire *call(Import *im, const char *callee, Wire *const *xs, int count, const char *settings, ...) {
    STYLED(STYLE_CALL, xs, count);
}
Wire *indexed(Import *im, Wire *x, const char *settings, ...) {
    const char *callee = "[]";
    STYLED(STYLE_INDEX, &x, 1);
}

void calls(Import *im, const char *callee, Wire *const *xs, int count, Wire **out, int out_count,
           const char *settings) {
    int types[4];
    if (!are_here(im, xs, count)) return;
    Line *line = line_new(im, STYLE_CALL, callee);
    for (int i = 0; i < count; i++) add_operand(im, line, (Operand){xs[i], NULL});
    add_line_settings(im, line, settings);
    for (int i = 0; i < out_count; i++) types[i] = xs[0]->type;
    lines_run(im, line, types, out_count, out);
}

Wire *infix_operands(Import *im, const char *op, Operand a, Operand b, int type) {
    if (im->why) return NULL;
    if (!a.wire && a.text[0] == '-' && !strcmp(op, "**")) a.text = arena_printf(im->arena, "(%s)", a.text);
    Line *line = line_new(im, STYLE_INFIX, op);
    add_operand(im, line, a);
    add_operand(im, line, b);
    return line_run(im, line, type);
}

/* Whether `x op number` equals x. */
static bool is_neutral(Import *im, const char *op, Wire *number, Wire *x) {
    const Operand operand = operand_beside(im, number, x);
    if (!operand.text || !strchr("*/+-", *op) || op[1]) return false;
    return strtod(operand.text, NULL) == (*op == '*' || *op == '/' ? 1 : 0);
}

Wire *infix(Import *im, const char *op, Wire *a, Wire *b) {
    Wire *both[] = {a, b};
    if (!are_here(im, both, 2)) return NULL;
    const bool product = !strcmp(op, "@");
    if (!product && is_neutral(im, op, b, a)) return a;
    Operand left = product ? (Operand){a, NULL} : operand_beside(im, a, b),
            right = product ? (Operand){b, NULL} : operand_beside(im, b, a);
    return infix_operands(im, op, left, right, a->type);
}

static const char *beside_text(Import *im, const Wire *x, double value) {
    return number_text(im->arena, value, onnx_type_is_float(x->type));
}

Wire *infix_number(Import *im, const char *op, Wire *a, double b) {
    return are_here(im, &a, 1)
               ? infix_operands(im, op, (Operand){a, NULL}, (Operand){NULL, beside_text(im, a, b)}, a->type)
               : NULL;
}
Wire *number_infix(Import *im, double a, const char *op, Wire *b) {
    return are_here(im, &b, 1)
               ? infix_operands(im, op, (Operand){NULL, beside_text(im, b, a)}, (Operand){b, NULL}, b->type)
               : NULL;
}
Wire *infix_size(Import *im, const char *op, Wire *a, Dim b) {
    const char *text = dim_string(im->arena, b);
    if (*op == '*' && dim_is_one(b)) return a;
    if (strpbrk(text, "+- ")) text = arena_printf(im->arena, "(%s)", text);
    return are_here(im, &a, 1) ? infix_operands(im, op, (Operand){a, NULL}, (Operand){NULL, text}, a->type)
                               : NULL;
}

Wire *prefix(Import *im, const char *op, Wire *x) {
    if (!are_here(im, &x, 1)) return NULL;
    Line *line = line_new(im, STYLE_PREFIX, op);
    add_operand(im, line, (Operand){x, NULL});
    return line_run(im, line, x->type);
}

static bool is_whole_type(int type) { return type == ONNX_INT32 || type == ONNX_INT64; }

/* Ints of a constant, in another type; NULL where it has none. */
static Wire *cast_constant(Import *im, Wire *x, int type) {
    const Known *k = wire_is_constant(x) && is_whole_type(x->type) ? known_of(im, x) : NULL;
    if (!k || !is_whole_type(type) || known_is_symbolic(k)) return NULL;
    Wire *made = wire_known(im, type, k->rank, k->dims);
    for (int64_t i = 0; i < k->count; i++) {
        if (type == ONNX_INT32 && dim_const_value(k->sizes[i]) != (int32_t)dim_const_value(k->sizes[i]))
            return NULL;
        made->known->sizes[i] = k->sizes[i];
    }
    made->hint = x->hint;
    return made;
}

/* What was cast to this wire only; NULL where nothing was. */
static Wire *before_cast(const Wire *x) {
    return x->line && !strcmp(x->line->callee, "cast") ? x->line->inputs.items[0].wire : NULL;
}

static Wire *before_widening(const Wire *x) {
    Wire *from = before_cast(x);
    return from && from->type == ONNX_INT32 && x->type == ONNX_INT64 ? from : NULL;
}

static Wire *cast_stage(Import *im, Wire *x, DType to) {
    return stage(im, x, "cast", "type = \"%s\"", dtype_name(to));
}

Wire *cast_to(Import *im, Wire *x, int type) {
    if (!are_here(im, &x, 1)) return NULL;
    if (x->type == type) return x;
    Wire *known = is_folded_list(x) ? NULL : cast_constant(im, x, type),
         *narrow = type == ONNX_INT32 ? before_widening(x) : NULL;
    if (known || narrow) return known ? known : narrow;
    if (dtype_of(x->type) == dtype_of(type)) {
        Wire *same = NEW(im->arena, Wire);
        *same = *x;
        same->same = x;
        return typed(same, type);
    }
    return typed(cast_stage(im, x, dtype_of(type)), type);
}

Wire *widened(Import *im, Wire *x) {
    const bool narrow = x && (x->shape.type == DTYPE_F16 || x->shape.type == DTYPE_BF16);
    return narrow ? cast_stage(im, x, DTYPE_F32) : x;
}

Wire *rounded_as_stored(Import *im, Wire *x, int type) {
    const DType stored = stored_dtype(type);
    if (stored == dtype_of(type) || x->shape.type != dtype_of(type)) return x;
    Wire *from = before_cast(x);
    return from && from->shape.type == stored ? from : typed(cast_stage(im, x, stored), type);
}

static bool wire_has_shape(Import *im, Wire *x, const Dim *dims, int rank) {
    bool same = wire_rank(im, x) == rank;
    for (int i = 0; same && i < rank; i++) same = wire_size(im, x, i) == dims[i];
    return same;
}

Wire *reshaped(Import *im, Wire *x, const Dim *dims, int rank) {
    if (!are_here(im, &x, 1) || wire_has_shape(im, x, dims, rank)) return x;
    return call(im, "reshape", &x, 1, "%s", dims_text(im->arena, dims, rank));
}

Wire *permuted(Import *im, Wire *x, const int *order) {
    if (!are_here(im, &x, 1)) return NULL;
    int64_t axes[16];
    bool stays = true;
    for (int i = 0; i < wire_rank(im, x); i++) stays = stays && order[i] == i, axes[i] = order[i];
    return stays ? x : stage(im, x, "permute", "%s", tuple_text(im->arena, axes, wire_rank(im, x)));
}

/* ---- layers ---- */

Line *layer_begin(Import *im, Wire *x, const char *callee, const char *settings, ...) {
    va_list arguments;
    va_start(arguments, settings);
    const char *text = arena_vprintf(im->arena, settings, arguments);
    va_end(arguments);
    Line *line = line_new(im, STYLE_STAGE, callee);
    if (are_here(im, &x, 1)) add_operand(im, line, (Operand){x, NULL});
    add_line_settings(im, line, text);
    return line;
}

LineWeight *layer_weight(Import *im, Line *line, const char *name, Wire *data) {
    LineWeight weight = {.name = name, .tensor = data->data, .known = data->known};
    weight.rank = weight.from_rank = data->data ? data->data->rank : data->known->rank;
    for (int i = 0; i < weight.rank; i++) {
        weight.dims[i] = weight.from[i] = data->data ? data->data->dims[i] : data->known->dims[i];
        weight.order[i] = i;
    }
    if (!line->hint) line->hint = data->hint;
    vec_push(im->arena, &line->weights, weight);
    return &vec_last(&line->weights);
}

void weight_transposed(LineWeight *weight) {
    weight->order[0] = 1, weight->order[1] = 0;
    weight->dims[0] = weight->from[1], weight->dims[1] = weight->from[0];
}

bool is_weight(Import *im, Wire *wire, int rank) {
    if (!wire || !wire_is_constant(wire) ||
        !(wire->data ? wire->data->data != NULL : known_of(im, wire) != NULL))
        return false;
    return (rank < 0 || wire_rank(im, wire) == rank) && onnx_type_is_float(wire->type) &&
           wire->type != ONNX_DOUBLE;
}

const char *onnx_shape_text(Import *im, Wire *wire) {
    Dim dims[16];
    const int rank = wire_rank(im, wire);
    for (int i = 0; i < rank; i++) dims[i] = wire_size(im, wire, i);
    return arena_printf(im->arena, "%s%s", onnx_type_name(wire->type), dims_text(im->arena, dims, rank));
}
