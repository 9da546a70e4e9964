/* The packed formats of the weights of convolutions (plan/format.h). Kernels read the
 * rows of a tile in order.
 *
 * With Q blocks of `lanes` outputs to a tile:
 *
 *     conv_direct, conv_transposed    [group][tile][block of inputs][tap][input][Q * lanes outputs]
 *     conv_few                        [block of inputs][tap][output][lanes inputs]
 *     conv_grouped                    [block of channels][tap][distance k][lanes channels]
 *
 * The last tile may have fewer blocks, and the last block of inputs of the first format
 * fewer inputs; outputs, the inputs of conv_few and the channels of conv_grouped are
 * padded with zeros to full blocks. conv_grouped keeps, in the lane of an input channel,
 * its weight for the output that is k places on in its group. */
#include "kernels/conv/conv.h"

/* The node is [O, I, kh, kw], where I is the inputs of a group; that of a transposed
 * convolution is [groups * I, outputs of a group, kh, kw]. */
static bool reads_transposed(const ConvShape *s) { return s->transposed || s->turned; }

static FormatAxis output_pack_axis(const ConvShape *s) {
    FormatAxis axis = format_axis(reads_transposed(s) ? 1 : 0);
    axis.size = s->outputs;
    return axis;
}

static FormatAxis input_pack_axis(const ConvShape *s) {
    FormatAxis axis = format_axis(reads_transposed(s) ? 0 : 1);
    axis.size = s->inputs;
    return axis;
}

static FormatAxis groups_of(const ConvShape *s) {
    FormatAxis axis = format_axis(0);
    axis.size = s->groups;
    axis.step = reads_transposed(s) ? s->inputs : s->outputs;
    return axis;
}

static FormatAxis padded_pack_axis(FormatAxis axis, int lanes) {
    axis.multiple = lanes;
    return axis;
}

static FormatAxis taps_of(void) { return format_axes(2, 3); }

Format conv_format(const ConvShape *s, int lanes, int blocks) {
    enum { GROUPS, OUTPUTS, INPUTS, TAPS };
    Format format = {.name = "conv", .converts = true, .type = s->types.sum};
    format_add_axis(&format, groups_of(s));
    format_add_axis(&format, padded_pack_axis(output_pack_axis(s), lanes));
    format_add_axis(&format, input_pack_axis(s));
    format_add_axis(&format, taps_of());
    format_add_level(&format, GROUPS, 1);
    format_add_level(&format, OUTPUTS, (int64_t)blocks * lanes);
    format_add_level(&format, INPUTS, lanes);
    format_add_level(&format, TAPS, 1);
    format_add_level(&format, INPUTS, 1);
    format_add_level(&format, OUTPUTS, 1);
    return format;
}

Format conv_few_format(const ConvShape *s, int lanes) {
    enum { OUTPUTS, INPUTS, TAPS };
    Format format = {.name = "conv_few", .converts = true, .type = s->types.sum};
    format_add_axis(&format, output_pack_axis(s));
    format_add_axis(&format, padded_pack_axis(input_pack_axis(s), lanes));
    format_add_axis(&format, taps_of());
    format_add_level(&format, INPUTS, lanes);
    format_add_level(&format, TAPS, 1);
    format_add_level(&format, OUTPUTS, 1);
    format_add_level(&format, INPUTS, 1);
    return format;
}

Format conv_grouped_format(const ConvShape *s, int lanes) {
    enum { CHANNELS, DISTANCES, TAPS };
    Format format = {.name = "conv_grouped", .converts = true, .type = s->types.sum, .rotation = s->inputs};
    format.transposed = s->transposed;
    format_add_axis(&format, padded_pack_axis(format_axis(0), lanes));
    format_add_axis(&format, format_axis(1));
    format_add_axis(&format, taps_of());
    format_add_level(&format, CHANNELS, lanes);
    format_add_level(&format, TAPS, 1);
    format_add_level(&format, DISTANCES, 1);
    format_add_level(&format, CHANNELS, 1);
    return format;
}
