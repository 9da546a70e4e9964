/* The runtime's own header: what every built program contains besides its generated code. The compiler links the file formats
 * (file.c, tensor_file.c, image.c, fit.c) from here too; nothing here knows the compiler.
 *
 * Conventions. No function here but main() leaves the program or writes to a terminal. A function that can fail returns false
 * (or NULL), fills *error, and leaves nothing behind: no memory, no open file, no half-written file; its results are then not
 * specified and need no cleaning up. Texts of errors name the file, what was found, what was expected, what would mend it. */
#ifndef CAI_RUNTIME_H
#define CAI_RUNTIME_H

#include "core/program.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CAI_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define CAI_MAX_RUNS 1000 /* of --time and --profile, to take the median of */
#define CAI_LEAST_RUNS 5
#define CAI_VERSION "0.1"

/* ---- error.c ---- */

typedef struct cai_error {
    int status; /* cai_status */
    char message[1000]; /* one or more lines, without a newline at the end */
} cai_error;

/* Fills *error (cut to fit) and returns false. */
bool cai_fail(cai_error *error, int status, const char *format, ...) CAI_PRINTF(3, 4);
bool cai_fail_memory(cai_error *error, uint64_t bytes, const char *what);
/* Puts "PREFIX: " before the message. Returns false. */
bool cai_fail_within(cai_error *error, const char *format, ...) CAI_PRINTF(2, 3);
/* malloc and realloc with an error; zero bytes is fine. NULL on failure. */
void *cai_allocate(uint64_t bytes, const char *what, cai_error *error);
void *cai_reallocate(void *old, uint64_t bytes, const char *what, cai_error *error); /* on failure `old` is still there */

/* ---- machine.c: what this machine has and gives ---- */

bool cai_cpu_runs(uint32_t level); /* CAI_CPU_*: whether this CPU and system have what it needs */
int cai_cores(void);               /* in the affinity mask */
double cai_cpu_quota(void);        /* of the control groups, in cores; -1 where there is none */
uint64_t cai_memory_limit(void);   /* bytes: memory and swap, or the control groups' limit where that is less */

/* ---- thread.c: the pool ---- */

typedef struct cai_pool cai_pool;
/* Runs tasks begin <= t < end on thread number `worker`, 0 for the caller; no two calls of a number run at once. */
typedef void (*cai_task)(void *context, int64_t begin, int64_t end, int worker);

/* A pool of `threads` threads, the caller's being one of them; 0: cai_default_threads(). Where the system gives fewer threads
 * the pool is smaller. NULL when out of memory. A pool serves one caller at a time. */
cai_pool *cai_pool_new(int threads);
void cai_pool_free(cai_pool *pool);
/* A pool whose threads are those of the caller's own: up to `threads` of them at once, reached through `run`. */
cai_pool *cai_pool_lent(int threads, cai_parallel_for run, void *user);
/* Where several pools run at once, nobody spins if they have more threads than there are cores; nor do the threads of a pool whose run
 * is over, where they would take a core from another's. cai_context_run tells. */
void cai_pool_enter(cai_pool *pool);
void cai_pool_leave(cai_pool *pool);
int cai_pool_threads(const cai_pool *pool);
/* Runs tasks 0 .. tasks, a contiguous share a thread, and returns when
 * all are done. With one task or one thread it is a plain call. */
void cai_pool_run(cai_pool *pool, cai_task task, void *context, int64_t tasks);
/* CAI_NUM_THREADS, else OMP_NUM_THREADS, else the smaller of the affinity mask and the cgroup's quota (rounded up); at least 1. */
int cai_default_threads(void);
#define CAI_MAX_THREADS 1024

/* Arithmetic on denormals costs a hundred cycles and carries nothing in an image network: while kernels run, every thread that runs
 * them counts denormals as zero, operands and results. Gives the calling thread's mode to restore: all of it, flags included. A
 * context sets and restores its caller's; a pool's own threads keep the mode. */
uint64_t cai_flush_denormals(void);
void cai_restore_denormals(uint64_t mode);

/* ---- peak.c: what this machine gives at best ---- */

enum { CAI_LEVEL_1, CAI_LEVEL_2, CAI_LEVEL_3, CAI_LEVEL_MEMORY, CAI_LEVEL_COUNT };

typedef struct cai_peaks {
    int threads;                  /* all rates are of so many together */
    double flops;                 /* multiply-adds count twice; a second; 0 where nothing is known of this CPU */
    double read[CAI_LEVEL_COUNT]; /* bytes a second */
    int64_t caches[CAI_LEVEL_COUNT - 1]; /* their sizes; the first two are each core's own */
} cai_peaks;

/* Measures, on the pool's threads and with the vectors of `cpu` (CAI_CPU_*), for some twenty milliseconds. */
bool cai_measure_peaks(cai_pool *pool, uint32_t cpu, cai_peaks *peaks, cai_error *error);
int cai_peaks_level(const cai_peaks *peaks, double bytes); /* CAI_LEVEL_*: the innermost that holds so many, of all threads' caches together */

/* ---- run.c: a program, its sizes, one run ---- */

typedef struct cai_context cai_context;

/* A context belongs to one thread at a time; the program and its weights are shared. The pool stays the caller's. */
cai_context *cai_context_new(const cai_program *program, cai_pool *pool, cai_error *error);
/* Runs on another pool from now on; sizes must be prepared anew. */
void cai_context_set_pool(cai_context *context, cai_pool *pool);
void cai_context_free(cai_context *context);
/* Takes memory for intermediate results from the caller, or from the system again (NULL, NULL); sizes must be prepared anew. */
void cai_context_set_memory(cai_context *context, cai_reserve reserve, cai_release release, void *user);
/* Sets the sizes from the shapes of the inputs (shapes[i] has inputs[i].rank sizes), checks them, and provides memory. What was
 * prepared stays until the next call that succeeds. */
bool cai_context_prepare(cai_context *context, const int64_t *const *shapes, cai_error *error);
/* The same from values of the symbols in the user's units (N, H, W), for models whose inputs do not give them all. */
bool cai_context_prepare_symbols(cai_context *context, const int64_t *symbols, cai_error *error);
/* Sizes once prepared. */
int64_t cai_context_dim(const cai_context *context, const cai_port *port, int axis);
int64_t cai_context_size(const cai_context *context, int32_t index); /* sizes[index] of program.h; 0 where index is -1 */
int64_t cai_context_elements(const cai_context *context, const cai_port *port);
typedef struct cai_memory { uint64_t weights, intermediate, ports; } cai_memory; /* bytes, all that a run needs beside 2 MB for the program
                                                                                     itself; intermediate: working memory of all threads too */
cai_memory cai_context_memory(const cai_context *context);
/* Runs all launches. inputs and outputs are dense, in the order of the ports, aligned to their element. */
bool cai_context_run(cai_context *context, const void *const *inputs, void *const *outputs, int64_t seed, cai_error *error);
/* Calls `watch` (NULL: nobody) in each run before every kernel, with the number of its first launch, and behind the last with the number of
 * launches: for --time and --profile. */
void cai_context_watch(cai_context *context, void (*watch)(void *data, int launch), void *data);

typedef struct cai_run { /* what a run needs besides the program; arguments: room for those of any launch */
    cai_pool *pool;
    const int64_t *symbols, *sizes;
    const void *const *inputs;
    void *const *outputs;
    void **arguments;
    void (*watch)(void *data, int launch); /* as cai_context_watch has it, or NULL */
    void *watch_data;
} cai_run;
typedef bool (*cai_runner)(const cai_program *program, const cai_run *run, cai_error *error);
/* Runs by another function from now on, or by our own (NULL). By pointer, so that libraries go without it. */
void cai_context_run_by(cai_context *context, cai_runner runner);

/* ---- guard.c ---- */

/* Guarded runs: slow, and an access outside a buffer is an error that names the kernel, or ends the program with such a text. */
bool cai_run_guarded(const cai_program *program, const cai_run *run, cai_error *error);

/* "height", or "axis 2" where the port is no picture. */
const char *cai_port_axis_text(const cai_port *port, int axis, char *out, size_t size);

/* ---- file.c: whole files in, whole files out ---- */

typedef struct cai_file {
    const unsigned char *data; /* never NULL */
    size_t count;
    bool mapped;
} cai_file;

/* Reads a whole file into memory; "-" is standard input. */
bool cai_file_read(const char *path, cai_file *file, cai_error *error);
/* Maps a regular file read-only (nothing is read yet), and reads any other kind as cai_file_read does. */
bool cai_file_map(const char *path, cai_file *file, cai_error *error);
void cai_file_close(cai_file *file);

bool cai_is_stream(const char *path); /* "-", a device or a pipe: its name says nothing about the format */

/* A file being written. Regular files are written beside their name and renamed by cai_output_finish, so that at any moment there
 * is the old file or the whole new one; devices and pipes are written directly; "-" is standard output. */
typedef struct cai_output {
    int descriptor;
    char *path, *beside; /* beside: NULL where the file is written directly */
} cai_output;

bool cai_output_open(const char *path, cai_output *output, cai_error *error);
bool cai_output_write(cai_output *output, const void *bytes, size_t count, cai_error *error); /* on failure discards */
bool cai_output_finish(cai_output *output, cai_error *error); /* fsync, close, rename; on failure discards */
void cai_output_discard(cai_output *output);
bool cai_file_write(const char *path, const void *bytes, size_t count, cai_error *error); /* all of it at once */
/* From now on SIGINT, SIGTERM, SIGHUP, SIGQUIT and quick_exit remove unfinished files before they end the program, and a closed pipe or the
 * limit on sizes of files (SIGPIPE, SIGXFSZ) is an error of writing; a mapped file that becomes shorter (SIGBUS) ends the program with a
 * message. */
void cai_clean_up_on_signals(void);

/* ---- type_name.c, tensor_type.c: types of elements and conversions between them ---- */

enum { CAI_F64 = CAI_BOOL + 1, CAI_U8, CAI_I16, CAI_U16, CAI_U32, CAI_U64, CAI_TYPE_COUNT }; /* types that only files have */

typedef struct cai_tensor {
    const char *name;          /* "" where the format has none */
    int32_t type, rank;        /* CAI_F32 ... */
    int64_t dims[CAI_MAX_RANK];
    int64_t count;             /* of elements */
    const unsigned char *data; /* row major, little endian, perhaps not aligned */
} cai_tensor;

int cai_type_bytes(int type);
const char *cai_type_name(int type); /* "f32" */
bool cai_type_is_float(int type);
/* Elements first .. first + count as doubles or f32; any type. */
void cai_tensor_to_f64(const cai_tensor *tensor, int64_t first, int64_t count, double *out);
void cai_tensor_to_i64(const cai_tensor *tensor, int64_t first, int64_t count, int64_t *out); /* of ints and bools, exactly; u64 beyond i64 wraps */
void cai_tensor_to_f32(const cai_tensor *tensor, int64_t first, int64_t count, float *out);
/* All elements as `type`, one of program.h's. False where a value does not fit: a fraction or an integer beyond an integer type. */
bool cai_tensor_convert(const cai_tensor *tensor, int type, void *out, cai_error *error);
/* "f32[1, 3, 224, 224]"; returns out. */
const char *cai_tensor_shape_text(const cai_tensor *tensor, char *out, size_t size);

float cai_f16_to_f32(uint16_t half);
uint16_t cai_f32_to_f16(float value); /* rounds to nearest, ties to even */
float cai_bf16_to_f32(uint16_t value);
uint16_t cai_f32_to_bf16(float value);

/* ---- tensor_file.c, safetensors.c, npy.c: tensors in files ---- */

typedef struct cai_tensor_file {
    cai_tensor *tensors; /* in the order of the file's header */
    int64_t count;
    cai_file file;       /* what `data` points into, unless it had to be turned (.npy of another byte or axis order) */
    const cai_tensor **by_name; /* sorted, for cai_tensors_find */
    void *names, *turned;
} cai_tensor_file;

/* Opens a .safetensors or .npy file (told apart by content), mapped where it can be. Everything about it is checked here: after
 * success every tensor's data lies within the file. `data` is valid until the close. */
bool cai_tensors_open(const char *path, cai_tensor_file *file, cai_error *error);
/* The same of bytes in memory, which must outlive *file; `path` is for messages. */
bool cai_tensors_parse(const char *path, const void *bytes, size_t count, cai_tensor_file *file, cai_error *error);
void cai_tensors_close(cai_tensor_file *file);
const cai_tensor *cai_tensors_find(const cai_tensor_file *file, const char *name); /* NULL where there is none */
/* Writes by extension: .safetensors (any number) or .npy (exactly one); a stream gets .npy where there is one tensor. */
bool cai_tensors_write(const char *path, const cai_tensor *tensors, int count, cai_error *error);

bool cai_is_npy(const void *bytes, size_t count);
bool cai_is_safetensors(const void *bytes, size_t count);
bool cai_has_extension(const char *path, const char *extension); /* letters of either case */
/* Sets tensor->count from its sizes and *bytes from type and count; false where they are beyond 63 bits. */
bool cai_tensor_count(cai_tensor *tensor, uint64_t *bytes);
/* The two formats, for tensor_file.c. The parsers fill tensors, names and turned; `file` they leave alone. */
bool cai_safetensors_parse(const char *path, const unsigned char *bytes, size_t count, cai_tensor_file *file, cai_error *error);
bool cai_npy_parse(const char *path, const unsigned char *bytes, size_t count, cai_tensor_file *file, cai_error *error);
bool cai_safetensors_write(cai_output *output, const cai_tensor *tensors, int count, cai_error *error); /* on failure discards */
bool cai_npy_write(cai_output *output, const cai_tensor *tensor, cai_error *error);

/* ---- image.c, png.c, jpeg.c: pictures ---- */

#define CAI_MAX_PIXELS ((int64_t)1 << 27) /* width times height: 134 million; larger files are refused before anything is decoded */

typedef struct cai_placement { /* column x lies at left + across * x of another picture, row y at top + down * y */
    double left, top, across, down;
} cai_placement;

typedef struct cai_image {
    int64_t channels, height, width; /* channels 1 or 3 */
    float *pixels;                   /* [channels, height, width], 0..1; malloc'd */
    cai_placement place;             /* in the picture that was decoded */
} cai_image;

/* Decodes PNG or JPEG, told apart by content: EXIF orientation applied, alpha dropped, 16 bits kept. `path` is for messages. */
bool cai_image_decode(const char *path, const void *bytes, size_t count, cai_image *image, cai_error *error);
bool cai_image_read(const char *path, cai_image *image, cai_error *error); /* "-" is standard input */
void cai_image_free(cai_image *image);
/* Gray to three equal channels, or colour to gray by BT.601 (0.299, 0.587, 0.114). */
bool cai_image_set_channels(cai_image *image, int64_t channels, cai_error *error);
/* Clamps to 0..1, rounds to the nearest of 256 levels (ties to even; NaN is 0), and writes by extension: .png, or .jpg and .jpeg
 * (quality 95, colour not subsampled); streams get PNG. channels 1 or 3. */
bool cai_image_write(const char *path, const float *pixels, int64_t channels, int64_t height, int64_t width, cai_error *error);

/* The two formats, for image.c. Decoders fill *image and *orientation (EXIF's 1 to 8; left alone where there is none). */
bool cai_png_decode(const char *path, const unsigned char *bytes, size_t count, cai_image *image, int *orientation,
                    cai_error *error);
bool cai_jpeg_decode(const char *path, const unsigned char *bytes, size_t count, cai_image *image, int *orientation,
                     cai_error *error);
/* `pixels` are 8-bit samples, row major, channels together. */
bool cai_png_write(cai_output *output, const unsigned char *pixels, int channels, int64_t height, int64_t width, cai_error *error);
bool cai_jpeg_write(cai_output *output, const unsigned char *pixels, int channels, int64_t height, int64_t width, cai_error *error);
/* Sets sizes and memory, within CAI_MAX_PIXELS. */
bool cai_image_new(const char *path, int64_t channels, int64_t height, int64_t width, cai_image *image, cai_error *error);
int cai_exif_orientation(const unsigned char *tiff, size_t count); /* 0 where there is none */

typedef struct cai_extent { /* what one side must be: `fixed` where > 0, else any multiple of `multiple` */
    int64_t fixed, multiple;
    bool by_others; /* it is fixed by pictures that were loaded before, not by the model */
} cai_extent;

/* What a program with pictures uses of the four files image.c, png.c, jpeg.c, fit.c, reached through
 * this table alone: a link that wants pictures asks for the symbol (ld's -u cai_the_pictures, then
 * -lpng -ljpeg -lz), any other leaves the reference NULL and the formats out. */
typedef struct cai_pictures {
    bool (*decode)(const char *path, const void *bytes, size_t count, cai_image *image, cai_error *error);
    bool (*set_channels)(cai_image *image, int64_t channels, cai_error *error);
    bool (*fit)(cai_image *image, int fit, cai_extent height, cai_extent width, cai_error *error);
    bool (*write)(const char *path, const float *pixels, int64_t channels, int64_t height, int64_t width, cai_error *error);
} cai_pictures;
extern const cai_pictures cai_the_pictures;

/* ---- boxes.c, font.c: what was found on a picture ---- */

typedef struct cai_box { /* in pixels of the user's picture, within it */
    double left, top, right, bottom, score;
    int64_t class;
} cai_box;

typedef struct cai_found { /* the boxes of one picture, the best first */
    cai_box *boxes;
    int64_t count;
    int64_t height, width; /* of the picture */
} cai_found;

/* Of `count` rows of a result `as boxes` those that are boxes: the score is above 0 and at least the port's, no number is NaN, and
 * something of it lies within the picture. `place`: of the model's input in the picture. */
bool cai_boxes_find(const cai_port *port, const float *rows, int64_t count, cai_placement place, int64_t height, int64_t width,
                    cai_found *found, cai_error *error);
void cai_boxes_free(cai_found *found);
void cai_boxes_print(const cai_port *port, const cai_found *found, FILE *out); /* a table */
/* One JSON value: a list with what was found on each picture. */
bool cai_boxes_write(const char *path, const cai_port *port, const cai_found *found, const char *const *names, int64_t count,
                     cai_error *error);
/* A frame, label and score for each box, the best on top, in a colour of their class; a gray picture becomes a coloured one. */
bool cai_boxes_draw(cai_image *image, const cai_port *port, const cai_found *found, cai_error *error);

/* Letters are CAI_LETTER_WIDTH by CAI_LETTER_HEIGHT dots, with an empty column between two. ASCII; any other character is a `?`. */
enum { CAI_LETTER_WIDTH = 5, CAI_LETTER_HEIGHT = 8 };
int64_t cai_text_width(const char *text); /* in dots */
bool cai_text_dot(const char *text, int64_t x, int64_t y);

/* What a program with boxes uses of them, by a table as above. */
typedef struct cai_boxes {
    bool (*find)(const cai_port *port, const float *rows, int64_t count, cai_placement place, int64_t height, int64_t width,
                 cai_found *found, cai_error *error);
    void (*free)(cai_found *found);
    void (*print)(const cai_port *port, const cai_found *found, FILE *out);
    bool (*write)(const char *path, const cai_port *port, const cai_found *found, const char *const *names, int64_t count,
                  cai_error *error);
    bool (*draw)(cai_image *image, const cai_port *port, const cai_found *found, cai_error *error);
} cai_boxes;
extern const cai_boxes cai_the_boxes;

/* ---- fit.c: a picture to the sizes that a model takes ---- */

/* Fits the picture by `fit` (CAI_FIT_*) as docs/language.md defines it.
 * CAI_FIT_EXACT only checks. The message of a failure has no file name. */
bool cai_image_fit(cai_image *image, int fit, cai_extent height, cai_extent width, cai_error *error);
/* Antialiased bilinear: a triangle filter, widened where the picture shrinks. */
bool cai_image_resize(cai_image *image, int64_t height, int64_t width, cai_error *error);
bool cai_image_crop(cai_image *image, int64_t top, int64_t left, int64_t height, int64_t width, cai_error *error);
/* Mirrors at the lower and right edge, without repeating the edge. */
bool cai_image_pad(cai_image *image, int64_t height, int64_t width, cai_error *error);

/* ---- main.c ---- */

/* The whole run of a program from its command line; gives its exit code. */
int cai_main(const cai_program *program, int argc, char **argv);

/* ---- command_line.c: the words after the program's name ---- */

typedef struct cai_named_file {
    int port;         /* index of the input or output it was given for by name, or -1 */
    const char *path;
} cai_named_file;

typedef struct cai_command {
    const char *program; /* the last part of argv[0] */
    cai_named_file *inputs, *outputs;
    int input_count, output_count;
    int threads; /* 0: as cai_default_threads has it */
    int repeat;  /* how often --time and --profile run again; 0: for two seconds */
    bool profile, profile_json;
    int64_t seed;
    bool time, help, version;
} cai_command;

/* Paths point into argv. After a failure, too, command->program is set. */
bool cai_command_parse(const cai_program *program, int argc, char **argv, cai_command *command, cai_error *error);
void cai_command_free(cai_command *command);

/* ---- help.c ---- */

void cai_print_help(const cai_program *program, const char *name, FILE *out);
/* "denoise [option]... PHOTO..." */
void cai_print_usage(const cai_program *program, const char *name, FILE *out);

/* ---- jobs.c: which files go into which run ---- */

typedef struct cai_feed { /* of one input in one run */
    const char *const *paths;
    int count;            /* more than one: pictures that go in together */
} cai_feed;

typedef struct cai_jobs {
    int count;
    cai_feed *feeds;      /* count rows of program->input_count */
    const char *folder;   /* where pictures came from, if from one folder; for naming results */
    void *memory;
} cai_jobs;

/* Whether any number of files goes into the input at once, whatever goes into the others. */
bool cai_takes_any_number(const cai_program *program, int input);
/* Whether an output tells of its files by their places, so that all go into one run. */
bool cai_is_named(const cai_program *program, int input);
/* What a user may want to know of a file: "gray, widened to 3 channels". */
typedef void cai_notice(const char *path, const char *text);
bool cai_jobs_plan(const cai_program *program, const cai_command *command, cai_jobs *jobs, cai_notice *notice, cai_error *error);
void cai_jobs_free(cai_jobs *jobs);

/* ---- load.c: files into the buffers of a run ---- */

typedef struct cai_padding {
    int64_t height, width, padded_height, padded_width;
} cai_padding; /* of one picture; equal where nothing was padded */

typedef struct cai_loaded { /* one input */
    int64_t dims[CAI_MAX_RANK];
    void *data;
    cai_padding *paddings; /* of its pictures, or NULL */
    cai_image *originals;  /* as they were before they were fitted, where boxes are drawn on them; `place` is that of the fitted in them */
    int64_t picture_count, original_count;
} cai_loaded;

/* Loads all inputs of one run. `notice` may be NULL. */
bool cai_load(const cai_program *program, const cai_feed *feeds, cai_loaded *loaded, cai_notice *notice, cai_error *error);
void cai_loaded_free(const cai_program *program, cai_loaded *loaded);

/* ---- store.c: results into files, or to standard output ---- */

typedef struct cai_results {
    const cai_program *program;
    const cai_context *context;
    const cai_command *command;
    const cai_jobs *jobs;
    const cai_feed *feeds;     /* of this run */
    const cai_loaded *loaded;
    void *const *outputs;
} cai_results;

/* Whether all results can be named as asked, found out before the first run. Makes the folder that results go to. */
bool cai_store_check(const cai_program *program, const cai_command *command, const cai_jobs *jobs, cai_error *error);
bool cai_store(const cai_results *results, cai_error *error);

/* ---- clock.c: --time ---- */

typedef struct cai_clock { /* milliseconds */
    double before_main, main, begun, loaded, first_kernel, ran;
} cai_clock;

void cai_clock_start(cai_clock *clock);  /* first thing in main */
void cai_clock_begin(cai_clock *clock);  /* of one job: before its files are read */
void cai_clock_loaded(cai_clock *clock); /* ... before its first kernel */
void cai_clock_ran(cai_clock *clock);    /* ... after its last */
void cai_clock_started(void *clock, int launch); /* for cai_context_watch */

typedef struct cai_rerun { /* a run that was made once, to be made again */
    cai_context *context;
    cai_pool *pool;
    const void *const *inputs;
    void *const *outputs;
    int64_t seed;
    int count; /* how often; 0: for two seconds, five times at least */
} cai_rerun;

/* Runs again, and prints a table to standard error. */
bool cai_clock_repeat(cai_clock *clock, const cai_rerun *rerun, cai_error *error);
double cai_peak_memory(void); /* the most that was resident so far, in MB */

/* ---- profile.c: --profile ---- */

/* Runs again, and prints to standard error what each kernel took, as a table or as JSON. */
bool cai_profile(const cai_program *program, const cai_rerun *rerun, bool json, cai_error *error);

/* ---- report.c: results as text ---- */

void cai_print_json_string(const char *text, FILE *out); /* in quotes, with escapes where they are needed */
/* The class's label; where it has none, "class 17", in *out. */
const char *cai_class_label(const cai_port *port, int64_t class, char *out, size_t size);
/* The best labels of every row, under its title where there is one; for each place among `choices` the name of the file that stands there,
 * behind the name of the file that it was found for (titles; may be NULL);
 * and the first numbers of a tensor, with a summary of a long one. */
void cai_print_labels(const cai_context *context, const cai_port *port, const void *data, const char *const *titles,
                      int title_count, FILE *out);
void cai_print_names(const cai_context *context, const cai_port *port, int64_t choices, const void *data, const cai_feed *files,
                     const cai_feed *titles, FILE *out);
void cai_print_tensor(const cai_context *context, const cai_port *port, const void *data, FILE *out);

#endif
