/* IDX, the format of MNIST and similar sets: two zeros, a type, the number of axes, sizes
 * of four bytes, and elements, all big-endian; often compressed with gzip. Pictures and
 * their labels are in two files whose names differ in one word:
 * train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz. */
#include "data/sources.h"
#include <string.h>

/* ---- one file ---- */

static const struct {
    unsigned char code;
    int type;
} types[] = {{8, CAI_U8}, {9, CAI_I8}, {11, CAI_I16}, {12, CAI_I32}, {13, CAI_F32}, {14, CAI_F64}};

static int type_of(unsigned char code) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == code) return types[i].type;
    return -1;
}

#define MAX_HEADER (4 + 4 * CAI_MAX_RANK)

/* Parses type, sizes and count. Returns the length of the header, 0 if it is broken. */
static size_t read_header(const unsigned char *bytes, size_t count, cai_tensor *tensor, uint64_t *size) {
    if (count < 8 || bytes[0] || bytes[1] || type_of(bytes[2]) < 0) return 0;
    *tensor = (cai_tensor){.name = "", .type = type_of(bytes[2]), .rank = bytes[3]};
    size_t length = 4 + 4 * (size_t)tensor->rank;
    if (tensor->rank < 1 || tensor->rank > CAI_MAX_RANK || count < length) return 0;
    for (int i = 0; i < tensor->rank; i++) {
        const unsigned char *at = bytes + 4 + 4 * i;
        tensor->dims[i] = (int64_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
    }
    return cai_tensor_count(tensor, size) ? length : 0;
}

static void swap_bytes(unsigned char *data, int64_t count, int size) {
    for (; size > 1 && count > 0; count--, data += size)
        for (int i = 0; i < size / 2; i++) {
            unsigned char byte = data[i];
            data[i] = data[size - 1 - i];
            data[size - 1 - i] = byte;
        }
}

static bool fail_header(const char *path, cai_error *error) {
    return cai_fail(error, CAI_BAD_INPUT, "%s: is not an IDX file: its header is broken", path);
}

static bool parse_packed(cai_arena *arena, const char *path, const unsigned char *bytes, size_t count,
                         cai_tensor *tensor, cai_error *error) {
    unsigned char header[MAX_HEADER];
    uint64_t size;
    size_t known = cai_inflate_begin(CAI_GZIP, bytes, count, header, sizeof header);
    size_t length = read_header(header, known, tensor, &size);
    if (length == 0) return fail_header(path, error);
    if (!cai_inflates_to(count, size))
        return cai_fail(error, CAI_BAD_INPUT, "%s: broken: the file is cut off", path);
    unsigned char *whole = cai_arena_take(arena, length + size, error);
    if (!whole || !cai_inflate(path, CAI_GZIP, bytes, count, whole, length + size, error)) return false;
    tensor->data = whole + length;
    return true;
}

static bool parse_plain(cai_arena *arena, const char *path, const unsigned char *bytes, size_t count,
                        cai_tensor *tensor, cai_error *error) {
    uint64_t size;
    size_t length = read_header(bytes, count, tensor, &size);
    if (length == 0) return fail_header(path, error);
    if (count - length != size)
        return cai_fail(error, CAI_BAD_INPUT, "%s: has %zu bytes of elements, but its header says %llu", path,
                        count - length, (unsigned long long)size);
    unsigned char *data = cai_arena_take(arena, size, error);
    if (!data) return false;
    tensor->data = memcpy(data, bytes + length, size);
    return true;
}

bool cai_idx_parse(cai_arena *arena, const char *path, const unsigned char *bytes, size_t count,
                   cai_tensor *tensor, cai_error *error) {
    bool packed = count >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
    bool parsed = (packed ? parse_packed : parse_plain)(arena, path, bytes, count, tensor, error);
    if (parsed) swap_bytes((unsigned char *)tensor->data, tensor->count, cai_type_bytes(tensor->type));
    return parsed;
}

/* ---- a folder of them ---- */

/* E.g. train-images-idx3-ubyte, train-images.idx3-ubyte.gz. */
bool cai_is_idx_name(const char *path) {
    const char *slash = strrchr(path, '/'), *axes = strstr(slash ? slash : path, "idx");
    return axes && axes[3] >= '1' && axes[3] <= '9' && axes[4] == '-';
}

static bool is_pictures(const char *name) { return cai_is_idx_name(name) && strstr(name, "images"); }

/* The name of the labels for a file of pictures: "labels" in place of "images", and 1
 * axis. */
static char *labels_of(cai_arena *arena, const char *name, cai_error *error) {
    char *labels = cai_arena_text(arena, name, strlen(name), error);
    if (!labels) return NULL;
    memcpy(strstr(labels, "images"), "labels", 6);
    strstr(labels, "idx")[3] = '1';
    return labels;
}

static int part_of_idx_name(const char *name, int part) {
    if (strstr(name, "t10k") || strstr(name, "test")) return CAI_PART_HELD_OUT;
    return strstr(name, "train") ? CAI_PART_TRAINING : part;
}

bool cai_idx_read(cai_dataset *dataset, const char *path, cai_column *column, cai_error *error) {
    cai_file file;
    cai_tensor tensor;
    if (!cai_file_read(path, &file, error)) return false;
    bool read = cai_idx_parse(&dataset->arena, path, file.data, file.count, &tensor, error);
    cai_file_close(&file);
    return read && cai_column_of_stored(column, path, &tensor, error);
}

static bool open_pair(cai_dataset *dataset, const char *folder, const char *name, int part,
                      cai_error *error) {
    cai_arena *arena = &dataset->arena;
    const char *labels = labels_of(arena, name, error);
    const char *path = labels ? cai_arena_path(arena, folder, name, error) : NULL;
    const char *label_path = path ? cai_arena_path(arena, folder, labels, error) : NULL;
    cai_portion *portion =
        label_path ? cai_portion_new(dataset, path, part_of_idx_name(name, part), error) : NULL;
    if (!portion) return false;
    int picture = cai_field_of(dataset->set, CAI_VALUE_PICTURE),
        label = cai_field_of(dataset->set, CAI_VALUE_CLASS);
    if (picture >= 0 && !cai_idx_read(dataset, path, &portion->columns[picture], error)) return false;
    if (label >= 0 && !cai_idx_read(dataset, label_path, &portion->columns[label], error)) return false;
    return cai_portion_pair(dataset, portion, error);
}

bool cai_idx_is_in(const cai_names *names) {
    for (int64_t i = 0; i < names->count; i++)
        if (is_pictures(names->items[i])) return true;
    return false;
}

bool cai_idx_open(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                  cai_error *error) {
    for (int64_t i = 0; i < names->count; i++)
        if (is_pictures(names->items[i]) && !open_pair(dataset, folder, names->items[i], part, error))
            return false;
    return true;
}
