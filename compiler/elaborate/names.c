/* Finds names that nothing can bind, by reading alone: also in blocks that no model uses
 * and in branches that are never taken. A body is one scope, so a name is known where any
 * statement of its body binds it; the evaluator sees whether that statement has run. */
#include "elaborate/evaluator.h"

typedef struct NameReader {
    Library *library;
    const Unit *unit;
    Map *bound;              /* by this declaration: parameters, sizes in types, targets */
    Vec(const char *) names; /* the same, for suggestions */
    Map *labels;             /* of stages that were read: names of weights, and nothing that is bound */
} NameReader;

static void read_body(NameReader *reader, const StmtList *body);
static void read_expr(NameReader *reader, const Expr *expr);

static void bind_read_name(NameReader *reader, Name name) {
    if (!name || map_get(reader->bound, name)) return;
    map_set(reader->bound, name, reader);
    vec_push(reader->library->arena, &reader->names, name);
}

/* ---- what a declaration binds ---- */

static void bind_read_targets(NameReader *reader, const Expr *target) {
    if (target->kind == EXPR_NAME) bind_read_name(reader, target->name);
    for (int i = 0; i < target->arguments.count; i++)
        bind_read_targets(reader, target->arguments.items[i].value);
}

static void bind_type(NameReader *reader, const TypeExpr *type) {
    for (int i = 0; type && i < type->arguments.count; i++) {
        const Expr *size = type->arguments.items[i].value;
        if (!type->arguments.items[i].name && size->kind == EXPR_NAME) bind_read_name(reader, size->name);
    }
}

static void bind_body(NameReader *reader, const StmtList *body) {
    for (int i = 0; i < body->count; i++) {
        const Stmt *stmt = body->items[i];
        if ((stmt->kind == STMT_ASSIGN || stmt->kind == STMT_FOR) && stmt->target)
            bind_read_targets(reader, stmt->target);
        for (int k = 0; k < stmt->inputs.count; k++) bind_type(reader, stmt->inputs.items[k].type);
        bind_body(reader, &stmt->body);
        bind_body(reader, &stmt->else_body);
    }
}

static void bind_signature(NameReader *reader, const Decl *decl) {
    for (int list = 0; list < decl->lists.count; list++)
        for (int i = 0; i < decl->lists.items[list].count; i++) {
            bind_read_name(reader, decl->lists.items[list].items[i].name);
            bind_type(reader, decl->lists.items[list].items[i].type);
        }
    for (int i = 0; i < decl->results.count; i++) bind_type(reader, decl->results.items[i].type);
}

/* ---- what it reads ---- */

static bool is_known_name(const NameReader *reader, Name name) {
    if (map_get(reader->bound, name) || builtin_knows(name)) return true;
    Found found = library_find(reader->unit, name);
    return found.definition || found.module;
}

/* Help for a name of another framework. In `torch.nn.functional.relu` the last part says
 * more than the first. */
static const char *alias_of(NameReader *reader, const Expr *name, const Expr *member) {
    Arena *arena = reader->library->arena;
    const char *own = alias_help(name->name), *last = own && member ? alias_help(member->name) : NULL;
    if (!own || !member || last) return last ? last : own;
    const NameList known = library_candidates(reader->unit, arena);
    const char *near = nearest_name(member->name, known.items, known.count);
    return near ? arena_printf(arena, "did you mean `%s`, without a prefix?", near) : own;
}

/* Help for an unknown name, or NULL. A name that is called, or has members, is hardly a
 * misspelt tensor. */
static const char *help_for(NameReader *reader, const Expr *name, const Expr *member, bool called) {
    Arena *arena = reader->library->arena;
    const char *near = nearest_name(name->name, reader->names.items, reader->names.count),
               *alias = alias_of(reader, name, member);
    DType type;
    if (map_get(reader->labels, name->name))
        return arena_printf(
            arena, "as a label `%s` names weights, and binds nothing: `%s = ...` first, then `x -> %s`",
            name->name, name->name, name->name);
    if (alias && (!near || called || member)) return alias;
    if (near) return arena_printf(arena, "did you mean `%s`?", near);
    if (dtype_from_name(name->name, &type))
        return arena_printf(arena, "as a value the name of a type is a string: `\"%s\"`", name->name);
    const char *file = library_file_with(reader->library, name->name);
    if (file)
        return arena_printf(arena, "the library has it in %s.cai: write `use %s` at the top of the file",
                            file, file);
    const NameList known = library_candidates(reader->unit, arena);
    near = nearest_name(name->name, known.items, known.count);
    return near ? arena_printf(arena, "did you mean `%s`?", near) : NULL;
}

static void report_unknown_name(NameReader *reader, const Expr *name, const Expr *member, bool called) {
    Library *library = reader->library;
    Diagnostic *d =
        diag_error(library->diag, DIAG_unknown_name, name->span, "`%s` is not defined", name->name);
    if (library->diag->errors > DIAG_KEPT_MAX) return;
    const char *help = help_for(reader, name, member, called);
    if (help) diag_help(library->diag, d, "%s", help);
    bind_read_name(reader, name->name); /* reported once for each declaration */
    reader->names.count--;              /* and never suggested */
    map_set(library->unknown, name->name, library);
}

static void read_arguments(NameReader *reader, const ArgumentList *arguments) {
    for (int i = 0; i < arguments->count; i++) {
        read_expr(reader, arguments->items[i].computed);
        read_expr(reader, arguments->items[i].value);
    }
}

static void read_label(NameReader *reader, const Expr *label) {
    bool plain = label && label->parts.count == 1 && label->parts.items[0].text;
    if (plain) map_set(reader->labels, label->parts.items[0].text, reader);
}

static void read_stage(NameReader *reader, const Stage *stage) {
    read_label(reader, stage->label);
    read_expr(reader, stage->label);
    read_expr(reader, stage->layer);
    read_expr(reader, stage->condition);
    read_expr(reader, stage->then_body);
    read_expr(reader, stage->else_body);
}

static void read_parts(NameReader *reader, const Expr *expr) {
    read_expr(reader, expr->right);
    read_expr(reader, expr->condition);
    read_arguments(reader, &expr->arguments);
    for (int i = 0; i < expr->indices.count; i++) {
        read_expr(reader, expr->indices.items[i].at);
        read_expr(reader, expr->indices.items[i].end);
        read_expr(reader, expr->indices.items[i].step);
    }
    for (int i = 0; i < expr->parts.count; i++) read_expr(reader, expr->parts.items[i].value);
    for (int i = 0; i < expr->stages.count; i++) read_stage(reader, expr->stages.items[i]);
    if (expr->stage) read_stage(reader, expr->stage);
}

/* Names that its clauses bind are known only within it. */
static void read_comprehension(NameReader *reader, const Expr *expr) {
    int known = reader->names.count;
    for (int i = 0; i < expr->clauses.count; i++) {
        const Clause *clause = &expr->clauses.items[i];
        read_expr(reader, clause->from);
        read_expr(reader, clause->end);
        if (clause->target) bind_read_targets(reader, clause->target);
        read_expr(reader, clause->condition);
    }
    read_expr(reader, expr->left);
    for (int i = known; i < reader->names.count; i++) map_set(reader->bound, reader->names.items[i], NULL);
    reader->names.count = known;
}

static void read_expr(NameReader *reader, const Expr *expr) {
    /* member: the last part of `a.b.c` around the current expression */
    const Expr *around = NULL, *member = NULL;
    for (; expr; around = expr, expr = expr->left) { /* chains of operators and arrows are long to the left */
        bool primitive = expr->kind == EXPR_MEMBER && expr->left->kind == EXPR_NAME &&
                         !strcmp(expr->left->name, "primitive");
        if (primitive) return;
        if (expr->kind == EXPR_COMPREHENSION) {
            read_comprehension(reader, expr);
            return;
        }
        if (expr->kind == EXPR_NAME && !is_known_name(reader, expr->name))
            report_unknown_name(reader, expr, member, around && around->kind == EXPR_CALL);
        if (expr->kind != EXPR_MEMBER) member = NULL;
        else if (!member) member = expr;
        read_parts(reader, expr);
    }
}

/* What only statements of train blocks have. */
static void read_training(NameReader *reader, const Stmt *stmt) {
    read_expr(reader, stmt->interval.count);
    for (int i = 0; i < stmt->pairs.count; i++) {
        read_expr(reader, stmt->pairs.items[i].over);
        read_expr(reader, stmt->pairs.items[i].with);
    }
    for (int i = 0; i < stmt->inputs.count; i++)
        if (stmt->inputs.items[i].type) read_arguments(reader, &stmt->inputs.items[i].type->arguments);
}

static void read_body(NameReader *reader, const StmtList *body) {
    for (int i = 0; i < body->count; i++) {
        const Stmt *stmt = body->items[i];
        bool binds = stmt->kind == STMT_ASSIGN || stmt->kind == STMT_FOR;
        if (!binds) read_expr(reader, stmt->target);
        read_expr(reader, stmt->value);
        read_expr(reader, stmt->end);
        read_expr(reader, stmt->condition);
        read_expr(reader, stmt->message);
        read_training(reader, stmt);
        read_arguments(reader, &stmt->arguments);
        read_body(reader, &stmt->body);
        read_body(reader, &stmt->else_body);
    }
}

static void read_declared_signature(NameReader *reader, const Decl *decl) {
    for (int list = 0; list < decl->lists.count; list++)
        for (int i = 0; i < decl->lists.items[list].count; i++) {
            const Parameter *parameter = &decl->lists.items[list].items[i];
            read_expr(reader, parameter->fallback);
            if (parameter->type) read_arguments(reader, &parameter->type->arguments);
        }
    for (int i = 0; i < decl->where.count; i++) read_expr(reader, decl->where.items[i]);
    for (int i = 0; i < decl->results.count; i++)
        read_arguments(reader, &decl->results.items[i].type->arguments);
}

/* ---- names that occur twice ---- */

static void claim_once(Library *library, Map *seen, Name name, Span span, const char *what) {
    if (!map_get(seen, name)) map_set(seen, name, library);
    else if (strcmp(name, "_"))
        diag_error(library->diag, DIAG_name_twice, span, "`%s` occurs twice among the %s", name, what);
}

static void check_twice(Library *library, const Decl *decl) {
    Map *parameters = map_new(library->arena), *results = map_new(library->arena);
    for (int list = 0; list < decl->lists.count; list++)
        for (int i = 0; i < decl->lists.items[list].count; i++) {
            const Parameter *parameter = &decl->lists.items[list].items[i];
            claim_once(library, parameters, parameter->name, parameter->span, "parameters");
        }
    for (int i = 0; i < decl->results.count; i++)
        claim_once(library, results, decl->results.items[i].name, decl->results.items[i].span, "outputs");
}

void check_names(Library *library, const Unit *unit) {
    for (int i = 0; i < unit->file->decls.count; i++) {
        const Decl *decl = unit->file->decls.items[i];
        if (decl->kind == DECL_USE) continue;
        check_twice(library, decl);
        NameReader reader = {.library = library,
                             .unit = unit,
                             .bound = map_new(library->arena),
                             .labels = map_new(library->arena)};
        bind_read_name(&reader, intern(library->names, "_"));
        bind_signature(&reader, decl);
        bind_body(&reader, &decl->body);
        read_declared_signature(&reader, decl);
        read_body(&reader, &decl->body);
        read_expr(&reader, decl->length.count);
        read_expr(&reader, decl->value);
    }
}
