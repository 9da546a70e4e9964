/* Fuses consecutive launches that have large operands in common: the moments and the
 * weight that an optimizer computes from a gradient, or the two sums over a map in the
 * gradient of a batch norm. A thread runs one task of each launch in turn, so that shared
 * operands come from memory once. Of the 10 numbers for each weight that Adam's three
 * launches read and write, 3 are then found in a cache.
 *
 *     m (g, m) 0 .. 4095 | v (g, v) 0 .. 4095 | w (m, v, w) 0 .. 4095 | m (g, m) 4096 .. | ..
 *
 * The kernels, and so the bits, are the same as without fusion. Either all are
 * elementwise, and a launch that reads what another one writes reads only the element
 * that it writes itself; or all are reductions in equal parts, and none reads a result of
 * another. Maps smaller than L2 gain nothing.
 *
 * Needs: loop nests; launches that are fused by rows are left alone. */
#include "plan/loop_nest.h"
#include "plan/stages.h"
#include "core/program.h"

static const Nest *nest_of_shared(const Kernel *kernel) {
    const Nest *nest = kernel->proposal.is_nest && !kernel->rows ? kernel->proposal.tile : NULL;
    bool simple = nest && kernel->member_count > 0 && nest->transposed < 0 && nest->interleaved < 0;
    return simple && !kernel->output->parent ? nest : NULL;
}

/* The shape over whose elements the tasks are divided. */
static Shape shape_of_tasks(const Kernel *kernel) {
    return kernel->anchor ? kernel->anchor->inputs[0]->shape : kernel->output->node->shape;
}

/* Whether task t covers the same elements in both launches. */
static bool have_equal_tasks(const Kernel *one, const Kernel *other) {
    const Nest *a = nest_of_shared(one), *b = nest_of_shared(other);
    bool equal = b && shape_dims_equal(shape_of_tasks(one), shape_of_tasks(other)) &&
                 (one->anchor == NULL) == (other->anchor == NULL) && a->count == b->count &&
                 a->parallel_count == b->parallel_count && a->lane == b->lane && a->split == b->split &&
                 a->chunk == b->chunk && a->split_reduction == b->split_reduction &&
                 (a->split_reduction < 0 || a->part == b->part);
    for (int i = 0; equal && i < a->count; i++)
        equal = a->groups[i].size == b->groups[i].size && a->groups[i].reduced == b->groups[i].reduced;
    for (int i = 0; equal && i < a->parallel_count; i++) equal = a->parallel[i] == b->parallel[i];
    return equal;
}

static bool is_made_by(Kernel *const *launches, int count, const Value *value) {
    for (int i = 0; i < count; i++)
        if (launches[i]->output == value_root(value)) return true;
    return false;
}

static bool has_operand(Kernel *const *launches, int count, const Value *value) {
    for (int i = 0; i < count; i++)
        for (int k = 0; k < launches[i]->input_count; k++)
            if (launches[i]->inputs[k] == value) return true;
    return false;
}

/* Whether the launch reads results of the launches before it, and values that may be
 * overwritten, only at the element that it writes. */
static bool reads_own_element(Kernel *const *launches, int count, const Kernel *kernel) {
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *value = kernel->inputs[i];
        bool as_long = !kernel->anchor && shape_dims_equal(value->node->shape, kernel->output->node->shape);
        if (as_long ? !reads_in_place(kernel, i) : is_made_by(launches, count, value)) return false;
    }
    return true;
}

/* Whether it reads a full-sized operand that the launches before it read or wrote. */
static bool shares_operand(Kernel *const *launches, int count, const Kernel *kernel) {
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *value = kernel->inputs[i];
        bool as_long = shape_dims_equal(value->node->shape, shape_of_tasks(kernel));
        if (as_long && (is_made_by(launches, count, value) || has_operand(launches, count, value)))
            return true;
    }
    return false;
}

static bool is_large(const Kernel *kernel) {
    Shape shape = shape_of_tasks(kernel);
    Dims *dims = kernel->program->graph->dims;
    return dim_typical(dims, shape_elements(dims, shape)) * dtype_bytes(shape.type) >=
           kernel->program->target->l2_bytes;
}

/* How many launches, from the first one, can run together. */
static int count_shared(Kernel *const *launches, int most) {
    int count = 1;
    if (!nest_of_shared(launches[0]) || !is_large(launches[0]) ||
        !reads_own_element(launches, 0, launches[0]))
        return 1;
    while (count < most && have_equal_tasks(launches[0], launches[count]) &&
           reads_own_element(launches, count, launches[count]) &&
           shares_operand(launches, count, launches[count]))
        count++;
    return count;
}

void fuse_shared(Program *program) {
    for (int i = 0, count; i < program->launches.count; i += count) {
        Kernel **launches = program->launches.items + i;
        int rest = program->launches.count - i;
        count = count_shared(launches, rest < CAI_MAX_FUSED ? rest : CAI_MAX_FUSED);
        for (int k = 0; k < count && count > 1; k++) launches[k]->fused = count - 1 - k;
    }
}
