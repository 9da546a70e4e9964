/* __init__.py of a wheel: the functions of the extension module (runtime/python) with the
 * signature of the model, for people, editors and type checkers. */
#include "object/object.h"
#include "core/core.h" /* CAI_VERSION */

/* ---- names ---- */

/* What a parameter cannot be called: Python's words, and what the function uses. */
static bool is_reserved(const char *name) {
    static const char words[] =
        " False None True and as assert async await break class continue def del elif else except finally for "
        "from global if import in is lambda nonlocal not or pass raise return try while with yield "
        "seed threads _model Results ";
    const size_t length = strlen(name);
    for (const char *at = words; (at = strstr(at, name)) != NULL; at++)
        if (at > words && at[-1] == ' ' && at[length] == ' ') return true;
    return false;
}

const char *python_name(Arena *arena, const char *name) {
    return is_reserved(name) ? arena_printf(arena, "%s_", name) : name;
}

/* Fields of a named tuple do not begin with _ either. */
static const char *result_name(Arena *arena, const char *name) {
    return python_name(arena, *name == '_' ? arena_printf(arena, "result%s", name) : name);
}

/* ---- types ---- */

static const char *scalar_type(const Port *port) {
    static const char *const types[] = {
        [DTYPE_F32] = "float32", [DTYPE_F16] = "float16", [DTYPE_BF16] = "uint16", [DTYPE_I8] = "int8",
        [DTYPE_I32] = "int32",   [DTYPE_I64] = "int64",   [DTYPE_BOOL] = "bool_"};
    return types[port->node->shape.type];
}

/* A picture comes back as it was given. */
static const char *array_type(Arena *arena, const Port *port) {
    if (port->form == FORM_TEXT) return "list[str]";
    return arena_printf(arena, "NDArray[%s]%s", scalar_type(port),
                        port->form == FORM_IMAGE ? " | NDArray[uint8]" : "");
}

static bool port_names_type(const Port *port, const char *type) {
    if (port->form == FORM_TEXT) return false;
    return strcmp(type, scalar_type(port)) == 0 || (port->form == FORM_IMAGE && strcmp(type, "uint8") == 0);
}

static bool graph_names_type(const Graph *graph, const char *type) {
    for (int i = 0; i < graph->inputs.count; i++)
        if (port_names_type(&graph->inputs.items[i], type)) return true;
    for (int i = 0; i < graph->outputs.count; i++)
        if (port_names_type(&graph->outputs.items[i], type)) return true;
    return false;
}

static void add_imports(Text *text, const Graph *graph) {
    static const char *const types[] = {"bool_", "float16", "float32", "int32",
                                        "int64", "int8",    "uint16",  "uint8"};
    int count = 0;
    for (int i = 0; i < COUNT_OF(types); i++)
        if (graph_names_type(graph, types[i]))
            text_add(text, "%s%s", count++ ? ", " : "\nif TYPE_CHECKING:\n    from numpy import ", types[i]);
    if (count) text_add(text, "\n    from numpy.typing import NDArray\n");
}

/* ---- text within """ ---- */

/* With lines that begin at `indent`. */
static void add_docstring(Text *text, const char *words, const char *indent) {
    for (const char *at = words; *at; at++) {
        bool escaped = *at == '\\' || (*at == '"' && (at[1] == '"' || !at[1]));
        text_add(text, "%s%.1s", escaped ? "\\" : "", at);
        if (*at == '\n' && at[1] && at[1] != '\n') text_add(text, "%s", indent);
    }
}

static void add_port(Text *text, const char *what, const char *name, const Port *port) {
    text_add(text, "    %s%s: %s", what, name, port_type_text(text->arena, port));
    if (port->form == FORM_IMAGE) {
        int64_t channels = 0;
        dim_is_const(port->node->shape.dims[1], &channels);
        text_add(text, ", levels of light from 0 to 1; or uint8[N, H, W, %lld], without N too",
                 (long long)channels);
    }
    if (port->form == FORM_TEXT) text_add(text, ", read as a list of strings");
    text_add(text, "\n");
}

static void add_axes(Text *text, const Dims *dims) {
    for (int i = 0; i < dims_symbol_count(dims); i++) {
        const Symbol *symbol = dims_symbol(dims, i);
        text_add(text, "    %s is any size", symbol->name);
        if (symbol->multiple > 1) text_add(text, ", a multiple of %lld", (long long)symbol->multiple);
        text_add(text, "\n");
    }
}

static const char *summary_of_model(const Graph *graph, Arena *arena) {
    return graph->comment ? graph->comment : arena_printf(arena, "Runs the model %s.", graph->model);
}

static void add_about_function(Text *text, const Graph *graph) {
    text_add(text, "    \"\"\"");
    add_docstring(text, summary_of_model(graph, text->arena), "    ");
    text_add(text, "\n\n");
    for (int i = 0; i < graph->inputs.count; i++)
        add_port(text, "", python_name(text->arena, graph->inputs.items[i].name), &graph->inputs.items[i]);
    for (int i = 0; i < graph->outputs.count; i++)
        add_port(text, "gives ", graph->outputs.items[i].name, &graph->outputs.items[i]);
    add_axes(text, graph->dims);
    text_add(text, "    threads: to run on, 0: as many as there are cores\n"
                   "    seed: of the model's random numbers, where it has any\n"
                   "    \"\"\"\n");
}

/* ---- the functions ---- */

static void add_results(Text *text, const Graph *graph) {
    text_add(text, "\n\nclass Results(NamedTuple):\n    \"\"\"What run gives.\"\"\"\n\n");
    for (int i = 0; i < graph->outputs.count; i++) {
        const Port *port = &graph->outputs.items[i];
        text_add(text, "    %s: %s\n", result_name(text->arena, port->name), array_type(text->arena, port));
    }
}

/* One result by itself, several as a tuple with names. */
static void add_run(Text *text, const Graph *graph) {
    const bool one = graph->outputs.count == 1;
    text_add(text, "\n\ndef run(");
    for (int i = 0; i < graph->inputs.count; i++) {
        const Port *port = &graph->inputs.items[i];
        text_add(text, "%s: %s, ", python_name(text->arena, port->name), array_type(text->arena, port));
    }
    text_add(text, "*, threads: int = 0, seed: int = 0) -> %s:\n",
             one ? array_type(text->arena, &graph->outputs.items[0]) : "Results");
    add_about_function(text, graph);
    text_add(text, "    return %s_model.run((", one ? "" : "Results(*");
    for (int i = 0; i < graph->inputs.count; i++)
        text_add(text, "%s%s,", i ? " " : "", python_name(text->arena, graph->inputs.items[i].name));
    text_add(text, "), threads, seed)%s\n", one ? "[0]" : ")");
}

const char *python_text(const Program *program, const char *version) {
    const Graph *graph = program->graph;
    Text text = {.arena = program->arena};
    text_add(&text, "\"\"\"");
    add_docstring(&text, summary_of_model(graph, text.arena), "");
    text_add(&text, "\n\nMade by cai %s for %s: run() runs the model.\n\"\"\"\n", CAI_VERSION,
             program->target->name);
    text_add(&text, "from __future__ import annotations\n\n"
                    "from typing import TYPE_CHECKING, NamedTuple\n\n"
                    "from . import _model\n");
    add_imports(&text, graph);
    text_add(&text,
             "\n__version__ = \"%s\"\n"
             "labels: dict[str, tuple[str, ...]] = _model.labels  # of outputs that have any, by name\n",
             version);
    if (graph->outputs.count != 1) add_results(&text, graph);
    add_run(&text, graph);
    return text_string(&text);
}
