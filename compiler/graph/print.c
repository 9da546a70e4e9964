/* The graph as text, one line a node, and the table of operators as a document. */
#include "graph/ops.h"

/* %12 = convolution %3 %7 stride=[2, 2] ... : f32[N, 64, H/2, W/2]  # layer1.0.conv1 */
void node_print(Text *out, const Node *node) {
    text_add(out, "%%%d = %s", node->id, op_info[node->op].name);
    for (int i = 0; i < node->input_count; i++) text_add(out, " %%%d", node->inputs[i]->id);
    attributes_print(out, node);
    text_add(out, " : ");
    shape_print(out, node->shape);
    if (node->origin->path[0]) text_add(out, "  # %s", node->origin->path);
}

static void print_check(Text *out, const Check *check) {
    static const char *const relations[] = {
        [CHECK_EQUAL] = "==", [CHECK_AT_LEAST] = ">=", [CHECK_DIVISIBLE] = "is a multiple of"};
    text_add(out, "check ");
    dim_print(out, check->left);
    text_add(out, " %s ", relations[check->kind]);
    dim_print(out, check->right);
    text_add(out, "  # %s\n", check->message);
}

void graph_print(const Graph *graph, FILE *out) {
    Arena *arena = arena_new();
    Text text = {.arena = arena};
    text_add(&text, "graph %s\n", graph->model ? graph->model : "");
    for (int i = 0; i < graph->checks.count; i++) print_check(&text, &graph->checks.items[i]);
    for (int i = 0; i < graph->nodes.count; i++) {
        text_add(&text, "  ");
        node_print(&text, graph->nodes.items[i]);
        text_add(&text, "\n");
    }
    for (int i = 0; i < graph->outputs.count; i++) {
        const Port *port = &graph->outputs.items[i];
        text_add(&text, "return %s = %%%d\n", port->name, port->node->id);
    }
    fputs(text_string(&text), out);
    arena_free(arena);
}

/* ---- docs/operators.md ---- */

static const struct {
    OpClass class;
    const char *title, *text;
} sections[] = {
    {CLASS_SOURCE, "Sources", "Operators without tensor inputs."},
    {CLASS_ELEMENTWISE, "Elementwise",
     "All operands have the result's sizes; broadcasting is an operator of its own."},
    {CLASS_MOVEMENT, "Movement", "Elements are moved, none is computed."},
    {CLASS_REDUCTION, "Reduction", "The reduced axes stay, with size 1."},
    {CLASS_ORDER, "Order",
     "An element depends on the order of all elements along its axis. Equals, here and for `argmax`, are numbers that were "
     "computed equal: places that see the same may differ by rounding after a convolution by Winograd (see [ties](kernels.md#ties))."},
    {CLASS_CONTRACTION, "Contraction",
     "Convolutions and matrix products. A convolution relates x [N, I, ...], w [O, I/groups, ...] and y [N, O, ...]."},
    {CLASS_WINDOW, "Windows", "Pools and resampling."},
    {CLASS_SCATTER, "Scatter", "Elements are added up, or put, at computed places."},
};

static const char *kind_text(AttrKind kind) {
    static const char *const names[] = {
        [ATTR_INT] = "int",     [ATTR_REAL] = "float",    [ATTR_BOOL] = "bool",
        [ATTR_NAME] = "string", [ATTR_TYPE] = "type",     [ATTR_INTS] = "ints",
        [ATTR_DIMS] = "sizes",  [ATTR_NUMBER] = "number", [ATTR_DATA] = "numbers"};
    return names[kind];
}

const char *op_attributes_text(Arena *arena, const OpInfo *info) {
    Text text = {.arena = arena};
    for (const AttrInfo *attribute = info->attributes(); attribute->name; attribute++)
        text_add(&text, "%s%s: %s", text.length ? ", " : "", attribute->name, kind_text(attribute->kind));
    return text_string(&text);
}

static void document_row(FILE *out, Arena *arena, const OpInfo *info, bool differentiable) {
    fprintf(out, "| `%s` | %s", info->name, info->max_inputs < 0 ? "any" : "");
    if (info->max_inputs >= 0) fprintf(out, "%d", info->max_inputs);
    fprintf(out, " | %s | ", op_attributes_text(arena, info));
    for (const char *at = info->formula; *at; at++) fprintf(out, *at == '|' ? "\\|" : "%c", *at);
    fprintf(out, " | %s | %s |\n", differentiable ? "yes" : "", info->onnx);
}

void ops_document(FILE *out) {
    Arena *arena = arena_new();
    fputs(
        "# The primitive operators\n\nMade from `compiler/graph/ops.def` by `make docs`; edit that. Everything else in the "
        "language is library text over "
        "these.\n",
        out);
    for (int s = 0; s < COUNT_OF(sections); s++) {
        fprintf(
            out,
            "\n## %s\n%s\n\n| operator | inputs | attributes | what it computes | gradient | ONNX |\n|-|-|-|-|-|-|\n",
            sections[s].title, sections[s].text);
        for (int op = 0; op < OP_COUNT; op++)
            if (op_info[op].class == sections[s].class)
                document_row(out, arena, &op_info[op], op_is_differentiable(op));
    }
    arena_free(arena);
}

const char *port_type_text(Arena *arena, const Port *port) {
    Text text = {.arena = arena};
    shape_print(&text, port->node->shape);
    const char *shape = text_string(&text);
    const char *sizes = strchr(shape, '[');
    return port->form == FORM_IMAGE ? arena_printf(arena, "image%s", sizes ? sizes : "[]") : shape;
}
