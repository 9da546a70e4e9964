/* Result forms: `as labels("imagenet.txt", top = 5)` names the classes of a score. */
#include "elaborate/evaluator.h"

#include <errno.h>

/* Beside the .cai, else in the standard library. */
static char *find_labels(Evaluator *ev, const char *name) {
    const char *path = ev->library->main->file->source->path, *slash = strrchr(path, '/');
    const char *folder = slash && *name != '/' ? arena_strndup(ev->arena, path, (size_t)(slash - path) + 1) : "";
    size_t length;
    char *text = read_file(ev->arena, arena_printf(ev->arena, "%s%s", folder, name), &length);
    if (!text && errno == ENOENT && *name != '/')
        text = read_file(ev->arena, arena_printf(ev->arena, "%s/%s", ev->library->options.stdlib_dir, name), &length);
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

static bool read_arguments(Evaluator *ev, const Expr *form, Port *port, Name *file) {
    Arguments arguments = evaluate_arguments(ev, &form->arguments);
    for (int i = 0; i < arguments.given.count && !arguments.failed; i++) {
        const Binding *g = &arguments.given.items[i];
        if (!g->name && g->value.kind == VALUE_STRING && !*file) *file = g->value.string;
        else if (g->name && !strcmp(g->name, "top") && g->value.kind == VALUE_INT && g->value.integer > 0 &&
                 g->value.integer <= 1000)
            port->top = (int)g->value.integer;
        else {
            Diagnostic *d = report(ev, "bad-form", g->span, "`labels` takes a file's name and `top`");
            report_help(ev, d, "labels(\"imagenet.txt\", top = 5)");
            return false;
        }
    }
    return !arguments.failed;
}

static bool check_scores(Evaluator *ev, const Expr *form, const Port *port) {
    Shape shape = port->node->shape;
    int64_t classes;
    if (shape.rank != 2) {
        report(ev, "bad-form", form->span, "`labels` is for scores of shape [N, classes]; this is %s",
               shape_string(ev->arena, shape));
        return false;
    }
    if (!port->labels || !dim_is_const(shape.dims[1], &classes) || classes == port->label_count) return true;
    report(ev, "bad-form", form->span, "%lld scores, but %d labels", (long long)classes, port->label_count);
    return false;
}

bool read_labels(Evaluator *ev, const Result *result, Port *port) {
    const Expr *form = result->form, *callee = form->kind == EXPR_CALL ? form->left : form;
    Name file = NULL;
    port->top = 5;
    port->form = FORM_LABELS;
    const char *name = callee->kind == EXPR_NAME ? callee->name : "";
    if (!strcmp(name, "boxes") || !strcmp(name, "names")) {
        report(ev, "later", form->span, "the form `%s` comes in a later version of cai", name);
        return false;
    }
    if (strcmp(name, "labels")) {
        Diagnostic *d = report(ev, "bad-form", form->span, "there is no result form `%s`", span_text(ev->arena, callee->span));
        report_help(ev, d, "the forms are `labels`, `boxes` and `names`");
        return false;
    }
    if (form->kind == EXPR_CALL && !read_arguments(ev, form, port, &file)) return false;
    if (file) {
        char *text = find_labels(ev, file);
        if (!text) {
            Diagnostic *d = report(ev, "no-such-file", form->span, "cannot read the labels in %s: %s", file, why_unreadable(ev->arena));
            report_help(ev, d, "the file is looked for beside the .cai file and in the standard library");
            return false;
        }
        split_lines(ev, text, port);
        if (port->label_count == 0) {
            report(ev, "bad-form", form->span, "%s has no labels: a line is one", file);
            return false;
        }
    }
    return check_scores(ev, form, port);
}
