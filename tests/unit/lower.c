/* Lowering. Programs are run by an interpreter that knows nothing of kernels: each launch
 * reads its inputs from the simulated memory of slots, by their layouts and strides,
 * computes its members by the operators' reference functions, and writes its output back.
 * What comes out must be what the graph gives when it is evaluated as a whole; so fusion,
 * layouts, views, lifetimes and writing in place are all put to the test, on graphs made
 * by hand and on random ones. */
#include "graph_test.h"
#include "kernels/kernels.h"
#include "plan/stages.h"
#include "plan/winograd.h"

static TestGraph t;
static Arena *arena;
static Graph *g;
static Dim N, H; /* symbols */

static Dim constant(int64_t value) { return size(&t, value); }

static void begin_random_graph(uint64_t seed) {
    if (t.arena) arena_free(t.arena);
    t = test_graph(seed);
    arena = t.arena, g = t.graph, N = t.N, H = t.H;
    dims_symbol(g->dims, 0)->typical = 1;
    dims_symbol(g->dims, 1)->typical = 32;
}

static void begin_graph(void) { begin_random_graph(1); }

static Node *add_input(const char *name, Dim a, Dim b, Dim c, Dim d) {
    return named_input(&t, name, d ? 4 : c ? 3 : b ? 2 : 1, (Dim[]){a, b, c, d});
}

static Node *add_parameter(int64_t a, int64_t b, int64_t c, int64_t d) {
    static int number;
    Dim dims[] = {constant(a), b ? constant(b) : NULL, c ? constant(c) : NULL, d ? constant(d) : NULL};
    return named_parameter(&t, arena_printf(arena, "w%d", number++), d ? 4 : c ? 3 : b ? 2 : 1, dims);
}

static void add_output(const char *name, Node *node) { named_output(&t, name, node); }

static Node *conv_with(Node *x, Node *w, int64_t stride) {
    int64_t kernel = dim_const_value(w->shape.dims[2]);
    int64_t strides[] = {stride, stride}, dilations[] = {1, 1}, before[] = {kernel / 2, kernel / 2};
    Dim size[2];
    for (int i = 0; i < 2; i++) size[i] = dim_ceil_div(g->dims, x->shape.dims[2 + i], stride);
    convolution_attributes attributes = {{2, strides}, {2, dilations}, {2, before}, {2, size}, 1};
    Node *inputs[] = {x, w};
    return graph_make(g, OP_convolution, inputs, 2, &attributes);
}

static Node *conv(Node *x, int64_t outputs, int64_t kernel) {
    return conv_with(x, add_parameter(outputs, dim_const_value(x->shape.dims[1]), kernel, kernel), 1);
}

static Node *per_channel(Node *vector) {
    Dim dims[] = {constant(1), vector->shape.dims[0], constant(1), constant(1)};
    return build_reshape(g, vector, 4, dims);
}

static Node *add_bias(Node *x) {
    return build_binary(g, OP_add, x, per_channel(add_parameter(dim_const_value(x->shape.dims[1]), 0, 0, 0)));
}

static Node *relu(Node *x) { return build_binary(g, OP_max, x, build_scalar(g, 0, DTYPE_F32)); }

static Node *pool(Node *x, int64_t stride) {
    int64_t kernel[] = {stride, stride}, dilations[] = {1, 1}, before[] = {0, 0};
    Dim size[2];
    for (int i = 0; i < 2; i++) size[i] = dim_floor_div(g->dims, x->shape.dims[2 + i], stride);
    pool_max_attributes attributes = {{2, kernel}, {2, kernel}, {2, dilations}, {2, before}, {2, size}};
    return graph_make(g, OP_pool_max, &x, 1, &attributes);
}

static Node *upsample(Node *x, Dim height, Dim width) {
    Dim size[] = {height, width};
    resample_attributes attributes = {
        {2, size}, intern(g->names, "nearest"), intern(g->names, "asymmetric"), false, 0};
    return graph_make(g, OP_resample, &x, 1, &attributes);
}

static Node *sum_over(Node *x, int64_t a, int64_t b) {
    int64_t axes[] = {a, b};
    return build_sum(g, x, axes, b < 0 ? 1 : 2);
}

static Node *concat2(Node *a, Node *b, int axis) {
    Node *parts[] = {a, b};
    return build_concat(g, parts, 2, axis);
}

static Node *slice_channels(Node *x, int64_t begin, int64_t count) {
    Dim from[4], size[4];
    for (int i = 0; i < 4; i++) from[i] = constant(0), size[i] = x->shape.dims[i];
    from[1] = constant(begin), size[1] = constant(count);
    return build_slice(g, x, from, size, NULL);
}

/* ---- inputs and parameters: small numbers that depend on place and name ---- */

static double pseudo(uint64_t seed, int64_t i) {
    uint64_t hash = hash_bytes(&i, sizeof i, seed);
    return (double)(int64_t)(hash % 2049) / 1024.0 - 1.0; /* exact as f32, as weights are packed */
}

static bool fill(void *context, const Node *node, RefTensor *out) {
    (void)context;
    const char *name =
        node->op == OP_input ? ATTRIBUTES(node, input)->name : ATTRIBUTES(node, parameter)->path;
    for (int64_t i = 0; i < out->shape.count; i++) {
        Number value = {.real = pseudo(hash_bytes(name, strlen(name), 1), i)};
        out->values[i] = number_cast(value, DTYPE_F32, out->shape.type);
    }
    return true;
}

static const RefSource source = {.parameter = fill, .input = fill};

/* ---- the interpreter ---- */

typedef struct Machine {
    const Program *program;
    const int64_t *symbols;
    Arena *scratch;
    Number **slots, **inputs, **outputs;
    int64_t *slot_bytes;
    const char *blob;
    int faults; /* spare lanes that are not zero, places outside a buffer */
} Machine;

static int64_t size_at(const Machine *m, Dim dim) {
    int64_t value = 0;
    CU_ASSERT_FATAL(dim_evaluate(dim, m->symbols, &value));
    return value;
}

static RefShape concrete(const Machine *m, Shape shape) {
    RefShape result = {.type = shape.type, .rank = shape.rank, .count = 1};
    for (int i = 0; i < shape.rank; i++) result.count *= result.dims[i] = size_at(m, shape.dims[i]);
    return result;
}

/* Where element `index` (row major) of a value lies. */
static int64_t place_of(const Machine *m, const Value *value, const RefShape *shape, int64_t index) {
    int64_t place = value->space == SPACE_WEIGHTS ? 0 : size_at(m, value->offset),
            lanes = m->program->target->lanes;
    /* what a launch packs: in any order, as formats.c looks into it */
    if (is_packed(value)) return place + index;
    for (int i = shape->rank - 1; i >= 0; i--) {
        int64_t at = index % shape->dims[i];
        index /= shape->dims[i];
        if (is_blocked(value) && i == 1) place += at % lanes + at / lanes * size_at(m, value->strides[1]);
        else place += at * size_at(m, value->strides[i]);
    }
    return place;
}

static Number *place_in(Machine *m, const Value *value, int64_t place) {
    static Number nowhere;
    if (value->space == SPACE_INPUT) return &m->inputs[value->slot][place];
    if (value->space == SPACE_OUTPUT) return &m->outputs[value->slot][place];
    int64_t end = (place + 1) * dtype_bytes(value->node->shape.type);
    if (place >= 0 && end <= m->slot_bytes[value->slot]) return &m->slots[value->slot][place];
    m->faults++;
    return &nowhere;
}

static Number packed_number(const char *bytes, DType type, int64_t place) {
    switch (type) {
    case DTYPE_F32: return (Number){.real = (double)((const float *)bytes)[place]};
    case DTYPE_I32: return (Number){.whole = ((const int32_t *)bytes)[place]};
    case DTYPE_BOOL: return (Number){.whole = bytes[place]};
    default: CU_FAIL_FATAL("no weights of this type here"); return (Number){0};
    }
}

static Number *read_weight(Machine *m, const Value *value, RefShape *shape) {
    const PackJob *job = &m->program->packs.items[value->slot];
    if (is_packed(value)) { /* formats.c looks into these */
        RefTensor result;
        Node *node = value->node;
        CU_ASSERT_FATAL(reference_evaluate(g, &node, 1, m->symbols, 0, &source, m->scratch, &result));
        return result.values;
    }
    Number *values = NEW_ARRAY(m->scratch, Number, shape->count);
    for (int64_t i = 0; i < shape->count; i++)
        values[i] = packed_number(m->blob + job->offset, shape->type, place_of(m, value, shape, i));
    return values;
}

static Number *read_value(Machine *m, const Value *value, RefShape *shape) {
    *shape = concrete(m, value->node->shape);
    if (value->space == SPACE_WEIGHTS) return read_weight(m, value, shape);
    Number *values = NEW_ARRAY(m->scratch, Number, shape->count);
    for (int64_t i = 0; i < shape->count; i++) values[i] = *place_in(m, value, place_of(m, value, shape, i));
    return values;
}

/* Calls `each` for the spare lanes of a BLOCKED value: one for each pixel and lane past
 * the last channel. */
static void visit_spare_lanes(Machine *m, const Value *value, const RefShape *shape,
                              void (*each)(Machine *m, Number *at)) {
    int64_t lanes = m->program->target->lanes, channels = shape->dims[1];
    if (!is_blocked(value) || channels % lanes == 0) return;
    int64_t strides[4], begin = size_at(m, value->offset);
    for (int i = 0; i < 4; i++) strides[i] = size_at(m, value->strides[i]);
    for (int64_t n = 0; n < shape->dims[0]; n++)
        for (int64_t h = 0; h < shape->dims[2]; h++)
            for (int64_t w = 0; w < shape->dims[3]; w++)
                for (int64_t c = channels % lanes; c < lanes; c++)
                    each(m, place_in(m, value,
                                     begin + n * strides[0] + channels / lanes * strides[1] + h * strides[2] +
                                         w * strides[3] + c));
}

static void clear_lane(Machine *m, Number *at) { (void)m, at->whole = 0; }
static void check_lane(Machine *m, Number *at) { m->faults += at->real != 0; }

static void write_value(Machine *m, const Value *value, const Number *values) {
    RefShape shape = concrete(m, value->node->shape);
    for (int64_t i = 0; i < shape.count; i++) *place_in(m, value, place_of(m, value, &shape, i)) = values[i];
    visit_spare_lanes(m, value, &shape, clear_lane);
}

typedef struct Known { RefShape shape; Number *values; } Known;

/* One matrix that is the right operand of many. */
static const Number *repeated(Machine *m, const Node *matmul, const Value *value, const Number *matrix,
                              RefShape *shape) {
    CU_ASSERT_EQUAL_FATAL(matmul->op, OP_matmul);
    CU_ASSERT_PTR_EQUAL(value->node, matmul->inputs[1]->inputs[0]);
    int64_t count = shape->count;
    *shape = concrete(m, matmul->inputs[1]->shape);
    Number *values = NEW_ARRAY(m->scratch, Number, shape->count);
    for (int64_t i = 0; i < shape->count; i++) values[i] = matrix[i % count];
    return values;
}

static void run_member(Machine *m, const Kernel *kernel, Known *known, const Node *node) {
    const Number **inputs = NEW_ARRAY(m->scratch, const Number *, node->input_count + 1);
    RefShape *shapes = NEW_ARRAY(m->scratch, RefShape, node->input_count + 1);
    for (int i = 0; i < node->input_count; i++) {
        bool operand = node == kernel->anchor && op_info[node->op].class != CLASS_REDUCTION;
        const Value *value = operand ? kernel->inputs[i] : kernel_input(kernel, node->inputs[i], NULL);
        CU_ASSERT_FATAL(value || known[node->inputs[i]->id].values);
        if (value) inputs[i] = read_value(m, value, &shapes[i]);
        if (operand && value->node != node->inputs[i])
            inputs[i] = repeated(m, node, value, inputs[i], &shapes[i]);
        if (value) continue;
        inputs[i] = known[node->inputs[i]->id].values, shapes[i] = known[node->inputs[i]->id].shape;
    }
    Known result = {.shape = concrete(m, node->shape)};
    result.values = NEW_ARRAY(m->scratch, Number, result.shape.count);
    RefCall call = {node, m->symbols, inputs, shapes, result.values, result.shape, 7, NULL, NULL};
    op_info[node->op].reference(&call);
    known[node->id] = result;
}

static void run_launch(Machine *m, const Kernel *kernel) {
    Known *known = NEW_ARRAY(m->scratch, Known, g->nodes.count);
    for (int i = 0; i < kernel->input_count; i++) {
        if (kernel->inputs[i]->space == SPACE_WEIGHTS) continue;
        RefShape shape = concrete(m, kernel->inputs[i]->node->shape);
        visit_spare_lanes(m, kernel->inputs[i], &shape, check_lane);
    }
    RefShape shape;
    if (kernel->member_count == 0) {
        write_value(m, kernel->output, read_value(m, kernel->inputs[0], &shape));
        return;
    }
    for (int i = 0; i < kernel->member_count; i++) run_member(m, kernel, known, kernel->members[i]);
    write_value(m, kernel->output, known[kernel->output->node->id].values);
}

static bool append(void *context, const void *bytes, size_t count) {
    Text *text = context;
    text_add_bytes(text, bytes, count);
    return true;
}

static const char *pack_blob(const Program *program) {
    Text text = {.arena = arena};
    CU_ASSERT_FATAL(program_write_weights(program, &source, append, &text, NULL));
    CU_ASSERT_EQUAL(text.length, program->weights_bytes);
    return text_string(&text);
}

static Number *junk(Arena *scratch, int64_t count) {
    Number *values = NEW_ARRAY(scratch, Number, count);
    for (int64_t i = 0; i < count; i++) values[i].real = NAN;
    return values;
}

static Machine machine_new(const Program *program, const int64_t *symbols) {
    Machine m = {.program = program, .symbols = symbols, .scratch = arena_new()};
    m.blob = pack_blob(program);
    m.slots = NEW_ARRAY(m.scratch, Number *, program->slots.count);
    m.slot_bytes = NEW_ARRAY(m.scratch, int64_t, program->slots.count);
    for (int i = 0; i < program->slots.count; i++) {
        for (int k = 0; k < program->slots.items[i].bytes.count; k++)
            m.slot_bytes[i] = max_i64(m.slot_bytes[i], size_at(&m, program->slots.items[i].bytes.items[k]));
        m.slots[i] = junk(m.scratch, m.slot_bytes[i]); /* one Number an element, of whatever type */
    }
    m.inputs = NEW_ARRAY(m.scratch, Number *, g->inputs.count);
    m.outputs = NEW_ARRAY(m.scratch, Number *, g->outputs.count);
    for (int i = 0; i < g->inputs.count; i++) {
        RefTensor tensor = {.shape = concrete(&m, g->inputs.items[i].node->shape)};
        tensor.values = m.inputs[i] = NEW_ARRAY(m.scratch, Number, tensor.shape.count);
        fill(NULL, g->inputs.items[i].node, &tensor);
    }
    for (int i = 0; i < g->outputs.count; i++)
        m.outputs[i] = junk(m.scratch, concrete(&m, g->outputs.items[i].node->shape).count);
    return m;
}

/* Runs the program and compares all outputs with the graph's. */
static bool runs_right(const Program *program, int64_t n, int64_t h) {
    int64_t symbols[] = {n, h};
    Machine m = machine_new(program, symbols);
    for (int i = 0; i < program->launches.count; i++) run_launch(&m, program->launches.items[i]);
    bool right = m.faults == 0;
    for (int i = 0; i < g->outputs.count; i++) {
        RefTensor wanted;
        CU_ASSERT_FATAL(
            reference_evaluate(g, &g->outputs.items[i].node, 1, symbols, 7, &source, m.scratch, &wanted));
        for (int64_t k = 0; k < wanted.shape.count; k++) {
            double is = number_value(m.outputs[i][k], wanted.shape.type),
                   should = number_value(wanted.values[k], wanted.shape.type);
            right = right && fabs(should - is) <= 1e-5 * (1 + fabs(should));
        }
    }
    arena_free(m.scratch);
    return right;
}

static Program *lowered_for(const Target *target) {
    LowerOptions options = {.table = &kernel_table, .target = target};
    return lower(g, &options, arena);
}

static Program *lowered(void) { return lowered_for(target_find("x86-64-v3")); }

/* ---- fusion ---- */

TEST(elementwise_work_joins_the_tail) {
    begin_graph();
    Node *x = add_input("x", N, constant(16), H, H);
    Node *y = relu(add_bias(conv(x, 16, 3)));
    add_output("y", relu(build_binary(g, OP_add, add_bias(conv(y, 16, 3)), y)));
    Program *program = lowered();
    CU_ASSERT_EQUAL(program->launches.count - program->copies, 2); /* all elementwise work is in the tails */
    CU_ASSERT_TRUE(runs_right(program, 2, 3));
}

TEST(two_contractions_meet) {
    begin_graph();
    Node *x = add_input("x", N, constant(8), H, H);
    add_output("y", relu(build_binary(g, OP_add, add_bias(conv(x, 8, 3)), add_bias(conv(x, 8, 1)))));
    Program *program = lowered();
    /* the second one's tail takes the first one's result */
    CU_ASSERT_EQUAL(program->launches.count - program->copies, 2);
    CU_ASSERT_TRUE(runs_right(program, 1, 4));
}

/* A tail is written out for every register of a tile: very much of it is a kernel of its
 * own. */
TEST(a_long_tail) {
    for (int length = 4; length <= 40; length *= 10) {
        begin_graph();
        Node *x = conv(add_input("x", N, constant(16), H, H), 16, 3);
        for (int i = 0; i < length; i++) x = build_unary(g, OP_tanh, x);
        add_output("y", conv(x, 16, 1));
        Program *program = lowered();
        CU_ASSERT_EQUAL(program->launches.count - program->copies, length == 4 ? 2 : 3);
        CU_ASSERT_TRUE(runs_right(program, 1, 2));
    }
}

static Node *softmax(Node *x, int64_t axis) {
    reduce_max_attributes attributes = {{1, &axis}};
    Node *largest = graph_make(g, OP_reduce_max, &x, 1, &attributes);
    Node *e = build_unary(g, OP_exp, build_binary(g, OP_sub, x, largest));
    return build_binary(g, OP_div, e, sum_over(e, axis, -1));
}

TEST(softmax) {
    begin_graph();
    add_output("y", softmax(add_input("x", N, constant(10), NULL, NULL), 1));
    Program *program = lowered();
    /* the largest, the sum of exponentials, the quotient: none is stored twice */
    CU_ASSERT_EQUAL(program->launches.count, 3);
    /* the largest and the sum of one row */
    CU_ASSERT_EQUAL(dim_const_value(program_arena_bytes(program)), 2 * 64);
    CU_ASSERT_TRUE(runs_right(program, 3, 1));
}

TEST(instance_norm) {
    begin_graph();
    Node *x = add_bias(conv(add_input("x", N, constant(8), H, H), 8, 3));
    Node *count = build_scalar(g, 1.0 / 64, DTYPE_F32);
    Node *centred = build_binary(g, OP_sub, x, build_binary(g, OP_mul, sum_over(x, 2, 3), count));
    Node *variance =
        build_binary(g, OP_mul, sum_over(build_binary(g, OP_mul, centred, centred), 2, 3), count);
    Node *deviation =
        build_unary(g, OP_sqrt, build_binary(g, OP_add, variance, build_scalar(g, 1e-5, DTYPE_F32)));
    add_output("y", relu(build_binary(g, OP_div, centred, deviation)));
    Program *program = lowered();
    /* convolution, mean, deviation, all the rest */
    CU_ASSERT_EQUAL(program->launches.count - program->copies, 4);
    CU_ASSERT_TRUE(runs_right(program, 1, 4));
}

TEST(a_chain_of_10_000_nodes) {
    begin_graph();
    Node *x = add_input("x", N, constant(8), NULL, NULL);
    for (int i = 0; i < 10000; i++) x = build_unary(g, i % 2 ? OP_neg : OP_abs, x);
    add_output("y", x);
    Program *program = lowered();
    /* kernels have a largest size */
    CU_ASSERT_TRUE(program->launches.count > 50 && program->launches.count < 500);
    CU_ASSERT_EQUAL(program->slots.count, 1); /* and write in place */
    CU_ASSERT_TRUE(runs_right(program, 2, 1));
}

TEST(a_network_of_3_000_convolutions) {
    begin_graph();
    Node *x = add_input("x", N, constant(8), constant(2), constant(2)), *w = add_parameter(8, 8, 1, 1);
    for (int i = 0; i < 3000; i++) x = build_binary(g, OP_add, relu(conv_with(x, w, 1)), x);
    add_output("y", x);
    Program *program = lowered();
    CU_ASSERT_EQUAL(program->packs.count, 1);
    CU_ASSERT_TRUE(program->slots.count == 1);
}

/* ---- views ---- */

TEST(concatenation_in_place) {
    begin_graph();
    Node *x = add_input("x", N, constant(16), dim_scale(g->dims, H, 2), dim_scale(g->dims, H, 2));
    Node *skip = relu(conv(x, 16, 3));
    Node *below = relu(conv(pool(skip, 2), 32, 3));
    Node *up = upsample(below, x->shape.dims[2], x->shape.dims[3]);
    add_output("y", conv(relu(conv(concat2(skip, up, 1), 16, 3)), 3, 1));
    Program *program = lowered();
    int parts = 0;
    for (int i = 0; i < program->launches.count; i++)
        parts += program->launches.items[i]->output->parent != NULL;
    CU_ASSERT_EQUAL(parts, 2); /* both parts are made where the concatenation lies */
    CU_ASSERT_TRUE(runs_right(program, 2, 2));
}

TEST(concatenation_across_blocks) {
    begin_graph();
    Node *x = add_input("x", N, constant(16), H, H);
    Node *a = relu(conv(x, 12, 3)), *b = relu(conv(x, 20, 3));
    add_output("y", conv(concat2(a, b, 1), 16, 3));
    CU_ASSERT_TRUE(runs_right(lowered(), 2, 3));
}

TEST(concatenation_of_anything) {
    begin_graph();
    Node *x = add_input("x", N, constant(8), H, H);
    Node *a = relu(x), *parts[] = {x, a, a, concat2(a, x, 1)};
    add_output("y", build_concat(g, parts, 4, 1));
    add_output("z", a);
    CU_ASSERT_TRUE(runs_right(lowered(), 2, 3));
}

TEST(dense_block) {
    begin_graph();
    Node *x = add_input("x", N, constant(16), H, H), *all = relu(conv(x, 16, 1));
    for (int i = 0; i < 4; i++) all = concat2(all, relu(conv(relu(all), 16, 3)), 1);
    add_output("y", conv(all, 8, 1));
    Program *program = lowered();
    int copies_into_parts = 0;
    for (int i = 0; i < program->launches.count; i++)
        copies_into_parts +=
            program->launches.items[i]->member_count == 0 && program->launches.items[i]->output->parent;
    CU_ASSERT_EQUAL(copies_into_parts, 0); /* nested concatenations share one buffer */
    CU_ASSERT_TRUE(runs_right(program, 2, 2));
}

TEST(reshapes_are_views) {
    begin_graph();
    Node *x = add_input("x", N, constant(12), NULL, NULL);
    Dim split[] = {N, constant(3), constant(4)}, back[] = {N, constant(12)};
    Node *y = build_reshape(g, relu(x), 3, split);
    int64_t swap[] = {0, 2, 1};
    add_output("y", build_reshape(g, build_transpose(g, y, swap), 2, back));
    Program *program = lowered();
    CU_ASSERT_EQUAL(program->launches.count, 2); /* relu, and the transpose straight into the output */
    CU_ASSERT_EQUAL(program->copies, 0);
    CU_ASSERT_TRUE(runs_right(program, 2, 1));
}

TEST(classifier_head) {
    begin_graph();
    Node *x = relu(conv(add_input("x", N, constant(16), H, H), 16, 3));
    Node *mean = build_binary(g, OP_mul, sum_over(x, 2, 3), build_scalar(g, 0.25, DTYPE_F32));
    Dim flat[] = {N, constant(16)};
    Node *inputs[] = {build_reshape(g, mean, 2, flat), add_parameter(16, 5, 0, 0)};
    add_output("y",
               build_binary(g, OP_add, graph_make(g, OP_matmul, inputs, 2, NULL), add_parameter(5, 0, 0, 0)));
    Program *program = lowered();
    CU_ASSERT_EQUAL(program->launches.count - program->copies, 3); /* convolution, mean, dense layer */
    CU_ASSERT_TRUE(runs_right(program, 2, 3));
}

TEST(slices) {
    begin_graph();
    Node *x = relu(conv(add_input("x", N, constant(16), H, H), 32, 3));
    Node *a = conv(slice_channels(x, 0, 16), 8, 1), *b = conv(slice_channels(x, 16, 16), 8, 1),
         *c = conv(slice_channels(x, 5, 8), 8, 1);
    add_output("y", build_binary(g, OP_add, build_binary(g, OP_add, a, b), c));
    Program *program = lowered();
    /* four convolutions, and the slice across blocks */
    CU_ASSERT_EQUAL(program->launches.count - program->copies, 5);
    CU_ASSERT_TRUE(runs_right(program, 2, 2));
}

/* [N, L, C] to [N, count, L, C/count], or transposed to [N, count, C/count, L]. */
static Node *heads(Node *x, int64_t count, bool transposed) {
    Dim split[] = {x->shape.dims[0], x->shape.dims[1], constant(count),
                   dim_floor_div(g->dims, x->shape.dims[2], count)};
    int64_t order[] = {0, 2, transposed ? 3 : 1, transposed ? 1 : 3};
    return build_transpose(g, build_reshape(g, x, 4, split), order);
}

static Node *dense(Node *x, int64_t outputs) {
    Node *inputs[] = {x, build_broadcast(g, add_parameter(1, dim_const_value(x->shape.dims[2]), outputs, 0),
                                         3, (Dim[]){x->shape.dims[0], x->shape.dims[2], constant(outputs)})};
    return graph_make(g, OP_matmul, inputs, 2, NULL);
}

TEST(attention_moves_nothing) {
    begin_graph();
    Node *x = add_input("x", N, H, constant(8), NULL);
    int64_t order[] = {0, 2, 1, 3};
    Node *q = heads(dense(x, 8), 2, false), *k = heads(dense(x, 8), 2, true),
         *v = heads(dense(x, 8), 2, false);
    Node *scores[] = {q, k};
    Node *mixed[] = {softmax(graph_make(g, OP_matmul, scores, 2, NULL), 3), v};
    Node *y = build_transpose(g, graph_make(g, OP_matmul, mixed, 2, NULL), order);
    add_output("y", dense(build_reshape(g, y, 3, x->shape.dims), 8));
    Program *program = lowered();
    /* six products and the three kernels of softmax: transposes are views */
    CU_ASSERT_EQUAL(program->launches.count, 9);
    /* with free sizes too, a layer's matrix is not repeated for each image */
    CU_ASSERT_EQUAL(program->packs.count, 4);
    CU_ASSERT_TRUE(runs_right(program, 2, 3));
}

TEST(outputs_of_all_kinds) {
    begin_graph();
    Node *x = add_input("x", N, constant(6), NULL, NULL);
    Node *y = relu(x), *w = add_parameter(6, 0, 0, 0);
    Dim split[] = {N, constant(2), constant(3)};
    add_output("same", x);
    add_output("y", y);
    add_output("again", y);
    add_output("view", build_reshape(g, y, 3, split));
    add_output("weight", w);
    add_output("sum", build_binary(g, OP_add, y, w));
    add_output("splat", build_splat(g, 3, w->shape));
    CU_ASSERT_TRUE(runs_right(lowered(), 2, 1));
}

/* ---- memory ---- */

TEST(writing_in_place) {
    begin_graph();
    Node *x = relu(add_input("x", N, constant(8), NULL, NULL));
    for (int i = 0; i < 3; i++) { /* a transpose is never written in place, elementwise work is */
        int64_t swap[] = {1, 0};
        Node *turned = build_unary(g, OP_tanh, build_transpose(g, x, swap));
        x = build_binary(g, OP_mul, build_transpose(g, turned, swap), sum_over(x, 1, -1));
    }
    add_output("y", x);
    Program *program = lowered();
    CU_ASSERT_TRUE(runs_right(program, 3, 1));
    LowerOptions own = {.table = &kernel_table, .target = program->target, .own_slots = true};
    Program *separate = lower(g, &own, arena);
    CU_ASSERT_TRUE(separate->slots.count > program->slots.count);
    CU_ASSERT_TRUE(runs_right(separate, 3, 1));
}

/* A map of 16 MB, the sums of its channels, and the map divided by them, in place. */
TEST(large_results_are_streamed) {
    static const char *names[] = {"x86-64-v4", "x86-64-v3"};
    for (int i = 0; i < COUNT_OF(names); i++) {
        begin_graph();
        Node *e = conv(add_input("x", constant(1), constant(3), constant(512), constant(512)), 16, 3);
        add_output("y", conv(build_binary(g, OP_div, e, sum_over(e, 2, 3)), 3, 3));
        Program *program =
            lower(g, &(LowerOptions){.table = &kernel_table, .target = target_find(names[i])}, arena);
        int streamed = 0, over = 0;
        for (int k = 0; k < program->launches.count; k++) {
            const Value *output = program->launches.items[k]->output;
            streamed += output->streamed;
            over += output->over && !output->streamed;
        }
        CU_ASSERT_EQUAL(streamed, i == 0); /* where a vector is a line */
        CU_ASSERT_EQUAL(over, 1);
    }
}

TEST(slots_are_shared) {
    begin_graph();
    Node *x = add_input("x", N, constant(16), H, H);
    for (int i = 0; i < 20; i++) x = relu(conv(x, 16, 3));
    add_output("y", x);
    Program *program = lowered();
    /* two maps, at H = 32 */
    CU_ASSERT_EQUAL(dim_const_value(program_arena_bytes(program)), 2 * 16 * 32 * 32 * 4);
    CU_ASSERT_TRUE(runs_right(program, 1, 2));
}

/* Two small maps take the place that a large one leaves. */
TEST(places_in_a_slot) {
    begin_graph();
    Node *x = add_input("x", N, constant(16), dim_scale(g->dims, H, 2), dim_scale(g->dims, H, 2));
    Node *large = relu(conv(relu(conv(x, 16, 3)), 16, 3)), *small = pool(large, 2);
    add_output("y", conv(relu(conv(relu(conv(small, 16, 3)), 16, 3)), 3, 1));
    Program *program = lowered();
    CU_ASSERT_EQUAL(program->slots.count, 1);
    CU_ASSERT_EQUAL(dim_const_value(program_arena_bytes(program)), 2 * 16 * 64 * 64 * 4);
    CU_ASSERT_TRUE(runs_right(program, 2, 2));
    bool within = false; /* something begins in the middle */
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        within |= value->space == SPACE_SLOT && value->offset->term_count > 0;
    }
    CU_ASSERT_TRUE(within);
}

/* Which of [N, N], [N, H] and [H, H] is larger is not known: what lives at once is apart
 * whatever they are. */
TEST(sizes_that_do_not_compare) {
    begin_graph();
    Node *x = add_input("x", N, H, NULL, NULL);
    int64_t swap[] = {1, 0};
    for (int i = 0; i < 4; i++) {
        Node *squared[] = {x, build_transpose(g, x, swap)}, *back[] = {NULL, build_unary(g, OP_tanh, x)};
        back[0] = build_unary(g, OP_tanh, graph_make(g, OP_matmul, squared, 2, NULL));
        x = build_transpose(g, build_unary(g, OP_tanh, graph_make(g, OP_matmul, back, 2, NULL)), swap);
    }
    add_output("y", x);
    Program *program = lowered();
    for (int n = 1; n <= 5; n++) CU_ASSERT_TRUE(runs_right(program, n, 6 - n));
}

/* ---- packing ---- */

static float packed_at(const Program *program, const char *blob, int job, int64_t place) {
    return ((const float *)(blob + program->packs.items[job].offset))[place];
}

TEST(vectors_are_padded) {
    begin_graph();
    Node *x = add_input("x", N, constant(20), H, H);
    add_output("y", build_binary(g, OP_add, x, per_channel(add_parameter(20, 0, 0, 0))));
    Program *program = lowered();
    CU_ASSERT_EQUAL_FATAL(program->packs.count, 1);
    CU_ASSERT_PTR_EQUAL(program->packs.items[0].format, &format_plain);
    CU_ASSERT_EQUAL(program->weights_bytes, 128);
    CU_ASSERT_EQUAL(program->raw_weights_bytes, 80);
    const char *blob = pack_blob(program);
    for (int i = 20; i < 32; i++) CU_ASSERT_EQUAL(packed_at(program, blob, 0, i), 0);
    CU_ASSERT_TRUE(runs_right(program, 1, 2));
}

/* One dimension of F(m, r): A^T (G w * B^T d) are the m sums of products. */
TEST(matrices_of_winograd) {
    const int sizes[][2] = {{2, 3}, {4, 3}, {3, 4}, {4, 2}, {2, 4}, {2, 2}, {5, 2}};
    for (int i = 0; i < COUNT_OF(sizes); i++) {
        int m = sizes[i][0], taps = sizes[i][1];
        Winograd w = winograd(m, taps);
        const double kernel[] = {3, -1, 2, 5}, data[] = {1, 5, -2, 7, 4, -3};
        double results[5] = {0};
        for (int i = 0; i < w.size; i++) {
            double u = 0, v = 0;
            for (int k = 0; k < taps; k++) u += w.weights[i][k] * kernel[k];
            for (int k = 0; k < w.size; k++) v += w.inputs[i][k] * data[k];
            for (int k = 0; k < m; k++) results[k] += w.results[k][i] * u * v;
        }
        for (int k = 0; k < m; k++) {
            double wanted = 0;
            for (int tap = 0; tap < taps; tap++) wanted += kernel[tap] * data[k + tap];
            CU_ASSERT_DOUBLE_EQUAL(results[k], wanted, 1e-12);
        }
    }
}

/* ---- random graphs ---- */

static int64_t random_channels(void) {
    static const int64_t some[] = {8, 16, 8, 24, 12, 5};
    return some[random_below(&t, COUNT_OF(some))];
}

static Node *random_pad(Node *x) {
    static const char *const modes[] = {"constant", "reflect", "replicate"};
    Dim one = constant(1), zero = constant(0), before[] = {zero, zero, one, zero},
        after[] = {zero, zero, zero, one};
    Dim from[] = {zero, zero, zero, one};
    Node *wide =
        build_pad(g, random_below(&t, 2) ? relu(x) : x, before, after, modes[random_below(&t, 3)], 0.5);
    return build_slice(g, wide, from, x->shape.dims, NULL);
}

/* The transposed convolution, with groups or without. */
static Node *random_transposed(Node *x) {
    int64_t channels = dim_const_value(x->shape.dims[1]),
            groups = channels % 2 == 0 ? 1 + random_below(&t, 2) : 1;
    int64_t ones[] = {1, 1};
    convolution_backward_data_attributes attributes = {
        {2, ones}, {2, ones}, {2, ones}, {2, x->shape.dims + 2}, groups};
    Node *inputs[] = {x, add_parameter(channels, 8, 3, 3)};
    return graph_make(g, OP_convolution_backward_data, inputs, 2, &attributes);
}

/* Of other types, and of shapes that are made of sizes alone. */
static Node *random_mask(Node *x) {
    iota_attributes attributes = {
        .type = DTYPE_I32, .dims = {4, x->shape.dims}, .axis = 1 + random_below(&t, 3)};
    Node *place = graph_make(g, OP_iota, NULL, 0, &attributes);
    Node *mask = build_binary(g, OP_lt, place, build_scalar(g, 2, DTYPE_I32));
    if (random_below(&t, 2))
        mask = build_binary(g, OP_and, mask, build_binary(g, OP_lt, x, build_scalar(g, 0, DTYPE_F32)));
    return build_select(g, mask, x, build_cast(g, place, DTYPE_F32));
}

static Node *random_argmax(Node *x) {
    argmax_attributes attributes = {.axis = 1 + random_below(&t, 3)};
    return build_binary(g, OP_add, x, build_cast(g, graph_make(g, OP_argmax, &x, 1, &attributes), DTYPE_F32));
}

static Node *random_gather(Node *x) {
    int64_t channels = dim_const_value(x->shape.dims[1]);
    Dim dims[] = {constant(channels)};
    iota_attributes places = {.type = DTYPE_I32, .dims = {1, dims}, .axis = 0};
    gather_attributes attributes = {.axis = 1};
    Node *last = build_scalar(g, (double)(channels - 1), DTYPE_I32);
    Node *inputs[] = {x, build_binary(g, OP_sub, last, graph_make(g, OP_iota, NULL, 0, &places))};
    return graph_make(g, OP_gather, inputs, 2, &attributes);
}

/* x @ x^T @ x over the last two axes: operands that are computed, and transposed. */
static Node *random_matmul(Node *x) {
    int64_t swap[] = {0, 1, 3, 2};
    Node *first[] = {x, build_transpose(g, x, swap)}, *second[] = {NULL, x};
    second[0] =
        build_binary(g, OP_mul, graph_make(g, OP_matmul, first, 2, NULL), build_scalar(g, 0.25, DTYPE_F32));
    return graph_make(g, OP_matmul, second, 2, NULL);
}

static Node *random_movement(Node *x) {
    int64_t swap[] = {0, 1, 3, 2}, axis = 3;
    flip_attributes flip = {{1, &axis}};
    Dim flat[] = {x->shape.dims[0], x->shape.dims[1], dim_mul(g->dims, x->shape.dims[2], x->shape.dims[3])};
    switch (random_below(&t, 3)) {
    case 0: return build_transpose(g, x, swap);
    case 1: return graph_make(g, OP_flip, &x, 1, &flip);
    default: return build_reshape(g, relu(build_reshape(g, x, 3, flat)), 4, x->shape.dims);
    }
}

/* One more node on top of x, a picture of [N, C, 2H, 2H]; other is another one. */
static Node *random_step(Node *x, Node *other) {
    int64_t channels = dim_const_value(x->shape.dims[1]);
    bool alike = shape_dims_equal(x->shape, other->shape);
    switch (random_below(&t, 20)) {
    case 0: case 1: return conv(x, random_channels(), 1 + 2 * random_below(&t, 2));
    case 2: return relu(x);
    case 3: return add_bias(x);
    case 4: return alike ? build_binary(g, OP_add, x, other) : build_binary(g, OP_mul, x, x);
    case 5: case 6: return concat2(x, other, 1);
    case 7: return slice_channels(x, random_below(&t, (int)channels), 1);
    case 8: return channels >= 16 ? slice_channels(x, 8, 8) : build_unary(g, OP_tanh, x);
    case 9: return upsample(pool(x, 2), x->shape.dims[2], x->shape.dims[3]);
    case 10: return build_binary(g, OP_sub, x, sum_over(x, 2, 3));
    case 11: return random_movement(x);
    case 12: return random_pad(x);
    case 13: return random_transposed(x);
    case 14: return softmax(x, 1);
    case 15: return random_mask(x);
    case 16: return random_argmax(x);
    case 17: return random_gather(x);
    case 18: return random_matmul(build_unary(g, OP_tanh, x));
    default: return build_binary(g, OP_mul, x, per_channel(add_parameter(channels, 0, 0, 0)));
    }
}

/* A description that no row has: blocks of 4 channels, and registers for tiles of
 * many. */
static const Target narrow = {.name = "narrow",
                              .vector_bytes = 16,
                              .lanes = 4,
                              .registers = 32,
                              .lane_multiply = true,
                              .fmas_per_cycle = 2,
                              .loads_per_cycle = 2,
                              .gigahertz = 2.5,
                              .l1_bytes = 64 << 10,
                              .l2_bytes = 1 << 20,
                              .l3_bytes = 1 << 20,
                              .l2_bytes_per_cycle = 20,
                              .l3_bytes_per_cycle = 10,
                              .memory_bytes_per_cycle = 5};

TEST(random_graphs) {
    for (uint64_t seed = 1; seed <= 400; seed++) {
        begin_random_graph(seed);
        Dim side = dim_scale(g->dims, H, 2);
        Node *made[24];
        int count = 4 + random_below(&t, COUNT_OF(made) - 4);
        made[0] = add_input("x", N, constant(random_channels()), side, side);
        for (int i = 1; i < count; i++)
            made[i] = random_step(made[i - 1 - random_below(&t, i < 3 ? i : 3)], made[random_below(&t, i)]);
        add_output("last", made[count - 1]);
        for (int i = random_below(&t, 3); i > 0; i--) add_output("other", made[random_below(&t, count)]);
        int which = (int)(seed % (uint64_t)(target_count() + 1));
        Program *program = lowered_for(which ? target_at(which - 1) : &narrow);
        if (runs_right(program, 2, 2)) continue;
        fprintf(stderr, "random graph %llu fails\n", (unsigned long long)seed);
        graph_print(g, stderr);
        program_print(program, stderr);
        CU_FAIL("a random graph's program is wrong");
        return;
    }
}

TEST(estimates) {
    begin_graph();
    Node *x = add_input("x", N, constant(16), H, H);
    add_output("y", conv_with(x, add_parameter(32, 16, 3, 3), 2));
    Program *program = lowered();
    const Kernel *kernel = NULL;
    for (int i = 0; i < program->launches.count; i++)
        if (program->launches.items[i]->anchor) kernel = program->launches.items[i];
    CU_ASSERT_PTR_NOT_NULL_FATAL(kernel);
    /* H = 32, stride 2 */
    CU_ASSERT_DOUBLE_EQUAL(kernel_typical_flops(kernel), 2.0 * 16 * 16 * 32 * 16 * 9, 0.5);
    CU_ASSERT_DOUBLE_EQUAL(kernel_typical_bytes(kernel), 4.0 * (32 * 32 * 16 + 16 * 16 * 32 + 32 * 16 * 9),
                           0.5);
    int64_t symbols[] = {3, 7}, flops;
    /* what --profile prints of a run: 7 rows make 4 */
    CU_ASSERT_TRUE(dim_evaluate(kernel->flops, symbols, &flops));
    CU_ASSERT_EQUAL(flops, 2 * 3 * 4 * 4 * 32 * 16 * 9);
    const Target *target = program->target;
    double in_cache = cost_cycles(target, 0, 1, 1 << 14), in_memory = cost_cycles(target, 0, 1, 1 << 28);
    CU_ASSERT_TRUE(in_memory / (1 << 28) > 4 * in_cache / (1 << 14));
    CU_ASSERT_DOUBLE_EQUAL(cost_cycles(target, 2.0 * target->lanes * target->fmas_per_cycle * 1000, 0.5, 0),
                           2000, 1e-9);
}

TEST(targets) {
    CU_ASSERT_PTR_NULL(target_find("z80"));
    CU_ASSERT_EQUAL(target_find("x86-64-v4")->lanes, 16);
    CU_ASSERT_EQUAL(target_find("x86-64-v3")->registers, 16);
    for (int i = 0; i < target_count(); i++) {
        const Target *target = target_at(i);
        CU_ASSERT_PTR_EQUAL(target_find(target->name), target);
        CU_ASSERT_EQUAL(target->vector_bytes, 4 * target->lanes);
    }
    Text text = {.arena = arena_new()};
    target_describe(&narrow, &text);
    CU_ASSERT_STRING_EQUAL(text_string(&text), "128-bit vectors, 32 registers, multiplies by a lane");
    arena_free(text.arena);
    const Target *native = target_find("native");
    CU_ASSERT_PTR_NOT_NULL_FATAL(native);
    CU_ASSERT_TRUE(native->l1_bytes >= 16 << 10 && native->l2_bytes > native->l1_bytes &&
                   native->fmas_per_cycle >= 1);
}
