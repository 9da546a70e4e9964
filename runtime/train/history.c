/* Reads log.jsonl as curves, for the page of a run and for `cai compare`. Steps are
 * counted through all phases of all items. */
#include "train/train.h"
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- curves ---- */

static cai_curve *find_curve(const cai_history *history, const char *name, bool held_out) {
    for (int i = 0; i < history->count; i++)
        if (history->curves[i].held_out == held_out && strcmp(history->curves[i].name, name) == 0)
            return &history->curves[i];
    return NULL;
}

static cai_curve *add_curve(cai_history *history, const char *name, bool held_out, cai_error *error) {
    cai_curve *larger =
        cai_reallocate(history->curves, sizeof *larger * ((size_t)history->count + 1), "curves", error);
    if (!larger) return NULL;
    history->curves = larger;
    cai_curve *curve = &larger[history->count];
    *curve = (cai_curve){.name = strdup(name), .held_out = held_out, .best = -1};
    if (!curve->name) return cai_fail_memory(error, 0, "curves"), NULL;
    history->count++;
    return curve;
}

static bool add_point(cai_curve *curve, double x, double y, cai_error *error) {
    if (curve->count == curve->room) {
        int64_t room = curve->room ? 2 * curve->room : 64;
        double *points = cai_reallocate(curve->points, sizeof *points * 2 * (size_t)room, "curves", error);
        if (!points) return false;
        curve->points = points;
        curve->room = room;
    }
    curve->points[2 * curve->count] = x;
    curve->points[2 * curve->count++ + 1] = y;
    return true;
}

/* ---- lines of the log ---- */

typedef struct Reader {
    cai_history *history;
    int64_t item, phase, last; /* of the previous line */
    double before;             /* steps of all phases before the current one */
} Reader;

static bool flag_of_line(struct json_object *line, const char *key) {
    struct json_object *value;
    return json_object_object_get_ex(line, key, &value) && json_object_get_boolean(value);
}

static int64_t number_of_line(struct json_object *line, const char *key) {
    struct json_object *value;
    return json_object_object_get_ex(line, key, &value) ? json_object_get_int64(value) : 0;
}

/* A number that is not finite is null in the log, and leaves a gap in the curve. */
static bool add_value(Reader *r, const char *key, struct json_object *value, bool held_out, bool best,
                      cai_error *error) {
    cai_curve *curve = find_curve(r->history, key, held_out);
    if (!curve) curve = add_curve(r->history, key, held_out, error);
    if (!curve) return false;
    if (best) curve->best = curve->count;
    double number = value ? json_object_get_double(value) : NAN;
    return add_point(curve, r->before + (double)r->last, number, error);
}

static bool is_curve_value(const char *key, struct json_object *value) {
    static const char *const others[] = {"item", "phase", "step", "epoch", CAI_LOG_HELD_OUT, "best"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(key, others[i]) == 0) return false;
    return !value || json_object_is_type(value, json_type_double) ||
           json_object_is_type(value, json_type_int);
}

static bool read_log_line(Reader *r, struct json_object *line, cai_error *error) {
    int64_t item = number_of_line(line, "item"), phase = number_of_line(line, "phase");
    if (item != r->item || phase != r->phase) r->before += (double)r->last;
    r->item = item;
    r->phase = phase;
    r->last = number_of_line(line, "step");
    bool held_out = flag_of_line(line, CAI_LOG_HELD_OUT), best = flag_of_line(line, "best");
    json_object_object_foreach(line, key, value) {
        if (is_curve_value(key, value) && !add_value(r, key, value, held_out, best, error)) return false;
    }
    return true;
}

/* A line that a full disk cut off is no JSON object, and is skipped. */
static bool read_log_text(Reader *r, const char *text, size_t count, cai_error *error) {
    struct json_tokener *tokener = json_tokener_new();
    bool good = tokener || cai_fail_memory(error, 0, "curves");
    for (const char *line = text, *end; good && (end = memchr(line, '\n', count - (size_t)(line - text)));
         line = end + 1) {
        json_tokener_reset(tokener);
        struct json_object *object = json_tokener_parse_ex(tokener, line, (int)(end - line));
        if (json_object_is_type(object, json_type_object)) good = read_log_line(r, object, error);
        json_object_put(object);
    }
    if (tokener) json_tokener_free(tokener);
    return good;
}

bool cai_history_read(const char *path, cai_history *history, cai_error *error) {
    Reader reader = {.history = history};
    cai_file file;
    *history = (cai_history){0};
    if (!cai_file_read(path, &file, error)) return false;
    bool good = read_log_text(&reader, (const char *)file.data, file.count, error);
    cai_file_close(&file);
    if (!good) cai_history_free(history);
    return good;
}

void cai_history_free(cai_history *history) {
    for (int i = 0; i < history->count; i++) {
        free(history->curves[i].name);
        free(history->curves[i].points);
    }
    free(history->curves);
    *history = (cai_history){0};
}
