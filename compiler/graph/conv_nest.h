/* The three convolutions as the reference computes them: by plain loops (op_conv.c), or
 * by products of matrices (conv_unfold.c). */
#ifndef CAI_CONV_NEST_H
#define CAI_CONV_NEST_H

#include "graph/ops.h"

enum { MAX_AXES = 3 /* spatial ones */ };

/* Of x, w and y two are given; the third is `to`. */
typedef struct ConvNest {
    Op op;
    /* missing leading axes have size 1 */
    int64_t stride[MAX_AXES], dilation[MAX_AXES], before[MAX_AXES];
    int64_t x[MAX_AXES], y[MAX_AXES], k[MAX_AXES];
    int64_t batch, groups, inputs, outputs; /* channels of a group */
    const double *from_x, *from_y, *from_w;
    double *to;
} ConvNest;

/* The p in [0, y) for which stride*p + offset is in [0, x), as *begin and *end, with *end
 * at least *begin. */
void conv_valid_range(int64_t stride, int64_t offset, int64_t x, int64_t y, int64_t *begin, int64_t *end);

int64_t conv_group_terms(const ConvNest *nest); /* of the sums */

void conv_by_products(const ConvNest *nest, RefProduct product);

#endif
