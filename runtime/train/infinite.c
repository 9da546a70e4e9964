/* Finds where a number that is not finite comes from. A step overwrites its states, so
 * the run returns to the last checkpoint, or to its beginning, and repeats the steps
 * until one produces such a number. That step runs once more, and the result of each
 * launch is checked. Launches whose results were not finite in the step before, where all
 * was well, do not count: these are masks of minus infinity, or integers that look like
 * NaN as floats. */
#include "train/train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Search {
    cai_trainer *trainer;
    const cai_phase *phase;
    cai_running *running;
    cai_states kept[2]; /* at the beginning of this step, and of the step before */
    int64_t step;       /* the step that is repeated */
    void *memory;       /* of intermediate results; zeroed, so that nothing is left over from other steps */
    uint64_t bytes;
    bool *usual; /* by launch: its result was not finite in the step before */
    int next, found;
} Search;

/* ---- going back to a checkpoint ---- */

static bool go_to_checkpoint(cai_trainer *trainer, const char *path, int64_t phase, cai_error *error) {
    cai_checkpoint checkpoint;
    int64_t lengths[trainer->training->phase_count + 1];
    if (!cai_checkpoint_open(trainer->training, path, lengths, &checkpoint, error)) return false;
    bool good = checkpoint.point.item == trainer->point.item && checkpoint.point.phase == phase &&
                checkpoint.point.step <= trainer->point.step &&
                cai_checkpoint_load(&checkpoint, path, &trainer->states, error);
    if (good) trainer->point.step = checkpoint.point.step;
    cai_checkpoint_close(&checkpoint);
    return good;
}

static bool go_back(cai_trainer *trainer, const cai_phase *phase, cai_error *error) {
    char path[4096];
    cai_folder_path(trainer, "last.safetensors", path, sizeof path);
    trainer->minutes[0] = trainer->minutes[1] = 0;
    if (!go_to_checkpoint(trainer, path, trainer->point.phase, error)) {
        if (trainer->point.phase > 0 || trainer->point.item > 0) return false;
        trainer->point.step = 0;
        if (!cai_states_start(&trainer->states, trainer->point.seed, error)) return false;
    }
    return trainer->point.step > 0 || cai_trainer_run_once(trainer, phase, error);
}

/* ---- repeating steps ---- */

static bool losses_are_finite(const cai_phase *phase, const cai_running *running, uint32_t guards) {
    for (int i = 0; i < running->entry->program->output_count; i++) {
        const cai_binding *binding = &running->entry->outputs[i];
        bool is_loss = binding->kind == CAI_BIND_SHOWN && phase->shown[binding->index].is_loss &&
                       (binding->guard < 0 || (guards >> binding->guard & 1));
        if (is_loss && !isfinite(*(const float *)running->outputs[i])) return false;
    }
    return true;
}

static bool writes_states(const cai_entry *entry) {
    for (int i = 0; entry->program && i < entry->program->output_count; i++)
        if (entry->outputs[i].kind == CAI_BIND_STATE) return true;
    return false;
}

static bool measure_again(const Search *s, cai_error *error) {
    for (int i = 0; i < s->phase->measure_count; i++) {
        const cai_measure *measure = &s->phase->measures[i];
        bool due = writes_states(&measure->last) || writes_states(&measure->batch);
        due = due && cai_pace_holds(cai_trainer_pace(s->trainer, s->phase), measure->when, s->step,
                                    cai_trainer_steps(s->trainer, s->trainer->point.phase));
        if (due && !cai_measure_again(s->trainer, measure, error)) return false;
    }
    return true;
}

static bool step_again(Search *s, cai_error *error) {
    uint32_t guards = cai_trainer_guards(s->trainer, s->step);
    s->trainer->point.step = s->step;
    return cai_trainer_run_entry(s->trainer, s->running, s->step, guards, error);
}

/* Finds the first step whose losses or states are not finite (s->step); false if there is
 * none up to `last`. */
static bool find_bad_step(Search *s, int64_t last, cai_error *error) {
    for (s->step = s->trainer->point.step; s->step <= last && !cai_stop_is_asked(); s->step++) {
        cai_states before = s->kept[1];
        s->kept[1] = s->kept[0];
        s->kept[0] = before;
        cai_states_copy(&s->kept[0], &s->trainer->states);
        if (!step_again(s, error)) return false;
        if (!losses_are_finite(s->phase, s->running, cai_trainer_guards(s->trainer, s->step)) ||
            cai_states_find_infinite(&s->trainer->states) >= 0)
            return true;
        s->trainer->point.step = s->step + 1;
        if (!measure_again(s, error)) return false;
    }
    return false;
}

/* ---- checking results ---- */

static bool all_finite(const unsigned char *bytes, uint64_t count) {
    float sum = 0;
    for (uint64_t i = 0; i + sizeof(float) <= count; i += sizeof(float)) {
        float number;
        memcpy(&number, bytes + i, sizeof number);
        sum += 0 * number; /* 0, or NaN if the number is not finite */
    }
    return sum == 0;
}

static void look_at_launch(Search *s, int launch, bool learn) {
    uint64_t bytes;
    const void *result = cai_context_result(
        s->running->context, launch, (const void *const *)s->running->inputs, s->running->outputs, &bytes);
    const cai_launch *run = &s->running->entry->program->launches[launch];
    if (!cai_launch_runs(run, cai_trainer_guards(s->trainer, s->step)) || all_finite(result, bytes)) return;
    if (learn) s->usual[launch] = true;
    else if (!s->usual[launch] && s->found < 0) s->found = launch;
}

static void learn_usual(void *data, int launch) {
    for (Search *s = data; s->next < launch; s->next++) look_at_launch(s, s->next, true);
}

static void find_launch(void *data, int launch) {
    for (Search *s = data; s->next < launch; s->next++) look_at_launch(s, s->next, false);
}

static bool watch_step(Search *s, const cai_states *begin, int64_t step,
                       void (*watch)(void *data, int launch), cai_error *error) {
    s->next = 0;
    s->step = step;
    memset(s->memory, 0, s->bytes);
    cai_states_copy(&s->trainer->states, begin);
    cai_context_watch(s->running->context, watch, s);
    return step_again(s, error);
}

static void *reserve_zeroed(void *user, size_t bytes, size_t alignment) {
    Search *s = user;
    s->bytes = (bytes + alignment - 1) / alignment * alignment;
    s->memory = aligned_alloc(alignment, s->bytes);
    return s->memory;
}

static void release_zeroed(void *user, void *memory, size_t bytes) {
    (void)user, (void)bytes;
    free(memory);
}

static bool find_layer_of_launch(Search *s, int64_t first, cai_error *error) {
    const int64_t step = s->step;
    cai_context_set_memory(s->running->context, reserve_zeroed, release_zeroed, s);
    s->usual = calloc((size_t)s->running->entry->program->launch_count + 1, sizeof *s->usual);
    if (!s->usual) return cai_fail_memory(error, 0, "a search");
    return cai_running_prepare(s->running, error) &&
           (step == first || watch_step(s, &s->kept[1], step - 1, learn_usual, error)) &&
           watch_step(s, &s->kept[0], step, find_launch, error) && s->found >= 0;
}

/* ---- the message ---- */

/* The launch that computes the loss; -1 if it is not known. With a single loss,
 * everything after it is its gradient, or part of an optimizer. */
static int launch_of_loss(const Search *s) {
    const cai_entry *entry = s->running->entry;
    int port = -1, losses = 0;
    for (int i = 0; i < entry->program->output_count; i++) {
        const cai_binding *binding = &entry->outputs[i];
        if (binding->kind != CAI_BIND_SHOWN || !s->phase->shown[binding->index].is_loss) continue;
        port = i;
        losses++;
    }
    for (int i = 0; losses == 1 && i < entry->program->launch_count; i++) {
        const cai_argument *result = &entry->program->launches[i].arguments[0];
        if (result->space == CAI_ARG_OUTPUT && result->index == port) return i;
    }
    return -1;
}

static void describe_launch(const Search *s, char *out, size_t size) {
    const cai_launch *launch = &s->running->entry->program->launches[s->found];
    int loss = launch_of_loss(s);
    bool of_optimizer = strncmp(launch->path, "train.", 6) == 0;
    const char *what = loss < 0 || of_optimizer ? "result" : s->found > loss ? "gradient" : "output";
    snprintf(out, size, "\n  note: in step %lld the first %s that is not finite is that of %s%s%s%s%s%s",
             (long long)s->step + 1, what, *launch->path ? "`" : "", launch->path, *launch->path ? "`" : "",
             *launch->path ? " (" : "", launch->source, *launch->path ? ")" : "");
}

void cai_infinite_find(cai_trainer *trainer, const cai_phase *phase, cai_running *running, int64_t last,
                       char *out, size_t size) {
    cai_error error;
    char steps[32];
    Search s = {.trainer = trainer, .phase = phase, .running = running, .found = -1};
    *out = 0;
    if (!go_back(trainer, phase, &error)) return;
    const int64_t first = trainer->point.step;
    cai_progress_say(trainer, "a value is not finite: the last %s steps are run again to find where",
                     cai_count_text(last - first + 1, steps, sizeof steps));
    if (cai_states_new(trainer->training, &s.kept[0], &error) &&
        cai_states_new(trainer->training, &s.kept[1], &error) && find_bad_step(&s, last, &error) &&
        find_layer_of_launch(&s, first, &error))
        describe_launch(&s, out, size);
    cai_context_watch(running->context, NULL, NULL);
    cai_context_set_memory(running->context, NULL, NULL, NULL);
    cai_states_free(&s.kept[0]);
    cai_states_free(&s.kept[1]);
    free(s.usual);
}
