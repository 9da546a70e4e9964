/* Converts the nodes of a graph in order. A node is folded if its inputs are known, else
 * converted by its row of operators.def. Functions, and branches whose condition is
 * known, are inlined. */
#include "import/convert.h"
#include <ctype.h>
#include <stdlib.h>

enum { DEEPEST_CALL = 32, MAX_STEPS = 200000 };

const OnnxNode no_node = {.name = "", .op = ""};

/* ---- names ---- */

bool is_reserved(Import *im, const char *name) {
    Diagnostics wrong = {.arena = im->arena};
    const char *text = arena_printf(im->arena, "%s = 1\n", name);
    parse_file(im->arena, im->names, &wrong, source_new(im->arena, "", text, strlen(text)));
    return wrong.errors > 0;
}

const char *identifier(Import *im, const char *name, const char *otherwise) {
    Text text = {.arena = im->arena};
    for (const char *at = name; *at; at++) {
        if (isalnum((unsigned char)*at) || *at == '_') text_add_bytes(&text, at, 1);
        else if (text.length && text.bytes[text.length - 1] != '_') text_add(&text, "_");
    }
    const char *made = text_string(&text);
    while (*made == '_') made++;
    size_t length = strlen(made);
    while (length && made[length - 1] == '_') length--;
    made = arena_strndup(im->arena, made, length);
    if (!*made || length > 40) made = otherwise;
    if (isdigit((unsigned char)*made)) made = arena_printf(im->arena, "%s%s", otherwise, made);
    return is_reserved(im, made) || builtin_knows(intern(im->names, made))
               ? arena_printf(im->arena, "%s_", made)
               : made;
}

/* ---- the signature ---- */

typedef struct FreeSize { /* a size that -D does not fix */
    const char *name;
    int64_t multiple; /* the file says that it is a multiple of this */
    bool spatial;     /* a height or width */
} FreeSize;

typedef struct NamedAxis {
    const OnnxPort *port;
    int axis;
} NamedAxis;

typedef struct Symbols {
    Map *by_name;          /* symbols in use */
    Map *by_param;         /* ONNX's name of a size -> ours, or its number */
    Map *axes;             /* ONNX's name of a size -> an axis of an input, its NamedAxis */
    Map *multiples;        /* ONNX's name of a size -> what the file says that it is a multiple of */
    Vec(const char *) all; /* in their order */
    Vec(FreeSize) free;
    bool formulas; /* whether "2*H" is read as a formula of H, if that is a size, too */
} Symbols;

enum { MOST_MULTIPLE = 4096 }; /* of a size that a file may ask for */

/* Whether the file's name of a size says something: exporters from TensorFlow number
 * unknown ones, unk__214. */
static bool is_good_symbol(Import *im, const char *name) {
    bool good = isalpha((unsigned char)*name) && strlen(name) <= 16 && strncmp(name, "unk__", 5);
    for (const char *at = name; good && *at; at++) good = isalnum((unsigned char)*at) || *at == '_';
    return good && !is_reserved(im, name) && !builtin_knows(intern(im->names, name));
}

static const char *define_of_name(const Import *im, Name name) {
    for (int i = 0; i < im->options.define_count; i++)
        if (im->options.defines[i].name == name) return im->options.defines[i].value;
    return NULL;
}

static bool is_multiple(int64_t number) { return number > 1 && number <= MOST_MULTIPLE; }

/* The lines `name % 32 == 0` among the conditions that cai writes into its files. */
static Map *declared_multiples(const Import *im) {
    Map *multiples = map_new(im->arena);
    for (const char *line = im->model->sizes, *end; *line; line = end + (*end == '\n')) {
        end = line + strcspn(line, "\n");
        const char *sign = strstr(line, " % ");
        long long number;
        int length = 0;
        if (!sign || sign > end || sscanf(sign, " %% %5lld == 0%n", &number, &length) != 1 ||
            sign + length != end || !is_multiple(number))
            continue;
        const char *name = arena_strndup(im->arena, line, (size_t)(sign - line));
        map_set(multiples, intern(im->names, name), (void *)(intptr_t)number);
    }
    return multiples;
}

/* What the size is a multiple of: `32*name`, or what the file declares. */
static int64_t multiple_of_param(const Import *im, const Symbols *symbols, const char *param) {
    long long number;
    int end = 0;
    if (sscanf(param, "%5lld%*1[*]%*[A-Za-z0-9_]%n", &number, &end) == 1 && end && !param[end] &&
        is_multiple(number))
        return number;
    return max_i64(1, (intptr_t)map_get(symbols->multiples, intern(im->names, param)));
}

static const char *symbol_of_axis(Import *im, const OnnxPort *port, int axis, Symbols *symbols);

static Map *named_axes(const Import *im) {
    Map *axes = map_new(im->arena);
    const OnnxGraph *graph = im->model->graph;
    for (int i = 0; i < graph->inputs.count; i++)
        for (int k = 0; k < graph->inputs.items[i].rank; k++) {
            const char *param = graph->inputs.items[i].symbols[k];
            NamedAxis *named = NEW(im->arena, NamedAxis);
            *named = (NamedAxis){&graph->inputs.items[i], k};
            if (param) map_set(axes, intern(im->names, param), named);
        }
    return axes;
}

/* The symbol of a size that is an axis of an input by itself; else NULL. */
static const char *symbol_of_word(Import *im, const char *word, Symbols *symbols) {
    const NamedAxis *named = map_get(symbols->axes, intern(im->names, word));
    return named ? symbol_of_axis(im, named->port, named->axis, symbols) : NULL;
}

/* ONNX names a size as it likes, and exporters write formulas of other sizes, "2*s0",
 * "past + length". In our symbols; NULL if the name is another. A minus may also be a
 * hyphen, unless a number follows. */
static const char *formula_of_param(Import *im, const char *param, Symbols *symbols) {
    Text text = {.arena = im->arena};
    if (!symbols->formulas || !strpbrk(param, "+-*/") || strlen(param) > 64) return NULL;
    for (const char *at = param; *at;) {
        const size_t digits = strspn(at, "0123456789"), signs = strspn(at, "+*/() ");
        size_t length = digits ? digits : signs;
        if (*at == '-' && isdigit((unsigned char)at[1 + strspn(at + 1, " ")])) length = 1;
        if (length) text_add_bytes(&text, at, length);
        else {
            while (isalnum((unsigned char)at[length]) || at[length] == '_') length++;
            const char *word = arena_strndup(im->arena, at, length),
                       *symbol = length ? symbol_of_word(im, word, symbols) : NULL;
            if (!symbol) return NULL;
            text_add(&text, "%s", symbol);
        }
        at += length;
    }
    return text_string(&text);
}

/* The symbol of a free size: ONNX's name if that is an identifier, else N, H or W,
 * depending on the axis. */
static const char *symbol_of_axis(Import *im, const OnnxPort *port, int axis, Symbols *symbols) {
    const char *param = port->symbols[axis],
               *known = param ? map_get(symbols->by_param, intern(im->names, param)) : NULL;
    if (!known && param) known = formula_of_param(im, param, symbols);
    if (known) return known;
    const bool spatial = port->rank == 4 && axis >= 2;
    const char *usual = axis == 0   ? "N"
                        : !spatial  ? "L"
                        : axis == 2 ? "H"
                                    : "W",
               *base = param && is_good_symbol(im, param) ? param : usual;
    Name name = intern(im->names, base);
    for (int i = 2; map_get(symbols->by_name, name); i++)
        name = intern(im->names, arena_printf(im->arena, "%s%d", base, i));
    map_set(symbols->by_name, name, (void *)name);
    vec_push(im->arena, &symbols->all, name);
    const char *fixed = define_of_name(im, name), *size = fixed ? fixed : name;
    if (param) map_set(symbols->by_param, intern(im->names, param), (void *)size);
    if (!fixed)
        vec_push(im->arena, &symbols->free,
                 (FreeSize){name, param ? multiple_of_param(im, symbols, param) : 1, spatial});
    return size;
}

static bool is_initializer(const OnnxGraph *graph, Name name) {
    for (int i = 0; i < graph->initializers.count; i++)
        if (!strcmp(graph->initializers.items[i]->name, name)) return true;
    return false;
}

/* The type of an input: f32[N, 3, 224, 224]; false with a diagnostic. */
static bool type_of_input(Import *im, const OnnxPort *port, Symbols *symbols, InputType *type) {
    const char **sizes = NEW_ARRAY(im->arena, const char *, port->rank + 1);
    Text text = {.arena = im->arena};
    for (int i = 0; i < port->rank; i++) {
        if (port->dims[i] == 0) {
            diag_error(im->diag, DIAG_onnx_operator, (Span){0},
                       "the input `%s` has no elements: axis %d is of size 0", port->name, i);
            return false;
        }
        sizes[i] = port->dims[i] > 0 ? arena_printf(im->arena, "%lld", (long long)port->dims[i])
                                     : symbol_of_axis(im, port, i, symbols);
        text_add(&text, "%s%s", i ? ", " : "", sizes[i]);
    }
    *type = (InputType){dtype_name(stored_dtype(port->type)), text_string(&text)};
    if (!asked_picture(im, port->name)) return true;
    type->element = "image";
    return picture_sizes(im, port, sizes, &type->sizes);
}

static bool add_onnx_input(Import *im, const OnnxPort *port, Map *taken, Symbols *symbols) {
    if (!port->has_shape || onnx_type_bytes(port->type) == 0) {
        diag_error(im->diag, DIAG_onnx_operator, (Span){0}, "the input `%s` %s", port->name,
                   port->type == 0 || onnx_type_bytes(port->type)
                       ? "is not a tensor, or has no shape"
                       : arena_printf(im->arena, "is of %s", onnx_type_name(port->type)));
        return false;
    }
    const char *base = identifier(im, port->name, "x"), *name = base;
    for (int i = 2; map_get(taken, intern(im->names, name)); i++)
        name = arena_printf(im->arena, "%s_%d", base, i);
    map_set(taken, intern(im->names, name), (void *)name);
    InputType type;
    if (!type_of_input(im, port, symbols, &type)) return false;
    vec_push(im->arena, &im->types, type);
    Wire *wire = NEW(im->arena, Wire);
    *wire = (Wire){.type = port->type, .name = intern(im->names, name), .hint = name};
    vec_push(im->arena, &im->inputs, wire);
    vec_push(im->arena, &im->input_ports, *port);
    map_set(im->wires, port->name, wire);
    return true;
}

/* Makes an intermediate tensor an input of the model, with the shape that the file
 * declares for it. */
static bool add_cut(Import *im, Name name, Map *taken, Symbols *symbols) {
    const OnnxGraph *graph = im->model->graph;
    for (int i = 0; i < graph->values.count; i++)
        if (graph->values.items[i].name == name)
            return add_onnx_input(im, &graph->values.items[i], taken, symbols);
    for (int i = 0; i < graph->outputs.count; i++)
        if (graph->outputs.items[i].name == name)
            return add_onnx_input(im, &graph->outputs.items[i], taken, symbols);
    Diagnostic *d = diag_error(im->diag, DIAG_onnx_operator, (Span){0},
                               "`%s` can't become an input: the file does not say its shape", name);
    diag_help(
        im->diag, d,
        "`onnx.save(onnx.shape_inference.infer_shapes(onnx.load(\"model.onnx\")), \"model.onnx\")` in Python writes the shapes into it");
    return false;
}

/* ---- inputs of one number that -D gives: constants, and no inputs of the model ---- */

static bool is_given_input(const Import *im, const OnnxPort *port) {
    for (int i = 0; i < port->rank; i++)
        if (port->dims[i] != 1) return false;
    return port->has_shape && onnx_type_bytes(port->type) && define_of_name(im, port->name);
}

/* NULL where the text is no number of the input's type. */
static Wire *given_number(Import *im, const OnnxPort *port, const char *text) {
    Wire *wire = wire_known(im, port->type, port->rank, port->dims);
    const bool truth = !strcmp(text, "true");
    char *end = (char *)text;
    if (wire->known->reals) wire->known->reals[0] = strtod(text, &end);
    else if (port->type != ONNX_BOOL) wire->known->sizes[0] = dim_const(im->dims, strtoll(text, &end, 10));
    else if (truth || !strcmp(text, "false"))
        wire->known->sizes[0] = dim_const(im->dims, truth), end += strlen(text);
    return end > text && !*end ? wire : NULL;
}

static void bind_given(Import *im, const OnnxPort *port) {
    const char *text = define_of_name(im, port->name);
    Wire *wire = given_number(im, port, text);
    map_set(im->wires, port->name, wire);
    if (!wire)
        diag_error(im->diag, DIAG_onnx_operator, (Span){0}, "-D %s=%s: the input is one number of %s",
                   port->name, text, onnx_type_name(port->type));
}

static bool is_name_of_given(const Import *im, Name name) {
    const OnnxGraph *graph = im->model->graph;
    for (int i = 0; i < graph->inputs.count; i++)
        if (graph->inputs.items[i].name == name) return is_given_input(im, &graph->inputs.items[i]);
    return false;
}

/* Each -D names a free size or an input of one number. */
static bool check_given_names(Import *im, const Symbols *symbols) {
    bool good = true;
    for (int i = 0; i < im->options.define_count; i++) {
        Name name = im->options.defines[i].name;
        if (map_get(symbols->by_name, name) || is_name_of_given(im, name)) continue;
        good = false;
        Diagnostic *d =
            diag_error(im->diag, DIAG_unknown_define, (Span){0},
                       "-D %s: the file has no free size, and no input of one number, of that name", name);
        const char *near = nearest_name(name, symbols->all.items, symbols->all.count);
        Text sizes = {.arena = im->arena};
        for (int k = 0; k < symbols->all.count; k++)
            text_add(&sizes, "%s`%s`", k ? ", " : "", symbols->all.items[k]);
        if (near) diag_help(im->diag, d, "did you mean `%s`?", near);
        else if (symbols->all.count) diag_help(im->diag, d, "its free sizes: %s", text_string(&sizes));
    }
    return good;
}

static void add_multiple(Text *where, const char *name, int64_t multiple) {
    text_add(where, "%s%s %% %lld == 0", where->length ? ", " : " where ", name, (long long)multiple);
}

/* What free sizes are multiples of: what the file says, and heights and widths of what is
 * tried. */
static const char *where_of_sizes(const Import *im, const Symbols *symbols) {
    Text where = {.arena = im->arena};
    for (int i = 0; i < symbols->free.count; i++) {
        const FreeSize *size = &symbols->free.items[i];
        const int64_t tried = size->spatial ? im->multiple : 1;
        const bool implied = tried % size->multiple == 0;
        if (size->multiple > 1 && !implied) add_multiple(&where, size->name, size->multiple);
        if (tried > 1 && (implied || size->multiple % tried)) add_multiple(&where, size->name, tried);
    }
    return text_string(&where);
}

static void widen_inputs(Import *im) {
    im->node = &no_node;
    for (int i = 0; i < im->inputs.count; i++)
        map_set(im->wires, im->input_ports.items[i].name, widened(im, im->inputs.items[i]));
}

/* Elaborates the signature: im->trial stays NULL, with `why`, if the language refuses it.
 * False after a diagnostic. */
static bool begin_trial_of(Import *im, Symbols *symbols, const char **why) {
    const OnnxGraph *graph = im->model->graph;
    Map *taken = map_new(im->arena);
    bool good = true;
    for (int i = 0; i < graph->inputs.count; i++)
        if (!is_initializer(graph, graph->inputs.items[i].name) &&
            !is_given_input(im, &graph->inputs.items[i]))
            good = add_onnx_input(im, &graph->inputs.items[i], taken, symbols) && good;
    for (int i = 0; i < im->cut.count; i++) good = add_cut(im, im->cut.items[i], taken, symbols) && good;
    if (!good || !check_given_names(im, symbols)) return false;
    im->where = where_of_sizes(im, symbols);
    const char *signature =
        arena_printf(im->arena, "use onnx\nmodel trial(%s) -> result: f32[]%s", inputs_text(im), im->where);
    const ElaborateOptions options = {
        im->options.stdlib_dir, NULL,  0,
        im->options.patience,   false, 0}; /* the defines are already part of the signature */
    im->trial = trial_begin(im->arena, im->names, &options, signature, why);
    return true;
}

static bool begin_trial(Import *im) {
    const OnnxGraph *graph = im->model->graph;
    const char *why = NULL;
    const Import fresh = *im;
    for (int formulas = 1; formulas >= 0 && !im->trial; formulas--) {
        *im = fresh;
        Symbols symbols = {.by_name = map_new(im->arena),
                           .by_param = map_new(im->arena),
                           .axes = named_axes(im),
                           .multiples = declared_multiples(im),
                           .formulas = formulas};
        if (!begin_trial_of(im, &symbols, &why)) return false;
    }
    if (!im->trial) {
        diag_error(im->diag, DIAG_onnx_operator, (Span){0}, "the inputs (%s): %s", inputs_text(im),
                   why ? why : "they do not make a model");
        return false;
    }
    im->dims = trial_dims(im->trial);
    for (int i = 0; i < im->inputs.count; i++)
        trial_shape(im->trial, im->inputs.items[i]->name, &im->inputs.items[i]->shape);
    const int errors = im->diag->errors;
    for (int i = 0; i < graph->inputs.count; i++)
        if (is_given_input(im, &graph->inputs.items[i])) bind_given(im, &graph->inputs.items[i]);
    widen_inputs(im);
    begin_pictures(im);
    return im->diag->errors == errors;
}

/* ---- nodes ---- */

static void run_nodes(Import *im, const OnnxNode *nodes, int count);

static void bind_wire(Import *im, Name name, Wire *wire) {
    if (*name) map_set(im->wires, name, wire);
}

static void bind_missing(Import *im, const OnnxNode *node) {
    for (int i = 0; i < node->output_count; i++) {
        Wire *wire = NEW(im->arena, Wire);
        *wire = (Wire){.missing = true};
        bind_wire(im, node->outputs[i], wire);
    }
}

static void bind_initializers(Import *im, const OnnxGraph *graph) {
    for (int i = 0; i < graph->initializers.count; i++) {
        const OnnxTensor *tensor = graph->initializers.items[i];
        Wire *wire = NEW(im->arena, Wire);
        *wire = (Wire){.type = tensor->type, .data = tensor, .hint = tensor->name};
        bind_wire(im, intern(im->names, tensor->name), wire);
    }
}

/* The wires of a node's inputs; false where one of them is missing, which has been
 * reported already. */
static bool inputs_of_node(Import *im, const OnnxNode *node, Wire **out) {
    bool here = true;
    for (int i = 0; i < node->input_count; i++) {
        out[i] = *node->inputs[i] ? map_get(im->wires, node->inputs[i]) : NULL;
        if (*node->inputs[i] && !out[i])
            cannot(im, "no node before it makes its input `%s`", node->inputs[i]);
        here = here && !(out[i] && out[i]->missing);
        if (out[i] && out[i]->absent) out[i] = NULL;
    }
    return here;
}

bool run_graph(Import *im, const OnnxGraph *graph, Wire *const *inputs, Wire **outputs) {
    const OnnxNode *node = im->node;
    const int unread = im->unread.count;
    bind_initializers(im, graph);
    for (int i = 0; inputs && i < graph->inputs.count; i++)
        if (inputs[i]) bind_wire(im, graph->inputs.items[i].name, inputs[i]);
    run_nodes(im, graph->nodes.items, graph->nodes.count);
    im->node = node;
    for (int i = 0; i < graph->outputs.count; i++) {
        outputs[i] = map_get(im->wires, graph->outputs.items[i].name);
        if (!outputs[i]) cannot(im, "no node makes `%s`", graph->outputs.items[i].name);
    }
    return !im->why && im->unread.count == unread;
}

/* Inlines a branch of `If`. */
static bool run_branch(Import *im, const char *name, Wire **outputs) {
    const OnnxAttribute *branch = attribute(im, name);
    if (!branch || !branch->graph || branch->graph->outputs.count != im->node->output_count)
        return cannot(im, "its branch is missing");
    run_graph(im, branch->graph, NULL, outputs);
    return !im->why;
}

/* One of two wires by a condition that only a run knows, where both could be read. */
static Wire *chosen_wire(Import *im, Wire *condition, Wire *a, Wire *b) {
    if (!a || !b || a == b || a->missing) return a;
    if (b->missing) return b;
    const int rank = wire_rank(im, a);
    bool alike = a->type == b->type && rank == wire_rank(im, b);
    for (int i = 0; alike && i < rank; i++) alike = wire_size(im, a, i) == wire_size(im, b, i);
    if (!alike && !has_elements(im, a) && found_axis(im, b) >= 0)
        return found_where(im, typed(prefix(im, "not ", condition), ONNX_BOOL), b);
    if (!alike && !has_elements(im, b) && found_axis(im, a) >= 0) return found_where(im, condition, a);
    if (!alike || (found_axis(im, a) < 0) != (found_axis(im, b) < 0))
        return cannot(
            im, "its branches give %s and %s, and which of them runs depends on values that only a run knows",
            onnx_shape_text(im, a), onnx_shape_text(im, b));
    return typed(call(im, "select", (Wire *[]){condition, a, b}, 3, "%s", ""), a->type);
}

/* Both branches of an `If`: what they give has no other effect. */
static void convert_both_branches(Import *im, Wire *condition, Wire **outputs) {
    Wire **others = NEW_ARRAY(im->arena, Wire *, im->node->output_count + 1);
    if (!run_branch(im, "then_branch", outputs) || !run_branch(im, "else_branch", others)) return;
    condition = reshaped(im, condition, NULL, 0);
    for (int i = 0; i < im->node->output_count; i++)
        outputs[i] = chosen_wire(im, condition, outputs[i], others[i]);
    add_remark(
        im,
        "# Where the file runs one branch of an `If`, both are computed, and `select` takes what one of them gives.\n");
}

/* `If`: inlines the branch where the condition is known, else both. */
void convert_if(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *condition = input_at(inputs, count, 0);
    const Known *known = known_of(im, condition);
    int64_t truth;
    if (!condition) cannot(im, "it has no condition");
    else if (!known) convert_both_branches(im, condition, outputs);
    else if (known->count != 1 || !known->sizes || !dim_is_const(known->sizes[0], &truth))
        cannot(im, "which branch runs depends on sizes that are free: -D fixes them");
    else run_branch(im, truth ? "then_branch" : "else_branch", outputs);
}

static const OnnxFunction *find_function(const Import *im, const OnnxNode *node) {
    for (int i = 0; i < im->model->functions.count; i++) {
        const OnnxFunction *function = &im->model->functions.items[i];
        if (!strcmp(function->name, node->op) && !strcmp(function->domain, node->domain)) return function;
    }
    return NULL;
}

/* A node of a function's body. An attribute that refers to one of the function's own is
 * replaced by the value in the call, or by the default. */
static OnnxNode resolved_node(Import *im, const OnnxNode *node, const OnnxNode *call,
                              const OnnxFunction *function) {
    OnnxNode out = *node;
    OnnxAttribute *attributes = NEW_ARRAY(im->arena, OnnxAttribute, node->attribute_count);
    out.attribute_count = 0, out.attributes = attributes;
    for (int i = 0; i < node->attribute_count; i++) {
        const OnnxAttribute *from = &node->attributes[i];
        for (int k = 0; from->refers && k < call->attribute_count; k++)
            if (!strcmp(call->attributes[k].name, node->attributes[i].refers)) from = &call->attributes[k];
        for (int k = 0; from->refers && k < function->default_count; k++)
            if (!strcmp(function->defaults[k].name, node->attributes[i].refers))
                from = &function->defaults[k];
        if (from->refers) continue; /* optional, and given neither in the call nor as a default */
        attributes[out.attribute_count] = *from;
        attributes[out.attribute_count++].name = node->attributes[i].name;
    }
    return out;
}

static void convert_function(Import *im, const OnnxFunction *function, const OnnxNode *node, Wire **inputs,
                             Wire **outputs) {
    Map *outside = im->wires;
    const int opset = im->opset;
    OnnxNode *body = NEW_ARRAY(im->arena, OnnxNode, function->nodes.count);
    im->wires = map_new(im->arena);
    if (function->opset) im->opset = function->opset;
    Wire *absent = NEW(im->arena, Wire);
    absent->absent = true;
    for (int i = 0; i < function->input_count; i++) {
        Wire *given = input_at(inputs, node->input_count, i);
        bind_wire(im, function->inputs[i], given ? given : absent);
    }
    for (int i = 0; i < function->nodes.count; i++)
        body[i] = resolved_node(im, &function->nodes.items[i], node, function);
    run_nodes(im, body, function->nodes.count);
    im->node = node;
    for (int i = 0; i < node->output_count && i < function->output_count; i++)
        outputs[i] = map_get(im->wires, function->outputs[i]);
    im->wires = outside, im->opset = opset;
}

/* Whether the operator can be read; refuses the node if not. */
static bool is_known_operator(Import *im, const OnnxNode *node, const OperatorRow *row) {
    if (!row && *node->domain) return cannot(im, "operators of %s are not read", node->domain);
    if (!row) return cannot(im, "the operator is not read");
    if (!row->convert) return cannot(im, "%s", row->as);
    if (im->opset < row->since)
        return cannot(im, "its form in opset %d is not read, only that of opset %d and later", im->opset,
                      row->since);
    return true;
}

/* here: whether the inputs exist. If not, the node is only checked: could it be read? */
static void convert_node(Import *im, const OnnxNode *node, bool here, Wire **inputs, Wire **outputs) {
    const OnnxFunction *function = find_function(im, node);
    const OperatorRow *row = operator_find(node);
    if (function && here) convert_function(im, function, node, inputs, outputs);
    if (function || !is_known_operator(im, node, row) || !here) return;
    const Known *shape;
    if (fold_node(im, inputs, node->input_count, outputs)) return;
    if (!found_sizes(im, inputs, node->input_count, &shape)) return;
    row->convert(im, inputs, node->input_count, outputs);
    if (shape && outputs[0]) outputs[0] = found_in_shape(im, outputs[0], shape);
    for (int i = 0; i < node->output_count; i++)
        if (outputs[i]) found_are_all(im, outputs[i]);
}

static void report_unread_operator(Import *im, const OnnxNode *node) {
    vec_push(im->arena, &im->unread, (Unread){node, im->why});
    im->why = NULL;
}

static bool is_cut(const Import *im, Name name) {
    for (int i = 0; i < im->cut.count; i++)
        if (im->cut.items[i] == name) return true;
    return false;
}

static void run_node(Import *im, const OnnxNode *node) {
    Wire **inputs = NEW_ARRAY(im->arena, Wire *, node->input_count + 1),
         **outputs = NEW_ARRAY(im->arena, Wire *, node->output_count + 1);
    const int lines = im->lines.count, unread = im->unread.count;
    im->node = node;
    if (node->output_count && is_cut(im, node->outputs[0])) return;
    const bool here = inputs_of_node(im, node, inputs);
    if (!im->why) convert_node(im, node, here, inputs, outputs);
    for (int i = 0; i < node->output_count && here && !im->why && im->unread.count == unread; i++)
        if (!outputs[i] && *node->outputs[i]) cannot(im, "its output `%s` is not read", node->outputs[i]);
    if (im->why) report_unread_operator(im, node);
    if (here && im->unread.count == unread) {
        for (int i = 0; i < node->output_count; i++) bind_wire(im, node->outputs[i], outputs[i]);
        return;
    }
    im->lines.count = lines;
    bind_missing(im, node);
}

static void run_nodes(Import *im, const OnnxNode *nodes, int count) {
    if (im->depth == DEEPEST_CALL) {
        cannot(im, "functions and graphs are nested more than %d deep", DEEPEST_CALL);
        return;
    }
    im->depth++;
    for (int i = 0; i < count && im->steps < MAX_STEPS; i++, im->steps++) run_node(im, &nodes[i]);
    im->depth--;
    if (im->steps >= MAX_STEPS) cannot(im, "the model has more than %d nodes", MAX_STEPS);
}

/* ---- what the outputs need ---- */

static void need_name(Map *needed, Name name) {
    if (*name) map_set(needed, name, (void *)name);
}

static void need_graph(Map *needed, const OnnxGraph *graph) {
    for (int i = 0; i < graph->outputs.count; i++) need_name(needed, graph->outputs.items[i].name);
    for (int i = 0; i < graph->nodes.count; i++) {
        const OnnxNode *node = &graph->nodes.items[i];
        for (int k = 0; k < node->input_count; k++) need_name(needed, node->inputs[k]);
        for (int k = 0; k < node->attribute_count; k++)
            if (node->attributes[k].graph) need_graph(needed, node->attributes[k].graph);
    }
}

/* The nodes that the outputs depend on, in the order of the file. */
static OnnxNode *needed_nodes(Import *im, int *count) {
    const OnnxGraph *graph = im->model->graph;
    Map *needed = map_new(im->arena);
    bool *wanted = NEW_ARRAY(im->arena, bool, graph->nodes.count);
    for (int i = 0; i < graph->outputs.count; i++) need_name(needed, graph->outputs.items[i].name);
    for (int i = graph->nodes.count - 1; i >= 0; i--) {
        const OnnxNode *node = &graph->nodes.items[i];
        for (int k = 0; k < node->output_count; k++)
            wanted[i] = wanted[i] || (*node->outputs[k] && map_get(needed, node->outputs[k]));
        for (int k = 0;
             wanted[i] && k < node->input_count && !(node->output_count && is_cut(im, node->outputs[0])); k++)
            need_name(needed, node->inputs[k]);
        for (int k = 0; wanted[i] && k < node->attribute_count; k++)
            if (node->attributes[k].graph) need_graph(needed, node->attributes[k].graph);
    }
    OnnxNode *nodes = NEW_ARRAY(im->arena, OnnxNode, graph->nodes.count);
    *count = 0;
    for (int i = 0; i < graph->nodes.count; i++)
        if (wanted[i]) nodes[(*count)++] = graph->nodes.items[i];
    return nodes;
}

/* The wire as a result of the model; NULL, after refusing it, if it can't be one. */
static Wire *result_wire(Import *im, Wire *wire) {
    if (wire->missing || !(wire = found_value(im, wire))) return wire;
    const int type = wire->type;
    wire = wire_itself(wire);
    return materialize(im, wire) ? rounded_as_stored(im, wire, type) : NULL;
}

static void bind_onnx_outputs(Import *im) {
    const OnnxGraph *graph = im->model->graph;
    for (int i = 0; i < graph->outputs.count; i++) {
        Wire *wire = map_get(im->wires, graph->outputs.items[i].name);
        if (!wire) {
            diag_error(im->diag, DIAG_onnx_operator, (Span){0}, "no node makes the output `%s`",
                       graph->outputs.items[i].name);
            continue;
        }
        im->node = &no_node;
        Wire *result = result_wire(im, wire);
        if (!result)
            diag_error(im->diag, DIAG_onnx_operator, (Span){0}, "the output `%s`: %s",
                       graph->outputs.items[i].name, im->why);
        wire = result ? result : wire;
        im->why = NULL;
        vec_push(im->arena, &im->outputs, wire_itself(wire));
        vec_push(im->arena, &im->output_ports, graph->outputs.items[i]);
    }
    add_found_outputs(im);
    if (graph->outputs.count == 0)
        diag_error(im->diag, DIAG_onnx_operator, (Span){0}, "the graph has no outputs");
}

static void count_value_readers(Import *im, const OnnxNode *nodes, int count) {
    im->readers = map_new(im->arena);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < nodes[i].input_count; k++) {
            const intptr_t before = (intptr_t)map_get(im->readers, nodes[i].inputs[k]);
            map_set(im->readers, nodes[i].inputs[k], (void *)(before + 1));
        }
}

bool import_graph(Import *im) {
    const OnnxGraph *graph = im->model->graph;
    int count;
    const int errors = im->diag->errors;
    im->wires = map_new(im->arena);
    im->opset = im->model->opset;
    if (!begin_trial(im)) return false;
    bind_initializers(im, graph);
    group_nodes(im);
    const OnnxNode *nodes = needed_nodes(im, &count);
    count_value_readers(im, nodes, count);
    run_nodes(im, nodes, count);
    if (im->why) {
        diag_error(im->diag, DIAG_onnx_operator, (Span){0}, "%s", im->why);
        return false;
    }
    bind_onnx_outputs(im);
    return im->diag->errors == errors;
}
