/* Proposals: what a kind of kernel wants is known when kinds are chosen. Every kind's
 * proposal is written down as it is made, and compared with what the program has. */
#include "graph_test.h"
#include "kernels/kernels.h"
#include "plan/plan.h"

typedef struct Proposed {
    const Kernel *kernel;
    int kind;
    WorkingMemory memory;
} Proposed;

static Vec(Proposed) proposed;
static Arena *proposed_arena;

static bool record_proposal(bool fits, const Kernel *kernel, int kind, const Proposal *proposal) {
    if (fits) vec_push(proposed_arena, &proposed, ((Proposed){kernel, kind, proposal->memory}));
    return fits;
}

#define KERNEL(name, what)                                                                       \
    static bool record_##name(const Kernel *kernel, Proposal *proposal) {                        \
        return record_proposal(name##_propose(kernel, proposal), kernel, KERNEL_##name, proposal); \
    }
#include "kernels/kernels.def"

static const KernelKind recording_kinds[] = {
#define KERNEL(name, what) {#name, what, record_##name, name##_settle, name##_emit},
#include "kernels/kernels.def"
};
static const KernelTable recording_table = {recording_kinds, KERNEL_COUNT};

static const WorkingMemory *memory_proposed_for(const Kernel *kernel) {
    int kind = (int)(kernel->kind - recording_kinds);
    for (int i = proposed.count - 1; i >= 0; i--)
        if (proposed.items[i].kernel == kernel && proposed.items[i].kind == kind)
            return &proposed.items[i].memory;
    return NULL;
}

/* The launch of that kind. */
static const Kernel *lowered_kernel(TestGraph *t, Node *output, const char *kind) {
    named_output(t, "y", output);
    proposed_arena = t->arena;
    LowerOptions options = {.target = target_find("x86-64-v3"), .table = &recording_table, .force = kind};
    Program *program = lower(t->graph, &options, t->arena);
    for (int i = 0; i < program->launches.count; i++)
        if (strcmp(program->launches.items[i]->kind->name, kind) == 0) return program->launches.items[i];
    return NULL;
}

static Node *conv_of(TestGraph *t, Node *x, int64_t outputs, int64_t kernel) {
    Node *w = named_parameter(t, "w", SIZES(size(t, outputs), x->shape.dims[1], size(t, kernel), size(t, kernel)));
    if (x->shape.type != DTYPE_F32) w = MAKE(t, cast, &w, 1, x->shape.type);
    return MAKE(t, convolution, ((Node *[]){x, w}), 2, INTS(1, 1), INTS(1, 1), INTS(kernel / 2, kernel / 2),
                DIMS(x->shape.dims[2], x->shape.dims[3]), 1);
}

static Node *map_input(TestGraph *t, int64_t channels, int64_t side) {
    return named_input(t, "x", SIZES(size(t, 1), size(t, channels), size(t, side), size(t, side)));
}

/* Checks that the program has the working memory that was proposed, of that many bytes. */
static void check_memory(TestGraph *t, const Kernel *kernel, int64_t scratch, int64_t workspace) {
    CU_ASSERT_FATAL(kernel != NULL);
    const WorkingMemory *wanted = memory_proposed_for(kernel), has = kernel->proposal.memory;
    CU_ASSERT_FATAL(wanted != NULL);
    CU_ASSERT(wanted->scratch == has.scratch && wanted->workspace == has.workspace);
    CU_ASSERT(has.scratch == (scratch ? size(t, scratch) : NULL));
    CU_ASSERT(has.workspace == (workspace ? size(t, workspace) : NULL));
    CU_ASSERT((kernel->workspace != NULL) == (workspace != 0));
}

TEST(direct_convolution_of_f32_needs_no_memory) {
    TestGraph t = test_graph(1);
    check_memory(&t, lowered_kernel(&t, conv_of(&t, map_input(&t, 16, 12), 16, 3), "conv_direct"), 0, 0);
    arena_free(t.arena);
}
