/* Elementwise operators that are not a formula in ONNX, and the tests for those that
 * are. */
#include "export/export.h"
#include <math.h>

static const char *operand_value(Export *e, const Chosen *chosen, const char *name) {
    return value_of(e, bound(chosen, name)->node);
}

const char *write_cast(Export *e, const Chosen *chosen) {
    return call_cast(e, operand_value(e, chosen, "x"), chosen->node->shape.type);
}

/* min(max(x + s, 0), w) / w */
bool is_hardsigmoid(Export *e, const Chosen *chosen) {
    (void)e;
    const double width = bound(chosen, "w")->number;
    return width == bound(chosen, "v")->number && width > 0;
}

const char *write_hardsigmoid(Export *e, const Chosen *chosen) {
    const double width = bound(chosen, "w")->number;
    OnnxCall *call = call_begin(e, "HardSigmoid");
    call_input(call, operand_value(e, chosen, "x"));
    call_real(call, "alpha", 1 / width);
    call_real(call, "beta", bound(chosen, "s")->number / width);
    return call_end(call);
}

/* log(1 + x), with u = 1 + x. For u < 2 it is log(u) * x / (u - 1), in which the rounding
 * error of u cancels. */
const char *write_log1p(Export *e, const Chosen *chosen) {
    const DType type = chosen->node->shape.type;
    const char *x = operand_value(e, chosen, "x"), *one = value_of_number(e, 1, type);
    const char *u = call_2(e, "Add", x, one), *log = call_1(e, "Log", u);
    const char *near = call_2(e, "Mul", log, call_2(e, "Div", x, call_2(e, "Sub", u, one)));
    const char *low = call_3(e, "Where", call_2(e, "Equal", u, one), x, near);
    return call_3(e, "Where", call_2(e, "Less", u, value_of_number(e, 2, type)), low, log);
}

/* ---- division that rounds down; for ints the result is 0 if the divisor is 0 ---- */

bool divides(Export *e, const Chosen *chosen) {
    (void)e;
    return bound(chosen, "d")->number != 0;
}

typedef struct SafeDivision {
    const char *x, *divisor, *is_zero, *zero;
} SafeDivision;

static SafeDivision safe_division(Export *e, const Chosen *chosen) {
    const DType type = chosen->node->shape.type;
    const char *y = operand_value(e, chosen, "y"), *zero = value_of_number(e, 0, type);
    const char *is_zero = call_2(e, "Equal", y, zero);
    return (SafeDivision){operand_value(e, chosen, "x"),
                          call_3(e, "Where", is_zero, value_of_number(e, 1, type), y), is_zero, zero};
}

const char *write_int_modulo(Export *e, const Chosen *chosen) {
    const SafeDivision d = safe_division(e, chosen);
    return call_3(e, "Where", d.is_zero, d.zero, call_2(e, "Mod", d.x, d.divisor));
}

const char *write_int_division(Export *e, const Chosen *chosen) {
    const SafeDivision d = safe_division(e, chosen);
    const char *whole = call_2(e, "Sub", d.x, call_2(e, "Mod", d.x, d.divisor));
    return call_3(e, "Where", d.is_zero, d.zero, call_2(e, "Div", whole, d.divisor));
}

/* fmod is exact, but takes the sign of x; where that is not the sign of y, y is added. */
const char *write_modulo(Export *e, const Chosen *chosen) {
    const char *x = operand_value(e, chosen, "x"), *y = operand_value(e, chosen, "y");
    OnnxCall *call = call_begin(e, "Mod");
    call_input(call, x), call_input(call, y);
    call_int(call, "fmod", 1);
    const char *rest = call_end(call),
               *apart = call_2(e, "Less", call_2(e, "Mul", call_1(e, "Sign", rest), call_1(e, "Sign", y)),
                               value_of_number(e, 0, chosen->node->shape.type));
    return call_3(e, "Where", apart, call_2(e, "Add", rest, y), rest);
}

const char *write_floor_division(Export *e, const Chosen *chosen) {
    const char *x = operand_value(e, chosen, "x"), *rest = write_modulo(e, chosen);
    return call_1(e, "Round", call_2(e, "Div", call_2(e, "Sub", x, rest), operand_value(e, chosen, "y")));
}
