/* A model of a .cai file as a graph for the backend's tests: through the passes, with
 * random weights. */
#ifndef NETWORK_SUPPORT_H
#define NETWORK_SUPPORT_H

#include "elaborate/elaborate.h"
#include "graph_test.h"

/* `model` NULL: the file's first. Stops the program where the file has errors. t.symbols
 * is for the caller to set. */
TestGraph network_graph(const char *path, const char *model, const char *const *names,
                        const char *const *values, int define_count);

#endif
