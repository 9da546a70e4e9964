/* --emit=ast: the tree as indented lines, one a node: what it is, then its words; its parts
 * stand below it, two columns further in. */
#include "syntax/syntax.h"
#include <inttypes.h>

typedef struct AstPrinter {
    FILE *out;
    int indent;
} AstPrinter;

static const char *const operators[] = {
    "+", "-", "*", "/", "//", "%", "@", "**", "==", "!=", "<", "<=", ">", ">=", "and", "or", "not", "-"};
static const char *const statements[] = {
    "expr",   "assign",   "return", "if",   "for",   "repeat",  "assert", "expect", "load", "unused",
    "update", "minimize", "phase",  "once", "every", "measure", "show",   "save",   "error"};
static const char *const declarations[] = {"block", "model", "train", "optimizer", "use", "constant"};

static void print_expr(AstPrinter *p, const char *role, const Expr *e);

static void begin_line(AstPrinter *p, const char *role) {
    fprintf(p->out, "%*s%s%s", p->indent, "", role, *role ? ": " : "");
}

static void print_ast_text(AstPrinter *p, const char *text) {
    putc('"', p->out);
    for (; *text; text++) {
        if (*text == '\n') fputs("\\n", p->out);
        else if (strchr("\"\\", *text)) fprintf(p->out, "\\%c", *text);
        else putc(*text, p->out);
    }
    putc('"', p->out);
}

static void print_arguments(AstPrinter *p, const ArgumentList *list) {
    for (int i = 0; i < list->count; i++) {
        const Argument *a = &list->items[i];
        if (a->computed) print_expr(p, "name", a->computed);
        print_expr(p, a->name ? a->name : a->spread ? "*" : "", a->value);
    }
}

static void print_stage(AstPrinter *p, const Stage *stage) {
    static const char *const kinds[] = {"stage", "stage repeat", "stage if"};
    begin_line(p, "");
    fprintf(p->out, "%s\n", kinds[stage->kind]);
    p->indent += 2;
    if (stage->label) print_expr(p, "label", stage->label);
    if (stage->condition) print_expr(p, stage->kind == STAGE_IF ? "condition" : "count", stage->condition);
    if (stage->layer) print_expr(p, "", stage->layer);
    if (stage->then_body) print_expr(p, "", stage->then_body);
    if (stage->else_body) print_expr(p, "else", stage->else_body);
    p->indent -= 2;
}

static void print_index(AstPrinter *p, const Index *index) {
    if (index->rest) {
        begin_line(p, "");
        fputs("...\n", p->out);
        return;
    }
    if (!index->slice) {
        print_expr(p, "", index->at);
        return;
    }
    begin_line(p, "");
    fputs("slice\n", p->out);
    p->indent += 2;
    if (index->at) print_expr(p, "from", index->at);
    if (index->end) print_expr(p, "to", index->end);
    if (index->step) print_expr(p, "step", index->step);
    p->indent -= 2;
}

static void print_clause(AstPrinter *p, const Clause *clause) {
    if (!clause->target) {
        print_expr(p, "if", clause->condition);
        return;
    }
    print_expr(p, "for", clause->target);
    print_expr(p, "in", clause->from);
    if (clause->end) print_expr(p, "to", clause->end);
}

static void print_string(AstPrinter *p, const Expr *e) {
    fputs("string", p->out);
    bool plain = e->parts.count == 0 || (e->parts.count == 1 && e->parts.items[0].text);
    if (plain) {
        putc(' ', p->out);
        print_ast_text(p, e->parts.count ? e->parts.items[0].text : "");
    }
    putc('\n', p->out);
    p->indent += 2;
    for (int i = 0; i < e->parts.count && !plain; i++) {
        if (e->parts.items[i].value) {
            print_expr(p, "", e->parts.items[i].value);
            continue;
        }
        begin_line(p, "");
        print_ast_text(p, e->parts.items[i].text);
        putc('\n', p->out);
    }
    p->indent -= 2;
}

/* The node's own line, without its newline. */
static void print_head(AstPrinter *p, const Expr *e) {
    static const char *const kinds[] = {"name",          "int",    "float", "bool",   "string",  "list",
                                        "list for each", "tuple",  "unary", "binary", "if-else", "call",
                                        "index",         "member", "run",   "braces", "error"};
    fputs(kinds[e->kind], p->out);
    switch (e->kind) {
    case EXPR_NAME: case EXPR_MEMBER: fprintf(p->out, " %s", e->name); break;
    case EXPR_INT: fprintf(p->out, " %" PRId64, e->integer); break;
    case EXPR_FLOAT: fprintf(p->out, " %.17g", e->real); break;
    case EXPR_BOOL: fputs(e->integer ? " true" : " false", p->out); break;
    case EXPR_UNARY: case EXPR_BINARY: fprintf(p->out, " %s", operators[e->op]); break;
    default: break;
    }
}

static void print_expr(AstPrinter *p, const char *role, const Expr *e) {
    begin_line(p, role);
    if (e->kind == EXPR_STRING) {
        print_string(p, e);
        return;
    }
    print_head(p, e);
    putc('\n', p->out);
    p->indent += 2;
    if (e->left) print_expr(p, "", e->left);
    if (e->condition) print_expr(p, "condition", e->condition);
    if (e->right) print_expr(p, e->kind == EXPR_IF ? "else" : "", e->right);
    print_arguments(p, &e->arguments);
    for (int i = 0; i < e->indices.count; i++) print_index(p, &e->indices.items[i]);
    for (int i = 0; i < e->clauses.count; i++) print_clause(p, &e->clauses.items[i]);
    if (e->stage) print_stage(p, e->stage);
    for (int i = 0; i < e->stages.count; i++) print_stage(p, e->stages.items[i]);
    p->indent -= 2;
}

static void print_body(AstPrinter *p, const char *role, const StmtList *body);

static void print_interval(AstPrinter *p, const char *role, const Interval *interval) {
    if (!interval->count) return;
    begin_line(p, role);
    fprintf(p->out, "%s\n", interval->unit);
    p->indent += 2;
    print_expr(p, "", interval->count);
    p->indent -= 2;
}

static void print_parameters(AstPrinter *p, const ParameterList *list);

static void print_stmt(AstPrinter *p, const Stmt *s) {
    begin_line(p, "");
    fprintf(p->out, "%s%s%s\n", statements[s->kind], s->name ? " " : "", s->name ? s->name : "");
    p->indent += 2;
    if (s->target) print_expr(p, "", s->target);
    if (s->condition) print_expr(p, "condition", s->condition);
    if (s->value) print_expr(p, s->kind == STMT_FOR ? "in" : "", s->value);
    if (s->end) print_expr(p, "to", s->end);
    for (int i = 0; i < s->pairs.count; i++) {
        print_expr(p, "over", s->pairs.items[i].over);
        print_expr(p, "with", s->pairs.items[i].with);
    }
    print_interval(p, s->kind == STMT_PHASE ? "for" : "every", &s->interval);
    if (s->inputs.count) print_parameters(p, &s->inputs);
    if (s->message) print_expr(p, "message", s->message);
    print_arguments(p, &s->arguments);
    print_body(p, "", &s->body);
    print_body(p, "else", &s->else_body);
    p->indent -= 2;
}

static void print_body(AstPrinter *p, const char *role, const StmtList *body) {
    if (body->count == 0) return;
    if (*role) fprintf(p->out, "%*s%s:\n", p->indent, "", role), p->indent += 2;
    for (int i = 0; i < body->count; i++) print_stmt(p, body->items[i]);
    if (*role) p->indent -= 2;
}

static void print_type(AstPrinter *p, const TypeExpr *type) {
    begin_line(p, "");
    fprintf(p->out, "type %s\n", type->name);
    p->indent += 2;
    print_arguments(p, &type->arguments);
    p->indent -= 2;
}

static void print_parameters(AstPrinter *p, const ParameterList *list) {
    begin_line(p, "");
    fputs("parameters\n", p->out);
    p->indent += 2;
    for (int i = 0; i < list->count; i++) {
        const Parameter *a = &list->items[i];
        begin_line(p, "");
        fprintf(p->out, "%s%s%s%s\n", a->once ? "once " : "", a->each ? "each " : "", a->rest ? "*" : "",
                a->name);
        p->indent += 2;
        if (a->type) print_type(p, a->type);
        if (a->fallback) print_expr(p, "default", a->fallback);
        p->indent -= 2;
    }
    p->indent -= 2;
}

static void print_result(AstPrinter *p, const Result *result) {
    begin_line(p, "");
    fprintf(p->out, "result %s\n", result->name);
    p->indent += 2;
    print_type(p, result->type);
    if (result->form) print_expr(p, "as", result->form);
    p->indent -= 2;
}

static void print_decl(AstPrinter *p, const Decl *decl) {
    fprintf(p->out, "%s %s\n", declarations[decl->kind], decl->name);
    p->indent += 2;
    for (int i = 0; i < decl->lists.count; i++) print_parameters(p, &decl->lists.items[i]);
    for (int i = 0; i < decl->results.count; i++) print_result(p, &decl->results.items[i]);
    for (int i = 0; i < decl->where.count; i++) print_expr(p, "where", decl->where.items[i]);
    print_interval(p, "for", &decl->length);
    if (decl->value) print_expr(p, "", decl->value);
    print_body(p, "", &decl->body);
    p->indent -= 2;
}

void ast_print(const File *file, FILE *out) {
    AstPrinter printer = {.out = out};
    for (int i = 0; i < file->decls.count; i++) print_decl(&printer, file->decls.items[i]);
}
