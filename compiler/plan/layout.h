/* What layout.c (the layout of each value), views.c (its place in memory) and schedule.c
 * (launches and copies) share. */
#ifndef CAI_PLAN_LAYOUT_H
#define CAI_PLAN_LAYOUT_H

#include "plan/stages.h"

typedef enum PlaceKind {
    /* in a buffer of its own, or the same elements as the parent in the same order */
    PLACE_DENSE,
    PLACE_PART,            /* a part of the parent, a concatenation */
    PLACE_SLICE,           /* the parent's slice */
    PLACE_AXES,            /* the parent with axes of size 1 added or dropped */
    PLACE_TRANSPOSE,       /* the parent's transpose */
    PLACE_BEFORE_TRANSPOSE /* the parent is the transpose of this */
} PlaceKind;

typedef struct Position { /* the place of a value within its parent */
    PlaceKind kind;
    int axis;  /* PLACE_PART: of the concatenation */
    Dim begin; /* PLACE_PART: along it */
} Position;

typedef struct LayoutState {           /* of a value */
    int group;                         /* union-find: the value that it follows, or itself */
    bool wanted_plain, wanted_blocked; /* by the kernels that make and read it */
    /* of a group's representative: the cost of copies if it were BLOCKED, minus that if
     * it were PLAIN */
    double blocked_cycles;
    bool never_blocked;       /* of a group's representative */
    StridePreference strides; /* the strictest of the kernels that read it */
    bool copied_out;          /* one of port_copies reads it */
    int readers;              /* kernels that read it */
    Kernel *producer;
    Vec(Value *) copies; /* the same tensor in other formats; those in PLAIN are dense */
    int wanted_at;       /* of a copy: how many launches there were when it was last wanted */
    Position place;
} LayoutState;

/* at the end of all where the port shares an input's memory */
typedef struct PortCopy { Value *from; int port; } PortCopy;

typedef struct Layout {
    Lowering *low;
    Program *program;
    Dims *dims;
    Vec(LayoutState) states;   /* by value id; layout_state makes them */
    Vec(PortCopy) port_copies; /* outputs of the model that have to be copied from elsewhere */
    int lanes;
} Layout;

/* ---- layout.c ---- */
LayoutState *layout_state(Layout *l, const Value *value); /* valid until the next call */
bool is_one_pixel(Shape shape);

/* ---- views.c ---- */
/* Finds parents: buffers of the model's outputs, concatenations for their parts,
 * transposes for operands that only they read. */
void place_all(Layout *l);
/* Computes strides, offset and bytes of a value and of its parents. */
void resolve(Layout *l, Value *value);
bool is_dense(Layout *l, Value *value);
/* Makes the kernel's output a view of its input where strides can express it. */
bool make_view(Layout *l, const Kernel *kernel);

/* ---- schedule.c ---- */
void launch_all(Layout *l);

#endif
