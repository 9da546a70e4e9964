/* The wing of files: whole files in and out, tensors and pictures in files, and fitting
 * pictures to a model. It uses core/; programs and the compiler use it. */
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
/* Maps a regular file read-only (nothing is read yet), and reads any other kind as
 * cai_file_read does. */
bool cai_file_map(const char *path, cai_file *file, cai_error *error);
void cai_file_close(cai_file *file);

/* "-", a device or a pipe: its name says nothing about the format. */
bool cai_is_stream(const char *path);

/* A file being written. Regular files are written to a temporary file beside their name,
 * which cai_output_finish renames, so that at any moment there is the old file or the
 * complete new one; devices and pipes are written directly; "-" is standard output. */
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

/* An output to which a codec writes piece by piece. */
typedef struct cai_sink {
    cai_output *output;
    cai_error *error;
    bool failed; /* an error is told, and the output discarded */
} cai_sink;

bool cai_sink_write(cai_sink *sink, const void *bytes, size_t count);

/* Numbers of up to eight bytes in files. */
uint64_t cai_little_endian(const unsigned char *at, int width);
uint64_t cai_big_endian(const unsigned char *at, int width);

/* Has the system put a folder's names on the disk, as a file's bytes are when it is
 * finished. */
bool cai_folder_sync(const char *path, cai_error *error);
/* Writes a whole file at once. */
bool cai_file_write(const char *path, const void *bytes, size_t count, cai_error *error);
/* From now on SIGINT, SIGTERM, SIGHUP, SIGQUIT and quick_exit remove unfinished files
 * before they end the program, and a closed pipe or the limit on sizes of files (SIGPIPE,
 * SIGXFSZ) is an error of writing; a mapped file that becomes shorter (SIGBUS) ends the
 * program with a message. */
void cai_clean_up_on_signals(void);

/* ---- formats.def, formats.c: which formats there are, and which one a file has ---- */

enum { /* CAI_FORMAT_png ... */
       CAI_NO_FORMAT = -1,
#define PICTURE(name, ...) CAI_FORMAT_##name,
#define BOXES(name, ...) CAI_FORMAT_##name,
#define TENSOR(name, ...) CAI_FORMAT_##name,
#define TENSORS(name, ...) CAI_FORMAT_##name,
#include "files/formats.def"
       CAI_FORMAT_COUNT
};

enum { /* what a format holds; requests may combine several */
       CAI_HOLDS_PICTURE = 1,
       CAI_HOLDS_BOXES = 2,
       CAI_HOLDS_TENSOR = 4,  /* one, without a name */
       CAI_HOLDS_TENSORS = 8, /* any number, by name */
       CAI_HOLDS_NUMBERS = CAI_HOLDS_TENSOR | CAI_HOLDS_TENSORS,
       CAI_HOLDS_ANYTHING = 15
};

#define CAI_MAX_ENDINGS 4
#define CAI_MAX_BEGINS 2

typedef struct cai_beginning {
    char bytes[12]; /* a ? is any byte */
    int count;
} cai_beginning;

typedef struct cai_format {
    int holds;                            /* one of CAI_HOLDS_* */
    char text[12];                        /* of pictures: the name in messages */
    char endings[CAI_MAX_ENDINGS][16];    /* endings of file names, the usual one first; then "" */
    cai_beginning begins[CAI_MAX_BEGINS]; /* how such a file begins; none: it is not recognised by that */
} cai_format;
extern const cai_format cai_formats[CAI_FORMAT_COUNT];

/* The format of a file, by its name or by its beginning, among formats that hold what is
 * requested; CAI_NO_FORMAT where it has none of them. */
int cai_format_of_name(const char *path, int holds);
int cai_format_of_bytes(const void *bytes, size_t count, int holds);
int cai_format_first(int holds); /* the format to write where no name tells it */
bool cai_has_extension(const char *path, const char *extension); /* letters of either case */

typedef struct cai_list {
    char text[200];
} cai_list;                             /* "a, b or c", by value: for messages */
cai_list cai_format_endings(int holds); /* ".png, .jpg or .jpeg" */
cai_list cai_picture_formats(void);     /* "PNG, JPEG or WebP" */

/* ---- inflate.c: what deflate packed ---- */

enum { CAI_GZIP = 15 + 16, CAI_DEFLATE = -15 }; /* zlib's words for a file and for bare data */

/* Exactly `count` bytes; false where there are fewer or more. */
bool cai_inflate(const char *path, int window, const unsigned char *bytes, size_t packed, unsigned char *out,
                 uint64_t count, cai_error *error);
/* A deflated byte unpacks to 1032 at most: more is not even to be allocated, whatever a
 * header claims. */
bool cai_inflates_to(size_t packed, uint64_t count);
/* The first bytes, as many as there are up to `most`; gives how many. */
size_t cai_inflate_begin(int window, const unsigned char *bytes, size_t packed, unsigned char *out,
                         size_t max);

/* ---- zip.c: the members of a zip file ---- */

typedef struct cai_zip_member {
    const char *name;
    const unsigned char *data; /* within the file, `packed` bytes */
    uint64_t packed, bytes;    /* bytes: unpacked */
    uint32_t checksum;
    uint16_t method, flags;
} cai_zip_member;

typedef struct cai_zip {
    const char *path;
    cai_zip_member *members; /* in the directory's order */
    int64_t count;
    char *names;
} cai_zip;

/* Reads the directory of a zip file in memory, which must outlive *zip; `path` is for
 * messages. After success every member lies within the file, and all of them together
 * are no larger than so many bytes could unpack to. */
bool cai_zip_open(const char *path, const unsigned char *bytes, size_t count, cai_zip *zip, cai_error *error);
void cai_zip_close(cai_zip *zip);
/* Where the member lies if it is not packed, else NULL. Its checksum is not compared. */
const unsigned char *cai_zip_stored(const cai_zip_member *member);
/* The member's `bytes` to `out`, by their checksum those that were packed. */
bool cai_zip_unpack(const cai_zip *zip, const cai_zip_member *member, unsigned char *out, cai_error *error);
/* Whether a member that is stored has its checksum. */
bool cai_zip_is_sound(const cai_zip *zip, const cai_zip_member *member, cai_error *error);

/* ---- tensor_type.c: conversions between types of elements ---- */

/* Elements first .. first + count as doubles or f32; any type. */
void cai_tensor_to_f64(const cai_tensor *tensor, int64_t first, int64_t count, double *out);
void cai_tensor_to_f32(const cai_tensor *tensor, int64_t first, int64_t count, float *out);
/* Of ints and bools, exactly; u64 beyond i64 wraps. Of floats the whole part, at most
 * what i64 holds; NaN is its least number. */
void cai_tensor_to_i64(const cai_tensor *tensor, int64_t first, int64_t count, int64_t *out);
/* All elements as `type`, one of program.h's. False where a value does not fit: a
 * fraction or an integer beyond an integer type. */
bool cai_tensor_convert(const cai_tensor *tensor, int type, void *out, cai_error *error);

float cai_f16_to_f32(uint16_t half);
uint16_t cai_f32_to_f16(float value); /* rounds to nearest, ties to even */
float cai_bf16_to_f32(uint16_t value);
uint16_t cai_f32_to_bf16(float value);

/* ---- tensor_file.c, and a file for each format: tensors in files ---- */

typedef struct cai_metadata { /* what a .safetensors says about itself */
    const char *key, *text;
} cai_metadata;

typedef struct cai_tensor_file {
    int format;          /* CAI_FORMAT_* */
    cai_tensor *tensors; /* in the order of the file's header */
    int64_t count;
    cai_metadata *metadata;
    int64_t metadata_count;
    cai_file file;              /* what `data` points into, unless it had to be converted */
    const cai_tensor **by_name; /* sorted, for cai_tensors_find */
    void *names;
    void *turned; /* the converted data of a .npy of another byte or axis order */
} cai_tensor_file;

/* Opens a file of tensors (recognised by its beginning), mapped where possible.
 * Everything about it is checked here: after success the data of every tensor is within
 * the file. `data` is valid until the close. */
bool cai_tensors_open(const char *path, cai_tensor_file *file, cai_error *error);
/* The same of bytes in memory, which must outlive *file; `path` is for messages. */
bool cai_tensors_parse(const char *path, const void *bytes, size_t count, cai_tensor_file *file,
                       cai_error *error);
void cai_tensors_close(cai_tensor_file *file);
const cai_tensor *cai_tensors_find(const cai_tensor_file *file, const char *name); /* or NULL */
const char *cai_tensors_metadata(const cai_tensor_file *file, const char *key);    /* or NULL */
/* Writes in the format of the name; a stream without one gets the first that holds so
 * many. */
bool cai_tensors_write(const char *path, const cai_tensor *tensors, int count, cai_error *error);
/* The same of a .safetensors with metadata. */
bool cai_tensors_write_with(const char *path, const cai_tensor *tensors, int count,
                            const cai_metadata *metadata, int metadata_count, cai_error *error);

/* Sets tensor->count from its sizes and *bytes from type and count; false where they are
 * beyond 63 bits. */
bool cai_tensor_count(cai_tensor *tensor, uint64_t *bytes);

/* The formats, for tensor_file.c. A parser fills tensors, count, names and turned, and
 * leaves the rest of *file alone. A writer discards the output on failure. */
typedef bool cai_tensor_parser(const char *path, const unsigned char *bytes, size_t count,
                               cai_tensor_file *file, cai_error *error);
typedef bool cai_tensor_writer(cai_output *output, const cai_tensor *tensors, int count, cai_error *error);
#define TENSOR(name, ...)                 \
    cai_tensor_parser cai_##name##_parse; \
    cai_tensor_writer cai_##name##_write;
#define TENSORS TENSOR
#include "files/formats.def"

/* ---- image.c, and a file for each format: pictures ---- */

/* Width times height: 134 million. Larger files are refused before anything is
 * decoded. */
#define CAI_MAX_PIXELS ((int64_t)1 << 27)

/* Column x is at left + across * x of another picture, row y at top + down * y. */
typedef struct cai_placement {
    double left, top, across, down;
} cai_placement;

typedef struct cai_image {
    int64_t channels, height, width; /* channels 1 or 3 */
    float *pixels;                   /* [channels, height, width], 0..1; malloc'd */
    cai_placement place;             /* in the picture that was decoded */
} cai_image;

/* Decodes a picture, whose format is recognised by its beginning: applies the EXIF
 * orientation, drops alpha, keeps 16 bits. `path` is for messages. */
bool cai_image_decode(const char *path, const void *bytes, size_t count, cai_image *image, cai_error *error);
bool cai_image_read(const char *path, cai_image *image, cai_error *error); /* "-" is standard input */
void cai_image_free(cai_image *image);
/* Gray to three equal channels, or colour to gray by BT.601 (0.299, 0.587, 0.114). */
bool cai_image_set_channels(cai_image *image, int64_t channels, cai_error *error);
/* Clamps to 0..1, rounds to the nearest of 256 levels (ties to even; NaN is 0), and
 * writes in the format of the name (JPEG: quality 95, colour not subsampled); a stream
 * without one gets the first. channels 1 or 3. */
bool cai_image_write(const char *path, const float *pixels, int64_t channels, int64_t height, int64_t width,
                     cai_error *error);

/* The formats, for image.c. A decoder fills *image and *orientation (EXIF's 1 to 8; left
 * alone where there is none); image.c frees the picture where it fails. A writer's
 * `pixels` are 8-bit samples, row major, channels together; it discards the output on
 * failure. */
typedef bool cai_picture_decoder(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                                 int *orientation, cai_error *error);
typedef bool cai_picture_writer(cai_output *output, const unsigned char *pixels, int channels, int64_t height,
                                int64_t width, cai_error *error);
#define PICTURE(name, ...)                   \
    cai_picture_decoder cai_##name##_decode; \
    cai_picture_writer cai_##name##_write;
#include "files/formats.def"
/* Sets sizes and allocates memory, within CAI_MAX_PIXELS. */
bool cai_image_new(const char *path, int64_t channels, int64_t height, int64_t width, cai_image *image,
                   cai_error *error);
/* png.c: whole numbers in a picture, as masks have them: the palette's places, or levels
 * of gray. */
bool cai_png_decode_numbers(const char *path, const unsigned char *bytes, size_t count, cai_image *image,
                            cai_error *error);
/* Sets the orientation where the EXIF data has one. */
void cai_read_exif(const unsigned char *tiff, size_t count, int *orientation);

/* What one side must be: `fixed` where > 0, else any multiple of `multiple`. */
typedef struct cai_extent {
    int64_t fixed, multiple;
    bool by_others; /* fixed by pictures that were loaded before, not by the model */
} cai_extent;

/* The functions of image.c, fit.c and the formats that a program with pictures uses,
 * through this table only, by a weak reference: a link with pictures requests the symbol
 * (ld's --undefined=cai_the_pictures) and adds the libraries of formats.def; any other
 * leaves the reference NULL and the formats out. */
typedef struct cai_pictures {
    bool (*decode)(const char *path, const void *bytes, size_t count, cai_image *image, cai_error *error);
    bool (*set_channels)(cai_image *image, int64_t channels, cai_error *error);
    bool (*fit)(cai_image *image, int fit, cai_extent height, cai_extent width, cai_error *error);
    bool (*write)(const char *path, const float *pixels, int64_t channels, int64_t height, int64_t width,
                  cai_error *error);
} cai_pictures;
extern const cai_pictures cai_the_pictures;

/* ---- fit.c: fits pictures to the sizes that a model takes ---- */

/* Fits the picture by `fit` (CAI_FIT_*) as docs/language.md defines it. CAI_FIT_EXACT
 * only checks. The message of a failure has no file name. */
bool cai_image_fit(cai_image *image, int fit, cai_extent height, cai_extent width, cai_error *error);
/* Antialiased bilinear: a triangle filter, widened where the picture shrinks. */
bool cai_image_resize(cai_image *image, int64_t height, int64_t width, cai_error *error);
/* The same of a part of the picture, which may begin and end within a pixel; what lies
 * beside the part counts where the filter reaches it. */
typedef struct cai_window {
    double left, top, width, height;
} cai_window;
bool cai_image_take(cai_image *image, cai_window window, int64_t height, int64_t width, cai_error *error);
bool cai_image_crop(cai_image *image, int64_t top, int64_t left, int64_t height, int64_t width,
                    cai_error *error);
/* Mirrors at the lower and right edge, without repeating the edge. */
bool cai_image_pad(cai_image *image, int64_t height, int64_t width, cai_error *error);
/* Puts the picture into the middle of a gray one, half a pixel up and to the left where
 * that is none. */
bool cai_image_box(cai_image *image, int64_t height, int64_t width, cai_error *error);

#endif
