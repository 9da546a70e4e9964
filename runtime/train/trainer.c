/* Runs a training from a point to its end: phase by phase and step by step, with
 * measurements between steps and checkpoints now and then. */
#include "program/main.h"
#include "train/train.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECKPOINT_EVERY 600e3 /* milliseconds, unless --checkpoint gives a number of steps */

/* ---- sets ---- */

/* May be called by any thread that reads samples. */
static void tell_notice(const char *path, const char *text) {
    flockfile(stderr);
    cai_progress_clear();
    fprintf(stderr, "notice: %s: %s\n", path, text);
    funlockfile(stderr);
}

static bool open_sets(cai_trainer *trainer, cai_error *error) {
    const cai_training *training = trainer->training;
    trainer->sets = calloc((size_t)training->set_count + 1, sizeof *trainer->sets);
    if (!trainer->sets) return cai_fail_memory(error, 0, "sets");
    for (int i = 0; i < training->set_count; i++) {
        if (!cai_set_is_read(training, i)) continue;
        trainer->sets[i] =
            cai_set_open(training, trainer->command, i, trainer->point.seed, tell_notice, error);
        if (!trainer->sets[i]) return false;
        trainer->data = cai_mix(trainer->data + cai_dataset_fingerprint(trainer->sets[i]));
    }
    return true;
}

/* ---- lengths and positions ---- */

int cai_trainer_paced_by(const cai_trainer *trainer, const cai_phase *phase) {
    int best = phase->paced_by;
    int64_t max = 0;
    for (int i = 0; i < trainer->training->set_count && phase->paced_by < 0; i++) {
        if (phase->rounds[i] == 0 || cai_set_stays(&trainer->training->sets[i])) continue;
        int64_t count = cai_dataset_count(trainer->sets[i], CAI_PART_TRAINING);
        if (count > max) max = count, best = i;
    }
    return best;
}

cai_pace cai_trainer_pace(const cai_trainer *trainer, const cai_phase *phase) {
    int set = cai_trainer_paced_by(trainer, phase);
    cai_pace pace = {1, 1, {trainer->minutes[0], trainer->minutes[1]}};
    if (set < 0) return pace;
    pace.samples = trainer->training->sets[set].batch * phase->rounds[set];
    pace.count = cai_dataset_count(trainer->sets[set], CAI_PART_TRAINING);
    return pace;
}

int64_t cai_trainer_steps(const cai_trainer *trainer, int64_t phase) { return trainer->point.lengths[phase]; }

/* Samples that a step of the phase takes from a set's data, whichever batch sizes the
 * phase declares for it. */
static int64_t samples_of_step(const cai_training *training, const cai_phase *phase, int set) {
    int64_t samples = 0;
    for (int i = 0; i < training->set_count; i++)
        if (cai_set_of_data(training->sets, i) == cai_set_of_data(training->sets, set))
            samples += phase->rounds[i] * training->sets[i].batch;
    return samples;
}

/* Positions continue from phase to phase and from item to item, so that a later phase
 * reads other samples. */
int64_t cai_trainer_drawn(const cai_trainer *trainer, int set) {
    const cai_training *training = trainer->training;
    const cai_point *point = &trainer->point;
    int64_t drawn = 0;
    for (int i = 0; i < training->phase_count; i++) {
        int64_t steps = i < point->phase ? point->lengths[i] : i == point->phase ? point->step : 0;
        if (point->item > 0) steps += point->item * point->lengths[i];
        drawn += steps * samples_of_step(training, &training->phases[i], set);
    }
    return drawn;
}

int64_t cai_trainer_staying(const cai_trainer *trainer, int set) {
    return trainer->training->sets[set].fields[0].each ? trainer->point.item : 0;
}

/* Phases are numbered through all items, so that no two steps of a run share a seed. */
int64_t cai_trainer_seed(const cai_trainer *trainer, int64_t step) {
    const cai_point *point = &trainer->point;
    int64_t phase = point->item * trainer->training->phase_count + point->phase;
    return cai_step_seed(point->seed, (int32_t)phase, step);
}

/* ---- opening ---- */

static void find_lengths(cai_trainer *trainer) {
    for (int i = 0; i < trainer->training->phase_count; i++) {
        const cai_phase *phase = &trainer->training->phases[i];
        int64_t steps = cai_pace_steps(cai_trainer_pace(trainer, phase), phase->length);
        trainer->point.lengths[i] = trainer->command->steps ? trainer->command->steps : steps;
    }
}

static bool fail_phase(const cai_trainer *trainer, cai_error *error) {
    const cai_training *training = trainer->training;
    char names[500] = "";
    for (int i = 0; i < training->phase_count && *training->phases[0].name; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s`%s`", i ? ", " : ": there are ",
                 training->phases[i].name);
    }
    return cai_fail(error, CAI_BAD_USAGE, "`%s` has no phase `%s`%s", training->name, trainer->command->phase,
                    *names ? names : ": it has no phases");
}

static bool find_only_phase(cai_trainer *trainer, cai_error *error) {
    const char *name = trainer->command->phase;
    trainer->only = -1;
    for (int i = 0; name && i < trainer->training->phase_count; i++)
        if (strcmp(trainer->training->phases[i].name, name) == 0) trainer->only = i;
    return !name || trainer->only >= 0 || fail_phase(trainer, error);
}

bool cai_trainer_is_over(const cai_trainer *trainer) {
    return trainer->point.phase == trainer->training->phase_count ||
           (trainer->only >= 0 && trainer->point.phase > trainer->only);
}

/* With --phase in a new run, the phases before it count as if they took no steps. A run
 * that is resumed must have reached the phase. */
bool cai_trainer_go_to_phase(cai_trainer *trainer, bool resumed, cai_error *error) {
    if (trainer->only < 0 || trainer->point.phase >= trainer->only) return true;
    if (resumed)
        return cai_fail(
            error, CAI_BAD_INPUT,
            "%s: this run is in phase `%s`, before `%s`\n  help: --phase \"%s\" finishes that phase first; -o "
            "names another folder",
            trainer->command->folder, trainer->training->phases[trainer->point.phase].name,
            trainer->command->phase, trainer->training->phases[trainer->point.phase].name);
    for (int i = 0; i < trainer->only; i++) trainer->point.lengths[i] = 0;
    trainer->point.phase = trainer->only;
    return true;
}

static bool check_measures(cai_trainer *trainer, cai_error *error) {
    const cai_training *training = trainer->training;
    for (int i = 0; i < training->phase_count; i++)
        for (int k = 0; k < training->phases[i].measure_count; k++)
            if (!cai_measure_check(trainer, &training->phases[i].measures[k], error)) return false;
    return true;
}

bool cai_trainer_open(cai_trainer *trainer, cai_error *error) {
    const cai_training *training = trainer->training;
    trainer->point = (cai_point){.seed = cai_folder_seed(trainer), .best = NAN};
    trainer->point.lengths = calloc((size_t)training->phase_count + 1, sizeof *trainer->point.lengths);
    trainer->pool = cai_pool_new((int)trainer->command->threads);
    if (!trainer->point.lengths || !trainer->pool) return cai_fail_memory(error, 0, "starting");
    if (!cai_states_new(training, &trainer->states, error) || !open_sets(trainer, error) ||
        !check_measures(trainer, error) || !cai_ahead_open(trainer, error) ||
        !cai_items_count(trainer, error))
        return false;
    find_lengths(trainer);
    return find_only_phase(trainer, error);
}

void cai_trainer_close(cai_trainer *trainer) {
    cai_pool_free(trainer->pool);
    cai_ahead_close(trainer);
    for (int i = 0; trainer->sets && i < trainer->training->set_count; i++)
        if (trainer->sets[i]) cai_dataset_free(trainer->sets[i]);
    if (trainer->log) fclose(trainer->log);
    cai_events_close(&trainer->events);
    if (trainer->states.data) cai_states_free(&trainer->states);
    free(trainer->values);
    free(trainer->sets);
    free(trainer->point.lengths);
}

/* ---- checkpoints ---- */

bool cai_trainer_keep(cai_trainer *trainer, cai_error *error) {
    char last[4096], previous[4096];
    int broken = cai_states_find_infinite(&trainer->states);
    if (broken >= 0)
        return cai_fail(error, CAI_BAD_INPUT,
                        "`%s` is no longer finite after step %lld: no checkpoint was written",
                        trainer->training->states[broken].path, (long long)trainer->point.step);
    if (!cai_folder_restore(trainer, error)) return false;
    cai_folder_path(trainer, "last.safetensors", last, sizeof last);
    cai_folder_path(trainer, "previous.safetensors", previous, sizeof previous);
    unlink(previous);
    (void)!link(last, previous); /* fails the first time, as there is none yet */
    if (trainer->log) fflush(trainer->log);
    trainer->written = cai_milliseconds();
    return cai_checkpoint_write(&trainer->states, &trainer->point, trainer->values, trainer->data,
                                trainer->command->folder, "last.safetensors", error);
}

static bool is_checkpoint_due(const cai_trainer *trainer) {
    int64_t every = trainer->command->checkpoint;
    if (every) return trainer->point.step % every == 0;
    return cai_milliseconds() - trainer->written >= CHECKPOINT_EVERY;
}

/* During a run a full disk is no reason to stop: it is reported, and the next checkpoint
 * may find room. */
static void keep_on_the_way(cai_trainer *trainer) {
    cai_error error;
    if (cai_trainer_keep(trainer, &error)) return;
    cai_progress_say(trainer, "no checkpoint could be written, and the run goes on: %s", error.message);
}

/* ---- steps ---- */

uint32_t cai_trainer_guards(const cai_trainer *trainer, int64_t step) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    uint32_t guards = 0;
    for (int i = 0; i < phase->guard_count; i++) {
        bool holds = cai_pace_holds(cai_trainer_pace(trainer, phase), phase->guards[i], step,
                                    cai_trainer_steps(trainer, trainer->point.phase));
        guards |= (uint32_t)holds << i;
    }
    return guards;
}

/* Adds the step's shown values to those of the phase. Returns the first loss that is not
 * finite, or NULL. */
static const cai_shown *take_shown(cai_trainer *trainer, const cai_running *running, uint32_t guards) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    const cai_shown *infinite = NULL;
    for (int i = 0; i < running->entry->program->output_count; i++) {
        const cai_binding *binding = &running->entry->outputs[i];
        if (binding->kind != CAI_BIND_SHOWN || (binding->guard >= 0 && !(guards >> binding->guard & 1)))
            continue;
        const cai_shown *shown = &phase->shown[binding->index];
        if (shown->form != CAI_SHOW_CURVE) continue;
        double value = (double)*(const float *)running->outputs[i];
        cai_value *kept = &trainer->values[binding->index];
        *kept = (cai_value){kept->sum + value, value, kept->count + 1};
        if (!isfinite(value) && shown->is_loss && !infinite) infinite = shown;
    }
    return infinite;
}

/* ---- a result that is not finite ends the run ---- */

static bool fail_infinite(cai_trainer *trainer, cai_running *running, int64_t step, const char *what,
                          cai_error *error) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    char where[500];
    cai_infinite_find(trainer, phase, running, step, where, sizeof where);
    return cai_fail(
        error, CAI_BAD_INPUT,
        "%s in step %lld%s%s: the run stops%s\n  help: %s/last.safetensors is the last checkpoint "
        "before that; a smaller learning rate, or `clip`, may keep it finite",
        what, (long long)step + 1, *phase->name ? " of phase " : "", phase->name, where,
        trainer->command->folder);
}

static bool check_losses(cai_trainer *trainer, cai_running *running, uint32_t guards, cai_error *error) {
    char what[200];
    const cai_shown *shown = take_shown(trainer, running, guards);
    if (!shown) return true;
    double value = trainer->values[shown - trainer->training->phases[trainer->point.phase].shown].last;
    snprintf(what, sizeof what, "`%s` is %s", shown->name, isnan(value) ? "not a number" : "infinite");
    return fail_infinite(trainer, running, trainer->point.step, what, error);
}

/* States are checked when a checkpoint is due, so that none is written with numbers that
 * are not finite. */
static bool check_states(cai_trainer *trainer, cai_running *running, cai_error *error) {
    char what[300];
    int broken = cai_states_find_infinite(&trainer->states);
    if (broken < 0) return true;
    snprintf(what, sizeof what, "`%s` was found not to be finite", trainer->training->states[broken].path);
    return fail_infinite(trainer, running, trainer->point.step - 1, what, error);
}

static void find_positions(const cai_trainer *trainer, int64_t *positions) {
    for (int i = 0; i < trainer->training->set_count; i++) positions[i] = cai_trainer_drawn(trainer, i);
}

bool cai_trainer_run_entry(cai_trainer *trainer, cai_running *running, int64_t step, uint32_t guards,
                           cai_error *error) {
    int64_t positions[trainer->training->set_count + 1];
    find_positions(trainer, positions);
    return cai_batch_read(trainer, running, CAI_PART_TRAINING, positions, NULL, error) &&
           cai_running_run(trainer, running, trainer->point.step, guards, cai_trainer_seed(trainer, step),
                           error);
}

/* The entry is prepared for the batch sizes that it was compiled for. */
bool cai_trainer_open_entry(cai_trainer *trainer, const cai_entry *entry, cai_running *running,
                            cai_error *error) {
    if (!cai_running_open(trainer, entry, running, error)) return false;
    if (cai_running_prepare(running, error)) return true;
    cai_running_close(running);
    return false;
}

/* With --phase, the states that `once` writes in earlier phases must still be written. */
bool cai_trainer_begin_skipped(cai_trainer *trainer, cai_error *error) {
    cai_point *point = &trainer->point;
    bool good = true;
    for (int i = 0; i < trainer->only && good; i++) {
        point->phase = i;
        point->lengths[i] = 1; /* so that `progress` has no division by 0 */
        good = cai_trainer_run_once(trainer, &trainer->training->phases[i], error);
        point->lengths[i] = 0;
    }
    if (trainer->only > 0) point->phase = trainer->only;
    return good;
}

/* Runs what is computed before the first step, with a seed (of step -1) that no step
 * has. */
static bool run_before_steps(cai_trainer *trainer, const cai_entry *entry, cai_error *error) {
    cai_running running;
    if (!entry->program) return true;
    if (!cai_trainer_open_entry(trainer, entry, &running, error)) return false;
    bool done = cai_trainer_run_entry(trainer, &running, -1, UINT32_MAX, error);
    cai_running_close(&running);
    return done;
}

bool cai_trainer_run_once(cai_trainer *trainer, const cai_phase *phase, cai_error *error) {
    return run_before_steps(trainer, &phase->once, error) && run_before_steps(trainer, &phase->kept, error);
}

static bool measure_after_step(cai_trainer *trainer, const cai_phase *phase, int64_t step, cai_error *error) {
    for (int i = 0; i < phase->measure_count; i++) {
        const cai_measure *one = &phase->measures[i];
        int64_t steps = cai_trainer_steps(trainer, trainer->point.phase);
        if (!cai_pace_holds(cai_trainer_pace(trainer, phase), one->when, step, steps)) continue;
        if (!cai_measure_run(trainer, one, error)) return false;
    }
    return true;
}

static bool has_lost_patience(const cai_trainer *trainer) {
    return trainer->command->patience && trainer->point.since_best >= trainer->command->patience;
}

static bool is_to_stop(const cai_trainer *trainer) {
    bool reached = trainer->command->stop && trainer->point.step >= trainer->command->stop;
    return cai_stop_is_asked() || reached || has_lost_patience(trainer);
}

static bool is_phase_over(const cai_trainer *trainer) {
    return trainer->point.step == cai_trainer_steps(trainer, trainer->point.phase) ||
           has_lost_patience(trainer);
}

static int64_t first_phase(const cai_trainer *trainer) { return trainer->only >= 0 ? trainer->only : 0; }

static bool ends_item(const cai_trainer *trainer) {
    int64_t last = trainer->only >= 0 ? trainer->only : trainer->training->phase_count - 1;
    return trainer->point.phase == last;
}

static void look_at_clock(cai_trainer *trainer) {
    trainer->minutes[1] = trainer->minutes[0];
    trainer->minutes[0] = (cai_milliseconds() - trainer->begun) / 60e3;
}

/* Whether another step follows, as far as is known now; only a signal or --patience may
 * end the phase earlier. */
static bool is_step_behind(const cai_trainer *trainer, int64_t step) {
    int64_t stop = trainer->command->stop;
    return step + 1 < cai_trainer_steps(trainer, trainer->point.phase) && (!stop || step + 1 < stop);
}

/* Like cai_trainer_run_entry, but uses samples that were read ahead, and lets the next
 * step's samples be read meanwhile. */
static bool compute_step(cai_trainer *trainer, cai_running *running, int64_t step, uint32_t guards,
                         cai_error *error) {
    int64_t positions[trainer->training->set_count + 1];
    find_positions(trainer, positions);
    if (!cai_ahead_take(trainer, running, positions, error) ||
        (is_step_behind(trainer, step) && !cai_ahead_begin(trainer, running, positions, error)))
        return false;
    int64_t seed = cai_trainer_seed(trainer, step);
    return cai_running_run(trainer, running, step, guards, seed, error);
}

static bool run_step(cai_trainer *trainer, const cai_phase *phase, cai_running *running, cai_error *error) {
    const int64_t step = trainer->point.step;
    double begun = cai_milliseconds(), used = cai_used_milliseconds(), waited = trainer->progress.waited;
    look_at_clock(trainer);
    uint32_t guards = cai_trainer_guards(trainer, step);
    if (!compute_step(trainer, running, step, guards, error) ||
        !check_losses(trainer, running, guards, error))
        return false;
    trainer->point.step++;
    if (trainer->command->time)
        cai_progress_time(trainer, cai_milliseconds() - begun, cai_used_milliseconds() - used,
                          trainer->progress.waited - waited);
    cai_log_step(trainer, phase, guards);
    cai_samples_step(trainer, phase, running, guards);
    cai_progress_step(trainer, cai_milliseconds() - begun);
    bool due = is_checkpoint_due(trainer), ends = is_phase_over(trainer) || is_to_stop(trainer);
    if ((due || ends) && !check_states(trainer, running, error)) return false;
    if (!measure_after_step(trainer, phase, step, error)) return false;
    /* Keep the item before a checkpoint says that it is done, since no later step could
     * show it. */
    if (is_phase_over(trainer) && ends_item(trainer)) cai_items_keep(trainer, running);
    if (due) keep_on_the_way(trainer);
    cai_page_step(trainer);
    return true;
}

/* ---- phases whose length is in minutes ----
 *
 * Some steps are timed and thrown away. From then on the phase has a number of steps,
 * which depends on the machine; so do its schedules. */

enum { TIMED_STEPS = 20 };
#define TIMED_MOST 10e3 /* milliseconds */

static bool time_steps(cai_trainer *trainer, cai_running *running, double *each, cai_error *error) {
    int64_t done = 0;
    /* the first step touches memory, and is not timed */
    if (!cai_trainer_run_entry(trainer, running, 0, 0, error)) return false;
    double begun = cai_milliseconds();
    while (done < TIMED_STEPS && (done < 2 || cai_milliseconds() - begun < TIMED_MOST)) {
        if (!cai_trainer_run_entry(trainer, running, 0, 0, error)) return false;
        done++;
    }
    *each = (cai_milliseconds() - begun) / (double)done;
    return true;
}

static bool find_length(cai_trainer *trainer, const cai_phase *phase, cai_running *running,
                        cai_error *error) {
    cai_states kept;
    double each;
    int64_t *length = &trainer->point.lengths[trainer->point.phase];
    if (*length >= 0) return true;
    if (!cai_states_new(trainer->training, &kept, error)) return false;
    cai_states_copy(&kept, &trainer->states);
    *length = 1; /* so that `progress` has no division by 0 */
    bool done = time_steps(trainer, running, &each, error);
    cai_states_copy(&trainer->states, &kept);
    cai_states_free(&kept);
    *length = done ? (int64_t)ceil(phase->length.count * 60e3 / (each > 0.001 ? each : 0.001)) : -1;
    return done;
}

/* ---- phases ---- */

static bool run_steps(cai_trainer *trainer, const cai_phase *phase, cai_running *running, cai_error *error) {
    if (!find_length(trainer, phase, running, error)) return false;
    int64_t steps = cai_trainer_steps(trainer, trainer->point.phase);
    if (trainer->point.step == 0 && !cai_trainer_run_once(trainer, phase, error)) return false;
    while (trainer->point.step < steps && !is_to_stop(trainer))
        if (!run_step(trainer, phase, running, error)) return false;
    return true;
}

bool cai_trainer_make_values(cai_trainer *trainer, cai_error *error) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    if (!trainer->values) trainer->values = calloc((size_t)phase->shown_count + 1, sizeof *trainer->values);
    return trainer->values || cai_fail_memory(error, 0, "a phase");
}

static bool run_phase(cai_trainer *trainer, cai_error *error) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    cai_running running;
    if (!cai_trainer_make_values(trainer, error)) return false;
    bool done = cai_trainer_open_entry(trainer, &phase->step, &running, error);
    if (done) {
        done = run_steps(trainer, phase, &running, error);
        cai_ahead_drop(trainer);
        cai_running_close(&running);
    }
    return done;
}

/* Moves on to the next phase, or to the first phase of the next item, which begins with
 * new states of optimizers. */
static bool go_on(cai_trainer *trainer, cai_error *error) {
    cai_point *point = &trainer->point;
    bool another = ends_item(trainer) && point->item + 1 < trainer->items;
    point->lengths[point->phase] = point->step; /* --patience may have ended the phase early */
    free(trainer->values);
    trainer->values = NULL;
    *point = (cai_point){.item = point->item + another,
                         .phase = another ? first_phase(trainer) : point->phase + 1,
                         .lengths = point->lengths,
                         .seed = point->seed,
                         .best = NAN};
    return !another || cai_states_start_optimizers(&trainer->states, point->seed, error);
}

bool cai_trainer_run(cai_trainer *trainer, cai_error *error) {
    trainer->written = trainer->begun = cai_milliseconds();
    while (!cai_trainer_is_over(trainer)) {
        if (!run_phase(trainer, error)) return false;
        if (!is_phase_over(trainer)) break;
        if (!go_on(trainer, error)) return false;
        if (cai_stop_is_asked()) break;
        if (trainer->point.phase < trainer->training->phase_count) keep_on_the_way(trainer);
    }
    return cai_trainer_keep(trainer, error);
}

/* ---- --profile ---- */

static bool profile_step(cai_trainer *trainer, cai_running *running, cai_error *error) {
    const cai_rerun rerun = {running->context,
                             trainer->pool,
                             (const void *const *)running->inputs,
                             running->outputs,
                             cai_trainer_seed(trainer, 0),
                             0};
    return cai_trainer_run_entry(trainer, running, 0, cai_trainer_guards(trainer, 0), error) &&
           cai_profile(running->entry->program, &rerun, false, error);
}

bool cai_trainer_profile(cai_trainer *trainer, cai_error *error) {
    const cai_phase *phase = &trainer->training->phases[0];
    cai_running running;
    /* so that `progress` has no division by 0 */
    if (trainer->point.lengths[0] < 0) trainer->point.lengths[0] = 1;
    if (!cai_states_start(&trainer->states, trainer->point.seed, error) ||
        !cai_trainer_run_once(trainer, phase, error) ||
        !cai_trainer_open_entry(trainer, &phase->step, &running, error))
        return false;
    bool done = profile_step(trainer, &running, error);
    cai_running_close(&running);
    return done;
}
