/* The tables of a compiled program: what prepare() computes, refuses and checks, and what
 * ports say about their sizes. */
#include "backend_support.h"
#include "core/core.h"

static bool load(TestGraph *t, Compiled *compiled) {
    LowerOptions options = WITH_TABLE(.target = target_at(0));
    return compile_and_load(t, &options, compiled);
}

static int64_t *sizes_of(TestGraph *t, const cai_program *program) {
    return NEW_ARRAY(t->arena, int64_t, program->size_count);
}

/* y = x[:, :, H/2] of two images, with slots between. */
static Node *half(TestGraph *t, Node *x) {
    Dims *dims = t->graph->dims;
    Dim zero = size(t, 0);
    Node *y = build_transpose(t->graph, unary(t, OP_exp, x), (int64_t[]){1, 0, 2});
    y = build_sum(t->graph, y, (int64_t[]){0}, 1);
    Dim middle = dim_floor_div(dims, t->H, 2);
    return build_slice(t->graph, y, (Dim[]){zero, zero, zero}, (Dim[]){size(t, 1), t->N, middle}, NULL);
}

static void add_check(TestGraph *t, CheckKind kind, Dim left, Dim right, const char *message) {
    Check check = {kind, left, right, message};
    vec_push(t->arena, &t->graph->checks, check);
}

TEST(ports) {
    TestGraph t = test_graph(1);
    Compiled compiled;
    new_output(&t, half(&t, new_input(&t, -1, 1, SIZES(t.N, size(&t, 3), t.H))));
    if (load(&t, &compiled)) {
        const cai_program *program = compiled.program;
        int64_t symbols[] = {4, 9, 0}, *sizes = sizes_of(&t, program);
        CU_ASSERT_EQUAL(program->abi, CAI_PROGRAM_ABI);
        CU_ASSERT_EQUAL(program->cpu, target_at(0)->cpu);
        CU_ASSERT_STRING_EQUAL(program->inputs[0].type_text, "f32[N, 3, H]");
        CU_ASSERT_EQUAL(program->symbol_count, 2);
        CU_ASSERT_STRING_EQUAL(program->symbols[1].name, "H");
        CU_ASSERT_EQUAL(program->prepare(symbols, sizes), CAI_PREPARED);
        const cai_dim *in = program->inputs[0].dims, *out = program->outputs[0].dims;
        CU_ASSERT(in[0].symbol == 0 && in[0].multiple == 1 && sizes[in[0].size] == 4);
        CU_ASSERT(in[1].symbol == -1 && in[1].multiple == 3 && sizes[in[1].size] == 3);
        CU_ASSERT(out[2].symbol == -2 && sizes[out[2].size] == 4); /* H // 2 */
        CU_ASSERT(sizes[program->arena] > 0 && sizes[program->arena] % CAI_ALIGNMENT == 0);
        for (int i = 0; i < program->launch_count; i++) CU_ASSERT(sizes[program->launches[i].tasks] > 0);
    }
    unload(&compiled);
    arena_free(t.arena);
}

TEST(overflow) {
    TestGraph t = test_graph(1);
    Compiled compiled;
    new_output(&t, half(&t, new_input(&t, -1, 1, SIZES(t.N, size(&t, 3), t.H))));
    if (load(&t, &compiled)) {
        int64_t *sizes = sizes_of(&t, compiled.program), large = INT64_C(1) << 40;
        CU_ASSERT_EQUAL(compiled.program->prepare((int64_t[]){large, large, 0}, sizes), CAI_OVERFLOW);
        CU_ASSERT_EQUAL(compiled.program->prepare((int64_t[]){INT64_MAX, 1, 0}, sizes), CAI_OVERFLOW);
        CU_ASSERT_EQUAL(compiled.program->prepare((int64_t[]){large, 2, 0}, sizes), CAI_PREPARED);
    }
    unload(&compiled);
    arena_free(t.arena);
}

TEST(checks) {
    TestGraph t = test_graph(1);
    Compiled compiled;
    new_output(&t, unary(&t, OP_neg, new_input(&t, -1, 1, SIZES(t.N, t.H))));
    add_check(&t, CHECK_AT_LEAST, t.H, size(&t, 3), "H must be at least 3");
    add_check(&t, CHECK_EQUAL, dim_scale(t.graph->dims, t.N, 2), t.H, "H must be twice N");
    add_check(&t, CHECK_DIVISIBLE, t.H, size(&t, 4), "H must be a multiple of 4");
    if (load(&t, &compiled)) {
        const cai_program *program = compiled.program;
        int64_t *sizes = sizes_of(&t, program);
        CU_ASSERT_EQUAL(program->prepare((int64_t[]){1, 2, 0}, sizes), 0);
        CU_ASSERT_EQUAL(program->prepare((int64_t[]){2, 5, 0}, sizes), 1);
        CU_ASSERT_EQUAL(program->prepare((int64_t[]){3, 6, 0}, sizes), 2);
        CU_ASSERT_EQUAL(program->prepare((int64_t[]){4, 8, 0}, sizes), CAI_PREPARED);
        CU_ASSERT_STRING_EQUAL(program->checks[1].message, "H must be twice N");
    }
    unload(&compiled);
    arena_free(t.arena);
}

/* Kernels of equal name are one function, and the code's text can be had. */
TEST(kernels_are_shared) {
    TestGraph t = test_graph(1);
    LowerOptions options = WITH_TABLE(.target = target_at(0));
    for (int i = 0; i < 3; i++) new_output(&t, unary(&t, OP_neg, new_input(&t, -1, 1, SIZES(t.H))));
    const char *text = print_compiled(&t, &options, "llvm");
    int functions = 0;
    for (const char *at = text; (at = strstr(at, "define internal")); at++) functions++;
    CU_ASSERT_EQUAL(functions, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(print_compiled(&t, &options, "asm"), "vxorps"));
    arena_free(t.arena);
}
