/* NonMaxSuppression, NonZero and Compress, whose lists the language has as rows of a
 * fixed number: see found.c. */
#include "import/convert.h"

enum { MOST_BOXES = 1 << 20 }; /* that the language's nms keeps */

/* How many boxes of a picture and class may stay: `given`, but no more than there are. */
static bool most_boxes(Import *im, Wire *scores, Wire *given, int64_t *most) {
    int64_t boxes;
    if (!given) return cannot(im, "it keeps no box: max_output_boxes_per_class is not given");
    if (!int_of(im, given, "max_output_boxes_per_class", most)) return false;
    if (wire_fixed(im, scores, 2, &boxes)) *most = min_i64(*most, boxes);
    if (*most < 1) return cannot(im, "it keeps no box: max_output_boxes_per_class is %lld", (long long)*most);
    return *most <= MOST_BOXES ||
           cannot(im, "it keeps up to %lld boxes of a picture, more than %d: -D fixes how many there are",
                  (long long)*most, MOST_BOXES);
}

/* The settings that both forms have: "iou = 0.5, score = 0.3". */
static bool nms_settings(Import *im, Wire *iou, Wire *score, Text *out) {
    double overlap = 0, least = -INFINITY;
    if ((iou && !number_of(im, iou, "iou_threshold", &overlap)) ||
        (score && !number_of(im, score, "score_threshold", &least)))
        return false;
    text_add(out, ", iou = %s", number_text(im->arena, overlap, true));
    if (least > -INFINITY) text_add(out, ", score = %s", number_text(im->arena, least, true));
    return true;
}

void convert_nms(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *both[] = {input_at(inputs, count, 0), input_at(inputs, count, 1)}, *made[2] = {NULL, NULL};
    Text settings = {.arena = im->arena};
    int64_t most;
    if (!both[0] || !both[1] || wire_rank(im, both[1]) != 3) {
        cannot(im, "it takes boxes and, for each class, their scores");
        return;
    }
    if (!most_boxes(im, both[1], input_at(inputs, count, 2), &most)) return;
    text_add(&settings, "most = %lld", (long long)most);
    if (!nms_settings(im, input_at(inputs, count, 3), input_at(inputs, count, 4), &settings)) return;
    if (attribute_int(im, "center_point_box", 0)) text_add(&settings, ", middles = true");
    both[0] = found_filled(im, both[0], "0"), both[1] = found_filled(im, both[1], "-inf");
    calls(im, "onnx.nms_rows", both, 2, made, 2, text_string(&settings));
    if (im->why) return;
    found_begin(im, typed(made[0], ONNX_INT32), 0, typed(made[1], ONNX_INT32));
    outputs[0] = cast_to(im, made[0], ONNX_INT64);
}

/* The library's nms: boxes [N, M, 4] and scores [N, M]. */
void convert_own_nms(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *both[] = {input_at(inputs, count, 0), input_at(inputs, count, 1)}, *made[2] = {NULL, NULL};
    Text settings = {.arena = im->arena};
    int64_t most;
    if (!both[0] || !both[1] || !int_of(im, input_at(inputs, count, 2), "most", &most)) return;
    text_add(&settings, "most = %lld", (long long)most);
    if (!nms_settings(im, input_at(inputs, count, 3), input_at(inputs, count, 4), &settings)) return;
    calls(im, "nms", both, 2, made, 2, text_string(&settings));
    outputs[0] = im->why ? NULL : cast_to(im, typed(made[0], ONNX_INT32), ONNX_INT64);
}

/* The places of all that is true in x, i32[axes, as many as may be]. */
static Wire *places_of_true(Import *im, Wire *x) {
    Wire *made[2] = {NULL, NULL};
    x = found_filled(im, x, "false");
    calls(im, "onnx.nonzero", &x, 1, made, 2, "");
    if (im->why) return NULL;
    found_begin(im, typed(made[0], ONNX_INT32), 1, typed(made[1], ONNX_INT32));
    return made[0];
}

void convert_nonzero(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    if (!x || wire_rank(im, x) == 0) {
        cannot(im, "it takes a tensor with axes");
        return;
    }
    if (x->type != ONNX_BOOL) x = typed(infix_number(im, "!=", x, 0), ONNX_BOOL);
    Wire *places = places_of_true(im, x);
    outputs[0] = places ? cast_to(im, places, ONNX_INT64) : NULL;
}

/* The elements along an axis at which a list of flags is true. */
static Wire *taken_where(Import *im, Wire *x, Wire *flags, int axis) {
    Wire *places = axis < 0 ? NULL : places_of_true(im, flags);
    if (!places) return NULL;
    places = reshaped(im, places, (Dim[]){wire_size(im, flags, 0)}, 1);
    return call(im, "primitive.gather", (Wire *[]){x, places}, 2, "axis = %d", axis);
}

Wire *rows_joined(Import *im, Wire *const *parts, int count, int axis) {
    Wire **flags = NEW_ARRAY(im->arena, Wire *, count), **filled = NEW_ARRAY(im->arena, Wire *, count);
    for (int i = 0; i < count; i++) {
        flags[i] = found_flags(im, parts[i], axis);
        filled[i] = found_filled(im, parts[i], parts[i]->type == ONNX_BOOL ? "false" : "0");
    }
    Wire *all = stage_of(im, filled, count, "concat", "axis = %d", axis);
    return taken_where(im, all, stage_of(im, flags, count, "concat", "axis = 0"), axis);
}

/* The elements along an axis, or of all axes, where a condition is true. */
void convert_compress(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *condition = input_at(inputs, count, 1);
    if (!x || !condition || wire_rank(im, condition) != 1) {
        cannot(im, "it takes elements, and a condition for each");
        return;
    }
    const bool flat = !attribute(im, "axis");
    if (flat) x = reshaped(im, x, (Dim[]){size_product(im, x, 0, wire_rank(im, x))}, 1);
    const int axis = flat ? 0 : axis_of(im, attribute_int(im, "axis", 0), wire_rank(im, x));
    outputs[0] = taken_where(im, x, condition, axis);
}
