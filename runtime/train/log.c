/* log.jsonl, one JSON object a line. About LINES lines of a phase have the means of what
 * steps show since the line before; values that are shown less often get a line whenever
 * they are shown. Each measurement has a line. A resumed run drops the lines of steps
 * that it will repeat. */
#include "train/train.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 1000 /* a phase */ };

static const char *log_path(const cai_trainer *trainer, char *path, size_t size) {
    return cai_folder_path(trainer, "log.jsonl", path, size);
}

/* ---- opening ---- */

/* Whether the line is of a step before the point. A line begins {"item": 3, "phase": 0,
 * "step": 120, where only blocks with `each` have an item. */
static bool is_of_past(const cai_trainer *trainer, const char *line) {
    const cai_point *point = &trainer->point;
    long long item = 0, phase, step;
    if (sscanf(line, "{\"phase\": %lld, \"step\": %lld", &phase, &step) != 2 &&
        sscanf(line, "{\"item\": %lld, \"phase\": %lld, \"step\": %lld", &item, &phase, &step) != 3)
        return false;
    if (item != point->item) return item < point->item;
    return phase < point->phase || (phase == point->phase && step <= point->step);
}

/* Removes lines of steps after the point. Returns the bytes that are left. */
static size_t keep_past(const cai_trainer *trainer, char *text, size_t count) {
    size_t kept = 0;
    for (char *line = text, *end; (end = memchr(line, '\n', count - (size_t)(line - text))) != NULL;
         line = end + 1) {
        *end = 0;
        bool past = is_of_past(trainer, line);
        *end = '\n';
        if (!past) continue;
        memmove(text + kept, line, (size_t)(end + 1 - line));
        kept += (size_t)(end + 1 - line);
    }
    return kept;
}

static bool cut_log(cai_trainer *trainer, const char *path, cai_error *error) {
    cai_file file;
    if (!cai_file_read(path, &file, error)) return true; /* there was no log */
    char *text = cai_allocate(file.count + 1, path, error);
    if (text) memcpy(text, file.data, file.count);
    bool done = text && cai_file_write(path, text, keep_past(trainer, text, file.count), error);
    free(text);
    cai_file_close(&file);
    return done;
}

bool cai_log_open(cai_trainer *trainer, cai_error *error) {
    char path[4096];
    log_path(trainer, path, sizeof path);
    if (!cut_log(trainer, path, error)) return false;
    FILE *log = fopen(path, "ae");
    if (!log) return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be written", path);
    if (trainer->log) fclose(trainer->log); /* of a folder that was removed */
    trainer->log = log;
    return true;
}

/* ---- lines ---- */

static void begin_log_line(const cai_trainer *trainer) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    cai_pace pace = cai_trainer_pace(trainer, phase);
    double epochs = (double)trainer->point.step * (double)pace.samples / (double)pace.count;
    fputs("{", trainer->log);
    if (cai_items_set(trainer->training) >= 0)
        fprintf(trainer->log, "\"item\": %lld, ", (long long)trainer->point.item);
    fprintf(trainer->log, "\"phase\": %lld, \"step\": %lld", (long long)trainer->point.phase,
            (long long)trainer->point.step);
    if (cai_trainer_paced_by(trainer, phase) >= 0) fprintf(trainer->log, ", \"epoch\": %.6g", epochs);
}

static void log_value(const cai_trainer *trainer, const char *name, double value) {
    fputs(", ", trainer->log);
    cai_print_json_string(name, trainer->log);
    if (isfinite(value)) fprintf(trainer->log, ": %.9g", value);
    else fputs(": null", trainer->log);
}

static void end_log_line(cai_trainer *trainer) {
    fputs("}\n", trainer->log);
    if (fflush(trainer->log) == 0 || trainer->log_is_lost) return;
    trainer->log_is_lost = true;
    cai_progress_say(trainer, "log.jsonl cannot be written, and the run goes on: %s", strerror(errno));
}

/* Whether a value is shown so rarely that each gets a line; others are logged as means.
 * Values that are shown every some minutes count as rare. */
static bool has_line_of_its_own(const cai_trainer *trainer, const cai_phase *phase, const cai_shown *shown,
                                int64_t each) {
    if (shown->form != CAI_SHOW_CURVE || shown->guard < 0) return false;
    cai_interval when = phase->guards[shown->guard];
    return when.unit == CAI_UNIT_MINUTES || cai_pace_steps(cai_trainer_pace(trainer, phase), when) >= each;
}

static bool is_log_due(const cai_trainer *trainer, const cai_phase *phase, uint32_t guards) {
    int64_t steps = cai_trainer_steps(trainer, trainer->point.phase),
            each = steps / LINES > 1 ? steps / LINES : 1;
    bool due = trainer->point.step % each == 0 || trainer->point.step == steps;
    for (int i = 0; i < phase->shown_count; i++)
        due |= has_line_of_its_own(trainer, phase, &phase->shown[i], each) &&
               (guards >> phase->shown[i].guard & 1);
    return due;
}

void cai_log_step(cai_trainer *trainer, const cai_phase *phase, uint32_t guards) {
    if (!is_log_due(trainer, phase, guards)) return;
    begin_log_line(trainer);
    for (int i = 0; i < phase->shown_count; i++) {
        cai_value *value = &trainer->values[i];
        if (value->count == 0) continue;
        log_value(trainer, phase->shown[i].name, value->sum / value->count);
        *value = (cai_value){.last = value->sum / value->count};
    }
    end_log_line(trainer);
}

void cai_log_measured(cai_trainer *trainer, const cai_measure *measure, const double *values, bool saved) {
    char *text = trainer->progress.measured;
    size_t size = sizeof trainer->progress.measured, used = 0;
    begin_log_line(trainer);
    *text = 0;
    for (int i = 0; i < measure->shown_count; i++) {
        if (measure->shown[i].form != CAI_SHOW_CURVE) continue;
        log_value(trainer, measure->shown[i].name, values[i]);
        if (used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s %.4g", used ? "  " : "",
                                     measure->shown[i].name, values[i]);
    }
    fputs(", \"" CAI_LOG_HELD_OUT "\": true", trainer->log);
    if (saved) fputs(", \"best\": true", trainer->log);
    end_log_line(trainer);
}
