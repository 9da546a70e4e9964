/* Row fusion: launches that threads run row by row together, a reduction and the
 * reductions and elementwise work after it that read what was made of the same rows.
 * Softmax is the largest of a row, its exponentials, their sum, and a product; layer norm
 * and instance norm are much the same. Launch by launch, each would stream the tensor
 * through all caches.
 * Instead a thread runs one task of each launch in turn, and a task is so few rows that
 * they stay in the cache.
 *
 *     sum (x) rows 0 .. 4 | map (x, sum) rows 0 .. 4 | sum (x) rows 5 .. 9 | map (x, sum) rows 5 .. 9 | ..
 *
 * Rows are the parallel groups of the first reduction, its lanes among them or not. All
 * launches must have the same rows, as the same outermost loops, so that task t of each
 * is the same rows. What a launch reads of the others' results, or may overwrite, must
 * lie at its own rows. The kernels, and so their bits, are those that each launch would
 * have alone. memory.c keeps their buffers apart for as long as they run. */
#include "plan/loop_nest.h"
#include "plan/stages.h"
#include "core/program.h"

enum {
    LEAST_TASKS = 8,    /* fewer tasks would leave threads without work: such reductions are done in parts */
    ROW_ELEMENTS = 4096 /* of a task, at least */
};

typedef struct RowFusion {
    Program *program;
    Kernel *kernels[CAI_MAX_FUSED]; /* the kernels found so far */
    Nest nests[CAI_MAX_FUSED];      /* their nests, with the rows of the first one outermost */
    int count;
} RowFusion;

static Shape domain_of(const Kernel *kernel) {
    return kernel->anchor ? kernel->anchor->inputs[0]->shape : kernel->output->node->shape;
}

static bool is_nest(const Kernel *kernel) { return kernel->proposal.is_nest && kernel->member_count > 0; }

/* ---- the same rows ---- */

static int find_nest_group(const Nest *nest, const Group *wanted) {
    for (int i = 0; i < nest->count; i++) {
        const Group *group = &nest->groups[i];
        bool same = group->count == wanted->count && !group->reduced && group->size == wanted->size;
        for (int k = 0; same && k < group->count; k++) same = group->axes[k] == wanted->axes[k];
        if (same) return i;
    }
    return -1;
}

/* Makes the rows of the first nest the outermost loops of another. */
static bool take_rows(const Nest *first, Nest *nest) {
    int parallel[16], count = 0;
    for (int i = 0; i < first->parallel_count; i++) {
        int group = find_nest_group(nest, &first->groups[first->parallel[i]]);
        if (group < 0 || (nest->lane == group) != (first->lane == first->parallel[i])) return false;
        parallel[count++] = group;
    }
    for (int i = 0; i < nest->parallel_count; i++) {
        bool row = false;
        for (int k = 0; k < first->parallel_count; k++) row = row || parallel[k] == nest->parallel[i];
        if (!row) parallel[count++] = nest->parallel[i];
    }
    memcpy(nest->parallel, parallel, sizeof parallel);
    return nest->transposed < 0;
}

/* ---- reads at the row alone ---- */

/* Whether a broadcast repeats along columns only. */
static bool keeps_rows(const Nest *first, const Node *broadcast) {
    Shape from = broadcast->inputs[0]->shape, to = broadcast->shape;
    for (int i = 0; i < first->parallel_count; i++) {
        const Group *group = &first->groups[first->parallel[i]];
        for (int k = 0; k < group->count; k++)
            if (from.dims[group->axes[k]] != to.dims[group->axes[k]]) return false;
    }
    return from.rank == to.rank;
}

/* Elementwise work, broadcasts along the row, and the reduction stay at the row. */
static bool keeps_row(const Kernel *kernel, const Node *member, const void *first) {
    if (member->op == OP_broadcast) return keeps_rows(first, member);
    return op_info[member->op].class == CLASS_ELEMENTWISE || member == kernel->anchor;
}

static bool is_made_in_fusion(const RowFusion *fusion, const Value *value) {
    for (int i = 0; i < fusion->count; i++)
        if (value_root(fusion->kernels[i]->output) == value_root(value)) return true;
    return false;
}

/* Whether two different values share a buffer: how they overlap is not analysed. */
static bool is_aliased(const RowFusion *fusion, const Kernel *kernel, const Value *value) {
    for (int i = 0; i <= fusion->count; i++) {
        const Kernel *other = i < fusion->count ? fusion->kernels[i] : kernel;
        for (int k = -1; k < other->input_count; k++) {
            const Value *seen = k < 0 ? other->output : other->inputs[k];
            if (seen != value && value_root(seen) == value_root(value)) return true;
        }
    }
    return false;
}

/* Checks what one of them reads and another makes or may overwrite. */
static bool reads_at_rows(const RowFusion *fusion, const Kernel *kernel) {
    bool made = fusion->count == 0;
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *value = kernel->inputs[i];
        if (value->space == SPACE_WEIGHTS) continue;
        made = made || is_made_in_fusion(fusion, value);
        bool same = value->node->shape.rank == domain_of(fusion->count ? fusion->kernels[0] : kernel).rank;
        if (!same || is_aliased(fusion, kernel, value) ||
            !kernel_reads_at_point(kernel, value->node, keeps_row, &fusion->nests[0]))
            return false;
    }
    return made && !is_aliased(fusion, kernel, kernel->output) &&
           kernel->output->node->shape.rank == domain_of(kernel).rank;
}

/* ---- tasks ---- */

static int64_t typical_of(const RowFusion *fusion, const Nest *nest, const int *groups, int count) {
    int64_t product = 1;
    for (int i = 0; i < count; i++) product *= typical(fusion->kernels[0], nest->groups[groups[i]].size);
    return product;
}

/* The number of steps of the last group of rows in a task; 0 where threads would not have
 * enough tasks, or a row is too long for the cache. */
static int64_t rows_of_task(const RowFusion *fusion) {
    const Nest *first = &fusion->nests[0];
    const Target *target = fusion->program->target;
    bool lanes = first->lane >= 0 && !first->groups[first->lane].reduced;
    int64_t row =
        typical_of(fusion, first, first->reduced, first->reduced_count) * (lanes ? target->lanes : 1);
    int64_t rows =
        typical_of(fusion, first, first->parallel, first->parallel_count) / (lanes ? target->lanes : 1);
    int64_t max = rows / LEAST_TASKS, bytes = row * dtype_bytes(domain_of(fusion->kernels[0]).type);
    if (max < 1 || 4 * bytes > 3 * target->l2_bytes) return 0;
    return max_i64(1, min_i64(max, ROW_ELEMENTS / max_i64(1, row)));
}

/* ---- finding them ---- */

static bool add_fused_kernel(RowFusion *fusion, Kernel *kernel) {
    if (fusion->count == CAI_MAX_FUSED || !is_nest(kernel)) return false;
    if (fusion->count > 0 && !shape_dims_equal(domain_of(kernel), domain_of(fusion->kernels[0])))
        return false;
    const Nest *first = &fusion->nests[0];
    Nest *nest = &fusion->nests[fusion->count];
    *nest = *(const Nest *)kernel->proposal.tile;
    if (!take_rows(first, nest) || !reads_at_rows(fusion, kernel)) return false;
    if (kernel->anchor && nest->parallel_count != first->parallel_count) return false;
    fusion->kernels[fusion->count++] = kernel;
    return true;
}

/* For kernel names: the number of rows of a task, and their axes in the order of the
 * loops, since code depends on both. */
static const char *describe_rows(const RowFusion *fusion, int64_t rows) {
    Text text = {.arena = fusion->program->arena};
    const Nest *first = &fusion->nests[0];
    text_add(&text, "rows%lld_of", (long long)rows);
    for (int i = 0; i < first->parallel_count; i++) {
        const Group *group = &first->groups[first->parallel[i]];
        for (int k = 0; k < group->count; k++) text_add(&text, "%s%d", k || !i ? "" : "_", group->axes[k]);
    }
    return text_string(&text);
}

static void share_rows(RowFusion *fusion, int64_t rows) {
    const char *described = describe_rows(fusion, rows);
    for (int i = 0; i < fusion->count; i++) {
        Kernel *kernel = fusion->kernels[i];
        Nest *nest = kernel->proposal.tile;
        *nest = fusion->nests[i];
        nest->split = fusion->nests[0].parallel_count - 1;
        nest->chunk = rows * (nest->parallel[nest->split] == nest->lane ? fusion->program->target->lanes : 1);
        nest->split_reduction = -1;
        kernel->proposal.memory.workspace = NULL;
        kernel->rows = described;
        kernel->fused = fusion->count - 1 - i;
    }
}

void fuse_rows(Program *program) {
    for (int i = 0; i < program->launches.count;) {
        RowFusion fusion = {.program = program};
        const Kernel *kernel = program->launches.items[i];
        bool begins = is_nest(kernel) && kernel->anchor;
        for (int k = i;
             begins && k < program->launches.count && add_fused_kernel(&fusion, program->launches.items[k]);
             k++)
            continue;
        bool useful =
            fusion.count > 1 && fusion.nests[0].parallel_count > 0 && fusion.nests[0].reduced_count > 0;
        int64_t rows = useful ? rows_of_task(&fusion) : 0;
        if (rows > 0) share_rows(&fusion, rows);
        i += rows > 0 ? fusion.count : 1;
    }
}
