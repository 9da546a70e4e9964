/* Launches that run along with each other: a reduction, and the reductions and elementwise work behind it that read what was made of the
 * same rows. Softmax is the largest of a row, its exponentials, their sum, and a product; layer norm and instance norm are much the same.
 * Launch by launch, each would stream the tensor through all caches. Instead a thread runs one task of each in turn, and a task is so
 * few rows that they stay in the cache.
 *
 *     sum (x)      rows 0 .. 4 | map (x, sum) rows 0 .. 4 | sum (x)  rows 5 .. 9 | map (x, sum) rows 5 .. 9 | ..
 *
 * Rows are the kept groups of the first reduction, its lanes among them or not. All launches must have the same rows, as the same
 * outermost loops, so that task t of each is the same rows, and must read what others of them make or may overwrite at its own rows
 * only. Their kernels, and so their bits, are those that they would have alone. memory.c keeps their buffers apart for all the time
 * that they run. */
#include "plan/loop_nest.h"
#include "plan/stages.h"
#include "core/program.h"

enum {
    LEAST_TASKS = 8,      /* fewer would leave threads without work: such reductions are done in parts */
    ROW_ELEMENTS = 4096   /* of a task, at least */
};

typedef struct Along {
    Program *program;
    Kernel *kernels[CAI_MOST_ALONG]; /* those found so far */
    Nest *nests[CAI_MOST_ALONG];
    int count;
} Along;

static Shape domain_of(const Kernel *kernel) {
    return kernel->anchor ? kernel->anchor->inputs[0]->shape : kernel->output->node->shape;
}

static bool is_nest(const Kernel *kernel) {
    return kernel->proposal.is_nest && kernel->member_count > 0;
}

/* ---- the same rows ---- */

static int find_group(const Nest *nest, const Group *wanted) {
    for (int i = 0; i < nest->count; i++) {
        const Group *group = &nest->groups[i];
        bool same = group->count == wanted->count && !group->reduced && group->size == wanted->size;
        for (int k = 0; same && k < group->count; k++) same = group->axes[k] == wanted->axes[k];
        if (same) return i;
    }
    return -1;
}

/* Makes the first nest's rows the outermost loops of another. */
static bool take_rows(const Nest *first, Nest *nest) {
    int kept[16], count = 0;
    for (int i = 0; i < first->kept_count; i++) {
        int group = find_group(nest, &first->groups[first->kept[i]]);
        if (group < 0 || (nest->lane == group) != (first->lane == first->kept[i])) return false;
        kept[count++] = group;
    }
    for (int i = 0; i < nest->kept_count; i++) {
        bool row = false;
        for (int k = 0; k < first->kept_count; k++) row = row || kept[k] == nest->kept[i];
        if (!row) kept[count++] = nest->kept[i];
    }
    memcpy(nest->kept, kept, sizeof kept);
    return nest->turned < 0;
}

/* ---- reads at the row alone ---- */

/* Whether a broadcast repeats along columns only. */
static bool keeps_rows(const Nest *first, const Node *broadcast) {
    Shape from = broadcast->inputs[0]->shape, to = broadcast->shape;
    for (int i = 0; i < first->kept_count; i++) {
        const Group *group = &first->groups[first->kept[i]];
        for (int k = 0; k < group->count; k++)
            if (from.dims[group->axes[k]] != to.dims[group->axes[k]]) return false;
    }
    return from.rank == to.rank;
}

/* Whether `node`, a member or input of the kernel, is read at the row where the kernel stands: by elementwise work, broadcasts along the
 * row, and the reduction, from the output on. */
static bool is_read_at_row(const Kernel *kernel, const Nest *first, const Node *node, bool *at_row) {
    int count = kernel->member_count;
    memset(at_row, 0, sizeof *at_row * (size_t)count);
    at_row[count - 1] = true;
    for (int i = count - 1; i >= 0; i--) {
        const Node *user = kernel->members[i];
        bool carries = op_info[user->op].class == CLASS_ELEMENTWISE || user == kernel->anchor;
        carries = at_row[i] && (carries || (user->op == OP_broadcast && keeps_rows(first, user)));
        for (int k = 0; k < user->input_count; k++) {
            if (user->inputs[k] == node && !carries) return false;
            for (int m = i - 1; carries && m >= 0; m--)
                if (kernel->members[m] == user->inputs[k]) at_row[m] = true;
        }
    }
    return true;
}

static bool is_made_along(const Along *along, const Value *value) {
    for (int i = 0; i < along->count; i++)
        if (value_root(along->kernels[i]->output) == value_root(value)) return true;
    return false;
}

/* Two names of one buffer: where they lie in each other is not looked into. */
static bool is_aliased(const Along *along, const Kernel *kernel, const Value *value) {
    for (int i = 0; i <= along->count; i++) {
        const Kernel *other = i < along->count ? along->kernels[i] : kernel;
        for (int k = -1; k < other->input_count; k++) {
            const Value *seen = k < 0 ? other->output : other->inputs[k];
            if (seen != value && value_root(seen) == value_root(value)) return true;
        }
    }
    return false;
}

/* What one of them reads and another makes or may write over. */
static bool reads_at_rows(const Along *along, const Kernel *kernel, Arena *scratch) {
    bool *at_row = NEW_ARRAY(scratch, bool, kernel->member_count), made = along->count == 0;
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *value = kernel->inputs[i];
        if (value->space == SPACE_WEIGHTS) continue;
        made = made || is_made_along(along, value);
        bool same = value->node->shape.rank == domain_of(along->count ? along->kernels[0] : kernel).rank;
        if (!same || is_aliased(along, kernel, value) || !is_read_at_row(kernel, along->nests[0], value->node, at_row)) return false;
    }
    return made && !is_aliased(along, kernel, kernel->output) && kernel->output->node->shape.rank == domain_of(kernel).rank;
}

/* ---- tasks ---- */

static int64_t typical_of(const Along *along, const Nest *nest, const int *groups, int count) {
    int64_t product = 1;
    for (int i = 0; i < count; i++) product *= typical(along->kernels[0], nest->groups[groups[i]].size);
    return product;
}

/* How many steps of the last group of rows a task has; 0 where threads would not have enough, or a row is too long for the cache. */
static int64_t rows_of_task(const Along *along) {
    const Nest *first = along->nests[0];
    const Target *target = along->program->target;
    bool lanes = first->lane >= 0 && !first->groups[first->lane].reduced;
    int64_t row = typical_of(along, first, first->reduced, first->reduced_count) * (lanes ? target->lanes : 1);
    int64_t rows = typical_of(along, first, first->kept, first->kept_count) / (lanes ? target->lanes : 1);
    int64_t most = rows / LEAST_TASKS, bytes = row * 4;
    if (most < 1 || 4 * bytes > 3 * target->l2_bytes) return 0;
    return max_i64(1, min_i64(most, ROW_ELEMENTS / max_i64(1, row)));
}

/* ---- finding them ---- */

static bool add(Along *along, Kernel *kernel, Arena *scratch) {
    if (along->count == CAI_MOST_ALONG || !is_nest(kernel)) return false;
    Nest *nest = nest_new(along->program, kernel);
    if (along->count > 0 && !shape_dims_equal(domain_of(kernel), domain_of(along->kernels[0]))) return false;
    along->nests[along->count] = nest;
    if (!take_rows(along->nests[0], nest) || !reads_at_rows(along, kernel, scratch)) return false;
    if (kernel->anchor && nest->kept_count != along->nests[0]->kept_count) return false;
    along->kernels[along->count++] = kernel;
    return true;
}

/* For the names: how many rows a task has, and their axes in the order of their loops, as code depends on both. */
static const char *describe_rows(const Along *along, int64_t rows) {
    Text text = {.arena = along->program->arena};
    const Nest *first = along->nests[0];
    text_add(&text, "rows%lld_of", (long long)rows);
    for (int i = 0; i < first->kept_count; i++) {
        const Group *group = &first->groups[first->kept[i]];
        for (int k = 0; k < group->count; k++) text_add(&text, "%s%d", k || !i ? "" : "_", group->axes[k]);
    }
    return text_string(&text);
}

static void share_rows(Along *along, int64_t rows) {
    const char *described = describe_rows(along, rows);
    for (int i = 0; i < along->count; i++) {
        Kernel *kernel = along->kernels[i];
        Nest *nest = along->nests[i];
        nest->split = along->nests[0]->kept_count - 1;
        nest->chunk = rows * (nest->kept[nest->split] == nest->lane ? along->program->target->lanes : 1);
        nest->parted = -1;
        kernel->proposal.tile = nest;
        kernel->rows = described;
        kernel->along = along->count - 1 - i;
    }
}

void fuse_rows(Program *program) {
    Arena *scratch = arena_new();
    for (int i = 0; i < program->launches.count;) {
        Along along = {.program = program};
        const Kernel *kernel = program->launches.items[i];
        bool begins = is_nest(kernel) && kernel->anchor;
        for (int k = i; begins && k < program->launches.count && add(&along, program->launches.items[k], scratch); k++) continue;
        bool useful = along.count > 1 && along.nests[0]->kept_count > 0 && along.nests[0]->reduced_count > 0;
        int64_t rows = useful ? rows_of_task(&along) : 0;
        if (rows > 0) share_rows(&along, rows);
        i += rows > 0 ? along.count : 1;
    }
    arena_free(scratch);
}
