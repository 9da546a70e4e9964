/* Operators of language models besides attention: rotary embeddings, caches, attention
 * and convolution with a state. */
#include "import/convert.h"
#include <math.h>

/* Whether it has that many axes; refuses the node if not. */
static bool has_axes(Import *im, Wire *x, int rank, const char *what) {
    return (x && wire_rank(im, x) == rank) || cannot(im, "%s of %d axes", what, x ? wire_rank(im, x) : 0);
}

/* [N, L, heads * d] as [N, L, heads, d]. */
Wire *apart_in_heads(Import *im, Wire *x, int64_t heads) {
    Dim many = dim_const(im->dims, heads);
    Dim width = heads > 0 ? dim_div_exact(im->dims, wire_size(im, x, 2), many) : NULL;
    if (!width) return cannot(im, "%s in %lld heads", onnx_shape_text(im, x), (long long)heads);
    return reshaped(im, x, (Dim[]){wire_size(im, x, 0), wire_size(im, x, 1), many, width}, 4);
}

/* ---- RotaryEmbedding ---- */

/* The angles of each place of a sequence, [N, L, c], with an axis for the heads: those of
 * a table [P, c] at `places`, or as they are. */
static Wire *rotary_angles(Import *im, Wire *angles, Wire *places, bool heads_first) {
    if (!has_axes(im, angles, places ? 2 : 3, "angles") || (places && !has_axes(im, places, 2, "places")))
        return NULL;
    if (places)
        angles =
            call(im, "primitive.gather", (Wire *[]){angles, cast_to(im, places, ONNX_INT32)}, 2, "axis = 0");
    return angles ? indexed(im, angles, heads_first ? ":, none" : ":, :, none") : NULL;
}

void convert_rotary(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *places = input_at(inputs, count, 3);
    const bool flat = x && wire_rank(im, x) == 3;
    if (!has_axes(im, x, flat ? 3 : 4, "a sequence")) return;
    Wire *y = flat ? apart_in_heads(im, x, attribute_int(im, "num_heads", 0)) : x;
    Wire *xs[] = {y, rotary_angles(im, input_at(inputs, count, 1), places, !flat),
                  rotary_angles(im, input_at(inputs, count, 2), places, !flat)};
    y = call(im, "onnx.rotary", xs, 3, "%s", attribute_int(im, "interleaved", 0) ? "interleaved = true" : "");
    Dim dims[4];
    for (int i = 0; i < wire_rank(im, x); i++) dims[i] = wire_size(im, x, i);
    outputs[0] = y ? reshaped(im, y, dims, wire_rank(im, x)) : NULL;
}

/* ---- TensorScatter ---- */

/* Without places the new elements are the first. */
static Wire *beginning_replaced(Import *im, Wire *cache, Wire *fresh, int axis) {
    Text places = {.arena = im->arena};
    if (wire_size(im, fresh, axis) == wire_size(im, cache, axis)) return fresh;
    for (int i = 0; i < axis; i++) text_add(&places, ":, ");
    Wire *rest =
        indexed(im, cache, "%s%s:", text_string(&places), dim_string(im->arena, wire_size(im, fresh, axis)));
    return rest ? stage_of(im, (Wire *[]){fresh, rest}, 2, "concat", "axis = %d", axis) : NULL;
}

void convert_tensor_scatter(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *cache = input_at(inputs, count, 0), *fresh = input_at(inputs, count, 1),
         *places = input_at(inputs, count, 2);
    if (!cache || !has_axes(im, fresh, wire_rank(im, cache), "new elements")) return;
    const int axis = axis_of(im, attribute_int(im, "axis", -2), wire_rank(im, cache));
    if (axis < 1 || (places && !has_axes(im, places, 1, "places"))) {
        cannot(im, "its axis is that of the samples");
        return;
    }
    const char *circular =
        !strcmp(attribute_string(im, "mode", "linear"), "circular") ? ", circular = true" : "";
    outputs[0] =
        places ? call(im, "onnx.cache_update", (Wire *[]){cache, fresh, cast_to(im, places, ONNX_INT32)}, 3,
                      "axis = %d%s", axis, circular)
               : beginning_replaced(im, cache, fresh, axis);
}

/* ---- LinearAttention ---- */

/* What nothing is remembered in, if the node is given no state. */
static Wire *empty_state(Import *im, const Dim *dims, int rank) {
    return typed(call(im, "zeros", NULL, 0, "%s", dims_text(im->arena, dims, rank)), ONNX_FLOAT);
}

/* Whether the rule has the input; refuses the node if it is given to another, or left
 * out. */
static bool rule_has(Import *im, Wire *x, const char *what, const char *of_rules) {
    const char *rule = attribute_string(im, "update_rule", "gated_delta");
    const bool has = strstr(rule, of_rules) != NULL;
    if (!x == has) cannot(im, "the rule %s with%s %s", rule, x ? "" : "out", what);
    return has;
}

/* [N, L, heads * queries * d] as [N, L, heads, queries, d], scaled. */
static Wire *queries_of_heads(Import *im, Wire *x, int64_t heads, int64_t queries) {
    const double given = attribute_real(im, "scale", 0);
    Dim n = wire_size(im, x, 0), l = wire_size(im, x, 1), h = dim_const(im->dims, heads),
        g = dim_const(im->dims, queries);
    Dim each = dim_div_exact(im->dims, wire_size(im, x, 2), dim_mul(im->dims, h, g));
    int64_t depth;
    if (!each || !dim_is_const(each, &depth))
        return cannot(im, "%s in %lld heads", onnx_shape_text(im, x), (long long)(heads * queries));
    return infix_number(im, "*", reshaped(im, x, (Dim[]){n, l, h, g, each}, 5),
                        given != 0 ? given : 1 / sqrtf((float)depth));
}

/* One number for all heads, for each, or for each number of a head. */
static Wire *shares_of_heads(Import *im, Wire *x, int64_t heads) {
    int64_t width;
    return apart_in_heads(im, x, wire_fixed(im, x, 2, &width) && width == 1 ? 1 : heads);
}

static bool is_known_rule(Import *im) {
    static const char *const rules[] = {"linear", "gated", "delta", "gated_delta"};
    const char *rule = attribute_string(im, "update_rule", "gated_delta");
    for (int i = 0; i < COUNT_OF(rules); i++)
        if (!strcmp(rule, rules[i])) return true;
    return cannot(im, "the rule %s", rule);
}

/* All in f32. */
static bool linear_attention_inputs(Import *im, Wire *const *inputs, int count, Wire **in) {
    int64_t steps;
    for (int i = 0; i < 6; i++) {
        in[i] = input_at(inputs, count, i);
        if (i >= 3 && !in[i]) continue;
        if (!has_axes(im, in[i], i == 3 ? 4 : 3, i == 3 ? "a state" : "a sequence")) return false;
        in[i] = cast_to(im, in[i], ONNX_FLOAT);
    }
    return !im->why &&
           (wire_fixed(im, in[1], 1, &steps) || cannot(im, "a sequence whose length is free: -D fixes it"));
}

void convert_linear_attention(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const int64_t heads = attribute_int(im, "kv_num_heads", 0), all = attribute_int(im, "q_num_heads", 0);
    Wire *in[6], *made[2] = {NULL, NULL};
    if (heads < 1 || all < 1 || all % heads)
        cannot(im, "%lld heads of queries for %lld of keys", (long long)all, (long long)heads);
    if (!is_known_rule(im) || im->why || !linear_attention_inputs(im, inputs, count, in)) return;
    const bool decays = rule_has(im, in[4], "decay", "gated"), delta = rule_has(im, in[5], "beta", "delta");
    Wire *xs[6] = {queries_of_heads(im, in[0], heads, all / heads), apart_in_heads(im, in[1], heads),
                   apart_in_heads(im, in[2], heads)};
    if (im->why) return;
    int given = 3;
    Dim state[] = {wire_size(im, xs[1], 0), dim_const(im->dims, heads), wire_size(im, xs[1], 3),
                   wire_size(im, xs[2], 3)};
    if (delta) xs[given++] = shares_of_heads(im, in[5], heads);
    xs[given++] = in[3] ? in[3] : empty_state(im, state, 4);
    if (decays) xs[given++] = shares_of_heads(im, in[4], heads);
    calls(im, delta ? "onnx.delta_attention" : "onnx.linear_attention", xs, given, made, 2, "");
    if (!made[0]) return;
    Dim flat[] = {wire_size(im, in[0], 0), wire_size(im, in[0], 1), size_product(im, made[0], 2, 5)};
    outputs[0] = cast_to(im, reshaped(im, made[0], flat, 3), inputs[0]->type);
    if (im->node->output_count > 1) outputs[1] = cast_to(im, made[1], inputs[in[3] ? 3 : 0]->type);
}

/* ---- CausalConvWithState ---- */

void convert_causal_conv(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const char *activation = attribute_string(im, "activation", "none");
    const bool silu = !strcmp(activation, "silu") || !strcmp(activation, "swish");
    Wire *x = input_at(inputs, count, 0), *weight = input_at(inputs, count, 1),
         *bias = input_at(inputs, count, 2), *state = input_at(inputs, count, 3), *made[2] = {NULL, NULL};
    int64_t kernel;
    if (!has_axes(im, x, 3, "a sequence") || !has_axes(im, weight, 3, "a weight")) return;
    if (!silu && strcmp(activation, "none")) cannot(im, "the activation %s", activation);
    if (!wire_fixed(im, weight, 2, &kernel) || kernel < 2) cannot(im, "a state without elements");
    if (im->why) return;
    Dim before[] = {wire_size(im, x, 0), wire_size(im, x, 1), dim_const(im->dims, kernel - 1)};
    Wire *xs[] = {cast_to(im, x, ONNX_FLOAT), cast_to(im, weight, ONNX_FLOAT),
                  state ? cast_to(im, state, ONNX_FLOAT) : empty_state(im, before, 3),
                  bias ? cast_to(im, bias, ONNX_FLOAT) : NULL};
    calls(im, "onnx.causal_conv", xs, bias ? 4 : 3, made, 2, "");
    if (!made[0]) return;
    outputs[0] = cast_to(im, silu ? stage(im, made[0], "silu", "%s", "") : made[0], x->type);
    if (im->node->output_count > 1) outputs[1] = cast_to(im, made[1], x->type);
}
