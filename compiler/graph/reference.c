/* Evaluates any graph by the reference functions of its operators, in order, and frees
 * each value after its last use. Floats are computed in double precision, ints and bools
 * exactly. Values are rounded to their type where that is not f32: see number.c.
 * Operators that only move elements copy nothing: their result is a view of the input's
 * memory (layout.c), copied when a function needs it in row-major order. */
#include "graph/ops.h"
#include <stdlib.h>

void reference_round(RefTensor *tensor) {
    DType type = tensor->shape.type;
    for (int64_t i = 0; type != DTYPE_F32 && i < tensor->shape.count; i++)
        tensor->values[i] = number_rounded(tensor->values[i], type);
}

static void clear_numbers(void *numbers, int64_t begin, int64_t end) {
    memset((Number *)numbers + begin, 0, sizeof(Number) * (size_t)(end - begin));
}

void ref_clear(const RefCall *call) { parallel_for(call->shape.count, 1, clear_numbers, call->out); }

/* ---- evaluation ---- */

/* Memory that several values may share: a tensor and slices of it. */
typedef struct RefBuffer {
    int users;
    int64_t count;
    Number values[];
} RefBuffer;

/* A node that the wanted nodes depend on, and its value while it is needed. */
typedef struct RefSlot {
    Node *node;
    int uses; /* how many uses are still to come */
    RefShape shape;
    RefLayout layout;
    const Number *first; /* element */
    RefBuffer *buffer;
} RefSlot;

typedef struct Evaluation {
    Arena *arena;
    const int64_t *symbols;
    uint64_t seed;
    const RefSource *source;
    Vec(RefSlot *) slots; /* in the order of the graph once complete */
    Map *by_node;
} Evaluation;

static RefSlot *use_slot(Evaluation *e, Node *node) {
    RefSlot *slot = map_get(e->by_node, node);
    if (!slot) {
        slot = NEW(e->arena, RefSlot);
        slot->node = node;
        map_set(e->by_node, node, slot);
        vec_push(e->arena, &e->slots, slot);
    }
    slot->uses++;
    return slot;
}

static int wanted_by_id(const void *a, const void *b) {
    int left = (*(RefSlot *const *)a)->node->id, right = (*(RefSlot *const *)b)->node->id;
    return (left > right) - (left < right);
}

/* Collects what the wanted nodes need and nothing else, so that a small part of a large
 * graph is fast. */
static void collect_slots(Evaluation *e, Node *const *wanted, int count) {
    for (int i = 0; i < count; i++) use_slot(e, wanted[i]);
    for (int i = 0; i < e->slots.count; i++) {
        const Node *node = e->slots.items[i]->node;
        for (int k = 0; k < node->input_count; k++) use_slot(e, node->inputs[k]);
    }
    qsort(e->slots.items, (size_t)e->slots.count, sizeof *e->slots.items, wanted_by_id);
}

static RefShape concrete_shape(Shape shape, const int64_t *symbols) {
    RefShape result = {.type = shape.type, .rank = shape.rank, .count = 1};
    for (int i = 0; i < shape.rank; i++) {
        if (!dim_evaluate(shape.dims[i], symbols, &result.dims[i]) || result.dims[i] < 0 ||
            __builtin_mul_overflow(result.count, result.dims[i], &result.count))
            INTERNAL_ERROR("a size overflows in the reference evaluator");
    }
    return result;
}

/* ---- memory ---- */

static RefBuffer *buffer_new(int64_t count) {
    size_t bytes = sizeof(RefBuffer) + (size_t)count * sizeof(Number);
    RefBuffer *buffer = malloc(bytes);
    if (!buffer) out_of_memory(bytes);
    *buffer = (RefBuffer){0, count};
    return buffer;
}

static void hold_buffer(RefSlot *slot, RefBuffer *buffer) {
    buffer->users++;
    slot->buffer = buffer;
}

/* In row-major order, from the buffer's beginning on. */
static Number *hold_plain(RefSlot *slot, RefBuffer *buffer) {
    hold_buffer(slot, buffer);
    slot->layout = layout_plain(&slot->shape);
    slot->first = buffer->values;
    return buffer->values;
}

static void drop_buffer(RefBuffer *buffer) {
    if (buffer && --buffer->users == 0) free(buffer);
}

static void release_slot(RefSlot *slot) {
    if (--slot->uses > 0) return;
    drop_buffer(slot->buffer);
    slot->buffer = NULL;
}

static void make_plain(RefSlot *slot) {
    RefSlot old = *slot;
    layout_read(&old.shape, old.first, &old.layout, hold_plain(slot, buffer_new(slot->shape.count)));
    drop_buffer(old.buffer);
}

/* ---- a node ---- */

static RefSlot *input_of(const Evaluation *e, const RefSlot *slot, int i) {
    return map_get(e->by_node, slot->node->inputs[i]);
}

/* Whether the node's function reads that input in place, and not in row-major order. */
static bool reads_in_place(const RefSlot *slot, const RefSlot *input) {
    const Node *node = slot->node;
    RefLayout layout;
    if (op_info[node->op].class == CLASS_ELEMENTWISE || node->op == OP_sum || node->op == OP_reduce_max)
        return layout_has_rows(&input->shape, &input->layout);
    if (node->op == OP_matmul) return ref_matrix_lies(&input->shape, &input->layout);
    if (node->op == OP_reshape) return layout_reshape(&input->shape, &input->layout, &slot->shape, &layout);
    return node->op == OP_concat || op_info[node->op].reference == ref_moved;
}

static RefCall call_of(Evaluation *e, const RefSlot *slot) {
    int count = slot->node->input_count;
    const Number **inputs = NEW_ARRAY(e->arena, const Number *, count);
    RefShape *shapes = NEW_ARRAY(e->arena, RefShape, count);
    RefLayout *layouts = NEW_ARRAY(e->arena, RefLayout, count);
    for (int i = 0; i < count; i++) {
        RefSlot *input = input_of(e, slot, i);
        if (!reads_in_place(slot, input) && !layout_is_plain(&input->shape, &input->layout))
            make_plain(input);
        inputs[i] = input->first;
        shapes[i] = input->shape;
        layouts[i] = input->layout;
    }
    return (RefCall){slot->node, e->symbols,  inputs,  shapes,
                     NULL,       slot->shape, e->seed, e->source ? e->source->product : NULL,
                     layouts};
}

/* An elementwise result may use the memory of an operand that has no other user: at each
 * place, all operands are read before the result is written. */
static RefBuffer *result_buffer(const Evaluation *e, const RefSlot *slot) {
    for (int i = 0; op_info[slot->node->op].class == CLASS_ELEMENTWISE && i < slot->node->input_count; i++) {
        const RefSlot *input = input_of(e, slot, i);
        bool last_use =
            input->uses == 1 && input->buffer->users == 1 && input->buffer->count == slot->shape.count;
        if (last_use && layout_is_plain(&input->shape, &input->layout)) return input->buffer;
    }
    return buffer_new(slot->shape.count);
}

/* Computes the value by the operator's function; an operator that only moves elements
 * leaves them in place. */
static void compute_slot(Evaluation *e, RefSlot *slot) {
    RefCall call = call_of(e, slot);
    slot->first = ref_view(&call, &slot->layout);
    if (slot->first) {
        hold_buffer(slot, input_of(e, slot, 0)->buffer);
        return;
    }
    call.out = hold_plain(slot, result_buffer(e, slot));
    op_info[slot->node->op].reference(&call);
    reference_round(&(RefTensor){slot->shape, call.out});
}
/* Takes the value from the source: inputs, parameters and states. */
static bool take_slot(const Evaluation *e, RefSlot *slot) {
    bool (*get)(void *, const Node *, RefTensor *) = !e->source                   ? NULL
                                                     : slot->node->op == OP_input ? e->source->input
                                                                                  : e->source->parameter;
    RefTensor value = {slot->shape, hold_plain(slot, buffer_new(slot->shape.count))};
    bool given = get && get(e->source->context, slot->node, &value);
    if (given) reference_round(&value);
    return given;
}

static bool evaluate_slot(Evaluation *e, RefSlot *slot) {
    const Node *node = slot->node;
    slot->shape = concrete_shape(node->shape, e->symbols);
    if (node->op == OP_input || node->op == OP_parameter || node->op == OP_state) return take_slot(e, slot);
    compute_slot(e, slot);
    for (int i = 0; i < node->input_count; i++) release_slot(input_of(e, slot, i));
    return true;
}

static RefTensor copied_tensor(const RefSlot *slot, Arena *arena) {
    RefTensor result = {slot->shape, NEW_ARRAY(arena, Number, slot->shape.count)};
    layout_read(&slot->shape, slot->first, &slot->layout, result.values);
    return result;
}

bool reference_evaluate(const Graph *graph, Node *const *wanted, int count, const int64_t *symbols,
                        uint64_t seed, const RefSource *source, Arena *arena, RefTensor *results) {
    Arena *scratch = arena_new();
    Evaluation e = {
        .arena = scratch, .symbols = symbols, .seed = seed, .source = source, .by_node = map_new(scratch)};
    for (int i = 0; i < count; i++) CHECK(graph->nodes.items[wanted[i]->id] == wanted[i]);
    collect_slots(&e, wanted, count);
    bool good = true;
    for (int i = 0; i < e.slots.count && good; i++) good = evaluate_slot(&e, e.slots.items[i]);
    for (int i = 0; i < count && good; i++) results[i] = copied_tensor(map_get(e.by_node, wanted[i]), arena);
    for (int i = 0; i < e.slots.count; i++) drop_buffer(e.slots.items[i]->buffer);
    arena_free(scratch);
    return good;
}
