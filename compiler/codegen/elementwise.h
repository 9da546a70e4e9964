/* What elementwise.c and math.c share: the verbs of ops.def in code.
 *
 * A verb has a form for floats, one for ints and bools, or both, as its shape rule has
 * it. Each form is a function of the operands in registers, and a row in one of the two
 * files. */
#ifndef CAI_CODEGEN_ELEMENTWISE_H
#define CAI_CODEGEN_ELEMENTWISE_H

#include "codegen/codegen.h"

static inline int value_lanes(LLVMValueRef value) { return get_lanes(LLVMTypeOf(value)); }

#define VERB_FORM(name) LLVMValueRef name(Module *m, DType type, const LLVMValueRef *operands)

/* x, y: the operands; type: that of x. */
#define FORM_ROW(name, value)                          \
    VERB_FORM(name) {                                  \
        LLVMValueRef x = operands[0], y = operands[1]; \
        (void)m, (void)type, (void)x, (void)y;         \
        return value;                                  \
    }
#define REAL(verb, value) FORM_ROW(emit_real_##verb, value)
#define WHOLE(verb, value) FORM_ROW(emit_whole_##verb, value)
#define BOTH(verb, value) REAL(verb, value) WHOLE(verb, value)

/* The forms that follow from the shape rules. */
#define DECLARE_float(verb) VERB_FORM(emit_real_##verb);
#define DECLARE_logic(verb) VERB_FORM(emit_whole_##verb);
#define DECLARE_same(verb) DECLARE_float(verb) DECLARE_logic(verb)
#define DECLARE_compare(verb) DECLARE_same(verb)
#define DECLARE_select(verb) VERB_FORM(emit_any_##verb);
#define OP(...)
#define COMPOSED(...)
#define VERB(verb, inputs, cost, shape_rule, ...) DECLARE_##shape_rule(verb)
#include "graph/ops.def"
#undef OP
#undef DECLARE_float
#undef DECLARE_logic
#undef DECLARE_same
#undef DECLARE_compare
#undef DECLARE_select

#endif
