/* What the emitters of operators of order share. */
#ifndef CAI_ORDER_H
#define CAI_ORDER_H

#include "codegen/codegen.h"
#include "graph/class_rows.h"
#include "kernels/kernels.h"

/* ---- order.c ---- */

/* Lines of a tensor: its elements along one axis, at one place on each other. */
Dim count_lines(const Kernel *kernel, Shape shape, int axis);
/* The coordinates of line `number` of `shape` on all axes but `axis`. */
void find_line(Module *m, Shape shape, int axis, LLVMValueRef number, Point *point);

/* Elements as sort keys: 64-bit integers whose upper half is in the order of the elements
 * and whose lower half is the place, so that no two are equal. The first in order is the
 * smallest; NaN counts as larger than all numbers. `element` is in registers. */
LLVMValueRef emit_sort_key(Module *m, LLVMValueRef element, DType type, bool largest, LLVMValueRef place);
LLVMValueRef emit_key_place(Module *m, LLVMValueRef key); /* i32 */
LLVMValueRef load_key(Module *m, LLVMValueRef keys, LLVMValueRef index);
void store_key(Module *m, LLVMValueRef keys, LLVMValueRef index, LLVMValueRef key);

/* Bytes for sorting `count` keys in ascending order. The keys are at `sort_keys(m,
 * memory)` before and after; each key is passed to `count_key` as it is stored, between
 * begin_keys and sort_keys_by_digits. */
Dim sort_bytes(Dims *dims, Dim count);
LLVMValueRef sort_keys(Module *m, LLVMValueRef memory);
void begin_keys(Module *m, LLVMValueRef memory);
void count_key(Module *m, LLVMValueRef memory, LLVMValueRef key);
void sort_keys_by_digits(Module *m, LLVMValueRef memory, LLVMValueRef room, LLVMValueRef count);

/* ---- order_NAME.c, of every operator of order: bytes of scratch that it needs, or NULL; its tasks
 * and its kernel's name; and the code ---- */

#undef ROW_OF_CLASS_ORDER
#define ROW_OF_CLASS_ORDER(name)                          \
    Dim name##_scratch(const Kernel *kernel);             \
    void name##_settle(Program *program, Kernel *kernel); \
    void name##_emit(Module *m, const Kernel *kernel);
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP

#endif
