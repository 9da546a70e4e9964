/* cai run: builds a program into the cache, unless it is there already, and runs it. */
#include "object/object.h"
#include "commands/commands.h"
#include <dirent.h>
#include <fcntl.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHED_MAX 32 /* programs; the one that was not run for longest goes */

/* ---- what the program is made from ---- */

static uint64_t hash_text(const char *text, uint64_t hash) { return text ? hash_bytes(text, strlen(text) + 1, hash) : hash * 31; }

static uint64_t hash_labels(const Graph *graph, uint64_t hash) {
    for (int i = 0; i < graph->outputs.count; i++)
        for (int k = 0; graph->outputs.items[i].labels && k < graph->outputs.items[i].label_count; k++)
            hash = hash_text(graph->outputs.items[i].labels[k], hash);
    return hash;
}

/* Everything that can change the program: this compiler, the sources, the options, the weights. */
static uint64_t content_hash(Session *s, const Library *library, const Graph *graph, const Weights *weights, const Target *target) {
    const Options *o = s->options;
    uint64_t hash = compiler_identity();
    hash = file_identity(arena_printf(s->arena, "%s/libcai_runtime.a", session_runtime(s, target)), hash);
    for (int i = 0; library_source(library, i); i++) {
        hash = hash_text(library_source(library, i)->path, hash);
        hash = hash_bytes(library_source(library, i)->text, library_source(library, i)->length, hash);
    }
    for (int i = 0; i < o->defines.count; i++)
        hash = hash_text(o->defines.items[i].value, hash_text(o->defines.items[i].name, hash));
    hash = hash_text(target->llvm_features, hash_text(target->llvm_cpu, hash_text(graph->model, hash)));
    uint64_t more[] = {weights_identity(weights), o->blas, o->no_winograd};
    return hash_bytes(more, sizeof more, hash_labels(graph, hash));
}

/* ---- the cache ---- */

/* Forgets the oldest programs beyond CACHED_MAX. */
static void trim_cache(Session *s, const char *folder) {
    for (;;) {
        DIR *open = opendir(folder);
        const char *oldest = NULL;
        time_t oldest_time = 0;
        int count = 0;
        for (struct dirent *entry; open && (entry = readdir(open)) != NULL;) {
            struct stat status;
            const char *path = arena_printf(s->arena, "%s/%s", folder, entry->d_name);
            if (entry->d_name[0] == '.' || stat(path, &status) != 0 || !S_ISREG(status.st_mode)) continue;
            if (!oldest || status.st_mtime < oldest_time) oldest = path, oldest_time = status.st_mtime;
            count++;
        }
        if (open) closedir(open);
        if (count <= CACHED_MAX || unlink(oldest) != 0) return;
    }
}

/* ---- running ---- */

char **run_arguments(Session *s, const char *name, int first) {
    int count = s->options->rest.count - first;
    char **arguments = NEW_ARRAY(s->arena, char *, count + 2);
    arguments[0] = arena_printf(s->arena, "%s", name);
    for (int i = 0; i < count; i++) arguments[i + 1] = arena_printf(s->arena, "%s", s->options->rest.items[first + i]);
    return arguments;
}

static int run_built(Session *s, const Library *library, Graph *graph, Weights *weights, int first) {
    const Target *target = build_target(s);
    const char *folder = target ? program_cache(s) : NULL;
    if (!folder) return session_end(s);
    uint64_t hash = content_hash(s, library, graph, weights, target);
    const char *program = arena_printf(s->arena, "%s/%s-%016llx", folder, graph->model, (unsigned long long)hash);
    if (access(program, X_OK) != 0 && build_program(s, graph, weights, program)) trim_cache(s, folder);
    int code = session_end(s);
    if (code != EXIT_GOOD) return code;
    utimensat(AT_FDCWD, program, NULL, 0);
    char **arguments = run_arguments(s, graph->model, first);
    fflush(stdout);
    execv(program, arguments);
    fprintf(stderr, "cai run: %s cannot be run: %s\n", program, strerror(errno));
    return EXIT_DIAGNOSED;
}

static bool is_model(const Library *library, const char *name) {
    for (int i = 0; i < library_model_count(library); i++)
        if (strcmp(library_model_name(library, i), name) == 0) return true;
    return false;
}

int command_run(Session *session) {
    const Options *o = session->options;
    if (o->init && o->weights.count > 0) return session_usage(session, "--weights and --init exclude each other");
    if (o->reference && o->compare) return session_usage(session, "--compare runs the reference too: leave --reference out");
    Library *library = build_open(session);
    if (!library) return session_end(session);
    bool named = o->rest.count > 0 && is_model(library, o->rest.items[0]);
    int index = build_pick(session, library, named ? o->rest.items[0] : NULL);
    ModelList models = {0};
    if (index < 0 || !build_elaborate_all(session, library, &models)) return session_end(session);
    Weights *weights = build_weights(session, &models, index);
    if (!weights) return session_end(session);
    Model *model = models.items[index];
    int code;
    if (o->compare) {
        code = run_compare(session, model, weights, named);
    } else if (o->reference) {
        char **arguments = run_arguments(session, model->graph->model, named);
        code = reference_main(session, model->graph, weights, o->rest.count - named + 1, arguments);
        int reported = session_end(session); /* behind the results: some of it is known only when weights are read */
        if (code == EXIT_GOOD) code = reported;
    } else {
        code = run_built(session, library, model->graph, weights, named);
    }
    weights_close(weights);
    return code;
}
