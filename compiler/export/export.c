/* Writes a graph as an ONNX file: chooses rows of operators.def, from the outputs back to
 * the inputs, and then lets the rows write their nodes, in the order of the graph. */
#include "export/export.h"

/* The writer reads all nodes that the pattern names; if it names none, all operands. */
static void bindings_need(Export *e, const Chosen *chosen) {
    for (int i = 0; i < chosen->count; i++)
        if (chosen->bindings[i].kind == BOUND_NODE || chosen->bindings[i].kind == BOUND_WEIGHT)
            export_need(e, chosen->bindings[i].root);
    for (int i = 0; i < chosen->node->input_count && !chosen->count; i++)
        export_need(e, chosen->node->inputs[i]);
}

const ExportRow export_rows[] = {
#define ROW(pattern, types, opset, test, result) {pattern, types, opset, test result},
#define IF(test) test,
#define ALWAYS NULL,
#define BY(writer) bindings_need, writer, NULL, NULL
#define BY_READING(needs, writer) needs, writer, NULL, NULL
#define AS(formula) formula_needs, formula_write, formula, NULL
#define NEVER(why) bindings_need, NULL, NULL, why
#include "export/operators.def"
};
const int export_row_count = COUNT_OF(export_rows);

/* ---- what the parts share ---- */

const char *export_refuse(Export *e, const Node *node, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vec_push(e->arena, &e->refused, (Refusal){node, arena_vprintf(e->arena, format, arguments)});
    va_end(arguments);
    return NULL;
}

void export_need(Export *e, const Node *node) { e->needed[node->id] = true; }

const char *export_name(Export *e, const char *wanted) {
    Name name = intern(e->names, wanted);
    for (int i = 2; map_get(e->taken, name); i++)
        name = intern(e->names, arena_printf(e->arena, "%s_%d", wanted, i));
    map_set(e->taken, name, (void *)name);
    return name;
}

bool export_is_folded(Export *e, const Node *node) {
    int64_t count;
    if (node_sources(&e->sources, e->graph, node)) return false;
    return shape_element_count(node->shape, &count) &&
           (count <= MAX_FOLDED || (node->op == OP_constant && ATTRIBUTES(node, constant)->data->count > 1));
}

/* ---- choosing ---- */

static void count_uses_from(Export *e) {
    bool *counts = NEW_ARRAY(e->arena, bool, e->graph->nodes.count);
    for (int i = 0; i < e->graph->outputs.count; i++) {
        const Node *node = e->graph->outputs.items[i].node;
        counts[node->id] = true, e->uses[node->id]++;
    }
    for (int id = e->graph->nodes.count - 1; id >= 0; id--) {
        const Node *node = e->graph->nodes.items[id];
        for (int i = 0; i < node->input_count && counts[id]; i++)
            counts[node->inputs[i]->id] = true, e->uses[node->inputs[i]->id]++;
    }
}

static void choose_row(Export *e, Node *node) {
    Chosen *chosen = NEW(e->arena, Chosen);
    for (int i = 0; i < export_row_count; i++) {
        if (!export_match(e, &export_rows[i], node, chosen)) continue;
        e->chosen[node->id] = chosen;
        chosen->row->needs(e, chosen);
        return;
    }
    export_refuse(e, node, "it is not exported for %s", dtype_name(node->shape.type));
    e->values[node->id] = "";
}

static bool is_written_when_read(Export *e, const Node *node) {
    return node->op == OP_input || node->op == OP_parameter || node->op == OP_state ||
           export_is_folded(e, node);
}

static void choose_rows(Export *e) {
    for (int i = 0; i < e->graph->outputs.count; i++) e->needed[e->graph->outputs.items[i].node->id] = true;
    for (int id = e->graph->nodes.count - 1; id >= 0; id--) {
        Node *node = e->graph->nodes.items[id];
        if (e->needed[id] && !is_written_when_read(e, node)) choose_row(e, node);
    }
}

/* ---- writing ---- */

static void write_chosen(Export *e, const Chosen *chosen) {
    const int id = chosen->node->id;
    e->here = chosen->node;
    e->values[id] = chosen->row->never ? export_refuse(e, chosen->node, "%s", chosen->row->never)
                                       : chosen->row->write(e, chosen);
    if (!e->values[id]) e->values[id] = ""; /* go on, so that everything that is refused gets reported */
}

static void write_graph(Export *e) {
    const Graph *graph = e->graph;
    for (int i = 0; i < graph->inputs.count + graph->outputs.count; i++) {
        const Port *port = i < graph->inputs.count ? &graph->inputs.items[i]
                                                   : &graph->outputs.items[i - graph->inputs.count];
        map_set(e->taken, intern(e->names, port->name), (void *)port->name);
    }
    for (int i = 0; i < graph->inputs.count; i++) {
        e->values[graph->inputs.items[i].node->id] = graph->inputs.items[i].name;
        onnx_file_input(e->file, &graph->inputs.items[i]);
    }
    for (int id = 0; id < graph->nodes.count; id++)
        if (e->chosen[id]) write_chosen(e, e->chosen[id]);
    e->here = NULL;
    for (int i = 0; i < graph->outputs.count; i++)
        onnx_file_output(e->file, &graph->outputs.items[i], value_of(e, graph->outputs.items[i].node));
}

/* Reports one line for each place and reason. */
static void report_refused(Export *e) {
    for (int i = 0; i < e->refused.count; i++) {
        const Refusal *refusal = &e->refused.items[i];
        bool told = false;
        for (int k = 0; k < i && !told; k++)
            told = !memcmp(&e->refused.items[k].node->origin->span, &refusal->node->origin->span,
                           sizeof(Span)) &&
                   !strcmp(e->refused.items[k].why, refusal->why);
        if (told) continue;
        const char *path = refusal->node->origin->path;
        diag_error(e->diag, DIAG_onnx_export, refusal->node->origin->span,
                   "`%s`%s%s%s cannot be exported to ONNX: %s", op_info[refusal->node->op].name,
                   *path ? " in the layer `" : "", path, *path ? "`" : "", refusal->why);
    }
}

bool export_onnx(Diagnostics *diag, const Graph *graph, const ExportOptions *options) {
    const int count = graph->nodes.count;
    Arena *arena = graph->arena;
    Export e = {.arena = arena,
                .diag = diag,
                .graph = graph,
                .options = options,
                .uses = NEW_ARRAY(arena, int, count),
                .needed = NEW_ARRAY(arena, bool, count),
                .chosen = NEW_ARRAY(arena, Chosen *, count),
                .values = NEW_ARRAY(arena, const char *, count),
                .known = map_new(arena),
                .taken = map_new(arena),
                .names = graph->names};
    e.file = onnx_file_new(&e);
    count_uses_from(&e);
    choose_rows(&e);
    write_graph(&e);
    report_refused(&e);
    return !e.refused.count && onnx_file_write(e.file);
}
