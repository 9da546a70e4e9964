/* The kernels against the reference, on the shapes of tests/kernels/shapes.txt: whole numbers, so that every sum is exact, for both
 * targets, on one thread and on three. And their inner loops: no vector register may be spilled there. */
#include "backend_support.h"
#include "../kernels/shape.h"
#include <ctype.h>

static const char *const targets[] = {"x86-64-v3", "x86-64-v4"};
static const char shapes_path[] = "tests/kernels/shapes.txt";

/* ---- results ---- */

/* All fixed shapes of a line are one program for each target; each free one is its own, for one target in turn. */
typedef struct Line {
    const char *operators;
    TestGraph fixed[COUNT_OF(targets)];
    ShapeLine last;
    int fixed_count, free_count;
} Line;

static void compare(TestGraph *t, const ShapeLine *shape, const char *target, const char *text) {
    LowerOptions options = {.target = target_find(target), .force = *shape->by ? shape->by : NULL, .own_slots = true};
    double tolerance = strcmp(shape->mode, "bilinear") == 0 ? 1e-5 : 0;
    if (can_run(target)) compare_with_options(t, &options, tolerance, arena_printf(t->arena, "%s (%s)", text, target));
}

static void collect(const ShapeLine *shape, const char *text, void *context) {
    Line *line = context;
    if (!strstr(line->operators, arena_printf(line->fixed[0].arena, " %s ", shape->op))) return;
    line->last = *shape;
    if (shape->free) {
        TestGraph t = shape_graph(shape, 1);
        compare(&t, shape, targets[line->free_count++ % COUNT_OF(targets)], text);
        arena_free(t.arena);
        return;
    }
    for (int i = 0; i < COUNT_OF(targets); i++) add_shape(&line->fixed[i], shape);
    line->fixed_count++;
}

static void check_line(const char *text, void *context) {
    Line line = {.operators = context};
    for (int i = 0; i < COUNT_OF(targets); i++) line.fixed[i] = test_graph(2);
    each_shape(text, collect, &line);
    for (int i = 0; i < COUNT_OF(targets); i++) {
        if (line.fixed_count) compare(&line.fixed[i], &line.last, targets[i], text);
        arena_free(line.fixed[i].arena);
    }
}

static void check_operators(const char *operators) { CU_ASSERT(each_line(shapes_path, check_line, (void *)operators) > 0); }

static void test_convolutions(void) { check_operators(" conv tconv convw "); }
static void test_windows(void) { check_operators(" pool_max pool_sum pool_sum_input max_pool_scatter max_pool_gather resample resample_input "); }
static void test_matrices(void) { check_operators(" matmul dense "); }

/* ---- inner loops ---- */

static bool is_watched(const char *function) { return strncmp(function, "conv_", 5) == 0 || strncmp(function, "mat", 3) == 0; }

/* Spills of vector registers between a label and a jump back to it: the innermost loops of convolutions and matrix products. What is
 * addressed with an index beside the stack pointer is an array there, a panel of a matrix. */
static int spills_in_loops(const char *text) {
    Arena *arena = arena_new();
    char *copy = arena_strndup(arena, text, strlen(text)), *label = NULL;
    int in_loop = 0, all = 0;
    bool watched = false;
    for (char *line = copy, *end; line; line = end) {
        end = strchr(line, '\n');
        if (end) *end++ = 0;
        if (isalpha((unsigned char)line[0])) watched = is_watched(line);
        if (strncmp(line, ".LBB", 4) == 0) {
            label = line;
            label[strcspn(label, ":")] = 0;
            in_loop = 0;
        }
        bool vector = strstr(line, "xmm") || strstr(line, "ymm") || strstr(line, "zmm");
        if (watched && vector && strstr(line, "(%rsp)")) in_loop++;
        if (line[0] == '\t' && line[1] == 'j' && label && strstr(line, label)) all += in_loop;
    }
    arena_free(arena);
    return all;
}

static void check_spills(const ShapeLine *shape, const char *text, void *context) {
    const char *target = context;
    TestGraph t = shape_graph(shape, 1);
    LowerOptions options = {.target = target_find(target), .force = *shape->by ? shape->by : NULL};
    int spills = spills_in_loops(print_compiled(&t, &options, "asm"));
    if (spills) fprintf(stderr, "\n%s: %d spilled registers in inner loops (%s)\n", text, spills, target);
    CU_ASSERT(spills == 0);
    arena_free(t.arena);
}

static void check_line_spills(const char *text, void *context) {
    (void)context;
    for (int i = 0; i < COUNT_OF(targets); i++) each_shape(text, check_spills, (void *)targets[i]);
}

static void test_spills(void) { CU_ASSERT(each_line("tests/kernels/bench.txt", check_line_spills, NULL) > 0); }

static void test_spills_are_seen(void) {
    CU_ASSERT(spills_in_loops("conv_x:\n.LBB0_1:\n\tvmovaps %zmm1, 64(%rsp)\n\tjl\t.LBB0_1\n") == 1);
    CU_ASSERT(spills_in_loops("map_x:\n.LBB0_1:\n\tvmovaps %zmm1, 64(%rsp)\n\tjl\t.LBB0_1\n") == 0);
    CU_ASSERT(spills_in_loops("conv_x:\n.LBB0_1:\n\tvmovaps %zmm1, 64(%rsp)\n.LBB0_2:\n\tjl\t.LBB0_2\n") == 0);
}

void suite_kernels(void) {
    CU_pSuite suite = CU_add_suite("kernels", NULL, NULL);
    CU_add_test(suite, "convolutions", test_convolutions);
    CU_add_test(suite, "pools and resampling", test_windows);
    CU_add_test(suite, "matrix products", test_matrices);
    CU_add_test(suite, "spills are seen", test_spills_are_seen);
    CU_add_test(suite, "no spills in inner loops", test_spills);
}
