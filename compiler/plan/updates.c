/* Moves the updates of states forward. The graph has optimizers after all gradients, so
 * that every gradient is kept until the last one is computed: as much memory as all
 * weights take. So the launches that compute the new value of a large state are moved to
 * where all their operands exist and all other readers of the old value have run. The new
 * value can then overwrite the old one (states.c), and the memory of the gradient is
 * free. A gradient that is clipped by the norm of all gradients must still wait for that
 * norm.
 *
 * Small values that only such launches read are moved along, for example a learning rate
 * that depends on the number of steps. All other launches keep their order, so that those
 * that fuse_rows.c is to fuse stay neighbours.
 *
 * Needs: the list of launches, with all copies. Result: the list in another order. */
#include "plan/stages.h"

#include <stdlib.h>

enum {                  /* in bytes */
       LARGE = 1 << 18, /* an update whose result or operand has this size is worth moving */
       SMALL = 1 << 12
};

typedef struct UpdateRoot {
    int made;         /* the last launch that writes it; -1: none */
    int read;         /* the last launch that reads it; -1: none */
    int read_behind;  /* the largest `behind` of the launches that read it; -1: none */
    bool in_parts;    /* several launches write it */
    bool hurried;     /* a launch that is moved reads it */
    bool waited_for;  /* a launch that keeps its place reads it */
    const Value *old; /* if it is the new value of a state: the root of the old value; else NULL */
} UpdateRoot;

typedef struct UpdatePlace { /* where a launch goes */
    int behind;              /* it runs after this launch; its own index if it keeps its place */
    bool second;             /* among those after the same launch: it is large, or depends on one that is */
    int launch;
} UpdatePlace;

typedef struct Updates {
    Program *program;
    UpdateRoot *roots;   /* by id of a value that owns its buffer */
    UpdatePlace *places; /* by launch */
} Updates;

static UpdateRoot *update_root(const Updates *u, const Value *value) {
    return &u->roots[value_root(value)->id];
}

static void find_makers(Updates *u) {
    for (int i = 0; i < u->program->values.count; i++)
        u->roots[i].made = u->roots[i].read = u->roots[i].read_behind = -1;
    for (int i = 0; i < u->program->launches.count; i++) {
        const Kernel *kernel = u->program->launches.items[i];
        UpdateRoot *root = update_root(u, kernel->output);
        root->in_parts = root->made >= 0 || kernel->output->parent;
        root->made = i;
        for (int k = 0; k < kernel->input_count; k++) update_root(u, kernel->inputs[k])->read = i;
        if (is_state_store(u->program, kernel))
            update_root(u, kernel->inputs[0])->old = find_old_state(u->program, kernel->output);
    }
}

static int64_t bytes_behind(const Updates *u, const Value *value) {
    return buffer_bytes(u->program, value_root(value));
}

static bool has_large_operand(const Updates *u, const Kernel *kernel) {
    bool large = bytes_behind(u, kernel->output) >= LARGE;
    for (int i = 0; i < kernel->input_count; i++)
        large = large || bytes_behind(u, kernel->inputs[i]) >= LARGE;
    return large;
}

/* Whether the launch is moved: it computes the new value of a state from a large operand,
 * or a small value that only moved launches read. */
static bool comes_early(const Updates *u, int launch) {
    const Kernel *kernel = u->program->launches.items[launch];
    const UpdateRoot *root = update_root(u, kernel->output);
    if (value_root(kernel->output)->space != SPACE_SLOT || root->in_parts) return false;
    if (root->old && update_root(u, root->old)->read > launch) return false;
    bool small = bytes_behind(u, kernel->output) <= SMALL && root->hurried && !root->waited_for;
    return small || (root->old && has_large_operand(u, kernel));
}

/* Goes from the last launch to the first, so that all readers of a value are known. */
static void find_moves(Updates *u) {
    for (int i = u->program->launches.count - 1; i >= 0; i--) {
        const Kernel *kernel = u->program->launches.items[i];
        bool early = comes_early(u, i), large = bytes_behind(u, kernel->output) > SMALL;
        u->places[i] = (UpdatePlace){early ? -1 : i, early && large, i};
        for (int k = 0; k < kernel->input_count && !is_state_store(u->program, kernel); k++) {
            UpdateRoot *root = update_root(u, kernel->inputs[k]);
            *(early ? &root->hurried : &root->waited_for) = true;
        }
    }
}

/* The launch runs after all that compute its operands, and after all other readers of the
 * old value that it replaces. */
static void find_update_place(Updates *u, int launch) {
    const Kernel *kernel = u->program->launches.items[launch];
    const Value *old = update_root(u, kernel->output)->old;
    UpdatePlace *place = &u->places[launch];
    if (old) place->behind = update_root(u, old)->read_behind, place->second |= place->behind >= 0;
    for (int i = 0; i < kernel->input_count; i++) {
        int made = update_root(u, kernel->inputs[i])->made;
        if (made < 0) continue;
        int behind = made < launch ? u->places[made].behind : launch;
        if (behind > place->behind) place->behind = behind;
        place->second |= behind < made && u->places[made].second;
    }
}

static void find_update_places(Updates *u) {
    for (int i = 0; i < u->program->launches.count; i++) {
        const Kernel *kernel = u->program->launches.items[i];
        if (u->places[i].behind < i) find_update_place(u, i);
        for (int k = 0; k < kernel->input_count; k++) {
            UpdateRoot *root = update_root(u, kernel->inputs[k]);
            if (root->read_behind < u->places[i].behind) root->read_behind = u->places[i].behind;
        }
    }
}

static int compare_update_places(const void *a, const void *b) {
    const UpdatePlace *x = a, *y = b;
    if (x->behind != y->behind) return x->behind - y->behind;
    return x->second != y->second ? x->second - y->second : x->launch - y->launch;
}

static void put_in_order(const Updates *u, Arena *scratch) {
    int count = u->program->launches.count;
    Kernel **launches = u->program->launches.items;
    Kernel **before = arena_copy(scratch, launches, sizeof(Kernel *) * (size_t)count);
    qsort(u->places, (size_t)count, sizeof *u->places, compare_update_places);
    for (int i = 0; i < count; i++) launches[i] = before[u->places[i].launch];
}

void update_early(Program *program) {
    if (!program->outputs || program->launches.count == 0) return;
    Arena *scratch = arena_new();
    Updates u = {program, NEW_ARRAY(scratch, UpdateRoot, program->values.count),
                 NEW_ARRAY(scratch, UpdatePlace, program->launches.count)};
    find_makers(&u);
    find_moves(&u);
    find_update_places(&u);
    put_in_order(&u, scratch);
    arena_free(scratch);
}
