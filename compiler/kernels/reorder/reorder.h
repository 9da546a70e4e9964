/* Packing within another kernel. */
#ifndef CAI_REORDER_H
#define CAI_REORDER_H

#include "codegen/codegen.h"

typedef struct WinogradCell {
    const Format *format;    /* of Winograd */
    LLVMValueRef number;     /* among all cells of the format */
    LLVMValueRef begin, end; /* the inputs that are transformed */
    LLVMValueRef weight, to; /* addresses of the whole weight, and of the cell */
} WinogradCell;

/* Transforms a cell of the kernel's right operand, as packing would. */
void emit_winograd_cell(Module *m, const Kernel *kernel, const WinogradCell *cell);

#endif
