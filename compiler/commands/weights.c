/* cai weights: lists a file of weights; with --for MODEL.cai, compares it with the
 * weights of a model; with -o, writes a new file without what only training needs. */
#include "commands/commands.h"
#include "weights/fit.h"
#include <math.h>

typedef struct Row {
    const char *name, *type, *least, *max, *remark;
} Row;
typedef Vec(Row) RowList;

/* ---- figures of a tensor ---- */

typedef struct Figures {
    double least, max;
    int64_t not_finite;
} Figures;

static Figures figures_of(const cai_tensor *tensor) {
    Figures f = {INFINITY, -INFINITY, 0};
    double block[1024];
    for (int64_t first = 0; first < tensor->count; first += COUNT_OF(block)) {
        int64_t count = min_i64(COUNT_OF(block), tensor->count - first);
        cai_tensor_to_f64(tensor, first, count, block);
        for (int64_t i = 0; i < count; i++) {
            f.not_finite += !isfinite(block[i]);
            if (isfinite(block[i])) f.least = fmin(f.least, block[i]), f.max = fmax(f.max, block[i]);
        }
    }
    return f;
}

static const char *real_text(Session *s, double value) { return arena_printf(s->arena, "%.4g", value); }

static Row row_of(Session *s, WeightTable *table, int index) {
    const cai_tensor *tensor = &table->tensors.items[index];
    char shape[400];
    cai_error error;
    Row row = {.name = tensor->name, .type = "?", .least = "-", .max = "-", .remark = ""};
    if (!weight_table_read(table, index, &error)) {
        row.remark = arena_printf(s->arena, "%s", error.message);
        return row;
    }
    row.type = arena_printf(s->arena, "%s", cai_tensor_shape_text(tensor, shape, sizeof shape));
    Figures f = figures_of(tensor);
    if (f.least <= f.max) row.least = real_text(s, f.least), row.max = real_text(s, f.max);
    if (f.not_finite) row.remark = arena_printf(s->arena, "%lld not finite", (long long)f.not_finite);
    return row;
}

/* ---- comparing with a model ---- */

typedef struct Wish { /* a weight of one of the models */
    const WeightInfo *info;
    bool met;
} Wish;

typedef struct Wishes {
    Session *s;
    Vec(Wish) list;
    Map *by_path; /* path -> index, plus 1 */
} Wishes;

static void add_wishes(Wishes *wishes, const Model *model) {
    for (int i = 0; i < model->weights.count; i++) {
        const WeightInfo *info = &model->weights.items[i];
        if (map_get(wishes->by_path, info->path)) continue;
        vec_push(wishes->s->arena, &wishes->list, (Wish){.info = info});
        map_set(wishes->by_path, info->path, (void *)(intptr_t)wishes->list.count);
    }
}

static Wish *find_wish(const Wishes *wishes, const char *name) {
    intptr_t place = (intptr_t)map_get(wishes->by_path, intern(wishes->s->names, name));
    return place ? &wishes->list.items[place - 1] : NULL;
}

static bool is_wished(void *context, const char *name, const cai_tensor *tensor) {
    const Wish *wish = find_wish(context, name);
    return wish && tensor_has_shape(tensor, wish->info->shape);
}

static bool open_model(Session *session, Wishes *wishes, const char *path) {
    Options options = {.command = "check", .file = path};
    Session model = *session;
    model.options = &options;
    Library *library = build_open(&model);
    ModelList models = {0};
    bool good = library && build_elaborate_all(&model, library, &models);
    session->diag = model.diag;
    for (int i = 0; good && i < models.count; i++) add_wishes(wishes, models.items[i]);
    return good;
}

static const char *compare_with(Wishes *wishes, const cai_tensor *tensor, const char *below) {
    const char *name = name_below(tensor->name, below);
    Wish *wish = name ? find_wish(wishes, name) : NULL;
    if (!wish) return "the model has none";
    wish->met = true;
    if (tensor_has_shape(tensor, wish->info->shape)) return "fits";
    return arena_printf(wishes->s->arena, "the model has %s",
                        shape_string(wishes->s->arena, wish->info->shape));
}

static void add_missing(Session *s, const Wishes *wishes, RowList *rows) {
    for (int i = 0; i < wishes->list.count; i++) {
        const WeightInfo *info = wishes->list.items[i].info;
        if (wishes->list.items[i].met) continue;
        const char *remark =
            arena_printf(s->arena, "the model needs %s", shape_string(s->arena, info->shape));
        vec_push(s->arena, rows,
                 (Row){.name = info->path, .type = "missing", .least = "-", .max = "-", .remark = remark});
    }
}

/* ---- the table ---- */

static void print_rows(const RowList *rows) {
    int name = 4, type = 4;
    for (int i = 0; i < rows->count; i++) {
        name = (int)max_i64(name, (int64_t)strlen(rows->items[i].name));
        type = (int)max_i64(type, (int64_t)strlen(rows->items[i].type));
    }
    printf("%-*s  %-*s  %11s %11s\n", name, "name", type, "type", "least", "most");
    for (int i = 0; i < rows->count; i++) {
        const Row *row = &rows->items[i];
        printf("%-*s  %-*s  %11s %11s", name, row->name, type, row->type, row->least, row->max);
        printf(*row->remark ? "  %s\n" : "\n", row->remark);
    }
}

static void print_total(const WeightTable *table, const Wishes *wishes, const WeightFit *fit) {
    int64_t elements = 0;
    for (int i = 0; i < table->tensors.count; i++) elements += table->tensors.items[i].count;
    printf("\n%s: %d tensors, %lld numbers\n", table->what, table->tensors.count, (long long)elements);
    if (!wishes->list.count) return;
    printf("%lld of the model's %d weights fit", (long long)fit->fitting, wishes->list.count);
    printf(*fit->below ? ", below `%s`\n" : "\n", fit->below);
}

/* ---- a file of the weights alone ---- */

/* A run's own tensors have names that begin with `train.`. */
static bool is_of_training(const char *name) { return strncmp(name, "train.", 6) == 0; }

/* In the new file, names begin after `below`. */
static cai_tensor *kept_tensors(Session *s, const WeightTable *table, const char *below, int *count) {
    cai_tensor *kept = NEW_ARRAY(s->arena, cai_tensor, table->tensors.count);
    *count = 0;
    for (int i = 0; i < table->tensors.count; i++) {
        const char *name = name_below(table->tensors.items[i].name, below);
        if (!name || is_of_training(name)) continue;
        kept[*count] = table->tensors.items[i];
        kept[(*count)++].name = name;
    }
    return kept;
}

static void write_kept(Session *s, const WeightTable *table, const char *below) {
    int count;
    cai_error error;
    const cai_tensor *kept = kept_tensors(s, table, below, &count);
    if (cai_tensors_write(s->options->output, kept, count, &error))
        printf("%s has %d of them\n", s->options->output, count);
    else diag_error(&s->diag, DIAG_file, (Span){0}, "%s", error.message);
}

/* ---- the command ---- */

static bool fits_wish(const Wishes *wishes, const cai_tensor *tensor, const char *below) {
    const char *name = name_below(tensor->name, below);
    return name && is_wished((void *)wishes, name, tensor);
}

/* The weights below the path that the command names, or below the name where most of the
 * model's weights are. */
static WeightFit fit_below(Session *s, const WeightTable *table, Wishes *wishes, const char *below) {
    if (!*below && s->options->model) return weights_fit(s->arena, table, is_wished, wishes);
    WeightFit fit = {.below = below};
    for (int i = 0; i < table->tensors.count; i++)
        fit.fitting += fits_wish(wishes, &table->tensors.items[i], below);
    return fit;
}

static void list_weights(Session *s, WeightTable *table, Wishes *wishes, const WeightFit *fit) {
    RowList rows = {0};
    for (int i = 0; i < table->tensors.count; i++) {
        Row row = row_of(s, table, i);
        if (s->options->model && !*row.remark)
            row.remark = compare_with(wishes, &table->tensors.items[i], fit->below);
        vec_push(s->arena, &rows, row);
    }
    add_missing(s, wishes, &rows);
    print_rows(&rows);
    print_total(table, wishes, fit);
}

int command_weights(Session *session) {
    const Options *options = session->options;
    if (options->rest.count > 0)
        return session_usage(session, "only one FILE is listed, and `%s` is a second one",
                             options->rest.items[0]);
    Wishes wishes = {.s = session, .by_path = map_new(session->arena)};
    WeightTable table;
    cai_error error;
    const char *below;
    if (options->model && !open_model(session, &wishes, options->model)) return session_end(session);
    if (!weight_table_open(weights_path(session->arena, options->file, &below), &table, &error)) {
        diag_error(&session->diag, DIAG_weights_file, (Span){0}, "%s", error.message);
        return session_end(session);
    }
    WeightFit fit = fit_below(session, &table, &wishes, below);
    list_weights(session, &table, &wishes, &fit);
    if (options->output) write_kept(session, &table, fit.below);
    weight_table_close(&table);
    return session_end(session);
}
