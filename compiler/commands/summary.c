/* cai summary: a line for each layer, with its result and costs, and the totals. */
#include "commands/commands.h"

/* The symbol that counts pictures, or -1. */
static int batch_symbol(const Model *model) {
    const Graph *graph = model->graph;
    if (graph->inputs.count == 0 || graph->inputs.items[0].node->shape.rank == 0) return -1;
    Dim batch = graph->inputs.items[0].node->shape.dims[0];
    for (int i = 0; i < dims_symbol_count(graph->dims); i++)
        if (batch->term_count == 1 && batch->terms[0].factor_count == 1 &&
            batch->terms[0].factors[0].symbol == dims_symbol(graph->dims, i))
            return i;
    return -1;
}

/* Multiply-adds are for one picture: a batch that is a symbol counts as 1. */
static Dim for_batch_of_one(const Model *model, Dim value) {
    Dims *dims = model->graph->dims;
    int batch = batch_symbol(model);
    return batch < 0 ? value : dim_substitute(dims, value, batch, dim_const(dims, 1));
}

/* ---- for people ---- */

static int width_in_columns(const char *text) {
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

typedef struct Columns {
    int name, shape, parameters, macs, field;
} Columns;

typedef struct SummaryRow {
    const char *name, *shape, *parameters, *macs, *field;
} SummaryRow;

static const char *field_text(Session *s, int64_t field) {
    return field ? arena_printf(s->arena, "%lld", (long long)field) : "-";
}

const char *text_thousands(Arena *arena, int64_t number) {
    const char *digits = arena_printf(arena, "%lld", (long long)number);
    Text text = {.arena = arena};
    int count = (int)strlen(digits);
    for (int i = 0; i < count; i++)
        text_add(&text, "%s%c", i > 0 && (count - i) % 3 == 0 ? "," : "", digits[i]);
    return text_string(&text);
}

/* Sizes that are not known yet as they are. */
static const char *grouped_number_text(Session *s, Dim value) {
    return dim_is_const(value, NULL) ? text_thousands(s->arena, dim_const_value(value))
                                     : dim_string(s->arena, value);
}

/* A formula too long for a column (sizes that are cut and halved many times) is left out:
 * print_summary_table says how to see it. */
enum { LONGEST_FORMULA = 40 };
static const char left_out[] = "...";

static const char *macs_text(Session *s, const Model *model, Dim macs) {
    const char *text = grouped_number_text(s, for_batch_of_one(model, macs));
    return strlen(text) > LONGEST_FORMULA ? left_out : text;
}

/* The layer below which the one at `index` is listed. */
static const LayerInfo *layer_above(const Model *model, int index) {
    int depth = model->layers.items[index].depth;
    while (index >= 0 && model->layers.items[index].depth >= depth) index--;
    return index >= 0 ? &model->layers.items[index] : NULL;
}

/* The part of the path after that of the layer above, so that a label of several parts
 * (`"features.3"`) is shown whole. */
static const char *own_layer_name(const Model *model, int index) {
    const LayerInfo *above = layer_above(model, index);
    const char *path = model->layers.items[index].path;
    size_t length = above ? strlen(above->path) : 0;
    return length && strncmp(path, above->path, length) == 0 && path[length] == '.' ? path + length + 1
                                                                                    : path;
}

static SummaryRow summary_row_of(Session *s, const Model *model, int index) {
    const LayerInfo *layer = &model->layers.items[index];
    const char *own = own_layer_name(model, index), *callee = layer->callee ? layer->callee : "";
    return (SummaryRow){.name = arena_printf(s->arena, "%*s%s%s%s%s", layer->depth * 2, "", own,
                                             *own && *callee ? " (" : "", callee, *own && *callee ? ")" : ""),
                        .shape = layer->result ? shape_string(s->arena, layer->result->shape) : "",
                        .parameters = grouped_number_text(s, layer->parameters),
                        .macs = macs_text(s, model, layer->macs),
                        .field = field_text(s, layer->receptive_field)};
}

static void widen_columns(Columns *columns, const SummaryRow *row) {
    columns->name = (int)max_i64(columns->name, width_in_columns(row->name));
    columns->shape = (int)max_i64(columns->shape, width_in_columns(row->shape));
    columns->parameters = (int)max_i64(columns->parameters, width_in_columns(row->parameters));
    columns->macs = (int)max_i64(columns->macs, width_in_columns(row->macs));
    columns->field = (int)max_i64(columns->field, width_in_columns(row->field));
}

static void print_summary_row(const Columns *c, const SummaryRow *row) {
    printf("%-*s  %-*s  %*s  %*s  %*s\n", c->name, row->name, c->shape, row->shape, c->parameters,
           row->parameters, c->macs, row->macs, c->field, row->field);
}

/* ---- runs of equal rows, as from a loop ---- */

enum { LONGEST_GROUP = 64, LEAST_TIMES = 3, LEAST_SAVED = 3 };

/* Equal except for their names, which do not matter where there are no weights. */
static bool rows_alike(const LayerInfo *a, const LayerInfo *b) {
    int64_t parameters;
    bool plain =
        dim_is_const(a->parameters, &parameters) && parameters == 0 && b->parameters == a->parameters;
    return plain && a->depth == b->depth && !strcmp(a->callee, b->callee) &&
           shape_equal(a->result->shape, b->result->shape) && a->macs == b->macs &&
           a->receptive_field == b->receptive_field;
}

/* How often the `size` rows from `begin` on, which are layers with all their parts,
 * repeat in a row. */
static int count_repeats(const Model *model, int begin, int size) {
    const LayerList *layers = &model->layers;
    for (int i = begin; i < begin + size; i++)
        if (i >= layers->count || layers->items[i].depth < layers->items[begin].depth) return 1;
    int same = 0;
    while (begin + size + same < layers->count &&
           rows_alike(&layers->items[begin + same], &layers->items[begin + size + same]))
        same++;
    int count = 1 + same / size, end = begin + count * size;
    /* within the last layer */
    bool cut = end < layers->count && layers->items[end].depth > layers->items[begin].depth;
    return cut ? count - 1 : count;
}

/* The size of the group at `begin` that saves most rows by being shown once; 0 where none
 * saves enough. */
static int find_repeated_rows(const Model *model, int begin, int *count) {
    int found = 0, saved = LEAST_SAVED - 1;
    for (int size = 1; size <= LONGEST_GROUP; size++) {
        int times = count_repeats(model, begin, size);
        if (times < LEAST_TIMES || (times - 1) * size <= saved) continue;
        saved = (times - 1) * size;
        found = size;
        *count = times;
    }
    return found;
}

/* A row in place of `times` groups of `size` rows, with their totals. */
static SummaryRow folded_row(Session *s, const Model *model, int begin, int size, int times) {
    const LayerInfo *layer = &model->layers.items[begin];
    Dims *dims = model->graph->dims;
    Dim macs = dim_const(dims, 0);
    for (int i = begin; i < begin + size; i++) macs = dim_add(dims, macs, model->layers.items[i].macs);
    const char *what = size == 1 ? "the row above" : arena_printf(s->arena, "the %d rows above", size);
    return (SummaryRow){.name =
                            arena_printf(s->arena, "%*s%s, %d times more", layer->depth * 2, "", what, times),
                        .shape = "",
                        .parameters = "0",
                        .macs = macs_text(s, model, dim_scale(dims, macs, times)),
                        .field = field_text(s, model->layers.items[begin + size - 1].receptive_field)};
}

typedef Vec(SummaryRow) RowList;

static RowList all_rows(Session *s, const Model *model) {
    RowList rows = {0};
    for (int i = 0; i < model->layers.count;) {
        int times = 1, size = find_repeated_rows(model, i, &times), shown = size ? size : 1;
        for (int k = 0; k < shown; k++) vec_push(s->arena, &rows, summary_row_of(s, model, i + k));
        if (size) vec_push(s->arena, &rows, folded_row(s, model, i, size, times - 1));
        i += shown * times;
    }
    return rows;
}

static void print_left_out(const Model *model) {
    Dims *dims = model->graph->dims;
    printf("%s is a long formula of sizes; to see a number fix them, as with", left_out);
    for (int i = 0; i < dims_symbol_count(dims); i++) {
        const Symbol *symbol = dims_symbol(dims, i);
        if (i != batch_symbol(model))
            printf(" -D %s=%lld", symbol->name, (long long)(symbol->multiple * symbol->typical));
    }
    printf("\n");
}

static void print_summary_table(Session *s, const Model *model) {
    SummaryRow head = {"layer", "output", "parameters", "MACs", "field"};
    Dim macs = for_batch_of_one(model, model->macs);
    SummaryRow total = {"total", "", grouped_number_text(s, model->parameters),
                        macs_text(s, model, model->macs), field_text(s, model->receptive_field)};
    bool cut = total.macs == left_out;
    Columns columns = {0};
    const RowList rows = all_rows(s, model);
    widen_columns(&columns, &head);
    widen_columns(&columns, &total);
    for (int i = 0; i < rows.count; i++) {
        widen_columns(&columns, &rows.items[i]);
        cut |= rows.items[i].macs == left_out;
    }
    printf("model %s\n", model->decl->name);
    print_summary_row(&columns, &head);
    for (int i = 0; i < rows.count; i++) print_summary_row(&columns, &rows.items[i]);
    print_summary_row(&columns, &total);
    if (cut) print_left_out(model);
    int64_t known;
    if (!dim_is_const(macs, &known)) return;
    const char *unit = known >= 1000000000 ? "G" : known >= 1000000 ? "M" : "k";
    double scale = *unit == 'G' ? 1e9 : *unit == 'M' ? 1e6 : 1e3;
    printf("%.4g %sMACs for one picture, which are %.4g %sFLOPs: a multiply-add is one MAC and two FLOPs\n",
           (double)known / scale, unit, 2 * (double)known / scale, unit);
}

/* ---- for tools: a symbolic size is a string ---- */

static void print_json_number(Session *s, const char *key, Dim value) {
    int64_t constant;
    if (dim_is_const(value, &constant)) printf("\"%s\": %lld", key, (long long)constant);
    else printf("\"%s\": \"%s\"", key, dim_string(s->arena, value));
}

static void print_json_field(int64_t field) {
    if (field) printf(", \"receptive_field\": %lld", (long long)field);
    else printf(", \"receptive_field\": null");
}

static void print_json_shape(Session *s, const Node *node) {
    printf(", \"shape\": [");
    for (int i = 0; node && i < node->shape.rank; i++) {
        int64_t constant;
        bool known = dim_is_const(node->shape.dims[i], &constant);
        if (known) printf("%s%lld", i ? ", " : "", (long long)constant);
        else printf("%s\"%s\"", i ? ", " : "", dim_string(s->arena, node->shape.dims[i]));
    }
    printf("]");
}

static void print_json_layer(Session *s, const Model *model, const LayerInfo *layer, bool first) {
    printf("%s\n    {\"name\": ", first ? "" : ",");
    print_json_string(stdout, layer->path);
    printf(", \"callee\": ");
    print_json_string(stdout, layer->callee ? layer->callee : "");
    print_json_shape(s, layer->result);
    printf(", ");
    print_json_number(s, "params", layer->parameters);
    printf(", ");
    print_json_number(s, "macs", for_batch_of_one(model, layer->macs));
    print_json_field(layer->receptive_field);
    printf(", \"depth\": %d}", layer->depth);
}

static void print_summary_json(Session *s, const ModelList *models) {
    printf("{\"models\": [");
    for (int i = 0; i < models->count; i++) {
        const Model *model = models->items[i];
        printf("%s\n  {\"name\": \"%s\", ", i ? "," : "", model->decl->name);
        print_json_number(s, "params", model->parameters);
        printf(", ");
        print_json_number(s, "macs", for_batch_of_one(model, model->macs));
        print_json_field(model->receptive_field);
        printf(", \"layers\": [");
        for (int k = 0; k < model->layers.count; k++)
            print_json_layer(s, model, &model->layers.items[k], k == 0);
        printf("]}");
    }
    printf("]}\n");
}

/* ---- --names: a line for each weight, those that several models share once ---- */

static void print_names(Session *s, const ModelList *models) {
    Map *seen = map_new(s->arena);
    for (int i = 0; i < models->count; i++) {
        const Model *model = models->items[i];
        for (int k = 0; k < model->weights.count; k++) {
            const WeightInfo *weight = &model->weights.items[k];
            if (map_get(seen, weight->path)) continue;
            map_set(seen, weight->path, (void *)(uintptr_t)weight);
            printf("%s", weight->path);
            for (int axis = 0; axis < weight->shape.rank; axis++)
                printf(" %s", dim_string(s->arena, weight->shape.dims[axis]));
            putchar('\n');
        }
    }
}

int command_summary(Session *session) {
    const Options *o = session->options;
    const char *name = o->rest.count ? o->rest.items[0] : NULL;
    if (o->rest.count > 1)
        return session_usage(session, "one model is summed up, and `%s` is one more", o->rest.items[1]);
    if (o->format && strcmp(o->format, "json") != 0 && strcmp(o->format, "text") != 0)
        return session_usage(session, "--format is text or json, not `%s`", o->format);
    Library *library = build_open(session);
    if (o->train) {
        if (library) summary_of_training(session, library, name);
        return session_end(session);
    }
    ModelList all = {0}, shown = {0};
    int index = library && name ? build_pick(session, library, name) : 0;
    if (!library || index < 0 ||
        !(build_elaborate_all(session, library, &all) || build_can_be_shown(session, &all)))
        return session_end(session);
    for (int i = 0; i < all.count; i++)
        if (!name || i == index) vec_push(session->arena, &shown, all.items[i]);
    if (o->names) {
        print_names(session, &shown);
        return session_end(session);
    }
    if (o->format && strcmp(o->format, "json") == 0) {
        print_summary_json(session, &shown);
        return session_end(session);
    }
    for (int i = 0; i < shown.count; i++) {
        if (i) putchar('\n');
        print_summary_table(session, shown.items[i]);
    }
    return session_end(session);
}
