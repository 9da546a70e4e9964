/* The syntax tree: what the parser makes and the elaborator reads. */
#ifndef CAI_SYNTAX_H
#define CAI_SYNTAX_H

#include "base/base.h"
#include "base/diag.h"

/* ---- ast.c: the syntax tree, all of it in the file's arena ---- */

typedef struct Expr Expr;
typedef struct Stmt Stmt;
typedef Vec(Expr *) ExprList;
typedef Vec(Stmt *) StmtList;

/* Expressions and statements are at most this deep, so that walking them by recursion is
 * safe. */
#define SYNTAX_DEPTH 1000

typedef enum ExprKind {
    EXPR_NAME,  /* name */
    EXPR_INT,   /* integer */
    EXPR_FLOAT, /* real */
    EXPR_BOOL,  /* integer 0 or 1 */
    /* parts: literal text and expressions in braces; two texts are never adjacent; none
     * for "" */
    EXPR_STRING,
    EXPR_LIST,          /* arguments: [a, b, *c] */
    EXPR_COMPREHENSION, /* left for each iteration of its clauses: [left for i in 0 .. n if c] */
    EXPR_TUPLE,         /* arguments: (a, b), (name = a, name = b), () */
    EXPR_UNARY,         /* op, left */
    EXPR_BINARY,        /* op, left, right */
    EXPR_IF,            /* left if condition else right */
    EXPR_CALL,          /* left(arguments) */
    EXPR_INDEX,         /* left[indices] */
    EXPR_MEMBER,        /* left.name */
    EXPR_PIPE,          /* left -> stage */
    EXPR_BRACES,        /* { stages }: a layer made of stages in sequence */
    EXPR_ERROR          /* what the parser could not read; silences errors that would follow from it */
} ExprKind;

typedef enum Operator {
    OPERATOR_ADD,
    OPERATOR_SUB,
    OPERATOR_MUL,
    OPERATOR_DIV,
    OPERATOR_FLOORDIV,
    OPERATOR_MOD,
    OPERATOR_MATMUL,
    OPERATOR_POW,
    OPERATOR_EQ,
    OPERATOR_NE,
    OPERATOR_LT,
    OPERATOR_LE,
    OPERATOR_GT,
    OPERATOR_GE,
    OPERATOR_AND,
    OPERATOR_OR,
    OPERATOR_NOT,
    OPERATOR_NEG
} Operator;

typedef struct Argument { /* value, name = value, "name" = value, or *value */
    Name name;            /* NULL where positional or computed */
    Expr *computed;       /* a name that is a string, or NULL */
    bool spread;
    Expr *value;
    Span span;
} Argument;
typedef Vec(Argument) ArgumentList;

typedef struct Index { /* i, from:to:step where each may be missing, or ... */
    bool slice;
    bool rest; /* `...`: all axes that no other index is for */
    Expr *at;  /* the index, or the slice's begin */
    Expr *end;
    Expr *step;
    Span span;
} Index;
typedef Vec(Index) IndexList;

typedef struct Clause {        /* for target in from (.. end), or if condition */
    Expr *target, *from, *end; /* target NULL: an `if` */
    Expr *condition;
} Clause;
typedef Vec(Clause) ClauseList;

typedef struct StringPart { /* text, or value */
    Name text;
    Expr *value;
} StringPart;
typedef Vec(StringPart) StringParts;

/* What follows an arrow, with its label if it has one. */
typedef enum StageKind { STAGE_SIMPLE, STAGE_REPEAT, STAGE_IF } StageKind;
typedef struct Stage {
    StageKind kind;
    Expr *label;                 /* EXPR_STRING, or NULL; a plain name is a string of one literal part */
    Expr *layer;                 /* STAGE_SIMPLE: name, call, member, index or braces */
    Expr *condition;             /* STAGE_IF; STAGE_REPEAT: the count */
    Expr *then_body, *else_body; /* EXPR_BRACES; else_body may be NULL; STAGE_REPEAT uses then_body */
    Span span;
} Stage;
typedef Vec(Stage *) StageList;

struct Expr {
    ExprKind kind;
    Operator op;
    Span span;
    Span op_span;       /* of the operator or the arrow, where there is one; of the name of EXPR_MEMBER */
    int depth;          /* of the tree below: 1 for a name */
    bool parenthesised; /* it is in parentheses of its own */
    Name name;
    int64_t integer;
    double real;
    Expr *left, *right, *condition;
    ArgumentList arguments;
    IndexList indices;
    ClauseList clauses;
    StringParts parts;
    Stage *stage;
    StageList stages;
};

typedef struct TypeExpr { /* f32[N, 3, H, W], image[N, 3, H, W, fit = "crop"] */
    Name name;
    ArgumentList arguments; /* a `*` among them is not allowed */
    Span span;
} TypeExpr;

typedef struct Parameter { /* name, name = default, name: type, *name, once/each name: type */
    Name name;
    TypeExpr *type;
    Expr *fallback; /* the default, or NULL */
    bool rest, once, each;
    Span span;
} Parameter;
typedef Vec(Parameter) ParameterList;
typedef Vec(ParameterList) ParameterLists;

typedef struct Interval { /* 200 epochs */
    Expr *count;          /* NULL: none was given */
    Name unit;
    Span unit_span;
} Interval;

/* of a minimize: what is trained, and by which optimizer */
typedef struct Trained { Expr *over, *with; } Trained;
typedef Vec(Trained) TrainedList;

typedef enum StmtKind {
    STMT_EXPR,     /* value */
    STMT_ASSIGN,   /* target = value; target is a name, a tuple or list of names, `_` */
    STMT_RETURN,   /* value */
    STMT_IF,       /* condition, body, else_body (an else-if is an else_body of one STMT_IF) */
    STMT_FOR,      /* target (a name or a tuple of names) in value (.. end), body */
    STMT_REPEAT,   /* value times, body */
    STMT_ASSERT,   /* condition, message */
    STMT_EXPECT,   /* arguments */
    STMT_LOAD,     /* target from value, a string */
    STMT_UNUSED,   /* value, a string: pattern of weight names that a file may hold without use */
    STMT_UPDATE,   /* target = value */
    STMT_MINIMIZE, /* value, pairs */
    STMT_PHASE,    /* value (a string) for interval, inputs declared anew, body */
    STMT_ONCE,     /* body; `once a = e` is a body of one assignment */
    STMT_EVERY,    /* interval, body */
    STMT_MEASURE,  /* interval (none: at the phase's end), inputs declared anew, body */
    STMT_SHOW,     /* value, interval (none: every step) */
    STMT_SAVE,     /* name (largest or smallest), value */
    STMT_ERROR
} StmtKind;

struct Stmt {
    StmtKind kind;
    Span span; /* of the whole statement, its body too */
    int depth;
    Name name; /* STMT_SAVE */
    Expr *target, *value, *end, *condition, *message;
    Interval interval;
    TrainedList pairs;
    ParameterList inputs;
    ArgumentList arguments;
    StmtList body, else_body;
};

typedef struct Result { /* name: type as form */
    Name name;
    TypeExpr *type;
    Expr *form; /* labels(...), boxes(...) and so on, or NULL */
    Span span;
} Result;
typedef Vec(Result) ResultList;

typedef enum DeclKind {
    DECL_BLOCK,
    DECL_MODEL,
    DECL_TRAIN,
    DECL_OPTIMIZER,
    DECL_USE,
    DECL_CONSTANT
} DeclKind;

typedef struct Decl {
    DeclKind kind;
    Name name;
    Span span, name_span;
    const Source *source;
    ParameterLists lists; /* one or two; DECL_TRAIN: any number */
    ResultList results;
    bool results_in_parentheses;
    ExprList where;
    Interval length; /* DECL_TRAIN without phases: how long it trains */
    StmtList body;
    Expr *value; /* DECL_CONSTANT */
    /* the comment block right above it, without its `#`s, for --help and docs; or NULL */
    const char *comment;
} Decl;

typedef struct File {
    Source *source;
    Vec(Decl *) decls;
} File;

/* A name that begins with _ is private to its file. */
static inline bool is_internal(Name name) { return name[0] == '_'; }

/* ---- parse.c, grammar/ ---- */

#define SOURCE_BYTES_MAX (16u << 20)

/* Parses a whole file. Errors are in `diag` and leave EXPR_ERROR or STMT_ERROR in the
 * tree. Never NULL. A statement that was skipped may have bound names, so a file with
 * errors must not be elaborated. */
File *parse_file(Arena *arena, Names *names, Diagnostics *diag, Source *source);

/* ---- format.c ---- */

/* The text in its canonical form (`cai fmt`), which formatting does not change; NULL
 * where it has errors, which are then reported. */
const char *format_source(Arena *arena, Names *names, Diagnostics *diag, Source *source);

/* ---- doc.c: the comments of a file ---- */

typedef struct DocEntry {
    const Decl *decl;
    const char *signature; /* in canonical form, broken into lines where it is long */
} DocEntry;

typedef struct Doc { /* a file's public declarations in their order */
    const Source *source;
    const char *comment; /* the first of the file, if a blank line follows it; or NULL */
    Vec(DocEntry) entries;
} Doc;

/* NULL where the text has errors, which are then reported. */
Doc *doc_read(Arena *arena, Names *names, Diagnostics *diag, Source *source);
/* the first sentence, in one line; comment NULL: "" */
const char *doc_sentence(Arena *arena, const char *comment);
/* A comment in lines of at most `width` columns after `indent` blanks; and as Markdown
 * that shows the same text. */
void doc_add_text(Text *out, const char *comment, int indent, int width);
void doc_add_markdown(Text *out, const char *comment, bool in_table);

/* ---- ast_print.c ---- */
void ast_print(const File *file, FILE *out); /* --emit=ast */

#endif
