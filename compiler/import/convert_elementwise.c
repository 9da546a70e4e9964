/* Elementwise operators. */
#include "import/convert.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

void convert_stage(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = stage(im, input_at(inputs, count, 0), current_row(im)->as, "%s", "");
}

void convert_formula(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = formula(im, current_row(im)->as, inputs, count);
}

/* The ratio and whether it trains are inputs since opset 12. */
static bool drops_at_random(Import *im, Wire *ratio, Wire *trains) {
    const Known *share = known_of(im, ratio), *training = known_of(im, trains);
    if (share && share->reals && share->reals[0] == 0) return false;
    return trains && !(training && dim_const_value(training->sizes[0]) == 0);
}

void convert_identity(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = input_at(inputs, count, 0);
    if (drops_at_random(im, input_at(inputs, count, 1), input_at(inputs, count, 2)))
        cannot(im, "dropout at random, as in training");
    if (im->node->output_count > 1) { /* the second output of Dropout, its mask */
        Wire *x = outputs[0];
        Dim dims[16];
        for (int i = 0; x && i < wire_rank(im, x); i++) dims[i] = wire_size(im, x, i);
        outputs[1] = x ? typed(call(im, "ones", NULL, 0, "%s, dtype = \"bool\"",
                                    dims_text(im->arena, dims, wire_rank(im, x))),
                               ONNX_BOOL)
                       : NULL;
    }
}

/* The modulus (2 ** bits) of an ONNX integer type that cai holds in a wider type; 0 where
 * cai's own type wraps in the same way. */
static double wraps_at(int type) {
    return type == ONNX_UINT8                          ? 0x1p8
           : type == ONNX_UINT16 || type == ONNX_INT16 ? 0x1p16
           : type == ONNX_UINT32                       ? 0x1p32
                                                       : 0;
}

static Wire *wrapped_wire(Import *im, Wire *x) {
    const double at = x ? wraps_at(x->type) : 0;
    if (!at) return x;
    if (x->type != ONNX_INT16) return infix_number(im, "%", x, at);
    return infix_number(im, "-", infix_number(im, "%", infix_number(im, "+", x, at / 2), at), at / 2);
}

/* The second operand, shaped for broadcasting. Since opset 7 operands broadcast as in
 * numpy; before, `axis` said with which axis of the first operand the first axis of the
 * second is aligned. */
static Wire *operand_of_many(Import *im, Wire *const *inputs, int count) {
    Wire *a = input_at(inputs, count, 0), *b = input_at(inputs, count, 1);
    Dim dims[16];
    if (im->opset >= 7 || !a || !b || !attribute(im, "axis")) return b;
    const int axis = axis_of(im, attribute_int(im, "axis", 0), wire_rank(im, a)), own = wire_rank(im, b),
              rank = wire_rank(im, a) - axis;
    if (axis < 0 || own > rank) return b;
    for (int i = 0; i < rank; i++) dims[i] = i < own ? wire_size(im, b, i) : dim_const(im->dims, 1);
    return reshaped(im, b, dims, rank);
}

void convert_infix(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = wrapped_wire(
        im, infix(im, current_row(im)->as, input_at(inputs, count, 0), operand_of_many(im, inputs, count)));
}

static bool is_free_constant(Import *im, Wire *wire) {
    const Known *k = wire_is_constant(wire) ? known_of(im, wire) : NULL;
    return k && known_is_symbolic(k);
}

/* The sizes of a constant that could not be folded, for messages. */
static const char *sizes_text(Import *im, Wire *wire) {
    const Known *k = known_of(im, wire);
    if (!k || !k->sizes) return "a constant";
    return k->rank ? dims_text(im->arena, k->sizes, (int)k->count) : dim_string(im->arena, k->sizes[0]);
}

void convert_compare(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *a = input_at(inputs, count, 0), *b = input_at(inputs, count, 1);
    if (a && b && a->type == ONNX_BOOL) a = cast_to(im, a, ONNX_INT32), b = cast_to(im, b, ONNX_INT32);
    if (a && b && wire_is_constant(a) && wire_is_constant(b) &&
        (is_free_constant(im, a) || is_free_constant(im, b)))
        cannot(im, "it compares sizes that are free, %s and %s: -D fixes them", sizes_text(im, a),
               sizes_text(im, b));
    const char *op = current_row(im)->as;
    if (a && a->type == ONNX_UINT64 && strcmp(op, "=="))
        a = stage(im, a, "onnx.unsigned_order", "%s", ""), b = stage(im, b, "onnx.unsigned_order", "%s", "");
    outputs[0] = typed(infix(im, op, a, b), ONNX_BOOL);
}

void convert_logic(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = typed(infix(im, current_row(im)->as, input_at(inputs, count, 0), input_at(inputs, count, 1)),
                       ONNX_BOOL);
}

void convert_xor(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *a = cast_to(im, input_at(inputs, count, 0), ONNX_INT32),
         *b = cast_to(im, input_at(inputs, count, 1), ONNX_INT32);
    outputs[0] = typed(infix(im, "!=", a, b), ONNX_BOOL);
}

void convert_not(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    const Line *equal = x && x->line && !strcmp(x->line->callee, "==") ? x->line : NULL;
    outputs[0] = equal ? infix_operands(im, "!=", equal->inputs.items[0], equal->inputs.items[1], ONNX_BOOL)
                       : prefix(im, "not ", x);
}

void convert_neg(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = prefix(im, "-", input_at(inputs, count, 0));
}

static bool is_unsigned(int type) { return type == ONNX_UINT8 || type == ONNX_UINT16 || type == ONNX_UINT32; }

static bool is_same_operand(const Operand *a, const Operand *b) {
    return a->wire == b->wire && (!a->text == !b->text) && (!a->text || !strcmp(a->text, b->text));
}

/* x where the wire is x - x % y, a multiple of y; else NULL. */
static Wire *multiple_of(Import *im, Wire *wire, Wire *y) {
    const Line *minus = wire_itself(wire)->line, *mod;
    if (!minus || strcmp(minus->callee, "-") || minus->inputs.count != 2 || !minus->inputs.items[1].wire ||
        !(mod = minus->inputs.items[1].wire->line) || strcmp(mod->callee, "%"))
        return NULL;
    const Operand divisor = operand_beside(im, y, wire);
    return is_same_operand(&minus->inputs.items[0], &mod->inputs.items[0]) &&
                   is_same_operand(&mod->inputs.items[1], &divisor)
               ? minus->inputs.items[0].wire
               : NULL;
}

static bool is_positive_number(Import *im, Wire *wire) {
    const Known *k = wire_is_constant(wire) ? known_of(im, wire) : NULL;
    int64_t value;
    return k && k->count == 1 && k->sizes && dim_is_const(k->sizes[0], &value) && value > 0;
}

/* ONNX truncates integer quotients towards 0; cai rounds them down. */
static Wire *truncated_quotient(Import *im, Wire *const *both) {
    Wire *x = multiple_of(im, both[0], both[1]);
    if (x) return infix(im, "//", x, both[1]);
    return formula(im,
                   is_positive_number(im, both[1])
                       ? "select(x % y != 0 and x < 0, x // y + 1, x // y)"
                       : "select(x % y != 0 and (x < 0) != (y < 0), x // y + 1, x // y)",
                   both, 2);
}

/* The ints of 64 bits are held in signed ones, those of fewer in longer ones. */
static Wire *unsigned_quotient(Import *im, Wire *a, Wire *b) {
    return a && a->type == ONNX_UINT64 ? call(im, "onnx.unsigned_quotient", (Wire *[]){a, b}, 2, "%s", "")
                                       : infix(im, "//", a, b);
}

void convert_div(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *a = input_at(inputs, count, 0), *b = input_at(inputs, count, 1), *both[] = {a, b};
    if (!a || onnx_type_is_float(a->type)) outputs[0] = infix(im, "/", a, b);
    else if (is_unsigned(a->type)) outputs[0] = unsigned_quotient(im, a, b);
    else if (b) outputs[0] = truncated_quotient(im, both);
}

void convert_mod(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *both[] = {input_at(inputs, count, 0), input_at(inputs, count, 1)};
    if (both[0] && both[0]->type == ONNX_UINT64)
        outputs[0] =
            infix(im, "-", both[0], infix(im, "*", unsigned_quotient(im, both[0], both[1]), both[1]));
    else if (attribute_int(im, "fmod", 0)) outputs[0] = formula(im, "sign(x) * (abs(x) % abs(y))", both, 2);
    else outputs[0] = infix(im, "%", both[0], both[1]);
}

/* ---- bits of ints ---- */

/* How many bits of a type's ints may differ from the sign in the type that holds them. */
static int bits_beside_sign(int type) {
    const int bits = 8 * onnx_type_bytes(type);
    return is_unsigned(type) ? bits : bits - 1;
}

/* x | y = x + y - (x & y), and x ^ y = x + y - 2 (x & y): for negative ints, and where
 * sums wrap, too. */
void convert_bitwise(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const char *op = im->node->op;
    Wire *both[] = {input_at(inputs, count, 0), input_at(inputs, count, 1)};
    Wire *shared =
        both[0] ? call(im, "onnx.bitwise_and", both, 2, "bits = %d", bits_beside_sign(both[0]->type)) : NULL;
    if (!strcmp(op, "BitwiseAnd")) outputs[0] = shared;
    else {
        if (!strcmp(op, "BitwiseXor")) shared = infix_number(im, "*", shared, 2);
        outputs[0] = infix(im, "-", infix(im, "+", both[0], both[1]), shared);
    }
}

void convert_bitwise_not(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    const double last = x && is_unsigned(x->type) ? ldexp(1, bits_beside_sign(x->type)) - 1 : -1;
    outputs[0] = number_infix(im, last, "-", x);
}

static bool are_known_within(Import *im, Wire *wire, int64_t end) {
    const Known *k = known_of(im, wire);
    int64_t value;
    for (int64_t i = 0; k && k->sizes && i < k->count; i++)
        if (!dim_is_const(k->sizes[i], &value) || value < 0 || value >= end) return false;
    return k && k->sizes;
}

/* Shifts by a power of two. By less than 0, or by as many bits as there are and more,
 * only the sign is left behind a shift to the right, and nothing behind one to the left.
 * The power of the last bit is negative, so a shift to the right by as many is one of
 * these. */
void convert_bit_shift(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *by = input_at(inputs, count, 1);
    const bool left = !strcmp(attribute_string(im, "direction", ""), "LEFT");
    Wire *power = call(im, "onnx.power_of_two", &by, 1, "%s", "");
    Wire *y = left ? wrapped_wire(im, infix(im, "*", x, power)) : unsigned_quotient(im, x, power);
    if (!y) return;
    const int end = left ? 8 * onnx_type_bytes(x->type) : bits_beside_sign(x->type);
    Wire *sign = cast_to(im, typed(infix_number(im, "<", x, 0), ONNX_BOOL), x->type);
    Wire *rest = left ? infix_number(im, "*", sign, 0) : prefix(im, "-", sign);
    const char *either = arena_printf(im->arena, "select(x >= 0 and x < %d, y, z)", end);
    outputs[0] =
        are_known_within(im, by, end) ? y : typed(formula(im, either, (Wire *[]){by, y, rest}, 3), x->type);
}

/* A power of ints from its result in f32: the int next to it, or without what is behind
 * the point where that is more than the error of f32. */
static Wire *whole_power(Import *im, Wire *power, bool real_exponent) {
    Wire *both[] = {power, stage(im, power, "round", "%s", "")};
    return real_exponent ? formula(im, "select(abs(x - y) <= 4e-7 * abs(y), y, x)", both, 2) : both[1];
}

/* The result has the type of the base. Integers to a known power of 1 to 8 become a
 * product. */
void convert_pow(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *a = input_at(inputs, count, 0), *b = input_at(inputs, count, 1);
    const Known *k = known_of(im, b);
    if (!a || !b) return;
    const bool one = k && k->count == 1 && !wire_is_constant(a) && wire_rank(im, a) >= k->rank,
               real = onnx_type_is_float(a->type);
    int64_t whole;
    double exponent = one ? (k->reals                            ? k->reals[0]
                             : dim_is_const(k->sizes[0], &whole) ? (double)whole
                                                                 : NAN)
                          : NAN;
    if (!real && !(exponent >= 1 && exponent <= 8 && exponent == floor(exponent))) {
        Wire *power = infix(im, "**", cast_to(im, a, ONNX_FLOAT), cast_to(im, b, ONNX_FLOAT));
        outputs[0] = power ? cast_to(im, whole_power(im, power, onnx_type_is_float(b->type)), a->type) : NULL;
        return;
    }
    if (!real) {
        outputs[0] = a;
        for (int i = 1; i < (int)exponent; i++) outputs[0] = wrapped_wire(im, infix(im, "*", outputs[0], a));
        return;
    }
    const Operand base = operand_beside(im, a, b);
    if (base.text && strtod(base.text, NULL) == 2)
        outputs[0] = stage(im, cast_to(im, b, a->type), "exp2", "%s", "");
    else if (exponent == 0.5) outputs[0] = stage(im, a, "sqrt", "%s", "");
    else outputs[0] = one ? infix_number(im, "**", a, exponent) : infix(im, "**", a, cast_to(im, b, a->type));
}

static Wire *folded_over(Import *im, const char *callee, Wire *const *inputs, int count) {
    Wire *made = input_at(inputs, count, 0);
    for (int i = 1; i < count; i++) {
        Wire *both[] = {made, inputs[i]};
        made = isalpha((unsigned char)callee[0]) ? call(im, callee, both, 2, "%s", "")
                                                 : infix(im, callee, both[0], both[1]);
    }
    return made;
}

void convert_extreme(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = folded_over(im, current_row(im)->as, inputs, count);
}
void convert_sum(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = folded_over(im, "+", inputs, count);
}
void convert_mean(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *total = folded_over(im, "+", inputs, count);
    outputs[0] = count > 1 ? infix_number(im, "/", total, count) : total;
}

/* Clip. The bounds are attributes, or inputs since opset 11; each of them may be
 * omitted. */
void convert_clip(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *low = input_at(inputs, count, 1),
         *high = input_at(inputs, count, 2);
    const Known *least = known_of(im, low), *max = known_of(im, high);
    double bounds[2] = {attribute_real(im, "min", -INFINITY), attribute_real(im, "max", INFINITY)};
    const bool known = (!low || (least && least->reals)) && (!high || (max && max->reals)) && x &&
                       onnx_type_is_float(x->type);
    if (low && known) bounds[0] = least->reals[0];
    if (high && known) bounds[1] = max->reals[0];
    const bool from = known ? bounds[0] > -3.4e38 : low != NULL,
               to = known ? bounds[1] < 3.4e38 : high != NULL;
    if (known && bounds[0] == 0 && bounds[1] == 6) outputs[0] = stage(im, x, "relu6", "%s", "");
    else if (known && bounds[0] == 0 && !to) outputs[0] = stage(im, x, "relu", "%s", "");
    else if (known && from && to)
        outputs[0] = stage(im, x, "clamp", "%s, %s", number_text(im->arena, bounds[0], true),
                           number_text(im->arena, bounds[1], true));
    else {
        Wire *both[] = {x, known && from ? wire_of_reals(im, 0, NULL, &bounds[0]) : low};
        if (from) both[0] = call(im, "max", both, 2, "%s", "");
        both[1] = known && to ? wire_of_reals(im, 0, NULL, &bounds[1]) : high;
        outputs[0] = to ? call(im, "min", both, 2, "%s", "") : both[0];
    }
}

static Wire *with_setting(Import *im, Wire *x, const char *callee, const char *key, double value,
                          double usual) {
    if (fabs(value - usual) < 1e-7 * fabs(usual)) return stage(im, x, callee, "%s", "");
    return stage(im, x, callee, "%s = %s", key, number_text(im->arena, value, true));
}

void convert_elu(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] =
        with_setting(im, input_at(inputs, count, 0), "elu", "alpha", attribute_real(im, "alpha", 1), 1);
}
void convert_leaky_relu(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = with_setting(im, input_at(inputs, count, 0), "leaky_relu", "slope",
                              attribute_real(im, "alpha", 0.01), 0.01);
}
void convert_swish(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    double alpha = attribute_real(im, "alpha", 1);
    outputs[0] = alpha == 1 ? stage(im, input_at(inputs, count, 0), "silu", "%s", "")
                            : formula(im, "x * sigmoid($alpha:1.0 * x)", inputs, count);
}
void convert_swiglu(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    convert_swish(im, inputs, count, outputs);
    outputs[0] = infix(im, "*", outputs[0], input_at(inputs, count, 1));
}
void convert_selu(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    double alpha = attribute_real(im, "alpha", 1.67326319), gamma = attribute_real(im, "gamma", 1.05070102);
    Wire *x = input_at(inputs, count, 0);
    if (fabs(alpha - 1.67326324) < 1e-6 && fabs(gamma - 1.05070098) < 1e-6)
        outputs[0] = stage(im, x, "selu", "%s", "");
    else
        outputs[0] = number_infix(im, gamma, "*",
                                  stage(im, x, "elu", "alpha = %s", number_text(im->arena, alpha, true)));
}
void convert_hard_sigmoid(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    double alpha = attribute_real(im, "alpha", 0.2), beta = attribute_real(im, "beta", 0.5);
    Wire *x = input_at(inputs, count, 0);
    if (fabs(alpha - 1 / 6.0) < 1e-6 && beta == 0.5) outputs[0] = stage(im, x, "hardsigmoid", "%s", "");
    else if (alpha > 0 && beta == 0.5)
        outputs[0] = stage(im, x, "hardsigmoid", "slope = %s", number_text(im->arena, alpha, true));
    else if (alpha > 0)
        outputs[0] = stage(im, x, "hardsigmoid", "slope = %s, shift = %s",
                           number_text(im->arena, alpha, true), number_text(im->arena, beta, true));
    else outputs[0] = formula(im, "min(max($alpha:0.2 * x + $beta:0.5, 0), 1)", inputs, count);
}
void convert_gelu(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    bool is_tanh = !strcmp(attribute_string(im, "approximate", "none"), "tanh");
    outputs[0] = is_tanh
                     ? formula(im, "0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))",
                               inputs, count)
                     : stage(im, input_at(inputs, count, 0), "gelu", "%s", "");
}

void convert_is_inf(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    bool above = attribute_int(im, "detect_positive", 1), below = attribute_int(im, "detect_negative", 1);
    const double inf = INFINITY;
    Wire *x = input_at(inputs, count, 0);
    if (above && below) outputs[0] = infix_number(im, "==", stage(im, x, "abs", "%s", ""), inf);
    else outputs[0] = infix_number(im, "==", x, above ? inf : -inf);
    if (!above && !below) outputs[0] = formula(im, "x != x and x == x", inputs, count);
    typed(outputs[0], ONNX_BOOL);
}

/* Types that cai holds in a wider type wrap, or round, as they do themselves. */
static Wire *cast_in_onnx(Import *im, Wire *x, int to) {
    const bool exact = x && (x->type == to || x->type == ONNX_BOOL);
    if (stored_dtype(to) != dtype_of(to) && !exact)
        return widened(im, typed(stage(im, x, "cast", "type = \"%s\"", dtype_name(stored_dtype(to))), to));
    return wrapped_wire(im, cast_to(im, x, to));
}

void convert_cast(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const int to = (int)attribute_int(im, "to", 0);
    Wire *x = input_at(inputs, count, 0);
    if (onnx_type_bytes(to) == 0 || (x && onnx_type_bytes(x->type) == 0))
        cannot(im, "a cast from %s to %s", x ? onnx_type_name(x->type) : "nothing", onnx_type_name(to));
    if (x && onnx_type_is_float(x->type) && wraps_at(to)) x = cast_to(im, x, ONNX_INT64);
    outputs[0] = cast_in_onnx(im, x, to);
}

/* Ints of as many bits, which wrap as in a cast. */
void convert_bit_cast(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const int to = (int)attribute_int(im, "to", 0);
    Wire *x = input_at(inputs, count, 0);
    const bool bytes = x && onnx_type_bytes(to) && onnx_type_bytes(to) == onnx_type_bytes(x->type);
    const bool ints = bytes && !onnx_type_is_float(x->type) && !onnx_type_is_float(to) && to != ONNX_BOOL;
    outputs[0] =
        ints || (bytes && x->type == to)
            ? cast_in_onnx(im, x, to)
            : cannot(im, "the bits of %s as %s", x ? onnx_type_name(x->type) : "nothing", onnx_type_name(to));
}

void convert_cast_like(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *like = input_at(inputs, count, 1);
    if (like && onnx_type_bytes(like->type) == 0) cannot(im, "a cast to %s", onnx_type_name(like->type));
    outputs[0] = like ? cast_in_onnx(im, input_at(inputs, count, 0), like->type) : NULL;
}

void convert_where(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = count == 3 && inputs[1] ? typed(call(im, "select", inputs, 3, "%s", ""), inputs[1]->type)
                                         : cannot(im, "Where has three inputs");
}

/* Whether slopes are weights, one for each channel of x: [C, 1, 1] or [1, C, 1, 1] for
 * pictures, and [C] before opset 7. */
static bool are_slopes_of_channels(Import *im, Wire *x, Wire *slope) {
    const int rank = wire_rank(im, x), own = wire_rank(im, slope), at = own == rank ? 1 : 0;
    int64_t channels;
    if (!is_weight(im, slope, -1) || !slope->data || wire_is_constant(x) || rank < 2 ||
        !wire_fixed(im, x, 1, &channels))
        return false;
    bool alike = own == rank || own == rank - 1 || (own == 1 && im->opset < 7);
    for (int i = 0; alike && i < own; i++) alike = slope->data->dims[i] == (i == at ? channels : 1);
    return alike;
}

static bool is_one_slope(Import *im, Wire *x, Wire *slope) {
    return is_weight(im, slope, -1) && slope->data && slope->data->count == 1 && !wire_is_constant(x) &&
           wire_rank(im, x) >= wire_rank(im, slope);
}

/* PRelu: one slope for all elements, one for each channel, or any other tensor of
 * slopes. */
void convert_prelu(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *slope = input_at(inputs, count, 1);
    if (!x || !slope) return;
    const bool each = are_slopes_of_channels(im, x, slope), one = is_one_slope(im, x, slope);
    if (!each && !one) {
        outputs[0] = onnx_type_is_float(x->type) ? formula(im, "select(x > 0, x, y * x)", inputs, 2)
                                                 : formula(im, "select(x >= 0, x, y * x)", inputs, 2);
        return;
    }
    Line *line = layer_begin(im, x, "prelu", "%s", each ? "per_channel_slopes = true" : "");
    LineWeight *weight = layer_weight(im, line, "weight", slope);
    weight->rank = weight->from_rank = 1;
    weight->dims[0] = weight->from[0] = slope->data->count;
    outputs[0] = line_run(im, line, x->type);
}
