/* Random graphs with every operator, for the suites of whatever must not change what a
 * graph computes. */
#ifndef RANDOM_GRAPH_SUPPORT_H
#define RANDOM_GRAPH_SUPPORT_H

#include "graph_test.h"

/* Fills t with a graph of some thirty nodes and nine outputs or more: with `gradients` 1
 * or 2, outputs are also the gradients of a node by inputs and parameters, and theirs.
 * `continuous` leaves out what turns an error of rounding into a large one (comparisons,
 * floor, argmax ..). */
void random_graph(TestGraph *t, int gradients, bool continuous);

#endif
