/* Constructors of the nodes of the syntax tree, called by the actions of the grammar.
 * Each computes the depth of its node, and none is deeper than SYNTAX_DEPTH. */
#include "syntax/parse.h"
#include <ctype.h>

static int deeper_of(int depth, int other) { return depth > other ? depth : other; }
static int depth_of(const Expr *e) { return e ? e->depth : 0; }

static int depth_of_body(const StmtList *body) {
    int depth = 0;
    for (int i = 0; i < body->count; i++) depth = deeper_of(depth, body->items[i]->depth);
    return depth;
}

static int depth_of_arguments(const ArgumentList *list) {
    int depth = 0;
    for (int i = 0; i < list->count; i++)
        depth =
            deeper_of(depth, deeper_of(depth_of(list->items[i].computed), depth_of(list->items[i].value)));
    return depth;
}

static bool is_named(const Argument *argument) { return argument->name || argument->computed; }

Expr *ast_error(Parser *p, Span span) {
    Expr *e = NEW(p->arena, Expr);
    *e = (Expr){.kind = EXPR_ERROR, .span = span, .depth = 1};
    return e;
}

static void too_deep(Parser *p, Span span) {
    if (p->stopped) return;
    p->stopped = true;
    Diagnostic *d =
        parser_error(p, DIAG_too_deep, span, "this is nested more than %d levels deep", SYNTAX_DEPTH);
    diag_help(p->diag, d, "give a part of it a name, and use the name");
}

static Expr *make_expr(Parser *p, Expr fields, int depth_below) {
    if (depth_below >= SYNTAX_DEPTH) {
        too_deep(p, fields.span);
        return ast_error(p, fields.span);
    }
    fields.depth = depth_below + 1;
    return arena_copy(p->arena, &fields, sizeof fields);
}

Expr *ast_name(Parser *p, Span span, Name name) {
    return make_expr(p, (Expr){.kind = EXPR_NAME, .span = span, .name = name}, 0);
}
Expr *ast_int(Parser *p, Span span, int64_t value) {
    return make_expr(p, (Expr){.kind = EXPR_INT, .span = span, .integer = value}, 0);
}
Expr *ast_float(Parser *p, Span span, double value) {
    return make_expr(p, (Expr){.kind = EXPR_FLOAT, .span = span, .real = value}, 0);
}
Expr *ast_bool(Parser *p, Span span, bool value) {
    return make_expr(p, (Expr){.kind = EXPR_BOOL, .span = span, .integer = value}, 0);
}

/* Joins neighbouring pieces of text: the scanner gives a piece for every escape. */
static StringParts join_texts(Parser *p, StringParts parts) {
    StringParts joined = {0};
    for (int i = 0; i < parts.count;) {
        Text text = {.arena = p->arena};
        if (parts.items[i].value) {
            vec_push(p->arena, &joined, parts.items[i++]);
            continue;
        }
        for (; i < parts.count && !parts.items[i].value; i++) text_add(&text, "%s", parts.items[i].text);
        vec_push(p->arena, &joined, (StringPart){.text = intern(p->names, text_string(&text))});
    }
    return joined;
}

Expr *ast_string(Parser *p, Span span, StringParts parts) {
    int depth = 0;
    for (int i = 0; i < parts.count; i++) depth = deeper_of(depth, depth_of(parts.items[i].value));
    return make_expr(p, (Expr){.kind = EXPR_STRING, .span = span, .parts = join_texts(p, parts)}, depth);
}

Expr *ast_literal(Parser *p, Span span, Name text) {
    StringParts parts = {0};
    vec_push(p->arena, &parts, (StringPart){.text = text});
    return ast_string(p, span, parts);
}

Expr *ast_list(Parser *p, Span span, ArgumentList items) {
    return make_expr(p, (Expr){.kind = EXPR_LIST, .span = span, .arguments = items},
                     depth_of_arguments(&items));
}

/* Each clause counts as a level, since the evaluator recurses through clauses. */
Expr *ast_comprehension(Parser *p, Span span, Expr *item, ClauseList clauses) {
    int depth = item->depth;
    for (int i = 0; i < clauses.count; i++) {
        const Clause *clause = &clauses.items[i];
        depth = deeper_of(depth, deeper_of(depth_of(clause->condition),
                                           deeper_of(depth_of(clause->from), depth_of(clause->end))));
    }
    return make_expr(p, (Expr){.kind = EXPR_COMPREHENSION, .span = span, .left = item, .clauses = clauses},
                     depth + clauses.count);
}

Expr *ast_parentheses(Parser *p, Span span, ArgumentList items, bool trailing_comma) {
    if (items.count == 1 && !trailing_comma && !is_named(&items.items[0]) && !items.items[0].spread) {
        items.items[0].value->span = span;
        items.items[0].value->parenthesised = true;
        return items.items[0].value;
    }
    return make_expr(p, (Expr){.kind = EXPR_TUPLE, .span = span, .arguments = items},
                     depth_of_arguments(&items));
}

Expr *ast_unary(Parser *p, Span span, Operator op, Span op_span, Expr *operand) {
    return make_expr(p,
                     (Expr){.kind = EXPR_UNARY, .op = op, .span = span, .op_span = op_span, .left = operand},
                     depth_of(operand));
}

Expr *ast_binary(Parser *p, Operator op, Span op_span, Expr *left, Expr *right) {
    return make_expr(p,
                     (Expr){.kind = EXPR_BINARY,
                            .op = op,
                            .span = span_join(left->span, right->span),
                            .op_span = op_span,
                            .left = left,
                            .right = right},
                     deeper_of(left->depth, right->depth));
}

Expr *ast_if(Parser *p, Expr *left, Expr *condition, Expr *right) {
    return make_expr(p,
                     (Expr){.kind = EXPR_IF,
                            .span = span_join(left->span, right->span),
                            .left = left,
                            .condition = condition,
                            .right = right},
                     deeper_of(left->depth, deeper_of(condition->depth, right->depth)));
}

Expr *ast_call(Parser *p, Span span, Expr *callee, ArgumentList arguments) {
    return make_expr(p, (Expr){.kind = EXPR_CALL, .span = span, .left = callee, .arguments = arguments},
                     deeper_of(callee->depth, depth_of_arguments(&arguments)));
}

Expr *ast_index(Parser *p, Span span, Expr *left, IndexList indices) {
    int depth = left->depth;
    for (int i = 0; i < indices.count; i++)
        depth = deeper_of(deeper_of(depth, depth_of(indices.items[i].step)),
                          deeper_of(depth_of(indices.items[i].at), depth_of(indices.items[i].end)));
    return make_expr(p, (Expr){.kind = EXPR_INDEX, .span = span, .left = left, .indices = indices}, depth);
}

Expr *ast_member(Parser *p, Span span, Expr *left, Name name, Span name_span) {
    return make_expr(
        p, (Expr){.kind = EXPR_MEMBER, .span = span, .op_span = name_span, .left = left, .name = name},
        left->depth);
}

static int depth_of_stage(const Stage *stage) {
    int layer = deeper_of(depth_of(stage->layer), depth_of(stage->condition));
    return deeper_of(deeper_of(layer, depth_of(stage->label)),
                     deeper_of(depth_of(stage->then_body), depth_of(stage->else_body)));
}

Expr *ast_pipe(Parser *p, Expr *left, Span arrow, Stage *stage) {
    return make_expr(p,
                     (Expr){.kind = EXPR_PIPE,
                            .span = span_join(left->span, stage->span),
                            .op_span = arrow,
                            .left = left,
                            .stage = stage},
                     deeper_of(left->depth, depth_of_stage(stage)));
}

static const char *text_between(Parser *p, uint32_t begin, uint32_t end) {
    return arena_printf(p->arena, "%.*s", (int)(end - begin), p->source->text + begin);
}

/* `a if c else b -> f`: does f take b alone, or whichever was chosen? */
Expr *ast_run(Parser *p, Expr *pipe) {
    const Expr *first = pipe;
    while (first->kind == EXPR_PIPE && first->left->kind == EXPR_PIPE) first = first->left;
    if (first->kind != EXPR_PIPE || first->left->kind != EXPR_IF || first->left->parenthesised) return pipe;
    const Expr *choice = first->left;
    Diagnostic *d = parser_error(p, DIAG_arrow_behind_if, first->op_span,
                                 "an arrow after `a if c else b` can be read in two ways");
    uint32_t begin = choice->span.begin, last = choice->right->span.begin, arrow = choice->span.end,
             end = pipe->span.end;
    if (end - begin < 100 && !memchr(p->source->text + begin, '\n', end - begin))
        diag_help(p->diag, d,
                  "write `(%s)%s` to run what was chosen, or `%s(%s)` to run the last value alone",
                  text_between(p, begin, arrow), text_between(p, arrow, end), text_between(p, begin, last),
                  text_between(p, last, end));
    else
        diag_help(
            p->diag, d,
            "write `(a if c else b) -> f` to run what was chosen, or `a if c else (b -> f)` to run the last value alone");
    return ast_error(p, pipe->span);
}

Expr *ast_braces(Parser *p, Span span, StageList stages) {
    int depth = 0;
    for (int i = 0; i < stages.count; i++) depth = deeper_of(depth, depth_of_stage(stages.items[i]));
    return make_expr(p, (Expr){.kind = EXPR_BRACES, .span = span, .stages = stages}, depth);
}

Expr *ast_operator_after_stage(Parser *p, Span op_span, Span run, Expr *right) {
    const char *text = p->source->text, *op = text + op_span.begin;
    int op_length = (int)(op_span.end - op_span.begin);
    Span all = span_join(run, right->span);
    Diagnostic *d = parser_error(
        p, DIAG_operator_after_stage, op_span,
        "an arrow is followed by a layer, not by an expression: `%.*s` cannot follow it", op_length, op);
    if (op_length == 2 && op[0] == 'i')
        diag_help(
            p->diag, d,
            "put the run in parentheses, `(x -> f) if c else y`, or the choice of a layer, `x -> (f if c else g)`");
    else if (all.end - all.begin < 80 && !memchr(text + all.begin, '\n', all.end - all.begin))
        diag_help(p->diag, d, "put the run in parentheses: `(%.*s) %.*s %.*s`", (int)(run.end - run.begin),
                  text + run.begin, op_length, op, (int)(right->span.end - right->span.begin),
                  text + right->span.begin);
    else diag_help(p->diag, d, "put the run in parentheses: `(x -> f) %.*s y`", op_length, op);
    return ast_error(p, all);
}

Stage *ast_stage(Parser *p, StageKind kind, Span span, Expr *layer, Expr *condition, Expr *then_body,
                 Expr *else_body) {
    Stage *stage = NEW(p->arena, Stage);
    *stage = (Stage){.kind = kind,
                     .span = span,
                     .layer = layer,
                     .condition = condition,
                     .then_body = then_body,
                     .else_body = else_body};
    return stage;
}

Stage *ast_label(Parser *p, Span span, Expr *label, Stage *stage) {
    (void)p;
    stage->label = label;
    stage->span = span;
    return stage;
}

Stmt *ast_statement(Parser *p, StmtKind kind, Span span, Stmt fields) {
    fields.kind = kind;
    fields.span = span;
    int depth = deeper_of(depth_of_body(&fields.body), depth_of_body(&fields.else_body));
    depth = deeper_of(depth, depth_of(fields.interval.count));
    for (int i = 0; i < fields.pairs.count; i++)
        depth = deeper_of(
            depth, deeper_of(depth_of(fields.pairs.items[i].over), depth_of(fields.pairs.items[i].with)));
    depth = deeper_of(depth, deeper_of(deeper_of(depth_of(fields.target), depth_of(fields.value)),
                                       deeper_of(depth_of(fields.end), depth_of(fields.condition))));
    if (depth >= SYNTAX_DEPTH) {
        too_deep(p, span);
        fields = (Stmt){.kind = STMT_ERROR, .span = span};
        depth = 0;
    }
    fields.depth = depth + 1;
    return arena_copy(p->arena, &fields, sizeof fields);
}

/* A name, or a tuple or list of targets. */
static bool is_target(const Expr *e) {
    if (e->kind == EXPR_NAME || e->kind == EXPR_ERROR) return true;
    if ((e->kind != EXPR_TUPLE && e->kind != EXPR_LIST) || e->arguments.count == 0) return false;
    for (int i = 0; i < e->arguments.count; i++)
        if (is_named(&e->arguments.items[i]) || !is_target(e->arguments.items[i].value)) return false;
    return true;
}

Stmt *ast_assign(Parser *p, Span span, Expr *target, Expr *value) {
    if (!is_target(target)) {
        Diagnostic *d = parser_error(p, DIAG_bad_target, target->span,
                                     "only a name, or a tuple of names, can be left of `=`");
        if (target->kind == EXPR_CALL)
            diag_help(p->diag, d, "a block is declared at the top level of the file: `block f(x) { ... }`");
        else if (target->kind == EXPR_INDEX)
            diag_help(p->diag, d, "a list is not changed in place: build a new one, as in `xs = [*xs, x]`");
        else if (target->kind == EXPR_PIPE) diag_help(p->diag, d, "the result is named first: `y = x -> f`");
    }
    return ast_statement(p, STMT_ASSIGN, span, (Stmt){.target = target, .value = value});
}

Stmt *ast_once(Parser *p, Span span, Expr *target, Expr *value) {
    StmtList body = {0};
    vec_push(p->arena, &body, ast_assign(p, span, target, value));
    return ast_statement(p, STMT_ONCE, span, (Stmt){.body = body});
}

void ast_add_argument(Parser *p, ArgumentList *list, Argument argument) {
    if (!is_named(&argument) && list->count > 0 && is_named(&list->items[list->count - 1]) &&
        !argument.spread) {
        Diagnostic *d = parser_error(p, DIAG_positional_after_named, argument.span,
                                     "an argument without a name follows one with a name");
        diag_label(p->diag, d, argument.span, "give it its name, or move it forward");
    }
    vec_push(p->arena, list, argument);
}

/* Where a line begins, after its blanks and a byte order mark. */
static const char *begin_of_line(const Source *source, int line) {
    const char *at = source->text + source->line_starts.items[line];
    if (line == 0 && strncmp(at, "\xef\xbb\xbf", 3) == 0) at += 3;
    return at + strspn(at, " \t\r");
}

/* The lines [first, end) without their `#`; NULL where there are none. */
static const char *comment_text(Arena *arena, const Source *source, int first, int end) {
    if (first == end) return NULL;
    Text comment = {.arena = arena};
    for (int i = first; i < end; i++) {
        const char *at = begin_of_line(source, i) + 1, *stop = at + strcspn(at, "\n");
        if (*at == ' ') at++;
        while (stop > at && isspace((unsigned char)stop[-1])) stop--;
        text_add(&comment, "%s%.*s", i > first ? "\n" : "", (int)(stop - at), at);
    }
    return text_string(&comment);
}

/* The comment lines right above `offset`. */
static const char *comment_above(Parser *p, uint32_t offset) {
    int line = source_place(p->source, offset).line - 1, first = line;
    while (first > 0 && *begin_of_line(p->source, first - 1) == '#') first--;
    return comment_text(p->arena, p->source, first, line);
}

const char *file_comment(Arena *arena, const Source *source) {
    int end = 0;
    while (end < source->line_starts.count && *begin_of_line(source, end) == '#') end++;
    bool apart = end == source->line_starts.count || strchr("\n", *begin_of_line(source, end));
    return apart ? comment_text(arena, source, 0, end) : NULL;
}

static void check_heading(Parser *p, DeclKind kind, Span name_span, const Decl *fields) {
    if (kind == DECL_TRAIN) return;
    if (fields->lists.count > 2) {
        Diagnostic *d =
            parser_error(p, DIAG_syntax, name_span, "`%s` has %d lists", fields->name, fields->lists.count);
        diag_help(p->diag, d,
                  "there are at most two lists: what it is made with, and what is run through it");
    }
    if (fields->length.count)
        parser_error(p, DIAG_syntax, fields->length.unit_span, "only a `train` block has a length");
}

void ast_declare(Parser *p, DeclKind kind, Span span, Span name_span, Decl fields) {
    check_heading(p, kind, name_span, &fields);
    fields.kind = kind;
    fields.span = span;
    fields.name_span = name_span;
    fields.source = p->source;
    fields.comment = comment_above(p, span.begin);
    Decl *decl = arena_copy(p->arena, &fields, sizeof fields);
    vec_push(p->arena, &p->file->decls, decl);
}
