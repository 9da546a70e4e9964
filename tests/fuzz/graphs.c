/* Random graphs whose choices are the bytes (tests/unit/random_graph_support.c makes
 * them, gradients among them): what the passes make of one computes the same, and so does
 * the compiled program, for any target, on one thread and on three. */
#include "backend_support.h"
#include "fuzz.h"
#include "random_graph_support.h"

enum { HEADER = 4 };

/* Rounding may be what a graph is about (a difference of nearly equal numbers, a large
 * power): such graphs are known by the reference itself, which then answers a change of
 * the inputs by this much with a change beyond what is tolerated. */
#define NUDGE 3e-6
#define TOLERANCE 1e-2

static TestGraph make_graph(const unsigned char *bytes, size_t count, bool continuous) {
    unsigned char header[HEADER] = {0};
    memcpy(header, bytes, count < HEADER ? count : HEADER);
    TestGraph t = test_graph(header[0]);
    t.symbols[0] = 1 + header[1] % 3;
    t.symbols[1] = 2 + header[2] % 30;
    t.choices = bytes + (count < HEADER ? count : HEADER);
    t.choice_count = count < HEADER ? 0 : count - HEADER;
    random_graph(&t, header[3] % 8 == 0 ? 2 : header[3] % 8 == 1 ? 1 : 0, continuous);
    return t;
}

static bool near(double a, double b, double tolerance) {
    if (isnan(a) || isnan(b)) return isnan(a) == isnan(b);
    return a == b || fabs(a - b) <= tolerance * (1 + fabs(b));
}

static bool all_near(const RefTensor *a, const RefTensor *b, int count, double tolerance) {
    for (int i = 0; i < count; i++)
        for (int64_t k = 0; k < b[i].shape.count; k++)
            if (!near(element(&a[i], k), element(&b[i], k), tolerance) || fabs(element(&b[i], k)) > 1e30)
                return false;
    return true;
}

static void nudge(TestGraph *t, double by) {
    for (int i = 0; i < t->inputs.count; i++)
        for (int64_t k = 0; k < t->inputs.items[i].count; k++)
            t->inputs.items[i].values[k].real *= 1 + (k % 3 - 1) * by;
}

/* Whether a nudge of the inputs stays one. */
static bool is_steady(TestGraph *t, double by, double tolerance) {
    RefTensor *plain = output_values(t, t->graph);
    nudge(t, by);
    RefTensor *nudged = output_values(t, t->graph);
    nudge(t, -by);
    return all_near(nudged, plain, t->graph->outputs.count, tolerance);
}

void fuzz_rewrites(const unsigned char *bytes, size_t count) {
    TestGraph t = make_graph(bytes, count, true);
    PassOptions options = {.verify = true};
    Graph *graph = passes_run(t.graph, &options);
    if (!all_near(output_values(&t, graph), output_values(&t, t.graph), graph->outputs.count, 1e-6))
        DEMAND(!is_steady(&t, 1e-13, 1e-9));
    arena_free(t.arena);
}

void fuzz_programs(const unsigned char *bytes, size_t count) {
    unsigned char last = count ? bytes[count - 1] : 0;
    const char *target = target_at(last % target_count())->name;
    if (!can_run(target)) return;
    bool continuous = last & 2;
    TestGraph t = make_graph(bytes, count, continuous);
    LowerOptions options = {.table = &kernel_table, .target = target_find(target), .own_slots = last & 4};
    PassOptions passes = {.verify = true};
    double tolerance = continuous && is_steady(&t, NUDGE, TOLERANCE) ? TOLERANCE : INFINITY;
    if (last & 8) t.graph = passes_run(t.graph, &passes);
    compare_with_options(&t, &options, tolerance, "fuzz");
    arena_free(t.arena);
}
