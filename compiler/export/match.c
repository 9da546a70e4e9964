/* Whether a part of the graph is a pattern of operators.def. Broadcasts within a pattern
 * count for nothing: the operators of ONNX do them by themselves. So does `stop`, which
 * only gradients see. */
#include "export/export.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

typedef struct Matching {
    Export *e;
    Chosen *chosen;
    /* nodes that the operators of the pattern matched, and the skipped broadcasts */
    const Node *matched[MAX_MATCHED];
    int matched_count;
} Matching;

static bool may_turn(Op op) {
    return op == OP_add || op == OP_mul || op == OP_min || op == OP_max || op == OP_eq;
}

/* ---- nodes ---- */

/* Whether a reshape prepends axes of size 1 and does nothing else. */
static bool adds_axes_before(const Node *node) {
    if (node->op != OP_reshape) return false;
    const Shape from = node->inputs[0]->shape, to = node->shape;
    const int more = to.rank - from.rank;
    for (int i = 0; i < to.rank && more >= 0; i++)
        if (i < more ? !dim_is_one(to.dims[i]) : to.dims[i] != from.dims[i - more]) return false;
    return more >= 0;
}

Node *without_broadcast(Node *node) {
    while (node->op == OP_broadcast || adds_axes_before(node)) node = node->inputs[0];
    return node;
}

static Node *without_ones(Node *node) {
    while (node->op == OP_broadcast || reshape_is_trivial(node)) node = node->inputs[0];
    return node;
}

/* `or_size`: a size may stand in place of the number */
static bool number_of_operand(Node *node, bool or_size, double *number, Dim *size) {
    node = without_ones(node);
    if (node_is_splat(node, number)) return true;
    *size = or_size && node->op == OP_size ? ATTRIBUTES(node, size)->value.items[0] : NULL;
    return *size != NULL;
}

/* b is a number of a pattern; a was rounded to its type */
static bool is_same_number(double a, double b, DType type) {
    const double rounding = type == DTYPE_F16 ? 0x1p-11 : type == DTYPE_BF16 ? 0x1p-8 : 1e-6;
    return fabs(a - b) <= rounding * fabs(b);
}

/* ---- matching ---- */

static bool bind_node(Matching *m, Binding binding) {
    Chosen *chosen = m->chosen;
    for (int i = 0; i < chosen->count; i++) {
        const Binding *known = &chosen->bindings[i];
        if (known->length == binding.length && !strncmp(known->name, binding.name, binding.length))
            return known->kind == BOUND_NUMBER
                       ? known->number == binding.number && known->size == binding.size
                       : known->node == binding.node;
    }
    if (chosen->count == MAX_BINDINGS) return false;
    chosen->bindings[chosen->count++] = binding;
    return true;
}

static bool match_number_operand(Matching *m, const char *at, size_t length, Node *node) {
    Binding binding = {.name = at + 1, .length = length - 1, .node = node, .kind = BOUND_NUMBER};
    if (!number_of_operand(node, *at == '@', &binding.number, &binding.size)) return false;
    if (*at == '#' || *at == '@') return bind_node(m, binding);
    return is_same_number(binding.number, strtod(at, NULL), node->shape.type);
}

static bool match_operands(Matching *m, const char *at, const Node *node, bool turned);

/* at: after the opening bracket */
static bool match_inner(Matching *m, const char *at, Node *node) {
    const size_t length = pattern_word_length(at);
    if (strlen(op_info[node->op].name) != length || strncmp(at, op_info[node->op].name, length)) return false;
    if (m->matched_count == MAX_MATCHED) return false;
    m->matched[m->matched_count++] = node;
    const Chosen before = *m->chosen;
    const int matched = m->matched_count;
    if (match_operands(m, at + length, node, false)) return true;
    *m->chosen = before, m->matched_count = matched;
    return may_turn(node->op) && match_operands(m, at + length, node, true);
}

static bool match_named(Matching *m, const char *at, Node *node) {
    const size_t length = pattern_word_length(at);
    if (*at == '#' || *at == '@' || isdigit((unsigned char)*at))
        return match_number_operand(m, at, length, node);
    if (*at == '$')
        return bind_node(m, (Binding){.name = at + 1,
                                      .length = length - 1,
                                      .node = node,
                                      .root = without_ones(node),
                                      .kind = BOUND_WEIGHT});
    return bind_node(m, (Binding){.name = at, .length = length, .node = node, .root = node});
}

static bool match_operand_of(Matching *m, const char *at, Node *node) {
    const size_t length = *at == '(' ? 0 : pattern_word_length(at);
    if (length && at[length] != ':') return match_named(m, at, node);
    const char *inner = at + length + (at[length] == ':') + 1;
    while ((node->op == OP_broadcast || node->op == OP_stop || adds_axes_before(node)) &&
           strncmp(inner, "reshape", 7)) {
        if (m->matched_count == MAX_MATCHED) return false;
        m->matched[m->matched_count++] = node;
        node = node->inputs[0];
    }
    const Binding binding = {.name = at, .length = length, .node = node, .root = node, .kind = BOUND_INNER};
    return match_inner(m, inner, node) && (!length || bind_node(m, binding));
}

static bool match_operands(Matching *m, const char *at, const Node *node, bool turned) {
    at = pattern_word(at);
    if (!strncmp(at, "..", 2)) return true;
    for (int i = 0; i < node->input_count; i++, at = pattern_word(pattern_behind(at)))
        if (*at == ')' || !match_operand_of(m, at, node->inputs[turned ? node->input_count - 1 - i : i]))
            return false;
    return *at == ')';
}

static int uses_within(const Matching *m, const Node *node) {
    int uses = 0;
    for (int i = 0; i < m->matched_count; i++) {
        bool again = false;
        for (int k = 0; k < i; k++) again = again || m->matched[k] == m->matched[i];
        for (int k = 0; k < m->matched[i]->input_count && !again; k++)
            uses += m->matched[i]->inputs[k] == node;
    }
    return uses;
}

static bool is_work(const Node *node) {
    const OpClass class = op_info[node->op].class;
    return class == CLASS_CONTRACTION || class == CLASS_WINDOW || class == CLASS_ORDER;
}

/* An inner node that something else reads, too, is computed once more for the pattern.
 * Expensive nodes may not be. */
static bool pattern_stands_alone(const Matching *m) {
    for (int i = 1; i < m->matched_count; i++)
        if (is_work(m->matched[i]) && uses_within(m, m->matched[i]) != m->e->uses[m->matched[i]->id])
            return false;
    return true;
}

static bool has_row_type(const ExportRow *row, const Node *node) {
    return row->types == OF_ANY ||
           (node->shape.type != DTYPE_BOOL && dtype_is_float(node->shape.type) == (row->types == OF_FLOATS));
}

bool export_match(Export *e, const ExportRow *row, Node *node, Chosen *chosen) {
    *chosen = (Chosen){.row = row, .node = node};
    Matching m = {.e = e, .chosen = chosen};
    return row->opset <= e->options->opset && has_row_type(row, node) &&
           match_inner(&m, row->pattern + 1, node) && pattern_stands_alone(&m) &&
           (!row->test || row->test(e, chosen));
}

const Binding *bound(const Chosen *chosen, const char *name) {
    for (int i = 0; i < chosen->count; i++)
        if (chosen->bindings[i].length == strlen(name) &&
            !strncmp(chosen->bindings[i].name, name, strlen(name)))
            return &chosen->bindings[i];
    return NULL;
}
