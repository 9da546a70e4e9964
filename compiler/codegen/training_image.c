/* A trainer: the programs of its entries, and the tables that runtime/core/training.h
 * describes, as constants of the object: cai_the_training. */
#include "codegen/training_image.h"
#include "codegen/image.h"

/* ---- entries to programs ---- */

/* Ports share memory where they are bound to the same state; the guards of bindings
 * become bits. */
static uint32_t guard_bit(int guard) {
    CHECK(guard < MAX_GUARDS);
    return guard < 0 ? 0 : (uint32_t)1 << guard;
}

static int find_state(const BindingList *inputs, int state) {
    for (int i = 0; i < inputs->count; i++)
        if (inputs->items[i].kind == CAI_BIND_STATE && inputs->items[i].index == state) return i;
    return -1;
}

static const PortPlan *plan_inputs(const TrainingEntry *entry, Arena *arena) {
    PortPlan *plans = NEW_ARRAY(arena, PortPlan, entry->inputs.count);
    for (int i = 0; i < entry->inputs.count; i++)
        if (entry->inputs.items[i].kind == CAI_BIND_ACTIVE)
            plans[i].guards = guard_bit(entry->inputs.items[i].index);
    return plans;
}

static const PortPlan *plan_outputs(const TrainingEntry *entry, Arena *arena) {
    PortPlan *plans = NEW_ARRAY(arena, PortPlan, entry->outputs.count);
    for (int i = 0; i < entry->outputs.count; i++) {
        const cai_binding *binding = &entry->outputs.items[i];
        plans[i].guards = guard_bit(binding->guard);
        if (binding->kind == CAI_BIND_STATE) plans[i].shares = find_state(&entry->inputs, binding->index) + 1;
    }
    return plans;
}

void trainer_lower(Trainer *trainer, const TrainingEntry *entry, Graph *graph, const LowerOptions *options,
                   Arena *arena) {
    LowerOptions with_ports = *options;
    CHECK(entry->inputs.count == graph->inputs.count && entry->outputs.count == graph->outputs.count);
    with_ports.inputs = plan_inputs(entry, arena);
    with_ports.outputs = plan_outputs(entry, arena);
    vec_push(arena, &trainer->programs, lower(graph, &with_ports, arena));
    if (!trainer->number_of) trainer->number_of = map_new(arena);
    map_set(trainer->number_of, entry, (void *)(intptr_t)trainer->programs.count);
}

typedef void Visit(void *context, const TrainingEntry *entry);

static void visit_entry(const TrainingEntry *entry, Visit *visit, void *context) {
    if (entry->graph) visit(context, entry);
}

void trainer_each_entry(const Training *training, Visit *visit, void *context) {
    for (int i = 0; i < training->phases.count; i++) {
        const TrainingPhase *phase = &training->phases.items[i];
        visit_entry(&phase->once, visit, context);
        visit_entry(&phase->step, visit, context);
        for (int k = 0; k < phase->measures.count; k++) {
            visit_entry(&phase->measures.items[k].batch, visit, context);
            visit_entry(&phase->measures.items[k].last, visit, context);
        }
    }
}

/* ---- tables ---- */

static LLVMValueRef get_f64(Module *m, double value) { return LLVMConstReal(m->f64, value); }

static LLVMValueRef make_i64s(Module *m, const int64_t *values, int count) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, count);
    for (int i = 0; i < count; i++) items[i] = get_i64(m, values[i]);
    return make_array(m, "dims", items, count);
}

/* -1 where a size is free. */
static LLVMValueRef make_shape(Module *m, Shape shape) {
    int64_t *dims = NEW_ARRAY(m->arena, int64_t, shape.rank);
    for (int i = 0; i < shape.rank; i++)
        if (!dim_is_const(shape.dims[i], &dims[i])) dims[i] = -1;
    return make_i64s(m, dims, shape.rank);
}

static LLVMValueRef make_state(Module *m, const TrainingState *state) {
    Shape shape = state->shape;
    LLVMValueRef path = make_text(m, state->path), dims = make_shape(m, shape);
    uint64_t stream = fnv1a64(state->drawn_as ? state->drawn_as : state->path);
    LLVMValueRef fields[] = {path,
                             dims,
                             get_i32(m, (int32_t)shape.type),
                             get_i32(m, shape.rank),
                             get_i32(m, state->kind),
                             get_i32(m, state->start),
                             get_f64(m, state->number),
                             get_i64(m, (int64_t)stream),
                             make_text(m, training_file(m->arena, state->load, state->span))};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_state));
}

static LLVMValueRef make_states(Module *m, const Training *training) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, training->states.count);
    for (int i = 0; i < training->states.count; i++) items[i] = make_state(m, &training->states.items[i]);
    return make_array(m, "states", items, training->states.count);
}

static LLVMValueRef make_field(Module *m, const cai_field *field) {
    LLVMValueRef dims = make_i64s(m, field->dims, field->rank),
                 scale[] = {get_f64(m, field->scale[0]), get_f64(m, field->scale[1])};
    LLVMValueRef fields[] = {make_text(m, field->name),
                             make_text(m, field->text),
                             dims,
                             get_i32(m, field->type),
                             get_i32(m, field->rank),
                             get_i32(m, field->form),
                             get_i32(m, field->fit),
                             LLVMConstArray2(m->f64, scale, 2),
                             make_text(m, field->names),
                             get_i32(m, field->on),
                             get_i32(m, field->together),
                             get_i32(m, field->balanced),
                             get_i32(m, field->index),
                             get_i32(m, field->once)};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_field));
}

static LLVMValueRef make_set(Module *m, const cai_set *set) {
    LLVMValueRef *fields = NEW_ARRAY(m->arena, LLVMValueRef, set->field_count);
    for (int i = 0; i < set->field_count; i++) fields[i] = make_field(m, &set->fields[i]);
    LLVMValueRef made[] = {make_text(m, set->name),
                           make_text(m, set->place),
                           make_array(m, "fields", fields, set->field_count),
                           get_i32(m, set->field_count),
                           get_i64(m, set->batch),
                           get_i32(m, set->anew)};
    return make_struct(m, made, COUNT_OF(made), sizeof(cai_set));
}

static LLVMValueRef make_sets(Module *m, const Training *training) {
    const cai_set *sets = training_sets(m->arena, training);
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, training->sets.count);
    for (int i = 0; i < training->sets.count; i++) items[i] = make_set(m, &sets[i]);
    return make_array(m, "sets", items, training->sets.count);
}

static LLVMValueRef make_bindings(Module *m, const BindingList *bindings) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, bindings->count);
    for (int i = 0; i < bindings->count; i++) {
        const cai_binding *b = &bindings->items[i];
        LLVMValueRef fields[] = {get_i32(m, b->kind), get_i32(m, b->index), get_i32(m, b->field),
                                 get_i32(m, b->round), get_i32(m, b->guard)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_binding));
    }
    return make_array(m, "bindings", items, bindings->count);
}

const char *trainer_symbol(Arena *arena, int program) {
    return arena_printf(arena, "cai_program_%d", program);
}

/* The tables of an entry stand in another object. */
static LLVMValueRef get_program(Module *m, const Trainer *trainer, const TrainingEntry *entry) {
    int number = (int)(intptr_t)map_get(trainer->number_of, entry);
    if (!number) return get_null(m);
    return LLVMAddGlobal(m->module, m->i8, trainer_symbol(m->arena, number - 1));
}

static LLVMValueRef make_entry(Module *m, const Trainer *trainer, const TrainingEntry *entry) {
    LLVMValueRef fields[] = {get_program(m, trainer, entry), make_bindings(m, &entry->inputs),
                             make_bindings(m, &entry->outputs)};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_entry));
}

static LLVMValueRef make_interval(Module *m, const cai_interval *interval) {
    LLVMValueRef fields[] = {get_f64(m, interval->count), get_i32(m, interval->unit),
                             get_i32(m, interval->last)};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_interval));
}

static LLVMValueRef make_shown(Module *m, const ShownList *shown) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, shown->count);
    for (int i = 0; i < shown->count; i++) {
        const TrainingShown *s = &shown->items[i];
        LLVMValueRef fields[] = {make_text(m, s->name), get_i32(m, s->form), get_i32(m, s->row),
                                 get_i32(m, s->is_loss), get_i32(m, s->guard)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_shown));
    }
    return make_array(m, "shown", items, shown->count);
}

static LLVMValueRef make_measures(Module *m, const Trainer *trainer, const TrainingPhase *phase) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, phase->measures.count);
    for (int i = 0; i < phase->measures.count; i++) {
        const TrainingMeasure *measure = &phase->measures.items[i];
        LLVMValueRef batch = make_entry(m, trainer, &measure->batch),
                     last = make_entry(m, trainer, &measure->last);
        LLVMValueRef fields[] = {make_interval(m, &measure->when),
                                 batch,
                                 last,
                                 make_shown(m, &measure->shown),
                                 get_i32(m, measure->shown.count),
                                 get_i32(m, measure->totals),
                                 get_i32(m, measure->collected),
                                 get_i32(m, measure->set),
                                 get_i32(m, measure->save),
                                 get_i32(m, measure->save_by)};
        items[i] = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_measure));
    }
    return make_array(m, "measures", items, phase->measures.count);
}

static LLVMValueRef make_guards(Module *m, const TrainingPhase *phase) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, phase->guards.count);
    for (int i = 0; i < phase->guards.count; i++) items[i] = make_interval(m, &phase->guards.items[i]);
    return make_array(m, "guards", items, phase->guards.count);
}

static LLVMValueRef make_rounds(Module *m, const Training *training, const TrainingPhase *phase) {
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, training->sets.count);
    for (int i = 0; i < training->sets.count; i++) items[i] = get_i32(m, phase->rounds[i]);
    return make_array(m, "rounds", items, training->sets.count);
}

static LLVMValueRef make_phase(Module *m, const Trainer *trainer, const TrainingPhase *phase) {
    LLVMValueRef once = make_entry(m, trainer, &phase->once), step = make_entry(m, trainer, &phase->step);
    LLVMValueRef guards = make_guards(m, phase), shown = make_shown(m, &phase->shown),
                 measures = make_measures(m, trainer, phase);
    LLVMValueRef fields[] = {make_text(m, phase->name),
                             make_interval(m, &phase->length),
                             once,
                             step,
                             guards,
                             shown,
                             measures,
                             make_rounds(m, trainer->training, phase),
                             get_i32(m, phase->guards.count),
                             get_i32(m, phase->shown.count),
                             get_i32(m, phase->measures.count),
                             get_i32(m, -1)};
    return make_struct(m, fields, COUNT_OF(fields), sizeof(cai_phase));
}

static LLVMValueRef make_phases(Module *m, const Trainer *trainer) {
    const Training *training = trainer->training;
    LLVMValueRef *items = NEW_ARRAY(m->arena, LLVMValueRef, training->phases.count);
    for (int i = 0; i < training->phases.count; i++)
        items[i] = make_phase(m, trainer, &training->phases.items[i]);
    return make_array(m, "phases", items, training->phases.count);
}

void emit_training_image(Module *m, const Trainer *trainer) {
    const Training *training = trainer->training;
    const Target *target = trainer->programs.items[0]->target;
    LLVMValueRef states = make_states(m, training), sets = make_sets(m, training),
                 phases = make_phases(m, trainer);
    LLVMValueRef fields[] = {get_i32(m, CAI_TRAINING_ABI),
                             get_i32(m, (int32_t)target->cpu),
                             make_text(m, training->name),
                             make_text(m, training->comment),
                             make_text(m, target->name),
                             make_text(m, trainer->text),
                             make_text(m, training->settings),
                             get_i64(m, (int64_t)trainer->identity),
                             states,
                             sets,
                             phases,
                             get_i32(m, training->states.count),
                             get_i32(m, training->sets.count),
                             get_i32(m, training->phases.count)};
    LLVMValueRef made = make_struct(m, fields, COUNT_OF(fields), sizeof(cai_training));
    export_constant(add_constant(m, "cai_the_training", made), "cai_the_training");
}
