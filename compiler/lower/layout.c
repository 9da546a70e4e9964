/* How each tensor lies in memory, and what becomes a view.
 *
 * Tensors of rank 4 between convolutions are BLOCKED, all others PLAIN. Values that want to be alike (the operands and the result
 * of elementwise work, a concatenation and its parts) form a group; every kind of kernel that insists on a layout votes in its
 * bytes, and a group takes the layout of the majority. Where a kernel insists on the other one, a copy stands in between, made once
 * for all its readers.
 *
 * Parts of a concatenation are made in place where they have no other home; reshapes of dense values and slices are views.
 *
 * Needs: kernels with their kinds. Gives: program->launches; layout, space, parent, strides, offset and bytes of every value. */
#include "lower/stages.h"

typedef enum PlaceKind {
    PLACE_RESHAPE,         /* the same elements in the same places */
    PLACE_PART,            /* a part of the parent, a concatenation */
    PLACE_SLICE,           /* the parent's slice */
    PLACE_TRANSPOSE,       /* the parent's transpose */
    PLACE_BEFORE_TRANSPOSE /* the parent is the transpose of this */
} PlaceKind;

typedef struct Position { /* how a value lies in its parent */
    PlaceKind kind;
    int axis;          /* PLACE_PART */
    Dim begin;         /* PLACE_PART */
} Position;

typedef struct Facts { /* of a value */
    int group;             /* union-find: the value it follows, or itself */
    double votes;          /* of a group's representative: bytes that want BLOCKED less those that want PLAIN */
    bool never_blocked;
    Kernel *producer;
    int readers;           /* kernels that read it */
    bool strided;          /* all of them take it with any strides */
    Value *copies[3];      /* by LayoutKind: the same tensor in another layout; [LAYOUT_ANY]: dense and PLAIN */
    bool copied_out;       /* some of port_copies is from it */
    Position place;
} Facts;

typedef struct PortCopy { Value *from; int port; } PortCopy;

typedef struct Layout {
    Lowering *low;
    Program *program;
    Dims *dims;
    Vec(Facts) facts;          /* by value id */
    Vec(PortCopy) port_copies; /* outputs of the model that have to be copied from elsewhere */
    int lanes;
} Layout;

static Facts *facts_of(Layout *l, const Value *value) {
    while (l->facts.count <= value->id) {
        Facts facts = {.group = l->facts.count};
        vec_push(l->low->scratch, &l->facts, facts);
    }
    return &l->facts.items[value->id];
}

static bool is_one(Dim dim) {
    int64_t one;
    return dim_is_const(dim, &one) && one == 1;
}

/* ---- groups and votes ---- */

static bool can_be_blocked(Shape shape) {
    return shape.type == DTYPE_F32 && shape.rank == 4 && dim_is_const(shape.dims[1], NULL);
}

/* One pixel: PLAIN has the channels side by side already. */
static bool is_one_pixel(Shape shape) {
    return shape.rank == 4 && is_one(shape.dims[2]) && is_one(shape.dims[3]);
}

/* Whether the value has a choice of its layout. With few channels BLOCKED would be mostly spare lanes. */
static bool is_blockable(const Layout *l, const Value *value) {
    Shape shape = value->node->shape;
    if (value->space != SPACE_SLOT || !can_be_blocked(shape) || is_one_pixel(shape)) return false;
    return 2 * dim_const_value(shape.dims[1]) >= l->lanes;
}

static int find_group(Layout *l, const Value *value) {
    int at = facts_of(l, value)->group;
    while (l->facts.items[at].group != at) at = l->facts.items[at].group = l->facts.items[l->facts.items[at].group].group;
    l->facts.items[value->id].group = at;
    return at;
}

static void unite(Layout *l, const Value *a, const Value *b) {
    if (!is_blockable(l, a) || !is_blockable(l, b)) return;
    int ga = find_group(l, a), gb = find_group(l, b);
    if (ga == gb) return;
    l->facts.items[gb].group = ga;
    l->facts.items[ga].votes += l->facts.items[gb].votes;
    l->facts.items[ga].never_blocked |= l->facts.items[gb].never_blocked;
}

static void vote(Layout *l, const Value *value, LayoutKind wish) {
    if (wish == LAYOUT_ANY) return;
    double bytes = (double)node_typical_bytes(l->program, value->node);
    l->facts.items[find_group(l, value)].votes += wish == LAYOUT_BLOCKED ? bytes : -bytes;
}

/* Whether every part of the concatenation begins at a whole block of channels. */
static bool parts_are_aligned(Layout *l, const Node *concat) {
    if (ATTRIBUTES(concat, concat)->axis != 1) return true;
    for (int i = 0; i + 1 < concat->input_count; i++) {
        int64_t channels;
        if (concat->inputs[i]->shape.rank < 2 || !dim_is_const(concat->inputs[i]->shape.dims[1], &channels) || channels % l->lanes) return false;
    }
    return true;
}

static void vote_concat(Layout *l, const Kernel *kernel) {
    bool aligned = parts_are_aligned(l, kernel->output->node);
    if (!aligned) l->facts.items[find_group(l, kernel->output)].never_blocked = true;
    for (int i = 0; i < kernel->input_count; i++) {
        if (aligned) unite(l, kernel->output, kernel->inputs[i]);
        else vote(l, kernel->inputs[i], LAYOUT_PLAIN);
    }
}

/* A kind's wishes as they will hold: BLOCKED only for what can be. */
static LayoutKind *wishes_of(Layout *l, const Kernel *kernel, LayoutKind *output) {
    LayoutKind *inputs = NEW_ARRAY(l->low->scratch, LayoutKind, kernel->input_count + 1);
    *output = LAYOUT_ANY;
    kernel->kind->layouts(kernel, l->program->target, output, inputs);
    if (*output == LAYOUT_BLOCKED && !can_be_blocked(kernel->output->node->shape)) *output = LAYOUT_ANY;
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *input = kernel->inputs[i];
        if (input->space == SPACE_WEIGHTS || (inputs[i] == LAYOUT_BLOCKED && !can_be_blocked(input->node->shape))) inputs[i] = LAYOUT_ANY;
    }
    return inputs;
}

static void vote_kernel(Layout *l, const Kernel *kernel) {
    LayoutKind output, *inputs = wishes_of(l, kernel, &output);
    vote(l, kernel->output, output);
    for (int i = 0; i < kernel->input_count; i++) {
        vote(l, kernel->inputs[i], inputs[i]);
        bool operand = i < kernel_operand_count(kernel);
        bool alike = operand ? inputs[i] == LAYOUT_ANY && output == LAYOUT_ANY
                             : shape_dims_equal(kernel->inputs[i]->node->shape, kernel->output->node->shape);
        if (alike) unite(l, kernel->output, kernel->inputs[i]);
    }
}

static void vote_view(Layout *l, const Kernel *kernel) {
    if (kernel->members[0]->op == OP_slice) unite(l, kernel->output, kernel->inputs[0]);
    if (kernel->members[0]->op != OP_reshape) return;
    vote(l, kernel->inputs[0], LAYOUT_PLAIN);
    l->facts.items[find_group(l, kernel->output)].never_blocked = true;
}

static void decide_layouts(Layout *l) {
    for (int i = 0; i < l->low->kernels.count; i++) {
        const Kernel *kernel = l->low->kernels.items[i];
        facts_of(l, kernel->output)->producer = l->low->kernels.items[i];
        if (kernel_is_concat(kernel)) vote_concat(l, kernel);
        else if (kernel_is_view(kernel)) vote_view(l, kernel);
        else vote_kernel(l, kernel);
        if (l->low->is_output[kernel->output->node->id]) vote(l, kernel->output, LAYOUT_PLAIN);
    }
    for (int i = 0; i < l->program->values.count; i++) {
        Value *value = l->program->values.items[i];
        const Facts *group = &l->facts.items[find_group(l, value)];
        value->layout = is_blockable(l, value) && group->votes > 0 && !group->never_blocked ? LAYOUT_BLOCKED : LAYOUT_PLAIN;
    }
}

/* ---- homes: outputs of the model, parts of concatenations ---- */

/* The value whose buffer will hold `value` if every reshape on the way is a view. */
static Value *before_reshapes(Layout *l, Value *value) {
    for (;;) {
        const Kernel *producer = facts_of(l, value)->producer;
        if (!producer || !kernel_is_view(producer) || producer->members[0]->op != OP_reshape) return value;
        value = producer->inputs[0];
    }
}

/* Outputs of the model are made where the caller wants them if they can be; else they are copied there. */
static void settle_outputs(Layout *l) {
    Graph *graph = l->program->graph;
    for (int i = 0; i < graph->outputs.count; i++) {
        Node *node = graph->outputs.items[i].node;
        Value **value = &l->low->value_of[node->id];
        if (!*value) *value = value_new(l->program, node, LAYOUT_PLAIN, SPACE_WEIGHTS);
        Value *home = before_reshapes(l, *value);
        bool view = home != *value;
        if (home->space == SPACE_SLOT && home->layout == LAYOUT_PLAIN && !(view && l->low->is_output[home->node->id])) {
            home->space = SPACE_OUTPUT;
            home->slot = i;
        } else {
            facts_of(l, *value)->copied_out = true;
            vec_push(l->low->scratch, &l->port_copies, (PortCopy){*value, i});
        }
    }
}

static void place_parts(Layout *l, Kernel *concat) {
    Node *node = concat->output->node;
    int axis = (int)ATTRIBUTES(node, concat)->axis;
    Dim begin = dim_const(l->dims, 0);
    for (int i = 0; i < concat->input_count; i++) {
        Value *part = concat->inputs[i];
        const Kernel *producer = facts_of(l, part)->producer;
        bool free = part->space == SPACE_SLOT && !part->parent && part->layout == concat->output->layout && producer && !kernel_is_view(producer);
        if (free) {
            part->parent = concat->output;
            facts_of(l, part)->place = (Position){PLACE_PART, axis, begin};
        }
        begin = dim_add(l->dims, begin, part->node->shape.dims[axis]);
    }
}

static bool keeps_last_axis(const Node *transpose) {
    IntList to = ATTRIBUTES(transpose, transpose)->permutation;
    return to.count > 0 && to.items[to.count - 1] == to.count - 1;
}

static void count_readers(Layout *l) {
    for (int i = 0; i < l->program->values.count; i++) facts_of(l, l->program->values.items[i])->strided = true;
    for (int i = 0; i < l->low->kernels.count; i++) {
        const Kernel *kernel = l->low->kernels.items[i];
        for (int k = 0; k < kernel->input_count; k++) {
            Facts *facts = facts_of(l, kernel->inputs[k]);
            facts->readers++;
            if (kernel->kind != &kernel_kinds[KERNEL_matmul] || k >= kernel_operand_count(kernel)) facts->strided = false;
        }
    }
}

/* What only its transpose reads is written where the transpose shall lie. */
static void place_before_transpose(Layout *l, const Kernel *transpose) {
    Value *from = transpose->inputs[0], *to = transpose->output;
    const Facts *facts = facts_of(l, from);
    if (!keeps_last_axis(to->node) || facts->readers != 1 || !facts->producer || kernel_is_view(facts->producer)) return;
    if (from->space != SPACE_SLOT || from->parent || from->layout != LAYOUT_PLAIN || to->layout != LAYOUT_PLAIN) return;
    if (facts->copied_out) return;
    from->parent = to;
    facts_of(l, from)->place.kind = PLACE_BEFORE_TRANSPOSE;
}

static void place_all(Layout *l) {
    count_readers(l);
    for (int i = 0; i < l->low->kernels.count; i++) {
        Kernel *kernel = l->low->kernels.items[i];
        if (kernel_is_concat(kernel)) place_parts(l, kernel);
        else if (kernel_is_view(kernel) && kernel->members[0]->op == OP_transpose) place_before_transpose(l, kernel);
    }
}

/* ---- strides ---- */

static Dim *dense_strides(Layout *l, Shape shape, LayoutKind layout) {
    Dim *strides = NEW_ARRAY(l->program->arena, Dim, shape.rank + 1);
    Dim stride = dim_const(l->dims, layout == LAYOUT_BLOCKED ? l->lanes : 1);
    for (int i = shape.rank - 1; i >= 0; i--) {
        strides[i] = stride;
        bool channels = layout == LAYOUT_BLOCKED && i == 1;
        stride = dim_mul(l->dims, stride, channels ? dim_ceil_div(l->dims, shape.dims[i], l->lanes) : shape.dims[i]);
    }
    strides[shape.rank] = stride; /* of the whole: elements of the buffer */
    return strides;
}

static Dim offset_along(Layout *l, const Value *parent, int axis, Dim begin) {
    if (parent->layout == LAYOUT_BLOCKED && axis == 1) begin = dim_floor_div(l->dims, begin, l->lanes);
    return dim_mul(l->dims, begin, parent->strides[axis]);
}

static void derive_slice(Layout *l, Value *value) {
    const slice_attributes *slice = ATTRIBUTES(value->node, slice);
    int rank = value->node->shape.rank;
    Dim *strides = NEW_ARRAY(l->program->arena, Dim, rank);
    for (int i = 0; i < rank; i++) {
        strides[i] = dim_scale(l->dims, value->parent->strides[i], slice->step.items[i]);
        value->offset = dim_add(l->dims, value->offset, offset_along(l, value->parent, i, slice->begin.items[i]));
    }
    value->strides = strides;
}

static void derive_transpose(Layout *l, Value *value, const Node *transpose) {
    IntList permutation = ATTRIBUTES(transpose, transpose)->permutation;
    bool before = value->node != transpose;
    Dim *strides = NEW_ARRAY(l->program->arena, Dim, permutation.count);
    for (int i = 0; i < permutation.count; i++) {
        int64_t from = permutation.items[i]; /* axis i of the transpose is axis `from` of its operand */
        if (before) strides[from] = value->parent->strides[i];
        else strides[i] = value->parent->strides[from];
    }
    value->strides = strides;
}

static void derive_strides(Layout *l, Value *value) {
    const Position *place = &facts_of(l, value)->place;
    if (!value->parent || place->kind == PLACE_RESHAPE) {
        value->strides = dense_strides(l, value->node->shape, value->layout);
        value->bytes = dim_scale(l->dims, value->strides[value->node->shape.rank], dtype_bytes(value->node->shape.type));
        if (value->parent) value->offset = value->parent->offset;
        return;
    }
    value->bytes = dim_const(l->dims, 0);
    value->offset = value->parent->offset;
    switch (place->kind) {
    case PLACE_SLICE: derive_slice(l, value); break;
    case PLACE_TRANSPOSE: derive_transpose(l, value, value->node); break;
    case PLACE_BEFORE_TRANSPOSE: derive_transpose(l, value, value->parent->node); break;
    default:
        value->strides = value->parent->strides;
        value->offset = dim_add(l->dims, value->offset, offset_along(l, value->parent, place->axis, place->begin));
    }
}

/* Outermost parents first. */
static void resolve(Layout *l, Value *value) {
    while (!value->strides) {
        Value *outer = value;
        while (outer->parent && !outer->parent->strides) outer = outer->parent;
        derive_strides(l, outer);
    }
}

/* ---- launches ---- */

static void launch(Layout *l, Kernel *kernel) {
    vec_push(l->program->arena, &l->program->launches, kernel);
}

static void launch_copy(Layout *l, Value *from, Value *to) {
    Kernel *kernel = kernel_new(l->program, NULL, to);
    kernel_add_input(kernel, from);
    kernel->kind = &kernel_kinds[KERNEL_loops];
    resolve(l, from);
    resolve(l, to);
    l->program->copies++;
    launch(l, kernel);
}

static bool is_dense(Layout *l, Value *value) {
    if (value->layout != LAYOUT_PLAIN) return false;
    resolve(l, value);
    Dim *dense = dense_strides(l, value->node->shape, LAYOUT_PLAIN);
    for (int i = 0; i < value->node->shape.rank; i++)
        if (value->strides[i] != dense[i] && !is_one(value->node->shape.dims[i])) return false;
    return true;
}

/* Whether PLAIN and BLOCKED are the same bytes, for a value with a buffer of its own. */
static bool layouts_coincide(Layout *l, const Value *value) {
    return is_one_pixel(value->node->shape) && dim_const_value(value->node->shape.dims[1]) % l->lanes == 0 && !value->parent &&
           value->space == SPACE_SLOT;
}

static void lie_in(Layout *l, Value *view, Value *parent) {
    view->parent = parent;
    facts_of(l, view)->place.kind = PLACE_RESHAPE;
}

/* `value` in the layout wished for, copied the first time somebody wishes it. LAYOUT_ANY stands for dense and PLAIN. */
static Value *in_layout(Layout *l, Value *value, LayoutKind wish) {
    if (wish == LAYOUT_ANY ? is_dense(l, value) : value->layout == wish) return value;
    LayoutKind layout = wish == LAYOUT_ANY ? LAYOUT_PLAIN : wish;
    Value *copy = facts_of(l, value)->copies[wish];
    if (copy) return copy;
    copy = value_new(l->program, value->node, layout, SPACE_SLOT);
    if (layout != value->layout && layouts_coincide(l, value)) lie_in(l, copy, value);
    else launch_copy(l, value, copy);
    resolve(l, copy);
    return facts_of(l, value)->copies[wish] = copy;
}

static bool slice_can_be_view(Layout *l, const Kernel *kernel) {
    const Value *from = kernel->inputs[0], *to = kernel->output;
    const slice_attributes *slice = ATTRIBUTES(to->node, slice);
    int rank = to->node->shape.rank;
    if (from->layout != to->layout || value_root(from)->space == SPACE_WEIGHTS || to->space != SPACE_SLOT) return false;
    if (to->layout == LAYOUT_PLAIN) return rank == 0 || slice->step.items[rank - 1] == 1;
    int64_t begin, size = dim_const_value(slice->size.items[1]), channels = dim_const_value(from->node->shape.dims[1]);
    if (!dim_is_const(slice->begin.items[1], &begin) || slice->step.items[1] != 1) return false;
    return begin % l->lanes == 0 && (size % l->lanes == 0 || begin + size == channels);
}

static bool transpose_can_be_view(Layout *l, const Kernel *kernel) {
    const Value *from = kernel->inputs[0], *to = kernel->output;
    if (from->layout != LAYOUT_PLAIN || to->layout != LAYOUT_PLAIN || to->space != SPACE_SLOT || value_root(from)->space == SPACE_WEIGHTS) return false;
    return keeps_last_axis(to->node) || facts_of(l, to)->strided;
}

static void launch_view(Layout *l, Kernel *kernel) {
    Value *from = kernel->inputs[0], *view = kernel->output;
    Op op = kernel->members[0]->op;
    if (from->parent == view) return; /* its operand was made in its place */
    if (op == OP_reshape) {
        view->parent = in_layout(l, from, LAYOUT_ANY);
        facts_of(l, view)->place.kind = PLACE_RESHAPE;
    } else if (op == OP_slice ? slice_can_be_view(l, kernel) : transpose_can_be_view(l, kernel)) {
        view->parent = from;
        facts_of(l, view)->place.kind = op == OP_slice ? PLACE_SLICE : PLACE_TRANSPOSE;
    } else {
        resolve(l, from);
        launch(l, kernel);
    }
    resolve(l, view);
}

static void launch_concat(Layout *l, Kernel *kernel) {
    int axis = (int)ATTRIBUTES(kernel->output->node, concat)->axis;
    Dim begin = dim_const(l->dims, 0);
    for (int i = 0; i < kernel->input_count; i++) {
        Value *part = kernel->inputs[i];
        bool in_place = part->parent == kernel->output && facts_of(l, part)->place.kind == PLACE_PART && facts_of(l, part)->place.begin == begin;
        if (!in_place) {
            Value *copy = value_new(l->program, part->node, kernel->output->layout, SPACE_SLOT);
            copy->parent = kernel->output;
            facts_of(l, copy)->place = (Position){PLACE_PART, axis, begin};
            launch_copy(l, part, copy);
        }
        begin = dim_add(l->dims, begin, part->node->shape.dims[axis]);
    }
}

/* A weight that elementwise work on a BLOCKED tensor reads along channels and pixels at once is packed in blocks too. */
static Value *weight_in_layout(Layout *l, Kernel *kernel, Value *weight) {
    Shape shape = weight->node->shape;
    if (kernel->output->layout != LAYOUT_BLOCKED || shape.rank != 4 || shape.type != DTYPE_F32) return weight;
    if (shape.dims[1] != kernel->output->node->shape.dims[1] || (is_one(shape.dims[2]) && is_one(shape.dims[3]))) return weight;
    Value *blocked = value_new(l->program, weight->node, LAYOUT_BLOCKED, SPACE_WEIGHTS);
    resolve(l, blocked);
    return blocked;
}

static void launch_kernel(Layout *l, Kernel *kernel) {
    LayoutKind output, *inputs = wishes_of(l, kernel, &output);
    Value *made = kernel->output;
    if (output != LAYOUT_ANY && output != made->layout) {
        kernel->output = value_new(l->program, made->node, output, SPACE_SLOT);
        facts_of(l, made)->copies[output] = kernel->output;
    }
    resolve(l, kernel->output);
    for (int i = 0; i < kernel->input_count; i++) {
        resolve(l, kernel->inputs[i]);
        if (inputs[i] != LAYOUT_ANY) kernel->inputs[i] = in_layout(l, kernel->inputs[i], inputs[i]);
        else if (kernel->inputs[i]->space == SPACE_WEIGHTS && i >= kernel_operand_count(kernel))
            kernel->inputs[i] = weight_in_layout(l, kernel, kernel->inputs[i]);
    }
    launch(l, kernel);
    if (kernel->output == made) return;
    if (layouts_coincide(l, made)) lie_in(l, made, kernel->output);
    else launch_copy(l, kernel->output, made);
}

static void launch_output(Layout *l, PortCopy copy) {
    Value *to = value_new(l->program, copy.from->node, LAYOUT_PLAIN, SPACE_OUTPUT);
    to->slot = copy.port;
    launch_copy(l, copy.from, to);
}

/* Copies what was just made to all outputs of the model that it is. */
static void launch_outputs(Layout *l, const Value *from) {
    for (int i = 0; i < l->port_copies.count; i++)
        if (l->port_copies.items[i].from == from) launch_output(l, l->port_copies.items[i]);
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

void layout(Lowering *low) {
    Layout l = {.low = low, .program = low->program, .dims = low->program->graph->dims, .lanes = low->program->target->lanes};
    decide_layouts(&l);
    settle_outputs(&l);
    place_all(&l);
    for (int i = 0; i < low->kernels.count; i++) {
        Kernel *kernel = low->kernels.items[i];
        Value *made = kernel->output;
        if (kernel_is_concat(kernel)) launch_concat(&l, kernel);
        else if (kernel_is_view(kernel)) launch_view(&l, kernel);
        else launch_kernel(&l, kernel);
        if (facts_of(&l, made)->copied_out) launch_outputs(&l, made);
    }
    for (int i = 0; i < l.port_copies.count; i++) /* inputs and weights that are outputs */
        if (!facts_of(&l, l.port_copies.items[i].from)->producer) launch_output(&l, l.port_copies.items[i]);
    drop_unread_copies(&l);
    for (int i = 0; i < low->program->values.count; i++) {
        Value *value = low->program->values.items[i], *root = value_root(value);
        resolve(&l, value);
        value->space = root->space;
        if (value->parent) value->slot = root->slot;
    }
}
