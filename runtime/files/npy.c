/* NumPy's .npy, versions 1 to 3: a magic, a version, a length, a Python dictionary such
 * as {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } and one array. */
#include "files/files.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct NpyLayout { bool big_endian, fortran; } NpyLayout;

typedef struct NpyScanner {
    const char *path, *at, *end;
    cai_error *error;
} NpyScanner;

static bool fail_npy(const NpyScanner *s, const char *what) {
    return cai_fail(s->error, CAI_BAD_INPUT, "%s: broken .npy header: %s", s->path, what);
}

static bool take_npy_text(NpyScanner *s, const char *text) {
    while (s->at < s->end && isspace((unsigned char)*s->at)) s->at++;
    size_t length = strlen(text);
    if ((size_t)(s->end - s->at) < length || memcmp(s->at, text, length) != 0) return false;
    s->at += length;
    return true;
}

/* A text in single or double quotes, without escapes. */
static bool scan_npy_string(NpyScanner *s, char *out, size_t size) {
    char quote = take_npy_text(s, "'") ? '\'' : take_npy_text(s, "\"") ? '"' : 0;
    if (!quote) return fail_npy(s, "a text in quotes is missing");
    size_t length = 0;
    while (s->at < s->end && *s->at != quote && length + 1 < size) out[length++] = *s->at++;
    out[length] = 0;
    char close[] = {quote, 0};
    return take_npy_text(s, close) || fail_npy(s, "a text in quotes has no end, or is too long");
}

/* '<f4': byte order, kind, bytes. */
static bool scan_npy_type(NpyScanner *s, int32_t *type, NpyLayout *layout) {
    static const struct {
        const char *code;
        int type;
    } codes[] = {{"f2", CAI_F16}, {"f4", CAI_F32}, {"f8", CAI_F64}, {"i1", CAI_I8},
                 {"i2", CAI_I16}, {"i4", CAI_I32}, {"i8", CAI_I64}, {"u1", CAI_U8},
                 {"u2", CAI_U16}, {"u4", CAI_U32}, {"u8", CAI_U64}, {"b1", CAI_BOOL}};
    char text[32];
    if (take_npy_text(s, "[")) return fail_npy(s, "arrays of records are not read: save one plain array");
    if (!scan_npy_string(s, text, sizeof text)) return false;
    layout->big_endian = text[0] == '>';
    const char *code = text + (text[0] != 0 && strchr("<>|=", text[0]) != NULL);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (strcmp(code, codes[i].code) != 0) continue;
        *type = codes[i].type;
        return true;
    }
    return cai_fail(
        s->error, CAI_BAD_INPUT,
        "%s: elements of type '%s' are not read: convert them, for instance by x.astype('float32')", s->path,
        text);
}

static bool scan_npy_size(NpyScanner *s, int64_t *value) {
    take_npy_text(s, "");
    if (s->at == s->end || !isdigit((unsigned char)*s->at)) return fail_npy(s, "a size is missing");
    for (*value = 0; s->at < s->end && isdigit((unsigned char)*s->at); s->at++) {
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *s->at - '0', value))
            return fail_npy(s, "a size is beyond 63 bits");
    }
    take_npy_text(s, "L"); /* Python 2's long */
    return true;
}

/* (), (3,) or (2, 3) */
static bool scan_shape(NpyScanner *s, cai_tensor *tensor) {
    if (!take_npy_text(s, "(")) return fail_npy(s, "shape is not a tuple");
    while (!take_npy_text(s, ")")) {
        if (tensor->rank == CAI_MAX_RANK) return fail_npy(s, "more than 16 axes");
        if (!scan_npy_size(s, &tensor->dims[tensor->rank++])) return false;
        if (take_npy_text(s, ",")) continue;
        return take_npy_text(s, ")") || fail_npy(s, "shape has no end");
    }
    return true;
}

static bool scan_npy_header(NpyScanner *s, cai_tensor *tensor, NpyLayout *layout) {
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    int seen = 0;
    if (!take_npy_text(s, "{")) return fail_npy(s, "it is not a dictionary");
    while (!take_npy_text(s, "}")) {
        char key[32];
        if (!scan_npy_string(s, key, sizeof key)) return false;
        if (!take_npy_text(s, ":")) return fail_npy(s, "`:` is missing");
        int field = strcmp(key, "descr") == 0 ? DESCR : strcmp(key, "shape") == 0 ? SHAPE : 0;
        if (strcmp(key, "fortran_order") == 0) field = ORDER;
        if (!field || (seen & field)) return fail_npy(s, "a key is unknown, or is given twice");
        seen |= field;
        if (field == DESCR && !scan_npy_type(s, &tensor->type, layout)) return false;
        if (field == SHAPE && !scan_shape(s, tensor)) return false;
        if (field == ORDER && !(layout->fortran = take_npy_text(s, "True")) && !take_npy_text(s, "False"))
            return fail_npy(s, "fortran_order is neither True nor False");
        if (!take_npy_text(s, ",") && !(take_npy_text(s, "") && s->at < s->end && *s->at == '}'))
            return fail_npy(s, "`,` or `}` is missing");
    }
    take_npy_text(s, "");
    if (s->at != s->end) return fail_npy(s, "something follows the dictionary");
    return seen == (DESCR | ORDER | SHAPE) || fail_npy(s, "descr, fortran_order or shape is missing");
}

/* Copies to row major, little endian: walks the elements in the order of the result, with
 * the strides of the file. */
static bool turn_row_major(const char *path, cai_tensor_file *file, NpyLayout layout, cai_error *error) {
    cai_tensor *tensor = &file->tensors[0];
    int64_t size = cai_type_bytes(tensor->type), strides[CAI_MAX_RANK] = {0}, index[CAI_MAX_RANK] = {0},
            stride = size, from = 0;
    unsigned char *out = file->turned = cai_allocate((uint64_t)(tensor->count * size), path, error);
    if (!out) return false;
    for (int k = 0; k < tensor->rank; k++) {
        int axis = layout.fortran ? k : tensor->rank - 1 - k;
        strides[axis] = stride;
        stride *= tensor->dims[axis];
    }
    for (int64_t i = 0; i < tensor->count; i++, out += size) {
        for (int64_t b = 0; b < size; b++)
            out[b] = tensor->data[from + (layout.big_endian ? size - 1 - b : b)];
        for (int axis = tensor->rank - 1; axis >= 0; axis--) {
            from += strides[axis];
            if (++index[axis] < tensor->dims[axis]) break;
            from -= strides[axis] * tensor->dims[axis];
            index[axis] = 0;
        }
    }
    tensor->data = file->turned;
    return true;
}

/* Where the text of the header begins, and its length; 0 where the file is truncated. */
static size_t header_start(const unsigned char *bytes, size_t count, size_t *length) {
    if (count < 10) return 0;
    size_t start = bytes[6] == 1 ? 10 : 12;
    if (count < start) return 0;
    *length = cai_little_endian(bytes + 8, (int)start - 8);
    return *length <= count - start ? start : 0;
}

bool cai_npy_parse(const char *path, const unsigned char *bytes, size_t count, cai_tensor_file *file,
                   cai_error *error) {
    size_t length = 0, start = header_start(bytes, count, &length);
    if (count > 6 && (bytes[6] < 1 || bytes[6] > 3))
        return cai_fail(error, CAI_BAD_INPUT, "%s: version %d of .npy is not known", path, bytes[6]);
    if (start == 0)
        return cai_fail(error, CAI_BAD_INPUT, "%s: the file is cut off within its .npy header", path);
    cai_tensor *tensor = file->tensors = cai_allocate(sizeof *tensor, path, error);
    if (!tensor) return false;
    *tensor = (cai_tensor){.name = "", .data = bytes + start + length};
    file->count = 1;
    NpyLayout layout = {0};
    NpyScanner s = {.path = path,
                    .at = (const char *)bytes + start,
                    .end = (const char *)bytes + start + length,
                    .error = error};
    if (!scan_npy_header(&s, tensor, &layout)) return false;
    uint64_t wanted, there = count - start - length;
    char shape[400];
    if (!cai_tensor_count(tensor, &wanted) || wanted != there) {
        return cai_fail(error, CAI_BAD_INPUT,
                        "%s: %s does not fit the %llu bytes of data in the file: it is cut off or broken",
                        path, cai_tensor_shape_text(tensor, shape, sizeof shape), (unsigned long long)there);
    }
    bool turned =
        (layout.big_endian && cai_type_bytes(tensor->type) > 1) || (layout.fortran && tensor->rank > 1);
    return !turned || tensor->count == 0 || turn_row_major(path, file, layout, error);
}

/* ---- writing: version 1, the header padded so that the data begins at a multiple of 64 ---- */

bool cai_npy_write(cai_output *output, const cai_tensor *tensor, int count, cai_error *error) {
    (void)count; /* one */
    static const char *const codes[CAI_TYPE_COUNT] = {
        [CAI_F32] = "<f4", [CAI_F16] = "<f2", [CAI_F64] = "<f8", [CAI_I8] = "|i1",
        [CAI_I16] = "<i2", [CAI_I32] = "<i4", [CAI_I64] = "<i8", [CAI_U8] = "|u1",
        [CAI_U16] = "<u2", [CAI_U32] = "<u4", [CAI_U64] = "<u8", [CAI_BOOL] = "|b1"};
    if (!codes[tensor->type]) {
        cai_output_discard(output);
        return cai_fail(error, CAI_BAD_USAGE, ".npy cannot hold %s: name a %s", cai_type_name(tensor->type),
                        cai_format_endings(CAI_HOLDS_TENSORS).text);
    }
    char header[640] = "\x93NUMPY\1";
    int used = 10 + snprintf(header + 10, sizeof header - 10,
                             "{'descr': '%s', 'fortran_order': False, 'shape': (", codes[tensor->type]);
    for (int i = 0; i < tensor->rank; i++)
        used += snprintf(header + used, sizeof header - (size_t)used, "%lld,", (long long)tensor->dims[i]);
    used += snprintf(header + used, sizeof header - (size_t)used, "), }");
    while (used % 64 != 63) header[used++] = ' ';
    header[used++] = '\n';
    header[8] = (char)((used - 10) & 255);
    header[9] = (char)((used - 10) >> 8);
    return cai_output_write(output, header, (size_t)used, error) &&
           cai_output_write(output, tensor->data, (size_t)(tensor->count * cai_type_bytes(tensor->type)),
                            error);
}
