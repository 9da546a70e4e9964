/* ONNX in: a file of that format becomes a .cai file to read and keep, and a file of
 * weights beside it.
 *
 *   read.c       the file as graphs of our own: messages of onnx.proto, external data, any
 *                number type as plain bytes
 *   known.c      what is known while importing: shapes and small constants, sizes as formulas
 *                of the model's symbols
 *   line.c       statements of the model, each elaborated as soon as it is written, which
 *                gives the shape of what it makes
 *   operators.def, convert_*.c
 *                a row an operator, and the function that writes it
 *   found.c      rows whose number only a run knows
 *   recognise.c  what the library has a block for is written by its name
 *   picture.c    inputs that are pictures
 *   repeat.c     what repeats becomes a block
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
    const unsigned char *data; /* row major, little endian, perhaps not aligned */
} OnnxTensor;

typedef struct OnnxGraph OnnxGraph;

typedef struct OnnxAttribute {
    const char *name,
        *refers; /* refers: in a function's body, the function's attribute that it stands for; or NULL */
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
    const Name *inputs, *outputs; /* "" where one is omitted */
    const OnnxAttribute *attributes;
} OnnxNode;

typedef struct OnnxPort { /* an input or an output of the graph */
    Name name;
    int type; /* 0: not given, or no tensor */
    bool has_shape;
    int rank;
    const int64_t *dims;        /* -1 where there is a name, or nothing */
    const char *const *symbols; /* the names; NULL where there is none */
} OnnxPort;

struct OnnxGraph {
    const char *name;
    Vec(OnnxNode) nodes;
    Vec(OnnxTensor *) initializers;
    Vec(OnnxPort) inputs, outputs, values; /* values: what the file says about intermediate tensors */
};

typedef struct OnnxFunction {
    const char *name, *domain;
    int opset;
    int input_count, output_count, default_count;
    const Name *inputs, *outputs;
    const OnnxAttribute *defaults; /* its attributes that have one */
    Vec(OnnxNode) nodes;
} OnnxFunction;

typedef struct OnnxModel {
    const char *producer, *producer_version;
    int opset; /* of ONNX's own operators; 0: not given */
    OnnxGraph *graph;
    Vec(OnnxFunction) functions;
} OnnxModel;

/* Reads a model from bytes, which must outlive it; `path` is for messages and for finding
 * external data. NULL with a diagnostic. */
OnnxModel *onnx_read(Arena *arena, Names *names, Diagnostics *diag, const char *path,
                     const unsigned char *bytes, size_t count);

/* ---- known.c: what is known while importing ---- */

typedef struct Known { /* a small constant: `sizes` of ints and bools, which may depend on the model's
                          symbols; else `reals` */
    int type, rank;
    int64_t dims[16];
    int64_t count;
    Dim *sizes;
    double *reals;
    bool counts_found; /* made of how many rows were found: see found.c */
} Known;

enum { MAX_WRITTEN = 16 }; /* elements of a constant in the text; larger ones are weights */

bool onnx_type_is_float(int type);
bool known_is_symbolic(const Known *k); /* whether one of its elements depends on a size that is free */

/* ---- line.c: statements ---- */

typedef struct Line Line;
typedef Vec(Line *) LineList;
typedef struct Import Import;

typedef struct Wire {       /* a tensor of the ONNX graph */
    int type;               /* ONNX's type; where cai has no such type, a wider one holds it */
    const OnnxTensor *data; /* an initializer, or NULL */
    Known *known;           /* its elements, where they are few and known; or NULL: ask wire_known */
    Line *line;       /* the statement that makes it; NULL for inputs of the model, and for constants that no
                          statement made yet */
    Name name;        /* its name in the trial: v12; NULL for a constant */
    const char *hint; /* ONNX's name of it */
    /* the wire of the same elements in another ONNX type that cai holds in the same type;
     * or NULL */
    struct Wire *same;
    Shape shape;        /* of what has a name */
    const char *called; /* its name in the text, in the body that is being written */
    bool absent;        /* an input of a function that is left out */
    bool missing;       /* it depends on a node that could not be read: nothing more is reported about it */
} Wire;

typedef struct Operand { /* of a statement: a tensor, or a number as text */
    Wire *wire;
    const char *text;
} Operand;

typedef struct Setting {
    const char *key, *text;
} Setting; /* key NULL: by position */

typedef struct LineWeight { /* a weight of the layer, or the `param` itself where `name` is "" */
    const char *name;
    const OnnxTensor *tensor;
    int rank;
    int64_t dims[16];
    int order[16]; /* axis i of ours is axis order[i] of theirs, once theirs has the shape `from` */
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

typedef struct Block { /* what several parts of the model share */
    const char *name;
    Vec(BlockParameter) parameters;
    Vec(Wire *) inputs, results;
    Vec(Line *) lines; /* those of its first run, with parameters in their settings */
    const Line *first; /* that run */
} Block;

struct Line {
    Style style;
    const char *callee;
    Vec(Operand) inputs;
    Vec(Setting) settings;
    Vec(LineWeight) weights;
    Vec(Wire *) results; /* more than one: they are bound as a tuple */
    const OnnxNode *node;
    const char *hint;   /* a weight's or a node's name, from which its own may come */
    const char *label;  /* in the trial; then in the text */
    const Block *block; /* STYLE_STAGE: the block that it runs, or NULL */
    Vec(Line *) own;    /* the lines that it runs there: like block->lines, with the weights of this run */
    Vec(Line *) rounds; /* of a loop: its runs of one block, each on the result of the one before */
    bool within;        /* it is written within the statement that uses it */
};

typedef struct Unread {
    const OnnxNode *node;
    const char *why;
} Unread; /* what could not be read */

typedef struct AskedPicture { /* an input that --image names */
    const char *name;
    bool blue_first, levels; /* levels: from 0 to 255 in the file */
    bool found;
} AskedPicture;

typedef struct InputType { /* in the text: image[N, 3, H, W] */
    const char *element, *sizes;
} InputType;

struct Import {
    Arena *arena;
    Names *names;
    Diagnostics *diag;
    ElaborateOptions options; /* its defines fix free sizes */
    bool partial;
    const OnnxModel *model;
    int opset; /* of the nodes that are being read: a function has its own */
    Trial *trial;
    int multiple;      /* of which free heights and widths are multiples */
    const char *where; /* in the text: " where H % 32 == 0"; or "" */
    Dims *dims;
    LineList lines;
    Vec(Wire *) inputs, outputs;
    Vec(OnnxPort) input_ports, output_ports;
    Vec(InputType) types; /* of inputs */
    Vec(AskedPicture) asked;
    const char *remarks;     /* lines of the first comment; NULL for none */
    Map *found;              /* of a node of the trial: its rows, see found.c; or NULL */
    const Node *first_found; /* the first rows */
    Vec(Block *) blocks;     /* in their order in the text */
    Map *wires;              /* ONNX's name to Wire, of the graph that is being read */
    const OnnxNode *node;    /* that is being read */
    int count;               /* of names used in the trial */
    Vec(Unread) unread;
    /* with --partial: tensors that are inputs, since the nodes that make them cannot be
     * read */
    Vec(Name) cut;
    const char *why; /* the node could not be read: the reason */
    int depth;       /* of nested graphs and functions */
    int64_t steps;   /* nodes run so far */
};

/* The current node cannot be read: returns NULL, which a converter may return. The first
 * reason counts. */
Wire *cannot(Import *im, const char *format, ...) PRINTF_LIKE(2, 3);

Wire *wire_known(Import *im, int type, int rank, const int64_t *dims); /* with room for its elements */
/* its elements, or NULL where they are not known, or too many */
const Known *known_of(Import *im, Wire *wire);
bool wire_is_constant(const Wire *wire);
int wire_rank(Import *im, Wire *wire);
Dim wire_size(Import *im, Wire *wire, int axis);
bool wire_fixed(Import *im, Wire *wire, int axis, int64_t *size);
DType dtype_of(int onnx_type);

/* A line of the first comment, once. */
void add_remark(Import *im, const char *format, ...) PRINTF_LIKE(2, 3);

/* Statements. Their results have the type of the first operand unless set otherwise
 * (`typed`). Settings are text, split at commas. After cannot() all of them pass on
 * NULL. */
Wire *stage(Import *im, Wire *x, const char *callee, const char *settings, ...) PRINTF_LIKE(4, 5);
Wire *stage_of(Import *im, Wire *const *xs, int count, const char *callee, const char *settings, ...)
    PRINTF_LIKE(5, 6);
Wire *call(Import *im, const char *callee, Wire *const *xs, int count, const char *settings, ...)
    PRINTF_LIKE(5, 6);
/* The same for a block that returns several tensors, all of the first operand's type. */
void calls(Import *im, const char *callee, Wire *const *xs, int count, Wire **out, int out_count,
           const char *settings);
Operand operand_beside(Import *im, Wire *wire, Wire *other); /* a number beside `other`, where it is one */
Wire *infix(Import *im, const char *op, Wire *a, Wire *b);
Wire *infix_number(Import *im, const char *op, Wire *a, double b);
Wire *number_infix(Import *im, double a, const char *op, Wire *b);
Wire *infix_size(Import *im, const char *op, Wire *a, Dim b);
Wire *prefix(Import *im, const char *op, Wire *x);
Wire *indexed(Import *im, Wire *x, const char *places, ...) PRINTF_LIKE(3, 4);
bool materialize(Import *im,
                 Wire *wire); /* gives it a name in the trial: a constant gets a statement of its own, once */
Wire *wire_itself(Wire *wire);                /* not one that is the same in another type */
Wire *typed(Wire *wire, int type);            /* sets it; NULL passes */
Wire *cast_to(Import *im, Wire *x, int type); /* by a statement where cai's types differ */
Wire *reshaped(Import *im, Wire *x, const Dim *dims, int rank);
Wire *permuted(Import *im, Wire *x, const int *order);

/* A layer: begun, given weights, run. */
Line *layer_begin(Import *im, Wire *x, const char *callee, const char *settings, ...) PRINTF_LIKE(4, 5);
LineWeight *layer_weight(Import *im, Line *line, const char *name, Wire *data); /* in its own shape */
void weight_transposed(LineWeight *weight);
Wire *line_run(Import *im, Line *line, int type);
void lines_run(Import *im, Line *line, const int *types, int count, Wire **out);
bool is_weight(Import *im, Wire *wire, int rank); /* a constant of that rank whose elements are at hand */

const char *number_text(Arena *arena, double value, bool real);
const char *ints_text(Arena *arena, const int64_t *values,
                      int count); /* (1, 2) or, where all are equal and count is 2, 1 */
const char *tuple_text(Arena *arena, const int64_t *values, int count);
const char *dims_text(Arena *arena, const Dim *dims, int count); /* [N, 3, H/2] */
const char *onnx_shape_text(Import *im, Wire *wire);

/* ---- attributes.c ---- */

const OnnxAttribute *attribute(const Import *im, const char *name);
int64_t attribute_int(const Import *im, const char *name, int64_t fallback);
double attribute_real(const Import *im, const char *name, double fallback);
const char *attribute_string(const Import *im, const char *name, const char *fallback);
/* Stores `count` of them in `out`; false where there is no such attribute, or another
 * number of them. */
bool attribute_ints(const Import *im, const char *name, int count, int64_t *out);

/* ---- fold.c ---- */

const Known *known_sizes(
    Import *im, Wire *wire); /* known elements as sizes; NULL where they are none, or no whole numbers */

/* Evaluates a node of known inputs; false where its result cannot be known while
 * importing. */
bool fold_node(Import *im, Wire *const *inputs, int count, Wire **outputs);

/* ---- found.c: rows whose number only a run knows ---- */

/* rows along axis 0, of which `count` are there */
void found_begin(Import *im, const Wire *rows, Wire *count);
/* along which its rows lie; -1 where it has none */
int found_axis(Import *im, const Wire *wire);
/* False, and the current node is refused, where the wire is made of several rows. */
bool found_is_whole(Import *im, const Wire *wire);
/* False, and the current node is refused, where it reads how many rows there are. */
bool found_are_not_counted(Import *im, Wire *const *inputs, int count, Wire *const *outputs);
void add_found_outputs(Import *im); /* the numbers of rows that are results */

/* ---- operators.c ---- */

typedef void Convert(Import *im, Wire *const *inputs, int count, Wire **outputs);
typedef struct OperatorRow {
    const char *name;
    int since;        /* the first opset whose form of it is read */
    Convert *convert; /* NULL: can't be read */
    const char *as;   /* how it is written, or why it can't be */
} OperatorRow;
const OperatorRow *operator_find(const char *name);
void operators_document(FILE *out); /* the table of docs/onnx.md */

/* ---- convert.c: the model ---- */

bool is_reserved(Import *im, const char *name); /* a word of the language */
const char *identifier(Import *im, const char *name,
                       const char *otherwise); /* a name of ours similar to that one */
/* Converts all nodes that the outputs need; nodes that cannot be read are in im->unread.
 * False where the model cannot be imported at all, which is reported. */
bool import_graph(Import *im);

/* ---- order.c ---- */

void order_lines(Import *im); /* puts related lines together; drops lines without readers */

/* ---- recognise.c ---- */

void recognise(Import *im); /* pieces of library blocks become these */

/* ---- picture.c ---- */

bool read_asked_pictures(Import *im, const char *text); /* of --image; NULL for none */
AskedPicture *asked_picture(Import *im, const char *name);
/* The sizes of a port as those of an image; false with a diagnostic where it is none. */
bool picture_sizes(Import *im, const OnnxPort *port, const char *const *sizes, const char **out);
void begin_pictures(Import *im);     /* what the nodes read in the place of those asked for */
void find_pictures(Import *im);      /* those that the model normalizes */
const char *inputs_text(Import *im); /* x: f32[N, 8], photo: image[N, 3, H, W] */

/* ---- scalar.c ---- */

void move_scalars(Import *im); /* learnt numbers become weights */

/* ---- repeat.c ---- */

void find_repeats(
    Import *im); /* equal parts of im->lines become runs of blocks, and consecutive runs become loops */

/* ---- name.c ---- */

bool line_has_weights(const Line *line); /* its own, or those of the block that it runs */
const char *common_path(Arena *arena, const char *a,
                        const char *b);             /* the common prefix of two paths, in complete parts */
const char *scope_of(Import *im, const Line *line); /* the module of a line, by names; or NULL */
const char *round_label(Arena *arena, const char *label, int round); /* of a loop: i in its braces */
bool is_param(const Line *line);                                     /* a weight by itself */
void name_lines(Import *im); /* labels, from the names of weights and nodes */

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
    const char *images;         /* inputs that are pictures: photo:bgr,mask; or NULL */
} ImportOptions;
/* Reads an ONNX file's bytes and writes the text; false with diagnostics. */
bool import_onnx(Arena *arena, Names *names, Diagnostics *diag, const char *path, const unsigned char *bytes,
                 size_t count, const ImportOptions *options, Import *im, Written *out);

#endif
