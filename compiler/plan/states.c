/* Updates states in place, in the entries of a trainer. An output may share the memory of
 * an input (PortPlan): the new value of a state overwrites the old one. schedule.c
 * appends a copy to each such output after all launches, which is always correct. Here
 * the copy is removed wherever the value can be computed in the state's memory directly:
 * all readers of the old value have run before, or the kernel that computes the new value
 * reads the old one element by element, where it writes.
 *
 * Launches also get guards: a launch that only serves outputs of some runs (`every 16
 * steps`) runs in these alone. A launch that computes into a state's memory must have
 * exactly the guard of the state's output. */
#include "plan/stages.h"

/* ---- guards ---- */

#define ALWAYS UINT32_MAX /* never a set of guards, of which there are MAX_GUARDS at most */

typedef struct Guards {
    const Program *program;
    uint32_t *needed; /* by id of a root: the runs in which its contents are needed */
} Guards;

/* The guards that decide `condition`; 0 if it is not the input for a guard. */
static uint32_t guards_of_condition(const Program *program, const Node *condition) {
    while (condition->op == OP_broadcast || condition->op == OP_reshape) condition = condition->inputs[0];
    for (int i = 0; i < program->graph->inputs.count; i++)
        if (program->graph->inputs.items[i].node == condition) return program->inputs[i].guards;
    return 0;
}

/* The runs in which a kernel needs an input, if it needs it in only some: `new` in
 * select(active, new, old) counts only where the guard holds. */
static uint32_t guards_of_read(const Program *program, const Kernel *kernel, const Node *node) {
    uint32_t guards = kernel->member_count > 0 && program->inputs ? 0 : ALWAYS;
    for (int i = 0; i < kernel->member_count && guards != ALWAYS; i++) {
        const Node *member = kernel->members[i];
        for (int k = 0; k < member->input_count; k++) {
            if (member->inputs[k] != node) continue;
            uint32_t of_select =
                member->op == OP_select && k == 1 ? guards_of_condition(program, member->inputs[0]) : 0;
            guards = of_select ? guards | of_select : ALWAYS;
        }
    }
    return guards ? guards : ALWAYS;
}

static uint32_t guards_of_output(const Program *program, const Value *root) {
    if (root->space != SPACE_OUTPUT) return 0;
    uint32_t guards = program->outputs[root->slot].guards;
    return guards ? guards : ALWAYS;
}

/* The runs in which any of the launches first .. last is needed; they run together. */
static uint32_t guards_of_group(const Guards *g, int first, int last) {
    uint32_t guards = 0;
    for (int i = first; i <= last; i++) {
        const Kernel *kernel = g->program->launches.items[i];
        const Value *root = value_root(kernel->output);
        guards |= g->needed[root->id] | guards_of_output(g->program, root);
        for (int k = 0; k < kernel->sum_count; k++) guards |= g->needed[kernel->sums[k].parts->id];
    }
    return guards ? guards : ALWAYS;
}

static void need_inputs(Guards *g, const Kernel *kernel, uint32_t guards) {
    for (int i = 0; i < kernel->input_count; i++) {
        uint32_t read = guards_of_read(g->program, kernel, kernel->inputs[i]->node);
        g->needed[value_root(kernel->inputs[i])->id] |= read == ALWAYS ? guards : read;
    }
}

/* Goes from the last launch to the first, so that all readers of a value are known. */
void guard_launches(Program *program) {
    if (!program->outputs) return;
    Arena *scratch = arena_new();
    Guards g = {program, NEW_ARRAY(scratch, uint32_t, program->values.count)};
    for (int last = program->launches.count - 1; last >= 0;) {
        int first = first_along(program, last);
        uint32_t guards = guards_of_group(&g, first, last);
        for (int i = first; i <= last; i++) {
            program->launches.items[i]->guards = guards == ALWAYS ? 0 : guards;
            need_inputs(&g, program->launches.items[i], guards);
        }
        last = first - 1;
    }
    arena_free(scratch);
}

/* ---- in place ---- */

bool is_state_store(const Program *program, const Kernel *kernel) {
    const Value *output = kernel->output;
    return output->space == SPACE_OUTPUT && kernel->member_count == 0 &&
           program_shared_input(program, output->slot) >= 0;
}

const Value *find_old_state(const Program *program, const Value *output) {
    int input = program_shared_input(program, output->slot);
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        if (value->space == SPACE_INPUT && !value->parent && value->slot == input) return value;
    }
    return NULL;
}

/* Whether `value` fills its buffer, in the layout of a port. */
static bool is_whole(const Value *value, const Value *port) {
    const Value *root = value_root(value);
    if (root->space != SPACE_SLOT || is_blocked(root) || root->bytes != port->bytes) return false;
    for (int i = 0; i < value->node->shape.rank; i++)
        if (value->strides[i] != port->strides[i]) return false;
    return !is_blocked(value) && value->bytes == root->bytes && value->offset->term_count == 0;
}

static bool reads_value(const Kernel *kernel, int but, const Value *value) {
    for (int i = 0; i < kernel->input_count; i++)
        if (i != but && value_root(kernel->inputs[i]) == value) return true;
    return false;
}

/* Whether the launch reads the old value only at elements that it writes. */
static bool reads_where_it_writes(const Kernel *kernel, const Value *old) {
    int found = 0;
    for (int i = 0; i < kernel->input_count; i++)
        if (value_root(kernel->inputs[i]) == old && (found++ || !reads_in_place(kernel, i))) return false;
    return true;
}

/* Whether the new value may overwrite the old one: all its readers run before the launch
 * that computes the new value, or together with it and read where they write. */
static bool is_read_in_time(const Program *program, const Value *old, const Value *root) {
    int last = root->first + program->launches.items[root->first]->fused;
    bool made = false;
    if (old->last < root->first) return true;
    for (int i = root->first; i <= last; i++) {
        const Kernel *kernel = program->launches.items[i];
        if (!reads_where_it_writes(kernel, old) || (made && reads_value(kernel, -1, old))) return false;
        made |= kernel->output == root;
    }
    return made && old->last == last;
}

/* The operand of the launch that computes `root` which is read there for the last time,
 * and only where it is written, so that `root` may overwrite it; NULL if there is
 * none. */
static const Value *made_over(const Program *program, const Value *root) {
    const Kernel *kernel = program->launches.items[root->first];
    for (int i = 0; i < kernel->input_count && kernel->output == root && !kernel->fused; i++) {
        const Value *value = value_root(kernel->inputs[i]);
        if (value->last == root->first && reads_in_place(kernel, i) && !reads_value(kernel, i, value))
            return value;
    }
    return NULL;
}

/* Finds a chain of values, each of which may overwrite the one before, from the old value
 * to `root`, as for a pool into which several pictures are put in turn. Stores `root` and
 * the values before it in `out`. Returns their count; 0 if there is no such chain. */
static int find_chain(const Program *program, const Value *root, const Value *old, const Value **out,
                      int most) {
    for (int count = 0; count < most;) {
        out[count++] = root;
        root = made_over(program, root);
        if (root == old) return count;
        if (!root || root->space != SPACE_SLOT) return 0;
    }
    return 0;
}

/* Whether all launches that write into the buffer have the guard of the store. */
static bool is_guarded_alike(const Program *program, const Value *root, const Kernel *store) {
    for (int i = 0; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        if (value_root(kernel->output) == root && kernel->guards != store->guards) return false;
    }
    return true;
}

enum { MOST_IN_PLACE = 64 };

/* The values that can be computed directly in the memory of the state, into which the
 * store would copy the last of them. Returns their count; 0: the store must stay. */
static int find_in_place(const Program *program, const Kernel *store, const Value **out) {
    const Value *root = value_root(store->inputs[0]);
    const Value *old = find_old_state(program, store->output);
    int count = 1;
    out[0] = root;
    if (program->own_slots || !is_whole(store->inputs[0], store->output)) return 0;
    if (old && !is_read_in_time(program, old, root))
        count = find_chain(program, root, old, out, MOST_IN_PLACE);
    for (int i = 0; i < count; i++)
        if (!is_whole(out[i], store->output) || !is_guarded_alike(program, out[i], store)) return 0;
    return count;
}

static void move_to_port(Program *program, const Value *root, int port) {
    for (int i = 0; i < program->values.count; i++) {
        Value *value = program->values.items[i];
        if (value_root(value) == root) value->space = SPACE_OUTPUT, value->slot = port;
    }
}

void store_in_place(Program *program) {
    int kept = 0;
    if (!program->outputs) return;
    find_lives(program);
    for (int i = 0; i < program->launches.count; i++) {
        Kernel *kernel = program->launches.items[i];
        const Value *values[MOST_IN_PLACE];
        int count = is_state_store(program, kernel) ? find_in_place(program, kernel, values) : 0;
        for (int k = 0; k < count; k++) move_to_port(program, values[k], kernel->output->slot);
        if (count) program->copies--;
        else program->launches.items[kernel->id = kept++] = kernel;
    }
    program->launches.count = kept;
}
