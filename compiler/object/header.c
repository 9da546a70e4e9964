/* The C header of a library: runtime/cai.h, with the model's name for cai_model, under a
 * comment that says what the model takes and gives. The first comment of cai.h is about
 * cai.h itself, and is left out. */
#include "object/object.h"
#include "files/files.h"

static const char placeholder[] = "cai_model", mark[] = "/* Made by cai ";

bool header_is_ours(const char *path) {
    char begin[sizeof mark] = "";
    FILE *file = fopen(path, "re");
    if (!file) return true;
    size_t count = fread(begin, 1, strlen(mark), file);
    fclose(file);
    return count == 0 || strcmp(begin, mark) == 0;
}

/* Text of the user's within a comment: lines begin with " * ", and nothing ends the
 * comment. */
static void add_comment(Text *text, const char *words) {
    for (const char *at = words; *at; at++) {
        if (*at == '\n') text_add(text, "\n * ");
        else text_add(text, "%.1s%s", at, *at == '*' && at[1] == '/' ? " " : "");
    }
}

static void add_ports(Text *text, const char *what, const Port *ports, int count) {
    for (int i = 0; i < count; i++) {
        text_add(text, " *     %s %d  %s: ", what, i, ports[i].name);
        add_comment(text, port_type_text(text->arena, &ports[i]));
        text_add(text, "\n");
    }
}

void text_add_sizes(Text *text, const char *margin, const Dims *dims) {
    for (int i = 0; i < dims_symbol_count(dims); i++) {
        const Symbol *symbol = dims_symbol(dims, i);
        text_add(text, "%s    %s is any size", margin, symbol->name);
        if (symbol->multiple > 1) text_add(text, ", a multiple of %lld", (long long)symbol->multiple);
        text_add(text, "\n");
    }
}

static void add_about(Text *text, const Program *program) {
    const Graph *graph = program->graph;
    text_add(text, "%s%s: the model %s, for %s.", mark, CAI_VERSION, graph->model, program->target->name);
    if (graph->comment) text_add(text, "\n *\n * ");
    if (graph->comment) add_comment(text, graph->comment);
    text_add(text, "\n *\n");
    add_ports(text, "input ", graph->inputs.items, graph->inputs.count);
    add_ports(text, "output", graph->outputs.items, graph->outputs.count);
    text_add_sizes(text, " * ", graph->dims);
    text_add(text, " */\n\n");
}

static void add_renamed(Text *text, const char *from, const char *prefix) {
    for (const char *at; (at = strstr(from, placeholder)) != NULL; from = at + strlen(placeholder)) {
        text_add_bytes(text, from, (size_t)(at - from));
        text_add(text, "%s", prefix);
    }
    text_add(text, "%s", from);
}

bool header_write(const Program *program, const char *prefix, const char *runtime_dir, const char *path,
                  const char **error) {
    Arena *arena = program->arena;
    Text text = {.arena = arena};
    cai_file file;
    cai_error failed;
    bool good = cai_file_read(arena_printf(arena, "%s/cai.h", runtime_dir), &file, &failed);
    if (good) {
        const char *whole = arena_strndup(arena, (const char *)file.data, file.count),
                   *rest = strstr(whole, "\n\n");
        add_about(&text, program);
        add_renamed(&text, rest ? rest + 2 : whole, prefix);
        cai_file_close(&file);
        good = cai_file_write(path, text_string(&text), text.length, &failed);
    }
    if (!good) *error = arena_printf(arena, "%s", failed.message);
    return good;
}
