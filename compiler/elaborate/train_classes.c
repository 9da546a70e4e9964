/* Finds the number of classes that the text has for an input whose numbers are classes:
 * labels, the pixels of a mask, the boxes on a picture. The readers of data leave out
 * samples with larger numbers (runtime/data/unknown.c), because such a number would cause
 * no error: it equals no class, or counts as the last one, and the sample would be
 * learned wrongly.
 *
 * The number of classes follows from where the numbers are used: they are compared with
 * 0, 1, 2, .., as in losses of the library, or are the places at which elements are taken
 * along an axis. From the input to there they are followed through movement, casts, and
 * shifts by a constant. If the text itself bounds them, by a minimum or by `select(label
 * < 5, ..)`, it defines what larger numbers mean. A single number above all classes that
 * the text compares with, `mask != 255`, is allowed. */
#include "elaborate/train.h"

typedef enum NumberKind {
    NO_NUMBER,
    EACH_ELEMENT, /* is a number of the input, and `added` more */
    ONE_COLUMN,   /* of the last axis is: element `column` of `length` */
    FLAT_ROWS,    /* such rows in sequence */
    CAPPED,       /* a number, but at most that of the last of `classes` */
    CAPPED_PLACE, /* computed from such numbers: the position of an element in a flat tensor */
    BOUND         /* whether a number is below a constant */
} NumberKind;

typedef struct Numbers {
    NumberKind kind;
    int64_t added, column, length, classes;
} Numbers;

typedef struct ClassSearch { /* of one field in one entry */
    const TrainingEntry *entry;
    TrainingField *field;
    Arena *arena;
    Numbers *of; /* by a node's number */
} ClassSearch;

static const Numbers no_number = {NO_NUMBER, 0, 0, 0, 0};

static Numbers numbers_in(const ClassSearch *s, const Node *node, int input) {
    return s->of[node->inputs[input]->id];
}

static bool are_same_numbers(Numbers a, Numbers b) {
    return a.kind == b.kind && a.added == b.added && a.column == b.column && a.length == b.length &&
           a.classes == b.classes;
}

/* ---- constants, and 0, 1, 2, .. ---- */

static const Node *without_movement(const Node *node) {
    while (node->op == OP_broadcast || node->op == OP_reshape || node->op == OP_cast ||
           node->op == OP_transpose)
        node = node->inputs[0];
    return node;
}

static bool is_whole_constant(const Node *node, int64_t *value) {
    double real;
    if (!node_is_splat(without_movement(node), &real) || real != floor(real) || fabs(real) > 1e15)
        return false;
    *value = (int64_t)real;
    return true;
}

/* `arange(n)`, plus a constant: the number after its last. */
static bool counts_up(const Node *node, int64_t *end) {
    int64_t added;
    node = without_movement(node);
    if (node->op == OP_iota) return dim_is_const(node->shape.dims[ATTRIBUTES(node, iota)->axis], end);
    bool shifted = node->op == OP_add && is_whole_constant(node->inputs[1], &added);
    if (!shifted || !counts_up(node->inputs[0], end)) return false;
    *end += added;
    return true;
}

/* ---- what is found ---- */

static void note_classes(const ClassSearch *s, int64_t classes) {
    int64_t *least = &s->field->classes;
    if (classes > 0 && (!*least || classes < *least)) *least = classes;
}

static void note_compared(const ClassSearch *s, Numbers x, const Node *with) {
    int64_t number;
    if (x.kind != EACH_ELEMENT) return;
    if (counts_up(with, &number)) note_classes(s, number - x.added);
    else if (is_whole_constant(with, &number)) vec_push(s->arena, &s->field->compared, number - x.added);
}

/* The index of a gather and the like, along an axis of `size`. */
static void note_places(const ClassSearch *s, Numbers x, Dim size) {
    int64_t count;
    if (x.kind == CAPPED_PLACE) note_classes(s, x.classes);
    else if (x.kind == EACH_ELEMENT && dim_is_const(size, &count)) note_classes(s, count - x.added);
}

/* ---- elementwise ---- */

static Numbers shifted_numbers(const ClassSearch *s, const Node *node) {
    Numbers x = numbers_in(s, node, 0), y = numbers_in(s, node, 1);
    int64_t by;
    int constant = x.kind ? 1 : 0;
    bool forward = node->op == OP_add || constant == 1;
    if (x.kind == NO_NUMBER) x = y;
    if (x.kind == CAPPED || x.kind == CAPPED_PLACE) return x.kind = CAPPED_PLACE, x;
    if (x.kind != EACH_ELEMENT || !forward || !is_whole_constant(node->inputs[constant], &by))
        return no_number;
    x.added += node->op == OP_add ? by : -by;
    return x;
}

/* `min(x, last)`: by the text's own hand, or take_along's. */
static Numbers capped_numbers(const ClassSearch *s, const Node *node) {
    Numbers x = numbers_in(s, node, 0);
    int64_t last;
    if (x.kind != EACH_ELEMENT || !is_whole_constant(node->inputs[1], &last)) return no_number;
    return (Numbers){.kind = CAPPED, .classes = last + 1 - x.added};
}

static Numbers floored_numbers(const ClassSearch *s, const Node *node) {
    int64_t least;
    return is_whole_constant(node->inputs[1], &least) ? numbers_in(s, node, 0) : no_number;
}

static Numbers scaled_numbers(const ClassSearch *s, const Node *node) {
    Numbers x = numbers_in(s, node, 0);
    if (x.kind == CAPPED || x.kind == CAPPED_PLACE) return x.kind = CAPPED_PLACE, x;
    return no_number;
}

/* Whether one is 0 or above bounds nothing. */
static Numbers bound_numbers(const ClassSearch *s, const Node *node) {
    int64_t than;
    for (int i = 0; i < 2; i++) {
        Numbers x = numbers_in(s, node, i);
        bool below = is_whole_constant(node->inputs[1 - i], &than) && than - x.added > 0;
        if (x.kind == EACH_ELEMENT && below) return (Numbers){.kind = BOUND};
    }
    return no_number;
}

static Numbers joined_logic(const ClassSearch *s, const Node *node) {
    bool bound = false;
    for (int i = 0; i < node->input_count; i++) bound |= numbers_in(s, node, i).kind == BOUND;
    return bound ? (Numbers){.kind = BOUND} : no_number;
}

static Numbers chosen_numbers(const ClassSearch *s, const Node *node) {
    Numbers a = numbers_in(s, node, 1), b = numbers_in(s, node, 2);
    if (numbers_in(s, node, 0).kind == BOUND) return no_number;
    if (a.kind == NO_NUMBER) return b;
    return b.kind == NO_NUMBER || are_same_numbers(a, b) ? a : no_number;
}

static Numbers compared_numbers(const ClassSearch *s, const Node *node) {
    note_compared(s, numbers_in(s, node, 0), node->inputs[1]);
    note_compared(s, numbers_in(s, node, 1), node->inputs[0]);
    return no_number;
}

static Numbers numbers_of_elements(const ClassSearch *s, const Node *node) {
    switch (node->op) {
    case OP_cast:
    case OP_stop: return numbers_in(s, node, 0);
    case OP_add:
    case OP_sub: return shifted_numbers(s, node);
    case OP_mul: return scaled_numbers(s, node);
    case OP_min: return capped_numbers(s, node);
    case OP_max: return floored_numbers(s, node);
    case OP_eq:
    case OP_ne: return compared_numbers(s, node);
    case OP_lt:
    case OP_le: return bound_numbers(s, node);
    case OP_and:
    case OP_or:
    case OP_not: return joined_logic(s, node);
    case OP_select: return chosen_numbers(s, node);
    default: return no_number;
    }
}

/* ---- movement ---- */

static bool has_last(const Node *node, int64_t size) {
    int64_t last;
    return node->shape.rank > 0 && dim_is_const(node->shape.dims[node->shape.rank - 1], &last) &&
           last == size;
}

/* Rows stay rows where the last axis is as long as before, and are flat with a single
 * one. */
static Numbers in_new_shape(const Node *node, Numbers x) {
    if (x.kind != ONE_COLUMN && x.kind != FLAT_ROWS) return x;
    x.kind = has_last(node, x.length) ? ONE_COLUMN : FLAT_ROWS;
    return x.kind == ONE_COLUMN || node->shape.rank == 1 ? x : no_number;
}

static Numbers numbers_of_slice(const Node *node, Numbers x) {
    const slice_attributes *slice = ATTRIBUTES(node, slice);
    int last = node->shape.rank - 1;
    int64_t begin, size;
    if (x.kind != ONE_COLUMN) return x.kind == FLAT_ROWS ? no_number : x;
    if (!dim_is_const(slice->begin.items[last], &begin) || !dim_is_const(slice->size.items[last], &size) ||
        slice->step.items[last] != 1 || x.column < begin || x.column >= begin + size)
        return no_number;
    if (size == 1) return (Numbers){.kind = EACH_ELEMENT, .added = x.added};
    x.column -= begin;
    x.length = size;
    return x;
}

static Numbers numbers_of_transpose(const Node *node, Numbers x) {
    const IntList permutation = ATTRIBUTES(node, transpose)->permutation;
    int last = permutation.count - 1;
    return x.kind == ONE_COLUMN && permutation.items[last] != last ? no_number : x;
}

/* One part of the last axis may be the column of numbers, or have it. */
static Numbers joined_columns(const ClassSearch *s, const Node *node) {
    Numbers found = no_number;
    int64_t before = 0, size;
    for (int i = 0; i < node->input_count; i++, before += size) {
        Numbers x = numbers_in(s, node, i);
        if (!dim_is_const(node->inputs[i]->shape.dims[node->shape.rank - 1], &size)) return no_number;
        if (x.kind == NO_NUMBER) continue;
        bool column = x.kind == ONE_COLUMN || (x.kind == EACH_ELEMENT && size == 1);
        if (!column || found.kind) return no_number;
        found = (Numbers){.kind = ONE_COLUMN, .added = x.added, .column = before + x.column};
    }
    found.length = before;
    return found;
}

static Numbers numbers_of_concat(const ClassSearch *s, const Node *node) {
    Numbers first = numbers_in(s, node, 0);
    bool same = true, last = ATTRIBUTES(node, concat)->axis == node->shape.rank - 1;
    for (int i = 1; i < node->input_count; i++) same &= are_same_numbers(numbers_in(s, node, i), first);
    if (same && !(last && first.kind == ONE_COLUMN)) return first;
    return last ? joined_columns(s, node) : no_number;
}

/* What is taken at computed places of flat rows, and has rows as long, are rows again:
 * take_along takes so. */
static Numbers numbers_of_gather(const ClassSearch *s, const Node *node) {
    int64_t axis = ATTRIBUTES(node, gather)->axis;
    Numbers x = numbers_in(s, node, 0);
    note_places(s, numbers_in(s, node, 1), node->inputs[0]->shape.dims[axis]);
    if (x.kind == FLAT_ROWS) return has_last(node, x.length) ? in_new_shape(node, x) : no_number;
    return x.kind == ONE_COLUMN && axis == node->inputs[0]->shape.rank - 1 ? no_number : x;
}

static Numbers numbers_of_flip(const Node *node, Numbers x) {
    return x.kind == EACH_ELEMENT || (x.kind == ONE_COLUMN && !node_names_axis(node, node->shape.rank - 1))
               ? x
               : no_number;
}

static Numbers numbers_of_movement(const ClassSearch *s, const Node *node) {
    Numbers x = numbers_in(s, node, 0);
    switch (node->op) {
    case OP_reshape:
    case OP_broadcast: return in_new_shape(node, x);
    case OP_slice: return numbers_of_slice(node, x);
    case OP_transpose: return numbers_of_transpose(node, x);
    case OP_concat: return numbers_of_concat(s, node);
    case OP_gather: return numbers_of_gather(s, node);
    case OP_flip: return numbers_of_flip(node, x);
    default: return no_number;
    }
}

/* ---- all of them ---- */

static Numbers numbers_of_node(const ClassSearch *s, const Node *node) {
    if (node->op == OP_put)
        note_places(s, numbers_in(s, node, 1), node->inputs[0]->shape.dims[ATTRIBUTES(node, put)->axis]);
    switch (op_info[node->op].class) {
    case CLASS_ELEMENTWISE: return numbers_of_elements(s, node);
    case CLASS_MOVEMENT: return numbers_of_movement(s, node);
    default: return no_number;
    }
}

/* As an input has them: whole numbers, or the last column of boxes. A sample's own number
 * has a place in what the text keeps of each sample, as a label has among the classes. */
static Numbers numbers_of_field(const TrainingField *field) {
    if (field->form != FORM_TENSOR || field->shape.type == DTYPE_BOOL) return no_number;
    if (field->on) return (Numbers){.kind = ONE_COLUMN, .column = 4, .length = 5};
    return dtype_is_float(field->shape.type) ? no_number : (Numbers){.kind = EACH_ELEMENT};
}

/* A set that is declared anew has the data of another, and the same classes. */
static TrainingField *field_of_binding(const Training *training, const cai_binding *binding) {
    int anew = training->sets.items[binding->index].anew;
    return &training->sets.items[anew ? anew - 1 : binding->index].fields.items[binding->field];
}

static void follow_field(ClassSearch *s, const Node *input) {
    const Graph *graph = s->entry->graph;
    memset(s->of, 0, sizeof *s->of * (size_t)graph->nodes.count);
    s->of[input->id] = numbers_of_field(s->field);
    if (!s->of[input->id].kind) return;
    for (int id = input->id + 1; id < graph->nodes.count; id++)
        if (graph->nodes.items[id]->input_count) s->of[id] = numbers_of_node(s, graph->nodes.items[id]);
}

static void find_classes_in(TrainPlan *plan, const TrainingEntry *entry) {
    ClassSearch s = {.entry = entry, .arena = plan->library->arena};
    if (!entry->graph) return;
    s.of = NEW_ARRAY(s.arena, Numbers, entry->graph->nodes.count);
    for (int i = 0; i < entry->inputs.count; i++) {
        if (entry->inputs.items[i].kind != CAI_BIND_FIELD) continue;
        s.field = field_of_binding(plan->training, &entry->inputs.items[i]);
        follow_field(&s, entry->graph->inputs.items[i].node);
    }
}

/* Of the numbers that are compared those that are no classes. */
static void keep_ignored(Arena *arena, TrainingField *field) {
    for (int i = 0; field->classes && i < field->compared.count; i++) {
        int64_t number = field->compared.items[i];
        bool known = number < field->classes;
        for (int k = 0; k < field->ignored.count; k++) known |= field->ignored.items[k] == number;
        if (!known) vec_push(arena, &field->ignored, number);
    }
}

static void find_classes_of_phase(TrainPlan *plan, const TrainingPhase *phase) {
    find_classes_in(plan, &phase->once);
    find_classes_in(plan, &phase->kept);
    find_classes_in(plan, &phase->step);
    for (int i = 0; i < phase->measures.count; i++) {
        find_classes_in(plan, &phase->measures.items[i].batch);
        find_classes_in(plan, &phase->measures.items[i].last);
    }
}

void train_find_classes(TrainPlan *plan) {
    Training *training = plan->training;
    for (int i = 0; i < training->phases.count; i++) find_classes_of_phase(plan, &training->phases.items[i]);
    for (int i = 0; i < training->sets.count; i++)
        for (int k = 0; k < training->sets.items[i].fields.count; k++)
            keep_ignored(plan->library->arena, &training->sets.items[i].fields.items[k]);
}
