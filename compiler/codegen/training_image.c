/* Emits a trainer: the programs of its entries, and the tables of runtime/core/training.h
 * as constants of the object (cai_the_training). */
#include "codegen/training_image.h"
#include "codegen/image.h"

/* ---- entries to programs ---- */

/* The guard of a binding as a bit; 0: none. */
static uint32_t guard_bit(int guard) {
    CHECK(guard < MAX_GUARDS);
    return guard < 0 ? 0 : (uint32_t)1 << guard;
}

/* The input that is bound to a state: the output with its new value shares its memory.
 * -1: none. */
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
        visit_entry(&phase->kept, visit, context);
        visit_entry(&phase->step, visit, context);
        for (int k = 0; k < phase->measures.count; k++) {
            visit_entry(&phase->measures.items[k].batch, visit, context);
            visit_entry(&phase->measures.items[k].last, visit, context);
        }
    }
}

/* ---- tables ---- */

const char *trainer_symbol(Arena *arena, int program) {
    return arena_printf(arena, "cai_program_%d", program);
}

/* The tables of an entry's program are in another object, so they are referred to by
 * symbol. */
static void link_entry(Image *image, const Trainer *trainer, const TrainingEntry *entry,
                       const cai_entry *made) {
    int number = (int)(intptr_t)map_get(trainer->number_of, entry);
    if (!number) return;
    const char *symbol = trainer_symbol(image->m->arena, number - 1);
    image_link(image, &made->program, LLVMAddGlobal(image->m->module, image->m->i8, symbol));
}

static void link_phase(Image *image, const Trainer *trainer, const TrainingPhase *phase,
                       const cai_phase *made) {
    link_entry(image, trainer, &phase->once, &made->once);
    link_entry(image, trainer, &phase->kept, &made->kept);
    link_entry(image, trainer, &phase->step, &made->step);
    for (int i = 0; i < phase->measures.count; i++) {
        link_entry(image, trainer, &phase->measures.items[i].batch, &made->measures[i].batch);
        link_entry(image, trainer, &phase->measures.items[i].last, &made->measures[i].last);
    }
}

void emit_training_image(Module *m, const Trainer *trainer) {
    const Target *target = trainer->programs.items[0]->target;
    cai_training made = training_tables(m->arena, trainer->training);
    made.cpu = target->cpu;
    made.target = target->name;
    made.text = trainer->text;
    made.identity = trainer->identity;
    Image image = image_begin(m);
    for (int i = 0; i < made.phase_count; i++)
        link_phase(&image, trainer, &trainer->training->phases.items[i], &made.phases[i]);
    image_export(&image, &struct_cai_training, &made, "cai_the_training");
}
