/* Proposals: what a kind of kernel wants is known when kinds are chosen. The working
 * memory of every proposal is noted as it is made, and compared with what the program
 * has; and so are the kinds that ties rule out. */
#include "graph_test.h"
#include "kernels/kernels.h"
#include "plan/plan.h"

static TestGraph t;

typedef struct Proposed {
    const Kernel *kernel;
    int kind;
    WorkingMemory memory;
} Proposed;

static Vec(Proposed) proposed;

static bool note_proposal(bool fits, const Kernel *kernel, int kind, const Proposal *proposal) {
    if (fits) vec_push(t.arena, &proposed, ((Proposed){kernel, kind, proposal->memory}));
    return fits;
}

#define KERNEL(name, what)                                                                       \
    static bool note_##name(const Kernel *kernel, Proposal *proposal) {                          \
        return note_proposal(name##_propose(kernel, proposal), kernel, KERNEL_##name, proposal); \
    }
#include "kernels/kernels.def"

static const KernelKind noting_kinds[] = {
#define KERNEL(name, what) {#name, what, note_##name, name##_settle, name##_emit},
#include "kernels/kernels.def"
};
static const KernelTable noting_table = {noting_kinds, KERNEL_COUNT};

/* ---- graphs ---- */

static Node *input_map(int64_t channels, int64_t side) {
    t = test_graph(1);
    return named_input(&t, "x", SIZES(size(&t, 1), size(&t, channels), size(&t, side), size(&t, side)));
}

static Node *conv_to(Node *x, int64_t outputs) {
    Node *w = named_parameter(&t, "w", SIZES(size(&t, outputs), x->shape.dims[1], size(&t, 3), size(&t, 3)));
    if (x->shape.type != DTYPE_F32) w = MAKE(&t, cast, &w, 1, x->shape.type);
    Node *operands[] = {x, w};
    return MAKE(&t, convolution, operands, 2, INTS(1, 1), INTS(1, 1), INTS(1, 1),
                DIMS(x->shape.dims[2], x->shape.dims[3]), 1);
}

static Node *f32_conv(void) { return conv_to(input_map(16, 12), 16); }

static Node *bf16_conv(void) {
    Node *x = input_map(16, 12);
    return conv_to(MAKE(&t, cast, &x, 1, DTYPE_BF16), 16);
}

static Node *few_tiles(void) { return conv_to(input_map(256, 14), 256); }
static Node *many_tiles(void) { return conv_to(input_map(16, 128), 16); }

static Node *weight_gradient(int64_t side) {
    Node *operands[] = {input_map(32, side), NULL};
    operands[1] = named_input(&t, "dy", SIZES(size(&t, 1), size(&t, 32), size(&t, side), size(&t, side)));
    return MAKE(&t, convolution_backward_weights, operands, 2, INTS(1, 1), INTS(1, 1), INTS(1, 1),
                DIMS(size(&t, 3), size(&t, 3)), 1);
}

static Node *gradient_of_one_strip(void) { return weight_gradient(14); }
static Node *gradient_of_many_strips(void) { return weight_gradient(112); }

static Node *smaller_map(void) {
    Node *x = input_map(16, 12);
    Names *names = t.graph->names;
    return MAKE(&t, resample, &x, 1, DIMS(size(&t, 7), size(&t, 7)), intern(names, "bilinear"),
                intern(names, "half_pixel"), true, -0.75);
}

static Node *best_five(void) {
    Node *x = input_map(16, 12);
    return MAKE(&t, top_k, &x, 1, DIMS(size(&t, 5)), 3, true);
}

static Node *prefix_sums(void) {
    Node *x = input_map(16, 12);
    return MAKE(&t, cumsum, &x, 1, 3);
}

static Node *sum_of_all(void) {
    Node *x = input_map(16, 256);
    return MAKE(&t, sum, &x, 1, INTS(0, 1, 2, 3));
}

/* ---- programs ---- */

static Program *lowered(Node *output, const char *force) {
    LowerOptions options = {.target = target_find("x86-64-v3"), .table = &noting_table, .force = force};
    memset(&proposed, 0, sizeof proposed);
    named_output(&t, "y", output);
    return lower(t.graph, &options, t.arena);
}

/* The first launch of the kind. */
static const Kernel *kernel_of(const Program *program, KernelId kind) {
    for (int i = 0; i < program->launches.count; i++)
        if (program->launches.items[i]->kind == &noting_kinds[kind]) return program->launches.items[i];
    return NULL;
}

static const Kernel *forced_kernel(Node *output, KernelId kind) {
    return kernel_of(lowered(output, noting_kinds[kind].name), kind);
}

static const WorkingMemory *memory_proposed_for(const Kernel *kernel) {
    int kind = (int)(kernel->kind - noting_kinds);
    for (int i = 0; i < proposed.count; i++)
        if (proposed.items[i].kernel == kernel && proposed.items[i].kind == kind)
            return &proposed.items[i].memory;
    return NULL;
}

static int64_t bytes_of(Dim dim) { return dim ? dim_const_value(dim) : 0; }

TEST(working_memory_is_proposed) {
    enum { SOME = -1 };
    static const struct {
        Node *(*graph)(void);
        KernelId kind;
        int64_t scratch, workspace; /* bytes */
    } cases[] = {
        {f32_conv, KERNEL_conv_direct, 0, 0},
        {bf16_conv, KERNEL_conv_direct, SOME, 0},
        {many_tiles, KERNEL_conv_winograd, SOME, 0},
        {few_tiles, KERNEL_conv_winograd, 0, SOME},
        {gradient_of_one_strip, KERNEL_conv_gradient, SOME, 0},
        {gradient_of_many_strips, KERNEL_conv_gradient, 0, SOME},
        {gradient_of_one_strip, KERNEL_conv_winograd_gradient, SOME, SOME},
        {smaller_map, KERNEL_window, 12 * 8 * 4, SOME}, /* a row of a block of eight channels */
        {best_five, KERNEL_order, 5 * 8, 0},
        {prefix_sums, KERNEL_order, 0, 0},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        const Kernel *kernel = forced_kernel(cases[i].graph(), cases[i].kind);
        CU_ASSERT_FATAL(kernel != NULL);
        const WorkingMemory *wanted = memory_proposed_for(kernel), has = kernel->proposal.memory;
        CU_ASSERT_FATAL(wanted != NULL);
        CU_ASSERT(wanted->scratch == has.scratch && wanted->workspace == has.workspace);
        int64_t scratch = bytes_of(has.scratch), workspace = bytes_of(has.workspace);
        CU_ASSERT(cases[i].scratch == SOME ? scratch > 0 : scratch == cases[i].scratch);
        CU_ASSERT(cases[i].workspace == SOME ? workspace > 0 : workspace == cases[i].workspace);
        CU_ASSERT((kernel->workspace != NULL) == (workspace > 0));
        arena_free(t.arena);
    }
}

/* A nest's memory follows from its loops, which follow from strides: it has a vector for
 * each part. */
TEST(a_nest_has_memory_for_its_parts) {
    const Kernel *kernel = forced_kernel(sum_of_all(), KERNEL_loops);
    CU_ASSERT_FATAL(kernel != NULL && kernel->phase_count == 2);
    CU_ASSERT(bytes_of(kernel->proposal.memory.workspace) ==
              dim_const_value(kernel->phases[0].tasks) * 8 * 4);
    arena_free(t.arena);
}

/* A map is compared with itself at other places. */
TEST(ties_hold_a_kind_back) {
    Node *y = conv_to(input_map(64, 56), 64), *both[] = {y, MAKE(&t, flip, &y, 1, INTS(3))};
    Node *equal = graph_make(t.graph, OP_eq, both, 2, NULL);
    const Program *program = lowered(MAKE(&t, cast, &equal, 1, DTYPE_F32), NULL);
    const Kernel *kernel = kernel_of(program, KERNEL_conv_direct);
    CU_ASSERT_FATAL(kernel != NULL);
    CU_ASSERT(kernel->held_back == &noting_kinds[KERNEL_conv_winograd]);
    arena_free(t.arena);
    kernel = kernel_of(lowered(conv_to(input_map(64, 56), 64), NULL), KERNEL_conv_winograd);
    CU_ASSERT_FATAL(kernel != NULL);
    CU_ASSERT(kernel->held_back == NULL);
    arena_free(t.arena);
}
