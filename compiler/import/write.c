/* Writes the text of the model. A body takes three steps: which lines are written within
 * others, what tensors are called, and the statements. A line that is used once is
 * written where it is used: always in a chain of arrows, elsewhere if it is short. A
 * tensor takes over the name of its operand, `x = x -> ..`, if the operand has no later
 * reader. */
#include "import/import.h"
#include "files/files.h"
#include <ctype.h>
#include <stdlib.h>

cai_tensor runtime_tensor(const OnnxTensor *tensor);

enum { WIDTH = 110, SHORT_OPERAND = 36, SHORT_ARGUMENT = 48 };

/* Precedence of an expression, lowest first. */
typedef enum Tightness {
    TIGHT_ARROW,
    TIGHT_OR,
    TIGHT_AND,
    TIGHT_NOT,
    TIGHT_COMPARE,
    TIGHT_SUM,
    TIGHT_PRODUCT,
    TIGHT_SIGN,
    TIGHT_POWER,
    TIGHT_ATOM
} Tightness;

typedef struct WrittenBody {
    Import *im;
    Line *const *lines;
    int count;
    Wire *const *results;
    int result_count;
    Map *uses;     /* of a wire, within the body: how often it is read, as intptr_t */
    Map *reserved; /* names that no tensor may have */
} WrittenBody;

/* ---- expressions ---- */

static Tightness tightness_of_line(const Line *line) {
    static const struct {
        const char *op;
        Tightness tight;
    } ops[] = {{"or", TIGHT_OR},      {"and", TIGHT_AND},    {"==", TIGHT_COMPARE}, {"!=", TIGHT_COMPARE},
               {"<", TIGHT_COMPARE},  {"<=", TIGHT_COMPARE}, {">", TIGHT_COMPARE},  {">=", TIGHT_COMPARE},
               {"+", TIGHT_SUM},      {"-", TIGHT_SUM},      {"*", TIGHT_PRODUCT},  {"/", TIGHT_PRODUCT},
               {"//", TIGHT_PRODUCT}, {"%", TIGHT_PRODUCT},  {"@", TIGHT_PRODUCT},  {"**", TIGHT_POWER}};
    switch (line->style) {
    case STYLE_STAGE: return TIGHT_ARROW;
    case STYLE_PREFIX: return line->callee[0] == 'n' ? TIGHT_NOT : TIGHT_SIGN;
    case STYLE_INFIX:
        for (int i = 0; i < COUNT_OF(ops); i++)
            if (!strcmp(ops[i].op, line->callee)) return ops[i].tight;
        return TIGHT_OR;
    default: return TIGHT_ATOM;
    }
}

static const char *line_text(Import *im, const Line *line);

static const char *wire_text(Import *im, const Wire *wire, Tightness least) {
    if (!wire->line || !wire->line->within) return wire->called ? wire->called : "x";
    const char *text = line_text(im, wire->line);
    return tightness_of_line(wire->line) < least ? arena_printf(im->arena, "(%s)", text) : text;
}

static const char *written_operand(Import *im, const Operand *operand, Tightness least) {
    if (operand->wire) return wire_text(im, operand->wire, least);
    const bool negative = operand->text[0] == '-' && least > TIGHT_SIGN;
    return negative ? arena_printf(im->arena, "(%s)", operand->text) : operand->text;
}

/* Whether a setting of a run of a block equals its default, and is omitted. */
static bool is_usual(const Line *line, const Setting *setting) {
    for (int i = 0; line->block && setting->key && i < line->block->parameters.count; i++) {
        const BlockParameter *p = &line->block->parameters.items[i];
        if (!strcmp(p->name, setting->key)) return p->usual && !strcmp(p->usual, setting->text);
    }
    return false;
}

static void add_written_settings(Text *text, const Line *line, int before) {
    for (int i = 0; i < line->settings.count; i++) {
        const Setting *setting = &line->settings.items[i];
        if (is_usual(line, setting)) continue;
        text_add(text, "%s%s%s%s", before++ ? ", " : "", setting->key ? setting->key : "",
                 setting->key ? " = " : "", setting->text);
    }
}

static bool is_word_text(const char *text) {
    if (!isalpha((unsigned char)*text)) return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && *text != '_') return false;
    return true;
}

static void add_stage(Import *im, Text *text, const Line *line) {
    if (line->layer) {
        text_add(text, "%s", line->layer->called);
        return;
    }
    if (line->label && line_has_weights(line))
        text_add(text, is_word_text(line->label) && !is_reserved(im, line->label) ? "%s: " : "\"%s\": ",
                 line->label);
    Text settings = {.arena = text->arena};
    add_written_settings(&settings, line, 0);
    text_add(text, settings.length ? "%s(%s)" : "%s", line->callee, text_string(&settings));
}

static void add_tuple(Import *im, Text *text, const Line *line) {
    for (int i = 0; i < line->inputs.count; i++)
        text_add(text, "%s%s", i ? ", " : "(", written_operand(im, &line->inputs.items[i], TIGHT_ARROW));
    text_add(text, ")");
}

static const char *line_text(Import *im, const Line *line) {
    Text text = {.arena = im->arena};
    const Operand *inputs = line->inputs.items;
    const Tightness tight = tightness_of_line(line);
    switch (line->style) {
    case STYLE_INFIX:
        text_add(&text, "%s %s ",
                 written_operand(im, &inputs[0],
                                 tight == TIGHT_POWER     ? TIGHT_ATOM
                                 : tight == TIGHT_COMPARE ? tight + 1
                                                          : tight),
                 line->callee);
        text_add(&text, "%s", written_operand(im, &inputs[1], tight == TIGHT_POWER ? TIGHT_SIGN : tight + 1));
        break;
    case STYLE_PREFIX:
        text_add(&text, "%s%s", line->callee, written_operand(im, &inputs[0], tight + 1));
        break;
    case STYLE_INDEX:
        text_add(&text, "%s[", written_operand(im, &inputs[0], TIGHT_ATOM));
        add_written_settings(&text, line, 0);
        text_add(&text, "]");
        break;
    case STYLE_CALL:
        text_add(&text, "%s(", line->callee);
        for (int i = 0; i < line->inputs.count; i++)
            text_add(&text, "%s%s", i ? ", " : "", written_operand(im, &inputs[i], TIGHT_ARROW));
        add_written_settings(&text, line, line->inputs.count);
        text_add(&text, ")");
        break;
    case STYLE_STAGE:
        if (line->inputs.count == 1) text_add(&text, "%s", written_operand(im, &inputs[0], TIGHT_ARROW));
        else add_tuple(im, &text, line);
        text_add(&text, " -> ");
        add_stage(im, &text, line);
    }
    return text_string(&text);
}

/* ---- which lines are written within others ---- */

static int uses_of(const WrittenBody *body, const Wire *wire) {
    return (int)(intptr_t)map_get(body->uses, wire);
}

static void count_use(WrittenBody *body, const Wire *wire) {
    map_set(body->uses, wire, (void *)(intptr_t)(uses_of(body, wire) + 1));
}

static bool may_stand_within(const WrittenBody *body, const Line *line, const Line *user) {
    if (!line || line->results.count != 1 || line->rounds.count || is_param(line) ||
        uses_of(body, line->results.items[0]) != 1)
        return false;
    if (user->rounds.count) return false;
    if (user->style == STYLE_STAGE && user->inputs.count == 1) return true;
    const size_t length = strlen(line_text(body->im, line));
    const bool arrow = tightness_of_line(line) == TIGHT_ARROW;
    if (user->style == STYLE_INFIX || user->style == STYLE_INDEX || user->style == STYLE_PREFIX)
        return length <= (arrow ? SHORT_OPERAND : SHORT_ARGUMENT);
    return length <= SHORT_ARGUMENT;
}

static void nest_lines(WrittenBody *body) {
    for (int i = 0; i < body->count; i++)
        for (int k = 0; k < body->lines[i]->inputs.count; k++)
            if (body->lines[i]->inputs.items[k].wire) count_use(body, body->lines[i]->inputs.items[k].wire);
    for (int i = 0; i < body->result_count; i++) count_use(body, body->results[i]);
    for (int i = 0; i < body->count; i++) {
        Line *line = body->lines[i];
        for (int k = 0; k < line->inputs.count; k++) {
            const Wire *wire = line->inputs.items[k].wire;
            if (wire && wire->line && may_stand_within(body, wire->line, line)) wire->line->within = true;
        }
    }
    Line *last = body->count ? body->lines[body->count - 1] : NULL; /* it follows `return` */
    if (body->result_count == 1 && last && body->results[0]->line == last && !last->rounds.count &&
        !is_param(last) && last->results.count == 1 && uses_of(body, body->results[0]) == 1)
        last->within = true;
}

/* ---- names of tensors ---- */

static void each_leaf(const Line *line, void (*visit)(const Wire *wire, void *context), void *context) {
    for (int i = 0; i < line->inputs.count; i++) {
        const Wire *wire = line->inputs.items[i].wire;
        if (wire && wire->line && wire->line->within) each_leaf(wire->line, visit, context);
        else if (wire) visit(wire, context);
    }
}

typedef struct Lives {
    Map *last;
    int place;
} Lives; /* last: of a wire, the place of the last statement that reads it, plus 1 */

static void live_until(const Wire *wire, void *context) {
    Lives *lives = context;
    map_set(lives->last, wire, (void *)(intptr_t)(lives->place + 1));
}

/* holders: name -> the wire that has it; heir: the wire whose name the line's result may
 * take over */
typedef struct Naming {
    WrittenBody *body;
    Map *holders, *last;
    int place;
    const Wire *heir;
} Naming;

static bool is_free_name(const Naming *naming, Name name) {
    const Wire *holder = map_get(naming->holders, name);
    if (map_get(naming->body->reserved, name)) return false;
    return !holder || (intptr_t)map_get(naming->last, holder) <= naming->place;
}

static const char *fresh_name(Naming *naming) {
    static const char *const letters[] = {"x", "y", "z", "a", "b", "d", "e", "f", "g",
                                          "h", "p", "q", "r", "s", "t", "u", "v", "w"};
    Import *im = naming->body->im;
    for (int round = 1;; round++)
        for (int i = 0; i < COUNT_OF(letters); i++) {
            Name name = intern(im->names,
                               round == 1 ? letters[i] : arena_printf(im->arena, "%s%d", letters[i], round));
            if (is_free_name(naming, name)) return name;
        }
}

static void hold_name(Naming *naming, Wire *wire, Name name) {
    wire->called = name;
    map_set(naming->holders, name, wire);
}

/* Chooses the operand whose name the result takes over: among those read for the last
 * time the one called x, else the first. Weights keep their names. */
static void consider_heir(const Wire *wire, void *context) {
    Naming *naming = context;
    const bool dies = wire->called && (intptr_t)map_get(naming->last, wire) <= naming->place + 1;
    if (!dies || map_get(naming->body->reserved, wire->called) || (wire->line && is_param(wire->line)))
        return;
    if (!naming->heir || !strcmp(wire->called, "x")) naming->heir = wire;
}

static const char *name_of_result(Naming *naming, const Line *line) {
    naming->heir = NULL;
    if (line->rounds.count)
        consider_heir(line->inputs.items[0].wire, naming); /* the loop-carried tensor keeps its name */
    else each_leaf(line, consider_heir, naming);
    return line->results.count == 1 && naming->heir ? naming->heir->called : fresh_name(naming);
}

static void name_results(Naming *naming, Line *line) {
    Import *im = naming->body->im;
    for (int i = 0; i < line->results.count; i++) {
        const char *name = is_param(line) && line->label ? line->label : name_of_result(naming, line);
        hold_name(naming, line->results.items[i], intern(im->names, name));
    }
}

static void name_tensors(WrittenBody *body, Wire *const *inputs, int input_count) {
    Lives lives = {map_new(body->im->arena), 0};
    for (; lives.place < body->count; lives.place++)
        if (!body->lines[lives.place]->within) each_leaf(body->lines[lives.place], live_until, &lives);
    for (int i = 0; i < body->result_count; i++) {
        if (body->results[i]->line && body->results[i]->line->within)
            each_leaf(body->results[i]->line, live_until, &lives);
        else live_until(body->results[i], &lives);
    }
    Naming naming = {body, map_new(body->im->arena), lives.last, 0, NULL};
    for (int i = 0; i < input_count; i++)
        map_set(naming.holders, intern(body->im->names, inputs[i]->called), inputs[i]);
    for (; naming.place < body->count; naming.place++)
        if (!body->lines[naming.place]->within) name_results(&naming, body->lines[naming.place]);
}

/* ---- statements ---- */

/* Where to break a line of at most `room` bytes in text[from ..]: before an arrow or an
 * operator outside brackets, else after a comma in the outermost brackets; 0 if there is
 * no such place. The text continues after the blank that is there. */
static size_t line_end(const char *text, size_t from, size_t room) {
    int depth = 0, least = INT32_MAX;
    bool quoted = false;
    size_t found = 0;
    for (size_t at = 0; text[at] && at < from + room; at++) {
        if (text[at] == '"') quoted = !quoted;
        if (quoted) continue;
        depth += strchr("([{", text[at]) ? 1 : strchr(")]}", text[at]) ? -1 : 0;
        const char *here = text + at;
        const bool arrow =
            depth == 0 && (!strncmp(here, " -> ", 4) || !strncmp(here, " + ", 3) || !strncmp(here, " * ", 3));
        const bool comma = depth > 0 && here[0] == ' ' && at > 0 && here[-1] == ',';
        if (at > from + 1 && (arrow || comma) && depth <= least) found = at, least = depth;
    }
    return found;
}

static void add_wrapped(Text *out, const char *indent, const char *text) {
    const size_t length = strlen(text), deeper = strlen(indent) + 2;
    size_t from = 0, end;
    text_add(out, "%s", indent);
    for (size_t room = WIDTH - strlen(indent); length - from > room && (end = line_end(text, from, room));
         room = WIDTH - deeper) {
        text_add(out, "%.*s\n%*s", (int)(end - from), text + from, (int)deeper, "");
        from = end + 1;
    }
    text_add(out, "%s\n", text + from);
}

static void add_loop(Text *out, Import *im, const Line *loop) {
    const Wire *from = loop->inputs.items[0].wire;
    const char *name = loop->results.items[0]->called;
    Text stage = {.arena = im->arena};
    if (strcmp(from->called, name)) text_add(out, "  %s = %s\n", name, from->called);
    if (loop->inputs.count == 1) text_add(&stage, "%s = %s -> ", name, name);
    else {
        text_add(&stage, "%s = (%s", name, name);
        for (int i = 1; i < loop->inputs.count; i++)
            text_add(&stage, ", %s", written_operand(im, &loop->inputs.items[i], TIGHT_ARROW));
        text_add(&stage, ") -> ");
    }
    add_stage(im, &stage, loop);
    text_add(out, "  for i in 0 .. %d {\n", loop->rounds.count);
    add_wrapped(out, "    ", text_string(&stage));
    text_add(out, "  }\n");
}

static void add_statement(Text *out, Import *im, const Line *line) {
    Text names = {.arena = im->arena};
    if (line->rounds.count) {
        add_loop(out, im, line);
        return;
    }
    for (int i = 0; i < line->results.count; i++)
        text_add(&names, "%s%s", i ? ", " : "", line->results.items[i]->called);
    const char *targets = text_string(&names);
    if (line->results.count > 1) targets = arena_printf(im->arena, "(%s)", targets);
    add_wrapped(out, "  ", arena_printf(im->arena, "%s = %s", targets, line_text(im, line)));
}

static void add_body(Text *out, WrittenBody *body) {
    Text results = {.arena = body->im->arena};
    for (int i = 0; i < body->count; i++)
        if (!body->lines[i]->within) add_statement(out, body->im, body->lines[i]);
    for (int i = 0; i < body->result_count; i++)
        text_add(&results, "%s%s", i ? ", " : "", wire_text(body->im, body->results[i], TIGHT_ARROW));
    add_wrapped(out, "  ",
                arena_printf(body->im->arena, body->result_count > 1 ? "return (%s)" : "return %s",
                             text_string(&results)));
}

static WrittenBody body_new(Import *im, Line *const *lines, int count, Wire *const *results,
                            int result_count) {
    WrittenBody body = {im, lines, count, results, result_count, map_new(im->arena), map_new(im->arena)};
    for (int i = 0; i < count; i++) map_set(body.reserved, intern(im->names, lines[i]->callee), im);
    map_set(body.reserved, intern(im->names, "i"), im);
    for (int i = 0; i < im->blocks.count; i++)
        map_set(body.reserved, intern(im->names, im->blocks.items[i]->name), im);
    return body;
}

static void add_block(Text *out, Import *im, const Block *block) {
    WrittenBody body =
        body_new(im, block->lines.items, block->lines.count, block->results.items, block->results.count);
    static const char *const names[] = {"x", "y", "z", "u", "v", "w"};
    text_add(out, "block %s(", block->name);
    for (int i = 0; i < block->parameters.count; i++) {
        const BlockParameter *p = &block->parameters.items[i];
        text_add(out, "%s%s%s%s", i ? ", " : "", p->name, p->usual ? " = " : "", p->usual ? p->usual : "");
        map_set(body.reserved, intern(im->names, p->name), im);
    }
    text_add(out, block->parameters.count ? ")(" : "");
    for (int i = 0; i < block->inputs.count; i++) {
        block->inputs.items[i]->called = names[i];
        const char *type = block->types.items[i];
        text_add(out, "%s%s%s%s", i ? ", " : "", names[i], type ? ": " : "", type ? type : "");
    }
    text_add(out, ") {\n");
    nest_lines(&body);
    name_tensors(&body, block->inputs.items, block->inputs.count);
    add_body(out, &body);
    text_add(out, "}\n\n");
}

static void add_model(Text *out, Import *im, const char *name) {
    WrittenBody body = body_new(im, im->lines.items, im->lines.count, im->outputs.items, im->outputs.count);
    Text results = {.arena = im->arena};
    Map *taken = map_new(im->arena);
    for (int i = 0; i < im->inputs.count; i++) {
        im->inputs.items[i]->called = im->inputs.items[i]->name;
        map_set(body.reserved, im->inputs.items[i]->name, im);
        map_set(taken, im->inputs.items[i]->name, im);
    }
    for (int i = 0; i < dims_symbol_count(im->dims); i++)
        map_set(body.reserved, dims_symbol(im->dims, i)->name, im);
    for (int i = 0; i < im->outputs.count; i++) {
        const char *base = identifier(im, im->output_ports.items[i].name, "y"), *called = base;
        for (int k = 2; map_get(taken, intern(im->names, called)); k++)
            called = arena_printf(im->arena, "%s_%d", base, k);
        map_set(taken, intern(im->names, called), im);
        text_add(&results, "%s%s: %s", i ? ", " : "", called,
                 shape_string(im->arena, im->outputs.items[i]->shape));
    }
    nest_lines(&body);
    name_tensors(&body, im->inputs.items, im->inputs.count);
    const char *list = im->outputs.count > 1 ? arena_printf(im->arena, "(%s)", text_string(&results))
                                             : text_string(&results);
    add_wrapped(out, "",
                arena_printf(im->arena, "model %s(%s) -> %s%s {", name, inputs_text(im), list, im->where));
    add_body(out, &body);
    text_add(out, "}\n");
}

/* ---- weights ---- */

static const char *joined_path(Arena *arena, const char *path, const char *name) {
    return *path ? arena_printf(arena, "%s.%s", path, name) : name;
}

static void add_written_weights(Import *im, const Line *line, const Line *own, const char *path,
                                Written *out);

static void add_run_weights(Import *im, const Block *block, const Line *own, const char *path, Written *out) {
    for (int i = 0; i < block->lines.count; i++)
        add_written_weights(im, block->lines.items[i], own->own.items[i], path, out);
}

static void add_written_weights(Import *im, const Line *line, const Line *own, const char *path,
                                Written *out) {
    if (!line_has_weights(own)) return;
    for (int i = 0; i < own->rounds.count; i++)
        add_run_weights(im, own->block, own->rounds.items[i],
                        joined_path(im->arena, path, round_label(im->arena, line->label, i)), out);
    if (own->rounds.count) return;
    if (own->block) add_run_weights(im, own->block, own, joined_path(im->arena, path, line->label), out);
    for (int i = 0; i < own->weights.count; i++) {
        const LineWeight *weight = &own->weights.items[i];
        const char *name =
            *weight->name ? joined_path(im->arena, joined_path(im->arena, path, line->label), weight->name)
                          : joined_path(im->arena, path, line->results.items[0]->called);
        vec_push(im->arena, &out->weights, (WeightEntry){name, weight, own->results.items[0]->type});
    }
}

/* The index in the ONNX tensor of element i of our tensor. */
static int64_t place_of_theirs(const LineWeight *weight, int64_t i) {
    int64_t steps[16], step = 1, place = 0;
    for (int k = weight->from_rank - 1; k >= 0; k--) steps[k] = step, step *= weight->from[k];
    for (int k = weight->rank - 1; k >= 0; i /= weight->dims[k--])
        place += i % weight->dims[k] * steps[weight->order[k]];
    return place;
}

static int file_type(int type) {
    static const int types[] = {
        [DTYPE_F32] = CAI_F32, [DTYPE_F16] = CAI_F16, [DTYPE_BF16] = CAI_BF16, [DTYPE_I8] = CAI_I8,
        [DTYPE_I32] = CAI_I32, [DTYPE_I64] = CAI_I64, [DTYPE_BOOL] = CAI_BOOL};
    return types[stored_dtype(type)];
}

static cai_tensor weight_tensor(Import *im, const WeightEntry *entry) {
    const LineWeight *weight = entry->weight;
    cai_tensor from = {0},
               out = {.name = entry->path,
                      .type = file_type(weight->tensor ? weight->tensor->type : weight->known->type),
                      .rank = weight->rank,
                      .count = 1};
    for (int i = 0; i < weight->rank; i++) out.dims[i] = weight->dims[i], out.count *= weight->dims[i];
    if (weight->tensor) from = runtime_tensor(weight->tensor);
    const int bytes = cai_type_bytes(out.type);
    bool as_is = from.type == out.type && weight->tensor;
    for (int i = 0; i < weight->rank; i++) as_is = as_is && weight->order[i] == i;
    if (as_is) {
        out.data = from.data;
        return out;
    }
    unsigned char *data = arena_alloc(im->arena, (size_t)(out.count * bytes));
    for (int64_t i = 0; i < out.count; i++) {
        const int64_t place = place_of_theirs(weight, i);
        cai_tensor one = from;
        cai_error error;
        int64_t whole;
        one.count = 1;
        if (weight->tensor) one.data += place * cai_type_bytes(from.type);
        else if (weight->known->reals)
            one.type = CAI_F64, one.data = (const unsigned char *)&weight->known->reals[place];
        else
            whole = dim_const_value(weight->known->sizes[place]), one.type = CAI_I64,
            one.data = (const unsigned char *)&whole;
        if (!cai_tensor_convert(&one, out.type, data + i * bytes, &error))
            INTERNAL_ERROR("%s", error.message);
    }
    out.data = data;
    return out;
}

bool import_write_weights(Import *im, const Written *written, const char *path) {
    cai_tensor *tensors = NEW_ARRAY(im->arena, cai_tensor, written->weights.count);
    cai_error error;
    for (int i = 0; i < written->weights.count; i++)
        tensors[i] = weight_tensor(im, &written->weights.items[i]);
    if (cai_tensors_write(path, tensors, written->weights.count, &error)) return true;
    diag_error(im->diag, DIAG_file, (Span){0}, "%s", error.message);
    return false;
}

/* ---- the file ---- */

static bool uses_onnx(const Import *im) {
    for (int i = 0; i < im->lines.count; i++)
        if (!strncmp(im->lines.items[i]->callee, "onnx.", 5)) return true;
    return false;
}

bool import_write(Import *im, const char *model, const char *comment, Written *out) {
    Text text = {.arena = im->arena};
    order_lines(im);
    recognise(im);
    write_maps_in_place(im);
    find_pictures(im);
    move_scalars(im);
    const bool onnx = uses_onnx(im);
    bind_shared_layers(im);
    find_repeats(im);
    name_lines(im);
    text_add(&text, "%s%s\n%s", comment, im->remarks ? im->remarks : "", onnx ? "use onnx\n\n" : "");
    for (int i = 0; i < im->blocks.count; i++) add_block(&text, im, im->blocks.items[i]);
    add_model(&text, im, model);
    for (int i = 0; i < im->lines.count; i++)
        add_written_weights(im, im->lines.items[i], im->lines.items[i], "", out);
    const char *raw = text_string(&text);
    out->text = format_source(im->arena, im->names, im->diag, source_new(im->arena, "", raw, strlen(raw)));
    return out->text != NULL;
}
