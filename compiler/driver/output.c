/* Makes the output from a model's code and weights: a program, a library with its header,
 * or a Python package. The forms of libraries build on each other: an object with the
 * symbols of a library, an archive of that object, a shared library of it. The linker
 * sees a page in place of the weights, which are then embedded where the linker put that
 * page. */
#include "object/object.h"
#include "driver/driver.h"
#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kinds[] = {
    [OUTPUT_PROGRAM] = "program", [OUTPUT_SHARED] = "shared", [OUTPUT_STATIC] = "static",
    [OUTPUT_OBJECT] = "object",   [OUTPUT_WHEEL] = "wheel",   [OUTPUT_ONNX] = "onnx"};

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

static const char *after_digits(const char *at) {
    while (isdigit((unsigned char)*at)) at++;
    return at;
}

/* What Python takes as it is (PEP 440): numbers with points between, and what of the
 * version it is. */
bool is_package_version(const char *text) {
    static const char *const parts[] = {"a", "b", "rc", ".post", ".dev"};
    const char *at = after_digits(text);
    while (at > text && *at == '.' && isdigit((unsigned char)at[1])) at = after_digits(at + 1);
    for (int i = 0; at > text && i < COUNT_OF(parts); i++) {
        size_t length = strlen(parts[i]);
        if (strncmp(at, parts[i], length) == 0 && isdigit((unsigned char)at[length]))
            at = after_digits(at + length);
    }
    return at > text && !*at;
}

/* The model's name as a C identifier, with _ for characters that C does not allow. */
static const char *c_name(Arena *arena, const char *name) {
    char *made = arena_printf(arena, "%s%s", isdigit((unsigned char)*name) ? "_" : "", name);
    for (char *at = made; *at; at++)
        if (!isalnum((unsigned char)*at)) *at = '_';
    return made;
}

static const char *version_of_package(const Session *s) {
    return s->options->package_version ? s->options->package_version : "1.0";
}

static Output plan_wheel(Session *s, const char *name, const char *folder) {
    const char *package = python_name(s->arena, name), *version = version_of_package(s);
    const size_t length = strlen(folder);
    const char *slash = length && folder[length - 1] != '/' ? "/" : "";
    const char *path = arena_printf(s->arena, "%s%s%s-%s.whl", folder, slash, package, version);
    return (Output){.kind = OUTPUT_WHEEL, .path = path, .prefix = package};
}

Output output_plan(Session *s, const char *model, const char *path) {
    static const char *const begins[] = {
        [OUTPUT_SHARED] = "lib", [OUTPUT_STATIC] = "lib", [OUTPUT_OBJECT] = ""};
    static const char *const ends[] = {[OUTPUT_SHARED] = "so", [OUTPUT_STATIC] = "a", [OUTPUT_OBJECT] = "o"};
    Output output = {.path = path ? path : model};
    output_kind(s->options->kind, &output.kind);
    if (output.kind == OUTPUT_PROGRAM) return output;
    if (output.kind == OUTPUT_ONNX) {
        if (!path) output.path = arena_printf(s->arena, "%s.onnx", model);
        return output;
    }
    output.prefix = s->options->name ? s->options->name : c_name(s->arena, model);
    if (output.kind == OUTPUT_WHEEL) return plan_wheel(s, output.prefix, path ? path : "");
    if (!path)
        output.path =
            arena_printf(s->arena, "%s%s.%s", begins[output.kind], output.prefix, ends[output.kind]);
    output.header =
        arena_printf(s->arena, "%s/%s.h", dirname(arena_printf(s->arena, "%s", output.path)), output.prefix);
    return output;
}

/* ---- whether outputs can be written: checked before the work, not after it ---- */

/* An existing output may be replaced only where it is a regular file. */
static bool can_write(Session *s, const char *path) {
    struct stat status;
    const char *folder = dirname(arena_printf(s->arena, "%s", path)), *why;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        why = S_ISDIR(status.st_mode) ? "it is a folder" : "it is not a regular file";
    else if (stat(folder, &status) != 0 || access(folder, W_OK | X_OK) != 0) why = strerror(errno);
    else if (!S_ISDIR(status.st_mode)) why = "its folder is none";
    else return true;
    Diagnostic *d = diag_error(&s->diag, DIAG_output, (Span){0}, "%s cannot be written: %s", path, why);
    const char *kind = s->options->kind;
    if (kind && strcmp(kind, kinds[OUTPUT_WHEEL]) == 0)
        diag_help(&s->diag, d, "-o is the folder of a wheel, whose name follows from what it needs");
    else if (!s->options->output) diag_help(&s->diag, d, "-o says where the program goes");
    return false;
}

bool output_check(Session *s, const Output *output) {
    if (!can_write(s, output->path)) return false;
    if (!output->header) return true;
    if (!can_write(s, output->header)) return false;
    if (header_is_ours(output->header)) return true;
    Diagnostic *d = diag_error(&s->diag, DIAG_output, (Span){0},
                               "%s is there, and not by cai: it would be replaced by the library's header",
                               output->header);
    diag_help(&s->diag, d, "--name gives the library and its header another name, -o another folder");
    return false;
}

/* ---- linking ---- */

static bool graph_has_pictures(const Graph *graph) {
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
        if (program->launches.items[i]->proposal.calls_blas) return true;
    return false;
}

typedef struct Making {
    Session *session;
    const Output *output;
    const char *wheel; /* the path of the one that was made */
    LinkOptions link;
    PackedWeights weights;
    Stopwatch watch;
    DiagCode code; /* the code of `error`, if there is one */
    const char *error;
} Making;

static const char *output_scratch(const Making *m, const char *ending) {
    return scratch_file(m->session, m->output->path, ending);
}

static bool link_to(Making *m, const char *const *objects, int count, const char *linked) {
    bool done = link_objects(objects, count, linked, &m->link, m->session->arena, &m->error);
    stopwatch_lap(m->session, &m->watch, "link");
    return done;
}

static EmbedResult embed_weights_in(Making *m, const char *linked, const char *path) {
    EmbedResult result = weights_embed(&m->weights, linked, path, &m->error);
    if (result == EMBED_FAILED) m->code = DIAG_weights;
    progress_end();
    stopwatch_lap(m->session, &m->watch, "weights");
    return result;
}

/* For a linker whose output the weights cannot be embedded in: the weights are embedded
 * in the last object, and linked along with it. */
static bool link_with_weights(Making *m, const char *const *objects, int count, const char *linked,
                              const char *path) {
    const char **full = NEW_ARRAY(m->session->arena, const char *, count);
    memcpy(full, objects, sizeof *full * (size_t)count);
    full[count - 1] = output_scratch(m, "weights.o");
    return embed_weights_in(m, objects[count - 1], full[count - 1]) == EMBED_DONE &&
           link_to(m, full, count, linked) && linked_copy(linked, path, m->session->arena, &m->error);
}

/* Links objects, the last of which is the weights stub, to the file `path` with its
 * weights. */
static bool link_whole(Making *m, const char *const *objects, int count, const char *path) {
    const char *linked = output_scratch(m, "linked");
    if (!link_to(m, objects, count, linked)) return false;
    if (!m->weights.program->weights_bytes) return linked_copy(linked, path, m->session->arena, &m->error);
    EmbedResult result = embed_weights_in(m, linked, path);
    return result == EMBED_REFUSED ? link_with_weights(m, objects, count, linked, path)
                                   : result == EMBED_DONE;
}

/* Where it went is told, since only now its whole name is known. */
static bool make_wheel(Making *m, const char *extension) {
    Arena *arena = m->session->arena;
    const char *name = strrchr(m->output->path, '/');
    const size_t folder = name ? (size_t)(name + 1 - m->output->path) : 0;
    const WheelOptions options = {m->output->prefix, version_of_package(m->session),
                                  arena_strndup(arena, m->output->path, folder)};
    const char *scratch = output_scratch(m, "whl");
    const char *path = wheel_write(m->weights.program, extension, &options, scratch, &m->error);
    if (!path) return false;
    if (rename(scratch, path) != 0) {
        m->error = arena_printf(arena, "%s cannot be written: %s", path, strerror(errno));
        return false;
    }
    m->wheel = path;
    printf("%s\n", path);
    return true;
}

static bool make_package(Making *m, const char *const *objects, int count) {
    const char *whole = output_scratch(m, "model.o"), *extension = output_scratch(m, "so");
    m->link.python = true;
    m->link.form = LINK_OBJECT;
    if (!link_to(m, objects, count, whole)) return false;
    m->link.form = LINK_SHARED;
    return link_whole(m, &whole, 1, extension) && make_wheel(m, extension);
}

static bool make_library(Making *m, const char *const *objects, int count) {
    ExportedNames exported = {0};
    m->link.exported = &exported;
    m->link.form = LINK_OBJECT;
    if (m->output->kind == OUTPUT_OBJECT) return link_whole(m, objects, count, m->output->path);
    const char *whole = output_scratch(m, "model.o");
    if (m->output->kind == OUTPUT_STATIC)
        return link_whole(m, objects, count, whole) &&
               archive_write(whole, &exported, m->output->path, m->session->arena, &m->error);
    if (!link_to(m, objects, count, whole)) return false;
    m->link.form = LINK_SHARED;
    m->link.soname = basename(arena_printf(m->session->arena, "%s", m->output->path));
    return link_whole(m, &whole, 1, m->output->path);
}

static bool make_output(Making *m, const char *code) {
    const Program *program = m->weights.program;
    const char *objects[] = {code, output_scratch(m, "place.o")};
    const int count = program->weights_bytes ? 2 : 1;
    if (count == 2 && !weights_stub_write(program, objects[1], &m->error)) return false;
    if (m->output->kind == OUTPUT_PROGRAM) return link_whole(m, objects, count, m->output->path);
    if (m->output->kind == OUTPUT_WHEEL) return make_package(m, objects, count);
    return make_library(m, objects, count) &&
           header_write(program, m->output->prefix, m->session->runtime_dir, m->output->header, &m->error);
}

bool output_make(Session *s, const Program *program, Weights *weights, const char *code, Output *output) {
    RefSource source = weights_source(weights);
    Making making = {.session = s,
                     .output = output,
                     .watch = stopwatch_start(),
                     .code = DIAG_link,
                     .error = "",
                     .weights = {program, &source, progress_weights},
                     .link = {.runtime_dir = session_runtime(s, program->target),
                              .images = graph_has_pictures(program->graph),
                              .boxes = has_boxes(program->graph),
                              .blas = calls_blas(program),
                              .prefix = output->prefix}};
    bool made = make_output(&making, code);
    if (making.wheel) output->path = making.wheel;
    if (!made) diag_error(&s->diag, making.code, (Span){0}, "%s", making.error);
    return made;
}

bool output_make_trainer(Session *s, const Target *target, const char *code, const Output *output) {
    Making making = {.session = s,
                     .output = output,
                     .watch = stopwatch_start(),
                     .code = DIAG_link,
                     .error = "",
                     .link = {.runtime_dir = session_runtime(s, target), .images = true, .trains = true}};
    const char *linked = output_scratch(&making, "linked");
    bool made =
        link_to(&making, &code, 1, linked) && linked_copy(linked, output->path, s->arena, &making.error);
    if (!made) diag_error(&s->diag, making.code, (Span){0}, "%s", making.error);
    return made;
}
