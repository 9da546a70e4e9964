/* The library form as a C header. In the header that cai writes for a model
 * (compiler/object/header.c) the name of the model replaces cai_model, as in the symbols
 * of the library (symbols.c), and this comment is left out; the types are the same for
 * all models. */

/* How it is used:
 *
 *     cai_model_context *context;
 *     if (cai_model_create(&context) != CAI_OK) ...
 *     int64_t shape[] = {1, 3, 224, 224};
 *     cai_in in = {pixels, sizeof pixels, shape, 4};
 *     cai_out out = {scores, sizeof scores};
 *     if (cai_model_run(context, &in, 1, &out, 1) != CAI_OK) puts(cai_model_message(context));
 *     cai_model_destroy(context);
 *
 * A context holds what one run at a time needs; the weights are constant, mapped from the
 * file, and shared by all contexts. Threads may run as many contexts as they like at
 * once, each context by one thread at a time. Tensors are dense, row major, in the
 * model's own order of axes, and stay the caller's. A call that fails says why and leaves
 * its context as usable as before. Nothing here prints, ends the program, touches signals
 * or the locale, or does anything before it is called. */
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
    CAI_BAD_INPUT = 1, /* sizes that the model does not take, or a buffer that does not fit them */
    /* NULL, an index out of range, a number of inputs or outputs that is not the
     * model's */
    CAI_BAD_USAGE = 2,
    CAI_NO_MEMORY = 3,
    CAI_WRONG_CPU = 4, /* this machine lacks instructions that the model was built for (cai build --target) */
    CAI_BUSY = 5,      /* another thread is within a call with this context */
    CAI_INTERNAL = 70  /* a mistake of cai's */
} cai_status;

typedef enum cai_type { /* of elements; a bool is a byte, 0 or 1 */
                        CAI_F32,
                        CAI_F16,
                        CAI_BF16,
                        CAI_I8,
                        CAI_I32,
                        CAI_I64,
                        CAI_BOOL
} cai_type;

typedef struct cai_in {   /* what an input is given */
    const void *data;     /* aligned to its elements */
    size_t bytes;         /* of all elements, exactly: a check that the type is the one that was meant */
    const int64_t *shape; /* `rank` sizes; NULL where the model has no free size, or as prepared before */
    int rank;
} cai_in;

typedef struct cai_out { /* where an output goes; it overlaps no input and no other output */
    void *data;
    size_t bytes; /* of room: as many as the output takes, or more */
} cai_out;

#define CAI_MAX_RANK 16

typedef struct cai_axis {
    int64_t size;     /* -1 where it is free */
    int64_t multiple; /* a free size is a multiple of this */
    /* what the model calls a free size: axes of equal name are equal; NULL where it is
     * computed from others */
    const char *name;
} cai_axis;

typedef enum cai_form { /* what the elements mean */
                        CAI_FORM_TENSOR,
                        CAI_FORM_IMAGE,  /* levels of light, 0 to 1: [pictures, channels, height, width] */
                        CAI_FORM_LABELS, /* scores of classes: [pictures, classes] */
                        /* left, top, right, bottom (in pixels of the input that they are
                         * found on), score, class: [pictures, boxes, 6]; a row of a score
                         * that is not above 0 is none */
                        CAI_FORM_BOXES,
                        /* places of pictures of an input, from 0; any other number is
                         * none: [pictures], or [pictures, places] */
                        CAI_FORM_NAMES,
                        /* scores of characters, and of a blank, whose label is empty:
                         * [texts, places, classes] */
                        CAI_FORM_TEXT
} cai_form;

typedef struct cai_info { /* about an input or output; all texts are constant */
    const char *name;
    const char *text; /* "image[N, 3, H, W]", as the model declares it */
    cai_type type;
    int rank;
    cai_axis axes[CAI_MAX_RANK];
    int is_picture; /* its elements are levels of light, 0 to 1 */
    int label_count;
    const char *const *labels; /* of the classes: along its last axis, or those of boxes */
    cai_form form;
    int of;      /* the input that boxes are found on, or whose pictures names are of; else -1 */
    float score; /* boxes of less are not meant to be shown */
} cai_info;

/* Calls task(argument, i) for every 0 <= i < count, each once, on any threads, and
 * returns when all have returned. */
typedef void (*cai_parallel_for)(void *user, int count, void (*task)(void *argument, int i), void *argument);

/* The caller's memory: bytes at a multiple of alignment, or NULL; and back, with the same
 * number of bytes. */
typedef void *(*cai_reserve)(void *user, size_t bytes, size_t alignment);
typedef void (*cai_release)(void *user, void *memory, size_t bytes);

typedef struct cai_pixels { /* 8-bit samples, the channels of a pixel together: RGB, RGBA, gray */
    unsigned char *data;
    int64_t height, width;
    int channels;        /* to be converted, from a pixel's first byte on */
    int pixel_bytes;     /* from a pixel to the next */
    ptrdiff_t row_bytes; /* from a row to the next, negative where the picture lies upside down */
} cai_pixels;

#endif

/* ---- contexts ---- */

typedef struct cai_model_context cai_model_context;

cai_status cai_model_create(cai_model_context **context); /* *context is NULL after a failure */
void cai_model_destroy(cai_model_context *context);       /* its threads end with it; NULL is fine */

/* Why the last call with this context failed: the argument, what was given, what is
 * wanted. Valid until the next call with it. Where there is no context (create failed,
 * CAI_BUSY, the calls without one) cai_model_status_text says what the status means. */
const char *cai_model_message(const cai_model_context *context);
const char *cai_model_status_text(cai_status status);

/* Runs on this many threads, the caller's among them: 1 starts none. 0, the default: the
 * CAI_NUM_THREADS or OMP_NUM_THREADS of the environment, or all cores that the process
 * may use. They start with the first run. Results are the same bits for any number. */
cai_status cai_model_set_threads(cai_model_context *context, int threads);
/* Runs on the caller's pool, which uses up to `threads` threads at once, and starts
 * none. */
cai_status cai_model_set_parallel_for(cai_model_context *context, cai_parallel_for run, void *user,
                                      int threads);
/* Keeps intermediate results in memory of the caller's; NULL, NULL: in pages from the
 * system, the default. One piece is asked for where sizes are larger than any before, and
 * given back for a larger one, and at the end. */
cai_status cai_model_set_memory(cai_model_context *context, cai_reserve reserve, cai_release release,
                                void *user);
/* The seed of the model's random numbers, where it has any (0). */
cai_status cai_model_set_seed(cai_model_context *context, int64_t seed);

/* ---- what the model takes and gives ---- */

int cai_model_input_count(void);
int cai_model_output_count(void);
cai_status cai_model_input_info(int index, cai_info *info);
cai_status cai_model_output_info(int index, cai_info *info);

/* ---- runs ---- */

/* Sets all sizes from the inputs' shapes (data and bytes are not looked at) and provides
 * memory, so that a run of the same sizes provides none. After it, and after a run,
 * output_shape gives the sizes of an output; `rank` is the room in `shape`. */
cai_status cai_model_prepare(cai_model_context *context, const cai_in *inputs, int input_count);
cai_status cai_model_output_shape(cai_model_context *context, int index, int64_t *shape, int rank);
cai_status cai_model_run(cai_model_context *context, const cai_in *inputs, int input_count,
                         const cai_out *outputs, int output_count);

/* ---- text ---- */

/* The text of a row of an output whose form is CAI_FORM_TEXT: the best class of each
 * place, of equal ones in turn the first, without the blanks. `scores` are the elements
 * as a run of the latest sizes has written them. *length (may be NULL) is how many bytes
 * the whole text has; of those `text` gets as many as have room, and a 0. */
cai_status cai_model_text(cai_model_context *context, int index, const float *scores, int64_t row, char *text,
                          size_t room, size_t *length);

/* ---- pictures ---- */

/* Pixels to planes [channels, height, width] of f32, 0 to 1, and back: rounded to the
 * nearest level, what lies outside cut off. `bytes` is the size of the planes,
 * exactly. */
cai_status cai_model_from_pixels(const cai_pixels *pixels, float *planes, size_t bytes);
cai_status cai_model_to_pixels(const float *planes, size_t bytes, const cai_pixels *pixels);

#ifdef __cplusplus
}
#endif

#endif
