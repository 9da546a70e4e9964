/* The runtime's wing of files: whole files in and out, tensors and pictures in them, and what a
 * picture must become for a model. It stands on core/; programs and the compiler stand on it. */
#ifndef CAI_FILES_H
#define CAI_FILES_H

#include "core/core.h"

/* ---- file.c: whole files in, whole files out ---- */

typedef struct cai_file {
    const unsigned char *data; /* never NULL */
    size_t count;
    bool mapped;
} cai_file;

/* Reads a whole file into memory; "-" is standard input. */
bool cai_file_read(const char *path, cai_file *file, cai_error *error);
/* Maps a regular file read-only (nothing is read yet), and reads any other kind as cai_file_read
 * does. */
bool cai_file_map(const char *path, cai_file *file, cai_error *error);
void cai_file_close(cai_file *file);

/* "-", a device or a pipe: its name says nothing about the format. */
bool cai_is_stream(const char *path);

/* A file being written. Regular files are written beside their name and renamed by cai_output_finish,
 * so that at any moment there is the old file or the whole new one; devices and pipes are written
 * directly; "-" is standard output. */
typedef struct cai_output {
    int descriptor;
    char *path, *beside; /* beside: NULL where the file is written directly */
} cai_output;

bool cai_output_open(const char *path, cai_output *output, cai_error *error);
/* On failure discards. */
bool cai_output_write(cai_output *output, const void *bytes, size_t count, cai_error *error);
/* fsync, close, rename; on failure discards. */
bool cai_output_finish(cai_output *output, cai_error *error);
void cai_output_discard(cai_output *output);
/* All of it at once. */
bool cai_file_write(const char *path, const void *bytes, size_t count, cai_error *error);
/* From now on SIGINT, SIGTERM, SIGHUP, SIGQUIT and quick_exit remove unfinished files before they end
 * the program, and a closed pipe or the limit on sizes of files (SIGPIPE, SIGXFSZ) is an error of
 * writing; a mapped file that becomes shorter (SIGBUS) ends the program with a message. */
void cai_clean_up_on_signals(void);

/* ---- tensor_type.c: conversions between types of elements ---- */

/* Elements first .. first + count as doubles or f32; any type. */
void cai_tensor_to_f64(const cai_tensor *tensor, int64_t first, int64_t count, double *out);
void cai_tensor_to_f32(const cai_tensor *tensor, int64_t first, int64_t count, float *out);
/* Of ints and bools, exactly; u64 beyond i64 wraps. */
void cai_tensor_to_i64(const cai_tensor *tensor, int64_t first, int64_t count, int64_t *out);
/* All elements as `type`, one of program.h's. False where a value does not fit: a fraction or an
 * integer beyond an integer type. */
bool cai_tensor_convert(const cai_tensor *tensor, int type, void *out, cai_error *error);

float cai_f16_to_f32(uint16_t half);
uint16_t cai_f32_to_f16(float value); /* rounds to nearest, ties to even */
float cai_bf16_to_f32(uint16_t value);
uint16_t cai_f32_to_bf16(float value);

/* ---- tensor_file.c, safetensors.c, npy.c: tensors in files ---- */

typedef struct cai_tensor_file {
    cai_tensor *tensors; /* in the order of the file's header */
    int64_t count;
    cai_file file;              /* what `data` points into, unless it had to be turned */
    const cai_tensor **by_name; /* sorted, for cai_tensors_find */
    void *names;
    void *turned; /* the data of a .npy of another byte or axis order */
} cai_tensor_file;

/* Opens a .safetensors or .npy file (told apart by content), mapped where it can be. Everything about
 * it is checked here: after success every tensor's data lies within the file. `data` is valid until
 * the close. */
bool cai_tensors_open(const char *path, cai_tensor_file *file, cai_error *error);
/* The same of bytes in memory, which must outlive *file; `path` is for messages. */
bool cai_tensors_parse(const char *path, const void *bytes, size_t count, cai_tensor_file *file,
                       cai_error *error);
void cai_tensors_close(cai_tensor_file *file);
const cai_tensor *cai_tensors_find(const cai_tensor_file *file, const char *name); /* or NULL */
/* Writes by extension: .safetensors (any number) or .npy (exactly one); a stream gets .npy where
 * there is one tensor. */
bool cai_tensors_write(const char *path, const cai_tensor *tensors, int count, cai_error *error);

bool cai_is_npy(const void *bytes, size_t count);
bool cai_is_safetensors(const void *bytes, size_t count);
bool cai_has_extension(const char *path, const char *extension); /* letters of either case */
/* Sets tensor->count from its sizes and *bytes from type and count; false where they are beyond 63
 * bits. */
bool cai_tensor_count(cai_tensor *tensor, uint64_t *bytes);
/* The two formats, for tensor_file.c. The parsers fill tensors, names and turned; `file` they leave
 * alone. The writers discard the output on failure. */
bool cai_safetensors_parse(const char *path, const unsigned char *bytes, size_t count,
                           cai_tensor_file *file, cai_error *error);
bool cai_npy_parse(const char *path, const unsigned char *bytes, size_t count, cai_tensor_file *file,
                   cai_error *error);
bool cai_safetensors_write(cai_output *output, const cai_tensor *tensors, int count, cai_error *error);
bool cai_npy_write(cai_output *output, const cai_tensor *tensor, cai_error *error);

/* ---- image.c, png.c, jpeg.c: pictures ---- */

/* Width times height: 134 million. Larger files are refused before anything is decoded. */
#define CAI_MAX_PIXELS ((int64_t)1 << 27)

/* Column x lies at left + across * x of another picture, row y at top + down * y. */
typedef struct cai_placement {
    double left, top, across, down;
} cai_placement;

typedef struct cai_image {
    int64_t channels, height, width; /* channels 1 or 3 */
    float *pixels;                   /* [channels, height, width], 0..1; malloc'd */
    cai_placement place;             /* in the picture that was decoded */
} cai_image;

/* Decodes PNG or JPEG, told apart by content: EXIF orientation applied, alpha dropped, 16 bits kept.
 * `path` is for messages. */
bool cai_image_decode(const char *path, const void *bytes, size_t count, cai_image *image,
                      cai_error *error);
bool cai_image_read(const char *path, cai_image *image, cai_error *error); /* "-" is standard input */
void cai_image_free(cai_image *image);
/* Gray to three equal channels, or colour to gray by BT.601 (0.299, 0.587, 0.114). */
bool cai_image_set_channels(cai_image *image, int64_t channels, cai_error *error);
/* Clamps to 0..1, rounds to the nearest of 256 levels (ties to even; NaN is 0), and writes by
 * extension: .png, or .jpg and .jpeg (quality 95, colour not subsampled); streams get PNG. channels 1
 * or 3. */
bool cai_image_write(const char *path, const float *pixels, int64_t channels, int64_t height,
                     int64_t width, cai_error *error);

/* The two formats, for image.c. Decoders fill *image and *orientation (EXIF's 1 to 8; left alone
 * where there is none). */
bool cai_png_decode(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                    int *orientation, cai_error *error);
bool cai_jpeg_decode(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                     int *orientation, cai_error *error);
/* `pixels` are 8-bit samples, row major, channels together. */
bool cai_png_write(cai_output *output, const unsigned char *pixels, int channels, int64_t height,
                   int64_t width, cai_error *error);
bool cai_jpeg_write(cai_output *output, const unsigned char *pixels, int channels, int64_t height,
                    int64_t width, cai_error *error);
/* Sets sizes and memory, within CAI_MAX_PIXELS. */
bool cai_image_new(const char *path, int64_t channels, int64_t height, int64_t width, cai_image *image,
                   cai_error *error);
int cai_exif_orientation(const unsigned char *tiff, size_t count); /* 0 where there is none */

/* What one side must be: `fixed` where > 0, else any multiple of `multiple`. */
typedef struct cai_extent {
    int64_t fixed, multiple;
    bool by_others; /* it is fixed by pictures that were loaded before, not by the model */
} cai_extent;

/* What a program with pictures uses of the four files image.c, png.c, jpeg.c, fit.c, reached through
 * this table alone: a link that wants pictures asks for the symbol (ld's -u cai_the_pictures, then
 * -lpng -ljpeg -lz), any other leaves the reference NULL and the formats out. */
typedef struct cai_pictures {
    bool (*decode)(const char *path, const void *bytes, size_t count, cai_image *image,
                   cai_error *error);
    bool (*set_channels)(cai_image *image, int64_t channels, cai_error *error);
    bool (*fit)(cai_image *image, int fit, cai_extent height, cai_extent width, cai_error *error);
    bool (*write)(const char *path, const float *pixels, int64_t channels, int64_t height,
                  int64_t width, cai_error *error);
} cai_pictures;
extern const cai_pictures cai_the_pictures;

/* ---- fit.c: a picture to the sizes that a model takes ---- */

/* Fits the picture by `fit` (CAI_FIT_*) as docs/language.md defines it. CAI_FIT_EXACT only checks.
 * The message of a failure has no file name. */
bool cai_image_fit(cai_image *image, int fit, cai_extent height, cai_extent width, cai_error *error);
/* Antialiased bilinear: a triangle filter, widened where the picture shrinks. */
bool cai_image_resize(cai_image *image, int64_t height, int64_t width, cai_error *error);
bool cai_image_crop(cai_image *image, int64_t top, int64_t left, int64_t height, int64_t width,
                    cai_error *error);
/* Mirrors at the lower and right edge, without repeating the edge. */
bool cai_image_pad(cai_image *image, int64_t height, int64_t width, cai_error *error);

#endif
