/* What building makes of a model's two objects, code and weights: a program, or a library with its header. Libraries are steps of
 * one stair: an object with the names that a library has, an archive of that object, a shared library of it. */
#include "backend/backend.h"
#include "commands/commands.h"
#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kinds[] = {[OUTPUT_PROGRAM] = "program", [OUTPUT_SHARED] = "shared", [OUTPUT_STATIC] = "static",
                                    [OUTPUT_OBJECT] = "object"};

bool output_kind(const char *word, OutputKind *kind) {
    *kind = OUTPUT_PROGRAM;
    for (int i = 0; i < COUNT_OF(kinds) && word; i++) {
        if (strcmp(kinds[i], word) != 0) continue;
        *kind = (OutputKind)i;
        return true;
    }
    return !word;
}

/* ---- names ---- */

bool is_c_name(const char *text) {
    for (const char *at = text; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_') return false;
    return *text && !isdigit((unsigned char)*text);
}

/* The model's name where C can say it; else with _ for what C cannot. */
static const char *c_name(Arena *arena, const char *name) {
    char *made = arena_printf(arena, "%s%s", isdigit((unsigned char)*name) ? "_" : "", name);
    for (char *at = made; *at; at++)
        if (!isalnum((unsigned char)*at)) *at = '_';
    return made;
}

Output output_plan(Session *s, const char *model, const char *path) {
    static const char *const begins[] = {[OUTPUT_SHARED] = "lib", [OUTPUT_STATIC] = "lib", [OUTPUT_OBJECT] = ""};
    static const char *const ends[] = {[OUTPUT_SHARED] = "so", [OUTPUT_STATIC] = "a", [OUTPUT_OBJECT] = "o"};
    Output output = {.path = path ? path : model};
    output_kind(s->options->kind, &output.kind);
    if (output.kind == OUTPUT_PROGRAM) return output;
    output.prefix = s->options->name ? s->options->name : c_name(s->arena, model);
    if (!path) output.path = arena_printf(s->arena, "%s%s.%s", begins[output.kind], output.prefix, ends[output.kind]);
    output.header = arena_printf(s->arena, "%s/%s.h", dirname(arena_printf(s->arena, "%s", output.path)), output.prefix);
    return output;
}

/* ---- whether they can be written: found out before the work, not after it ---- */

/* What is there already may be replaced only where it is a file. */
static bool can_write(Session *s, const char *path) {
    struct stat status;
    const char *folder = dirname(arena_printf(s->arena, "%s", path)), *why;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) why = S_ISDIR(status.st_mode) ? "it is a folder" : "it is not a regular file";
    else if (stat(folder, &status) != 0 || access(folder, W_OK | X_OK) != 0) why = strerror(errno);
    else if (!S_ISDIR(status.st_mode)) why = "its folder is none";
    else return true;
    Diagnostic *d = diag_error(&s->diag, DIAG_output, (Span){0}, "%s cannot be written: %s", path, why);
    if (!s->options->output) diag_help(&s->diag, d, "-o says where the program goes");
    return false;
}

bool output_check(Session *s, const Output *output) {
    if (!can_write(s, output->path)) return false;
    if (!output->header) return true;
    if (!can_write(s, output->header)) return false;
    if (header_is_ours(output->header)) return true;
    Diagnostic *d = diag_error(&s->diag, DIAG_output, (Span){0}, "%s is there, and not by cai: it would be replaced by the library's header",
                               output->header);
    diag_help(&s->diag, d, "--name gives the library and its header another name, -o another folder");
    return false;
}

/* ---- linking ---- */

static bool has_pictures(const Graph *graph) {
    for (int i = 0; i < graph->inputs.count; i++)
        if (graph->inputs.items[i].form == FORM_IMAGE) return true;
    for (int i = 0; i < graph->outputs.count; i++)
        if (graph->outputs.items[i].form == FORM_IMAGE) return true;
    return false;
}

static bool has_boxes(const Graph *graph) {
    for (int i = 0; i < graph->outputs.count; i++)
        if (graph->outputs.items[i].form == FORM_BOXES) return true;
    return false;
}

static bool calls_blas(const Program *program) {
    for (int i = 0; i < program->launches.count; i++)
        if (program->launches.items[i]->kind == &kernel_kinds[KERNEL_blas]) return true;
    return false;
}

static bool make_library(Session *s, const char *const *objects, int count, const Output *output, LinkOptions *options,
                         const char **error) {
    ExportedNames exported = {0};
    options->exported = &exported;
    options->form = LINK_OBJECT;
    if (output->kind == OUTPUT_OBJECT) return link_output(objects, count, output->path, options, s->arena, error);
    const char *whole = scratch_file(s, output->path, "model.o");
    if (!link_output(objects, count, whole, options, s->arena, error)) return false;
    if (output->kind == OUTPUT_STATIC) return archive_write(whole, &exported, output->path, s->arena, error);
    options->form = LINK_SHARED;
    options->soname = basename(arena_printf(s->arena, "%s", output->path));
    return link_output(&whole, 1, output->path, options, s->arena, error);
}

bool output_link(Session *s, const Program *program, const char *code, const char *data, const Output *output) {
    const char *error = "", *objects[] = {code, data};
    LinkOptions options = {.runtime_dir = s->runtime_dir, .images = has_pictures(program->graph),
                           .boxes = has_boxes(program->graph), .blas = calls_blas(program),
                           .prefix = output->prefix};
    Stopwatch watch = stopwatch_start();
    bool made = output->kind == OUTPUT_PROGRAM
                    ? link_output(objects, COUNT_OF(objects), output->path, &options, s->arena, &error)
                    : make_library(s, objects, COUNT_OF(objects), output, &options, &error) &&
                          header_write(program, output->prefix, s->runtime_dir, output->header, &error);
    if (!made) diag_error(&s->diag, DIAG_link, (Span){0}, "%s", error);
    stopwatch_lap(s, &watch, "link");
    return made;
}
