/* A graph in f32, a rounding a node: what the reference, which is in double, cannot
 * see. */
#include "f32_support.h"
#include "graph/ops.h"
#include <float.h>

typedef struct Evaluated {
    RefTensor tensor;
    bool weight; /* of parameters and constants alone: not rounded yet */
} Evaluated;

static double as_f32(double x) {
    double rounded = (double)(float)x;
    return fabs(rounded) < (double)FLT_MIN ? copysign(0, rounded) : rounded;
}

static void round_all(RefTensor *tensor) {
    for (int64_t i = 0; i < tensor->shape.count; i++) tensor->values[i].real = as_f32(tensor->values[i].real);
}

static RefShape concrete(TestGraph *t, Shape shape) {
    RefShape result = {.type = shape.type, .rank = shape.rank, .count = count_of(t, shape)};
    for (int i = 0; i < shape.rank; i++)
        CU_ASSERT_FATAL(dim_evaluate(shape.dims[i], t->symbols, &result.dims[i]));
    return result;
}

static bool is_trained(const Node *node) { return node->op == OP_parameter || node->op == OP_state; }

static Evaluated compute(TestGraph *t, const Node *node, Evaluated *all) {
    const Number *inputs[8];
    RefShape shapes[8];
    Evaluated result = {{concrete(t, node->shape), NULL},
                        is_trained(node) || node->op == OP_constant || node->input_count > 0};
    result.tensor.values = NEW_ARRAY(t->arena, Number, result.tensor.shape.count);
    CU_ASSERT_FATAL(node->input_count <= COUNT_OF(inputs));
    for (int i = 0; i < node->input_count; i++)
        result.weight = result.weight && all[node->inputs[i]->id].weight;
    for (int i = 0; i < node->input_count; i++) {
        Evaluated *input = &all[node->inputs[i]->id];
        RefTensor read = {
            input->tensor.shape,
            arena_copy(t->arena, input->tensor.values, sizeof(Number) * (size_t)input->tensor.shape.count)};
        if (!result.weight) round_all(&read);
        inputs[i] = read.values;
        shapes[i] = read.shape;
    }
    RefCall call = {node, t->symbols, inputs, shapes, result.tensor.values, result.tensor.shape,
                    42,   NULL,       NULL};
    if (is_trained(node) || node->op == OP_input) give_value(t, node, &result.tensor);
    else op_info[node->op].reference(&call);
    if (!result.weight) round_all(&result.tensor);
    return result;
}

const Number *f32_output(TestGraph *t, const Graph *graph, int index) {
    Evaluated *all = NEW_ARRAY(t->arena, Evaluated, graph->nodes.count);
    for (int id = 0; id < graph->nodes.count; id++) all[id] = compute(t, graph->nodes.items[id], all);
    Evaluated *output = &all[graph->outputs.items[index].node->id];
    round_all(&output->tensor);
    return output->tensor.values;
}
