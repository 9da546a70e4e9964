/* Finds out whether a loss depends on which samples are in a batch. With --parts the
 * gradient is the mean over the parts. That equals the gradient of one large batch if the
 * loss is a mean, or another sum, of terms that each depend on one sample. A norm over
 * the batch, or a loss of pairs, compares samples with each other, and with --parts only
 * those of one part: this deserves a warning.
 *
 * Each node is of one of four kinds. OF_NONE: it depends on no sample. OF_ROWS: one axis
 * counts samples, and each row depends on its own sample alone. OF_SUMS: sums of rows,
 * moved and scaled. OF_MIXED: any other combination of samples. */
#include "elaborate/train.h"

typedef enum MixingKind { OF_NONE, OF_ROWS, OF_SUMS, OF_MIXED } MixingKind;
typedef struct Mixing {
    MixingKind kind;
    int axis;      /* the axis of rows that counts samples */
    int64_t first; /* which sample of the batch the first row belongs to */
} Mixing;

typedef struct MixingSearch {
    Mixing *of;   /* by node */
    int64_t rows; /* divides the batches of all sets that the loss is made of */
} MixingSearch;

static const Mixing none = {OF_NONE, 0, 0}, sums = {OF_SUMS, 0, 0}, mixed = {OF_MIXED, 0, 0};

static Mixing mixing_of(const MixingSearch *s, const Node *node, int input) {
    return s->of[node->inputs[input]->id];
}

static Mixing samples_along(int axis) { return (Mixing){OF_ROWS, axis, 0}; }

static Mixing moved_to_axis(Mixing x, int axis) {
    x.axis = axis;
    return x;
}

static bool are_of_one_sample(Mixing a, Mixing b) {
    return a.kind == b.kind && a.axis == b.axis && a.first == b.first;
}

static bool names_batch(const Node *node, Mixing x) { return node_names_axis(node, x.axis); }

static bool counts_rows(const MixingSearch *s, Dim size) {
    return dim_const_value(size) % s->rows == 0 && dim_const_value(size) > 0;
}

/* ---- elementwise ---- */

static bool is_linear(const MixingSearch *s, const Node *node) {
    switch (node->op) {
    case OP_neg:
    case OP_add:
    case OP_sub:
    case OP_cast:
    case OP_stop: return true;
    case OP_mul: return mixing_of(s, node, 0).kind == OF_NONE || mixing_of(s, node, 1).kind == OF_NONE;
    case OP_div: return mixing_of(s, node, 1).kind == OF_NONE;
    case OP_select: return mixing_of(s, node, 0).kind == OF_NONE;
    default: return false;
    }
}

static Mixing mixing_of_elements(const MixingSearch *s, const Node *node) {
    Mixing found = none;
    bool apart = false;
    for (int i = 0; i < node->input_count; i++) {
        Mixing x = mixing_of(s, node, i);
        if (x.kind == OF_NONE) continue;
        apart |= found.kind != OF_NONE && !are_of_one_sample(x, found);
        if (x.kind >= found.kind) found = x;
    }
    if (!apart && found.kind == OF_ROWS) return found;
    return is_linear(s, node) ? sums : mixed;
}

/* ---- movement ---- */

static int64_t elements_before(const Node *node, int axis) {
    int64_t product = 1;
    for (int i = 0; i < axis; i++) product *= dim_const_value(node->shape.dims[i]);
    return product;
}

/* The rows move to the axis of the result with as many elements before it. */
static Mixing mixing_of_reshape(const MixingSearch *s, const Node *node, Mixing x) {
    int64_t before = elements_before(node->inputs[0], x.axis);
    for (int axis = 0; axis < node->shape.rank; axis++)
        if (elements_before(node, axis) == before && counts_rows(s, node->shape.dims[axis]))
            return moved_to_axis(x, axis);
    return sums;
}

/* A slice from the middle of a batch has other samples than one from its beginning. */
static Mixing mixing_of_slice(const MixingSearch *s, const Node *node, Mixing x) {
    x.first = (x.first + dim_const_value(ATTRIBUTES(node, slice)->begin.items[x.axis])) % s->rows;
    return x;
}

static Mixing mixing_of_transpose(const Node *node, Mixing x) {
    const IntList permutation = ATTRIBUTES(node, transpose)->permutation;
    for (int axis = 0; axis < permutation.count; axis++)
        if (permutation.items[axis] == x.axis) return moved_to_axis(x, axis);
    return mixed;
}

static Mixing mixing_of_gather(const MixingSearch *s, const Node *node) {
    Mixing x = mixing_of(s, node, 0), index = mixing_of(s, node, 1);
    int axis = (int)ATTRIBUTES(node, gather)->axis;
    if (x.kind == OF_NONE && index.kind == OF_ROWS) return moved_to_axis(index, axis + index.axis);
    if (index.kind != OF_NONE) return mixed;
    if (x.kind != OF_ROWS || x.axis == axis) return sums;
    return moved_to_axis(x, x.axis < axis ? x.axis : x.axis + node->inputs[1]->shape.rank - 1);
}

static Mixing mixing_of_movement(const MixingSearch *s, const Node *node) {
    Mixing x = mixing_of_elements(s, node);
    if (node->op == OP_gather) return mixing_of_gather(s, node);
    if (node->op == OP_concat) return x.kind == OF_MIXED ? sums : x;
    if (x.kind != OF_ROWS) return sums;
    if (node->op == OP_reshape) return mixing_of_reshape(s, node, x);
    if (node->op == OP_transpose) return mixing_of_transpose(node, x);
    if (node->op == OP_slice) return mixing_of_slice(s, node, x);
    return node->op == OP_flip && names_batch(node, x) ? sums : x;
}

/* ---- sums of products ---- */

static Mixing mixing_of_matmul(const MixingSearch *s, const Node *node) {
    Mixing a = mixing_of(s, node, 0), b = mixing_of(s, node, 1);
    int last = node->shape.rank - 1;
    if (a.kind == OF_NONE || b.kind == OF_NONE) {
        Mixing x = a.kind == OF_NONE ? b : a;
        bool summed = x.axis == (a.kind == OF_NONE ? last - 1 : last);
        return x.kind == OF_ROWS && !summed ? x : sums;
    }
    if (a.kind != OF_ROWS || b.kind != OF_ROWS || a.first != b.first) return mixed;
    if (a.axis == last && b.axis == last - 1) return sums;
    return a.axis == b.axis && a.axis < last - 1 ? a : mixed;
}

static Mixing mixing_of_convolution(const MixingSearch *s, const Node *node) {
    Mixing x = mixing_of(s, node, 0), w = mixing_of(s, node, 1);
    if (node->op == OP_convolution_backward_weights)
        return (x.kind == OF_SUMS && w.kind != OF_NONE) || (w.kind == OF_SUMS && x.kind != OF_NONE) ? mixed
                                                                                                    : sums;
    if (w.kind != OF_NONE) return x.kind == OF_NONE ? sums : mixed;
    return x.kind == OF_ROWS && x.axis == 0 ? x : sums;
}

/* ---- all of them ---- */

static Mixing mixing_of_node(const MixingSearch *s, const Node *node) {
    Mixing x = mixing_of(s, node, 0);
    bool alone = node->input_count == 1 || mixing_of(s, node, 1).kind == OF_NONE;
    switch (op_info[node->op].class) {
    case CLASS_ELEMENTWISE: return mixing_of_elements(s, node);
    case CLASS_MOVEMENT: return mixing_of_movement(s, node);
    case CLASS_CONTRACTION:
        return node->op == OP_matmul ? mixing_of_matmul(s, node) : mixing_of_convolution(s, node);
    case CLASS_REDUCTION:
        if (node->op == OP_sum) return x.kind == OF_ROWS && !names_batch(node, x) ? x : sums;
        break;
    case CLASS_WINDOW:
        if (node->op == OP_pool_sum && x.kind == OF_SUMS) return sums;
        break;
    default: break;
    }
    return x.kind == OF_ROWS && !names_batch(node, x) && (alone || op_info[node->op].class == CLASS_WINDOW)
               ? x
               : mixed;
}

/* A field of samples that move on from step to step: the set of its batch; NULL: it is
 * none. */
static const TrainingSet *set_of_rows(const TrainPass *pass, const cai_binding *binding) {
    if (binding->kind != CAI_BIND_FIELD) return NULL;
    const TrainingSet *set = &pass->plan->training->sets.items[binding->index];
    return training_stays(set) ? NULL : set;
}

static Mixing mixing_of_source(const MixingSearch *s, const TrainPass *pass, const Node *node) {
    intptr_t place = (intptr_t)map_get(pass->of_input, node);
    bool sample = place && set_of_rows(pass, &pass->inputs.items[place - 1]);
    bool drawn = node->op == OP_uniform && node->shape.rank > 0 && counts_rows(s, node->shape.dims[0]);
    return sample || drawn ? samples_along(0) : none;
}

static bool is_mixed_input(const MixingSearch *s, const Node *node) {
    bool found = false;
    for (int i = 0; i < node->input_count; i++) found |= mixing_of(s, node, i).kind == OF_MIXED;
    return found;
}

static bool is_of_samples(const MixingSearch *s, const Node *node) {
    bool found = false;
    for (int i = 0; i < node->input_count; i++) found |= mixing_of(s, node, i).kind != OF_NONE;
    return found;
}

static void classify_nodes(MixingSearch *s, const TrainPass *pass, const Graph *graph, int count) {
    for (int id = 0; id < count; id++) {
        const Node *node = graph->nodes.items[id];
        bool mean = false; /* a weight's new value, which is the same for all samples */
        for (int i = 0; i < pass->means.count; i++) mean |= pass->means.items[i] == node;
        s->of[id] = mean                      ? none
                    : !node->input_count      ? mixing_of_source(s, pass, node)
                    : is_mixed_input(s, node) ? mixed
                    : is_of_samples(s, node)  ? mixing_of_node(s, node)
                                              : none;
    }
}

/* The first node on the way to the loss that mixes samples; NULL if there is none. */
static const Node *find_mixing(const MixingSearch *s, const Graph *graph, const Node *loss, Arena *scratch) {
    const Node *first = NULL;
    bool *needed = NEW_ARRAY(scratch, bool, loss->id + 1);
    needed[loss->id] = true;
    for (int id = loss->id; id >= 0; id--) {
        const Node *node = graph->nodes.items[id];
        if (!needed[id] || s->of[id].kind == OF_NONE) continue;
        if (s->of[id].kind == OF_MIXED && !is_mixed_input(s, node)) first = node;
        for (int i = 0; i < node->input_count; i++) needed[node->inputs[i]->id] = true;
    }
    return first;
}

static void warn_of_mixing(Evaluator *ev, const Stmt *stmt, const Node *node) {
    const char *path = node->origin->path;
    Diagnostic *d = report_warning(
        ev, DIAG_parts, stmt->value->span,
        "this loss compares the samples of a batch: with `--parts`, only those of one part",
        "statistics, pairs and contrasts are computed from the samples of a part; a larger N makes a part larger");
    report_note(ev, d, node->origin->span, "samples are mixed here%s%s%s", *path ? ", in `" : "", path,
                *path ? "`" : "");
}

static int64_t divisor_of_two(int64_t a, int64_t b) { return b ? divisor_of_two(b, a % b) : a; }

static int64_t divisor_of_batches(Evaluator *ev, const Node *loss, Arena *scratch) {
    const TrainPass *pass = ev->train;
    bool *needed = NEW_ARRAY(scratch, bool, ev->graph->nodes.count);
    int64_t rows = 0;
    train_mark(ev->graph, loss, NULL, needed);
    for (int i = 0; i < pass->inputs.count; i++) {
        const TrainingSet *set = set_of_rows(pass, &pass->inputs.items[i]);
        if (set && needed[ev->graph->inputs.items[i].node->id]) rows = divisor_of_two(set->batch, rows);
    }
    return rows;
}

static const Node *mixing_of_loss(Evaluator *ev, const Node *loss, Arena *scratch) {
    MixingSearch s = {.of = NEW_ARRAY(scratch, Mixing, loss->id + 1),
                      .rows = divisor_of_batches(ev, loss, scratch)};
    if (s.rows < 2) return NULL;
    classify_nodes(&s, ev->train, ev->graph, loss->id + 1);
    return find_mixing(&s, ev->graph, loss, scratch);
}

void train_tell_mixing(Evaluator *ev, const Stmt *stmt, const Node *loss) {
    if (ev->library->options.parts < 2 || ev->train->goal != GOAL_STEP) return;
    Arena *scratch = arena_new();
    const Node *found = mixing_of_loss(ev, loss, scratch);
    if (found) warn_of_mixing(ev, stmt, found);
    arena_free(scratch);
}
