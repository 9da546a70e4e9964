/* BMP, by a reader of our own: Debian's libraries that read it are those of whole
 * toolkits, and without the packing that nobody writes any more it is a header, a
 * palette, and rows from the bottom up. Little endian, a row in whole words of four
 * bytes. */
#include "files/files.h"
#include <stdlib.h>
#include <string.h>

enum { FILE_HEADER = 14, CORE_HEADER = 12, INFO_HEADER = 40, MASKS_END = 54 - FILE_HEADER + 12 };

static uint32_t number_at(const unsigned char *at, int width) {
    return (uint32_t)cai_little_endian(at, width);
}

/* ---- reading ---- */

typedef struct BmpReader {
    const char *path;
    const unsigned char *bytes, *palette;
    size_t count;
    int64_t height, width;
    bool downward;     /* the first row is the top one */
    uint32_t bits;     /* of a pixel: 1, 4 and 8 are places in the palette */
    uint32_t colours;  /* of the palette */
    int entry;         /* bytes of a colour in it */
    uint32_t masks[3]; /* of red, green and blue, in pixels of 16 and 32 bits */
    cai_error *error;
} BmpReader;

static bool fail_bmp(const BmpReader *reader, const char *what) {
    return cai_fail(reader->error, CAI_BAD_INPUT, "%s: broken BMP: %s", reader->path, what);
}

/* ---- the header ---- */

enum { PLAIN = 0, BY_MASKS = 3 };

static bool read_masks(BmpReader *reader, uint32_t packing) {
    static const uint32_t usual[2][3] = {{0x7c00, 0x3e0, 0x1f}, {0xff0000, 0xff00, 0xff}};
    memcpy(reader->masks, usual[reader->bits == 32], sizeof reader->masks);
    if (packing != BY_MASKS) return true;
    if (reader->count < FILE_HEADER + MASKS_END) return fail_bmp(reader, "the file is cut off");
    for (int i = 0; i < 3; i++)
        reader->masks[i] = number_at(reader->bytes + FILE_HEADER + INFO_HEADER + 4 * i, 4);
    return (reader->masks[0] && reader->masks[1] && reader->masks[2]) ||
           fail_bmp(reader, "it has pixels without a colour");
}

static bool fail_packing(const BmpReader *reader, uint32_t packing) {
    return cai_fail(reader->error, CAI_BAD_INPUT,
                    "%s: is a BMP of %u bits a pixel packed by method %u, which cai does not read\n"
                    "  help: `convert %s picture.png`",
                    reader->path, reader->bits, packing, reader->path);
}

static bool is_known_form(const BmpReader *reader, uint32_t packing) {
    switch (reader->bits) {
    case 1: case 4: case 8: case 24: return packing == PLAIN;
    case 16: case 32: return packing == PLAIN || packing == BY_MASKS;
    default: return false;
    }
}

/* Of Windows 2: sizes of 16 bits, and colours of three bytes. */
static bool read_core_header(BmpReader *reader, const unsigned char *header) {
    reader->width = number_at(header + 4, 2);
    reader->height = number_at(header + 6, 2);
    reader->bits = number_at(header + 10, 2);
    reader->entry = 3;
    reader->colours = reader->bits <= 8 ? 1u << reader->bits : 0;
    return is_known_form(reader, PLAIN) || fail_packing(reader, PLAIN);
}

static bool read_info_header(BmpReader *reader, const unsigned char *header) {
    uint32_t packing = number_at(header + 16, 4), colours = number_at(header + 32, 4);
    reader->width = (int32_t)number_at(header + 4, 4);
    reader->height = (int32_t)number_at(header + 8, 4);
    reader->downward = reader->height < 0;
    if (reader->downward) reader->height = -reader->height;
    reader->bits = number_at(header + 14, 2);
    reader->entry = 4;
    if (!is_known_form(reader, packing)) return fail_packing(reader, packing);
    uint32_t most = reader->bits <= 8 ? 1u << reader->bits : 0;
    reader->colours = colours == 0 || colours > most ? most : colours;
    return read_masks(reader, packing);
}

static bool read_bmp_header(BmpReader *reader) {
    const unsigned char *header = reader->bytes + FILE_HEADER;
    if (reader->count < FILE_HEADER + 4) return fail_bmp(reader, "the file is cut off");
    uint32_t length = number_at(header, 4);
    bool old = length == CORE_HEADER;
    if (!old && (length < INFO_HEADER || length > 1000)) return fail_bmp(reader, "its header is damaged");
    if (reader->count - FILE_HEADER < length) return fail_bmp(reader, "the file is cut off");
    reader->palette = header + length;
    return old ? read_core_header(reader, header) : read_info_header(reader, header);
}

/* ---- pixels ---- */

/* Where rows begin; NULL where palette or rows do not lie in the file. */
static const unsigned char *bmp_rows_of(const BmpReader *reader, size_t row_bytes) {
    size_t at = number_at(reader->bytes + 10, 4),
           palette_end = (size_t)(reader->palette - reader->bytes) + reader->colours * (size_t)reader->entry;
    bool lies = palette_end <= reader->count && at <= reader->count &&
                row_bytes <= (reader->count - at) / (size_t)reader->height;
    return lies ? reader->bytes + at : NULL;
}

static float masked_level(uint32_t pixel, uint32_t mask) {
    int shift = __builtin_ctz(mask);
    return (float)((pixel & mask) >> shift) / (float)(mask >> shift);
}

/* Red, green or blue of a pixel; colours stand as blue, green, red. */
static float bmp_level(const BmpReader *reader, const unsigned char *row, int64_t x, int64_t channel) {
    const int bits = (int)reader->bits;
    if (bits == 24) return (float)row[3 * x + 2 - channel] / 255.0f;
    if (bits > 8) return masked_level(number_at(row + x * bits / 8, bits / 8), reader->masks[channel]);
    uint32_t place = row[x * bits / 8] >> (8 - bits - x * bits % 8) & ((1u << bits) - 1);
    if (place >= reader->colours) return 0;
    return (float)reader->palette[place * (uint32_t)reader->entry + 2 - (uint32_t)channel] / 255.0f;
}

/* A palette of grays makes a gray picture. */
static bool has_gray_palette(const BmpReader *reader) {
    for (uint32_t i = 0; i < reader->colours; i++) {
        const unsigned char *colour = reader->palette + i * (uint32_t)reader->entry;
        if (colour[0] != colour[1] || colour[0] != colour[2]) return false;
    }
    return reader->colours > 0;
}

static void store_bmp_rows(const BmpReader *reader, const unsigned char *rows, size_t row_bytes,
                           cai_image *image) {
    float *out = image->pixels;
    for (int64_t c = 0; c < image->channels; c++)
        for (int64_t y = 0; y < image->height; y++) {
            int64_t row = reader->downward ? y : image->height - 1 - y;
            for (int64_t x = 0; x < image->width; x++)
                *out++ = bmp_level(reader, rows + (size_t)row * row_bytes, x, c);
        }
}

bool cai_bmp_decode(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                    int *orientation, cai_error *error) {
    (void)orientation; /* it has none */
    BmpReader reader = {.path = path, .bytes = bytes, .count = count, .error = error};
    if (!read_bmp_header(&reader)) return false;
    if (reader.width < 1 || reader.height < 1) return fail_bmp(&reader, "it has no pixels");
    size_t row_bytes = ((size_t)reader.width * reader.bits + 31) / 32 * 4;
    const unsigned char *rows = bmp_rows_of(&reader, row_bytes);
    if (!rows) return fail_bmp(&reader, "the file is cut off");
    int64_t channels = has_gray_palette(&reader) ? 1 : 3;
    if (!cai_image_new(path, channels, reader.height, reader.width, image, error)) return false;
    store_bmp_rows(&reader, rows, row_bytes, image);
    return true;
}

/* ---- writing ---- */

static void put_bmp_number(unsigned char *at, int width, uint32_t value) {
    for (int i = 0; i < width; i++) at[i] = (unsigned char)(value >> 8 * i);
}

/* Both headers, and for gray a palette of its levels; gives how many bytes. */
static size_t make_bmp_header(unsigned char *header, int channels, int64_t height, int64_t width,
                              size_t row_bytes) {
    uint32_t colours = channels == 1 ? 256 : 0, count = FILE_HEADER + INFO_HEADER + 4 * colours;
    memset(header, 0, count);
    memcpy(header, "BM", 2);
    put_bmp_number(header + 2, 4, count + (uint32_t)(row_bytes * (size_t)height));
    put_bmp_number(header + 10, 4, count);
    put_bmp_number(header + 14, 4, INFO_HEADER);
    put_bmp_number(header + 18, 4, (uint32_t)width);
    put_bmp_number(header + 22, 4, (uint32_t)height);
    put_bmp_number(header + 26, 2, 1); /* planes */
    put_bmp_number(header + 28, 2, (uint32_t)channels * 8);
    for (uint32_t i = 0; i < colours; i++)
        put_bmp_number(header + FILE_HEADER + INFO_HEADER + 4 * i, 4, i * 0x010101);
    return count;
}

/* Three channels stand as blue, green, red. */
static void fill_row(unsigned char *row, const unsigned char *pixels, int channels, int64_t width) {
    for (int64_t x = 0; x < width; x++)
        for (int c = 0; c < channels; c++) row[x * channels + c] = pixels[x * channels + channels - 1 - c];
}

bool cai_bmp_write(cai_output *output, const unsigned char *pixels, int channels, int64_t height,
                   int64_t width, cai_error *error) {
    unsigned char header[FILE_HEADER + INFO_HEADER + 4 * 256];
    const int64_t in = width * channels;
    const size_t row_bytes = ((size_t)in + 3) / 4 * 4;
    unsigned char *row = cai_allocate(row_bytes, "a BMP", error);
    if (!row) return cai_output_discard(output), false;
    memset(row, 0, row_bytes);
    bool good =
        cai_output_write(output, header, make_bmp_header(header, channels, height, width, row_bytes), error);
    for (int64_t y = height - 1; y >= 0 && good; y--) {
        fill_row(row, pixels + y * in, channels, width);
        good = cai_output_write(output, row, row_bytes, error);
    }
    free(row);
    return good;
}
