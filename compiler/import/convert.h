/* What the converters of operators share. */
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
bool sizes_of(Import *im, Wire *wire, const char *what, Dim *out, int *count);
/* An optional number: an input, else an attribute, else the fallback. False where it is
 * not known. */
bool number_of(Import *im, Wire *wire, const char *what, double *out);
Wire *convolved(Import *im, Wire *x, Wire *weight);        /* convert_conv.c */
Wire *input_at(Wire *const *inputs, int count, int place); /* NULL where it is omitted */
Dim size_product(Import *im, Wire *x, int from, int to);
Wire *broadcasted(Import *im, Wire *x, const Dim *dims, int rank);
Wire *wire_of_reals(Import *im, int rank, const int64_t *dims, const double *values);

/* Places for our operators: i32, counted from 0. */
Wire *places_of(Import *im, Wire *index, Dim size);
/* Places on the first axes, *count of them, as one place on these axes flattened. */
Wire *rows_at(Import *im, Wire *x, Wire *index, int *count);

#define OPERATOR(name, since, convert, as) Convert convert;
#define UNREAD(name, why)
#include "import/operators.def"
#undef OPERATOR
#undef UNREAD

#endif
