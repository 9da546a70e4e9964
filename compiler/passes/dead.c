/* Drops the nodes that no output needs: a walk visits live nodes only, so a plain copy is
 * all there is to do. */
#include "passes/passes.h"

Graph *pass_dead(Graph *graph) { return graph_rewrite(graph, NULL, NULL); }
