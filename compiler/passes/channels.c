/* Splits a convolution whose large weight the run computes into parts of its channels:
 *
 *     conv(x, w)                to concat(conv(x, w[0 : 256]), conv(x, w[256 : 512]), ..)
 *     its gradient by x         to parts of the channels of x, by w[:, 0 : 256], ..
 *     its gradient by w         to parts of w, by dy[:, 0 : 256], ..
 *
 * Kernels read such weights packed, and Winograd transforms them to several times their
 * size, as it does with the sums of a gradient by w: the 38 MB of a 3x3 kernel of 1024
 * channels become 151 MB. With parts, only the packed weight of one part is in memory at
 * a time. Parts are as wide as MOST_BYTES allows, and are computed in place in the
 * result. So all they cost is that each part reads the map again, which is small where
 * weights are large.
 *
 * Weights that are parameters are packed while building, and are left alone. Needs
 * nothing. Runs last, since other passes look for complete convolutions. No sum changes
 * its terms. */
#include "graph/ops.h"
#include "passes/passes.h"

enum {
    MOST_BYTES = 1 << 24 /* of a weight at once */,
    PART_CHANNELS = 64 /* a multiple of the channel blocks of all targets */
};

typedef struct PartedOp {
    Op op;
    int cut, joined; /* axes of the channels: of the right operand, and of the result */
} PartedOp;

static const PartedOp parted[] = {
    {OP_convolution, 0, 1}, {OP_convolution_backward_data, 1, 1}, {OP_convolution_backward_weights, 1, 0}};

static const PartedOp *parted_op(const Node *node) {
    for (int i = 0; i < COUNT_OF(parted); i++)
        if (parted[i].op == node->op) return &parted[i];
    return NULL;
}

typedef struct ChannelCuts { /* for the graph that is rewritten */
    const Graph *graph;
    NodeSources sources;
} ChannelCuts;

/* The channels of a part; 0 if the weight is small enough to be taken as a whole. */
static int64_t channels_of_part(const Node *node, int64_t channels) {
    const Node *w = node->op == OP_convolution_backward_weights ? node : node->inputs[1];
    int64_t elements;
    if (!shape_element_count(w->shape, &elements)) return 0;
    int64_t parts = ceil_div(elements * dtype_bytes(w->shape.type), MOST_BYTES);
    int64_t each = round_up(ceil_div(channels, parts), PART_CHANNELS);
    return each < channels ? each : 0;
}

static Node *part_of_channels(Graph *g, Node *x, int axis, int64_t begin, int64_t count) {
    Dim from[REF_MAX_RANK], size[REF_MAX_RANK];
    for (int i = 0; i < x->shape.rank; i++) from[i] = dim_const(g->dims, 0), size[i] = x->shape.dims[i];
    from[axis] = dim_const(g->dims, begin);
    size[axis] = dim_const(g->dims, count);
    return build_slice(g, x, from, size, NULL);
}

static Node *take_in_parts(Graph *g, const Node *old, Node *const *in, void *context) {
    ChannelCuts *cuts = context;
    const PartedOp *op = parted_op(old);
    int64_t channels;
    if (!op || !(node_sources(&cuts->sources, cuts->graph, old->inputs[1]) & MADE_OF_INPUTS) ||
        !dim_is_const(old->shape.dims[op->joined], &channels))
        return NULL;
    int64_t each = channels_of_part(old, channels);
    /* the attributes of the three operators are equal, and `groups` is their last */
    if (each == 0 || ((const convolution_attributes *)old->attributes)->groups != 1) return NULL;
    Node **parts = NEW_ARRAY(g->arena, Node *, ceil_div(channels, each));
    int count = 0;
    for (int64_t begin = 0; begin < channels; begin += each) {
        Node *cut = part_of_channels(g, in[1], op->cut, begin, min_i64(each, channels - begin));
        parts[count++] = graph_make(g, old->op, (Node *[]){in[0], cut}, 2, old->attributes);
    }
    return build_concat(g, parts, count, op->joined);
}

Graph *pass_channels(Graph *graph) {
    ChannelCuts cuts = {.graph = graph};
    return graph_rewrite(graph, take_in_parts, &cuts);
}
