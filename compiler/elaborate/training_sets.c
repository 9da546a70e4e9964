/* The sets of a training as the runtime has them (core/training.h): codegen/ writes them
 * into a trainer, `cai data` hands them to the readers of data sets as they are. */
#include "elaborate/training.h"
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>

static int32_t field_named(const TrainingSet *set, Name name) {
    for (int i = 0; name && i < set->fields.count; i++)
        if (set->fields.items[i].name == name) return i;
    return -1;
}

/* Without the batch's axis; -1 where a size is free. */
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

static cai_field describe_field(Arena *arena, const TrainingSet *set, const TrainingField *field) {
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
                       .on = field_named(set, field->on),
                       .together = field->together,
                       .balanced = field->balanced,
                       .index = field->index,
                       .once = field->once};
}

static cai_set describe_set(Arena *arena, const TrainingSet *set) {
    cai_field *fields = NEW_ARRAY(arena, cai_field, set->fields.count);
    for (int i = 0; i < set->fields.count; i++) fields[i] = describe_field(arena, set, &set->fields.items[i]);
    return (cai_set){.name = set->name,
                     .place = set->place,
                     .fields = fields,
                     .field_count = set->fields.count,
                     .batch = set->batch,
                     .anew = set->anew};
}

const cai_set *training_sets(Arena *arena, const Training *training) {
    cai_set *sets = NEW_ARRAY(arena, cai_set, training->sets.count);
    for (int i = 0; i < training->sets.count; i++) sets[i] = describe_set(arena, &training->sets.items[i]);
    return sets;
}
