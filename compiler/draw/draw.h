/* Pictures of networks: a model's graph folded to boxes (fold.c) with shapes between them
 * (flow.c), as a text for Graphviz (dot.c); train blocks as such a text (training.c); and
 * many networks in one chart (chart.c). */
#ifndef CAI_DRAW_H
#define CAI_DRAW_H

#include "elaborate/elaborate.h"
#include "elaborate/training.h"

typedef enum BoxKind {
    BOX_INPUT,
    BOX_OUTPUT,
    BOX_CONVOLUTION,
    BOX_PRODUCT,
    BOX_WINDOW,   /* a layer around one of these operators */
    BOX_LAYER,    /* any other layer that holds none */
    BOX_BLOCK,    /* layers in layers, folded */
    BOX_OPERATOR, /* an operator that no layer drawn as a box has made */
    BOX_WEIGHT,   /* a weight that an operator takes */
    BOX_SHAPE     /* what flows from one box to others */
} BoxKind;

typedef struct Box {
    BoxKind kind;
    /* index into model->runs: the layer that it is, or else that it is in; -1: the model
     * itself */
    int layer;
    const char *name;       /* the last part of the path, where it says more than what the box is; else "" */
    const char *what;       /* "conv 3x3, 64, /2", "basic", "+" */
    Vec(const char *) more; /* layers drawn into it: those that follow and change no shape */
    int64_t parameters;     /* 0 where it has none */
    int times;              /* of layers that follow each other and are the same: how many it stands for */
    bool shared;            /* its weights are those of another box, which counts them */
    bool unused;            /* no result needs it */
    const Node *flows;      /* of BOX_SHAPE */
    bool gradient;          /* it computes the gradient of what the box of this name computes */
} Box;

typedef struct Arrow {
    int from, to;
    const Node *node;
} Arrow; /* what flows */

/* Runs of equal layers, of which the first stands for all. */
typedef struct Repeats {
    int *times; /* by layer: how many it stands for; -1: another stands for it */
    int *last;  /* by first layer: the last of them */
    int *twin;  /* by node of another: the node in the layer before that it corresponds to; else -1 */
} Repeats;

typedef struct Drawing {
    const Model *model;
    Vec(Box) boxes;
    Vec(Arrow) arrows;
    bool *open; /* by layer: drawn as a frame around what is in it */
    Repeats repeats;
} Drawing;

enum { UNFOLD_BY_SIZE = -1 };

/* Folds a model, or one layer of it, to boxes. only: the index of the layer in
 * model->runs; -1: the model. unfold: how many levels of nested layers are opened;
 * UNFOLD_BY_SIZE: as many as leave a readable picture. gradient: with the gradient of the
 * sum of the first output by all weights, which is added to the model's graph here. */
Drawing draw_model(Arena *arena, Model *model, int only, int unfold, bool gradient);

/* The callee of a layer, "basic", or "" where it is only braces; and its name, "1 … 11"
 * where one stands for several, or "" where it adds nothing. */
const char *draw_callee(const LayerInfo *layer);
const char *draw_name(Arena *arena, const Drawing *drawing, int layer);

/* The open layer that a box lies in; -1: the model. */
int draw_frame(const Drawing *drawing, const Box *box);

/* The drawings in one picture, as text that `dot` reads. */
const char *draw_dot(Arena *arena, const Drawing *drawings, int count);

/* The words of such texts: a beginning, whose ranks lie so far apart; and within labels
 * plain and bold text, sizes but the batch, numbers as "3.5 M". */
void dot_begin(Text *out, double between);
void dot_text(Text *out, const char *text);
void dot_bold(Text *out, const char *text);
void dot_shape(Text *out, Arena *arena, Shape shape);
void dot_count(Text *out, int64_t count);

/* ---- training.c ---- */

/* What the phases of a train block learn by which loss, as such a text. */
const char *draw_training(Arena *arena, const Training *training);

/* ---- repeat.c ---- */

Repeats draw_repeats(Arena *arena, const Model *model, const bool *has_layers, const bool *data,
                     const bool *weighed);

/* ---- flow.c ---- */

/* Routes the arrows of a folded model through boxes with the shapes of values, and marks
 * what no result needs. */
void draw_flow(Arena *arena, Drawing *drawing);

/* ---- plot.c ---- */

typedef struct PlotCurve {
    char mark;
    const double *points; /* x and y in turn; a NaN is a gap */
    int64_t count;
} PlotCurve;

/* Prints curves one over another, as text. */
void plot_print(const PlotCurve *curves, int count, FILE *out);

/* ---- chart.c ---- */

typedef struct ChartPoint {
    const char *name;
    double operations, value, parameters;
    int group; /* of equal colour */
} ChartPoint;

typedef struct ChartAxes {
    const char *across, *up; /* the titles of the axes */
} ChartAxes;

/* Draws value over operations. format: svg, pdf or png. On failure *error says why; a
 * partly written file stays. */
bool draw_chart(Arena *arena, const ChartPoint *points, int count, const ChartAxes *axes, const char *format,
                const char *path, const char **error);

#endif
