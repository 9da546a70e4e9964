/* The shapes of values between the boxes of a drawing. Each is written once, between the
 * box that makes the value and those that take it, in the innermost frame that they
 * share. It is a box of its own, since Graphviz keeps boxes in their frames, but neither
 * labels of arrows nor long arrows. */
#include "draw/draw.h"

static int frame_around(const Drawing *d, int frame) {
    do frame = d->model->runs.items[frame].parent;
    while (frame >= 0 && !d->open[frame]);
    return frame;
}

static bool lies_in(const Drawing *d, int box, int frame) {
    int own = draw_frame(d, &d->boxes.items[box]);
    while (own >= 0 && own != frame) own = frame_around(d, own);
    return own == frame;
}

/* The innermost frame that contains both ends. */
static int common_frame(const Drawing *d, const Arrow *arrow) {
    int frame = draw_frame(d, &d->boxes.items[arrow->from]);
    while (frame >= 0 && !lies_in(d, arrow->to, frame)) frame = frame_around(d, frame);
    return frame;
}

/* Whether an arrow carries the same value into the frame or, where the value is made
 * there, within it. */
static bool is_same_flow(const Drawing *d, const Arrow *a, const Arrow *b, int frame) {
    if (a->from != b->from || a->node != b->node || d->boxes.items[b->to].gradient ||
        !lies_in(d, b->to, frame))
        return false;
    return !lies_in(d, b->from, frame) || common_frame(d, b) == frame;
}

/* Puts the shape into the frame, and leads all such arrows through it. */
static void write_shape(Arena *arena, Drawing *d, Arrow arrow, int frame) {
    int shape = d->boxes.count;
    vec_push(arena, &d->boxes,
             (Box){.kind = BOX_SHAPE, .layer = frame, .name = "", .what = "", .flows = arrow.node});
    for (int i = 0; i < d->arrows.count; i++)
        if (is_same_flow(d, &arrow, &d->arrows.items[i], frame)) d->arrows.items[i].from = shape;
    vec_push(arena, &d->arrows, (Arrow){arrow.from, shape, arrow.node});
}

static bool bears_shape(const Drawing *d, const Arrow *arrow) {
    const Box *from = &d->boxes.items[arrow->from], *to = &d->boxes.items[arrow->to];
    return from->kind != BOX_WEIGHT && from->kind != BOX_SHAPE && to->kind != BOX_SHAPE && !from->gradient &&
           !to->gradient;
}

/* A value that several boxes of a frame take enters it by one arrow; else each arrow
 * would run beside the frame. */
static void join_entries(Arena *arena, Drawing *d, int frame) {
    for (int i = 0, count = d->arrows.count; i < count; i++) {
        Arrow entry = d->arrows.items[i];
        int same = 0;
        if (d->boxes.items[entry.from].kind == BOX_WEIGHT || lies_in(d, entry.from, frame)) continue;
        for (int k = i; k < count; k++) same += is_same_flow(d, &entry, &d->arrows.items[k], frame);
        if (same > 1) write_shape(arena, d, entry, frame);
    }
}

static void write_shapes(Arena *arena, Drawing *d) {
    for (int l = d->model->runs.count - 1; l >= 0; l--) /* inner frames first */
        if (d->open[l]) join_entries(arena, d, l);
    for (int i = 0, count = d->arrows.count; i < count; i++)
        if (bears_shape(d, &d->arrows.items[i]))
            write_shape(arena, d, d->arrows.items[i], common_frame(d, &d->arrows.items[i]));
}

/* What no result needs. */
static void find_unused(Drawing *d) {
    for (int b = 0; b < d->boxes.count; b++)
        d->boxes.items[b].unused = d->boxes.items[b].kind != BOX_OUTPUT && !d->boxes.items[b].gradient;
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = d->arrows.count - 1; i >= 0; i--) {
            Box *from = &d->boxes.items[d->arrows.items[i].from];
            if (from->unused && !d->boxes.items[d->arrows.items[i].to].unused)
                from->unused = false, changed = true;
        }
    }
}

void draw_flow(Arena *arena, Drawing *d) {
    write_shapes(arena, d);
    find_unused(d);
}
