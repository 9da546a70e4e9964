/* The grammar of cai. Actions only build the tree (syntax/ast.c); what a newline means,
 * recovery and the words of errors are syntax/parse.c. docs/language.md explains what is
 * formal here. */
%require "3.8"
%code requires {
#include "syntax/parse.h"
}
%define api.pure full
%define api.prefix {cai_}
%define api.token.prefix {TOKEN_}
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%locations
%code {
#include <stdlib.h>
#define YYMAXDEPTH NESTED_SYMBOLS_MAX
#define YYMALLOC(size) checked_realloc(NULL, size)
#define YYFREE free
}
%param {Parser *parser}
%expect 0

%union {
    Name name;
    int64_t integer;
    double real;
    Operator operator;
    DeclKind decl_kind;
    Expr *expr;
    Stmt *stmt;
    Stage *stage;
    TypeExpr *type;
    Argument argument;
    Parameter parameter;
    Result result;
    Index index;
    Results results;
    Interval interval;
    TrainedList pairs;
    ExprList exprs;
    StmtList stmts;
    StageList stages;
    ArgumentList arguments;
    ParameterList parameters;
    ParameterLists parameter_lists;
    ResultList result_list;
    IndexList indices;
    ClauseList clauses;
    StringParts parts;
}

%code provides {
int scan_token(CAI_STYPE *value, Span *span, void *scanner);       /* cai.l */
/* syntax/parse.c: recovery stands between scanner and grammar */
int cai_lex(CAI_STYPE *value, Span *span, Parser *parser);
}
%code {
#include <assert.h>
#define YYLLOC_DEFAULT(joined, right, count)                                                       \
    ((joined) = (count) ? span_join(YYRHSLOC(right, 1), YYRHSLOC(right, count))                    \
                        : (Span){YYRHSLOC(right, 0).source, YYRHSLOC(right, 0).end, YYRHSLOC(right, 0).end})
#define ARENA (parser->arena)
#define STATEMENT(kind, span, ...) ast_statement(parser, kind, span, (Stmt){__VA_ARGS__})
static void cai_error(Span *span, Parser *parser, const char *message);
}

%token END 0 "the end of the file"
%token NEWLINE "the end of the line"
%token <name> NAME "a name" TEXT "text"
%token <integer> INT "a whole number"
%token <real> FLOAT "a number"
%token STRING_BEGIN "a string" STRING_END "the string's end" HOLE_BEGIN "`{` in a string"
%token HOLE_END "the hole's `}`"
%token ARROW "`->`" DOTS "`..`" ELLIPSIS "`...`" POW "`**`" FLOORDIV "`//`" EQ "`==`" NE "`!=`" LE "`<=`"
%token GE "`>=`"
%token '(' "`(`" ')' "`)`" '[' "`[`" ']' "`]`" '{' "`{`" '}' "`}`" ',' "`,`" ':' "`:`" '.' "`.`" '=' "`=`"
%token '+' "`+`" '-' "`-`" '*' "`*`" '/' "`/`" '%' "`%`" '@' "`@`" '<' "`<`" '>' "`>`"
/* Reserved words: contiguous, from USE to FALSE. */
%token USE "`use`" MODEL "`model`" BLOCK "`block`" TRAIN "`train`" OPTIMIZER "`optimizer`" IF "`if`"
%token ELSE "`else`" FOR "`for`" IN "`in`"
%token RETURN "`return`" REPEAT "`repeat`" WHERE "`where`" ASSERT "`assert`" EXPECT "`expect`"
%token UPDATE "`update`" LOAD "`load`" FROM "`from`"
%token UNUSED "`unused`" PHASE "`phase`" ONCE "`once`" EACH "`each`" EVERY "`every`"
%token MEASURE "`measure`" SAVE "`save`"
%token MINIMIZE "`minimize`" OVER "`over`" WITH "`with`" SHOW "`show`"
%token AS "`as`" AND "`and`" OR "`or`" NOT "`not`"
%token <name> PARAM "`param`" STATE "`state`"
%token TRUE "`true`" FALSE "`false`"

%type <decl_kind> kind
%type <parameter_lists> lists
%type <parameters> list parameters parameters1 inputs
%type <parameter> parameter
%type <type> type
%type <results> results
%type <result_list> results1
%type <result> result
%type <expr> form target
%type <interval> length interval every
%type <pairs> pairs
%type <exprs> constraints exprs
%type <stmts> body statements statements1
%type <stmt> statement if
%type <expr> expr run misplaced
%type <stage> stage plain_stage
%type <expr> label braces string
%type <stages> sequence stages
%type <expr> arith bound or and not comparison sum product unary power postfix primary
%type <operator> compared operator
%type <arguments> arguments arguments1 type_arguments type_arguments1
%type <argument> argument type_argument
%type <indices> indices
%type <index> index
%type <clauses> clauses
%type <parts> string_parts
%type <name> name

%%
file: declarations ;
declarations: %empty | declarations NEWLINE | declarations declaration ;
newlines: %empty | newlines NEWLINE ;

/* ---- declarations ---- */
declaration:
    USE NAME NEWLINE
      { ast_declare(parser, DECL_USE, span_join(@1, @2), @2, (Decl){.name = $2}); }
  | NAME '=' expr NEWLINE
      { ast_declare(parser, DECL_CONSTANT, span_join(@1, @3), @1, (Decl){.name = $1, .value = $3}); }
  | kind NAME lists results constraints length body NEWLINE {
        ast_declare(parser, $1, span_join(@1, @7), @2, (Decl){.name = $2, .lists = $3, .results = $4.list,
                    .results_in_parentheses = $4.parenthesised, .where = $5, .length = $6, .body = $7});
    }
  | error                                     { parser_skip_declaration(parser, &yychar, &yylloc); yyerrok; }
  ;
kind: MODEL { $$ = DECL_MODEL; } | BLOCK { $$ = DECL_BLOCK; } | TRAIN { $$ = DECL_TRAIN; }
  | OPTIMIZER { $$ = DECL_OPTIMIZER; } ;

lists: list                                   { $$ = (ParameterLists){0}; vec_push(ARENA, &$$, $1); }
  | lists list                                { $$ = $1; vec_push(ARENA, &$$, $2); }
  ;
list: '(' parameters ')'                      { $$ = $2; } ;
parameters: %empty                            { $$ = (ParameterList){0}; } | parameters1 | parameters1 ',' ;
parameters1: parameter                        { $$ = (ParameterList){0}; vec_push(ARENA, &$$, $1); }
  | parameters1 ',' parameter                 { $$ = $1; vec_push(ARENA, &$$, $3); }
  ;
parameter: NAME                               { $$ = (Parameter){.name = $1, .span = @$}; }
  | NAME ':' type                             { $$ = (Parameter){.name = $1, .type = $3, .span = @$}; }
  | ONCE NAME ':' type
      { $$ = (Parameter){.name = $2, .type = $4, .once = true, .span = @$}; }
  | EACH NAME ':' type
      { $$ = (Parameter){.name = $2, .type = $4, .each = true, .span = @$}; }
  | NAME '=' arith                            { $$ = (Parameter){.name = $1, .fallback = $3, .span = @$}; }
  | '*' NAME                                  { $$ = (Parameter){.name = $2, .rest = true, .span = @$}; }
  ;
type: NAME '[' type_arguments ']' {
        $$ = NEW(ARENA, TypeExpr);
        *$$ = (TypeExpr){.name = $1, .arguments = $3, .span = @$};
    } ;
type_arguments: %empty                        { $$ = (ArgumentList){0}; } | type_arguments1
  | type_arguments1 ',' ;
type_arguments1: type_argument                { $$ = (ArgumentList){0}; ast_add_argument(parser, &$$, $1); }
  | type_arguments1 ',' type_argument         { $$ = $1; ast_add_argument(parser, &$$, $3); }
  ;
type_argument: arith                          { $$ = (Argument){.value = $1, .span = @$}; }
  | NAME '=' arith                            { $$ = (Argument){.name = $1, .value = $3, .span = @$}; }
  ;

results: %empty                               { $$ = (Results){0}; }
  | ARROW result                              { $$ = (Results){0}; vec_push(ARENA, &$$.list, $2); }
  | ARROW '(' results1 ')'                    { $$ = (Results){.list = $3, .parenthesised = true}; }
  ;
results1: result                              { $$ = (ResultList){0}; vec_push(ARENA, &$$, $1); }
  | results1 ',' result                       { $$ = $1; vec_push(ARENA, &$$, $3); }
  ;
result: NAME ':' type form
      { $$ = (Result){.name = $1, .type = $3, .form = $4, .span = @$}; } ;
form: %empty                                  { $$ = NULL; } | AS postfix { $$ = $2; } ;
length: %empty                                { $$ = (Interval){0}; } | FOR interval { $$ = $2; } ;
interval: arith NAME                          { $$ = (Interval){.count = $1, .unit = $2, .unit_span = @2}; } ;
constraints: %empty                           { $$ = (ExprList){0}; } | WHERE exprs { $$ = $2; } ;
exprs: arith                                  { $$ = (ExprList){0}; vec_push(ARENA, &$$, $1); }
  | exprs ',' arith                           { $$ = $1; vec_push(ARENA, &$$, $3); }
  ;

/* ---- statements ---- */
body: body_begin statements '}'               { $$ = $2; } ;
body_begin: '{'                               { parser_mark_body(parser, @1); } ;
statements: newlines                          { $$ = (StmtList){0}; }
  | newlines statements1                      { $$ = $2; }
  | newlines statements1 NEWLINE newlines     { $$ = $2; }
  ;
statements1: statement                        { $$ = (StmtList){0}; vec_push(ARENA, &$$, $1); }
  | statements1 NEWLINE newlines statement    { $$ = $1; vec_push(ARENA, &$$, $4); }
  ;
statement:
    expr                                      { $$ = STATEMENT(STMT_EXPR, @$, .value = $1); }
  | expr '=' expr                             { $$ = ast_assign(parser, @$, $1, $3); }
  | RETURN expr                               { $$ = STATEMENT(STMT_RETURN, @$, .value = $2); }
  | if
  | FOR postfix IN arith body
      { $$ = STATEMENT(STMT_FOR, @$, .target = $2, .value = $4, .body = $5); }
  | FOR postfix IN arith DOTS arith body
      { $$ = STATEMENT(STMT_FOR, @$, .target = $2, .value = $4, .end = $6, .body = $7); }
  | REPEAT arith body                         { $$ = STATEMENT(STMT_REPEAT, @$, .value = $2, .body = $3); }
  | ASSERT expr ',' string
      { $$ = STATEMENT(STMT_ASSERT, @$, .condition = $2, .message = $4); }
  | EXPECT '(' arguments ')'                  { $$ = STATEMENT(STMT_EXPECT, @$, .arguments = $3); }
  | LOAD postfix FROM string                  { $$ = STATEMENT(STMT_LOAD, @$, .target = $2, .value = $4); }
  | UNUSED string                             { $$ = STATEMENT(STMT_UNUSED, @$, .value = $2); }
  | UPDATE postfix '=' expr                   { $$ = STATEMENT(STMT_UPDATE, @$, .target = $2, .value = $4); }
  | MINIMIZE expr pairs                       { $$ = STATEMENT(STMT_MINIMIZE, @$, .value = $2, .pairs = $3); }
  | PHASE string FOR interval inputs body
      { $$ = STATEMENT(STMT_PHASE, @$, .value = $2, .interval = $4, .inputs = $5, .body = $6); }
  | ONCE body                                 { $$ = STATEMENT(STMT_ONCE, @$, .body = $2); }
  | ONCE target '=' expr                      { $$ = ast_once(parser, @$, $2, $4); }
  | EVERY interval body                       { $$ = STATEMENT(STMT_EVERY, @$, .interval = $2, .body = $3); }
  | MEASURE every inputs body
      { $$ = STATEMENT(STMT_MEASURE, @$, .interval = $2, .inputs = $3, .body = $4); }
  | SHOW expr every                           { $$ = STATEMENT(STMT_SHOW, @$, .value = $2, .interval = $3); }
  | SAVE NAME expr                            { $$ = STATEMENT(STMT_SAVE, @$, .name = $2, .value = $3); }
  | error                                     { parser_skip_statement(parser, &yychar, &yylval, &yylloc);
                                                yyerrok;
                                                $$ = STATEMENT(STMT_ERROR, @$, .value = NULL); }
  ;
pairs: OVER arith WITH postfix
      { $$ = (TrainedList){0}; vec_push(ARENA, &$$, (Trained){.over = $2, .with = $4}); }
  | pairs OVER arith WITH postfix
      { $$ = $1; vec_push(ARENA, &$$, (Trained){.over = $3, .with = $5}); }
  ;
target: NAME                                  { $$ = ast_name(parser, @$, $1); }
  | '(' arguments1 ')'                        { $$ = ast_parentheses(parser, @$, $2, false); }
  ;
every: %empty                                 { $$ = (Interval){0}; } | EVERY interval { $$ = $2; } ;
inputs: %empty                                { $$ = (ParameterList){0}; } | list ;
if: IF arith body                             { $$ = STATEMENT(STMT_IF, @$, .condition = $2, .body = $3); }
  | IF arith body ELSE body
      { $$ = STATEMENT(STMT_IF, @$, .condition = $2, .body = $3, .else_body = $5); }
  | IF arith body ELSE if
      { StmtList rest = {0}; vec_push(ARENA, &rest, $5);
        $$ = STATEMENT(STMT_IF, @$, .condition = $2, .body = $3, .else_body = rest); }
  ;

/* ---- arrows: after one stands a stage, not an expression ---- */
expr: arith | run                             { $$ = ast_run(parser, $1); } | misplaced ;
run: arith ARROW stage                        { $$ = ast_pipe(parser, $1, @2, $3); }
  | run ARROW stage                           { $$ = ast_pipe(parser, $1, @2, $3); }
  ;
misplaced: run operator arith                 { $$ = ast_operator_after_stage(parser, @2, $1->span, $3); }
  | run IF or ELSE arith                      { $$ = ast_operator_after_stage(parser, @2, $1->span, $5); }
  | misplaced ARROW stage
  ;
operator: AND { $$ = OPERATOR_AND; } | OR { $$ = OPERATOR_OR; } | compared | '+' { $$ = OPERATOR_ADD; }
  | '-' { $$ = OPERATOR_SUB; }
  | '*' { $$ = OPERATOR_MUL; } | '/' { $$ = OPERATOR_DIV; } | FLOORDIV { $$ = OPERATOR_FLOORDIV; }
  | '%' { $$ = OPERATOR_MOD; }
  | '@' { $$ = OPERATOR_MATMUL; } | POW { $$ = OPERATOR_POW; } ;
stage: plain_stage
  | label ':' plain_stage                     { $$ = ast_label(parser, @$, $1, $3); }
  ;
plain_stage: postfix
      { $$ = ast_stage(parser, STAGE_SIMPLE, @$, $1, NULL, NULL, NULL); }
  | REPEAT arith braces
      { $$ = ast_stage(parser, STAGE_REPEAT, @$, NULL, $2, $3, NULL); }
  | IF arith braces                           { $$ = ast_stage(parser, STAGE_IF, @$, NULL, $2, $3, NULL); }
  | IF arith braces ELSE braces               { $$ = ast_stage(parser, STAGE_IF, @$, NULL, $2, $3, $5); }
  ;
label: NAME                                   { $$ = ast_literal(parser, @1, $1); } | string ;
braces: '{' newlines sequence newlines '}'    { $$ = ast_braces(parser, @$, $3); } ;
sequence: stages
  | stages operator arith                     { $$ = $1; ast_operator_after_stage(parser, @2, @1, $3); }
  | stages IF or ELSE arith                   { $$ = $1; ast_operator_after_stage(parser, @2, @1, $5); }
  | stages operator arith ARROW stages        { $$ = $1; ast_operator_after_stage(parser, @2, @1, $3); }
  ;
stages: stage                                 { $$ = (StageList){0}; vec_push(ARENA, &$$, $1); }
  | stages ARROW stage                        { $$ = $1; vec_push(ARENA, &$$, $3); }
  ;

/* ---- expressions, loosest first ---- */
arith: or | or IF or ELSE arith               { $$ = ast_if(parser, $1, $3, $5); } ;
or: and | or OR and                           { $$ = ast_binary(parser, OPERATOR_OR, @2, $1, $3); } ;
and: not | and AND not                        { $$ = ast_binary(parser, OPERATOR_AND, @2, $1, $3); } ;
not: comparison | NOT not                     { $$ = ast_unary(parser, @$, OPERATOR_NOT, @1, $2); } ;
comparison: sum | sum compared sum            { $$ = ast_binary(parser, $2, @2, $1, $3); } ;
compared: EQ { $$ = OPERATOR_EQ; } | NE { $$ = OPERATOR_NE; } | '<' { $$ = OPERATOR_LT; }
  | LE { $$ = OPERATOR_LE; }
  | '>' { $$ = OPERATOR_GT; } | GE { $$ = OPERATOR_GE; } ;
sum: product
  | sum '+' product                           { $$ = ast_binary(parser, OPERATOR_ADD, @2, $1, $3); }
  | sum '-' product                           { $$ = ast_binary(parser, OPERATOR_SUB, @2, $1, $3); }
  ;
product: unary
  | product '*' unary                         { $$ = ast_binary(parser, OPERATOR_MUL, @2, $1, $3); }
  | product '/' unary                         { $$ = ast_binary(parser, OPERATOR_DIV, @2, $1, $3); }
  | product FLOORDIV unary                    { $$ = ast_binary(parser, OPERATOR_FLOORDIV, @2, $1, $3); }
  | product '%' unary                         { $$ = ast_binary(parser, OPERATOR_MOD, @2, $1, $3); }
  | product '@' unary                         { $$ = ast_binary(parser, OPERATOR_MATMUL, @2, $1, $3); }
  ;
unary: power | '-' unary                      { $$ = ast_unary(parser, @$, OPERATOR_NEG, @1, $2); } ;
power: postfix | postfix POW unary            { $$ = ast_binary(parser, OPERATOR_POW, @2, $1, $3); } ;
postfix: primary
  | postfix '(' arguments ')'                 { $$ = ast_call(parser, @$, $1, $3); }
  | postfix '[' indices ']'                   { $$ = ast_index(parser, @$, $1, $3); }
  | postfix '.' name                          { $$ = ast_member(parser, @$, $1, $3, @3); }
  ;
primary: name                                 { $$ = ast_name(parser, @$, $1); }
  | INT                                       { $$ = ast_int(parser, @$, $1); }
  | FLOAT                                     { $$ = ast_float(parser, @$, $1); }
  | TRUE                                      { $$ = ast_bool(parser, @$, true); }
  | FALSE                                     { $$ = ast_bool(parser, @$, false); }
  | string
  | braces
  | '[' arguments ']'                         { $$ = ast_list(parser, @$, $2); }
  | '[' expr clauses ']'                      { $$ = ast_comprehension(parser, @$, $2, $3); }
  | '(' ')'                                   { $$ = ast_parentheses(parser, @$, (ArgumentList){0}, false); }
  | '(' arguments1 ')'                        { $$ = ast_parentheses(parser, @$, $2, false); }
  | '(' arguments1 ',' ')'                    { $$ = ast_parentheses(parser, @$, $2, true); }
  ;
name: NAME | PARAM | STATE ;

arguments: %empty                             { $$ = (ArgumentList){0}; } | arguments1 | arguments1 ',' ;
arguments1: argument                          { $$ = (ArgumentList){0}; ast_add_argument(parser, &$$, $1); }
  | arguments1 ',' argument                   { $$ = $1; ast_add_argument(parser, &$$, $3); }
  ;
argument: expr                                { $$ = (Argument){.value = $1, .span = @$}; }
  | NAME '=' expr                             { $$ = (Argument){.name = $1, .value = $3, .span = @$}; }
  | string '=' expr                           { $$ = (Argument){.computed = $1, .value = $3, .span = @$}; }
  | '*' postfix                               { $$ = (Argument){.spread = true, .value = $2, .span = @$}; }
  ;

/* ---- a list of what an expression gives for each round ----
 *
 * `or` and not `expr`, since an `if` after a range is a clause of its own. */
clauses: FOR postfix IN or
      { $$ = (ClauseList){0}; vec_push(ARENA, &$$, (Clause){.target = $2, .from = $4}); }
  | FOR postfix IN or DOTS or
      { $$ = (ClauseList){0}; vec_push(ARENA, &$$, (Clause){.target = $2, .from = $4, .end = $6}); }
  | clauses FOR postfix IN or
      { $$ = $1; vec_push(ARENA, &$$, (Clause){.target = $3, .from = $5}); }
  | clauses FOR postfix IN or DOTS or
      { $$ = $1; vec_push(ARENA, &$$, (Clause){.target = $3, .from = $5, .end = $7}); }
  | clauses IF or                             { $$ = $1; vec_push(ARENA, &$$, (Clause){.condition = $3}); }
  ;

indices: index                                { $$ = (IndexList){0}; vec_push(ARENA, &$$, $1); }
  | indices ',' index                         { $$ = $1; vec_push(ARENA, &$$, $3); }
  ;
index: arith                                  { $$ = (Index){.at = $1, .span = @$}; }
  | ELLIPSIS                                  { $$ = (Index){.rest = true, .span = @$}; }
  | bound ':' bound
      { $$ = (Index){.slice = true, .at = $1, .end = $3, .span = @$}; }
  | bound ':' bound ':' bound
      { $$ = (Index){.slice = true, .at = $1, .end = $3, .step = $5, .span = @$}; }
  ;
bound: %empty                                 { $$ = NULL; } | arith ;

string: STRING_BEGIN string_parts STRING_END  { $$ = ast_string(parser, @$, $2); } ;
string_parts: %empty                          { $$ = (StringParts){0}; }
  | string_parts TEXT                         { $$ = $1; vec_push(ARENA, &$$, (StringPart){.text = $2}); }
  | string_parts HOLE_BEGIN arith HOLE_END    { $$ = $1; vec_push(ARENA, &$$, (StringPart){.value = $3}); }
  ;
%%

/* Called only for "memory exhausted", since parse.error is custom: the stack has reached
 * its limit. */
static void cai_error(Span *span, Parser *parser, const char *message) {
    (void)message;
    parser_too_deep(parser, *span);
}

static int yyreport_syntax_error(const yypcontext_t *context, Parser *parser) {
    yysymbol_kind_t expected[YYNTOKENS];
    SyntaxError error = {.found = yysymbol_name(yypcontext_token(context)),
                         .span = *yypcontext_location(context)};
    static_assert(YYNTOKENS <= COUNT_OF(error.expected), "every token may be expected at once");
    error.count = yypcontext_expected_tokens(context, expected, YYNTOKENS);
    for (int i = 0; i < error.count; i++) error.expected[i] = yysymbol_name(expected[i]);
    parser_syntax_error(parser, &error);
    return 0;
}
