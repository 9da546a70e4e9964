/* The progress line: on a terminal it is updated in place, five times a second; elsewhere
 * a new line is printed once a minute.
 *
 *     epoch 12/200  step 4,800/80,000  loss 0.61  12.4 pictures/s  wait 3 %  left 1 h 52
 *
 * `wait` is the share of time that steps spent waiting for their samples. */
#include "train/train.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define SHOWN_EVERY 200.0  /* milliseconds, on a terminal */
#define TOLD_EVERY 60000.0 /* milliseconds, elsewhere */

static bool is_terminal(void) { return isatty(STDERR_FILENO); }

void cai_progress_clear(void) {
    if (is_terminal()) fputs("\r\033[K", stderr);
}

void cai_progress_say(cai_trainer *trainer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    cai_progress_clear();
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    if (is_terminal()) trainer->progress.shown = 0; /* so that the next step shows the line again */
}

/* ---- numbers for people ---- */

const char *cai_count_text(int64_t count, char *out, size_t size) {
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)count);
    size_t at = 0;
    for (int i = 0; i < length && at + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

const char *cai_time_text(double milliseconds, char *out, size_t size) {
    int64_t seconds = (int64_t)(milliseconds / 1000 + 0.5), minutes = seconds / 60, hours = minutes / 60;
    if (hours >= 1) snprintf(out, size, "%lld h %02lld", (long long)hours, (long long)(minutes % 60));
    else if (minutes >= 1)
        snprintf(out, size, "%lld min %02lld", (long long)minutes, (long long)(seconds % 60));
    else snprintf(out, size, "%lld s", (long long)seconds);
    return out;
}

/* ---- the line ---- */

typedef struct Line {
    char text[500];
    size_t used;
} Line;

static void add_text(Line *line, const char *format, ...) CAI_PRINTF(2, 3);
static void add_text(Line *line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int wrote = vsnprintf(line->text + line->used, sizeof line->text - line->used, format, arguments);
    va_end(arguments);
    if (wrote > 0)
        line->used += (size_t)wrote < sizeof line->text - line->used ? (size_t)wrote
                                                                     : sizeof line->text - line->used - 1;
}

static void add_epoch(Line *line, const cai_trainer *trainer, const cai_phase *phase) {
    cai_pace pace = cai_trainer_pace(trainer, phase);
    int64_t steps = cai_trainer_steps(trainer, trainer->point.phase);
    char a[32], b[32];
    if (cai_trainer_paced_by(trainer, phase) >= 0) {
        int64_t epoch = cai_pace_epoch(pace, trainer->point.step - 1) + 1,
                epochs = cai_pace_epoch(pace, steps - 1) + 1;
        add_text(line, "epoch %s/%s  ", cai_count_text(epoch, a, sizeof a),
                 cai_count_text(epochs, b, sizeof b));
    }
    add_text(line, "step %s/%s", cai_count_text(trainer->point.step, a, sizeof a),
             cai_count_text(steps, b, sizeof b));
}

static void add_item_of(Line *line, const cai_trainer *trainer) {
    char item[200];
    if (*cai_item_text(trainer, item, sizeof item)) add_text(line, "%s  ", item);
}

/* Steps of this phase in this item, and of all phases in the items that follow. */
static int64_t steps_left_in_phase(const cai_trainer *trainer) {
    int64_t steps = cai_trainer_steps(trainer, trainer->point.phase), left = steps - trainer->point.step;
    for (int i = 0; trainer->point.item + 1 < trainer->items && i < trainer->training->phase_count; i++) {
        int64_t each = cai_trainer_steps(trainer, i);
        if (each > 0) left += each * (trainer->items - trainer->point.item - 1);
    }
    return left;
}

static void add_losses(Line *line, const cai_trainer *trainer, const cai_phase *phase) {
    for (int i = 0; i < phase->shown_count; i++) {
        const cai_value *value = &trainer->values[i];
        if (!phase->shown[i].is_loss) continue;
        add_text(line, "  %s %.4g", phase->shown[i].name,
                 value->count ? value->sum / value->count : value->last);
    }
}

static const char *sample_word(const cai_trainer *trainer, int set) {
    const cai_set *described = &trainer->training->sets[set];
    for (int i = 0; i < described->field_count; i++)
        if (described->fields[i].form == CAI_FORM_IMAGE) return "pictures";
    return "samples";
}

static void add_pace(Line *line, const cai_trainer *trainer, const cai_phase *phase) {
    const cai_progress *progress = &trainer->progress;
    double each = progress->busy / (double)progress->counted;
    int set = cai_trainer_paced_by(trainer, phase);
    char left[32];
    double rate = 1000 / each * (set < 0 ? 1 : (double)cai_trainer_pace(trainer, phase).samples);
    add_text(line, rate < 100 ? "  %.3g %s/s" : "  %.0f %s/s", rate,
             set < 0 ? "steps" : sample_word(trainer, set));
    double share = 100 * progress->waited / progress->busy;
    if (share >= 0.5) add_text(line, "  wait %.0f %%", share);
    int64_t steps = steps_left_in_phase(trainer);
    /* including the time between steps */
    double all = (cai_milliseconds() - progress->begun) / (double)progress->counted;
    add_text(line, "  left %s", cai_time_text((double)steps * all, left, sizeof left));
}

void cai_progress_time(const cai_trainer *trainer, double milliseconds, double of_processors, double waited) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    Line line = {.used = 0};
    add_text(&line, "step %lld", (long long)trainer->point.step);
    for (int i = 0; i < phase->shown_count; i++)
        if (phase->shown[i].is_loss)
            add_text(&line, "  %s %.9g", phase->shown[i].name, trainer->values[i].last);
    fprintf(stderr, "%s  %.3f ms  %.3f ms of CPU time  waited %.3f ms\n", line.text, milliseconds,
            of_processors, waited);
}

void cai_progress_step(cai_trainer *trainer, double milliseconds) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    cai_progress *progress = &trainer->progress;
    double now = cai_milliseconds();
    if (!progress->begun) progress->begun = progress->shown = now - milliseconds;
    progress->busy += milliseconds;
    progress->counted++;
    if (trainer->command->time) return; /* --time prints a line for each step */
    if (now - progress->shown < (is_terminal() ? SHOWN_EVERY : TOLD_EVERY)) return;
    progress->shown = now;
    Line line = {.used = 0};
    add_item_of(&line, trainer);
    if (*phase->name) add_text(&line, "%s  ", phase->name);
    add_epoch(&line, trainer, phase);
    add_losses(&line, trainer, phase);
    if (*progress->measured) add_text(&line, "  %s", progress->measured);
    add_pace(&line, trainer, phase);
    if (is_terminal()) fprintf(stderr, "\r%s\033[K", line.text);
    else fprintf(stderr, "%s\n", line.text);
}
