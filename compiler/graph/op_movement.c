/* Operators that move elements and compute none, and the transposes of those that repeat
 * them (pad_input, scatter_add, put). */
#include "graph/ops.h"

/* ---- shapes ---- */

static bool check_rank(Graph *g, Op op, Shape x, int count, const char *what, ShapeError *error) {
    if (x.rank == count) return true;
    return shape_error(g, error, 0, -1, "%s names %d %s for a tensor of %d axes, %s", op_info[op].name, count,
                       what, x.rank, shape_string(g->arena, x));
}

bool shape_reshape(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                   ShapeError *error) {
    (void)op, (void)count;
    DimList dims = ((const reshape_attributes *)attributes)->dims;
    Shape x = inputs[0]->shape;
    *shape = (Shape){x.type, dims.count, dims.items};
    if (dims.count > REF_MAX_RANK)
        return shape_error(g, error, -1, -1, "a tensor of %d axes; %d is the most", dims.count, REF_MAX_RANK);
    Dim before = shape_elements(g->dims, x), after = shape_elements(g->dims, *shape);
    if (before == after) return true;
    return shape_error(g, error, 0, -1, "reshape of %s, which has %s elements, to %s, which has %s",
                       shape_string(g->arena, x), size_text(g, before), shape_string(g->arena, *shape),
                       size_text(g, after));
}

bool shape_transpose(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                     ShapeError *error) {
    (void)count;
    IntList order = ((const transpose_attributes *)attributes)->permutation;
    Shape x = inputs[0]->shape;
    if (!check_rank(g, op, x, order.count, "axes", error)) return false;
    Dim *dims = copy_dims(g, x);
    for (int i = 0; i < x.rank; i++) {
        if (!has_axis(order, i))
            return shape_error(g, error, 0, i, "transpose must name each axis once; %d is missing", i);
        dims[i] = x.dims[order.items[i]];
    }
    *shape = (Shape){x.type, x.rank, dims};
    return true;
}

bool shape_broadcast(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                     ShapeError *error) {
    (void)count;
    DimList dims = ((const broadcast_attributes *)attributes)->dims;
    Shape x = inputs[0]->shape;
    if (!check_rank(g, op, x, dims.count, "sizes", error)) return false;
    *shape = (Shape){x.type, x.rank, dims.items};
    for (int i = 0; i < x.rank; i++)
        if (x.dims[i] != dims.items[i] && x.dims[i] != dim_const(g->dims, 1))
            return shape_error(
                g, error, 0, i, "%s does not stretch to %s: axis %d is %s, and only 1 stretches",
                shape_string(g->arena, x), shape_string(g->arena, *shape), i, size_text(g, x.dims[i]));
    return true;
}

bool shape_slice(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                 ShapeError *error) {
    (void)count;
    const slice_attributes *slice = attributes;
    Shape x = inputs[0]->shape;
    if (!check_rank(g, op, x, slice->begin.count, "beginnings", error) ||
        !check_rank(g, op, x, slice->size.count, "sizes", error) ||
        !check_rank(g, op, x, slice->step.count, "steps", error))
        return false;
    for (int i = 0; i < x.rank; i++) {
        Dim begin = slice->begin.items[i], size = slice->size.items[i];
        if (slice->step.items[i] < 1)
            return shape_error(g, error, 0, i, "the step of a slice must be at least 1");
        Dim last =
            dim_add(g->dims, begin, dim_scale(g->dims, dim_offset(g->dims, size, -1), slice->step.items[i]));
        if (graph_require(g, CHECK_AT_LEAST, begin, dim_const(g->dims, 0), error,
                          "the slice of axis %d begins at %s", i, size_text(g, begin)) &&
            graph_require(g, CHECK_AT_LEAST, x.dims[i], dim_offset(g->dims, last, 1), error,
                          "the slice reaches element %s of axis %d, which has size %s", size_text(g, last), i,
                          size_text(g, x.dims[i])))
            continue;
        error->input = 0;
        error->axis = i;
        return false;
    }
    *shape = (Shape){x.type, x.rank, slice->size.items};
    return true;
}

/* The most that a border may hold: reflect does not repeat the edge. */
static bool check_border(Graph *g, Name mode, Dim border, Dim size, int axis, ShapeError *error) {
    bool good = graph_require(g, CHECK_AT_LEAST, border, dim_const(g->dims, 0), error,
                              "padding of axis %d by %s", axis, size_text(g, border));
    if (good && same_name(mode, "reflect"))
        good = graph_require(g, CHECK_AT_LEAST, dim_offset(g->dims, size, -1), border, error,
                             "reflect padding of axis %d by %s needs a size above %s; it is %s", axis,
                             size_text(g, border), size_text(g, border), size_text(g, size));
    if (!good) error->input = 0, error->axis = axis;
    return good;
}

static bool check_mode(Graph *g, Name mode, ShapeError *error) {
    if (same_name(mode, "constant") || same_name(mode, "reflect") || same_name(mode, "replicate"))
        return true;
    return shape_error(g, error, -1, -1, "no such padding mode as \"%s\": constant, reflect or replicate",
                       mode);
}

bool shape_pad(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
               ShapeError *error) {
    (void)count;
    const pad_attributes *pad = attributes;
    Shape x = inputs[0]->shape;
    if (!check_rank(g, op, x, pad->before.count, "paddings", error) ||
        !check_rank(g, op, x, pad->after.count, "paddings", error))
        return false;
    if (!check_mode(g, pad->mode, error)) return false;
    Dim *dims = copy_dims(g, x);
    for (int i = 0; i < x.rank; i++) {
        if (!check_border(g, pad->mode, pad->before.items[i], x.dims[i], i, error)) return false;
        if (!check_border(g, pad->mode, pad->after.items[i], x.dims[i], i, error)) return false;
        dims[i] = dim_add(g->dims, dim_add(g->dims, x.dims[i], pad->before.items[i]), pad->after.items[i]);
    }
    *shape = (Shape){x.type, x.rank, dims};
    return true;
}

bool shape_pad_input(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                     ShapeError *error) {
    (void)count;
    const pad_input_attributes *pad = attributes;
    Shape dy = inputs[0]->shape;
    if (dy.type == DTYPE_BOOL) return shape_error(g, error, 0, -1, "pad_input takes numbers, not bool");
    if (!check_rank(g, op, dy, pad->before.count, "paddings", error) ||
        !check_rank(g, op, dy, pad->size.count, "sizes", error))
        return false;
    *shape = (Shape){dy.type, dy.rank, pad->size.items};
    return check_mode(g, pad->mode, error);
}

bool shape_concat(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                  ShapeError *error) {
    int64_t axis = ((const concat_attributes *)attributes)->axis;
    Shape first = inputs[0]->shape;
    if (!check_axis(g, op, first, axis, error)) return false;
    Dim *dims = copy_dims(g, first);
    for (int i = 1; i < count; i++) {
        Shape next = inputs[i]->shape;
        const char *a = shape_string(g->arena, first), *b = shape_string(g->arena, next);
        if (next.type != first.type)
            return shape_error(g, error, i, -1, "concat takes tensors of one type, not %s and %s", a, b);
        if (next.rank != first.rank)
            return shape_error(g, error, i, -1, "concat takes tensors of equal rank, not %s and %s", a, b);
        for (int k = 0; k < first.rank; k++)
            if (k != axis && next.dims[k] != first.dims[k])
                return shape_error(
                    g, error, i, k,
                    "concat along axis %lld takes equal sizes in the other axes, not %s and %s: axis %d is %s in "
                    "one and %s in the other",
                    (long long)axis, a, b, k, size_text(g, first.dims[k]), size_text(g, next.dims[k]));
        dims[axis] = dim_add(g->dims, dims[axis], next.dims[axis]);
    }
    *shape = (Shape){first.type, first.rank, dims};
    return true;
}

bool shape_flip(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                ShapeError *error) {
    (void)count;
    IntList axes = ((const flip_attributes *)attributes)->axes;
    *shape = inputs[0]->shape;
    for (int i = 0; i < axes.count; i++)
        if (!check_axis(g, op, *shape, axes.items[i], error)) return false;
    return true;
}

static bool check_index(Graph *g, Op op, const Node *index, ShapeError *error) {
    DType type = index->shape.type;
    if (type == DTYPE_I32 || type == DTYPE_I64) return true;
    return shape_error(g, error, 1, -1, "%s takes an index of i32 or i64, not %s", op_info[op].name,
                       dtype_name(type));
}

bool shape_gather(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                  ShapeError *error) {
    (void)count;
    int64_t axis = ((const gather_attributes *)attributes)->axis;
    Shape x = inputs[0]->shape, index = inputs[1]->shape;
    if (!check_axis(g, op, x, axis, error) || !check_index(g, op, inputs[1], error)) return false;
    int rank = x.rank - 1 + index.rank;
    if (rank > REF_MAX_RANK)
        return shape_error(g, error, 1, -1, "a tensor of %d axes; %d is the most", rank, REF_MAX_RANK);
    Dim *dims = NEW_ARRAY(g->arena, Dim, rank);
    for (int i = 0; i < rank; i++)
        dims[i] = i < axis                ? x.dims[i]
                  : i < axis + index.rank ? index.dims[i - axis]
                                          : x.dims[i - index.rank + 1];
    *shape = (Shape){x.type, rank, dims};
    return true;
}

bool shape_scatter_add(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                       ShapeError *error) {
    (void)count;
    const scatter_add_attributes *scatter = attributes;
    Shape dy = inputs[0]->shape, index = inputs[1]->shape;
    int rank = dy.rank - index.rank + 1;
    if (dy.type == DTYPE_BOOL) return shape_error(g, error, 0, -1, "scatter_add takes numbers, not bool");
    if (!check_index(g, op, inputs[1], error)) return false;
    if (scatter->size.count != 1 || rank < 1 || scatter->axis < 0 || scatter->axis >= rank)
        return shape_error(g, error, 1, -1, "scatter_add of %s by an index %s", shape_string(g->arena, dy),
                           shape_string(g->arena, index));
    for (int i = 0; i < index.rank; i++)
        if (dy.dims[scatter->axis + i] != index.dims[i])
            return shape_error(g, error, 1, i, "scatter_add takes an index for each element of its axis");
    Dim *dims = NEW_ARRAY(g->arena, Dim, rank);
    for (int i = 0; i < rank; i++)
        dims[i] = i < scatter->axis    ? dy.dims[i]
                  : i == scatter->axis ? scatter->size.items[0]
                                       : dy.dims[i + index.rank - 1];
    *shape = (Shape){dy.type, rank, dims};
    return true;
}

bool shape_put(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
               ShapeError *error) {
    Shape gathered;
    const put_attributes *put = attributes;
    if (!shape_gather(g, op, inputs, count, &(gather_attributes){put->axis}, &gathered, error)) return false;
    *shape = inputs[0]->shape;
    if (shape_equal(gathered, inputs[2]->shape)) return true;
    return shape_error(g, error, 2, -1, "put at places %s of %s takes %s, not %s",
                       shape_string(g->arena, inputs[1]->shape), shape_string(g->arena, *shape),
                       shape_string(g->arena, gathered), shape_string(g->arena, inputs[2]->shape));
}

/* ---- gradients ---- */

Node *grad_reshape(Graph *g, Node *node, int input, Node *dy) {
    Shape x = node->inputs[input]->shape;
    return build_reshape(g, dy, x.rank, x.dims);
}

Node *grad_transpose(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    IntList order = ATTRIBUTES(node, transpose)->permutation;
    int64_t inverse[REF_MAX_RANK];
    for (int i = 0; i < order.count; i++) inverse[order.items[i]] = i;
    return build_transpose(g, dy, inverse);
}

Node *grad_broadcast(Graph *g, Node *node, int input, Node *dy) {
    return build_sum_to(g, dy, node->inputs[input]->shape);
}

/* Puts step - 1 zeros after each element but the last along an axis. The tensor is seen
 * as [outer, size, 1, inner], since its rank may be the highest already. */
static Node *spread_axis(Graph *g, Node *dy, int axis, int64_t step) {
    int rank = dy->shape.rank;
    Dim zero = dim_const(g->dims, 0), one = dim_const(g->dims, 1), size = dy->shape.dims[axis], outer = one,
        inner = one;
    for (int i = 0; i < axis; i++) outer = dim_mul(g->dims, outer, dy->shape.dims[i]);
    for (int i = axis + 1; i < rank; i++) inner = dim_mul(g->dims, inner, dy->shape.dims[i]);
    Dim split[] = {outer, size, one, inner}, none[] = {zero, zero, zero, zero},
        after[] = {zero, zero, dim_const(g->dims, step - 1), zero};
    Dim wide = dim_scale(g->dims, size, step), last = dim_offset(g->dims, wide, 1 - step),
        merged[] = {outer, wide, inner}, cut[] = {outer, last, inner};
    Node *padded = build_pad(g, build_reshape(g, dy, 4, split), none, after, "constant", 0);
    Node *joined = build_slice(g, build_reshape(g, padded, 3, merged), none, cut, NULL);
    Dim dims[REF_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? last : dy->shape.dims[i];
    return build_reshape(g, joined, rank, dims);
}

static Node *spread_by_steps(Graph *g, Node *dy, IntList steps) {
    for (int i = 0; i < dy->shape.rank; i++)
        if (steps.items[i] > 1) dy = spread_axis(g, dy, i, steps.items[i]);
    return dy;
}

Node *grad_slice(Graph *g, Node *node, int input, Node *dy) {
    const slice_attributes *slice = ATTRIBUTES(node, slice);
    Shape x = node->inputs[input]->shape;
    Node *inner = spread_by_steps(g, dy, slice->step);
    Dim after[REF_MAX_RANK];
    for (int i = 0; i < x.rank; i++)
        after[i] = dim_sub(g->dims, dim_sub(g->dims, x.dims[i], slice->begin.items[i]), inner->shape.dims[i]);
    return build_pad(g, inner, slice->begin.items, after, "constant", 0);
}

Node *grad_pad(Graph *g, Node *node, int input, Node *dy) {
    const pad_attributes *pad = ATTRIBUTES(node, pad);
    Shape x = node->inputs[input]->shape;
    if (same_name(pad->mode, "constant")) return build_slice(g, dy, pad->before.items, x.dims, NULL);
    pad_input_attributes attributes = {pad->before, {x.rank, x.dims}, pad->mode};
    return graph_make(g, OP_pad_input, &dy, 1, &attributes);
}

Node *grad_pad_input(Graph *g, Node *node, int input, Node *d) {
    const pad_input_attributes *pad = ATTRIBUTES(node, pad_input);
    Shape dy = node->inputs[input]->shape;
    Dim after[REF_MAX_RANK];
    for (int i = 0; i < dy.rank; i++)
        after[i] = dim_sub(g->dims, dim_sub(g->dims, dy.dims[i], pad->before.items[i]), pad->size.items[i]);
    return build_pad(g, d, pad->before.items, after, pad->mode, 0);
}

Node *grad_concat(Graph *g, Node *node, int input, Node *dy) {
    int64_t axis = ATTRIBUTES(node, concat)->axis;
    Shape part = node->inputs[input]->shape;
    Dim begin[REF_MAX_RANK];
    for (int i = 0; i < part.rank; i++) begin[i] = dim_const(g->dims, 0);
    for (int i = 0; i < input; i++)
        begin[axis] = dim_add(g->dims, begin[axis], node->inputs[i]->shape.dims[axis]);
    return build_slice(g, dy, begin, part.dims, NULL);
}

Node *grad_flip(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return graph_make(g, OP_flip, &dy, 1, node->attributes);
}

Node *grad_gather(Graph *g, Node *node, int input, Node *dy) {
    if (input == 1) return NULL;
    int64_t axis = ATTRIBUTES(node, gather)->axis;
    scatter_add_attributes attributes = {axis, {1, &node->inputs[0]->shape.dims[axis]}};
    return graph_make(g, OP_scatter_add, (Node *[]){dy, node->inputs[1]}, 2, &attributes);
}

Node *grad_scatter_add(Graph *g, Node *node, int input, Node *d) {
    if (input == 1) return NULL;
    gather_attributes attributes = {ATTRIBUTES(node, scatter_add)->axis};
    return graph_make(g, OP_gather, (Node *[]){d, node->inputs[1]}, 2, &attributes);
}

/* Of a place that is named several times only the last is put there: whether each is, in
 * the index's shape. */
static Node *find_last_put(Graph *g, const Node *node) {
    Node *index = node->inputs[1];
    const Dim *size = &node->shape.dims[ATTRIBUTES(node, put)->axis];
    Dim all = shape_elements(g->dims, index->shape);
    iota_attributes numbers = {DTYPE_I32, {1, &all}, 0};
    Node *number =
        build_reshape(g, graph_make(g, OP_iota, NULL, 0, &numbers), index->shape.rank, index->shape.dims);
    Node *none = build_splat(g, 0, (Shape){DTYPE_I32, 1, size});
    Node *last = graph_make(g, OP_put, (Node *[]){none, index, number}, 3, &(put_attributes){0});
    last = graph_make(g, OP_gather, (Node *[]){last, index}, 2, &(gather_attributes){0});
    return build_binary(g, OP_eq, last, number);
}

/* What a place had before it was put there does not count. */
Node *grad_put(Graph *g, Node *node, int input, Node *dy) {
    Node *index = node->inputs[1];
    const put_attributes *put = ATTRIBUTES(node, put);
    Shape shape = node->inputs[2]->shape;
    if (input == 1) return NULL;
    if (input == 0) return graph_make(g, OP_put, (Node *[]){dy, index, build_splat(g, 0, shape)}, 3, put);
    Node *of_places = graph_make(g, OP_gather, (Node *[]){dy, index}, 2, &(gather_attributes){put->axis});
    Dim *dims = NEW_ARRAY(g->arena, Dim, shape.rank);
    for (int i = 0; i < shape.rank; i++) {
        bool within = i >= put->axis && i < put->axis + index->shape.rank;
        dims[i] = within ? shape.dims[i] : dim_const(g->dims, 1);
    }
    Node *counts = build_reshape(g, find_last_put(g, node), shape.rank, dims);
    counts = build_broadcast(g, counts, shape.rank, shape.dims);
    return build_select(g, counts, of_places, build_splat(g, 0, shape));
}

/* ---- reference ---- */

int64_t size_value(const RefCall *call, Dim size) {
    int64_t value;
    if (!dim_evaluate(size, call->symbols, &value)) INTERNAL_ERROR("a size overflows");
    return value;
}

static bool view_reshaped(const RefCall *call, RefLayout *layout) {
    RefLayout from = *layout;
    return layout_reshape(&call->input_shapes[0], &from, &call->shape, layout);
}

static void view_transposed(const RefCall *call, RefLayout *layout) {
    RefLayout from = *layout;
    for (int i = 0; i < call->shape.rank; i++)
        layout->strides[i] = from.strides[ATTRIBUTES(call->node, transpose)->permutation.items[i]];
}

static void view_repeated(const RefCall *call, RefLayout *layout) {
    for (int i = 0; i < call->shape.rank; i++)
        if (call->input_shapes[0].dims[i] == 1) layout->strides[i] = 0;
}

static int64_t view_part(const RefCall *call, RefLayout *layout) {
    const slice_attributes *slice = ATTRIBUTES(call->node, slice);
    int64_t first = 0;
    for (int i = 0; i < call->shape.rank; i++) {
        first += layout->strides[i] * size_value(call, slice->begin.items[i]);
        layout->strides[i] *= slice->step.items[i];
    }
    return first;
}

static int64_t view_backwards(const RefCall *call, RefLayout *layout) {
    int64_t first = 0;
    for (int i = 0; i < call->shape.rank; i++) {
        if (!has_axis(ATTRIBUTES(call->node, flip)->axes, i)) continue;
        first += layout->strides[i] * (call->shape.dims[i] - 1);
        layout->strides[i] = -layout->strides[i];
    }
    return first;
}

const Number *ref_view(const RefCall *call, RefLayout *layout) {
    if (op_info[call->node->op].reference != ref_moved) return NULL; /* it may have no input */
    const Number *x = call->inputs[0];
    *layout = ref_layout(call, 0);
    switch (call->node->op) {
    case OP_reshape: return view_reshaped(call, layout) ? x : NULL;
    case OP_transpose: view_transposed(call, layout); return x;
    case OP_broadcast: view_repeated(call, layout); return x;
    case OP_slice: return x + view_part(call, layout);
    case OP_flip: return x + view_backwards(call, layout);
    default: return NULL;
    }
}

void ref_moved(const RefCall *call) {
    RefLayout layout;
    const Number *first = ref_view(call, &layout);
    layout_read(&call->shape, first, &layout, call->out);
}

/* The place in 0 .. size-1 that place `at` of a padded axis shows, or -1 for the
 * constant. */
static int64_t padded_from(int64_t at, int64_t size, Name mode) {
    if (at >= 0 && at < size) return at;
    if (same_name(mode, "replicate")) return at < 0 ? 0 : size - 1;
    if (same_name(mode, "reflect")) return at < 0 ? -at : 2 * (size - 1) - at;
    return -1;
}

/* For each axis, where in the unpadded tensor each place of the padded one comes from,
 * times the stride; -1 for the constant. */
static int64_t **padding_maps(const RefCall *call, const RefShape *padded, const RefShape *plain,
                              const Dim *before, Name mode, Arena *arena) {
    RefLayout layout = layout_plain(plain);
    int64_t **maps = NEW_ARRAY(arena, int64_t *, padded->rank);
    for (int axis = 0; axis < padded->rank; axis++) {
        maps[axis] = NEW_ARRAY(arena, int64_t, padded->dims[axis]);
        int64_t first = size_value(call, before[axis]);
        for (int64_t i = 0; i < padded->dims[axis]; i++) {
            int64_t from = padded_from(i - first, plain->dims[axis], mode);
            maps[axis][i] = from < 0 ? -1 : from * layout.strides[axis];
        }
    }
    return maps;
}

/* Visits each place of `padded` in order, through the maps: forward reads `plain`,
 * backward adds to it. */
static void walk_padding(const RefShape *padded, int64_t *const *maps, const Number *in, Number *out,
                         Number value, bool backward) {
    bool real = dtype_is_float(padded->type);
    int rank = padded->rank;
    int64_t index[REF_MAX_RANK] = {0}, inner = rank ? padded->dims[rank - 1] : 1;
    for (int64_t at = 0; at < padded->count; at += inner) {
        int64_t base = 0;
        bool inside = true;
        for (int axis = 0; axis < rank - 1; axis++) {
            base += maps[axis][index[axis]];
            inside = inside && maps[axis][index[axis]] >= 0;
        }
        for (int64_t i = 0; i < inner; i++) {
            int64_t from = rank ? maps[rank - 1][i] : 0;
            if (!backward) out[at + i] = inside && from >= 0 ? in[base + from] : value;
            else if (inside && from >= 0) out[base + from] = number_sum(out[base + from], in[at + i], real);
        }
        for (int axis = rank - 2; axis >= 0 && ++index[axis] == padded->dims[axis]; axis--) index[axis] = 0;
    }
}

void ref_pad(const RefCall *call) {
    const pad_attributes *pad = ATTRIBUTES(call->node, pad);
    Arena *arena = arena_new();
    int64_t **maps =
        padding_maps(call, &call->shape, &call->input_shapes[0], pad->before.items, pad->mode, arena);
    walk_padding(&call->shape, maps, call->inputs[0], call->out, pad->value, false);
    arena_free(arena);
}

void ref_pad_input(const RefCall *call) {
    const pad_input_attributes *pad = ATTRIBUTES(call->node, pad_input);
    Arena *arena = arena_new();
    int64_t **maps =
        padding_maps(call, &call->input_shapes[0], &call->shape, pad->before.items, pad->mode, arena);
    ref_clear(call);
    walk_padding(&call->input_shapes[0], maps, call->inputs[0], call->out, (Number){0}, true);
    arena_free(arena);
}

void ref_concat(const RefCall *call) {
    int64_t axis = ATTRIBUTES(call->node, concat)->axis;
    RefLayout to = layout_plain(&call->shape);
    Number *out = call->out;
    for (int part = 0; part < call->node->input_count; part++) {
        RefLayout from = ref_layout(call, part);
        layout_copy(&call->input_shapes[part], call->inputs[part], &from, out, &to);
        out += to.strides[axis] * call->input_shapes[part].dims[axis];
    }
}

static int64_t clamped_index(Number index, int64_t size) {
    return min_i64(max_i64(index.whole, 0), size - 1);
}

static int64_t product_of_sizes(const RefShape *shape, int begin, int end) {
    int64_t count = 1;
    for (int i = begin; i < end; i++) count *= shape->dims[i];
    return count;
}

void ref_gather(const RefCall *call) {
    const RefShape *x = &call->input_shapes[0];
    int axis = (int)ATTRIBUTES(call->node, gather)->axis;
    int64_t outer = product_of_sizes(x, 0, axis), size = x->dims[axis],
            inner = product_of_sizes(x, axis + 1, x->rank), count = call->input_shapes[1].count;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t j = 0; j < count; j++)
            memcpy(call->out + (o * count + j) * inner,
                   call->inputs[0] + (o * size + clamped_index(call->inputs[1][j], size)) * inner,
                   sizeof *call->out * (size_t)inner);
}

void ref_put(const RefCall *call) {
    const RefShape *x = &call->input_shapes[0];
    int axis = (int)ATTRIBUTES(call->node, put)->axis;
    int64_t outer = product_of_sizes(x, 0, axis), size = x->dims[axis],
            inner = product_of_sizes(x, axis + 1, x->rank), count = call->input_shapes[1].count;
    memcpy(call->out, call->inputs[0], sizeof *call->out * (size_t)x->count);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t j = 0; j < count; j++)
            memcpy(call->out + (o * size + clamped_index(call->inputs[1][j], size)) * inner,
                   call->inputs[2] + (o * count + j) * inner, sizeof *call->out * (size_t)inner);
}

void ref_scatter_add(const RefCall *call) {
    int axis = (int)ATTRIBUTES(call->node, scatter_add)->axis;
    int64_t outer = product_of_sizes(&call->shape, 0, axis), size = call->shape.dims[axis],
            inner = product_of_sizes(&call->shape, axis + 1, call->shape.rank);
    int64_t count = call->input_shapes[1].count;
    bool real = dtype_is_float(call->shape.type);
    ref_clear(call);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t j = 0; j < count; j++) {
            const Number *from = call->inputs[0] + (o * count + j) * inner;
            Number *to = call->out + (o * size + clamped_index(call->inputs[1][j], size)) * inner;
            for (int64_t i = 0; i < inner; i++) to[i] = number_sum(to[i], from[i], real);
        }
}
