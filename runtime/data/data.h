/* The runtime's wing of data sets, which a train block reads sample by sample. It uses
 * files/; runtime/train and `cai data` use it.
 *
 * A set (cai_set of training.h) is an endless sequence of samples: every sample once in
 * an epoch, each epoch in an order of its own. Which sample is at a position, and how it
 * is cropped there, is a function of (seed, set, position) and of the files alone
 * (order.c). So any thread may read any position at any time, and a resumed run reads the
 * same samples.
 *
 * Functions that take a cai_error return false (or NULL) after an error, which *error
 * then describes. */
#ifndef CAI_DATA_H
#define CAI_DATA_H

#include "core/training.h"
#include "files/files.h"
#include <stdatomic.h>

/* ---- dataset.c: a set, for the trainer ---- */

typedef struct cai_dataset cai_dataset;

enum { CAI_PART_TRAINING, CAI_PART_HELD_OUT, CAI_PART_COUNT };

typedef struct cai_data_options {
    uint64_t seed;
    int set; /* its number in the block; different sets are shuffled independently */
    /* a sample that cannot be read is an error; else it is skipped, and the user is
     * told */
    bool strict;
    double held_out;    /* the share to hold out if the data has no part for measuring; 0: none */
    int fold, folds;    /* if folds > 0: hold out the fold-th (from 1) of `folds` equal shares instead */
    cai_notice *notice; /* or NULL; called by any thread, but by one at a time */
} cai_data_options;

/* Opens what the paths name, and reads all that must be known before the first sample:
 * names of files, classes, sizes of arrays. names[i] is the field that paths[i] is for;
 * NULL: paths[i] has all fields (docs/data.md describes what is recognised). `names` may
 * be NULL. Without paths, opens the place that the text gives for the set. `set` and the
 * paths must outlive the result. */
cai_dataset *cai_dataset_open(const cai_set *set, const char *const *paths, const char *const *names,
                              int count, const cai_data_options *options, cai_error *error);
void cai_dataset_free(cai_dataset *dataset);

int64_t cai_dataset_count(const cai_dataset *dataset, int part);
/* A hash of names, sizes and parts of the contents, by which a run recognises its
 * data. */
uint64_t cai_dataset_fingerprint(const cai_dataset *dataset);
/* How many samples have been skipped so far because they could not be read. */
int64_t cai_dataset_skipped(const cai_dataset *dataset);
/* Those of them that were before the first was read: as many in each run. */
int64_t cai_dataset_left_out(const cai_dataset *dataset);
/* The class names of a field, in the order of their numbers. NULL if classes have no
 * names; *count is then the largest number plus 1, or 0 if the field is no class. */
const char *const *cai_dataset_classes(const cai_dataset *dataset, int field, int *count);

/* Reads the sample at a position, which counts through all epochs, into row `row` of each
 * field's buffer; fields whose buffer is NULL are not read. Held-out samples are in the
 * order of their names, and are cropped in the middle. Any number of threads may call
 * this at once. If a sample cannot be read, the next one takes its place, and the user is
 * told once. */
bool cai_dataset_read(const cai_dataset *dataset, int part, int64_t position, int64_t row,
                      void *const *buffers, cai_error *error);
/* Brings the files of the sample at a position into the system's cache, unless they are
 * kept decoded; waits for the disk. cai_dataset_has_files: whether the set reads any
 * files. */
void cai_dataset_fetch(const cai_dataset *dataset, int part, int64_t position);
bool cai_dataset_has_files(const cai_dataset *dataset);
/* The sizes of a field with free sizes, in the sample at a position. */
bool cai_dataset_sizes(const cai_dataset *dataset, int part, int64_t position, int field, int64_t *dims,
                       cai_error *error);
/* The name of the sample at a position, for messages. `out` is space for its number, if
 * it has no name. */
const char *cai_dataset_name(const cai_dataset *dataset, int part, int64_t position, char out[24]);

/* ---- sources.c ---- */

bool cai_is_folder(const char *path);

/* ---- show.c: a set for people to look at ---- */

/* Prints where the data comes from, and its counts, sizes and classes. */
void cai_dataset_print(const cai_dataset *dataset, FILE *out);
/* Draws the first sixteen training samples as they are after cropping, with masks beside
 * them and boxes on them. cai_dataset_has_pictures: whether the set has any pictures to
 * draw. */
bool cai_dataset_has_pictures(const cai_dataset *dataset);
bool cai_dataset_draw(const cai_dataset *dataset, const char *path, cai_error *error);

#endif
