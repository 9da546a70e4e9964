/* Objects and the runtime become a program. The linker is run directly; which start files and libraries a static program needs
 * was found out when cai was installed, and stands in link.txt beside the runtime, a line each:
 *
 *     start FILE    before our objects, in order: crt1.o crti.o crtbeginT.o
 *     image FILE    libraries of programs that read or write pictures
 *     blas FILE     libraries of programs that call OpenBLAS
 *     system FILE   libraries of all programs: libm, libc, libgcc
 *     end FILE      after all: crtend.o crtn.o
 *
 * A file's name is as the linker finds it: absolute, or beside link.txt. */
#include "backend/backend.h"
#include "runtime.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Link {
    Arena *arena;
    const LinkOptions *options;
    const char **error;
    Vec(const char *) arguments;
} Link;

static void add(Link *link, const char *argument) { vec_push(link->arena, &link->arguments, argument); }

static bool fail(Link *link, const char *text) {
    *link->error = text;
    return false;
}

/* ---- link.txt ---- */

static bool is_wanted(const Link *link, const char *line, const char *kind) {
    if (strcmp(kind, "image") == 0 && !link->options->images) return false;
    if (strcmp(kind, "blas") == 0 && !link->options->blas) return false;
    return strncmp(line, kind, strlen(kind)) == 0 && line[strlen(kind)] == ' ';
}

static bool add_file(Link *link, const char *name) {
    const char *path = name[0] == '/' ? name : arena_printf(link->arena, "%s/%s", link->options->runtime_dir, name);
    if (access(path, R_OK) != 0)
        return fail(link, arena_printf(link->arena, "%s is missing, which every program is linked with\n"
                                       "  help: install libc6-dev, libpng-dev and libjpeg-dev, then install cai again (make install)", path));
    add(link, path);
    return true;
}

/* Adds the files of one kind, in the list's order. */
static bool add_files(Link *link, const char *list, const char *kind) {
    for (const char *line = list; *line;) {
        size_t length = strcspn(line, "\n");
        if (is_wanted(link, line, kind)) {
            size_t skip = strlen(kind) + 1;
            if (!add_file(link, arena_strndup(link->arena, line + skip, length - skip))) return false;
        }
        line += length + (line[length] == '\n');
    }
    return true;
}

static const char *read_list(Link *link) {
    cai_file file;
    cai_error failed;
    const char *path = arena_printf(link->arena, "%s/link.txt", link->options->runtime_dir);
    if (!cai_file_read(path, &file, &failed)) {
        fail(link, arena_printf(link->arena, "%s\n  help: cai is not installed whole; run make install again", failed.message));
        return NULL;
    }
    const char *text = arena_strndup(link->arena, (const char *)file.data, file.count);
    cai_file_close(&file);
    return text;
}

/* ---- the linker ---- */

static bool add_arguments(Link *link, const char *const *objects, int count, const char *output) {
    static const char *const options[] = {"-static", "--gc-sections", "-s", "--build-id=none", "-z", "noexecstack", "-z",
                                          "norelro"};
    const char *list = read_list(link);
    if (!list) return false;
    add(link, "ld"); /* replaced by the one that is found */
    for (int i = 0; i < COUNT_OF(options); i++) add(link, options[i]);
    /* The runtime knows its codecs by weak references only; these make the linker take them. */
    if (link->options->images) add(link, "--undefined=cai_image_decode");
    if (link->options->images) add(link, "--undefined=cai_image_write");
    add(link, "-o");
    add(link, output);
    if (!add_files(link, list, "start")) return false;
    for (int i = 0; i < count; i++) add(link, objects[i]);
    if (link->options->blas && !strstr(list, "blas "))
        return fail(link, "OpenBLAS is not installed, which this program would call\n"
                          "  help: install libopenblas-serial-dev, then install cai again, or build without --blas");
    if (!add_file(link, "libcai_runtime.a") || !add_files(link, list, "image") || !add_files(link, list, "blas")) return false;
    add(link, "--start-group");
    if (!add_files(link, list, "system")) return false;
    add(link, "--end-group");
    if (!add_files(link, list, "end")) return false;
    add(link, NULL);
    return true;
}

/* What the linker says goes to a file beside the output, and into the message from there. */
static int open_log(Link *link, const char *log) {
    int descriptor = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0) fail(link, arena_printf(link->arena, "%s cannot be written: %s", log, strerror(errno)));
    return descriptor;
}

static bool spawn_linker(Link *link, int log, pid_t *child) {
    static const char *const linkers[] = {"ld", "ld.lld", "ld.lld-19", "ld.gold"};
    extern char **environ;
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions)) return fail(link, "out of memory");
    posix_spawn_file_actions_adddup2(&actions, log, 1);
    posix_spawn_file_actions_adddup2(&actions, log, 2);
    int failed = ENOENT;
    for (int i = 0; i < COUNT_OF(linkers) && failed == ENOENT; i++) {
        link->arguments.items[0] = linkers[i];
        failed = posix_spawnp(child, linkers[i], &actions, NULL, (char *const *)link->arguments.items, environ);
    }
    posix_spawn_file_actions_destroy(&actions);
    if (failed == ENOENT) return fail(link, "there is no linker (ld or ld.lld) on the PATH\n  help: install binutils");
    if (failed) return fail(link, arena_printf(link->arena, "the linker cannot be run: %s", strerror(failed)));
    return true;
}

static const char *read_log(Link *link, const char *log) {
    cai_file file;
    cai_error failed;
    if (!cai_file_read(log, &file, &failed)) return "";
    const char *text = arena_strndup(link->arena, (const char *)file.data, file.count < 2000 ? file.count : 2000);
    cai_file_close(&file);
    return text;
}

static bool run_linker(Link *link, const char *log) {
    pid_t child;
    int status, descriptor = open_log(link, log);
    if (descriptor < 0) return false;
    bool spawned = spawn_linker(link, descriptor, &child);
    close(descriptor);
    if (!spawned) return false;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return fail(link, arena_printf(link->arena, "the linker cannot be waited for: %s", strerror(errno)));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    return fail(link, arena_printf(link->arena, "the linker failed (%s):\n%s", link->arguments.items[0], read_log(link, log)));
}

bool link_program(const char *const *objects, int count, const char *output, const LinkOptions *options, Arena *arena,
                  const char **error) {
    Link link = {.arena = arena, .options = options, .error = error};
    const char *beside = arena_printf(arena, "%s.%ld.part", output, (long)getpid());
    const char *log = arena_printf(arena, "%s.log", beside);
    bool done = add_arguments(&link, objects, count, beside) && run_linker(&link, log);
    unlink(log);
    if (done && rename(beside, output))
        done = fail(&link, arena_printf(arena, "%s cannot be written: %s", output, strerror(errno)));
    if (!done) unlink(beside);
    return done;
}
