/* Samples into the ports of an entry, by all threads of the pool: a task reads one
 * sample. */
#include "train/train.h"
#include <pthread.h>

typedef struct Reading {
    const cai_trainer *trainer;
    const cai_running *running;
    const int64_t *positions; /* by set */
    int part;
    const int64_t *rows;  /* by set, 0 where nothing is read; NULL: the sets' own numbers */
    pthread_mutex_t lock; /* of what follows */
    int64_t failed;       /* the first task that failed, or -1 */
    cai_error error;
} Reading;

static int64_t rows_of_batch(const Reading *r, const cai_batch *batch) {
    return r->rows ? r->rows[batch->set] : r->trainer->training->sets[batch->set].batch;
}

static void note_failure(Reading *r, int64_t task, const cai_error *error) {
    pthread_mutex_lock(&r->lock);
    if (r->failed < 0 || task < r->failed) r->failed = task, r->error = *error;
    pthread_mutex_unlock(&r->lock);
}

/* What is the same for the whole run is read anew, which is what its samples are. */
static int64_t position_of(const Reading *r, const cai_batch *batch, int64_t row) {
    const cai_set *set = &r->trainer->training->sets[batch->set];
    bool once = set->field_count > 0 && set->fields[0].once;
    return once ? row : r->positions[batch->set] + batch->round * rows_of_batch(r, batch) + row;
}

static void read_samples(void *context, int64_t begin, int64_t end, int worker) {
    Reading *r = context;
    (void)worker;
    int64_t first = 0;
    for (int i = 0; i < r->running->batch_count; i++) {
        const cai_batch *batch = &r->running->batches[i];
        int64_t rows = rows_of_batch(r, batch);
        for (int64_t task = begin > first ? begin : first; task < end && task < first + rows; task++) {
            cai_error error;
            int64_t row = task - first;
            const cai_dataset *set = r->trainer->sets[batch->set];
            if (!cai_dataset_read(set, r->part, position_of(r, batch, row), row, batch->buffers, &error))
                note_failure(r, task, &error);
        }
        first += rows;
    }
}

bool cai_batch_read(const cai_trainer *trainer, const cai_running *running, int part,
                    const int64_t *positions, const int64_t *rows, cai_error *error) {
    Reading r = {.trainer = trainer,
                 .running = running,
                 .positions = positions,
                 .part = part,
                 .rows = rows,
                 .failed = -1};
    int64_t tasks = 0;
    pthread_mutex_init(&r.lock, NULL);
    for (int i = 0; i < running->batch_count; i++) tasks += rows_of_batch(&r, &running->batches[i]);
    cai_pool_enter(trainer->pool);
    cai_pool_run(trainer->pool, read_samples, &r, tasks);
    cai_pool_leave(trainer->pool);
    pthread_mutex_destroy(&r.lock);
    if (r.failed < 0) return true;
    *error = r.error;
    return false;
}
