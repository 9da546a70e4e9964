/* What language models have beside attention: rotary embeddings, caches, attention and
 * convolution with a state. */
#include "import/convert.h"

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
