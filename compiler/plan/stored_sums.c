/* Reductions of a map to its channels, done in parts by the kernel that makes the map:
 * the mean that a batch norm needs of a convolution's result, and the two sums over the
 * gradient that a convolution or a maximum pool hands back. The values are in registers
 * when the kernel stores them, so that no launch reads the map for the sum:
 *
 *     conv .. stores y[p], and parts[task] += y[p]  |  ..  |  gather: sum(parts)
 *
 * The operand may read other maps at the same place, and numbers by channel, which must
 * be there before the kernel runs. But a variance has a mean that comes of the same map.
 * So a part of it has differences from the part's own first term: their sum, and that of
 * their squares. From these follow the mean m of its n places and the squares about m,
 * and
 *
 *     sum((x - c)^2) = sum over parts of (squares about m + n * (m - c)^2)
 *
 * holds for every c. No digits are lost where a mean is large beside the deviation, as
 * they would be in sum(x^2) - n * c^2. First terms are terms as all are, so that squares
 * about them are not much more than the whole.
 *
 * The launch of the reduction stays where it is, and adds up the parts. Which task adds
 * up what depends on shapes alone, and so do the bits.
 *
 * Needs: layouts, and the tasks of the kernel. Gives: its sums, and inputs that they
 * read; launches that gather. */
#include "plan/loop_nest.h"
#include "plan/stages.h"

enum {
    MOST_BEHIND = 16, /* launches among which reductions are looked for */
    LEAST_PLACES = 8  /* of a map's channel for each part of its sum */
};

/* ---- what can be a stored sum ---- */

static bool reduces_to_channels(const Kernel *kernel, const Node *map) {
    const Node *anchor = kernel->anchor;
    bool all = anchor && anchor->op == OP_sum && shape_dims_equal(anchor->inputs[0]->shape, map->shape) &&
               anchor->inputs[0]->shape.type == DTYPE_F32;
    for (int i = 0; all && i < map->shape.rank; i++) all = node_names_axis(anchor, i) == (i != 1);
    return all;
}

/* Of a reduction: the lanes are channels, and nothing else is left of the map. */
static bool has_lanes_of_channels(const Kernel *kernel) {
    const Nest *nest = kernel->proposal.is_nest && !kernel->rows ? kernel->proposal.tile : NULL;
    return nest && nest->parallel_count == 1 && nest->lane == nest->parallel[0];
}

/* Whether no launch from `first` up to `end` writes the value. */
static bool is_there_before(const Program *program, int first, int end, const Value *value) {
    for (int i = first; i < end; i++)
        if (value_root(program->launches.items[i]->output) == value_root(value)) return false;
    return true;
}

static bool is_by_channel(Shape shape) {
    return shape.rank == 4 && dim_is_one(shape.dims[0]) && dim_is_one(shape.dims[2]) &&
           dim_is_one(shape.dims[3]);
}

/* Whether the operand of the reduction is elementwise work on the map, on maps that lie
 * like it, and on numbers by channel, of which all but the map are there before launch
 * `first`. */
static bool reads_what_is_there(const Program *program, const Kernel *kernel, const Value *map, int first) {
    bool reads_map = false;
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *value = kernel->inputs[i];
        bool other = value != map && is_there_before(program, first, kernel->id, value) &&
                     (is_by_channel(value->node->shape) || lies_alike(value, map));
        if (value != map && !other) return false;
        reads_map |= value == map;
    }
    return reads_map;
}

/* At a place of the map it is computed from the same place. */
static bool is_stored_member(const Node *node) {
    if (node->op == OP_constant) return is_everywhere_source(node);
    if (node->op == OP_broadcast) return is_by_channel(node->inputs[0]->shape);
    return op_info[node->op].class == CLASS_ELEMENTWISE;
}

/* ---- what computes the operand ---- */

typedef struct Operand {
    const Kernel *kernel; /* of the reduction */
    Node *map;
    Vec(Node *) members;
} Operand;

static bool is_collected(const Operand *operand, const Node *node) {
    for (int i = 0; i < operand->members.count; i++)
        if (operand->members.items[i] == node) return true;
    return false;
}

/* Collects what computes a node, operands first. False where it is not computed place by
 * place. */
static bool collect_stored(Operand *operand, Node *node) {
    if (node == operand->map || kernel_input(operand->kernel, node, NULL) || is_collected(operand, node))
        return true;
    if (!is_stored_member(node)) return false;
    for (int i = 0; i < node->input_count; i++)
        if (!collect_stored(operand, node->inputs[i])) return false;
    vec_push(operand->kernel->program->arena, &operand->members, node);
    return true;
}

/* Whether what stands behind the reduction reads nothing but its result. */
static bool reads_only_result(const Operand *operand) {
    const Kernel *kernel = operand->kernel;
    for (int i = 0; i < kernel->member_count; i++) {
        const Node *node = kernel->members[i];
        if (node == kernel->anchor || is_collected(operand, node)) continue;
        for (int k = 0; k < node->input_count; k++)
            if (kernel_input(kernel, node->inputs[k], NULL)) return false;
    }
    return true;
}

/* The number by channel c of a sum of (map - c) * (map - c), where c is in memory, and
 * nothing else is read; else NULL. */
static const Node *find_about(const Kernel *reduction, const Node *map) {
    const Node *square = reduction->anchor->inputs[0], *difference = square->inputs[0];
    if (square->op != OP_mul || square->inputs[1] != difference || difference->op != OP_sub) return NULL;
    if (reduction->input_count != 2) return NULL;
    for (int i = 0; i < 2; i++) {
        const Node *other = difference->inputs[1 - i];
        if (difference->inputs[i] != map || other->op != OP_broadcast) continue;
        if (is_by_channel(other->inputs[0]->shape) && kernel_input(reduction, other->inputs[0], NULL))
            return other->inputs[0];
    }
    return NULL;
}

/* ---- moving it ---- */

static void add_missing_inputs(Kernel *kernel, const Kernel *reduction) {
    for (int i = 0; i < reduction->input_count; i++) {
        Value *value = reduction->inputs[i];
        if (value != kernel->output && !kernel_input(kernel, value->node, NULL))
            kernel_add_input(kernel, value);
    }
}

/* Leaves the reduction's launch with what stands behind the parts. */
static void gather_parts(Kernel *reduction, const Operand *operand, const StoredSum *sum, int64_t parts) {
    Value *about = sum->about ? kernel_input(reduction, sum->about, NULL) : NULL;
    int kept = 0;
    for (int i = 0; i < reduction->member_count; i++)
        if (!is_collected(operand, reduction->members[i])) reduction->members[kept++] = reduction->members[i];
    reduction->member_count = kept;
    reduction->input_count = 0;
    kernel_add_input(reduction, sum->parts);
    if (about) kernel_add_input(reduction, about);
    reduction->gathers = sum;
    nest_gather(reduction, parts);
}

static void move_sum(Kernel *kernel, Kernel *reduction, const Operand *operand, const Node *about,
                     int64_t parts) {
    Program *program = kernel->program;
    int64_t blocks = ceil_div(dim_const_value(operand->map->shape.dims[1]), program->target->lanes);
    StoredSum *sum = &kernel->sums[kernel->sum_count++];
    *sum = (StoredSum){
        .anchor = reduction->anchor, .term = kernel->output->node, .about = about, .block_parts = parts};
    if (!about) {
        sum->term = reduction->anchor->inputs[0];
        sum->members = operand->members.items;
        sum->member_count = operand->members.count;
        add_missing_inputs(kernel, reduction);
    }
    sum->parts = value_new(program, reduction->anchor, &format_plain, SPACE_SLOT);
    sum->parts->bytes =
        dim_const(program->graph->dims, blocks * parts * stored_part_bytes(program->target, sum));
    gather_parts(reduction, operand, sum, parts);
}

/* ---- finding them ---- */

static void consider_reduction(Kernel *kernel, Kernel *reduction, int64_t parts) {
    Operand operand = {.kernel = reduction, .map = kernel->output->node};
    const Node *about = NULL;
    if (!reduces_to_channels(reduction, operand.map) || !has_lanes_of_channels(reduction)) return;
    if (!reads_what_is_there(kernel->program, reduction, kernel->output, kernel->id)) {
        about = find_about(reduction, operand.map);
        if (!about) return;
    }
    if (collect_stored(&operand, reduction->anchor->inputs[0]) && reads_only_result(&operand))
        move_sum(kernel, reduction, &operand, about, parts);
}

/* Whether the map has so many places that parts are few beside them. */
static bool has_few_parts(Shape map, int64_t parts) {
    int64_t places = 1, size;
    for (int i = 0; i < map.rank; i++)
        if (i != 1) places *= dim_is_const(map.dims[i], &size) ? size : 0;
    return parts > 1 && places >= LEAST_PLACES * parts;
}

void store_sums(Program *program, Kernel *kernel, int64_t parts) {
    const Value *map = kernel->output;
    if (!is_blocked(map) || map->node->shape.type != DTYPE_F32 || !has_few_parts(map->node->shape, parts))
        return;
    int end = (int)min_i64(program->launches.count, kernel->id + 1 + MOST_BEHIND);
    for (int i = kernel->id + 1; i < end && kernel->sum_count < MAX_STORED_SUMS; i++)
        consider_reduction(kernel, program->launches.items[i], parts);
}
