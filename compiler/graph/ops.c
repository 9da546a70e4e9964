/* The table of operators, from ops.def, and what all shape rules share. */
#include "graph/ops.h"

/* A function for each operator rather than a table, since only within one can `Self` name
 * the row's struct. */
#define ATTR(attr_kind, field) {ATTR_##attr_kind, #field, offsetof(Self, field)},
#define NO_ATTRS
#define OP(op, inputs, row_attributes, ...)                                            \
    static const AttrInfo *attributes_##op(void) {                                     \
        typedef op##_attributes Self;                                                  \
        static const AttrInfo rows[] = {row_attributes{ATTR_INT, NULL, sizeof(Self)}}; \
        return rows;                                                                   \
    }
#include "graph/ops.def"
#undef OP
#undef ATTR
#undef NO_ATTRS

#define OP(op, inputs, row_attributes, op_class, op_cost, flops_rule, shape_rule, gradient_rule, \
           reference_rule, text, onnx_name)                                                      \
    [OP_##op] = {#op,                                                                            \
                 (inputs) < 0 ? 1 : (inputs),                                                    \
                 (inputs),                                                                       \
                 attributes_##op,                                                                \
                 sizeof(op##_attributes),                                                        \
                 op_class,                                                                       \
                 text,                                                                           \
                 onnx_name,                                                                      \
                 op_cost,                                                                        \
                 flops_##flops_rule,                                                             \
                 shape_##shape_rule,                                                             \
                 grad_##gradient_rule,                                                           \
                 ref_##reference_rule},
const OpInfo op_info[OP_COUNT] = {
#include "graph/ops.def"
};
#undef OP

Node *grad_none(Graph *graph, Node *node, int input, Node *dy) {
    (void)graph, (void)node, (void)input, (void)dy;
    return NULL;
}

bool op_is_differentiable(Op op) { return op_info[op].gradient != grad_none; }

bool shape_error(Graph *graph, ShapeError *error, int input, int axis, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    *error = (ShapeError){arena_vprintf(graph->arena, format, arguments), input, axis};
    va_end(arguments);
    return false;
}

bool check_axis(Graph *g, Op op, Shape x, int64_t axis, ShapeError *error) {
    if (axis >= 0 && axis < x.rank) return true;
    return shape_error(g, error, 0, -1, "%s along axis %lld of a tensor of %d axes, %s", op_info[op].name,
                       (long long)axis, x.rank, shape_string(g->arena, x));
}

const char *size_text(Graph *graph, Dim size) { return dim_string(graph->arena, size); }

Dim *copy_dims(Graph *graph, Shape shape) {
    return arena_copy(graph->arena, shape.dims, sizeof(Dim) * (size_t)shape.rank);
}

bool same_name(Name a, const char *b) { return strcmp(a, b) == 0; }

bool has_axis(IntList axes, int64_t axis) {
    for (int i = 0; i < axes.count; i++)
        if (axes.items[i] == axis) return true;
    return false;
}
