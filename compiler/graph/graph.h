/* The graph: immutable tensor operations, hash-consed, with symbolic shapes. elaborate/
 * builds it, passes/ rewrite it, plan/ turns it into kernels. ops.def lists the
 * operators; every operator has its shape rule, its gradient and its reference function
 * in one op_*.c file. */
#ifndef CAI_GRAPH_H
#define CAI_GRAPH_H

#include "base/source.h"

/* ---- dim.c: sizes ----
 *
 * A size is a polynomial with integer coefficients over symbols and over floor divisions
 * by constants, in one canonical form and interned: two sizes are equal exactly when the
 * pointers are. Symbols are integers of at least 1. */

typedef const struct DimNode *Dim;
typedef struct Dims Dims; /* the table that interns them */

typedef struct Symbol {
    Name name;        /* the user's name: "H" */
    int64_t multiple; /* the user's size is multiple * this symbol: 16 after `where H % 16 == 0` */
    int index;        /* its place in the run's sizes */
    int64_t typical;  /* the value that cost models use, in units of the symbol */
} Symbol;

Dims *dims_new(Arena *arena);
int dims_symbol_count(const Dims *dims);
Symbol *dims_symbol(const Dims *dims, int index);
Dim dim_symbol(Dims *dims, Name name, int64_t multiple); /* a new symbol; gives multiple * symbol */
Dim dim_const(Dims *dims, int64_t value);
Dim dim_add(Dims *dims, Dim a, Dim b);
Dim dim_sub(Dims *dims, Dim a, Dim b);
Dim dim_mul(Dims *dims, Dim a, Dim b);
Dim dim_scale(Dims *dims, Dim a, int64_t factor);
Dim dim_offset(Dims *dims, Dim a, int64_t addend);
/* divisor > 0; floor(floor(a/b)/c) = floor(a/bc), floor((d*p+r)/d) = p + floor(r/d) */
Dim dim_floor_div(Dims *dims, Dim a, int64_t divisor);
Dim dim_ceil_div(Dims *dims, Dim a, int64_t divisor);
Dim dim_div_exact(Dims *dims, Dim a, Dim b); /* NULL where a/b is not a polynomial again */
bool dim_is_const(Dim a, int64_t *value);    /* value may be NULL */
int64_t dim_const_value(Dim a);              /* only of constants */
bool dim_is_zero(Dim a);
bool dim_is_one(Dim a);
/* Bounds for all symbol values >= 1; INT64_MIN/MAX where unbounded. */
bool dim_bounds(Dim a, int64_t *low, int64_t *high);
/* Whether it is one number for all values of the symbols, H/2 + (H + 1)/2 - H, too. */
bool dim_is_fixed(Dim a, int64_t *value);
/* symbols NULL: at typical sizes; false on overflow */
bool dim_evaluate(Dim a, const int64_t *symbols, int64_t *value);
int64_t dim_typical(const Dims *dims, Dim a); /* its value at the symbols' typical sizes */
Dim dim_substitute(Dims *dims, Dim a, int symbol, Dim by);
bool dim_mentions(Dim a, int symbol);
void dim_print(Text *out, Dim a); /* in the user's words: H/2, never 8h */
const char *dim_string(Arena *arena, Dim a);

/* The canonical form, for code that turns sizes into instructions: a sum of terms, a term
 * a coefficient times factors. */
typedef struct DimFactor { /* a symbol, or floor(dividend / divisor) */
    const Symbol *symbol;  /* NULL for a floor division */
    Dim dividend;
    int64_t divisor;
} DimFactor;
typedef struct DimTerm {
    int64_t coefficient;
    int factor_count;
    const DimFactor *factors; /* a square stands twice */
} DimTerm;
struct DimNode {
    int term_count; /* the constant term, if any, is the last and has no factors; 0 terms is zero */
    const DimTerm *terms;
    int id;
};

/* ---- shape.c: types and shapes ---- */

typedef enum DType { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8, DTYPE_I32, DTYPE_I64, DTYPE_BOOL } DType;
const char *dtype_name(DType type); /* "f32" */
int dtype_bytes(DType type);
bool dtype_is_float(DType type);
/* in which products of the type are added up, and as which they are multiplied */
DType dtype_sum(DType type);

typedef struct Shape {
    DType type;
    int rank;
    const Dim *dims;
} Shape;

bool shape_equal(Shape a, Shape b);
bool shape_dims_equal(Shape a, Shape b);
void shape_print(Text *out, Shape shape); /* f32[N, 64, H/2, W/2] */
const char *shape_string(Arena *arena, Shape shape);
bool shape_element_count(Shape shape, int64_t *count); /* false where a size is symbolic */
Dim shape_elements(Dims *dims, Shape shape);

/* ---- where a node comes from ---- */

typedef struct Origin {
    Span span;
    const char *path;          /* layers that made it: "layer1.0.conv1"; "" at the top of a model */
    const struct Origin *next; /* other places that made the same node */
} Origin;

/* ---- ops.c: operators, and nodes made of them ---- */

typedef enum Op {
#define OP(name, ...) OP_##name,
#include "graph/ops.def"
#undef OP
    OP_COUNT
} Op;

/* How the elements of an operator's result depend on those of its inputs. Fusion,
 * planning and the docs use it. */
typedef enum OpClass {
    CLASS_SOURCE,      /* no tensor inputs */
    CLASS_ELEMENTWISE, /* all inputs have the result's sizes; element i depends on elements i */
    CLASS_MOVEMENT,    /* elements are moved, none computed */
    CLASS_REDUCTION,
    CLASS_CONTRACTION, /* convolutions and matrix products */
    CLASS_WINDOW,      /* pools, resampling */
    CLASS_ORDER,       /* sorting and the like: an element depends on the order of all elements of its row */
    CLASS_SCATTER
} OpClass;

typedef enum AttrKind {
    ATTR_INT,    /* int64_t */
    ATTR_REAL,   /* double */
    ATTR_BOOL,   /* bool */
    ATTR_NAME,   /* Name (interned) */
    ATTR_TYPE,   /* DType */
    ATTR_INTS,   /* IntList */
    ATTR_DIMS,   /* DimList */
    ATTR_NUMBER, /* Number, of the type of the first input */
    ATTR_DATA    /* const Data *, of the type of the node */
} AttrKind;

typedef struct IntList { int count; const int64_t *items; } IntList;
typedef struct DimList { int count; const Dim *items; } DimList;

/* ---- number.c: elements by type ---- */

/* An element while compiling: `real` of a float type, f32 held in double, `whole` of an
 * int or bool. */
typedef union Number { double real; int64_t whole; } Number;

/* Casts by the table in docs/language.md. f32 is held in double, but a cast from an int
 * rounds, as in the table. */
Number number_cast(Number value, DType from, DType to);
/* The result of an operator, as a number of its type: ints wrap, f32 stays double. */
Number number_rounded(Number value, DType type);
bool number_fits(int64_t value, DType type);   /* whether it is one of that type of ints */
Number number_least(DType type);               /* minus infinity, or the least int */
double number_value(Number value, DType type); /* as a double; i64 beyond 2^53 is rounded */
void number_print(Text *out, Number value, DType type);
/* Stores numbers, `step` from one to the next, as elements of the type, `stride` from one
 * to the next. */
void numbers_store(DType type, const Number *from, int64_t step, int64_t count, void *to, int64_t stride);

/* A constant's elements. */
typedef struct Data {
    int64_t count; /* 1 splats one value over the whole shape */
    const Number *values;
} Data;

/* The C types of the attribute kinds, for the structs that ops.def generates. */
#define ATTR_C_INT int64_t
#define ATTR_C_REAL double
#define ATTR_C_BOOL bool
#define ATTR_C_NAME Name
#define ATTR_C_TYPE DType
#define ATTR_C_INTS IntList
#define ATTR_C_DIMS DimList
#define ATTR_C_NUMBER Number
#define ATTR_C_DATA const Data *

/* One struct an operator: `typedef struct convolution_attributes { IntList stride; ... }
 * convolution_attributes;` */
#define ATTR(kind, name) ATTR_C_##kind name;
#define NO_ATTRS char none;
#define OP(name, inputs, attributes, ...) typedef struct name##_attributes { attributes } name##_attributes;
#include "graph/ops.def"
#undef OP
#undef ATTR
#undef NO_ATTRS

typedef struct Node Node;
struct Node {
    Op op;
    int id; /* dense in its graph: side tables are arrays of graph->nodes.count */
    int input_count;
    Node *const *inputs;
    const void *attributes; /* of the operator's struct; ATTRIBUTES(node, convolution)->stride */
    Shape shape;
    const Origin *origin; /* never NULL */
};
#define ATTRIBUTES(node, op_name) \
    ((const op_name##_attributes *)(CHECK((node)->op == OP_##op_name), (node)->attributes))

typedef struct Graph Graph;
typedef struct RefCall RefCall;

typedef struct AttrInfo {
    AttrKind kind;
    const char *name;
    size_t offset;
} AttrInfo;

/* The message of a shape rule that refuses its inputs; the elaborator turns it into a
 * diagnostic. */
typedef struct ShapeError {
    char *text; /* "convolution needs 64 channels a group, its input has 48" */
    int input;  /* the operand to blame, or -1 */
    int axis;   /* ... and the axis in which it differs, or -1 */
} ShapeError;

typedef struct OpInfo {
    const char *name;
    int min_inputs, max_inputs;          /* max -1: any number */
    const AttrInfo *(*attributes)(void); /* the row's attributes, ended by one without a name */
    size_t attribute_bytes;
    OpClass class;
    const char *formula, *onnx; /* for docs; onnx "" where ONNX has no such operator */
    /* about how many vector instructions it takes within an expression */
    int cost;
    Dim (*flops)(Dims *dims, const Node *node);
    /* The result's shape, or false with *error filled. */
    bool (*shape)(Graph *graph, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                  ShapeError *error);
    /* d(loss)/d(inputs[input]) given dy = d(loss)/d(node), built of other nodes; NULL: no
     * gradient flows that way. */
    Node *(*gradient)(Graph *graph, Node *node, int input, Node *dy);
    /* Computes `out` (row major) from the values of the inputs. In `shapes` symbolic
     * sizes are resolved. */
    void (*reference)(const RefCall *call);
} OpInfo;

extern const OpInfo op_info[OP_COUNT];
bool op_is_differentiable(Op op);

/* ---- flops.c ---- */

Dim node_flops(Dims *dims, const Node *node); /* a multiply-add counts as two, movement as nothing */

/* ---- composed.c: operators that are expressions over others ---- */

typedef enum TermKind { TERM_OPERAND, TERM_NUMBER, TERM_VERB } TermKind;
typedef struct Term Term;
struct Term {
    TermKind kind;
    int operand; /* TERM_OPERAND: which of the operator's */
    /* TERM_NUMBER: of the type of the operator's operands; a small integer where that is
     * an int */
    double number;
    Op verb;                 /* TERM_VERB */
    const Term *operands[3]; /* ... and what it is applied to */
};

const Term *op_expression(Op op); /* NULL of an operator that is not composed */
/* the type of the term where the operands of the operator are of `type` */
DType term_type(const Term *term, DType type);

/* The arguments of a reference function, with concrete sizes. */
#define REF_MAX_RANK 16
typedef struct RefShape { DType type; int rank; int64_t dims[REF_MAX_RANK]; int64_t count; } RefShape;

/* Element (i, j, ..) is i * strides[0] + j * strides[1] + .. after the first. */
typedef struct RefLayout { int64_t strides[REF_MAX_RANK]; } RefLayout;

/* How the sums of products of convolutions and matrix products are computed: c [rows,
 * columns] += a [rows, depth] b [depth, columns]. */
/* how far rows and columns lie apart: one of them 1 */
typedef struct RefMatrix { const double *at; int64_t row, column; } RefMatrix;
typedef void (*RefProduct)(int64_t rows, int64_t columns, int64_t depth, RefMatrix a, RefMatrix b, double *c,
                           int64_t c_row);

struct RefCall {
    const Node *node;
    const int64_t *symbols;      /* values of the graph's symbols, for dim_evaluate on attributes */
    const Number *const *inputs; /* contractions read `&inputs[i]->real`: they take floats alone */
    const RefShape *input_shapes;
    Number *out;
    RefShape shape;
    uint64_t seed;
    RefProduct product;       /* NULL: by plain loops */
    const RefLayout *layouts; /* of the inputs; NULL: row-major */
};

/* ---- graph.c ---- */

typedef enum PortForm { FORM_TENSOR, FORM_IMAGE, FORM_LABELS, FORM_BOXES, FORM_NAMES, FORM_TEXT } PortForm;
typedef enum Fit { FIT_EXACT, FIT_CROP, FIT_STRETCH, FIT_PAD, FIT_LETTERBOX } Fit;

typedef struct Port { /* an input or an output of the model */
    Name name;
    Node *node;
    PortForm form;
    Fit fit;
    int top;                   /* FORM_LABELS */
    const char *const *labels; /* FORM_LABELS, FORM_BOXES, FORM_TEXT: one a class, or NULL */
    int label_count;
    int of;      /* FORM_BOXES, FORM_NAMES: the input that it tells of */
    float score; /* FORM_BOXES: rows of less are none, nor is one of 0 */
    Span span;
} Port;

/* A condition that only a run can decide: left REL right must hold, or the program stops
 * with `message`. */
/* left == right, left >= right, left % right == 0 */
typedef enum CheckKind { CHECK_EQUAL, CHECK_AT_LEAST, CHECK_DIVISIBLE } CheckKind;
typedef struct Check {
    CheckKind kind;
    Dim left, right;
    const char *message; /* complete, with place: "unet.cai:7:10: H must be at least 16" */
} Check;

struct Graph {
    Arena *arena;
    Names *names;
    Dims *dims;
    Name model;          /* its name */
    const char *comment; /* the comment above the model, for --help; or NULL */
    Vec(Node *) nodes;   /* by id; inputs stand before their users */
    Vec(Port) inputs, outputs;
    Vec(Check) checks;
    /* the values of parameters and states, for passes that ask for them; NULL: not known
     * yet */
    const struct RefSource *weights;
    Map *check_index; /* of the first `indexed_checks`: their conditions (require.c) */
    int indexed_checks;
    struct Interned *interned; /* graph.c's table for hash-consing */
    const Origin *here;        /* the origin of new nodes: the elaborator and passes set it, see graph_at */
    bool adding_checks;        /* within graph_try: what a shape rule cannot prove becomes a check */
};

Graph *graph_new(Arena *arena, Names *names, Dims *dims);
/* A new empty graph with the same arena, tables, symbols and signature (ports without
 * nodes), for a pass to fill. */
Graph *graph_like(const Graph *graph);
/* Sets the origin of the nodes made from now on and returns the old one. */
const Origin *graph_at(Graph *graph, const Origin *origin);
const Origin *origin_new(Graph *graph, Span span, const char *path);

/* Makes a node, or finds the equal one. `attributes` is copied, with all it points to;
 * names in it are interned in graph->names. An operator without attributes takes NULL.
 * Shapes are checked: graph_make stops with an internal error where the rule refuses
 * (passes and gradients build correct graphs); graph_try gives NULL and *error (for the
 * elaborator). */
Node *graph_make(Graph *graph, Op op, Node *const *inputs, int count, const void *attributes);
Node *graph_try(Graph *graph, Op op, Node *const *inputs, int count, const void *attributes,
                ShapeError *error);
/* Leaves a condition to the run, with a complete message; an equal condition keeps its
 * first message. */
void graph_check(Graph *graph, CheckKind kind, Dim left, Dim right, const char *message);
/* Demands left REL right. True where that is proved, or where only a run can tell and
 * graph_try is running: then the check is added to graph->checks with the place of
 * graph->here. False, with *error filled from the format, where it can never hold. */
bool graph_require(Graph *graph, CheckKind kind, Dim left, Dim right, ShapeError *error, const char *format,
                   ...) PRINTF_LIKE(6, 7);
/* Copies a node onto new inputs (a pass's default for nodes it does not change); the node
 * is of this graph or of one of the same arena. */
Node *graph_copy(Graph *graph, const Node *node, Node *const *inputs);

/* ---- build.c: the constructors for gradients and passes ---- */

Node *build_scalar(Graph *g, double value, DType type); /* rank 0 */
/* A constant of that shape; a small integer where the type is an int. */
Node *build_splat(Graph *g, double value, Shape shape);
/* a count of 1 is a splat */
Node *build_constant(Graph *g, const Number *values, int64_t count, Shape shape);
Node *build_unary(Graph *g, Op op, Node *x);
/* equal shapes, or broadcast by PyTorch's rule */
Node *build_binary(Graph *g, Op op, Node *a, Node *b);
Node *build_select(Graph *g, Node *condition, Node *a, Node *b);
Node *build_broadcast(Graph *g, Node *x, int rank, const Dim *dims);
Node *build_reshape(Graph *g, Node *x, int rank, const Dim *dims);
Node *build_transpose(Graph *g, Node *x, const int64_t *permutation);
/* step NULL: all 1 */
Node *build_slice(Graph *g, Node *x, const Dim *begin, const Dim *size, const int64_t *step);
/* a small integer where the type is an int */
Node *build_pad(Graph *g, Node *x, const Dim *before, const Dim *after, const char *mode, double value);
Node *build_concat(Graph *g, Node *const *parts, int count, int axis);
Node *build_sum(Graph *g, Node *x, const int64_t *axes, int axis_count); /* reduced axes stay with size 1 */
Node *build_sum_to(Graph *g, Node *x, Shape shape);                      /* the gradient of a broadcast */
Node *build_cast(Graph *g, Node *x, DType type);

/* ---- print.c ---- */
const char *port_type_text(Arena *arena, const Port *port); /* "image[N, 3, H, W]" */
/* one line a node: name, op, inputs, attributes, shape, path */
void graph_print(const Graph *graph, FILE *out);
void node_print(Text *out, const Node *node);
const char *op_attributes_text(Arena *arena, const OpInfo *info); /* "axes: ints"; "" where it has none */
void ops_document(FILE *out);                                     /* docs/operators.md, made from ops.def */

/* ---- constants.c, attributes.c: what the compiler knows of values ---- */

bool node_names_axis(const Node *node, int64_t axis); /* by its attribute `axis` or `axes` */
/* Whether a node is a constant of one value, and that value; an i64 may be rounded. */
bool node_is_splat(const Node *node, double *value);
/* The same constant with other sizes. */
Node *splat_in_shape(Graph *g, const Node *splat, int rank, const Dim *dims);
/* What a node depends on, directly or through others; 0: on constants alone. */
enum {
    MADE_OF_INPUTS = 1,  /* of the model */
    MADE_OF_WEIGHTS = 2, /* parameters and states */
    MADE_OF_RANDOM = 4,
    MADE_OF_SIZES = 8,      /* sizes, as numbers, that only a run knows */
    MADE_OF_PLACES = 16,    /* iota */
    MADE_IN_FREE_SIZES = 32 /* a shape or an attribute on the way has such a size */
};
/* by node id; begins as {0} and grows with the graph */
typedef struct NodeSources { Vec(unsigned char) of; } NodeSources;
unsigned node_sources(NodeSources *sources, const Graph *graph, const Node *node);
/* Whether a reshape only adds or drops axes of size 1 (so that coordinates carry over one
 * by one). */
bool reshape_is_trivial(const Node *node);
/* The sizes in attributes, too: a slice may begin at a symbolic place even where all
 * shapes are constant. */
bool node_sizes_are_known(const Node *node);
/* In its shape, or in a size that it is told: a part that it cuts, the number that it
 * gives. */
bool node_mentions(const Node *node, int symbol);
int64_t node_element_count(const Node *node); /* of a shape that is known */

/* ---- gradient.c: reverse accumulation ---- */

/* d(y)/d(x) for each of xs, y of rank 0; new nodes in the same graph. A node that y does
 * not depend on gets zeros. */
void graph_gradient(Graph *graph, Node *y, Node *const *xs, int count, Node **gradients);
/* The same, with NULL for a node that y does not depend on. */
void graph_gradient_of(Graph *graph, Node *y, Node *const *xs, int count, Node **gradients);

/* ---- op_conv.c ---- */
/* stride, dilation, before, size, groups: the attributes of the three convolutions */
typedef convolution_attributes Geometry;
const Geometry *geometry_of(const Node *node); /* only of convolutions */

/* ---- op_window.c ---- */
/* kernel, stride, dilation, before: the attributes of all five pools begin with these */
typedef max_pool_scatter_attributes Pooling;
const Pooling *pooling_of(const Node *node); /* only of pools */

/* ---- product.c ---- */
/* The same bits on every machine: for everything that goes into a program. */
void product_blocked(int64_t rows, int64_t columns, int64_t depth, RefMatrix a, RefMatrix b, double *c,
                     int64_t c_row);

/* ---- op_resize.c ---- */
double resample_cubic(double t, double a); /* Keys' cubic convolution: the weight at distance `t` */

/* ---- verify.c ---- */
/* Stops with an internal error that names `stage` where the graph is not well formed. */
void graph_verify(const Graph *graph, const char *stage);

/* ---- reference.c: any graph, floats in double precision ---- */

typedef struct RefTensor { RefShape shape; Number *values; } RefTensor;
/* where parameters and inputs come from; false: there is none, and the evaluation ends */
typedef struct RefSource {
    void *context;
    /* fills out->values, allocated by the evaluator */
    bool (*parameter)(void *context, const Node *node, RefTensor *out);
    bool (*input)(void *context, const Node *node, RefTensor *out);
    /* a bound of a parameter's magnitudes, for passes; NULL: from its values */
    double (*largest)(void *context, const Node *node);
    RefProduct product; /* NULL: plain loops, the measure of the others */
} RefSource;
/* Evaluates the wanted nodes; values are in `arena`. Intermediate values are freed after
 * their last use. */
bool reference_evaluate(const Graph *graph, Node *const *wanted, int count, const int64_t *symbols,
                        uint64_t seed, const RefSource *source, Arena *arena, RefTensor *results);

/* Rounds a tensor's values to its type; f32 stays in double. */
void reference_round(RefTensor *tensor);

#endif
