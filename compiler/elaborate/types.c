/* Types in the text: f32[N, L, C], image[N, 3, H, W]. New names in them are bound to
 * sizes. */
#include "elaborate/evaluator.h"

bool dtype_from_name(Name name, DType *out) {
    for (int type = DTYPE_F32; type <= DTYPE_BOOL; type++)
        if (!strcmp(name, dtype_name((DType)type))) {
            *out = (DType)type;
            return true;
        }
    return false;
}

static bool fit_from(Evaluator *ev, const Argument *argument, Fit *out) {
    static const char *const fits[] = {[FIT_EXACT] = "exact",
                                       [FIT_CROP] = "crop",
                                       [FIT_STRETCH] = "stretch",
                                       [FIT_PAD] = "pad",
                                       [FIT_LETTERBOX] = "letterbox"};
    Value v = evaluate(ev, argument->value);
    if (v.kind == VALUE_ERROR) return false;
    for (int i = 0; v.kind == VALUE_STRING && i < COUNT_OF(fits); i++)
        if (!strcmp(v.string, fits[i])) {
            *out = (Fit)i;
            return true;
        }
    Diagnostic *d =
        report(ev, DIAG_unknown_fit, argument->span, "there is no fit %s", value_describe(ev->arena, v));
    if (v.kind == VALUE_STRING) report_suggestion(ev, d, v.string, fits, COUNT_OF(fits));
    if (d && !d->help)
        report_help(ev, d, "the fits are \"exact\", \"crop\", \"stretch\", \"pad\" and \"letterbox\"");
    return false;
}

bool type_info(Evaluator *ev, const TypeExpr *type, TypeInfo *out) {
    static const char *const names[] = {"f32", "f16", "bf16", "i8", "i32", "i64", "bool", "image"};
    *out = (TypeInfo){.type = DTYPE_F32, .image = !strcmp(type->name, "image"), .fit = FIT_EXACT};
    if (!out->image && !dtype_from_name(type->name, &out->type)) {
        Diagnostic *d = report(ev, DIAG_unknown_type, type->span, "there is no type `%s`", type->name);
        report_help(ev, d, "the types are f32, f16, bf16, i8, i32, i64, bool, and image for pictures");
        report_suggestion(ev, d, type->name, names, COUNT_OF(names));
        return false;
    }
    for (int i = 0; i < type->arguments.count; i++) {
        const Argument *argument = &type->arguments.items[i];
        if (!argument->name) continue;
        if (out->image && !strcmp(argument->name, "fit")) {
            if (!fit_from(ev, argument, &out->fit)) return false;
            continue;
        }
        report(ev, DIAG_unknown_argument, argument->span, "%s has no setting `%s`", type->name,
               argument->name);
        return false;
    }
    return true;
}

static int type_rank(const TypeExpr *type) {
    int rank = 0;
    for (int i = 0; i < type->arguments.count; i++) rank += !type->arguments.items[i].name;
    return rank;
}

static bool is_new_name(Evaluator *ev, const Expr *expr) {
    if (expr->kind != EXPR_NAME || frame_find(ev, ev->frame, expr->name)) return false;
    Found found = library_find(ev->frame->unit, expr->name);
    return !(found.definition && found.definition->decl->kind == DECL_CONSTANT);
}

static bool check_size(Evaluator *ev, const TypeExpr *type, const Expr *expr, const char *what, Node *node,
                       int axis, Span span) {
    Dim size = node->shape.dims[axis];
    if (is_new_name(ev, expr)) {
        frame_bind(ev, ev->frame, expr->name, value_dim(size), expr->span);
        return true;
    }
    Value v = evaluate(ev, expr);
    if (v.kind == VALUE_ERROR) return false;
    if (v.kind != VALUE_INT && v.kind != VALUE_DIM) {
        report(ev, DIAG_not_a_size, expr->span, "a size in a type must be an int; this is %s",
               value_kind_name(v));
        return false;
    }
    if (as_dim(ev, v) == size) return true;
    const char *written = span_text(ev->arena, expr->span), *value = value_describe(ev->arena, v);
    const char *equals = (v.kind == VALUE_INT || expr->kind == EXPR_NAME) && strcmp(written, value)
                             ? arena_printf(ev->arena, "%s = %s", written, value)
                             : value;
    Diagnostic *d = report(ev, DIAG_shape, span, "`%s` is %s, but axis %d must be %s", what,
                           shape_string(ev->arena, node->shape), axis, equals);
    report_note(ev, d, type->span, "its type is declared here");
    int64_t least, max;
    dim_bounds(dim_sub(ev->dims, size, as_dim(ev, v)), &least, &max);
    /* N: no `where` makes it 1 */
    bool free_axis = expr->kind == EXPR_NAME && v.kind == VALUE_DIM && dim_is_const(size, NULL);
    if (least <= 0 && max >= 0 && !free_axis)
        report_help(
            ev, d,
            "if they are equal for the sizes you mean, say so where the model is declared: `where H %% 16 == 0`");
    report_operands(ev, d);
    return false;
}

bool check_type(Evaluator *ev, const TypeExpr *type, const char *what, Value value, Span span) {
    TypeInfo info;
    if (value.kind == VALUE_ERROR || !type_info(ev, type, &info)) return false;
    Node *node = as_node(ev, value, info.type, span);
    if (!node) return false;
    int rank = type_rank(type);
    if (node->shape.type != info.type) {
        Diagnostic *d = report(ev, DIAG_type_mismatch, span, "`%s` must be %s, but is %s", what,
                               dtype_name(info.type), shape_string(ev->arena, node->shape));
        report_help(ev, d, "convert it: `cast(%s, type = \"%s\")`", what, dtype_name(info.type));
        return false;
    }
    if (node->shape.rank != rank) {
        Diagnostic *d = report(ev, DIAG_shape, span, "`%s` must have %d %s, but is %s", what, rank,
                               rank == 1 ? "axis" : "axes", shape_string(ev->arena, node->shape));
        report_note(ev, d, type->span, "its type is declared here");
        report_operands(ev, d);
        return false;
    }
    bool fits = true;
    for (int i = 0, axis = 0; i < type->arguments.count; i++)
        if (!type->arguments.items[i].name)
            fits &= check_size(ev, type, type->arguments.items[i].value, what, node, axis++, span);
    return fits;
}
