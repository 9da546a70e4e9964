/* Operators that move elements, and constants that depend on sizes. */
#include "export/export.h"

static Node *moved_node(const Chosen *chosen) { return bound(chosen, "x")->node; }
static const char *moved_value(Export *e, const Chosen *chosen) { return value_of(e, moved_node(chosen)); }

const char *write_reshape(Export *e, const Chosen *chosen) {
    return value_reshaped(e, moved_value(e, chosen), moved_node(chosen)->shape, chosen->node->shape);
}

const char *write_transpose(Export *e, const Chosen *chosen) {
    return call_transpose(e, moved_value(e, chosen), ATTRIBUTES(chosen->node, transpose)->permutation);
}

const char *write_expand(Export *e, const Chosen *chosen) {
    const char *sizes = value_of_sizes(e, chosen->node->shape.dims, chosen->node->shape.rank);
    return sizes ? call_2(e, "Expand", moved_value(e, chosen), sizes) : NULL;
}

const char *write_slice(Export *e, const Chosen *chosen) {
    const slice_attributes *a = ATTRIBUTES(chosen->node, slice);
    const Shape x = moved_node(chosen)->shape;
    Dims *dims = e->graph->dims;
    Dim begins[REF_MAX_RANK], ends[REF_MAX_RANK];
    int64_t axes[REF_MAX_RANK], steps[REF_MAX_RANK];
    int count = 0;
    for (int i = 0; i < x.rank; i++) {
        if (a->size.items[i] == x.dims[i] && a->step.items[i] == 1) continue;
        const Dim last = dim_scale(dims, dim_offset(dims, a->size.items[i], -1), a->step.items[i]);
        begins[count] = a->begin.items[i], steps[count] = a->step.items[i], axes[count] = i;
        ends[count++] = dim_add(dims, a->begin.items[i], dim_offset(dims, last, 1));
    }
    const char *from = value_of_sizes(e, begins, count), *to = value_of_sizes(e, ends, count);
    if (!from || !to) return NULL;
    OnnxCall *call = call_begin(e, "Slice");
    call_input(call, moved_value(e, chosen));
    call_input(call, from), call_input(call, to);
    call_input(call, value_of_ints(e, axes, count));
    call_input(call, value_of_ints(e, steps, count));
    return call_end(call);
}

/* A Slice with step -1. The end must come before the first element; -INT64_MAX does,
 * whatever the size is. */
const char *write_flip(Export *e, const Chosen *chosen) {
    const IntList axes = ATTRIBUTES(chosen->node, flip)->axes;
    int64_t last[REF_MAX_RANK], least[REF_MAX_RANK];
    for (int i = 0; i < axes.count; i++) last[i] = -1, least[i] = -INT64_MAX;
    OnnxCall *call = call_begin(e, "Slice");
    call_input(call, moved_value(e, chosen));
    call_input(call, value_of_ints(e, last, axes.count));
    call_input(call, value_of_ints(e, least, axes.count));
    call_input(call, value_of_ints(e, axes.items, axes.count));
    call_input(call, value_of_ints(e, last, axes.count));
    return call_end(call);
}

const char *write_pad(Export *e, const Chosen *chosen) {
    const pad_attributes *a = ATTRIBUTES(chosen->node, pad);
    const int rank = chosen->node->shape.rank;
    const char *mode = strcmp(a->mode, "replicate") ? a->mode : "edge";
    Dim pads[2 * REF_MAX_RANK];
    for (int i = 0; i < rank; i++) pads[i] = a->before.items[i], pads[rank + i] = a->after.items[i];
    const char *sizes = value_of_sizes(e, pads, 2 * rank);
    if (!sizes) return NULL;
    const DType type = chosen->node->shape.type;
    OnnxCall *call = call_begin(e, "Pad");
    call_input(call, moved_value(e, chosen));
    call_input(call, sizes);
    if (!strcmp(mode, "constant")) call_input(call, value_of_number(e, number_value(a->value, type), type));
    else call_text(call, "mode", mode);
    return call_end(call);
}

const char *write_concat(Export *e, const Chosen *chosen) {
    const Node *node = chosen->node;
    const char **values = NEW_ARRAY(e->arena, const char *, node->input_count);
    for (int i = 0; i < node->input_count; i++) values[i] = value_of(e, node->inputs[i]);
    OnnxCall *call = call_begin(e, "Concat");
    for (int i = 0; i < node->input_count; i++) call_input(call, values[i]);
    call_int(call, "axis", ATTRIBUTES(node, concat)->axis);
    return call_end(call);
}

/* ---- pixels to channels, and back ---- */

typedef struct Shuffle { /* the reshape to 6 axes, the transpose, and the reshape back */
    Shape from, between, to;
    IntList order;
} Shuffle;

static bool read_shuffle(const Chosen *chosen, Shuffle *s) {
    const Node *turned = chosen->node->inputs[0];
    s->from = moved_node(chosen)->shape, s->to = chosen->node->shape;
    if (turned->op != OP_transpose) return false;
    s->between = turned->inputs[0]->shape, s->order = ATTRIBUTES(turned, transpose)->permutation;
    return s->from.rank == 4 && s->between.rank == 6 && s->to.rank == 4 && s->from.dims[0] == s->to.dims[0] &&
           s->between.dims[0] == s->from.dims[0];
}

static bool has_order(const Shuffle *s, const int64_t *order) {
    return !memcmp(s->order.items, order, 6 * sizeof *order);
}

/* Whether the shuffle splits channels into [N, c, r, r, H, W] and moves each r behind its
 * axis. */
bool is_depth_to_space(Export *e, const Chosen *chosen) {
    static const int64_t order[] = {0, 1, 4, 2, 5, 3};
    Shuffle s;
    return read_shuffle(chosen, &s) && has_order(&s, order) && s.between.dims[2] == s.between.dims[3] &&
           dim_is_const(s.between.dims[2], NULL) && s.between.dims[1] == s.to.dims[1] &&
           s.between.dims[4] == s.from.dims[2] && s.between.dims[5] == s.from.dims[3] &&
           s.to.dims[2] == dim_mul(e->graph->dims, s.from.dims[2], s.between.dims[2]);
}

const char *write_depth_to_space(Export *e, const Chosen *chosen) {
    Shuffle s;
    read_shuffle(chosen, &s);
    OnnxCall *call = call_begin(e, "DepthToSpace");
    call_input(call, moved_value(e, chosen));
    call_int(call, "blocksize", dim_const_value(s.between.dims[2]));
    call_text(call, "mode", "CRD");
    return call_end(call);
}

/* ---- constants of free sizes, and sizes as values ---- */

const char *write_constant(Export *e, const Chosen *chosen) {
    const char *sizes = value_of_sizes(e, chosen->node->shape.dims, chosen->node->shape.rank);
    return sizes ? call_2(e, "Expand", value_of_splat(e, chosen->node), sizes) : NULL;
}

const char *write_size(Export *e, const Chosen *chosen) {
    const size_attributes *a = ATTRIBUTES(chosen->node, size);
    const char *value = scalar_of_size(e, a->value.items[0]);
    return value && a->type != DTYPE_I64 ? call_cast(e, value, a->type) : value;
}

const char *write_iota(Export *e, const Chosen *chosen) {
    const iota_attributes *a = ATTRIBUTES(chosen->node, iota);
    const Shape y = chosen->node->shape;
    Dim dims[REF_MAX_RANK];
    for (int i = 0; i < y.rank; i++) dims[i] = i == a->axis ? y.dims[i] : dim_const(e->graph->dims, 1);
    const char *count = scalar_of_size(e, y.dims[a->axis]);
    if (!count) return NULL;
    const bool ranges = a->type == DTYPE_I64 || a->type == DTYPE_I32 || a->type == DTYPE_F32;
    const DType type = ranges ? a->type : DTYPE_I64;
    if (type != DTYPE_I64) count = call_cast(e, count, type);
    const char *zero = value_of_number(e, 0, type), *one = value_of_number(e, 1, type);
    const char *range = call_3(e, "Range", zero, count, one);
    if (!ranges) range = call_cast(e, range, a->type);
    const Shape flat = {y.type, 1, &y.dims[a->axis]}, line = {y.type, y.rank, dims};
    range = value_reshaped(e, range, flat, line);
    if (!range || shape_dims_equal(line, y)) return range;
    const char *sizes = value_of_sizes(e, y.dims, y.rank);
    return sizes ? call_2(e, "Expand", range, sizes) : NULL;
}
