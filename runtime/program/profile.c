/* --profile: where the time of a run goes, kernel by kernel, and how near each kernel comes
 * to what the machine gives: the larger of two shares, of the peak of multiply-adds and
 * of the bandwidth, says how much there is still to gain.
 *
 * Times are medians over many runs, taken between one kernel and the next on the calling
 * thread, so they include the cost of starting the kernel on all threads. Peaks are
 * measured just before, on the same threads (peak.c). The bandwidth is that of the
 * innermost level of the caches that could hold all that the kernel reads and writes, of
 * all threads' caches together. */
#include "program/main.h"
#include <stdlib.h>
#include <string.h>

#define MAX_SAMPLES 2000000 /* of all kernels together */
#define SECONDS 2.0

typedef struct ProfileRow { /* a kernel, represented by its first launch */
    const cai_launch *launch;
    double ms, flops, bytes; /* flops and bytes: 0 where unknown */
    int kernels;             /* of a kind: how many were added up */
} ProfileRow;

typedef struct Profile {
    const cai_rerun *rerun;
    const cai_program *program;
    cai_peaks peaks;
    ProfileRow *rows, *kinds;
    int *row_of; /* launch -> row */
    int row_count, kind_count;
    float *samples; /* row by row, in ms, `capacity` each */
    double *runs;   /* in ms */
    int capacity, run_count;
    int running; /* row, or -1 */
    double since;
} Profile;

/* ---- measuring ---- */

static void watch_launch(void *data, int launch) {
    Profile *p = data;
    double time = cai_milliseconds();
    if (p->running >= 0)
        p->samples[(size_t)p->running * (size_t)p->capacity + (size_t)p->run_count] =
            (float)(time - p->since);
    p->running = launch < p->program->launch_count ? p->row_of[launch] : -1;
    p->since = time;
}

static bool enough_profiled(const Profile *p, double end) {
    if (p->run_count == p->capacity) return true;
    int wanted = p->rerun->count;
    return wanted ? p->run_count == wanted : p->run_count >= CAI_LEAST_RUNS && cai_milliseconds() >= end;
}

static bool measure_launches(Profile *p, cai_error *error) {
    const cai_rerun *r = p->rerun;
    if (!cai_measure_peaks(r->pool, p->program->cpu, &p->peaks, error)) return false;
    cai_context_watch(r->context, watch_launch, p);
    bool good = true;
    for (double end = cai_milliseconds() + SECONDS * 1e3; good && !enough_profiled(p, end); p->run_count++) {
        double begin = cai_milliseconds();
        p->running = -1;
        good = cai_context_run(r->context, r->inputs, r->outputs, r->seed, error);
        p->runs[p->run_count] = cai_milliseconds() - begin;
    }
    cai_context_watch(r->context, NULL, NULL);
    return good;
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_rows(const void *a, const void *b) {
    const ProfileRow *x = a, *y = b;
    return (x->ms < y->ms) - (x->ms > y->ms);
}

static void add_to_kind(Profile *p, const ProfileRow *row) {
    int i = 0;
    while (i < p->kind_count && strcmp(p->kinds[i].launch->kind, row->launch->kind) != 0) i++;
    if (i == p->kind_count) p->kinds[p->kind_count++] = (ProfileRow){.launch = row->launch};
    ProfileRow *kind = &p->kinds[i];
    kind->ms += row->ms;
    kind->flops += row->flops;
    kind->bytes += row->bytes;
    kind->kernels++;
}

static void evaluate_profile(Profile *p) {
    for (int i = 0; i < p->row_count; i++) {
        ProfileRow *row = &p->rows[i];
        float *samples = p->samples + (size_t)i * (size_t)p->capacity;
        qsort(samples, (size_t)p->run_count, sizeof *samples, compare_floats);
        row->ms = samples[p->run_count / 2];
        row->flops = (double)cai_context_size(p->rerun->context, row->launch->flops);
        row->bytes = (double)cai_context_size(p->rerun->context, row->launch->bytes);
        add_to_kind(p, row);
    }
    qsort(p->runs, (size_t)p->run_count, sizeof *p->runs, compare_doubles);
    qsort(p->rows, (size_t)p->row_count, sizeof *p->rows, compare_rows);
    qsort(p->kinds, (size_t)p->kind_count, sizeof *p->kinds, compare_rows);
}

/* ---- figures of a row ---- */

static const char *const level_names[CAI_LEVEL_COUNT] = {"L1", "L2", "L3", "memory"};

/* in G a second */
static double rate_per_second(double amount, double ms) { return ms > 0 ? amount / ms / 1e6 : 0; }

static double share_of_peak(const Profile *p, const ProfileRow *row) {
    return p->peaks.flops > 0 ? 1e11 * rate_per_second(row->flops, row->ms) / p->peaks.flops : 0;
}

static int level_of(const Profile *p, const ProfileRow *row) {
    return cai_peaks_level(&p->peaks, row->bytes);
}

static double share_of_bandwidth(const Profile *p, const ProfileRow *row) {
    double peak = p->peaks.read[level_of(p, row)];
    return peak > 0 ? 1e11 * rate_per_second(row->bytes, row->ms) / peak : 0;
}

static double sum_of_kernels(const Profile *p) {
    double sum = 0;
    for (int i = 0; i < p->row_count; i++) sum += p->rows[i].ms;
    return sum;
}

/* ---- the table ---- */

static void print_number(FILE *out, int width, int digits, double value, const char *unit) {
    if (value > 0) fprintf(out, "%*.*f%s", width, digits, value, unit);
    else fprintf(out, "%*s%s", width, "-", *unit ? " " : "");
}

static void print_figures(FILE *out, const Profile *p, const ProfileRow *row, double sum) {
    fprintf(out, "%10.3f%6.1f%%", row->ms, sum > 0 ? 100 * row->ms / sum : 0);
    print_number(out, 9, 1, rate_per_second(row->flops, row->ms), "");
    print_number(out, 6, 0, share_of_peak(p, row), "%");
    print_number(out, 9, 1, rate_per_second(row->bytes, row->ms), "");
}

typedef struct Widths { int layer, source; } Widths; /* of the columns of text */

static int wider_of(int width, const char *text) {
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

static Widths find_widths(const Profile *p) {
    Widths w = {.layer = 5, .source = 6};
    for (int i = 0; i < p->row_count; i++) {
        w.layer = wider_of(w.layer, p->rows[i].launch->path);
        w.source = wider_of(w.source, p->rows[i].launch->source);
    }
    return w;
}

static const char *text_or_dash(const char *text) { return *text ? text : "-"; }

static void print_profile_row(FILE *out, const Profile *p, const ProfileRow *row, double sum, Widths w) {
    const cai_launch *l = row->launch;
    print_figures(out, p, row, sum);
    print_number(out, 6, 0, share_of_bandwidth(p, row), "%");
    fprintf(out, " %-6s  %-*s  %-*s  %s\n",
            row->bytes > 0 && p->peaks.flops > 0 ? level_names[level_of(p, row)] : "", w.layer,
            text_or_dash(l->path), w.source, text_or_dash(l->source), l->name);
}

static void print_machine(FILE *out, const Profile *p) {
    if (p->peaks.flops <= 0) return;
    fprintf(out, "peak: %.1f GFLOP/s; reading, GB/s:", p->peaks.flops / 1e9);
    for (int i = 0; i < CAI_LEVEL_COUNT; i++)
        fprintf(out, "%s %.1f from %s", i ? "," : "", p->peaks.read[i] / 1e9, level_names[i]);
    fprintf(out, "\n");
}

static void print_profile_table(FILE *out, const Profile *p) {
    double sum = sum_of_kernels(p);
    int threads = p->peaks.threads;
    Widths w = find_widths(p);
    print_machine(out, p);
    fprintf(out, "%10s%7s%9s%7s%9s%7s %-6s  %-*s  %-*s  %s\n", "ms", "time", "GFLOP/s", "peak", "GB/s", "of",
            "", w.layer, "layer", w.source, "source", "kernel");
    for (int i = 0; i < p->row_count; i++) print_profile_row(out, p, &p->rows[i], sum, w);
    fprintf(out, "\n%10s%7s%9s%7s%9s  %s\n", "ms", "time", "GFLOP/s", "peak", "GB/s", "kind");
    ProfileRow all = {0};
    for (int i = 0; i < p->kind_count; i++) {
        const ProfileRow *kind = &p->kinds[i];
        print_figures(out, p, kind, sum);
        fprintf(out, "  %s (%d)\n", kind->launch->kind, kind->kernels);
        all = (ProfileRow){
            .ms = all.ms + kind->ms, .flops = all.flops + kind->flops, .bytes = all.bytes + kind->bytes};
    }
    print_figures(out, p, &all, sum);
    fprintf(out, "  all (%d)\n", p->row_count);
    fprintf(out, "a run takes %.3f ms, median of %d on %d thread%s; memory %.1f MB at most\n",
            p->runs[p->run_count / 2], p->run_count, threads, threads == 1 ? "" : "s", cai_peak_memory());
}

/* ---- JSON ---- */

static void print_json_text(FILE *out, const char *key, const char *text) {
    fprintf(out, "\"%s\": ", key);
    cai_print_json_string(text, out);
    fprintf(out, ", ");
}

/* Unknown figures are left out. */
static void print_json_figures(FILE *out, const Profile *p, const ProfileRow *row) {
    if (row->flops > 0) fprintf(out, "\"gflops\": %.3f, ", rate_per_second(row->flops, row->ms));
    if (row->flops > 0 && p->peaks.flops > 0)
        fprintf(out, "\"peak_share\": %.4f, ", share_of_peak(p, row) / 100);
    if (row->bytes > 0) fprintf(out, "\"gbs\": %.3f, ", rate_per_second(row->bytes, row->ms));
    fprintf(out, "\"ms\": %.6f}", row->ms);
}

static void print_json_row(FILE *out, const Profile *p, const ProfileRow *row) {
    fprintf(out, "    {");
    print_json_text(out, "kernel", row->launch->name);
    print_json_text(out, "kind", row->launch->kind);
    print_json_text(out, "layer", row->launch->path);
    print_json_text(out, "source", row->launch->source);
    if (row->bytes > 0 && p->peaks.flops > 0) {
        print_json_text(out, "level", level_names[level_of(p, row)]);
        fprintf(out, "\"bandwidth_share\": %.4f, ", share_of_bandwidth(p, row) / 100);
    }
    print_json_figures(out, p, row);
}

static void print_json_head(FILE *out, const Profile *p) {
    fprintf(out, "  ");
    print_json_text(out, "program", p->program->name);
    print_json_text(out, "target", p->program->target);
    fprintf(out, "\"threads\": %d, \"runs\": %d,\n  \"ms\": %.6f, \"memory_mb\": %.3f,\n", p->peaks.threads,
            p->run_count, p->runs[p->run_count / 2], cai_peak_memory());
    if (p->peaks.flops <= 0) return;
    fprintf(out, "  \"peak\": {\"gflops\": %.3f", p->peaks.flops / 1e9);
    for (int i = 0; i < CAI_LEVEL_COUNT; i++)
        fprintf(out, ", \"%s_gbs\": %.3f", level_names[i], p->peaks.read[i] / 1e9);
    fprintf(out, "},\n");
}

static void print_profile_json(FILE *out, const Profile *p) {
    fprintf(out, "{\n");
    print_json_head(out, p);
    fprintf(out, "  \"kernels\": [\n");
    for (int i = 0; i < p->row_count; i++) {
        print_json_row(out, p, &p->rows[i]);
        fprintf(out, "%s\n", i + 1 < p->row_count ? "," : "");
    }
    fprintf(out, "  ],\n  \"kinds\": [\n");
    for (int i = 0; i < p->kind_count; i++) {
        fprintf(out, "    {");
        print_json_text(out, "kind", p->kinds[i].launch->kind);
        fprintf(out, "\"kernels\": %d, ", p->kinds[i].kernels);
        print_json_figures(out, p, &p->kinds[i]);
        fprintf(out, "%s\n", i + 1 < p->kind_count ? "," : "");
    }
    fprintf(out, "  ]\n}\n");
}

/* ---- the profile ---- */

static void find_profile_rows(Profile *p) {
    const cai_program *program = p->program;
    for (int i = 0; i < program->launch_count; i += 1 + program->launches[i].more) {
        p->row_of[i] = p->row_count;
        p->rows[p->row_count++] = (ProfileRow){.launch = &program->launches[i], .kernels = 1};
    }
}

static bool profile_open(Profile *p, cai_error *error) {
    size_t count = (size_t)p->program->launch_count + 1;
    p->capacity = (int)(MAX_SAMPLES / count);
    if (p->capacity > CAI_MAX_RUNS) p->capacity = CAI_MAX_RUNS;
    if (p->capacity < CAI_LEAST_RUNS) p->capacity = CAI_LEAST_RUNS;
    p->rows = calloc(count, sizeof *p->rows);
    p->kinds = calloc(count, sizeof *p->kinds);
    p->row_of = calloc(count, sizeof *p->row_of);
    p->samples = calloc(count * (size_t)p->capacity, sizeof *p->samples);
    p->runs = calloc((size_t)p->capacity, sizeof *p->runs);
    return (p->rows && p->kinds && p->row_of && p->samples && p->runs) ||
           cai_fail_memory(error, count * (size_t)p->capacity * sizeof *p->samples, "a profile");
}

static void profile_close(Profile *p) {
    free(p->rows);
    free(p->kinds);
    free(p->row_of);
    free(p->samples);
    free(p->runs);
}

bool cai_profile(const cai_program *program, const cai_rerun *rerun, bool json, cai_error *error) {
    Profile p = {.program = program, .rerun = rerun, .running = -1};
    bool good = profile_open(&p, error);
    if (good) {
        find_profile_rows(&p);
        good = measure_launches(&p, error);
    }
    if (good) {
        evaluate_profile(&p);
        (json ? print_profile_json : print_profile_table)(stderr, &p);
    }
    profile_close(&p);
    return good;
}
