/* Reads samples into the ports of an entry. A reading consists of all samples of a step.
 * Each sample is a task that any thread may take: all threads of the pool in a region
 * (cai_reading_finish), or workers of the pool that have nothing to do (ahead.c). */
#include "train/train.h"
#include <string.h>

static int64_t rows_of_batch(const cai_reading *r, const cai_batch *batch) {
    const cai_set *set = &r->trainer->training->sets[batch->set];
    return r->rows && !cai_set_stays(set) ? r->rows[batch->set] : set->batch;
}

/* The samples of `once` and `each` sets are always those of the item, in a measurement,
 * too. */
static int64_t position_of(const cai_reading *r, const cai_batch *batch, int64_t row) {
    if (cai_set_stays(&r->trainer->training->sets[batch->set]))
        return cai_trainer_staying(r->trainer, batch->set) + row;
    return r->positions[batch->set] + batch->round * rows_of_batch(r, batch) + row;
}

static int part_of_batch(const cai_reading *r, const cai_batch *batch) {
    return cai_set_stays(&r->trainer->training->sets[batch->set]) ? CAI_PART_TRAINING : r->part;
}

void cai_reading_open(cai_reading *r, const cai_trainer *trainer) {
    *r = (cai_reading){.trainer = trainer};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->finished, NULL);
}

void cai_reading_close(cai_reading *r) {
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->finished);
}

void cai_reading_begin(cai_reading *r, const cai_running *running, bool ahead, int part,
                       const int64_t *positions, const int64_t *rows) {
    r->running = running;
    r->ahead = ahead;
    r->part = part;
    r->positions = positions;
    r->rows = rows;
    r->failed = -1;
    r->tasks = 0;
    for (int i = 0; i < running->batch_count; i++) r->tasks += rows_of_batch(r, &running->batches[i]);
    r->unread = r->tasks;
    /* from here on other threads may take samples */
    atomic_store_explicit(&r->left, r->tasks, memory_order_release);
}

/* ---- a sample ---- */

static bool read_sample_of_task(const cai_reading *r, int64_t task, cai_error *error) {
    const cai_batch *batch = r->running->batches;
    for (; task >= rows_of_batch(r, batch); batch++) task -= rows_of_batch(r, batch);
    return cai_dataset_read(r->trainer->sets[batch->set], part_of_batch(r, batch),
                            position_of(r, batch, task), task, r->ahead ? batch->next : batch->buffers,
                            error);
}

bool cai_reading_take(void *context) {
    cai_reading *r = context;
    cai_error error;
    long long left = atomic_load_explicit(&r->left, memory_order_acquire);
    do
        if (left == 0) return false;
    while (!atomic_compare_exchange_weak_explicit(&r->left, &left, left - 1, memory_order_acquire,
                                                  memory_order_acquire));
    int64_t task = r->tasks - left;
    bool read = read_sample_of_task(r, task, &error);
    pthread_mutex_lock(&r->lock);
    if (!read && (r->failed < 0 || task < r->failed)) r->failed = task, r->error = error;
    if (--r->unread == 0) pthread_cond_signal(&r->finished);
    pthread_mutex_unlock(&r->lock);
    return true;
}

/* ---- the end ---- */

static void wait_for_samples(cai_reading *r) {
    pthread_mutex_lock(&r->lock);
    while (r->unread) pthread_cond_wait(&r->finished, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static void take_samples(void *context, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    while (cai_reading_take(context)) {}
}

bool cai_reading_finish(cai_reading *r, cai_error *error) {
    cai_pool *pool = r->trainer->pool;
    uint64_t mode = cai_flush_denormals(); /* the mode of the workers, so that all threads decode alike */
    cai_pool_enter(pool);
    if (atomic_load(&r->left)) cai_pool_run(pool, take_samples, r, cai_pool_threads(pool));
    cai_pool_leave(pool);
    cai_restore_denormals(mode);
    wait_for_samples(r);
    if (r->failed < 0) return true;
    *error = r->error;
    return false;
}

void cai_reading_drop(cai_reading *r) {
    int64_t left = atomic_exchange(&r->left, 0);
    pthread_mutex_lock(&r->lock);
    r->unread -= left;
    pthread_mutex_unlock(&r->lock);
    wait_for_samples(r);
}

bool cai_batch_read(const cai_trainer *trainer, const cai_running *running, int part,
                    const int64_t *positions, const int64_t *rows, cai_error *error) {
    cai_reading reading;
    cai_reading_open(&reading, trainer);
    cai_reading_begin(&reading, running, false, part, positions, rows);
    bool read = cai_reading_finish(&reading, error);
    cai_reading_close(&reading);
    return read;
}
