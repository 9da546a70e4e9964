/* The memory of a step of training: gradients do not wait for each other, what is cheap
 * is made again behind the peak, and what an optimizer's launches share is read once.
 * None of that may change what comes out, which is compared with the reference, with
 * shared memory and without, on one thread and three. */
#include "backend_support.h"

enum { MOST_PORTS = 64 };

typedef struct Step {
    TestGraph t;
    PortPlan inputs[MOST_PORTS], outputs[MOST_PORTS];
    Node *weights[MOST_PORTS], *gradients[MOST_PORTS];
    int places[MOST_PORTS]; /* of weights among the inputs */
    int count;
} Step;

static Step step_new(void) { return (Step){.t = test_graph(11)}; }

static Node *state_of_step(Step *s, double low, double high, int rank, const Dim *dims) {
    return new_input(&s->t, low, high, rank, dims);
}

static Node *trained(Step *s, double most, int rank, const Dim *dims) {
    s->places[s->count] = s->t.graph->inputs.count;
    return s->weights[s->count++] = state_of_step(s, -most, most, rank, dims);
}

static void store_in(Step *s, int input, Node *value) {
    s->outputs[s->t.graph->outputs.count].shares = input + 1;
    new_output(&s->t, value);
}

static Node *total(Step *s, Node *x) {
    int64_t axes[] = {0, 1, 2, 3};
    return build_reshape(s->t.graph, build_sum(s->t.graph, x, axes, x->shape.rank), 0, NULL);
}

static Node *scaled(Step *s, double scale, Node *x) { return binary(&s->t, OP_mul, splat(&s->t, scale), x); }

static void find_step_gradients(Step *s, Node *loss) {
    graph_gradient(s->t.graph, loss, s->weights, s->count, s->gradients);
    new_output(&s->t, loss);
}

/* w - 0.01 * g */
static void descend(Step *s, Node *loss) {
    find_step_gradients(s, loss);
    for (int i = 0; i < s->count; i++)
        store_in(s, s->places[i], binary(&s->t, OP_sub, s->weights[i], scaled(s, 0.01, s->gradients[i])));
}

static LowerOptions options_of_step(const Step *s, const char *target) {
    return WITH_TABLE(.target = target_find(target), .inputs = s->inputs, .outputs = s->outputs, .again = 1);
}

/* Checks what comes out, and frees the step. Gives the bytes of all buffers. */
static int64_t check_step(Step *s, double tolerance, const char *what) {
    const char *targets[] = {"x86-64-v3", "x86-64-v4"};
    int64_t bytes = 0;
    s->t.graph = passes_run(s->t.graph, &(PassOptions){.verify = true});
    for (int i = 0; i < COUNT_OF(targets); i++) {
        if (!can_run(targets[i])) continue;
        LowerOptions options = options_of_step(s, targets[i]);
        bytes = dim_const_value(program_arena_bytes(lower(s->t.graph, &options, s->t.arena)));
        compare_with_options(&s->t, &options, tolerance, what);
        options.own_slots = true;
        compare_with_options(&s->t, &options, tolerance, what);
    }
    arena_free(s->t.arena);
    return bytes;
}

/* ---- gradients ---- */

static Node *dense_layers(Step *s, int layers, int64_t width) {
    Node *x = state_of_step(s, -1, 1, SIZES(size(&s->t, 4), size(&s->t, width)));
    for (int i = 0; i < layers; i++) {
        Node *w = trained(s, 0.1, SIZES(size(&s->t, width), size(&s->t, width)));
        x = unary(&s->t, OP_tanh, graph_make(s->t.graph, OP_matmul, (Node *[]){x, w}, 2, NULL));
    }
    return total(s, x);
}

static const int64_t weight_bytes = 4 * 256 * 256;

/* Of eight gradients one is there at a time, and a packed weight. */
TEST(gradients_do_not_wait) {
    Step s = step_new();
    descend(&s, dense_layers(&s, 8, 256));
    CU_ASSERT(check_step(&s, 1e-5, "gradient descent") < 3 * weight_bytes);
}

TEST(gradients_wait_for_their_norm) {
    Step s = step_new();
    Node *squares = NULL;
    find_step_gradients(&s, dense_layers(&s, 4, 256));
    for (int i = 0; i < s.count; i++) {
        Node *square = total(&s, binary(&s.t, OP_mul, s.gradients[i], s.gradients[i]));
        squares = squares ? binary(&s.t, OP_add, squares, square) : square;
    }
    Node *scale = binary(&s.t, OP_min, splat(&s.t, 1),
                         binary(&s.t, OP_div, splat(&s.t, 0.1), unary(&s.t, OP_sqrt, squares)));
    for (int i = 0; i < s.count; i++) {
        Node *along =
            build_broadcast(s.t.graph, build_reshape(s.t.graph, scale, SIZES(size(&s.t, 1), size(&s.t, 1))),
                            2, s.gradients[i]->shape.dims);
        store_in(&s, s.places[i],
                 binary(&s.t, OP_sub, s.weights[i], binary(&s.t, OP_mul, along, s.gradients[i])));
    }
    CU_ASSERT(check_step(&s, 1e-5, "clipped gradients") >= 4 * weight_bytes);
}

/* What a weight replaces is read behind it, and so is not replaced in its place. */
TEST(an_average_takes_the_new_weight) {
    Step s = step_new();
    Node *loss = dense_layers(&s, 3, 256);
    int place = s.t.graph->inputs.count;
    Node *mean = state_of_step(&s, -1, 1, SIZES(size(&s.t, 256), size(&s.t, 256)));
    find_step_gradients(&s, loss);
    for (int i = 0; i < s.count; i++) {
        Node *w = binary(&s.t, OP_sub, s.weights[i], scaled(&s, 0.01, s.gradients[i]));
        store_in(&s, s.places[i], w);
        if (i == 1) store_in(&s, place, binary(&s.t, OP_add, scaled(&s, 0.9, mean), scaled(&s, 0.1, w)));
    }
    CU_ASSERT(check_step(&s, 1e-5, "an average of weights") < 3 * weight_bytes);
}

/* ---- optimizers ---- */

static int count_along(Step *s) {
    LowerOptions options = options_of_step(s, "x86-64-v3");
    const Program *program = lower(s->t.graph, &options, s->t.arena);
    int along = 0;
    for (int i = 0; i < program->launches.count; i++) along += program->launches.items[i]->fused > 0;
    return along;
}

/* Adam: a number of steps, two moments, and the weight. The launches of the moments and
 * of the weight run along with each other. */
TEST(moments_and_weight_share_a_pass) {
    Step s = step_new();
    Node *loss = dense_layers(&s, 1, 600);
    Dim dims[] = {size(&s.t, 600), size(&s.t, 600)};
    int first = s.t.graph->inputs.count;
    Node *t = state_of_step(&s, 3, 4, 0, NULL), *m = state_of_step(&s, -1, 1, 2, dims),
         *v = state_of_step(&s, 1, 2, 2, dims);
    find_step_gradients(&s, loss);
    Node *g = s.gradients[0], *steps = binary(&s.t, OP_add, t, splat(&s.t, 1));
    store_in(&s, first, steps);
    m = binary(&s.t, OP_add, scaled(&s, 0.9, m), scaled(&s, 0.1, g));
    store_in(&s, first + 1, m);
    v = binary(&s.t, OP_add, scaled(&s, 0.99, v), scaled(&s, 0.01, binary(&s.t, OP_mul, g, g)));
    store_in(&s, first + 2, v);
    Node *rate = binary(&s.t, OP_div, splat(&s.t, 0.01), steps);
    rate = build_broadcast(s.t.graph, build_reshape(s.t.graph, rate, SIZES(size(&s.t, 1), size(&s.t, 1))), 2,
                           dims);
    Node *step = binary(&s.t, OP_mul, rate, binary(&s.t, OP_div, m, unary(&s.t, OP_sqrt, v)));
    store_in(&s, s.places[0], binary(&s.t, OP_sub, s.weights[0], step));
    CU_ASSERT_EQUAL(count_along(&s), 2);
    check_step(&s, 1e-5, "Adam");
}

/* Of a map that L2 does not hold, in parts, and in two phases. */
TEST(sums_over_one_map_share_a_pass) {
    Step s = step_new();
    Dim dims[] = {size(&s.t, 1), size(&s.t, 32), size(&s.t, 192), size(&s.t, 192)};
    Node *x = state_of_step(&s, -1, 1, 4, dims), *y = state_of_step(&s, -1, 1, 4, dims);
    const int64_t places[] = {0, 2, 3};
    new_output(&s.t, build_sum(s.t.graph, x, places, 3));
    new_output(&s.t, build_sum(s.t.graph, binary(&s.t, OP_mul, x, y), places, 3));
    CU_ASSERT_EQUAL(count_along(&s), 1);
    check_step(&s, 1e-4, "two sums");
}

/* ---- large weights ---- */

/* 18 MB of weights, in two parts of 512 channels: forward, by x and by w. */
TEST(large_weights_are_taken_in_parts) {
    Step s = step_new();
    Node *x = trained(&s, 1, SIZES(size(&s.t, 1), size(&s.t, 512), size(&s.t, 4), size(&s.t, 4)));
    Node *w = trained(&s, 0.02, SIZES(size(&s.t, 1024), size(&s.t, 512), size(&s.t, 3), size(&s.t, 3)));
    Node *y = MAKE(&s.t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(1, 1),
                   DIMS(size(&s.t, 4), size(&s.t, 4)), 1);
    descend(&s, total(&s, unary(&s.t, OP_tanh, y)));
    const Graph *parts = passes_run(s.t.graph, &(PassOptions){.verify = true});
    int convolutions = 0;
    for (int i = 0; i < parts->nodes.count; i++)
        convolutions += op_info[parts->nodes.items[i]->op].class == CLASS_CONTRACTION;
    CU_ASSERT_EQUAL(convolutions, 6);
    check_step(&s, 1e-4, "weights in parts");
}

static Node *convolved_by(Step *s, Node *x, Node *w) {
    return MAKE(&s->t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(1, 1),
                DIMS(x->shape.dims[2], x->shape.dims[3]), 1);
}

static Node *convolved(Step *s, Node *x, int64_t channels) {
    Node *w = trained(s, 0.1, SIZES(size(&s->t, channels), x->shape.dims[1], size(&s->t, 3), size(&s->t, 3)));
    return convolved_by(s, x, w);
}

/* Winograd makes four times as much of weights of 2.4 MB. Their gradient is there
 * whole. */
TEST(transformed_weights_are_never_whole) {
    Step s = step_new();
    Node *x = state_of_step(&s, -1, 1, SIZES(size(&s.t, 2), size(&s.t, 256), size(&s.t, 8), size(&s.t, 8)));
    Node *y = unary(&s.t, OP_tanh, convolved(&s, x, 256));
    descend(&s, total(&s, unary(&s.t, OP_tanh, convolved(&s, y, 256))));
    CU_ASSERT(check_step(&s, 1e-3, "transformed weights") < 3 * 4 * 256 * 256 * 9);
}

/* ---- what is made again ---- */

static Node *per_map(Step *s, Node *x, Node *like) {
    return build_broadcast(s->t.graph, x, 4, like->shape.dims);
}

/* relu((y - mean) / deviation) */
static Node *normed(Step *s, Node *y) {
    const int64_t places[] = {0, 2, 3};
    Node *mean = scaled(s, 1.0 / (64 * 64), build_sum(s->t.graph, y, places, 3)),
         *d = binary(&s->t, OP_sub, y, per_map(s, mean, y));
    Node *variance =
        scaled(s, 1.0 / (64 * 64), build_sum(s->t.graph, binary(&s->t, OP_mul, d, d), places, 3));
    Node *deviation = unary(&s->t, OP_sqrt, binary(&s->t, OP_add, variance, splat(&s->t, 1e-5)));
    return binary(&s->t, OP_max, binary(&s->t, OP_div, d, per_map(s, deviation, y)), splat(&s->t, 0));
}

enum { MAP = 4 * 32 * 64 * 64 /* bytes */ };

static Node *normed_layers(Step *s, int layers) {
    Node *x =
        state_of_step(s, -1, 1, SIZES(size(&s->t, 1), size(&s->t, 32), size(&s->t, 64), size(&s->t, 64)));
    for (int i = 0; i < layers; i++) x = normed(s, convolved(s, x, 32));
    return scaled(s, 1e-4, total(s, binary(&s->t, OP_mul, x, x)));
}

/* Of each layer the convolution's result is kept, and the activation behind its norm is
 * made again. */
TEST(activations_are_made_again) {
    enum { LAYERS = 8 };
    Step s = step_new();
    descend(&s, normed_layers(&s, LAYERS));
    CU_ASSERT(check_step(&s, 1e-4, "layers with norms") <= (LAYERS + 4) * MAP);
}

/* So it is beside weights that are larger than all activations: new ones take the place
 * of old ones, and the peak is not at the end. */
TEST(new_weights_are_no_peak) {
    enum { LAYERS = 8 };
    Step s = step_new();
    Node *dense = dense_layers(&s, 8, 600);
    descend(&s, binary(&s.t, OP_add, normed_layers(&s, LAYERS), dense));
    CU_ASSERT(check_step(&s, 1e-4, "layers with norms, and dense ones") <= (LAYERS + 4) * MAP);
}

/* A packed weight does not wait for its second convolution while a wide one is
 * computed. */
TEST(packing_is_done_again) {
    Step s = step_new();
    Node *x = state_of_step(&s, -1, 1, SIZES(size(&s.t, 1), size(&s.t, 64), size(&s.t, 32), size(&s.t, 32)));
    Node *w = trained(&s, 0.1, SIZES(size(&s.t, 64), size(&s.t, 64), size(&s.t, 3), size(&s.t, 3)));
    Node *wide = unary(&s.t, OP_tanh, convolved(&s, unary(&s.t, OP_tanh, convolved_by(&s, x, w)), 256));
    new_output(&s.t, convolved_by(&s, unary(&s.t, OP_tanh, convolved(&s, wide, 64)), w));
    LowerOptions options = options_of_step(&s, "x86-64-v3");
    const Program *program = lower(s.t.graph, &options, s.t.arena);
    int packings = 0;
    for (int i = 0; i < program->launches.count; i++) {
        const Value *output = program->launches.items[i]->output;
        packings += is_packed(output) && output->node == w;
    }
    CU_ASSERT_EQUAL(packings, 2);
    check_step(&s, 1e-3, "packing again");
}
