/* model.safetensors.index.json: {"weight_map": {"layer.weight":
 * "model-00001-of-00003.safetensors", ..}}, the index of a model in several files, which
 * are in the same folder. */
#include "weights/table.h"
#include <json-c/json.h>

typedef struct Part {
    const char *name;
    int place; /* index in table->files */
} Part;

typedef struct Shards {
    WeightTable *table;
    Names *names;
    Vec(Part) parts;
    cai_error *error;
} Shards;

/* Only files in the folder of the index are opened, not any file that a path may name. */
static bool is_plain_name(const char *name) { return *name && *name != '.' && !strchr(name, '/'); }

static const char *part_path(Shards *s, const char *name) {
    const char *slash = strrchr(s->table->path, '/');
    int folder = slash ? (int)(slash + 1 - s->table->path) : 0;
    return arena_printf(s->table->arena, "%.*s%s", folder, s->table->path, name);
}

static const cai_tensor_file *open_part(Shards *s, const char *name) {
    for (int i = 0; i < s->parts.count; i++)
        if (strcmp(s->parts.items[i].name, name) == 0) return &s->table->files.items[s->parts.items[i].place];
    cai_tensor_file file;
    if (!is_plain_name(name)) {
        cai_fail(s->error, CAI_BAD_INPUT, "%s: `%.200s` is not the name of a file beside it", s->table->path,
                 name);
        return NULL;
    }
    const char *path = part_path(s, name);
    if (!cai_tensors_open(path, &file, s->error)) {
        cai_fail_within(s->error, "%s, of which one part is missing or broken", s->table->path);
        return NULL;
    }
    vec_push(s->table->arena, &s->parts,
             (Part){arena_printf(s->table->arena, "%s", name), s->table->files.count});
    vec_push(s->table->arena, &s->table->files, file);
    vec_push(s->table->arena, &s->table->parts, path);
    return &vec_last(&s->table->files);
}

static bool take_named(Shards *s, const char *tensor, const char *part) {
    const cai_tensor_file *file = open_part(s, part);
    if (!file) return false;
    const cai_tensor *found = cai_tensors_find(file, tensor);
    if (!found)
        return cai_fail(s->error, CAI_BAD_INPUT, "%s: `%.200s` is not in %s, where the index has it",
                        s->table->path, tensor, part);
    vec_push(s->table->arena, &s->table->tensors, *found);
    return true;
}

bool shards_open(WeightTable *table, cai_error *error) {
    Shards s = {.table = table, .error = error};
    table->what = "the index of several .safetensors";
    json_tokener *tokener = json_tokener_new();
    struct json_object *root = NULL, *map = NULL;
    if (tokener && table->file.count < INT32_MAX)
        root = json_tokener_parse_ex(tokener, (const char *)table->file.data, (int)table->file.count);
    bool good = json_object_is_type(root, json_type_object) &&
                json_object_object_get_ex(root, "weight_map", &map) &&
                json_object_is_type(map, json_type_object);
    if (!good)
        cai_fail(
            error, CAI_BAD_INPUT,
            "%s: is not an index of .safetensors: an index has a weight_map, which says which file has which weight",
            table->path);
    if (good) {
        json_object_object_foreach(map, name, part) {
            if (!good) break;
            good = json_object_is_type(part, json_type_string)
                       ? take_named(&s, name, json_object_get_string(part))
                       : cai_fail(error, CAI_BAD_INPUT, "%s: `%.200s` is in no file", table->path, name);
        }
    }
    json_object_put(root);
    json_tokener_free(tokener);
    return good;
}
