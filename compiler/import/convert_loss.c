/* Losses. */
#include "import/convert.h"

/* Of logarithms of the shares of classes; their classes, and weights of the classes, are
 * the other inputs of the node. */
static Wire *loss_of_shares(Import *im, Wire *shares, Wire *const *inputs, int count) {
    Wire *target = input_at(inputs, count, 1), *weight = input_at(inputs, count, 2);
    const char *how = attribute_string(im, "reduction", "mean");
    Text settings = {.arena = im->arena};
    if (!shares || !target) return NULL;
    if (attribute(im, "ignore_index"))
        text_add(&settings, "ignored = %lld", (long long)attribute_int(im, "ignore_index", 0));
    if (strcmp(how, "mean")) text_add(&settings, "%sreduction = \"%s\"", settings.length ? ", " : "", how);
    if (strcmp(how, "mean") && strcmp(how, "sum") && strcmp(how, "none"))
        return cannot(im, "the reduction %s", how);
    Wire *in[] = {shares, cast_to(im, target, ONNX_INT32), weight};
    return call(im, "onnx.likelihood_loss", in, weight ? 3 : 2, "%s", text_string(&settings));
}

void convert_likelihood_loss(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    outputs[0] = loss_of_shares(im, input_at(inputs, count, 0), inputs, count);
}

void convert_cross_entropy_loss(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    Wire *shares = x ? stage(im, x, "log_softmax", "axis = 1") : NULL;
    outputs[0] = loss_of_shares(im, shares, inputs, count);
    if (im->node->output_count > 1) outputs[1] = shares;
}
