/* cai compare: networks side by side, as a table and as a chart. */
#include "commands/commands.h"
#include "draw/draw.h"
#include "codegen/emit.h"
#include "files/files.h"
#include <unistd.h>

typedef struct ComparisonRow {
    const char *name; /* the model, and the settings it has */
    const char *path, *model;
    /* the assumed values of free sizes for which the network states no figures: "H = 256,
     * W = 256"; NULL: none */
    const char *free;
    int file; /* which FILE it is of */
    int64_t parameters, macs, receptive_field;
    double activations;          /* bytes of intermediate results */
    double top1;                 /* 0: not stated */
    double milliseconds, memory; /* measured; memory in bytes */
} ComparisonRow;

typedef Vec(Define) DefineList;

typedef struct Comparison {
    Session *session;
    Options options;  /* the user's, with one file and one variant's settings */
    DefineList given; /* by -D */
    int file;         /* which is read */
    Vec(ComparisonRow) rows;
} Comparison;

/* ---- one network ---- */

static const char *file_stem(Arena *arena, const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    return arena_strndup(arena, base, dot ? (size_t)(dot - base) : strlen(base));
}

/* The name that its figures give; else that of the model, with its file where the name
 * differs, `cyclegan.translate`, and its settings, `resnet 18`, `vgg19 norm`: values, and
 * the names of settings that are on. */
static const char *row_name(Arena *arena, const Model *model, const char *path, const DefineList *settings) {
    Text text = {.arena = arena};
    if (model->called) return model->called;
    const char *file = file_stem(arena, path);
    if (strcmp(file, model->decl->name) != 0) text_add(&text, "%s.", file);
    text_add(&text, "%s", model->decl->name);
    for (int i = 0; i < settings->count; i++) {
        const char *value = settings->items[i].value;
        if (strcmp(value, "true") == 0) text_add(&text, " %s", settings->items[i].name);
        else if (strcmp(value, "false") == 0) text_add(&text, " without %s", settings->items[i].name);
        else text_add(&text, " %.*s", (int)strlen(value) - 2 * (*value == '"'), value + (*value == '"'));
    }
    return text_string(&text);
}

static Library *open_with(Comparison *c, const DefineList *defines) {
    c->options.defines.items = defines->items;
    c->options.defines.count = defines->count;
    return build_open(c->session);
}

/* Elaborates one model of the file, as the only one of a list: the settings and sizes of
 * a row are not for the others. */
static Model *elaborate_one(Comparison *c, int index, const DefineList *defines, ModelList *one) {
    Library *library = open_with(c, defines);
    if (library) vec_push(c->session->arena, one, elaborate_model(library, index));
    return library && c->session->diag.errors == 0 ? one->items[0] : NULL;
}

/* The settings, and every size: that of the stated figures, else that of estimates. */
static DefineList fix_sizes(Arena *arena, const Model *model, const DefineList *settings) {
    DefineList all = {0};
    for (int i = 0; i < settings->count; i++) vec_push(arena, &all, settings->items[i]);
    const Dims *dims = model->graph->dims;
    for (int i = 0; i < dims_symbol_count(dims); i++) {
        const Symbol *symbol = dims_symbol(dims, i);
        Define define = {symbol->name,
                         arena_printf(arena, "%lld", (long long)(symbol->typical * symbol->multiple))};
        for (int k = 0; k < model->stated_sizes.count; k++)
            if (model->stated_sizes.items[k].name == symbol->name) define = model->stated_sizes.items[k];
        vec_push(arena, &all, define);
    }
    return all;
}

static bool is_stated(const Model *model, Name symbol) {
    for (int i = 0; i < model->stated_sizes.count; i++)
        if (model->stated_sizes.items[i].name == symbol) return true;
    return false;
}

/* The batch does not count as free: figures are for one picture. */
static const char *free_sizes(Arena *arena, const Model *model) {
    const Dims *dims = model->graph->dims;
    Text text = {.arena = arena};
    for (int i = 0; i < dims_symbol_count(dims); i++) {
        const Symbol *symbol = dims_symbol(dims, i);
        if (symbol->typical == 1 || is_stated(model, symbol->name)) continue;
        text_add(&text, "%s%s = %lld", text.length ? ", " : "", symbol->name,
                 (long long)(symbol->typical * symbol->multiple));
    }
    return text.length ? text_string(&text) : NULL;
}

static double activation_bytes(Session *s, Graph *graph) {
    const Target *target = build_target(s);
    if (!target) return 0;
    LowerOptions options = build_lowering(s, target);
    return (double)dim_const_value(
        program_arena_bytes(lower(build_passes(s, graph, NULL), &options, s->arena)));
}

/* ---- measuring: built with random weights, and run on random numbers ---- */

static bool write_inputs(Session *s, const Graph *graph, const char *path) {
    cai_tensor *tensors = NEW_ARRAY(s->arena, cai_tensor, graph->inputs.count + 1);
    for (int i = 0; i < graph->inputs.count; i++) {
        const Port *port = &graph->inputs.items[i];
        cai_tensor *tensor = &tensors[i];
        *tensor = (cai_tensor){.name = port->name,
                               .type = (int)port->node->shape.type,
                               .rank = port->node->shape.rank,
                               .count = 1};
        for (int axis = 0; axis < tensor->rank; axis++)
            tensor->count *= tensor->dims[axis] = dim_const_value(port->node->shape.dims[axis]);
        void *data = arena_alloc(s->arena, (size_t)tensor->count * 8 + 8);
        memset(data, 0, (size_t)tensor->count * 8);
        const uint64_t stream = random_stream(1, port->name);
        for (int64_t k = 0; tensor->type == CAI_F32 && k < tensor->count; k++)
            ((float *)data)[k] = random_unit(stream, k);
        tensor->data = data;
    }
    cai_error error;
    if (cai_tensors_write(path, tensors, graph->inputs.count, &error)) return true;
    diag_error(&s->diag, DIAG_file, (Span){0}, "%s", error.message);
    return false;
}

static bool read_times(Session *s, const char *said, ComparisonRow *row) {
    const char *run = strstr(said, "run  "), *memory = strstr(said, "memory  ");
    double megabytes;
    if (run && memory && sscanf(run, "run %lf", &row->milliseconds) == 1 &&
        sscanf(memory, "memory %lf", &megabytes) == 1) {
        row->memory = megabytes * 1e6;
        return true;
    }
    diag_error(&s->diag, DIAG_compare, (Span){0}, "%s could not be timed:\n%s", row->name, said);
    return false;
}

/* Runs the program of a network with --time, and reads its output. */
static bool time_program(Session *s, const Graph *graph, const char *program, const char *inputs,
                         const char *outputs, ComparisonRow *row) {
    Vec(const char *) arguments = {0};
    const char *const fixed[] = {"", "-o", outputs, "--threads", "1", "--time"};
    for (int i = 0; i < COUNT_OF(fixed); i++) vec_push(s->arena, &arguments, fixed[i]);
    if (graph->inputs.count > 0) vec_push(s->arena, &arguments, inputs);
    vec_push(s->arena, &arguments, NULL);
    return read_times(s, process_run(s->arena, &program, 1, arguments.items).said, row);
}

static bool measure_model(Session *s, const ModelList *one, ComparisonRow *row) {
    Graph *graph = one->items[0]->graph;
    const char *folder = program_cache(s);
    if (!folder) return false;
    const char *program = arena_printf(s->arena, "%s/compare-%ld", folder, (long)getpid());
    const char *inputs = arena_printf(s->arena, "%s.in.safetensors", program),
               *outputs = arena_printf(s->arena, "%s.out.safetensors", program);
    Weights *weights = build_weights(s, one, 0);
    bool good = weights && build_program(s, graph, weights, program) && write_inputs(s, graph, inputs) &&
                time_program(s, graph, program, inputs, outputs, row);
    if (weights) weights_close(weights);
    unlink(program), unlink(inputs), unlink(outputs);
    return good;
}

static void add_comparison_row(Comparison *c, int index, const DefineList *settings) {
    Session *s = c->session;
    ModelList one = {0}, fixed_one = {0};
    const Model *stated = elaborate_one(c, index, settings, &one);
    DefineList fixed = stated ? fix_sizes(s->arena, stated, settings) : (DefineList){0};
    Model *model = stated ? elaborate_one(c, index, &fixed, &fixed_one) : NULL;
    if (!model) return;
    ComparisonRow row = {.file = c->file,
                         .path = c->options.file,
                         .model = model->decl->name,
                         .top1 = stated->top1,
                         .receptive_field = stated->receptive_field};
    row.name = row_name(s->arena, stated, row.path, settings);
    row.free = free_sizes(s->arena, stated);
    dim_is_const(model->parameters, &row.parameters);
    dim_is_const(model->macs, &row.macs);
    row.activations = activation_bytes(s, model->graph);
    if (!s->options->measure || measure_model(s, &fixed_one, &row)) vec_push(s->arena, &c->rows, row);
}

/* Adds each model with its defaults, or with the user's -D; then each variant for which
 * it states figures. */
static void add_compared_file(Comparison *c, const char *path) {
    Session *s = c->session;
    DefineList given = {.items = c->given.items, .count = c->given.count};
    ModelList models = {0};
    c->options.file = path;
    c->options.rest.count = 0;
    Library *library = open_with(c, &given);
    if (!library || !build_elaborate_all(s, library, &models)) return;
    for (int m = 0; m < models.count; m++) {
        add_comparison_row(c, m, &given);
        for (int v = 0; v < models.items[m]->variants.count && given.count == 0; v++) {
            const Variant *variant = &models.items[m]->variants.items[v];
            DefineList settings = {0};
            for (int i = 0; i < variant->count; i++) vec_push(s->arena, &settings, variant->defines[i]);
            add_comparison_row(c, m, &settings);
        }
    }
    c->file++;
}

/* ---- names and sizes ---- */

/* Networks of equal names are distinguished by their files. */
static void report_differences(Comparison *c) {
    Arena *arena = c->session->arena;
    bool *alike = NEW_ARRAY(arena, bool, c->rows.count);
    for (int i = 0; i < c->rows.count; i++)
        for (int k = 0; k < c->rows.count; k++) {
            const ComparisonRow *a = &c->rows.items[i], *b = &c->rows.items[k];
            alike[i] |= a->file != b->file && !strcmp(a->name, b->name);
        }
    for (int i = 0; i < c->rows.count; i++)
        if (alike[i])
            c->rows.items[i].name =
                arena_printf(arena, "%s (%s)", c->rows.items[i].name, c->rows.items[i].path);
}

/* The assumed values of free sizes, each combination once; NULL where all are stated. */
static const char *sizes_taken(const Comparison *c) {
    Text text = {.arena = c->session->arena};
    for (int i = 0; i < c->rows.count; i++) {
        const char *free = c->rows.items[i].free;
        bool reported = !free;
        for (int k = 0; k < i && !reported; k++)
            reported = c->rows.items[k].free && !strcmp(c->rows.items[k].free, free);
        if (!reported) text_add(&text, "%s%s", text.length ? "; " : "", free);
    }
    return text.length ? text_string(&text) : NULL;
}

/* ---- the table ---- */

static const char *count_text(Arena *arena, double count) {
    if (count >= 1e9) return arena_printf(arena, "%.2f G", count / 1e9);
    return count >= 1e6 ? arena_printf(arena, "%.2f M", count / 1e6)
                        : arena_printf(arena, "%.1f k", count / 1e3);
}

static const char *or_dash(Arena *arena, const char *format, double value) {
    char text[40];
    snprintf(text, sizeof text, format, value);
    return value > 0 ? arena_strndup(arena, text, strlen(text)) : "-";
}

static void print_comparison(const Comparison *c) {
    Arena *arena = c->session->arena;
    bool measured = c->session->options->measure;
    int width = 7;
    for (int i = 0; i < c->rows.count; i++)
        width = (int)max_i64(width, (int64_t)strlen(c->rows.items[i].name));
    printf("%-*s  %10s  %10s  %14s  %6s  %6s%s\n", width, "network", "parameters", "MACs", "activations",
           "field", "top-1", measured ? "          ms   memory" : "");
    for (int i = 0; i < c->rows.count; i++) {
        const ComparisonRow *row = &c->rows.items[i];
        printf("%-*s  %10s  %10s%s%11.2f MB  %6s  %6s", width, row->name,
               count_text(arena, (double)row->parameters), count_text(arena, (double)row->macs),
               row->free ? "* " : "  ", row->activations / 1e6,
               or_dash(arena, "%.0f", (double)row->receptive_field), or_dash(arena, "%.2f", row->top1));
        if (measured) printf("  %10.2f  %5.0f MB", row->milliseconds, row->memory / 1e6);
        putchar('\n');
    }
    const char *sizes = sizes_taken(c);
    if (sizes)
        printf("* free sizes, taken as %s: `-D` fixes them, or `at` of an `expect` in the file\n", sizes);
}

static void print_comparison_json(const Comparison *c) {
    printf("[");
    for (int i = 0; i < c->rows.count; i++) {
        const ComparisonRow *row = &c->rows.items[i];
        printf("%s\n  {\"name\": ", i ? "," : "");
        print_json_string(stdout, row->name);
        printf(", \"file\": ");
        print_json_string(stdout, row->path);
        printf(", \"model\": \"%s\"", row->model);
        if (row->free) printf(", \"free_sizes\": \"%s\"", row->free);
        printf(", \"params\": %lld, \"macs\": %lld, \"activation_bytes\": %.0f", (long long)row->parameters,
               (long long)row->macs, row->activations);
        if (row->receptive_field) printf(", \"receptive_field\": %lld", (long long)row->receptive_field);
        if (row->top1 > 0) printf(", \"top1\": %g", row->top1);
        if (c->session->options->measure)
            printf(", \"ms\": %.3f, \"memory_bytes\": %.0f", row->milliseconds, row->memory);
        printf("}");
    }
    printf("\n]\n");
}

static void print_csv(const Comparison *c) {
    bool measured = c->session->options->measure;
    printf("network,params,macs,activation_bytes,receptive_field,top1%s\n",
           measured ? ",ms,memory_bytes" : "");
    for (int i = 0; i < c->rows.count; i++) {
        const ComparisonRow *row = &c->rows.items[i];
        Arena *arena = c->session->arena;
        const char *field =
            row->receptive_field ? arena_printf(arena, "%lld", (long long)row->receptive_field) : "";
        const char *top1 = row->top1 > 0 ? arena_printf(arena, "%g", row->top1) : "";
        printf("\"%s\",%lld,%lld,%.0f,%s,%s", row->name, (long long)row->parameters, (long long)row->macs,
               row->activations, field, top1);
        if (measured) printf(",%.3f,%.0f", row->milliseconds, row->memory);
        putchar('\n');
    }
}

/* ---- the chart ---- */

/* Draws networks with an accuracy; where none states one, all of them by their times. */
static bool draw_comparison(Comparison *c, const char *path, const char *format) {
    Session *s = c->session;
    bool accuracies = false;
    for (int i = 0; i < c->rows.count; i++) accuracies = accuracies || c->rows.items[i].top1 > 0;
    if (!accuracies && !s->options->measure) {
        Diagnostic *d =
            diag_error(&s->diag, DIAG_compare, (Span){0},
                       "none of these networks states an accuracy, over which a chart could be drawn");
        diag_help(&s->diag, d,
                  "`expect(..., top1 = 76.13)` states one; with --measure, times are drawn instead");
        return false;
    }
    Vec(ChartPoint) points = {0};
    for (int i = 0; i < c->rows.count; i++) {
        const ComparisonRow *row = &c->rows.items[i];
        double value = accuracies ? row->top1 : row->milliseconds;
        if (value > 0 && row->macs > 0)
            vec_push(s->arena, &points,
                     (ChartPoint){row->name, (double)row->macs, value, (double)row->parameters, row->file});
    }
    const char *sizes = sizes_taken(c),
               *at = sizes ? arena_printf(s->arena, ", free sizes taken as %s", sizes) : "";
    ChartAxes axes = {
        .across = arena_printf(s->arena, "multiply-adds for one picture%s (a logarithmic axis)", at),
        .up = accuracies ? "top-1 accuracy on ImageNet, per cent" : "time of a run on one thread, ms"};
    cai_output output;
    cai_error failed;
    const char *error = "";
    bool good = cai_output_open(path, &output, &failed);
    if (good && !draw_chart(s->arena, points.items, points.count, &axes, format,
                            output.beside ? output.beside : path, &error)) {
        cai_output_discard(&output);
        diag_error(&s->diag, DIAG_file, (Span){0}, "%s cannot be drawn: %s", path, error);
        return false;
    }
    good = good && cai_output_finish(&output, &failed);
    if (!good) diag_error(&s->diag, DIAG_file, (Span){0}, "%s", failed.message);
    return good;
}

int command_compare(Session *session) {
    const Options *o = session->options;
    const char *format = o->format ? o->format : "text", *chart = NULL;
    if (is_run_folder(o->file)) return compare_runs(session);
    if (strcmp(format, "text") != 0 && strcmp(format, "json") != 0 && strcmp(format, "csv") != 0)
        return session_usage(session, "--format is text, json or csv, not `%s`", format);
    if (o->output && !(chart = picture_format(session, o->output, NULL))) return session_end(session);
    Comparison c = {.session = session, .options = *o};
    for (int i = 0; i < o->defines.count; i++) vec_push(session->arena, &c.given, o->defines.items[i]);
    if (!o->init) c.options.init = "1";
    session->options = &c.options;
    add_compared_file(&c, o->file);
    for (int i = 0; i < o->rest.count; i++) add_compared_file(&c, o->rest.items[i]);
    session->options = o;
    report_differences(&c);
    if (session->diag.errors == 0) {
        if (strcmp(format, "text") == 0) print_comparison(&c);
        else if (strcmp(format, "json") == 0) print_comparison_json(&c);
        else print_csv(&c);
        if (chart) draw_comparison(&c, o->output, chart);
    }
    return session_end(session);
}
