/* Equal parts of the model become runs of blocks, and consecutive runs become loops. A
 * window is a range of lines. Two windows are equal if their lines make the same calls in
 * the same order, read inputs from the same lines of the window or, from outside, in the
 * same slots, and if the same results are read outside. Settings in which they differ
 * become parameters of the block. The set of equal windows that saves most text is
 * replaced, again and again, so that blocks contain runs of smaller blocks. Windows that
 * were one module in the exporter's framework, by the names of the nodes, are
 * preferred. */
#include "import/repeat.h"
#include <ctype.h>
#include <stdlib.h>

enum { LONGEST_WINDOW = 160, MAX_ROUNDS = 24, FEWEST_IN_LOOP = 3 };
static const double FEWEST_UNITS = 2.6, LEAST_GAIN = 2.5;

/* ---- the parts of a line that may differ ---- */

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

void repeat_bound_slots(Import *im, const char *text, ArgumentSlots *slots) {
    size_t length;
    for (const char *at = next_bound(text, &length); length; at = next_bound(at + length, &length))
        vec_push(im->arena, slots, (ArgumentSlot){NULL, arena_strndup(im->arena, at, length), NULL});
}

const char *repeat_with_bounds(Import *im, const char *text, const char *const *bounds) {
    Text out = {.arena = im->arena};
    size_t length;
    for (const char *at = next_bound(text, &length);; at = next_bound(text, &length)) {
        text_add_bytes(&out, text, (size_t)(at - text));
        if (!length) return text_string(&out);
        text_add(&out, "%s", bounds ? *bounds++ : "#");
        text = at + length;
    }
}

ArgumentSlots repeat_slots_of(Import *im, const Line *line) {
    ArgumentSlots slots = {0};
    for (int i = 0; i < line->inputs.count; i++)
        if (!line->inputs.items[i].wire)
            vec_push(im->arena, &slots, (ArgumentSlot){NULL, line->inputs.items[i].text, NULL});
    for (int i = 0; i < line->settings.count; i++) {
        if (line->settings.items[i].key) continue;
        if (line->style == STYLE_INDEX) repeat_bound_slots(im, line->settings.items[i].text, &slots);
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
    const ArgumentSlots slots = repeat_slots_of(im, line);
    for (int i = 0; i < slots.count; i++)
        text_add(&text, "|%s", slots.items[i].key ? slots.items[i].key : "");
    const bool binds = line->style == STYLE_CALL && line->weights.count && *line->weights.items[0].name;
    /* blocks do not see names of layers */
    if (line->layer || binds) text_add(&text, "|%p", (const void *)line);
    for (int i = 0; i < line->weights.count; i++)
        text_add(&text, "|%s:%d", line->weights.items[i].name, line->weights.items[i].rank);
    const bool fixed = !strcmp(line->callee, "cast"); /* a parameter cannot be an element type */
    for (int i = 0; fixed && i < slots.count; i++) text_add(&text, "|=%s", slots.items[i].text);
    for (int i = 0; line->style == STYLE_INDEX && i < line->settings.count; i++)
        text_add(&text, "|=%s", repeat_with_bounds(im, line->settings.items[i].text, NULL));
    return intern(im->names, text_string(&text));
}

/* ---- the lines, and who reads what ---- */

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

/* The wire's slot, which is added if it is new; -1 if there are too many. */
static int slot_of_input(Outside *outside, Wire *wire) {
    for (int i = 0; i < outside->count; i++)
        if (outside->wires[i] == wire) return i;
    if (outside->count == MAX_INPUTS) return -1;
    outside->wires[outside->count] = wire;
    return outside->count++;
}

Outside repeat_inputs(const RepeatedBody *body, int begin, int length) {
    Outside outside = {0};
    for (int k = begin; k < begin + length; k++)
        for (int i = 0; i < body->lines[k]->inputs.count; i++) {
            Wire *wire = body->lines[k]->inputs.items[i].wire;
            if (wire && place_of_wire(body, wire) < begin) slot_of_input(&outside, wire);
        }
    return outside;
}

static int result_index(const Line *line, const Wire *wire) {
    for (int i = 0; i < line->results.count; i++)
        if (line->results.items[i] == wire) return i;
    return -1;
}

static bool alike_inputs(const RepeatedBody *body, int a, int b, int k, Outside *from_a, Outside *from_b) {
    const Line *x = body->lines[a + k], *y = body->lines[b + k];
    for (int i = 0; i < x->inputs.count; i++) {
        Wire *u = x->inputs.items[i].wire, *v = y->inputs.items[i].wire;
        if (!u) continue;
        const int p = place_of_wire(body, u), q = place_of_wire(body, v);
        if ((p >= a) != (q >= b)) return false;
        if (p >= a) {
            if (p - a != q - b || result_index(body->lines[p], u) != result_index(body->lines[q], v))
                return false;
        } else {
            const int slot = slot_of_input(from_a, u);
            if (slot < 0 || slot != slot_of_input(from_b, v)) return false;
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

bool repeat_is_read_behind(const RepeatedBody *body, const Wire *wire, int end) {
    return last_use(body, wire) >= end;
}

static int results_outside(const RepeatedBody *body, int begin, int length) {
    int count = 0;
    for (int k = 0; k < length; k++)
        for (int r = 0; r < body->lines[begin + k]->results.count; r++)
            count += repeat_is_read_behind(body, body->lines[begin + k]->results.items[r], begin + length);
    return count;
}

static bool alike_results(const RepeatedBody *body, int a, int b, int length) {
    for (int k = 0; k < length; k++)
        for (int r = 0; r < body->lines[a + k]->results.count; r++)
            if (repeat_is_read_behind(body, body->lines[a + k]->results.items[r], a + length) !=
                repeat_is_read_behind(body, body->lines[b + k]->results.items[r], b + length))
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

static int parameter_count(const RepeatedBody *body, const RepeatChoice *choice) {
    int count = 0;
    for (int k = 0; k < choice->length; k++) {
        const ArgumentSlots first = repeat_slots_of(body->im, body->lines[choice->begins[0] + k]);
        for (int s = 0; s < first.count; s++) {
            bool differs = false;
            for (int m = 1; !differs && m < choice->count; m++)
                differs =
                    strcmp(first.items[s].text,
                           repeat_slots_of(body->im, body->lines[choice->begins[m] + k]).items[s].text) != 0;
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
    if (!repeat_inputs(body, choice->begins[0], choice->length).count) return 0; /* a stage reads something */
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
