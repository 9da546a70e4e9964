/* Packed formats: how a weight lies in memory for the kernels that read it, as data.
 *
 * Nearly every such order is the same thing: axes are split into blocks, permuted, and
 * padded with zeros. A format says so once, and both who packs while building (format.c)
 * and the code that packs at run time (kernels/reorder/reorder.c) read it. The family of
 * kernels that reads a format makes it: conv_format.c, conv_winograd.c, matrix.c. */
#ifndef CAI_PLAN_FORMAT_H
#define CAI_PLAN_FORMAT_H

#include "graph/graph.h"

enum { MAX_PACK_AXES = 5, MAX_PACK_LEVELS = 8 };

/* An axis of the format: it runs over one axis of the node, or over several, row major.
 * Several may run over one axis of the node, each by its own step (the group of a
 * channel, and its place in the group), whose places then add up. */
typedef struct PackAxis {
    int first, last; /* of the node */
    int64_t step;    /* places of the node's axis that one of this axis is */
    int64_t size;    /* places that hold elements */
    int64_t padded;  /* places with the zeros behind them; of WINOGRAD_TAPS, what the taps become */
} PackAxis;

/* A level counts the blocks of `block` places of its axis, within the block that the
 * level before it of the same axis has chosen. The last block may be shorter, and
 * whatever lies inside it is then shorter, too. The last level of each axis counts
 * places. */
typedef struct PackLevel {
    int axis;
    int64_t block;
} PackLevel;

/* Elements lie in the order of the levels, the outermost first. The innermost level's
 * axis is the one whose places lie in the lanes of vectors.
 *
 * `rotation` R, where it is not 0: axis 0 is a channel l, axis 1 a distance k, both in
 * groups of R, and the element is that of node[l / R * R + (l + k) % R, l % R, ..]; of a
 * transposed one, of node[l, (l + k) % R, ..].
 *
 * `winograd` m, where it is not 0: axis WINOGRAD_TAPS runs over the 3x3 taps w, which
 * become the (m + 2)^2 numbers G w G^T; of a transposed one from the last to the first. */
typedef struct PackFormat {
    const char *name;
    DType type;       /* of the elements: f32 where tiles read them, the node's in BLOCKED */
    PackAxis axes[MAX_PACK_AXES];
    PackLevel levels[MAX_PACK_LEVELS];
    int axis_count, level_count;
    int64_t rotation;
    int winograd;
    bool transposed;  /* the convolution, which `rotation` and `winograd` have to know */
} PackFormat;

enum { WINOGRAD_OUTPUTS, WINOGRAD_INPUTS, WINOGRAD_TAPS }; /* the axes of a format with `winograd` */

/* For those who make formats. */
PackAxis pack_axis(const Node *node, int axis);            /* that axis of the node; its size is constant */
PackAxis pack_axes(const Node *node, int first, int last); /* those axes as one */
void format_add_axis(PackFormat *format, PackAxis axis);
void format_add_level(PackFormat *format, int axis, int64_t block);

bool format_equal(const PackFormat *a, const PackFormat *b);
int64_t format_elements(const PackFormat *format);
int64_t format_bytes(const PackFormat *format);
/* The format of the transpose's operand that gives the same elements; false where there
 * is none. */
bool format_before_transpose(PackFormat *format, const Node *transpose);

/* ---- cells ----
 *
 * The outer levels, up to the last that counts blocks, enumerate cells, each a piece of
 * memory behind the one before. Within a cell every axis has one level at most, so that
 * an element's place is a sum of strides. */
int format_outer_levels(const PackFormat *format);
int64_t format_blocks(const PackFormat *format, int level);
int64_t format_cells(const PackFormat *format);

/* ---- writing, while building ----
 *
 * `values`: of a node whose elements are dense, row major. The bytes go through `write`,
 * cell by cell; false where it refuses. */
typedef bool (*FormatWriter)(void *context, const void *bytes, int64_t count);
bool format_write(const PackFormat *format, const Node *node, const Number *values, Arena *scratch,
                  FormatWriter write, void *context);

#endif
