/* The matrices of Winograd's convolutions and of their gradients (winograd.c). */
#ifndef CAI_WINOGRAD_H
#define CAI_WINOGRAD_H

#include "graph/graph.h"

enum { MAX_WINOGRAD = 6 }; /* places of a transformed tile along an axis */

/* F(outputs, taps): `outputs` results from size = outputs + taps - 1 inputs. */
typedef struct Winograd {
    int outputs, taps, size;
    /* number of the first of two opposite points: 1 behind 0 */
    int first_pair;
    double points[MAX_WINOGRAD - 1];                /* [0,] a, -a, b, -b; infinity is the last */
    double inputs[MAX_WINOGRAD][MAX_WINOGRAD];      /* B^T */
    double weights[MAX_WINOGRAD][MAX_WINOGRAD - 1]; /* G */
    double results[MAX_WINOGRAD - 1][MAX_WINOGRAD]; /* A^T */
} Winograd;

/* Where size is 3 to 6. */
Winograd winograd(int outputs, int taps);
int winograd_planes(const Winograd *w); /* places of a transformed tile */

/* A convolution by 2x2, 3x3 or 4x4 kernels of stride 1, or by 4x4, 6x6 or 8x8 kernels of
 * stride 2; the transpose of one, or its gradient by weights. */
bool winograd_takes(const Node *node);
/* The root mean square of the rounding errors to expect, relative to that of the results,
 * for a convolution of so many products of transformed numbers to a sum. */
double winograd_error(const Winograd *w, int64_t terms);
/* The same of a gradient by weights, from so many places of dy. */
double winograd_gradient_error(const Winograd *w, int64_t places);

#endif
