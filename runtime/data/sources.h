/* The internal header of this wing. A source (idx.c, folder.c, ...) finds samples and
 * groups them in portions, whose columns have the values of each field. dataset.c numbers
 * the samples of all portions, and reads single ones. */
#ifndef CAI_DATA_SOURCES_H
#define CAI_DATA_SOURCES_H

#include "data/data.h"
#include <pthread.h>

/* ---- memory.c: memory that lives as long as a data set ---- */

typedef struct cai_arena {
    struct cai_block *blocks;
} cai_arena;
/* Zeroed memory, with the alignment of malloc. */
void *cai_arena_take(cai_arena *arena, uint64_t bytes, cai_error *error);
/* Copies with a final zero: the first `length` bytes of a text; "%s/%s" of two. */
char *cai_arena_text(cai_arena *arena, const char *text, size_t length, cai_error *error);
char *cai_arena_path(cai_arena *arena, const char *folder, const char *name, cai_error *error);
void cai_arena_free(cai_arena *arena);

/* ---- order.c: which sample is at a position, and its random numbers ---- */

/* 64 random bits as a function of the arguments: splitmix64(splitmix64(key) + i). */
uint64_t cai_data_mix(uint64_t key, uint64_t i);
/* Random number `which` of a position, 0 <= u < 1. `key` is mix(key of the set,
 * position). */
double cai_data_draw(uint64_t key, int which);
/* Element i of a permutation of 0 .. count - 1, which `key` selects. */
int64_t cai_permuted(uint64_t key, int64_t count, int64_t i);

typedef struct cai_order { /* the order of the samples 0 .. count - 1 of a part */
    uint64_t key;
    int64_t count, together; /* together: how many samples of one class are consecutive; 1: any */
    bool balanced;
    /* With classes: the samples of class c are members[first[c]] .. members[first[c + 1]
     * - 1], in the groups group[c] .. group[c + 1] - 1 of an epoch. No class is empty. */
    int64_t classes, *first, *group, *members;
} cai_order;
int64_t cai_order_at(const cai_order *order, int64_t position);

/* Whether the hash of a name is in the share `from` to `to`. It depends on this name
 * alone, so that a sample stays in its part when others are added or removed. */
bool cai_name_within(const char *name, double from, double to);

/* ---- picture.c: pictures and masks before cropping ---- */

typedef struct cai_picture {
    int64_t channels, height, width;
    int64_t channel, row, column; /* strides, in elements */
    int32_t type;                 /* element type: u8 or u16 levels, or numbers */
    const unsigned char *data;
} cai_picture;

typedef struct cai_blob { /* the contents of a file: on the disk, or within an archive that is mapped */
    const char *path;
    const unsigned char *bytes; /* NULL: on the disk */
    size_t count;
} cai_blob;

/* Opens the complete contents in memory, until cai_blob_close. */
bool cai_blob_open(const cai_blob *blob, cai_file *file, cai_error *error);
void cai_blob_close(const cai_blob *blob, cai_file *file);

/* Decodes a file; for a mask, palette indices and gray levels stay numbers. The caller
 * frees the result with free(). */
cai_picture *cai_picture_decode(const cai_blob *blob, bool mask, cai_error *error);
uint64_t cai_picture_bytes(const cai_picture *picture);
/* A rectangle of it as f32 levels, with `channels` channels. */
bool cai_picture_part(const cai_picture *picture, int64_t top, int64_t left, int64_t height, int64_t width,
                      int64_t channels, cai_image *image, cai_error *error);
int64_t cai_picture_number(const cai_picture *picture, int64_t y, int64_t x);

/* ---- window.c: which part of a picture a sample gets ---- */

typedef struct cai_box { /* sides: left, top, right, bottom */
    float sides[4], class;
} cai_box;

typedef struct cai_boxes { /* the boxes on one picture */
    cai_box *items;
    int64_t count;
    bool shares; /* sides are relative to the picture's sides, else in pixels */
} cai_boxes;

typedef struct cai_view { /* the window of a sample, and the sizes of the picture it refers to */
    cai_window window;
    double height, width;
} cai_view;

/* Draws the window of a random fit, for a result of height by width; `boxes` may be
 * NULL. */
cai_view cai_view_drawn(const cai_field *field, const cai_picture *picture, int64_t height, int64_t width,
                        const cai_boxes *boxes, uint64_t key);
/* The window in the middle, for held-out samples. */
cai_view cai_view_middle(const cai_field *field, const cai_picture *picture, int64_t height, int64_t width);
/* The same window on a picture of other sizes. */
cai_window cai_view_on(const cai_view *view, int64_t height, int64_t width);

/* ---- value.c: kinds of fields, and whether a value fits one ---- */

/* kinds of fields, by their types */
enum {
    CAI_VALUE_PICTURE, /* image[..] */
    CAI_VALUE_MASK,    /* i32[N, H, W]: whole numbers of a picture */
    CAI_VALUE_BOXES,   /* f32[N, M, 5, on = photo] */
    CAI_VALUE_CLASS,   /* i32[N] */
    CAI_VALUE_INDEX,   /* i32[N, index = true] */
    CAI_VALUE_NUMBERS  /* any other tensor */
};
int cai_value_of(const cai_field *field);
int cai_field_of(const cai_set *set, int value); /* the first field of that kind; -1: none */
int cai_field_named(const cai_set *set, const char *name);

/* A row of an array as a picture or a mask; false if its shape or type does not fit. */
bool cai_picture_of_row(const cai_tensor *row, cai_picture *picture);
bool cai_mask_of_row(const cai_tensor *row, cai_picture *picture);
/* Whether a sample's tensor fits the field; else an error. */
bool cai_value_fits(const cai_field *field, const cai_tensor *value, const char *path, cai_error *error);

/* ---- portion.c: columns of values, and samples made of them ---- */

enum { CAI_COLUMN_MISSING, CAI_COLUMN_ROWS, CAI_COLUMN_FILES, CAI_COLUMN_BOXES };

typedef struct cai_column { /* the values (entries) of one field */
    int kind;
    int64_t count;
    const char *path;         /* where they come from, for messages */
    const char *const *stems; /* by which entries of different columns are paired; NULL: by number */
    bool alone;               /* a file that was named by itself: its partners may have other names */
    /* ROWS: an entry is a slice of the first axis, `stride` bytes after the one before */
    cai_tensor rows;
    int64_t stride;
    const cai_blob *files;           /* FILES */
    _Atomic(cai_picture *) *decoded; /* FILES of pictures: those that are kept decoded */
    const cai_boxes *boxes;          /* BOXES */
    const char *const *classes;      /* class names, by number; NULL: classes have no names */
    int class_count;
} cai_column;

#define CAI_PART_BY_NAME CAI_PART_COUNT /* the hash of a sample's name decides whether it is held out */

typedef struct cai_portion { /* samples of one origin */
    int part;
    const char *path;
    cai_column *columns; /* one for each field */
    /* of samples; first: the number of the first sample, among those of all portions */
    int64_t first, count;
    int64_t **entries;        /* by field: the entry of each sample; NULL: the sample's own number */
    const char *const *names; /* of samples; NULL: their numbers */
} cai_portion;

/* Adds an empty portion to the data set. */
cai_portion *cai_portion_new(cai_dataset *dataset, const char *path, int part, cai_error *error);
/* Makes a column of a tensor whose first axis counts entries. */
void cai_column_of_rows(cai_column *column, const char *path, const cai_tensor *tensor);
/* The same for a tensor as a file has it. False, with the error filled in, where entries
 * have no elements: such a file can name billions of entries and take no space. */
bool cai_column_of_stored(cai_column *column, const char *path, const cai_tensor *tensor, cai_error *error);
/* Makes a column of class numbers. */
void cai_column_of_classes(cai_column *column, const char *path, const int32_t *numbers, int64_t count);
cai_tensor cai_column_row(const cai_column *column, int64_t entry);
/* The name of an entry, for messages. */
const char *cai_column_name(const cai_column *column, int64_t entry, char out[24]);
/* Pairs the entries of the columns to samples: by stems, or by number. */
bool cai_portion_pair(cai_dataset *dataset, cai_portion *portion, cai_error *error);
const char *cai_portion_name(const cai_portion *portion, int64_t sample, char out[24]);

/* ---- dataset.c ---- */

struct cai_dataset {
    const cai_set *set;
    cai_data_options options;
    cai_arena arena;
    cai_portion **portions;
    int portion_count;
    struct cai_opened *opened; /* files that are kept open, since rows are read in them */
    int64_t left_out;          /* samples that were skipped while opening */
    int64_t count;             /* of all samples in all portions; then by part: */
    int64_t *samples[CAI_PART_COUNT], counts[CAI_PART_COUNT];
    cai_order order;             /* of the training samples */
    const char *const **classes; /* by field, or NULL */
    int *class_counts;
    uint64_t fingerprint;
    /* What threads share. */
    atomic_uchar *broken; /* by sample: 1 if it could not be read, which the user was told */
    atomic_llong skipped;
    atomic_ullong kept; /* bytes of pictures that are kept decoded */
    pthread_mutex_t telling;
};

/* Passes a notice to the user. */
void cai_dataset_tell(const cai_dataset *dataset, const char *path, const char *format, ...) CAI_PRINTF(3, 4);
/* Skips samples that cannot be used: tells the user and counts them; with --strict this
 * is an error. */
bool cai_dataset_leave_out(cai_dataset *dataset, int64_t count, cai_error *error, const char *path,
                           const char *format, ...) CAI_PRINTF(5, 6);
/* Keeps a decoded picture in the slot for later reads, if there is memory for it: it then
 * belongs to the data set. False if the picture stays the caller's. */
bool cai_dataset_keep(const cai_dataset *dataset, _Atomic(cai_picture *) *slot, cai_picture *picture);
/* The portion of the sample at a position, and the sample's index in it. */
const cai_portion *cai_dataset_at(const cai_dataset *dataset, int part, int64_t position, int64_t *index);
/* The class number of a sample; -1 if it has none. */
int64_t cai_dataset_class(const cai_dataset *dataset, int field, int64_t sample);

/* ---- classes.c ---- */

/* Finds the class names of each field, and renumbers classes so that a number means the
 * same in all portions. */
bool cai_classes_join(cai_dataset *dataset, cai_error *error);
/* The lines of a file that are not empty; an error if there are none. */
bool cai_class_names_read(cai_arena *arena, const char *path, const char ***names, int *count,
                          cai_error *error);

/* ---- unknown.c: classes that the text does not have ---- */

/* Tells of the samples that are left out for a label or a box of such a class. */
bool cai_unknown_classes_tell(cai_dataset *dataset, cai_error *error);
/* Whether it is none of those. */
bool cai_sample_is_known(const cai_dataset *dataset, const cai_portion *portion, int64_t index);
/* Whether all numbers of a tensor, or of a whole mask, are classes or none. */
bool cai_numbers_are_known(const cai_dataset *dataset, int field, const cai_tensor *numbers,
                           cai_error *error);
bool cai_mask_is_known(const cai_dataset *dataset, int field, const cai_picture *mask, cai_error *error);

/* ---- sample.c: one sample into buffers ---- */

typedef struct cai_sample { /* a sample to read, and where it goes */
    uint64_t key;           /* of its position, for random numbers */
    bool middle;            /* crop in the middle, draw nothing */
    int64_t row;
    void *const *buffers; /* by field; NULL: not wanted */
    int64_t *const *dims; /* by field: where its sizes go; NULL: nowhere */
} cai_sample;
bool cai_sample_read(const cai_dataset *dataset, const cai_portion *portion, int64_t index,
                     const cai_sample *at, cai_error *error);

/* ---- sources.c: finds out what a path is, and opens it ---- */

typedef struct cai_names { /* the names in a folder, sorted */
    const char **items;
    int64_t count;
} cai_names;

bool cai_folder_names(cai_arena *arena, const char *folder, cai_names *names, cai_error *error);
/* Adds portions for the data at the path. `part`: the part of samples for which the data
 * says nothing. */
bool cai_source_open(cai_dataset *dataset, const char *path, int part, cai_error *error);
/* Adds one portion of paths that each have one field. */
bool cai_source_open_named(cai_dataset *dataset, const char *const *paths, const char *const *names,
                           int count, cai_error *error);

bool cai_names_have(const cai_names *names, const char *name);

/* ---- column.c: the values of one field, from a folder or a file ---- */

typedef struct cai_named_blob {
    const char *stem; /* the path below the folder, without its ending */
    cai_blob blob;
} cai_named_blob;

typedef struct cai_files { /* a list that grows; the caller frees `items` with free() */
    cai_named_blob *items;
    int64_t count, room;
} cai_files;
bool cai_files_add(cai_files *files, const char *stem, const cai_blob *blob, cai_error *error);
/* Makes a column of the files, sorted by their stems, each of which occurs once. */
bool cai_files_column(cai_dataset *dataset, cai_files *files, const char *path, cai_column *column,
                      cai_error *error);
/* The name of a file without its ending. */
char *cai_stem_of(cai_arena *arena, const char *name, cai_error *error);
bool cai_column_open(cai_dataset *dataset, cai_portion *portion, int field, const char *path,
                     cai_error *error);
/* Whether a file of this name is one sample of the field, as a picture, and not all. */
bool cai_is_sample_name(const cai_field *field, const char *path);
/* Prepares a column of files for its kind of field (CAI_VALUE_*): parses boxes, or
 * allocates slots for decoded pictures. */
bool cai_column_finish(cai_dataset *dataset, cai_column *column, int value, cai_error *error);
/* If the class field has no column and the files are in folders, the folders are the
 * classes. */
bool cai_classes_of_folders(cai_dataset *dataset, cai_portion *portion, cai_error *error);

/* ---- the sources, one a file ---- */

/* Returns the elements in this machine's byte order, in memory of the arena. */
bool cai_idx_parse(cai_arena *arena, const char *path, const unsigned char *bytes, size_t count,
                   cai_tensor *tensor, cai_error *error);
bool cai_idx_read(cai_dataset *dataset, const char *path, cai_column *column, cai_error *error);
bool cai_idx_is_in(const cai_names *names);
bool cai_idx_open(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                  cai_error *error);

bool cai_is_idx_name(const char *path);

/* A new tensor file, empty, which is closed with the data set. */
cai_tensor_file *cai_opened_new(cai_dataset *dataset, const char *path, const char *name, cai_error *error);
void cai_opened_close(cai_dataset *dataset);
/* .npy, .npz, .safetensors, IDX. If the file has several tensors, uses the one with the
 * field's name. */
bool cai_rows_open(cai_dataset *dataset, cai_column *column, const cai_field *field, const char *path,
                   cai_error *error);
/* ---- boxes.c, and one file for each format ---- */

typedef struct cai_class_list {
    const char **items;
    int count, room;
} cai_class_list;

typedef struct cai_box_list { /* the boxes of one picture, while they are parsed */
    cai_arena *arena;
    cai_class_list *classes; /* of all pictures */
    cai_box *items;
    int64_t count, room;
    bool shares;
    cai_error *error;
} cai_box_list;

bool cai_box_add(cai_box_list *list, const cai_box *box);
/* the number of the class, which is added if it is new; -1: out of memory */
int cai_box_class(cai_box_list *list, const char *name);
typedef bool cai_box_parser(cai_box_list *list, const char *text, size_t count);
cai_box_parser cai_voc_parse, cai_yolo_parse;
bool cai_boxes_of_files(cai_dataset *dataset, cai_column *column, cai_box_parser *parse, cai_error *error);
bool cai_coco_parse(cai_dataset *dataset, cai_column *column, const char *path, const unsigned char *bytes,
                    size_t count, cai_error *error);

bool cai_is_tar_name(const char *path);
bool cai_tar_is_in(const cai_names *names);
bool cai_tar_open(cai_dataset *dataset, const char *path, int part, cai_error *error);
bool cai_tars_open(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                   cai_error *error);
bool cai_is_list_name(const char *path);
bool cai_list_open(cai_dataset *dataset, const char *path, int part, cai_error *error);
/* Opens all fields from one file, each from the tensor with its name. */
bool cai_rows_open_all(cai_dataset *dataset, const char *path, int part, cai_error *error);
bool cai_cifar_is_in(const cai_names *names);
bool cai_cifar_open(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                    cai_error *error);
/* Opens the arrays of a zip file, as written by np.savez, each under its name. */
bool cai_npz_open(cai_dataset *dataset, const char *path, const unsigned char *bytes, size_t count,
                  cai_error *error);

#endif
