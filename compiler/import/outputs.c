/* Values of the file that become the results of the model, in place of its own. */
#include "import/import.h"

static bool node_makes(const OnnxGraph *graph, Name name) {
    for (int i = 0; i < graph->nodes.count; i++)
        for (int k = 0; k < graph->nodes.items[i].output_count; k++)
            if (graph->nodes.items[i].outputs[k] == name) return true;
    return false;
}

/* As the file declares it, where it does. */
static OnnxPort declared_port(const OnnxGraph *graph, Name name) {
    for (int i = 0; i < graph->values.count; i++)
        if (graph->values.items[i].name == name) return graph->values.items[i];
    for (int i = 0; i < graph->outputs.count; i++)
        if (graph->outputs.items[i].name == name) return graph->outputs.items[i];
    return (OnnxPort){.name = name};
}

static const char *nearest_value(Arena *arena, const OnnxGraph *graph, const char *wrong) {
    Vec(const char *) names = {0};
    for (int i = 0; i < graph->nodes.count; i++)
        for (int k = 0; k < graph->nodes.items[i].output_count; k++)
            vec_push(arena, &names, graph->nodes.items[i].outputs[k]);
    return nearest_name(wrong, names.items, names.count);
}

bool choose_outputs(Arena *arena, Names *names, Diagnostics *diag, OnnxGraph *graph, const char *list) {
    const OnnxGraph whole = *graph;
    if (!list) return true;
    memset(&graph->outputs, 0, sizeof graph->outputs);
    for (const char *at = list; *at;) {
        const size_t length = strcspn(at, ",");
        const Name name = intern(names, arena_strndup(arena, at, length));
        if (!node_makes(graph, name)) {
            const char *nearest = nearest_value(arena, graph, name);
            diag_error(diag, DIAG_onnx_operator, (Span){0}, "--outputs: no node makes `%s`%s", name,
                       nearest ? arena_printf(arena, "; did you mean `%s`?", nearest) : "");
            return false;
        }
        vec_push(arena, &graph->outputs, declared_port(&whole, name));
        at += length + (at[length] == ',');
    }
    return true;
}
