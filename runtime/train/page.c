/* curves.svg and index.html show the log and the samples. The page is one file without
 * references to others, which a browser reloads during the run. The pause between two
 * writes is at least 100 times as long as writing takes. */
#include "train/train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REFRESHED_EVERY 10e3 /* milliseconds, at least */
enum { SHOWN_SHEETS = 8 /* sheets of one `show`: the newest, and older ones at equal distances */ };

/* ---- curves ---- */

/* One panel for each name: what is measured under a name goes with what steps show under
 * it. */
static int make_panels(const cai_history *history, cai_panel *panels, cai_line *lines) {
    int count = 0, used = 0;
    for (int i = 0; i < history->count; i++) {
        const char *name = history->curves[i].name;
        bool known = false;
        for (int k = 0; k < count; k++) known |= strcmp(panels[k].title, name) == 0;
        if (known) continue;
        panels[count] = (cai_panel){.title = name, .lines = &lines[used]};
        for (int k = i; k < history->count; k++) {
            const cai_curve *curve = &history->curves[k];
            if (strcmp(curve->name, name) != 0) continue;
            lines[used++] =
                (cai_line){curve->held_out ? "held out" : "training", curve->points, curve->count};
            panels[count].count++;
        }
        count++;
    }
    return count;
}

static void print_curves(const cai_history *history, FILE *out) {
    cai_panel panels[history->count + 1];
    cai_line lines[history->count + 1];
    int count = make_panels(history, panels, lines);
    if (count) cai_chart_print(panels, count, out);
}

/* ---- samples ---- */

static void print_base64(const unsigned char *bytes, size_t count, FILE *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < count; i += 3) {
        size_t some = count - i < 3 ? count - i : 3;
        unsigned bits = (unsigned)bytes[i] << 16 | (some > 1 ? (unsigned)bytes[i + 1] << 8 : 0) |
                        (some > 2 ? bytes[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) fputc(k <= some ? digits[bits >> (18 - 6 * k) & 63] : '=', out);
    }
}

static void print_sheet(const cai_trainer *trainer, const cai_sample_name *name, FILE *out) {
    char file[200], path[4096], step[32];
    cai_file png;
    cai_error error;
    cai_sample_file(name, file, sizeof file);
    if (!cai_file_read(cai_folder_path(trainer, file, path, sizeof path), &png, &error)) return;
    fputs("<figure><img alt=\"", out);
    cai_print_xml(file, out);
    fputs("\" src=\"data:image/png;base64,", out);
    print_base64(png.data, png.count, out);
    fprintf(out, "\"><figcaption>%s, step %s</figcaption></figure>\n", name->show,
            cai_count_text(name->step, step, sizeof step));
    cai_file_close(&png);
}

/* Newest first. */
static void print_sheets_of_show(const cai_trainer *trainer, const cai_sample_name *list, int count,
                                 FILE *out) {
    int shown = count < SHOWN_SHEETS ? count : SHOWN_SHEETS;
    fputs("<section>\n", out);
    for (int i = shown - 1; i >= 0; i--)
        print_sheet(trainer, &list[shown > 1 ? (int64_t)i * (count - 1) / (shown - 1) : count - 1], out);
    fputs("</section>\n", out);
}

static void print_samples(const cai_trainer *trainer, FILE *out) {
    cai_sample_name *list;
    int count = cai_samples_list(trainer, &list);
    for (int i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && strcmp(list[i].show, list[end].show) == 0;) end++;
        print_sheets_of_show(trainer, &list[i], end - i, out);
    }
    free(list);
}

/* ---- the page ---- */

static const char page_style[] =
    "body{font:15px sans-serif;margin:24px;color:#222}h1{font-size:22px}svg{max-width:100%;height:auto}"
    "section{display:flex;flex-wrap:wrap;gap:12px;margin:12px 0}figure{margin:0}figcaption{color:#555;"
    "font-size:12px}img{min-width:128px;max-width:100%;image-rendering:pixelated;border:1px solid #ddd}"
    "pre{background:#f6f6f6;padding:12px;overflow:auto}";

static void print_measured(const cai_history *history, FILE *out) {
    for (int i = 0; i < history->count; i++) {
        const cai_curve *curve = &history->curves[i];
        if (!curve->held_out) continue;
        fputs("; ", out);
        cai_print_xml(curve->name, out);
        fprintf(out, " of held-out samples %.4g", curve->points[2 * curve->count - 1]);
    }
}

static void print_state(const cai_trainer *trainer, const cai_history *history, bool running, FILE *out) {
    const cai_point *point = &trainer->point;
    char step[32], steps[32];
    if (point->phase == trainer->training->phase_count) fputs("<p>finished", out);
    else {
        const char *name = trainer->training->phases[point->phase].name;
        char item[200];
        fputs("<p>", out);
        cai_print_xml(cai_item_text(trainer, item, sizeof item), out);
        fputs(*item ? ", " : "", out);
        cai_print_xml(name, out);
        fprintf(out, "%s%s step %s of %s", *name ? ", " : "", running ? "running:" : "stopped after",
                cai_count_text(point->step, step, sizeof step),
                cai_count_text(cai_trainer_steps(trainer, point->phase), steps, sizeof steps));
    }
    print_measured(history, out);
    fputs("</p>\n<p>settings ", out);
    cai_print_xml(trainer->training->settings ? trainer->training->settings : "{}", out);
    fprintf(out, ", seed %llu</p>\n", (unsigned long long)point->seed);
}

/* What was told in the terminal, where nobody may look any more; of samples those that
 * any run of the data leaves out, so that a run that went on has the same page. */
static void print_wrong(const cai_trainer *trainer, FILE *out) {
    for (int i = 0; i < trainer->training->set_count; i++) {
        int64_t left = trainer->sets[i] ? cai_dataset_left_out(trainer->sets[i]) : 0;
        if (!left) continue;
        fprintf(out, "<p>%lld sample%s of ", (long long)left, left == 1 ? "" : "s");
        cai_print_xml(trainer->training->sets[i].name, out);
        fputs(" left out</p>\n", out);
    }
    if (!trainer->page.wrong) return;
    fputs("<pre>", out);
    cai_print_xml(trainer->page.wrong, out);
    fputs("</pre>\n", out);
}

static void print_page(const cai_trainer *trainer, const cai_history *history, bool running, FILE *out) {
    const char *name = trainer->training->name;
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">", out);
    if (running) fputs("<meta http-equiv=\"refresh\" content=\"10\">", out);
    fputs("<title>", out);
    cai_print_xml(name, out);
    fprintf(out, "</title><style>%s</style></head><body>\n<h1>", page_style);
    cai_print_xml(name, out);
    fputs("</h1>\n", out);
    print_state(trainer, history, running, out);
    print_wrong(trainer, out);
    print_curves(history, out);
    print_samples(trainer, out);
    if (trainer->training->text) {
        fputs("<details><summary>run.cai</summary><pre>", out);
        cai_print_xml(trainer->training->text, out);
        fputs("</pre></details>\n", out);
    }
    fputs("</body></html>\n", out);
}

/* ---- files ---- */

typedef struct Written { /* a text that is being written in memory */
    char *text;
    size_t count;
    FILE *out;
} Written;

static bool begin_text(Written *w, const char *name, cai_error *error) {
    *w = (Written){0};
    w->out = open_memstream(&w->text, &w->count);
    return w->out || cai_fail_memory(error, 0, name);
}

static bool end_text(Written *w, const cai_trainer *trainer, const char *name, cai_error *error) {
    char path[4096];
    fclose(w->out);
    bool done = w->count == 0 ||
                cai_file_write(cai_folder_path(trainer, name, path, sizeof path), w->text, w->count, error);
    free(w->text);
    return done;
}

static bool write_page(cai_trainer *trainer, bool running, cai_error *error) {
    char path[4096];
    cai_history history;
    Written w;
    if (!cai_history_read(cai_folder_path(trainer, "log.jsonl", path, sizeof path), &history, error))
        return false;
    bool good = begin_text(&w, "curves.svg", error);
    if (good) print_curves(&history, w.out), good = end_text(&w, trainer, "curves.svg", error);
    good = good && begin_text(&w, "index.html", error);
    if (good)
        print_page(trainer, &history, running, w.out), good = end_text(&w, trainer, "index.html", error);
    cai_events_write(trainer, &history);
    cai_history_free(&history);
    return good;
}

void cai_page_write(cai_trainer *trainer, bool running) {
    cai_page *page = &trainer->page;
    cai_error error;
    double begun = cai_milliseconds();
    bool written = write_page(trainer, running, &error);
    page->written = cai_milliseconds();
    page->pause = fmax(REFRESHED_EVERY, 100 * (page->written - begun));
    if (written || page->is_lost) return;
    page->is_lost = true;
    cai_progress_say(trainer, "index.html cannot be written, and the run goes on: %s", error.message);
}

void cai_page_step(cai_trainer *trainer) {
    if (cai_milliseconds() - trainer->page.written >= trainer->page.pause) cai_page_write(trainer, true);
}
