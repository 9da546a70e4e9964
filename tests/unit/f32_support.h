/* Evaluates a graph of floats as its text says in f32: every node that is no weight is
 * rounded once, and what is denormal is 0, as in programs. What depends on weights alone
 * is computed in double and rounded where it is read, as packing does. */
#ifndef F32_SUPPORT_H
#define F32_SUPPORT_H

#include "graph_test.h"

/* Values of output `index`, in t->arena. */
const Number *f32_output(TestGraph *t, const Graph *graph, int index);

#endif
