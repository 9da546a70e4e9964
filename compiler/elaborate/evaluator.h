/* What the files of elaborate/ share: values, frames, layers, and the evaluator that
 * walks the syntax tree.
 *
 * A block's body is evaluated by walking its tree. A tensor is a node of the graph that
 * is being built; every other value is held directly. After a mistake the value is
 * VALUE_ERROR, which every operation passes on silently. */
#ifndef CAI_EVALUATOR_H
#define CAI_EVALUATOR_H

#include "elaborate/elaborate.h"

typedef struct Unit Unit;
typedef struct Definition Definition;
typedef struct Layer Layer;
typedef struct Frame Frame;
typedef struct Weight Weight;
typedef struct List List;
typedef struct Builtin Builtin;
typedef struct TrainPass TrainPass;

/* ---- value.c: the values of names and expressions ---- */

typedef enum ValueKind {
    VALUE_ERROR,
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_REAL,
    VALUE_STRING,
    VALUE_DIM, /* a size that depends on symbols; a constant one is VALUE_INT */
    VALUE_LIST,
    VALUE_TUPLE,
    VALUE_BLOCK, /* a declared block or model: every use makes a layer */
    VALUE_LAYER,
    VALUE_PRIMITIVE, /* an operator of the graph, or a function of builtins.c */
    VALUE_MODULE,    /* a used file, as in `unet.level` */
    /* made by `param` or `state`; a place: reading its name gives the tensor that it
     * holds then */
    VALUE_WEIGHT,
    VALUE_TENSOR
} ValueKind;

typedef struct Value {
    ValueKind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        Name string;
        Dim dim;
        const List *list;
        Definition *block;
        Layer *layer;
        const Builtin *builtin;
        const Unit *module;
        Weight *weight;
        Node *node;
    };
} Value;

struct List { /* immutable */
    int count;
    Value *items;
    Name *names;   /* NULL where no item has one */
    int64_t total; /* counts items of items: lists may share parts, and be larger than memory */
};

extern const Value value_error, value_none;
Value value_bool(bool truth);
Value value_int(int64_t integer);
Value value_real(double real);
double value_as_real(Value v); /* of an int or a real */
Value value_string(Name string);
Value value_dim(Dim dim); /* VALUE_INT where it is constant */
Value value_node(Node *node);
Value value_list(Arena *arena, ValueKind kind, const Value *items, const Name *names, int count);
bool value_is_number(Value v);
bool value_is_sequence(Value v);
bool value_equal(Value a, Value b);
const char *value_kind_name(Value v);              /* with its article: "an int", "a tensor" */
void value_print(Text *out, Value v);              /* as in a string with braces */
const char *value_describe(Arena *arena, Value v); /* for messages: "f32[N, 3, 8, 8]", "\"same\"", "3" */

/* ---- library.c: files and their names ---- */

struct Definition { /* a name at the top of a file */
    Decl *decl;
    Unit *unit;
    bool evaluating; /* detects a constant that depends on itself */
};

struct Unit { /* a file, parsed */
    Library *library;
    File *file;
    Name name; /* "unet" for unet.cai */
    Map *definitions;
    Vec(Unit *) uses;
};

struct Library {
    Arena *arena;
    Names *names;
    Diagnostics *diag;
    ElaborateOptions options;
    Unit *main, *prelude;
    Vec(Unit *) units;
    Vec(Definition *) models, trains;
    Map *unknown;  /* names that names.c has reported */
    Map *reported; /* code and place of reported errors, since models share blocks */
    bool broken;   /* the text has errors, which elaborating it would only repeat */
};

typedef struct Found { /* what a name at file level means */
    Definition *definition;
    const Unit *module;
    const Unit *also; /* a second used file with the same name: it needs `unet.level` */
} Found;
Found library_find(const Unit *unit, Name name);
typedef Vec(const char *) NameList;
/* Candidates for a misspelt name in a file; and for a member of a file that is used. */
NameList library_candidates(const Unit *unit, Arena *arena);
NameList library_members(const Unit *used, Arena *arena);
/* The library file, without .cai, that has a block of this name which is not known
 * everywhere; or NULL. */
const char *library_file_with(Library *library, Name name);

/* ---- aliases.c: names that other frameworks have ---- */

const char *alias_of_lists(const char *name); /* help for a method of lists, or NULL */
/* the known name that is meant by it, or NULL */
const char *alias_parameter(const char *name, const char *const *known, int count);

/* ---- names.c ---- */

void check_names(Library *library, const Unit *unit);

/* ---- the evaluator ---- */

typedef struct Binding {
    Name name;
    Value value;
    Span span;
} Binding;
typedef Vec(Binding) Bindings;
Bindings bindings_with_room(Arena *arena, int count); /* most lists are short, and there are very many */

typedef struct NameClaim { /* of a child's name */
    Span span;
    int64_t next; /* the next suffix to try for children of the same name */
} NameClaim;

struct Frame { /* one run of a body, or of a pair of braces */
    Frame *caller;
    const Unit *unit;
    Layer *layer; /* the layer whose body runs; it has a path */
    Span call;    /* where it was called; nowhere for a model */
    /* the path of nodes made here: for a helper function of the library, that of its
     * caller */
    const char *origin;
    const Expr *operand;    /* the expression before the arrow, for labels; may be NULL */
    const Bindings *inputs; /* what was run through the layer, for labels */
    Bindings names;
    /* where names are many: name to its place in `names`, plus 1, for the first `indexed`
     * of them */
    Map *index;
    int indexed;
    Frame *body;     /* the frame that owns the names of children: this one, or the one around it */
    Map *claims;     /* name of a child made in this run -> NameClaim; NULL until there is one */
    bool positional; /* braces: children are numbered */
    int position;
    int ordinal; /* of the next random stream */
    /* how often the layer ran before in this graph: in training each run draws numbers of
     * its own */
    int round;
    const Layer *running; /* the layer that runs, where it has no path of its own too */
    bool stopped;         /* in training: weights read here are constants to gradients */
    bool frozen;          /* in training: it is within a layer none of whose weights is trained */
    bool returned;
    Span returned_at; /* the place of the returned expression */
    Value result;
};

typedef enum LayerKind { LAYER_BLOCK, LAYER_BRACES, LAYER_PRIMITIVE, LAYER_ROOT } LayerKind;
struct Layer {
    LayerKind kind;
    Definition *block;
    const Builtin *builtin;
    const Expr *braces;
    const Unit *unit;      /* LAYER_BRACES: where its names are looked up */
    Bindings bound;        /* the arguments it was made with; LAYER_BRACES: the names around it */
    const Bindings *given; /* the arguments of the call that made it */
    Layer *parent;
    /* layers and weights named below it, by path, for E.layer4; of equal paths the first;
     * NULL: none */
    Map *parts;
    Vec(const char *) part_names; /* some of them, for suggestions */
    const char *path;             /* NULL until it is first bound or run */
    const char *identity;         /* the path with '/' between layers: a label may hold dots */
    bool bare;                    /* `_: stage`: its path is that of its parent, where its parts are named */
    bool called;                  /* it was made and run by one call, `softmax(x, axis = 1)` */
    bool has_run;
    bool stopped;     /* `stop(E)`: its weights are constants to gradients */
    bool kept;        /* an optimizer that runs: its states are the training's own, and no model's */
    bool in_phase;    /* an optimizer that was made within a phase */
    bool twice;       /* another layer of this run has the same path */
    Span made, first; /* `first`: the other one */
};

struct Weight {
    const char *path; /* NULL until it is named */
    const char *identity;
    Shape shape;
    double init, within; /* drawn at random within that of 0; 0: within what its fan-in says */
    bool state;
    Span span;
    Node *node;
    Weight *place; /* the first that was made with this path, which holds the value of all */
    /* In training: */
    Node *value;      /* of a place, as it stands */
    Vec(Node *) read; /* all values that it had: what a gradient is taken by */
    Node *given;      /* what `param(init = tensor)` or `state(init = layer)` starts as */
    Node *start;      /* its value before anything changes it: its port, or the given one */
    int index;        /* among the training's states */
};

/* a call in the user's text that made a tensor: shape errors walk back along these */
typedef struct Made {
    Span span;
    int input_count;
    Node **inputs;
} Made;

typedef struct Entry { /* a layer's run, for LayerInfo */
    LayerInfo info;
    int parent;
    bool shown; /* in Model.layers */
    bool drawn; /* in Model.runs */
} Entry;

typedef struct Setting { /* a hyperparameter of the model */
    Name name;
    Value value, fallback; /* fallback: an error where it has none */
} Setting;

typedef struct Evaluator {
    Library *library;
    Arena *arena;
    Names *names;
    Diagnostics *diag;
    Graph *graph;
    Dims *dims;
    Model *model;
    Frame *frame;
    Layer *root;
    Map *weights;   /* interned path to Weight */
    Map *constants; /* Definition to Value */
    Map *made;      /* Node to Made */
    NodeSources sources;
    Vec(Entry) entries;
    int entry;                      /* the running layer's, or -1 */
    Vec(const Stmt *) expectations; /* the model's `expect`s */
    Vec(Setting) settings;
    const char *stack;
    int depth;
    int64_t rounds, cells;
    int errors;       /* reported while this model was elaborated */
    bool stopped;     /* a limit was reached: nothing more is evaluated */
    TrainPass *train; /* NULL: a model is elaborated */
} Evaluator;

typedef struct Arguments { /* the evaluated arguments of a call, with spreads expanded */
    Bindings given;
    bool failed;   /* one of them was an error: report nothing more about this call */
    bool by_arrow; /* a tuple's names then bind parameters only where all of them are parameters */
    int behind;    /* how many of the last ones were in parentheses after the arrow */
} Arguments;

/* ---- model.c ---- */

void evaluator_begin(Evaluator *ev, Library *library, Definition *definition); /* with nothing bound yet */

/* ---- report.c: mistakes, reported once and at a place in the user's text ---- */

/* NULL where the same mistake was reported before; the functions below accept NULL. */
Diagnostic *report(Evaluator *ev, DiagCode code, Span span, const char *format, ...) PRINTF_LIKE(4, 5);
/* for the user's text only */
Diagnostic *report_warning(Evaluator *ev, DiagCode code, Span span, const char *text, const char *help);
void report_note(Evaluator *ev, Diagnostic *d, Span span, const char *format, ...) PRINTF_LIKE(4, 5);
void report_help(Evaluator *ev, Diagnostic *d, const char *format, ...) PRINTF_LIKE(3, 4);
void report_label(Evaluator *ev, Diagnostic *d, Span span, const char *format, ...) PRINTF_LIKE(4, 5);
void report_suggestion(Evaluator *ev, Diagnostic *d, const char *wrong, const char *const *candidates,
                       int count);
/* Adds carets, with shapes, under what was run through the user's call that is
 * running. */
void report_operands(Evaluator *ev, Diagnostic *d);
/* the source text of an operand of that call, or NULL */
const char *operand_text(Evaluator *ev, const Node *node);
/* the place itself, or in the library the user's call that led to it */
Span user_span(const Evaluator *ev, Span span);
const char *span_text(Arena *arena, Span span);  /* the source text on one line, shortened */
const char *place_text(Arena *arena, Span span); /* "unet.cai:7:10" */
/* Ends the evaluation with one error, which shows the calls that led here. */
Value stop_evaluation(Evaluator *ev, DiagCode code, Span span, const char *format, ...) PRINTF_LIKE(4, 5);
/* Counts one more iteration or call; false where a limit was reached. */
bool spend(Evaluator *ev, Span span, int64_t cells);
/* the list, or the end of the evaluation where it is too large */
Value bounded_list(Evaluator *ev, Value list, Span span);

/* ---- provenance.c: where two sizes parted ---- */

void provenance_remember(Evaluator *ev, Value result, Span span, const Bindings *inputs);
/* Adds notes for the places where the axis of a and of b got its size; true where one of
 * them lost rows. */
bool provenance_explain(Evaluator *ev, Diagnostic *d, Node *a, int axis_a, const char *name_a, Node *b,
                        int axis_b, const char *name_b);

/* ---- eval.c ---- */

Value evaluate(Evaluator *ev, const Expr *expr);
Value *frame_find(Evaluator *ev, Frame *frame, Name name);
void frame_bind(Evaluator *ev, Frame *frame, Name name, Value value, Span span);
bool evaluate_int(Evaluator *ev, const Expr *expr, const char *what, int64_t *out);
/* Sets *out to true or false. Returns false after an error, reported here or before. */
bool evaluate_condition(Evaluator *ev, const Expr *expr, bool *out);
Name evaluate_string(Evaluator *ev, const Expr *expr); /* NULL after an error */

/* The value of a name, of a weight its place. NULL if it is not bound in this body. */
Value *frame_place(Evaluator *ev, const Expr *name);

/* ---- statement.c ---- */

/* `G.encoder` as the path of a layer: the name's own path, then the members. NULL after
 * an error, told of `what`. */
const char *layer_path(Evaluator *ev, const Expr *expr, const char *what);

void execute_all(Evaluator *ev, const StmtList *body);
void bind_target(Evaluator *ev, const Expr *target, Value value);

/* ---- rounds.c: what a `for` goes through ---- */

typedef struct Rounds {
    const List *list; /* NULL: the ints themselves */
    int64_t from, to;
} Rounds;
/* end may be NULL; reports where it cannot be iterated over */
bool rounds_of(Evaluator *ev, const Expr *target, const Expr *from, const Expr *end, Rounds *out);
Value round_value(const Rounds *rounds, int64_t i);
Value evaluate_comprehension(Evaluator *ev, const Expr *expr);

/* ---- condition.c: assert and where ---- */

/* The condition holds, is reported as false, or becomes a check of the run. `message` may
 * be NULL. */
void require_condition(Evaluator *ev, const Expr *expr, const Expr *message, DiagCode code);

/* ---- operator.c: + - * / and the others ---- */

Value apply_unary(Evaluator *ev, Operator op, Value a, Span span);
Value apply_binary(Evaluator *ev, Operator op, Value a, Value b, const Expr *expr);
/* the same, without operands to point at */
Value apply_at(Evaluator *ev, Operator op, Value a, Value b, Span span);
const char *operator_text(Operator op);
/* Whether `a op b` is the same for all sizes; then *out is its value. */
bool decide_order(Evaluator *ev, Operator op, Dim a, Dim b, bool *out);
Dim as_dim(Evaluator *ev, Value v); /* of an int or a size */

/* ---- tensor.c: nodes from values ---- */

enum { HIGHEST_RANK = 16 };
bool counts_as_one(Dim dim); /* NULL, a missing axis, counts as 1 */

/* Makes a node; reports at `span` where the shape rule refuses. NULL after an error. */
Node *make_node(Evaluator *ev, Op op, Node *const *inputs, int count, const void *attributes, Span span);
/* A weight without a name gets that of its callee; a number or size becomes a scalar of
 * `type`. NULL after an error. */
Node *as_node(Evaluator *ev, Value v, DType type, Span span);
/* The same beside another operand: a number is broadcast to a tensor's shape. */
Node *operand_node(Evaluator *ev, Value v, Value other, Span span);
Value settle(Evaluator *ev, Value v); /* an unnamed weight is named after its callee */
bool broadcast_nodes(Evaluator *ev, Node **nodes, int count, Span span, const Expr *expr);
/* to a larger shape that it broadcasts to */
Node *stretch_node(Evaluator *ev, Node *x, int rank, const Dim *dims, Span span);
Value tensor_unary(Evaluator *ev, Op op, Value a, Span span);
Value tensor_binary(Evaluator *ev, Operator op, Value a, Value b, Span span, const Expr *expr);
Number value_number(Value v, DType type); /* of an int, a float or a bool: what a cast makes of it */
Node *tensor_from_values(Evaluator *ev, Value v, DType type, Span span);

/* ---- matmul.c ---- */

Value tensor_matmul(Evaluator *ev, Node *a, Node *b, Span span, const Expr *expr);

/* ---- primitive.c: operators called by name ---- */

Value primitive_run(Evaluator *ev, const Builtin *builtin, const Arguments *arguments, Span span);
bool primitive_is_complete(const Builtin *builtin, const Arguments *arguments);
/* reports where it does not */
bool primitive_knows_names(Evaluator *ev, const Builtin *builtin, const Arguments *arguments);

/* ---- index.c, index_tensor.c ---- */

Value evaluate_index(Evaluator *ev, const Expr *expr);
Value index_tensor(Evaluator *ev, const Expr *expr, Node *x);
/* the step between elements, backwards where negative; not 0 */
bool slice_step(Evaluator *ev, const Expr *expr, int64_t *step);

/* ---- builtins.c: the functions and constants that every file knows ---- */

struct Builtin {
    const char *name;
    Value (*run)(Evaluator *ev, const Arguments *arguments, Span span); /* NULL: the operator `op` */
    int op;                                                             /* an Op, or -1 */
    int at_least, at_most;                                              /* positional arguments */
    const char *keywords;                                               /* "init dtype", or "" */
};
const Builtin *builtin_find(Name name);
const Builtin *primitive_find(Name name);
bool builtin_constant(Evaluator *ev, Name name, Span span, Value *out);
/* the name in `param("scale", [3])`; NULL without one */
Name weight_name(const Builtin *builtin, const Bindings *given);
void builtin_names(Arena *arena, NameList *names); /* appends them all */

/* ---- bind.c: arguments to parameters ---- */

void bindings_add(Evaluator *ev, Bindings *to, const Bindings *from);
/* whether items that `*` spreads keep their names */
Arguments evaluate_arguments(Evaluator *ev, const ArgumentList *list, bool spread_names);
/* the arguments that come by an arrow: a tuple is several */
Arguments arguments_of(Evaluator *ev, Value value, const Expr *operand);
/* Binds arguments in `frame`, where defaults are evaluated, too. */
bool bind_parameters(Evaluator *ev, Frame *frame, const Definition *block, int list,
                     const Arguments *arguments, Span span);
bool lacks_required(const Definition *block, const Arguments *arguments);
/* Splits the arguments of a run such as `softmax(x, axis = 1)` into the operands of the
 * block and its settings. */
bool split_run(Evaluator *ev, const Definition *block, const Arguments *arguments, Arguments *through,
               Arguments *settings);
/* Reports `conv(x, 8, 3)`, which is not a run, at that call, with how to write it by an
 * arrow. report_unrun: where a tensor is wanted; false where the value is no such
 * call. */
Diagnostic *report_tensor_argument(Evaluator *ev, const char *callee, const Bindings *given, Span span);
bool report_unrun(Evaluator *ev, Value v);

/* ---- types.c ---- */

typedef struct TypeInfo {
    DType type;
    bool image;
    Fit fit;
} TypeInfo;
bool type_info(Evaluator *ev, const TypeExpr *type, TypeInfo *out);
bool dtype_from_name(Name name, DType *out);
/* Checks a value against `name: type`; new names in the type are bound to sizes in the
 * current frame. */
bool check_type(Evaluator *ev, const TypeExpr *type, const char *what, Value value, Span span);

/* ---- layer.c: layers, their paths, their runs ---- */

Layer *layer_new(Evaluator *ev, LayerKind kind, Span span);
Value layer_value(Layer *layer);
/* The layer after an arrow: a block becomes one with its defaults. NULL after an
 * error. */
Layer *as_layer(Evaluator *ev, Value v, Span span);
Value run_layer(Evaluator *ev, Layer *layer, const Arguments *inputs, const Expr *operand, Span span);
Value call_value(Evaluator *ev, Value callee, const Arguments *arguments, Span span, Span callee_span);
/* The same after an arrow: gives a layer, since nothing runs before the values that come
 * by the arrow. */
Value call_behind_arrow(Evaluator *ev, Value callee, const Arguments *arguments, Span span, Span callee_span);
const char *layer_callee(const Layer *layer);
Frame *frame_push(Evaluator *ev, const Unit *unit, Layer *layer, Span call);
void frame_pop(Evaluator *ev);

/* ---- path.c: names of layers and weights ---- */

void name_layer(Evaluator *ev, Layer *layer, Name name, Span span); /* a label or a binding */
void name_layer_by_default(Evaluator *ev, Layer *layer);            /* after its callee */
/* the layer has no name, and its parts are named as if made by its caller */
void name_layer_bare(Evaluator *ev, Layer *layer, Span span);
void name_layer_by_position(Evaluator *ev, Layer *layer, int position, Span span);
/* Gives what has no path yet (layers, weights, lists of them) the name it is bound to. */
Value name_value(Evaluator *ev, Value value, Name name, Span span);
/* The same for an argument: named after the parameter, under the layer that takes it. */
Value name_argument(Evaluator *ev, Layer *taker, Value value, Name parameter, Span span);
/* the first free of base, base_2, base_3, ..., which is then taken */
Name free_name(Evaluator *ev, const char *base, Span span);
void claim_new(Evaluator *ev, Frame *frame, Name name, Span span);
/* E.layer4: a part that has run, or a weight of E. Reports where there is none. */
Value layer_part(Evaluator *ev, const Layer *layer, const char *name, Span span);
const char *path_join(Arena *arena, const char *path, const char *name);
bool path_is_within(const char *path, const char *layer); /* `a.b` and `a.b.c` within `a.b` */

/* ---- weight.c ---- */

Value weight_new(Evaluator *ev, bool state, Shape shape, double init, double within, Span span);
/* of one that has a path, as it stands; NULL after an error */
Node *weight_value(Evaluator *ev, const Weight *weight);
Node *weight_place(Evaluator *ev, Weight *weight, Layer *owner, Name name, Span span);

/* ---- pipe.c ---- */

Value evaluate_pipe(Evaluator *ev, const Expr *expr);
Value evaluate_braces(Evaluator *ev, const Expr *expr);
Value run_stages(Evaluator *ev, const StageList *stages, Value value, const Expr *operand);

/* ---- summary.c: figures for LayerInfo ---- */

int entry_begin(Evaluator *ev, Layer *layer, Span span);
void entry_end(Evaluator *ev, int entry, Value result);
void count_node(Evaluator *ev, Node *node, int nodes_before);
void count_weight(Evaluator *ev, const Weight *weight);
void summarize(Evaluator *ev);

/* ---- receptive.c ---- */

/* The receptive field of every node, in pixels of the first picture; 0 where it is
 * everything or undefined. `unbounded`: the network continues from something that has
 * seen everything. */
int64_t *receptive_fields(Evaluator *ev, bool *unbounded);

/* ---- signature.c ---- */

void bind_settings(Evaluator *ev, const Decl *decl);
void bind_symbols(Evaluator *ev, const Decl *decl, const ParameterList *inputs);
/* what `where` says that a size is a multiple of */
int64_t symbol_multiple(Evaluator *ev, const Decl *decl, Name symbol);
bool input_sizes(Evaluator *ev, const TypeExpr *type, DType element, Shape *shape);
bool check_picture(Evaluator *ev, const TypeExpr *type, Fit fit, Shape shape);
void bind_inputs(Evaluator *ev, const Decl *decl);
void bind_outputs(Evaluator *ev, const Decl *decl, Value value);
void check_defines(Library *library); /* reports each -D that no model of the file has */

/* ---- difference.c ---- */

/* Adds notes on why the count of an `expect` may be wrong: it is `more` than stated
 * (below 0: less), to within `tolerance`. */
void explain_difference(Evaluator *ev, Diagnostic *d, int64_t more, double tolerance, bool macs,
                        const int64_t *sizes);

/* ---- expect.c ---- */

/* Checks the `expect`s that state figures for these settings; the settings of others
 * become variants of the model. */
void check_expectations(Evaluator *ev);

/* ---- result_form.c ---- */

/* Reads the form after `as` into the port. */
bool read_form(Evaluator *ev, const Result *result, Port *port);

/* ---- library.c ---- */
/* the bytes of a file, with a terminating zero, or NULL with errno set */
char *read_file(Arena *arena, const char *path, size_t *length);
const char *why_unreadable(Arena *arena); /* the message for errno */

#endif
