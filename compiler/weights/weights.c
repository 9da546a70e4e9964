/* Finds trained weights by name. A weight is read from the file that was given for the
 * longest prefix of its path; files on the command line take precedence over those of
 * `load`. Loading is strict: every weight of the built model has a value of its shape,
 * and every tensor of a file belongs to a weight. */
#include "weights/fit.h"
#include "weights/weights.h"
#include <ctype.h>
#include <libgen.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LISTED_MAX 50                   /* names listed in one error */
#define MAX_ELEMENTS ((int64_t)1 << 31) /* of all weights together: 8.6 GB in f32, the limit of a program */

typedef struct FileEntry { /* a file, and the path that its names are below */
    const char *prefix;    /* "" for all */
    const char *path;
    Span span; /* of the `load`; empty for the command line */
    WeightTable table;
    /* the name in the table below which its weights are: "", except for checkpoints and
     * FILE:PATH */
    const char *below;
    Map *by_name; /* Name -> index in the table, plus 1 */
} FileEntry;

typedef struct WantedWeight { /* a weight of one of the models */
    WeightInfo info;
    bool needed;             /* by the model that is built */
    int owner;               /* the entry that must have it; -1: none */
    const cai_tensor *value; /* once found */
    bool misshapen;
    bool reported; /* it has NaN or infinity, which was reported */
} WantedWeight;

struct Weights {
    Arena *arena;
    Names *names;
    Diagnostics *diag;
    Vec(FileEntry) entries;
    Vec(WantedWeight) wanted;
    Map *by_path; /* Name -> index in wanted, plus 1 */
    Vec(const char *) unused;
    const char *rename; /* the file of --rename, or NULL */
    bool random;
    uint64_t seed;
};

/* ---- the weights that are wanted, and their files ---- */

static void collect_wanted(Weights *w, Model *const *models, int count, int built) {
    for (int m = 0; m < count; m++) {
        for (int i = 0; i < models[m]->weights.count; i++) {
            Name path = models[m]->weights.items[i].path;
            intptr_t place = (intptr_t)map_get(w->by_path, path);
            if (!place) {
                vec_push(w->arena, &w->wanted,
                         (WantedWeight){.info = models[m]->weights.items[i], .owner = -1});
                map_set(w->by_path, path, (void *)(place = w->wanted.count));
            }
            if (m == built) w->wanted.items[place - 1].needed = true;
        }
        for (int i = 0; i < models[m]->unused.count; i++)
            vec_push(w->arena, &w->unused, models[m]->unused.items[i]);
    }
}

static bool fits_program(const Weights *w) {
    int64_t total = 0, count;
    for (int i = 0; i < w->wanted.count; i++) {
        const WeightInfo *info = &w->wanted.items[i].info;
        if (!w->wanted.items[i].needed || !shape_element_count(info->shape, &count)) continue;
        total += count;
        if (total <= MAX_ELEMENTS) continue;
        diag_error(w->diag, DIAG_weights_too_large, info->span,
                   "the weights up to `%s`, %s, have over %lld elements, the most that a program can hold",
                   info->path, shape_string(w->arena, info->shape), (long long)MAX_ELEMENTS);
        return false;
    }
    return true;
}

static WantedWeight *find_wanted(Weights *w, const char *path) {
    intptr_t place = (intptr_t)map_get(w->by_path, intern(w->names, path));
    return place ? &w->wanted.items[place - 1] : NULL;
}

static bool has_prefix(const Weights *w, const char *prefix) {
    for (int i = 0; i < w->entries.count; i++)
        if (strcmp(w->entries.items[i].prefix, prefix) == 0) return true;
    return false;
}

/* The file of a `load` is relative to the .cai file. */
static const char *path_beside(Arena *arena, Span span, const char *file) {
    if (file[0] == '/' || !span.source) return file;
    const char *folder = dirname(arena_printf(arena, "%s", span.source->path));
    return strcmp(folder, ".") == 0 ? file : arena_printf(arena, "%s/%s", folder, file);
}

const char *weights_path(Arena *arena, const char *file, const char **below) {
    static const char ending[] = ".safetensors:";
    const char *found = strstr(file, ending);
    *below = found ? found + sizeof ending - 1 : "";
    return found ? arena_strndup(arena, file, strlen(file) - strlen(*below) - 1) : file;
}

static FileEntry entry_of_file(Arena *arena, const char *prefix, const char *file, Span span) {
    FileEntry entry = {.prefix = prefix, .span = span};
    entry.path = path_beside(arena, span, weights_path(arena, file, &entry.below));
    return entry;
}

static void collect_entries(Weights *w, Model *const *models, int count, const WeightOptions *options) {
    for (int i = 0; i < options->file_count; i++) {
        const char *prefix = options->files[i].prefix ? options->files[i].prefix : "";
        vec_push(w->arena, &w->entries, entry_of_file(w->arena, prefix, options->files[i].file, (Span){0}));
    }
    for (int m = 0; m < count; m++) {
        for (int i = 0; i < models[m]->loads.count; i++) {
            LoadInfo load = models[m]->loads.items[i];
            if (has_prefix(w, load.prefix)) continue;
            vec_push(w->arena, &w->entries, entry_of_file(w->arena, load.prefix, load.file, load.span));
        }
    }
}

/* Whether `path` is `prefix` or is below it. */
static bool is_below(const char *path, const char *prefix) {
    size_t length = strlen(prefix);
    return length == 0 || (strncmp(path, prefix, length) == 0 && (path[length] == '.' || path[length] == 0));
}

static void find_weight_owners(Weights *w) {
    for (int i = 0; i < w->wanted.count; i++) {
        size_t longest = 0;
        for (int e = 0; e < w->entries.count; e++) {
            size_t length = strlen(w->entries.items[e].prefix);
            if (!is_below(w->wanted.items[i].info.path, w->entries.items[e].prefix)) continue;
            if (w->wanted.items[i].owner >= 0 && length <= longest) continue;
            w->wanted.items[i].owner = e;
            longest = length;
        }
    }
}

/* The beginning of a weight's path that is most similar to `prefix`. */
static const char *nearest_part(Weights *w, const char *prefix) {
    Vec(const char *) parts = {0};
    for (int i = 0; i < w->wanted.count; i++) {
        const char *path = w->wanted.items[i].info.path;
        vec_push(w->arena, &parts, arena_strndup(w->arena, path, strcspn(path, ".")));
    }
    return nearest_name(prefix, parts.items, parts.count);
}

static bool has_weights(const Weights *w, const char *prefix) {
    for (int i = 0; i < w->wanted.count; i++)
        if (is_below(w->wanted.items[i].info.path, prefix)) return true;
    return false;
}

/* Checks that no two files are for the same part of the models. */
static bool check_prefixes(Weights *w) {
    bool good = true;
    for (int i = 0; i < w->entries.count; i++) {
        const FileEntry *entry = &w->entries.items[i];
        for (int k = 0; k < i; k++) {
            if (strcmp(entry->prefix, w->entries.items[k].prefix) != 0 || entry->span.source) continue;
            Diagnostic *d =
                diag_error(w->diag, DIAG_weights_path, entry->span, "%s and %s are for the same weights",
                           w->entries.items[k].path, entry->path);
            diag_help(w->diag, d, "each file is for a path: --weights encoder=FILE");
            good = false;
        }
        if (has_weights(w, entry->prefix)) continue;
        good = false;
        if (w->wanted.count == 0) {
            diag_error(w->diag, DIAG_weights_path, entry->span,
                       "%s cannot be used: the models have no weights", entry->path);
            continue;
        }
        Diagnostic *d = diag_error(w->diag, DIAG_weights_path, entry->span, "there are no weights below `%s`",
                                   entry->prefix);
        const char *near = nearest_part(w, entry->prefix);
        if (near) diag_help(w->diag, d, "did you mean `%s`?", near);
        else diag_help(w->diag, d, "the first weight is `%s`", w->wanted.items[0].info.path);
    }
    return good;
}

static Map *index_tensors(Weights *w, const WeightTable *table) {
    Map *by_name = map_new(w->arena);
    for (int i = 0; i < table->tensors.count; i++)
        map_set(by_name, intern(w->names, table->tensors.items[i].name), (void *)(intptr_t)(i + 1));
    return by_name;
}

static bool open_entries(Weights *w) {
    bool good = true;
    for (int i = 0; i < w->entries.count; i++) {
        cai_error error;
        FileEntry *entry = &w->entries.items[i];
        if (weight_table_open(entry->path, &entry->table, &error)) {
            entry->by_name = index_tensors(w, &entry->table);
            continue;
        }
        diag_error(w->diag, DIAG_weights_file, entry->span, "%s", error.message);
        good = false;
    }
    return good;
}

/* ---- matching one file ---- */

typedef Vec(const char *) Lines;
typedef struct Mismatch { /* what one file has too much, and what it lacks */
    Lines missing, unexpected, misshapen, too_large;
    Lines unexpected_names;
    bool unreadable; /* a tensor could not be read, which was reported */
} Mismatch;

static bool is_ignored(const char *name) {
    static const char counter[] = "num_batches_tracked";
    size_t length = strlen(name), tail = sizeof counter - 1;
    return length >= tail && strcmp(name + length - tail, counter) == 0;
}

/* A checkpoint of `cai train` may have tensors that no model reads: moments of
 * optimizers, networks that only take part in training. */
static bool is_checkpoint(const FileEntry *entry) {
    const char *format =
        entry->table.files.count == 1 ? cai_tensors_metadata(&entry->table.files.items[0], "format") : NULL;
    return format && strncmp(format, "cai run ", 8) == 0;
}

static bool is_excused(const Weights *w, const char *path) {
    for (int i = 0; i < w->unused.count; i++)
        if (pattern_matches(w->unused.items[i], path)) return true;
    return false;
}

bool tensor_has_shape(const cai_tensor *tensor, Shape shape) {
    if (tensor->rank != shape.rank) return false;
    for (int i = 0; i < shape.rank; i++)
        if (!dim_is_const(shape.dims[i], NULL) || dim_const_value(shape.dims[i]) != tensor->dims[i])
            return false;
    return true;
}

/* The indices of element `index`: [1, 0, 2]. */
static const char *element_place_text(Arena *arena, const cai_tensor *tensor, int64_t index) {
    const char *place = "]";
    for (int axis = tensor->rank - 1; axis >= 0; index /= tensor->dims[axis--])
        place = arena_printf(arena, "%s%lld%s", axis ? ", " : "[", (long long)(index % tensor->dims[axis]),
                             place);
    return tensor->rank ? place : "[]";
}

enum { PART = 4096 }; /* elements that are converted and checked while they are in the cache */

/* The first element that does not fit into the integer type; -1: none. */
static int64_t first_beyond(const cai_tensor *tensor, DType type) {
    int64_t block[PART];
    for (int64_t first = 0; first < tensor->count; first += PART) {
        int64_t count = min_i64(PART, tensor->count - first);
        cai_tensor_to_i64(tensor, first, count, block);
        for (int64_t i = 0; i < count; i++)
            if (!number_fits(block[i], type) || (tensor->type == CAI_U64 && block[i] < 0)) return first + i;
    }
    return -1;
}

static const char *int_text(Arena *arena, const cai_tensor *tensor, int64_t index) {
    int64_t value;
    cai_tensor_to_i64(tensor, index, 1, &value);
    bool is_unsigned = tensor->type == CAI_U64;
    return is_unsigned ? arena_printf(arena, "%llu", (unsigned long long)value)
                       : arena_printf(arena, "%lld", (long long)value);
}

/* Takes the values of a tensor with the weight's shape; both are floats, or both
 * integers. Integers must fit exactly. */
static void take_values(Weights *w, WantedWeight *wanted, const cai_tensor *tensor, Mismatch *mismatch) {
    DType type = wanted->info.shape.type;
    int64_t beyond = dtype_is_float(type) ? -1 : first_beyond(tensor, type);
    wanted->value = tensor;
    if (beyond >= 0)
        vec_push(w->arena, &mismatch->too_large,
                 arena_printf(w->arena, "%s is %s at %s, which does not fit into %s", wanted->info.path,
                              int_text(w->arena, tensor, beyond),
                              element_place_text(w->arena, tensor, beyond), dtype_name(type)));
}

/* ---- weights that lines of --rename make of tensors ---- */

/* The tensors below a name of the file: "" or "state_dict". */
typedef struct Below {
    Weights *w;
    FileEntry *entry;
    const char *name;
} Below;

/* The index in the table, or -1. */
static int find_below(const Below *below, const char *name) {
    Weights *w = below->w;
    const char *full = *below->name ? arena_printf(w->arena, "%s.%s", below->name, name) : name;
    return (int)(intptr_t)map_get(below->entry->by_name, intern(w->names, full)) - 1;
}

static bool has_below(void *context, const char *name) { return find_below(context, name) >= 0; }

typedef struct Offer {
    FileEntry *entry;
    const char *path; /* of the weight */
    const Renamed *made;
    int indices[RENAME_MAX]; /* in the table */
} Offer;
typedef Vec(Offer) OfferList;

/* The weights that are made of the tensor `name` below `below`. */
static OfferList offers_of(const Below *below, const Renames *renames, const char *name) {
    Weights *w = below->w;
    OfferList offers = {0};
    RenamedList *made = NEW(w->arena, RenamedList);
    if (is_ignored(name)) return offers;
    renames_apply(renames, w->arena, name, has_below, (void *)below, made);
    for (int i = 0; i < made->count; i++) {
        Offer offer = {.entry = below->entry, .path = made->items[i].ours, .made = &made->items[i]};
        if (*below->entry->prefix)
            offer.path = arena_printf(w->arena, "%s.%s", below->entry->prefix, offer.path);
        for (int k = 0; k < offer.made->count; k++)
            offer.indices[k] = find_below(below, offer.made->theirs[k]);
        vec_push(w->arena, &offers, offer);
    }
    return offers;
}

static const cai_tensor *offered_tensor(const Offer *offer, int i) {
    return &offer->entry->table.tensors.items[offer->indices[i]];
}

static TransformPlace place_of_offer(const Offer *offer) {
    TransformPlace at = {.count = offer->made->count, .part = offer->made->part, .parts = offer->made->parts};
    for (int i = 0; i < at.count; i++) at.theirs[i] = offered_tensor(offer, i);
    return at;
}

/* Computes type and sizes of a made weight; false if the tensors do not fit. */
static bool offer_sizes(const Offer *offer, cai_tensor *tensor) {
    const TransformPlace at = place_of_offer(offer);
    *tensor = *at.theirs[0];
    return !offer->made->transform || transform_sizes(offer->made->transform, &at, tensor);
}

static bool offer_is_known(const Offer *offer, cai_error *error) {
    for (int i = 0; i < offer->made->count; i++)
        if (!weight_table_knows(&offer->entry->table, offer->indices[i], error)) return false;
    return true;
}

/* NULL with *error. */
static const cai_tensor *offer_values(Weights *w, const Offer *offer, cai_error *error) {
    WeightTable *table = &offer->entry->table;
    for (int i = 0; i < offer->made->count; i++)
        if (!weight_table_read(table, offer->indices[i], error)) return NULL;
    if (!offer->made->transform) return offered_tensor(offer, 0);
    const TransformPlace at = place_of_offer(offer);
    cai_tensor made;
    if (!offer_sizes(offer, &made)) return NULL;
    unsigned char *block =
        weight_table_block(table, (uint64_t)(made.count * cai_type_bytes(made.type)), error);
    if (!block) return NULL;
    transform_elements(offer->made->transform, &at, &made, block);
    made.data = block;
    return arena_copy(w->arena, &made, sizeof made);
}

/* Suggests how to make the shapes equal, if that can be seen. */
static const char *shape_cure(const cai_tensor *tensor, Shape shape) {
    cai_tensor turned;
    bool fits = !tensor_has_shape(tensor, shape) && transpose_fits(tensor, &turned) &&
                tensor_has_shape(&turned, shape);
    return fits ? "; its transpose would fit: `THEIRS -> OURS [transpose]` in the file of --rename" : "";
}

static void refuse_shape(Weights *w, WantedWeight *wanted, const cai_tensor *tensor, bool turned,
                         Mismatch *mismatch) {
    char found[400];
    cai_tensor_shape_text(tensor, found, sizeof found);
    wanted->misshapen = true;
    vec_push(
        w->arena, &mismatch->misshapen,
        turned
            ? arena_printf(w->arena, "%s is %s in the file, and %s in the model%s", wanted->info.path, found,
                           shape_string(w->arena, wanted->info.shape), shape_cure(tensor, wanted->info.shape))
            : arena_printf(w->arena, "%s is %s in the file, which cannot be transformed as --rename says",
                           wanted->info.path, found));
}

static void refuse_reading(Weights *w, WantedWeight *wanted, const Offer *offer, const cai_error *error,
                           Mismatch *mismatch) {
    wanted->misshapen = mismatch->unreadable = true;
    diag_error(w->diag, DIAG_weights_file, offer->entry->span, "%s", error->message);
}

static bool has_kind(const cai_tensor *tensor, Shape shape) {
    return tensor_has_shape(tensor, shape) && cai_type_is_float(tensor->type) == dtype_is_float(shape.type);
}

static void take_weight(Weights *w, WantedWeight *wanted, const Offer *offer, Mismatch *mismatch) {
    cai_error error;
    cai_tensor tensor;
    const cai_tensor *values;
    bool turned = offer_sizes(offer, &tensor);
    if (wanted->value)
        vec_push(w->arena, &mismatch->misshapen, arena_printf(w->arena, "%s comes twice", wanted->info.path));
    else if (!offer_is_known(offer, &error)) refuse_reading(w, wanted, offer, &error, mismatch);
    else if (!turned || !has_kind(&tensor, wanted->info.shape))
        refuse_shape(w, wanted, &tensor, turned, mismatch);
    else if (!(values = offer_values(w, offer, &error))) refuse_reading(w, wanted, offer, &error, mismatch);
    else take_values(w, wanted, values, mismatch);
}

static void add_unexpected(Weights *w, const Offer *offer, Mismatch *mismatch) {
    char shape[400];
    cai_tensor_shape_text(offered_tensor(offer, 0), shape, sizeof shape);
    vec_push(w->arena, &mismatch->unexpected, arena_printf(w->arena, "%s %s", offer->path, shape));
    vec_push(w->arena, &mismatch->unexpected_names, offer->path);
}

static void match_entry(Weights *w, int number, const Renames *renames, Mismatch *mismatch) {
    FileEntry *entry = &w->entries.items[number];
    const Below below = {w, entry, entry->below};
    for (int i = 0; i < entry->table.tensors.count; i++) {
        const char *name = name_below(entry->table.tensors.items[i].name, entry->below);
        OfferList offers = {0};
        if (name) offers = offers_of(&below, renames, name);
        for (int k = 0; k < offers.count; k++) {
            const Offer *offer = &offers.items[k];
            WantedWeight *wanted = find_wanted(w, offer->path);
            if (wanted && wanted->owner == number) take_weight(w, wanted, offer, mismatch);
            else if (!wanted && !is_checkpoint(entry) && !is_excused(w, offer->path))
                add_unexpected(w, offer, mismatch);
        }
    }
}

static void list_missing(Weights *w, int number, Mismatch *mismatch) {
    for (int i = 0; i < w->wanted.count; i++) {
        const WantedWeight *wanted = &w->wanted.items[i];
        if (!wanted->needed || wanted->owner != number || wanted->value || wanted->misshapen) continue;
        bool listed = mismatch->missing.count < LISTED_MAX;
        const char *near = listed ? nearest_name(wanted->info.path, mismatch->unexpected_names.items,
                                                 mismatch->unexpected_names.count)
                                  : NULL;
        const char *shape = shape_string(w->arena, wanted->info.shape);
        vec_push(w->arena, &mismatch->missing,
                 near ? arena_printf(w->arena, "%s %s (the file has %s)", wanted->info.path, shape, near)
                      : arena_printf(w->arena, "%s %s", wanted->info.path, shape));
    }
}

/* ---- where the weights are in a checkpoint ---- */

typedef struct Seeker {
    Weights *w;
    int number; /* of the entry */
    const Renames *renames;
} Seeker;

/* `name` is the end of tensor->name, after a dot. */
static bool is_wanted_tensor(void *context, const char *name, const cai_tensor *tensor) {
    const Seeker *s = context;
    const size_t before = strlen(tensor->name) - strlen(name);
    const Below below = {s->w, &s->w->entries.items[s->number],
                         before ? arena_strndup(s->w->arena, tensor->name, before - 1) : ""};
    const OfferList offers = offers_of(&below, s->renames, name);
    for (int i = 0; i < offers.count; i++) {
        cai_tensor made;
        const WantedWeight *wanted = find_wanted(s->w, offers.items[i].path);
        if (wanted && wanted->owner == s->number && offer_sizes(&offers.items[i], &made) &&
            tensor_has_shape(&made, wanted->info.shape))
            return true;
    }
    return false;
}

/* Chooses the name in the file below which the weights are, and reports the choice. */
static void choose_weight_place(Weights *w, int number, const Renames *renames) {
    FileEntry *entry = &w->entries.items[number];
    if (!entry->table.nested) return;
    Seeker seeker = {w, number, renames};
    WeightFit fit = weights_fit(w->arena, &entry->table, is_wanted_tensor, &seeker);
    entry->below = fit.below;
    if (!*fit.below) return;
    Diagnostic *d = diag_remark(w->diag, DIAG_weights_chosen, entry->span,
                                "%s: the weights are those below `%s`: %lld of %lld tensors", entry->path,
                                fit.below, (long long)fit.fitting, (long long)entry->table.tensors.count);
    if (fit.also) diag_note(w->diag, d, (Span){0}, "those below `%s` would fit as well", fit.also);
}

/* ---- reporting mismatches ---- */

static Diagnostic *report_list(Weights *w, const FileEntry *entry, DiagCode code, const char *what,
                               const Lines *lines) {
    if (lines->count == 0) return NULL;
    Diagnostic *d =
        diag_error(w->diag, code, entry->span, what, entry->path, lines->count, lines->count == 1 ? "" : "s");
    for (int i = 0; i < lines->count && i < LISTED_MAX; i++)
        diag_note(w->diag, d, (Span){0}, "%s", lines->items[i]);
    if (lines->count > LISTED_MAX) diag_note(w->diag, d, (Span){0}, "and %d more", lines->count - LISTED_MAX);
    return d;
}

/* The prefix "module." if all names of the file have it before ours, and there is no
 * other difference. */
static const char *common_prefix(const Weights *w, const Mismatch *mismatch) {
    if (mismatch->unexpected_names.count == 0 || mismatch->missing.count == 0) return NULL;
    const char *first = mismatch->unexpected_names.items[0];
    for (const char *dot = strchr(first, '.'); dot; dot = strchr(dot + 1, '.')) {
        Name rest = intern(w->names, dot + 1);
        if (map_get(w->by_path, rest)) return arena_strndup(w->arena, first, (size_t)(dot + 1 - first));
    }
    return NULL;
}

/* model-00001-of-00003.safetensors */
static bool is_part(const char *path) {
    const char *of = strstr(path, "-of-");
    return of && of > path && isdigit((unsigned char)of[-1]) && isdigit((unsigned char)of[4]);
}

static bool report_mismatch(Weights *w, int number, Mismatch *mismatch) {
    const FileEntry *entry = &w->entries.items[number];
    list_missing(w, number, mismatch);
    const char *prefix = common_prefix(w, mismatch);
    Diagnostic *d =
        report_list(w, entry, DIAG_weights_missing, "%s lacks %d weight%s of the model", &mismatch->missing);
    Diagnostic *unexpected =
        report_list(w, entry, DIAG_weights_unexpected, "%s has %d tensor%s that no model of the file reads",
                    &mismatch->unexpected);
    Diagnostic *misshapen = report_list(w, entry, DIAG_weights_shape, "%s has %d tensor%s of another shape",
                                        &mismatch->misshapen);
    Diagnostic *too_large = report_list(w, entry, DIAG_weights_range,
                                        "%s has %d tensor%s with ints that do not fit into the model's type",
                                        &mismatch->too_large);
    if (d && is_part(entry->path))
        diag_help(
            w->diag, d,
            "%s is one of several files of a model: give their index, which is beside them, *.safetensors.index.json",
            entry->path);
    else if (d && prefix)
        diag_help(
            w->diag, d,
            "names in the file begin with `%s`: --rename with a file that has the line `%s* *` removes it",
            prefix, prefix);
    else if (unexpected)
        diag_help(
            w->diag, unexpected,
            "`unused \"NAME\"` in the model excuses a name, * standing for any text; --rename FILE maps names");
    return !d && !unexpected && !misshapen && !too_large && !mismatch->unreadable;
}

static bool report_ownerless(Weights *w, const Model *model) {
    Lines lines = {0};
    for (int i = 0; i < w->wanted.count; i++)
        if (w->wanted.items[i].needed && w->wanted.items[i].owner < 0)
            vec_push(w->arena, &lines,
                     arena_printf(w->arena, "%s %s", w->wanted.items[i].info.path,
                                  shape_string(w->arena, w->wanted.items[i].info.shape)));
    if (lines.count == 0) return true;
    Diagnostic *d = diag_error(w->diag, DIAG_no_weights, model->decl->name_span,
                               "there are no values for %d weight%s of model %s", lines.count,
                               lines.count == 1 ? "" : "s", model->decl->name);
    for (int i = 0; w->entries.count > 0 && i < lines.count && i < LISTED_MAX; i++)
        diag_note(w->diag, d, (Span){0}, "%s", lines.items[i]);
    diag_help(w->diag, d, "give trained ones by --weights FILE.safetensors, or random ones by --init SEED");
    return false;
}

/* ---- the interface ---- */

static bool use_seed(Weights *w, const char *text) {
    w->random = true;
    if (init_seed(text, &w->seed)) return true;
    diag_error(w->diag, DIAG_seed, (Span){0}, "--init takes a whole number, not `%s`", text);
    return false;
}

static bool use_files(Weights *w, Model *const *models, int count, int built, const WeightOptions *options) {
    collect_entries(w, models, count, options);
    find_weight_owners(w);
    if (!check_prefixes(w) || !report_ownerless(w, models[built]) || !open_entries(w)) return false;
    Renames *renames = options->rename ? renames_read(w->arena, w->diag, options->rename) : NULL;
    if (options->rename && !renames) return false;
    bool good = true;
    for (int i = 0; i < w->entries.count; i++) {
        Mismatch mismatch = {0};
        choose_weight_place(w, i, renames);
        match_entry(w, i, renames, &mismatch);
        good &= report_mismatch(w, i, &mismatch);
    }
    return good;
}

Weights *weights_open(Arena *arena, Names *names, Diagnostics *diag, Model *const *models, int count,
                      int built, const WeightOptions *options) {
    Weights *w = NEW(arena, Weights);
    *w = (Weights){.arena = arena,
                   .names = names,
                   .diag = diag,
                   .by_path = map_new(arena),
                   .rename = options->init ? NULL : options->rename};
    collect_wanted(w, models, count, built);
    if (fits_program(w) &&
        (options->init ? use_seed(w, options->init) : use_files(w, models, count, built, options)))
        return w;
    weights_close(w);
    return NULL;
}

/* ---- values ---- */

static void read_part(const cai_tensor *tensor, int64_t first, int64_t count, Number *out) {
    if (cai_type_is_float(tensor->type)) cai_tensor_to_f64(tensor, first, count, &out->real);
    else cai_tensor_to_i64(tensor, first, count, &out->whole);
}

void numbers_read(const cai_tensor *tensor, Number *out) { read_part(tensor, 0, tensor->count, out); }

/* Whether the value is NaN or, in a parameter, infinite. A saved mask may be infinite. */
static bool is_no_number(double value, bool state) { return state ? isnan(value) : !isfinite(value); }

static void report_no_numbers(Weights *w, WantedWeight *wanted, int64_t count, int64_t first, double value) {
    if (!count || wanted->reported) return;
    wanted->reported = true;
    const FileEntry *entry = &w->entries.items[wanted->owner];
    Diagnostic *d =
        diag_warning(w->diag, DIAG_weights_numbers, entry->span,
                     "%s: `%s` has %lld of %lld values that are not finite numbers, the first %s at %s",
                     entry->path, wanted->value->name, (long long)count, (long long)wanted->value->count,
                     isnan(value) ? "NaN" : "infinity", element_place_text(w->arena, wanted->value, first));
    diag_help(
        w->diag, d,
        "NaN and infinity spread to everything that is computed from them: check the training, or the file that this one was made from");
}

static void read_values(Weights *w, WantedWeight *wanted, Number *out) {
    const cai_tensor *tensor = wanted->value;
    const bool real = cai_type_is_float(tensor->type);
    int64_t bad = 0, first_bad = -1;
    for (int64_t first = 0; first < tensor->count; first += PART) {
        const int64_t count = min_i64(PART, tensor->count - first);
        read_part(tensor, first, count, out + first);
        int64_t found = 0;
        for (int64_t i = first; real && i < first + count; i++)
            found += is_no_number(out[i].real, wanted->info.state);
        for (int64_t i = first; found && first_bad < 0; i++)
            if (is_no_number(out[i].real, wanted->info.state)) first_bad = i;
        bad += found;
    }
    report_no_numbers(w, wanted, bad, first_bad, bad ? out[first_bad].real : 0);
}

static void path_and_init(const Node *node, Name *path, double *init) {
    bool state = node->op == OP_state;
    *path = state ? ATTRIBUTES(node, state)->path : ATTRIBUTES(node, parameter)->path;
    *init = state ? ATTRIBUTES(node, state)->init : ATTRIBUTES(node, parameter)->init;
}

static bool fill_weight(void *context, const Node *node, RefTensor *out) {
    Weights *w = context;
    Name path;
    double init;
    path_and_init(node, &path, &init);
    if (w->random) {
        init_fill(w->seed, path, &out->shape, init, node->op == OP_state, out->values);
        return true;
    }
    WantedWeight *wanted = find_wanted(w, path);
    if (!wanted || !wanted->value) return false;
    read_values(w, wanted, out->values);
    return true;
}

/* Goes by blocks that stay in the cache. */
static double largest_of(const cai_tensor *tensor) {
    double block[PART], max = 0;
    for (int64_t first = 0; first < tensor->count; first += COUNT_OF(block)) {
        int64_t count = min_i64(COUNT_OF(block), tensor->count - first);
        cai_tensor_to_f64(tensor, first, count, block);
        for (int64_t i = 0; i < count; i++)
            max = fabs(block[i]) <= max ? max : isnan(block[i]) ? INFINITY : fabs(block[i]);
    }
    return max;
}

static double largest_of_node(void *context, const Node *node) {
    Weights *w = context;
    Name path;
    double init;
    path_and_init(node, &path, &init);
    /* init.c draws no larger number */
    if (w->random) return isfinite(init) ? fmax(sqrt(5), fabs(init)) : sqrt(5);
    const WantedWeight *wanted = find_wanted(w, path);
    return wanted && wanted->value ? largest_of(wanted->value) : INFINITY;
}

RefSource weights_source(Weights *weights) {
    return (RefSource){.context = weights, .parameter = fill_weight, .largest = largest_of_node};
}

static void add_file_identity(Text *key, const char *path, const char *prefix) {
    struct stat status = {0};
    char real[4096];
    if (stat(path, &status) != 0 || !realpath(path, real)) return;
    text_add(key, " %lld %lld.%ld %llu", (long long)status.st_size, (long long)status.st_mtim.tv_sec,
             status.st_mtim.tv_nsec, (unsigned long long)status.st_ino);
    text_add(key, " %zu %s %zu %s", strlen(real), real, strlen(prefix), prefix);
}

void weights_identity(const Weights *w, Text *key) {
    text_add(key, "%llu %d", (unsigned long long)w->seed, w->random);
    for (int i = 0; i < w->entries.count; i++) {
        const FileEntry *entry = &w->entries.items[i];
        add_file_identity(key, entry->path, entry->prefix);
        text_add(key, " %zu %s", strlen(entry->below), entry->below);
        for (int k = 0; k < entry->table.parts.count; k++)
            add_file_identity(key, entry->table.parts.items[k], entry->prefix);
    }
    if (w->rename) add_file_identity(key, w->rename, "");
}

void weights_close(Weights *w) {
    for (int i = 0; w && i < w->entries.count; i++) weight_table_close(&w->entries.items[i].table);
}
