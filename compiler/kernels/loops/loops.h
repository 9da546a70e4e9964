/* Shared by the files of the kind `loops`: the walk over a nest (loops.c), and the work
 * for each result of a reduction (loops_reduce.c). */
#ifndef CAI_LOOPS_H
#define CAI_LOOPS_H

#include "codegen/codegen.h"
#include "kernels/kernels.h"
#include "plan/loop_nest.h"

typedef struct Range { LLVMValueRef from, to; } Range;

typedef struct NestWalk {
    Module *m;
    const Kernel *kernel;
    const Nest *nest;
    Epilogue epilogue;
    LLVMValueRef at[16]; /* the coordinate of each group */
    int inner;           /* the group of the innermost loop, or -1 */
    LLVMValueRef mask;   /* of lanes, or NULL */
    bool mask_inner;
    bool square;       /* at a vector of the transposed group, not a coordinate */
    Range chunk;       /* of the parallel group at the split: the task's coordinates */
    LLVMValueRef task; /* of a reduction in parts: the number of the task; in the first phase, of the part */
    LLVMValueRef part; /* in the first phase: the number of the part within its result; else NULL */
} NestWalk;

/* ---- loops.c ---- */

int lanes_of_walk(const NestWalk *walk); /* of its points */
int64_t step_of_group(const NestWalk *walk, int group);
LLVMValueRef size_of_group(NestWalk *walk, int group);
/* whether the size is a multiple of the step for certain */
bool is_multiple_of_step(const NestWalk *walk, int group);
Point domain_point(const NestWalk *walk);
/* The point of a reduction's result: reduced axes are 0, and where lanes ran through one
 * of them the result is a scalar. */
Point result_point(const NestWalk *walk);
/* Ends the current basic block, so that what is invariant in the following loops can be
 * hoisted to its end. */
void set_walk_hoist_point(NestWalk *walk, int inner);
void clear_walk_hoist_point(NestWalk *walk);
/* Sets the mask of the current vector of the lane group, where the group may end within
 * it. */
void set_lane_mask(NestWalk *walk, int group);
/* The end of the full steps from `from` on: from + (to - from) / step * step. */
LLVMValueRef emit_whole_steps(Module *m, LLVMValueRef from, LLVMValueRef to, int64_t step);

/* ---- loops_reduce.c ---- */

/* Reduces to the result at the current coordinates of the parallel groups, and stores it;
 * of a part, its total. */
void emit_reduction(NestWalk *walk);

#endif
