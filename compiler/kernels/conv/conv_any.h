/* What conv_any.c and conv_weight.c share. */
#ifndef CAI_CONV_ANY_H
#define CAI_CONV_ANY_H

#include "kernels/conv/conv.h"

enum { MAX_AXES = 3 };

typedef struct AnyConv {
    Module *m;
    const Kernel *kernel;
    Epilogue epilogue;
    Op op;
    Contraction types;
    int axes, lanes;
    int64_t stride[MAX_AXES], dilation[MAX_AXES], before[MAX_AXES], taps[MAX_AXES], groups;
    LLVMValueRef group_outputs, group_inputs;
} AnyConv;

/* An operand of the anchor in the type of the sums; zero in the lanes outside the
 * mask. */
LLVMValueRef any_load(AnyConv *conv, int operand, const Point *point);
void any_clear_sums(const AnyConv *conv, LoopCarried *sums); /* as many vectors as it has */

/* conv_weight.c: the gradient by the weights */
Dim conv_weight_tasks(const AnyConv *conv);
void emit_conv_weight_task(AnyConv *conv, LLVMValueRef task);

#endif
