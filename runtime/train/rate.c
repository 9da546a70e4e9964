/* --find-rate: runs steps from the beginning of the run, whose `lr` is multiplied by a
 * factor that grows from step to step, until the loss has grown, too (Smith 2017). The
 * compiler builds a trainer for this purpose alone, whose steps take the factor and show
 * the rate. Its only results are a table, a curve and a suggestion. */
#include "train/train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SWEEP = 100 /* steps */, TOLD = 20 /* lines of the table */, LEAST = 10 };
#define FIRST 1e-4 /* the factors go from FIRST to LAST */
#define LAST 1e3
#define KEPT 0.9  /* weight of earlier losses in the mean */
#define GROWN 4.0 /* the sweep ends when the mean loss exceeds the least one by this factor */

typedef struct Sweep {
    double *rates; /* rate and mean loss in turn */
    int64_t count;
    int64_t least; /* the index of the least mean loss */
} Sweep;

bool cai_training_finds_rate(const cai_training *training) {
    const cai_entry *step = &training->phases[0].step;
    for (int i = 0; i < step->program->input_count; i++)
        if (step->inputs[i].kind == CAI_BIND_SCALE) return true;
    return false;
}

/* ---- the sweep ---- */

static double shown_in_step(const cai_phase *phase, const cai_running *running, bool loss) {
    for (int i = 0; i < running->entry->program->output_count; i++) {
        const cai_binding *binding = &running->entry->outputs[i];
        if (binding->kind != CAI_BIND_SHOWN) continue;
        const cai_shown *shown = &phase->shown[binding->index];
        bool wanted = loss ? shown->is_loss : strcmp(shown->name, CAI_SHOWN_RATE) == 0;
        if (wanted) return (double)*(const float *)running->outputs[i];
    }
    return NAN;
}

static bool is_sweep_over(const Sweep *sweep) {
    const double *last = &sweep->rates[2 * (sweep->count - 1)];
    if (!isfinite(last[1])) return true;
    return sweep->count > LEAST && last[1] > GROWN * sweep->rates[2 * sweep->least + 1];
}

/* The mean of all losses so far, with exponentially decreasing weights. */
static bool sweep_rates(cai_trainer *trainer, const cai_phase *phase, cai_running *running, int64_t steps,
                        Sweep *sweep, cai_error *error) {
    double sum = 0, weight = 0;
    for (int64_t i = 0; i < steps && !cai_stop_is_asked(); i++) {
        trainer->scale = FIRST * pow(LAST / FIRST, (double)i / (double)(steps - 1));
        trainer->point.step = i;
        if (!cai_trainer_run_entry(trainer, running, i, cai_trainer_guards(trainer, i), error)) return false;
        sum = KEPT * sum + (1 - KEPT) * shown_in_step(phase, running, true);
        weight = KEPT * weight + (1 - KEPT);
        double *point = &sweep->rates[2 * sweep->count++];
        point[0] = shown_in_step(phase, running, false);
        point[1] = sum / weight;
        if (is_sweep_over(sweep)) break;
        if (point[1] < sweep->rates[2 * sweep->least + 1]) sweep->least = sweep->count - 1;
    }
    return true;
}

/* ---- the results ---- */

static bool write_rate_curve(const cai_trainer *trainer, const Sweep *sweep, cai_error *error) {
    cai_line line = {"mean loss over lr", sweep->rates, sweep->count};
    cai_panel panel = {.title = trainer->training->name, .lines = &line, .count = 1, .logarithmic = true};
    char path[4096], *text;
    size_t count;
    FILE *out = open_memstream(&text, &count);
    if (!out) return cai_fail_memory(error, 0, "rate.svg");
    cai_chart_print(&panel, 1, out);
    fclose(out);
    bool done = cai_file_write(cai_folder_path(trainer, "rate.svg", path, sizeof path), text, count, error);
    free(text);
    return done;
}

/* Where the loss is least, the rate is nearly too large. A tenth of it is a usual
 * choice. */
static void print_rates(const cai_trainer *trainer, const Sweep *sweep) {
    int64_t each = (sweep->count + TOLD - 1) / TOLD;
    printf("%12s  mean loss\n", CAI_SHOWN_RATE);
    for (int64_t i = 0; i < sweep->count; i++)
        if (i % each == 0 || i == sweep->least || i == sweep->count - 1)
            printf("%12.3g  %.4g%s\n", sweep->rates[2 * i], sweep->rates[2 * i + 1],
                   i == sweep->least ? "  the smallest" : "");
    printf("suggestion: lr = %.2g, a tenth of the rate with the smallest loss\n%s/rate.svg has the curve\n",
           sweep->rates[2 * sweep->least] / 10, trainer->command->folder);
}

static bool sweep_and_tell(cai_trainer *trainer, const cai_phase *phase, cai_running *running, int64_t steps,
                           Sweep *sweep, cai_error *error) {
    if (!cai_states_start(&trainer->states, trainer->point.seed, error) ||
        !cai_trainer_begin_skipped(trainer, error) || !cai_trainer_run_once(trainer, phase, error) ||
        !sweep_rates(trainer, phase, running, steps, sweep, error))
        return false;
    if (cai_stop_is_asked()) return true;
    if (!isfinite(sweep->rates[1]))
        return cai_fail(error, CAI_BAD_INPUT, "the loss is not finite in the first step, with a rate of %.3g",
                        sweep->rates[0]);
    print_rates(trainer, sweep);
    return write_rate_curve(trainer, sweep, error);
}

bool cai_rate_find(cai_trainer *trainer, cai_error *error) {
    const int64_t steps = trainer->command->steps > LEAST ? trainer->command->steps : SWEEP;
    trainer->point.phase = trainer->only >= 0 ? trainer->only : 0;
    trainer->point.step = 0;
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    int64_t *length = &trainer->point.lengths[trainer->point.phase];
    if (*length < steps) *length = steps;
    Sweep sweep = {.rates = cai_allocate(2 * (uint64_t)steps * sizeof(double), "a sweep of rates", error)};
    cai_running running;
    if (!sweep.rates) return false;
    cai_stop_on_signals();
    bool done = cai_trainer_open_entry(trainer, &phase->step, &running, error);
    if (done) {
        done = sweep_and_tell(trainer, phase, &running, steps, &sweep, error);
        cai_running_close(&running);
    }
    free(sweep.rates);
    return done;
}
