/* The wing of built programs: the command line that follows from a model's signature, and
 * everything that a program does: find and load files, run, and store or print results.
 * It uses files/ and core/. `cai run --reference` runs a program that it makes itself
 * through it. */
#ifndef CAI_MAIN_H
#define CAI_MAIN_H

#include "files/files.h"

/* ---- main.c ---- */

/* Runs a whole program from its command line; returns its exit code. */
int cai_main(const cai_program *program, int argc, char **argv);

/* ---- command_line.c: the words after the program's name ---- */

#define CAI_MAX_RUNS 1000 /* of --time and --profile, whose median is taken */
#define CAI_LEAST_RUNS 5

typedef struct cai_named_file {
    int port; /* index of the input or output it was given for by name, or -1 */
    const char *path;
} cai_named_file;

typedef struct cai_command {
    const char *program; /* the last part of argv[0] */
    cai_named_file *inputs, *outputs;
    int input_count, output_count;
    int threads; /* 0: cai_default_threads() */
    int repeat;  /* how often --time and --profile run again; 0: for two seconds */
    bool profile, profile_json;
    int64_t seed;
    bool time, help, version;
} cai_command;

/* Paths point into argv. After a failure, too, command->program is set. */
bool cai_command_parse(const cai_program *program, int argc, char **argv, cai_command *command,
                       cai_error *error);
void cai_command_free(cai_command *command);

/* ---- help.c ---- */

void cai_print_help(const cai_program *program, const char *name, FILE *out);
/* "denoise [option]... PHOTO..." */
void cai_print_usage(const cai_program *program, const char *name, FILE *out);

/* ---- jobs.c: which files go into which run ---- */

typedef struct cai_feed { /* of one input in one run */
    const char *const *paths;
    int count; /* more than one: pictures that go in together */
} cai_feed;

typedef struct cai_jobs {
    int count;
    cai_feed *feeds;    /* count rows of program->input_count */
    const char *folder; /* the folder of the pictures, if all are from one; for naming results */
    void *memory;
} cai_jobs;

/* Whether any number of files goes into the input at once, whatever goes into the
 * others. */
bool cai_takes_any_number(const cai_program *program, int input);
/* Whether an output refers to the input's files by their places, so that all go into one
 * run. */
bool cai_is_named(const cai_program *program, int input);
bool cai_jobs_plan(const cai_program *program, const cai_command *command, cai_jobs *jobs, cai_notice *notice,
                   cai_error *error);
void cai_jobs_free(cai_jobs *jobs);

/* ---- load.c: loads files into the buffers of a run ---- */

typedef struct cai_padding { /* of one picture, in its pixels; equal where nothing was padded */
    int64_t height, width, padded_height, padded_width;
} cai_padding;

typedef struct cai_loaded { /* one input */
    int64_t dims[CAI_MAX_RANK];
    void *data;
    cai_padding *paddings; /* of its pictures, or NULL */
    /* The pictures before they were fitted, where boxes are drawn on them; `place` is
     * that of the fitted picture in the original. */
    cai_image *originals;
    int64_t picture_count, original_count;
} cai_loaded;

/* Loads all inputs of one run. `notice` may be NULL. */
bool cai_load(const cai_program *program, const cai_feed *feeds, cai_loaded *loaded, cai_notice *notice,
              cai_error *error);
void cai_loaded_free(const cai_program *program, cai_loaded *loaded);

/* ---- store.c: writes results to files, or to standard output ---- */

typedef struct cai_results {
    const cai_program *program;
    const cai_context *context;
    const cai_command *command;
    const cai_jobs *jobs;
    const cai_feed *feeds; /* of this run */
    const cai_loaded *loaded;
    void *const *outputs;
} cai_results;

/* Checks, before the first run, that all results can be named as requested. Makes the
 * folder for results. */
bool cai_store_check(const cai_program *program, const cai_command *command, const cai_jobs *jobs,
                     cai_error *error);
bool cai_store(const cai_results *results, cai_error *error);

/* ---- clock.c: --time ---- */

typedef struct cai_clock { /* milliseconds */
    double before_main, main, begun, loaded, first_kernel, ran;
} cai_clock;

void cai_clock_start(cai_clock *clock);          /* called first in main */
void cai_clock_begin(cai_clock *clock);          /* of one job: before its files are read */
void cai_clock_loaded(cai_clock *clock);         /* ... before its first kernel */
void cai_clock_ran(cai_clock *clock);            /* ... after its last */
void cai_clock_started(void *clock, int launch); /* for cai_context_watch */

typedef struct cai_rerun { /* a run to repeat */
    cai_context *context;
    cai_pool *pool;
    const void *const *inputs;
    void *const *outputs;
    int64_t seed;
    int count; /* how often; 0: for two seconds, five times at least */
} cai_rerun;

/* Runs again, and prints a table to standard error. */
bool cai_clock_repeat(cai_clock *clock, const cai_rerun *rerun, cai_error *error);
double cai_used_milliseconds(void); /* of CPU time, by all threads so far */
double cai_peak_memory(void);       /* the most that was resident so far, in MB */

/* ---- profile.c: --profile ---- */

/* Runs again, and prints to standard error what each kernel took, as a table or as
 * JSON. */
bool cai_profile(const cai_program *program, const cai_rerun *rerun, bool json, cai_error *error);

/* ---- report.c: results as text ---- */

/* The class's label; where it has none, "class 17", in *out. */
const char *cai_class_label(const cai_port *port, int64_t class, char *out, size_t size);
/* The best labels of every row, under its title where there is one. */
void cai_print_labels(const cai_context *context, const cai_port *port, const void *data,
                      const char *const *titles, int title_count, FILE *out);
/* Prints for each place among `choices` the name of the file at that place, after the
 * name of the file that it was found for (titles; may be NULL). */
void cai_print_names(const cai_context *context, const cai_port *port, int64_t choices, const void *data,
                     const cai_feed *files, const cai_feed *titles, FILE *out);
/* The text of every row, behind its title where there is one. */
void cai_print_text(const cai_context *context, const cai_port *port, const void *data,
                    const cai_feed *titles, FILE *out);
/* The first numbers of a tensor, with a summary of a long one. */
void cai_print_tensor(const cai_context *context, const cai_port *port, const void *data, FILE *out);

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

/* Those of `count` rows of a result `as boxes` that are boxes: the score is above 0 and
 * at least the port's, no number is NaN, and some part is within the picture. `place`: of
 * the model's input in the picture. */
bool cai_boxes_find(const cai_port *port, const float *rows, int64_t count, cai_placement place,
                    int64_t height, int64_t width, cai_found *found, cai_error *error);
void cai_boxes_free(cai_found *found);
void cai_boxes_print(const cai_port *port, const cai_found *found, FILE *out); /* a table */
/* One JSON value: a list with what was found on each picture. */
bool cai_boxes_write(const char *path, const cai_port *port, const cai_found *found, const char *const *names,
                     int64_t count, cai_error *error);
/* A frame, label and score for each box, the best on top, in a colour of their class; a
 * gray picture becomes a coloured one. */
bool cai_boxes_draw(cai_image *image, const cai_port *port, const cai_found *found, cai_error *error);

/* Letters are CAI_LETTER_WIDTH by CAI_LETTER_HEIGHT dots, with an empty column between
 * two. ASCII; any other character is a `?`. */
enum { CAI_LETTER_WIDTH = 5, CAI_LETTER_HEIGHT = 8 };
int64_t cai_text_width(const char *text); /* in dots */
bool cai_text_dot(const char *text, int64_t x, int64_t y);

/* What a program with boxes uses of them, through a table like cai_pictures. */
typedef struct cai_boxes {
    bool (*find)(const cai_port *port, const float *rows, int64_t count, cai_placement place, int64_t height,
                 int64_t width, cai_found *found, cai_error *error);
    void (*free)(cai_found *found);
    void (*print)(const cai_port *port, const cai_found *found, FILE *out);
    bool (*write)(const char *path, const cai_port *port, const cai_found *found, const char *const *names,
                  int64_t count, cai_error *error);
    bool (*draw)(cai_image *image, const cai_port *port, const cai_found *found, cai_error *error);
} cai_boxes;
extern const cai_boxes cai_the_boxes;

#endif
