/* The steps of planning, in order. */
#include "plan/loop_nest.h"
#include "plan/stages.h"

#include <stdlib.h>

static void give_workspace(Program *program, Kernel *kernel) {
    Dim bytes = kernel->proposal.memory.workspace;
    if (!bytes) return;
    kernel->workspace = value_new(program, kernel->anchor, &format_plain, SPACE_SLOT);
    kernel->workspace->bytes = bytes;
}

static void number_launches(Program *program) {
    for (int i = 0; i < program->launches.count; i++) program->launches.items[i]->id = i;
}

static void settle_kinds(Program *program, bool nests) {
    for (int i = 0; i < program->launches.count; i++) {
        Kernel *kernel = program->launches.items[i];
        if (kernel->proposal.is_nest == nests) kernel->kind->settle(program, kernel);
    }
}

static void finish_kernels(Program *program) {
    for (int i = 0; i < program->launches.count; i++) {
        Kernel *kernel = program->launches.items[i];
        CHECK(kernel->name && kernel->tasks);
        give_workspace(program, kernel);
        pack_weights(program, kernel);
        estimate(kernel);
    }
}

Program *lower(Graph *graph, const LowerOptions *options, Arena *arena) {
    const char *own_slots = getenv("CAI_OWN_SLOTS");
    Program *program = NEW(arena, Program);
    program->arena = arena;
    program->graph = graph;
    program->target = options->target;
    program->table = options->table;
    Format blocked = format_blocked(options->target->lanes);
    program->blocked = arena_copy(arena, &blocked, sizeof blocked);
    program->blas = options->blas;
    program->winograd = options->winograd;
    program->weak_names = options->weak_names;
    program->parts = options->parts;
    program->names = options->names ? options->names : map_new(arena);
    program->inputs = options->inputs;
    program->outputs = options->outputs;
    program->own_slots = options->own_slots || (own_slots && strcmp(own_slots, "0") != 0);
    Lowering low = {.program = program, .options = options, .scratch = arena_new()};
    count_parameters(program);
    fuse(&low);                      /* nodes to kernels; nothing later changes what a kernel computes */
    find_ties(program, low.scratch); /* before selection, which depends on it */
    select_kinds(&low);              /* each kernel's kind, with its proposal */
    layout(&low);                    /* grants it; after this all launches are there */
    update_early(program);           /* before launches that are neighbours are fused */
    make_nests(program);
    fuse_rows(program); /* gives some of the nests the same rows */
    number_launches(program);
    stream_results(program);
    settle_kinds(program, false); /* some take over reductions, which then are smaller nests */
    fuse_shared(program);
    settle_kinds(program, true);
    finish_kernels(program);
    guard_launches(program);
    store_in_place(program);            /* after guards, which it goes by; takes launches away */
    recompute(program, options->again); /* of settled launches, whose working memory is known */
    guard_launches(program);            /* anew: what is made again may be needed in fewer runs */
    pack_assign(program);
    plan(program); /* last: the buffers of all launches are known */
    program_verify(program);
    arena_free(low.scratch);
    return program;
}
