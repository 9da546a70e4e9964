/* Files of torch.save. They consist of a pickle and of storages; tensors in the pickle
 * refer to storages, which hold the elements. Since PyTorch 1.6 such a file is a zip file
 * with data.pkl and a member for each storage; before, it was a sequence of pickles
 * followed by the storages. Tensors are found anywhere in dictionaries, lists and
 * objects, including complete modules, whose classes need not be known. The name of a
 * tensor is the path to it, joined by dots. */
#include "weights/pickle.h"
#include "weights/table.h"

enum {
    MAX_VISITS = 10 * 1000 * 1000, /* of values, since one value may be in many places of a pickle */
    MAX_DEPTH = 100,
    MAX_NAME = 1000
};

typedef struct Storage {
    const char *key; /* as in the pickle */
    int type;
    int64_t count;             /* of elements */
    int64_t member;            /* index in the archive; -1: none */
    const unsigned char *data; /* NULL until it is read */
} Storage;

typedef struct Torch {
    WeightTable *table;
    cai_error *error;
    Archive *archive;   /* NULL: a file from before 1.6 */
    const char *folder; /* within the archive: "archive/" */
    Names *names;
    Map *by_key; /* key -> index in `storages`, plus 1 */
    Vec(Storage) storages;
    int64_t visits;
    bool failed;
} Torch;

/* ---- storages ---- */

/* names of storage classes, and of the types that accompany an untyped storage */
static const struct Kind {
    const char *storage, *type;
    int code;
} kinds[] = {{"FloatStorage", "float32", CAI_F32},
             {"HalfStorage", "float16", CAI_F16},
             {"BFloat16Storage", "bfloat16", CAI_BF16},
             {"DoubleStorage", "float64", CAI_F64},
             {"CharStorage", "int8", CAI_I8},
             {"ShortStorage", "int16", CAI_I16},
             {"IntStorage", "int32", CAI_I32},
             {"LongStorage", "int64", CAI_I64},
             {"ByteStorage", "uint8", CAI_U8},
             {"BoolStorage", "bool", CAI_BOOL},
             {"UntypedStorage", "", CAI_U8},
             {"_UntypedStorage", "", CAI_U8},
             {"", "uint16", CAI_U16},
             {"", "uint32", CAI_U32},
             {"", "uint64", CAI_U64}};

static const char *last_part(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static int type_of_class(const Pickled *class, bool storage) {
    if (class->kind != PICKLE_CLASS || strncmp(class->text, "torch.", 6) != 0) return -1;
    for (int i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(storage ? kinds[i].storage : kinds[i].type, last_part(class->text)) == 0)
            return kinds[i].code;
    return -1;
}

static const Pickled *list_item(const Pickled *list, int i) {
    static const Pickled none = {.kind = PICKLE_NONE};
    return list && list->kind == PICKLE_LIST && i < list->items.count ? list->items.items[i] : &none;
}

/* Finds the storage of an id ("storage", torch.FloatStorage, "0", "cpu", 36864), and
 * returns its index; -1 if it is none that can be read. */
static int64_t find_storage(Torch *t, const Pickled *outside) {
    const Pickled *id = outside->kind == PICKLE_OUTSIDE ? outside->arguments : NULL, *key = list_item(id, 2),
                  *count = list_item(id, 4);
    int type = type_of_class(list_item(id, 1), true);
    if (key->kind != PICKLE_TEXT || count->kind != PICKLE_INT || count->whole < 0 || type < 0) return -1;
    /* a view of another storage, as before PyTorch 0.4 */
    if (list_item(id, 5)->kind == PICKLE_LIST) return -1;
    Name name = intern(t->names, key->text);
    int64_t known = (intptr_t)map_get(t->by_key, name);
    if (known) return known - 1;
    Storage storage = {.key = name, .type = type, .count = count->whole, .member = -1};
    if (t->archive)
        storage.member =
            archive_find(t->archive, arena_printf(t->table->arena, "%sdata/%s", t->folder, name));
    vec_push(t->table->arena, &t->storages, storage);
    map_set(t->by_key, name, (void *)(intptr_t)t->storages.count);
    return t->storages.count - 1;
}

/* ---- tensors ---- */

static bool read_sizes(const Pickled *list, int64_t *sizes, int32_t *rank) {
    if (list->kind == PICKLE_OBJECT) list = list_item(list->arguments, 0); /* torch.Size((2, 3)) */
    if (list->kind != PICKLE_LIST || list->items.count > CAI_MAX_RANK) return false;
    *rank = list->items.count;
    for (int i = 0; i < *rank; i++) {
        if (list_item(list, i)->kind != PICKLE_INT || (sizes[i] = list_item(list, i)->whole) < 0)
            return false;
    }
    return true;
}

/* The index of the last element in the storage; -1 if it exceeds 63 bits. */
static int64_t last_place(const cai_tensor *tensor, const TensorPlace *place) {
    int64_t last = place->offset, step;
    for (int i = 0; i < tensor->rank; i++)
        if (__builtin_mul_overflow(tensor->dims[i] - 1, place->strides[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return -1;
    return last;
}

static const char *why_not(const Torch *t, const cai_tensor *tensor, const TensorPlace *place,
                           int storage_type) {
    const Storage *storage = &t->storages.items[place->storage];
    int64_t room = storage->count;
    /* an untyped storage counts bytes */
    if (storage_type != tensor->type) room = storage->count / cai_type_bytes(tensor->type);
    if (tensor->count == 0) return NULL;
    if (tensor->count > room) return "repeats its elements: save x.contiguous()";
    int64_t last = last_place(tensor, place);
    return place->offset < 0 || last < 0 || last >= room ? "lies outside its storage: the file is broken"
                                                         : NULL;
}

static void add_torch_tensor(Torch *t, const char *name, cai_tensor tensor, TensorPlace place) {
    tensor.name = arena_printf(t->table->arena, "%s", name);
    vec_push(t->table->arena, &t->table->tensors, tensor);
    vec_push(t->table->arena, &t->table->places, place);
}

static void refuse_tensor(Torch *t, const char *name, const char *why) {
    add_torch_tensor(t, name, (cai_tensor){.type = CAI_F32}, (TensorPlace){.storage = -1, .refused = why});
}

/* Adds the tensor of _rebuild_tensor_v2(storage, offset, size, stride, ..). Its type is
 * that of the storage, unless `type` gives another. */
static void take_tensor(Torch *t, const char *name, const Pickled *arguments, const Pickled *type) {
    cai_tensor tensor = {0};
    TensorPlace place = {.storage = find_storage(t, list_item(arguments, 0)),
                         .offset = list_item(arguments, 1)->whole};
    int32_t strides = 0;
    if (place.storage < 0) {
        refuse_tensor(t, name, "has elements of a type that cai does not read");
        return;
    }
    const int storage_type = t->storages.items[place.storage].type;
    tensor.type = type ? type_of_class(type, false) : storage_type;
    bool sized = read_sizes(list_item(arguments, 2), tensor.dims, &tensor.rank) &&
                 read_sizes(list_item(arguments, 3), place.strides, &strides);
    uint64_t bytes;
    if (tensor.type < 0)
        place.refused = "has elements of a type that cai does not read", tensor.type = CAI_F32;
    else if (!sized || strides != tensor.rank || list_item(arguments, 1)->kind != PICKLE_INT ||
             !cai_tensor_count(&tensor, &bytes))
        place.refused = "has no sizes that can be read: the file is broken", tensor.rank = 0;
    else place.refused = why_not(t, &tensor, &place, storage_type);
    add_torch_tensor(t, name, tensor, place);
}

/* ---- the search for tensors ---- */

typedef struct Way { /* the path to a value */
    const struct Way *before;
    const char *name; /* NULL: this level adds nothing to the name */
    int depth;
} Way;

static size_t write_way(const Way *way, char *out, size_t room) {
    if (!way) return 0;
    size_t used = write_way(way->before, out, room);
    if (!way->name || used >= room) return used;
    return used + (size_t)snprintf(out + used, room - used, "%s%s", used ? "." : "", way->name);
}

static void walk_pickled(Torch *t, Pickled *value, const Way *way);

static void walk_below(Torch *t, Pickled *value, const Way *way, const char *name) {
    const Way below = {way, name, way ? way->depth + 1 : 0};
    walk_pickled(t, value, &below);
}

static bool is_module_part(const char *name) {
    return strcmp(name, "_parameters") == 0 || strcmp(name, "_buffers") == 0 || strcmp(name, "_modules") == 0;
}

/* inside: the items are attributes of an object. The three dictionaries of a module add
 * nothing to names. */
static void walk_items(Torch *t, const Pickled *dict, const Way *way, bool inside) {
    for (int i = 0; i + 1 < dict->items.count && !t->failed; i += 2) {
        const Pickled *key = dict->items.items[i];
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)key->whole);
        const char *name = key->kind == PICKLE_TEXT ? key->text : key->kind == PICKLE_INT ? number : NULL;
        if (name) walk_below(t, dict->items.items[i + 1], way, inside && is_module_part(name) ? NULL : name);
    }
}

static void walk_list(Torch *t, const Pickled *list, const Way *way) {
    for (int i = 0; i < list->items.count && !t->failed; i++) {
        char number[24];
        snprintf(number, sizeof number, "%d", i);
        walk_below(t, list->items.items[i], way, number);
    }
}

/* The name of the PyTorch function that makes a value, without `torch._utils.` and the
 * like; "" if it is none of PyTorch's. */
static const char *torch_function(const Pickled *made_by) {
    bool known = made_by && made_by->kind == PICKLE_CLASS && strncmp(made_by->text, "torch.", 6) == 0;
    return known ? last_part(made_by->text) : "";
}

static void walk_object(Torch *t, const Pickled *object, const Way *way) {
    static const struct Refused {
        const char *made_by, *why;
    } refused[] = {{"_rebuild_qtensor", "is quantized: save x.dequantize()"},
                   {"_rebuild_sparse_tensor", "is sparse: save x.to_dense()"},
                   {"_rebuild_meta_tensor_no_storage", "is on the device `meta`, without elements"}};
    char name[MAX_NAME] = "";
    write_way(way, name, sizeof name);
    const Pickled *arguments = object->arguments;
    const char *function = torch_function(object->made_by);
    if (strcmp(function, "_rebuild_from_type_v2") == 0) { /* (function, class, arguments, state) */
        function = torch_function(list_item(arguments, 0));
        arguments = list_item(arguments, 2);
    }
    if (strcmp(function, "_rebuild_tensor_v2") == 0 || strcmp(function, "_rebuild_tensor") == 0) {
        take_tensor(t, name, arguments, NULL);
    } else if (strcmp(function, "_rebuild_tensor_v3") == 0) {
        take_tensor(t, name, arguments, list_item(arguments, 6));
    } else if (strncmp(function, "_rebuild_parameter", 18) == 0) {
        walk_below(t, (Pickled *)list_item(arguments, 0), way, NULL);
    } else {
        for (int i = 0; i < COUNT_OF(refused); i++)
            if (strcmp(function, refused[i].made_by) == 0) refuse_tensor(t, name, refused[i].why);
        walk_items(t, object, way, false);
        const Pickled *state = object->state;
        if (state && state->kind == PICKLE_LIST)
            state = list_item(state, 1)->kind == PICKLE_DICT ? list_item(state, 1) : list_item(state, 0);
        if (state && state->kind == PICKLE_DICT) walk_items(t, state, way, true);
    }
}

static void walk_pickled(Torch *t, Pickled *value, const Way *way) {
    bool holds = value->kind == PICKLE_DICT || value->kind == PICKLE_LIST || value->kind == PICKLE_OBJECT;
    if (!holds || value->open || t->failed || (way && way->depth > MAX_DEPTH)) return;
    if (++t->visits > MAX_VISITS) {
        t->failed = !cai_fail(t->error, CAI_BAD_INPUT, "%s: has over %d values: save the state_dict alone",
                              t->table->path, MAX_VISITS);
        return;
    }
    value->open = true;
    if (value->kind == PICKLE_DICT) walk_items(t, value, way, false);
    else if (value->kind == PICKLE_LIST) walk_list(t, value, way);
    else walk_object(t, value, way);
    value->open = false;
}

static bool find_tensors(Torch *t, Pickled *root) {
    walk_pickled(t, root, NULL);
    if (t->failed) return false;
    if (t->table->tensors.count > 0) return true;
    return cai_fail(t->error, CAI_BAD_INPUT,
                    "%s: %s has no tensor that cai can read: save the model's state_dict()", t->table->path,
                    t->table->what);
}

/* ---- elements ---- */

static bool is_dense(const cai_tensor *tensor, const TensorPlace *place) {
    int64_t stride = 1;
    for (int i = tensor->rank - 1; i >= 0; stride *= tensor->dims[i--])
        if (tensor->dims[i] != 1 && place->strides[i] != stride) return false;
    return true;
}

static bool read_storage(Torch *t, Storage *storage) {
    if (storage->data) return true;
    if (storage->member < 0)
        return cai_fail(t->error, CAI_BAD_INPUT, "%s: has no member %sdata/%s: the file is broken",
                        t->table->path, t->folder, storage->key);
    if (archive_bytes(t->archive, storage->member) / cai_type_bytes(storage->type) < storage->count)
        return cai_fail(t->error, CAI_BAD_INPUT, "%s: its member %sdata/%s is cut off", t->table->path,
                        t->folder, storage->key);
    storage->data = archive_read(t->archive, storage->member, t->table, t->error);
    return storage->data != NULL;
}

static bool torch_read(WeightTable *table, int64_t index, cai_error *error) {
    Torch *t = table->archive;
    t->error = error;
    cai_tensor *tensor = &table->tensors.items[index];
    const TensorPlace *place = &table->places.items[index];
    Storage *storage = &t->storages.items[place->storage];
    static const unsigned char nothing[1];
    if (tensor->count == 0) {
        tensor->data = nothing;
        return true;
    }
    if (!read_storage(t, storage)) return false;
    const int64_t bytes = cai_type_bytes(tensor->type);
    const unsigned char *first = storage->data + place->offset * bytes;
    if (is_dense(tensor, place)) {
        tensor->data = first;
        return true;
    }
    unsigned char *dense = weight_table_block(table, (uint64_t)(tensor->count * bytes), error);
    if (dense) gather_elements(tensor, place->strides, first, dense);
    tensor->data = dense;
    return dense != NULL;
}

static void torch_close(WeightTable *table) { archive_close(((Torch *)table->archive)->archive); }

static Torch *torch_new(WeightTable *table, const char *what, cai_error *error) {
    Torch *t = NEW(table->arena, Torch);
    *t = (Torch){.table = table, .error = error, .archive = table->archive, .folder = ""};
    t->names = names_new(table->arena);
    t->by_key = map_new(table->arena);
    table->archive = t;
    table->what = what;
    table->nested = true;
    table->read = torch_read;
    table->close = torch_close;
    return t;
}

/* ---- zip files ---- */

static const char *folder_of_pickle(Torch *t, int64_t *member) {
    for (*member = 0; *member < archive_count(t->archive); ++*member) {
        const char *name = archive_name(t->archive, *member), *base = strrchr(name, '/');
        if (base && strcmp(base, "/data.pkl") == 0)
            return arena_strndup(t->table->arena, name, (size_t)(base + 1 - name));
    }
    return NULL;
}

static bool is_little_endian(Torch *t) {
    int64_t member = archive_find(t->archive, arena_printf(t->table->arena, "%sbyteorder", t->folder));
    const unsigned char *order = member < 0 ? NULL : archive_read(t->archive, member, t->table, t->error);
    return member < 0 ||
           (order && archive_bytes(t->archive, member) >= 6 && memcmp(order, "little", 6) == 0) ||
           cai_fail(t->error, CAI_BAD_INPUT, "%s: was saved on a big-endian machine, which cai does not read",
                    t->table->path);
}

bool torch_archive_open(WeightTable *table, cai_error *error) {
    Torch *t = torch_new(table, "a PyTorch checkpoint", error);
    int64_t member;
    size_t at = 0;
    t->folder = folder_of_pickle(t, &member);
    if (archive_find(t->archive, arena_printf(table->arena, "%sconstants.pkl", t->folder)) >= 0)
        table->what = "a TorchScript file";
    const unsigned char *pickle = is_little_endian(t) ? archive_read(t->archive, member, table, error) : NULL;
    Pickled *root = pickle ? pickle_read(table->arena, table->path, pickle,
                                         (size_t)archive_bytes(t->archive, member), &at, error)
                           : NULL;
    return root && find_tensors(t, root);
}

/* ---- files from before 1.6: magic number, protocol, machine, the object, keys of storages, storages ---- */

static bool place_storages(Torch *t, const Pickled *keys, size_t at) {
    const cai_file *file = &t->table->file;
    for (int i = 0; keys->kind == PICKLE_LIST && i < keys->items.count; i++) {
        int64_t count,
            known = (intptr_t)map_get(
                t->by_key,
                intern(t->names, list_item(keys, i)->kind == PICKLE_TEXT ? list_item(keys, i)->text : ""));
        if (known == 0)
            return cai_fail(
                t->error, CAI_BAD_INPUT,
                "%s: has a storage that no tensor uses, so that the storages after it cannot be found",
                t->table->path);
        Storage *storage = &t->storages.items[known - 1];
        if (file->count - at >= sizeof count) memcpy(&count, file->data + at, sizeof count);
        bool whole =
            file->count - at >= sizeof count && count == storage->count &&
            (uint64_t)count <= (file->count - at - sizeof count) / (uint64_t)cai_type_bytes(storage->type);
        if (!whole)
            return cai_fail(t->error, CAI_BAD_INPUT,
                            "%s: is cut off, or broken: storage %s is not where it should be", t->table->path,
                            storage->key);
        storage->data = file->data + at + sizeof count;
        at += sizeof count + (size_t)(count * cai_type_bytes(storage->type));
    }
    return true;
}

bool torch_old_open(WeightTable *table, cai_error *error) {
    enum { MAGIC, PROTOCOL, MACHINE, OBJECT, KEYS, PICKLES };
    Torch *t = torch_new(table, "a PyTorch checkpoint from before 1.6", error);
    Pickled *parts[PICKLES];
    size_t at = 0;
    for (int i = 0; i < PICKLES; i++)
        if (!(parts[i] =
                  pickle_read(table->arena, table->path, table->file.data, table->file.count, &at, error)))
            return false;
    const Pickled *little = pickle_get(parts[MACHINE], "little_endian");
    if (little && little->whole == 0)
        return cai_fail(error, CAI_BAD_INPUT,
                        "%s: was saved on a big-endian machine, which cai does not read", table->path);
    return find_tensors(t, parts[OBJECT]) && place_storages(t, parts[KEYS], at);
}
