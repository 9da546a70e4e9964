/* Lines of shapes.txt, as graphs. A line is an operator, then `key=value`; a value that
 * is a list (1,5,14) stands for as many lines.
 *
 *   conv, tconv, convw         n ic oc h w k kh kw s p d g op (output padding of tconv), hw sets h and
 *                              w, w one more than h
 *   pool_max, pool_sum, pool_sum_input, max_pool_scatter, max_pool_gather    n ic h w k s p d, size=ceil
 *   resample, resample_input   n ic h w to (both sizes of the result, times 1/10) mode rule
 *   matmul, dense              n (leading axis) m k n2; dense has weights on the right, which turned=1
 *                              transposes, and of which there is one for all of n with shared=1
 *
 * epilogue=relu: a bias, a residual of the result's size and max(0, x) after it. free=1:
 * height and width (rows of a matrix) are symbols. type=f16,bf16: operands are cast to
 * that type, which changes none of their integers, and results have it. computed=1: the
 * weight is an input; kernel_bench then compares. by=KIND: this kind of kernel is forced.
 * tile=m: by F(m, r) where the kind is conv_winograd, and any number lets Winograd's
 * gradients in, which nothing else does. timed=1: kernel_bench measures it. */
#ifndef SHAPE_H
#define SHAPE_H

#include "graph_test.h"

typedef struct ShapeLine {
    char op[32], by[32], mode[16], rule[32];
    int64_t n, ic, oc, h, w, kh, kw, s, p, d, g, op_pad, m, k, n2, to, tile;
    DType type;
    bool epilogue, free, ceil, computed, timed, turned, shared;
} ShapeLine;

/* Calls `visit` for each line that `line` stands for; gives their number. Stops the
 * program where a key is unknown. */
int each_shape(const char *line, void (*visit)(const ShapeLine *shape, const char *text, void *context),
               void *context);
/* Calls `visit` for every line of the file that is no comment; gives their number. */
int each_line(const char *path, void (*visit)(const char *line, void *context), void *context);
/* Adds a shape's operator and its inputs and output to a graph; all values are whole
 * numbers so small that sums are exact in f32. */
void add_shape(TestGraph *t, const ShapeLine *shape);
/* The graph of one shape, its symbol H set to the shape's size. */
TestGraph shape_graph(const ShapeLine *shape, uint64_t seed);
double shape_flops(const ShapeLine *shape);

#endif
