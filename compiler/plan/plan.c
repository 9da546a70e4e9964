/* The stage as a pipeline. */
#include "plan/stages.h"

#include <stdlib.h>

void program_launch(Program *program, Kernel *kernel) {
    kernel->kind->settle(program, kernel);
    CHECK(kernel->name && kernel->tasks);
    pack_remaining(program, kernel); /* here, so that weights lie in order of execution */
    estimate(kernel);
    kernel->id = program->launches.count;
    vec_push(program->arena, &program->launches, kernel);
}

static void settle_all(Program *program) {
    Kernel **kernels = program->launches.items;
    int count = program->launches.count;
    program->launches.items = NULL;
    program->launches.count = program->launches.capacity = 0;
    for (int i = 0; i < count; i++) program_launch(program, kernels[i]);
}

Program *lower(Graph *graph, const LowerOptions *options, Arena *arena) {
    const char *own_slots = getenv("CAI_OWN_SLOTS");
    Program *program = NEW(arena, Program);
    program->arena = arena;
    program->graph = graph;
    program->target = options->target;
    program->table = options->table;
    program->blas = options->blas;
    program->winograd = options->winograd;
    program->weak_names = options->weak_names;
    program->names = options->names ? options->names : map_new(arena);
    program->inputs = options->inputs;
    program->outputs = options->outputs;
    program->own_slots = options->own_slots || (own_slots && strcmp(own_slots, "0") != 0);
    Lowering low = {.program = program, .options = options, .scratch = arena_new()};
    count_parameters(program);
    fuse(&low);         /* nodes to kernels; nothing later changes what a kernel computes */
    find_ties(program, low.scratch); /* before selection, which goes by it */
    select_kinds(&low); /* each kernel's kind, with its proposal */
    layout(&low);       /* grants it; after this there are all launches but those that pack weights */
    fuse_rows(program); /* before nests are settled, each once */
    settle_all(program);/* which may put launches that pack weights between the others */
    pack_assign(program);
    guard_launches(program);
    store_in_place(program); /* after guards, which it goes by; takes launches away */
    plan(program);      /* last: the buffers of all launches are known */
    program_verify(program);
    arena_free(low.scratch);
    return program;
}
