/* Reads the next step's samples while the current step computes. The workers of the pool
 * do this while they would otherwise wait for each other, so that reading takes no core
 * from the kernels. The samples go into a second set of buffers, which is then swapped
 * with the first. The number of the step determines which samples these are; reading them
 * early changes no bit.
 *
 * A separate thread brings the files of the step after the next into the system's cache;
 * it does nothing but wait for the disk. */
#include "train/train.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- the thread that waits for the disk ---- */

static void fetch_samples(cai_ahead *ahead, const cai_trainer *trainer, const int64_t *positions,
                          const int64_t *counts) {
    for (int set = 0; set < trainer->training->set_count; set++)
        for (int64_t i = 0; i < counts[set] && !atomic_load(&ahead->ending); i++)
            cai_dataset_fetch(trainer->sets[set], CAI_PART_TRAINING, positions[set] + i);
}

static void *wait_for_disk(void *context) {
    cai_trainer *trainer = context;
    cai_ahead *ahead = &trainer->ahead;
    size_t sets = (size_t)trainer->training->set_count;
    int64_t positions[sets + 1], counts[sets + 1];
    pthread_mutex_lock(&ahead->lock);
    while (!atomic_load(&ahead->ending)) {
        if (!ahead->wanted) pthread_cond_wait(&ahead->asked, &ahead->lock);
        if (!ahead->wanted) continue;
        ahead->wanted = false;
        memcpy(positions, ahead->wanted_from, sizeof *positions * sets);
        memcpy(counts, ahead->wanted_count, sizeof *counts * sets);
        pthread_mutex_unlock(&ahead->lock);
        fetch_samples(ahead, trainer, positions, counts);
        pthread_mutex_lock(&ahead->lock);
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

/* Asks for the files of the step after the next. The samples of `once` and `each` sets
 * are in memory already. */
static void ask_for_files(cai_trainer *trainer) {
    cai_ahead *ahead = &trainer->ahead;
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    if (!ahead->fetches) return;
    pthread_mutex_lock(&ahead->lock);
    for (int i = 0; i < trainer->training->set_count; i++) {
        const cai_set *set = &trainer->training->sets[i];
        ahead->wanted_count[i] = cai_set_stays(set) ? 0 : phase->rounds[i] * set->batch;
        ahead->wanted_from[i] = ahead->positions[i] + ahead->wanted_count[i];
    }
    ahead->wanted = true;
    pthread_cond_signal(&ahead->asked);
    pthread_mutex_unlock(&ahead->lock);
}

/* If the system refuses a thread, the run does without. */
static void start_fetching(cai_trainer *trainer) {
    cai_ahead *ahead = &trainer->ahead;
    sigset_t all, before;
    bool files = false;
    for (int i = 0; i < trainer->training->set_count; i++)
        files |= trainer->sets[i] && cai_dataset_has_files(trainer->sets[i]);
    if (!files) return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ahead->fetches = pthread_create(&ahead->thread, NULL, wait_for_disk, trainer) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- open and close ---- */

bool cai_ahead_open(cai_trainer *trainer, cai_error *error) {
    cai_ahead *ahead = &trainer->ahead;
    size_t sets = (size_t)trainer->training->set_count + 1;
    ahead->positions = calloc(3 * sets, sizeof *ahead->positions);
    if (!ahead->positions) return cai_fail_memory(error, 0, "sets");
    ahead->wanted_from = ahead->positions + sets;
    ahead->wanted_count = ahead->positions + 2 * sets;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->asked, NULL);
    cai_reading_open(&ahead->reading, trainer);
    cai_pool_work_beside(trainer->pool, cai_reading_take, &ahead->reading);
    start_fetching(trainer);
    return true;
}

static void stop_fetching(cai_ahead *ahead) {
    if (!ahead->fetches) return;
    pthread_mutex_lock(&ahead->lock);
    atomic_store(&ahead->ending, true);
    pthread_cond_signal(&ahead->asked);
    pthread_mutex_unlock(&ahead->lock);
    pthread_join(ahead->thread, NULL);
}

/* The pool must have been freed, since its workers read samples. */
void cai_ahead_close(cai_trainer *trainer) {
    cai_ahead *ahead = &trainer->ahead;
    if (!ahead->positions) return;
    stop_fetching(ahead);
    cai_reading_close(&ahead->reading);
    pthread_mutex_destroy(&ahead->lock);
    pthread_cond_destroy(&ahead->asked);
    free(ahead->positions);
}

/* ---- steps ---- */

static void take_what_was_read(cai_running *running) {
    for (int i = 0; i < running->entry->program->input_count; i++) {
        void *read = running->next[i];
        if (!read) continue;
        running->next[i] = running->inputs[i];
        running->inputs[i] = read;
    }
    for (int i = 0; i < running->batch_count; i++) {
        void **read = running->batches[i].next;
        running->batches[i].next = running->batches[i].buffers;
        running->batches[i].buffers = read;
    }
}

bool cai_ahead_take(cai_trainer *trainer, cai_running *running, const int64_t *positions, cai_error *error) {
    cai_ahead *ahead = &trainer->ahead;
    size_t bytes = sizeof *positions * (size_t)trainer->training->set_count;
    if (ahead->running != running || memcmp(ahead->positions, positions, bytes) != 0) {
        cai_ahead_drop(trainer);
        return cai_batch_read(trainer, running, CAI_PART_TRAINING, positions, NULL, error);
    }
    double begun = cai_milliseconds();
    ahead->running = NULL;
    if (!cai_reading_finish(&ahead->reading, error)) return false;
    take_what_was_read(running);
    trainer->progress.waited += cai_milliseconds() - begun;
    return true;
}

bool cai_ahead_begin(cai_trainer *trainer, cai_running *running, const int64_t *positions, cai_error *error) {
    cai_ahead *ahead = &trainer->ahead;
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    if (!running->batch_count) return true;
    if (!cai_running_double(running, error)) return false;
    for (int i = 0; i < trainer->training->set_count; i++)
        ahead->positions[i] = positions[i] + phase->rounds[i] * trainer->training->sets[i].batch;
    ahead->running = running;
    cai_reading_begin(&ahead->reading, running, true, CAI_PART_TRAINING, ahead->positions, NULL);
    ask_for_files(trainer);
    return true;
}

void cai_ahead_drop(cai_trainer *trainer) {
    if (trainer->ahead.running) cai_reading_drop(&trainer->ahead.reading);
    trainer->ahead.running = NULL;
}
