/* Packed formats: where each element of a weight comes to lie, by formulas written out
 * here, and that all other places are zero. What the run packs is compared with this in
 * kernels.c, by what comes of it. */
#include "kernels/winograd/conv_winograd.h"
#include "kernels/matmul/matrix.h"
#include "graph_test.h"

enum { LANES = 8, TAPS = 6 };

typedef struct Packed {
    TestGraph t;
    const Number *values;
    Text bytes;
} Packed;

static bool append(void *context, const void *bytes, int64_t count) {
    text_add_bytes(context, bytes, (size_t)count);
    return true;
}

static void pack(Packed *p, const Format *format, const Node *node) {
    p->values = p->t.inputs.items[0].values;
    p->bytes = (Text){.arena = p->t.arena};
    CU_ASSERT_TRUE(format_write(format, node, p->values, p->t.arena, append, &p->bytes));
    CU_ASSERT_EQUAL((int64_t)p->bytes.length, format_elements(format, node) * 4);
}

static float packed_at(const Packed *p, int64_t place) { return ((const float *)p->bytes.bytes)[place]; }

/* That nothing but the node's elements is there. */
static void check_zeros(const Packed *p) {
    double sum = 0, packed = 0;
    for (int64_t i = 0; i < p->t.inputs.items[0].count; i++) sum += fabs((double)(float)p->values[i].real);
    for (size_t i = 0; i < p->bytes.length / 4; i++) packed += fabs((double)packed_at(p, (int64_t)i));
    CU_ASSERT_DOUBLE_EQUAL(sum, packed, 1e-6 * sum);
}

static int64_t blocks_of(int64_t channels) { return (channels + LANES - 1) / LANES; }

/* ---- blocks of channels ---- */

TEST(blocks) {
    Packed p = {.t = test_graph(5)};
    TestGraph *t = &p.t;
    Node *w = new_parameter(t, -1, 1, SIZES(size(t, 2), size(t, 13), size(t, 3), size(t, 2)));
    Format format = format_blocked(LANES);
    pack(&p, &format, w);
    for (int64_t e = 0; e < 2 * 13 * TAPS; e++) {
        int64_t n = e / (13 * TAPS), c = e / TAPS % 13, k = e % TAPS;
        CU_ASSERT_EQUAL(packed_at(&p, ((n * 2 + c / LANES) * TAPS + k) * LANES + c % LANES),
                        (float)p.values[e].real);
    }
    check_zeros(&p);
    arena_free(t->arena);
}

/* What kernels address by strides, and what they read from the first element to the
 * last. */
TEST(strided) {
    ConvShape shape = {.groups = 1, .inputs = 16, .outputs = 16};
    Format blocked = format_blocked(LANES), conv = conv_format(&shape, LANES, 1),
           grouped = conv_grouped_format(&shape, LANES);
    CU_ASSERT_TRUE(format_is_strided(&format_plain) && format_is_strided(&blocked));
    CU_ASSERT_FALSE(format_is_strided(&conv) || format_is_strided(&grouped));
    CU_ASSERT_TRUE(format_blocked_axis(&format_plain) == -1 && format_blocked_axis(&blocked) == 1);
    CU_ASSERT_TRUE(format_block(&blocked, 1) == LANES && format_block(&blocked, 2) == 1 &&
                   format_block(&format_plain, 1) == 1);
    CU_ASSERT_FALSE(format_equal(&format_plain, &blocked));
}

/* ---- convolutions ---- */

/* Where conv_format puts an element; without a tile, where conv_few_format does. */
static int64_t conv_place(const ConvShape *s, int64_t tile, int64_t o, int64_t i, int64_t k) {
    if (!tile) return ((i / LANES * TAPS + k) * s->outputs + o) * LANES + i % LANES;
    int64_t blocks = blocks_of(s->outputs), r = o % s->outputs, b = r / LANES, t = b / tile, q = b % tile;
    int64_t w = min_i64(tile, blocks - t * tile);
    int64_t row = i / LANES * LANES * TAPS + k * min_i64(LANES, s->inputs - i / LANES * LANES) + i % LANES;
    return o / s->outputs * blocks * LANES * s->inputs * TAPS + t * tile * LANES * s->inputs * TAPS +
           (row * w + q) * LANES + r % LANES;
}

static void check_conv(int64_t outputs, int64_t inputs, int64_t groups, int64_t tile, bool transposed) {
    Packed p = {.t = test_graph(1)};
    TestGraph *t = &p.t;
    int64_t first = transposed ? inputs * groups : outputs, second = transposed ? outputs / groups : inputs;
    Node *w = new_parameter(t, -1, 1, SIZES(size(t, first), size(t, second), size(t, 3), size(t, 2)));
    ConvShape shape = {
        .w = w, .transposed = transposed, .groups = groups, .inputs = inputs, .outputs = outputs / groups};
    Format format = tile ? conv_format(&shape, LANES, (int)tile) : conv_few_format(&shape, LANES);
    pack(&p, &format, w);
    for (int64_t o = 0; o < outputs; o++)
        for (int64_t i = 0; i < inputs; i++)
            for (int64_t k = 0; k < TAPS; k++) {
                int64_t from = transposed ? ((o / second * inputs + i) * second + o % second) * TAPS + k
                                          : (o * inputs + i) * TAPS + k;
                CU_ASSERT_EQUAL(packed_at(&p, conv_place(&shape, tile, o, i, k)), (float)p.values[from].real);
            }
    check_zeros(&p);
    arena_free(t->arena);
}

TEST(convolutions) {
    check_conv(16, 8, 1, 2, false);
    check_conv(37, 13, 1, 2, false);
    check_conv(37, 3, 1, 4, false);
    check_conv(40, 5, 4, 2, false);
    check_conv(24, 9, 1, 2, true);
    check_conv(24, 3, 2, 1, true);
    check_conv(3, 20, 1, 0, false);
    check_conv(3, 20, 1, 0, true);
}

/* Channel c's lane has what it gives to the output k places on in its group. */
static void check_grouped(int64_t channels, int64_t group) {
    Packed p = {.t = test_graph(2)};
    TestGraph *t = &p.t;
    Node *w = new_parameter(t, -1, 1, SIZES(size(t, channels), size(t, group), size(t, 3), size(t, 2)));
    ConvShape shape = {.w = w, .groups = channels / group, .inputs = group, .outputs = group};
    Format format = conv_grouped_format(&shape, LANES);
    pack(&p, &format, w);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t on = 0; on < group; on++)
            for (int64_t k = 0; k < TAPS; k++) {
                int64_t output = c / group * group + (c + on) % group,
                        place = (c / LANES * TAPS * group + k * group + on) * LANES + c % LANES;
                CU_ASSERT_EQUAL(packed_at(&p, place),
                                (float)p.values[(output * group + c % group) * TAPS + k].real);
            }
    check_zeros(&p);
    arena_free(t->arena);
}

TEST(grouped) {
    check_grouped(20, 1);
    check_grouped(24, 4);
    check_grouped(18, 2);
}

/* ---- Winograd ---- */

/* u[y, x] of a parity of a kernel, by the definition: of one of a transpose, whose taps
 * count from the last. */
static double transformed(const Winograd *w, const ConvShape *s, const Number *kernel, int parity, int y,
                          int x) {
    double sum = 0;
    int by = (int)s->stride[0], side = w->taps * by;
    for (int a = 0; a < w->taps; a++)
        for (int b = 0; b < w->taps; b++) {
            int tap = (a * by + parity / by) * side + b * by + parity % by;
            if (s->transposed) tap = side * side - 1 - tap;
            sum += w->weights[y][a] * kernel[tap].real * w->weights[x][b];
        }
    return sum;
}

static void check_winograd(int outputs, int inputs, int tile, Winograd w, int64_t stride, bool transposed) {
    Packed p = {.t = test_graph(3)};
    TestGraph *t = &p.t;
    int side = w.taps * (int)stride, planes = w.size * w.size, blocks = (int)blocks_of(outputs);
    int parities = (int)(stride * stride);
    Dim first = size(t, transposed ? inputs : outputs), second = size(t, transposed ? outputs : inputs);
    Node *node = new_parameter(t, -1, 1, SIZES(first, second, size(t, side), size(t, side)));
    WinogradTile chosen = {.blocks = tile, .w = w};
    chosen.shape = (ConvShape){.stride = {stride, stride}, .transposed = transposed};
    Format format = winograd_format(LANES, &chosen);
    pack(&p, &format, node);
    CU_ASSERT_EQUAL(p.bytes.length, (size_t)(planes * parities * blocks * LANES * inputs * 4));
    for (int o = 0; o < outputs; o++)
        for (int i = 0; i < inputs; i++)
            for (int k = 0; k < planes * parities; k++) {
                int at = o / LANES / tile, q = o / LANES % tile, plane = k % planes, parity = k / planes,
                    width = (int)min_i64(tile, blocks - at * tile),
                    row = transposed ? plane : plane * parities + parity;
                int64_t all = (int64_t)LANES * inputs * planes * (transposed ? 1 : parities);
                int64_t place = at * tile * all + (row * inputs + i) * width * LANES + q * LANES + o % LANES;
                if (transposed) place += parity * blocks * all;
                const Number *kernel =
                    p.values + (transposed ? i * outputs + o : o * inputs + i) * side * side;
                CU_ASSERT_DOUBLE_EQUAL(
                    packed_at(&p, place),
                    transformed(&w, &chosen.shape, kernel, parity, plane / w.size, plane % w.size), 1e-7);
            }
    arena_free(t->arena);
}

TEST(winograd) {
    for (int transposed = 0; transposed < 2; transposed++) {
        check_winograd(16, 8, 2, winograd(2, 3), 1, transposed);
        check_winograd(37, 5, 2, winograd(4, 3), 1, transposed);
        check_winograd(37, 5, 2, winograd(3, 4), 1, transposed);
        check_winograd(37, 8, 2, winograd(4, 2), 2, transposed);
    }
}

/* ---- matrices ---- */

static void check_matrix(bool transposed) {
    Packed p = {.t = test_graph(4)};
    TestGraph *t = &p.t;
    Dim two = size(t, 2), rows = size(t, 5), columns = size(t, 21);
    Node *node =
        new_parameter(t, -1, 1, SIZES(two, transposed ? columns : rows, transposed ? rows : columns));
    Node *matrix = transposed ? build_transpose(t->graph, node, (int64_t[]){0, 2, 1}) : node;
    Format format = matrix_format(matrix, DTYPE_F32, LANES, 2);
    if (transposed) CU_ASSERT_TRUE(format_before_transpose(&format, matrix)); /* it is read as it lies */
    pack(&p, &format, node);
    for (int64_t e = 0; e < 2 * 5 * 21; e++) {
        int64_t m = e / 105, k = e / 21 % 5, n = e % 21, b = n / LANES, at = b / 2, q = b % 2,
                w = min_i64(2, 3 - at * 2);
        int64_t from = transposed ? m * 105 + n * 5 + k : e,
                place = m * 3 * LANES * 5 + at * 2 * LANES * 5 + (k * w + q) * LANES + n % LANES;
        CU_ASSERT_EQUAL(packed_at(&p, place), (float)p.values[from].real);
    }
    check_zeros(&p);
    arena_free(t->arena);
}

TEST(matrices) {
    check_matrix(false);
    check_matrix(true);
}
