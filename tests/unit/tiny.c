/* tests/tiny: small cases to read first. Comments at the end of each say what its first
 * model comes to. */
#include "elaborate/elaborate.h"
#include "test.h"

#include <dirent.h>
#include <stdlib.h>

typedef struct Case {
    const char *path;
    const Model *model;
    Arena *arena;
    int stated;
} Case;

static void wrong(const Case *c, const char *what, const char *expected, const char *actual) {
    fprintf(stderr, "\n%s: %s: expected %s, is %s\n", c->path, what, expected, actual);
    CU_FAIL("a tiny case differs");
}

static void check_text(Case *c, const char *what, const char *expected, const char *actual) {
    c->stated++;
    if (strcmp(expected, actual)) wrong(c, what, expected, actual);
    else CU_PASS("");
}

static void check_output(Case *c, const char *expected) {
    const char *space = strchr(expected, ' ');
    const char *name = arena_strndup(c->arena, expected, (size_t)(space - expected));
    for (int i = 0; i < c->model->graph->outputs.count; i++) {
        const Port *port = &c->model->graph->outputs.items[i];
        if (!strcmp(port->name, name)) {
            check_text(c, name, space + 1, shape_string(c->arena, port->node->shape));
            return;
        }
    }
    wrong(c, "output", name, "missing");
}

static const char *weight_names(const Case *c) {
    Text text = {.arena = c->arena};
    for (int i = 0; i < c->model->weights.count; i++)
        text_add(&text, "%s%s", i ? " " : "", c->model->weights.items[i].path);
    return text_string(&text);
}

static void check_line(Case *c, const char *line) {
    if (!strncmp(line, "# params: ", 10))
        check_text(c, "params", line + 10, dim_string(c->arena, c->model->parameters));
    if (!strncmp(line, "# weights: ", 11)) check_text(c, "weights", line + 11, weight_names(c));
    if (!strncmp(line, "# checks: ", 10))
        check_text(c, "checks", line + 10, arena_printf(c->arena, "%d", c->model->graph->checks.count));
    if (!strncmp(line, "# output: ", 10)) check_output(c, line + 10);
}

static void check_comments(Case *c) {
    FILE *file = fopen(c->path, "r");
    char line[1024];
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        check_line(c, line);
    }
    if (file) fclose(file);
    CU_ASSERT(c->stated > 0);
}

static void run_case(const char *path) {
    Arena *arena = arena_new();
    Names *names = names_new(arena);
    Diagnostics diag = {.arena = arena};
    ElaborateOptions options = {.stdlib_dir = "stdlib"};
    Library *library = library_open(arena, names, &diag, path, &options);
    Model *models[8];
    int count = library ? library_model_count(library) : 0;
    CU_ASSERT_FATAL(count > 0 && count <= 8);
    for (int i = 0; i < count; i++) {
        models[i] = elaborate_model(library, i);
        if (models[i]->graph) graph_verify(models[i]->graph, path);
    }
    CU_ASSERT(library_check_weights(library, models, count));
    diag_print(&diag, stderr, DIAG_TEXT, false);
    CU_ASSERT_EQUAL(diag.list.count, 0);
    Case c = {.path = path, .model = models[0], .arena = arena};
    if (models[0]->graph) check_comments(&c);
    else CU_FAIL("a tiny case does not elaborate");
    arena_free(arena);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

TEST(cases_that_state_what_they_come_to) {
    char *paths[64];
    int count = 0;
    DIR *folder = opendir("tests/tiny");
    CU_ASSERT_PTR_NOT_NULL_FATAL(folder);
    for (struct dirent *entry; (entry = readdir(folder)) && count < 64;) {
        char path[512];
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 4, ".cai")) continue;
        snprintf(path, sizeof path, "tests/tiny/%s", entry->d_name);
        paths[count++] = strdup(path);
    }
    closedir(folder);
    qsort(paths, (size_t)count, sizeof *paths, by_name);
    CU_ASSERT(count >= 20);
    for (int i = 0; i < count; i++) {
        run_case(paths[i]);
        free(paths[i]);
    }
}
