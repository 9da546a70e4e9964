/* What the files of this wing share; nobody else includes it. A source (idx.c, folder.c,
 * ...) finds samples and makes portions of them, whose columns have the values of each
 * field; dataset.c counts them through and reads one. */
#ifndef CAI_DATA_SOURCES_H
#define CAI_DATA_SOURCES_H

#include "data/data.h"
#include <pthread.h>

/* ---- memory.c: what lives as long as a data set ---- */

typedef struct cai_arena {
    struct cai_block *blocks;
} cai_arena;
/* Zeroed; aligned as malloc has it. */
void *cai_arena_take(cai_arena *arena, uint64_t bytes, cai_error *error);
/* The first `length` bytes of a text; "%s/%s" of two; both with a zero behind. */
char *cai_arena_text(cai_arena *arena, const char *text, size_t length, cai_error *error);
char *cai_arena_path(cai_arena *arena, const char *folder, const char *name, cai_error *error);
void cai_arena_free(cai_arena *arena);

/* ---- order.c: which sample stands where, and what is drawn for it ---- */

/* A number of 64 bits that is a function of its arguments, and differs in every bit where
 * one of them does: splitmix64(splitmix64(key) + i). */
uint64_t cai_data_mix(uint64_t key, uint64_t i);
/* Draw `which` of a position, whose key is mix(key of the set, position): 0 <= u < 1. */
double cai_data_draw(uint64_t key, int which);
/* A permutation of 0 .. count - 1, and of those that `key` has. */
int64_t cai_permuted(uint64_t key, int64_t count, int64_t i);

typedef struct cai_order { /* of the samples 0 .. count - 1 of a part */
    uint64_t key;
    int64_t count, together; /* together: so many of a class in a row; 1 where it does not matter */
    bool balanced;
    /* Where it is by classes: those of class c are members[first[c]] .. members[first[c +
     * 1] - 1], in groups group[c] .. group[c + 1] - 1 of an epoch. No class is empty. */
    int64_t classes, *first, *group, *members;
} cai_order;
int64_t cai_order_at(const cai_order *order, int64_t position);

/* Whether a name is within the share `from` to `to` of all names: by a hash of its
 * letters alone, so that a name stays where it is when others come and go. */
bool cai_name_within(const char *name, double from, double to);

/* ---- picture.c: pictures and masks before they are cut ---- */

typedef struct cai_picture {
    int64_t channels, height, width;
    int64_t channel, row, column; /* elements from one to the next */
    int32_t type;                 /* of elements: levels of u8, u16, or numbers as they are */
    const unsigned char *data;
} cai_picture;

typedef struct cai_blob { /* a file: on the disk, or within another that is in memory */
    const char *path;
    const unsigned char *bytes; /* NULL: on the disk */
    size_t count;
} cai_blob;

/* The whole of it in memory, for a while. */
bool cai_blob_open(const cai_blob *blob, cai_file *file, cai_error *error);
void cai_blob_close(const cai_blob *blob, cai_file *file);

/* Reads a file; for a mask palette indices and gray levels as they are. free() frees
 * it. */
cai_picture *cai_picture_decode(const cai_blob *blob, bool mask, cai_error *error);
uint64_t cai_picture_bytes(const cai_picture *picture);
/* A part of it as f32 levels, with these channels. */
bool cai_picture_part(const cai_picture *picture, int64_t top, int64_t left, int64_t height, int64_t width,
                      int64_t channels, cai_image *image, cai_error *error);
int64_t cai_picture_number(const cai_picture *picture, int64_t y, int64_t x);

/* ---- window.c: which part of a picture a sample is ---- */

typedef struct cai_box { /* left, top, right, bottom */
    float sides[4], class;
} cai_box;

typedef struct cai_boxes { /* on one picture */
    cai_box *items;
    int64_t count;
    bool shares; /* sides are shares of the picture's, else pixels */
} cai_boxes;

typedef struct cai_view { /* the window of a sample, in a picture of some sizes */
    cai_window window;
    double height, width;
} cai_view;

/* The window of a random fit for a result of height by width; `boxes` may be NULL. */
cai_view cai_view_drawn(const cai_field *field, const cai_picture *picture, int64_t height, int64_t width,
                        const cai_boxes *boxes, uint64_t key);
/* The middle of it, for what is held out. */
cai_view cai_view_middle(const cai_field *field, const cai_picture *picture, int64_t height, int64_t width);
/* The same window of a picture of other sizes. */
cai_window cai_view_on(const cai_view *view, int64_t height, int64_t width);

/* ---- value.c: what a field is, and one value of it ---- */

/* what stands in a field, by its type */
enum {
    CAI_VALUE_PICTURE, /* image[..] */
    CAI_VALUE_MASK,    /* i32[N, H, W]: whole numbers of a picture */
    CAI_VALUE_BOXES,   /* f32[N, M, 5, on = photo] */
    CAI_VALUE_CLASS,   /* i32[N] */
    CAI_VALUE_INDEX,   /* i32[N, index = true] */
    CAI_VALUE_NUMBERS  /* any other tensor */
};
int cai_value_of(const cai_field *field);
int cai_field_of(const cai_set *set, int value); /* the first one; -1: there is none */
int cai_field_named(const cai_set *set, const char *name);

/* A row of an array as a picture or a mask; false where it is none. */
bool cai_picture_of_row(const cai_tensor *row, cai_picture *picture);
bool cai_mask_of_row(const cai_tensor *row, cai_picture *picture);
/* Whether a sample's tensor can be the field's. */
bool cai_value_fits(const cai_field *field, const cai_tensor *value, const char *path, cai_error *error);

/* ---- portion.c: the values of fields, and samples made of them ---- */

enum { CAI_COLUMN_MISSING, CAI_COLUMN_ROWS, CAI_COLUMN_FILES, CAI_COLUMN_BOXES };

typedef struct cai_column { /* the values of a field: entries */
    int kind;
    int64_t count;
    const char *path;         /* where they come from, for messages */
    const char *const *stems; /* by which entries of several fields are paired; NULL: by number */
    bool alone;               /* a file that was named by itself: its partners may have other names */
    cai_tensor rows;          /* ROWS: an entry is a slice of its first axis, `stride` bytes on */
    int64_t stride;
    const cai_blob *files;           /* FILES */
    _Atomic(cai_picture *) *decoded; /* FILES of pictures: those that were decoded and kept */
    const cai_boxes *boxes;          /* BOXES */
    const char *const *classes;      /* names of the numbers; NULL: they have none */
    int class_count;
} cai_column;

#define CAI_PART_BY_NAME CAI_PART_COUNT /* held out or not by the hash of its name */

typedef struct cai_portion { /* samples of one origin */
    int part;
    const char *path;
    cai_column *columns;      /* one a field */
    int64_t first, count;     /* samples: the number of the first among all */
    int64_t **entries;        /* of a field: the entry of each sample; NULL: the sample's own number */
    const char *const *names; /* of samples; NULL: their numbers */
} cai_portion;

/* A portion with empty columns, which is in the data set from now on. */
cai_portion *cai_portion_new(cai_dataset *dataset, const char *path, int part, cai_error *error);
/* A column of a tensor whose first axis counts entries. */
void cai_column_of_rows(cai_column *column, const char *path, const cai_tensor *tensor);
/* One of numbers of classes. */
void cai_column_of_classes(cai_column *column, const char *path, const int32_t *numbers, int64_t count);
cai_tensor cai_column_row(const cai_column *column, int64_t entry);
/* What messages call an entry. */
const char *cai_column_name(const cai_column *column, int64_t entry, char out[24]);
/* Makes samples of the columns: by stems, or by numbers. */
bool cai_portion_pair(cai_dataset *dataset, cai_portion *portion, cai_error *error);
const char *cai_portion_name(const cai_portion *portion, int64_t sample, char out[24]);

/* ---- dataset.c ---- */

struct cai_dataset {
    const cai_set *set;
    cai_data_options options;
    cai_arena arena;
    cai_portion **portions;
    int portion_count;
    struct cai_opened *opened; /* files that rows lie in */
    int64_t left_out;          /* samples, before the first was read */
    int64_t count;             /* samples are counted through all portions; of a part: */
    int64_t *samples[CAI_PART_COUNT], counts[CAI_PART_COUNT];
    cai_order order;             /* of what is trained on */
    const char *const **classes; /* of each field, or NULL */
    int *class_counts;
    uint64_t fingerprint;
    /* What threads share. */
    atomic_uchar *broken; /* of a sample: 1 once it was told */
    atomic_llong skipped;
    atomic_ullong kept; /* bytes of decoded pictures */
    pthread_mutex_t telling;
};

/* Tells the user, however long the text is made. */
void cai_dataset_tell(const cai_dataset *dataset, const char *path, const char *format, ...) CAI_PRINTF(3, 4);
/* Samples that are no use: told and counted, or an error where the user wants it so. */
bool cai_dataset_leave_out(cai_dataset *dataset, int64_t count, cai_error *error, const char *path,
                           const char *format, ...) CAI_PRINTF(5, 6);
/* Keeps a decoded picture for later reads where there is room: it is then the data set's,
 * and the one in the slot. */
bool cai_dataset_keep(const cai_dataset *dataset, _Atomic(cai_picture *) *slot, cai_picture *picture);
/* The sample at a position: its portion, and its number there. */
const cai_portion *cai_dataset_at(const cai_dataset *dataset, int part, int64_t position, int64_t *index);
/* The number of a sample's class; -1 where it has none. */
int64_t cai_dataset_class(const cai_dataset *dataset, int field, int64_t sample);

/* ---- classes.c ---- */

/* Gives the numbers of each field their names, and makes numbers of all portions mean the
 * same. */
bool cai_classes_join(cai_dataset *dataset, cai_error *error);
/* The lines of a file that are not empty, at least one. */
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

typedef struct cai_sample { /* which one, and where it goes */
    uint64_t key;           /* of its position: what is drawn */
    bool middle;            /* nothing is drawn */
    int64_t row;
    void *const *buffers; /* of fields; NULL: not wanted */
    int64_t *const *dims; /* of fields: where its sizes go; NULL: nowhere */
} cai_sample;
bool cai_sample_read(const cai_dataset *dataset, const cai_portion *portion, int64_t index,
                     const cai_sample *at, cai_error *error);

/* ---- sources.c: what a path is, and who reads it ---- */

typedef struct cai_names { /* of what is in a folder, sorted */
    const char **items;
    int64_t count;
} cai_names;

bool cai_folder_names(cai_arena *arena, const char *folder, cai_names *names, cai_error *error);
/* Adds what the path has as portions. `part`: of what does not say itself. */
bool cai_source_open(cai_dataset *dataset, const char *path, int part, cai_error *error);
/* One portion of what each of the paths has for the field named. */
bool cai_source_open_named(cai_dataset *dataset, const char *const *paths, const char *const *names,
                           int count, cai_error *error);

bool cai_names_have(const cai_names *names, const char *name);

/* ---- column.c: the values of one field, from a folder or a file ---- */

typedef struct cai_named_blob {
    const char *stem; /* the path below a folder, without ending */
    cai_blob blob;
} cai_named_blob;

typedef struct cai_files { /* a list that grows; free(items) frees it */
    cai_named_blob *items;
    int64_t count, room;
} cai_files;
bool cai_files_add(cai_files *files, const char *stem, const cai_blob *blob, cai_error *error);
/* Sorts them by their stems, of which each stands once then. */
bool cai_files_column(cai_dataset *dataset, cai_files *files, const char *path, cai_column *column,
                      cai_error *error);
/* A name of a file without its ending. */
char *cai_stem_of(cai_arena *arena, const char *name, cai_error *error);
bool cai_column_open(cai_dataset *dataset, cai_portion *portion, int field, const char *path,
                     cai_error *error);
/* Whether a file of this name is one sample of the field, as a picture, and not all. */
bool cai_is_sample_name(const cai_field *field, const char *path);
/* Makes of a column of files what the value (CAI_VALUE_*) wants of it: boxes, or room for
 * pictures. */
bool cai_column_finish(cai_dataset *dataset, cai_column *column, int value, cai_error *error);
/* Where a class has no column and files lie in folders, these are the classes. */
bool cai_classes_of_folders(cai_dataset *dataset, cai_portion *portion, cai_error *error);

/* ---- the sources, a file each ---- */

/* The elements as they are on this machine, in memory of the arena. */
bool cai_idx_parse(cai_arena *arena, const char *path, const unsigned char *bytes, size_t count,
                   cai_tensor *tensor, cai_error *error);
bool cai_idx_read(cai_dataset *dataset, const char *path, cai_column *column, cai_error *error);
bool cai_idx_is_in(const cai_names *names);
bool cai_idx_open(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                  cai_error *error);

bool cai_is_idx_name(const char *path);

/* A file that stays open with the data set, empty. */
cai_tensor_file *cai_opened_new(cai_dataset *dataset, const char *path, const char *name, cai_error *error);
void cai_opened_close(cai_dataset *dataset);
/* .npy, .npz, .safetensors, IDX: the tensor of the field's name where there are
 * several. */
bool cai_rows_open(cai_dataset *dataset, cai_column *column, const cai_field *field, const char *path,
                   cai_error *error);
/* ---- boxes.c, and a file for each format ---- */

typedef struct cai_class_list {
    const char **items;
    int count, room;
} cai_class_list;

typedef struct cai_box_list { /* of one picture, as it is read */
    cai_arena *arena;
    cai_class_list *classes; /* of all pictures */
    cai_box *items;
    int64_t count, room;
    bool shares;
    cai_error *error;
} cai_box_list;

bool cai_box_add(cai_box_list *list, const cai_box *box);
int cai_box_class(cai_box_list *list, const char *name); /* its number, from now on; -1 without memory */
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
/* All fields from one file, each from the tensor of its name. */
bool cai_rows_open_all(cai_dataset *dataset, const char *path, int part, cai_error *error);
bool cai_cifar_is_in(const cai_names *names);
bool cai_cifar_open(cai_dataset *dataset, const char *folder, const cai_names *names, int part,
                    cai_error *error);
/* The arrays of a zip file, as np.savez writes it, each opened by its name. */
bool cai_npz_open(cai_dataset *dataset, const char *path, const unsigned char *bytes, size_t count,
                  cai_error *error);

#endif
