/* From an ONNX file's bytes to the text of a model. */
#include "import/import.h"

/* Reports operators that could not be read: a line for each kind, with how often and at
 * which nodes. */
static void report_unread_operators(Import *im) {
    enum { NODES_TOLD = 3 };
    bool *reported = NEW_ARRAY(im->arena, bool, im->unread.count);
    for (int i = 0; i < im->unread.count; i++) {
        const Unread *first = &im->unread.items[i];
        Text nodes = {.arena = im->arena};
        int count = 0;
        for (int k = i; k < im->unread.count && !reported[i]; k++) {
            const Unread *other = &im->unread.items[k];
            if (reported[k] || strcmp(first->node->op, other->node->op) || strcmp(first->why, other->why))
                continue;
            if (k > i) reported[k] = true;
            const char *name = *other->node->name          ? other->node->name
                               : other->node->output_count ? other->node->outputs[0]
                                                           : "";
            if (count < NODES_TOLD) text_add(&nodes, "%s`%s`", count ? ", " : "", name);
            else if (count == NODES_TOLD) text_add(&nodes, ", ..");
            count++;
        }
        if (!count) continue;
        diag_error(im->diag, DIAG_onnx_operator, (Span){0}, "%s (%d node%s: %s): %s", first->node->op, count,
                   count == 1 ? "" : "s", text_string(&nodes), first->why);
    }
}

static void cut_unread(Import *im) {
    for (int i = 0; i < im->unread.count; i++)
        for (int k = 0; k < im->unread.items[i].node->output_count; k++)
            vec_push(im->arena, &im->cut, im->unread.items[i].node->outputs[k]);
}

static const char *first_comment(Import *im, const char *path) {
    const char *slash = strrchr(path, '/'), *producer = im->model->producer;
    Text text = {.arena = im->arena};
    text_add(&text, "# Read from %s by `cai import`: opset %d", slash ? slash + 1 : path, im->model->opset);
    if (*producer)
        text_add(&text, ", made by %s%s%s", producer, *im->model->producer_version ? " " : "",
                 im->model->producer_version);
    text_add(&text, ".\n");
    for (int i = 0; i < im->cut.count; i++)
        text_add(&text, "%s`%s`", i ? ", " : "# Inputs in place of what can't be read: ", im->cut.items[i]);
    return arena_printf(im->arena, "%s%s", text_string(&text), im->cut.count ? ".\n" : "");
}

void add_remark(Import *im, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *line = arena_vprintf(im->arena, format, arguments), *before = im->remarks ? im->remarks : "";
    va_end(arguments);
    if (!strstr(before, line)) im->remarks = arena_printf(im->arena, "%s%s", before, line);
}

static Import import_begin(Arena *arena, Names *names, Diagnostics *diag, const OnnxModel *model,
                           const ImportOptions *options) {
    return (Import){.arena = arena,
                    .names = names,
                    .diag = diag,
                    .options = options->elaborate,
                    .partial = options->partial,
                    .model = model,
                    .multiple = 1};
}

/* Where free heights and widths leave nodes unread, they may have to be multiples: a map
 * that was halved five times may meet one that was not. */
static bool import_with_multiples(Import *im, const Import *fresh) {
    static const int multiples[] = {1, 32, 64, 256};
    for (int i = 0; i < COUNT_OF(multiples); i++) {
        Import again = *fresh;
        again.multiple = multiples[i];
        if (!import_graph(&again)) {
            if (i == 0) *im = again;
            return i > 0;
        }
        if (i > 0 && !strcmp(again.where, im->where)) return true; /* no size is a height or width */
        if (i == 0 || !again.unread.count || again.lines.count > im->lines.count) *im = again;
        if (!im->unread.count) return true;
    }
    return true;
}

bool import_onnx(Arena *arena, Names *names, Diagnostics *diag, const char *path, const unsigned char *bytes,
                 size_t count, const ImportOptions *options, Import *im, Written *out) {
    const OnnxModel *model = onnx_read(arena, names, diag, path, bytes, count);
    if (!model) return false;
    Import fresh = import_begin(arena, names, diag, model, options);
    if (!read_asked_pictures(&fresh, options->images) ||
        !choose_outputs(arena, names, diag, model->graph, options->outputs))
        return false;
    if (!import_with_multiples(im, &fresh)) {
        report_unread_operators(im);
        return false;
    }
    while (im->unread.count && options->partial) { /* cutting may uncover more */
        cut_unread(im);
        fresh.cut.items = im->cut.items, fresh.cut.count = fresh.cut.capacity = im->cut.count,
        fresh.multiple = im->multiple;
        *im = fresh;
        if (!import_graph(im)) return false;
    }
    report_unread_operators(im);
    if (im->unread.count) return false;
    return import_write(im, identifier(im, options->model, "model"), first_comment(im, path), out);
}
