/* The shape of a convolution as its emitters see it: two axes, each with a list of taps.
 * A phase of a transposed convolution has the same form.
 *
 * A transposed convolution of stride s is s * s convolutions of stride 1, one for each
 * phase e of its outputs: output i' = s * i + e takes the taps k with s | e + before - k
 * * dilation, and tap k reads dy at i + (e + before - k * dilation) / s. Taps are in the
 * order of the places that they read, so that `step` is positive. */
#include "kernels/conv/conv.h"

static bool constant_dims(const Node *node, int from, int to) {
    for (int i = from; i < to; i++)
        if (!dim_is_const(node->shape.dims[i], NULL)) return false;
    return true;
}

/* s->x and s->w are set, and `y`, of the convolution's result, gives the sizes. */
static void read_conv_attributes(const Node *anchor, const Node *y, ConvShape *s) {
    const Geometry *a = geometry_of(anchor);
    for (int i = 0; i < 2; i++) {
        s->stride[i] = a->stride.items[i];
        s->dilation[i] = a->dilation.items[i];
        s->before[i] = a->before.items[i];
        s->kernel[i] = dim_const_value(s->w->shape.dims[2 + i]);
        s->in_size[i] = s->x->shape.dims[2 + i];
        s->out_size[i] = y->shape.dims[2 + i];
    }
    s->groups = a->groups;
}

bool conv_shape(const Kernel *kernel, ConvShape *s) {
    const Node *anchor = kernel->anchor;
    if (!anchor || anchor->shape.rank != 4) return false;
    if (anchor->op != OP_convolution && anchor->op != OP_convolution_backward_data) return false;
    *s = (ConvShape){.anchor = anchor, .x = anchor->inputs[0], .w = anchor->inputs[1]};
    if (!constant_dims(s->w, 0, 4) || !constant_dims(s->x, 1, 2) || !constant_dims(anchor, 1, 2))
        return false;
    s->types = contraction_types(anchor);
    s->transposed = anchor->op == OP_convolution_backward_data;
    s->images = s->x->shape.dims[0];
    read_conv_attributes(anchor, anchor, s);
    s->inputs = dim_const_value(s->x->shape.dims[1]) / s->groups;
    s->outputs = dim_const_value(anchor->shape.dims[1]) / s->groups;
    return true;
}

bool conv_gradient_shape(const Kernel *kernel, ConvShape *s) {
    const Node *anchor = kernel->anchor;
    if (!anchor || anchor->op != OP_convolution_backward_weights || anchor->shape.rank != 4) return false;
    const Node *dy = anchor->inputs[1];
    *s = (ConvShape){.anchor = anchor, .x = anchor->inputs[0], .w = anchor};
    if (!constant_dims(anchor, 0, 4) || !constant_dims(s->x, 1, 2)) return false;
    s->types = contraction_types(anchor);
    s->images = s->x->shape.dims[0];
    read_conv_attributes(anchor, dy, s);
    s->inputs = dim_const_value(anchor->shape.dims[1]);
    s->outputs = dim_const_value(anchor->shape.dims[0]) / s->groups;
    return true;
}

bool conv_has_whole_blocks(const ConvShape *s, int lanes) {
    return s->groups == 1 || (s->inputs % lanes == 0 && s->outputs % lanes == 0);
}

bool conv_turn(ConvShape *s) {
    if (!s->transposed) return true;
    for (int i = 0; i < 2; i++)
        if (s->stride[i] != 1 || s->before[i] > s->dilation[i] * (s->kernel[i] - 1)) return false;
    for (int i = 0; i < 2; i++) s->before[i] = s->dilation[i] * (s->kernel[i] - 1) - s->before[i];
    s->transposed = false;
    s->turned = true;
    return true;
}

int conv_phases(const ConvShape *s) { return s->transposed ? (int)(s->stride[0] * s->stride[1]) : 1; }

static ConvAxis forward_axis(const ConvShape *s, int axis) {
    return (ConvAxis){.taps = s->kernel[axis],
                      .scale = s->stride[axis],
                      .first = -s->before[axis],
                      .step = s->dilation[axis],
                      .kernel_first = s->turned ? s->kernel[axis] - 1 : 0,
                      .kernel_step = s->turned ? -1 : 1,
                      .out_step = 1,
                      .out_first = 0,
                      .count = s->out_size[axis],
                      .input = s->in_size[axis]};
}

static ConvAxis transposed_axis(Dims *dims, const ConvShape *s, int axis, int64_t phase) {
    int64_t stride = s->stride[axis], dilation = s->dilation[axis], reach = phase + s->before[axis];
    int64_t first_tap = -1, last_tap = -1, taps = 0;
    for (int64_t k = 0; k < s->kernel[axis]; k++) {
        if ((reach - k * dilation) % stride != 0) continue;
        if (taps++ == 0) first_tap = k;
        last_tap = k;
    }
    int64_t between = taps > 1 ? (last_tap - first_tap) / (taps - 1) : 1;
    return (ConvAxis){.taps = taps,
                      .scale = 1,
                      .first = taps ? (reach - last_tap * dilation) / stride : 0,
                      .step = taps > 1 ? between * dilation / stride : 1,
                      .kernel_first = last_tap,
                      .kernel_step = -between,
                      .out_step = stride,
                      .out_first = phase,
                      .count = dim_ceil_div(dims, dim_offset(dims, s->out_size[axis], -phase), stride),
                      .input = s->in_size[axis]};
}

ConvAxis conv_axis(Dims *dims, const ConvShape *s, int axis, int phase) {
    if (!s->transposed) return forward_axis(s, axis);
    return transposed_axis(dims, s, axis, axis == 0 ? phase / s->stride[1] : phase % s->stride[1]);
}

int64_t axis_interior_begin(const ConvAxis *a) { return a->first >= 0 ? 0 : ceil_div(-a->first, a->scale); }

Dim axis_interior_end(Dims *dims, const ConvAxis *a) {
    int64_t reach = a->first + (a->taps - 1) * a->step;
    return dim_offset(dims, dim_floor_div(dims, dim_offset(dims, a->input, -1 - reach), a->scale), 1);
}

const char *conv_describe(Arena *arena, const ConvShape *s, const ConvTile *tile) {
    Text text = {.arena = arena};
    const char *axes[] = {"h", "w"};
    text_add(&text, "ic%lld", (long long)(s->inputs * s->groups));
    for (int i = 0; i < 2; i++)
        if (dim_is_const(s->in_size[i], NULL))
            text_add(&text, "i%s%lld", axes[i], (long long)dim_const_value(s->in_size[i]));
    text_add(&text, "oc%lldk%lldx%lld", (long long)(s->outputs * s->groups), (long long)s->kernel[0],
             (long long)s->kernel[1]);
    if (s->groups > 1) text_add(&text, "g%lld", (long long)s->groups);
    if (s->stride[0] > 1 || s->stride[1] > 1) text_add(&text, "s%lld", (long long)s->stride[0]);
    if (s->dilation[0] > 1 || s->dilation[1] > 1) text_add(&text, "d%lld", (long long)s->dilation[0]);
    if (s->before[0] || s->before[1]) text_add(&text, "p%lld", (long long)s->before[0]);
    text_add(&text, "_t%s%dx%d%s", tile->flat_rows || tile->flat_pixels ? "f" : "", tile->pixels * tile->rows,
             tile->blocks, tile->strips ? "s" : "");
    if (tile->depth) text_add(&text, "d%d", tile->depth);
    return text_string(&text);
}
