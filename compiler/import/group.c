/* Puts together again what `cai build --kind onnx` writes as several nodes for one
 * operator, so that a model comes back as it was. Only files that cai made are searched:
 * in others the same nodes may mean more, such as boxes with corners in any order. */
#include "import/convert.h"
#include <ctype.h>
#include <stdlib.h>

/* A pattern is an operator of ONNX, or one that an earlier group became, with its inputs
 * in parentheses. A name stands for any value, the same at each place; `f:( .. )` names
 * the output of an operator; a number stands for a constant all of whose elements are
 * that number. */
typedef struct Group {
    const char *pattern, *op; /* op: of the node in place of the group, of the domain "cai" */
    const char *inputs;       /* of that node, by their names in the pattern, each one letter */
    char attributes;          /* the output of the node whose attributes it takes; or 0 */
} Group;

/* The matrix [out, in] by which a mean over areas is written. */
#define AREAS(row, column, begin, end, in, out)                                                          \
    "(Div (Cast (And (GreaterOrEqual " column ":(Range 0 (Reshape " in " k) 1) " begin ":(Div (Mul " row \
    ":(Reshape (Range 0 (Reshape " out " k) 1) l) " in ") " out ")) (Less " column " " end               \
    ":(Add (Div (Sub (Mul (Add " row " 1) " in ") 1) " out ") 1)))) (Cast (Sub " end " " begin ")))"

static const Group groups[] = {
    {"(ScatterND (Expand -1 r) (Concat p:(Slice f:(NonMaxSuppression b (Reshape s k) m i t) 0 1 1)"
     " (Cast (ReduceSum (Mul (Sub (CumSum c:(Cast (Equal p (Range 0 n 1))) 0) c) c) 1)))"
     " (Reshape (Slice f 2 3 1) -1))",
     "nms", "bsmit", 0},
    {"(Where (Less u:(Add x 1) 2) (Where (Equal u 1) x (Mul l:(Log u) (Div x (Sub u 1)))) l)", "log1p", "x",
     0},
    {"(Mul (Tanh (Mul x 0.5)) (Add (Exp x) 1))", "expm1", "x", 0},
    {"(Where (Less (Mul (Sign r:(Mod x y)) (Sign y)) 0) (Add r y) r)", "mod", "xy", 0},
    {"(Round (Div (Sub x (mod x y)) y))", "floor_div", "xy", 0},
    {"(Where z:(Equal y 0) 0 (Mod x (Where z 1 y)))", "mod", "xy", 0},
    {"(Where z:(Equal y 0) 0 (Div (Sub x (Mod x d:(Where z 1 y))) d))", "floor_div", "xy", 0},
    {"(Reshape (ScatterElements (Mul (Reshape x o) 0) (Reshape p:(MaxPool x) o) (Reshape y o)) (Shape x))",
     "unpool", "xy", 'p'},
    {"(MatMul (MatMul " AREAS("a", "b", "c", "d", "e", "h") " x) (Transpose " AREAS("f", "g", "i", "j", "m",
                                                                                    "w") "))",
     "resize_area", "xhw", 0},
};
#undef AREAS

typedef struct GroupMatch {
    Import *im;
    Map *makers;     /* of a value: the node that makes it */
    Name named[128]; /* by letter */
} GroupMatch;

/* Of an initializer or a Constant, before nodes are read; else NULL. */
static Wire *constant_before_nodes(const GroupMatch *m, Name value) {
    Wire *wire = map_get(m->im->wires, value);
    const OnnxNode *maker = map_get(m->makers, value);
    if (wire || !maker || strcmp(maker->op, "Constant")) return wire;
    m->im->node = maker;
    const OnnxAttribute *given = attribute(m->im, "value");
    if (given && given->tensor) convert_constant(m->im, NULL, 0, &wire);
    return wire;
}

static bool match_value(GroupMatch *m, const char *at, Name value);

static bool match_node(GroupMatch *m, const char *at, const OnnxNode *node) {
    const size_t length = pattern_word_length(at);
    if (!node || (*node->domain && strcmp(node->domain, "cai")) || strlen(node->op) != length ||
        strncmp(node->op, at, length))
        return false;
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
    if (!isalpha((unsigned char)*at))
        return is_filled_with(m->im, constant_before_nodes(m, value), strtod(at, NULL));
    Name *named = &m->named[(unsigned char)*at];
    if (*named && *named != value) return false;
    *named = value;
    return at[1] != ':' || match_node(m, at + 3, map_get(m->makers, value));
}

static void replace_by_group(const GroupMatch *m, const Group *group, OnnxNode *node) {
    const int count = (int)strlen(group->inputs);
    Name *inputs = NEW_ARRAY(m->im->arena, Name, count);
    for (int i = 0; i < count; i++) inputs[i] = m->named[(unsigned char)group->inputs[i]];
    const OnnxNode *with =
        group->attributes ? map_get(m->makers, m->named[(unsigned char)group->attributes]) : NULL;
    node->op = group->op, node->domain = "cai";
    node->input_count = count, node->inputs = inputs;
    node->attribute_count = with ? with->attribute_count : 0,
    node->attributes = with ? with->attributes : NULL;
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
