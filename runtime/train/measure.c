/* A measurement. All held-out samples go through the batch entry; the last batch is
 * smaller if they are no multiple. Totals are added up in double, in the order of the
 * batches, and collected values are joined. Several sets are read side by side, each in
 * batches of its own size; once a set is exhausted, results made of it are ignored. The
 * last entry then computes the shown values from totals and joined values. A measurement
 * is part of the step before it: a run that is asked to stop finishes it. */
#include "train/train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Joined { /* collected values of all batches */
    unsigned char *bytes;
    uint64_t count, capacity;
    int64_t rows;
    int64_t dims[CAI_MAX_RANK];
} Joined;

typedef struct Measuring {
    cai_trainer *trainer;
    const cai_measure *measure;
    cai_running batch, last;
    double **totals; /* by index */
    Joined *joined;
    int64_t *positions, *rows; /* by set: where its current batch begins, and its size */
    int32_t unread;            /* bits of the exhausted sets */
    double *values;            /* the shown values */
    bool again;                /* nothing is printed or saved */
} Measuring;

/* ---- results of a batch ---- */

static bool add_total(Measuring *m, int index, const cai_port *port, const void *data, cai_error *error) {
    int64_t count = cai_context_elements(m->batch.context, port);
    double **total = &m->totals[index], *numbers;
    if (!*total) *total = calloc((size_t)count + 1, sizeof **total);
    numbers = calloc((size_t)count + 1, sizeof *numbers);
    if (!*total || !numbers) {
        free(numbers);
        return cai_fail_memory(error, (uint64_t)count * sizeof **total, "a total");
    }
    cai_tensor tensor = {.type = port->type, .count = count, .data = data};
    cai_tensor_to_f64(&tensor, 0, count, numbers);
    for (int64_t i = 0; i < count; i++) (*total)[i] += numbers[i];
    free(numbers);
    return true;
}

static bool join_collected(Measuring *m, int index, const cai_port *port, const void *data,
                           cai_error *error) {
    Joined *joined = &m->joined[index];
    uint64_t bytes =
        (uint64_t)cai_context_elements(m->batch.context, port) * (uint64_t)cai_type_bytes(port->type);
    if (joined->count + bytes > joined->capacity) {
        uint64_t capacity = 2 * (joined->count + bytes);
        unsigned char *larger = cai_reallocate(joined->bytes, capacity, "what is collected", error);
        if (!larger) return false;
        joined->bytes = larger;
        joined->capacity = capacity;
    }
    memcpy(joined->bytes + joined->count, data, bytes);
    joined->count += bytes;
    for (int axis = 0; axis < port->rank; axis++)
        joined->dims[axis] = cai_context_dim(m->batch.context, port, axis);
    joined->rows += joined->dims[0];
    return true;
}

static bool take_batch(Measuring *m, cai_error *error) {
    const cai_entry *entry = &m->measure->batch;
    for (int i = 0; i < entry->program->output_count; i++) {
        const cai_port *port = &entry->program->outputs[i];
        int index = entry->outputs[i].index;
        if (entry->outputs[i].sets & m->unread) continue;
        if (entry->outputs[i].kind == CAI_BIND_TOTAL &&
            !add_total(m, index, port, m->batch.outputs[i], error))
            return false;
        if (entry->outputs[i].kind == CAI_BIND_COLLECTED &&
            !join_collected(m, index, port, m->batch.outputs[i], error))
            return false;
    }
    return true;
}

/* ---- batches ---- */

/* Prepares the batch entry for the sizes of the current batches. Free sizes, of pictures
 * of any size, are those of the sample. An exhausted set keeps its last batch. */
static bool prepare_batch(Measuring *m, cai_error *error) {
    const cai_entry *entry = &m->measure->batch;
    for (int i = 0; i < entry->program->input_count; i++) {
        const cai_binding *binding = &entry->inputs[i];
        const cai_port *port = &entry->program->inputs[i];
        int64_t *shape = m->batch.shapes[i], sizes[CAI_MAX_RANK];
        bool free_sizes = false;
        /* an exhausted set, or a port without samples */
        if (binding->kind != CAI_BIND_FIELD || !m->rows[binding->index]) continue;
        shape[0] = m->rows[binding->index];
        for (int axis = 1; axis < port->rank; axis++) free_sizes |= port->dims[axis].symbol != -1;
        if (!free_sizes) continue;
        if (!cai_dataset_sizes(m->trainer->sets[binding->index], CAI_PART_HELD_OUT,
                               m->positions[binding->index], binding->field, sizes, error))
            return false;
        for (int axis = 1; axis < port->rank; axis++) shape[axis] = sizes[axis - 1];
    }
    return cai_running_prepare(&m->batch, error);
}

static int64_t measure_seed(const cai_trainer *trainer, int64_t batch) {
    return cai_trainer_seed(trainer, -2 - batch); /* a seed that no step has */
}

/* Finds where batch `number` of each set begins, and how many rows it has; false if all
 * sets are exhausted. If the entry reads no set, it runs once. */
static bool place_batches(Measuring *m, int64_t number) {
    const cai_training *training = m->trainer->training;
    m->unread = 0;
    for (int set = 0; set < training->set_count; set++) {
        m->rows[set] = 0;
        if (!(m->measure->sets >> set & 1)) continue;
        const int64_t batch = training->sets[set].batch, first = number * batch,
                      left = cai_dataset_count(m->trainer->sets[set], CAI_PART_HELD_OUT) - first;
        m->positions[set] = first;
        m->rows[set] = left > batch ? batch : left > 0 ? left : 0;
        if (!m->rows[set]) m->unread |= 1 << set;
    }
    return m->measure->sets ? m->unread != m->measure->sets : number == 0;
}

static bool run_batches(Measuring *m, cai_error *error) {
    cai_trainer *trainer = m->trainer;
    if (!m->measure->batch.program) return true;
    for (int64_t number = 0; place_batches(m, number); number++) {
        if (!prepare_batch(m, error) ||
            !cai_batch_read(trainer, &m->batch, CAI_PART_HELD_OUT, m->positions, m->rows, error) ||
            !cai_running_run(trainer, &m->batch, trainer->point.step, UINT32_MAX,
                             measure_seed(trainer, number), error) ||
            !take_batch(m, error))
            return false;
        if (number == 0 && !m->again) cai_samples_measured(trainer, m->measure, &m->batch);
    }
    return true;
}

/* ---- the last entry ---- */

static void give_totals(Measuring *m) {
    const cai_entry *entry = &m->measure->last;
    for (int i = 0; i < entry->program->input_count; i++) {
        const cai_binding *binding = &entry->inputs[i];
        if (binding->kind != CAI_BIND_TOTAL) continue;
        const double *total = m->totals[binding->index]; /* NULL: the set has no samples */
        int64_t count = cai_context_elements(m->last.context, &entry->program->inputs[i]);
        for (int64_t k = 0; k < count; k++) ((float *)m->last.inputs[i])[k] = total ? (float)total[k] : 0;
    }
}

static void give_joined(Measuring *m) {
    const cai_entry *entry = &m->measure->last;
    for (int i = 0; i < entry->program->input_count; i++) {
        const cai_binding *binding = &entry->inputs[i];
        if (binding->kind != CAI_BIND_COLLECTED) continue;
        const Joined *joined = &m->joined[binding->index];
        memcpy(m->last.shapes[i], joined->dims, sizeof joined->dims);
        m->last.shapes[i][0] = joined->rows;
        m->last.inputs[i] = joined->bytes;
    }
}

static void take_measured_values(Measuring *m, const cai_running *running) {
    for (int i = 0; i < running->entry->program->output_count; i++) {
        const cai_binding *binding = &running->entry->outputs[i];
        bool number =
            binding->kind == CAI_BIND_SHOWN && m->measure->shown[binding->index].form == CAI_SHOW_CURVE;
        if (number) m->values[binding->index] = (double)*(const float *)running->outputs[i];
    }
}

static bool run_last(Measuring *m, cai_error *error) {
    cai_trainer *trainer = m->trainer;
    if (!m->measure->last.program) return true;
    if (!cai_running_open(trainer, &m->measure->last, &m->last, error)) return false;
    give_joined(m);
    bool done = cai_running_prepare(&m->last, error);
    if (done) {
        give_totals(m);
        done = cai_batch_read(trainer, &m->last, CAI_PART_HELD_OUT, m->positions, m->rows, error) &&
               cai_running_run(trainer, &m->last, trainer->point.step, UINT32_MAX, measure_seed(trainer, -1),
                               error);
    }
    if (done) take_measured_values(m, &m->last);
    cai_running_close(&m->last);
    return done;
}

/* ---- keeping the best ---- */

static bool is_better_than_best(const Measuring *m, double value) {
    double best = m->trainer->point.best;
    if (isnan(value)) return false;
    if (isnan(best)) return true;
    return m->measure->save == CAI_SAVE_LARGEST ? value > best : value < best;
}

/* A full disk does not end the run. A checkpoint that could not be written does not count
 * as the best. */
static void save_best(Measuring *m, bool *saved) {
    cai_trainer *trainer = m->trainer;
    cai_point *point = &trainer->point;
    cai_error error;
    *saved = false;
    if (m->measure->save == CAI_SAVE_NEVER) return;
    const double value = m->values[m->measure->save_by];
    const cai_point before = *point;
    point->since_best++;
    if (!is_better_than_best(m, value)) return;
    point->best = value;
    point->since_best = 0;
    *saved = cai_folder_restore(trainer, &error) &&
             cai_checkpoint_write(&trainer->states, point, trainer->values, trainer->data,
                                  trainer->command->folder, "best.safetensors", &error);
    if (*saved) return;
    *point = before;
    cai_progress_say(trainer, "the best weights so far could not be written, and the run goes on: %s",
                     error.message);
}

/* ---- all of it ---- */

static bool begin_measure(Measuring *m, cai_error *error) {
    const cai_measure *measure = m->measure;
    m->totals = calloc((size_t)measure->total_count + 1, sizeof *m->totals);
    m->joined = calloc((size_t)measure->collected_count + 1, sizeof *m->joined);
    m->values = calloc((size_t)measure->shown_count + 1, sizeof *m->values);
    m->positions = calloc((size_t)m->trainer->training->set_count + 1, sizeof *m->positions);
    m->rows = calloc((size_t)m->trainer->training->set_count + 1, sizeof *m->rows);
    return (m->totals && m->joined && m->values && m->positions && m->rows) ||
           cai_fail_memory(error, 0, "a measurement");
}

static void end_measure(Measuring *m) {
    for (int i = 0; m->totals && i < m->measure->total_count; i++) free(m->totals[i]);
    for (int i = 0; m->joined && i < m->measure->collected_count; i++) free(m->joined[i].bytes);
    free(m->totals);
    free(m->joined);
    free(m->values);
    free(m->positions);
    free(m->rows);
}

static bool measure_all(Measuring *m, cai_error *error) {
    bool saved;
    if (!run_batches(m, error) || !run_last(m, error)) return false;
    if (m->again) return true;
    save_best(m, &saved);
    cai_log_measured(m->trainer, m->measure, m->values, saved);
    return true;
}

/* Without held-out samples there is nothing to print; the user was told so when the run
 * began. */
static bool has_held_out(const cai_trainer *trainer, const cai_measure *measure) {
    int64_t count = 0;
    for (int set = 0; set < trainer->training->set_count; set++)
        if (measure->sets >> set & 1) count += cai_dataset_count(trainer->sets[set], CAI_PART_HELD_OUT);
    return count > 0 || !measure->sets;
}

static bool run_measuring(cai_trainer *trainer, const cai_measure *description, bool again,
                          cai_error *error) {
    if (!has_held_out(trainer, description)) return true;
    Measuring m = {.trainer = trainer, .measure = description, .again = again};
    bool has_batches = description->batch.program != NULL; /* else everything is computed from weights */
    bool begun = begin_measure(&m, error) &&
                 (!has_batches || cai_running_open(trainer, &description->batch, &m.batch, error));
    bool done = begun && measure_all(&m, error);
    if (begun && has_batches) cai_running_close(&m.batch);
    end_measure(&m);
    return done;
}

bool cai_measure_run(cai_trainer *trainer, const cai_measure *measure, cai_error *error) {
    return run_measuring(trainer, measure, false, error);
}

bool cai_measure_again(cai_trainer *trainer, const cai_measure *measure, cai_error *error) {
    return run_measuring(trainer, measure, true, error);
}

/* ---- before the first step ---- */

/* Places the last batch of each set. Returns whether one of them is smaller than a full
 * batch. */
static bool place_last_batches(Measuring *m) {
    const cai_training *training = m->trainer->training;
    bool smaller = false;
    for (int set = 0; set < training->set_count; set++) {
        const int64_t batch = training->sets[set].batch;
        if (!(m->measure->sets >> set & 1)) continue;
        int64_t count = cai_dataset_count(m->trainer->sets[set], CAI_PART_HELD_OUT);
        m->rows[set] = count > 0 ? (count - 1) % batch + 1 : 0;
        m->positions[set] = count - m->rows[set];
        smaller |= count > 0 && m->rows[set] < batch;
    }
    return smaller;
}

static bool fail_rest(cai_error *error) {
    const cai_error inner = *error;
    return cai_fail(
        error, inner.status,
        "the last batch of held-out samples is smaller than the others: %s\n  help: --held-out PERCENT changes "
        "how many samples there are; a `measure` may declare a batch size of its own",
        inner.message);
}

bool cai_measure_check(cai_trainer *trainer, const cai_measure *measure, cai_error *error) {
    Measuring m = {.trainer = trainer, .measure = measure};
    if (!measure->batch.program) return true;
    bool done = begin_measure(&m, error) && cai_running_open(trainer, &measure->batch, &m.batch, error);
    if (done) {
        done = !place_last_batches(&m) || prepare_batch(&m, error) || fail_rest(error);
        cai_running_close(&m.batch);
    }
    end_measure(&m);
    return done;
}
