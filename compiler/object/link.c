/* Links objects and the runtime to a program or a library. The linker is run directly;
 * the start files and libraries that a static program needs were found when cai was
 * installed, and are listed in link.txt beside the runtime, one a line:
 *
 *     option WORD   an option for programs: -static
 *     start FILE    before our objects, in order: crt1.o crti.o crtbeginT.o
 *     image FILE    libraries of programs that read or write pictures
 *     blas FILE     libraries of programs that call OpenBLAS
 *     data FILE     libraries of trainers, which read data sets
 *     system FILE   libraries of all programs: libm, libc, libgcc
 *     end FILE      after all: crtend.o crtn.o
 *     shared FILE   what shared libraries are linked with: libc.so.6
 *
 * A file's name is as the linker finds it: absolute, or beside link.txt. */
#include "object/object.h"
#include "files/files.h"
#include <unistd.h>

/* " libpng-dev ..." */
#define PICTURE(name, text, endings, begins, libraries, packages) " " packages
static const char picture_packages[] =
#include "files/formats.def"
    "";

typedef struct Link {
    Arena *arena;
    const LinkOptions *options;
    const char **error;
    Vec(const char *) arguments;
} Link;

static void add_link_argument(Link *link, const char *argument) {
    vec_push(link->arena, &link->arguments, argument);
}

static bool fail_link(Link *link, const char *text) {
    *link->error = text;
    return false;
}

/* ---- link.txt ---- */

static bool is_wanted(const Link *link, const char *line, const char *kind) {
    if (strcmp(kind, "image") == 0 && !link->options->images) return false;
    if (strcmp(kind, "blas") == 0 && !link->options->blas) return false;
    if (strcmp(kind, "data") == 0 && !link->options->trains) return false;
    return strncmp(line, kind, strlen(kind)) == 0 && line[strlen(kind)] == ' ';
}

static bool add_link_file(Link *link, const char *name) {
    const char *path =
        name[0] == '/' ? name : arena_printf(link->arena, "%s/%s", link->options->runtime_dir, name);
    if (access(path, R_OK) != 0)
        return fail_link(
            link, arena_printf(link->arena,
                               "%s is missing, which every program is linked with\n"
                               "  help: apt-get install libc6-dev%s, then install cai again (make install)",
                               path, picture_packages));
    add_link_argument(link, path);
    return true;
}

/* Adds what the lines of one kind name, in the order of the list: words, or files. */
static bool add_lines(Link *link, const char *list, const char *kind,
                      bool (*add_one)(Link *link, const char *name)) {
    for (const char *line = list; *line;) {
        size_t length = strcspn(line, "\n");
        if (is_wanted(link, line, kind)) {
            size_t skip = strlen(kind) + 1;
            if (!add_one(link, arena_strndup(link->arena, line + skip, length - skip))) return false;
        }
        line += length + (line[length] == '\n');
    }
    return true;
}

static bool add_link_word(Link *link, const char *word) {
    add_link_argument(link, word);
    return true;
}

static bool add_link_files(Link *link, const char *list, const char *kind) {
    return add_lines(link, list, kind, add_link_file);
}

static const char *read_list(Link *link) {
    cai_file file;
    cai_error failed;
    const char *path = arena_printf(link->arena, "%s/link.txt", link->options->runtime_dir);
    if (!cai_file_read(path, &file, &failed)) {
        fail_link(link,
                  arena_printf(link->arena, "%s\n  help: cai is not installed whole; run make install again",
                               failed.message));
        return NULL;
    }
    const char *text = arena_strndup(link->arena, (const char *)file.data, file.count);
    cai_file_close(&file);
    return text;
}

/* ---- the linker ---- */

static void add_options(Link *link, const char *const *options, int count) {
    for (int i = 0; i < count; i++) add_link_argument(link, options[i]);
}

static bool add_program(Link *link, const char *list, const char *const *objects, int count) {
    static const char *const options[] = {"--gc-sections", "-z", "norelro"};
    add_options(link, options, COUNT_OF(options));
    add_lines(link, list, "option", add_link_word);
    /* The runtime knows its codecs and its trainer by weak references only; these make
     * the linker take them. */
    if (link->options->trains) add_link_argument(link, "--undefined=cai_train_main");
    if (link->options->images) add_link_argument(link, "--undefined=cai_the_pictures");
    if (link->options->boxes) add_link_argument(link, "--undefined=cai_the_boxes");
    if (!add_link_files(link, list, "start")) return false;
    add_options(link, objects, count);
    if (link->options->blas && !strstr(list, "blas "))
        return fail_link(
            link, "OpenBLAS is not installed, which this program would call\n"
                  "  help: install libopenblas-serial-dev, then install cai again, or build without --blas");
    if (!add_link_file(link, "libcai_runtime.a") || !add_link_files(link, list, "image") ||
        !add_link_files(link, list, "blas") || !add_link_files(link, list, "data"))
        return false;
    add_link_argument(link, "--start-group");
    if (!add_link_files(link, list, "system")) return false;
    add_link_argument(link, "--end-group");
    return add_link_files(link, list, "end");
}

/* A library contains only those parts of the runtime that the functions of cai.h need, or
 * Python's module. */
static bool add_object(Link *link, const char *const *objects, int count) {
    static const char *const options[] = {"-r", "-S"};
    static const char *const functions[] = {"--undefined=cai_model_run", "--undefined=cai_model_to_pixels"};
    add_options(link, options, COUNT_OF(options));
    if (link->options->python) add_link_argument(link, "--undefined=PyInit__model");
    else add_options(link, functions, COUNT_OF(functions));
    add_options(link, objects, count);
    return add_link_file(link, "libcai_runtime.a");
}

/* The functions of cai.h get the model's name; Python finds a module by its own. */
static bool export_functions(Link *link, const char *object) {
    const LinkOptions *o = link->options;
    const char *from = o->python ? "PyInit_" : "cai_model_";
    const char *prefix = o->python ? from : arena_printf(link->arena, "%s_", o->prefix);
    return export_symbols(object, from, prefix, o->exported, link->arena, link->error);
}

static bool add_shared(Link *link, const char *list, const char *const *objects, int count) {
    static const char *const options[] = {"-shared", "--gc-sections", "-s", "-z", "relro", "-z", "now"};
    static const char *const whole[] = {"-z", "defs"};
    add_options(link, options, COUNT_OF(options));
    if (!link->options->python) add_options(link, whole, COUNT_OF(whole)); /* Python has its functions */
    if (link->options->soname)
        add_link_argument(link, arena_printf(link->arena, "-soname=%s", link->options->soname));
    add_options(link, objects, count);
    return add_link_files(link, list, "shared");
}

static bool add_link_arguments(Link *link, const char *const *objects, int count, const char *output) {
    static const char *const options[] = {"ld" /* replaced by the linker that is found */, "--build-id=none",
                                          "-z", "noexecstack", "-o"};
    const char *list = read_list(link);
    if (!list) return false;
    add_options(link, options, COUNT_OF(options));
    add_link_argument(link, output);
    bool added = false;
    switch (link->options->form) {
    case LINK_PROGRAM: added = add_program(link, list, objects, count); break;
    case LINK_OBJECT: added = add_object(link, objects, count); break;
    case LINK_SHARED: added = add_shared(link, list, objects, count); break;
    }
    add_link_argument(link, NULL);
    return added;
}

static bool run_linker(Link *link) {
    static const char *const linkers[] = {"ld", "ld.lld", "ld.lld-19", "ld.gold"};
    Process process = process_run(link->arena, linkers, COUNT_OF(linkers), link->arguments.items);
    if (process.status == 0) return true;
    if (process.status == PROCESS_MISSING)
        return fail_link(link, "there is no linker (ld or ld.lld) on the PATH\n  help: install binutils");
    if (process.status == PROCESS_FAILED)
        return fail_link(link, arena_printf(link->arena, "the linker cannot be run: %s", process.said));
    return fail_link(link, arena_printf(link->arena, "the linker failed (%s):\n%s", link->arguments.items[0],
                                        process.said));
}

bool link_objects(const char *const *objects, int count, const char *linked, const LinkOptions *options,
                  Arena *arena, const char **error) {
    Link link = {.arena = arena, .options = options, .error = error};
    bool done = add_link_arguments(&link, objects, count, linked) && run_linker(&link);
    if (!done || options->form != LINK_OBJECT) return done;
    return export_functions(&link, linked);
}
