/* Turns learned numbers into weights. If a model has many numbers of seven digits or
 * more, they were learned, and would make the text unreadable; so would a list of such
 * numbers. */
#include "import/import.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

enum { MANY = 8, LONG = 7, LARGEST_ROOTED = 4096, MOST_COLOURS = 4 };

/* Whether the number is, as an f32, a square root or a fourth root of a whole number or
 * of its inverse, as scales of attention are: nobody has learned these. */
static bool is_root_of_whole(double value) {
    double raised = value;
    for (int power = 2; power <= 4; power *= 2) {
        raised *= raised;
        const double whole = raised < 1 ? 1 / raised : raised;
        if (whole <= LARGEST_ROOTED && fabs(whole - round(whole)) <= 4e-7 * whole) return true;
    }
    return false;
}

static bool is_long(const char *text) {
    int digits = 0;
    for (; *text && *text != 'e'; text++) digits += isdigit((unsigned char)*text) != 0;
    return digits >= LONG;
}

static bool is_learned(const Line *line, int input) {
    const char *text = line->inputs.items[input].text;
    if (!text || line->style != STYLE_INFIX || !strchr("+-*/", *line->callee) || line->callee[1] ||
        line->results.items[0]->shape.type != DTYPE_F32)
        return false;
    return is_long(text) && !is_root_of_whole(strtod(text, NULL));
}

static Line *param_of(Import *im, const Line *user, const char *text) {
    const int64_t one = 1;
    Wire *value = wire_known(im, ONNX_FLOAT, 1, &one);
    value->known->reals[0] = strtod(text, NULL);
    Line *line = NEW(im->arena, Line);
    *line = (Line){.style = STYLE_CALL, .callee = "param", .node = user->node};
    if (*user->node->name != '/')
        line->hint = *user->callee == '*' || *user->callee == '/' ? "scale.weight" : "shift.weight";
    LineWeight *weight = layer_weight(im, line, "", value);
    weight->name = "";
    vec_push(im->arena, &line->settings, (Setting){NULL, "[1]"});
    Wire *wire = NEW(im->arena, Wire);
    *wire = (Wire){.type = ONNX_FLOAT, .line = line, .name = intern(im->names, "scalar")};
    wire->shape = (Shape){DTYPE_F32, 1, arena_copy(im->arena, (Dim[]){dim_const(im->dims, 1)}, sizeof(Dim))};
    vec_push(im->arena, &line->results, wire);
    return line;
}

/* Whether the text has the elements of an initializer, most of them long. A few may be
 * one for each colour, such as means of photographs, which are to be read. */
static bool is_learned_list(Import *im, const Wire *wire) {
    const Known *known = wire && wire->line && wire->data && !wire->stated ? wire->known : NULL;
    int64_t count = 0;
    if (!known || !known->reals || known->count <= MOST_COLOURS || strcmp(wire->line->callee, "tensor"))
        return false;
    for (int64_t i = 0; i < known->count; i++)
        count += is_long(number_text(im->arena, known->reals[i], true));
    return 2 * count > known->count;
}

static void move_list(Import *im, Wire *wire) {
    Line *line = NEW(im->arena, Line);
    *line = (Line){.style = STYLE_CALL, .callee = "param", .node = wire->line->node};
    layer_weight(im, line, "", wire);
    vec_push(im->arena, &line->settings,
             (Setting){NULL, dims_text(im->arena, wire->shape.dims, wire->shape.rank)});
    vec_push(im->arena, &line->results, wire);
    wire->line = line;
}

static void move_lists(Import *im) {
    for (int i = 0; i < im->lines.count; i++)
        for (int k = 0; k < im->lines.items[i]->inputs.count; k++) {
            Wire *wire = im->lines.items[i]->inputs.items[k].wire;
            if (is_learned_list(im, wire)) move_list(im, wire);
        }
    order_lines(im);
}

void move_scalars(Import *im) {
    move_lists(im);
    int count = 0;
    for (int i = 0; i < im->lines.count; i++)
        for (int k = 0; k < im->lines.items[i]->inputs.count; k++) count += is_learned(im->lines.items[i], k);
    if (count < MANY) return;
    for (int i = 0; i < im->lines.count; i++)
        for (int k = 0; k < im->lines.items[i]->inputs.count; k++)
            if (is_learned(im->lines.items[i], k))
                im->lines.items[i]->inputs.items[k] =
                    (Operand){param_of(im, im->lines.items[i], im->lines.items[i]->inputs.items[k].text)
                                  ->results.items[0],
                              NULL};
    order_lines(im);
}
