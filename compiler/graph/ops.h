/* What the op_*.c files share: the functions that ops.def declares, and helpers of shape
 * rules and reference functions. */
#ifndef CAI_OPS_H
#define CAI_OPS_H

#include "graph/graph.h"

#define OP(op, inputs, attributes, class, cost, flops_rule, shape_rule, gradient_rule, reference_rule, ...) \
    Dim flops_##flops_rule(Dims *, const Node *);                                                           \
    bool shape_##shape_rule(Graph *, Op, Node *const *, int, const void *, Shape *, ShapeError *);          \
    Node *grad_##gradient_rule(Graph *, Node *, int, Node *);                                               \
    void ref_##reference_rule(const RefCall *);
#include "graph/ops.def"
#undef OP

/* ---- ops.c ---- */

/* Fills *error and returns false. input and axis: the operand to blame and its axis, or
 * -1. */
bool shape_error(Graph *graph, ShapeError *error, int input, int axis, const char *format, ...)
    PRINTF_LIKE(5, 6);
/* Whether x, the first input, has that axis. */
bool check_axis(Graph *graph, Op op, Shape x, int64_t axis, ShapeError *error);
const char *size_text(Graph *graph, Dim size); /* for messages */
Dim *copy_dims(Graph *graph, Shape shape);     /* a copy of the shape's sizes, to be changed */
bool same_name(Name a, const char *b);
/* Whether `axis` is one of the list. */
bool has_axis(IntList axes, int64_t axis);

/* ---- op_elementwise.c ---- */

/* Applies a verb to elements; of the call, all but the node is read. */
void verb_values(Op verb, const RefCall *call);
/* Computes an elementwise result in parts by the layouts of its operands: `compute` gets
 * calls whose operands are contiguous. */
void ref_in_parts(const RefCall *call, void (*compute)(const RefCall *part));

/* ---- attributes.c: what the rows of ops.def say about an operator's struct, applied to one ---- */

uint64_t attributes_hash(Op op, const void *attributes);
bool attributes_equal(Op op, const void *a, const void *b);
const void *attributes_copy(Arena *arena, Op op, const void *attributes);
void attributes_print(Text *out, const Node *node); /* " stride=[2, 2] groups=1" */
/* The first attribute of that kind: the type and sizes of a source. */
const void *attributes_first(Op op, const void *attributes, AttrKind kind);

/* ---- op_order.c ---- */

/* The order of elements: a NaN is above all numbers, NaNs are equals, and so are both
 * zeros. Kernels implement it in codegen/elementwise.c (emit_above) and, as sort keys, in
 * kernels/order/order.c. */
bool ref_above(Number a, Number b, bool real);

/* A line of a tensor: all elements along one axis, at one index on every other axis.
 * Element i of a line is at begin + i * inner. */
typedef struct RefLine {
    int64_t size, inner; /* elements, and how far apart they lie */
} RefLine;
RefLine ref_line_along(const RefShape *shape, int64_t axis);
int64_t ref_line_begin(RefLine line, int64_t number);

/* ---- op_matmul.c ---- */

/* whether a product can read its matrices in place */
bool ref_matrix_lies(const RefShape *shape, const RefLayout *layout);

/* ---- reference.c ---- */

void ref_clear(const RefCall *call); /* zeros, for functions that accumulate in their result */

/* ---- product.c ---- */

typedef struct Product { /* c [rows, columns] += a [rows, depth] b [depth, columns] */
    RefProduct by;
    int64_t rows, columns, depth;
    RefMatrix a, b;
    double *c;
    int64_t c_row;
} Product;
void product_run(Product p); /* by all cores */
/* For several products of one size that run together: their pieces, one an iteration. */
int64_t product_pieces(const Product *p);
int64_t product_piece_work(const Product *p); /* for parallel_for */
void product_piece(Product p, int64_t number);

/* ---- layout.c ---- */

RefLayout layout_plain(const RefShape *shape); /* row-major */
bool layout_is_plain(const RefShape *shape, const RefLayout *layout);
/* whether the last axis is contiguous or of size 1 */
bool layout_has_rows(const RefShape *shape, const RefLayout *layout);
RefLayout ref_layout(const RefCall *call, int input);
/* The layout of the same elements in the same order as another shape; false where there
 * is none. */
bool layout_reshape(const RefShape *from, const RefLayout *in, const RefShape *to, RefLayout *out);

#define REF_MAX_OPERANDS 3

/* An index over all axes of a shape but the last, and its offset in tensors of several
 * layouts. Axes that are contiguous in all of them are merged, so that rows are long: a
 * bias over an image is read by channels, not by pixels. */
typedef struct RefWalk {
    int operands, rank;
    int64_t dims[REF_MAX_RANK], index[REF_MAX_RANK], rows, inner; /* all but the last axis'; its own length */
    /* step: the last axis' stride */
    struct { int64_t strides[REF_MAX_RANK], at, step; } of[REF_MAX_OPERANDS];
} RefWalk;

RefWalk walk_begin(const RefShape *shape, const RefLayout *layouts, int operands);
void walk_next(RefWalk *walk); /* row */
void walk_seek(RefWalk *walk, int64_t row);
void layout_copy(const RefShape *shape, const Number *from, const RefLayout *from_layout, Number *to,
                 const RefLayout *to_layout);
/* to row-major order */
void layout_read(const RefShape *shape, const Number *from, const RefLayout *layout, Number *out);

/* ---- op_movement.c ---- */

/* The result as a view of the input, for an operator that only moves elements: the first
 * element, and the layout of the others. NULL where they must be copied. */
const Number *ref_view(const RefCall *call, RefLayout *layout);
int64_t size_value(const RefCall *call, Dim size); /* its value in this run */

/* ---- what reference functions for every type do with elements: `real` tells how they are held ---- */

/* wraps */
static inline int64_t whole_sum(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static inline Number number_sum(Number a, Number b, bool real) {
    return real ? (Number){.real = a.real + b.real} : (Number){.whole = whole_sum(a.whole, b.whole)};
}

#endif
