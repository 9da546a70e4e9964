/* Decides where each value is: in a buffer of its own, or inside another value's. Outputs
 * of the model are made in the caller's buffers, parts of a concatenation in its buffer,
 * and an operand that only a transpose reads in the places of the transpose, each unless
 * another value takes precedence. Reshapes of dense values, slices, transposes and chains
 * of these are views of values in memory. */
#include "plan/layout.h"

/* ---- parents: outputs of the model, parts of concatenations ---- */

static bool is_only(const Kernel *kernel, Op op) {
    return kernel->member_count == 1 && kernel->members[0]->op == op;
}

/* The value whose buffer will hold `value` if every reshape between them is a view. */
static Value *before_reshapes(Layout *l, Value *value) {
    for (;;) {
        const Kernel *producer = layout_state(l, value)->producer;
        if (!producer || !kernel_is_view(producer) || !is_only(producer, OP_reshape)) return value;
        value = producer->inputs[0];
    }
}

/* Makes outputs of the model directly in the caller's buffers where possible; else they
 * are copied there. Where that is an input's place, too, it is a copy until all launches
 * are known (states.c). */
static void settle_outputs(Layout *l) {
    Graph *graph = l->program->graph;
    for (int i = 0; i < graph->outputs.count; i++) {
        Node *node = graph->outputs.items[i].node;
        Value **value = &l->low->value_of[node->id];
        if (!*value) *value = value_new(l->program, node, &format_plain, SPACE_WEIGHTS);
        Value *home = before_reshapes(l, *value);
        bool view = home != *value, shares = program_shared_input(l->program, i) >= 0;
        if (!shares && home->space == SPACE_SLOT && !is_blocked(home) &&
            !(view && l->low->is_output[home->node->id])) {
            home->space = SPACE_OUTPUT;
            home->slot = i;
        } else {
            layout_state(l, *value)->copied_out = true;
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
        const Kernel *producer = layout_state(l, part)->producer;
        bool made = producer && !kernel_is_view(producer);
        if (made && part->space == SPACE_SLOT && !part->parent && part->format == concat->output->format) {
            part->parent = concat->output;
            layout_state(l, part)->place = (Position){PLACE_PART, axis, begin};
        }
        begin = dim_add(l->dims, begin, part->node->shape.dims[axis]);
    }
}

static bool keeps_last_axis(const Node *transpose) {
    IntList to = ATTRIBUTES(transpose, transpose)->permutation;
    return to.count > 0 && to.items[to.count - 1] == to.count - 1;
}

static void count_readers(Layout *l) {
    for (int i = 0; i < l->program->values.count; i++)
        layout_state(l, l->program->values.items[i])->strides = STRIDES_ANY;
    for (int i = 0; i < l->low->kernels.count; i++) {
        const Kernel *kernel = l->low->kernels.items[i];
        for (int k = 0; k < kernel->input_count; k++) {
            LayoutState *states = layout_state(l, kernel->inputs[k]);
            states->readers++;
            StridePreference preference = kernel->kind ? kernel->proposal.inputs[k].strides : STRIDES_OF_ROWS;
            if (preference < states->strides) states->strides = preference;
        }
    }
}

/* An operand that only its transpose reads is written in the places of the transpose. */
static void place_before_transpose(Layout *l, const Kernel *transpose) {
    Value *from = transpose->inputs[0], *to = transpose->output;
    const LayoutState *states = layout_state(l, from);
    if (!keeps_last_axis(to->node) || states->readers != 1 || !states->producer ||
        kernel_is_view(states->producer))
        return;
    if (from->space != SPACE_SLOT || from->parent || is_blocked(from) || is_blocked(to)) return;
    if (states->copied_out) return;
    from->parent = to;
    layout_state(l, from)->place.kind = PLACE_BEFORE_TRANSPOSE;
}

void place_all(Layout *l) {
    count_readers(l);
    settle_outputs(l);
    for (int i = 0; i < l->low->kernels.count; i++) {
        Kernel *kernel = l->low->kernels.items[i];
        if (kernel_is_concat(kernel)) place_parts(l, kernel);
        else if (kernel_is_view(kernel) && is_only(kernel, OP_transpose)) place_before_transpose(l, kernel);
    }
}

/* ---- strides ---- */

Dim *dense_strides(Program *program, Shape shape, const Format *format) {
    Dims *dims = program->graph->dims;
    Dim *strides = NEW_ARRAY(program->arena, Dim, shape.rank + 1);
    int blocked = format_blocked_axis(format);
    Dim stride = dim_const(dims, format_block(format, blocked));
    for (int i = shape.rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride = dim_mul(dims, stride, dim_ceil_div(dims, shape.dims[i], format_block(format, i)));
    }
    strides[shape.rank] = stride;
    return strides;
}

static Dim offset_along(Layout *l, const Value *parent, int axis, Dim begin) {
    int64_t block = format_block(parent->format, axis);
    return dim_mul(l->dims, dim_floor_div(l->dims, begin, block), parent->strides[axis]);
}

static void derive_slice(Layout *l, Value *value) {
    const slice_attributes *slice = ATTRIBUTES(value->node, slice);
    int rank = value->node->shape.rank;
    Dim *strides = NEW_ARRAY(l->program->arena, Dim, rank);
    for (int i = 0; i < rank; i++) {
        strides[i] = dim_scale(l->dims, value->parent->strides[i], slice->step.items[i]);
        value->offset =
            dim_add(l->dims, value->offset, offset_along(l, value->parent, i, slice->begin.items[i]));
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

/* Axes of size 1 were added or dropped: the others keep their strides. */
static void derive_axes(Layout *l, Value *value) {
    Shape from = value->parent->node->shape, to = value->node->shape;
    Dim *strides = NEW_ARRAY(l->program->arena, Dim, to.rank);
    for (int i = 0, j = 0; i < to.rank; i++) {
        while (j < from.rank && dim_is_one(from.dims[j])) j++;
        strides[i] = dim_is_one(to.dims[i]) ? dim_const(l->dims, 1) : value->parent->strides[j++];
    }
    value->strides = strides;
}

static void derive_strides(Layout *l, Value *value) {
    const Position *place = &layout_state(l, value)->place;
    if (!value->parent || place->kind == PLACE_DENSE) {
        value->strides = dense_strides(l->program, value->node->shape, value->format);
        value->bytes =
            dim_scale(l->dims, value->strides[value->node->shape.rank], dtype_bytes(value->node->shape.type));
        if (value->parent) value->offset = value->parent->offset;
        return;
    }
    value->bytes = dim_const(l->dims, 0);
    value->offset = value->parent->offset;
    switch (place->kind) {
    case PLACE_SLICE: derive_slice(l, value); break;
    case PLACE_AXES: derive_axes(l, value); break;
    case PLACE_TRANSPOSE: derive_transpose(l, value, value->node); break;
    case PLACE_BEFORE_TRANSPOSE: derive_transpose(l, value, value->parent->node); break;
    default:
        value->strides = value->parent->strides;
        value->offset =
            dim_add(l->dims, value->offset, offset_along(l, value->parent, place->axis, place->begin));
    }
}

/* Outermost parents first. */
void resolve(Layout *l, Value *value) {
    while (!value->strides && !is_packed(value)) {
        Value *outer = value;
        while (outer->parent && !outer->parent->strides) outer = outer->parent;
        derive_strides(l, outer);
    }
}

/* ---- views ---- */

bool is_dense(Layout *l, Value *value) {
    if (is_blocked(value)) return false;
    resolve(l, value);
    Dim *dense = dense_strides(l->program, value->node->shape, &format_plain);
    for (int i = 0; i < value->node->shape.rank; i++)
        if (value->strides[i] != dense[i] && !dim_is_one(value->node->shape.dims[i])) return false;
    return true;
}

/* Whether a slice of a BLOCKED value has whole blocks of channels. */
static bool slice_has_whole_blocks(Layout *l, const Node *node) {
    const slice_attributes *slice = ATTRIBUTES(node, slice);
    int64_t begin, size = dim_const_value(node->shape.dims[1]),
                   channels = dim_const_value(node->inputs[0]->shape.dims[1]);
    if (!dim_is_const(slice->begin.items[1], &begin) || slice->step.items[1] != 1) return false;
    return begin % l->lanes == 0 && (size % l->lanes == 0 || begin + size == channels);
}

/* The result of a movement operator as a view of its operand; NULL where that is not
 * possible for a BLOCKED value. `view`: the value to make the view, or NULL for a new
 * one. */
static Value *view_of(Layout *l, Value *from, Node *node, Value *view) {
    PlaceKind kind = node->op == OP_slice       ? PLACE_SLICE
                     : node->op == OP_transpose ? PLACE_TRANSPOSE
                                                : PLACE_AXES;
    if (is_blocked(from) && (kind != PLACE_SLICE || !slice_has_whole_blocks(l, node))) return NULL;
    if (!view) view = value_new(l->program, node, from->format, SPACE_SLOT);
    if (view->format != from->format) return NULL;
    view->parent = from;
    layout_state(l, view)->place.kind = kind;
    return view;
}

/* Whether all readers of the view can read it in its layout. */
static bool is_readable(Layout *l, Value *view) {
    int rank = view->node->shape.rank;
    resolve(l, view);
    StridePreference preference = layout_state(l, view)->strides;
    if (is_blocked(view) || rank == 0 || preference == STRIDES_ANY) return true;
    return dim_is_one(view->strides[rank - 1]) ||
           (preference == STRIDES_OF_LINES && rank > 1 && dim_is_one(view->strides[rank - 2]));
}

bool make_view(Layout *l, const Kernel *kernel) {
    Value *at = kernel->inputs[0], *output = kernel->output;
    if (output->space != SPACE_SLOT || value_root(at)->space == SPACE_WEIGHTS) return false;
    for (int i = 0; i < kernel->member_count && at; i++)
        at = view_of(l, at, kernel->members[i], i + 1 == kernel->member_count ? output : NULL);
    if (at && is_readable(l, at)) return true;
    output->parent = NULL;
    output->strides = NULL;
    output->offset = dim_const(l->dims, 0);
    layout_state(l, output)->place.kind = PLACE_DENSE;
    return false;
}
