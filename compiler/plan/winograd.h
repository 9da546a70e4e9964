/* The matrices of Winograd convolutions and of their gradients (winograd.c). */
#ifndef CAI_WINOGRAD_H
#define CAI_WINOGRAD_H

#include "graph/graph.h"

enum { MAX_WINOGRAD = 6 }; /* elements of a transformed tile along an axis */

/* F(outputs, taps): computes `outputs` results from size = outputs + taps - 1 inputs. */
typedef struct Winograd {
    int outputs, taps, size;
    /* index of the first point of a pair: 1 if the first point is 0 */
    int first_pair;
    double points[MAX_WINOGRAD - 1];                /* [0,] a, -a, b, -b; infinity is the last */
    double inputs[MAX_WINOGRAD][MAX_WINOGRAD];      /* B^T */
    double weights[MAX_WINOGRAD][MAX_WINOGRAD - 1]; /* G */
    double results[MAX_WINOGRAD - 1][MAX_WINOGRAD]; /* A^T */
} Winograd;

/* The size must be 3 to 6. */
Winograd winograd(int outputs, int taps);
int winograd_planes(const Winograd *w); /* elements of a transformed tile */

/* Whether Winograd applies: to a convolution by 2x2, 3x3 or 4x4 kernels of stride 1, or
 * by 4x4, 6x6 or 8x8 kernels of stride 2; to its backward-data; and to its
 * backward-weights. */
bool winograd_takes(const Node *node);
/* The expected root mean square of rounding errors, relative to that of the results, for
 * a convolution that adds `terms` products of transformed numbers. */
double winograd_error(const Winograd *w, int64_t terms);
/* The same for a gradient by weights, over `places` elements of dy. */
double winograd_gradient_error(const Winograd *w, int64_t places);

#endif
