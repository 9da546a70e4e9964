/* Launches of elementwise work on the same elements that follow each other and have
 * operands in common: the moments and the weight that an optimizer makes of a gradient. A
 * thread runs one task of each in turn, so that what they share comes from afar once:
 * Adam's three launches read 7 numbers a weight and write 3, and of the 7 these are 4.
 *
 *     m (g, m) 0 .. 4095 | v (g, v) 0 .. 4095 | w (m, v, w) 0 .. 4095 | m (g, m) 4096 .. | ..
 *
 * The kernels, and so their bits, are those that each launch would have alone. Whoever
 * reads a value as long as theirs reads the element that it writes; what else they read,
 * none of them makes. Of less than what L2 holds nothing is gained.
 *
 * Needs: loop nests; launches that are fused by rows are left alone. */
#include "plan/loop_nest.h"
#include "plan/stages.h"
#include "core/program.h"

static const Nest *nest_of_map(const Kernel *kernel) {
    bool map = kernel->proposal.is_nest && !kernel->anchor && kernel->member_count > 0 && !kernel->rows;
    const Nest *nest = map ? kernel->proposal.tile : NULL;
    return nest && nest->transposed < 0 && nest->interleaved < 0 ? nest : NULL;
}

/* Whether task t of both is the same elements. */
static bool have_equal_tasks(const Nest *a, const Nest *b) {
    bool equal = a->count == b->count && a->parallel_count == b->parallel_count && a->lane == b->lane &&
                 a->split == b->split && a->chunk == b->chunk;
    for (int i = 0; equal && i < a->count; i++)
        equal = a->groups[i].size == b->groups[i].size && a->parallel[i] == b->parallel[i];
    return equal;
}

static bool is_made_by_maps(Kernel *const *maps, int count, const Value *value) {
    for (int i = 0; i < count; i++)
        if (maps[i]->output == value_root(value)) return true;
    return false;
}

static bool has_input(Kernel *const *maps, int count, const Value *value) {
    for (int i = 0; i < count; i++)
        for (int k = 0; k < maps[i]->input_count; k++)
            if (maps[i]->inputs[k] == value) return true;
    return false;
}

/* Whether all that the map reads may be made by those before it, or written over, up to
 * the element that it is at. */
static bool reads_element_alone(Kernel *const *maps, int count, const Kernel *map) {
    for (int i = 0; i < map->input_count; i++) {
        bool as_long = shape_dims_equal(map->inputs[i]->node->shape, map->output->node->shape);
        if (as_long ? !reads_in_place(map, i) : is_made_by_maps(maps, count, map->inputs[i])) return false;
    }
    return true;
}

static bool shares_operands(Kernel *const *maps, int count, const Kernel *map) {
    for (int i = 0; i < map->input_count; i++)
        if (reads_in_place(map, i) &&
            (is_made_by_maps(maps, count, map->inputs[i]) || has_input(maps, count, map->inputs[i])))
            return true;
    return false;
}

/* How many launches from the first on run along with each other. */
static int count_maps(Kernel *const *maps, int most) {
    const Nest *first = nest_of_map(maps[0]);
    const Value *output = maps[0]->output;
    if (!first || output->parent || !reads_element_alone(maps, 0, maps[0])) return 1;
    for (int count = 1; count < most; count++) {
        const Kernel *map = maps[count];
        const Nest *nest = nest_of_map(map);
        if (!nest || map->output->parent || !have_equal_tasks(first, nest) ||
            !shape_dims_equal(map->output->node->shape, output->node->shape) ||
            !reads_element_alone(maps, count, map) || !shares_operands(maps, count, map))
            return count;
    }
    return most;
}

void fuse_maps(Program *program) {
    int64_t least = program->target->l2_bytes;
    for (int i = 0, count; i < program->launches.count; i += count) {
        Kernel **maps = program->launches.items + i;
        bool large = dim_typical(program->graph->dims, maps[0]->output->bytes) >= least;
        int rest = program->launches.count - i;
        count = large ? count_maps(maps, rest < CAI_MAX_FUSED ? rest : CAI_MAX_FUSED) : 1;
        for (int k = 0; k < count; k++) maps[k]->fused = maps[k]->fused ? maps[k]->fused : count - 1 - k;
    }
}
