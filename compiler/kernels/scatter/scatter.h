/* What the kind `scatter` needs from each of its operators: tasks, the kernel's name, and
 * the code; and helpers that they share. */
#ifndef CAI_SCATTER_H
#define CAI_SCATTER_H

#include "codegen/codegen.h"
#include "graph/class_rows.h"
#include "kernels/kernels.h"

/* ---- scatter.c: columns along the indexed axis ----
 *
 * A task owns a column of the result: one coordinate on every axis but the indexed one,
 * or a vector of them on the innermost axis. So no two tasks write to one element, and
 * what a column takes comes in the order of the indices. */

typedef struct Scatter {
    Module *m;
    const Kernel *kernel;
    int axis, wide; /* the indexed axis; how many axes the index has */
    int lane_axis;  /* an axis of the result; -1: scalars */
    Point to, from; /* elements of the result and of the updates: coordinates of the task and of the loops */
    Point index;
} Scatter;

Dim scatter_tasks(const Program *program, Shape result, int axis);
/* Emits the loop over tasks for a kernel whose second operand is the index. `begin` emits
 * the work before the indices of a column; `one` emits the work for each index, in order:
 * `from` and `to` are the elements to read and to write. */
void scatter_columns(Module *m, const Kernel *kernel, int axis, void (*begin)(Scatter *s),
                     void (*one)(Scatter *s));

/* ---- scatter_add.c, put.c ---- */

#undef ROW_OF_CLASS_SCATTER
#define ROW_OF_CLASS_SCATTER(name)                        \
    void name##_settle(Program *program, Kernel *kernel); \
    void name##_emit(Module *m, const Kernel *kernel);
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP

#endif
