/* Writes rows of operators.def whose result is a formula: `(LeakyRelu x alpha=#a)`.
 *
 *   operand   = name | number | #name | ( operator { operand } { attribute = number } )
 *
 * A name is the value of a node. ONNX broadcasts operands by itself. So the value before
 * a broadcast is read, provided that the other operands have the sizes of the result. */
#include "export/export.h"
#include <ctype.h>
#include <stdlib.h>

typedef struct FormulaText {
    Export *e;
    const Chosen *chosen;
    const char *at;
    bool full; /* the first operand is read after its broadcast, as no other has its sizes */
} FormulaText;

static size_t formula_word_length(const char *at) { return strcspn(at, " ()="); }

static const Binding *binding_at(const Chosen *chosen, const char *at, size_t length) {
    for (int i = 0; i < chosen->count; i++)
        if (chosen->bindings[i].length == length && !strncmp(chosen->bindings[i].name, at, length))
            return &chosen->bindings[i];
    INTERNAL_ERROR("the formula %s has no `%.*s`", chosen->row->formula, (int)length, at);
}

/* ---- which operands are read before their broadcasts ---- */

/* The nodes that the formula names. */
static int formula_nodes(const Chosen *chosen, Node **nodes) {
    int count = 0;
    for (const char *at = chosen->row->formula; *at; at += strcspn(at, " ("), at += strspn(at, " (")) {
        const size_t length = formula_word_length(at);
        if (islower((unsigned char)*at) && at[length] != '=' && count < MAX_BINDINGS)
            nodes[count++] = binding_at(chosen, at, length)->node;
    }
    return count;
}

static bool covers_axis(const Node *node, Shape result, int axis) {
    const int own = axis - (result.rank - node->shape.rank);
    double number;
    if (dim_is_one(result.dims[axis])) return result.rank == 0 || own >= 0;
    return own >= 0 && node->shape.dims[own] == result.dims[axis] && !node_is_splat(node, &number);
}

/* Whether the operands, before their broadcasts, have the sizes of the result. */
static bool operands_cover(Node *const *nodes, int count, Shape result) {
    for (int axis = 0; axis < result.rank; axis++) {
        bool covered = false;
        for (int i = 0; i < count && !covered; i++)
            covered = covers_axis(without_broadcast(nodes[i]), result, axis);
        if (!covered) return false;
    }
    return true;
}

static bool reads_first_in_full(const Chosen *chosen) {
    Node *nodes[MAX_BINDINGS];
    const int count = formula_nodes(chosen, nodes);
    return !operands_cover(nodes, count, chosen->node->shape);
}

void formula_needs(Export *e, const Chosen *chosen) {
    Node *nodes[MAX_BINDINGS];
    const int count = formula_nodes(chosen, nodes);
    const bool full = reads_first_in_full(chosen);
    for (int i = 0; i < count; i++) {
        const bool whole = full && nodes[i] == nodes[0];
        Node *node = whole ? nodes[i] : without_broadcast(nodes[i]);
        double number; /* a splat is written as a number where it is read */
        if (whole || !node_is_splat(node, &number)) export_need(e, node);
    }
}

/* ---- writing ---- */

static const char *formula_operand(FormulaText *f);

static double formula_number(const FormulaText *f, const char *at) {
    return *at == '#' ? binding_at(f->chosen, at + 1, formula_word_length(at + 1))->number : strtod(at, NULL);
}

/* Numbers take the type of the first operand. */
static DType formula_type(const Chosen *chosen) {
    Node *nodes[MAX_BINDINGS];
    return formula_nodes(chosen, nodes) ? nodes[0]->shape.type : DTYPE_F32;
}

static const char *formula_named(const FormulaText *f, const char *at, size_t length) {
    Node *node = binding_at(f->chosen, at, length)->node, *nodes[MAX_BINDINGS];
    double number;
    formula_nodes(f->chosen, nodes);
    if (f->full && node == nodes[0]) return value_of(f->e, node);
    node = without_broadcast(node);
    return node_is_splat(node, &number) ? value_of_splat(f->e, node) : value_of(f->e, node);
}

/* Parses an operator with its operands and attributes, up to its closing bracket. */
static const char *formula_operator(FormulaText *f) {
    const size_t length = formula_word_length(++f->at);
    const char *op = arena_strndup(f->e->arena, f->at, length), *operands[4];
    int count = 0;
    f->at = pattern_word(f->at + length);
    OnnxCall *call = call_begin(f->e, op);
    for (; *f->at != ')'; f->at = pattern_word(f->at)) {
        const size_t word = formula_word_length(f->at);
        if (f->at[word] != '=') {
            operands[count++] = formula_operand(f);
            continue;
        }
        call_real(call, arena_strndup(f->e->arena, f->at, word), formula_number(f, f->at + word + 1));
        f->at += word + 1, f->at += formula_word_length(f->at);
    }
    f->at++;
    for (int i = 0; i < count; i++) call_input(call, operands[i]);
    return call_end(call);
}

static const char *formula_operand(FormulaText *f) {
    f->at = pattern_word(f->at);
    if (*f->at == '(') return formula_operator(f);
    const char *at = f->at;
    const size_t length = formula_word_length(at);
    f->at += length;
    if (*at == '#' || isdigit((unsigned char)*at))
        return value_of_number(f->e, formula_number(f, at), formula_type(f->chosen));
    return formula_named(f, at, length);
}

const char *formula_write(Export *e, const Chosen *chosen) {
    FormulaText f = {e, chosen, chosen->row->formula, reads_first_in_full(chosen)};
    return formula_operand(&f);
}
