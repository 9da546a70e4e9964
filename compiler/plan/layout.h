/* What layout.c (which layout each value has), views.c (where it lies) and schedule.c
 * (what is launched, with copies) share. */
#ifndef CAI_PLAN_LAYOUT_H
#define CAI_PLAN_LAYOUT_H

#include "plan/stages.h"

typedef enum PlaceKind {
    /* in a buffer of its own, or the same elements in the same order as the parent's */
    PLACE_DENSE,
    PLACE_PART,            /* a part of the parent, a concatenation */
    PLACE_SLICE,           /* the parent's slice */
    PLACE_AXES,            /* the parent with axes of size 1 added or dropped */
    PLACE_TRANSPOSE,       /* the parent's transpose */
    PLACE_BEFORE_TRANSPOSE /* the parent is the transpose of this */
} PlaceKind;

typedef struct Position { /* how a value lies in its parent */
    PlaceKind kind;
    int axis;  /* PLACE_PART: of the concatenation */
    Dim begin; /* PLACE_PART: along it */
} Position;

typedef struct LayoutState {           /* of a value */
    int group;                         /* union-find: the value it follows, or itself */
    bool wanted_plain, wanted_blocked; /* by the kernels that make and read it */
    /* of a group's representative: of what would be copied if it were BLOCKED, less if it
     * were PLAIN */
    double blocked_cycles;
    bool never_blocked;       /* of a group's representative */
    StridePreference strides; /* the strictest wish of the kernels that read it */
    bool copied_out;          /* some of port_copies is from it */
    int readers;              /* kernels that read it */
    Kernel *producer;
    Vec(Value *) copies; /* the same tensor in other formats; those in PLAIN are dense */
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
LayoutState *layout_state(Layout *l, const Value *value); /* valid until the next value's are asked for */
bool is_one_pixel(Shape shape);

/* ---- views.c ---- */
/* Finds homes: the outputs of the model, concatenations for their parts, transposes for
 * what only they read. */
void place_all(Layout *l);
/* Computes strides, offset and bytes of a value and of the parents it lies in. */
void resolve(Layout *l, Value *value);
bool is_dense(Layout *l, Value *value);
/* Makes the kernel's output a view of its input where strides can express it. */
bool make_view(Layout *l, const Kernel *kernel);

/* ---- schedule.c ---- */
void launch_all(Layout *l);

#endif
