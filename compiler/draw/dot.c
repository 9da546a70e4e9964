/* Drawings as text for Graphviz: boxes coloured by what they do, frames around the parts
 * of an open layer, shapes on the arrows. */
#include "draw/draw.h"

typedef struct BoxStyle { const char *shape, *fill; } BoxStyle;

static const BoxStyle styles[] = {
    [BOX_INPUT] = {"box", "#ffffff"},       [BOX_OUTPUT] = {"box", "#ffffff"},
    [BOX_CONVOLUTION] = {"box", "#cfe3f7"}, [BOX_PRODUCT] = {"box", "#ddd3ee"},
    [BOX_WINDOW] = {"box", "#f8d3cd"},      [BOX_LAYER] = {"box", "#fdf0c8"},
    [BOX_BLOCK] = {"box", "#d8ead0"},       [BOX_OPERATOR] = {"oval", "#ffffff"},
    [BOX_WEIGHT] = {"note", "#f4f4f4"},
};

static const char gradient_fill[] = "#f3d9ea";

/* ---- words ---- */

void dot_text(Text *out, const char *text) {
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

static void add_size_text(Text *out, Arena *arena, Dim size) {
    const char *text = dim_string(arena, size);
    bool sum = *text != '(' && strpbrk(text, "+-");
    text_add(out, sum ? "(" : "");
    dot_text(out, text);
    text_add(out, sum ? ")" : "");
}

/* 64 x 112 x 112: the batch, which all shapes have, is left out. A scalar is 1. */
void dot_shape(Text *out, Arena *arena, Shape shape) {
    if (shape.rank == 0) text_add(out, "1");
    if (shape.rank == 1) add_size_text(out, arena, shape.dims[0]);
    for (int i = 1; i < shape.rank; i++) {
        if (i > 1) text_add(out, "\xc3\x97");
        add_size_text(out, arena, shape.dims[i]);
    }
}

void dot_count(Text *out, int64_t count) {
    if (count >= 999500000) text_add(out, "%.3g G", (double)count / 1e9);
    else if (count >= 999500) text_add(out, "%.3g M", (double)count / 1e6);
    else if (count >= 1000) text_add(out, "%.3g k", (double)count / 1e3);
    else text_add(out, "%lld", (long long)count);
}

void dot_bold(Text *out, const char *text) {
    if (!*text) return; /* no tags around nothing: dot refuses them */
    text_add(out, "<b>");
    dot_text(out, text);
    text_add(out, "</b>");
}

static void add_times(Text *out, int times) {
    if (times > 1) text_add(out, "%d \xc3\x97 ", times);
}

/* The name in bold, below it what the box is and what was drawn into it, then its
 * weights. */
static void add_label(Text *out, const Box *box) {
    const char *what = strcmp(box->what, box->name) == 0 ? "" : box->what;
    bool named = *box->name && (*what || box->times < 2);
    if (named) dot_bold(out, box->name);
    if (!named || *what) {
        text_add(out, named ? "<br/>" : "");
        add_times(out, box->times);
        if (named) dot_text(out, what);
        else dot_bold(out, *what ? what : box->name);
    }
    for (int i = 0; i < box->more.count; i++) {
        text_add(out, i % 3 == 0 ? "<br/>" : " \xc2\xb7 ");
        dot_text(out, box->more.items[i]);
    }
    if (box->parameters == 0 && !box->shared) return;
    text_add(out, "<br/><font color=\"#666666\">");
    if (box->parameters > 0) dot_count(out, box->parameters);
    else text_add(out, "same weights");
    text_add(out, "</font>");
}

/* ---- boxes, in the frames they lie in ---- */

static const char *node_style(const Box *box) {
    if (box->kind == BOX_INPUT || box->kind == BOX_OUTPUT) return ", style=filled";
    return box->unused ? ", style=\"filled,rounded,dashed\"" : "";
}

static void add_dot_box(Text *out, const Box *box, int drawing, int index) {
    const BoxStyle *style = &styles[box->kind];
    text_add(out, "  m%db%d [shape=%s, fillcolor=\"%s\", label=<", drawing, index, style->shape,
             box->gradient ? gradient_fill : style->fill);
    add_label(out, box);
    text_add(out, ">%s%s];\n",
             box->kind == BOX_OPERATOR ? ", margin=\"0.04,0.02\", width=0.3, height=0.3" : "",
             node_style(box));
}

/* The shapes that are written in the frame. */
static void add_shapes(Text *out, Arena *arena, const Drawing *d, int drawing, int frame) {
    bool any = false;
    for (int b = 0; b < d->boxes.count; b++) {
        const Box *box = &d->boxes.items[b];
        if (box->kind != BOX_SHAPE || draw_frame(d, box) != frame) continue;
        if (!any)
            text_add(
                out,
                "  { node [shape=plaintext, style=solid, fontsize=9, fontcolor=\"#666666\", margin=\"0.03,0.01\", width=0, height=0];\n");
        any = true;
        text_add(out, "  m%db%d [label=<", drawing, b);
        dot_shape(out, arena, box->flows->shape);
        text_add(out, ">];\n");
    }
    text_add(out, any ? "  }\n" : "");
}

/* Whether any box lies in the frame or deeper. */
static bool *find_filled(Arena *arena, const Drawing *d) {
    bool *filled = NEW_ARRAY(arena, bool, d->model->runs.count + 1);
    for (int b = 0; b < d->boxes.count; b++) {
        const Box *box = &d->boxes.items[b];
        if (!box->what) continue;
        for (int l = draw_frame(d, box); l >= 0 && !filled[l]; l = d->model->runs.items[l].parent)
            filled[l] = true;
    }
    return filled;
}

/* Two short lines at the left leave room for the arrows that come in. */
static void add_title(Text *out, const char *name, const char *callee, int times) {
    bool same = strcmp(name, callee) == 0, named = *name && !same;
    if (named) dot_bold(out, name);
    if (named && !*callee && times < 2) return;
    text_add(out, named ? "<br align=\"left\"/>" : "");
    add_times(out, times);
    if (named) dot_text(out, callee);
    else dot_bold(out, callee);
    text_add(out, named ? "<br align=\"left\"/>" : "");
}

static void open_frame(Text *out, Arena *arena, const Drawing *d, int drawing, int index) {
    const char *name = draw_name(arena, d, index), *callee = draw_callee(&d->model->runs.items[index]);
    const bool titled = *name || *callee || d->repeats.times[index] > 1;
    text_add(out, "  subgraph cluster_m%dl%d { style=\"rounded\"; color=\"#9a9a9a\"; fontsize=10; label=%s",
             drawing, index, titled ? "<" : "\"\"");
    add_title(out, name, callee, d->repeats.times[index]);
    text_add(out, titled ? ">;\n" : ";\n");
}

/* Layers are listed outermost first, so the frames that are open around one are those of
 * its parents. */
static void add_boxes(Text *out, Arena *arena, const Drawing *d, int drawing) {
    bool *filled = find_filled(arena, d);
    Vec(int) frames = {0};
    for (int l = -1; l < d->model->runs.count; l++) {
        int depth = l < 0 ? 0 : d->model->runs.items[l].depth;
        while (l >= 0 && frames.count > 0 && d->model->runs.items[vec_last(&frames)].depth >= depth)
            frames.count--, text_add(out, "  }\n");
        if (l >= 0 && !(d->open[l] && filled[l])) continue;
        if (l >= 0) {
            open_frame(out, arena, d, drawing, l);
            vec_push(arena, &frames, l);
        }
        for (int b = 0; b < d->boxes.count; b++) {
            const Box *box = &d->boxes.items[b];
            if (box->what && box->kind != BOX_SHAPE && draw_frame(d, box) == l)
                add_dot_box(out, box, drawing, b);
        }
        add_shapes(out, arena, d, drawing, l);
    }
    for (; frames.count > 0; frames.count--) text_add(out, "  }\n");
}

static void add_arrows(Text *out, const Drawing *d, int drawing) {
    for (int i = 0; i < d->arrows.count; i++) {
        const Arrow *arrow = &d->arrows.items[i];
        const Box *from = &d->boxes.items[arrow->from], *to = &d->boxes.items[arrow->to];
        text_add(out, "  m%db%d -> m%db%d", drawing, arrow->from, drawing, arrow->to);
        if (from->gradient) text_add(out, " [color=\"#a3487f\", minlen=2];\n");
        else if (to->gradient) text_add(out, " [style=dashed, color=\"#999999\", minlen=2];\n");
        else text_add(out, to->kind == BOX_SHAPE ? " [arrowhead=none];\n" : ";\n");
    }
}

void dot_begin(Text *out, double between) {
    text_add(
        out,
        "digraph network {\n  graph [bgcolor=white, pad=0.15, fontname=\"Helvetica\", ranksep=%g, nodesep=0.25, compound=true, labeljust=l];\n"
        "  node [style=\"filled,rounded\", fontname=\"Helvetica\", fontsize=10, color=\"#555555\", margin=\"0.1,0.05\", height=0.3];\n"
        "  edge [color=\"#555555\", arrowsize=0.6];\n",
        between);
}

const char *draw_dot(Arena *arena, const Drawing *drawings, int count) {
    Text out = {.arena = arena};
    dot_begin(&out, 0.12);
    for (int i = 0; i < count; i++) {
        if (count > 1)
            text_add(
                &out,
                "  subgraph cluster_m%d { style=\"rounded,bold\"; color=\"#555555\"; fontsize=13; label=<<b>%s</b>>;\n",
                i, drawings[i].model->decl->name);
        add_boxes(&out, arena, &drawings[i], i);
        if (count > 1) text_add(&out, "  }\n");
        add_arrows(&out, &drawings[i], i);
    }
    text_add(&out, "}\n");
    return text_string(&out);
}
