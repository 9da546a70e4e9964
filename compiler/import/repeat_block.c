/* A block for equal windows of the model, and its runs in their places. */
#include "import/repeat.h"
#include <ctype.h>
#include <stdlib.h>

/* ---- parameters ---- */

typedef struct Column { /* the texts of one slot of the window, one for each run */
    const char **texts;
    const char *usual, *key;
    int64_t *numbers;    /* NULL unless all are integers */
    const char *written; /* the text in the block */
    Shape *shapes;       /* of the results that the texts are the sizes of; or NULL */
    bool forced;         /* it contains a size of the model, which a block cannot see */
} Column;

static bool names_symbol(Import *im, const char *text) {
    for (int i = 0; i < dims_symbol_count(im->dims); i++) {
        const char *name = dims_symbol(im->dims, i)->name;
        const size_t length = strlen(name);
        for (const char *at = text; (at = strstr(at, name)); at++) {
            const bool before = at > text && (isalnum((unsigned char)at[-1]) || at[-1] == '_'),
                       behind = isalnum((unsigned char)at[length]) || at[length] == '_';
            if (!before && !behind) return true;
        }
    }
    return false;
}

static const char *parameter_name(const Line *line, const ArgumentSlot *slot, int place) {
    static const char *const channels[] = {"conv", "dense", "pointwise", "conv_transpose"};
    if (slot->key) return slot->key;
    if (line->block) return line->block->parameters.items[place].name;
    for (int i = 0; i < COUNT_OF(channels); i++)
        if (!strcmp(line->callee, channels[i]) && place == 0) return "c";
    if (!strcmp(line->callee, "conv") || !strcmp(line->callee, "depthwise") ||
        !strcmp(line->callee, "conv_transpose") || !strcmp(line->callee, "maxpool"))
        return "kernel";
    if (!strcmp(line->callee, "reshape")) return "shape";
    if (line->style == STYLE_INDEX) return "c";
    return line->style == STYLE_INFIX ? "factor" : "setting";
}

static bool column_differs(const Column *column, int count) {
    for (int m = 1; m < count; m++)
        if (strcmp(column->texts[0], column->texts[m])) return true;
    return column->forced;
}

static bool same_column(const Column *a, const Column *b, int count) {
    for (int m = 0; m < count; m++)
        if (strcmp(a->texts[m], b->texts[m])) return false;
    return true;
}

/* The integer n with a = n * b in every run; 0 if there is none. */
static int64_t column_multiple(const Column *a, const Column *b, int count) {
    if (!a->numbers || !b->numbers || b->numbers[0] <= 0 || a->numbers[0] % b->numbers[0]) return 0;
    const int64_t n = a->numbers[0] / b->numbers[0];
    for (int m = 0; m < count; m++)
        if (a->numbers[m] != n * b->numbers[m]) return 0;
    return n;
}

typedef struct Parameters {
    Import *im;
    Block *block;
    Vec(Column *) columns; /* one for each parameter */
    Map *names;
    BlockSizes *sizes;
    int runs;
} Parameters;

static void new_parameter(Parameters *p, Column *column) {
    const char *base = identifier(p->im, column->key, "setting"), *name = base;
    for (int i = 2; map_get(p->names, intern(p->im->names, name)); i++)
        name = arena_printf(p->im->arena, "%s%d", base, i);
    map_set(p->names, intern(p->im->names, name), p);
    bool usual = false;
    for (int m = 0; column->usual && m < p->runs; m++)
        usual = usual || !strcmp(column->texts[m], column->usual);
    column->written = name;
    if (column->numbers) block_sizes_add_numbers(p->sizes, name, column->numbers);
    vec_push(p->im->arena, &p->columns, column);
    vec_push(p->im->arena, &p->block->parameters, (BlockParameter){name, usual ? column->usual : NULL});
}

static void write_column(Parameters *p, Column *column) {
    if (!column_differs(column, p->runs)) {
        column->written = column->texts[0];
        return;
    }
    for (int i = 0; i < p->columns.count && !column->written; i++)
        if (same_column(column, p->columns.items[i], p->runs)) column->written = p->columns.items[i]->written;
    for (int i = 0; i < p->columns.count && !column->written; i++) {
        const int64_t n = column_multiple(column, p->columns.items[i], p->runs);
        if (n > 1)
            column->written =
                arena_printf(p->im->arena, "%lld * %s", (long long)n, p->columns.items[i]->written);
    }
    if (!column->written && column->shapes) column->written = block_sizes_list(p->sizes, column->shapes);
    if (!column->written && column->numbers && !strcmp(column->key, "c"))
        column->written = block_sizes_channels(p->sizes, column->numbers);
    if (!column->written) new_parameter(p, column);
}

/* Lists of sizes come last: they may have parameters as factors. */
static int64_t size_of_column(const Column *column) {
    return column->numbers ? column->numbers[0] : column->shapes ? INT64_MAX : -1;
}

static int columns_by_size(const void *a, const void *b) {
    const Column *x = *(Column *const *)a, *y = *(Column *const *)b;
    const int64_t p = size_of_column(x), q = size_of_column(y);
    return p != q ? (p > q) - (p < q) : (x > y) - (x < y);
}

/* Moves parameters with a default behind the others, as the language wants. */
static void sort_parameters(Parameters *p) {
    Block *block = p->block;
    for (int i = 1; i < block->parameters.count; i++)
        for (int k = i; k > 0 && block->parameters.items[k - 1].usual && !block->parameters.items[k].usual;
             k--) {
            BlockParameter parameter = block->parameters.items[k];
            Column *column = p->columns.items[k];
            block->parameters.items[k] = block->parameters.items[k - 1],
            p->columns.items[k] = p->columns.items[k - 1];
            block->parameters.items[k - 1] = parameter, p->columns.items[k - 1] = column;
        }
}

static int64_t *numbers_of(Import *im, const char *const *texts, int count) {
    int64_t *numbers = NEW_ARRAY(im->arena, int64_t, count);
    for (int m = 0; m < count; m++) {
        char *end;
        numbers[m] = strtoll(texts[m], &end, 10);
        if (*end || end == texts[m]) return NULL;
    }
    return numbers;
}

/* ---- a block ---- */

static Wire *wire_like(Import *im, const Wire *wire, Line *line) {
    Wire *copy = NEW(im->arena, Wire);
    *copy = *wire;
    copy->line = line, copy->called = NULL;
    return copy;
}

/* Writes the settings of a line of the block, without those that are defaults. */
static void write_settings(Import *im, Line *line, const Line *from, Column *columns) {
    const ArgumentSlots slots = repeat_slots_of(im, from);
    int at = 0;
    line->settings.items = NULL, line->settings.count = line->settings.capacity = 0;
    for (int i = 0; i < line->inputs.count; i++)
        if (!line->inputs.items[i].wire) line->inputs.items[i].text = columns[at++].written;
    for (int i = 0; line->style == STYLE_INDEX && i < from->settings.count; i++) {
        ArgumentSlots bounds = {0};
        repeat_bound_slots(im, from->settings.items[i].text, &bounds);
        const char **written = NEW_ARRAY(im->arena, const char *, bounds.count + 1);
        for (int k = 0; k < bounds.count; k++) written[k] = columns[at++].written;
        vec_push(im->arena, &line->settings,
                 (Setting){NULL, repeat_with_bounds(im, from->settings.items[i].text, written)});
    }
    for (; at < slots.count; at++) {
        const bool usual = slots.items[at].usual && !strcmp(columns[at].written, slots.items[at].usual);
        if (!usual || line->block)
            vec_push(im->arena, &line->settings, (Setting){slots.items[at].key, columns[at].written});
    }
}

static void write_template(Import *im, const RepeatedBody *body, const RepeatChoice *choice, Block *block,
                           Column *const *columns) {
    Map *inner = map_new(im->arena);
    for (int k = 0; k < choice->length; k++) {
        const Line *from = body->lines[choice->begins[0] + k];
        Line *line = NEW(im->arena, Line);
        *line = *from;
        line->inputs.items = NULL, line->inputs.count = line->inputs.capacity = 0;
        line->results.items = NULL, line->results.count = line->results.capacity = 0;
        for (int i = 0; i < from->inputs.count; i++) {
            Operand operand = from->inputs.items[i];
            Wire *mapped = operand.wire ? map_get(inner, operand.wire) : NULL;
            if (operand.wire && !mapped) {
                mapped = wire_like(im, operand.wire, NULL);
                map_set(inner, operand.wire, mapped);
                vec_push(im->arena, &block->inputs, mapped);
            }
            vec_push(im->arena, &line->inputs, (Operand){mapped, operand.text});
        }
        write_settings(im, line, from, columns[k]);
        for (int r = 0; r < from->results.count; r++) {
            Wire *wire = from->results.items[r], *copy = wire_like(im, wire, line);
            map_set(inner, wire, copy);
            vec_push(im->arena, &line->results, copy);
            if (repeat_is_read_behind(body, wire, choice->begins[0] + choice->length))
                vec_push(im->arena, &block->results, copy);
        }
        vec_push(im->arena, &block->lines, line);
    }
}

/* The line that runs the block, in place of a window. */
static Line *run_line(Import *im, const RepeatedBody *body, int begin, int length, const Block *block,
                      const Parameters *p, int run) {
    Line *line = NEW(im->arena, Line);
    *line =
        (Line){.style = STYLE_STAGE, .callee = block->name, .block = block, .node = body->lines[begin]->node};
    const Outside outside = repeat_inputs(body, begin, length);
    for (int i = 0; i < outside.count; i++)
        vec_push(im->arena, &line->inputs, (Operand){outside.wires[i], NULL});
    for (int k = 0; k < length; k++) {
        Line *own = body->lines[begin + k];
        vec_push(im->arena, &line->own, own);
        for (int r = 0; r < own->results.count; r++) {
            if (!repeat_is_read_behind(body, own->results.items[r], begin + length)) continue;
            vec_push(im->arena, &line->results, own->results.items[r]);
        }
    }
    for (int r = 0; r < line->results.count; r++) line->results.items[r]->line = line;
    for (int i = 0; i < block->parameters.count; i++) {
        const BlockParameter *parameter = &block->parameters.items[i];
        vec_push(im->arena, &line->settings,
                 (Setting){parameter->usual ? parameter->name : NULL, p->columns.items[i]->texts[run]});
    }
    return line;
}

/* Whether the wire is a weight, directly or reshaped. */
static bool is_learned_wire(const Wire *wire) {
    const Line *line = wire->line;
    if (line && !is_param(line) && line->inputs.count == 1 && line->inputs.items[0].wire)
        line = line->inputs.items[0].wire->line;
    return line && is_param(line);
}

/* Whether the line is x + y with two tensors, not x plus a learned number. */
static bool adds_tensors(const Line *line) {
    bool adds = line->style == STYLE_INFIX && !strcmp(line->callee, "+");
    for (int i = 0; adds && i < line->inputs.count; i++) {
        const Wire *wire = line->inputs.items[i].wire;
        adds = wire && !is_learned_wire(wire);
    }
    return adds;
}

static const char *block_name(Import *im, const RepeatedBody *body, const RepeatChoice *choice) {
    static const struct {
        const char *callee, *name;
    } kinds[] = {{"scaled_attention", "attend"}, {"softmax", "attend"},
                 {"layernorm", "layer"},         {"concat", "stage"},
                 {"squeeze_excite", "mobile"},   {"depthwise", "separable"},
                 {"conv_transpose", "up"}};
    const char *base = NULL;
    bool adds = false, calls = false, layers = false;
    for (int k = 0; k < choice->length; k++) {
        const Line *line = body->lines[choice->begins[0] + k];
        for (int i = 0; i < COUNT_OF(kinds) && !base; i++)
            if (!strcmp(kinds[i].callee, line->callee)) base = kinds[i].name;
        adds = adds || adds_tensors(line);
        calls = calls || line->block;
        layers = layers || (line->weights.count && !is_param(line));
    }
    if (!base || !strcmp(base, "separable"))
        base = adds     ? base ? "inverted" : "residual_unit"
               : base   ? base
               : calls  ? "stage"
               : layers ? "unit"
                        : "affine";
    const char *name = base;
    for (int i = 2;; i++) {
        bool taken = false;
        for (int b = 0; b < im->blocks.count; b++) taken = taken || !strcmp(im->blocks.items[b]->name, name);
        if (!taken) return name;
        name = arena_printf(im->arena, "%s%d", base,
                            i); /* not _2, which the language uses for a second run of the first block */
    }
}

/* The shapes of which a slot of line k of the window has the sizes, one for each run; or
 * NULL. */
static Shape *shapes_of_slot(Import *im, const RepeatedBody *body, const RepeatChoice *choice, int k,
                             const char *const *texts) {
    Shape *shapes = NEW_ARRAY(im->arena, Shape, choice->count);
    for (int m = 0; m < choice->count; m++) {
        shapes[m] = body->lines[choice->begins[m] + k]->results.items[0]->shape;
        if (strcmp(texts[m], dims_text(im->arena, shapes[m].dims, shapes[m].rank))) return NULL;
    }
    return shapes;
}

static Column *columns_of_choice(Import *im, const RepeatedBody *body, const RepeatChoice *choice, int k) {
    const Line *line = body->lines[choice->begins[0] + k];
    const ArgumentSlots first = repeat_slots_of(im, line);
    Column *columns = NEW_ARRAY(im->arena, Column, first.count);
    for (int s = 0; s < first.count; s++) {
        Column *column = &columns[s];
        *column = (Column){.texts = NEW_ARRAY(im->arena, const char *, choice->count),
                           .usual = first.items[s].usual};
        column->key = parameter_name(line, &first.items[s], s);
        for (int m = 0; m < choice->count; m++) {
            column->texts[m] = repeat_slots_of(im, body->lines[choice->begins[m] + k]).items[s].text;
            column->forced = column->forced || names_symbol(im, column->texts[m]);
        }
        column->numbers = numbers_of(im, column->texts, choice->count);
        column->shapes = shapes_of_slot(im, body, choice, k, column->texts);
    }
    return columns;
}

void replace_repeat(Import *im, const RepeatedBody *body, const RepeatChoice *choice) {
    Block *block = NEW(im->arena, Block);
    block->name = block_name(im, body, choice);
    Parameters p = {.im = im,
                    .block = block,
                    .names = map_new(im->arena),
                    .runs = choice->count,
                    .sizes = block_sizes_new(body, choice)};
    static const char *const inputs[] = {"x", "y", "z", "u", "v", "w", "i"};
    for (int i = 0; i < COUNT_OF(inputs); i++) map_set(p.names, intern(im->names, inputs[i]), &p);
    Column **columns = NEW_ARRAY(im->arena, Column *, choice->length);
    Vec(Column *) all = {0};
    for (int k = 0; k < choice->length; k++) {
        columns[k] = columns_of_choice(im, body, choice, k);
        const int count = repeat_slots_of(im, body->lines[choice->begins[0] + k]).count;
        for (int s = 0; s < count; s++) vec_push(im->arena, &all, &columns[k][s]);
    }
    if (all.count) qsort(all.items, (size_t)all.count, sizeof *all.items, columns_by_size);
    for (int i = 0; i < all.count; i++) write_column(&p, all.items[i]);
    sort_parameters(&p);
    write_template(im, body, choice, block, columns);
    for (int i = 0; i < block->inputs.count; i++)
        vec_push(im->arena, &block->types, block_sizes_type(p.sizes, i));
    vec_push(im->arena, &im->blocks, block);
    int kept = 0;
    Line **lines = NEW_ARRAY(im->arena, Line *, body->count);
    for (int i = 0, run = 0; i < body->count;) {
        if (run == choice->count || i != choice->begins[run]) {
            lines[kept++] = body->lines[i++];
            continue;
        }
        lines[kept] = run_line(im, body, i, choice->length, block, &p, run++);
        if (!block->first) block->first = lines[kept];
        kept++, i += choice->length;
    }
    im->lines.items = lines, im->lines.count = im->lines.capacity = kept;
}
