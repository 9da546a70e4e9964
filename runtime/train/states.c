/* The memory of states, and their first values. */
#include "train/train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int64_t cai_state_count(const cai_state *state) {
    int64_t count = 1;
    for (int i = 0; i < state->rank; i++) count *= state->dims[i];
    return count;
}

/* ---- memory ---- */

enum { HUGE_PAGE = 1 << 21 };

/* With the room up to the next. */
static uint64_t bytes_of_state(const cai_state *state) {
    uint64_t bytes = (uint64_t)cai_state_count(state) * (uint64_t)cai_type_bytes(state->type);
    return (bytes + CAI_ALIGNMENT - 1) / CAI_ALIGNMENT * CAI_ALIGNMENT;
}

/* Weights are read in strides of kilobytes where they are packed, so that each read is of
 * a page of its own. What lies behind the last whole huge page has small ones. */
static void *memory_of_states(uint64_t bytes, cai_error *error) {
    void *memory = aligned_alloc(HUGE_PAGE, (bytes / HUGE_PAGE + 1) * HUGE_PAGE);
    if (!memory) cai_fail_memory(error, bytes, "the weights and the states of optimizers");
    else madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return memory;
}

bool cai_states_new(const cai_training *training, cai_states *states, cai_error *error) {
    uint64_t bytes = 0;
    *states = (cai_states){training, calloc((size_t)training->state_count + 1, sizeof *states->data), NULL};
    if (!states->data) return cai_fail_memory(error, 0, "states");
    for (int i = 0; i < training->state_count; i++) bytes += bytes_of_state(&training->states[i]);
    unsigned char *memory = states->memory = memory_of_states(bytes, error);
    for (int i = 0; memory && i < training->state_count; i++) {
        states->data[i] = memory;
        memory += bytes_of_state(&training->states[i]);
    }
    if (!memory) cai_states_free(states);
    return memory;
}

void cai_states_free(cai_states *states) {
    free(states->memory);
    free(states->data);
    *states = (cai_states){0};
}

/* ---- drawing first values ---- */

enum { AT_ONCE = 4096 };

/* Box and Muller: a normally distributed number from two uniform ones. 1 - u is above
 * 0. */
static double normal_number(uint64_t stream, int64_t i) {
    double u = cai_unit(stream, 2 * i), v = cai_unit(stream, 2 * i + 1);
    return sqrt(-2 * log(1 - u)) * cos(2 * M_PI * v);
}

static double start_number(const cai_state *state, uint64_t stream, int64_t i) {
    switch (state->start) {
    case CAI_START_UNIFORM: return state->number * (2 * cai_unit(stream, i) - 1);
    case CAI_START_NORMAL: return state->number * normal_number(stream, i);
    default: return state->number;
    }
}

static bool draw_start(const cai_state *state, uint64_t seed, char *out, cai_error *error) {
    const uint64_t stream = cai_mix(seed ^ state->stream);
    int64_t count = cai_state_count(state);
    for (int64_t first = 0; first < count; first += AT_ONCE) {
        double numbers[AT_ONCE];
        int64_t some = count - first < AT_ONCE ? count - first : AT_ONCE;
        for (int64_t i = 0; i < some; i++) numbers[i] = start_number(state, stream, first + i);
        cai_tensor tensor = {.name = state->path,
                             .type = CAI_F64,
                             .rank = 1,
                             .dims = {some},
                             .count = some,
                             .data = (unsigned char *)numbers};
        if (!cai_tensor_convert(&tensor, state->type, out + first * cai_type_bytes(state->type), error))
            return cai_fail_within(error, "the initial value of %s", state->path);
    }
    return true;
}

/* ---- first values from a file ---- */

typedef struct Loading { /* the file that was opened last; states of one file are consecutive */
    char path[4096];
    cai_tensor_file file;
    bool open;
} Loading;

static bool open_file(Loading *loading, const char *path, size_t length, cai_error *error) {
    if (loading->open && strlen(loading->path) == length && memcmp(loading->path, path, length) == 0)
        return true;
    if (loading->open) cai_tensors_close(&loading->file);
    snprintf(loading->path, sizeof loading->path, "%.*s", (int)length, path);
    loading->open = cai_tensors_open(loading->path, &loading->file, error);
    return loading->open;
}

static bool has_shape(const cai_tensor *tensor, const cai_state *state) {
    bool same = tensor->rank == state->rank;
    for (int axis = 0; same && axis < state->rank; axis++) same = tensor->dims[axis] == state->dims[axis];
    return same;
}

static bool load_state(Loading *loading, const cai_state *state, void *out, cai_error *error) {
    const char *colon = strrchr(state->load, ':'), *name = colon + 1;
    char shape[400];
    if (!open_file(loading, state->load, (size_t)(colon - state->load), error)) return false;
    const cai_tensor *found = cai_tensors_find(&loading->file, name);
    if (!found)
        return cai_fail(error, CAI_BAD_INPUT, "%s: has no `%.200s`, from which `%.200s` is to be loaded",
                        loading->path, name, state->path);
    if (!has_shape(found, state))
        return cai_fail(error, CAI_BAD_INPUT,
                        "%s: `%.200s` is %s, which is not the shape of `%.200s`, which is loaded from it",
                        loading->path, name, cai_tensor_shape_text(found, shape, sizeof shape), state->path);
    return cai_tensor_convert(found, state->type, out, error) ||
           cai_fail_within(error, "%s: %.200s", loading->path, name);
}

static bool load_states(cai_states *states, cai_error *error) {
    Loading loading = {.open = false};
    bool good = true;
    for (int i = 0; i < states->training->state_count && good; i++) {
        const cai_state *state = &states->training->states[i];
        if (state->load) good = load_state(&loading, state, states->data[i], error);
    }
    if (loading.open) cai_tensors_close(&loading.file);
    return good;
}

/* Files are closed before other states are drawn, to keep them out of memory. */
bool cai_states_start(cai_states *states, uint64_t seed, cai_error *error) {
    bool good = load_states(states, error);
    for (int i = 0; i < states->training->state_count && good; i++) {
        const cai_state *state = &states->training->states[i];
        if (!state->load) good = draw_start(state, seed, states->data[i], error);
    }
    return good;
}

bool cai_states_start_optimizers(cai_states *states, uint64_t seed, cai_error *error) {
    bool good = true;
    for (int i = 0; i < states->training->state_count && good; i++)
        if (states->training->states[i].kind == CAI_STATE_OPTIMIZER)
            good = draw_start(&states->training->states[i], seed, states->data[i], error);
    return good;
}

/* ---- checking for infinities and NaN ---- */

static bool is_finite(const cai_state *state, const void *data) {
    int64_t count = cai_state_count(state);
    const cai_tensor tensor = {.type = state->type, .count = count, .data = data};
    for (int64_t first = 0; first < count; first += AT_ONCE) {
        float numbers[AT_ONCE], sum = 0;
        int64_t some = count - first < AT_ONCE ? count - first : AT_ONCE;
        cai_tensor_to_f32(&tensor, first, some, numbers);
        for (int64_t i = 0; i < some; i++) sum += 0 * numbers[i]; /* 0, or NaN if the number is not finite */
        if (sum != 0) return false;
    }
    return true;
}

int cai_states_find_infinite(const cai_states *states) {
    for (int i = 0; i < states->training->state_count; i++) {
        const cai_state *state = &states->training->states[i];
        if (cai_type_is_float(state->type) && !is_finite(state, states->data[i])) return i;
    }
    return -1;
}

void cai_states_copy(cai_states *to, const cai_states *from) {
    for (int i = 0; i < from->training->state_count; i++) {
        const cai_state *state = &from->training->states[i];
        memcpy(to->data[i], from->data[i], (size_t)(cai_state_count(state) * cai_type_bytes(state->type)));
    }
}
