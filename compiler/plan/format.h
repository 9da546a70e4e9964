/* Formats: the order of a tensor's elements in memory, as data. Nearly every order is of
 * one kind: axes are split into blocks, permuted, and padded with zeros. A format
 * describes that once, whatever the sizes. Packing while building (format.c) and the code
 * that packs at run time (kernels/reorder/, kernels/loops/) both read it.
 *
 * Tensors between kernels are strided: row major, or in blocks of channels. Kernels
 * address these by coordinates and strides, and a part of such a tensor is itself
 * strided. All other formats are packed: for operands of kernels that read them from the
 * first element to the last. The family of kernels that reads a packed format makes it:
 * conv_format.c, conv_winograd.c, matrix.c. */
#ifndef CAI_PLAN_FORMAT_H
#define CAI_PLAN_FORMAT_H

#include "graph/graph.h"
#include "plan/winograd.h"

enum { MAX_FORMAT_AXES = 5, MAX_FORMAT_LEVELS = 8 };

/* An axis of the format: it runs over one axis of the node, or over several, row major.
 * Several may run over the same axis of the node, each by its own step (the group of a
 * channel, and its place in the group); their places then add up. */
typedef struct FormatAxis {
    int first, last;  /* of the node */
    int64_t step;     /* places of the node's axis in one place of this axis */
    int64_t size;     /* places that hold elements; 0: as many as the node has */
    int64_t multiple; /* places are padded with zeros to a multiple of it */
} FormatAxis;

/* A level counts the blocks of `block` places of its axis, within the block that the
 * level before it of the same axis has chosen. The last block may be shorter, and the
 * levels inside it are then shorter, too. The last level of each axis counts places. */
typedef struct FormatLevel {
    int axis;
    int64_t block;
} FormatLevel;

/* Elements are in the order of the levels, the outermost first. The axis of the innermost
 * level is the one whose places are the lanes of vectors. Without axes the order is row
 * major over those of the node.
 *
 * `rotation` R, where it is not 0: axis 0 is a channel l, axis 1 a distance k, both in
 * groups of R, and the element is that of node[l / R * R + (l + k) % R, l % R, ..]; of a
 * transposed one, of node[l, (l + k) % R, ..].
 *
 * `winograd` m, where it is not 0: axis WINOGRAD_TAPS runs over the taps w, of a
 * transposed one from the last to the first. Of each parity, one for stride 1 and four
 * for stride 2, they become the planes G w G^T: place number plane * parities + parity,
 * of a transposed one parity * planes + plane. */
typedef struct Format {
    const char *name;
    bool converts; /* elements are of `type`, else of the node's */
    DType type;
    FormatAxis axes[MAX_FORMAT_AXES];
    FormatLevel levels[MAX_FORMAT_LEVELS];
    int axis_count, level_count;
    int64_t rotation;
    int winograd;
    int64_t stride;  /* of the convolution, which `winograd` has to know */
    bool transposed; /* the convolution, which `rotation` and `winograd` have to know */
} Format;

enum { WINOGRAD_OUTPUTS, WINOGRAD_INPUTS, WINOGRAD_TAPS }; /* the axes of a format with `winograd` */

/* F(m, r) of a format with `winograd`, for the taps of a parity. */
Winograd format_winograd(const Format *format, const Node *node);
int format_parities(const Format *format);
/* Which plane of which parity a place of WINOGRAD_TAPS is. */
typedef struct WinogradPlace { int plane, parity; } WinogradPlace;
WinogradPlace format_winograd_place(const Format *format, int planes, int64_t place);

extern const Format format_plain; /* row major over the node's axes */
/* Maps [N, C, H, W] of floats as [N, ceil(C / lanes), H, W, lanes]. */
Format format_blocked(int lanes);

/* For strided formats, the axis of the node whose places are in blocks, or -1; and the
 * size of a block, 1 for any other axis. */
bool format_is_strided(const Format *format);
int format_blocked_axis(const Format *format);
int64_t format_block(const Format *format, int axis);

/* For functions that make formats. */
FormatAxis format_axis(int axis);            /* that axis of the node */
FormatAxis format_axes(int first, int last); /* those axes as one */
void format_add_axis(Format *format, FormatAxis axis);
void format_add_level(Format *format, int axis, int64_t block);

bool format_equal(const Format *a, const Format *b);

/* For nodes whose sizes are constant. */
int64_t format_size(const Format *format, const Node *node, int axis); /* places of an axis */
/* with the zeros behind them; of WINOGRAD_TAPS, what the taps become */
int64_t format_padded(const Format *format, const Node *node, int axis);
int64_t format_elements(const Format *format, const Node *node);
int64_t format_bytes(const Format *format, const Node *node);
DType format_type(const Format *format, const Node *node); /* of the elements */
/* The format of the transpose's operand that gives the same elements; false where there
 * is none. */
bool format_before_transpose(Format *format, const Node *transpose);

/* ---- cells ----
 *
 * The outer levels, up to the last that counts blocks, enumerate cells, which are
 * consecutive pieces of memory. Within a cell every axis has one level at most, so that
 * an element's place is a sum of strides. */
int format_outer_levels(const Format *format);
int64_t format_blocks(const Format *format, const Node *node, int level);
int64_t format_cells(const Format *format, const Node *node);

/* ---- writing, while building ----
 *
 * `values`: of a node whose elements are dense, row major, for a format that has axes.
 * The bytes go through `write`, cell by cell; false where it refuses. */
typedef bool (*FormatWriter)(void *context, const void *bytes, int64_t count);
bool format_write(const Format *format, const Node *node, const Number *values, Arena *scratch,
                  FormatWriter write, void *context);

#endif
