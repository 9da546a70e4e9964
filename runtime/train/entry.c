/* Prepares an entry: binds each port to the memory of a state or allocates memory for it,
 * and sets the counters of a step before it runs. */
#include "train/train.h"
#include <stdlib.h>
#include <string.h>

/* ---- batches: the ports that take samples of one set in one round ---- */

static cai_batch *find_batch(cai_running *running, const cai_binding *binding) {
    for (int i = 0; i < running->batch_count; i++)
        if (running->batches[i].set == binding->index && running->batches[i].round == binding->round)
            return &running->batches[i];
    return NULL;
}

static bool find_batches(const cai_training *training, cai_running *running, cai_error *error) {
    const cai_entry *entry = running->entry;
    for (int i = 0; i < entry->program->input_count; i++) {
        const cai_binding *binding = &entry->inputs[i];
        if (binding->kind != CAI_BIND_FIELD || find_batch(running, binding)) continue;
        cai_batch *batch = &running->batches[running->batch_count++];
        *batch = (cai_batch){.set = binding->index, .round = binding->round};
        size_t fields = (size_t)training->sets[binding->index].field_count + 1;
        batch->buffers = calloc(fields, sizeof *batch->buffers);
        batch->next = calloc(fields, sizeof *batch->next);
        if (!batch->buffers || !batch->next) return cai_fail_memory(error, 0, "a batch");
    }
    return true;
}

/* ---- memory ---- */

static uint64_t port_bytes(const cai_running *running, const cai_port *port) {
    return (uint64_t)cai_context_elements(running->context, port) * (uint64_t)cai_type_bytes(port->type);
}

/* Makes sure that the port has at least as many bytes as its shape needs; keeps memory
 * that is large enough. */
static bool give_memory(const cai_running *running, const cai_port *port, void **memory, uint64_t *capacity,
                        cai_error *error) {
    uint64_t bytes = port_bytes(running, port);
    if (*memory && bytes <= *capacity) return true;
    free(*memory);
    uint64_t whole = (bytes / CAI_ALIGNMENT + 1) * CAI_ALIGNMENT;
    *memory = aligned_alloc(CAI_ALIGNMENT, whole);
    *capacity = whole;
    return *memory || cai_fail_memory(error, whole, port->name);
}

static void constant_shape(const cai_port *port, int64_t *shape) {
    for (int axis = 0; axis < port->rank; axis++)
        shape[axis] = port->dims[axis].symbol == -1 ? port->dims[axis].multiple : 1;
}

static bool reserve_ports_of_entry(cai_running *running, cai_error *error) {
    const cai_program *program = running->entry->program;
    size_t inputs = (size_t)program->input_count, outputs = (size_t)program->output_count;
    running->inputs = calloc(inputs + 1, sizeof *running->inputs);
    running->next = calloc(inputs + 1, sizeof *running->next);
    running->outputs = calloc(outputs + 1, sizeof *running->outputs);
    running->capacities = calloc(inputs + outputs + 1, sizeof *running->capacities);
    running->shapes = calloc(inputs + 1, sizeof *running->shapes);
    running->batches = calloc(inputs + 1, sizeof *running->batches);
    return (running->inputs && running->next && running->outputs && running->capacities && running->shapes &&
            running->batches) ||
           cai_fail_memory(error, 0, "an entry");
}

static void bind_states(const cai_trainer *trainer, cai_running *running) {
    const cai_entry *entry = running->entry;
    for (int i = 0; i < entry->program->input_count; i++) {
        constant_shape(&entry->program->inputs[i], running->shapes[i]);
        if (entry->inputs[i].kind == CAI_BIND_STATE)
            running->inputs[i] = trainer->states.data[entry->inputs[i].index];
    }
    for (int i = 0; i < entry->program->output_count; i++)
        if (entry->outputs[i].kind == CAI_BIND_STATE)
            running->outputs[i] = trainer->states.data[entry->outputs[i].index];
}

/* Free sizes of a `once` or `each` set are known before the run, and are those of its
 * sample. */
static bool fit_to_data(const cai_trainer *trainer, cai_running *running, cai_error *error) {
    for (int i = 0; i < running->entry->program->input_count; i++) {
        const cai_binding *binding = &running->entry->inputs[i];
        const cai_port *port = &running->entry->program->inputs[i];
        int64_t sizes[CAI_MAX_RANK];
        bool is_free = false;
        for (int axis = 1; axis < port->rank; axis++) is_free |= port->dims[axis].symbol != -1;
        if (binding->kind != CAI_BIND_FIELD || !is_free ||
            !cai_set_stays(&trainer->training->sets[binding->index]))
            continue;
        if (!cai_dataset_sizes(trainer->sets[binding->index], CAI_PART_TRAINING,
                               cai_trainer_staying(trainer, binding->index), binding->field, sizes, error))
            return false;
        for (int axis = 1; axis < port->rank; axis++) running->shapes[i][axis] = sizes[axis - 1];
    }
    return true;
}

static bool wants_guard(void) {
    const char *guard = getenv("CAI_GUARD");
    return guard && *guard && strcmp(guard, "0") != 0;
}

bool cai_running_open(cai_trainer *trainer, const cai_entry *entry, cai_running *running, cai_error *error) {
    *running = (cai_running){.entry = entry};
    running->context = cai_context_new(entry->program, trainer->pool, error);
    if (!running->context || !reserve_ports_of_entry(running, error) ||
        !find_batches(trainer->training, running, error)) {
        cai_running_close(running);
        return false;
    }
    cai_context_run_by(running->context, wants_guard() ? cai_run_guarded : NULL);
    bind_states(trainer, running);
    if (fit_to_data(trainer, running, error)) return true;
    cai_running_close(running);
    return false;
}

bool cai_running_prepare(cai_running *running, cai_error *error) {
    const cai_entry *entry = running->entry;
    const cai_program *program = entry->program;
    const int64_t *shapes[program->input_count + 1];
    for (int i = 0; i < program->input_count; i++) shapes[i] = running->shapes[i];
    if (!cai_context_prepare(running->context, shapes, error)) return false;
    for (int i = 0; i < program->input_count; i++) {
        const cai_binding *binding = &entry->inputs[i];
        if (binding->kind == CAI_BIND_STATE || binding->kind == CAI_BIND_COLLECTED) continue;
        if (!give_memory(running, &program->inputs[i], &running->inputs[i], &running->capacities[i], error))
            return false;
        if (binding->kind == CAI_BIND_FIELD)
            find_batch(running, binding)->buffers[binding->field] = running->inputs[i];
    }
    for (int i = 0; i < program->output_count; i++) {
        uint64_t *capacity = &running->capacities[program->input_count + i];
        if (entry->outputs[i].kind == CAI_BIND_STATE) continue;
        if (!give_memory(running, &program->outputs[i], &running->outputs[i], capacity, error)) return false;
    }
    return true;
}

bool cai_running_double(cai_running *running, cai_error *error) {
    for (int i = 0; i < running->entry->program->input_count; i++) {
        const cai_binding *binding = &running->entry->inputs[i];
        if (binding->kind != CAI_BIND_FIELD || running->next[i]) continue;
        running->next[i] = aligned_alloc(CAI_ALIGNMENT, running->capacities[i]);
        if (!running->next[i])
            return cai_fail_memory(error, running->capacities[i], running->entry->program->inputs[i].name);
        find_batch(running, binding)->next[binding->field] = running->next[i];
    }
    return true;
}

void cai_running_close(cai_running *running) {
    const cai_program *program = running->entry->program;
    cai_context_free(running->context);
    for (int i = 0; running->capacities && i < program->input_count + program->output_count; i++) {
        bool own = running->capacities[i] > 0;
        if (own)
            free(i < program->input_count ? running->inputs[i] : running->outputs[i - program->input_count]);
    }
    for (int i = 0; running->next && i < program->input_count; i++) free(running->next[i]);
    for (int i = 0; running->batches && i < running->batch_count; i++) {
        free(running->batches[i].buffers);
        free(running->batches[i].next);
    }
    free(running->inputs);
    free(running->next);
    free(running->outputs);
    free(running->capacities);
    free(running->shapes);
    free(running->batches);
    *running = (cai_running){.entry = running->entry};
}

/* ---- a run ---- */

/* A counter's value in the text. */
static float counter_value(const cai_trainer *trainer, int kind, int64_t step) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    switch (kind) {
    case CAI_BIND_STEP: return (float)step;
    case CAI_BIND_EPOCH: return (float)cai_pace_epoch(cai_trainer_pace(trainer, phase), step);
    default: return (float)((double)step / (double)cai_trainer_steps(trainer, trainer->point.phase));
    }
}

static void set_counters(const cai_trainer *trainer, const cai_running *running, int64_t step,
                         uint32_t guards) {
    for (int i = 0; i < running->entry->program->input_count; i++) {
        const cai_binding *binding = &running->entry->inputs[i];
        switch (binding->kind) {
        case CAI_BIND_STEP:
        case CAI_BIND_EPOCH:
        case CAI_BIND_PROGRESS:
            *(float *)running->inputs[i] = counter_value(trainer, binding->kind, step);
            break;
        case CAI_BIND_SCALE: *(float *)running->inputs[i] = (float)trainer->scale; break;
        case CAI_BIND_ACTIVE: *(unsigned char *)running->inputs[i] = guards >> binding->index & 1; break;
        case CAI_BIND_FIRST: *(unsigned char *)running->inputs[i] = trainer->point.item == 0; break;
        default: break;
        }
    }
}

bool cai_running_run(cai_trainer *trainer, cai_running *running, int64_t step, uint32_t guards, int64_t seed,
                     cai_error *error) {
    set_counters(trainer, running, step, guards);
    cai_context_set_guards(running->context, guards);
    return cai_context_run(running->context, (const void *const *)running->inputs, running->outputs, seed,
                           error);
}
