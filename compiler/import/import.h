/* ONNX in: a file of that format becomes a .cai file to read and keep, and a file of
 * weights beside it.
 *
 *   read.c       the file as graphs of our own: messages of onnx.proto, external data, any
 *                number type as plain bytes
 *   known.c      what is known while importing: shapes and small constants, sizes as formulas
 *                of the model's symbols
 *   group.c      nodes that cai wrote for one operator
 *   line.c       statements of the model, each elaborated as soon as it is written, which
 *                gives the shape of what it makes
 *   operators.def, convert_*.c
 *                a row an operator, and the function that writes it
 *   found.c, count.c
 *                rows whose number only a run knows, and that number
 *   recognise.c, patterns.def, recognise_attention.c
 *                what the library has a block for is written by its name
 *   turned.c     layers of maps that were turned for them stay with the maps as they are
 *   picture.c    inputs that are pictures
 *   shared.c     layers that run several times
 *   repeat.c, repeat_block.c, repeat_sizes.c
 *                what repeats becomes a block
 *   write.c      the text */
#ifndef CAI_IMPORT_H
#define CAI_IMPORT_H

#include "elaborate/elaborate.h"

/* ---- read.c: what is in the file ---- */

typedef enum OnnxType { /* numbers of TensorProto.DataType */
                        ONNX_FLOAT = 1,
                        ONNX_UINT8,
                        ONNX_INT8,
                        ONNX_UINT16,
                        ONNX_INT16,
                        ONNX_INT32,
                        ONNX_INT64,
                        ONNX_STRING,
                        ONNX_BOOL,
                        ONNX_FLOAT16,
                        ONNX_DOUBLE,
                        ONNX_UINT32,
                        ONNX_UINT64,
                        ONNX_COMPLEX64,
                        ONNX_COMPLEX128,
                        ONNX_BFLOAT16
} OnnxType;
int onnx_type_bytes(int type);        /* 0 where cai does not read the type */
const char *onnx_type_name(int type); /* "uint8" */

typedef struct OnnxTensor {
    const char *name;
    int type, rank;
    const int64_t *dims;
    int64_t count;
    const unsigned char *data; /* row-major, little-endian, and possibly unaligned */
} OnnxTensor;

typedef struct OnnxGraph OnnxGraph;

typedef struct OnnxAttribute {
    const char *name,
        *refers; /* in a function's body: the attribute of the function that it refers to; or NULL */
    int kind;    /* ATTRIBUTE_.. */
    float real;
    int64_t integer;
    const char *string;
    const OnnxTensor *tensor;
    const OnnxGraph *graph;
    int count;
    const float *reals;
    const int64_t *integers;
    const char *const *strings;
} OnnxAttribute;
enum {
    ATTRIBUTE_REAL = 1,
    ATTRIBUTE_INT,
    ATTRIBUTE_STRING,
    ATTRIBUTE_TENSOR,
    ATTRIBUTE_GRAPH,
    ATTRIBUTE_REALS,
    ATTRIBUTE_INTS,
    ATTRIBUTE_STRINGS
};

typedef struct OnnxNode {
    const char *name, *op, *domain; /* name may be "" */
    int input_count, output_count, attribute_count;
    const Name *inputs, *outputs; /* "" for an omitted one */
    const OnnxAttribute *attributes;
} OnnxNode;

typedef struct OnnxPort { /* an input or an output of the graph */
    Name name;
    int type; /* 0: not declared, or not a tensor */
    bool has_shape;
    int rank;
    const int64_t *dims;        /* -1 for a free or unknown size */
    const char *const *symbols; /* names of free sizes; NULL for those without one */
} OnnxPort;

struct OnnxGraph {
    const char *name;
    Vec(OnnxNode) nodes;
    Vec(OnnxTensor *) initializers;
    Vec(OnnxPort) inputs, outputs, values; /* values: declarations of intermediate tensors */
};

typedef struct OnnxFunction {
    const char *name, *domain;
    int opset;
    int input_count, output_count, default_count;
    const Name *inputs, *outputs;
    const OnnxAttribute *defaults; /* the attributes that have a default */
    Vec(OnnxNode) nodes;
} OnnxFunction;

typedef struct OnnxModel {
    const char *producer, *producer_version;
    const char *sizes; /* the conditions on sizes, one a line, as cai writes them; or "" */
    int opset;         /* of ONNX's own operators; 0: not declared */
    OnnxGraph *graph;
    Vec(OnnxFunction) functions;
} OnnxModel;

/* Reads a model from bytes, which must outlive it; `path` is for messages and for finding
 * external data. NULL with a diagnostic. */
OnnxModel *onnx_read(Arena *arena, Names *names, Diagnostics *diag, const char *path,
                     const unsigned char *bytes, size_t count);

/* ---- outputs.c ---- */

/* Makes the values of a list, `x,y`, the outputs of the graph, which it keeps where that
 * is NULL; false with a diagnostic. */
bool choose_outputs(Arena *arena, Names *names, Diagnostics *diag, OnnxGraph *graph, const char *list);

/* ---- known.c: values known while importing ---- */

/* a small constant. Ints and bools are in `sizes`, and may depend on the model's symbols;
 * floats are in `reals` */
typedef struct Known {
    int type, rank;
    int64_t dims[16];
    int64_t count;
    Dim *sizes;
    double *reals;
} Known;

enum { MAX_WRITTEN = 16 }; /* elements of a constant in the text; larger ones are weights */

bool onnx_type_is_float(int type);
bool known_is_symbolic(const Known *k); /* whether one of its elements depends on a size that is free */
bool known_is_filled(const Known *k);   /* whether all elements are equal */

/* ---- line.c: statements ---- */

typedef struct Line Line;
typedef Vec(Line *) LineList;
typedef struct Import Import;

typedef struct Wire Wire;

typedef struct Folded { /* how the file computes a constant from a range of numbers */
    const OnnxNode *node;
    int opset, depth; /* depth: of its inputs, and theirs */
    Wire *const *inputs;
} Folded;

struct Wire {               /* a tensor of the ONNX graph */
    int type;               /* ONNX's type; if cai lacks that type, a wider one holds the elements */
    const OnnxTensor *data; /* of an initializer or a Constant; or NULL */
    bool stated;            /* it is a Constant: a weight only where a layer takes it for one */
    /* its elements if they are few and already read; known_of reads those of an
     * initializer */
    Known *known;
    /* the statement that makes it; NULL for inputs of the model, and for constants that
     * have no statement yet */
    Line *line;
    Name name;            /* its name in the trial: v12; NULL for a constant */
    const char *hint;     /* its name in the ONNX file */
    const Folded *folded; /* or NULL */
    /* the wire with the same elements but another ONNX type, if cai holds both types in
     * one, or the one that computes a folded constant anew; or NULL */
    Wire *same;
    Shape shape;        /* set if it has a `name` */
    const char *called; /* its name in the text of the body that is being written */
    bool absent;        /* an optional input of a function that the call omits */
    bool missing;       /* it depends on a node that could not be read, which has been reported */
};

typedef struct Operand { /* of a statement: a tensor, or a number as text */
    Wire *wire;
    const char *text;
} Operand;

typedef struct Setting {
    const char *key, *text;
} Setting; /* key NULL: by position */

typedef struct LineWeight { /* a weight of the layer; where `name` is "", the `param` itself */
    const char *name;
    const OnnxTensor *tensor;
    int rank;
    int64_t dims[16];
    int order[16]; /* axis i of our tensor is axis order[i] of the ONNX tensor, reshaped to `from` */
    int64_t from[16];
    int from_rank;
    const Known *known; /* instead of `tensor` */
} LineWeight;

typedef enum Style {
    STYLE_STAGE, /* x -> conv(64, 3) */
    STYLE_CALL,  /* take_along(x, y, axis = 1) */
    STYLE_INFIX, /* x + y */
    STYLE_INDEX, /* x[:, 0:4] */
    STYLE_PREFIX /* not x */
} Style;

typedef struct BlockParameter {
    const char *name, *usual;
} BlockParameter; /* usual: its default, or NULL */

typedef struct Block { /* lines that several parts of the model share */
    const char *name;
    Vec(BlockParameter) parameters;
    Vec(Wire *) inputs, results;
    Vec(const char *) types; /* of each input, f32[N, C, H, W]; NULL where none is written */
    Vec(Line *) lines;       /* the lines of its first run, whose settings contain the parameters */
    const Line *first;       /* the first run */
} Block;

struct Line {
    Style style;
    const char *callee;
    Vec(Operand) inputs;
    Vec(Setting) settings;
    Vec(LineWeight) weights;
    Vec(Wire *) results; /* several are bound as a tuple */
    const OnnxNode *node;
    /* the name of a weight or a node in the file, from which the line's label may be
     * made */
    const char *hint;
    const char *label;  /* its label in the trial, later in the text */
    const Block *block; /* STYLE_STAGE: the block that it runs, or NULL */
    const Wire *layer;  /* STYLE_STAGE: the name of the layer that it runs, or NULL */
    Vec(Line *) own;    /* the lines of this run: like block->lines, but with weights of its own */
    Vec(Line *) rounds; /* of a loop: runs of one block, each on the result of the one before */
    bool within;        /* it is written within the statement that uses it */
};

typedef struct Unread {
    const OnnxNode *node;
    const char *why;
} Unread; /* a node that could not be read, and the reason */

typedef struct AskedPicture { /* an input that --image names */
    const char *name;
    bool blue_first, levels; /* levels: the file wants 0 to 255 */
    bool found;
} AskedPicture;

typedef struct InputType { /* in the text: image[N, 3, H, W] */
    const char *element, *sizes;
} InputType;

typedef struct FoundCount { /* how many rows were found */
    Wire *count;            /* i32[], which a run knows */
    const Node *node;       /* of it */
    Dim number, most;       /* as a size, which has a symbol of its own; and how many may be */
    int symbol;
} FoundCount;

struct Import {
    Arena *arena;
    Names *names;
    Diagnostics *diag;
    ElaborateOptions options; /* its defines fix free sizes */
    bool partial;
    const OnnxModel *model;
    int opset; /* of the nodes that are being read: functions have their own */
    Trial *trial;
    int multiple;      /* free heights and widths are multiples of it */
    const char *where; /* the condition for that in the text: " where H % 32 == 0"; or "" */
    Dims *dims;
    LineList lines;
    Vec(Wire *) inputs, outputs;
    Vec(OnnxPort) input_ports, output_ports;
    Vec(InputType) types; /* one for each input */
    Vec(AskedPicture) asked;
    const char *remarks; /* lines for the comment at the top of the text; NULL for none */
    /* of nodes of the trial: their rows, see found.c, and of those that are made of
     * them */
    Map *found, *found_behind;
    const Node *first_found; /* the first rows */
    Vec(FoundCount *) counts;
    Vec(Block *) blocks;  /* in their order in the text */
    Map *wires;           /* ONNX's name -> Wire, in the graph that is being read */
    Map *readers;         /* of a value of the model's graph: how many inputs of nodes, as intptr_t */
    const OnnxNode *node; /* the node that is being read */
    int count;            /* of names used in the trial */
    Vec(Unread) unread;
    /* with --partial: tensors that become inputs, since the nodes that make them cannot
     * be read */
    Vec(Name) cut;
    const char *why; /* the reason why the current node cannot be read; NULL: none so far */
    int depth;       /* of nested graphs and functions */
    int64_t steps;   /* nodes converted so far, which are limited */
};

/* Refuses the current node. Returns NULL, which a converter may return. Only the first
 * reason is kept. */
Wire *cannot(Import *im, const char *format, ...) PRINTF_LIKE(2, 3);

Wire *wire_known(Import *im, int type, int rank, const int64_t *dims); /* the caller fills in its elements */
/* its elements; NULL if they are unknown, or too many */
const Known *known_of(Import *im, Wire *wire);
/* Whether it is a constant all of whose elements are that number. */
bool is_filled_with(Import *im, Wire *wire, double value);
bool wire_is_constant(const Wire *wire);
int wire_rank(Import *im, Wire *wire);
Dim wire_size(Import *im, Wire *wire, int axis);
bool wire_fixed(Import *im, Wire *wire, int axis, int64_t *size);
DType dtype_of(int onnx_type);     /* in which the model computes: f32 for all floats */
DType stored_dtype(int onnx_type); /* of inputs, results and weights, which may be f16 and bf16 */

/* A line of the first comment, once. */
void add_remark(Import *im, const char *format, ...) PRINTF_LIKE(2, 3);

/* Statements. Their results have the type of the first operand unless `typed` sets
 * another. Settings are text, split at commas. Once cannot() was called, all of these
 * return NULL. */
Wire *stage(Import *im, Wire *x, const char *callee, const char *settings, ...) PRINTF_LIKE(4, 5);
Wire *stage_of(Import *im, Wire *const *xs, int count, const char *callee, const char *settings, ...)
    PRINTF_LIKE(5, 6);
Wire *call(Import *im, const char *callee, Wire *const *xs, int count, const char *settings, ...)
    PRINTF_LIKE(5, 6);
/* The same for a block that returns several tensors, all with the type of the first
 * operand. */
void calls(Import *im, const char *callee, Wire *const *xs, int count, Wire **out, int out_count,
           const char *settings);
Operand operand_beside(Import *im, Wire *wire, Wire *other); /* a number beside `other`, where it is one */
Wire *infix_operands(Import *im, const char *op, Operand a, Operand b, int type);
Wire *infix(Import *im, const char *op, Wire *a, Wire *b);
Wire *infix_number(Import *im, const char *op, Wire *a, double b);
Wire *number_infix(Import *im, double a, const char *op, Wire *b);
Wire *infix_size(Import *im, const char *op, Wire *a, Dim b);
Wire *prefix(Import *im, const char *op, Wire *x);
Wire *indexed(Import *im, Wire *x, const char *places, ...) PRINTF_LIKE(3, 4);
bool materialize(Import *im,
                 /* gives it a name in the trial; a constant gets one statement, the first
                  * time */
                 Wire *wire);
Wire *wire_itself(Wire *wire);                /* the wire that `same` leads to */
Wire *typed(Wire *wire, int type);            /* sets the ONNX type; NULL is passed on */
Wire *cast_to(Import *im, Wire *x, int type); /* writes a cast only if the types differ in cai */
Wire *widened(Import *im, Wire *x);           /* an input of f16 or bf16 as f32; others as they are */
/* A float rounded to that type, if it is f16 or bf16, as a result of the model is. */
Wire *rounded_as_stored(Import *im, Wire *x, int type);
Wire *reshaped(Import *im, Wire *x, const Dim *dims, int rank);
Wire *permuted(Import *im, Wire *x, const int *order);

/* A layer: begin it, give it weights, run it. */
Line *layer_begin(Import *im, Wire *x, const char *callee, const char *settings, ...) PRINTF_LIKE(4, 5);
LineWeight *layer_weight(Import *im, Line *line, const char *name, Wire *data); /* in the shape that it has */
void weight_transposed(LineWeight *weight);
Wire *line_run(Import *im, Line *line, int type);
void lines_run(Import *im, Line *line, const int *types, int count, Wire **out);
/* The weight [out, in] that is turned to [in, out] before a product; or NULL. */
Wire *turned_weight(Import *im, Wire *wire);
/* whether it is a constant of that rank whose elements can be read now */
bool is_weight(Import *im, Wire *wire, int rank);

const char *number_text(Arena *arena, double value, bool real);
const char *ints_text(Arena *arena, const int64_t *values,
                      int count); /* "(1, 2)"; where count is 2 and both are equal, "1" */
const char *tuple_text(Arena *arena, const int64_t *values, int count);
const char *dims_text(Arena *arena, const Dim *dims, int count); /* [N, 3, H/2] */
const char *onnx_shape_text(Import *im, Wire *wire);

/* ---- attributes.c ---- */

const OnnxAttribute *attribute(const Import *im, const char *name);
int64_t attribute_int(const Import *im, const char *name, int64_t fallback);
double attribute_real(const Import *im, const char *name, double fallback);
const char *attribute_string(const Import *im, const char *name, const char *fallback);
/* Stores the attribute's `count` elements in `out`; false if there is no such attribute,
 * or it has another length. */
bool attribute_ints(const Import *im, const char *name, int count, int64_t *out);

/* ---- fold.c ---- */

const Known *known_sizes(Import *im,
                         Wire *wire); /* known elements as sizes; NULL if they are unknown or not integers */

/* Evaluates a node whose inputs are known; false if its result cannot be known while
 * importing. */
bool fold_node(Import *im, Wire *const *inputs, int count, Wire **outputs);

/* ---- found.c: rows whose number only a run knows ---- */

/* rows along an axis, of which `count` are there, an i32[] */
void found_begin(Import *im, Wire *rows, int axis, Wire *count);
/* a row for each of some places that were found */
void found_beside(Import *im, const Wire *wire, const Wire *places);
/* along which its rows lie; -1 where it has none */
int found_axis(Import *im, const Wire *wire);
bool found_are_places(Import *im, const Wire *wire); /* whether it has places that were found, only moved */
/* False, and the current node is refused, where the wire is made of several rows. */
bool found_is_whole(Import *im, const Wire *wire);
Dim found_size(Import *im, Wire *wire, int axis); /* the number of its rows as a size, see count.c */
/* False, and the current node is refused, where it has only some of the rows. */
bool found_are_all(Import *im, Wire *wire);
/* x with a number in place of the rows that are not there: all others may be read
 * together. */
Wire *found_filled(Import *im, Wire *x, const char *number);
/* x as rows of which only the first `count` are there. */
Wire *found_first(Import *im, Wire *x, int axis, Wire *count);
/* x reshaped so that each of its rows becomes `times` rows, along an axis of the
 * result. */
Wire *found_multiplied(Import *im, Wire *x, const Dim *dims, int rank, int axis, Dim times);
/* Rows where a condition holds, and none where it does not. */
Wire *found_where(Import *im, Wire *condition, Wire *x);
Wire *found_flags(Import *im, Wire *x, int axis); /* bool[size]: which of its rows are there */
void found_cut(Import *im, Wire *wire);           /* it has the first of the rows, which may be fewer */
void add_found_outputs(Import *im);               /* the numbers of rows that are results */

/* ---- count.c: how many rows there are ---- */

const FoundCount *found_count(Import *im, Wire *count, Dim most);
/* The most that a count may be, as far as it is known how it is computed; else NULL. */
Dim found_most(Import *im, const Wire *count);
/* The wire itself, or what it is made of computed from the counts of a run. */
Wire *found_value(Import *im, Wire *wire);
Wire *found_counted(const Import *im, Dim size); /* the count that it is, or NULL */
bool found_is_count(const Import *im, Dim size); /* whether it is made of counts */
Dim found_at_most(Import *im, Dim size);         /* it with as many rows as may be */
/* Makes of inputs that are made of counts what the current node can read; `shape`: the
 * one that is the shape of its result, or NULL. False after a refusal. */
bool found_sizes(Import *im, Wire **inputs, int count, const Known **shape);
/* A result that has as many rows as a shape says. */
Wire *found_in_shape(Import *im, Wire *x, const Known *shape);

/* ---- operators.c ---- */

typedef void Convert(Import *im, Wire *const *inputs, int count, Wire **outputs);
typedef struct OperatorRow {
    const char *domain, *name;
    int since;        /* the first opset whose form of the operator is read; 0: any */
    Convert *convert; /* NULL: the operator can't be read */
    const char *as;   /* what is written for it, or why it can't be read */
} OperatorRow;
const OperatorRow *operator_find(const OnnxNode *node);
void operators_document(FILE *out); /* prints the table of docs/onnx.md */

/* ---- convert.c: the model ---- */

bool is_reserved(Import *im, const char *name); /* a word of the language */
const char *identifier(Import *im, const char *name,
                       const char *otherwise); /* an identifier of the language similar to `name` */
/* Converts all nodes that the outputs need; those that cannot be read are listed in
 * im->unread. False after an error that makes the import impossible. */
bool import_graph(Import *im);
extern const OnnxNode no_node; /* of lines that no node of the file asks for */

/* ---- group.c ---- */

void group_nodes(Import *im); /* makes one node of those that cai wrote for one operator */

/* ---- order.c ---- */

void order_lines(Import *im); /* puts related lines together; drops lines without readers */

/* ---- recognise.c ---- */

void recognise(Import *im); /* replaces groups of operators by blocks of the library */

/* ---- turned.c ---- */

void write_maps_in_place(Import *im); /* layers of maps whose channels are last between two permutations */

/* ---- picture.c ---- */

bool read_asked_pictures(Import *im, const char *text); /* parses --image; text may be NULL */
AskedPicture *asked_picture(Import *im, const char *name);
/* The sizes of a port in the order of an image's; false with a diagnostic if it is no
 * picture. */
bool picture_sizes(Import *im, const OnnxPort *port, const char *const *sizes, const char **out);
void begin_pictures(Import *im);     /* converts asked-for pictures to what the nodes of the file expect */
void find_pictures(Import *im);      /* finds pictures by their normalization */
const char *inputs_text(Import *im); /* x: f32[N, 8], photo: image[N, 3, H, W] */

/* ---- scalar.c ---- */

void move_scalars(Import *im); /* turns learned numbers into weights */

/* ---- shared.c ---- */

void bind_shared_layers(Import *im); /* a name for each layer that several stages run */

/* ---- repeat.c ---- */

void find_repeats(
    Import *im); /* turns equal parts of im->lines into runs of blocks, and consecutive runs into loops */

/* ---- name.c ---- */

/* The path of the layer: layer1.0.conv1 of layer1.0.conv1.weight; NULL where the name
 * says nothing of a layer. */
const char *without_kind(Arena *arena, const char *name);
bool line_has_weights(const Line *line); /* its own, or of the block that it runs */
const char *common_path(Arena *arena, const char *a,
                        /* the exporter's module that the line belongs to, by its names;
                         * or NULL */
                        const char *b);
const char *scope_of(Import *im, const Line *line); /* the label with `round` in place of {i} */
/* whether the line is a weight without a layer */
const char *round_label(Arena *arena, const char *label, int round);
bool is_param(const Line *line);
void name_lines(Import *im); /* gives layers their labels, from the names of weights and nodes */

/* ---- write.c: the text ---- */

typedef struct WeightEntry {
    const char *path;
    const LineWeight *weight;
    int type;
} WeightEntry;

typedef struct Written {
    const char *text; /* of the .cai file, formatted as by `cai fmt` */
    Vec(WeightEntry) weights;
} Written;

bool import_write(Import *im, const char *model, const char *comment, Written *out);
/* The file of weights. */
bool import_write_weights(Import *im, const Written *written, const char *path);

/* ---- import.c: all of it ---- */

typedef struct ImportOptions {
    const char *model; /* its name */
    bool partial;
    ElaborateOptions elaborate; /* its defines fix free sizes */
    const char *images;         /* the value of --image, such as photo:bgr,mask; or NULL */
    const char *outputs;        /* names of the values that become results; NULL: the file's own */
} ImportOptions;
/* Reads the bytes of an ONNX file and writes the text of a model; false with
 * diagnostics. */
bool import_onnx(Arena *arena, Names *names, Diagnostics *diag, const char *path, const unsigned char *bytes,
                 size_t count, const ImportOptions *options, Import *im, Written *out);

#endif
