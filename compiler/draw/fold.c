/* A graph folded to boxes. Layers nest (model->runs lists them outermost first, each with
 * the range of nodes that its run made): open layers are frames, layers within open ones
 * are boxes, and what a model or an open layer computes itself is drawn operator by
 * operator. Nodes that depend on weights and constants alone are not drawn, nor are those
 * that only change a shape. */
#include "draw/draw.h"
#include <ctype.h>

enum { MAX_BOXES = 24, MAX_LEVELS = 12 };

typedef struct Fold {
    Arena *arena;
    Drawing *drawing;
    const Model *model;
    const Graph *graph;
    int only; /* the layer that is drawn by itself, -1: the model */
    /* nodes before those of the gradient; the first node of the gradient, after the
     * total */
    int forward, back;
    int *owner;        /* by node: the innermost layer that made it, -1: the model */
    bool *data;        /* by node: depends on an input */
    bool *weighed;     /* by node: depends on a weight */
    int *box_of;       /* by node: -1 where it has none */
    int *layer_box;    /* by layer: its box, -1 where it has none yet */
    int *gradient_box; /* by layer, plus one: the box of its gradient */
    bool *has_layers;  /* by layer */
} Fold;

static const LayerInfo *layer_at(const Fold *f, int layer) { return &f->model->runs.items[layer]; }

/* ---- whose a node is ---- */

static bool is_within_path(const char *path, const char *around) {
    size_t length = strlen(around);
    return strncmp(path, around, length) == 0 && (path[length] == 0 || path[length] == '.');
}

/* The innermost drawn layer for a path; -1: the model. known: by path, plus 2. */
static int owner_by_path(Fold *f, Map *known, const char *path) {
    int owner = (int)(intptr_t)map_get(known, path) - 2;
    if (owner >= -1) return owner;
    size_t longest = 0;
    owner = -1;
    for (int l = 0; l < f->model->runs.count; l++) {
        const char *around = layer_at(f, l)->path;
        if (!is_within_path(path, around) || strlen(around) <= longest) continue;
        longest = strlen(around), owner = l;
    }
    map_set(known, path, (void *)(intptr_t)(owner + 2));
    return owner;
}

static void find_node_owners(Fold *f) {
    for (int i = 0; i < f->graph->nodes.count; i++) f->owner[i] = -1;
    for (int l = 0; l < f->model->runs.count; l++) {
        const LayerInfo *layer = layer_at(f, l);
        for (int id = layer->first_node; id < layer->end_node; id++) f->owner[id] = l;
        if (layer->parent >= 0 && layer->end_node > layer->first_node) f->has_layers[layer->parent] = true;
    }
    /* for gradients, which have the paths of the nodes that they differentiate */
    Map *known = map_new(f->arena);
    for (int id = f->forward; id < f->graph->nodes.count; id++)
        f->owner[id] = owner_by_path(f, known, f->graph->nodes.items[id]->origin->path);
}

static void find_data(Fold *f) {
    NodeSources sources = {0};
    for (int id = 0; id < f->graph->nodes.count; id++) {
        const Node *node = f->graph->nodes.items[id];
        unsigned of = node_sources(&sources, f->graph, node);
        f->weighed[id] = of & MADE_OF_WEIGHTS;
        f->data[id] =
            id < f->forward ? of & (MADE_OF_INPUTS | MADE_OF_RANDOM) : id >= f->back && f->weighed[id];
        for (int i = 0; id >= f->back && i < node->input_count; i++)
            f->data[id] = f->data[id] || f->data[node->inputs[i]->id];
    }
}

/* The outermost layer around `layer` that is not open; -1 where all are. */
static int closed_layer(const Fold *f, int layer) {
    int closed = -1;
    for (int l = layer; l >= 0 && l != f->only; l = layer_at(f, l)->parent)
        if (!f->drawing->open[l]) closed = l;
    return closed;
}

static bool is_drawn(const Fold *f, int id) {
    return f->only < 0 || (id >= layer_at(f, f->only)->first_node && id < layer_at(f, f->only)->end_node);
}

int draw_frame(const Drawing *d, const Box *box) {
    int layer = box->layer;
    if (layer >= 0 && box->kind != BOX_OPERATOR && box->kind != BOX_WEIGHT && box->kind != BOX_SHAPE)
        layer = d->model->runs.items[layer].parent;
    while (layer >= 0 && !d->open[layer]) layer = d->model->runs.items[layer].parent;
    return layer;
}

/* ---- what a box says ---- */

const char *draw_callee(const LayerInfo *layer) {
    return layer->callee && *layer->callee != '{' ? layer->callee : "";
}

static bool is_bare_number(const char *name) { return *name && name[strspn(name, "0123456789.")] == 0; }

/* The last part of a path, with the one before it where it is a number: "layer2.0". */
static const char *last_parts_of_path(const char *path) {
    const char *part = path + strlen(path);
    do {
        while (part > path && part[-1] != '.') part--;
        if (!is_bare_number(part) || part == path) return part;
        part--;
    } while (true);
}

/* The layer around it, where the path is that layer's and a number: "features" of
 * "features.0". */
static const LayerInfo *counted_in(const Model *model, const LayerInfo *layer) {
    const LayerInfo *around = layer->parent < 0 ? NULL : &model->runs.items[layer->parent];
    size_t length = around ? strlen(around->path) : 0;
    bool inside = around && strncmp(layer->path, around->path, length) == 0 && layer->path[length] == '.';
    return inside && is_bare_number(layer->path + length + 1) ? around : NULL;
}

/* Empty where rules 3 and 4 of docs/language.md made the name, "0", "conv", "conv_2",
 * "braces", "conv_norm.0": it says no more than what the layer is. */
static const char *own_box_name(const Model *model, const LayerInfo *layer) {
    const LayerInfo *around = counted_in(model, layer);
    const char *name = last_parts_of_path(layer->path),
               *callee = *draw_callee(layer) ? layer->callee : "braces";
    size_t length = strlen(callee);
    if (is_bare_number(name) || (around && !*own_box_name(model, around))) return "";
    if (strncmp(name, callee, length) != 0) return name;
    return name[length] == 0 || (name[length] == '_' && isdigit((unsigned char)name[length + 1])) ? "" : name;
}

/* The name of a layer, or else what it is. */
static const char *any_name(const Model *model, const LayerInfo *layer) {
    const char *name = own_box_name(model, layer);
    return *name ? name : *draw_callee(layer) ? layer->callee : last_parts_of_path(layer->path);
}

/* "encoder_layer_0 … 11" */
const char *draw_name(Arena *arena, const Drawing *d, int layer) {
    const LayerInfo *first = &d->model->runs.items[layer],
                    *last = &d->model->runs.items[d->repeats.last[layer]];
    const char *from = own_box_name(d->model, first), *to = own_box_name(d->model, last);
    if (first == last || (!*from && !*to)) return from;
    from = any_name(d->model, first), to = any_name(d->model, last);
    int same = 0;
    for (int i = 0; from[i] && from[i] == to[i]; i++)
        if (!isdigit((unsigned char)from[i])) same = i + 1;
    if (!isdigit((unsigned char)to[same])) same = 0;
    return arena_printf(arena, d->repeats.times[layer] == 2 ? "%s, %s" : "%s \xe2\x80\xa6 %s", from,
                        to + same);
}

static const char *pair_text(Fold *f, int64_t a, int64_t b, const char *between) {
    if (a == b && *between != 'x') return arena_printf(f->arena, "%lld", (long long)a);
    return arena_printf(f->arena, "%lld%s%lld", (long long)a, between, (long long)b);
}

static const char *convolution_text(Fold *f, const Node *node) {
    const bool back = node->op == OP_convolution_backward_data;
    const Geometry *a = geometry_of(node);
    Shape w = node->inputs[1]->shape;
    int64_t channels = 0, groups = a->groups, in = 0, kernel[2] = {1, 1}, spatial = w.rank - 2;
    dim_is_const(node->shape.dims[1], &channels);
    dim_is_const(node->inputs[0]->shape.dims[1], &in);
    for (int i = 0; i < spatial && i < 2; i++) dim_is_const(w.dims[2 + i], &kernel[i]);
    Text text = {.arena = f->arena};
    text_add(&text, "%s %s, %lld",
             back                         ? "transposed conv"
             : groups > 1 && groups == in ? "depthwise conv"
                                          : "conv",
             pair_text(f, kernel[0], kernel[1], "x"), (long long)channels);
    if (a->stride.items[0] > 1 || a->stride.items[spatial - 1] > 1)
        text_add(&text, ", %s%s", back ? "x" : "/",
                 pair_text(f, a->stride.items[0], a->stride.items[spatial - 1], ","));
    if (a->dilation.items[0] > 1) text_add(&text, ", dilated %lld", (long long)a->dilation.items[0]);
    if (groups > 1 && groups != in) text_add(&text, ", %lld groups", (long long)groups);
    return text_string(&text);
}

static const char *product_text(Fold *f, const Node *node) {
    int64_t columns;
    bool known = dim_is_const(node->shape.dims[node->shape.rank - 1], &columns);
    return known && !f->data[node->inputs[1]->id] ? arena_printf(f->arena, "dense, %lld", (long long)columns)
                                                  : "matrix product";
}

static const char *window_text(Fold *f, const Node *node) {
    if (node->op != OP_pool_max && node->op != OP_pool_sum) return "resize";
    const IntList kernel = pooling_of(node)->kernel, stride = pooling_of(node)->stride;
    const char *way = node->op == OP_pool_max ? "max" : "average";
    const char *size = pair_text(f, kernel.items[0], kernel.items[kernel.count - 1], "x");
    return stride.items[0] == 1
               ? arena_printf(f->arena, "%s pool %s", way, size)
               : arena_printf(f->arena, "%s pool %s, /%lld", way, size, (long long)stride.items[0]);
}

/* The only operator with a weight in a layer, or NULL. */
static const Node *heart_of(const Fold *f, const LayerInfo *layer) {
    const Node *heart = NULL;
    for (int id = layer->first_node; id < layer->end_node; id++) {
        const Node *node = f->graph->nodes.items[id];
        OpClass class = op_info[node->op].class;
        if (!f->data[id] || (class != CLASS_CONTRACTION && class != CLASS_WINDOW)) continue;
        if (heart && (class == CLASS_CONTRACTION || op_info[heart->op].class == CLASS_WINDOW)) return NULL;
        heart = node;
    }
    return heart;
}

/* The contents of braces, which have no name of their own: "conv · relu", "7 layers". */
static const char *content_of(Fold *f, int index) {
    Text text = {.arena = f->arena};
    int count = 0;
    for (int l = index + 1; l < f->model->runs.count && layer_at(f, l)->depth > layer_at(f, index)->depth;
         l++)
        if (layer_at(f, l)->parent == index) {
            const char *callee = draw_callee(layer_at(f, l));
            text_add(&text, "%s%s", count++ ? " \xc2\xb7 " : "",
                     *callee ? callee : any_name(f->model, layer_at(f, l)));
        }
    return count <= 2 ? text_string(&text) : arena_printf(f->arena, "%d layers", count);
}

static void describe_layer(Fold *f, Box *box, int index) {
    const LayerInfo *layer = layer_at(f, index);
    const Node *heart = heart_of(f, layer);
    const char *callee = draw_callee(layer);
    box->kind = f->has_layers[index] ? BOX_BLOCK : BOX_LAYER;
    box->what = *callee || !f->has_layers[index] ? callee : content_of(f, index);
    if (f->has_layers[index] || !heart) return;
    switch (heart->op) {
    case OP_convolution:
    case OP_convolution_backward_data:
        box->kind = BOX_CONVOLUTION, box->what = convolution_text(f, heart);
        break;
    case OP_matmul: box->kind = BOX_PRODUCT, box->what = product_text(f, heart); break;
    case OP_pool_max:
    case OP_pool_sum:
    case OP_resample: box->kind = BOX_WINDOW, box->what = window_text(f, heart); break;
    default: break;
    }
}

static int64_t parameters_of(const Fold *f, int index) {
    int64_t sum = 0, own;
    for (int l = index;
         l < f->model->runs.count && (l == index || layer_at(f, l)->depth > layer_at(f, index)->depth); l++)
        if (dim_is_const(layer_at(f, l)->parameters, &own)) sum += own;
    return sum;
}

/* Whether the layer runs weights that have run before. */
static bool has_shared_weights(const Fold *f, int index) {
    for (int l = 0; l < index; l++)
        if (strcmp(layer_at(f, l)->path, layer_at(f, index)->path) == 0 && parameters_of(f, l) > 0)
            return true;
    return false;
}

/* ---- boxes ---- */

static int add_drawn_box(Fold *f, Box box) {
    vec_push(f->arena, &f->drawing->boxes, box);
    return f->drawing->boxes.count - 1;
}

static int box_of_layer(Fold *f, int layer) {
    if (f->layer_box[layer] >= 0) return f->layer_box[layer];
    int times = f->drawing->repeats.times[layer];
    Box box = {.layer = layer,
               .name = draw_name(f->arena, f->drawing, layer),
               .parameters = times * parameters_of(f, layer),
               .times = times};
    describe_layer(f, &box, layer);
    box.shared = box.parameters == 0 && has_shared_weights(f, layer);
    return f->layer_box[layer] = add_drawn_box(f, box);
}

static int box_of_gradient(Fold *f, int layer) {
    int *box = &f->gradient_box[layer + 1];
    if (*box >= 0) return *box;
    const char *name = layer < 0 ? f->model->decl->name : any_name(f->model, layer_at(f, layer));
    return *box = add_drawn_box(
               f, (Box){.kind = BOX_BLOCK, .layer = -1, .name = name, .what = "gradient", .gradient = true});
}

/* Sums between layers are drawn into the layer whose gradient came last. */
static int box_of_gradient_node(Fold *f, const Node *node, int layer) {
    int box = -1;
    for (int i = 0; layer < 0 && i < node->input_count; i++)
        if (f->data[node->inputs[i]->id] && node->inputs[i]->id >= f->back)
            box = (int)max_i64(box, f->box_of[node->inputs[i]->id]);
    return box >= 0 ? box : box_of_gradient(f, layer);
}

/* Whether an operator only changes a shape or a type: arrows pass through it. */
static bool is_passed(Op op) {
    return op == OP_broadcast || op == OP_reshape || op == OP_transpose || op == OP_cast || op == OP_stop ||
           op == OP_size;
}

static bool is_number_node(const Node *node, double value) {
    while (node->op == OP_broadcast || node->op == OP_reshape || node->op == OP_cast) node = node->inputs[0];
    double number;
    return node_is_splat(node, &number) && number == value;
}

/* `max(x, 0)` is the library's relu. */
static const char *symbol_of_operator(const Node *node) {
    if (node->op == OP_max && (is_number_node(node->inputs[0], 0) || is_number_node(node->inputs[1], 0)))
        return "relu";
    switch (node->op) {
    case OP_add: return "+";
    case OP_sub: case OP_neg: return "\xe2\x88\x92";
    case OP_mul: return "\xc3\x97";
    case OP_div: return "\xc3\xb7";
    case OP_floor_div: return "//";
    case OP_mod: return "%";
    case OP_slice: return "crop";
    default: return op_info[node->op].name;
    }
}

/* The only weight that a node depends on, if it depends on weights alone; NULL where
 * there are none or several. */
static const Node *weight_in(const Node *node) {
    while (node->input_count == 1) node = node->inputs[0];
    return node->op == OP_parameter || node->op == OP_state ? node : NULL;
}

static void add_arrow(Fold *f, int from, int to, const Node *node) {
    if (from < 0 || to < 0 || from == to) return;
    for (int i = f->drawing->arrows.count - 1; i >= 0; i--) {
        const Arrow *known = &f->drawing->arrows.items[i];
        if (known->from == from && known->to == to &&
            (known->node == node || f->drawing->boxes.items[to].gradient))
            return;
    }
    vec_push(f->arena, &f->drawing->arrows, (Arrow){from, to, node});
}

static void add_box_weights(Fold *f, const Node *node, int box, int layer) {
    for (int i = 0; i < node->input_count; i++) {
        const Node *weight = f->data[node->inputs[i]->id] ? NULL : weight_in(node->inputs[i]);
        if (!weight) continue;
        const char *path = weight->op == OP_parameter ? ATTRIBUTES(weight, parameter)->path
                                                      : ATTRIBUTES(weight, state)->path;
        add_arrow(
            f,
            add_drawn_box(
                f, (Box){.kind = BOX_WEIGHT, .layer = layer, .name = last_parts_of_path(path), .what = ""}),
            box, weight);
    }
}

/* Inputs of a layer that is drawn by itself are named after the sibling layers that made
 * them. */
static int box_of_source(Fold *f, const Node *node) {
    int layer = f->owner[node->id], around = layer_at(f, f->only)->parent;
    while (layer >= 0 && layer_at(f, layer)->parent >= 0 && layer_at(f, layer)->parent != around)
        layer = layer_at(f, layer)->parent;
    const char *name = node->op == OP_input ? ATTRIBUTES(node, input)->name
                       : layer >= 0         ? any_name(f->model, layer_at(f, layer))
                                            : symbol_of_operator(node);
    return add_drawn_box(f, (Box){.kind = BOX_INPUT, .layer = -1, .name = name, .what = ""});
}

static void place_sources(Fold *f, const Node *node) {
    for (int i = 0; i < node->input_count; i++) {
        const Node *source = node->inputs[i];
        int id = source->id;
        if (!f->data[id] || is_drawn(f, id) || f->box_of[id] >= 0) continue;
        while (is_passed(source->op) && source->input_count > 0 && !is_drawn(f, source->inputs[0]->id))
            source = source->inputs[0];
        if (f->box_of[source->id] < 0) f->box_of[source->id] = box_of_source(f, source);
        f->box_of[id] = f->box_of[source->id];
    }
}

static void place_node(Fold *f, const Node *node) {
    int id = node->id, layer = f->owner[id], closed = closed_layer(f, layer);
    f->box_of[id] = -1;
    if (!f->data[id] || !is_drawn(f, id)) return;
    place_sources(f, node);
    if (f->drawing->repeats.twin[id] >= 0) {
        f->box_of[id] = f->box_of[f->drawing->repeats.twin[id]];
        return;
    }
    if (id >= f->forward) f->box_of[id] = box_of_gradient_node(f, node, closed >= 0 ? closed : layer);
    else if (node->op == OP_input)
        f->box_of[id] = add_drawn_box(
            f, (Box){.kind = BOX_INPUT, .layer = -1, .name = ATTRIBUTES(node, input)->name, .what = ""});
    else if (closed >= 0) f->box_of[id] = box_of_layer(f, closed);
    else if (is_passed(node->op)) {
        for (int i = 0; i < node->input_count; i++)
            if (f->data[node->inputs[i]->id]) f->box_of[id] = f->box_of[node->inputs[i]->id];
        return;
    } else {
        f->box_of[id] = add_drawn_box(
            f, (Box){.kind = BOX_OPERATOR, .layer = layer, .name = "", .what = symbol_of_operator(node)});
        add_box_weights(f, node, f->box_of[id], layer);
    }
    for (int i = 0; i < node->input_count; i++)
        if (f->data[node->inputs[i]->id])
            add_arrow(f, f->box_of[node->inputs[i]->id], f->box_of[id], node->inputs[i]);
}

/* Outputs of a layer that is drawn by itself: the values used outside it. */
static void place_results(Fold *f) {
    const LayerInfo *only = layer_at(f, f->only);
    bool *placed = NEW_ARRAY(f->arena, bool, f->graph->nodes.count);
    for (int id = only->end_node; id <= f->graph->nodes.count; id++) { /* and the model's outputs */
        const bool last = id == f->graph->nodes.count;
        int count = last ? f->graph->outputs.count : f->graph->nodes.items[id]->input_count;
        for (int i = 0; i < count; i++) {
            const Node *node = last ? f->graph->outputs.items[i].node : f->graph->nodes.items[id]->inputs[i];
            if (!f->data[node->id] || !is_drawn(f, node->id) || placed[node->id]) continue;
            placed[node->id] = true;
            const char *name = last ? f->graph->outputs.items[i].name : any_name(f->model, only);
            add_arrow(f, f->box_of[node->id],
                      add_drawn_box(f, (Box){.kind = BOX_OUTPUT, .layer = -1, .name = name, .what = ""}),
                      node);
        }
    }
}

static void place_outputs(Fold *f) {
    if (f->only >= 0) {
        place_results(f);
        return;
    }
    for (int i = 0; i < f->graph->outputs.count; i++) {
        const Port *port = &f->graph->outputs.items[i];
        add_arrow(f, f->box_of[port->node->id],
                  add_drawn_box(f, (Box){.kind = BOX_OUTPUT, .layer = -1, .name = port->name, .what = ""}),
                  port->node);
    }
}

/* ---- layers that change no shape are drawn into the box before them ---- */

static int only_arrow(const Drawing *d, int box, bool into) {
    int found = -1;
    for (int i = 0; i < d->arrows.count; i++) {
        const Arrow *arrow = &d->arrows.items[i];
        if ((into ? arrow->to : arrow->from) != box) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

/* An arrow that leaves the box, if all such arrows carry the same value. */
static int only_source(const Drawing *d, int box) {
    int found = -1;
    for (int i = 0; i < d->arrows.count; i++) {
        if (d->arrows.items[i].from != box) continue;
        if (found >= 0 && d->arrows.items[found].node != d->arrows.items[i].node) return -1;
        found = i;
    }
    return found;
}

/* Whether the next layer may be drawn into the box. */
static bool takes_more(const Box *box) {
    return box->kind == BOX_LAYER || box->kind == BOX_CONVOLUTION || box->kind == BOX_PRODUCT ||
           box->kind == BOX_WINDOW || box->kind == BOX_OPERATOR;
}

static bool may_be_drawn_into(const Box *box) {
    return (box->kind == BOX_LAYER || box->kind == BOX_OPERATOR) && !box->gradient;
}

static void draw_into(Fold *f, Box *before, const Box *box) {
    vec_push(f->arena, &before->more, box->what);
    for (int i = 0; i < box->more.count; i++) vec_push(f->arena, &before->more, box->more.items[i]);
    before->parameters += box->parameters;
}

static void gather_nodes(Fold *f) {
    Drawing *d = f->drawing;
    int *became = NEW_ARRAY(f->arena, int, d->boxes.count + 1);
    for (int b = 0; b < d->boxes.count; b++) became[b] = b;
    for (int b = 0; b < d->boxes.count; b++) {
        Box *box = &d->boxes.items[b];
        int in = may_be_drawn_into(box) ? only_arrow(d, b, true) : -1, out = in < 0 ? -1 : only_source(d, b);
        if (out < 0 || only_arrow(d, d->arrows.items[in].from, false) != in) continue;
        Box *before = &d->boxes.items[became[d->arrows.items[in].from]];
        if (!takes_more(before) || draw_frame(d, before) != draw_frame(d, box)) continue;
        if (!shape_equal(d->arrows.items[in].node->shape, d->arrows.items[out].node->shape)) continue;
        draw_into(f, before, box);
        became[b] = became[d->arrows.items[in].from];
    }
    int kept = 0;
    for (int i = 0; i < d->arrows.count; i++) {
        Arrow arrow = {became[d->arrows.items[i].from], became[d->arrows.items[i].to],
                       d->arrows.items[i].node};
        if (arrow.from != arrow.to) d->arrows.items[kept++] = arrow;
    }
    d->arrows.count = kept;
    for (int b = 0; b < d->boxes.count; b++)
        if (became[b] != b) d->boxes.items[b].what = NULL;
}

/* ---- frames that say nothing ----
 *
 * A frame around one box only is that box; one around a frame of its own number, "blocks"
 * around "blocks.0 … 11", is that frame; and one without a name is none. */

static bool is_numbered(const Fold *f, int frame, int around) {
    return !*draw_callee(layer_at(f, around)) &&
           counted_in(f->model, layer_at(f, frame)) == layer_at(f, around);
}

static bool is_nameless(const Fold *f, int frame) {
    return !*draw_name(f->arena, f->drawing, frame) && !*draw_callee(layer_at(f, frame)) &&
           f->drawing->repeats.times[frame] == 1;
}

static void become_box(Fold *f, int frame, Box *box) {
    Drawing *d = f->drawing;
    const char *name = draw_name(f->arena, d, frame);
    if (*name) box->name = name;
    else if (box->kind == BOX_OPERATOR) box->name = draw_callee(layer_at(f, frame));
    box->parameters *= d->repeats.times[frame],
        box->times = (box->times ? box->times : 1) * d->repeats.times[frame];
    if (box->kind == BOX_OPERATOR) box->kind = BOX_LAYER;
    box->layer = frame;
    d->open[frame] = false;
}

static void drop_frames(Fold *f) {
    Drawing *d = f->drawing;
    int count = f->model->runs.count, *boxes = NEW_ARRAY(f->arena, int, count + 1),
        *frames = NEW_ARRAY(f->arena, int, count + 1);
    /* the last of each */
    int *box = NEW_ARRAY(f->arena, int, count + 1), *inner = NEW_ARRAY(f->arena, int, count + 1);
    for (int b = 0; b < d->boxes.count; b++) {
        int frame = d->boxes.items[b].what ? draw_frame(d, &d->boxes.items[b]) : -1;
        if (frame >= 0) boxes[frame]++, box[frame] = b;
    }
    for (int l = count - 1; l >= 0; l--) { /* inner ones first */
        if (!d->open[l] || boxes[l] + frames[l] == 0) continue;
        bool one = boxes[l] + frames[l] == 1;
        if (one && boxes[l] && takes_more(&d->boxes.items[box[l]])) {
            become_box(f, l, &d->boxes.items[box[l]]);
            frames[l] = 0;
        } else if (l != f->only && (is_nameless(f, l) || (one && frames[l] && is_numbered(f, inner[l], l)))) {
            d->open[l] = false;
        } else boxes[l] = 0, frames[l] = 1, inner[l] = l;
        int parent = layer_at(f, l)->parent;
        if (parent < 0) continue;
        boxes[parent] += boxes[l], frames[parent] += frames[l];
        if (boxes[l]) box[parent] = box[l];
        if (frames[l]) inner[parent] = inner[l];
    }
}

/* ---- a model ---- */

static bool is_within(const Fold *f, int layer) {
    while (layer >= 0 && layer != f->only) layer = layer_at(f, layer)->parent;
    return layer == f->only;
}

/* unfolded: whether each layer may be open. */
static int fold_layers(Fold *f, const bool *unfolded) {
    Drawing *d = f->drawing;
    d->boxes.count = d->arrows.count = 0;
    for (int l = 0; l < f->model->runs.count; l++) {
        d->open[l] = f->has_layers[l] && unfolded[l] && is_within(f, l);
        f->layer_box[l] = -1;
    }
    for (int l = 0; l <= f->model->runs.count; l++) f->gradient_box[l] = -1;
    for (int i = 0; i < f->graph->nodes.count; i++) place_node(f, f->graph->nodes.items[i]);
    place_outputs(f);
    gather_nodes(f);
    drop_frames(f);
    gather_nodes(f); /* what followed a frame now follows a box */
    int count = 0;
    for (int b = 0; b < d->boxes.count; b++) count += d->boxes.items[b].what != NULL;
    return count;
}

static bool is_same_block(const LayerInfo *a, const LayerInfo *b) {
    return strcmp(draw_callee(a), draw_callee(b)) == 0;
}

/* Opens the layers of the same block: all of them, or those of one depth. Braces are of
 * one kind with the braces of their depth. */
static void open_kind(const Fold *f, const LayerInfo *kind, bool *unfolded, bool all) {
    bool any_depth = all && *draw_callee(kind);
    for (int l = 0; l < f->model->runs.count; l++) {
        const LayerInfo *layer = layer_at(f, l);
        if ((any_depth || layer->depth == kind->depth) && is_same_block(layer, kind)) unfolded[l] = true;
    }
}

/* Opens a kind of layer unless the picture gets too large; else restores the state
 * before. */
static bool unfold_kind(Fold *f, const LayerInfo *kind, bool *unfolded, bool all) {
    size_t bytes = sizeof *unfolded * (size_t)f->model->runs.count;
    bool *before = arena_copy(f->arena, unfolded, bytes);
    open_kind(f, kind, unfolded, all);
    if (fold_layers(f, unfolded) <= MAX_BOXES) return true;
    memcpy(unfolded, before, bytes);
    return false;
}

static bool calls_itself(const Fold *f, const LayerInfo *kind) {
    for (int l = 0; l < f->model->runs.count; l++) {
        int up = is_same_block(layer_at(f, l), kind) ? layer_at(f, l)->parent : -1;
        while (up >= 0 && !is_same_block(layer_at(f, up), kind)) up = layer_at(f, up)->parent;
        if (up >= 0) return true;
    }
    return false;
}

/* Opens, from outside to inside, each kind of block that leaves a picture of not too many
 * boxes; for a recursive block, as many levels as possible. */
static void unfold_by_size(Fold *f, bool *unfolded) {
    for (int depth = 0; depth < MAX_LEVELS; depth++) {
        for (int l = 0; l < f->model->runs.count; l++) {
            const LayerInfo *layer = layer_at(f, l);
            if (layer->depth != depth || !is_within(f, l) || unfolded[l] || !f->has_layers[l] ||
                (layer->parent >= 0 && !unfolded[layer->parent]))
                continue;
            if (!unfold_kind(f, layer, unfolded, true) && calls_itself(f, layer))
                unfold_kind(f, layer, unfolded, false);
        }
    }
}

static Node *total_of(Graph *graph, Node *y, Arena *arena) {
    int64_t *axes = NEW_ARRAY(arena, int64_t, y->shape.rank + 1);
    for (int i = 0; i < y->shape.rank; i++) axes[i] = i;
    return build_reshape(graph, build_sum(graph, y, axes, y->shape.rank), 0, NULL);
}

/* Adds the nodes of the gradient. Where the first output is not a float, or there are no
 * weights, there is none. */
static void add_gradient(Fold *f, Graph *graph) {
    Node *y = graph->outputs.count ? graph->outputs.items[0].node : NULL;
    Vec(Node *) weights = {0};
    for (int i = 0; i < graph->nodes.count; i++)
        if (graph->nodes.items[i]->op == OP_parameter) vec_push(f->arena, &weights, graph->nodes.items[i]);
    if (!y || !dtype_is_float(y->shape.type) || weights.count == 0) return;
    Node **gradients = NEW_ARRAY(f->arena, Node *, weights.count), *total = total_of(graph, y, f->arena);
    f->back = graph->nodes.count;
    graph_gradient(graph, total, weights.items, weights.count, gradients);
}

/* A layer that is drawn by itself is open, and is not folded with its neighbours. */
static void draw_only(Fold *f, bool *unfolded) {
    const LayerInfo *only = layer_at(f, f->only);
    Repeats *repeats = &f->drawing->repeats;
    unfolded[f->only] = true;
    repeats->times[f->only] = 1, repeats->last[f->only] = f->only;
    for (int id = only->first_node; id < only->end_node; id++)
        if (repeats->twin[id] < only->first_node) repeats->twin[id] = -1;
}

Drawing draw_model(Arena *arena, Model *model, int only, int unfold, bool gradient) {
    Graph *graph = model->graph;
    Drawing drawing = {.model = model, .open = NEW_ARRAY(arena, bool, model->runs.count + 1)};
    Fold f = {.arena = arena,
              .drawing = &drawing,
              .model = model,
              .graph = graph,
              .only = only,
              .forward = graph->nodes.count};
    if (gradient) add_gradient(&f, graph);
    f.owner = NEW_ARRAY(arena, int, graph->nodes.count);
    f.data = NEW_ARRAY(arena, bool, graph->nodes.count);
    f.weighed = NEW_ARRAY(arena, bool, graph->nodes.count);
    f.box_of = NEW_ARRAY(arena, int, graph->nodes.count);
    f.layer_box = NEW_ARRAY(arena, int, model->runs.count + 1);
    f.gradient_box = NEW_ARRAY(arena, int, model->runs.count + 1);
    f.has_layers = NEW_ARRAY(arena, bool, model->runs.count + 1);
    find_node_owners(&f);
    find_data(&f);
    drawing.repeats = draw_repeats(arena, model, f.has_layers, f.data, f.weighed);
    bool *unfolded = NEW_ARRAY(arena, bool, model->runs.count + 1);
    for (int l = 0; l < model->runs.count; l++)
        unfolded[l] = layer_at(&f, l)->depth < unfold + (only < 0 ? 0 : layer_at(&f, only)->depth + 1);
    if (only >= 0) draw_only(&f, unfolded);
    if (unfold == UNFOLD_BY_SIZE) unfold_by_size(&f, unfolded);
    fold_layers(&f, unfolded);
    draw_flow(arena, &drawing);
    return drawing;
}
