/* Attention, as the library's scaled_attention. One mask combines everything that
 * determines which keys a query sees. If the file caps the scores, or outputs them,
 * attention is written as its parts. */
#include "import/convert.h"
#include <math.h>

typedef struct Attention {
    Wire *q, *k, *v; /* [N, heads, L, d], [N, heads, M, d], [N, heads, M, e] */
    Wire *mask;      /* bools, or floats that are added to the scores; or NULL */
    bool causal;     /* query i sees no key after place i; if false, `mask` has all conditions */
} Attention;

/* [N, L, heads * d] as [N, heads, L, d]. */
static Wire *in_heads(Import *im, Wire *x, const char *heads_attribute) {
    if (wire_rank(im, x) != 3) return x;
    if (!attribute(im, heads_attribute)) return cannot(im, "%s is not given", heads_attribute);
    Wire *y = apart_in_heads(im, x, attribute_int(im, heads_attribute, 0));
    return y ? permuted(im, y, (int[]){0, 2, 1, 3}) : NULL;
}

static Wire *behind_past(Import *im, Wire *past, Wire *x) {
    return past && x ? stage_of(im, (Wire *[]){past, x}, 2, "concat", "axis = 2") : x;
}

/* ---- which keys a query sees ---- */

/* A mask is shorter where no query sees the last keys. */
static Wire *mask_of_all_keys(Import *im, Wire *mask, Dim keys) {
    const int last = wire_rank(im, mask) - 1;
    Dim before[16], after[16];
    if (last < 0 || wire_size(im, mask, last) == keys) return mask;
    for (int i = 0; i <= last; i++) before[i] = after[i] = dim_const(im->dims, 0);
    after[last] = dim_sub(im->dims, keys, wire_size(im, mask, last));
    return call(im, "primitive.pad", &mask, 1, "before = %s, after = %s, mode = \"constant\", value = %s",
                dims_text(im->arena, before, last + 1), dims_text(im->arena, after, last + 1),
                mask->type == ONNX_BOOL ? "0" : "-inf");
}

/* One number for each sample, in a shape that broadcasts to [N, heads, L, M]. */
static Wire *for_each_sample(Import *im, Wire *x) {
    Dim one = dim_const(im->dims, 1);
    return reshaped(im, x, (Dim[]){wire_size(im, x, 0), one, one, one}, 4);
}

/* The keys around each query, by their places; NULL for all. The first query comes after
 * the past keys, or the last query is at the last of `lengths` keys. */
static Wire *keys_in_window(Import *im, const Attention *a, Wire *past, Wire *lengths) {
    const int64_t left = attribute_int(im, "left_window_size", -1);
    const int64_t right = attribute_int(im, "is_causal", 0) ? 0 : attribute_int(im, "right_window_size", -1);
    Dim queries = wire_size(im, a->q, 2), keys = wire_size(im, a->k, 2);
    Text sizes = {.arena = im->arena};
    if (left < 0 && right < 0) return NULL;
    if (!lengths) text_add(&sizes, "%s, ", past ? dim_string(im->arena, wire_size(im, past, 2)) : "0");
    text_add(&sizes, "%s, %s", dim_string(im->arena, queries), dim_string(im->arena, keys));
    if (left >= 0) text_add(&sizes, ", left = %lld", (long long)left);
    if (right >= 0) text_add(&sizes, ", right = %lld", (long long)right);
    Wire *first = lengths ? infix_size(im, "-", lengths, queries) : NULL;
    return typed(call(im, "onnx.seen_keys", &first, lengths != NULL, "%s", text_string(&sizes)), ONNX_BOOL);
}

static Wire *both_masks(Import *im, Wire *mask, Wire *seen) {
    if (!mask || !seen) return mask ? mask : seen;
    if (mask->type == ONNX_BOOL) return infix(im, "and", mask, seen);
    return typed(call(im, "select", (Wire *[]){seen, mask}, 2, "-inf"), mask->type);
}

/* The keys that each sample has. */
static Wire *keys_of_samples(Import *im, const Attention *a, Wire *lengths) {
    Wire *places = call(im, "arange", NULL, 0, "%s", dim_string(im->arena, wire_size(im, a->k, 2)));
    return typed(infix(im, "<", typed(places, ONNX_INT32), for_each_sample(im, lengths)), ONNX_BOOL);
}

/* whole: scaled_attention takes the mask, and `causal`. A window that ends at its query
 * leaves out already what a sample does not have. */
static void find_mask(Import *im, Attention *a, Wire *mask, Wire *past, Wire *lengths, bool whole) {
    const bool causal = attribute_int(im, "is_causal", 0),
               ends = causal || attribute_int(im, "right_window_size", -1) == 0;
    if (mask) mask = mask_of_all_keys(im, mask, wire_size(im, a->k, 2));
    if (mask && mask->type != ONNX_BOOL) mask = cast_to(im, mask, ONNX_FLOAT);
    a->causal = whole && causal && !past && !lengths && attribute_int(im, "left_window_size", -1) < 0;
    a->mask = a->causal ? mask : both_masks(im, mask, keys_in_window(im, a, past, lengths));
    if (lengths && !ends) a->mask = both_masks(im, a->mask, keys_of_samples(im, a, lengths));
}

/* ---- what is written ---- */

/* NAN if it is 1 / sqrt(d) of a free d. */
static double scale_of_scores(Import *im, Wire *q) {
    int64_t depth;
    return attribute_real(im, "scale", wire_fixed(im, q, 3, &depth) ? 1 / sqrtf((float)depth) : NAN);
}

static bool is_usual_scale(Import *im, Wire *q, double scale) {
    int64_t depth;
    return isnan(scale) || (wire_fixed(im, q, 3, &depth) && fabs(scale * sqrt((double)depth) - 1) <= 1e-6);
}

static Wire *attention_by_library(Import *im, const Attention *a) {
    const double scale = scale_of_scores(im, a->q);
    const bool usual = is_usual_scale(im, a->q, scale);
    return call(im, "scaled_attention", (Wire *[]){a->q, a->k, a->v, a->mask}, a->mask ? 4 : 3, "%s%s%s",
                a->causal ? "causal = true" : "", a->causal && !usual ? ", " : "",
                usual ? "" : arena_printf(im->arena, "scale = %s", number_text(im->arena, scale, true)));
}

/* Each head of keys or values, as often as it serves heads of queries. */
static Wire *for_each_head(Import *im, Wire *x, Wire *q) {
    int64_t heads, own;
    if (!wire_fixed(im, q, 1, &heads) || !wire_fixed(im, x, 1, &own) || own == 1 || heads % own ||
        heads == own)
        return x;
    Dim dims[5], one = dim_const(im->dims, 1);
    for (int i = 0; i < 5; i++) dims[i] = i == 2 ? one : wire_size(im, x, i < 2 ? i : i - 1);
    Wire *apart = reshaped(im, x, dims, 5);
    dims[2] = dim_const(im->dims, heads / own);
    Wire *many = broadcasted(im, apart, dims, 5);
    return reshaped(im, many, (Dim[]){dims[0], wire_size(im, q, 1), dims[3], dims[4]}, 4);
}

static Wire *scaled_scores(Import *im, const Attention *a) {
    const double scale = scale_of_scores(im, a->q);
    Wire *k = for_each_head(im, a->k, a->q);
    if (isnan(scale)) return cannot(im, "scores of heads whose depth is free");
    return infix_number(im, "*", infix(im, "@", a->q, k ? call(im, "swap_last", &k, 1, "%s", "") : NULL),
                        scale);
}

static Wire *capped_scores(Import *im, Wire *scores, double cap) {
    if (cap <= 0) return scores;
    return infix_number(im, "*", stage(im, infix_number(im, "/", scores, cap), "tanh", "%s", ""), cap);
}

static Wire *masked_scores(Import *im, Wire *scores, Wire *mask) {
    if (!mask || mask->type != ONNX_BOOL) return mask ? infix(im, "+", scores, mask) : scores;
    return typed(call(im, "select", (Wire *[]){mask, scores}, 2, "-inf"), ONNX_FLOAT);
}

/* shown: the scores, as they are at the step that the node names. */
static Wire *attention_in_pieces(Import *im, const Attention *a, bool shows, Wire **shown) {
    const int64_t step = shows ? attribute_int(im, "qk_matmul_output_mode", 0) : -1;
    Wire *raw = scaled_scores(im, a), *capped = capped_scores(im, raw, attribute_real(im, "softcap", 0));
    if (!capped) return NULL;
    Wire *shares = a->mask ? call(im, "masked_softmax", (Wire *[]){capped, a->mask}, 2, "%s", "")
                           : stage(im, capped, "softmax", "%s", "");
    *shown = step == 0 ? raw : step == 1 ? capped : step == 2 ? masked_scores(im, capped, a->mask) : shares;
    return infix(im, "@", shares, for_each_head(im, a->v, a->q));
}

/* ---- the node ---- */

static bool attention_inputs(Import *im, Wire *const *inputs, int count) {
    for (int i = 0; i < 3; i++) {
        Wire *x = input_at(inputs, count, i);
        const int rank = x ? wire_rank(im, x) : 0;
        if ((rank != 3 && rank != 4) || rank != wire_rank(im, inputs[0]))
            return cannot(im, "it takes queries, keys and values of 3 axes, or of 4");
    }
    Wire *mask = input_at(inputs, count, 3), *lengths = input_at(inputs, count, 6);
    if (mask && wire_rank(im, mask) > 4) return cannot(im, "a mask of %d axes", wire_rank(im, mask));
    if (lengths && wire_rank(im, lengths) != 1)
        return cannot(im, "lengths of %d axes", wire_rank(im, lengths));
    return !input_at(inputs, count, 4) == !input_at(inputs, count, 5) ||
           cannot(im, "it takes keys of before with their values");
}

static bool attention_of(Import *im, Wire *const *inputs, int count, Attention *a) {
    if (!attention_inputs(im, inputs, count)) return false;
    a->q = in_heads(im, inputs[0], "q_num_heads");
    a->k = behind_past(im, input_at(inputs, count, 4), in_heads(im, inputs[1], "kv_num_heads"));
    a->v = behind_past(im, input_at(inputs, count, 5), in_heads(im, inputs[2], "kv_num_heads"));
    return !im->why;
}

static Wire *without_heads(Import *im, Wire *y) {
    if (!y || !(y = permuted(im, y, (int[]){0, 2, 1, 3}))) return NULL;
    return reshaped(im, y, (Dim[]){wire_size(im, y, 0), wire_size(im, y, 1), size_product(im, y, 2, 4)}, 3);
}

static bool wants_output(const Import *im, int place) {
    return place < im->node->output_count && *im->node->outputs[place];
}

/* Runs the graph of that attribute on the scores, or on the shares. */
static Wire *changed_scores(Import *im, Wire *scores, const char *name) {
    const OnnxAttribute *change = attribute(im, name);
    const OnnxGraph *graph = change ? change->graph : NULL;
    Wire *made = NULL;
    if (!graph || !scores) return scores;
    if (graph->inputs.count != 1 || graph->outputs.count != 1)
        return cannot(im, "%s takes and gives one tensor", name);
    return run_graph(im, graph, &scores, &made) ? made : NULL;
}

/* Scores are of the type that softmax_precision names. */
static Wire *changed_attention(Import *im, const Attention *a, int type) {
    const int precise =
        (int)attribute_int(im, "softmax_precision", type == ONNX_DOUBLE ? ONNX_DOUBLE : ONNX_FLOAT);
    Wire *scores = scaled_scores(im, a);
    if (!onnx_type_is_float(precise)) return cannot(im, "softmax_precision %d", precise);
    scores = scores ? changed_scores(im, cast_to(im, scores, precise), "score_mod") : NULL;
    Wire *shares = scores ? changed_scores(im, stage(im, scores, "softmax", "%s", ""), "prob_mod") : NULL;
    return shares ? infix(im, "@", cast_to(im, shares, ONNX_FLOAT), for_each_head(im, a->v, a->q)) : NULL;
}

void convert_flex_attention(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const bool changes = attribute(im, "score_mod") || attribute(im, "prob_mod");
    if (!attention_inputs(im, inputs, min_i64(count, 3))) return;
    if (wire_rank(im, inputs[0]) != 4) cannot(im, "it takes queries, keys and values of 4 axes");
    const Attention a = {cast_to(im, inputs[0], ONNX_FLOAT), cast_to(im, inputs[1], ONNX_FLOAT),
                         cast_to(im, inputs[2], ONNX_FLOAT), NULL, false};
    if (im->why) return;
    Wire *y = changes ? changed_attention(im, &a, inputs[0]->type) : attention_by_library(im, &a);
    outputs[0] = y ? cast_to(im, y, inputs[0]->type) : NULL;
}

void convert_attention(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Attention a = {0};
    Wire *past = input_at(inputs, count, 4), *lengths = input_at(inputs, count, 6), *shown = NULL;
    if (!attention_of(im, inputs, count, &a)) return;
    const int type = a.q->type;
    const bool flat = wire_rank(im, inputs[0]) == 3, shows = wants_output(im, 3),
               whole = !shows && attribute_real(im, "softcap", 0) <= 0;
    if (wants_output(im, 1)) outputs[1] = a.k;
    if (wants_output(im, 2)) outputs[2] = a.v;
    a.q = cast_to(im, a.q, ONNX_FLOAT), a.k = cast_to(im, a.k, ONNX_FLOAT),
    a.v = cast_to(im, a.v, ONNX_FLOAT);
    if (lengths) lengths = cast_to(im, lengths, ONNX_INT32);
    if (im->why) return;
    find_mask(im, &a, input_at(inputs, count, 3), past, lengths, whole);
    Wire *y = im->why ? NULL
              : whole ? attention_by_library(im, &a)
                      : attention_in_pieces(im, &a, shows, &shown);
    if (!y) return;
    outputs[0] = cast_to(im, flat ? without_heads(im, y) : y, type);
    if (shows) outputs[3] = cast_to(im, shown, type);
}
