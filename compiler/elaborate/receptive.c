/* Receptive fields: how many rows and columns of the first picture a value sees. For each
 * of its axes, a node has the axis of the picture that it runs along, the distance there
 * between neighbours (the jump) and how much each sees (the field). A node that sums over
 * an axis of the picture, or mixes it with others, sees everything. A sum over rows and
 * columns, which is the same for every place (the mean of a norm, a gate), does not widen
 * what it is combined with: this is how papers count. The field of a network is that of
 * its maps, before a head sees everything. A network has no receptive field where places
 * are compared with places and a layer follows, as after attention; where a picture is
 * made from what a dense layer saw, as after an autoencoder's code; and where only such a
 * head looks at the picture. */
#include "elaborate/evaluator.h"

#include <math.h>

typedef struct Field { /* along one axis of the picture */
    int axis;          /* the node's axis that runs along it, or -1 */
    double field, jump;
} Field;

typedef struct View { /* of one node: rows and columns */
    bool defined;     /* depends on the picture at all */
    bool everything;
    bool same;     /* sees everything, and is the same for every place */
    bool compared; /* sees everything, by a product of two tensors that depend on the picture */
    bool dense;    /* sees everything, by a product of weights with all places */
    Field along[2];
} View;

static View view_of_everything(void) { return (View){.defined = true, .everything = true}; }

static View picture_view(const Node *node) {
    View view = {.defined = node->shape.rank == 4};
    for (int i = 0; i < 2; i++) view.along[i] = (Field){2 + i, 1, 1};
    return view;
}

static void mark_products(View *view, const Node *node, const View *views) {
    for (int i = 0; i < node->input_count; i++) {
        view->compared |= views[node->inputs[i]->id].compared;
        view->dense |= views[node->inputs[i]->id].dense;
    }
    if (node->op != OP_matmul) return;
    const View *left = &views[node->inputs[0]->id], *right = &views[node->inputs[1]->id];
    if (left->defined && right->defined) view->compared = true;
    else if (left->everything && !left->same) view->dense = true;
}

/* Whether the network sees everything from here on: a layer with weights takes the result
 * of attention, or a convolution that of a dense layer. */
static bool view_goes_on(const Node *node, const View *views) {
    if (op_info[node->op].class != CLASS_CONTRACTION) return false;
    const View *left = &views[node->inputs[0]->id], *right = &views[node->inputs[1]->id];
    if (left->defined && right->defined) return false;
    return left->compared || right->compared || (left->dense && node->op != OP_matmul);
}

/* The view of all inputs together: the widest. An input that is the same for every place
 * counts only where all are. */
static View joined_view(const Node *node, const View *views) {
    View all = {0};
    for (int i = 0; i < node->input_count; i++) {
        const View *view = &views[node->inputs[i]->id];
        if (!view->defined || (view->same && all.defined)) continue;
        if (view->everything && !view->same) return view_of_everything();
        for (int k = 0; all.defined && !all.same && k < 2; k++) {
            if (view->along[k].axis != all.along[k].axis) return view_of_everything();
            all.along[k].field = fmax(all.along[k].field, view->along[k].field);
            all.along[k].jump = fmax(all.along[k].jump, view->along[k].jump);
        }
        if (!all.defined || all.same) all = *view;
    }
    return all;
}

static int spatial_index(const Field *field, const Node *node) {
    return field->axis >= 2 && node->shape.rank > 2 ? field->axis - 2 : -1;
}

/* A window of `reach` taps `dilation` apart, moved by `stride`. */
static void slide_field(Field *field, double reach, double dilation, double stride) {
    field->field += (reach - 1) * dilation * field->jump;
    field->jump *= stride;
}

/* The transpose: an output sees every `stride`-th tap. */
static void unslide_field(Field *field, double reach, double dilation, double stride) {
    field->field += (ceil(((reach - 1) * dilation + 1) / stride) - 1) * field->jump;
    field->jump /= stride;
}

static View window_view(const Node *node, View view) {
    for (int k = 0; k < 2; k++) {
        Field *field = &view.along[k];
        int s = spatial_index(field, node);
        if (s < 0) return view_of_everything();
        switch (node->op) {
        case OP_convolution: {
            const Geometry *a = geometry_of(node);
            slide_field(field, (double)dim_const_value(node->inputs[1]->shape.dims[2 + s]),
                        (double)a->dilation.items[s], (double)a->stride.items[s]);
            break;
        }
        case OP_convolution_backward_data: {
            const Geometry *a = geometry_of(node);
            unslide_field(field, (double)dim_const_value(node->inputs[1]->shape.dims[2 + s]),
                          (double)a->dilation.items[s], (double)a->stride.items[s]);
            break;
        }
        case OP_pool_sum: case OP_pool_max: {
            const Pooling *a = pooling_of(node);
            slide_field(field, (double)a->kernel.items[s], (double)a->dilation.items[s],
                        (double)a->stride.items[s]);
            break;
        }
        /* of (x, dy): dy is of the windows, so its jump is the wider one, which
         * joined_view took */
        case OP_max_pool_scatter: {
            const Pooling *a = pooling_of(node);
            unslide_field(field, (double)a->kernel.items[s], (double)a->dilation.items[s],
                          (double)a->stride.items[s]);
            break;
        }
        default: return view_of_everything();
        }
    }
    return view;
}

/* How many places a result reads along an axis that becomes `shrinks` times smaller. */
static double resample_reach(const resample_attributes *way, double shrinks) {
    double filter = strcmp(way->mode, "cubic") == 0 ? 4 : 2;
    if (strcmp(way->mode, "nearest") == 0) return 1;
    if (strcmp(way->mode, "area") == 0) return ceil(shrinks);
    return way->antialias ? ceil(filter * fmax(shrinks, 1)) : filter;
}

static View resample_view(const Evaluator *ev, const Node *node, View view) {
    for (int k = 0; k < 2; k++) {
        Field *field = &view.along[k];
        if (field->axis < 0) return view_of_everything();
        double from = (double)dim_typical(ev->dims, node->inputs[0]->shape.dims[field->axis]);
        double to = (double)dim_typical(ev->dims, node->shape.dims[field->axis]);
        double shrinks = to > 0 ? from / to : 1;
        slide_field(field, resample_reach(ATTRIBUTES(node, resample), shrinks), 1, shrinks);
    }
    return view;
}

static bool lists_axis(IntList axes, int axis) {
    for (int i = 0; i < axes.count; i++)
        if (axes.items[i] == axis) return true;
    return false;
}

/* Channels may be summed up or flipped, rows and columns may not. */
static View reduced_view(View view, IntList axes) {
    bool rows = lists_axis(axes, view.along[0].axis), columns = lists_axis(axes, view.along[1].axis);
    if (!rows && !columns) return view;
    view = view_of_everything();
    view.same = rows && columns;
    return view;
}

static View transposed_view(const Node *node, View view) {
    IntList permutation = ATTRIBUTES(node, transpose)->permutation;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < permutation.count; i++)
            if (permutation.items[i] == view.along[k].axis) {
                view.along[k].axis = i;
                break;
            }
    return view;
}

/* An axis keeps its place where the axes after it have the same sizes as before. */
static View reshaped_view(const Evaluator *ev, const Node *node, View view) {
    Shape from = node->inputs[0]->shape, to = node->shape;
    for (int k = 0; k < 2; k++) {
        int axis = view.along[k].axis, found = -1;
        Dim behind = dim_const(ev->dims, 1), here = dim_const(ev->dims, 1);
        for (int i = axis + 1; i < from.rank; i++) behind = dim_mul(ev->dims, behind, from.dims[i]);
        for (int i = to.rank - 1; i >= 0 && found < 0; i--) {
            if (here == behind && to.dims[i] == from.dims[axis]) found = i;
            here = dim_mul(ev->dims, here, to.dims[i]);
        }
        if (found < 0) return view_of_everything();
        view.along[k].axis = found;
    }
    return view;
}

static View node_view(const Evaluator *ev, const Node *node, const View *views) {
    View view = joined_view(node, views);
    if (!view.defined || view.everything) return view;
    switch (op_info[node->op].class) {
    case CLASS_ELEMENTWISE: return view;
    case CLASS_WINDOW:
        return node->op == OP_resample ? resample_view(ev, node, view) : window_view(node, view);
    case CLASS_CONTRACTION: return node->op == OP_matmul ? view_of_everything() : window_view(node, view);
    case CLASS_REDUCTION:
        if (node->op == OP_sum) return reduced_view(view, ATTRIBUTES(node, sum)->axes);
        if (node->op == OP_reduce_max) return reduced_view(view, ATTRIBUTES(node, reduce_max)->axes);
        return view_of_everything();
    case CLASS_MOVEMENT:
        if (node->op == OP_transpose) return transposed_view(node, view);
        if (node->op == OP_reshape) return reshaped_view(ev, node, view);
        if (node->op == OP_flip) return reduced_view(view, ATTRIBUTES(node, flip)->axes);
        return node->op == OP_gather ? view_of_everything() : view;
    case CLASS_SOURCE: case CLASS_SCATTER: case CLASS_ORDER: break;
    }
    return view_of_everything();
}

static const Node *first_picture(const Graph *graph) {
    for (int i = 0; i < graph->inputs.count; i++)
        if (graph->inputs.items[i].node->shape.rank == 4) return graph->inputs.items[i].node;
    return NULL;
}

int64_t *receptive_fields(Evaluator *ev, bool *unbounded) {
    const Graph *graph = ev->graph;
    View *views = NEW_ARRAY(ev->arena, View, graph->nodes.count);
    int64_t *fields = NEW_ARRAY(ev->arena, int64_t, graph->nodes.count);
    const Node *picture = first_picture(graph);
    *unbounded = false;
    for (int i = 0; picture && i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.items[i];
        views[i] = node == picture ? picture_view(node) : node_view(ev, node, views);
        mark_products(&views[i], node, views);
        *unbounded |= view_goes_on(node, views);
        if (views[i].defined && !views[i].everything)
            fields[i] = (int64_t)llround(fmax(views[i].along[0].field, views[i].along[1].field));
    }
    return fields;
}
