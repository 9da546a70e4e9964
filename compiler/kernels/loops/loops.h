/* What the files of the kind `loops` share. */
#ifndef CAI_LOOPS_H
#define CAI_LOOPS_H

#include "codegen/codegen.h"
#include "kernels/kernels.h"
#include "plan/loop_nest.h"

/* ---- scatter.c ---- */
void scatter_settle(Program *program, Kernel *kernel);
void scatter_emit(Module *m, const Kernel *kernel);

#endif
