/* What the kind `scatter` asks of each of its operators: tasks and the kernel's name, and
 * the code. */
#ifndef CAI_SCATTER_H
#define CAI_SCATTER_H

#include "codegen/codegen.h"
#include "graph/class_rows.h"
#include "kernels/kernels.h"

/* ---- scatter_add.c ---- */

#undef ROW_OF_CLASS_SCATTER
#define ROW_OF_CLASS_SCATTER(name)                        \
    void name##_settle(Program *program, Kernel *kernel); \
    void name##_emit(Module *m, const Kernel *kernel);
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP

#endif
