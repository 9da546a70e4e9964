/* The loop nest of a kernel of the kind `loops`: which axes are one loop, which loop runs
 * through the lanes, and what a task is.
 *
 * Axes are merged where everything that the kernel reads and writes is as regular as
 * along one long axis: then lanes are full on a map of 7 x 7, and a chain of elementwise
 * operators on dense tensors is one loop over all elements. The lanes are the channels of
 * a block where the output, or what is reduced, is BLOCKED; else the innermost axis. A
 * task is about 4,096 elements: long enough to outweigh its overhead, short enough to
 * give all threads some. A long reduction to few results is done in parts. All this
 * depends on shapes and layouts only, never on threads.
 *
 * Where the contiguous group of an operand is not the group that runs through the lanes
 * (a transpose, a change of layout), that group becomes the innermost loop, and the
 * operand is loaded as squares and transposed in registers: a gather would touch one
 * cache line for each element. Where too few lanes would be used then, the lanes run
 * along the operand's group instead, and results are interleaved. */
#include "plan/loop_nest.h"

#define TASK_ELEMENTS 4096
#define PART_ELEMENTS 32768 /* of a reduction to fewer results than ENOUGH_TASKS */
#define ENOUGH_TASKS 16

/* ---- merging ---- */

typedef struct NestVisit { const Node *node; int outer, inner; } NestVisit;

typedef struct Merge {
    const Kernel *kernel;
    Dims *dims;
    Arena *arena;
    Vec(NestVisit) seen;
} Merge;

static bool walked_together(Merge *merge, const Node *node, int outer, int inner);

static bool are_adjacent(Shape shape, int outer, int inner) {
    if (outer >= inner) return false;
    for (int i = outer + 1; i < inner; i++)
        if (!dim_is_one(shape.dims[i])) return false;
    return true;
}

static bool value_merges(Merge *merge, const Value *value, int outer, int inner) {
    int blocked = format_blocked_axis(value->format);
    if (blocked == outer || blocked == inner) return false;
    return value->strides && value->strides[outer] ==
                                 dim_mul(merge->dims, value->strides[inner], value->node->shape.dims[inner]);
}

static bool broadcast_merges(Merge *merge, const Node *node, int outer, int inner) {
    const Node *x = node->inputs[0];
    bool stretched = x->shape.dims[outer] != node->shape.dims[outer];
    if (stretched != (x->shape.dims[inner] != node->shape.dims[inner])) return false;
    return stretched || walked_together(merge, x, outer, inner);
}

static bool slice_merges(Merge *merge, const Node *node, int outer, int inner) {
    const slice_attributes *a = ATTRIBUTES(node, slice);
    for (int axis = outer; axis <= inner; axis += inner - outer)
        if (!dim_is_zero(a->begin.items[axis]) || node->shape.dims[axis] != node->inputs[0]->shape.dims[axis])
            return false;
    return walked_together(merge, node->inputs[0], outer, inner);
}

static bool gather_merges(Merge *merge, const Node *node, int outer, int inner) {
    int axis = (int)ATTRIBUTES(node, gather)->axis, wide = node->inputs[1]->shape.rank;
    if (inner < axis) return walked_together(merge, node->inputs[0], outer, inner);
    if (outer >= axis + wide)
        return walked_together(merge, node->inputs[0], outer - wide + 1, inner - wide + 1);
    return outer >= axis && inner < axis + wide &&
           walked_together(merge, node->inputs[1], outer - axis, inner - axis);
}

/* The axis of the operand that an axis of a trivial reshape is. */
static int axis_before(const Node *node, int axis) {
    int number = 0, from = 0;
    for (int i = 0; i < axis; i++) number += !dim_is_one(node->shape.dims[i]);
    for (;; from++)
        if (!dim_is_one(node->inputs[0]->shape.dims[from]) && number-- == 0) return from;
}

static bool movement_merges(Merge *merge, const Node *node, int outer, int inner) {
    const Node *x = node->inputs[0];
    switch (node->op) {
    case OP_broadcast: return broadcast_merges(merge, node, outer, inner);
    case OP_slice: return slice_merges(merge, node, outer, inner);
    case OP_gather: return gather_merges(merge, node, outer, inner);
    case OP_flip:
        if (node_names_axis(node, outer) || node_names_axis(node, inner)) return false;
        return walked_together(merge, x, outer, inner);
    case OP_pad:
    case OP_pad_input:
        if (x->shape.dims[outer] != node->shape.dims[outer] ||
            x->shape.dims[inner] != node->shape.dims[inner])
            return false;
        return walked_together(merge, x, outer, inner);
    case OP_transpose: {
        const int64_t *permutation = ATTRIBUTES(node, transpose)->permutation.items;
        return walked_together(merge, x, (int)permutation[outer], (int)permutation[inner]);
    }
    case OP_reshape:
        return reshape_is_trivial(node) &&
               walked_together(merge, x, axis_before(node, outer), axis_before(node, inner));
    default: return false;
    }
}

/* iota counts along an axis; the others are the same everywhere, or follow an element's
 * number. */
static bool source_merges(const Node *node, int outer, int inner) {
    switch (node->op) {
    case OP_iota: return ATTRIBUTES(node, iota)->axis != outer && ATTRIBUTES(node, iota)->axis != inner;
    case OP_constant: case OP_size: case OP_uniform: return true;
    default: return false;
    }
}

static bool member_merges(Merge *merge, const Node *node, int outer, int inner) {
    switch (op_info[node->op].class) {
    case CLASS_MOVEMENT: return movement_merges(merge, node, outer, inner);
    case CLASS_ELEMENTWISE:
        for (int i = 0; i < node->input_count; i++)
            if (!walked_together(merge, node->inputs[i], outer, inner)) return false;
        return true;
    case CLASS_SOURCE: return source_merges(node, outer, inner);
    default: return node == merge->kernel->anchor; /* its value is in registers */
    }
}

/* Whether (0, i) on the axes outer and inner gives the same elements of `node` as (i /
 * size, i % size). */
static bool walked_together(Merge *merge, const Node *node, int outer, int inner) {
    if (!are_adjacent(node->shape, outer, inner) || dim_is_one(node->shape.dims[outer]) ||
        dim_is_one(node->shape.dims[inner]))
        return false;
    for (int i = 0; i < merge->seen.count; i++) {
        const NestVisit *visit = &merge->seen.items[i];
        if (visit->node == node && visit->outer == outer && visit->inner == inner) return true;
    }
    vec_push(merge->arena, &merge->seen, (NestVisit){node, outer, inner});
    const Value *input = node == merge->kernel->anchor ? NULL : kernel_input(merge->kernel, node, NULL);
    return input ? value_merges(merge, input, outer, inner) : member_merges(merge, node, outer, inner);
}

/* ---- groups ---- */

static const Node *reduced_operand(const Kernel *kernel) {
    return kernel->anchor ? kernel->anchor->inputs[0] : NULL;
}

static bool is_reduced(const Kernel *kernel, int axis) {
    return kernel->anchor && node_names_axis(kernel->anchor, axis);
}

static bool groups_merge(Merge *merge, const Group *group, int inner) {
    const Kernel *kernel = merge->kernel;
    int outer = group->axes[group->count - 1];
    bool reduced = is_reduced(kernel, inner);
    if (group->reduced != reduced) return false;
    merge->seen.count = 0;
    if (kernel->anchor && !walked_together(merge, reduced_operand(kernel), outer, inner)) return false;
    if (reduced) return true;
    return value_merges(merge, kernel->output, outer, inner) &&
           walked_together(merge, kernel->output->node, outer, inner);
}

static void add_axis(Merge *merge, Nest *nest, int axis, Dim size) {
    if (nest->count > 0) {
        Group *last = &nest->groups[nest->count - 1];
        if (groups_merge(merge, last, axis)) {
            last->axes[last->count++] = axis;
            last->size = dim_mul(merge->dims, last->size, size);
            return;
        }
    }
    nest->groups[nest->count++] =
        (Group){.axes = {axis}, .count = 1, .size = size, .reduced = is_reduced(merge->kernel, axis)};
}

static void make_groups(Merge *merge, Nest *nest, Shape domain) {
    int blocked = format_blocked_axis(merge->kernel->output->format);
    nest->rank = domain.rank;
    for (int i = 0; i < domain.rank; i++)
        if (!dim_is_one(domain.dims[i]) || i == blocked) add_axis(merge, nest, i, domain.dims[i]);
    for (int i = 0; i < nest->count; i++) {
        if (nest->groups[i].reduced) nest->reduced[nest->reduced_count++] = i;
        else nest->parallel[nest->parallel_count++] = i;
    }
}

/* ---- lanes and tasks ---- */

static int group_of_axis(const Nest *nest, int axis) {
    for (int i = 0; i < nest->count; i++)
        if (nest->groups[i].count == 1 && nest->groups[i].axes[0] == axis) return i;
    return -1;
}

static int choose_lane(const Kernel *kernel, const Nest *nest, Shape domain) {
    int blocked = format_blocked_axis(kernel->output->format);
    for (int i = 0; blocked < 0 && i < kernel->input_count && kernel->anchor; i++) {
        const Value *input = kernel->inputs[i];
        if (shape_dims_equal(input->node->shape, domain)) blocked = format_blocked_axis(input->format);
    }
    if (nest->blocked_one) return nest->reduced[nest->reduced_count - 1];
    int channels = blocked >= 0 ? group_of_axis(nest, blocked) : -1;
    return channels >= 0 ? channels : nest->count - 1;
}

/* ---- operands that lie across the lanes ---- */

static int axis_after(const Node *node, int axis) { /* of a trivial reshape: axis_before's inverse */
    int number = 0, to = 0;
    for (int i = 0; i < axis; i++) number += !dim_is_one(node->inputs[0]->shape.dims[i]);
    for (;; to++)
        if (!dim_is_one(node->shape.dims[to]) && number-- == 0) return to;
}

static int unit_axis_of_value(const Value *value) {
    if (is_blocked(value)) return format_blocked_axis(value->format);
    for (int i = value->node->shape.rank - 1; value->strides && i >= 0; i--)
        if (!dim_is_one(value->node->shape.dims[i])) return dim_is_one(value->strides[i]) ? i : -1;
    return -1;
}

/* The axis of `node`, an input or movement of one, along which its elements are adjacent
 * in memory; -1 where there is none. */
static int unit_axis(const Kernel *kernel, const Node *node) {
    const Value *input = kernel_input(kernel, node, NULL);
    if (input) return unit_axis_of_value(input);
    if (node->op != OP_transpose && node->op != OP_slice && !reshape_is_trivial(node)) return -1;
    int axis = unit_axis(kernel, node->inputs[0]);
    if (axis < 0) return -1;
    if (node->op == OP_slice) return ATTRIBUTES(node, slice)->step.items[axis] == 1 ? axis : -1;
    if (node->op == OP_reshape)
        return dim_is_one(node->inputs[0]->shape.dims[axis]) ? -1 : axis_after(node, axis);
    IntList permutation = ATTRIBUTES(node, transpose)->permutation;
    for (int i = 0; i < permutation.count; i++)
        if (permutation.items[i] == axis) return i;
    return -1;
}

/* Of elements of which a vector holds as many as there are lanes. */
static void consider_transposed(const Kernel *kernel, Nest *nest, const Node *node) {
    const Target *target = kernel->program->target;
    int axis =
        dtype_bytes(node->shape.type) * target->lanes == target->vector_bytes ? unit_axis(kernel, node) : -1;
    for (int g = 0; axis >= 0 && g < nest->count; g++) {
        const Group *group = &nest->groups[g];
        bool fits = g != nest->lane && group->axes[group->count - 1] == axis &&
                    typical(kernel, group->size) >= target->lanes;
        if (!fits || (nest->transposed >= 0 && nest->transposed != g) ||
            nest->transposed_count == COUNT_OF(nest->transposed_nodes))
            continue;
        nest->transposed = g;
        nest->transposed_nodes[nest->transposed_count++] = node;
    }
}

/* Whether a node is evaluated at the output's point, at other points, or both. Only a
 * value that is read at the output's point alone may be a column of a square in
 * registers. */
typedef struct Where { const Node *node; bool here, elsewhere; } Where;

enum { MAX_TRANSPOSED_MEMBERS = 12 }; /* of a kernel with squares, whose code is emitted once for each lane */

/* Fills `where` for the members, from the output backwards, and for what they read;
 * returns the number of nodes. */
static int find_points(const Kernel *kernel, Where *where) {
    int count = 0;
    where[count++] = (Where){kernel->output->node, true, false};
    for (int i = kernel->member_count - 1; i >= 0; i--) {
        const Node *member = kernel->members[i];
        int user = 0;
        while (user < count && where[user].node != member) user++;
        bool pointwise = op_info[member->op].class == CLASS_ELEMENTWISE;
        for (int k = 0; user < count && k < member->input_count; k++) {
            int operand = 0;
            while (operand < count && where[operand].node != member->inputs[k]) operand++;
            if (operand == count) where[count++] = (Where){.node = member->inputs[k]};
            where[operand].here = where[operand].here || (pointwise && where[user].here);
            where[operand].elsewhere = where[operand].elsewhere || !pointwise || where[user].elsewhere;
        }
    }
    return count;
}

static void choose_transposed(const Kernel *kernel, Nest *nest) {
    /* no member has more than three operands */
    Where where[3 * MAX_TRANSPOSED_MEMBERS + 1];
    nest->transposed = -1;
    if (kernel->anchor || nest->lane < 0 || kernel->member_count > MAX_TRANSPOSED_MEMBERS) return;
    int count = find_points(kernel, where);
    for (int i = 0; i < count; i++)
        if (where[i].here && !where[i].elsewhere) consider_transposed(kernel, nest, where[i].node);
}

/* In blocks, the channels of a block are adjacent at each pixel, and so are the pixels of
 * a block. */
static bool transposes_blocks(const Kernel *kernel, const Nest *nest) {
    for (int t = 0; t < nest->transposed_count; t++) {
        const Value *input = kernel_input(kernel, nest->transposed_nodes[t], NULL);
        if (!input || !is_blocked(input)) return false;
    }
    return true;
}

/* Makes the group of the lanes and the transposed group the innermost loops. Operands
 * along the transposed group are read in that order; but blocks of channels become planes
 * one block at a time, along the pixels: writing half a cache line to every plane in turn
 * would evict the lines where planes are a power of two apart. */
static void order_transposed(const Kernel *kernel, Nest *nest) {
    if (nest->transposed < 0) return;
    int count = 0, lane_last = transposes_blocks(kernel, nest);
    for (int i = 0; i < nest->parallel_count; i++)
        if (nest->parallel[i] != nest->lane && nest->parallel[i] != nest->transposed)
            nest->parallel[count++] = nest->parallel[i];
    nest->parallel[count + lane_last] = nest->lane;
    nest->parallel[count + !lane_last] = nest->transposed;
}

/* Channels that become pixels, r x r of each: the innermost axis of the output has r
 * places, and squares would be masked to r. All inputs are then contiguous along the
 * transposed group, which becomes the group of the lanes, and elements of the output are
 * r apart. */
static void choose_interleaved(const Kernel *kernel, Nest *nest) {
    const Value *output = kernel->output;
    int64_t narrow, lanes = kernel->program->target->lanes;
    nest->interleaved = -1;
    if (nest->transposed < 0 || is_blocked(output) || kernel->input_count != nest->transposed_count) return;
    const Group *from = &nest->groups[nest->lane], *to = &nest->groups[nest->transposed];
    if (!dim_is_const(from->size, &narrow) || narrow > lanes / 2 || narrow > MAX_INTERLEAVED ||
        !output->strides)
        return;
    int64_t apart;
    if (!dim_is_one(output->strides[from->axes[from->count - 1]])) return;
    if (!dim_is_const(output->strides[to->axes[to->count - 1]], &apart) || apart != narrow) return;
    nest->interleaved = nest->lane;
    nest->lane = nest->transposed;
    nest->transposed = -1;
    nest->parallel_count--; /* order_transposed put the narrow group and the transposed one last */
    nest->parallel[nest->parallel_count - 1] = nest->lane;
}

/* In vectors for the lane group, and for a transposed group outside it; in coordinates
 * for the others. */
int64_t nest_step(const Nest *nest, int group, const Target *target) {
    bool squares = group == nest->transposed && nest->parallel[nest->parallel_count - 1] == nest->lane;
    return squares || group == nest->lane ? target->lanes : 1;
}

/* Where lanes run through a parallel group, each step of the groups inside it is as many
 * elements as there are lanes. */
static void choose_tasks(const Kernel *kernel, Nest *nest) {
    const Target *target = kernel->program->target;
    int64_t work = nest->lane >= 0 && !nest->groups[nest->lane].reduced ? target->lanes : 1;
    if (nest->transposed >= 0) work *= nest_step(nest, nest->transposed, target);
    if (nest->interleaved >= 0) work *= typical(kernel, nest->groups[nest->interleaved].size);
    for (int i = 0; i < nest->reduced_count; i++)
        work *= typical(kernel, nest->groups[nest->reduced[i]].size);
    nest->split = nest->parallel_count;
    nest->chunk = 1;
    while (nest->split > 0 && (work < TASK_ELEMENTS || nest->split == nest->parallel_count)) {
        int group = nest->parallel[--nest->split];
        int64_t size = typical(kernel, nest->groups[group].size), step = nest_step(nest, group, target);
        nest->chunk = step * max_i64(1, TASK_ELEMENTS / work);
        if (group == nest->transposed) nest->chunk = round_up(nest->chunk, target->lanes);
        work *= ceil_div(size, step);
    }
}

/* Cuts a reduction into parts of about PART_ELEMENTS, by the outermost groups, so that
 * what a part reads lies together: runs of a few KB leave memory at half its rate. */
static void cut_reduction(const Kernel *kernel, Nest *nest, int64_t work) {
    const Target *target = kernel->program->target;
    int number = -1;
    do {
        int group = nest->reduced[++number];
        work /= ceil_div(typical(kernel, nest->groups[group].size), nest_step(nest, group, target));
    } while (work > PART_ELEMENTS && number + 1 < nest->reduced_count);
    nest->split_reduction = number;
    nest->part =
        nest_step(nest, nest->reduced[number], target) * max_i64(1, PART_ELEMENTS / max_i64(1, work));
    nest->split = nest->parallel_count ? nest->parallel_count - 1 : 0;
    nest->chunk = nest->parallel_count && nest->parallel[nest->split] == nest->lane ? target->lanes : 1;
}

/* A reduction is done in parts where that gives threads more tasks than there are
 * results. A group of free size may be long. */
static void choose_parts(const Kernel *kernel, Nest *nest) {
    int64_t lanes = kernel->program->target->lanes, results = 1, work = 1;
    nest->split_reduction = -1;
    if (!kernel->anchor || !dtype_is_float(reduced_operand(kernel)->shape.type) || nest->reduced_count == 0)
        return;
    bool fixed = true;
    for (int i = 0; i < nest->count; i++) {
        int64_t size = typical(kernel, nest->groups[i].size);
        bool reduced = nest->groups[i].reduced;
        if (i == nest->lane && !reduced) size = ceil_div(size, lanes), work *= lanes;
        fixed = fixed && (!reduced || dim_is_const(nest->groups[i].size, NULL));
        *(reduced ? &work : &results) *= size;
    }
    if (results < ENOUGH_TASKS && (!fixed || work >= 2 * PART_ELEMENTS)) cut_reduction(kernel, nest, work);
}

static Nest *nest_new(Program *program, const Kernel *kernel) {
    Nest *nest = NEW(program->arena, Nest);
    Merge merge = {.kernel = kernel, .dims = program->graph->dims, .arena = program->arena};
    Shape domain = kernel->anchor ? reduced_operand(kernel)->shape : kernel->output->node->shape;
    make_groups(&merge, nest, domain);
    int blocked = format_blocked_axis(kernel->output->format);
    nest->blocked_one = blocked >= 0 && is_reduced(kernel, blocked);
    nest->lane = choose_lane(kernel, nest, domain);
    choose_transposed(kernel, nest);
    order_transposed(kernel, nest);
    choose_interleaved(kernel, nest);
    choose_tasks(kernel, nest);
    choose_parts(kernel, nest);
    return nest;
}

/* Steps of a parallel group before the split: vectors of the lane group, else
 * coordinates. */
Dim nest_tasks(const Program *program, const Nest *nest) {
    Dims *dims = program->graph->dims;
    Dim tasks = dim_const(dims, 1);
    for (int i = 0; i <= nest->split && i < nest->parallel_count; i++) {
        int64_t step = i == nest->split ? nest->chunk : nest_step(nest, nest->parallel[i], program->target);
        tasks = dim_mul(dims, tasks, dim_ceil_div(dims, nest->groups[nest->parallel[i]].size, step));
    }
    return tasks;
}

int64_t nest_piece(const Nest *nest, int number, const Target *target) {
    return number == nest->split_reduction ? nest->part : nest_step(nest, nest->reduced[number], target);
}

Dim nest_pieces(const Program *program, const Nest *nest, int number) {
    return dim_ceil_div(program->graph->dims, nest->groups[nest->reduced[number]].size,
                        nest_piece(nest, number, program->target));
}

Dim nest_parts(const Program *program, const Nest *nest) {
    Dim parts = dim_const(program->graph->dims, 1);
    if (nest->gathered) return dim_const(program->graph->dims, nest->gathered);
    for (int i = 0; i <= nest->split_reduction; i++)
        parts = dim_mul(program->graph->dims, parts, nest_pieces(program, nest, i));
    return parts;
}

int64_t nest_part_bytes(const Target *target, const Node *anchor) {
    DType value = dtype_sum(anchor->inputs[0]->shape.type);
    return target->lanes * (dtype_bytes(value) + (anchor->op == OP_argmax ? dtype_bytes(DTYPE_I32) : 0));
}

int64_t stored_part_bytes(const Target *target, const StoredSum *sum) {
    return (sum->about ? SPREAD_VECTORS : 1) * nest_part_bytes(target, sum->anchor);
}

/* The totals of all parts. */
static Dim nest_workspace(const Program *program, const Kernel *kernel, const Nest *nest) {
    Dims *dims = program->graph->dims;
    if (nest->split_reduction < 0) return NULL;
    Dim parts = dim_mul(dims, nest_tasks(program, nest), nest_parts(program, nest));
    return dim_scale(dims, parts, nest_part_bytes(program->target, kernel->anchor));
}

void nest_gather(Kernel *kernel, int64_t parts) {
    Nest *nest = kernel->proposal.tile;
    nest->gathered = parts;
    nest->split = nest->split_reduction = 0;
    nest->chunk = kernel->program->target->lanes;
    kernel->proposal.memory.workspace = NULL;
}

void make_nests(Program *program) {
    for (int i = 0; i < program->launches.count; i++) {
        Kernel *kernel = program->launches.items[i];
        if (!kernel->proposal.is_nest) continue;
        Nest *nest = nest_new(program, kernel);
        kernel->proposal.tile = nest;
        kernel->proposal.memory.workspace = nest_workspace(program, kernel, nest);
    }
}
