/* Elementwise operators: one shape rule for each family, one reference function for all,
 * a gradient for each operator. */
#include "graph/ops.h"
#include <math.h>

/* ---- shapes ---- */

static const char *text_of_shape(Graph *g, Shape shape) { return shape_string(g->arena, shape); }

/* Inputs `first`.. must have the sizes of input `first`. */
static bool equal_sizes(Graph *g, Op op, Node *const *inputs, int count, ShapeError *error) {
    Shape a = inputs[0]->shape;
    for (int i = 1; i < count; i++) {
        Shape b = inputs[i]->shape;
        if (a.rank != b.rank)
            return shape_error(g, error, i, -1, "%s takes tensors of equal rank, not %s and %s",
                               op_info[op].name, text_of_shape(g, a), text_of_shape(g, b));
        for (int axis = 0; axis < a.rank; axis++)
            if (a.dims[axis] != b.dims[axis])
                return shape_error(
                    g, error, i, axis,
                    "%s takes tensors of equal sizes, not %s and %s: axis %d is %s in one and %s in the other",
                    op_info[op].name, text_of_shape(g, a), text_of_shape(g, b), axis,
                    size_text(g, a.dims[axis]), size_text(g, b.dims[axis]));
    }
    return true;
}

static bool equal_types(Graph *g, Op op, Node *const *inputs, int first, int count, ShapeError *error) {
    for (int i = first + 1; i < count; i++)
        if (inputs[i]->shape.type != inputs[first]->shape.type)
            return shape_error(
                g, error, i, -1, "%s takes tensors of one type, not %s and %s; cast one of them",
                op_info[op].name, dtype_name(inputs[first]->shape.type), dtype_name(inputs[i]->shape.type));
    return true;
}

static bool refuse_type(Graph *g, Op op, const Node *input, const char *wanted, ShapeError *error) {
    return shape_error(g, error, 0, -1, "%s takes %s, not %s", op_info[op].name, wanted,
                       dtype_name(input->shape.type));
}

bool shape_same(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                ShapeError *error) {
    (void)attributes;
    if (inputs[0]->shape.type == DTYPE_BOOL && op != OP_stop)
        return refuse_type(g, op, inputs[0], "numbers", error);
    *shape = inputs[0]->shape;
    return equal_sizes(g, op, inputs, count, error) && equal_types(g, op, inputs, 0, count, error);
}

bool shape_float(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                 ShapeError *error) {
    for (int i = 0; i < count; i++)
        if (!dtype_is_float(inputs[i]->shape.type)) return refuse_type(g, op, inputs[i], "floats", error);
    return shape_same(g, op, inputs, count, attributes, shape, error);
}

bool shape_logic(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                 ShapeError *error) {
    (void)attributes;
    for (int i = 0; i < count; i++)
        if (inputs[i]->shape.type != DTYPE_BOOL) return refuse_type(g, op, inputs[i], "bool", error);
    *shape = inputs[0]->shape;
    return equal_sizes(g, op, inputs, count, error);
}

bool shape_compare(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                   ShapeError *error) {
    (void)attributes;
    *shape = inputs[0]->shape;
    shape->type = DTYPE_BOOL;
    return equal_sizes(g, op, inputs, count, error) && equal_types(g, op, inputs, 0, count, error);
}

bool shape_select(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                  ShapeError *error) {
    (void)attributes;
    if (inputs[0]->shape.type != DTYPE_BOOL)
        return shape_error(g, error, 0, -1, "select's condition is bool, not %s",
                           dtype_name(inputs[0]->shape.type));
    *shape = inputs[1]->shape;
    return equal_sizes(g, op, inputs, count, error) && equal_types(g, op, inputs, 1, count, error);
}

bool shape_cast(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                ShapeError *error) {
    (void)g, (void)op, (void)count, (void)error;
    *shape = inputs[0]->shape;
    shape->type = ((const cast_attributes *)attributes)->type;
    return true;
}

/* ---- gradients ---- */

static Node *splat_as(Graph *g, Node *x, double value) { return build_splat(g, value, x->shape); }
static Node *times_node(Graph *g, Node *a, Node *b) { return build_binary(g, OP_mul, a, b); }
static Node *scaled_node(Graph *g, Node *x, double factor) {
    return times_node(g, x, splat_as(g, x, factor));
}

Node *grad_neg(Graph *g, Node *node, int input, Node *dy) {
    (void)node, (void)input;
    return build_unary(g, OP_neg, dy);
}

Node *grad_abs(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return times_node(g, dy, build_unary(g, OP_sign, node->inputs[0]));
}

Node *grad_exp(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return times_node(g, dy, node);
}

Node *grad_exp2(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return scaled_node(g, times_node(g, dy, node), 0.69314718055994531);
}

/* Not node + 1, which is 0 where e^x is small. */
Node *grad_expm1(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return times_node(g, dy, build_unary(g, OP_exp, node->inputs[0]));
}

Node *grad_log(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return build_binary(g, OP_div, dy, node->inputs[0]);
}

Node *grad_log1p(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    Node *x = node->inputs[0];
    return build_binary(g, OP_div, dy, build_binary(g, OP_add, x, splat_as(g, x, 1)));
}

Node *grad_sqrt(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return build_binary(g, OP_div, scaled_node(g, dy, 0.5), node);
}

Node *grad_sin(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return times_node(g, dy, build_unary(g, OP_cos, node->inputs[0]));
}

Node *grad_cos(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return build_unary(g, OP_neg, times_node(g, dy, build_unary(g, OP_sin, node->inputs[0])));
}

/* dy * (1 - y^2) */
Node *grad_tanh(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return times_node(g, dy, build_binary(g, OP_sub, splat_as(g, node, 1), times_node(g, node, node)));
}

/* dy * y * (1 - y) */
Node *grad_sigmoid(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return times_node(g, dy, times_node(g, node, build_binary(g, OP_sub, splat_as(g, node, 1), node)));
}

/* dy * sigmoid(x) * (1 + x * sigmoid(-x)) */
Node *grad_silu(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    Node *x = node->inputs[0], *rest = build_unary(g, OP_sigmoid, build_unary(g, OP_neg, x));
    Node *growth = build_binary(g, OP_add, splat_as(g, x, 1), times_node(g, x, rest));
    return times_node(g, dy, times_node(g, build_unary(g, OP_sigmoid, x), growth));
}

Node *grad_gelu(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    return times_node(g, dy, build_unary(g, OP_gelu_slope, node->inputs[0]));
}

/* dy * (2 - x^2) phi(x), phi the density of the normal distribution */
Node *grad_gelu_slope(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    Node *x = node->inputs[0], *square = times_node(g, x, x);
    Node *density = scaled_node(g, build_unary(g, OP_exp, scaled_node(g, square, -0.5)), 0.39894228040143268);
    return times_node(g, dy, times_node(g, build_binary(g, OP_sub, splat_as(g, x, 2), square), density));
}

/* dy * 2/sqrt(pi) * exp(-x^2) */
Node *grad_erf(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    Node *x = node->inputs[0];
    return times_node(g, dy,
                      scaled_node(g, build_unary(g, OP_exp, build_unary(g, OP_neg, times_node(g, x, x))),
                                  1.1283791670955126));
}

Node *grad_cast(Graph *g, Node *node, int input, Node *dy) {
    (void)input;
    DType from = node->inputs[0]->shape.type;
    return dtype_is_float(from) && dtype_is_float(node->shape.type) ? build_cast(g, dy, from) : NULL;
}

Node *grad_add(Graph *g, Node *node, int input, Node *dy) {
    (void)g, (void)node, (void)input;
    return dy;
}

Node *grad_sub(Graph *g, Node *node, int input, Node *dy) {
    (void)node;
    return input == 0 ? dy : build_unary(g, OP_neg, dy);
}

Node *grad_mul(Graph *g, Node *node, int input, Node *dy) {
    return times_node(g, dy, node->inputs[1 - input]);
}

/* d(a/b)/db = -y / b */
Node *grad_div(Graph *g, Node *node, int input, Node *dy) {
    Node *over = build_binary(g, OP_div, dy, node->inputs[1]);
    return input == 0 ? over : build_unary(g, OP_neg, times_node(g, over, node));
}

/* The steps of the quotient have slope 0, as in PyTorch's remainder. */
Node *grad_mod(Graph *g, Node *node, int input, Node *dy) {
    Node *steps = build_binary(g, OP_floor_div, node->inputs[0], node->inputs[1]);
    return input == 0 ? dy : build_unary(g, OP_neg, times_node(g, dy, steps));
}

/* The constant that a node is, perhaps through broadcasts: `max(x, 0)` as the library
 * writes it. */
static const Node *constant_behind(const Node *node) {
    while (node->op == OP_broadcast || node->op == OP_reshape || node->op == OP_cast) node = node->inputs[0];
    return node->op == OP_constant ? node : NULL;
}

static bool is_splat(const Node *node, double *value) {
    node = constant_behind(node);
    if (!node || ATTRIBUTES(node, constant)->data->count != 1) return false;
    *value = number_value(ATTRIBUTES(node, constant)->data->values[0], node->shape.type);
    return true;
}

/* As in PyTorch: the gradient by the base is 0 where the exponent is 0; that by the
 * exponent is 0 where the base is 0 and the exponent is not negative. */
Node *grad_pow(Graph *g, Node *node, int input, Node *dy) {
    Node *a = node->inputs[0], *b = node->inputs[1], *zero = splat_as(g, a, 0);
    double exponent;
    if (input == 0 && is_splat(b, &exponent)) {
        Node *power = exponent == 2 ? a : build_binary(g, OP_pow, a, splat_as(g, a, exponent - 1));
        return exponent == 0 ? zero : times_node(g, dy, scaled_node(g, power, exponent));
    }
    if (input == 0) {
        Node *slope =
            times_node(g, b, build_binary(g, OP_pow, a, build_binary(g, OP_sub, b, splat_as(g, b, 1))));
        return build_select(g, build_binary(g, OP_eq, b, zero), zero, times_node(g, dy, slope));
    }
    Node *flat = build_binary(g, OP_and, build_binary(g, OP_eq, a, zero), build_binary(g, OP_le, zero, b));
    return build_select(g, flat, zero, times_node(g, dy, times_node(g, node, build_unary(g, OP_log, a))));
}

/* Where `dy` is not 0, the value that `node` has: of relu6, max(x, 0) has there what
 * min(max(x, 0), 6) is, whose gradient is 0 at 6. */
static Node *same_where_it_counts(Node *node, const Node *dy) {
    double otherwise;
    bool masked = dy->op == OP_select && is_splat(dy->inputs[2], &otherwise) && otherwise == 0;
    const Node *mask = masked ? dy->inputs[0] : NULL;
    for (int i = 0; i < 2 && mask && mask->op == OP_lt; i++) {
        Node *clamped = mask->inputs[i];
        bool clamps = (clamped->op == OP_min || clamped->op == OP_max) && clamped->inputs[0] == node;
        if (clamps && clamped->inputs[1] == mask->inputs[1 - i]) return clamped;
    }
    return node;
}

/* The operand that is strictly beyond the other gets all of the gradient. Where both are
 * equal, each gets half, or nothing against a constant: so relu, relu6 and hardtanh are
 * flat at their kinks, as in PyTorch. Whether an operand is beyond a constant the result
 * says, too: a relu's operand need not be kept for its gradient, and so is not stored. */
static Node *grad_extreme(Graph *g, Node *node, int input, Node *dy, bool largest) {
    Node *mine = node->inputs[input], *other = node->inputs[1 - input], *zero = splat_as(g, dy, 0);
    bool fixed = constant_behind(other);
    Node *compared = fixed ? same_where_it_counts(node, dy) : mine;
    Node *wins = largest ? build_binary(g, OP_lt, other, compared) : build_binary(g, OP_lt, compared, other);
    if (fixed) return build_select(g, wins, dy, zero);
    return build_select(g, wins, dy,
                        build_select(g, build_binary(g, OP_eq, mine, other), scaled_node(g, dy, 0.5), zero));
}

Node *grad_max(Graph *g, Node *node, int input, Node *dy) { return grad_extreme(g, node, input, dy, true); }
Node *grad_min(Graph *g, Node *node, int input, Node *dy) { return grad_extreme(g, node, input, dy, false); }

Node *grad_select(Graph *g, Node *node, int input, Node *dy) {
    if (input == 0) return NULL;
    Node *zero = splat_as(g, dy, 0);
    return input == 1 ? build_select(g, node->inputs[0], dy, zero)
                      : build_select(g, node->inputs[0], zero, dy);
}

/* ---- reference ---- */

/* Negative, product and quotient of ints wrap. The quotient is rounded down; by 0,
 * quotient and remainder are 0. */
static int64_t negative_i64(int64_t x) { return (int64_t) - (uint64_t)x; }
static int64_t product_i64(int64_t x, int64_t y) { return (int64_t)((uint64_t)x * (uint64_t)y); }
static int64_t quotient_i64(int64_t x, int64_t y) {
    if (y == 0) return 0;
    return y == -1 ? negative_i64(x) : x / y - (x % y != 0 && (x % y < 0) != (y < 0));
}
static int64_t remainder_of(int64_t x, int64_t y) {
    return y == 0 ? 0 : whole_sum(x, negative_i64(product_i64(quotient_i64(x, y), y)));
}

/* `//` of floats has steps, and f32 operands decide where they are, as in a program: 0.3
 * goes ten times into 3, and 0.3f only nine times. */
static double floor_steps(double x, double y) { return floor_divide((float)x, (float)y); }

/* `%` is exact for f32 operands. Digits of a double beyond f32 are kept, but do not
 * change the step. */
static double past_steps(double x, double y) {
    double a = (float)x, b = (float)y, rest = floor_modulo(a, b);
    return a == x && b == y ? rest : rest + (x - a) - floor_steps(x, y) * (y - b);
}

/* A row a verb: the element of the result from elements x and y of the first two inputs.
 * `from` and `to` are how these are held. */
#define EACH(verb, from, to, expression)                                            \
    FOR_EACH_PROCESSOR static void each_##from##_##verb(const RefCall *call) {      \
        const Number *restrict a = call->inputs[0];                                 \
        const Number *restrict b = call->inputs[op_info[OP_##verb].max_inputs > 1]; \
        Number *restrict out = call->out;                                           \
        _Pragma("omp simd") for (int64_t i = 0; i < call->shape.count; i++) {       \
            __typeof__(a->from) x = a[i].from, y = b[i].from;                       \
            (void)y;                                                                \
            out[i].to = (expression);                                               \
        }                                                                           \
    }
#define REAL(verb, expression) EACH(verb, real, real, expression)
#define WHOLE(verb, expression) EACH(verb, whole, whole, expression)
#define REAL_ARRAY(verb)                                                           \
    static void each_real_##verb(const RefCall *call) {                            \
        reals_##verb(&call->inputs[0]->real, &call->out->real, call->shape.count); \
    }
#define REAL_TEST(verb, expression) EACH(verb, real, whole, expression)

/* ---- of floats; min and max pass on a NaN of either side ---- */

REAL(neg, -x)
REAL(abs, fabs(x))
REAL(floor, floor(x))
REAL(ceil, ceil(x))
REAL(round, nearbyint(x))
REAL_ARRAY(exp)
REAL_ARRAY(exp2)
REAL_ARRAY(expm1)
REAL(log, real_log(x))
REAL(log1p, real_log1p(x))
REAL(sqrt, sqrt(x))
REAL(sin, real_sin(x))
REAL(cos, real_cos(x))
REAL_ARRAY(tanh)
REAL_ARRAY(sigmoid)
REAL_ARRAY(silu)
REAL_ARRAY(gelu)
REAL_ARRAY(gelu_slope)
REAL_ARRAY(erf)
REAL(add, x + y)
REAL(sub, x - y)
REAL(mul, x *y)
REAL(div, x / y)
REAL(floor_div, floor_steps(x, y))
REAL(mod, past_steps(x, y))
REAL(pow, real_pow(x, y))
REAL(min, x < y || isnan(x) ? x : y)
REAL(max, x > y || isnan(x) ? x : y)
REAL_TEST(eq, x == y)
REAL_TEST(lt, x < y)

/* ---- of ints, and of bools as 0 and 1; results wrap when they are rounded to the type ---- */

WHOLE(neg, negative_i64(x))
WHOLE(abs, x < 0 ? negative_i64(x) : x)
WHOLE(floor, x)
WHOLE(ceil, x)
WHOLE(round, x)
WHOLE(not, !x)
WHOLE(add, whole_sum(x, y))
WHOLE(sub, whole_sum(x, negative_i64(y)))
WHOLE(mul, product_i64(x, y))
WHOLE(div, quotient_i64(x, y))
WHOLE(floor_div, quotient_i64(x, y))
WHOLE(mod, remainder_of(x, y))
WHOLE(min, x < y ? x : y)
WHOLE(max, x > y ? x : y)
WHOLE(eq, x == y)
WHOLE(lt, x < y)
WHOLE(and, x &&y)
WHOLE(or, x || y)

static void any_select(const RefCall *call) {
    for (int64_t i = 0; i < call->shape.count; i++)
        call->out[i] = call->inputs[call->inputs[0][i].whole ? 1 : 2][i];
}

/* ---- the table: the forms that a verb must have follow from its shape rule ---- */

#define FORMS_float(verb) {each_real_##verb, NULL}
#define FORMS_logic(verb) {NULL, each_whole_##verb}
#define FORMS_same(verb) {each_real_##verb, each_whole_##verb}
#define FORMS_compare(verb) {each_real_##verb, each_whole_##verb}
#define FORMS_select(verb) {any_##verb, any_##verb}

static const struct {
    void (*real)(const RefCall *), (*whole)(const RefCall *);
} forms[OP_COUNT] = {
#define OP(...)
#define COMPOSED(...)
#define VERB(verb, inputs, cost, shape_rule, ...) [OP_##verb] = FORMS_##shape_rule(verb),
#include "graph/ops.def"
#undef OP
};

void verb_values(Op verb, const RefCall *call) {
    (dtype_is_float(call->input_shapes[0].type) ? forms[verb].real : forms[verb].whole)(call);
}

/* ---- operands as they lie ---- */

enum { PART = 512 /* elements of a row, which stay in the L1 cache */ };

/* `count` elements of an operand, beginning with place `first` of a row: in place, or a
 * copy where their memory is the result's. A repeated element is copied once, where
 * `begins` says that a row begins. */
static const Number *part_of_row(const Number *row, int64_t step, int64_t first, int64_t count, bool begins,
                                 const Number *out, Number *copy) {
    const Number *x = row + first * step;
    if (step == 1 && x != out) return x;
    if (step == 0 && !begins) return copy;
    for (int64_t i = 0; i < count; i++) copy[i] = x[i * step];
    return copy;
}

typedef struct Elements { /* of a result; an iteration is a part of a row */
    const RefCall *call;
    void (*compute)(const RefCall *part);
    RefWalk walk;
    int64_t parts; /* of a row */
} Elements;

static void compute_parts(void *context, int64_t begin, int64_t end) {
    const Elements *e = context;
    Number copies[REF_MAX_OPERANDS][PART];
    const Number *in[REF_MAX_OPERANDS];
    RefWalk walk = e->walk;
    RefCall part = *e->call;
    part.inputs = in;
    walk_seek(&walk, begin / e->parts);
    int64_t first = begin % e->parts * PART;
    part.out += begin / e->parts * walk.inner + first;
    for (int64_t i = begin; i < end; i++) {
        int64_t count = part.shape.count = min_i64(PART, walk.inner - first);
        bool begins = first == 0 || i == begin;
        for (int k = 0; k < walk.operands; k++) {
            const Number *row = e->call->inputs[k] + walk.of[k].at;
            in[k] = part_of_row(row, walk.of[k].step, first, count, begins, part.out, copies[k]);
        }
        e->compute(&part);
        part.out += count;
        first += PART;
        if (first >= walk.inner) first = 0, walk_next(&walk);
    }
}

void ref_in_parts(const RefCall *call, void (*compute)(const RefCall *part)) {
    RefLayout layouts[REF_MAX_OPERANDS];
    int operands = call->node->input_count;
    for (int k = 0; k < operands; k++) layouts[k] = ref_layout(call, k);
    Elements e = {.call = call, .compute = compute, .walk = walk_begin(&call->shape, layouts, operands)};
    e.parts = ceil_div(e.walk.inner, PART);
    parallel_for(e.walk.rows * e.parts, 2 * min_i64(e.walk.inner, PART), compute_parts, &e);
}

static void verb_part(const RefCall *part) { verb_values(part->node->op, part); }

void ref_elementwise(const RefCall *call) { ref_in_parts(call, verb_part); }

static void cast_part(const RefCall *part) {
    for (int64_t i = 0; i < part->shape.count; i++)
        part->out[i] = number_cast(part->inputs[0][i], part->input_shapes[0].type, part->shape.type);
}

void ref_cast(const RefCall *call) { ref_in_parts(call, cast_part); }
