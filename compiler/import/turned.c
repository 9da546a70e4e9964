/* Maps whose channels are moved to the last axis and back, since the exporter's layers
 * take them there: [N, C, H, W] -> permute((0, 2, 3, 1)) -> .. -> permute((0, 3, 1, 2)).
 * The library's layers take the channels of a map where they are: if everything between
 * the two permutations has such a form, it is written, without the permutations. */
#include "import/import.h"

enum { LONGEST_CHAIN = 16 };

/* between two permutations: each line reads only the one before it, and weights */
typedef struct TurnedChain {
    Line *first, *last; /* the permutations */
    int count;
    Line *lines[LONGEST_CHAIN];
} TurnedChain;

/* ---- who reads a wire ---- */

static void add_reader(Map *readers, const Wire *wire, Line *line) {
    static Line several;
    map_set(readers, wire, map_get(readers, wire) ? &several : line);
}

/* Of each wire the line that reads it; where there are several, or the wire is a result
 * of the model, one that is no line of the model. */
static Map *only_readers(Import *im) {
    static Line outside;
    Map *readers = map_new(im->arena);
    for (int i = 0; i < im->lines.count; i++)
        for (int k = 0; k < im->lines.items[i]->inputs.count; k++)
            if (im->lines.items[i]->inputs.items[k].wire)
                add_reader(readers, im->lines.items[i]->inputs.items[k].wire, im->lines.items[i]);
    for (int i = 0; i < im->outputs.count; i++) add_reader(readers, im->outputs.items[i], &outside);
    return readers;
}

/* ---- what has a form for channels that are not last ---- */

static bool is_permute(const Line *line, const char *order) {
    return line->callee && !strcmp(line->callee, "permute") && line->results.items[0]->shape.rank == 4 &&
           line->settings.count == 1 && !strcmp(line->settings.items[0].text, order);
}

static bool is_stage_of_elements(const Line *line) {
    static const char *const callees[] = {"relu", "relu6",       "leaky_relu", "elu",       "gelu",
                                          "silu", "hardsigmoid", "sigmoid",    "hardswish", "tanh"};
    for (int i = 0; i < COUNT_OF(callees); i++)
        if (!strcmp(line->callee, callees[i])) return line->style == STYLE_STAGE && line->inputs.count == 1;
    return false;
}

static bool is_norm_of_last_axis(const Line *line) {
    bool has_axis = false;
    for (int i = 0; i < line->settings.count; i++)
        has_axis = has_axis || (line->settings.items[i].key && !strcmp(line->settings.items[i].key, "axis"));
    return line->style == STYLE_STAGE && !strcmp(line->callee, "layernorm") && !has_axis;
}

static bool is_infix(const Line *line, const char *op) {
    return line->style == STYLE_INFIX && !strcmp(line->callee, op);
}

/* x @ weight. */
static bool is_product_with_weight(Import *im, const Line *line, const Wire *x) {
    if (!is_infix(line, "@") || line->inputs.items[0].wire != x) return false;
    Wire *weight = line->inputs.items[1].wire;
    return is_weight(im, weight, 2) || turned_weight(im, weight);
}

/* The one number for each channel that the line adds to x; or NULL. */
static Wire *bias_beside(Import *im, const Line *line, const Wire *x) {
    if (!is_infix(line, "+")) return NULL;
    Wire *other = line->inputs.items[line->inputs.items[0].wire == x].wire;
    return is_weight(im, other, 1) && wire_size(im, other, 0) == x->shape.dims[3] ? other : NULL;
}

static bool has_form_for_maps(Import *im, const Line *line, const Line *before) {
    const Wire *x = before->results.items[0];
    if (!line->inputs.count || line->results.count != 1) return false;
    return is_stage_of_elements(line) || is_norm_of_last_axis(line) || is_product_with_weight(im, line, x) ||
           (is_infix(before, "@") && bias_beside(im, line, x));
}

static bool find_chain(Import *im, Map *readers, Line *permute, TurnedChain *chain) {
    *chain = (TurnedChain){.first = permute};
    for (Line *before = permute; chain->count < LONGEST_CHAIN;) {
        Line *line = map_get(readers, before->results.items[0]);
        if (!line || !line->callee) return false;
        if (is_permute(line, "(0, 3, 1, 2)")) {
            chain->last = line;
            return true;
        }
        if (!has_form_for_maps(im, line, before)) return false;
        chain->lines[chain->count++] = before = line;
    }
    return false;
}

/* ---- the form ---- */

/* x @ weight + bias, where `sum` is NULL if there is no bias. */
static Line *pointwise_line(Import *im, const Line *product, const Line *sum) {
    Line *line = NEW(im->arena, Line);
    *line = (Line){.style = STYLE_STAGE, .callee = "pointwise", .node = product->node};
    Wire *weight = product->inputs.items[1].wire, *turned = turned_weight(im, weight);
    LineWeight *made = layer_weight(im, line, "weight", turned ? turned : weight);
    if (!turned) weight_transposed(made);
    vec_push(im->arena, &line->settings,
             (Setting){NULL, arena_printf(im->arena, "%lld", (long long)made->dims[0])});
    if (sum) {
        Wire *bias = bias_beside(im, sum, product->results.items[0]);
        layer_weight(im, line, "bias", bias);
        if (bias->hint) line->hint = bias->hint;
    } else vec_push(im->arena, &line->settings, (Setting){"bias", "false"});
    return line;
}

static Line *line_for_maps(Import *im, const TurnedChain *chain, int *at) {
    Line *line = chain->lines[(*at)++];
    if (is_infix(line, "@")) {
        const bool biased = *at < chain->count && is_infix(chain->lines[*at], "+");
        return pointwise_line(im, line, biased ? chain->lines[(*at)++] : NULL);
    }
    if (is_norm_of_last_axis(line)) vec_push(im->arena, &line->settings, (Setting){"axis", "1"});
    return line;
}

/* The result of the line, whose last axis becomes the second. */
static Wire *wire_of_map(Import *im, const Wire *wire) {
    Wire *map = NEW(im->arena, Wire);
    const Dim *dims = wire->shape.dims;
    *map = *wire;
    map->shape.dims = arena_copy(im->arena, (Dim[]){dims[0], dims[3], dims[1], dims[2]}, 4 * sizeof(Dim));
    return map;
}

static void write_chain(Import *im, const TurnedChain *chain) {
    Wire *x = chain->first->inputs.items[0].wire;
    for (int at = 0; at < chain->count;) {
        Line *line = line_for_maps(im, chain, &at);
        Wire *result = at == chain->count ? chain->last->results.items[0]
                                          : wire_of_map(im, chain->lines[at - 1]->results.items[0]);
        line->inputs.count = line->results.count = 0;
        vec_push(im->arena, &line->inputs, (Operand){x, NULL});
        vec_push(im->arena, &line->results, result);
        result->line = line, x = result;
    }
}

void write_maps_in_place(Import *im) {
    Map *readers = only_readers(im);
    TurnedChain chain;
    for (int i = 0; i < im->lines.count; i++) {
        if (!is_permute(im->lines.items[i], "(0, 2, 3, 1)") ||
            !find_chain(im, readers, im->lines.items[i], &chain) || !chain.count)
            continue;
        write_chain(im, &chain);
        order_lines(im);
        readers = only_readers(im), i = -1;
    }
}
