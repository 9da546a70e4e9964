/* Programs that are built into the cache and run from there: what cai run and cai train
 * have in common. */
#include "commands/commands.h"
#include <errno.h>
#include <unistd.h>

char **run_arguments(Session *s, const char *name, int first) {
    int count = s->options->rest.count - first;
    char **arguments = NEW_ARRAY(s->arena, char *, count + 2);
    arguments[0] = arena_printf(s->arena, "%s", name);
    for (int i = 0; i < count; i++)
        arguments[i + 1] = arena_printf(s->arena, "%s", s->options->rest.items[first + i]);
    return arguments;
}

int run_cached(Session *s, const char *name, const Text *key, ProgramBuild *build, void *context, int first) {
    const char *program = program_of_cache(s, name, key, build, context);
    int code = session_end(s);
    if (code != EXIT_GOOD || !program) return code;
    char **arguments = run_arguments(s, name, first);
    fflush(stdout);
    execv(program, arguments);
    fprintf(stderr, "cai %s: %s cannot be run: %s\n", s->options->command, program, strerror(errno));
    return EXIT_DIAGNOSED;
}
