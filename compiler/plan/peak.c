/* Prints, for --explain, which values are in memory at the launch at which most bytes are
 * live. */
#include "plan/stages.h"

#include <stdlib.h>

enum { MOST_SHOWN = 10 };

int64_t buffer_bytes(const Program *program, const Value *root) {
    return root->space == SPACE_SLOT ? dim_typical(program->graph->dims, root->bytes) : 0;
}

static bool has_buffer(const Value *value) { return !value->parent && value->first >= 0; }

/* The launch from which the value's bytes count: behind the last one of a value that it
 * overwrites. */
static int first_alone(const Value *value) { return value->over ? value->over->last + 1 : value->first; }

int64_t *find_live_bytes(const Program *program, Arena *arena, int *peak) {
    int64_t *live = NEW_ARRAY(arena, int64_t, program->launches.count + 1);
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        if (!has_buffer(value)) continue;
        live[first_alone(value)] += buffer_bytes(program, value);
        live[value->last + 1] -= buffer_bytes(program, value);
    }
    *peak = 0;
    for (int i = 1; i < program->launches.count; i++)
        if ((live[i] += live[i - 1]) > live[*peak]) *peak = i;
    return live;
}

typedef struct Standing { int64_t bytes; const Value *value; } Standing;

static int larger_first(const void *a, const void *b) {
    const Standing *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->value->id - y->value->id;
}

/* The launch that makes a value, or that uses it as working memory. */
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
    int peak;
    int64_t sum = find_live_bytes(program, scratch, &peak)[peak], rest = 0;
    for (int i = 0; i < program->values.count; i++) {
        const Value *value = program->values.items[i];
        int64_t bytes = buffer_bytes(program, value);
        if (bytes == 0 || !has_buffer(value) || first_alone(value) > peak || value->last < peak) continue;
        vec_push(scratch, &all, ((Standing){bytes, value}));
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
