/* Safetensors and .npy: what is written reads back; what is cut off, flipped or made up
 * by hand is refused with a reason. */
#include "files/files.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/cai_tensor_file_XXXXXX", path[64];

static int make_folder(void) { return mkdtemp(folder) ? 0 : 1; }

static int remove_folder(void) { return rmdir(folder); }

static const char *in_folder(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}
FIXTURE(make_folder, remove_folder)

/* ---- round trips ---- */

static const float numbers[] = {0, -1.5f, 2, 3e30f, 1e-30f, 7};
static const int32_t integers[] = {1, -2, INT32_MAX};

static void make_tensors(cai_tensor tensors[2]) {
    tensors[0] =
        (cai_tensor){"layer1.0.\"odd\\name\"\t", CAI_F32, 2, {2, 3}, 6, (const unsigned char *)numbers};
    tensors[1] = (cai_tensor){"count", CAI_I32, 1, {3}, 3, (const unsigned char *)integers};
}

TEST(safetensors_written_and_read) {
    cai_error error = {0};
    cai_tensor tensors[2];
    cai_tensor_file file;
    make_tensors(tensors);
    CU_ASSERT_FATAL(cai_tensors_write(in_folder("a.safetensors"), tensors, 2, &error));
    CU_ASSERT_FATAL(cai_tensors_open(path, &file, &error));
    CU_ASSERT_EQUAL(file.count, 2);
    for (int i = 0; i < 2; i++) {
        const cai_tensor *read = cai_tensors_find(&file, tensors[i].name);
        CU_ASSERT_PTR_NOT_NULL_FATAL(read);
        CU_ASSERT_EQUAL(read->type, tensors[i].type);
        CU_ASSERT_EQUAL(read->rank, tensors[i].rank);
        CU_ASSERT_EQUAL(memcmp(read->dims, tensors[i].dims, sizeof *read->dims * (size_t)read->rank), 0);
        CU_ASSERT_EQUAL(memcmp(read->data, tensors[i].data, 4 * (size_t)read->count), 0);
    }
    CU_ASSERT_PTR_NULL(cai_tensors_find(&file, "coun"));
    CU_ASSERT_PTR_NULL(cai_tensors_find(&file, ""));
    cai_tensors_close(&file);
    unlink(path);
}

TEST(metadata_written_and_read) {
    cai_error error = {0};
    cai_tensor tensors[2];
    cai_tensor_file file;
    const cai_metadata metadata[] = {{"step", "4800"}, {"settings", "{\"N\": 64}"}};
    make_tensors(tensors);
    for (int count = 0; count <= 2; count += 2) { /* tensors */
        CU_ASSERT_FATAL(
            cai_tensors_write_with(in_folder("a.safetensors"), tensors, count, metadata, 2, &error));
        CU_ASSERT_FATAL(cai_tensors_open(path, &file, &error));
        CU_ASSERT_EQUAL(file.count, count);
        CU_ASSERT_STRING_EQUAL(cai_tensors_metadata(&file, "step"), "4800");
        CU_ASSERT_STRING_EQUAL(cai_tensors_metadata(&file, "settings"), metadata[1].text);
        CU_ASSERT_PTR_NULL(cai_tensors_metadata(&file, "ste"));
        cai_tensors_close(&file);
    }
    unlink(path);
}

TEST(npy_written_and_read) {
    cai_error error = {0};
    cai_tensor tensors[2];
    cai_tensor_file file;
    make_tensors(tensors);
    CU_ASSERT_FALSE(cai_tensors_write(in_folder("a.npy"), tensors, 2, &error));
    CU_ASSERT_FATAL(cai_tensors_write(in_folder("a.npy"), tensors, 1, &error));
    CU_ASSERT_FATAL(cai_tensors_open(path, &file, &error));
    CU_ASSERT_EQUAL(file.tensors[0].dims[1], 3);
    CU_ASSERT_EQUAL(memcmp(file.tensors[0].data, numbers, sizeof numbers), 0);
    CU_ASSERT_EQUAL((file.tensors[0].data - file.file.data) % 64, 0);
    cai_tensors_close(&file);
    unlink(path);
}

TEST(empty_tensors_and_scalars) {
    cai_error error = {0};
    cai_tensor tensors[] = {{"none", CAI_F32, 2, {0, 4}, 0, (const unsigned char *)numbers},
                            {"one", CAI_F32, 0, {0}, 1, (const unsigned char *)numbers}};
    cai_tensor_file file;
    CU_ASSERT_FATAL(cai_tensors_write(in_folder("a.safetensors"), tensors, 2, &error));
    CU_ASSERT_FATAL(cai_tensors_open(path, &file, &error));
    CU_ASSERT_EQUAL(cai_tensors_find(&file, "none")->count, 0);
    CU_ASSERT_EQUAL(cai_tensors_find(&file, "one")->count, 1);
    cai_tensors_close(&file);
    unlink(path);
}

/* ---- headers by hand ---- */

static size_t make_safetensors(const char *header, size_t data, unsigned char *out) {
    uint64_t length = strlen(header);
    memcpy(out, &length, 8);
    memcpy(out + 8, header, length);
    memset(out + 8 + length, 1, data);
    return 8 + length + data;
}

/* Parses the header with 24 bytes of data after it: the message, or "" where it was
 * accepted. */
static const char *message_of(const char *header) {
    static cai_error error;
    static unsigned char bytes[8192];
    cai_tensor_file file;
    error.message[0] = 0;
    if (cai_tensors_parse("f", bytes, make_safetensors(header, 24, bytes), &file, &error))
        cai_tensors_close(&file);
    return error.message;
}

#define T(type, shape, offsets) "{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *header, *message;
} hostile[] = {
    {"{\"a\":" T("F32", "[2,3]", "[0,24]") "}", ""},
    {"{ \"a\" : " T("F32", " [ 2 , 3 ] ", "[0,24]") " }   ", ""},
    {"{\"__metadata__\":{\"format\":\"pt\"},\"a\":" T("F32", "[2,3]", "[0,24]") "}", ""},
    {"{\"\\u00e4\\ud83d\\ude00\":" T("F32", "[6]", "[0,24]") "}", ""},
    {"{}", "24 bytes after its last"},
    {"{\"a\":" T("F32", "[2,3]", "[0,24]") ",\"a\":" T("F32", "[0]", "[24,24]") "}", "two tensors named `a`"},
    {"{\"a\":" T("F32", "[2,3]", "[0,28]") "}", "which has 24"},
    {"{\"a\":" T("F32", "[2,4]", "[0,24]") "}", "f32[2, 4] and has 24 bytes"},
    {"{\"a\":" T("F32", "[2,3]", "[24,0]") "}", "lies at bytes 24 to 0"},
    {"{\"a\":" T("F32", "[3]", "[0,12]") ",\"b\":" T("F32", "[4]", "[8,24]") "}", "`b` overlaps tensor `a`"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[3]", "[12,24]") "}", "belong to no tensor"},
    {"{\"a\":" T("F32", "[9223372036854775807,9223372036854775807]", "[0,24]") "}", "do not agree"},
    {"{\"a\":" T("F32", "[99999999999999999999]", "[0,24]") "}", "beyond 63 bits"},
    {"{\"a\":" T("F32", "[-6]", "[0,24]") "}", "a whole number expected"},
    {"{\"a\":" T("F32", "[6.0]", "[0,24]") "}", "`,` or `]` expected"},
    {"{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,6]", "[0,24]") "}", "too many numbers"},
    {"{\"a\":" T("F32", "[6]", "[0,24,24]") "}", "too many numbers"},
    {"{\"a\":" T("F32", "[6]", "[0]") "}", "two data_offsets"},
    {"{\"a\":" T("C64", "[3]", "[0,24]") "}", "type C64, which cai does not read"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[6]}}", "needs dtype, shape"},
    {"{\"a\":{}}", "`\"` expected"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]}}", "is given twice"},
    {"{\"a\":{\"other\":1}}", "none of dtype"},
    {"{\"a\":[[[[[[[[", "`{` expected"},
    {"{\"a", "unfinished text"},
    {"{\"a\\", "unfinished text"},
    {"{\"a\\q\":1}", "unknown escape"},
    {"{\"a\\u12\":1}", "unknown escape"},
    {"{\"\\u0000\":1}", "no name can have"},
    {"{\"\\ud800\":1}", "surrogate"},
    {"{\"a\nb\":1}", "control character"},
    {"{\"a\":" T("F32", "[6]", "[0,24]") ",}", "`\"` expected"},
    {"{\"a\":" T("F32", "[6]", "[0,24]") "} x", "something after"},
    {"{\"__metadata__\":{\"a\":{}}}", "`\"` expected"},
    {"{", "`\"` expected"},
};

TEST(hostile_safetensors_headers) {
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        const char *message = message_of(hostile[i].header);
        int as_expected = *hostile[i].message ? strstr(message, hostile[i].message) != NULL : *message == 0;
        if (!as_expected)
            printf("\n    %s\n    gives `%s`, not `%s`\n", hostile[i].header, message, hostile[i].message);
        CU_ASSERT(as_expected);
    }
}

TEST(lengths_of_headers) {
    cai_error error;
    cai_tensor_file file;
    unsigned char bytes[32] = {0};
    const uint64_t lengths[] = {0, 1, 25, UINT64_C(1) << 40, UINT64_MAX >> 16};
    for (int i = 0; i < 5; i++) {
        memcpy(bytes, &lengths[i], 8);
        bytes[8] = '{';
        CU_ASSERT_FALSE(cai_tensors_parse("f", bytes, sizeof bytes, &file, &error));
    }
    CU_ASSERT_FALSE(cai_tensors_parse("f", bytes, 0, &file, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "is empty"));
    CU_ASSERT_FALSE(cai_tensors_parse("f", "PK\3\4", 4, &file, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "zip"));
}

/* ---- .npy by hand ---- */

static size_t make_npy(const char *header, int version, size_t data, unsigned char *out) {
    size_t length = strlen(header), start = version == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY\0\0\0\0\0\0", 12);
    out[6] = (unsigned char)version;
    out[8] = (unsigned char)(length & 255);
    out[9] = (unsigned char)(length >> 8);
    memcpy(out + start, header, length);
    for (size_t i = 0; i < data; i++) out[start + length + i] = (unsigned char)i;
    return start + length + data;
}

TEST(npy_headers) {
    static const struct {
        const char *header, *message;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", ""},
        {"{\"shape\":(6,),\"fortran_order\":False,\"descr\":\"<f4\"}", ""},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (2L, 3, 4)}", ""},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", "does not fit"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }", "a size is missing"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }", "'<c8' are not read"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", "'|O' are not read"},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (6,), }", "arrays of records"},
        {"{'descr': '<f4', 'fortran_order': None, 'shape': (6,), }", "neither True nor False"},
        {"{'descr': '<f4', 'shape': (6,), }", "is missing"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 6, }", "not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6", "shape has no end"},
        {"{'descr': '<f4", "no end"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", "is given twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,6), }",
         "more than 16"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), } 1", "something follows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,99999999999), }", "does not fit"},
        {"", "not a dictionary"}};
    unsigned char bytes[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int version = 1; version <= 3; version++) {
            cai_error error = {0};
            cai_tensor_file file;
            if (cai_tensors_parse("f", bytes, make_npy(cases[i].header, version, 24, bytes), &file, &error))
                cai_tensors_close(&file);
            int as_expected =
                *cases[i].message ? strstr(error.message, cases[i].message) != NULL : *error.message == 0;
            if (!as_expected)
                printf("\n    %s\n    gives `%s`, not `%s`\n", cases[i].header, error.message,
                       cases[i].message);
            CU_ASSERT(as_expected);
        }
    }
}

TEST(npy_orders_of_bytes_and_axes) {
    unsigned char bytes[512];
    cai_error error;
    cai_tensor_file file;
    double values[6];
    CU_ASSERT_FATAL(cai_tensors_parse(
        "f", bytes, make_npy("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3)}", 1, 12, bytes), &file,
        &error));
    cai_tensor_to_f64(file.tensors, 0, 6, values);
    /* columns of the file are rows here */
    const double expected[] = {0x0001, 0x0405, 0x0809, 0x0203, 0x0607, 0x0a0b};
    for (int i = 0; i < 6; i++) CU_ASSERT_EQUAL(values[i], expected[i]);
    cai_tensors_close(&file);
}

/* ---- every prefix, every flipped bit ---- */

static void try_damages(unsigned char *bytes, size_t count, size_t header) {
    cai_error error;
    cai_tensor_file file;
    for (size_t length = 0; length < count; length++) {
        unsigned char *exact = malloc(length ? length : 1); /* so that a sanitizer sees reads beyond it */
        memcpy(exact, bytes, length);
        CU_ASSERT_FALSE(cai_tensors_parse("f", exact, length, &file, &error));
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * header; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (cai_tensors_parse("f", bytes, count, &file, &error)) {
            double value;
            for (int64_t i = 0; i < file.count; i++) {
                if (file.tensors[i].count)
                    cai_tensor_to_f64(&file.tensors[i], file.tensors[i].count - 1, 1, &value);
            }
            cai_tensors_close(&file);
        }
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}

TEST(every_prefix_and_every_flipped_bit) {
    unsigned char bytes[512];
    size_t count = make_safetensors(
        "{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("BF16", "[2,4]", "[8,24]") "}", 24, bytes);
    try_damages(bytes, count, count - 24);
    count = make_npy("{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3)}", 1, 24, bytes);
    try_damages(bytes, count, count - 24);
}

/* ---- conversions ---- */

__extension__ typedef _Float16 Half; /* the compiler's own, as oracle */

TEST(sixteen_bit_floats) {
    for (unsigned bits = 0; bits < 65536; bits++) {
        uint16_t half = (uint16_t)bits;
        Half exact;
        memcpy(&exact, &half, 2);
        float value = cai_f16_to_f32(half);
        if (isnan(value) != isnan((float)exact) || (!isnan(value) && value != (float)exact))
            CU_FAIL("f16 to f32");
        if (!isnan(value) && cai_f32_to_f16(value) != half) CU_FAIL("f16 and back");
        if (!isnan(cai_bf16_to_f32(half)) && cai_f32_to_bf16(cai_bf16_to_f32(half)) != half)
            CU_FAIL("bf16 and back");
    }
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 65521) {
        uint32_t word = (uint32_t)bits;
        float value;
        memcpy(&value, &word, 4);
        Half exact = (Half)value;
        uint16_t half = cai_f32_to_f16(value), expected;
        memcpy(&expected, &exact, 2);
        if (!isnan(value) && half != expected) CU_FAIL("f32 to f16");
    }
    CU_ASSERT(isnan(cai_bf16_to_f32(cai_f32_to_bf16(NAN))));
    CU_ASSERT(isnan(cai_f16_to_f32(cai_f32_to_f16(NAN))));
    CU_ASSERT_EQUAL(cai_f32_to_bf16(1.00390625f), 0x3f80); /* ties to even */
    CU_ASSERT_EQUAL(cai_f32_to_bf16(1.01171875f), 0x3f82);
}

static int converts(int from, const void *value, int to, double expected) {
    cai_error error;
    cai_tensor tensor = {"", from, 1, {1}, 1, value};
    unsigned char out[8];
    if (!cai_tensor_convert(&tensor, to, out, &error)) return isnan(expected);
    double result;
    cai_tensor_to_f64(&(cai_tensor){"", to, 1, {1}, 1, out}, 0, 1, &result);
    return result == expected;
}

TEST(conversions_of_elements) {
    CU_ASSERT(converts(CAI_F64, &(double){0.5}, CAI_F32, 0.5));
    CU_ASSERT(converts(CAI_F64, &(double){2}, CAI_I8, 2));
    CU_ASSERT(converts(CAI_F64, &(double){2.5}, CAI_I32, NAN));
    CU_ASSERT(converts(CAI_F64, &(double){NAN}, CAI_I32, NAN));
    CU_ASSERT(converts(CAI_F64, &(double){1e30}, CAI_I64, NAN));
    CU_ASSERT(converts(CAI_I64, &(int64_t){300}, CAI_I8, NAN));
    CU_ASSERT(converts(CAI_I64, &(int64_t){-128}, CAI_I8, -128));
    CU_ASSERT(converts(CAI_U64, &(uint64_t){UINT64_MAX}, CAI_I64, NAN));
    CU_ASSERT(converts(CAI_U16, &(uint16_t){65535}, CAI_I32, 65535));
    CU_ASSERT(converts(CAI_U8, &(uint8_t){2}, CAI_BOOL, NAN));
    CU_ASSERT(converts(CAI_BOOL, &(uint8_t){1}, CAI_F32, 1));
    CU_ASSERT(converts(CAI_F32, &(float){1.5}, CAI_BF16, 1.5));
}

/* A label or a pixel of a mask may be any float. */
TEST(whole_parts_of_floats) {
    const double values[] = {2.75, -2.75, 9223372036854775808.0, -1e306, INFINITY, NAN};
    const int64_t whole[] = {2, -2, INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN};
    int64_t found[6];
    cai_tensor_to_i64(&(cai_tensor){"", CAI_F64, 1, {6}, 6, (const unsigned char *)values}, 0, 6, found);
    CU_ASSERT_EQUAL(memcmp(found, whole, sizeof whole), 0);
}
