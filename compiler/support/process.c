/* Other programs that cai runs: the linker, Graphviz. */
#include "support/support.h"
#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>

static Process failed(Arena *arena, int error) { return (Process){PROCESS_FAILED, arena_printf(arena, "%s", strerror(error))}; }

/* The first of the programs that there is; what it says goes to the file `log`. */
static int spawn_first(const char *const *programs, int count, const char **arguments, int log, pid_t *child) {
    extern char **environ;
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

static Process wait_for(Arena *arena, pid_t child, FILE *log) {
    int status;
    char text[8000];
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return failed(arena, errno);
    rewind(log);
    return (Process){WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), arena_strndup(arena, text, fread(text, 1, sizeof text, log))};
}

Process process_run(Arena *arena, const char *const *programs, int count, const char **arguments) {
    FILE *log = tmpfile();
    if (!log) return failed(arena, errno);
    pid_t child;
    int error = spawn_first(programs, count, arguments, fileno(log), &child);
    Process process = error == ENOENT ? (Process){PROCESS_MISSING, ""} : error ? failed(arena, error) : wait_for(arena, child, log);
    fclose(log);
    return process;
}
