/* What rewrites do to rounding: graphs as written and after each pass, both evaluated in
 * f32 (f32_support.c), at large, small and cancelling values. A reference in double
 * cannot see it. */
#include "backend_support.h"
#include "f32_support.h"
#include "graph/ops.h"

#define HALF_UNIT 0x1p-24

/* ---- texts with their right values, from numpy in float32 ---- */

typedef enum Step {
    END,
    ADD,
    SUB,
    FROM,
    MUL,
    DIV,
    NEG, /* FROM: value - x */
    SQUARE,
    CUBE,
    ROOT,
    INVERSE, /* pow(x, 2), .. */
    /* 1x1, 3x3 with padding, transposed 2x2 of stride 2; of rows. By weights, all
     * `value` */
    CONV,
    PADDED,
    TRANSPOSED,
    DENSE,
    FLOOR,
    LARGEST,
    POOL /* POOL: sums of 2x2 */
} Step;

typedef struct Written {
    Step step;
    double value;
    bool trained; /* a parameter, not a number of the text */
} Written;

static Node *set_values(TestGraph *t, Node *node, const double *values, int count) {
    TestInput *input = &vec_last(&t->inputs);
    for (int64_t i = 0; i < input->count; i++) input->values[i].real = (double)(float)values[i % count];
    return node;
}

static Dim channels_of(const Node *x) { return x->shape.dims[1]; }

static const Number *numbers(TestGraph *t, const double *values, int64_t count) {
    Number *result = NEW_ARRAY(t->arena, Number, count);
    for (int64_t i = 0; i < count; i++) result[i].real = values[i];
    return result;
}

/* A value for each channel, of axis 1, which of rows is the last. */
static Node *by_channel(TestGraph *t, const Node *x, const double *values, bool trained) {
    Dim dims[4] = {size(t, 1), channels_of(x), size(t, 1), size(t, 1)};
    int64_t count = dim_const_value(channels_of(x));
    if (trained) return set_values(t, new_parameter(t, 0, 1, x->shape.rank, dims), values, (int)count);
    return build_constant(t->graph, numbers(t, values, count), count,
                          (Shape){DTYPE_F32, x->shape.rank, dims});
}

static Node *convolve(TestGraph *t, Node *x, Step step, const double *weights, int count) {
    Dim channels = channels_of(x), height = x->shape.dims[2], width = x->shape.dims[3],
        k = size(t, step == PADDED       ? 3
                    : step == TRANSPOSED ? 2
                                         : 1);
    Node *w = set_values(t, new_parameter(t, 0, 1, SIZES(channels, channels, k, k)), weights, count),
         *inputs[2] = {x, w};
    int64_t before = step == PADDED, stride = step == TRANSPOSED ? 2 : 1;
    DimList sizes = DIMS(dim_scale(t->graph->dims, height, stride), dim_scale(t->graph->dims, width, stride));
    convolution_attributes attributes = {INTS(stride, stride), INTS(1, 1), INTS(before, before), sizes, 1};
    return graph_make(t->graph, step == TRANSPOSED ? OP_convolution_backward_data : OP_convolution, inputs, 2,
                      &attributes);
}

static Node *multiply_rows(TestGraph *t, Node *x, const double *weights, int count) {
    Node *w = set_values(t, new_parameter(t, 0, 1, SIZES(channels_of(x), channels_of(x))), weights, count);
    return graph_make(t->graph, OP_matmul, (Node *[]){x, w}, 2, NULL);
}

static Node *pool(TestGraph *t, Node *x) {
    DimList sizes = DIMS(dim_floor_div(t->graph->dims, x->shape.dims[2], 2),
                         dim_floor_div(t->graph->dims, x->shape.dims[3], 2));
    return MAKE(t, pool_sum, &x, 1, INTS(2, 2), INTS(2, 2), INTS(1, 1), INTS(0, 0), sizes);
}

static bool is_elementwise(Step step) { return step <= NEG; }

static Node *take_step(TestGraph *t, Node *x, Step step, const double *values, int count, bool trained) {
    Node *by = is_elementwise(step) && step != NEG
                   ? count > 1 || trained ? by_channel(t, x, values, trained) : splat(t, values[0])
                   : NULL;
    switch (step) {
    case ADD: return binary(t, OP_add, x, by);
    case SUB: return binary(t, OP_sub, x, by);
    case FROM: return binary(t, OP_sub, by, x);
    case MUL: return binary(t, OP_mul, x, by);
    case DIV: return binary(t, OP_div, x, by);
    case NEG: return unary(t, OP_neg, x);
    case SQUARE: return binary(t, OP_pow, x, splat(t, 2));
    case CUBE: return binary(t, OP_pow, x, splat(t, 3));
    case ROOT: return binary(t, OP_pow, x, splat(t, 0.5));
    case INVERSE: return binary(t, OP_pow, x, splat(t, -1));
    case FLOOR: return unary(t, OP_floor, x);
    case LARGEST: return binary(t, OP_max, x, splat(t, values[0]));
    case DENSE: return multiply_rows(t, x, values, count);
    case POOL: return pool(t, x);
    case CONV: case PADDED: case TRANSPOSED: return convolve(t, x, step, values, count);
    case END: break;
    }
    return x;
}

static Graph *passed(TestGraph *t, int pass, Graph *graph) {
    RefSource weights = {.context = t, .parameter = give_value};
    graph->weights = &weights;
    graph = passes[pass].run(graph);
    graph->weights = NULL;
    graph_verify(graph, passes[pass].name);
    return graph;
}

static bool is_same(double a, double b, double tolerance) {
    return a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= tolerance;
}

typedef struct Case {
    const char *text;
    Written steps[6];
    double x, right;
} Case;

#define NUMBER(step, value) {step, value, false}
#define TRAINED(step, value) {step, value, true}
/* `right` is numpy's, computed in float32 step by step. */
static const Case texts[] = {
    {"(x * 1e20) * 1e20", {NUMBER(MUL, 1e20), NUMBER(MUL, 1e20)}, 0, 0},
    {"(x * w) * w, w = 1e20", {TRAINED(MUL, 1e20), TRAINED(MUL, 1e20)}, 0, 0},
    {"(x * 1e-30) * 1e-30", {NUMBER(MUL, 1e-30), NUMBER(MUL, 1e-30)}, 1e38, 1e-22},
    {"(x * 1e20) * 1e-20", {NUMBER(MUL, 1e20), NUMBER(MUL, 1e-20)}, 1e30, INFINITY},
    {"(x - 1000000) / 3", {NUMBER(SUB, 1000000), NUMBER(DIV, 3)}, 1000001, 1.0 / 3},
    {"(x - mean) / w", {TRAINED(SUB, 1000000), TRAINED(DIV, 3)}, 1000001, 1.0 / 3},
    {"(x - 30000) / 7 behind a convolution by 1",
     {NUMBER(SUB, 30000), NUMBER(DIV, 7), NUMBER(CONV, 1)},
     30000.5,
     0.5 / 7},
    {"(x - mean) / 0.001 behind a convolution by 1",
     {TRAINED(SUB, 50), TRAINED(DIV, 0.001), NUMBER(CONV, 1)},
     50.0005,
     0.49972534},
    {"(x - mean) / w behind a convolution by 1",
     {TRAINED(SUB, 30000), TRAINED(DIV, 7), NUMBER(CONV, 1)},
     30000.5,
     0.5 / 7},
    {"(x - mean) / w * g + b behind a convolution",
     {TRAINED(SUB, 30000), TRAINED(DIV, 7), TRAINED(MUL, 2), TRAINED(ADD, 0.25), NUMBER(CONV, 1)},
     30000.5,
     1.0 / 7 + 0.25},
    {"rows", {TRAINED(SUB, 30000), TRAINED(MUL, 1.0 / 8), NUMBER(DENSE, 1)}, 30000.5, 0.0625},
    {"(x * w - b) @ 1 / 3", {TRAINED(MUL, 3), TRAINED(SUB, 3000000), NUMBER(DENSE, 1.0 / 3)}, 1000001, 1},
    {"transposed", {NUMBER(SUB, 30000), NUMBER(DIV, 8), NUMBER(TRANSPOSED, 1)}, 30000.5, 0.0625},
#define ROUNDS(x, right, ...) \
    { "(x + 12582912) - 12582912", {__VA_ARGS__ NUMBER(ADD, 12582912), NUMBER(SUB, 12582912)}, x, right }
#define NOTHING
    ROUNDS(0.4, 0, NOTHING),
    ROUNDS(1.6, 2, NOTHING),
    ROUNDS(-2.5, -2, NOTHING),
    ROUNDS(0.4, 0, NUMBER(CONV, 1), ),
    ROUNDS(1.6, 2, NUMBER(CONV, 1), ),
    ROUNDS(-2.5, -2, NUMBER(CONV, 1), ),
    ROUNDS(0.4, 0, NUMBER(DENSE, 1), ),
    ROUNDS(1.6, 2, NUMBER(DENSE, 1), ),
    ROUNDS(-2.5, -2, NUMBER(DENSE, 1), ),
    ROUNDS(0.4, 0, NUMBER(TRANSPOSED, 1), ),
    ROUNDS(-2.5, -2, NUMBER(PADDED, 1.0 / 9), ),
    ROUNDS(0.3, 0, NUMBER(CONV, 1), TRAINED(SUB, 0.1), TRAINED(MUL, 2), ),
    ROUNDS(0.9, 2, NUMBER(CONV, 1), TRAINED(SUB, 0.1), TRAINED(MUL, 2), ),
    ROUNDS(1.6, 2, NUMBER(CONV, 1), TRAINED(ADD, 0.1), ),
    {"12582912 - (12582912 - x) of a convolution",
     {NUMBER(CONV, 1), NUMBER(FROM, 12582912), NUMBER(FROM, 12582912)},
     1.6,
     2},
    {"(x + 12582912 + b) - 12582912",
     {NUMBER(ADD, 12582912), TRAINED(ADD, 0.3), NUMBER(SUB, 12582912)},
     1.6,
     2},
    {"(conv(x) * 1e20) * 1e20", {NUMBER(CONV, 1), NUMBER(MUL, 1e20), NUMBER(MUL, 1e20)}, 0, 0},
    {"(conv(x) * w) * w, w = 1e20", {NUMBER(CONV, 1), TRAINED(MUL, 1e20), TRAINED(MUL, 1e20)}, 0, 0},
    {"conv(x) * 1e20 by weights of 1e20", {NUMBER(CONV, 1e20), NUMBER(MUL, 1e20)}, 0, 0},
    {"conv(x * 1e20) by weights of 1e20", {NUMBER(MUL, 1e20), NUMBER(CONV, 1e20)}, 0, 0},
    {"conv(x) * 1e-30 by weights of 1e-10", {NUMBER(CONV, 1e-10), NUMBER(MUL, 1e-30)}, 1e10, 1e-30},
    {"x @ w * 1e20 by weights of 1e20", {NUMBER(DENSE, 1e20), NUMBER(MUL, 1e20)}, 0, 0},
    {"(x / 0) * 0", {TRAINED(DIV, 0), TRAINED(MUL, 0)}, 1, NAN},
    {"floor(x / 41 * 41)", {NUMBER(DIV, 41), NUMBER(MUL, 41), NUMBER(FLOOR, 0)}, 41, 41},
    {"pow(x, 3)", {NUMBER(CUBE, 0)}, 1e13, INFINITY},
    {"pow(x, 3)", {NUMBER(CUBE, 0)}, -5e12, -1.25e38},
    {"pow(x, 3)", {NUMBER(CUBE, 0)}, 1e-12, 1e-36},
    {"pow(x, 2)", {NUMBER(SQUARE, 0)}, -1e-18, 1e-36},
    {"pow(x, 0.5)", {NUMBER(ROOT, 0)}, 1e-36, 1e-18},
    {"pow(x, 0.5)", {NUMBER(ROOT, 0)}, -1, NAN},
    {"pow(x, -1)", {NUMBER(INVERSE, 0)}, 0, INFINITY},
    {"pow(x, -1)", {NUMBER(INVERSE, 0)}, -INFINITY, -0.0},
    {"x * 0", {NUMBER(MUL, 0)}, INFINITY, NAN},
    {"max(max(x, 3), 2)", {NUMBER(LARGEST, 3), NUMBER(LARGEST, 2)}, NAN, NAN},
};

static bool of_rows(const Case *text) {
    for (int i = 0; i < COUNT_OF(text->steps); i++)
        if (text->steps[i].step == DENSE) return true;
    return false;
}

static Node *new_x(TestGraph *t, bool rows, int64_t channels, int64_t height) {
    Dim dims[4] = {size(t, rows ? height : 1), size(t, channels), size(t, height), size(t, height)};
    return new_input(t, -1, 1, rows ? 2 : 4, dims);
}

static Node *write_text(TestGraph *t, const Case *text) {
    Node *y = set_values(t, new_x(t, of_rows(text), 1, 3), &text->x, 1);
    for (const Written *s = text->steps; s < text->steps + COUNT_OF(text->steps) && s->step; s++)
        y = take_step(t, y, s->step, &s->value, 1, s->trained);
    return y;
}

/* Fails where the middle element of a text's value is not right, to two units. */
static void check_text(TestGraph *t, int index, const Number *values, const char *where) {
    const Case *text = &texts[index];
    double value = values[count_of(t, t->graph->outputs.items[index].node->shape) / 2].real;
    if (is_same(value, text->right, 4 * HALF_UNIT * fabs(text->right))) return;
    printf("\n  %s of %.9g, %s: %.9g, not %.9g\n", text->text, text->x, where, value, text->right);
    CU_FAIL("a rewrite changed what is computed");
}

static void check_compiled(TestGraph *t, const char *target) {
    Number *outputs[COUNT_OF(texts)];
    Compiled compiled;
    bool ran = can_run(target) &&
               compile_and_load(t, &WITH_TABLE(.target = target_find(target)), &compiled) &&
               run_compiled(&compiled, 1, outputs);
    for (int i = 0; ran && i < COUNT_OF(texts); i++) check_text(t, i, outputs[i], target);
    if (ran) unload(&compiled);
}

/* All texts as one graph, behind each pass and compiled. */
TEST(texts_keep_their_values) {
    TestGraph t = test_graph(1);
    for (int i = 0; i < COUNT_OF(texts); i++) new_output(&t, write_text(&t, &texts[i]));
    for (int pass = 0; pass < pass_count; pass++) {
        t.graph = passed(&t, pass, t.graph);
        for (int i = 0; i < COUNT_OF(texts); i++)
            check_text(&t, i, f32_output(&t, t.graph, i), passes[pass].name);
    }
    for (int i = 0; i < target_count(); i++) check_compiled(&t, target_at(i)->name);
    arena_free(t.arena);
}

/* ---- multiply-adds ---- */

/* y - max(y) is 0 where y is largest, for a y that is a product: computed in two kernels,
 * it is the same number in both. */
static void check_shared(const char *target) {
    enum { ROWS = 50, WIDTH = 64 };
    TestGraph t = test_graph(3);
    Node *y = binary(&t, OP_mul, new_input(&t, 0, 1, SIZES(size(&t, ROWS), size(&t, WIDTH))), splat(&t, 0.1));
    new_output(&t, binary(&t, OP_sub, y, MAKE(&t, reduce_max, &y, 1, INTS(1))));
    Compiled compiled;
    Number *output;
    bool ran = can_run(target) &&
               compile_and_load(&t, &WITH_TABLE(.target = target_find(target)), &compiled) &&
               run_compiled(&compiled, 1, &output);
    for (int row = 0; ran && row < ROWS; row++) {
        double most = -INFINITY;
        for (int i = 0; i < WIDTH; i++) most = fmax(most, output[row * WIDTH + i].real);
        CU_ASSERT_EQUAL(most, 0);
    }
    if (ran) unload(&compiled);
    arena_free(t.arena);
}

TEST(shared_products) {
    for (int i = 0; i < target_count(); i++) check_shared(target_at(i)->name);
}

/* ---- random chains ---- */

enum { CHANNELS = 3, MAX_STEPS = 7, CHAINS = 20000 };

/* A point of a chain from which the batchnorm pass may see it: what lies behind it is x *
 * scale + shift so far. */
typedef struct Start {
    Node *x;
    double scale[CHANNELS], shift[CHANNELS];
} Start;

/* A chain, and beside it, as nodes, a bound in half units of what the text's roundings
 * and the promised rewrites may do to it. */
typedef struct Chain {
    TestGraph *t;
    Node *y, *error;
    Node *terms;  /* the sum of magnitudes since the last step that was no sum, or the last product */
    bool summed;  /* the last step was a sum */
    bool product; /* there was a contraction: scales go into its weights, behind sums */
    Start starts[MAX_STEPS + 1];
    int start_count;
    double exponent; /* of all scales so far together */
    double near;     /* what x is near to */
} Chain;

static Node *magnitude(TestGraph *t, Node *x) { return unary(t, OP_abs, x); }
static Node *plus(TestGraph *t, Node *a, Node *b) { return binary(t, OP_add, a, b); }
static Node *times(TestGraph *t, Node *a, double factor) { return binary(t, OP_mul, a, splat(t, factor)); }

static void random_values(Chain *c, double spread, double *values) {
    TestGraph *t = c->t;
    bool one = random_below(t, 2);
    double exponent = random_in(t, -spread, spread);
    if (fabs(c->exponent + exponent) > 40 && spread < 40) exponent = -exponent;
    for (int i = 0; i < CHANNELS; i++)
        values[i] = i && one ? values[0]
                             : (double)(float)((random_below(t, 2) ? -1 : 1) * random_in(t, 1, 2) *
                                               exp2(exponent + random_below(t, 3)));
}

/* Often what x is near to, or what was added before. */
static void random_shift(Chain *c, double spread, double *values) {
    random_values(c, spread, values);
    int which = random_below(c->t, 4);
    for (int i = 0; i < CHANNELS && which == 0; i++) values[i] = c->near;
    if (which < 2) return;
    const Start *start = &c->starts[random_below(c->t, c->start_count)];
    for (int i = 0; i < CHANNELS; i++)
        if (start->shift[i] != 0)
            values[i] =
                (double)(float)(start->shift[i] * (1 + random_below(c->t, 2) * random_in(c->t, -1e-5, 1e-5)));
}

/* What a fold of the chain into the product behind it may cost, from wherever it is seen,
 * if its shift is small there. */
static Node *fold_error(Chain *c) {
    TestGraph *t = c->t;
    Node *sum = magnitude(t, c->y);
    for (int i = 0; i < c->start_count; i++) {
        const Start *start = &c->starts[i];
        double scale[CHANNELS], shift[CHANNELS];
        bool small = true;
        for (int k = 0; k < CHANNELS; k++) {
            scale[k] = fabs(start->scale[k]), shift[k] = fabs(start->shift[k]);
            small = small && shift[k] <= 64.001 * fmin(scale[k], 1);
        }
        if (!small) continue;
        Node *terms = binary(t, OP_mul, magnitude(t, start->x), by_channel(t, c->y, scale, false));
        sum = plus(t, sum, plus(t, terms, by_channel(t, c->y, shift, false)));
    }
    return sum;
}

static void add_contraction(Chain *c, Step step) {
    TestGraph *t = c->t;
    double weights[CHANNELS * CHANNELS * 9], sizes[CHANNELS * CHANNELS * 9];
    for (int i = 0; i < COUNT_OF(weights); i++) {
        weights[i] = (double)(float)(random_in(t, -1, 1) * exp2(random_in(t, -3, 3)));
        sizes[i] = fabs(weights[i]);
    }
    Node *read = plus(t, c->error, times(t, fold_error(c), 4));
    c->terms = take_step(t, magnitude(t, c->y), step, sizes, COUNT_OF(sizes), true);
    c->y = take_step(t, c->y, step, weights, COUNT_OF(weights), true);
    c->error = plus(t, take_step(t, read, step, sizes, COUNT_OF(sizes), true), times(t, c->terms, 4));
    c->product = c->summed = true;
    c->start_count = 0;
}

static void add_sum(Chain *c, Step step, double spread) {
    TestGraph *t = c->t;
    double values[CHANNELS], sizes[CHANNELS];
    random_shift(c, spread, values);
    for (int i = 0; i < CHANNELS; i++) sizes[i] = fabs(values[i]);
    Node *size = by_channel(t, c->y, sizes, false);
    Node *before = c->summed ? c->terms : magnitude(t, c->y);
    bool several = c->summed;
    c->y = take_step(t, c->y, step, values, CHANNELS, random_below(t, 2));
    c->terms = plus(t, before, size);
    c->error = plus(t, c->error, several ? times(t, c->terms, 2) : magnitude(t, c->y));
    c->summed = true;
    for (int k = 0; k < c->start_count; k++) {
        Start *start = &c->starts[k];
        for (int i = 0; i < CHANNELS; i++) {
            start->shift[i] =
                (step == FROM ? -start->shift[i] : start->shift[i]) + (step == SUB ? -values[i] : values[i]);
            if (step == FROM) start->scale[i] = -start->scale[i];
        }
    }
}

static void add_factor(Chain *c, Step step, double spread) {
    TestGraph *t = c->t;
    double values[CHANNELS], sizes[CHANNELS];
    random_values(c, spread, values);
    c->exponent += (step == DIV ? -1 : 1) * log2(fabs(values[0]));
    for (int i = 0; i < CHANNELS; i++) {
        sizes[i] = fabs(step == DIV ? 1 / values[i] : values[i]);
        for (int k = 0; k < c->start_count; k++) {
            c->starts[k].scale[i] *= step == DIV ? 1 / values[i] : values[i];
            c->starts[k].shift[i] *= step == DIV ? 1 / values[i] : values[i];
        }
    }
    Node *size = by_channel(t, c->y, sizes, false);
    c->y = take_step(t, c->y, step, values, CHANNELS, random_below(t, 2));
    c->terms = binary(t, OP_mul, c->terms, size);
    c->error = plus(t, binary(t, OP_mul, c->error, size), times(t, magnitude(t, c->y), 4));
    c->summed = c->summed && c->product;
}

static void add_pool(Chain *c) {
    TestGraph *t = c->t;
    c->y = pool(t, c->y);
    c->error = plus(t, pool(t, c->error), times(t, pool(t, c->terms), 2));
    c->terms = pool(t, c->terms);
    c->product = c->summed = false;
    c->start_count = 0;
}

static void add_random_step(Chain *c, bool rows, double spread) {
    static const Step sums[] = {ADD, SUB, FROM}, factors[] = {MUL, DIV, MUL},
                      contractions[] = {CONV, PADDED, TRANSPOSED};
    TestGraph *t = c->t;
    Start start = {.x = c->y, .scale = {1, 1, 1}};
    c->starts[c->start_count++] = start;
    int which = random_below(t, 10);
    if (which == 9 && !rows && dim_const_value(c->y->shape.dims[2]) > 1) add_pool(c);
    else if (which < 4) add_sum(c, sums[random_below(t, 3)], spread);
    else if (which < 8) add_factor(c, factors[random_below(t, 3)], spread);
    else add_contraction(c, rows ? DENSE : contractions[random_below(t, 3)]);
    c->error = plus(t, c->error, splat(t, 0x1p-70)); /* what vanishes */
}

/* x near a number of any size, and whole steps from it. */
static Chain new_chain(TestGraph *t, bool rows, double spread) {
    Chain c = {.t = t,
               .near = random_below(t, 4) ? (double)(float)exp2(random_in(t, 0, fmin(spread, 24))) : 0};
    double values[64], size = spread > 40 ? exp2(random_in(t, -80, 2)) : 4;
    for (int i = 0; i < COUNT_OF(values); i++)
        values[i] = random_below(t, 8) ? (double)(float)(c.near + random_in(t, -size, size)) : c.near;
    c.y = set_values(t, new_x(t, rows, CHANNELS, 2), values, COUNT_OF(values));
    c.error = binary(t, OP_mul, c.y, splat(t, 0));
    c.terms = magnitude(t, c.y);
    return c;
}

/* Beyond 2^90 the text is left to overflow where it will. */
static bool is_within(double written, double after, double error, bool extreme) {
    if (!isfinite(written) || !(error < 0x1p90)) return true;
    return extreme ? isfinite(after) : fabs(after - written) <= 4 * HALF_UNIT * error;
}

/* The chain's text is compared with what each pass leaves; gives how many passes changed
 * a bit of it. */
static int check_chain(TestGraph *t, const Chain *c, bool extreme, uint64_t seed) {
    RefTensor error;
    evaluate(t, t->graph, (Node *const *)&c->error, 1, &error);
    Graph *graph = t->graph;
    new_output(t, c->y);
    const Number *written = f32_output(t, graph, 0);
    int changed = 0;
    for (int pass = 0; pass < pass_count; pass++) {
        graph = passed(t, pass, graph);
        const Number *after = f32_output(t, graph, 0);
        changed += memcmp(written, after, sizeof *after * (size_t)error.shape.count) != 0;
        for (int64_t i = 0; i < error.shape.count; i++) {
            if (is_within(written[i].real, after[i].real, error.values[i].real, extreme)) continue;
            printf("\n  seed %llu, element %lld after %s: %.9g was %.9g, bound %.3g\n",
                   (unsigned long long)seed, (long long)i, passes[pass].name, after[i].real, written[i].real,
                   4 * HALF_UNIT * error.values[i].real);
            CU_FAIL("a rewrite left its bound");
            return changed;
        }
    }
    return changed;
}

TEST(random_chains_keep_their_bounds) {
    int changed = 0;
    for (uint64_t seed = 1; seed <= CHAINS; seed++) {
        static const double spreads[] = {2, 8, 20, 100};
        TestGraph t = test_graph(seed);
        double spread = spreads[seed % COUNT_OF(spreads)];
        bool rows = random_below(&t, 2), extreme = spread > 40;
        Chain chain = new_chain(&t, rows, spread);
        int steps = 2 + random_below(&t, MAX_STEPS - 1);
        for (int i = 0; i < steps; i++) add_random_step(&chain, rows, spread);
        changed += check_chain(&t, &chain, extreme, seed) > 0;
        arena_free(t.arena);
    }
    CU_ASSERT(changed > CHAINS / 4);
    if (getenv("CAI_SWEEP"))
        printf("\n  %d chains, of which rewrites changed a bit of %d\n", CHAINS, changed);
}
