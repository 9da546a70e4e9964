/* The matrices of Winograd's convolutions (winograd.c). */
#ifndef CAI_WINOGRAD_H
#define CAI_WINOGRAD_H

#include "graph/graph.h"

enum { MAX_WINOGRAD = 6 }; /* places of a transformed tile along an axis */

/* F(outputs, 3): `outputs` results from size = outputs + 2 inputs. */
typedef struct Winograd {
    int outputs, size;
    double points[MAX_WINOGRAD - 1];                /* 0, a, -a, b, -b; infinity is the last */
    double inputs[MAX_WINOGRAD][MAX_WINOGRAD];      /* B^T */
    double weights[MAX_WINOGRAD][3];                /* G */
    double results[MAX_WINOGRAD - 2][MAX_WINOGRAD]; /* A^T */
} Winograd;

Winograd winograd(int outputs);        /* 2 or 4 */
bool winograd_takes(const Node *node); /* a convolution by 3x3 kernels of stride 1, or the transpose of one */
/* The root mean square of the rounding errors to expect, relative to that of the results,
 * for a convolution of so many input channels. */
double winograd_error(int outputs, int64_t inputs);

#endif
