/* PNG through libpng. Its errors jump: what must be freed then lives in a struct outside
 * the function that jumps. */
#include "files/files.h"
#include <png.h>
#include <stdlib.h>
#include <string.h>

static void on_warning(png_structp png, png_const_charp text) { (void)png, (void)text; }

/* ---- reading ---- */

typedef struct PngReader {
    const char *path;
    const unsigned char *at, *end;
    cai_image *image;
    unsigned char *rows; /* one row, or all where the picture is interlaced */
    bool numbers;        /* places in the palette and levels of gray as they are, instead of colours */
    cai_error *error;
} PngReader;

static void on_read_error(png_structp png, png_const_charp text) {
    PngReader *reader = png_get_error_ptr(png);
    cai_fail(reader->error, CAI_BAD_INPUT, "%s: broken PNG: %s", reader->path, text);
    png_longjmp(png, 1);
}

static void read_png_bytes(png_structp png, png_bytep out, size_t count) {
    PngReader *reader = png_get_io_ptr(png);
    if (count > (size_t)(reader->end - reader->at)) png_error(png, "the file is cut off");
    memcpy(out, reader->at, count);
    reader->at += count;
}

/* Palettes become colours, 1 to 4 bits become 8, alpha is dropped, 16 bits become little
 * endian. */
static void set_transformations(const PngReader *reader, png_structp png, png_infop info) {
    int type = png_get_color_type(png, info), bits = png_get_bit_depth(png, info);
    if (reader->numbers) png_set_packing(png); /* a byte each, and no more */
    else if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    else if (type == PNG_COLOR_TYPE_GRAY && bits < 8) png_set_expand_gray_1_2_4_to_8(png);
    bool transparent = !reader->numbers && png_get_valid(png, info, PNG_INFO_tRNS);
    if (type & PNG_COLOR_MASK_ALPHA || transparent) png_set_strip_alpha(png);
    if (bits == 16) png_set_swap(png);
}

static void store_png_row(const PngReader *reader, int64_t y, const unsigned char *row, int bits) {
    cai_image *image = reader->image;
    float largest = reader->numbers ? 1.0f : bits == 16 ? 65535.0f : 255.0f;
    for (int64_t c = 0; c < image->channels; c++) {
        float *out = image->pixels + (c * image->height + y) * image->width;
        for (int64_t x = 0; x < image->width; x++) {
            size_t at = (size_t)(x * image->channels + c);
            uint16_t wide;
            if (bits == 16) memcpy(&wide, row + 2 * at, sizeof wide);
            out[x] = (float)(bits == 16 ? wide : row[at]) / largest;
        }
    }
}

/* Deflate compresses at most 1032 to 1: a picture larger than the file can hold is
 * truncated, or its header is wrong. */
static bool is_plausible_size(const PngReader *reader, uint64_t row_bytes, uint64_t height) {
    uint64_t max = (uint64_t)(reader->end - reader->at) * 1032 + 1032;
    return row_bytes * height <= max ||
           cai_fail(reader->error, CAI_BAD_INPUT,
                    "%s: broken PNG: the file is cut off, or much too small for the size it claims",
                    reader->path);
}

static bool read_rows(PngReader *reader, png_structp png, png_infop info) {
    cai_image *image = reader->image;
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t row_bytes = png_get_rowbytes(png, info);
    int bits = png_get_bit_depth(png, info);
    int64_t height = png_get_image_height(png, info), width = png_get_image_width(png, info);
    if (!cai_image_new(reader->path, png_get_channels(png, info), height, width, image, reader->error))
        return false;
    if (!is_plausible_size(reader, (uint64_t)width / 8, (uint64_t)height)) return false;
    reader->rows = cai_allocate(row_bytes * (uint64_t)(passes > 1 ? height : 1), reader->path, reader->error);
    if (!reader->rows) return false;
    for (int pass = 0; pass < passes; pass++) {
        for (int64_t y = 0; y < height; y++) {
            unsigned char *row = reader->rows + (passes > 1 ? row_bytes * (size_t)y : 0);
            png_read_row(png, row, NULL);
            if (pass == passes - 1) store_png_row(reader, y, row, bits);
        }
    }
    return true;
}

static bool read_png(PngReader *reader, png_structp png, png_infop info, int *orientation) {
    /* ignored chunks, which could be large */
    static const unsigned char unused[] = "iCCP\0iTXt\0tEXt\0zTXt\0sPLT\0hIST";
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unused, 6);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* cai_image_new has the limit */
    png_set_read_fn(png, reader, read_png_bytes);
    png_read_info(png, info);
    set_transformations(reader, png, info);
    if (!read_rows(reader, png, info)) return false;
    png_read_end(png, info);
    png_bytep exif;
    png_uint_32 count;
    if (png_get_eXIf_1(png, info, &count, &exif)) cai_read_exif(exif, count, orientation);
    return true;
}

/* A chunk is a length, a name, data and a checksum. libpng allocates memory for a chunk
 * before it finds that the file is shorter. */
static bool chunks_fit(const unsigned char *bytes, size_t count) {
    for (size_t at = 8; at + 12 <= count;) {
        size_t length = png_get_uint_32(bytes + at);
        if (length > count - at - 12) return false;
        if (memcmp(bytes + at + 4, "IEND", 4) == 0) return true;
        at += length + 12;
    }
    return true; /* libpng reports what is wrong with the end */
}

static bool decode_png(PngReader *reader, int *orientation) {
    const char *path = reader->path;
    if (!chunks_fit(reader->at, (size_t)(reader->end - reader->at)))
        return cai_fail(reader->error, CAI_BAD_INPUT, "%s: broken PNG: the file is cut off", path);
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, on_read_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool read = info ? read_png(reader, png, info, orientation)
                     : cai_fail_memory(reader->error, sizeof(png_info *), path);
    png_destroy_read_struct(&png, &info, NULL);
    free(reader->rows);
    return read;
}

bool cai_png_decode(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                    int *orientation, cai_error *error) {
    PngReader reader = {.path = path, .at = bytes, .end = bytes + count, .image = image, .error = error};
    return decode_png(&reader, orientation);
}

bool cai_png_decode_numbers(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                            cai_error *error) {
    PngReader reader = {
        .path = path, .at = bytes, .end = bytes + count, .image = image, .numbers = true, .error = error};
    int orientation;
    *image = (cai_image){0};
    if (cai_format_of_bytes(bytes, count, CAI_HOLDS_PICTURE) != CAI_FORMAT_png)
        return cai_fail(error, CAI_BAD_INPUT, "%s: is not a PNG: numbers are read from palette or gray PNGs",
                        path);
    if (decode_png(&reader, &orientation) && image->channels == 1) return true;
    if (image->channels == 3)
        cai_fail(error, CAI_BAD_INPUT,
                 "%s: has colours, and numbers are read of palette or gray PNGs\n"
                 "  help: save it with a palette, whose indices are the numbers",
                 path);
    cai_image_free(image);
    return false;
}

/* ---- writing ---- */

static void on_write_error(png_structp png, png_const_charp text) {
    cai_sink *sink = png_get_error_ptr(png);
    if (!sink->failed) cai_fail(sink->error, CAI_BAD_INPUT, "PNG: %s", text);
    png_longjmp(png, 1);
}

static void write_png_bytes(png_structp png, png_bytep bytes, size_t count) {
    if (!cai_sink_write(png_get_io_ptr(png), bytes, count)) png_error(png, "not written");
}

static void flush_nothing(png_structp png) { (void)png; }

static bool write_png(cai_sink *sink, png_structp png, png_infop info, const unsigned char *pixels,
                      int channels, int64_t height, int64_t width) {
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_write_fn(png, sink, write_png_bytes, flush_nothing);
    png_set_compression_buffer_size(png, 1 << 16);
    png_set_compression_level(png, 4); /* within a few per cent of level 6, at twice the speed */
    png_set_filter(png, 0, PNG_FILTER_SUB | PNG_FILTER_UP | PNG_FILTER_PAETH);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8,
                 channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int64_t y = 0; y < height; y++) png_write_row(png, pixels + y * width * channels);
    png_write_end(png, NULL);
    return true;
}

bool cai_png_write(cai_output *output, const unsigned char *pixels, int channels, int64_t height,
                   int64_t width, cai_error *error) {
    cai_sink sink = {.output = output, .error = error};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, on_write_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool written = info ? write_png(&sink, png, info, pixels, channels, height, width)
                        : cai_fail_memory(error, 0, "a PNG");
    png_destroy_write_struct(&png, &info);
    if (!written && !sink.failed) cai_output_discard(output);
    return written;
}
