/* The list of launches: kernels in order, and between them the copies that kernels need
 * for their layouts, concatenations for their parts, and the caller for outputs. */
#include "plan/layout.h"

/* ---- launches ---- */

static void schedule_kernel(Layout *l, Kernel *kernel) {
    vec_push(l->program->arena, &l->program->launches, kernel);
}

static Value *in_format(Layout *l, Value *value, const Format *format);

/* A weight that elementwise work on a BLOCKED tensor reads along channels and pixels at
 * once lies in blocks too. */
static Value *weight_in_format(Layout *l, Kernel *kernel, Value *weight) {
    Shape shape = weight->node->shape;
    if (!is_blocked(kernel->output) || shape.rank != 4 || !dtype_is_float(shape.type)) return weight;
    if (shape.dims[1] != kernel->output->node->shape.dims[1] || is_one_pixel(shape)) return weight;
    return in_format(l, weight, kernel->output->format);
}

/* The kernel's inputs as it wants them. */
static void grant_inputs(Layout *l, Kernel *kernel) {
    for (int i = 0; i < kernel->input_count; i++) {
        Value **input = &kernel->inputs[i];
        const Format *preference = kernel->proposal.inputs[i].format;
        resolve(l, *input);
        if (preference) *input = in_format(l, *input, preference);
        else if ((*input)->space == SPACE_WEIGHTS && i >= kernel_operand_count(kernel))
            *input = weight_in_format(l, kernel, *input);
    }
}

static void launch_copy(Layout *l, Value *from, Value *to) {
    Kernel *kernel = kernel_new(l->program, NULL, to);
    kernel_add_input(kernel, from);
    select_kind(l->low, kernel);
    grant_inputs(l, kernel);
    resolve(l, to);
    l->program->copies++;
    schedule_kernel(l, kernel);
}

/* Whether PLAIN and BLOCKED are the same bytes, for a value with a buffer of its own. */
static bool layouts_coincide(Layout *l, const Value *value) {
    return is_one_pixel(value->node->shape) && dim_const_value(value->node->shape.dims[1]) % l->lanes == 0 &&
           !value->parent && value->space == SPACE_SLOT;
}

/* The same bytes. */
static void lie_in(Layout *l, Value *view, Value *parent) {
    view->parent = parent;
    layout_state(l, view)->place.kind = PLACE_DENSE;
}

static Value *new_copy(Layout *l, Value *value, const Format *format) {
    bool weight = value->space == SPACE_WEIGHTS;
    Value *copy = value_new(l->program, value->node, format, weight ? SPACE_WEIGHTS : SPACE_SLOT);
    if (is_packed(copy)) copy->bytes = dim_const(l->dims, format_bytes(format, value->node));
    if (!is_packed(copy) && format != value->format && layouts_coincide(l, value)) lie_in(l, copy, value);
    else if (!weight) launch_copy(l, value, copy);
    resolve(l, copy);
    vec_push(l->low->scratch, &layout_state(l, value)->copies, copy);
    return copy;
}

/* In a step of several parts a packed weight of the run would wait for the next part, and
 * take more memory than the part does. */
static bool waits_for_next_part(const Layout *l, const Value *value, const Value *copy) {
    int parts = l->program->parts, since = l->program->launches.count - l->states.items[copy->id].wanted_at;
    return parts > 1 && value->space == SPACE_INPUT && since > l->low->kernels.count / (2 * parts);
}

/* `value` copied into a format, the first time a kernel wants it; a weight is packed so
 * while building. */
static Value *copy_in_format(Layout *l, Value *value, const Format *format) {
    const LayoutState *states = layout_state(l, value);
    Value *found = NULL;
    for (int i = 0; i < states->copies.count; i++) {
        Value *copy = states->copies.items[i];
        if (format_equal(copy->format, format) && !waits_for_next_part(l, value, copy)) found = copy;
    }
    if (!found) found = new_copy(l, value, format);
    layout_state(l, found)->wanted_at = l->program->launches.count;
    return found;
}

static Value *in_format(Layout *l, Value *value, const Format *format) {
    return format_equal(value->format, format) ? value : copy_in_format(l, value, format);
}

static void launch_view(Layout *l, Kernel *kernel) {
    Value *from = kernel->inputs[0], *view = kernel->output;
    if (from->parent == view) return; /* its operand was computed in place */
    bool reshape = kernel->member_count == 1 && kernel->members[0]->op == OP_reshape;
    bool made = (!reshape || reshape_is_trivial(view->node)) && make_view(l, kernel);
    if (!made && reshape) lie_in(l, view, is_dense(l, from) ? from : copy_in_format(l, from, &format_plain));
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
            Value *copy = value_new(l->program, part->node, kernel->output->format, SPACE_SLOT);
            copy->parent = kernel->output;
            layout_state(l, copy)->place = (Position){PLACE_PART, axis, begin};
            launch_copy(l, part, copy);
        }
        begin = dim_add(l->dims, begin, part->node->shape.dims[axis]);
    }
}

static void launch_kernel(Layout *l, Kernel *kernel) {
    const Format *output = kernel->proposal.output;
    Value *made = kernel->output;
    if (output && output != made->format) {
        kernel->output = value_new(l->program, made->node, output, SPACE_SLOT);
        vec_push(l->low->scratch, &layout_state(l, made)->copies, kernel->output);
    }
    resolve(l, kernel->output);
    grant_inputs(l, kernel);
    schedule_kernel(l, kernel);
    if (kernel->output == made) return;
    if (layouts_coincide(l, made)) lie_in(l, made, kernel->output);
    else launch_copy(l, kernel->output, made);
}

static void launch_output(Layout *l, PortCopy copy) {
    Value *to = value_new(l->program, copy.from->node, &format_plain, SPACE_OUTPUT);
    to->slot = copy.port;
    launch_copy(l, copy.from, to);
}

static bool is_state(const Layout *l, PortCopy copy) {
    return program_shared_input(l->program, copy.port) >= 0;
}

/* A state whose new value is the old one. */
static bool is_unchanged(const Layout *l, PortCopy copy) {
    return copy.from->space == SPACE_INPUT && !copy.from->parent &&
           copy.from->slot == program_shared_input(l->program, copy.port);
}

/* Copies a value that was just computed to all outputs of the model that it is. */
static void launch_outputs(Layout *l, const Value *from) {
    for (int i = 0; i < l->port_copies.count; i++)
        if (l->port_copies.items[i].from == from && !is_state(l, l->port_copies.items[i]))
            launch_output(l, l->port_copies.items[i]);
}

/* New values of states, when nobody reads an old one any more. What is another state's
 * old value is copied out of its way first. */
static void launch_states(Layout *l) {
    for (int i = 0; i < l->port_copies.count; i++) {
        PortCopy *copy = &l->port_copies.items[i];
        if (!is_state(l, *copy) || value_root(copy->from)->space != SPACE_INPUT || is_unchanged(l, *copy))
            continue;
        Value *aside = value_new(l->program, copy->from->node, &format_plain, SPACE_SLOT);
        launch_copy(l, copy->from, aside);
        copy->from = aside;
    }
    for (int i = 0; i < l->port_copies.count; i++)
        if (is_state(l, l->port_copies.items[i]) && !is_unchanged(l, l->port_copies.items[i]))
            launch_output(l, l->port_copies.items[i]);
}

/* Drops copies without readers. */
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
        bool wanted =
            kernel->member_count > 0 || kernel->output->space == SPACE_OUTPUT || read[kernel->output->id];
        for (int k = 0; wanted && k < kernel->input_count; k++) read[kernel->inputs[k]->id] = true;
        if (wanted) program->launches.items[--kept] = kernel;
        else program->copies--;
    }
    if (!kept) return; /* nothing is left out, or there is no list at all */
    program->launches.count -= kept;
    memmove(program->launches.items, program->launches.items + kept,
            sizeof(Kernel *) * (size_t)program->launches.count);
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
