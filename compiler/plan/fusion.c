/* Decides which nodes are computed together. A kernel has at most one anchor (a
 * contraction, reduction, window, order or scatter). Elementwise work after the anchor is
 * done in registers; elementwise work before a reduction is done as the operand is read;
 * and chains of elementwise and movement nodes are kernels of their own. A value between
 * kernels is in memory: it is "stored".
 *
 * Users are visited before their operands. A node collects how its users will read it, as
 * requests:
 *   - where the user is evaluated, at the same point (elementwise work): the user's
 *     frame;
 *   - at another point of the same kernel (through a slice, or as the operand of a
 *     reduction): a new frame, under that user;
 *   - from memory (operands of contractions, parts of concatenations, outputs of the
 *     model).
 * A frame is a set of nodes that are evaluated at one point, named by its head; a kernel
 * is a tree of frames. A node whose requests all name one frame joins it; a node that is
 * requested at two or more points is stored, or computed at every use ("everywhere") if
 * that costs less than reading it back.
 *
 * Needs: a live graph in which inputs stand before users. Linear in the number of
 * edges. */
#include "plan/stages.h"

#include <stdlib.h>

enum {
    /* of one kernel: bounds the size of its code and the depth of the recursion in
     * expr.c */
    MAX_MEMBERS = 96,
    /* of the epilogue of a strict anchor, which is emitted for every register of a
     * tile */
    MAX_TAIL_COST = 200,
    /* the largest cost of a value that is recomputed for a second reader: about an exp */
    MAX_RECOMPUTE = 14,
    MAX_RECOMPUTE_ALONG = 6 /* the same where the value would be read back from the cache */
};

typedef struct FusionMark {
    bool live, needed_in_memory, many_points, under_broadcast;
    bool stored, everywhere;
    bool epilogue; /* elementwise work on an anchor that has no other reader */
    int users;
    /* the head of the node's frame (itself: it is the head); before its visit: the only
     * frame requested */
    Node *frame;
    Node *under;  /* of a head inside another kernel: the node that reads it at other points */
    Node *anchor; /* of a kernel's head */
    Node *mover;  /* of a kernel's head: list of movement members in its frame, linked through next_mover */
    Node *next_mover;
    int members, work; /* of a kernel's head: nodes, and their cost together */
    int cost;          /* of recomputing the node from what is in memory anyway */
    /* the one large value that is read to recompute it, or NULL; the node itself where it
     * cannot be recomputed */
    Node *source;
    int source_reads; /* how often */
} FusionMark;

typedef struct Fuse {
    Lowering *low;
    Program *program;
    Graph *graph;
    FusionMark *marks;
} Fuse;

static FusionMark *mark_of_node(Fuse *fuse, const Node *node) { return &fuse->marks[node->id]; }

/* ---- properties of nodes ---- */

bool is_everywhere_source(const Node *node) {
    if (node->op == OP_constant) return ATTRIBUTES(node, constant)->data->count == 1;
    return node->op == OP_iota || node->op == OP_size;
}

/* Recomputed at every use, whatever its operand: its points map to those of the operand
 * without arithmetic. */
static bool is_transparent(const Node *node) { return node->op == OP_broadcast || reshape_is_trivial(node); }

static bool is_anchor(const Node *node) {
    OpClass class = op_info[node->op].class;
    return class == CLASS_CONTRACTION || class == CLASS_REDUCTION || class == CLASS_WINDOW ||
           class == CLASS_SCATTER || class == CLASS_ORDER;
}

/* Whether an anchor can have an epilogue: not where its result is written more than once,
 * or out of order. */
static bool takes_epilogue(const Node *anchor) {
    OpClass class = op_info[anchor->op].class;
    return class != CLASS_SCATTER && class != CLASS_ORDER;
}

static bool is_movement_member(const Node *node) {
    return op_info[node->op].class == CLASS_MOVEMENT && node->op != OP_concat && node->op != OP_reshape;
}

/* Whether a node is elementwise, or a source that is computed from the point alone. */
static bool is_pointwise_node(const Node *node) {
    return op_info[node->op].class == CLASS_ELEMENTWISE || node->op == OP_uniform;
}

typedef enum Request { SAME_POINT, OTHER_POINT, FROM_MEMORY } Request;

/* How `user` reads its operand, if it is a member of a kernel. */
static Request request_of(const Node *user, int operand) {
    if (is_pointwise_node(user)) return SAME_POINT;
    if (op_info[user->op].class == CLASS_REDUCTION) return OTHER_POINT;
    switch (user->op) {
    case OP_slice: case OP_transpose: case OP_flip: case OP_pad: return OTHER_POINT;
    case OP_gather: return operand == 1 ? OTHER_POINT : FROM_MEMORY;
    default: return FROM_MEMORY;
    }
}

Node *operand_of(const Node *anchor, int index) {
    Node *operand = anchor->inputs[index];
    if (anchor->op != OP_matmul || index != 1 || operand->op != OP_broadcast) return operand;
    Node *matrix = operand->inputs[0];
    for (int i = 0; i < matrix->shape.rank; i++) {
        Dim size = matrix->shape.dims[i];
        bool leading = i < matrix->shape.rank - 2;
        if (leading ? !dim_is_one(size) : size != operand->shape.dims[i]) return operand;
    }
    return matrix;
}

/* Whether a weight is computed inside the kernels that use it rather than read:
 * broadcasts, and numbers in any shape. */
static bool weight_is_member(const Node *node) {
    if (node->op == OP_broadcast) return true;
    while (reshape_is_trivial(node)) node = node->inputs[0];
    return is_everywhere_source(node) || node->op == OP_broadcast;
}

/* ---- what would be computed again ---- */

/* Whether the node would be computed in an anchor's registers if it were stored. */
static bool is_epilogue(Fuse *fuse, const Node *node) {
    for (int i = 0; i < node->input_count; i++) {
        const FusionMark *operand = mark_of_node(fuse, node->inputs[i]);
        if (operand->users > 1 || (is_anchor(node->inputs[i]) && !takes_epilogue(node->inputs[i]))) continue;
        if (is_anchor(node->inputs[i]) || operand->epilogue) return true;
    }
    return false;
}

/* Forward: for each node, the cost of recomputing it for another reader, and the one
 * large tensor that this reads. */
static void find_recompute(Fuse *fuse, Node *node) {
    FusionMark *mark = mark_of_node(fuse, node);
    if (fuse->program->weights[node->id] || is_everywhere_source(node)) return;
    if (node->op == OP_broadcast) { /* a small value is stored, or depends on nothing large */
        const FusionMark *operand = mark_of_node(fuse, node->inputs[0]);
        if (!operand->source) mark->cost = operand->cost;
        return;
    }
    mark->source = node;
    mark->source_reads = 1;
    if (op_info[node->op].class != CLASS_ELEMENTWISE && !reshape_is_trivial(node)) return;
    mark->epilogue = op_info[node->op].class == CLASS_ELEMENTWISE && is_epilogue(fuse, node);
    Node *source = NULL;
    int cost = op_info[node->op].cost, source_reads = 0;
    for (int i = 0; i < node->input_count; i++) {
        FusionMark *operand = mark_of_node(fuse, node->inputs[i]);
        bool in_memory = operand->cost > MAX_RECOMPUTE || (operand->epilogue && operand->users > 1);
        Node *from = in_memory ? node->inputs[i] : operand->source;
        if (from && source && from != source) return; /* two large values to read: storing is better */
        if (from) source = from, source_reads += in_memory ? 1 : operand->source_reads;
        cost += in_memory ? 0 : operand->cost;
    }
    mark->source = source;
    mark->source_reads = source_reads;
    mark->cost = cost;
}

/* Whether a reduction of many short rows reads the node, such as the sum of exponentials
 * in softmax: its other readers work on the same rows, and will be fused with the
 * reduction by rows (plan/fuse_rows.c), while the row is in the cache. */
static bool is_read_along(Fuse *fuse, const Node *node) {
    const Node *reduction = mark_of_node(fuse, node)->under;
    if (!reduction || op_info[reduction->op].class != CLASS_REDUCTION || reduction->inputs[0] != node)
        return false;
    double rows = (double)node_typical_bytes(fuse->program, reduction),
           all = (double)node_typical_bytes(fuse->program, node);
    return all / rows * dtype_bytes(node->shape.type) <= (double)fuse->program->target->l2_bytes / 4 &&
           rows / dtype_bytes(node->shape.type) >= 256;
}

/* Whether a node that several kernels read is better recomputed in each of them. Only if
 * the value that this reads is in memory anyway: else the kernel that makes that value
 * would have to store it. */
static bool recompute_pays(Fuse *fuse, const Node *node) {
    const FusionMark *mark = mark_of_node(fuse, node);
    if (op_info[node->op].class != CLASS_ELEMENTWISE || mark->cost > MAX_RECOMPUTE) return false;
    if (mark->source == NULL) return true;
    if (mark->source == node || mark->under_broadcast) return false;
    if (mark->cost > MAX_RECOMPUTE_ALONG && is_read_along(fuse, node)) return false;
    const Node *source = mark->source;
    bool stored = source->op == OP_input || source->op == OP_concat || source->op == OP_reshape;
    return stored || mark_of_node(fuse, source)->users > mark->source_reads;
}

/* ---- requests ---- */

/* The operands of a weight are not live, unless something else reads them. */
static void find_live(Fuse *fuse) {
    Graph *graph = fuse->graph;
    for (int i = 0; i < graph->outputs.count; i++) {
        Node *node = graph->outputs.items[i].node;
        mark_of_node(fuse, node)->live = mark_of_node(fuse, node)->needed_in_memory = true;
        fuse->low->is_output[node->id] = true;
    }
    for (int i = graph->nodes.count - 1; i >= 0; i--) {
        Node *node = graph->nodes.items[i];
        if (!mark_of_node(fuse, node)->live || node_is_weight(fuse->program, node)) continue;
        for (int k = 0; k < node->input_count; k++) {
            mark_of_node(fuse, node->inputs[k])->live = true;
            mark_of_node(fuse, node->inputs[k])->users++;
        }
    }
}

static void find_shared(Fuse *fuse) {
    bool *shared = fuse->program->shared = NEW_ARRAY(fuse->program->arena, bool, fuse->graph->nodes.count);
    for (int i = 0; i < fuse->graph->nodes.count; i++)
        shared[i] = fuse->marks[i].users + fuse->low->is_output[i] > 1;
}

static void request_operand(Fuse *fuse, Node *user, int operand, Request how) {
    FusionMark *mark = mark_of_node(fuse, user->inputs[operand]);
    Node *frame = mark_of_node(fuse, user)->frame;
    if (how == FROM_MEMORY) {
        mark->needed_in_memory = true;
    } else if (how == OTHER_POINT) {
        if (mark->frame || mark->under) mark->many_points = true;
        mark->under = user;
    } else {
        if (mark->under || (mark->frame && mark->frame != frame)) mark->many_points = true;
        mark->frame = frame;
    }
}

/* ---- frames and kernels ---- */

/* The head of the kernel that a frame belongs to. */
static Node *kernel_head(Fuse *fuse, Node *frame) {
    while (mark_of_node(fuse, frame)->under)
        frame = mark_of_node(fuse, mark_of_node(fuse, frame)->under)->frame;
    return frame;
}

static void store_node(Fuse *fuse, Node *node) {
    FusionMark *mark = mark_of_node(fuse, node);
    mark->stored = true;
    mark->frame = node;
    mark->under = NULL;
    mark->members = 1;
    mark->work = op_info[node->op].cost;
    if (is_anchor(node)) mark->anchor = node;
}

/* Anchors whose epilogue may hold nothing but elementwise work and broadcasts. */
static bool is_strict(const Node *anchor) { return anchor && op_info[anchor->op].class != CLASS_REDUCTION; }

/* Puts an anchor into the kernel that alone reads it, where it is the last to join.
 * Movement that had joined the kernel before leaves it. */
static bool join_as_anchor(Fuse *fuse, Node *node, Node *frame) {
    FusionMark *head = mark_of_node(fuse, frame);
    if (head->under || head->anchor || !takes_epilogue(node)) return false;
    if (!shape_dims_equal(node->shape, frame->shape)) return false;
    if (is_strict(node) && head->work > MAX_TAIL_COST) return false;
    if (is_strict(node))
        for (Node *mover = head->mover; mover; mover = mark_of_node(fuse, mover)->next_mover)
            store_node(fuse, mover);
    head->anchor = node;
    return true;
}

/* Whether the node can be computed inside the kernel that requests it, in `frame` or,
 * with frame NULL, in a new one. */
static bool join_frame(Fuse *fuse, Node *node, Node *frame) {
    FusionMark *mark = mark_of_node(fuse, node);
    Node *head = kernel_head(fuse, frame ? frame : mark_of_node(fuse, mark->under)->frame);
    if (mark_of_node(fuse, head)->members >= MAX_MEMBERS) return false;
    int work = mark_of_node(fuse, head)->work + op_info[node->op].cost;
    if (is_strict(mark_of_node(fuse, head)->anchor) && work > MAX_TAIL_COST) return false;
    if (!frame && mark->epilogue) return false;
    if (is_anchor(node)) {
        if (!frame || !join_as_anchor(fuse, node, frame)) return false;
    } else if (is_movement_member(node)) {
        if (is_strict(mark_of_node(fuse, head)->anchor)) return false;
        if (frame == head) {
            mark->next_mover = mark_of_node(fuse, head)->mover;
            mark_of_node(fuse, head)->mover = node;
        }
    } else if (!is_pointwise_node(node) || (mark->epilogue && mark_of_node(fuse, head)->anchor)) {
        return false; /* the latter: the node has an anchor of its own, and can be its epilogue */
    }
    mark->frame = frame ? frame : node;
    mark_of_node(fuse, head)->members++;
    mark_of_node(fuse, head)->work = work;
    return true;
}

static bool is_stored_by_nature(const Node *node) {
    return node->op == OP_concat || (node->op == OP_reshape && !reshape_is_trivial(node));
}

/* Decides where one node is computed, then requests its operands. */
static void place_in_kernel(Fuse *fuse, Node *node) {
    FusionMark *mark = mark_of_node(fuse, node);
    bool everywhere = is_everywhere_source(node) || is_transparent(node);
    if (everywhere || (mark->many_points && !mark->needed_in_memory && recompute_pays(fuse, node)))
        mark->everywhere = true;
    if (mark->needed_in_memory || is_stored_by_nature(node)) store_node(fuse, node);
    else if (!mark->everywhere &&
             (mark->many_points || !join_frame(fuse, node, mark->under ? NULL : mark->frame)))
        store_node(fuse, node);
    for (int i = 0; i < node->input_count; i++) {
        FusionMark *operand = mark_of_node(fuse, node->inputs[i]);
        if (is_anchor(node) && is_strict(node))
            mark_of_node(fuse, operand_of(node, i))->needed_in_memory = true;
        /* it will be a view */
        else if (node->op == OP_reshape && mark->stored) operand->needed_in_memory = true;
        else if (mark->everywhere) operand->many_points = true;
        else request_operand(fuse, node, i, request_of(node, i));
        if (node->op == OP_broadcast) operand->under_broadcast = true;
    }
}

/* ---- kernels ---- */

static Value *stored_value(Fuse *fuse, Node *node) {
    Value **value = &fuse->low->value_of[node->id];
    Space space = node_is_weight(fuse->program, node) ? SPACE_WEIGHTS : SPACE_SLOT;
    if (!*value) *value = value_new(fuse->program, node, &format_plain, space);
    return *value;
}

/* Whether a kernel reads operand `index` of its member `user` from memory. */
static bool reads_operand(Fuse *fuse, const Node *user, int index) {
    const Node *operand = user->inputs[index];
    const FusionMark *mark = mark_of_node(fuse, operand);
    if (!is_transparent(user) && request_of(user, index) == FROM_MEMORY) return true;
    if (node_is_weight(fuse->program, operand)) return !weight_is_member(operand);
    if (mark->everywhere) return false;
    return operand->op == OP_input || mark->stored;
}

typedef struct Collect {
    Fuse *fuse;
    Kernel *kernel;
    int *seen;
    int stamp;
    Vec(Node *) stack, members;
} Collect;

static void collect_operand(Collect *c, Node *user, int index) {
    Node *node = user->inputs[index];
    if (c->seen[node->id] == c->stamp) return;
    c->seen[node->id] = c->stamp;
    if (reads_operand(c->fuse, user, index)) kernel_add_input(c->kernel, stored_value(c->fuse, node));
    else vec_push(c->fuse->low->scratch, &c->stack, node);
}

static int nodes_by_id(const void *a, const void *b) {
    return (*(Node *const *)a)->id - (*(Node *const *)b)->id;
}

/* Fills members and inputs. All operands of a strict anchor are the first inputs, even
 * where the epilogue reads one of them too. */
static void collect_members(Collect *c, Node *head) {
    c->stamp++;
    c->members.count = 0;
    c->seen[head->id] = c->stamp;
    Node *anchor = c->kernel->anchor;
    for (int i = 0; is_strict(anchor) && i < anchor->input_count; i++)
        kernel_add_input(c->kernel, stored_value(c->fuse, operand_of(anchor, i)));
    vec_push(c->fuse->low->scratch, &c->stack, head);
    while (c->stack.count > 0) {
        Node *node = c->stack.items[--c->stack.count];
        vec_push(c->fuse->low->scratch, &c->members, node);
        if (node == anchor && is_strict(anchor)) continue;
        for (int i = 0; i < node->input_count; i++) collect_operand(c, node, i);
    }
    qsort(c->members.items, (size_t)c->members.count, sizeof(Node *), nodes_by_id);
    c->kernel->members =
        arena_copy(c->fuse->program->arena, c->members.items, sizeof(Node *) * (size_t)c->members.count);
    c->kernel->member_count = c->members.count;
}

/* A kernel that computes nothing and hands a value on: its only member is its input's
 * node. */
static void make_handover(Fuse *fuse, Node *node) {
    Kernel *kernel = kernel_new(fuse->program, NULL, stored_value(fuse, node));
    for (int i = 0; i < node->input_count; i++) kernel_add_input(kernel, stored_value(fuse, node->inputs[i]));
    kernel->members = arena_copy(fuse->program->arena, &node, sizeof node);
    kernel->member_count = 1;
    vec_push(fuse->low->scratch, &fuse->low->kernels, kernel);
}

static void make_kernels(Fuse *fuse) {
    Collect c = {.fuse = fuse, .seen = NEW_ARRAY(fuse->low->scratch, int, fuse->graph->nodes.count)};
    for (int i = 0; i < fuse->graph->nodes.count; i++) {
        Node *node = fuse->graph->nodes.items[i];
        FusionMark *mark = mark_of_node(fuse, node);
        if (!mark->stored || node->op == OP_input) continue;
        /* an output of the model that is a weight */
        bool folded = node_is_weight(fuse->program, node) && !weight_is_member(node);
        if (folded) continue;
        if (node->op == OP_concat || node->op == OP_reshape) {
            make_handover(fuse, node);
            continue;
        }
        c.kernel = kernel_new(fuse->program, mark->anchor,
                              value_new(fuse->program, node, &format_plain, SPACE_SLOT));
        fuse->low->value_of[node->id] = c.kernel->output;
        collect_members(&c, node);
        vec_push(fuse->low->scratch, &fuse->low->kernels, c.kernel);
    }
}

static void make_input_values(Fuse *fuse) {
    for (int i = 0; i < fuse->graph->inputs.count; i++) {
        Node *node = fuse->graph->inputs.items[i].node;
        if (!node) continue; /* nothing reads it */
        Value *value = value_new(fuse->program, node, &format_plain, SPACE_INPUT);
        value->slot = i;
        fuse->low->value_of[node->id] = value;
    }
}

void fuse(Lowering *low) {
    Graph *graph = low->program->graph;
    Fuse fuse = {low, low->program, graph, NEW_ARRAY(low->scratch, FusionMark, graph->nodes.count)};
    low->value_of = NEW_ARRAY(low->scratch, Value *, graph->nodes.count);
    low->is_output = NEW_ARRAY(low->scratch, bool, graph->nodes.count);
    find_weights(low);
    find_live(&fuse);
    find_shared(&fuse);
    for (int i = 0; i < graph->nodes.count; i++) find_recompute(&fuse, graph->nodes.items[i]);
    for (int i = graph->nodes.count - 1; i >= 0; i--) {
        Node *node = graph->nodes.items[i];
        FusionMark *mark = mark_of_node(&fuse, node);
        bool folded = low->program->weights[i] &&
                      !(mark->needed_in_memory && weight_is_member(node) && low->is_output[i]);
        if (mark->live && node->op != OP_input && !folded) place_in_kernel(&fuse, node);
    }
    make_input_values(&fuse);
    make_kernels(&fuse);
}
