/* Composed operators: the expressions of their rows in ops.def, and their reference
 * function, which is that of the verbs in them. codegen/elementwise.c generates code from
 * the same expressions. */
#include "graph/ops.h"

/* ---- the expressions ---- */

#define X (&(const Term){.kind = TERM_OPERAND, .operand = 0})
#define Y (&(const Term){.kind = TERM_OPERAND, .operand = 1})
#define NUMBER(value) (&(const Term){.kind = TERM_NUMBER, .number = (value)})

/* A wrong number of operands makes an array of -1 elements, which does not compile. */
#define CALL(name, ...) \
    (&(const Term){     \
        .kind = TERM_VERB, .verb = (Op)(OP_##name * TAKES(name, __VA_ARGS__)), .operands = {__VA_ARGS__}})
#define TAKES(name, ...) sizeof(char[COUNT_OF(((const Term *[]){__VA_ARGS__})) == OPERANDS_##name ? 1 : -1])
enum {
#define OP(...)
#define COMPOSED(...)
#define VERB(name, inputs, ...) OPERANDS_##name = (inputs),
#include "graph/ops.def"
#undef OP
};

static const Term *const expressions[OP_COUNT] = {
#define OP(...)
#define VERB(...)
#define COMPOSED(name, inputs, cost, shape_rule, gradient_rule, expression, ...) [OP_##name] = expression,
#include "graph/ops.def"
#undef OP
};

const Term *op_expression(Op op) { return expressions[op]; }

DType term_type(const Term *term, DType type) {
    if (term->kind != TERM_VERB) return type;
    const OpInfo *info = &op_info[term->verb];
    if (info->shape == shape_compare || info->shape == shape_logic) return DTYPE_BOOL;
    return term_type(term->operands[term->verb == OP_select], type);
}

/* ---- reference ---- */

enum { BLOCK = 256 }; /* elements at a time, on the stack */

static void term_values(const Term *term, const RefCall *call, int64_t first, int64_t count, Number *out);

static void verb_term_values(const Term *term, const RefCall *call, int64_t first, int64_t count,
                             Number *out) {
    Number values[3][BLOCK];
    const Number *inputs[3] = {values[0], values[1], values[2]};
    DType type = call->input_shapes[0].type;
    RefShape shapes[3], shape = {.type = term_type(term, type), .count = count};
    for (int i = 0; i < op_info[term->verb].max_inputs; i++) {
        term_values(term->operands[i], call, first, count, values[i]);
        shapes[i] = (RefShape){.type = term_type(term->operands[i], type), .count = count};
    }
    verb_values(term->verb, &(RefCall){.inputs = inputs, .input_shapes = shapes, .out = out, .shape = shape});
    for (int64_t i = 0; i < count && !dtype_is_float(shape.type); i++)
        out[i] = number_rounded(out[i], shape.type);
}

static void term_values(const Term *term, const RefCall *call, int64_t first, int64_t count, Number *out) {
    if (term->kind == TERM_VERB) {
        verb_term_values(term, call, first, count, out);
        return;
    }
    Number number = number_cast((Number){.real = term->number}, DTYPE_F32, call->input_shapes[0].type);
    for (int64_t i = 0; i < count; i++)
        out[i] = term->kind == TERM_NUMBER ? number : call->inputs[term->operand][first + i];
}

static void composed_part(const RefCall *part) {
    for (int64_t first = 0; first < part->shape.count; first += BLOCK) {
        int64_t rest = part->shape.count - first;
        term_values(op_expression(part->node->op), part, first, rest < BLOCK ? rest : BLOCK,
                    part->out + first);
    }
}

void ref_composed(const RefCall *call) { ref_in_parts(call, composed_part); }
