/* JPEG through libjpeg. Its errors jump: what must be freed then lives in a struct
 * outside the function that jumps. */
#include "files/files.h"
#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define QUALITY 95
#define MAX_SCANS \
    500 /* each scan of a progressive file may cover the whole picture: a small file could ask for hours */

typedef struct Failure { /* libjpeg's error manager, and where to jump */
    struct jpeg_error_mgr manager;
    jmp_buf jump;
    const char *path;
    cai_error *error;
} Failure;

static void on_error(j_common_ptr info) {
    Failure *failure = (Failure *)info->err;
    char text[JMSG_LENGTH_MAX];
    failure->manager.format_message(info, text);
    cai_fail(failure->error, CAI_BAD_INPUT, "%s: %s%s", failure->path,
             info->is_decompressor ? "broken JPEG: " : "", text);
    longjmp(failure->jump, 1);
}

/* libjpeg only warns of missing or corrupt data, which it paints gray; other warnings
 * have no effect. */
static void on_message(j_common_ptr info, int level) {
    int code = info->err->msg_code;
    if (level >= 0 || (code != JWRN_JPEG_EOF && code != JWRN_HIT_MARKER && code != JWRN_HUFF_BAD_CODE))
        return;
    Failure *failure = (Failure *)info->err;
    cai_fail(failure->error, CAI_BAD_INPUT, "%s: broken JPEG: %s", failure->path,
             code == JWRN_HUFF_BAD_CODE ? "its data is damaged" : "the file is cut off");
    longjmp(failure->jump, 1);
}

static struct jpeg_error_mgr *set_failure(Failure *failure, const char *path, cai_error *error) {
    jpeg_std_error(&failure->manager);
    failure->manager.error_exit = on_error;
    failure->manager.emit_message = on_message;
    failure->path = path;
    failure->error = error;
    return &failure->manager;
}

/* ---- reading ---- */

static void on_progress(j_common_ptr info) {
    j_decompress_ptr jpeg = (j_decompress_ptr)info;
    Failure *failure = (Failure *)info->err;
    if (jpeg->input_scan_number <= MAX_SCANS) return;
    cai_fail(failure->error, CAI_BAD_INPUT, "%s: has more than %d scans, as no camera or program writes",
             failure->path, MAX_SCANS);
    longjmp(failure->jump, 1);
}

typedef struct JpegReader {
    struct jpeg_decompress_struct jpeg;
    Failure failure;
    struct jpeg_progress_mgr progress;
    cai_image *image;
    unsigned char *row;
} JpegReader;

static void read_orientation(j_decompress_ptr jpeg, int *orientation) {
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next) {
        if (marker->marker != JPEG_APP0 + 1 || marker->data_length < 6 ||
            memcmp(marker->data, "Exif\0\0", 6) != 0)
            continue;
        cai_read_exif(marker->data + 6, marker->data_length - 6, orientation);
    }
}

/* Row y, with 1, 3 or 4 samples a pixel. Four are CMYK, which Adobe's
 * programs store inverted: then light is the product of the samples. */
static void store_jpeg_row(cai_image *image, int64_t y, const unsigned char *row, int samples,
                           bool inverted) {
    int64_t plane = image->height * image->width;
    float *out = image->pixels + y * image->width;
    for (int64_t x = 0; x < image->width; x++, row += samples) {
        float key = samples < 4 ? 255 : (float)(inverted ? row[3] : 255 - row[3]);
        for (int64_t c = 0; c < image->channels; c++) {
            float value = (float)(samples == 4 && !inverted ? 255 - row[c] : row[c]);
            out[c * plane + x] = samples == 4 ? value * key / 65025.0f : value / 255.0f;
        }
    }
}

static bool read_jpeg(JpegReader *reader, const unsigned char *bytes, size_t count, int *orientation) {
    j_decompress_ptr jpeg = &reader->jpeg;
    if (setjmp(reader->failure.jump)) return false;
    jpeg_create_decompress(jpeg);
    reader->progress.progress_monitor = on_progress;
    jpeg->progress = &reader->progress;
    jpeg_mem_src(jpeg, bytes, count);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(jpeg, TRUE);
    read_orientation(jpeg, orientation);
    bool gray = jpeg->jpeg_color_space == JCS_GRAYSCALE, four = jpeg->num_components == 4;
    jpeg->out_color_space = gray ? JCS_GRAYSCALE : four ? JCS_CMYK : JCS_RGB;
    if (!cai_image_new(reader->failure.path, gray ? 1 : 3, jpeg->image_height, jpeg->image_width,
                       reader->image, reader->failure.error))
        return false;
    jpeg_start_decompress(jpeg);
    reader->row = cai_allocate((uint64_t)jpeg->output_width * (unsigned)jpeg->output_components,
                               reader->failure.path, reader->failure.error);
    if (!reader->row) return false;
    while (jpeg->output_scanline < jpeg->output_height) {
        int64_t y = jpeg->output_scanline;
        jpeg_read_scanlines(jpeg, &reader->row, 1);
        store_jpeg_row(reader->image, y, reader->row, jpeg->output_components, jpeg->saw_Adobe_marker);
    }
    jpeg_finish_decompress(jpeg);
    return true;
}

bool cai_jpeg_decode(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                     int *orientation, cai_error *error) {
    JpegReader reader = {.image = image};
    reader.jpeg.err = set_failure(&reader.failure, path, error);
    bool read = read_jpeg(&reader, bytes, count, orientation);
    jpeg_destroy_decompress(&reader.jpeg);
    free(reader.row);
    return read;
}

/* ---- writing: to memory first, as libjpeg's own destinations can fail only by jumps ---- */

typedef struct JpegWriter {
    struct jpeg_compress_struct jpeg;
    Failure failure;
    unsigned char *bytes;
    unsigned long count;
} JpegWriter;

static bool write_jpeg(JpegWriter *writer, const unsigned char *pixels, int channels, int64_t height,
                       int64_t width) {
    j_compress_ptr jpeg = &writer->jpeg;
    if (setjmp(writer->failure.jump)) return false;
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, &writer->bytes, &writer->count);
    jpeg->image_width = (JDIMENSION)width;
    jpeg->image_height = (JDIMENSION)height;
    jpeg->input_components = channels;
    jpeg->in_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, QUALITY, TRUE);
    for (int c = 0; c < jpeg->num_components; c++)
        jpeg->comp_info[c].h_samp_factor = jpeg->comp_info[c].v_samp_factor = 1;
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = (JSAMPROW)pixels + (size_t)jpeg->next_scanline * (size_t)width * (size_t)channels;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
    return true;
}

bool cai_jpeg_write(cai_output *output, const unsigned char *pixels, int channels, int64_t height,
                    int64_t width, cai_error *error) {
    JpegWriter writer = {.count = 0};
    writer.jpeg.err = set_failure(&writer.failure, output->path ? output->path : "standard output", error);
    bool made = write_jpeg(&writer, pixels, channels, height, width);
    jpeg_destroy_compress(&writer.jpeg);
    if (!made) cai_output_discard(output);
    bool written = made && cai_output_write(output, writer.bytes, writer.count, error);
    free(writer.bytes);
    return written;
}
