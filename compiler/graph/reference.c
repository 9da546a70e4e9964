/* Evaluates any graph by the operators' reference functions, in order, freeing each value after its last use: floats in double precision,
 * ints and bools exactly. Values are rounded to their type where that is not f32: see number.c. */
#include "graph/ops.h"
#include <stdlib.h>

void reference_round(RefTensor *tensor) {
    DType type = tensor->shape.type;
    for (int64_t i = 0; type != DTYPE_F32 && i < tensor->shape.count; i++) tensor->values[i] = number_rounded(tensor->values[i], type);
}

/* ---- evaluation ---- */

/* A node that the wanted ones need. */
typedef struct Slot {
    Node *node;
    RefTensor value; /* while it is needed */
    int uses;        /* how often it is still wanted */
} Slot;

typedef struct Evaluation {
    Arena *arena;
    const int64_t *symbols;
    uint64_t seed;
    const RefSource *source;
    Vec(Slot *) slots; /* in the graph's order once all are there */
    Map *by_node;
} Evaluation;

static Slot *use(Evaluation *e, Node *node) {
    Slot *slot = map_get(e->by_node, node);
    if (!slot) {
        slot = NEW(e->arena, Slot);
        slot->node = node;
        map_set(e->by_node, node, slot);
        vec_push(e->arena, &e->slots, slot);
    }
    slot->uses++;
    return slot;
}

static int by_id(const void *a, const void *b) {
    int left = (*(Slot *const *)a)->node->id, right = (*(Slot *const *)b)->node->id;
    return (left > right) - (left < right);
}

/* What the wanted nodes need and nothing else, so that a small part of a large graph is quickly done. */
static void collect(Evaluation *e, Node *const *wanted, int count) {
    for (int i = 0; i < count; i++) use(e, wanted[i]);
    for (int i = 0; i < e->slots.count; i++) {
        const Node *node = e->slots.items[i]->node;
        for (int k = 0; k < node->input_count; k++) use(e, node->inputs[k]);
    }
    qsort(e->slots.items, (size_t)e->slots.count, sizeof *e->slots.items, by_id);
}

static RefShape concrete(Shape shape, const int64_t *symbols) {
    RefShape result = {.type = shape.type, .rank = shape.rank, .count = 1};
    for (int i = 0; i < shape.rank; i++) {
        if (!dim_evaluate(shape.dims[i], symbols, &result.dims[i]) || result.dims[i] < 0 ||
            __builtin_mul_overflow(result.count, result.dims[i], &result.count))
            INTERNAL_ERROR("a size overflows in the reference evaluator");
    }
    return result;
}

static Number *values_new(int64_t count) {
    Number *values = calloc((size_t)(count ? count : 1), sizeof *values);
    if (!values) out_of_memory((size_t)count * sizeof *values);
    return values;
}

static void release(Slot *slot) {
    if (--slot->uses > 0) return;
    free(slot->value.values);
    slot->value.values = NULL;
}

/* By the operator's function, from the values of its inputs. */
static void call_reference(Evaluation *e, const Node *node, RefTensor *result) {
    const Number **inputs = NEW_ARRAY(e->arena, const Number *, node->input_count);
    RefShape *shapes = NEW_ARRAY(e->arena, RefShape, node->input_count);
    for (int i = 0; i < node->input_count; i++) {
        const Slot *input = map_get(e->by_node, node->inputs[i]);
        inputs[i] = input->value.values;
        shapes[i] = input->value.shape;
    }
    RefCall call = {node, e->symbols, inputs, shapes, result->values, result->shape, e->seed, e->source ? e->source->product : NULL};
    op_info[node->op].reference(&call);
}

static bool compute(Evaluation *e, Slot *slot) {
    const Node *node = slot->node;
    RefTensor *result = &slot->value;
    result->shape = concrete(node->shape, e->symbols);
    result->values = values_new(result->shape.count);
    if (node->op == OP_input || node->op == OP_parameter || node->op == OP_state) {
        bool (*get)(void *, const Node *, RefTensor *) = !e->source             ? NULL
                                                         : node->op == OP_input ? e->source->input
                                                                                : e->source->parameter;
        if (!get || !get(e->source->context, node, result)) return false;
    } else {
        call_reference(e, node, result);
    }
    reference_round(result);
    for (int i = 0; i < node->input_count; i++) release(map_get(e->by_node, node->inputs[i]));
    return true;
}

bool reference_evaluate(const Graph *graph, Node *const *wanted, int count, const int64_t *symbols, uint64_t seed,
                        const RefSource *source, Arena *arena, RefTensor *results) {
    Arena *scratch = arena_new();
    Evaluation e = {.arena = scratch, .symbols = symbols, .seed = seed, .source = source, .by_node = map_new(scratch)};
    for (int i = 0; i < count; i++) CHECK(graph->nodes.items[wanted[i]->id] == wanted[i]);
    collect(&e, wanted, count);
    bool good = true;
    for (int i = 0; i < e.slots.count && good; i++) good = compute(&e, e.slots.items[i]);
    for (int i = 0; i < count && good; i++) {
        results[i] = ((const Slot *)map_get(e.by_node, wanted[i]))->value;
        results[i].values = arena_copy(arena, results[i].values, sizeof *results[i].values * (size_t)results[i].shape.count);
    }
    for (int i = 0; i < e.slots.count; i++) free(e.slots.items[i]->value.values);
    arena_free(scratch);
    return good;
}
