/* Other programs that cai runs: the linker, Graphviz, programs that it built. */
#include "base/base.h"
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

static Process process_failed(Arena *arena, int error) {
    return (Process){PROCESS_FAILED, arena_printf(arena, "%s", strerror(error))};
}

extern char **environ;

/* Starts the first of the programs that exists; its output goes to the file `log`. */
static int spawn_first(const char *const *programs, int count, const char **arguments, int log,
                       pid_t *child) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    posix_spawn_file_actions_adddup2(&actions, log, 1);
    posix_spawn_file_actions_adddup2(&actions, log, 2);
    error = ENOENT;
    for (int i = 0; i < count && error == ENOENT; i++) {
        arguments[0] = programs[i];
        error = posix_spawnp(child, programs[i], &actions, NULL, (char *const *)arguments, environ);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

Process process_wait(Arena *arena, pid_t child) {
    int status;
    if (child < 0) return process_failed(arena, errno);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return process_failed(arena, errno);
    if (WIFEXITED(status)) return (Process){WEXITSTATUS(status), ""};
    int number = WTERMSIG(status);
    const char *name = sigabbrev_np(number), *what = sigdescr_np(number);
    return (Process){PROCESS_SIGNALED, arena_printf(arena, "ended by signal %d (SIG%s, %s)", number,
                                                    name ? name : "?", what ? what : "unknown")};
}

/* `said` is what the child wrote to the log, and after that the signal, if one ended
 * it. */
static Process wait_with_log(Arena *arena, pid_t child, FILE *log) {
    char text[8000];
    Process process = process_wait(arena, child);
    if (process.status == PROCESS_FAILED) return process;
    rewind(log);
    const char *said = arena_strndup(arena, text, fread(text, 1, sizeof text, log));
    process.said = arena_printf(arena, "%s%s", said, process.said);
    return process;
}

Process process_run(Arena *arena, const char *const *programs, int count, const char **arguments) {
    FILE *log = tmpfile();
    if (!log) return process_failed(arena, errno);
    pid_t child;
    int error = spawn_first(programs, count, arguments, fileno(log), &child);
    Process process = error == ENOENT ? (Process){PROCESS_MISSING, ""}
                      : error         ? process_failed(arena, error)
                                      : wait_with_log(arena, child, log);
    fclose(log);
    return process;
}

Process process_run_openly(Arena *arena, const char *program, char *const *arguments) {
    pid_t child;
    int error = posix_spawn(&child, program, NULL, NULL, arguments, environ);
    return error ? process_failed(arena, error) : process_wait(arena, child);
}
