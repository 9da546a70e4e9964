/* Weights are there once, however many contexts there are, and their pages are those of
 * the file: nothing of them is the process's own. */
#include "large.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXTS = 8 };

static long status_kb(const char *name) {
    char line[200];
    long kb = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0) kb = strtol(line + strlen(name), NULL, 10);
    if (file) fclose(file);
    return kb;
}

int main(void) {
    static float x[1000], y[5000];
    cai_in in = {x, sizeof x, NULL, 0};
    cai_out out = {y, sizeof y};
    large_context *contexts[CONTEXTS];
    long own = status_kb("RssAnon:"), all = 0, grown;
    int i, bad = 0;
    for (i = 0; i < CONTEXTS; i++) {
        bad |= large_create(&contexts[i]) || large_set_threads(contexts[i], 1) ||
               large_run(contexts[i], &in, 1, &out, 1);
        if (i == 0) all = status_kb("VmRSS:");
    }
    grown = status_kb("VmRSS:") - all;
    own = status_kb("RssAnon:") - own;
    if (all < 20000 || grown > 2000 || own > 4000)
        bad =
            printf("%ld kB with one context, %ld more with %d; %ld of its own\n", all, grown, CONTEXTS, own);
    for (i = 0; i < CONTEXTS; i++) large_destroy(contexts[i]);
    printf("weights: 1 checks, %d failed\n", bad != 0);
    return bad != 0;
}
