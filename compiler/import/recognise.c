/* Recognises blocks of the library by their operators. Each block has a row in
 * patterns.def. */
#include "import/recognise.h"
#include <ctype.h>
#include <stdlib.h>

/* ---- matching ---- */

static bool is_callee(const Line *line, const char *words, size_t length) {
    const size_t own = strlen(line->callee);
    for (const char *at = words; at < words + length; at += strcspn(at, "| ") + 1)
        if (strcspn(at, "| ()") == own && !strncmp(at, line->callee, own)) return true;
    return false;
}

static bool match_operand(Match *m, const char *at, const Operand *operand);

static bool match_in_order(Match *m, const char *at, const Line *line, bool turned) {
    for (int i = 0; i < line->inputs.count; i++) {
        at = pattern_word(at);
        if (*at == ')' || !match_operand(m, at, &line->inputs.items[turned ? line->inputs.count - 1 - i : i]))
            return false;
        at = pattern_behind(at);
    }
    return *pattern_word(at) == ')';
}

/* Matches one line. A line that the pattern does not name must have no settings, since no
 * `finish` checks them. */
static bool match_line(Match *m, const char *at, Line *line, bool named) {
    const size_t length = pattern_word_length(at);
    if (line && line->settings.count && !named) return false;
    if (!line || line->results.count != 1 || m->line_count == MAX_LINES || !is_callee(line, at, length))
        return false;
    m->lines[m->line_count++] = line;
    const Match before = *m;
    if (match_in_order(m, at + length, line, false)) return true;
    *m = before;
    const bool turns = line->inputs.count == 2 && (*at == '*' || *at == '+') && at[1] == ' ';
    return turns && match_in_order(m, at + length, line, true);
}

static bool bind_matched(Match *m, const char *name, size_t length, Wire *wire) {
    for (int i = 0; i < m->name_count; i++)
        if (m->names[i].length == length && !strncmp(m->names[i].name, name, length))
            return m->names[i].wire == wire;
    if (m->name_count == MAX_BOUND) return false;
    m->names[m->name_count].name = name, m->names[m->name_count].length = length,
    m->names[m->name_count++].wire = wire;
    return true;
}

bool is_number(const Match *m, double value, double wanted) {
    const int type = m->root->results.items[0]->type;
    const double error = type == ONNX_FLOAT16 ? 0x1p-10 : type == ONNX_BFLOAT16 ? 0x1p-7 : 2e-5;
    return fabs(value - wanted) <= error * fabs(wanted);
}

static bool match_number(Match *m, const char *at, size_t length, const Operand *operand) {
    if (!operand->text) return false;
    const double value = strtod(operand->text, NULL), wanted = strtod(at, NULL);
    if (*at != '#') return is_number(m, value, wanted);
    m->numbers[m->number_count].name = at + 1, m->numbers[m->number_count].length = length - 1,
    m->numbers[m->number_count++].value = value;
    return true;
}

static bool match_operand(Match *m, const char *at, const Operand *operand) {
    if (*at == '(') return operand->wire && match_line(m, at + 1, operand->wire->line, false);
    const size_t length = pattern_word_length(at);
    if (*at == '#' || isdigit((unsigned char)*at)) return match_number(m, at, length, operand);
    if (!operand->wire || !bind_matched(m, at, length, operand->wire)) return false;
    return at[length] != ':' || match_line(m, at + length + 2, operand->wire->line, true);
}

/* Whether the inner lines are read only within the pattern. Constants may have other
 * readers. */
static bool stands_alone(const Match *m, Map *uses) {
    for (int i = 0; i < m->line_count; i++) {
        if (!strcmp(m->lines[i]->callee, "tensor")) continue;
        const Wire *wire = m->lines[i]->results.items[0];
        int within = 0;
        for (int k = 0; k < m->line_count; k++)
            for (int n = 0; n < m->lines[k]->inputs.count; n++)
                within += m->lines[k]->inputs.items[n].wire == wire;
        if (m->lines[i] != m->root && within != (int)(intptr_t)map_get(uses, wire)) return false;
    }
    return true;
}

/* ---- the statement that replaces a match ---- */

Wire *matched_wire(const Match *m, const char *name) {
    for (int i = 0; i < m->name_count; i++)
        if (m->names[i].length == strlen(name) && !strncmp(m->names[i].name, name, strlen(name)))
            return m->names[i].wire;
    return NULL;
}

double matched_number(const Match *m, const char *name, double otherwise) {
    for (int i = 0; i < m->number_count; i++)
        if (m->numbers[i].length == strlen(name) && !strncmp(m->numbers[i].name, name, strlen(name)))
            return m->numbers[i].value;
    return otherwise;
}

const char *setting_of_line(const Line *line, const char *key) {
    for (int i = 0; i < line->settings.count; i++)
        if (key ? line->settings.items[i].key && !strcmp(line->settings.items[i].key, key)
                : !line->settings.items[i].key)
            return line->settings.items[i].text;
    return "";
}

bool has_setting(const Line *line, const char *key, const char *text) {
    return !strcmp(setting_of_line(line, key), text);
}

Line *line_in_place(const Match *m, Style style, const char *callee) {
    Line *line = NEW(m->im->arena, Line);
    *line = (Line){.style = style, .callee = callee, .node = m->root->node};
    return line;
}

void add_matched_input(const Match *m, Line *line, Wire *wire) {
    vec_push(m->im->arena, &line->inputs, (Operand){wire, NULL});
}
void add_matched_setting(const Match *m, Line *line, const char *key, const char *text) {
    vec_push(m->im->arena, &line->settings, (Setting){key, text});
}

Line *finish_stage(const Match *m, const char *callee) {
    Line *line = line_in_place(m, STYLE_STAGE, callee);
    add_matched_input(m, line, matched_wire(m, "x"));
    return onnx_type_is_float(m->root->results.items[0]->type) ? line : NULL;
}

void copy_weights(const Match *m, Line *line, const Line *from, const char *prefix) {
    for (int i = 0; i < from->weights.count; i++) {
        LineWeight weight = from->weights.items[i];
        weight.name = arena_printf(m->im->arena, "%s%s", prefix, weight.name);
        vec_push(m->im->arena, &line->weights, weight);
    }
    if (!line->hint) line->hint = from->hint;
    if (!*prefix || !line->node || !*line->node->name) line->node = from->node;
}

/* Adds a weight of one axis: a `param`, or a constant that the text would have. */
static bool vector_weight(const Match *m, Line *line, const Line *from, const char *name, const Wire *wire) {
    LineWeight weight = {.name = name, .known = wire->known, .tensor = wire->data, .rank = 1, .from_rank = 1};
    const int64_t count = wire->data ? wire->data->count : wire->known ? wire->known->count : 0;
    if (!count) return false;
    weight.dims[0] = weight.from[0] = count;
    vec_push(m->im->arena, &line->weights, weight);
    if (from->hint && !line->hint) line->hint = from->hint;
    return true;
}

/* x @ w + b, where b has one number for each output, becomes a dense layer. */
Line *finish_dense(const Match *m, const char *callee) {
    const Wire *bias = matched_wire(m, "b");
    const Line *dense = matched_wire(m, "y")->line;
    int64_t count;
    if (dense->weights.count != 1 || bias->shape.rank != 1 || !dim_is_const(bias->shape.dims[0], &count) ||
        count != dense->weights.items[0].dims[0])
        return NULL;
    Line *line = line_in_place(m, STYLE_STAGE, callee);
    add_matched_input(m, line, matched_wire(m, "x"));
    add_matched_setting(m, line, NULL, setting_of_line(dense, NULL));
    copy_weights(m, line, dense, "");
    if (!vector_weight(m, line, bias->line, "bias", bias)) return NULL;
    if (bias->hint) line->hint = bias->hint;
    return line;
}

/* Whether a weight has a number for each place along an axis of x, and no others. */
static bool is_along_axis(const Wire *wire, Shape x, int axis) {
    const int first = x.rank - wire->shape.rank;
    for (int i = 0; i < wire->shape.rank; i++)
        if (first + i == axis ? wire->shape.dims[i] != x.dims[axis] : !dim_is_one(wire->shape.dims[i]))
            return false;
    return first >= 0 && first <= axis;
}

static void add_norm_axis(const Match *m, Line *line, int axis) {
    if (axis != matched_wire(m, "x")->shape.rank - 1)
        add_matched_setting(m, line, "axis", arena_printf(m->im->arena, "%d", axis));
}

Line *finish_layernorm(const Match *m, const char *callee) {
    const Line *mean = matched_wire(m, "m")->line, *var = matched_wire(m, "v")->line;
    const char *axes = setting_of_line(mean, "axes");
    if (!*axes || axes[strspn(axes, "0123456789")] || !has_setting(var, "axes", axes) ||
        !has_setting(mean, "keep", "true") || !has_setting(var, "keep", "true"))
        return NULL;
    Line *line = line_in_place(m, STYLE_STAGE, callee);
    const double eps = matched_number(m, "eps", 0);
    add_matched_input(m, line, matched_wire(m, "x"));
    if (fabs(eps - 1e-5) > 1e-9) add_matched_setting(m, line, "eps", number_text(m->im->arena, eps, true));
    add_matched_setting(m, line, "affine", "false");
    add_norm_axis(m, line, (int)strtol(axes, NULL, 10));
    return line;
}

/* Adds the weights to a layer norm that has none yet. */
Line *finish_affine(const Match *m, const char *callee) {
    const Wire *w = matched_wire(m, "w"), *b = matched_wire(m, "b");
    const Line *plain = matched_wire(m, "y")->line;
    const Shape x = matched_wire(m, "x")->shape;
    const char *given = setting_of_line(plain, "axis");
    const int axis = *given ? (int)strtol(given, NULL, 10) : x.rank - 1;
    Line *line = line_in_place(m, STYLE_STAGE, callee);
    if (!has_setting(plain, "affine", "false") || !is_along_axis(w, x, axis) || !is_along_axis(b, x, axis))
        return NULL;
    add_matched_input(m, line, matched_wire(m, "x"));
    for (int i = 0; i < plain->settings.count; i++)
        if (strcmp(plain->settings.items[i].key, "affine"))
            vec_push(m->im->arena, &line->settings, plain->settings.items[i]);
    return vector_weight(m, line, w->line, "weight", w) && vector_weight(m, line, b->line, "bias", b) ? line
                                                                                                      : NULL;
}

/* A layer as the value of a setting: hardsigmoid(slope = 0.2). */
static const char *layer_text(const Match *m, const Line *line) {
    Text text = {.arena = m->im->arena};
    for (int i = 0; i < line->settings.count; i++) {
        const Setting *s = &line->settings.items[i];
        text_add(&text, "%s%s%s%s", i ? ", " : "(", s->key ? s->key : "", s->key ? " = " : "", s->text);
    }
    return arena_printf(m->im->arena, text.length ? "%s%s)" : "%s%s", line->callee, text_string(&text));
}

static bool is_gate_conv(const Line *conv) {
    for (int i = 0; i < conv->settings.count; i++)
        if (conv->settings.items[i].key) return false;
    return conv->settings.count == 2 && conv->weights.count == 2 &&
           !strcmp(conv->settings.items[1].text, "1");
}

Line *finish_squeeze_excite(const Match *m, const char *callee) {
    const Line *first = matched_wire(m, "e")->line, *second = matched_wire(m, "f")->line,
               *pool = matched_wire(m, "p")->line;
    const char *gate = layer_text(m, matched_wire(m, "g")->line),
               *activation = matched_wire(m, "a")->line->callee;
    if (matched_wire(m, "a")->line->settings.count) return NULL;
    if (!is_gate_conv(first) || !is_gate_conv(second) || !has_setting(pool, "axes", "(2, 3)") ||
        !has_setting(pool, "keep", "true"))
        return NULL;
    Line *line = line_in_place(m, STYLE_STAGE, callee);
    add_matched_input(m, line, matched_wire(m, "x"));
    add_matched_setting(m, line, "squeeze", setting_of_line(first, NULL));
    if (strcmp(activation, "relu")) add_matched_setting(m, line, "activation", activation);
    if (strcmp(gate, "sigmoid")) add_matched_setting(m, line, "gate", gate);
    copy_weights(m, line, first, "fc1.");
    copy_weights(m, line, second, "fc2.");
    line->hint = NULL, line->node = m->root->node;
    return line;
}

/* A mean over the pixels, which leaves no axes of size 1. */
Line *finish_spatial_mean(const Match *m, const char *callee) {
    const bool is_map = matched_wire(m, "x")->shape.rank == 4 && m->root->settings.count == 1;
    return is_map && has_setting(m->root, "axes", "(2, 3)") ? finish_stage(m, callee) : NULL;
}

Line *finish_global_avgpool(const Match *m, const char *callee) {
    const Line *pool = matched_wire(m, "p")->line;
    const Shape x = matched_wire(m, "x")->shape, y = m->root->results.items[0]->shape;
    if (!has_setting(pool, "axes", "(2, 3)") || y.rank != 2 || x.rank != 4 || y.dims[0] != x.dims[0] ||
        y.dims[1] != x.dims[1])
        return NULL;
    return finish_stage(m, callee);
}

bool read_order(const Line *permute, int rank, int *order) {
    const char *at = setting_of_line(permute, NULL);
    for (int i = 0; i < rank; i++) {
        at += strcspn(at, "0123456789");
        if (!*at) return false;
        order[i] = (int)strtol(at, (char **)&at, 10);
    }
    return true;
}

/* Whether the first line of the pattern turns axes as `there`, and the last turns them
 * back. */
static bool is_turned_back(const Match *m, int *there) {
    const int rank = matched_wire(m, "x")->shape.rank;
    int back[16];
    if (!read_order(matched_wire(m, "p")->line, rank, there) || !read_order(m->root, rank, back))
        return false;
    for (int i = 0; i < rank; i++)
        if (there[back[i]] != i) return false;
    return true;
}

/* The last axis is another one turned there. */
Line *finish_turned_norm(const Match *m, const char *callee) {
    const Line *norm = matched_wire(m, "l")->line;
    int there[16];
    if (!is_turned_back(m, there) || *setting_of_line(norm, "axis")) return NULL;
    Line *line = line_in_place(m, STYLE_STAGE, callee);
    add_matched_input(m, line, matched_wire(m, "x"));
    for (int i = 0; i < norm->settings.count; i++)
        vec_push(m->im->arena, &line->settings, norm->settings.items[i]);
    add_norm_axis(m, line, there[matched_wire(m, "x")->shape.rank - 1]);
    copy_weights(m, line, norm, "");
    return line;
}

/* A cast between two permutations that cancel. */
Line *finish_turned_cast(const Match *m, const char *callee) {
    const Line *cast = matched_wire(m, "c")->line;
    int there[16];
    if (!is_turned_back(m, there)) return NULL;
    Line *line = line_in_place(m, STYLE_STAGE, callee);
    add_matched_input(m, line, matched_wire(m, "x"));
    add_matched_setting(m, line, "type", setting_of_line(cast, "type"));
    return line;
}

/* Whether the line, if there is one, turns `count` axes from `axis` on to the front, and
 * leaves the others in their order. */
static bool turns_to_front(const Wire *wire, int axis, int count) {
    const int rank = wire ? wire->shape.rank : 0;
    int order[16];
    if (wire && !read_order(wire->line, rank, order)) return false;
    for (int i = 0; i < rank; i++)
        if (order[i] != (i < count ? axis + i : i < axis + count ? i - count : i)) return false;
    return true;
}

/* Rows of an axis that is turned to the front and back: put there, or added up. The axes
 * of the index are turned in the elements, too. */
Line *finish_put_along_axis(const Match *m, const char *callee) {
    Wire *x = matched_wire(m, "x"), *index = matched_wire(m, "i"), *values = matched_wire(m, "v");
    const Wire *rows = matched_wire(m, "s"), *turned = matched_wire(m, "q");
    const char *was = setting_of_line(rows->line, "axis"), *size = setting_of_line(rows->line, "size");
    int back[16], axis = 0;
    if ((*was && strcmp(was, "0")) || !read_order(m->root, rows->shape.rank, back)) return NULL;
    while (axis < rows->shape.rank && back[axis]) axis++;
    for (int i = 0; i < rows->shape.rank; i++)
        if (back[i] != (i < axis ? i + 1 : i == axis ? 0 : i)) return NULL;
    if (!turns_to_front(matched_wire(m, "p"), axis, 1) || !turns_to_front(turned, axis, index->shape.rank) ||
        (!turned && index->shape.rank))
        return NULL;
    Line *line = line_in_place(m, STYLE_CALL, callee);
    Wire *const put[] = {x, index, values}, *const added[] = {values, index};
    for (int i = 0; i < (x ? 3 : 2); i++) add_matched_input(m, line, x ? put[i] : added[i]);
    add_matched_setting(m, line, "axis", arena_printf(m->im->arena, "%d", axis));
    if (*size) add_matched_setting(m, line, "size", size);
    return line;
}

/* y[2:3] without its first axis is y[2]. */
Line *finish_row(const Match *m, const char *callee) {
    const Line *slice = matched_wire(m, "s")->line;
    const Shape y = matched_wire(m, "y")->shape, part = matched_wire(m, "s")->shape,
                row = m->root->results.items[0]->shape;
    const char *bounds = setting_of_line(slice, NULL);
    char *colon;
    const long place = strtol(bounds, &colon, 10);
    if (slice->settings.count != 1 || slice->inputs.count != 1 || *colon != ':' || strchr(colon + 1, ':') ||
        part.rank != y.rank || row.rank != y.rank - 1 || !dim_is_one(part.dims[0]))
        return NULL;
    for (int i = 0; i < row.rank; i++)
        if (part.dims[i + 1] != y.dims[i + 1] || row.dims[i] != y.dims[i + 1]) return NULL;
    Line *line = line_in_place(m, STYLE_INDEX, callee);
    add_matched_input(m, line, matched_wire(m, "y"));
    add_matched_setting(m, line, NULL, arena_printf(m->im->arena, "%ld", place));
    return line;
}

/* Rounding by way of a cast to ints and back. */
Line *finish_round(const Match *m, const char *callee) {
    const Line *ints = matched_wire(m, "d")->line;
    return has_setting(m->root, "type", "\"f32\"") && has_setting(ints, "type", "\"i32\"") &&
                   matched_wire(m, "x")->shape.type == DTYPE_F32
               ? finish_stage(m, callee)
               : NULL;
}

/* The elements of a constant with one number for each channel of [N, C, H, W]; false if
 * it is not such a constant. */
static bool channel_numbers(const Wire *wire, int64_t channels, double *out) {
    const Known *k = wire ? wire->known : NULL;
    if (!k || !k->reals || k->count != channels || k->rank < 3 || k->dims[k->rank - 3] != channels)
        return false;
    memcpy(out, k->reals, sizeof *out * (size_t)channels);
    return true;
}

static const char *numbers_text(const Match *m, const double *numbers, int64_t count) {
    Text text = {.arena = m->im->arena};
    for (int64_t i = 0; i < count; i++)
        text_add(&text, "%s%s", i ? ", " : "[", number_text(m->im->arena, (float)numbers[i], true));
    text_add(&text, "]");
    return text_string(&text);
}

enum { MAX_CHANNELS = 16 };

/* Which formula a pattern has follows from the names in it, each a number or one number
 * for each channel: (x - m) / d, (x - m) * s, x * s + b or x * s - n. */
Line *finish_normalize(const Match *m, const char *callee) {
    const Shape x = matched_wire(m, "x")->shape;
    double mean[MAX_CHANNELS], std[MAX_CHANNELS], scale[MAX_CHANNELS], shift[MAX_CHANNELS];
    int64_t channels;
    if (x.rank != 4 || !dim_is_const(x.dims[1], &channels) || channels > MAX_CHANNELS) return NULL;
    const bool divided = channel_numbers(matched_wire(m, "d"), channels, std),
               scaled = channel_numbers(matched_wire(m, "s"), channels, scale),
               added = channel_numbers(matched_wire(m, "b"), channels, shift),
               taken = !added && channel_numbers(matched_wire(m, "n"), channels, shift);
    if (!channel_numbers(matched_wire(m, "m"), channels, mean) && !(scaled && (added || taken))) return NULL;
    for (int64_t i = 0; i < channels; i++) {
        if (!divided) std[i] = scaled ? 1 / scale[i] : matched_number(m, "d", 1 / matched_number(m, "s", 1));
        if (added || taken) mean[i] = (added ? -shift[i] : shift[i]) * std[i];
    }
    Line *line = finish_stage(m, callee);
    if (!line) return NULL;
    add_matched_setting(m, line, "mean", numbers_text(m, mean, channels));
    add_matched_setting(m, line, "std", numbers_text(m, std, channels));
    return line;
}

static bool is_scaled(const Match *m, const Wire *wire) {
    for (int i = 0; i < m->im->lines.count; i++) {
        const Line *line = m->im->lines.items[i];
        for (int k = 0; k < line->inputs.count; k++)
            if (line->inputs.items[k].wire == wire && is_callee(line, "*|/)", 3)) return true;
    }
    return false;
}

/* Forms that normalize if they are applied to an input of the model, but may mean
 * anything further inside. A mean alone counts only if no division follows. */
Line *finish_normalize_input(const Match *m, const char *callee) {
    const Wire *x = matched_wire(m, "x");
    const bool mean_alone = m->line_count == 2;
    int64_t channels;
    if (mean_alone && is_scaled(m, m->root->results.items[0])) return NULL;
    const bool is_colour = x->shape.rank == 4 && dim_is_const(x->shape.dims[1], &channels) && channels == 3;
    return is_colour && !x->line && !wire_is_constant(x) ? finish_normalize(m, callee) : NULL;
}

/* ---- the table ---- */

typedef struct Pattern {
    const char *pattern;
    Finish *finish;
    const char *callee;
} Pattern;

static const Pattern patterns[] = {
#define PATTERN(pattern, finish, callee) {pattern, finish, callee},
#include "import/patterns.def"
#undef PATTERN
};

static Map *count_uses(Import *im) {
    Map *uses = map_new(im->arena);
    for (int i = 0; i < im->lines.count; i++)
        for (int k = 0; k < im->lines.items[i]->inputs.count; k++) {
            const Wire *wire = im->lines.items[i]->inputs.items[k].wire;
            if (wire) map_set(uses, wire, (void *)((intptr_t)map_get(uses, wire) + 1));
        }
    for (int i = 0; i < im->outputs.count; i++)
        map_set(uses, im->outputs.items[i], (void *)((intptr_t)map_get(uses, im->outputs.items[i]) + 1));
    return uses;
}

static Line *recognised_line(Import *im, Line *line, Map *uses) {
    for (int i = 0; i < COUNT_OF(patterns); i++) {
        Match m = {.im = im, .root = line};
        if (!match_line(&m, patterns[i].pattern + 1, line, true) || !stands_alone(&m, uses)) continue;
        Line *made = patterns[i].finish(&m, patterns[i].callee);
        if (made) return made;
    }
    return NULL;
}

void recognise(Import *im) {
    Map *uses = count_uses(im);
    for (int i = 0; i < im->lines.count; i++) {
        Line *old = im->lines.items[i], *line = recognised_line(im, old, uses);
        if (!line) continue;
        vec_push(im->arena, &line->results, old->results.items[0]);
        old->results.items[0]->line = line;
        im->lines.items[i] = line;
        order_lines(im);
        uses = count_uses(im);
        i = -1; /* start over: a recognised block may be part of another */
    }
}
