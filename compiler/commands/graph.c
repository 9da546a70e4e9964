/* cai graph: draws networks and train blocks, through Graphviz. */
#include "commands/commands.h"
#include "draw/draw.h"
#include "files/files.h"
#include <stdlib.h>

static bool fail_drawing(Session *s, const char *message) {
    diag_error(&s->diag, DIAG_file, (Span){0}, "%s", message);
    return false;
}

/* Graphviz reads the text from a file beside the picture, and writes to the name that
 * cai_output reserved there. */
static bool run_dot(Session *s, const char *text, const char *format, const char *path) {
    static const char *const programs[] = {"dot"};
    cai_error error;
    cai_output output;
    if (!cai_output_open(path, &output, &error)) return fail_drawing(s, error.message);
    const char *source = scratch_file(s, path, "dot");
    if (!cai_file_write(source, text, strlen(text), &error)) {
        cai_output_discard(&output);
        return fail_drawing(s, error.message);
    }
    const char *arguments[] = {
        "", arena_printf(s->arena, "-T%s", format), "-o", output.beside ? output.beside : path, source, NULL};
    Process process = process_run(s->arena, programs, COUNT_OF(programs), arguments);
    scratch_remove();
    if (process.status == 0) return cai_output_finish(&output, &error) || fail_drawing(s, error.message);
    cai_output_discard(&output);
    if (process.status == PROCESS_MISSING) {
        Diagnostic *d = diag_error(&s->diag, DIAG_no_graphviz, (Span){0},
                                   "there is no Graphviz (dot) on the PATH, which draws the picture");
        diag_help(&s->diag, d, "install graphviz; -o NAME.dot writes what it would read");
        return false;
    }
    return fail_drawing(s, arena_printf(s->arena, "Graphviz failed:\n%s", process.said));
}

static bool write_picture(Session *s, const char *text, const char *path) {
    cai_error error;
    const char *format = picture_format(s, path, "dot");
    if (!format) return false;
    if (strcmp(format, "dot") != 0) return run_dot(s, text, format, path);
    return cai_file_write(path, text, strlen(text), &error) || fail_drawing(s, error.message);
}

static bool read_depth(Session *s, int *unfold) {
    const char *depth = s->options->depth;
    char *end;
    *unfold = UNFOLD_BY_SIZE;
    if (!depth) return true;
    long value = strtol(depth, &end, 10);
    if (*end || end == depth || value < 0 || value > 100) return false;
    *unfold = (int)value;
    return true;
}

/* The layer of that path, or -1 with an error. */
static int find_layer(Session *s, const Model *model, const char *path) {
    const char **names = NEW_ARRAY(s->arena, const char *, model->runs.count + 1);
    for (int l = 0; l < model->runs.count; l++) {
        names[l] = model->runs.items[l].path;
        if (strcmp(names[l], path) == 0) return l;
    }
    Diagnostic *d = diag_error(&s->diag, DIAG_no_layer, (Span){0}, "model `%s` has no layer `%s`",
                               model->decl->name, path);
    const char *nearest = nearest_name(path, names, model->runs.count);
    if (nearest) diag_help(&s->diag, d, "did you mean `%s`?", nearest);
    return -1;
}

/* A train block is drawn whole. */
static int draw_block(Session *s, Library *library, int block) {
    const Options *o = s->options;
    if (o->layer || o->depth || o->gradient)
        return session_usage(s,
                             "a train block is drawn whole: --layer, --depth and --gradient are of models");
    const Training *training = elaborate_training(library, block);
    if (!training) return session_end(s);
    const char *text = draw_training(s->arena, training);
    if (o->output) write_picture(s, text, o->output);
    else fputs(text, stdout);
    return session_end(s);
}

int command_graph(Session *session) {
    const Options *o = session->options;
    const char *name = o->rest.count ? o->rest.items[0] : NULL;
    int unfold;
    if (o->rest.count > 1)
        return session_usage(session, "one model is drawn, and `%s` is one more", o->rest.items[1]);
    if (!read_depth(session, &unfold))
        return session_usage(session, "--depth is a number from 0 to 100, not `%s`", o->depth);
    Library *library = build_open(session);
    ModelList all = {0};
    int block = library && name ? trainer_find(library, name) : -1;
    if (block >= 0) return draw_block(session, library, block);
    int index = library && (name || o->layer) ? build_pick(session, library, name) : 0;
    if (!library || index < 0 ||
        !(build_elaborate_all(session, library, &all) || build_can_be_shown(session, &all)))
        return session_end(session);
    Drawing *drawings = NEW_ARRAY(session->arena, Drawing, all.count + 1);
    int count = 0, layer = o->layer ? find_layer(session, all.items[index], o->layer) : -1;
    if (o->layer && layer < 0) return session_end(session);
    for (int i = 0; i < all.count; i++)
        if ((!name && !o->layer) || i == index)
            drawings[count++] = draw_model(session->arena, all.items[i], layer, unfold, o->gradient);
    const char *text = draw_dot(session->arena, drawings, count);
    if (o->output) write_picture(session, text, o->output);
    else fputs(text, stdout);
    return session_end(session);
}
