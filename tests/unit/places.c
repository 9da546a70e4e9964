/* What kernels promise of places: where the windows of two places hold the same numbers,
 * results are the same bits, wherever the places lie in a tile, a row or a task. Direct
 * kernels promise it, Winograd does not: plan/ties.c says who needs it, docs/kernels.md
 * why. */
#include "../kernels/shape.h"
#include "backend_support.h"

/* ---- pictures in which windows repeat ---- */

typedef struct Step { int64_t down, across; } Step;

enum { FLAT, COLUMNS, ROWS, BARS, DIAGONAL, OTHER_DIAGONAL, TILED, PICTURES };

/* Steps between places of equal windows: everywhere, or wherever they do not touch the
 * edge of a bar. */
static const struct Picture {
    const char *name;
    Step steps[2];
} pictures[] = {
    [FLAT] = {"flat", {{1, 0}, {0, 1}}},         [COLUMNS] = {"of columns", {{1, 0}, {2, 0}}},
    [ROWS] = {"of rows", {{0, 1}, {0, 2}}},      [BARS] = {"of bars", {{1, 0}, {0, 1}}},
    [DIAGONAL] = {"diagonal", {{1, 1}, {2, 2}}}, [OTHER_DIAGONAL] = {"diagonal", {{1, -1}, {2, -2}}},
    [TILED] = {"of 3 by 5", {{3, 0}, {0, 5}}}};

static double value_at(int picture, int64_t channel, int64_t y, int64_t x) {
    const int64_t places[PICTURES][2] = {[FLAT] = {0, 0},         [COLUMNS] = {0, x},
                                         [ROWS] = {y, 0},         [BARS] = {y / 13 % 2, x / 11 % 3},
                                         [DIAGONAL] = {0, x - y}, [OTHER_DIAGONAL] = {0, x + y},
                                         [TILED] = {y % 3, x % 5}};
    int64_t key[3] = {channel, places[picture][0], places[picture][1]};
    return (float)((double)(hash_bytes(key, sizeof key, 7) >> 40) * 0x1p-23 - 1);
}

typedef struct Map { int64_t images, channels, height, width; } Map;

static Map map_of(TestGraph *t, Shape shape) {
    int64_t sizes[4];
    for (int i = 0; i < 4; i++) CU_ASSERT_FATAL(dim_evaluate(shape.dims[i], t->symbols, &sizes[i]));
    return (Map){sizes[0], sizes[1], sizes[2], sizes[3]};
}

static Map input_map(TestGraph *t) { return map_of(t, t->inputs.items[0].node->shape); }

static void draw(TestGraph *t, int picture) {
    Map map = input_map(t);
    for (int64_t i = 0; i < t->inputs.items[0].count; i++)
        t->inputs.items[0].values[i].real =
            value_at(picture, i / (map.height * map.width), i / map.width % map.height, i % map.width);
}

/* ---- the comparison ---- */

static bool is_transposed(const ShapeLine *s) { return strcmp(s->op, "tconv") == 0; }

/* Whether two places see the same numbers, and no padding. Outputs of a transposed
 * convolution lie between inputs: they do in pictures that repeat everywhere, a stride of
 * steps apart and away from the edges. */
static bool same_windows(const Number *map, const ShapeLine *s, Map in, Map out, int64_t row, int64_t column,
                         Step step) {
    int64_t edge = s->d * (s->kh - 1) + 1, down = step.down * s->s, across = step.across * s->s;
    if (is_transposed(s))
        return row >= edge && row + step.down < out.height - edge && column >= edge &&
               column < out.width - edge && column + step.across >= edge &&
               column + step.across < out.width - edge;
    for (int64_t i = 0; i < s->kh * s->kw; i++) {
        int64_t y = row * s->s - s->p + i / s->kw * s->d, x = column * s->s - s->p + i % s->kw * s->d;
        if (y < 0 || x < 0 || x + across < 0 || y + down >= in.height || x >= in.width ||
            x + across >= in.width)
            return false;
        const Number *at = map + y * in.width + x;
        for (int64_t c = 0; c < in.channels; c++, at += in.height * in.width)
            if (at[0].real != at[down * in.width + across].real) return false;
    }
    return true;
}

static int64_t count_unlike(TestGraph *t, const ShapeLine *s, const Number *y, Step step) {
    Map in = input_map(t), map = map_of(t, t->graph->outputs.items[0].node->shape);
    const Number *picture = t->inputs.items[0].values;
    int64_t unlike = 0, compared = 0;
    for (int64_t row = 0; row + step.down < map.height; row++)
        for (int64_t column = 0; column < map.width; column++) {
            if (column + step.across < 0 || column + step.across >= map.width ||
                !same_windows(picture, s, in, map, row, column, step))
                continue;
            const Number *at = y + row * map.width + column,
                         *other = at + step.down * map.width + step.across;
            for (int64_t c = 0; c < map.channels; c++, compared++)
                unlike += at[c * map.height * map.width].real != other[c * map.height * map.width].real;
        }
    CU_ASSERT(compared > 0);
    return unlike;
}

typedef struct Promise {
    const char *target;
    int winograd; /* F(2, 3), F(4, 3), or none */
    bool broken;  /* none is made: some place differs */
} Promise;

static int64_t count_in_picture(Compiled *compiled, const ShapeLine *s, int picture) {
    TestGraph *t = compiled->test;
    Number *y;
    int64_t unlike = 0;
    draw(t, picture);
    if (!run_compiled(compiled, 1, &y)) return 0;
    for (int i = 0; i < 2; i++) {
        Step step = pictures[picture].steps[i];
        if (is_transposed(s)) step = (Step){step.down * s->s, step.across * s->s};
        unlike += count_unlike(t, s, y, step);
    }
    return unlike;
}

static void check_shape(const ShapeLine *shape, const char *text, void *context) {
    const Promise *promise = context;
    TestGraph t = shape_graph(shape, 3);
    LowerOptions options =
        WITH_TABLE(.target = target_find(promise->target), .force = shape->by, .winograd = promise->winograd);
    for (int i = 1; i < t.inputs.count; i++) { /* weights, and a residual that is flat */
        TestInput *input = &t.inputs.items[i];
        for (int64_t k = 0; k < input->count; k++)
            input->values[k].real = input->node->op == OP_input ? 0.3 : random_in(&t, -1, 1);
    }
    round_inputs(&t);
    Compiled compiled;
    bool ready = compile_and_load(&t, &options, &compiled);
    int64_t unlike = 0;
    for (int i = 0; ready && i < PICTURES; i++) {
        if (i == BARS && is_transposed(shape)) continue;
        int64_t count = count_in_picture(&compiled, shape, i);
        if (count && !promise->broken)
            fprintf(stderr, "\n%s (%s), %s: %ld places differ\n", text, promise->target, pictures[i].name,
                    (long)count);
        unlike += count;
    }
    CU_ASSERT((unlike > 0) == promise->broken);
    unload(&compiled);
    arena_free(t.arena);
}

static void check_lines(const char *const *lines, int count, Promise promise) {
    for (int target = 0; target < target_count(); target++) {
        promise.target = target_at(target)->name;
        for (int i = 0; can_run(target_at(target)->name) && i < count; i++)
            each_shape(lines[i], check_shape, &promise);
    }
}

TEST(direct_kernels_equal_windows_give_equal_bits) {
    static const char *const lines[] = {
        "conv by=conv_direct ic=19 oc=40 k=3 p=1 s=1,2 h=23 w=31 free=0,1 epilogue=relu",
        "conv by=conv_direct ic=3 oc=20 k=7 p=3 s=1,2 h=27 w=30 free=0,1",
        "conv by=conv_direct ic=72 oc=72 k=1 h=15 w=29 free=0,1",
        "conv by=conv_direct ic=333 oc=24 k=3 p=1 h=18 w=19 free=0,1",
        "conv by=conv_direct ic=32 oc=32 k=3 p=2 d=2 g=2 h=23 w=31",
        "tconv by=conv_transposed ic=32 oc=20 k=4 s=2 p=1 h=13 w=19 free=0,1",
        "conv by=conv_few ic=40 oc=3 k=3 p=1 h=17 w=21 free=0,1",
        "conv by=conv_grouped ic=20 oc=20 k=3 p=1 g=20 s=1,2 h=21 w=33 free=0,1",
        "conv by=conv_grouped ic=32 oc=32 k=3 p=1 g=8 h=17 w=21 free=0,1",
        "conv by=conv_any ic=5 oc=7 k=3 p=1 s=1,2 h=23 w=37 free=0,1",
        "pool_sum ic=5,16 k=3 s=1,2 p=1 h=23 w=37 free=0,1",
        "conv by=conv_direct ic=16 oc=16 k=3 p=1 h=140 w=130"};
    check_lines(lines, COUNT_OF(lines), (Promise){.winograd = WINOGRAD_NEVER});
}

TEST(Winograd_they_do_not) {
    static const char *const lines[] = {
        "conv by=conv_winograd ic=19 oc=40 k=3 p=1 h=23 w=31 free=0,1 epilogue=relu",
        "conv by=conv_winograd ic=320 oc=272 k=3 p=1 h=14 w=17",
        "conv by=conv_winograd ic=16 oc=16 k=3 p=0,1 h=58 w=61"};
    for (int outputs = 2; outputs <= 4; outputs += 2)
        check_lines(lines, COUNT_OF(lines), (Promise){.winograd = outputs, .broken = true});
}
