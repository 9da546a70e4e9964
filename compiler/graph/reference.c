/* Evaluates any graph in double precision by the operators' reference functions, in order, freeing each value after its last use.
 *
 * Values are rounded to their type where that is not f32, so that what a program computes in f16 or i32 can be compared; f32 is kept
 * in double, since the reference is what f32 is judged by. */
#include "graph/ops.h"
#include <math.h>
#include <stdlib.h>

/* ---- rounding to a type ---- */

/* To a float of `bits` of precision, whose least normal number is 2^low; from `limit` on it is infinite. Ties to even. */
static double rounded(double x, int bits, int low, double limit) {
    if (x == 0 || !isfinite(x)) return x;
    int exponent = ilogb(x) < low ? low : ilogb(x);
    double unit = ldexp(1, exponent - bits + 1), y = nearbyint(x / unit) * unit;
    return fabs(y) >= limit ? copysign(INFINITY, x) : y;
}

/* Ints wrap around; a NaN and what lies beyond 64 bits becomes 0. */
static double wrapped(double x, int bits) {
    if (!(x > -0x1p63 && x < 0x1p63)) return 0;
    uint64_t value = (uint64_t)(int64_t)x << (64 - bits);
    return (double)((int64_t)value >> (64 - bits));
}

void reference_round(RefTensor *tensor) {
    double *values = tensor->values;
    int64_t count = tensor->shape.count;
    switch (tensor->shape.type) {
    case DTYPE_F32: break;
    case DTYPE_F16: for (int64_t i = 0; i < count; i++) values[i] = rounded(values[i], 11, -14, 65536); break;
    case DTYPE_BF16: for (int64_t i = 0; i < count; i++) values[i] = rounded(values[i], 8, -126, 0x1p128); break;
    case DTYPE_I8: for (int64_t i = 0; i < count; i++) values[i] = wrapped(values[i], 8); break;
    case DTYPE_I32: for (int64_t i = 0; i < count; i++) values[i] = wrapped(values[i], 32); break;
    case DTYPE_I64: for (int64_t i = 0; i < count; i++) values[i] = wrapped(values[i], 64); break;
    case DTYPE_BOOL: for (int64_t i = 0; i < count; i++) values[i] = values[i] != 0; break;
    }
}

/* ---- evaluation ---- */

typedef struct Evaluation {
    const int64_t *symbols;
    uint64_t seed;
    const RefSource *source;
    RefTensor *values; /* by node id */
    int *uses;         /* how often each value is still wanted; by node id */
} Evaluation;

static RefShape concrete(Shape shape, const int64_t *symbols) {
    RefShape result = {.type = shape.type, .rank = shape.rank, .count = 1};
    for (int i = 0; i < shape.rank; i++) {
        if (!dim_evaluate(shape.dims[i], symbols, &result.dims[i]) || result.dims[i] < 0 ||
            __builtin_mul_overflow(result.count, result.dims[i], &result.count))
            INTERNAL_ERROR("a size overflows in the reference evaluator");
    }
    return result;
}

static double *values_new(int64_t count) {
    double *values = calloc((size_t)(count ? count : 1), sizeof *values);
    if (!values) out_of_memory((size_t)count * sizeof *values);
    return values;
}

static void release(Evaluation *e, const Node *node) {
    if (--e->uses[node->id] > 0) return;
    free(e->values[node->id].values);
    e->values[node->id].values = NULL;
}

/* Marks what the wanted nodes need, from the last node to the first, and counts uses. Gives the number of nodes to run over. */
static int count_uses(const Graph *graph, Node *const *wanted, int count, int *uses) {
    int end = 0;
    for (int i = 0; i < count; i++) {
        uses[wanted[i]->id]++;
        if (wanted[i]->id >= end) end = wanted[i]->id + 1;
    }
    for (int id = end - 1; id >= 0; id--) {
        const Node *node = graph->nodes.items[id];
        if (uses[id] == 0) continue;
        for (int i = 0; i < node->input_count; i++) uses[node->inputs[i]->id]++;
    }
    return end;
}

static bool compute(Evaluation *e, const Node *node) {
    RefTensor *result = &e->values[node->id];
    *result = (RefTensor){.shape = concrete(node->shape, e->symbols)};
    result->values = values_new(result->shape.count);
    if (node->op == OP_input || node->op == OP_parameter || node->op == OP_state) {
        bool (*get)(void *, const Node *, RefTensor *) = !e->source ? NULL : node->op == OP_input ? e->source->input : e->source->parameter;
        if (!get || !get(e->source->context, node, result)) return false;
    } else {
        const double **inputs = malloc(sizeof *inputs * (size_t)(node->input_count + 1));
        RefShape *shapes = malloc(sizeof *shapes * (size_t)(node->input_count + 1));
        if (!inputs || !shapes) out_of_memory(sizeof *shapes * (size_t)node->input_count);
        for (int i = 0; i < node->input_count; i++) {
            inputs[i] = e->values[node->inputs[i]->id].values;
            shapes[i] = e->values[node->inputs[i]->id].shape;
        }
        RefCall call = {node, e->symbols, inputs, shapes, result->values, result->shape, e->seed};
        op_info[node->op].reference(&call);
        free(inputs);
        free(shapes);
    }
    reference_round(result);
    for (int i = 0; i < node->input_count; i++) release(e, node->inputs[i]);
    return true;
}

static bool evaluate(Evaluation *e, const Graph *graph, int end) {
    for (int id = 0; id < end; id++)
        if (e->uses[id] > 0 && !compute(e, graph->nodes.items[id])) return false;
    return true;
}

bool reference_evaluate(const Graph *graph, Node *const *wanted, int count, const int64_t *symbols, uint64_t seed, const RefSource *source,
                        Arena *arena, RefTensor *results) {
    Arena *scratch = arena_new();
    Evaluation e = {symbols, seed, source, NEW_ARRAY(scratch, RefTensor, graph->nodes.count), NEW_ARRAY(scratch, int, graph->nodes.count)};
    bool good = evaluate(&e, graph, count_uses(graph, wanted, count, e.uses));
    for (int i = 0; i < count && good; i++) {
        results[i] = e.values[wanted[i]->id];
        results[i].values = arena_copy(arena, results[i].values, sizeof(double) * (size_t)results[i].shape.count);
    }
    for (int id = 0; id < graph->nodes.count; id++) free(e.values[id].values);
    arena_free(scratch);
    return good;
}
