/* What every command needs: memory, diagnostics, and the places of the library and the
 * runtime. */
#include "driver/driver.h"
#include "files/files.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *own_folder(Arena *arena) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0) return ".";
    path[length] = 0;
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    return arena_strndup(arena, path, strlen(path));
}

static bool folder_exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* build/cai is beside build/runtime and one folder below stdlib/; PREFIX/bin/cai finds
 * both in PREFIX/lib/cai. */
static void find_home(Session *session) {
    const char *home = getenv("CAI_HOME"), *own = own_folder(session->arena);
    if (home && *home) {
        session->stdlib_dir = arena_printf(session->arena, "%s/stdlib", home);
        session->runtime_dir = arena_printf(session->arena, "%s/runtime", home);
        return;
    }
    session->stdlib_dir = arena_printf(session->arena, "%s/../stdlib", own);
    session->runtime_dir = arena_printf(session->arena, "%s/runtime", own);
    if (folder_exists(session->stdlib_dir)) return;
    session->stdlib_dir = arena_printf(session->arena, "%s/../lib/cai/stdlib", own);
    session->runtime_dir = arena_printf(session->arena, "%s/../lib/cai/runtime", own);
}

void session_begin(Session *session, const Options *options, Arena *arena, Names *names) {
    *session = (Session){.arena = arena, .names = names, .options = options, .diag = {.arena = arena}};
    find_home(session);
}

const char *session_runtime(const Session *s, const Target *target) {
    return arena_printf(s->arena, "%s/%s", s->runtime_dir, target->runtime);
}

int session_end(Session *session) {
    const char *format = session->options->message_format, *no_color = getenv("NO_COLOR");
    bool color = isatty(STDERR_FILENO) && !(no_color && *no_color);
    diag_print(&session->diag, stderr, format && strcmp(format, "json") == 0 ? DIAG_JSON : DIAG_TEXT, color);
    return session->diag.errors ? EXIT_DIAGNOSED : EXIT_GOOD;
}

Source *session_source(Session *s, const char *path) {
    cai_file file;
    cai_error error;
    if (!cai_file_read(path, &file, &error)) {
        diag_error(&s->diag, DIAG_no_such_file, (Span){0}, "%s", error.message);
        return NULL;
    }
    const char *text = arena_strndup(s->arena, (const char *)file.data, file.count);
    Source *source = source_new(s->arena, path, text, file.count);
    cai_file_close(&file);
    return source;
}

int session_usage(const Session *session, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "cai %s: ", session->options->command);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n`cai %s --help` says more\n", session->options->command);
    return EXIT_USAGE;
}

/* ---- progress ---- */

static void show_step_progress(const char *what, uint64_t done, uint64_t all) {
    static int last = -1;
    int percent = all ? (int)(done * 100 / all) : 100;
    if (percent == last || !isatty(STDERR_FILENO)) return;
    last = percent;
    fprintf(stderr, "\r%s %3d %%", what, percent);
}

void progress_kernels(int done, int all) {
    show_step_progress("compiling kernels", (uint64_t)done, (uint64_t)all);
}
void progress_weights(uint64_t done, uint64_t all) { show_step_progress("packing weights  ", done, all); }
void progress_end(void) {
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
}

Stopwatch stopwatch_start(void) { return (Stopwatch){cai_milliseconds()}; }

void stopwatch_lap_with(const Session *session, Stopwatch *watch, const char *stage, const char *note) {
    double now = cai_milliseconds();
    if (session->options->time_passes)
        fprintf(stderr, "%-12s %8.2f ms%s%s\n", stage, now - watch->begin, *note ? "    " : "", note);
    watch->begin = now;
}

void stopwatch_lap(const Session *session, Stopwatch *watch, const char *stage) {
    stopwatch_lap_with(session, watch, stage, "");
}

/* ---- scratch files ---- */

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGBUS};
static const char *volatile scratch[6];
static struct sigaction before[COUNT_OF(ending_signals)];

void scratch_remove(void) {
    for (int i = 0; i < COUNT_OF(scratch); i++) {
        if (scratch[i]) unlink(scratch[i]);
        scratch[i] = NULL;
    }
}

/* Only async-signal-safe calls. The handler before ours (main called
 * cai_clean_up_on_signals) gets the signal next; a fault recurs by itself. */
static void remove_and_go_on(int number) {
    scratch_remove();
    for (int i = 0; i < COUNT_OF(ending_signals); i++)
        if (ending_signals[i] == number) sigaction(number, &before[i], NULL);
    if (number != SIGBUS) raise(number);
}

static void remove_on_signals(void) {
    static bool installed = false;
    if (installed) return;
    installed = true;
    at_quick_exit(scratch_remove);
    struct sigaction action = {.sa_handler = remove_and_go_on};
    for (int i = 0; i < COUNT_OF(ending_signals); i++) {
        sigaction(ending_signals[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) sigaction(ending_signals[i], &action, NULL);
    }
}

const char *scratch_file(Session *session, const char *output, const char *ending) {
    const char *path = arena_printf(session->arena, "%s.%ld.%s", output, (long)getpid(), ending);
    remove_on_signals();
    for (int i = 0; i < COUNT_OF(scratch); i++) {
        if (scratch[i]) continue;
        scratch[i] = path;
        return path;
    }
    INTERNAL_ERROR("more than %d scratch files", COUNT_OF(scratch));
}
