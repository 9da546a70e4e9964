/* Networks of ncnn. NAME.param has a line of text for each layer. NAME.bin has the
 * elements of all weights in the order of the layers, without names or sizes. A weight is
 * named after its layer (`conv1.weight`), and its sizes follow from the settings of the
 * layer. Names, sizes and order are made those of PyTorch: kernels of transposed
 * convolutions and gates of LSTMs are rearranged.
 *
 * Layers whose kind is not in the table are assumed to have no weights. If that is wrong,
 * the .bin does not end with the last layer, and is refused. */
#include "weights/table.h"
#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SETTINGS = 32, /* ncnn's own limit */
    TAG_F16 = 0x01306B47,
    TAG_INT8 = 0x000D4B38,
    TAG_F32 = 0x0002C056 /* layers with f32 weights in a network that is otherwise int8 */
};

typedef struct NcnnLayer {
    const char *kind, *name;
    int64_t settings[SETTINGS];
    bool given[SETTINGS];
} NcnnLayer;

typedef struct Ncnn Ncnn;
typedef struct NcnnKind { /* a kind of layer with weights */
    const char *name;
    void (*take)(Ncnn *n);
    int int8;          /* the setting that marks a quantized layer; 0: it never is */
    int axes;          /* of a kernel */
    int size, affine;  /* settings: the length of vectors, and whether there are any; affine -1: always */
    const char *parts; /* names of its vectors, in order: "weight bias" */
} NcnnKind;

struct Ncnn {
    WeightTable *table;
    cai_error *error;
    const char *bin;               /* the path of the .bin */
    const unsigned char *at, *end; /* the rest of the .bin */
    NcnnLayer layer;
    const NcnnKind *kind; /* of the current layer */
    bool failed;
};

static void ncnn_fail(Ncnn *n, const char *why) {
    if (n->failed) return;
    n->failed = true;
    cai_fail(n->error, CAI_BAD_INPUT, "%s: the layer `%.200s` (%.60s) %s", n->bin, n->layer.name,
             n->layer.kind, why);
}

static int64_t layer_setting(const Ncnn *n, int id, int64_t otherwise) {
    return n->layer.given[id] ? n->layer.settings[id] : otherwise;
}

/* Divides `total` by all sizes. */
static int64_t size_left(Ncnn *n, int64_t total, const int64_t *sizes, int count) {
    for (int i = 0; i < count; total /= sizes[i++]) {
        if (sizes[i] > 0 && total > 0 && total % sizes[i] == 0) continue;
        ncnn_fail(n, "has settings that disagree about its sizes");
        return 0;
    }
    return total;
}

/* ---- elements ---- */

/* The next `bytes` bytes of the .bin; NULL after an error. */
static const unsigned char *take_bin_bytes(Ncnn *n, uint64_t bytes) {
    if (!n->failed && bytes > (uint64_t)(n->end - n->at))
        ncnn_fail(n, "goes beyond the end of the file: it is cut off, or belongs to another .param");
    if (n->failed) return NULL;
    const unsigned char *taken = n->at;
    n->at += bytes;
    return taken;
}

static unsigned char *ncnn_block(Ncnn *n, uint64_t bytes) {
    unsigned char *block = n->failed ? NULL : weight_table_block(n->table, bytes, n->error);
    n->failed = !block;
    return block;
}

/* Elements that are stored as a table of 256 numbers and an index into it for each
 * element. */
static const unsigned char *take_places(Ncnn *n, int64_t count) {
    enum { TABLE = 256 * sizeof(float) };
    const unsigned char *numbers = take_bin_bytes(n, TABLE),
                        *places = take_bin_bytes(n, ((uint64_t)count + 3) & ~3ull);
    unsigned char *block = places ? ncnn_block(n, (uint64_t)count * sizeof(float)) : NULL;
    for (int64_t i = 0; block && i < count; i++)
        memcpy(block + (size_t)i * sizeof(float), numbers + places[i] * sizeof(float), sizeof(float));
    return block;
}

/* Reads the elements of a tensor whose sizes are set, and sets its type and data.
 * `tagged`: a word before the elements gives their encoding. */
static void take_elements(Ncnn *n, cai_tensor *tensor, bool tagged) {
    uint32_t tag = 0;
    uint64_t bytes;
    tensor->type = CAI_F32;
    if (!n->failed && (!cai_tensor_count(tensor, &bytes) || tensor->count <= 0))
        ncnn_fail(n, "has no elements, or too many");
    const unsigned char *word = tagged ? take_bin_bytes(n, sizeof tag) : NULL;
    if (word) memcpy(&tag, word, sizeof tag);
    if (n->failed) return;
    if (tag == TAG_INT8) {
        ncnn_fail(n, "is quantized to int8: use the network as it was before ncnn2int8");
    } else if (tag == TAG_F16) {
        tensor->type = CAI_F16;
        tensor->data = take_bin_bytes(n, (bytes / 2 + 3) & ~3ull);
    } else {
        tensor->data = tag && tag != TAG_F32 ? take_places(n, tensor->count) : take_bin_bytes(n, bytes);
    }
}

static cai_tensor sized_tensor(const int64_t *sizes, int rank) {
    cai_tensor tensor = {.type = CAI_F32, .rank = rank};
    memcpy(tensor.dims, sizes, sizeof *sizes * (size_t)rank);
    return tensor;
}

/* Adds a weight with the name NAME.part; if part is empty, NAME. */
static void add_ncnn_weight(Ncnn *n, const char *part, cai_tensor tensor) {
    if (n->failed) return;
    tensor.name = arena_printf(n->table->arena, *part ? "%s.%s" : "%s%s", n->layer.name, part);
    vec_push(n->table->arena, &n->table->tensors, tensor);
}

#define SIZES(...) (int64_t[]){__VA_ARGS__}, (int)(sizeof(int64_t[]){__VA_ARGS__} / sizeof(int64_t))

static void take_ncnn_weight(Ncnn *n, const char *part, bool tagged, const int64_t *sizes, int rank) {
    cai_tensor tensor = sized_tensor(sizes, rank);
    take_elements(n, &tensor, tagged);
    add_ncnn_weight(n, part, tensor);
}

/* ---- kinds of layers ---- */

/* [.., depth, height, width] */
static void kernel_sizes(const Ncnn *n, int axes, int64_t *kernel) {
    static const int ids[] = {1, 11, 21};
    for (int i = 0; i < axes; i++) kernel[axes - 1 - i] = layer_setting(n, ids[i], layer_setting(n, 1, 0));
}

static void take_bias(Ncnn *n, int id, int64_t count) {
    if (layer_setting(n, id, 0)) take_ncnn_weight(n, "bias", false, SIZES(count));
}

static void take_convolution(Ncnn *n) {
    int64_t sizes[5] = {layer_setting(n, 0, 0)}, known[4] = {sizes[0]};
    if (layer_setting(n, 19, 0)) return; /* the run computes the weights */
    kernel_sizes(n, n->kind->axes, sizes + 2);
    memcpy(known + 1, sizes + 2, sizeof *sizes * (size_t)n->kind->axes);
    sizes[1] = size_left(n, layer_setting(n, 6, 0), known, 1 + n->kind->axes);
    take_ncnn_weight(n, "weight", true, sizes, 2 + n->kind->axes);
    take_bias(n, 5, sizes[0]);
}

/* Rearranges [group, out, in, places] to [group, in, out, places]. */
static void swap_channels(Ncnn *n, cai_tensor *tensor, int64_t groups, int64_t out, int64_t in,
                          int64_t places) {
    const cai_tensor turned = {.type = tensor->type, .rank = 4, .dims = {groups, in, out, places}};
    const int64_t strides[] = {out * in * places, places, in * places, 1};
    unsigned char *block = ncnn_block(n, (uint64_t)(tensor->count * cai_type_bytes(tensor->type)));
    if (!block) return;
    gather_elements(&turned, strides, tensor->data, block);
    tensor->data = block;
}

static void take_transposed(Ncnn *n) {
    int64_t sizes[5], known[4] = {layer_setting(n, 0, 0)}, groups = layer_setting(n, 7, 1);
    if (layer_setting(n, 28, 0)) return; /* the run computes the weights */
    kernel_sizes(n, n->kind->axes, sizes + 2);
    memcpy(known + 1, sizes + 2, sizeof *sizes * (size_t)n->kind->axes);
    const int64_t out = size_left(n, known[0], &groups, 1),
                  in = size_left(n, layer_setting(n, 6, 0), known, 1 + n->kind->axes);
    sizes[0] = in * groups, sizes[1] = out;
    cai_tensor tensor = sized_tensor(sizes, 2 + n->kind->axes);
    take_elements(n, &tensor, true);
    if (!n->failed) swap_channels(n, &tensor, groups, out, in, tensor.count / (groups * out * in));
    add_ncnn_weight(n, "weight", tensor);
    take_bias(n, 5, known[0]);
}

static void take_inner_product(Ncnn *n) {
    const int64_t out = layer_setting(n, 0, 0);
    take_ncnn_weight(n, "weight", true, SIZES(out, size_left(n, layer_setting(n, 2, 0), &out, 1)));
    take_bias(n, 1, out);
}

static void take_embedding(Ncnn *n) {
    const int64_t width = layer_setting(n, 0, 0);
    take_ncnn_weight(n, "weight", true, SIZES(layer_setting(n, 1, 0), width));
    take_bias(n, 2, width);
}

/* Vectors with one number for each channel. */
static void take_vectors(Ncnn *n) {
    const int64_t count = layer_setting(n, n->kind->size, 0);
    if (n->kind->affine >= 0 && !layer_setting(n, n->kind->affine, 1)) return;
    for (const char *at = n->kind->parts; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        take_ncnn_weight(n, arena_strndup(n->table->arena, at, length), false, SIZES(count));
        at += length;
    }
}

static void take_scale(Ncnn *n) {
    const int64_t count = layer_setting(n, 0, 0);
    if (count == -233) return; /* the run computes the scale */
    take_ncnn_weight(n, "weight", false, SIZES(count));
    take_bias(n, 1, count);
}

static void take_memory(Ncnn *n) {
    static const int ids[] = {2, 11, 1, 0}; /* channels, depth, height, width */
    int64_t sizes[COUNT_OF(ids)];
    int rank = 0;
    for (int i = 0; i < COUNT_OF(ids); i++)
        if (layer_setting(n, ids[i], 0)) sizes[rank++] = layer_setting(n, ids[i], 0);
    if (rank) take_ncnn_weight(n, "", layer_setting(n, 21, 1) == 0, sizes, rank);
}

static void take_gemm(Ncnn *n) {
    const int64_t rows = layer_setting(n, 7, 0), columns = layer_setting(n, 8, 0),
                  inner = layer_setting(n, 9, 0);
    const bool turn_a = layer_setting(n, 2, 0), turn_b = layer_setting(n, 3, 0);
    if (layer_setting(n, 4, 0))
        take_ncnn_weight(n, "A", true, SIZES(turn_a ? inner : rows, turn_a ? rows : inner));
    if (layer_setting(n, 5, 0))
        take_ncnn_weight(n, "B", true, SIZES(turn_b ? columns : inner, turn_b ? inner : columns));
    if (!layer_setting(n, 6, 0)) return;
    switch (layer_setting(n, 10, 0)) {
    case 0: take_ncnn_weight(n, "C", true, SIZES(1)); break;
    case 1: take_ncnn_weight(n, "C", true, SIZES(rows)); break;
    case 2: take_ncnn_weight(n, "C", true, SIZES(rows, 1)); break;
    case 3: take_ncnn_weight(n, "C", true, SIZES(rows, columns)); break;
    case 4: take_ncnn_weight(n, "C", true, SIZES(columns)); break;
    default: break;
    }
}

static void take_attention(Ncnn *n) {
    const int64_t width = layer_setting(n, 0, 0), query = size_left(n, layer_setting(n, 2, 0), &width, 1);
    const struct Projection {
        const char *weight, *bias;
        int64_t out, in;
    } projections[] = {{"q.weight", "q.bias", width, query},
                       {"k.weight", "k.bias", width, layer_setting(n, 3, width)},
                       {"v.weight", "v.bias", width, layer_setting(n, 4, width)},
                       {"out_proj.weight", "out_proj.bias", query, width}};
    for (int i = 0; i < COUNT_OF(projections); i++) {
        take_ncnn_weight(n, projections[i].weight, true, SIZES(projections[i].out, projections[i].in));
        take_ncnn_weight(n, projections[i].bias, false, SIZES(projections[i].out));
    }
}

/* ---- recurrent layers ---- */

typedef struct Gates { /* how a kind of recurrent layer stores its gates */
    int count, biases; /* how many blocks of rows its weights and its biases have */
    int order[4];      /* for each gate in PyTorch's order, its block */
    /* for each gate in PyTorch's order, its block in bias_ih and in bias_hh; -1: zeros */
    int ahead[4], back[4];
} Gates;

/* Rearranges blocks of equal length; -1 makes a block of zeros. */
static cai_tensor ordered_parts(Ncnn *n, cai_tensor tensor, int parts, const int *order, int count) {
    if (n->failed) return tensor;
    const size_t bytes = (size_t)(tensor.count / parts * cai_type_bytes(tensor.type));
    unsigned char *block = ncnn_block(n, bytes * (size_t)count);
    for (int i = 0; block && i < count; i++)
        if (order[i] < 0) memset(block + (size_t)i * bytes, 0, bytes);
        else memcpy(block + (size_t)i * bytes, tensor.data + (size_t)order[i] * bytes, bytes);
    tensor.dims[0] = tensor.dims[0] / parts * count, tensor.count = tensor.count / parts * count;
    tensor.data = block;
    return tensor;
}

/* One direction of a tensor whose first axis has the rows of all directions. */
static cai_tensor of_direction(Ncnn *n, cai_tensor tensor, int direction, int directions) {
    if (n->failed) return tensor;
    tensor.dims[0] /= directions, tensor.count /= directions;
    tensor.data += direction * tensor.count * cai_type_bytes(tensor.type);
    return tensor;
}

static cai_tensor take_directions(Ncnn *n, int64_t rows, int64_t columns, int rank) {
    cai_tensor tensor = sized_tensor((int64_t[]){rows, columns}, rank);
    take_elements(n, &tensor, true);
    return tensor;
}

static void take_recurrent(Ncnn *n, const Gates *gates) {
    const bool both = layer_setting(n, 2, 0) == 2, reversed = layer_setting(n, 2, 0) == 1;
    const int64_t out = layer_setting(n, 0, 0), hidden = gates->count == 4 ? layer_setting(n, 3, out) : out,
                  directions = both ? 2 : 1, known[] = {directions, hidden, gates->count},
                  in = size_left(n, layer_setting(n, 1, 0), known, COUNT_OF(known));
    if (n->failed || size_left(n, hidden, &(int64_t){1}, 1) > INT32_MAX) return;
    const int64_t rows = directions * gates->count * hidden;
    cai_tensor w = take_directions(n, rows, in, 2),
               b = take_directions(n, directions * gates->biases * hidden, 0, 1),
               r = take_directions(n, rows, out, 2), p = {0};
    if (hidden != out) p = take_directions(n, directions * out, hidden, 2);
    for (int d = 0; d < directions && !n->failed; d++) {
        const char *way = d || reversed ? "_reverse" : "";
        const struct Part {
            const char *name;
            cai_tensor from;
            int parts;
            const int *order;
        } parts[] = {{"weight_ih_l0", w, gates->count, gates->order},
                     {"weight_hh_l0", r, gates->count, gates->order},
                     {"bias_ih_l0", b, gates->biases, gates->ahead},
                     {"bias_hh_l0", b, gates->biases, gates->back}};
        for (int i = 0; i < COUNT_OF(parts); i++)
            add_ncnn_weight(n, arena_printf(n->table->arena, "%s%s", parts[i].name, way),
                            ordered_parts(n, of_direction(n, parts[i].from, d, (int)directions),
                                          parts[i].parts, parts[i].order, gates->count));
        if (hidden != out)
            add_ncnn_weight(n, arena_printf(n->table->arena, "weight_hr_l0%s", way),
                            of_direction(n, p, d, (int)directions));
    }
}

/* ncnn's order is input, forget, output, cell; in PyTorch's the cell comes before the
 * output. */
static void take_lstm(Ncnn *n) {
    static const Gates gates = {4, 4, {0, 1, 3, 2}, {0, 1, 3, 2}, {-1, -1, -1, -1}};
    take_recurrent(n, &gates);
}

static void take_gru(Ncnn *n) {
    static const Gates gates = {3, 4, {0, 1, 2}, {0, 1, 2}, {-1, -1, 3}};
    take_recurrent(n, &gates);
}

static void take_rnn(Ncnn *n) {
    static const Gates gates = {1, 1, {0}, {0}, {-1}};
    take_recurrent(n, &gates);
}

/* ---- the table of kinds ---- */

static const NcnnKind kinds[] = {
    {"Convolution", take_convolution, .int8 = 8, .axes = 2},
    {"ConvolutionDepthWise", take_convolution, .int8 = 8, .axes = 2},
    {"Convolution1D", take_convolution, .int8 = 8, .axes = 1},
    {"ConvolutionDepthWise1D", take_convolution, .int8 = 8, .axes = 1},
    {"Convolution3D", take_convolution, .int8 = 8, .axes = 3},
    {"ConvolutionDepthWise3D", take_convolution, .int8 = 8, .axes = 3},
    {"DeformableConv2D", take_convolution, .axes = 2},
    {"Deconvolution", take_transposed, .int8 = 8, .axes = 2},
    {"DeconvolutionDepthWise", take_transposed, .int8 = 8, .axes = 2},
    {"Deconvolution1D", take_transposed, .int8 = 8, .axes = 1},
    {"DeconvolutionDepthWise1D", take_transposed, .int8 = 8, .axes = 1},
    {"Deconvolution3D", take_transposed, .int8 = 8, .axes = 3},
    {"DeconvolutionDepthWise3D", take_transposed, .int8 = 8, .axes = 3},
    {"InnerProduct", take_inner_product, .int8 = 8},
    {"Embed", take_embedding, .int8 = 18},
    {"BatchNorm", take_vectors, .size = 0, .affine = -1, .parts = "weight running_mean running_var bias"},
    {"LayerNorm", take_vectors, .size = 0, .affine = 2, .parts = "weight bias"},
    {"InstanceNorm", take_vectors, .size = 0, .affine = 2, .parts = "weight bias"},
    {"GroupNorm", take_vectors, .size = 1, .affine = 3, .parts = "weight bias"},
    {"RMSNorm", take_vectors, .size = 0, .affine = 2, .parts = "weight"},
    {"Normalize", take_vectors, .size = 3, .affine = -1, .parts = "weight"},
    {"PReLU", take_vectors, .size = 0, .affine = -1, .parts = "weight"},
    {"Bias", take_vectors, .size = 0, .affine = -1, .parts = "bias"},
    {"Scale", take_scale, .int8 = 0},
    {"MemoryData", take_memory, .int8 = 0},
    {"Gemm", take_gemm, .int8 = 18},
    {"MultiHeadAttention", take_attention, .int8 = 18},
    {"LSTM", take_lstm, .int8 = 8},
    {"GRU", take_gru, .int8 = 8},
    {"RNN", take_rnn, .int8 = 8},
};

static const NcnnKind *kind_of_layer(const char *name) {
    for (int i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

static void take_layer(Ncnn *n) {
    n->kind = kind_of_layer(n->layer.kind);
    if (!n->kind) return;
    if (n->kind->int8 && layer_setting(n, n->kind->int8, 0))
        ncnn_fail(n, "is quantized: use the network as it was before ncnn2int8");
    else n->kind->take(n);
}

/* ---- the .param ---- */

static const char param_begins[] = "7767517";

/* The next word of the line that ends at `end`; "" if there is none. */
static const char *next_word(const Ncnn *n, const char **at, const char *end) {
    while (*at < end && isspace((unsigned char)**at)) ++*at;
    const char *begin = *at;
    while (*at < end && !isspace((unsigned char)**at)) ++*at;
    return arena_strndup(n->table->arena, begin, (size_t)(*at - begin));
}

/* Parses `6=36864`. Sizes do not depend on settings that are decimal numbers, lists or
 * texts. */
static void read_layer_setting(NcnnLayer *layer, const char *word) {
    char *equals;
    const long id = strtol(word, &equals, 10);
    if (*equals != '=' || id < 0 || id >= SETTINGS) return;
    layer->settings[id] = strtoll(equals + 1, NULL, 10);
    layer->given[id] = true;
}

/* Parses `Convolution conv1 1 1 data conv1_out 0=64 1=3`: kind, name, numbers of inputs
 * and outputs, their names, and settings. */
static bool read_layer(Ncnn *n, const char *at, const char *end) {
    n->layer = (NcnnLayer){.kind = next_word(n, &at, end)};
    n->layer.name = next_word(n, &at, end);
    const long in = strtol(next_word(n, &at, end), NULL, 10), out = strtol(next_word(n, &at, end), NULL, 10);
    if (!*n->layer.name || in < 0 || out < 0) return false;
    for (long i = 0; i < in + out && at < end; i++) next_word(n, &at, end);
    while (at < end) read_layer_setting(&n->layer, next_word(n, &at, end));
    return true;
}

static bool is_blank_line(const char *at, const char *end) {
    while (at < end && isspace((unsigned char)*at)) at++;
    return at == end;
}

static bool read_param(Ncnn *n, const char *path, const cai_file *param) {
    const char *at = (const char *)param->data, *file_end = at + param->count;
    for (int line = 1; at < file_end && !n->failed; line++) {
        const char *end = memchr(at, '\n', (size_t)(file_end - at));
        if (!end) end = file_end;
        /* the first two lines are a magic number and the number of layers */
        if (line > 2 && !is_blank_line(at, end)) {
            if (!read_layer(n, at, end))
                return cai_fail(
                    n->error, CAI_BAD_INPUT,
                    "%s:%d: is not a layer: its kind, its name, numbers of inputs and outputs, ..", path,
                    line);
            take_layer(n);
        }
        at = end + (end < file_end);
    }
    return !n->failed;
}

/* ---- both files ---- */

/* The path of the .bin for a .param, and the other way round. */
static const char *with_ending(Arena *arena, const char *path, const char *ending) {
    const char *dot = strrchr(path, '.');
    const size_t stem = dot && !strchr(dot, '/') ? (size_t)(dot - path) : strlen(path);
    return arena_printf(arena, "%.*s%s", (int)stem, path, ending);
}

bool ncnn_has_param(Arena *arena, const char *path) {
    return cai_has_extension(path, ".bin") && access(with_ending(arena, path, ".param"), R_OK) == 0;
}

static bool is_param_file(const cai_file *file) {
    return file->count >= strlen(param_begins) && memcmp(file->data, param_begins, strlen(param_begins)) == 0;
}

static bool read_both(WeightTable *table, const char *param_path, const cai_file *param, const char *bin_path,
                      const cai_file *bin, cai_error *error) {
    Ncnn n = {
        .table = table, .error = error, .bin = bin_path, .at = bin->data, .end = bin->data + bin->count};
    table->what = "an ncnn network";
    if (!is_param_file(param))
        return cai_fail(error, CAI_BAD_INPUT, "%s: is not an ncnn .param file: that begins with %s",
                        param_path, param_begins);
    if (!read_param(&n, param_path, param)) return false;
    return n.at == n.end ||
           cai_fail(
               error, CAI_BAD_INPUT,
               "%s: %lld bytes follow the weights of the last layer: the file belongs to another .param, or a layer of a kind that cai does not know has weights",
               bin_path, (long long)(n.end - n.at));
}

bool ncnn_param_open(WeightTable *table, cai_error *error) {
    const char *path = with_ending(table->arena, table->path, ".bin");
    cai_file bin;
    if (!weight_table_part(table, path, &bin, error))
        return cai_fail_within(error, "the weights of %s are in its .bin", table->path);
    return read_both(table, table->path, &table->file, path, &bin, error);
}

bool ncnn_bin_open(WeightTable *table, cai_error *error) {
    const char *path = with_ending(table->arena, table->path, ".param");
    cai_file param;
    return weight_table_part(table, path, &param, error) &&
           read_both(table, path, &param, table->path, &table->file, error);
}
