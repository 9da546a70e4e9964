/* Decides which nodes are weights: computed once, while building, and then read. A node
 * can be a weight if it depends on parameters and constants alone, with known sizes. It
 * is one if that pays: it is not much larger than what it is made of (kernels themselves
 * broadcast a sum of biases over a picture), unless a contraction needs it in memory; and
 * the reference evaluator computes it within MAX_BYTES and MAX_SECONDS. Anything beyond
 * stays in the program: kernels compute it at each run, and --explain says so. */
#include "plan/stages.h"

#include <stdlib.h>

enum {
    SMALL_WEIGHT = 65536, /* elements that may be computed while building, from however few elements */
    MAX_WEIGHT_GROWTH = 8 /* beyond that, how many times larger than what they are made of */
};

#define MAX_BYTES 2e9
#define MAX_SECONDS 20.0
#define COPIES \
    4 /* of its parameters may always be in memory: those of a large layer are reordered and scaled */
#define FLOPS_A_SECOND 1e9       /* of the evaluator, at least: half of them are multiplications */
#define SECONDS_AN_ELEMENT 10e-9 /* that is read or written */

typedef struct KnownWeight {
    bool known; /* depends on parameters and constants alone, and is computed within the limits */
    /* elements of the parameters and constants that it depends on, once for each path to
     * them */
    double raw;
    double bytes, seconds; /* upper bounds, counted like that */
} KnownWeight;

typedef struct Finder {
    Program *program;
    Graph *graph;
    Arena *scratch;
    KnownWeight *nodes; /* by id */
    int *seen;          /* by id: the latest walk that visited the node */
    int *uses;          /* by id, of that walk */
    int walk;
} Finder;

static double elements_of(const Node *node) { return (double)node_element_count(node); }

static bool is_parameter(const Node *node) { return node->op == OP_parameter || node->op == OP_state; }

/* ---- what evaluating takes ---- */

static double own_bytes(const Node *node) { return elements_of(node) * sizeof(double); }

static double own_seconds(Finder *f, const Node *node) {
    double elements = elements_of(node);
    for (int i = 0; i < node->input_count; i++) elements += elements_of(node->inputs[i]);
    return elements * SECONDS_AN_ELEMENT +
           (double)dim_const_value(node_flops(f->graph->dims, node)) / FLOPS_A_SECOND;
}

static int compare_node_ids(const void *a, const void *b) {
    return (*(Node *const *)a)->id - (*(Node *const *)b)->id;
}

typedef Vec(Node *) Nodes;

/* A node and all that it depends on, in order of evaluation, with the number of uses of
 * each. */
static Nodes gather_sources(Finder *f, Node *node) {
    Nodes nodes = {0};
    f->walk++;
    vec_push(f->scratch, &nodes, node);
    for (int i = 0; i < nodes.count; i++)
        for (int k = 0; k < nodes.items[i]->input_count; k++) {
            Node *input = nodes.items[i]->inputs[k];
            if (f->seen[input->id] != f->walk) f->uses[input->id] = 0, vec_push(f->scratch, &nodes, input);
            f->seen[input->id] = f->walk;
            f->uses[input->id]++;
        }
    qsort(nodes.items, (size_t)nodes.count, sizeof *nodes.items, compare_node_ids);
    return nodes;
}

/* Counts what the evaluator does: every node once, each value until its last use, and the
 * result copied. */
static KnownWeight count_exactly(Finder *f, Node *node) {
    Nodes nodes = gather_sources(f, node);
    KnownWeight exact = {.bytes = 2 * own_bytes(node)};
    double live = 0, parameters = 0;
    for (int i = 0; i < nodes.count; i++) {
        const Node *made = nodes.items[i];
        live += own_bytes(made);
        if (live > exact.bytes) exact.bytes = live;
        exact.seconds += own_seconds(f, made);
        if (is_parameter(made)) parameters += own_bytes(made);
        for (int k = 0; k < made->input_count; k++)
            if (--f->uses[made->inputs[k]->id] == 0) live -= own_bytes(made->inputs[k]);
    }
    exact.known =
        exact.seconds <= MAX_SECONDS && (exact.bytes <= MAX_BYTES || exact.bytes <= COPIES * parameters);
    return exact;
}

static void leave_weight_to_run(Finder *f, Node *node, double growth, double bytes, double seconds) {
    vec_push(f->program->arena, &f->program->left, (LeftConstant){node, growth, bytes, seconds});
}

static bool is_within_limits(Finder *f, Node *node) {
    const KnownWeight *max = &f->nodes[node->id];
    if (max->bytes + own_bytes(node) <= MAX_BYTES && max->seconds <= MAX_SECONDS) return true;
    KnownWeight exact = count_exactly(f, node);
    if (!exact.known) leave_weight_to_run(f, node, 0, exact.bytes, exact.seconds);
    return exact.known;
}

/* ---- which nodes are weights ---- */

static bool find_known_source(KnownWeight *known, const Node *node) {
    if (node->op == OP_constant) known->raw = (double)ATTRIBUTES(node, constant)->data->count;
    else known->raw = node->op == OP_iota ? 1 : elements_of(node);
    return is_parameter(node) || node->op == OP_constant || node->op == OP_iota;
}

static bool find_known(Finder *f, Node *node) {
    KnownWeight *known = &f->nodes[node->id];
    if (!node_sizes_are_known(node)) return false;
    known->bytes = own_bytes(node);
    if (node->input_count == 0) return find_known_source(known, node);
    for (int i = 0; i < node->input_count; i++) {
        const KnownWeight *input = &f->nodes[node->inputs[i]->id];
        if (!input->known) return false;
        known->raw += input->raw;
        known->bytes += input->bytes;
        known->seconds += input->seconds;
    }
    known->seconds += own_seconds(f, node);
    return node->op == OP_broadcast || is_within_limits(f, node); /* its users compute a broadcast */
}

/* A broadcast of a weight is a weight of any size, since the kernels that use it compute
 * it. */
static bool is_known_weight(Finder *f, Node *node) {
    const KnownWeight *known = &f->nodes[node->id];
    if (!known->known) return false;
    if (node->op == OP_broadcast) return f->program->weights[node->inputs[0]->id];
    double growth = elements_of(node) / known->raw;
    bool weight = elements_of(node) <= SMALL_WEIGHT || growth <= MAX_WEIGHT_GROWTH;
    if (!weight) leave_weight_to_run(f, node, growth, 0, 0);
    return weight;
}

void find_weights(Lowering *low) {
    Graph *graph = low->program->graph;
    int count = graph->nodes.count;
    Finder f = {low->program,
                graph,
                low->scratch,
                NEW_ARRAY(low->scratch, KnownWeight, count),
                NEW_ARRAY(low->scratch, int, count),
                NEW_ARRAY(low->scratch, int, count),
                0};
    bool *weights = low->program->weights = NEW_ARRAY(low->program->arena, bool, count);
    for (int i = 0; i < count; i++) {
        Node *node = graph->nodes.items[i];
        f.nodes[i].known = find_known(&f, node);
        weights[i] = is_known_weight(&f, node);
        bool reads = op_info[node->op].class == CLASS_CONTRACTION && !f.nodes[i].known;
        for (int k = 0; reads && k < node->input_count; k++)
            if (f.nodes[operand_of(node, k)->id].known && is_within_limits(&f, operand_of(node, k)))
                weights[operand_of(node, k)->id] = true;
    }
}

bool node_is_weight(const Program *program, const Node *node) { return program->weights[node->id]; }
