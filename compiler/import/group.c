/* Puts together again what `cai build --kind onnx` writes as several nodes for one
 * operator, so that a model comes back as it was. Only files that cai made are searched:
 * in others the same nodes may mean more, such as boxes with corners in any order. */
#include "import/import.h"
#include <ctype.h>
#include <stdlib.h>

/* A pattern is an operator of ONNX with its inputs in parentheses. A name stands for any
 * value, the same at each place; `f:( .. )` names the output of an operator; a number
 * stands for a constant all of whose elements are that number. */
typedef struct Group {
    const char *pattern, *op; /* op: of the node in place of the group, of the domain "cai" */
    const char *inputs;       /* of that node, by their names in the pattern, each one letter */
} Group;

static const Group groups[] = {
    {"(ScatterND (Expand -1 r) (Concat p:(Slice f:(NonMaxSuppression b (Reshape s k) m i t) 0 1 1)"
     " (Cast (ReduceSum (Mul (Sub (CumSum c:(Cast (Equal p (Range 0 n 1))) 0) c) c) 1)))"
     " (Reshape (Slice f 2 3 1) -1))",
     "nms", "bsmit"},
};

typedef struct GroupMatch {
    Import *im;
    Map *makers;     /* of a value: the node that makes it */
    Name named[128]; /* by letter */
} GroupMatch;

static bool value_is_number(Import *im, Name value, double wanted) {
    const Known *k = known_of(im, map_get(im->wires, value));
    for (int64_t i = 0; k && i < k->count; i++) {
        int64_t whole;
        if (k->reals ? k->reals[i] != wanted : !dim_is_const(k->sizes[i], &whole) || (double)whole != wanted)
            return false;
    }
    return k && k->count;
}

static bool match_value(GroupMatch *m, const char *at, Name value);

static bool match_node(GroupMatch *m, const char *at, const OnnxNode *node) {
    const size_t length = pattern_word_length(at);
    if (!node || *node->domain || strlen(node->op) != length || strncmp(node->op, at, length)) return false;
    at += length;
    for (int i = 0; i < node->input_count; i++) {
        at = pattern_word(at);
        if (*at == ')' || !match_value(m, at, node->inputs[i])) return false;
        at = pattern_behind(at);
    }
    return *pattern_word(at) == ')';
}

static bool match_value(GroupMatch *m, const char *at, Name value) {
    if (*at == '(') return match_node(m, at + 1, map_get(m->makers, value));
    if (!isalpha((unsigned char)*at)) return value_is_number(m->im, value, strtod(at, NULL));
    Name *named = &m->named[(unsigned char)*at];
    if (*named && *named != value) return false;
    *named = value;
    return at[1] != ':' || match_node(m, at + 3, map_get(m->makers, value));
}

static void replace_by_group(const GroupMatch *m, const Group *group, OnnxNode *node) {
    const int count = (int)strlen(group->inputs);
    Name *inputs = NEW_ARRAY(m->im->arena, Name, count);
    for (int i = 0; i < count; i++) inputs[i] = m->named[(unsigned char)group->inputs[i]];
    node->op = group->op, node->domain = "cai";
    node->input_count = count, node->inputs = inputs, node->attribute_count = 0;
}

static void find_group(Import *im, Map *makers, OnnxNode *node) {
    for (int i = 0; i < COUNT_OF(groups); i++) {
        GroupMatch m = {.im = im, .makers = makers};
        if (!match_node(&m, groups[i].pattern + 1, node)) continue;
        replace_by_group(&m, &groups[i], node);
        return;
    }
}

void group_nodes(Import *im) {
    OnnxGraph *graph = im->model->graph;
    Map *makers = map_new(im->arena);
    if (strcmp(im->model->producer, "cai")) return;
    for (int i = 0; i < graph->nodes.count; i++) {
        OnnxNode *node = &graph->nodes.items[i];
        find_group(im, makers, node);
        for (int k = 0; k < node->output_count; k++) map_set(makers, node->outputs[k], node);
    }
}
