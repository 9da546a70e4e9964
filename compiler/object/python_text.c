/* __init__.py of a wheel: wraps the functions of the extension module (runtime/python) in
 * functions with the signature of the model, for people, editors and type checkers. */
#include "object/object.h"
#include "core/core.h" /* CAI_VERSION */

/* ---- names ---- */

/* Names that a parameter cannot have: Python's keywords, and names that the function
 * uses. */
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

/* A field of a named tuple cannot begin with _ either. */
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

typedef struct Signature {
    Text *text;
    const Graph *graph;
    bool takes_pictures, gives_pictures;
} Signature;

static bool any_picture(const Port *ports, int count) {
    for (int i = 0; i < count; i++)
        if (ports[i].form == FORM_IMAGE) return true;
    return false;
}

/* Pictures are returned in the type in which they are passed, which needs a type
 * variable. */
static bool has_variable(const Signature *s) { return s->takes_pictures && s->gives_pictures; }

static const char *array_type(const Signature *s, const Port *port) {
    if (port->form == FORM_TEXT) return "list[str]";
    if (port->form != FORM_IMAGE || !s->takes_pictures)
        return arena_printf(s->text->arena, "NDArray[%s]", scalar_type(port));
    return has_variable(s) ? "NDArray[Level]" : "NDArray[float32] | NDArray[uint8]";
}

static bool ports_name_type(const Port *ports, int count, const char *type) {
    for (int i = 0; i < count; i++)
        if (ports[i].form != FORM_TEXT && strcmp(type, scalar_type(&ports[i])) == 0) return true;
    return false;
}

static bool is_named_type(const Signature *s, const char *type) {
    const Graph *graph = s->graph;
    return ports_name_type(graph->inputs.items, graph->inputs.count, type) ||
           ports_name_type(graph->outputs.items, graph->outputs.count, type) ||
           (s->takes_pictures && strcmp(type, "uint8") == 0);
}

static void add_imports(const Signature *s) {
    static const char *const types[] = {"bool_", "float16", "float32", "int32",
                                        "int64", "int8",    "uint16",  "uint8"};
    int count = 0;
    text_add(s->text, "from __future__ import annotations\n\n"
                      "from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar\n\n"
                      "from . import _model\n");
    for (int i = 0; i < COUNT_OF(types); i++)
        if (is_named_type(s, types[i]))
            text_add(s->text, "%s%s", count++ ? ", " : "\nif TYPE_CHECKING:\n    from numpy import ",
                     types[i]);
    if (count) text_add(s->text, "\n    from numpy.typing import NDArray\n");
    if (has_variable(s))
        text_add(s->text,
                 "\nLevel = TypeVar(\"Level\", \"float32\", \"uint8\")  # pictures come as they are given\n");
}

/* ---- text within """ ---- */

/* Writes text whose lines begin at `indent`. */
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
    text_add_sizes(text, "", graph->dims);
    text_add(text, "    threads: to run on, 0: as many as there are cores\n"
                   "    seed: of the model's random numbers, where it has any\n"
                   "    \"\"\"\n");
}

/* ---- the functions ---- */

static void add_results(const Signature *s) {
    text_add(s->text, "\n\nclass Results(NamedTuple%s):\n    \"\"\"What run gives.\"\"\"\n\n",
             has_variable(s) ? ", Generic[Level]" : "");
    for (int i = 0; i < s->graph->outputs.count; i++) {
        const Port *port = &s->graph->outputs.items[i];
        text_add(s->text, "    %s: %s\n", result_name(s->text->arena, port->name), array_type(s, port));
    }
}

static void add_parameters(const Signature *s) {
    for (int i = 0; i < s->graph->inputs.count; i++) {
        const Port *port = &s->graph->inputs.items[i];
        text_add(s->text, "%s: %s, ", python_name(s->text->arena, port->name), array_type(s, port));
    }
    text_add(s->text, "*, threads: int = 0, seed: int = 0");
}

static void add_arguments(const Signature *s) {
    const int count = s->graph->inputs.count;
    text_add(s->text, "(");
    for (int i = 0; i < count; i++)
        text_add(s->text, "%s%s", python_name(s->text->arena, s->graph->inputs.items[i].name),
                 i + 1 < count ? ", " : "");
    text_add(s->text, "%s), threads, seed", count == 1 ? "," : ""); /* a tuple of one element needs a comma */
}

/* A single result is returned by itself, several as a named tuple. */
static void add_run(const Signature *s) {
    const bool one = s->graph->outputs.count == 1;
    const char *several = has_variable(s) ? "Results[Level]" : "Results";
    text_add(s->text, "\n\ndef run(");
    add_parameters(s);
    text_add(s->text, ") -> %s:\n", one ? array_type(s, &s->graph->outputs.items[0]) : several);
    add_about_function(s->text, s->graph);
    text_add(s->text, "    return %s_model.run(", one ? "" : "Results(*");
    add_arguments(s);
    text_add(s->text, ")%s\n", one ? "[0]" : ")");
}

const char *python_text(const Program *program, const char *version) {
    const Graph *graph = program->graph;
    Text text = {.arena = program->arena};
    const Signature s = {.text = &text,
                         .graph = graph,
                         .takes_pictures = any_picture(graph->inputs.items, graph->inputs.count),
                         .gives_pictures = any_picture(graph->outputs.items, graph->outputs.count)};
    text_add(&text, "\"\"\"");
    add_docstring(&text, summary_of_model(graph, text.arena), "");
    text_add(&text, "\n\nMade by cai %s for %s: run() runs the model.\n\"\"\"\n", CAI_VERSION,
             program->target->name);
    add_imports(&s);
    text_add(&text,
             "\n__version__ = \"%s\"\n"
             "labels: dict[str, tuple[str, ...]] = _model.labels  # of outputs that have any, by name\n",
             version);
    if (graph->outputs.count != 1) add_results(&s);
    add_run(&s);
    return text_string(&text);
}
