/* Operators without tensor inputs. */
#include "graph/ops.h"
#include <stdlib.h>

/* Sources declare type and sizes as attributes. */
bool shape_declared(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                    ShapeError *error) {
    (void)inputs, (void)count;
    const DimList *dims = attributes_first(op, attributes, ATTR_DIMS);
    *shape = (Shape){*(const DType *)attributes_first(op, attributes, ATTR_TYPE), dims->count, dims->items};
    if (dims->count > REF_MAX_RANK)
        return shape_error(g, error, -1, -1, "a tensor of %d axes; %d is the most", dims->count,
                           REF_MAX_RANK);
    if (op == OP_iota) {
        int64_t axis = ((const iota_attributes *)attributes)->axis;
        if (axis < 0 || axis >= shape->rank)
            return shape_error(g, error, -1, -1, "iota over axis %lld of %d", (long long)axis, shape->rank);
    }
    if (op == OP_constant) {
        int64_t have = ((const constant_attributes *)attributes)->data->count, need;
        if (have != 1 && (!shape_element_count(*shape, &need) || need != have))
            return shape_error(g, error, -1, -1, "%lld numbers do not fill %s", (long long)have,
                               shape_string(g->arena, *shape));
    }
    return true;
}

bool shape_size(Graph *g, Op op, Node *const *inputs, int count, const void *attributes, Shape *shape,
                ShapeError *error) {
    (void)g, (void)op, (void)inputs, (void)count, (void)error;
    const size_attributes *size = attributes;
    CHECK(size->value.count == 1);
    *shape = (Shape){size->type, 0, NULL};
    return true;
}

/* Values of inputs, parameters and states come from the RefSource: see reference.c. */
void ref_input(const RefCall *call) {
    INTERNAL_ERROR("the value of input %s was not given", ATTRIBUTES(call->node, input)->name);
}
void ref_parameter(const RefCall *call) {
    INTERNAL_ERROR("the value of a %s was not given", op_info[call->node->op].name);
}

void ref_constant(const RefCall *call) {
    const Data *data = ATTRIBUTES(call->node, constant)->data;
    if (data->count == call->shape.count) {
        memcpy(call->out, data->values, sizeof *data->values * (size_t)data->count);
        return;
    }
    for (int64_t i = 0; i < call->shape.count; i++) call->out[i] = data->values[0];
}

void ref_iota(const RefCall *call) {
    int64_t axis = ATTRIBUTES(call->node, iota)->axis, inner = 1, size = call->shape.dims[axis];
    for (int i = (int)axis + 1; i < call->shape.rank; i++) inner *= call->shape.dims[i];
    for (int64_t at = 0, index = 0; at < call->shape.count;
         at += inner, index = index + 1 == size ? 0 : index + 1)
        for (int64_t i = 0; i < inner; i++)
            call->out[at + i] = number_cast((Number){.whole = index}, DTYPE_I64, call->shape.type);
}

void ref_size(const RefCall *call) {
    Number size = {.whole = size_value(call, ATTRIBUTES(call->node, size)->value.items[0])};
    call->out[0] = number_cast(size, DTYPE_I64, call->shape.type);
}

typedef struct UniformDraw {
    uint64_t stream;
    double *out;
} UniformDraw;

static void draw_uniform(void *context, int64_t begin, int64_t end) {
    const UniformDraw *d = context;
    random_units(d->stream + (uint64_t)begin, end - begin, d->out + begin);
}

void ref_uniform(const RefCall *call) {
    UniformDraw d = {random_stream(call->seed, ATTRIBUTES(call->node, uniform)->stream), &call->out->real};
    parallel_for(call->shape.count, 2, draw_uniform, &d);
}
