/* Safetensors: eight bytes of length, a JSON header {"name": {"dtype": "F32", "shape":
 * [2, 3], "data_offsets": [0, 24]}, ...}, and the data.
 *
 * The header is read by a scanner here, not by a JSON library: the scanner knows its
 * position, so that every error names the byte; it copies only names; and nothing in a
 * hostile header (depth, counts, numbers, escapes) costs more than its length. */
#include "files/files.h"
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER (UINT64_C(100) << 20) /* as in the reference implementation */

static const struct FileType {
    const char *name;
    int type;
} file_types[] = {{"F32", CAI_F32}, {"F16", CAI_F16}, {"BF16", CAI_BF16}, {"F64", CAI_F64}, {"I8", CAI_I8},
                  {"I16", CAI_I16}, {"I32", CAI_I32}, {"I64", CAI_I64},   {"U8", CAI_U8},   {"U16", CAI_U16},
                  {"U32", CAI_U32}, {"U64", CAI_U64}, {"BOOL", CAI_BOOL}};
#define FILE_TYPES ((int)(sizeof file_types / sizeof *file_types))

typedef struct HeaderScanner {
    const char *path;
    const unsigned char *begin, *at, *end; /* the header */
    char *names;                           /* decoded strings: never longer than the header */
    cai_error *error;
} HeaderScanner;

/* ---- the scanner ---- */

static bool fail_safetensors(const HeaderScanner *s, const char *what) {
    return cai_fail(s->error, CAI_BAD_INPUT, "%s: broken safetensors header: %s at byte %lld", s->path, what,
                    (long long)(8 + s->at - s->begin));
}

static void skip_space(HeaderScanner *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t')) s->at++;
}

/* Takes the character if it is next. */
static bool take_character(HeaderScanner *s, char c) {
    skip_space(s);
    if (s->at == s->end || *s->at != (unsigned char)c) return false;
    s->at++;
    return true;
}

static bool expect_character(HeaderScanner *s, char c) {
    const char wanted[] = {'`', c, '`', ' ', 'e', 'x', 'p', 'e', 'c', 't', 'e', 'd', 0};
    return take_character(s, c) || fail_safetensors(s, wanted);
}

/* After an element: true at a comma (another follows) or at `close` (*last is set). */
static bool next_or_close(HeaderScanner *s, char close, bool *last) {
    *last = take_character(s, close);
    return *last || take_character(s, ',') ||
           fail_safetensors(s, close == ']' ? "`,` or `]` expected" : "`,` or `}` expected");
}

static bool scan_hex4(HeaderScanner *s, unsigned *value) {
    *value = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        if (s->at == s->end) return false;
        int c = *s->at, digit = c >= '0' && c <= '9'                 ? c - '0'
                                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                                     : -1;
        if (digit < 0) return false;
        *value = *value * 16 + (unsigned)digit;
    }
    return true;
}

static void put_utf8(HeaderScanner *s, unsigned code) {
    if (code < 0x80) {
        *s->names++ = (char)code;
    } else if (code < 0x800) {
        *s->names++ = (char)(0xc0 | code >> 6);
        *s->names++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *s->names++ = (char)(0xe0 | code >> 12);
        *s->names++ = (char)(0x80 | (code >> 6 & 63));
        *s->names++ = (char)(0x80 | (code & 63));
    } else {
        *s->names++ = (char)(0xf0 | code >> 18);
        *s->names++ = (char)(0x80 | (code >> 12 & 63));
        *s->names++ = (char)(0x80 | (code >> 6 & 63));
        *s->names++ = (char)(0x80 | (code & 63));
    }
}

/* After the backslash. A \u escape takes six bytes or twelve and gives four at most. */
static bool scan_escape(HeaderScanner *s) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s->at == s->end) return fail_safetensors(s, "unfinished text");
    char c = (char)*s->at++;
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        *s->names++ = to[found - from];
        return true;
    }
    unsigned code, low;
    if (c != 'u' || !scan_hex4(s, &code)) return fail_safetensors(s, "unknown escape");
    if (code >= 0xd800 && code < 0xdc00) {
        if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
            return fail_safetensors(s, "half a surrogate pair");
        s->at += 2;
        if (!scan_hex4(s, &low) || low < 0xdc00 || low > 0xdfff)
            return fail_safetensors(s, "half a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code == 0 || (code >= 0xdc00 && code < 0xe000))
        return fail_safetensors(s, "a character that no name can have");
    put_utf8(s, code);
    return true;
}

static bool scan_string(HeaderScanner *s, const char **text) {
    if (!expect_character(s, '"')) return false;
    *text = s->names;
    while (s->at < s->end && *s->at != '"') {
        if (*s->at < 0x20) return fail_safetensors(s, "a control character in a text");
        if (*s->at++ != '\\') *s->names++ = (char)s->at[-1];
        else if (!scan_escape(s)) return false;
    }
    if (s->at == s->end) return fail_safetensors(s, "unfinished text");
    s->at++;
    *s->names++ = 0;
    return true;
}

static bool scan_size(HeaderScanner *s, int64_t *value) {
    skip_space(s);
    if (s->at == s->end || *s->at < '0' || *s->at > '9')
        return fail_safetensors(s, "a whole number expected");
    *value = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++) {
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *s->at - '0', value))
            return fail_safetensors(s, "a number beyond 63 bits");
    }
    return true;
}

/* [1, 2, 3] */
static bool scan_sizes(HeaderScanner *s, int64_t *sizes, int max, int32_t *count) {
    *count = 0;
    if (!expect_character(s, '[')) return false;
    for (bool last = take_character(s, ']'); !last;) {
        if (*count == max) return fail_safetensors(s, "too many numbers");
        if (!scan_size(s, &sizes[(*count)++]) || !next_or_close(s, ']', &last)) return false;
    }
    return true;
}

/* ---- the header ---- */

/* Room for one more: lists double. */
static void *grown_list(HeaderScanner *s, void *list, int64_t count, int64_t *capacity, size_t each) {
    if (count < *capacity) return list;
    int64_t more = *capacity ? 2 * *capacity : 64;
    void *larger = cai_reallocate(list, (uint64_t)more * each, s->path, s->error);
    if (larger) *capacity = more;
    return larger;
}

/* {"text": "text", ...}: what __metadata__ holds. */
static bool scan_metadata(HeaderScanner *s, cai_tensor_file *file) {
    int64_t capacity = file->metadata_count;
    if (!expect_character(s, '{')) return false;
    for (bool last = take_character(s, '}'); !last;) {
        cai_metadata one;
        if (!scan_string(s, &one.key) || !expect_character(s, ':') || !scan_string(s, &one.text) ||
            !next_or_close(s, '}', &last))
            return false;
        cai_metadata *list = grown_list(s, file->metadata, file->metadata_count, &capacity, sizeof one);
        if (!list) return false;
        file->metadata = list;
        list[file->metadata_count++] = one;
    }
    return true;
}

static bool scan_type(HeaderScanner *s, const char *tensor, int32_t *type) {
    const char *text;
    if (!scan_string(s, &text)) return false;
    for (int i = 0; i < FILE_TYPES; i++) {
        if (strcmp(text, file_types[i].name) != 0) continue;
        *type = file_types[i].type;
        return true;
    }
    return cai_fail(s->error, CAI_BAD_INPUT, "%s: tensor `%.200s` has type %.40s, which cai does not read",
                    s->path, tensor, text);
}

/* What follows the colon after a tensor's name. */
static bool scan_tensor(HeaderScanner *s, cai_tensor *tensor, int64_t offsets[2]) {
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    int seen = 0, field;
    int32_t two = 0;
    bool last = false;
    if (!expect_character(s, '{')) return false;
    while (!last) {
        const char *key;
        if (!scan_string(s, &key) || !expect_character(s, ':')) return false;
        bool scanned;
        if (strcmp(key, "dtype") == 0) field = DTYPE, scanned = scan_type(s, tensor->name, &tensor->type);
        else if (strcmp(key, "shape") == 0)
            field = SHAPE, scanned = scan_sizes(s, tensor->dims, CAI_MAX_RANK, &tensor->rank);
        else if (strcmp(key, "data_offsets") == 0) field = OFFSETS, scanned = scan_sizes(s, offsets, 2, &two);
        else return fail_safetensors(s, "a key that is none of dtype, shape, data_offsets, before the `:`");
        if (!scanned) return false;
        if (seen & field) return fail_safetensors(s, "a key that is given twice");
        seen |= field;
        if (!next_or_close(s, '}', &last)) return false;
    }
    if (seen != (DTYPE | SHAPE | OFFSETS) || two != 2) {
        return cai_fail(
            s->error, CAI_BAD_INPUT,
            "%s: broken safetensors header: tensor `%.200s` needs dtype, shape and two data_offsets", s->path,
            tensor->name);
    }
    return true;
}

/* Checks that the tensor is within the data, and that its sizes give as many bytes as its
 * offsets. */
static bool place_tensor(const HeaderScanner *s, cai_tensor *tensor, const int64_t offsets[2],
                         const unsigned char *data, uint64_t data_bytes) {
    uint64_t bytes;
    if (offsets[0] > offsets[1] || (uint64_t)offsets[1] > data_bytes) {
        return cai_fail(
            s->error, CAI_BAD_INPUT,
            "%s: tensor `%.200s` lies at bytes %lld to %lld of the data, which has %llu: the file is cut off or broken",
            s->path, tensor->name, (long long)offsets[0], (long long)offsets[1],
            (unsigned long long)data_bytes);
    }
    if (!cai_tensor_count(tensor, &bytes) || bytes != (uint64_t)(offsets[1] - offsets[0])) {
        char shape[400];
        return cai_fail(s->error, CAI_BAD_INPUT,
                        "%s: tensor `%.200s` is %s and has %lld bytes, which do not agree", s->path,
                        tensor->name, cai_tensor_shape_text(tensor, shape, sizeof shape),
                        (long long)(offsets[1] - offsets[0]));
    }
    tensor->data = data + offsets[0];
    return true;
}

static bool add_tensor(HeaderScanner *s, cai_tensor_file *file, int64_t *capacity, const cai_tensor *tensor) {
    cai_tensor *list = grown_list(s, file->tensors, file->count, capacity, sizeof *list);
    if (!list) return false;
    file->tensors = list;
    list[file->count++] = *tensor;
    return true;
}

static bool scan_header(HeaderScanner *s, cai_tensor_file *file, uint64_t data_bytes) {
    int64_t capacity = 0, offsets[2];
    if (!expect_character(s, '{')) return false;
    for (bool last = take_character(s, '}'); !last;) {
        cai_tensor tensor = {0};
        if (!scan_string(s, &tensor.name) || !expect_character(s, ':')) return false;
        if (strcmp(tensor.name, "__metadata__") == 0) {
            if (!scan_metadata(s, file)) return false;
        } else if (!scan_tensor(s, &tensor, offsets) ||
                   !place_tensor(s, &tensor, offsets, s->end, data_bytes) ||
                   !add_tensor(s, file, &capacity, &tensor)) {
            return false;
        }
        if (!next_or_close(s, '}', &last)) return false;
    }
    skip_space(s);
    return s->at == s->end || fail_safetensors(s, "something after the last `}`");
}

/* ---- no byte belongs to two tensors or to none ---- */

static int compare_places(const void *a, const void *b) {
    const cai_tensor *x = *(const cai_tensor *const *)a, *y = *(const cai_tensor *const *)b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return (x->count > y->count) - (x->count < y->count); /* empty ones first */
}

static bool check_places(const char *path, const cai_tensor_file *file, const unsigned char *data,
                         const unsigned char *end, cai_error *error) {
    const cai_tensor **order = cai_allocate((uint64_t)file->count * sizeof *order, path, error);
    if (!order) return false;
    for (int64_t i = 0; i < file->count; i++) order[i] = &file->tensors[i];
    qsort(order, (size_t)file->count, sizeof *order, compare_places);
    bool good = true;
    for (int64_t i = 0; i < file->count && good; i++) {
        if (order[i]->data < data) {
            good = cai_fail(error, CAI_BAD_INPUT, "%s: tensor `%.200s` overlaps tensor `%.200s`", path,
                            order[i]->name, order[i - 1]->name);
        } else if (order[i]->data > data) {
            good = cai_fail(error, CAI_BAD_INPUT, "%s: bytes before tensor `%.200s` belong to no tensor",
                            path, order[i]->name);
        }
        data = order[i]->data + order[i]->count * cai_type_bytes(order[i]->type);
    }
    if (good && data != end)
        good = cai_fail(error, CAI_BAD_INPUT, "%s: has %lld bytes after its last tensor", path,
                        (long long)(end - data));
    free(order);
    return good;
}

bool cai_safetensors_parse(const char *path, const unsigned char *bytes, size_t count, cai_tensor_file *file,
                           cai_error *error) {
    uint64_t header;
    memcpy(&header, bytes, sizeof header);
    if (header > MAX_HEADER) {
        return cai_fail(error, CAI_BAD_INPUT,
                        "%s: its safetensors header would be %.0f MB, and 100 are the limit", path,
                        (double)header / 1e6);
    }
    if (header > count - 8)
        return cai_fail(error, CAI_BAD_INPUT, "%s: the file is cut off within its safetensors header", path);
    file->names = cai_allocate(header, path, error);
    if (!file->names) return false;
    HeaderScanner s = {.path = path,
                       .begin = bytes + 8,
                       .at = bytes + 8,
                       .end = bytes + 8 + header,
                       .names = file->names,
                       .error = error};
    return scan_header(&s, file, count - 8 - header) && check_places(path, file, s.end, bytes + count, error);
}

/* ---- writing ---- */

typedef struct Header { char *text; size_t length, capacity; cai_error *error; } Header;

static bool put_header_text(Header *header, const char *text, size_t length) {
    if (header->length + length > header->capacity) {
        size_t capacity = 2 * (header->length + length) + 256;
        char *larger = cai_reallocate(header->text, capacity, "a safetensors header", header->error);
        if (!larger) return false;
        header->text = larger;
        header->capacity = capacity;
    }
    memcpy(header->text + header->length, text, length);
    header->length += length;
    return true;
}

static bool put_string(Header *header, const char *text) {
    if (!put_header_text(header, "\"", 1)) return false;
    for (; *text; text++) {
        char character[CAI_JSON_CHARACTER];
        if (!put_header_text(header, character, (size_t)cai_json_character(*text, character))) return false;
    }
    return put_header_text(header, "\"", 1);
}

static bool put_name(Header *header, const char *name) {
    return put_string(header, name) && put_header_text(header, ":", 1);
}

static bool put_metadata(Header *header, const cai_metadata *metadata, int count) {
    if (!put_name(header, "__metadata__") || !put_header_text(header, "{", 1)) return false;
    for (int i = 0; i < count; i++) {
        if ((i > 0 && !put_header_text(header, ",", 1)) || !put_name(header, metadata[i].key) ||
            !put_string(header, metadata[i].text))
            return false;
    }
    return put_header_text(header, "}", 1);
}

static bool put_tensor(Header *header, const cai_tensor *tensor, int64_t *offset) {
    char text[600];
    const char *type = "F32";
    for (int i = 0; i < FILE_TYPES; i++) {
        if (file_types[i].type == tensor->type) type = file_types[i].name;
    }
    int used = snprintf(text, sizeof text, "{\"dtype\":\"%s\",\"shape\":[", type);
    for (int i = 0; i < tensor->rank; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, i ? ",%lld" : "%lld",
                         (long long)tensor->dims[i]);
    int64_t end = *offset + tensor->count * cai_type_bytes(tensor->type);
    used += snprintf(text + used, sizeof text - (size_t)used, "],\"data_offsets\":[%lld,%lld]}",
                     (long long)*offset, (long long)end);
    *offset = end;
    return put_name(header, tensor->name) && put_header_text(header, text, (size_t)used);
}

/* Padded with spaces, so that the data begins at a multiple of eight. */
static bool make_safetensors_header(Header *header, const cai_tensor *tensors, int count,
                                    const cai_metadata *metadata, int metadata_count) {
    int64_t offset = 0;
    if (!put_header_text(header, "\0\0\0\0\0\0\0\0{", 9)) return false;
    if (metadata_count > 0 && !put_metadata(header, metadata, metadata_count)) return false;
    for (int i = 0; i < count; i++) {
        bool first = i == 0 && metadata_count == 0;
        if ((!first && !put_header_text(header, ",", 1)) || !put_tensor(header, &tensors[i], &offset))
            return false;
    }
    if (!put_header_text(header, "}", 1) || !put_header_text(header, "       ", (8 - header->length % 8) % 8))
        return false;
    uint64_t length = header->length - 8;
    memcpy(header->text, &length, sizeof length);
    return true;
}

static bool write_all(cai_output *output, const cai_tensor *tensors, int count, const cai_metadata *metadata,
                      int metadata_count, cai_error *error) {
    Header header = {.error = error};
    bool made = make_safetensors_header(&header, tensors, count, metadata, metadata_count);
    if (!made) cai_output_discard(output);
    bool written = made && cai_output_write(output, header.text, header.length, error);
    free(header.text);
    for (int i = 0; i < count && written; i++) {
        written = cai_output_write(output, tensors[i].data,
                                   (size_t)(tensors[i].count * cai_type_bytes(tensors[i].type)), error);
    }
    return written;
}

bool cai_safetensors_write(cai_output *output, const cai_tensor *tensors, int count, cai_error *error) {
    return write_all(output, tensors, count, NULL, 0, error);
}

bool cai_tensors_write_with(const char *path, const cai_tensor *tensors, int count,
                            const cai_metadata *metadata, int metadata_count, cai_error *error) {
    cai_output output;
    return cai_output_open(path, &output, error) &&
           write_all(&output, tensors, count, metadata, metadata_count, error) &&
           cai_output_finish(&output, error);
}
