/* The contents of the file: nodes, tensors and ports, and the protobuf that they become.
 * The elements of a tensor are read when it is written. If weights go into a file of
 * their own, only one tensor at a time is in memory. */
#include "export/export.h"
#include "files/files.h"
#include "onnx.pb-c.h"

/* A protobuf is limited to 2 GB, some of which nodes and names need. */
#define MAX_INSIDE (INT64_C(2000) << 20)
/* In a file of their own, tensors are aligned to EXTERNAL_UNIT bytes. Tensors smaller
 * than LEAST_EXTERNAL stay in the protobuf: shape inference of ONNX's checker reads
 * them. */
enum { EXTERNAL_UNIT = 64, LEAST_EXTERNAL = 1024 };

typedef struct FileTensor {
    const char *name;
    Node *node; /* NULL: the elements are in `numbers` */
    const Number *numbers;
    DType type;
    int rank;
    const int64_t *dims;
    int64_t count;
} FileTensor;

struct OnnxFile {
    Export *e;
    Vec(Onnx__NodeProto *) nodes;
    Vec(FileTensor) tensors;
    Vec(Onnx__ValueInfoProto *) inputs, outputs;
    Vec(Onnx__StringStringEntryProto *) metadata;
};

OnnxFile *onnx_file_new(Export *e) {
    OnnxFile *file = NEW(e->arena, OnnxFile);
    file->e = e;
    return file;
}

int onnx_type_of(DType type) {
    static const int types[] = {[DTYPE_F32] = 1,  [DTYPE_I8] = 3,   [DTYPE_I32] = 6,  [DTYPE_I64] = 7,
                                [DTYPE_BOOL] = 9, [DTYPE_F16] = 10, [DTYPE_BF16] = 16};
    return types[type];
}

/* The version of the format (IR version) that was current for an opset. */
static int format_of_opset(int opset) {
    static const int formats[] = {8, 8, 9, 9, 10, 10, 11, 11};
    return formats[opset - LEAST_OPSET];
}

/* ---- tensors ---- */

static FileTensor tensor_of_node(const OnnxFile *file, const char *name, Node *node) {
    int64_t *dims = NEW_ARRAY(file->e->arena, int64_t, node->shape.rank);
    for (int i = 0; i < node->shape.rank; i++) dims[i] = dim_const_value(node->shape.dims[i]);
    return (FileTensor){name, node, NULL, node->shape.type, node->shape.rank, dims, node_element_count(node)};
}

void onnx_file_tensor(OnnxFile *file, const char *name, Node *node) {
    vec_push(file->e->arena, &file->tensors, tensor_of_node(file, name, node));
}

static FileTensor tensor_of_numbers(const OnnxFile *file, const char *name, DType type, int rank,
                                    const int64_t *dims, const Number *numbers) {
    FileTensor tensor = {name, NULL, NULL, type, rank, NULL, 1};
    tensor.dims = arena_copy(file->e->arena, dims, sizeof *dims * (size_t)rank);
    for (int i = 0; i < rank; i++) tensor.count *= dims[i];
    tensor.numbers = arena_copy(file->e->arena, numbers, sizeof *numbers * (size_t)tensor.count);
    return tensor;
}

void onnx_file_numbers(OnnxFile *file, const char *name, DType type, int rank, const int64_t *dims,
                       const Number *numbers) {
    vec_push(file->e->arena, &file->tensors, tensor_of_numbers(file, name, type, rank, dims, numbers));
}

static int64_t tensor_bytes(const FileTensor *tensor) { return tensor->count * dtype_bytes(tensor->type); }

/* The elements in ONNX's encoding, allocated in `arena`. It is little-endian, as this
 * machine is. */
static unsigned char *tensor_elements(const OnnxFile *file, const FileTensor *tensor, Arena *arena) {
    Arena *scratch = arena_new();
    const Number *numbers = tensor->numbers;
    if (tensor->node) {
        RefTensor result;
        const RefSource *source = &file->e->options->weights;
        bool known =
            reference_evaluate(file->e->graph, &(Node *){tensor->node}, 1, NULL, 0, source, scratch, &result);
        numbers = known ? result.values : NULL;
    }
    CHECK(numbers); /* before exporting, weights.c made sure that all are found */
    unsigned char *out = arena_alloc(arena, (size_t)tensor_bytes(tensor));
    numbers_store(tensor->type, numbers, 1, tensor->count, out, 1);
    arena_free(scratch);
    return out;
}

static Onnx__TensorProto *tensor_proto(const OnnxFile *file, const FileTensor *tensor) {
    Onnx__TensorProto *proto = NEW(file->e->arena, Onnx__TensorProto);
    onnx__tensor_proto__init(proto);
    proto->name = (char *)tensor->name;
    proto->n_dims = (size_t)tensor->rank, proto->dims = (int64_t *)tensor->dims;
    proto->has_data_type = true, proto->data_type = onnx_type_of(tensor->type);
    return proto;
}

static void add_elements_to_proto(const OnnxFile *file, const FileTensor *tensor, Onnx__TensorProto *proto) {
    proto->has_raw_data = true;
    proto->raw_data =
        (ProtobufCBinaryData){(size_t)tensor_bytes(tensor), tensor_elements(file, tensor, file->e->arena)};
}

static Onnx__TensorProto *whole_proto(const OnnxFile *file, FileTensor tensor) {
    Onnx__TensorProto *proto = tensor_proto(file, &tensor);
    add_elements_to_proto(file, &tensor, proto);
    return proto;
}

Onnx__TensorProto *onnx_file_constant(const OnnxFile *file, Node *node) {
    return whole_proto(file, tensor_of_node(file, "", node));
}

Onnx__TensorProto *onnx_file_numbers_proto(const OnnxFile *file, DType type, int rank, const int64_t *dims,
                                           const Number *numbers) {
    return whole_proto(file, tensor_of_numbers(file, "", type, rank, dims, numbers));
}

/* ---- the file of weights ---- */

static Onnx__StringStringEntryProto *metadata_entry(Export *e, const char *key, const char *value) {
    Onnx__StringStringEntryProto *entry = NEW(e->arena, Onnx__StringStringEntryProto);
    onnx__string_string_entry_proto__init(entry);
    entry->key = (char *)key, entry->value = (char *)value;
    return entry;
}

static void set_location(OnnxFile *file, Onnx__TensorProto *proto, const char *location, int64_t offset,
                         int64_t length) {
    Export *e = file->e;
    proto->has_data_location = true, proto->data_location = 1;
    proto->n_external_data = 3;
    proto->external_data = NEW_ARRAY(e->arena, Onnx__StringStringEntryProto *, 3);
    proto->external_data[0] = metadata_entry(e, "location", location);
    proto->external_data[1] = metadata_entry(e, "offset", arena_printf(e->arena, "%lld", (long long)offset));
    proto->external_data[2] = metadata_entry(e, "length", arena_printf(e->arena, "%lld", (long long)length));
}

static bool is_external(const FileTensor *tensor) {
    return tensor->node && tensor_bytes(tensor) >= LEAST_EXTERNAL;
}

static bool write_external(const OnnxFile *file, const FileTensor *tensor, cai_output *output, int64_t *at,
                           cai_error *error) {
    static const char zeros[EXTERNAL_UNIT];
    const int64_t begin = round_up(*at, EXTERNAL_UNIT);
    Arena *arena = arena_new();
    const unsigned char *bytes = tensor_elements(file, tensor, arena);
    bool good = (begin == *at || cai_output_write(output, zeros, (size_t)(begin - *at), error)) &&
                cai_output_write(output, bytes, (size_t)tensor_bytes(tensor), error);
    *at = begin + tensor_bytes(tensor);
    arena_free(arena);
    return good;
}

static bool write_tensors(OnnxFile *file, Onnx__TensorProto **protos, const char *location,
                          cai_output *output, cai_error *error) {
    int64_t at = 0;
    for (int i = 0; i < file->tensors.count; i++) {
        const FileTensor *tensor = &file->tensors.items[i];
        if (!is_external(tensor)) continue;
        if (!write_external(file, tensor, output, &at, error)) return false;
        set_location(file, protos[i], location, at - tensor_bytes(tensor), tensor_bytes(tensor));
    }
    return true;
}

/* ---- ports ---- */

static Onnx__TypeProto *type_of_shape(Export *e, Shape shape) {
    Onnx__TypeProto *type = NEW(e->arena, Onnx__TypeProto);
    onnx__type_proto__init(type);
    type->tensor_type = NEW(e->arena, Onnx__TypeProto__Tensor);
    onnx__type_proto__tensor__init(type->tensor_type);
    type->tensor_type->has_elem_type = true, type->tensor_type->elem_type = onnx_type_of(shape.type);
    Onnx__TensorShapeProto *sizes = type->tensor_type->shape = NEW(e->arena, Onnx__TensorShapeProto);
    onnx__tensor_shape_proto__init(sizes);
    sizes->n_dim = (size_t)shape.rank;
    sizes->dim = NEW_ARRAY(e->arena, Onnx__TensorShapeProto__Dimension *, shape.rank);
    for (int i = 0; i < shape.rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = sizes->dim[i] =
            NEW(e->arena, Onnx__TensorShapeProto__Dimension);
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->has_dim_value = dim_is_const(shape.dims[i], &dim->dim_value);
        if (!dim->has_dim_value) dim->dim_param = (char *)dim_string(e->arena, shape.dims[i]);
    }
    return type;
}

static Onnx__ValueInfoProto *value_info(Export *e, const Port *port) {
    Onnx__ValueInfoProto *info = NEW(e->arena, Onnx__ValueInfoProto);
    onnx__value_info_proto__init(info);
    info->name = (char *)port->name;
    info->type = type_of_shape(e, port->node->shape);
    info->doc_string = (char *)port_doc(e->arena, e->graph, port);
    return info;
}

static void add_label_metadata(OnnxFile *file, const Port *port) {
    Export *e = file->e;
    Text text = {.arena = e->arena};
    for (int i = 0; i < port->label_count; i++) text_add(&text, "%s%s", i ? "\n" : "", port->labels[i]);
    const char *key = arena_printf(e->arena, "labels.%s", port->name);
    if (port->label_count) vec_push(e->arena, &file->metadata, metadata_entry(e, key, text_string(&text)));
}

void onnx_file_input(OnnxFile *file, const Port *port) {
    vec_push(file->e->arena, &file->inputs, value_info(file->e, port));
}

static void rename_value(OnnxFile *file, const char *value, const char *name) {
    for (int i = 0; i < file->nodes.count; i++) {
        Onnx__NodeProto *node = file->nodes.items[i];
        for (size_t k = 0; k < node->n_input; k++)
            if (node->input[k] == value) node->input[k] = (char *)name;
        for (size_t k = 0; k < node->n_output; k++)
            if (node->output[k] == value) node->output[k] = (char *)name;
    }
}

static bool is_made_by_node(const OnnxFile *file, const char *value) {
    for (int i = 0; i < file->nodes.count; i++)
        for (size_t k = 0; k < file->nodes.items[i]->n_output; k++)
            if (file->nodes.items[i]->output[k] == value) return true;
    return false;
}

/* Gives the value the output's name if a node makes it. Inputs, weights, and values that
 * are another output already, go through an Identity. */
void onnx_file_output(OnnxFile *file, const Port *port, const char *value) {
    Export *e = file->e;
    bool named = !is_made_by_node(file, value);
    for (int i = 0; i < file->outputs.count; i++) named = named || file->outputs.items[i]->name == value;
    if (named) value = call_1(e, "Identity", value);
    rename_value(file, value, port->name);
    for (int i = 0; i < e->graph->nodes.count; i++)
        if (e->values[i] == value) e->values[i] = port->name;
    vec_push(e->arena, &file->outputs, value_info(e, port));
    add_label_metadata(file, port);
}

void onnx_file_node(OnnxFile *file, Onnx__NodeProto *node) { vec_push(file->e->arena, &file->nodes, node); }

/* ---- the file ---- */

static Onnx__GraphProto *graph_proto(OnnxFile *file, Onnx__TensorProto **tensors) {
    Onnx__GraphProto *graph = NEW(file->e->arena, Onnx__GraphProto);
    onnx__graph_proto__init(graph);
    graph->name = (char *)file->e->graph->model;
    graph->n_node = (size_t)file->nodes.count, graph->node = file->nodes.items;
    graph->n_initializer = (size_t)file->tensors.count, graph->initializer = tensors;
    graph->n_input = (size_t)file->inputs.count, graph->input = file->inputs.items;
    graph->n_output = (size_t)file->outputs.count, graph->output = file->outputs.items;
    return graph;
}

static Onnx__ModelProto *model_proto(OnnxFile *file, Onnx__TensorProto **tensors) {
    Export *e = file->e;
    Onnx__ModelProto *model = NEW(e->arena, Onnx__ModelProto);
    onnx__model_proto__init(model);
    model->has_ir_version = true, model->ir_version = format_of_opset(e->options->opset);
    model->n_opset_import = 1, model->opset_import = NEW_ARRAY(e->arena, Onnx__OperatorSetIdProto *, 1);
    model->opset_import[0] = NEW(e->arena, Onnx__OperatorSetIdProto);
    onnx__operator_set_id_proto__init(model->opset_import[0]);
    model->opset_import[0]->domain = "";
    model->opset_import[0]->has_version = true, model->opset_import[0]->version = e->options->opset;
    model->producer_name = "cai", model->producer_version = CAI_VERSION;
    model->doc_string = (char *)e->graph->comment;
    const char *checks = checks_doc(e->arena, e->graph);
    if (checks) vec_push(e->arena, &file->metadata, metadata_entry(e, "sizes", checks));
    model->n_metadata_props = (size_t)file->metadata.count, model->metadata_props = file->metadata.items;
    model->graph = graph_proto(file, tensors);
    return model;
}

typedef struct SinkBuffer { /* protobuf's buffer, which appends to a file */
    ProtobufCBuffer base;
    cai_sink sink;
} SinkBuffer;

static void append_to_sink(ProtobufCBuffer *base, size_t count, const uint8_t *bytes) {
    cai_sink_write(&((SinkBuffer *)base)->sink, bytes, count);
}

static bool pack_model(const Onnx__ModelProto *model, cai_output *output, cai_error *error) {
    SinkBuffer buffer = {.base = {.append = append_to_sink}, .sink = {.output = output, .error = error}};
    onnx__model_proto__pack_to_buffer(model, &buffer.base);
    return !buffer.sink.failed;
}

/* Writes both files completely before the first replaces an older one. */
static bool write_with_data(OnnxFile *file, Onnx__TensorProto **protos, const char *path, cai_error *error) {
    const char *data = arena_printf(file->e->arena, "%s.data", path), *slash = strrchr(data, '/');
    cai_output weights, model;
    if (!cai_output_open(data, &weights, error)) return false;
    if (!write_tensors(file, protos, slash ? slash + 1 : data, &weights, error)) return false;
    if (cai_output_open(path, &model, error) && pack_model(model_proto(file, protos), &model, error))
        return cai_output_finish(&weights, error) ? cai_output_finish(&model, error)
                                                  : (cai_output_discard(&model), false);
    cai_output_discard(&weights);
    return false;
}

static bool write_whole(OnnxFile *file, Onnx__TensorProto **protos, const char *path, cai_error *error) {
    cai_output model;
    return cai_output_open(path, &model, error) && pack_model(model_proto(file, protos), &model, error) &&
           cai_output_finish(&model, error);
}

static bool is_kept_apart(const OnnxFile *file) {
    int64_t all = 0;
    for (int i = 0; i < file->tensors.count; i++) all += tensor_bytes(&file->tensors.items[i]);
    return file->e->options->external || all > MAX_INSIDE;
}

bool onnx_file_write(OnnxFile *file) {
    Export *e = file->e;
    const bool apart = is_kept_apart(file);
    Onnx__TensorProto **protos = NEW_ARRAY(e->arena, Onnx__TensorProto *, file->tensors.count);
    for (int i = 0; i < file->tensors.count; i++) {
        const FileTensor *tensor = &file->tensors.items[i];
        protos[i] = tensor_proto(file, tensor);
        if (apart && is_external(tensor)) continue;
        add_elements_to_proto(file, tensor, protos[i]);
    }
    cai_error error;
    if ((apart ? write_with_data : write_whole)(file, protos, e->options->path, &error)) return true;
    diag_error(e->diag, DIAG_output, (Span){0}, "%s", error.message);
    return false;
}
