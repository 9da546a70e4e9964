/* The list of launches: kernels in order, and between them the copies without which a kernel would not get its layout, a concatenation
 * its parts, or the caller an output. */
#include "plan/layout.h"

/* ---- launches ---- */

static void schedule_kernel(Layout *l, Kernel *kernel) {
    vec_push(l->program->arena, &l->program->launches, kernel);
}

static void launch_copy(Layout *l, Value *from, Value *to) {
    Kernel *kernel = kernel_new(l->program, NULL, to);
    kernel_add_input(kernel, from);
    kernel_set_kind(kernel, l->program->table->copies);
    resolve(l, from);
    resolve(l, to);
    l->program->copies++;
    schedule_kernel(l, kernel);
}

/* Whether PLAIN and BLOCKED are the same bytes, for a value with a buffer of its own. */
static bool layouts_coincide(Layout *l, const Value *value) {
    return is_one_pixel(value->node->shape) && dim_const_value(value->node->shape.dims[1]) % l->lanes == 0 && !value->parent &&
           value->space == SPACE_SLOT;
}

/* The same bytes. */
static void lie_in(Layout *l, Value *view, Value *parent) {
    view->parent = parent;
    layout_state(l, view)->place.kind = PLACE_DENSE;
}

/* `value` in the layout wished for, copied the first time somebody wishes it; a weight is
 * packed so while building. LAYOUT_ANY stands for dense and PLAIN. */
static Value *in_layout(Layout *l, Value *value, LayoutKind preference) {
    if (preference == LAYOUT_ANY ? is_dense(l, value) : value->layout == preference) return value;
    LayoutKind layout = preference == LAYOUT_ANY ? LAYOUT_PLAIN : preference;
    Value *copy = layout_state(l, value)->copies[preference];
    if (copy) return copy;
    bool weight = value->space == SPACE_WEIGHTS;
    copy = value_new(l->program, value->node, layout, weight ? SPACE_WEIGHTS : SPACE_SLOT);
    if (layout != value->layout && layouts_coincide(l, value)) lie_in(l, copy, value);
    else if (!weight) launch_copy(l, value, copy);
    resolve(l, copy);
    return layout_state(l, value)->copies[preference] = copy;
}

static void launch_view(Layout *l, Kernel *kernel) {
    Value *from = kernel->inputs[0], *view = kernel->output;
    if (from->parent == view) return; /* its operand was made in its place */
    bool reshape = kernel->member_count == 1 && kernel->members[0]->op == OP_reshape;
    bool made = (!reshape || reshape_is_trivial(view->node)) && make_view(l, kernel);
    if (!made && reshape) lie_in(l, view, in_layout(l, from, LAYOUT_ANY));
    if (!made && !reshape) {
        resolve(l, from);
        schedule_kernel(l, kernel);
    }
    resolve(l, view);
}

static void launch_concat(Layout *l, Kernel *kernel) {
    int axis = (int)ATTRIBUTES(kernel->output->node, concat)->axis;
    Dim begin = dim_const(l->dims, 0);
    for (int i = 0; i < kernel->input_count; i++) {
        Value *part = kernel->inputs[i];
        const Position *place = &layout_state(l, part)->place;
        bool in_place = part->parent == kernel->output && place->kind == PLACE_PART && place->begin == begin;
        if (!in_place) {
            Value *copy = value_new(l->program, part->node, kernel->output->layout, SPACE_SLOT);
            copy->parent = kernel->output;
            layout_state(l, copy)->place = (Position){PLACE_PART, axis, begin};
            launch_copy(l, part, copy);
        }
        begin = dim_add(l->dims, begin, part->node->shape.dims[axis]);
    }
}

/* A weight that elementwise work on a BLOCKED tensor reads along channels and pixels at once is packed in blocks too. */
static Value *weight_in_layout(Layout *l, Kernel *kernel, Value *weight) {
    Shape shape = weight->node->shape;
    if (kernel->output->layout != LAYOUT_BLOCKED || shape.rank != 4 || !dtype_is_float(shape.type)) return weight;
    if (shape.dims[1] != kernel->output->node->shape.dims[1] || (dim_is_one(shape.dims[2]) && dim_is_one(shape.dims[3]))) return weight;
    return in_layout(l, weight, LAYOUT_BLOCKED);
}

static void launch_kernel(Layout *l, Kernel *kernel) {
    const Proposal *proposal = &kernel->proposal;
    LayoutKind output = proposal->output;
    Value *made = kernel->output;
    if (output != LAYOUT_ANY && output != made->layout) {
        kernel->output = value_new(l->program, made->node, output, SPACE_SLOT);
        layout_state(l, made)->copies[output] = kernel->output;
    }
    resolve(l, kernel->output);
    for (int i = 0; i < kernel->input_count; i++) {
        resolve(l, kernel->inputs[i]);
        LayoutKind preference = proposal->inputs[i].layout;
        if (preference != LAYOUT_ANY) kernel->inputs[i] = in_layout(l, kernel->inputs[i], preference);
        else if (kernel->inputs[i]->space == SPACE_WEIGHTS && i >= kernel_operand_count(kernel))
            kernel->inputs[i] = weight_in_layout(l, kernel, kernel->inputs[i]);
    }
    schedule_kernel(l, kernel);
    if (kernel->output == made) return;
    if (layouts_coincide(l, made)) lie_in(l, made, kernel->output);
    else launch_copy(l, kernel->output, made);
}

static void launch_output(Layout *l, PortCopy copy) {
    Value *to = value_new(l->program, copy.from->node, LAYOUT_PLAIN, SPACE_OUTPUT);
    to->slot = copy.port;
    launch_copy(l, copy.from, to);
}

static bool is_state(const Layout *l, PortCopy copy) { return program_shared_input(l->program, copy.port) >= 0; }

/* A state whose new value is the old one. */
static bool is_unchanged(const Layout *l, PortCopy copy) {
    return copy.from->space == SPACE_INPUT && !copy.from->parent && copy.from->slot == program_shared_input(l->program, copy.port);
}

/* Copies what was just made to all outputs of the model that it is. */
static void launch_outputs(Layout *l, const Value *from) {
    for (int i = 0; i < l->port_copies.count; i++)
        if (l->port_copies.items[i].from == from && !is_state(l, l->port_copies.items[i])) launch_output(l, l->port_copies.items[i]);
}

/* New values of states, when nobody reads an old one any more. What is another state's old value is copied out of its way first. */
static void launch_states(Layout *l) {
    for (int i = 0; i < l->port_copies.count; i++) {
        PortCopy *copy = &l->port_copies.items[i];
        if (!is_state(l, *copy) || value_root(copy->from)->space != SPACE_INPUT || is_unchanged(l, *copy)) continue;
        Value *aside = value_new(l->program, copy->from->node, LAYOUT_PLAIN, SPACE_SLOT);
        launch_copy(l, copy->from, aside);
        copy->from = aside;
    }
    for (int i = 0; i < l->port_copies.count; i++)
        if (is_state(l, l->port_copies.items[i]) && !is_unchanged(l, l->port_copies.items[i])) launch_output(l, l->port_copies.items[i]);
}

/* Copies that nobody came to read. */
static void drop_unread_copies(Layout *l) {
    Program *program = l->program;
    bool *read = NEW_ARRAY(l->low->scratch, bool, program->values.count);
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        if (value->parent) read[value->parent->id] = read[value->id] = true;
    }
    int kept = program->launches.count;
    for (int i = program->launches.count - 1; i >= 0; i--) {
        Kernel *kernel = program->launches.items[i];
        bool wanted = kernel->member_count > 0 || kernel->output->space == SPACE_OUTPUT || read[kernel->output->id];
        for (int k = 0; wanted && k < kernel->input_count; k++) read[kernel->inputs[k]->id] = true;
        if (wanted) program->launches.items[--kept] = kernel;
        else program->copies--;
    }
    program->launches.count -= kept;
    memmove(program->launches.items, program->launches.items + kept, sizeof(Kernel *) * (size_t)program->launches.count);
}

void launch_all(Layout *l) {
    Lowering *low = l->low;
    for (int i = 0; i < low->kernels.count; i++) {
        Kernel *kernel = low->kernels.items[i];
        Value *made = kernel->output;
        if (kernel_is_concat(kernel)) launch_concat(l, kernel);
        else if (kernel_is_view(kernel)) launch_view(l, kernel);
        else launch_kernel(l, kernel);
        if (layout_state(l, made)->copied_out) launch_outputs(l, made);
    }
    for (int i = 0; i < l->port_copies.count; i++) /* inputs and weights that are outputs */
        if (!layout_state(l, l->port_copies.items[i].from)->producer && !is_state(l, l->port_copies.items[i]))
            launch_output(l, l->port_copies.items[i]);
    launch_states(l);
    drop_unread_copies(l);
}
