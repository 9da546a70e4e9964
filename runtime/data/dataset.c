/* A data set: numbers the samples of all portions, decides which of them are held out,
 * and reads them in their order. */
#include "data/sources.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- members that threads share ---- */

static cai_dataset *as_shared(const cai_dataset *dataset) { return (cai_dataset *)dataset; }

static void tell_user(const cai_dataset *dataset, const char *path, const char *text) {
    if (!dataset->options.notice) return;
    pthread_mutex_lock(&as_shared(dataset)->telling);
    dataset->options.notice(path, text);
    pthread_mutex_unlock(&as_shared(dataset)->telling);
}

void cai_dataset_tell(const cai_dataset *dataset, const char *path, const char *format, ...) {
    char text[1000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tell_user(dataset, path, text);
}

bool cai_dataset_leave_out(cai_dataset *dataset, int64_t count, cai_error *error, const char *path,
                           const char *format, ...) {
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (dataset->options.strict) return cai_fail(error, CAI_BAD_INPUT, "%.200s: %s", path, text);
    dataset->left_out += count;
    tell_user(dataset, path, text);
    return true;
}

/* Decoded pictures may take a third of the memory. */
static bool has_room(const cai_dataset *dataset, uint64_t bytes) {
    return atomic_fetch_add(&as_shared(dataset)->kept, bytes) + bytes <= cai_memory_limit() / 3;
}

bool cai_dataset_keep(const cai_dataset *dataset, _Atomic(cai_picture *) *slot, cai_picture *picture) {
    cai_picture *none = NULL;
    uint64_t bytes = picture ? cai_picture_bytes(picture) : 0;
    if (!picture) return false;
    if (has_room(dataset, bytes) && atomic_compare_exchange_strong(slot, &none, picture)) return true;
    atomic_fetch_sub(&as_shared(dataset)->kept, bytes);
    return false;
}

/* ---- checks before the first sample ---- */

static const cai_portion *portion_of(const cai_dataset *dataset, int64_t sample) {
    int i = 0;
    while (sample >= dataset->portions[i]->first + dataset->portions[i]->count) i++;
    return dataset->portions[i];
}

static bool count_samples(cai_dataset *dataset, cai_error *error) {
    for (int i = 0; i < dataset->portion_count; i++) {
        dataset->portions[i]->first = dataset->count;
        dataset->count += dataset->portions[i]->count;
    }
    if (dataset->count == 0)
        return cai_fail(error, CAI_BAD_INPUT, "the set of `%s` has no samples", dataset->set->name);
    dataset->broken = cai_arena_take(&dataset->arena, (uint64_t)dataset->count, error);
    return dataset->broken != NULL;
}

/* Samples behind the last place of the text would all be taken for it. */
static bool check_places(const cai_dataset *dataset, cai_error *error) {
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_field *field = &dataset->set->fields[i];
        if (field->index && field->classes > 0 && dataset->count > field->classes)
            return cai_fail(error, CAI_BAD_INPUT,
                            "the set of `%s` has %lld samples, and the text has places for %lld of them, by "
                            "`%s`\n  help: give the text more places (-D, where their number has a name), or "
                            "the set fewer samples",
                            dataset->set->name, (long long)dataset->count, (long long)field->classes,
                            field->name);
    }
    return true;
}

static bool check_column(const cai_field *field, const cai_column *column, cai_error *error) {
    if (column->kind != CAI_COLUMN_ROWS || column->count == 0) return true;
    cai_tensor row = cai_column_row(column, 0);
    return cai_value_fits(field, &row, column->path, error);
}

static bool is_led(const cai_set *set) {
    for (int i = 0; i < set->field_count; i++)
        if (set->fields[i].fit != CAI_TAKE_EXACT) return true;
    return false;
}

/* Rows of an array all have one size, so the first row tells whether the others fit. */
static bool check_row_size(const cai_dataset *dataset, const cai_portion *portion, int field,
                           cai_error *error) {
    void *buffers[dataset->set->field_count];
    int64_t *dims[dataset->set->field_count], sizes[CAI_MAX_RANK];
    cai_sample at = {.middle = true, .buffers = buffers, .dims = dims};
    bool rows = portion->columns[field].kind == CAI_COLUMN_ROWS && portion->count > 0;
    if (!rows || is_led(dataset->set) || dataset->set->fields[field].on >= 0) return true;
    memset(buffers, 0, sizeof buffers);
    memset(dims, 0, sizeof dims);
    dims[field] = sizes;
    return cai_sample_read(dataset, portion, 0, &at, error);
}

static bool check_columns(const cai_dataset *dataset, cai_error *error) {
    for (int i = 0; i < dataset->portion_count; i++)
        for (int k = 0; k < dataset->set->field_count; k++) {
            const cai_portion *portion = dataset->portions[i];
            if (!check_column(&dataset->set->fields[k], &portion->columns[k], error)) return false;
            if (!check_row_size(dataset, portion, k, error)) return false;
        }
    return true;
}

/* ---- parts ---- */

static bool has_own_part(const cai_dataset *dataset) {
    for (int i = 0; i < dataset->portion_count; i++)
        if (dataset->portions[i]->part == CAI_PART_HELD_OUT && dataset->portions[i]->count) return true;
    return false;
}

typedef struct Share {
    double from, to;
} Share;

static Share share_of(const cai_data_options *options) {
    double folds = options->folds;
    if (options->folds > 0) return (Share){(options->fold - 1) / folds, options->fold / folds};
    return (Share){0, options->held_out};
}

/* The field whose classes are held out as a whole (with `together`); -1: samples are held
 * out one by one. */
static int field_together(const cai_set *set) {
    for (int i = 0; i < set->field_count; i++)
        if (set->fields[i].together > 1) return i;
    return -1;
}

int64_t cai_dataset_class(const cai_dataset *dataset, int field, int64_t sample) {
    const cai_portion *portion = portion_of(dataset, sample);
    const cai_column *column = &portion->columns[field];
    int64_t at = sample - portion->first, class = -1;
    if (column->kind != CAI_COLUMN_ROWS) return class;
    cai_tensor row = cai_column_row(column, portion->entries[field] ? portion->entries[field][at] : at);
    if (row.count == 1) cai_tensor_to_i64(&row, 0, 1, &class);
    return class;
}

static const char *class_name(const cai_dataset *dataset, int field, int64_t sample, char out[24]) {
    int64_t class = cai_dataset_class(dataset, field, sample);
    const char *const *names = dataset->classes[field];
    if (names && class >= 0 && class < dataset->class_counts[field]) return names[class];
    snprintf(out, 24, "%lld", (long long)class);
    return out;
}

static int part_of_sample(const cai_dataset *dataset, int64_t sample, int together, Share share) {
    char number[24];
    const cai_portion *portion = portion_of(dataset, sample);
    if (portion->part != CAI_PART_BY_NAME) return portion->part;
    const char *name = together >= 0 ? class_name(dataset, together, sample, number)
                                     : cai_portion_name(portion, sample - portion->first, number);
    return cai_name_within(name, share.from, share.to) ? CAI_PART_HELD_OUT : CAI_PART_TRAINING;
}

static bool split_parts(cai_dataset *dataset, cai_error *error) {
    Share share = has_own_part(dataset) ? (Share){0} : share_of(&dataset->options);
    int together = field_together(dataset->set);
    for (int part = 0; part < CAI_PART_COUNT; part++) {
        dataset->samples[part] =
            cai_arena_take(&dataset->arena, (uint64_t)dataset->count * sizeof(int64_t), error);
        if (!dataset->samples[part]) return false;
    }
    for (int64_t i = 0; i < dataset->count; i++) {
        const cai_portion *portion = portion_of(dataset, i);
        if (!cai_sample_is_known(dataset, portion, i - portion->first)) continue;
        int part = part_of_sample(dataset, i, together, share);
        dataset->samples[part][dataset->counts[part]++] = i;
    }
    if (dataset->counts[CAI_PART_TRAINING]) return true;
    return cai_fail(error, CAI_BAD_INPUT,
                    "all samples of the set of `%s` are %s, and none is left to train on", dataset->set->name,
                    dataset->counts[CAI_PART_HELD_OUT] ? "held out" : "left out");
}

/* ---- the order with classes ---- */

typedef struct Member {
    int64_t class, place;
} Member;

static int compare_members(const void *a, const void *b) {
    const Member *m = a, *n = b;
    if (m->class != n->class) return m->class < n->class ? -1 : 1;
    return m->place < n->place ? -1 : m->place > n->place;
}

static bool fill_order(cai_order *order, const Member *members, cai_arena *arena, cai_error *error) {
    uint64_t room = (uint64_t)order->count + 1;
    order->members = cai_arena_take(arena, room * sizeof *order->members, error);
    order->first = order->members ? cai_arena_take(arena, room * sizeof *order->first, error) : NULL;
    order->group = order->first ? cai_arena_take(arena, room * sizeof *order->group, error) : NULL;
    if (!order->group) return false;
    for (int64_t i = 0; i < order->count; i++) {
        bool another = i == 0 || members[i].class != members[i - 1].class;
        if (another) order->first[order->classes++] = i;
        order->members[i] = members[i].place;
    }
    order->first[order->classes] = order->count;
    for (int64_t c = 0; c < order->classes; c++) {
        int64_t groups = (order->first[c + 1] - order->first[c]) / order->together;
        order->group[c + 1] = order->group[c] + (groups ? groups : 1);
    }
    return true;
}

static bool order_by_classes(cai_dataset *dataset, int field, cai_error *error) {
    cai_order *order = &dataset->order;
    Member *members = cai_allocate((uint64_t)order->count * sizeof *members, "the order of samples", error);
    if (!members) return false;
    for (int64_t i = 0; i < order->count; i++)
        members[i] = (Member){cai_dataset_class(dataset, field, dataset->samples[CAI_PART_TRAINING][i]), i};
    qsort(members, (size_t)order->count, sizeof *members, compare_members);
    bool filled = fill_order(order, members, &dataset->arena, error);
    free(members);
    return filled;
}

static bool make_order(cai_dataset *dataset, cai_error *error) {
    dataset->order = (cai_order){.key = cai_data_mix(dataset->options.seed, (uint64_t)dataset->options.set),
                                 .count = dataset->counts[CAI_PART_TRAINING],
                                 .together = 1};
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_field *field = &dataset->set->fields[i];
        if (field->together < 2 && !field->balanced) continue;
        dataset->order.together = field->together > 1 ? field->together : 1;
        dataset->order.balanced = field->balanced;
        return order_by_classes(dataset, i, error);
    }
    return true;
}

/* ---- the fingerprint ---- */

#define PIECES 256
#define PIECE 4096

static uint64_t mix_bytes(uint64_t key, const unsigned char *bytes, size_t count) {
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        key = (key ^ word) * 0x100000001B3u;
        key ^= key >> 29;
    }
    for (; count > 0; count--) key = (key ^ *bytes++) * 0x100000001B3u;
    return key;
}

/* Of large arrays, hashes pieces at equal distances. */
static uint64_t mix_row_bytes(uint64_t key, const cai_column *column) {
    if (column->count == 0) return key;
    size_t row = (size_t)(column->rows.count / column->count * cai_type_bytes(column->rows.type));
    size_t size = (size_t)((column->count - 1) * column->stride) + row;
    if (size <= (size_t)PIECES * PIECE) return mix_bytes(key, column->rows.data, size);
    for (size_t i = 0; i < PIECES; i++)
        key = mix_bytes(key, column->rows.data + (size - PIECE) / (PIECES - 1) * i, PIECE);
    return key;
}

static uint64_t mix_column(uint64_t key, const cai_column *column) {
    key = cai_data_mix(key, (uint64_t)column->count);
    if (column->kind == CAI_COLUMN_ROWS) key = mix_row_bytes(key, column);
    for (int64_t i = 0; column->stems && i < column->count; i++)
        key = mix_bytes(key, (const unsigned char *)column->stems[i], strlen(column->stems[i]) + 1);
    for (int64_t i = 0; column->kind == CAI_COLUMN_FILES && i < column->count; i++)
        key = cai_data_mix(key, column->files[i].count);
    for (int64_t i = 0; column->kind == CAI_COLUMN_BOXES && i < column->count; i++)
        key = mix_bytes(key, (const unsigned char *)column->boxes[i].items,
                        (size_t)column->boxes[i].count * sizeof(cai_box));
    return key;
}

static void set_fingerprint(cai_dataset *dataset) {
    uint64_t key = (uint64_t)dataset->count;
    for (int i = 0; i < dataset->portion_count; i++)
        for (int k = 0; k < dataset->set->field_count; k++)
            key = mix_column(cai_data_mix(key, (uint64_t)dataset->portions[i]->part),
                             &dataset->portions[i]->columns[k]);
    for (int64_t i = 0; i < dataset->counts[CAI_PART_HELD_OUT]; i++)
        key = cai_data_mix(key, (uint64_t)dataset->samples[CAI_PART_HELD_OUT][i]);
    dataset->fingerprint = key;
}

/* ---- open and close ---- */

static bool open_paths(cai_dataset *dataset, const char *const *paths, const char *const *names, int count,
                       cai_error *error) {
    if (count == 0 && !dataset->set->place)
        return cai_fail(error, CAI_BAD_USAGE,
                        "the set of `%s` has no files\n"
                        "  help: name its folder on the command line, or in the text: load %s from \"PATH\"",
                        dataset->set->name, dataset->set->name);
    if (count == 0) return cai_source_open(dataset, dataset->set->place, CAI_PART_BY_NAME, error);
    bool named = false;
    for (int i = 0; i < count; i++) named |= names && names[i];
    if (named) return cai_source_open_named(dataset, paths, names, count, error);
    for (int i = 0; i < count; i++)
        if (!cai_source_open(dataset, paths[i], CAI_PART_BY_NAME, error)) return false;
    return true;
}

static bool prepare_dataset(cai_dataset *dataset, cai_error *error) {
    if (!count_samples(dataset, error) || !check_places(dataset, error) || !check_columns(dataset, error))
        return false;
    if (!cai_classes_join(dataset, error) || !cai_unknown_classes_tell(dataset, error) ||
        !split_parts(dataset, error) || !make_order(dataset, error))
        return false;
    set_fingerprint(dataset);
    return true;
}

cai_dataset *cai_dataset_open(const cai_set *set, const char *const *paths, const char *const *names,
                              int count, const cai_data_options *options, cai_error *error) {
    cai_dataset *dataset = cai_allocate(sizeof *dataset, "a data set", error);
    if (!dataset) return NULL;
    *dataset = (cai_dataset){.set = set, .options = *options};
    pthread_mutex_init(&dataset->telling, NULL);
    if (open_paths(dataset, paths, names, count, error) && prepare_dataset(dataset, error)) return dataset;
    cai_dataset_free(dataset);
    return NULL;
}

static void free_decoded(const cai_column *column) {
    for (int64_t i = 0; column->decoded && i < column->count; i++) free(atomic_load(&column->decoded[i]));
}

void cai_dataset_free(cai_dataset *dataset) {
    if (!dataset) return;
    for (int i = 0; i < dataset->portion_count; i++)
        for (int k = 0; k < dataset->set->field_count; k++) free_decoded(&dataset->portions[i]->columns[k]);
    cai_opened_close(dataset);
    cai_arena_free(&dataset->arena);
    pthread_mutex_destroy(&dataset->telling);
    free(dataset);
}

/* ---- queries ---- */

int64_t cai_dataset_count(const cai_dataset *dataset, int part) { return dataset->counts[part]; }
uint64_t cai_dataset_fingerprint(const cai_dataset *dataset) { return dataset->fingerprint; }

int64_t cai_dataset_skipped(const cai_dataset *dataset) {
    return dataset->left_out + atomic_load(&dataset->skipped);
}

int64_t cai_dataset_left_out(const cai_dataset *dataset) { return dataset->left_out; }

const char *const *cai_dataset_classes(const cai_dataset *dataset, int field, int *count) {
    *count = dataset->class_counts[field];
    return dataset->classes[field];
}

/* ---- reading ---- */

/* Items (`each`) are in the order of their names, like held-out samples. */
static int64_t place_at(const cai_dataset *dataset, int part, int64_t position) {
    if (part == CAI_PART_TRAINING && !dataset->set->fields[0].each)
        return cai_order_at(&dataset->order, position);
    return position % dataset->counts[part];
}

#define MOST_TOLD 20

/* Once a sample is told, it is left out without another try. The first line of the
 * message says what is wrong, the others what would mend it, which is told once. */
static void tell_broken(const cai_dataset *dataset, int64_t sample, const cai_error *error) {
    char what[sizeof error->message];
    if (atomic_exchange(&as_shared(dataset)->broken[sample], 1)) return;
    int64_t count = atomic_fetch_add(&as_shared(dataset)->skipped, 1) + 1;
    if (count > MOST_TOLD) return;
    int length = (int)strcspn(error->message, "\n");
    snprintf(what, sizeof what, "%.*s", length, error->message);
    cai_dataset_tell(dataset, what, "left out%s%s",
                     count < MOST_TOLD ? "" : "; others are left out without a notice from now on",
                     count == 1 ? error->message + length : "");
}

static bool try_sample(const cai_dataset *dataset, int64_t sample, const cai_sample *at, cai_error *error) {
    const cai_portion *portion = portion_of(dataset, sample);
    return cai_sample_read(dataset, portion, sample - portion->first, at, error);
}

/* Reads the sample at a position. If it cannot be read, takes the next one in the order
 * of names. */
static bool read_at(const cai_dataset *dataset, int part, int64_t position, const cai_sample *at,
                    cai_error *error) {
    int64_t count = dataset->counts[part], place = count ? place_at(dataset, part, position) : 0;
    cai_fail(error, CAI_BAD_INPUT, "the notices say why");
    for (int64_t i = 0; i < count; i++) {
        int64_t sample = dataset->samples[part][(place + i) % count];
        if (atomic_load(&dataset->broken[sample])) continue;
        if (try_sample(dataset, sample, at, error)) return true;
        if (dataset->options.strict || error->status == CAI_NO_MEMORY) return false;
        tell_broken(dataset, sample, error);
    }
    return cai_fail_within(error, "none of the %lld samples of the set of `%s` can be read", (long long)count,
                           dataset->set->name);
}

static uint64_t key_at(const cai_dataset *dataset, int64_t position) {
    return cai_data_mix(dataset->order.key, (uint64_t)position);
}

bool cai_dataset_read(const cai_dataset *dataset, int part, int64_t position, int64_t row,
                      void *const *buffers, cai_error *error) {
    cai_sample at = {key_at(dataset, position), part == CAI_PART_HELD_OUT, row, buffers, NULL};
    return read_at(dataset, part, position, &at, error);
}

bool cai_dataset_sizes(const cai_dataset *dataset, int part, int64_t position, int field, int64_t *dims,
                       cai_error *error) {
    uint64_t fields = (uint64_t)dataset->set->field_count;
    void **none = calloc(fields, sizeof *none);
    int64_t **wanted = calloc(fields, sizeof *wanted);
    cai_sample at = {key_at(dataset, position), part == CAI_PART_HELD_OUT, 0, none, wanted};
    if (wanted) wanted[field] = dims;
    bool read = none && wanted ? read_at(dataset, part, position, &at, error)
                               : cai_fail_memory(error, fields * 16, "a sample");
    free(none);
    free(wanted);
    return read;
}

const cai_portion *cai_dataset_at(const cai_dataset *dataset, int part, int64_t position, int64_t *index) {
    int64_t sample = dataset->samples[part][place_at(dataset, part, position)];
    const cai_portion *portion = portion_of(dataset, sample);
    *index = sample - portion->first;
    return portion;
}

const char *cai_dataset_name(const cai_dataset *dataset, int part, int64_t position, char out[24]) {
    int64_t index;
    const cai_portion *portion = cai_dataset_at(dataset, part, position, &index);
    return cai_portion_name(portion, index, out);
}
