/* Equal parts of the model become runs of blocks, and consecutive runs become loops. A
 * window is a range of lines. Two windows are equal if their lines make the same calls in
 * the same order, read inputs from the same lines of the window or, from outside, in the
 * same slots, and if the same results are read outside. Settings in which they differ
 * become parameters of the block. The set of equal windows that saves most text is
 * replaced, again and again, so that blocks contain runs of smaller blocks. Windows that
 * were one module in the exporter's framework, by the names of the nodes, are
 * preferred. */
#include "import/import.h"
#include <ctype.h>
#include <stdlib.h>

enum {
    MAX_BOUNDS = 3,
    LONGEST_WINDOW = 160,
    MAX_PARAMETERS = 8,
    MAX_INPUTS = 6,
    MAX_ROUNDS = 24,
    FEWEST_IN_LOOP = 3
};
static const double FEWEST_UNITS = 2.6, LEAST_GAIN = 2.5;

/* ---- the parts of a line that may differ ---- */

typedef struct ArgumentSlot {
    const char *key, *text, *usual;
} ArgumentSlot; /* usual: the default, or NULL */
typedef Vec(ArgumentSlot) ArgumentSlots;

static const struct {
    const char *callee, *key, *usual;
} defaults[] = {
    {"conv", "stride", "1"},        {"conv", "pad", "none"},      {"conv", "dilation", "1"},
    {"conv", "groups", "1"},        {"depthwise", "stride", "1"}, {"depthwise", "pad", "none"},
    {"depthwise", "dilation", "1"}, {"batchnorm", "eps", "1e-5"}, {"conv_transpose", "stride", "1"},
    {"conv_transpose", "pad", "0"}, {"layernorm", "eps", "1e-5"},
};

static const char *usual_of(const Line *line, const char *key) {
    for (int i = 0; line->block && i < line->block->parameters.count; i++)
        if (!strcmp(line->block->parameters.items[i].name, key))
            return line->block->parameters.items[i].usual;
    for (int i = 0; i < COUNT_OF(defaults); i++)
        if (!strcmp(defaults[i].callee, line->callee) && !strcmp(defaults[i].key, key))
            return defaults[i].usual;
    return NULL;
}

static const char *setting_of(const Line *line, const char *key) {
    for (int i = 0; i < line->settings.count; i++)
        if (line->settings.items[i].key && !strcmp(line->settings.items[i].key, key))
            return line->settings.items[i].text;
    return NULL;
}

/* smaller bounds of a slice are part of its meaning, and never become parameters */
enum { FEWEST_CHANNELS = 4 };

static bool has_letters(const char *text) {
    for (; *text; text++)
        if (isalpha((unsigned char)*text)) return true;
    return false;
}

/* Finds the next number of channels in the bounds of a slice, the `16` of ":16". Returns
 * where it begins and its length in *length; if there is none, the end of the text and 0.
 * Bounds with letters are formulas and have none. */
static const char *next_bound(const char *at, size_t *length) {
    const bool formula = has_letters(at);
    for (; *at; at += *length ? *length : 1) {
        *length = strspn(at, "0123456789");
        if (*length && !formula && strtoll(at, NULL, 10) >= FEWEST_CHANNELS) return at;
    }
    return *length = 0, at;
}

static void add_bound_slots(Import *im, const char *text, ArgumentSlots *slots) {
    size_t length;
    for (const char *at = next_bound(text, &length); length; at = next_bound(at + length, &length))
        vec_push(im->arena, slots, (ArgumentSlot){NULL, arena_strndup(im->arena, at, length), NULL});
}

/* The bounds of a slice, replaced by `bounds`, or each by "#" if `bounds` is NULL. */
static const char *with_bounds(Import *im, const char *text, const char *const *bounds) {
    Text out = {.arena = im->arena};
    size_t length;
    for (const char *at = next_bound(text, &length);; at = next_bound(text, &length)) {
        text_add_bytes(&out, text, (size_t)(at - text));
        if (!length) return text_string(&out);
        text_add(&out, "%s", bounds ? *bounds++ : "#");
        text = at + length;
    }
}

/* The arguments of a line that may differ between equal lines: literal operands, then
 * settings by position (of slices only numbers of channels), then settings with a key.
 * Library layers list all their settings, with defaults, in a fixed order. */
static ArgumentSlots slots_of(Import *im, const Line *line) {
    ArgumentSlots slots = {0};
    for (int i = 0; i < line->inputs.count; i++)
        if (!line->inputs.items[i].wire)
            vec_push(im->arena, &slots, (ArgumentSlot){NULL, line->inputs.items[i].text, NULL});
    for (int i = 0; i < line->settings.count; i++) {
        if (line->settings.items[i].key) continue;
        if (line->style == STYLE_INDEX) add_bound_slots(im, line->settings.items[i].text, &slots);
        else vec_push(im->arena, &slots, (ArgumentSlot){NULL, line->settings.items[i].text, NULL});
    }
    for (int i = 0; i < COUNT_OF(defaults); i++) {
        if (strcmp(defaults[i].callee, line->callee)) continue;
        const char *given = setting_of(line, defaults[i].key);
        vec_push(im->arena, &slots,
                 (ArgumentSlot){defaults[i].key, given ? given : defaults[i].usual, defaults[i].usual});
    }
    for (int i = 0; i < line->settings.count; i++) {
        const Setting *s = &line->settings.items[i];
        if (s->key && (line->block || !usual_of(line, s->key)))
            vec_push(im->arena, &slots, (ArgumentSlot){s->key, s->text, usual_of(line, s->key)});
    }
    return slots;
}

/* Everything that must be equal for two lines to be equal. */
static Name kind_of_line(Import *im, const Line *line) {
    Text text = {.arena = im->arena};
    text_add(&text, "%d|%s|%p|%d|%d|", line->style, line->callee, (const void *)line->block,
             line->rounds.count, line->results.count);
    for (int i = 0; i < line->inputs.count; i++) text_add(&text, line->inputs.items[i].wire ? "w" : "l");
    const ArgumentSlots slots = slots_of(im, line);
    for (int i = 0; i < slots.count; i++)
        text_add(&text, "|%s", slots.items[i].key ? slots.items[i].key : "");
    for (int i = 0; i < line->weights.count; i++)
        text_add(&text, "|%s:%d", line->weights.items[i].name, line->weights.items[i].rank);
    const bool fixed = !strcmp(line->callee, "cast"); /* a parameter cannot be an element type */
    for (int i = 0; fixed && i < slots.count; i++) text_add(&text, "|=%s", slots.items[i].text);
    for (int i = 0; line->style == STYLE_INDEX && i < line->settings.count; i++)
        text_add(&text, "|=%s", with_bounds(im, line->settings.items[i].text, NULL));
    return intern(im->names, text_string(&text));
}

/* ---- the lines, and who reads what ---- */

typedef struct RepeatedBody {
    Import *im;
    Line **lines;
    int count;
    Name *kinds;
    const char **scopes;
    double *units;  /* the amount of text of each line */
    Map *places;    /* of a wire: the line that makes it, plus 1 */
    Map *last_uses; /* of a wire: the last line that reads it, plus 1; count + 1 for outputs */
} RepeatedBody;

static int place_of_wire(const RepeatedBody *body, const Wire *wire) {
    return (int)(intptr_t)map_get(body->places, wire) - 1;
}
static int last_use(const RepeatedBody *body, const Wire *wire) {
    return (int)(intptr_t)map_get(body->last_uses, wire) - 1;
}

static double unit_of(const Line *line) {
    if (line->block) return 1.5;
    if (line->weights.count) return *line->weights.items[0].name ? 1 : 0.5;
    return line->style == STYLE_CALL && line->inputs.count == 0 ? 0.3 : 0.6;
}

static RepeatedBody body_of(Import *im) {
    RepeatedBody body = {.im = im,
                         .lines = im->lines.items,
                         .count = im->lines.count,
                         .places = map_new(im->arena),
                         .last_uses = map_new(im->arena)};
    body.kinds = NEW_ARRAY(im->arena, Name, body.count);
    body.scopes = NEW_ARRAY(im->arena, const char *, body.count);
    body.units = NEW_ARRAY(im->arena, double, body.count);
    for (int i = 0; i < body.count; i++) {
        Line *line = body.lines[i];
        body.kinds[i] = kind_of_line(im, line), body.scopes[i] = scope_of(im, line),
        body.units[i] = unit_of(line);
        for (int k = 0; k < line->results.count; k++)
            map_set(body.places, line->results.items[k], (void *)(intptr_t)(i + 1));
        for (int k = 0; k < line->inputs.count; k++)
            if (line->inputs.items[k].wire)
                map_set(body.last_uses, line->inputs.items[k].wire, (void *)(intptr_t)(i + 1));
    }
    for (int i = 0; i < im->outputs.count; i++)
        map_set(body.last_uses, im->outputs.items[i], (void *)(intptr_t)(body.count + 1));
    return body;
}

/* ---- equal windows ---- */

typedef struct Outside {
    int count;
    const Wire *wires[MAX_INPUTS];
} Outside; /* wires from outside the window that it reads, by slot */

static int slot_of(Outside *outside, const Wire *wire) {
    for (int i = 0; i < outside->count; i++)
        if (outside->wires[i] == wire) return i;
    if (outside->count == MAX_INPUTS) return -1;
    outside->wires[outside->count] = wire;
    return outside->count++;
}

static int result_index(const Line *line, const Wire *wire) {
    for (int i = 0; i < line->results.count; i++)
        if (line->results.items[i] == wire) return i;
    return -1;
}

static bool alike_inputs(const RepeatedBody *body, int a, int b, int k, Outside *from_a, Outside *from_b) {
    const Line *x = body->lines[a + k], *y = body->lines[b + k];
    for (int i = 0; i < x->inputs.count; i++) {
        const Wire *u = x->inputs.items[i].wire, *v = y->inputs.items[i].wire;
        if (!u) continue;
        const int p = place_of_wire(body, u), q = place_of_wire(body, v);
        if ((p >= a) != (q >= b)) return false;
        if (p >= a) {
            if (p - a != q - b || result_index(body->lines[p], u) != result_index(body->lines[q], v))
                return false;
        } else {
            const int slot = slot_of(from_a, u);
            if (slot < 0 || slot != slot_of(from_b, v)) return false;
        }
    }
    return true;
}

/* How many lines from a on equal those from b on. */
static int common_length(const RepeatedBody *body, int a, int b) {
    Outside from_a = {0}, from_b = {0};
    int length = 0;
    while (length < b - a && b + length < body->count && length < LONGEST_WINDOW &&
           body->kinds[a + length] == body->kinds[b + length] &&
           alike_inputs(body, a, b, length, &from_a, &from_b))
        length++;
    return length;
}

static bool is_read_outside(const RepeatedBody *body, const Wire *wire, int end) {
    return last_use(body, wire) >= end;
}

static int results_outside(const RepeatedBody *body, int begin, int length) {
    int count = 0;
    for (int k = 0; k < length; k++)
        for (int r = 0; r < body->lines[begin + k]->results.count; r++)
            count += is_read_outside(body, body->lines[begin + k]->results.items[r], begin + length);
    return count;
}

static bool alike_results(const RepeatedBody *body, int a, int b, int length) {
    for (int k = 0; k < length; k++)
        for (int r = 0; r < body->lines[a + k]->results.count; r++)
            if (is_read_outside(body, body->lines[a + k]->results.items[r], a + length) !=
                is_read_outside(body, body->lines[b + k]->results.items[r], b + length))
                return false;
    return true;
}

/* 1 if the window is exactly one module, -1 if it is part of one, 0 if the names do not
 * tell. */
static int module_part(const RepeatedBody *body, int begin, int length) {
    const char *path = NULL;
    for (int i = begin; i < begin + length; i++)
        if (body->scopes[i])
            path = path ? common_path(body->im->arena, path, body->scopes[i]) : body->scopes[i];
    if (!path) return 0;
    if (!*path) return -1;
    const size_t size = strlen(path);
    const int around[] = {begin - 1, begin + length};
    for (int i = 0; i < 2; i++) {
        const char *scope = around[i] >= 0 && around[i] < body->count ? body->scopes[around[i]] : NULL;
        if (scope && !strncmp(scope, path, size) && (!scope[size] || scope[size] == '.')) return -1;
    }
    return 1;
}

typedef struct RepeatChoice {
    int length, count;
    int begins[1024];
    double gain;
} RepeatChoice;

static int parameter_count(const RepeatedBody *body, const RepeatChoice *choice) {
    int count = 0;
    for (int k = 0; k < choice->length; k++) {
        const ArgumentSlots first = slots_of(body->im, body->lines[choice->begins[0] + k]);
        for (int s = 0; s < first.count; s++) {
            bool differs = false;
            for (int m = 1; !differs && m < choice->count; m++)
                differs = strcmp(first.items[s].text,
                                 slots_of(body->im, body->lines[choice->begins[m] + k]).items[s].text) != 0;
            count += differs;
        }
    }
    return count;
}

/* The text that a choice saves, less what the calls of the block take. A block that is
 * one module of the exporter's counts more; part of a module, or several results,
 * less. */
static double gain_of(const RepeatedBody *body, const RepeatChoice *choice) {
    double units = 0;
    for (int k = 0; k < choice->length; k++) units += body->units[choice->begins[0] + k];
    const int results = results_outside(body, choice->begins[0], choice->length);
    if (units < FEWEST_UNITS || results < 1 || results > 3) return 0;
    double gain = (choice->count - 1) * units - 2.5;
    const int module = module_part(body, choice->begins[0], choice->length);
    gain *= module > 0 ? 1.6 : module < 0 ? 0.5 : 1;
    return results > 1 ? gain * 0.7 : gain;
}

static void consider_repeat(const RepeatedBody *body, int begin, int length, const int *lengths,
                            RepeatChoice *best) {
    static RepeatChoice choice;
    choice.length = length, choice.count = 1, choice.begins[0] = begin;
    for (int j = begin + length; j < body->count && choice.count < COUNT_OF(choice.begins); j++) {
        if (lengths[j] < length || j < choice.begins[choice.count - 1] + length ||
            !alike_results(body, begin, j, length))
            continue;
        choice.begins[choice.count++] = j;
    }
    if (choice.count < 2) return;
    choice.gain = gain_of(body, &choice);
    if (choice.gain <= best->gain) return;
    choice.gain -= 0.25 * parameter_count(body, &choice) * choice.count;
    if (choice.gain > best->gain) *best = choice;
}

static bool choose_repeat(const RepeatedBody *body, RepeatChoice *best) {
    int *lengths = NEW_ARRAY(body->im->arena, int, body->count);
    best->gain = LEAST_GAIN, best->count = 0;
    for (int i = 0; i < body->count; i++) {
        int longest = 0;
        for (int j = i + 1; j < body->count; j++) {
            lengths[j] = body->kinds[i] == body->kinds[j] ? common_length(body, i, j) : 0;
            longest = lengths[j] > longest ? lengths[j] : longest;
        }
        for (int length = 2; length <= longest; length++) consider_repeat(body, i, length, lengths, best);
    }
    return best->count > 0;
}

/* ---- parameters ---- */

typedef struct Column { /* the texts of one slot of the window, one for each run */
    const char **texts;
    const char *usual, *key;
    int64_t *numbers;    /* NULL unless all are integers */
    const char *written; /* the text in the block */
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
    static const char *const channels[] = {"conv", "dense", "conv_transpose"};
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
    if (!column->written) new_parameter(p, column);
}

static int64_t size_of_column(const Column *column) { return column->numbers ? column->numbers[0] : -1; }

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
    const ArgumentSlots slots = slots_of(im, from);
    int at = 0;
    line->settings.items = NULL, line->settings.count = line->settings.capacity = 0;
    for (int i = 0; i < line->inputs.count; i++)
        if (!line->inputs.items[i].wire) line->inputs.items[i].text = columns[at++].written;
    for (int i = 0; line->style == STYLE_INDEX && i < from->settings.count; i++) {
        ArgumentSlots bounds = {0};
        add_bound_slots(im, from->settings.items[i].text, &bounds);
        const char **written = NEW_ARRAY(im->arena, const char *, bounds.count + 1);
        for (int k = 0; k < bounds.count; k++) written[k] = columns[at++].written;
        vec_push(im->arena, &line->settings,
                 (Setting){NULL, with_bounds(im, from->settings.items[i].text, written)});
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
            if (is_read_outside(body, wire, choice->begins[0] + choice->length))
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
    Outside outside = {0};
    for (int k = 0; k < length; k++) {
        Line *own = body->lines[begin + k];
        vec_push(im->arena, &line->own, own);
        for (int i = 0; i < own->inputs.count; i++) {
            Wire *wire = own->inputs.items[i].wire;
            const int before = outside.count;
            if (wire && place_of_wire(body, wire) < begin && slot_of(&outside, wire) >= before &&
                outside.count > before)
                vec_push(im->arena, &line->inputs, (Operand){wire, NULL});
        }
        for (int r = 0; r < own->results.count; r++) {
            if (!is_read_outside(body, own->results.items[r], begin + length)) continue;
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
static bool is_learnt_wire(const Wire *wire) {
    const Line *line = wire->line;
    if (line && !is_param(line) && line->inputs.count == 1 && line->inputs.items[0].wire)
        line = line->inputs.items[0].wire->line;
    return line && is_param(line);
}

/* Whether the line is x + y with two tensors, not x plus a learnt number. */
static bool adds_tensors(const Line *line) {
    bool adds = line->style == STYLE_INFIX && !strcmp(line->callee, "+");
    for (int i = 0; adds && i < line->inputs.count; i++) {
        const Wire *wire = line->inputs.items[i].wire;
        adds = wire && !is_learnt_wire(wire);
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

static Column *columns_of_choice(Import *im, const RepeatedBody *body, const RepeatChoice *choice, int k) {
    const Line *line = body->lines[choice->begins[0] + k];
    const ArgumentSlots first = slots_of(im, line);
    Column *columns = NEW_ARRAY(im->arena, Column, first.count);
    for (int s = 0; s < first.count; s++) {
        Column *column = &columns[s];
        *column = (Column){.texts = NEW_ARRAY(im->arena, const char *, choice->count),
                           .usual = first.items[s].usual};
        column->key = parameter_name(line, &first.items[s], s);
        for (int m = 0; m < choice->count; m++) {
            column->texts[m] = slots_of(im, body->lines[choice->begins[m] + k]).items[s].text;
            column->forced = column->forced || names_symbol(im, column->texts[m]);
        }
        column->numbers = numbers_of(im, column->texts, choice->count);
    }
    return columns;
}

static void replace_repeat(Import *im, const RepeatedBody *body, const RepeatChoice *choice) {
    Block *block = NEW(im->arena, Block);
    block->name = block_name(im, body, choice);
    Parameters p = {.im = im, .block = block, .names = map_new(im->arena), .runs = choice->count};
    static const char *const inputs[] = {"x", "y", "z", "u", "v", "w", "i"};
    for (int i = 0; i < COUNT_OF(inputs); i++) map_set(p.names, intern(im->names, inputs[i]), &p);
    Column **columns = NEW_ARRAY(im->arena, Column *, choice->length);
    Vec(Column *) all = {0};
    for (int k = 0; k < choice->length; k++) {
        columns[k] = columns_of_choice(im, body, choice, k);
        const int count = slots_of(im, body->lines[choice->begins[0] + k]).count;
        for (int s = 0; s < count; s++) vec_push(im->arena, &all, &columns[k][s]);
    }
    if (all.count) qsort(all.items, (size_t)all.count, sizeof *all.items, columns_by_size);
    for (int i = 0; i < all.count; i++) write_column(&p, all.items[i]);
    sort_parameters(&p);
    write_template(im, body, choice, block, columns);
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

/* ---- loops ---- */

static bool same_settings(const Line *a, const Line *b) {
    for (int i = 0; i < a->settings.count; i++)
        if (strcmp(a->settings.items[i].text, b->settings.items[i].text)) return false;
    return true;
}

/* Whether b runs the same block as a, on the result of a. */
static bool repeat_goes_on(const RepeatedBody *body, const Line *a, const Line *b, int place) {
    if (!a->block || a->block != b->block || a->rounds.count || b->rounds.count || a->results.count != 1 ||
        !same_settings(a, b))
        return false;
    if (b->inputs.items[0].wire != a->results.items[0] || last_use(body, a->results.items[0]) != place)
        return false;
    for (int i = 1; i < a->inputs.count; i++)
        if (a->inputs.items[i].wire != b->inputs.items[i].wire) return false;
    return true;
}

static void make_loops(Import *im) {
    const RepeatedBody body = body_of(im);
    Line **lines = NEW_ARRAY(im->arena, Line *, body.count);
    int kept = 0;
    for (int i = 0, end; i < body.count; i = end) {
        for (end = i + 1;
             end < body.count && repeat_goes_on(&body, body.lines[end - 1], body.lines[end], end); end++) {}
        if (end - i < FEWEST_IN_LOOP) {
            lines[kept++] = body.lines[i], end = i + 1;
            continue;
        }
        Line *loop = NEW(im->arena, Line);
        *loop = *body.lines[i];
        loop->results.items = body.lines[end - 1]->results.items,
        loop->results.count = loop->results.capacity = 1;
        loop->own.items = NULL, loop->own.count = loop->own.capacity = 0;
        for (int k = i; k < end; k++) vec_push(im->arena, &loop->rounds, body.lines[k]);
        loop->results.items[0]->line = loop;
        lines[kept++] = loop;
    }
    im->lines.items = lines, im->lines.count = im->lines.capacity = kept;
}

void find_repeats(Import *im) {
    static RepeatChoice best;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        const RepeatedBody body = body_of(im);
        if (!choose_repeat(&body, &best)) return;
        replace_repeat(im, &body, &best);
        make_loops(im);
    }
}
