/* Views of the reference: random chains of what only moves elements, before what reads
 * them where they lie and what wants a copy, against the same operators run one by one on
 * values in row-major order. */
#include "commands/commands.h"
#include "graph/ops.h"
#include "graph_test.h"

/* ---- a value a node, each in row-major order ---- */

static RefShape concrete(TestGraph *t, Shape shape) {
    RefShape result = {.type = shape.type, .rank = shape.rank, .count = count_of(t, shape)};
    for (int i = 0; i < shape.rank; i++) result.dims[i] = dim_const_value(shape.dims[i]);
    return result;
}

static RefTensor compute(TestGraph *t, const Node *node, const RefTensor *all) {
    const Number *inputs[4];
    RefShape shapes[4];
    RefTensor result = {concrete(t, node->shape), NULL};
    result.values = NEW_ARRAY(t->arena, Number, result.shape.count);
    for (int i = 0; i < node->input_count; i++)
        inputs[i] = all[node->inputs[i]->id].values, shapes[i] = all[node->inputs[i]->id].shape;
    RefCall call = {node, t->symbols, inputs, shapes, result.values, result.shape, 42, NULL, NULL};
    if (node->op == OP_input) give_value(t, node, &result);
    else op_info[node->op].reference(&call);
    return result;
}

/* By plain loops the same bits; OpenBLAS rounds otherwise, and takes fewer layouts. */
static bool is_same(const RefTensor *plain, const RefTensor *views, const RefTensor *fast) {
    bool same = memcmp(plain->values, views->values, sizeof *plain->values * (size_t)plain->shape.count) == 0;
    for (int64_t i = 0; i < plain->shape.count; i++)
        same = same && fabs(plain->values[i].real - fast->values[i].real) <= 1e-12;
    return same;
}

static void check(TestGraph *t) {
    int count = t->graph->outputs.count;
    RefTensor *all = NEW_ARRAY(t->arena, RefTensor, t->graph->nodes.count),
              *views = output_values(t, t->graph), fast;
    RefSource source = {
        .context = t, .parameter = give_value, .input = give_value, .product = product_openblas};
    for (int id = 0; id < t->graph->nodes.count; id++) all[id] = compute(t, t->graph->nodes.items[id], all);
    for (int i = 0; i < count; i++) {
        Node *node = t->graph->outputs.items[i].node;
        CU_ASSERT_FATAL(reference_evaluate(t->graph, &node, 1, t->symbols, 42, &source, t->arena, &fast));
        if (is_same(&all[node->id], &views[i], &fast)) continue;
        graph_print(t->graph, stderr);
        fprintf(stderr, "output %d differs\n", i);
        CU_FAIL("layouts");
    }
}

/* ---- chains ---- */

static Node *turned(TestGraph *t, Node *x) {
    int64_t order[REF_MAX_RANK];
    for (int i = 0; i < x->shape.rank; i++) {
        int at = random_below(t, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    return build_transpose(t->graph, x, order);
}

static Node *cut(TestGraph *t, Node *x) {
    Dim begin[REF_MAX_RANK], sizes[REF_MAX_RANK];
    int64_t steps[REF_MAX_RANK];
    for (int i = 0; i < x->shape.rank; i++) {
        int64_t all = dim_const_value(x->shape.dims[i]),
                first = random_below(t, 2) ? 0 : random_below(t, (int)all);
        steps[i] = 1 + random_below(t, 2);
        begin[i] = size(t, first);
        sizes[i] = size(t, 1 + (all - first - 1) / steps[i]);
    }
    return build_slice(t->graph, x, begin, sizes, steps);
}

static Node *repeated(TestGraph *t, Node *x) {
    Dim dims[REF_MAX_RANK];
    for (int i = 0; i < x->shape.rank; i++)
        dims[i] = dim_const_value(x->shape.dims[i]) == 1 ? size(t, 1 + random_below(t, 3)) : x->shape.dims[i];
    return build_broadcast(t->graph, x, x->shape.rank, dims);
}

static Node *backwards(TestGraph *t, Node *x) {
    int64_t axis = random_below(t, x->shape.rank);
    return MAKE(t, flip, &x, 1, {1, &axis});
}

/* An axis split in two, two made one, or an axis of size 1 put in. */
static Node *reshaped(TestGraph *t, Node *x) {
    Dim dims[REF_MAX_RANK];
    int rank = 0, at = random_below(t, x->shape.rank), way = random_below(t, 3);
    for (int i = 0; i < x->shape.rank; i++) {
        int64_t all = dim_const_value(x->shape.dims[i]), part = all % 2 == 0 ? 2 : 1;
        if (i == at && way == 0) dims[rank++] = size(t, all / part), dims[rank++] = size(t, part);
        else if (i == at + 1 && way == 1) dims[rank - 1] = size(t, dim_const_value(dims[rank - 1]) * all);
        else dims[rank++] = x->shape.dims[i];
    }
    if (way == 2 || rank == 0) dims[rank++] = size(t, 1);
    return build_reshape(t->graph, x, rank, dims);
}

static Node *moved(TestGraph *t, Node *x) {
    Node *(*const ways[])(TestGraph *, Node *) = {turned, cut, repeated, backwards, reshaped, reshaped};
    for (int count = random_below(t, 6); count > 0 && x->shape.rank < 6; count--)
        x = ways[random_below(t, COUNT_OF(ways))](t, x);
    return x;
}

static Node *new_tensor(TestGraph *t) {
    Dim dims[4];
    int rank = 1 + random_below(t, 4);
    for (int i = 0; i < rank; i++) dims[i] = size(t, 1 + random_below(t, 6));
    return new_input(t, -1, 1, rank, dims);
}

static IntList some_axes(TestGraph *t, int rank, int64_t *axes) {
    int count = 0;
    for (int i = 0; i < rank; i++)
        if (random_below(t, 2)) axes[count++] = i;
    return (IntList){count, axes};
}

/* What reads x: elementwise work with an operand of the same shape that lies otherwise, a
 * reduction, a product with it, a concatenation, or a function that wants a copy. */
static Node *reader(TestGraph *t, Node *x, Node *plain) {
    int64_t axes[REF_MAX_RANK];
    IntList list = some_axes(t, x->shape.rank, axes);
    int last = x->shape.rank - 1;
    switch (random_below(t, 8)) {
    case 0: return binary(t, OP_sub, x, plain);
    case 1: return build_select(t->graph, binary(t, OP_lt, plain, x), x, unary(t, OP_neg, x));
    case 2: return MAKE(t, sum, &x, 1, list);
    case 3: return MAKE(t, reduce_max, &x, 1, list);
    case 4: return MAKE(t, concat, ((Node *[]){x, plain, x}), 3, random_below(t, last + 1));
    case 5: return MAKE(t, cumsum, &x, 1, random_below(t, last + 1));
    default: break;
    }
    if (last < 1) return unary(t, OP_exp, x);
    for (int i = 0; i <= last; i++) axes[i] = i < last - 1 ? i : 2 * last - 1 - i;
    return graph_make(t->graph, OP_matmul,
                      (Node *[]){x, build_transpose(t->graph, random_below(t, 2) ? x : plain, axes)}, 2,
                      NULL);
}

TEST(views) {
    for (uint64_t seed = 0; seed < 4000; seed++) {
        TestGraph t = test_graph(seed);
        for (int i = 0; i < 3; i++) {
            Node *x = moved(&t, new_tensor(&t)),
                 *y = reader(&t, x, new_input(&t, -1, 1, x->shape.rank, x->shape.dims));
            new_output(&t, moved(&t, unary(&t, OP_abs, moved(&t, y))));
            if (random_below(&t, 2)) new_output(&t, random_below(&t, 2) ? x : y);
        }
        check(&t);
        arena_free(t.arena);
    }
}

/* Longer than the parts in which elementwise work goes through a row, and in the memory
 * of an operand. */
TEST(long_rows) {
    const int64_t lengths[] = {511, 512, 513, 1500};
    for (int i = 0; i < COUNT_OF(lengths); i++) {
        TestGraph t = test_graph((uint64_t)i);
        Dim shape[] = {size(&t, 3), size(&t, lengths[i])}, column[] = {size(&t, 3), size(&t, 1)};
        Node *x = unary(&t, OP_neg, new_input(&t, -1, 1, 2, shape)),
             *bias = build_broadcast(t.graph, new_input(&t, -1, 1, 2, column), 2, shape);
        new_output(&t, unary(&t, OP_abs, binary(&t, OP_mul, bias, binary(&t, OP_sub, x, bias))));
        check(&t);
        arena_free(t.arena);
    }
}
