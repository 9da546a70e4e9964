/* From a graph to an ONNX file. The graph is taken as the elaborator leaves it, so that
 * layers, weights and the pieces of library blocks are still what the text has. Each row
 * of operators.def is a pattern of operators and what ONNX has for it; nodes choose their
 * rows from the results back to the inputs, then what was chosen is written in the order
 * of the graph. */
#ifndef CAI_EXPORT_H
#define CAI_EXPORT_H

#include "base/diag.h"
#include "graph/graph.h"

enum { LEAST_OPSET = 17, USUAL_OPSET = 21, LATEST_OPSET = 24 };

typedef struct ExportOptions {
    const char *path;
    int opset;
    bool external; /* weights go beside the file, as they always do beyond 2 GB */
    RefSource weights;
} ExportOptions;

/* Writes the model. What ONNX has nothing for is reported, all of it, and nothing is
 * written. */
bool export_onnx(Diagnostics *diag, const Graph *graph, const ExportOptions *options);

/* ---- what the parts share ---- */

enum { MAX_BINDINGS = 16, MAX_MATCHED = 48 };

typedef struct Export Export;
typedef struct Chosen Chosen;
typedef struct ExportRow ExportRow;

typedef struct Binding { /* a name of a pattern */
    const char *name;
    size_t length;
    Node *node; /* as the graph has it: of `$w` before broadcasts and axes of size 1 are taken off */
    Node *root; /* what is left without them; else the node itself */
    enum { BOUND_NODE, BOUND_WEIGHT, BOUND_NUMBER, BOUND_INNER } kind; /* x, $w, #n, d:(..) */
    double number;                                                     /* #n */
    Dim size; /* of #n where that is a size; else NULL */
} Binding;

struct Chosen { /* a row, and what its names stand for */
    const ExportRow *row;
    Node *node;
    Binding bindings[MAX_BINDINGS];
    int count;
};

/* Writes the nodes of ONNX; gives the value that is the result, or NULL after
 * export_refuse. */
typedef const char *ExportWriter(Export *e, const Chosen *chosen);
/* calls export_need for each node whose value the writer reads */
typedef void ExportNeeds(Export *e, const Chosen *chosen);
/* whether the pattern is what it seems to be: axes, sizes, numbers */
typedef bool ExportTest(Export *e, const Chosen *chosen);

/* A row of operators.def. */
struct ExportRow {
    const char *pattern;
    enum { OF_ANY, OF_FLOATS, OF_INTS } types; /* of the result */
    int opset;                                 /* from which on the row holds */
    ExportTest *test;                          /* or NULL */
    ExportNeeds *needs;
    ExportWriter *write; /* NULL where there is nothing */
    const char *formula; /* of formula_write; else NULL */
    const char *never;   /* why there is nothing; else NULL */
};
extern const ExportRow export_rows[];
extern const int export_row_count;

typedef struct Refusal {
    const Node *node;
    const char *why;
} Refusal;

struct Onnx__NodeProto;
typedef struct OnnxFile OnnxFile; /* file.c: what is to be written */

struct Export {
    Arena *arena;
    Diagnostics *diag;
    const Graph *graph;
    const ExportOptions *options;
    NodeSources sources;
    int *uses; /* by node: by how many inputs of nodes that count, and outputs */
    bool *needed;
    Chosen **chosen;     /* by node; NULL: within another's pattern, or not needed */
    const char **values; /* by node: ONNX's value, NULL: not written yet */
    Map *known;          /* values of sizes (by Dim), of symbols, and of constants (by name) */
    Names *names;
    Map *taken;       /* names in use */
    const Node *here; /* whose nodes are written: they are named after its layer */
    OnnxFile *file;
    Vec(Refusal) refused;
};

/* The node has nothing in ONNX; gives NULL. */
const char *export_refuse(Export *e, const Node *node, const char *format, ...) PRINTF_LIKE(3, 4);
void export_need(Export *e, const Node *node);
const char *export_name(Export *e, const char *wanted); /* itself, or with a number where it is taken */
bool export_is_folded(Export *e, const Node *node);     /* of constants alone, and small */

/* ---- match.c ---- */

/* Whether the graph behind `node` has the row's pattern, which only the pattern uses. */
bool export_match(Export *e, const ExportRow *row, Node *node, Chosen *chosen);
const Binding *bound(const Chosen *chosen, const char *name); /* which the pattern has */
Node *without_broadcast(Node *node);                          /* nor the axes that are added before it */

/* ---- formula.c ---- */

ExportNeeds formula_needs;
ExportWriter formula_write;

/* ---- value.c: values of ONNX ---- */

const char *value_of(Export *e, Node *node);                       /* of just the node's shape */
const char *value_of_splat(Export *e, const Node *splat);          /* its number, of rank 0 */
const char *value_of_number(Export *e, double number, DType type); /* of rank 0 */
const char *value_of_ints(Export *e, const int64_t *ints, int count);
const char *value_of_size(Export *e, Dim size);                     /* i64[1] */
const char *value_of_sizes(Export *e, const Dim *sizes, int count); /* i64[count] */
const char *scalar_of_size(Export *e, Dim size);                    /* i64[] */
/* Whether `$w` is a number for each place along `axis` of the result; and these, [C]. */
bool binding_is_along(const Binding *binding, int axis);
const char *value_along(Export *e, const Binding *binding, int axis);
const char *value_filled(Export *e, double number, DType type, Dim count); /* [count] */
/* `x`, whose shape is `from`, in the shape `to` of as many elements */
const char *value_reshaped(Export *e, const char *x, Shape from, Shape to);

/* ---- call.c: a node of ONNX ---- */

typedef struct OnnxCall OnnxCall;
OnnxCall *call_begin(Export *e, const char *op);
void call_input(OnnxCall *call, const char *value); /* NULL: none, of an optional one */
void call_int(OnnxCall *call, const char *name, int64_t value);
void call_real(OnnxCall *call, const char *name, double value);
void call_text(OnnxCall *call, const char *name, const char *value);
void call_ints(OnnxCall *call, const char *name, const int64_t *values, int count);
const char *call_end(OnnxCall *call);
void call_end_all(OnnxCall *call, int count, const char **results);
const char *call_1(Export *e, const char *op, const char *x);
const char *call_2(Export *e, const char *op, const char *x, const char *y);
const char *call_3(Export *e, const char *op, const char *x, const char *y, const char *z);
const char *call_cast(Export *e, const char *x, DType type);
const char *call_transpose(Export *e, const char *x, IntList order);
/* an operator of reductions: its axes are an input from `since` on, an attribute
 * before */
const char *call_reduce(Export *e, const char *op, int since, const char *x, IntList axes, bool keep);

/* ---- file.c: what is written, and its protobuf ---- */

int onnx_type_of(DType type);
OnnxFile *onnx_file_new(Export *e);
void onnx_file_node(OnnxFile *file, struct Onnx__NodeProto *node);
void onnx_file_tensor(OnnxFile *file, const char *name, Node *node); /* a weight, or of constants */
void onnx_file_numbers(OnnxFile *file, const char *name, DType type, int rank, const int64_t *dims,
                       const Number *numbers);
void onnx_file_input(OnnxFile *file, const Port *port);
void onnx_file_output(OnnxFile *file, const Port *port, const char *value);
bool onnx_file_write(OnnxFile *file);

/* ---- ports.c: what a model says of itself ---- */

/* what is expected, or what it means */
const char *port_doc(Arena *arena, const Graph *graph, const Port *port);
const char *checks_doc(Arena *arena, const Graph *graph); /* what must hold of sizes, a line each; or NULL */

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
