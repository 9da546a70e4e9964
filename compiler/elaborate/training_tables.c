/* Makes the tables of core/training.h of a Training. codegen/ writes them into a trainer;
 * `cai data` passes them to the readers of data sets. */
#include "elaborate/training.h"
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>

static int32_t field_named(const TrainingSet *set, Name name) {
    for (int i = 0; name && i < set->fields.count; i++)
        if (set->fields.items[i].name == name) return i;
    return -1;
}

/* The sizes of one sample, without the batch; -1 for a free size. */
static const int64_t *sample_dims(Arena *arena, Shape shape) {
    int64_t *dims = NEW_ARRAY(arena, int64_t, shape.rank);
    for (int i = 1; i < shape.rank; i++)
        if (!dim_is_const(shape.dims[i], &dims[i - 1])) dims[i - 1] = -1;
    return dims;
}

const char *training_file(Arena *arena, const char *file, Span span) {
    char folder[PATH_MAX];
    if (!file || file[0] == '/' || !span.source) return file;
    const char *beside = dirname(arena_printf(arena, "%s", span.source->path));
    return realpath(beside, folder) ? arena_printf(arena, "%s/%s", folder, file) : file;
}

/* `data`: the same of the set whose data it reads. */
static cai_field table_of_field(Arena *arena, const TrainingSet *set, const TrainingField *field,
                                const TrainingField *data) {
    Port port = {.name = field->name, .node = &(Node){.shape = field->shape}, .form = field->form};
    return (cai_field){.name = field->name,
                       .text = port_type_text(arena, &port),
                       .dims = sample_dims(arena, field->shape),
                       .type = (int32_t)field->shape.type,
                       .rank = field->shape.rank - 1,
                       .form = (int32_t)field->form,
                       .fit = field->fit,
                       .scale = {field->scale[0], field->scale[1]},
                       .names = training_file(arena, field->names, field->span),
                       .classes = data->classes,
                       .ignored = data->ignored.items,
                       .ignored_count = data->ignored.count,
                       .on = field_named(set, field->on),
                       .together = field->together,
                       .balanced = field->balanced,
                       .index = field->index,
                       .once = field->once,
                       .each = field->each};
}

static cai_set table_of_set(Arena *arena, const Training *training, const TrainingSet *set) {
    const TrainingSet *data = set->anew ? &training->sets.items[set->anew - 1] : set;
    cai_field *fields = NEW_ARRAY(arena, cai_field, set->fields.count);
    for (int i = 0; i < set->fields.count; i++)
        fields[i] = table_of_field(arena, set, &set->fields.items[i], &data->fields.items[i]);
    return (cai_set){.name = set->name,
                     .place = set->place,
                     .fields = fields,
                     .field_count = set->fields.count,
                     .batch = set->batch,
                     .anew = set->anew};
}

static const cai_set *table_of_sets(Arena *arena, const Training *training) {
    cai_set *sets = NEW_ARRAY(arena, cai_set, training->sets.count);
    for (int i = 0; i < training->sets.count; i++)
        sets[i] = table_of_set(arena, training, &training->sets.items[i]);
    return sets;
}

/* ---- states and phases ---- */

/* The sizes of a state; -1 for a free size. */
static const int64_t *state_dims(Arena *arena, Shape shape) {
    int64_t *dims = NEW_ARRAY(arena, int64_t, shape.rank);
    for (int i = 0; i < shape.rank; i++)
        if (!dim_is_const(shape.dims[i], &dims[i])) dims[i] = -1;
    return dims;
}

static cai_state table_of_state(Arena *arena, const TrainingState *state) {
    return (cai_state){.path = state->path,
                       .dims = state_dims(arena, state->shape),
                       .type = (int32_t)state->shape.type,
                       .rank = state->shape.rank,
                       .kind = state->kind,
                       .start = state->start,
                       .number = state->number,
                       .stream = fnv1a64(state->drawn_as ? state->drawn_as : state->path),
                       .load = training_file(arena, state->load, state->span)};
}

static const cai_state *table_of_states(Arena *arena, const Training *training) {
    cai_state *states = NEW_ARRAY(arena, cai_state, training->states.count);
    for (int i = 0; i < training->states.count; i++)
        states[i] = table_of_state(arena, &training->states.items[i]);
    return states;
}

static cai_entry table_of_entry(const TrainingEntry *entry) {
    return (cai_entry){.inputs = entry->inputs.items,
                       .outputs = entry->outputs.items,
                       .input_count = entry->inputs.count,
                       .output_count = entry->outputs.count};
}

static const cai_shown *table_of_shown(Arena *arena, const ShownList *shown) {
    cai_shown *made = NEW_ARRAY(arena, cai_shown, shown->count);
    for (int i = 0; i < shown->count; i++) {
        const TrainingShown *s = &shown->items[i];
        made[i] = (cai_shown){s->name, s->form, s->row, s->is_loss, s->guard};
    }
    return made;
}

static cai_measure table_of_measure(Arena *arena, const TrainingMeasure *measure) {
    return (cai_measure){.when = measure->when,
                         .batch = table_of_entry(&measure->batch),
                         .last = table_of_entry(&measure->last),
                         .shown = table_of_shown(arena, &measure->shown),
                         .shown_count = measure->shown.count,
                         .total_count = measure->totals,
                         .collected_count = measure->collected,
                         .sets = measure->sets,
                         .save = measure->save,
                         .save_by = measure->save_by};
}

static cai_phase table_of_phase(Arena *arena, const TrainingPhase *phase, int sets) {
    cai_measure *measures = NEW_ARRAY(arena, cai_measure, phase->measures.count);
    for (int i = 0; i < phase->measures.count; i++)
        measures[i] = table_of_measure(arena, &phase->measures.items[i]);
    return (cai_phase){.name = phase->name,
                       .length = phase->length,
                       .once = table_of_entry(&phase->once),
                       .kept = table_of_entry(&phase->kept),
                       .step = table_of_entry(&phase->step),
                       .guards = phase->guards.items,
                       .shown = table_of_shown(arena, &phase->shown),
                       .measures = measures,
                       .rounds = phase->rounds,
                       .guard_count = phase->guards.count,
                       .shown_count = phase->shown.count,
                       .measure_count = phase->measures.count,
                       .round_count = sets,
                       .paced_by = -1};
}

cai_training training_tables(Arena *arena, const Training *training) {
    cai_phase *phases = NEW_ARRAY(arena, cai_phase, training->phases.count);
    for (int i = 0; i < training->phases.count; i++)
        phases[i] = table_of_phase(arena, &training->phases.items[i], training->sets.count);
    return (cai_training){.abi = CAI_TRAINING_ABI,
                          .name = training->name,
                          .comment = training->comment,
                          .settings = training->settings,
                          .states = table_of_states(arena, training),
                          .sets = table_of_sets(arena, training),
                          .phases = phases,
                          .state_count = training->states.count,
                          .set_count = training->sets.count,
                          .phase_count = training->phases.count,
                          .parts = training->parts ? training->parts : 1};
}
