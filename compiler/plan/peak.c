/* What stands in memory at the launch where most does: for --explain. */
#include "plan/stages.h"

#include <stdlib.h>

enum { MOST_SHOWN = 10 };

static int64_t typical_bytes_of(const Program *program, const Value *value) {
    bool counts = value->space == SPACE_SLOT && !value->parent && value->first >= 0;
    return counts ? dim_typical(program->graph->dims, value->bytes) : 0;
}

static int find_peak(const Program *program) {
    Arena *scratch = arena_new();
    int64_t *change = NEW_ARRAY(scratch, int64_t, program->launches.count + 1), live = 0, most = 0;
    int peak = 0;
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        int64_t bytes = typical_bytes_of(program, value);
        if (bytes) change[value->first] += bytes, change[value->last + 1] -= bytes;
    }
    for (int i = 0; i < program->launches.count; i++)
        if ((live += change[i]) > most) most = live, peak = i;
    arena_free(scratch);
    return peak;
}

typedef struct Standing { int64_t bytes; const Value *value; } Standing;

static int larger_first(const void *a, const void *b) {
    const Standing *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->value->id - y->value->id;
}

/* The launch that makes a value, or whose working memory it is. */
static const Kernel *find_maker(const Program *program, const Value *value) {
    for (int i = value->first; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        if (value_root(kernel->output) == value || kernel->workspace == value) return kernel;
    }
    return NULL;
}

static void explain_standing(const Program *program, const Standing *standing, Text *out) {
    const Kernel *kernel = find_maker(program, standing->value);
    bool works = kernel && kernel->workspace == standing->value;
    text_add(out, "  %12.3f MB  ", (double)standing->bytes / 1e6);
    if (works) text_add(out, "working memory of ");
    else if (standing->value->node->op == OP_concat) text_add(out, "concat of ");
    if (kernel) kernel_print_work(out, kernel);
    if (!works) text_add(out, ", of launch %d for launch %d", standing->value->first, standing->value->last);
    text_add(out, "\n");
}

void explain_peak(const Program *program, Text *out) {
    if (program->launches.count == 0) return;
    Arena *scratch = arena_new();
    Vec(Standing) all = {0};
    int peak = find_peak(program);
    int64_t sum = 0, rest = 0;
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        int64_t bytes = typical_bytes_of(program, value);
        if (bytes == 0 || value->first > peak || value->last < peak) continue;
        vec_push(scratch, &all, ((Standing){bytes, value}));
        sum += bytes;
    }
    text_add(out, "peak        %10.3f MB in launch %d, ", (double)sum / 1e6, peak);
    kernel_print_work(out, program->launches.items[peak]);
    text_add(out, ":\n");
    if (all.count) qsort(all.items, (size_t)all.count, sizeof(Standing), larger_first);
    for (int i = 0; i < all.count; i++)
        if (i < MOST_SHOWN) explain_standing(program, &all.items[i], out);
        else rest += all.items[i].bytes;
    if (all.count > MOST_SHOWN)
        text_add(out, "  %12.3f MB  %d more\n", (double)rest / 1e6, all.count - MOST_SHOWN);
    arena_free(scratch);
}
