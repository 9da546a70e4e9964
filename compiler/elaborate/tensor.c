/* Nodes from values: scalars where numbers meet tensors, PyTorch's broadcasting, lists as
 * constants. */
#include "elaborate/evaluator.h"

enum { MAX_NODES = 5000000 };

/* ---- nodes ---- */

/* A shape error points at a tuple or a name before the arrow; after a longer pipe, at the
 * stage. */
static Span blamed_span(const Evaluator *ev, Span span) {
    const Frame *frame = ev->frame;
    if (span.source && !span.source->library && !(frame->operand && frame->call.begin == span.begin))
        return span;
    while (frame && !(frame->call.source && !frame->call.source->library)) frame = frame->caller;
    if (!frame || !frame->operand || frame->operand->kind == EXPR_PIPE) return user_span(ev, span);
    return frame->operand->span;
}

/* Help where one of two tensors that should have equal sizes lost rows. */
static void help_lost(Evaluator *ev, Diagnostic *d, const Node *a, int axis, const char *first,
                      const char *second) {
    const char *crop = arena_printf(ev->arena, "crop the larger: `%s -> crop_like(%s)`", first ? first : "a",
                                    second ? second : "b");
    if (dim_is_const(a->shape.dims[axis], NULL))
        report_help(ev, d, "choose an input size that divides evenly all the way down, or %s", crop);
    else
        report_help(ev, d, "constrain the sizes where the model is declared, `where H %% 16 == 0`, or %s",
                    crop);
}

/* Concatenating pictures by channels is the most usual case, and gets a message of its
 * own. */
static const char *refusal_text(Op op, const ShapeError *error, Node *const *inputs, const void *attributes) {
    bool joined = op == OP_concat && error->input > 0 && error->axis >= 2 && inputs[0]->shape.rank == 4;
    if (joined && ((const concat_attributes *)attributes)->axis == 1)
        return "concat needs equal height and width";
    return error->text ? error->text : "the shapes do not fit";
}

/* Whether some sizes give both shapes equal numbers of elements. */
static bool may_fit(Dims *dims, Shape from, DimList to) {
    Dim before = dim_const(dims, 1), behind = before;
    int64_t low, high;
    for (int i = 0; i < from.rank; i++) before = dim_mul(dims, before, from.dims[i]);
    for (int i = 0; i < to.count; i++) behind = dim_mul(dims, behind, to.items[i]);
    return !dim_bounds(dim_sub(dims, before, behind), &low, &high) || (low <= 0 && high >= 0);
}

static void refuse_operator(Evaluator *ev, Op op, const ShapeError *error, Node *const *inputs, int count,
                            const void *attributes, Span span) {
    Diagnostic *d =
        report(ev, DIAG_shape, blamed_span(ev, span), "%s", refusal_text(op, error, inputs, attributes));
    if (op == OP_reshape &&
        may_fit(ev->dims, inputs[0]->shape, ((const reshape_attributes *)attributes)->dims))
        report_help(
            ev, d,
            "if it fits for the sizes you mean, say so where the model is declared: `where H %% 2 == 0`");
    report_operands(ev, d);
    if (!d || count < 2 || error->input <= 0 || error->input >= count || error->axis < 0) return;
    Node *other = inputs[error->input];
    const char *first = operand_text(ev, inputs[0]), *second = operand_text(ev, other);
    if (provenance_explain(ev, d, inputs[0], error->axis, first, other, error->axis, second))
        help_lost(ev, d, inputs[0], error->axis, first, second);
}

Node *make_node(Evaluator *ev, Op op, Node *const *inputs, int count, const void *attributes, Span span) {
    if (ev->stopped) return NULL;
    int before = ev->graph->nodes.count;
    if (before >= MAX_NODES) {
        stop_evaluation(ev, DIAG_too_large, span, "this model has more than %d operations", MAX_NODES);
        return NULL;
    }
    ShapeError error = {.input = -1, .axis = -1};
    graph_at(ev->graph, origin_new(ev->graph, user_span(ev, span), ev->frame->origin));
    Node *node = graph_try(ev->graph, op, inputs, count, attributes, &error);
    if (node) count_node(ev, node, before);
    else refuse_operator(ev, op, &error, inputs, count, attributes, span);
    return node;
}

Value settle(Evaluator *ev, Value v) {
    if (v.kind != VALUE_WEIGHT) return v;
    if (!v.weight->node) weight_place(ev, v.weight, ev->frame->layer, NULL, v.weight->span);
    return value_node(weight_value(ev, v.weight));
}

static Node *size_node(Evaluator *ev, Dim dim, DType type, Span span) {
    size_attributes attributes = {.type = type, .value = {1, &dim}};
    return make_node(ev, OP_size, NULL, 0, &attributes, span);
}

/* Whether a number may be combined with a tensor of the type: for ints, an integer within
 * their range. */
static bool type_holds(DType type, Value v) {
    if (v.kind == VALUE_BOOL || dtype_is_float(type)) return true;
    if (type == DTYPE_BOOL) return false;
    if (v.kind == VALUE_INT) return number_fits(v.integer, type);
    return v.real >= -0x1p63 && v.real < 0x1p63 && v.real == (double)(int64_t)v.real &&
           number_fits((int64_t)v.real, type);
}

static bool fits_type(Evaluator *ev, Value v, DType type, Span span) {
    if (type_holds(type, v)) return true;
    DType wider = type_holds(DTYPE_I32, v) ? DTYPE_I32 : type_holds(DTYPE_I64, v) ? DTYPE_I64 : DTYPE_F32;
    Diagnostic *d = report(ev, DIAG_type_mismatch, span, "%s does not go with a tensor of %s",
                           value_describe(ev->arena, v), dtype_name(type));
    report_help(ev, d, "convert the tensor first: `cast(x, type = \"%s\")`", dtype_name(wider));
    return false;
}

Number value_number(Value v, DType type) {
    if (v.kind == VALUE_REAL) return number_cast((Number){.real = v.real}, DTYPE_F32, type);
    return number_cast((Number){.whole = v.kind == VALUE_INT ? v.integer : v.truth}, DTYPE_I64, type);
}

static Node *constant_of(Evaluator *ev, Value v, Shape shape) {
    Number number = value_number(v, shape.type);
    return build_constant(ev->graph, &number, 1, shape);
}

static void report_not_a_tensor(Evaluator *ev, Value v, Span span) {
    if (report_unrun(ev, v)) return;
    Diagnostic *d =
        report(ev, DIAG_not_a_tensor, span, "a tensor is needed here; this is %s", value_kind_name(v));
    if (value_is_sequence(v))
        report_help(ev, d, "`tensor(...)` makes a tensor of a list; `concat` joins several tensors");
    if (v.kind == VALUE_BLOCK) report_help(ev, d, "an arrow runs a layer: `x -> %s`", v.block->decl->name);
    if (v.kind != VALUE_LAYER) return;
    const char *callee = layer_callee(v.layer);
    if (v.layer->kind == LAYER_BRACES) report_help(ev, d, "an arrow runs a layer: `x -> { ... }`");
    else
        report_help(
            ev, d,
            "an arrow runs a layer, `x -> %s`; layers in sequence are written in braces, `{ %s -> ... }`",
            callee, callee);
}

Node *as_node(Evaluator *ev, Value v, DType type, Span span) {
    v = settle(ev, v);
    switch (v.kind) {
    case VALUE_TENSOR: return v.node;
    case VALUE_BOOL: case VALUE_INT: case VALUE_REAL:
        if (!fits_type(ev, v, type, span)) return NULL;
        graph_at(ev->graph, origin_new(ev->graph, user_span(ev, span), ev->frame->origin));
        return constant_of(ev, v, (Shape){type, 0, NULL});
    case VALUE_DIM: return size_node(ev, v.dim, type, span);
    case VALUE_ERROR: return NULL;
    default: break;
    }
    report_not_a_tensor(ev, v, span);
    return NULL;
}

/* ---- broadcasting ---- */

static Dim size_from_right(const Node *node, int from_right) {
    return from_right < node->shape.rank ? node->shape.dims[node->shape.rank - 1 - from_right] : NULL;
}

bool counts_as_one(Dim dim) { return !dim || dim_is_one(dim); }

static const char *axis_text(Evaluator *ev, const Node *a, const Node *b, int from_right) {
    static const char *const names[] = {"width", "height", "channels", "batch"};
    if (a->shape.rank == 4 && b->shape.rank == 4) return names[from_right];
    if (a->shape.rank == b->shape.rank)
        return arena_printf(ev->arena, "axis %d", a->shape.rank - 1 - from_right);
    return from_right ? arena_printf(ev->arena, "axis %d from the right", from_right + 1) : "the last axis";
}

/* Whether v, [C] or [N, C], is a value for each channel of x. */
static bool is_of_channels(const Node *x, const Node *v) {
    int rank = v->shape.rank;
    bool shaped =
        x->shape.rank == 4 && (rank == 1 || rank == 2) && v->shape.dims[rank - 1] == x->shape.dims[1];
    return shaped && (rank == 1 || counts_as_one(v->shape.dims[0]) || v->shape.dims[0] == x->shape.dims[0]);
}

static void help_per_channel(Evaluator *ev, Diagnostic *d, const Node *a, const Node *b, const Expr *expr) {
    bool left = is_of_channels(b, a), right = is_of_channels(a, b);
    if (!left && !right) return;
    bool written = expr && expr->left && expr->right && expr->op_span.source;
    const char *first = written ? span_text(ev->arena, expr->left->span) : "",
               *second = written ? span_text(ev->arena, expr->right->span) : "";
    const char *op = written ? span_text(ev->arena, expr->op_span) : "";
    if (!written)
        report_help(ev, d,
                    "`per_channel(v)` gives a value for each channel the shape that fits [N, C, H, W]");
    else if (left)
        report_help(ev, d, "to apply it to every channel: `per_channel(%s) %s %s`", first, op, second);
    else report_help(ev, d, "to apply it to every channel: `%s %s per_channel(%s)`", first, op, second);
}

static void report_mismatched(Evaluator *ev, Node *a, Node *b, int from_right, Span span, const Expr *expr) {
    Dim da = size_from_right(a, from_right), db = size_from_right(b, from_right);
    Diagnostic *d;
    Span place = expr && expr->op_span.source ? expr->op_span : span;
    d = report(ev, DIAG_shape, place, "the sizes of these tensors do not fit together: %s and %s in %s",
               dim_string(ev->arena, da), dim_string(ev->arena, db), axis_text(ev, a, b, from_right));
    if (expr && expr->left && expr->right && !expr->span.source->library) {
        report_label(ev, d, expr->left->span, "%s", shape_string(ev->arena, a->shape));
        report_label(ev, d, expr->right->span, "%s", shape_string(ev->arena, b->shape));
        const char *left = span_text(ev->arena, expr->left->span),
                   *right = span_text(ev->arena, expr->right->span);
        int axis = a->shape.rank - 1 - from_right;
        if (provenance_explain(ev, d, a, axis, left, b, b->shape.rank - 1 - from_right, right))
            help_lost(ev, d, a, axis, left, right);
    } else {
        report_note(ev, d, (Span){0}, "the tensors are %s and %s", shape_string(ev->arena, a->shape),
                    shape_string(ev->arena, b->shape));
        report_operands(ev, d);
        provenance_explain(ev, d, a, a->shape.rank - 1 - from_right, NULL, b, b->shape.rank - 1 - from_right,
                           NULL);
    }
    help_per_channel(ev, d, a, b, expr);
}

static bool common_sizes(Evaluator *ev, Node **nodes, int count, int rank, Dim *dims, Span span,
                         const Expr *expr) {
    for (int right = 0; right < rank; right++) {
        Node *owner = NULL;
        for (int i = 0; i < count; i++) {
            Dim dim = size_from_right(nodes[i], right);
            if (counts_as_one(dim)) continue;
            if (owner && size_from_right(owner, right) != dim) {
                report_mismatched(ev, owner, nodes[i], right, span, expr);
                return false;
            }
            owner = nodes[i];
        }
        dims[rank - 1 - right] = owner ? size_from_right(owner, right) : dim_const(ev->dims, 1);
    }
    return true;
}

Node *stretch_node(Evaluator *ev, Node *x, int rank, const Dim *dims, Span span) {
    if (x->shape.rank == rank && !memcmp(x->shape.dims, dims, sizeof *dims * (size_t)rank)) return x;
    Dim padded[HIGHEST_RANK];
    int missing = rank - x->shape.rank;
    for (int i = 0; i < rank; i++)
        padded[i] = i < missing ? dim_const(ev->dims, 1) : x->shape.dims[i - missing];
    if (missing) x = make_node(ev, OP_reshape, &x, 1, &(reshape_attributes){.dims = {rank, padded}}, span);
    if (!x || !memcmp(padded, dims, sizeof *dims * (size_t)rank)) return x;
    return make_node(ev, OP_broadcast, &x, 1, &(broadcast_attributes){.dims = {rank, dims}}, span);
}

bool broadcast_nodes(Evaluator *ev, Node **nodes, int count, Span span, const Expr *expr) {
    Dim dims[HIGHEST_RANK];
    int rank = 0;
    for (int i = 0; i < count; i++) rank = nodes[i]->shape.rank > rank ? nodes[i]->shape.rank : rank;
    if (rank > HIGHEST_RANK) {
        report(ev, DIAG_shape, span, "tensors have at most %d axes", HIGHEST_RANK);
        return false;
    }
    if (!common_sizes(ev, nodes, count, rank, dims, span, expr)) return false;
    for (int i = 0; i < count; i++)
        if (!(nodes[i] = stretch_node(ev, nodes[i], rank, dims, span))) return false;
    return true;
}

/* ---- arithmetic ---- */

static bool same_types(Evaluator *ev, const Node *a, const Node *b, Operator op, Span span) {
    if (a->shape.type == b->shape.type) return true;
    Diagnostic *d = report(ev, DIAG_type_mismatch, span, "`%s` of %s and %s", operator_text(op),
                           dtype_name(a->shape.type), dtype_name(b->shape.type));
    report_help(ev, d, "convert one of them: `cast(x, type = \"%s\")`",
                dtype_name(dtype_is_float(b->shape.type) ? b->shape.type : a->shape.type));
    return false;
}

/* A number beside a tensor is broadcast to the tensor's shape. */
Node *operand_node(Evaluator *ev, Value v, Value other, Span span) {
    if (v.kind == VALUE_TENSOR) return v.node;
    DType type = other.kind == VALUE_TENSOR ? other.node->shape.type : DTYPE_F32;
    if (v.kind == VALUE_DIM || other.kind != VALUE_TENSOR) return as_node(ev, v, type, span);
    if (!fits_type(ev, v, type, span)) return NULL;
    graph_at(ev->graph, origin_new(ev->graph, user_span(ev, span), ev->frame->origin));
    return constant_of(ev, v, other.node->shape);
}

Value tensor_unary(Evaluator *ev, Op op, Value a, Span span) {
    Node *x = as_node(ev, a, DTYPE_F32, span);
    return x ? value_node(make_node(ev, op, &x, 1, NULL, span)) : value_error;
}

Value tensor_binary(Evaluator *ev, Operator op, Value a, Value b, Span span, const Expr *expr) {
    static const struct {
        int op;
        bool swapped;
    } ops[] = {[OPERATOR_ADD] = {OP_add, false},
               [OPERATOR_SUB] = {OP_sub, false},
               [OPERATOR_MUL] = {OP_mul, false},
               [OPERATOR_DIV] = {OP_div, false},
               [OPERATOR_FLOORDIV] = {OP_floor_div, false},
               [OPERATOR_MOD] = {OP_mod, false},
               [OPERATOR_POW] = {OP_pow, false},
               [OPERATOR_EQ] = {OP_eq, false},
               [OPERATOR_NE] = {OP_ne, false},
               [OPERATOR_LT] = {OP_lt, false},
               [OPERATOR_LE] = {OP_le, false},
               [OPERATOR_GT] = {OP_lt, true},
               [OPERATOR_GE] = {OP_le, true},
               [OPERATOR_AND] = {OP_and, false},
               [OPERATOR_OR] = {OP_or, false}};
    Node *pair[2] = {operand_node(ev, a, b, span), operand_node(ev, b, a, span)};
    if (!pair[0] || !pair[1] || !same_types(ev, pair[0], pair[1], op, span)) return value_error;
    if (op == OPERATOR_MATMUL) return tensor_matmul(ev, pair[0], pair[1], span, expr);
    if (!broadcast_nodes(ev, pair, 2, span, expr)) return value_error;
    if (ops[op].swapped)
        return value_node(make_node(ev, (Op)ops[op].op, (Node *[]){pair[1], pair[0]}, 2, NULL, span));
    return value_node(make_node(ev, (Op)ops[op].op, pair, 2, NULL, span));
}

/* ---- lists as tensors ---- */

typedef struct Gathering {
    Vec(Number) values;
    DType type;
    Dim dims[HIGHEST_RANK];
    int rank;
} Gathering;

static bool gather_numbers(Evaluator *ev, Value v, int depth, Gathering *out, Span span) {
    if (value_is_sequence(v)) {
        Dim size = dim_const(ev->dims, v.list->count);
        bool first = depth >= out->rank;
        if (depth >= HIGHEST_RANK || (first && out->values.count > 0) || (!first && out->dims[depth] != size))
            return false;
        if (first) out->dims[out->rank++] = size;
        for (int i = 0; i < v.list->count; i++)
            if (!gather_numbers(ev, v.list->items[i], depth + 1, out, span)) return false;
        return true;
    }
    if (depth != out->rank || !(value_is_number(v) || v.kind == VALUE_BOOL)) return false;
    vec_push(ev->arena, &out->values, value_number(v, out->type));
    return true;
}

Node *tensor_from_values(Evaluator *ev, Value v, DType type, Span span) {
    Gathering all = {.type = type};
    if (!gather_numbers(ev, v, 0, &all, span)) {
        report(ev, DIAG_bad_tensor, span,
               "`tensor` needs a number, or lists of numbers that are equally long");
        return NULL;
    }
    if (all.values.count == 0) {
        report(ev, DIAG_bad_tensor, span, "`tensor` of an empty list");
        return NULL;
    }
    Data data = {all.values.count, all.values.items};
    constant_attributes attributes = {.type = type, .dims = {all.rank, all.dims}, .data = &data};
    return make_node(ev, OP_constant, NULL, 0, &attributes, span);
}
