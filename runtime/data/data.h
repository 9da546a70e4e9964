/* The runtime's wing of data sets: what a train block reads, sample by sample. It stands
 * on files/; runtime/train and `cai data` stand on it.
 *
 * A set (cai_set of training.h) is a sequence of samples without an end: its samples once
 * an epoch, each epoch in an order of its own. What stands at a position of it, and how
 * it is cut there, is a function of (seed, set, position) and the files alone (order.c):
 * any thread may read any position at any time, and a run that goes on after a stop reads
 * the same. */
#ifndef CAI_DATA_H
#define CAI_DATA_H

#include "core/training.h"
#include "files/files.h"
#include <stdatomic.h>

/* ---- dataset.c: a set, as the trainer uses it ---- */

typedef struct cai_dataset cai_dataset;

enum { CAI_PART_TRAINING, CAI_PART_HELD_OUT, CAI_PART_COUNT };

typedef struct cai_data_options {
    uint64_t seed;
    int set;            /* its number in the block: sets are shuffled independently */
    bool strict;        /* a sample that cannot be read is an error; else it is told and left out */
    double held_out;    /* the share that is held out where the data says nothing; 0: nothing is */
    int fold, folds;    /* of folds > 0: hold out the fold-th of so many shares, from 1 */
    cai_notice *notice; /* or NULL; called by one thread at a time, whichever it is */
} cai_data_options;

/* Opens what the paths name, with all that must be known before the first sample: names
 * of files, classes, sizes of arrays. names[i] is the field that paths[i] is for, NULL
 * where it is for all fields (docs/data.md says what is found there); `names` may be
 * NULL. Without paths the set's own place is opened. `set` and the paths must outlive the
 * result. */
cai_dataset *cai_dataset_open(const cai_set *set, const char *const *paths, const char *const *names,
                              int count, const cai_data_options *options, cai_error *error);
void cai_dataset_free(cai_dataset *dataset);

int64_t cai_dataset_count(const cai_dataset *dataset, int part);
/* Of names, sizes and parts of contents: another one means other data. */
uint64_t cai_dataset_fingerprint(const cai_dataset *dataset);
/* How many samples were left out so far since they could not be read. */
int64_t cai_dataset_skipped(const cai_dataset *dataset);
/* Those of them that were before the first was read: as many in each run. */
int64_t cai_dataset_left_out(const cai_dataset *dataset);
/* The names of the classes of a field, in the order of their numbers; NULL where they
 * have none: *count is then 1 more than the largest number, or 0 where the field is not
 * of classes. */
const char *const *cai_dataset_classes(const cai_dataset *dataset, int field, int *count);

/* Reads the sample at a position, from 0 through all epochs, into row `row` of each
 * field's buffer; fields whose buffer is NULL are left out. Held-out samples stand in the
 * order of their names, and are cut in the middle. Any number of threads at once. A
 * sample that cannot be read is told once, and the next one stands in its place. */
bool cai_dataset_read(const cai_dataset *dataset, int part, int64_t position, int64_t row,
                      void *const *buffers, cai_error *error);
/* Has the system bring the files of the sample at a position into its memory, unless they
 * were decoded and kept; waits for the disk. And whether there are any files. */
void cai_dataset_fetch(const cai_dataset *dataset, int part, int64_t position);
bool cai_dataset_has_files(const cai_dataset *dataset);
/* The sizes that a field with free ones has in the sample at a position. */
bool cai_dataset_sizes(const cai_dataset *dataset, int part, int64_t position, int field, int64_t *dims,
                       cai_error *error);
/* What messages call the sample at a position; `out` is room for its number where it has
 * no name. */
const char *cai_dataset_name(const cai_dataset *dataset, int part, int64_t position, char out[24]);

/* ---- sources.c ---- */

bool cai_is_folder(const char *path);

/* ---- show.c: what a set holds, for people ---- */

/* Where it comes from, counts, sizes, classes. */
void cai_dataset_print(const cai_dataset *dataset, FILE *out);
/* The first sixteen samples of training, as they are cut, with masks beside them and
 * boxes on them: a picture, where the set has any. */
bool cai_dataset_has_pictures(const cai_dataset *dataset);
bool cai_dataset_draw(const cai_dataset *dataset, const char *path, cai_error *error);

#endif
