/* Loop and Scan. The body is written once for each iteration, so that the number of
 * iterations must be known. */
#include "import/convert.h"

enum { MAX_ROUNDS = 256, MAX_SCANNED = 64 };

static const OnnxGraph *loop_body(const Import *im) {
    const OnnxAttribute *body = attribute(im, "body");
    return body ? body->graph : NULL;
}

/* For each of `count` results of a body, room for what each round makes. */
static Wire ***room_for_rounds(Import *im, int count) {
    Wire ***made = NEW_ARRAY(im->arena, Wire **, count + 1);
    for (int i = 0; i < count; i++) made[i] = NEW_ARRAY(im->arena, Wire *, MAX_ROUNDS);
    return made;
}

/* ---- Loop ---- */

typedef struct Rounds { /* at most `most`, as long as `goes_on` */
    int64_t most, goes_on;
} Rounds;

static bool rounds_of_loop(Import *im, Wire *const *inputs, int count, Rounds *out) {
    const Known *most = known_of(im, input_at(inputs, count, 0)),
                *condition = known_of(im, input_at(inputs, count, 1));
    *out = (Rounds){INT64_MAX, 1};
    if ((inputs[0] && (!most || !most->sizes)) || (inputs[1] && !condition))
        return cannot(im, "how often it runs depends on values that only a run knows");
    if (most) dim_is_const(most->sizes[0], &out->most);
    if (condition && condition->sizes) dim_is_const(condition->sizes[0], &out->goes_on);
    return true;
}

static bool read_condition(Import *im, Wire *wire, int64_t *out) {
    const Known *known = known_of(im, wire);
    return (known && known->sizes && dim_is_const(known->sizes[0], out)) ||
           cannot(im, "how often it runs depends on values that only a run knows");
}

/* The inputs of the body are the number of the round, the condition and the loop-carried
 * values; its outputs are the condition, the next loop-carried values, and the results of
 * each round, which are stacked. */
void convert_loop(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const OnnxGraph *body = loop_body(im);
    const int carried = count - 2, stacked = im->node->output_count - carried;
    Rounds rounds;
    if (!body || carried < 0 || stacked < 0 || body->inputs.count != count ||
        body->outputs.count != im->node->output_count + 1) {
        cannot(im, "its body is missing");
        return;
    }
    if (!rounds_of_loop(im, inputs, count, &rounds)) return;
    Wire ***made = room_for_rounds(im, stacked),
         **state = arena_copy(im->arena, inputs, sizeof *state * (size_t)count),
         **next = NEW_ARRAY(im->arena, Wire *, body->outputs.count);
    int64_t round = 0;
    for (; round < rounds.most && rounds.goes_on; round++) {
        if (round == MAX_ROUNDS) {
            cannot(im, "it runs more than %d times", MAX_ROUNDS);
            return;
        }
        state[0] = wire_known(im, ONNX_INT64, 0, NULL);
        state[0]->known->sizes[0] = dim_const(im->dims, round);
        if (!run_graph(im, body, state, next) || !read_condition(im, next[0], &rounds.goes_on)) return;
        for (int i = 0; i < carried; i++) state[2 + i] = next[1 + i];
        for (int i = 0; i < stacked; i++) made[i][round] = next[1 + carried + i];
    }
    for (int i = 0; i < carried; i++) outputs[i] = state[2 + i];
    for (int i = 0; i < stacked && round > 0; i++)
        outputs[carried + i] = stage_of(im, made[i], (int)round, "stack", "%s", "");
}

/* ---- Scan ---- */

typedef struct Scan {
    const OnnxGraph *body;
    int states, sequences, results; /* results: what each step makes beside the states */
} Scan;

static int64_t number_of_list(const Import *im, const char *name, int place) {
    const OnnxAttribute *a = attribute(im, name);
    return a && a->kind == ATTRIBUTE_INTS && place < a->count ? a->integers[place] : 0;
}

static Wire *part_at(Import *im, Wire *x, int axis, int64_t place) {
    Text places = {.arena = im->arena};
    for (int i = 0; i < axis; i++) text_add(&places, ":, ");
    return indexed(im, x, "%s%lld", text_string(&places), (long long)place);
}

static int axis_of_sequence(Import *im, Wire *x, int place) {
    return axis_of(im, number_of_list(im, "scan_input_axes", place), wire_rank(im, x));
}

/* How many steps there are; 0 after refusing the node. */
static int64_t steps_of_scan(Import *im, const Scan *scan, Wire *const *sequences) {
    int64_t steps = 0, own;
    for (int i = 0; i < scan->sequences; i++) {
        const int axis = axis_of_sequence(im, sequences[i], i);
        if (axis < 0) return 0;
        if (!wire_fixed(im, sequences[i], axis, &own))
            return cannot(im, "a sequence whose length is free: -D fixes it"), 0;
        if (own > MAX_ROUNDS) return cannot(im, "it runs more than %d times", MAX_ROUNDS), 0;
        if (steps && own != steps)
            return cannot(im, "sequences of %lld and %lld steps", (long long)steps, (long long)own), 0;
        steps = own;
    }
    return steps;
}

/* The states and sequences that are `given` become the next states, and what each step
 * makes, stacked. Up to opset 8 the directions have another name. */
static void run_scan(Import *im, const Scan *scan, Wire *const *given, Wire **outputs) {
    const char *directions = im->opset < 9 ? "directions" : "scan_input_directions";
    const int64_t steps = steps_of_scan(im, scan, given + scan->states);
    Wire *now[MAX_SCANNED], *next[MAX_SCANNED], ***made = room_for_rounds(im, scan->results);
    memcpy(now, given, sizeof *now * (size_t)(scan->states + scan->sequences));
    for (int64_t step = 0; step < steps; step++) {
        for (int i = scan->states; i < scan->states + scan->sequences; i++) {
            const bool back = number_of_list(im, directions, i - scan->states);
            now[i] = part_at(im, given[i], axis_of_sequence(im, given[i], i - scan->states),
                             back ? steps - 1 - step : step);
        }
        if (im->why || !run_graph(im, scan->body, now, next)) return;
        memcpy(now, next, sizeof *now * (size_t)scan->states);
        for (int i = 0; i < scan->results; i++) {
            const bool back = number_of_list(im, "scan_output_directions", i);
            made[i][back ? steps - 1 - step : step] = next[scan->states + i];
        }
    }
    memcpy(outputs, now, sizeof *now * (size_t)scan->states);
    for (int i = 0; i < scan->results && !im->why; i++) {
        const int axis =
            axis_of(im, number_of_list(im, "scan_output_axes", i), wire_rank(im, made[i][0]) + 1);
        outputs[scan->states + i] = stage_of(im, made[i], (int)steps, "stack", "axis = %d", axis);
    }
}

/* Opset 8 has an axis of samples before all others: each is scanned by itself. */
static void scan_samples(Import *im, const Scan *scan, Wire *const *given, Wire **outputs) {
    const int inputs = scan->states + scan->sequences, results = scan->states + scan->results;
    Wire *own[MAX_SCANNED], *out[MAX_SCANNED] = {NULL}, ***made = room_for_rounds(im, results);
    int64_t samples;
    if (!wire_fixed(im, given[inputs - 1], 0, &samples) || samples > MAX_ROUNDS) {
        cannot(im, "%s samples", dim_string(im->arena, wire_size(im, given[inputs - 1], 0)));
        return;
    }
    for (int64_t sample = 0; sample < samples; sample++) {
        for (int i = 0; i < inputs; i++) own[i] = part_at(im, given[i], 0, sample);
        if (!im->why) run_scan(im, scan, own, out);
        for (int i = 0; i < results; i++) made[i][sample] = out[i];
        if (im->why || !out[0]) return;
    }
    for (int i = 0; i < results; i++) outputs[i] = stage_of(im, made[i], (int)samples, "stack", "axis = 0");
}

void convert_scan(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const int first = im->opset < 9; /* lengths of the samples come before them */
    const int64_t sequences = attribute_int(im, "num_scan_inputs", 0);
    Scan scan = {loop_body(im), (int)(count - first - sequences), (int)sequences, 0};
    scan.results = im->node->output_count - scan.states;
    if (!scan.body || sequences < 1 || sequences > count - first || scan.results < 0 || count > MAX_SCANNED ||
        im->node->output_count > MAX_SCANNED || scan.body->inputs.count != count - first ||
        scan.body->outputs.count != im->node->output_count)
        cannot(im, "its body is missing");
    if (first && input_at(inputs, count, 0)) cannot(im, "sequences of different lengths");
    for (int i = first; i < count; i++)
        if (!inputs[i] || (first && wire_rank(im, inputs[i]) < 1)) cannot(im, "an input that is left out");
    if (im->why) return;
    if (first) scan_samples(im, &scan, inputs + first, outputs);
    else run_scan(im, &scan, inputs, outputs);
}
