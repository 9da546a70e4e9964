/* Any bytes as a file of weights and as a file of renames, for a model of some weights
 * and states: what is accepted gives every weight a value, and what a table lists is
 * readable to its last element, or told. The bytes up to the first zero are the
 * renames; of a network of ncnn, the .bin follows another zero. */
#include "fuzz.h"
#include "weights/table.h"
#include "weights/weights.h"

typedef struct Row {
    const char *path;
    int rank;
    int64_t dims[4];
    bool state;
} Row;

static const Row rows[] = {
    {"a.weight", 4, {4, 3, 1, 1}, false}, {"a.bias", 1, {4}, false}, {"bn.running_mean", 1, {4}, true},
    {"bn.weight", 1, {4}, false},         {"scale", 0, {0}, false},  {"b.0.weight", 2, {2, 4}, false},
};

static Node *make_node(Graph *graph, const Row *row) {
    Dim dims[4];
    for (int i = 0; i < row->rank; i++) dims[i] = dim_const(graph->dims, row->dims[i]);
    Name path = intern(graph->names, row->path);
    parameter_attributes parameter = {path, DTYPE_F32, {row->rank, dims}, 0};
    state_attributes state = {path, 0, DTYPE_F32, {row->rank, dims}, 0};
    return row->state ? graph_make(graph, OP_state, NULL, 0, &state)
                      : graph_make(graph, OP_parameter, NULL, 0, &parameter);
}

static Model *make_model(Arena *arena, Names *names) {
    Model *model = NEW(arena, Model);
    model->decl = NEW(arena, Decl);
    model->decl->name = intern(names, "m");
    model->graph = graph_new(arena, names, dims_new(arena));
    for (int i = 0; i < COUNT_OF(rows); i++) {
        Node *node = make_node(model->graph, &rows[i]);
        WeightInfo info = {.path = intern(names, rows[i].path), .shape = node->shape, .state = rows[i].state};
        vec_push(arena, &model->weights, info);
    }
    vec_push(arena, &model->unused, "extra.*");
    return model;
}

static void read_values(Weights *weights, const Graph *graph, Arena *arena) {
    RefSource source = weights_source(weights);
    for (int i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.items[i];
        RefTensor value = {.shape = {.type = node->shape.type, .rank = node->shape.rank}};
        for (int k = 0; k < node->shape.rank; k++) value.shape.dims[k] = dim_const_value(node->shape.dims[k]);
        DEMAND(shape_element_count(node->shape, &value.shape.count));
        value.values = NEW_ARRAY(arena, Number, value.shape.count);
        DEMAND(source.parameter(source.context, node, &value));
    }
}

static void read_table(const char *path) {
    WeightTable table;
    cai_error error;
    if (!weight_table_open(path, &table, &error)) return;
    for (int i = 0; i < table.tensors.count; i++) {
        if (!weight_table_read(&table, i, &error)) continue;
        double value;
        const cai_tensor *tensor = &table.tensors.items[i];
        for (int64_t k = 0; k < tensor->count; k++) cai_tensor_to_f64(tensor, k, 1, &value);
    }
    weight_table_close(&table);
}

/* The path of the file that these bytes are. */
static const char *weights_file(Arena *arena, const unsigned char *bytes, size_t count) {
    static const char ncnn[] = "7767517";
    const bool is_ncnn = count >= strlen(ncnn) && memcmp(bytes, ncnn, strlen(ncnn)) == 0;
    const unsigned char *zero = is_ncnn ? memchr(bytes, 0, count) : NULL;
    const size_t first = zero ? (size_t)(zero - bytes) : count, behind = zero ? first + 1 : count;
    if (is_ncnn) fuzz_file(".bin", bytes + behind, count - behind);
    return arena_printf(arena, "%s", fuzz_file(is_ncnn ? ".param" : ".safetensors", bytes, first));
}

void fuzz_weights(const unsigned char *bytes, size_t count) {
    Arena *arena = arena_new();
    Names *names = names_new(arena);
    Diagnostics diag = {.arena = arena};
    const unsigned char *zero = count ? memchr(bytes, 0, count) : NULL;
    size_t renames = zero ? (size_t)(zero - bytes) : 0, data = zero ? renames + 1 : 0;
    Model *model = make_model(arena, names);
    const char *rename_path = arena_printf(arena, "%s", fuzz_file(".txt", bytes, renames));
    WeightFile file = {.file = weights_file(arena, bytes + data, count - data)};
    WeightOptions options = {.files = &file, .file_count = 1, .rename = renames ? rename_path : NULL};
    read_table(file.file);
    Weights *weights = weights_open(arena, names, &diag, &model, 1, 0, &options);
    DEMAND((weights != NULL) == (diag.errors == 0));
    if (weights) read_values(weights, model->graph, arena);
    diag_print(&diag, fuzz_nowhere(), DIAG_TEXT, false);
    weights_close(weights);
    arena_free(arena);
}
