/* What the scanner (grammar/cai.l), the grammar (grammar/cai.y), recovery (parse.c) and
 * the constructors of the tree (ast.c) share. syntax.h is the interface of the parser. */
#ifndef CAI_PARSE_H
#define CAI_PARSE_H

#include "syntax/syntax.h"

typedef struct Bracket {
    char open; /* ( [ {, or " for a hole in a string */
    bool body; /* a `{` that holds statements: where recovery ends */
    Span span;
} Bracket;

typedef struct Results { /* a signature's right side */
    ResultList list;
    bool parenthesised;
} Results;

typedef struct Branches { /* of an `if` statement */
    StmtList then_body, else_body;
} Branches;

typedef struct Token { int kind; Span span; } Token;
typedef Vec(Token) TokenList;

typedef struct Parser {
    Arena *arena;
    Names *names;
    Diagnostics *diag;
    Source *source;
    File *file;
    void *scanner;

    /* The scanner's state. */
    uint32_t offset;  /* of the next token */
    bool line_begins; /* only blanks and comments precede it on its line */
    Span string;      /* the opening quote of the string being read */
    Vec(Bracket) brackets;

    /* The token stream. */
    int last, before_last; /* tokens given to the grammar */
    Span last_span, before_last_span;
    bool last_begins_line, last_closes_body;
    /* comes after the tokens inserted by `closing` and `newline_first` */
    struct { int token; Span span; bool begins_line; void *value; } held;
    bool holds, closing, newline_first;
    bool at_end;       /* the scanner has reached the end */
    TokenList *tokens; /* collects the tokens given to the grammar, or NULL */

    /* Errors. */
    int errors;
    bool stopped; /* after too many errors: reads and reports nothing more */
    /* the current tokens only close brackets that the text leaves open, which was
     * reported */
    bool silent;
    bool skipping;     /* recovery skips to the end of the statement or declaration */
    bool body_missing; /* the last error was a body without its `{` */
    /* the last error was a bracket left open in the line above: the statement ends before
     * the lookahead */
    bool unclosed;
    bool lost_brackets; /* after a string without end, which may contain the missing brackets */
    Span left_open;     /* a ( or [ that was still open at a `}` */
} Parser;

/* ---- parse.c: for the scanner ---- */
char parser_innermost(const Parser *parser); /* 0 where no bracket is open */
bool parser_in_string(const Parser *parser);
bool parser_newline_counts(const Parser *parser); /* a newline here ends a statement */
bool parser_open(Parser *parser, char open, Span span);
bool parser_close(Parser *parser, char close);
/* These report an error, and return the token that stands for it. */
int parser_unterminated_string(Parser *parser, Span span);
int parser_nested_string(Parser *parser, Span span);
int parser_bad_number(Parser *parser, Span span);
int parser_bad_character(Parser *parser, const char *text, Span span);
int parser_name(Parser *parser, const char *text, Span span, Name *name);
int parser_integer(Parser *parser, const char *text, Span span, int64_t *value);
int parser_float(Parser *parser, const char *text, Span span, double *value);
const char *parser_escape(Parser *parser, char letter, Span span);

/* ---- parse.c: for the grammar ---- */
Diagnostic *parser_error(Parser *parser, DiagCode code, Span span, const char *format, ...) PRINTF_LIKE(4, 5);
void parser_mark_body(Parser *parser, Span brace);
/* Skip to the token that ends the statement or declaration, and leave it as the grammar's
 * lookahead. */
void parser_skip_statement(Parser *parser, int *lookahead, const void *value, Span *span);
void parser_skip_declaration(Parser *parser, int *lookahead, Span *span);

/* Like parse_file, but keeps the tokens: in a text without errors, everything but blanks
 * and comments. */
File *parse_tokens(Arena *arena, Names *names, Diagnostics *diag, Source *source, TokenList *tokens);

/* ---- syntax_error.c: messages for what the grammar did not expect ---- */
typedef struct SyntaxError {
    const char *found; /* the token's name in cai.y: "`)`", "a name" */
    Span span;
    const char *expected[128]; /* names of the tokens that would be allowed there */
    int count;
} SyntaxError;
void parser_syntax_error(Parser *parser, const SyntaxError *error);
enum { NESTED_SYMBOLS_MAX = 10000 }; /* on the parser's stack */
void parser_too_deep(Parser *parser, Span span);

/* ---- grammar/cai.l ---- */
/* sets up the scanner, calls `then`, and frees the scanner */
void scan_text(Parser *parser, void (*then)(Parser *));

/* ---- ast.c ---- */
Expr *ast_error(Parser *p, Span span);
Expr *ast_name(Parser *p, Span span, Name name);
Expr *ast_int(Parser *p, Span span, int64_t value);
Expr *ast_float(Parser *p, Span span, double value);
Expr *ast_bool(Parser *p, Span span, bool value);
Expr *ast_string(Parser *p, Span span, StringParts parts);
Expr *ast_literal(Parser *p, Span span, Name text); /* a string of one part */
Expr *ast_list(Parser *p, Span span, ArgumentList items);
Expr *ast_comprehension(Parser *p, Span span, Expr *item, ClauseList clauses);
/* (x) is x, all else a tuple */
Expr *ast_parentheses(Parser *p, Span span, ArgumentList items, bool trailing_comma);
Expr *ast_unary(Parser *p, Span span, Operator op, Span op_span, Expr *operand);
Expr *ast_binary(Parser *p, Operator op, Span op_span, Expr *left, Expr *right);
Expr *ast_if(Parser *p, Expr *left, Expr *condition, Expr *right);
Expr *ast_call(Parser *p, Span span, Expr *callee, ArgumentList arguments);
Expr *ast_index(Parser *p, Span span, Expr *left, IndexList indices);
Expr *ast_member(Parser *p, Span span, Expr *left, Name name, Span name_span);
Expr *ast_pipe(Parser *p, Expr *left, Span arrow, Stage *stage);
/* a whole pipe; an error where its arrows follow a bare `a if c else b` */
Expr *ast_run(Parser *p, Expr *pipe);
Expr *ast_braces(Parser *p, Span span, StageList stages);
Expr *ast_operator_after_stage(Parser *p, Span op_span, Span run, Expr *right); /* `x -> f + y`: an error */

Stage *ast_stage(Parser *p, StageKind kind, Span span, Expr *layer, Expr *condition, Expr *then_body,
                 Expr *else_body);
Stage *ast_label(Parser *p, Span span, Expr *label, Stage *stage);

Stmt *ast_statement(Parser *p, StmtKind kind, Span span, Stmt fields); /* a copy of `fields` */
Stmt *ast_assign(Parser *p, Span span, Expr *target, Expr *value);
Stmt *ast_once(Parser *p, Span span, Expr *target, Expr *value); /* `once target = value` */

void ast_add_argument(Parser *p, ArgumentList *list, Argument argument);
void ast_declare(Parser *p, DeclKind kind, Span span, Span name_span, Decl fields);
/* The comment at the beginning of a file, where a blank line sets it off from the first
 * declaration; else NULL. */
const char *file_comment(Arena *arena, const Source *source);

/* ---- format.c ---- */
/* A declaration up to its body, formatted as by `cai fmt`, in lines of at most `width`
 * columns where possible. */
const char *format_signature(Arena *arena, const TokenList *tokens, const Decl *decl, int width);

#endif
