/* cai compare of run folders: prints the settings and texts that differ, and the results
 * of their curves, and draws the curves of all runs together. */
#include "commands/commands.h"
#include "draw/draw.h"
#include "train/train.h"
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LEFT_COLUMN = 20, CELL = 12, MOST_RUNS = 26 };

typedef struct RunFolder {
    const char *path, *text;      /* text: of run.cai; NULL if there is none */
    struct json_object *settings; /* run.json */
    cai_history history;
} RunFolder;

typedef struct RunComparison {
    Session *session;
    Vec(RunFolder) runs;
    int names, cells; /* widths of the columns */
} RunComparison;

bool is_run_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* ---- reading ---- */

static bool fail_run(Session *s, const char *path, const char *what) {
    Diagnostic *d = diag_error(&s->diag, DIAG_compare, (Span){0}, "%s is no folder of a run: %s", path, what);
    diag_help(&s->diag, d, "`cai train ... -o FOLDER` makes one, with run.json and log.jsonl");
    return false;
}

static const char *text_of_file(Session *s, const char *path) {
    cai_file file;
    cai_error error;
    if (!cai_file_read(path, &file, &error)) return NULL;
    const char *text = arena_strndup(s->arena, (const char *)file.data, file.count);
    cai_file_close(&file);
    return text;
}

static bool read_run(Session *s, const char *path, RunFolder *run) {
    cai_error error;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    *run = (RunFolder){.path = arena_strndup(s->arena, path, length)};
    const char *json = text_of_file(s, arena_printf(s->arena, "%s/run.json", run->path));
    run->settings = json ? json_tokener_parse(json) : NULL;
    if (!json_object_is_type(run->settings, json_type_object))
        return fail_run(s, run->path, json ? "its run.json is no object" : "it has no run.json");
    run->text = text_of_file(s, arena_printf(s->arena, "%s/run.cai", run->path));
    return cai_history_read(arena_printf(s->arena, "%s/log.jsonl", run->path), &run->history, &error) ||
           fail_run(s, run->path, error.message);
}

static void close_runs(RunComparison *c) {
    for (int i = 0; i < c->runs.count; i++) {
        json_object_put(c->runs.items[i].settings);
        cai_history_free(&c->runs.items[i].history);
    }
}

/* ---- the table ---- */

static void print_cells(const RunComparison *c, const char *name, const char *const *cells) {
    printf("%-*s", c->names, name);
    for (int i = 0; i < c->runs.count; i++) printf("  %*s", c->cells, cells[i]);
    putchar('\n');
}

static void print_run_names(const RunComparison *c) {
    const char **cells = NEW_ARRAY(c->session->arena, const char *, c->runs.count);
    for (int i = 0; i < c->runs.count; i++)
        cells[i] = arena_printf(c->session->arena, "%c %s", 'a' + i, c->runs.items[i].path);
    print_cells(c, "", cells);
}

/* ---- settings ---- */

static const char *text_of_setting(const RunComparison *c, int run, const char *group, const char *key) {
    struct json_object *object = c->runs.items[run].settings, *value;
    if (group && !json_object_object_get_ex(object, group, &object)) return "-";
    if (!json_object_object_get_ex(object, key, &value)) return "-";
    const char *text = json_object_is_type(value, json_type_string)
                           ? json_object_get_string(value)
                           : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
    return arena_strndup(c->session->arena, text, strlen(text));
}

/* Whether the setting differs; prints it if so. */
static bool print_setting(const RunComparison *c, const char *group, const char *key) {
    const char **cells = NEW_ARRAY(c->session->arena, const char *, c->runs.count);
    bool differs = false;
    for (int i = 0; i < c->runs.count; i++) {
        cells[i] = text_of_setting(c, i, group, key);
        differs |= strcmp(cells[i], cells[0]) != 0;
    }
    if (differs) print_cells(c, key, cells);
    return differs;
}

/* Prints the settings of a run that no earlier run has. */
static bool print_settings_of(const RunComparison *c, int run) {
    struct json_object *settings;
    bool any = false;
    if (!json_object_object_get_ex(c->runs.items[run].settings, "settings", &settings)) return false;
    json_object_object_foreach(settings, key, value) {
        bool known = false;
        (void)value;
        for (int before = 0; before < run; before++)
            known |= strcmp(text_of_setting(c, before, "settings", key), "-") != 0;
        if (!known) any |= print_setting(c, "settings", key);
    }
    return any;
}

static bool print_settings(const RunComparison *c) {
    static const char *const keys[] = {"block", "seed", "parts", "target", "cai", "data"};
    bool any = false;
    for (int i = 0; i < COUNT_OF(keys); i++) any |= print_setting(c, NULL, keys[i]);
    for (int run = 0; run < c->runs.count; run++) any |= print_settings_of(c, run);
    return any;
}

/* ---- texts ---- */

static bool print_texts(const RunComparison *c) {
    const RunFolder *first = &c->runs.items[0];
    bool any = false;
    for (int i = 1; i < c->runs.count; i++) {
        const RunFolder *run = &c->runs.items[i];
        const char *a = first->text, *b = run->text;
        int line = a && b ? cai_first_difference(&a, &b) : 0;
        if (!line) continue;
        printf("run.cai: line %d is `%.*s` in %s, and `%.*s` in %s\n", line, (int)strcspn(a, "\n"), a,
               first->path, (int)strcspn(b, "\n"), b, run->path);
        any = true;
    }
    return any;
}

/* ---- figures ---- */

static const cai_curve *curve_of(const RunFolder *run, const cai_curve *like) {
    for (int i = 0; i < run->history.count; i++) {
        const cai_curve *curve = &run->history.curves[i];
        if (curve->held_out == like->held_out && strcmp(curve->name, like->name) == 0) return curve;
    }
    return NULL;
}

static bool is_of_run_before(const RunComparison *c, int run, const cai_curve *curve) {
    for (int before = 0; before < run; before++)
        if (curve_of(&c->runs.items[before], curve)) return true;
    return false;
}

/* Iterates over the names of all curves, each once. NULL after the last one; curve is
 * NULL for the first. */
static const cai_curve *next_curve(const RunComparison *c, const cai_curve *curve) {
    bool passed = !curve;
    for (int run = 0; run < c->runs.count; run++)
        for (int i = 0; i < c->runs.items[run].history.count; i++) {
            const cai_curve *found = &c->runs.items[run].history.curves[i];
            if (passed && !is_of_run_before(c, run, found)) return found;
            passed |= found == curve;
        }
    return NULL;
}

typedef int64_t FigurePlace(const cai_curve *curve); /* -1: there is none */

static int64_t place_of_last(const cai_curve *curve) { return curve->count - 1; }
static int64_t place_of_best(const cai_curve *curve) { return curve->best; }

static int64_t place_of_extreme(const cai_curve *curve, double sign) {
    int64_t found = -1;
    for (int64_t i = 0; i < curve->count; i++) {
        double value = sign * curve->points[2 * i + 1];
        if (isfinite(value) && (found < 0 || value > sign * curve->points[2 * found + 1])) found = i;
    }
    return found;
}
static int64_t place_of_least(const cai_curve *curve) { return place_of_extreme(curve, -1); }
static int64_t place_of_most(const cai_curve *curve) { return place_of_extreme(curve, 1); }

static void print_figure(const RunComparison *c, const cai_curve *like, const char *name,
                         FigurePlace *place_of) {
    Arena *arena = c->session->arena;
    const char **values = NEW_ARRAY(arena, const char *, c->runs.count),
               **steps = NEW_ARRAY(arena, const char *, c->runs.count);
    bool any = false;
    for (int i = 0; i < c->runs.count; i++) {
        const cai_curve *curve = curve_of(&c->runs.items[i], like);
        int64_t place = curve ? place_of(curve) : -1;
        values[i] = steps[i] = "-";
        if (place < 0) continue;
        any = true;
        values[i] = arena_printf(arena, "%.4g", curve->points[2 * place + 1]);
        steps[i] = text_thousands(arena, (int64_t)curve->points[2 * place]);
    }
    if (!any) return;
    print_cells(c, arena_printf(arena, "  %s", name), values);
    print_cells(c, "    in step", steps);
}

static bool is_kept(const RunComparison *c, const cai_curve *like) {
    for (int i = 0; i < c->runs.count; i++) {
        const cai_curve *curve = curve_of(&c->runs.items[i], like);
        if (curve && curve->best >= 0) return true;
    }
    return false;
}

static void print_plot_of(const RunComparison *c, const cai_curve *like) {
    PlotCurve *curves = NEW_ARRAY(c->session->arena, PlotCurve, c->runs.count);
    int count = 0;
    for (int i = 0; i < c->runs.count; i++) {
        const cai_curve *curve = curve_of(&c->runs.items[i], like);
        if (curve) curves[count++] = (PlotCurve){(char)('a' + i), curve->points, curve->count};
    }
    plot_print(curves, count, stdout);
}

static void print_curve_of_runs(const RunComparison *c, const cai_curve *curve) {
    printf("\n%s%s\n", curve->name, curve->held_out ? ", held out" : "");
    print_figure(c, curve, "last", place_of_last);
    if (is_kept(c, curve)) print_figure(c, curve, "best.safetensors", place_of_best);
    else {
        print_figure(c, curve, "least", place_of_least);
        if (curve->held_out) print_figure(c, curve, "most", place_of_most);
    }
    print_plot_of(c, curve);
}

/* ---- the picture ---- */

static int count_curves(const RunComparison *c) {
    int count = 0;
    for (int i = 0; i < c->runs.count; i++) count += c->runs.items[i].history.count;
    return count;
}

static cai_panel panel_of_curve(const RunComparison *c, const cai_curve *like) {
    Arena *arena = c->session->arena;
    cai_line *lines = NEW_ARRAY(arena, cai_line, c->runs.count);
    cai_panel panel = {.lines = lines};
    panel.title = arena_printf(arena, "%s%s", like->name, like->held_out ? ", held out" : "");
    for (int i = 0; i < c->runs.count; i++) {
        const cai_curve *curve = curve_of(&c->runs.items[i], like);
        if (curve) lines[panel.count++] = (cai_line){c->runs.items[i].path, curve->points, curve->count};
    }
    return panel;
}

static void draw_runs(const RunComparison *c, const char *path) {
    Session *s = c->session;
    cai_panel *panels = NEW_ARRAY(s->arena, cai_panel, count_curves(c));
    char *text = NULL;
    size_t length = 0;
    int count = 0;
    cai_error error;
    for (const cai_curve *curve = NULL; (curve = next_curve(c, curve));)
        panels[count++] = panel_of_curve(c, curve);
    FILE *out = open_memstream(&text, &length);
    if (!out) return;
    cai_chart_print(panels, count, out);
    fclose(out);
    if (!cai_file_write(path, text, length, &error))
        diag_error(&s->diag, DIAG_file, (Span){0}, "%s", error.message);
    free(text);
}

/* ---- the command ---- */

static void add_compared_run(RunComparison *c, const char *path) {
    RunFolder run;
    if (!read_run(c->session, path, &run)) return;
    vec_push(c->session->arena, &c->runs, run);
    c->cells = (int)max_i64(c->cells, (int64_t)strlen(run.path) + 2);
}

static void print_runs(const RunComparison *c) {
    print_run_names(c);
    bool settings = print_settings(c), texts = print_texts(c);
    if (!settings && !texts) printf("the same text, settings, seed and data\n");
    for (const cai_curve *curve = NULL; (curve = next_curve(c, curve));) print_curve_of_runs(c, curve);
}

int compare_runs(Session *session) {
    const Options *o = session->options;
    RunComparison c = {.session = session, .names = LEFT_COLUMN, .cells = CELL};
    if (o->format || o->measure)
        return session_usage(session, "%s is for networks, and these are runs",
                             o->format ? "--format" : "--measure");
    if (1 + o->rest.count > MOST_RUNS)
        return session_usage(session, "%d runs are compared at most", MOST_RUNS);
    add_compared_run(&c, o->file);
    for (int i = 0; i < o->rest.count; i++) add_compared_run(&c, o->rest.items[i]);
    if (session->diag.errors == 0) {
        print_runs(&c);
        if (o->output) draw_runs(&c, o->output);
    }
    close_runs(&c);
    return session_end(session);
}
