/* Result forms: `as labels("imagenet.txt", top = 5)` names the classes of a score, `as
 * boxes(on = photo, labels = "coco.txt")` draws rows of (left, top, right, bottom, score,
 * class) on a picture, `as names(of = support)` maps places to the files of an input's
 * pictures, `as text("characters.txt")` reads scores of characters as text. */
#include "elaborate/evaluator.h"

#include <errno.h>

/* Finds the file beside the .cai file, else in the standard library. */
static char *find_labels(Evaluator *ev, const char *name) {
    const char *path = ev->library->main->file->source->path, *slash = strrchr(path, '/');
    const char *folder =
        slash && *name != '/' ? arena_strndup(ev->arena, path, (size_t)(slash - path) + 1) : "";
    size_t length;
    char *text = read_file(ev->arena, arena_printf(ev->arena, "%s%s", folder, name), &length);
    if (!text && errno == ENOENT && *name != '/')
        text = read_file(ev->arena, arena_printf(ev->arena, "%s/%s", ev->library->options.stdlib_dir, name),
                         &length);
    return text;
}

static void split_lines(Evaluator *ev, char *text, Port *port) {
    Vec(const char *) lines = {0};
    while (*text) {
        size_t length = strcspn(text, "\r\n");
        if (length) vec_push(ev->arena, &lines, arena_strndup(ev->arena, text, length));
        text += length;
        text += strspn(text, "\r\n");
    }
    port->labels = lines.items;
    port->label_count = lines.count;
}

/* ---- arguments ---- */

static bool fail_arguments(Evaluator *ev, Span span, const char *what, const char *example) {
    Diagnostic *d = report(ev, DIAG_bad_form, span, "%s", what);
    report_help(ev, d, "%s", example);
    return false;
}

/* The input that an argument names, whatever the body has bound to the name since. */
static bool read_form_input(Evaluator *ev, const Argument *argument, int *input) {
    const Expr *expr = argument->value;
    for (int i = 0; i < ev->graph->inputs.count && expr->kind == EXPR_NAME; i++) {
        if (ev->graph->inputs.items[i].name != expr->name) continue;
        *input = i;
        return true;
    }
    Diagnostic *d =
        report(ev, DIAG_bad_form, expr->span, "`%s` is to name an input of the model", argument->name);
    for (int i = 0; d && i < ev->graph->inputs.count; i++)
        if (ev->graph->inputs.items[i].form == FORM_IMAGE) {
            report_help(ev, d, "%s = %s", argument->name, ev->graph->inputs.items[i].name);
            break;
        }
    return false;
}

static bool read_number(Evaluator *ev, const Argument *argument, float *number) {
    Value v = evaluate(ev, argument->value);
    if (v.kind == VALUE_INT || v.kind == VALUE_REAL) {
        *number = v.kind == VALUE_INT ? (float)v.integer : (float)v.real;
        return true;
    }
    if (v.kind != VALUE_ERROR)
        report(ev, DIAG_bad_form, argument->value->span, "`%s` is a number; this is %s", argument->name,
               value_describe(ev->arena, v));
    return false;
}

static bool read_label_file(Evaluator *ev, const Argument *argument, Port *port) {
    Value v = evaluate(ev, argument->value);
    if (v.kind == VALUE_ERROR) return false;
    if (v.kind != VALUE_STRING) {
        report(ev, DIAG_bad_form, argument->value->span,
               "labels come from a file, which a string names; this is %s", value_describe(ev->arena, v));
        return false;
    }
    char *text = find_labels(ev, v.string);
    if (text) {
        split_lines(ev, text, port);
        if (port->label_count == 0)
            report(ev, DIAG_bad_form, argument->value->span, "%s has no labels: a line is one", v.string);
        return port->label_count > 0;
    }
    Diagnostic *d = report(ev, DIAG_no_such_file, argument->value->span, "cannot read the labels in %s: %s",
                           v.string, why_unreadable(ev->arena));
    report_help(ev, d, "the file is looked for beside the .cai file and in the standard library");
    return false;
}

static bool read_top(Evaluator *ev, const Argument *argument, Port *port) {
    Value v = evaluate(ev, argument->value);
    if (v.kind == VALUE_INT && v.integer > 0 && v.integer <= 1000) port->top = (int)v.integer;
    else if (v.kind != VALUE_ERROR)
        report(ev, DIAG_bad_form, argument->value->span, "`top` is an int from 1 to 1000");
    return v.kind == VALUE_INT && port->top == v.integer;
}

/* The number of pictures of an output must be the batch size of the input that it is
 * about. */
static bool check_batch(Evaluator *ev, const Expr *form, const Port *port, const Port *input) {
    Dim ours = port->node->shape.dims[0], theirs = input->node->shape.dims[0];
    if (input->form == FORM_IMAGE && ours == theirs) return true;
    if (input->form != FORM_IMAGE)
        report(ev, DIAG_bad_form, form->span, "boxes are drawn on a picture, and `%s` is no image",
               input->name);
    else
        report(ev, DIAG_bad_form, form->span, "`%s` is %s pictures, and the boxes are of %s", input->name,
               dim_string(ev->arena, theirs), dim_string(ev->arena, ours));
    return false;
}

/* ---- labels ---- */

/* -D classes=10 means a network for other classes than those of the file: they have numbers then. */
static bool check_scores(Evaluator *ev, const Expr *form, Port *port) {
    Shape shape = port->node->shape;
    int64_t classes;
    if (shape.rank != 2) {
        report(ev, DIAG_bad_form, form->span, "`labels` is for scores of shape [N, classes]; this is %s",
               shape_string(ev->arena, shape));
        return false;
    }
    if (!port->labels || !dim_is_const(shape.dims[1], &classes) || classes == port->label_count) return true;
    const char *text =
        arena_printf(ev->arena, "%lld scores, but %d labels", (long long)classes, port->label_count);
    if (ev->library->options.define_count == 0) {
        report(ev, DIAG_bad_form, form->span, "%s", text);
        return false;
    }
    report_warning(ev, DIAG_bad_form, form->span, text,
                   "the classes are told by number: name a file of labels for them in the model");
    port->labels = NULL;
    port->label_count = 0;
    return true;
}

static bool read_labels(Evaluator *ev, const Expr *form, const ArgumentList *arguments, Port *port) {
    port->top = 5;
    for (int i = 0; i < arguments->count; i++) {
        const Argument *a = &arguments->items[i];
        bool top = a->name && !strcmp(a->name, "top"), file = !a->name && !a->spread && !port->labels;
        if (!top && !file)
            return fail_arguments(ev, a->span, "`labels` takes a file's name and `top`",
                                  "labels(\"imagenet.txt\", top = 5)");
        if (!(top ? read_top(ev, a, port) : read_label_file(ev, a, port))) return false;
    }
    return check_scores(ev, form, port);
}

/* ---- boxes ---- */

static bool read_box_argument(Evaluator *ev, const Argument *argument, Port *port) {
    const char *name = argument->name ? argument->name : "";
    if (!strcmp(name, "on")) return read_form_input(ev, argument, &port->of);
    if (!strcmp(name, "labels")) return read_label_file(ev, argument, port);
    if (!strcmp(name, "score")) return read_number(ev, argument, &port->score);
    return fail_arguments(ev, argument->span, "`boxes` takes `on`, `labels` and `score`",
                          "boxes(on = photo, labels = \"coco.txt\", score = 0.5)");
}

static bool read_boxes(Evaluator *ev, const Expr *form, const ArgumentList *arguments, Port *port) {
    Shape shape = port->node->shape;
    int64_t columns = 0;
    for (int i = 0; i < arguments->count; i++)
        if (!read_box_argument(ev, &arguments->items[i], port)) return false;
    if (shape.rank != 3 || shape.type != DTYPE_F32 || !dim_is_const(shape.dims[2], &columns) ||
        columns != 6) {
        Diagnostic *d = report(ev, DIAG_bad_form, form->span, "`boxes` is for f32[N, M, 6]; this is %s",
                               shape_string(ev->arena, shape));
        report_help(ev, d, "a row is left, top, right, bottom (in pixels of the input), score, class");
        return false;
    }
    if (port->of < 0)
        return fail_arguments(ev, form->span, "`boxes` needs the input that they are drawn on",
                              "boxes(on = photo)");
    return check_batch(ev, form, port, &ev->graph->inputs.items[port->of]);
}

/* ---- names ---- */

static bool read_form_names(Evaluator *ev, const Expr *form, const ArgumentList *arguments, Port *port) {
    Shape shape = port->node->shape;
    for (int i = 0; i < arguments->count; i++) {
        const Argument *a = &arguments->items[i];
        if (!a->name || strcmp(a->name, "of"))
            return fail_arguments(ev, a->span, "`names` takes `of`", "names(of = support)");
        if (!read_form_input(ev, a, &port->of)) return false;
    }
    if (port->of < 0)
        return fail_arguments(ev, form->span, "`names` needs the input whose pictures they are",
                              "names(of = support)");
    const Port *input = &ev->graph->inputs.items[port->of];
    bool whole = shape.type == DTYPE_I32 || shape.type == DTYPE_I64;
    if (shape.rank < 1 || shape.rank > 2 || !whole) {
        Diagnostic *d =
            report(ev, DIAG_bad_form, form->span, "`names` is for i32[N], or i32[N, K]; this is %s",
                   shape_string(ev->arena, shape));
        report_help(ev, d, "a number is a place among the pictures of `%s`, from 0", input->name);
        return false;
    }
    if (input->form == FORM_IMAGE) return true;
    report(ev, DIAG_bad_form, form->span, "names are those of pictures' files, and `%s` is no image",
           input->name);
    return false;
}

/* ---- text ---- */

typedef struct TextForm { /* what the arguments say */
    Port characters;
    bool blank_is_last;
} TextForm;

static bool read_blank(Evaluator *ev, const Argument *argument, bool *is_last) {
    Value v = evaluate(ev, argument->value);
    bool word = v.kind == VALUE_STRING, last = word && !strcmp(v.string, "last");
    *is_last = last;
    if (last || (word && !strcmp(v.string, "first"))) return true;
    if (v.kind != VALUE_ERROR)
        report(ev, DIAG_bad_form, argument->value->span,
               "`blank` is \"first\" or \"last\", the class that is no character; this is %s",
               value_describe(ev->arena, v));
    return false;
}

static bool read_text_argument(Evaluator *ev, const Argument *argument, TextForm *text) {
    if (argument->name && !strcmp(argument->name, "blank"))
        return read_blank(ev, argument, &text->blank_is_last);
    if (!argument->name && !argument->spread && !text->characters.labels)
        return read_label_file(ev, argument, &text->characters);
    return fail_arguments(ev, argument->span, "`text` takes a file of characters and `blank`",
                          "text(\"characters.txt\", blank = \"last\")");
}

static bool check_characters(Evaluator *ev, const Expr *form, const Port *port, int characters) {
    Shape shape = port->node->shape;
    int64_t classes;
    if (shape.rank != 3 || shape.type != DTYPE_F32 || !dim_is_const(shape.dims[2], &classes)) {
        Diagnostic *d = report(
            ev, DIAG_bad_form, form->span,
            "`text` is for scores of shape f32[N, T, classes], of a fixed number of classes; this is %s",
            shape_string(ev->arena, shape));
        report_help(ev, d, "T are the positions of characters, from left to right");
        return false;
    }
    if (classes == characters + 1) return true;
    Diagnostic *d = report(ev, DIAG_bad_form, form->span,
                           "%lld scores, but %d characters: with the blank they would have %d",
                           (long long)classes, characters, characters + 1);
    if (classes == characters + 2)
        report_help(ev, d, "networks that read spaces have one more character: a line that is one space");
    return false;
}

/* The characters become labels of the classes, that of the blank the empty one. */
static void label_characters(Evaluator *ev, const TextForm *text, Port *port) {
    int count = text->characters.label_count;
    const char **labels = NEW_ARRAY(ev->arena, const char *, count + 1);
    labels[text->blank_is_last ? count : 0] = "";
    memcpy(labels + !text->blank_is_last, text->characters.labels, sizeof *labels * (size_t)count);
    port->labels = labels;
    port->label_count = count + 1;
}

static bool read_text(Evaluator *ev, const Expr *form, const ArgumentList *arguments, Port *port) {
    TextForm text = {0};
    for (int i = 0; i < arguments->count; i++)
        if (!read_text_argument(ev, &arguments->items[i], &text)) return false;
    if (!text.characters.labels)
        return fail_arguments(ev, form->span, "`text` needs the file of its characters",
                              "text(\"characters.txt\")");
    if (!check_characters(ev, form, port, text.characters.label_count)) return false;
    label_characters(ev, &text, port);
    return true;
}

/* ---- all of them ---- */

static const struct Form {
    const char *name;
    PortForm form;
    bool (*read)(Evaluator *ev, const Expr *form, const ArgumentList *arguments, Port *port);
} forms[] = {{"labels", FORM_LABELS, read_labels},
             {"boxes", FORM_BOXES, read_boxes},
             {"names", FORM_NAMES, read_form_names},
             {"text", FORM_TEXT, read_text}};

bool read_form(Evaluator *ev, const Result *result, Port *port) {
    static const ArgumentList none = {0};
    const Expr *expr = result->form, *callee = expr->kind == EXPR_CALL ? expr->left : expr;
    port->of = -1;
    for (int i = 0; i < COUNT_OF(forms) && callee->kind == EXPR_NAME; i++) {
        if (strcmp(callee->name, forms[i].name)) continue;
        port->form = forms[i].form;
        return forms[i].read(ev, expr, expr->kind == EXPR_CALL ? &expr->arguments : &none, port);
    }
    Diagnostic *d = report(ev, DIAG_bad_form, expr->span, "there is no result form `%s`",
                           span_text(ev->arena, callee->span));
    report_help(ev, d, "the forms are `labels`, `boxes`, `names` and `text`");
    return false;
}
