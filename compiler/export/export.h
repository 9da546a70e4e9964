/* ONNX export: writes a graph as an ONNX file. The graph is the one that the elaborator
 * made, before any pass, so that layers, weights and the operators of library blocks are
 * still as in the text. Each row of operators.def pairs a pattern of operators with what
 * ONNX has for it. Rows are chosen from the outputs back to the inputs; the chosen rows
 * are then written in the order of the graph. */
#ifndef CAI_EXPORT_H
#define CAI_EXPORT_H

#include "base/diag.h"
#include "graph/graph.h"

enum { LEAST_OPSET = 17, USUAL_OPSET = 21, LATEST_OPSET = 24 };

typedef struct ExportOptions {
    const char *path;
    int opset;
    bool external; /* put the weights into a file beside it, as is always done beyond 2 GB */
    RefSource weights;
} ExportOptions;

/* Writes the model. All operators that ONNX lacks are reported, and then nothing is
 * written. */
bool export_onnx(Diagnostics *diag, const Graph *graph, const ExportOptions *options);

/* ---- what the parts share ---- */

/* elements; what is larger, and no stored constant, is computed by nodes of the model */
enum { MAX_FOLDED = 1 << 16 };
enum { MAX_BINDINGS = 16, MAX_MATCHED = 48 };

typedef struct Export Export;
typedef struct Chosen Chosen;
typedef struct ExportRow ExportRow;

typedef struct Binding { /* a name in a pattern, and the node or number that it matched */
    const char *name;
    size_t length;
    Node *node; /* the node in the graph; for `$w`, with its broadcasts and axes of size 1 */
    Node *root; /* for `$w`, the node without these; else `node` */
    enum { BOUND_NODE, BOUND_WEIGHT, BOUND_NUMBER, BOUND_INNER } kind; /* x, $w, #n or @n, d:(..) */
    double number;                                                     /* #n, @n */
    Dim size;                                                          /* of @n if it is a size; else NULL */
} Binding;

struct Chosen { /* a matched row and its bindings */
    const ExportRow *row;
    Node *node;
    Binding bindings[MAX_BINDINGS];
    int count;
};

/* Writes ONNX nodes. Returns the value of the result, or NULL after export_refuse. */
typedef const char *ExportWriter(Export *e, const Chosen *chosen);
/* Calls export_need for each node whose value the writer reads. */
typedef void ExportNeeds(Export *e, const Chosen *chosen);
/* Checks what the pattern cannot express: axes, sizes, numbers. */
typedef bool ExportTest(Export *e, const Chosen *chosen);

/* A row of operators.def. */
struct ExportRow {
    const char *pattern;
    enum { OF_ANY, OF_FLOATS, OF_INTS } types; /* of the result */
    int opset;                                 /* the first opset for which the row is valid */
    ExportTest *test;                          /* or NULL */
    ExportNeeds *needs;
    ExportWriter *write; /* NULL if ONNX has nothing for the pattern */
    const char *formula; /* for formula_write; else NULL */
    const char *never;   /* the reason why ONNX has nothing; else NULL */
};
extern const ExportRow export_rows[];
extern const int export_row_count;

typedef struct Refusal {
    const Node *node;
    const char *why;
} Refusal;

struct Onnx__NodeProto;
struct Onnx__TensorProto;
typedef struct OnnxFile OnnxFile; /* file.c: the contents of the file */

struct Export {
    Arena *arena;
    Diagnostics *diag;
    const Graph *graph;
    const ExportOptions *options;
    NodeSources sources;
    int *uses; /* by node: how many inputs of nodes that an output depends on, and outputs, read it */
    bool *needed;
    Chosen **chosen;     /* by node; NULL: not needed, or an inner node of another's pattern */
    const char **values; /* by node: the ONNX value; NULL: not written yet */
    Map *known;          /* ONNX values of sizes (by Dim), of symbols, and of constants (by name) */
    Names *names;
    Map *taken;       /* names in use */
    const Node *here; /* the node that is being written: ONNX nodes are named after its layer */
    OnnxFile *file;
    Vec(Refusal) refused;
};

/* Records that ONNX has nothing for the node. Returns NULL. */
const char *export_refuse(Export *e, const Node *node, const char *format, ...) PRINTF_LIKE(3, 4);
void export_need(Export *e, const Node *node);
const char *export_name(Export *e, const char *wanted); /* `wanted`, with a number if it is taken */
/* Whether it is small, and depends on constants alone. As in the pass `fold`, iota is no
 * constant: the file computes it, and whoever reads the file folds it or not. */
bool export_is_folded(Export *e, const Node *node);

/* ---- match.c ---- */

/* Whether the row's pattern matches at `node`. Expensive inner nodes must have no reader
 * outside the pattern. */
bool export_match(Export *e, const ExportRow *row, Node *node, Chosen *chosen);
const Binding *bound(const Chosen *chosen, const char *name); /* NULL if the pattern has no such name */
/* the node behind broadcasts, and behind reshapes that only prepend axes of size 1 */
Node *without_broadcast(Node *node);

/* ---- formula.c ---- */

ExportNeeds formula_needs;
ExportWriter formula_write;

/* ---- value.c: values in ONNX ---- */

const char *value_of(Export *e, Node *node);                       /* with the node's own shape */
const char *value_of_splat(Export *e, const Node *splat);          /* its number, with rank 0 */
const char *value_of_number(Export *e, double number, DType type); /* with rank 0 */
const char *value_of_ints(Export *e, const int64_t *ints, int count);
const char *value_of_size(Export *e, Dim size);                     /* i64[1] */
const char *value_of_sizes(Export *e, const Dim *sizes, int count); /* i64[count] */
const char *scalar_of_size(Export *e, Dim size);                    /* i64[] */
/* Whether `$w` has one number for each index along `axis` of the result; value_along
 * returns these, [C]. */
bool binding_is_along(const Binding *binding, int axis);
const char *value_along(Export *e, const Binding *binding, int axis);
/* `count` times the number, [count] */
const char *value_filled(Export *e, double number, DType type, Dim count);
/* `x`, of shape `from`, reshaped to `to` */
const char *value_reshaped(Export *e, const char *x, Shape from, Shape to);

/* ---- call.c: a node in ONNX ---- */

typedef struct OnnxCall OnnxCall;
OnnxCall *call_begin(Export *e, const char *op);
void call_input(OnnxCall *call, const char *value); /* NULL: an optional input that is omitted */
void call_int(OnnxCall *call, const char *name, int64_t value);
void call_real(OnnxCall *call, const char *name, double value);
void call_text(OnnxCall *call, const char *name, const char *value);
void call_ints(OnnxCall *call, const char *name, const int64_t *values, int count);
void call_tensor(OnnxCall *call, const char *name, struct Onnx__TensorProto *value);
const char *call_end(OnnxCall *call);
void call_end_all(OnnxCall *call, int count, const char **results);
const char *call_1(Export *e, const char *op, const char *x);
const char *call_2(Export *e, const char *op, const char *x, const char *y);
const char *call_3(Export *e, const char *op, const char *x, const char *y, const char *z);
const char *call_cast(Export *e, const char *x, DType type);
const char *call_transpose(Export *e, const char *x, IntList order);
/* A reduction. Its axes are an input since opset `since`, and an attribute before. */
const char *call_reduce(Export *e, const char *op, int since, const char *x, IntList axes, bool keep);

/* ---- file.c: the contents of the file, and its protobuf ---- */

int onnx_type_of(DType type);
OnnxFile *onnx_file_new(Export *e);
void onnx_file_node(OnnxFile *file, struct Onnx__NodeProto *node);
void onnx_file_tensor(OnnxFile *file, const char *name, Node *node); /* a weight, or a folded node */
/* Of a Constant, with its elements. */
struct Onnx__TensorProto *onnx_file_constant(const OnnxFile *file, Node *node);
struct Onnx__TensorProto *onnx_file_numbers_proto(const OnnxFile *file, DType type, int rank,
                                                  const int64_t *dims, const Number *numbers);
void onnx_file_numbers(OnnxFile *file, const char *name, DType type, int rank, const int64_t *dims,
                       const Number *numbers);
void onnx_file_input(OnnxFile *file, const Port *port);
void onnx_file_output(OnnxFile *file, const Port *port, const char *value);
bool onnx_file_write(OnnxFile *file);

/* ---- ports.c: what a model says about itself ---- */

/* what an input expects, or what an output means */
const char *port_doc(Arena *arena, const Graph *graph, const Port *port);
const char *checks_doc(Arena *arena, const Graph *graph); /* the conditions on sizes, one a line; or NULL */

/* ---- writers and tests of operators.def: write_*.c ---- */

#define ROW(pattern, types, opset, test, result) test result
#define IF(test) ExportTest test;
#define ALWAYS
#define BY(writer) ExportWriter writer;
#define BY_READING(needs, writer) \
    ExportNeeds needs;            \
    ExportWriter writer;
#define AS(formula)
#define NEVER(why)
#include "export/operators.def"

#endif
