/* States: outputs that share the memory of inputs. Whatever is read after the new value
 * was made, in place or not, must be what the graph says; and launches that serve outputs
 * of some runs only are left out in the others. */
#include "backend_support.h"

enum { MOST = 8 };

typedef struct States {
    TestGraph t;
    PortPlan inputs[MOST], outputs[MOST];
} States;

static States states_new(void) { return (States){.t = test_graph(5)}; }

static Node *state(States *s, int rank, const Dim *dims) { return new_input(&s->t, -1, 1, rank, dims); }

/* The new value of the state that is input `input`. */
static void store(States *s, int input, Node *value) {
    s->outputs[s->t.graph->outputs.count].shares = input + 1;
    new_output(&s->t, value);
}

static LowerOptions options_of(const States *s, const char *target) {
    return WITH_TABLE(.target = target_find(target), .inputs = s->inputs, .outputs = s->outputs);
}

/* Launches that only copy into a state. */
static int stores(const Program *program) {
    int count = 0;
    for (int i = 0; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        count += kernel->output->space == SPACE_OUTPUT && kernel->member_count == 0;
    }
    return count;
}

/* What comes out is what the reference makes of the graph, where memory is shared and
 * where every value has its own; and so many states are stored by a copy at the end. */
static void check(States *s, int wanted_stores, const char *what) {
    const char *targets[] = {"x86-64-v3", "x86-64-v4"};
    for (int i = 0; i < COUNT_OF(targets); i++) {
        if (!can_run(targets[i])) continue;
        LowerOptions options = options_of(s, targets[i]);
        CU_ASSERT_EQUAL(stores(lower(s->t.graph, &options, s->t.arena)), wanted_stores);
        compare_with_options(&s->t, &options, 1e-6, what);
        options.own_slots = true;
        compare_with_options(&s->t, &options, 1e-6, what);
    }
    arena_free(s->t.arena);
}

/* w - 0.1 * d(sum(tanh(x w)))/dw: the last that reads w reads it in its place. */
TEST(weights_are_replaced_in_place) {
    States s = states_new();
    Node *x = state(&s, SIZES(size(&s.t, 9), size(&s.t, 40))),
         *w = state(&s, SIZES(size(&s.t, 40), size(&s.t, 33)));
    Node *product = graph_make(s.t.graph, OP_matmul, (Node *[]){x, w}, 2, NULL), *gradient;
    Node *loss = build_reshape(
        s.t.graph, build_sum(s.t.graph, unary(&s.t, OP_tanh, product), (int64_t[]){0, 1}, 2), 0, NULL);
    graph_gradient(s.t.graph, loss, &w, 1, &gradient);
    new_output(&s.t, loss);
    store(&s, 1, binary(&s.t, OP_sub, w, binary(&s.t, OP_mul, splat(&s.t, 0.1), gradient)));
    check(&s, 0, "a step of gradient descent");
}

/* Here the loss is computed of the old weight behind the kernel that makes the new
 * one. */
TEST(what_is_read_later_keeps_the_old_value) {
    States s = states_new();
    Node *w = state(&s, SIZES(size(&s.t, 70)));
    Node *once = binary(&s.t, OP_mul, w, splat(&s.t, 2));
    Node *sum = build_sum(s.t.graph, once, (int64_t[]){0}, 1);
    store(&s, 0, binary(&s.t, OP_add, once, sum));
    new_output(
        &s.t, build_sum(s.t.graph, binary(&s.t, OP_mul, binary(&s.t, OP_mul, w, w), sum), (int64_t[]){0}, 1));
    check(&s, 1, "an old value that is read later");
}

TEST(states_change_places) {
    States s = states_new();
    Node *a = state(&s, SIZES(size(&s.t, 50))), *b = state(&s, SIZES(size(&s.t, 50)));
    store(&s, 0, b);
    store(&s, 1, a);
    check(&s, 2, "a and b exchanged");
}

TEST(unchanged_states_are_left_alone) {
    States s = states_new();
    Node *a = state(&s, SIZES(size(&s.t, 50)));
    store(&s, 0, a);
    LowerOptions options = options_of(&s, "x86-64-v3");
    CU_ASSERT_EQUAL(lower(s.t.graph, &options, s.t.arena)->launches.count, 0);
    check(&s, 0, "a state that stays");
}

/* Element i comes from element i + 1: no place may be written before its neighbour is
 * read. */
TEST(moved_elements_are_stored_by_a_copy) {
    States s = states_new();
    Node *a = state(&s, SIZES(size(&s.t, 50)));
    Dim zero = size(&s.t, 0), one = size(&s.t, 1);
    Node *tail = build_slice(s.t.graph, a, &one, (Dim[]){size(&s.t, 49)}, NULL),
         *head = build_slice(s.t.graph, a, &zero, &one, NULL);
    store(&s, 0, build_concat(s.t.graph, (Node *[]){tail, head}, 2, 0));
    check(&s, 1, "elements turned round");
}

TEST(convolution_weights_of_four_axes) {
    States s = states_new();
    Node *w = state(&s, SIZES(size(&s.t, 32), size(&s.t, 16), size(&s.t, 3), size(&s.t, 3)));
    Node *x = state(&s, SIZES(size(&s.t, 2), size(&s.t, 16), size(&s.t, 8), size(&s.t, 8))), *gradient;
    int64_t ones[] = {1, 1};
    convolution_attributes attributes = {
        {2, ones}, {2, ones}, {2, ones}, {2, (Dim[]){size(&s.t, 8), size(&s.t, 8)}}, 1};
    Node *y = graph_make(s.t.graph, OP_convolution, (Node *[]){x, w}, 2, &attributes);
    Node *loss = build_reshape(
        s.t.graph, build_sum(s.t.graph, binary(&s.t, OP_mul, y, y), (int64_t[]){0, 1, 2, 3}, 4), 0, NULL);
    graph_gradient(s.t.graph, loss, &w, 1, &gradient);
    store(&s, 0, binary(&s.t, OP_sub, w, binary(&s.t, OP_mul, splat(&s.t, 0.001), gradient)));
    check(&s, 0, "weights of a convolution");
}

/* ---- guards ---- */

/* Every run: a + 1. In runs in which guard 1 holds: b + sum(exp(c)), which is read in all
 * runs where it holds. */
static States guarded(void) {
    States s = states_new();
    Node *a = state(&s, SIZES(size(&s.t, 30))), *b = state(&s, SIZES(size(&s.t, 30))),
         *c = state(&s, SIZES(size(&s.t, 200)));
    Node *active = MAKE(&s.t, input, NULL, 0, intern(s.t.graph->names, "active"), DTYPE_BOOL, {0});
    vec_push(s.t.arena, &s.t.graph->inputs,
             ((Port){.name = intern(s.t.graph->names, "active"), .node = active}));
    add_values(&s.t, active, 0, 1);
    s.inputs[3].guards = 2;
    Node *sum = build_sum(s.t.graph, unary(&s.t, OP_exp, c), (int64_t[]){0}, 1);
    Node *next = binary(&s.t, OP_add, b, sum);
    store(&s, 0, binary(&s.t, OP_add, a, splat(&s.t, 1)));
    s.outputs[1].guards = 2;
    store(&s, 1, next);
    Node *seen = build_select(s.t.graph, build_broadcast(s.t.graph, active, 1, next->shape.dims), next, b);
    new_output(&s.t, build_sum(s.t.graph, seen, (int64_t[]){0}, 1));
    return s;
}

static int guarded_launches(const Program *program) {
    int count = 0;
    for (int i = 0; i < program->launches.count; i++) count += program->launches.items[i]->guards == 2;
    return count;
}

TEST(guarded_launches_are_left_out) {
    const char *target = can_run("x86-64-v4") ? "x86-64-v4" : "x86-64-v3";
    for (int own = 0; own < 2; own++) {
        States s = guarded();
        LowerOptions options = options_of(&s, target);
        options.own_slots = own;
        Compiled compiled;
        Number *out[3];
        CU_ASSERT_FATAL(compile_and_load(&s.t, &options, &compiled));
        CU_ASSERT(guarded_launches(compiled.lowered) >= 2);
        round_inputs(&s.t);
        for (int threads = 1; threads <= 3; threads += 2) {
            compiled.guards = 1; /* another one */
            s.t.inputs.items[3].values[0].whole = 0;
            CU_ASSERT_FATAL(run_compiled(&compiled, threads, out));
            double sum = 0, last = s.t.inputs.items[1].values[29].real;
            for (int i = 0; i < 30; i++) sum += s.t.inputs.items[1].values[i].real;
            CU_ASSERT_EQUAL(out[0][29].real, (float)(s.t.inputs.items[0].values[29].real + 1));
            CU_ASSERT_EQUAL(out[1][29].real, last);
            CU_ASSERT_DOUBLE_EQUAL(out[2][0].real, sum, 1e-5);
            compiled.guards = 3;
            s.t.inputs.items[3].values[0].whole = 1;
            double more = 0;
            for (int i = 0; i < 200; i++) more += exp(s.t.inputs.items[2].values[i].real);
            CU_ASSERT_FATAL(run_compiled(&compiled, threads, out));
            CU_ASSERT_DOUBLE_EQUAL(out[1][29].real, last + more, 1e-3);
            CU_ASSERT_DOUBLE_EQUAL(out[2][0].real, sum + 30 * more, 1e-1);
        }
        unload(&compiled);
        arena_free(s.t.arena);
    }
}
