/* LSTM, GRU and RNN: one run of a block of the library's onnx.cai for each direction. */
#include "import/convert.h"
#include <strings.h>

typedef struct Recurrent { /* a node; x is [T, N, C] whatever its layout */
    Wire *x, *w, *r, *b, *state, *memory, *peephole;
    int directions, gates;
    int64_t size;
    bool backwards, batch_first;
} Recurrent;

static Wire *direction_of(Import *im, Wire *x, int direction) {
    return x ? indexed(im, x, "%d", direction) : NULL;
}

static Wire *part_of_gates(Import *im, Wire *x, int64_t from, int64_t to) {
    return x ? indexed(im, x, "%lld:%lld", (long long)from, (long long)to) : NULL;
}

static Wire *zero_state(Import *im, Wire *x, const Recurrent *node) {
    return call(im, "zeros", NULL, 0, "[%s, %lld]", dim_string(im->arena, wire_size(im, x, 1)),
                (long long)node->size);
}

static Wire *no_bias(Import *im, int64_t count) {
    return call(im, "zeros", NULL, 0, "[%lld]", (long long)count);
}

/* The activations of one direction that differ from the defaults, as settings: ", gate =
 * sigmoid". */
static const char *activation_names(Import *im, int direction, const char *const *keys,
                                    const char *const *usual, int count) {
    static const struct {
        const char *theirs, *ours;
    } known[] = {{"Sigmoid", "sigmoid"}, {"Tanh", "tanh"}, {"Relu", "relu"}};
    const OnnxAttribute *a = attribute(im, "activations");
    Text text = {.arena = im->arena};
    for (int i = 0; a && i < count && direction * count + i < a->count; i++) {
        const char *theirs = a->strings[direction * count + i], *ours = NULL;
        for (int k = 0; k < COUNT_OF(known); k++)
            if (!strcasecmp(known[k].theirs, theirs)) ours = known[k].ours;
        if (!ours) cannot(im, "the activation %s", theirs);
        else if (strcmp(ours, usual[i])) text_add(&text, ", %s = %s", keys[i], ours);
    }
    return text_string(&text);
}

static bool recurrent_of(Import *im, Wire *const *inputs, int count, int gates, Recurrent *out) {
    const char *direction = attribute_string(im, "direction", "forward");
    *out = (Recurrent){.x = input_at(inputs, count, 0),
                       .w = input_at(inputs, count, 1),
                       .r = input_at(inputs, count, 2),
                       .b = input_at(inputs, count, 3),
                       .state = input_at(inputs, count, 5),
                       .memory = input_at(inputs, count, 6),
                       .peephole = input_at(inputs, count, 7),
                       .gates = gates};
    out->directions = !strcmp(direction, "bidirectional") ? 2 : 1,
    out->backwards = !strcmp(direction, "reverse"), out->batch_first = attribute_int(im, "layout", 0);
    int64_t steps;
    if (!out->x || !out->w || !out->r || wire_rank(im, out->x) != 3)
        return cannot(im, "its inputs are missing");
    if (attribute(im, "clip")) return cannot(im, "clip");
    if (attribute_int(im, "input_forget", 0)) return cannot(im, "input_forget");
    if (!wire_fixed(im, out->r, 2, &out->size)) return cannot(im, "a hidden size that is free");
    if (out->batch_first) {
        out->x = permuted(im, out->x, (int[]){1, 0, 2});
        if (out->state) out->state = permuted(im, out->state, (int[]){1, 0, 2});
        if (out->memory) out->memory = permuted(im, out->memory, (int[]){1, 0, 2});
    }
    if (!out->x || !wire_fixed(im, out->x, 0, &steps))
        return cannot(im, "a sequence whose length is free: -D fixes it");
    const Known *lengths = known_of(im, input_at(inputs, count, 4));
    for (int64_t i = 0, length; lengths && i < lengths->count; i++)
        if (!dim_is_const(lengths->sizes[i], &length) || length != steps)
            return cannot(im, "sequences of different lengths");
    if (input_at(inputs, count, 4) && !lengths)
        return cannot(im, "sequences of lengths that only a run knows");
    return true;
}

static void run_direction(Import *im, const Recurrent *node, int direction, bool backwards, Wire **out) {
    static const char *const lstm_keys[] = {"gate", "cell", "out"}, *const lstm_usual[] = {"sigmoid", "tanh",
                                                                                           "tanh"};
    static const char *const gru_keys[] = {"gate", "hidden"}, *const rnn_keys[] = {"activation"},
                             *const rnn_usual[] = {"tanh"};
    Wire *x = backwards ? stage(im, node->x, "flipped", "axes = 0") : node->x;
    Wire *w = direction_of(im, node->w, direction), *r = direction_of(im, node->r, direction),
         *b = direction_of(im, node->b, direction);
    const int64_t width = node->gates * node->size;
    Wire *first = b ? part_of_gates(im, b, 0, width) : no_bias(im, width),
         *second = b ? part_of_gates(im, b, width, 2 * width) : NULL;
    Wire *state = node->state ? direction_of(im, node->state, direction) : zero_state(im, node->x, node);
    Wire *memory = node->memory ? direction_of(im, node->memory, direction) : zero_state(im, node->x, node);
    Wire *both = second ? infix(im, "+", first, second) : first, *made[3] = {0};
    if (node->gates == 4) {
        Wire *xs[] = {x, w, r, both, state, memory, direction_of(im, node->peephole, direction)};
        const char *settings = activation_names(im, direction, lstm_keys, lstm_usual, 3);
        calls(im, "onnx.lstm_steps", xs, node->peephole ? 7 : 6, made, 3, *settings ? settings + 2 : "");
    } else if (node->gates == 3) {
        Wire *xs[] = {x, w, r, first, second ? second : no_bias(im, width), state};
        const char *settings = activation_names(im, direction, gru_keys, lstm_usual, 2),
                   *linear =
                       attribute_int(im, "linear_before_reset", 0) ? ", linear_before_reset = true" : "";
        const char *all = arena_printf(im->arena, "%s%s", linear, settings);
        calls(im, "onnx.gru_steps", xs, 6, made, 2, *all ? all + 2 : "");
    } else {
        Wire *xs[] = {x, w, r, both, state};
        const char *settings = activation_names(im, direction, rnn_keys, rnn_usual, 1);
        calls(im, "onnx.rnn_steps", xs, 5, made, 2, *settings ? settings + 2 : "");
    }
    out[0] = backwards && made[0] ? stage(im, made[0], "flipped", "axes = 0") : made[0];
    out[1] = made[1], out[2] = made[2];
}

/* Joins the directions: all steps [T, directions, N, h], and the last step [directions,
 * N, h]; [N, T, directions, h] and [N, directions, h] where the batch comes first. */
static Wire *joined_directions(Import *im, const Recurrent *node, Wire *const *parts, int axis) {
    Wire *y = node->directions == 2 ? stage_of(im, parts, 2, "stack", "axis = %d", axis)
              : parts[0]            ? indexed(im, parts[0], "%s", axis ? ":, none" : "none")
                                    : NULL;
    if (!y || !node->batch_first) return y;
    return axis ? permuted(im, y, (int[]){2, 0, 1, 3}) : permuted(im, y, (int[]){1, 0, 2});
}

void convert_recurrent(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const int gates = !strcmp(im->node->op, "LSTM") ? 4 : !strcmp(im->node->op, "GRU") ? 3 : 1;
    Recurrent node;
    Wire *made[3][2] = {{0}};
    if (!recurrent_of(im, inputs, count, gates, &node)) return;
    for (int d = 0; d < node.directions; d++) {
        Wire *out[3] = {0};
        run_direction(im, &node, d, d == 1 || node.backwards, out);
        for (int i = 0; i < 3; i++) made[i][d] = out[i];
    }
    for (int i = 0; i < 3 && i < im->node->output_count; i++)
        if (*im->node->outputs[i] && made[i][0]) outputs[i] = joined_directions(im, &node, made[i], i == 0);
}
