/* The list of passes and the loop that runs them. */
#include "passes/passes.h"
#include "core/core.h"

#define PASS(name, what) {#name, what, pass_##name},
const Pass passes[] = {
#include "passes/passes.def"
};
#undef PASS
const int pass_count = COUNT_OF(passes);

Graph *passes_run(Graph *graph, const PassOptions *options) {
    if (options->verify) graph_verify(graph, "elaborate");
    for (int i = 0; i < pass_count; i++) {
        double begin = cai_milliseconds();
        graph = passes[i].run(graph);
        if (options->time)
            fprintf(stderr, "%-12s %8.2f ms %7d nodes\n", passes[i].name, cai_milliseconds() - begin,
                    graph->nodes.count);
        if (options->verify) graph_verify(graph, passes[i].name);
        if (options->after && strcmp(options->after, passes[i].name) == 0) break;
    }
    return graph;
}
