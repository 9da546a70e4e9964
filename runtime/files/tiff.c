/* TIFF through libtiff. Gray and coloured pictures of 8 and 16 bits, whose samples stand
 * together in rows, are read as they are; all others by libtiff's conversion to 8 bits.
 * Of several pictures in one file the first is read. */
#include "files/files.h"
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

/* libtiff's list of codecs, in place of its own, which would link four more libraries to
 * every program: what is packed by LZMA, Zstandard, LERC, JBIG or WebP is told. */
extern int TIFFInitDumpMode(TIFF *, int), TIFFInitLZW(TIFF *, int), TIFFInitPackBits(TIFF *, int),
    TIFFInitJPEG(TIFF *, int), TIFFInitZIP(TIFF *, int), TIFFInitCCITTRLE(TIFF *, int),
    TIFFInitCCITTFax3(TIFF *, int), TIFFInitCCITTFax4(TIFF *, int);
const TIFFCodec _TIFFBuiltinCODECS[] = {{"None", COMPRESSION_NONE, TIFFInitDumpMode},
                                        {"LZW", COMPRESSION_LZW, TIFFInitLZW},
                                        {"PackBits", COMPRESSION_PACKBITS, TIFFInitPackBits},
                                        {"JPEG", COMPRESSION_JPEG, TIFFInitJPEG},
                                        {"Deflate", COMPRESSION_ADOBE_DEFLATE, TIFFInitZIP},
                                        {"Deflate", COMPRESSION_DEFLATE, TIFFInitZIP},
                                        {"CCITT RLE", COMPRESSION_CCITTRLE, TIFFInitCCITTRLE},
                                        {"CCITT Group 3", COMPRESSION_CCITTFAX3, TIFFInitCCITTFax3},
                                        {"CCITT Group 4", COMPRESSION_CCITTFAX4, TIFFInitCCITTFax4},
                                        {NULL, 0, NULL}};

/* It stands beside the list, so that neither of libtiff's two is linked. */
int TIFFIsCODECConfigured(uint16_t scheme) {
    const TIFFCodec *codec = _TIFFBuiltinCODECS;
    while (codec->name && codec->scheme != scheme) codec++;
    return codec->name != NULL;
}

/* ---- memory as libtiff's file ---- */

typedef struct TiffFile {
    const char *path;
    const unsigned char *bytes; /* of a file that is read */
    unsigned char *written;     /* of one that is written */
    size_t at, count, room;
    bool failed; /* the error is told */
    cai_error *error;
} TiffFile;

static tsize_t read_tiff_bytes(thandle_t handle, void *out, tsize_t wanted) {
    TiffFile *file = handle;
    const unsigned char *bytes = file->bytes ? file->bytes : file->written;
    size_t left = file->at < file->count ? file->count - file->at : 0,
           count = (size_t)wanted < left ? (size_t)wanted : left;
    memcpy(out, bytes + file->at, count);
    file->at += count;
    return (tsize_t)count;
}

static bool make_tiff_room(TiffFile *file, size_t count) {
    if (count <= file->room) return true;
    unsigned char *larger = cai_reallocate(file->written, 2 * count, "a TIFF", file->error);
    if (!larger) return file->failed = true, false;
    memset(larger + file->room, 0, 2 * count - file->room);
    file->written = larger;
    file->room = 2 * count;
    return true;
}

static tsize_t write_tiff_bytes(thandle_t handle, void *bytes, tsize_t count) {
    TiffFile *file = handle;
    if (file->bytes || !make_tiff_room(file, file->at + (size_t)count)) return -1;
    memcpy(file->written + file->at, bytes, (size_t)count);
    file->at += (size_t)count;
    if (file->at > file->count) file->count = file->at;
    return count;
}

static toff_t seek_tiff(thandle_t handle, toff_t offset, int whence) {
    TiffFile *file = handle;
    size_t from = whence == SEEK_CUR ? file->at : whence == SEEK_END ? file->count : 0;
    return file->at = from + offset;
}

static toff_t size_of_tiff(thandle_t handle) { return ((TiffFile *)handle)->count; }
static int close_tiff(thandle_t handle) { return (void)handle, 0; }

/* Its first error is the cause. */
static int on_tiff_error(TIFF *tiff, void *data, const char *module, const char *format, va_list values) {
    TiffFile *file = data;
    char text[300];
    (void)tiff, (void)module;
    vsnprintf(text, sizeof text, format, values);
    if (!file->failed)
        cai_fail(file->error, CAI_BAD_INPUT, "%s%s%s", file->path, file->bytes ? ": broken TIFF: " : ": ",
                 text);
    file->failed = true;
    return 1;
}

static int on_tiff_warning(TIFF *tiff, void *data, const char *module, const char *format, va_list values) {
    return (void)tiff, (void)data, (void)module, (void)format, (void)values, 1;
}

static TIFF *open_tiff(TiffFile *file, const char *mode) {
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) return NULL;
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_tiff_error, file);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_tiff_warning, file);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)CAI_MAX_PIXELS * 8);
    TIFF *tiff = TIFFClientOpenExt(file->path, mode, file, read_tiff_bytes, write_tiff_bytes, seek_tiff,
                                   close_tiff, size_of_tiff, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return tiff;
}

static bool fail_tiff(TiffFile *file, const char *what) {
    if (!file->failed) cai_fail(file->error, CAI_BAD_INPUT, "%s: broken TIFF: %s", file->path, what);
    return false;
}

/* ---- reading ---- */

typedef struct TiffForm { /* of the picture */
    uint32_t width, height;
    uint16_t bits, samples, photometric, planes, format, compression, orientation;
} TiffForm;

static TiffForm tiff_form_of(TIFF *tiff) {
    TiffForm form = {0};
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &form.width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &form.height);
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &form.photometric);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &form.bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &form.samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &form.planes);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &form.format);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &form.compression);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &form.orientation);
    return form;
}

/* Whether rows of libtiff hold the samples as cai wants them. */
static bool has_plain_rows(TIFF *tiff, const TiffForm *form) {
    bool gray = form->photometric == PHOTOMETRIC_MINISBLACK && form->samples >= 1,
         coloured = form->photometric == PHOTOMETRIC_RGB && form->samples >= 3;
    return (gray || coloured) && (form->bits == 8 || form->bits == 16) && form->samples <= 8 &&
           form->format == SAMPLEFORMAT_UINT && form->planes == PLANARCONFIG_CONTIG && !TIFFIsTiled(tiff);
}

static void store_tiff_row(const TiffForm *form, const unsigned char *row, int64_t y, cai_image *image) {
    for (int64_t c = 0; c < image->channels; c++)
        for (int64_t x = 0; x < image->width; x++) {
            int64_t at = x * form->samples + c;
            uint16_t wide = row[at];
            if (form->bits == 16) memcpy(&wide, row + 2 * at, sizeof wide);
            image->pixels[(c * image->height + y) * image->width + x] =
                (float)wide / (form->bits == 16 ? 65535.0f : 255.0f);
        }
}

static bool read_plain_rows(TiffFile *file, TIFF *tiff, const TiffForm *form, cai_image *image) {
    int64_t channels = form->photometric == PHOTOMETRIC_RGB ? 3 : 1;
    if (!cai_image_new(file->path, channels, form->height, form->width, image, file->error)) return false;
    unsigned char *row = cai_allocate((uint64_t)TIFFScanlineSize(tiff), file->path, file->error);
    bool good = row != NULL;
    for (uint32_t y = 0; y < form->height && good; y++) {
        good = TIFFReadScanline(tiff, row, y, 0) == 1 && !file->failed;
        if (good) store_tiff_row(form, row, y, image);
        else fail_tiff(file, "its data is damaged");
    }
    free(row);
    return good;
}

static bool is_gray_form(const TiffForm *form) {
    return form->photometric == PHOTOMETRIC_MINISBLACK || form->photometric == PHOTOMETRIC_MINISWHITE;
}

static void store_raster(const uint32_t *raster, cai_image *image) {
    int64_t plane = image->height * image->width;
    for (int64_t c = 0; c < image->channels; c++)
        for (int64_t i = 0; i < plane; i++)
            image->pixels[c * plane + i] = (float)(raster[i] >> 8 * c & 255) / 255.0f;
}

/* In the order of the file's rows, whatever its orientation: image.c turns it. */
static bool read_converted(TiffFile *file, TIFF *tiff, const TiffForm *form, cai_image *image) {
    if (!cai_image_new(file->path, is_gray_form(form) ? 1 : 3, form->height, form->width, image, file->error))
        return false;
    uint32_t *raster =
        cai_allocate((uint64_t)(image->height * image->width) * sizeof *raster, file->path, file->error);
    if (!raster) return false;
    bool read = TIFFReadRGBAImageOriented(tiff, form->width, form->height, raster, form->orientation, 1) &&
                !file->failed;
    if (read) store_raster(raster, image);
    else fail_tiff(file, "its data is damaged");
    free(raster);
    return read;
}

/* Of what is packed without loss a byte holds 2,600 at most, but for rows of a fax, which
 * may all be white. */
static bool is_plausible_tiff(TiffFile *file, const TiffForm *form) {
    bool fax = form->bits == 1 && form->compression >= COMPRESSION_CCITTRLE &&
               form->compression <= COMPRESSION_CCITTFAX4;
    uint64_t bytes = (uint64_t)form->width * form->height * form->bits / 8;
    return fax || bytes / 2600 <= file->count ||
           fail_tiff(file, "the file is cut off, or much too small for the size it claims");
}

/* A directory is a number of entries, the entries of 12 bytes, and the place of the next
 * one, which libtiff does not miss. */
static bool has_whole_directory(TiffFile *file, TIFF *tiff) {
    const unsigned char *at = file->bytes + TIFFCurrentDirOffset(tiff);
    size_t entries = file->bytes[0] == 'M' ? cai_big_endian(at, 2) : cai_little_endian(at, 2);
    return 2 + 12 * entries + 4 <= file->count - TIFFCurrentDirOffset(tiff) ||
           fail_tiff(file, "the file is cut off");
}

static bool read_tiff(TiffFile *file, TIFF *tiff, cai_image *image, int *orientation) {
    TiffForm form = tiff_form_of(tiff);
    if (!has_whole_directory(file, tiff) || !is_plausible_tiff(file, &form)) return false;
    if (!TIFFIsCODECConfigured(form.compression))
        return cai_fail(file->error, CAI_BAD_INPUT,
                        "%s: is a TIFF packed by method %d, which cai does not read\n"
                        "  help: `convert %s picture.png`",
                        file->path, form.compression, file->path);
    bool read = (has_plain_rows(tiff, &form) ? read_plain_rows : read_converted)(file, tiff, &form, image);
    if (read && form.orientation >= 1 && form.orientation <= 8) *orientation = form.orientation;
    return read;
}

bool cai_tiff_decode(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                     int *orientation, cai_error *error) {
    TiffFile file = {.path = path, .bytes = bytes, .count = count, .error = error};
    TIFF *tiff = open_tiff(&file, "rm");
    if (!tiff) return fail_tiff(&file, "its header is damaged");
    bool read = read_tiff(&file, tiff, image, orientation);
    TIFFClose(tiff);
    return read;
}

/* ---- writing ---- */

static bool write_tiff(TIFF *tiff, const unsigned char *pixels, int channels, int64_t height, int64_t width) {
    const size_t row = (size_t)(width * channels);
    bool good =
        TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, (uint32_t)width) &&
        TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, (uint32_t)height) &&
        TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8) &&
        TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, channels) &&
        TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, channels == 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK) &&
        TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) &&
        TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_LZW) &&
        TIFFSetField(tiff, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL) &&
        TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, TIFFDefaultStripSize(tiff, 0));
    for (int64_t y = 0; y < height && good; y++)
        good = TIFFWriteScanline(tiff, (void *)(pixels + (size_t)y * row), (uint32_t)y, 0) == 1;
    return good && TIFFFlush(tiff);
}

/* libtiff writes places of what follows into what stands before: the file is made in
 * memory, and an output may be a pipe. */
bool cai_tiff_write(cai_output *output, const unsigned char *pixels, int channels, int64_t height,
                    int64_t width, cai_error *error) {
    TiffFile file = {.path = "a TIFF", .error = error};
    TIFF *tiff = open_tiff(&file, "wm");
    bool made = tiff && write_tiff(tiff, pixels, channels, height, width) && !file.failed;
    if (tiff) TIFFClose(tiff);
    if (!made && !file.failed) cai_fail_memory(error, (uint64_t)(height * width * channels), "a TIFF");
    if (!made) cai_output_discard(output);
    bool written = made && cai_output_write(output, file.written, file.count, error);
    free(file.written);
    return written;
}
