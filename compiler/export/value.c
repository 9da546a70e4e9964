/* ONNX values of nodes, numbers and sizes. Each is written once, where it is first
 * read. */
#include "export/export.h"
#include <inttypes.h>

/* ---- sizes ---- */

/* Finds a size of an input that is a * symbol or a * symbol + b, from which the symbol
 * can be computed. */
static bool find_symbol(const Export *e, const Symbol *symbol, int *input, int *axis) {
    for (*input = 0; *input < e->graph->inputs.count; ++*input) {
        const Shape shape = e->graph->inputs.items[*input].node->shape;
        for (*axis = 0; *axis < shape.rank; ++*axis) {
            const Dim dim = shape.dims[*axis];
            if (dim->term_count && dim->terms[0].factor_count == 1 &&
                dim->terms[0].factors[0].symbol == symbol && dim->terms[0].coefficient > 0 &&
                (dim->term_count == 1 || (dim->term_count == 2 && !dim->terms[1].factor_count)))
                return true;
        }
    }
    return false;
}

static const char *size_with(Export *e, const char *op, const char *size, int64_t number) {
    const bool nothing = number == (op[0] == 'M' || op[0] == 'D');
    return nothing ? size : call_2(e, op, size, value_of_ints(e, &number, 1));
}

static const char *value_of_symbol(Export *e, const Symbol *symbol) {
    int input, axis;
    if (!find_symbol(e, symbol, &input, &axis))
        return export_refuse(e, e->here, "the size %s is not a size of an input", symbol->name);
    const Node *from = e->graph->inputs.items[input].node;
    const Dim dim = from->shape.dims[axis];
    OnnxCall *call = call_begin(e, "Shape");
    call_input(call, e->values[from->id]);
    call_int(call, "start", axis);
    call_int(call, "end", axis + 1);
    const char *size = call_end(call);
    if (dim->term_count == 2) size = size_with(e, "Sub", size, dim->terms[1].coefficient);
    return size_with(e, "Div", size, dim->terms[0].coefficient);
}

/* Div rounds towards 0. That is right here, since dividends of floor divisions are not
 * negative (dim.c). */
static const char *value_of_factor(Export *e, DimFactor factor) {
    if (!factor.symbol) {
        const char *dividend = value_of_size(e, factor.dividend);
        return dividend ? size_with(e, "Div", dividend, factor.divisor) : NULL;
    }
    const char *known = map_get(e->known, factor.symbol);
    if (known) return known;
    known = value_of_symbol(e, factor.symbol);
    map_set(e->known, factor.symbol, (void *)known);
    return known;
}

static const char *value_of_term(Export *e, DimTerm term) {
    if (!term.factor_count) return value_of_ints(e, &term.coefficient, 1);
    const char *product = NULL;
    for (int i = 0; i < term.factor_count; i++) {
        const char *factor = value_of_factor(e, term.factors[i]);
        if (!factor) return NULL;
        product = product ? call_2(e, "Mul", product, factor) : factor;
    }
    return size_with(e, "Mul", product, term.coefficient);
}

const char *value_of_size(Export *e, Dim size) {
    int64_t number;
    if (dim_is_const(size, &number)) return value_of_ints(e, &number, 1);
    const char *sum = map_get(e->known, size);
    if (sum) return sum;
    for (int i = 0; i < size->term_count; i++) {
        const char *term = value_of_term(e, size->terms[i]);
        if (!term) return NULL;
        sum = sum ? call_2(e, "Add", sum, term) : term;
    }
    map_set(e->known, size, (void *)sum);
    return sum;
}

const char *value_of_sizes(Export *e, const Dim *sizes, int count) {
    int64_t numbers[REF_MAX_RANK];
    int known = 0;
    while (known < count && dim_is_const(sizes[known], &numbers[known])) known++;
    if (known == count) return value_of_ints(e, numbers, count);
    if (count == 1) return value_of_size(e, sizes[0]);
    const char *parts[REF_MAX_RANK];
    for (int i = 0; i < count; i++)
        if (!(parts[i] = value_of_size(e, sizes[i]))) return NULL;
    OnnxCall *call = call_begin(e, "Concat");
    for (int i = 0; i < count; i++) call_input(call, parts[i]);
    call_int(call, "axis", 0);
    return call_end(call);
}

const char *scalar_of_size(Export *e, Dim size) {
    const char *value = value_of_size(e, size);
    return value ? call_2(e, "Reshape", value, value_of_ints(e, NULL, 0)) : NULL;
}

/* ---- numbers ---- */

enum { MAX_STATED = 16 }; /* elements of a Constant */

/* A Constant tells numbers of the text from weights, which are floats. */
static const char *stated_constant(Export *e, struct Onnx__TensorProto *tensor) {
    OnnxCall *call = call_begin(e, "Constant");
    call_tensor(call, "value", tensor);
    return call_end(call);
}

/* The constant with this name. A name contains the type and the numbers, so that equal
 * constants are written once. */
static const char *value_of_constant(Export *e, const char *name, DType type, int rank, const Number *numbers,
                                     int64_t count) { /* for rank 0 or 1 */
    const Name key = intern(e->names, name);
    const char *known = map_get(e->known, key);
    if (known) return known;
    if (count <= MAX_STATED && dtype_is_float(type)) {
        known = stated_constant(e, onnx_file_numbers_proto(e->file, type, rank, &count, numbers));
    } else {
        known = export_name(e, name);
        onnx_file_numbers(e->file, known, type, rank, &count, numbers);
    }
    map_set(e->known, key, (void *)known);
    return known;
}

static const char *value_of_scalar(Export *e, Number number, DType type) {
    Text name = {.arena = e->arena};
    text_add(&name, "number_");
    number_print(&name, number, type);
    if (type != DTYPE_F32) text_add(&name, ":%s", dtype_name(type));
    return value_of_constant(e, text_string(&name), type, 0, &number, 1);
}

const char *value_of_splat(Export *e, const Node *splat) {
    return value_of_scalar(e, ATTRIBUTES(splat, constant)->data->values[0], splat->shape.type);
}

const char *value_of_number(Export *e, double number, DType type) {
    return value_of_scalar(e, number_cast((Number){.real = number}, DTYPE_F32, type), type);
}

const char *value_of_ints(Export *e, const int64_t *ints, int count) {
    Text name = {.arena = e->arena};
    Number *numbers = NEW_ARRAY(e->arena, Number, count);
    text_add(&name, "sizes");
    for (int i = 0; i < count; i++) {
        numbers[i].whole = ints[i];
        text_add(&name, "_%" PRId64, ints[i]);
    }
    return value_of_constant(e, text_string(&name), DTYPE_I64, 1, numbers, count);
}

const char *value_filled(Export *e, double number, DType type, Dim count) {
    int64_t elements;
    if (!dim_is_const(count, &elements) || elements > 1 << 20)
        return call_2(e, "Expand", value_of_number(e, number, type), value_of_size(e, count));
    const Number one = number_cast((Number){.real = number}, DTYPE_F32, type);
    Number *numbers = NEW_ARRAY(e->arena, Number, elements);
    for (int64_t i = 0; i < elements; i++) numbers[i] = one;
    Text name = {.arena = e->arena};
    text_add(&name, "%" PRId64 "_times_", elements);
    number_print(&name, one, type);
    return value_of_constant(e, text_string(&name), type, 1, numbers, elements);
}

/* ---- nodes ---- */

static const char *path_of_weight(const Node *node) {
    return node->op == OP_parameter ? ATTRIBUTES(node, parameter)->path : ATTRIBUTES(node, state)->path;
}

/* A weight, or a folded node. */
static const char *value_of_tensor(Export *e, Node *node) {
    const bool weight = node->op == OP_parameter || node->op == OP_state;
    if (!weight && node_element_count(node) <= MAX_STATED)
        return stated_constant(e, onnx_file_constant(e->file, node));
    const char *path = node->origin->path;
    const char *name = export_name(e, weight  ? path_of_weight(node)
                                      : *path ? arena_printf(e->arena, "%s/constant", path)
                                              : "constant");
    onnx_file_tensor(e->file, name, node);
    return name;
}

const char *value_of(Export *e, Node *node) {
    const char **value = &e->values[node->id];
    if (*value) return *value;
    CHECK(node->op == OP_parameter || node->op == OP_state || export_is_folded(e, node));
    return *value = value_of_tensor(e, node);
}

/* ---- shapes ---- */

/* The sizes for a Reshape: 0 keeps the size of that axis, -1 is inferred from the others.
 * False if two sizes would be inferred. */
static bool sizes_of_reshape(Shape from, Shape to, int64_t *sizes) {
    int open = 0;
    for (int i = 0; i < to.rank; i++) {
        if (dim_is_const(to.dims[i], &sizes[i])) continue;
        if (i < from.rank && from.dims[i] == to.dims[i]) sizes[i] = 0;
        else sizes[i] = -1, open++;
    }
    return open <= 1;
}

const char *value_reshaped(Export *e, const char *x, Shape from, Shape to) {
    int64_t sizes[REF_MAX_RANK];
    if (!x || shape_dims_equal(from, to)) return x;
    const char *shape = sizes_of_reshape(from, to, sizes) ? value_of_ints(e, sizes, to.rank)
                                                          : value_of_sizes(e, to.dims, to.rank);
    return shape ? call_2(e, "Reshape", x, shape) : NULL;
}

bool binding_is_along(const Binding *binding, int axis) {
    const Node *node = binding->node;
    const Shape result = node->shape;
    while (node->op == OP_broadcast) node = node->inputs[0];
    for (int i = 0; i < result.rank; i++)
        if (i == axis ? node->shape.dims[i] != result.dims[i] && !dim_is_one(node->shape.dims[i])
                      : !dim_is_one(node->shape.dims[i]))
            return false;
    return true;
}

const char *value_along(Export *e, const Binding *binding, int axis) {
    const Dim count = binding->node->shape.dims[axis];
    const Shape wanted = {binding->root->shape.type, 1, &count};
    int64_t elements = 1;
    double number;
    if (node_is_splat(binding->root, &number)) return value_filled(e, number, wanted.type, count);
    const bool one = shape_element_count(binding->root->shape, &elements) && elements == 1;
    const char *value = value_of(e, binding->root);
    if (one && !dim_is_one(count)) return call_2(e, "Expand", value, value_of_size(e, count));
    return value_reshaped(e, value, binding->root->shape, wanted);
}
