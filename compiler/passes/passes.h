/* Rewrites of the graph. Each pass is one file, one row of passes.def and one flag
 * (--after=NAME); it reads a graph and returns a new one (or the same, unchanged),
 * through a memo from old nodes to new. */
#ifndef CAI_PASSES_H
#define CAI_PASSES_H

#include "graph/graph.h"

typedef struct PassOptions {
    const char *after; /* stop after this pass (--after), or NULL */
    bool verify;       /* graph_verify after each */
    bool time;         /* note each pass's time for --time-passes */
} PassOptions;

typedef struct Pass {
    const char *name, *what;
    Graph *(*run)(Graph *graph);
} Pass;
extern const Pass passes[];
extern const int pass_count;

/* Runs all rows of passes.def in order. */
Graph *passes_run(Graph *graph, const PassOptions *options);

/* ---- rewrite.c: the memo walk that passes share ---- */

/* Rebuilds the graph's live nodes in order: `visit` gets each old node with its new
 * inputs and gives the new node, or NULL for a plain copy. */
typedef Node *(*RewriteVisit)(Graph *to, const Node *old, Node *const *inputs, void *context);
Graph *graph_rewrite(Graph *from, RewriteVisit visit, void *context);
/* How often live nodes and outputs use each node, by id. */
int *graph_uses(const Graph *graph);

/* ---- fold.c ---- */

/* The constant that a node with these (new) inputs is equal to, or NULL. A
 * RewriteVisit. */
Node *fold_visit(Graph *to, const Node *old, Node *const *inputs, void *context);

/* ---- the passes that passes.def lists, one a file ---- */

#define PASS(name, what) Graph *pass_##name(Graph *graph);
#include "passes/passes.def"
#undef PASS

#endif
