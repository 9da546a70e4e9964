/* Shared by the converters of operators. */
#ifndef CAI_CONVERT_H
#define CAI_CONVERT_H

#include "import/import.h"

Wire *formula(Import *im, const char *text, Wire *const *inputs, int count);
extern const OperatorRow *current_row(const Import *im);

/* An axis counted from 0, or -1 after refusing the node. */
int axis_of(Import *im, int64_t axis, int rank);
/* All elements of a constant list of ints; false, after refusing the node, where they are
 * not known. */
bool ints_of(Import *im, Wire *wire, const char *what, int64_t *out, int *count);
bool int_of(Import *im, Wire *wire, const char *what, int64_t *out); /* the same of a list of one */
bool sizes_of(Import *im, Wire *wire, const char *what, Dim *out, int *count);
/* An optional number: an input, else an attribute, else the fallback. False where it is
 * not known. */
bool number_of(Import *im, Wire *wire, const char *what, double *out);
Wire *apart_in_heads(Import *im, Wire *x, int64_t heads);  /* convert_sequence.c */
Wire *input_at(Wire *const *inputs, int count, int place); /* NULL where it is omitted */
Dim size_product(Import *im, Wire *x, int from, int to);
Wire *on_axis(Import *im, Wire *v, int rank, int axis); /* of one axis, to broadcast along another's */
Wire *broadcasted(Import *im, Wire *x, const Dim *dims, int rank);
bool has_elements(Import *im, Wire *x);
/* The rows along an axis that are there, of one part after the other: convert_nms.c. */
Wire *rows_joined(Import *im, Wire *const *parts, int count, int axis);
Wire *wire_of_reals(Import *im, int rank, const int64_t *dims, const double *values);

/* Runs a graph within the current node, which sees the names around it. `inputs` has a
 * wire for each of its inputs, or NULL if that is named as one around it; NULL for none.
 * False if not all of it can be read. */
bool run_graph(Import *im, const OnnxGraph *graph, Wire *const *inputs, Wire **outputs);

/* ---- convert_windows.c: windows of convolutions and pools ---- */

typedef struct OnnxWindows { /* of one to three axes */
    int axes;
    int64_t kernel[3], stride[3], dilation[3], before[3], after[3];
    int64_t output_padding[3]; /* of transposed convolutions */
    bool upper, lower;         /* auto_pad */
} OnnxWindows;

/* What a block of the library takes for a stride or padding that is not set. */
typedef enum WindowDefaults {
    LIKE_CONV,       /* stride 1; padding that keeps the size, if the kernel is odd */
    LIKE_TRANSPOSED, /* stride 1; no padding */
    LIKE_POOL        /* the kernel as stride; no padding */
} WindowDefaults;

/* The attributes of the current node; kernel NULL: the kernel, too, is an attribute. */
bool windows_of_node(Import *im, int axes, const int64_t *kernel, OnnxWindows *out);
int64_t groups_of_node(Import *im);
/* The sizes of a weight's kernel. */
bool kernel_of(Import *im, Wire *weight, int axes, int64_t *kernel);
/* Replaces SAME_UPPER and SAME_LOWER by numbers of padding. */
bool resolve_pads(Import *im, Wire *x, OnnxWindows *w);
bool is_padded(const OnnxWindows *w);
/* The settings of windows of two axes that differ from the block's defaults: ", stride =
 * 2, pad = 1". */
const char *window_settings(Import *im, const OnnxWindows *w, WindowDefaults defaults, int64_t groups);
/* The same as the first settings of a call, without the comma before them. */
const char *first_settings(const char *settings);
Dim window_places_along(Import *im, Wire *x, const OnnxWindows *w, int axis);
/* Calls a primitive operator of the graph: for windows of one or three axes, and wherever
 * the library has no layer. */
Wire *primitive_windows(Import *im, const char *callee, Wire *const *xs, int count, const OnnxWindows *w,
                        const Dim *sizes, int64_t groups);
Wire *with_bias(Import *im, Wire *y, Wire *bias); /* adds one number for each channel */
/* The current node's convolution, by a weight that the model computes: convert_conv.c. */
Wire *convolved(Import *im, Wire *x, Wire *weight);

/* ---- convert_movement.c ---- */

/* Places for our operators: i32, counted from 0. */
typedef Wire *Places(Import *im, Wire *index, Dim size);
Places places_of;
/* For those that take the nearest for one outside: bounds that say so go, unless of ints
 * that i32 has not. */
Places nearest_places;
/* Places on the first axes, *count of them, as one place on these axes flattened.
 * `places` is what the operator takes where that is one axis. */
Wire *rows_at(Import *im, Wire *x, Wire *index, Places *places, int *count);

#define OPERATOR(name, since, convert, as) Convert convert;
#define PREVIEW(name, convert, as) Convert convert;
#define GROUP(name, convert, as) Convert convert;
#define UNREAD(name, why)
#include "import/operators.def"
#undef OPERATOR
#undef PREVIEW
#undef GROUP
#undef UNREAD

#endif
