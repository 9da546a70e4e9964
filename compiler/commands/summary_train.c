/* cai summary --train: what a train block trains, which states it keeps, and what a step
 * costs. */
#include "commands/commands.h"
#include "codegen/emit.h"
#include "plan/plan.h"

#define MIB (1024.0 * 1024)

typedef struct Count { int64_t tensors, numbers, bytes; } Count;

static void count_state(Count *count, const TrainingState *state) {
    int64_t numbers = 1;
    for (int i = 0; i < state->shape.rank; i++) numbers *= dim_const_value(state->shape.dims[i]);
    count->tensors++;
    count->numbers += numbers;
    count->bytes += numbers * dtype_bytes(state->shape.type);
}

static bool is_written(const TrainingPhase *phase, int state) {
    for (int i = 0; i < phase->step.outputs.count; i++)
        if (phase->step.outputs.items[i].kind == CAI_BIND_STATE &&
            phase->step.outputs.items[i].index == state)
            return true;
    return false;
}

static bool is_read(const TrainingPhase *phase, int state) {
    for (int i = 0; i < phase->step.inputs.count; i++)
        if (phase->step.inputs.items[i].kind == CAI_BIND_STATE && phase->step.inputs.items[i].index == state)
            return true;
    return false;
}

static void print_count(Session *s, const char *what, Count count) {
    if (count.tensors)
        printf("  %-22s %7lld %15s\n", what, (long long)count.tensors,
               text_thousands(s->arena, count.numbers));
}

/* E.g. 59.9 GFLOPs. */
static const char *flops_text(Arena *arena, double flops) {
    if (flops >= 1e9) return arena_printf(arena, "%.4g GFLOPs", flops * 1e-9);
    if (flops >= 1e6) return arena_printf(arena, "%.4g MFLOPs", flops * 1e-6);
    return arena_printf(arena, "%s FLOPs", text_thousands(arena, (int64_t)flops));
}

static double flops_of(const Graph *graph) {
    double flops = 0;
    int64_t one;
    for (int i = 0; i < graph->nodes.count; i++)
        if (dim_evaluate(node_flops(graph->dims, graph->nodes.items[i]), NULL, &one)) flops += (double)one;
    return flops;
}

/* The memory of a step besides states: the buffers of its program. */
static double working_bytes(Session *s, const TrainingPhase *phase) {
    const Target *target = build_target(s);
    if (!target) return 0;
    LowerOptions options = build_lowering(s, target);
    Trainer trainer = {0};
    options.names = map_new(s->arena);
    trainer_lower(&trainer, &phase->step, build_passes(s, phase->step.graph, NULL), &options, s->arena);
    const Program *program = trainer.programs.items[0];
    return (double)dim_const_value(program_arena_bytes(program)) + (double)program_scratch_bytes(program);
}

static const char *length_text(Session *s, const cai_interval *length) {
    static const char *const units[] = {"steps", "epochs", "images", "minutes"};
    return arena_printf(s->arena, "%.0f %s", length->count, units[length->unit]);
}

static void print_phase(Session *s, const Training *training, const TrainingPhase *phase) {
    Count trained = {0}, frozen = {0}, layers = {0}, own = {0}, moments = {0};
    for (int i = 0; i < training->states.count; i++) {
        const TrainingState *state = &training->states.items[i];
        if (state->kind == CAI_STATE_PARAMETER && is_written(phase, i)) count_state(&trained, state);
        else if (state->kind == CAI_STATE_PARAMETER && is_read(phase, i)) count_state(&frozen, state);
        else if (state->kind == CAI_STATE_LAYER && is_read(phase, i)) count_state(&layers, state);
        else if (state->kind == CAI_STATE_TRAINING && is_read(phase, i)) count_state(&own, state);
        else if (state->kind == CAI_STATE_OPTIMIZER && is_read(phase, i)) count_state(&moments, state);
    }
    printf("%s%s%s, %s\n", training->name, *phase->name ? ", phase " : "", phase->name,
           length_text(s, &phase->length));
    printf("  %-22s %7s %15s\n", "", "tensors", "numbers");
    print_count(s, "trained", trained);
    print_count(s, "frozen", frozen);
    print_count(s, "states of layers", layers);
    print_count(s, "states of optimizers", moments);
    print_count(s, "states of training", own);
    if (!phase->step.graph) return;
    double states = (double)(trained.bytes + frozen.bytes + layers.bytes + moments.bytes + own.bytes);
    printf("  a step: %s, %.0f MB of states and %.0f MB of buffers\n",
           flops_text(s->arena, flops_of(phase->step.graph)), states / MIB, working_bytes(s, phase) / MIB);
}

static void print_sets(const Training *training, Arena *arena) {
    for (int i = 0; i < training->sets.count; i++) {
        const TrainingSet *set = &training->sets.items[i];
        printf("set %d:", i + 1);
        for (int k = 0; k < set->fields.count; k++) {
            const TrainingField *field = &set->fields.items[k];
            printf("%s %s: %s", k ? "," : "", field->name, shape_string(arena, field->shape));
        }
        putchar('\n');
    }
}

void summary_of_training(Session *s, Library *library, const char *name) {
    int block = trainer_pick(s, library, name);
    const Training *training = block < 0 ? NULL : elaborate_training(library, block);
    if (!training) return;
    print_sets(training, s->arena);
    for (int i = 0; i < training->phases.count; i++) print_phase(s, training, &training->phases.items[i]);
}
