/* Decides the layout of each tensor in memory. Tensors of rank 4 between convolutions are
 * BLOCKED, all others PLAIN. Values that should have equal layouts (the operands and the
 * result of elementwise work, a concatenation and its parts) form a group, which has one
 * format. A value that proposals prefer in the other format is copied, once for all its
 * readers in that format (schedule.c): a group takes the format in which its copies cost
 * less.
 *
 * Needs: kernels with their proposals. Gives: program->launches; layout, space, parent,
 * strides, offset and bytes of every value. */
#include "plan/layout.h"

LayoutState *layout_state(Layout *l, const Value *value) {
    while (l->states.count <= value->id) {
        LayoutState states = {.group = l->states.count};
        vec_push(l->low->scratch, &l->states, states);
    }
    return &l->states.items[value->id];
}

/* ---- groups and preferences ---- */

bool can_be_blocked(Shape shape) {
    return dtype_is_float(shape.type) && shape.rank == 4 && dim_is_const(shape.dims[1], NULL);
}

/* A map of one pixel: the channels are contiguous in PLAIN already. */
bool is_one_pixel(Shape shape) {
    return shape.rank == 4 && dim_is_one(shape.dims[2]) && dim_is_one(shape.dims[3]);
}

bool channels_fill_blocks(int64_t channels, int lanes) { return 2 * channels >= lanes; }

/* Whether the value may be BLOCKED at all. */
static bool is_blockable(const Layout *l, const Value *value) {
    Shape shape = value->node->shape;
    if (value->space != SPACE_SLOT || !can_be_blocked(shape) || is_one_pixel(shape)) return false;
    return channels_fill_blocks(dim_const_value(shape.dims[1]), l->lanes);
}

static int find_layout_group(Layout *l, const Value *value) {
    int at = layout_state(l, value)->group;
    while (l->states.items[at].group != at)
        at = l->states.items[at].group = l->states.items[l->states.items[at].group].group;
    l->states.items[value->id].group = at;
    return at;
}

/* The state of the whole group. States move as their array grows: a pointer to one is
 * valid until the next call. */
static LayoutState *group_of(Layout *l, const Value *value) {
    int group = find_layout_group(l, value);
    return &l->states.items[group];
}

static void merge_layout_groups(Layout *l, const Value *a, const Value *b) {
    if (!is_blockable(l, a) || !is_blockable(l, b)) return;
    int ga = find_layout_group(l, a), gb = find_layout_group(l, b);
    if (ga == gb) return;
    l->states.items[gb].group = ga;
    l->states.items[ga].never_blocked |= l->states.items[gb].never_blocked;
}

/* Packing reads its operand PLAIN. */
static void note_preference(Layout *l, const Value *value, const Format *preference) {
    if (!preference) return;
    LayoutState *states = layout_state(l, value);
    if (preference == l->program->blocked) states->wanted_blocked = true;
    else states->wanted_plain = true;
}

/* Whether every part of the concatenation begins at a block of channels. */
static bool parts_are_aligned(Layout *l, const Node *concat) {
    if (ATTRIBUTES(concat, concat)->axis != 1) return true;
    for (int i = 0; i + 1 < concat->input_count; i++) {
        int64_t channels;
        if (!dim_is_const(concat->inputs[i]->shape.dims[1], &channels) || channels % l->lanes) return false;
    }
    return true;
}

static void want_concat(Layout *l, const Kernel *kernel) {
    bool aligned = parts_are_aligned(l, kernel->output->node);
    if (!aligned) group_of(l, kernel->output)->never_blocked = true;
    for (int i = 0; i < kernel->input_count; i++) {
        if (aligned) merge_layout_groups(l, kernel->output, kernel->inputs[i]);
        else note_preference(l, kernel->inputs[i], &format_plain);
    }
}

static void want_kernel(Layout *l, const Kernel *kernel) {
    const Proposal *proposal = &kernel->proposal;
    note_preference(l, kernel->output, proposal->output);
    for (int i = 0; i < kernel->input_count; i++) {
        const Format *preference = proposal->inputs[i].format;
        note_preference(l, kernel->inputs[i], preference);
        bool operand = i < kernel_operand_count(kernel);
        bool alike = operand ? !preference && !proposal->output
                             : shape_dims_equal(kernel->inputs[i]->node->shape, kernel->output->node->shape);
        if (alike) merge_layout_groups(l, kernel->output, kernel->inputs[i]);
    }
}

static void want_view(Layout *l, const Kernel *kernel) {
    if (kernel->member_count > 1) return;
    if (kernel->members[0]->op == OP_slice) merge_layout_groups(l, kernel->output, kernel->inputs[0]);
    if (kernel->members[0]->op != OP_reshape) return;
    note_preference(l, kernel->inputs[0], &format_plain);
    group_of(l, kernel->output)->never_blocked = true;
}

/* A value that is preferred in both formats is copied in any case. */
static void count_copies(Layout *l) {
    for (int i = 0; i < l->program->values.count; i++) {
        const Value *value = l->program->values.items[i];
        const LayoutState *states = layout_state(l, value);
        if (states->wanted_plain == states->wanted_blocked) continue;
        double cycles = reorder_cycles(l->program, value->node, &format_plain, l->program->blocked);
        if (states->wanted_blocked) cycles = -cycles;
        group_of(l, value)->blocked_cycles += cycles;
    }
}

static void decide_layouts(Layout *l) {
    for (int i = 0; i < l->low->kernels.count; i++) {
        const Kernel *kernel = l->low->kernels.items[i];
        layout_state(l, kernel->output)->producer = l->low->kernels.items[i];
        if (kernel_is_concat(kernel)) want_concat(l, kernel);
        else if (kernel_is_view(kernel)) want_view(l, kernel);
        else want_kernel(l, kernel);
        if (l->low->is_output[kernel->output->node->id]) note_preference(l, kernel->output, &format_plain);
    }
    count_copies(l);
    for (int i = 0; i < l->program->values.count; i++) {
        Value *value = l->program->values.items[i];
        const LayoutState *group = group_of(l, value);
        bool blocked = is_blockable(l, value) && group->blocked_cycles < 0 && !group->never_blocked;
        value->format = blocked ? l->program->blocked : &format_plain;
    }
}

void layout(Lowering *low) {
    Layout l = {.low = low,
                .program = low->program,
                .dims = low->program->graph->dims,
                .lanes = low->program->target->lanes};
    decide_layouts(&l);
    place_all(&l);
    launch_all(&l);
    for (int i = 0; i < low->program->values.count; i++) {
        Value *value = low->program->values.items[i], *root = value_root(value);
        resolve(&l, value);
        value->space = root->space;
        if (value->parent) value->slot = root->slot;
    }
}
