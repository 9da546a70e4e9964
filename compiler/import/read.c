/* Reads an ONNX file into our own graphs. Whatever the bytes are, the result is
 * consistent: no size is negative, counts match the sizes, and the data of a tensor is
 * complete. */
#include "import/import.h"
#include <ctype.h>
#include "onnx.pb-c.h"
#include "files/files.h"
#include <math.h>
#include <stdlib.h>

typedef struct OnnxReader {
    Arena *arena;
    Names *names;
    Diagnostics *diag;
    const char *path;
    ProtobufCAllocator allocator;
    int depth;  /* how deep graphs are nested */
    Map *files; /* of external data, by name */
    bool failed;
} OnnxReader;

enum { DEEPEST_GRAPH = 64, HIGHEST_ONNX_RANK = 16 };

static void *allocate_message(void *arena, size_t bytes) { return arena_alloc(arena, bytes); }
static void release_message(void *arena, void *memory) { (void)arena, (void)memory; }

static void fail_reading(OnnxReader *reader, const char *format, ...) PRINTF_LIKE(2, 3);
static void fail_reading(OnnxReader *reader, const char *format, ...) {
    if (reader->failed) return;
    reader->failed = true;
    va_list arguments;
    va_start(arguments, format);
    diag_error(reader->diag, DIAG_onnx_file, (Span){0}, "%s: %s", reader->path,
               arena_vprintf(reader->arena, format, arguments));
    va_end(arguments);
}

/* ---- types ---- */

static const struct {
    const char *name;
    int bytes;
} types[] = {
    [ONNX_FLOAT] = {"float32", 4},
    [ONNX_UINT8] = {"uint8", 1},
    [ONNX_INT8] = {"int8", 1},
    [ONNX_UINT16] = {"uint16", 2},
    [ONNX_INT16] = {"int16", 2},
    [ONNX_INT32] = {"int32", 4},
    [ONNX_INT64] = {"int64", 8},
    [ONNX_STRING] = {"string", 0},
    [ONNX_BOOL] = {"bool", 1},
    [ONNX_FLOAT16] = {"float16", 2},
    [ONNX_DOUBLE] = {"float64", 8},
    [ONNX_UINT32] = {"uint32", 4},
    [ONNX_UINT64] = {"uint64", 8},
    [ONNX_COMPLEX64] = {"complex64", 0},
    [ONNX_COMPLEX128] = {"complex128", 0},
    [ONNX_BFLOAT16] = {"bfloat16", 2},
};

int onnx_type_bytes(int type) { return type > 0 && type < COUNT_OF(types) ? types[type].bytes : 0; }
const char *onnx_type_name(int type) {
    static const char *const later[] = {
        "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4",
        "int4",         "float4e2m1",     "float8e8m0", "uint2",          "int2"};
    int past = type - COUNT_OF(types);
    if (type > 0 && past < 0) return types[type].name;
    return past >= 0 && past < COUNT_OF(later) ? later[past] : "an unknown type";
}

/* ---- tensors ---- */

/* Fields of protobuf are wider than the elements that they hold. */
static unsigned char *narrowed_numbers(OnnxReader *reader, const void *from, int from_bytes, int64_t count,
                                       int bytes) {
    unsigned char *out = arena_alloc(reader->arena, (size_t)(count * bytes));
    for (int64_t i = 0; i < count; i++)
        memcpy(out + i * bytes, (const unsigned char *)from + i * from_bytes, (size_t)bytes);
    return out;
}

/* The field that holds elements of this type, and their number; NULL if there is none. */
static const void *typed_data(const Onnx__TensorProto *proto, int type, size_t *count, int *bytes) {
    switch (type) {
    case ONNX_FLOAT: return *count = proto->n_float_data, *bytes = 4, proto->float_data;
    case ONNX_DOUBLE: return *count = proto->n_double_data, *bytes = 8, proto->double_data;
    case ONNX_INT64: return *count = proto->n_int64_data, *bytes = 8, proto->int64_data;
    case ONNX_UINT32:
    case ONNX_UINT64: return *count = proto->n_uint64_data, *bytes = 8, proto->uint64_data;
    default: return *count = proto->n_int32_data, *bytes = 4, proto->int32_data;
    }
}

static const char *entry_value(const Onnx__TensorProto *proto, const char *key) {
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = proto->external_data[i];
        if (entry->key && entry->value && !strcmp(entry->key, key)) return entry->value;
    }
    return NULL;
}

/* Whether a location is outside the model's folder. Files of external data must be in or
 * below it: a downloaded model may not read other files. */
static bool leads_out(const char *location) {
    if (location[0] == '/' || !*location) return true;
    for (const char *at = location; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (!strncmp(at, "..", 2) && (at[2] == '/' || !at[2])) return true;
    }
    return false;
}

static const cai_file *external_file(OnnxReader *reader, const char *location) {
    Name key = intern(reader->names, location);
    cai_file *file = map_get(reader->files, key);
    if (file) return file;
    const char *slash = strrchr(reader->path, '/');
    int folder = slash ? (int)(slash - reader->path) + 1 : 0;
    cai_error error;
    file = NEW(reader->arena, cai_file);
    if (!cai_file_map(arena_printf(reader->arena, "%.*s%s", folder, reader->path, location), file, &error)) {
        fail_reading(reader, "the data of its weights: %s", error.message);
        return NULL;
    }
    map_set(reader->files, key, file);
    return file;
}

static const unsigned char *external_data(OnnxReader *reader, const Onnx__TensorProto *proto,
                                          const char *name, uint64_t bytes) {
    const char *location = entry_value(proto, "location"), *offset = entry_value(proto, "offset"),
               *length = entry_value(proto, "length");
    if (!location || leads_out(location)) {
        fail_reading(reader,
                     "`%s` has its data in another file, `%s`, which must be a name below this file's folder",
                     name, location ? location : "");
        return NULL;
    }
    const cai_file *file = external_file(reader, location);
    uint64_t begin = offset ? strtoull(offset, NULL, 10) : 0,
             size = length ? strtoull(length, NULL, 10) : bytes;
    if (!file) return NULL;
    if (size == bytes && begin <= file->count && bytes <= file->count - begin) return file->data + begin;
    fail_reading(reader, "`%s` needs %llu bytes at %llu of %s, which has %zu", name,
                 (unsigned long long)bytes, (unsigned long long)begin, location, file->count);
    return NULL;
}

/* The elements; NULL with an error if some are missing. */
static const unsigned char *tensor_data(OnnxReader *reader, const Onnx__TensorProto *proto,
                                        const OnnxTensor *tensor) {
    const int bytes = onnx_type_bytes(tensor->type);
    const uint64_t wanted = (uint64_t)tensor->count * (uint64_t)bytes;
    if (proto->data_location == 1) return external_data(reader, proto, tensor->name, wanted);
    if (proto->has_raw_data) {
        if (proto->raw_data.len == wanted)
            return proto->raw_data.data ? proto->raw_data.data : (const unsigned char *)"";
        fail_reading(reader, "`%s` has %zu bytes of data, but its shape needs %llu", tensor->name,
                     proto->raw_data.len, (unsigned long long)wanted);
        return NULL;
    }
    size_t count;
    int from_bytes;
    const void *from = typed_data(proto, tensor->type, &count, &from_bytes);
    if (count != (uint64_t)tensor->count) {
        fail_reading(reader, "`%s` has %zu elements, but its shape needs %lld", tensor->name, count,
                     (long long)tensor->count);
        return NULL;
    }
    return count ? narrowed_numbers(reader, from, from_bytes, tensor->count, bytes)
                 : (const unsigned char *)"";
}

static OnnxTensor *read_tensor(OnnxReader *reader, const Onnx__TensorProto *proto) {
    OnnxTensor *tensor = NEW(reader->arena, OnnxTensor);
    *tensor = (OnnxTensor){.name = proto->name ? proto->name : "",
                           .type = proto->data_type,
                           .rank = (int)proto->n_dims,
                           .dims = proto->dims,
                           .count = 1};
    if (proto->n_dims > HIGHEST_ONNX_RANK)
        fail_reading(reader, "`%s` has %zu axes; tensors have at most %d", tensor->name, proto->n_dims,
                     HIGHEST_ONNX_RANK);
    for (int i = 0; i < tensor->rank && !reader->failed; i++)
        if (proto->dims[i] < 0 || __builtin_mul_overflow(tensor->count, proto->dims[i], &tensor->count) ||
            tensor->count > INT64_C(1) << 40)
            fail_reading(reader, "`%s` has a shape that no tensor can have", tensor->name);
    if (!reader->failed && onnx_type_bytes(tensor->type)) tensor->data = tensor_data(reader, proto, tensor);
    return tensor;
}

/* ---- graphs ---- */

static OnnxGraph *read_graph(OnnxReader *reader, const Onnx__GraphProto *proto);

static OnnxGraph *read_nested(OnnxReader *reader, ProtobufCBinaryData bytes) {
    Onnx__GraphProto *proto = reader->depth < DEEPEST_GRAPH
                                  ? onnx__graph_proto__unpack(&reader->allocator, bytes.len, bytes.data)
                                  : NULL;
    if (!proto) {
        fail_reading(reader, reader->depth < DEEPEST_GRAPH ? "a graph within a node is broken"
                                                           : "graphs are nested more than 64 deep");
        return NULL;
    }
    reader->depth++;
    OnnxGraph *graph = read_graph(reader, proto);
    reader->depth--;
    return graph;
}

static const char *text_of_bytes(OnnxReader *reader, ProtobufCBinaryData bytes) {
    return arena_strndup(reader->arena, bytes.len ? (const char *)bytes.data : "", bytes.len);
}

static OnnxAttribute read_attribute(OnnxReader *reader, const Onnx__AttributeProto *proto) {
    OnnxAttribute a = {.name = proto->name ? proto->name : "",
                       .refers = proto->ref_attr_name && *proto->ref_attr_name ? proto->ref_attr_name : NULL,
                       .kind = proto->type,
                       .real = proto->f,
                       .integer = proto->i};
    switch (a.kind) {
    case ATTRIBUTE_STRING: a.string = text_of_bytes(reader, proto->s); break;
    case ATTRIBUTE_REALS: a.count = (int)proto->n_floats, a.reals = proto->floats; break;
    case ATTRIBUTE_INTS: a.count = (int)proto->n_ints, a.integers = proto->ints; break;
    case ATTRIBUTE_STRINGS: {
        const char **strings = NEW_ARRAY(reader->arena, const char *, proto->n_strings);
        for (size_t i = 0; i < proto->n_strings; i++) strings[i] = text_of_bytes(reader, proto->strings[i]);
        a.count = (int)proto->n_strings, a.strings = strings;
        break;
    }
    case ATTRIBUTE_TENSOR:
        if (!proto->t && !a.refers) fail_reading(reader, "the attribute `%s` has no tensor", a.name);
        if (proto->t) a.tensor = read_tensor(reader, proto->t);
        break;
    case ATTRIBUTE_GRAPH:
        if (!a.refers) a.graph = read_nested(reader, proto->g);
        break;
    default: break;
    }
    return a;
}

static const Name *read_name_list(OnnxReader *reader, char **names, size_t count) {
    Name *out = NEW_ARRAY(reader->arena, Name, count);
    for (size_t i = 0; i < count; i++) out[i] = intern(reader->names, names[i]);
    return out;
}

static OnnxNode read_node(OnnxReader *reader, const Onnx__NodeProto *proto) {
    OnnxAttribute *attributes = NEW_ARRAY(reader->arena, OnnxAttribute, proto->n_attribute);
    for (size_t i = 0; i < proto->n_attribute; i++)
        attributes[i] = read_attribute(reader, proto->attribute[i]);
    return (OnnxNode){.name = proto->name ? proto->name : "",
                      .op = proto->op_type ? proto->op_type : "",
                      .domain = proto->domain && strcmp(proto->domain, "ai.onnx") ? proto->domain : "",
                      .input_count = (int)proto->n_input,
                      .inputs = read_name_list(reader, proto->input, proto->n_input),
                      .output_count = (int)proto->n_output,
                      .outputs = read_name_list(reader, proto->output, proto->n_output),
                      .attribute_count = (int)proto->n_attribute,
                      .attributes = attributes};
}

/* Whether a name can identify a size: all sizes with one name are equal, but some
 * exporters write "?" for every size that they do not know. */
static bool names_a_size(const char *param) {
    if (!param) return false;
    while (*param && !isalpha((unsigned char)*param)) param++;
    return *param != 0;
}

static OnnxPort read_port(OnnxReader *reader, const Onnx__ValueInfoProto *proto) {
    OnnxPort port = {.name = intern(reader->names, proto->name ? proto->name : "")};
    const Onnx__TypeProto__Tensor *type = proto->type ? proto->type->tensor_type : NULL;
    if (!type) return port;
    port.type = type->elem_type;
    if (!type->shape) return port;
    const size_t rank = type->shape->n_dim;
    if (rank > HIGHEST_ONNX_RANK)
        fail_reading(reader, "`%s` has %zu axes; tensors have at most %d", port.name, rank,
                     HIGHEST_ONNX_RANK);
    int64_t *dims = NEW_ARRAY(reader->arena, int64_t, rank);
    const char **symbols = NEW_ARRAY(reader->arena, const char *, rank);
    for (size_t i = 0; i < rank; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[i];
        dims[i] = dim->has_dim_value && dim->dim_value >= 0 ? dim->dim_value : -1;
        symbols[i] = names_a_size(dim->dim_param) ? dim->dim_param : NULL;
    }
    port.has_shape = true, port.rank = (int)rank, port.dims = dims, port.symbols = symbols;
    return port;
}

static OnnxGraph *read_graph(OnnxReader *reader, const Onnx__GraphProto *proto) {
    OnnxGraph *graph = NEW(reader->arena, OnnxGraph);
    graph->name = proto->name ? proto->name : "";
    for (size_t i = 0; i < proto->n_initializer; i++)
        vec_push(reader->arena, &graph->initializers, read_tensor(reader, proto->initializer[i]));
    for (size_t i = 0; i < proto->n_input; i++)
        vec_push(reader->arena, &graph->inputs, read_port(reader, proto->input[i]));
    for (size_t i = 0; i < proto->n_output; i++)
        vec_push(reader->arena, &graph->outputs, read_port(reader, proto->output[i]));
    for (size_t i = 0; i < proto->n_value_info; i++)
        vec_push(reader->arena, &graph->values, read_port(reader, proto->value_info[i]));
    for (size_t i = 0; i < proto->n_node; i++)
        vec_push(reader->arena, &graph->nodes, read_node(reader, proto->node[i]));
    return graph;
}

/* ---- models ---- */

static int opset_of(Onnx__OperatorSetIdProto *const *sets, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!sets[i]->domain || !*sets[i]->domain || !strcmp(sets[i]->domain, "ai.onnx"))
            return (int)min_i64(max_i64(sets[i]->version, 0), INT32_MAX);
    return 0;
}

static const char *metadata_value(const Onnx__ModelProto *proto, const char *key) {
    for (size_t i = 0; i < proto->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *entry = proto->metadata_props[i];
        if (entry->key && entry->value && !strcmp(entry->key, key)) return entry->value;
    }
    return "";
}

static OnnxFunction read_function(OnnxReader *reader, const Onnx__FunctionProto *proto) {
    OnnxFunction function = {.name = proto->name ? proto->name : "",
                             .domain = proto->domain ? proto->domain : "",
                             .opset = opset_of(proto->opset_import, proto->n_opset_import),
                             .input_count = (int)proto->n_input,
                             .inputs = read_name_list(reader, proto->input, proto->n_input),
                             .output_count = (int)proto->n_output,
                             .outputs = read_name_list(reader, proto->output, proto->n_output),
                             .default_count = (int)proto->n_attribute_proto};
    OnnxAttribute *defaults = NEW_ARRAY(reader->arena, OnnxAttribute, proto->n_attribute_proto);
    for (size_t i = 0; i < proto->n_attribute_proto; i++)
        defaults[i] = read_attribute(reader, proto->attribute_proto[i]);
    function.defaults = defaults;
    for (size_t i = 0; i < proto->n_node; i++)
        vec_push(reader->arena, &function.nodes, read_node(reader, proto->node[i]));
    return function;
}

OnnxModel *onnx_read(Arena *arena, Names *names, Diagnostics *diag, const char *path,
                     const unsigned char *bytes, size_t count) {
    OnnxReader reader = {.arena = arena,
                         .names = names,
                         .diag = diag,
                         .path = path,
                         .allocator = {allocate_message, release_message, arena},
                         .files = map_new(arena)};
    const Onnx__ModelProto *proto = onnx__model_proto__unpack(&reader.allocator, count, bytes);
    if (!proto) fail_reading(&reader, "this is not an ONNX file, or not all of one");
    else if (!proto->graph) fail_reading(&reader, "it has no graph, which an ONNX file must have");
    if (reader.failed) return NULL;
    OnnxModel *model = NEW(arena, OnnxModel);
    model->producer = proto->producer_name ? proto->producer_name : "";
    model->producer_version = proto->producer_version ? proto->producer_version : "";
    model->sizes = metadata_value(proto, "sizes");
    model->opset = opset_of(proto->opset_import, proto->n_opset_import);
    model->graph = read_graph(&reader, proto->graph);
    for (size_t i = 0; i < proto->n_functions; i++)
        vec_push(arena, &model->functions, read_function(&reader, proto->functions[i]));
    return reader.failed ? NULL : model;
}
