/* The matrices of Winograd's convolutions and of their gradients (winograd.c). */
#ifndef CAI_WINOGRAD_H
#define CAI_WINOGRAD_H

#include "graph/graph.h"

enum { MAX_WINOGRAD = 6 }; /* places of a transformed tile along an axis */

/* F(outputs, taps): `outputs` results from size = outputs + taps - 1 inputs. */
typedef struct Winograd {
    int outputs, taps, size;
    double points[MAX_WINOGRAD - 1];                /* 0, a, -a, b, -b; infinity is the last */
    double inputs[MAX_WINOGRAD][MAX_WINOGRAD];      /* B^T */
    double weights[MAX_WINOGRAD][MAX_WINOGRAD - 2]; /* G */
    double results[MAX_WINOGRAD - 2][MAX_WINOGRAD]; /* A^T */
} Winograd;

/* F(2, 3) or F(4, 3), of convolutions; F(3, 4), of their gradients by weights. */
Winograd winograd(int outputs, int taps);
/* A convolution by 3x3 kernels of stride 1, the transpose of one, or its gradient by
 * weights. */
bool winograd_takes(const Node *node);
/* The root mean square of the rounding errors to expect, relative to that of the results,
 * for a convolution of so many input channels. */
double winograd_error(int outputs, int64_t inputs);
/* The same of a gradient by weights, from so many places of dy. */
double winograd_gradient_error(int64_t places);

#endif
