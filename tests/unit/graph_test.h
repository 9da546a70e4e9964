/* What the suites of graphs share: a graph under construction with random values for its
 * inputs, and its evaluation. */
#ifndef GRAPH_TEST_H
#define GRAPH_TEST_H

#include "graph/ops.h"
#include "passes/passes.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>

typedef struct TestInput {
    Node *node;
    Number *values;
    int64_t count;
} TestInput;

typedef struct TestGraph {
    Arena *arena;
    Graph *graph;
    Dim N, H;           /* symbols */
    int64_t symbols[2]; /* their values */
    Vec(TestInput) inputs;
    uint64_t random;
    const unsigned char *choices; /* for fuzzing: bytes that choices are made by, as long as they last */
    size_t choice_count;
} TestGraph;

static inline TestGraph test_graph(uint64_t seed) {
    TestGraph t = {
        .arena = arena_new(), .symbols = {2, 5}, .random = seed * 2654435761u + 88172645463325252u};
    t.graph = graph_new(t.arena, names_new(t.arena), dims_new(t.arena));
    t.N = dim_symbol(t.graph->dims, intern(t.graph->names, "N"), 1);
    t.H = dim_symbol(t.graph->dims, intern(t.graph->names, "H"), 1);
    t.graph->model = intern(t.graph->names, "test");
    return t;
}

static inline uint64_t next_random(TestGraph *t) {
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    return t->random ^= t->random << 17;
}

static inline int random_below(TestGraph *t, int limit) {
    if (t->choice_count == 0) return (int)(next_random(t) >> 33) % limit;
    t->choice_count--;
    return *t->choices++ % limit;
}
static inline double random_in(TestGraph *t, double low, double high) {
    return low + (high - low) * (double)(next_random(t) >> 11) * 0x1p-53;
}

static inline Dim size(TestGraph *t, int64_t value) { return dim_const(t->graph->dims, value); }
#define SIZES(...) COUNT_OF(((Dim[]){__VA_ARGS__})), (Dim[]){__VA_ARGS__}
#define INTS(...) ((IntList){COUNT_OF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__}})
#define DIMS(...) ((DimList){COUNT_OF(((Dim[]){__VA_ARGS__})), (Dim[]){__VA_ARGS__}})
#define MAKE(t, op_name, inputs, count, ...) \
    graph_make((t)->graph, OP_##op_name, inputs, count, &(op_name##_attributes){__VA_ARGS__})

static inline Node *splat(TestGraph *t, double value) { return build_scalar(t->graph, value, DTYPE_F32); }
static inline Node *binary(TestGraph *t, Op op, Node *a, Node *b) { return build_binary(t->graph, op, a, b); }
static inline Node *unary(TestGraph *t, Op op, Node *x) { return build_unary(t->graph, op, x); }

/* Elementwise operators that make floats of floats: suites take them from the table. */
static inline bool makes_floats(Op op, int operands) {
    const OpInfo *info = &op_info[op];
    bool floats = info->shape == shape_same || info->shape == shape_float;
    return info->class == CLASS_ELEMENTWISE && floats && info->max_inputs == operands;
}

/* Those that are no numbers where the first operand is negative. */
static inline bool takes_positive(Op op) {
    return op == OP_log || op == OP_log1p || op == OP_sqrt || op == OP_pow;
}

/* Sizes are at least 1: the language lets no other reach a kernel, which may rely on
 * it. */
static inline int64_t count_of(TestGraph *t, Shape shape) {
    int64_t count = 1, value;
    for (int i = 0; i < shape.rank; i++) {
        CU_ASSERT_FATAL(dim_evaluate(shape.dims[i], t->symbols, &value) && value >= 1);
        count *= value;
    }
    return count;
}

/* Inputs, parameters and outputs of the model, without values. */
static inline Node *named_input(TestGraph *t, const char *text, int rank, const Dim *dims) {
    Name name = intern(t->graph->names, text);
    Node *node = MAKE(t, input, NULL, 0, name, DTYPE_F32, {rank, dims});
    vec_push(t->arena, &t->graph->inputs, (Port){.name = name, .node = node});
    return node;
}

static inline Node *named_parameter(TestGraph *t, const char *name, int rank, const Dim *dims) {
    return MAKE(t, parameter, NULL, 0, intern(t->graph->names, name), DTYPE_F32, {rank, dims}, 0);
}

static inline void named_output(TestGraph *t, const char *name, Node *node) {
    vec_push(t->arena, &t->graph->outputs, (Port){.name = intern(t->graph->names, name), .node = node});
}

/* An input of the model, or a parameter, with random values in [low, high). */
static inline Node *add_values(TestGraph *t, Node *node, double low, double high) {
    TestInput input = {node, NULL, count_of(t, node->shape)};
    input.values = NEW_ARRAY(t->arena, Number, input.count);
    for (int64_t i = 0; i < input.count; i++)
        input.values[i] = number_cast((Number){.real = random_in(t, low, high)}, DTYPE_F32, node->shape.type);
    vec_push(t->arena, &t->inputs, input);
    return node;
}

static inline Node *new_input(TestGraph *t, double low, double high, int rank, const Dim *dims) {
    const char *name = arena_printf(t->arena, "x%d", t->inputs.count);
    return add_values(t, named_input(t, name, rank, dims), low, high);
}

static inline Node *new_parameter(TestGraph *t, double low, double high, int rank, const Dim *dims) {
    const char *name = arena_printf(t->arena, "w%d", t->inputs.count);
    return add_values(t, named_parameter(t, name, rank, dims), low, high);
}

static inline void new_output(TestGraph *t, Node *node) {
    CU_ASSERT_FATAL(count_of(t, node->shape) >= 1);
    named_output(t, arena_printf(t->arena, "y%d", t->graph->outputs.count), node);
}

/* Parameters and inputs are known by name, so that a rewritten graph's are found, too. */
static inline bool give_value(void *context, const Node *node, RefTensor *out) {
    TestGraph *t = context;
    for (int i = 0; i < t->inputs.count; i++) {
        const TestInput *input = &t->inputs.items[i];
        if (input->node->op != node->op ||
            *(const Name *)input->node->attributes != *(const Name *)node->attributes)
            continue;
        CU_ASSERT_EQUAL_FATAL(out->shape.count, input->count);
        memcpy(out->values, input->values, sizeof *input->values * (size_t)input->count);
        return true;
    }
    return false;
}

static inline double element(const RefTensor *tensor, int64_t i) {
    return number_value(tensor->values[i], tensor->shape.type);
}

static inline void evaluate(TestGraph *t, Graph *graph, Node *const *nodes, int count, RefTensor *results) {
    RefSource source = {.context = t, .parameter = give_value, .input = give_value};
    CU_ASSERT_FATAL(reference_evaluate(graph, nodes, count, t->symbols, 42, &source, t->arena, results));
}

/* The values of all outputs. */
static inline RefTensor *output_values(TestGraph *t, Graph *graph) {
    int count = graph->outputs.count;
    Node **nodes = NEW_ARRAY(t->arena, Node *, count);
    RefTensor *results = NEW_ARRAY(t->arena, RefTensor, count);
    for (int i = 0; i < count; i++) nodes[i] = graph->outputs.items[i].node;
    evaluate(t, graph, nodes, count, results);
    return results;
}

static inline float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
