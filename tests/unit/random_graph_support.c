/* Random graphs with every operator. */
#include "random_graph_support.h"

typedef Vec(Node *) Pool; /* floats of rank 4: batch N, channels and width constant, height any */

/* Any node, often one of the last, so that chains come about. */
static Node *any(TestGraph *t, const Pool *pool) {
    int recent = pool->count < 3 ? pool->count : 3;
    return pool->items[random_below(t, 2) ? random_below(t, pool->count)
                                          : pool->count - 1 - random_below(t, recent)];
}

static Node *positive(TestGraph *t, Node *x) { return binary(t, OP_add, unary(t, OP_abs, x), splat(t, 0.5)); }
static int64_t size_of(const Node *x, int axis) { return dim_const_value(x->shape.dims[axis]); }

/* An operand that fits x: a node of the same shape, a channel's or pixel's parameter, a
 * constant. */
static Node *partner(TestGraph *t, const Pool *pool, const Node *x) {
    static const double constants[] = {0, 1, -1, 2, 0.5, -3.7};
    Node *other = any(t, pool);
    switch (random_below(t, 4)) {
    case 0: return splat(t, constants[random_below(t, COUNT_OF(constants))]);
    case 1: return new_parameter(t, 0.5, 1.5, SIZES(x->shape.dims[1], size(t, 1), size(t, 1)));
    case 2:
        return new_parameter(t, 0.5, 1.5, SIZES(size(t, 1), x->shape.dims[1], size(t, 1), x->shape.dims[3]));
    default: break;
    }
    if (shape_equal(other->shape, x->shape)) return other;
    return new_parameter(t, -1, 1, SIZES(x->shape.dims[1], size(t, 1), size(t, 1)));
}

static Node *condition(TestGraph *t, const Pool *pool, const Node *x) {
    Node *a = binary(t, OP_add, (Node *)x, partner(t, pool, x));
    return binary(t, OP_lt, a, splat(t, random_in(t, -1, 1)));
}

static Node *as_float(TestGraph *t, Node *x) { return build_cast(t->graph, x, DTYPE_F32); }

static Node *random_elementwise(TestGraph *t, Op op, const Pool *pool) {
    Node *x = any(t, pool), *y = partner(t, pool, x);
    if (takes_positive(op) && op_info[op].max_inputs == 1) return unary(t, op, positive(t, x));
    switch (op) {
    case OP_exp: case OP_exp2: case OP_expm1: return unary(t, op, unary(t, OP_tanh, x));
    case OP_floor:
    case OP_ceil:
    case OP_round: return unary(t, op, binary(t, OP_add, x, splat(t, random_in(t, 0, 1))));
    case OP_cast:
        return as_float(t,
                        build_cast(t->graph, binary(t, OP_add, x, splat(t, random_in(t, 0, 1))), DTYPE_I32));
    case OP_not: return as_float(t, unary(t, op, condition(t, pool, x)));
    case OP_and: case OP_or: return as_float(t, binary(t, op, condition(t, pool, x), condition(t, pool, x)));
    case OP_eq: case OP_ne: case OP_lt: case OP_le: return as_float(t, binary(t, op, x, y));
    case OP_pow: return binary(t, op, positive(t, x), splat(t, (double)random_below(t, 9) / 2 - 1));
    case OP_div:
        return random_below(t, 2)
                   ? binary(t, op, x, positive(t, y))
                   : binary(t, op, x,
                            new_parameter(t, 0.5, 1.5, SIZES(x->shape.dims[1], size(t, 1), size(t, 1))));
    case OP_floor_div:
    case OP_mod: return binary(t, op, binary(t, OP_add, x, splat(t, random_in(t, 0, 1))), positive(t, y));
    case OP_select:
        return build_select(t->graph, condition(t, pool, x), x,
                            build_broadcast(t->graph, y, 4, x->shape.dims));
    default: break;
    }
    if (op_info[op].max_inputs == 1) return unary(t, op, x);
    return random_below(t, 2) ? binary(t, op, x, y) : binary(t, op, y, x);
}

static Node *random_slice(TestGraph *t, Node *x) {
    int64_t width = size_of(x, 3), channels = size_of(x, 1), from = random_below(t, (int)channels),
            count = 1 + random_below(t, (int)(channels - from)), step = 1 + random_below(t, 2);
    int64_t left = random_below(t, (int)width);
    Dim begin[4] = {size(t, 0), size(t, from), size(t, 0), size(t, left)};
    Dim sizes[4] = {x->shape.dims[0], size(t, count), x->shape.dims[2],
                    size(t, (width - left - 1) / step + 1)};
    return build_slice(t->graph, x, begin, sizes, (int64_t[]){1, 1, 1, step});
}

static Node *random_pad(TestGraph *t, Node *x) {
    static const char *const modes[] = {"constant", "constant", "reflect", "replicate"};
    int rows = dim_is_const(x->shape.dims[2], NULL) ? 1 : 2; /* reflect needs two rows */
    Dim zero = size(t, 0), before[4] = {zero, zero, size(t, random_below(t, rows)), size(t, 1)};
    Dim after[4] = {zero, zero, size(t, random_below(t, rows)), size(t, 1)};
    if (size_of(x, 3) < 2) return x;
    return build_pad(t->graph, x, before, after, modes[random_below(t, 4)], random_below(t, 2));
}

static Node *random_transpose(TestGraph *t, Node *x) { /* there, work, and back */
    Node *turned = build_transpose(t->graph, x, (int64_t[]){0, 3, 1, 2});
    return build_transpose(t->graph, unary(t, OP_tanh, turned), (int64_t[]){0, 2, 3, 1});
}

static Node *random_reshape(TestGraph *t, Node *x) {
    Dims *dims = t->graph->dims;
    Dim flat[3] = {x->shape.dims[0], x->shape.dims[1], dim_mul(dims, x->shape.dims[2], x->shape.dims[3])};
    Node *y = unary(t, OP_neg, build_reshape(t->graph, x, 3, flat));
    return build_reshape(t->graph, y, 4, x->shape.dims);
}

/* A channel of x, for whichever sample: where the first element of all is largest. */
static Node *random_channel(TestGraph *t, Node *x) {
    Dim zero = size(t, 0), one = size(t, 1), begin[4] = {zero, zero, zero, zero},
        sizes[4] = {one, one, one, one};
    Node *first = build_slice(t->graph, MAKE(t, argmax, &x, 1, 1), begin, sizes, NULL);
    return build_reshape(t->graph, first, SIZES(one));
}

static Node *random_put(TestGraph *t, Node *x) {
    Dim zero = size(t, 0), begin[4] = {zero, zero, zero, zero};
    Dim sizes[4] = {x->shape.dims[0], size(t, 1), x->shape.dims[2], x->shape.dims[3]};
    Node *values = unary(t, OP_sin, build_slice(t->graph, x, begin, sizes, NULL));
    return MAKE(t, put, ((Node *[]){x, random_channel(t, x), values}), 3, 1);
}

static Node *random_movement(TestGraph *t, Op op, const Pool *pool) {
    Node *x = any(t, pool), *parts[3] = {x, x, unary(t, OP_sin, x)};
    switch (op) {
    case OP_reshape: return random_reshape(t, x);
    case OP_transpose: return random_transpose(t, x);
    case OP_slice: return random_slice(t, x);
    case OP_pad: return random_pad(t, x);
    case OP_concat: return build_concat(t->graph, parts, 1 + random_below(t, 3), 1);
    case OP_flip: return MAKE(t, flip, &x, 1, INTS(1 + random_below(t, 3)));
    case OP_broadcast: {
        int64_t axis = 1 + random_below(t, 3);
        return build_broadcast(t->graph, build_sum(t->graph, x, &axis, 1), 4, x->shape.dims);
    }
    case OP_gather: return MAKE(t, gather, ((Node *[]){x, random_channel(t, x)}), 2, 1);
    default: return x;
    }
}

static Node *random_contraction(TestGraph *t, Op op, const Pool *pool) {
    Dims *dims = t->graph->dims;
    Node *x = any(t, pool);
    int64_t channels = size_of(x, 1), width = size_of(x, 3), stride = 1 + random_below(t, 2);
    int64_t groups = random_below(t, 3) ? 1 : channels;
    int64_t before = random_below(t, 2);
    if (op == OP_matmul) {
        Node *w = new_parameter(t, -1, 1, SIZES(size(t, width), size(t, 4)));
        Node *rows = build_reshape(
            t->graph, x,
            SIZES(dim_mul(dims, dim_mul(dims, x->shape.dims[0], x->shape.dims[1]), x->shape.dims[2]),
                  x->shape.dims[3]));
        return build_reshape(t->graph, graph_make(t->graph, op, (Node *[]){rows, w}, 2, NULL),
                             SIZES(x->shape.dims[0], x->shape.dims[1], x->shape.dims[2], size(t, 4)));
    }
    int64_t kernel = width + 2 * before >= 3 ? 3 : 1;
    Node *w = new_parameter(t, -0.5, 0.5,
                            SIZES(size(t, channels == groups ? channels : 4), size(t, channels / groups),
                                  size(t, 1), size(t, kernel)));
    if (op == OP_convolution_backward_data) {
        w = new_parameter(
            t, -0.5, 0.5,
            SIZES(size(t, channels), size(t, groups == 1 ? 3 : 1), size(t, 1), size(t, kernel)));
        DimList sizes = DIMS(x->shape.dims[2], size(t, (width - 1) * stride + kernel - 2 * before));
        if (dim_const_value(sizes.items[1]) < 1) return x;
        return MAKE(t, convolution_backward_data, ((Node *[]){x, w}), 2, INTS(1, stride), INTS(1, 1),
                    INTS(0, before), sizes, groups);
    }
    DimList sizes = DIMS(x->shape.dims[2], size(t, (width + 2 * before - kernel) / stride + 1));
    return MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(1, stride), INTS(1, 1), INTS(0, before), sizes,
                groups);
}

static Node *random_window(TestGraph *t, Op op, const Pool *pool) {
    Node *x = any(t, pool);
    int64_t width = size_of(x, 3);
    DimList sizes = DIMS(x->shape.dims[2], size(t, (width + 1) / 2));
    if (op == OP_pool_sum)
        return MAKE(t, pool_sum, &x, 1, INTS(1, 2), INTS(1, 2), INTS(1, 1), INTS(0, width % 2), sizes);
    if (op == OP_pool_max)
        return MAKE(t, pool_max, &x, 1, INTS(1, 2), INTS(1, 2), INTS(1, 1), INTS(0, width % 2), sizes);
    if (op == OP_max_pool_gather)
        return MAKE(t, max_pool_gather, ((Node *[]){x, unary(t, OP_sin, x)}), 2, INTS(1, 2), INTS(1, 2),
                    INTS(1, 1), INTS(0, width % 2), sizes);
    static const char *const modes[] = {"nearest", "bilinear", "bilinear", "cubic",
                                        "area",    "cubic",    "bilinear"};
    int mode = random_below(t, COUNT_OF(modes));
    return MAKE(t, resample, &x, 1, sizes, intern(t->graph->names, modes[mode]),
                intern(t->graph->names, "half_pixel"), mode >= 5, -0.75);
}

/* Each row of a map a box, of the last four columns (or of one, four times), with its
 * first element as score. */
static Node *random_nms(TestGraph *t, Node *x) {
    Dim rows = dim_mul(t->graph->dims, x->shape.dims[1], x->shape.dims[2]), zero = size(t, 0),
        one = size(t, 1), width = x->shape.dims[3];
    bool wide = size_of(x, 3) >= 4;
    Node *flat = build_reshape(t->graph, x, SIZES(x->shape.dims[0], rows, width));
    Node *part = build_slice(t->graph, flat, (Dim[]){zero, zero, zero},
                             (Dim[]){x->shape.dims[0], rows, wide ? size(t, 4) : one}, NULL);
    Node *first =
        build_slice(t->graph, flat, (Dim[]){zero, zero, zero}, (Dim[]){x->shape.dims[0], rows, one}, NULL);
    Node *inputs[2] = {build_broadcast(t->graph, part, SIZES(x->shape.dims[0], rows, size(t, 4))),
                       build_reshape(t->graph, first, SIZES(x->shape.dims[0], rows))};
    Node *places = as_float(t, MAKE(t, nms, inputs, 2, 5, 0.5, -0.25));
    return build_reshape(t->graph, places, SIZES(x->shape.dims[0], size(t, 5), one, one));
}

static Node *random_source(TestGraph *t, Op op, const Node *like) {
    if (op == OP_iota) return MAKE(t, iota, NULL, 0, DTYPE_F32, {4, like->shape.dims}, random_below(t, 4));
    if (op == OP_size) {
        Node *height = MAKE(t, size, NULL, 0, DTYPE_F32, {1, &like->shape.dims[2]});
        return binary(t, OP_add, (Node *)like, binary(t, OP_mul, splat(t, 0.01), height));
    }
    if (op == OP_uniform)
        return MAKE(t, uniform, NULL, 0, intern(t->graph->names, "noise"), DTYPE_F32, {4, like->shape.dims});
    return build_splat(t->graph, 0.5, like->shape);
}

/* A node made by `op`; the operators that gradients are made of come with gradients. */
static Node *random_node(TestGraph *t, Op op, const Pool *pool) {
    Node *x = any(t, pool);
    switch (op_info[op].class) {
    case CLASS_SOURCE: return random_source(t, op, x);
    case CLASS_ELEMENTWISE: return random_elementwise(t, op, pool);
    case CLASS_MOVEMENT: return random_movement(t, op, pool);
    case CLASS_CONTRACTION:
        return random_contraction(t, op == OP_convolution_backward_weights ? OP_convolution : op, pool);
    case CLASS_WINDOW: return random_window(t, op, pool);
    default: break;
    }
    if (op == OP_sum)
        return build_sum(t->graph, x, random_below(t, 2) ? (int64_t[]){1, 3} : (int64_t[]){2, 3},
                         1 + random_below(t, 2));
    if (op == OP_reduce_max) return MAKE(t, reduce_max, &x, 1, INTS(2, 3));
    if (op == OP_cumsum)
        return binary(t, OP_mul, MAKE(t, cumsum, &x, 1, 1 + random_below(t, 3)), splat(t, 0.125));
    if (op == OP_put) return random_put(t, x);
    if (op == OP_nms) return random_nms(t, x);
    if (op == OP_top_k)
        return as_float(t, MAKE(t, top_k, &x, 1, DIMS(size(t, 1 + random_below(t, (int)size_of(x, 1)))), 1,
                                random_below(t, 2)));
    if (op == OP_argmax) return as_float(t, MAKE(t, argmax, &x, 1, 1));
    return x;
}

/* Where a small error of an operand can make a large one. */
static bool jumps(Op op) {
    switch (op) {
    case OP_sign:
    case OP_floor:
    case OP_ceil:
    case OP_round:
    case OP_cast:
    case OP_not:
    case OP_eq:
    case OP_ne:
    case OP_lt:
    case OP_le:
    case OP_floor_div:
    case OP_mod:
    case OP_and:
    case OP_or:
    case OP_select:
    case OP_argmax:
    case OP_top_k:
    case OP_nms:
    case OP_gather:
    case OP_put:
    case OP_max_pool_gather: return true;
    default: return false;
    }
}

/* Any operator, often one of the same class as the one before, so that rules of pairs are
 * met. */
static Op random_op(TestGraph *t, Op last, bool continuous) {
    bool like = random_below(t, 2);
    for (;;) {
        Op op = (Op)random_below(t, OP_COUNT);
        if ((!like || op_info[op].class == op_info[last].class) && !(continuous && jumps(op))) return op;
    }
}

/* Outputs for the gradients of y by up to six inputs and parameters; gives the first. */
static Node *add_gradients(TestGraph *t, Node *y) {
    Node *xs[6], *gradients[6];
    int count = t->inputs.count < 6 ? t->inputs.count : 6;
    for (int i = 0; i < count; i++) xs[i] = t->inputs.items[i].node;
    y = build_sum(t->graph, unary(t, OP_tanh, y), (int64_t[]){0, 1, 2, 3}, 4);
    graph_gradient(t->graph, build_reshape(t->graph, y, 0, NULL), xs, count, gradients);
    for (int i = 0; i < count; i++) new_output(t, gradients[i]);
    return gradients[0];
}

void random_graph(TestGraph *t, int gradients, bool continuous) {
    Pool pool = {0};
    for (int i = 0; i < 2; i++)
        vec_push(t->arena, &pool, new_input(t, -1, 1, SIZES(t->N, size(t, 3), t->H, size(t, 6))));
    Op op = OP_add;
    for (int i = 0; i < 24; i++) {
        op = random_op(t, op, continuous);
        Node *node = random_node(t, op, &pool);
        int64_t count = count_of(t, node->shape);
        if (count <= 20000) vec_push(t->arena, &pool, random_below(t, 5) ? node : unary(t, OP_tanh, node));
    }
    for (int i = 0; i < 8; i++) new_output(t, any(t, &pool));
    new_output(t, vec_last(&pool));
    Node *y = vec_last(&pool);
    for (int order = 1; order <= gradients; order++) y = add_gradients(t, y);
}
