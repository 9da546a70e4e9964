/* Decides where in memory each value lives. A buffer lives from the launch that writes it
 * first to the one that reads it last, its views included; buffers that are never live at
 * the same time may share memory. Memory is a few slots, and each buffer has a place in
 * one of them. The largest buffers are placed first, each where it makes its slot grow
 * least: at the beginning of the slot, or after another buffer.
 *
 * Sizes may be free. Two places must then be disjoint for all sizes; where that cannot be
 * proved (which of N*L*C and N*L*L is larger?) another slot is opened. Choices are
 * compared at typical sizes.
 *
 * A kernel that reads an input for the last time, exactly where it writes, writes into
 * that input's buffer (residual adds).
 *
 * Needs: the final list of launches with resolved values. Gives: first, last and slot of
 * values, program->slots; adds a buffer's place in its slot to the offsets of the values
 * in it. */
#include "plan/stages.h"
#include "core/program.h"
#include <stdlib.h>

enum { ALIGNMENT = CAI_ALIGNMENT /* of every buffer */, COMPARED_MAX = 32 };

typedef struct PlannedBuffer {
    int first, last;
    int64_t typical;
    Dim bytes; /* rounded up to ALIGNMENT */
    int slot;
    Dim begin;  /* in the slot, in bytes */
    int merged; /* the buffer that it continues in place, or -1 */
} PlannedBuffer;

typedef struct Tenant { /* of a slot */
    int first, last;
    Dim begin, end; /* in bytes */
    int64_t typical_begin, typical_end;
} Tenant;

typedef struct Tenants {
    Vec(Tenant) list; /* in the order in which they begin, at typical sizes */
    int64_t typical;  /* the slot's size */
} Tenants;

typedef struct MemoryPlan {
    Program *program;
    Dims *dims;
    Arena *scratch;
    PlannedBuffer *buffers; /* by the id of their value */
    Vec(Tenants) tenants;   /* by slot */
    Vec(Tenant) live;       /* those of a slot that are live at the same time as the buffer to be placed */
} MemoryPlan;

/* ---- writing in place ---- */

static bool keeps_element(const Kernel *kernel, const Node *member, const void *context) {
    (void)kernel, (void)context;
    return op_info[member->op].class == CLASS_ELEMENTWISE;
}

bool lies_alike(const Value *a, const Value *b) {
    if (a->format != b->format || !shape_dims_equal(a->node->shape, b->node->shape) || a->bytes != b->bytes)
        return false;
    for (int i = 0; i < a->node->shape.rank; i++)
        if (a->strides[i] != b->strides[i]) return false;
    return true;
}

/* Puts elements into its first operand, and leaves all others as they are. */
static bool puts_into(const Kernel *kernel, int input) {
    return kernel->anchor && kernel->anchor->op == OP_put && input == 0;
}

bool reads_in_place(const Kernel *kernel, int input) {
    const Value *value = kernel->inputs[input];
    if (value->parent || !lies_alike(value, kernel->output)) return false;
    if (input < kernel_operand_count(kernel)) return puts_into(kernel, input);
    return kernel_reads_at_point(kernel, value->node, keeps_element, NULL);
}

static bool can_write_over(const Kernel *kernel, int input, int launch) {
    const Value *value = kernel->inputs[input];
    if (value->parent || value->space != SPACE_SLOT || value->last != launch) return false;
    for (int i = 0; i < kernel->input_count; i++)
        if (i != input && value_root(kernel->inputs[i]) == value) return false;
    return reads_in_place(kernel, input);
}

static void find_overwritten(Program *program) {
    for (int i = 0; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        Value *output = kernel->output;
        if (kernel->member_count == 0 || output->parent || output->space != SPACE_SLOT) continue;
        if (output->first != first_along(program, i)) continue;
        for (int k = 0; k < kernel->input_count && !output->over; k++)
            if (can_write_over(kernel, k, i)) output->over = kernel->inputs[k];
    }
}

/* ---- lives ---- */

int first_along(const Program *program, int launch) {
    while (launch > 0 && program->launches.items[launch - 1]->fused > 0) launch--;
    return launch;
}

static void touch_value(Value *value, int launch) {
    for (; value; value = value->parent) {
        if (value->first < 0) value->first = launch;
        if (value->last < launch) value->last = launch;
    }
}

/* A value that launches fused by rows use lives as long as all of them. */
static void touch_at(const Program *program, Value *value, int launch) {
    touch_value(value, first_along(program, launch));
    touch_value(value, launch + program->launches.items[launch]->fused);
}

static Dim round_up_bytes(MemoryPlan *plan, Dim bytes) {
    if (dim_div_exact(plan->dims, bytes, dim_const(plan->dims, ALIGNMENT))) return bytes;
    return dim_scale(plan->dims, dim_ceil_div(plan->dims, bytes, ALIGNMENT), ALIGNMENT);
}

void find_lives(Program *program) {
    for (int i = 0; i < program->values.count; i++) {
        Value *value = program->values.items[i];
        value->first = value->last = -1;
        value->over = NULL;
    }
    for (int i = 0; i < program->launches.count; i++) {
        Kernel *kernel = program->launches.items[i];
        touch_at(program, kernel->output, i);
        for (int k = 0; k < kernel->input_count; k++) touch_at(program, kernel->inputs[k], i);
        touch_at(program, kernel->workspace, i);
        for (int k = 0; k < kernel->sum_count; k++) touch_at(program, kernel->sums[k].parts, i);
    }
    find_overwritten(program);
}

static void make_planned_buffers(MemoryPlan *plan) {
    const Program *program = plan->program;
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        Dim bytes = round_up_bytes(plan, value->bytes);
        plan->buffers[i] = (PlannedBuffer){value->first,
                                           value->last,
                                           dim_typical(plan->dims, bytes),
                                           bytes,
                                           -1,
                                           dim_const(plan->dims, 0),
                                           -1};
    }
}

static PlannedBuffer *buffer_of(MemoryPlan *plan, const Value *value) {
    PlannedBuffer *buffer = &plan->buffers[value_root(value)->id];
    while (buffer->merged >= 0) buffer = &plan->buffers[buffer->merged];
    return buffer;
}

static void merge_in_place(MemoryPlan *plan) {
    for (int i = 0; i < plan->program->launches.count; i++) {
        const Value *output = plan->program->launches.items[i]->output;
        PlannedBuffer *over = output->over ? buffer_of(plan, output->over) : NULL;
        if (!over) continue;
        over->last = output->last;
        plan->buffers[output->id].merged = (int)(over - plan->buffers);
    }
}

/* ---- places in slots ---- */

typedef struct SlotChoice { /* of a place */
    int slot;
    Dim begin;
    int64_t growth, typical_begin; /* the least growth is best, then the lowest place */
} SlotChoice;

/* Whether a is at least b for all sizes. */
static bool covers_size(MemoryPlan *plan, Dim a, Dim b) {
    int64_t low, high;
    return a == b || (dim_bounds(dim_sub(plan->dims, a, b), &low, &high) && low >= 0);
}

/* Whether a buffer that begins there is disjoint, for all sizes, from all buffers that
 * are live with it. */
static bool fits_at(MemoryPlan *plan, const PlannedBuffer *buffer, Dim begin) {
    Dim end = dim_add(plan->dims, begin, buffer->bytes);
    for (int i = 0; i < plan->live.count; i++) {
        const Tenant *other = &plan->live.items[i];
        if (!covers_size(plan, other->begin, end) && !covers_size(plan, begin, other->end)) return false;
    }
    return true;
}

/* True where no higher place can be better. */
static bool consider_slot(MemoryPlan *plan, const PlannedBuffer *buffer, int slot, Dim begin,
                          int64_t typical_begin, SlotChoice *best) {
    int64_t growth = max_i64(0, typical_begin + buffer->typical - plan->tenants.items[slot].typical);
    if (growth > best->growth || (growth == best->growth && typical_begin >= best->typical_begin))
        return true;
    if (!fits_at(plan, buffer, begin)) return false;
    *best = (SlotChoice){slot, begin, growth, typical_begin};
    return true;
}

/* Tries the gaps between live tenants, from the lowest up; tenants are in the order in
 * which they typically begin. */
static void search_slot(MemoryPlan *plan, const PlannedBuffer *buffer, int slot, SlotChoice *best) {
    const Tenant *live = plan->live.items;
    int count = plan->live.count;
    int64_t top = 0;
    if ((count == 0 || live[0].typical_begin >= buffer->typical) &&
        consider_slot(plan, buffer, slot, dim_const(plan->dims, 0), 0, best))
        return;
    for (int i = 0; i < count; i++) {
        top = max_i64(top, live[i].typical_end);
        if (i + 1 < count && live[i + 1].typical_begin < top + buffer->typical) continue;
        for (int k = 0; k <= i; k++)
            if (live[k].typical_end == top && consider_slot(plan, buffer, slot, live[k].end, top, best))
                return;
    }
}

/* A new slot is the last resort: it grows by the whole buffer. */
static SlotChoice choose_place(MemoryPlan *plan, const PlannedBuffer *buffer) {
    SlotChoice best = {plan->tenants.count, dim_const(plan->dims, 0), buffer->typical, INT64_MAX};
    for (int s = 0; s < plan->tenants.count && !plan->program->own_slots; s++) {
        const Tenants *tenants = &plan->tenants.items[s];
        plan->live.count = 0;
        for (int i = 0; i < tenants->list.count; i++)
            if (tenants->list.items[i].first <= buffer->last && buffer->first <= tenants->list.items[i].last)
                vec_push(plan->scratch, &plan->live, tenants->list.items[i]);
        search_slot(plan, buffer, s, &best);
    }
    return best;
}

/* Keeps those ends of a slot's tenants that may be the last. Ends that cannot be compared
 * are all kept, such as those of many layers that each take some pixels off the edge. An
 * end is then compared with the last few only, so that thousands of layers do not take
 * minutes. */
static void add_slot_size(MemoryPlan *plan, Slot *slot, Dim bytes) {
    int count = slot->bytes.count, first = count > COMPARED_MAX ? count - COMPARED_MAX : 0, kept = first;
    for (int i = first; i < count; i++)
        if (covers_size(plan, slot->bytes.items[i], bytes)) return;
    for (int i = first; i < count; i++)
        if (!covers_size(plan, bytes, slot->bytes.items[i])) slot->bytes.items[kept++] = slot->bytes.items[i];
    slot->bytes.count = kept;
    vec_push(plan->program->arena, &slot->bytes, bytes);
}

/* Inserts a tenant after those that begin no later. */
static void add_tenant(MemoryPlan *plan, Tenants *tenants, Tenant tenant) {
    vec_push(plan->scratch, &tenants->list, tenant);
    int at = tenants->list.count - 1;
    for (; at > 0 && tenants->list.items[at - 1].typical_begin > tenant.typical_begin; at--)
        tenants->list.items[at] = tenants->list.items[at - 1];
    tenants->list.items[at] = tenant;
}

static void place_buffer(MemoryPlan *plan, PlannedBuffer *buffer) {
    Program *program = plan->program;
    SlotChoice choice = choose_place(plan, buffer);
    if (choice.slot == plan->tenants.count) {
        vec_push(plan->scratch, &plan->tenants, (Tenants){0});
        vec_push(program->arena, &program->slots, (Slot){0});
        choice.typical_begin = 0;
    }
    Tenants *tenants = &plan->tenants.items[choice.slot];
    Tenant tenant = {buffer->first,        buffer->last,
                     choice.begin,         dim_add(plan->dims, choice.begin, buffer->bytes),
                     choice.typical_begin, choice.typical_begin + buffer->typical};
    add_tenant(plan, tenants, tenant);
    tenants->typical = max_i64(tenants->typical, tenant.typical_end);
    add_slot_size(plan, &program->slots.items[choice.slot], tenant.end);
    buffer->slot = choice.slot;
    buffer->begin = choice.begin;
}

static int buffers_by_size(const void *a, const void *b) {
    const PlannedBuffer *x = *(PlannedBuffer *const *)a, *y = *(PlannedBuffer *const *)b;
    if (x->typical != y->typical) return x->typical > y->typical ? -1 : 1;
    return x->first != y->first ? x->first - y->first : x < y ? -1 : x > y;
}

static void place_all_buffers(MemoryPlan *plan) {
    Program *program = plan->program;
    Vec(PlannedBuffer *) order = {0};
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        bool wants =
            value->space == SPACE_SLOT && !value->parent && value->first >= 0 && plan->buffers[i].merged < 0;
        if (wants) vec_push(plan->scratch, &order, &plan->buffers[i]);
    }
    if (order.count > 0) qsort(order.items, (size_t)order.count, sizeof(PlannedBuffer *), buffers_by_size);
    for (int i = 0; i < order.count; i++) place_buffer(plan, order.items[i]);
    for (int i = 0; i < program->values.count; i++) {
        Value *value = program->values.items[i];
        if (value->space != SPACE_SLOT) continue;
        const PlannedBuffer *buffer = buffer_of(plan, value);
        value->slot = buffer->slot;
        Dim begin = dim_floor_div(plan->dims, buffer->begin, dtype_bytes(value->node->shape.type));
        value->offset = dim_add(plan->dims, value->offset, begin);
    }
}

void plan(Program *program) {
    MemoryPlan plan = {.program = program, .dims = program->graph->dims, .scratch = arena_new()};
    plan.buffers = NEW_ARRAY(plan.scratch, PlannedBuffer, program->values.count);
    find_lives(program);
    make_planned_buffers(&plan);
    merge_in_place(&plan);
    place_all_buffers(&plan);
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

int64_t program_scratch_bytes(const Program *program) {
    int64_t max = 0;
    for (int i = 0; i < program->launches.count; i++) {
        Dim scratch = program->launches.items[i]->proposal.memory.scratch;
        if (scratch) max = max_i64(max, dim_typical(program->graph->dims, scratch));
    }
    return max;
}

/* ---- verification: the contents of memory at typical sizes, launch by launch ---- */

typedef struct Held { const Value *root; int64_t begin, end; } Held; /* in bytes of its slot */

typedef Vec(Held) HeldList;

static Held range_of_root(const Program *program, const Value *root) {
    const Dims *dims = program->graph->dims;
    int64_t begin = dim_typical(dims, root->offset) * dtype_bytes(root->node->shape.type);
    return (Held){root, begin, begin + dim_typical(dims, root->bytes)};
}

static bool is_held(const HeldList *slot, const Value *root) {
    for (int i = 0; i < slot->count; i++)
        if (slot->items[i].root == root) return true;
    return false;
}

/* A write replaces everything that it overlaps. */
static void hold_range(Arena *arena, HeldList *slot, Held held) {
    int kept = 0;
    for (int i = 0; i < slot->count; i++)
        if (slot->items[i].end <= held.begin || held.end <= slot->items[i].begin)
            slot->items[kept++] = slot->items[i];
    slot->count = kept;
    vec_push(arena, slot, held);
}

void program_verify(const Program *program) {
    Arena *scratch = arena_new();
    HeldList *slots = NEW_ARRAY(scratch, HeldList, program->slots.count + 1);
    /* inputs, by outputs that share their memory */
    bool *replaced = NEW_ARRAY(scratch, bool, program->graph->inputs.count + 1);
    for (int i = 0; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        for (int k = 0; k < kernel->input_count; k++) {
            const Value *root = value_root(kernel->inputs[k]);
            if (root->space == SPACE_SLOT && (root->slot < 0 || !is_held(&slots[root->slot], root)))
                INTERNAL_ERROR("launch %d (%s) reads value %d, which slot %d does not hold", i, kernel->name,
                               root->id, root->slot);
            if (root->space == SPACE_INPUT && replaced[root->slot])
                INTERNAL_ERROR("launch %d (%s) reads input %d, in whose place there is something new", i,
                               kernel->name, root->slot);
        }
        const Value *root = value_root(kernel->output), *workspace = kernel->workspace;
        if (workspace) hold_range(scratch, &slots[workspace->slot], range_of_root(program, workspace));
        for (int k = 0; k < kernel->sum_count; k++) {
            const Value *parts = kernel->sums[k].parts;
            hold_range(scratch, &slots[parts->slot], range_of_root(program, parts));
        }
        if (root->space == SPACE_OUTPUT && program_shared_input(program, root->slot) >= 0)
            replaced[program_shared_input(program, root->slot)] = true;
        if (root->space != SPACE_SLOT || is_held(&slots[root->slot], root)) continue;
        if (root->first < first_along(program, i))
            INTERNAL_ERROR("launch %d (%s) writes a part of value %d, whose place has been taken", i,
                           kernel->name, root->id);
        hold_range(scratch, &slots[root->slot], range_of_root(program, root));
    }
    arena_free(scratch);
}
