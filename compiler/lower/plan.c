/* Which buffer each value lives in. A buffer lives from the launch that writes it first to the one that reads it last, its views
 * included; buffers that never live at once may share a slot. The largest are placed first, each into the smallest slot that is free
 * for its whole life, so a slot's size is mostly that of its first tenant. Sizes may be free: comparisons are at typical
 * sizes, and at run time a slot is as large as the largest of its tenants.
 *
 * A kernel that reads an input exactly where it writes, for the last time, writes into that input's buffer (residual adds).
 *
 * Needs: the final list of launches with resolved values. Gives: first, last and slot of values, program->slots. */
#include "lower/stages.h"

#include <stdlib.h>

typedef struct Buffer {
    int first, last;
    int64_t typical;
    Dim bytes;
    int slot;
    int merged;   /* the buffer it continues, or -1 */
} Buffer;

typedef struct Life { int first, last; } Life;

typedef struct Tenants { /* of a slot: lives in order, which never touch */
    Vec(Life) lives;
} Tenants;

typedef struct Plan {
    Program *program;
    Arena *scratch;
    Buffer *buffers;      /* by the id of their value */
    Vec(Tenants) tenants; /* by slot */
} Plan;

/* ---- lives ---- */

static void touch(Value *value, int launch) {
    for (; value; value = value->parent) {
        if (value->first < 0) value->first = launch;
        if (value->last < launch) value->last = launch;
    }
}

static void find_lives(Plan *plan) {
    Program *program = plan->program;
    for (int i = 0; i < program->launches.count; i++) {
        Kernel *kernel = program->launches.items[i];
        touch(kernel->output, i);
        for (int k = 0; k < kernel->input_count; k++) touch(kernel->inputs[k], i);
    }
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        plan->buffers[i] = (Buffer){value->first, value->last, dim_typical(program->graph->dims, value->bytes), value->bytes, -1, -1};
    }
}

static Buffer *buffer_of(Plan *plan, const Value *value) {
    Buffer *buffer = &plan->buffers[value_root(value)->id];
    while (buffer->merged >= 0) buffer = &plan->buffers[buffer->merged];
    return buffer;
}

/* ---- writing in place ---- */

/* Whether every read of `node` is at the point where the output is written: elementwise work alone lies between. */
static bool is_read_in_place(const Kernel *kernel, const Node *node, bool *at_point) {
    int count = kernel->member_count;
    memset(at_point, 0, sizeof *at_point * (size_t)count);
    at_point[count - 1] = true;
    for (int i = count - 1; i >= 0; i--) {
        const Node *user = kernel->members[i];
        bool elementwise = at_point[i] && op_info[user->op].class == CLASS_ELEMENTWISE;
        for (int k = 0; k < user->input_count; k++) {
            if (user->inputs[k] == node && !elementwise) return false;
            for (int m = i - 1; elementwise && m >= 0; m--)
                if (kernel->members[m] == user->inputs[k]) at_point[m] = true;
        }
    }
    return true;
}

static bool lies_alike(const Value *a, const Value *b) {
    if (a->layout != b->layout || !shape_dims_equal(a->node->shape, b->node->shape) || a->bytes != b->bytes) return false;
    for (int i = 0; i < a->node->shape.rank; i++)
        if (a->strides[i] != b->strides[i]) return false;
    return true;
}

static bool can_write_over(Plan *plan, const Kernel *kernel, int input, int launch) {
    const Value *value = kernel->inputs[input];
    if (value->parent || value->space != SPACE_SLOT || input < kernel_operand_count(kernel)) return false;
    if (buffer_of(plan, value)->last != launch || !lies_alike(value, kernel->output)) return false;
    for (int i = 0; i < kernel->input_count; i++)
        if (i != input && kernel->inputs[i]->space == SPACE_SLOT && buffer_of(plan, kernel->inputs[i]) == buffer_of(plan, value)) return false;
    bool *at_point = NEW_ARRAY(plan->scratch, bool, kernel->member_count);
    return is_read_in_place(kernel, value->node, at_point);
}

static void merge_in_place(Plan *plan) {
    for (int i = 0; i < plan->program->launches.count; i++) {
        Kernel *kernel = plan->program->launches.items[i];
        Value *output = kernel->output;
        if (kernel->member_count == 0 || output->parent || output->space != SPACE_SLOT || output->first != i) continue;
        for (int k = 0; k < kernel->input_count; k++) {
            if (!can_write_over(plan, kernel, k, i)) continue;
            Buffer *over = buffer_of(plan, kernel->inputs[k]);
            over->last = output->last;
            plan->buffers[output->id].merged = (int)(over - plan->buffers);
            break;
        }
    }
}

/* ---- slots ---- */

/* Where a life would stand among a slot's tenants, or -1 where it meets one of them. */
static int find_gap(const Tenants *tenants, Life life) {
    int low = 0, high = tenants->lives.count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (tenants->lives.items[middle].first <= life.last) low = middle + 1;
        else high = middle;
    }
    return low > 0 && tenants->lives.items[low - 1].last >= life.first ? -1 : low;
}

static void move_in(Plan *plan, int slot, int place, Life life) {
    Tenants *tenants = &plan->tenants.items[slot];
    vec_push(plan->scratch, &tenants->lives, life);
    memmove(tenants->lives.items + place + 1, tenants->lives.items + place, sizeof life * (size_t)(tenants->lives.count - 1 - place));
    tenants->lives.items[place] = life;
}

/* Whether a is at least b whatever the sizes are. */
static bool covers(Dims *dims, Dim a, Dim b) {
    int64_t low, high;
    return dim_bounds(dim_sub(dims, a, b), &low, &high) && low >= 0;
}

/* Keeps of a slot's tenants those sizes that may be the largest. */
static void add_size(Program *program, Slot *slot, Dim bytes) {
    Dims *dims = program->graph->dims;
    int kept = 0;
    for (int i = 0; i < slot->bytes.count; i++)
        if (covers(dims, slot->bytes.items[i], bytes)) return;
    for (int i = 0; i < slot->bytes.count; i++)
        if (!covers(dims, bytes, slot->bytes.items[i])) slot->bytes.items[kept++] = slot->bytes.items[i];
    slot->bytes.count = kept;
    vec_push(program->arena, &slot->bytes, bytes);
}

static void assign_slot(Plan *plan, Buffer *buffer) {
    Program *program = plan->program;
    Life life = {buffer->first, buffer->last};
    int place = -1, slot = program->own_slots ? -1 : plan->tenants.count - 1;
    for (; slot >= 0; slot--) { /* later slots are smaller */
        place = find_gap(&plan->tenants.items[slot], life);
        if (place >= 0) break;
    }
    if (slot < 0) {
        slot = plan->tenants.count;
        place = 0;
        vec_push(plan->scratch, &plan->tenants, (Tenants){0});
        vec_push(program->arena, &program->slots, (Slot){0});
    }
    move_in(plan, slot, place, life);
    add_size(program, &program->slots.items[slot], buffer->bytes);
    buffer->slot = slot;
}

static int by_size(const void *a, const void *b) {
    const Buffer *x = *(Buffer *const *)a, *y = *(Buffer *const *)b;
    if (x->typical != y->typical) return x->typical > y->typical ? -1 : 1;
    return x->first != y->first ? x->first - y->first : x < y ? -1 : x > y;
}

static void assign_slots(Plan *plan) {
    Program *program = plan->program;
    Vec(Buffer *) order = {0};
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        bool wants = value->space == SPACE_SLOT && !value->parent && value->first >= 0 && plan->buffers[i].merged < 0;
        if (wants) vec_push(plan->scratch, &order, &plan->buffers[i]);
    }
    if (order.count > 0) qsort(order.items, (size_t)order.count, sizeof(Buffer *), by_size);
    for (int i = 0; i < order.count; i++) assign_slot(plan, order.items[i]);
    for (int i = 0; i < program->values.count; i++) {
        Value *value = program->values.items[i];
        if (value->space == SPACE_SLOT) value->slot = buffer_of(plan, value)->slot;
    }
}

void plan(Program *program) {
    Plan plan = {.program = program, .scratch = arena_new()};
    plan.buffers = NEW_ARRAY(plan.scratch, Buffer, program->values.count);
    find_lives(&plan);
    merge_in_place(&plan);
    assign_slots(&plan);
    arena_free(plan.scratch);
}

Dim program_arena_bytes(const Program *program) {
    Dims *dims = program->graph->dims;
    int64_t sum = 0;
    for (int i = 0; i < program->slots.count; i++) {
        int64_t largest = 0;
        for (int k = 0; k < program->slots.items[i].bytes.count; k++)
            largest = max_i64(largest, dim_typical(dims, program->slots.items[i].bytes.items[k]));
        sum += round_up(largest, 64);
    }
    return dim_const(dims, sum);
}

/* ---- verification: what each slot holds, launch by launch ---- */

void program_verify(const Program *program) {
    Arena *scratch = arena_new();
    const Value **holds = NEW_ARRAY(scratch, const Value *, program->slots.count + 1);
    for (int i = 0; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        for (int k = 0; k < kernel->input_count; k++) {
            const Value *root = value_root(kernel->inputs[k]);
            if (root->space == SPACE_SLOT && (root->slot < 0 || holds[root->slot] != root))
                INTERNAL_ERROR("launch %d (%s) reads value %d, which slot %d does not hold", i, kernel->name, root->id, root->slot);
        }
        const Value *root = value_root(kernel->output);
        if (root->space != SPACE_SLOT) continue;
        if (root->first < i && holds[root->slot] != root)
            INTERNAL_ERROR("launch %d (%s) writes a part of value %d, whose slot another value has taken", i, kernel->name, root->id);
        holds[root->slot] = root;
    }
    arena_free(scratch);
}
