/* An ONNX node under construction: its inputs, its attributes, and the names of its
 * results. Its name consists of the layer that is being written and its operator. */
#include "export/export.h"
#include "onnx.pb-c.h"

/* numbers of AttributeProto.AttributeType */
enum { OF_REAL = 1, OF_INT = 2, OF_TEXT = 3, OF_TENSOR = 4, OF_INT_LIST = 7 };

struct OnnxCall {
    Export *e;
    const char *op;
    Vec(char *) inputs;
    Vec(Onnx__AttributeProto *) attributes;
};

OnnxCall *call_begin(Export *e, const char *op) {
    OnnxCall *call = NEW(e->arena, OnnxCall);
    call->e = e, call->op = op;
    return call;
}

void call_input(OnnxCall *call, const char *value) {
    vec_push(call->e->arena, &call->inputs, (char *)(value ? value : ""));
}

static Onnx__AttributeProto *add_call_attribute(OnnxCall *call, const char *name, int type) {
    Onnx__AttributeProto *attribute = NEW(call->e->arena, Onnx__AttributeProto);
    onnx__attribute_proto__init(attribute);
    attribute->name = (char *)name;
    attribute->has_type = true, attribute->type = type;
    vec_push(call->e->arena, &call->attributes, attribute);
    return attribute;
}

void call_int(OnnxCall *call, const char *name, int64_t value) {
    Onnx__AttributeProto *attribute = add_call_attribute(call, name, OF_INT);
    attribute->has_i = true, attribute->i = value;
}

void call_real(OnnxCall *call, const char *name, double value) {
    Onnx__AttributeProto *attribute = add_call_attribute(call, name, OF_REAL);
    attribute->has_f = true, attribute->f = (float)value;
}

void call_text(OnnxCall *call, const char *name, const char *value) {
    Onnx__AttributeProto *attribute = add_call_attribute(call, name, OF_TEXT);
    attribute->has_s = true, attribute->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)value};
}

void call_ints(OnnxCall *call, const char *name, const int64_t *values, int count) {
    Onnx__AttributeProto *attribute = add_call_attribute(call, name, OF_INT_LIST);
    attribute->n_ints = (size_t)count;
    attribute->ints = arena_copy(call->e->arena, values, sizeof *values * (size_t)count);
}

void call_tensor(OnnxCall *call, const char *name, struct Onnx__TensorProto *value) {
    add_call_attribute(call, name, OF_TENSOR)->t = value;
}

/* "layer1.0.conv1/Conv" */
static const char *name_of_call(const OnnxCall *call) {
    const char *path = call->e->here ? call->e->here->origin->path : "";
    return export_name(call->e, *path ? arena_printf(call->e->arena, "%s/%s", path, call->op) : call->op);
}

void call_end_all(OnnxCall *call, int count, const char **results) {
    Export *e = call->e;
    Onnx__NodeProto *node = NEW(e->arena, Onnx__NodeProto);
    onnx__node_proto__init(node);
    node->op_type = (char *)call->op;
    node->name = (char *)name_of_call(call);
    node->n_input = (size_t)call->inputs.count, node->input = call->inputs.items;
    node->n_attribute = (size_t)call->attributes.count, node->attribute = call->attributes.items;
    node->n_output = (size_t)count, node->output = NEW_ARRAY(e->arena, char *, count);
    for (int i = 0; i < count; i++) {
        results[i] = i == 0 ? node->name : export_name(e, arena_printf(e->arena, "%s:%d", node->name, i));
        node->output[i] = (char *)results[i];
    }
    onnx_file_node(e->file, node);
}

const char *call_end(OnnxCall *call) {
    const char *result;
    call_end_all(call, 1, &result);
    return result;
}

const char *call_1(Export *e, const char *op, const char *x) { return call_3(e, op, x, NULL, NULL); }
const char *call_2(Export *e, const char *op, const char *x, const char *y) {
    return call_3(e, op, x, y, NULL);
}

const char *call_3(Export *e, const char *op, const char *x, const char *y, const char *z) {
    OnnxCall *call = call_begin(e, op);
    call_input(call, x);
    if (y) call_input(call, y);
    if (z) call_input(call, z);
    return call_end(call);
}

const char *call_cast(Export *e, const char *x, DType type) {
    OnnxCall *call = call_begin(e, "Cast");
    call_input(call, x);
    call_int(call, "to", onnx_type_of(type));
    return call_end(call);
}

const char *call_transpose(Export *e, const char *x, IntList order) {
    OnnxCall *call = call_begin(e, "Transpose");
    call_input(call, x);
    call_ints(call, "perm", order.items, order.count);
    return call_end(call);
}

const char *call_reduce(Export *e, const char *op, int since, const char *x, IntList axes, bool keep) {
    OnnxCall *call = call_begin(e, op);
    call_input(call, x);
    if (e->options->opset >= since) call_input(call, value_of_ints(e, axes.items, axes.count));
    else call_ints(call, "axes", axes.items, axes.count);
    call_int(call, "keepdims", keep);
    return call_end(call);
}
