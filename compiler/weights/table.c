/* Opens a file of weights: recognises its format; code that all formats share. */
#include "weights/table.h"
#include <stdlib.h>

void *weight_table_block(WeightTable *table, uint64_t bytes, cai_error *error) {
    void *block = cai_allocate(bytes, table->path, error);
    if (block) vec_push(table->arena, &table->blocks, block);
    return block;
}

bool weight_table_part(WeightTable *table, const char *path, cai_file *file, cai_error *error) {
    if (!cai_file_map(path, file, error)) return false;
    vec_push(table->arena, &table->mapped, *file);
    vec_push(table->arena, &table->parts, path);
    return true;
}

static bool is_torch_member(const char *name) {
    const char *base = strrchr(name, '/');
    return base && strcmp(base, "/data.pkl") == 0;
}

/* A file of torch.save has one folder, which contains data.pkl. */
static bool archive_opens(WeightTable *table, cai_error *error) {
    Archive *archive = archive_open(table->arena, table->path, &table->file, error);
    if (!archive) return false;
    table->archive = archive;
    for (int64_t i = 0; i < archive_count(archive); i++)
        if (is_torch_member(archive_name(archive, i))) return torch_archive_open(table, error);
    return npz_open(table, error);
}

static const struct Beginning {
    const char *bytes;
    int count;
    WeightReader *open;
} beginnings[] = {
    {"PK\3\4", 4, archive_opens},
    {"PK\5\6", 4, archive_opens}, /* an empty archive */
    /* torch.save's magic number as a pickle, which older files begin with */
    {"\x80\2\x8a\nl\xfc\x9c"
     "F\xf9 j\xa8P\x19.",
     15, torch_old_open},
    {"7767517", 7, ncnn_param_open},
};

static WeightReader *reader_of(const WeightTable *table) {
    const cai_file *file = &table->file;
    for (int i = 0; i < COUNT_OF(beginnings); i++) {
        const struct Beginning *b = &beginnings[i];
        if (file->count >= (size_t)b->count && memcmp(file->data, b->bytes, (size_t)b->count) == 0)
            return b->open;
    }
    bool is_object = file->count > 0 && file->data[0] == '{';
    if (is_object && memmem(file->data, file->count, "\"weight_map\"", 12)) return shards_open;
    return ncnn_has_param(table->arena, table->path) ? ncnn_bin_open : tensor_file_open;
}

bool weight_table_open(const char *path, WeightTable *table, cai_error *error) {
    *table = (WeightTable){.arena = arena_new(), .path = path};
    if (cai_file_map(path, &table->file, error) && reader_of(table)(table, error)) return true;
    weight_table_close(table);
    return false;
}

bool weight_table_knows(const WeightTable *table, int64_t tensor, cai_error *error) {
    const char *refused = table->places.count ? table->places.items[tensor].refused : NULL;
    return !refused || cai_fail(error, CAI_BAD_INPUT, "%s: `%.200s` %s", table->path,
                                table->tensors.items[tensor].name, refused);
}

bool weight_table_read(WeightTable *table, int64_t tensor, cai_error *error) {
    if (table->tensors.items[tensor].data) return true;
    return weight_table_knows(table, tensor, error) && table->read(table, tensor, error);
}

void weight_table_close(WeightTable *table) {
    if (!table->arena) return;
    if (table->close) table->close(table);
    else archive_close(table->archive);
    for (int i = 0; i < table->files.count; i++) cai_tensors_close(&table->files.items[i]);
    for (int i = 0; i < table->mapped.count; i++) cai_file_close(&table->mapped.items[i]);
    for (int i = 0; i < table->blocks.count; i++) free(table->blocks.items[i]);
    cai_file_close(&table->file);
    arena_free(table->arena);
    *table = (WeightTable){0};
}

/* ---- elements in another order ---- */

typedef struct Gather {
    const cai_tensor *tensor;
    const int64_t *strides;
    int64_t bytes; /* of one element */
} Gather;

/* Returns where the next elements go. */
static unsigned char *gather_axis(const Gather *g, int axis, const unsigned char *from, unsigned char *out) {
    if (axis == g->tensor->rank) return memcpy(out, from, (size_t)g->bytes), out + g->bytes;
    for (int64_t i = 0; i < g->tensor->dims[axis]; i++)
        out = gather_axis(g, axis + 1, from + i * g->strides[axis] * g->bytes, out);
    return out;
}

void gather_elements(const cai_tensor *tensor, const int64_t *strides, const unsigned char *from,
                     unsigned char *out) {
    const Gather gather = {tensor, strides, cai_type_bytes(tensor->type)};
    gather_axis(&gather, 0, from, out);
}

/* ---- .safetensors and .npy ---- */

static void take_all(WeightTable *table, const cai_tensor_file *file) {
    for (int64_t i = 0; i < file->count; i++) vec_push(table->arena, &table->tensors, file->tensors[i]);
}

bool tensor_file_open(WeightTable *table, cai_error *error) {
    cai_tensor_file file;
    if (!cai_tensors_parse(table->path, table->file.data, table->file.count, &file, error)) return false;
    vec_push(table->arena, &table->files, file);
    const cai_format *format = &cai_formats[file.format];
    if (format->holds != CAI_HOLDS_TENSORS)
        return cai_fail(error, CAI_BAD_INPUT, "%s is a %s, an array without a name: weights must be %s",
                        table->path, format->endings[0], cai_format_endings(CAI_HOLDS_TENSORS).text);
    table->what = "a .safetensors";
    take_all(table, &file);
    return true;
}
