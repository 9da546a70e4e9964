/* Finds the inputs that are pictures. They become `image[..]`: levels from 0 to 1, red
 * first.
 *
 * Inputs that --image names are pictures of the kind it says. Any other input is one if
 * the model normalizes it by constants that only pictures have: for three channels, a
 * mean and a deviation each, where the means also tell which channel is red, since
 * natural pictures have more red than blue; for one channel, a division by 255. The rest
 * of the normalization is then written for levels from 0 to 1. */
#include "import/import.h"
#include <stdlib.h>

/* ---- --image NAME[:bgr][:255],.. ---- */

static bool has_word(const char *at, size_t length, const char *word) {
    return length == strlen(word) && memcmp(at, word, length) == 0;
}

/* Parses one NAME[:bgr][:255]; false if a word is unknown. */
static bool read_asked(Import *im, const char *at, size_t length) {
    const size_t name = min_i64((int64_t)strcspn(at, ":"), (int64_t)length);
    AskedPicture asked = {.name = arena_strndup(im->arena, at, name)};
    for (size_t from = name; from < length;) {
        const char *word = at + from + 1;
        const size_t end = min_i64((int64_t)strcspn(word, ":,"), (int64_t)(length - from - 1));
        if (has_word(word, end, "bgr")) asked.blue_first = true;
        else if (has_word(word, end, "255")) asked.levels = true;
        else if (!has_word(word, end, "rgb")) return false;
        from += end + 1;
    }
    vec_push(im->arena, &im->asked, asked);
    return name > 0;
}

bool read_asked_pictures(Import *im, const char *text) {
    for (const char *at = text; at && *at;) {
        const size_t length = strcspn(at, ",");
        if (!read_asked(im, at, length)) {
            diag_error(im->diag, DIAG_onnx_operator, (Span){0},
                       "--image takes names of inputs, with `:bgr` or `:255` where that applies, not `%s`",
                       text);
            return false;
        }
        at += length + (at[length] == ',');
    }
    return true;
}

AskedPicture *asked_picture(Import *im, const char *name) {
    for (int i = 0; i < im->asked.count; i++)
        if (strcmp(im->asked.items[i].name, name) == 0) return &im->asked.items[i];
    return NULL;
}

/* The axis of the channels, 1 or 3; -1 if the port is no picture. */
static int channel_axis(const OnnxPort *port) {
    static const int axes[] = {1, 3};
    for (int i = 0; port->rank == 4 && i < COUNT_OF(axes); i++)
        if (port->dims[axes[i]] == 1 || port->dims[axes[i]] == 3) return axes[i];
    return -1;
}

bool picture_sizes(Import *im, const OnnxPort *port, const char *const *sizes, const char **out) {
    static const int first[] = {0, 1, 2, 3}, last[] = {0, 3, 1, 2};
    const int *order = channel_axis(port) == 3 ? last : first;
    const bool typed = onnx_type_is_float(port->type) || port->type == ONNX_UINT8;
    if (channel_axis(port) < 0 || !typed) {
        diag_error(
            im->diag, DIAG_onnx_operator, (Span){0},
            "the input `%s` is not a picture: a picture is of floats or uint8, with 1 or 3 channels before or after its height and width",
            port->name);
        return false;
    }
    *out = arena_printf(im->arena, "%s, %s, %s, %s", sizes[order[0]], sizes[order[1]], sizes[order[2]],
                        sizes[order[3]]);
    return true;
}

static void remark_levels(Import *im, const Wire *wire) {
    add_remark(im, "# `%s` has values from 0 to 1, where the file has 0 to 255.\n", wire->name);
}

/* Converts the picture to the tensor that the nodes of the file expect. */
static Wire *as_in_file(Import *im, Wire *wire, const OnnxPort *port, const AskedPicture *asked) {
    const bool bytes = port->type == ONNX_UINT8;
    typed(wire, bytes ? ONNX_FLOAT : port->type);
    if (asked->levels || bytes) remark_levels(im, wire);
    if (asked->blue_first) wire = stage(im, wire, "flip", "axes = [1]");
    if (asked->levels || bytes) wire = infix_number(im, "*", wire, 255);
    if (bytes)
        wire = typed(stage(im, stage(im, wire, "round", "%s", ""), "cast", "type = \"i32\""), ONNX_UINT8);
    return channel_axis(port) == 3 ? permuted(im, wire, (int[]){0, 2, 3, 1}) : wire;
}

void begin_pictures(Import *im) {
    im->node = &no_node;
    for (int i = 0; i < im->inputs.count; i++) {
        const OnnxPort *port = &im->input_ports.items[i];
        AskedPicture *asked = asked_picture(im, port->name);
        if (!asked) continue;
        asked->found = true;
        map_set(im->wires, port->name, as_in_file(im, im->inputs.items[i], port, asked));
    }
    for (int i = 0; i < im->asked.count; i++)
        if (!im->asked.items[i].found)
            diag_error(im->diag, DIAG_onnx_operator, (Span){0}, "--image: there is no input `%s`",
                       im->asked.items[i].name);
}

/* ---- those that are normalized ---- */

/* The line that reads the wire if there is just one; else NULL. */
static Line *only_reader(const Import *im, const Wire *wire) {
    Line *found = NULL;
    for (int i = 0; i < im->outputs.count; i++)
        if (im->outputs.items[i] == wire) return NULL;
    for (int i = 0; i < im->lines.count; i++)
        for (int k = 0; k < im->lines.items[i]->inputs.count; k++) {
            if (im->lines.items[i]->inputs.items[k].wire != wire) continue;
            if (found) return NULL;
            found = im->lines.items[i];
        }
    return found;
}

/* x / 255 or x * 0.003921569 */
static bool divides_levels(const Line *line, const Wire *wire) {
    if (!line || line->style != STYLE_INFIX || line->inputs.items[0].wire != wire ||
        !line->inputs.items[1].text)
        return false;
    const double number = strtod(line->inputs.items[1].text, NULL);
    if (strcmp(line->callee, "/") == 0) return number == 255;
    return strcmp(line->callee, "*") == 0 && fabs(number * 255 - 1) < 1e-6;
}

/* Makes all readers of the line's result read `wire` instead. */
static void leave_line_out(const Line *line, Wire *wire, Import *im) {
    const Wire *result = line->results.items[0];
    for (int i = 0; i < im->lines.count; i++)
        for (int k = 0; k < im->lines.items[i]->inputs.count; k++)
            if (im->lines.items[i]->inputs.items[k].wire == result)
                im->lines.items[i]->inputs.items[k].wire = wire;
    for (int i = 0; i < im->outputs.count; i++)
        if (im->outputs.items[i] == result) im->outputs.items[i] = wire;
}

static const char **setting_text(const Line *line, const char *key) {
    for (int i = 0; i < line->settings.count; i++)
        if (line->settings.items[i].key && strcmp(line->settings.items[i].key, key) == 0)
            return &line->settings.items[i].text;
    return NULL;
}

enum { COLOURS = 3 };

static bool three_numbers(const Line *line, const char *key, double *out) {
    const char **text = setting_text(line, key);
    const char *at = text ? *text : "";
    for (int i = 0; i < COLOURS; i++) {
        char *behind;
        at += strspn(at, "[, ");
        out[i] = strtod(at, &behind);
        if (behind == at) return false;
        at = behind;
    }
    return at[strspn(at, "] ")] == 0;
}

/* Writes numbers as a setting, with as few digits as an f32 needs. */
static void set_numbers(Import *im, const Line *line, const char *key, const double *numbers) {
    Text text = {.arena = im->arena};
    for (int i = 0; i < COLOURS; i++)
        text_add(&text, "%s%s", i ? ", " : "[", number_text(im->arena, (float)numbers[i], true));
    *setting_text(line, key) = arena_printf(im->arena, "%s]", text_string(&text));
}

static void divide_by_255(Import *im, const Line *line, const char *key, double *numbers) {
    for (int i = 0; i < COLOURS; i++) numbers[i] /= 255;
    set_numbers(im, line, key, numbers);
}

/* Reverses the channels of the picture before the line that normalizes it. */
static void put_blue_first(Import *im, Line *line, Wire *wire) {
    Line *flip = NEW(im->arena, Line);
    Wire *turned = NEW(im->arena, Wire);
    *flip = (Line){.style = STYLE_STAGE, .callee = "flip", .node = &no_node};
    *turned = (Wire){
        .type = wire->type, .line = flip, .name = intern(im->names, "blue_first"), .shape = wire->shape};
    vec_push(im->arena, &flip->inputs, (Operand){wire, NULL});
    vec_push(im->arena, &flip->settings, (Setting){"axes", "[1]"});
    vec_push(im->arena, &flip->results, turned);
    line->inputs.items[0].wire = turned;
}

/* If `line` normalizes the colours of a picture, rewrites it for levels from 0 to 1.
 * `levels`: the levels that it reads are in that range already. */
static bool take_normalization(Import *im, Line *line, Wire *wire, bool levels) {
    double mean[COLOURS], std[COLOURS];
    if (!line || strcmp(line->callee, "normalize") || !three_numbers(line, "mean", mean) ||
        !three_numbers(line, "std", std))
        return false;
    const bool red_first = mean[0] > mean[1] && mean[1] > mean[2],
               blue_first = mean[0] < mean[1] && mean[1] < mean[2];
    const bool of_bytes = mean[0] > 1 && mean[1] > 1 && mean[2] > 1;
    if (mean[0] <= 0 || mean[2] <= 0 || std[0] <= 0 || std[1] <= 0 || std[2] <= 0 ||
        (!red_first && !blue_first) || (levels && of_bytes))
        return false;
    if (of_bytes) remark_levels(im, wire);
    if (of_bytes) divide_by_255(im, line, "mean", mean), divide_by_255(im, line, "std", std);
    if (blue_first) put_blue_first(im, line, wire);
    return true;
}

static bool is_normalized_picture(Import *im, Wire *wire) {
    int64_t channels;
    Line *line = only_reader(im, wire);
    if (wire->type != ONNX_FLOAT || wire->shape.rank != 4 || !dim_is_const(wire->shape.dims[1], &channels))
        return false;
    const bool divided = divides_levels(line, wire);
    Line *next = divided ? only_reader(im, line->results.items[0]) : line;
    const bool is_picture =
        (channels == COLOURS && take_normalization(im, next, wire, divided)) || (channels == 1 && divided);
    if (is_picture && divided) remark_levels(im, wire), leave_line_out(line, wire, im);
    return is_picture;
}

static bool is_picture_port(const Import *im, int i) {
    return strcmp(im->types.items[i].element, "image") == 0;
}

void find_pictures(Import *im) {
    bool found = false;
    for (int i = 0; i < im->inputs.count; i++) {
        if (is_picture_port(im, i) || !is_normalized_picture(im, im->inputs.items[i])) continue;
        im->types.items[i].element = "image";
        found = true;
    }
    if (found) order_lines(im);
}

/* ---- the signature ---- */

/* The `fit` for pictures of another size. A classifier of fixed size crops, as
 * classifiers are usually tested; other models of fixed size stretch the picture. A model
 * whose free sizes must be multiples of some number pads it. */
static const char *fit_of(const Import *im, const Wire *wire) {
    const bool fixed = dim_is_const(wire->shape.dims[2], NULL) && dim_is_const(wire->shape.dims[3], NULL);
    if (!fixed) return im->multiple > 1 ? ", fit = \"pad\"" : "";
    return im->outputs.count == 1 && im->outputs.items[0]->shape.rank == 2 ? ", fit = \"crop\""
                                                                           : ", fit = \"stretch\"";
}

const char *inputs_text(Import *im) {
    Text text = {.arena = im->arena};
    for (int i = 0; i < im->inputs.count; i++) {
        const InputType *type = &im->types.items[i];
        text_add(
            &text, "%s%s: %s[%s%s]", i ? ", " : "", im->inputs.items[i]->name, type->element, type->sizes,
            is_picture_port(im, i) && im->inputs.items[i]->shape.rank ? fit_of(im, im->inputs.items[i]) : "");
    }
    return text_string(&text);
}
