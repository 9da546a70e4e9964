/* What the op_*.c files share: the functions that ops.def declares, and helpers of shape rules and reference functions. */
#ifndef CAI_OPS_H
#define CAI_OPS_H

#include "graph/graph.h"

#define OP(op, inputs, attributes, class, cost, flops_rule, shape_rule, gradient_rule, reference_rule, ...)                     \
    Dim flops_##flops_rule(Dims *, const Node *);                                                                               \
    bool shape_##shape_rule(Graph *, Op, Node *const *, int, const void *, Shape *, ShapeError *);                              \
    Node *grad_##gradient_rule(Graph *, Node *, int, Node *);                                                                   \
    void ref_##reference_rule(const RefCall *);
#include "graph/ops.def"
#undef OP

/* ---- ops.c ---- */

/* Fills *error and gives false. input and axis: the operand to blame and its axis, or -1. */
bool shape_error(Graph *graph, ShapeError *error, int input, int axis, const char *format, ...) PRINTF_LIKE(5, 6);
bool check_axis(Graph *graph, Op op, Shape x, int64_t axis, ShapeError *error); /* whether x, the first input, has it */
const char *size_text(Graph *graph, Dim size); /* for messages */
Dim *copy_dims(Graph *graph, Shape shape);     /* the shape's sizes, to be changed */
bool same_name(Name a, const char *b);
/* Whether `axis` is one of the list. */
bool has_axis(IntList axes, int64_t axis);

/* ---- op_elementwise.c ---- */

/* What a verb makes of elements: of a call, all but the node is read. */
void verb_values(Op verb, const RefCall *call);

/* ---- attributes.c: what the rows of ops.def say about an operator's struct, applied to one ---- */

uint64_t attributes_hash(Op op, const void *attributes);
bool attributes_equal(Op op, const void *a, const void *b);
const void *attributes_copy(Arena *arena, Op op, const void *attributes);
void attributes_print(Text *out, const Node *node); /* " stride=[2, 2] groups=1" */
/* The first attribute of that kind: the type and sizes of a source. */
const void *attributes_first(Op op, const void *attributes, AttrKind kind);

/* ---- op_order.c ---- */

/* The order of elements: a NaN is above all numbers, NaNs are equals, and so are both zeros. Kernels have it in codegen/elementwise.c
 * (emit_above) and, as sort keys, in kernels/order/order.c. */
bool ref_above(Number a, Number b, bool real);

/* A line of a tensor: all along one axis, at one place on each other. Element i of line `number` is at its begin + i * inner. */
typedef struct RefLine {
    int64_t size, inner; /* elements, and how far apart they lie */
} RefLine;
RefLine ref_line_along(const RefShape *shape, int64_t axis);
int64_t ref_line_begin(RefLine line, int64_t number);

/* ---- op_movement.c: walks over tensors without a division an element ---- */

#define REF_MAX_RANK 16

/* out[i] = in[offset + sum of index_i * stride]: the index runs over `shape` in row-major order. */
void ref_strided_read(Number *out, const Number *in, const RefShape *shape, const int64_t *strides, int64_t offset);
/* out[offset + sum of index_i * stride] += values[i]. */
void ref_strided_add(Number *out, const Number *values, const RefShape *shape, const int64_t *strides, int64_t offset);
/* Row-major strides of a shape. */
void ref_strides(const RefShape *shape, int64_t *strides);
int64_t size_value(const RefCall *call, Dim size); /* its value in this run */

/* ---- what reference functions for every type do with elements: `real` tells how they are held ---- */

static inline int64_t whole_sum(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); } /* wraps */
static inline Number number_sum(Number a, Number b, bool real) {
    return real ? (Number){.real = a.real + b.real} : (Number){.whole = whole_sum(a.whole, b.whole)};
}

#endif
