/* The packed formats of convolutions' weights (plan/format.h), of which kernels read the
 * rows of a tile one after the other.
 *
 * With Q blocks of `lanes` outputs to a tile:
 *
 *     conv_direct, conv_transposed    [group][tile][block of inputs][tap][input][Q * lanes outputs]
 *     conv_few                        [block of inputs][tap][output][lanes inputs]
 *     conv_grouped                    [block of channels][tap][distance k][lanes channels]
 *
 * The last tile is as narrow as its blocks are few, the last block of inputs of the first
 * as short as its inputs are; outputs, the inputs of conv_few and the channels of
 * conv_grouped are padded with zeros to whole blocks. conv_grouped keeps in an input
 * channel's lane what it gives to the output that lies k places on in its group. */
#include "kernels/conv/conv.h"

/* The node is [O, I, kh, kw], where I is the inputs of a group; that of a transposed one
 * is [groups * I, outputs of a group, kh, kw]. */
static bool reads_transposed(const ConvShape *s) { return s->transposed || s->turned; }

static PackAxis output_pack_axis(const ConvShape *s) {
    PackAxis axis = pack_axis(s->w, reads_transposed(s) ? 1 : 0);
    axis.size = axis.padded = s->outputs;
    return axis;
}

static PackAxis input_pack_axis(const ConvShape *s) {
    PackAxis axis = pack_axis(s->w, reads_transposed(s) ? 0 : 1);
    axis.size = axis.padded = s->inputs;
    return axis;
}

static PackAxis groups_of(const ConvShape *s) {
    PackAxis axis = pack_axis(s->w, 0);
    axis.size = axis.padded = s->groups;
    axis.step = reads_transposed(s) ? s->inputs : s->outputs;
    return axis;
}

static PackAxis padded_pack_axis(PackAxis axis, int lanes) {
    axis.padded = round_up(axis.size, lanes);
    return axis;
}

PackFormat conv_format(const ConvShape *s, int lanes, int blocks) {
    enum { GROUPS, OUTPUTS, INPUTS, TAPS };
    PackFormat format = {.name = "conv"};
    format_add_axis(&format, groups_of(s));
    format_add_axis(&format, padded_pack_axis(output_pack_axis(s), lanes));
    format_add_axis(&format, input_pack_axis(s));
    format_add_axis(&format, pack_axes(s->w, 2, 3));
    format_add_level(&format, GROUPS, 1);
    format_add_level(&format, OUTPUTS, (int64_t)blocks * lanes);
    format_add_level(&format, INPUTS, lanes);
    format_add_level(&format, TAPS, 1);
    format_add_level(&format, INPUTS, 1);
    format_add_level(&format, OUTPUTS, 1);
    return format;
}

PackFormat conv_few_format(const ConvShape *s, int lanes) {
    enum { OUTPUTS, INPUTS, TAPS };
    PackFormat format = {.name = "conv_few"};
    format_add_axis(&format, output_pack_axis(s));
    format_add_axis(&format, padded_pack_axis(input_pack_axis(s), lanes));
    format_add_axis(&format, pack_axes(s->w, 2, 3));
    format_add_level(&format, INPUTS, lanes);
    format_add_level(&format, TAPS, 1);
    format_add_level(&format, OUTPUTS, 1);
    format_add_level(&format, INPUTS, 1);
    return format;
}

PackFormat conv_grouped_format(const ConvShape *s, int lanes) {
    enum { CHANNELS, DISTANCES, TAPS };
    PackFormat format = {.name = "conv_grouped", .rotation = s->inputs, .transposed = s->transposed};
    format_add_axis(&format, padded_pack_axis(pack_axis(s->w, 0), lanes));
    format_add_axis(&format, pack_axis(s->w, 1));
    format_add_axis(&format, pack_axes(s->w, 2, 3));
    format_add_level(&format, CHANNELS, lanes);
    format_add_level(&format, TAPS, 1);
    format_add_level(&format, DISTANCES, 1);
    format_add_level(&format, CHANNELS, 1);
    return format;
}
