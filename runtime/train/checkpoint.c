/* A point of a run as a .safetensors file: all states, row-major and named by their
 * paths, and in its metadata the counters and what the run was made of. The file is
 * written under a temporary name, synced, and renamed; then the folder is synced. Nothing
 * in it depends on the time, the folder or the number of threads, so that equal runs
 * write equal bytes. */
#include "train/train.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

enum { DESCRIPTIONS = 14 };

typedef struct Description { /* the metadata, and space for its texts */
    cai_metadata list[DESCRIPTIONS];
    int count;
    char texts[DESCRIPTIONS][400];
} Description;

static void describe_text(Description *d, const char *key, const char *text) {
    d->list[d->count++] = (cai_metadata){key, text};
}

static void describe_number(Description *d, const char *key, const char *format, ...) CAI_PRINTF(3, 4);
static void describe_number(Description *d, const char *key, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(d->texts[d->count], sizeof d->texts[0], format, arguments);
    va_end(arguments);
    describe_text(d, key, d->texts[d->count]);
}

static void describe_lengths(Description *d, const cai_point *point, int count) {
    char text[sizeof d->texts[0]] = "";
    for (int i = 0, used = 0; i < count && used < (int)sizeof text; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%lld", i ? "," : "",
                         (long long)point->lengths[i]);
    describe_number(d, "lengths", "%s", text);
}

static void describe_point(Description *d, const cai_training *training, const cai_point *point,
                           uint64_t data) {
    describe_text(d, "format", "cai run 1");
    describe_text(d, "block", training->name);
    if (cai_items_set(training) >= 0) describe_number(d, "item", "%lld", (long long)point->item);
    describe_number(d, "phase", "%lld", (long long)point->phase);
    describe_number(d, "step", "%lld", (long long)point->step);
    describe_lengths(d, point, training->phase_count);
    describe_number(d, "parts", "%d", training->parts);
    describe_number(d, "seed", "%llu", (unsigned long long)point->seed);
    describe_number(d, "best", "%.17g", isnan(point->best) ? NAN : point->best); /* NaN without its sign */
    describe_number(d, "since_best", "%lld", (long long)point->since_best);
    describe_number(d, "identity", "%016llx", (unsigned long long)training->identity);
    describe_number(d, "data", "%016llx", (unsigned long long)data);
    describe_text(d, "settings", training->settings ? training->settings : "{}");
    describe_text(d, "target", training->target);
}

cai_tensor cai_state_tensor(const cai_state *state, const void *data) {
    cai_tensor tensor = {.name = state->path,
                         .type = state->type,
                         .rank = state->rank,
                         .count = cai_state_count(state),
                         .data = data};
    for (int i = 0; i < state->rank; i++) tensor.dims[i] = state->dims[i];
    return tensor;
}

#define VALUES "train.values" /* f64[values, 3]; models never read tensors whose names begin with train. */

static cai_tensor tensor_of_values(const cai_value *values, int count) {
    return (cai_tensor){.name = VALUES,
                        .type = CAI_F64,
                        .rank = 2,
                        .dims = {count, 3},
                        .count = 3 * (int64_t)count,
                        .data = (const unsigned char *)values};
}

bool cai_checkpoint_write(const cai_states *states, const cai_point *point, const cai_value *values,
                          uint64_t data, const char *folder, const char *name, cai_error *error) {
    const cai_training *training = states->training;
    Description description = {.count = 0};
    char path[4096];
    cai_tensor *tensors =
        cai_allocate(sizeof *tensors * ((size_t)training->state_count + 2), "a checkpoint", error);
    if (!tensors) return false;
    for (int i = 0; i < training->state_count; i++)
        tensors[i] = cai_state_tensor(&training->states[i], states->data[i]);
    int count = training->state_count;
    if (values) tensors[count++] = tensor_of_values(values, training->phases[point->phase].shown_count);
    describe_point(&description, training, point, data);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    bool done = cai_tensors_write_with(path, tensors, count, description.list, description.count, error) &&
                cai_folder_sync(folder, error);
    free(tensors);
    return done;
}

/* ---- reading ---- */

static bool fail_metadata(const char *path, const char *key, cai_error *error) {
    return cai_fail(error, CAI_BAD_INPUT, "%s: is not a checkpoint of a run: its `%s` is missing or wrong",
                    path, key);
}

static bool read_whole(const cai_tensor_file *file, const char *path, const char *key, int base,
                       uint64_t *value, cai_error *error) {
    const char *text = cai_tensors_metadata(file, key);
    char *end;
    errno = 0;
    *value = text ? strtoull(text, &end, base) : 0;
    return (text && *text && *end == 0 && errno == 0) || fail_metadata(path, key, error);
}

static bool read_lengths(const cai_tensor_file *file, const char *path, int64_t *lengths, int count,
                         cai_error *error) {
    const char *at = cai_tensors_metadata(file, "lengths");
    for (int i = 0; at && i < count; i++) {
        char *end;
        lengths[i] = strtoll(at, &end, 10);
        if (end == at || *end != (i + 1 < count ? ',' : 0)) at = NULL;
        else at = end + 1;
    }
    return at || fail_metadata(path, "lengths", error);
}

static bool read_point(const cai_training *training, const char *path, cai_checkpoint *checkpoint,
                       cai_error *error) {
    const cai_tensor_file *file = &checkpoint->file;
    cai_point *point = &checkpoint->point;
    const char *best = cai_tensors_metadata(file, "best");
    uint64_t item = 0, phase, step, since, parts;
    if (!read_whole(file, path, "identity", 16, &checkpoint->identity, error) ||
        !read_whole(file, path, "data", 16, &checkpoint->data, error) ||
        (cai_tensors_metadata(file, "item") && !read_whole(file, path, "item", 10, &item, error)) ||
        !read_whole(file, path, "phase", 10, &phase, error) ||
        !read_whole(file, path, "step", 10, &step, error) ||
        !read_whole(file, path, "seed", 10, &point->seed, error) ||
        !read_whole(file, path, "since_best", 10, &since, error) ||
        !read_whole(file, path, "parts", 10, &parts, error))
        return false;
    if (!best) return fail_metadata(path, "best", error);
    point->item = (int64_t)item;
    point->phase = (int64_t)phase;
    point->step = (int64_t)step;
    point->since_best = (int64_t)since;
    checkpoint->parts = (int64_t)parts;
    point->best = strtod(best, NULL);
    checkpoint->settings = cai_tensors_metadata(file, "settings");
    checkpoint->target = cai_tensors_metadata(file, "target");
    /* a run of another text, whose phases are others */
    if (checkpoint->identity != training->identity) return true;
    return read_lengths(file, path, point->lengths, training->phase_count, error);
}

bool cai_checkpoint_open(const cai_training *training, const char *path, int64_t *lengths,
                         cai_checkpoint *checkpoint, cai_error *error) {
    *checkpoint = (cai_checkpoint){.point.lengths = lengths};
    if (!cai_tensors_open(path, &checkpoint->file, error)) return false;
    if (read_point(training, path, checkpoint, error)) return true;
    cai_checkpoint_close(checkpoint);
    return false;
}

bool cai_checkpoint_load(const cai_checkpoint *checkpoint, const char *path, cai_states *states,
                         cai_error *error) {
    for (int i = 0; i < states->training->state_count; i++) {
        const cai_state *state = &states->training->states[i];
        const cai_tensor *found = cai_tensors_find(&checkpoint->file, state->path);
        bool same = found && found->type == state->type && found->rank == state->rank;
        for (int axis = 0; same && axis < state->rank; axis++) same = found->dims[axis] == state->dims[axis];
        if (!same)
            return cai_fail(error, CAI_BAD_INPUT, "%s: `%.200s` is missing, or has another type or shape",
                            path, state->path);
        memcpy(states->data[i], found->data, (size_t)(found->count * cai_type_bytes(found->type)));
    }
    return true;
}

void cai_checkpoint_values(const cai_checkpoint *checkpoint, cai_value *values, int count) {
    const cai_tensor *found = cai_tensors_find(&checkpoint->file, VALUES);
    memset(values, 0, sizeof *values * (size_t)count);
    if (found && found->type == CAI_F64 && found->count == 3 * (int64_t)count)
        memcpy(values, found->data, sizeof *values * (size_t)count);
}

void cai_checkpoint_close(cai_checkpoint *checkpoint) { cai_tensors_close(&checkpoint->file); }
