/* The inner loops of all kernels: no vector register may be spilled there, on any target.
 * LLVM's own comments in the assembly say which loops are innermost, which blocks are
 * theirs, and which instructions spill or reload.
 *
 * Scanned are the timed lines of tests/kernels/shapes.txt and of the others the first
 * shape of each, the cases of tests/kernels/memory.cai, and the examples' networks. */
#include "../kernels/shape.h"
#include "backend_support.h"
#include "network_support.h"
#include <ctype.h>

/* ---- reading assembly ---- */

typedef struct Loops { /* headers of innermost loops, as numbers of their blocks: "3_12" */
    char (*names)[24];
    int count, room;
} Loops;

/* ".LBB3_12:" or "# %bb.12:" begins a block; the comments behind it and in the lines
 * below say what loop it belongs to. */
static bool read_block(const char *line, char name[24]) { return sscanf(line, ".LBB%23[0-9_]:", name) == 1; }

static bool is_inner(const Loops *loops, const char *name) {
    for (int i = 0; i < loops->count; i++)
        if (strcmp(loops->names[i], name) == 0) return true;
    return false;
}

static void find_loops(char **lines, int count, Loops *loops) {
    char block[24] = "";
    loops->names = calloc((size_t)count + 1, sizeof *loops->names);
    for (int i = 0; i < count; i++) {
        read_block(lines[i], block);
        if (strstr(lines[i], "This Inner Loop Header"))
            memcpy(loops->names[loops->count++], block, sizeof block);
    }
}

static bool is_vector_spill(const char *line) {
    const char *bytes = strstr(line, "-byte ");
    if (!bytes || !(strstr(bytes, "Spill") || strstr(bytes, "Reload"))) return false;
    while (bytes > line && isdigit((unsigned char)bytes[-1])) bytes--;
    return atoi(bytes) >= 16;
}

/* The first function with spills in an innermost loop, and their number. */
static int count_spills(char *text, char function[128]) {
    char *lines_of[1] = {text}, **lines = lines_of, name[128] = "", block[24];
    int count = 0, spills = 0;
    for (char *at = text; *at; at++) count += *at == '\n';
    lines = calloc((size_t)count + 1, sizeof *lines);
    count = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) lines[count++] = line;
    Loops loops = {0};
    find_loops(lines, count, &loops);
    bool inside = false;
    for (int i = 0; i < count; i++) {
        const char *in = strstr(lines[i], "in Loop: Header=BB");
        if (isalpha((unsigned char)lines[i][0])) sscanf(lines[i], "%127[^:]", name);
        if (read_block(lines[i], block)) inside = is_inner(&loops, block);
        else if (strncmp(lines[i], "# %bb.", 6) == 0) inside = false;
        if (in && sscanf(in, "in Loop: Header=BB%23[0-9_]", block) == 1) inside = is_inner(&loops, block);
        if (!inside || !is_vector_spill(lines[i])) continue;
        if (!spills++) memcpy(function, name, sizeof name);
    }
    free(loops.names);
    free(lines);
    return spills;
}

TEST(are_seen) {
    static const char inner[] =
        "conv:\n.LBB0_1:                                # %body\n                                        # =>This Inner Loop Header: "
        "Depth=1\n\tvmovups\t%zmm1, 64(%rsp)                # 64-byte Spill\n\tjl\t.LBB0_1\n";
    static const char outer[] =
        "map:\n.LBB0_1:                                # %body\n                                        # =>This Loop Header: "
        "Depth=1\n\tvmovups\t%zmm1, 64(%rsp)                # 64-byte Spill\n.LBB0_2:\n  #   Parent Loop BB0_1 Depth=1\n"
        "  # =>  This Inner Loop Header: Depth=2\n\tmovq 8(%rsp), %rax # 8-byte Reload\n\tjl .LBB0_2\n# %bb.3:\n"
        "  #   in Loop: Header=BB0_1 Depth=1\n\tvaddps 64(%rsp), %zmm1, %zmm2 # 64-byte Folded Reload\n\tjl\t.LBB0_1\n";
    static const char later[] =
        "sum:\n.LBB0_2:\n  # =>This Inner Loop Header: Depth=1\n\tje .LBB0_4\n# %bb.3:\n  #   in Loop: Header=BB0_2 Depth=1\n"
        "\tvaddps 64(%rsp), %ymm1, %ymm2 # 32-byte Folded Reload\n.LBB0_4:\n  #   in Loop: Header=BB0_2 Depth=1\n\tjl\t.LBB0_2\n"
        "# %bb.5:\n\tvmovups 64(%rsp), %ymm1 # 32-byte Reload\n";
    char function[128], text[1200];
    CU_ASSERT(count_spills(strcpy(text, inner), function) == 1 && strcmp(function, "conv") == 0);
    CU_ASSERT(count_spills(strcpy(text, outer), function) == 0);
    CU_ASSERT(count_spills(strcpy(text, later), function) == 1 && strcmp(function, "sum") == 0);
}

/* What is known to spill, and how much at most. Fewer is better, and more is a
 * mistake. */
static const struct {
    const char *function, *target;
    int most;
} known[] = {
    /* twelve sums and two operands where AVX2 has sixteen registers: the slow way for
     * what no other kernel computes */
    {"conv_any_", "x86-64-v3", 50},
    /* sixteen pixels: four loads of some 250 instructions, and fewer pixels cost more;
     * two more in a cai that clang compiled, which evaluates arguments in another
     * order */
    {"conv_grouped_ic1", "x86-64-v4", 52},
    {"map_", "x86-64-v3", 3}, /* exp and erf have more constants than AVX2 has registers */
    {"rows", "x86-64-v3", 1}, /* the same, in softmax's rows */
    /* in a cai that clang compiled, too */
    {"max_pool_scatter", "x86-64-v3", 1},
    /* coordinates are f64, of eight columns two registers each; for gradients of few
     * channels only */
    {"resample_input_plain", "x86-64-v3", 3},
    /* cubic, of maps so small that a task has no loop, and no register for its
     * constants */
    {"resample_plain", "x86-64-v3", 3},
    {"map_", "x86-64-v4", 1}, /* convolutions of one pixel, all taps at once */
};

static int known_spills(const char *function, const char *target) {
    for (int i = 0; i < COUNT_OF(known); i++)
        if (strcmp(known[i].target, target) == 0 &&
            strncmp(function, known[i].function, strlen(known[i].function)) == 0)
            return known[i].most;
    return 0;
}

/* ---- what is scanned ---- */

static void scan(TestGraph *t, const char *force, int winograd, const char *what) {
    for (int i = 0; i < target_count(); i++) {
        const char *target = target_at(i)->name;
        LowerOptions options = WITH_TABLE(.target = target_at(i), .force = force, .winograd = winograd);
        char function[128], *text = (char *)print_compiled(t, &options, "asm");
        CU_ASSERT(strstr(text, "Loop Header") || strstr(text, "ret"));
        int spills = count_spills(text, function);
        bool good = spills == 0 || spills <= known_spills(function, target);
        if (!good)
            fprintf(stderr, "\n%s (%s): %d spilled registers in inner loops, first in %s\n", what, target,
                    spills, function);
        CU_ASSERT(good);
    }
}

static void scan_shape(const ShapeLine *shape, const char *text, void *context) {
    int *nth = context;
    if (!shape->timed && (*nth)++) return;
    TestGraph t = shape_graph(shape, 1);
    scan(&t, *shape->by ? shape->by : NULL, (int)shape->tile, text);
    arena_free(t.arena);
}

typedef struct Part { int part, parts, lines; } Part;

static void scan_line(const char *line, void *context) {
    Part *part = context;
    int nth = 0;
    if (part->lines++ % part->parts == part->part) each_shape(line, scan_shape, &nth);
}

TEST_IN_PARTS(shapes, 8) {
    Part these = {part, parts, 0};
    CU_ASSERT(each_line("tests/kernels/shapes.txt", scan_line, &these) > part);
}

TEST_IN_PARTS(gradients, 4) {
    Part these = {part, parts, 0};
    CU_ASSERT(each_line("tests/kernels/gradients.txt", scan_line, &these) > part);
}

static void scan_case(const char *line, void *context) {
    (void)context;
    char name[64], size[16];
    if (sscanf(line, "%63s %15s", name, size) != 2) return;
    TestGraph t =
        network_graph("tests/kernels/memory.cai", name, (const char *[]){"S"}, (const char *[]){size}, 1);
    scan(&t, NULL, 0, line);
    arena_free(t.arena);
}

TEST(what_is_bound_by_memory) { CU_ASSERT(each_line("tests/kernels/memory.txt", scan_case, NULL) > 0); }

enum { EXAMPLES = 5 };

TEST_IN_PARTS(examples, EXAMPLES) {
    static const char *const files[EXAMPLES] = {"resnet18", "resnet50", "mobilenet_v2", "unet", "denoise"};
    static const char *const names[] = {"N", "H", "W"}, *const values[] = {"1", "512", "512"};
    char path[64];
    (void)parts;
    snprintf(path, sizeof path, "examples/%s.cai", files[part]);
    TestGraph t = network_graph(path, NULL, names, values, part < 3 ? 1 : 3);
    scan(&t, NULL, 0, path);
    arena_free(t.arena);
}
