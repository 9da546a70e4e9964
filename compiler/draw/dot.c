/* Drawings as text for Graphviz: boxes coloured by what they do, frames around what an open layer holds, shapes on the arrows. */
#include "draw/draw.h"

typedef struct Style { const char *shape, *fill; } Style;

static const Style styles[] = {
    [BOX_INPUT] = {"cds", "#ffffff"},        [BOX_OUTPUT] = {"cds", "#ffffff"},   [BOX_CONVOLUTION] = {"box", "#cfe3f7"},
    [BOX_PRODUCT] = {"box", "#ddd3ee"},      [BOX_WINDOW] = {"box", "#f8d3cd"},   [BOX_LAYER] = {"box", "#fdf0c8"},
    [BOX_BLOCK] = {"box", "#d8ead0"},        [BOX_OPERATOR] = {"oval", "#ffffff"}, [BOX_WEIGHT] = {"note", "#f4f4f4"},
};

static const char gradient_fill[] = "#f3d9ea";

/* ---- words ---- */

static void add_escaped(Text *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '<': text_add(out, "&lt;"); break;
        case '>': text_add(out, "&gt;"); break;
        case '&': text_add(out, "&amp;"); break;
        case '"': text_add(out, "&quot;"); break;
        default: text_add_bytes(out, text, 1);
        }
    }
}

static void add_size(Text *out, Arena *arena, Dim size) {
    const char *text = dim_string(arena, size);
    bool sum = *text != '(' && strpbrk(text, "+-");
    text_add(out, sum ? "(" : "");
    add_escaped(out, text);
    text_add(out, sum ? ")" : "");
}

/* 64 x 112 x 112: the batch, which all have, is left out. */
static void add_shape_label(Text *out, Arena *arena, Shape shape) {
    text_add(out, " [label=<&#160;");
    if (shape.rank == 1) add_size(out, arena, shape.dims[0]);
    for (int i = 1; i < shape.rank; i++) {
        if (i > 1) text_add(out, "\xc3\x97");
        add_size(out, arena, shape.dims[i]);
    }
    text_add(out, ">];\n");
}

static void add_count(Text *out, int64_t count) {
    if (count >= 999500000) text_add(out, "%.3g G", (double)count / 1e9);
    else if (count >= 999500) text_add(out, "%.3g M", (double)count / 1e6);
    else if (count >= 1000) text_add(out, "%.3g k", (double)count / 1e3);
    else text_add(out, "%lld", (long long)count);
}

static void add_times(Text *out, int times) {
    if (times > 1) text_add(out, " \xc3\x97 %d", times);
}

/* The name in bold, below it what it is and what was drawn into it, then its weights. */
static void add_label(Text *out, const Box *box) {
    bool named = *box->name;
    if (named) {
        text_add(out, "<b>");
        add_escaped(out, box->name);
        text_add(out, "</b>");
    }
    if ((*box->what && strcmp(box->what, box->name) != 0) || box->times > 1) {
        text_add(out, named ? "<br/>" : "<b>");
        add_escaped(out, box->what);
        add_times(out, box->times);
        if (!named) text_add(out, "</b>");
    }
    for (int i = 0; i < box->more.count; i++) {
        text_add(out, i % 3 == 0 ? "<br/>" : " \xc2\xb7 ");
        add_escaped(out, box->more.items[i]);
    }
    if (box->parameters == 0) return;
    text_add(out, "<br/><font point-size=\"9\" color=\"#666666\">");
    add_count(out, box->parameters);
    text_add(out, "</font>");
}

/* ---- boxes, in the frames they lie in ---- */

static void add_box(Text *out, const Box *box, int drawing, int index) {
    const Style *style = &styles[box->kind];
    text_add(out, "  m%db%d [shape=%s, fillcolor=\"%s\", label=<", drawing, index, style->shape, box->gradient ? gradient_fill : style->fill);
    add_label(out, box);
    text_add(out, ">%s];\n", box->kind == BOX_OPERATOR ? ", margin=\"0.04,0.02\", width=0.3, height=0.3" : "");
}

/* Whether any box lies in the frame or deeper. */
static bool *find_filled(Arena *arena, const Drawing *d) {
    bool *filled = NEW_ARRAY(arena, bool, d->model->runs.count + 1);
    for (int b = 0; b < d->boxes.count; b++) {
        const Box *box = &d->boxes.items[b];
        if (!box->what) continue;
        for (int l = draw_frame(d, box); l >= 0 && !filled[l]; l = d->model->runs.items[l].parent) filled[l] = true;
    }
    return filled;
}

static void open_frame(Text *out, Arena *arena, const Drawing *d, int drawing, int index) {
    const LayerInfo *layer = &d->model->runs.items[index];
    const char *dot = strrchr(layer->path, '.'), *name = dot ? dot + 1 : layer->path, *callee = draw_callee(layer);
    int times = d->repeats.times[index];
    if (times > 1 && *draw_name(arena, d, index)) name = draw_name(arena, d, index);
    text_add(out, "  subgraph cluster_m%dl%d { style=\"rounded\"; color=\"#9a9a9a\"; fontsize=10; label=<<b>", drawing, index);
    add_escaped(out, name);
    text_add(out, "</b>");
    if (*callee && strcmp(callee, name) != 0) {
        text_add(out, " ");
        add_escaped(out, callee);
    }
    add_times(out, times);
    text_add(out, ">;\n");
}

/* Layers are listed outermost first, so the frames that are open around one are those of its parents. */
static void add_boxes(Text *out, Arena *arena, const Drawing *d, int drawing) {
    bool *filled = find_filled(arena, d);
    Vec(int) frames = {0};
    for (int l = -1; l < d->model->runs.count; l++) {
        int depth = l < 0 ? 0 : d->model->runs.items[l].depth;
        while (l >= 0 && frames.count > 0 && d->model->runs.items[vec_last(&frames)].depth >= depth) frames.count--, text_add(out, "  }\n");
        if (l >= 0 && !(d->open[l] && filled[l])) continue;
        if (l >= 0) {
            open_frame(out, arena, d, drawing, l);
            vec_push(arena, &frames, l);
        }
        for (int b = 0; b < d->boxes.count; b++) {
            const Box *box = &d->boxes.items[b];
            if (box->what && draw_frame(d, box) == l) add_box(out, box, drawing, b);
        }
    }
    for (; frames.count > 0; frames.count--) text_add(out, "  }\n");
}

static void add_arrows(Text *out, Arena *arena, const Drawing *d, int drawing) {
    for (int i = 0; i < d->arrows.count; i++) {
        const Arrow *arrow = &d->arrows.items[i];
        const Box *from = &d->boxes.items[arrow->from], *to = &d->boxes.items[arrow->to];
        text_add(out, "  m%db%d -> m%db%d", drawing, arrow->from, drawing, arrow->to);
        if (from->gradient) text_add(out, " [color=\"#a3487f\"];\n");
        else if (to->gradient) text_add(out, " [style=dashed, color=\"#999999\"];\n");
        else if (from->kind == BOX_WEIGHT) text_add(out, ";\n");
        else add_shape_label(out, arena, arrow->node->shape);
    }
}

const char *draw_dot(Arena *arena, const Drawing *drawings, int count) {
    Text out = {.arena = arena};
    text_add(&out, "digraph network {\n  graph [bgcolor=white, fontname=\"Helvetica\", ranksep=0.25, nodesep=0.25, compound=true, labeljust=l];\n"
                   "  node [style=\"filled,rounded\", fontname=\"Helvetica\", fontsize=10, color=\"#555555\", margin=\"0.1,0.05\", height=0.3];\n"
                   "  edge [fontname=\"Helvetica\", fontsize=9, fontcolor=\"#666666\", color=\"#555555\", arrowsize=0.6];\n");
    for (int i = 0; i < count; i++) {
        if (count > 1)
            text_add(&out, "  subgraph cluster_m%d { style=\"rounded,bold\"; color=\"#555555\"; fontsize=13; label=<<b>%s</b>>;\n", i,
                     drawings[i].model->decl->name);
        add_boxes(&out, arena, &drawings[i], i);
        if (count > 1) text_add(&out, "  }\n");
        add_arrows(&out, arena, &drawings[i], i);
    }
    text_add(&out, "}\n");
    return text_string(&out);
}
