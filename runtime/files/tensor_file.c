/* Files of tensors: recognising the format, the table of names, and what the formats
 * share. */
#include "files/files.h"
#include <stdlib.h>
#include <string.h>

static int compare_tensor_names(const void *a, const void *b) {
    return strcmp((*(const cai_tensor *const *)a)->name, (*(const cai_tensor *const *)b)->name);
}

/* The table for cai_tensors_find. Names must be unique. */
static bool sort_names(const char *path, cai_tensor_file *file, cai_error *error) {
    file->by_name = cai_allocate((uint64_t)file->count * sizeof *file->by_name, path, error);
    if (!file->by_name) return false;
    for (int64_t i = 0; i < file->count; i++) file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, (size_t)file->count, sizeof *file->by_name, compare_tensor_names);
    for (int64_t i = 1; i < file->count; i++) {
        if (compare_tensor_names(&file->by_name[i - 1], &file->by_name[i]) != 0) continue;
        return cai_fail(error, CAI_BAD_INPUT, "%s: has two tensors named `%.200s`", path,
                        file->by_name[i]->name);
    }
    return true;
}

const cai_tensor *cai_tensors_find(const cai_tensor_file *file, const char *name) {
    int64_t low = 0, high = file->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->by_name[middle]->name);
        if (order == 0) return file->by_name[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

/* ---- formats that a person may take for one of ours ---- */

#define PACKED "this is compressed: unpack it first"

static const struct Other {
    const char *bytes;
    int count, at;    /* how many bytes, and where they are */
    const char *what; /* what it is, and how to convert it */
} others[] = {
#define BYTES(text) text, (int)sizeof text - 1
    {BYTES("PK\3\4"), 0,
     "this is a zip file, as torch.save and np.savez write it: save it with safetensors.torch.save_file or np.save"},
    {BYTES("\x89HDF\r\n\x1a\n"), 0,
     "this is an HDF5 file, as Keras writes it: load it in Python, and save it with safetensors.numpy.save_file"},
    {BYTES("version https://git-lfs"), 0,
     "this is a Git LFS pointer, a note in the place of the file: `git lfs pull` fetches the file"},
    {BYTES("\x08\1\x12"), 0,
     "this is a TensorFlow SavedModel: load it in Python, and save it with safetensors.numpy.save_file"},
    {BYTES("TFL3"), 4, "this is a TensorFlow Lite model: save the weights of what it was made from"},
    {BYTES("7767517"), 0,
     "this is an ncnn network, whose weights are in its .bin: cai reads both by --weights"},
    {BYTES("\x47\x6b\x30\1"), 0,
     "this is ncnn's .bin, weights without names: cai reads them if the .param is beside it"},
    {BYTES("GGUF"), 0, "this is a GGUF file: save what it was made from as .safetensors"},
    {BYTES("\x1f\x8b"), 0, PACKED},
    {BYTES("BZh"), 0, PACKED},
    {BYTES("\xfd"
           "7zXZ"),
     0, PACKED},
    {BYTES("\x28\xb5\x2f\xfd"), 0, PACKED},
    {BYTES("ustar"), 257, "this is a tar archive: unpack it first"},
    {BYTES("<!DOCTYPE"), 0, "this is a web page: the download gave a page in the place of the file"},
    {BYTES("<html"), 0, "this is a web page: the download gave a page in the place of the file"},
#undef BYTES
};

static bool is_pickle(const char *bytes, size_t count) {
    return count >= 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5;
}

/* A protobuf has no mark: its first field is the version of ONNX, and then the producer,
 * the graph or the operators' version begins. */
static bool is_onnx(const char *path, const char *bytes, size_t count) {
    bool begins = count >= 3 && bytes[0] == 8 && bytes[1] >= 3 && bytes[1] < 32 &&
                  memchr("\x12\x1a\x3a\x42", bytes[2], 4);
    return begins || cai_has_extension(path, ".onnx");
}

/* The index of a model in several files: a JSON object with the file of each weight. */
static bool is_index(const char *bytes, size_t count) {
    return count > 0 && bytes[0] == '{' && memmem(bytes, count, "\"weight_map\"", 12) != NULL;
}

static const char *other_format(const char *path, const char *bytes, size_t count) {
    if (is_pickle(bytes, count))
        return "this is a Python pickle, as old versions of torch.save write it: save it with safetensors.torch.save_file";
    if (is_onnx(path, bytes, count))
        return "this is an ONNX model: save its initializers with safetensors.numpy.save_file";
    if (is_index(bytes, count))
        return "this is the index of several .safetensors files: load each with safetensors.torch.load_file, and save all of them as one";
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const struct Other *other = &others[i];
        bool long_enough = count >= (size_t)(other->at + other->count);
        if (long_enough && memcmp(bytes + other->at, other->bytes, (size_t)other->count) == 0)
            return other->what;
    }
    if (cai_format_of_bytes(bytes, count, CAI_HOLDS_PICTURE) != CAI_NO_FORMAT) return "this is a picture";
    return "it does not begin like any known format";
}

/* ---- ours ---- */

/* The codecs of formats that hold tensors. */
static const struct TensorCodec {
    cai_tensor_parser *parse;
    cai_tensor_writer *write;
} codecs[CAI_FORMAT_COUNT] = {
#define TENSOR(name, ...) [CAI_FORMAT_##name] = {cai_##name##_parse, cai_##name##_write},
#define TENSORS TENSOR
#include "files/formats.def"
};

static bool fail_format(const char *path, const void *bytes, size_t count, cai_error *error) {
    if (count == 0) return cai_fail(error, CAI_BAD_INPUT, "%s: is empty", path);
    return cai_fail(error, CAI_BAD_INPUT, "%s: is not a %s: %s", path,
                    cai_format_endings(CAI_HOLDS_NUMBERS).text, other_format(path, bytes, count));
}

bool cai_tensors_parse(const char *path, const void *bytes, size_t count, cai_tensor_file *file,
                       cai_error *error) {
    *file = (cai_tensor_file){.format = cai_format_of_bytes(bytes, count, CAI_HOLDS_NUMBERS)};
    bool parsed = file->format == CAI_NO_FORMAT ? fail_format(path, bytes, count, error)
                                                : codecs[file->format].parse(path, bytes, count, file, error);
    if (parsed && sort_names(path, file, error)) return true;
    cai_tensors_close(file);
    return false;
}

bool cai_tensors_open(const char *path, cai_tensor_file *file, cai_error *error) {
    cai_file whole;
    if (!cai_file_map(path, &whole, error)) return false;
    if (!cai_tensors_parse(strcmp(path, "-") == 0 ? "standard input" : path, whole.data, whole.count, file,
                           error)) {
        cai_file_close(&whole);
        return false;
    }
    file->file = whole;
    return true;
}

const char *cai_tensors_metadata(const cai_tensor_file *file, const char *key) {
    for (int64_t i = 0; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0) return file->metadata[i].text;
    return NULL;
}

void cai_tensors_close(cai_tensor_file *file) {
    free(file->tensors);
    free(file->metadata);
    free(file->by_name);
    free(file->names);
    free(file->turned);
    cai_file_close(&file->file);
    *file = (cai_tensor_file){0};
}

/* Multiplies up the sizes: false where elements or bytes do not fit 63 bits. */
bool cai_tensor_count(cai_tensor *tensor, uint64_t *bytes) {
    int64_t count = 1, total;
    for (int i = 0; i < tensor->rank; i++) {
        if (__builtin_mul_overflow(count, tensor->dims[i], &count)) return false;
    }
    tensor->count = count;
    if (__builtin_mul_overflow(count, (int64_t)cai_type_bytes(tensor->type), &total)) return false;
    *bytes = (uint64_t)total;
    return true;
}

static int format_for(const char *path, int count) {
    int format = cai_format_of_name(path, CAI_HOLDS_NUMBERS);
    if (format != CAI_NO_FORMAT || !cai_is_stream(path)) return format;
    return cai_format_first(count == 1 ? CAI_HOLDS_NUMBERS : CAI_HOLDS_TENSORS);
}

bool cai_tensors_write(const char *path, const cai_tensor *tensors, int count, cai_error *error) {
    int format = format_for(path, count);
    if (format == CAI_NO_FORMAT) {
        return cai_fail(error, CAI_BAD_USAGE, "%s: tensors are written as %s: the name must end so", path,
                        cai_format_endings(CAI_HOLDS_NUMBERS).text);
    }
    if (cai_formats[format].holds == CAI_HOLDS_TENSOR && count != 1)
        return cai_fail(error, CAI_BAD_USAGE, "%s: %s holds one tensor, and there are %d: name a %s", path,
                        cai_formats[format].endings[0], count, cai_format_endings(CAI_HOLDS_TENSORS).text);
    cai_output output;
    return cai_output_open(path, &output, error) && codecs[format].write(&output, tensors, count, error) &&
           cai_output_finish(&output, error);
}
