/* The template of the C header of a library. In the header that cai writes for a model
 * (compiler/object/header.c), the name of the model replaces cai_model, as in the symbols
 * of the library (symbols.c), and this comment is left out. The types are the same for
 * all models. */

/* Usage:
 *
 *     cai_model_context *context;
 *     if (cai_model_create(&context) != CAI_OK) ...
 *     int64_t shape[] = {1, 3, 224, 224};
 *     cai_in in = {pixels, sizeof pixels, shape, 4};
 *     cai_out out = {scores, sizeof scores};
 *     if (cai_model_run(context, &in, 1, &out, 1) != CAI_OK) puts(cai_model_message(context));
 *     cai_model_destroy(context);
 *
 * A context has the memory and the threads of one run at a time. The weights are
 * constant, mapped from the file, and shared by all contexts. Any number of contexts may
 * run at once, but each is used by one thread at a time. Tensors are dense and row-major,
 * have the order of axes that the model declares, and belong to the caller. A call that
 * fails says why, and leaves its context as it was. No function prints, ends the program,
 * or changes signals or the locale, and nothing runs before the first call. */
#ifndef cai_model_h
#define cai_model_h

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- types, the same for all models ---- */

#ifndef CAI_TYPES
#define CAI_TYPES 1

typedef enum cai_status {
    CAI_OK = 0,
    /* sizes that the model does not take, or a buffer whose size does not match them */
    CAI_BAD_INPUT = 1,
    /* NULL, an index out of range, too few or too many inputs or outputs, buffers that
     * overlap or are not aligned */
    CAI_BAD_USAGE = 2,
    CAI_NO_MEMORY = 3, /* the context is intact, and a smaller size still runs */
    CAI_WRONG_CPU = 4, /* this CPU lacks instructions that the model was built for (cai build --target) */
    CAI_BUSY = 5,      /* another thread is within a call with this context */
    CAI_INTERNAL = 70  /* a bug in cai */
} cai_status;

/* The type of a tensor's elements. A bool is a byte, 0 or 1. */
typedef enum cai_type { CAI_F32, CAI_F16, CAI_BF16, CAI_I8, CAI_I32, CAI_I64, CAI_BOOL } cai_type;

/* The tensor that is passed for an input. */
typedef struct cai_in {
    const void *data;     /* aligned to the elements */
    size_t bytes;         /* of all elements, exactly: this detects elements of another type */
    const int64_t *shape; /* `rank` sizes; NULL if no size is free, or for the sizes that were prepared */
    int rank;             /* not read where shape is NULL */
} cai_in;

/* The memory for an output. It overlaps no input and no other output. */
typedef struct cai_out {
    void *data;
    size_t bytes; /* at least as many as the output takes */
} cai_out;

#define CAI_MAX_RANK 16

typedef struct cai_axis {
    int64_t size;     /* -1 if it is free */
    int64_t multiple; /* a free size is a multiple of this */
    /* the model's name for a free size, which is the same for equal sizes; NULL if it is
     * computed from others */
    const char *name;
} cai_axis;

/* What the elements of a tensor mean. */
typedef enum cai_form {
    CAI_FORM_TENSOR,
    CAI_FORM_IMAGE,  /* levels of light, 0 to 1: [pictures, channels, height, width] */
    CAI_FORM_LABELS, /* scores of classes: [pictures, classes] */
    /* left, top, right, bottom (in pixels of the input on which they were found), score,
     * class: [pictures, boxes, 6]; a row whose score is not above 0 is no box */
    CAI_FORM_BOXES,
    /* the numbers of pictures of an input, from 0: [pictures] or [pictures, places]; any
     * other number is no picture */
    CAI_FORM_NAMES,
    /* scores of characters, and of a blank, whose label is empty: [texts, places,
     * classes] */
    CAI_FORM_TEXT
} cai_form;

/* Describes an input or output. All strings are constant. */
typedef struct cai_info {
    const char *name;
    const char *text; /* "image[N, 3, H, W]", as the model declares it */
    cai_type type;
    int rank;
    cai_axis axes[CAI_MAX_RANK];
    int is_picture; /* whether its elements are levels of light, 0 to 1 */
    int label_count;
    const char *const *labels; /* of the classes along its last axis, or of those of boxes */
    cai_form form;
    int of;      /* the input on which boxes were found, or whose pictures are named; else -1 */
    float score; /* boxes with lower scores should not be shown */
} cai_info;

/* Calls task(argument, i) once for every 0 <= i < count, on any threads, and returns when
 * all calls have returned. */
typedef void (*cai_parallel_for)(void *user, int count, void (*task)(void *argument, int i), void *argument);

/* Functions of the caller's allocator. reserve returns memory at a multiple of alignment,
 * or NULL; release gets it back, with the same number of bytes. */
typedef void *(*cai_reserve)(void *user, size_t bytes, size_t alignment);
typedef void (*cai_release)(void *user, void *memory, size_t bytes);

/* A picture of 8-bit samples, in which the channels of a pixel are adjacent: RGB, RGBA,
 * gray. */
typedef struct cai_pixels {
    unsigned char *data;
    int64_t height, width;
    int channels;        /* how many are converted, from a pixel's first byte on */
    int pixel_bytes;     /* from a pixel to the next */
    ptrdiff_t row_bytes; /* from a row to the next; negative if the picture is stored upside down */
} cai_pixels;

#endif

/* ---- contexts ---- */

typedef struct cai_model_context cai_model_context;

cai_status cai_model_create(cai_model_context **context); /* *context is NULL after a failure */
void cai_model_destroy(cai_model_context *context);       /* its threads end with it; NULL is fine */

/* Why the last call with this context failed: which argument is wrong, what was passed,
 * and what is expected. Valid until the next call with the context. If there is no
 * message (create failed, CAI_BUSY, functions without a context), cai_model_status_text
 * says what the status means. */
const char *cai_model_message(const cai_model_context *context);
const char *cai_model_status_text(cai_status status);

/* Sets the number of threads of a run, including the caller's: 1 starts no thread. 0, the
 * default, takes it from CAI_NUM_THREADS or OMP_NUM_THREADS in the environment, or uses
 * all cores that the process may use. Threads start with the first run. Results are the
 * same bits for any number. */
cai_status cai_model_set_threads(cai_model_context *context, int threads);
/* Runs use the caller's pool, and up to `threads` of its threads at once, and start
 * none. */
cai_status cai_model_set_parallel_for(cai_model_context *context, cai_parallel_for run, void *user,
                                      int threads);
/* Takes the memory for intermediate results from the caller's allocator; NULL, NULL: from
 * the system, the default. There is one piece. If a run needs a larger one, the old one
 * is released; the last one is released by destroy. */
cai_status cai_model_set_memory(cai_model_context *context, cai_reserve reserve, cai_release release,
                                void *user);
/* Sets the seed of the model's random numbers, if it has any. The default is 0. */
cai_status cai_model_set_seed(cai_model_context *context, int64_t seed);

/* ---- inputs and outputs ---- */

int cai_model_input_count(void);
int cai_model_output_count(void);
cai_status cai_model_input_info(int index, cai_info *info);
cai_status cai_model_output_info(int index, cai_info *info);

/* ---- runs ---- */

/* prepare determines all sizes from the inputs' shapes (it reads neither data nor bytes)
 * and allocates memory, so that a run with the same sizes allocates none. After prepare,
 * and after run, output_shape writes the sizes of an output to `shape`, which has room
 * for `rank` of them. */
cai_status cai_model_prepare(cai_model_context *context, const cai_in *inputs, int input_count);
cai_status cai_model_output_shape(cai_model_context *context, int index, int64_t *shape, int rank);
cai_status cai_model_run(cai_model_context *context, const cai_in *inputs, int input_count,
                         const cai_out *outputs, int output_count);

/* ---- text ---- */

/* The text of a row of an output of the form CAI_FORM_TEXT: the best class of each place,
 * where consecutive equal classes count once, without the blanks. `scores` are the
 * elements that a run with the latest sizes wrote. *length (which may be NULL) becomes
 * the number of bytes of the whole text; `text` gets as many of them as fit before a
 * 0. */
cai_status cai_model_text(cai_model_context *context, int index, const float *scores, int64_t row, char *text,
                          size_t room, size_t *length);

/* ---- pictures ---- */

/* from_pixels converts pixels to planes [channels, height, width] of f32, 0 to 1;
 * to_pixels converts them back, clamped and rounded to the nearest level. `bytes` must be
 * the exact size of the planes. */
cai_status cai_model_from_pixels(const cai_pixels *pixels, float *planes, size_t bytes);
cai_status cai_model_to_pixels(const float *planes, size_t bytes, const cai_pixels *pixels);

#ifdef __cplusplus
}
#endif

#endif
